//! Turns a found file into a response: types, cache lifetimes, ranges, compression.

use std::ops::Range;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use onmic_http::etag::{Verdict, judge, precondition_failed};
use onmic_packager::Chain;

use super::body::ChainBody;
use super::document::Document;

const PLAYLIST: HeaderValue = HeaderValue::from_static("application/vnd.apple.mpegurl");
const VIDEO_MP4: HeaderValue = HeaderValue::from_static("video/mp4");
const AUDIO_MP4: HeaderValue = HeaderValue::from_static("audio/mp4");

/// Answers with a playlist, compressed if the client accepts that, as far as it does not have it.
pub(crate) async fn playlist(document: &Document, keep: &HeaderValue, request: &HeaderMap) -> Response {
    let gzip = accepts_gzip(request);
    let etag = document.etag(gzip);
    let mut response = match judge(request, etag) {
        Verdict::Failed => return precondition_failed().into_response(),
        Verdict::Known => StatusCode::NOT_MODIFIED.into_response(),
        Verdict::Met => {
            let body = if gzip { document.gzip().await } else { document.text() };
            let mut response = Body::from(body).into_response();
            response.headers_mut().insert(header::CONTENT_TYPE, PLAYLIST);
            if gzip {
                response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
            response
        }
    };
    let headers = response.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    headers.insert(header::CACHE_CONTROL, keep.clone());
    headers.insert(header::ETAG, etag.clone());
    response
}

/// Answers with a part, segment or initialisation section, or with the range of it that was asked for.
pub(crate) fn media(body: Chain, sound: bool, keep: &HeaderValue, request: &HeaderMap) -> Response {
    let whole = body.len();
    let (status, body, content_range) = match range(request, whole) {
        Asked::Whole => (StatusCode::OK, body, None),
        Asked::Range(range) => {
            let stated = format!("bytes {}-{}/{whole}", range.start, range.end - 1);
            (StatusCode::PARTIAL_CONTENT, body.slice(range), Some(stated))
        }
        Asked::Outside => (StatusCode::RANGE_NOT_SATISFIABLE, Chain::default(), Some(format!("bytes */{whole}"))),
    };
    let mut response = Response::new(Body::new(ChainBody::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, if sound { AUDIO_MP4 } else { VIDEO_MP4 });
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CACHE_CONTROL, keep.clone());
    if let Some(content_range) = content_range.and_then(|range| HeaderValue::try_from(range).ok()) {
        headers.insert(header::CONTENT_RANGE, content_range);
    }
    response
}

fn accepts_gzip(request: &HeaderMap) -> bool {
    let accepted = request.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or("");
    accepted.split(',').any(|coding| {
        let mut fields = coding.split(';').map(str::trim);
        let wanted = fields.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        wanted && !fields.any(|field| matches!(field, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
    })
}

#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Whole,
    Range(Range<usize>),
    Outside,
}

/// Parses one range of bytes (RFC 9110, 14.1.2). A client whose range is not understood, or who asks for several, gets
/// the whole, and so does one that asks for a range of a version: media has no entity tag (13.1.5).
fn range(request: &HeaderMap, length: usize) -> Asked {
    if request.contains_key(header::IF_RANGE) {
        return Asked::Whole;
    }
    let parse = || {
        let (first, last) = request.get(header::RANGE)?.to_str().ok()?.strip_prefix("bytes=")?.split_once('-')?;
        let number = |text: &str| text.parse::<usize>().ok();
        Some(match (first, last) {
            ("", last) => {
                let suffix = number(last)?;
                if suffix == 0 { Asked::Outside } else { Asked::Range(length.saturating_sub(suffix)..length) }
            }
            (first, "") => Asked::Range(number(first)?..length),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                if last < first {
                    return None;
                }
                Asked::Range(first..last.saturating_add(1).min(length))
            }
        })
    };
    match parse() {
        Some(Asked::Range(range)) if range.start >= range.end || range.start >= length => Asked::Outside,
        Some(asked) => asked,
        None => Asked::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(value: &'static str) -> Asked {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, HeaderValue::from_static(value));
        range(&headers, 100)
    }

    #[test]
    fn a_single_range_is_understood() {
        assert_eq!(asked("bytes=0-9"), Asked::Range(0..10));
        assert_eq!(asked("bytes=90-"), Asked::Range(90..100));
        assert_eq!(asked("bytes=-10"), Asked::Range(90..100));
        assert_eq!(asked("bytes=-1000"), Asked::Range(0..100));
        assert_eq!(asked("bytes=50-1000"), Asked::Range(50..100));
    }

    #[test]
    fn a_range_outside_of_the_file_is_refused_and_a_malformed_one_is_ignored() {
        assert_eq!(asked("bytes=100-"), Asked::Outside);
        assert_eq!(asked("bytes=-0"), Asked::Outside);
        assert_eq!(asked("bytes=5-4"), Asked::Whole);
        assert_eq!(asked("bytes=0-1,3-4"), Asked::Whole);
        assert_eq!(asked("pages=1-2"), Asked::Whole);
        let of_a_version = [(header::RANGE, "bytes=0-9"), (header::IF_RANGE, "\"1\"")];
        let of_a_version = of_a_version.map(|(name, value)| (name, HeaderValue::from_static(value)));
        assert_eq!(range(&of_a_version.into_iter().collect(), 100), Asked::Whole);
    }

    #[test]
    fn compression_is_used_only_where_it_is_accepted() {
        let mut headers = HeaderMap::new();
        assert!(!accepts_gzip(&headers));
        for (value, accepted) in [("gzip, br", true), ("br;q=1, gzip;q=0.5", true), ("gzip;q=0", false), ("br", false)]
        {
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(value));
            assert_eq!(accepts_gzip(&headers), accepted, "{value}");
        }
    }
}
