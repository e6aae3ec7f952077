//! Chooses the payload types, streams and header extensions of the answer to an offer.
//!
//! Pure: SDP in, values out. The tracks of the feed and the codecs of the offer decide what a viewer gets. The order of
//! preference is the server's, not the browser's.

use std::sync::Arc;

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use onmic_media::codec::{h264, h265};
use onmic_media::{Codec, MediaKind, Parameters, TrackKey};
use thiserror::Error;

use crate::capability::{capability, codec_of};
use crate::forms::{offered_forms, printable};
use crate::rtp::packet::{ExtensionIds, LayerIds, Mid};
use crate::rtp::receive::LAYERS_MAX;
use crate::rtp::sender::{FecConfig, GuardConfig, Resend, SenderConfig};
use crate::sdp::{
    self, Accept, Answer, Candidate, CodecCapability, CodecName, Direction, Flow, MediaSection, Offer, OfferError,
    OfferedCodec, Source, extension,
};
use crate::streams::Streams;
use crate::transport::{Credentials, Fingerprint};

/// The video codecs that a viewer may get, best first.
const VIDEO_CODECS: [Codec; 5] = [Codec::H264, Codec::H265, Codec::Av1, Codec::Vp9, Codec::Vp8];

/// The video codecs that publishers may send, best first.
const VIDEO_FROM_PUBLISHER: [CodecName; 5] =
    [CodecName::H264, CodecName::H265, CodecName::Vp8, CodecName::Vp9, CodecName::Av1];

/// The same codecs for a track that has yet to come. It can be had in the first two whatever it is, because it is converted to them, and
/// in each of the others only if it comes in that codec, in its first profile.
const VIDEO_LATER: [CodecName; 5] = [CodecName::H264, CodecName::Vp8, CodecName::H265, CodecName::Vp9, CodecName::Av1];

/// The header extensions of packets to viewers. They have no `mid`, because the answer names the SSRC of each section.
/// They have no transport-wide numbers, because nothing here would act on the feedback, which costs a packet every 50
/// ms per viewer.
const SENT: [&str; 2] = [extension::PLAYOUT_DELAY, extension::ABS_CAPTURE_TIME];

/// The header extensions that publishers may use. Their `mid` names streams whose SSRC is not in the offer, and with
/// simulcast the others say which repairs belong to which layer.
const RECEIVED: [&str; 5] =
    [extension::MID, extension::TRANSPORT_CC, extension::ABS_CAPTURE_TIME, extension::RID, extension::REPAIRED_RID];

/// The Opus parameters that publishers are asked for: both channels, and in later packets a copy of the lost ones.
const OPUS_FROM_PUBLISHER: &str = "minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1";

/// Base64 as `a=fmtp` has it. Some clients leave out the padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// The `nal_unit_type` of a sequence parameter set of H.264.
const H264_SPS: u8 = 7;

/// Why an offer cannot be answered with media.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum Mismatch {
    #[error("{0}")]
    Offer(#[from] OfferError),
    #[error("the offer has no section that {0}: add one, audio or video")]
    NoSection(&'static str),
    #[error(
        "the offer has data channels only, which this server does not carry: add a section that {0}, audio or video"
    )]
    OnlyData(&'static str),
    #[error("the media of the offer is in {0}, which this server does not speak: offer UDP/TLS/RTP/SAVPF")]
    Protocol(String),
    #[error("the offer has no codec in common with this server; offer one of {}", .0.join(", "))]
    NoCodec(Vec<String>),
    #[error(
        "the offer takes none of the video codecs in which this can be watched; offer {}, or no video, or watch by LL-HLS",
        .0.join(" or ")
    )]
    NoVideo(Vec<String>),
}

/// Returns the sections of an offer that media of a kind is sent in. The n-th is for the n-th rendition of the feed, so the
/// first is for the main one. `codecs` are those in which the main one can be had, the best first, and `original` is how it
/// came.
///
/// Some clients offer a section for each codec, and want one of them. So the main rendition gets the first section that takes
/// the best codec, and sections that do not take the same codec are other forms of that one.
pub(crate) fn sections(offer: &Offer, kind: MediaKind, codecs: &[Codec], original: Option<&Parameters>) -> Vec<usize> {
    let sections = offer.sections(section_kind(kind), Flow::Send);
    let mut sections: Vec<_> = sections.map(|section| (section, receivable(offer, section, original))).collect();
    let best = |codec: &&Codec| sections.iter().any(|(_, takes)| takes.contains(codec));
    match codecs.iter().find(best) {
        Some(best) => sections.retain(|(_, takes)| takes.contains(best)),
        None => sections.retain(|(_, takes)| !takes.is_empty()),
    }
    sections.into_iter().map(|(section, _)| section).collect()
}

