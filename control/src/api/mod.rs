//! The control API under `/api/v1`, described by its OpenAPI document.

mod addresses;
mod advice;
mod caller;
pub mod client;
mod commands;
mod conduct;
mod events;
mod json;
mod openapi;
mod page;
mod problem;
mod rest;
mod rooms;
mod server;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn;
use axum::routing::get;

use onmic_http::OneAtATime;
use onmic_media::name::Principal;
use onmic_media::{DropReason, Hub};

use crate::auth::TokenGate;
use crate::rooms::Rooms;
use crate::rooms::rate::{Doing, PrincipalRates};
use crate::rooms::refusal::Denied;

/// The parts of the node that the routes use.
#[derive(Clone)]
pub struct Api {
    hub: Arc<Hub>,
    gate: Arc<TokenGate>,
    rooms: Arc<Rooms>,
    rtmp: (u16, String),
    /// The list of all rooms. Of 10,000 rooms it takes tens of milliseconds to render.
    list: Arc<OneAtATime>,
    rates: Arc<PrincipalRates>,
}

impl Api {
    /// Returns an API over these parts. Pages learn from it to publish to the port and application in `rtmp`.
    pub fn new(hub: Arc<Hub>, gate: Arc<TokenGate>, rooms: Arc<Rooms>, rtmp: (u16, String)) -> Self {
        Self { hub, gate, rooms, rtmp, list: Arc::default(), rates: Arc::default() }
    }

    /// Counts what a principal does, unless nobody counts.
    pub(crate) fn keep_rate(&self, who: Option<&Principal>, doing: Doing) -> Result<(), Denied> {
        let Some(who) = who else { return Ok(()) };
        self.rates.take(who, doing, self.rooms.now()).map_err(|wait| {
            DropReason::TooFast.count(1);
            Denied::TooFast(wait)
        })
    }

    /// Returns the routes.
    pub fn router(self) -> Router {
        Router::new()
            .route("/api/v1/rooms", get(rooms::list).post(rest::create))
            .route("/api/v1/rooms/{room}", get(rooms::one).patch(rest::configure).delete(rest::end))
            .merge(rest::router())
            .route("/api/v1/server", get(server::show))
            .layer(from_fn(addresses::answer))
            .route("/api/v1/openapi.json", get(openapi::document)) // It states no address of a ticket or an overlay.
            .with_state(self)
    }
}
