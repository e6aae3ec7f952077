//! An offer (RFC 8866, RFC 8829): parsed within caps, checked, and turned into values.
//!
//! An offer must have all that the transport of this server needs: BUNDLE, rtcp-mux, ICE
//! credentials, a SHA-256 fingerprint and a DTLS role. If something is missing, the text of the
//! error tells the sender what to change.
//!
//! Form is read loosely: the case of names, spaces, and numbers with zeros in front do not matter,
//! and a codec, a header extension, a stream or a layer whose line cannot be read, or is beyond a cap, is as if it were
//! not offered. One odd line costs itself, never the session: of an offer only its `m=` and `a=` lines are parsed, and the
//! others (`o=`, `s=`, `t=`, `c=` and so on), of which nothing is used, may be odd, out of order, or absent. Candidates are
//! not used either: an ICE-lite server learns addresses from checks.

use std::io::Cursor;

use rtc_sdp::description::common::Attribute;
use rtc_sdp::description::media::MediaDescription;
use rtc_sdp::description::session::SessionDescription;

use super::DESCRIPTION_BYTES;
use crate::transport::{Credentials, Fingerprint, Role};

const SECTIONS: usize = 16;
/// The most payload types of a section that are read. Chromium lists 42 for video, and 61 numbers are free to use.
const CODECS: usize = 64;
const EXTENSIONS: usize = 32;
const SSRCS: usize = 32;
const FEEDBACK: usize = 16;
/// The name of a simulcast layer goes into a header extension, which has 16 bytes.
const RID_CHARS: std::ops::RangeInclusive<usize> = 1..=16;
/// RFC 8839 5.4 allows 4 to 256 characters for a user fragment, and 22 to 256 for a password.
const UFRAG_CHARS: std::ops::RangeInclusive<usize> = 4..=256;
const PWD_CHARS: std::ops::RangeInclusive<usize> = 22..=256;

/// The name of FlexFEC of the third draft, which is not that of RFC 8627.
pub(super) const FLEXFEC: &str = "flexfec-03";

/// The protocols of media. All stand for the first, because the fingerprint tells that media is in SRTP with keys by DTLS, and
/// the candidates how it is carried (RFC 8829 5.1.2).
const PROTOCOLS: [&str; 8] = [
    "UDP/TLS/RTP/SAVPF",
    "UDP/TLS/RTP/SAVP",
    "RTP/SAVPF",
    "RTP/SAVP",
    "RTP/AVPF",
    "RTP/AVP",
    "TCP/DTLS/RTP/SAVPF",
    "TCP/DTLS/RTP/SAVP",
];

/// Why an offer cannot be answered. The text says what to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OfferError {
    /// The offer is larger than [`DESCRIPTION_BYTES`].
    #[error("The offer is larger than 64 kB; send fewer codecs or candidates.")]
    TooLarge,
    /// The body is not SDP.
    #[error("The body is not a session description ({0}); send the offer's SDP as it is.")]
    NotSdp(String),
    /// The offer has no m-line.
    #[error("The offer has no media section; add an audio or a video transceiver.")]
    NoMedia,
    /// The offer has more than 16 m-lines.
    #[error("The offer has more than 16 media sections; use one for audio and one for video.")]
    TooManySections,
    /// A section has no `a=mid`, or the `a=mid` of another section.
    #[error("Media section {0} has no a=mid of its own; give each section a different one.")]
    NoMid(usize),
    /// The sections use more than one transport.
    #[error("The media sections are not in one a=group:BUNDLE; use the bundle policy max-bundle.")]
    NotBundled,
    /// A section has RTCP on a port of its own.
    #[error("Media section {0} lacks a=rtcp-mux; set the RTCP multiplexing policy to require.")]
    NoRtcpMux(String),
    /// The offer has no valid pair of user fragment and password.
    #[error("The offer has no a=ice-ufrag and a=ice-pwd; create it with ICE enabled.")]
    NoIce,
    /// The peer is ICE-lite, as this server is. Two such peers cannot connect, because neither
    /// sends checks.
    #[error("The offer says a=ice-lite, and so does this server; one side must be full ICE.")]
    IceLite,
    /// The offer has no SHA-256 fingerprint.
    #[error("The offer has no a=fingerprint:sha-256; use a certificate with a SHA-256 fingerprint.")]
    NoFingerprint,
    /// The peer's DTLS role is none of those that an offer may have (RFC 8842 5.2).
    #[error("The offer says a=setup:{0}; use actpass, active or passive.")]
    Setup(String),
}

