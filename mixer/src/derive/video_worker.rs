//! The thread that makes all that is made of one track of video: plain conversions and the rungs of a ladder.
//!
//! One line ([`VideoLine`]) reads the input at the present and decodes it once for all. What is ordered later and can use some of the
//! past begins on a line of its own, which reads that past whenever the first line has nothing to read, and its encodings move over
//! once it has come as far. So a new track costs those that are there no more than a frame's time, and begins with what its viewers
//! need to begin.
//!
//! Each output has a lease, a price and an end of its own. The thread ends with the last of them, with the input, or when decoding costs
//! more than the budget has.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use metrics::Histogram;
use onmic_media::feed::{Lease, Recipe};
use onmic_media::life::Begins;
use onmic_media::{Held, Read, Reader, Track, TrackId};

use super::desk::{Desk, Order};
use super::encoding::{Aim, VideoPolicy};
use super::priced::Priced;
use super::refused::Refused;
use super::video::VideoLine;
use super::{Config, Ends, POLL};
use crate::codec::encode::Backend;
use crate::codec::live;
use crate::error::Error;
use crate::metric::{self, Running, label};
use crate::price;

/// How often a conversion is priced anew, because its video may have another size or rate.
const PRICE_EVERY: Duration = Duration::from_secs(1);

/// Makes tracks of one input.
pub(super) struct VideoWorker {
    config: Config,
    input: Arc<Track>,
    /// What decoding holds of the budget.
    decoding: Priced,
    desk: Arc<Desk>,
    refused: Arc<Refused>,
    stop: Arc<AtomicBool>,
    /// The line at the present. `None` before the first order.
    line: Option<Reading>,
    /// Lines that have yet to come as far.
    behind: Vec<Reading>,
    outputs: Vec<Output>,
    /// The order that is being carried out. Its sender is dropped only after a death is noted.
    opening: Option<Order>,
}

/// A line and its place in the input.
struct Reading {
    line: VideoLine,
    reader: Reader,
}

/// A track that is made.
struct Output {
    recipe: Recipe,
    track: Ends,
    lease: Lease,
    price: Priced,
    began: Instant,
    unwanted_since: Option<Instant>,
    seconds: Histogram,
    _running: Running,
}

impl Reading {
    /// Takes in what was read.
    fn take(&mut self, read: Read) {
        match read {
            Read::Frame(frame) => self.line.follow(&frame, &mut self.reader),
            Read::Skipped(frames) => self.line.skipped(frames),
            Read::Ended => self.line.finish(),
        }
    }

    /// Takes in all that is left.
    fn finish(&mut self) {
        while let Some(read) = self.reader.try_read() {
            let is_over = matches!(read, Read::Ended);
            self.take(read);
            if is_over {
                return;
            }
        }
    }
}

impl Output {
    fn id(&self) -> TrackId {
        self.track.0.id()
    }

    fn tell_end(&self, reason: &'static str, now: Instant) {
        let (recipe, frames) = (label(self.recipe), self.track.0.measured(now).frames);
        let lived = now.saturating_duration_since(self.began);
        tracing::debug!(recipe, key = %self.track.0.key(), reason, frames, ?lived, "derived track ended");
    }

    /// Returns whether nobody has held it for `linger`, and nobody can get it any more.
    fn is_left(&mut self, linger: Duration, now: Instant) -> bool {
        if self.lease.is_wanted() {
            self.unwanted_since = None;
            return false;
        }
        let since = *self.unwanted_since.get_or_insert(now);
        now.saturating_duration_since(since) >= linger && self.lease.try_release()
    }
}

impl VideoWorker {
    /// Makes the work on `input`, the decoding of which holds a part of the budget. It does what is ordered at the desk.
    pub(super) fn new(
        config: Config,
        (input, decoding): (Arc<Track>, Held),
        desk: Arc<Desk>,
        refused: Arc<Refused>,
        stop: Arc<AtomicBool>,
    ) -> Self {
        let (decoding, behind, outputs) = (Priced::new(decoding), Vec::new(), Vec::new());
        Self { config, input, decoding, desk, refused, stop, line: None, behind, outputs, opening: None }
    }

