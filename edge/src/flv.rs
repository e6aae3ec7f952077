//! HTTP-FLV out: `GET /flv/ROOM.flv`, an FLV file without end.
//!
//! A [`Playback`] decides which frame comes next, and this file turns frames into tags. The payloads are shared. A
//! client that does not keep up loses whole groups, which is counted.
//!
//! The head of a file names the kinds that it holds, and players wait for those. So the head names the kinds that flow
//! when the file begins. The file ends when that is no longer true: a track begins that the head did not name, or
//! another codec replaces one. A player that asks again gets the new tracks. The answer also ends with the permit of
//! its viewer, whether that reads or not.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use http_body::Frame as BodyFrame;
use metrics::Counter;
use onmic_http::Sender;
use onmic_http::serve::held_by;
use onmic_media::feed::Unavailable;
use onmic_media::flv::{self, TagType};
use onmic_media::hub::SETTLE_PATIENCE;
use onmic_media::{
    Accepts, Action, Asked, Closed, Codec, DropReason, Entry, Feed, FeedName, Gate, Hub, Keyed, MediaKind, Next,
    NoShare, Parameters, Placed, Playback, RoomName, Share, Shares, Start, TrackKey, Tracks, ViewerKind, Viewing,
    Wants, metric,
};
use tokio::time::timeout;

use crate::error::EdgeError;

/// The codecs that players take. H.264 is written in the form that every player reads, the other video codecs in
/// enhanced tags.
const CODECS: [Codec; 4] = [Codec::H264, Codec::H265, Codec::Av1, Codec::Aac];

/// The number of pieces that are prepared ahead of the connection, beyond which no tag is added. A tag is three pieces.
const READY_MAX: usize = 64;

/// What it costs to begin, in small requests: up to 2.5 s of the past come at once, which are 600 kB at 2 Mbit/s.
const COST: f64 = 10.0;

#[derive(Clone)]
struct Shared {
    hub: Arc<Hub>,
    gate: Arc<dyn Gate>,
    shares: Arc<Shares>,
}

/// Makes the route, with its full path. One principal has at most `each` viewers. In all they are limited by the connections of
/// HTTP, of which each viewer takes one of `of_http`.
pub fn router(hub: Arc<Hub>, gate: Arc<dyn Gate>, each: usize, of_http: &Arc<Shares>) -> Router {
    let shares = of_http.part("viewers by HTTP-FLV", usize::MAX, each);
    Router::new().route("/flv/{file}", get(play)).with_state(Shared { hub, gate, shares })
}

async fn play(State(shared): State<Shared>, Path(file): Path<String>, sender: Sender) -> Response {
    answer(&shared, &file, &sender).await.unwrap_or_else(IntoResponse::into_response)
}

