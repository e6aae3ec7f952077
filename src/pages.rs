//! The pages and scripts of `web/`, embedded in the binary.

use axum::Router;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use rust_embed::{EmbeddedFile, RustEmbed};

use onmic_http::Problem;

#[derive(RustEmbed)]
#[folder = "web/dist"]
#[allow_missing = true]
struct Dist;

/// Returns the routes of the pages. A path that no route takes may be an [`asset`].
pub fn router() -> Router {
    Router::new().route("/", get(index)).route("/watch/{room}", get(watch)).route("/studio/{room}", get(studio))
}

/// `GET /`: shows the live rooms and how to publish.
async fn index() -> Response {
    page("index.html")
}

/// `GET /watch/ROOM`: shows the player.
async fn watch() -> Response {
    page("watch.html")
}

/// `GET /studio/ROOM`: shows the host's desk.
async fn studio() -> Response {
    page("studio.html")
}

/// `GET /assets/…`: returns a file of the pages, as it does for the few files at the root.
pub async fn asset(uri: Uri) -> Response {
    let path = uri.path().trim_start_matches('/');
    // Names under assets/ carry a hash of their content, so they never change.
    let cache = if path.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
    match Dist::get(path) {
        Some(file) => answer(file, cache),
        None => Problem::not_found("there is no such page").into_response(),
    }
}

fn page(name: &str) -> Response {
    match Dist::get(name) {
        Some(file) => answer(file, "no-cache"),
        None => {
            let detail = "the pages were not built into this binary: run `make web` and build again";
            Problem::new(StatusCode::NOT_FOUND, detail).into_response()
        }
    }
}

fn answer(file: EmbeddedFile, cache: &'static str) -> Response {
    let kind = HeaderValue::from_str(file.metadata.mimetype());
    let kind = kind.unwrap_or(HeaderValue::from_static("application/octet-stream"));
    let mut response = file.data.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    response
}
