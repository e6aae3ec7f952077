//! The recovery of one viewer's losses: what the path loses now, as reports and requests tell it, and the mix that
//! follows from it ([`decide`]).
//!
//! The mix gets stronger with the next report, and weaker slowly, because a path that lost packets loses them again. Loss is
//! smoothed over [`FADE`], but for a report of far more loss than before, which counts half, and the first, which may count whole. The hold stays for [`KEPT`] after a shorter
//! one would do, because each change bends the receiver's time, and so do protection and redundancy. One lost packet changes nothing: it
//! counts an eighth.
//!
//! [`Sender`](super::Sender) carries the repeats and the hold out. A viewer without loss has no `Recovery`.

mod left;
mod mix;

use std::time::{Duration, Instant};

use mix::BUDGET_MAX;
pub use mix::{Allowed, Mix, Path, RTT_UNKNOWN, decide};

use super::fec::Protection;
use super::feedback::ReceptionBlock;
use super::red::Redundancy;

/// The time constant of the loss: from 10 % it falls to 1 % in 9 s.
const FADE: Duration = Duration::from_secs(4);
/// More loss than before by this factor and this share is a change, and less is chance: a second of 270 packets
/// that loses 10 % loses 8 % to 12 %, and by bursts 4 % to 16 %.
const RISE: (f32, f32) = (2.0, 0.02);
/// The variance of one report counts as this at most: one that differs by five standard deviations.
const DISPERSION_MAX: f32 = 25.0;
/// The time for which the hold, protection and redundancy stay more than they would have to be.
const KEPT: Duration = Duration::from_secs(10);
/// The first report of a viewer that has been sent packets for less than this is about all of them.
const YOUNG: Duration = Duration::from_secs(10);
/// This many lost packets in a report count as half of what is known.
const LOST_FULL: f32 = 4.0;
/// The streams of a viewer that are followed: its renditions of video, or its audio.
const STREAMS_MAX: usize = 4;
/// Reports that follow each other sooner say too little. Chromium reports once a second, and again with each request for lost
/// packets where RTCP is compound: just after a loss, and so of more than there is.
const INTERVAL: Duration = Duration::from_millis(500);
/// A report about more packets than this is wrong, or comes after a long pause.
const PACKETS_MAX: u32 = 100_000;

/// What one viewer's track knows when a report comes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known {
    /// The smoothed round trip.
    pub round_trip: Option<Duration>,
    /// The mean deviation of the round trip.
    pub variation: Duration,
    /// Whether the receiver knows the round trip.
    pub knows_round_trip: bool,
    /// The packets that were asked for, each counted once.
    pub asked: u64,
    /// Those of them that were asked for again after a repeat.
    pub asked_again: u64,
    /// When the stream began, and its first sequence number.
    pub began: Option<(Instant, u16)>,
}

/// The recovery of one viewer's losses.
#[derive(Debug, Default)]
pub struct Recovery {
    streams: Vec<Stream>,
    loss: f32,
    /// The variance of the lost packets of a report, over that of independent losses.
    dispersion: f32,
    asked_again: f32,
    packets_per_second: f32,
    least: Option<Duration>,
    queued: Duration,
    reported: Option<Instant>,
    mix: Mix,
    hold: Kept<Duration>,
    protection: Kept<Protection>,
    redundancy: Kept<Redundancy>,
}

/// What the last report on a stream said.
#[derive(Clone, Copy, Debug)]
struct Stream {
    ssrc: u32,
    highest: u32,
    lost: i32,
    at: Instant,
    asked: u64,
    asked_again: u64,
}

/// A value that grows at once, and shrinks when less has sufficed for [`KEPT`].
#[derive(Clone, Copy, Debug, Default)]
struct Kept<T> {
    value: T,
    /// When less began to suffice, and the most that was needed since.
    less: Option<(Instant, T)>,
}

