//! Reads the name and the token in a peer's URL. The name is in the stream key. The token may be in the query of the
//! application or of the key.
//!
//! Clients cut one URL differently. Of `rtmp://host/live/ROOM/PARTICIPANT?token=T` one client sends the application
//! `live` and the key `ROOM/PARTICIPANT?token=T`, another one `live/ROOM` and `PARTICIPANT?token=T`. A person who
//! types the token into the server field makes the client send the application `live?token=T`. All mean the same
//! here. So do spaces and line breaks around a part, which come with copy and paste, and `_definst_` after the
//! application, by which some encoders name its default instance.

use onmic_media::name::InvalidName;
use onmic_media::{FeedName, SourceName};

/// The application that this server answers to unless it is told otherwise.
pub const APPLICATION: &str = "live";

/// The name of the default instance of an application, which is the only one here.
const DEFAULT_INSTANCE: &str = "_definst_";

/// States the applications that this server answers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applications {
    /// Whatever the peer calls it: the first part of the path, if there is one.
    Any,
    /// One of these names, each a path without slashes around it. There is at least one.
    Named(Vec<String>),
}

/// Is a name that no application can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the name of an application: write the path between the host and the stream key, or * for any")]
pub struct InvalidApplication(String);

impl Default for Applications {
    fn default() -> Self {
        Self::Named(vec![APPLICATION.to_owned()])
    }
}

impl Applications {
    /// Takes the names of a configuration, of which `*` means any.
    pub fn new(names: &[String]) -> Result<Self, InvalidApplication> {
        if names.iter().any(|name| name == "*") {
            return Ok(Self::Any);
        }
        let names: Vec<_> = names.iter().map(|name| join(parts(name))).collect();
        let is_plain = |name: &String| !name.is_empty() && !name.contains(['?', '*', '#', ' ']);
        match names.iter().find(|name| !is_plain(name)) {
            Some(name) => Err(InvalidApplication(name.clone())),
            None if names.is_empty() => Err(InvalidApplication(String::new())),
            None => Ok(Self::Named(names)),
        }
    }

    /// Returns the application to tell people.
    pub fn name(&self) -> &str {
        match self {
            Self::Any => APPLICATION,
            Self::Named(names) => names.first().map_or(APPLICATION, String::as_str),
        }
    }

    /// Parses `app` and `tcUrl` of a connect. `None` when this is not an application of this server.
    pub fn find(&self, app: &str, tc_url: Option<&str>) -> Option<Application> {
        let (path, query) = split_query(app);
        let (url, url_query) = split_query(tc_url.unwrap_or_default());
        let path: Vec<_> = match parts(path).next() {
            Some(_) => parts(path).collect(),
            None => parts(url.split_once("://").map_or("", |(_, rest)| rest)).skip(1).collect(), // After the host.
        };
        let length = match self {
            Self::Any => path.len().min(1),
            // The longest, where one is the beginning of another.
            Self::Named(names) => {
                let found = names.iter().filter(|name| parts(name).zip(&path).all(|(name, part)| name == *part));
                found.map(|name| parts(name).count()).filter(|&length| length <= path.len()).max()?
            }
        };
        let key_prefix = Some(join(path.into_iter().skip(length))).filter(|prefix| !prefix.is_empty());
        let token = token(query).or_else(|| token(url_query)).map(str::to_owned);
        Some(Application { key_prefix, token, asked: None })
    }
}

/// Holds the parts of the application that the peer named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Application {
    /// The beginning of the stream key, if the client put it into the application.
    key_prefix: Option<String>,
    token: Option<String>,
    /// The source of the last key that was read.
    asked: Option<SourceName>,
}

impl Application {
    /// Reads the name of a publish or play, and remembers it for [`Application::is_other`].
    pub fn ask(&mut self, key: &str) -> Result<StreamKey, InvalidName> {
        let read = StreamKey::parse(self, key)?;
        self.asked = Some(read.name.clone());
        Ok(read)
    }

