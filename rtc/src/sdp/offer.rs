//! An offer (RFC 8866, RFC 8829): parsed within caps, checked, and turned into values.
//!
//! Whatever the transport of this server needs is required here, and its absence is an error
//! whose text tells the sender what to change: BUNDLE, rtcp-mux, ICE credentials, a SHA-256
//! fingerprint and a DTLS role that leaves `passive` to us.

use std::io::Cursor;

use rtc_sdp::description::common::Attribute;
use rtc_sdp::description::media::MediaDescription;
use rtc_sdp::description::session::SessionDescription;

use super::DESCRIPTION_BYTES;
use crate::transport::{Credentials, Fingerprint};

const SECTIONS: usize = 16;
const CODECS: usize = 64; // Chromium lists 42 payload types for video.
const EXTENSIONS: usize = 32;
const SSRCS: usize = 32;
const CANDIDATES: usize = 64;
const FEEDBACK: usize = 16;
/// RFC 8839 5.4: 4 to 256 and 22 to 256 characters.
const UFRAG_CHARS: std::ops::RangeInclusive<usize> = 4..=256;
const PWD_CHARS: std::ops::RangeInclusive<usize> = 22..=256;

/// Why an offer cannot be answered; the text says what to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OfferError {
    /// Over [`DESCRIPTION_BYTES`].
    #[error("The offer is larger than 64 kB; send fewer codecs or candidates.")]
    TooLarge,
    /// Not SDP.
    #[error("The body is not a session description ({0}); send the offer's SDP as it is.")]
    NotSdp(String),
    /// No m-line.
    #[error("The offer has no media section; add an audio or a video transceiver.")]
    NoMedia,
    /// More than 16 m-lines.
    #[error("The offer has more than 16 media sections; use one for audio and one for video.")]
    TooManySections,
    /// More of something in a section than is looked at.
    #[error("Media section {section} has too many {what}; send at most {most}.")]
    TooMany {
        /// The index of the m-line.
        section: usize,
        /// What there is too much of.
        what: &'static str,
        /// The cap.
        most: usize,
    },
    /// A line that does not parse.
    #[error("Media section {section} has a bad a={attribute} line; check its syntax.")]
    BadAttribute {
        /// The index of the m-line.
        section: usize,
        /// The name of the attribute.
        attribute: &'static str,
    },
    /// No `a=mid`, or one twice.
    #[error("Media section {0} has no a=mid of its own; give each section a different one.")]
    NoMid(usize),
    /// Two transports.
    #[error("The media sections are not in one a=group:BUNDLE; use the bundle policy max-bundle.")]
    NotBundled,
    /// RTCP on a port of its own.
    #[error("Media section {0} lacks a=rtcp-mux; set the RTCP multiplexing policy to require.")]
    NoRtcpMux(String),
    /// No user fragment or password.
    #[error("The offer has no a=ice-ufrag and a=ice-pwd; create it with ICE enabled.")]
    NoIce,
    /// Two servers cannot connect: somebody must ask.
    #[error("The offer says a=ice-lite, and so does this server; one side must be full ICE.")]
    IceLite,
    /// No fingerprint that can be compared.
    #[error("The offer has no a=fingerprint:sha-256; use a certificate with a SHA-256 fingerprint.")]
    NoFingerprint,
    /// `a=setup:passive`.
    #[error("The offer says a=setup:{0}; say actpass (or active), the server is passive.")]
    Setup(String),
}

/// What a section carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaKind {
    /// Sound.
    Audio,
    /// Pictures.
    Video,
    /// Data channels and whatever else: answered with port 0.
    Other,
}

/// Which way media flows, from the side that says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Both ways.
    SendRecv,
    /// Away from the speaker.
    SendOnly,
    /// To the speaker.
    RecvOnly,
    /// Neither.
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

    /// Whether the speaker sends.
    pub fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether the speaker receives.
    pub fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }
}

/// One payload type of a section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferedCodec {
    /// 0–127.
    pub payload_type: u8,
    /// As in `a=rtpmap`.
    pub name: String,
    /// In Hz.
    pub clock_rate: u32,
    /// As in `a=rtpmap`; 0 where it says nothing.
    pub channels: u8,
    /// The parameters of `a=fmtp`, empty without one.
    pub fmtp: String,
    /// The values of `a=rtcp-fb`, those for all payload types too.
    pub feedback: Vec<String>,
}

impl OfferedCodec {
    /// A parameter of `a=fmtp`, its name in any case.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.fmtp.split(';').find_map(|parameter| {
            let (key, value) = parameter.trim().split_once('=')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// A header extension of a section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extension {
    /// 1–14 for one-byte headers, to 255 for two-byte ones.
    pub id: u8,
    /// What it is.
    pub uri: String,
}

