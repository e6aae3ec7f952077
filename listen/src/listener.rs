//! A listener that goes on when the process has no file descriptor left.
//!
//! The connections that wait to be accepted keep such a process busy, and their peers wait without an answer. So the listener
//! holds one descriptor back. When there is no other, it gives it up for a moment to accept a connection and close it.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use onmic_media::DropReason;
use rustix::io::Errno;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use crate::sparing::Sparing;

/// The pause after an accept that failed. Without it the loop would only use CPU.
const PAUSE: Duration = Duration::from_millis(50);

/// A file that is always there, and whose descriptor costs nothing.
const SPARE: &str = "/dev/null";

/// A TCP listener with a descriptor in reserve.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    protocol: &'static str,
    spare: Option<File>,
    complaints: Sparing,
}

impl Listener {
    /// Accepts connections at `socket`. Log lines call them by their `protocol`.
    pub fn new(socket: TcpListener, protocol: &'static str) -> Self {
        Self { socket, protocol, spare: File::open(SPARE).ok(), complaints: Sparing::default() }
    }

    /// Waits for the next connection. Dropping the future loses none.
    pub async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            match self.socket.accept().await {
                Ok(accepted) => return accepted,
                Err(error) if is_of_the_connection(&error) => {}
                Err(error) => self.recover(&error).await,
            }
        }
    }

    async fn recover(&mut self, error: &io::Error) {
        if let Some(before) = self.complaints.due(Instant::now()) {
            let protocol = self.protocol;
            tracing::warn!(protocol, %error, before, "no connection can be accepted; those that wait are closed");
        }
        if is_out_of_descriptors(error) && self.spare.take().is_some() {
            // The connection that waits is there, or another thread has taken the descriptor.
            if let Ok(Ok(refused)) = timeout(PAUSE, self.socket.accept()).await {
                DropReason::NoDescriptor.count(1);
                drop(refused);
            }
            self.spare = File::open(SPARE).ok();
            if self.spare.is_some() {
                return;
            }
        }
        sleep(PAUSE).await;
        self.spare = self.spare.take().or_else(|| File::open(SPARE).ok());
    }
}

/// Returns whether the connection that waited was at fault, so that the next one may do better.
fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Returns whether this process (EMFILE) or the machine (ENFILE) has no descriptor left.
fn is_out_of_descriptors(error: &io::Error) -> bool {
    [Errno::MFILE, Errno::NFILE].iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    fn out_of_descriptors() -> io::Error {
        io::Error::from_raw_os_error(Errno::MFILE.raw_os_error())
    }

    #[tokio::test]
    async fn without_a_descriptor_a_connection_is_accepted_and_closed() {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let mut listener = Listener::new(socket, "test");
        let mut client = TcpStream::connect(address).await.unwrap();
        listener.recover(&out_of_descriptors()).await;
        let read = client.read(&mut [0]).await;
        assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
        assert!(listener.spare.is_some());
        let next = TcpStream::connect(address).await.unwrap();
        let (_accepted, peer) = listener.accept().await;
        assert_eq!(peer, next.local_addr().unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn an_accept_that_goes_on_failing_is_tried_again_after_a_pause() {
        let mut listener = Listener::new(TcpListener::bind("127.0.0.1:0").await.unwrap(), "test");
        listener.spare = None;
        listener.recover(&io::Error::from_raw_os_error(Errno::NOMEM.raw_os_error())).await;
        assert!(listener.spare.is_some(), "the reserve is filled again");
    }

    #[test]
    fn a_connection_that_has_gone_again_is_no_fault_of_the_listener() {
        assert!(is_of_the_connection(&io::Error::from_raw_os_error(Errno::CONNABORTED.raw_os_error())));
        assert!(!is_of_the_connection(&out_of_descriptors()));
    }
}
