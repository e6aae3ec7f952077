//! One clock per source: it places a publisher's timestamps on the program's timeline and on the node's clock.
//!
//! A publisher states times on clocks of its own. Here they are bounded, once for all protocols, and nothing behind
//! this file asks again whether they are true. Every frame is given its place on the program's timeline
//! ([`ProgramClock`]), which is continuous over a publisher's reconnect and over steps of its clock, and the moment on
//! the node's clock at which it was captured, as well as arrivals tell.
//!
//! Each track has a line: the time that is added to its timestamps. Tracks of one publisher normally share it, so
//! that frames captured together stay together to the tick. A track leaves the line when its timestamps cannot be
//! true:
//!
//! - they go back, or ahead of the time that has passed: the publisher's clock stepped;
//! - they fall behind while another track is on time: the track's own clock stood still;
//! - all stay seconds behind, and do not catch up as they do after a stalled network: all clocks stood still.
//!
//! It then takes over the line of another track that fits, and gets one of its own only when no other fits. A network
//! that delays or bunches frames moves nothing: the least delayed arrivals of the last 10 to 20 s state the wall
//! clock, and follow the drift between the publisher's crystal and ours.

use crate::key::{Keyed, MediaKind, TrackKey};
use crate::order::{Order, REORDERED_MICROS, Stated, Times};
use crate::program_clock::ProgramClock;
use crate::time::{ClockRate, Ticks, WallTime};

/// Timestamps that go back by more than this are a step of the clock. A smaller step back comes from reordering or
/// jitter.
const BACK_MICROS: i64 = REORDERED_MICROS;

/// Timestamps that advance by more than this, and whose frames arrive earlier than any before by more, are a step of
/// the clock. A smaller difference comes from a first frame that was held up, or from network jitter.
const AHEAD_MICROS: i64 = 500_000;

/// Tracks of one encoder arrive this far apart at most: hardware encoders delay video by up to half a second, and
/// muxers interleave more finely than that. Tracks further apart are on different clocks.
const APART_MICROS: i64 = 700_000;

/// A track that is apart for this long has a clock of its own. An encoder that paused has caught up by then.
const APART_FOR_MICROS: i64 = 1_000_000;

/// If all tracks are further behind than this, and stay there, their clocks stood still. Networks that stall for less
/// are common, and catch up.
const STOOD_MICROS: i64 = 5_000_000;

/// Two windows of this length tell whether a publisher catches up: it has to gain [`GAIN_MICROS`] from one to the next.
const STOOD_WINDOW_MICROS: i64 = 2_000_000;
const GAIN_MICROS: i64 = 200_000;

/// Another track tells how late the network is now if it sent a frame within this time: five frames at 25 per second.
const FRESH_MICROS: i64 = 200_000;

/// A track that stepped takes the line of another one if that makes it late by at most this, or early. Uplinks that
/// send in bursts have a jitter of a quarter of a second.
const NEAR_MICROS: i64 = 250_000;

/// A longer time between two frames is a pause and not the track's pace.
const PAUSE_MICROS: i64 = 500_000;

/// The least lateness is taken over one to two windows of this length.
const WINDOW_MICROS: i64 = 10_000_000;

/// How fast the estimate may rise: 500 ppm, several times what crystals differ by, and too slow to see.
const RISE_PPM: i64 = 500;

/// Timestamps beyond 35 years are held there, so that sums of them cannot overflow.
const SOURCE_MICROS_MAX: i64 = 1 << 50;

/// States the place of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Decoding time on the program's timeline. It rises with every frame of a track.
    pub dts: Ticks,
    /// Presentation time on the program's timeline.
    pub pts: Ticks,
    /// The moment of the node's clock at `pts`.
    pub wall: WallTime,
    /// The publisher's times that were corrected.
    pub corrected: Corrected,
}

