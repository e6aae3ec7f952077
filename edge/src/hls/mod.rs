//! LL-HLS out (rfc8216bis): `GET /hls/ROOM/index.m3u8` and the files it leads to.
//!
//! One task per feed ([`driver`]) packages it and publishes immutable views. Requests read a view, or wait for the next
//! one. A waiting request is its connection's own task parked on a `watch`. This crate has no task, timer or copy for
//! it. All of them are woken by each part, so one network has a share of them: by HTTP/2 a connection has a hundred requests.
//!
//! URLs are the same for all viewers and carry no token, so that any cache can stand in front. `/hls/ROOM/index.m3u8`
//! names the directory of the stream, `/hls/ROOM/ID/`, where ID is the time at which packaging began. So a cached file
//! of an earlier stream is never taken for one of this stream. With authentication on, every request is checked by its
//! own `Authorization` header or `token` parameter; the files of a stream are given for the grace after a token has expired, too.
//! Playlists never repeat a token. Where the playlist's own address has one,
//! they tell the player to take it over ([`onmic_packager::query`]).

mod answer;
mod audience;
mod body;
mod cache;
mod directives;
mod document;
mod driver;
mod drivers;
mod holding;
mod made;
mod stream;
mod view;
mod windows;

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::HttpBody;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use onmic_http::{Connection, Sender};
use onmic_media::name::Principal;
use onmic_media::{
    Action, DropReason, Feed, FeedStage, Gate, Hub, MediaKind, RoomName, Share, Shares, TrackKey, metric,
};
use onmic_packager::names::File;
use onmic_packager::{Chain, Settings};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::timeout_at;
use tokio_util::sync::CancellationToken;

use crate::error::{EdgeError, admit, admit_to};
use cache::Cache;
use document::Document;
use drivers::Drivers;
use stream::{Index, Stream};
use view::{Lifetimes, View};
use windows::{Whose, Windows};

pub use directives::{Directives, Published, Verdict};

/// The multivariant playlist names a directory that may change at any time.
const KEEP_INDEX: HeaderValue = HeaderValue::from_static("max-age=1");

/// The settings for packaging and keeping the streams of a node.
#[derive(Clone, Copy, Debug)]
pub struct HlsConfig {
    /// The lengths of parts, segments and playlists.
    pub settings: Settings,
    /// Whether to package only while clients watch, instead of for as long as a source is up.
    pub on_demand: bool,
    /// The time for which packaging goes on without a request, with `on_demand` and while video is converted.
    pub idle: Duration,
    /// Whether main video whose keyframes are too far apart for players that join is encoded anew.
    pub converts_long_groups: bool,
    /// The most bytes of segments that are kept beyond those in playlists, for the whole node.
    pub cache_bytes: u64,
    /// The most bytes of segments in playlists, for the whole node.
    pub window_bytes: u64,
    /// The longest wait of a request for the playlist of a room. It is a little longer than a stream waits for its tracks, so that the
    /// first request gets an answer.
    pub start: Duration,
    /// The most requests that wait for a part at once, of all and of one network.
    pub waiting: (usize, usize),
}

impl Default for HlsConfig {
    fn default() -> Self {
        Self {
            settings: Settings::default(),
            on_demand: false,
            idle: Duration::from_secs(30),
            converts_long_groups: true,
            cache_bytes: 256 << 20,
            window_bytes: 4 << 30,
            start: Duration::from_secs(12),
            waiting: (80_000, 8_000),
        }
    }
}

/// LL-HLS for the programs of a hub. It is cheap to clone.
#[derive(Clone)]
pub struct Hls {
    shared: Arc<Shared>,
}

struct Shared {
    hub: Arc<Hub>,
    gate: Arc<dyn Gate>,
    config: HlsConfig,
    cache: Cache,
    /// What the playlists of all streams hold, and the streams that ended.
    windows: Windows<Stream>,
    shutdown: CancellationToken,
    streams: Mutex<Streams>,
    requests: Requests,
    /// A counter that rises when a room was asked for or a stream began.
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct Streams {
    current: HashMap<RoomName, Arc<Stream>>,
    /// The rooms that were asked for and have no stream yet. Each has a program.
    wanted: HashSet<RoomName>,
}

impl Hls {
    /// Makes the handle. Nothing is packaged until [`Hls::run`] runs.
    pub fn new(hub: Arc<Hub>, gate: Arc<dyn Gate>, config: HlsConfig, shutdown: CancellationToken) -> Self {
        Self::within(hub, gate, config, Shares::endless(), shutdown)
    }

