//! Reads the name and the token in a peer's URL. The name is in the stream key. The token may be in the query of the
//! application or of the key.
//!
//! Clients cut one URL differently. Of `rtmp://host/live/ROOM/PARTICIPANT?token=T` one client sends the application
//! `live` and the key `ROOM/PARTICIPANT?token=T`, another one `live/ROOM` and `PARTICIPANT?token=T`. A person who
//! types the token into the server field makes the client send the application `live?token=T`. All mean the same
//! here.

use onmic_media::name::InvalidName;
use onmic_media::{FeedName, SourceName};

/// The application of every URL.
pub const APPLICATION: &str = "live";

/// Holds the parts of the application that the peer named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Application {
    /// The beginning of the stream key, if the client put it into the application.
    key_prefix: Option<String>,
    token: Option<String>,
}

impl Application {
    /// Parses `app` and `tcUrl` of a connect. `None` when the application is not [`APPLICATION`].
    pub fn parse(app: &str, tc_url: Option<&str>) -> Option<Self> {
        let (path, query) = split_query(app);
        let path = path.trim_matches('/');
        let (name, prefix) = path.split_once('/').map_or((path, None), |(name, prefix)| (name, Some(prefix)));
        let token = token(query).or_else(|| tc_url.and_then(|url| token(split_query(url).1)));
        (name == APPLICATION).then(|| Self { key_prefix: prefix.map(str::to_owned), token: token.map(str::to_owned) })
    }
}

/// Holds a stream key, joined with its application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamKey {
    /// The name of a room, or of a participant in one.
    pub name: SourceName,
    /// Whether a participant was named. If not, a play means the room's program.
    pub names_participant: bool,
    /// The token, unchecked.
    pub token: Option<String>,
}

impl StreamKey {
    /// Parses the name of a publish or play.
    pub fn parse(application: &Application, key: &str) -> Result<Self, InvalidName> {
        let (path, query) = split_query(key);
        let path = path.trim_matches('/');
        let joined = match application.key_prefix.as_deref() {
            Some(prefix) if path.is_empty() => prefix.to_owned(),
            Some(prefix) => format!("{prefix}/{path}"),
            None => path.to_owned(),
        };
        let token = token(query).map(str::to_owned).or_else(|| application.token.clone());
        Ok(Self { name: joined.parse()?, names_participant: joined.contains('/'), token })
    }
}

impl StreamKey {
    /// Returns the feed that a player of this key gets.
    pub fn feed_name(&self) -> FeedName {
        if self.names_participant {
            FeedName::Source(self.name.clone())
        } else {
            FeedName::Program(self.name.room.clone())
        }
    }
}

fn split_query(text: &str) -> (&str, &str) {
    text.split_once('?').unwrap_or((text, ""))
}

fn token(query: &str) -> Option<&str> {
    query.split('&').find_map(|pair| pair.strip_prefix("token=")).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(app: &str, tc_url: &str, key: &str) -> (String, bool, Option<String>) {
        let application = Application::parse(app, Some(tc_url)).unwrap();
        let key = StreamKey::parse(&application, key).unwrap();
        (key.name.to_string(), key.names_participant, key.token)
    }

    #[test]
    fn a_url_has_one_meaning_wherever_the_client_splits_it() {
        let expected = ("demo/anna".to_owned(), true, Some("T.1".to_owned()));
        assert_eq!(parse("live", "rtmp://h/live", "demo/anna?token=T.1"), expected);
        assert_eq!(parse("live/demo", "rtmp://h/live/demo", "anna?x=1&token=T.1"), expected);
        assert_eq!(parse("live/demo/", "", "/anna?token=T.1"), expected);
        assert_eq!(parse("live?token=T.1", "", "demo/anna"), expected);
        assert_eq!(parse("live", "rtmp://h/live?token=T.1", "demo/anna"), expected);
        assert_eq!(parse("live/demo/anna?token=T.1", "", ""), expected);
    }

    #[test]
    fn a_room_alone_names_its_host_and_the_token_in_the_key_takes_precedence() {
        assert_eq!(parse("live", "", "demo"), ("demo/host".to_owned(), false, None));
        assert_eq!(parse("live?token=a", "", "demo?token=b").2.as_deref(), Some("b"));
        assert_eq!(parse("live?token=a", "", "demo?token=").2.as_deref(), Some("a"));
    }

    #[test]
    fn other_applications_and_names_are_refused() {
        assert_eq!(Application::parse("vod", None), None);
        assert_eq!(Application::parse("livestream", None), None);
        let application = Application::parse("live/demo", None).unwrap();
        assert!(StreamKey::parse(&application, "a/b").is_err());
        assert!(StreamKey::parse(&application, "../x").is_err());
        assert!(StreamKey::parse(&Application::default(), "").is_err());
        for name in ["a b", "a%2f", "é", ".a", "a/.b"] {
            assert!(StreamKey::parse(&Application::default(), name).is_err(), "{name:?} is not a name");
        }
    }
}
