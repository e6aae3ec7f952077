//! The level of video that one viewer gets: by hand, by the size of its player, and by what its path carries.
//!
//! Pure: levels, a [`Wish`], a [`Path`] and `now` come in, and a [`Decision`] goes out. Carrying it out, at a keyframe, is left to
//! [`Sender`](super::Sender), and probing to the estimate of the path.
//!
//! | rule | reason |
//! | --- | --- |
//! | a level that was chosen by hand stays, whatever the path carries | the viewer asked for it, and is told ([`Decision::is_carried`]) |
//! | levels larger than the player are left out, but for the smallest that fills it | nobody sees their pixels |
//! | a small player alone begins no level on demand | encoding one costs the node more than the larger one costs the path that carries it |
//! | down at once, as far as the estimate says, where the path does not carry the level | each second of waiting is a freeze |
//! | one level down where packets wait for [`DEBT`] to leave | a burst may be all that it is |
//! | up only once the estimate carries the level with [`SPARE`] for [`PROVEN`], for which probes are wanted | a guess is a freeze where it is wrong |
//! | a level that failed within [`HELD`] is not tried again for twice as long as before | no viewer is moved up and down for ever |
//! | audio alone where the path has not carried the lowest level for [`STARVED`] | sound without freezes is more than neither |
//!
//! An estimate of a path that is not used up is a lower bound: it may let a level in, and never pushes one out. Without an estimate,
//! loss alone decides, and then only much of it, because loss at random is repaired and says nothing about the rate. It takes the
//! video away only from a path that has a queue as well.

mod trials;
mod wish;

use std::time::{Duration, Instant};

use onmic_media::TrackKey;

use self::trials::Trials;
pub use self::wish::{Pick, Wish};

/// The headers of RTP and what the transport adds: a packet of 1200 bytes has 40 of them, and small ones have more.
const HEADERS: f64 = 1.05;
/// A level is not carried where the estimate is below this share of what it needs. Estimates vary by 5 %.
const CARRIED: f64 = 0.92;
/// A level below is taken if the estimate has this much for each bit that it needs.
const BELOW: f64 = 1.1;
/// A level above is taken if the estimate has this much for each bit that it needs.
const SPARE: f64 = 1.15;
/// The estimate has to carry the level above for this long.
const PROVEN: Duration = Duration::from_millis(500);
/// Packets that wait for longer before they leave show that the path does not carry them: 8 frames at 30 per second.
const DEBT: Duration = Duration::from_millis(250);
/// After a change it is not looked at debt and loss for this long: what was sent before is still on its way.
const SETTLE: Duration = Duration::from_millis(1500);
/// The least time between a change and the next one upwards.
const REST: Duration = Duration::from_secs(2);
/// A level that was given up this soon after it was taken has failed.
const HELD: Duration = Duration::from_secs(30);
/// The lowest level gives way to audio alone after this long.
const STARVED: Duration = Duration::from_secs(2);
/// Without an estimate: a path that loses this much does not carry the level, whatever the reason.
const LOSS_HEAVY: f32 = 0.35;
/// Without an estimate: a path with a queue that loses this much does not carry the level.
const LOSS_QUEUED: f32 = 0.08;
/// A queue that stands for longer is that of a path which is full.
const QUEUED: Duration = Duration::from_millis(150);
/// Without an estimate: such loss has to last for this long, two reports.
const LOSSY: Duration = Duration::from_millis(1500);
/// Without an estimate: a path that loses less may carry more.
const LOSS_LITTLE: f32 = 0.02;
/// Without an estimate: the level above is tried after this long, because nothing but the try itself shows whether it is carried.
const UNPROVEN: Duration = Duration::from_secs(10);

/// One level that a viewer could have. Levels are listed best first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rung {
    /// The key of its track.
    pub key: TrackKey,
    /// The size as it is shown. `None` if it is not known.
    pub size: Option<(u32, u32)>,
    /// The payload bits per second.
    pub bitrate_bps: u64,
    /// Whether it is encoded only for those who have it.
    pub on_demand: bool,
}

