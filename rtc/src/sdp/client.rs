//! The client's side of a negotiation, for tests and load generators: it makes an offer as browsers do, and reads the
//! answer.
//!
//! An offer bundles H.264 and Opus sections. This is a stand-in for a browser that writes and reads, and does not
//! check: a value that the answer does not state is left out.

use std::io::Cursor;
use std::net::SocketAddr;

use rtc_sdp::description::session::SessionDescription;

use super::extension::{ABS_CAPTURE_TIME, MID, PLAYOUT_DELAY, TRANSPORT_CC};
use super::offer::{Attributes, Direction, MediaKind, credentials};
use crate::transport::{Credentials, Fingerprint, Role};

/// The payload type of H.264 in offers.
pub const H264: u8 = 96;
/// The payload type of its repair stream.
pub const H264_REPAIRS: u8 = 97;
/// The payload type of Opus.
pub const OPUS: u8 = 111;
/// The SSRC of the first video that a sender's offer announces. Its repair stream has the next number.
pub const VIDEO_SSRC: u32 = 1001;
/// The SSRC of the first audio that a sender's offer announces.
pub const AUDIO_SSRC: u32 = 2001;

/// Writes an offer that receives or sends (`direction`) one video and one audio track.
pub fn offer(direction: Direction, local: &Credentials, fingerprint: Fingerprint) -> String {
    offer_of(&[MediaKind::Video, MediaKind::Audio], direction, local, fingerprint)
}

/// Writes an offer with a section for each of `kinds`. [`MediaKind::Other`] is a data channel.
pub fn offer_of(kinds: &[MediaKind], direction: Direction, local: &Credentials, fingerprint: Fingerprint) -> String {
    let Credentials { ufrag, pwd } = local;
    let mids: Vec<_> = (0..kinds.len()).map(|mid| mid.to_string()).collect();
    let bundle = format!("a=group:BUNDLE {}", mids.join(" "));
    let session = ["v=0", "o=- 1 2 IN IP4 127.0.0.1", "s=-", "t=0 0", &bundle];
    let mut lines: Vec<String> = session.into_iter().map(str::to_owned).collect();
    for (mid, kind) in kinds.iter().enumerate() {
        let earlier = kinds[..mid].iter().filter(|earlier| *earlier == kind).count();
        let (media, sources) = match kind {
            MediaKind::Video => video(VIDEO_SSRC + 10 * earlier as u32),
            MediaKind::Audio => audio(AUDIO_SSRC + 10 * earlier as u32),
            MediaKind::Other => data(),
        };
        lines.extend(media);
        lines.extend([
            format!("a=mid:{mid}"),
            format!("a=ice-ufrag:{ufrag}"),
            format!("a=ice-pwd:{pwd}"),
            format!("a=fingerprint:sha-256 {fingerprint}"),
            "a=setup:actpass".to_owned(),
            format!("a=extmap:4 {TRANSPORT_CC}"),
            format!("a=extmap:9 {MID}"),
            format!("a=extmap:12 {ABS_CAPTURE_TIME}"),
            format!("a={}", direction.attribute()),
            "a=rtcp-mux".to_owned(),
            "a=rtcp-rsize".to_owned(),
        ]);
        lines.extend(sources.into_iter().filter(|_| direction.sends()));
    }
    lines.join("\r\n") + "\r\n"
}

fn video(ssrc: u32) -> (Vec<String>, Vec<String>) {
    let media = vec![
        format!("m=video 9 UDP/TLS/RTP/SAVPF {H264} {H264_REPAIRS}"),
        "c=IN IP4 0.0.0.0".to_owned(),
        format!("a=rtpmap:{H264} H264/90000"),
        format!("a=fmtp:{H264} level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"),
        format!("a=rtcp-fb:{H264} transport-cc"),
        format!("a=rtcp-fb:{H264} nack"),
        format!("a=rtcp-fb:{H264} nack pli"),
        format!("a=rtpmap:{H264_REPAIRS} rtx/90000"),
        format!("a=fmtp:{H264_REPAIRS} apt={H264}"),
        format!("a=extmap:5 {PLAYOUT_DELAY}"),
    ];
    let repairs = ssrc + 1;
    let sources = vec![
        format!("a=ssrc-group:FID {ssrc} {repairs}"),
        format!("a=ssrc:{ssrc} cname:client"),
        format!("a=ssrc:{repairs} cname:client"),
    ];
    (media, sources)
}

