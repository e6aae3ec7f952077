//! What a session keeps of the levels of its video: what was asked for, what was decided, and who observes it.
//!
//! Deciding is left to [`Choice`], and carrying it out to the core.

use std::sync::Arc;
use std::time::{Duration, Instant};

use onmic_media::{Codec, Feed, Level, TrackId, TrackKey};
use tokio::sync::watch;

use super::metric::{Metrics, Watching};
use crate::level::{self, Refusal, Shown};
use crate::rtp::choice::{Choice, Decision, Path, Pick, Reason, Rung, Wish};

/// The least time between two decisions for one viewer: the receiver's feedback comes every 50 ms.
const DECIDE_EVERY: Duration = Duration::from_millis(100);
/// A level that could not be had is not asked for again for this long.
pub(super) const REFUSED_FOR: Duration = Duration::from_secs(10);
/// The levels of a feed are looked up once in this time, for all viewers of the shard.
const LOOKED_UP_EVERY: Duration = Duration::from_millis(500);
/// The levels of a feed that nobody asks for are forgotten after this long.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(10);

/// What one viewer keeps.
pub(super) struct Levels {
    /// The `mid` of the section.
    pub(super) mid: String,
    pub(super) codec: Codec,
    pub(super) wish: Wish,
    pub(super) choice: Choice,
    is_carried: bool,
    /// Why the last level was decided for.
    why: Reason,
    /// What the viewer is counted under.
    counted: Option<(Pick, Watching)>,
    next: Option<Instant>,
    /// The level that the feed was asked for.
    pub(super) asking: Option<TrackKey>,
    /// Whether it was asked for because the path does not carry the level before.
    pub(super) in_need: bool,
    /// A level that could not be had, why, and until when it is not asked for again.
    pub(super) refused: Option<(TrackKey, Refusal, Instant)>,
    observers: Option<watch::Sender<Shown>>,
}

/// The level that a viewer goes over to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Going {
    pub(super) id: TrackId,
    pub(super) key: TrackKey,
    /// The most of the past that it may be shown again.
    pub(super) past_max: Duration,
}

impl Levels {
    pub(super) fn new(mid: String, key: TrackKey, codec: Codec) -> Self {
        Self {
            mid,
            codec,
            wish: Wish::default(),
            choice: Choice::new(Pick::Level(key)),
            is_carried: true,
            why: Reason::Hand,
            counted: None,
            next: None,
            asking: None,
            in_need: false,
            refused: None,
            observers: None,
        }
    }

    /// Decides what the viewer should get. `None` if that was done just before, unless it has to be done `anyway`.
    pub(super) fn decide(&mut self, rungs: &[Rung], path: &Path, anyway: bool, now: Instant) -> Option<Decision> {
        if !anyway && self.next.is_some_and(|next| now < next) {
            return None;
        }
        self.next = Some(now + DECIDE_EVERY);
        let decision = self.choice.decide(rungs, &self.wish, path, now);
        self.is_carried = decision.is_carried;
        self.why = decision.reason.unwrap_or(self.why);
        // Until then it is told, and after that only as long as it is still wanted.
        self.refused = self.refused.filter(|(key, _, until)| now < *until || decision.pick == Pick::Level(*key));
        Some(decision)
    }

    /// Takes back a level that cannot be had now.
    pub(super) fn refuse(&mut self, key: TrackKey, why: Refusal, current: Pick, now: Instant) {
        self.asking = None;
        self.refused = Some((key, why, now + REFUSED_FOR));
        self.choice.refuse(key, current, REFUSED_FOR, now);
    }

    /// Returns whether a level may be asked for.
    pub(super) fn may_ask(&self, key: TrackKey, now: Instant) -> bool {
        self.asking != Some(key) && self.refused.is_none_or(|(refused, _, until)| refused != key || now >= until)
    }

    /// Counts what the viewer gets now, and that it is another level than before.
    pub(super) fn count(&mut self, current: Pick, metrics: &Metrics) {
        let before = self.counted.as_ref().map(|(counted, _)| *counted);
        if before == Some(current) {
            return;
        }
        if before.is_some() {
            metrics.level_changed(self.why);
        }
        self.counted = Some((current, metrics.watches(current)));
    }

    /// Returns what the viewer gets, from now on. `None` if too many observe it.
    pub(super) fn observe(&mut self, current: Pick, path: &Path) -> Option<watch::Receiver<Shown>> {
        let shown = self.shown(current, path);
        let observers = self.observers.get_or_insert_with(|| watch::Sender::new(shown));
        observers.send_if_modified(|known| {
            *known = shown;
            false // The others have been told.
        });
        (observers.receiver_count() < level::OBSERVERS_MAX).then(|| observers.subscribe())
    }

    /// Tells those who observe the viewer what it gets.
    pub(super) fn tell(&self, current: Pick, path: &Path) {
        let Some(observers) = &self.observers else { return };
        let shown = self.shown(current, path);
        observers.send_if_modified(|known| {
            let estimate_bps = known.estimate_bps;
            let is_new = *known != Shown { estimate_bps, ..shown };
            *known = shown;
            is_new
        });
    }

    fn shown(&self, current: Pick, path: &Path) -> Shown {
        Shown {
            current,
            pinned: self.wish.pinned,
            estimate_bps: path.carries_bps,
            is_carried: self.is_carried || self.wish.pinned.is_none(),
            refused: self.refused.map(|(key, why, _)| (key, why)).filter(|(key, _)| current != Pick::Level(*key)),
        }
    }
}

/// The levels of the feeds that are watched, looked up now and then.
#[derive(Default)]
pub(super) struct Ladders(Vec<Ladder>);

struct Ladder {
    /// The address of the feed. No other has it while a viewer holds the feed, and soon after it is looked up anew.
    feed: usize,
    codec: Codec,
    at: Instant,
    rungs: Arc<[Rung]>,
}

impl Ladders {
    /// Forgets all levels, because one has ended.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }

    /// Returns the levels of a feed that can be had in a codec.
    pub(super) fn of(&mut self, feed: &Arc<Feed>, codec: Codec, now: Instant) -> Arc<[Rung]> {
        let place = Arc::as_ptr(feed).addr();
        let age = |ladder: &Ladder| now.saturating_duration_since(ladder.at);
        let is_it = |ladder: &&Ladder| (ladder.feed, ladder.codec) == (place, codec);
        if let Some(known) = self.0.iter().find(is_it).filter(|known| age(known) < LOOKED_UP_EVERY) {
            return known.rungs.clone();
        }
        self.0.retain(|ladder| !is_it(&ladder) && age(ladder) < FORGOTTEN_AFTER);
        let levels = level::levels(feed, codec, now).into_iter();
        let rungs: Arc<[Rung]> = levels
            .map(|Level { key, size, bitrate_bps, on_demand, .. }| Rung { key, size, bitrate_bps, on_demand })
            .collect();
        self.0.push(Ladder { feed: place, codec, at: now, rungs: rungs.clone() });
        rungs
    }
}
