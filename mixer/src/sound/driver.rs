//! The thread that mixes a program's audio. It reads tracks, asks the mix for blocks, encodes them and hands them on.
//!
//! One thread serves all inputs of a program: decoding costs 0.4 ms of CPU per second of each input. It wakes with the
//! lead's frames, or at the mix's deadline. Its task is one state that the newest request replaces. There is no queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use onmic_media::life::guarded;
use onmic_media::metric::Latency;
use onmic_media::time::{ClockRate, NodeClock, Ticks};
use onmic_media::{DropReason, Feed, Frame, Inlet, Parameters, Pcm, ProgramClock, parking};
use onmic_names::MIXED_MAX;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::BLOCK;
use super::id::InputId;
use super::input::Counts;
use super::level::Meters;
use super::mix::{Lead, Mix, MixInput};
use super::output::{Output, OutputSettings};
use super::source::Source;
use super::strip::Processing;
use crate::error::Error;
use crate::metric::{self, Running};

/// The name of the thread.
const THREAD: &str = "mix-sound";

/// The longest sleep. A feed may get its track, or another one, at any time.
const POLL: Duration = Duration::from_millis(50);

/// How long the mix waits for the lead's first frame before the clock leads.
const LEAD_START: Duration = Duration::from_millis(500);

/// The time between two reports of levels.
const METERS_EVERY: Duration = Duration::from_millis(100);

/// Configures how a program's audio is mixed.
#[derive(Clone, Debug)]
pub struct SoundConfig {
    /// The parameters of the track that the program's audio continues.
    pub parameters: Arc<Parameters>,
    /// The program's clock, which places the mix until the lead has sent a frame. If it is `None`, the timeline starts
    /// with the mix.
    pub program_clock: Option<ProgramClock>,
    /// How long after their capture the mix waits for the lead's samples.
    pub deadline: Duration,
    /// The settings of the encoder.
    pub output: OutputSettings,
}

impl SoundConfig {
    /// Returns the defaults for a program track with these parameters.
    pub fn new(parameters: Arc<Parameters>) -> Self {
        let (program_clock, deadline) = (None, Duration::from_millis(80));
        Self { parameters, program_clock, deadline, output: OutputSettings::default() }
    }
}

/// Describes one participant.
#[derive(Clone, Debug)]
pub struct SoundInput {
    /// The name of the input in the mix.
    pub id: InputId,
    /// The publisher's feed, which need not have audio.
    pub feed: Arc<Feed>,
    /// The processing of its audio.
    pub processing: Processing,
}

/// Describes one return feed that is wanted.
#[derive(Clone, Debug)]
pub struct SoundReturn {
    /// The input that is left out. If it is not in the mix, the return feed has all inputs.
    pub id: InputId,
    /// The inlet that takes the return feed, as stereo Opus.
    pub inlet: Arc<Inlet>,
}

/// States whether a sink takes more frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// It takes more frames.
    Go,
    /// It takes no more frames, so the thread ends.
    Stop,
}

/// Takes the program's audio. It is called on the mixer's thread and must not block. It is dropped when the thread
/// ends.
pub trait SoundSink: Send + 'static {
    /// Takes the next frame, in order.
    fn push(&mut self, frame: Frame) -> Wanted;

    /// Takes the next block of PCM, on the timeline of the frames that are encoded from it.
    fn push_pcm(&mut self, _pcm: Pcm<'_>) {}
}

#[derive(Debug, Default)]
struct Wish {
    inputs: Option<(Vec<SoundInput>, Option<Lead>)>,
    returns: Option<Vec<SoundReturn>>,
}

/// Is a running audio mixer. Dropping it ends its thread and joins it.
#[derive(Debug)]
pub struct SoundMixer {
    wish: Arc<Mutex<Wish>>,
    stop: Arc<AtomicBool>,
    meters: watch::Receiver<Meters>,
    thread: Option<JoinHandle<()>>,
}

impl SoundMixer {
    /// Opens the program's encoder and starts the thread. This blocks for some milliseconds.
    pub fn start(config: SoundConfig, clock: NodeClock, sink: impl SoundSink) -> Result<Self, Error> {
        let output = Output::like(&config.parameters, config.output)?;
        let (wish, stop) = (Arc::<Mutex<Wish>>::default(), Arc::<AtomicBool>::default());
        let (sender, meters) = watch::channel(Meters::default());
        let worker = Worker {
            mix: Mix::new(config.deadline),
            config,
            clock,
            wish: wish.clone(),
            stop: stop.clone(),
            meters: sender,
            output,
            sink,
            sources: Vec::new(),
            lead: None,
            returns: Vec::new(),
            made: Vec::new(),
            told: Told::default(),
        };
        // The stage sees that it has ended, and takes another.
        let work = move || _ = guarded(THREAD, || worker.run());
        let spawned = thread::Builder::new().name(THREAD.to_owned()).spawn(work);
        Ok(Self { wish, stop, meters, thread: Some(spawned.map_err(Error::Thread)?) })
    }

