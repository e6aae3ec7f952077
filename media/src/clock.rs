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
//! - they stand still while frames come;
//! - they fall behind while another track is on time: the track's own clock stood still, or is slow;
//! - they run ahead of another track that is on time: the track's own clock is fast, or the frames by which it was placed were held up;
//! - all stay behind, and do not catch up as they do after a stalled network: all clocks stood still.
//!
//! It then takes over the line of another track that fits, and gets one of its own only when no other fits. A track whose clock stands, is far
//! too fast or far too slow is placed by its arrivals, frame by frame, until its clock keeps time ([`loose`]). What is too
//! little to be seen in a single frame shows after some seconds, because tracks do not stay together
//! ([`together`]), unless the session aligns them by sender reports ([`Alignment`]). Frames whose times are equal, or go back a little, are placed at the pace of their track
//! ([`Order`]). The pace of a clock that is faster or slower than that of the other tracks is corrected ([`drift`]). So no more
//! than two frames have one time, and audio and video stay within 150 ms of each other.
//!
//! A network that delays or bunches frames moves nothing: the least delayed arrivals of the last 10 to 20 s state the
//! wall clock ([`lateness`]), and follow the drift between the publisher's crystal and ours.

mod drift;
mod lateness;
mod loose;
#[cfg(test)]
mod tests;
mod together;

use self::lateness::Lateness;
use self::loose::Loose;
use self::together::Together;
use crate::key::{Keyed, MediaKind, TrackKey};
use crate::order::{Order, PAUSE_MICROS, Stated, Times};
use crate::program_clock::ProgramClock;
use crate::time::{ClockRate, Ticks, WallTime};

/// Timestamps that advance by more than the pace and this, and whose frames arrive earlier than before by more, are a
/// step of the clock. A smaller difference comes from network jitter, or is worked off by [`together`].
const AHEAD_MICROS: i64 = 150_000;

/// The same while the track is too new to tell how early its frames arrive: its first frame may have been held up.
const AHEAD_AT_FIRST_MICROS: i64 = 500_000;

/// Tracks of one encoder arrive this far apart at most: hardware encoders delay video by up to half a second, and
/// muxers interleave more finely than that. Tracks further apart are on different clocks.
const APART_MICROS: i64 = 700_000;

/// A track that is apart for this long has a clock of its own. An encoder that paused has caught up by then.
const APART_FOR_MICROS: i64 = 1_000_000;

/// A track is on time if it is later than the least delayed of its frames by no more than this.
const ON_TIME_MICROS: i64 = 100_000;

/// A track that has sent fewer frames does not tell that another one is ahead: it may send no more.
const WITNESS_FRAMES: u32 = 5;

/// A track goes back to a line that it has left if its frames are as late there as expected, but for this. It is less than what viewers
/// notice.
const FITS_MICROS: i64 = 100_000;

/// Frames of a clock that stands are no further apart than an eighth of this when they come at once, however slow their pace seems: 30
/// per second.
const HELD_MICROS: i64 = 33_333;

/// If all tracks are further behind than this after a pause, and stay there, their clocks stood still. Less does not put
/// a date more than 0.5 s off.
const STOOD_MICROS: i64 = 400_000;

/// The same for a publisher that has not paused: it may be slow from a moment on, and a step would be seen.
const STOOD_LONG_MICROS: i64 = 5_000_000;

/// A frame that comes later by this than its timestamp says is a pause, of the network or of the clock. It counts for the
/// time that [`STOOD_WINDOW_MICROS`] take.
const PAUSED_MICROS: i64 = 300_000;
const PAUSED_FOR_MICROS: i64 = 10_000_000;

/// Two windows of this length tell whether a publisher stays behind: from one to the next it must neither catch up nor
/// fall back by more than [`STAYS_MICROS`]. A network whose queue grows is not a clock that stood still.
const STOOD_WINDOW_MICROS: i64 = 2_000_000;
const STAYS_MICROS: i64 = 100_000;

/// Another track tells how late the network is now if it sent a frame within this time: five frames at 25 per second.
const FRESH_MICROS: i64 = 200_000;

/// A track that stepped takes the line of another one if that makes it late by at most this, or early. Uplinks that
/// send in bursts have a jitter of a quarter of a second.
const NEAR_MICROS: i64 = 250_000;

/// How long a track has to run without a step before it tells how late the network is.
const PROVEN_MICROS: i64 = 500_000;

