//! Tracks that viewers wait for: their feed has not got them yet.
//!
//! One task for each feed, key and codec waits until the feed has a track, gets it converted aside, since opening a codec
//! blocks, and hands it over as a command. It ends with the feed, or once nobody waits any more.

use std::collections::HashMap;
use std::sync::Arc;

use onmic_media::{Accepts, Codec, Feed, TrackKey};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::Command;

/// Which track is wanted, and in which codec.
pub(super) type Wanted = (TrackKey, Codec);

/// What the viewers of a shard wait for.
pub(super) struct Awaited {
    /// By the feed's address, which no other has while a viewer holds it.
    waits: HashMap<(usize, Wanted), Wait>,
    commands: mpsc::WeakSender<Command>,
}

struct Wait {
    /// Keys of their sessions.
    viewers: Vec<usize>,
    task: JoinHandle<()>,
}

impl Awaited {
    pub(super) fn new(commands: mpsc::WeakSender<Command>) -> Self {
        Self { waits: HashMap::new(), commands }
    }

    /// `viewer` waits for a track. Called on the shard's runtime.
    pub(super) fn join(&mut self, feed: &Arc<Feed>, wanted: Wanted, viewer: usize) {
        let wait = self.waits.entry(place(feed, wanted)).or_insert_with(|| {
            let task = tokio::spawn(wait_for(feed.clone(), wanted, self.commands.clone()));
            Wait { viewers: Vec::new(), task }
        });
        wait.viewers.push(viewer);
    }

    /// `viewer` waits no more.
    pub(super) fn leave(&mut self, feed: &Arc<Feed>, wanted: Wanted, viewer: usize) {
        let Some(wait) = self.waits.get_mut(&place(feed, wanted)) else { return };
        wait.viewers.retain(|waiting| *waiting != viewer);
        if wait.viewers.is_empty() {
            self.waits.remove(&place(feed, wanted));
        }
    }

    /// Whether anybody waits for it.
    pub(super) fn contains(&self, feed: &Arc<Feed>, wanted: Wanted) -> bool {
        self.waits.contains_key(&place(feed, wanted))
    }

    /// All who waited for it.
    pub(super) fn take(&mut self, feed: &Arc<Feed>, wanted: Wanted) -> Vec<usize> {
        let wait = self.waits.remove(&place(feed, wanted));
        wait.map(|mut wait| std::mem::take(&mut wait.viewers)).unwrap_or_default()
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.waits.is_empty()
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn place(feed: &Arc<Feed>, wanted: Wanted) -> (usize, Wanted) {
    (Arc::as_ptr(feed).addr(), wanted)
}

/// Goes on after a track that it handed over, which may have ended before the shard read it.
async fn wait_for(feed: Arc<Feed>, (key, codec): Wanted, commands: mpsc::WeakSender<Command>) {
    let accepts = Accepts { codecs: [codec].into(), reordering: false };
    let mut known = None;
    while let Some((original, demanded)) = feed.clone().next_demand(key, accepts.clone(), known).await {
        known = Some(original);
        let demand = match demanded {
            Ok(demand) => demand,
            Err(refused) => {
                tracing::debug!(%refused, "viewers who waited go without");
                continue;
            }
        };
        let Some(commands) = commands.upgrade() else { return };
        if commands.send(Command::Attach { feed: feed.clone(), demand }).await.is_err() {
            return; // The shard has ended.
        }
    }
}