    /// Makes the handle. A connection on which a request waits takes one of `of_http`, of which viewers leave a part to others.
    pub fn within(
        hub: Arc<Hub>,
        gate: Arc<dyn Gate>,
        config: HlsConfig,
        of_http: Arc<Shares>,
        shutdown: CancellationToken,
    ) -> Self {
        let cache = Cache::new(config.cache_bytes, keep(config.settings));
        let streams = Mutex::default();
        let (changes, requests) = (watch::Sender::new(0), Requests::new(config.waiting, of_http));
        let windows = Windows::new(config.window_bytes);
        Self { shared: Arc::new(Shared { hub, gate, config, cache, windows, shutdown, streams, requests, changes }) }
    }

    /// Makes the routes, with their full paths.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/hls/{room}/index.m3u8", get(index))
            .route("/hls/{room}/{stream}/{file}", get(file))
            .with_state(self.shared.clone())
    }

    /// Packages the programs of the hub until the shutdown, and ends when all its tasks have ended.
    pub async fn run(&self) {
        let shared = &self.shared;
        let mut changed = shared.hub.changed_rooms();
        let mut changes = shared.changes.subscribe();
        let mut drivers = Drivers::default();
        loop {
            let oldest_past = shared.windows.forget(Instant::now(), shared.keep());
            tokio::select! {
                biased; // Drivers end because of the shutdown, and must not be begun again.
                () = shared.shutdown.cancelled() => break,
                rooms = changed.next() => for room in rooms {
                    shared.look_at(&room, &mut drivers);
                },
                _ = changes.changed() => {
                    let wanted: Vec<_> = shared.streams.lock().wanted.iter().cloned().collect();
                    wanted.iter().for_each(|room| shared.look_at(room, &mut drivers));
                }
                () = sleep_until_past(oldest_past, shared.keep()) => {}
                Some(outcome) = drivers.next() => if let Some((room, stream)) = drivers.ended(outcome) {
                    shared.retire(&room, stream);
                    shared.look_at(&room, &mut drivers);
                },
            }
        }
        shared.streams.lock().current.values().for_each(|stream| stream.stop.cancel());
        while drivers.next().await.is_some() {}
    }
}

impl Shared {
    /// Starts a driver for the program of a room that should have one, and stops that of the program before. One room changes at a
    /// time, so nothing here looks at all of them.
    fn look_at(self: &Arc<Self>, room: &RoomName, drivers: &mut Drivers) {
        let now = Instant::now();
        let program = self.hub.program(room);
        let whose = Whose { room: room.clone(), owner: self.owner(room) };
        let mut streams = self.streams.lock();
        if program.is_none() && streams.wanted.remove(room) {
            drop(streams);
            self.changes.send_modify(|changes| *changes += 1); // Requests that wait for it are told.
            return;
        }
        let Some(feed) = program.filter(|feed| feed.stage() < FeedStage::Ended) else { return };
        if let Some(stream) = streams.current.get(room) {
            if !Arc::ptr_eq(&stream.feed, &feed) {
                stream.replaced.cancel(); // Its driver ends, and this is called again.
            }
            return;
        }
        let wanted = streams.wanted.remove(room);
        if self.config.on_demand && !wanted {
            return;
        }
        let (stream, start) = (Arc::new(self.new_stream(whose, feed, now)), drivers.start(room, now));
        streams.current.insert(room.clone(), stream.clone());
        drop(streams);
        self.changes.send_modify(|changes| *changes += 1);
        let (shared, driven, name) = (self.clone(), stream.clone(), room.clone());
        drivers.spawn(room.clone(), stream, async move {
            let demand = (shared.config.on_demand, shared.config.idle);
            let converts = shared.config.converts_long_groups;
            let kept = (&shared.cache, &shared.windows);
            let finish = driver::drive(&driven, kept, demand, (converts, start)).await;
            tracing::info!(room = %name, stream = driven.id, reason = ?finish, "packaging ended");
            if finish == driver::Finish::Failed {
                driven.feed_end().await;
            }
        });
    }

    /// Returns who answers for the publisher of a room: for its host, or else for the first participant.
    fn owner(&self, room: &RoomName) -> Option<Principal> {
        let sources = self.hub.sources_of(room);
        let host = sources.iter().find(|source| source.name().is_host());
        host.or(sources.first()).and_then(|source| source.owner())
    }

