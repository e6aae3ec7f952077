//! What a datagram is, and which session a check names. Nothing here is believed: the session checks it.

use rtc_stun::attributes::ATTR_USERNAME;
use rtc_stun::message::{BINDING_REQUEST, MAGIC_COOKIE, MESSAGE_HEADER_SIZE};

use super::credentials::shard_of;

/// The most bytes of a STUN message. A check has fewer than 150, and no ICE attribute comes near
/// this.
pub(super) const MESSAGE_BYTES: usize = 1280;

/// The kind of a datagram, as its first bytes show it (RFC 7983, RFC 5761).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatagramKind {
    /// A connectivity check.
    Stun,
    /// A DTLS record.
    Dtls,
    /// An RTP packet: media.
    Rtp,
    /// An RTCP packet: reports and feedback.
    Rtcp,
}

/// Returns the kind of a datagram. `None` if it is of no known kind.
pub fn classify(datagram: &[u8]) -> Option<DatagramKind> {
    match *datagram.first()? {
        0..=3 if is_stun(datagram) => Some(DatagramKind::Stun),
        20..=63 if datagram.len() > 13 => Some(DatagramKind::Dtls),
        128..=191 if datagram.len() >= 8 => match datagram[1] {
            192..=223 => Some(DatagramKind::Rtcp),
            _ if datagram.len() >= 12 => Some(DatagramKind::Rtp),
            _ => None,
        },
        _ => None,
    }
}

/// Returns whether a datagram is a STUN message.
pub(super) fn is_stun(datagram: &[u8]) -> bool {
    datagram.len() >= MESSAGE_HEADER_SIZE && datagram[4..8] == MAGIC_COOKIE.to_be_bytes()
}

/// Returns the receiver's user fragment of a STUN message, which names the session that a new
/// address belongs to.
///
/// Allocates nothing and checks no integrity, because the session checks it.
pub fn stun_local_ufrag(datagram: &[u8]) -> Option<&str> {
    if datagram.len() > MESSAGE_BYTES || !is_stun(datagram) {
        return None;
    }
    let mut rest = &datagram[MESSAGE_HEADER_SIZE..];
    while let [kind_high, kind_low, length_high, length_low, ..] = *rest {
        let kind = u16::from_be_bytes([kind_high, kind_low]);
        let length = usize::from(u16::from_be_bytes([length_high, length_low]));
        let value = rest.get(4..4 + length)?;
        if kind == ATTR_USERNAME.value() {
            let (local, _) = std::str::from_utf8(value).ok()?.split_once(':')?;
            return Some(local);
        }
        rest = rest.get(4 + length.next_multiple_of(4)..)?;
    }
    None
}

/// Returns the shard that a connectivity check names, by the user fragment of ours in it.
pub fn named_shard(datagram: &[u8]) -> Option<usize> {
    let is_request = datagram.starts_with(&BINDING_REQUEST.value().to_be_bytes());
    stun_local_ufrag(datagram).filter(|_| is_request).and_then(shard_of)
}

/// Returns the SSRC that a datagram of media states as that of its sender.
pub fn stated_ssrc(datagram: &[u8]) -> Option<u32> {
    let at = match classify(datagram)? {
        DatagramKind::Rtp => 8,
        DatagramKind::Rtcp => 4,
        DatagramKind::Stun | DatagramKind::Dtls => return None,
    };
    datagram.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_are_told_apart_by_their_first_bytes() {
        let datagram = |first: u8, second: u8| {
            let mut bytes = [0; 40];
            bytes[..2].copy_from_slice(&[first, second]);
            classify(&bytes)
        };
        assert_eq!(datagram(0, 1), None); // It has no magic cookie.
        assert_eq!(datagram(22, 0xfe), Some(DatagramKind::Dtls));
        assert_eq!(datagram(0x80, 96), Some(DatagramKind::Rtp));
        assert_eq!(datagram(0x80, 0x80 | 96), Some(DatagramKind::Rtp));
        assert_eq!(datagram(0x80, 200), Some(DatagramKind::Rtcp));
        assert_eq!(datagram(64, 0), None);
        assert_eq!(datagram(200, 0), None);
    }

    #[test]
    fn media_states_the_ssrc_of_its_sender() {
        let packet = |kind: u8| [&[0x80, kind][..], &[0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0]].concat();
        assert_eq!((stated_ssrc(&packet(96)), stated_ssrc(&packet(201))), (Some(2), Some(1)));
        assert_eq!((stated_ssrc(&packet(96)[..11]), stated_ssrc(&[22; 20]), stated_ssrc(&[])), (None, None, None));
    }
}
