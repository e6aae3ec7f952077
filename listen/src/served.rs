//! The connections of one listener: each has a task, and all tasks are awaited at the end.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use onmic_media::life::count_death;

use crate::listener::Listener;

/// A listener and the tasks of its connections. Their number is bounded by the [`Limiter`](crate::Limiter) that admits them.
pub struct Served {
    /// `None` once the listener is closed.
    listener: Option<Listener>,
    tasks: JoinSet<()>,
    protocol: &'static str,
}

impl Served {
    /// Serves `socket`. Log lines call its connections by their `protocol`.
    pub fn new(socket: TcpListener, protocol: &'static str) -> Self {
        Self { listener: Some(Listener::new(socket, protocol)), tasks: JoinSet::new(), protocol }
    }

    /// Waits for the next connection. `None` after `stop`: then the listener is closed.
    pub async fn next(&mut self, stop: &CancellationToken) -> Option<(TcpStream, SocketAddr)> {
        loop {
            let listener = self.listener.as_mut()?;
            tokio::select! {
                () = stop.cancelled() => self.listener = None,
                Some(ended) = self.tasks.join_next() => report(self.protocol, ended),
                accepted = listener.accept() => return Some(accepted),
            }
        }
    }

    /// Starts the task of a connection.
    pub fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Waits until all connections have ended.
    pub async fn ended(&mut self) {
        while let Some(ended) = self.tasks.join_next().await {
            report(self.protocol, ended);
        }
    }

    /// Cuts off the connections that are left.
    pub async fn cut_off(&mut self) {
        self.tasks.shutdown().await;
    }
}

fn report(protocol: &'static str, ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        count_death("connection");
        tracing::error!(protocol, %error, "the task of a connection failed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn connections_come_until_the_stop_and_one_that_panics_costs_itself() {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let (mut served, stop) = (Served::new(socket, "test"), CancellationToken::new());
        for fails in [true, false] {
            let _client = TcpStream::connect(address).await.unwrap();
            let (stream, _) = served.next(&stop).await.unwrap();
            served.spawn(async move {
                let _stream = stream;
                assert!(!fails, "a fault of the task");
            });
        }
        stop.cancel();
        assert!(served.next(&stop).await.is_none());
        assert!(TcpStream::connect(address).await.is_err(), "the listener is closed");
        served.ended().await;
    }
}
