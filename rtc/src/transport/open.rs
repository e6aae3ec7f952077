//! Opening: SRTP and SRTCP become RTP and RTCP, in place.
//!
//! Every byte comes from outside. Therefore the state changes only after the tag of a packet is
//! verified, the number of streams is capped, and each stream has a replay window of 128 packets.

use aws_lc_rs::aead::Aad;
use aws_lc_rs::constant_time;

use super::Dropped;
use super::srtp::{
    Cipher, ENCRYPTED, Format, GCM_TAG, MasterKey, Profile, RTCP_HEADER, SHA1_TAG, SRTCP_INDEX, be_u32, counter_crypt,
    gcm_nonce, rtp_header_len, rtp_sequence_number, sha1_tag,
};

/// The most SSRCs that a peer may send from: two tracks, three layers, their repairs, and those that
/// changed. A restreamer changes them with every source that it switches to. None is forgotten,
/// because its packets could then be replayed.
pub(super) const STREAMS: usize = 64;
const WINDOW: u64 = 128; // RFC 3711 3.3.2 asks for 64 at least.

/// Why a packet was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The packet is too short, or is not of the format.
    #[error("malformed packet")]
    Malformed,
    /// The authentication tag is wrong.
    #[error("authentication failed")]
    Authentication,
    /// The packet was received before, or is older than the window.
    #[error("replayed packet")]
    Replayed,
    /// The packet is of one more stream than a session may receive.
    #[error("too many streams")]
    TooManyStreams,
}

impl From<OpenError> for Dropped {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Malformed => Self::SrtpMalformed,
            OpenError::Authentication => Self::SrtpAuthentication,
            OpenError::Replayed => Self::SrtpReplayed,
            OpenError::TooManyStreams => Self::SrtpTooManySsrcs,
        }
    }
}

struct Stream {
    ssrc: u32,
    highest: u64,
    seen: u128, // Bit n stands for the packet n below the highest.
}

impl Stream {
    fn is_new(&self, index: u64) -> bool {
        match self.highest.checked_sub(index) {
            None => true,
            Some(behind) => behind < WINDOW && self.seen & (1 << behind) == 0,
        }
    }

    fn accept(&mut self, index: u64) {
        if index > self.highest {
            let ahead = index - self.highest;
            self.seen = if ahead < WINDOW { self.seen << ahead } else { 0 };
            self.highest = index;
        }
        self.seen |= 1 << (self.highest - index);
    }

    // Returns the index with the rollover that puts the packet nearest to the highest one (RFC 3711
    // 3.3.1).
    fn index_of(&self, sequence: u16) -> u64 {
        let highest = self.highest as u16;
        let rollover = self.highest >> 16;
        let nearest = if highest < 1 << 15 {
            let before = sequence > highest && sequence - highest > 1 << 15;
            rollover.saturating_sub(u64::from(before))
        } else {
            rollover + u64::from(highest - (1 << 15) > sequence)
        };
        nearest << 16 | u64::from(sequence)
    }
}

/// The receiving keys of one session.
pub struct Opener {
    rtp: Cipher,
    rtcp: Cipher,
    rtp_streams: Vec<Stream>,
    rtcp_streams: Vec<Stream>,
}

impl Opener {
    /// Derives the keys for receiving. `None` if the cryptography refuses the key.
    pub fn new(profile: Profile, master: &MasterKey) -> Option<Self> {
        Some(Self {
            rtp: Cipher::new(profile, master, Format::Rtp).ok()?,
            rtcp: Cipher::new(profile, master, Format::Rtcp).ok()?,
            rtp_streams: Vec::new(),
            rtcp_streams: Vec::new(),
        })
    }

    /// Opens an SRTP packet in place and returns the length of the RTP packet it became.
    pub fn open_rtp(&mut self, packet: &mut [u8]) -> Result<usize, OpenError> {
        let header = rtp_header_len(packet).ok_or(OpenError::Malformed)?;
        if packet.len() < header + self.rtp.tag() {
            return Err(OpenError::Malformed);
        }
        let (ssrc, sequence) = (be_u32(packet, 8), rtp_sequence_number(packet));
        let stream = self.rtp_streams.iter().find(|stream| stream.ssrc == ssrc);
        // A stream starts with rollover zero. Senders begin in the lower half of the sequence
        // numbers for this reason.
        let index = stream.map_or(u64::from(sequence), |stream| stream.index_of(sequence));
        admit(&self.rtp_streams, stream, index)?;
        let length = unprotect_rtp(&self.rtp, ssrc, index, header, packet)?;
        accept(&mut self.rtp_streams, ssrc, index);
        Ok(length)
    }

