//! Makes and measures tones, for this module's tests.

use std::f64::consts::PI;

use super::{BLOCK, Block};

/// Returns `count` samples of a sine at 48 kHz.
pub(crate) fn sine(hz: f64, amplitude: f64, count: usize) -> Vec<f32> {
    (0..count).map(|number| tone(hz, amplitude, number as f64)).collect()
}

/// Returns the sample of a sine at a position.
pub(crate) fn tone(hz: f64, amplitude: f64, position: f64) -> f32 {
    (amplitude * (2.0 * PI * hz * position / 48_000.0).sin()) as f32
}

/// Returns a block with a sine on both channels that begins at a position.
pub(crate) fn block(hz: f64, amplitude: f64, position: i64) -> Block {
    let samples: [f32; BLOCK] = std::array::from_fn(|number| tone(hz, amplitude, (position + number as i64) as f64));
    Block([samples, samples])
}

/// Measures the amplitude of a frequency in samples (by Goertzel's algorithm, with a Hann window so that other
/// frequencies do not leak into it).
pub(crate) fn amplitude(samples: &[f32], hz: f64) -> f64 {
    let turn = 2.0 * PI * hz / 48_000.0;
    let (mut before, mut last, mut weight) = (0.0, 0.0, 0.0);
    for (number, sample) in samples.iter().enumerate() {
        let window = 0.5 - 0.5 * (2.0 * PI * number as f64 / samples.len() as f64).cos();
        let now = f64::from(*sample) * window + 2.0 * turn.cos() * last - before;
        (before, last, weight) = (last, now, weight + window);
    }
    let power = last * last + before * before - 2.0 * turn.cos() * last * before;
    2.0 * power.max(0.0).sqrt() / weight
}

/// Converts a ratio of amplitudes to decibels.
pub(crate) fn db(ratio: f64) -> f64 {
    20.0 * ratio.max(1e-12).log10()
}

/// Returns the largest step from one sample to the next.
pub(crate) fn largest_step(samples: &[f32]) -> f32 {
    samples.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max)
}
