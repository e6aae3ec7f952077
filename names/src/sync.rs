//! How a viewer's audio and video are timed against each other.

use std::fmt;
use std::str::FromStr;

/// The order in which a viewer gets audio and video of the same moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AvSync {
    /// Both are played in step. The one that comes earlier waits for the other.
    #[default]
    LipSync,
    /// Video is shown as soon as it comes. Audio is played when it is ready, which is later if it is converted.
    PictureFirst,
}

/// The text names no way to time audio and video.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidAvSync;

impl AvSync {
    /// Every variant.
    pub const ALL: [Self; 2] = [Self::LipSync, Self::PictureFirst];

    /// Returns the name, as people write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::LipSync => "lip-sync",
            Self::PictureFirst => "picture-first",
        }
    }
}

impl FromStr for AvSync {
    type Err = InvalidAvSync;

    fn from_str(name: &str) -> Result<Self, InvalidAvSync> {
        Self::ALL.into_iter().find(|sync| sync.name() == name).ok_or(InvalidAvSync)
    }
}

impl fmt::Display for InvalidAvSync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sync is {}", AvSync::ALL.map(AvSync::name).join(" or "))
    }
}

impl std::error::Error for InvalidAvSync {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_back_and_another_text_is_refused_with_the_names() {
        assert!(AvSync::ALL.into_iter().all(|sync| sync.name().parse() == Ok(sync)));
        let refused = "Lip-Sync".parse::<AvSync>().unwrap_err();
        assert_eq!(refused.to_string(), "sync is lip-sync or picture-first");
    }
}
