//! Decodes the pictures of overlays: on threads that may block, before any room's lock is taken, one after the other.

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::look::{Impossible, Overlays, Sent, Shown};

/// Decodes for one host at a time: what a picture takes while it is decoded is there once, however many are sent.
pub struct Decoder {
    turn: Semaphore,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { turn: Semaphore::new(1) }
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
        let _turn = self.turn.acquire().await.map_err(|_| failed())?;
        spawn_blocking(move || overlays.decode()).await.map_err(|_| failed())?
    }
}
