//! Tests of what is negotiated so that losses need no request: FlexFEC and redundant audio.

use super::*;
use crate::sdp::client;

#[test]
fn redundancy_is_answered_where_this_server_sends() {
    let more = |text: String| {
        let video = "a=rtpmap:49 flexfec-03/90000\r\na=rtpmap:96";
        let audio = "a=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\na=rtpmap:111";
        let text = text.replace("SAVPF 96 97", "SAVPF 96 97 49").replace("SAVPF 111", "SAVPF 111 63");
        text.replace("a=rtpmap:96", video).replace("a=rtpmap:111", audio)
    };
    let offer = offered(more);
    let [video, audio] = [(0, TrackKey::VIDEO, Codec::H264), (1, TrackKey::AUDIO, Codec::Opus)]
        .map(|(section, key, codec)| send(&offer, section, (key, codec), None, &streams()).unwrap());
    let fec = video.config.guard.fec.unwrap();
    assert_eq!((fec.payload_type, video.config.guard.red), (49, None));
    assert_eq!((audio.config.guard.fec.is_none(), audio.config.guard.red), (true, Some(63)));
    let text = answered(&offer, &[Some(video.clone()), Some(audio)]);
    assert!(text.contains(&format!("a=ssrc-group:FEC-FR {} {}\r\n", video.config.ssrc, fec.ssrc)), "{text}");
    assert!(text.contains(&format!("a=ssrc:{} cname:", fec.ssrc)) && text.contains("a=fmtp:63 111/111\r\n"), "{text}");
    let fingerprint = Identity::generate().unwrap().fingerprint();
    let text = more(client::offer(Direction::SendOnly, &Credentials::generate(), fingerprint));
    let answer = answered_to(&publishing(more), &Offer::parse(&text).unwrap());
    assert!(!answer.contains("flexfec") && !answer.contains("red/48000"), "{answer}");
}
