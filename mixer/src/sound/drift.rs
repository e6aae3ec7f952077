//! Where in its samples an input is read, block by block: the control loop that holds it on its target.
//!
//! Clocks differ by tens of parts per million, so the target moves against the samples, and timestamps shake by half a
//! millisecond. Small errors are left alone, larger ones slewed away by a change of speed that nobody hears; only what
//! would take too long is jumped over.

use super::BLOCK;

/// Below this (0.5 ms, the rounding of RTMP's timestamps) an error is noise: speed is exactly 1.
const DEAD: f64 = 24.0;
/// An error is slewed away in about so long: 2 s.
const SLEW: f64 = 96_000.0;
/// A speed of 1 ± this is a fourteenth of a semitone, and is asked for only after a disturbance.
const FASTEST: f64 = 0.005;
/// The speed itself changes over so many blocks: 200 ms.
const SMOOTHING: f64 = 20.0;
/// A larger error is jumped over: 100 ms, which would take 20 s to slew.
const JUMP: f64 = 4_800.0;
/// In its first seconds an input's place is an estimate, and rather jumps than stays visibly out of step: 20 ms.
const YOUNG_JUMP: f64 = 960.0;
const YOUNG_BLOCKS: u32 = 300;

/// The place in an input's samples that is read next, and the speed it moves at.
#[derive(Clone, Debug)]
pub(crate) struct Cursor {
    position: f64,
    speed: f64,
    age: u32,
}

/// What to read for a block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Motion {
    /// Where the first sample is read.
    pub(crate) from: f64,
    /// How far each sample is from the one before.
    pub(crate) step: f64,
    /// It does not follow the block before.
    pub(crate) jumped: bool,
}

impl Cursor {
    /// Standing at a whole sample, so that nothing is resampled unless it must be.
    pub(crate) fn at(target: f64) -> Self {
        Self { position: target.round(), speed: 0.0, age: 0 }
    }

    /// Where the next block begins.
    pub(crate) fn position(&self) -> f64 {
        self.position
    }

    /// The next block, which should begin at `target`. `jump` for being there at once.
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
    fn rounding_of_timestamps_changes_no_speed() {
        let mut cursor = Cursor::at(1_000.0);
        for block in 0..1_000_i64 {
            let noise = [0.0, 15.0, -20.0][(block % 3) as usize];
            let motion = cursor.advance(1_000.0 + block as f64 * 480.0 + noise, false);
            assert_eq!((motion.from, motion.step), (1_000.0 + block as f64 * 480.0, 1.0));
        }
    }

    #[test]
    fn a_disturbance_is_slewed_and_a_large_one_jumped() {
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
