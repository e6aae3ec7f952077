//! The configuration: one struct for the file, the flags and the environment.
//!
//! `onmic.toml` at the root of the repository documents every option with its default. It is embedded, its comments are
//! the help of the flags, and a test keeps it equal to `Config::default()`. All sources are merged as a tree of TOML
//! values before anything is interpreted. A flag wins over the environment, the environment over the file, and the file
//! over the defaults.

#![allow(missing_docs, reason = "onmic.toml documents each option, and the message of an error says what it means")]

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use axum::http::Uri;
use bytesize::ByteSize;
use clap::{Arg, ArgMatches, Command};
use humantime_serde::Serde as Humantime;
use onmic_control::{AvSync, HostLeaves, SECRET_BYTES};
use onmic_ingest::rtmp::Applications;
use onmic_ingest::rtmp::stream_key::{APPLICATION, InvalidApplication};
use onmic_mixer::EncoderChoice;
use onmic_mixer::price;
use onmic_mixer::scene::Size;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;
use toml::{Table, Value};

mod auth;
mod http;
mod limits;
mod variables;

pub use auth::Auth;
pub use http::Http;

/// The file that documents the defaults.
pub const DOCUMENT: &str = include_str!("../../onmic.toml");

/// An error in the configuration. Its Display is a sentence for the person who starts the server.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The canvas or the frame rate is not valid.
    #[error(
        "mixer.canvas is {0:?}: it is written 1280x720, with even sides from 64 up to 1920x1080; mixer.frame_rate is 1 to 60"
    )]
    Canvas(String),
    #[error("mixer.opus_packet is {0:?}: it is 10ms or 20ms")]
    OpusPacket(Duration),
    #[error("cannot read the configuration file {path}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("the configuration file {path} is not valid TOML")]
    Parse { path: PathBuf, source: Box<toml::de::Error> },
    #[error("the configuration is not valid: {0}")]
    Invalid(Box<toml::de::Error>),
    #[error("{name} is not valid: {sentence}")]
    Override { name: String, sentence: String },
    #[error("the environment variable {name} is no option of onmic: did you mean {nearest}?")]
    UnknownVariable { name: String, nearest: String },
    #[error("{option} {verb} {value}: it {verb} {range}")]
    OutOfRange { option: &'static str, verb: &'static str, value: String, range: String },
    #[error("{option} is too short, {bytes} of at least {SECRET_BYTES} bytes: `openssl rand -hex 32` makes a good one")]
    ShortSecret { option: &'static str, bytes: usize },
    #[error("auth.secret and auth.secret_file are both set: a server has one secret")]
    TwoSecrets,
    #[error("hls.part is {part:?}, and hls.segment {segment:?}: a part is not longer than a segment")]
    PartsAboveSegment { part: Duration, segment: Duration },
    /// RFC 8216 6.2.2 has a playlist of three target durations or more.
    #[error("hls.window is {window:?}, and hls.segment {segment:?}: a window has at least three segments")]
    ShortWindow { window: Duration, segment: Duration },
    #[error("rtc.ice_servers has {0:?}: a server is written stun:HOST, stun:HOST:PORT, turn:HOST or turns:HOST")]
    IceServer(String),
    #[error(
        "host = \"{0}\" can be reached by others, but auth.secret is empty, so anybody could publish: set auth.secret, auth.secret_file or auth.keys_file, or leave host at \"auto\""
    )]
    OpenToOthers(IpAddr),
    #[error("host = \"{0}\" is neither \"auto\" nor an IP address")]
    Host(String),
    #[error(
        "{0} has \"*\", but auth.secret is empty, so any page could command this server: name the origins, or set auth.secret"
    )]
    OpenToAllPages(&'static str),
    #[error(
        "http.base_path = {0:?} begins like a path of this server's own, which would be found no more: take another first part, such as /live"
    )]
    BasePath(String),
    #[error("http.tls_certificate and http.tls_key go together: set both or none")]
    HalfCertificate,
    #[error("rtmp.app: {0}")]
    RtmpApp(InvalidApplication),
    #[error("rtmp.tls_port needs http.tls_certificate and http.tls_key")]
    RtmpsWithoutCertificate,
    #[error("rtc.shards = {shards} is too many from rtc.port = {port} on: each takes a port")]
    Shards { shards: usize, port: u16 },
    #[error("rtc.announce is not valid: {0}")]
    Announce(onmic_rtc::announce::InvalidAnnounced),
    #[error("[rooms] is not valid: {0}")]
    Rooms(onmic_room::Refused),
    #[error("webhooks.url = {0:?} is not an address of http: or https:")]
    WebhookUrl(String),
    #[error("webhooks.url needs webhooks.secret, by which the receiver knows that this server calls")]
    WebhookWithoutSecret,
}

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

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct State {
    pub path: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    pub filter: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ingest {
    #[serde(with = "humantime_serde")]
    pub grace: Duration,
    pub sources: usize,
    pub bitrate: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rtmp {
    pub port: u16,
    pub tls_port: u16,
    pub app: Vec<String>,
    pub connections: usize,
    pub connections_per_address: usize,
    #[serde(with = "humantime_serde")]
    pub start_timeout: Duration,
    #[serde(with = "humantime_serde")]
    pub idle_timeout: Duration,
    pub message: ByteSize,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rtc {
    pub port: u16,
    pub shards: usize,
    pub announce: Vec<String>,
    pub ice_servers: Vec<String>,
    pub sessions: usize,
    #[serde(with = "humantime_serde")]
    pub consent_timeout: Duration,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Hls {
    #[serde(with = "humantime_serde")]
    pub part: Duration,
    #[serde(with = "humantime_serde")]
    pub segment: Duration,
    #[serde(with = "humantime_serde")]
    pub window: Duration,
    pub profile: LatencyProfile,
    pub on_demand: bool,
    pub convert_long_groups: bool,
    pub cache: ByteSize,
    pub windows: ByteSize,
    pub shared_cache: bool,
}

/// How near to the present LL-HLS players are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LatencyProfile {
    /// Parts as `hls.part` says.
    Default,
    /// Parts of 200 ms at most.
    Close,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mixer {
    #[serde(with = "humantime_serde")]
    pub linger: Duration,
    pub opus_bitrate: u32,
    #[serde(with = "humantime_serde")]
    pub opus_packet: Duration,
    pub aac_bitrate: u32,
    pub x264_preset: String,
    pub canvas: String,
    pub frame_rate: f64,
    pub bitrate: u64,
    pub encoder: EncoderChoice,
    pub pixels_per_second: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)] // `Timeouts` gets the keys that are left, and refuses those that are not timeouts.
pub struct Rooms {
    pub rooms: usize,
    pub persons: usize,
    pub requests: usize,
    pub clients: usize,
    pub seats: u8,
    pub open_seats: bool,
    pub host_leaves: HostLeaves,
    pub sync: AvSync,
    #[serde(flatten)]
    pub timeouts: Timeouts,
}

/// The timeouts of rooms. Each is an option `NAME_timeout`, except `cool_down`, because nobody fails when that ends.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Timeouts(onmic_room::Timeouts);

fn timeout_key(name: &str) -> String {
    if name == "cool_down" { name.to_owned() } else { format!("{name}_timeout") }
}

impl Serialize for Timeouts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.each().map(|(name, timeout)| (timeout_key(name), Humantime::from(timeout))))
    }
}

