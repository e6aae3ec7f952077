//! Offers as clients send them, and the complete answers to them, as text.
//!
//! The Chromium offers come from a browser, the others were written by hand in the style of their clients. The answers
//! are snapshots: `INSTA_UPDATE=always cargo test -p onmic-rtc sdp` writes them anew. Read the difference before
//! committing it.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::extension::*;
use super::*;
use crate::transport::{Credentials, Fingerprint, Role};

const CHROMIUM_WHEP: &str = include_str!("golden/chromium-whep.offer.sdp");
const CHROMIUM_WHIP: &str = include_str!("golden/chromium-whip.offer.sdp");
const FIREFOX_WHEP: &str = include_str!("golden/firefox-whep.offer.sdp");
const OBS_WHIP: &str = include_str!("golden/obs-whip.offer.sdp");
const GSTREAMER_WHIP: &str = include_str!("golden/gstreamer-whip.offer.sdp");
const ALL: [&str; 5] = [CHROMIUM_WHEP, CHROMIUM_WHIP, FIREFOX_WHEP, OBS_WHIP, GSTREAMER_WHIP];

const VIDEO: [&str; 6] = [MID, RID, REPAIRED_RID, TRANSPORT_CC, PLAYOUT_DELAY, ABS_CAPTURE_TIME];

fn answer(offer: &Offer, flow: Flow, video: &[CodecCapability]) -> String {
    let ice = Credentials { ufrag: "ourFragment1".into(), pwd: "ourPasswordOf24Character".into() };
    let candidates = ["192.0.2.9:8189", "[2001:db8::9]:8189"].map(|text| Candidate::Udp(text.parse().unwrap()));
    let fingerprint = Fingerprint::of(b"our certificate");
    let mut answer = Answer::new(offer, 7, &ice, fingerprint, &candidates);
    let direction = match flow {
        Flow::Send => Direction::SendOnly,
        Flow::Receive => Direction::RecvOnly,
    };
    let source = |ssrc: u32, (rtx, fec): (bool, bool), track: &str| {
        (flow == Flow::Send).then(|| Source {
            ssrc,
            rtx_ssrc: rtx.then_some(ssrc + 1),
            fec_ssrc: fec.then_some(ssrc + 2),
            cname: "program".into(),
            stream: "room".into(),
            track: track.into(),
        })
    };
    let used = |chosen: Chosen| if flow == Flow::Send { chosen } else { chosen.without_redundancy() };
    if let Some(chosen) = offer.choose(MediaKind::Video, flow, video) {
        let chosen = used(chosen);
        let source = source(100, (chosen.rtx.is_some(), chosen.flexfec.is_some()), "video");
        let extensions = VIDEO.to_vec();
        answer.accept(Accept {
            chosen,
            also: Vec::new(),
            layers: Vec::new(),
            direction,
            extensions,
            source,
            fmtp: None,
        });
    }
    let opus = [CodecName::Opus.into()];
    if let Some(chosen) = offer.choose(MediaKind::Audio, flow, &opus) {
        let chosen = used(chosen);
        let source = source(200, (false, false), "audio");
        let fmtp = (flow == Flow::Receive).then(|| "minptime=10;useinbandfec=1;stereo=1".into());
        let extensions = vec![MID, TRANSPORT_CC];
        answer.accept(Accept { chosen, also: Vec::new(), layers: Vec::new(), direction, extensions, source, fmtp });
    }
    answer.render()
}

fn check(name: &str, offer: &str, flow: Flow, video: &[CodecCapability]) {
    // Lines end with CR LF on the wire, and with LF in files of the repository.
    let offer = Offer::parse(&offer.replace('\n', "\r\n")).unwrap();
    let text = answer(&offer, flow, video);
    assert!(text.ends_with("\r\n") && !text.replace("\r\n", "").contains(['\r', '\n']));
    insta::with_settings!({ snapshot_path => "golden", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(format!("{name}.answer"), text.replace("\r\n", "\n"));
    });
}

