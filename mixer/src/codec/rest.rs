//! When a decoder is not fed: after frames in a row that it cannot decode, for a time that grows.
//!
//! A stream that is not what its parameters say fails with every frame, and a publisher may send hundreds of thousands of them in
//! a minute. Each costs a call, a reset and a line of the log. So after [`FAILURES`] of them the decoder rests, and then tries one
//! frame at a time. One that can be decoded, or other parameters, end that.

use std::sync::Arc;
use std::time::{Duration, Instant};

use onmic_media::{Frame, Parameters};

/// The number of failures in a row after which a decoder rests: 170 ms of AAC, or as many keyframes.
const FAILURES: u32 = 8;

/// How long it rests at first, and at most. The time doubles with each further failure. A publisher needs less than the first to
/// send a keyframe that it is asked for.
const REST: Duration = Duration::from_millis(500);
const REST_MAX: Duration = Duration::from_secs(8);

/// Tells when the decoder of one track rests.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rest {
    /// The parameters of the newest frame.
    parameters: Option<Arc<Parameters>>,
    failures: u32,
    until: Option<Instant>,
}

impl Rest {
    /// Returns whether this frame, the next of the track, is left out.
    pub(crate) fn is_on(&mut self, frame: &Frame) -> bool {
        let is_same = |known: &Arc<Parameters>| Arc::ptr_eq(known, &frame.parameters) || **known == *frame.parameters;
        if !self.parameters.as_ref().is_some_and(is_same) {
            self.decoded();
            self.parameters = Some(frame.parameters.clone());
        }
        self.until.is_some_and(|until| frame.arrived < until)
    }

    /// Notes that a frame could be decoded.
    pub(crate) fn decoded(&mut self) {
        (self.failures, self.until) = (0, None);
    }

    /// Notes that a frame that arrived at `arrived` could not be decoded.
    pub(crate) fn failed(&mut self, arrived: Instant) {
        self.failures = self.failures.saturating_add(1);
        let doublings = self.failures.checked_sub(FAILURES);
        self.until = doublings.map(|doublings| arrived + (REST * (1 << doublings.min(8))).min(REST_MAX));
    }
}

#[cfg(test)]
mod tests {
    use onmic_media::codec::opus;
    use onmic_media::{Ticks, WallTime};

    use super::*;

    #[test]
    fn a_decoder_that_fails_with_every_frame_is_fed_less_and_less_until_one_is_decoded_or_others_come() {
        let begun = Instant::now();
        let frame = |millis, channels| Frame {
            dts: Ticks(0),
            pts: Ticks(0),
            wall: WallTime(0),
            arrived: begun + Duration::from_millis(millis),
            keyframe: true,
            parameters: Arc::new(Parameters::Opus(opus::Parameters::new(channels))),
            payload: bytes::Bytes::new(),
        };
        let mut rest = Rest::default();
        let mut tried = Vec::new();
        for millis in (0..40_000).step_by(10) {
            if !rest.is_on(&frame(millis, 2)) {
                tried.push(millis);
                rest.failed(begun + Duration::from_millis(millis));
            }
        }
        assert_eq!(tried, [0, 10, 20, 30, 40, 50, 60, 70, 570, 1570, 3570, 7570, 15_570, 23_570, 31_570, 39_570]);
        assert!(rest.is_on(&frame(40_000, 2)) && !rest.is_on(&frame(40_000, 1)), "other parameters are tried");
        rest.failed(begun);
        assert!(!rest.is_on(&frame(40_000, 1)));
        (0..FAILURES).for_each(|_| rest.failed(begun));
        assert!(rest.is_on(&frame(10, 1)));
        rest.decoded();
        assert!(!rest.is_on(&frame(10, 1)));
    }
}
