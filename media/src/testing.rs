//! Makes frames for this crate's tests.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::codec::{MediaKind, Parameters, aac, h264, metadata, opus, vp8};
use crate::frame::Frame;
use crate::time::{ClockRate, Ticks, WallTime};

pub(crate) fn video() -> Arc<Parameters> {
    Arc::new(Parameters::Vp8(vp8::Parameters { width: 640, height: 360, version: 0 }))
}

/// Baseline.
pub(crate) fn h264() -> Arc<Parameters> {
    let sps = [0x67, 0x42, 0xc0, 0x0d, 0xda, 0x05, 0x0c, 0xed, 0xff, 0x01, 0x60, 0x22, 0x00, 0x00, 0x03, 0x00];
    let sps = [&sps[..], &[0x02, 0x00, 0x00, 0x03, 0x00, 0x78, 0x1e, 0x28, 0x55, 0x70]].concat();
    let pps = Bytes::from_static(&[0x68, 0xce, 0x3c, 0x80]);
    Arc::new(Parameters::H264(h264::Parameters::from_parameter_sets(vec![sps.into()], vec![pps]).unwrap()))
}

/// An access unit of H.264 with a recovery point, whose picture is right at once.
pub(crate) const RECOVERY_POINT: &[u8] = &[0, 0, 0, 5, 6, 6, 1, 0x84, 0x80, 0, 0, 0, 2, 0x41, 0x9a];

/// 5.1 whose layout a program config element describes.
pub(crate) fn aac_without_a_standard_layout() -> Arc<Parameters> {
    let asc = [0x11, 0x80, 0x04, 0xc8, 0x05, 0x00, 0x01, 0x19, 0x18, 0x00];
    Arc::new(Parameters::Aac(aac::Parameters::from_asc(&asc).unwrap()))
}

pub(crate) fn audio() -> Arc<Parameters> {
    let opus =
        opus::Parameters { channels: 2, pre_skip: 312, input_sample_rate: 48_000, output_gain: 0, mapping: None };
    Arc::new(Parameters::Opus(opus))
}

/// Opus 5.1, with four streams in each packet.
pub(crate) fn surround_opus() -> Arc<Parameters> {
    let table = Bytes::from_static(&[0, 4, 1, 2, 3, 5]);
    let mapping = opus::Mapping { family: 1, streams: 4, coupled: 2, table };
    Arc::new(Parameters::Opus(opus::Parameters { channels: 6, mapping: Some(mapping), ..opus::Parameters::new(2) }))
}

pub(crate) fn metadata() -> Arc<Parameters> {
    Arc::new(Parameters::Metadata(metadata::Parameters::new(metadata::ID3, "").unwrap()))
}

/// Makes frames 40 ms apart, from a fixed moment on.
pub(crate) struct Frames {
    pub(crate) start: Instant,
    pub(crate) parameters: Arc<Parameters>,
    next: i64,
}

impl Frames {
    pub(crate) fn new(parameters: Arc<Parameters>) -> Self {
        Self { start: Instant::now(), parameters, next: 0 }
    }

    pub(crate) fn at(&self, number: i64) -> Instant {
        self.start + Duration::from_millis(u64::try_from(number).unwrap() * 40)
    }

    pub(crate) fn frame(&mut self, keyframe: bool, bytes: usize) -> Frame {
        let number = self.next;
        self.next += 1;
        let dts = Ticks(number * 40).rescale(ClockRate::MILLIS, self.parameters.clock_rate());
        Frame {
            dts,
            pts: dts,
            wall: WallTime(1_000_000_000).offset_micros(number * 40_000),
            arrived: self.at(number),
            keyframe: keyframe || self.parameters.kind() != MediaKind::Video,
            parameters: self.parameters.clone(),
            payload: Bytes::from(vec![0; bytes]),
        }
    }
}