/// Timestamps beyond 35 years are held there, so that sums of them cannot overflow.
const SOURCE_MICROS_MAX: i64 = 1 << 50;

/// States what tells how the tracks of a publisher lie beside each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Alignment {
    /// Only arrivals tell it, so tracks are compared by them.
    #[default]
    Unreported,
    /// Reports may still come. Tracks are watched, and left where they are.
    Awaited,
    /// The session follows a report that has not shown yet that it is true.
    Supposed,
    /// The session places tracks beside each other by reports.
    Reported,
}

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
    together: Together,
    lateness: Lateness,
}

#[derive(Clone, Copy, Debug, Default)]
struct Track {
    line: Option<Line>,
    order: Order,
    /// How late the track is by itself while the network does not hold it up.
    lateness: Lateness,
    /// The number of frames that have told it.
    told: u32,
}

/// Holds the times of one track's last frame, in µs.
#[derive(Clone, Copy, Debug)]
struct Line {
    /// The time that is added to a timestamp for its position.
    shift: i64,
    /// The timestamp of the last frame, and the position that it was given.
    source: i64,
    position: i64,
    arrival: WallTime,
    /// The delay of the last frame's arrival against its position.
    late: i64,
    /// The delay of the last frame that stated a later time than all before, and its arrival. It tells how late the
    /// network is. A frame that is decoded after a later one does not, nor one of a clock that stands or steps.
    told: i64,
    told_at: WallTime,
    /// The last moment at which a frame came much later than its timestamp says, by the frame before.
    paused: Option<WallTime>,
    /// The moment at which the track was placed anew.
    placed: Option<WallTime>,
    /// Whether no other track's line fitted.
    is_own: bool,
    /// The moment since which it is later than another track that is on time.
    apart: Option<WallTime>,
    behind: Option<Behind>,
    /// The shift of the line that it has left, because its clock seemed to have stepped or stood, and when it did.
    left: Option<(i64, WallTime)>,
    /// What is known of its clock while that cannot be followed.
    loose: Option<Loose>,
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
        Self {
            program,
            floor: floor_micros,
            tracks: Keyed::new(),
            together: Together::default(),
            lateness: Lateness::default(),
        }
    }

    /// Notes what tells how the tracks lie beside each other.
    pub fn align(&mut self, alignment: Alignment) {
        if !self.together.align(alignment) {
            return;
        }
        // What was corrected here is in the shifts, and the session moves tracks by as much with the next frames. Tracks that
        // are further apart are moved at once, and take over a line that fits.
        let media = self.tracks.iter().filter(|(key, _)| key.kind != MediaKind::Data);
        let shifts = media.filter_map(|(key, track)| Some((key, track.line?)));
        let shifts: Vec<_> =
            shifts.filter(|(_, line)| line.loose.is_none()).map(|(key, line)| (key, line.shift)).collect();
        let most = shifts.iter().map(|(_, shift)| *shift).max().unwrap_or(0);
        for (key, shift) in shifts.into_iter().filter(|(_, shift)| (1..=APART_MICROS).contains(&(most - shift))) {
            self.together.move_ahead(key, most - shift);
        }
    }

    /// Places the next frame of a track, which arrived at `arrival`.
    pub fn place(&mut self, stated: Stated, arrival: WallTime) -> Placed {
        let Stated { key, rate, .. } = stated;
        let mut track = self.tracks.get(key).copied().unwrap_or_default();
        let pace = track.order.pace_micros(key);
        let (believed, composition) = track.order.believe(stated);
        // A line is that of presentation where decoding times are not stated, so that it stays when more is learnt of
        // how frames are reordered.
        let reorder = track.order.reorder();
        let source = (believed.dts + reorder).micros(rate).clamp(-SOURCE_MICROS_MAX, SOURCE_MICROS_MAX);
        let behind = self.together.take_move(key);
        let seen = Seen {
            source,
            arrival,
            pace,
            back_max: track.order.back_max(stated.may_reorder),
            is_held: track.order.is_held(),
            is_latest: track.order.is_latest(),
            behind,
        };
        let due = self.program.position(arrival) - self.expected(key, arrival);
        let (mut line, verdict) = self.follow(key, seen);
        let step = verdict != Verdict::Followed;
        if step {
            line.placed = Some(arrival);
        }
        if verdict == Verdict::Untrue {
            track.lateness = Lateness::default();
            self.together.forget_what_is_new(key);
            line.told_at = WallTime(0);
            if let Some(least) = self.least_of_others(key) {
                self.lateness.restart(least, arrival);
            }
        }
        if seen.is_latest && line.is_proven(arrival) {
            (line.told, line.told_at) = (line.late, arrival);
            track.lateness.observe(line.late, arrival);
            track.told = track.told.saturating_add(1);
        }
        let lateness = self.observe(key, &line, step, arrival);
        // The timestamp survives the way through microseconds. Only the shift is rounded, and it stays.
        let shift = Ticks(line.shift).rescale(ClockRate::MICROS, rate);
        let dts = Ticks(source).rescale(ClockRate::MICROS, rate) + shift - reorder;
        let times = Times { dts, pts: dts + (believed.pts - believed.dts) };
        let due = Ticks(due).rescale(ClockRate::MICROS, rate) - reorder;
        let (Times { dts, pts }, order) = track.order.advance(times, stated, due);
        line.position = (dts + reorder).micros(rate);
        track.line = Some(line);
        self.tracks.insert(key, track);
        // What is placed ahead of its arrival, because times do not go back, has no date ahead of it.
        let latest = arrival.offset_micros((pts - dts).micros(rate));
        let wall = self.program.wall(pts.micros(rate).saturating_add(lateness)).min(latest);
        Placed { dts, pts, wall, corrected: Corrected { composition, order, step } }
    }

    /// Takes in how late a frame is. Returns the lateness in force.
    fn observe(&mut self, key: TrackKey, line: &Line, step: bool, arrival: WallTime) -> i64 {
        if key.kind == MediaKind::Data {
            return self.lateness.in_force(); // Applications stamp messages, so their times do not count.
        }
        if step {
            self.together.restart(key);
            return self.lateness.in_force();
        }
        // What a frame was given for its time tells nothing.
        if line.told_at != arrival {
            return self.lateness.in_force();
        }
        self.together.observe(key, line.late, line.is_own, arrival);
        self.lateness.observe(line.late, arrival)
    }

    fn line(&self, key: TrackKey) -> Option<Line> {
        self.tracks.get(key)?.line
    }

    /// Returns the other tracks that have a clock of media.
    fn others(&self, key: TrackKey) -> impl Iterator<Item = (TrackKey, &Line)> {
        let media = self.tracks.iter().filter(move |(other, _)| *other != key && other.kind != MediaKind::Data);
        media.filter_map(|(other, track)| Some((other, track.line.as_ref()?)))
    }

    /// Returns the line of the track with this frame, and what its clock is worth.
    fn follow(&self, key: TrackKey, seen: Seen) -> (Line, Verdict) {
        let Seen { source, arrival, pace, is_held, .. } = seen;
        let here = self.program.position(arrival);
        let expected = self.expected(key, arrival);
        let Some(before) = self.line(key) else {
            let (shift, is_own) = self.first(key, source, here, expected);
            let late = here - source - shift;
            let (told, told_at) = (late, arrival);
            let (placed, paused) = (None, None);
            let line = Line {
                placed,
                paused,
                shift,
                source,
                position: 0,
                arrival,
                late,
                told,
                told_at,
                is_own,
                apart: None,
                behind: None,
                left: None,
                loose: None,
            };
            return (line, if is_own { Verdict::Placed } else { Verdict::Followed });
        };
        let passed = (source - before.source).clamp(0, PAUSE_MICROS);
        let longer = self.together.lengthened(key, passed);
        let shift = before.shift + longer;
        let left = before.left.filter(|(_, since)| arrival.micros_since(*since) <= PAUSED_FOR_MICROS);
        let left = left.map(|(left, since)| (left + longer, since));
        let loose = before.loose.map(|loose| loose.lengthened(longer));
        let mut line = Line { source, arrival, shift, late: here - source - shift, left, loose, ..before };
        if arrival.micros_since(before.arrival) - (source - before.source) > PAUSED_MICROS {
            line.paused = Some(arrival);
        }
        if before.loose.is_some() || (is_held && line.is_left(seen)) {
            return self.follow_loose(key, line, seen, arrival.micros_since(before.arrival));
        }
        let by_arrival = here - source - expected;
        let (own, expected) = if self.jumps(key, &before, &line, seen) {
            // The track goes on at its own pace, because a single arrival may be off by network jitter.
            let passed = arrival.micros_since(before.arrival);
            let by_pace = before.position + if passed > PAUSE_MICROS { passed } else { pace } - source;
            (if (by_pace - by_arrival).abs() <= NEAR_MICROS { by_pace } else { by_arrival }, expected)
        } else if self.ahead(key, &line, seen) > APART_MICROS {
            return self.follow_loose(key, line, seen, arrival.micros_since(before.arrival));
        } else if let Some(left) = self.returns(key, &line, seen) {
            (line.shift, line.late, line.left) = (left, here - source - left, None);
            line.is_own = self.shifts(key).all(|other| other != left);
            return (line, Verdict::Untrue);
        } else if self.stands_alone(key, &before, &mut line) {
            let stood = arrival.micros_since(before.arrival) - (source - before.source);
            if stood <= APART_MICROS {
                return self.follow_loose(key, line, seen, arrival.micros_since(before.arrival));
            }
            (by_arrival, expected)
        } else if self.stands(key, &mut line) {
            // The others are as late as this one.
            let usual = self.usual(key);
            (here - source - usual, usual)
        } else if let Some(behind) = seen.behind {
            line.shift += behind;
            line.late -= behind;
            return (line, Verdict::Placed);
        } else {
            return (line, Verdict::Followed);
        };
        // A shared line may lead back by as much as is worked off. One of a clock that stands would lead back for ever.
        let due = before.position + pace - source;
        let back = if is_held { pace / 2 } else { NEAR_MICROS.min(seen.back_max - pace) };
        let shared = self.shared(key, source, here, expected, NEAR_MICROS).filter(|shift| due - shift < back);
        if before.is_proven(arrival) {
            line.left = Some((shift, arrival));
        }
        line.is_own = shared.is_none();
        line.shift = shared.unwrap_or(own.max(before.position + 1 - source));
        (line.late, line.apart, line.behind) = (here - source - line.shift, None, None);
        (line, Verdict::Placed)
    }

    /// Returns the line of a track whose clock cannot be followed with this frame, which came this time after the one before.
    fn follow_loose(&self, key: TrackKey, mut line: Line, seen: Seen, passed: i64) -> (Line, Verdict) {
        let Seen { source, arrival, is_held, is_latest, .. } = seen;
        let verdict = if is_held || line.loose.is_some() { Verdict::Placed } else { Verdict::Untrue };
        let mut loose =
            line.loose.unwrap_or_else(|| Loose::new(line.left.map_or(line.shift, |(left, _)| left), arrival));
        line.loose = Some(loose);
        if !is_held && !is_latest {
            return (line, Verdict::Followed); // It lies beside the frame that is decoded before it and shown later.
        }
        let late = self.program.position(arrival) - source;
        let usual = self.usual(key);
        let expected = match self.witness(key, arrival) {
            Some(_) => self.expected(key, arrival),
            None => self.recent_of_others(key, arrival).unwrap_or(usual),
        };
        // While the network is slow, nobody knows how slow it is.
        let kept = loose.take(late, is_held, arrival).filter(|_| expected - usual <= NEAR_MICROS);
        let settled = kept.map(|least| {
            let off = |shift: &i64| (least - shift - usual).abs();
            let known = self.shifts(key).chain([loose.left]).filter(|shift| off(shift) <= NEAR_MICROS);
            known.min_by_key(off).unwrap_or(least - usual)
        });
        if let Some(shift) = settled {
            line.is_own = self.shifts(key).all(|other| other != shift);
            (line.shift, line.apart, line.behind, line.left, line.loose) = (shift, None, None, None, None);
        } else {
            let pace = seen.pace.max(passed);
            line.shift = line.beside(late - expected, Seen { pace, ..seen });
            line.loose = Some(loose);
        }
        line.late = late - line.shift;
        (line, verdict)
    }

    /// Returns the shift of a track that begins, and whether its clock differs from that of the tracks before.
    fn first(&self, key: TrackKey, source: i64, here: i64, expected: i64) -> (i64, bool) {
        if self.others(key).next().is_none() {
            return (here.max(self.floor) - source, false);
        }
        let shared = self.shared(key, source, here, expected, APART_MICROS);
        shared.map_or((here - source - expected, true), |shift| (shift, false))
    }

    /// Returns how late a frame of the track is that arrives now, if its timestamp is true.
    fn expected(&self, key: TrackKey, arrival: WallTime) -> i64 {
        let witness = self.witness(key, arrival);
        witness.map_or(self.usual(key), |(other, witness)| witness.told + self.together.between(key, other))
    }

    /// Returns how late frames of the track are that the network does not hold up.
    fn usual(&self, key: TrackKey) -> i64 {
        self.lateness.in_force() + self.together.over(key)
    }

    /// Returns the shift of another track, if this frame is as late as expected with that shift.
    fn shared(&self, key: TrackKey, source: i64, here: i64, expected: i64, tolerance: i64) -> Option<i64> {
        let own = self.line(key).map(|line| line.shift);
        let off = |shift: &i64| (here - source - shift - expected).abs();
        self.shifts(key).filter(|shift| Some(*shift) != own && off(shift) <= tolerance).min_by_key(off)
    }

    /// Returns the shifts of the other tracks whose clocks can be followed.
    fn shifts(&self, key: TrackKey) -> impl Iterator<Item = i64> {
        self.others(key).filter(|(_, line)| line.loose.is_none()).map(|(_, line)| line.shift)
    }

    /// Returns another track that sent a frame just now, and thus tells how late the network is.
    fn witness(&self, key: TrackKey, arrival: WallTime) -> Option<(TrackKey, &Line)> {
        let fresh = self.others(key).filter(|(_, line)| arrival.micros_since(line.told_at).abs() <= FRESH_MICROS);
        fresh.max_by_key(|(_, line)| line.told_at)
    }

    /// Returns whether the timestamp goes back, or ahead of the time that has passed.
    fn jumps(&self, key: TrackKey, before: &Line, line: &Line, seen: Seen) -> bool {
        let advance = line.source - before.source;
        let (usual, earliest, ahead) = match self.together.recent(key) {
            Some(earliest) => (seen.pace * 2, earliest, AHEAD_MICROS),
            None => (0, self.lateness.in_force(), AHEAD_AT_FIRST_MICROS),
        };
        let jumps = advance > (usual + ahead).min(AHEAD_AT_FIRST_MICROS);
        advance < -seen.back_max || (jumps && line.late < earliest - ahead)
    }

    /// Returns by how much the track is ahead of another one that is on time.
    fn ahead(&self, key: TrackKey, line: &Line, seen: Seen) -> i64 {
        let witness = self.witness(key, seen.arrival).filter(|_| seen.is_latest);
        let ahead = witness.and_then(|(other, witness)| {
            let other_track = self.tracks.get(other)?;
            let is_on_time = witness.told <= other_track.lateness.known()? + ON_TIME_MICROS;
            (is_on_time && other_track.told >= WITNESS_FRAMES)
                .then(|| witness.told + self.together.between(key, other) - line.late)
        });
        ahead.unwrap_or(0)
    }

    /// Returns the shift of another track, or of the line that the track has left, if its frames are ahead on the present one, and fit
    /// there: what had waited before was held up by the network, and its clock went on.
    fn returns(&self, key: TrackKey, line: &Line, seen: Seen) -> Option<i64> {
        let is_new = line.placed.is_some_and(|placed| seen.arrival.micros_since(placed) <= STOOD_LONG_MICROS);
        if !is_new || self.ahead(key, line, seen) <= NEAR_MICROS {
            return None;
        }
        let late = self.program.position(seen.arrival) - seen.source - self.expected(key, seen.arrival);
        let off = |shift: &i64| (late - shift).abs();
        self.shifts(key)
            .chain(line.left.map(|(left, _)| left))
            .filter(|shift| off(shift) <= FITS_MICROS)
            .min_by_key(off)
    }

    /// Returns how late a frame of the track is by the least delayed frames of the others in the last seconds. It is nearer than
    /// [`SourceClock::usual`], where all clocks are slow.
    fn recent_of_others(&self, key: TrackKey, arrival: WallTime) -> Option<i64> {
        let sends = |line: &Line| arrival.micros_since(line.told_at) <= PAUSED_FOR_MICROS;
        let others = self.others(key).filter(|(_, line)| line.loose.is_none() && sends(line));
        let recent = |(other, _)| Some(self.together.recent(other)? + self.together.between(key, other));
        others.filter_map(recent).min()
    }

    /// Returns the least lateness of the other tracks whose clocks can be followed, as that of the earliest track.
    fn least_of_others(&self, key: TrackKey) -> Option<i64> {
        let others = self.tracks.iter().filter(|(other, _)| *other != key && other.kind != MediaKind::Data);
        let followed = others.filter(|(_, track)| track.line.is_some_and(|line| line.loose.is_none()));
        followed.filter_map(|(other, track)| Some(track.lateness.known()? - self.together.over(other))).min()
    }

    /// Returns whether the track is behind another one that is on time. After a pause that its clock did not count,
    /// this is true at once, and otherwise if it stays behind.
    fn stands_alone(&self, key: TrackKey, before: &Line, line: &mut Line) -> bool {
        let on_time = |(other, witness): &(TrackKey, &Line)| witness.told < self.usual(*other) + APART_MICROS;
        let witness = self.witness(key, line.arrival).filter(on_time);
        let behind = witness.map(|(other, witness)| line.late - witness.told - self.together.between(key, other));
        let Some(behind) = behind else {
            // One that sends few frames a second tells it now and then.
            line.apart = line.apart.filter(|since| line.arrival.micros_since(*since) <= STOOD_LONG_MICROS);
            return false;
        };
        if behind <= APART_MICROS {
            line.apart = None;
            return false;
        }
        let since = *line.apart.get_or_insert(line.arrival);
        let stood = line.arrival.micros_since(before.arrival) - (line.source - before.source);
        stood > APART_MICROS || line.arrival.micros_since(since) >= APART_FOR_MICROS
    }

    /// Returns whether the track stays behind its usual lateness, as all do.
    fn stands(&self, key: TrackKey, line: &mut Line) -> bool {
        let has_paused = line.paused.is_some_and(|paused| line.arrival.micros_since(paused) <= PAUSED_FOR_MICROS);
        let is_on_time = |(other, line): (TrackKey, &Line)| line.told - self.usual(other) <= STOOD_MICROS;
        let is_alone = self.witness(key, line.arrival).is_some_and(is_on_time);
        let late = line.late - self.usual(key);
        if late <= STOOD_MICROS || (late <= STOOD_LONG_MICROS && (is_alone || !has_paused)) {
            line.behind = None;
            return false;
        }
        let behind = line.behind.get_or_insert(Behind { since: line.arrival, least: line.late, before: None });
        behind.least = behind.least.min(line.late);
        if line.arrival.micros_since(behind.since) < STOOD_WINDOW_MICROS {
            return false;
        }
        let stays = behind.before.is_some_and(|before| (behind.least - before).abs() <= STAYS_MICROS);
        *behind = Behind { since: line.arrival, least: line.late, before: Some(behind.least) };
        stays
    }
}

