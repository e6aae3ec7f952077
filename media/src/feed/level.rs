//! A level: one quality of a feed's video, which a viewer may have in place of another.
//!
//! The levels of a feed are the renditions that its publisher makes. If that is one alone, the rungs of the node's [`Ladder`] below it
//! are levels too, which are made on demand. All show the same pictures at the same times. A viewer, a playlist and a log name a level
//! by the key of its track, and [`Feed::demand`] gives the track of any of them.

use std::cmp::Reverse;
use std::time::Instant;

use super::{Accept, Feed, Found, Ladder, Recipe, Rung, Unavailable};
use crate::key::{MediaKind, TrackKey};
use crate::track::Track;

/// One quality of a feed's video.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    /// The key of its track.
    pub key: TrackKey,
    /// The size as it is shown, in pixels: width and height. `None` where the codec's header does not state it.
    pub size: Option<(u32, u32)>,
    /// The frames per second: measured, or what they will be if it is made on demand.
    pub frame_rate: f64,
    /// The payload bits per second: measured, or what they will be if it is made on demand.
    pub bitrate_bps: u64,
    /// Whether it is made on demand, and encoded only while somebody has it.
    pub on_demand: bool,
}

impl Level {
    /// Returns the level of a track as it is now. `None` if it has no video, or no frame yet.
    fn of(track: &Track, now: Instant) -> Option<Self> {
        let measured = track.measured(now);
        let has_picture = track.kind() == MediaKind::Video && measured.frames > 0 && !track.is_ended();
        has_picture.then(|| Self {
            key: track.key(),
            size: track.parameters().shown_size(),
            frame_rate: measured.frame_rate,
            bitrate_bps: measured.bitrate_bps,
            on_demand: false,
        })
    }

    /// Returns the rungs of a ladder that are made of this level.
    fn below(self, ladder: &Ladder) -> Vec<Self> {
        let Some(size) = self.size else { return Vec::new() };
        let level = |(key, rung): (TrackKey, &Rung)| Self {
            key,
            size: Some(rung.size_of(size)),
            frame_rate: rung.frame_rate_of(self.frame_rate),
            bitrate_bps: rung.bitrate_bps,
            on_demand: true,
        };
        ladder.below(size).map(level).collect()
    }

    fn pixels(&self) -> u64 {
        self.size.map_or(0, |(width, height)| u64::from(width) * u64::from(height))
    }
}

impl Feed {
    /// Returns the levels of its video that have frames, and those that are made of it on demand, the best first: by their pixels,
    /// then by their bitrate.
    pub fn levels(&self, now: Instant) -> Vec<Level> {
        let mut levels: Vec<_> = self.originals().iter().filter_map(|track| Level::of(track, now)).collect();
        if let [main] = levels[..]
            && main.key == TrackKey::VIDEO
        {
            levels.extend(main.below(&self.ladder()));
        }
        levels.sort_by_key(|level| (Reverse((level.pixels(), level.bitrate_bps)), level.key));
        levels
    }

    /// Returns the rungs that are made of its main video, as far as that is large enough.
    pub fn ladder(&self) -> Ladder {
        let owner = self.pictures(MediaKind::Video).map_or(self, |pictures| pictures);
        owner.deriver.as_ref().map_or_else(Ladder::default, |deriver| deriver.ladder())
    }