/// Returns the codecs in which media of a kind can be sent, best first.
pub(crate) fn sendable(kind: MediaKind) -> &'static [Codec] {
    match kind {
        MediaKind::Video => &VIDEO_CODECS,
        MediaKind::Audio => &[Codec::Opus],
        MediaKind::Data => &[],
    }
}

/// Returns whether an offer has a section that receives media of a kind, in whatever codecs.
pub(crate) fn asks_for(offer: &Offer, kind: MediaKind) -> bool {
    offer.sections(section_kind(kind), Flow::Send).next().is_some()
}

/// Returns the kinds of media that an offer asks for in none of the codecs that they can be sent in, so that its answer rejects all sections
/// of these kinds, with the forms that it names.
pub(crate) fn unsendable(offer: &Offer) -> Vec<(MediaKind, String)> {
    let unsendable = |kind: MediaKind| {
        let forms = offered_forms(offer, section_kind(kind), Flow::Send)?;
        let is_taken = !sections(offer, kind, &[], None).is_empty();
        (!is_taken).then_some((kind, forms))
    };
    [MediaKind::Video, MediaKind::Audio].into_iter().filter_map(unsendable).collect()
}

/// Returns the codecs that one section of an offer can receive. That of `original` is one of them only if the section has a
/// payload type of its profile.
pub(crate) fn receivable(offer: &Offer, section: usize, original: Option<&Parameters>) -> Vec<Codec> {
    let candidates = match offer.media.get(section).map(|section| section.kind) {
        Some(sdp::MediaKind::Video) => sendable(MediaKind::Video),
        Some(sdp::MediaKind::Audio) => sendable(MediaKind::Audio),
        Some(sdp::MediaKind::Other) | None => &[],
    };
    let can = |codec: &Codec| {
        let wanted = capability(*codec, original).expect("only codecs of WebRTC are candidates");
        offer.choose_in(section, &[wanted]).is_some()
    };
    candidates.iter().copied().filter(can).collect()
}

/// The plan to send one track in one session.
#[derive(Clone, Debug)]
pub(crate) struct Sending {
    pub(crate) key: TrackKey,
    pub(crate) codec: Codec,
    pub(crate) config: SenderConfig,
    /// How far behind the viewer plays at least, in ms.
    pub(crate) delay_ms: u16,
    accept: Accept,
}

/// Plans to send the track `key`, which is in `codec` with `parameters` as far as they are known, in one section of the offer.
/// `None` if the section does not take it.
pub(crate) fn send(
    offer: &Offer,
    section: usize,
    (key, codec): (TrackKey, Codec),
    parameters: Option<&Parameters>,
    streams: &Streams,
) -> Option<Sending> {
    let chosen = offer.choose_in(section, &[capability(codec, parameters)?])?;
    let section = &offer.media[chosen.section];
    let ssrc = random_ssrc();
    let asks_again = chosen.codec.feedback.iter().any(|feedback| feedback == "nack");
    let rtx = chosen.rtx.filter(|_| asks_again).map(|payload_type| (random_ssrc(), payload_type));
    let resend = match rtx {
        Some((ssrc, payload_type)) => Resend::Repair { ssrc, payload_type, sequence: rand::random() },
        None if asks_again => Resend::AsSent,
        None => Resend::Never,
    };
    let fec =
        chosen.flexfec.map(|payload_type| FecConfig { ssrc: random_ssrc(), payload_type, sequence: rand::random() });
    let config = SenderConfig {
        ssrc,
        payload_type: chosen.codec.payload_type,
        extensions: extension_ids(section, &SENT),
        mid: Mid::default(),
        resend,
        sequence: rand::random(),
        timestamp: rand::random(),
        sync: streams.playout().sync,
        guard: GuardConfig { fec, red: chosen.red },
    };
    let source = Source {
        ssrc,
        rtx_ssrc: rtx.map(|(ssrc, _)| ssrc),
        fec_ssrc: fec.map(|fec| fec.ssrc),
        cname: streams.cname(key.kind).to_owned(),
        stream: streams.media_stream().to_owned(),
        track: key.to_string(),
    };
    let accept = Accept {
        chosen,
        also: Vec::new(),
        layers: Vec::new(),
        direction: Direction::SendOnly,
        extensions: SENT.to_vec(),
        source: Some(source),
        fmtp: None,
    };
    Some(Sending { key, codec, config, delay_ms: streams.playout().delay_ms, accept })
}

