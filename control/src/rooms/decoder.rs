//! Decodes the pictures of overlays: on threads that may block, before any room's lock is taken, one after the other.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::look::{Impossible, Overlays, Sent, Shown};

/// Decodes for one host at a time: what a picture takes while it is decoded is there once, however many are sent, and
/// whether or not whoever sent them still waits for the answer.
pub struct Decoder {
    turn: Arc<Semaphore>,
    /// Hosts whose pictures may wait for their turn. Each holds a request of up to 3 MiB meanwhile.
    waiting: Semaphore,
}

/// Hosts whose pictures wait at most: 16 × 3 MiB, and about 10 s until the last of them has its turn.
const WAITING_MAX: usize = 16;

impl Default for Decoder {
    fn default() -> Self {
        Self { turn: Arc::new(Semaphore::new(1)), waiting: Semaphore::new(WAITING_MAX) }
    }
}

impl Decoder {
    /// Keeps every picture waiting, as one that takes long to decode does.
    #[cfg(test)]
    pub async fn occupy(&self) -> tokio::sync::SemaphorePermit<'_> {
        self.turn.acquire().await.unwrap()
    }

    /// Decodes all pictures that were sent, or none.
    pub async fn decode(&self, overlays: Overlays<Sent>) -> Result<Overlays<Shown>, Impossible> {
        let failed = || Impossible::new("The pictures could not be decoded. Try again.");
        let busy =
            |_| Impossible::new("The pictures of many other rooms are being decoded. Try again in some seconds.");
        let _waiting = self.waiting.try_acquire().map_err(busy)?;
        let turn = self.turn.clone().acquire_owned().await.map_err(|_| failed())?;
        // The turn is over when the work is, though nobody may wait for it any more.
        let work = move || {
            let _turn = turn;
            overlays.decode()
        };
        spawn_blocking(work).await.map_err(|_| failed())?
    }
}
