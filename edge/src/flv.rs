//! HTTP-FLV out: `GET /flv/ROOM.flv`, an FLV file without end.
//!
//! Starts with the newest group, so that a player shows a picture at once. Read straight from the rings: the payloads are
//! shared, and a client that does not keep up loses whole groups, which is counted.

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
use onmic_media::feed::Unavailable;
use onmic_media::flv::{self, TagType};
use onmic_media::{
    Accept, Action, ClockRate, Codec, Demand, Feed, Frame, Gate, Hub, Join, MediaKind, Parameters, Read, Reader,
    RoomName, Stage, Ticks, ViewerKind, Viewing,
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
    parameters: Option<Arc<Parameters>>,
    ended: bool,
}

/// The response body.
struct Live {
    inputs: [Option<Input>; 2],
    ready: VecDeque<Bytes>,
    /// Time 0 of the file, µs of the tracks.
    start: Option<i64>,
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
            match demanded.unwrap_or(Err(Unavailable::NoTrack(kind))) {
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
                Input { reader, rate, parameters: None, ended: false, _demand: demand }
            })
        });
        Ok(Self { inputs, ready, start: None, _viewing: feed.viewers().join(ViewerKind::Flv) })
    }

    /// Reads what there is into tags. Whether all inputs have ended.
    fn fill(&mut self, cx: &mut Context<'_>) -> bool {
        let mut over = true;
        for kind in [MediaKind::Video, MediaKind::Audio] {
            while self.ready.len() < READY_MAX {
                let Some(input) = self.inputs[kind as usize].as_mut().filter(|input| !input.ended) else { break };
                match input.reader.poll_read(cx) {
                    Poll::Ready(Read::Frame(frame)) => self.write(kind, &frame),
                    Poll::Ready(Read::Skipped(frames)) => {
                        metrics::counter!("onmic_drops_total", "reason" => "flv_slow").increment(frames);
                    }
                    Poll::Ready(Read::Ended) => input.ended = true,
                    Poll::Pending => break,
                }
            }
            over &= self.inputs[kind as usize].as_ref().is_none_or(|input| input.ended);
        }
        over
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
            Some(piece) => Poll::Ready(Some(Ok(BodyFrame::data(piece)))),
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
