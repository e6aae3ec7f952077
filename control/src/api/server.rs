//! `GET /api/v1/server`: what a page has to know of the server before it plays.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;

/// What a page has to know of the server.
#[derive(Serialize, ToSchema)]
pub struct Server {
    /// The version of onmic.
    version: &'static str,
    /// The TCP port that takes RTMP; 0 if none does.
    rtmp_port: u16,
    /// The application of RTMP URLs, the path between the host and the stream key.
    rtmp_app: String,
    /// The node's clock now (RFC 3339 with milliseconds), against which players measure latency.
    now: String,
    /// Whether the server asks for tokens.
    auth: bool,
}

/// Shows the server's version, clock and ports. It needs no token.
#[utoipa::path(get, path = "/api/v1/server", responses((status = 200, body = Server)))]
pub async fn show(State(api): State<Api>) -> Json<Server> {
    Json(Server {
        version: env!("CARGO_PKG_VERSION"),
        rtmp_port: api.rtmp.port,
        rtmp_app: api.rtmp.application,
        now: api.hub.calendar().at(api.rooms.now()).to_string(),
        auth: api.gate.is_closed(),
    })
}
