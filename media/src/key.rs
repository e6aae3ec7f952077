//! The key of a track within its feed: its kind and its rendition. A feed, a publication, a program, a packager and a
//! WebRTC session hold any number of tracks by this key, up to [`TRACKS_MAX`].
//!
//! A viewer gets the main video and the main audio (rendition 0) unless it asks for another rendition. Further
//! renditions are the same content in another form: lower video qualities, other languages.
//!
//! The renditions of video from [`Rendition::FIRST_RUNG`] on are the rungs of the node's own ladder
//! ([`feed::Ladder`](crate::feed::Ladder)). No publisher fills them: they are made of the main video on demand.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The most tracks of one feed. A ladder of six video qualities, a few languages and some metadata fit several times. A
/// peer that names more keys is refused them. The main video and the main audio always have room.
pub const TRACKS_MAX: usize = 16;

/// The most tracks of a feed beside its main video and main audio.
const FURTHER_MAX: usize = TRACKS_MAX - 2;

/// Names the kind of media that a track carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MediaKind {
    /// Video, in frames.
    Video,
    /// Audio, in packets.
    Audio,
    /// Timed metadata. LL-HLS alone carries it.
    Data,
}

impl MediaKind {
    /// Lists all kinds, in the order of their keys.
    pub const ALL: [Self; 3] = [Self::Video, Self::Audio, Self::Data];

    /// Returns the word for URLs, logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Video => "video",
            Self::Audio => "audio",
            Self::Data => "data",
        }
    }
}

impl fmt::Display for MediaKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Is the number of a track among those of its kind. 0 is the main one. Larger numbers are lower qualities or other
/// versions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rendition(pub u8);

impl Rendition {
    /// The rendition of every viewer that does not ask for another.
    pub const MAIN: Self = Self(0);

    /// The first rung of the node's own ladder. Publishers have up to six tracks of video, far below it.
    pub const FIRST_RUNG: Self = Self(100);
}

/// Is the key of a track within its feed. Keys are ordered by kind, then by rendition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrackKey {
    /// The kind of media that it carries.
    pub kind: MediaKind,
    /// The rendition among tracks of that kind.
    pub rendition: Rendition,
}

impl TrackKey {
    /// The main video.
    pub const VIDEO: Self = Self::main(MediaKind::Video);
    /// The main audio.
    pub const AUDIO: Self = Self::main(MediaKind::Audio);
    /// The main timed metadata.
    pub const DATA: Self = Self::main(MediaKind::Data);

    /// Returns the key of one rendition of `kind`.
    pub const fn new(kind: MediaKind, rendition: Rendition) -> Self {
        Self { kind, rendition }
    }

    /// Returns the key of the main track of `kind`.
    pub const fn main(kind: MediaKind) -> Self {
        Self::new(kind, Rendition::MAIN)
    }

    /// Returns the key of a rung of the node's own ladder, counted from its best.
    pub const fn rung(place: u8) -> Self {
        Self::new(MediaKind::Video, Rendition(Rendition::FIRST_RUNG.0.saturating_add(place)))
    }

    /// Returns whether it is a rung of the node's own ladder.
    pub fn is_rung(self) -> bool {
        self.kind == MediaKind::Video && self.rendition >= Rendition::FIRST_RUNG
    }

    /// Returns the key of the track that is made for it, or of which it is made if it is a rung.
    pub fn source(self) -> Self {
        if self.is_rung() { Self::VIDEO } else { self }
    }

    /// Returns whether it is the main video or the main audio. They decide when a feed is there and where a program is
    /// cut.
    pub fn leads(self) -> bool {
        self == Self::VIDEO || self == Self::AUDIO
    }
}

/// A kind alone names its main track.
impl From<MediaKind> for TrackKey {
    fn from(kind: MediaKind) -> Self {
        Self::main(kind)
    }
}

/// The name in URLs, logs and metrics: `video`, `video1`, `audio`, `data`.
impl fmt::Display for TrackKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.kind.name())?;
        match self.rendition {
            Rendition::MAIN => Ok(()),
            Rendition(number) => write!(formatter, "{number}"),
        }
    }
}