fn h264() -> [CodecCapability; 1] {
    [CodecName::H264.into()]
}

#[test]
fn redundancy_is_chosen_for_what_it_protects() {
    let offer = Offer::parse(CHROMIUM_WHEP).unwrap();
    let chosen = |kind, codec: CodecName| offer.choose(kind, Flow::Send, &[codec.into()]).unwrap();
    let number = |name: &str| {
        let codecs = offer.media.iter().flat_map(|section| &section.codecs);
        codecs.filter(|codec| codec.name == name).map(|codec| codec.payload_type).collect::<Vec<_>>()
    };
    let video = chosen(MediaKind::Video, CodecName::H264);
    assert_eq!((video.flexfec, video.red), (number("flexfec-03").first().copied(), None));
    let audio = chosen(MediaKind::Audio, CodecName::Opus);
    assert!(audio.flexfec.is_none() && audio.red.is_some_and(|red| number("red").contains(&red)));
    let text = answer(&offer, Flow::Send, &[CodecName::H264.into()]);
    for line in ["a=ssrc-group:FEC-FR 100 102", "a=ssrc:102 cname:program", "flexfec-03/90000", "red/48000/2"] {
        assert!(text.contains(line), "{line} in {text}");
    }
    let audio = &offer.media.iter().find(|section| section.kind == MediaKind::Audio).unwrap();
    assert_eq!(audio.red_of(1), None);
    for fmtp in ["111/112", "", "111/x"] {
        let other = CHROMIUM_WHEP.replace(" 111/111", &format!(" {fmtp}"));
        let chosen = Offer::parse(&other).unwrap().choose(MediaKind::Audio, Flow::Send, &[CodecName::Opus.into()]);
        assert_eq!(chosen.unwrap().red, None, "{fmtp}");
    }
    let left_out = video.without_redundancy();
    assert!(left_out.flexfec.is_none() && left_out.rtx.is_some());
}

#[test]
fn chromium_viewer_that_lists_vp8_first_gets_h264() {
    check("chromium-whep", CHROMIUM_WHEP, Flow::Send, &h264());
}

#[test]
fn chromium_publisher_is_asked_for_h264() {
    check("chromium-whip", CHROMIUM_WHIP, Flow::Receive, &h264());
}

#[test]
fn firefox_viewer_gets_h264_with_fragmentation() {
    check("firefox-whep", FIREFOX_WHEP, Flow::Send, &h264());
}

#[test]
fn obs_publisher_with_its_transport_at_session_level_is_accepted() {
    check("obs-whip", OBS_WHIP, Flow::Receive, &h264());
}

#[test]
fn gstreamer_publisher_keeps_bundle_only_audio_and_loses_the_data_channel() {
    check("gstreamer-whip", GSTREAMER_WHIP, Flow::Receive, &h264());
}

#[test]
fn an_offer_is_parsed_completely() {
    let offer = Offer::parse(CHROMIUM_WHIP).unwrap();
    let [audio, video] = &offer.media[..] else { panic!("two sections") };
    assert_eq!(offer.ice.ufrag, "ehws");
    assert_eq!((audio.kind, audio.direction), (MediaKind::Audio, Direction::SendOnly));
    assert_eq!(audio.ssrcs, [3_351_785_783]);
    assert_eq!(video.repairs, [(4_107_069_126, 4_232_893_418)]);
    assert_eq!(video.mid, "1");
    assert_eq!(video.rtx_of(108), Some(109));
    assert_eq!(video.extension_id(TRANSPORT_CC), Some(3));
    let stream = "bce8fda1-5040-42ac-9e31-32acf1514d85";
    assert_eq!(video.msid.as_ref().map(|(stream, _)| stream.as_str()), Some(stream));
    let h264 = video.codecs.iter().find(|codec| codec.payload_type == 108).unwrap();
    assert_eq!(h264.parameter("packetization-mode"), Some("1"));
    assert_eq!(h264.feedback, ["goog-remb", "transport-cc", "ccm fir", "nack", "nack pli"]);
}

