//! One input: a thread that decodes what its feed brings and leaves the pictures where the composer finds them.
//!
//! Nothing that comes from outside ends it: what cannot be decoded is counted and waited out, a keyframe is asked for, and
//! the last picture stays. It reads the feed's ring like any viewer, so that nobody waits for it; behind, it only decodes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ffmpeg_next::frame::Video as Raw;
use onmic_media::{ClockRate, Feed, Frame, Join, MediaKind, Parameters, Read, Ticks, Track, TrackId, WallTime};
use parking_lot::{Condvar, Mutex};

use super::queue::{Decoded, Dropped, Queue};
use crate::codec::decode::VideoDecoder;
use crate::error::Error;
use crate::metric::dropped;
use crate::scene::InputId;

/// How long the thread waits for frames before it looks whether it is still wanted.
const POLL: Duration = Duration::from_millis(100);
/// Frames that a decoder may hold back; H.264 and H.265 allow 16 pictures.
const IN_DECODER: usize = 64;
/// Behind by more it only decodes, until it is at the present again.
const BEHIND_MAX: Duration = Duration::from_millis(300);
/// So close to the newest frame every picture is decoded again: one of them is to be shown.
const NEAR_FRAMES: u64 = 4;
/// A group that began longer ago takes noticeable time to get through.
const OLD_GROUP: Duration = Duration::from_secs(1);
/// Keyframes are asked for so far apart.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// Wakes the composer.
#[derive(Default)]
pub(crate) struct Bell {
    rung: Mutex<bool>,
    condition: Condvar,
}

impl Bell {
    pub(crate) fn ring(&self) {
        *self.rung.lock() = true;
        self.condition.notify_one();
    }

    /// Returns when it was rung since the last return, or at `deadline`.
    pub(crate) fn wait_until(&self, deadline: Instant) {
        let mut rung = self.rung.lock();
        if !*rung {
            self.condition.wait_until(&mut rung, deadline);
        }
        *rung = false;
    }
}

/// Where an input's pictures are.
pub(crate) struct Slot {
    pub(crate) queue: Mutex<Queue>,
    /// Whether the composer waits for these.
    pub(crate) leads: AtomicBool,
    bell: Arc<Bell>,
}

/// A running input.
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
            decoder: None,
            sent: VecDeque::new(),
            ordinal: 0,
            number: 0,
            last_wall: None,
            catching_up: None,
            asked: None,
        };
        let thread = thread::Builder::new().name("mix-decode".to_owned());
        let thread = thread.spawn(move || decoding.run()).map_err(Error::Thread)?;
        Ok(Self { slot, feed, stop, thread })
    }

    /// Tells the thread to end; it does within a moment.
    pub(crate) fn stop(self) -> JoinHandle<()> {
        self.stop.store(true, Ordering::Release);
        self.thread.thread().unpark();
        self.thread
    }
}

/// What is known of a frame that is in the decoder.
#[derive(Clone, Copy)]
struct Sent {
    ordinal: i64,
    pts: Ticks,
    wall: WallTime,
    arrived: Instant,
}

struct Decoding {
    id: InputId,
    feed: Arc<Feed>,
    slot: Arc<Slot>,
    stop: Arc<AtomicBool>,
    /// With what it was opened for; `None` also while a keyframe is waited for.
    decoder: Option<(VideoDecoder, Arc<Parameters>)>,
    sent: VecDeque<Sent>,
    ordinal: i64,
    number: u64,
    last_wall: Option<WallTime>,
    /// The newest picture decoded while catching up.
    catching_up: Option<Option<(Raw, Sent)>>,
    asked: Option<Instant>,
}