impl<T: Copy + Ord> Kept<T> {
    fn follow(&mut self, wanted: T, now: Instant) -> T {
        if wanted >= self.value {
            *self = Self { value: wanted, less: None };
            return wanted;
        }
        let (since, most) = self.less.get_or_insert((now, wanted));
        *most = wanted.max(*most);
        if now.saturating_duration_since(*since) >= KEPT {
            *self = Self { value: *most, less: None };
        }
        self.value
    }
}

impl Recovery {
    /// Takes in a report on one of the viewer's streams. Returns the mix from now on. `None` if the report says nothing
    /// new, because it is the first or follows another too soon.
    pub fn handle_report(
        &mut self,
        block: &ReceptionBlock,
        known: &Known,
        allowed: &Allowed,
        now: Instant,
    ) -> Option<&Mix> {
        let (lost, expected) = self.lost_since(block, known, now)?;
        let loss = lost / expected;
        let before = self.reported.replace(now);
        let elapsed = before.map_or(FADE, |before| now.saturating_duration_since(before));
        let weight = match loss > self.loss * RISE.0 + RISE.1 {
            true if before.is_none() => (lost / (4.0 * LOST_FULL)).clamp(0.125, 1.0),
            true => (lost / (2.0 * LOST_FULL)).clamp(0.125, 0.5),
            false => {
                self.follow_dispersion(lost, expected);
                elapsed.as_secs_f32() / (elapsed + FADE).as_secs_f32()
            }
        };
        self.loss += (loss - self.loss) * weight;
        // The shortest round trip is forgotten slowly, for a viewer whose network changes.
        let round_trip = known.round_trip.unwrap_or(RTT_UNKNOWN);
        let least = self.least.map_or(round_trip, |least| round_trip.min(least + least / 64));
        (self.least, self.queued) = (Some(least), round_trip.saturating_sub(least));
        let path = Path {
            loss: self.loss,
            burst: f32::midpoint(self.dispersion, 1.0).max(1.0),
            asked_again: self.asked_again,
            round_trip: known.round_trip,
            variation: known.variation.min(round_trip / 2),
            queued: self.queued,
            knows_round_trip: known.knows_round_trip,
            packets_per_second: self.packets_per_second,
        };
        let mix = decide(&path, allowed);
        if path.is_full() {
            self.protection = Kept::default(); // What is kept for the next loss would make the queue longer.
        }
        // A viewer that may have none of it any more, because it came over to TCP, loses it at once.
        let protection = self.protection.follow(mix.protection, now);
        let redundancy = self.redundancy.follow(mix.redundancy, now);
        self.mix = Mix {
            hold: self.hold.follow(mix.hold, now).min(if allowed.repairs { allowed.hold } else { Duration::ZERO }),
            protection: if allowed.protection { protection } else { Protection::None },
            redundancy: if allowed.redundancy { redundancy } else { Redundancy::NONE },
            budget: (mix.budget + (protection.share() - mix.protection.share()).max(0.0)).min(BUDGET_MAX),
            ..mix
        };
        Some(&self.mix)
    }

    /// Returns the mix.
    pub fn mix(&self) -> &Mix {
        &self.mix
    }

    /// Returns how much longer the last round trip was than the shortest one.
    pub fn queued(&self) -> Duration {
        self.queued
    }

    /// Returns the smoothed loss, from 0 to 1.
    pub fn loss(&self) -> f32 {
        self.loss
    }

