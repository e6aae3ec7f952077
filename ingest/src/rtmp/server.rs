//! Accepts RTMP and RTMPS connections. Each has one task, and all tasks are awaited at the end.
//!
//! One deadline counts from the accept to the publish or play: for the header of a proxy, the TLS handshake, the RTMP
//! handshake and the commands together. What is published or played keeps its place ([`onmic_listen`]). Players leave an
//! eighth of the places to publishers, and one principal has players in at most half of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use onmic_listen::{Full, Limiter, Limits, Pass, Served, Sparing, TrustedProxies};
use onmic_media::{Asked, DropReason, Gate, Hub, Shares, with_causes};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout_at;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::connection::{self, Connection};
use super::limits::RtmpLimits;
use super::proxy;
use super::stream_key::Applications;
use crate::error::Error;

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
    let limits = Limits { all: config.limits.connections, per_address: config.limits.connections_per_address };
    let limiter = Limiter::new(limits, config.limits.pace, proxies.clone());
    let complaints = Sparing::default();
    let players = Shares::new("players by RTMP", limits.all, limits.all.div_ceil(2));
    let RtmpConfig { limits: rtmp, applications, .. } = config;
    let shared =
        connection::Shared { limits: rtmp, applications, hub, gate, players, proxies: proxies.clone(), shutdown };
    let shared = Arc::new(shared);
    let mut served = Served::new(listener, "rtmp");
    while let Some((stream, peer)) = served.next(&shared.shutdown).await {
        match limiter.admit(peer.ip(), Instant::now()) {
            Ok(pass) => {
                tracing::debug!(%peer, "RTMP connection accepted");
                served.spawn(connect(stream, peer, pass, (tls.clone(), proxies.clone()), shared.clone()));
            }
            Err(full) => {
                let reason = reason(full);
                reason.count(1);
                if let Some(before) = complaints.due(Instant::now()) {
                    tracing::warn!(%peer, reason = reason.name(), ?limits, before, "RTMP connections are closed at once");
                }
            }
        }
        limiter.settled().await;
    }
    served.ended().await;
}

fn reason(full: Full) -> DropReason {
    match full {
        Full::All => DropReason::RtmpConnections,
        Full::Address => DropReason::RtmpConnectionsOfAddress,
        Full::TooFast => DropReason::RtmpConnectionsTooFast,
    }
}

/// Serves one connection, unless another one takes its place while it has no stream.
async fn connect(
    stream: TcpStream,
    peer: SocketAddr,
    pass: Pass,
    layers: (Option<TlsAcceptor>, TrustedProxies),
    shared: Arc<connection::Shared>,
) {
    tokio::select! {
        () = pass.gave_way() => {
            DropReason::RtmpGaveWay.count(1);
            tracing::debug!(%peer, "RTMP connection closed: it had no stream, and its place was needed");
        }
        () = converse(stream, peer, &pass, layers, shared) => {}
    }
}

async fn converse(
    mut stream: TcpStream,
    peer: SocketAddr,
    pass: &Pass,
    (tls, proxies): (Option<TlsAcceptor>, TrustedProxies),
    shared: Arc<connection::Shared>,
) {
    let accepted = Instant::now();
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
    let setup_timeout = shared.limits.setup_timeout;
    let deadline = (accepted + setup_timeout).into();
    let mut peer = peer;
    if proxies.contain(peer.ip()) {
        let header = tokio::select! {
            () = shared.shutdown.cancelled() => return,
            header = timeout_at(deadline, proxy::read_client(&mut stream)) => header,
        };
        match header {
            Ok(Ok(client)) => peer = client.unwrap_or(peer),
            Ok(Err(error)) => return failed(DropReason::RtmpProxyHeader, &Error::Proxy(error), peer),
            Err(_) => return failed(DropReason::RtmpSetupTimeout, &Error::SetupTimeout(setup_timeout), peer),
        }
        if let Err(full) = pass.count_for(peer.ip(), Instant::now()) {
            let reason = reason(full); // It has no place, and is a drop alone.
            reason.count(1);
            return tracing::debug!(%peer, reason = reason.name(), "RTMP connection closed before its handshake");
        }
    }
    let Some(acceptor) = tls else {
        return Connection::new(stream, peer, pass, accepted, shared).run().await;
    };
    let handshake = tokio::select! {
        () = shared.shutdown.cancelled() => return,
        handshake = timeout_at(deadline, acceptor.accept(stream)) => handshake,
    };
    match handshake {
        Ok(Ok(stream)) => Connection::new(stream, peer, pass, accepted, shared).run().await,
        Ok(Err(error)) => failed(DropReason::RtmpTls, &Error::Tls(error), peer),
        Err(_) => failed(DropReason::RtmpSetupTimeout, &Error::SetupTimeout(setup_timeout), peer),
    }
}

fn failed(reason: DropReason, error: &Error, peer: SocketAddr) {
    reason.count(1);
    error.closed().inspect(|closed| closed.count(Asked::Rtmp));
    tracing::debug!(%peer, error = with_causes(error), "RTMP connection closed before its handshake");
}
