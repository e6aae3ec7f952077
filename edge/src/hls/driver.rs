//! The loop that reads one feed into its segmenter and publishes what comes out. One task per feed.

use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, Instant};

use onmic_media::feed::Unavailable;
use onmic_media::metric::Latency;
use onmic_media::{Accept, Codec, Demand, DropReason, Feed, Frame, Join, MediaKind, Read, Reader, Stage, TrackKey};
use onmic_packager::Segmenter;
use tokio::time::{MissedTickBehavior, interval};

use super::cache::Cache;
use super::stream::Stream;

/// What CMAF carries and browsers play; anything else is converted.
const VIDEO: Accept<'_> = Accept { codecs: &[Codec::H264, Codec::H265, Codec::Av1], reordering: true };
/// Opus in MP4 does not play everywhere.
const AUDIO: Accept<'_> = Accept { codecs: &[Codec::Aac], reordering: true };

/// Timed metadata goes as it is.
const DATA: Accept<'_> = Accept { codecs: &[Codec::Metadata], reordering: true };

/// Frames taken in before the result is published: a whole backlog must not delay it.
const BATCH: usize = 32;

/// After the first part, so long is waited for the other track before the stream is offered without it.
const OTHER_TRACK: Duration = Duration::from_secs(2);

/// A track in use. The demand keeps a derived one alive.
struct Input {
    demand: Demand,
    reader: Reader,
}

/// Why [`drive`] returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finish {
    Ended,
    Stopped,
    Idle,
    Failed,
}

struct Driver<'a> {
    stream: &'a Stream,
    cache: &'a Cache,
    segmenter: Segmenter,
    inputs: [Option<Input>; 2],
    /// The tracks that the multivariant playlist waits for.
    expected: Vec<TrackKey>,
    first_part: Option<Instant>,
    /// When the newest frame reached the process.
    arrived: Instant,
    packaging: metrics::Histogram,
    progress: [bool; 2],
}

/// Packages the feed of `stream` until it ends, fails, is stopped, or nobody asked for `idle`.
pub(crate) async fn drive(stream: &Stream, cache: &Cache, idle: Option<Duration>) -> Finish {
    let mut stages = stream.feed.stages();
    tokio::select! {
        settled = stages.wait_for(|stage| *stage >= Stage::Settled) => if settled.is_err() {
            return Finish::Ended;
        },
        () = stream.stop.cancelled() => return Finish::Stopped,
        () = stream.replaced.cancelled() => return Finish::Ended,
    }
    drop(stages);
    let mut sentence = None;
    let mut inputs = [None, None];
    for kind in [MediaKind::Video, MediaKind::Audio] {
        match demand(&stream.feed, kind).await {
            Ok(input) => inputs[kind as usize] = Some(input),
            Err(Unavailable::NoTrack(_)) => {}
            Err(unavailable) => {
                tracing::warn!(stream = stream.id, reason = %unavailable, "a track is left out of LL-HLS");
                sentence = Some(unavailable.to_string());
            }
        }
    }
    let kinds = [MediaKind::Video, MediaKind::Audio].into_iter();
    let expected: Vec<_> = kinds.filter(|kind| inputs[*kind as usize].is_some()).map(TrackKey::main).collect();
    if expected.is_empty() {
        stream.fail(sentence.unwrap_or_else(|| "there are no tracks in this room".to_owned()));
        return Finish::Failed;
    }
    let segmenter = Segmenter::new(stream.settings, expected.contains(&TrackKey::VIDEO));
    let mut driver = Driver {
        stream,
        cache,
        segmenter,
        inputs,
        expected,
        first_part: None,
        arrived: Instant::now(),
        packaging: Latency::HlsPart.histogram(),
        progress: [true, true],
    };
    let finish = driver.run(idle).await;
    if matches!(finish, Finish::Ended | Finish::Idle | Finish::Failed) {
        if let Err(error) = driver.segmenter.finish() {
            tracing::warn!(stream = stream.id, %error, "the last part could not be written");
        }
        driver.publish();
    }
    finish
}

