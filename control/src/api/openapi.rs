//! The OpenAPI document, which is generated from the routes and their types. It is rendered once.

use std::sync::LazyLock;

use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{PathItem, RefOr, Response as Described, Server};
use utoipa::{Modify, OpenApi};

use onmic_http::BasePath;
use onmic_http::etag::{self, Document as Kept};

use super::{commands, events, multitrack, rest, rooms, server};
use crate::rooms::event::{RoomEvent, ServerMessage};

#[derive(OpenApi)]
#[openapi(
    info(title = "onmic", description = "Control API of the onmic live streaming gateway. Errors are application/problem+json (RFC 9457)."),
    paths(
        rooms::list, rooms::one, rest::create, rest::configure, rest::end, events::events, rest::persons,
        rest::kick, rest::bans, rest::ban, rest::lift_ban, rest::request_mic, rest::withdraw, rest::grant, rest::refuse, rest::invite, rest::accept, rest::decline,
        rest::change_seat, rest::clear_seat, rest::connect_failed, rest::renew_ticket, rest::hand_over, rest::mute_host,
        rest::propose_pk, rest::end_pk, rest::accept_pk, rest::refuse_pk,
        rest::set_layout, rest::set_overlays, rest::overlay_image, rest::set_look, rest::set_source, rest::chat,
        server::show, multitrack::tell_qualities,
        signalling::publish_host, signalling::publish_participant, signalling::watch_program, signalling::watch_source, signalling::watch_return,
        signalling::change_session, signalling::end_session, signalling::choose_level, signalling::subscribe_to_session,
        signalling::watch_session,
    ),
    components(schemas(rooms::Rooms, rooms::Room, server::Server, commands::WireCommand, RoomEvent, ServerMessage<'_>)),
    modifiers(&Bearer, &Everywhere),
    security((), ("token" = [])),
)]
struct Document;

/// The tokens that a call may carry.
struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let bearer = Http::builder().scheme(HttpAuthScheme::Bearer).bearer_format("JWT");
        let bearer = bearer.description(Some(
            "A JWT signed with a key of the server (auth.secret, auth.keys_file); also as ?token=. Without keys the server asks for no tokens.",
        ));
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(bearer.build()));
    }
}

/// The refusals that a kind of route shares, so that no route has to repeat them.
struct Everywhere;

impl Modify for Everywhere {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        for (path, item) in &mut document.paths.paths {
            let PathItem { get, put, post, delete, patch, .. } = item;
            let methods = [(false, get), (true, put), (true, post), (true, delete), (true, patch)];
            for (commands, operation) in methods.into_iter().filter_map(|(commands, of)| Some((commands, of.as_mut()?)))
            {
                if path.contains('{') {
                    refuses(operation, 400, "A name in the address is not valid.");
                }
                if ["{seat}", "{person}"].iter().any(|named| path.contains(named)) {
                    refuses(operation, 422, "No seat has this number, or no person can have this id.");
                }
                refuses(operation, 429, "The caller asks too often, or has too much already.");
                if commands && !path.starts_with("/sessions/") {
                    refuses(operation, 503, "The server is full or about to stop.");
                }
                let Some(RefOr::T(body)) = &operation.request_body else { continue };
                let is_json = body.content.contains_key("application/json");
                refuses(operation, 400, "The body cannot be read.");
                refuses(operation, 408, "The body did not arrive in time.");
                refuses(operation, 413, "The body is too large.");
                if is_json && !path.starts_with("/sessions/") {
                    refuses(operation, 422, "The body does not say what the route takes.");
                }
            }
        }
    }
}

/// Adds a refusal to an operation that does not describe it itself.
fn refuses(operation: &mut Operation, status: u16, sentence: &str) {
    let described = operation.responses.responses.entry(status.to_string());
    described.or_insert_with(|| Described::new(sentence).into());
}

