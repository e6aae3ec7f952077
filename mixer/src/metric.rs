//! What this crate counts and measures: no other file names a metric.

use metrics::{Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, gauge, histogram};
use onmic_media::feed::Recipe;

const DERIVED_TRACKS: &str = "onmic_derived_tracks";
const AUDIO_MIXES: &str = "onmic_sound_mixes";
const AUDIO_JUMPS: &str = "onmic_sound_jumps_total";

/// Describes the metrics that are of this crate alone. To be called once, when there is a recorder.
pub fn describe_metrics() {
    describe_gauge!(DERIVED_TRACKS, "Tracks that are being derived, by recipe");
    describe_gauge!(AUDIO_MIXES, "Programs whose audio is being mixed");
    describe_counter!(AUDIO_JUMPS, "Jumps in the audio of a mix's inputs, which are heard as such");
}

/// Why something was left out: the values of the label `reason` of `onmic_drops_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// Frames of a mix's input that could not be decoded.
    MixCorrupt,
    /// Audio frames of an input that came when their time had been mixed without them.
    MixLate,
    /// Audio frames of an input that overlap those before, or that were not played when its timestamps jumped.
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
    /// Audio packets left out at a hole in the input: they would come when it is over, and a WebRTC receiver would delay all
    /// audio by its length.
    TranscodeHole,
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
            Self::TranscodeHole => "transcode_hole",
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

/// Seconds that a frame spends in one stage, as all crates measure them.
fn stage_seconds(stage: &'static str) -> Histogram {
    histogram!("onmic_stage_seconds", "stage" => stage)
}

/// Seconds from the arrival of the lead's frame to having encoded the picture that shows it.
pub(crate) fn mix_video_seconds() -> Histogram {
    stage_seconds("mix_video")
}

/// Seconds that one turn of an audio mix takes: reading, mixing and encoding all that is due.
pub(crate) fn mix_audio_seconds() -> Histogram {
    stage_seconds("mix_audio")
}

/// Seconds from taking in a frame to having put out what it makes.
pub(crate) fn transcode_seconds(recipe: Recipe) -> Histogram {
    stage_seconds(match recipe {
        Recipe::H264 => "transcode_h264",
        Recipe::Opus => "transcode_opus",
        Recipe::Aac => "transcode_aac",
    })
}

/// Counts jumps in the audio of inputs, which are heard as such.
pub(crate) fn audio_jumps(jumps: u64) {
    counter!(AUDIO_JUMPS).increment(jumps);
}
