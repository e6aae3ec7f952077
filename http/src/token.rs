//! Who a request comes from: the token that it shows, and the network that it came from.
//!
//! The token is in `Authorization: Bearer` (RFC 6750), or in `?token=` for clients that can set no header.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri, header};
use onmic_media::Shown;
use onmic_media::name::Principal;

/// The sender of a request, as far as the request shows it.
#[derive(Clone, Debug)]
pub struct Sender {
    /// The token, unchecked.
    pub token: Option<Box<str>>,
    /// The network that the request came from. A request that came by no connection, as in a test, is this machine's.
    pub network: Principal,
    /// Whether that is a trusted proxy's, which did not name its client.
    pub is_proxy: bool,
}

/// Marks a request of a trusted proxy that does not name its client. The door puts it on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OfProxy;

impl Sender {
    /// Returns what it shows at a gate.
    pub fn shown(&self) -> Shown<'_> {
        Shown { token: self.token.as_deref(), network: (!self.is_proxy).then_some(&self.network) }
    }

    /// Returns the one whom shares and rates count for where the token names no owner. It is nobody where everybody may be behind
    /// one address.
    pub fn counted(&self) -> Option<Principal> {
        (!self.is_proxy).then(|| self.network.clone())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Sender {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
        let network = Principal::at(peer.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        let is_proxy = parts.extensions.get::<OfProxy>().is_some();
        Ok(Self { token: token(&parts.headers, &parts.uri).map(Into::into), network, is_proxy })
    }
}

/// Returns the token of a request, if it has one. The header wins over the query.
pub fn token<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Option<&'a str> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    let query = || uri.query()?.split('&').find_map(|pair| pair.strip_prefix("token="));
    // The characters of a JWT need no percent-encoding.
    bearer.or_else(query).filter(|token| !token.is_empty())
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
    fn an_empty_token_counts_as_no_token() {
        assert_eq!(token(&HeaderMap::new(), &Uri::from_static("/hls/demo/index.m3u8?token=")), None);
    }
}