/// One m-line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaSection {
    /// Its name.
    pub mid: String,
    /// What it carries.
    pub kind: MediaKind,
    /// Which way, from the peer's side.
    pub direction: Direction,
    /// The payload types in the peer's order of preference, repairs included.
    pub codecs: Vec<OfferedCodec>,
    /// The header extensions.
    pub extensions: Vec<Extension>,
    /// The SSRCs the peer announces, first of each `a=ssrc`.
    pub ssrcs: Vec<u32>,
    /// Pairs of a stream and its repair (`a=ssrc-group:FID`).
    pub repairs: Vec<(u32, u32)>,
    /// The simulcast layers the peer would send (`a=rid … send`).
    pub rids: Vec<String>,
    /// Stream and track of `a=msid`.
    pub msid: Option<(String, String)>,
    /// The peer does not use this section (port 0), or its protocol is not ours.
    pub rejected: bool,
    pub(super) media: String,
    pub(super) protocol: String,
    pub(super) format: String,
    pub(super) rsize: bool,
}

impl MediaSection {
    /// The payload type that repairs `payload_type` (RFC 4588).
    pub fn rtx_of(&self, payload_type: u8) -> Option<u8> {
        let apt = payload_type.to_string();
        self.codecs
            .iter()
            .find(|codec| codec.name.eq_ignore_ascii_case("rtx") && codec.parameter("apt") == Some(&apt))
            .map(|codec| codec.payload_type)
    }

    /// The id the peer gave to a header extension.
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
    /// The peer's certificate.
    pub fingerprint: Fingerprint,
    /// One- and two-byte header extensions may be mixed.
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
        // The parser takes them as part of a value, which would go into the answer as it is.
        if text.split('\n').any(|line| line.strip_suffix('\r').unwrap_or(line).contains(['\r', '\0'])) {
            return Err(OfferError::NotSdp("a line with a carriage return or a NUL in it".to_owned()));
        }
        let description = SessionDescription::unmarshal(&mut Cursor::new(text.as_bytes()))
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
            .enumerate()
            .map(|(at, section)| parse_section(at, section, session))
            .collect::<Result<Vec<_>, _>>()?;
        check_mids(&media)?;
        check_bundle(&media, session)?;

        // With BUNDLE all sections share the transport of the first one in use (RFC 8843 7.2).
        let tagged = media.iter().position(|section| !section.rejected).unwrap_or(0);
        let tagged = Attributes(&description.media_descriptions[tagged].attributes);
        Ok(Self {
            ice: parse_credentials(tagged, session).ok_or(OfferError::NoIce)?,
            fingerprint: parse_fingerprint(tagged, session).ok_or(OfferError::NoFingerprint)?,
            extmap_allow_mixed: session.has("extmap-allow-mixed") || tagged.has("extmap-allow-mixed"),
            media,
        })
    }
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
    // Some clients use - and _ too; a colon would break the user name of a check.
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
        if section.mid.is_empty() || taken {
            return Err(OfferError::NoMid(at));
        }
    }
    Ok(())
}

fn check_bundle(media: &[MediaSection], session: Attributes<'_>) -> Result<(), OfferError> {
    let in_use: Vec<_> = media.iter().filter(|section| !section.rejected).collect();
    let bundled = |group: &str| {
        let mut words = group.split_ascii_whitespace();
        words.next() == Some("BUNDLE") && in_use.iter().all(|section| words.clone().any(|mid| mid == section.mid))
    };
    if in_use.len() > 1 && !session.values("group").any(bundled) {
        return Err(OfferError::NotBundled);
    }
    Ok(())
}

