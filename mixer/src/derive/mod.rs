//! Tracks derived on first demand: Opus from AAC, AAC from Opus, and from any video H.264 or VP8 without reordering and with
//! frequent keyframes, and the rungs of a ladder.
//!
//! Each derived track of audio has one thread. All that is made of one track of video has one thread together, which decodes once. A
//! track is made from the first viewer that asks until it has not been held for
//! [`Config::linger`]. A thread reads the input's ring like any viewer, so the input never waits for it, and it keeps no
//! queue of frames: frames that it cannot convert in time are left out and counted, evenly ([`pace`]). A thread that panics ends its
//! tracks, and [`died`] says when the next viewer gets one again. One that panics while it opens is begun again for the same viewer.
//!
//! A conversion of video holds its price of the node's budget, or does not begin. One whose video grows beyond the budget ends. Its
//! thread has a lower priority than those of media, and opens the codecs itself, so that their threads have it too.
//!
//! ```text
//! input Track ── Reader ──▶ AudioLine: decode, resample, encode ──▶ output Track     one thread
//! input Track ── Reader ──▶ VideoLine: decode ─┬─ Encoding ───────▶ output Track     one thread
//!                                              └─ Encoding ───────▶ output Track
//! ```

mod audio;
mod audio_worker;
mod desk;
mod died;
mod encoding;
mod failed;
mod pace;
mod placement;
mod priced;
mod rate;
mod refused;
mod tapped;
mod video;
mod video_worker;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use onmic_media::feed::{Deriver, Ladder, Lease, NotDerived, Recipe};
use onmic_media::life::{Begins, guarded};
use onmic_media::{Budget, Codec, Held, MediaKind, Spent, Track, TrackId, Work};
use parking_lot::Mutex;

pub use self::encoding::VideoPolicy;

use self::audio_worker::Opening;
use self::desk::{Desk, Order};
use self::died::Died;
use self::failed::Failed;
use self::refused::Refused;
use self::video_worker::VideoWorker;
use crate::error::Error;
use crate::metric::label;
use crate::{price, priority};

/// How long a thread waits for input before it checks whether it is still needed.
const POLL: Duration = Duration::from_millis(100);

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
    /// The smaller forms of video that are made on demand.
    pub ladder: Ladder,
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
            ladder: Ladder::default(),
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
    /// Where the threads that convert video are given more to do, by their inputs.
    desks: Mutex<HashMap<TrackId, Arc<Desk>>>,
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
        let (stop, threads, desks) = (Arc::default(), Mutex::default(), Mutex::default());
        let (died, failed, refused) = (Arc::default(), Failed::default(), Arc::default());
        Arc::new(Self { config, budget, stop, threads, desks, died, failed, refused })
    }

    /// Returns how many threads derive tracks.
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

    /// Begins what a recipe makes of a track, and returns its track once its codecs are open. `None` if the thread has panicked before,
    /// which is noted.
    fn start(
        &self,
        recipe: Recipe,
        input: &Arc<Track>,
        lease: Lease,
        begins: Begins,
    ) -> Result<Option<Arc<Track>>, NotDerived> {
        let started = Instant::now();
        let open = match input.kind() {
            MediaKind::Video => self.order_video(recipe, input, lease, begins)?,
            _ => self.start_audio(recipe, input, lease, begins)?,
        };
        // A death is noted before the sender is dropped.
        let Ok(output) = open.recv() else { return Ok(None) };
        let output = output.map_err(|error| {
            // A keyframe may come at any moment.
            if !matches!(error, Error::NoPictureYet) {
                self.failed.note(input.id(), recipe, &error.sentence(), Instant::now());
            }
            not_derived(recipe, &error)
        })?;
        tracing::debug!(recipe = label(recipe), opened_in = ?started.elapsed(), "deriving a track");
        Ok(Some(output))
    }

    /// Starts the thread that opens the codecs of audio and derives.
    fn start_audio(
        &self,
        recipe: Recipe,
        input: &Arc<Track>,
        lease: Lease,
        begins: Begins,
    ) -> Result<Receiver<Opened>, NotDerived> {
        let (config, stop) = (self.config.clone(), self.stop.clone());
        let opening = Opening { config, recipe, input: input.clone(), lease, begins, stop };
        let (opened, open) = sync_channel(1);
        let (died, of) = (self.died.clone(), input.id());
        let name = thread_name(recipe, input);
        let own_name = name.clone();
        let work = move || {
            let mut ends = None;
            let run = || match opening.open() {
                Ok((worker, reader)) => {
                    ends = Some(Ends(worker.output().clone()));
                    _ = opened.send(Ok(worker.output().clone())); // Its caller waits.
                    worker.run(reader);
                }
                Err(error) => _ = opened.send(Err(error)),
            };
            if guarded(&own_name, run).is_none() {
                died.note(of, recipe, Instant::now());
            }
            drop(ends); // Viewers ask again now.
        };
        self.spawn(recipe, name, work)?;
        Ok(open)
    }

    /// Orders video of the thread that converts this input, or starts one. It opens the codecs.
    fn order_video(
        &self,
        recipe: Recipe,
        input: &Arc<Track>,
        lease: Lease,
        begins: Begins,
    ) -> Result<Receiver<Opened>, NotDerived> {
        let mut desks = self.desks.lock();
        desks.retain(|_, desk| desk.is_open());
        let running = desks.get(&input.id()).cloned();
        let (price, decoding) = self.priced(recipe, input, running.is_none())?;
        let (order, open) = Order::new(recipe, lease, begins, price);
        let order = match running {
            Some(desk) => match desk.place(order) {
                None => return Ok(open),
                Some(order) => order,
            },
            None => order,
        };
        // It has ended a moment ago, so it gives back what it held, and this one takes it.
        let decoding = match decoding {
            Some(held) => held,
            None => self.refusing(recipe, input, |budget| budget.take(work_of(recipe, input), decoding_of(input)))?,
        };
        let desk = Arc::new(Desk::with(order));
        let (config, refused, stop) = (self.config.clone(), self.refused.clone(), self.stop.clone());
        let mut worker = VideoWorker::new(config, (input.clone(), decoding), desk.clone(), refused, stop);
        let (died, of, own) = (self.died.clone(), input.id(), desk.clone());
        let name = thread_name(recipe, input);
        let own_name = name.clone();
        let work = move || {
            let run = || {
                priority::lower();
                worker.run();
            };
            if guarded(&own_name, run).is_none() {
                died.note(of, recipe, Instant::now());
            }
            own.close();
            drop(worker); // Viewers ask again now.
        };
        self.spawn(recipe, name, work)?;
        desks.insert(input.id(), desk);
        Ok(open)
    }

    fn spawn(&self, recipe: Recipe, name: String, work: impl FnOnce() + Send + 'static) -> Result<(), NotDerived> {
        let thread = thread::Builder::new().name(name).spawn(work);
        let thread = thread.map_err(|error| not_derived(recipe, &Error::Thread(error)))?;
        let mut threads = self.threads.lock();
        let (finished, running) = threads.drain(..).partition(JoinHandle::is_finished);
        *threads = running;
        threads.push(thread);
        drop(threads);
        Vec::into_iter(finished).for_each(join);
        Ok(())
    }

    /// Takes the price of a conversion of video out of the budget, and with it that of decoding the video if it is the first.
    fn priced(&self, recipe: Recipe, input: &Track, decodes: bool) -> Result<(Held, Option<Held>), Spent> {
        self.refusing(recipe, input, |budget| {
            let work = work_of(recipe, input);
            let encoding = budget.take(work, self.config.price(recipe, input, measured_at(input)))?;
            let decoding = decodes.then(|| budget.take(work, decoding_of(input))).transpose()?;
            Ok((encoding, decoding))
        })
    }

    /// Notes a refusal of the budget, or that there is none any more.
    fn refusing<T>(
        &self,
        recipe: Recipe,
        input: &Track,
        take: impl FnOnce(&Arc<Budget>) -> Result<T, Spent>,
    ) -> Result<T, Spent> {
        let taken = take(&self.budget).inspect_err(|spent| {
            self.refused.count(input.id(), recipe, Instant::now());
            tracing::debug!(kind = spent.0.name(), "a conversion was refused: the budget of pixels is spent");
        })?;
        self.refused.forget(input.id(), recipe);
        Ok(taken)
    }
}

