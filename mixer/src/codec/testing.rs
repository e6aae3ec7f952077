//! Makes real frames without a file or another process, for the tests of this crate.

use std::sync::Arc;
use std::time::{Duration, Instant};

use onmic_media::codec::Colour;
use onmic_media::time::{Ticks, WallTime};
use onmic_media::{Frame, Parameters};

use super::RawVideo;
use super::encode::{AudioEncoder, AudioPacket, AudioSettings, VideoEncoder, VideoSettings};
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
        let form = Picture { width: side, height: side, colour };
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

/// Makes `count` frames of a tone in AAC, in stereo at `rate`.
pub(crate) fn aac(rate: u32, count: usize) -> Vec<Frame> {
    let mut encoder = AudioEncoder::open_at(rate, AudioSettings::Aac { bitrate_bps: 128_000 }, 2).unwrap();
    let (mut packets, start) = (Vec::new(), Instant::now());
    for number in 0..=count {
        let first = number * encoder.block();
        let tone = |sample: usize| (sample as f32 * 440.0 * std::f32::consts::TAU / rate as f32).sin() / 4.0;
        let block: Vec<f32> = (first..first + encoder.block()).flat_map(|sample| [tone(sample); 2]).collect();
        encoder.encode(&block, first as i64, &mut packets).unwrap();
    }
    let parameters = encoder.parameters().clone();
    let frame = |packet: AudioPacket| {
        let after = Duration::from_micros((packet.pts + encoder.priming()) as u64 * 1_000_000 / u64::from(rate));
        Frame {
            dts: Ticks(packet.pts),
            pts: Ticks(packet.pts),
            wall: WallTime(1_795_000_000_000_000).offset_micros(after.as_micros() as i64),
            arrived: start + after,
            keyframe: true,
            parameters: parameters.clone(),
            payload: packet.payload,
        }
    };
    packets.into_iter().take(count).map(frame).collect()
}

/// Returns the number of a camera's frame, read from its luma.
pub(crate) fn number_of(picture: &RawVideo) -> u8 {
    (picture.data(0)[0] - 19) / 2
}
