//! The door before all routes: where a request comes from, where it goes, and whether it may come in at all.
//!
//! It puts the client's address in the place of a trusted proxy's. It takes the base path off the path of a request, and puts
//! it before the path in a `Location` and in each `Link`. So no route has to know of proxies, and only bodies that state absolute paths ask for
//! the [`BasePath`] of their request. Several slashes in a row are one, and those at the end of a path mean nothing to routes: proxies and
//! addresses that people put together have them. Nothing is redirected for it, so a path such as `//example.org` never names a host.
//!
//! It also decides by where a request came from, which takes rights away and never gives any. Pages of this server's own origin
//! and of the configured ones ([`Origins`]) may do what everybody may. From pages of other origins it takes no WebSocket,
//! although their token may be good, because browsers let every page open one. A server without a secret obeys everybody on its
//! machine. There such pages may watch, by LL-HLS, HTTP-FLV and WHEP, because players live on other sites, and do nothing else.
//! Such a server also answers under names of loopback alone, because a site may bind its own name to a loopback address (DNS
//! rebinding), and is of the same origin then.
//!
//! Whatever is denied, by the door or by any route behind it, is counted here (`onmic_denied_total`).

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use onmic_media::name::Principal;
use onmic_media::{Asked, Denial, Rates};

use crate::base_path::with_path;
use crate::client::{self, Network};
use crate::origin::{Origin, Origins, is_loopback};
use crate::token::OfProxy;
use crate::toll::Toll;
use crate::{BasePath, Problem, token};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Decides about requests before any route does.
#[derive(Clone, Debug)]
pub struct Door {
    trusted: Arc<[Network]>,
    guarded: bool,
    base_path: BasePath,
    origins: Arc<[Origins]>,
    rates: Arc<Rates>,
}

impl Door {
    /// Believes the proxies in the `trusted` networks. A `guarded` server asks for no tokens, and listens on loopback alone.
    /// Proxies show it under `base_path`, unless they state another one. Pages of `origins` count as its own.
    pub fn new(trusted: Vec<Network>, guarded: bool, base_path: BasePath, origins: Vec<Origins>) -> Self {
        Self { trusted: trusted.into(), guarded, base_path, origins: origins.into(), rates: Arc::default() }
    }

    /// Lets each principal ask at `rates` (see `toll`).
    pub fn with_rates(self, rates: Rates) -> Self {
        Self { rates: Arc::new(rates), ..self }
    }

    /// Returns the base path of a request that came from `peer`.
    fn base_path(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> BasePath {
        let is_trusted = peer.is_some_and(|peer| self.trusted.iter().any(|network| network.contains(peer)));
        let stated = is_trusted.then(|| BasePath::forwarded(headers)).flatten();
        stated.unwrap_or_else(|| self.base_path.clone())
    }

    /// Returns where a request for `uri` goes: without the configured base path, which some proxies leave on it, and without
    /// slashes too many.
    fn route(&self, uri: &Uri) -> Route {
        let single = with_single_slashes(uri.path());
        let path = match self.base_path.strip(&single) {
            Some("") => return Route::ToBase,
            rest => rest.unwrap_or(&single),
        };
        let trimmed = match path.trim_end_matches('/') {
            "" => "/",
            trimmed => trimmed,
        };
        let rewritten = (trimmed != uri.path()).then(|| with_path(uri, trimmed)).flatten();
        Route::To(rewritten.unwrap_or_else(|| uri.clone()))
    }

    /// Returns whether a request may come in, and has an address that routes can read. Tells whether it is of a foreign page.
    fn admits(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<Option<Foreign>, Problem> {
        if !is_text(uri.path()) {
            return Err(Problem::bad_request("the address is not UTF-8 where it is percent-encoded"));
        }
        if headers.get_all(header::HOST).iter().nth(1).is_some() {
            // A proxy may have taken another of them (RFC 9112 3.2).
            return Err(Problem::bad_request("the request states several Hosts"));
        }
        let host = uri.authority().map(|authority| authority.as_str()).or_else(|| stated(headers, header::HOST));
        if self.guarded && !host.is_none_or(is_loopback) {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                "this server has no auth.secret, so it answers under localhost and loopback addresses alone",
            )
            .with_denial(Denial::ForeignHost));
        }
        if !self.is_foreign(host, headers) {
            return Ok(None);
        }
        if self.guarded && !is_watching(method, uri, stated(headers, header::ACCESS_CONTROL_REQUEST_METHOD)) {
            return Err(Foreign::refused(
                "this server has no auth.secret, so pages of other sites may watch and nothing else, unless http.origins has them",
            ));
        }
        if opens_socket(headers) { Err(Foreign::opens_no_socket()) } else { Ok(Some(Foreign)) }
    }