/// States which of the publisher's times of a frame were corrected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Corrected {
    /// Whether its time from decoding to presentation was corrected.
    pub composition: bool,
    /// Whether its decoding time was not after that of the frame before.
    pub order: bool,
    /// Whether its clock stepped, stood still or differs from that of the other tracks, so that it was placed by its
    /// arrival.
    pub step: bool,
}

impl Corrected {
    /// Returns the reasons, as `onmic_timestamps_corrected_total` names them.
    pub fn reasons(self) -> impl Iterator<Item = &'static str> {
        let reasons =
            [(self.composition, "composition_time"), (self.order, "decoding_order"), (self.step, "clock_step")];
        reasons.into_iter().filter(|(corrected, _)| *corrected).map(|(_, reason)| reason)
    }
}

/// Is the clock of one publisher's tracks.
#[derive(Clone, Debug)]
pub struct SourceClock {
    program: ProgramClock,
    /// The first frame is placed no earlier than this, in µs.
    floor: i64,
    tracks: Keyed<Track>,
    lateness: Lateness,
}

#[derive(Clone, Copy, Debug, Default)]
struct Track {
    line: Option<Line>,
    order: Order,
}

/// Holds the times of one track's last frame, in µs.
#[derive(Clone, Copy, Debug)]
struct Line {
    /// The time that is added to a timestamp for its position.
    shift: i64,
    /// The timestamp of the last frame.
    source: i64,
    arrival: WallTime,
    /// The delay of the last frame's arrival against its position.
    late: i64,
    /// The track's pace: the last step between two frames that was not a pause.
    pace: i64,
    /// The moment since which it is later than another track that is on time.
    apart: Option<WallTime>,
    behind: Option<Behind>,
}

/// Measures whether a line that is seconds behind catches up.
#[derive(Clone, Copy, Debug)]
struct Behind {
    since: WallTime,
    least: i64,
    before: Option<i64>,
}

impl SourceClock {
    /// Makes the clock of a new source of a program.
    pub fn new(program: ProgramClock) -> Self {
        Self::after(program, i64::MIN)
    }

    /// Makes the clock of a publisher that continues a source with frames up to `floor_micros`.
    pub fn after(program: ProgramClock, floor_micros: i64) -> Self {
        Self { program, floor: floor_micros, tracks: Keyed::new(), lateness: Lateness::default() }
    }

    /// Places the next frame of a track, which arrived at `arrival`.
    pub fn place(&mut self, stated: Stated, arrival: WallTime) -> Placed {
        let Stated { key, rate, .. } = stated;
        let mut track = self.tracks.get(key).copied().unwrap_or_default();
        let (believed, composition) = track.order.believe(stated);
        let source = believed.dts.micros(rate).clamp(-SOURCE_MICROS_MAX, SOURCE_MICROS_MAX);
        let (line, step) = self.follow(key, source, arrival);
        track.line = Some(line);
        // Applications stamp messages, so their times do not count.
        let lateness = match key.kind {
            MediaKind::Data => self.lateness.in_force(),
            _ => self.lateness.observe(line.late, arrival),
        };
        // The timestamp survives the way through microseconds. Only the shift is rounded, and it stays.
        let shift = Ticks(line.shift).rescale(ClockRate::MICROS, rate);
        let dts = Ticks(source).rescale(ClockRate::MICROS, rate) + shift;
        let (Times { dts, pts }, order) = track.order.advance(Times { dts, pts: dts + (believed.pts - believed.dts) });
        self.tracks.insert(key, track);
        let wall = self.program.wall(pts.micros(rate).saturating_add(lateness));
        Placed { dts, pts, wall, corrected: Corrected { composition, order, step } }
    }

    fn line(&self, key: TrackKey) -> Option<Line> {
        self.tracks.get(key)?.line
    }

    /// Returns the other tracks that have a clock of media.
    fn others(&self, key: TrackKey) -> impl Iterator<Item = &Line> {
        let media = self.tracks.iter().filter(move |(other, _)| *other != key && other.kind != MediaKind::Data);
        media.filter_map(|(_, track)| track.line.as_ref())
    }

