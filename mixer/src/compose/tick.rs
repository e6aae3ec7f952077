//! Decides when a frame is composed, and what time it shows. It is pure: `now` is an argument.
//!
//! The lead's frame waits for no other input: a frame is composed as soon as it is decoded. If it is late, a frame is
//! composed without it one and a half periods after the last one, and from then on every period until it comes. The
//! frame rate is limited on the timeline and not in real time. Otherwise frames that the network bunched would stay
//! late for ever.

use std::time::{Duration, Instant};

use onmic_media::WallTime;

/// How much before its turn a frame of the lead is accepted, in shortest periods. Capture times and networks have this
/// much jitter.
const EARLY: f64 = 0.3;
/// The number of periods after a frame with the lead at which a frame without the lead is composed.
const PATIENCE: f64 = 1.5;
/// The longest mean period of a lead that sets the frame rate, in shortest periods. A slower lead does not slow the
/// program down.
const SLOWEST_LEAD: f64 = 2.2;
/// The least step between composed frames on the timeline, in shortest periods. While the lead is behind the timeline,
/// the timeline advances by this step, so that the lead catches up.
const LEAST_STEP: f64 = 0.25;
/// A lead that is further behind than this is on another timeline.
const LOST: Duration = Duration::from_secs(2);
/// How long the first composed frame waits for the lead's first frame.
const START: Duration = Duration::from_millis(500);
/// The mean period is taken over about this many frames of the lead.
const MEAN_PICTURES: f64 = 16.0;

/// Describes a frame that has to be composed now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The time that it shows, on the lead's clock.
    pub wall: WallTime,
    /// Whether the lead has a new frame for it.
    pub led: bool,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    at: Instant,
    moment: Moment,
    /// When the next frame has its turn, on the timeline.
    due: WallTime,
}

/// Times composed frames.
#[derive(Clone, Debug)]
pub struct Tick {
    period: Duration,
    started: Instant,
    /// The time of the lead's last frame, and the mean microseconds between its frames.
    lead: Option<(WallTime, Option<f64>)>,
    last: Option<Last>,
}

impl Tick {
    /// Composes at most `frame_rate_max` frames per second, and exactly as many without a lead.
    pub fn new(frame_rate_max: f64, now: Instant) -> Self {
        let mut tick = Self { period: Duration::ZERO, started: now, lead: None, last: None };
        tick.set_frame_rate_max(frame_rate_max);
        tick
    }

    /// Sets the maximum frame rate from the next frame on.
    pub fn set_frame_rate_max(&mut self, frame_rate_max: f64) {
        self.period = Duration::from_secs_f64(1.0 / frame_rate_max.clamp(1.0, 240.0));
    }

    /// Notes that another input leads. The measurements of the previous lead are discarded.
    pub fn set_lead(&mut self) {
        self.lead = None;
    }

    /// Notes that the lead has a frame of time `wall`. Frames are noted in the order of their times.
    pub fn lead_decoded(&mut self, wall: WallTime) {
        let most = 10.0 * self.period.as_secs_f64() * 1e6;
        let mean = self.lead.map(|(last, mean)| {
            let step = (wall.micros_since(last) as f64).clamp(0.0, most);
            mean.map_or(step, |mean| mean + (step - mean) / MEAN_PICTURES)
        });
        self.lead = Some((wall, mean));
    }

    /// Returns the time that the last composed frame shows. An older frame of the lead was too late.
    pub fn shown(&self) -> Option<WallTime> {
        self.last.map(|last| last.moment.wall)
    }

    /// Returns the period of composed frames: the lead's mean period, if the lead sets it.
    fn rhythm(&self) -> Duration {
        let shortest = self.period.as_secs_f64();
        match self.lead {
            Some((_, Some(mean))) if mean / 1e6 <= SLOWEST_LEAD * shortest => {
                Duration::from_secs_f64((mean / 1e6).max(shortest))
            }
            _ => self.period,
        }
    }

