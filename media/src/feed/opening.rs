//! How an async task has a conversion opened. A codec opens on a thread that may block, one for each feed. All others who want a
//! conversion of that feed meanwhile wait for its end without a thread, and look again. Where it has failed, those who want the same
//! share the refusal.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::{Accepts, Demand, Feed, Found, Recipe, Unavailable};
use crate::key::TrackKey;
use crate::track::TrackId;

type Demanded = Result<Demand, Unavailable>;

/// How an opening has failed, if it has: of which track, by which recipe, and why.
pub(super) type Failure = Option<(TrackId, Recipe, Unavailable)>;

/// The turn to open a conversion of a feed. Dropping it tells all who wait.
struct Turn {
    feed: Arc<Feed>,
    failure: watch::Sender<Failure>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        *self.feed.opening.lock() = None; // The sender is dropped after this.
    }
}

impl Feed {
    /// Does what [`Feed::demand`] does, for an async task: a codec is opened on a thread that may block.
    pub async fn demanded(self: &Arc<Self>, key: TrackKey, accepts: &Accepts) -> Demanded {
        let owner = self.pictures(key.kind).unwrap_or(self);
        let (accepted, history) = (accepts.clone(), accepts.entry.history());
        let demand = owner.open(key, history, move |feed| feed.find(key, accepted.borrow())).await;
        owner.or_original(key, accepts.borrow(), demand)
    }

    /// What `recipe` makes of the original track of a key, whatever that is.
    pub async fn converted(self: &Arc<Self>, key: TrackKey, recipe: Recipe) -> Demanded {
        let owner = self.pictures(key.kind).unwrap_or(self);
        owner.open(key, Duration::ZERO, move |feed| feed.find_converted(key, recipe)).await
    }

    async fn open(
        self: &Arc<Self>,
        key: TrackKey,
        history: Duration,
        find: impl Fn(&Self) -> Result<Found, Unavailable> + Send + 'static,
    ) -> Demanded {
        loop {
            let (recipe, track) = match find(self)? {
                Found::Demand(demand) => return Ok(demand),
                Found::Recipe(recipe, original) => (recipe, original.id()),
            };
            match self.turn_to_open() {
                Ok(turn) => {
                    let feed = self.clone();
                    let work = move || {
                        let demanded = feed.found_or_made(key, history, find);
                        if let Err(why) = &demanded {
                            turn.failure.send_replace(Some((track, recipe, why.clone())));
                        }
                        drop(turn); // What was made can be found.
                        demanded
                    };
                    return opened(key, work).await;
                }
                Err(mut running) => {
                    while running.changed().await.is_ok() {} // It is over when its sender is gone.
                    let failure = running.borrow().clone();
                    if let Some((_, _, why)) = failure.filter(|(of, by, _)| (*of, *by) == (track, recipe)) {
                        return Err(why);
                    }
                }
            }
        }
    }

    /// Returns the turn to open a conversion, or what tells the end of the one that is being opened.
    fn turn_to_open(self: &Arc<Self>) -> Result<Turn, watch::Receiver<Failure>> {
        let mut opening = self.opening.lock();
        if let Some(running) = &*opening {
            return Err(running.clone());
        }
        let (failure, running) = watch::channel(None);
        *opening = Some(running);
        Ok(Turn { feed: self.clone(), failure })
    }
}

/// Opens a codec on a thread where it may block.
async fn opened(key: TrackKey, demand: impl FnOnce() -> Demanded + Send + 'static) -> Demanded {
    match tokio::task::spawn_blocking(demand).await {
        Ok(demanded) => demanded,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(Unavailable::NoTrack(key)), // The runtime is being shut down.
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use parking_lot::Mutex;
    use tokio::task::{spawn_blocking, yield_now};

    use super::super::{Deriver, Entry, Lease, NotDerived};
    use super::*;
    use crate::codec::Codec;
    use crate::testing::audio;
    use crate::track::Track;

    /// Opens a codec once it is told to, and fails if it is told so. Counts what it was asked for.
    struct Slow {
        told: Mutex<mpsc::Receiver<bool>>,
        asked: Mutex<usize>,
    }

    impl Deriver for Slow {
        fn derive(&self, _: Recipe, _: &Arc<Track>, _: Lease) -> Result<Arc<Track>, NotDerived> {
            *self.asked.lock() += 1;
            match self.told.lock().recv() {
                Ok(true) => Ok(Arc::new(Track::new(audio()))),
                _ => Err(NotDerived::Failed("it is told to fail".to_owned())),
            }
        }
    }

    /// Lets fifty viewers come while a codec opens on one of two threads. Returns how many were given a conversion, and how many were
    /// asked of the deriver.
    async fn fifty_viewers(succeeds: bool) -> (usize, usize) {
        let (tell, told) = mpsc::channel();
        let slow = Arc::new(Slow { told: Mutex::new(told), asked: Mutex::default() });
        let feed = Feed::new(Some(slow.clone()));
        feed.set_original(Arc::new(Track::new(audio())));
        let come = |_| {
            let feed = feed.clone();
            tokio::spawn(async move {
                let codecs = [Codec::Aac].into();
                let accepts = Accepts { codecs, reordering: true, any_format: false, entry: Entry::Now };
                feed.demanded(TrackKey::AUDIO, &accepts).await
            })
        };
        let viewers: Vec<_> = (0..50).map(come).collect();
        yield_now().await;
        let other = tokio::time::timeout(Duration::from_secs(10), spawn_blocking(|| ())).await;
        other.expect("a thread is left to others").unwrap();
        tell.send(succeeds).unwrap();
        drop(tell);
        let mut given = Vec::new();
        for viewer in viewers {
            given.extend(viewer.await.unwrap().ok().filter(Demand::is_derived));
        }
        (given.len(), *slow.asked.lock())
    }

    fn with_two_threads<T>(test: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(2).enable_time().build();
        runtime.unwrap().block_on(test)
    }

    #[test]
    fn while_a_codec_opens_those_who_wait_hold_no_thread_and_share_it() {
        assert_eq!(with_two_threads(fifty_viewers(true)), (50, 1));
    }

    #[test]
    fn those_who_waited_for_a_codec_that_does_not_open_share_the_refusal() {
        assert_eq!(with_two_threads(fifty_viewers(false)), (0, 1));
    }
}