    /// Sets the inputs of the program, and the lead that has its timeline, in place of the previous ones. More than
    /// [`MIXED_MAX`] inputs are refused, and then nothing changes.
    pub fn set_inputs(&self, inputs: Vec<SoundInput>, lead: Option<Lead>) -> Result<(), Error> {
        Error::unless_within("inputs", inputs.len(), MIXED_MAX)?;
        self.wish.lock().inputs = Some((inputs, lead));
        self.wake();
        Ok(())
    }

    /// Sets the return feeds that are mixed, in place of the previous ones. It does not end their tracks. More than
    /// [`MIXED_MAX`] are refused, and then nothing changes.
    pub fn set_returns(&self, returns: Vec<SoundReturn>) -> Result<(), Error> {
        Error::unless_within("returns", returns.len(), MIXED_MAX)?;
        self.wish.lock().returns = Some(returns);
        self.wake();
        Ok(())
    }

    /// Returns a channel that reports levels, delays and the speaking inputs ten times a second.
    pub fn meters(&self) -> watch::Receiver<Meters> {
        self.meters.clone()
    }

    /// Returns whether the mixer still runs: its sink takes more frames and its encoder works.
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for SoundMixer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.wake();
        // A sink may be the last to hold the mixer's owner, and then this is the mixer's thread, which cannot join
        // itself.
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != thread::current().id()
            && thread.join().is_err()
        {
            tracing::error!("the thread of an audio mixer panicked");
        }
    }
}

/// Holds what was reported so far.
#[derive(Default)]
struct Told {
    counts: Counts,
    overrun: u64,
    meters: Option<Instant>,
}

struct Worker<S> {
    config: SoundConfig,
    clock: NodeClock,
    mix: Mix,
    wish: Arc<Mutex<Wish>>,
    stop: Arc<AtomicBool>,
    meters: watch::Sender<Meters>,
    output: Output,
    sink: S,
    sources: Vec<Source>,
    lead: Option<Lead>,
    returns: Vec<(SoundReturn, Option<Output>)>,
    made: Vec<Frame>,
    told: Told,
}