/// Plans to send a track that the feed does not have yet. `None` if the section takes no codec that the track could be
/// in.
pub(crate) fn send_later(offer: &Offer, section: usize, key: TrackKey, streams: &Streams) -> Option<Sending> {
    let wanted = match key.kind {
        MediaKind::Video => VIDEO_LATER.map(CodecCapability::from).to_vec(),
        kind => from_publisher(kind),
    };
    let chosen = offer.choose_in(section, &wanted)?;
    send(offer, section, (key, codec_of(chosen.name)), None, streams)
}

/// The plan to receive one section in one session.
#[derive(Clone, Debug)]
pub(crate) struct Receiving {
    pub(crate) key: TrackKey,
    /// The payload types that the peer may use, the preferred first.
    pub(crate) formats: Vec<Format>,
    /// The SSRC that the offer announces. A peer may leave it out and state the mid in its packets.
    pub(crate) ssrc: Option<u32>,
    pub(crate) rtx_ssrc: Option<u32>,
    pub(crate) mid: String,
    pub(crate) extensions: ExtensionIds,
    pub(crate) layers: LayerIds,
    pub(crate) nack: bool,
    pub(crate) transport_cc: bool,
    /// Whether feedback may go without a report in front of it (RFC 5506).
    pub(crate) reduced_size: bool,
    accept: Accept,
}

/// One payload type that a publisher may use.
#[derive(Clone, Debug)]
pub(crate) struct Format {
    pub(crate) payload_type: u8,
    pub(crate) codec: Codec,
    /// The payload type of its repairs.
    pub(crate) rtx: Option<u8>,
    /// The parameter sets that its `a=fmtp` states (`sprop-parameter-sets`), if any.
    pub(crate) parameters: Option<Arc<Parameters>>,
}

/// Plans to receive one video and one audio track, in whatever payload type arrives. All that the section offers and this
/// server takes are answered, because not every publisher can send the one that is preferred. A second section of a kind may be another camera, not another
/// rendition of the same video, so it is not accepted.
pub(crate) fn receive(offer: &Offer) -> Result<Vec<Receiving>, Mismatch> {
    let choose = |kind| offer.choose(section_kind(kind), Flow::Receive, &from_publisher(kind));
    let kinds = [MediaKind::Video, MediaKind::Audio].into_iter();
    let receiving: Vec<_> = kinds.filter_map(|kind| Some(receiving(offer, kind, choose(kind)?))).collect();
    if !receiving.is_empty() {
        return Ok(receiving);
    }
    if !offer.media.iter().any(|section| !section.rejected && section.direction.sends()) {
        return Err(nothing(offer, "sends"));
    }
    Err(Mismatch::NoCodec(VIDEO_CODECS.iter().chain(&[Codec::Opus]).map(|codec| codec.name().to_owned()).collect()))
}

/// Returns the kinds that an offer to publish has in forms that this server does not take, so that [`receive`] leaves
/// them out, with the names of these forms.
pub(crate) fn refused(offer: &Offer) -> Vec<(MediaKind, String)> {
    let refused = |kind| {
        let is_taken = offer.choose(section_kind(kind), Flow::Receive, &from_publisher(kind)).is_some();
        let forms = offered_forms(offer, section_kind(kind), Flow::Receive);
        Some((kind, forms.filter(|_| !is_taken)?))
    };
    [MediaKind::Video, MediaKind::Audio].into_iter().filter_map(refused).collect()
}

/// Returns the kinds of which an offer to publish has several sections that this server could take. [`receive`] takes the first.
pub(crate) fn several(offer: &Offer) -> Vec<MediaKind> {
    let several = |kind: &MediaKind| {
        let wanted = from_publisher(*kind);
        let sections = offer.sections(section_kind(*kind), Flow::Receive);
        sections.filter(|section| offer.choose_in(*section, &wanted).is_some()).nth(1).is_some()
    };
    [MediaKind::Video, MediaKind::Audio].into_iter().filter(several).collect()
}

/// Explains why an offer has no section that `does` what is needed.
pub(crate) fn nothing(offer: &Offer, does: &'static str) -> Mismatch {
    if offer.media.iter().any(|section| section.kind != sdp::MediaKind::Other) {
        return Mismatch::NoSection(does);
    }
    match offer.media.iter().find_map(MediaSection::unspoken) {
        Some(protocol) => Mismatch::Protocol(printable(protocol)),
        None => Mismatch::OnlyData(does),
    }
}

/// Renders the answer.
pub(crate) fn answer(
    offer: &Offer,
    (session_id, ice, fingerprint): (u64, &Credentials, Fingerprint),
    candidates: &[Candidate],
    accepts: impl IntoIterator<Item = Accept>,
) -> String {
    let mut answer = Answer::new(offer, session_id, ice, fingerprint, candidates);
    for accept in accepts {
        answer.accept(accept);
    }
    answer.render()
}

