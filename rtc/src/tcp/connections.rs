//! The TCP connections of one shard, which its thread reads and writes beside the UDP socket.
//!
//! Each has a bell that the runtime rings when it can be read or written, and no task. A turn reads at most [`READ_BYTES`], so that one
//! peer holds up nobody. What cannot be written at once waits in the [`Backlog`]. A connection that breaks is listed in
//! [`Connections::take_broken`], for the core to forget it.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use metrics::{Gauge, gauge};
use onmic_listen::{Pass, WRITE_TIMEOUT};
use onmic_media::{DropReason, metric};
use socket2::SockRef;
use tokio::net::TcpStream;

use super::backlog::{Backlog, Run};
use crate::bell::Belfry;
use crate::transport::{ConnectionId, DatagramKind, Route, classify, framing};
use crate::udp::Batch;

/// The most bytes that one turn reads of a connection.
const READ_BYTES: usize = 64 << 10;
/// How much of what is sent may wait in the kernel before it is on its way. It cannot be dropped there, so it is little: 50 ms at 2.5
/// Mbit/s.
const UNSENT_BYTES: u32 = 16 << 10;

/// A connection that a listener accepted, with its first frame.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) stream: std::net::TcpStream,
    pub(crate) from: SocketAddr,
    /// The connectivity check that it began with.
    pub(crate) check: Vec<u8>,
    /// Its place among the connections of the listener.
    pub(crate) pass: Pass,
}

/// The counts of all connections, in datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Datagrams that the kernel took.
    pub(crate) sent: u64,
    /// The bytes of those datagrams with their headers.
    pub(crate) sent_bytes: u64,
    /// Datagrams that were dropped because their peer takes too little.
    pub(crate) dropped: u64,
}

/// What a read has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// The connection goes on.
    GoesOn,
    /// The peer has closed it, or it is broken. There may be frames before its end.
    Ended,
}

struct Connection {
    stream: TcpStream,
    waker: Waker,
    /// The beginning of a frame whose end has not come.
    partial: Vec<u8>,
    backlog: Backlog,
    /// When the peer last took something, or had taken all.
    taken: Instant,
    /// When something last came from the peer.
    heard: Instant,
    pass: Pass,
    /// Whether it keeps its place. One that no media goes by gives it to others, because browsers that have UDP open one, too.
    is_kept: bool,
    gave_way: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// The connections.
pub(crate) struct Connections {
    held: HashMap<ConnectionId, (SocketAddr, Connection)>,
    next: u32,
    belfry: Arc<Belfry<ConnectionId>>,
    broken: Vec<Route>,
    counters: Counters,
    /// Frames that are being put together.
    frames: Vec<u8>,
    gauge: Gauge,
}

impl Connections {
    pub(crate) fn new(belfry: Arc<Belfry<ConnectionId>>) -> Self {
        let gauge = gauge!(metric::CONNECTIONS, "protocol" => "rtc");
        Self {
            held: HashMap::new(),
            next: 0,
            belfry,
            broken: Vec::new(),
            counters: Counters::default(),
            frames: Vec::new(),
            gauge,
        }
    }

    /// Takes a connection over into the current runtime. Returns the route to its peer.
    pub(crate) fn add(
        &mut self,
        stream: std::net::TcpStream,
        from: SocketAddr,
        pass: Pass,
        now: Instant,
    ) -> io::Result<Route> {
        let stream = TcpStream::from_std(stream)?;
        stream.set_nodelay(true)?;
        SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT_BYTES)?;
        let id = ConnectionId(self.next);
        self.next = self.next.wrapping_add(1); // Four thousand million connections later the first has gone.
        let waker = self.belfry.bell(id);
        waker.wake_by_ref(); // Its first turn asks to be told what comes.
        let connection = Connection {
            stream,
            waker,
            partial: Vec::new(),
            backlog: Backlog::default(),
            taken: now,
            heard: now,
            gave_way: Box::pin(pass.gave_way()),
            pass,
            is_kept: true,
        };
        self.held.insert(id, (from, connection));
        self.gauge.increment(1.0);
        Ok(Route::Tcp(from, id))
    }

    /// Returns the route to the peer of a connection, if it is open.
    pub(crate) fn route(&self, id: ConnectionId) -> Option<Route> {
        self.held.get(&id).map(|(from, _)| Route::Tcp(*from, id))
    }

    /// Writes what waits, and reads what has come into `bytes`, behind the part of a frame that came before.
    pub(crate) fn turn(&mut self, id: ConnectionId, bytes: &mut Vec<u8>, now: Instant) -> Read {
        bytes.clear();
        let Some((_, connection)) = self.held.get_mut(&id) else { return Read::Ended };
        if connection.has_given_way() {
            DropReason::RtcTcpGaveWay.count(1);
            return Read::Ended;
        }
        let written = connection.flush(&mut self.counters, now);
        let read = connection.read(bytes, now);
        if written.is_err() { Read::Ended } else { read }
    }

    /// Keeps the beginning of a frame until the rest comes.
    pub(crate) fn keep(&mut self, id: ConnectionId, partial: &[u8]) {
        if let Some((_, connection)) = self.held.get_mut(&id) {
            connection.partial.extend_from_slice(partial);
        }
    }

    /// Sends one datagram, or drops it.
    pub(crate) fn send(&mut self, id: ConnectionId, datagram: &[u8]) {
        self.send_all(id, std::iter::once(datagram));
    }

    /// Sends a batch as one run. The batch is empty afterwards.
    pub(crate) fn send_batch(&mut self, id: ConnectionId, batch: &mut Batch) {
        self.send_all(id, batch.datagrams());
        batch.clear();
    }