/// Returns what a conversion of video is, for the order in which works are refused.
fn work_of(recipe: Recipe, input: &Track) -> Work {
    let parameters = input.newest().map_or_else(|| input.parameters(), |newest| newest.parameters.clone());
    match recipe {
        Recipe::Rung(_) => Work::Rung,
        // What every player of LL-HLS decodes can be watched without a conversion.
        _ if parameters.codec() == Codec::H264 && parameters.is_widely_decoded() => Work::SpareConversion,
        _ => Work::Conversion,
    }
}

/// Returns the moment of the newest frame, at which the rates of a track are known.
fn measured_at(input: &Track) -> Instant {
    input.newest().map_or_else(Instant::now, |newest| newest.arrived)
}

/// Returns what decoding this video costs.
fn decoding_of(input: &Track) -> u64 {
    let parameters = input.newest().map_or_else(|| input.parameters(), |newest| newest.parameters.clone());
    price::of_decoding(price::of_track(&parameters, &input.measured(measured_at(input))))
}

fn not_derived(recipe: Recipe, error: &Error) -> NotDerived {
    tracing::warn!(recipe = label(recipe), error = error as &dyn std::error::Error, "no track was derived");
    NotDerived::Failed(error.sentence())
}

/// Returns the name of a thread. Linux shows 15 characters.
fn thread_name(recipe: Recipe, input: &Track) -> String {
    format!("{}-from-{}", label(recipe), input.parameters().codec().name())
}

impl Config {
    /// Returns what encoding video by a recipe costs, in pixels per second.
    fn price(&self, recipe: Recipe, input: &Track, now: Instant) -> u64 {
        let parameters = input.newest().map_or_else(|| input.parameters(), |newest| newest.parameters.clone());
        let measured = input.measured(now);
        match recipe {
            Recipe::Rung(rendition) => {
                let rung = self.ladder.rung(rendition);
                rung.map_or(0, |rung| price::of_rung(rung, &parameters, &measured))
            }
            _ => price::of_track(&parameters, &measured),
        }
    }
}

/// What the thread tells who ordered a track: the track, once its codecs are open.
type Opened = Result<Arc<Track>, Error>;

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

    fn ladder(&self) -> Ladder {
        self.config.ladder.clone()
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

/// Ends the output track when what makes it ends, for any reason.
#[derive(Debug)]
struct Ends(Arc<Track>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.end();
    }
}
