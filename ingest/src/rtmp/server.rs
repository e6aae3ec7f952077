//! Accepts RTMP and RTMPS connections. Each has one task, and all tasks are awaited at the end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use onmic_media::{DropReason, Gate, Hub};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::connection::{self, Connection};
use super::limits::RtmpLimits;
use super::proxy::{self, TrustedProxies};
use super::stream_key::Applications;
use crate::error::Error;

/// The pause after an accept that failed for lack of file descriptors or memory. Without it the loop would only use
/// CPU.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Configures the server.
#[derive(Clone, Debug, Default)]
pub struct RtmpConfig {
    /// The limits and times.
    pub limits: RtmpLimits,
    /// The applications that are answered to.
    pub applications: Arc<Applications>,
    /// The TLS configuration of RTMPS. Without it the server speaks plain RTMP.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// The proxies that may name the client's address by the PROXY protocol.
    pub proxies: TrustedProxies,
}

/// Serves `listener` until `shutdown`, then says goodbye to every peer and returns when the last has gone. Call it
/// once per listener; they may share hub, gate and token.
pub async fn serve(
    listener: TcpListener,
    config: RtmpConfig,
    hub: Arc<Hub>,
    gate: Arc<dyn Gate>,
    shutdown: CancellationToken,
) {
    let tls = config.tls.map(TlsAcceptor::from);
    let proxies = config.proxies;
    let shared =
        Arc::new(connection::Shared { limits: config.limits, applications: config.applications, hub, gate, shutdown });
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = shared.shutdown.cancelled() => break,
            Some(ended) = connections.join_next() => {
                report(ended);
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(_) if connections.len() >= shared.limits.connections => {
                DropReason::RtmpConnections.count(1);
                tracing::warn!(limit = shared.limits.connections, "RTMP connection refused: the limit is reached");
            }
            Ok((stream, peer)) => {
                tracing::debug!(%peer, "RTMP connection accepted");
                connections.spawn(connect(stream, peer, (tls.clone(), proxies.clone()), shared.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "RTMP accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    while let Some(ended) = connections.join_next().await {
        report(ended);
    }
}

async fn connect(
    mut stream: TcpStream,
    peer: SocketAddr,
    (tls, proxies): (Option<TlsAcceptor>, TrustedProxies),
    shared: Arc<connection::Shared>,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
    let setup_timeout = shared.limits.setup_timeout;
    let mut peer = peer;
    if proxies.contain(peer.ip()) {
        let header = tokio::select! {
            () = shared.shutdown.cancelled() => return,
            header = tokio::time::timeout(setup_timeout, proxy::read_client(&mut stream)) => header,
        };
        match header {
            Ok(Ok(client)) => peer = client.unwrap_or(peer),
            Ok(Err(error)) => return failed(DropReason::RtmpProxyHeader, &Error::Proxy(error), peer),
            Err(_) => return failed(DropReason::RtmpSetupTimeout, &Error::SetupTimeout(setup_timeout), peer),
        }
    }
    let Some(acceptor) = tls else {
        return Connection::new(stream, peer, shared).run().await;
    };
    let handshake = tokio::select! {
        () = shared.shutdown.cancelled() => return,
        handshake = tokio::time::timeout(setup_timeout, acceptor.accept(stream)) => handshake,
    };
    match handshake {
        Ok(Ok(stream)) => Connection::new(stream, peer, shared).run().await,
        Ok(Err(error)) => failed(DropReason::RtmpTls, &Error::Tls(error), peer),
        Err(_) => failed(DropReason::RtmpSetupTimeout, &Error::SetupTimeout(setup_timeout), peer),
    }
}

fn failed(reason: DropReason, error: &Error, peer: SocketAddr) {
    reason.count(1);
    tracing::debug!(%peer, error = connection::chain(error), "RTMP connection closed before its handshake");
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "the task of an RTMP connection failed");
    }
}
