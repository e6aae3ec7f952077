//! The thread that composes and encodes. It waits, asks [`Tick`], draws, encodes and hands the frame on.
//!
//! It owns the canvas and the encoder. Scenes reach it drawn ahead. The newest one applies from the next frame on.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use onmic_media::codec::Colour;
use onmic_media::metric::Latency;
use onmic_media::{ClockRate, Frame, NodeClock, ProgramClock, WallTime};
use parking_lot::Mutex;

use super::bell::Bell;
use super::compositor::{Compositor, Shown};
use super::input::{Slot, count};
use super::plan::Plan;
use super::positions::{Origin, Positions};
use super::settings::Settings;
use super::sink::{PictureSink, Wanted};
use super::tick::{Moment, Tick};
use crate::codec::RawVideo;
use crate::codec::cadence::Cadence;
use crate::codec::encode::{Backend, VideoEncoder};
use crate::codec::picture::Picture;
use crate::error::Error;
use crate::scene::{InputId, Size};

/// The most frames of the lead that may wait and still be shown one by one. Three are 100 ms at 30 fps: a stutter of up
/// to that is made up for, and after a longer one frames are skipped.
const LEAD_BEHIND: usize = 3;

/// The most composed frames in a row that may not be keyframes because they lack the lead's frame of their time. The
/// program may be spliced at a keyframe. There a lead's frame that comes after its time would repeat what viewers have
/// seen.
const MISSED_MAX: u32 = 10;

/// The bits per pixel if no bitrate is set: 2.5 Mbit/s for 720p30.
const BITS_PER_PIXEL: f64 = 0.09;

/// Holds a scene on its way to the composer.
pub(super) struct Next {
    pub(super) plan: Arc<Plan>,
    pub(super) slots: HashMap<InputId, Channel>,
}

#[derive(Clone)]
pub(super) struct Channel {
    pub(super) slot: Arc<Slot>,
    pub(super) delay: Duration,
}

/// Holds the state that the handle and the thread share.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) next: Mutex<Option<Next>>,
    pub(super) stop: AtomicBool,
    pub(super) bell: Arc<Bell>,
}

/// Encodes one canvas.
struct Encoder(VideoEncoder);

impl Encoder {
    fn open(settings: &Settings, canvas: Size, frame_rate: f64) -> Result<Self, Error> {
        const BT709: u8 = 1;
        let colour = Colour { primaries: BT709, transfer: BT709, matrix: BT709, full_range: false };
        let picture = Picture { width: canvas.width, height: canvas.height, colour };
        let by_size = f64::from(picture.pixels()) * frame_rate * BITS_PER_PIXEL;
        let bitrate_bps = settings.bitrate_bps.unwrap_or(by_size as u64);
        VideoEncoder::open_with(settings.backend, picture, frame_rate, bitrate_bps, &settings.encoder).map(Self)
    }

    fn fits(&self, canvas: Size, frame_rate: f64) -> bool {
        let picture = self.0.picture();
        (picture.width, picture.height) == (canvas.width, canvas.height) && self.0.frame_rate() == frame_rate
    }
}

pub(super) struct Composer {
    settings: Settings,
    shared: Arc<Shared>,
    clock: NodeClock,
    tick: Tick,
    compositor: Compositor,
    encoder: Encoder,
    positions: Positions,
    cadence: Cadence,
    slots: HashMap<InputId, Channel>,
    lead: Option<InputId>,
    /// The number of the lead's newest frame that the tick knows.
    lead_number: u64,
    /// The number of composed frames since the last one that showed the lead's frame of its time.
    missed: u32,
    last_arrived: Option<Instant>,
    seconds: metrics::Histogram,
}

impl Composer {
    /// Makes a composer that is ready to compose the first frame of `next`.
    pub(super) fn open(
        settings: Settings,
        shared: Arc<Shared>,
        clock: NodeClock,
        origin: Origin,
        next: &Next,
        now: Instant,
    ) -> Result<Self, Error> {
        Ok(Self {
            encoder: Encoder::open(&settings, next.plan.canvas, next.plan.frame_rate_max)?,
            tick: Tick::new(next.plan.frame_rate_max, now),
            compositor: Compositor::new(next.plan.clone()),
            positions: Positions::new(origin),
            cadence: Cadence::new(settings.keyframe_interval, Duration::ZERO),
            seconds: Latency::MixVideo.histogram(),
            slots: HashMap::new(),
            lead: None,
            lead_number: 0,
            missed: 0,
            last_arrived: None,
            settings,
            shared,
            clock,
        })
    }

