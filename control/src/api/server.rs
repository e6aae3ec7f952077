//! `GET /api/v1/server`: what a page must know before it plays.

use std::time::Instant;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;

/// This server.
#[derive(Serialize, ToSchema)]
pub struct Server {
    /// Version of onmic.
    version: &'static str,
    /// Where RTMP is taken.
    rtmp_port: u16,
    /// The application of RTMP URLs, the path between the host and the stream key.
    rtmp_app: String,
    /// The node's clock now (RFC 3339 with milliseconds), against which players measure latency.
    now: String,
    /// Whether tokens are asked for.
    auth: bool,
}

/// The server's version, clock and ports. Open to everybody.
#[utoipa::path(get, path = "/api/v1/server", responses((status = 200, body = Server)))]
pub async fn show(State(api): State<Api>) -> Json<Server> {
    Json(Server {
        version: env!("CARGO_PKG_VERSION"),
        rtmp_port: api.rtmp.0,
        rtmp_app: api.rtmp.1,
        now: api.hub.clock().wall(Instant::now()).to_string(),
        auth: api.gate.is_closed(),
    })
}
