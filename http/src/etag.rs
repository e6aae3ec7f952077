//! Entity tags (RFC 9110 8.8.3), and documents that are answered by them.

use std::hash::{DefaultHasher, Hash, Hasher};

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::problem::Problem;

/// What the preconditions of a request decide (RFC 9110 13.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They are met, or there are none.
    Met,
    /// `If-None-Match` has the tag: a `GET` is answered 304, and anything else is refused.
    Known,
    /// `If-Match` does not have the tag: the request is refused with 412.
    Failed,
}

/// Judges the preconditions of a request for a representation whose entity tag is `etag`. `If-Match` compares strongly, so a weak tag
/// in it matches nothing, and `If-None-Match` weakly (RFC 9110 13.1.1, 13.1.2).
pub fn judge(request: &HeaderMap, etag: &HeaderValue) -> Verdict {
    let own = Tags(etag.as_bytes()).next();
    let is_own = |tag: &Tag<'_>| tag.is_any() || own.is_some_and(|own| own.opaque == tag.opaque);
    let mut required = tags(request, &header::IF_MATCH).peekable();
    if required.peek().is_some() && !required.any(|tag| !tag.is_weak && is_own(&tag)) {
        return Verdict::Failed;
    }
    if tags(request, &header::IF_NONE_MATCH).any(|tag| is_own(&tag)) { Verdict::Known } else { Verdict::Met }
}

/// Returns the headers of a request that [`judge`] reads.
pub fn preconditions(request: &HeaderMap) -> HeaderMap {
    let names = [header::IF_MATCH, header::IF_NONE_MATCH];
    names.iter().flat_map(|name| request.get_all(name).iter().map(|value| (name.clone(), value.clone()))).collect()
}

/// Refuses a request whose preconditions are not met.
pub fn precondition_failed() -> Problem {
    let detail = "If-Match or If-None-Match states another version than the present one; ask for that first";
    Problem::new(StatusCode::PRECONDITION_FAILED, detail)
}

fn tags<'a>(request: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = Tag<'a>> {
    request.get_all(name).iter().flat_map(|value| Tags(value.as_bytes()))
}

/// An entity tag, or `*`. Some clients leave out the quotation marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tag<'a> {
    is_weak: bool,
    is_quoted: bool,
    opaque: &'a [u8],
}

impl Tag<'_> {
    fn is_any(&self) -> bool {
        !self.is_quoted && self.opaque == b"*"
    }
}

/// Reads the tags of a list. A tag may have commas in it.
struct Tags<'a>(&'a [u8]);

impl<'a> Iterator for Tags<'a> {
    type Item = Tag<'a>;

    fn next(&mut self) -> Option<Tag<'a>> {
        let begins = self.0.iter().position(|byte| !matches!(byte, b',' | b' ' | b'\t'))?;
        let rest = &self.0[begins..];
        let (is_weak, rest) = rest.strip_prefix(b"W/").map_or((false, rest), |rest| (true, rest));
        let (is_quoted, rest) = rest.strip_prefix(b"\"").map_or((false, rest), |rest| (true, rest));
        let is_end = |byte: &u8| if is_quoted { *byte == b'"' } else { *byte == b',' };
        let length = rest.iter().position(is_end).unwrap_or(rest.len());
        let (opaque, rest) = rest.split_at(length);
        self.0 = rest.get(1..).unwrap_or_default();
        let opaque = if is_quoted { opaque } else { opaque.trim_ascii() };
        Some(Tag { is_weak, is_quoted, opaque })
    }
}

/// A document that is rendered once for all requests.
#[derive(Clone, Debug)]
pub struct Document {
    body: Bytes,
    kind: HeaderValue,
    cache: HeaderValue,
    etag: HeaderValue,
}

impl Document {
    /// Makes a document of the media type `kind`, which caches keep as `cache` says. `version` is made of letters, digits and
    /// `.-`, and differs whenever the body does.
    pub fn new(body: impl Into<Bytes>, kind: HeaderValue, cache: &'static str, version: &str) -> Self {
        let etag = HeaderValue::try_from(format!("\"{version}\"")).unwrap_or(HeaderValue::from_static("\"\""));
        Self { body: body.into(), kind, cache: HeaderValue::from_static(cache), etag }
    }

