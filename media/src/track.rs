//! A track: one ring of frames, with its parameters and its meters.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::codec::Parameters;
use crate::frame::Frame;
use crate::key::{MediaKind, Rendition, TrackKey};
use crate::meter::{Measured, Meter};
use crate::pcm::{Pcm, PcmTap};
use crate::ring::{Join, Reader, Retention, Ring};
use crate::time::{ClockRate, Ticks, WallTime};

/// Identifies a track within this process. No id is used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrackId(u64);

impl TrackId {
    fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// The most of the past that a viewer gets: a usual keyframe interval, and less than viewers notice as not live. For all
/// protocols.
pub const PAST_MAX: Duration = Duration::from_secs(2);

/// A usual group is longer than [`PAST_MAX`] by up to this much, because frames jitter.
pub const JITTER: Duration = Duration::from_millis(500);

/// A publisher that has not sent a keyframe for this long after it was asked for one, but other frames, sends none. On a bad network
/// a request and its answer take a second or two.
const ANSWER_MAX: Duration = Duration::from_secs(4);

/// Is one stream of one kind that many readers can read.
///
/// Its clock is fixed when it is made. Its parameters may change with any keyframe.
pub struct Track {
    id: TrackId,
    key: TrackKey,
    clock_rate: ClockRate,
    ring: Ring,
    live: Mutex<Live>,
    keyframe_wanted: AtomicBool,
    /// Whether the publisher can be asked for a keyframe.
    takes_requests: AtomicBool,
    taps: Mutex<Vec<Weak<dyn PcmTap>>>,
}

#[derive(Debug)]
struct Live {
    parameters: Arc<Parameters>,
    last_dts: Option<Ticks>,
    meter: Meter,
}

impl Track {
    /// Makes the main track of its kind, whose first frames have `parameters`.
    pub fn new(parameters: Arc<Parameters>) -> Self {
        Self::with_rendition(Rendition::MAIN, parameters)
    }

    /// Makes a track of any rendition, whose first frames have `parameters`.
    pub fn with_rendition(rendition: Rendition, parameters: Arc<Parameters>) -> Self {
        let clock_rate = parameters.clock_rate();
        let retention = match parameters.kind() {
            MediaKind::Video => Retention::VIDEO,
            MediaKind::Audio => Retention::AUDIO,
            MediaKind::Data => Retention::DATA,
        };
        Self {
            id: TrackId::next(),
            key: TrackKey::new(parameters.kind(), rendition),
            clock_rate,
            ring: Ring::new(retention),
            live: Mutex::new(Live { parameters, last_dts: None, meter: Meter::new(clock_rate) }),
            keyframe_wanted: AtomicBool::new(false),
            takes_requests: AtomicBool::new(true),
            taps: Mutex::default(),
        }
    }

    /// Returns the identity of the track, which no other track has.
    pub fn id(&self) -> TrackId {
        self.id
    }

    /// Returns the key of the track in its feed.
    pub fn key(&self) -> TrackKey {
        self.key
    }

    /// Returns the kind of media that it carries.
    pub fn kind(&self) -> MediaKind {
        self.key.kind
    }

    /// Returns the clock rate of `dts` and `pts` of its frames.
    pub fn clock_rate(&self) -> ClockRate {
        self.clock_rate
    }

    /// Returns the parameters in force now.
    pub fn parameters(&self) -> Arc<Parameters> {
        self.live.lock().parameters.clone()
    }

    /// Returns whether frames are shown in another order than sent, as measured or as the encoder declares.
    pub fn reorders(&self) -> bool {
        let live = self.live.lock();
        live.meter.reordered() || live.parameters.reorders() == Some(true)
    }

    /// Returns whether the two fields of a frame come one by one, as measured.
    pub fn has_lone_fields(&self) -> bool {
        self.live.lock().meter.has_lone_fields()
    }

    /// Returns whether decoders have to start at recovery points, because keyframes are more than 4 s apart. Browsers start at
    /// keyframes alone.
    pub fn enters_by_recovery(&self) -> bool {
        self.live.lock().meter.enters_by_recovery()
    }