/// The kind of media of a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaKind {
    /// Audio.
    Audio,
    /// Video.
    Video,
    /// Data channels and anything else. Such a section is answered with port 0.
    Other,
}

/// The direction of media, as seen by the side that states it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The speaker sends and receives.
    SendRecv,
    /// The speaker only sends.
    SendOnly,
    /// The speaker only receives.
    RecvOnly,
    /// The speaker neither sends nor receives.
    Inactive,
}

impl Direction {
    pub(super) fn attribute(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::SendRecv, Self::SendOnly, Self::RecvOnly, Self::Inactive]
            .into_iter()
            .find(|direction| direction.attribute() == name)
    }

    /// Returns whether the speaker sends.
    pub fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Returns whether the speaker receives.
    pub fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }
}

/// One payload type of a section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferedCodec {
    /// The number of the payload type, 0 to 127.
    pub payload_type: u8,
    /// The name of the codec, as in `a=rtpmap`.
    pub name: String,
    /// The clock rate in Hz.
    pub clock_rate: u32,
    /// The number of channels, as in `a=rtpmap`; 0 if it states none.
    pub channels: u8,
    /// The parameters of `a=fmtp`; empty if there is no such line.
    pub fmtp: String,
    /// The values of `a=rtcp-fb`, with those that apply to all payload types.
    pub feedback: Vec<String>,
}

impl OfferedCodec {
    /// Returns a parameter of `a=fmtp`. The case of its name does not matter.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.fmtp.split(';').find_map(|parameter| {
            let (key, value) = parameter.trim().split_once('=')?;
            key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// Returns a parameter of `a=fmtp` that is a number. `None` if it is absent or not a number.
    pub fn number(&self, name: &str) -> Option<u32> {
        self.parameter(name)?.parse().ok()
    }
}

/// A header extension of a section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extension {
    /// The id: 1 to 14 for one-byte headers, up to 255 for two-byte headers.
    pub id: u8,
    /// The URI that names the extension.
    pub uri: String,
}

/// One m-line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaSection {
    /// The name of the section (`a=mid`).
    pub mid: String,
    /// The kind of media.
    pub kind: MediaKind,
    /// The direction, as seen by the peer.
    pub direction: Direction,
    /// The payload types in the peer's order of preference, repairs included.
    pub codecs: Vec<OfferedCodec>,
    /// The header extensions.
    pub extensions: Vec<Extension>,
    /// The SSRCs that the peer announces, each once.
    pub ssrcs: Vec<u32>,
    /// The pairs of a stream and its repair stream (`a=ssrc-group:FID`).
    pub repairs: Vec<(u32, u32)>,
    /// The simulcast layers that the peer would send, in its order (RFC 8853). Empty without
    /// simulcast.
    pub layers: Vec<String>,
    /// The stream and the track of `a=msid`.
    pub msid: Option<(String, String)>,
    /// Whether the section is not used: the peer gave it port 0, or this server does not speak its
    /// protocol.
    pub rejected: bool,
    pub(super) media: String,
    pub(super) protocol: String,
    pub(super) format: String,
    pub(super) rsize: bool,
}

impl MediaSection {
    /// Returns the payload type that repairs `payload_type` (RFC 4588).
    pub fn rtx_of(&self, payload_type: u8) -> Option<u8> {
        let repairs = |codec: &OfferedCodec| {
            codec.name.eq_ignore_ascii_case("rtx") && codec.number("apt") == Some(payload_type.into())
        };
        self.codecs.iter().find(|codec| repairs(codec)).map(|codec| codec.payload_type)
    }

    /// Returns the payload type in which packets of `payload_type` repeat earlier packets of the same (RFC 2198).
    pub fn red_of(&self, payload_type: u8) -> Option<u8> {
        let repeats = |codec: &OfferedCodec| {
            let mut numbers = codec.fmtp.split('/').map(|number| number.trim().parse::<u8>());
            codec.name.eq_ignore_ascii_case("red") && numbers.all(|number| number == Ok(payload_type))
        };
        self.codecs.iter().find(|codec| repeats(codec)).map(|codec| codec.payload_type)
    }

    /// Returns the payload type of FlexFEC of the third draft, which protects any payload type.
    pub fn flexfec(&self) -> Option<u8> {
        let is_flexfec = |codec: &&OfferedCodec| codec.name.eq_ignore_ascii_case(FLEXFEC) && codec.clock_rate == 90_000;
        self.codecs.iter().find(is_flexfec).map(|codec| codec.payload_type)
    }

