//! How a viewer's player times what it plays.

use std::fmt;

use crate::AvSync;

/// The longest delay that a viewer or a room can ask for, in ms. At 2 s LL-HLS is as close, and smoother.
pub const PLAYOUT_DELAY_MAX_MS: u16 = 2000;

/// How a viewer's audio and video are timed against each other, and how far behind the newest frame they are played.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Playout {
    /// How audio and video are timed against each other.
    pub sync: AvSync,
    /// The least time for which the player holds media before it plays it, in ms, up to [`PLAYOUT_DELAY_MAX_MS`]. More of it makes
    /// playback smoother, because lost packets have more time to be sent again. Zero is as close as possible.
    pub delay_ms: u16,
}

/// The text is not a delay that a viewer can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidPlayoutDelay;

impl Playout {
    /// Reads a delay, in ms, as people write it in an address.
    pub fn parse_delay(text: &str) -> Result<u16, InvalidPlayoutDelay> {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let delay = text.parse().ok().filter(|_| is_number);
        delay.filter(|delay| *delay <= PLAYOUT_DELAY_MAX_MS).ok_or(InvalidPlayoutDelay)
    }
}

impl From<AvSync> for Playout {
    fn from(sync: AvSync) -> Self {
        Self { sync, delay_ms: 0 }
    }
}

impl fmt::Display for InvalidPlayoutDelay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "playout_delay is 0 to {} ms", PLAYOUT_DELAY_MAX_MS)
    }
}

impl std::error::Error for InvalidPlayoutDelay {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_of_0_to_2000_ms_is_read_and_anything_else_is_refused_with_the_range() {
        for (text, ms) in [("0", 0), ("400", 400), ("002000", 2000)] {
            assert_eq!(Playout::parse_delay(text), Ok(ms), "{text}");
        }
        for text in ["", "2001", "-1", "+1", "1.5", "400ms", " 400", "99999999999999999999"] {
            let refused = Playout::parse_delay(text).unwrap_err();
            assert_eq!(refused.to_string(), "playout_delay is 0 to 2000 ms", "{text}");
        }
    }
}
