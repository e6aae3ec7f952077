//! The promises: what holds of the frames in a program, whatever times their publisher stated.

use onmic_media::MediaKind;

use super::model::{Fault, Kind, Publisher, Sent};

const MILLI: i64 = 1_000;

/// How long after a fault the stated times may be followed.
const RECOVERY: i64 = 10_000 * MILLI;

/// How long B-frames whose decoding times are not stated may be misplaced at a step.
const LEARNT: i64 = 1_000 * MILLI;

/// Audio and video of one moment are no further apart.
const LIP_SYNC: i64 = 150 * MILLI;

/// Dates are no further from the truth, where the delay from capture to arrival counts as the present.
const DATES: i64 = 500 * MILLI;

/// The most by which the estimate of the least delay may be off before it is corrected.
const ESTIMATED: i64 = 50 * MILLI;

/// The longest hole that a step of a clock may leave.
const HOLE: i64 = 500 * MILLI;

/// How far a track by WHIP may be from the others after a fault of its clock, until a sender report tells where it belongs.
/// This model has no reports. What is further apart is found without one.
const UNALIGNED: i64 = 700 * MILLI;

/// Is a frame and its place in the program, in µs of the program's timeline and of the true clock.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) sent: Sent,
    pub(crate) dts: i64,
    pub(crate) pts: i64,
    pub(crate) wall: i64,
}

impl Shown {
    /// Returns the distance from its place to its capture.
    fn off(&self, publisher: &Publisher) -> i64 {
        let reordering = if self.sent.kind == MediaKind::Video { publisher.reordering() } else { 0 };
        self.pts - self.sent.captured - reordering
    }
}

/// Returns a sentence for each promise that is broken, with its first and worst case.
pub(crate) fn check(publisher: &Publisher, shown: &[Shown]) -> Vec<String> {
    let mut broken: Vec<Broken> = Vec::new();
    let mut note = |promise: &'static str, at: i64, off: i64| match broken.iter_mut().find(|it| it.promise == promise) {
        Some(known) => {
            known.count += 1;
            known.last = at;
            known.worst = if off.abs() > known.worst.abs() { off } else { known.worst };
        }
        None => broken.push(Broken { promise, first: at, last: at, worst: off, count: 1 }),
    };
    for kind in [MediaKind::Video, MediaKind::Audio] {
        let track: Vec<_> = shown.iter().filter(|shown| shown.sent.kind == kind).collect();
        for pair in track.windows(2) {
            let (step, at) = (pair[1].dts - pair[0].dts, pair[1].sent.decoded);
            if step <= 0 {
                note("decoding times rise", at, step);
            }
            let more = step - (at - pair[0].sent.decoded) - publisher.reordering() * 3;
            let hole = HOLE + unaligned(publisher, at);
            if more > hole && !publisher.faults.iter().any(|fault| leaves_a_hole(fault, at)) {
                note("a step of a clock leaves no hole", at, more);
            }
        }
        if !(kind == MediaKind::Video && publisher.states_only_presentation()) {
            for three in track.windows(3).filter(|three| three[2].dts - three[0].dts < MILLI) {
                note("no three frames are decoded at one time", three[2].sent.decoded, three[2].dts - three[0].dts);
            }
        }
        // Presentation times alone tell a step from reordering only after some frames, and the first ones show how
        // frames are reordered.
        let taught = |shown: &&&Shown| {
            let at = shown.sent.captured;
            // A clock that stood, or ran wrong, is believed once it has kept time for 2 s.
            let until = |fault: &Fault| fault.until + LEARNT * if fault.is_placed_by_arrival() { 4 } else { 1 };
            let unclear = |fault: &Fault| (fault.from - LEARNT..until(fault)).contains(&at);
            let guessed = kind == MediaKind::Video && publisher.states_only_presentation();
            !guessed || (at > LEARNT && !publisher.faults.iter().any(unclear))
        };
        let mut by_pts: Vec<_> = track.iter().filter(taught).map(|shown| (shown.pts, shown.sent.captured)).collect();
        by_pts.sort_unstable();
        for three in by_pts.windows(3).filter(|three| three[2].0 - three[0].0 < MILLI) {
            note("no three frames are shown at one time", three[2].1, three[2].0 - three[0].0);
        }
    }
    for shown in shown {
        let Sent { captured, arrives, .. } = shown.sent;
        let ahead = shown.wall - arrives;
        if ahead > DATES {
            note("no date is in the future", captured, ahead);
        }
        let (least, most) = publisher.usual_delay();
        let late = shown.wall - captured;
        let off = DATES + ESTIMATED + unaligned(publisher, captured);
        if is_settled(publisher, captured) && !(least - off..=most + off).contains(&late) {
            note("dates are within 0.5 s of the present", captured, late);
        }
    }
    let video: Vec<_> = shown.iter().filter(|shown| shown.sent.kind == MediaKind::Video).collect();
    let mut at = 0;
    let (least, most) = publisher.usual_delay();
    let unknown = if publisher.has_one_clock() { 0 } else { most - least };
    for audio in shown.iter().filter(|shown| shown.sent.kind == MediaKind::Audio) {
        let moment = audio.sent.captured;
        if !is_settled(publisher, moment) {
            continue;
        }
        while video.get(at + 1).is_some_and(|next| next.sent.captured <= moment) {
            at += 1;
        }
        let Some(beside) = video.get(at).filter(|beside| is_settled(publisher, beside.sent.captured)) else { continue };
        let off = audio.off(publisher) - beside.off(publisher);
        if off.abs() > LIP_SYNC + unknown + unaligned(publisher, moment) + uncertain(publisher, moment) {
            note("audio and video are in step", moment, off);
        }
    }
    broken.iter().map(Broken::sentence).collect()
}