impl Sending {
    pub(crate) fn accept(&self) -> Accept {
        self.accept.clone()
    }
}

impl Receiving {
    pub(crate) fn accept(&self) -> Accept {
        self.accept.clone()
    }
}

fn receiving(offer: &Offer, kind: MediaKind, chosen: sdp::Chosen) -> Receiving {
    let section = &offer.media[chosen.section];
    let mut all = offer.choose_all(chosen.section, &from_publisher(kind));
    let formats = all.iter().map(format).collect();
    all.retain(|other| other.codec.payload_type != chosen.codec.payload_type);
    let is_repair = |ssrc: &u32| section.repairs.iter().any(|(_, repair)| repair == ssrc);
    let ssrc = section.ssrcs.iter().copied().find(|ssrc| !is_repair(ssrc));
    let rtx_ssrc = section.repairs.iter().find(|(original, _)| Some(*original) == ssrc).map(|(_, repair)| *repair);
    let layers: Vec<_> = section.layers.iter().take(LAYERS_MAX).cloned().collect();
    let says = |feedback: &str| chosen.codec.feedback.iter().any(|offered| offered == feedback);
    Receiving {
        key: TrackKey::main(kind),
        formats,
        ssrc,
        rtx_ssrc,
        mid: section.mid.clone(),
        extensions: extension_ids(section, &RECEIVED),
        layers: layer_ids(section),
        nack: says("nack"),
        transport_cc: says("transport-cc"),
        reduced_size: section.takes_reduced_size(),
        accept: Accept {
            chosen: chosen.without_redundancy(),
            also: all.into_iter().map(sdp::Chosen::without_redundancy).collect(),
            layers,
            direction: Direction::RecvOnly,
            extensions: RECEIVED.to_vec(),
            source: None,
            fmtp: (kind == MediaKind::Audio).then(|| OPUS_FROM_PUBLISHER.to_owned()),
        },
    }
}

fn format(chosen: &sdp::Chosen) -> Format {
    let codec = codec_of(chosen.name);
    Format {
        payload_type: chosen.codec.payload_type,
        codec,
        rtx: chosen.rtx,
        parameters: stated_parameters(codec, &chosen.codec).map(Arc::new),
    }
}

/// Reads the parameter sets that a payload type states (RFC 6184 8.1, RFC 7798 7.1). `None` if they are not there, or are
/// not usable: those of the stream count then.
fn stated_parameters(codec: Codec, offered: &OfferedCodec) -> Option<Parameters> {
    let sets = |name| -> Option<Vec<Bytes>> {
        let list = offered.parameter(name)?.split(',').map(str::trim).filter(|set| !set.is_empty());
        list.map(|set| Some(BASE64.decode(set).ok()?.into())).collect()
    };
    match codec {
        Codec::H264 => {
            let (sps, pps) = sets("sprop-parameter-sets")?.into_iter().partition(|set| h264::nal_type(set) == H264_SPS);
            h264::Parameters::from_parameter_sets(sps, pps).ok().map(Parameters::H264)
        }
        Codec::H265 => {
            let (vps, sps, pps) = (sets("sprop-vps")?, sets("sprop-sps")?, sets("sprop-pps")?);
            h265::Parameters::from_parameter_sets(vps, sps, pps).ok().map(Parameters::H265)
        }
        _ => None,
    }
}

fn layer_ids(section: &MediaSection) -> LayerIds {
    let id = |uri: &str| section.extension_id(uri).unwrap_or(0);
    LayerIds { rid: id(extension::RID), repaired_rid: id(extension::REPAIRED_RID) }
}

fn extension_ids(section: &MediaSection, known: &[&str]) -> ExtensionIds {
    let id = |uri: &str| known.contains(&uri).then(|| section.extension_id(uri)).flatten().unwrap_or(0);
    ExtensionIds {
        mid: id(extension::MID),
        transport_cc: id(extension::TRANSPORT_CC),
        playout_delay: id(extension::PLAYOUT_DELAY),
        abs_capture_time: id(extension::ABS_CAPTURE_TIME),
    }
}

fn from_publisher(kind: MediaKind) -> Vec<CodecCapability> {
    let names: &[CodecName] = match kind {
        MediaKind::Video => &VIDEO_FROM_PUBLISHER,
        MediaKind::Audio => &[CodecName::Opus],
        MediaKind::Data => &[],
    };
    names.iter().copied().map(CodecCapability::from).collect()
}

fn section_kind(kind: MediaKind) -> sdp::MediaKind {
    match kind {
        MediaKind::Video => sdp::MediaKind::Video,
        MediaKind::Audio => sdp::MediaKind::Audio,
        MediaKind::Data => sdp::MediaKind::Other,
    }
}

