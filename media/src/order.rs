//! The order of one track's frames: which decoding and composition times a publisher may state.
//!
//! Decoding times rise with every frame, by a part of a frame at least, and a frame is shown when it is decoded or
//! later, within the time that a decoder may reorder. This file corrects a publisher that states anything else, so that
//! later code can rely on these rules.
//!
//! Invariant: all ticks in an [`Order`] are of one rate, that of the last frame. A publisher may state another rate from one
//! frame to the next, as a phone does whose microphone is changed, and time goes on evenly over it.

use crate::key::{MediaKind, TrackKey};
use crate::time::{ClockRate, Ticks};

/// The longest time from decoding to presentation: 16 frames, the most that H.264 lets a decoder hold back (A.3.1), at
/// 4 frames per second. A publisher that states more cannot delay the program's next splice by more than this.
const COMPOSITION_MAX_MICROS: i64 = 4_000_000;

/// Decoding times that go back by no more than this, or lie behind presentation by no more, are presentation times of
/// reordered frames: 4 frames at 25 per second. By more, the publisher's clock stepped.
pub(crate) const REORDERED_MICROS: i64 = 160_000;

/// The same for an encoder of few frames per second, in its frames: two B-frames between two others, and half a frame of
/// jitter.
const REORDERED_HALF_FRAMES: i64 = 7;

/// Frames that are reordered by more than this are not reordered: the publisher's clock stepped.
const REORDERED_MAX_MICROS: i64 = 500_000;

/// A longer time between two frames is a pause and not the track's pace.
pub(crate) const PAUSE_MICROS: i64 = 500_000;

/// The pace follows the last interval by one part in this.
const PACE_PARTS: i64 = 4;

/// The pace of a track before two of its frames have told it: Opus, and 30 frames per second.
const AUDIO_MICROS: i64 = 20_000;
const VIDEO_MICROS: i64 = 33_333;

/// A frame whose time is taken is placed no further after the one before than this, at however slow a pace.
const HELD_MAX_MICROS: i64 = 100_000;

/// Frames in a row that are decoded after a later one, as B-frames are whose decoding times are not stated. More of them
/// have a clock that went back or stands.
const BEFORE_LATER: i64 = 3;

/// Holds the times of a frame on one clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) dts: Ticks,
    pub(crate) pts: Ticks,
}

/// Holds the times that a publisher states of a frame.
#[derive(Clone, Copy, Debug)]
pub struct Stated {
    /// The track of the frame.
    pub key: TrackKey,
    /// The decoding time.
    pub dts: Ticks,
    /// The presentation time.
    pub pts: Ticks,
    /// The ticks per second of both.
    pub rate: ClockRate,
    /// Whether the encoder may have reordered frames. It is true unless the encoder declares that it does not.
    pub may_reorder: bool,
}

/// Holds the state of one track.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order {
    /// The ticks per second of all ticks here.
    rate: ClockRate,
    /// The time from decoding to presentation of the last frame that stated a legal one.
    composition: Ticks,
    /// The latest decoding time that was stated.
    latest: Option<Ticks>,
    /// The last decoding time that was stated, and its distance from the one before.
    previous: Option<Ticks>,
    advance: i64,
    /// The time by which decoding is moved ahead of its statement, because presentation was seen before it.
    reorder: Ticks,
    /// Whether a frame was stated to be shown at another time than it is decoded. Then decoding times are stated, and not
    /// presentation times alone.
    states_both: bool,
    /// The last decoding time that was given out.
    last: Option<Ticks>,
    /// The usual time between two frames, in ticks; 0 until it is known.
    pace: i64,
    /// Whether a single interval told the pace.
    pace_is_new: bool,
    /// The number of frames since the one that stated the latest decoding time.
    since_latest: i64,
}

impl Default for Order {
    fn default() -> Self {
        Self {
            rate: ClockRate::MICROS, // The first frame states another, before there is a time to convert.
            composition: Ticks(0),
            latest: None,
            previous: None,
            advance: 0,
            reorder: Ticks(0),
            states_both: false,
            last: None,
            pace: 0,
            pace_is_new: false,
            since_latest: 0,
        }
    }
}