    pub(super) fn run(mut self, mut sink: impl PictureSink) {
        let (started, mut frames) = (Instant::now(), 0_u64);
        let reason = loop {
            if self.shared.stop.load(Ordering::Acquire) {
                break "stopped";
            }
            let frame = match self.next_frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => continue,
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "composing failed");
                    break "failed";
                }
            };
            frames += 1;
            match sink.push(frame) {
                Wanted::Go => {}
                Wanted::Keyframe => self.cadence.want(),
                Wanted::Stop => break "not_wanted",
            }
        };
        tracing::debug!(reason, frames, lived = ?started.elapsed(), "video mixer ended");
    }

    /// Composes a frame if one is due. Otherwise waits for the next cause to compose one, and returns `None`.
    fn next_frame(&mut self) -> Result<Option<Frame>, Error> {
        let next = self.shared.next.lock().take();
        if let Some(next) = next {
            self.apply(next)?;
        }
        let (now, shown) = (Instant::now(), self.tick.shown());
        let lead = self.lead_wall(shown);
        let has_lead = self.has_lead();
        match self.tick.poll(now, lead, has_lead, self.clock.wall(now)) {
            Some(moment) => self.compose(now, moment, shown).map(Some),
            None => {
                self.shared.bell.wait_until(self.tick.deadline(lead, has_lead));
                Ok(None)
            }
        }
    }

    fn has_lead(&self) -> bool {
        self.lead.as_ref().is_some_and(|lead| self.slots.contains_key(lead))
    }

    fn apply(&mut self, next: Next) -> Result<(), Error> {
        let Next { plan, slots } = next;
        if !self.encoder.fits(plan.canvas, plan.frame_rate_max) {
            self.encoder = Encoder::open(&self.settings, plan.canvas, plan.frame_rate_max)?;
        }
        let same_lead = self.lead == plan.lead && {
            let slot = |slots: &HashMap<InputId, Channel>| {
                plan.lead.as_ref().and_then(|lead| Some(slots.get(lead)?.slot.clone()))
            };
            match (slot(&self.slots), slot(&slots)) {
                (Some(before), Some(after)) => Arc::ptr_eq(&before, &after),
                (before, after) => before.is_none() && after.is_none(),
            }
        };
        if !same_lead {
            self.tick.set_lead();
            self.lead_number = 0;
        }
        self.tick.set_frame_rate_max(plan.frame_rate_max);
        self.lead = plan.lead.clone();
        for (id, channel) in &slots {
            channel.slot.leads.store(Some(id) == self.lead.as_ref(), Ordering::Relaxed);
        }
        self.slots = slots;
        self.compositor.set_plan(plan);
        Ok(())
    }

    /// Returns the time of the lead's frame that would be shown next.
    fn lead_wall(&mut self, shown: Option<WallTime>) -> Option<WallTime> {
        let channel = self.slots.get(self.lead.as_ref()?)?;
        let queue = channel.slot.queue.lock();
        for decoded in queue.later_than(self.lead_number) {
            self.lead_number = decoded.number;
            self.tick.lead_decoded(decoded.wall);
        }
        queue.next_to_lead(shown, LEAD_BEHIND).map(|decoded| decoded.wall)
    }

    fn compose(&mut self, now: Instant, moment: Moment, shown: Option<WallTime>) -> Result<Frame, Error> {
        let (mut lead, mut lead_arrived) = (None, None);
        let mut pictures: HashMap<&InputId, (Arc<RawVideo>, u64)> = HashMap::new();
        for (id, channel) in &self.slots {
            let mut queue = channel.slot.queue.lock();
            if Some(id) != self.lead.as_ref() {
                let delay = i64::try_from(channel.delay.as_micros()).unwrap_or(i64::MAX);
                count(queue.advance(moment.wall.offset_micros(-delay)));
            } else if moment.led {
                count(queue.lead(shown, LEAD_BEHIND));
                if let Some(decoded) = queue.shown() {
                    lead = Some((decoded.pts, decoded.wall));
                    lead_arrived = Some(decoded.arrived);
                }
            }
            if let Some(decoded) = queue.fresh(now, self.settings.stale_after) {
                pictures.insert(id, (decoded.picture.clone(), decoded.number));
            }
        }
        let on_time = !self.has_lead() || lead.is_some_and(|(_, wall)| wall == moment.wall);
        self.missed = if on_time { 0 } else { self.missed.saturating_add(1) };
        let canvas = self.compositor.draw(|id| match pictures.get(id) {
            Some((picture, number)) => Shown::Picture(picture, *number),
            None => Shown::Placeholder,
        })?;
        let picture = lead.map(|(pts, wall)| ProgramClock::through(pts.micros(ClockRate::VIDEO), wall));
        let pts = self.positions.place(moment.wall, picture);
        let idr = self.cadence.is_due(pts, false, None) && !(1..=MISSED_MAX).contains(&self.missed);
        let unit = match self.encoder.0.encode(canvas, idr) {
            Err(error) if self.settings.backend != Backend::X264 => {
                tracing::warn!(
                    encoder = self.settings.backend.name(),
                    error = &error as &dyn std::error::Error,
                    "the GPU's encoder failed: x264 takes over"
                );
                self.settings.backend = Backend::X264;
                let Plan { canvas: size, frame_rate_max, .. } = **self.compositor.plan();
                self.encoder = Encoder::open(&self.settings, size, frame_rate_max)?;
                self.encoder.0.encode(self.compositor.canvas(), true)?
            }
            encoded => encoded?,
        };
        if unit.keyframe {
            self.cadence.made(pts);
        }
        if let Some(arrived) = lead_arrived {
            self.seconds.record(arrived.elapsed().as_secs_f64());
        }
        // Arrivals in a ring must not decrease.
        let arrived = lead_arrived.unwrap_or(now);
        let arrived = self.last_arrived.map_or(arrived, |last| last.max(arrived));
        self.last_arrived = Some(arrived);
        let parameters = self.encoder.0.parameters().clone();
        let (wall, keyframe, payload) = (moment.wall, unit.keyframe, unit.payload);
        Ok(Frame { dts: pts, pts, wall, arrived, keyframe, parameters, payload })
    }
}
