//! Tracks derived on first demand: Opus from AAC, AAC from Opus, and from any video H.264 or VP8 without reordering and with
//! frequent keyframes.
//!
//! Each derived track has one thread. It runs from the first viewer that asks until the track has not been held for
//! [`Config::linger`]. It reads the input's ring like any viewer, so the input never waits for it, and it keeps no
//! queue of frames: frames that it cannot convert in time are left out and counted, evenly ([`pace`]). A conversion that panics ends its
//! track, and [`died`] says when the next viewer gets one again. One that panics while it opens is begun again for the same viewer.
//!
//! A conversion of video holds its price of the node's budget, or does not begin. One whose video grows beyond the budget ends. Its
//! thread has a lower priority than those of media, and opens the codecs itself, so that their threads have it too.
//!
//! ```text
//! input Track ── Reader ──▶ VideoLine | AudioLine ──▶ output Track      one thread
//!                           decode, form, encode
//! ```

mod audio;
mod died;
mod failed;
mod pace;
mod placement;
mod priced;
mod rate;
mod refused;
mod rung;
mod tapped;
mod video;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use onmic_media::feed::{Deriver, Lease, NotDerived, Recipe};
use onmic_media::life::{Begins, guarded};
use onmic_media::{Budget, Codec, DropReason, Frame, Held, Join, MediaKind, PcmTap, Read, Reader, Spent, Track, Work};
use parking_lot::Mutex;

pub use self::rung::VideoPolicy;

use self::audio::AudioLine;
use self::died::Died;
use self::failed::Failed;
use self::priced::Priced;
use self::refused::Refused;
use self::tapped::TappedLine;
use self::video::VideoLine;
use crate::codec::encode::{AudioSettings, Backend};
use crate::codec::live::{self, Lag};
use crate::error::Error;
use crate::metric::{self, Running, label};
use crate::{price, priority};

/// How long a thread waits for input before it checks whether it is still needed.
const POLL: Duration = Duration::from_millis(100);

/// How often a conversion is priced anew, because its video may have another size or rate.
const PRICE_EVERY: Duration = Duration::from_secs(1);

/// Configures how tracks are derived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How long a track that has no holder lives on. A viewer that reloads its page must not cause a new start.
    pub linger: Duration,
    /// The lag behind the input above which the deriver skips to the present. From a tenth of it on, frames of video are left
    /// out.
    pub backlog_max: Duration,
    /// The settings for video.
    pub video: VideoPolicy,
    /// The bitrate of one channel of Opus, in bits per second.
    pub opus_bitrate_bps: u32,
    /// The duration of a packet of Opus, 10 or 20 ms.
    pub opus_packet: Duration,
    /// The effort of the Opus encoder, from 0 to 10. 5 costs two thirds of the CPU of 10, and the difference is hardly
    /// audible.
    pub opus_complexity: u8,
    /// The bitrate of one channel of AAC, in bits per second.
    pub aac_bitrate_bps: u32,
    /// How far in the past AAC begins when a track starts. Players may buffer it. Opus begins at the present, because
    /// its viewers play everything that they get: audio from the past would delay all later audio.
    pub audio_history: Duration,
    /// The longest hole in the audio that becomes silence. Longer ones stay holes.
    pub audio_fill_max: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            linger: Duration::from_secs(5),
            backlog_max: Duration::from_secs(1),
            video: VideoPolicy::default(),
            opus_bitrate_bps: 56_000,
            // 20 ms would cost half as many packets per viewer, and play everything 10 ms later.
            opus_packet: Duration::from_millis(10),
            opus_complexity: 5,
            aac_bitrate_bps: 64_000,
            audio_history: Duration::from_millis(200),
            audio_fill_max: Duration::from_millis(200),
        }
    }
}

/// Derives tracks, and owns their threads.
#[derive(Debug)]
pub struct Transcoder {
    config: Config,
    budget: Arc<Budget>,
    stop: Arc<AtomicBool>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    died: Arc<Died>,
    failed: Failed,
    refused: Arc<Refused>,
}

impl Transcoder {
    /// Makes a transcoder that opens no codec before a track is asked for. [`crate::check`] tells whether the codecs
    /// are there.
    pub fn new(config: Config) -> Arc<Self> {
        Self::within(config, Budget::unlimited())
    }

