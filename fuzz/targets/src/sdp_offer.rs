//! An offer: if it is accepted, it can be answered both ways, and the answer is valid SDP.

use onmic_rtc::sdp::{
    Accept, Answer, Candidate, CodecName, Direction, Flow, MediaKind, Offer, OfferError, Source, extension,
};
use onmic_rtc::transport::{Credentials, Fingerprint};

const VIDEO: [CodecName; 5] = [CodecName::H264, CodecName::H265, CodecName::Av1, CodecName::Vp9, CodecName::Vp8];
const EXTENSIONS: [&str; 3] = [extension::MID, extension::TRANSPORT_CC, extension::ABS_CAPTURE_TIME];

/// Takes one input.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(offer) = Offer::parse(text) else { return };
    for flow in [Flow::Send, Flow::Receive] {
        let answer = answer(&offer, flow);
        let is_line = |line: &str| matches!(line.as_bytes(), [b'a'..=b'z', b'=', ..]) && !line.contains(['\r', '\n']);
        assert!(answer.strip_suffix("\r\n").is_some_and(|lines| lines.split("\r\n").all(is_line)), "{answer:?}");
        assert_eq!(Offer::parse(&answer), Err(OfferError::IceLite), "{answer:?}"); // Otherwise it is as an offer.
    }
}

fn answer(offer: &Offer, flow: Flow) -> String {
    let ice = Credentials { ufrag: "ourFragment1".into(), pwd: "ourPasswordOf24Character".into() };
    let candidates = [Candidate::Udp(([192, 0, 2, 9], 8189).into())];
    let mut answer = Answer::new(offer, 7, &ice, Fingerprint::of(b"our certificate"), &candidates);
    let direction = if flow == Flow::Send { Direction::SendOnly } else { Direction::RecvOnly };
    let video = VIDEO.iter().filter_map(|name| offer.choose(MediaKind::Video, flow, &[(*name).into()]));
    let audio = offer.choose(MediaKind::Audio, flow, &[CodecName::Opus.into()]);
    for chosen in video.chain(audio) {
        let source = Source {
            ssrc: 100,
            rtx_ssrc: chosen.rtx.map(|_| 101),
            fec_ssrc: chosen.flexfec.map(|_| 102),
            cname: "room".into(),
            stream: "room".into(),
            track: "track".into(),
        };
        let source = (flow == Flow::Send).then_some(source);
        let section = chosen.section;
        let also = offer.choose_all(section, &VIDEO.map(Into::into));
        let layers = offer.media[section].layers.clone();
        let extensions = EXTENSIONS.to_vec();
        answer.accept(Accept { chosen, also, layers, direction, extensions, source, fmtp: None });
    }
    answer.render()
}
