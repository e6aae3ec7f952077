//! Who a request comes from: the token that it shows, and the network that it came from.
//!
//! The token is in `Authorization: Bearer` (RFC 6750). Browsers can set no header of a WebSocket but the list of the subprotocols
//! that they offer (RFC 6455 11.3.4), so there `token.…` may stand beside [`SOCKET_PROTOCOL`], as in
//! `new WebSocket(url, ['onmic.v1', `token.${jwt}`])`. For clients that can do neither it is in `?token=`, which proxies log.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri, header};
use onmic_media::name::Principal;
use onmic_media::{Shown, TooFast};

use crate::Connection;
use crate::toll::Toll;

/// The subprotocol of WebSockets, which is the one that the server takes of those that are offered.
pub const SOCKET_PROTOCOL: &str = "onmic.v1";

/// The sender of a request, as far as the request shows it.
#[derive(Clone, Debug)]
pub struct Sender {
    /// The token, unchecked.
    pub token: Option<Box<str>>,
    /// The network that the request came from. A request that came by no connection, as in a test, is this machine's.
    pub network: Principal,
    /// Whether that is a trusted proxy's, which did not name its client.
    pub is_proxy: bool,
    /// The connection that the request came by. `None` if it came by none, as in a test.
    pub connection: Option<Connection>,
    /// What the request costs. `None` for one that came through no door, as in a test.
    toll: Option<Toll>,
}

/// Marks a request of a trusted proxy that does not name its client. The door puts it on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OfProxy;

impl Sender {
    /// Returns what it shows at a gate.
    pub fn shown(&self) -> Shown<'_> {
        Shown { token: self.token.as_deref(), network: (!self.is_proxy).then_some(&self.network) }
    }

    /// Returns the one whom shares and rates count for where the token names no owner.
    pub fn counted(&self) -> Option<Principal> {
        self.shown().network.cloned()
    }

    /// Returns who pays for what is asked with a token of this owner: the owner at the network that the request came from, because an
    /// audience may share a token. Without an owner it is the network. Nobody pays where everybody may be behind one address.
    pub fn payer(&self, owner: Option<&Principal>) -> Option<Principal> {
        let network = self.counted()?;
        match (owner, &network) {
            (Some(Principal::Token(owner)), Principal::Network(address)) => {
                Some(Principal::Token(format!("{owner}@{address}").into()))
            }
            _ => Some(network),
        }
    }

    /// Lets a [payer](Self::payer) pay for the request, which costs as much as this many small ones. A request that its network has paid
    /// for at the door, because no token is shown, costs that network nothing more.
    pub fn pay(&self, payer: Option<Principal>, cost: f64) -> Result<(), TooFast> {
        let (Some(toll), Some(payer)) = (&self.toll, payer) else { return Ok(()) };
        let cost = if self.token.is_none() { cost - 1.0 } else { cost };
        toll.pay(payer, cost, Instant::now())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Sender {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
        let network = Principal::at(peer.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        let is_proxy = parts.extensions.get::<OfProxy>().is_some();
        let (connection, toll) = (parts.extensions.get().cloned(), parts.extensions.get().cloned());
        Ok(Self { token: token(&parts.headers, &parts.uri).map(Into::into), network, is_proxy, connection, toll })
    }
}

/// Returns what a WebSocket offers as a subprotocol that begins with `prefix`, without the prefix.
pub fn offered<'a>(headers: &'a HeaderMap, prefix: &str) -> Option<&'a str> {
    let lists = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).find_map(|protocol| protocol.trim().strip_prefix(prefix))
}

/// Returns the token of a request, if it has one. Headers win over the query.
pub fn token<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Option<&'a str> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    let query = || uri.query()?.split('&').find_map(|pair| pair.strip_prefix("token="));
    // The characters of a JWT need no percent-encoding.
    bearer.or_else(|| offered(headers, "token.")).or_else(query).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn the_header_wins_over_the_query() {
        let uri = Uri::from_static("/whip/demo?a=1&token=from-query");
        let mut headers = HeaderMap::new();
        assert_eq!(token(&headers, &uri), Some("from-query"));
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static("bearer from-header"));
        assert_eq!(token(&headers, &uri), Some("from-header"));
    }

    #[test]
    fn a_websocket_brings_the_token_among_its_subprotocols() {
        let uri = Uri::from_static("/api/v1/rooms/demo/events?token=from-query");
        for (offered, expected) in [
            ("onmic.v1, token.a.b-c_d", "a.b-c_d"),
            ("onmic.v1,token.a.b-c_d", "a.b-c_d"),
            ("token.a.b-c_d", "a.b-c_d"),
            ("onmic.v1", "from-query"),
            ("", "from-query"),
        ] {
            let headers = [(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(offered))].into_iter().collect();
            assert_eq!(token(&headers, &uri), Some(expected), "{offered}");
        }
        let mut headers = HeaderMap::new();
        headers.append(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("onmic.v1"));
        headers.append(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("key.4f, token.in-a-line-of-its-own"));
        assert_eq!(token(&headers, &uri), Some("in-a-line-of-its-own"));
        assert_eq!(offered(&headers, "key."), Some("4f"));
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer from-header"));
        assert_eq!(token(&headers, &uri), Some("from-header"));
    }

    #[test]
    fn an_empty_token_counts_as_no_token() {
        assert_eq!(token(&HeaderMap::new(), &Uri::from_static("/hls/demo/index.m3u8?token=")), None);
    }
}
