//! The thread that composes and encodes: it waits, asks [`Tick`], draws, encodes and hands the frame on.
//!
//! It owns canvas and encoder. Scenes come to it drawn ahead; the newest wins and holds from the next frame on. One thread
//! per input decodes for it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use onmic_media::codec::Colour;
use onmic_media::metric::Latency;
use onmic_media::{Feed, Frame, NodeClock, WallTime};
use parking_lot::Mutex;

use super::compositor::{Compositor, Shown};
use super::input::{Bell, Input, Slot, count};
use super::plan::Plan;
use super::tick::{Moment, Tick};
use super::timeline::{Origin, Timeline};
use crate::codec::RawVideo;
use crate::codec::cadence::Cadence;
use crate::codec::encode::{Backend, VideoEncoder, VideoSettings};
use crate::codec::picture::Picture;
use crate::error::Error;
use crate::scene::{InputId, Scene, Size};

/// The lead's pictures are shown one by one until more wait: a stutter of 100 ms is made up for, a longer one cut.
const LEAD_BEHIND: usize = 3;

/// The program may be spliced at a keyframe, where a lead's picture that comes after its time would repeat what viewers have
/// seen: such a frame is none, unless more than so many follow each other.
const MISSED_MAX: u32 = 10;

/// Bits per pixel when no bitrate is set: 2.5 Mbit/s for 720p30.
const BITS_PER_PIXEL: f64 = 0.09;

/// How the program's picture is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// See [`Backend::choose`].
    pub backend: Backend,
    /// The encoder's.
    pub encoder: VideoSettings,
    /// Bits per second; without it the size and frame rate decide.
    pub bitrate_bps: Option<u64>,
    /// A keyframe at least this often.
    pub keyframe_interval: Duration,
    /// An input whose picture has not changed for so long is a placeholder.
    pub stale_after: Duration,
    /// Where the program's timeline is; without it the first lead's timestamps are the program's.
    pub origin: Option<Origin>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            backend: Backend::X264,
            encoder: VideoSettings::default(),
            bitrate_bps: None,
            keyframe_interval: Duration::from_secs(2),
            stale_after: Duration::from_secs(3),
            origin: None,
        }
    }
}

/// Where an input comes from.
#[derive(Clone, Debug)]
pub struct PictureSource {
    /// As tiles name it.
    pub id: InputId,
    /// Its pictures, now or later.
    pub feed: Arc<Feed>,
    /// How much later than the lead's it is shown, so that it stays with its sound. The lead's own is not looked at.
    pub delay: Duration,
}

/// What the taker of frames wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The next frame.
    Go,
    /// The next frame, and it must be an IDR.
    Keyframe,
    /// Nothing more.
    Stop,
}

/// Takes composed frames. Dropped when no more come, for whatever reason.
pub trait PictureSink: Send + 'static {
    /// Takes one; on the composer's thread.
    fn push(&mut self, frame: Frame) -> Wanted;
}

/// A scene on its way to the composer.
struct Next {
    plan: Arc<Plan>,
    slots: HashMap<InputId, Channel>,
}

#[derive(Clone)]
struct Channel {
    slot: Arc<Slot>,
    delay: Duration,
}

/// What the handle and the thread share.
#[derive(Default)]
struct Shared {
    next: Mutex<Option<Next>>,
    stop: AtomicBool,
    bell: Arc<Bell>,
}

/// What only callers touch.
#[derive(Default)]
struct Inputs {
    running: HashMap<InputId, Input>,
    ending: Vec<JoinHandle<()>>,
    plan: Option<Arc<Plan>>,
}

/// A running picture mixer. Ends when it is dropped.
pub struct PictureMixer {
    shared: Arc<Shared>,
    inputs: Mutex<Inputs>,
    thread: Option<JoinHandle<()>>,
}

impl PictureMixer {
    /// Starts to show `scene`. The first frame is an IDR and comes with the lead's next picture.
    pub fn start(
        settings: Settings,
        clock: NodeClock,
        scene: &Scene,
        sources: Vec<PictureSource>,
        sink: impl PictureSink,
    ) -> Result<Self, Error> {
        let shared = Arc::new(Shared::default());
        let mut mixer = Self { shared: shared.clone(), inputs: Mutex::default(), thread: None };
        let next = mixer.prepare(scene, sources)?;
        let encoder = Encoder::open(&settings, next.plan.canvas, next.plan.frame_rate_max)?;
        let composer = Composer {
            tick: Tick::new(next.plan.frame_rate_max, Instant::now()),
            compositor: Compositor::new(next.plan.clone()),
            timeline: Timeline::new(settings.origin),
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
            encoder,
        };
        *mixer.shared.next.lock() = Some(next);
        let thread = thread::Builder::new().name("mix-compose".to_owned());
        mixer.thread = Some(thread.spawn(move || composer.run(sink)).map_err(Error::Thread)?);
        Ok(mixer)
    }

    /// From the next frame on; of several the newest. Draws letters and images here, on the caller's thread: milliseconds.
    pub fn set_scene(&self, scene: &Scene, sources: Vec<PictureSource>) -> Result<(), Error> {
        let next = self.prepare(scene, sources)?;
        *self.shared.next.lock() = Some(next);
        self.shared.bell.ring();
        Ok(())
    }

