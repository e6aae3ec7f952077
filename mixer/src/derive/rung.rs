//! One encoding of raw frames. It converts them, encodes them at once without reordering, and puts them out on a track.
//!
//! Every frame keeps its presentation time, and its decoding time becomes the same. This module starts no thread and
//! reads no clock.

use std::sync::Arc;
use std::time::{Duration, Instant};

use onmic_media::meter::Measured;
use onmic_media::time::Ticks;
use onmic_media::{Codec, DropReason, Frame, Rendition, Track};

use super::rate;
use crate::codec::RawVideo;
use crate::codec::cadence::Cadence;
use crate::codec::encode::{Backend, VideoEncoder, VideoSettings};
use crate::codec::live::FrameInfo;
use crate::codec::picture::{Converter, Picture};
use crate::error::Error;

/// How often the bitrate is checked, in video ticks: every second.
const RATE_INTERVAL: Ticks = Ticks(90_000);

/// Configures how video is re-encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoPolicy {
    /// The longest time between keyframes.
    pub keyframe_interval: Duration,
    /// The least time between keyframes that viewers ask for.
    pub keyframe_spacing: Duration,
    /// The highest bitrate of a derived track, in bits per second.
    pub bitrate_max_bps: u64,
    /// The encoder's settings.
    pub encoder: VideoSettings,
}

impl Default for VideoPolicy {
    fn default() -> Self {
        Self {
            keyframe_interval: Duration::from_secs(2),
            keyframe_spacing: Duration::from_millis(500),
            bitrate_max_bps: 12_000_000,
            encoder: VideoSettings::default(),
        }
    }
}

/// Describes the input that raw frames are decoded from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen<'a> {
    pub(crate) codec: Codec,
    pub(crate) rendition: Rendition,
    pub(crate) measured: &'a Measured,
}

/// Holds an encoder, its output track, and the state that decides its keyframes and bitrate.
pub(crate) struct Rung {
    backend: Backend,
    policy: VideoPolicy,
    output: Arc<Track>,
    converter: Converter,
    encoder: VideoEncoder,
    cadence: Cadence,
    next_rate: Option<Ticks>,
    last_pts: Option<Ticks>,
    last_arrived: Option<Instant>,
}

impl Rung {
    /// Opens an encoder for frames of this form. Its rate control assumes `frame_rate`.
    pub(crate) fn open(
        form: Picture,
        frame_rate: f64,
        seen: Seen<'_>,
        (backend, policy): (Backend, VideoPolicy),
    ) -> Result<Self, Error> {
        let bps = rate::wanted_bps(seen.codec, seen.measured, form.pixels(), frame_rate, policy.bitrate_max_bps);
        let encoder = VideoEncoder::open_with(backend, form, frame_rate, bps, &policy.encoder)?;
        Ok(Self {
            backend,
            cadence: Cadence::new(policy.keyframe_interval, policy.keyframe_spacing),
            policy,
            output: Arc::new(Track::with_rendition(seen.rendition, encoder.parameters().clone())),
            converter: Converter::default(),
            encoder,
            next_rate: None,
            last_pts: None,
            last_arrived: None,
        })
    }

    /// Returns the track that it fills.
    pub(crate) fn output(&self) -> &Arc<Track> {
        &self.output
    }

    /// Notes whether viewers of the track need a keyframe. Returns whether they do.
    pub(crate) fn hear_viewers(&mut self) -> bool {
        let wanted = self.output.take_keyframe_wanted();
        if wanted {
            self.cadence.want();
        }
        wanted
    }

    /// Puts out a coded frame as it is.
    pub(crate) fn pass(&mut self, frame: &Frame) {
        if !self.follows(frame.pts) {
            return;
        }
        if frame.keyframe {
            self.cadence.made(frame.pts);
        }
        let arrived = self.put(frame.pts, frame.arrived);
        self.output.push(Frame { dts: frame.pts, arrived, ..frame.clone() });
    }

    /// Encodes a raw frame of this form and puts it out. [`Error::Convert`] means that this frame is unusable. Any
    /// other error comes from the encoder and is final.
    pub(crate) fn encode(
        &mut self,
        picture: &RawVideo,
        form: &Picture,
        info: &FrameInfo,
        seen: Seen<'_>,
    ) -> Result<(), Error> {
        if !self.follows(info.pts) {
            return Ok(());
        }
        if form != self.encoder.picture() {
            self.reopen(form, self.wanted_bps(form, seen))?;
            tracing::debug!(width = form.width, height = form.height, "encoder reopened for frames of another form");
        }
        let idr = self.cadence.is_due(info.pts, info.keyframe, seen.measured.keyframe_interval);
        self.follow_rate(info.pts, idr, seen)?;
        let mut picture = self.converter.convert(picture, form)?;
        let unit = self.encoder.encode(&mut picture, idr)?;
        if unit.keyframe {
            self.cadence.made(info.pts);
        }
        let arrived = self.put(info.pts, info.arrived);
        self.output.push(Frame {
            dts: info.pts,
            pts: info.pts,
            wall: info.wall,
            arrived,
            keyframe: unit.keyframe,
            parameters: self.encoder.parameters().clone(),
            payload: unit.payload,
        });
        Ok(())
    }

    /// Returns whether a frame is later than all before. If it is not, the stream reorders more deeply than it
    /// declares, or repeats a time.
    fn follows(&self, pts: Ticks) -> bool {
        let follows = self.last_pts.is_none_or(|last| pts > last);
        if !follows {
            DropReason::TranscodeOrder.count(1);
        }
        follows
    }

    /// Notes that a frame goes out, and returns the arrival to state for it. A B-frame arrives after frames that are
    /// shown later, but arrivals in a ring must not decrease.
    fn put(&mut self, pts: Ticks, arrived: Instant) -> Instant {
        let arrived = self.last_arrived.map_or(arrived, |last| last.max(arrived));
        (self.last_pts, self.last_arrived) = (Some(pts), Some(arrived));
        arrived
    }

    fn wanted_bps(&self, form: &Picture, seen: Seen<'_>) -> u64 {
        let frame_rate = self.encoder.frame_rate();
        rate::wanted_bps(seen.codec, seen.measured, form.pixels(), frame_rate, self.policy.bitrate_max_bps)
    }

    fn reopen(&mut self, form: &Picture, bps: u64) -> Result<(), Error> {
        let (frame_rate, settings) = (self.encoder.frame_rate(), &self.policy.encoder);
        self.encoder = VideoEncoder::open_with(self.backend, *form, frame_rate, bps, settings)?;
        Ok(())
    }

    /// Follows the bitrate of the input. An encoder whose bitrate is fixed when it is opened does so at keyframes alone.
    fn follow_rate(&mut self, pts: Ticks, idr: bool, seen: Seen<'_>) -> Result<(), Error> {
        let fixed = self.backend.has_fixed_bitrate();
        if self.next_rate.is_some_and(|next| pts < next) || (fixed && !idr) {
            return Ok(());
        }
        self.next_rate = Some(pts + RATE_INTERVAL);
        let wanted = self.wanted_bps(self.encoder.picture(), seen);
        match rate::differs(self.encoder.bitrate_bps(), wanted) {
            true if fixed => self.reopen(&self.encoder.picture().clone(), wanted),
            true => self.encoder.set_bitrate(wanted),
            false => Ok(()),
        }
    }
}