fn random_ssrc() -> u32 {
    rand::random_range(1..=u32::MAX)
}

#[cfg(test)]
mod tests {
    mod redundancy;

    use super::*;
    use onmic_media::codec::vp9;
    use onmic_media::{AvSync, Rendition};

    use crate::capability::{form_to_offer, further_profile};
    use crate::sdp::client::{Answered, OPUS, offer, offer_of};
    use crate::transport::Identity;

    fn offered(change: impl Fn(String) -> String) -> Offer {
        let fingerprint = Identity::generate().unwrap().fingerprint();
        Offer::parse(&change(offer(Direction::RecvOnly, &Credentials::generate(), fingerprint))).unwrap()
    }

    fn streams() -> Streams {
        Streams::named("cname", AvSync::LipSync)
    }

    fn answered(offer: &Offer, sending: &[Option<Sending>]) -> String {
        let (ice, identity) = (Credentials::generate(), Identity::generate().unwrap());
        let accepts = sending.iter().flatten().map(Sending::accept);
        answer(offer, (1, &ice, identity.fingerprint()), &[Candidate::Udp(([127, 0, 0, 1], 1).into())], accepts)
    }

    #[test]
    fn a_kind_that_the_feed_may_get_later_is_accepted_with_its_stream() {
        let offer = offered(|offer| offer);
        let pictures = send(&offer, 0, (TrackKey::VIDEO, Codec::H264), None, &streams());
        let sound = send_later(&offer, 1, TrackKey::AUDIO, &streams());
        let ssrc = sound.as_ref().unwrap().config.ssrc;
        let text = answered(&offer, &[pictures, sound]);
        let stream = Answered::parse(&text).unwrap().stream(sdp::MediaKind::Audio).unwrap();
        assert_eq!((stream.ssrc, stream.payload_type), (Some(ssrc), OPUS));
        assert_eq!(text.matches("a=sendonly").count(), 2, "{text}");
        assert!(text.contains("a=group:BUNDLE 0 1"), "{text}");
    }

    #[test]
    fn audio_is_named_as_video_unless_the_viewer_wants_video_first() {
        let offer = offered(|offer| offer);
        for (sync, audio) in [(AvSync::LipSync, "cname"), (AvSync::PictureFirst, "cname-audio")] {
            let streams = Streams::named("cname", sync);
            let video = send(&offer, 0, (TrackKey::VIDEO, Codec::H264), None, &streams);
            let sound = send_later(&offer, 1, TrackKey::AUDIO, &streams);
            let ssrc = sound.as_ref().unwrap().config.ssrc;
            let text = answered(&offer, &[video, sound]);
            assert!(text.contains(&format!("a=ssrc:{ssrc} cname:{audio}\r\n")), "{text}");
            assert_eq!(text.matches(" cname:cname\r\n").count(), if audio == "cname" { 3 } else { 2 }, "{text}");
            assert!(text.contains("a=msid:cname video\r\n") && text.contains("a=msid:cname audio\r\n"), "{text}");
        }
    }

    #[test]
    fn video_that_comes_later_is_planned_in_a_codec_that_it_can_be_converted_to_or_else_in_the_likeliest() {
        let later = |offer: &Offer| send_later(offer, 0, TrackKey::VIDEO, &streams()).map(|planned| planned.codec);
        assert_eq!(later(&offered(|offer| offer)), Some(Codec::H264));
        let others = |offer: String| offer.replace("H264/90000", "VP9/90000").replace("rtx/90000", "VP8/90000");
        assert_eq!(later(&offered(others)), Some(Codec::Vp8));
        let others = |offer: String| offer.replace("H264/90000", "H265/90000").replace("rtx/90000", "VP8/90000");
        assert_eq!(later(&offered(others)), Some(Codec::Vp8), "H.265 may come with 10 bits");
        assert_eq!(later(&offered(|offer| offer.replace("H264/90000", "VP9/90000"))), Some(Codec::Vp9));
    }

    #[test]
    fn a_kind_that_could_never_be_sent_is_rejected() {
        let offer = offered(|offer| offer.replace("opus/48000/2", "PCMU/8000"));
        assert!(sections(&offer, MediaKind::Audio, &[Codec::Opus], None).is_empty());
        assert!(send_later(&offer, 1, TrackKey::AUDIO, &streams()).is_none());
        let text = answered(&offer, &[send(&offer, 0, (TrackKey::VIDEO, Codec::H264), None, &streams()), None]);
        assert!(text.contains("m=audio 0 ") && text.contains("a=inactive"), "{text}");
        assert_eq!(unsendable(&offer), [(MediaKind::Audio, "PCMU".to_owned())]);
        assert_eq!(unsendable(&offered(|offer| offer)), []);
        let one_way = offered(|offer| offer.replace("a=recvonly", "a=sendonly"));
        assert!(sections(&one_way, MediaKind::Audio, &[Codec::Opus], None).is_empty());
        assert_eq!(unsendable(&one_way), [], "it asks for nothing");
    }

