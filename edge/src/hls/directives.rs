//! Delivery directives (rfc8216bis 6.2.5): the part that a playlist request waits for, and the rules of the answer.

use std::time::Duration;

use onmic_packager::Edge;

use crate::error::EdgeError;

/// The `_HLS_…` parameters of a playlist request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    /// The media sequence number that `_HLS_msn` asks for.
    pub msn: Option<u64>,
    /// The part of that segment that `_HLS_part` asks for.
    pub part: Option<u32>,
    /// Whether `_HLS_skip` is `YES` or `v2`.
    pub skip: bool,
}

/// The state of a rendition: the parts that are published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// The number of listed parts of each complete segment, by media sequence number from `first`. Gaps and segments of slow
    /// frames have none.
    pub parts: Vec<u32>,
    /// The media sequence number of the first of these segments.
    pub first: u64,
    /// The part that comes next.
    pub next: Edge,
    /// How many parts beyond the last one a client may ask for (the Advance Part Limit, 6.2.5.2); `None` before the part
    /// target is known.
    pub parts_ahead: Option<u32>,
    /// Whether the rendition has ended, so that no part will follow.
    pub ended: bool,
}

impl Published {
    /// Returns the Advance Part Limit: three seconds of parts, or three parts that are longer than a second.
    pub fn parts_ahead(part_target: Duration) -> u32 {
        let parts = 3_000_u128.div_ceil(part_target.as_millis().clamp(1, 1_000));
        u32::try_from(parts).unwrap_or(u32::MAX)
    }

    /// Returns the number of the first segment that is not listed as whole. The end of a segment with parts is listed together with the
    /// first part of the next one.
    fn whole(&self) -> u64 {
        let is_listed = self.next.part > 0 || self.parts.last() == Some(&0);
        self.next.msn - u64::from(!is_listed && self.next.msn > 0)
    }

    /// Returns whether a part is further beyond the last one than a client may ask for.
    fn is_far(&self, wanted: Edge) -> bool {
        // The parts of the open segment that are out count as well, and those of the segment after it are yet to come.
        let out = if wanted.msn == self.next.msn { self.next.part } else { 0 };
        let ahead = wanted.part.saturating_add(1).saturating_sub(out);
        wanted.msn >= self.next.msn && self.parts_ahead.is_some_and(|most| ahead > most)
    }
}

/// The way in which a request is answered now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Answer with the playlist as it is.
    Ready,
    /// Wait for the next part and ask again.
    Wait,
}

impl Directives {
    /// Reads a query, and leaves unknown parameters alone.
    pub fn parse(query: Option<&str>) -> Result<Self, EdgeError> {
        let mut directives = Self::default();
        for (name, value) in query.unwrap_or("").split('&').filter_map(|pair| pair.split_once('=')) {
            match name {
                "_HLS_msn" => directives.msn = Some(number(value, "_HLS_msn is a media sequence number")?),
                "_HLS_part" => directives.part = Some(number(value, "_HLS_part is the index of a part")?),
                "_HLS_skip" => directives.skip = matches!(value, "YES" | "v2"),
                _ => {}
            }
        }
        if directives.part.is_some() && directives.msn.is_none() {
            return Err(EdgeError::BadQuery("_HLS_part needs _HLS_msn"));
        }
        Ok(directives)
    }

    /// Returns whether the answer is specific to the part that it waited for, and so may be cached for long.
    pub fn is_blocking(&self) -> bool {
        self.msn.is_some()
    }

