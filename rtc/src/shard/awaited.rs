//! Tracks that viewers wait for, because their feed does not have them yet.
//!
//! One task for each feed, key and codec waits until the feed has a track. It gets the track converted on another
//! thread, since opening a codec blocks, and hands it over as a command. The task ends with the feed, or with the last
//! viewer that waits.

use std::collections::HashMap;
use std::sync::Arc;

use onmic_media::feed::{Known, Unavailable};
use onmic_media::life::guarded_task;
use onmic_media::{Accepts, Codec, DropReason, Entry, Feed, TrackKey};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::Command;
use crate::capability::further_profile;

/// The name under which the death of a task is counted.
const TASK: &str = "rtc-wait";

/// The track that is wanted, and the codec that it is wanted in.
pub(super) type Wanted = (TrackKey, Codec);

/// The tracks that viewers of a shard wait for.
pub(super) struct Awaited {
    /// The waits, keyed by the feed's address. No other feed has that address while a viewer holds the feed.
    waits: HashMap<(usize, Wanted), Wait>,
    commands: mpsc::WeakSender<Command>,
}

struct Wait {
    /// The keys of the sessions that wait.
    viewers: Vec<usize>,
    task: JoinHandle<()>,
}

impl Awaited {
    pub(super) fn new(commands: mpsc::WeakSender<Command>) -> Self {
        Self { waits: HashMap::new(), commands }
    }

    /// Notes that `viewer` waits for a track. Call it on the shard's runtime.
    pub(super) fn join(&mut self, feed: &Arc<Feed>, wanted: Wanted, viewer: usize) {
        let wait = self.waits.entry(place(feed, wanted)).or_insert_with(|| {
            let (feed, commands) = (feed.clone(), self.commands.clone());
            let wait = move || guarded_task(TASK, wait_for(feed.clone(), wanted, commands.clone()));
            let task = tokio::spawn(async move {
                // The viewers would wait for ever, so it begins again, once.
                if wait().await.is_none() {
                    wait().await;
                }
            });
            Wait { viewers: Vec::new(), task }
        });
        wait.viewers.push(viewer);
    }

    /// Notes that `viewer` no longer waits for a track.
    pub(super) fn leave(&mut self, feed: &Arc<Feed>, wanted: Wanted, viewer: usize) {
        let Some(wait) = self.waits.get_mut(&place(feed, wanted)) else { return };
        wait.viewers.retain(|waiting| *waiting != viewer);
        if wait.viewers.is_empty() {
            self.waits.remove(&place(feed, wanted));
        }
    }

    /// Returns whether a viewer waits for the track.
    pub(super) fn contains(&self, feed: &Arc<Feed>, wanted: Wanted) -> bool {
        self.waits.contains_key(&place(feed, wanted))
    }

    /// Ends the wait for a track and returns the viewers that waited.
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

/// Waits for the track, and goes on after one that it handed over, because that may have ended before the shard read
/// it. What is refused for a time is asked for again after it. A track that the viewers can never take is counted: they go on without it.
async fn wait_for(feed: Arc<Feed>, (key, codec): Wanted, commands: mpsc::WeakSender<Command>) {
    let accepts = Accepts { codecs: [codec].into(), reordering: false, any_format: false, entry: Entry::Now };
    let mut known = None;
    while let Some((original, demanded)) = feed.clone().next_demand(key, accepts.clone(), known).await {
        let demand = match demanded {
            Ok(demand) => demand,
            Err(refused) => {
                known = Some(Known::refused(original, &refused));
                if matches!(refused, Unavailable::NoRecipe(_)) {
                    DropReason::TrackNotTaken.count(1);
                    tracing::info!(%refused, "WHEP viewers go on without a track that they waited for");
                } else {
                    tracing::debug!(%refused, "an awaited track came that its viewers cannot have now");
                }
                continue;
            }
        };
        known = Some(Known::given(original, &demand));
        // Their payload type is for the first profile, and no other codec of their offers is one that video can be converted to.
        if let Some(profile) = further_profile(&demand.track().parameters()) {
            DropReason::TrackNotTaken.count(1);
            tracing::info!(%codec, profile, "WHEP viewers go on without a track that came in a profile that they were not promised");
            continue;
        }
        let Some(commands) = commands.upgrade() else { return };
        if commands.send(Command::Attach { feed: feed.clone(), demand }).await.is_err() {
            return; // The shard has ended.
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use onmic_media::codec::{vp8, vp9};
    use onmic_media::feed::{Deriver, Lease, NotDerived, Recipe};
    use onmic_media::{Parameters, Spent, Track, Work};

    use super::*;

    /// Refuses the first conversion that it is asked for.
    struct Refusing(NotDerived, AtomicBool);

    impl Deriver for Refusing {
        fn derive(&self, _: Recipe, input: &Arc<Track>, _: Lease) -> Result<Arc<Track>, NotDerived> {
            let is_again = self.1.swap(true, Ordering::Relaxed);
            is_again.then(|| Arc::new(Track::new(input.parameters()))).ok_or(self.0.clone())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn viewers_get_a_track_that_was_refused_for_a_time_once_it_can_be_had() {
        for refusal in [Spent(Work::Conversion).into(), NotDerived::Later(Duration::from_secs(60))] {
            let feed = Feed::new(Some(Arc::new(Refusing(refusal, AtomicBool::new(false)))));
            let (commands, mut received) = mpsc::channel(1);
            let mut awaited = Awaited::new(commands.downgrade());
            awaited.join(&feed, (TrackKey::VIDEO, Codec::H264), 1);
            let parameters = vp8::Parameters { width: 640, height: 360, version: 0 };
            feed.set_original(Arc::new(Track::new(Arc::new(Parameters::Vp8(parameters)))));
            let Some(Command::Attach { demand, .. }) = received.recv().await else { panic!("no track came") };
            assert!(demand.is_derived());
            assert_eq!(awaited.take(&feed, (TrackKey::VIDEO, Codec::H264)), [1]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_track_of_a_further_profile_does_not_go_out_under_the_payload_type_that_waits_and_is_counted() {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        let _counts = metrics::set_default_local_recorder(&recorder);
        let feed = Feed::new(None);
        let (commands, mut received) = mpsc::channel(1);
        let mut awaited = Awaited::new(commands.downgrade());
        awaited.join(&feed, (TrackKey::VIDEO, Codec::Vp9), 1);
        for (profile, depth) in [(2, 0xa2), (0, 0x82)] {
            let vpcc = [1, 0, 0, 0, profile, 10, depth, 2, 2, 2, 0, 0];
            let parameters = Parameters::Vp9(vp9::Parameters::from_vpcc(&vpcc).unwrap());
            feed.set_original(Arc::new(Track::new(Arc::new(parameters))));
            tokio::time::sleep(Duration::from_secs(1)).await; // The wait sees each of them.
        }
        let Some(Command::Attach { demand, .. }) = received.recv().await else { panic!("no track came") };
        assert_eq!(further_profile(&demand.track().parameters()), None);
        let rendered = recorder.handle().render();
        assert!(rendered.contains("onmic_drops_total{reason=\"track_not_taken\"} 1\n"), "{rendered}");
    }
}