/// Is the error for a text that is not the name of a track.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("not a track: write video, video1 to video255, or the same with another kind")]
pub struct InvalidTrackKey;

impl FromStr for TrackKey {
    type Err = InvalidTrackKey;

    /// Parses the name of a track. Each key has one spelling, so that a cache keeps each of its files once.
    fn from_str(text: &str) -> Result<Self, InvalidTrackKey> {
        let of_kind = |kind: &MediaKind| Some((*kind, text.strip_prefix(kind.name())?));
        let (kind, number) = MediaKind::ALL.iter().find_map(of_kind).ok_or(InvalidTrackKey)?;
        if number.is_empty() {
            return Ok(Self::main(kind));
        }
        let canonical = !number.starts_with('0') && number.bytes().all(|byte| byte.is_ascii_digit());
        let rendition = canonical.then(|| number.parse().ok()).flatten().ok_or(InvalidTrackKey)?;
        Ok(Self::new(kind, Rendition(rendition)))
    }
}

/// Holds values by track, in a vector in the order of the keys that is searched from its start. A feed has few tracks,
/// and its main ones are in front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keyed<T>(Vec<(TrackKey, T)>);

impl<T> Keyed<T> {
    /// Makes an empty map. It does not allocate.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Returns how many keys it holds.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the value of a key.
    pub fn get(&self, key: TrackKey) -> Option<&T> {
        self.0.iter().find(|(known, _)| *known == key).map(|(_, value)| value)
    }

    /// Returns the value of a key for changes.
    pub fn get_mut(&mut self, key: TrackKey) -> Option<&mut T> {
        self.0.iter_mut().find(|(known, _)| *known == key).map(|(_, value)| value)
    }

    /// Returns whether it holds a value of this key.
    pub fn contains(&self, key: TrackKey) -> bool {
        self.get(key).is_some()
    }

    /// Returns whether a value of this key fits: the key is already there, or there are fewer than [`TRACKS_MAX`]. The
    /// main video and the main audio always fit.
    pub fn has_room_for(&self, key: TrackKey) -> bool {
        key.leads() || self.contains(key) || self.keys().filter(|known| !known.leads()).count() < FURTHER_MAX
    }

    /// Sets the value of a key and returns the one before.
    pub fn insert(&mut self, key: TrackKey, value: T) -> Option<T> {
        match self.place(key) {
            Ok(index) => Some(std::mem::replace(&mut self.0[index].1, value)),
            Err(index) => {
                self.0.insert(index, (key, value));
                None
            }
        }
    }

    /// Returns the value of a key, made by `make` if it is not there.
    pub fn get_or_insert_with(&mut self, key: TrackKey, make: impl FnOnce() -> T) -> &mut T {
        let index = self.place(key).unwrap_or_else(|index| {
            self.0.insert(index, (key, make()));
            index
        });
        &mut self.0[index].1
    }

    /// Removes a key and returns its value.
    pub fn remove(&mut self, key: TrackKey) -> Option<T> {
        self.place(key).ok().map(|index| self.0.remove(index).1)
    }

    /// Returns the keys in order.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = TrackKey> + ExactSizeIterator {
        self.0.iter().map(|(key, _)| *key)
    }

    /// Returns the values in the order of their keys.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &T> + ExactSizeIterator {
        self.0.iter().map(|(_, value)| value)
    }

    /// Returns the values in the order of their keys for changes.
    pub fn values_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut T> + ExactSizeIterator {
        self.0.iter_mut().map(|(_, value)| value)
    }

    /// Returns the keys and values in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (TrackKey, &T)> + ExactSizeIterator {
        self.0.iter().map(|(key, value)| (*key, value))
    }

    /// Returns the keys and values in order, and allows changes to the values.
    pub fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = (TrackKey, &mut T)> + ExactSizeIterator {
        self.0.iter_mut().map(|(key, value)| (*key, value))
    }

    /// Returns the keys and values of one kind, the main one first.
    pub fn of_kind(&self, kind: MediaKind) -> impl DoubleEndedIterator<Item = (TrackKey, &T)> {
        self.iter().filter(move |(key, _)| key.kind == kind)
    }

    /// Returns the index of a key (`Ok`), or the index at which it belongs (`Err`).
    fn place(&self, key: TrackKey) -> Result<usize, usize> {
        self.0.binary_search_by_key(&key, |(known, _)| *known)
    }
}

