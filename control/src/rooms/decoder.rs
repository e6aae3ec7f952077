//! Decodes the pictures of overlays, one after the other, on threads that may block. No lock of a room is held
//! meanwhile.

use std::sync::Arc;

use onmic_media::name::Principal;
use onmic_media::{Budget, NoShare, Shares};
use onmic_room::RoomName;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio_util::task::AbortOnDropHandle;

use super::look::{Impossible, NotDecoded, Overlays, Sent, Shown, picture_budget};

/// Decodes for one host at a time, so the memory that a picture needs while it is decoded is in use once. That holds
/// however many pictures are sent, and whether or not their senders still wait for an answer.
pub struct Decoder {
    turn: Arc<Semaphore>,
    /// One share for each host whose pictures may wait for their turn. Meanwhile each holds a request of up to 3 MiB.
    waiting: Arc<Shares>,
    /// What the pictures of all rooms may take.
    pub budget: Arc<Budget>,
}

/// The most hosts whose pictures wait. They hold 16 × 3 MiB, and the last of them waits about 10 s for its turn.
const WAITING_MAX: usize = 16;

/// The most of them that wait for one room, so that one host does not keep out those of all other rooms. Each replaces what the one before
/// shows.
const WAITING_OF_ROOM: usize = 2;

impl Default for Decoder {
    fn default() -> Self {
        let waiting = Shares::new("pictures that wait", WAITING_MAX, WAITING_OF_ROOM);
        Self { turn: Arc::new(Semaphore::new(1)), waiting, budget: picture_budget() }
    }
}

impl Decoder {
    /// Keeps all pictures waiting, as a picture does that takes long to decode.
    #[cfg(test)]
    pub async fn occupy(&self) -> tokio::sync::SemaphorePermit<'_> {
        self.turn.acquire().await.unwrap()
    }

    /// Decodes all pictures that were sent for a room, or fails as a whole.
    pub async fn decode(&self, room: &RoomName, overlays: Overlays<Sent>) -> Result<Overlays<Shown>, NotDecoded> {
        let failed = || NotDecoded::Impossible(Impossible::new("The pictures could not be decoded. Try again."));
        let busy = |why| {
            NotDecoded::Busy(match why {
                NoShare::Full(..) => {
                    "The pictures of many other rooms are being decoded. Try again in some seconds.".into()
                }
                NoShare::Principal(..) => {
                    "Pictures of this room are being decoded already. Try again in a second.".into()
                }
            })
        };
        let _waiting = self.waiting.take(Some(Principal::Hosts(room.clone()))).map_err(busy)?;
        let (turn, budget) = (self.turn.clone(), self.budget.clone());
        // A task of its own waits for the turn. A connection that takes nothing does not look at what it waits for, and would keep a
        // turn that it was given from all others.
        let work = async move {
            let turn = turn.acquire_owned().await.map_err(|_| failed())?;
            // The turn ends with the work, even if nobody waits for the result any more.
            let work = move || {
                let _turn = turn;
                overlays.decode(&budget)
            };
            spawn_blocking(work).await.map_err(|_| failed())?
        };
        AbortOnDropHandle::new(tokio::spawn(work)).await.map_err(|_| failed())?
    }
}
