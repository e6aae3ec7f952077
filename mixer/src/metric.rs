//! The names this crate reports under.

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use onmic_media::feed::Recipe;

/// Frames left out, by reason.
pub(crate) fn dropped(reason: &'static str, frames: u64) {
    let drops: Counter = counter!("onmic_drops_total", "reason" => reason);
    drops.increment(frames);
}

/// The recipe in labels, logs and thread names.
pub(crate) fn label(recipe: Recipe) -> &'static str {
    recipe.codec().name()
}

/// Counts one derived track for as long as it lives.
pub(crate) struct Running(Gauge);

impl Running {
    pub(crate) fn new(recipe: Recipe) -> Self {
        let tracks = gauge!("onmic_derived_tracks", "recipe" => label(recipe));
        tracks.increment(1.0);
        Self(tracks)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// Seconds from the arrival of the lead's frame to having put out what shows it.
pub(crate) fn mix_seconds() -> Histogram {
    histogram!("onmic_mix_seconds")
}

/// Seconds from taking in a frame to having put out what it makes.
pub(crate) fn seconds(recipe: Recipe) -> Histogram {
    histogram!("onmic_transcode_seconds", "recipe" => label(recipe))
}