/// Returns how far tracks may be apart at this moment for want of a sender report.
fn unaligned(publisher: &Publisher, at: i64) -> i64 {
    if publisher.is_realigned(at) { UNALIGNED } else { 0 }
}

/// Returns by how much more tracks may be apart while one is placed by its arrivals: by what the network delays one and not the other,
/// and by a frame.
fn uncertain(publisher: &Publisher, at: i64) -> i64 {
    let is_on = publisher.faults.iter().any(|fault| fault.is_lasting() && fault.is_on(at));
    if is_on { publisher.jitter() + publisher.longest_frame() } else { 0 }
}

/// Whether no fault is on at this moment, and the last one was long enough ago.
fn is_settled(publisher: &Publisher, at: i64) -> bool {
    let since = |fault: &Fault| if fault.is_of_network() { fault.until } else { fault.until + RECOVERY };
    // What was captured just before comes when others have already shown it.
    let from = |fault: &Fault| fault.from - if fault.is_lasting() { publisher.delay().1 } else { 0 };
    let is_on = |fault: &Fault| (from(fault)..since(fault)).contains(&at);
    // Of a clock that shows few frames a second, nobody knows whether it stands.
    let is_even = publisher.longest_frame() < LEARNT;
    let is_followed =
        |fault: &Fault| is_even && fault.is_lasting() && (fault.from + RECOVERY..fault.until).contains(&at);
    at > publisher.all_send_from() + RECOVERY.max(publisher.drift_is_followed_after())
        && !publisher.faults.iter().any(|fault| is_on(fault) && !is_followed(fault))
}

/// Whether viewers see nothing in a fault, so that a hole is the truth.
fn leaves_a_hole(fault: &Fault, at: i64) -> bool {
    !matches!(fault.kind, Kind::Step(_)) && (fault.from..fault.until + RECOVERY).contains(&at)
}

struct Broken {
    promise: &'static str,
    first: i64,
    last: i64,
    worst: i64,
    count: usize,
}

impl Broken {
    fn sentence(&self) -> String {
        let Self { promise, first, last, worst, count } = self;
        let seconds = |micros: i64| micros as f64 / 1e6;
        format!(
            "BROKEN: {promise}: {count} times, {:.3} to {:.3} s, by {} ms at most",
            seconds(*first),
            seconds(*last),
            worst / MILLI
        )
    }
}