    /// Appends a frame. Decoding times that run backwards are held at the last one.
    pub fn push(&self, mut frame: Frame) {
        let recovery_frames = frame.recovery_frames();
        {
            let mut live = self.live.lock();
            if live.last_dts.is_some_and(|last| frame.dts < last) {
                let last = live.last_dts.expect("just seen");
                frame.pts += last - frame.dts;
                frame.dts = last;
            }
            live.last_dts = Some(frame.dts);
            if !Arc::ptr_eq(&live.parameters, &frame.parameters) {
                live.parameters = frame.parameters.clone();
            }
            live.meter.observe(&frame, recovery_frames.is_some());
        }
        self.ring.push_recovering(frame, recovery_frames);
    }

    /// Hands on the PCM from which later frames are encoded, if there is a tap.
    pub fn push_pcm(&self, pcm: Pcm<'_>) {
        let taps: Vec<_> = {
            let mut taps = self.taps.lock();
            taps.retain(|tap| tap.strong_count() > 0);
            taps.iter().filter_map(Weak::upgrade).collect()
        };
        taps.iter().for_each(|tap| tap.take(pcm));
    }

    /// Gives the PCM to `tap` from now on, as long as the tap lives.
    pub fn tap(&self, tap: Weak<dyn PcmTap>) {
        self.taps.lock().push(tap);
    }

    /// Lets a new publisher continue this track, and forgets the measurements of the one before.
    pub fn restart(&self, parameters: Arc<Parameters>) {
        let mut live = self.live.lock();
        live.meter.restart();
        live.parameters = parameters;
    }

    /// Ends the track: no frame will follow.
    pub fn end(&self) {
        self.ring.end();
    }

    /// Returns whether the track has ended.
    pub fn is_ended(&self) -> bool {
        self.ring.is_ended()
    }

    /// Makes a new reader.
    pub fn reader(&self, join: Join) -> Reader {
        self.ring.reader(join)
    }

    /// Returns the newest frame, if any.
    pub fn newest(&self) -> Option<Arc<Frame>> {
        self.ring.newest()
    }

    /// Returns the keyframe that [`Join::Group`] would start on now.
    pub fn newest_keyframe(&self) -> Option<Arc<Frame>> {
        self.ring.newest_keyframe()
    }

    /// Returns the keyframe that [`Join::GroupAt`] would start on now.
    pub fn keyframe_at(&self, wall: WallTime) -> Option<Arc<Frame>> {
        self.ring.keyframe_at(wall)
    }

    /// Returns the rates and totals.
    pub fn measured(&self, now: Instant) -> Measured {
        self.live.lock().meter.measured(now)
    }

    /// States whether the publisher can be asked for a keyframe. RTMP has no such request.
    pub fn set_takes_requests(&self, takes: bool) {
        self.takes_requests.store(takes, Ordering::Relaxed);
    }

    /// Returns whether a keyframe comes when one is asked for, as far as the track has shown.
    pub fn answers_requests(&self) -> bool {
        self.takes_requests.load(Ordering::Relaxed) && self.live.lock().meter.unanswered() < ANSWER_MAX
    }

    /// Returns whether readers that start at any time have to start with much more than `past_max` of the past, because keyframes are
    /// that far apart and cannot be asked for.
    pub fn has_long_groups(&self, past_max: Duration) -> bool {
        !self.answers_requests() && self.live.lock().meter.group() > past_max + JITTER
    }

    /// Returns whether a reader that starts now has to start with much more than [`PAST_MAX`] of the past: the newest keyframe is that
    /// old, and another cannot be asked for.
    pub fn starts_in_the_past(&self) -> bool {
        if self.answers_requests() {
            return false;
        }
        let (newest, keyframe) = (self.newest(), self.newest_keyframe());
        newest
            .zip(keyframe)
            .is_some_and(|(newest, keyframe)| newest.arrived.duration_since(keyframe.arrived) > PAST_MAX + JITTER)
    }

    /// Notes that a reader needs a keyframe. The session that feeds the track may or may not be able to ask for one.
    pub fn want_keyframe(&self) {
        self.live.lock().meter.note_request();
        self.keyframe_wanted.store(true, Ordering::Relaxed);
    }

    /// Returns whether a reader has needed a keyframe since the last call.
    pub fn take_keyframe_wanted(&self) -> bool {
        self.keyframe_wanted.swap(false, Ordering::Relaxed)
    }
}

impl std::fmt::Debug for Track {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Track").field("id", &self.id).field("key", &self.key).finish_non_exhaustive()
    }
}

impl Drop for Track {
    fn drop(&mut self) {
        self.ring.end(); // Readers hold the ring, not the track.
    }
}
