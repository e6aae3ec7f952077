//! The loop that reads one feed into its segmenter and publishes the parts that come out. One task per feed.
//!
//! A player can join at keyframes only. Where the publisher can be asked for them, a keyframe is asked for at the end of each
//! segment. Where they stay away all the same, players get a form of the main video that is encoded anew ([`Entry::AnyTime`]).
//!
//! A conversion of the main video takes up to a core, so it lives only while somebody asks for playlists. It waits for the first
//! request, and ends the packaging when no request has come for long; the next request begins it again. Where the need for it
//! shows later, because the first group turns out long, the stream goes over to it if somebody has asked lately.
//! Otherwise the packaging ends and waits for the next request. So a publisher with long groups costs nothing without players of
//! LL-HLS, and one encoder with any number of them, which viewers by WebRTC and FLV share.
//!
//! It reads every track that the feed has, also those that come later. Each video and audio track becomes a rendition,
//! and timed metadata travels with the main one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use onmic_media::feed::{OVERLOADED_FOR, Recipe, Unavailable};
use onmic_media::metric::Latency;
use onmic_media::{
    Accepts, Codec, DropReason, Entry, FeedStage, Frame, MediaKind, Next, Playback, Spent, Start, TrackId, TrackKey,
    Tracks, Wants,
};
use onmic_packager::{Rendition, Segmenter};
use tokio::sync::watch;
use tokio::time::{sleep, sleep_until};

use super::cache::Cache;
use super::stream::Stream;
use super::windows::Windows;
use crate::error::EdgeError;

/// How far keyframes may be apart without a conversion. A player loads a group from its keyframe, and shows its newest frames:
/// with 4 s hls.js shows its first frame after 0.4 s, and is no further behind than with 2 s.
const GROUP_MAX: Duration = Duration::from_secs(4);

/// A conversion begins in the past by the length of the first segment, and by this much more: the time of three frames at 30 fps, until
/// the keyframe that ends this segment is asked for, encoded and here. So the first playlist need not wait for frames to come.
const CUT_IN: Duration = Duration::from_millis(100);

/// The codecs that CMAF carries and browsers play. Others are converted. Opus in MP4 does not play everywhere.
const CODECS: [Codec; 5] = [Codec::H264, Codec::H265, Codec::Av1, Codec::Aac, Codec::Metadata];

/// The most frames that are taken before the result is published, because a whole backlog must not delay it.
const BATCH: usize = 64;

/// The longest wait of a stream for a track that flows and has brought no part yet. After it the stream goes on without
/// that track: a still screen may be sent every few seconds. The first request waits a little longer by default.
const OTHER_TRACK: Duration = Duration::from_secs(10);

/// Why [`drive`] returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finish {
    Ended,
    Stopped,
    Idle,
    Failed,
    /// Nothing can be packaged for this time, because the node converts or keeps as much video as it may, or a conversion has failed.
    /// The stream tries again after it.
    Refused(Duration),
    /// The stream outgrew what the node may keep. Another one begins when there is room.
    Outgrown,
    /// The main video goes on as one that the node has no room to convert. Another stream begins when it has.
    Unconverted,
}

struct Driver<'a> {
    stream: &'a Stream,
    cache: &'a Cache,
    windows: &'a Windows<Stream>,
    playback: Playback,
    segmenter: Segmenter,
    /// The tracks that the multivariant playlist waits for.
    expected: Vec<TrackKey>,
    began: Instant,
    /// The moment at which the newest frame reached the process.
    arrived: Instant,
    packaging: metrics::Histogram,
    /// The tracks of which a part came since the last tick.
    progress: Vec<TrackKey>,
    accepts: Accepts,
    idle: Duration,
    /// The original of the main video for which a converted form was asked, and the time at which that may be done again, if it
    /// was refused for a time.
    converted: Option<(TrackId, Option<tokio::time::Instant>)>,
    /// Its playlists take more than there is for them.
    outgrown: Option<Spent>,
}

