//! One packaged feed, as requests see it. Its driver alone writes it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use onmic_media::{Calendar, Feed, FeedStage, Keyed, TrackKey, ViewerKind};
use onmic_packager::{Rendition, Segmenter, Settings, multivariant, playlist};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::audience::Audience;
use super::cache::Cache;
use super::document::Document;
use super::holding::Holding;
use super::view::{Lifetimes, View};
use super::windows::Whose;
use crate::error::EdgeError;

/// One program as LL-HLS: the state that its driver publishes and requests read.
#[derive(Debug)]
pub(crate) struct Stream {
    /// The directory of its files. It is new each time that packaging begins, because caches may still hold the files
    /// of the last time. It counts on the node's line, which does not come back to a moment, as a system clock may.
    pub(crate) id: String,
    /// Who is counted for what it holds.
    pub(crate) whose: Whose,
    pub(crate) feed: Arc<Feed>,
    pub(crate) settings: Settings,
    /// Gives its segments their dates.
    pub(crate) calendar: Arc<Calendar>,
    pub(crate) audience: Audience,
    /// Cancelled when the process stops. The stream is left as it is, so that players can go on with it elsewhere.
    pub(crate) stop: CancellationToken,
    /// Cancelled when the room has another program. The stream is brought to its end.
    pub(crate) replaced: CancellationToken,
    /// Cancelled when nobody writes the stream any more. What has not come until then does not come.
    pub(crate) over: CancellationToken,
    /// The target duration in seconds, which the first segment may lower.
    target_secs: AtomicU64,
    /// The published state by track. The main tracks are there from the start, so that requests can wait on them.
    views: RwLock<Keyed<watch::Sender<Arc<View>>>>,
    index: watch::Sender<Index>,
    /// What its playlists hold of the budget of all of them, for as long as the stream is kept.
    pub(crate) holding: Mutex<Holding>,
    began: Instant,
    last_request: Mutex<Option<Instant>>,
    /// Rings with each request.
    asked: Notify,
}

/// The multivariant playlist, or the reason for its absence.
#[derive(Clone, Debug)]
pub(crate) enum Index {
    Waiting,
    Ready(Arc<Document>),
    Unavailable(EdgeError),
}

impl Stream {
    pub(crate) fn new(
        whose: Whose,
        feed: Arc<Feed>,
        settings: Settings,
        calendar: Arc<Calendar>,
        stop: CancellationToken,
        now: Instant,
    ) -> Self {
        Self {
            id: base36(calendar.clock().wall(now).micros() / 1000),
            whose,
            feed,
            settings,
            calendar,
            audience: Audience::default(),
            stop,
            replaced: CancellationToken::new(),
            over: CancellationToken::new(),
            target_secs: AtomicU64::new(settings.target_secs()),
            views: RwLock::new(
                [TrackKey::VIDEO, TrackKey::AUDIO].map(|key| (key, unpublished())).into_iter().collect(),
            ),
            index: watch::Sender::new(Index::Waiting),
            holding: Mutex::default(),
            began: now,
            last_request: Mutex::default(),
            asked: Notify::new(),
        }
    }

    /// Returns the published state of a rendition, to look at or to wait on. `None` for a further rendition that does
    /// not exist.
    pub(crate) fn views(&self, key: TrackKey) -> Option<watch::Receiver<Arc<View>>> {
        self.views.read().get(key).map(watch::Sender::subscribe)
    }

    pub(crate) fn view(&self, key: TrackKey) -> Option<Arc<View>> {
        self.views.read().get(key).map(|view| view.borrow().clone())
    }

    pub(crate) fn index(&self) -> watch::Receiver<Index> {
        self.index.subscribe()
    }

    /// Returns the longest time that a request may wait.
    pub(crate) fn patience(&self) -> Duration {
        Duration::from_secs(self.target_secs.load(Ordering::Relaxed)) * 3
    }

    pub(crate) fn touch(&self, now: Instant) {
        *self.last_request.lock() = Some(now);
        self.asked.notify_one();
    }

    /// Waits for the next request, unless one has come before.
    pub(crate) async fn asked(&self) {
        self.asked.notified().await;
    }