fn audio(ssrc: u32) -> (Vec<String>, Vec<String>) {
    let media = vec![
        format!("m=audio 9 UDP/TLS/RTP/SAVPF {OPUS}"),
        "c=IN IP4 0.0.0.0".to_owned(),
        format!("a=rtpmap:{OPUS} opus/48000/2"),
        format!("a=fmtp:{OPUS} minptime=10;useinbandfec=1"),
    ];
    (media, vec![format!("a=ssrc:{ssrc} cname:client")])
}

fn data() -> (Vec<String>, Vec<String>) {
    let media = ["m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "c=IN IP4 0.0.0.0", "a=sctp-port:5000"];
    (media.map(str::to_owned).to_vec(), Vec::new())
}

/// The values that the sender of an offer needs from the answer.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The server's ICE credentials.
    pub credentials: Credentials,
    /// The fingerprint of the server's certificate.
    pub fingerprint: Fingerprint,
    /// The side that is left to the sender of the offer in the DTLS handshake.
    pub role: Role,
    /// The addresses of UDP of the server, the best first.
    pub candidates: Vec<SocketAddr>,
    /// Those of TCP.
    pub tcp_candidates: Vec<SocketAddr>,
    /// The sections that were not refused.
    pub streams: Vec<AnsweredStream>,
}

/// One accepted section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnsweredStream {
    /// The kind of media: video or audio.
    pub kind: MediaKind,
    /// The payload type of the chosen codec.
    pub payload_type: u8,
    /// The SSRC of the server's stream, if the server sends.
    pub ssrc: Option<u32>,
    /// The SSRC of the server's repair stream.
    pub repair_ssrc: Option<u32>,
}

impl Answered {
    /// Reads an answer. `None` if it lacks a value that a connection needs.
    pub fn parse(answer: &str) -> Option<Self> {
        let description = SessionDescription::unmarshal(&mut Cursor::new(answer.as_bytes())).ok()?;
        let accepted: Vec<_> =
            description.media_descriptions.iter().filter(|section| section.media_name.port.value != 0).collect();
        let first = Attributes(&accepted.first()?.attributes);
        let (_, digest) = first.value("fingerprint")?.split_once(' ')?;
        let streams = accepted.iter().filter_map(|section| {
            let kind = match section.media_name.media.as_str() {
                "video" => MediaKind::Video,
                "audio" => MediaKind::Audio,
                _ => MediaKind::Other,
            };
            let attributes = Attributes(&section.attributes);
            let mut ssrcs = attributes.values("ssrc").filter_map(|ssrc| ssrc.split(' ').next()?.parse().ok());
            Some(AnsweredStream {
                kind,
                payload_type: section.media_name.formats.first()?.parse().ok()?,
                ssrc: ssrcs.next(),
                repair_ssrc: ssrcs.next(),
            })
        });
        Some(Self {
            credentials: credentials(first.value("ice-ufrag")?, first.value("ice-pwd")?)?,
            fingerprint: digest.parse().ok()?,
            role: if first.value("setup") == Some("active") { Role::Server } else { Role::Client },
            candidates: first.values("candidate").filter_map(|line| candidate(line, "udp")).collect(),
            tcp_candidates: first.values("candidate").filter_map(|line| candidate(line, "tcp")).collect(),
            streams: streams.collect(),
        })
    }

    /// Returns the first stream of a kind.
    pub fn stream(&self, kind: MediaKind) -> Option<AnsweredStream> {
        self.streams.iter().copied().find(|stream| stream.kind == kind)
    }
}

fn candidate(line: &str, protocol: &str) -> Option<SocketAddr> {
    let mut words = line.split(' ').skip(2);
    words.next().filter(|word| *word == protocol)?;
    words.next()?; // The priority.
    Some(SocketAddr::new(words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}