    fn new_stream(&self, whose: Whose, feed: Arc<Feed>, now: Instant) -> Stream {
        let calendar = self.hub.calendar().clone();
        Stream::new(whose, feed, self.config.settings, calendar, self.shutdown.child_token(), now)
    }

    /// Keeps a stream that ended, so that players can fetch its end.
    fn retire(&self, room: &RoomName, stream: Arc<Stream>) {
        let mut streams = self.streams.lock();
        if streams.current.get(room).is_some_and(|current| Arc::ptr_eq(current, &stream)) {
            streams.current.remove(room);
        }
        stream.over.cancel(); // Requests that wait for it look for the next one.
        let (whose, bytes) = (stream.whose.clone(), stream.holding.lock().amount());
        self.windows.keep(stream, whose, bytes, Instant::now());
    }

    /// Returns how long a segment may still be asked for after it left its playlist, or after the playlist ended.
    fn keep(&self) -> Duration {
        keep(self.config.settings)
    }

    /// Returns the current stream of a room. Waits for it to begin until `deadline` if the room has a program.
    async fn current(&self, room: &RoomName, deadline: tokio::time::Instant) -> Result<Arc<Stream>, EdgeError> {
        let begun = async {
            let mut changes = self.changes.subscribe();
            loop {
                changes.mark_unchanged();
                let program = self.hub.program(room);
                {
                    let mut streams = self.streams.lock();
                    // A stream of a program that is over ends in a moment, and that of the next one begins.
                    let is_of_past =
                        |stream: &Arc<Stream>| program.as_ref().is_some_and(|now| !Arc::ptr_eq(&stream.feed, now));
                    if let Some(stream) = streams.current.get(room).filter(|stream| !is_of_past(stream)) {
                        return Ok(stream.clone());
                    }
                    if program.is_none() {
                        return Err(EdgeError::NoSuchRoom);
                    }
                    if streams.wanted.insert(room.clone()) {
                        drop(streams);
                        self.changes.send_modify(|changes| *changes += 1);
                        continue;
                    }
                }
                if changes.changed().await.is_err() {
                    return Err(EdgeError::Stopping);
                }
            }
        };
        tokio::select! {
            begun = timeout_at(deadline, begun) => begun.map_err(|_| EdgeError::TimedOut)?,
            () = self.shutdown.cancelled() => Err(EdgeError::Stopping),
        }
    }

    /// Returns a stream by the name of its directory.
    fn stream(&self, room: &RoomName, id: &str) -> Option<Arc<Stream>> {
        let streams = self.streams.lock();
        let current = streams.current.get(room).filter(|stream| stream.id == id).cloned();
        current.or_else(|| self.windows.find(room, |stream| stream.id == id))
    }
}

fn keep(settings: Settings) -> Duration {
    settings.window + settings.target * 2
}

/// Sleeps until a stream that ended at `ended` has been kept for `keep`. Sleeps for ever without an end.
async fn sleep_until_past(ended: Option<Instant>, keep: Duration) {
    match ended {
        Some(ended) => tokio::time::sleep_until((ended + keep).into()).await,
        None => std::future::pending().await,
    }
}

type Client = Option<axum::Extension<ConnectInfo<SocketAddr>>>;

async fn index(
    State(shared): State<Arc<Shared>>,
    Path(room): Path<String>,
    uri: Uri,
    client: Client,
    sender: Sender,
    headers: HeaderMap,
) -> Response {
    let answer = answer_index(&shared, &room, (&uri, &sender), address(&client), &headers).await;
    shared.requests.finish(Kind::Multivariant, answer)
}

async fn answer_index(
    shared: &Shared,
    room: &str,
    (uri, sender): (&Uri, &Sender),
    address: Option<IpAddr>,
    headers: &HeaderMap,
) -> Result<Response, EdgeError> {
    let room: RoomName = room.parse().map_err(|_| EdgeError::NoSuchRoom)?;
    admit_to(&*shared.gate, &room, sender)?;
    let deadline = tokio::time::Instant::now() + shared.config.start;
    loop {
        let stream = shared.current(&room, deadline).await?;
        note(&stream, address, headers);
        let mut index = stream.index();
        let ready = tokio::select! {
            biased; // A stream that is over may have an index all the same.
            ready = timeout_at(deadline, index.wait_for(|index| !matches!(index, Index::Waiting))) => {
                ready.map_err(|_| EdgeError::late(Some(&*stream.feed)))?.map_err(|_| EdgeError::Stopping)?.clone()
            }
            () = stream.stop.cancelled() => return Err(EdgeError::Stopping),
            () = stream.over.cancelled() => continue, // It has ended before it had a part. The next one may have some.
        };
        return match ready {
            Index::Ready(document) => {
                Ok(answer::playlist(&*form(document, uri.query()).await, &KEEP_INDEX, headers).await)
            }
            Index::Unavailable(why) => Err(why),
            Index::Waiting => Err(EdgeError::TimedOut),
        };
    }
}

