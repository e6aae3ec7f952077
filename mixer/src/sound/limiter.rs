//! A look-ahead limiter. Its output does not exceed −1 dBFS, has no clicks, and is 5 ms behind its input.
//!
//! The gain that a peak needs is held over the look-ahead and then averaged over it, so that it is reached exactly when
//! the peak comes out. After the peak the gain recovers over 100 ms. Both channels share the gain. Otherwise the stereo
//! image would move.

use std::collections::VecDeque;

use super::{BLOCK, Block};

/// The number of samples by which the output is behind the input: 5 ms.
pub const LOOK_AHEAD: usize = 240;

/// The highest output: −1 dBFS. It leaves headroom for what a lossy codec adds to a peak.
pub const CEILING: f32 = 0.891_250_9;

/// The recovery per sample: 63 % in 100 ms.
const RELEASE: f64 = 1.0 / 4_800.0;

/// Keeps a stream of blocks below [`CEILING`].
#[derive(Clone, Debug)]
pub struct Limiter {
    /// The samples that are not put out yet. Between two calls there are [`LOOK_AHEAD`].
    delayed: [VecDeque<f32>; 2],
    /// The needed gains of the window that are below all later ones, with the number of the sample that needs each. The
    /// first is the lowest.
    needed: VecDeque<(u64, f64)>,
    number: u64,
    held: f64,
    /// The held gains of the look-ahead.
    window: VecDeque<f64>,
    sum: f64,
    least: f64,
}

impl Default for Limiter {
    fn default() -> Self {
        Self {
            delayed: std::array::from_fn(|_| VecDeque::from(vec![0.0; LOOK_AHEAD])),
            needed: VecDeque::new(),
            number: 0,
            held: 1.0,
            window: VecDeque::from(vec![1.0; LOOK_AHEAD + 1]),
            sum: (LOOK_AHEAD + 1) as f64,
            least: 1.0,
        }
    }
}

impl Limiter {
    /// Replaces a block by the limited samples that are [`LOOK_AHEAD`] before it.
    pub fn process(&mut self, block: &mut Block) {
        self.least = 1.0;
        for number in 0..BLOCK {
            let [left, right] = [block.0[0][number], block.0[1][number]].map(finite);
            let gain = self.gain(left.abs().max(right.abs()));
            for (channel, sample) in [left, right].into_iter().enumerate() {
                self.delayed[channel].push_back(sample);
                let delayed = self.delayed[channel].pop_front().unwrap_or(0.0);
                block.0[channel][number] = (delayed * gain).clamp(-CEILING, CEILING);
            }
        }
    }

    /// Returns the lowest gain within the last block. It is 1 if nothing was limited.
    pub fn least_gain(&self) -> f32 {
        self.least as f32
    }

    /// Takes in the peak of a sample, and returns the gain for the sample that comes out.
    fn gain(&mut self, peak: f32) -> f32 {
        let need = if peak > CEILING { f64::from(CEILING / peak) } else { 1.0 };
        while self.needed.back().is_some_and(|(_, gain)| *gain >= need) {
            self.needed.pop_back();
        }
        self.needed.push_back((self.number, need));
        if self.needed.front().is_some_and(|(number, _)| number + LOOK_AHEAD as u64 <= self.number) {
            self.needed.pop_front();
        }
        self.number += 1;
        let least = self.needed.front().map_or(1.0, |(_, gain)| *gain);
        let released = self.held + (1.0 - self.held) * RELEASE;
        self.held = if released > 0.999_999 { least } else { least.min(released) };
        self.window.push_back(self.held);
        self.sum += self.held - self.window.pop_front().unwrap_or(1.0);
        let gain = (self.sum / (LOOK_AHEAD + 1) as f64).min(1.0);
        self.least = self.least.min(gain);
        // The gain must not stay below 1 after a peak because of rounding.
        if gain > 0.999_999_9 { 1.0 } else { gain as f32 }
    }
}

/// Replaces NaN and infinity, which would otherwise stay in the sums for ever, and bounds all other values.
fn finite(sample: f32) -> f32 {
    if sample.is_finite() { sample.clamp(-64.0, 64.0) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sound::testing::{amplitude, block, db, largest_step};

    fn run(blocks: impl Iterator<Item = Block>) -> Vec<f32> {
        let mut limiter = Limiter::default();
        let mut line = Vec::new();
        for mut block in blocks {
            limiter.process(&mut block);
            assert!(block.0.iter().flatten().all(|sample| sample.abs() <= CEILING));
            line.extend_from_slice(&block.0[0]);
        }
        line
    }

    #[test]
    fn quiet_audio_passes_unchanged_five_milliseconds_later() {
        let line = run((0..10).map(|number| block(440.0, 0.8, number * 480)));
        let wanted: Vec<f32> = (0..9).flat_map(|number| block(440.0, 0.8, number * 480).0[0]).collect();
        assert_eq!(line[LOOK_AHEAD..LOOK_AHEAD + wanted.len()], wanted);
    }

    #[test]
    fn the_output_never_exceeds_the_ceiling() {
        let mut seed = 7_u32;
        let mut noise = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        run((0..100).map(|number| {
            let loud = [0.1, 4.0, 0.5, 16.0][number % 4];
            let mut block = Block::SILENCE;
            block.0.iter_mut().flatten().for_each(|sample| *sample = noise() * loud);
            block
        }));
    }

    #[test]
    fn a_loud_tone_is_not_distorted_and_a_burst_makes_no_click() {
        let line = run((0..100).map(|number| block(440.0, 3.0, number * 480)));
        let settled = &line[24_000..43_200];
        let (tone, third) = (amplitude(settled, 440.0), amplitude(settled, 1_320.0));
        assert!(tone > 0.85 && db(third / tone) < -50.0, "{tone} {}", db(third / tone));
        let burst = |number: i64| if (30..40).contains(&number) { 2.0 } else { 0.3 };
        let line = run((0..100).map(|number| block(200.0, burst(number), number * 480)));
        // The burst itself steps where it begins. Before it no step is larger than the quiet tone's, and after it the
        // gain recovers.
        assert!(largest_step(&line[..30 * 480]) < 0.3 * 0.03);
        assert!(line[60 * 480..].iter().fold(0.0_f32, |peak, sample| peak.max(sample.abs())) > 0.29);
    }

    #[test]
    fn nan_and_infinity_do_not_stay() {
        let mut limiter = Limiter::default();
        let mut bad = Block::SILENCE;
        bad.0[0][3] = f32::NAN;
        bad.0[1][9] = f32::INFINITY;
        limiter.process(&mut bad);
        for number in 0..3 {
            let mut block = block(440.0, 0.5, number * 480);
            limiter.process(&mut block);
            assert!(block.0.iter().flatten().all(|sample| sample.is_finite()));
        }
    }
}