/// What is known of a viewer's path.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Path {
    /// The bits per second of headers and payloads that it carries. `None` if the receiver does not tell when packets arrive.
    pub carries_bps: Option<u64>,
    /// Whether less is sent than it carries, so that it may carry more than that.
    pub is_app_limited: bool,
    /// The share of packets that are lost, from 0 to 1.
    pub loss: f32,
    /// The queue that stands on it.
    pub queue: Duration,
    /// How long packets wait before they may leave.
    pub debt: Duration,
    /// What repeats and repair packets take beside the stream, as a share of it.
    pub overhead: f32,
    /// The bits per second that audio takes.
    pub audio_bps: u64,
}

impl Default for Path {
    /// Nothing is known of the path.
    fn default() -> Self {
        Self {
            carries_bps: None,
            is_app_limited: true,
            loss: 0.0,
            queue: Duration::ZERO,
            debt: Duration::ZERO,
            overhead: 0.0,
            audio_bps: 0,
        }
    }
}

/// Why a viewer gets another level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It was chosen by hand.
    Hand,
    /// The player or the viewer's own limit does not need more.
    Size,
    /// The estimate does not carry the level.
    Estimate,
    /// Packets wait too long before they leave.
    Debt,
    /// The path loses too much.
    Loss,
    /// The path carries more.
    Carried,
    /// The level is not there any more.
    Gone,
}

/// What a viewer should get.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decision {
    /// The level, or audio alone.
    pub pick: Pick,
    /// Why it is another one than before. `None` if it is the same.
    pub reason: Option<Reason>,
    /// The rate that the path should be probed for. `None` if no more is wanted.
    pub probe_bps: Option<u64>,
    /// Whether the path carries it, as far as that is known.
    pub is_carried: bool,
}

/// The choice of one viewer.
#[derive(Debug)]
pub struct Choice {
    pick: Pick,
    /// When it was last changed, and why.
    changed: Option<(Instant, Reason)>,
    /// Whether it was chosen by hand.
    is_by_hand: bool,
    /// Since when the estimate carries a level above.
    proven: Option<Instant>,
    /// Since when the lowest level has not been carried.
    starved: Option<Instant>,
    /// Since when loss has shown that the level is not carried.
    lossy: Option<Instant>,
    trials: Trials,
}

impl Choice {
    /// Makes the choice of a viewer that is given `pick` to begin with.
    pub fn new(pick: Pick) -> Self {
        Self {
            pick,
            changed: None,
            is_by_hand: false,
            proven: None,
            starved: None,
            lossy: None,
            trials: Trials::default(),
        }
    }

    /// Returns what the viewer should get as far as was decided.
    pub fn pick(&self) -> Pick {
        self.pick
    }

    /// Takes back the last decision, because its level cannot be had now. It is not tried again for `wait`.
    pub fn refuse(&mut self, key: TrackKey, instead: Pick, wait: Duration, now: Instant) {
        self.trials.bar(key, now + wait);
        self.pick = instead;
    }

