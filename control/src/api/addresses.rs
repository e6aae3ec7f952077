//! The absolute paths in JSON: the `whip` and `return` of a ticket, and the `image` of an overlay.
//!
//! A message is rendered once for everybody in a room. Only for a client that came under a base path it is rendered anew, and
//! only if it states such a path.

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;

use onmic_http::BasePath;

/// The members that state an absolute path, with the beginning of their value. Inside a text of JSON this cannot stand,
/// because quotes are escaped there.
const STATED: [&str; 3] = [r#""whip":"/"#, r#""return":"/"#, r#""image":"/"#];

/// Returns a message in which every absolute path begins with the base path.
pub fn under(base_path: &BasePath, message: Bytes) -> Bytes {
    let Some(text) = std::str::from_utf8(&message).ok().filter(|_| !base_path.is_root()) else { return message };
    if !STATED.iter().any(|stated| text.contains(stated)) {
        return message;
    }
    let led = STATED.iter().fold(text.to_owned(), |text, stated| {
        let member = stated.trim_end_matches('/');
        text.replace(stated, &format!("{member}{base_path}/"))
    });
    led.into()
}

/// Answers a request with paths under its base path.
pub async fn answer(base_path: BasePath, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let is_json = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    if base_path.is_root() || !is_json {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    // The whole body is in memory already, so this takes no more.
    let Ok(body) = to_bytes(body, usize::MAX).await else { return parts.into_response() };
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(under(&base_path, body)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn the_paths_of_tickets_and_overlays_begin_with_the_base_path_and_nothing_else_changes() {
        let message = |base: &str| {
            json!({
                "ticket": {"whip": format!("{base}/whip/demo/anna"), "return": format!("{base}/whep/demo/anna/return")},
                "overlays": [{"image": format!("{base}/api/v1/rooms/demo/overlays/logo/image")}],
                "chat": r#""whip":"/whip/demo","image":"/"#,
                "whip": true,
                "image": "data:image/png;base64,AA",
            })
        };
        let led = |base: &str| -> Value {
            let told = under(&base.parse().unwrap(), message("").to_string().into());
            serde_json::from_slice(&told).unwrap()
        };
        assert_eq!(led("/live"), message("/live"));
        assert_eq!(led(""), message(""));
        let plain = Bytes::from(r#"{"chat":"hello"}"#);
        assert_eq!(under(&"/live".parse().unwrap(), plain.clone()), plain);
    }
}
