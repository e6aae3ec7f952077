//! The UDP socket of a shard: it sends and receives whole runs (GSO, GRO) and never waits to send. All shards have one on the same port.
//!
//! Segmentation offload is the only batching that pays: it costs one system call and one pass
//! through the network stack per run of equal datagrams. When the kernel's buffer is full, the run
//! is dropped and counted, because the next frame matters more than this one. Routing chooses the
//! source address. ECN is not used.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;

use quinn_udp::{RecvMeta, Transmit, UdpSocketState};
use socket2::{Domain, Protocol, SockRef, Type};
use tokio::io::Interest;

use crate::Error;

/// The most datagrams of one GSO run (`UDP_MAX_SEGMENTS`).
const SEGMENTS: usize = 64;
/// The most bytes of one run: the 65,535 bytes of an IP packet less its headers, rounded down.
const RUN_BYTES: usize = 65_000;
/// The size asked of the kernel for each of its buffers, in bytes: a keyframe of 100 kB to forty
/// viewers at once. The system may grant less (`net.core.wmem_max`, `net.core.rmem_max`).
const KERNEL_BYTES: usize = 4 << 20;
/// The most runs that one system call receives, each of up to `GRO_BYTES`.
const RECEIVES: usize = 8;
const GRO_BYTES: usize = 1 << 16;

/// Datagrams for one destination, back to back. All have one length, but the last may be shorter.
pub struct Batch {
    buffer: Box<[u8]>,
    used: usize,
    segment: usize,
    count: usize,
    complete: bool, // The last datagram is shorter, so no other can follow.
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

impl Batch {
    /// Makes an empty batch. Reuse it, because it holds 64 kB.
    pub fn new() -> Self {
        let buffer = vec![0; RUN_BYTES].into_boxed_slice();
        Self { buffer, used: 0, segment: 0, count: 0, complete: false }
    }

    /// Returns whether a datagram of `length` bytes can join the batch.
    pub fn takes(&self, length: usize) -> bool {
        let fits = length > 0 && self.used + length <= self.buffer.len();
        let joins = !self.complete && length <= self.segment && self.count < SEGMENTS;
        fits && (self.count == 0 || joins)
    }

    /// Appends a datagram of at most `length` bytes. `write` puts it into the slice that it is
    /// given and returns its length. Ask [`takes`](Self::takes) first: for a datagram that does not
    /// fit, `write` gets an empty slice. Nothing is appended if `write` fails or writes nothing.
    pub fn push<E>(&mut self, length: usize, write: impl FnOnce(&mut [u8]) -> Result<usize, E>) -> Result<(), E> {
        let room = if self.takes(length) { length } else { 0 };
        let written = write(&mut self.buffer[self.used..self.used + room])?.min(room);
        if written == 0 {
            return Ok(());
        }
        if self.count == 0 {
            self.segment = written;
        }
        self.complete = written < self.segment;
        self.used += written;
        self.count += 1;
        Ok(())
    }

    /// Returns the number of datagrams in the batch.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Returns whether the batch is empty.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns the datagrams, back to back.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[..self.used]
    }

    /// Returns the datagrams one by one.
    pub fn datagrams(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes().chunks(self.segment.max(1))
    }

    /// Forgets the datagrams.
    pub fn clear(&mut self) {
        self.used = 0;
        self.segment = 0;
        self.count = 0;
        self.complete = false;
    }
}

/// The counts of a socket, in datagrams.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams that the kernel took.
    pub sent: u64,
    /// The bytes of those datagrams.
    pub sent_bytes: u64,
    /// Datagrams dropped because the kernel's buffer was full.
    pub dropped_full: u64,
    /// Datagrams dropped because the kernel refused them, as for an unreachable network.
    pub dropped_refused: u64,
}

/// A bound socket that no runtime watches yet.
pub struct Bound(std::net::UdpSocket);

impl Bound {
    /// Returns the address that the socket is bound to.
    pub fn local_addr(&self) -> Result<SocketAddr, Error> {
        self.0.local_addr().map_err(Error::SocketIo)
    }

    /// Gives the socket to the current runtime. When that has ended, it can be given to another.
    pub fn register(&self) -> Result<Socket, Error> {
        let register = || {
            let io = tokio::net::UdpSocket::from_std(self.0.try_clone()?)?;
            let state = UdpSocketState::new((&io).into())?;
            Ok(Socket { io, state, counters: Counters::default() })
        };
        register().map_err(Error::SocketIo)
    }
}

/// The socket of one shard.
pub struct Socket {
    io: tokio::net::UdpSocket,
    state: UdpSocketState,
    counters: Counters,
}

impl Socket {
    /// Opens a socket and binds it. An IPv6 address takes IPv4 too, where the system can.
    pub fn open(address: SocketAddr) -> Result<Bound, Error> {
        Self::open_beside(address, false)
    }