    /// Returns the line of the track with this frame, and whether its clock stepped.
    fn follow(&self, key: TrackKey, source: i64, arrival: WallTime) -> (Line, bool) {
        let here = self.program.position(arrival);
        let expected = self.witness(key, arrival).map_or(self.lateness.in_force(), |witness| witness.late);
        let Some(before) = self.line(key) else {
            let (shift, step) = self.first(key, source, here, expected);
            let late = here - source - shift;
            return (Line { shift, source, arrival, late, pace: 0, apart: None, behind: None }, step);
        };
        let mut line = Line { source, arrival, late: here - source - before.shift, ..before };
        let advance = source - before.source;
        if (1..=PAUSE_MICROS).contains(&advance) {
            line.pace = advance;
        }
        let (own, expected) = if self.jumps(&before, &line) {
            // The track goes on at its own pace, because a single arrival may be off by network jitter.
            let passed = arrival.micros_since(before.arrival);
            let passed = if passed > PAUSE_MICROS { passed } else { before.pace };
            let by_pace = before.source + before.shift + passed - source;
            let by_arrival = here - source - expected;
            (if (by_pace - by_arrival).abs() <= NEAR_MICROS { by_pace } else { by_arrival }, expected)
        } else if self.stands_alone(key, &before, &mut line) {
            (here - source - expected, expected)
        } else if self.stands(&mut line) {
            // The others are as late as this one.
            let usual = self.lateness.in_force();
            (here - source - usual, usual)
        } else {
            return (line, false);
        };
        let shift = self.shared(key, source, here, expected, NEAR_MICROS).unwrap_or(own);
        line.shift = shift.max(before.source + before.shift + 1 - source);
        (line.late, line.apart, line.behind) = (here - source - line.shift, None, None);
        (line, true)
    }

    /// Returns the shift of a track that begins, and whether its clock differs from that of the tracks before.
    fn first(&self, key: TrackKey, source: i64, here: i64, expected: i64) -> (i64, bool) {
        if self.others(key).next().is_none() {
            return (here.max(self.floor) - source, false);
        }
        let shared = self.shared(key, source, here, expected, APART_MICROS);
        shared.map_or((here - source - expected, true), |shift| (shift, false))
    }

    /// Returns the shift of another track, if this frame is as late as expected with that shift.
    fn shared(&self, key: TrackKey, source: i64, here: i64, expected: i64, tolerance: i64) -> Option<i64> {
        let own = self.line(key).map(|line| line.shift);
        let shifts = self.others(key).map(|line| line.shift);
        let off = |shift: &i64| (here - source - shift - expected).abs();
        shifts.filter(|shift| Some(*shift) != own && off(shift) <= tolerance).min_by_key(off)
    }

    /// Returns another track that sent a frame just now, and thus tells how late the network is.
    fn witness(&self, key: TrackKey, arrival: WallTime) -> Option<&Line> {
        let fresh = self.others(key).filter(|line| arrival.micros_since(line.arrival).abs() <= FRESH_MICROS);
        fresh.max_by_key(|line| line.arrival)
    }

    fn jumps(&self, before: &Line, line: &Line) -> bool {
        let advance = line.source - before.source;
        advance < -BACK_MICROS || (advance > AHEAD_MICROS && line.late < self.lateness.in_force() - AHEAD_MICROS)
    }

    /// Returns whether the track is behind another one that is on time. After a pause that its clock did not count,
    /// this is true at once, and otherwise if it stays behind.
    fn stands_alone(&self, key: TrackKey, before: &Line, line: &mut Line) -> bool {
        let on_time = |witness: &&Line| witness.late < self.lateness.in_force() + APART_MICROS;
        let witness = self.witness(key, line.arrival).filter(on_time);
        if witness.is_none_or(|witness| line.late - witness.late <= APART_MICROS) {
            line.apart = None;
            return false;
        }
        let since = *line.apart.get_or_insert(line.arrival);
        let stood = line.arrival.micros_since(before.arrival) - (line.source - before.source);
        stood > APART_MICROS || line.arrival.micros_since(since) >= APART_FOR_MICROS
    }