impl<'de> Deserialize<'de> for Timeouts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut timeouts = onmic_room::Timeouts::default();
        for (key, timeout) in BTreeMap::<String, Humantime<Duration>>::deserialize(deserializer)? {
            let name = onmic_room::Timeouts::NAMES.iter().find(|name| timeout_key(name) == key);
            match name.and_then(|name| timeouts.get_mut(name)) {
                Some(place) => *place = timeout.into_inner(),
                None => return Err(D::Error::custom(format!("unknown option `{key}` of rooms"))),
            }
        }
        Ok(Self(timeouts))
    }
}

#[derive(Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Webhooks {
    pub url: String,
    pub secret: String,
}

impl std::fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Webhooks({:?})", self.url)
    }
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
            hls: Hls::default(),
            mixer: Mixer::default(),
            rooms: Rooms::default(),
            webhooks: Webhooks::default(),
            state: State::default(),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { filter: "info".into() }
    }
}

impl Default for Ingest {
    fn default() -> Self {
        Self { grace: Duration::from_secs(10), sources: 10_000, bitrate: 100_000_000 }
    }
}

impl Default for Rtmp {
    fn default() -> Self {
        Self {
            port: 1935,
            tls_port: 0,
            app: vec![APPLICATION.to_owned()],
            connections: 1000,
            connections_per_address: 250,
            start_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(30),
            message: ByteSize::mib(8),
        }
    }
}

impl Default for Rtc {
    fn default() -> Self {
        Self {
            port: 8189,
            shards: 1,
            announce: Vec::new(),
            ice_servers: Vec::new(),
            sessions: 2000,
            consent_timeout: Duration::from_secs(30),
        }
    }
}

impl Rtc {
    /// The addresses that candidates announce.
    pub fn announced(&self) -> Result<Vec<onmic_rtc::Announced>, ConfigError> {
        self.announce.iter().map(|text| text.parse().map_err(ConfigError::Announce)).collect()
    }

