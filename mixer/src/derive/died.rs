//! Remembers conversions that panicked, because a viewer who asks for one again would have it read the same frames again.

use std::collections::HashMap;
use std::time::Instant;

use onmic_media::TrackId;
use onmic_media::feed::Recipe;
use onmic_media::life::{Begins, Deaths};
use parking_lot::Mutex;

/// The conversions that panicked within the last [`AGAIN`](onmic_media::life::AGAIN). All that is made of a track of video counts as
/// one, because one thread makes it, of the same frames.
#[derive(Debug, Default)]
pub(super) struct Died(Mutex<HashMap<(TrackId, Recipe), Deaths>>);

impl Died {
    /// Notes that a conversion of a track panicked at `now`.
    pub(super) fn note(&self, track: TrackId, recipe: Recipe, now: Instant) {
        let mut died = self.0.lock();
        died.retain(|_, deaths| deaths.begins(now) != Begins::AtOnce);
        died.entry((track, line(recipe))).or_default().note(now);
    }

    /// Returns how a conversion of a track begins at `now`.
    pub(super) fn begins(&self, track: TrackId, recipe: Recipe, now: Instant) -> Begins {
        self.0.lock().get(&(track, line(recipe))).map_or(Begins::AtOnce, |deaths| deaths.begins(now))
    }
}

/// Returns the recipe that stands for all that die together.
const fn line(recipe: Recipe) -> Recipe {
    match recipe {
        Recipe::H264 | Recipe::Vp8 | Recipe::Rung(_) => Recipe::H264,
        Recipe::Opus | Recipe::Aac => recipe,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use onmic_media::codec::opus;
    use onmic_media::{Parameters, Track};

    use super::*;

    #[test]
    fn a_conversion_that_panics_begins_behind_the_fault_and_after_a_second_time_a_minute_later() {
        let tracks = [(); 2].map(|()| Track::new(Arc::new(Parameters::Opus(opus::Parameters::new(2)))).id());
        let (died, start) = (Died::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let begins = |now| died.begins(tracks[0], Recipe::Aac, now);
        assert_eq!(begins(start), Begins::AtOnce);
        died.note(tracks[0], Recipe::Aac, start);
        assert_eq!(begins(at(1)), Begins::BehindTheFault);
        died.note(tracks[0], Recipe::Aac, at(10));
        assert_eq!(begins(at(11)), Begins::Later(Duration::from_secs(59)));
        assert_eq!(died.begins(tracks[1], Recipe::Aac, at(11)), Begins::AtOnce);
        assert_eq!(died.begins(tracks[0], Recipe::Opus, at(11)), Begins::AtOnce);
        assert_eq!(begins(at(70)), Begins::AtOnce);
        died.note(tracks[1], Recipe::Aac, at(100));
        assert_eq!(died.0.lock().len(), 1, "what is over is forgotten");
    }
}
