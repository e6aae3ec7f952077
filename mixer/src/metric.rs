//! The metrics of this crate, except for drops.

use metrics::{Gauge, Histogram, counter, gauge};
use onmic_media::feed::Recipe;
use onmic_media::metric::{AUDIO_JUMPS, AUDIO_MIXES, DERIVED_TRACKS, Latency};

/// Returns the name of the recipe in labels, logs and thread names.
pub(crate) fn label(recipe: Recipe) -> &'static str {
    match recipe {
        Recipe::Rung(_) => "rung",
        _ => recipe.codec().name(),
    }
}

/// Counts something as running until it is dropped.
pub(crate) struct Running(Gauge);

impl Running {
    /// Counts a derived track.
    pub(crate) fn derived_track(recipe: Recipe) -> Self {
        Self::count(gauge!(DERIVED_TRACKS, "recipe" => label(recipe)))
    }

    /// Counts the audio mix of a program.
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

/// Returns the histogram of the seconds from a frame's entry into the deriver to its output.
pub(crate) fn transcode_seconds(recipe: Recipe) -> Histogram {
    let latency = match recipe {
        Recipe::H264 => Latency::TranscodeH264,
        Recipe::Vp8 => Latency::TranscodeVp8,
        Recipe::Rung(_) => Latency::TranscodeRung,
        Recipe::Opus => Latency::TranscodeOpus,
        Recipe::Aac => Latency::TranscodeAac,
    };
    latency.histogram()
}

/// Counts audible jumps in the audio of inputs.
pub(crate) fn audio_jumps(jumps: u64) {
    counter!(AUDIO_JUMPS).increment(jumps);
}
