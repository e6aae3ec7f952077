//! `/healthz` says that the process runs, `/readyz` that it serves. `onmic --healthcheck` asks, for containers without curl.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use axum::Router;
use axum::http::{HeaderValue, StatusCode, header};
use axum::routing::get;
use onmic_config::Config;
use onmic_http::Problem;
use onmic_media::Denial;
use onmic_rtc::Rtc;
use tokio_util::sync::CancellationToken;

/// How long the connection and each read of a health check may take.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);

/// A thread of WebRTC that takes no turn for this long is stuck. It takes one each second.
const STUCK: Duration = Duration::from_secs(3);

/// Returns the routes. They exist only once everything else is up, and the node is ready until it begins to stop.
pub(crate) fn router(rtc: Rtc, stop: CancellationToken) -> Router {
    let ready = async move || readiness(stop.is_cancelled(), rtc.silence(Instant::now()));
    Router::new().route("/healthz", get(|| async { "ok\n" })).route("/readyz", get(ready))
}

/// Returns the routes of a connection that finds no place: whether the node is well, and a refusal of everything else.
pub(crate) fn router_when_full(rtc: Rtc, stop: CancellationToken) -> Router {
    router(rtc, stop).fallback(|| async {
        let sentence = "this server has the most HTTP connections that it takes, in all or from your address \
                        (http.connections, http.connections_per_address); try again soon";
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, sentence).with_denial(Denial::Full);
        problem.with_header(header::RETRY_AFTER, HeaderValue::from_static("5"))
    })
}

/// Returns whether a node is ready. `stops` says that it is stopping, `silence` for how long a thread of WebRTC has taken no turn.
fn readiness(stops: bool, silence: Duration) -> (StatusCode, &'static str) {
    match (stops, silence) {
        (true, _) => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n"),
        (false, silence) if silence > STUCK => (StatusCode::SERVICE_UNAVAILABLE, "a thread of WebRTC is stuck\n"),
        (false, _) => (StatusCode::OK, "ready\n"),
    }
}

/// Asks the server of this configuration whether it is healthy.
pub fn ask(config: &Config) -> anyhow::Result<()> {
    let server = SocketAddr::new(reachable(config.address()?), config.http.port);
    let mut stream = TcpStream::connect_timeout(&server, ASK_TIMEOUT).context("nobody listens")?;
    if config.has_certificate() {
        return Ok(()); // Without a trusted certificate only listening can be checked.
    }
    stream.set_read_timeout(Some(ASK_TIMEOUT))?;
    write!(stream, "GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(4096).read_to_string(&mut answer)?;
    ensure!(answer.split(' ').nth(1) == Some("200"), "the server answered {:?}", answer.lines().next());
    Ok(())
}

/// Returns the address at which this machine reaches a listener on `address`. A listener on `::` is asked by IPv6,
/// because it takes IPv4 only if the system lets it.
fn reachable(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_stops_is_not_ready() {
        assert_eq!(readiness(false, Duration::from_secs(1)).0, StatusCode::OK);
        assert_eq!(readiness(true, Duration::ZERO).0, StatusCode::SERVICE_UNAVAILABLE);
    }

    #[test]
    fn a_node_with_a_thread_that_is_stuck_is_not_ready() {
        assert_eq!(readiness(false, Duration::from_secs(4)).0, StatusCode::SERVICE_UNAVAILABLE);
    }

    #[test]
    fn a_server_on_all_addresses_is_asked_on_the_loopback_address_of_its_family() {
        for (host, asked) in [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("192.0.2.7", "192.0.2.7"), ("::1", "::1")] {
            assert_eq!(reachable(host.parse().unwrap()), asked.parse::<IpAddr>().unwrap());
        }
    }
}
