//! Accepts TCP connections of WebRTC, and hands those that begin with a connectivity check to the shard that the check names.
//!
//! One deadline, [`GREETING`], counts from the accept to the end of the first frame. Until then a connection is idle and gives its place
//! to a new one ([`onmic_listen`]). It has a task for that time alone. The shard checks the integrity of the check, and closes the
//! connection if that is not a session's.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use onmic_listen::{Full, Limiter, Limits, Pass, Served, Sparing, TrustedProxies};
use onmic_media::{DropReason, Pace};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout_at;
use tokio_util::sync::CancellationToken;

use super::Rtc;
use crate::tcp::Arrived;
use crate::transport::{framing, named_shard};

/// How long a connection may take for its first check. A browser sends it with the last packet of the TCP handshake.
const GREETING: Duration = Duration::from_secs(5);
/// The most bytes of that check. One of a browser has about 100.
const CHECK_BYTES: usize = 512;

/// The settings of the listener.
#[derive(Clone, Debug)]
pub struct TcpSettings {
    /// The most connections.
    pub limits: Limits,
    /// How fast one address may open them.
    pub pace: Option<Pace>,
    /// The peers that have no limits of their own, because everybody may be behind them.
    pub proxies: TrustedProxies,
}

/// Accepts the TCP connections of `rtc` at `listener` until `stop`.
pub async fn serve_tcp(listener: TcpListener, settings: TcpSettings, rtc: Rtc, stop: CancellationToken) {
    let TcpSettings { limits, pace, proxies } = settings;
    let limiter = Limiter::new(limits, pace, proxies);
    let complaints = Sparing::default();
    let mut served = Served::new(listener, "rtc");
    while let Some((stream, peer)) = served.next(&stop).await {
        let accepted = Instant::now();
        if !rtc.admits(peer.ip()) {
            DropReason::OtherMachine.count(1);
            continue;
        }
        match limiter.admit(peer.ip(), accepted) {
            Ok(pass) => served.spawn(greet(stream, peer, pass, accepted, rtc.clone())),
            Err(full) => {
                let reason = reason(full);
                reason.count(1);
                if let Some(before) = complaints.due(accepted) {
                    tracing::warn!(%peer, reason = reason.name(), ?limits, before, "TCP connections of WebRTC are closed at once");
                }
            }
        }
        limiter.settled().await;
    }
    served.cut_off().await; // The shards have all that are of use.
}

fn reason(full: Full) -> DropReason {
    match full {
        Full::All => DropReason::RtcTcpConnections,
        Full::Address => DropReason::RtcTcpConnectionsOfAddress,
        Full::TooFast => DropReason::RtcTcpConnectionsTooFast,
    }
}

async fn greet(mut stream: TcpStream, from: SocketAddr, pass: Pass, accepted: Instant, rtc: Rtc) {
    let greeted = tokio::select! {
        () = pass.gave_way() => return DropReason::RtcTcpGaveWay.count(1),
        greeted = timeout_at((accepted + GREETING).into(), first_frame(&mut stream)) => greeted,
    };
    let check = match greeted {
        Ok(Ok(check)) => check,
        Ok(Err(_)) => return DropReason::RtcTcpNotACheck.count(1), // It ended, or is of another protocol.
        Err(_) => return DropReason::RtcTcpSilent.count(1),
    };
    let (Some(shard), Ok(stream)) = (named_shard(&check), stream.into_std()) else {
        return DropReason::RtcTcpNotACheck.count(1);
    };
    pass.keep();
    rtc.take_connection(shard, Arrived { stream, from, check, pass }).await;
}

/// Reads the first frame, which is no longer than a check may be. What follows it stays unread.
async fn first_frame(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut header = [0; framing::HEADER];
    stream.read_exact(&mut header).await?;
    let length = usize::from(u16::from_be_bytes(header));
    if !(1..=CHECK_BYTES).contains(&length) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut frame = vec![0; length];
    stream.read_exact(&mut frame).await?;
    Ok(frame)
}
