//! Remembers for a moment conversions that could not be begun, so that a crowd of viewers has one opened once and not each in turn.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use onmic_media::TrackId;
use onmic_media::feed::Recipe;
use parking_lot::Mutex;

/// How long the failure stands for those who ask. A codec that fails takes up to a second to do so, and who asks again after that may
/// find another keyframe.
const STANDS_FOR: Duration = Duration::from_secs(5);

/// The conversions that failed within the last [`STANDS_FOR`], and why.
#[derive(Debug, Default)]
pub(super) struct Failed(Mutex<HashMap<(TrackId, Recipe), (Instant, String)>>);

impl Failed {
    /// Notes why a conversion of a track failed at `now`.
    pub(super) fn note(&self, track: TrackId, recipe: Recipe, sentence: &str, now: Instant) {
        let mut failed = self.0.lock();
        failed.retain(|_, (at, _)| stands(*at, now));
        failed.insert((track, recipe), (now, sentence.to_owned()));
    }

    /// Returns why a conversion of a track has just failed, if it has.
    pub(super) fn why(&self, track: TrackId, recipe: Recipe, now: Instant) -> Option<String> {
        let failed = self.0.lock();
        failed.get(&(track, recipe)).filter(|(at, _)| stands(*at, now)).map(|(_, sentence)| sentence.clone())
    }
}

fn stands(at: Instant, now: Instant) -> bool {
    now.saturating_duration_since(at) < STANDS_FOR
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use onmic_media::codec::opus;
    use onmic_media::{Parameters, Track};

    use super::*;

    #[test]
    fn a_failure_stands_for_a_moment_and_for_its_own_conversion() {
        let tracks = [(); 2].map(|()| Track::new(Arc::new(Parameters::Opus(opus::Parameters::new(2)))).id());
        let (failed, start) = (Failed::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        failed.note(tracks[0], Recipe::Aac, "there is no encoder", start);
        assert_eq!(failed.why(tracks[0], Recipe::Aac, at(4)).as_deref(), Some("there is no encoder"));
        assert_eq!(failed.why(tracks[0], Recipe::Opus, at(4)), None);
        assert_eq!(failed.why(tracks[1], Recipe::Aac, at(4)), None);
        assert_eq!(failed.why(tracks[0], Recipe::Aac, at(5)), None);
        failed.note(tracks[1], Recipe::Aac, "there is no encoder", at(5));
        assert_eq!(failed.0.lock().len(), 1, "what is over is forgotten");
    }
}
