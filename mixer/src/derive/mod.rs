//! Tracks derived on first demand: Opus from AAC, AAC from Opus, and from any video H.264 or VP8 without reordering and with
//! frequent keyframes.
//!
//! Each derived track has one thread. It runs from the first viewer that asks until the track has not been held for
//! [`Config::linger`]. It reads the input's ring like any viewer, so the input never waits for it, and it keeps no
//! queue of frames: frames that it cannot convert in time are left out and counted, evenly ([`pace`]). A conversion that panics ends its
//! track, and [`died`] says when the next viewer gets one again.
//!
//! ```text
//! input Track ── Reader ──▶ VideoLine | AudioLine ──▶ output Track      one thread
//!                           decode, form, encode
//! ```

mod audio;
mod died;
mod pace;
mod placement;
mod rate;
mod rung;
mod tapped;
mod video;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use onmic_media::feed::{Deriver, Lease, Recipe};
use onmic_media::life::guarded;
use onmic_media::{DropReason, Frame, Join, MediaKind, PcmTap, Read, Reader, Track};
use parking_lot::Mutex;

pub use self::rung::VideoPolicy;

use self::audio::AudioLine;
use self::died::{Begins, Died};
use self::tapped::TappedLine;
use self::video::VideoLine;
use crate::codec::encode::{AudioSettings, Backend};
use crate::codec::live::{self, Lag};
use crate::error::Error;
use crate::metric::{self, Running, label};

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
    stop: Arc<AtomicBool>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    died: Arc<Died>,
}

impl Transcoder {
    /// Makes a transcoder that opens no codec before a track is asked for. [`crate::check`] tells whether the codecs
    /// are there.
    pub fn new(config: Config) -> Arc<Self> {
        Arc::new(Self { config, stop: Arc::default(), threads: Mutex::default(), died: Arc::default() })
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

    /// Starts to read the input: video at the newest keyframe, audio at the present or a little before.
    fn join(&self, recipe: Recipe, input: &Track) -> Reader {
        match (input.kind(), input.newest()) {
            (MediaKind::Audio, Some(newest)) => {
                let history = if recipe == Recipe::Aac { self.config.audio_history } else { Duration::ZERO };
                let history = i64::try_from(history.as_micros()).unwrap_or(0);
                input.reader(Join::At(newest.wall.offset_micros(-history)))
            }
            (MediaKind::Video, _) => live::join(input),
            (MediaKind::Audio, None) | (MediaKind::Data, _) => input.reader(Join::Group),
        }
    }

    fn open(&self, recipe: Recipe, input: &Arc<Track>, now: Instant) -> Result<Line, Error> {
        let (config, rendition) = (&self.config, input.key().rendition);
        let channels = u32::from(input.parameters().channels().unwrap_or(2).clamp(1, 2));
        let audio = |settings| {
            let line = AudioLine::open(input.parameters(), input.clock_rate(), settings, config.audio_fill_max);
            line.map(|line| Line::Audio(Arc::new(TappedLine::new(line, rendition))))
        };
        let video = |backend| VideoLine::open(input.clone(), backend, config.backlog_max, now);
        match recipe {
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

    fn start(&self, recipe: Recipe, input: &Arc<Track>, lease: Lease, begins: Begins) -> Result<Arc<Track>, Error> {
        let started = Instant::now();
        let line = self.open(recipe, input, started)?;
        let output = line.output().clone();
        let mut reader = self.join(recipe, input);
        if begins == Begins::BehindTheFault {
            while let Some(Read::Frame(_) | Read::Skipped(_)) = reader.try_read() {}
        }
        if let Line::Audio(line) = &line {
            let tap: Arc<dyn PcmTap> = line.clone();
            input.tap(Arc::downgrade(&tap));
        }
        let worker = Worker {
            recipe,
            line,
            input: input.clone(),
            output: output.clone(),
            lease,
            linger: self.config.linger,
            backlog_max: self.config.backlog_max + self.config.audio_history,
            stop: self.stop.clone(),
            _running: Running::derived_track(recipe),
        };
        let name = format!("{}-from-{}", label(recipe), input.parameters().codec().name()); // Linux shows 15 characters.
        let own_name = name.clone();
        let (died, of, ends) = (self.died.clone(), input.id(), Ends(output.clone()));
        let work = move || {
            if guarded(&own_name, || worker.run(reader)).is_none() {
                died.note(of, recipe, Instant::now());
            }
            drop(ends); // Viewers ask again now.
        };
        let thread = thread::Builder::new().name(name).spawn(work).map_err(Error::Thread)?;
        let mut threads = self.threads.lock();
        let (finished, running) = threads.drain(..).partition(JoinHandle::is_finished);
        *threads = running;
        threads.push(thread);
        drop(threads);
        Vec::into_iter(finished).for_each(join);
        tracing::debug!(recipe = label(recipe), opened_in = ?started.elapsed(), "deriving a track");
        Ok(output)
    }
}

impl Deriver for Transcoder {
    fn derive(&self, recipe: Recipe, input: &Arc<Track>, lease: Lease) -> Result<Arc<Track>, String> {
        if self.stop.load(Ordering::Acquire) {
            return Err("the server is shutting down".to_owned());
        }
        let begins = self.died.begins(input.id(), recipe, Instant::now());
        if let Begins::Later(wait) = begins {
            return Err(format!("the conversion failed twice; it can begin again in {} s", wait.as_secs() + 1));
        }
        self.start(recipe, input, lease, begins).map_err(|error| {
            tracing::warn!(recipe = label(recipe), error = &error as &dyn std::error::Error, "no track was derived");
            error.sentence()
        })
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
    linger: Duration,
    backlog_max: Duration,
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