    /// Makes a transcoder whose conversions of video stay within a budget of pixels per second.
    pub fn within(config: Config, budget: Arc<Budget>) -> Arc<Self> {
        let (stop, threads, died) = (Arc::default(), Mutex::default(), Arc::default());
        let (failed, refused) = (Failed::default(), Arc::default());
        Arc::new(Self { config, budget, stop, threads, died, failed, refused })
    }

    /// Returns how many tracks are being derived.
    pub fn running(&self) -> usize {
        let threads = self.threads.lock();
        threads.iter().filter(|thread| !thread.is_finished()).count()
    }

    /// Ends every derived track and joins its thread. After that no track can be derived.
    pub fn shutdown(&self) {
        self.stop.store(true, Ordering::Release);
        let threads = std::mem::take(&mut *self.threads.lock());
        for thread in threads {
            thread.thread().unpark();
            join(thread);
        }
    }

    /// Starts the thread that opens the codecs and derives. Returns its track once they are open, or `None` if the thread has panicked
    /// before, which is noted.
    fn start(
        &self,
        recipe: Recipe,
        input: &Arc<Track>,
        lease: Lease,
        begins: Begins,
    ) -> Result<Option<Arc<Track>>, NotDerived> {
        let price = self.priced(recipe, input)?;
        let started = Instant::now();
        let opening = Opening {
            config: self.config.clone(),
            recipe,
            input: input.clone(),
            lease,
            begins,
            price,
            refused: self.refused.clone(),
            stop: self.stop.clone(),
        };
        let name = format!("{}-from-{}", label(recipe), input.parameters().codec().name()); // Linux shows 15 characters.
        let own_name = name.clone();
        let (opened, open) = sync_channel(1);
        let (died, of) = (self.died.clone(), input.id());
        let work = move || {
            let mut ends = None;
            let run = || {
                if opening.input.kind() == MediaKind::Video {
                    priority::lower();
                }
                match opening.open(started) {
                    Ok((worker, reader)) => {
                        ends = Some(Ends(worker.output.clone()));
                        _ = opened.send(Ok(worker.output.clone())); // Its caller waits.
                        worker.run(reader);
                    }
                    Err(error) => _ = opened.send(Err(error)),
                }
            };
            if guarded(&own_name, run).is_none() {
                died.note(of, recipe, Instant::now());
            }
            drop(ends); // Viewers ask again now.
        };
        let failed = |error: &Error| {
            tracing::warn!(recipe = label(recipe), error = error as &dyn std::error::Error, "no track was derived");
            NotDerived::Failed(error.sentence())
        };
        let thread = thread::Builder::new().name(name).spawn(work);
        let thread = thread.map_err(|error| failed(&Error::Thread(error)))?;
        let mut threads = self.threads.lock();
        let (finished, running) = threads.drain(..).partition(JoinHandle::is_finished);
        *threads = running;
        threads.push(thread);
        drop(threads);
        Vec::into_iter(finished).for_each(join);
        // The death is noted before the sender is dropped.
        let Ok(output) = open.recv() else { return Ok(None) };
        let output = output.map_err(|error| {
            // A keyframe may come at any moment.
            if !matches!(error, Error::NoPictureYet) {
                self.failed.note(of, recipe, &error.sentence(), Instant::now());
            }
            failed(&error)
        })?;
        tracing::debug!(recipe = label(recipe), opened_in = ?started.elapsed(), "deriving a track");
        Ok(Some(output))
    }

    /// Takes the price of a conversion of video out of the budget.
    fn priced(&self, recipe: Recipe, input: &Track) -> Result<Option<Held>, Spent> {
        if input.kind() != MediaKind::Video {
            return Ok(None);
        }
        let newest = input.newest();
        let parameters = newest.as_ref().map_or_else(|| input.parameters(), |newest| newest.parameters.clone());
        // What every player of LL-HLS decodes can be watched without a conversion.
        let is_spare = parameters.codec() == Codec::H264 && parameters.is_widely_decoded();
        let work = if is_spare { Work::SpareConversion } else { Work::Conversion };
        let measured = input.measured(newest.map_or_else(Instant::now, |newest| newest.arrived));
        let price = price::of_conversion(price::of_track(&parameters, &measured));
        let held = self.budget.take(work, price).inspect_err(|spent| {
            self.refused.count(input.id(), recipe, Instant::now());
            tracing::debug!(kind = spent.0.name(), price, "a conversion was refused: the budget of pixels is spent");
        })?;
        self.refused.forget(input.id(), recipe);
        Ok(Some(held))
    }
}

