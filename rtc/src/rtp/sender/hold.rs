//! The delay that a viewer is told to hold frames back by, so that repairs come in time, and which packets state it.
//!
//! It moves by steps, a frame at a time: up by [`UP`], so that video runs slower for a while and never stands still, and down by
//! [`DOWN`] every [`DOWN_EVERY`] frames, which no eye sees. As long as there is a hold, all packets state it. When there is none
//! any more, they state that, until the receiver reports a packet that did.
//!
//! A repeat without a repair stream has the same bytes as the packet, so it is remembered which packets stated what: by their
//! number on the wire, [`REMEMBERED`] changes back.

use std::collections::VecDeque;

use super::super::outgoing::PlayoutDelay;

/// The hold grows by this much with each frame, in 10 ms. At 30 per second video runs at 60 % of its pace.
const UP: u16 = 2;
/// The hold shrinks by this much, in 10 ms.
const DOWN: u16 = 1;
/// The hold shrinks with one in this many frames. At 30 per second video runs at 106 % of its pace.
const DOWN_EVERY: u8 = 5;
/// The changes that are remembered: the store of packets to repeat is 1.5 s, 90 frames at 60 per second.
const REMEMBERED: usize = 96;

/// The hold of one viewer's video.
#[derive(Debug, Default)]
pub(super) struct Hold {
    /// The hold to reach, in 10 ms.
    target: u16,
    /// What packets state, from a number on the wire on. Newest last.
    statements: VecDeque<Statement>,
    /// What the packets before this number stated is forgotten.
    forgotten: u64,
    frames: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Statement {
    from: u64,
    /// The hold in 10 ms. `None` if packets state what they would without a hold.
    hold: Option<u16>,
}

impl Hold {
    pub(super) fn set_target(&mut self, units: u16) {
        self.target = units;
    }

    /// Moves on with the frame whose first packet has this number on the wire.
    pub(super) fn begin_frame(&mut self, sequence: u64) {
        let now = self.statements.back().map_or(Some(0), |last| last.hold.or(Some(0))).unwrap_or(0);
        self.frames = (self.frames + 1) % DOWN_EVERY;
        let next = match now.cmp(&self.target) {
            std::cmp::Ordering::Less => (now + UP).min(self.target),
            std::cmp::Ordering::Greater if self.frames == 0 => now.saturating_sub(DOWN).max(self.target),
            _ => now,
        };
        if next != now {
            self.state(sequence, Some(next));
        }
    }

    /// Notes that the receiver has had the packet with this number. If it stated that there is no hold any more, later packets
    /// state nothing.
    pub(super) fn confirm(&mut self, received: u64, next: u64) {
        let told = self.statements.back().is_some_and(|last| last.hold == Some(0) && received >= last.from);
        if told && self.target == 0 {
            self.state(next, None);
        }
    }

    /// Returns the hold that the packet with this number states, in 10 ms.
    pub(super) fn stated(&self, sequence: u64) -> Option<u16> {
        self.statements.iter().rev().find(|statement| statement.from <= sequence)?.hold
    }

    /// Returns whether it is known what the packet with this number stated.
    pub(super) fn remembers(&self, sequence: u64) -> bool {
        sequence >= self.forgotten
    }

    fn state(&mut self, from: u64, hold: Option<u16>) {
        if self.statements.len() == REMEMBERED {
            self.statements.pop_front();
            self.forgotten = self.statements.front().map_or(from, |oldest| oldest.from);
        }
        self.statements.push_back(Statement { from, hold });
    }
}

/// Returns the delay that a packet states which would state `delay` without a hold.
pub(super) fn at_least(delay: PlayoutDelay, hold: Option<u16>) -> PlayoutDelay {
    hold.map_or(delay, |hold| delay.at_least(hold))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends frames of ten packets from packet 1000 on, and returns what each frame states.
    fn frames(hold: &mut Hold, from: u64, count: u64) -> Vec<Option<u16>> {
        let frame = |index: u64| {
            hold.begin_frame(from + index * 10);
            hold.stated(from + index * 10 + 9)
        };
        (0..count).map(frame).collect()
    }

    #[test]
    fn the_hold_grows_by_20_ms_a_frame_and_is_stated_until_it_is_known_to_be_over() {
        let mut hold = Hold::default();
        assert_eq!(frames(&mut hold, 1000, 3), [None; 3]);
        hold.set_target(5);
        assert_eq!(frames(&mut hold, 2000, 5), [2, 4, 5, 5, 5].map(Some));
        hold.confirm(2050, 2050);
        assert_eq!(frames(&mut hold, 2050, 1), [Some(5)]);
        hold.set_target(0);
        let down = frames(&mut hold, 3000, 30);
        assert!(down.is_sorted_by(|before, after| before >= after) && down[29] == Some(0), "{down:?}");
        hold.confirm(3000, 3300); // A packet from before.
        assert_eq!(frames(&mut hold, 3300, 1), [Some(0)]);
        hold.confirm(3305, 3310);
        assert_eq!(frames(&mut hold, 3310, 2), [None; 2]);
        hold.set_target(3);
        assert_eq!(frames(&mut hold, 4000, 2), [2, 3].map(Some));
        assert_eq!(
            [1005, 2000, 2011, 3305, 3311].map(|sequence| hold.stated(sequence)),
            [None, Some(2), Some(4), Some(0), None]
        );
    }

    #[test]
    fn what_was_stated_is_remembered_for_a_bounded_number_of_changes() {
        let mut hold = Hold::default();
        hold.set_target(400);
        frames(&mut hold, 0, 200);
        assert_eq!(hold.statements.len(), REMEMBERED);
        assert!(!hold.remembers(0) && !hold.remembers(1030) && hold.remembers(1040) && hold.stated(1045) == Some(210));
    }
}
