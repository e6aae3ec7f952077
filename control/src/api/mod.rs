//! The control API under `/api/v1`, described by its OpenAPI document.

mod addresses;
mod advice;
mod caller;
pub mod client;
mod commands;
mod conduct;
mod events;
mod json;
mod multitrack;
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
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn;
use axum::routing::{get, post};

use onmic_http::OneAtATime;
use onmic_media::name::Principal;
use onmic_media::{DropReason, Hub};
use onmic_room::{Command, Refused};

use crate::auth::TokenGate;
use crate::rooms::Rooms;
use crate::rooms::order::{Done, Order};
use crate::rooms::rate::{Doing, PrincipalRates};
use crate::rooms::refusal::Denied;

pub use multitrack::RtmpIngest;
#[cfg(test)]
pub use multitrack::rtmp_ingest;

/// Returns what an order does that has a rate of its own.
fn doing(order: &Order) -> Option<Doing> {
    match order {
        Order::Chat(_) => Some(Doing::Chat),
        Order::Machine(Command::ProposePk { .. }) => Some(Doing::ProposePk),
        _ => None,
    }
}

/// The parts of the node that the routes use.
#[derive(Clone)]
pub struct Api {
    hub: Arc<Hub>,
    gate: Arc<TokenGate>,
    rooms: Arc<Rooms>,
    rtmp: RtmpIngest,
    /// The list of all rooms. Of 10,000 rooms it takes tens of milliseconds to render.
    list: Arc<OneAtATime>,
    rates: Arc<PrincipalRates>,
}

impl Api {
    /// Returns an API over these parts. Pages and encoders learn from it to publish by `rtmp`.
    pub fn new(hub: Arc<Hub>, gate: Arc<TokenGate>, rooms: Arc<Rooms>, rtmp: RtmpIngest) -> Self {
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

    /// Carries out an order, for which `who` answers, by `done`. It keeps the rates of what it does beside being a request.
    pub(crate) async fn carry_out(
        &self,
        who: Option<&Principal>,
        does: Option<Doing>,
        done: impl Future<Output = Result<Done, Denied>>,
    ) -> Result<Done, Denied> {
        match (does, who) {
            (Some(Doing::ProposePk), Some(who)) => {
                let may = self.rates.may_take(who, Doing::ProposePk, self.rooms.now());
                may.map_err(Refused::PkTooMany)?;
                let done = done.await?;
                if done.created {
                    let _ = self.rates.take(who, Doing::ProposePk, self.rooms.now());
                }
                Ok(done)
            }
            (does, who) => {
                does.map_or(Ok(()), |does| self.keep_rate(who, does))?;
                done.await
            }
        }
    }

    /// Returns the routes.
    pub fn router(self) -> Router {
        Router::new()
            .route("/api/v1/rooms", get(rooms::list).post(rest::create))
            .route("/api/v1/rooms/{room}", get(rooms::one).patch(rest::configure).delete(rest::end))
            .merge(rest::router())
            .route("/api/v1/server", get(server::show))
            .route(
                "/api/v1/multitrack-video/config",
                post(multitrack::tell_qualities).layer(DefaultBodyLimit::max(multitrack::BODY_MAX)),
            )
            .layer(from_fn(addresses::answer))
            .route("/api/v1/openapi.json", get(openapi::document)) // It states no address of a ticket or an overlay.
            .with_state(self)
    }
}