    /// Answers a request with the document, with 304 if the client has it, or with 412 if it wants another one.
    pub fn answer(&self, request: &HeaderMap) -> Response {
        let mut response = match judge(request, &self.etag) {
            Verdict::Failed => return precondition_failed().into_response(),
            Verdict::Known => StatusCode::NOT_MODIFIED.into_response(),
            Verdict::Met => {
                let mut response = Response::new(Body::from(self.body.clone()));
                response.headers_mut().insert(header::CONTENT_TYPE, self.kind.clone());
                response
            }
        };
        response.headers_mut().insert(header::CACHE_CONTROL, self.cache.clone());
        response.headers_mut().insert(header::ETAG, self.etag.clone());
        response
    }
}

/// Returns a version of a body. It is the same in all processes of one build.
pub fn version_of(body: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_has_the_document_is_told_so() {
        let kind = HeaderValue::from_static("text/plain");
        let document = Document::new("text", kind, "no-cache", &version_of(b"text"));
        let etag = document.answer(&HeaderMap::new()).headers()[header::ETAG].to_str().unwrap().to_owned();
        for (stated, status) in [
            (etag.clone(), StatusCode::NOT_MODIFIED),
            (format!("W/{etag}"), StatusCode::NOT_MODIFIED),
            (format!("\"old\", {etag}"), StatusCode::NOT_MODIFIED),
            ("*".to_owned(), StatusCode::NOT_MODIFIED),
            ("\"old\"".to_owned(), StatusCode::OK),
            (String::new(), StatusCode::OK),
        ] {
            let request = [(header::IF_NONE_MATCH, stated.parse().unwrap())].into_iter().collect();
            let answer = document.answer(&request);
            assert_eq!(answer.status(), status, "{stated}");
            assert_eq!(answer.headers()[header::ETAG], etag);
            assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-cache");
        }
        assert_ne!(version_of(b"text"), version_of(b"another"));
    }

    #[test]
    fn preconditions_are_lists_of_tags_and_compare_as_the_header_says() {
        let own = HeaderValue::from_static("\"a,b\"");
        let (known, met, failed) = (Verdict::Known, Verdict::Met, Verdict::Failed);
        for (stated, match_, none_match) in [
            ("\"a,b\"", met, known),
            ("W/\"a,b\"", failed, known),
            ("\"x\", W/\"a,b\" , \"a,b\"", met, known),
            ("\"x\",\"y\"", failed, met),
            (",, \"a,b\",", met, known),
            ("*", met, known),
            ("\"*\"", failed, met),
            ("\"a", failed, met),
            ("a,b", failed, met),
            ("W/", failed, met),
            ("", met, met),
            (" , ", met, met),
        ] {
            let of = |name: HeaderName| [(name, stated.parse().unwrap())].into_iter().collect::<HeaderMap>();
            assert_eq!(judge(&of(header::IF_MATCH), &own), match_, "If-Match: {stated}");
            assert_eq!(judge(&of(header::IF_NONE_MATCH), &own), none_match, "If-None-Match: {stated}");
        }
        let unquoted = [(header::IF_MATCH, HeaderValue::from_static("x, frag"))].into_iter().collect();
        assert_eq!(judge(&unquoted, &HeaderValue::from_static("\"frag\"")), met);
        let mut both: HeaderMap = [(header::IF_MATCH, HeaderValue::from_static("\"x\""))].into_iter().collect();
        both.append(header::IF_MATCH, own.clone());
        both.insert(header::IF_NONE_MATCH, HeaderValue::from_static("\"x\""));
        both.append(header::IF_NONE_MATCH, own.clone());
        both.insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer T"));
        assert_eq!(judge(&both, &own), known, "the lines of a header are one list");
        let kept = preconditions(&both);
        assert_eq!((kept.len(), judge(&kept, &own)), (4, known));
        both.remove(header::IF_NONE_MATCH);
        assert_eq!(judge(&both, &own), met);
    }

    #[test]
    fn a_client_that_wants_another_version_of_a_document_is_refused() {
        let document = Document::new("text", HeaderValue::from_static("text/plain"), "no-cache", "1");
        let request = [(header::IF_MATCH, HeaderValue::from_static("\"2\""))].into_iter().collect();
        assert_eq!(document.answer(&request).status(), StatusCode::PRECONDITION_FAILED);
    }
}