async fn file(
    State(shared): State<Arc<Shared>>,
    Path((room, stream, name)): Path<(String, String, String)>,
    uri: Uri,
    client: Client,
    sender: Sender,
    headers: HeaderMap,
) -> Response {
    let Some(file) = File::parse(&name) else {
        return shared.requests.finish(Kind::Unknown, Err(EdgeError::NoSuchFile));
    };
    let kind = match file {
        File::Playlist(_) => Kind::Playlist,
        File::Init(..) => Kind::Init,
        File::Segment(..) => Kind::Segment,
        File::Part(..) => Kind::Part,
    };
    let find = || {
        let room: RoomName = room.parse().map_err(|_| EdgeError::NoSuchRoom)?;
        admit(&*shared.gate, Action::PlayOn(&room), &sender)?;
        shared.stream(&room, &stream).ok_or(EdgeError::NoSuchFile)
    };
    let stream = match find() {
        Ok(stream) => stream,
        Err(error) => return shared.requests.finish(kind, Err(error)),
    };
    let answer = match file {
        File::Playlist(key) => {
            note(&stream, address(&client), &headers);
            answer_playlist(&shared, &stream, key, (uri.query(), &sender), &headers).await
        }
        File::Init(key, number) => answer_init(&stream, key, number, &headers),
        File::Segment(key, msn) => answer_segment(&shared, &stream, key, msn, &headers),
        File::Part(key, number) => answer_part(&shared, &stream, (key, number), &sender, &headers).await,
    };
    shared.requests.finish(kind, answer)
}

async fn answer_playlist(
    shared: &Shared,
    stream: &Stream,
    key: TrackKey,
    (query, sender): (Option<&str>, &Sender),
    headers: &HeaderMap,
) -> Result<Response, EdgeError> {
    let directives = Directives::parse(query)?;
    let view = wait(stream, key, (&shared.requests, sender), |view| match directives.judge(&view.published) {
        Ok(Verdict::Wait) => None,
        Ok(Verdict::Ready) => Some(Ok(())),
        Err(error) => Some(Err(error)),
    })
    .await?;
    let whole = view.playlist.as_ref().ok_or(EdgeError::NoSuchFile)?;
    let document = view.delta.as_ref().filter(|_| directives.skip).unwrap_or(whole);
    let Lifetimes { long, short } = &view.lifetimes;
    let keep = if directives.is_blocking() { long } else { short };
    Ok(answer::playlist(&*form(document.clone(), query).await, keep, headers).await)
}

/// Returns the form of a playlist for a client that did or did not put a token into the address. Native players cannot add a
/// header, and only a client that has the parameter can parse the form that hands it on.
async fn form(document: Arc<Document>, query: Option<&str>) -> Arc<Document> {
    let has_token = query.unwrap_or("").split('&').any(|pair| pair.starts_with("token="));
    if has_token { document.with_token().await } else { document }
}

fn answer_init(stream: &Stream, key: TrackKey, number: u32, headers: &HeaderMap) -> Result<Response, EdgeError> {
    let view = stream.view(key).ok_or(EdgeError::NoSuchFile)?;
    let init = view.init(number).ok_or(EdgeError::NoSuchFile)?;
    Ok(answer_media(&view, key, Chain::from(init.body.clone()), headers))
}

fn answer_segment(
    shared: &Shared,
    stream: &Stream,
    key: TrackKey,
    msn: u64,
    headers: &HeaderMap,
) -> Result<Response, EdgeError> {
    let view = stream.view(key).ok_or(EdgeError::NoSuchFile)?;
    let segment = view.segment(msn).cloned().or_else(|| shared.cache.get(&stream.id, key, msn));
    let segment = segment.filter(|segment| !segment.gap).ok_or(EdgeError::NoSuchFile)?;
    Ok(answer_media(&view, key, segment.body(), headers))
}