    /// Returns whether a browser says that a page of another site sent this. `host` is the name that the request is for.
    fn is_foreign(&self, host: Option<&str>, headers: &HeaderMap) -> bool {
        let Some(page) = stated(headers, header::ORIGIN) else { return false };
        // The browser compared the addresses itself, and no proxy has changed those. Pages cannot write this header.
        if stated(headers, SEC_FETCH_SITE) == Some("same-origin") {
            return false;
        }
        let is_ours = |page: Origin| {
            host.is_some_and(|host| page.is_at(host)) || self.origins.iter().any(|origins| origins.have(&page))
        };
        !self.origins.iter().any(Origins::are_all) && !Origin::parse(page).is_some_and(is_ours)
    }
}

/// Returns a header of a request, which is empty if it is not text.
fn stated(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).map(|value| value.to_str().unwrap_or_default())
}

/// Returns whether a request wants to become a WebSocket (RFC 6455 4.1).
fn opens_socket(headers: &HeaderMap) -> bool {
    let wanted = headers.get_all(header::UPGRADE).iter().filter_map(|value| value.to_str().ok());
    wanted.flat_map(|list| list.split(',')).any(|protocol| protocol.trim().eq_ignore_ascii_case("websocket"))
}

/// Marks a request as sent by a page of another origin. The door adds it to the request, for routes that answer with the reason for
/// which such a page opens no WebSocket, because browsers do not tell pages how a WebSocket was answered.
#[derive(Clone, Copy, Debug)]
pub struct Foreign;

impl Foreign {
    /// Returns the refusal of a WebSocket.
    pub fn opens_no_socket() -> Problem {
        Self::refused(
            "pages of other sites open a WebSocket here only if http.origins has them; a proxy has to pass on the header Host",
        )
    }

    /// Returns a refusal that such a page can read. It tells nothing but what the page has to know.
    fn refused(detail: &str) -> Problem {
        for_all_pages(Problem::new(StatusCode::FORBIDDEN, detail).with_denial(Denial::ForeignPage))
    }
}