    pub(crate) fn idle(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.last_request.lock().unwrap_or(self.began))
    }

    /// Returns whether a request has come within the last `time`.
    pub(crate) fn was_asked_for(&self, now: Instant, time: Duration) -> bool {
        self.last_request.lock().is_some_and(|last| now.saturating_duration_since(last) <= time)
    }

    /// Publishes the changes since the last call, but nothing of a rendition that gathers parts after a hole, whose segment
    /// ends with a short part, or that is past a discontinuity of which the main video has published nothing. It wakes the requests that wait for a rendition for that rendition's own parts only. Returns the tracks of which a
    /// part came.
    /// `gone` are the tracks that the multivariant playlist leaves out, because nothing comes of them.
    pub(crate) fn publish(
        &self,
        segmenter: &mut Segmenter,
        expected: &[TrackKey],
        gone: &[TrackKey],
        cache: &Cache,
    ) -> Vec<TrackKey> {
        let keys: Vec<_> = segmenter.renditions().map(Rendition::key).collect();
        let published = keys.into_iter().filter_map(|key| Some((key, self.publish_rendition(segmenter, key, cache)?)));
        let published: Vec<_> = published.collect();
        self.forget_removed(segmenter);
        if !published.is_empty()
            && let Some(text) = multivariant::render(segmenter, &format!("{}/", self.id), expected, gone)
        {
            let changed = match &*self.index.borrow() {
                Index::Ready(document) => document.text() != text.as_bytes(),
                Index::Waiting | Index::Unavailable(_) => true,
            };
            if changed {
                let version = format!("{:x}", fnv1a(text.as_bytes()));
                self.index.send_replace(Index::Ready(Arc::new(Document::new(text, &version))));
            }
        }
        published.into_iter().filter(|(_, has_part)| *has_part).map(|(key, _)| key).collect()
    }

    /// Removes further renditions that are not made any more.
    fn forget_removed(&self, segmenter: &Segmenter) {
        let is_gone = |key: &TrackKey| !key.leads() && segmenter.rendition(*key).is_none();
        let gone: Vec<_> = self.views.read().keys().filter(is_gone).collect();
        for key in gone {
            self.views.write().remove(key);
        }
    }

    /// Publishes what is new of a rendition, if anything is. Returns whether that is a part.
    fn publish_rendition(&self, segmenter: &mut Segmenter, key: TrackKey, cache: &Cache) -> Option<bool> {
        let ended = segmenter.is_ended();
        let before = self.view(key);
        let rendition = segmenter.rendition_mut(key)?;
        for segment in rendition.take_evicted() {
            cache.insert(&self.id, key, segment);
        }
        let next = rendition.next();
        if before.as_ref().is_some_and(|before| before.shows(rendition, ended)) {
            return None;
        }
        let waits = |rendition: &Rendition| {
            rendition.is_gathering() || rendition.ends_shortly() || self.is_ahead(rendition, segmenter)
        };
        let rendition = segmenter.rendition(key).filter(|rendition| ended || !waits(rendition))?;
        let others: Vec<_> = segmenter.renditions().filter(|other| other.key() != key).collect();
        let around = playlist::Around { others: &others, ended };
        let settings = segmenter.settings();
        let render = |skip: bool| {
            let text = playlist::render(rendition, settings, around, skip)?;
            let version = format!("{}-{}.{}{}", self.id, next.msn, next.part, if skip { "d" } else { "" });
            Some(Arc::new(Document::new(text, &version)))
        };
        rendition.newest()?;
        let whole = render(false);
        let delta = render(true).zip(whole.as_ref());
        let delta = delta.and_then(|(delta, whole)| (delta.text().len() < whole.text().len()).then_some(delta));
        let mut view = View::of(rendition, whole, delta, Lifetimes::of(settings.target), ended);
        // While segments are listed whole, the part that is hinted does not come, and requests for it end.
        let waited = before.filter(|before| before.next_part == view.next_part);
        view.stalls = waited.as_ref().map_or(0, |before| before.stalls);
        self.target_secs.store(settings.target_secs(), Ordering::Relaxed);
        self.views.write().get_or_insert_with(key, unpublished).send_replace(Arc::new(view));
        Some(waited.is_none())
    }

    /// Returns whether a rendition is past a discontinuity of which the main video has published nothing. Players place what
    /// follows by the main video. hls.js 1.7.4 takes no playlist that is further, and meanwhile loses parts that it loads. The rendition
    /// waits for one segment at most, because the video may have stopped again.
    fn is_ahead(&self, rendition: &Rendition, segmenter: &Segmenter) -> bool {
        let has_begun = rendition.open().is_some_and(|open| open.discontinuity);
        let is_led = rendition.key() != TrackKey::VIDEO && segmenter.rendition(TrackKey::VIDEO).is_some();
        let lead = self.view(TrackKey::VIDEO).filter(|lead| is_led && has_begun && lead.playlist.is_some());
        lead.is_some_and(|lead| lead.discontinuities < rendition.discontinuities())
    }

    /// Publishes the reason why there is nothing to play.
    pub(crate) fn fail(&self, why: EdgeError) {
        self.index.send_replace(Index::Unavailable(why));
    }

    /// Ends a stream whose packager has died twice, and begins again after a minute at the earliest.
    pub(crate) fn die(&self) {
        self.fail(EdgeError::NotPackaged(
            "the packager of this room has failed twice; it begins again within a minute".to_owned(),
        ));
        self.over.cancel();
    }

    /// Returns what the playlists that are published take, in bytes.
    pub(crate) fn texts(&self) -> u64 {
        self.views.read().values().map(|view| view.borrow().texts() as u64).sum()
    }

    /// Notes that no part of this rendition came for half the patience of a request.
    pub(crate) fn stall(&self, key: TrackKey) {
        if let Some(view) = self.views.read().get(key) {
            view.send_modify(|view| *view = Arc::new(view.stalled()));
        }
    }

    /// Lets requests wait again, because what was refused is tried again.
    pub(crate) fn try_again(&self) {
        self.index.send_if_modified(|index| {
            let was_refused = matches!(index, Index::Unavailable(_));
            if was_refused {
                *index = Index::Waiting;
            }
            was_refused
        });
    }

    /// Waits until the feed ends that cannot be packaged, so that the refusal stays until then.
    pub(crate) async fn feed_end(&self) {
        let mut stages = self.feed.stages();
        tokio::select! {
            _ = stages.wait_for(|stage| *stage == FeedStage::Ended) => {}
            () = self.stop.cancelled() => {}
        }
    }

    pub(crate) fn estimate_viewers(&self, now: Instant) {
        let count = self.audience.count(self.patience(), now);
        self.feed.viewers().estimate(ViewerKind::Hls, count);
    }
}

