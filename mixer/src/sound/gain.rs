//! Gains: one that changes without clicks, and an automatic one.

use super::{BLOCK, Block};
use crate::sound::level::{self, SILENCE_DB};

/// Applies a gain that changes from one value to the next over one block (10 ms).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ramp(f32);

impl Ramp {
    /// Starts at 0, so that a new input fades in.
    pub(crate) fn from_silence() -> Self {
        Self(0.0)
    }

    /// Applies the gain to a block, in which it changes to `target`.
    pub(crate) fn apply(&mut self, block: &mut Block, target: f32) {
        let (from, to) = (self.0, target);
        self.0 = to;
        if from == 1.0 && to == 1.0 {
            return;
        }
        for channel in &mut block.0 {
            for (number, sample) in channel.iter_mut().enumerate() {
                *sample *= from + (to - from) * ((number + 1) as f32 / BLOCK as f32);
            }
        }
    }

    /// Returns whether the gain is 0.
    pub(crate) fn is_silent(self) -> bool {
        self.0 == 0.0
    }
}

/// Converts decibels to a factor. The gain is limited to −60 to +20 dB, and NaN counts as 0 dB.
pub(crate) fn factor(db: f32) -> f32 {
    let db = if db.is_nan() { 0.0 } else { db };
    10.0_f32.powf(db.clamp(-60.0, 20.0) / 20.0)
}

/// The loudness that voices are brought to, as the RMS of both channels.
const TARGET_DB: f32 = -20.0;
/// A block below this loudness is not speech.
const GATE_DB: f32 = -50.0;
/// A block is speech only if it is louder than the noise floor by this.
const OVER_NOISE_DB: f32 = 8.0;
/// The fastest rise of the estimated noise floor, in dB per block: 1 dB/s.
const NOISE_RISE_DB: f32 = 0.01;
/// The number of blocks of speech over which the mean loudness is taken: 1.5 s.
const SMOOTHING: f32 = 150.0;
/// The highest and the lowest automatic gain.
const MOST_DB: f32 = 18.0;
const LEAST_DB: f32 = -12.0;
/// The fastest rise and fall of the automatic gain, in dB per block: 3 dB/s and 8 dB/s.
const RISE_DB: f32 = 0.03;
const FALL_DB: f32 = 0.08;

/// Brings a voice slowly to [`TARGET_DB`]. It does not raise silence.
#[derive(Clone, Debug)]
pub(crate) struct AutoGain {
    loudness: Option<f32>,
    noise: f32,
    gain: f32,
}

impl Default for AutoGain {
    fn default() -> Self {
        Self { loudness: None, noise: GATE_DB, gain: 0.0 }
    }
}

impl AutoGain {
    /// Returns the gain for a block, in dB.
    pub(crate) fn follow(&mut self, block: &Block) -> f32 {
        let now = level::rms_db(block);
        if now <= SILENCE_DB {
            return self.gain;
        }
        self.noise = now.min(self.noise + NOISE_RISE_DB);
        if now > GATE_DB && now > self.noise + OVER_NOISE_DB {
            let loudness = self.loudness.get_or_insert(now);
            // A rise counts twice: perceived loudness is a mean of power, and a pause within a word must not count as a
            // quiet voice.
            let weight = if now > *loudness { 2.0 } else { 1.0 } / SMOOTHING;
            *loudness += (now - *loudness) * weight;
        }
        if let Some(loudness) = self.loudness {
            let wanted = (TARGET_DB - loudness).clamp(LEAST_DB, MOST_DB);
            self.gain += (wanted - self.gain).clamp(-FALL_DB, RISE_DB);
        }
        self.gain
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sound::testing::{block, largest_step};

    #[test]
    fn muting_takes_ten_milliseconds_and_makes_no_click() {
        let mut ramp = Ramp(1.0);
        let mut line = Vec::new();
        for number in 0..4_i64 {
            let mut block = block(440.0, 0.5, number * 480);
            ramp.apply(&mut block, if number == 0 { 1.0 } else { 0.0 });
            line.extend_from_slice(&block.0[0]);
        }
        let of_the_tone = largest_step(&line[..480]);
        assert!(largest_step(&line) < of_the_tone + 0.5 / 480.0 + 1e-6);
        assert!(line[960..].iter().all(|sample| *sample == 0.0) && ramp.is_silent());
    }

    #[test]
    fn a_quiet_voice_is_raised_and_the_gain_stays_in_the_silence_after_it() {
        let mut auto = AutoGain::default();
        // Each syllable is 300 ms of a tone at −35 dBFS RMS, followed by 200 ms of room noise at −65 dBFS.
        let loud = |number: i64| if number % 50 < 30 { 0.0251 } else { 0.0008 };
        let gains: Vec<f32> = (0..2_000).map(|number| auto.follow(&block(300.0, loud(number), number * 480))).collect();
        assert!((12.0..=16.0).contains(&gains[1_999]), "{}", gains[1_999]);
        assert!(gains.windows(2).all(|pair| (pair[1] - pair[0]).abs() < 0.09));
        for number in 2_000..8_000 {
            let gain = auto.follow(&block(300.0, 0.0008, number * 480));
            assert!((gain - gains[1_999]).abs() < 1.5, "{gain}");
        }
    }

    #[test]
    fn invalid_and_extreme_gains_are_limited() {
        assert_eq!(factor(f32::NAN), 1.0);
        assert_eq!(factor(f32::INFINITY), 10.0);
        assert_eq!(factor(-1e9), 0.001);
    }
}
