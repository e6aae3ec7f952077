//! Makes frames for this crate's tests.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::codec::{MediaKind, Parameters, metadata, opus, vp8};
use crate::frame::Frame;
use crate::time::{ClockRate, Ticks, WallTime};

pub(crate) fn video() -> Arc<Parameters> {
    Arc::new(Parameters::Vp8(vp8::Parameters { width: 640, height: 360, version: 0 }))
}

pub(crate) fn audio() -> Arc<Parameters> {
    let opus =
        opus::Parameters { channels: 2, pre_skip: 312, input_sample_rate: 48_000, output_gain: 0, mapping: None };
    Arc::new(Parameters::Opus(opus))
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
