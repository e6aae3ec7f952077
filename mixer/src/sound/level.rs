//! Measures levels, and reports them for meters.

use std::time::Duration;

use super::id::InputId;
use super::{BLOCK, Block};

/// The level of silence.
pub(crate) const SILENCE_DB: f32 = -100.0;

/// Describes one input's share of the program, after gain and mute.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    /// The name of the input in the mix.
    pub id: InputId,
    /// The RMS of the loudest 10 ms since the last report, in dBFS. Silence has −100.
    pub rms_db: f32,
    /// The highest sample since the last report, in dBFS.
    pub peak_db: f32,
    /// Whether the input speaks.
    pub speaking: bool,
    /// How much later than its capture the input is heard. Its video has to be shown as late.
    pub delay: Duration,
}

/// Is a report of all levels. There are at most ten a second.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Meters {
    /// The input that speaks or spoke last, for a layout that follows the speaker.
    pub primary: Option<InputId>,
    /// The shift from the lead's timestamps to the program's. It is the requested one, unless the lead's timeline did
    /// not continue the program's.
    pub shift_micros: i64,
    /// The levels of all inputs, in the order of the mix.
    pub inputs: Vec<Level>,
}

/// Holds the highest levels since the last report.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Held {
    power: f32,
    peak: f32,
}

impl Held {
    pub(crate) fn observe(&mut self, block: &Block) -> f32 {
        let power = power(block);
        self.power = self.power.max(power);
        let highest = block.0.iter().flatten().fold(0.0_f32, |highest, sample| highest.max(sample.abs()));
        self.peak = self.peak.max(highest);
        power_db(power)
    }

    /// Returns the RMS and the peak in dBFS, and resets them.
    pub(crate) fn take(&mut self) -> (f32, f32) {
        let Self { power, peak } = std::mem::take(self);
        (power_db(power), power_db(peak * peak))
    }
}

fn power(block: &Block) -> f32 {
    let sum: f32 = block.0.iter().map(|channel| channel.iter().map(|sample| sample * sample).sum::<f32>()).sum();
    sum / (2 * BLOCK) as f32
}

fn power_db(power: f32) -> f32 {
    (10.0 * power.max(1e-10).log10()).max(SILENCE_DB)
}

/// Returns the RMS of both channels in dBFS. A square wave at full scale has 0.
pub(crate) fn rms_db(block: &Block) -> f32 {
    power_db(power(block))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sound::testing::block;

    #[test]
    fn the_rms_of_a_full_scale_sine_is_three_decibels_below_full_scale() {
        let mut held = Held::default();
        assert!((held.observe(&block(1_000.0, 1.0, 0)) + 3.01).abs() < 0.01);
        held.observe(&Block::SILENCE);
        let (rms, peak) = held.take();
        assert!((rms + 3.01).abs() < 0.01 && peak.abs() < 0.05, "{rms} {peak}");
        assert_eq!(held.take(), (SILENCE_DB, SILENCE_DB));
    }
}