    /// Closes a connection after a last attempt to write what waits. What the kernel has taken still arrives.
    pub(crate) fn close(&mut self, id: ConnectionId) {
        let Some((_, mut connection)) = self.held.remove(&id) else { return };
        let _ = connection.flush(&mut self.counters, Instant::now()); // It ends in any case.
        self.counters.dropped += connection.backlog.datagrams();
        self.gauge.decrement(1.0);
    }

    /// Closes the connections whose peer has taken nothing of what there is for it for [`WRITE_TIMEOUT`], or has sent nothing for as long as
    /// `silence`. Call it about once a second.
    pub(crate) fn expire(&mut self, silence: Duration, now: Instant) {
        for (id, (from, connection)) in &self.held {
            if connection.is_stuck(now) {
                DropReason::RtcTcpNotRead.count(1);
            } else if now.saturating_duration_since(connection.heard) < silence {
                continue;
            }
            self.broken.push(Route::Tcp(*from, *id));
        }
    }

    /// Keeps the places of the connections that media goes by, and offers those of the others. Call it about once a second.
    pub(crate) fn offer_unused(&mut self, is_used: impl Fn(Route) -> bool) {
        for (id, (from, connection)) in &mut self.held {
            match (is_used(Route::Tcp(*from, *id)), connection.is_kept) {
                (true, false) => connection.pass.keep(),
                (false, true) => connection.pass.offer(),
                _ => continue,
            }
            connection.is_kept = !connection.is_kept;
        }
    }

    /// Returns the routes that are to be forgotten, because their connections have broken.
    pub(crate) fn take_broken(&mut self) -> Vec<Route> {
        std::mem::take(&mut self.broken)
    }

    pub(crate) fn counters(&self) -> Counters {
        self.counters
    }

    fn send_all<'a>(&mut self, id: ConnectionId, datagrams: impl Iterator<Item = &'a [u8]>) {
        self.frames.clear();
        let (mut count, mut is_media) = (0, true);
        for datagram in datagrams {
            framing::append(datagram, &mut self.frames);
            count += 1;
            is_media &= classify(datagram) == Some(DatagramKind::Rtp);
        }
        // It may have been closed in this very turn.
        let Some((from, connection)) = self.held.get_mut(&id) else { return self.counters.dropped += count };
        let now = Instant::now();
        if connection.send(&self.frames, (count, is_media), &mut self.counters, now).is_err() {
            self.broken.push(Route::Tcp(*from, id));
        }
    }
}

impl Drop for Connections {
    fn drop(&mut self) {
        self.gauge.decrement(self.held.len() as f64);
    }
}

impl Connection {
    fn send(
        &mut self,
        frames: &[u8],
        (datagrams, is_media): (u64, bool),
        counters: &mut Counters,
        now: Instant,
    ) -> io::Result<()> {
        let run = || Run { bytes: frames.to_vec(), datagrams, is_media };
        if !self.backlog.is_empty() {
            self.backlog.push(run(), now);
            counters.dropped += self.backlog.take_dropped();
            return Ok(());
        }
        self.taken = now; // It has taken all up to now.
        match self.stream.try_write(frames) {
            Ok(written) if written == frames.len() => {
                counters.sent += datagrams;
                counters.sent_bytes += frames.len() as u64;
                return Ok(());
            }
            Ok(0) => self.backlog.push(run(), now),
            Ok(written) => self.backlog.push_begun(run(), written, now),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.backlog.push(run(), now),
            Err(error) => return Err(error),
        }
        counters.dropped += self.backlog.take_dropped();
        self.ask_to_write();
        Ok(())
    }

    /// Writes what waits, as far as the kernel takes it.
    fn flush(&mut self, counters: &mut Counters, now: Instant) -> io::Result<()> {
        while let Some(bytes) = self.backlog.next(now) {
            match self.stream.try_write(bytes) {
                Ok(written) => {
                    self.taken = now;
                    if let Some((datagrams, bytes)) = self.backlog.advance(written) {
                        counters.sent += datagrams;
                        counters.sent_bytes += bytes as u64 - datagrams * framing::HEADER as u64; // The frames of TCP are not counted.
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.ask_to_write();
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        counters.dropped += self.backlog.take_dropped();
        Ok(())
    }

    fn read(&mut self, bytes: &mut Vec<u8>, now: Instant) -> Read {
        bytes.append(&mut self.partial);
        let end = bytes.len() + READ_BYTES;
        bytes.reserve(READ_BYTES);
        while bytes.len() < end {
            match self.stream.try_read_buf(bytes) {
                Ok(0) => return Read::Ended,
                Ok(_) => self.heard = now,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => return Read::Ended,
            }
        }
        let mut context = Context::from_waker(&self.waker);
        if self.stream.poll_read_ready(&mut context).is_ready() {
            self.waker.wake_by_ref(); // There is more, for the next turn.
        }
        Read::GoesOn
    }

    /// Has the bell rung once something can be written.
    fn ask_to_write(&mut self) {
        let mut context = Context::from_waker(&self.waker);
        if self.stream.poll_write_ready(&mut context).is_ready() {
            self.waker.wake_by_ref();
        }
    }

    fn has_given_way(&mut self) -> bool {
        self.gave_way.as_mut().poll(&mut Context::from_waker(&self.waker)).is_ready()
    }

    fn is_stuck(&self, now: Instant) -> bool {
        !self.backlog.is_empty() && now.saturating_duration_since(self.taken) >= WRITE_TIMEOUT
    }
}
