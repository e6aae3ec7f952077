//! One input: a thread that decodes the video of its feed and puts the raw frames in a queue for the composer.
//!
//! Nothing that a publisher sends ends the thread. If a frame cannot be decoded, it is counted, a keyframe is asked
//! for, and the last frame stays until the keyframe comes. The thread reads the feed's ring like any viewer, so nothing
//! waits for it, and it catches up as [`LiveDecoder`] does. Should decoding panic, a new decoder begins with what comes after the frame
//! over which it did, because that frame would be met again in the ring. After a second panic within a minute it begins when that minute
//! is over. Until then the input's placeholder is shown.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use onmic_media::life::{Begins, Deaths, guarded};
use onmic_media::{ClockRate, DropReason, Feed, MediaKind, Read, Track, TrackId, WallTime};
use parking_lot::Mutex;

use super::bell::Bell;
use super::queue::{Decoded, Dropped, Queue};
use crate::codec::live::{self, Lag, LiveDecoder};
use crate::error::Error;
use crate::scene::InputId;

/// The name of the thread.
const THREAD: &str = "mix-decode";
/// How long the thread waits for frames before it checks whether it has to stop.
const POLL: Duration = Duration::from_millis(100);
/// The lag above which an input catches up.
const BEHIND_MAX: Duration = Duration::from_millis(300);

/// Holds the raw frames of an input for the composer.
pub(crate) struct Slot {
    pub(crate) queue: Mutex<Queue>,
    /// Whether the input leads, so that a new frame wakes the composer.
    pub(crate) leads: AtomicBool,
    bell: Arc<Bell>,
}

/// Is the handle of a running input.
pub(crate) struct Input {
    pub(crate) slot: Arc<Slot>,
    pub(crate) feed: Arc<Feed>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Input {
    pub(crate) fn start(id: &InputId, feed: Arc<Feed>, bell: Arc<Bell>) -> Result<Self, Error> {
        let slot = Arc::new(Slot { queue: Mutex::default(), leads: AtomicBool::new(false), bell });
        let stop = Arc::new(AtomicBool::new(false));
        let decoding = Decoding {
            id: id.clone(),
            feed: feed.clone(),
            slot: slot.clone(),
            stop: stop.clone(),
            decoder: LiveDecoder::new(BEHIND_MAX),
            decoded: Vec::new(),
            number: 0,
            last_wall: None,
            has_died: false,
        };
        let thread = thread::Builder::new().name(THREAD.to_owned());
        let thread = thread.spawn(move || decoding.live()).map_err(Error::Thread)?;
        Ok(Self { slot, feed, stop, thread })
    }

    /// Whether the thread runs. It never ends by itself.
    pub(crate) fn is_running(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Tells the thread to end. It ends within [`POLL`].
    pub(crate) fn stop(self) -> JoinHandle<()> {
        self.stop.store(true, Ordering::Release);
        self.thread.thread().unpark();
        self.thread
    }
}

struct Decoding {
    id: InputId,
    feed: Arc<Feed>,
    slot: Arc<Slot>,
    stop: Arc<AtomicBool>,
    decoder: LiveDecoder,
    decoded: Vec<live::DecodedFrame>,
    number: u64,
    last_wall: Option<WallTime>,
    /// Whether decoding has panicked, and what the track has now is not to be decoded again.
    has_died: bool,
}

impl Decoding {
    /// Decodes until the stop, after a panic with a new decoder.
    fn live(mut self) {
        let mut deaths = Deaths::default();
        while guarded(THREAD, || self.run()).is_none() {
            let now = Instant::now();
            deaths.note(now);
            if let Begins::Later(rest) = deaths.begins(now) {
                while !self.stopped() && now.elapsed() < rest {
                    thread::park_timeout(POLL);
                }
            }
            self.decoder = LiveDecoder::new(BEHIND_MAX);
            self.decoded.clear();
            self.has_died = true;
        }
    }

    fn run(&mut self) {
        let _span = tracing::debug_span!("mix_input", input = %self.id).entered();
        let mut over: Option<TrackId> = None;
        while !self.stopped() {
            match self.feed.original(MediaKind::Video) {
                Some(track) if over != Some(track.id()) => {
                    self.follow(&track);
                    over = Some(track.id());
                }
                _ => thread::park_timeout(POLL),
            }
        }
        tracing::debug!(pictures = self.number, "input of a mixer ended");
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Decodes a track until the track ends.
    fn follow(&mut self, track: &Track) {
        self.decoder.change_track();
        let has_died = std::mem::take(&mut self.has_died);
        let mut reader = if has_died { live::join_behind(track) } else { live::join(track, Duration::ZERO) };
        while !self.stopped() {
            match reader.read_timeout(POLL) {
                Some(Read::Frame(frame)) => {
                    self.decoder.take(&frame, Lag::of(&frame, track, &reader), &mut self.decoded);
                    self.put_decoded(track);
                    if self.decoder.is_catching_up()
                        && let Some(frames) = live::skip_to_newest_keyframe(&frame, track, &mut reader, Duration::ZERO)
                    {
                        self.decoder.skipped(frames);
                    }
                }
                Some(Read::Skipped(frames)) => self.decoder.skipped(frames),
                Some(Read::Ended) => {
                    self.decoder.finish(&mut self.decoded);
                    self.put_decoded(track);
                    return self.tell(track);
                }
                None => {}
            }
            self.tell(track);
        }
    }

    /// Counts the frames that the decoder lost, and asks the publisher for a keyframe if the decoder needs one.
    fn tell(&mut self, track: &Track) {
        let losses = self.decoder.take_losses();
        DropReason::MixCorrupt.count(losses.corrupt);
        DropReason::MixNoKeyframe.count(losses.no_keyframe);
        DropReason::BehindMix.count(losses.overload);
        if self.decoder.take_keyframe_wanted() {
            track.want_keyframe();
        }
    }

    fn put_decoded(&mut self, track: &Track) {
        let mut decoded = std::mem::take(&mut self.decoded);
        decoded.drain(..).for_each(|decoded| self.put(decoded, track));
        self.decoded = decoded; // The vector's memory is kept for the next frame.
    }

    fn put(&mut self, decoded: live::DecodedFrame, track: &Track) {
        let live::DecodedFrame { picture, info: live::FrameInfo { pts, wall, arrived, .. } } = decoded;
        // The stream reorders more deeply than it declares, or repeats a time. After a step back of 1 s or more it has
        // a new timeline.
        if self.last_wall.is_some_and(|last| wall <= last && last.micros_since(wall) < 1_000_000) {
            DropReason::MixOrder.count(1);
            return;
        }
        self.last_wall = Some(wall);
        self.number += 1;
        let pts = pts.rescale(track.clock_rate(), ClockRate::VIDEO);
        let decoded = Decoded { picture: Arc::new(picture), pts, wall, arrived, number: self.number };
        count(self.slot.queue.lock().push(decoded, Instant::now()));
        if self.slot.leads.load(Ordering::Relaxed) {
            self.slot.bell.ring();
        }
    }
}

/// Counts frames that were shown before their time, or not at all.
pub(crate) fn count(lost: Dropped) {
    DropReason::MixQueueFull.count(lost.full);
    DropReason::MixSuperseded.count(lost.superseded);
}
