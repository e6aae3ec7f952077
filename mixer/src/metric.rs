//! What this crate counts beside drops and latencies.

use metrics::{Gauge, counter, gauge};
use onmic_media::feed::Recipe;
use onmic_media::metric;

/// The recipe in labels, logs and thread names.
pub(crate) fn label(recipe: Recipe) -> &'static str {
    recipe.codec().name()
}

/// Counts something that runs for as long as it lives.
pub(crate) struct Running(Gauge);

impl Running {
    /// A derived track.
    pub(crate) fn derived_track(recipe: Recipe) -> Self {
        Self::count(gauge!(metric::DERIVED_TRACKS, "recipe" => label(recipe)))
    }

    /// The audio mix of a program.
    pub(crate) fn audio_mix() -> Self {
        Self::count(gauge!(metric::AUDIO_MIXES))
    }

    fn count(gauge: Gauge) -> Self {
        gauge.increment(1.0);
        Self(gauge)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// Jumps in the audio of inputs, which are heard as such.
pub(crate) fn audio_jumps(jumps: u64) {
    counter!(metric::AUDIO_JUMPS).increment(jumps);
}
