//! Tells whether the clock of one track runs faster or slower than that of another.
//!
//! One track is the ruler: the audio, if there is one. When a frame of another track comes, its time is compared with the time that the
//! ruler has got to. A network that is slow, stalls, or lets frames through in bunches delays both. If it is ordered, it changes
//! the difference by the length of one frame of the ruler at most, whatever its jitter and the frame rate are. If it delays each track by
//! itself, the average of half a second counts ([`Slot`]). A clock that steps changes the difference once. A drift changes it by the
//! same in each half second, so the averages lie on a line.
//!
//! # What can be found
//!
//! A drift is found in the first of the [`WINDOWS`] in which it moves the tracks apart by all of these:
//!
//! - the rise that the window asks for, which is larger in a short one, because an encoder that is slow for a moment rises as well;
//! - [`GRAINS`] frames of the ruler, because frames of two tracks beat;
//! - a multiple of the error of the line. If `n` averages deviate by `s`, the rise over the window has an error of
//!   `s * sqrt(12 / n)`, and 7 to 10 times as much is asked for. Of an ordered network, `s` is a few ms. Of one that delays
//!   each track by itself with a jitter of `j`, it is about `j / sqrt(12 * k)`, where `k` is the number of frames in a slot that tell something (1 to 5). A jitter of
//!   150 ms and 30 frames a second make 20 ms. Then 8 s tell 130 ms (1.7 %), and 20 s tell 73 ms (0.4 %).
//!
//! So when a drift is found, however large it is, the tracks are apart by not much more than the largest of these. WHIP states
//! presentation alone, so reordered frames count as jitter of two frames: B-frames at 10 frames a second hide a drift of 1.3 % for 19 s.

/// The length of a slot, whose answers are averaged.
pub(super) const SLOT_MICROS: i64 = 500_000;

/// The number of slots that are kept: 20 s.
pub(super) const KEPT: i64 = 40;

/// The number of the newest slots in which a line is looked for, and how far apart tracks have to get in them, in µs.
const WINDOWS: [(i64, f64); 5] = [(8, 120_000.0), (12, 90_000.0), (16, 70_000.0), (24, 60_000.0), (KEPT, 50_000.0)];

/// At least this many of the slots, and half of those of the window, have to tell something.
const POINTS_MIN: usize = 5;

/// A drift of less is a crystal's, or is made up for by moves.
const RATE_LEAST: f64 = 0.002_5;

/// A drift of more is none of clocks. Audio of 44.1 kHz that is stamped as 48 kHz is 8.8 % off.
pub(super) const RATE_MAX: f64 = 0.15;

/// What is asked for of a track that has drifted already, as a part of what is asked for of others.
const KNOWN: f64 = 0.5;

/// A line rises by this number of frames of the ruler.
const GRAINS: f64 = 2.0;

/// A slope is this many times its standard error, and more where few points tell how large that is.
const ERRORS: f64 = 6.0;
const ERRORS_OF_FEW: f64 = 24.0;

/// A step leaves more of the squares than a line does, by this many times the variance.
const STEP_WORSE: f64 = 10.0;

/// Holds how late a track was in each of the last slots.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trend {
    /// Slot `n` is at `n % KEPT`.
    slots: [Option<Slot>; KEPT as usize],
    newest: i64,
    /// By how much it was moved, or the ruler was, since the first slot.
    moved: i64,
}

/// Holds how late the frames of a slot were.
#[derive(Clone, Copy, Debug)]
struct Slot {
    least: i64,
    frames: u32,
    /// The sum of the times by which its frames were behind the ruler, and the number of those that could be compared.
    apart: i64,
    compared: u32,
}

/// States how a track drifts from the ruler. Times are in µs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Drift {
    /// By how much it falls behind in the time that passes, as a part of that time. It is negative if the track is fast.
    pub(super) rate: f64,
    /// By how much it was later than the ruler in the first slot that is known, before it was moved, and at the end. Both are
    /// differences of the least lateness.
    pub(super) first: i64,
    pub(super) last: i64,
    /// Whether the ruler's lateness is less even, so that its clock is the one that drifts.
    pub(super) is_rulers: bool,
}

impl Default for Trend {
    fn default() -> Self {
        Self { slots: [None; KEPT as usize], newest: i64::MIN, moved: 0 }
    }
}

