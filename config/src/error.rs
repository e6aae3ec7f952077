//! Why a configuration is refused.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use onmic_control::SECRET_BYTES;
use onmic_ingest::rtmp::stream_key::InvalidApplication;
use onmic_mixer::{InvalidLadder, InvalidRung};
use thiserror::Error;

/// An error in the configuration. Its Display is a sentence for the person who starts the server.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The canvas or the frame rate is not valid.
    #[error(
        "mixer.canvas is {0:?}: it is written 1280x720, with even sides from 64 up to 1920x1080; mixer.frame_rate is 1 to 60"
    )]
    Canvas(String),
    #[error("mixer.ladder: {0}")]
    Rung(InvalidRung),
    #[error("mixer.ladder: {0}")]
    Ladder(InvalidLadder),
    /// x264 itself takes an empty one for its fastest.
    #[error("mixer.x264_preset is empty: name one, such as superfast")]
    NoPreset,
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
    #[error(
        "{0} is of blanks alone, or ends with a new line, as a secret that was read together with the end of its line does"
    )]
    BlankSecret(&'static str),
    #[error(
        "auth.audience is set and there is no key, so no token is looked at: set auth.secret, auth.secret_file or auth.keys_file too"
    )]
    AudienceWithoutKey,
    #[error("{} and {} name one file, {}: give each its own", options[0], options[1], path.display())]
    SameFile { options: [&'static str; 2], path: PathBuf },
    #[error("{0} has an empty entry: leave it out")]
    EmptyEntry(String),
    #[error("auth.secret and auth.secret_file are both set: a server has one secret")]
    TwoSecrets,
    #[error("hls.part is {part:?}, and hls.segment {segment:?}: a part is not longer than a segment")]
    PartsAboveSegment { part: Duration, segment: Duration },
    /// RFC 8216 6.2.2 has a playlist of three target durations or more.
    #[error("hls.window is {window:?}, and hls.segment {segment:?}: a window has at least three segments")]
    ShortWindow { window: Duration, segment: Duration },
    #[error(
        "rtc.ice_servers has {0:?}: a server is written stun:HOST, stun:HOST:PORT, turn:HOST or turns:HOST, where PORT is 1 to 65535"
    )]
    IceServer(String),
    #[error("turn.urls has {0:?}: a server is written turn:HOST, turn:HOST:PORT?transport=tcp or turns:HOST:PORT")]
    TurnUrl(String),
    #[error(
        "turn.urls needs the secret of these servers: set turn.secret or turn.secret_file, one of them, and neither without turn.urls"
    )]
    TurnSecret,
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
    #[error("rtc.announce is not valid: {0}")]
    Announce(onmic_rtc::announce::InvalidAnnounced),
    #[error("[rooms] is not valid: {0}")]
    Rooms(onmic_room::Refused),
    #[error("{0} has {1:?}: pages come by http: or https:, or by the scheme of an application")]
    OriginScheme(&'static str, String),
    #[error("webhooks.url = {0:?} is not an address of http: or https:, such as https://app.example:8443/onmic")]
    WebhookUrl(String),
    #[error(
        "webhooks.url names a user or a password, or has a fragment, which are not sent: leave them out, and know this server by webhooks.secret"
    )]
    WebhookUrlParts,
    #[error("webhooks.url needs webhooks.secret, by which the receiver knows that this server calls")]
    WebhookWithoutSecret,
}