async fn answer_part(
    shared: &Shared,
    stream: &Stream,
    (key, number): (TrackKey, u64),
    sender: &Sender,
    headers: &HeaderMap,
) -> Result<Response, EdgeError> {
    let hinted = stream.view(key).ok_or(EdgeError::NoSuchFile)?.next_part;
    // Only the part that the preload hint names is waited for.
    let view = wait(stream, key, (&shared.requests, sender), |view| {
        (number != hinted || view.next_part != number || view.published.ended).then_some(Ok(()))
    })
    .await?;
    let part = view.part(number).ok_or(EdgeError::NoSuchFile)?;
    Ok(answer_media(&view, key, part.body.clone(), headers))
}

fn answer_media(view: &View, key: TrackKey, body: Chain, headers: &HeaderMap) -> Response {
    answer::media(body, key.kind == MediaKind::Audio, &view.lifetimes.long, headers)
}

/// Waits until `judge` reaches a verdict on the published state. It ends by the driver's clock, not by a timer of its
/// own: at the second time in a row that the stream stalled, or when the driver has ended.
async fn wait(
    stream: &Stream,
    key: TrackKey,
    (requests, sender): (&Requests, &Sender),
    judge: impl Fn(&View) -> Option<Result<(), EdgeError>>,
) -> Result<Arc<View>, EdgeError> {
    let now = stream.view(key).ok_or(EdgeError::NoSuchFile)?;
    if let Some(verdict) = judge(&now) {
        return verdict.map(|()| now);
    }
    let _blocked = requests.block(sender.counted(), sender.connection.as_ref())?;
    let mut views = stream.views(key).ok_or(EdgeError::NoSuchFile)?;
    let mut stalls = now.stalls;
    drop(now);
    let view = views.wait_for(|view| {
        stalls = stalls.min(view.stalls);
        view.stalls >= stalls + 2 || judge(view).is_some()
    });
    let view = tokio::select! {
        biased; // The last state of a stream that is over counts.
        // The sender is gone, because the rendition is not made any more.
        view = view => view.map_err(|_| EdgeError::NoSuchFile)?.clone(),
        () = stream.stop.cancelled() => return Err(EdgeError::Stopping),
        () = stream.over.cancelled() => return Err(EdgeError::NoSuchFile), // Its packager has died.
    };
    judge(&view).unwrap_or(Err(EdgeError::TimedOut)).map(|()| view)
}

/// Counts a request in the gauge while it waits.
struct Blocked {
    gauge: metrics::Gauge,
    _shares: (Share, Option<Arc<Share>>),
}

impl Drop for Blocked {
    fn drop(&mut self) {
        self.gauge.decrement(1.0);
    }
}

/// The kinds of requests, as metrics name them.
#[derive(Clone, Copy)]
enum Kind {
    Multivariant,
    Playlist,
    Init,
    Segment,
    Part,
    Unknown,
}

impl Kind {
    const ALL: [Self; 6] = [Self::Multivariant, Self::Playlist, Self::Init, Self::Segment, Self::Part, Self::Unknown];

    const fn name(self) -> &'static str {
        match self {
            Self::Multivariant => "multivariant",
            Self::Playlist => "playlist",
            Self::Init => "init",
            Self::Segment => "segment",
            Self::Part => "part",
            Self::Unknown => "unknown",
        }
    }
}

/// Counters that are looked up once.
struct Requests {
    answered: [metrics::Counter; Kind::ALL.len()],
    bytes: metrics::Counter,
    blocked: metrics::Gauge,
    waiting: Arc<Shares>,
    /// The connections of HTTP that stay open, all kinds together.
    of_http: Arc<Shares>,
}

impl Requests {
    fn new((all, each): (usize, usize), of_http: Arc<Shares>) -> Self {
        let answered =
            Kind::ALL.map(|kind| metrics::counter!(metric::HLS_REQUESTS, "kind" => kind.name(), "status" => "200"));
        let bytes = metrics::counter!(metric::BYTES, "direction" => "out", "protocol" => "hls");
        let waiting = Shares::new("requests that wait for LL-HLS", all, each);
        Self { answered, bytes, blocked: metrics::gauge!(metric::HLS_BLOCKED), waiting, of_http }
    }

