//! Tests that random bytes, and valid conversations with bad bytes in them, cause no panic and no memory beyond the
//! limits.

mod client;

use std::time::Instant;

use bytes::Bytes;
use client::{Client, drain};
use onmic_ingest::rtmp::amf;
use onmic_ingest::rtmp::chunk::{ChunkLimits, ChunkReader};
use onmic_ingest::rtmp::{Event, RtmpLimits, Session};

/// Is a generator (xorshift64*) with the same bytes for the same seed on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }
}

/// Feeds `bytes` in pieces, and grants most requests.
fn converse(random: &mut Random, mut bytes: &[u8]) {
    let now = Instant::now();
    let mut session = Session::new(RtmpLimits::default(), now);
    while !bytes.is_empty() {
        let (mut piece, rest) = bytes.split_at(1 + random.below(bytes.len()));
        bytes = rest;
        while !piece.is_empty() {
            session.handle_bytes(now, &mut piece);
            while let Some(event) = session.poll_event() {
                match event {
                    Event::Publish(_) | Event::Play(_) if random.below(8) > 0 => session.accept(now),
                    Event::Publish(_) | Event::Play(_) => session.refuse("NetStream.Publish.Denied", "No."),
                    _ => {}
                }
            }
            drain(session.output());
        }
    }
    session.handle_timeout(now + RtmpLimits::default().idle_timeout);
    assert!(session.is_closed());
}

#[test]
fn random_bytes_after_a_handshake_end_in_an_error_or_nothing() {
    let mut random = Random(1);
    for _ in 0..2000 {
        let length = random.below(3000);
        let noise = random.bytes(length);
        let bytes = Client::default().handshake().raw(noise).take_output();
        converse(&mut random, &bytes);
        converse(&mut random, &bytes[1..]);
    }
}

#[test]
fn a_conversation_with_bad_bytes_in_it_ends_in_an_error_or_goes_on() {
    let mut random = Random(2);
    let good: Vec<Bytes> = [true, false]
        .map(|publishes| {
            let mut client = Client::default();
            if publishes {
                client.publish("live", "demo?token=x");
                client.chunk_size(4096).video(0, vec![0x17; 3000]).audio(0x0123_4567, vec![0xaf; 300]);
            } else {
                client.play("live/demo", "anna", &[]).command(1, "pause", 4.0, &[]);
            }
            client.take_output()
        })
        .into();
    for turn in 0..4000 {
        let mut bytes = good[turn % 2].to_vec();
        for _ in 0..=random.below(4) {
            let at = client::SERVER_HANDSHAKE + random.below(bytes.len() - client::SERVER_HANDSHAKE);
            match random.below(4) {
                0 => bytes[at] = random.next() as u8,
                1 => bytes[at] ^= 1 << random.below(8),
                2 => drop(bytes.drain(at..(at + 1 + random.below(9)).min(bytes.len()))),
                _ => {
                    let length = 1 + random.below(9);
                    let noise = random.bytes(length);
                    bytes.splice(at..at, noise);
                }
            }
            if bytes.len() <= client::SERVER_HANDSHAKE {
                break;
            }
        }
        converse(&mut random, &bytes);
    }
}

#[test]
fn chunks_never_reserve_more_than_their_limit() {
    let limits = ChunkLimits { message_bytes: 10_000, partial_bytes: 15_000, chunk_streams: 8 };
    let mut random = Random(3);
    for _ in 0..5000 {
        let mut reader = ChunkReader::new(limits);
        let length = random.below(600);
        let mut bytes = random.bytes(length);
        // Small lengths and few chunk streams, so that many get past the first header.
        bytes.chunks_mut(9).for_each(|header| header[0] &= 0b1100_0111);
        let mut input = &bytes[..];
        while let Ok(Some(message)) = reader.read(&mut input) {
            assert!(message.payload.len() <= limits.message_bytes);
            assert!(reader.partial_bytes() <= limits.partial_bytes);
        }
        assert!(reader.partial_bytes() <= limits.partial_bytes);
    }
}

#[test]
fn amf0_that_is_read_is_written_and_read_the_same() {
    let mut random = Random(4);
    let mut read = 0;
    for _ in 0..50_000 {
        let length = random.below(60);
        let mut bytes = random.bytes(length);
        bytes.iter_mut().step_by(3).for_each(|byte| *byte %= 14);
        let reading = amf::read(&bytes);
        if reading.is_whole() {
            read += 1;
            let again = amf::write(&reading.values);
            assert_eq!(amf::write(&amf::read(&again).values), again);
        }
    }
    assert!(read > 1000, "{read}");
}