fn chosen(offer: &str, name: CodecName, profile: Option<[u8; 3]>) -> Option<u8> {
    chosen_for(offer, CodecCapability { profile_level_id: profile, ..name.into() })
}

fn chosen_for(offer: &str, want: CodecCapability) -> Option<u8> {
    let offer = Offer::parse(offer).unwrap();
    let flow = if offer.media[0].direction.sends() { Flow::Receive } else { Flow::Send };
    let kind = if want.name == CodecName::Opus { MediaKind::Audio } else { MediaKind::Video };
    offer.choose(kind, flow, &[want]).map(|chosen| chosen.codec.payload_type)
}

#[test]
fn h264_prefers_fragmentation_then_the_profile_then_constrained_baseline() {
    let in_chromium = |profile| chosen(CHROMIUM_WHEP, CodecName::H264, profile);
    assert_eq!(in_chromium(None), Some(108));
    assert_eq!(in_chromium(Some([0x42, 0xc0, 0x1f])), Some(108));
    assert_eq!(in_chromium(Some([0x42, 0x00, 0x1f])), Some(102));
    assert_eq!(in_chromium(Some([0x4d, 0x00, 0x28])), Some(116));
    assert_eq!(in_chromium(Some([0x64, 0x00, 0x28])), Some(108)); // The offer does not list High.
    assert_eq!(chosen(FIREFOX_WHEP, CodecName::H264, None), Some(126));
    assert_eq!(chosen(GSTREAMER_WHIP, CodecName::H264, None), Some(97));
    let whole_units = FIREFOX_WHEP.replace(";packetization-mode=1", "");
    assert_eq!(chosen(&whole_units, CodecName::H264, None), Some(126));
    let strange = FIREFOX_WHEP.replace("packetization-mode=1", "packetization-mode=2");
    assert_eq!(chosen(&strange, CodecName::H264, None), Some(97));
}

#[test]
fn other_codecs_are_found_in_their_common_profile_only() {
    assert_eq!(chosen(CHROMIUM_WHEP, CodecName::Vp8, None), Some(96));
    assert_eq!(chosen(CHROMIUM_WHEP, CodecName::Vp9, None), Some(98));
    assert_eq!(chosen(CHROMIUM_WHEP, CodecName::Av1, None), Some(45));
    assert_eq!(chosen(CHROMIUM_WHEP, CodecName::H265, None), None);
    assert_eq!(chosen(CHROMIUM_WHEP, CodecName::Opus, None), Some(111));
    assert_eq!(chosen(GSTREAMER_WHIP, CodecName::H265, None), Some(99));
    assert_eq!(chosen(GSTREAMER_WHIP, CodecName::Opus, None), Some(100));
    let only_ten_bit = CHROMIUM_WHEP.replace("fmtp:98 profile-id=0", "fmtp:98 profile-id=2");
    assert_eq!(chosen(&only_ten_bit, CodecName::Vp9, None), None);
}

#[test]
fn a_stream_goes_out_under_a_payload_type_of_its_profile() {
    let of = |offer: &str, name: CodecName, profile| {
        chosen_for(offer, CodecCapability { profile: Some(profile), ..name.into() })
    };
    assert_eq!((of(CHROMIUM_WHEP, CodecName::Vp9, 0), of(CHROMIUM_WHEP, CodecName::Vp9, 2)), (Some(98), Some(100)));
    let eight_bits = CHROMIUM_WHEP.replace("fmtp:100 profile-id=2", "fmtp:100 profile-id=0");
    assert!(eight_bits != CHROMIUM_WHEP);
    assert_eq!(of(&eight_bits, CodecName::Vp9, 2), None);
    assert_eq!((of(GSTREAMER_WHIP, CodecName::H265, 1), of(GSTREAMER_WHIP, CodecName::H265, 2)), (Some(99), None));
    let ten_bits = CHROMIUM_WHEP.replace("VP9/90000", "H265/90000");
    assert_eq!((of(&ten_bits, CodecName::H265, 2), of(&ten_bits, CodecName::H265, 1)), (Some(100), Some(35)));
    assert_eq!((of(CHROMIUM_WHEP, CodecName::Av1, 0), of(CHROMIUM_WHEP, CodecName::Av1, 1)), (Some(45), Some(47)));
}