    /// Decides what the viewer should get of `rungs`, which are listed best first.
    pub fn decide(&mut self, rungs: &[Rung], wish: &Wish, path: &Path, now: Instant) -> Decision {
        self.trials.keep(rungs);
        if let Some(pinned) = wish.pinned.filter(|pinned| pinned.is_among(rungs)) {
            (self.is_by_hand, self.proven, self.starved, self.lossy) = (true, None, None, None);
            let needed = rungs.iter().find(|rung| pinned == Pick::Level(rung.key)).map_or(0.0, |rung| path.needs(rung));
            let is_carried = path.is_app_limited || path.carries(needed, CARRIED);
            // What the path carries is found out meanwhile, so that the viewer can be told.
            let probe_bps = (!is_carried).then_some(needed as u64);
            return self.go(pinned, Reason::Hand, now).told(is_carried, probe_bps);
        }
        let allowed = wish.allowed(rungs);
        let Some(lowest) = allowed.last() else {
            return self.go(self.pick, Reason::Gone, now).told(true, None); // The feed has no video now.
        };
        let Some(at) = self.place(allowed) else {
            let was_larger = rungs.iter().any(|rung| self.pick == Pick::Level(rung.key));
            let (target, reason) = match was_larger {
                true => (&allowed[0], Reason::Size),
                false => (path.highest(allowed).unwrap_or(lowest), Reason::Gone),
            };
            return self.go(Pick::Level(target.key), reason, now).told(true, None);
        };
        if std::mem::take(&mut self.is_by_hand) {
            // What was chosen by hand says nothing of the path.
            let known = path.highest(allowed).unwrap_or(lowest);
            let target =
                allowed.get(at).filter(|_| allowed[..at].iter().all(|rung| rung.key != known.key)).unwrap_or(known);
            let decision = self.go(Pick::Level(target.key), Reason::Hand, now);
            self.changed = None;
            return decision;
        }
        match self.trouble(&allowed[at..], path, now) {
            Some((target, reason)) => {
                self.fall(now);
                self.go(target, reason, now).told(true, None)
            }
            None => self.rise(allowed, at, path, now),
        }
    }

    /// Returns the place of what the viewer gets among the levels. Audio alone is behind the last of them.
    fn place(&self, allowed: &[Rung]) -> Option<usize> {
        match self.pick {
            Pick::AudioOnly => Some(allowed.len()),
            Pick::Level(key) => allowed.iter().position(|rung| rung.key == key),
        }
    }

    /// Returns what the viewer should get in place of the first of `rungs`, and why, if the path does not carry that one.
    fn trouble(&mut self, rungs: &[Rung], path: &Path, now: Instant) -> Option<(Pick, Reason)> {
        let (current, below) = rungs.split_first()?;
        let settled = self.changed.is_none_or(|(at, _)| now.saturating_duration_since(at) >= SETTLE);
        let is_carried = path.is_app_limited || path.carries(path.needs(current), CARRIED);
        let (reason, steps) = match path.carries_bps {
            Some(_) if !is_carried => (Some(Reason::Estimate), usize::MAX),
            Some(_) if settled && path.debt >= DEBT => (Some(Reason::Debt), 1),
            Some(_) => (None, 0),
            None => (self.lossy(path, settled, now).then_some(Reason::Loss), 1),
        };
        let Some(reason) = reason else {
            self.starved = None;
            return None;
        };
        let mut open = below.iter().filter(|rung| !self.trials.is_refused(rung.key, now));
        let Some(first) = open.clone().next() else {
            if path.carries_bps.is_none() && path.queue < QUEUED {
                return None; // Loss at random: what arrives of the lowest level is more than nothing.
            }
            let since = *self.starved.get_or_insert(now);
            return (now.saturating_duration_since(since) >= STARVED).then_some((Pick::AudioOnly, reason));
        };
        let target = match steps {
            1 => first,
            _ => open.clone().find(|rung| path.carries(path.needs(rung), BELOW)).or(open.next_back()).unwrap_or(first),
        };
        Some((Pick::Level(target.key), reason))
    }

    /// Returns whether loss shows that the level is not carried.
    fn lossy(&mut self, path: &Path, settled: bool, now: Instant) -> bool {
        let is_lossy = path.loss >= LOSS_HEAVY || (path.loss >= LOSS_QUEUED && path.queue >= QUEUED);
        if !is_lossy || !settled {
            self.lossy = None;
            return false;
        }
        now.saturating_duration_since(*self.lossy.get_or_insert(now)) >= LOSSY
    }

