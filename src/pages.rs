//! The pages and scripts of `web/`, embedded in the binary.
//!
//! All addresses in them are relative, because a proxy may show this server under any path. A page is written for its folder
//! in `web/`, and is served under paths of other depths too.

use std::borrow::Cow;
use std::convert::Infallible;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{FromRequestParts, OriginalUri};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use rust_embed::{EmbeddedFile, RustEmbed};

use onmic_config::ConfigError;
use onmic_http::etag::Document;
use onmic_http::{BasePath, Problem};

pub mod policy;

pub use policy::Policy;

#[derive(RustEmbed)]
#[folder = "web/dist"]
#[allow_missing = true]
struct Dist;

/// Returns the routes of the pages. A path that no route takes may be an [`asset`].
pub fn router() -> Router {
    Router::new()
        .route("/", get(index))
        .route("/watch", get(watch))
        .route("/watch/{room}", get(watch))
        .route("/watch/{room}/{participant}", get(watch))
        .route("/studio/{room}", get(studio))
}

/// Checks that a base path does not begin like the path of a file of the pages: requests for that file would lead nowhere.
pub fn check_base_path(path: &BasePath) -> Result<(), ConfigError> {
    if Dist::iter().any(|file| file.split('/').next() == Some(path.first())) {
        return Err(ConfigError::BasePath(path.to_string()));
    }
    Ok(())
}

/// `GET /`: shows the live rooms and how to publish.
async fn index(request: HeaderMap) -> Response {
    page("index.html").map_or_else(IntoResponse::into_response, |file| answer(file, None, "no-cache", &request))
}

/// `GET /watch/ROOM`: shows the player.
async fn watch(depth: Depth, request: HeaderMap) -> Response {
    inner("watch/index.html", depth, &request)
}

/// `GET /studio/ROOM`: shows the host's desk.
async fn studio(depth: Depth, request: HeaderMap) -> Response {
    inner("studio/index.html", depth, &request)
}

/// How many folders a page is below the root, as a browser counts them: by the slashes of the address that it asked for.
#[derive(Clone, Copy)]
struct Depth(usize);

impl<S: Sync> FromRequestParts<S> for Depth {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let asked = parts.extensions.get().map_or(&parts.uri, |OriginalUri(asked)| asked);
        Ok(Self::of(parts.uri.path(), asked.path()))
    }
}

impl Depth {
    /// Counts the slashes of `asked` behind the first part of the page's route, which is `path`. `asked` may have a base path before that
    /// part, and more slashes than the route.
    fn of(path: &str, asked: &str) -> Self {
        let parts = path.split('/').filter(|part| !part.is_empty()).count();
        let from_behind = asked.rsplit('/').enumerate().filter(|(_, part)| !part.is_empty());
        Self(from_behind.take(parts).last().map_or(0, |(slashes, _)| slashes))
    }
}

/// `GET /assets/…`: returns a file of the pages, as it does for the few files at the root.
pub async fn asset(uri: Uri, request: HeaderMap) -> Response {
    let path = uri.path().trim_start_matches('/');
    // Names under assets/ carry a hash of their content, so they never change.
    let cache = if path.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
    match Dist::get(path) {
        Some(file) => answer(file, None, cache, &request),
        None => Problem::not_found("there is no such page").into_response(),
    }
}

fn page(name: &str) -> Result<EmbeddedFile, Problem> {
    let detail = "the pages were not built into this binary: run `make web` and build again";
    Dist::get(name).ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, detail))
}

/// Answers with a page that was written for a folder below the root, at another depth.
fn inner(name: &str, depth: Depth, request: &HeaderMap) -> Response {
    let mut file = match page(name) {
        Ok(file) => file,
        Err(problem) => return problem.into_response(),
    };
    if let Ok(text) = std::str::from_utf8(&file.data) {
        file.data = at_depth(text, depth).into_bytes().into();
    }
    answer(file, Some(depth), "no-cache", request)
}

/// Returns a page that is written for depth 1 as it has to be at another one.
fn at_depth(page: &str, Depth(depth): Depth) -> String {
    let root = if depth == 0 { "./".to_owned() } else { "../".repeat(depth) };
    page.replace("=\"../", &format!("=\"{root}"))
}

/// Answers with a file, which differs by the depth of its page.
fn answer(file: EmbeddedFile, depth: Option<Depth>, cache: &'static str, request: &HeaderMap) -> Response {
    let kind = HeaderValue::from_str(file.metadata.mimetype());
    let kind = kind.unwrap_or(HeaderValue::from_static("application/octet-stream"));
    let hash = u128::from_be_bytes(file.metadata.sha256_hash().first_chunk().copied().unwrap_or_default());
    let version = depth.map_or_else(|| format!("{hash:032x}"), |Depth(depth)| format!("{hash:032x}-{depth}"));
    let data = match file.data {
        Cow::Borrowed(data) => Bytes::from_static(data),
        Cow::Owned(data) => data.into(),
    };
    Document::new(data, kind, cache, &version).answer(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_path_does_not_begin_like_a_file_of_the_pages() {
        for file in Dist::iter() {
            let refused = check_base_path(&format!("/{file}").parse().unwrap()).unwrap_err().to_string();
            assert!(refused.contains("begins like a path of this server's own"), "{file}: {refused}");
        }
        for other in ["", "/live", "/live/assets"] {
            assert!(check_base_path(&other.parse().unwrap()).is_ok(), "{other}");
        }
    }

    #[test]
    fn a_page_leads_to_its_files_from_any_depth() {
        let page = r#"<link href="../favicon.svg"><script src="../assets/watch.js">"#;
        for (path, asked, root) in [
            ("/watch", "/watch?room=demo", "./"),
            ("/watch", "/watch/", "../"),
            ("/watch/demo", "/watch/demo", "../"),
            ("/watch/demo", "/live/watch/demo", "../"),
            ("/watch/demo", "/live/watch/demo/", "../../"),
            ("/watch/demo/anna", "/watch/demo/anna", "../../"),
            ("/watch/demo", "//watch/demo", "../"),
            ("/watch/demo", "/watch//demo", "../../"),
            ("/watch", "/live//watch//", "../../"),
            ("/watch/demo/anna", "//live/watch/demo//anna/", "../../../../"),
        ] {
            let asked: Uri = asked.parse().unwrap();
            let expected = format!(r#"<link href="{root}favicon.svg"><script src="{root}assets/watch.js">"#);
            assert_eq!(at_depth(page, Depth::of(path, asked.path())), expected, "{asked}");
        }
    }
}
