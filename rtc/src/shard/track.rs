//! A track as a shard reads it: one reader and one set of packets for many viewers.

use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use onmic_media::{Codec, Demand, DropReason, Frame, Join, MediaKind, Read, Reader, TrackId, TrackKey, WallTime};

use crate::rtp::outgoing::Limits;
use crate::rtp::{Lateness, Outgoing, Pace};

/// A track that the viewers of a shard share.
pub(super) struct SharedTrack {
    demand: Demand,
    reader: Reader,
    bell: Waker,
    pub(super) outgoing: Outgoing,
    timing: Timing,
    /// When it is to be read next although its bell does not ring: it holds a packet that is due then.
    pub(super) deadline: Option<Instant>,
    /// Whether all frames that were there when reading began have been read.
    caught_up: bool,
    /// The audio track that viewers hear with this video track.
    pub(super) sound: Option<TrackId>,
    /// The keys of the sessions that watch the track.
    pub(super) viewers: Vec<usize>,
    /// The keys of the sessions that wait to go over to the track, or have left it and may ask for its packets again.
    pub(super) others: Vec<usize>,
    /// Whether a track that viewers can take is being made in place of this one.
    pub(super) replacing: bool,
    /// How many tracks that were over themselves were found in place of this one.
    pub(super) sought: u8,
}

/// How the frames of a track lie in time.
enum Timing {
    /// Video leaves as it comes.
    Video(Lateness),
    Audio(Pace),
}

/// The outcome of one read of the track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// A frame was made into packets and waits for the viewers.
    Frame {
        /// When it arrived, or became due if it was held.
        since: Instant,
    },
    /// Frames were lost before they could be read.
    Skipped(u64),
    /// No frame is there for now. The bell will ring for the next one.
    CaughtUp,
    /// The track has ended.
    Ended,
}

impl SharedTrack {
    /// Begins to read, with video at its newest group and with audio at its next frame. `None` for a codec that WebRTC
    /// does not have.
    pub(super) fn new(demand: Demand, bell: Waker) -> Option<Self> {
        let track = demand.track();
        let outgoing = Outgoing::new(track.parameters().codec(), Limits::default())?;
        let (join, timing) = match track.kind() {
            MediaKind::Video => (Join::Group, Timing::Video(Lateness::default())),
            MediaKind::Audio | MediaKind::Data => (Join::NextKeyframe, Timing::Audio(Pace::default())),
        };
        let reader = track.reader(join);
        Some(Self {
            demand,
            reader,
            bell,
            outgoing,
            timing,
            deadline: None,
            caught_up: false,
            sound: None,
            viewers: Vec::new(),
            others: Vec::new(),
            replacing: false,
            sought: 0,
        })
    }

    /// Reads the next frame. `now` and `wall` are the same moment on the two clocks.
    pub(super) fn advance(&mut self, (now, wall): (Instant, WallTime)) -> Progress {
        loop {
            if let Timing::Audio(pace) = &mut self.timing
                && let Some((since, frame)) = pace.poll(now)
            {
                return self.send(&frame, since);
            }
            match self.reader.poll_read(&mut Context::from_waker(&self.bell)) {
                Poll::Pending => {
                    self.caught_up = true;
                    return Progress::CaughtUp;
                }
                Poll::Ready(Read::Ended) => {
                    let Timing::Audio(pace) = &mut self.timing else { return Progress::Ended };
                    return match pace.flush() {
                        Some(frame) => self.send(&frame, now),
                        None => Progress::Ended,
                    };
                }
                Poll::Ready(Read::Skipped(frames)) => {
                    self.outgoing.skipped(frames);
                    return Progress::Skipped(frames);
                }
                Poll::Ready(Read::Frame(frame)) => {
                    let late = wall.micros_since(frame.wall);
                    match &mut self.timing {
                        Timing::Audio(pace) => pace.push(frame, late, now),
                        Timing::Video(lateness) => {
                            if self.caught_up {
                                lateness.note(late, now);
                            }
                            return self.send(&frame, frame.arrived);
                        }
                    }
                }
            }
        }
    }

    fn send(&mut self, frame: &Frame, since: Instant) -> Progress {
        match self.outgoing.push(frame) {
            Some(_) => Progress::Frame { since: since.max(frame.arrived) },
            None => {
                DropReason::NotPacketized.count(1);
                Progress::Skipped(0) // The frame was read.
            }
        }
    }

    /// Returns when a packet that is held is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match &self.timing {
            Timing::Video(_) => None,
            Timing::Audio(pace) => pace.poll_timeout(),
        }
    }

    /// Returns the key of the track in its feed.
    pub(super) fn key(&self) -> TrackKey {
        self.demand.track().key()
    }

    /// Returns how long after its moment a frame leaves, in microseconds. `None` before it is known.
    pub(super) fn leaves_after(&self) -> Option<i64> {
        match &self.timing {
            Timing::Video(lateness) => lateness.micros(),
            Timing::Audio(pace) => pace.micros(),
        }
    }

    /// Tells viewers to delay this video track by as much as audio leaves later, which does so `sound` microseconds
    /// after its moment.
    pub(super) fn keep_in_step_with(&mut self, sound: i64) {
        if let Some(picture) = self.leaves_after() {
            self.outgoing.hold_for_sound(Duration::from_micros(u64::try_from(sound - picture).unwrap_or(0)));
        }
    }

    /// Returns whether the track must be replaced: its frames turned out to be reordered, which WebRTC cannot carry.
    pub(super) fn needs_replacement(&self) -> bool {
        let reorderable = matches!(self.outgoing.codec(), Codec::H264 | Codec::H265);
        reorderable && !self.replacing && !self.demand.is_derived() && self.demand.track().reorders()
    }

    /// Notes whether the source can be asked for a keyframe now. Call it before a viewer starts.
    pub(super) fn look_at_source(&mut self) {
        self.outgoing.set_takes_requests(self.demand.track().answers_requests());
    }

    /// Asks for a keyframe, unless one came or was asked for just now.
    pub(super) fn want_keyframe(&mut self, now: Instant) {
        if self.outgoing.want_keyframe(now) {
            self.demand.track().want_keyframe();
        }
    }
}
