//! The thread that derives one track of audio.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use onmic_media::feed::{Lease, Recipe};
use onmic_media::life::Begins;
use onmic_media::{DropReason, Frame, Join, PcmTap, Read, Reader, Track};

use super::audio::AudioLine;
use super::tapped::TappedLine;
use super::{Config, POLL};
use crate::codec::encode::AudioSettings;
use crate::codec::live::{self, Lag};
use crate::error::Error;
use crate::metric::{self, Running, label};

/// All that the thread begins with.
pub(super) struct Opening {
    pub(super) config: Config,
    pub(super) recipe: Recipe,
    pub(super) input: Arc<Track>,
    pub(super) lease: Lease,
    pub(super) begins: Begins,
    pub(super) stop: Arc<AtomicBool>,
}

impl Opening {
    /// Opens the codecs, and begins to read the input.
    pub(super) fn open(self) -> Result<(AudioWorker, Reader), Error> {
        let line = Arc::new(self.line()?);
        let reader = self.join();
        let tap: Arc<dyn PcmTap> = line.clone();
        self.input.tap(Arc::downgrade(&tap));
        let Self { config, recipe, input, lease, stop, .. } = self;
        let worker = AudioWorker {
            recipe,
            line,
            input,
            linger: config.linger,
            backlog_max: config.backlog_max + config.audio_history + lease.history(),
            lease,
            stop,
            _running: Running::derived_track(recipe),
        };
        Ok((worker, reader))
    }

    /// Starts to read the input at the present or a little before, and behind all that is there if that has a fault. What is made for a
    /// viewer who can use some of the past begins with that.
    fn join(&self) -> Reader {
        if self.begins == Begins::BehindTheFault {
            return live::join_behind(&self.input);
        }
        let Some(newest) = self.input.newest() else { return self.input.reader(Join::Group) };
        let history = self.config.audio_history + self.lease.history();
        let history = if self.recipe == Recipe::Aac { history } else { Duration::ZERO };
        let history = i64::try_from(history.as_micros()).unwrap_or(0);
        self.input.reader(Join::At(newest.wall.offset_micros(-history)))
    }

    fn line(&self) -> Result<TappedLine, Error> {
        let (config, parameters) = (&self.config, self.input.parameters());
        let channels = u32::from(parameters.channels().unwrap_or(2).clamp(1, 2));
        let settings = match self.recipe {
            Recipe::Opus => AudioSettings::Opus {
                bitrate_bps: config.opus_bitrate_bps * channels,
                complexity: config.opus_complexity,
                packet: config.opus_packet,
            },
            _ => AudioSettings::Aac { bitrate_bps: config.aac_bitrate_bps * channels },
        };
        let line = AudioLine::open(parameters, self.input.clock_rate(), settings, config.audio_fill_max)?;
        Ok(TappedLine::new(line, self.input.key().rendition))
    }
}

/// Reads the input and fills the derived track.
pub(super) struct AudioWorker {
    recipe: Recipe,
    line: Arc<TappedLine>,
    input: Arc<Track>,
    lease: Lease,
    linger: Duration,
    backlog_max: Duration,
    stop: Arc<AtomicBool>,
    _running: Running,
}

impl AudioWorker {
    /// Returns the track that it fills.
    pub(super) fn output(&self) -> &Arc<Track> {
        self.line.output()
    }

    pub(super) fn run(mut self, reader: Reader) {
        let (label, started) = (label(self.recipe), Instant::now());
        let reason = self.work(reader).unwrap_or_else(|error| {
            tracing::error!(recipe = label, error = &error as &dyn std::error::Error, "deriving a track failed");
            "failed"
        });
        let frames = self.output().measured(Instant::now()).frames;
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
                // The line handles the hole like any other.
                Some(Read::Skipped(frames)) => DropReason::BehindTranscode.count(frames),
                Some(Read::Ended) => return Ok("input_ended"),
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
        self.line.take(frame)?;
        let lag = Lag::of(frame, &self.input, reader);
        if lag.time > self.backlog_max {
            *reader = self.input.reader(Join::Group);
            DropReason::BehindTranscode.count(lag.frames.saturating_sub(reader.backlog()));
        }
        Ok(())
    }
}
