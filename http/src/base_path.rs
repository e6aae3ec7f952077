//! The path under which a proxy shows this server to the world.
//!
//! A server behind `https://example.org/live/` sees requests without `/live`, or with it, as the proxy is set. What it
//! answers has to lead clients back through the proxy, so every absolute path in an answer begins with this one. Nothing
//! else follows from it: routes are the same everywhere, and addresses relative to the one asked for need no help.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Uri};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

const FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// The longest base path, in bytes. It stands before every address in an answer.
const BYTES_MAX: usize = 200;

/// A path such as `/live` or `/media/live`, or nothing at the root of a host. It has only characters that stand for
/// themselves in every part of an answer (RFC 3986, 2.3), and does not end with a slash.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BasePath(Arc<str>);

impl BasePath {
    /// Returns the base path that the proxies before this server state in `X-Forwarded-Prefix`, if it is valid. Each
    /// proxy appends the part that it took off, so the list is read from the outermost proxy to the innermost.
    pub fn forwarded(headers: &HeaderMap) -> Option<Self> {
        let lines = headers.get_all(FORWARDED_PREFIX).iter().map(|line| line.to_str());
        let lines = lines.collect::<Result<Vec<_>, _>>().ok().filter(|lines| !lines.is_empty())?;
        let parts = lines.iter().flat_map(|line| line.split(',')).map(|part| part.trim().parse::<Self>());
        let parts = parts.collect::<Result<Vec<_>, _>>().ok()?;
        parts.iter().map(|part| &*part.0).collect::<String>().parse().ok()
    }

    /// Returns whether this is the root of a host.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the first part of the path. It is empty at the root of a host.
    pub fn first(&self) -> &str {
        self.0.split('/').nth(1).unwrap_or_default()
    }

    /// Returns the address by which clients reach `path`, which is absolute.
    pub fn join(&self, path: &str) -> String {
        format!("{self}{path}")
    }

    /// Returns the path under this one that `path` leads to, if it leads to one. It is empty for the base path itself.
    pub fn strip<'a>(&self, path: &'a str) -> Option<&'a str> {
        if self.is_root() {
            return None;
        }
        path.strip_prefix(&*self.0).filter(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl FromStr for BasePath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let path = text.strip_suffix('/').unwrap_or(text);
        let is_plain = |part: &str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
            !matches!(part, "" | "." | "..") && part.bytes().all(plain)
        };
        let parts = path.strip_prefix('/').map(|parts| parts.split('/').all(is_plain));
        if path.len() > BYTES_MAX || !(path.is_empty() || parts == Some(true)) {
            return Err(format!(
                "{text:?} is not a path such as /live, of letters, digits, \"-\", \".\", \"_\" and \"~\""
            ));
        }
        Ok(Self(path.into()))
    }
}

impl fmt::Display for BasePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for BasePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl Serialize for BasePath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Gets the base path that the door has found for this request.
impl<S: Sync> FromRequestParts<S> for BasePath {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().cloned().unwrap_or_default())
    }
}

/// Returns `uri` with another path. The query stays.
pub(crate) fn with_path(uri: &Uri, path: &str) -> Option<Uri> {
    let mut parts = uri.clone().into_parts();
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    parts.path_and_query = Some(format!("{path}{query}").parse().ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(text: &str) -> BasePath {
        text.parse().unwrap()
    }

    #[test]
    fn a_base_path_has_plain_parts_only() {
        for (text, path) in [("", ""), ("/", ""), ("/live", "/live"), ("/live/", "/live"), ("/a.b/c-d_~", "/a.b/c-d_~")]
        {
            assert_eq!(base(text).to_string(), path);
        }
        let long = format!("/{}", "a".repeat(BYTES_MAX));
        for wrong in [
            "live",
            "//evil.example",
            "/live//",
            "/a//b",
            "/../x",
            "/.",
            "/a b",
            "/a%2f",
            "/a?b",
            "/a#b",
            "/a\"",
            "/<a>",
            "/a:b",
            "/a\\b",
            "https://evil.example",
            "/ä",
            &long,
        ] {
            assert!(wrong.parse::<BasePath>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_prefixes_of_several_proxies_are_joined_from_the_outermost_on() {
        let stated = |lines: &[&str]| {
            let headers = lines.iter().map(|line| (FORWARDED_PREFIX, line.parse().unwrap())).collect();
            BasePath::forwarded(&headers).map(|path| path.to_string())
        };
        assert_eq!(stated(&[]), None);
        assert_eq!(stated(&["/live"]).as_deref(), Some("/live"));
        assert_eq!(stated(&["/"]).as_deref(), Some(""));
        assert_eq!(stated(&["/a, /b/"]).as_deref(), Some("/a/b"));
        assert_eq!(stated(&["/a", "/b"]).as_deref(), Some("/a/b"));
        for wrong in [&["//evil.example"][..], &["/a", "evil"], &["/a/../b"], &[&"/a".repeat(BYTES_MAX)]] {
            assert_eq!(stated(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_path_is_stripped_at_a_whole_part_only() {
        assert_eq!(base("/live").strip("/live/watch/demo"), Some("/watch/demo"));
        assert_eq!(base("/live").strip("/live"), Some(""));
        assert_eq!(base("/live").strip("/lively/watch"), None);
        assert_eq!(base("/live").strip("/watch/live"), None);
        assert_eq!(base("").strip("/watch/demo"), None);
        assert_eq!(base("/live").join("/sessions/1"), "/live/sessions/1");
    }

    #[test]
    fn another_path_keeps_the_query() {
        let uri: Uri = "/live/hls/demo/index.m3u8?token=x".parse().unwrap();
        assert_eq!(with_path(&uri, "/hls/demo/index.m3u8").unwrap(), "/hls/demo/index.m3u8?token=x");
        let absolute: Uri = "http://example.org/live/".parse().unwrap();
        assert_eq!(with_path(&absolute, "/").unwrap(), "http://example.org/");
    }
}
