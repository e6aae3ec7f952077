//! The pace of an audio track: packets that were made in a burst leave at the intervals of their timestamps.
//!
//! The audio of an RTMP publisher comes in bursts. Its muxer sends AAC frames together with video frames, up to 33 ms
//! later than their turn, and one AAC frame becomes two or three packets of Opus at once. A receiver cannot play a
//! packet before the latest packet of a burst could have come, so it delays all of them to that time. It learns the
//! time from arrivals. Chromium does so in steps of 20 ms and within bounds that grow with the bursts, so how late it
//! plays, and with it how far audio and video are out of step, differs by 40 ms from one session to the next.
//!
//! Therefore each packet leaves as long after its moment as the latest packets of recent bursts, less [`SHARE`]: no packet
//! is played later for it, and receivers find nearly even intervals and keep a shorter buffer. A packet that is late itself
//! leaves at once. What is held is bounded in time ([`HELD_FOR_MAX`]) and in number ([`HELD_MAX`]).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use onmic_media::Frame;

use super::lateness::Lateness;

/// The longest time for which a packet is held: as long as video waits for audio at most.
const HELD_FOR_MAX: Duration = super::outgoing::HOLD_MAX;
/// Packets leave this much before the latest of a burst would have to. A receiver's shortest buffer (20 ms in Chromium)
/// takes that up, and whatever the network adds to it.
const SHARE: Duration = Duration::from_millis(10);
/// A packet that would be held for less leaves at once. A microphone's packets need no timer.
const HELD_FOR_LEAST: Duration = Duration::from_millis(4);
/// The most packets that are held: 20 packets of 5 ms are 100 ms, and some more.
const HELD_MAX: usize = 24;
/// After this long, all packets that waited for a derived track to begin have been read: the newest AAC frame is at most as
/// old as the interval of video frames that it came with.
const OLD: Duration = Duration::from_millis(40);
/// The pace becomes earlier only by more than this, because the latest packets of a few bursts differ by as much.
const TOLERANCE_MICROS: i64 = 8_000;

/// The packets of one audio track that wait to leave.
#[derive(Debug, Default)]
pub struct Pace {
    began: Option<Instant>,
    lateness: Lateness,
    /// How long after its moment the latest packet of a burst leaves, in microseconds.
    level: Option<i64>,
    held: VecDeque<(Instant, Arc<Frame>)>,
}

impl Pace {
    /// Takes in a frame that is read at `now`, `late` microseconds after its moment.
    pub fn push(&mut self, frame: Arc<Frame>, late: i64, now: Instant) {
        let began = *self.began.get_or_insert(now);
        let mut hold = Duration::ZERO;
        if now.saturating_duration_since(began) >= OLD {
            self.lateness.note(late, now);
            let level = self.next_level(late);
            self.level = Some(level);
            let early = Duration::from_micros(u64::try_from(level - late).unwrap_or(0));
            hold = early.saturating_sub(SHARE).min(HELD_FOR_MAX);
        }
        let due = if hold < HELD_FOR_LEAST { now } else { now + hold };
        self.held.push_back((self.held.back().map_or(due, |(before, _)| due.max(*before)), frame));
    }

    /// Returns the next frame that is due, and since when it is.
    pub fn poll(&mut self, now: Instant) -> Option<(Instant, Arc<Frame>)> {
        let due = self.held.front().is_some_and(|(due, _)| *due <= now) || self.held.len() > HELD_MAX;
        if due { self.held.pop_front() } else { None }
    }

    /// Returns the next frame, though it may not be due. The track has ended.
    pub fn flush(&mut self) -> Option<Arc<Frame>> {
        self.held.pop_front().map(|(_, frame)| frame)
    }

    /// Returns when the next frame is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.held.front().map(|(due, _)| *due)
    }

    /// Returns how long after its moment the latest packet of a burst leaves, in microseconds. `None` before it is known.
    pub fn micros(&self) -> Option<i64> {
        self.lateness.micros().and(self.level)
    }

    /// Returns the level after a packet that is this late. Until the lateness of the track is known, the latest packet
    /// so far counts, so that even the first second of a track is paced.
    fn next_level(&self, late: i64) -> i64 {
        match (self.lateness.micros(), self.level) {
            (None, level) => level.map_or(late, |level| level.max(late)),
            (Some(known), Some(level)) if (0..=TOLERANCE_MICROS).contains(&(level - known)) => level,
            (Some(known), _) => known,
        }
    }
}

#[cfg(test)]
mod tests {
    use onmic_media::Codec;

    use super::*;
    use crate::rtp::tests::fixture;

    const MILLI: Duration = Duration::from_millis(1);

    /// One packet: its moment, when it is read, and when it leaves, in milliseconds from the beginning.
    #[derive(Clone, Copy, Debug)]
    struct Passed {
        moment: u64,
        read: u64,
        left: u64,
    }