async fn answer(shared: &Shared, file: &str, sender: &Sender) -> Result<Response, EdgeError> {
    let room = file.strip_suffix(".flv").ok_or(EdgeError::NoSuchFile)?;
    let room: RoomName = room.parse().map_err(|_| EdgeError::NoSuchRoom)?;
    let (admission, permit) = shared.gate.open(Action::Play(&room), sender.shown())?;
    sender.pay(sender.payer(admission.owner.as_ref()), COST)?;
    let share = shared.shares.take_to_watch(admission.owner.or_else(|| sender.counted()));
    let share = share.inspect_err(|why| match why {
        NoShare::Full(..) => DropReason::FlvFull.count(1),
        NoShare::Principal(..) => DropReason::FlvShare.count(1),
    })?;
    let name = FeedName::Program(room);
    shared.hub.feed(&name).ok_or(EdgeError::NoSuchRoom)?;
    let feed = timeout(SETTLE_PATIENCE, shared.hub.await_feed(&name)).await;
    let feed = feed.map_err(|_| EdgeError::late(shared.hub.feed(&name).as_deref()))?;
    let body = Live::open(&feed, share).await?;
    let mut response = Response::new(Body::new(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("video/x-flv"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(held_by(permit, response))
}

/// The response body.
struct Live {
    playback: Playback,
    /// The tracks that the head of the file names.
    tracks: Keyed<Named>,
    ready: VecDeque<Bytes>,
    /// The time 0 of the file, in µs of the feed.
    start: Option<i64>,
    /// Nothing more is written.
    ended: bool,
    /// All that was written has been taken.
    is_over: bool,
    bytes: Counter,
    _share: Share,
    _viewing: Viewing,
}

/// A kind that the head of the file names.
struct Named {
    /// The parameters that were written last.
    parameters: Option<Arc<Parameters>>,
    frames: Counter,
}

impl Named {
    fn new(kind: MediaKind) -> Self {
        let frames =
            metrics::counter!(metric::FRAMES, "direction" => "out", "protocol" => "flv", "kind" => kind.name());
        Self { parameters: None, frames }
    }
}

impl Live {
    async fn open(feed: &Arc<Feed>, share: Share) -> Result<Self, EdgeError> {
        let accepts = Accepts { codecs: CODECS.into(), reordering: true, any_format: false, entry: Entry::Now };
        let wants = Wants { accepts, tracks: Tracks::Main, start: Start::Present };
        let mut playback = Playback::open(feed.clone(), wants).await?;
        if let Some(unavailable) = playback.take_refused(TrackKey::VIDEO).filter(Unavailable::keeps_out) {
            return Err(unavailable.into());
        }
        // A player shows the last video frame, however old it is. It would wait for muted audio.
        let named = |key: TrackKey| key == TrackKey::VIDEO || playback.flows(key);
        let parameters = |key| playback.track(key).filter(|_| named(key)).map(|track| track.parameters());
        let [video, audio] = [TrackKey::VIDEO, TrackKey::AUDIO].map(parameters);
        let mut ready = VecDeque::new();
        ready.push_back(Bytes::copy_from_slice(&flv::file_header(audio.is_some(), video.is_some())));
        let metadata = flv::on_meta_data(video.as_deref(), audio.as_deref());
        write_tag(&mut ready, TagType::Script, 0, &[], metadata);
        let mut tracks = Keyed::new();
        for (key, _) in
            [(TrackKey::VIDEO, video), (TrackKey::AUDIO, audio)].into_iter().filter(|(_, named)| named.is_some())
        {
            tracks.insert(key, Named::new(key.kind));
        }
        let bytes = metrics::counter!(metric::BYTES, "direction" => "out", "protocol" => "flv");
        let viewing = feed.viewers().join(ViewerKind::Flv);
        let (start, ended, is_over) = (None, false, false);
        Ok(Self { playback, tracks, ready, start, ended, is_over, bytes, _share: share, _viewing: viewing })
    }

    /// Writes the pieces that are ready, up to [`READY_MAX`] of them.
    fn fill(&mut self, cx: &mut Context<'_>) {
        while self.ready.len() < READY_MAX && !self.ended {
            let Poll::Ready(next) = self.playback.poll_next(cx) else { return };
            match next {
                Next::Frame(key, placed) => self.write(key, &placed),
                Next::Skipped(_, frames) => {
                    DropReason::BehindFlv.count(frames);
                }
                Next::Refused(key, reason) => tracing::debug!(track = %key, %reason, "a track is left out of FLV"),
                Next::Begun(..) | Next::Gone(_) | Next::Ended => self.ended = true,
            }
        }
    }

    fn write(&mut self, key: TrackKey, placed: &Placed) {
        // The file starts with video. Rounding to two clocks may put the audio of that moment microseconds before it.
        let awaits_video = self.start.is_none() && key == TrackKey::AUDIO && self.has_keyframe();
        let Some(named) = self.tracks.get_mut(key) else {
            self.ended = true; // The track was muted when the file began, and is here again.
            return;
        };
        if awaits_video {
            DropReason::FlvAudioBeforeVideo.count(1);
            return;
        }
        let frame = &placed.frame;
        let start = *self.start.get_or_insert(placed.dts_micros);
        let millis = match placed.millis_since(start) {
            Some(millis) => millis,
            // A conversion that has just begun may start a little before the audio that was there. Decoders need its
            // keyframe.
            None if key.kind == MediaKind::Video => 0,
            None => return DropReason::FlvBeforeStart.count(1),
        };
        named.frames.increment(1);
        // The field wraps after 49 days (2³² ms).
        let millis = millis as u32;
        let tag = TagType::from(key.kind);
        if named.parameters.as_ref().is_none_or(|known| **known != *frame.parameters) {
            named.parameters = Some(frame.parameters.clone());
            write_tag(&mut self.ready, tag, millis, &[], flv::write_config(&frame.parameters));
        }
        let head = flv::write_header(frame, placed.composition_millis());
        write_tag(&mut self.ready, tag, millis, &head, frame.payload.clone());
    }

    /// Returns whether there is a keyframe of video that a decoder can start from now.
    fn has_keyframe(&self) -> bool {
        self.playback.track(TrackKey::VIDEO).is_some_and(|video| video.newest_keyframe().is_some())
    }
}

impl HttpBody for Live {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<BodyFrame<Bytes>, Infallible>>> {
        if self.ready.is_empty() {
            self.fill(cx);
        }
        match self.ready.pop_front() {
            Some(piece) => {
                self.bytes.increment(piece.len() as u64);
                Poll::Ready(Some(Ok(BodyFrame::data(piece))))
            }
            None if self.ended => {
                if !std::mem::replace(&mut self.is_over, true) {
                    Closed::Over.count(Asked::Flv); // The server counts other ends of the answer.
                }
                Poll::Ready(None)
            }
            None => Poll::Pending,
        }
    }
}

/// Writes a tag. The headers are one piece, and the payload is a piece of its own.
fn write_tag(ready: &mut VecDeque<Bytes>, kind: TagType, millis: u32, head: &[u8], payload: Bytes) {
    let length = head.len() + payload.len();
    let mut front = Vec::with_capacity(11 + head.len());
    front.extend_from_slice(&flv::tag_header(kind, millis, length));
    front.extend_from_slice(head);
    ready.push_back(front.into());
    ready.push_back(payload);
    ready.push_back(Bytes::copy_from_slice(&flv::previous_tag_size(length)));
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;
    use std::time::{Duration, Instant, SystemTime};

    use axum::extract::Request;
    use axum::http::StatusCode;
    use http_body_util::BodyExt;
    use metrics_exporter_prometheus::PrometheusBuilder;
    use onmic_media::codec::{aac, h264};
    use onmic_media::gate::{Admission, Refusal, Shown};
    use onmic_media::hub::HubLimits;
    use onmic_media::{Arrival, ClockRate, Grant, NodeClock, Permit, Permits, Protocol, Publication, Rendition, Ticks};
    use tower::ServiceExt;

    use super::*;

    fn pictures() -> Arc<Parameters> {
        let sps = [0x67, 0x42, 0xc0, 0x0d, 0xda, 0x05, 0x0c, 0xed, 0xff, 0x01, 0x60, 0x22, 0x00, 0x00, 0x03, 0x00];
        let sps = [&sps[..], &[0x02, 0x00, 0x00, 0x03, 0x00, 0x79, 0x1e, 0x2c, 0x5d, 0xc0]].concat();
        let pps = Bytes::from_static(&[0x68, 0xce, 0x0f, 0xc8]);
        let h264 = h264::Parameters::from_parameter_sets(vec![sps.into()], vec![pps]);
        Arc::new(Parameters::H264(h264.unwrap()))
    }

    fn sound(rate: u32) -> Arc<Parameters> {
        Arc::new(Parameters::Aac(aac::Parameters::low_complexity(rate, 2).unwrap()))
    }

    static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

    fn publish() -> (Arc<Hub>, Publication) {
        let now = *BEGAN;
        let hub = Hub::new(NodeClock::new(now, SystemTime::UNIX_EPOCH), HubLimits::default(), None);
        let publication = hub.publish(&"demo".parse().unwrap(), Protocol::Rtmp, now).unwrap();
        (hub, publication)
    }

    fn push(publication: &mut Publication, parameters: &Arc<Parameters>, millis: i64, keyframe: bool) {
        let dts = Ticks(millis).rescale(ClockRate::MILLIS, parameters.clock_rate());
        let (parameters, payload) = (parameters.clone(), Bytes::from_static(b"frame"));
        // The frame arrives as in real time.
        let now = *BEGAN + Duration::from_millis(millis.unsigned_abs());
        publication
            .push(Arrival { rendition: Rendition::MAIN, dts, pts: dts, keyframe, parameters, payload }, now)
            .unwrap();
    }

    fn share() -> Share {
        Shares::new("viewers", 1, 1).take(None).unwrap()
    }

    async fn open(hub: &Hub) -> Result<Live, EdgeError> {
        Live::open(&hub.program(&"demo".parse().unwrap()).unwrap(), share()).await
    }

    /// Returns the kind and the milliseconds of each tag.
    fn tags(mut file: &[u8]) -> Vec<(u8, u32)> {
        let mut tags = Vec::new();
        file = &file[13..];
        while let Some(head) = file.first_chunk::<11>() {
            let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte));
            tags.push((head[0], number(&[head[7], head[4], head[5], head[6]])));
            file = &file[11 + number(&head[1..4]) as usize + 4..];
        }
        tags
    }

    #[tokio::test]
    async fn a_backlog_comes_in_the_order_of_its_times() {
        let (hub, mut publication) = publish();
        let (pictures, sound) = (pictures(), sound(48_000));
        for frame in 0..50 {
            push(&mut publication, &pictures, frame * 40, frame == 0);
            push(&mut publication, &sound, frame * 40, true);
        }
        let body = open(&hub).await.unwrap();
        hub.end_all();
        let tags = tags(&body.collect().await.unwrap().to_bytes());
        assert!(tags.is_sorted_by_key(|(_, millis)| *millis), "{tags:?}");
        assert_eq!(tags.iter().filter(|(kind, _)| *kind == 9).count(), 51);
        assert_eq!(tags.iter().filter(|(kind, _)| *kind == 8).count(), 51);
    }

    /// Opens with one grant.
    struct Granting {
        permits: Arc<Permits>,
        grant: Grant,
    }

    impl Gate for Granting {
        fn check(&self, _: Action<'_>, _: Shown<'_>) -> Result<Admission, Refusal> {
            Ok(Admission::default())
        }

        fn open(&self, _: Action<'_>, _: Shown<'_>) -> Result<(Admission, Permit), Refusal> {
            Ok((Admission::default(), self.permits.open(self.grant.clone())))
        }
    }

    #[tokio::test]
    async fn the_file_is_held_by_the_permit_of_its_viewer() {
        let (hub, mut publication) = publish();
        push(&mut publication, &pictures(), 0, true);
        push(&mut publication, &sound(48_000), 0, true);
        let (permits, room) = (Arc::new(Permits::default()), "demo".parse::<RoomName>().unwrap());
        let grant = Grant { room, person: None, alias: None, nameless: None, place: None, ticket: None, until: None };
        let gate = Arc::new(Granting { permits: permits.clone(), grant });
        let asked = Request::get("/flv/demo.flv").body(Body::empty()).unwrap();
        let answer = router(hub, gate, 1, &Shares::endless()).oneshot(asked).await.unwrap();
        assert_eq!((answer.status(), permits.len()), (StatusCode::OK, 1));
        let held = answer.extensions().get::<Arc<Permit>>().expect("a permit that the server finds");
        assert!(held.ended().is_none());
        drop(answer);
        assert!(permits.is_empty());
    }

    #[tokio::test]
    async fn a_track_that_is_replaced_ends_the_file() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let _counting = metrics::set_default_local_recorder(&recorder);
        let (hub, mut publication) = publish();
        push(&mut publication, &pictures(), 0, true);
        push(&mut publication, &sound(48_000), 0, true);
        let body = open(&hub).await.unwrap();
        push(&mut publication, &sound(44_100), 40, true);
        let file = timeout(SETTLE_PATIENCE, body.collect()).await.expect("the file ends").unwrap();
        assert!(!file.to_bytes().is_empty());
        let counted = recorder.handle().render();
        assert!(counted.contains("onmic_closed_total{protocol=\"flv\",reason=\"over\"} 1\n"), "{counted}");
    }

    #[tokio::test]
    async fn a_kind_that_the_head_does_not_name_ends_the_file() {
        let (hub, mut publication) = publish();
        publication.expect([TrackKey::VIDEO]);
        push(&mut publication, &pictures(), 0, true);
        let body = open(&hub).await.unwrap();
        push(&mut publication, &sound(48_000), 40, true);
        let file = timeout(SETTLE_PATIENCE, body.collect()).await.expect("the file ends").unwrap().to_bytes();
        assert_eq!(file[4], 1, "video alone was named");
        let again = open(&hub).await.unwrap();
        hub.end_all();
        assert_eq!(again.collect().await.unwrap().to_bytes()[4], 5, "both are, for a player that asks again");
    }

    #[tokio::test]
    async fn muted_audio_is_not_named_and_its_return_ends_the_file() {
        let (hub, mut publication) = publish();
        push(&mut publication, &pictures(), 0, true);
        push(&mut publication, &sound(48_000), 0, true);
        for second in 1..4 {
            push(&mut publication, &pictures(), second * 1000, true);
        }
        let body = open(&hub).await.unwrap();
        push(&mut publication, &sound(48_000), 3040, true);
        let file = timeout(SETTLE_PATIENCE, body.collect()).await.expect("the file ends").unwrap().to_bytes();
        assert_eq!(file[4], 1);
        assert!(tags(&file).iter().all(|(kind, _)| *kind != 8), "no audio of three seconds ago");
    }
}