impl<S: SoundSink> Worker<S> {
    fn run(mut self) {
        let (_running, started) = (Running::audio_mix(), Instant::now());
        let reason = self.work(started).unwrap_or_else(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "mixing audio failed");
            "failed"
        });
        self.tell(Instant::now());
        let Counts { missing, late, jumps, left_out } = self.told.counts;
        tracing::info!(reason, lived = ?started.elapsed(), missing, late, jumps, left_out, "audio mixer ended");
    }

    fn work(&mut self, started: Instant) -> Result<&'static str, Error> {
        let waker = parking::waker();
        let seconds = Latency::MixAudio.histogram();
        loop {
            if self.stop.load(Ordering::Acquire) {
                return Ok("stopped");
            }
            let turn = Instant::now();
            self.apply()?;
            self.read(&waker);
            if !self.mix.has_begun() {
                self.begin(turn, turn.duration_since(started));
            }
            if self.mix(turn)? == Wanted::Stop {
                return Ok("not_wanted");
            }
            self.tell(turn);
            seconds.record(turn.elapsed().as_secs_f64());
            let now = self.clock.wall(Instant::now());
            let left = self
                .mix
                .deadline()
                .map_or(POLL, |deadline| Duration::from_micros(u64::try_from(deadline.micros_since(now)).unwrap_or(0)));
            thread::park_timeout(left.min(POLL));
        }
    }

    /// Applies the requests since the last turn.
    fn apply(&mut self) -> Result<(), Error> {
        let Wish { inputs, returns } = std::mem::take(&mut *self.wish.lock());
        if let Some((inputs, lead)) = inputs {
            self.set_inputs(inputs, lead)?;
        }
        if let Some(returns) = returns {
            self.set_returns(returns)?;
        }
        Ok(())
    }

    fn set_inputs(&mut self, inputs: Vec<SoundInput>, lead: Option<Lead>) -> Result<(), Error> {
        self.lead = lead;
        let mixed: Vec<_> =
            inputs.iter().map(|input| MixInput { id: input.id, processing: input.processing }).collect();
        self.mix.set(&mixed, lead)?;
        self.sources.retain(|source| inputs.iter().any(|input| input.id == source.id));
        for SoundInput { id, feed, .. } in inputs {
            match self.sources.iter_mut().find(|source| source.id == id) {
                Some(source) => source.feed = feed,
                None => self.sources.push(Source::new(id, feed)),
            }
        }
        Ok(())
    }

    fn set_returns(&mut self, returns: Vec<SoundReturn>) -> Result<(), Error> {
        let ids: Vec<_> = returns.iter().map(|made| made.id).collect();
        self.mix.set_returns(&ids)?;
        let mut before = std::mem::take(&mut self.returns);
        for wanted in returns {
            let same = |(made, _): &(SoundReturn, _)| made.id == wanted.id && Arc::ptr_eq(&made.inlet, &wanted.inlet);
            let output = match before.iter().position(same) {
                Some(index) => before.swap_remove(index).1,
                None => self.open(),
            };
            self.returns.push((wanted, output));
        }
        Ok(())
    }

    /// Opens an encoder for a return feed. If that fails, the return feed is silent and the program goes on.
    fn open(&self) -> Option<Output> {
        let opened = Output::stereo_opus(self.config.output);
        opened
            .inspect_err(|error| {
                tracing::error!(error = error as &dyn std::error::Error, "a return feed's encoder could not be opened");
            })
            .ok()
    }

    fn read(&mut self, waker: &Waker) {
        let lead = self.lead.map(|lead| lead.id);
        for source in &mut self.sources {
            source.attach();
            let leads = lead == Some(source.id);
            source.read(&self.clock, leads.then_some(waker), &mut self.mix);
            // Any frame of the lead states its line: video also comes while the audio is muted at the source.
            if leads && let Some(line) = source.feed.clock() {
                self.mix.follow(line);
            }
        }
    }

    /// Begins the mix. The first packet lies on the lead's newest frame, so that the packets before it can be the
    /// lead's own. Without a frame of the lead it lies at the present.
    fn begin(&mut self, now: Instant, waited: Duration) {
        let lead = self.lead.and_then(|lead| {
            let source = self.sources.iter().find(|source| source.id == lead.id)?;
            let (pts, rate) = source.newest()?;
            let shift = Ticks(lead.shift_micros).rescale(ClockRate::MICROS, self.output.clock_rate());
            Some(pts.rescale(rate, self.output.clock_rate()) + shift)
        });
        if !self.mix.wall_clock().is_known() {
            // The mix begins when there is an input. A lead gets some time to send its first frame.
            if self.sources.is_empty() || (self.lead.is_some() && waited < LEAD_START) {
                return;
            }
            let starting = || ProgramClock::starting(self.clock.wall(now));
            self.mix.follow(self.config.program_clock.unwrap_or_else(starting));
        }
        let here = self.mix.wall_clock().position(self.clock.wall(now));
        let first = lead.or(here.map(|here| Ticks(here).rescale(ClockRate::OPUS, self.output.clock_rate())));
        if let Some(first) = first {
            let position = self.output.begin(first);
            self.mix.begin(position);
        }
    }

    /// Mixes the blocks that are due and hands them on.
    fn mix(&mut self, turn: Instant) -> Result<Wanted, Error> {
        while !self.stop.load(Ordering::Acquire) {
            let now = self.clock.wall(Instant::now());
            let wall_clock = *self.mix.wall_clock();
            let Some(mixed) = self.mix.poll(now) else { break };
            let arrived = mixed.arrived.unwrap_or(turn);
            self.sink.push_pcm(Pcm {
                pts: Ticks(mixed.position),
                wall: wall_clock.wall(mixed.position).unwrap_or_default(),
                arrived,
                channels: mixed.program.0.each_ref().map(<[f32; BLOCK]>::as_slice),
            });
            for ((wanted, output), made) in self.returns.iter_mut().zip(mixed.returns) {
                let Some(encoder) = output else { continue };
                if let Err(error) = encoder.take(mixed.position, &made.block, &wall_clock, arrived, &mut self.made) {
                    tracing::error!(error = &error as &dyn std::error::Error, "a return feed's encoder failed");
                    *output = None;
                }
                for frame in self.made.drain(..) {
                    wanted.inlet.push(frame);
                    wanted.inlet.settle();
                }
            }
            self.output.take(mixed.position, mixed.program, &wall_clock, arrived, &mut self.made)?;
            for frame in self.made.drain(..) {
                if self.sink.push(frame) == Wanted::Stop {
                    return Ok(Wanted::Stop);
                }
            }
        }
        Ok(Wanted::Go)
    }

    fn tell(&mut self, now: Instant) {
        if self.told.meters.is_some_and(|last| now.saturating_duration_since(last) < METERS_EVERY) {
            return;
        }
        self.told.meters = Some(now);
        self.meters.send_replace(self.mix.meters());
        let (counts, overrun) = (self.mix.counts(), self.mix.overrun());
        let before = std::mem::replace(&mut self.told.counts, counts);
        DropReason::MixMissing.count(counts.missing - before.missing);
        DropReason::MixLate.count(counts.late - before.late);
        DropReason::MixLeftOut.count(counts.left_out - before.left_out);
        DropReason::MixOverrun.count(overrun - std::mem::replace(&mut self.told.overrun, overrun));
        metric::audio_jumps(counts.jumps - before.jumps);
    }
}
