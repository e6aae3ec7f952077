//! How a segment is divided into parts: how long they may be, and where they should end.

use onmic_media::ClockRate;

use crate::settings::Settings;

/// The most samples of a part: 4 s at 240 fps. It bounds the memory of a part whatever its frames claim.
pub(crate) const SAMPLES_MAX: usize = 960;

/// PART-TARGET.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PartTarget {
    pub(crate) millis: u32,
    pub(crate) ticks: i64,
}

/// The places at which the parts of the open segment should end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grid {
    /// The cut at which the segment began. Audio begins at the frame nearest to it.
    pub(crate) origin: i64,
    /// How long the segment is expected to be.
    pub(crate) length: i64,
}

impl Grid {
    /// Whether the part from `start` ends at `due` rather than a frame of `expected` later.
    pub(crate) fn ends_part(self, start: i64, due: i64, expected: i64, target: PartTarget) -> bool {
        let frame = expected.max(1);
        let parts = (self.length.max(1) as u64).div_ceil(target.ticks.max(1) as u64) as i64;
        let step = (self.length / parts).max(1);
        let next = (start - self.origin + step / 2).div_euclid(step) + 1;
        let goal = self.origin + next * self.length / parts;
        // The nearest frame, as cuts are made; an eighth later, so that rounding does not leave that frame alone.
        due >= goal - frame / 2 + frame / 8
    }
}

impl PartTarget {
    /// Chooses the number of frames that an evenly divided segment needs, once enough of them have come.
    pub(crate) fn choose(settings: &Settings, filled: i64, frames: i64, rate: ClockRate) -> Option<Self> {
        let count = (settings.segment.as_secs_f64() / settings.part.as_secs_f64()).round().max(1.0);
        let wished = rate.ticks(settings.segment).0 as f64 / count;
        let mean = filled as f64 / frames as f64;
        // Too few frames for their time, or too many, tell nothing of how long parts should be.
        if mean * 20.0 > rate.ticks(settings.segment).0 as f64 * 11.0 || frames >= SAMPLES_MAX as i64 {
            return Some(Self::configured(settings, rate));
        }
        if filled as f64 + 2.0 * mean <= wished {
            return None;
        }
        // A tenth of a frame of grace: ten frames at 30 fps last 333.3 ms.
        let below = (wished / mean + 0.1).floor().max(1.0);
        // Parts of one frame more or less, to come out even, unless one less is below the 85 %.
        let uneven = wished / mean - below > 0.1;
        let whole = if uneven && below >= 0.85 * (below + 1.0) { below + 1.0 } else { below };
        Some(Self::of(whole * mean, rate))
    }

    /// The target for frames that come too slowly to choose one by: slower than about two in a segment. The frame rate
    /// may rise later, and the target may not change.
    pub(crate) fn configured(settings: &Settings, rate: ClockRate) -> Self {
        Self::of(rate.ticks(settings.part).0 as f64, rate)
    }

    /// Half a millisecond is left for timestamps that were rounded to milliseconds.
    pub(crate) fn of(ticks: f64, rate: ClockRate) -> Self {
        let millis = (ticks * 1000.0 / f64::from(rate.hz()) + 0.5).ceil().clamp(1.0, 60_000.0) as u32;
        Self { millis, ticks: millis_to_ticks(millis, rate) }
    }
}

pub(crate) fn millis_to_ticks(millis: u32, rate: ClockRate) -> i64 {
    i64::from(millis) * i64::from(rate.hz()) / 1000
}

/// 85 % of the part target (rfc8216bis 4.4.4.9).
pub(crate) fn least(target: i64) -> i64 {
    (target * 85 + 99) / 100
}
