//! The part of one rendition that can be fetched at one moment. It is immutable: the driver publishes a new view with
//! each part.

use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderValue;
use onmic_packager::{Init, Part, Rendition, Segment};

use super::directives::Published;
use super::document::Document;

/// How long caches may keep files: by the target duration, as rfc8216bis says.
#[derive(Clone, Debug)]
pub(crate) struct Lifetimes {
    /// For media, and a playlist that was asked for by its part.
    pub(crate) long: HeaderValue,
    /// For a playlist that was asked for as it is now.
    pub(crate) short: HeaderValue,
}

impl Lifetimes {
    pub(crate) fn of(target: Duration) -> Self {
        Self { long: cache_for(target * 6), short: cache_for(target / 2) }
    }
}

fn cache_for(lifetime: Duration) -> HeaderValue {
    // There is no "public", so that answers to an Authorization header stay out of shared caches (RFC 9111, 3.5).
    HeaderValue::try_from(format!("max-age={}", lifetime.as_secs())).unwrap_or(HeaderValue::from_static("no-cache"))
}

#[derive(Debug)]
pub(crate) struct View {
    pub(crate) published: Published,
    /// The number of the part that comes next, which the preload hint names.
    pub(crate) next_part: u64,
    pub(crate) playlist: Option<Arc<Document>>,
    /// The same playlist without the segments that a client has had for long. `None` when no segment can be left out.
    pub(crate) delta: Option<Arc<Document>>,
    /// The number of discontinuities before its newest part.
    pub(crate) discontinuities: u64,
    /// How long caches may keep what was taken from this view.
    pub(crate) lifetimes: Lifetimes,
    segments: Vec<Arc<Segment>>,
    open: Option<Segment>,
    init: Option<Arc<Init>>,
    /// The number of ticks at which no part had come since the tick before. A waiting request gives up at the second.
    pub(crate) stalls: u64,
}

impl View {
    /// Makes the view before the first part.
    pub(crate) fn empty() -> Self {
        Self {
            published: Published::default(),
            next_part: 0,
            playlist: None,
            delta: None,
            discontinuities: 0,
            lifetimes: Lifetimes::of(Duration::from_secs(1)),
            segments: Vec::new(),
            open: None,
            init: None,
            stalls: 0,
        }
    }

    pub(crate) fn of(
        rendition: &Rendition,
        playlist: Option<Arc<Document>>,
        delta: Option<Arc<Document>>,
        lifetimes: Lifetimes,
        ended: bool,
    ) -> Self {
        let segments: Vec<_> = rendition.segments().cloned().collect();
        let published = Published {
            parts: segments.iter().map(|segment| segment.listed().len() as u32).collect(),
            first: segments.first().map_or(rendition.next().msn, |first| first.msn),
            next: rendition.next(),
            parts_ahead: rendition.part_target().map(Published::parts_ahead),
            ended,
        };
        let (open, discontinuities) = (rendition.open().cloned(), rendition.discontinuities());
        let (next_part, init) = (rendition.next_part(), Some(rendition.init().clone()));
        Self { published, next_part, playlist, delta, discontinuities, lifetimes, segments, open, init, stalls: 0 }
    }

    /// Returns whether this is the state of `rendition`.
    pub(crate) fn shows(&self, rendition: &Rendition, ended: bool) -> bool {
        self.init.is_some() && self.published.next == rendition.next() && self.published.ended == ended
    }

    /// Returns the same view with one more stall.
    pub(crate) fn stalled(&self) -> Self {
        Self {
            published: self.published.clone(),
            next_part: self.next_part,
            playlist: self.playlist.clone(),
            delta: self.delta.clone(),
            discontinuities: self.discontinuities,
            lifetimes: self.lifetimes.clone(),
            segments: self.segments.clone(),
            open: self.open.clone(),
            init: self.init.clone(),
            stalls: self.stalls + 1,
        }
    }

    /// Returns what its playlists take, in bytes.
    pub(crate) fn texts(&self) -> usize {
        self.playlist.iter().chain(&self.delta).map(|document| document.cost()).sum()
    }

    pub(crate) fn segment(&self, msn: u64) -> Option<&Arc<Segment>> {
        self.segments.get(usize::try_from(msn.checked_sub(self.published.first)?).ok()?)
    }

    /// Returns a part by its number. Segments list their parts for a few target durations and are kept for longer, so a
    /// part need not be looked for among the segments that have left the playlist.
    pub(crate) fn part(&self, number: u64) -> Option<&Arc<Part>> {
        let open = || self.open.as_ref()?.part(number);
        let begun = self.segments.partition_point(|segment| segment.first_part <= number);
        let complete = begun.checked_sub(1).and_then(|index| self.segments.get(index));
        complete.and_then(|segment| segment.part(number)).or_else(open)
    }

    pub(crate) fn init(&self, number: u32) -> Option<&Arc<Init>> {
        let listed = self.segments.iter().map(|segment| &segment.init);
        listed.chain(&self.init).find(|init| init.number == number)
    }
}
