//! Packets of a protected stream and its repair packets, in any order and form: what is made again is a packet of the
//! stream, and the decoder keeps a bounded number of them.
//!
//! Each packet is a byte and a piece. With an even byte the piece is a repair packet's payload, with an odd one a packet,
//! or with [`IN_ORDER`] the payload of the next packet.

use onmic_rtc::rtp::fec::Decoder;
use onmic_rtc::rtp::packet::Incoming;

use crate::Input;

const SSRC: u32 = 7;
const TRANSPORT_CC: u8 = 2;
const IN_ORDER: u8 = 2;

/// Takes one input.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let mut decoder = Decoder::new(SSRC, TRANSPORT_CC);
    let (mut sequence, mut recovered, mut repairs) = (65_530_u16, 0, 0);
    while let (Some(does), Some(piece)) = (input.byte(), input.piece()) {
        if does & 1 == 0 {
            decoder.handle_repair(piece);
            repairs += 1;
        } else if does & IN_ORDER == 0 {
            decoder.handle_media(piece);
        } else {
            let mut packet = vec![0x80, 96];
            packet.extend_from_slice(&sequence.to_be_bytes());
            packet.extend_from_slice(&[0, 0, 0, 9]);
            packet.extend_from_slice(&SSRC.to_be_bytes());
            packet.extend_from_slice(piece);
            decoder.handle_media(&packet);
            sequence = sequence.wrapping_add(1 + u16::from(does >> 4)); // The upper bits are a loss.
        }
        while let Some(packet) = decoder.poll_recovered() {
            let read = Incoming::parse(&packet).expect("a packet");
            assert_eq!(read.ssrc, SSRC);
            recovered += 1;
        }
        let counters = decoder.counters();
        assert_eq!(counters.recovered, recovered);
        assert!(recovered + counters.refused + counters.evicted <= repairs, "one for each repair packet");
    }
}