    /// Returns whether the track stays seconds behind its usual lateness.
    fn stands(&self, line: &mut Line) -> bool {
        if line.late - self.lateness.in_force() <= STOOD_MICROS {
            line.behind = None;
            return false;
        }
        let behind = line.behind.get_or_insert(Behind { since: line.arrival, least: line.late, before: None });
        behind.least = behind.least.min(line.late);
        if line.arrival.micros_since(behind.since) < STOOD_WINDOW_MICROS {
            return false;
        }
        let stands = behind.before.is_some_and(|before| behind.least > before - GAIN_MICROS);
        *behind = Behind { since: line.arrival, least: line.late, before: Some(behind.least) };
        stands
    }
}

/// Estimates how much later than its position the source arrives when the network does not delay it.
#[derive(Clone, Debug, Default)]
struct Lateness(Option<Estimate>);

#[derive(Clone, Debug)]
struct Estimate {
    /// The least lateness in the window before this one, and in this one.
    previous_least: i64,
    least: i64,
    window_start: WallTime,
    /// The estimate, which falls at once and rises slowly.
    in_force: i64,
    updated: WallTime,
}

impl Lateness {
    fn in_force(&self) -> i64 {
        self.0.as_ref().map_or(0, |estimate| estimate.in_force)
    }

    /// Takes in a frame's lateness and returns the lateness in force.
    fn observe(&mut self, late: i64, arrival: WallTime) -> i64 {
        let estimate = self.0.get_or_insert(Estimate {
            previous_least: i64::MAX,
            least: i64::MAX,
            window_start: arrival,
            in_force: late,
            updated: arrival,
        });
        if arrival.micros_since(estimate.window_start) > WINDOW_MICROS {
            estimate.previous_least = std::mem::replace(&mut estimate.least, i64::MAX);
            estimate.window_start = arrival;
        }
        estimate.least = estimate.least.min(late);
        let target = estimate.least.min(estimate.previous_least);
        let rise = arrival.micros_since(estimate.updated).max(0) * RISE_PPM / 1_000_000;
        if target < estimate.in_force {
            estimate.in_force = target;
            estimate.updated = arrival;
        } else if rise > 0 {
            estimate.in_force = target.min(estimate.in_force + rise);
            estimate.updated = arrival;
        }
        estimate.in_force
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: WallTime = WallTime(1_795_000_000_000_000);
    const VIDEO: (MediaKind, i64) = (MediaKind::Video, 33_333);
    const AUDIO: (MediaKind, i64) = (MediaKind::Audio, 21_333);

    fn program() -> ProgramClock {
        ProgramClock::starting(ORIGIN)
    }

    /// Holds when a frame was captured and sent, in µs of the true clock, and where it was placed.
    #[derive(Clone, Copy, Debug)]
    struct Sent {
        kind: MediaKind,
        captured: i64,
        arrived: i64,
        stated: i64,
        placed: Placed,
    }

    impl Sent {
        fn position(&self) -> i64 {
            self.placed.dts.micros(ClockRate::MICROS)
        }

        /// Returns the difference of its position from that of its capture on the program's clock.
        fn off(&self) -> i64 {
            self.position() - program().position(ORIGIN.offset_micros(self.captured))
        }

        /// Returns the difference of its wall time from that of its capture.
        fn wall_off(&self) -> i64 {
            self.placed.wall.micros_since(ORIGIN) - self.captured
        }
    }

    /// Models a publisher on an ordered connection, by functions of the true time in µs.
    struct Publisher {
        tracks: Vec<(MediaKind, i64)>,
        /// The time that a track's clock shows; `None` while it sends nothing.
        states: fn(MediaKind, i64) -> Option<i64>,
        /// How long a frame is on its way, without the delay by the frames before it.
        delay: Box<dyn FnMut(i64) -> i64>,
    }

    impl Publisher {
        fn new(states: fn(MediaKind, i64) -> Option<i64>) -> Self {
            Self { tracks: vec![VIDEO, AUDIO], states, delay: Box::new(|_| 20_000) }
        }

        fn jitter(self, seed: u64, most: i64) -> Self {
            let mut random = seed;
            let delay = move |_| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                10_000 + i64::try_from(random >> 33).unwrap() % most
            };
            Self { delay: Box::new(delay), ..self }
        }

        fn run(mut self, clock: &mut SourceClock, seconds: i64) -> Vec<Sent> {
            let mut due: Vec<_> = self
                .tracks
                .iter()
                .flat_map(|(kind, pace)| (0..seconds * 1_000_000 / pace).map(move |number| (number * pace, *kind)))
                .collect();
            due.sort_by_key(|(at, kind)| (*at, *kind as usize));
            let (mut sent, mut arrived) = (Vec::new(), i64::MIN);
            for (captured, kind) in due {
                let Some(stated) = (self.states)(kind, captured) else { continue };
                arrived = arrived.max(captured + (self.delay)(captured));
                let (dts, rate) = (Ticks(stated), ClockRate::MICROS);
                let stated = Stated { key: kind.into(), dts, pts: dts, rate, may_reorder: false };
                let placed = clock.place(stated, ORIGIN.offset_micros(arrived));
                sent.push(Sent { kind, captured, arrived, stated: dts.0, placed });
            }
            for kind in [MediaKind::Video, MediaKind::Audio] {
                let mut track = sent.iter().filter(|sent| sent.kind == kind);
                assert!(track.clone().zip(track.clone().skip(1)).all(|(a, b)| a.placed.dts < b.placed.dts));
                assert!(track.all(|sent| sent.placed.pts >= sent.placed.dts));
            }
            sent
        }
    }

