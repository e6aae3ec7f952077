//! One track of pictures turned into H.264 without reordering: decode, bring into form, encode at once.
//!
//! Every picture keeps its presentation time, and its decoding time becomes the same. Knows no thread and no clock.
//!
//! **Catching up.** Whoever asks for the track first finds the input's newest group mostly over: with a keyframe every 4 s,
//! up to 120 frames that are to be decoded before the picture of now can be. Encoding them too would put out a picture
//! sooner, but an old one, at two to three times the CPU, and would reach the present two to three times later; with 1080p
//! on a busy machine not at all. So what is behind is only decoded, leaving out the pictures no other refers to (half to
//! two thirds of a stream with B-frames), and the newest one becomes the first IDR. The same is done when the machine
//! could not keep up: nothing ever queues here.
//!
//! **Passing on.** A program changes between a source with reordered frames and a mix without: while the input is what the
//! output has to be, its frames are handed on as they are.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ffmpeg_next::frame::Video as Raw;
use onmic_media::time::{Ticks, WallTime};
use onmic_media::{Codec, Frame, Parameters, Track};

use super::rate;
use crate::codec::cadence::Cadence;
use crate::codec::decode::VideoDecoder;
use crate::codec::encode::{VideoEncoder, VideoSettings};
use crate::codec::picture::{Converter, Picture};
use crate::error::Error;
use crate::metric::dropped;

/// Frames that a decoder may hold back; H.264 and H.265 allow 16 pictures.
const IN_DECODER: usize = 64;

/// A backlog of less than this at the start is encoded like the rest.
const WORTH_SKIPPING: Duration = Duration::from_millis(300);

/// So close to the newest frame every picture is decoded again: one of them is to be shown.
const NEAR_FRAMES: u64 = 4;

/// The bitrate is looked at so often, in video ticks: a second.
const RATE_INTERVAL: Ticks = Ticks(90_000);

/// How pictures are re-encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoPolicy {
    /// A keyframe at least this often.
    pub keyframe_interval: Duration,
    /// Keyframes that viewers ask for are at least this far apart.
    pub keyframe_spacing: Duration,
    /// No derived track gets more bits per second.
    pub bitrate_max_bps: u64,
    /// The encoder's.
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

/// How far a frame is from the newest one of its track.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lag {
    /// Frames that came after it.
    pub(crate) frames: u64,
    /// How long before the newest it arrived.
    pub(crate) time: Duration,
}

/// What is known of a frame that is in the decoder.
#[derive(Clone, Copy, Debug)]
struct Sent {
    ordinal: i64,
    pts: Ticks,
    wall: WallTime,
    arrived: Instant,
    keyframe: bool,
}

/// See the module.
pub(crate) struct VideoLine {
    input: Arc<Track>,
    policy: VideoPolicy,
    backlog_max: Duration,
    parameters: Arc<Parameters>,
    decoder: VideoDecoder,
    sent: VecDeque<Sent>,
    ordinal: i64,
    needs_keyframe: bool,
    /// The input is H.264 that declares not to reorder.
    passes: bool,
    catching_up: Option<CatchUp>,
    converter: Converter,
    encoder: VideoEncoder,
    cadence: Cadence,
    next_rate: Option<Ticks>,
    last_pts: Option<Ticks>,
    last_arrived: Option<Instant>,
}

/// The newest picture decoded while catching up, and whether those left out are a loss or a way to start.
#[derive(Default)]
struct CatchUp {
    newest: Option<(Raw, Sent)>,
    overloaded: bool,
}

impl VideoLine {
    /// For the frames of `input`. Learns the picture from the newest keyframe, or from what is declared.
    pub(crate) fn open(input: Arc<Track>, policy: VideoPolicy, backlog_max: Duration) -> Result<Self, Error> {
        let keyframe = input.newest_keyframe();
        let parameters = keyframe.as_ref().map_or_else(|| input.parameters(), |frame| frame.parameters.clone());
        let mut decoder = VideoDecoder::open(&parameters)?;
        // A keyframe that cannot be decoded says nothing about the next one.
        let probed = keyframe.as_ref().and_then(|frame| decoder.probe(&frame.payload).ok().flatten());
        let picture = match &probed {
            Some(frame) => Picture::of(frame)?,
            None => Picture::declared(&parameters)?,
        };
        let measured = input.measured(keyframe.as_ref().map_or_else(Instant::now, |frame| frame.arrived));
        let seen = (measured.frame_rate > 1.0).then_some(measured.frame_rate);
        let frame_rate = parameters.frame_rate().or(seen).unwrap_or(30.0).clamp(1.0, 240.0);
        let codec = parameters.codec();
        let bps = rate::wanted_bps(codec, &measured, picture.pixels(), frame_rate, policy.bitrate_max_bps);
        let encoder = VideoEncoder::open(picture, frame_rate, bps, &policy.encoder)?;
        Ok(Self {
            cadence: Cadence::new(policy.keyframe_interval, policy.keyframe_spacing),
            input,
            policy,
            backlog_max,
            passes: is_in_order(&parameters),
            parameters,
            decoder,
            sent: VecDeque::new(),
            ordinal: 0,
            needs_keyframe: true,
            catching_up: None,
            converter: Converter::default(),
            encoder,
            next_rate: None,
            last_pts: None,
            last_arrived: None,
        })
    }