/// `GET /api/v1/openapi.json`: returns the document, in which a base path is named as the server's address.
pub(super) async fn document(base_path: BasePath, request: HeaderMap) -> Response {
    if base_path.is_root() { AT_ROOT.answer(&request) } else { under(&base_path).answer(&request) }
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Caches ask whether the document is still the same: another version of the server has another one.
const CACHE: &str = "no-cache";

static AT_ROOT: LazyLock<Kept> = LazyLock::new(|| {
    let document = rendered(&Document::openapi());
    let version = etag::version_of(document.as_bytes());
    Kept::new(document, JSON, CACHE, &version)
});

/// The document before and after the path of the server's address, and the version of both.
static AROUND_PATH: LazyLock<(String, String, String)> = LazyLock::new(|| {
    const PATH: &str = "/the-path-of-the-server";
    let mut document = Document::openapi();
    document.servers = Some(vec![Server::new(PATH)]);
    let document = rendered(&document);
    let (before, after) = document.split_once(PATH).expect("the server's address is in the document");
    (before.to_owned(), after.to_owned(), etag::version_of(document.as_bytes()))
});

fn rendered(document: &utoipa::openapi::OpenApi) -> String {
    document.to_json().expect("the document has string keys alone")
}

/// Returns the document under a base path. Its characters need no escape in JSON, nor do its parts in an entity tag.
fn under(base_path: &BasePath) -> Kept {
    let (before, after, version) = &*AROUND_PATH;
    let path = base_path.to_string();
    let version = format!("{version}-{}", etag::version_of(path.as_bytes()));
    Kept::new(format!("{before}{path}{after}"), JSON, CACHE, &version)
}

/// Describes the routes of WHIP and WHEP, which another crate serves.
#[expect(dead_code, reason = "describes routes of a crate that does not know this document")]
mod signalling {
    /// Publishes as the host of a room (WHIP, RFC 9725).
    #[utoipa::path(post, path = "/whip/{room}", tag = "media", params(("room" = String, Path)),
        request_body(content = String, content_type = "application/sdp"),
        responses((status = 201, body = String, content_type = "application/sdp", description = "The SDP answer. Location is the session."),
            (status = 400), (status = 401), (status = 403), (status = 406), (status = 409, description = "Somebody publishes it already."), (status = 415), (status = 503)))]
    fn publish_host() {}

    /// Publishes as a participant of a room (WHIP, RFC 9725).
    ///
    /// The token of a ticket is good only while the person has the seat.
    #[utoipa::path(post, path = "/whip/{room}/{participant}", tag = "media", params(("room" = String, Path), ("participant" = String, Path)),
        request_body(content = String, content_type = "application/sdp"),
        responses((status = 201, body = String, content_type = "application/sdp", description = "The SDP answer. Location is the session."),
            (status = 400), (status = 401), (status = 403), (status = 406), (status = 409, description = "Somebody publishes it already."), (status = 415), (status = 503)))]
    fn publish_participant() {}

    /// Watches the program of a room (WHEP).
    #[utoipa::path(post, path = "/whep/{room}", tag = "media", params(("room" = String, Path)),
        request_body(content = String, content_type = "application/sdp"),
        responses((status = 201, body = String, content_type = "application/sdp", description = "The SDP answer. Location is the session."),
            (status = 400), (status = 401), (status = 403), (status = 404), (status = 406), (status = 409, description = "It is not live."), (status = 415), (status = 503)))]
    fn watch_program() {}

    /// Watches one source of a room (WHEP).
    #[utoipa::path(post, path = "/whep/{room}/{participant}", tag = "media", params(("room" = String, Path), ("participant" = String, Path)),
        request_body(content = String, content_type = "application/sdp"),
        responses((status = 201, body = String, content_type = "application/sdp", description = "The SDP answer. Location is the session."),
            (status = 400), (status = 401), (status = 403), (status = 404), (status = 406), (status = 409, description = "It is not live."), (status = 415), (status = 503)))]
    fn watch_source() {}

    /// Watches the return feed of a participant, which is the program without their own audio (WHEP).
    ///
    /// The participant need not publish yet.
    #[utoipa::path(post, path = "/whep/{room}/{participant}/return", tag = "media", params(("room" = String, Path), ("participant" = String, Path)),
        request_body(content = String, content_type = "application/sdp"),
        responses((status = 201, body = String, content_type = "application/sdp", description = "The SDP answer. Location is the session."),
            (status = 400), (status = 401), (status = 403), (status = 404), (status = 406), (status = 409, description = "The room is not live."), (status = 415), (status = 503)))]
    fn watch_return() {}

    /// Adds candidates to a session of WHIP or WHEP, or restarts its ICE.
    #[utoipa::path(patch, path = "/sessions/{id}", tag = "media", params(("id" = String, Path)),
        request_body(content = String, content_type = "application/trickle-ice-sdpfrag"),
        responses((status = 204), (status = 200, body = String, content_type = "application/trickle-ice-sdpfrag", description = "ICE was restarted."),
            (status = 400), (status = 404), (status = 412), (status = 415)))]
    fn change_session() {}

    /// Ends a session of WHIP or WHEP.
    #[utoipa::path(delete, path = "/sessions/{id}", tag = "media", params(("id" = String, Path)),
        responses((status = 200), (status = 404)))]
    fn end_session() {}

    /// Chooses the level of a session's video (WHEP, draft-murillo-whep-02).
    ///
    /// Without `encodingId` the level follows what the path of the viewer carries, within the limits of the other members.
    #[utoipa::path(post, path = "/sessions/{id}/layer", tag = "media", params(("id" = String, Path)),
        request_body(content = WantedLevel, content_type = "application/json"),
        responses((status = 204), (status = 400), (status = 404), (status = 409, description = "The session has no video whose level could be chosen."), (status = 415)))]
    fn choose_level() {}

    /// Subscribes to events of a session (WHEP, draft-murillo-whep-02): `active`, `inactive`, `layers`, `viewercount`.
    #[utoipa::path(post, path = "/sessions/{id}/sse", tag = "media", params(("id" = String, Path)),
        request_body(content = Vec<String>, content_type = "application/json"),
        responses((status = 201, description = "Location is the stream of the events."), (status = 400), (status = 404), (status = 415)))]
    fn subscribe_to_session() {}

    /// Streams the events of a session, until it ends.
    #[utoipa::path(get, path = "/sessions/{id}/sse/{events}", tag = "media", params(("id" = String, Path), ("events" = String, Path)),
        responses((status = 200, body = String, content_type = "text/event-stream"), (status = 404), (status = 409), (status = 503)))]
    fn watch_session() {}

    /// The level that a session is to get.
    #[derive(utoipa::ToSchema)]
    #[schema(rename_all = "camelCase")]
    #[allow(dead_code)] // It describes a body that `signalling` reads.
    pub(super) struct WantedLevel {
        /// The `mid` of the video's section.
        media_id: Option<String>,
        /// The name of a level, which is kept whatever the path carries, or `none` for audio alone.
        encoding_id: Option<String>,
        /// The width of the player in pixels of the screen. Larger levels are not chosen.
        max_width: Option<u32>,
        /// The height of the player in pixels of the screen.
        max_height: Option<u32>,
        /// The most bits of video per second.
        max_bitrate: Option<u64>,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_routes_of_rooms_and_the_bearer_scheme_are_described() {
        let document = serde_json::to_value(Document::openapi()).unwrap();
        let paths = document["paths"].as_object().unwrap();
        for (path, methods) in [
            ("/api/v1/rooms", vec!["get", "post"]),
            ("/api/v1/rooms/{room}", vec!["get", "patch", "delete"]),
            ("/api/v1/rooms/{room}/requests/{person}/grant", vec!["post"]),
            ("/api/v1/rooms/{room}/seats/{seat}", vec!["patch"]),
            ("/api/v1/rooms/{room}/pk", vec!["put", "delete"]),
            ("/whip/{room}/{participant}", vec!["post"]),
            ("/whep/{room}/{participant}/return", vec!["post"]),
            ("/sessions/{id}/layer", vec!["post"]),
            ("/sessions/{id}/sse/{events}", vec!["get"]),
        ] {
            for method in methods {
                assert!(paths[path].get(method).is_some(), "{method} {path}");
            }
        }
        assert_eq!(document["components"]["securitySchemes"]["token"]["scheme"], "bearer");
        assert!(document["components"]["schemas"]["WireCommand"].is_object());
    }

    #[tokio::test]
    async fn a_base_path_is_the_address_of_the_server_and_changes_nothing_else() {
        let at = async |path: &str| {
            let answer = document(path.parse().unwrap(), HeaderMap::new()).await;
            let etag = answer.headers()["etag"].clone();
            let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
            (etag, serde_json::from_slice::<serde_json::Value>(&body).unwrap())
        };
        let (root_etag, root) = at("").await;
        let (live_etag, mut live) = at("/live").await;
        assert_eq!(live["servers"], serde_json::json!([{"url": "/live"}]));
        live.as_object_mut().unwrap().remove("servers");
        assert_eq!(live, root);
        let (other_etag, _) = at("/media/live").await;
        assert!(root_etag != live_etag && live_etag != other_etag && root_etag != other_etag);
        let known = [(axum::http::header::IF_NONE_MATCH, live_etag)].into_iter().collect();
        assert_eq!(document("/live".parse().unwrap(), known).await.status(), 304);
    }

    /// A reviewer sees a change of the API as a change of this file.
    #[test]
    fn the_document_in_the_repository_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
        let document = Document::openapi().to_pretty_json().unwrap() + "\n";
        if std::env::var_os("UPDATE_OPENAPI").is_some() {
            std::fs::write(path, &document).unwrap();
        }
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        assert!(kept == document, "the API has changed: run the tests with UPDATE_OPENAPI=1, then make api-types");
    }
}
