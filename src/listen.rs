//! The TCP listeners of a node, and how many connections each may have.

use std::net::{SocketAddr, TcpListener};
use std::num::NonZero;
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};
use onmic_config::Config;
use onmic_listen::descriptors::{self, Connections};
use onmic_rtc::TcpPort;

use crate::tls::Tls;

/// The most connections that may wait to be accepted. Viewers of LL-HLS come in crowds.
const BACKLOG: i32 = 4096;

/// How long bytes that were sent may stay unacknowledged, or the peer's window closed, until the system closes the
/// connection (RFC 5482). It ends a peer that has gone without a word while nothing more is written to it. Writes that wait
/// have shorter deadlines.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// How much of what a connection sends may wait in the kernel for its peer's turn. Without it a slow peer had megabytes there, of which
/// a third had to be taken before the next write, so that it seemed to take nothing for ten seconds. And whatever waits there is old.
const UNSENT_BYTES: u32 = 128 << 10;

/// The sockets of a node. They are bound before any part starts, so a port in use is found while nothing runs yet.
pub struct Listeners {
    pub http: TcpListener,
    pub rtmp: Option<TcpListener>,
    pub rtmps: Option<TcpListener>,
    /// That of WebRTC over TCP, if connections have any places there.
    pub rtc: Option<TcpListener>,
    /// The TLS configuration of HTTP and RTMPS.
    pub tls: Option<Tls>,
    /// The most connections of each, which the descriptors of this process allow.
    pub capacity: Capacity,
}

/// The most connections of each listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// The most of HTTP.
    pub http: usize,
    /// The most of HTTP that find no place and get one answer.
    pub http_lane: usize,
    /// The most of RTMP, and of RTMPS.
    pub rtmp: usize,
    /// The most of WebRTC over TCP.
    pub rtc: usize,
}

impl Capacity {
    /// The most connections in the lane. They are short, and health checks are among them.
    const LANE: usize = 32;

    /// The least with which a node is of use.
    const LEAST: Self = Self { http: 8, http_lane: 2, rtmp: 2, rtc: 0 };

    /// Lowers the limits of the configuration to what `allowed` descriptors are enough for, of which `open` are open.
    fn within(config: &Config, allowed: usize, open: usize) -> anyhow::Result<Self> {
        let http_lane = (allowed / 16).min(Self::LANE);
        let shards = match config.rtc.shards {
            0 => thread::available_parallelism().map_or(1, NonZero::get),
            shards => shards,
        };
        let left = descriptors::left_for_connections(allowed, open + shards + http_lane);
        // Viewers who need TCP for WebRTC have LL-HLS as well, so it gets an eighth at most.
        let wanted_rtc = config.rtc.tcp.number(config.rtc.port).map_or(0, |_| config.rtc.tcp_connections);
        let rtc = wanted_rtc.min(left / 8);
        let left = left - rtc;
        let listeners = [config.rtmp.port, config.rtmp.tls_port].iter().filter(|port| **port != 0).count();
        let wanted = Connections { http: config.http.connections, rtmp: config.rtmp.connections * listeners };
        let Connections { http, rtmp } = wanted.within(left);
        let capacity = Self { http, http_lane, rtmp: rtmp / listeners.max(1), rtc };
        let least = Self::LEAST;
        ensure!(
            http >= least.http.min(wanted.http) && capacity.rtmp >= least.rtmp.min(wanted.rtmp),
            "this process may open {allowed} files, and {open} are open; that is not enough to serve: raise the limit \
             (ulimit -n, LimitNOFILE= of systemd, --ulimit nofile of docker)"
        );
        if (http, rtmp, rtc) != (wanted.http, wanted.rtmp, wanted_rtc) {
            let sentence = "fewer connections than configured, because this process may open too few files: raise the \
                            limit (LimitNOFILE= of systemd, --ulimit nofile of docker), or lower http.connections, \
                            rtmp.connections and rtc.tcp_connections";
            if http < wanted.http / 2 || rtmp < wanted.rtmp / 2 {
                tracing::warn!(files = allowed, http, rtmp = capacity.rtmp, rtc, "{sentence}");
            } else {
                tracing::info!(files = allowed, http, rtmp = capacity.rtmp, rtc, "{sentence}");
            }
        }
        Ok(capacity)
    }
}