    /// Returns the protocol of media that is in none which this server speaks.
    pub fn unspoken(&self) -> Option<&str> {
        let is_media = ["audio", "video"].contains(&self.media.as_str());
        (is_media && self.kind == MediaKind::Other).then_some(self.protocol.as_str())
    }

    /// Returns whether the peer takes feedback without a report in front of it (`a=rtcp-rsize`, RFC 5506).
    pub fn takes_reduced_size(&self) -> bool {
        self.rsize
    }

    /// Returns the id that the peer gave to a header extension.
    pub fn extension_id(&self, uri: &str) -> Option<u8> {
        self.extensions.iter().find(|extension| extension.uri == uri).map(|found| found.id)
    }
}

/// A checked offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The m-lines in order.
    pub media: Vec<MediaSection>,
    /// The peer's ICE credentials.
    pub ice: Credentials,
    /// The fingerprint of the peer's certificate.
    pub fingerprint: Fingerprint,
    /// The side that is left to this server in the DTLS handshake: the server's, where the peer
    /// leaves the choice, because that connects one round trip sooner.
    pub role: Role,
    /// Whether one- and two-byte header extensions may be mixed.
    pub extmap_allow_mixed: bool,
}

impl Offer {
    /// Parses and checks an offer.
    pub fn parse(text: &str) -> Result<Self, OfferError> {
        if text.len() > DESCRIPTION_BYTES {
            return Err(OfferError::TooLarge);
        }
        if text.lines().filter(|line| line.starts_with("m=")).count() > SECTIONS {
            return Err(OfferError::TooManySections);
        }
        let used = used_lines(text)?;
        let description = SessionDescription::unmarshal(&mut Cursor::new(used.as_bytes()))
            .map_err(|error| OfferError::NotSdp(error.to_string().chars().take(80).collect()))?;
        if description.media_descriptions.is_empty() {
            return Err(OfferError::NoMedia);
        }
        let session = Attributes(&description.attributes);
        if session.has("ice-lite") {
            return Err(OfferError::IceLite);
        }
        let media = description
            .media_descriptions
            .iter()
            .map(|section| parse_section(section, session))
            .collect::<Result<Vec<_>, _>>()?;
        check_mids(&media)?;
        check_bundle(&media, session)?;

        // With BUNDLE all sections share the transport of the first one in use (RFC 8843 7.2).
        let tagged = media.iter().position(|section| !section.rejected).unwrap_or(0);
        let tagged = Attributes(&description.media_descriptions[tagged].attributes);
        Ok(Self {
            ice: parse_credentials(tagged, session).ok_or(OfferError::NoIce)?,
            fingerprint: parse_fingerprint(tagged, session).ok_or(OfferError::NoFingerprint)?,
            role: parse_role(tagged, session)?,
            extmap_allow_mixed: session.has("extmap-allow-mixed") || tagged.has("extmap-allow-mixed"),
            media,
        })
    }
}

/// Returns the lines that are used, after lines in place of those that are not. The parser insists on the order and the
/// form of all of them (RFC 8866 5).
fn used_lines(text: &str) -> Result<String, OfferError> {
    let mut lines = text.trim_start_matches('\u{feff}').split('\n').map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default();
    if !first.starts_with("v=") {
        return Err(OfferError::NotSdp("its first line is not v=0".to_owned()));
    }
    let mut used = "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n".to_owned();
    for line in lines.filter(|line| line.starts_with("m=") || line.starts_with("a=")) {
        // The parser takes these characters as part of a value, which would go into the answer as it is.
        if line.contains(['\r', '\0']) {
            return Err(OfferError::NotSdp("a line with a carriage return or a NUL in it".to_owned()));
        }
        used.push_str(line);
        used.push_str("\r\n");
    }
    Ok(used)
}

#[derive(Clone, Copy)]
pub(super) struct Attributes<'a>(pub(super) &'a [Attribute]);

impl<'a> Attributes<'a> {
    fn has(self, key: &str) -> bool {
        self.0.iter().any(|attribute| attribute.key == key)
    }

    pub(super) fn values(self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |attribute| attribute.key == key).filter_map(|attribute| attribute.value.as_deref())
    }

    pub(super) fn value(self, key: &'a str) -> Option<&'a str> {
        self.values(key).next()
    }
}

fn parse_credentials(section: Attributes<'_>, session: Attributes<'_>) -> Option<Credentials> {
    let value = |key| section.value(key).or_else(|| session.value(key));
    credentials(value("ice-ufrag")?, value("ice-pwd")?)
}

