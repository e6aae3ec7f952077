//! What is done to one input between its jitter buffer and the sum: noise suppression, automatic gain, gain and mute.

use std::fmt;
use std::time::Instant;

use nnnoiseless::DenoiseState;
use onmic_media::WallTime;

use super::gain::{AutoGain, Ramp, factor};
use super::input::{Aim, Input};
use super::level::Held;
use super::speaker::Voice;
use super::{BLOCK, Block};

/// Noise suppression puts out what went in 10 ms ago.
pub(crate) const DENOISE_AHEAD: usize = BLOCK;

/// The library works on the range of 16-bit samples.
const FULL_SCALE: f32 = 32_768.0;

/// What is wished for an input.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Processing {
    /// Held within −60 and +20 dB.
    pub gain_db: f32,
    /// Adds nothing to the program.
    pub muted: bool,
    /// Noise suppression, for voices: what comes out is mono.
    pub denoise: bool,
    /// Brings the voice slowly to −20 dBFS.
    pub auto_gain: bool,
}

/// One input's way from its jitter buffer to its share of the mix.
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
    /// Begins silent and fades in.
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

    /// Its jitter buffer.
    pub fn input(&self) -> &Input {
        &self.input
    }

    /// Its jitter buffer, to push to.
    pub fn input_mut(&mut self) -> &mut Input {
        &mut self.input
    }

    /// From the next block on.
    pub fn set(&mut self, processing: Processing) {
        self.processing = processing;
    }

    /// Samples it needs beyond the block it makes.
    pub fn ahead(&self) -> usize {
        if self.processing.denoise { DENOISE_AHEAD } else { 0 }
    }

    /// Makes the block that is its share of the program. `leaving` fades it out.
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

    /// The share made last.
    pub fn block(&self) -> &Block {
        &self.block
    }

    /// Whether it adds nothing any more, for one that leaves.
    pub(crate) fn is_silent(&self) -> bool {
        self.ramp.is_silent()
    }

    /// When the newest frame arrived that is in the block made last.
    pub(crate) fn arrived(&self) -> Option<Instant> {
        self.input.arrived()
    }

    /// Puts the suppressed sound in the place of `block`, going over within it where that begins or ends.
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

/// Noise suppression of the middle of both channels.
struct Denoise {
    state: Box<DenoiseState<'static>>,
}

impl Denoise {
    /// Knows `block` already: what comes out next is that block.
    fn primed(block: &Block) -> Self {
        let mut denoise = Self { state: DenoiseState::new() };
        denoise.next(block);
        denoise
    }

    /// Takes in the next block and gives the one before it.
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