impl Trend {
    /// Takes in the lateness of a frame of this slot, and by how much it was behind the ruler, if that sends.
    /// Slots do not go back.
    pub(super) fn take(&mut self, slot: i64, late: i64, apart: Option<i64>) {
        let passed = slot.saturating_sub(self.newest).clamp(0, KEPT);
        (0..passed).for_each(|passed| self.slots[index(slot - passed)] = None);
        self.newest = self.newest.max(slot);
        let empty = Slot { least: late, frames: 0, apart: 0, compared: 0 };
        let slot = self.slots[index(slot)].get_or_insert(empty);
        (slot.least, slot.frames) = (slot.least.min(late), slot.frames + 1);
        if let Some(apart) = apart {
            (slot.apart, slot.compared) = (slot.apart.saturating_add(apart), slot.compared + 1);
        }
    }

    /// Takes in that all lateness is more by `micros` from now on, because the track was moved.
    pub(super) fn shift(&mut self, micros: i64) {
        self.slots.iter_mut().flatten().for_each(|slot| slot.least += micros);
        self.shift_apart(micros);
    }

    /// Takes in that the track is behind the ruler by `micros` more from now on.
    pub(super) fn shift_apart(&mut self, micros: i64) {
        self.moved += micros;
        for slot in self.slots.iter_mut().flatten() {
            slot.apart = slot.apart.saturating_add(micros * i64::from(slot.compared));
        }
    }

    /// Takes in that nothing is known of how the track lies beside the ruler, because that was placed anew.
    pub(super) fn forget_apart(&mut self) {
        self.moved = 0;
        self.slots.iter_mut().flatten().for_each(|slot| (slot.apart, slot.compared) = (0, 0));
    }

    /// Returns how this track drifts from the ruler, by the slots before `end`. `is_known` states that one of the two has
    /// drifted before.
    pub(super) fn drift(&self, ruler: &Self, end: i64, is_known: bool) -> Option<Drift> {
        let share = if is_known { KNOWN } else { 1.0 };
        let all = self.points(end - KEPT, end, Slot::mean);
        let deviation = deviation(&all);
        WINDOWS.into_iter().find_map(|(length, rise_least)| {
            let begin = end - length;
            let points = self.points(begin, end, Slot::mean);
            let enough = POINTS_MIN.max(usize::try_from(length / 2).unwrap_or(usize::MAX));
            // A line is known over nearly its whole length.
            let (oldest, newest) = (points.first()?.0, points.last()?.0);
            if points.len() < enough || oldest > (2 - length) as f64 || newest < -2.0 {
                return None;
            }
            let line = Line::through(&points);
            let rate = line.slope / SLOT_MICROS as f64;
            let rise = line.slope.abs() * (newest - oldest + 1.0);
            let frames = (begin..end).filter_map(|slot| ruler.at(slot)).map(|slot| slot.frames).sum::<u32>();
            let grain = (length * SLOT_MICROS) as f64 / f64::from(frames.max(1));
            let few = (points.len() - 2) as f64;
            let variance = line.squares / few;
            let error = variance.sqrt().max(deviation) / line.spread.sqrt();
            let is_drift = (RATE_LEAST * share..=RATE_MAX).contains(&rate.abs())
                && rise >= rise_least.max(GRAINS * grain) * share
                && line.slope.abs() >= (ERRORS + ERRORS_OF_FEW / few) * error
                && least_squares_of_a_step(&points) >= line.squares + STEP_WORSE * variance;
            let steepness = |trend: &Self| {
                let points = trend.points(begin, end, Slot::least);
                if points.len() < POINTS_MIN { 0.0 } else { Line::through(&points).slope.abs() }
            };
            is_drift.then(|| {
                // The answers are later than what the least lateness says, by what frames of the ruler are apart.
                let usual = |slot| Some((self.at(slot)?, ruler.at(slot)?));
                let usual = (begin..end).filter_map(usual);
                let usual = usual.filter_map(|(own, ruler)| Some(own.least()? - ruler.least()? - own.mean()?));
                let more = mean(usual).unwrap_or(0.0);
                Drift {
                    rate,
                    first: (first(&all, line.slope) + more).round() as i64 - self.moved,
                    last: (line.at(-0.5) + more).round() as i64,
                    is_rulers: steepness(ruler) > steepness(self),
                }
            })
        })
    }

    /// Returns what the slots tell, by how long before `end` they begin, in slots, as a negative number.
    fn points(&self, begin: i64, end: i64, value: fn(&Slot) -> Option<f64>) -> Vec<(f64, f64)> {
        (begin..end).filter_map(|slot| Some(((slot - end) as f64, value(&self.at(slot)?)?))).collect()
    }

