//! The ICE servers that clients get in `Link` headers (RFC 9725 4.6), with credentials of TURN that are good for a time
//! (draft-uberti-behave-turn-rest).
//!
//! A name of TURN states when it ends, and its password is the HMAC of the name with a secret that the TURN server has too. So nothing is
//! kept of those that were given, here or there. They are given to clients who may use the endpoint, and each gets its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use axum::http::{HeaderMap, HeaderValue, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use onmic_media::Calendar;
use parking_lot::Mutex;

/// The ICE servers of a node.
#[derive(Clone)]
pub struct IceServers {
    /// The addresses of those that ask for no credentials.
    pub plain: Arc<[String]>,
    /// The servers of TURN that share a secret with the node.
    pub turn: Option<Arc<Turn>>,
}

/// The servers of TURN.
pub struct Turn {
    urls: Vec<String>,
    /// How long credentials are good.
    lifetime: Duration,
    calendar: Arc<Calendar>,
    secret: Mutex<hmac::Key>,
}

impl Turn {
    /// Gives credentials for the servers at `urls`, which last for `lifetime` by the dates of `calendar`.
    pub fn new(urls: Vec<String>, secret: &[u8], lifetime: Duration, calendar: Arc<Calendar>) -> Self {
        Self { urls, lifetime, calendar, secret: Mutex::new(key(secret)) }
    }

    /// Uses another secret from now on.
    pub fn replace_secret(&self, secret: &[u8]) {
        *self.secret.lock() = key(secret);
    }

    /// Returns the links to the servers, with one name and password for all of them.
    fn links(&self, until: u64, id: u64) -> impl Iterator<Item = String> {
        let username = format!("{until}:{id:016x}");
        let tag = hmac::sign(&self.secret.lock(), username.as_bytes());
        let credential = STANDARD.encode(tag.as_ref());
        self.urls.iter().map(move |url| {
            format!(
                "<{url}>; rel=\"ice-server\"; username=\"{username}\"; credential=\"{credential}\"; credential-type=\"password\""
            )
        })
    }
}

/// The HMAC with SHA-1 is what servers of TURN know.
fn key(secret: &[u8]) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret)
}

impl IceServers {
    /// States the servers to a client that may use the endpoint.
    pub(crate) fn state(&self, headers: &mut HeaderMap, now: Instant) {
        let plain = self.plain.iter().map(|server| format!("<{server}>; rel=\"ice-server\""));
        let turn = self.turn.iter().flat_map(|turn| {
            let until = turn.calendar.at(now).0 / 1_000_000 + turn.lifetime.as_secs();
            turn.links(until, rand::random())
        });
        for link in plain.chain(turn) {
            // The configuration takes no address that does not fit into a header.
            headers.extend(HeaderValue::from_str(&link).ok().map(|link| (header::LINK, link)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use onmic_media::NodeClock;

    use super::*;

    #[test]
    fn a_name_of_turn_says_when_it_ends_and_its_password_is_what_coturn_computes() {
        let now = Instant::now();
        let clock = NodeClock::new(now, UNIX_EPOCH + Duration::from_secs(1_795_000_000));
        let urls = vec!["turn:turn.example.org:3478?transport=udp".into(), "turns:turn.example.org:443".into()];
        let turn = Turn::new(urls, b"north", Duration::from_secs(3600), Arc::new(Calendar::new(clock)));
        let links: Vec<_> = turn.links(1_795_003_600, 7).collect();
        // printf %s 1795003600:0000000000000007 | openssl dgst -sha1 -hmac north -binary | base64
        let credentials = "username=\"1795003600:0000000000000007\"; credential=\"xem+BazO6B6LXIUIovebIwhzrg4=\"; credential-type=\"password\"";
        assert_eq!(links[0], format!("<turn:turn.example.org:3478?transport=udp>; rel=\"ice-server\"; {credentials}"));
        assert_eq!(links[1], format!("<turns:turn.example.org:443>; rel=\"ice-server\"; {credentials}"));

        let servers = IceServers { plain: vec!["stun:stun.example.org".to_owned()].into(), turn: Some(Arc::new(turn)) };
        let mut headers = HeaderMap::new();
        servers.state(&mut headers, now);
        let stated: Vec<_> = headers.get_all(header::LINK).iter().map(|link| link.to_str().unwrap()).collect();
        assert_eq!((stated.len(), stated[0]), (3, "<stun:stun.example.org>; rel=\"ice-server\""));
        assert!(stated[1].contains("username=\"1795003600:"), "{}", stated[1]);
        let again = &mut HeaderMap::new();
        servers.state(again, now);
        assert_ne!(again.get_all(header::LINK).iter().nth(1), headers.get_all(header::LINK).iter().nth(1));

        let turn = servers.turn.unwrap();
        turn.replace_secret(b"south");
        assert_ne!(turn.links(1_795_003_600, 7).next(), Some(links[0].clone()));
    }
}