/// Packages the feed of `stream` until it ends, fails or is stopped. On demand, and while video is converted, packaging also
/// ends after `idle` without a request. With `converts_long_groups`, video whose keyframes are too far apart is encoded anew. It begins
/// at `start`. What is refused for a time is tried again after that, or when the feed has another track.
pub(crate) async fn drive(
    stream: &Stream,
    kept: (&Cache, &Windows<Stream>),
    demand: (bool, Duration),
    how: (bool, Start),
) -> Finish {
    let mut stages = stream.feed.stages();
    loop {
        let finish = attempt(stream, kept, demand, how, &mut stages).await;
        let Finish::Refused(stands) = finish else { return finish };
        tokio::select! {
            () = sleep(stands) => {}
            _ = stages.changed() => {} // Another track may be there.
            () = stream.stop.cancelled() => return Finish::Stopped,
            () = stream.replaced.cancelled() => return Finish::Ended,
        }
    }
}

/// Does what [`drive`] does until it is refused. From the look at its tracks on, `stages` notes what changes in the feed.
async fn attempt(
    stream: &Stream,
    (cache, windows): (&Cache, &Windows<Stream>),
    (on_demand, idle): (bool, Duration),
    (converts_long_groups, start): (bool, Start),
    stages: &mut watch::Receiver<FeedStage>,
) -> Finish {
    stream.try_again();
    tokio::select! {
        settled = stream.feed.settled() => if !settled {
            return Finish::Ended;
        },
        () = stream.stop.cancelled() => return Finish::Stopped,
        () = stream.replaced.cancelled() => return Finish::Ended,
    }
    // A segment may be as long as it is set to be, and begins with a keyframe.
    let (group_max, history) = (GROUP_MAX.max(stream.settings.segment), stream.settings.short() + CUT_IN);
    let entry = if converts_long_groups { Entry::AnyTime { group_max, history } } else { Entry::Anywhere };
    let accepts = Accepts { codecs: CODECS.into(), reordering: true, any_format: false, entry };
    if stream.feed.converts(TrackKey::VIDEO, &accepts) {
        // Nobody has asked for what would cost a decoder and an encoder.
        tokio::select! {
            () = stream.asked() => {}
            _ = stages.wait_for(|stage| *stage == FeedStage::Ended) => return Finish::Ended,
            () = stream.stop.cancelled() => return Finish::Stopped,
            () = stream.replaced.cancelled() => return Finish::Ended,
        }
    }
    stages.mark_unchanged();
    // What a codec costs is not opened for a stream that may keep nothing.
    let held = stream.holding.lock().begin(&stream.whose, windows);
    if let Err(spent) = held {
        stream.fail(spent.into());
        return Finish::Refused(OVERLOADED_FOR);
    }
    let playback = match open(stream, &accepts, start).await {
        Ok(playback) => playback,
        Err(finish) => {
            stream.holding.lock().end();
            return finish;
        }
    };
    let expected: Vec<_> = playback.keys().filter(|key| key.kind != MediaKind::Data).collect();
    let mut driver = Driver {
        stream,
        cache,
        windows,
        playback,
        segmenter: Segmenter::new(stream.settings, expected.contains(&TrackKey::VIDEO)),
        expected,
        began: Instant::now(),
        arrived: Instant::now(),
        packaging: Latency::HlsPart.histogram(),
        progress: vec![TrackKey::VIDEO, TrackKey::AUDIO],
        accepts,
        idle,
        converted: None,
        outgrown: None,
    };
    if driver.converts_video() {
        driver.segmenter = driver.segmenter.beginning_short();
    }
    let finish = driver.run(on_demand).await;
    if matches!(finish, Finish::Ended | Finish::Idle | Finish::Failed | Finish::Outgrown | Finish::Unconverted) {
        if let Err(error) = driver.segmenter.finish() {
            tracing::warn!(stream = stream.id, %error, "the last part could not be written");
        }
        driver.publish();
    }
    finish
}

