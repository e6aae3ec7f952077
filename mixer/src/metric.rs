//! What this crate counts beside drops.

use metrics::{Gauge, Histogram, counter, gauge};
use onmic_media::feed::Recipe;
use onmic_media::metric::{AUDIO_JUMPS, AUDIO_MIXES, DERIVED_TRACKS, Latency};

/// The recipe in labels, logs and thread names.
pub(crate) fn label(recipe: Recipe) -> &'static str {
    recipe.codec().name()
}

/// Counts something that runs for as long as it lives.
pub(crate) struct Running(Gauge);

impl Running {
    /// A derived track.
    pub(crate) fn derived_track(recipe: Recipe) -> Self {
        Self::count(gauge!(DERIVED_TRACKS, "recipe" => label(recipe)))
    }

    /// The audio mix of a program.
    pub(crate) fn audio_mix() -> Self {
        Self::count(gauge!(AUDIO_MIXES))
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

/// Seconds from taking in a frame to having put out what is made of it.
pub(crate) fn transcode_seconds(recipe: Recipe) -> Histogram {
    let latency = match recipe {
        Recipe::H264 | Recipe::H264Entries => Latency::TranscodeH264,
        Recipe::Opus => Latency::TranscodeOpus,
        Recipe::Aac => Latency::TranscodeAac,
    };
    latency.histogram()
}

/// Counts jumps in the audio of inputs, which are heard as such.
pub(crate) fn audio_jumps(jumps: u64) {
    counter!(AUDIO_JUMPS).increment(jumps);
}
