//! The audio of a program: all participants' samples are brought to one timeline, mixed, limited and encoded. Each
//! participant may get a return feed without their own voice.
//!
//! Audio is mixed as 48 kHz stereo in blocks of 10 ms. A *position* counts samples on the program's timeline, which is
//! the lead's (the host's) media timeline: position 0 is its timestamp 0. All other inputs are placed by wall time plus
//! their own delay. Drift is resampled away, so no samples are repeated or left out for it.
//!
//! ```text
//! Feed ── Intake ──▶ Input ── Strip ──┐                    ┌─ Limiter ─ Output ──▶ SoundSink (program)
//!         decode     jitter,  denoise,├─▶ Mix ─ sum ───────┤
//!                    drift    gain    │         sum − own ─┴─ Limiter ─ Output ──▶ Track (return)
//! Feed ── Intake ──▶ Input ── Strip ──┘
//! ```
//!
//! Everything except [`SoundMixer`] is pure: it starts no thread, and the time is an argument.

mod drift;
mod driver;
mod gain;
mod id;
mod input;
mod intake;
mod interpolation;
mod lateness;
mod level;
mod limiter;
mod mix;
mod output;
mod source;
mod speaker;
mod strip;
#[cfg(test)]
mod studio;
#[cfg(test)]
mod testing;
mod wall_clock;

pub use driver::{SoundConfig, SoundInput, SoundMixer, SoundReturn, SoundSink, Wanted};
pub use id::InputId;
pub use input::{Aim, Counts, Input, Stamp};
pub use level::{Level, Meters};
pub use limiter::Limiter;
pub use mix::{Lead, Mix, MixInput, Mixed};
pub use output::{Output, OutputSettings};
pub use strip::{Processing, Strip};
pub use wall_clock::WallClock;

/// The number of samples per second.
pub const RATE: u32 = 48_000;

/// The number of samples in a block: 10 ms, the block length of the noise suppression.
pub const BLOCK: usize = 480;

/// Holds 10 ms of both channels.
#[derive(Clone, Debug, PartialEq)]
pub struct Block(pub [[f32; BLOCK]; 2]);

impl Block {
    /// Is a silent block.
    pub const SILENCE: Self = Self([[0.0; BLOCK]; 2]);

    fn add(&mut self, other: &Self) {
        self.pair(other, |own, other| own + other);
    }

    fn subtract(&mut self, other: &Self) {
        self.pair(other, |own, other| own - other);
    }

    fn pair(&mut self, other: &Self, combine: impl Fn(f32, f32) -> f32) {
        for (own, other) in self.0.iter_mut().zip(&other.0) {
            own.iter_mut().zip(other).for_each(|(own, other)| *own = combine(*own, *other));
        }
    }
}

/// Converts microseconds to samples.
fn samples(micros: i64) -> f64 {
    micros as f64 * f64::from(RATE) / 1e6
}

/// Converts samples to microseconds, rounded down.
fn micros(samples: i64) -> i64 {
    let micros = i128::from(samples) * 1_000_000;
    i64::try_from(micros.div_euclid(i128::from(RATE))).unwrap_or(if samples < 0 { i64::MIN } else { i64::MAX })
}