    /// Returns the number of packets that were lost since the report before, and of all since then. A report may be lost itself, so
    /// the counts since the beginning are compared.
    fn lost_since(&mut self, block: &ReceptionBlock, known: &Known, now: Instant) -> Option<(f32, f32)> {
        let new = Stream {
            ssrc: block.ssrc,
            highest: block.highest_sequence,
            lost: block.cumulative_lost,
            at: now,
            asked: known.asked,
            asked_again: known.asked_again,
        };
        let Some(stream) = self.streams.iter_mut().find(|stream| stream.ssrc == block.ssrc) else {
            if self.streams.len() == STREAMS_MAX {
                self.streams.remove(0);
            }
            self.streams.push(new);
            let (began, first) = known.began.filter(|(began, _)| now.saturating_duration_since(*began) < YOUNG)?;
            let stream = self.streams.last_mut()?;
            (stream.highest, stream.lost, stream.at) = (u32::from(first).wrapping_sub(1), 0, began);
            (stream.asked, stream.asked_again) = (0, 0);
            return self.lost_since(block, known, now);
        };
        let elapsed = now.saturating_duration_since(stream.at);
        if elapsed < INTERVAL {
            return None;
        }
        let before = std::mem::replace(stream, new);
        let expected = block.highest_sequence.wrapping_sub(before.highest);
        if expected == 0 || expected > PACKETS_MAX {
            return None;
        }
        let lost = block.cumulative_lost.wrapping_sub(before.lost).clamp(0, expected as i32) as f32;
        let rate = expected as f32 / elapsed.as_secs_f32();
        let is_first = self.packets_per_second == 0.0;
        self.packets_per_second += (rate - self.packets_per_second) * if is_first { 1.0 } else { 0.25 };
        let asked = new.asked.wrapping_sub(before.asked) as f32;
        if asked >= LOST_FULL {
            let again = new.asked_again.wrapping_sub(before.asked_again) as f32 / asked;
            self.asked_again += (again.min(1.0) - self.asked_again) * 0.25;
        }
        Some((lost, expected as f32))
    }

