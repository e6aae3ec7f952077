//! The qualities to send: their sizes, frame rates and bitrates, best first.
//!
//! All have the shape of the picture. The bitrate of a size follows one curve, so that no quality looks worse than its neighbours for its
//! size. What has to be saved is taken from all of them first, then qualities are left out, and then the largest becomes smaller.

use super::request::FrameRate;

/// The size of each quality as a share of the largest, by how many there are: the sizes that players know (1080, 720, 480, 360, 240 lines).
const SHARES: [&[(u32, u32)]; 6] = [
    &[(1, 1)],
    &[(1, 1), (1, 2)],
    &[(1, 1), (2, 3), (1, 3)],
    &[(1, 1), (2, 3), (1, 3), (2, 9)],
    &[(1, 1), (2, 3), (4, 9), (1, 3), (2, 9)],
    &[(1, 1), (2, 3), (4, 9), (1, 3), (2, 9), (1, 6)],
];

/// The sizes that the largest quality may have, as shares of the picture.
const TOPS: [(u32, u32); 6] = [(1, 1), (2, 3), (1, 2), (1, 3), (2, 9), (1, 6)];

/// The longest side that hardware encodes as H.264.
const SIDE_MAX: u32 = 4096;

/// The fewest lines of a quality beside the largest. A smaller one saves nothing that its audio does not cost.
const LINES_MIN: u32 = 160;

/// Qualities with at most this many lines have at most this many pictures per second: on a network that needs them, sharper pictures
/// are worth more than smoother ones.
const CALM: (u32, f64) = (360, 30.5);

/// The bitrate of 1280×720 at 30 pictures per second.
const KBPS_720: f64 = 2500.0;

/// How bitrate grows with the pixels of a picture, and with pictures per second: neighbours resemble each other more, the more there are.
const BY_PIXELS: f64 = 0.75;
const BY_RATE: f64 = 0.5;

/// The least part of its bitrate on which a quality is still worth its size.
const LEAST: f64 = 0.6;

/// One quality.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    pub width: u32,
    pub height: u32,
    pub frame_rate: FrameRate,
    pub kbps: u32,
}

/// What the qualities together may take.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// The most qualities: 1 to 6.
    pub tracks: usize,
    /// The most bitrate.
    pub kbps: u32,
    /// The most pixels that the encoder makes in a second, where that limits it. One quality is made whatever it takes.
    pub pixels_per_second: Option<f64>,
}

/// The qualities of a picture.
pub struct Ladder {
    width: u32,
    height: u32,
    frame_rate: FrameRate,
}

impl Ladder {
    /// Makes qualities of a picture of this size and rate.
    pub fn of((width, height, frame_rate): (u32, u32, FrameRate)) -> Self {
        Self { width, height, frame_rate }
    }

    /// Returns the best qualities that fit. `None` if not even the smallest picture does.
    pub fn within(&self, room: Room) -> Option<Vec<Level>> {
        let tops = TOPS.iter().filter(|top| {
            let (width, height) = self.size(**top);
            width.max(height) <= SIDE_MAX
        });
        let counts = (1..=room.tracks.clamp(1, SHARES.len())).rev();
        tops.flat_map(|top| counts.clone().map(move |count| (top, count)))
            .find_map(|(top, count)| fitted(self.levels(*top, SHARES[count - 1]), room))
    }

    /// Returns the qualities at their full bitrate. Those that would be too small are left out.
    fn levels(&self, top: (u32, u32), shares: &[(u32, u32)]) -> Vec<Level> {
        let of_picture = shares.iter().map(|share| (top.0 * share.0, top.1 * share.1));
        let levels = of_picture.map(|share| self.level(share)).enumerate();
        levels.filter(|(index, level)| *index == 0 || level.lines() >= LINES_MIN).map(|(_, level)| level).collect()
    }

    fn level(&self, share: (u32, u32)) -> Level {
        let (width, height) = self.size(share);
        let frame_rate = if width.min(height) <= CALM.0 { calmed(self.frame_rate) } else { self.frame_rate };
        let pixels = f64::from(width) * f64::from(height) / (1280.0 * 720.0);
        let kbps = KBPS_720 * pixels.powf(BY_PIXELS) * (frame_rate.per_second() / 30.0).powf(BY_RATE);
        Level { width, height, frame_rate, kbps: kbps.max(1.0) as u32 }
    }

    /// Returns a share of the picture's size. Both sides are even, as 4:2:0 needs.
    fn size(&self, share: (u32, u32)) -> (u32, u32) {
        let side = |side: u32| {
            let exact = u64::from(side) * u64::from(share.0) / u64::from(share.1).max(1);
            ((exact as u32).div_ceil(2) * 2).max(2)
        };
        (side(self.width), side(self.height))
    }
}

impl Level {
    fn lines(&self) -> u32 {
        self.width.min(self.height)
    }

    fn pixels_per_second(&self) -> f64 {
        f64::from(self.width) * f64::from(self.height) * self.frame_rate.per_second()
    }
}

/// Returns the levels with the bitrate that there is, unless that is too little for them.
fn fitted(levels: Vec<Level>, room: Room) -> Option<Vec<Level>> {
    let made: f64 = levels.iter().map(Level::pixels_per_second).sum();
    if levels.len() > 1 && room.pixels_per_second.is_some_and(|most| made > most) {
        return None;
    }
    let wanted: u32 = levels.iter().map(|level| level.kbps).sum();
    let part = (f64::from(room.kbps) / f64::from(wanted)).min(1.0);
    let with_less = |level: &Level| Level { kbps: (f64::from(level.kbps) * part) as u32 / 10 * 10, ..*level };
    (part >= LEAST).then(|| levels.iter().map(with_less).collect())
}

/// Returns every second, third … picture of a rate, so that few come and each is one of the rate's own.
fn calmed(rate: FrameRate) -> FrameRate {
    let divisor = (rate.per_second() / CALM.1).ceil().max(1.0) as u32;
    match rate.numerator.is_multiple_of(divisor) {
        true => FrameRate { numerator: rate.numerator / divisor, ..rate },
        false => FrameRate { denominator: rate.denominator.saturating_mul(divisor), ..rate },
    }
}
