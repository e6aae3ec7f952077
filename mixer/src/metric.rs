//! The names this crate reports under, and no other file's.

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use onmic_media::feed::Recipe;

/// Why something was left out: the values of the label `reason` of `onmic_drops_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// Frames of a mix's input that could not be decoded.
    MixCorrupt,
    /// Packets that came when their audio had been mixed without them.
    MixLate,
    /// Blocks of 10 ms of one input that were left out, because it was too far ahead or behind.
    MixLeftOut,
    /// Blocks of 10 ms of one input that were not there in time.
    MixMissing,
    /// Frames of an input whose codec could not be opened.
    MixNoDecoder,
    /// Video frames of an input that came before the keyframe they need.
    MixNoKeyframe,
    /// Pictures of an input that were not later than the one before.
    MixOrder,
    /// Frames of an input that were passed over because this machine is too slow.
    MixOverload,
    /// Blocks of 10 ms of the program that were left out because the mix came too late.
    MixOverrun,
    /// Pictures of an input that were shown ahead of their time because too many waited.
    MixQueueFull,
    /// Pictures of an input that were not shown because a newer one was due as well.
    MixSuperseded,
    /// Pictures that could not be brought into their tile.
    MixUnusable,
    /// Frames that could not be decoded to derive a track.
    TranscodeCorrupt,
    /// Blocks of 10 ms of the mixer's samples that were given up: the frames they are part of bring them.
    TranscodeEarly,
    /// Video frames that came before the keyframe they need.
    TranscodeNoKeyframe,
    /// Pictures that were not later than the one before.
    TranscodeOrder,
    /// Audio frames whose time was taken by those before.
    TranscodeOverlap,
    /// Frames that were passed over because this machine is too slow.
    TranscodeOverload,
}

impl Loss {
    fn reason(self) -> &'static str {
        match self {
            Self::MixCorrupt => "mix_corrupt",
            Self::MixLate => "mix_late",
            Self::MixLeftOut => "mix_left_out",
            Self::MixMissing => "mix_missing",
            Self::MixNoDecoder => "mix_no_decoder",
            Self::MixNoKeyframe => "mix_no_keyframe",
            Self::MixOrder => "mix_order",
            Self::MixOverload => "mix_overload",
            Self::MixOverrun => "mix_overrun",
            Self::MixQueueFull => "mix_queue_full",
            Self::MixSuperseded => "mix_superseded",
            Self::MixUnusable => "mix_unusable",
            Self::TranscodeCorrupt => "transcode_corrupt",
            Self::TranscodeEarly => "transcode_early",
            Self::TranscodeNoKeyframe => "transcode_no_keyframe",
            Self::TranscodeOrder => "transcode_order",
            Self::TranscodeOverlap => "transcode_overlap",
            Self::TranscodeOverload => "transcode_overload",
        }
    }
}

/// Counts what was left out. Nothing is counted for 0.
pub(crate) fn dropped(loss: Loss, count: u64) {
    if count > 0 {
        let drops: Counter = counter!("onmic_drops_total", "reason" => loss.reason());
        drops.increment(count);
    }
}

/// The recipe in labels, logs and thread names.
pub(crate) fn label(recipe: Recipe) -> &'static str {
    recipe.codec().name()
}

/// Counts something that runs for as long as it lives.
pub(crate) struct Running(Gauge);

impl Running {
    /// A derived track.
    pub(crate) fn derived_track(recipe: Recipe) -> Self {
        Self::count(gauge!("onmic_derived_tracks", "recipe" => label(recipe)))
    }

    /// The audio mix of a program.
    pub(crate) fn audio_mix() -> Self {
        Self::count(gauge!("onmic_sound_mixes"))
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

/// Seconds from the arrival of the lead's frame to having put out what shows it.
pub(crate) fn mix_seconds() -> Histogram {
    histogram!("onmic_mix_seconds")
}

/// Seconds that one turn of an audio mix takes: reading, mixing and encoding all that is due.
pub(crate) fn audio_mix_seconds() -> Histogram {
    histogram!("onmic_sound_mix_seconds")
}

/// Jumps in the audio of inputs, which are heard as such.
pub(crate) fn audio_jumps(jumps: u64) {
    counter!("onmic_sound_jumps_total").increment(jumps);
}

/// Seconds from taking in a frame to having put out what it makes.
pub(crate) fn transcode_seconds(recipe: Recipe) -> Histogram {
    histogram!("onmic_transcode_seconds", "recipe" => label(recipe))
}