#[test]
fn a_section_may_name_any_profile_of_rtp_that_runs_over_dtls_and_is_answered_with_it() {
    // RFC 8829 5.1.2.
    for name in
        ["RTP/AVP", "RTP/AVPF", "RTP/SAVP", "RTP/SAVPF", "TCP/DTLS/RTP/SAVP", "TCP/DTLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP"]
    {
        let offer = CHROMIUM_WHEP.replace("UDP/TLS/RTP/SAVPF", name);
        let text = answer(&Offer::parse(&offer).unwrap(), Flow::Send, &h264());
        assert!(text.contains(&format!("m=video 9 {name} 108 ")), "{text}");
        let plain: String =
            offer.lines().filter(|line| !line.starts_with("a=fingerprint")).map(|line| format!("{line}\n")).collect();
        assert_eq!(Offer::parse(&plain), Err(OfferError::NoFingerprint), "{name}");
    }
    let unknown = Offer::parse(&CHROMIUM_WHEP.replace("UDP/TLS/RTP/SAVPF", "TCP/TLS/RTP/SAVPF")).unwrap();
    assert!(unknown.media.iter().all(|section| section.unspoken() == Some("TCP/TLS/RTP/SAVPF")));
    let data =
        Offer::parse(&CHROMIUM_WHEP.replace("m=video 9 UDP/TLS/RTP/SAVPF", "m=application 9 UDP/DTLS/SCTP")).unwrap();
    assert!(data.media.iter().all(|section| section.unspoken().is_none()));
}

#[test]
fn the_order_of_wanted_codecs_is_the_servers() {
    let offer = Offer::parse(CHROMIUM_WHEP).unwrap();
    let wanted = [CodecName::H265, CodecName::Av1, CodecName::H264].map(CodecCapability::from);
    let chosen = offer.choose(MediaKind::Video, Flow::Send, &wanted).unwrap();
    assert_eq!((chosen.name, chosen.rtx), (CodecName::Av1, Some(46)));
    // A viewer that only receives is not asked to send.
    assert_eq!(offer.choose(MediaKind::Video, Flow::Receive, &wanted), None);
}

#[test]
fn offers_that_lack_something_say_what_to_change() {
    let error = |from: &str, to: &str| {
        let text = CHROMIUM_WHEP.replace(from, to);
        assert!(text != CHROMIUM_WHEP, "{from}");
        Offer::parse(&text).unwrap_err()
    };
    assert_eq!(error("a=rtcp-mux\n", ""), OfferError::NoRtcpMux("0".into()));
    assert_eq!(error("a=group:BUNDLE 0 1\n", ""), OfferError::NotBundled);
    assert_eq!(error("BUNDLE 0 1", "BUNDLE 0"), OfferError::NotBundled);
    assert_eq!(error("a=ice-ufrag:Xhna\n", ""), OfferError::NoIce);
    assert_eq!(error("a=ice-ufrag:Xhna", "a=ice-ufrag:X:na"), OfferError::NoIce);
    assert_eq!(error("a=fingerprint:sha-256", "a=fingerprint:sha-1"), OfferError::NoFingerprint);
    assert_eq!(error("sha-256 AA:", "sha-256 XX:"), OfferError::NoFingerprint);
    assert_eq!(error("setup:actpass", "setup:holdconn"), OfferError::Setup("holdconn".into()));
    assert_eq!(error("t=0 0\n", "t=0 0\na=ice-lite\n"), OfferError::IceLite);
    assert_eq!(error("a=mid:1", "a=mid:0"), OfferError::NoMid(1));
    assert!(matches!(error("v=0\n", ""), OfferError::NotSdp(_)));
    assert!(matches!(Offer::parse(""), Err(OfferError::NotSdp(_))));
    assert_eq!(Offer::parse("v=0\no=- 1 1 IN IP4 0.0.0.0\ns=-\nt=0 0\n"), Err(OfferError::NoMedia));
}

