//! The HTTP listener: HTTP/1.1 and HTTP/2, plain or TLS.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum_server::Handle;
use axum_server::accept::NoDelayAcceptor;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Http};

/// The most connections that may wait to be accepted. Viewers of LL-HLS come in crowds.
const BACKLOG: i32 = 4096;

/// How long the headers of a request may take, and the pause between pings on an idle HTTP/2 connection.
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);

/// How long bytes that were sent may stay unacknowledged, or the peer's window closed, until the system closes the
/// connection (RFC 5482). It ends an FLV player or an RTMP client that stands still, and an event stream that nobody
/// reads.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// The sockets of a node. They are bound before any part starts, so a port in use is found while nothing runs yet.
pub struct Listeners {
    pub http: TcpListener,
    pub rtmp: TcpListener,
    pub rtmps: Option<TcpListener>,
    /// The TLS configuration of HTTP and RTMPS.
    pub tls: Option<Arc<ServerConfig>>,
}

impl Listeners {
    /// Binds the listeners of the configuration.
    pub fn bind(config: &Config) -> anyhow::Result<Self> {
        let address = config.address()?;
        let tls = tls(&config.http)?;
        let http = bind(SocketAddr::new(address, config.http.port))?;
        let rtmp = bind(SocketAddr::new(address, config.rtmp.port))?;
        let rtmps = match config.rtmp.tls_port {
            0 => None,
            port => Some(bind(SocketAddr::new(address, port))?),
        };
        Ok(Self { http, rtmp, rtmps, tls })
    }

    /// Returns where HTTP and RTMP are served. The system chose the ports for which the configuration says 0.
    pub fn addresses(&self) -> anyhow::Result<(SocketAddr, SocketAddr)> {
        let address = |listener: &TcpListener| listener.local_addr().context("a listener has no address");
        Ok((address(&self.http)?, address(&self.rtmp)?))
    }
}

/// Opens a listener on `address`, which nobody else may be using.
fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let open = || {
        let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
        socket.set_reuse_address(true)?; // A restart need not wait until the system forgets the last connections.
        socket.set_nonblocking(true)?;
        socket.set_tcp_user_timeout(Some(STALL_TIMEOUT))?; // The connections inherit it.
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok::<_, std::io::Error>(socket.into())
    };
    open().with_context(|| format!("cannot listen on {address}"))
}

/// Returns the TLS configuration of the certificate in `http`, if there is one.
fn tls(http: &Http) -> anyhow::Result<Option<Arc<ServerConfig>>> {
    if http.tls_certificate.is_empty() {
        return Ok(None);
    }
    let chain = CertificateDer::pem_file_iter(&http.tls_certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("cannot read the certificate {}", http.tls_certificate))?;
    let key =
        PrivateKeyDer::from_pem_file(&http.tls_key).with_context(|| format!("cannot read the key {}", http.tls_key))?;
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("the certificate and the key do not fit together")?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Some(Arc::new(config)))
}

/// Serves `router` until `stop`. Connections then have the time `drain` to finish.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    router: Router,
    drain: Duration,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let handle = Handle::new();
    let ending = handle.clone();
    let watch = tokio::spawn(async move {
        stop.cancelled().await;
        ending.graceful_shutdown(Some(drain));
    });
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let served = match tls {
        Some(tls) => {
            let tls = RustlsAcceptor::new(RustlsConfig::from_config(tls)).acceptor(NoDelayAcceptor);
            let mut server = axum_server::from_tcp(listener)?.acceptor(tls).handle(handle);
            limit(server.http_builder());
            server.serve(service).await
        }
        None => {
            let mut server = axum_server::from_tcp(listener)?.acceptor(NoDelayAcceptor).handle(handle);
            limit(server.http_builder());
            server.serve(service).await
        }
    };
    watch.abort();
    served.context("the HTTP server failed")
}

/// Closes the connection of a client that does not finish its request.
fn limit(builder: &mut Builder<TokioExecutor>) {
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(Some(HEADER_TIMEOUT));
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn connections_inherit_the_stall_timeout_of_their_listener() {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        listener.set_nonblocking(false).unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        assert_eq!(socket2::SockRef::from(&accepted).tcp_user_timeout().unwrap(), Some(STALL_TIMEOUT));
    }
}