    fn steps(sent: &[Sent]) -> usize {
        sent.iter().filter(|sent| sent.placed.corrected.step).count()
    }

    /// Returns the least and the largest difference of a track's frames from their capture, from `from` seconds on.
    fn range(sent: &[Sent], kind: MediaKind, from: i64, until: i64) -> (i64, i64) {
        let seconds = from * 1_000_000..until * 1_000_000;
        let off = sent.iter().filter(|sent| sent.kind == kind && seconds.contains(&sent.captured)).map(Sent::off);
        (off.clone().min().unwrap(), off.max().unwrap())
    }

    #[test]
    fn the_first_frame_lies_on_the_programs_clock() {
        let mut clock = SourceClock::new(program());
        let sent = Publisher::new(|_, at| Some(77_000_000 + at)).run(&mut clock, 1);
        assert_eq!(sent[0].position(), program().position(ORIGIN.offset_micros(20_000)));
        assert_eq!(sent[0].placed.wall, ORIGIN.offset_micros(20_000));
    }

    #[test]
    fn jitter_and_drift_cause_no_correction_and_steps_between_frames_are_kept() {
        let clocks: [fn(MediaKind, i64) -> Option<i64>; 3] =
            [|_, at| Some(at), |_, at| Some(5_000_000 + at + at / 10_000), |_, at| Some(at - at / 10_000)];
        for (seed, states) in (1..13).zip(clocks.into_iter().cycle()) {
            let sent = Publisher::new(states).jitter(seed, 120_000).run(&mut SourceClock::new(program()), 600);
            assert!(sent.iter().all(|sent| sent.placed.corrected == Corrected::default()), "seed {seed}");
            let shift = sent[0].position() - sent[0].stated;
            assert!(sent.iter().all(|sent| sent.position() - sent.stated == shift), "seed {seed}");
            // Once enough frames have come, the least delayed of them is less than 30 ms above the least delay of the
            // network.
            let late = sent.iter().skip(1_500).map(|sent| sent.wall_off());
            assert!(late.clone().all(|late| (5_000..40_000).contains(&late)), "seed {seed}: {:?}", late.max());
        }
    }