impl Driver<'_> {
    async fn run(&mut self, idle: Option<Duration>) -> Finish {
        let mut ticks = interval(self.stream.patience() / 2);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await; // The first is at once.
        loop {
            let [video, audio] = &mut self.inputs;
            let (kind, read) = tokio::select! {
                biased;
                () = self.stream.stop.cancelled() => return Finish::Stopped,
                () = self.stream.replaced.cancelled() => return Finish::Ended,
                read = next(video) => (MediaKind::Video, read),
                read = next(audio) => (MediaKind::Audio, read),
                _ = ticks.tick() => {
                    if idle.is_some_and(|idle| self.stream.idle(Instant::now()) > idle) {
                        return Finish::Idle;
                    }
                    self.tick().await;
                    continue;
                }
            };
            if let Some(finish) = self.take(kind, read).await {
                return finish;
            }
            for _ in 0..BATCH {
                let mut caught_up = true;
                for kind in [MediaKind::Video, MediaKind::Audio] {
                    let Some(input) = &mut self.inputs[kind as usize] else { continue };
                    if let Some(read) = input.reader.try_read() {
                        caught_up = false;
                        if let Some(finish) = self.take(kind, read).await {
                            return finish;
                        }
                    }
                }
                if caught_up {
                    break;
                }
            }
            self.publish();
        }
    }

    async fn take(&mut self, kind: MediaKind, read: Read) -> Option<Finish> {
        match read {
            Read::Frame(frame) => self.push(kind, &frame),
            Read::Skipped(frames) => {
                DropReason::BehindHls.count(frames);
                None
            }
            Read::Ended => {
                self.inputs[kind as usize] = None;
                if self.stream.feed.stage() == Stage::Ended {
                    return (self.inputs[0].is_none() && self.inputs[1].is_none()).then_some(Finish::Ended);
                }
                // The publisher came back with another codec, or a conversion ended.
                self.renew(kind).await;
                None
            }
        }
    }

    fn push(&mut self, kind: MediaKind, frame: &Arc<Frame>) -> Option<Finish> {
        self.arrived = frame.arrived;
        match self.segmenter.push(kind.into(), frame) {
            Ok(None) => {}
            Ok(Some(ignored)) => {
                ignored.reason().count(1);
            }
            Err(error) => {
                tracing::warn!(stream = self.stream.id, kind = kind.name(), %error, "packaging stopped");
                self.stream.fail(error.to_string());
                return Some(Finish::Failed);
            }
        }
        if self.segmenter.take_keyframe_wanted()
            && let Some(video) = &self.inputs[MediaKind::Video as usize]
        {
            video.demand.track().want_keyframe();
        }
        None
    }

    fn publish(&mut self) {
        let now = Instant::now();
        if self.first_part.is_some_and(|first| now.saturating_duration_since(first) > OTHER_TRACK) {
            self.expected.clear();
        }
        let progress = self.stream.publish(&mut self.segmenter, &self.expected, self.cache);
        if !progress.is_empty() {
            self.first_part.get_or_insert(now);
            // From the frame that completed the part to the part in everybody's reach.
            self.packaging.record(Instant::now().saturating_duration_since(self.arrived));
        }
        for key in progress.into_iter().filter(|key| key.leads()) {
            self.progress[key.kind as usize] = true;
        }
    }

    async fn tick(&mut self) {
        for kind in [MediaKind::Video, MediaKind::Audio] {
            if !std::mem::take(&mut self.progress[kind as usize]) {
                self.stream.stall(kind.into());
            }
            if self.inputs[kind as usize].is_none() {
                self.renew(kind).await;
            }
        }
        self.stream.estimate_viewers(Instant::now());
    }

    /// Asks for the track again: one that ended, or one that was not there yet.
    async fn renew(&mut self, kind: MediaKind) {
        match demand(&self.stream.feed, kind).await {
            Ok(input) if !input.demand.track().is_ended() => self.inputs[kind as usize] = Some(input),
            Ok(_) | Err(Unavailable::NoTrack(_)) => {}
            Err(reason) => tracing::debug!(stream = self.stream.id, kind = kind.name(), %reason, "no track"),
        }
    }
}

async fn next(input: &mut Option<Input>) -> Read {
    match input {
        Some(input) => input.reader.read().await,
        None => pending().await,
    }
}

/// A track of the feed, read from its newest picture on, and sound from the same moment.
async fn demand(feed: &Arc<Feed>, kind: MediaKind) -> Result<Input, Unavailable> {
    let accept = match kind {
        MediaKind::Video => VIDEO,
        MediaKind::Audio => AUDIO,
        MediaKind::Data => DATA,
    };
    let owned = feed.clone();
    // Opening a codec blocks.
    let demanded = tokio::task::spawn_blocking(move || owned.demand(kind, accept)).await;
    let demand = demanded.map_err(|_| Unavailable::NoTrack(kind.into()))??;
    let picture = feed.original(MediaKind::Video).and_then(|video| video.newest_keyframe());
    let join = match (kind, picture) {
        (MediaKind::Audio, Some(picture)) => Join::At(picture.wall),
        _ => Join::Group,
    };
    let reader = demand.track().reader(join);
    Ok(Input { demand, reader })
}
