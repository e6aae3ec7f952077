//! The ladder: smaller forms of a feed's main video that this node makes itself, each only while somebody needs it.
//!
//! This is the plan alone: which rungs there are for a video of some size, and what each of them will be. Who makes them is a
//! [`Deriver`](super::Deriver). A rung keeps the shape of the video. Its height is that of video that is as wide as it is tall or
//! wider, and the width of video that stands upright. It never has more frames than the video.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

use crate::codec::h264;
use crate::key::{Rendition, TrackKey};

/// The most rungs of a ladder. Three or four serve all networks; each costs a line in playlists and an encoder while it is watched.
pub const RUNGS_MAX: usize = 6;

/// The peak bitrate of what this node encodes, in percent of its mean bitrate, over the length of the encoder's buffer.
pub const PEAK_PERCENT: u64 = 120;

/// The heights of rungs. Encoders and browsers have limits below it, and 8K is the largest video that there is.
const HEIGHTS: std::ops::RangeInclusive<u32> = 90..=4320;

/// The bitrates of rungs, in bits per second.
const BITRATES: std::ops::RangeInclusive<u64> = 20_000..=50_000_000;

/// The frame rates of rungs.
const FRAME_RATES: std::ops::RangeInclusive<u32> = 1..=60;

/// Video has to be taller than a rung by a quarter, or the rung would be nearly the same.
const TALLER: (u32, u32) = (5, 4);

/// One smaller form of video. As a text it is `360p:600k`, or `180p@15:150k` for at most 15 frames per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rung {
    /// The shorter side, in pixels.
    pub height: u32,
    /// The most frames per second. `None` for those of the video.
    pub frame_rate: Option<u32>,
    /// The mean bitrate, in bits per second.
    pub bitrate_bps: u64,
}

/// Is the error for a text that is not a rung. Display is a sentence.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "{0:?} is not a rung: write HEIGHTp:BITRATEk or HEIGHTp@FRAMES:BITRATEk, such as \"360p:600k\" or \"180p@15:150k\", with a height \
     from 90 to 4320, up to 60 frames per second, and from 20 to 50000 kbit/s"
)]
pub struct InvalidRung(String);

impl FromStr for Rung {
    type Err = InvalidRung;

    fn from_str(text: &str) -> Result<Self, InvalidRung> {
        let parsed = || {
            let (form, bitrate) = text.trim().split_once(':')?;
            let (height, frame_rate) = match form.split_once("p@") {
                Some((height, rate)) => (height, Some(rate.parse().ok().filter(|rate| FRAME_RATES.contains(rate))?)),
                None => (form.strip_suffix('p')?, None),
            };
            let height = height.parse().ok().filter(|height| HEIGHTS.contains(height))?;
            let bitrate_bps = bitrate.strip_suffix('k')?.parse::<u64>().ok()?.checked_mul(1000)?;
            BITRATES.contains(&bitrate_bps).then_some(Self { height, frame_rate, bitrate_bps })
        };
        parsed().ok_or_else(|| InvalidRung(text.to_owned()))
    }
}

impl fmt::Display for Rung {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}p", self.height)?;
        if let Some(frame_rate) = self.frame_rate {
            write!(formatter, "@{frame_rate}")?;
        }
        write!(formatter, ":{}k", self.bitrate_bps / 1000)
    }
}

impl Rung {
    /// Returns the size that it gives video of this size. It has the same shape, even sides, and is never larger.
    pub fn size_of(&self, (width, height): (u32, u32)) -> (u32, u32) {
        let (width, height) = (width & !1, height & !1);
        let (shorter, longer) = (width.min(height), width.max(height));
        if shorter <= self.height || shorter == 0 {
            return (width, height);
        }
        let short = self.height & !1;
        let long = (u64::from(longer) * u64::from(short) + u64::from(shorter)) / (2 * u64::from(shorter)) * 2;
        let long = u32::try_from(long).unwrap_or(longer);
        if width < height { (short, long) } else { (long, short) }
    }

    /// Returns the frame rate that it gives video of this frame rate.
    pub fn frame_rate_of(&self, frame_rate: f64) -> f64 {
        self.frame_rate.map_or(frame_rate, |most| frame_rate.min(f64::from(most)))
    }

    /// Returns the level of H.264 that it declares for video of this size and frame rate.
    pub fn h264_level(&self, size: (u32, u32), frame_rate: f64) -> u8 {
        let (width, height) = self.size_of(size);
        h264::level_of(width, height, self.frame_rate_of(frame_rate), self.peak_bps())
    }

    /// Returns the codec string that it will have for such video (RFC 6381). Its profile is Main, which all browsers decode.
    pub fn rfc6381(&self, size: (u32, u32), frame_rate: f64) -> String {
        format!("avc1.4d40{:02x}", self.h264_level(size, frame_rate))
    }

    /// Returns its peak bitrate.
    pub fn peak_bps(&self) -> u64 {
        self.bitrate_bps * PEAK_PERCENT / 100
    }