    /// Judges the request by the published state. Call it again whenever a part was published.
    pub fn judge(&self, published: &Published) -> Result<Verdict, EdgeError> {
        if published.ended {
            return Ok(Verdict::Ready);
        }
        // The last complete segment is the one before `next.msn`. Two segments beyond it is one beyond the growing one.
        if self.msn.is_some_and(|msn| msn > published.next.msn + 1) {
            return Err(EdgeError::BadQuery("_HLS_msn is more than two segments ahead of the playlist"));
        }
        if let Some((msn, part)) = self.msn.zip(self.part)
            && published.is_far(Edge { msn, part })
        {
            return Err(EdgeError::BadQuery("_HLS_part is more than three seconds ahead of the playlist"));
        }
        // Players give up on a playlist without a whole segment, so the first ones wait for it.
        if published.parts.is_empty() {
            return Ok(Verdict::Wait);
        }
        let Some(msn) = self.msn else { return Ok(Verdict::Ready) };
        // Who names a segment alone waits for the whole of it (rfc8216bis, 6.2.5.2). After an answer with its first parts they would
        // ask the same again at once, and a cache would give them the same answer for long.
        let Some(part) = self.part else {
            return Ok(if msn < published.whole() { Verdict::Ready } else { Verdict::Wait });
        };
        let mut wanted = Edge { msn, part };
        let complete =
            msn.checked_sub(published.first).and_then(|index| published.parts.get(usize::try_from(index).ok()?));
        if complete.is_some_and(|parts| *parts > 0 && wanted.part >= *parts) {
            wanted = Edge { msn: msn + 1, part: 0 };
        }
        Ok(if wanted < published.next { Verdict::Ready } else { Verdict::Wait })
    }
}

