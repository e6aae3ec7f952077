//! Which of several tracks of a kind is the main one, and which rendition each other track is.
//!
//! The main one is the first that comes. A lower one takes its place with its sequence header, because encoders number the main track 0.
//! Where the main track ends or falls silent, another one that goes on takes its place: with the header that it began with, which is kept.
//!
//! A track of video beside the main one is a further rendition. The first frame of the stream numbers those whose headers have
//! come, the largest pictures first, as encoders send all headers in front. A track that comes later gets the lowest number that is free. It keeps its
//! number until it ends or falls silent, also while it stands in for the main track: so nobody who watches it is disturbed. A stream of
//! one track has the main rendition alone.

use std::cmp::Reverse;

use super::*;
use crate::key::Rendition;
use bytes::Bytes;

/// A track has fallen silent when this many frames of another came since its last: 5 s of 30 fps, 3 s of AAC.
const SILENT_FRAMES: u32 = 150;

/// The most tracks that are known.
const KNOWN_MAX: usize = 16;

/// The longest header that is kept. Real ones have under 300 bytes.
const HEADER_MAX: usize = 4096;

/// What becomes of a packet on the main track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Main {
    /// It is of another track.
    Out,
    /// It is the main track's, or its track is the main one from here on.
    Taken,
    /// Its track is the main one from here on, and begins with this header, in place of the packet.
    Begins(Codec, Bytes),
}

/// What becomes of a packet.
#[derive(Clone, Debug)]
pub(super) struct Sorted {
    pub main: Main,
    /// The further rendition that the packet is of, and the header that comes before it.
    pub further: Option<(Rendition, Option<(Codec, Bytes)>)>,
    /// Whether it is a header that is kept for a further rendition, or the end of one.
    pub is_kept: bool,
    /// The further renditions that have ended.
    pub ended: Vec<Rendition>,
}

/// The tracks of one kind.
#[derive(Clone, Debug, Default)]
pub(super) struct Tracks {
    main: Option<u8>,
    has_ended: bool,
    known: Vec<Known>,
}

#[derive(Clone, Debug)]
struct Known {
    id: u8,
    header: Option<(Codec, Bytes)>,
    /// Its frames since the last frame of the main track.
    frames: u32,
    further: Option<Further>,
    /// Whether it gets a number with the next frame of any track, because its header has come.
    is_due: bool,
}

#[derive(Clone, Debug)]
struct Further {
    rendition: Rendition,
    /// Whether it has had a frame.
    has_begun: bool,
    /// The frames of the main track since its last frame.
    missed: u32,
}

impl Tracks {
    /// Returns the number of the main track.
    pub fn main(&self) -> Option<u8> {
        self.main
    }

    /// Returns the further renditions that there are, or are announced by their headers.
    pub fn further(&self) -> impl Iterator<Item = Rendition> {
        self.known.iter().filter_map(|known| Some(known.further.as_ref()?.rendition))
    }

    /// Returns whether a packet of track `id` is for the main track, or begins one that takes its place.
    pub fn takes(&self, kind: u8, id: u8) -> bool {
        self.main.is_none_or(|main| main == id || id < main && kind == SEQUENCE_START)
    }

    /// Sorts a packet of track `id`. There are up to `further_max` further renditions, which `pixels` of their headers order.
    pub fn sort(
        &mut self,
        (kind, id): (u8, u8),
        (codec, body): (Codec, &Bytes),
        further_max: u8,
        pixels: impl Fn(Codec, &Bytes) -> u64,
    ) -> Sorted {
        let is_kept = self.know(kind, id, codec, body) && further_max > 0;
        let main = if self.takes(kind, id) { self.take(kind, id) } else { self.leave(kind, id) };
        let mut sorted = Sorted { main, further: None, is_kept, ended: Vec::new() };
        if is_frame(kind) {
            self.number(id, further_max, pixels);
        }
        if is_frame(kind) && self.main == Some(id) {
            self.end_silent(&mut sorted.ended);
        }
        let Some(known) = self.known.iter_mut().find(|known| known.id == id) else { return sorted };
        if kind == SEQUENCE_END {
            (known.is_due, sorted.is_kept) = (false, known.further.is_some());
            sorted
                .ended
                .extend(known.further.take().filter(|further| further.has_begun).map(|further| further.rendition));
        } else if let Some(further) = &mut known.further
            && (is_frame(kind) || kind == SEQUENCE_START && further.has_begun)
        {
            further.missed = 0;
            let has_begun = std::mem::replace(&mut further.has_begun, true);
            sorted.further = Some((further.rendition, known.header.clone().filter(|_| !has_begun)));
        }
        sorted
    }

