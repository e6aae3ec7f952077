//! Loudness: a gain that moves without clicks, and one that finds its own value.

use super::{BLOCK, Block};
use crate::sound::level::{self, SILENCE_DB};

/// A gain that goes from one value to the next within a block (10 ms).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ramp(f32);

impl Ramp {
    /// Begins at nothing: what comes into the mix fades in.
    pub(crate) fn from_silence() -> Self {
        Self(0.0)
    }

    /// Applies the gain, moving to `target`.
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

    /// Whether it has come down to nothing.
    pub(crate) fn is_silent(self) -> bool {
        self.0 == 0.0
    }
}

/// As a factor. Bounded, whatever is asked for: −60 dB to +20 dB.
pub(crate) fn factor(db: f32) -> f32 {
    let db = if db.is_nan() { 0.0 } else { db };
    10.0_f32.powf(db.clamp(-60.0, 20.0) / 20.0)
}

/// The loudness voices are brought to, as RMS of both channels.
const TARGET_DB: f32 = -20.0;
/// Below this loudness nobody speaks.
const GATE_DB: f32 = -50.0;
/// Nor is it speech where it is not clearly louder than the noise floor.
const OVER_NOISE_DB: f32 = 8.0;
/// How fast the noise floor is believed to rise, dB per block: 1 dB/s.
const NOISE_RISE_DB: f32 = 0.01;
/// The loudness is a mean over this many blocks of speech: 1.5 s.
const SMOOTHING: f32 = 150.0;
const MOST_DB: f32 = 18.0;
const LEAST_DB: f32 = -12.0;
/// dB per block: 3 dB/s louder, 8 dB/s quieter.
const RISE_DB: f32 = 0.03;
const FALL_DB: f32 = 0.08;

/// Brings a voice to a usual loudness, slowly, and leaves silence alone.
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
    /// The gain for a block, in dB.
    pub(crate) fn follow(&mut self, block: &Block) -> f32 {
        let now = level::rms_db(block);
        if now <= SILENCE_DB {
            return self.gain;
        }
        self.noise = now.min(self.noise + NOISE_RISE_DB);
        if now > GATE_DB && now > self.noise + OVER_NOISE_DB {
            let loudness = self.loudness.get_or_insert(now);
            // The mean of powers is what is heard, and a pause within a word is not taken for a quiet voice.
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
    fn a_quiet_voice_is_raised_and_the_silence_after_it_is_not() {
        let mut auto = AutoGain::default();
        // Syllables: 300 ms of tone at -35 dBFS RMS, 200 ms of room noise at -65.
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
    fn absurd_gains_are_bounded() {
        assert_eq!(factor(f32::NAN), 1.0);
        assert_eq!(factor(f32::INFINITY), 10.0);
        assert_eq!(factor(-1e9), 0.001);
    }
}
