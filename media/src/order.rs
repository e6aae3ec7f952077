//! The order of one track's frames: which decoding and composition times a publisher may state.
//!
//! Decoding times rise with every frame, and a frame is shown when it is decoded or later, within the time that a
//! decoder may reorder. This file corrects a publisher that states anything else, so that later code can rely on these
//! rules.

use crate::key::{MediaKind, TrackKey};
use crate::time::{ClockRate, Ticks};

/// The longest time from decoding to presentation: 16 frames, the most that H.264 lets a decoder hold back (A.3.1), at
/// 4 frames per second. A publisher that states more cannot delay the program's next splice by more than this.
const COMPOSITION_MAX_MICROS: i64 = 4_000_000;

/// Decoding times that go back by no more than this, or lie behind presentation by no more, are presentation times of
/// reordered frames: 4 frames at 25 per second. By more, the publisher's clock stepped.
pub(crate) const REORDERED_MICROS: i64 = 160_000;

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
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Order {
    /// The time from decoding to presentation of the last frame that stated a legal one.
    composition: Ticks,
    /// The latest decoding time that was stated.
    latest: Option<Ticks>,
    /// The time by which decoding is moved ahead of its statement, because presentation was seen before it.
    reorder: Ticks,
    /// The last decoding time that was given out.
    last: Option<Ticks>,
}

impl Order {
    /// Returns the corrected times of a frame, still on the publisher's clock. The second value states whether its
    /// composition time was corrected.
    pub(crate) fn believe(&mut self, stated: Stated) -> (Times, bool) {
        let Stated { key, dts, pts, rate, may_reorder } = stated;
        if key.kind != MediaKind::Video {
            return (Times { dts, pts: dts }, pts != dts);
        }
        let latest = self.latest.unwrap_or(dts);
        let early = if may_reorder && pts == dts { latest - dts } else { dts - pts };
        let reordered = early.micros(rate) <= REORDERED_MICROS;
        if reordered {
            self.reorder = self.reorder.max(early);
        }
        self.latest = Some(if (latest - dts).micros(rate) <= REORDERED_MICROS { latest.max(dts) } else { dts });
        let dts = dts - self.reorder;
        let composition = pts - dts;
        let legal = (0..=COMPOSITION_MAX_MICROS).contains(&composition.micros(rate));
        if legal {
            self.composition = composition;
        }
        (Times { dts, pts: dts + self.composition }, !legal)
    }

    /// Returns the times of a frame on its track's timeline. The second value states whether its decoding time did not
    /// rise and was moved after the last one.
    pub(crate) fn advance(&mut self, placed: Times) -> (Times, bool) {
        let held = self.last.filter(|last| placed.dts <= *last);
        let dts = held.map_or(placed.dts, |last| last + Ticks(1));
        self.last = Some(dts);
        (Times { dts, pts: placed.pts.max(dts) }, held.is_some())
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
            let (Times { dts, pts }, _) = order.advance(times);
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
    fn decoding_times_always_rise() {
        let mut order = Order::default();
        let mut advance = |dts: i64, pts: i64| {
            let (Times { dts, pts }, held) = order.advance(Times { dts: Ticks(dts), pts: Ticks(pts) });
            (dts.0, pts.0, held)
        };
        assert_eq!(advance(100, 100), (100, 100, false));
        assert_eq!(advance(100, 100), (101, 101, true));
        assert_eq!(advance(50, 190), (102, 190, true));
        assert_eq!(advance(103, 103), (103, 103, false));
    }
}
