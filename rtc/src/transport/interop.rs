//! Tests of our SRTP against `rtc-srtp`, both ways, in both profiles, and tests of replay, rollover
//! and nonces.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rtc_srtp::context::Context;
use rtc_srtp::protection_profile::ProtectionProfile;

use super::ice::CRYPTO;
use super::srtp::MasterKey;
use super::*;

const PROFILES: [Profile; 2] = [Profile::AeadAes128Gcm, Profile::Aes128CmSha1];
const KEY: [u8; 16] = *b"a key of sixteen";

fn salt(profile: Profile) -> &'static [u8] {
    match profile {
        Profile::AeadAes128Gcm => b"twelve bytes",
        Profile::Aes128CmSha1 => b"fourteen bytes",
    }
}

fn theirs(profile: Profile) -> Context {
    let name = match profile {
        Profile::AeadAes128Gcm => ProtectionProfile::AeadAes128Gcm,
        Profile::Aes128CmSha1 => ProtectionProfile::Aes128CmHmacSha1_80,
    };
    Context::new(&KEY, salt(profile), name, None, None, CRYPTO.crypto()).unwrap()
}

fn sealer(profile: Profile) -> Sealer {
    Sealer::new(profile, &MasterKey::new(&KEY, salt(profile)).unwrap()).unwrap()
}

fn opener(profile: Profile) -> Opener {
    Opener::new(profile, &MasterKey::new(&KEY, salt(profile)).unwrap()).unwrap()
}

fn header(ssrc: u32, sequence: u16, extension: bool) -> Vec<u8> {
    let mut header = vec![if extension { 0x90 } else { 0x80 }, 96];
    header.extend(sequence.to_be_bytes());
    header.extend([0, 0, 9, 9]);
    header.extend(ssrc.to_be_bytes());
    if extension {
        header.extend([0xbe, 0xde, 0, 1, 0x10, 7, 0, 0]);
    }
    header
}

fn sealed(sealer: &mut Sealer, header: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0; header.len() + payload.len() + RTP_OVERHEAD];
    let length = sealer.seal_rtp(header, payload, &mut out).unwrap();
    assert_eq!(length, sealer.rtp_len(header.len() + payload.len()));
    out.truncate(length);
    out
}

#[test]
fn rtc_srtp_opens_our_sealed_packets_across_the_rollover() {
    for profile in PROFILES {
        let (mut ours, mut theirs) = (sealer(profile), theirs(profile));
        let mut random = StdRng::seed_from_u64(1);
        for step in 0..1_500_u32 {
            let sequence = (30_000 + step * 100) as u16;
            let header = header(77, sequence, step % 3 == 0);
            let payload: Vec<u8> = (0..random.random_range(0..1200)).map(|_| random.random()).collect();
            let packet = sealed(&mut ours, &header, &payload);
            let opened = theirs.decrypt_rtp(&packet).unwrap();
            assert_eq!(opened, [header, payload].concat(), "{profile:?} {step}");
        }
    }
}

#[test]
fn packets_sealed_by_rtc_srtp_are_opened_across_the_rollover() {
    for profile in PROFILES {
        let (mut ours, mut theirs) = (opener(profile), theirs(profile));
        for step in 0..1_500_u32 {
            let plain = [header(77, (30_000 + step * 100) as u16, step % 3 == 0), vec![step as u8; 99]].concat();
            let mut packet = theirs.encrypt_rtp(&plain).unwrap().to_vec();
            let length = ours.open_rtp(&mut packet).unwrap();
            assert_eq!(packet[..length], plain, "{profile:?} {step}");
        }
    }
}

#[test]
fn each_implementation_opens_the_rtcp_of_the_other() {
    for profile in PROFILES {
        let compound = [0x80, 200, 0, 2, 0, 0, 0, 77, 1, 2, 3, 4, 0x81, 206, 0, 2, 0, 0, 0, 77, 9, 9, 9, 9];
        let (mut sealer, mut opener) = (sealer(profile), opener(profile));
        let (mut encrypting, mut decrypting) = (theirs(profile), theirs(profile));
        for _ in 0..10 {
            let mut out = [0; 100];
            let length = sealer.seal_rtcp(&compound, &mut out).unwrap();
            assert!(length <= compound.len() + RTCP_OVERHEAD);
            let opened = decrypting.decrypt_rtcp(&out[..length]).unwrap();
            assert_eq!(opened, compound[..]);
            let mut packet = encrypting.encrypt_rtcp(&compound).unwrap().to_vec();
            let length = opener.open_rtcp(&mut packet.clone()).unwrap();
            assert_eq!(opener.open_rtcp(&mut packet.clone()), Err(OpenError::Replayed));
            packet.truncate(length);
        }
    }
}