impl Decoding {
    fn run(mut self) {
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
        tracing::debug!(input = %self.id, pictures = self.number, "input of a mixer ended");
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Decodes a track until it ends.
    fn follow(&mut self, track: &Track) {
        let old = track
            .newest()
            .is_some_and(|newest| track.newest_keyframe().is_none_or(|keyframe| lag(&keyframe, &newest) > OLD_GROUP));
        if old {
            track.want_keyframe();
        }
        self.restart();
        let mut reader = track.reader(Join::Group);
        while !self.stopped() {
            match reader.read_timeout(POLL) {
                Some(Read::Frame(frame)) => {
                    let behind = track.newest().map_or(Duration::ZERO, |newest| lag(&frame, &newest));
                    self.take(&frame, behind, reader.backlog(), track);
                    // A newer keyframe is the shortest way to the present.
                    let newer = || track.newest_keyframe().is_some_and(|keyframe| keyframe.dts > frame.dts);
                    if self.catching_up.is_some() && newer() {
                        let before = reader.backlog();
                        reader = track.reader(Join::Group);
                        self.skipped(before.saturating_sub(reader.backlog()));
                    }
                }
                Some(Read::Skipped(frames)) => self.skipped(frames),
                Some(Read::Ended) => {
                    self.finish(track);
                    return;
                }
                None => {}
            }
        }
    }

    fn skipped(&mut self, frames: u64) {
        if self.number > 0 {
            dropped("mix_overload", frames);
        }
        self.restart();
    }

    /// The next frame to be decoded is a keyframe.
    fn restart(&mut self) {
        self.decoder = None;
        self.sent.clear();
    }

    fn take(&mut self, frame: &Frame, behind: Duration, backlog: u64, track: &Track) {
        let opened_for = self.decoder.as_ref().map(|(_, parameters)| parameters);
        if opened_for
            .is_some_and(|opened_for| !Arc::ptr_eq(opened_for, &frame.parameters) && **opened_for != *frame.parameters)
        {
            self.finish(track);
        }
        if self.decoder.is_none() && !self.open(frame, track) {
            return;
        }
        if self.catching_up.is_none() && behind > BEHIND_MAX {
            tracing::debug!(input = %self.id, ?behind, "decoding only, to catch up");
            self.catching_up = Some(None);
        }
        let Some((decoder, _)) = &mut self.decoder else { return };
        decoder.skip_unreferenced(self.catching_up.is_some() && backlog > NEAR_FRAMES);
        let pts = frame.pts.rescale(track.clock_rate(), ClockRate::VIDEO);
        self.sent.push_back(Sent { ordinal: self.ordinal, pts, wall: frame.wall, arrived: frame.arrived });
        if self.sent.len() > IN_DECODER {
            self.sent.pop_front();
        }
        let sent = decoder.send(&frame.payload, self.ordinal);
        self.ordinal += 1;
        match sent {
            Ok(()) => self.receive(track),
            Err(error) => self.broken(&error, track),
        }
        if backlog == 0
            && let Some(Some((picture, sent))) = self.catching_up.take()
        {
            self.put(picture, sent);
        }
    }

    /// With a keyframe, and only then.
    fn open(&mut self, frame: &Frame, track: &Track) -> bool {
        if !frame.keyframe {
            dropped("mix_no_keyframe", 1);
            self.ask(track, frame.arrived);
            return false;
        }
        match VideoDecoder::open(&frame.parameters) {
            Ok(decoder) => self.decoder = Some((decoder, frame.parameters.clone())),
            Err(error) => self.broken(&error, track),
        }
        self.decoder.is_some()
    }

    fn ask(&mut self, track: &Track, now: Instant) {
        if self.asked.is_none_or(|asked| now.saturating_duration_since(asked) >= ASK_EVERY) {
            self.asked = Some(now);
            track.want_keyframe();
        }
    }

    /// What cannot be decoded makes what refers to it worthless.
    fn broken(&mut self, error: &Error, track: &Track) {
        tracing::debug!(input = %self.id, error = error as &dyn std::error::Error, "a picture could not be decoded");
        dropped("mix_corrupt", 1);
        self.restart();
        track.want_keyframe();
    }

    /// No frame of this kind follows: what the decoder holds back is shown.
    fn finish(&mut self, track: &Track) {
        if let Some((decoder, _)) = &mut self.decoder {
            decoder.finish();
            self.receive(track);
        }
        self.restart();
    }

    fn receive(&mut self, track: &Track) {
        while let Some((decoder, _)) = &mut self.decoder {
            match decoder.receive() {
                Ok(Some(picture)) => {
                    let of = |sent: &Sent| Some(sent.ordinal) == picture.pts();
                    let Some(sent) = self.sent.iter().position(of).and_then(|at| self.sent.remove(at)) else {
                        continue;
                    };
                    match &mut self.catching_up {
                        Some(newest) => {
                            if newest.replace((picture, sent)).is_some() && self.number > 0 {
                                dropped("mix_overload", 1);
                            }
                        }
                        None => self.put(picture, sent),
                    }
                }
                Ok(None) => return,
                Err(error) => self.broken(&error, track),
            }
        }
    }

    fn put(&mut self, picture: Raw, sent: Sent) {
        let Sent { pts, wall, arrived, .. } = sent;
        // A stream that reorders deeper than it declares, or repeats a time.
        if self.last_wall.is_some_and(|last| wall <= last && last.micros_since(wall) < 1_000_000) {
            dropped("mix_order", 1);
            return;
        }
        self.last_wall = Some(wall);
        self.number += 1;
        let decoded = Decoded { picture: Arc::new(picture), pts, wall, arrived, number: self.number };
        count(self.slot.queue.lock().push(decoded, Instant::now()));
        if self.slot.leads.load(Ordering::Relaxed) {
            self.slot.bell.ring();
        }
    }
}

/// Under the reasons of their loss.
pub(crate) fn count(lost: Dropped) {
    for (reason, pictures) in [("mix_queue_full", lost.full), ("mix_superseded", lost.superseded)] {
        if pictures > 0 {
            dropped(reason, pictures);
        }
    }
}

fn lag(frame: &Frame, newest: &Frame) -> Duration {
    newest.arrived.saturating_duration_since(frame.arrived)
}
