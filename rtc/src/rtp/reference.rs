//! The answer to receivers that ask for the round trip (RTCP XR, RFC 3611 4.4 and 4.5).
//!
//! A receiver that sends no media learns the round trip from nobody, unless it states its own clock and is told how long that
//! was ago. Chromium then repeats its requests for lost packets by the round trip, and not every 100 ms. It asks once a second.
//! The answer goes with the next sender report, so it costs no datagram.

use std::time::{Duration, Instant};

use super::feedback::ReferenceTime;
use super::report;

/// The receivers of one session that are answered: one for each kind of media. Chromium has one SSRC for both.
const RECEIVERS: usize = 2;

/// What the receivers of one session stated last.
#[derive(Clone, Copy, Debug, Default)]
pub struct References {
    stated: [Option<(ReferenceTime, Instant)>; RECEIVERS],
}

impl References {
    /// Notes what a receiver stated. Returns whether it is the first one.
    pub fn note(&mut self, stated: ReferenceTime, now: Instant) -> bool {
        let is_first = !self.is_known();
        let of_same = |held: &Option<(ReferenceTime, Instant)>| held.is_none_or(|(held, _)| held.ssrc == stated.ssrc);
        let index = self.stated.iter().position(of_same).unwrap_or(RECEIVERS - 1);
        self.stated[index] = Some((stated, now));
        is_first
    }

    /// Returns whether a receiver asks for the round trip, and so knows it.
    pub fn is_known(&self) -> bool {
        self.stated[0].is_some()
    }

    /// Writes the answers to `out`, from our stream `ssrc`.
    pub fn answer(&self, ssrc: u32, now: Instant, out: &mut Vec<u8>) {
        let answer = |(stated, at): (ReferenceTime, Instant)| {
            let since = now.saturating_duration_since(at).min(Duration::from_secs(0x7fff));
            (stated.ssrc, stated.middle, ((since.as_micros() << 16) / 1_000_000) as u32)
        };
        let known = self.stated.iter().flatten().count();
        let answers = self.stated.map(|stated| stated.map_or((0, 0, 0), answer));
        if known > 0 {
            report::delay_since_reference(out, ssrc, &answers[..known]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::feedback::{self, Feedback};

    /// What Chromium sends: a receiver reference time block of SSRC 1.
    const ASKS: [u8; 20] = [
        0x80, 207, 0, 4, 0, 0, 0, 1, // extended report of SSRC 1
        4, 0, 0, 2, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88,
    ];

    fn asked(datagram: &[u8]) -> Vec<ReferenceTime> {
        let mut stated = Vec::new();
        let read = |statement: Feedback<'_>| {
            if let Feedback::Reference(reference) = statement {
                stated.push(reference);
            }
        };
        feedback::read(datagram, read).unwrap();
        stated
    }

    #[test]
    fn a_receiver_that_states_its_clock_is_told_how_long_that_was_ago() {
        let (mut references, now) = (References::default(), Instant::now());
        let mut out = Vec::new();
        references.answer(7, now, &mut out);
        assert!(out.is_empty() && !references.is_known());
        let [stated] = asked(&ASKS)[..] else { panic!() };
        assert!(references.note(stated, now) && !references.note(stated, now));
        references.answer(7, now + Duration::from_millis(250), &mut out);
        let expected = [
            0x80, 207, 0, 5, 0, 0, 0, 7, // extended report of our stream
            5, 0, 0, 3, 0, 0, 0, 1, 0x33, 0x44, 0x55, 0x66, 0, 0, 0x40, 0, // 0.25 s
        ];
        assert_eq!(out, expected);
        feedback::read(&out, |_| {}).unwrap();
    }

    #[test]
    fn each_of_two_receivers_is_answered_and_a_third_takes_the_place_of_one() {
        let (mut references, now) = (References::default(), Instant::now());
        for ssrc in [1, 2, 1, 3] {
            references.note(ReferenceTime { ssrc, middle: ssrc * 10 }, now);
        }
        let mut out = Vec::new();
        references.answer(7, now, &mut out);
        assert_eq!(out.len(), 12 + 2 * 12);
        assert_eq!((out[15], out[27]), (1, 3));
    }

    #[test]
    fn other_and_broken_blocks_are_passed_over() {
        let mut with_other = ASKS.to_vec();
        with_other.splice(8..8, [6, 0, 0, 1, 0, 0, 0, 0]); // A statistics summary, cut short.
        with_other[3] += 2;
        assert_eq!(asked(&with_other), asked(&ASKS));
        for (index, value) in [(11, 1), (11, 9), (10, 1)] {
            let mut broken = ASKS;
            broken[index] = value;
            let mut count = 0;
            let _ = feedback::read(&broken, |_| count += 1);
            assert_eq!(count, 0, "byte {index} is {value}");
        }
    }
}
