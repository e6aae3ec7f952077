//! `/healthz`: the process runs. `/readyz`: it serves. `onmic --healthcheck` asks, for containers without curl.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, ensure};
use axum::Router;
use axum::routing::get;

use crate::config::Config;

const ASK_TIMEOUT: Duration = Duration::from_secs(2);

/// The routes. They exist only once everything else is up, so both say yes.
pub fn router() -> Router {
    Router::new().route("/healthz", get(|| async { "ok\n" })).route("/readyz", get(|| async { "ready\n" }))
}

/// Asks the server of this configuration whether it is healthy.
pub fn ask(config: &Config) -> anyhow::Result<()> {
    let address = match config.address()? {
        address if address.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        address => address,
    };
    let server = SocketAddr::new(address, config.http.port);
    let mut stream = TcpStream::connect_timeout(&server, ASK_TIMEOUT).context("nobody listens")?;
    if config.has_certificate() {
        return Ok(()); // Listening is all that can be told without trusting the certificate.
    }
    stream.set_read_timeout(Some(ASK_TIMEOUT))?;
    write!(stream, "GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(4096).read_to_string(&mut answer)?;
    ensure!(answer.split(' ').nth(1) == Some("200"), "the server answered {:?}", answer.lines().next());
    Ok(())
}
