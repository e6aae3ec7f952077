//! An answer: the choice for each m-line of an offer, printed.
//!
//! Sections keep the offer's order and names. Those that are not accepted get port 0, and the
//! transport's attributes as well, because some clients read them from the first section whether it is
//! accepted or not. The server is ICE-lite, so all candidates are in the answer.

use rtc_sdp::description::common::{Address, Attribute, ConnectionInformation};
use rtc_sdp::description::media::{MediaDescription, MediaName, RangedPort};
use rtc_sdp::description::session::{Origin, SessionDescription, TimeDescription};

use super::attribute::{flag, value};
use super::candidate::{Candidate, candidate_attributes};
use super::codec::Chosen;
use super::extension::TRANSPORT_CC;
use super::offer::{Direction, FLEXFEC, MediaKind, MediaSection, Offer, OfferedCodec};
use crate::transport::{Credentials, Fingerprint, Role};

/// The feedback that this server acts on, as offers name it.
const FEEDBACK: [&str; 5] = ["transport-cc", "ccm fir", "nack", "nack pli", "rrtr"];

/// The time within which the repair packets of FlexFEC follow the packets that they cover: 10 s, as browsers state it. Ours
/// follow at once.
const REPAIR_WINDOW_MICROS: u32 = 10_000_000;

/// The stream that the server sends in a section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The SSRC of the stream.
    pub ssrc: u32,
    /// The SSRC of its repair stream, if repairs were offered.
    pub rtx_ssrc: Option<u32>,
    /// The SSRC of its FlexFEC stream, if that was offered.
    pub fec_ssrc: Option<u32>,
    /// The canonical name. It is the same for all tracks on one clock, and receivers play those in
    /// sync.
    pub cname: String,
    /// The name of the media stream.
    pub stream: String,
    /// The name of the track.
    pub track: String,
}

/// The way in which a section is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accept {
    /// The section and its payload type.
    pub chosen: Chosen,
    /// Further payload types of the section that the peer may send instead, at any time.
    pub also: Vec<Chosen>,
    /// The simulcast layers that the peer may send (RFC 8853). Empty without simulcast.
    pub layers: Vec<String>,
    /// The direction, as seen by the server.
    pub direction: Direction,
    /// The URIs of the header extensions that the server knows. Those that are offered too are
    /// accepted.
    pub extensions: Vec<&'static str>,
    /// The stream that the server sends, if it sends.
    pub source: Option<Source>,
    /// The parameters to state in place of the offered ones, such as `stereo=1` to a publisher.
    pub fmtp: Option<String>,
}

/// An answer that is being built.
#[derive(Debug, Clone)]
pub struct Answer<'a> {
    offer: &'a Offer,
    session_id: u64,
    ice: &'a Credentials,
    fingerprint: Fingerprint,
    candidates: &'a [Candidate],
    accepted: Vec<Accept>,
}

impl<'a> Answer<'a> {
    /// Begins an answer that accepts no section yet. `candidates` are the addresses at which the
    /// peer reaches the shard, the best of each protocol first. `session_id` is any number below 2⁶³.
    pub fn new(
        offer: &'a Offer,
        session_id: u64,
        ice: &'a Credentials,
        fingerprint: Fingerprint,
        candidates: &'a [Candidate],
    ) -> Self {
        Self { offer, session_id, ice, fingerprint, candidates, accepted: Vec::new() }
    }

    /// Accepts a section. A second call for the same section replaces the first.
    pub fn accept(&mut self, accept: Accept) -> &mut Self {
        self.accepted.retain(|earlier| earlier.chosen.section != accept.chosen.section);
        self.accepted.push(accept);
        self
    }