impl Order {
    /// Returns the corrected times of a frame, still on the publisher's clock. The second value states whether its
    /// composition time was corrected.
    pub(crate) fn believe(&mut self, stated: Stated) -> (Times, bool) {
        let Stated { key, dts, pts, rate, may_reorder } = stated;
        self.go_over_to(rate);
        self.states_both |= pts != dts;
        let may_reorder = may_reorder && !self.states_both;
        let latest = self.latest.unwrap_or(dts);
        let reordered_max = self.reordered_max(may_reorder);
        self.note(dts, reordered_max);
        if key.kind != MediaKind::Video {
            return (Times { dts, pts: dts }, pts != dts);
        }
        let early = if may_reorder && pts == dts { latest - dts } else { dts - pts };
        if early.micros(rate) <= reordered_max {
            // Those that are decoded between the two take their time, too: B-frames may refer to each other.
            let each = self.pace.min(self.advance.saturating_abs());
            let frames =
                if may_reorder && early > Ticks(0) { (self.since_latest - 1).clamp(0, BEFORE_LATER) } else { 0 };
            let between = each * frames;
            self.reorder = self.reorder.max(early + Ticks(between));
        }
        let dts = dts - self.reorder;
        let composition = pts - dts;
        let legal = (0..=COMPOSITION_MAX_MICROS).contains(&composition.micros(rate));
        if legal {
            self.composition = composition;
        }
        (Times { dts, pts: dts + self.composition }, !legal)
    }

    /// Returns the times of a frame on its track's timeline. The second value states whether its decoding time did not
    /// rise, or by less than an eighth of a frame. Such a frame is placed at the track's pace after the one before.
    /// While the stated times rise, it is placed a little earlier than that, so that the track comes back to its line.
    /// It is not placed later than `due`, the time by its arrival, because the pace may be wrong.
    pub(crate) fn advance(&mut self, placed: Times, stated: Stated, due: Ticks) -> (Times, bool) {
        let pace = self.pace_micros(stated.key).min(HELD_MAX_MICROS);
        let ticks = |micros: i64| Ticks(micros).rescale(ClockRate::MICROS, self.rate).max(Ticks(1));
        let apart = match stated.key.kind {
            MediaKind::Data => Ticks(1), // Messages may come together.
            _ => ticks(pace.min(VIDEO_MICROS) / 8),
        };
        let Some(last) = self.last.filter(|last| placed.dts < *last + apart) else {
            self.last = Some(placed.dts);
            return (Times { dts: placed.dts, pts: placed.pts.max(placed.dts) }, false);
        };
        let least = last + Ticks(1);
        let by_pace = match stated.key.kind {
            MediaKind::Data => least,
            _ if self.advance >= apart.0 => last + ticks(pace * 7 / 8),
            _ => last + ticks(pace),
        };
        let even = by_pace.min(due.max(last + apart));
        let is_guessed = !self.states_both || self.reorder > Ticks(0);
        let is_reordered =
            is_guessed && placed.pts > placed.dts && self.advance != 0 && self.since_latest <= BEFORE_LATER;
        let times = if is_reordered {
            let dts = even.min(placed.pts).max(least);
            Times { dts, pts: placed.pts.max(dts) }
        } else {
            let dts = even.max(least);
            Times { dts, pts: placed.pts + (dts - placed.dts) }
        };
        self.last = Some(times.dts);
        (times, true)
    }

    /// Returns the usual time between two frames in µs.
    pub(crate) fn pace_micros(&self, key: TrackKey) -> i64 {
        match key.kind {
            _ if self.pace > 0 => Ticks(self.pace).micros(self.rate),
            MediaKind::Video => VIDEO_MICROS,
            MediaKind::Audio | MediaKind::Data => AUDIO_MICROS,
        }
    }

    /// Returns by how much decoding times may go back without a step of the clock, in µs.
    pub(crate) fn back_max(&self, may_reorder: bool) -> i64 {
        self.reordered_max(may_reorder).max(self.reorder.micros(self.rate) * 2)
    }

    /// Returns whether no frame before stated as late a time as the last one.
    pub(crate) fn is_latest(&self) -> bool {
        self.since_latest == 0
    }

    /// Returns by how much decoding is moved ahead of its statement.
    pub(crate) fn reorder(&self) -> Ticks {
        self.reorder
    }

    /// Returns whether the stated times have gone back or stood for longer than reordering explains.
    pub(crate) fn is_held(&self) -> bool {
        self.since_latest > BEFORE_LATER
    }

