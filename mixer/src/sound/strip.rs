//! Processes one input between its jitter buffer and the sum: noise suppression, automatic gain, gain and mute.

use std::fmt;
use std::time::Instant;

use nnnoiseless::DenoiseState;
use onmic_media::WallTime;

use super::gain::{AutoGain, Ramp, factor};
use super::input::{Aim, Input};
use super::level::Held;
use super::speaker::Voice;
use super::{BLOCK, Block};

/// The delay of the noise suppression, in samples: its output is its input of 10 ms ago.
pub(crate) const DENOISE_AHEAD: usize = BLOCK;

/// The range of samples in the library, which is that of 16-bit samples.
const FULL_SCALE: f32 = 32_768.0;

/// Holds the requested processing of an input.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Processing {
    /// The gain in dB. It is limited to −60 to +20 dB.
    pub gain_db: f32,
    /// Whether the input is muted.
    pub muted: bool,
    /// Whether noise is suppressed. This is for voices, and its output is mono.
    pub denoise: bool,
    /// Whether an automatic gain brings the voice slowly to −20 dBFS.
    pub auto_gain: bool,
}

/// Processes one input from its jitter buffer to its share of the mix.
#[derive(Debug)]
pub struct Strip {
    input: Input,
    processing: Processing,
    ramp: Ramp,
    denoise: Option<Denoise>,
    auto_gain: Option<AutoGain>,
    pub(crate) held: Held,
    pub(crate) voice: Voice,
    block: Block,
}

impl Strip {
    /// Makes a strip that begins silent and fades in.
    pub fn new(processing: Processing) -> Self {
        Self {
            input: Input::default(),
            processing,
            ramp: Ramp::from_silence(),
            denoise: None,
            auto_gain: None,
            held: Held::default(),
            voice: Voice::default(),
            block: Block::SILENCE,
        }
    }

    /// Returns the jitter buffer.
    pub fn input(&self) -> &Input {
        &self.input
    }

    /// Returns the jitter buffer, to push to.
    pub fn input_mut(&mut self) -> &mut Input {
        &mut self.input
    }

    /// Sets the processing from the next block on.
    pub fn set(&mut self, processing: Processing) {
        self.processing = processing;
    }

    /// Returns the number of samples that it needs beyond the block that it makes.
    pub fn ahead(&self) -> usize {
        if self.processing.denoise { DENOISE_AHEAD } else { 0 }
    }

    /// Makes the next block of its share of the program. `leaving` fades it out.
    pub fn process(&mut self, aim: Aim, leaving: bool, now: WallTime) -> &Block {
        let mut block = self.input.read(aim, self.ahead(), now);
        if self.processing.denoise || self.denoise.is_some() {
            self.suppress(&mut block);
        }
        let mut gain = factor(self.processing.gain_db);
        if self.processing.auto_gain {
            gain *= factor(self.auto_gain.get_or_insert_default().follow(&block));
        } else {
            self.auto_gain = None;
        }
        let open = !self.processing.muted && !leaving;
        self.ramp.apply(&mut block, if open { gain } else { 0.0 });
        self.voice.observe(self.held.observe(&block));
        self.block = block;
        &self.block
    }

    /// Returns the last block of its share.
    pub fn block(&self) -> &Block {
        &self.block
    }

    /// Returns whether the share has faded out.
    pub(crate) fn is_silent(&self) -> bool {
        self.ramp.is_silent()
    }

    /// Returns the arrival of the newest frame in the last block.
    pub(crate) fn arrived(&self) -> Option<Instant> {
        self.input.arrived()
    }

    /// Replaces `block` by the audio without noise. Where the suppression begins or ends, it is cross-faded over the
    /// block.
    fn suppress(&mut self, block: &mut Block) {
        let begins = self.denoise.is_none();
        let denoise = self.denoise.get_or_insert_with(|| Denoise::primed(block));
        let clean = denoise.next(&self.input.peek());
        let ends = !self.processing.denoise;
        for channel in &mut block.0 {
            for (number, (sample, clean)) in channel.iter_mut().zip(&clean).enumerate() {
                let passed = (number + 1) as f32 / BLOCK as f32;
                let part = if ends {
                    1.0 - passed
                } else if begins {
                    passed
                } else {
                    1.0
                };
                *sample += (clean - *sample) * part;
            }
        }
        if ends {
            self.denoise = None;
        }
    }
}

/// Suppresses noise in the mean of both channels.
struct Denoise {
    state: Box<DenoiseState<'static>>,
}

impl Denoise {
    /// Makes a suppressor that has taken in `block`, so that its next output is that block.
    fn primed(block: &Block) -> Self {
        let mut denoise = Self { state: DenoiseState::new() };
        denoise.next(block);
        denoise
    }

    /// Takes in the next block and returns the one before it.
    fn next(&mut self, block: &Block) -> [f32; BLOCK] {
        let middle: [f32; BLOCK] =
            std::array::from_fn(|number| (block.0[0][number] + block.0[1][number]) * (FULL_SCALE / 2.0));
        let mut clean = [0.0; BLOCK];
        self.state.process_frame(&mut clean, &middle);
        clean.map(|sample| sample / FULL_SCALE)
    }
}

impl fmt::Debug for Denoise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Denoise").finish_non_exhaustive()
    }
}