    /// Decides whether the viewer gets a level above that at `at`.
    fn rise(&mut self, allowed: &[Rung], at: usize, path: &Path, now: Instant) -> Decision {
        let stay = |choice: &mut Self, probe| choice.go(choice.pick, Reason::Carried, now).told(true, probe);
        let above = &allowed[..at];
        let open = |rung: &&Rung| !self.trials.is_barred(rung.key, now);
        let by_path = self.changed_by_path().map(|at| now.saturating_duration_since(at));
        let rested = by_path.is_none_or(|since| since >= REST);
        let Some(next) = above.last().filter(open).filter(|_| rested) else {
            self.proven = None;
            return stay(self, None);
        };
        if path.carries_bps.is_none() {
            let is_free = path.loss <= LOSS_LITTLE && path.queue < QUEUED;
            let target = match by_path {
                None => above.iter().find(open), // Nothing has spoken against the best.
                Some(since) => Some(next).filter(|_| since >= UNPROVEN && is_free),
            };
            let pick = target.map_or(self.pick, |target| Pick::Level(target.key));
            return self.go(pick, Reason::Carried, now).told(true, None);
        }
        let carried = above.iter().find(|rung| open(rung) && path.carries(path.needs(rung), SPARE));
        let Some(target) = carried.filter(|_| path.debt < DEBT / 2) else {
            self.proven = None;
            return stay(self, Some((path.needs(next) * SPARE) as u64));
        };
        let proven = now.saturating_duration_since(*self.proven.get_or_insert(now)) >= PROVEN;
        match proven {
            true => self.go(Pick::Level(target.key), Reason::Carried, now).told(true, None),
            false => stay(self, Some((path.needs(target) * SPARE) as u64)),
        }
    }

    /// Returns when the last change was, if it was for what the path carries.
    fn changed_by_path(&self) -> Option<Instant> {
        let by_path = [Reason::Estimate, Reason::Debt, Reason::Loss, Reason::Carried];
        self.changed.filter(|(_, reason)| by_path.contains(reason)).map(|(at, _)| at)
    }

    /// Notes that the path does not carry what the viewer gets.
    fn fall(&mut self, now: Instant) {
        let Pick::Level(key) = self.pick else { return };
        let risen = self.changed.filter(|(_, reason)| *reason == Reason::Carried);
        let has_failed = risen.is_some_and(|(at, _)| now.saturating_duration_since(at) < HELD);
        self.trials.note(key, has_failed, now);
    }

    fn go(&mut self, pick: Pick, reason: Reason, now: Instant) -> Decision {
        let is_same = pick == self.pick;
        if !is_same {
            self.pick = pick;
            self.changed = Some((now, reason));
            (self.proven, self.starved, self.lossy) = (None, None, None);
        }
        Decision { pick, reason: (!is_same).then_some(reason), probe_bps: None, is_carried: true }
    }
}

impl Decision {
    fn told(self, is_carried: bool, probe_bps: Option<u64>) -> Self {
        Self { is_carried, probe_bps, ..self }
    }
}

impl Path {
    /// Returns the bits per second that the path has to carry for a viewer of a level.
    fn needs(&self, rung: &Rung) -> f64 {
        let overhead = if self.overhead.is_finite() { f64::from(self.overhead.clamp(0.0, 3.0)) } else { 0.0 };
        rung.bitrate_bps as f64 * HEADERS * (1.0 + overhead) + self.audio_bps as f64
    }

    /// Returns whether the estimate has `share` for each bit that is needed. Without an estimate it has.
    fn carries(&self, needed: f64, share: f64) -> bool {
        self.carries_bps.is_none_or(|bps| bps as f64 >= needed * share)
    }

    /// Returns the best level that the path is known to carry. Without an estimate that is the best.
    fn highest<'r>(&self, rungs: &'r [Rung]) -> Option<&'r Rung> {
        rungs.iter().find(|rung| self.carries(self.needs(rung), BELOW))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