    /// Converts everything to ticks of `rate`, so that the frame that states it is compared with those before.
    fn go_over_to(&mut self, rate: ClockRate) {
        let from = std::mem::replace(&mut self.rate, rate);
        if from == rate {
            return;
        }
        let convert = |ticks: Ticks| ticks.rescale(from, rate);
        self.composition = convert(self.composition);
        self.reorder = convert(self.reorder);
        [&mut self.latest, &mut self.previous, &mut self.last].into_iter().for_each(|time| *time = time.map(convert));
        [&mut self.advance, &mut self.pace].into_iter().for_each(|time| *time = convert(Ticks(*time)).0);
    }

    fn reordered_max(&self, may_reorder: bool) -> i64 {
        let frames = if may_reorder { Ticks(self.pace * REORDERED_HALF_FRAMES / 2).micros(self.rate) } else { 0 };
        frames.clamp(REORDERED_MICROS, REORDERED_MAX_MICROS)
    }

    /// Follows the latest decoding time that was stated, and the pace.
    fn note(&mut self, dts: Ticks, reordered_max: i64) {
        self.advance = self.previous.replace(dts).map_or(0, |previous| (dts - previous).0);
        let latest = self.latest.unwrap_or(dts);
        if dts > latest {
            let each = (dts - latest).0 / (self.since_latest + 1);
            let is_pause = Ticks(each).micros(self.rate) > PAUSE_MICROS || self.since_latest > BEFORE_LATER;
            let is_first = self.pace == 0;
            self.pace = match self.pace {
                pace if is_pause => pace,
                0 => each,
                // The first interval was that of the frames that others refer to.
                pace if self.pace_is_new && each < pace / 2 => each,
                pace => pace + (each - pace) / PACE_PARTS,
            };
            self.pace_is_new = is_first;
            self.since_latest = 0;
        } else if (latest - dts).micros(self.rate) > reordered_max {
            self.since_latest = 0;
        } else {
            self.since_latest += i64::from(self.latest.is_some());
            self.latest = Some(latest);
            return;
        }
        self.latest = Some(dts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn video(dts: i64, pts: i64) -> Stated {
        let (dts, pts) = (Ticks(dts * 90), Ticks(pts * 90));
        Stated { key: TrackKey::VIDEO, dts, pts, rate: ClockRate::VIDEO, may_reorder: true }
    }

    fn believe(order: &mut Order, dts: i64, pts: i64) -> (i64, i64, bool) {
        let (times, corrected) = order.believe(video(dts, pts));
        (times.dts.0 / 90, times.pts.0 / 90, corrected)
    }

    #[test]
    fn a_composition_time_that_no_decoder_needs_is_replaced_by_the_last_legal_one() {
        let mut order = Order::default();
        assert_eq!(believe(&mut order, 0, 80), (0, 80, false));
        for absurd in [7_200_000, -400, i64::MAX / 90, i64::MIN / 90] {
            assert_eq!(believe(&mut order, 40, absurd), (40, 120, true), "{absurd}");
        }
        assert_eq!(believe(&mut order, 80, 4_080), (80, 4_080, false));
    }

    #[test]
    fn audio_is_presented_when_it_is_decoded() {
        let stated = Stated { key: TrackKey::AUDIO, ..video(40, 90) };
        assert_eq!(Order::default().believe(stated), (Times { dts: stated.dts, pts: stated.dts }, true));
    }

    /// Returns the presentation times in ms, after the first two groups.
    fn shown(stated: impl Iterator<Item = Stated>) -> Vec<i64> {
        let (mut order, mut last, mut shown) = (Order::default(), Ticks(i64::MIN), Vec::new());
        for stated in stated {
            let (times, corrected) = order.believe(stated);
            let (Times { dts, pts }, _) = order.advance(times, stated, times.dts + Ticks(90 * 1000));
            assert!(!corrected && dts > last && pts >= dts, "{stated:?}: {dts:?} {pts:?}");
            last = dts;
            shown.push(pts.0 / 90);
        }
        shown.split_off(4)
    }

    #[test]
    fn presentation_times_alone_that_go_back_are_reordered_frames() {
        // Two B-frames between two P-frames, 25 per second, as RTP states them.
        let stated = [0, 120, 40, 80, 240, 160, 200, 360, 280, 320];
        assert_eq!(shown(stated.into_iter().map(|pts| video(pts, pts))), stated[4..]);
    }

    #[test]
    fn presentation_times_alone_of_frames_that_refer_to_reordered_ones_are_kept() {
        // Three B-frames of which the middle one is decoded first (x264's pyramid).
        let group = [4, 2, 1, 3];
        for pace in [16, 33, 40] {
            let stated = (0..20).flat_map(|number| group.map(move |pts| (number * 4 + pts) * pace));
            let stated: Vec<_> = std::iter::once(0).chain(stated).collect();
            let shown = shown(stated.iter().map(|pts| video(*pts, *pts)));
            // The first two groups tell how far frames are reordered, and their pace.
            assert_eq!(shown[5..], stated[9..], "{pace}");
        }
    }

    #[test]
    fn presentation_slightly_before_decoding_moves_decoding_and_not_presentation() {
        // The same frames with the decoding times of a file whose first frame is shown at 0.
        let stated = [0, 120, 40, 80, 240, 160, 200, 360, 280, 320];
        let decoded = (0..).map(|number| number * 40);
        assert_eq!(shown(decoded.zip(stated).map(|(dts, pts)| video(dts, pts))), stated[4..]);
    }

    #[test]
    fn an_encoder_without_reordering_keeps_its_decoding_times() {
        let mut order = Order::default();
        for dts in [0, 40, 0, 40, 80] {
            let (times, _) = order.believe(Stated { may_reorder: false, ..video(dts, dts) });
            assert_eq!(times.dts, Ticks(dts * 90));
        }
    }

    #[test]
    fn reordered_frames_are_shown_at_their_times_over_a_change_of_the_rate() {
        // Two B-frames between two P-frames, whose presentation times alone are stated.
        let times = (0..20).flat_map(|group| [0, 120, 40, 80].map(|pts| group * 160 + pts));
        let change = |at: i64, pts: i64| {
            let rate = if pts < at { ClockRate::VIDEO } else { ClockRate::new(44_100).unwrap() };
            let ticks = Ticks(pts).rescale(ClockRate::MILLIS, rate);
            Stated { dts: ticks, pts: ticks, rate, ..video(0, 0) }
        };
        for at in [800, 1600] {
            let (mut order, mut last) = (Order::default(), Ticks(i64::MIN));
            for (number, pts) in times.clone().enumerate() {
                let stated = change(at, pts);
                let (times, corrected) = order.believe(stated);
                let due = times.dts + stated.rate.ticks(std::time::Duration::from_secs(1));
                let (Times { dts, pts: shown }, _) = order.advance(times, stated, due);
                let dts = dts.rescale(stated.rate, ClockRate::MICROS);
                assert!(!corrected && dts > last, "{at}, {number}: {dts:?} after {last:?}");
                last = dts;
                let off = shown.micros(stated.rate) - pts * 1000;
                assert!(number < 4 || off.abs() <= 50, "{at}, {number}: off by {off} µs");
            }
        }
    }

    #[test]
    fn decoding_times_always_rise() {
        let mut order = Order::default();
        let mut advance = |dts: i64, pts: i64| {
            let stated = video(dts, pts);
            let (times, _) = order.believe(stated);
            let (Times { dts, pts }, held) = order.advance(times, stated, times.dts + Ticks(90 * 1000));
            (dts.0 / 90, pts.0 / 90, held)
        };
        assert_eq!(advance(100, 100), (100, 100, false));
        assert_eq!(advance(140, 140), (140, 140, false));
        assert_eq!(advance(140, 140), (180, 180, true), "after the one before, at the pace of the track");
        assert_eq!(advance(180, 180), (210, 210, true), "a little earlier, to come back to what is stated");
        assert_eq!(advance(220, 220), (220, 220, false));
        assert_eq!(advance(220, 280), (256, 316, true), "shown as much later as it is decoded");
    }

    #[test]
    fn a_clock_that_stands_is_left_behind_at_the_pace_of_the_track() {
        let mut order = Order::default();
        let mut placed = Vec::new();
        for dts in [0, 40, 80, 120, 120, 120, 120, 120, 120, 120] {
            // With B-frames, whose composition time bounds nothing here.
            let stated = video(dts, dts + 40);
            let (times, _) = order.believe(stated);
            let (Times { dts, pts }, _) = order.advance(times, stated, times.dts + Ticks(90 * 1000));
            placed.push((dts.0 / 90, pts.0 / 90));
        }
        assert_eq!(placed[..4], [(0, 40), (40, 80), (80, 120), (120, 160)]);
        assert!(placed[4..].windows(2).all(|pair| pair[1].0 > pair[0].0 && pair[1].1 >= pair[0].1), "{placed:?}");
        assert!(order.is_held());
        assert_eq!(placed[9].0 - placed[8].0, 40);
    }
}