#[test]
fn the_server_is_the_dtls_client_of_a_passive_peer_alone() {
    for (setup, role, ours) in [
        ("actpass", Role::Server, "passive"),
        ("active", Role::Server, "passive"),
        ("passive", Role::Client, "active"),
        ("PASSIVE", Role::Client, "active"),
    ] {
        let offer = Offer::parse(&CHROMIUM_WHIP.replace("setup:actpass", &format!("setup:{setup}"))).unwrap();
        assert_eq!(offer.role, role, "{setup}");
        let text = answer(&offer, Flow::Receive, &h264());
        assert_eq!(text.matches(&format!("a=setup:{ours}\r\n")).count(), 2, "{text}");
    }
    // The attribute may stand at session level.
    let at_session = CHROMIUM_WHEP.replace("a=setup:actpass\n", "").replace("t=0 0\n", "t=0 0\na=setup:passive\n");
    assert_eq!(Offer::parse(&at_session).unwrap().role, Role::Client);
}

#[test]
fn a_line_that_cannot_be_read_costs_its_codec_or_extension_alone() {
    for (from, to) in [
        ("VP8/90000", "VP8"),
        ("VP8/90000", "/90000"),
        ("VP8/90000", "VP8/x"),
        ("a=extmap:1 ", "a=extmap:0 "),
        ("a=extmap:1 ", "a=extmap:4096 "),
        ("SAVPF 96 ", "SAVPF x "),
    ] {
        let text = CHROMIUM_WHEP.replace(from, to);
        assert!(text != CHROMIUM_WHEP, "{from}");
        assert_eq!(chosen(&text, CodecName::H264, None), Some(108), "{to}");
        assert_eq!(chosen(&text, CodecName::Vp8, None).is_some(), from.starts_with("a="), "{to}");
    }
}

#[test]
fn a_line_that_is_not_used_may_be_odd_or_absent_or_in_another_place() {
    let origin = CHROMIUM_WHIP.lines().find(|line| line.starts_with("o=")).unwrap();
    let plain = Offer::parse(CHROMIUM_WHIP).unwrap();
    for (from, to) in [
        (origin, "o=- -1 -1 IN IP4 127.0.0.1"),
        (origin, "o=- 99999999999999999999 99999999999999999999 IN IP4 127.0.0.1"),
        (origin, "o=my user 1 1 IN IP4 127.0.0.1"),
        (origin, "a=x"),
        ("s=-\n", ""),
        ("t=0 0\n", ""),
        ("t=0 0\n", "x=1\n"),
        ("t=0 0\n", "a=odd\nt=0 0\n"),
        ("a=mid:1\n", "y=1\nnonsense\n\na=mid:1\n"),
        ("a=mid:1\n", "a=mid:1\r\r\n"),
        ("v=0\n", "\u{feff}v=0\n"),
        ("v=0\n", "\n v=0\n"),
        ("a=group:BUNDLE", "a=group:bundle"),
        ("c=IN IP4 0.0.0.0\n", ""),
    ] {
        let text = CHROMIUM_WHIP.replace(from, to);
        assert!(text != CHROMIUM_WHIP, "{from:?}");
        assert_eq!(Offer::parse(&text).as_ref(), Ok(&plain), "{to:?}");
    }
    let at_session = CHROMIUM_WHIP.replace("a=rtcp-mux\n", "").replace("t=0 0\n", "t=0 0\na=rtcp-mux\n");
    assert_eq!(Offer::parse(&at_session), Ok(plain));
}

