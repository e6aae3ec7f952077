//! The configuration: one struct for the file, the flags and the environment.
//!
//! `onmic.toml` at the root of the repository documents every option with its default. It is embedded, its comments are
//! the help of the flags, and a test keeps it equal to `Config::default()`. All sources are merged as a tree of TOML
//! values before anything is interpreted. A flag wins over the environment, the environment over the file, and the file
//! over the defaults.

#![allow(missing_docs, reason = "onmic.toml documents each option, and an error is a sentence")]

mod auth;
mod error;
mod hls;
mod http;
mod ingest;
mod limits;
mod log;
mod mixer;
mod option;
mod paths;
mod rooms;
mod rtc;
mod rtmp;
mod state;
mod turn;
mod variables;
mod webhooks;

use std::env;
use std::ffi::OsString;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use clap::ArgMatches;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

pub use auth::Auth;
pub use error::ConfigError;
pub use hls::{Hls, LatencyProfile};
pub use http::Http;
pub use ingest::Ingest;
pub use log::Log;
pub use mixer::Mixer;
pub use option::command;
pub use rooms::{Rooms, Timeouts};
pub use rtc::{Rtc, TcpPort};
pub use rtmp::Rtmp;
pub use state::State;
pub use turn::Turn;
pub use webhooks::Webhooks;

use option::options;

/// The configuration of a node; `onmic.toml` says what each option means.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The address of every listener, or `auto`.
    pub host: String,
    /// How long sessions have to finish when the node stops.
    #[serde(with = "humantime_serde")]
    pub drain: Duration,
    /// The logs.
    pub log: Log,
    /// The tokens.
    pub auth: Auth,
    /// The HTTP listener, and the certificate that it shares with RTMPS.
    pub http: Http,
    /// The sources of all protocols.
    pub ingest: Ingest,
    /// The RTMP listeners.
    pub rtmp: Rtmp,
    /// The sessions of WebRTC.
    pub rtc: Rtc,
    /// The servers of TURN that clients may use.
    pub turn: Turn,
    /// The playlists of LL-HLS.
    pub hls: Hls,
    /// The derived tracks and mixed programs.
    pub mixer: Mixer,
    /// The rooms, and the settings of new ones.
    pub rooms: Rooms,
    /// The receiver of events.
    pub webhooks: Webhooks,
    /// What a restart keeps.
    pub state: State,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            host: "auto".into(),
            drain: Duration::from_secs(5),
            log: Log::default(),
            auth: Auth::default(),
            http: Http::default(),
            ingest: Ingest::default(),
            rtmp: Rtmp::default(),
            rtc: Rtc::default(),
            turn: Turn::default(),
            hls: Hls::default(),
            mixer: Mixer::default(),
            rooms: Rooms::default(),
            webhooks: Webhooks::default(),
            state: State::default(),
        }
    }
}

impl Config {
    /// Returns the environment variables that begin like an option, and are nobody's mistake.
    pub fn ignored_variables() -> Result<Vec<String>, ConfigError> {
        let text = |text: OsString| text.to_string_lossy().into_owned();
        variables::ignored(&options(), env::vars_os().map(|(name, value)| (text(name), text(value))))
    }

    /// Loads the configuration of `matches` of [`command`], the environment and the file that they name.
    pub fn load(matches: &ArgMatches) -> Result<Self, ConfigError> {
        Self::ignored_variables()?;
        let mut tree = match matches.get_one::<PathBuf>("config") {
            Some(path) => read(path)?,
            None => Table::new(),
        };
        for option in options() {
            // clap returns the flag, or else the environment variable.
            if let Some(text) = matches.get_one::<String>(&option.flag) {
                let value = option.parse(text).map_err(|sentence| ConfigError::Override {
                    name: format!("--{} (or {})", option.flag, option.variable),
                    sentence,
                })?;
                insert(&mut tree, &option.path, value);
            }
        }
        let empty = options().into_iter().map(|option| option.path).find(|path| has_empty_entry(&tree, path));
        if let Some(path) = empty {
            return Err(ConfigError::EmptyEntry(path.join(".")));
        }
        let config = Self::deserialize(Value::Table(tree)).map_err(|error| ConfigError::Invalid(Box::new(error)))?;
        config.check()?;
        config.check_paths(matches.get_one::<PathBuf>("config").map(PathBuf::as_path))?;
        Ok(config)
    }