#[test]
fn lost_and_reordered_packets_are_opened_once() {
    for profile in PROFILES {
        let (mut sealer, mut opener) = (sealer(profile), opener(profile));
        let mut random = StdRng::seed_from_u64(9);
        let mut waiting: Vec<Vec<u8>> = Vec::new();
        let (mut opened, mut sent) = (0, 0);
        for step in 0..80_000_u32 {
            let header = header(5, (20_000 + step) as u16, false);
            let packet = sealed(&mut sealer, &header, &step.to_be_bytes());
            if random.random_bool(0.2) {
                continue;
            }
            sent += 1;
            waiting.push(packet);
            if waiting.len() > 40 {
                let at = random.random_range(0..waiting.len());
                let mut packet = waiting.swap_remove(at);
                let again = packet.clone();
                match opener.open_rtp(&mut packet) {
                    Ok(_) => opened += 1,
                    Err(error) => assert_eq!(error, OpenError::Replayed), // The packet is older than the window.
                }
                assert_eq!(opener.open_rtp(&mut again.clone()), Err(OpenError::Replayed));
            }
        }
        assert!(opened > sent * 8 / 10, "{opened} of {sent}");
    }
}

#[test]
fn a_stream_only_moves_forward_and_starts_in_the_lower_half() {
    for profile in PROFILES {
        let mut sealer = sealer(profile);
        let mut out = [0; 200];
        let mut seal = |sequence| sealer.seal_rtp(&header(5, sequence, false), b"x", &mut out);
        assert_eq!(seal(40_000), Err(SealError::StartTooHigh));
        assert!(seal(32_767).is_ok());
        assert_eq!(seal(32_767), Err(SealError::Reused));
        assert_eq!(seal(32_000), Err(SealError::Reused));
        assert!(seal(50_000).is_ok());
        assert!(seal(65_535).is_ok());
        assert!(seal(0).is_ok());
        assert_eq!(seal(65_535), Err(SealError::Reused));
        assert_eq!(sealer.seal_rtp(&header(5, 9, false), b"x", &mut [0; 20]), Err(SealError::NoRoom));
        assert_eq!(sealer.seal_rtp(&[0x90; 12], b"x", &mut out), Err(SealError::Malformed));
        for ssrc in 100..115 {
            assert!(sealer.seal_rtp(&header(ssrc, 1, false), b"x", &mut out).is_ok());
        }
        let one_more = sealer.seal_rtp(&header(300, 1, false), b"x", &mut out);
        assert_eq!(one_more, Err(SealError::TooManyStreams));
    }
}

#[test]
fn a_packet_sealed_again_has_the_same_bytes_across_the_rollover() {
    for profile in PROFILES {
        let mut sealer = sealer(profile);
        let mut first = Vec::new();
        for step in 0..40_u32 {
            let header = header(5, (32_700 + step * 1_000) as u16, false);
            first.push((header.clone(), sealed(&mut sealer, &header, b"payload")));
        }
        for (header, packet) in &first[20..] {
            let mut out = vec![0; packet.len()];
            sealer.seal_rtp_again(header, b"payload", &mut out).unwrap();
            assert_eq!(out, *packet);
        }
        let mut out = [0; 99];
        let never = sealer.seal_rtp_again(&header(5, 6_701, false), b"payload", &mut out);
        assert_eq!(never, Err(SealError::NeverSent));
    }
}

#[test]
fn a_packet_with_any_flipped_bit_is_refused() {
    for profile in PROFILES {
        let packet = sealed(&mut sealer(profile), &header(5, 1, true), b"some payload");
        for bit in 0..packet.len() * 8 {
            let mut flipped = packet.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(opener(profile).open_rtp(&mut flipped).is_err(), "{profile:?} bit {bit}");
        }
        let mut out = [0; 60];
        let length = sealer(profile).seal_rtcp(&[0x80, 201, 0, 1, 0, 0, 0, 7], &mut out).unwrap();
        for bit in 0..length * 8 {
            let mut flipped = out[..length].to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(opener(profile).open_rtcp(&mut flipped).is_err(), "{profile:?} bit {bit}");
        }
    }
}

#[test]
fn only_authenticated_packets_add_streams_and_their_number_is_capped() {
    let mut other = sealer(PROFILES[0]);
    let mut opener = opener(PROFILES[0]);
    for ssrc in 0..1_000 {
        let mut forged = header(ssrc, 1, false);
        forged.extend([7; 30]);
        assert_eq!(opener.open_rtp(&mut forged), Err(OpenError::Authentication));
    }
    for ssrc in 0..open::STREAMS as u32 {
        // A sealer has fewer streams than an opener.
        let mut packet = sealed(&mut sealer(PROFILES[0]), &header(ssrc, 1, false), b"x");
        assert!(opener.open_rtp(&mut packet).is_ok());
    }
    let mut packet = sealed(&mut other, &header(999, 1, false), b"x");
    assert_eq!(opener.open_rtp(&mut packet), Err(OpenError::TooManyStreams));
}

#[test]
fn random_packets_never_panic() {
    let mut random = StdRng::seed_from_u64(4);
    for profile in PROFILES {
        let mut opener = opener(profile);
        for _ in 0..20_000 {
            let mut packet: Vec<u8> = (0..random.random_range(0..80)).map(|_| random.random()).collect();
            if let Some(first) = packet.first_mut() {
                *first = *first & 0x3f | 0x80;
            }
            assert!(opener.open_rtp(&mut packet.clone()).is_err());
            assert!(opener.open_rtcp(&mut packet).is_err());
        }
    }
}
