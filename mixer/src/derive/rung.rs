//! One encoding of decoded pictures: brought into form, encoded at once as H.264 without reordering, put out on a track.
//!
//! Every picture keeps its presentation time, and its decoding time becomes the same. Knows no thread and no clock.

use std::sync::Arc;
use std::time::{Duration, Instant};

use onmic_media::meter::Measured;
use onmic_media::time::Ticks;
use onmic_media::{Codec, DropReason, Frame, Rendition, Track};

use super::rate;
use crate::codec::RawVideo;
use crate::codec::cadence::Cadence;
use crate::codec::encode::{VideoEncoder, VideoSettings};
use crate::codec::live::FrameInfo;
use crate::codec::picture::{Converter, Picture};
use crate::error::Error;

/// The bitrate is looked at this often, in video ticks: a second.
const RATE_INTERVAL: Ticks = Ticks(90_000);

/// How video is re-encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoPolicy {
    /// A keyframe at least this often.
    pub keyframe_interval: Duration,
    /// Keyframes that viewers ask for are at least this far apart.
    pub keyframe_spacing: Duration,
    /// No derived track gets more bits per second.
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

/// What is known of the input that pictures are decoded from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen<'a> {
    pub(crate) codec: Codec,
    pub(crate) rendition: Rendition,
    pub(crate) measured: &'a Measured,
}

/// An encoder, its output track, and what decides about its keyframes and bitrate.
pub(crate) struct Rung {
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
    /// For pictures of this form. Where the input does not say its frame rate it is `frame_rate`.
    pub(crate) fn open(form: Picture, frame_rate: f64, seen: Seen<'_>, policy: VideoPolicy) -> Result<Self, Error> {
        let bps = rate::wanted_bps(seen.codec, seen.measured, form.pixels(), frame_rate, policy.bitrate_max_bps);
        let encoder = VideoEncoder::open(form, frame_rate, bps, &policy.encoder)?;
        Ok(Self {
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

    /// The track it fills.
    pub(crate) fn output(&self) -> &Arc<Track> {
        &self.output
    }

    /// Notes whether viewers of the track need a keyframe, and returns it.
    pub(crate) fn hear_viewers(&mut self) -> bool {
        let wanted = self.output.take_keyframe_wanted();
        if wanted {
            self.cadence.want();
        }
        wanted
    }

    /// Puts out a frame that needs nothing done to it.
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

    /// Encodes a picture of this form and puts it out. [`Error::Convert`] is the picture's fault; any other error is the
    /// encoder's and final.
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
            let (frame_rate, bps) = (self.encoder.frame_rate(), self.wanted_bps(form, seen));
            self.encoder = VideoEncoder::open(*form, frame_rate, bps, &self.policy.encoder)?;
            tracing::debug!(width = form.width, height = form.height, "encoder opened again for another picture");
        }
        self.follow_rate(info.pts, seen)?;
        let idr = self.cadence.is_due(info.pts, info.keyframe, seen.measured.keyframe_interval);
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

    /// Whether a picture is later than all before. One that is not is of a stream that reorders deeper than it declares, or
    /// that repeats a time.
    fn follows(&self, pts: Ticks) -> bool {
        let follows = self.last_pts.is_none_or(|last| pts > last);
        if !follows {
            DropReason::TranscodeOrder.count(1);
        }
        follows
    }

    /// Notes what goes out, and returns its arrival: B-frames arrived after the pictures they are shown before, and a ring's
    /// age must not run backwards for it.
    fn put(&mut self, pts: Ticks, arrived: Instant) -> Instant {
        let arrived = self.last_arrived.map_or(arrived, |last| last.max(arrived));
        (self.last_pts, self.last_arrived) = (Some(pts), Some(arrived));
        arrived
    }

    fn wanted_bps(&self, form: &Picture, seen: Seen<'_>) -> u64 {
        let frame_rate = self.encoder.frame_rate();
        rate::wanted_bps(seen.codec, seen.measured, form.pixels(), frame_rate, self.policy.bitrate_max_bps)
    }

    fn follow_rate(&mut self, pts: Ticks, seen: Seen<'_>) -> Result<(), Error> {
        if self.next_rate.is_some_and(|next| pts < next) {
            return Ok(());
        }
        self.next_rate = Some(pts + RATE_INTERVAL);
        let wanted = self.wanted_bps(self.encoder.picture(), seen);
        if rate::differs(self.encoder.bitrate_bps(), wanted) {
            self.encoder.set_bitrate(wanted)?;
        }
        Ok(())
    }
}