    /// Checks the form of the addresses of ICE servers (RFC 7064, RFC 7065), which stand in a header of answers.
    fn check_ice_servers(&self) -> Result<(), ConfigError> {
        let is_server = |text: &str| {
            let rest = ["stun:", "stuns:", "turn:", "turns:"].iter().find_map(|scheme| text.strip_prefix(scheme));
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:[]?=%".contains(&byte);
            rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(plain))
        };
        let wrong = self.ice_servers.iter().find(|text| !is_server(text));
        wrong.map_or(Ok(()), |wrong| Err(ConfigError::IceServer(wrong.clone())))
    }
}

impl Default for Hls {
    fn default() -> Self {
        Self {
            part: Duration::from_millis(333),
            segment: Duration::from_secs(2),
            window: Duration::from_secs(36),
            profile: LatencyProfile::Default,
            on_demand: false,
            convert_long_groups: true,
            cache: ByteSize::mib(512),
            windows: ByteSize::gib(8),
            shared_cache: false,
        }
    }
}

impl Hls {
    /// The target duration of parts in the profile.
    pub fn part_of_profile(&self) -> Duration {
        /// A player keeps three parts of distance: 0.6 s. Shorter parts come to less than a round trip on mobile networks.
        const CLOSE: Duration = Duration::from_millis(200);
        match self.profile {
            LatencyProfile::Default => self.part,
            LatencyProfile::Close => self.part.min(CLOSE),
        }
    }
}

impl Mixer {
    /// Returns how many pixels per second conversions and mixes compute together at most.
    pub fn pixels(&self) -> u64 {
        if self.pixels_per_second > 0 {
            return self.pixels_per_second;
        }
        price::of_cores(std::thread::available_parallelism().map_or(1, usize::from))
    }

    /// Returns the size of mixed programs.
    pub fn canvas(&self) -> Result<Size, ConfigError> {
        let wrong = || ConfigError::Canvas(self.canvas.clone());
        let (width, height) = self.canvas.split_once('x').ok_or_else(wrong)?;
        let (width, height) = (width.parse().map_err(|_| wrong())?, height.parse().map_err(|_| wrong())?);
        let canvas = Size::canvas(width, height, Size::FULL_HD);
        if (canvas.width, canvas.height) == (width, height) && (1.0..=60.0).contains(&self.frame_rate) {
            Ok(canvas)
        } else {
            Err(wrong())
        }
    }
}

impl Default for Mixer {
    fn default() -> Self {
        Self {
            linger: Duration::from_secs(5),
            opus_bitrate: 56_000,
            opus_packet: Duration::from_millis(10),
            aac_bitrate: 64_000,
            x264_preset: "superfast".into(),
            canvas: "1280x720".into(),
            frame_rate: 30.0,
            bitrate: 0,
            encoder: EncoderChoice::default(),
            pixels_per_second: 0,
        }
    }
}

impl Default for Rooms {
    fn default() -> Self {
        Self {
            rooms: 10_000,
            persons: 10_000,
            requests: 1_000,
            clients: 20_000,
            seats: 8,
            open_seats: true,
            host_leaves: HostLeaves::EmptySeats,
            sync: AvSync::LipSync,
            timeouts: Timeouts::default(),
        }
    }
}

impl Rooms {
    /// Returns the settings of rooms that come to be by themselves.
    pub fn settings(&self) -> onmic_room::Settings {
        onmic_room::Settings {
            title: String::new(),
            seats: self.seats,
            locked: false,
            open_seats: self.open_seats,
            host_leaves: self.host_leaves.into(),
            sync: self.sync.into(),
            timeouts: self.timeouts.0,
        }
    }

    /// Returns the limits of the node's rooms.
    pub fn limits(&self) -> onmic_room::Limits {
        onmic_room::Limits { rooms: self.rooms, persons: self.persons, requests: self.requests }
    }
}

impl Rtmp {
    /// The applications that publishers and players may name.
    pub fn applications(&self) -> Result<Applications, ConfigError> {
        Applications::new(&self.app).map_err(ConfigError::RtmpApp)
    }
}