    fn at(&self, slot: i64) -> Option<Slot> {
        let is_kept = slot <= self.newest && self.newest.saturating_sub(slot) < KEPT;
        self.slots[index(slot)].filter(|_| is_kept)
    }
}

impl Slot {
    fn least(&self) -> Option<f64> {
        Some(self.least as f64)
    }

    /// Returns by how much its frames were behind the ruler.
    fn mean(&self) -> Option<f64> {
        (self.compared > 0).then(|| self.apart as f64 / f64::from(self.compared))
    }
}

fn index(slot: i64) -> usize {
    slot.rem_euclid(KEPT) as usize
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    (count > 0.0).then(|| sum / count)
}

/// Returns where a line of this slope begins, by the first second or two of the points.
fn first(points: &[(f64, f64)], slope: f64) -> f64 {
    let begin = points.first().map_or(0.0, |point| point.0);
    mean(points.iter().take(4).map(|(x, y)| y - slope * (x - begin + 0.5))).unwrap_or(0.0)
}

/// Returns the deviation of points from a line through their neighbours, which neither a drift nor a few steps change.
fn deviation(points: &[(f64, f64)]) -> f64 {
    /// The median of the distance from a line through two neighbours, for a deviation of 1.
    const MEDIAN: f64 = 0.826;
    let off = |three: &[(f64, f64)]| match three {
        [before, point, after] => {
            let part = (point.0 - before.0) / (after.0 - before.0);
            (point.1 - before.1 - (after.1 - before.1) * part).abs()
        }
        _ => 0.0,
    };
    let mut off: Vec<_> = points.windows(3).map(off).collect();
    off.sort_unstable_by(f64::total_cmp);
    off.get(off.len() / 2).map_or(0.0, |median| median / MEDIAN)
}

/// A line through points, by least squares.
#[derive(Clone, Copy, Debug)]
struct Line {
    middle: (f64, f64),
    slope: f64,
    /// The sum of the squares of the distances of the points from their middle, along the line.
    spread: f64,
    /// The sum of the squares that it leaves.
    squares: f64,
}

impl Line {
    fn through(points: &[(f64, f64)]) -> Self {
        let count = points.len().max(1) as f64;
        let sum = |value: fn(&(f64, f64)) -> f64| points.iter().map(value).sum::<f64>();
        let middle = (sum(|point| point.0) / count, sum(|point| point.1) / count);
        let (mut spread, mut common) = (f64::MIN_POSITIVE, 0.0);
        for (x, y) in points {
            spread += (x - middle.0).powi(2);
            common += (x - middle.0) * (y - middle.1);
        }
        let slope = common / spread;
        let squares = points.iter().map(|(x, y)| (y - middle.1 - slope * (x - middle.0)).powi(2)).sum();
        Self { middle, slope, spread, squares }
    }

    fn at(&self, x: f64) -> f64 {
        self.middle.1 + self.slope * (x - self.middle.0)
    }
}

