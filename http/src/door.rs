//! The door before all routes: where a request comes from, and whether it may come in at all.
//!
//! It puts the client's address in the place of a trusted proxy's, so that no route has to know of proxies. A server without
//! a secret obeys everybody on its machine. There it also turns away what a page of another site makes a browser on that
//! machine send: by its `Origin`, or under a host name that the site has bound to a loopback address (DNS rebinding).
//! Media by `GET` is what such a page may have, because players live on other sites.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::Problem;
use crate::client::{self, Network};

/// Decides about requests before any route does.
#[derive(Clone, Debug)]
pub struct Door {
    trusted: Arc<[Network]>,
    guarded: bool,
}

impl Door {
    /// Believes the proxies in the `trusted` networks. A `guarded` server asks for no tokens, and listens on loopback alone.
    pub fn new(trusted: Vec<Network>, guarded: bool) -> Self {
        Self { trusted: trusted.into(), guarded }
    }

    /// Returns whether a request may come in.
    fn admits(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
        if !self.guarded {
            return Ok(());
        }
        let stated = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
        let host = uri.authority().map(|authority| authority.as_str()).or_else(|| stated(header::HOST));
        if !host.is_none_or(is_loopback) {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                "this server has no auth.secret, so it answers under localhost and loopback addresses alone",
            ));
        }
        let origin = stated(header::ORIGIN).map(|origin| origin.split_once("://").map_or("", |(_, host)| host));
        if !origin.is_none_or(is_loopback) && !is_media(method, uri, stated(header::ACCESS_CONTROL_REQUEST_METHOD)) {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                "this server has no auth.secret, so pages of other sites may fetch its media and nothing else",
            ));
        }
        Ok(())
    }
}

/// Lets a request in, with the address of its client, or answers 403.
pub async fn enter(State(door): State<Door>, mut request: Request, next: Next) -> Response {
    if let Err(refused) = door.admits(request.method(), request.uri(), request.headers()) {
        return refused.into_response();
    }
    if let Some(ConnectInfo(peer)) = request.extensions().get::<ConnectInfo<SocketAddr>>().copied() {
        let client = client::address(peer.ip(), request.headers(), &door.trusted);
        if client != peer.ip() {
            request.extensions_mut().insert(ConnectInfo(SocketAddr::new(client, 0)));
        }
    }
    next.run(request).await
}

/// Returns whether this is a host with or without port that names this machine alone.
fn is_loopback(host: &str) -> bool {
    let bare = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(address, _)| address),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    let name = bare.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost"
        || name.ends_with(".localhost") // RFC 6761, 6.3: it resolves to loopback.
        || bare.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

/// Returns whether this fetches media, or asks beforehand whether it may.
fn is_media(method: &Method, uri: &Uri, preflight_for: Option<&str>) -> bool {
    let method = if method == Method::OPTIONS { preflight_for.unwrap_or_default() } else { method.as_str() };
    let under_media = ["/hls/", "/flv/"].iter().any(|prefix| uri.path().starts_with(prefix));
    under_media && matches!(method, "GET" | "HEAD")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(door: &Door, method: &Method, path: &str, headers: &[(header::HeaderName, &str)]) -> Option<u16> {
        let headers = headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
        let admitted = door.admits(method, &path.parse().unwrap(), &headers);
        admitted.err().map(|problem| problem.status().as_u16())
    }

    #[test]
    fn without_a_secret_a_page_of_another_site_gets_media_alone() {
        let door = Door::new(Vec::new(), true);
        let evil = [(header::ORIGIN, "https://evil.example"), (header::HOST, "127.0.0.1:8080")];
        let (get, post, options) = (Method::GET, Method::POST, Method::OPTIONS);
        for (method, path) in
            [(&post, "/api/v1/rooms"), (&get, "/api/v1/rooms"), (&post, "/whip/demo"), (&post, "/hls/demo/index.m3u8")]
        {
            assert_eq!(status(&door, method, path, &evil), Some(403), "{method} {path}");
        }
        assert_eq!(status(&door, &get, "/hls/demo/index.m3u8", &evil), None);
        assert_eq!(status(&door, &get, "/flv/demo.flv", &evil), None);
        let asks = |method| [evil[0].clone(), evil[1].clone(), (header::ACCESS_CONTROL_REQUEST_METHOD, method)];
        assert_eq!(status(&door, &options, "/hls/demo/index.m3u8", &asks("GET")), None);
        assert_eq!(status(&door, &options, "/hls/demo/index.m3u8", &asks("DELETE")), Some(403));
        assert_eq!(status(&door, &options, "/api/v1/rooms/demo", &asks("GET")), Some(403));
        assert_eq!(status(&door, &get, "/api/v1/rooms", &[(header::ORIGIN, "null")]), Some(403));
    }

    #[test]
    fn without_a_secret_only_loopback_names_are_answered() {
        let door = Door::new(Vec::new(), true);
        for (host, refused) in [
            ("127.0.0.1:8080", None),
            ("localhost:8080", None),
            ("LOCALHOST.", None),
            ("app.localhost", None),
            ("[::1]:8080", None),
            ("127.9.9.9", None),
            ("evil.example:8080", Some(403)),
            ("localhost.evil.example", Some(403)),
            ("127.0.0.1.evil.example", Some(403)),
            ("192.0.2.1", Some(403)),
            ("", Some(403)),
        ] {
            assert_eq!(status(&door, &Method::GET, "/", &[(header::HOST, host)]), refused, "{host}");
        }
        assert_eq!(status(&door, &Method::GET, "/", &[]), None, "HTTP/1.0 states no host");
        let own = [(header::HOST, "localhost:8080"), (header::ORIGIN, "http://localhost:5173")];
        assert_eq!(status(&door, &Method::POST, "/api/v1/rooms", &own), None, "another server of this machine");
    }

    #[test]
    fn with_a_secret_tokens_decide() {
        let door = Door::new(Vec::new(), false);
        let evil = [(header::ORIGIN, "https://evil.example"), (header::HOST, "live.example")];
        assert_eq!(status(&door, &Method::POST, "/api/v1/rooms", &evil), None);
    }
}