    /// Returns the rung of this key, if it is made or can be.
    pub(super) fn find_rung(&self, key: TrackKey, accept: Accept<'_>) -> Result<Found, Unavailable> {
        let original = self.original(TrackKey::VIDEO).ok_or(Unavailable::NoTrack(key))?;
        let codec = original.parameters().codec();
        let recipe = Recipe::for_viewer(key, accept).next().ok_or(Unavailable::NoRecipe(codec))?;
        // The moment of the newest frame is that of the figures.
        let is_offered = original.newest().is_some_and(|newest| {
            let levels = self.levels(newest.arrived);
            levels.iter().any(|level| level.key == key)
        });
        match self.find_converted(TrackKey::VIDEO, recipe)? {
            Found::Recipe(..) if !is_offered => Err(Unavailable::NoTrack(key)),
            found => Ok(found), // What is made goes on for those who come, although the video is smaller than it was.
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::codec::Codec;
    use crate::feed::{Deriver, Entry, Lease, NotDerived};
    use crate::key::Rendition;
    use crate::testing::{Frames, video};

    const PLAYER: Accept<'_> =
        Accept { codecs: &[Codec::H264], reordering: true, any_format: false, entry: Entry::Now };

    /// Makes rungs without frames.
    struct Maker;

    impl Deriver for Maker {
        fn derive(&self, recipe: Recipe, input: &Arc<Track>, _: Lease) -> Result<Arc<Track>, NotDerived> {
            let Recipe::Rung(rendition) = recipe else { panic!("{recipe:?}") };
            Ok(Arc::new(Track::with_rendition(rendition, input.parameters())))
        }

        fn ladder(&self) -> Ladder {
            Ladder::new(&["360p:600k", "180p@15:150k"].map(|rung| rung.parse().unwrap())).unwrap()
        }
    }

    /// Returns a feed with main video of 640x360 at 25 fps.
    fn feed() -> (Arc<Feed>, Frames) {
        let feed = Feed::new(Some(Arc::new(Maker)));
        let (main, mut frames) = (Arc::new(Track::new(video())), Frames::new(video()));
        feed.set_original(main.clone());
        (0..50).for_each(|number| main.push(frames.frame(number == 0, 5_000)));
        (feed, frames)
    }

    fn names(levels: &[Level]) -> Vec<String> {
        levels.iter().map(|level| level.key.to_string()).collect()
    }

    #[test]
    fn rungs_below_the_only_rendition_are_levels_and_are_made_on_demand() {
        let (feed, frames) = feed();
        let levels = feed.levels(frames.at(49));
        assert_eq!(names(&levels), ["video", "video101"]);
        let rung = levels[1];
        assert_eq!((rung.size, rung.frame_rate, rung.bitrate_bps), (Some((320, 180)), 15.0, 150_000));
        assert!(rung.on_demand && !levels[0].on_demand);
        let demand = feed.demand(rung.key, PLAYER).unwrap();
        assert_eq!((demand.track().key(), demand.is_derived()), (rung.key, true));
        let again = feed.demand(rung.key, PLAYER).unwrap();
        assert_eq!(again.track().id(), demand.track().id(), "it is made once");
        assert_eq!(feed.codecs(rung.key, PLAYER), [Codec::H264]);
        assert_eq!(feed.demand(TrackKey::rung(0), PLAYER).unwrap_err(), Unavailable::NoTrack(TrackKey::rung(0)));
        let without = Accept { codecs: &[Codec::Vp8], ..PLAYER };
        assert_eq!(feed.demand(rung.key, without).unwrap_err(), Unavailable::NoRecipe(Codec::Vp8));
    }

    #[test]
    fn a_publisher_that_makes_renditions_has_no_rungs_and_fills_none() {
        let (feed, mut frames) = feed();
        let further = Arc::new(Track::with_rendition(Rendition(1), video()));
        feed.set_original(further.clone());
        further.push(frames.frame(true, 100));
        assert_eq!(names(&feed.levels(frames.at(50))), ["video", "video1"]);
        let claimed = Arc::new(Track::with_rendition(Rendition(101), video()));
        assert!(!feed.set_original(claimed.clone()) && claimed.is_ended());
    }

    #[test]
    fn a_return_feed_has_the_rungs_of_its_pictures() {
        let (program, frames) = feed();
        let back = Feed::with_pictures_of(program.clone(), None);
        assert_eq!(names(&back.levels(frames.at(49))), ["video", "video101"]);
        let own = program.demand(TrackKey::rung(1), PLAYER).unwrap();
        assert_eq!(back.demand(TrackKey::rung(1), PLAYER).unwrap().track().id(), own.track().id());
    }
}