    #[test]
    fn a_late_first_frame_is_corrected_by_those_that_follow() {
        let mut clock = SourceClock::new(program());
        let publisher = Publisher {
            delay: Box::new(|at| if at == 0 { 300_000 } else { 20_000 }),
            ..Publisher::new(|_, at| Some(at))
        };
        let sent = publisher.run(&mut clock, 2);
        assert_eq!(steps(&sent), 0);
        assert_eq!(sent.last().unwrap().wall_off(), 20_000);
    }

    #[test]
    fn clocks_that_step_together_keep_audio_and_video_together() {
        let steps_by: [fn(MediaKind, i64) -> Option<i64>; 6] = [
            |_, at| Some(if at < 8_000_000 { at } else { at - 300_000 }),
            |_, at| Some(if at < 8_000_000 { at } else { at - 2_000_000 }),
            |_, at| Some(if at < 8_000_000 { at } else { at - 4_900_000 }),
            |_, at| Some(if at < 8_000_000 { at } else { at - 8_000_000 }),
            |_, at| Some(if at < 8_000_000 { at } else { at + 900_000 }),
            |_, at| Some(if at < 8_000_000 { at } else { at + 4_294_967_295_000 }),
        ];
        for (number, states) in steps_by.into_iter().enumerate() {
            for seed in 1..20 {
                let sent = Publisher::new(states).jitter(seed, 100_000).run(&mut SourceClock::new(program()), 20);
                assert_eq!(steps(&sent), 2, "clock {number}, seed {seed}: once for each track");
                for kind in [MediaKind::Video, MediaKind::Audio] {
                    let (before, after) = (range(&sent, kind, 4, 8), range(&sent, kind, 9, 20));
                    assert_eq!((before.0, after.0), (before.1, after.1), "one line each");
                    assert!((after.0 - before.0).abs() <= 50_000, "clock {number}, seed {seed}: {before:?} {after:?}");
                }
                assert_eq!(range(&sent, MediaKind::Video, 9, 20), range(&sent, MediaKind::Audio, 9, 20));
            }
        }
    }

    #[test]
    fn tracks_on_different_clocks_are_placed_where_they_arrive() {
        for seed in 1..20 {
            let states = |kind, at| Some(if kind == MediaKind::Video { at + 1_814_400_000_000 } else { at });
            let bursts = |at: i64| 300_000 - at % 300_000;
            let publisher = Publisher { delay: Box::new(bursts), ..Publisher::new(states) };
            let sent = publisher.run(&mut SourceClock::new(program()), 30);
            assert_eq!(steps(&sent), 1, "bursts");
            let [video, audio] = [MediaKind::Video, MediaKind::Audio].map(|kind| range(&sent, kind, 0, 30).0);
            assert!((video - audio).abs() <= 50_000, "{video} {audio}");
            let sent = Publisher::new(states).jitter(seed, 100_000).run(&mut SourceClock::new(program()), 30);
            let [video, audio] = [MediaKind::Video, MediaKind::Audio].map(|kind| range(&sent, kind, 0, 30).0);
            assert!(steps(&sent) == 1 && (video - audio).abs() <= 120_000, "seed {seed}: {video} {audio}");
        }
    }