    #[test]
    fn the_sections_of_a_kind_are_for_its_renditions_in_order_and_data_is_rejected() {
        use sdp::MediaKind::{Audio, Other, Video};
        let fingerprint = Identity::generate().unwrap().fingerprint();
        let (direction, ice) = (Direction::RecvOnly, Credentials::generate());
        let kinds = [Audio, Video, Other, Video, Video];
        let offer = Offer::parse(&offer_of(&kinds, direction, &ice, fingerprint)).unwrap();
        let of = |kind, codec| sections(&offer, kind, &[codec], None);
        assert_eq!((of(MediaKind::Video, Codec::H264), of(MediaKind::Audio, Codec::Opus)), (vec![1, 3, 4], vec![0]));
        let key = |rendition| TrackKey::new(MediaKind::Video, Rendition(rendition));
        let video = [(1, key(0)), (3, key(1))];
        let sending = video.map(|(section, key)| send(&offer, section, (key, Codec::H264), None, &streams()));
        let ssrcs = sending.each_ref().map(|sending| sending.as_ref().map(|sending| sending.config.ssrc));
        let text = answered(&offer, &sending);
        let answered = Answered::parse(&text).unwrap();
        assert_eq!(answered.streams.iter().map(|stream| stream.ssrc).collect::<Vec<_>>(), ssrcs);
        assert!(text.contains("a=msid:cname video\r\n") && text.contains("a=msid:cname video1\r\n"), "{text}");
        assert!(text.contains("m=application 0 ") && text.contains("a=group:BUNDLE 1 3\r\n"), "{text}");
    }

    #[test]
    fn of_a_section_for_each_codec_the_one_of_the_best_codec_is_used() {
        use sdp::MediaKind::{Audio, Video};
        let fingerprint = Identity::generate().unwrap().fingerprint();
        let text = offer_of(&[Video, Video, Video, Audio], Direction::RecvOnly, &Credentials::generate(), fingerprint);
        let text = ["VP9/90000", "VP8/90000"].iter().fold(text, |text, codec| text.replacen("H264/90000", codec, 1));
        let offer = Offer::parse(&text).unwrap();
        let of = |codecs: &[Codec]| sections(&offer, MediaKind::Video, codecs, None);
        assert_eq!(of(&[Codec::Vp9, Codec::H264, Codec::Vp8]), [0], "the codec of the track");
        assert_eq!(of(&[Codec::Av1, Codec::H264, Codec::Vp8]), [2], "the first that it is converted to");
        assert_eq!(of(&[Codec::Vp8]), [1]);
        assert_eq!(of(&[Codec::Av1]), [0, 1, 2], "none of them: the reason is told of the first");
        let text = answered(&offer, &[send(&offer, 2, (TrackKey::VIDEO, Codec::H264), None, &streams())]);
        let rejected: Vec<_> = text.split("m=").filter(|section| section.starts_with("video 0 ")).collect();
        assert_eq!(rejected.len(), 2, "{text}");
        for (at, section) in rejected.into_iter().enumerate() {
            assert!(section.contains(&format!("a=mid:{at}\r\n")) && section.contains("a=inactive\r\n"), "{text}");
        }
        assert!(text.contains("a=group:BUNDLE 2\r\n"), "{text}");
    }

    fn publishing(change: impl Fn(String) -> String) -> Vec<Receiving> {
        let fingerprint = Identity::generate().unwrap().fingerprint();
        let text = offer(Direction::SendOnly, &Credentials::generate(), fingerprint);
        receive(&Offer::parse(&change(text)).unwrap()).unwrap()
    }

    fn answered_to(receiving: &[Receiving], offer: &Offer) -> String {
        let (ice, identity) = (Credentials::generate(), Identity::generate().unwrap());
        let accepts = receiving.iter().map(Receiving::accept);
        answer(offer, (1, &ice, identity.fingerprint()), &[Candidate::Udp(([127, 0, 0, 1], 1).into())], accepts)
    }