#[test]
fn codecs_are_found_however_they_are_written() {
    for opus in ["OPUS/48000/2", "opus/48000", "OPUS/48000", "Opus/48000/1", " opus / 48000 /2 ", "opus/48000/"] {
        let text = CHROMIUM_WHEP.replace("opus/48000/2", opus);
        assert_eq!(chosen(&text, CodecName::Opus, None), Some(111), "{opus}");
    }
    for not_opus in ["opus/48000/6", "opus/16000/2", "opus", "PCMU/8000"] {
        assert_eq!(chosen(&CHROMIUM_WHEP.replace("opus/48000/2", not_opus), CodecName::Opus, None), None, "{not_opus}");
    }
    let video = |from: &str, to: &str, name| {
        let text = CHROMIUM_WHEP.replace(from, to);
        assert!(text != CHROMIUM_WHEP, "{from}");
        chosen(&text, name, None)
    };
    assert_eq!(video("H264/90000", "h264/90000", CodecName::H264), Some(108));
    assert_eq!(video("a=rtpmap:108 ", "a=rtpmap:108  ", CodecName::H264), Some(108));
    assert_eq!(video("packetization-mode=1", "Packetization-Mode=01", CodecName::H264), Some(108));
    assert_eq!(video("profile-level-id=42e01f", "profile-level-id=42E01F", CodecName::H264), Some(108));
    assert_eq!(video("profile-id=0", "profile-id= 0", CodecName::Vp9), Some(98));
    let spaced = CHROMIUM_WHEP.replace("rtcp-fb:108 nack pli", "rtcp-fb:108 NACK  PLI").replace("apt=108", "apt=0108");
    let offer = Offer::parse(&spaced).unwrap();
    let chosen = offer.choose(MediaKind::Video, Flow::Send, &h264()).unwrap();
    assert!(chosen.rtx.is_some() && chosen.codec.feedback.contains(&"nack pli".to_owned()));
    let older = Offer::parse(&CHROMIUM_WHEP.replace("UDP/TLS/RTP/SAVPF", "RTP/SAVPF")).unwrap();
    assert!(answer(&older, Flow::Send, &h264()).contains("m=video 9 RTP/SAVPF 108 "));
}

#[test]
fn a_section_alone_may_go_without_a_name() {
    let (session, rest) = OBS_WHIP.split_once("m=").unwrap();
    let first = rest.split("m=").next().unwrap();
    let without = |text: &str, start: &str| {
        text.lines().filter(|line| !line.starts_with(start)).map(|line| format!("{line}\r\n")).collect::<String>()
    };
    let alone = format!("{}m={}", without(session, "a=group"), without(first, "a=mid"));
    let offer = Offer::parse(&alone).unwrap();
    let text = answer(&offer, Flow::Receive, &h264());
    assert!(!text.contains("a=mid") && !text.contains("a=group") && text.contains("a=recvonly"), "{text}");
}

#[test]
fn a_rejected_section_states_the_transport_as_well() {
    let offer = Offer::parse(&CHROMIUM_WHEP.replace("H264/90000", "X/90000")).unwrap();
    let text = answer(&offer, Flow::Send, &h264());
    let rejected = text.split("m=").find(|section| section.starts_with("video 0 ")).unwrap();
    let transport = ["a=ice-ufrag:ourFragment1", "a=ice-pwd:", "a=fingerprint:sha-256 ", "a=setup:passive"];
    for line in transport.into_iter().chain(["a=inactive", "a=rtcp-mux", "a=rtpmap:96 VP8/90000"]) {
        assert!(rejected.contains(line), "{line} in {rejected}");
    }
    assert!(text.contains("a=group:BUNDLE 1\r\n") || text.contains("a=group:BUNDLE 0\r\n"), "{text}");
}