    /// What comes out first.
    pub(crate) fn output_parameters(&self) -> &Arc<Parameters> {
        self.encoder.parameters()
    }

    /// A viewer needs a keyframe.
    pub(crate) fn want_keyframe(&mut self) {
        if self.passes {
            self.input.want_keyframe();
        } else {
            self.cadence.want();
        }
    }

    /// Whether it only decodes to get to the present.
    pub(crate) fn is_catching_up(&self) -> bool {
        self.catching_up.is_some()
    }

    /// `frames` of the input were left out; the next one is a keyframe.
    pub(crate) fn skipped(&mut self, frames: u64) {
        // Before the first picture it is the way to the present and no loss.
        if self.last_pts.is_some() {
            dropped("transcode_overload", frames);
        }
        self.decoder.flush();
        self.sent.clear();
        self.needs_keyframe = true;
    }

    /// Takes in one frame and appends the pictures that are ready to `out`. An error is the encoder's and final; what
    /// comes from outside is counted and waited out.
    pub(crate) fn take(&mut self, frame: &Frame, lag: Lag, out: &mut Vec<Frame>) -> Result<(), Error> {
        if !Arc::ptr_eq(&self.parameters, &frame.parameters) {
            self.change(frame, out)?;
        }
        if self.needs_keyframe && !frame.keyframe {
            dropped("transcode_no_keyframe", 1);
            return Ok(());
        }
        self.needs_keyframe = false;
        if self.passes {
            self.pass(frame, out);
            return Ok(());
        }
        self.watch_lag(lag);
        self.sent.push_back(Sent {
            ordinal: self.ordinal,
            pts: frame.pts,
            wall: frame.wall,
            arrived: frame.arrived,
            keyframe: frame.keyframe,
        });
        if self.sent.len() > IN_DECODER {
            self.sent.pop_front();
        }
        let sent = self.decoder.send(&frame.payload, self.ordinal);
        self.ordinal += 1;
        match sent {
            Ok(()) => self.receive(out)?,
            Err(error) => self.broken(&error),
        }
        if lag.frames == 0
            && let Some(CatchUp { newest: Some((picture, sent)), .. }) = self.catching_up.take()
        {
            self.encode(picture, sent, out)?;
        }
        Ok(())
    }

    /// The input ended: what is still held back comes out.
    pub(crate) fn finish(&mut self, out: &mut Vec<Frame>) -> Result<(), Error> {
        self.decoder.finish();
        self.receive(out)
    }

    fn watch_lag(&mut self, lag: Lag) {
        let started = self.last_pts.is_some();
        let most = if started { self.backlog_max } else { WORTH_SKIPPING };
        if self.catching_up.is_none() && lag.time > most {
            tracing::debug!(behind = ?lag.time, frames = lag.frames, started, "decoding only, to catch up");
            self.catching_up = Some(CatchUp { newest: None, overloaded: started });
        }
        self.decoder.skip_unreferenced(self.catching_up.is_some() && lag.frames > NEAR_FRAMES);
        if self.catching_up.as_ref().is_some_and(|catching_up| catching_up.overloaded) {
            dropped("transcode_overload", 1);
        }
    }

    fn change(&mut self, frame: &Frame, out: &mut Vec<Frame>) -> Result<(), Error> {
        if *self.parameters != *frame.parameters {
            self.finish(out)?;
            self.sent.clear();
            self.needs_keyframe = true;
            self.passes = is_in_order(&frame.parameters);
            match VideoDecoder::open(&frame.parameters) {
                Ok(decoder) => self.decoder = decoder,
                Err(error) => self.broken(&error),
            }
        }
        self.parameters = frame.parameters.clone();
        Ok(())
    }