impl Deriver for Transcoder {
    fn derive(&self, recipe: Recipe, input: &Arc<Track>, lease: Lease) -> Result<Arc<Track>, NotDerived> {
        loop {
            if self.stop.load(Ordering::Acquire) {
                return Err(NotDerived::Failed("the server is shutting down".to_owned()));
            }
            let now = Instant::now();
            let begins = self.died.begins(input.id(), recipe, now);
            if let Begins::Later(wait) = begins {
                return Err(NotDerived::Later(wait));
            }
            if let Some(sentence) = self.failed.why(input.id(), recipe, now) {
                return Err(NotDerived::Failed(sentence));
            }
            // A second death within a minute ends this loop.
            if let Some(output) = self.start(recipe, input, lease.clone(), begins)? {
                return Ok(output);
            }
        }
    }
}

/// All that the thread of a derived track begins with.
struct Opening {
    config: Config,
    recipe: Recipe,
    input: Arc<Track>,
    lease: Lease,
    begins: Begins,
    price: Option<Held>,
    refused: Arc<Refused>,
    stop: Arc<AtomicBool>,
}

impl Opening {
    /// Opens the codecs, and begins to read the input.
    fn open(self, now: Instant) -> Result<(Worker, Reader), Error> {
        let line = self.line(now)?;
        let output = line.output().clone();
        let reader = self.join(&line);
        if let Line::Audio(line) = &line {
            let tap: Arc<dyn PcmTap> = line.clone();
            self.input.tap(Arc::downgrade(&tap));
        }
        let Self { config, recipe, input, lease, price, refused, stop, .. } = self;
        let history = lease.history();
        let worker = Worker {
            recipe,
            line,
            input,
            output,
            lease,
            price: price.map(Priced::new),
            linger: config.linger,
            backlog_max: config.backlog_max + config.audio_history + history,
            refused,
            stop,
            _running: Running::derived_track(recipe),
        };
        Ok((worker, reader))
    }

    /// Starts to read the input: video at the newest keyframe, audio at the present or a little before, and both behind all that is
    /// there if that has a fault. What is made for a viewer who can use some of the past begins with that.
    fn join(&self, line: &Line) -> Reader {
        let input = &self.input;
        if self.begins == Begins::BehindTheFault {
            return live::join_behind(input);
        }
        match (line, input.newest()) {
            (Line::Video(_, line), _) => line.join(),
            (Line::Audio(_), Some(newest)) => {
                let history = self.config.audio_history + self.lease.history();
                let history = if self.recipe == Recipe::Aac { history } else { Duration::ZERO };
                let history = i64::try_from(history.as_micros()).unwrap_or(0);
                input.reader(Join::At(newest.wall.offset_micros(-history)))
            }
            (Line::Audio(_), None) => input.reader(Join::Group),
        }
    }

    fn line(&self, now: Instant) -> Result<Line, Error> {
        let (config, input) = (&self.config, &self.input);
        let rendition = input.key().rendition;
        let channels = u32::from(input.parameters().channels().unwrap_or(2).clamp(1, 2));
        let audio = |settings| {
            let line = AudioLine::open(input.parameters(), input.clock_rate(), settings, config.audio_fill_max);
            line.map(|line| Line::Audio(Arc::new(TappedLine::new(line, rendition))))
        };
        // The keyframe that is there may be what the conversion before has panicked over.
        let probes = self.begins == Begins::AtOnce;
        let video = |backend| -> Result<VideoLine, Error> {
            let line = VideoLine::open(input.clone(), probes, backend, config.backlog_max, now)?;
            Ok(line.beginning_before(self.lease.history()))
        };
        match self.recipe {
            Recipe::H264 => Line::video(video(Backend::X264)?, config.video.clone()),
            Recipe::Vp8 => Line::video(video(Backend::Vpx)?, config.video.clone()),
            Recipe::Opus => audio(AudioSettings::Opus {
                bitrate_bps: config.opus_bitrate_bps * channels,
                complexity: config.opus_complexity,
                packet: config.opus_packet,
            }),
            Recipe::Aac => audio(AudioSettings::Aac { bitrate_bps: config.aac_bitrate_bps * channels }),
        }
    }
}

impl Drop for Transcoder {
    fn drop(&mut self) {
        self.shutdown();
    }
}

