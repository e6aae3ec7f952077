//! Origins of pages (RFC 6454), as browsers state them in `Origin`, and as they are configured.
//!
//! A page cannot change what its browser states, so a server may refuse by it what pages of other sites send. Other programs
//! state what they like, so an origin gives no right to anybody.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The longest origin in a configuration, in bytes. Each is a word in a header of pages.
const BYTES_MAX: usize = 200;

/// The origin that a browser states: `https://app.example`, `http://[::1]:8080`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    scheme: String,
    host: String,
    /// The port, or that of the scheme. Schemes of applications have none.
    port: Option<u16>,
}

impl Origin {
    /// Reads an origin. `null` stands for one that the browser does not tell, and gives `None`.
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let scheme = scheme.to_ascii_lowercase();
        let (host, port) = host_and_port(rest)?;
        let port = port.or(default_port(&scheme));
        Some(Self { scheme, host, port })
    }

    /// Returns whether a page of this origin came from the server that a request addresses as `host`, with or without port. All
    /// names of loopback are one machine, so `localhost` and `127.0.0.1` are the same server where the port is.
    pub fn is_at(&self, host: &str) -> bool {
        let Some((name, port)) = host_and_port(host) else { return false };
        // A proxy may have taken TLS off, so only the page's own scheme tells which port is meant.
        let is_same = name == self.host || (is_loopback(&name) && is_loopback(&self.host));
        is_same && port.or(default_port(&self.scheme)) == self.port
    }
}

/// Splits `NAME`, `NAME:PORT`, `[ADDRESS]` or `[ADDRESS]:PORT`. The host is in small letters, without a dot at its end.
fn host_and_port(text: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match text.split_once(']') {
        Some((address, "")) => (format!("{address}]"), None),
        Some((address, port)) => (format!("{address}]"), Some(port.strip_prefix(':')?)),
        None => text.split_once(':').map_or((text.to_owned(), None), |(host, port)| (host.to_owned(), Some(port))),
    };
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let port = port.map(str::parse).transpose().ok()?;
    (!host.is_empty()).then_some((host, port))
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

/// One or more origins, as a Content-Security-Policy writes them: `https://app.example`, `https://*.app.example`,
/// `http://localhost:*`, or `*` for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origins {
    text: Box<str>,
    /// `None` for all.
    pattern: Option<Pattern>,
}

/// The parts of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    scheme: String,
    /// The host, or for `*.HOST` the end of it with its dot.
    host: String,
    port: Option<u16>,
    any_port: bool,
}

impl Origins {
    /// Returns whether these are all origins.
    pub fn are_all(&self) -> bool {
        self.pattern.is_none()
    }

    /// Returns whether `origin` is one of them.
    pub fn have(&self, origin: &Origin) -> bool {
        let Some(Pattern { scheme, host, port, any_port }) = &self.pattern else { return true };
        let is_host = if host.starts_with('.') { origin.host.ends_with(&**host) } else { origin.host == *host };
        is_host && *scheme == origin.scheme && (*any_port || *port == origin.port)
    }
}

impl FromStr for Origins {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is not an origin of pages, such as https://app.example, https://*.app.example or http://localhost:*"
            )
        };
        if text == "*" {
            return Ok(Self { text: text.into(), pattern: None });
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:[]".contains(&byte);
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        let (under, rest) = rest.strip_prefix('*').map_or((false, rest), |rest| (true, rest));
        let (rest, any_port) = rest.strip_suffix(":*").map_or((rest, false), |rest| (rest, true));
        let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        if !is_scheme || !rest.bytes().all(plain) || rest.starts_with('.') != under || text.len() > BYTES_MAX {
            return Err(wrong());
        }
        let origin = Origin::parse(&format!("{scheme}://{rest}")).ok_or_else(wrong)?;
        let Origin { scheme, host, port } = origin;
        Ok(Self { text: text.into(), pattern: Some(Pattern { scheme, host, port, any_port }) })
    }
}

impl fmt::Display for Origins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Origins {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl Serialize for Origins {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Returns whether this is a host with or without port that names this machine alone.
pub(crate) fn is_loopback(host: &str) -> bool {
    let bare = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(address, _)| address),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    let name = bare.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost"
        || name.ends_with(".localhost") // RFC 6761, 6.3: it resolves to loopback.
        || bare.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_of_this_server_by_host_and_port() {
        for (origin, host, own) in [
            ("http://localhost:8080", "localhost:8080", true),
            ("http://LOCALHOST:8080", "localhost.:8080", true),
            ("http://[::1]:8080", "[::1]:8080", true),
            ("http://live.example", "live.example", true),
            ("https://live.example", "live.example", true),
            ("https://live.example", "live.example:443", true),
            ("https://live.example:8443", "live.example:8443", true),
            ("http://localhost:3000", "localhost:8080", false),
            ("http://localhost:3000", "localhost", false),
            ("http://localhost", "localhost:8080", false),
            ("http://127.0.0.1:8080", "localhost:8080", true),
            ("http://localhost:8080", "[::1]:8080", true),
            ("http://127.0.0.1:3000", "localhost:8080", false),
            ("http://live.example:8080", "localhost:8080", false),
            ("https://evil.example", "live.example", false),
            ("https://live.example.evil.example", "live.example", false),
            ("https://live.example", "", false),
        ] {
            assert_eq!(Origin::parse(origin).unwrap().is_at(host), own, "{origin} at {host}");
        }
    }

    #[test]
    fn what_is_not_an_origin_is_none() {
        for text in ["null", "", "live.example", "https://", "https://live.example:port", "https://[::1]8080"] {
            assert_eq!(Origin::parse(text), None, "{text}");
        }
    }

    #[test]
    fn configured_origins_have_what_a_policy_of_browsers_takes_them_for() {
        for (configured, stated, has) in [
            ("https://app.example", "https://app.example", true),
            ("https://app.example", "https://app.example:443", true),
            ("https://app.example", "http://app.example", false),
            ("https://app.example", "https://app.example:8443", false),
            ("https://app.example", "https://www.app.example", false),
            ("https://*.app.example", "https://www.app.example", true),
            ("https://*.app.example", "https://app.example", false),
            ("https://*.app.example", "https://evilapp.example", false),
            ("http://localhost:*", "http://localhost:5173", true),
            ("http://localhost:*", "http://localhost", true),
            ("http://localhost:*", "https://localhost:5173", false),
            ("http://[::1]:5173", "http://[::1]:5173", true),
            ("capacitor://localhost", "capacitor://localhost", true),
            ("*", "https://evil.example", true),
        ] {
            let origins: Origins = configured.parse().unwrap();
            assert_eq!(origins.have(&Origin::parse(stated).unwrap()), has, "{configured} has {stated}");
            assert_eq!(origins.to_string(), configured);
        }
    }

    #[test]
    fn what_a_browser_would_not_state_is_refused_with_a_sentence() {
        for text in [
            "",
            "app.example",
            "https://",
            "https://app.example/",
            "https://app.example/path",
            "https://*",
            "https://*app.example",
            "https://.app.example",
            "https://app.example; script-src *",
            "https://app.example 'unsafe-inline'",
            "null",
        ] {
            let refused = text.parse::<Origins>().unwrap_err();
            assert!(refused.contains("is not an origin of pages"), "{text}: {refused}");
        }
    }
}
