//! Names of the files that a playlist refers to. All are relative to the playlist, so that any directory will do. The
//! server makes the directory unique to the stream, because a cache may still hold the files of an earlier stream
//! under these names.
//!
//! A part has a number of its own, not one within its segment. The preload hint names the part that comes next before it
//! is known whether the segment goes on or the next one begins with it. So a hint is never wrong, and no part waits
//! for the frame behind it.

use onmic_media::TrackKey;

/// Names a file of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum File {
    /// A media playlist: `video.m3u8`, `video1.m3u8`.
    Playlist(TrackKey),
    /// An initialisation segment: `video-init-0.mp4`.
    Init(TrackKey, u32),
    /// A segment: `video-12.m4s`.
    Segment(TrackKey, u64),
    /// A part by its number within the rendition: `video-part-75.m4s`.
    Part(TrackKey, u64),
}

impl File {
    /// Parses the name of a file.
    pub fn parse(name: &str) -> Option<Self> {
        let (track, rest) = name.split_at_checked(name.find(['-', '.'])?)?;
        let key = track.parse().ok()?;
        if rest == ".m3u8" {
            return Some(Self::Playlist(key));
        }
        let rest = rest.strip_prefix('-')?;
        if let Some(number) = rest.strip_prefix("init-") {
            return Some(Self::Init(key, decimal(number.strip_suffix(".mp4")?)?.try_into().ok()?));
        }
        let media = rest.strip_suffix(".m4s")?;
        match media.strip_prefix("part-") {
            None => Some(Self::Segment(key, decimal(media)?)),
            Some(number) => Some(Self::Part(key, decimal(number)?)),
        }
    }
}

/// Parses a number of digits only. It refuses a second spelling of a number, because a cache would keep each.
pub fn decimal(text: &str) -> Option<u64> {
    let canonical = text == "0" || (!text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit()));
    if canonical && !text.is_empty() { text.parse().ok() } else { None }
}

impl std::fmt::Display for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Playlist(key) => write!(f, "{key}.m3u8"),
            Self::Init(key, number) => write!(f, "{key}-init-{number}.mp4"),
            Self::Segment(key, msn) => write!(f, "{key}-{msn}.m4s"),
            Self::Part(key, number) => write!(f, "{key}-part-{number}.m4s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use onmic_media::{MediaKind, Rendition};

    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        let (video, audio) = (TrackKey::VIDEO, TrackKey::AUDIO);
        let lower = TrackKey::new(MediaKind::Video, Rendition(12));
        for file in [
            File::Playlist(video),
            File::Init(audio, 3),
            File::Segment(video, 0),
            File::Part(audio, 127),
            File::Playlist(lower),
            File::Part(lower, 0),
        ] {
            assert_eq!(File::parse(&file.to_string()), Some(file));
        }
        assert_eq!(File::Segment(lower, 7).to_string(), "video12-7.m4s");
    }

    #[test]
    fn other_spellings_are_not_names() {
        for name in [
            "",
            "video",
            "video-.m4s",
            "video-01.m4s",
            "video-+1.m4s",
            "video-1.2.m4s",
            "video-part-01.m4s",
            "video-part-.m4s",
            "audio-init-x.mp4",
            "video0-1.m4s",
            "video01.m3u8",
            "video256.m3u8",
            "text.m3u8",
        ] {
            assert_eq!(File::parse(name), None, "{name}");
        }
        assert_eq!(File::parse("video-99999999999999999999.m4s"), None);
    }
}
