//! The control plane: the rooms of this node, the API that directs them, and the tokens that give the right to.
//!
//! `api` has everything that knows HTTP routes. It stands on `rooms`, which does not know it. `rooms` drives the state
//! machine of `onmic_room` and carries out its effects. Beside them are tokens, tickets for seats, bans, webhooks and ids.

mod api;
mod auth;
mod bans;
mod claims;
mod clock;
mod keys;
mod multitrack;
mod random;
mod rooms;
mod sent_out;
#[cfg(test)]
mod simulation;
mod standing;
mod ticket;
mod webhook;

pub use api::{Api, RtmpIngest};
pub use auth::TokenGate;
pub use keys::{Keyring, Keys, KeysError, SECRET_BYTES};
pub use rooms::gate::RoomGate;
pub use rooms::words::{AvSync, HostLeaves};
pub use rooms::{Keeping, Rooms, RoomsConfig};
pub use standing::Standing;
pub use ticket::Tickets;
pub use webhook::{Outbox, Receiver};

/// Returns a new random secret.
pub fn new_secret() -> [u8; SECRET_BYTES] {
    random::bytes()
}
