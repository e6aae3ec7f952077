//! Where composed frames are on the program's timeline: where the lead's are, so that going from the lead's own frames to
//! composed ones and back moves nothing. Another lead, or none, goes on from there by the wall clock.

use onmic_media::{ClockRate, Ticks, WallTime};

/// A lead whose timestamps leave the wall clock by more began another timeline.
const LOST: Ticks = Ticks(90_000);

/// A point that is known: at this wall time the program was here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// On the program's clock of 90 kHz.
    pub pts: Ticks,
    /// On the node's clock.
    pub wall: WallTime,
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Positions {
    last: Option<Origin>,
    /// From the lead's timestamps to the program's.
    shift: Option<Ticks>,
}

fn ticks(micros: i64) -> Ticks {
    Ticks(micros).rescale(ClockRate::MICROS, ClockRate::VIDEO)
}

impl Positions {
    /// Goes on from `origin`, or begins as the first lead's.
    pub(crate) fn new(origin: Option<Origin>) -> Self {
        Self { last: origin, shift: None }
    }

    /// Another input leads.
    pub(crate) fn set_lead(&mut self) {
        self.shift = None;
    }

    /// The place of a frame that shows `wall`. `lead` are the times of the lead's new picture, if it has one. Later than
    /// every one before.
    pub(crate) fn place(&mut self, wall: WallTime, lead: Option<Origin>) -> Ticks {
        let by_wall = self.last.map(|last| last.pts + ticks(wall.micros_since(last.wall)));
        let own = lead.map(|lead| lead.pts + ticks(wall.micros_since(lead.wall)));
        let pts = match (own, by_wall) {
            (Some(own), None) => {
                self.shift = Some(Ticks(0));
                own
            }
            (Some(own), Some(by_wall)) => {
                let shift = *self.shift.get_or_insert(by_wall - own);
                let off = own + shift - by_wall;
                if off.0.abs() > LOST.0 {
                    self.shift = Some(by_wall - own);
                    by_wall
                } else {
                    own + shift
                }
            }
            (None, Some(by_wall)) => by_wall,
            (None, None) => Ticks(0),
        };
        let pts = self.last.map_or(pts, |last| pts.max(last.pts + Ticks(1)));
        self.last = Some(Origin { pts, wall });
        pts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wall(millis: u64) -> WallTime {
        WallTime(1_795_000_000_000_000 + millis * 1000)
    }

    fn lead(pts: i64, millis: u64) -> Option<Origin> {
        Some(Origin { pts: Ticks(pts), wall: wall(millis) })
    }

    #[test]
    fn the_first_leads_timestamps_are_the_programs() {
        let mut timeline = Positions::new(None);
        assert_eq!(timeline.place(wall(0), lead(777, 0)), Ticks(777));
        assert_eq!(timeline.place(wall(33), lead(3777, 33)), Ticks(3777));
        assert_eq!(timeline.place(wall(66), None), Ticks(3777 + 2970));
        assert_eq!(timeline.place(wall(101), lead(9777, 100)), Ticks(9777 + 90), "moved as the moment was");
        assert_eq!(timeline.place(wall(133), lead(12_777, 133)), Ticks(12_777));
    }

    #[test]
    fn another_lead_or_none_goes_on_by_the_wall_clock() {
        let mut timeline = Positions::new(Some(Origin { pts: Ticks(9_000), wall: wall(100) }));
        assert_eq!(timeline.place(wall(140), None), Ticks(12_600));
        assert_eq!(timeline.place(wall(180), lead(500_000, 180)), Ticks(16_200));
        assert_eq!(timeline.place(wall(220), lead(503_630, 220)), Ticks(19_830), "its own steps from there");
        timeline.set_lead();
        assert_eq!(timeline.place(wall(260), lead(-5, 260)), Ticks(23_430));
    }

    #[test]
    fn a_timeline_that_jumps_or_runs_back_is_not_followed() {
        let mut timeline = Positions::new(None);
        timeline.place(wall(0), lead(0, 0));
        assert_eq!(timeline.place(wall(40), lead(90_000_000, 40)), Ticks(3600));
        assert_eq!(timeline.place(wall(80), lead(90_003_600, 80)), Ticks(7200));
        assert_eq!(timeline.place(wall(81), lead(90_000_000, 81)), Ticks(7201));
    }
}