pub(super) fn credentials(ufrag: &str, pwd: &str) -> Option<Credentials> {
    let is_ice_char = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    // Some clients use - and _ too. A colon would break the user name of a check.
    let valid = |text: &str| text.bytes().all(|byte| is_ice_char(byte) || b"-_=".contains(&byte));
    (UFRAG_CHARS.contains(&ufrag.len()) && PWD_CHARS.contains(&pwd.len()) && valid(ufrag) && valid(pwd))
        .then(|| Credentials { ufrag: ufrag.to_owned(), pwd: pwd.to_owned() })
}

fn parse_fingerprint(section: Attributes<'_>, session: Attributes<'_>) -> Option<Fingerprint> {
    section.values("fingerprint").chain(session.values("fingerprint")).find_map(|value| {
        let (algorithm, digest) = value.split_once(' ')?;
        algorithm.eq_ignore_ascii_case("sha-256").then(|| digest.trim().parse().ok())?
    })
}

fn check_mids(media: &[MediaSection]) -> Result<(), OfferError> {
    for (at, section) in media.iter().enumerate() {
        let taken = media[..at].iter().any(|earlier| earlier.mid == section.mid);
        // A section alone is not told from others, so it may go without a name.
        if taken || (section.mid.is_empty() && media.len() > 1) {
            return Err(OfferError::NoMid(at));
        }
    }
    Ok(())
}

fn check_bundle(media: &[MediaSection], session: Attributes<'_>) -> Result<(), OfferError> {
    let in_use: Vec<_> = media.iter().filter(|section| !section.rejected).collect();
    let bundled = |group: &str| {
        let mut words = group.split_ascii_whitespace();
        words.next().is_some_and(|word| word.eq_ignore_ascii_case("BUNDLE"))
            && in_use.iter().all(|section| words.clone().any(|mid| mid == section.mid))
    };
    if in_use.len() > 1 && !session.values("group").any(bundled) {
        return Err(OfferError::NotBundled);
    }
    Ok(())
}

fn parse_section(section: &MediaDescription, session: Attributes<'_>) -> Result<MediaSection, OfferError> {
    let attributes = Attributes(&section.attributes);
    let name = &section.media_name;
    let protocol = name.protos.join("/");
    let is_ours = PROTOCOLS.iter().any(|ours| protocol.eq_ignore_ascii_case(ours));
    let kind = match name.media.as_str() {
        "audio" if is_ours => MediaKind::Audio,
        "video" if is_ours => MediaKind::Video,
        _ => MediaKind::Other,
    };
    let mid = attributes.value("mid").unwrap_or_default().trim().to_owned();
    let off = name.port.value == 0 && !attributes.has("bundle-only");
    let rejected = off || kind == MediaKind::Other;
    if !rejected {
        if ![attributes, session].iter().any(|level| level.has("rtcp-mux")) {
            return Err(OfferError::NoRtcpMux(mid));
        }
        parse_role(attributes, session)?;
    }
    let direction = [attributes, session]
        .iter()
        .find_map(|level| level.0.iter().find_map(|attribute| Direction::parse(&attribute.key)))
        .unwrap_or(Direction::SendRecv);
    let rtp = kind != MediaKind::Other;
    Ok(MediaSection {
        codecs: if rtp { parse_codecs(&name.formats, attributes) } else { vec![] },
        extensions: parse_extensions(attributes),
        ssrcs: parse_ssrcs(attributes),
        repairs: attributes.values("ssrc-group").filter_map(parse_repair).take(SSRCS).collect(),
        layers: parse_layers(attributes),
        msid: attributes.value("msid").map(parse_msid),
        rsize: attributes.has("rtcp-rsize"),
        mid,
        kind,
        direction,
        rejected,
        media: name.media.clone(),
        protocol,
        format: name.formats.first().cloned().unwrap_or_else(|| "0".to_owned()),
    })
}

fn parse_codecs(formats: &[String], attributes: Attributes<'_>) -> Vec<OfferedCodec> {
    let mut numbers: Vec<u8> = Vec::new();
    for number in formats.iter().filter_map(|format| payload_type(format)) {
        if numbers.len() < CODECS && !numbers.contains(&number) {
            numbers.push(number);
        }
    }
    // Static payload types may go without a=rtpmap. This server uses none of them.
    numbers.into_iter().filter_map(|number| parse_codec(number, attributes)).collect()
}

fn payload_type(text: &str) -> Option<u8> {
    text.parse().ok().filter(|&number: &u8| number < 128)
}