    #[test]
    fn a_track_that_begins_later_lies_beside_the_first_whether_its_clock_began_with_it_or_not() {
        type Late = fn(MediaKind, i64) -> Option<i64>;
        let late: [(i64, Late); 8] = [
            (1, |kind, at| (kind == MediaKind::Audio || at >= 1_000_000).then_some(at)),
            (3, |kind, at| (kind == MediaKind::Audio || at >= 3_000_000).then_some(at)),
            (6, |kind, at| (kind == MediaKind::Audio || at >= 6_000_000).then_some(at)),
            (6, |kind, at| (kind == MediaKind::Video || at >= 6_000_000).then_some(at)),
            (1, |kind, at| if kind == MediaKind::Audio { Some(at) } else { (at >= 1_000_000).then(|| at - 1_000_000) }),
            (3, |kind, at| if kind == MediaKind::Audio { Some(at) } else { (at >= 3_000_000).then(|| at - 3_000_000) }),
            (6, |kind, at| if kind == MediaKind::Audio { Some(at) } else { (at >= 6_000_000).then(|| at - 6_000_000) }),
            (6, |kind, at| if kind == MediaKind::Video { Some(at) } else { (at >= 6_000_000).then(|| at - 6_000_000) }),
        ];
        for (number, (from, states)) in late.into_iter().enumerate() {
            for seed in 1..20 {
                let sent = Publisher::new(states).jitter(seed, 100_000).run(&mut SourceClock::new(program()), 12);
                let [video, audio] = [MediaKind::Video, MediaKind::Audio].map(|kind| range(&sent, kind, from, 12).0);
                assert!((video - audio).abs() <= 110_000, "{number}, seed {seed}: {video} {audio}");
                assert!(number >= 4 || video == audio, "on one clock they stay together to the tick");
            }
        }
    }

    #[test]
    fn a_track_whose_clock_stood_still_goes_on_beside_the_other() {
        // The microphone is off from 9 to 13 s.
        let states = |kind, at| match at {
            9_000_000..13_000_000 if kind == MediaKind::Audio => None,
            13_000_000.. if kind == MediaKind::Audio => Some(at - 4_000_000),
            _ => Some(at),
        };
        for seed in 1..20 {
            let sent = Publisher::new(states).jitter(seed, 100_000).run(&mut SourceClock::new(program()), 30);
            assert_eq!(steps(&sent), 1, "seed {seed}");
            assert_eq!(range(&sent, MediaKind::Video, 0, 9), range(&sent, MediaKind::Video, 13, 30));
            let off = range(&sent, MediaKind::Audio, 14, 30).0 - range(&sent, MediaKind::Audio, 0, 9).0;
            assert!(off.abs() <= 100_000, "seed {seed}: {off}");
        }
    }

    #[test]
    fn short_pauses_of_one_tracks_clock_do_not_add_up() {
        // The microphone loses 100 ms in every second.
        let states = |kind, at: i64| Some(if kind == MediaKind::Audio { at - at / 1_000_000 * 100_000 } else { at });
        let sent = Publisher::new(states).jitter(3, 50_000).run(&mut SourceClock::new(program()), 60);
        let (least, most) = range(&sent, MediaKind::Audio, 0, 60);
        assert!(least - range(&sent, MediaKind::Video, 0, 60).0 > -1_200_000 && most < 200_000, "{least} {most}");
    }

    #[test]
    fn a_network_that_stalls_shifts_no_frame() {
        for stall in [1_000_000, 4_000_000, 8_000_000, 20_000_000] {
            let delay = move |at: i64| if at < 8_000_000 { 20_000 } else { (8_000_000 + stall - at).max(20_000) };
            let publisher = Publisher { delay: Box::new(delay), ..Publisher::new(|_, at| Some(at)) };
            let sent = publisher.run(&mut SourceClock::new(program()), 40);
            assert_eq!(steps(&sent), 0, "{stall}");
            let shift = sent[0].position() - sent[0].stated;
            assert!(sent.iter().all(|sent| sent.position() - sent.stated == shift), "{stall}");
            assert!(sent.iter().all(|sent| sent.placed.wall <= ORIGIN.offset_micros(sent.arrived)), "no time is ahead");
        }
    }

    #[test]
    fn an_uplink_that_catches_up_slowly_keeps_its_line() {
        // The uplink is 12 s behind, and returns to the present at one and a half times its speed.
        let delay = |at: i64| if at < 8_000_000 { 20_000 } else { (12_000_000 - (at - 8_000_000) / 3).max(20_000) };
        let publisher = Publisher { delay: Box::new(delay), ..Publisher::new(|_, at| Some(at)) };
        assert_eq!(steps(&publisher.run(&mut SourceClock::new(program()), 60)), 0);
    }

