//! The socket of a connection, which the peer has to read.
//!
//! A write that *waits* has found no room, because the peer takes what there is more slowly than it is written. While the peer goes on
//! taking something, the connection keeps its place, also where hyper has buffered the whole answer and forgotten it. After [`STALLED`]
//! it *stands still* and keeps its place no more.
//!
//! A write that waits has a deadline, too. It covers whatever is said on the connection: answers, frames of HTTP/2, TLS, a WebSocket.
//! Bytes that the peer has not read by then are thrown away, in the kernel too. Whoever drives a WebSocket counts that.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use metrics::Gauge;
use onmic_media::{Asked, Closed};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

use super::answer::{Cut, STALLED};
use super::{Conversation, Keeping, Place};

/// A socket that counts as a connection for as long as it lives, which is longer than the connection's task if it became a WebSocket.
/// So long it also keeps the connection's place.
pub(super) struct Socket {
    stream: TcpStream,
    write_timeout: Duration,
    waits: Option<Waits>,
    /// Keeps the place while the peer takes what was written.
    keeping: Option<Keeping>,
    connections: Gauge,
    conversation: Arc<Conversation>,
}

/// A write that waits.
struct Waits {
    since: Instant,
    /// Runs until the connection stands still, and then until the deadline.
    timer: Pin<Box<Sleep>>,
}

impl Socket {
    pub(super) fn new(
        stream: TcpStream,
        write_timeout: Duration,
        connections: Gauge,
        conversation: Arc<Conversation>,
    ) -> Self {
        connections.increment(1.0);
        Self { stream, write_timeout, waits: None, keeping: None, connections, conversation }
    }

    /// Follows a write of `length` bytes. Puts an end to writes that wait for too long.
    fn follow(
        &mut self,
        written: Poll<io::Result<usize>>,
        length: usize,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let Self { write_timeout, waits, keeping, conversation, .. } = self;
        if let Poll::Ready(taken) = written {
            if waits.take().is_some() {
                conversation.stands_still.store(false, Ordering::Relaxed);
            }
            // The rest of what was offered is written next, and waits again.
            if !taken.as_ref().is_ok_and(|taken| *taken < length) {
                *keeping = None;
            }
            return Poll::Ready(taken);
        }
        let waits = waits.get_or_insert_with(|| {
            // Before the first request it is a handshake, and the lane keeps no places.
            if keeping.is_none() && conversation.has_asked() && conversation.place == Place::AmongAll {
                *keeping = Some(Keeping::begin(conversation.clone()));
            }
            let since = Instant::now();
            Waits { since, timer: Box::pin(sleep_until(since + STALLED.min(*write_timeout))) }
        });
        ready!(waits.timer.as_mut().poll(context));
        let deadline = waits.since + *write_timeout;
        if waits.timer.deadline() < deadline {
            *keeping = None;
            conversation.stands_still.store(true, Ordering::Relaxed);
            waits.timer.as_mut().reset(deadline);
            ready!(waits.timer.as_mut().poll(context));
        }
        let is_idle = conversation.requests.lock().open == 0;
        if !conversation.cut() && !conversation.is_web_socket() {
            Cut::NotRead.count();
            if is_idle {
                Closed::Slow.count(Asked::Http); // Else the answers that it ends count.
            }
        }
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.connections.decrement(1.0);
        if self.conversation.is_cut()
            && let Err(error) = self.stream.set_zero_linger()
        {
            tracing::debug!(%error, "a connection could not be reset");
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.follow(written, bytes.len(), context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.follow(written, slices.iter().map(|slice| slice.len()).sum(), context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