    #[test]
    fn a_publisher_may_send_any_codec_that_it_offers_and_this_server_takes() {
        let others = "a=rtpmap:98 VP8/90000\r\na=rtpmap:99 VP9/90000\r\na=fmtp:99 profile-id=2\r\na=rtpmap:100 VP9/90000\r\n\
            a=rtpmap:101 rtx/90000\r\na=fmtp:101 apt=98\r\na=rtpmap:102 ulpfec/90000\r\na=rtpmap:96";
        let change =
            |text: String| text.replace("SAVPF 96 97", "SAVPF 98 99 96 97 100 101 102").replace("a=rtpmap:96", others);
        let receiving = publishing(change);
        let formats: Vec<_> = receiving[0].formats.iter().map(|format| (format.payload_type, format.codec)).collect();
        assert_eq!(formats, [(96, Codec::H264), (98, Codec::Vp8), (100, Codec::Vp9)], "ours first");
        assert_eq!(receiving[0].formats[1].rtx, Some(101));
        let fingerprint = Identity::generate().unwrap().fingerprint();
        let offer = Offer::parse(&change(offer(Direction::SendOnly, &Credentials::generate(), fingerprint))).unwrap();
        let text = answered_to(&receiving, &offer);
        assert!(text.contains("m=video 9 UDP/TLS/RTP/SAVPF 96 97 98 101 100\r\n"), "{text}");
        for line in ["a=rtpmap:98 VP8/90000\r\n", "a=fmtp:101 apt=98\r\n", "a=rtpmap:100 VP9/90000\r\n"] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert!(!text.contains("a=simulcast") && !text.contains("ulpfec"), "{text}");
    }

    #[test]
    fn what_is_refused_of_an_offer_is_named_in_the_form_that_it_has() {
        let refused_of = |direction, from: &str, to: &str| {
            let fingerprint = Identity::generate().unwrap().fingerprint();
            let text = offer(direction, &Credentials::generate(), fingerprint);
            assert!(text.contains(from), "{text}");
            refused(&Offer::parse(&text.replace(from, to)).unwrap())
        };
        let sending = |from: &str, to: &str| refused_of(Direction::SendOnly, from, to);
        let video = |form: &str| vec![(MediaKind::Video, form.to_owned())];
        assert_eq!(sending("a=mid:0", "a=mid:0"), []);
        assert_eq!(sending("H264/90000", "H265/90000\r\na=fmtp:96 profile-id=2"), video("H265 (profile-id=2)"));
        assert_eq!(sending("packetization-mode=1", "packetization-mode=2"), video("H264 (packetization-mode=2)"));
        assert_eq!(sending("H264/90000", "VP9/90000\r\na=fmtp:96 profile-id=2;x=y"), video("VP9 (profile-id=2)"));
        assert_eq!(sending("H264/90000", "MPEG4/90000")[0].1.split(' ').next(), Some("MPEG4"));
        assert_eq!(sending("opus/48000/2", "PCMU/8000"), [(MediaKind::Audio, "PCMU".to_owned())]);
        assert_eq!(refused_of(Direction::RecvOnly, "H264/90000", "VP9/1"), [], "no media comes in it");
    }

    #[test]
    fn a_further_section_of_a_kind_is_noticed_if_it_could_be_taken() {
        use sdp::MediaKind::{Audio, Other, Video};
        let several_of = |kinds: &[sdp::MediaKind], direction, from: &str, to: &str| {
            let fingerprint = Identity::generate().unwrap().fingerprint();
            let text = offer_of(kinds, direction, &Credentials::generate(), fingerprint);
            several(&Offer::parse(&text.replacen(from, to, 1)).unwrap())
        };
        let sending = |kinds: &[sdp::MediaKind]| several_of(kinds, Direction::SendOnly, "", "");
        assert_eq!(sending(&[Video, Audio, Other]), []);
        assert_eq!(sending(&[Video, Audio, Video, Video]), [MediaKind::Video]);
        assert_eq!(sending(&[Video, Audio, Audio, Video]), [MediaKind::Video, MediaKind::Audio]);
        let two = [Video, Video];
        assert_eq!(several_of(&two, Direction::RecvOnly, "", ""), [], "no media comes in them");
        assert_eq!(several_of(&two, Direction::SendOnly, "a=sendonly", "a=recvonly"), []);
        assert_eq!(several_of(&two, Direction::SendOnly, "H264/90000", "MPEG4/90000"), [], "one could not be taken");
    }