    /// Renders the text of the answer.
    pub fn render(&self) -> String {
        let mut session = SessionDescription {
            origin: Origin {
                username: "-".to_owned(),
                session_id: self.session_id,
                session_version: 1,
                network_type: "IN".to_owned(),
                address_type: "IP4".to_owned(),
                unicast_address: "127.0.0.1".to_owned(),
            },
            session_name: "-".to_owned(),
            time_descriptions: vec![TimeDescription::default()],
            ..SessionDescription::default()
        };
        session.attributes.push(flag("ice-lite"));
        let mids: Vec<&str> = self.accepted_in_order().map(|(mid, _)| mid).filter(|mid| !mid.is_empty()).collect();
        if !mids.is_empty() {
            session.attributes.push(value("group", format!("BUNDLE {}", mids.join(" "))));
        }
        if self.offer.extmap_allow_mixed {
            session.attributes.push(flag("extmap-allow-mixed"));
        }
        session.attributes.push(value("msid-semantic", "WMS *".to_owned()));
        let first = self.accepted_in_order().next().map(|(_, section)| section);
        session.media_descriptions =
            (0..self.offer.media.len()).map(|at| self.section(at, first == Some(at))).collect();
        session.marshal()
    }

    fn accepted_in_order(&self) -> impl Iterator<Item = (&str, usize)> {
        self.offer
            .media
            .iter()
            .enumerate()
            .filter(|(at, _)| self.accept_of(*at).is_some())
            .map(|(at, section)| (section.mid.as_str(), at))
    }

    fn accept_of(&self, section: usize) -> Option<&Accept> {
        self.accepted.iter().find(|accept| accept.chosen.section == section)
    }

    fn section(&self, at: usize, with_candidates: bool) -> MediaDescription {
        let offered = &self.offer.media[at];
        let Some(accept) = self.accept_of(at) else {
            let mut attributes = name_of(offered);
            attributes.push(flag("inactive"));
            attributes.extend(self.transport());
            // Some clients look for these in every section of audio or video before they see that it is rejected.
            if offered.kind != MediaKind::Other {
                attributes.push(flag("rtcp-mux"));
                let first = offered.codecs.iter().find(|codec| codec.payload_type.to_string() == offered.format);
                attributes.extend(first.map(rtp_map));
            }
            return media_line(offered, 0, vec![offered.format.clone()], attributes);
        };
        let mut attributes = name_of(offered);
        attributes.extend([flag(accept.direction.attribute()), flag("rtcp-mux")]);
        if offered.rsize {
            attributes.push(flag("rtcp-rsize"));
        }
        attributes.extend(self.transport());
        extensions(offered, accept, &mut attributes);
        for chosen in accept.all() {
            codec(chosen, accept, &mut attributes);
        }
        layers(&accept.layers, &mut attributes);
        if let Some(source) = &accept.source {
            sources(source, &mut attributes);
        }
        if with_candidates {
            attributes.extend(candidate_attributes(self.candidates));
        }
        let formats = accept.all().flat_map(|chosen| {
            std::iter::once(chosen.codec.payload_type).chain(chosen.rtx).chain(chosen.red).chain(chosen.flexfec)
        });
        media_line(offered, 9, formats.map(|number| number.to_string()).collect(), attributes)
    }

    /// Returns the attributes of the transport, which all sections share.
    fn transport(&self) -> [Attribute; 4] {
        let setup = match self.offer.role {
            Role::Server => "passive",
            Role::Client => "active",
        };
        [
            value("ice-ufrag", self.ice.ufrag.clone()),
            value("ice-pwd", self.ice.pwd.clone()),
            value("fingerprint", format!("sha-256 {}", self.fingerprint)),
            value("setup", setup.to_owned()),
        ]
    }
}

impl Accept {
    /// Returns the payload types that the peer may use, the preferred first.
    fn all(&self) -> impl Iterator<Item = &Chosen> {
        std::iter::once(&self.chosen).chain(&self.also)
    }
}

/// Returns the `a=mid` of a section that has a name.
fn name_of(offered: &MediaSection) -> Vec<Attribute> {
    let named = !offered.mid.is_empty();
    named.then(|| value("mid", offered.mid.clone())).into_iter().collect()
}