fn parse_codec(payload_type: u8, attributes: Attributes<'_>) -> Option<OfferedCodec> {
    let mut parts = value_for(attributes, "rtpmap", payload_type)?.split('/').map(str::trim);
    Some(OfferedCodec {
        payload_type,
        name: parts.next().filter(|name| !name.is_empty())?.to_owned(),
        clock_rate: parts.next()?.parse().ok()?,
        channels: parts.next().filter(|channels| !channels.is_empty()).map_or(Ok(0), str::parse).ok()?,
        fmtp: value_for(attributes, "fmtp", payload_type).unwrap_or_default().to_owned(),
        feedback: attributes
            .values("rtcp-fb")
            .filter_map(split_word)
            .filter(|(target, _)| *target == "*" || self::payload_type(target) == Some(payload_type))
            .map(|(_, feedback)| words(feedback))
            .take(FEEDBACK)
            .collect(),
    })
}

/// Splits the first word off an attribute's value. The rest has no spaces around it.
fn split_word(value: &str) -> Option<(&str, &str)> {
    let (word, rest) = value.trim_start().split_once(|letter: char| letter.is_ascii_whitespace())?;
    Some((word, rest.trim()))
}

/// Returns the words of a value in lower case, with one space between them.
fn words(value: &str) -> String {
    let words: Vec<_> = value.split_ascii_whitespace().map(str::to_ascii_lowercase).collect();
    words.join(" ")
}

fn value_for<'a>(attributes: Attributes<'a>, key: &'a str, number: u8) -> Option<&'a str> {
    attributes
        .values(key)
        .filter_map(split_word)
        .find_map(|(target, value)| (payload_type(target) == Some(number)).then_some(value))
}

fn parse_extensions(attributes: Attributes<'_>) -> Vec<Extension> {
    let parse = |value: &str| {
        let (id, rest) = split_word(value)?;
        let id = id.split('/').next()?; // A direction may follow the id.
        let id = id.parse().ok().filter(|&id: &u8| id > 0)?;
        Some(Extension { id, uri: rest.split_ascii_whitespace().next()?.to_owned() })
    };
    attributes.values("extmap").filter_map(parse).take(EXTENSIONS).collect()
}

fn parse_ssrcs(attributes: Attributes<'_>) -> Vec<u32> {
    let mut ssrcs = Vec::new();
    for ssrc in attributes.values("ssrc").filter_map(|value| value.split_ascii_whitespace().next()?.parse().ok()) {
        if ssrcs.len() < SSRCS && !ssrcs.contains(&ssrc) {
            ssrcs.push(ssrc);
        }
    }
    ssrcs
}

fn parse_repair(value: &str) -> Option<(u32, u32)> {
    let mut words = value.split_ascii_whitespace();
    (words.next()? == "FID").then_some(())?;
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}

/// Returns the layers of `a=simulcast:send`, of each the first form that an `a=rid` line describes. A layer that
/// begins paused (`~`) is asked for like any other.
fn parse_layers(attributes: Attributes<'_>) -> Vec<String> {
    let described = |rid: &&str| {
        let is_name = rid.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        let sends = |value: &str| {
            let mut words = value.split_ascii_whitespace();
            words.next() == Some(*rid) && words.next().is_some_and(|word| word.eq_ignore_ascii_case("send"))
        };
        is_name && RID_CHARS.contains(&rid.len()) && attributes.values("rid").any(sends)
    };
    let mut words = attributes.value("simulcast").unwrap_or_default().split_ascii_whitespace();
    let sent = words.find(|word| word.eq_ignore_ascii_case("send")).and_then(|_| words.next()).unwrap_or_default();
    let forms =
        |layer: &'_ str| layer.split(',').map(|form| form.trim_start_matches('~')).find(described).map(str::to_owned);
    let mut layers: Vec<String> = Vec::new();
    for layer in sent.trim_start_matches("rid=").split(';').take(SSRCS).filter_map(forms) {
        if !layers.contains(&layer) {
            layers.push(layer);
        }
    }
    layers
}

fn parse_role(section: Attributes<'_>, session: Attributes<'_>) -> Result<Role, OfferError> {
    let setup = section.value("setup").or_else(|| session.value("setup")).unwrap_or("actpass").trim();
    match setup.to_ascii_lowercase().as_str() {
        "actpass" | "active" => Ok(Role::Server),
        "passive" => Ok(Role::Client),
        _ => Err(OfferError::Setup(setup.chars().take(16).collect())),
    }
}

fn parse_msid(value: &str) -> (String, String) {
    let (stream, track) = value.split_once(' ').unwrap_or((value, ""));
    (stream.to_owned(), track.to_owned())
}
