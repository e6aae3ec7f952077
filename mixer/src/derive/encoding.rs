//! One encoding of raw frames. It converts them, encodes them at once without reordering, and puts them out on a track.
//!
//! Every frame keeps its presentation time, and its decoding time becomes the same. A keyframe of the input is one of the output, in
//! all encodings alike. Where there are too few, a larger form makes more, and the smaller ones follow it. This module starts no thread
//! and reads no clock.
//!
//! **Passing on.** While the input already has the form of the output, and sends a keyframe when one is asked for, its coded frames are
//! passed on as they are. A rung of the ladder is smaller than the input, and is always encoded.

use std::sync::Arc;
use std::time::{Duration, Instant};

use onmic_media::feed::Rung;
use onmic_media::meter::Measured;
use onmic_media::time::{ClockRate, Ticks};
use onmic_media::{Codec, DropReason, Frame, Parameters, Rendition, Track};

use super::rate;
use crate::codec::RawVideo;
use crate::codec::cadence::Cadence;
use crate::codec::encode::{Backend, VideoEncoder, VideoSettings};
use crate::codec::live::FrameInfo;
use crate::codec::picture::{Converter, Picture};
use crate::error::Error;

/// How often the bitrate is checked, in video ticks: every second.
const RATE_INTERVAL: Ticks = Ticks(90_000);

/// A frame that comes this much before it is due is taken all the same, in video ticks: times are rounded to milliseconds, so 5 ms.
const EARLY: Ticks = Ticks(450);

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

/// States what is made of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aim {
    /// The same in another codec, or with other keyframes and without reordering.
    Plain(Backend),
    /// A rung of the ladder, as this rendition.
    Rung(Rendition, Rung),
}

impl Aim {
    /// Returns the form in which frames of this form are encoded.
    fn form(self, input: Picture) -> Picture {
        match self {
            Self::Plain(_) => input,
            Self::Rung(_, rung) => {
                let (width, height) = rung.size_of((input.width, input.height));
                Picture { width, height, ..input }
            }
        }
    }

    fn frame_rate(self, input: f64) -> f64 {
        match self {
            Self::Plain(_) => input,
            Self::Rung(_, rung) => rung.frame_rate_of(input),
        }
    }