    /// Lets a request from the network `who` wait. It counts for the network and not for the token, which an audience may share. Its
    /// connection is busy meanwhile, so viewers leave a part of those to others.
    fn block(&self, who: Option<Principal>, connection: Option<&Connection>) -> Result<Blocked, EdgeError> {
        let share = self.waiting.take(who).and_then(|share| {
            let of_http = connection.map(|connection| connection.watch(&self.of_http)).transpose()?;
            Ok((share, of_http))
        });
        let shares = share.inspect_err(|_| DropReason::HlsShare.count(1))?;
        self.blocked.increment(1.0);
        Ok(Blocked { gauge: self.blocked.clone(), _shares: shares })
    }

    fn finish(&self, kind: Kind, answer: Result<Response, EdgeError>) -> Response {
        let response = answer.unwrap_or_else(IntoResponse::into_response);
        self.bytes.increment(response.body().size_hint().lower());
        if response.status() == StatusCode::OK {
            self.answered[kind as usize].increment(1);
        } else {
            let status = response.status().as_str().to_owned();
            let counter = metrics::counter!(metric::HLS_REQUESTS, "kind" => kind.name(), "status" => status);
            counter.increment(1);
        }
        response
    }
}

fn address(client: &Client) -> Option<IpAddr> {
    client.as_ref().map(|extension| extension.0.0.ip())
}

fn note(stream: &Stream, address: Option<IpAddr>, headers: &HeaderMap) {
    let now = Instant::now();
    let agent = headers.get(header::USER_AGENT).map_or(&b""[..], |agent| agent.as_bytes());
    stream.audience.note(address, agent, now);
    stream.touch(now);
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use onmic_media::gate::OpenGate;
    use onmic_media::hub::HubLimits;
    use onmic_media::{NodeClock, Protocol};

    use super::*;

    fn hls(on_demand: bool) -> Hls {
        let hub = Hub::new(NodeClock::new(Instant::now(), SystemTime::UNIX_EPOCH), HubLimits::default(), None);
        let config = HlsConfig { on_demand, ..HlsConfig::default() };
        Hls::new(hub, Arc::new(OpenGate), config, CancellationToken::new())
    }

    #[test]
    fn one_network_leaves_waiting_to_others() {
        let requests = Requests::new((3, 2), Shares::endless());
        let network = |address: &str| Some(Principal::at(address.parse().unwrap()));
        let waiting: Vec<_> = (0..2).map(|_| requests.block(network("192.0.2.1"), None).ok().unwrap()).collect();
        let refused = requests.block(network("192.0.2.1"), None).err().unwrap();
        assert_eq!(refused.into_response().status(), StatusCode::TOO_MANY_REQUESTS);
        let _other = requests.block(network("192.0.2.2"), None).ok().unwrap();
        assert_eq!(requests.block(None, None).err().unwrap().into_response().status(), StatusCode::SERVICE_UNAVAILABLE);
        drop(waiting);
        assert!(requests.block(network("192.0.2.1"), None).is_ok());
    }

    #[test]
    fn viewers_who_wait_leave_connections_to_others() {
        let (requests, of_http) = {
            let of_http = Shares::new("connections of HTTP", 16, usize::MAX);
            (Requests::new((100, 100), of_http.clone()), of_http)
        };
        let connections: Vec<_> = (0..15).map(|_| Connection::default()).collect();
        let wait = |connection| requests.block(None, Some(connection)).ok();
        let waiting: Vec<_> =
            connections[..14].iter().flat_map(|own| [wait(own).unwrap(), wait(own).unwrap()]).collect();
        assert!(wait(&connections[14]).is_none(), "an eighth is for others");
        assert!(of_http.take(None).is_ok());
        drop(waiting);
        assert_eq!((of_http.taken(), requests.waiting.taken()), (0, 0));
    }

    #[tokio::test]
    async fn a_room_without_a_program_is_no_longer_wanted() {
        let hls = hls(true);
        let _live = hls.shared.hub.publish(&"live".parse().unwrap(), Protocol::Rtmp, Instant::now()).unwrap();
        for room in ["gone", "live"] {
            hls.shared.streams.lock().wanted.insert(room.parse().unwrap());
        }
        let mut drivers = Drivers::default();
        for room in ["gone", "live"] {
            hls.shared.look_at(&room.parse().unwrap(), &mut drivers);
        }
        let streams = hls.shared.streams.lock();
        assert!(streams.wanted.is_empty());
        assert_eq!(streams.current.keys().map(RoomName::as_str).collect::<Vec<_>>(), ["live"]);
    }
}