/// Makes the channel of a rendition that has no part yet.
fn unpublished() -> watch::Sender<Arc<View>> {
    watch::Sender::new(Arc::new(View::empty()))
}

/// Hashes a text for its entity tag (FNV-1a). The hash need not resist an attacker.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

fn base36(mut number: u64) -> String {
    let mut digits = Vec::new();
    while number > 0 || digits.is_empty() {
        digits.push(char::from_digit((number % 36) as u32, 36).unwrap_or('0'));
        number /= 36;
    }
    digits.iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use bytes::Bytes;
    use onmic_media::codec::{aac, h264};
    use onmic_media::{ClockRate, Frame, MediaKind, NodeClock, Parameters, Rendition as Number, Ticks};

    use super::*;

    const LOWER: TrackKey = TrackKey::new(MediaKind::Video, Number(1));

    /// Publishes what is pushed, frame by frame.
    struct Publishing {
        stream: Stream,
        cache: Cache,
        segmenter: Segmenter,
        clock: NodeClock,
        began: Instant,
    }

    impl Publishing {
        fn new() -> Self {
            let began = Instant::now();
            let clock = NodeClock::new(began, SystemTime::UNIX_EPOCH);
            let (settings, calendar) = (Settings::default(), Arc::new(Calendar::new(clock)));
            let whose = Whose { room: "demo".parse().unwrap(), owner: None };
            let stream = Stream::new(whose, Feed::new(None), settings, calendar, CancellationToken::new(), began);
            let cache = Cache::new(1 << 20, Duration::from_secs(60));
            Self { stream, cache, segmenter: Segmenter::new(settings, true), clock, began }
        }

        /// Pushes a frame of this time on the tracks `keys`. Returns the tracks of which a part was published.
        fn push(
            &mut self,
            keys: &[TrackKey],
            parameters: &Arc<Parameters>,
            micros: i64,
            keyframe: bool,
        ) -> Vec<TrackKey> {
            let pts = Ticks(micros).rescale(ClockRate::MICROS, parameters.clock_rate());
            let wall = self.clock.wall(self.began + Duration::from_micros(micros.unsigned_abs()));
            let (parameters, payload) = (parameters.clone(), Bytes::from_static(&[0, 0, 0, 1, 0x65]));
            let frame = Arc::new(Frame { dts: pts, pts, wall, arrived: self.began, keyframe, parameters, payload });
            for key in keys {
                self.segmenter.push(*key, &frame).unwrap();
            }
            self.stream.publish(&mut self.segmenter, keys, &[], &self.cache)
        }

        /// Returns the playlist of a rendition, if there is one.
        fn playlist(&self, key: TrackKey) -> Option<String> {
            let playlist = self.stream.view(key)?.playlist.clone()?;
            Some(String::from_utf8(playlist.text().to_vec()).unwrap())
        }
    }

    #[test]
    fn no_rendition_is_published_past_a_discontinuity_before_the_main_video() {
        let audio = Arc::new(Parameters::Aac(aac::Parameters::low_complexity(48_000, 2).unwrap()));
        let video = parameters();
        // The publisher is away for 1 s. Its video comes 200 ms after its audio.
        let mut frames: Vec<(i64, i64, bool, bool)> = Vec::new();
        for (from, to) in [(0, 5_000_000), (6_000_000, 12_000_000)] {
            let videos = (0..).map(|n| (from + n * 40_000, n % 50 == 0)).take_while(|(at, _)| *at < to);
            frames.extend(videos.map(|(at, keyframe)| (at + 200_000, at, true, keyframe)));
            let audios = (0..).map(|n| from + n * 64_000 / 3).take_while(|at| *at < to);
            frames.extend(audios.map(|at| (at, at, false, true)));
        }
        frames.sort_unstable();
        let mut publishing = Publishing::new();
        let mut behind = Vec::new();
        for (arrives, at, is_video, keyframe) in frames {
            let (key, parameters) = if is_video { (TrackKey::VIDEO, &video) } else { (TrackKey::AUDIO, &audio) };
            publishing.push(&[key], parameters, at, keyframe);
            let breaks = |key| {
                let playlist = publishing.playlist(key);
                playlist.map_or(0, |text| text.matches("#EXT-X-DISCONTINUITY\n").count())
            };
            if breaks(TrackKey::AUDIO) > breaks(TrackKey::VIDEO) {
                behind.push(arrives);
            }
        }
        assert_eq!(behind, Vec::<i64>::new(), "the audio was ahead at these times, in µs");
        assert!(publishing.playlist(TrackKey::AUDIO).unwrap().contains("#EXT-X-DISCONTINUITY\n"));
    }

    fn parameters() -> Arc<Parameters> {
        let sps =
            Bytes::from_static(&[0x67, 0x42, 0xc0, 0x1f, 0x8c, 0x8d, 0x40, 0x50, 0x1e, 0xd0, 0x0f, 0x08, 0x84, 0x6a]);
        let pps = Bytes::from_static(&[0x68, 0xce, 0x0f, 0xc8]);
        Arc::new(Parameters::H264(h264::Parameters::from_parameter_sets(vec![sps], vec![pps]).unwrap()))
    }

    #[test]
    fn a_further_rendition_can_be_fetched_while_it_is_made() {
        let mut publishing = Publishing::new();
        assert!(publishing.stream.view(TrackKey::VIDEO).is_some() && publishing.stream.view(LOWER).is_none());
        let parameters = parameters();
        let mut progress = Vec::new();
        for number in 0..60 {
            progress.extend(publishing.push(&[TrackKey::VIDEO, LOWER], &parameters, number * 40_000, number % 50 == 0));
        }
        let Publishing { stream, cache, mut segmenter, .. } = publishing;
        assert_eq!(progress.iter().filter(|key| **key == LOWER).count(), progress.len() / 2);
        let view = stream.view(LOWER).unwrap();
        assert!(view.part(0).is_some() && view.init(0).is_some());
        let text = String::from_utf8(view.playlist.as_ref().unwrap().text().to_vec()).unwrap();
        assert!(text.contains("video1-part-0.m4s") && text.contains("RENDITION-REPORT:URI=\"video.m3u8\""), "{text}");
        let Index::Ready(index) = stream.index().borrow().clone() else { panic!("no index") };
        let index = String::from_utf8(index.text().to_vec()).unwrap();
        assert_eq!(index.matches("#EXT-X-STREAM-INF").count(), 2, "{index}");

        segmenter.remove(LOWER);
        stream.publish(&mut segmenter, &[], &[], &cache);
        assert!(stream.view(LOWER).is_none() && stream.view(TrackKey::VIDEO).is_some());
    }
}