    /// Lets packets pass that have these moments and are read at these times, both in milliseconds.
    fn pass(packets: impl IntoIterator<Item = (u64, u64)>) -> Vec<Passed> {
        let began = Instant::now();
        let mut frames = fixture::repeated(Codec::Opus, began, 1).into_iter();
        let frame = Arc::new(frames.next().unwrap());
        let (mut pace, mut waiting, mut passed) = (Pace::default(), VecDeque::new(), Vec::new());
        let mut leave = |pace: &mut Pace, waiting: &mut VecDeque<(u64, u64)>, at: Instant| {
            while pace.poll(at).is_some() {
                let (moment, read) = waiting.pop_front().unwrap();
                passed.push(Passed { moment, read, left: (at - began).as_millis() as u64 });
            }
        };
        for (moment, read) in packets {
            let now = began + MILLI * read as u32;
            while let Some(due) = pace.poll_timeout().filter(|due| *due < now) {
                leave(&mut pace, &mut waiting, due);
            }
            waiting.push_back((moment, read));
            pace.push(frame.clone(), (read as i64 - moment as i64) * 1000, now);
            leave(&mut pace, &mut waiting, now);
        }
        while let Some(due) = pace.poll_timeout() {
            leave(&mut pace, &mut waiting, due);
        }
        assert!(waiting.is_empty());
        passed
    }

    /// Returns packets of 10 ms that are made of AAC frames (21.3 ms), which leave the publisher with the first video frame
    /// (33.3 ms) after their end.
    fn bursts(count: u64) -> Vec<(u64, u64)> {
        let complete = |moment: u64| ((moment + 9) * 3 / 64 + 1) * 64 / 3;
        (0..count).map(|number| (number * 10, (complete(number * 10) * 3 / 100 + 1) * 100 / 3)).collect()
    }

    #[test]
    fn packets_that_come_in_bursts_leave_at_nearly_even_intervals_and_none_later_than_the_latest_of_a_burst() {
        let packets = bursts(500);
        let latest = packets.iter().map(|(moment, read)| read - moment).max().unwrap();
        let earliest = packets.iter().map(|(moment, read)| read - moment).min().unwrap();
        assert!(latest - earliest > 40, "{earliest} to {latest} ms after their moments");
        let passed = pass(packets);
        for packet in &passed {
            assert!(packet.left <= packet.moment + latest, "{packet:?}, {latest} ms");
        }
        let step = passed[100..].windows(2).map(|pair| pair[1].left - pair[0].left).max().unwrap();
        assert!(step <= 28, "{step} ms, and 33 ms as they came");
        let settled: Vec<_> = passed[100..].iter().map(|packet| packet.left - packet.moment).collect();
        let (least, most) = (settled.iter().min().unwrap(), settled.iter().max().unwrap());
        assert!(most - least <= 18, "{least} to {most} ms after their moments");
    }

    #[test]
    fn a_microphone_needs_no_timer() {
        let jitter = [0, 2, 1, 3, 0, 1];
        let passed = pass((0..200).map(|number| (number * 20, number * 20 + 25 + jitter[number as usize % 6])));
        assert!(passed.iter().all(|packet| packet.left == packet.read), "{passed:?}");
    }

    #[test]
    fn a_hiccup_passes_at_once_and_makes_later_packets_no_later() {
        let mut packets = bursts(500);
        packets[300..320].iter_mut().for_each(|(_, read)| *read = (*read).max(3_300));
        let passed = pass(packets);
        assert!(passed[300..312].iter().all(|packet| packet.left == 3_300), "{:?}", &passed[300..312]);
        let latest = |passed: &[Passed]| passed.iter().map(|packet| packet.left - packet.moment).max().unwrap();
        assert!(latest(&passed[330..]) <= latest(&passed[200..300]) + 8);
    }

    #[test]
    fn what_is_held_is_bounded_in_time_and_in_number() {
        // After a second of packets that come 5 s late, all others come on time, and as many as can be at once.
        let late = (0..100).map(|number| (number * 10, number * 10 + 5_000));
        let passed = pass(late.chain((600..700).map(|number| (number * 10, 6_000))));
        for packet in &passed {
            assert!(packet.left - packet.read <= HELD_FOR_MAX.as_millis() as u64, "{packet:?}");
        }
        assert!(passed[100..].iter().filter(|packet| packet.left > packet.read).count() <= HELD_MAX);
    }

    #[test]
    fn packets_that_waited_for_the_track_to_begin_leave_at_once_and_say_nothing_of_the_pace() {
        let old = (0..8).map(|number| (number * 10, 300));
        let passed = pass(old.chain((0..99).map(|number| (310 + number * 10, 353 + number / 3 * 30))));
        assert!(passed[..8].iter().all(|packet| packet.left == 300), "{:?}", &passed[..8]);
        let after: Vec<_> = passed[8..].iter().map(|packet| packet.left - packet.moment).collect();
        assert_eq!(after, [43, 33, 33].repeat(33));
    }
}