impl Listeners {
    /// Binds the listeners of the configuration.
    pub fn bind(config: &Config) -> anyhow::Result<Self> {
        let address = config.address()?;
        let tls = Tls::new(&config.http)?;
        let http = bind(SocketAddr::new(address, config.http.port))?;
        let unless_off = |port| (port != 0).then(|| bind(SocketAddr::new(address, port))).transpose();
        let (rtmp, rtmps) = (unless_off(config.rtmp.port)?, unless_off(config.rtmp.tls_port)?);
        let rtc = config.rtc.tcp.number(config.rtc.port);
        let rtc = rtc.map(|port| bind(SocketAddr::new(address, port))).transpose()?;
        let capacity = Capacity::within(config, descriptors::raise(), descriptors::open())?;
        let rtc = rtc.filter(|_| capacity.rtc > 0); // A port at which nobody finds a place is not announced.
        Ok(Self { http, rtmp, rtmps, rtc, tls, capacity })
    }

    /// Returns the port of WebRTC over TCP, as candidates state it.
    pub fn rtc_port(&self, config: &Config) -> anyhow::Result<Option<TcpPort>> {
        let Some(listener) = &self.rtc else { return Ok(None) };
        let number = listener.local_addr().context("a listener has no address")?.port();
        Ok(Some(TcpPort { number, is_as_announced: number == config.rtc.port }))
    }

    /// Returns where HTTP is served, and RTMP if it is. The system chose the port of HTTP if the configuration says 0.
    pub fn addresses(&self) -> anyhow::Result<(SocketAddr, Option<SocketAddr>)> {
        let address = |listener: &TcpListener| listener.local_addr().context("a listener has no address");
        Ok((address(&self.http)?, self.rtmp.as_ref().map(address).transpose()?))
    }
}

/// Opens a listener on `address`, which nobody else may be using.
fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let open = || {
        let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
        socket.set_reuse_address(true)?; // A restart need not wait until the system forgets the last connections.
        socket.set_nonblocking(true)?;
        // The connections inherit these two.
        socket.set_tcp_user_timeout(Some(STALL_TIMEOUT))?;
        socket.set_tcp_notsent_lowat(UNSENT_BYTES)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok::<_, std::io::Error>(socket.into())
    };
    open().with_context(|| format!("cannot listen on {address}"))
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn connections_fit_into_the_descriptors_of_the_process() {
        let mut config = Config::default();
        let capacity =
            |config: &Config, allowed| Capacity::within(config, allowed, 20).map_err(|error| error.to_string());
        let plenty = Capacity {
            http: config.http.connections,
            http_lane: 32,
            rtmp: config.rtmp.connections,
            rtc: config.rtc.tcp_connections,
        };
        assert_eq!(capacity(&config, 1 << 20), Ok(plenty));
        let few = capacity(&config, 128).unwrap();
        assert!(few.http + few.http_lane + few.rtmp + few.rtc + 20 < 128, "{few:?}");
        assert!(few.http >= 40 && few.rtmp >= 16, "{few:?}");
        config.rtmp.tls_port = 1936;
        assert_eq!(capacity(&config, 128).unwrap().rtmp, few.rtmp / 2, "RTMP and RTMPS share");
        assert!(capacity(&config, 40).unwrap_err().contains("raise the limit"));
        (config.rtmp.port, config.rtmp.tls_port) = (0, 0);
        assert_eq!(capacity(&config, 128).unwrap().rtmp, 0, "without RTMP all are for HTTP");
    }

    #[test]
    fn a_port_without_places_is_not_announced() {
        let mut config = Config::default();
        (config.http.port, config.rtmp.port, config.rtc.port) = (0, 0, 0);
        assert!(Listeners::bind(&config).unwrap().rtc_port(&config).unwrap().is_some());
        config.rtc.tcp_connections = 0;
        assert_eq!(Listeners::bind(&config).unwrap().rtc_port(&config).unwrap(), None);
    }

    #[test]
    fn connections_inherit_the_stall_timeout_of_their_listener() {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        listener.set_nonblocking(false).unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        assert_eq!(socket2::SockRef::from(&accepted).tcp_user_timeout().unwrap(), Some(STALL_TIMEOUT));
    }
}
