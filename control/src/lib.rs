//! The control plane: who may do what, the rooms of this node, and the API by which they are directed.
//!
//! `api` is everything that knows HTTP routes and stands on `rooms`, never the other way round. `rooms` drives the state
//! machine of `onmic_room` and carries out its effects. Beside them: tokens, tickets for seats, webhooks, ids.

mod api;
mod auth;
mod random;
mod rooms;
mod ticket;
mod webhook;

pub use api::Api;
pub use auth::TokenGate;
pub use rooms::words::HostLeaves;
pub use rooms::{Rooms, RoomsConfig};
pub use ticket::Tickets;
pub use webhook::{Outbox, Receiver};
