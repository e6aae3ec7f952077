//! Interpolates between samples with a windowed sinc.
//!
//! It is for ratios within one percent of 1, where aliasing is negligible. It reads at any position of a slice and
//! keeps no state. Thus the time of each sample stays exact, and a jump needs no second resampler. That is why no crate
//! is used: the well-maintained resamplers are streams with a delay and a phase of their own.

use std::f64::consts::PI;
use std::sync::OnceLock;

/// The number of samples that one output sample is computed from.
const TAPS: usize = 32;
/// The number of samples needed on each side of a position. The sample at the position counts as before it.
pub(crate) const REACH: usize = TAPS / 2;
/// The number of fractions for which weights are tabulated. Between them weights are interpolated linearly, whose error
/// is 100 dB below the signal.
const PHASES: usize = 512;
/// The shape of the Kaiser window. It has 80 dB of attenuation and is flat up to 20 kHz.
const BETA: f64 = 8.0;

type Weights = [f32; TAPS];

fn table() -> &'static [Weights] {
    static TABLE: OnceLock<Vec<Weights>> = OnceLock::new();
    TABLE.get_or_init(|| (0..=PHASES).map(|phase| weights(phase as f64 / PHASES as f64)).collect())
}

/// Returns the weights for a position that is `fraction` after the sample with `REACH - 1` samples before it.
fn weights(fraction: f64) -> Weights {
    let weight = |tap: usize| {
        let x = tap as f64 - (REACH as f64 - 1.0) - fraction;
        let inside = 1.0 - (x / REACH as f64).powi(2);
        let window = if inside <= 0.0 { 0.0 } else { bessel(BETA * inside.sqrt()) / bessel(BETA) };
        let sinc = if x.abs() < 1e-9 { 1.0 } else { (PI * x).sin() / (PI * x) };
        window * sinc
    };
    let raw: [f64; TAPS] = std::array::from_fn(weight);
    let sum: f64 = raw.iter().sum(); // Normalised, so that a constant signal keeps its value.
    raw.map(|weight| (weight / sum) as f32)
}

/// Computes the modified Bessel function of the first kind and order 0.
fn bessel(x: f64) -> f64 {
    let (mut sum, mut term) = (1.0, 1.0);
    for k in 1..40 {
        term *= (x / 2.0 / f64::from(k)).powi(2);
        sum += term;
    }
    sum
}

/// Fills `out[channel]` with the samples at `position`, `position + step`, … of `channels`, which have the same length.
/// Positions are indices of the slices. Samples outside the slices count as silence.
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
        // The compiler vectorises eight sums side by side.
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

    /// Returns by how many decibels the error of a resampled sine is below the sine.
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
    fn audible_frequencies_are_resampled_with_little_error() {
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