    /// Notes the track of a packet. Returns whether the packet is a header that is kept.
    fn know(&mut self, kind: u8, id: u8, codec: Codec, body: &Bytes) -> bool {
        if !is_frame(kind) && kind != SEQUENCE_START {
            return false; // Metadata and the end of a sequence bring no track.
        }
        if self.known.iter().all(|known| known.id != id) && self.known.len() < KNOWN_MAX {
            self.known.push(Known { id, header: None, frames: 0, further: None, is_due: false });
        }
        let Some(known) = self.known.iter_mut().find(|known| known.id == id) else { return false };
        if kind != SEQUENCE_START {
            return false;
        }
        // A copy: the message that it came in may be large.
        known.header = (body.len() <= HEADER_MAX).then(|| (codec, Bytes::copy_from_slice(body)));
        known.is_due = known.header.is_some();
        known.is_due
    }

    /// Takes a packet for the main track.
    fn take(&mut self, kind: u8, id: u8) -> Main {
        if is_frame(kind) || kind == SEQUENCE_START {
            self.main = Some(id);
            self.has_ended = false;
        }
        if is_frame(kind) {
            self.known.iter_mut().for_each(|known| known.frames = 0);
        }
        self.has_ended |= kind == SEQUENCE_END;
        Main::Taken
    }

    /// Notes a packet of another track than the main one, whose place that track may take.
    fn leave(&mut self, kind: u8, id: u8) -> Main {
        let Some(known) = self.known.iter_mut().find(|known| known.id == id) else { return Main::Out };
        known.frames += u32::from(is_frame(kind));
        if !is_frame(kind) || known.frames < SILENT_FRAMES && !self.has_ended {
            return Main::Out;
        }
        known.frames = 0;
        (self.main, self.has_ended) = (Some(id), false);
        known.header.clone().map_or(Main::Taken, |(codec, header)| Main::Begins(codec, header))
    }

    /// Numbers the tracks beside the main one whose headers have come, and track `id`, which has sent a frame.
    fn number(&mut self, id: u8, further_max: u8, pixels: impl Fn(Codec, &Bytes) -> u64) {
        let main = self.main;
        let is_unnumbered =
            |known: &Known| known.further.is_none() && Some(known.id) != main && (known.is_due || known.id == id);
        if !self.known.iter().any(is_unnumbered) {
            return;
        }
        let is_free = |number: &Rendition| self.further().all(|taken| taken != *number);
        let free: Vec<_> = (1..=further_max).map(Rendition).filter(is_free).collect();
        if free.is_empty() {
            return; // The sizes of those that wait are read from their headers, which would cost with each frame.
        }
        let mut unnumbered: Vec<_> = self.known.iter_mut().filter(|known| is_unnumbered(known)).collect();
        let size = |known: &Known| known.header.as_ref().map_or(0, |(codec, header)| pixels(*codec, header));
        unnumbered.sort_by_cached_key(|known| (Reverse(size(known)), known.id));
        for (known, rendition) in unnumbered.into_iter().zip(free) {
            known.further = Some(Further { rendition, has_begun: false, missed: 0 });
            known.is_due = false;
        }
    }

    /// Notes a frame of the main track, and ends the further renditions that have fallen silent.
    fn end_silent(&mut self, ended: &mut Vec<Rendition>) {
        let main = self.main;
        for known in self.known.iter_mut().filter(|known| Some(known.id) != main) {
            let Some(further) = &mut known.further else { continue };
            further.missed += 1;
            if further.missed >= SILENT_FRAMES {
                ended.extend(known.further.take().filter(|further| further.has_begun).map(|further| further.rendition));
            }
        }
    }
}

fn is_frame(kind: u8) -> bool {
    matches!(kind, CODED_FRAMES | VIDEO_CODED_FRAMES_X)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn the_sizes_of_tracks_without_a_number_are_not_read_with_each_frame() {
        let (mut tracks, read) = (Tracks::default(), Cell::new(0));
        let mut sort = |kind, id| {
            let pixels = |_, _: &Bytes| {
                read.set(read.get() + 1);
                1
            };
            tracks.sort((kind, id), (Codec::H264, &Bytes::from_static(&[1])), 2, pixels);
        };
        (0..8).for_each(|id| sort(SEQUENCE_START, id));
        (0..8).for_each(|id| sort(CODED_FRAMES, id));
        let first = read.get();
        assert!((2..=8).contains(&first), "{first}");
        (0..100).for_each(|_| (0..8).for_each(|id| sort(CODED_FRAMES, id)));
        assert_eq!(read.get(), first, "there is no number left");
    }
}
