//! What a viewer asks for: one level, or limits within which it gets the best that its path carries.

use std::fmt;

use onmic_media::TrackKey;

use super::Rung;

/// A level need not fill a player to the last pixel: enlarged by up to an eighth it looks the same.
const ENLARGED: u64 = 8;

/// What a viewer gets of the video.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pick {
    /// The level of this key.
    Level(TrackKey),
    /// No video.
    AudioOnly,
}

impl Pick {
    /// The name for no video, where the others have the names of their keys.
    pub const AUDIO_ONLY: &'static str = "none";

    /// Returns whether it can be had of these levels.
    pub(super) fn is_among(self, rungs: &[Rung]) -> bool {
        match self {
            Self::AudioOnly => true,
            Self::Level(key) => rungs.iter().any(|rung| rung.key == key),
        }
    }
}

impl fmt::Display for Pick {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Level(key) => key.fmt(formatter),
            Self::AudioOnly => formatter.write_str(Self::AUDIO_ONLY),
        }
    }
}

/// What a viewer asks for. By default it gets the best that its path carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// What it gets whatever its path carries.
    pub pinned: Option<Pick>,
    /// The width of its player, in pixels of the screen.
    pub width_max: Option<u32>,
    /// The height of its player, in pixels of the screen.
    pub height_max: Option<u32>,
    /// The most payload bits of video per second.
    pub bitrate_max_bps: Option<u64>,
}

impl Wish {
    /// Returns the levels that may be chosen: all but the first, which are more than the viewer needs. There is always one.
    pub(super) fn allowed<'r>(&self, rungs: &'r [Rung]) -> &'r [Rung] {
        let fits = |rung: &Rung| self.bitrate_max_bps.is_none_or(|most| rung.bitrate_bps <= most);
        let within = rungs.iter().position(fits).unwrap_or(rungs.len().saturating_sub(1));
        let rungs = &rungs[within..];
        let last_to_fill = rungs.iter().rposition(|rung| !rung.on_demand && self.fills(rung)).unwrap_or(0);
        // The same picture may come at several rates. All that are as large as the smallest that fills the player are of use.
        let of_use = rungs.iter().position(|rung| rungs.get(last_to_fill).is_some_and(|last| last.size == rung.size));
        &rungs[of_use.unwrap_or(0)..]
    }

    /// Returns whether a level has the pixels that the player shows, so that a larger one looks the same. The picture is fitted into
    /// the player, so that one of its sides decides. A level of unknown size fills none.
    fn fills(&self, rung: &Rung) -> bool {
        let Some((width, height)) = rung.size else { return false };
        let reaches = |size: u32, most: Option<u32>| {
            most.is_some_and(|most| u64::from(size) * (ENLARGED + 1) >= u64::from(most) * ENLARGED)
        };
        reaches(width, self.width_max) || reaches(height, self.height_max)
    }
}

#[cfg(test)]
mod tests {
    use onmic_media::{MediaKind, Rendition};

    use super::*;

    fn rung(rendition: u8, size: (u32, u32), kbps: u64) -> Rung {
        let key = TrackKey::new(MediaKind::Video, Rendition(rendition));
        Rung { key, size: Some(size), bitrate_bps: kbps * 1000, on_demand: false }
    }

    fn allowed(wish: Wish) -> Vec<u32> {
        let rungs = [rung(0, (1280, 720), 2500), rung(1, (640, 360), 800), rung(2, (320, 180), 250)];
        wish.allowed(&rungs).iter().map(|rung| rung.size.unwrap_or_default().1).collect()
    }

    #[test]
    fn levels_larger_than_the_player_are_left_out_but_for_the_smallest_that_fills_it() {
        let player =
            |width, height| allowed(Wish { width_max: Some(width), height_max: Some(height), ..Wish::default() });
        assert_eq!(allowed(Wish::default()), [720, 360, 180]);
        assert_eq!(player(1920, 1080), [720, 360, 180], "none fills it");
        assert_eq!(player(1280, 720), [720, 360, 180]);
        assert_eq!(player(800, 450), [720, 360, 180]);
        assert_eq!(player(700, 394), [360, 180], "enlarged by a tenth");
        assert_eq!(player(640, 360), [360, 180]);
        assert_eq!(player(390, 844), [360, 180], "a telephone held upright shows the width alone");
        assert_eq!(player(200, 112), [180]);
        assert_eq!(player(0, 0), [180]);
        assert_eq!(allowed(Wish { height_max: Some(300), ..Wish::default() }), [360, 180]);
    }

    #[test]
    fn a_small_player_alone_begins_no_level_on_demand() {
        let [main, small] = [rung(0, (1280, 720), 2500), Rung { on_demand: true, ..rung(100, (640, 360), 800) }];
        let wish = Wish { width_max: Some(320), height_max: Some(180), ..Wish::default() };
        assert_eq!(wish.allowed(&[main, small]), [main, small]);
        assert_eq!(Wish { bitrate_max_bps: Some(900_000), ..wish }.allowed(&[main, small]), [small]);
    }

    #[test]
    fn a_limit_of_bits_leaves_the_lowest_level_at_least() {
        let most = |kbps: u64| allowed(Wish { bitrate_max_bps: Some(kbps * 1000), ..Wish::default() });
        assert_eq!((most(3000), most(1000), most(10)), (vec![720, 360, 180], vec![360, 180], vec![180]));
        assert!(Wish { height_max: Some(1), ..Wish::default() }.allowed(&[]).is_empty());
    }

    #[test]
    fn of_one_size_at_two_rates_both_are_of_use_and_a_level_of_unknown_size_stays() {
        let rungs = [rung(0, (1280, 720), 2500), rung(1, (640, 360), 900), rung(2, (640, 360), 400)];
        let wish = Wish { width_max: Some(640), ..Wish::default() };
        assert_eq!(wish.allowed(&rungs).len(), 2);
        let unknown = [Rung { size: None, ..rungs[0] }];
        assert_eq!(wish.allowed(&unknown).len(), 1);
    }
}
