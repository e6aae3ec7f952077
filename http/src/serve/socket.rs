//! The socket of a connection, which the peer has to read.
//!
//! A write that waits has a deadline. It covers whatever is said on the connection: answers, frames of HTTP/2, TLS, a WebSocket. Bytes
//! that the peer has not read by then are thrown away, in the kernel too.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use metrics::Gauge;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use super::Conversation;
use super::answer::Cut;

/// A socket that counts as a connection for as long as it lives, which is longer than the connection's task if it became a WebSocket.
/// So long it also keeps the connection's place.
pub(super) struct Socket {
    stream: TcpStream,
    write_timeout: Duration,
    /// Runs while a write waits.
    waits: Option<Pin<Box<Sleep>>>,
    connections: Gauge,
    conversation: Arc<Conversation>,
}

impl Socket {
    pub(super) fn new(
        stream: TcpStream,
        write_timeout: Duration,
        connections: Gauge,
        conversation: Arc<Conversation>,
    ) -> Self {
        connections.increment(1.0);
        Self { stream, write_timeout, waits: None, connections, conversation }
    }

    /// Puts an end to writes that wait for too long.
    fn bound(&mut self, written: Poll<io::Result<usize>>, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.waits = None;
            return written;
        }
        let waits = self.waits.get_or_insert_with(|| Box::pin(sleep(self.write_timeout)));
        ready!(waits.as_mut().poll(context));
        if !self.conversation.cut() {
            Cut::NotRead.count();
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
        self.bound(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.bound(written, context)
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
