//! The HTTP server: HTTP/1.1 and HTTP/2, plain or TLS, on one listener.
//!
//! A connection has a deadline from its accept to the end of its first request's headers, whatever it has said until then,
//! TLS included. It keeps its place from the arrival of a whole request, body included, until the peer has taken the answer, and as a
//! WebSocket. A body that is announced and does not come keeps none.
//! An address that opens connections faster than one may has them closed at once, because each costs a handshake.
//! Where no place is free, and no idle connection gives way, a connection gets into a small **lane** beside all others: one request
//! is answered there by other routes, which know how this node is and refuse everything else. The lane speaks HTTP/1.1 alone. A
//! connection has a second in it, and gives way to the next one whatever it does, so nobody can hold the lane.
//!
//! What a peer sends before anybody knows who it is has bounds: the head of a request, what is sent ahead of the routes that read it,
//! and requests at once.
//!
//! What the peer does not take keeps no place for long, and ends by a deadline: an answer (`answer`), and whatever else is
//! written to a connection (`socket`). An answer that a permit holds ends with the permit, even then.
//!
//! Requests that a client sends in a row on one connection of HTTP/1.1 are answered one in each turn of its task, so that
//! all other tasks come in between.

use std::convert::Infallible;
use std::error::Error;
use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::http::{StatusCode, Version};
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use metrics::{Gauge, gauge};
use onmic_listen::{Full, Limiter, Limits, Pass, Served, Sparing, TrustedProxies, handshake};
use onmic_media::{Closed, DropReason, Pace, metric};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::yield_now;
use tokio::time::{sleep_until, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::Connection;

mod answer;
mod arriving;
mod socket;

pub use answer::held_by;
use answer::{Answer, Streams, Terms, Watch};
use arriving::{Arriving, Rest};
use socket::Socket;

/// How long the peer of an idle connection that gives way, or of an answer that is over, has to take in that it ends.
const GOODBYE: Duration = Duration::from_millis(100);

/// The most bytes of the head of a request, by both versions. The largest are those with a long token and many cookies.
const HEAD_BYTES: usize = 64 << 10;

/// The most bytes of bodies that one connection of HTTP/2 sends ahead of the routes that read them. HTTP/1.1 sends one body at a time,
/// of which the buffer of its head is held.
const AHEAD_BYTES: u32 = 256 << 10;

/// The same for one request, so that one that is not read leaves the others of its connection as much. The largest body, 3 MiB of
/// overlays, takes 24 round trips.
const AHEAD_OF_REQUEST_BYTES: u32 = AHEAD_BYTES / 2;

/// The most requests at once on one connection of HTTP/2. A page has a few (RFC 9113 5.1.2 recommends 100 at least).
const STREAMS: u32 = 100;

/// How long a connection may be in the lane, TLS included. It has as much to say as fits a packet, and so has its answer.
const LANE_TIME: Duration = Duration::from_secs(1);

/// The most connections of one address in the lane.
const LANE_PER_ADDRESS: usize = 4;

/// The limits of the server. The binary fills them from its configuration.
#[derive(Clone, Debug)]
pub struct HttpLimits {
    /// The most connections at once.
    pub connections: Limits,
    /// How fast one address may open connections.
    pub pace: Option<Pace>,
    /// The most connections at once in the lane for those that find no place.
    pub lane: usize,
    /// How long a connection may take from its accept to the end of its first request's headers, and from one request to the
    /// end of the next one's headers. Also the pause between pings on an idle HTTP/2 connection.
    pub header_timeout: Duration,
    /// How long a peer may take nothing of what there is for it, before its answer or its connection ends.
    pub write_timeout: Duration,
    /// How long connections have to finish when the server stops.
    pub drain: Duration,
}

/// Answers requests.
#[derive(Clone, Debug)]
pub struct Routes {
    /// The routes of a connection that has a place.
    pub all: Router,
    /// The routes of a connection in the lane.
    pub when_full: Router,
}

/// Serves `listener` until `stop`. Connections then have the drain time to finish.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    limits: HttpLimits,
    proxies: TrustedProxies,
    routes: Routes,
    stop: CancellationToken,
) {
    let server = Arc::new(Server::new(tls, limits, proxies, routes, stop));
    let mut served = Served::new(listener, "http");
    while let Some((stream, peer)) = served.next(&server.stop).await {
        if let Some((pass, place)) = server.admit(peer.ip()) {
            served.spawn(server.clone().converse(stream, peer, pass, place));
        } // Else the stream is dropped, which closes it.
        server.all.settled().await;
        server.lane.settled().await;
    }
    if timeout(server.limits.drain, served.ended()).await.is_err() {
        served.cut_off().await;
    }
}

