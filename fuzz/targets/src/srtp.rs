//! SRTP and SRTCP: a packet that was not sealed is refused. A sealed one is opened once, and not after a bit of it
//! changed.
//!
//! The first byte is the profile. Then packets follow, each after a byte that says what is done with it.

use crate::Input;
use onmic_rtc::transport::srtp::{MasterKey, Profile};
use onmic_rtc::transport::{OpenError, Opener, RTCP_OVERHEAD, RTP_OVERHEAD, Sealer};

/// Takes one input.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let Some(first) = input.byte() else { return };
    let (profile, salt) = if first & 1 == 0 { (Profile::AeadAes128Gcm, 12) } else { (Profile::Aes128CmSha1, 14) };
    let key = MasterKey::new(&[3; 16], &[5; 14][..salt]).expect("the right lengths");
    let mut opener = Opener::new(profile, &key).expect("a key");
    let mut sealer = Sealer::new(profile, &key).expect("a key");
    while let (Some(action), Some(packet)) = (input.byte(), input.piece()) {
        match action % 4 {
            0 => assert!(opener.open_rtp(&mut packet.to_vec()).is_err()),
            1 => assert!(opener.open_rtcp(&mut packet.to_vec()).is_err()),
            2 => {
                let Some((header, payload)) = packet.split_at_checked(12) else { continue };
                let mut header = header.to_vec();
                header[0] = 0x80;
                let mut sealed = vec![0; packet.len() + RTP_OVERHEAD];
                let Ok(length) = sealer.seal_rtp(&header, payload, &mut sealed) else { continue };
                sealed.truncate(length);
                let opened = check(&sealed, action, |packet| opener.open_rtp(packet));
                assert!(opened.is_none_or(|opened| opened == [&header[..], payload].concat()));
            }
            _ => {
                let mut sealed = vec![0; packet.len() + RTCP_OVERHEAD];
                let Ok(length) = sealer.seal_rtcp(packet, &mut sealed) else { continue };
                sealed.truncate(length);
                let opened = check(&sealed, action, |packet| opener.open_rtcp(packet));
                assert!(opened.is_none_or(|opened| opened == packet));
            }
        }
    }
}

/// Opens `sealed` with a bit changed, then as it is, then again. `None` if it was refused for being of one more stream.
fn check(sealed: &[u8], action: u8, mut open: impl FnMut(&mut [u8]) -> Result<usize, OpenError>) -> Option<Vec<u8>> {
    let mut forged = sealed.to_vec();
    let at = usize::from(action >> 2) % forged.len();
    forged[at] ^= 1;
    assert!(open(&mut forged).is_err());
    let mut packet = sealed.to_vec();
    let length = match open(&mut packet) {
        Err(OpenError::TooManyStreams) => return None,
        opened => opened.expect("sealed with the same key"),
    };
    assert_eq!(open(&mut sealed.to_vec()), Err(OpenError::Replayed));
    packet.truncate(length);
    Some(packet)
}