fn media_line(
    offered: &MediaSection,
    port: isize,
    formats: Vec<String>,
    attributes: Vec<Attribute>,
) -> MediaDescription {
    MediaDescription {
        media_name: MediaName {
            media: offered.media.clone(),
            port: RangedPort { value: port, range: None },
            protos: offered.protocol.split('/').map(str::to_owned).collect(),
            formats,
        },
        connection_information: Some(ConnectionInformation {
            network_type: "IN".to_owned(),
            address_type: "IP4".to_owned(),
            address: Some(Address { address: "0.0.0.0".to_owned(), ttl: None, range: None }),
        }),
        attributes,
        ..MediaDescription::default()
    }
}

fn extensions(offered: &MediaSection, accept: &Accept, attributes: &mut Vec<Attribute>) {
    for extension in &offered.extensions {
        if accept.extensions.contains(&extension.uri.as_str()) {
            attributes.push(value("extmap", format!("{} {}", extension.id, extension.uri)));
        }
    }
}

fn rtp_map(codec: &OfferedCodec) -> Attribute {
    let channels = if codec.channels > 0 { format!("/{}", codec.channels) } else { String::new() };
    value("rtpmap", format!("{} {}/{}{channels}", codec.payload_type, codec.name, codec.clock_rate))
}

fn codec(chosen: &Chosen, accept: &Accept, attributes: &mut Vec<Attribute>) {
    let codec = &chosen.codec;
    let number = codec.payload_type;
    attributes.push(rtp_map(codec));
    let fmtp = accept.fmtp.as_deref().unwrap_or(&codec.fmtp);
    if !fmtp.is_empty() {
        attributes.push(value("fmtp", format!("{number} {fmtp}")));
    }
    for feedback in FEEDBACK {
        // Feedback on each packet needs the numbers of the extension.
        let usable = match feedback {
            "transport-cc" => accept.extensions.contains(&TRANSPORT_CC),
            "rrtr" => accept.direction == Direction::SendOnly, // A publisher has its round trip from our reports.
            _ => true,
        };
        if usable && codec.feedback.iter().any(|offered| offered == feedback) {
            attributes.push(value("rtcp-fb", format!("{number} {feedback}")));
        }
    }
    if let Some(rtx) = chosen.rtx {
        attributes.push(value("rtpmap", format!("{rtx} rtx/{}", codec.clock_rate)));
        attributes.push(value("fmtp", format!("{rtx} apt={number}")));
    }
    if let Some(red) = chosen.red {
        attributes.push(value("rtpmap", format!("{red} red/{}/{}", codec.clock_rate, codec.channels)));
        attributes.push(value("fmtp", format!("{red} {number}/{number}")));
    }
    if let Some(flexfec) = chosen.flexfec {
        attributes.push(value("rtpmap", format!("{flexfec} {FLEXFEC}/{}", codec.clock_rate)));
        attributes.push(value("fmtp", format!("{flexfec} repair-window={REPAIR_WINDOW_MICROS}")));
    }
}

fn layers(layers: &[String], attributes: &mut Vec<Attribute>) {
    attributes.extend(layers.iter().map(|rid| value("rid", format!("{rid} recv"))));
    if !layers.is_empty() {
        attributes.push(value("simulcast", format!("recv {}", layers.join(";"))));
    }
}

fn sources(source: &Source, attributes: &mut Vec<Attribute>) {
    attributes.push(value("msid", format!("{} {}", source.stream, source.track)));
    if let Some(rtx) = source.rtx_ssrc {
        attributes.push(value("ssrc-group", format!("FID {} {rtx}", source.ssrc)));
    }
    if let Some(fec) = source.fec_ssrc {
        attributes.push(value("ssrc-group", format!("FEC-FR {} {fec}", source.ssrc)));
    }
    for ssrc in std::iter::once(source.ssrc).chain(source.rtx_ssrc).chain(source.fec_ssrc) {
        attributes.push(value("ssrc", format!("{ssrc} cname:{}", source.cname)));
    }
}