fn layers(lines: &str) -> Vec<String> {
    let text = CHROMIUM_WHIP.replacen("a=mid:1\n", &format!("a=mid:1\n{lines}"), 1);
    assert!(text != CHROMIUM_WHIP);
    Offer::parse(&text).unwrap().media[1].layers.clone()
}

#[test]
fn simulcast_layers_are_read_in_the_order_of_the_offer() {
    let rids = "a=rid:l send\na=rid:m send pt=108\na=rid:h send\na=rid:x recv\n";
    let none: [&str; 0] = [];
    assert_eq!(layers(&format!("{rids}a=simulcast:send l;m;h\n")), ["l", "m", "h"]);
    assert_eq!(layers(&format!("{rids}a=simulcast:recv x send h;~l\n")), ["h", "l"]);
    assert_eq!(layers(&format!("{rids}a=simulcast:send q,m;l;l\n")), ["m", "l"], "the first form that is described");
    assert_eq!(layers(&format!("{rids}a=simulcast:send x;zz\n")), none);
    assert_eq!(layers(rids), none, "names alone are not simulcast");
    assert_eq!(layers("a=rid:a b send\na=rid:a*b send\na=simulcast:send a*b;\n"), none);
}

#[test]
fn all_payload_types_of_the_wanted_codecs_are_found_best_first() {
    let offer = Offer::parse(CHROMIUM_WHIP).unwrap();
    let wanted = [CodecName::H264, CodecName::Vp8].map(CodecCapability::from);
    let all = offer.choose_all(1, &wanted);
    let best = offer.choose(MediaKind::Video, Flow::Receive, &wanted).unwrap();
    assert_eq!(all.first(), Some(&best));
    assert_eq!(all.last().map(|chosen| chosen.name), Some(CodecName::Vp8));
    let offered = offer.media[1].codecs.iter().filter(|codec| codec.name == "H264" || codec.name == "VP8").count();
    assert_eq!(all.len(), offered);
    assert!(all.iter().all(|chosen| chosen.rtx == offer.media[1].rtx_of(chosen.codec.payload_type)));
    assert!(offer.choose_all(9, &wanted).is_empty());
}

#[test]
fn a_carriage_return_within_a_line_does_not_get_into_the_answer() {
    for inside in ['\r', '\0'] {
        let offer = CHROMIUM_WHEP.replacen("a=mid:0", &format!("a=mid:0{inside}a=sendonly"), 1);
        assert!(matches!(Offer::parse(&offer), Err(OfferError::NotSdp(_))), "{inside:?}");
    }
}

#[test]
fn offers_over_a_cap_are_refused() {
    let section = "m=video 9 UDP/TLS/RTP/SAVPF 96\n";
    assert_eq!(Offer::parse(&section.repeat(17)), Err(OfferError::TooManySections));
    assert_eq!(Offer::parse(&" ".repeat(65_537)), Err(OfferError::TooLarge));
}

/// A host with many networks has a candidate for each address and protocol of them.
#[test]
fn lines_beyond_a_cap_cost_themselves() {
    let plain = Offer::parse(CHROMIUM_WHEP).unwrap();
    let with = |count, line: fn(usize) -> String| {
        let lines: String = (0..count).map(line).collect();
        let offer = Offer::parse(&CHROMIUM_WHEP.replacen("a=recvonly\n", &format!("a=recvonly\n{lines}"), 1)).unwrap();
        assert_eq!(answer(&offer, Flow::Send, &h264()), answer(&plain, Flow::Send, &h264()));
        offer
    };
    assert_eq!(with(500, |at| format!("a=candidate:{at} 1 udp 1 192.0.2.1 {at} typ host\n")), plain);
    assert_eq!(with(99, |at| format!("a=ssrc:{at} cname:x\n")).media[0].ssrcs.len(), 32);
    assert_eq!(with(99, |at| format!("a=extmap:{} x\n", at + 20)).media[0].extensions.len(), 32);
    let formats: String = (0..128).map(|number| format!(" {number}")).collect();
    let wide = Offer::parse(&CHROMIUM_WHEP.replacen("SAVPF 96", &format!("SAVPF 96{formats} 96"), 1)).unwrap();
    assert_eq!(wide.media[0].codecs.first(), plain.media[0].codecs.first());
    assert!(wide.media[0].codecs.len() <= 64);
    let fragment = Fragment::parse(&"a=candidate:1\r\n".repeat(500)).unwrap();
    assert_eq!(fragment.candidates, 500);
}

