//! The tags of one rendition of video become arrivals.
//!
//! A rendition begins with a keyframe, and again with one when its parameters change or another track goes on as this rendition. Its
//! frames are whole pictures ([`Slices`]).

use std::sync::Arc;

use onmic_media::codec::InBand;
use onmic_media::flv::{FlvError, VideoTag};
use onmic_media::{Arrival, ClockRate, Codec, DropReason, Parameters, Rendition, Ticks};

use super::{Dropped, Taken, dropped};
use crate::rtmp::slices::Slices;

/// One rendition of video.
#[derive(Debug)]
pub(super) struct VideoLine {
    rendition: Rendition,
    form: Option<Form>,
    slices: Slices,
}

/// What is known of the frames to come.
#[derive(Debug)]
struct Form {
    in_band: InBand,
    /// The last sequence header. A repetition of it changes nothing, even if the bitstream has stated more since.
    configured: Option<Parameters>,
    waits_for_keyframe: bool,
    /// The parameters of the frames before, which go on if their header comes again before any other frame.
    former: Option<Arc<Parameters>>,
}

impl VideoLine {
    /// Begins without a frame. A picture that comes in several tags has at most `picture_bytes`.
    pub(super) fn new(rendition: Rendition, picture_bytes: usize) -> Self {
        Self { rendition, form: None, slices: Slices::new(picture_bytes) }
    }

    /// Notes that another track goes on as this rendition.
    pub(super) fn begin_anew(&mut self) {
        if let Some(form) = &mut self.form {
            (form.waits_for_keyframe, form.former) = (true, None);
        }
    }

    /// Takes the next tag, which is of this time.
    pub(super) fn take(&mut self, tag: Result<VideoTag, FlvError>, millis: i64) -> Result<Taken, Dropped> {
        let (codec, keyframe, composition_ms, payload) = match tag.map_err(dropped)? {
            VideoTag::Config(parameters) => {
                self.configure(parameters);
                return Ok(Taken::Configuration);
            }
            VideoTag::Frame { codec, keyframe, composition_ms, payload } => (codec, keyframe, composition_ms, payload),
            VideoTag::EndOfSequence => return Ok(self.finish().map_or(Taken::End, Taken::Frame)),
            VideoTag::Further => return Ok(Taken::Nothing),
            VideoTag::Ignored(ignored) => return Err(Dropped::Tag(ignored.reason())),
        };
        let form = match &mut self.form {
            Some(form) if form.in_band.codec() == codec => form,
            // One odd frame does not end a track: another codec begins with its header.
            Some(form) if !form.waits_for_keyframe => return Err(Dropped::NoParameters(codec)),
            form => form.insert(Form::new(codec, None, None)),
        };
        let payload = form.in_band.take(payload).map_err(|_| Dropped::Tag(DropReason::TagMalformed))?;
        if payload.is_empty() {
            return Ok(Taken::Configuration);
        }
        let parameters = form.in_band.parameters().ok_or(Dropped::NoParameters(codec))?.clone();
        form.former = None;
        if form.waits_for_keyframe && !keyframe {
            return Err(Dropped::Tag(DropReason::TagBeforeKeyframe));
        }
        form.waits_for_keyframe = false;
        let ticks = |millis: i64| Ticks(millis).rescale(ClockRate::MILLIS, ClockRate::VIDEO);
        let (dts, pts) = (ticks(millis), ticks(millis + i64::from(composition_ms)));
        let tag = Arrival { rendition: self.rendition, dts, pts, keyframe, parameters, payload };
        let whole = self.slices.take(tag).map_err(Dropped::Tag)?;
        Ok(whole.map_or(Taken::Configuration, Taken::Frame))
    }

    /// Returns the picture that waits for the tag that begins the next one, because none comes.
    pub(super) fn finish(&mut self) -> Option<Arrival> {
        self.slices.finish()
    }

    fn configure(&mut self, parameters: Parameters) {
        let before = self.form.take();
        if let Some(form) = before.as_ref()
            && form.configured.as_ref() == Some(&parameters)
        {
            self.form = before;
            return;
        }
        // Frames that continue the old stream cannot be decoded with new parameters.
        let is_stated = |known: &Arc<Parameters>| **known == parameters;
        self.form = Some(match before {
            Some(form) if form.in_band.parameters().is_some_and(is_stated) => {
                Form { configured: Some(parameters), ..form }
            }
            before => {
                let playing = before.and_then(Form::into_playing);
                let goes_on = playing.as_ref().is_some_and(is_stated);
                let known = playing.clone().filter(is_stated).unwrap_or_else(|| Arc::new(parameters.clone()));
                let form = Form::new(parameters.codec(), Some(known), Some(parameters));
                Form { waits_for_keyframe: !goes_on, former: playing, ..form }
            }
        });
    }
}

impl Form {
    fn new(codec: Codec, known: Option<Arc<Parameters>>, configured: Option<Parameters>) -> Self {
        Self { in_band: InBand::new(codec, known), configured, waits_for_keyframe: true, former: None }
    }

    /// Returns the parameters of the last frame, if the next one may continue it.
    fn into_playing(self) -> Option<Arc<Parameters>> {
        if self.waits_for_keyframe { self.former } else { self.in_band.parameters().cloned() }
    }
}