    #[test]
    fn clocks_that_all_stood_still_go_on_where_the_wall_clock_is() {
        // The encoder is paused from 8 to 28 s.
        let states = |_, at| match at {
            8_000_000..28_000_000 => None,
            28_000_000.. => Some(at - 20_000_000),
            _ => Some(at),
        };
        let sent = Publisher::new(states).run(&mut SourceClock::new(program()), 60);
        assert_eq!(steps(&sent), 2);
        let [video, audio] = [MediaKind::Video, MediaKind::Audio].map(|kind| range(&sent, kind, 33, 60));
        assert!(video == audio && video.0 == video.1 && (video.0 - 20_000).abs() <= 50_000, "{video:?} {audio:?}");
    }

    #[test]
    fn messages_are_placed_where_they_arrive_and_do_not_affect_other_tracks() {
        let states: [fn(MediaKind, i64) -> Option<i64>; 3] = [
            |kind, at| Some(if kind == MediaKind::Data { 0 } else { at }),
            |kind, at| Some(if kind == MediaKind::Data { at + 400_000 } else { at }),
            |kind, at| Some(if kind == MediaKind::Data { at - 90_000_000 } else { at }),
        ];
        for states in states {
            let mut publisher = Publisher::new(states).jitter(5, 50_000);
            publisher.tracks.insert(0, (MediaKind::Data, 1_500_000));
            let sent = publisher.run(&mut SourceClock::new(program()), 30);
            for sent in &sent {
                let late = sent.arrived - sent.captured - sent.off();
                assert!(sent.kind != MediaKind::Data || (-450_000..750_000).contains(&late), "{sent:?}");
                assert!(sent.kind == MediaKind::Data || sent.placed.corrected == Corrected::default(), "{sent:?}");
            }
            assert_eq!(range(&sent, MediaKind::Video, 0, 30), range(&sent, MediaKind::Audio, 0, 30));
        }
    }

    #[test]
    fn a_reconnect_goes_on_where_the_wall_clock_is_and_never_before_the_last_frame() {
        let mut clock = SourceClock::after(program(), 7);
        assert_eq!(Publisher::new(|_, at| Some(at)).run(&mut clock, 1)[0].off(), 20_000);
        // The publisher before had a fast crystal: its last frame lies 1.5 s ahead.
        let floor = program().position(ORIGIN.offset_micros(1_500_000));
        let mut clock = SourceClock::after(program(), floor);
        let sent = Publisher::new(|_, at| Some(at)).run(&mut clock, 5);
        assert_eq!(sent[0].position(), floor);
        assert!(sent.iter().all(|sent| sent.wall_off() == 20_000 && sent.placed.corrected == Corrected::default()));
    }

    #[test]
    fn decoding_times_rise_whatever_a_publisher_states() {
        let mut random = 1_u64;
        let mut next = |most: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % most
        };
        let mut clock = SourceClock::new(program());
        let (mut last, mut arrival) = ([None, None], ORIGIN);
        for _ in 0..100_000 {
            let extremes = [i64::MIN, i64::MAX, 0, -1, 1 << 40, -(1 << 40)];
            let mut time = || Ticks(extremes[next(6) as usize].saturating_add(next(1 << 30) as i64));
            let (dts, pts) = (time(), time());
            let (kind, rate) =
                [(MediaKind::Video, ClockRate::VIDEO), (MediaKind::Audio, ClockRate::OPUS)][next(2) as usize];
            arrival = arrival.offset_micros(next(20_000) as i64);
            let placed = clock.place(Stated { key: kind.into(), dts, pts, rate, may_reorder: next(2) == 0 }, arrival);
            assert!(last[kind as usize].replace(placed.dts).is_none_or(|last| placed.dts > last));
            let composition = (placed.pts - placed.dts).micros(rate);
            assert!((0..=4_000_000).contains(&composition), "{composition}");
            let ahead = placed.dts.micros(rate) - program().position(arrival);
            assert!(ahead < 1_000_000, "{ahead} µs ahead of now");
        }
    }
}