    /// Works until nobody needs any of it.
    pub(super) fn run(&mut self) {
        let reason = self.work();
        let now = Instant::now();
        self.outputs.iter().for_each(|output| output.tell_end(reason, now));
        self.desk.close();
    }

    fn work(&mut self) -> &'static str {
        let mut priced = Instant::now();
        while !self.stop.load(Ordering::Acquire) {
            while let Some(order) = self.desk.take() {
                self.carry_out(order);
            }
            if self.outputs.is_empty() && self.desk.close_if_empty() {
                return "nobody_watches";
            }
            if self.read() {
                return "input_ended";
            }
            self.end_failed();
            self.move_over();
            let now = Instant::now();
            if now.saturating_duration_since(priced) >= PRICE_EVERY {
                priced = now;
                if !self.follow_prices(now) {
                    return "over_budget";
                }
            }
            let linger = self.config.linger;
            self.end("nobody_watches", now, |output| output.is_left(linger, now));
        }
        "shutdown"
    }

    fn carry_out(&mut self, order: Order) {
        let (recipe, history, begins) = (order.recipe, order.lease.history(), order.begins);
        self.opening = Some(order);
        let now = Instant::now();
        let opened = self.open(recipe, history, begins, now);
        let Some(Order { lease, price, opened: waits, .. }) = self.opening.take() else { return };
        // Who ordered it waits, or is gone.
        match opened {
            Ok((track, seconds, running)) => {
                _ = waits.send(Ok(track.clone()));
                self.outputs.push(Output {
                    recipe,
                    track: Ends(track),
                    lease,
                    price: Priced::new(price),
                    began: now,
                    unwanted_since: None,
                    seconds,
                    _running: running,
                });
            }
            Err(error) => _ = waits.send(Err(error)),
        }
    }

    /// Opens the encoder of a recipe, and a decoder if it has to begin in the past.
    fn open(
        &mut self,
        recipe: Recipe,
        history: Duration,
        begins: Begins,
        now: Instant,
    ) -> Result<(Arc<Track>, Histogram, Running), Error> {
        let (aim, policy) = self.aim(recipe)?;
        let meters = || (metric::transcode_seconds(recipe), Running::derived_track(recipe));
        let is_rung = matches!(aim, Aim::Rung(..));
        if let Some(present) =
            self.line.as_mut().filter(|present| is_rung && history.is_zero() && present.line.decodes())
        {
            let track = present.line.add(aim, policy)?;
            let (seconds, running) = meters();
            return Ok((track, seconds, running));
        }
        // The keyframe that is there may be what the conversion before has panicked over.
        let probes = begins == Begins::AtOnce;
        let mut line = VideoLine::open(self.input.clone(), probes, self.config.backlog_max, now)?;
        let track = line.add(aim, policy)?;
        let line = if is_rung { line.beginning_with_a_group(history) } else { line.beginning_before(history) };
        let reader = if probes { line.join() } else { live::join_behind(&self.input) };
        let (seconds, running) = meters();
        let reading = Reading { line, reader };
        match &self.line {
            Some(_) => self.behind.push(reading),
            None => self.line = Some(reading),
        }
        Ok((track, seconds, running))
    }

    fn aim(&self, recipe: Recipe) -> Result<(Aim, VideoPolicy), Error> {
        let aim = match recipe {
            Recipe::Rung(rendition) => {
                let rung = self.config.ladder.rung(rendition).ok_or(Error::NoSuchRung(rendition.0))?;
                Aim::Rung(rendition, *rung)
            }
            Recipe::Vp8 => Aim::Plain(Backend::Vpx),
            _ => Aim::Plain(Backend::X264),
        };
        Ok((aim, self.config.video.clone()))
    }

    /// Reads a frame: of the line at the present if it has one, or else of one that is behind. Returns whether the input has ended.
    fn read(&mut self) -> bool {
        let Some(present) = &mut self.line else { return false };
        let next = if self.behind.is_empty() { None } else { present.reader.try_read() };
        let read = next.or_else(|| {
            if self.behind.is_empty() || !Self::read_behind(&mut self.behind) {
                return present.reader.read_timeout(POLL);
            }
            None
        });
        let Some(read) = read else { return false };
        if matches!(read, Read::Ended) {
            present.take(read);
            self.behind.iter_mut().for_each(Reading::finish);
            return true;
        }
        let started = Instant::now();
        present.take(read);
        let seconds = started.elapsed().as_secs_f64();
        self.outputs.iter().for_each(|output| output.seconds.record(seconds));
        false
    }

    /// Reads a frame of the line whose turn it is, and returns whether it had one.
    fn read_behind(behind: &mut [Reading]) -> bool {
        behind.rotate_left(1);
        let Some(read) = behind[0].reader.try_read() else { return false };
        let is_over = matches!(read, Read::Ended);
        behind[0].take(read);
        !is_over
    }

    /// Moves the encodings of the lines that have come as far as the one at the present over to that.
    fn move_over(&mut self) {
        let Some(present) = &mut self.line else { return };
        let taken = present.line.taken();
        let (come, behind) = self.behind.drain(..).partition(|reading| reading.line.taken() == taken);
        self.behind = behind;
        for mut reading in Vec::into_iter(come) {
            // A line that passes everything on has decoded nothing, and could not go on from here.
            if reading.line.decodes() && !present.line.decodes() {
                std::mem::swap(present, &mut reading);
            }
            present.line.adopt(reading.line);
        }
    }

    /// Ends the outputs whose encoder has failed.
    fn end_failed(&mut self) {
        let lines = self.line.iter_mut().chain(&mut self.behind);
        let failed: Vec<_> = lines.flat_map(|reading| reading.line.take_failed()).collect();
        for (track, error) in failed {
            tracing::error!(error = &error as &dyn std::error::Error, "deriving a track failed");
            self.end("failed", Instant::now(), |output| output.id() == track);
        }
    }

    /// Prices the video as it is now. What is passed on costs nothing. Returns whether the budget has what decoding costs.
    fn follow_prices(&mut self, now: Instant) -> bool {
        let lines: Vec<_> = self.line.iter().chain(&self.behind).map(|reading| &reading.line).collect();
        let pixels = price::of_track(&self.input.parameters(), &self.input.measured(now));
        let decodes = lines.iter().any(|line| line.decodes());
        let mut spent = Vec::new();
        for output in &mut self.outputs {
            let encodes = lines.iter().any(|line| line.encodes(output.track.0.id()));
            let price = if encodes { self.config.price(output.recipe, &self.input, now) } else { 0 };
            if let Err(why) = output.price.follow(price, now) {
                spent.push((output.id(), output.recipe, why));
            }
        }
        for (track, recipe, why) in spent {
            self.tell_refusal(recipe, why.0.name(), now);
            self.end("over_budget", now, |output| output.id() == track);
        }
        let decoding = self.decoding.follow(if decodes { price::of_decoding(pixels) } else { 0 }, now);
        if let Err(why) = decoding {
            self.outputs.iter().for_each(|output| self.tell_refusal(output.recipe, why.0.name(), now));
        }
        decoding.is_ok()
    }

    /// Its viewers ask again, and are refused the same.
    fn tell_refusal(&self, recipe: Recipe, kind: &'static str, now: Instant) {
        self.refused.count(self.input.id(), recipe, now);
        tracing::warn!(
            kind,
            recipe = label(recipe),
            "a conversion ends: its video grew, and the budget of pixels is spent"
        );
    }

    /// Ends the outputs that are `over`.
    fn end(&mut self, reason: &'static str, now: Instant, mut over: impl FnMut(&mut Output) -> bool) {
        let lines = &mut self.line;
        let behind = &mut self.behind;
        self.outputs.retain_mut(|output| {
            let is_over = over(output);
            if is_over {
                output.tell_end(reason, now);
                lines.iter_mut().chain(behind.iter_mut()).for_each(|reading| reading.line.remove(output.id()));
            }
            !is_over
        });
        self.behind.retain(|reading| !reading.line.is_empty());
    }
}
