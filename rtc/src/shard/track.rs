//! A track as a shard reads it: one reader, one set of packets, many viewers.

use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use onmic_media::{Codec, Demand, Join, MediaKind, Read, Reader, TrackId, TrackKey, WallTime};

use crate::rtp::outgoing::Limits;
use crate::rtp::{Lateness, Outgoing};

/// See the module.
pub(super) struct SharedTrack {
    demand: Demand,
    reader: Reader,
    bell: Waker,
    pub(super) outgoing: Outgoing,
    lateness: Lateness,
    /// All that was there when reading began has been read.
    caught_up: bool,
    /// The sound that viewers of these pictures hear.
    pub(super) sound: Option<TrackId>,
    /// Keys of the sessions that watch it.
    pub(super) viewers: Vec<usize>,
    /// A track that viewers can take is being made in place of this one.
    pub(super) replacing: bool,
}

/// What reading the track led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// A frame was made into packets and waits for the viewers.
    Frame { arrived: Instant },
    /// Frames were lost before they could be read.
    Skipped(u64),
    /// Nothing more for now; the bell will ring.
    CaughtUp,
    /// The track is over.
    Ended,
}

impl SharedTrack {
    /// Reads from the newest group on, or from now on for sound. `None` for a codec WebRTC does not have.
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

    /// Takes in the next frame, at `now` on both clocks.
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
                    None => Progress::Skipped(0), // Counted by `outgoing`, with its reason.
                }
            }
        }
    }

    /// What it is known by in its feed.
    pub(super) fn key(&self) -> TrackKey {
        self.demand.track().key()
    }

    /// How late its frames are; see [`Lateness`].
    pub(super) fn lateness(&self) -> Lateness {
        self.lateness
    }

    /// Pictures are held for sound that is later than they are.
    pub(super) fn keep_in_step_with(&mut self, sound: Lateness) {
        if let (Some(sound), Some(picture)) = (sound.micros(), self.lateness.micros()) {
            self.outgoing.hold_for_sound(Duration::from_micros(u64::try_from(sound - picture).unwrap_or(0)));
        }
    }

    /// Whether frames turned out to be reordered, which WebRTC cannot carry.
    pub(super) fn needs_replacement(&self) -> bool {
        let reorderable = matches!(self.outgoing.codec(), Codec::H264 | Codec::H265);
        reorderable && !self.replacing && !self.demand.is_derived() && self.demand.track().reorders()
    }

    /// Passes the wish for a keyframe on, unless there was one just now.
    pub(super) fn want_keyframe(&mut self, now: Instant) {
        if self.outgoing.want_keyframe(now) {
            self.demand.track().want_keyframe();
        }
    }
}
