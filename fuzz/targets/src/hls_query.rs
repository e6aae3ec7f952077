//! The query of a playlist request, judged while a stream goes on: every request that waits is answered.
//!
//! The first byte is the number of parts of the growing segment, the second the number of complete segments. The rest
//! is the query.

use crate::Input;
use onmic_edge::hls::{Directives, Published, Verdict};
use onmic_packager::Edge;

/// Takes one input.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let (Some(part), Some(complete)) = (input.byte(), input.byte()) else { return };
    let Ok(query) = std::str::from_utf8(input.0) else { return };
    let Ok(directives) = Directives::parse(Some(query)) else { return };
    let first = 7;
    let next = Edge { msn: first + u64::from(complete), part: u32::from(part) };
    let mut published =
        Published { parts: vec![4; usize::from(complete)], first, next, parts_ahead: Some(10), ended: false };
    let verdict = directives.judge(&published);
    assert!(directives.is_blocking() || complete == 0 || verdict == Ok(Verdict::Ready));
    if verdict == Ok(Verdict::Wait) {
        // The growing segment is finished, and two more after it.
        published.parts.extend([published.next.part.max(1), 4, 4]);
        published.next = Edge { msn: published.next.msn + 3, part: 0 };
        assert_eq!(directives.judge(&published), Ok(Verdict::Ready));
        published.ended = true;
        assert_eq!(directives.judge(&published), Ok(Verdict::Ready));
    }
}