    #[test]
    fn simulcast_is_answered_layer_by_layer_up_to_the_cap() {
        let simulcast = |count: usize| {
            let names: Vec<_> = (0..count).map(|name| name.to_string()).collect();
            let rids: String = names.iter().map(|name| format!("a=rid:{name} send\r\n")).collect();
            format!("{rids}a=simulcast:send {}\r\na=mid:0\r\n", names.join(";"))
        };
        for (offered, answer) in [(3, "a=simulcast:recv 0;1;2\r\n"), (9, "a=simulcast:recv 0;1;2;3\r\n")] {
            let fingerprint = Identity::generate().unwrap().fingerprint();
            let text = offer(Direction::SendOnly, &Credentials::generate(), fingerprint);
            let rid = format!("a=extmap:6 {}\r\n", extension::RID);
            let text = text.replacen("a=mid:0\r\n", &format!("{rid}{}", simulcast(offered)), 1);
            let parsed = Offer::parse(&text).unwrap();
            let receiving = receive(&parsed).unwrap();
            assert_eq!(receiving[0].layers.rid, 6);
            let text = answered_to(&receiving, &parsed);
            assert!(text.contains(answer) && text.contains("a=rid:0 recv\r\n") && text.contains(&rid), "{text}");
            assert!(!text.contains("a=rid:4 recv"), "{text}");
        }
    }

    #[test]
    fn parameter_sets_of_the_offer_are_known_before_the_stream() {
        let sprop = "sprop-parameter-sets=Z0LAH4yNQFAe0A8IhGo=,aM48gA==";
        let with = |sets: &str| {
            publishing(|text| text.replace("profile-level-id=42e01f", &format!("profile-level-id=42e01f;{sets}")))
        };
        let known = with(sprop)[0].formats[0].parameters.clone().unwrap();
        let Parameters::H264(known) = &*known else { panic!("{known:?}") };
        assert_eq!((known.sps.len(), known.pps.len(), known.sps[0][0]), (1, 1, 0x67));
        assert!(
            with(&sprop.replace("==", "").replace("Go=", "Go"))[0].formats[0].parameters.is_some(),
            "without padding"
        );
        for unusable in
            ["sprop-parameter-sets=", "sprop-parameter-sets=Z0LAH4yNQFAe0A8IhGo=", "sprop-parameter-sets=%%,%%"]
        {
            assert!(with(unusable)[0].formats[0].parameters.is_none(), "{unusable}");
        }
    }

    #[test]
    fn an_offer_of_data_channels_alone_is_told_what_to_add() {
        let fingerprint = Identity::generate().unwrap().fingerprint();
        let ice = Credentials::generate();
        let text = offer_of(&[sdp::MediaKind::Other], Direction::SendRecv, &ice, fingerprint);
        let refused = receive(&Offer::parse(&text).unwrap()).unwrap_err();
        assert_eq!(refused, Mismatch::OnlyData("sends"));
    }

    #[test]
    fn a_protocol_that_is_not_spoken_is_named() {
        let fingerprint = Identity::generate().unwrap().fingerprint();
        let text = offer(Direction::SendOnly, &Credentials::generate(), fingerprint);
        let refused = receive(&Offer::parse(&text.replace("UDP/TLS/RTP/SAVPF", "TCP/RTP/AVP")).unwrap()).unwrap_err();
        assert_eq!(refused, Mismatch::Protocol("TCP/RTP/AVP".to_owned()));
        assert!(refused.to_string().contains("TCP/RTP/AVP") && !refused.to_string().contains("data"), "{refused}");
    }

    fn ten_bits() -> Parameters {
        Parameters::Vp9(vp9::Parameters::from_vpcc(&[1, 0, 0, 0, 2, 10, 0xa2, 2, 2, 2, 0, 0]).unwrap())
    }

    #[test]
    fn a_stream_of_a_further_profile_goes_in_its_own_codec_only_under_its_payload_type() {
        let original = ten_bits();
        assert_eq!(further_profile(&original), Some(2));
        assert_eq!(form_to_offer(Codec::Vp9, &original), "vp9 (profile-id=2)");
        assert_eq!(form_to_offer(Codec::H264, &original), "h264");
        let vp9 = |forms: &'static str| {
            let lines = format!("a=rtpmap:98 VP9/90000\r\n{forms}a=rtpmap:96");
            offered(move |offer| offer.replace("SAVPF 96 97", "SAVPF 96 97 98").replace("a=rtpmap:96", &lines))
        };
        let eight_bits = vp9("");
        assert_eq!(receivable(&eight_bits, 0, None), [Codec::H264, Codec::Vp9]);
        assert_eq!(receivable(&eight_bits, 0, Some(&original)), [Codec::H264], "it is converted");
        let planned = |offer: &Offer| send(offer, 0, (TrackKey::VIDEO, Codec::Vp9), Some(&original), &streams());
        assert!(planned(&eight_bits).is_none());
        let deeper = vp9("a=fmtp:98 profile-id=2\r\n");
        assert_eq!(receivable(&deeper, 0, Some(&original)), [Codec::H264, Codec::Vp9]);
        assert_eq!(planned(&deeper).unwrap().config.payload_type, 98);
        assert_eq!(receivable(&deeper, 0, None), [Codec::H264], "others are 8 bits");
    }
}
