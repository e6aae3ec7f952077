//! `POST /api/v1/multitrack-video/config`: tells OBS which qualities to send, and where (see `crate::multitrack`).
//!
//! Whoever may publish under the stream key gets an answer. OBS shows a person nothing of an answer that is not 200, so a key that is refused is
//! answered 200 with a status of its own, and is denied and counted like every other.

use std::net::Ipv6Addr;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

use onmic_http::{Problem, Sender};
use onmic_media::gate::{Action, Gate, Refusal, Shown};
use onmic_media::name::InvalidName;
use onmic_media::{Denial, SourceName};

use super::commands::malformed;
use super::{Api, json};
use crate::multitrack::{self, Answer, Asked, IngestEndpoint};
use crate::random;
use crate::rooms::gate::RoomGate;
use crate::rooms::rate::Doing;

/// The most bytes of a request. One of OBS has 2 to 4 KiB.
pub(super) const BODY_MAX: usize = 64 << 10;

/// The source that a stream key names, and its token.
pub type KeyRead = Result<(SourceName, Option<String>), InvalidName>;

/// How encoders publish by RTMP here.
#[derive(Clone, Debug)]
pub struct RtmpIngest {
    /// The TCP port of RTMP; 0 if there is none.
    pub port: u16,
    /// The TCP port of RTMPS; 0 if there is none.
    pub tls_port: u16,
    /// The path between the host and the stream key.
    pub application: String,
    /// The most that a publisher may send, in bit/s.
    pub bitrate: u64,
    /// Reads a stream key as RTMP does.
    pub read_key: fn(&str) -> KeyRead,
}

impl RtmpIngest {
    /// Returns where to publish for a client that knows this server as `host`. RTMPS is first.
    fn endpoints(&self, host: &str) -> Vec<IngestEndpoint> {
        let of = |protocol: &'static str, scheme: &str, port: u16| {
            let url_template = format!("{scheme}://{host}:{port}/{}/{{stream_key}}", self.application);
            (port != 0).then_some(IngestEndpoint { protocol, url_template })
        };
        [of("RTMPS", "rtmps", self.tls_port), of("RTMP", "rtmp", self.port)].into_iter().flatten().collect()
    }
}

/// Tells an encoder which qualities to send by Enhanced RTMP, and where.
///
/// OBS Studio asks it before it begins ("Enhanced Broadcasting", multitrack video). The stream key in the body says who may publish. A refusal
/// is a `status` of the answer, because OBS shows people that.
#[utoipa::path(post, path = "/api/v1/multitrack-video/config", tag = "media", request_body = Asked,
    responses((status = 200, body = Answer)))]
pub async fn tell_qualities(State(api): State<Api>, sender: Sender, request: Request) -> Result<Response, Problem> {
    let host = host(&request);
    api.keep_rate(sender.counted().as_ref(), Doing::Request)?;
    let bytes = onmic_http::body::read(request, &api).await?;
    let length = bytes.len();
    let asked: Asked =
        json::read(length, move || serde_json::from_slice(&bytes)).await?.map_err(|error| malformed(&error))?;
    let refused = |sentence: &str, denial: Option<Denial>| {
        let mut response = answer(&multitrack::refuse(&asked, sentence, random::id()));
        denial.map(|denial| response.extensions_mut().insert(denial));
        Ok(response)
    };
    let (name, token) = match (api.rtmp.read_key)(asked.authentication.as_deref().unwrap_or_default()) {
        Ok(read) => read,
        Err(invalid) => {
            return refused(&format!("The stream key has to be ROOM or ROOM/PARTICIPANT: {invalid}."), None);
        }
    };
    let shown = Shown { token: token.as_deref().or(sender.shown().token), ..sender.shown() };
    if let Err(refusal) = RoomGate::new(api.gate.clone(), api.rooms.clone()).check(Action::Publish(&name), shown) {
        if let Refusal::Forged(keys) = refusal {
            sender.pay(sender.counted(), keys as f64)?; // It was tried with each of them.
        }
        return refused(&sentence(&refusal), Some(Denial::from(&refusal)));
    }
    let Some(host) = host else {
        return Err(Problem::bad_request("the request has to name this server in the header Host"));
    };
    let endpoints = api.rtmp.endpoints(&host);
    match multitrack::configure(&asked, endpoints, api.rtmp.bitrate, random::id()) {
        Ok(configured) => Ok(answer(&configured)),
        Err(sentence) => refused(&sentence, None),
    }
}

fn answer(said: &Answer) -> Response {
    let mut response = Json(said).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Returns a refusal for somebody who sees OBS.
fn sentence(refusal: &Refusal) -> String {
    match refusal {
        Refusal::TokenMissing => {
            "This server asks for a token. Write it behind the stream key, as in ROOM?token=TOKEN.".to_owned()
        }
        refusal => format!("This stream key may not publish: {refusal}."),
    }
}

/// Returns the host by which the client knows this server, without its port: a name, an address, or one of IPv6 in brackets.
fn host(request: &Request) -> Option<String> {
    let stated = || request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let authority = request.uri().authority().map(|authority| authority.as_str()).or_else(stated)?;
    named(authority)
}

fn named(authority: &str) -> Option<String> {
    /// The longest name (RFC 1035 2.3.4).
    const NAME_MAX: usize = 253;
    if let Some((address, _)) = authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return address.parse::<Ipv6Addr>().ok().map(|address| format!("[{address}]"));
    }
    let name = authority.split(':').next().unwrap_or_default();
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    (is_plain && (1..=NAME_MAX).contains(&name.len())).then(|| name.to_owned())
}

/// Returns an ingest for tests, which reads keys without spaces.
#[cfg(test)]
pub fn rtmp_ingest() -> RtmpIngest {
    let read_key = |key: &str| {
        let (path, query) = key.split_once('?').unwrap_or((key, ""));
        let token = query.split('&').find_map(|pair| pair.strip_prefix("token="));
        Ok((path.parse()?, token.map(str::to_owned)))
    };
    RtmpIngest { port: 1935, tls_port: 0, application: "live".to_owned(), bitrate: 100_000_000, read_key }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_that_of_the_request_without_its_port() {
        for (authority, host) in [
            ("live.example", Some("live.example")),
            ("live.example:8443", Some("live.example")),
            ("192.0.2.7:80", Some("192.0.2.7")),
            ("[2001:db8::1]:8080", Some("[2001:db8::1]")),
            ("", None),
            (":80", None),
            ("a/b", None),
            ("user@live.example", None),
            ("[evil]:80", None),
        ] {
            assert_eq!(named(authority).as_deref(), host, "{authority}");
        }
    }
}
