//! Names of what a playlist refers to. All are relative to the playlist, so that any directory will do; who serves them
//! makes the directory unique to the stream, because a cache may still hold what an earlier stream had under these names.

use onmic_media::MediaKind;

/// A file of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum File {
    /// `video.m3u8`
    Playlist(MediaKind),
    /// `video-init-0.mp4`
    Init(MediaKind, u32),
    /// `video-12.m4s`
    Segment(MediaKind, u64),
    /// `video-12.3.m4s`
    Part(MediaKind, u64, u32),
}

impl File {
    /// The file of this name.
    pub fn parse(name: &str) -> Option<Self> {
        let (kind, rest) = match name.strip_prefix("video") {
            Some(rest) => (MediaKind::Video, rest),
            None => (MediaKind::Audio, name.strip_prefix("audio")?),
        };
        if rest == ".m3u8" {
            return Some(Self::Playlist(kind));
        }
        let rest = rest.strip_prefix('-')?;
        if let Some(number) = rest.strip_prefix("init-") {
            return Some(Self::Init(kind, decimal(number.strip_suffix(".mp4")?)?.try_into().ok()?));
        }
        let numbers = rest.strip_suffix(".m4s")?;
        match numbers.split_once('.') {
            None => Some(Self::Segment(kind, decimal(numbers)?)),
            Some((segment, part)) => Some(Self::Part(kind, decimal(segment)?, decimal(part)?.try_into().ok()?)),
        }
    }
}

/// Digits only, and no second spelling of a number: a cache would keep each.
pub fn decimal(text: &str) -> Option<u64> {
    let canonical = text == "0" || (!text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit()));
    if canonical && !text.is_empty() { text.parse().ok() } else { None }
}

impl std::fmt::Display for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Playlist(kind) => write!(f, "{}.m3u8", kind.name()),
            Self::Init(kind, number) => write!(f, "{}-init-{number}.mp4", kind.name()),
            Self::Segment(kind, msn) => write!(f, "{}-{msn}.m4s", kind.name()),
            Self::Part(kind, msn, part) => write!(f, "{}-{msn}.{part}.m4s", kind.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        let video = MediaKind::Video;
        let audio = MediaKind::Audio;
        for file in [File::Playlist(video), File::Init(audio, 3), File::Segment(video, 0), File::Part(audio, 12, 7)] {
            assert_eq!(File::parse(&file.to_string()), Some(file));
        }
    }

    #[test]
    fn other_spellings_are_no_names() {
        for name in ["", "video", "video-.m4s", "video-01.m4s", "video-+1.m4s", "video-1.2.3.m4s", "audio-init-x.mp4"] {
            assert_eq!(File::parse(name), None, "{name}");
        }
        assert_eq!(File::parse("video-99999999999999999999.m4s"), None);
    }
}