    /// Opens an SRTCP packet in place and returns the length of the compound packet it became.
    pub fn open_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, OpenError> {
        if packet.len() < RTCP_HEADER + self.rtcp.tag() + SRTCP_INDEX || packet[0] >> 6 != 2 {
            return Err(OpenError::Malformed);
        }
        let ssrc = be_u32(packet, 4);
        let word_at = match self.rtcp {
            Cipher::Gcm { .. } => packet.len() - SRTCP_INDEX,
            Cipher::Counter { .. } => packet.len() - SHA1_TAG - SRTCP_INDEX,
        };
        let word = be_u32(packet, word_at);
        if word & ENCRYPTED == 0 {
            return Err(OpenError::Malformed); // WebRTC always encrypts (RFC 8827 6.5).
        }
        let index = word & !ENCRYPTED;
        let stream = self.rtcp_streams.iter().find(|stream| stream.ssrc == ssrc);
        admit(&self.rtcp_streams, stream, u64::from(index))?;
        let length = unprotect_rtcp(&self.rtcp, ssrc, index, word_at, packet)?;
        accept(&mut self.rtcp_streams, ssrc, u64::from(index));
        Ok(length)
    }
}

fn admit(streams: &[Stream], stream: Option<&Stream>, index: u64) -> Result<(), OpenError> {
    match stream {
        Some(stream) if stream.is_new(index) => Ok(()),
        Some(_) => Err(OpenError::Replayed),
        None if streams.len() < STREAMS => Ok(()),
        None => Err(OpenError::TooManyStreams),
    }
}

fn accept(streams: &mut Vec<Stream>, ssrc: u32, index: u64) {
    match streams.iter_mut().find(|stream| stream.ssrc == ssrc) {
        Some(stream) => stream.accept(index),
        None => streams.push(Stream { ssrc, highest: index, seen: 1 }),
    }
}

fn unprotect_rtp(cipher: &Cipher, ssrc: u32, index: u64, header: usize, packet: &mut [u8]) -> Result<usize, OpenError> {
    let length = packet.len() - cipher.tag();
    match cipher {
        Cipher::Gcm { key, salt } => {
            let (head, body) = packet.split_at_mut(header);
            key.open_in_place(gcm_nonce(salt, ssrc, index), Aad::from(head), body)
                .map_err(|_| OpenError::Authentication)?;
        }
        Cipher::Counter { key, salt, authentication } => {
            let (authentic, tag) = packet.split_at_mut(length);
            let rollover = ((index >> 16) as u32).to_be_bytes();
            let expected = sha1_tag(authentication, &[authentic, &rollover]);
            constant_time::verify_slices_are_equal(&expected, tag).map_err(|_| OpenError::Authentication)?;
            counter_crypt(key, salt, ssrc, index, &mut authentic[header..]).map_err(|_| OpenError::Authentication)?;
        }
    }
    Ok(length)
}

fn unprotect_rtcp(
    cipher: &Cipher,
    ssrc: u32,
    index: u32,
    word_at: usize,
    packet: &mut [u8],
) -> Result<usize, OpenError> {
    match cipher {
        Cipher::Gcm { key, salt } => {
            let mut associated = [0; RTCP_HEADER + SRTCP_INDEX];
            associated[..RTCP_HEADER].copy_from_slice(&packet[..RTCP_HEADER]);
            associated[RTCP_HEADER..].copy_from_slice(&packet[word_at..]);
            let body = &mut packet[RTCP_HEADER..word_at];
            key.open_in_place(gcm_nonce(salt, ssrc, u64::from(index)), Aad::from(associated), body)
                .map_err(|_| OpenError::Authentication)?;
            Ok(word_at - GCM_TAG)
        }
        Cipher::Counter { key, salt, authentication } => {
            let (authentic, tag) = packet.split_at_mut(word_at + SRTCP_INDEX);
            constant_time::verify_slices_are_equal(&sha1_tag(authentication, &[authentic]), tag)
                .map_err(|_| OpenError::Authentication)?;
            counter_crypt(key, salt, ssrc, u64::from(index), &mut authentic[RTCP_HEADER..word_at])
                .map_err(|_| OpenError::Authentication)?;
            Ok(word_at)
        }
    }
}