    const fn backend(self) -> Backend {
        match self {
            Self::Plain(backend) => backend,
            Self::Rung(..) => Backend::X264,
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
pub(crate) struct Encoding {
    aim: Aim,
    policy: VideoPolicy,
    output: Arc<Track>,
    /// Whether the input is what the output has to be, see [`passes`].
    passes: bool,
    /// Whether the next frame that is passed on has to be a keyframe.
    needs_keyframe: bool,
    converter: Converter,
    encoder: VideoEncoder,
    cadence: Cadence,
    /// When the next frame is due, where not all of them are taken.
    due: Option<Ticks>,
    next_rate: Option<Ticks>,
    last_pts: Option<Ticks>,
    last_arrived: Option<Instant>,
}

impl Encoding {
    /// Opens an encoder for frames of this form that come at this rate, which its rate control assumes.
    pub(crate) fn open(
        form: Picture,
        frame_rate: f64,
        seen: Seen<'_>,
        (aim, policy): (Aim, VideoPolicy),
    ) -> Result<Self, Error> {
        let (own, own_rate) = (aim.form(form), aim.frame_rate(frame_rate));
        let (rendition, policy) = match aim {
            Aim::Plain(_) => (seen.rendition, policy),
            Aim::Rung(rendition, rung) => {
                let level = rung.h264_level((form.width, form.height), frame_rate);
                let encoder = VideoSettings { level: Some(level), ..policy.encoder };
                (rendition, VideoPolicy { encoder, ..policy })
            }
        };
        let bps = wanted_bps(aim, &policy, (&own, own_rate), seen);
        let encoder = VideoEncoder::open_with(aim.backend(), own, own_rate, bps, &policy.encoder)?;
        Ok(Self {
            aim,
            cadence: Cadence::new(policy.keyframe_interval, policy.keyframe_spacing),
            policy,
            output: Arc::new(Track::with_rendition(rendition, encoder.parameters().clone())),
            passes: false,
            needs_keyframe: true,
            converter: Converter::default(),
            encoder,
            due: None,
            next_rate: None,
            last_pts: None,
            last_arrived: None,
        })
    }

    /// Returns the track that it fills.
    pub(crate) fn output(&self) -> &Arc<Track> {
        &self.output
    }

    /// Returns whether it passes frames on as they are.
    pub(crate) fn is_passing(&self) -> bool {
        self.passes
    }

    /// Returns whether it would pass on frames of these parameters.
    pub(crate) fn would_pass(&self, input: &Track, parameters: &Parameters) -> bool {
        match self.aim {
            Aim::Plain(backend) => passes(input, backend.codec(), parameters),
            Aim::Rung(..) => false,
        }
    }

    /// Goes over to frames of these parameters.
    pub(crate) fn follow(&mut self, input: &Track, parameters: &Parameters) {
        self.passes = self.would_pass(input, parameters);
        self.needs_keyframe = true;
    }

    /// Notes that frames are missing before the next one.
    pub(crate) fn skipped(&mut self) {
        self.needs_keyframe = true;
    }

    /// Returns the number of pixels of its frames.
    pub(crate) fn pixels(&self) -> u32 {
        self.encoder.picture().pixels()
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
        if self.needs_keyframe && !frame.keyframe {
            DropReason::TranscodeNoKeyframe.count(1);
            return;
        }
        self.needs_keyframe = false;
        if !self.follows(frame.pts) {
            return;
        }
        if frame.keyframe {
            self.cadence.made(frame.pts);
        }
        let arrived = self.put(frame.pts, frame.arrived);
        self.output.push(Frame { dts: frame.pts, arrived, ..frame.clone() });
    }

    /// Encodes a raw frame of this form and puts it out. `larger` are forms of it that others have made, the smallest last: one of
    /// them costs less to scale than the frame itself. `keyframe` says that all smaller forms have a keyframe here, and is set where
    /// this one is the first that needs it. Returns its own form. [`Error::Convert`] means that this frame is unusable. Any
    /// other error comes from the encoder and is final.
    pub(crate) fn encode(
        &mut self,
        (picture, larger): (&RawVideo, &[RawVideo]),
        form: &Picture,
        (info, keyframe): (&FrameInfo, &mut bool),
        seen: Seen<'_>,
    ) -> Result<Option<RawVideo>, Error> {
        if !self.follows(info.pts) || !self.is_due(info.pts, *keyframe) {
            return Ok(None);
        }
        let form = self.aim.form(*form);
        if form != *self.encoder.picture() {
            self.reopen(&form, self.wanted_bps(&form, seen))?;
            tracing::debug!(width = form.width, height = form.height, "encoder reopened for frames of another form");
        }
        let is_larger = |one: &&RawVideo| one.width() >= form.width && one.height() >= form.height;
        let picture = larger.iter().rev().find(is_larger).unwrap_or(picture);
        let interval = seen.measured.keyframe_interval;
        let idr = self.cadence.is_due(info.pts, *keyframe, interval);
        // What a viewer of a rung needs is of no use to others. Playlists cut the main video where a keyframe is asked for.
        let is_for_all = matches!(self.aim, Aim::Plain(_)) || self.cadence.is_in_rhythm(info.pts, *keyframe, interval);
        *keyframe |= idr && is_for_all && self.last_pts.is_some();
        self.follow_rate(info.pts, idr, seen)?;
        let mut picture = self.converter.convert(picture, &form)?;
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
        Ok(Some(picture))
    }

    /// Returns whether a frame is taken where the output has fewer of them. Keyframes always are, so that all encodings have them.
    fn is_due(&mut self, pts: Ticks, keyframe: bool) -> bool {
        let Aim::Rung(_, Rung { frame_rate: Some(most), .. }) = self.aim else { return true };
        let interval = Ticks(i64::from(ClockRate::VIDEO.hz() / most));
        let due = self.due.filter(|due| !keyframe && *due - pts < interval + interval);
        if due.is_some_and(|due| pts + EARLY < due) {
            return false;
        }
        // One that is late does not let the next one come early: a slower input has all its frames taken.
        self.due = Some(due.map_or(pts, |due| due.max(pts - interval)) + interval);
        true
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
        wanted_bps(self.aim, &self.policy, (form, self.encoder.frame_rate()), seen)
    }

    fn reopen(&mut self, form: &Picture, bps: u64) -> Result<(), Error> {
        let (frame_rate, settings) = (self.encoder.frame_rate(), &self.policy.encoder);
        self.encoder = VideoEncoder::open_with(self.aim.backend(), *form, frame_rate, bps, settings)?;
        Ok(())
    }

    /// Follows the bitrate of the input. An encoder whose bitrate is fixed when it is opened does so at keyframes alone.
    fn follow_rate(&mut self, pts: Ticks, idr: bool, seen: Seen<'_>) -> Result<(), Error> {
        let fixed = self.aim.backend().has_fixed_bitrate();
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

/// Returns the bitrate of an encoder for frames of this form, which assumes this frame rate.
fn wanted_bps(aim: Aim, policy: &VideoPolicy, (form, frame_rate): (&Picture, f64), seen: Seen<'_>) -> u64 {
    match aim {
        Aim::Plain(_) => rate::wanted_bps(seen.codec, seen.measured, form.pixels(), frame_rate, policy.bitrate_max_bps),
        Aim::Rung(_, rung) => {
            let own = rung.frame_rate_of(rate::frame_rate(seen.measured, frame_rate));
            rate::at_frame_rate(rung.bitrate_bps as f64, frame_rate, own)
        }
    }
}

/// Returns whether every viewer of `codec` takes the input as it is: it is widely decoded, its pictures are frames of square
/// samples, it does not reorder, and viewers get the keyframes that they ask for. H.264 has to declare that it does not reorder. VP8
/// never does.
fn passes(input: &Track, codec: Codec, parameters: &Parameters) -> bool {
    let in_order = codec == Codec::Vp8 || parameters.reorders() == Some(false);
    let is_plain = parameters.is_widely_decoded() && parameters.has_square_samples() && !parameters.is_interlaced();
    let has_entries = input.answers_requests() && !input.enters_by_recovery();
    parameters.codec() == codec && is_plain && in_order && has_entries
}