    /// Returns the address that all listeners bind. Where it is loopback, WebRTC has the other addresses of this machine too.
    pub fn address(&self) -> Result<IpAddr, ConfigError> {
        let is_open = self.auth.is_open();
        if self.host == "auto" {
            return Ok(IpAddr::V4(if is_open { Ipv4Addr::LOCALHOST } else { Ipv4Addr::UNSPECIFIED }));
        }
        let address: IpAddr = self.host.parse().map_err(|_| ConfigError::Host(self.host.clone()))?;
        if is_open && !address.is_loopback() {
            return Err(ConfigError::OpenToOthers(address));
        }
        Ok(address)
    }

    /// Whether a certificate is configured.
    pub fn has_certificate(&self) -> bool {
        !self.http.tls_certificate.is_empty()
    }

    fn check(&self) -> Result<(), ConfigError> {
        limits::check(self)?;
        self.check_secrets()?;
        self.address()?;
        self.http.check_base_path()?;
        self.http.check_origins(!self.auth.is_open())?;
        if self.http.tls_certificate.is_empty() != self.http.tls_key.is_empty() {
            return Err(ConfigError::HalfCertificate);
        }
        if self.rtmp.tls_port != 0 && !self.has_certificate() {
            return Err(ConfigError::RtmpsWithoutCertificate);
        }
        self.rtmp.applications()?;
        onmic_room::Rooms::new(self.rooms.limits(), self.rooms.settings()).map_err(ConfigError::Rooms)?;
        self.webhooks.receiver()?;
        self.mixer.canvas()?;
        self.mixer.ladder()?;
        if self.mixer.x264_preset.trim().is_empty() {
            return Err(ConfigError::NoPreset);
        }
        if ![10, 20].map(Duration::from_millis).contains(&self.mixer.opus_packet) {
            return Err(ConfigError::OpusPacket(self.mixer.opus_packet));
        }
        let Hls { part, segment, window, .. } = self.hls;
        if part > segment {
            return Err(ConfigError::PartsAboveSegment { part, segment });
        }
        if window < segment * 3 {
            return Err(ConfigError::ShortWindow { window, segment });
        }
        self.rtc.announced()?;
        self.rtc.check_ice_servers()?;
        self.turn.check()?;
        Ok(())
    }
}

fn read(path: &PathBuf) -> Result<Table, ConfigError> {
    let text = fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.clone(), source })?;
    text.parse().map_err(|source| ConfigError::Parse { path: path.clone(), source: Box::new(source) })
}

/// Returns whether the option at `path` is a list that has an entry without a letter.
fn has_empty_entry(tree: &Table, path: &[String]) -> bool {
    match path {
        [key] => tree.get(key).and_then(Value::as_array).is_some_and(|entries| {
            entries.iter().any(|entry| entry.as_str().is_some_and(|entry| entry.trim().is_empty()))
        }),
        [section, rest @ ..] => {
            tree.get(section).and_then(Value::as_table).is_some_and(|section| has_empty_entry(section, rest))
        }
        [] => false,
    }
}

fn insert(tree: &mut Table, path: &[String], value: Value) {
    match path {
        [key] => {
            tree.insert(key.clone(), value);
        }
        [section, rest @ ..] => {
            let section = tree.entry(section.clone()).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(section) = section {
                insert(section, rest, value);
            }
        }
        [] => {}
    }
}

#[cfg(test)]
mod tests;
