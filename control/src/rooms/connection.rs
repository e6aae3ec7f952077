//! The connection of a client to the events of a room.

use std::sync::Arc;
use std::time::Instant;

use onmic_media::Share;
use onmic_room::{Actor, RoomName};
use tokio_util::sync::CancellationToken;

use super::Rooms;
use super::order::{Done, Order};
use super::refusal::Denied;

/// A connection of a person to a room. When their last one is dropped, the person leaves the room.
pub struct Connection {
    pub(super) rooms: Arc<Rooms>,
    pub(super) client: u64,
    pub(super) share: Option<Share>,
    pub room: RoomName,
    pub by: Actor,
}

impl Connection {
    /// Carries out an order of this person.
    pub async fn order(&self, order: Order) -> Result<Done, Denied> {
        self.rooms.order(&self.room, &self.by, order).await
    }

    /// Returns the time on the clock of the rooms.
    pub fn now(&self) -> Instant {
        self.rooms.now()
    }

    /// Returns a token that is cancelled when the node stops.
    pub fn stopping(&self) -> CancellationToken {
        self.rooms.stop.clone()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        drop(self.share.take());
        self.rooms.exit(self);
    }
}