/// Opens the tracks of the feed. Publishes the reason if there is nothing to package.
async fn open(stream: &Stream, accepts: &Accepts, start: Start) -> Result<Playback, Finish> {
    let wants = Wants { accepts: accepts.clone(), tracks: Tracks::All, start };
    let refuse = |unavailable: Unavailable| {
        // A refusal that no time ends stands until there is another track.
        let finish = Finish::Refused(unavailable.stands().unwrap_or(Duration::MAX));
        stream.fail(unavailable.into());
        finish
    };
    let mut playback = Playback::open(stream.feed.clone(), wants).await.map_err(refuse)?;
    for key in stream.feed.keys() {
        if let Some(reason) = playback.take_refused(key) {
            if key == TrackKey::VIDEO && reason.keeps_out() {
                return Err(refuse(reason));
            }
            tracing::warn!(stream = stream.id, track = %key, %reason, "a track is left out of LL-HLS");
        }
    }
    Ok(playback)
}

impl Driver<'_> {
    async fn run(&mut self, on_demand: bool) -> Finish {
        // The first segment may lower the patience.
        let mut tick = tokio::time::Instant::now() + self.stream.patience() / 2;
        loop {
            let next = tokio::select! {
                biased;
                () = self.stream.stop.cancelled() => return Finish::Stopped,
                () = self.stream.replaced.cancelled() => return Finish::Ended,
                next = self.playback.next() => next,
                () = sleep_until(tick) => {
                    tick = tokio::time::Instant::now() + self.stream.patience() / 2;
                    if (on_demand || self.converts_video()) && self.stream.idle(Instant::now()) > self.idle {
                        return Finish::Idle;
                    }
                    self.tick();
                    continue;
                }
            };
            if let Some(finish) = self.take(next) {
                return finish;
            }
            for _ in 0..BATCH {
                let Some(next) = self.playback.try_next() else { break };
                if let Some(finish) = self.take(next) {
                    return finish;
                }
            }
            self.publish();
            if let Some(spent) = self.outgrown.take() {
                DropReason::HlsOutgrown.count(1);
                tracing::warn!(stream = self.stream.id, %spent, "a stream ends");
                return Finish::Outgrown;
            }
        }
    }

    fn take(&mut self, next: Next) -> Option<Finish> {
        match next {
            Next::Frame(key, placed) => return self.push(key, &placed.frame),
            Next::Skipped(_, frames) => {
                DropReason::BehindHls.count(frames);
            }
            Next::Begun(key, parameters) => {
                tracing::debug!(stream = self.stream.id, track = %key, codec = %parameters.codec(), "a track begins");
            }
            // The publisher may come back with another codec. A further rendition then begins anew.
            Next::Gone(key) => {
                self.segmenter.remove(key);
                if key == TrackKey::VIDEO {
                    self.converted = None; // A conversion that has ended may be asked for again.
                }
            }
            Next::Refused(key, reason) => {
                if let (TrackKey::VIDEO, Some((_, again))) = (key, &mut self.converted) {
                    *again = reason.stands().map(|stands| tokio::time::Instant::now() + stands);
                }
                if key == TrackKey::VIDEO && reason.keeps_out() && self.playback.track(key).is_none() {
                    tracing::warn!(stream = self.stream.id, %reason, "a stream ends: its video cannot go on");
                    return Some(Finish::Unconverted); // The requests for the next one are refused, as at the opening.
                }
                tracing::debug!(stream = self.stream.id, track = %key, %reason, "a track is left out of LL-HLS");
            }
            Next::Ended => return Some(Finish::Ended),
        }
        None
    }

    fn push(&mut self, key: TrackKey, frame: &Arc<Frame>) -> Option<Finish> {
        self.arrived = frame.arrived;
        self.segmenter.date_by(self.stream.calendar.offset());
        match self.segmenter.push(key, frame) {
            Ok(None) => {}
            Ok(Some(ignored)) => {
                ignored.reason().count(1);
            }
            Err(error) if !key.leads() => {
                tracing::warn!(stream = self.stream.id, track = %key, %error, "a further rendition is left out");
                self.playback.set_wanted(key, false);
                self.segmenter.remove(key);
            }
            Err(error) => {
                tracing::warn!(stream = self.stream.id, track = %key, %error, "packaging stopped");
                self.stream.fail(EdgeError::NotPackaged(error.to_string()));
                return Some(Finish::Failed);
            }
        }
        if self.segmenter.take_keyframe_wanted()
            && let Some(video) = self.playback.track(TrackKey::VIDEO)
        {
            video.want_keyframe();
        }
        if key == TrackKey::VIDEO && !frame.keyframe { self.see_to_entries() } else { None }
    }

    /// Goes over to a converted form of the main video if players can no longer join it as it came. If nobody has asked for long,
    /// the packaging ends instead. Asks once for each track, because what failed would fail again, and again when a refusal for a
    /// time is over.
    fn see_to_entries(&mut self) -> Option<Finish> {
        if self.converts_video() || !self.stream.feed.lacks_entries(TrackKey::VIDEO, &self.accepts) {
            return None;
        }
        let original = self.stream.feed.original(TrackKey::VIDEO)?.id();
        let stands =
            |again: Option<tokio::time::Instant>| again.is_none_or(|again| tokio::time::Instant::now() < again);
        if self.converted.is_some_and(|(asked, again)| asked == original && stands(again)) {
            return None;
        }
        if !self.stream.was_asked_for(Instant::now(), self.idle) {
            return Some(Finish::Idle);
        }
        self.converted = Some((original, None));
        self.playback.convert(TrackKey::VIDEO, Recipe::H264);
        None
    }

    /// Whether the main video is a conversion, which nobody may need any more.
    fn converts_video(&self) -> bool {
        let Some(read) = self.playback.track(TrackKey::VIDEO) else { return false };
        self.stream.feed.original(TrackKey::VIDEO).is_some_and(|original| original.id() != read.id())
    }

    fn publish(&mut self) {
        let now = Instant::now();
        if now.saturating_duration_since(self.began) > OTHER_TRACK {
            self.expected.clear();
        }
        self.expected.retain(|key| self.playback.flows(*key));
        if !self.expected.contains(&TrackKey::VIDEO)
            && let Err(error) = self.segmenter.go_without_video()
        {
            tracing::warn!(stream = self.stream.id, %error, "audio that waited for video is left out");
        }
        if let Some(video) = self.playback.track(TrackKey::VIDEO) {
            self.segmenter.repeat_still_video(video.answers_requests());
        }
        for (ignored, frames) in self.segmenter.take_left_out() {
            ignored.reason().count(frames);
        }
        let gone: &[_] = if self.video_is_gone() { &[TrackKey::VIDEO] } else { &[] };
        let progress = self.stream.publish(&mut self.segmenter, &self.expected, gone, self.cache);
        if !progress.is_empty() {
            // This is the time from the frame that completed the part to the part in every viewer's reach.
            self.packaging.record(Instant::now().saturating_duration_since(self.arrived));
        }
        // A part that is open may be large before it is published.
        let budget = (&self.stream.whose, self.windows);
        let mut holding = self.stream.holding.lock();
        self.outgrown = holding.follow(&mut self.segmenter, self.stream.texts(), budget).err();
        drop(holding);
        for key in progress {
            if !self.progress.contains(&key) {
                self.progress.push(key);
            }
        }
    }

    /// Whether the audio goes on without the video. A player that joins would wait for video that the playlist names. Audio
    /// that is missing is silence, which does come.
    fn video_is_gone(&self) -> bool {
        let has_both = [TrackKey::VIDEO, TrackKey::AUDIO].iter().all(|key| self.segmenter.rendition(*key).is_some());
        let is_missing = !self.playback.flows(TrackKey::VIDEO) && !self.segmenter.video_stands_still();
        has_both && self.playback.flows(TrackKey::AUDIO) && is_missing
    }

    fn tick(&mut self) {
        let progress = std::mem::take(&mut self.progress);
        let further = self.segmenter.renditions().map(Rendition::key).filter(|key| !key.leads());
        for key in [TrackKey::VIDEO, TrackKey::AUDIO].into_iter().chain(further) {
            if !progress.contains(&key) {
                self.stream.stall(key);
            }
        }
        self.stream.estimate_viewers(Instant::now());
    }
}