    /// Opens `count` sockets on one port, one at least. The system hands what comes to one of them, and always to the same one for a pair of
    /// addresses (`SO_REUSEPORT`). The first is bound alone, so a port that somebody else has is an error, also if that is a server like this.
    pub fn open_all(address: SocketAddr, count: usize) -> Result<Vec<Bound>, Error> {
        let first = Self::open(address)?;
        let address = SocketAddr::new(address.ip(), first.local_addr()?.port());
        if count > 1 {
            SockRef::from(&first.0).set_reuse_port(true).map_err(|source| Error::Socket { address, source })?;
        }
        let others = (1..count).map(|_| Self::open_beside(address, true));
        std::iter::once(Ok(first)).chain(others).collect()
    }

    fn open_beside(address: SocketAddr, has_others: bool) -> Result<Bound, Error> {
        let open = || {
            let socket = socket2::Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
            if address.is_ipv6() {
                socket.set_only_v6(false)?;
            }
            if has_others {
                socket.set_reuse_port(true)?;
            }
            socket.set_nonblocking(true)?;
            socket.set_send_buffer_size(KERNEL_BYTES)?;
            socket.set_recv_buffer_size(KERNEL_BYTES)?;
            socket.bind(&address.into())?;
            Ok(Bound(socket.into()))
        };
        open().map_err(|source| Error::Socket { address, source })
    }

    /// Opens, binds and registers a socket. Call it inside a runtime.
    pub fn bind(address: SocketAddr) -> Result<Self, Error> {
        Self::open(address)?.register()
    }

    /// Returns the address that the socket is bound to.
    pub fn local_addr(&self) -> Result<SocketAddr, Error> {
        self.io.local_addr().map_err(Error::SocketIo)
    }

    /// Returns the counts so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Sends one datagram, or drops it.
    pub fn send(&mut self, to: SocketAddr, datagram: &[u8]) {
        let result = self.transmit(to, datagram, None);
        self.count(result, 1, datagram.len());
    }

    /// Sends a batch as one run, or drops it. The batch is empty afterwards.
    pub fn send_batch(&mut self, to: SocketAddr, batch: &mut Batch) {
        if batch.is_empty() {
            return;
        }
        if batch.count == 1 || self.state.max_gso_segments() < batch.count {
            self.send_apart(to, batch);
        } else {
            match self.transmit(to, batch.bytes(), Some(batch.segment)) {
                // The network card cannot segment. `state` has noted that.
                Err(_) if self.state.max_gso_segments() == 1 => self.send_apart(to, batch),
                result => self.count(result, batch.count, batch.used),
            }
        }
        batch.clear();
    }

    fn send_apart(&mut self, to: SocketAddr, batch: &Batch) {
        for datagram in batch.datagrams() {
            self.send(to, datagram);
        }
    }

    // Goes past the runtime's readiness, because nothing here waits until the socket can send.
    fn transmit(&self, destination: SocketAddr, contents: &[u8], segment_size: Option<usize>) -> io::Result<()> {
        let transmit = Transmit { destination, ecn: None, contents, segment_size, src_ip: None };
        self.state.try_send((&self.io).into(), &transmit)
    }

    fn count(&mut self, result: io::Result<()>, datagrams: usize, bytes: usize) {
        let datagrams = datagrams as u64;
        match result {
            Ok(()) => {
                self.counters.sent += datagrams;
                self.counters.sent_bytes += bytes as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.counters.dropped_full += datagrams;
            }
            Err(error) => {
                tracing::trace!(%error, "the kernel refused datagrams");
                self.counters.dropped_refused += datagrams;
            }
        }
    }

    /// Waits until a datagram may have arrived.
    pub async fn readable(&self) -> Result<(), Error> {
        self.io.readable().await.map_err(Error::SocketIo)
    }