    /// Returns whether it is worth making of video of this size.
    fn is_below(&self, (width, height): (u32, u32)) -> bool {
        u64::from(width.min(height)) * u64::from(TALLER.1) >= u64::from(self.height) * u64::from(TALLER.0)
    }
}

/// The rungs of a node, the best first. It is cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ladder(Arc<[Rung]>);

/// States why rungs make no ladder. Display is a sentence.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum InvalidLadder {
    /// There are too many of them.
    #[error("a ladder has at most {RUNGS_MAX} rungs")]
    TooMany,
    /// One is not smaller than the one before it.
    #[error("each rung of a ladder has a smaller bitrate than the one before it, and is no taller")]
    NotDescending,
}

impl Ladder {
    /// Makes a ladder of rungs, which descend.
    pub fn new(rungs: &[Rung]) -> Result<Self, InvalidLadder> {
        if rungs.len() > RUNGS_MAX {
            return Err(InvalidLadder::TooMany);
        }
        let descends = |pair: &[Rung]| pair[1].bitrate_bps < pair[0].bitrate_bps && pair[1].height <= pair[0].height;
        if !rungs.windows(2).all(descends) {
            return Err(InvalidLadder::NotDescending);
        }
        Ok(Self(rungs.into()))
    }

    /// Returns the rung of a rendition.
    pub fn rung(&self, rendition: Rendition) -> Option<&Rung> {
        self.0.get(usize::from(rendition.0.checked_sub(Rendition::FIRST_RUNG.0)?))
    }

    /// Returns the rungs that are worth making of main video of this size, the best first.
    pub fn below(&self, size: (u32, u32)) -> impl Iterator<Item = (TrackKey, &Rung)> {
        let numbered = (0..).zip(self.0.iter());
        numbered.filter(move |(_, rung)| rung.is_below(size)).map(|(place, rung)| (TrackKey::rung(place), rung))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rung(text: &str) -> Rung {
        text.parse().unwrap()
    }

    #[test]
    fn a_rung_is_written_as_it_is_read_and_what_cannot_be_made_is_none() {
        let low = Rung { height: 180, frame_rate: Some(15), bitrate_bps: 150_000 };
        assert_eq!(rung("180p@15:150k"), low);
        for text in ["480p:1000k", "180p@15:150k"] {
            assert_eq!(rung(text).to_string(), text);
        }
        for text in
            ["", "360p", "360:600k", "360p:600", "360p@0:600k", "360p@61:600k", "89p:100k", "360p:19k", "360p@:1k"]
        {
            let refused = text.parse::<Rung>().unwrap_err();
            assert!(refused.to_string().contains("is not a rung: write HEIGHTp:BITRATEk"), "{text}");
        }
        assert!(format!("360p:{}k", u64::MAX).parse::<Rung>().is_err());
    }

    #[test]
    fn a_rung_keeps_the_shape_has_even_sides_and_is_never_larger() {
        let size = |text, size| rung(text).size_of(size);
        assert_eq!(size("480p:1000k", (1280, 720)), (854, 480));
        assert_eq!(size("360p:600k", (1920, 1080)), (640, 360));
        assert_eq!(size("360p:600k", (720, 1280)), (360, 640));
        assert_eq!(size("360p:600k", (720, 720)), (360, 360));
        assert_eq!(size("360p:600k", (321, 241)), (320, 240));
        assert_eq!(size("135p:600k", (1279, 721)), (238, 134));
        assert_eq!(size("90p:50k", (8192, 91)), (8192, 90));
        assert_eq!(size("90p:50k", (0, 0)), (0, 0));
    }

    #[test]
    fn only_rungs_that_are_clearly_below_the_video_are_offered() {
        let ladder = Ladder::new(&["480p:1000k", "360p:600k", "180p@15:150k"].map(rung)).unwrap();
        let names = |size| ladder.below(size).map(|(key, _)| key.to_string()).collect::<Vec<_>>();
        assert_eq!(names((1280, 720)), ["video100", "video101", "video102"]);
        assert_eq!(names((960, 540)), ["video101", "video102"], "480 lines are nearly 540");
        assert_eq!(names((320, 180)), [""; 0]);
        assert_eq!(ladder.rung(Rendition(101)), Some(&rung("360p:600k")));
        assert_eq!((ladder.rung(Rendition(103)), ladder.rung(Rendition(1))), (None, None));
    }

    #[test]
    fn a_ladder_descends_and_is_bounded() {
        let made = |texts: &[&str]| Ladder::new(&texts.iter().map(|text| rung(text)).collect::<Vec<_>>());
        assert_eq!(made(&[]), Ok(Ladder::default()));
        assert!(made(&["360p:600k", "360p@15:300k"]).is_ok());
        assert_eq!(made(&["360p:600k", "480p:500k"]), Err(InvalidLadder::NotDescending));
        assert_eq!(made(&["360p:600k", "180p:600k"]), Err(InvalidLadder::NotDescending));
        assert_eq!(made(&["360p:600k"; 7]), Err(InvalidLadder::TooMany));
    }
}
