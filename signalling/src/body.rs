//! The bodies of RTC signalling: an offer (RFC 9725), the fragment of a PATCH (RFC 8840), and the JSON of the extensions of WHEP.
//!
//! All are short text of one media type. Any other body is refused as a problem: 415 for
//! another type, 413 above the limit, 408 for a body that does not arrive, 400 for bytes that are not UTF-8. A route lets the
//! sender in before it reads the body, so that a stranger is not waited for.

use axum::extract::{DefaultBodyLimit, FromRequest, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use onmic_http::Problem;
use serde::de::DeserializeOwned;

/// The media type of an offer and an answer.
pub const SDP: &str = "application/sdp";
/// The media type of the body of a PATCH.
pub const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

pub(crate) const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");
pub(crate) const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");

/// The most bytes of a body. Offers have a few kilobytes, and Chromium's largest fewer than 10.
const BYTES_MAX: usize = 64 * 1024;
/// The media type of the bodies of extensions.
const JSON: &str = "application/json";

/// An SDP offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer(pub String);

/// The fragment of a PATCH: candidates, or new ICE credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment(pub String);

impl<S: Send + Sync> FromRequest<S> for Offer {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        text(request, SDP, ACCEPT_POST).await.map(Self)
    }
}

impl<S: Send + Sync> FromRequest<S> for Fragment {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        text(request, FRAGMENT, ACCEPT_PATCH).await.map(Self)
    }
}

/// A value in JSON.
pub(crate) struct Json<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let text = text(request, JSON, ACCEPT_POST).await?;
        let read = serde_json::from_str(&text);
        read.map(Self)
            .map_err(|error| Problem::bad_request(format!("the JSON of the body is not as it should be: {error}")))
    }
}

async fn text(mut request: Request, expected: &'static str, accepts: HeaderName) -> Result<String, Problem> {
    require_type(request.headers(), expected, accepts)?;
    DefaultBodyLimit::max(BYTES_MAX).apply(&mut request);
    let bytes = onmic_http::body::read(request, &()).await?;
    // NUL is valid UTF-8, but no line of SDP may have it (RFC 8866 section 9).
    let text = String::from_utf8(bytes.into()).ok().filter(|text| !text.contains('\0'));
    text.ok_or_else(|| Problem::bad_request("the body has to be text in UTF-8"))
}

/// Requires the media type. A refusal names it in the header `accepts` too (RFC 9110 15.5.16, RFC 5789 2.2).
fn require_type(headers: &HeaderMap, expected: &'static str, accepts: HeaderName) -> Result<(), Problem> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case(expected) {
        return Ok(());
    }
    let detail = format!("send the body with Content-Type: {expected}");
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
        .with_header(accepts, HeaderValue::from_static(expected)))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    async fn offer(content_type: &str, body: impl Into<Body>) -> Result<Offer, StatusCode> {
        let request = Request::post("/whep/demo").header(header::CONTENT_TYPE, content_type).body(body.into()).unwrap();
        Offer::from_request(request, &()).await.map_err(|problem| problem.status())
    }

    #[tokio::test]
    async fn text_of_the_media_type_of_offers_is_accepted() {
        assert_eq!(offer("Application/SDP; charset=utf-8", "v=0\r\n").await, Ok(Offer("v=0\r\n".to_owned())));
    }

    #[tokio::test]
    async fn a_body_that_is_not_an_offer_is_refused_with_its_status() {
        assert_eq!(offer("application/json", "{}").await, Err(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        assert_eq!(offer(FRAGMENT, "a=ice-ufrag:x").await, Err(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        assert_eq!(offer(SDP, vec![b'a', 0xff]).await, Err(StatusCode::BAD_REQUEST));
        assert_eq!(offer(SDP, "v=0\r\ns=\0\r\n").await, Err(StatusCode::BAD_REQUEST));
        assert_eq!(offer(SDP, vec![b'a'; BYTES_MAX + 1]).await, Err(StatusCode::PAYLOAD_TOO_LARGE));
        assert_eq!(offer(SDP, vec![b'a'; BYTES_MAX]).await.map(|offer| offer.0.len()), Ok(BYTES_MAX));
    }
}