    /// Returns whether a key names another source than the last one that was asked for. One that names none does not.
    pub fn is_other(&self, key: Option<&str>) -> bool {
        let key = key.filter(|key| !key.trim().is_empty());
        let named = key.and_then(|key| StreamKey::parse(self, key).ok());
        named.is_some_and(|named| self.asked.as_ref() != Some(&named.name))
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
        let prefix = application.key_prefix.as_deref().unwrap_or_default();
        let mut parts = parts(prefix).chain(parts(path)).peekable();
        parts.next_if_eq(&DEFAULT_INSTANCE);
        let joined = join(parts);
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

/// Returns the parts of a path. Slashes too many, in front, behind or between, mean nothing, and neither does space around
/// a part.
fn parts(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').map(str::trim).filter(|part| !part.is_empty())
}

fn join<'a>(parts: impl Iterator<Item = &'a str>) -> String {
    parts.collect::<Vec<_>>().join("/")
}

fn split_query(text: &str) -> (&str, &str) {
    text.split_once('?').unwrap_or((text, ""))
}

fn token(query: &str) -> Option<&str> {
    query.split('&').find_map(|pair| pair.trim().strip_prefix("token=")).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_for(names: &Applications, app: &str, tc_url: &str, key: &str) -> (String, bool, Option<String>) {
        let application = names.find(app, Some(tc_url)).unwrap();
        let key = StreamKey::parse(&application, key).unwrap();
        (key.name.to_string(), key.names_participant, key.token)
    }

    fn parse(app: &str, tc_url: &str, key: &str) -> (String, bool, Option<String>) {
        parse_for(&Applications::default(), app, tc_url, key)
    }

    fn named(names: &[&str]) -> Applications {
        Applications::new(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn a_url_has_one_meaning_wherever_the_client_splits_it() {
        let expected = ("demo/anna".to_owned(), true, Some("T.1".to_owned()));
        for (app, tc_url, key) in [
            ("live", "rtmp://h/live", "demo/anna?token=T.1"),
            ("live/", "rtmp://h/live/", "/demo//anna/?token=T.1"),
            ("/live/demo", "rtmp://h/live/demo", "anna?x=1&token=T.1"),
            ("live/demo/", "", "/anna?token=T.1"),
            ("live?token=T.1", "", "demo/anna"),
            ("live/?token=T.1", "rtmp://h/live/?token=T.1", "demo/anna"),
            ("live", "rtmp://h/live?token=T.1", "demo/anna"),
            ("live/demo/anna?token=T.1", "", ""),
            ("", "rtmp://h:1935/live?token=T.1", "demo/anna"),
            ("", "rtmp://h:1935/live/demo/?token=T.1", "anna"),
            (" live\n", "", "\tdemo/anna ?token=T.1\r\n"),
            ("live/demo ", "", " anna\n?token=T.1 "),
            ("live ?token=T.1\n", "", "demo / anna\u{a0}"),
            ("live/_definst_", "rtmp://h/live/_definst_", "demo/anna?token=T.1"),
            ("live/_definst_/demo", "", "anna?token=T.1"),
            ("live?token=T.1", "", "_definst_/demo/anna"),
            // ffmpeg cuts `rtmp://h//live/demo/anna` and `rtmp://h/live//demo/anna` like this.
            ("/live", "rtmp://h:1935//live", "demo/anna?token=T.1"),
            ("live/", "rtmp://h:1935/live/", "demo/anna?token=T.1"),
            ("", "rtmp://h//live//demo//?token=T.1", "//anna//"),
            ("//live//demo//", "", "anna?token=T.1"),
        ] {
            assert_eq!(parse(app, tc_url, key), expected, "{app} {tc_url} {key}");
        }
    }

    #[test]
    fn a_room_alone_names_its_host_and_the_token_in_the_key_takes_precedence() {
        assert_eq!(parse("live", "", "demo"), ("demo/host".to_owned(), false, None));
        assert_eq!(parse("live?token=a", "", "demo?token=b").2.as_deref(), Some("b"));
        assert_eq!(parse("live?token=a", "", "demo?token=").2.as_deref(), Some("a"));
    }

    #[test]
    fn a_key_names_another_source_only_if_it_can_be_read() {
        let mut application = Applications::default().find("live/demo", None).unwrap();
        application.ask("anna?token=T").unwrap();
        for same in ["anna", "anna ", "/anna?token=U", "", "a/b/c"] {
            assert!(!application.is_other(Some(same)), "{same:?}");
        }
        assert!(application.is_other(Some("ben")) && !application.is_other(None));
    }

    #[test]
    fn other_applications_and_names_are_refused() {
        let usual = Applications::default();
        assert_eq!(usual.find("vod", None), None);
        assert_eq!(usual.find("livestream", None), None);
        assert_eq!(usual.find("", None), None);
        let application = usual.find("live/demo", None).unwrap();
        assert!(StreamKey::parse(&application, "a/b").is_err());
        assert!(StreamKey::parse(&application, "../x").is_err());
        assert!(StreamKey::parse(&Application::default(), "").is_err());
        for name in ["a b", "a%2f", "_definst_", "é", ".a", "a/.b"] {
            assert!(StreamKey::parse(&Application::default(), name).is_err(), "{name:?} is not a name");
        }
    }

    #[test]
    fn applications_are_those_of_the_configuration() {
        let several = named(&["live", "/stream/", "live/hd"]);
        assert_eq!(several.name(), "live");
        let demo = ("demo/host".to_owned(), false, None);
        for app in ["live", "stream", "stream/", "live/hd"] {
            assert_eq!(parse_for(&several, app, "", "demo"), demo, "{app}");
        }
        assert_eq!(parse_for(&several, "stream/demo", "", "anna").0, "demo/anna");
        assert_eq!(several.find("app", None), None);
        for app in ["anything", "live", "", "x/"] {
            assert_eq!(parse_for(&named(&["*"]), app, "", "demo"), demo, "{app}");
        }
        assert_eq!(parse_for(&Applications::Any, "anything/demo", "", "anna").0, "demo/anna");
        for names in [&[][..], &["".to_owned()], &["a?b".to_owned()], &["live".to_owned(), "/".to_owned()]] {
            assert!(Applications::new(names).is_err(), "{names:?}");
        }
    }
}
