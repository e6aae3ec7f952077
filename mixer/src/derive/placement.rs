//! Places incoming samples on an output without holes: the pure core of the audio line. All numbers are samples at 48
//! kHz.
//!
//! Timestamps decide, not counted samples: publishers round to milliseconds, lose packets, reconnect, and have clocks
//! that drift. A small offset is removed by a stretch that listeners do not hear, so the output never drifts. Small
//! holes are filled, large ones stay holes, and overlaps are cut.

use std::time::Duration;

/// An offset below this (10 ms) is rounding or drift. From it on samples are missing or overlap. The shortest packet
/// that is commonly lost has 10 ms.
const TOLERANCE: i64 = 480;

/// The mean offset that is corrected: 2 ms, a fraction of the audio/video offset that viewers notice.
const WORTH_CORRECTING: f64 = 96.0;

/// The mean is taken over about this many frames: half a second.
const MEAN_FRAMES: f64 = 25.0;

/// A correction is spread over this many samples, one second. A correction of 2 ms changes the pitch by a thirtieth of
/// a semitone.
pub(crate) const CORRECTION_DISTANCE: i64 = 48_000;

/// States what to do with samples before they are taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// They follow the samples before them.
    Follow,
    /// This many samples of silence come first.
    Fill(i64),
    /// This many of them are already there and are left out.
    Cut(i64),
    /// The output ends here and continues at their time.
    Jump,
}

/// Places incoming samples on the output.
#[derive(Clone, Debug)]
pub(crate) struct Placement {
    fill_up_to: i64,
    mean: f64,
    correcting_until: Option<i64>,
}

impl Placement {
    /// Makes a placement that fills holes up to `fill_up_to` with silence.
    pub(crate) fn new(fill_up_to: Duration) -> Self {
        Self { fill_up_to: i64::try_from(fill_up_to.as_millis()).unwrap_or(0) * 48, mean: 0.0, correcting_until: None }
    }

    /// Places samples that begin at `pts`. `expected` is the end of the samples taken in before, or `None` if there are
    /// none.
    pub(crate) fn place(&mut self, pts: i64, expected: Option<i64>) -> Place {
        let Some(expected) = expected else { return Place::Jump };
        let off = pts - expected;
        if off.abs() < TOLERANCE {
            self.mean += (off as f64 - self.mean) / MEAN_FRAMES;
            return Place::Follow;
        }
        self.mean = 0.0;
        match off {
            off if off > self.fill_up_to => {
                self.correcting_until = None;
                Place::Jump
            }
            off if off > 0 => Place::Fill(off),
            off => Place::Cut(-off),
        }
    }

    /// Returns how many samples more (or fewer, if negative) to make over the next [`CORRECTION_DISTANCE`], if a
    /// correction is due. `expected` is as for [`Placement::place`].
    pub(crate) fn correction(&mut self, expected: i64) -> Option<i64> {
        if self.correcting_until.is_some_and(|until| expected < until) || self.mean.abs() < WORTH_CORRECTING {
            return None;
        }
        let correction = self.mean.round() as i64;
        self.mean = 0.0;
        // The mean has to include the result before the next correction.
        self.correcting_until = Some(expected + CORRECTION_DISTANCE * 3 / 2);
        Some(correction)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placement() -> Placement {
        Placement::new(Duration::from_millis(200))
    }

    #[test]
    fn holes_are_filled_up_to_the_limit_and_overlaps_are_cut() {
        let mut placement = placement();
        assert_eq!(placement.place(5_000, None), Place::Jump);
        assert_eq!(placement.place(6_047, Some(6_024)), Place::Follow);
        assert_eq!(placement.place(6_960, Some(6_000)), Place::Fill(960));
        assert_eq!(placement.place(15_600, Some(6_000)), Place::Fill(9_600));
        assert_eq!(placement.place(15_601, Some(6_000)), Place::Jump);
        assert_eq!(placement.place(5_000, Some(6_000)), Place::Cut(1_000));
    }

    #[test]
    fn rounding_to_milliseconds_causes_no_correction() {
        let mut placement = placement();
        for frame in 0..10_000_i64 {
            let exact = frame * 1024;
            let rounded = (exact * 1000 / 48_000) * 48;
            assert_eq!(placement.place(rounded, Some(exact)), Place::Follow);
            assert_eq!(placement.correction(exact), None);
        }
    }

    #[test]
    fn drift_is_corrected_before_it_counts_as_a_hole() {
        let (mut placement, mut corrected, mut worst) = (placement(), 0, 0);
        for frame in 0..180_000_i64 {
            let counted = frame * 960;
            let pts = counted + counted * 200 / 1_000_000; // 200 ppm for an hour would be 720 ms without correction.
            let expected = counted + corrected;
            assert_eq!(placement.place(pts, Some(expected)), Place::Follow);
            corrected += placement.correction(expected).unwrap_or(0);
            worst = worst.max((pts - expected).abs());
        }
        assert!(worst < 150, "{worst}");
    }
}