    /// Receives waiting datagrams into `received`, in place of its former content. Returns false if
    /// none is waiting.
    pub fn try_receive(&self, received: &mut Received) -> Result<bool, Error> {
        received.count = 0;
        let mut chunks = received.buffer.chunks_exact_mut(GRO_BYTES);
        let mut slices: [IoSliceMut<'_>; RECEIVES] =
            std::array::from_fn(|_| IoSliceMut::new(chunks.next().expect("the buffer has RECEIVES chunks")));
        let result =
            self.io.try_io(Interest::READABLE, || self.state.recv((&self.io).into(), &mut slices, &mut received.meta));
        match result {
            Ok(count) => {
                received.count = count;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(Error::SocketIo(error)),
        }
    }
}

/// The buffer for the datagrams that one call receives: 512 KiB. A shard has one.
pub struct Received {
    buffer: Box<[u8]>,
    meta: [RecvMeta; RECEIVES],
    count: usize,
}

impl Default for Received {
    fn default() -> Self {
        Self::new()
    }
}

impl Received {
    /// Makes an empty buffer.
    pub fn new() -> Self {
        Self {
            buffer: vec![0; RECEIVES * GRO_BYTES].into_boxed_slice(),
            meta: [RecvMeta::default(); RECEIVES],
            count: 0,
        }
    }

    /// Returns the datagrams in order, each with the address it came from.
    pub fn datagrams(&mut self) -> impl Iterator<Item = (SocketAddr, &mut [u8])> {
        self.buffer.chunks_exact_mut(GRO_BYTES).zip(&self.meta[..self.count]).flat_map(|(run, meta)| {
            let stride = meta.stride.max(1);
            let length = meta.len.min(run.len());
            run[..length].chunks_mut(stride).map(|datagram| (meta.addr, datagram))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Socket, Socket) {
        let any = "127.0.0.1:0".parse().unwrap();
        (Socket::bind(any).unwrap(), Socket::bind(any).unwrap())
    }

    async fn receive(socket: &Socket, count: usize) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut received = Received::new();
        let mut got = Vec::new();
        while got.len() < count {
            socket.readable().await.unwrap();
            if socket.try_receive(&mut received).unwrap() {
                got.extend(received.datagrams().map(|(from, bytes)| (from, bytes.to_vec())));
            }
        }
        got
    }

    fn fill(batch: &mut Batch, length: usize, byte: u8) {
        batch
            .push::<()>(length, |out| {
                out.fill(byte);
                Ok(out.len())
            })
            .unwrap();
    }

    #[tokio::test]
    async fn a_run_with_a_short_last_datagram_arrives_as_datagrams() {
        let (mut sender, receiver) = pair();
        let to = receiver.local_addr().unwrap();
        let mut batch = Batch::new();
        for byte in 0..20 {
            fill(&mut batch, 1200, byte);
        }
        fill(&mut batch, 100, 20);
        assert!(!batch.takes(100) && batch.count() == 21);
        sender.send_batch(to, &mut batch);
        sender.send(to, b"alone");
        let got = receive(&receiver, 22).await;
        for (byte, (from, datagram)) in got[..21].iter().enumerate() {
            assert_eq!(*from, sender.local_addr().unwrap());
            let length = if byte < 20 { 1200 } else { 100 };
            assert_eq!(*datagram, vec![byte as u8; length]);
        }
        assert_eq!(got[21].1, b"alone");
        assert!(batch.is_empty());
        assert_eq!(sender.counters().sent, 22);
        assert_eq!(sender.counters().sent_bytes, 24_105);
    }

    #[tokio::test]
    async fn several_sockets_share_a_port_that_nobody_else_gets() {
        let bound = Socket::open_all("127.0.0.1:0".parse().unwrap(), 3).unwrap();
        let sockets: Vec<_> = bound.iter().map(|bound| bound.register().unwrap()).collect();
        let address = sockets[0].local_addr().unwrap();
        assert!(sockets.iter().all(|socket| socket.local_addr().unwrap() == address));
        for count in [1, 3] {
            assert!(matches!(Socket::open_all(address, count), Err(Error::Socket { .. })), "a second server");
        }
        let (mut received, mut got) = (Received::new(), [0; 3]);
        for _ in 0..60 {
            let (mut sender, _) = pair();
            sender.send(address, b"here");
            sender.send(address, b"here");
        }
        while got.iter().sum::<usize>() < 120 {
            for (count, socket) in got.iter_mut().zip(&sockets) {
                if socket.try_receive(&mut received).unwrap() {
                    *count += received.datagrams().count();
                }
            }
            tokio::task::yield_now().await;
        }
        assert!(got.iter().all(|count| *count > 0 && *count % 2 == 0), "both of a sender go to one: {got:?}");
    }

    #[tokio::test]
    async fn a_datagram_that_the_kernel_refuses_is_counted() {
        let (mut sender, receiver) = pair();
        drop(receiver);
        let unreachable = "[::1]:9".parse().unwrap(); // The socket is bound to IPv4.
        sender.send(unreachable, b"lost");
        assert_eq!(sender.counters().dropped_refused, 1);
    }

    #[test]
    fn a_batch_takes_equal_datagrams_and_a_shorter_last_one() {
        let mut batch = Batch::new();
        assert!(batch.takes(1200) && !batch.takes(0) && !batch.takes(RUN_BYTES + 1));
        fill(&mut batch, 1000, 1);
        assert!(batch.takes(1000) && batch.takes(1) && !batch.takes(1001));
        assert_eq!(batch.push(1000, |_| Err::<usize, _>("no keys")), Err("no keys"));
        assert_eq!(batch.count(), 1);
        fill(&mut batch, 1001, 2); // It is longer than the others, so it gets no room.
        assert_eq!((batch.count(), batch.bytes().len()), (1, 1000));
        for _ in 1..SEGMENTS {
            fill(&mut batch, 1000, 3);
        }
        assert!(!batch.takes(1000));
        batch.clear();
        assert!(batch.is_empty() && batch.takes(1200));
    }
}