/// Lets pages of all origins read a refusal of the door, which stands before the layer that lets them read what routes answer.
fn for_all_pages(problem: Problem) -> Problem {
    problem
        .with_header(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"))
        .with_header(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("retry-after"))
}

/// Where a request goes.
#[derive(Debug, PartialEq, Eq)]
enum Route {
    /// It goes to the route of this address.
    To(Uri),
    /// It is sent to the base path without the slash at its end, from which the relative addresses in pages would lead elsewhere.
    ToBase,
}

/// Lets a request in, with the address of its client and by the path of its route, or answers 403. No browser takes an answer for
/// another kind of content than it states.
pub async fn enter(State(door): State<Door>, request: Request, next: Next) -> Response {
    let mut response = answer(&door, request, next).await;
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

async fn answer(door: &Door, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
    let base_path = door.base_path(peer, request.headers());
    match door.route(request.uri()) {
        Route::To(uri) => *request.uri_mut() = uri,
        Route::ToBase => {
            let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
            return led(StatusCode::PERMANENT_REDIRECT.into_response(), &format!("{}/{query}", door.base_path));
        }
    }
    let asked = Asked::at(request.uri().path());
    let mut response = pass(door, (peer, base_path), request, next).await;
    response.extensions().get::<Denial>().inspect(|denial| denial.count(asked));
    response.extensions_mut().insert(asked); // The server counts by it how the answer ends.
    response
}

/// Lets a request in whose path is that of its route.
async fn pass(
    door: &Door,
    (peer, base_path): (Option<IpAddr>, BasePath),
    mut request: Request,
    next: Next,
) -> Response {
    match door.admits(request.method(), request.uri(), request.headers()) {
        Ok(Some(foreign)) => _ = request.extensions_mut().insert(foreign),
        Ok(None) => {}
        Err(refused) => return refused.into_response(),
    }
    let mut network = None;
    if let Some(peer) = peer {
        let client = client::address(peer, request.headers(), &door.trusted);
        if client == peer && door.trusted.iter().any(|network| network.contains(peer)) {
            request.extensions_mut().insert(OfProxy);
        } else {
            network = Some(Principal::at(client));
        }
        if client != peer {
            request.extensions_mut().insert(ConnectInfo(SocketAddr::new(client, 0)));
        }
    }
    let shows_token = token(request.headers(), request.uri()).is_some();
    let asked = (request.method(), request.uri().path(), shows_token);
    let toll = match Toll::begin(&door.rates, network, asked, Instant::now()) {
        Ok(toll) => toll,
        Err(too_fast) => return for_all_pages(too_fast.into()).into_response(),
    };
    request.extensions_mut().insert(toll.clone());
    request.extensions_mut().insert(base_path.clone());
    let response = next.run(request).await;
    toll.end(&response, Instant::now());
    let response = with_links_under(response, &base_path);
    let stated = response.headers().get(header::LOCATION).and_then(|location| location.to_str().ok());
    match stated.filter(|location| location.starts_with('/')).map(|location| base_path.join(location)) {
        Some(location) => led(response, &location),
        None => response,
    }
}

/// Returns an answer whose links (RFC 8288) to this server lead through the proxy.
fn with_links_under(mut response: Response, base_path: &BasePath) -> Response {
    if base_path.is_root() {
        return response;
    }
    if let header::Entry::Occupied(mut links) = response.headers_mut().entry(header::LINK) {
        for link in links.iter_mut() {
            let path = link.to_str().ok().and_then(|link| link.strip_prefix('<')).filter(|path| path.starts_with('/'));
            let led = path.and_then(|path| HeaderValue::from_str(&format!("<{}", base_path.join(path))).ok());
            led.into_iter().for_each(|led| *link = led);
        }
    }
    response
}

/// Returns an answer that leads to `location`.
fn led(mut response: Response, location: &str) -> Response {
    if let Ok(location) = HeaderValue::from_str(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// Returns a path in which no slash follows another one.
fn with_single_slashes(path: &str) -> Cow<'_, str> {
    if !path.contains("//") {
        return path.into();
    }
    let mut single = String::with_capacity(path.len());
    for character in path.chars() {
        if character != '/' || !single.ends_with('/') {
            single.push(character);
        }
    }
    single.into()
}

/// Returns whether a path is UTF-8 when its percent-encoding is undone (RFC 3986 2.1). Extractors of axum would refuse others by an
/// answer that is no problem.
fn is_text(path: &str) -> bool {
    if !path.contains('%') {
        return true;
    }
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let digit = |at: usize| after.get(at).and_then(|digit| char::from(*digit).to_digit(16));
        match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push((high * 16 + low) as u8);
                rest = &after[2..];
            }
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    std::str::from_utf8(&bytes).is_ok()
}

/// Returns whether this belongs to watching, or asks beforehand whether it may. A return feed belongs to publishing.
fn is_watching(method: &Method, uri: &Uri, preflight_for: Option<&str>) -> bool {
    let method = if method == Method::OPTIONS { preflight_for.unwrap_or_default() } else { method.as_str() };
    let under = |prefixes: &[&str]| prefixes.iter().any(|prefix| uri.path().starts_with(prefix));
    match method {
        "GET" | "HEAD" => under(&["/hls/", "/flv/", "/whep/", "/sessions/"]),
        "POST" => under(&["/whep/", "/sessions/"]) && !uri.path().ends_with("/return"),
        "PATCH" | "DELETE" => under(&["/sessions/"]), // Only the answer to an offer names a session.
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the door of a server without a secret.
    fn open_door(origins: &[&str]) -> Door {
        let origins = origins.iter().map(|origin| origin.parse().unwrap()).collect();
        Door::new(Vec::new(), true, BasePath::default(), origins)
    }

    fn status(door: &Door, method: &Method, path: &str, headers: &[(HeaderName, &str)]) -> Option<u16> {
        let headers = headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
        let admitted = door.admits(method, &path.parse().unwrap(), &headers);
        admitted.err().map(|problem| problem.status().as_u16())
    }

    #[test]
    fn without_a_secret_a_page_of_another_site_gets_media_alone() {
        let door = open_door(&[]);
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
        assert_eq!(status(&door, &options, "/whep/demo", &asks("POST")), None);
        assert_eq!(status(&door, &post, "/whep/demo", &evil), None);
        assert_eq!(status(&door, &post, "/whep/demo/anna/return", &evil), Some(403));
        assert_eq!(status(&door, &Method::DELETE, "/sessions/1", &evil), None);
        assert_eq!(status(&door, &post, "/sessions/1/layer", &evil), None);
        assert_eq!(status(&door, &get, "/sessions/1/sse/layers", &evil), None);
        assert_eq!(status(&door, &options, "/whip/demo", &asks("POST")), Some(403));
        assert_eq!(status(&door, &get, "/api/v1/rooms", &[(header::ORIGIN, "null")]), Some(403));
    }

    #[test]
    fn without_a_secret_only_loopback_names_are_answered() {
        let door = open_door(&[]);
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
        let two = [(header::HOST, "localhost"), (header::HOST, "evil.example")];
        assert_eq!(status(&door, &Method::GET, "/", &two), Some(400), "a proxy may have taken the other one");
    }

    #[test]
    fn without_a_secret_only_pages_of_this_server_and_of_configured_origins_command() {
        let door = open_door(&["http://localhost:5173", "https://*.studio.example"]);
        for (host, origin, refused) in [
            ("localhost:8080", "http://localhost:8080", None),
            ("[::1]:8080", "http://[::1]:8080", None),
            ("localhost:8080", "http://localhost:5173", None),
            ("localhost:8080", "https://a.studio.example", None),
            ("localhost:8080", "http://localhost:3000", Some(403)),
            ("localhost:8080", "http://127.0.0.1:8080", None), // This server by another name.
            ("localhost:8080", "http://127.0.0.1:3000", Some(403)),
            ("localhost:8080", "https://evil.example", Some(403)),
            ("localhost:8080", "null", Some(403)),
            ("localhost:8080", "", Some(403)),
        ] {
            let headers = [(header::HOST, host), (header::ORIGIN, origin)];
            assert_eq!(status(&door, &Method::POST, "/api/v1/rooms", &headers), refused, "{origin} at {host}");
        }
        for (site, refused) in [("same-origin", None), ("same-site", Some(403)), ("cross-site", Some(403))] {
            let hidden = [(header::HOST, "localhost:8080"), (header::ORIGIN, "null"), (SEC_FETCH_SITE, site)];
            assert_eq!(status(&door, &Method::POST, "/api/v1/rooms", &hidden), refused, "{site}");
        }
        let program = [(header::HOST, "localhost:8080")];
        assert_eq!(status(&door, &Method::POST, "/api/v1/rooms", &program), None, "a program states no origin");
    }

    #[test]
    fn a_site_that_binds_its_name_to_this_machine_is_refused_although_it_is_of_the_same_origin() {
        let door = open_door(&[]);
        let rebound = [
            (header::HOST, "evil.example:8080"),
            (header::ORIGIN, "http://evil.example:8080"),
            (SEC_FETCH_SITE, "same-origin"),
        ];
        for path in ["/api/v1/rooms", "/", "/hls/demo/index.m3u8"] {
            assert_eq!(status(&door, &Method::GET, path, &rebound), Some(403), "{path}");
        }
    }

    #[test]
    fn with_a_secret_tokens_decide_and_pages_of_other_sites_open_no_websocket() {
        let door = |origins: &[&str]| {
            let origins = origins.iter().map(|origin| origin.parse().unwrap()).collect();
            Door::new(Vec::new(), false, BasePath::default(), origins)
        };
        let evil = [(header::ORIGIN, "https://evil.example"), (header::HOST, "live.example")];
        assert_eq!(status(&door(&[]), &Method::POST, "/api/v1/rooms", &evil), None);
        for (upgrade, configured, origin, refused) in [
            ("websocket", &[][..], Some("https://evil.example"), Some(403)),
            ("h2c, WebSocket", &[], Some("https://evil.example"), Some(403)),
            ("websocket", &[], Some("null"), Some(403)),
            ("websocket", &[], Some("https://live.example"), None),
            ("websocket", &[], None, None),
            ("websocket", &["https://evil.example"], Some("https://evil.example"), None),
            ("websocket", &["*"], Some("https://evil.example"), None),
            ("websocket", &["*"], Some("null"), None),
            ("h2c", &[], Some("https://evil.example"), None),
        ] {
            let mut headers = vec![(header::HOST, "live.example"), (header::UPGRADE, upgrade)];
            headers.extend(origin.map(|origin| (header::ORIGIN, origin)));
            let answered = status(&door(configured), &Method::GET, "/api/v1/rooms/demo/events", &headers);
            assert_eq!(answered, refused, "{upgrade} from {origin:?} with {configured:?}");
        }
    }

    #[test]
    fn an_address_that_is_not_text_is_refused_as_a_problem() {
        for (path, expected) in [
            ("/api/v1/rooms/%ff", false),
            ("/hls/%c3/index.m3u8", false),
            ("/api/v1/rooms/%c3%A9", true),
            ("/api/v1/rooms/%", true),
            ("/api/v1/rooms/%zz%4", true),
            ("/", true),
        ] {
            assert_eq!(is_text(path), expected, "{path}");
        }
        let door = Door::new(Vec::new(), false, BasePath::default(), Vec::new());
        assert_eq!(status(&door, &Method::GET, "/api/v1/rooms/%ff", &[]), Some(400));
    }

    #[test]
    fn only_a_trusted_proxy_states_the_base_path() {
        let door = Door::new(Network::LOOPBACK.to_vec(), false, "/set".parse().unwrap(), Vec::new());
        let found = |peer: &str, prefix: &str| {
            let headers = [("x-forwarded-prefix".parse().unwrap(), prefix.parse().unwrap())].into_iter().collect();
            door.base_path(peer.parse().ok(), &headers).to_string()
        };
        assert_eq!(found("127.0.0.1", "/live"), "/live");
        assert_eq!(found("127.0.0.1", "//evil.example"), "/set");
        assert_eq!(found("203.0.113.1", "/live"), "/set");
    }

    #[test]
    fn a_path_leads_to_its_route_with_and_without_base_path_and_slash() {
        let door = Door::new(Vec::new(), false, "/live".parse().unwrap(), Vec::new());
        for (asked, route) in [
            ("/live/watch/demo?lang=zh", "/watch/demo?lang=zh"),
            ("/watch/demo", "/watch/demo"),
            ("/live/", "/"),
            ("/", "/"),
            ("/live/whip/demo/", "/whip/demo"),
            ("/whep/demo//?token=x", "/whep/demo?token=x"),
            ("/lively/demo", "/lively/demo"),
            ("//hls/demo/index.m3u8?token=//", "/hls/demo/index.m3u8?token=//"),
            ("/hls//demo/1///v1.m4s", "/hls/demo/1/v1.m4s"),
            ("//live//watch//demo//", "/watch/demo"),
            ("/live//", "/"),
            ("///", "/"),
            ("//evil.example/demo", "/evil.example/demo"),
            ("http://live.example//whep//demo", "http://live.example/whep/demo"),
        ] {
            assert_eq!(door.route(&asked.parse().unwrap()), Route::To(route.parse().unwrap()), "{asked}");
        }
        for asked in ["/live?lang=zh", "//live"] {
            assert_eq!(door.route(&asked.parse().unwrap()), Route::ToBase, "{asked}");
        }
    }

    #[tokio::test]
    async fn the_base_path_stands_before_the_path_in_a_location() {
        use axum::Router;
        use axum::body::Body;
        use axum::routing::get;
        use tower::ServiceExt;

        let at = |location: &'static str| get(move || async move { [(header::LOCATION, location)] });
        let routes = Router::new()
            .route("/session", at("/sessions/1"))
            .route("/relative", at("../sessions/1"))
            .route("/elsewhere", at("https://other.example/"));
        let door = Door::new(Vec::new(), false, "/live".parse().unwrap(), Vec::new());
        let layer = axum::middleware::from_fn_with_state(door, enter);
        let router = Router::new().fallback_service(routes).layer(layer);
        for (path, location) in [
            ("/session", "/live/sessions/1"),
            ("/live/session", "/live/sessions/1"),
            ("/live?lang=zh", "/live/?lang=zh"),
            ("//live//session", "/live/sessions/1"),
            ("///live", "/live/"),
            ("/relative", "../sessions/1"),
            ("/elsewhere", "https://other.example/"),
        ] {
            let answer = router.clone().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
            assert_eq!(answer.headers()[header::LOCATION], location, "{path}");
        }
        for path in ["//evil.example", "//evil.example/", "//evil.example//session", "/live//evil.example/%2f"] {
            let answer = router.clone().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
            assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
            assert_eq!(answer.headers().get(header::LOCATION), None, "{path} leads to no other host");
        }
    }

    #[test]
    fn the_base_path_stands_before_the_paths_of_links() {
        let linked = |base_path: &str| -> Vec<String> {
            let mut response = StatusCode::CREATED.into_response();
            for link in ["</sessions/1/layer>; rel=\"a\"", "<stun:stun.example>; rel=\"b\"", "<../x>; rel=\"c\""] {
                response.headers_mut().append(header::LINK, HeaderValue::from_static(link));
            }
            let response = with_links_under(response, &base_path.parse().unwrap());
            response.headers().get_all(header::LINK).iter().map(|link| link.to_str().unwrap().to_owned()).collect()
        };
        let others = ["<stun:stun.example>; rel=\"b\"", "<../x>; rel=\"c\""];
        assert_eq!(linked("/live"), ["</live/sessions/1/layer>; rel=\"a\"", others[0], others[1]]);
        assert_eq!(linked("")[0], "</sessions/1/layer>; rel=\"a\"");
    }

    #[test]
    fn whatever_is_denied_by_the_door_and_behind_it_is_counted_once() {
        use axum::Router;
        use axum::body::Body;
        use axum::routing::{get, post};
        use metrics_exporter_prometheus::PrometheusBuilder;
        use tower::ServiceExt;

        let answers = |status: u16| async move { Problem::new(StatusCode::from_u16(status).unwrap(), "a sentence") };
        let fast = || async { Problem::new(StatusCode::TOO_MANY_REQUESTS, "a sentence").with_denial(Denial::TooFast) };
        let not_live = || async { Problem::new(StatusCode::CONFLICT, "a sentence").without_denial() };
        let routes = Router::new()
            .route("/whip/{room}", post(move || answers(409)))
            .route("/whep/{room}", post(move || answers(503)))
            .route("/whep/{room}/{participant}", post(not_live))
            .route("/hls/{room}", get(move || answers(401)))
            .route("/flv/{room}", get(move || answers(429)))
            .route("/api/v1/rooms/{room}/events", get(fast))
            .route("/api/v1/rooms", get(move || answers(404)))
            .route("/readyz", get(|| async { StatusCode::SERVICE_UNAVAILABLE }));
        let layer = axum::middleware::from_fn_with_state(open_door(&[]), enter);
        let router = Router::new().fallback_service(routes).layer(layer);
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        let ask = async |method: Method, path: &str, headers: &[(HeaderName, &str)]| {
            let mut request = axum::http::Request::builder().method(method).uri(path);
            for (name, value) in headers {
                request = request.header(name, *value);
            }
            router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap().status().as_u16()
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        metrics::with_local_recorder(&recorder, || {
            runtime.block_on(async {
                let evil = [(header::ORIGIN, "https://evil.example")];
                let rebound = [(header::HOST, "evil.example")];
                let socket = [evil[0].clone(), (header::UPGRADE, "websocket")];
                assert_eq!(ask(Method::POST, "/whip/demo", &[]).await, 409);
                assert_eq!(ask(Method::POST, "/whip/demo", &evil).await, 403);
                assert_eq!(ask(Method::POST, "/whep/demo", &[]).await, 503);
                assert_eq!(ask(Method::POST, "/whep/demo/anna", &[]).await, 409);
                assert_eq!(ask(Method::GET, "/hls/demo", &[]).await, 401);
                assert_eq!(ask(Method::GET, "/flv/demo", &[]).await, 429);
                assert_eq!(ask(Method::GET, "/api/v1/rooms/demo/events", &[]).await, 429);
                assert_eq!(ask(Method::GET, "/api/v1/rooms/demo/events", &socket).await, 403);
                assert_eq!(ask(Method::GET, "/api/v1/rooms", &rebound).await, 403);
                assert_eq!(ask(Method::GET, "/api/v1/rooms", &[]).await, 404);
                assert_eq!(ask(Method::GET, "/readyz", &[]).await, 503);
            });
        });
        let text = handle.render();
        let mut counted: Vec<&str> = text.lines().filter(|line| line.starts_with("onmic_denied_total{")).collect();
        counted.sort_unstable();
        let line = |protocol: &str, reason: &str| {
            format!("onmic_denied_total{{protocol=\"{protocol}\",reason=\"{reason}\"}} 1")
        };
        let expected = [
            line("flv", "share"),
            line("hls", "token_invalid"),
            line("http", "foreign_host"),
            line("websocket", "foreign_page"),
            line("websocket", "too_fast"),
            line("whep", "unavailable"),
            line("whip", "conflict"),
            line("whip", "foreign_page"),
        ];
        assert_eq!(counted, expected);
    }
}