    /// Follows how much more the losses of reports vary than independent ones would. In runs of n packets on average, with
    /// lengths as of Gilbert's model, they vary 2 n - 1 times as much. Requests do not tell the runs, because a receiver asks for
    /// packets that were overtaken, too.
    fn follow_dispersion(&mut self, lost: f32, expected: f32) {
        let independent = (self.loss * (1.0 - self.loss) * expected).max(1.0);
        let dispersion = ((lost - self.loss * expected).powi(2) / independent).min(DISPERSION_MAX);
        self.dispersion += (dispersion - self.dispersion) * 0.1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWED: Allowed =
        Allowed { repairs: true, protection: false, redundancy: false, hold: Duration::from_millis(600) };

    /// Reports once a second of 270 packets, of which as many are lost as `percent` says for each second.
    fn holds(percent: impl IntoIterator<Item = u32>) -> Vec<(f32, u128)> {
        let (mut recovery, mut now) = (Recovery::default(), Instant::now());
        let (mut highest, mut lost) = (0, 0);
        let known = Known { round_trip: Some(Duration::from_millis(50)), knows_round_trip: true, ..Known::default() };
        let second = |percent: u32| {
            now += Duration::from_secs(1);
            let lost_now = 270 * percent / 100;
            highest += 270;
            lost += lost_now as i32;
            let block = ReceptionBlock {
                ssrc: 7,
                fraction_lost: (lost_now * 256 / 270) as u8,
                cumulative_lost: lost,
                highest_sequence: highest,
                jitter: 0,
                last_sender_report: 0,
                delay: 0,
            };
            recovery.handle_report(&block, &known, &ALLOWED, now);
            (recovery.loss(), recovery.mix().hold.as_millis())
        };
        percent.into_iter().map(second).collect()
    }

    #[test]
    fn the_hold_grows_within_two_reports_and_shrinks_after_ten_seconds() {
        let holds = holds([0, 0, 10, 10, 10].into_iter().chain([0; 60]));
        assert_eq!(holds[1].1, 0);
        assert!(holds[2].1 >= 100 && holds[3].1 >= 140, "{holds:?}");
        assert!(holds[5..14].iter().all(|(_, hold)| *hold >= 140), "{holds:?}");
        assert_eq!(holds[64].1, 0, "{holds:?}");
        let shrinks = holds.windows(2).filter(|pair| pair[1].1 < pair[0].1).count();
        assert!((1..=4).contains(&shrinks), "{holds:?}");
    }

    #[test]
    fn a_queue_ends_repair_packets_at_once_although_they_are_kept_for_the_next_loss() {
        let (mut recovery, mut now) = (Recovery::default(), Instant::now());
        let all = Allowed { protection: true, redundancy: true, ..ALLOWED };
        let mut report = |number: u32, rtt: u64| {
            now += Duration::from_secs(1);
            let block = ReceptionBlock {
                ssrc: 7,
                fraction_lost: 25,
                cumulative_lost: 27 * number as i32,
                highest_sequence: 270 * number,
                jitter: 0,
                last_sender_report: 0,
                delay: 0,
            };
            let known = Known { round_trip: Some(Duration::from_millis(rtt)), ..Known::default() };
            recovery.handle_report(&block, &known, &all, now);
            (recovery.mix().protection, recovery.queued())
        };
        let before: Vec<_> = (1..6).map(|number| report(number, 50)).collect();
        assert!(before[4].0 >= Protection::Medium && before[4].1.is_zero(), "{before:?}");
        let (protection, queued) = report(6, 300);
        assert_eq!(protection, Protection::None);
        assert!(queued >= Duration::from_millis(240), "{queued:?}");
    }

    #[test]
    fn the_first_report_of_a_new_viewer_is_about_all_that_it_was_sent() {
        let began = Instant::now();
        let known = Known { began: Some((began, 65_400)), ..Known::default() };
        let block = ReceptionBlock {
            ssrc: 7,
            fraction_lost: 0,
            cumulative_lost: 81,
            highest_sequence: 65_400 + 269,
            jitter: 0,
            last_sender_report: 0,
            delay: 0,
        };
        let report = |known: &Known, at: Duration, allowed: &Allowed| {
            let mut recovery = Recovery::default();
            recovery.handle_report(&block, known, allowed, began + at).copied()
        };
        let all = Allowed { protection: true, redundancy: true, ..ALLOWED };
        let mix = report(&known, Duration::from_millis(600), &all).unwrap();
        assert_eq!((mix.protection, mix.redundancy.depth()), (Protection::Strong, 3), "30 % are lost");
        assert_eq!(report(&known, Duration::from_millis(400), &all), None, "it is too soon");
        assert_eq!(
            report(&known, Duration::from_secs(60), &all),
            None,
            "an old viewer that loses packets for the first time"
        );
        assert_eq!(report(&Known::default(), Duration::from_secs(1), &all), None, "nothing was sent");
        let mix = report(&known, Duration::from_secs(1), &ALLOWED).unwrap();
        assert_eq!((mix.protection, mix.redundancy), (Protection::None, Redundancy::NONE));
    }

    #[test]
    fn a_viewer_that_comes_over_to_tcp_loses_protection_and_redundancy_at_once() {
        let (mut recovery, began) = (Recovery::default(), Instant::now());
        let all = Allowed { protection: true, redundancy: true, ..ALLOWED };
        let none = Allowed { repairs: false, protection: false, redundancy: false, ..ALLOWED };
        let mut report = |second: u32, lost: u32, allowed: &Allowed| {
            let block = ReceptionBlock {
                ssrc: 7,
                fraction_lost: 0,
                cumulative_lost: lost as i32,
                highest_sequence: second * 270,
                jitter: 0,
                last_sender_report: 0,
                delay: 0,
            };
            let now = began + Duration::from_secs(second.into());
            recovery.handle_report(&block, &Known::default(), allowed, now).copied()
        };
        report(0, 0, &all);
        let guarded = report(1, 27, &all).unwrap();
        assert!(guarded.protection > Protection::None && guarded.redundancy > Redundancy::NONE);
        let kept = report(2, 27, &all).unwrap();
        assert!(kept.protection == guarded.protection && kept.redundancy == guarded.redundancy, "for a while");
        let gone = report(3, 54, &none).unwrap();
        assert_eq!(
            (gone.protection, gone.redundancy, gone.copies, gone.hold),
            (Protection::None, Redundancy::NONE, 1, Duration::ZERO)
        );
    }

    #[test]
    fn one_packet_in_a_report_now_and_then_holds_nothing_back() {
        let (mut recovery, mut now) = (Recovery::default(), Instant::now());
        let known = Known { round_trip: Some(Duration::from_millis(50)), knows_round_trip: true, ..Known::default() };
        for second in 1..200 {
            now += Duration::from_secs(1);
            let block = ReceptionBlock {
                ssrc: 7,
                fraction_lost: u8::from(second % 10 == 0),
                cumulative_lost: second / 10,
                highest_sequence: second as u32 * 270,
                jitter: 0,
                last_sender_report: 0,
                delay: 0,
            };
            recovery.handle_report(&block, &known, &ALLOWED, now);
            let mix = recovery.mix();
            assert_eq!((mix.hold, mix.copies), (Duration::ZERO, 1), "second {second}");
        }
    }

    #[test]
    fn a_lost_report_and_one_that_counts_back_change_little() {
        let (mut recovery, now) = (Recovery::default(), Instant::now());
        let known = Known::default();
        let mut report = |at: u64, highest_sequence: u32, cumulative_lost: i32, fraction_lost: u8| {
            let block = ReceptionBlock {
                ssrc: 7,
                fraction_lost,
                cumulative_lost,
                highest_sequence,
                jitter: 0,
                last_sender_report: 0,
                delay: 0,
            };
            recovery.handle_report(&block, &known, &ALLOWED, now + Duration::from_secs(at));
            recovery.loss()
        };
        report(0, 0, 0, 0);
        report(1, 270, 27, 26);
        let loss = report(3, 810, 81, 0); // The report of the second that lost 20 % is lost, and this one lost none.
        assert!((0.04..0.11).contains(&loss), "{loss}");
        let loss = report(4, 100, i32::MIN, 255);
        assert!(loss < 0.3, "{loss}");
        assert!(report(5, 370, i32::MAX, 0).is_finite());
    }

    #[test]
    fn reports_with_each_request_count_no_more_than_one_a_second() {
        let (mut recovery, began) = (Recovery::default(), Instant::now());
        let (mut random, mut lost) = (crate::rtp::tests::fixture::Random(3), 0);
        for packet in 0..270 * 60 {
            let is_lost = random.chance(10);
            lost += i32::from(is_lost);
            // The next packet shows the loss, and the request for the lost one has a report with it.
            if is_lost || packet % 270 == 0 {
                let (cumulative_lost, highest_sequence) = (lost, packet);
                let block = ReceptionBlock {
                    ssrc: 7,
                    fraction_lost: 128,
                    cumulative_lost,
                    highest_sequence,
                    jitter: 0,
                    last_sender_report: 0,
                    delay: 0,
                };
                let now = began + Duration::from_millis(u64::from(packet) * 1000 / 270);
                recovery.handle_report(&block, &Known::default(), &ALLOWED, now);
            }
        }
        assert!((0.08..0.14).contains(&recovery.loss()), "{}", recovery.loss());
    }

    #[test]
    fn bursts_show_in_the_variance_of_reports() {
        for (burst, expected) in [(1_u64, 0.8..1.7_f32), (5, 3.0..8.0)] {
            let (mut recovery, began) = (Recovery::default(), Instant::now());
            let (mut random, mut lost, mut is_bad) = (crate::rtp::tests::fixture::Random(5), 0, false);
            let mut sum = 0.0;
            for second in 0..120_u32 {
                for _ in 0..270 {
                    // Gilbert's model at 10 %.
                    is_bad = if is_bad { random.below(burst * 9 + 1) >= 9 } else { random.below(burst * 9) == 0 };
                    lost += i32::from(is_bad);
                }
                let block = ReceptionBlock {
                    ssrc: 7,
                    fraction_lost: 1,
                    cumulative_lost: lost,
                    highest_sequence: second * 270,
                    jitter: 0,
                    last_sender_report: 0,
                    delay: 0,
                };
                let now = began + Duration::from_secs(second.into());
                recovery.handle_report(&block, &Known::default(), &ALLOWED, now);
                sum += if second >= 60 { f32::midpoint(recovery.dispersion, 1.0) } else { 0.0 };
            }
            assert!(expected.contains(&(sum / 60.0)), "{burst}: {}", sum / 60.0);
        }
    }
}
