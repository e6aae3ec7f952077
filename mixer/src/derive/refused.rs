//! Remembers conversions that the budget has refused, so that one counts once: each viewer who waits for it asks again every few
//! seconds.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use onmic_media::feed::{OVERLOADED_FOR, Recipe};
use onmic_media::{DropReason, TrackId};
use parking_lot::Mutex;

/// A conversion that nobody has asked for within this time has no viewer any more who waits for it.
const FORGOTTEN_AFTER: Duration = OVERLOADED_FOR.saturating_mul(2);

/// The conversions that are refused now, with the time at which each was refused last.
#[derive(Debug, Default)]
pub(super) struct Refused(Mutex<HashMap<(TrackId, Recipe), Instant>>);

impl Refused {
    /// Counts a conversion of a track that is refused at `now`, or ends, unless it was refused before.
    pub(super) fn count(&self, track: TrackId, recipe: Recipe, now: Instant) {
        if self.note(track, recipe, now) {
            DropReason::TranscodeRefused.count(1);
        }
    }

    /// Notes that a conversion of a track is refused at `now`. Returns whether that is news.
    fn note(&self, track: TrackId, recipe: Recipe, now: Instant) -> bool {
        let mut refused = self.0.lock();
        let stands = |last: &Instant| now.saturating_duration_since(*last) < FORGOTTEN_AFTER;
        if let Some(last) = refused.get_mut(&(track, recipe)).filter(|last| stands(last)) {
            *last = now;
            return false;
        }
        refused.retain(|_, last| stands(last));
        refused.insert((track, recipe), now);
        true
    }

    /// Notes that a conversion of a track begins.
    pub(super) fn forget(&self, track: TrackId, recipe: Recipe) {
        self.0.lock().remove(&(track, recipe));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use onmic_media::codec::opus;
    use onmic_media::{Parameters, Track};

    use super::*;

    #[test]
    fn a_conversion_that_is_asked_for_again_and_again_is_refused_once_until_it_begins_or_nobody_asks() {
        let tracks = [(); 2].map(|()| Track::new(Arc::new(Parameters::Opus(opus::Parameters::new(2)))).id());
        let (refused, start) = (Refused::default(), Instant::now());
        let is_news = |track, seconds| refused.note(track, Recipe::H264, start + Duration::from_secs(seconds));
        assert!(is_news(tracks[0], 0));
        assert!((1..100).all(|second| !is_news(tracks[0], second)), "its viewers wait");
        assert!(is_news(tracks[1], 99) && refused.note(tracks[1], Recipe::Vp8, start + Duration::from_secs(99)));
        refused.forget(tracks[0], Recipe::H264);
        assert!(is_news(tracks[0], 100), "it began, and is refused anew");
        assert!(is_news(tracks[0], 110), "nobody waited any more");
        assert_eq!(refused.0.lock().len(), 1, "what nobody waits for is forgotten");
    }
}
