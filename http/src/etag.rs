//! Entity tags (RFC 9110 8.8.3), and documents that are answered by them.

use std::hash::{DefaultHasher, Hash, Hasher};

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// Returns whether a client states that it has the representation with this tag (RFC 9110 13.1.2).
pub fn is_known(request: &HeaderMap, etag: &HeaderValue) -> bool {
    let known = request.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    known.flat_map(|list| list.split(',')).map(str::trim).any(|tag| tag == "*" || tag.trim_start_matches("W/") == *etag)
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

    /// Answers a request with the document, or with 304 if the client has it.
    pub fn answer(&self, request: &HeaderMap) -> Response {
        let mut response = if is_known(request, &self.etag) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            let mut response = Response::new(Body::from(self.body.clone()));
            response.headers_mut().insert(header::CONTENT_TYPE, self.kind.clone());
            response
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
}
