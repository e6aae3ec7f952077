//! HTTP-FLV out: `GET /flv/ROOM.flv`, an FLV file without end.
//!
//! Starts with the newest group, so that a player shows a picture at once. Read straight from the rings, the oldest frame
//! first: the payloads are shared, and a client that does not keep up loses whole groups, which is counted. A file holds
//! the tracks it began with: when one is replaced by another, by a publisher who came back with another codec, the file
//! ends, and a player that asks again gets the new one.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use http_body::Frame as BodyFrame;
use metrics::Counter;
use onmic_media::feed::Unavailable;
use onmic_media::flv::{self, TagType};
use onmic_media::{
    Accept, Action, ClockRate, Codec, Demand, DropReason, Feed, Frame, Gate, Hub, Join, MediaKind, Parameters, Read,
    Reader, RoomName, Stage, Ticks, ViewerKind, Viewing, metric,
};
use tokio::time::timeout;

use crate::error::{EdgeError, admit};

/// H.264 as every player reads it, the others by enhanced tags.
const VIDEO: Accept<'_> = Accept { codecs: &[Codec::H264, Codec::H265, Codec::Av1], reordering: true };
const AUDIO: Accept<'_> = Accept { codecs: &[Codec::Aac], reordering: true };

/// How long a request waits for the tracks of a source that has just begun.
const START: Duration = Duration::from_secs(5);

/// Tags prepared ahead of the connection.
const READY_MAX: usize = 64;

#[derive(Clone)]
struct Shared {
    hub: Arc<Hub>,
    gate: Arc<dyn Gate>,
}

/// The route, with its full path.
pub fn router(hub: Arc<Hub>, gate: Arc<dyn Gate>) -> Router {
    Router::new().route("/flv/{file}", get(play)).with_state(Shared { hub, gate })
}

async fn play(State(shared): State<Shared>, Path(file): Path<String>, uri: Uri, headers: HeaderMap) -> Response {
    answer(&shared, &file, &uri, &headers).await.unwrap_or_else(IntoResponse::into_response)
}

