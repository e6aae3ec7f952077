//! A track as a shard reads it: one reader and one set of packets for many viewers.

use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use onmic_media::{Codec, Demand, Join, MediaKind, Read, Reader, TrackId, TrackKey, WallTime};

use crate::rtp::outgoing::Limits;
use crate::rtp::{Lateness, Outgoing};

/// A track that the viewers of a shard share.
pub(super) struct SharedTrack {
    demand: Demand,
    reader: Reader,
    bell: Waker,
    pub(super) outgoing: Outgoing,
    lateness: Lateness,
    /// Whether all frames that were there when reading began have been read.
    caught_up: bool,
    /// The audio track that viewers hear with this video track.
    pub(super) sound: Option<TrackId>,
    /// The keys of the sessions that watch the track.
    pub(super) viewers: Vec<usize>,
    /// Whether a track that viewers can take is being made in place of this one.
    pub(super) replacing: bool,
}

/// The outcome of one read of the track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// A frame was made into packets and waits for the viewers.
    Frame { arrived: Instant },
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
        let join = if track.kind() == MediaKind::Video { Join::Group } else { Join::NextKeyframe };
        let reader = track.reader(join);
        Some(Self {
            demand,
            reader,
            bell,
            outgoing,
            lateness: Lateness::default(),
            caught_up: false,
            sound: None,
            viewers: Vec::new(),
            replacing: false,
        })
    }

    /// Reads the next frame. `now` and `wall` are the same moment on the two clocks.
    pub(super) fn advance(&mut self, (now, wall): (Instant, WallTime)) -> Progress {
        match self.reader.poll_read(&mut Context::from_waker(&self.bell)) {
            Poll::Pending => {
                self.caught_up = true;
                Progress::CaughtUp
            }
            Poll::Ready(Read::Ended) => Progress::Ended,
            Poll::Ready(Read::Skipped(frames)) => {
                self.outgoing.skipped(frames);
                Progress::Skipped(frames)
            }
            Poll::Ready(Read::Frame(frame)) => {
                if self.caught_up {
                    self.lateness.note(wall.micros_since(frame.wall), now);
                }
                match self.outgoing.push(&frame) {
                    Some(_) => Progress::Frame { arrived: frame.arrived },
                    None => Progress::Skipped(0), // `outgoing` has counted the frame, with its reason.
                }
            }
        }
    }

    /// Returns the key of the track in its feed.
    pub(super) fn key(&self) -> TrackKey {
        self.demand.track().key()
    }

    /// Returns how late its frames can be sent. See [`Lateness`].
    pub(super) fn lateness(&self) -> Lateness {
        self.lateness
    }

    /// Tells viewers to delay this video track by as much as the audio is later than it.
    pub(super) fn keep_in_step_with(&mut self, sound: Lateness) {
        if let (Some(sound), Some(picture)) = (sound.micros(), self.lateness.micros()) {
            self.outgoing.hold_for_sound(Duration::from_micros(u64::try_from(sound - picture).unwrap_or(0)));
        }
    }

    /// Returns whether the track must be replaced: its frames turned out to be reordered, which WebRTC cannot carry.
    pub(super) fn needs_replacement(&self) -> bool {
        let reorderable = matches!(self.outgoing.codec(), Codec::H264 | Codec::H265);
        reorderable && !self.replacing && !self.demand.is_derived() && self.demand.track().reorders()
    }

    /// Asks for a keyframe, unless one came or was asked for just now.
    pub(super) fn want_keyframe(&mut self, now: Instant) {
        if self.outgoing.want_keyframe(now) {
            self.demand.track().want_keyframe();
        }
    }
}