fn parse_section(at: usize, section: &MediaDescription, session: Attributes<'_>) -> Result<MediaSection, OfferError> {
    let attributes = Attributes(&section.attributes);
    let name = &section.media_name;
    let protocol = name.protos.join("/");
    let is_ours = matches!(protocol.as_str(), "UDP/TLS/RTP/SAVPF" | "UDP/TLS/RTP/SAVP");
    let kind = match name.media.as_str() {
        "audio" if is_ours => MediaKind::Audio,
        "video" if is_ours => MediaKind::Video,
        _ => MediaKind::Other,
    };
    let mid = attributes.value("mid").unwrap_or_default().to_owned();
    let off = name.port.value == 0 && !attributes.has("bundle-only");
    let rejected = off || kind == MediaKind::Other;
    if !rejected {
        if !attributes.has("rtcp-mux") {
            return Err(OfferError::NoRtcpMux(mid));
        }
        let setup = attributes.value("setup").or_else(|| session.value("setup"));
        match setup.unwrap_or("actpass") {
            "actpass" | "active" => {}
            other => return Err(OfferError::Setup(other.chars().take(16).collect())),
        }
    }
    if attributes.values("candidate").count() > CANDIDATES {
        return Err(OfferError::TooMany { section: at, what: "candidates", most: CANDIDATES });
    }
    let direction = [attributes, session]
        .iter()
        .find_map(|level| level.0.iter().find_map(|attribute| Direction::parse(&attribute.key)))
        .unwrap_or(Direction::SendRecv);
    let rtp = kind != MediaKind::Other;
    Ok(MediaSection {
        codecs: if rtp { parse_codecs(at, &name.formats, attributes)? } else { vec![] },
        extensions: parse_extensions(at, attributes)?,
        ssrcs: parse_ssrcs(at, attributes)?,
        repairs: attributes.values("ssrc-group").filter_map(parse_repair).take(SSRCS).collect(),
        rids: attributes.values("rid").filter_map(parse_send_rid).take(SSRCS).collect(),
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

fn parse_codecs(at: usize, formats: &[String], attributes: Attributes<'_>) -> Result<Vec<OfferedCodec>, OfferError> {
    let bad = |attribute| OfferError::BadAttribute { section: at, attribute };
    if formats.len() > CODECS {
        return Err(OfferError::TooMany { section: at, what: "payload types", most: CODECS });
    }
    let mut codecs = Vec::with_capacity(formats.len());
    for format in formats {
        let payload_type = format.parse().ok().filter(|&number: &u8| number < 128);
        let payload_type = payload_type.ok_or_else(|| bad("rtpmap"))?;
        // Static payload types may go without; none of them is one of ours.
        let Some(map) = value_for(attributes, "rtpmap", format) else {
            continue;
        };
        let mut parts = map.trim().split('/');
        codecs.push(OfferedCodec {
            payload_type,
            name: parts.next().unwrap_or_default().to_owned(),
            clock_rate: parts.next().and_then(|rate| rate.parse().ok()).ok_or_else(|| bad("rtpmap"))?,
            channels: parts.next().map_or(Ok(0), str::parse).map_err(|_| bad("rtpmap"))?,
            fmtp: value_for(attributes, "fmtp", format).unwrap_or_default().trim().to_owned(),
            feedback: attributes
                .values("rtcp-fb")
                .filter_map(|value| value.split_once(' '))
                .filter(|(target, _)| target == format || *target == "*")
                .map(|(_, feedback)| feedback.trim().to_owned())
                .take(FEEDBACK)
                .collect(),
        });
    }
    Ok(codecs)
}

fn value_for<'a>(attributes: Attributes<'a>, key: &'a str, format: &str) -> Option<&'a str> {
    attributes
        .values(key)
        .filter_map(|value| value.split_once(' '))
        .find_map(|(target, value)| (target == format).then_some(value))
}

fn parse_extensions(at: usize, attributes: Attributes<'_>) -> Result<Vec<Extension>, OfferError> {
    let bad = OfferError::BadAttribute { section: at, attribute: "extmap" };
    let mut extensions = Vec::new();
    for value in attributes.values("extmap") {
        if extensions.len() == EXTENSIONS {
            let what = "header extensions";
            return Err(OfferError::TooMany { section: at, what, most: EXTENSIONS });
        }
        let (id, rest) = value.split_once(' ').ok_or_else(|| bad.clone())?;
        let id = id.split('/').next().unwrap_or_default(); // It may carry a direction.
        let id = id.parse().ok().filter(|&id: &u8| id > 0).ok_or_else(|| bad.clone())?;
        let uri = rest.split_ascii_whitespace().next().ok_or_else(|| bad.clone())?;
        extensions.push(Extension { id, uri: uri.to_owned() });
    }
    Ok(extensions)
}

fn parse_ssrcs(at: usize, attributes: Attributes<'_>) -> Result<Vec<u32>, OfferError> {
    let mut ssrcs = Vec::new();
    for value in attributes.values("ssrc") {
        let ssrc = value.split(' ').next().and_then(|ssrc| ssrc.parse().ok());
        let ssrc: u32 = ssrc.ok_or(OfferError::BadAttribute { section: at, attribute: "ssrc" })?;
        if ssrcs.contains(&ssrc) {
            continue;
        }
        if ssrcs.len() == SSRCS {
            return Err(OfferError::TooMany { section: at, what: "SSRCs", most: SSRCS });
        }
        ssrcs.push(ssrc);
    }
    Ok(ssrcs)
}

fn parse_repair(value: &str) -> Option<(u32, u32)> {
    let mut words = value.split_ascii_whitespace();
    (words.next()? == "FID").then_some(())?;
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}

fn parse_send_rid(value: &str) -> Option<String> {
    let mut words = value.split_ascii_whitespace();
    let rid = words.next()?;
    (words.next()? == "send").then(|| rid.to_owned())
}

fn parse_msid(value: &str) -> (String, String) {
    let (stream, track) = value.split_once(' ').unwrap_or((value, ""));
    (stream.to_owned(), track.to_owned())
}
