//! Samples between samples, by a windowed sinc.
//!
//! For ratios within a percent of 1, where nothing can alias. It reads at any position of a slice and keeps nothing in
//! between: which sample came from when stays exact, and a jump needs no second resampler. That is why no
//! crate does this: those that are kept well are streams with a delay and a phase of their own.

use std::f64::consts::PI;
use std::sync::OnceLock;

/// Samples that one output sample is made of.
const TAPS: usize = 32;
/// So many must stand before (that at the position included) and behind a position.
pub(crate) const REACH: usize = TAPS / 2;
/// Between two neighbours the weights are interpolated linearly: with so many it is 100 dB below the sample.
const PHASES: usize = 512;
/// The shape of the Kaiser window: 80 dB of attenuation, flat up to 20 kHz.
const BETA: f64 = 8.0;

type Weights = [f32; TAPS];

fn table() -> &'static [Weights] {
    static TABLE: OnceLock<Vec<Weights>> = OnceLock::new();
    TABLE.get_or_init(|| (0..=PHASES).map(|phase| weights(phase as f64 / PHASES as f64)).collect())
}

/// For a position `fraction` behind the sample with `REACH - 1` before it.
fn weights(fraction: f64) -> Weights {
    let weight = |tap: usize| {
        let x = tap as f64 - (REACH as f64 - 1.0) - fraction;
        let inside = 1.0 - (x / REACH as f64).powi(2);
        let window = if inside <= 0.0 { 0.0 } else { bessel(BETA * inside.sqrt()) / bessel(BETA) };
        let sinc = if x.abs() < 1e-9 { 1.0 } else { (PI * x).sin() / (PI * x) };
        window * sinc
    };
    let raw: [f64; TAPS] = std::array::from_fn(weight);
    let sum: f64 = raw.iter().sum(); // So that a constant stays one at every phase.
    raw.map(|weight| (weight / sum) as f32)
}

/// The modified Bessel function of the first kind and order 0.
fn bessel(x: f64) -> f64 {
    let (mut sum, mut term) = (1.0, 1.0);
    for k in 1..40 {
        term *= (x / 2.0 / f64::from(k)).powi(2);
        sum += term;
    }
    sum
}

/// Fills `out[channel]` with the samples at `position`, `position + step`, … of `channels`, both of one length. Positions
/// are those of the slices; with less than [`REACH`] samples on either side what is missing counts as silence.
pub(crate) fn read(channels: [&[f32]; 2], position: f64, step: f64, out: [&mut [f32]; 2]) {
    let [left, right] = out;
    if step == 1.0 && position.fract() == 0.0 && position >= 0.0 {
        copy(channels[0], position as usize, left);
        copy(channels[1], position as usize, right);
        return;
    }
    for (number, (left, right)) in left.iter_mut().zip(right).enumerate() {
        let at = position + number as f64 * step;
        let first = at.floor() as i64 - (REACH as i64 - 1);
        let phase = at.rem_euclid(1.0) * PHASES as f64;
        let weights = between(phase as usize, phase.fract() as f32);
        *left = convolve(channels[0], first, &weights);
        *right = convolve(channels[1], first, &weights);
    }
}

fn copy(from: &[f32], start: usize, out: &mut [f32]) {
    let there = from.get(start..).unwrap_or_default();
    let count = there.len().min(out.len());
    out[..count].copy_from_slice(&there[..count]);
    out[count..].fill(0.0);
}

fn between(phase: usize, part: f32) -> Weights {
    let table = table();
    let (low, high) = (&table[phase.min(PHASES)], &table[(phase + 1).min(PHASES)]);
    std::array::from_fn(|tap| low[tap] + (high[tap] - low[tap]) * part)
}

fn convolve(samples: &[f32], first: i64, weights: &Weights) -> f32 {
    if let Some(window) = usize::try_from(first).ok().and_then(|first| samples.get(first..first + TAPS)) {
        // Eight sums side by side are what the compiler makes vector instructions of.
        let mut sums = [0.0_f32; 8];
        for (samples, weights) in window.chunks_exact(8).zip(weights.chunks_exact(8)) {
            for lane in 0..8 {
                sums[lane] += samples[lane] * weights[lane];
            }
        }
        return sums.iter().sum();
    }
    let at = |tap: usize| usize::try_from(first + tap as i64).ok().and_then(|index| samples.get(index));
    (0..TAPS).filter_map(|tap| at(tap).map(|sample| sample * weights[tap])).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sound::testing::sine;

    /// Decibels by which the error of a resampled sine is below it.
    fn clean_db(hz: f64, step: f64) -> f64 {
        let source = sine(hz, 1.0, 6_000);
        let (mut left, mut right) = (vec![0.0; 4_800], vec![0.0; 4_800]);
        read([&source, &source], 100.37, step, [&mut left, &mut right]);
        assert_eq!(left, right);
        let (mut signal, mut error) = (0.0, 0.0);
        for (number, sample) in left.iter().enumerate() {
            let wanted = (2.0 * PI * hz * (100.37 + number as f64 * step) / 48_000.0).sin();
            signal += wanted * wanted;
            error += (f64::from(*sample) - wanted).powi(2);
        }
        10.0 * (signal / error).log10()
    }

    #[test]
    fn what_can_be_heard_is_resampled_clean() {
        for (hz, least) in [(100.0, 80.0), (1_000.0, 80.0), (10_000.0, 80.0), (16_000.0, 75.0), (19_000.0, 60.0)] {
            for step in [1.0001, 0.995] {
                let clean = clean_db(hz, step);
                assert!(clean > least, "{hz} Hz at {step}: {clean:.1} dB");
            }
        }
    }

    #[test]
    fn at_whole_positions_samples_stay_as_they_are() {
        let source = sine(997.0, 0.7, 1_000);
        let (mut left, mut right) = (vec![0.0; 480], vec![0.0; 480]);
        read([&source, &source], 33.0, 1.0, [&mut left, &mut right]);
        assert_eq!(left, source[33..513]);
        read([&source, &source], 900.0, 1.0, [&mut left, &mut right]);
        assert_eq!(left[..100], source[900..]);
        assert!(left[100..].iter().all(|sample| *sample == 0.0));
        read([&source, &source], -50.5, 1.0, [&mut left, &mut right]);
        assert_eq!(left[0], 0.0);
    }
}