    /// Returns when to poll again even if no frame of the lead is decoded. `lead` is as for [`Tick::poll`]. `has_lead`
    /// states whether a frame of a lead may come.
    pub fn deadline(&self, lead: Option<WallTime>, has_lead: bool) -> Instant {
        let Some(last) = self.last else {
            return if has_lead && lead.is_none() { self.started + START } else { self.started };
        };
        match lead {
            Some(wall) if self.has_its_turn(&last, wall) => last.at,
            // The lead's frame is early and is held back until the next turn.
            Some(_) => last.at + self.period,
            None if last.moment.led => last.at + self.rhythm().mul_f64(PATIENCE),
            None => last.at + self.rhythm(),
        }
    }

    fn has_its_turn(&self, last: &Last, wall: WallTime) -> bool {
        last.due.micros_since(wall) as f64 <= EARLY * self.period.as_secs_f64() * 1e6
    }

    /// Returns the frame to compose, if one is due. `lead` is the time of the lead's next frame that was not shown yet,
    /// if it has one. `clock` is the node's wall clock, which the first frame shows if the lead has no frame.
    pub fn poll(&mut self, now: Instant, lead: Option<WallTime>, has_lead: bool, clock: WallTime) -> Option<Moment> {
        if now < self.deadline(lead, has_lead) {
            return None;
        }
        let micros = |duration: Duration| i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        let period = micros(self.period);
        let moment = match (self.last, lead) {
            (None, Some(wall)) => Moment { wall, led: true },
            (None, None) => Moment { wall: clock, led: false },
            (Some(last), lead) => {
                let elapsed = last.moment.wall.offset_micros(micros(now.saturating_duration_since(last.at)));
                let least = last.moment.wall.offset_micros((period as f64 * LEAST_STEP) as i64);
                match lead {
                    Some(wall) if last.moment.wall.micros_since(wall) > micros(LOST) => {
                        Moment { wall: elapsed.max(least), led: true }
                    }
                    Some(wall) => Moment { wall: wall.max(least), led: true },
                    None => Moment { wall: elapsed.max(least), led: false },
                }
            }
        };
        let turn = self.last.map_or(moment.wall, |last| last.due).offset_micros(period);
        let due = turn.max(moment.wall.offset_micros(period / 2)).min(moment.wall.offset_micros(2 * period));
        self.last = Some(Last { at: now, moment, due });
        Some(moment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALL: WallTime = WallTime(1_795_000_000_000_000);

    /// Steps virtual time. Takes frames of the lead as (arrives, shows) in milliseconds, and returns composed frames as
    /// (made, shows, led).
    fn run(frame_rate_max: f64, pictures: &[(u64, i64)], until: u64) -> Vec<(u64, i64, bool)> {
        let start = Instant::now();
        let at = |millis: u64| start + Duration::from_millis(millis);
        let mut tick = Tick::new(frame_rate_max, start);
        let (mut waiting, mut frames) = (Vec::<WallTime>::new(), Vec::new());
        for millis in 0..until {
            for (_, shows) in pictures.iter().filter(|(arrives, _)| *arrives == millis) {
                let wall = WALL.offset_micros(shows * 1000);
                tick.lead_decoded(wall);
                waiting.push(wall);
            }
            loop {
                let shown = tick.shown();
                let next = waiting.iter().copied().find(|wall| shown.is_none_or(|shown| *wall > shown));
                let next = next.or(waiting.last().copied());
                let Some(moment) = tick.poll(at(millis), next, true, WALL.offset_micros(millis as i64 * 1000)) else {
                    break;
                };
                waiting.retain(|wall| next.is_none_or(|next| *wall > next));
                frames.push((millis, moment.wall.micros_since(WALL) / 1000, moment.led));
            }
        }
        frames
    }

    fn steady(period: u64, count: u64) -> Vec<(u64, i64)> {
        (0..count).map(|number| (number * period, (number * period) as i64)).collect()
    }

    #[test]
    fn every_frame_of_the_lead_is_composed_at_once() {
        for period in [34, 40, 50, 66] {
            let pictures = steady(period, 30);
            let mut frames = run(30.0, &pictures, 30 * period);
            frames.retain(|(made, ..)| *made >= 2 * period); // The period has to be measured first.
            let wanted = pictures[2..].iter().map(|(arrives, shows)| (*arrives, *shows, true));
            assert_eq!(frames, wanted.collect::<Vec<_>>(), "every {period} ms");
        }
    }

    #[test]
    fn a_late_frame_of_the_lead_is_not_waited_for_and_the_next_one_is_on_time() {
        let mut pictures = steady(40, 20);
        pictures[10].0 = 435;
        let frames = run(30.0, &pictures, 20 * 40);
        let around: Vec<_> = frames.iter().copied().filter(|(made, ..)| (320..520).contains(made)).collect();
        // The late frame shows a time that has passed, so it is skipped for the one that follows it.
        assert_eq!(around, [(320, 320, true), (360, 360, true), (420, 420, false), (440, 440, true), (480, 480, true)]);
    }

    #[test]
    fn a_silent_lead_is_replaced_by_a_steady_clock() {
        let frames = run(25.0, &steady(40, 10), 2000);
        let after: Vec<_> = frames.iter().skip(10).map(|frame| frame.0).collect();
        let wanted: Vec<u64> = (0..).map(|number| 420 + 40 * number).take_while(|made| *made < 2000).collect();
        assert_eq!(after, wanted);
        assert!(frames[10..].iter().all(|(made, shows, led)| *made as i64 == *shows && !led));
    }

    #[test]
    fn there_are_never_more_frames_than_the_maximum_rate() {
        for period in [4, 8, 16, 20, 22, 25, 28] {
            let frames = run(30.0, &steady(period, 10_000 / period), 10_000);
            assert!((240..=306).contains(&frames.len()), "{period} ms: {}", frames.len());
            let longest = frames.windows(2).map(|pair| pair[1].0 - pair[0].0).max();
            assert!(longest <= Some(50), "{period} ms: {longest:?}");
        }
    }

    #[test]
    fn a_slow_lead_does_not_slow_the_program() {
        let frames = run(30.0, &steady(200, 50), 10_000);
        assert!((270..=302).contains(&frames.len()), "{}", frames.len());
        assert!(frames.windows(2).all(|pair| pair[1].1 > pair[0].1));
    }

    #[test]
    fn when_the_leads_latency_rises_the_program_follows_without_a_pause() {
        let mut pictures = steady(40, 100);
        pictures[40..].iter_mut().for_each(|(arrives, _)| *arrives += 150);
        let frames = run(30.0, &pictures, 4000);
        assert!(frames.windows(2).all(|pair| pair[1].0 - pair[0].0 <= 60 && pair[1].1 > pair[0].1), "{frames:?}");
        let later = frames.iter().filter(|(made, ..)| *made > 2500);
        assert!(later.clone().all(|(made, shows, led)| *made as i64 - shows == 150 && *led), "{frames:?}");
        assert!(later.count() >= 35);
    }

    #[test]
    fn jitter_of_the_lead_delays_no_frame() {
        let mut seed = 7_u64;
        let mut pictures = steady(40, 250);
        for (arrives, _) in &mut pictures {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *arrives += (seed >> 33) % 18;
        }
        let frames = run(30.0, &pictures, 10_100);
        let at_once = frames.iter().filter(|(made, shows, led)| *led && pictures.contains(&(*made, *shows))).count();
        assert!(at_once >= 248, "{at_once}");
    }

    #[test]
    fn without_a_lead_the_first_frame_comes_at_once_and_with_one_it_waits_500_ms() {
        let start = Instant::now();
        let mut tick = Tick::new(30.0, start);
        assert_eq!(tick.poll(start, None, false, WALL), Some(Moment { wall: WALL, led: false }));
        let mut tick = Tick::new(30.0, start);
        assert_eq!(tick.poll(start + Duration::from_millis(499), None, true, WALL), None);
        assert!(tick.poll(start + Duration::from_millis(500), None, true, WALL).is_some());
    }
}