impl<T> Default for Keyed<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> FromIterator<(TrackKey, T)> for Keyed<T> {
    /// Keeps the last of several values of one key.
    fn from_iter<I: IntoIterator<Item = (TrackKey, T)>>(values: I) -> Self {
        let mut keyed = Self::new();
        for (key, value) in values {
            keyed.insert(key, value);
        }
        keyed
    }
}

impl<T> IntoIterator for Keyed<T> {
    type Item = (TrackKey, T);
    type IntoIter = std::vec::IntoIter<(TrackKey, T)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn video(rendition: u8) -> TrackKey {
        TrackKey::new(MediaKind::Video, Rendition(rendition))
    }

    #[test]
    fn a_name_is_read_as_it_is_written_and_has_one_spelling() {
        for (key, name) in
            [(TrackKey::VIDEO, "video"), (video(1), "video1"), (TrackKey::AUDIO, "audio"), (TrackKey::DATA, "data")]
        {
            assert_eq!(key.to_string(), name);
            assert_eq!(name.parse(), Ok(key));
        }
        assert_eq!("video255".parse(), Ok(video(255)));
        for name in ["", "sound", "video0", "video01", "video+1", "video256", "video-1", "videos", "Video"] {
            assert_eq!(name.parse::<TrackKey>(), Err(InvalidTrackKey), "{name}");
        }
    }

    #[test]
    fn keys_are_in_order_whatever_the_order_they_came_in() {
        let mut keyed = Keyed::new();
        for key in [TrackKey::AUDIO, video(2), TrackKey::VIDEO, video(1)] {
            assert_eq!(keyed.insert(key, key.to_string()), None);
        }
        assert!(keyed.keys().eq([TrackKey::VIDEO, video(1), video(2), TrackKey::AUDIO]));
        assert_eq!(
            keyed.of_kind(MediaKind::Video).map(|(_, name)| name.as_str()).collect::<Vec<_>>().join(" "),
            "video video1 video2"
        );
    }

    #[test]
    fn a_value_is_replaced_found_and_removed_by_its_key() {
        let mut keyed: Keyed<u32> = [(video(1), 1), (TrackKey::AUDIO, 2)].into_iter().collect();
        assert_eq!(keyed.insert(video(1), 3), Some(1));
        assert_eq!((keyed.get(video(1)), keyed.get(TrackKey::VIDEO), keyed.len()), (Some(&3), None, 2));
        *keyed.get_or_insert_with(TrackKey::VIDEO, || 7) += 1;
        *keyed.get_or_insert_with(TrackKey::VIDEO, || 0) += 1;
        assert_eq!(keyed.values().copied().collect::<Vec<_>>(), [9, 3, 2]);
        assert_eq!((keyed.remove(video(1)), keyed.remove(video(1))), (Some(3), None));
        assert!(keyed.keys().eq([TrackKey::VIDEO, TrackKey::AUDIO]));
    }

    #[test]
    fn further_tracks_are_capped_and_the_main_ones_always_have_room() {
        let mut keyed = Keyed::new();
        for rendition in 1..=u8::MAX {
            if keyed.has_room_for(video(rendition)) {
                keyed.insert(video(rendition), ());
            }
        }
        assert_eq!(keyed.len(), FURTHER_MAX);
        assert!(keyed.has_room_for(video(1)), "the key is already there");
        for key in [TrackKey::VIDEO, TrackKey::AUDIO] {
            assert!(keyed.has_room_for(key));
            keyed.insert(key, ());
        }
        assert_eq!(keyed.len(), TRACKS_MAX);
    }
}