/// States what the time of a frame is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// The frame lies where its clock states.
    Followed,
    /// The frame was placed anew.
    Placed,
    /// It was placed anew, and what the clock has told of lateness was not true.
    Untrue,
}

/// Holds what a frame tells about its track's clock, in µs.
#[derive(Clone, Copy, Debug)]
struct Seen {
    source: i64,
    arrival: WallTime,
    /// The usual time between two frames of the track.
    pace: i64,
    /// The most that timestamps may go back without a step.
    back_max: i64,
    /// Whether the frames before went back or stood for longer than reordering explains.
    is_held: bool,
    /// Whether no frame before stated as late a time.
    is_latest: bool,
    /// The time by which the track is behind the others.
    behind: Option<i64>,
}

impl Line {
    /// Returns whether it has run without a step for [`PROVEN_MICROS`], after which its times are the publisher's again. Before, the
    /// place that one frame was given would be believed of the next, and with many steps the track would run away.
    fn is_proven(&self, arrival: WallTime) -> bool {
        self.placed.is_none_or(|placed| arrival.micros_since(placed) >= PROVEN_MICROS)
    }

    /// Returns the shift of a clock that stands: as frames arrive, and at the track's pace if they come faster.
    fn beside(&self, by_arrival: i64, seen: Seen) -> i64 {
        let (next, by_pace) = (self.position - seen.source, self.position + seen.pace - seen.source);
        let is_behind = by_arrival > by_pace + NEAR_MICROS;
        let apart = seen.pace.min(HELD_MICROS) / 8;
        if is_behind { by_arrival } else { by_arrival.clamp(next + apart, by_pace) }
    }

    /// Returns whether timestamps have fallen behind the positions that were given out, by more than is worked off.
    fn is_left(&self, seen: Seen) -> bool {
        self.position + seen.pace - (seen.source + self.shift) > seen.back_max
    }
}
