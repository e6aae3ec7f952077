//! Makes real frames without a file or another process, for the tests of this crate.

use std::sync::Arc;
use std::time::{Duration, Instant};

use onmic_media::codec::Colour;
use onmic_media::time::{Ticks, WallTime};
use onmic_media::{Frame, Parameters};

use super::RawVideo;
use super::encode::{VideoEncoder, VideoSettings};
use super::picture::{self, Picture};

/// Is a camera with 30 frames per second. Frame number n is grey with a luma of 20 + 2n.
pub(crate) struct Camera {
    encoder: VideoEncoder,
    parameters: Arc<Parameters>,
    start: Instant,
    number: u8,
}

impl Camera {
    /// Makes frames of `side` by `side` pixels in H.264 that declares that nothing is reordered.
    pub(crate) fn new(side: u32) -> Self {
        let colour = Colour::unspecified(false);
        let form = Picture { width: side, height: side, aspect: (1, 1), colour };
        let encoder = VideoEncoder::open(form, 30.0, 1_000_000, &VideoSettings::default()).unwrap();
        let parameters = encoder.parameters().clone();
        Self { encoder, parameters, start: Instant::now(), number: 0 }
    }

    /// Makes the same frames in H.264 that does not say whether frames are reordered.
    pub(crate) fn undeclared(side: u32) -> Self {
        let mut camera = Self::new(side);
        let Parameters::H264(h264) = &*camera.parameters else { panic!("not H.264") };
        let h264 = onmic_media::codec::h264::Parameters { max_reorder: None, ..h264.clone() };
        camera.parameters = Arc::new(Parameters::H264(h264));
        camera
    }

    /// Continues with frame number `number`.
    pub(crate) fn from(self, number: u8) -> Self {
        Self { number, ..self }
    }

    pub(crate) fn parameters(&self) -> &Arc<Parameters> {
        &self.parameters
    }

    pub(crate) fn frame(&mut self, keyframe: bool) -> Frame {
        let form = self.encoder.picture();
        let mut picture = picture::blank(form.width, form.height);
        picture.data_mut(0).fill(20 + 2 * self.number);
        (1..3).for_each(|plane| picture.data_mut(plane).fill(128));
        let unit = self.encoder.encode(&mut picture, keyframe).unwrap();
        let number = i64::from(self.number);
        let arrived = self.start + Duration::from_micros(33_333) * u32::from(self.number);
        self.number += 1;
        Frame {
            dts: Ticks(number * 3000),
            pts: Ticks(number * 3000),
            wall: WallTime(1_795_000_000_000_000).offset_micros(number * 33_333),
            arrived,
            keyframe: unit.keyframe,
            parameters: self.parameters.clone(),
            payload: unit.payload,
        }
    }

    /// Makes a group of frames.
    pub(crate) fn frames(&mut self, count: usize) -> Vec<Frame> {
        (0..count).map(|number| self.frame(number == 0)).collect()
    }
}

/// Returns the number of a camera's frame, read from its luma.
pub(crate) fn number_of(picture: &RawVideo) -> u8 {
    (picture.data(0)[0] - 19) / 2
}