    /// What cannot be decoded makes what refers to it worthless: wait for the next keyframe, and ask for it.
    fn broken(&mut self, error: &Error) {
        tracing::debug!(error = error as &dyn std::error::Error, "a picture could not be decoded");
        dropped("transcode_corrupt", 1);
        self.decoder.flush();
        self.sent.clear();
        self.needs_keyframe = true;
        self.input.want_keyframe();
    }

    /// A frame that needs nothing done to it.
    fn pass(&mut self, frame: &Frame, out: &mut Vec<Frame>) {
        if self.last_pts.is_some_and(|last| frame.pts <= last) {
            dropped("transcode_order", 1);
            return;
        }
        let arrived = self.last_arrived.map_or(frame.arrived, |last| last.max(frame.arrived));
        (self.last_pts, self.last_arrived) = (Some(frame.pts), Some(arrived));
        if frame.keyframe {
            self.cadence.made(frame.pts);
        }
        out.push(Frame { dts: frame.pts, arrived, ..frame.clone() });
    }

    fn receive(&mut self, out: &mut Vec<Frame>) -> Result<(), Error> {
        loop {
            let picture = match self.decoder.receive() {
                Ok(Some(picture)) => picture,
                Ok(None) => return Ok(()),
                Err(error) => {
                    self.broken(&error);
                    return Ok(());
                }
            };
            let Some(at) = self.sent.iter().position(|sent| Some(sent.ordinal) == picture.pts()) else { continue };
            let Some(sent) = self.sent.remove(at) else { continue };
            match &mut self.catching_up {
                Some(catching_up) => catching_up.newest = Some((picture, sent)),
                None => self.encode(picture, sent, out)?,
            }
        }
    }

    fn encode(&mut self, picture: Raw, sent: Sent, out: &mut Vec<Frame>) -> Result<(), Error> {
        // A stream that reorders deeper than it declares, or repeats a time.
        if self.last_pts.is_some_and(|last| sent.pts <= last) {
            dropped("transcode_order", 1);
            return Ok(());
        }
        let form = match Picture::of(&picture) {
            Ok(form) => form,
            Err(error) => {
                self.broken(&error);
                return Ok(());
            }
        };
        if form != *self.encoder.picture() {
            let (frame_rate, bps) = (self.encoder.frame_rate(), self.wanted_bps(&form, sent.arrived));
            self.encoder = VideoEncoder::open(form, frame_rate, bps, &self.policy.encoder)?;
            tracing::debug!(width = form.width, height = form.height, "encoder opened again for another picture");
        }
        self.follow_rate(&sent)?;
        let interval = self.input.measured(sent.arrived).keyframe_interval;
        let idr = self.cadence.is_due(sent.pts, sent.keyframe, interval);
        let mut picture = match self.converter.convert(picture, &form) {
            Ok(picture) => picture,
            Err(error) => {
                self.broken(&error);
                return Ok(());
            }
        };
        let unit = self.encoder.encode(&mut picture, idr)?;
        if unit.keyframe {
            self.cadence.made(sent.pts);
        }
        // B-frames arrived after the pictures they are shown before; a ring's age must not run backwards for it.
        let arrived = self.last_arrived.map_or(sent.arrived, |last| last.max(sent.arrived));
        (self.last_pts, self.last_arrived) = (Some(sent.pts), Some(arrived));
        out.push(Frame {
            dts: sent.pts,
            pts: sent.pts,
            wall: sent.wall,
            arrived,
            keyframe: unit.keyframe,
            parameters: self.encoder.parameters().clone(),
            payload: unit.payload,
        });
        Ok(())
    }

    fn wanted_bps(&self, picture: &Picture, now: Instant) -> u64 {
        let (codec, measured) = (self.parameters.codec(), self.input.measured(now));
        let frame_rate = self.encoder.frame_rate();
        rate::wanted_bps(codec, &measured, picture.pixels(), frame_rate, self.policy.bitrate_max_bps)
    }

    fn follow_rate(&mut self, sent: &Sent) -> Result<(), Error> {
        if self.next_rate.is_some_and(|next| sent.pts < next) {
            return Ok(());
        }
        self.next_rate = Some(sent.pts + RATE_INTERVAL);
        let wanted = self.wanted_bps(&self.encoder.picture().clone(), sent.arrived);
        if rate::differs(self.encoder.bitrate_bps(), wanted) {
            self.encoder.set_bitrate(wanted)?;
        }
        Ok(())
    }
}

fn is_in_order(parameters: &Parameters) -> bool {
    parameters.codec() == Codec::H264 && parameters.reorders() == Some(false)
}
