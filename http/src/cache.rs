//! Who may keep an answer (RFC 9111).
//!
//! An answer whose route does not say so is kept by nobody. Where tokens are asked for, what a route lets be kept is kept only by
//! the client that asked, under its own token: a shared cache checks no tokens, and would give the answer to everybody.

use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;

/// Who may keep the answers of some routes for as long as they state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Everybody may, shared caches too.
    Everybody,
    /// The client that asked may.
    Asker,
}

impl Keep {
    /// Returns who may keep the answers of routes that ask for tokens, or do not.
    pub fn of(asks_for_tokens: bool) -> Self {
        if asks_for_tokens { Self::Asker } else { Self::Everybody }
    }

    fn state(self, response: &mut Response) {
        let headers = response.headers_mut();
        let Some(stated) = headers.get(header::CACHE_CONTROL) else {
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            return;
        };
        let stated = stated.to_str().unwrap_or("no-store");
        if self == Self::Everybody || stated.split(',').any(|directive| directive.trim() == "no-store") {
            return;
        }
        let private = HeaderValue::try_from(format!("private, {stated}"));
        headers.insert(header::CACHE_CONTROL, private.unwrap_or(HeaderValue::from_static("no-store")));
        headers.append(header::VARY, HeaderValue::from_static("Authorization"));
    }
}

/// Answers a request, and states in the answer who may keep it.
pub async fn state(State(keep): State<Keep>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    keep.state(&mut response);
    response
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn stated(keep: Keep, by_route: Option<&'static str>) -> (String, Option<String>) {
        let mut response = Response::new(Body::empty());
        if let Some(by_route) = by_route {
            response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(by_route));
            response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
        }
        keep.state(&mut response);
        let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
        let vary = response.headers().get_all(header::VARY).iter().map(text).collect::<Vec<_>>().join(", ");
        (text(&response.headers()[header::CACHE_CONTROL]), (!vary.is_empty()).then_some(vary))
    }

    #[test]
    fn an_answer_that_does_not_say_so_is_kept_by_nobody() {
        for keep in [Keep::Everybody, Keep::Asker] {
            assert_eq!(stated(keep, None), ("no-store".to_owned(), None));
            assert_eq!(stated(keep, Some("no-store")).0, "no-store");
        }
    }

    #[test]
    fn where_tokens_are_asked_for_no_shared_cache_keeps_an_answer() {
        let varies = |on: &str| Some(on.to_owned());
        for by_route in ["max-age=12", "no-cache"] {
            let private = format!("private, {by_route}");
            assert_eq!(stated(Keep::of(true), Some(by_route)), (private, varies("Accept-Encoding, Authorization")));
            assert_eq!(stated(Keep::of(false), Some(by_route)), (by_route.to_owned(), varies("Accept-Encoding")));
        }
    }
}