/// Joins a thread, unless it is the current one: a worker may be the last to hold the feed and thereby the transcoder,
/// and it cannot join itself.
fn join(thread: JoinHandle<()>) {
    if thread.thread().id() != thread::current().id() && thread.join().is_err() {
        tracing::error!("a transcoding thread panicked");
    }
}

enum Line {
    Video(Arc<Track>, Box<VideoLine>),
    Audio(Arc<TappedLine>),
}

impl Line {
    fn video(mut line: VideoLine, policy: VideoPolicy) -> Result<Self, Error> {
        let output = line.add(policy)?;
        Ok(Self::Video(output, Box::new(line)))
    }

    fn output(&self) -> &Arc<Track> {
        match self {
            Self::Video(output, _) => output,
            Self::Audio(line) => line.output(),
        }
    }
}

/// Ends the output track when the thread ends, for any reason.
struct Ends(Arc<Track>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.end();
    }
}

struct Worker {
    recipe: Recipe,
    line: Line,
    input: Arc<Track>,
    output: Arc<Track>,
    lease: Lease,
    /// What video holds of the budget.
    price: Option<Priced>,
    linger: Duration,
    backlog_max: Duration,
    refused: Arc<Refused>,
    stop: Arc<AtomicBool>,
    _running: Running,
}

impl Worker {
    fn run(mut self, reader: Reader) {
        let (label, started) = (label(self.recipe), Instant::now());
        let reason = self.work(reader).unwrap_or_else(|error| {
            tracing::error!(recipe = label, error = &error as &dyn std::error::Error, "deriving a track failed");
            "failed"
        });
        let frames = self.output.measured(Instant::now()).frames;
        tracing::debug!(recipe = label, reason, frames, lived = ?started.elapsed(), "derived track ended");
    }

    fn work(&mut self, mut reader: Reader) -> Result<&'static str, Error> {
        let seconds = metric::transcode_seconds(self.recipe);
        let mut unwanted_since = None;
        let mut priced = Instant::now();
        while !self.stop.load(Ordering::Acquire) {
            match reader.read_timeout(POLL) {
                Some(Read::Frame(frame)) => {
                    let started = Instant::now();
                    self.take(&frame, &mut reader)?;
                    seconds.record(started.elapsed().as_secs_f64());
                }
                Some(Read::Skipped(frames)) => self.skipped(frames),
                Some(Read::Ended) => {
                    self.finish()?;
                    return Ok("input_ended");
                }
                None => {}
            }
            if priced.elapsed() >= PRICE_EVERY {
                priced = Instant::now();
                if let Err(spent) = self.follow_price(priced) {
                    // Its viewers ask again, and are refused the same.
                    self.refused.count(self.input.id(), self.recipe, priced);
                    tracing::warn!(
                        kind = spent.0.name(),
                        "a conversion ends: its video grew, and the budget of pixels is spent"
                    );
                    return Ok("over_budget");
                }
            }
            if self.lease.is_wanted() {
                unwanted_since = None;
            } else if unwanted_since.get_or_insert_with(Instant::now).elapsed() >= self.linger
                && self.lease.try_release()
            {
                return Ok("nobody_watches");
            }
        }
        Ok("shutdown")
    }

    /// Prices the video as it is now. What is passed on costs nothing.
    fn follow_price(&mut self, now: Instant) -> Result<(), Spent> {
        let (Some(price), Line::Video(_, line)) = (&mut self.price, &self.line) else { return Ok(()) };
        price.follow(line.pixel_rate(now).map_or(0, price::of_conversion), now)
    }

    fn take(&mut self, frame: &Frame, reader: &mut Reader) -> Result<(), Error> {
        match &mut self.line {
            Line::Audio(line) => {
                line.take(frame)?;
                let lag = Lag::of(frame, &self.input, reader);
                if lag.time > self.backlog_max {
                    *reader = self.input.reader(Join::Group);
                    DropReason::BehindTranscode.count(lag.frames.saturating_sub(reader.backlog()));
                }
                Ok(())
            }
            Line::Video(_, line) => line.follow(frame, reader),
        }
    }

    fn skipped(&mut self, frames: u64) {
        match &mut self.line {
            Line::Video(_, line) => line.skipped(frames),
            Line::Audio(_) => DropReason::BehindTranscode.count(frames), // The line handles the hole like any other.
        }
    }

    fn finish(&mut self) -> Result<(), Error> {
        match &mut self.line {
            Line::Video(_, line) => line.finish(),
            Line::Audio(_) => Ok(()),
        }
    }
}