/// Where a connection has its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    AmongAll,
    InLane,
}

struct Server {
    tls: Option<TlsAcceptor>,
    lane_tls: Option<TlsAcceptor>,
    limits: HttpLimits,
    routes: Routes,
    stop: CancellationToken,
    all: Arc<Limiter>,
    lane: Arc<Limiter>,
    builder: Builder<Streams>,
    lane_builder: http1::Builder,
    connections: Gauge,
    complaints: Sparing,
}

impl Server {
    fn new(
        tls: Option<Arc<rustls::ServerConfig>>,
        limits: HttpLimits,
        proxies: TrustedProxies,
        routes: Routes,
        stop: CancellationToken,
    ) -> Self {
        let lane = Limits { all: limits.lane, per_address: LANE_PER_ADDRESS };
        let mut builder = Builder::new(Streams { write_timeout: limits.write_timeout });
        builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.header_timeout).max_buf_size(HEAD_BYTES);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(Some(limits.header_timeout))
            .max_header_list_size(HEAD_BYTES as u32)
            .initial_stream_window_size(AHEAD_OF_REQUEST_BYTES)
            .initial_connection_window_size(AHEAD_BYTES)
            .max_concurrent_streams(STREAMS);
        let mut lane_builder = http1::Builder::new();
        lane_builder.keep_alive(false).header_read_timeout(None).max_buf_size(HEAD_BYTES);
        let lane_tls = tls.as_deref().map(|tls| {
            let mut tls = tls.clone();
            tls.alpn_protocols = vec![b"http/1.1".to_vec()];
            TlsAcceptor::from(Arc::new(tls))
        });
        Self {
            tls: tls.map(TlsAcceptor::from),
            lane_tls,
            all: Limiter::new(limits.connections, limits.pace, proxies),
            lane: Limiter::new(lane, None, TrustedProxies::default()),
            limits,
            routes,
            stop,
            builder,
            lane_builder,
            connections: gauge!(metric::CONNECTIONS, "protocol" => "http"),
            complaints: Sparing::default(),
        }
    }

    /// Finds a place for a connection of `peer`. `None` means that the connection closes at once.
    fn admit(&self, peer: IpAddr) -> Option<(Pass, Place)> {
        let now = Instant::now();
        let full = match self.all.admit(peer, now) {
            Ok(pass) => return Some((pass, Place::AmongAll)),
            Err(full) => full,
        };
        let reason = match full {
            Full::All => DropReason::HttpConnections,
            Full::Address => DropReason::HttpConnectionsOfAddress,
            Full::TooFast => DropReason::HttpConnectionsTooFast,
        };
        reason.count(1);
        if let Some(before) = self.complaints.due(now) {
            let (limits, pace) = (self.limits.connections, self.limits.pace);
            tracing::warn!(%peer, reason = reason.name(), ?limits, ?pace, before, "HTTP connections are refused");
        }
        if full == Full::TooFast {
            return None; // An answer would cost the handshake that is refused.
        }
        self.lane.admit(peer, now).ok().map(|pass| (pass, Place::InLane))
    }

    async fn converse(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, pass: Pass, place: Place) {
        let (tls, time) = match place {
            Place::AmongAll => (&self.tls, self.limits.header_timeout),
            Place::InLane => (&self.lane_tls, self.limits.header_timeout.min(LANE_TIME)),
        };
        let deadline = tokio::time::Instant::now() + time;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY could not be set");
        }
        let conversation = Arc::new(Conversation::new(pass, place));
        let (write_timeout, connections) = (self.limits.write_timeout, self.connections.clone());
        let stream = Socket::new(stream, write_timeout, connections, conversation.clone());
        let ended = match tls {
            None => self.answer(stream, peer, place, &conversation, deadline).await,
            Some(tls) => {
                let handshake = tokio::select! {
                    handshake = timeout_at(deadline, tls.accept(stream)) => handshake,
                    () = conversation.pass.gave_way() => return DropReason::HttpGaveWay.count(1),
                };
                match handshake {
                    Ok(Ok(stream)) => self.answer(stream, peer, place, &conversation, deadline).await,
                    // The socket has counted a peer that takes nothing of the handshake.
                    Ok(Err(_)) if conversation.is_cut() => Ok(()),
                    Ok(Err(error)) => {
                        tracing::debug!(%peer, %error, "TLS handshake failed");
                        handshake::closed(&error).inspect(|closed| closed.count(onmic_media::Asked::Http));
                        Err(DropReason::HttpTls)
                    }
                    Err(_) => Err(DropReason::HttpHeaderTimeout),
                }
            }
        };
        if let Err(reason) = ended {
            reason.count(1);
            closed(reason).inspect(|closed| closed.count(onmic_media::Asked::Http));
            tracing::debug!(%peer, reason = reason.name(), "HTTP connection closed");
        }
    }

    async fn answer<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &self,
        stream: S,
        peer: SocketAddr,
        place: Place,
        conversation: &Arc<Conversation>,
        deadline: tokio::time::Instant,
    ) -> Result<(), DropReason> {
        match place {
            Place::AmongAll => self.answer_among_all(stream, peer, conversation, deadline).await,
            Place::InLane => self.answer_in_lane(stream, peer, conversation, deadline).await,
        }
    }

    /// Answers the one request of a connection in the lane, which is idle all the time.
    async fn answer_in_lane<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &self,
        stream: S,
        peer: SocketAddr,
        conversation: &Arc<Conversation>,
        deadline: tokio::time::Instant,
    ) -> Result<(), DropReason> {
        let answer = service_fn(|request: hyper::Request<Incoming>| {
            conversation.has_asked.store(true, Ordering::Relaxed);
            let mut request: Request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(peer));
            self.routes.when_full.clone().oneshot(request)
        });
        let connection = pin!(self.lane_builder.serve_connection(TokioIo::new(stream), answer));
        tokio::select! {
            biased; // A request that has come is answered before its connection gives way.
            ended = connection => {
                if let Err(error) = ended {
                    tracing::trace!(%peer, %error, "HTTP connection ended");
                }
                Ok(())
            }
            () = conversation.pass.gave_way() => Err(DropReason::HttpGaveWay),
            () = sleep_until(deadline) => {
                Err(if conversation.has_asked() { DropReason::HttpNotRead } else { DropReason::HttpHeaderTimeout })
            }
        }
    }

    /// Answers the requests of a connection that has a place.
    async fn answer_among_all<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &self,
        stream: S,
        peer: SocketAddr,
        conversation: &Arc<Conversation>,
        deadline: tokio::time::Instant,
    ) -> Result<(), DropReason> {
        let asked = Asked { router: self.routes.all.clone(), peer, conversation: conversation.clone() };
        let mut connection = pin!(self.builder.serve_connection_with_upgrades(TokioIo::new(stream), asked));
        let (mut is_watched, mut is_stopping) = (true, false);
        let mut watch = Watch::new(None); // The socket has the deadline.
        let mut reading_rests = pin!(conversation.rest.read());
        loop {
            let turn = poll_fn(|context| {
                conversation.turn.begin();
                watch.poll(connection.as_mut(), context)
            });
            tokio::select! {
                ended = turn => {
                    match ended {
                        Ok(Ok(())) => {}
                        // hyper has a timer of the same length, which may strike first.
                        Ok(Err(error)) if !conversation.has_asked() && is_timeout(&*error) => {
                            return Err(DropReason::HttpHeaderTimeout);
                        }
                        Ok(Err(error)) => tracing::trace!(%peer, %error, "HTTP connection ended"),
                        Err(cut) => {
                            cut.count();
                            conversation.cut();
                            tracing::debug!(%peer, ?cut, "HTTP connection closed");
                        }
                    }
                    return Ok(());
                }
                () = sleep_until(deadline), if is_watched => {
                    if !conversation.has_asked() {
                        return Err(DropReason::HttpHeaderTimeout);
                    }
                    is_watched = false;
                }
                () = conversation.pass.gave_way() => {
                    // A request that is not whole, or whose answer is not taken, would use up the time of a goodbye.
                    if conversation.has_asked() && conversation.is_idle() {
                        connection.as_mut().graceful_shutdown();
                        let _ = timeout(GOODBYE, connection.as_mut()).await;
                    }
                    return Err(DropReason::HttpGaveWay);
                }
                never = &mut reading_rests => match never {},
                () = self.stop.cancelled(), if !is_stopping => {
                    is_stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

/// Returns why the server closes a connection that it counts as dropped. One that gives way has no place, and is a drop alone.
fn closed(reason: DropReason) -> Option<Closed> {
    match reason {
        DropReason::HttpHeaderTimeout => Some(Closed::SetupTimeout),
        DropReason::HttpNotRead => Some(Closed::Slow),
        _ => None,
    }
}

fn is_timeout(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_timeout)
}

/// What a connection's task, its requests and its socket share.
struct Conversation {
    pass: Pass,
    has_asked: AtomicBool,
    /// The lock keeps the place and the number of requests in step.
    requests: Mutex<Requests>,
    turn: Turn,
    /// Whether what is not sent yet is thrown away.
    is_cut: AtomicBool,
    is_web_socket: AtomicBool,
    /// Whether the peer has taken nothing of what was written for a while.
    stands_still: AtomicBool,
    place: Place,
    /// What routes have left of the bodies of requests.
    rest: Rest,
    /// What routes know of it.
    connection: Connection,
}

impl Conversation {
    fn new(pass: Pass, place: Place) -> Self {
        let [has_asked, is_cut, is_web_socket, stands_still] = [false; 4].map(AtomicBool::new);
        let (requests, turn, rest) = (Mutex::default(), Turn::default(), Rest::default());
        let connection = Connection::default();
        Self { pass, has_asked, requests, turn, is_cut, is_web_socket, stands_still, place, rest, connection }
    }

    /// Counts one more request, WebSocket or write that keeps the place.
    fn keep(&self, requests: &mut Requests) {
        requests.keeping += 1;
        if requests.keeping == 1 {
            self.pass.keep();
        }
    }

    /// Counts one less.
    fn release(&self, requests: &mut Requests) {
        requests.keeping -= 1;
        if requests.keeping == 0 {
            self.pass.offer();
        }
    }

    /// Notes that the connection is a WebSocket now. It keeps its place for as long as its socket lives, and whoever drives it counts
    /// its end.
    fn becomes_web_socket(&self) {
        self.is_web_socket.store(true, Ordering::Relaxed);
        self.keep(&mut self.requests.lock());
    }

    fn is_web_socket(&self) -> bool {
        self.is_web_socket.load(Ordering::Relaxed)
    }

    /// Returns whether nothing goes on: no request is open, and what was written has been taken.
    fn is_idle(&self) -> bool {
        self.requests.lock().open == 0 && !self.stands_still.load(Ordering::Relaxed)
    }

    /// Returns whether a request has begun.
    fn has_asked(&self) -> bool {
        self.has_asked.load(Ordering::Relaxed)
    }

    /// Throws away what is not sent yet when the connection closes. Returns whether that was decided before.
    fn cut(&self) -> bool {
        self.is_cut.swap(true, Ordering::Relaxed)
    }

    fn is_cut(&self) -> bool {
        self.is_cut.load(Ordering::Relaxed)
    }
}

/// The requests of a connection.
#[derive(Default)]
struct Requests {
    /// How many are not answered to the end.
    open: usize,
    /// How many of them keep the place. A WebSocket does, and a write that the peer takes slowly, too.
    keeping: usize,
}

/// Keeps the place of a connection for as long as it lives.
struct Keeping(Arc<Conversation>);

impl Keeping {
    fn begin(conversation: Arc<Conversation>) -> Self {
        conversation.keep(&mut conversation.requests.lock());
        Self(conversation)
    }
}

impl Drop for Keeping {
    fn drop(&mut self) {
        self.0.release(&mut self.0.requests.lock());
    }
}

/// A request that is not answered to the end. It keeps the place of its connection once it has arrived whole, or its answer has begun,
/// unless the peer does not take the answer.
struct Open {
    conversation: Arc<Conversation>,
    /// Changes under the lock of the requests.
    counts: AtomicBool,
}

impl Open {
    fn begin(conversation: Arc<Conversation>) -> Self {
        conversation.has_asked.store(true, Ordering::Relaxed);
        conversation.requests.lock().open += 1;
        Self { conversation, counts: AtomicBool::new(false) }
    }

    /// Returns whether the request keeps the place of its connection.
    fn counts(&self) -> bool {
        self.counts.load(Ordering::Relaxed)
    }

    /// Sets whether the request keeps the place of its connection.
    fn count(&self, counts: bool) {
        let mut requests = self.conversation.requests.lock();
        if self.counts.swap(counts, Ordering::Relaxed) == counts {
            return;
        }
        if counts {
            self.conversation.keep(&mut requests);
        } else {
            self.conversation.release(&mut requests);
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.count(false);
        self.conversation.requests.lock().open -= 1;
    }
}

/// Says whether a request was begun since the connection's task was polled last.
#[derive(Default)]
struct Turn(AtomicBool);

impl Turn {
    fn begin(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// Takes the turn, unless another request has it.
    fn take(&self) -> bool {
        !self.0.swap(true, Ordering::Relaxed)
    }
}

/// Leads the requests of one connection to their routes.
#[derive(Clone)]
struct Asked {
    router: Router,
    peer: SocketAddr,
    conversation: Arc<Conversation>,
}

impl hyper::service::Service<hyper::Request<Incoming>> for Asked {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn call(&self, request: hyper::Request<Incoming>) -> Self::Future {
        let Self { router, peer, conversation } = self.clone();
        let open = Arc::new(Open::begin(conversation.clone()));
        let mut request: Request = Arriving::begin(request, &open);
        request.extensions_mut().insert(ConnectInfo(peer));
        request.extensions_mut().insert(conversation.connection.clone());
        // Requests of HTTP/2 have tasks of their own, which are not polled with the connection.
        let is_http_2 = request.version() == Version::HTTP_2;
        Box::pin(async move {
            while !is_http_2 && !conversation.turn.take() {
                yield_now().await;
            }
            let mut answer = router.oneshot(request).await?;
            let terms = Terms::take(&mut answer);
            if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
                conversation.becomes_web_socket();
            }
            Ok(answer.map(|body| Body::new(Answer::new(body, open, terms, is_http_2))))
        })
    }
}

#[cfg(test)]
mod tests;