fn number<T: TryFrom<u64>>(text: &str, refusal: &'static str) -> Result<T, EdgeError> {
    let refused = EdgeError::BadQuery(refusal);
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.then(|| text.parse::<u64>().ok()).flatten();
    number.and_then(|number| T::try_from(number).ok()).ok_or(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Segments 10 (6 parts) and 11 (5 parts) are complete, and two parts of 12 are out.
    fn published() -> Published {
        let parts_ahead = Some(10);
        Published { parts: vec![6, 5], first: 10, next: Edge { msn: 12, part: 2 }, parts_ahead, ended: false }
    }

    fn judge(query: &str) -> Result<Verdict, EdgeError> {
        Directives::parse(Some(query))?.judge(&published())
    }

    #[test]
    fn a_request_without_directives_is_answered_at_once() {
        assert_eq!(judge("token=x"), Ok(Verdict::Ready));
        assert_eq!(Directives::parse(None), Ok(Directives::default()));
    }

    #[test]
    fn the_first_playlist_waits_for_a_whole_segment() {
        let next = Edge { msn: 0, part: 3 };
        let young = Published { parts: Vec::new(), first: 0, next, parts_ahead: None, ended: false };
        assert_eq!(Directives::default().judge(&young), Ok(Verdict::Wait));
        let of_part = Directives { msn: Some(0), part: Some(1), skip: false };
        assert_eq!(of_part.judge(&young), Ok(Verdict::Wait), "the target duration is not known yet");
        assert_eq!(Directives::default().judge(&Published { ended: true, ..young }), Ok(Verdict::Ready));
    }

    #[test]
    fn a_part_without_a_segment_is_refused() {
        assert!(matches!(judge("_HLS_part=0"), Err(EdgeError::BadQuery(_))));
    }

    #[test]
    fn a_value_that_is_not_a_number_is_refused() {
        for query in ["_HLS_msn=", "_HLS_msn=-1", "_HLS_msn=+1", "_HLS_msn=1x", "_HLS_msn=12&_HLS_part=4294967296"] {
            assert!(matches!(judge(query), Err(EdgeError::BadQuery(_))), "{query}");
        }
        assert!(judge("_HLS_msn=99999999999999999999").is_err());
    }

    #[test]
    fn published_parts_are_answered_at_once() {
        assert_eq!(judge("_HLS_msn=12&_HLS_part=1"), Ok(Verdict::Ready));
        assert_eq!(judge("_HLS_msn=11&_HLS_part=4"), Ok(Verdict::Ready));
        assert_eq!(judge("_HLS_msn=3&_HLS_part=0"), Ok(Verdict::Ready));
    }

    #[test]
    fn the_next_part_is_waited_for() {
        assert_eq!(judge("_HLS_msn=12&_HLS_part=2"), Ok(Verdict::Wait));
        assert_eq!(judge("_HLS_msn=13&_HLS_part=0"), Ok(Verdict::Wait));
    }

    #[test]
    fn a_part_past_the_end_of_its_segment_is_the_first_of_the_next() {
        assert_eq!(judge("_HLS_msn=11&_HLS_part=5"), Ok(Verdict::Ready));
        let fresh = Published { next: Edge { msn: 12, part: 0 }, ..published() };
        let directives = Directives::parse(Some("_HLS_msn=11&_HLS_part=5")).unwrap();
        assert_eq!(directives.judge(&fresh), Ok(Verdict::Wait));
    }

    #[test]
    fn a_request_more_than_two_segments_ahead_is_refused() {
        assert_eq!(judge("_HLS_msn=13"), Ok(Verdict::Wait));
        assert!(matches!(judge("_HLS_msn=14"), Err(EdgeError::BadQuery(_))));
    }

    #[test]
    fn a_part_beyond_the_advance_part_limit_is_refused() {
        assert_eq!(judge("_HLS_msn=12&_HLS_part=11"), Ok(Verdict::Wait));
        assert!(matches!(judge("_HLS_msn=12&_HLS_part=12"), Err(EdgeError::BadQuery(_))));
        assert_eq!(judge("_HLS_msn=13&_HLS_part=9"), Ok(Verdict::Wait));
        assert!(matches!(judge("_HLS_msn=13&_HLS_part=10"), Err(EdgeError::BadQuery(_))));
        assert_eq!(judge("_HLS_msn=11&_HLS_part=4000"), Ok(Verdict::Ready), "the first of the next segment");
        assert!(judge("_HLS_msn=12&_HLS_part=4294967295").is_err());
        for (millis, parts) in [(333, 10), (200, 15), (1_000, 3), (4_000, 3)] {
            assert_eq!(Published::parts_ahead(Duration::from_millis(millis)), parts, "{millis} ms");
        }
    }

    #[test]
    fn who_names_a_segment_alone_waits_for_the_whole_of_it() {
        assert_eq!(judge("_HLS_msn=11"), Ok(Verdict::Ready));
        assert_eq!(judge("_HLS_msn=12"), Ok(Verdict::Wait), "two of its parts are out");
        let unlisted = Published { parts: vec![6, 5, 6], next: Edge { msn: 13, part: 0 }, ..published() };
        assert_eq!(Directives { msn: Some(12), ..Default::default() }.judge(&unlisted), Ok(Verdict::Wait));
        let slow = Published { parts: vec![6, 5, 0], ..unlisted };
        assert_eq!(Directives { msn: Some(12), ..Default::default() }.judge(&slow), Ok(Verdict::Ready));
        let whole = Published { parts: vec![6, 5, 6], next: Edge { msn: 13, part: 1 }, ..published() };
        assert_eq!(Directives { msn: Some(12), ..Default::default() }.judge(&whole), Ok(Verdict::Ready));
        assert_eq!(Directives { msn: Some(13), ..Default::default() }.judge(&whole), Ok(Verdict::Wait));
    }

    #[test]
    fn a_segment_without_parts_is_answered_when_it_is_complete() {
        let slow = Published { parts: vec![6, 0], next: Edge { msn: 12, part: 0 }, ..published() };
        let judge = |query| Directives::parse(Some(query)).unwrap().judge(&slow);
        assert_eq!(judge("_HLS_msn=11&_HLS_part=0"), Ok(Verdict::Ready));
        assert_eq!(judge("_HLS_msn=12&_HLS_part=0"), Ok(Verdict::Wait));
    }

    #[test]
    fn a_request_does_not_wait_for_an_ended_stream() {
        let ended = Published { ended: true, ..published() };
        assert_eq!(Directives { msn: Some(40), ..Default::default() }.judge(&ended), Ok(Verdict::Ready));
    }

    #[test]
    fn skip_takes_yes_and_v2() {
        assert!(Directives::parse(Some("_HLS_skip=YES&_HLS_msn=1")).unwrap().skip);
        assert!(Directives::parse(Some("_HLS_skip=v2")).unwrap().skip);
        assert!(!Directives::parse(Some("_HLS_skip=no")).unwrap().skip);
    }
}
