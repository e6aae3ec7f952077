//! A track as a shard reads it: one reader, one set of packets, many viewers.

use std::task::{Context, Poll, Waker};
use std::time::Instant;

use onmic_media::{Codec, Demand, Join, MediaKind, Read, Reader};

use crate::rtp::Outgoing;
use crate::rtp::outgoing::Limits;

/// See the module.
pub(super) struct SharedTrack {
    demand: Demand,
    reader: Reader,
    bell: Waker,
    pub(super) outgoing: Outgoing,
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
        let join = match track.kind() {
            MediaKind::Video => Join::Group,
            MediaKind::Audio => Join::NextKeyframe,
        };
        let reader = track.reader(join);
        Some(Self { demand, reader, bell, outgoing, viewers: Vec::new(), replacing: false })
    }

    /// Takes in the next frame.
    pub(super) fn advance(&mut self) -> Progress {
        match self.reader.poll_read(&mut Context::from_waker(&self.bell)) {
            Poll::Pending => Progress::CaughtUp,
            Poll::Ready(Read::Ended) => Progress::Ended,
            Poll::Ready(Read::Skipped(frames)) => {
                self.outgoing.skipped(frames);
                Progress::Skipped(frames)
            }
            Poll::Ready(Read::Frame(frame)) => match self.outgoing.push(&frame) {
                Some(_) => Progress::Frame { arrived: frame.arrived },
                None => Progress::Skipped(0), // Counted by `outgoing`, with its reason.
            },
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