    /// Whether frames still come.
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Draws what can be drawn ahead, and starts and stops inputs.
    fn prepare(&self, scene: &Scene, sources: Vec<PictureSource>) -> Result<Next, Error> {
        let mut inputs = self.inputs.lock();
        let inputs = &mut *inputs;
        let plan = Arc::new(Plan::new(scene, inputs.plan.as_deref()));
        let mut running = HashMap::new();
        let mut slots = HashMap::new();
        for PictureSource { id, feed, delay } in sources {
            if !plan.inputs().any(|wanted| *wanted == id) || running.contains_key(&id) {
                continue;
            }
            let input = match inputs.running.remove(&id) {
                Some(input) if Arc::ptr_eq(&input.feed, &feed) => input,
                other => {
                    inputs.ending.extend(other.map(Input::stop));
                    Input::start(&id, feed, self.shared.bell.clone())?
                }
            };
            slots.insert(id.clone(), Channel { slot: input.slot.clone(), delay });
            running.insert(id, input);
        }
        let unwanted = std::mem::replace(&mut inputs.running, running);
        inputs.ending.extend(unwanted.into_values().map(Input::stop));
        let (over, ending): (Vec<_>, Vec<_>) = inputs.ending.drain(..).partition(JoinHandle::is_finished);
        inputs.ending = ending;
        over.into_iter().for_each(join);
        inputs.plan = Some(plan.clone());
        Ok(Next { plan, slots })
    }
}

impl Drop for PictureMixer {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.shared.bell.ring();
        self.thread.take().into_iter().for_each(join);
        let inputs = self.inputs.get_mut();
        let running = std::mem::take(&mut inputs.running).into_values().map(Input::stop);
        // All are told before the first is waited for.
        let all: Vec<_> = running.chain(inputs.ending.drain(..)).collect();
        all.into_iter().for_each(join);
    }
}

/// A sink may be the last to hold the mixer: its thread cannot wait for itself.
fn join(thread: JoinHandle<()>) {
    if thread.thread().id() != thread::current().id() && thread.join().is_err() {
        tracing::error!("a thread of a mixer panicked");
    }
}

/// The encoder for one canvas.
struct Encoder(VideoEncoder);

impl Encoder {
    fn open(settings: &Settings, canvas: Size, frame_rate: f64) -> Result<Self, Error> {
        const BT709: u8 = 1;
        let colour = Colour { primaries: BT709, transfer: BT709, matrix: BT709, full_range: false };
        let picture = Picture { width: canvas.width, height: canvas.height, aspect: (1, 1), colour };
        let by_size = f64::from(picture.pixels()) * frame_rate * BITS_PER_PIXEL;
        let bitrate_bps = settings.bitrate_bps.unwrap_or(by_size as u64);
        VideoEncoder::open_with(settings.backend, picture, frame_rate, bitrate_bps, &settings.encoder).map(Self)
    }

    fn fits(&self, canvas: Size, frame_rate: f64) -> bool {
        let picture = self.0.picture();
        (picture.width, picture.height) == (canvas.width, canvas.height) && self.0.frame_rate() == frame_rate
    }
}

struct Composer {
    settings: Settings,
    shared: Arc<Shared>,
    clock: NodeClock,
    tick: Tick,
    compositor: Compositor,
    encoder: Encoder,
    timeline: Timeline,
    cadence: Cadence,
    slots: HashMap<InputId, Channel>,
    lead: Option<InputId>,
    /// Of the lead's newest picture that the tick knows.
    lead_number: u64,
    /// Frames since the last that showed the lead's picture of its time.
    missed: u32,
    last_arrived: Option<Instant>,
    seconds: metrics::Histogram,
}

impl Composer {
    fn run(mut self, mut sink: impl PictureSink) {
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
        tracing::debug!(reason, frames, lived = ?started.elapsed(), "picture mixer ended");
    }

    /// Waits for one cause and acts on it.
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
            self.timeline.set_lead();
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

    /// The time of the picture that the lead would show next.
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
                    lead = Some(Origin { pts: decoded.pts, wall: decoded.wall });
                    lead_arrived = Some(decoded.arrived);
                }
            }
            if let Some(decoded) = queue.fresh(now, self.settings.stale_after) {
                pictures.insert(id, (decoded.picture.clone(), decoded.number));
            }
        }
        let on_time = !self.has_lead() || lead.is_some_and(|lead| lead.wall == moment.wall);
        self.missed = if on_time { 0 } else { self.missed.saturating_add(1) };
        let canvas = self.compositor.draw(|id| match pictures.get(id) {
            Some((picture, number)) => Shown::Picture(picture, *number),
            None => Shown::Placeholder,
        })?;
        let pts = self.timeline.place(moment.wall, lead);
        let idr = self.cadence.is_due(pts, false, None) && !(1..=MISSED_MAX).contains(&self.missed);
        let unit = match self.encoder.0.encode(canvas, idr) {
            Err(error) if self.settings.backend != Backend::X264 => {
                tracing::warn!(
                    encoder = self.settings.backend.name(),
                    error = &error as &dyn std::error::Error,
                    "the GPU's encoder failed: going on by the processor's"
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
        // A ring's age must not run backwards.
        let arrived = lead_arrived.unwrap_or(now);
        let arrived = self.last_arrived.map_or(arrived, |last| last.max(arrived));
        self.last_arrived = Some(arrived);
        let parameters = self.encoder.0.parameters().clone();
        let (wall, keyframe, payload) = (moment.wall, unit.keyframe, unit.payload);
        Ok(Frame { dts: pts, pts, wall, arrived, keyframe, parameters, payload })
    }
}