impl Webhooks {
    /// Returns the address of the receiver of events, if there is one.
    pub fn receiver(&self) -> Result<Option<Uri>, ConfigError> {
        if self.url.is_empty() {
            return Ok(None);
        }
        let is_http = |url: &Uri| matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some();
        let url =
            self.url.parse::<Uri>().ok().filter(is_http).ok_or_else(|| ConfigError::WebhookUrl(self.url.clone()))?;
        if self.secret.is_empty() { Err(ConfigError::WebhookWithoutSecret) } else { Ok(Some(url)) }
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
        let config = Self::deserialize(Value::Table(tree)).map_err(|error| ConfigError::Invalid(Box::new(error)))?;
        config.check()?;
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
        for (option, secret) in [("auth.secret", &self.auth.secret), ("webhooks.secret", &self.webhooks.secret)] {
            if (1..SECRET_BYTES).contains(&secret.len()) {
                return Err(ConfigError::ShortSecret { option, bytes: secret.len() });
            }
        }
        if !self.auth.secret.is_empty() && !self.auth.secret_file.is_empty() {
            return Err(ConfigError::TwoSecrets);
        }
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
        let Rtc { shards, port, .. } = self.rtc;
        if usize::from(port) + shards.saturating_sub(1) > usize::from(u16::MAX) {
            return Err(ConfigError::Shards { shards, port });
        }
        Ok(())
    }
}

/// Returns the command line: `--config`, `--healthcheck`, and one flag for every option of the document.
pub fn command() -> Command {
    let mut command = Command::new("onmic")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A live streaming gateway: RTMP and WHIP in, WHEP and LL-HLS out.")
        .arg(
            Arg::new("config")
                .long("config")
                .value_name("FILE")
                .env("ONMIC_CONFIG")
                .value_parser(clap::value_parser!(PathBuf))
                .help("A TOML file; onmic.toml documents every option"),
        )
        .arg(
            Arg::new("healthcheck")
                .long("healthcheck")
                .action(clap::ArgAction::SetTrue)
                .help("Ask the server that runs with this configuration whether it is healthy, and exit 0 if it is"),
        );
    for option in options() {
        let arg = Arg::new(option.flag.clone()).long(option.flag).value_name("VALUE").env(option.variable);
        let arg = if option.path.last().is_some_and(|key| key == "secret") { arg.hide_env_values(true) } else { arg };
        command = command.arg(arg.help(option.help));
    }
    command
}

/// One option of the document.
struct Opt {
    path: Vec<String>,
    flag: String,
    variable: String,
    help: String,
    default: Value,
}

impl Opt {
    fn new(path: Vec<String>, comment: &str, default: Value) -> Self {
        let flag = path.join("-").replace('_', "-");
        let variable = format!("ONMIC_{}", path.join("_").to_uppercase());
        let lines = comment.lines().filter_map(|line| line.trim().strip_prefix('#')).map(str::trim);
        let help = format!("{} [default: {default}]", lines.collect::<Vec<_>>().join(" "));
        Self { path, flag, variable, help, default }
    }

    /// Reads `text` as a value of the default's kind. Commas separate the items of a list.
    fn parse(&self, text: &str) -> Result<Value, String> {
        match &self.default {
            Value::Integer(_) => text.parse().map(Value::Integer).map_err(|_| format!("{text:?} is not a number")),
            Value::Float(_) => text.parse().map(Value::Float).map_err(|_| format!("{text:?} is not a number")),
            Value::Boolean(_) => text.parse().map(Value::Boolean).map_err(|_| format!("{text:?} is not true or false")),
            Value::Array(_) => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                Ok(Value::Array(items.map(|item| Value::String(item.to_owned())).collect()))
            }
            _ => Ok(Value::String(text.to_owned())),
        }
    }
}

fn options() -> Vec<Opt> {
    let document: toml_edit::DocumentMut = DOCUMENT.parse().expect("the embedded document is valid, by test");
    let defaults: Table = DOCUMENT.parse().expect("the embedded document is valid, by test");
    let mut options = Vec::new();
    for (name, value) in &defaults {
        match value {
            Value::Table(section) => {
                let table = document[name].as_table().expect("the same document");
                for (key, value) in section {
                    options.push(Opt::new(vec![name.clone(), key.clone()], comment(table, key), value.clone()));
                }
            }
            value => options.push(Opt::new(vec![name.clone()], comment(&document, name), value.clone())),
        }
    }
    options
}

fn comment<'a>(table: &'a toml_edit::Table, key: &str) -> &'a str {
    let prefix = table.key(key).and_then(|key| key.leaf_decor().prefix()).and_then(|prefix| prefix.as_str());
    // The first option of the file carries the file's own header, which ends at an empty line.
    prefix.and_then(|prefix| prefix.rsplit("\n\n").next()).unwrap_or_default()
}

fn read(path: &PathBuf) -> Result<Table, ConfigError> {
    let text = fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.clone(), source })?;
    text.parse().map_err(|source| ConfigError::Parse { path: path.clone(), source: Box::new(source) })
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