/// Returns the least sum of squares that two levels leave, wherever one goes over to the other.
fn least_squares_of_a_step(points: &[(f64, f64)]) -> f64 {
    let squares = |points: &[(f64, f64)]| {
        let middle = mean(points.iter().map(|point| point.1)).unwrap_or(0.0);
        points.iter().map(|point| (point.1 - middle).powi(2)).sum::<f64>()
    };
    let steps = (1..points.len()).map(|at| squares(&points[..at]) + squares(&points[at..]));
    steps.fold(f64::INFINITY, f64::min)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames of the ruler in a slot: 24 of audio.
    const RULER_FRAMES: i64 = 24;

    /// Returns the drift of a track that is behind the ruler by these ms in each slot, and after how many slots it is found.
    fn found(behind: impl Fn(i64) -> Option<i64>, slots: i64) -> Option<(i64, Drift)> {
        let (mut track, mut ruler) = (Trend::default(), Trend::default());
        (0..slots).find_map(|slot| {
            if let Some(behind) = behind(slot) {
                (0..15).for_each(|_| track.take(slot, behind * 1000, Some(behind * 1000)));
            }
            (0..RULER_FRAMES).for_each(|_| ruler.take(slot, 0, None));
            Some((slot + 1, track.drift(&ruler, slot + 1, false)?))
        })
    }

    /// Returns -`most` to `most`.
    fn noise(slot: i64, most: i64) -> i64 {
        let mixed = (slot as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed >> 40) as i64 % (2 * most + 1) - most
    }

    #[test]
    fn a_line_is_a_drift_and_the_larger_it_is_the_sooner_it_is_found() {
        // The drift in ms per slot of 0.5 s, the noise, the slots that have frames, and the slots that it takes.
        let cases = [
            (50, 10, 1, 9),
            (25, 10, 1, 9),
            (10, 10, 1, 14),
            (5, 0, 1, 17),
            (5, 10, 1, 20),
            (5, 30, 1, 41),
            (5, 10, 2, 25),
            (2, 2, 1, 41),
        ];
        for (per_slot, most, every, within) in cases {
            for sign in [-1, 1] {
                let behind = |slot| (slot % every == 0).then(|| sign * per_slot * slot + noise(slot, most));
                let (at, drift) = found(behind, 60).unwrap_or_else(|| panic!("{per_slot} {most} {every}"));
                assert!(at <= within, "{per_slot} ms beside {most} ms: after {at} slots");
                let off = (drift.rate * 500.0 - (sign * per_slot) as f64).abs();
                assert!(off <= per_slot as f64 / 6.0, "{per_slot} ms beside {most} ms: {drift:?}");
                let apart = drift.last - drift.first - sign * per_slot * at * 1000;
                assert!(apart.abs() <= 20_000 + most * 500, "{per_slot} ms beside {most} ms: {drift:?}");
            }
        }
    }

    #[test]
    fn a_step_a_network_and_a_crystal_are_no_drift() {
        let behind: [&dyn Fn(i64) -> i64; 8] = [
            &|_| 0,
            &|slot| if slot < 10 { 0 } else { 140 },
            &|slot| (slot - 10).clamp(0, 2) * 70,
            &|slot| noise(slot, 75),
            &|slot| if slot < 20 { noise(slot, 20) } else { 140 + noise(slot, 20) },
            // Frames of two lengths beat.
            &|slot| slot % 20 * 2,
            &|slot| if slot % 10 == 3 { 400 } else { 0 },
            // An encoder is slow for 2 s.
            &|slot| (slot - 10).clamp(0, 4) * 40,
        ];
        for (number, behind) in behind.into_iter().enumerate() {
            assert_eq!(found(|slot| Some(behind(slot)), 400), None, "{number}");
        }
        assert_eq!(found(|slot| Some(slot * 100), 60), None, "20 % are no clock's");
    }

    #[test]
    fn the_clock_that_is_less_even_drifts() {
        for is_rulers in [false, true] {
            let (mut track, mut ruler) = (Trend::default(), Trend::default());
            for slot in 0..20 {
                let of = |drifts: bool| if drifts { slot * 20_000 } else { slot * 1_000 };
                (0..RULER_FRAMES).for_each(|_| ruler.take(slot, of(is_rulers), None));
                track.take(slot, of(!is_rulers), Some(of(!is_rulers) - of(is_rulers)));
            }
            let drift = track.drift(&ruler, 20, false).unwrap();
            assert_eq!(drift.is_rulers, is_rulers);
            assert_eq!((drift.rate * 1000.0).round(), if is_rulers { -38.0 } else { 38.0 });
        }
    }

    #[test]
    fn few_frames_of_the_ruler_ask_for_a_larger_rise() {
        let drift = |frames: i64| {
            let (mut track, mut ruler) = (Trend::default(), Trend::default());
            for slot in 0..16 {
                (0..frames).for_each(|_| ruler.take(slot, 0, None));
                track.take(slot, slot * 5_000, Some(slot * 5_000));
            }
            track.drift(&ruler, 16, false).map(|drift| (drift.rate * 1000.0).round())
        };
        assert_eq!((drift(RULER_FRAMES), drift(8)), (Some(10.0), None), "62 ms apart");
    }

    #[test]
    fn moves_gaps_and_a_ruler_that_is_placed_anew_bend_no_line() {
        let mut track = Trend::default();
        (0..10).for_each(|slot| track.take(slot, 1_000, Some(3_000)));
        let at = |track: &Trend, slot| track.at(slot).map(|slot| (slot.least, slot.mean()));
        track.shift(-200);
        assert_eq!((at(&track, 9), at(&track, 10)), (Some((800, Some(2_800.0))), None));
        track.shift_apart(200);
        assert_eq!(at(&track, 0), Some((800, Some(3_000.0))));
        track.forget_apart();
        assert_eq!(at(&track, 0), Some((800, None)));
        track.take(500, 7, None);
        assert_eq!((at(&track, 500), at(&track, 499), at(&track, 10)), (Some((7, None)), None, None));
    }
}