#[test]
fn mutated_offers_never_panic_and_answers_to_them_parse() {
    let mut random = StdRng::seed_from_u64(11);
    let mut parsed = 0;
    for round in 0..4_000 {
        let mut bytes = ALL[round % ALL.len()].as_bytes().to_vec();
        for _ in 0..random.random_range(1..4) {
            let at = random.random_range(0..bytes.len());
            match random.random_range(0..4) {
                0 => bytes[at] = random.random(),
                1 => bytes.truncate(at.max(1)),
                2 => bytes.insert(at, b"\n=:/ 09am"[random.random_range(0..9)]),
                _ => drop(bytes.remove(at)),
            }
        }
        if let Ok(offer) = Offer::parse(&String::from_utf8_lossy(&bytes)) {
            parsed += 1;
            for flow in [Flow::Send, Flow::Receive] {
                let text = answer(&offer, flow, &h264());
                let lines = text.lines().filter(|line| line.starts_with("m=")).count();
                assert_eq!(lines, offer.media.len());
            }
        }
    }
    assert!(parsed > 100, "{parsed}");
}

const FRAGMENT: &str = "a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n\
    m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n\
    a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0\r\n\
    a=candidate:3471623853 1 udp 2122194687 198.51.100.2 61765 typ host generation 0\r\n\
    a=end-of-candidates\r\n";

#[test]
fn a_parsed_fragment_tells_a_restart_from_trickling() {
    let fragment = Fragment::parse(FRAGMENT).unwrap();
    assert_eq!((fragment.candidates, fragment.end_of_candidates), (2, true));
    let ice = fragment.ice.clone().unwrap();
    assert!(!fragment.restarts(&ice));
    assert!(fragment.restarts(&Credentials { ufrag: "other".into(), ..ice }));
    assert_eq!(Fragment::parse("a=ice-ufrag:EsAw\r\n"), Err(FragmentError::Credentials));
    assert_eq!(Fragment::parse("hello"), Err(FragmentError::NotSdp(1)));
}

#[test]
fn the_answer_to_a_restart_is_a_fragment() {
    let ice = Credentials { ufrag: "ourFragment1".into(), pwd: "ourPasswordOf24Character".into() };
    let text = render_fragment(&ice, "0", &[Candidate::Udp("192.0.2.9:8189".parse().unwrap())]);
    let expected = "a=ice-lite\r\na=ice-ufrag:ourFragment1\r\na=ice-pwd:ourPasswordOf24Character\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n\
        a=candidate:1 1 udp 2130706431 192.0.2.9 8189 typ host\r\na=end-of-candidates\r\n";
    assert_eq!(text, expected);
    assert_eq!(Fragment::parse(&text).unwrap().ice, Some(ice));
}

#[test]
fn mutated_fragments_never_panic() {
    let mut random = StdRng::seed_from_u64(12);
    for _ in 0..2_000 {
        let mut bytes = FRAGMENT.as_bytes().to_vec();
        let at = random.random_range(0..bytes.len());
        bytes[at] = random.random();
        let _ = Fragment::parse(&String::from_utf8_lossy(&bytes));
    }
}
