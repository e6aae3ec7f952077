//! What a source takes in of its publishers: bytes, and changes of parameters. Both have a rate.
//!
//! They count for the source and not for a publication, so a publisher that ends and begins again has no more than one that goes on.
//! All that is kept of a stream (rings, parts, segments, windows) is a time times its bitrate, so the first rate bounds it for all of
//! them. The second bounds what follows from each change: a segment and an initialisation section of LL-HLS, a discontinuity, and
//! decoders and encoders that are opened anew. A change that comes too early ends nobody, because a camera may be turned again and
//! again: its frames are left out, and the track goes on with a keyframe for which there is room.

use std::sync::Arc;
use std::time::Instant;

use crate::bucket::Bucket;
use crate::codec::Parameters;
use crate::drops::DropReason;
use crate::ended::Ended;
use crate::frame::Frame;
use crate::key::{Keyed, Rendition, TrackKey};

/// The overheads ([`Frame::OVERHEAD`]) of a second that are not counted towards the bitrate: those of one publisher's video, audio
/// and renditions. A frame of one byte in a message of its own has two, so a stream may have its whole bitrate and 200 of them.
const OVERHEADS_FREE: f64 = 400.0;

/// What the headers of packets and chunks may have besides, as a part of the bitrate: they have up to 30 bytes of 1200 by RTP, and
/// 1 of 128 by RTMP.
const HEADERS: f64 = 1.0 / 32.0;

/// How much of its bitrate a publisher may send at once, in seconds: a group that was held back, the start of a file.
const BURST: f64 = 4.0;

/// The changes of parameters at once: the first ones of 16 tracks, and a publisher that comes again with others.
const CHANGES_AT_ONCE: f64 = 30.0;

/// The changes of parameters in a second. An encoder that adapts its resolution to the network changes it every few seconds. A
/// playlist of 36 s then has 72 segments.
const CHANGES_EACH_SECOND: f64 = 2.0;

/// What one source may take in now.
#[derive(Debug)]
pub(crate) struct Intake {
    bitrate: u64,
    /// The bytes that came in, and the overhead of each message and frame.
    bytes: Bucket,
    changes: Bucket,
    /// The newest parameters of each track.
    parameters: Keyed<Arc<Parameters>>,
    /// The tracks that wait for a keyframe, because a change of theirs came too early.
    waiting: Keyed<()>,
}

impl Intake {
    /// Makes one whose publishers may send `bitrate` bits per second.
    pub(crate) fn new(bitrate: u64, now: Instant) -> Self {
        let each_second = bitrate as f64 / 8.0 * (1.0 + HEADERS) + OVERHEADS_FREE * Frame::OVERHEAD as f64;
        Self {
            bitrate,
            bytes: Bucket::new(each_second, each_second * BURST, now),
            changes: Bucket::new(CHANGES_EACH_SECOND, CHANGES_AT_ONCE, now),
            parameters: Keyed::new(),
            waiting: Keyed::new(),
        }
    }

    /// Takes what keeping a frame costs besides its bytes, which were received, and returns whether the frame goes on. Viewers by WebRTC
    /// get the parameters again with each keyframe, so those count too.
    pub(crate) fn take(
        &mut self,
        rendition: Rendition,
        parameters: &Arc<Parameters>,
        keyframe: bool,
        now: Instant,
    ) -> Result<bool, Ended> {
        let beside = if keyframe { parameters.in_band_bytes() } else { 0 };
        self.charge(beside + Frame::OVERHEAD, now)?;
        let key = TrackKey::new(parameters.kind(), rendition);
        if !self.parameters.has_room_for(key) {
            return Ok(true); // There is no room for its track either.
        }
        let waits = self.waiting.contains(key);
        let known = self.parameters.get(key);
        if !waits && known.is_some_and(|known| Arc::ptr_eq(known, parameters)) {
            return Ok(true);
        }
        let is_change = || known.is_none_or(|known| known != parameters);
        if (waits && !keyframe) || (is_change() && self.changes.try_take(1.0, now).is_err()) {
            self.waiting.insert(key, ());
            DropReason::ParametersTooOften.count(1);
            return Ok(false);
        }
        self.waiting.remove(key);
        self.parameters.insert(key, parameters.clone());
        Ok(true)
    }

    /// Takes `bytes` as they were on the wire, in this number of messages or packets. Each of them costs [`Frame::OVERHEAD`] at
    /// least, because it takes time.
    pub(crate) fn receive(&mut self, bytes: usize, messages: u64, now: Instant) -> Result<(), Ended> {
        let least = usize::try_from(messages).unwrap_or(usize::MAX).saturating_mul(Frame::OVERHEAD);
        match bytes.max(least) {
            0 => Ok(()),
            cost => self.charge(cost, now),
        }
    }

    /// Forgets the parameters of a track that has ended.
    pub(crate) fn forget(&mut self, key: TrackKey) {
        self.parameters.remove(key);
        self.waiting.remove(key);
    }

    fn charge(&mut self, bytes: usize, now: Instant) -> Result<(), Ended> {
        if self.bytes.try_take(bytes as f64, now).is_ok() {
            return Ok(());
        }
        DropReason::BitrateTooHigh.count(1);
        Err(Ended::TooMuch(self.bitrate))
    }
}
