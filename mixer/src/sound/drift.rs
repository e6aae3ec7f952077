//! Decides where in its samples an input is read, block by block. It is the control loop that keeps the read position
//! on its target.
//!
//! Clocks differ by tens of parts per million, so the target moves against the samples. Timestamps have a jitter of
//! half a millisecond. Small errors are ignored. Larger ones are slewed away by an inaudible change of speed. Only an
//! error that would take too long to slew is jumped over.

use super::BLOCK;

/// An error below this is noise, and the speed is exactly 1. It is 0.5 ms, the rounding of RTMP's timestamps.
const DEAD: f64 = 24.0;
/// The time constant of slewing, in samples: 2 s.
const SLEW: f64 = 96_000.0;
/// The largest deviation of the speed from 1. It is a twelfth of a semitone, and occurs only after a disturbance.
const FASTEST: f64 = 0.005;
/// The number of blocks over which the speed changes: 200 ms.
const SMOOTHING: f64 = 20.0;
/// A larger error than this is jumped over. It is 100 ms, which would take 20 s to slew.
const JUMP: f64 = 4_800.0;
/// The same limit for a young input: 20 ms. In its first 3 s the target is an estimate, and a jump is better than audio
/// that is visibly out of sync.
const YOUNG_JUMP: f64 = 960.0;
const YOUNG_BLOCKS: u32 = 300;

/// Holds the position in an input's samples that is read next, and the speed at which it moves.
#[derive(Clone, Debug)]
pub(crate) struct Cursor {
    position: f64,
    speed: f64,
    age: u32,
}

/// States what to read for a block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Motion {
    /// Where the first sample is read.
    pub(crate) from: f64,
    /// The distance from each sample to the next.
    pub(crate) step: f64,
    /// Whether the block does not continue the one before.
    pub(crate) jumped: bool,
}

impl Cursor {
    /// Starts at a whole sample, so that nothing is resampled unless it has to be.
    pub(crate) fn at(target: f64) -> Self {
        Self { position: target.round(), speed: 0.0, age: 0 }
    }

    /// Returns where the next block begins.
    pub(crate) fn position(&self) -> f64 {
        self.position
    }

    /// Returns what to read for the next block, which should begin at `target`. `jump` allows it to get there at once.
    pub(crate) fn advance(&mut self, target: f64, jump: bool) -> Motion {
        let error = target - self.position;
        let limit = if self.age < YOUNG_BLOCKS { YOUNG_JUMP } else { JUMP };
        let jumped = error.abs() > if jump { DEAD } else { limit };
        if jumped {
            *self = Self { age: self.age, ..Self::at(target) };
        } else {
            let beyond = (error.abs() - DEAD).max(0.0) * error.signum();
            let wanted = (beyond / SLEW).clamp(-FASTEST, FASTEST);
            self.speed += (wanted - self.speed) / SMOOTHING;
            if wanted == 0.0 && self.speed.abs() < 1e-6 {
                self.speed = 0.0;
            }
        }
        self.age = self.age.saturating_add(1);
        let motion = Motion { from: self.position, step: 1.0 + self.speed, jumped };
        self.position += motion.step * BLOCK as f64;
        motion
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_of_drift_stays_within_a_millisecond_without_a_jump() {
        for ppm in [100.0, -100.0, 500.0] {
            let (mut cursor, mut worst, mut fastest) = (Cursor::at(0.0), 0.0_f64, 0.0_f64);
            for block in 0..360_000_i64 {
                let target = block as f64 * 480.0 * (1.0 + ppm / 1e6);
                worst = worst.max((target - cursor.position()).abs());
                let motion = cursor.advance(target, false);
                assert!(!motion.jumped);
                fastest = fastest.max((motion.step - 1.0).abs());
            }
            assert!(worst < 24.0 + ppm.abs() / 1e6 * SLEW * 1.1, "{ppm} ppm: {worst:.1} samples off");
            assert!(fastest < ppm.abs() / 1e6 * 1.1, "{ppm} ppm: speed {fastest}");
        }
    }

    #[test]
    fn rounding_of_timestamps_does_not_change_the_speed() {
        let mut cursor = Cursor::at(1_000.0);
        for block in 0..1_000_i64 {
            let noise = [0.0, 15.0, -20.0][(block % 3) as usize];
            let motion = cursor.advance(1_000.0 + block as f64 * 480.0 + noise, false);
            assert_eq!((motion.from, motion.step), (1_000.0 + block as f64 * 480.0, 1.0));
        }
    }

    #[test]
    fn a_small_error_is_slewed_and_a_large_one_is_jumped_over() {
        let mut cursor = Cursor::at(0.0);
        let mut at = 0.0;
        for _ in 0..YOUNG_BLOCKS {
            cursor.advance(at, false);
            at += 480.0;
        }
        at += 2_400.0; // 50 ms
        for _ in 0..2_000 {
            let motion = cursor.advance(at, false);
            assert!(!motion.jumped && motion.step <= 1.0 + FASTEST);
            at += 480.0;
        }
        assert!((at - cursor.position()).abs() < 30.0, "{}", at - cursor.position());
        at += 4_900.0;
        let motion = cursor.advance(at, false);
        assert!(motion.jumped && (motion.from - at).abs() <= 0.5);
    }
}