async fn answer(shared: &Shared, file: &str, uri: &Uri, headers: &HeaderMap) -> Result<Response, EdgeError> {
    let room = file.strip_suffix(".flv").ok_or(EdgeError::NoSuchFile)?;
    let room: RoomName = room.parse().map_err(|_| EdgeError::NoSuchRoom)?;
    admit(&*shared.gate, Action::Play(&room), headers, uri)?;
    let feed = shared.hub.program(&room).ok_or(EdgeError::NoSuchRoom)?;
    let mut stages = feed.stages();
    let settled = timeout(START, stages.wait_for(|stage| *stage >= Stage::Settled)).await;
    settled.map_err(|_| EdgeError::TimedOut)?.map_err(|_| EdgeError::NoSuchRoom)?;
    drop(stages);
    let body = Live::open(&feed).await?;
    let mut response = Response::new(Body::new(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("video/x-flv"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

struct Input {
    /// Keeps a derived track alive.
    _demand: Demand,
    reader: Reader,
    rate: ClockRate,
    /// Read, and not yet the oldest.
    pending: Option<Arc<Frame>>,
    parameters: Option<Arc<Parameters>>,
    ended: bool,
    frames: Counter,
}

impl Input {
    /// Sees to it that a frame is pending if there is one.
    fn look(&mut self, cx: &mut Context<'_>) {
        while self.pending.is_none() && !self.ended {
            match self.reader.poll_read(cx) {
                Poll::Ready(Read::Frame(frame)) => self.pending = Some(frame),
                Poll::Ready(Read::Skipped(frames)) => {
                    DropReason::BehindFlv.count(frames);
                }
                Poll::Ready(Read::Ended) => self.ended = true,
                Poll::Pending => return,
            }
        }
    }
}

/// The response body.
struct Live {
    inputs: [Option<Input>; 2],
    ready: VecDeque<Bytes>,
    /// Time 0 of the file, µs of the tracks.
    start: Option<i64>,
    bytes: Counter,
    _viewing: Viewing,
}

impl Live {
    async fn open(feed: &Arc<Feed>) -> Result<Self, EdgeError> {
        let mut inputs = [None, None];
        let mut reason = None;
        for (kind, accept) in [(MediaKind::Video, VIDEO), (MediaKind::Audio, AUDIO)] {
            let owned = feed.clone();
            // Opening a codec blocks.
            let demanded = tokio::task::spawn_blocking(move || owned.demand(kind, accept)).await;
            match demanded.unwrap_or(Err(Unavailable::NoTrack(kind.into()))) {
                Ok(demand) => inputs[kind as usize] = Some(demand),
                Err(unavailable) => reason = Some(unavailable.to_string()),
            }
        }
        let [video, audio] = &inputs;
        let picture = video.as_ref().and_then(|video| video.track().newest_keyframe());
        let parameters = |demand: &Option<Demand>| demand.as_ref().map(|demand| demand.track().parameters());
        let (video_parameters, audio_parameters) = (parameters(video), parameters(audio));
        if video_parameters.is_none() && audio_parameters.is_none() {
            return Err(EdgeError::Unavailable(reason.unwrap_or_default()));
        }
        let mut ready = VecDeque::new();
        let head = flv::file_header(audio_parameters.is_some(), video_parameters.is_some());
        ready.push_back(Bytes::copy_from_slice(&head));
        let metadata = flv::on_meta_data(video_parameters.as_deref(), audio_parameters.as_deref());
        write_tag(&mut ready, TagType::Script, 0, &[], metadata);
        let join = |kind| match (&picture, kind) {
            (Some(picture), MediaKind::Audio) => Join::At(picture.wall),
            _ => Join::Group,
        };
        let inputs = inputs.map(|demand| {
            demand.map(|demand| {
                let track = demand.track();
                let (reader, rate) = (track.reader(join(track.kind())), track.clock_rate());
                let frames = metrics::counter!(metric::FRAMES, "direction" => "out", "protocol" => "flv", "kind" => track.kind().name());
                Input { reader, rate, pending: None, parameters: None, ended: false, frames, _demand: demand }
            })
        });
        let bytes = metrics::counter!(metric::BYTES, "direction" => "out", "protocol" => "flv");
        Ok(Self { inputs, ready, start: None, bytes, _viewing: feed.viewers().join(ViewerKind::Flv) })
    }

    /// Reads what there is into tags, the oldest first. Whether a track has ended and nothing more is to be read.
    fn fill(&mut self, cx: &mut Context<'_>) -> bool {
        while self.ready.len() < READY_MAX {
            self.inputs.iter_mut().flatten().for_each(|input| input.look(cx));
            // At one moment pictures go first: `min_by_key` takes the first of equals.
            let oldest = [MediaKind::Video, MediaKind::Audio].into_iter().filter_map(|kind| {
                let input = self.inputs[kind as usize].as_ref()?;
                Some((input.pending.as_ref()?.dts.micros(input.rate), kind))
            });
            // The file starts with a picture, though rounding to two clocks may put the sound beside it microseconds before.
            let waits = |kind| self.start.is_none() && kind == MediaKind::Audio;
            let Some((_, kind)) = oldest.min_by_key(|(micros, kind)| (waits(*kind), *micros)) else {
                return self.inputs.iter().flatten().any(|input| input.ended);
            };
            let frame = self.inputs[kind as usize].as_mut().and_then(|input| input.pending.take());
            if let Some(frame) = frame {
                self.write(kind, &frame);
            }
        }
        false
    }

    fn write(&mut self, kind: MediaKind, frame: &Frame) {
        let has_video = self.inputs[MediaKind::Video as usize].is_some();
        let Some(input) = &mut self.inputs[kind as usize] else { return };
        let micros = frame.dts.micros(input.rate);
        if self.start.is_none() && has_video && kind == MediaKind::Audio {
            return; // Sound before the first picture.
        }
        let since = micros - *self.start.get_or_insert(micros);
        let Ok(millis) = u64::try_from(since / 1000) else { return };
        input.frames.increment(1);
        // The field wraps after 49 days.
        let millis = millis as u32;
        let codec = frame.parameters.codec();
        if input.parameters.as_ref().is_none_or(|known| **known != *frame.parameters) {
            input.parameters = Some(frame.parameters.clone());
            match kind {
                MediaKind::Video => {
                    write_tag(&mut self.ready, TagType::Video, millis, &[], flv::write_video_config(&frame.parameters));
                }
                MediaKind::Audio => {
                    write_tag(&mut self.ready, TagType::Audio, millis, &[], flv::write_audio_config(&frame.parameters));
                }
            }
        }
        match kind {
            MediaKind::Video => {
                let composition = (frame.pts - frame.dts).rescale(input.rate, ClockRate::MILLIS);
                let Ticks(composition) = composition;
                let composition = i32::try_from(composition).unwrap_or(0);
                let head = flv::write_video_header(codec, frame.keyframe, composition);
                write_tag(&mut self.ready, TagType::Video, millis, &head, frame.payload.clone());
            }
            MediaKind::Audio => {
                let head = flv::write_audio_header(codec);
                write_tag(&mut self.ready, TagType::Audio, millis, &head, frame.payload.clone());
            }
        }
    }
}

impl HttpBody for Live {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<BodyFrame<Bytes>, Infallible>>> {
        let over = if self.ready.is_empty() { self.fill(cx) } else { false };
        match self.ready.pop_front() {
            Some(piece) => {
                self.bytes.increment(piece.len() as u64);
                Poll::Ready(Some(Ok(BodyFrame::data(piece))))
            }
            None if over => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

/// Small things are written together; the payload is a piece of its own.
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
    use std::time::{Instant, SystemTime};

    use http_body_util::BodyExt;
    use onmic_media::codec::{aac, h264};
    use onmic_media::hub::HubLimits;
    use onmic_media::{Arrival, NodeClock, Protocol, Publication, Rendition};

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

    fn publish() -> (Arc<Hub>, Publication) {
        let now = Instant::now();
        let hub = Hub::new(NodeClock::new(now, SystemTime::UNIX_EPOCH), HubLimits::default(), None);
        let publication = hub.publish(&"demo".parse().unwrap(), Protocol::Rtmp, now).unwrap();
        (hub, publication)
    }

    fn push(publication: &mut Publication, parameters: &Arc<Parameters>, millis: i64, keyframe: bool) {
        let dts = Ticks(millis).rescale(ClockRate::MILLIS, parameters.clock_rate());
        let (parameters, payload) = (parameters.clone(), Bytes::from_static(b"frame"));
        publication
            .push(Arrival { rendition: Rendition::MAIN, dts, pts: dts, keyframe, parameters, payload }, Instant::now())
            .unwrap();
    }

    /// Kind and milliseconds of each tag.
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
        for frame in 0..100 {
            push(&mut publication, &pictures, frame * 40, frame == 0);
            push(&mut publication, &sound, frame * 40, true);
        }
        let body = Live::open(&hub.program(&"demo".parse().unwrap()).unwrap()).await.unwrap();
        hub.end_all();
        let tags = tags(&body.collect().await.unwrap().to_bytes());
        assert!(tags.is_sorted_by_key(|(_, millis)| *millis), "{tags:?}");
        assert_eq!(tags.iter().filter(|(kind, _)| *kind == 9).count(), 101);
        assert_eq!(tags.iter().filter(|(kind, _)| *kind == 8).count(), 101);
    }

    #[tokio::test]
    async fn a_track_that_is_replaced_ends_the_file() {
        let (hub, mut publication) = publish();
        push(&mut publication, &pictures(), 0, true);
        push(&mut publication, &sound(48_000), 0, true);
        let body = Live::open(&hub.program(&"demo".parse().unwrap()).unwrap()).await.unwrap();
        push(&mut publication, &sound(44_100), 40, true);
        let file = timeout(START, body.collect()).await.expect("the file ends").unwrap();
        assert!(!file.to_bytes().is_empty());
    }
}
