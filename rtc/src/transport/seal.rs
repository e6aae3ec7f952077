//! Sealing: RTP and RTCP become SRTP and SRTCP, written straight into the batch that is sent.
//!
//! The security of GCM depends on one invariant: no nonce (SSRC, rollover, sequence number) is used
//! for two different packets. Therefore a stream only moves forward. Going back is a call of its
//! own ([`Sealer::seal_rtp_again`]), whose caller promises the same bytes. The rollover is counted
//! here, per viewer. A stream starts in the lower half of the sequence numbers, so that a receiver
//! that misses its first packets guesses the same rollover.

use aws_lc_rs::aead::Aad;

use super::srtp::{
    Cipher, ENCRYPTED, Format, GCM_TAG, MasterKey, Profile, RTCP_HEADER, SHA1_TAG, SRTCP_INDEX, be_u32, counter_crypt,
    gcm_nonce, rtp_header_len, rtp_sequence_number, sha1_tag,
};

const STREAMS: usize = 16; // Two tracks and their repairs use four.
const INDEX_LIMIT: u64 = 1 << 48; // RFC 3711 3.3.1.
const RTCP_INDEX_LIMIT: u32 = 1 << 31;

/// Why a packet was not sealed. The output is not a packet, and the state is as before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The handshake has not completed, or the session has ended.
    #[error("no keys yet")]
    NotConnected,
    /// The output is shorter than the packet and its overhead.
    #[error("no room in the output")]
    NoRoom,
    /// The header is not an RTP or RTCP header of the length given.
    #[error("not an RTP header")]
    Malformed,
    /// The sequence number is not above the last one of its stream.
    #[error("the sequence number was used")]
    Reused,
    /// The packet to seal again was never sealed.
    #[error("the sequence number was never used")]
    NeverSent,
    /// The first sequence number of a stream is not below 32768.
    #[error("the first sequence number is in the upper half")]
    StartTooHigh,
    /// The packet is of one more stream than a session may send.
    #[error("too many streams")]
    TooManyStreams,
    /// The key has sealed as many packets as it may.
    #[error("the key is used up")]
    IndexExhausted,
    /// The cryptography refused to encrypt.
    #[error("encryption failed")]
    Encryption,
}

struct Stream {
    ssrc: u32,
    index: u64, // The highest index that was sealed: rollover counter and sequence number.
}

/// The sending keys of one session.
pub struct Sealer {
    rtp: Cipher,
    rtcp: Cipher,
    streams: Vec<Stream>,
    rtcp_index: u32,
}

impl Sealer {
    /// Derives the keys for sending. `None` if the cryptography refuses the key.
    pub fn new(profile: Profile, master: &MasterKey) -> Option<Self> {
        Some(Self {
            rtp: Cipher::new(profile, master, Format::Rtp).ok()?,
            rtcp: Cipher::new(profile, master, Format::Rtcp).ok()?,
            streams: Vec::new(),
            rtcp_index: 0,
        })
    }

    /// Returns the length of a sealed packet of `plain` bytes of header and payload.
    pub fn rtp_len(&self, plain: usize) -> usize {
        plain + self.rtp.tag()
    }

    /// Writes `header ‖ encrypted payload ‖ tag` and returns its length.
    ///
    /// `header` is a whole RTP header, with any extension. Its SSRC belongs to one track of this
    /// session only, and its sequence number is above the last one sealed. Payload bytes are copied
    /// once, by the encryption.
    pub fn seal_rtp(&mut self, header: &[u8], payload: &[u8], out: &mut [u8]) -> Result<usize, SealError> {
        let (ssrc, sequence) = rtp_fields(header)?;
        let Some(stream) = self.streams.iter_mut().find(|stream| stream.ssrc == ssrc) else {
            return self.start(ssrc, sequence, header, payload, out);
        };
        let ahead = sequence.wrapping_sub(stream.index as u16);
        if ahead == 0 || ahead >= 1 << 15 {
            return Err(SealError::Reused);
        }
        let index = stream.index + u64::from(ahead);
        if index >= INDEX_LIMIT {
            return Err(SealError::IndexExhausted);
        }
        let length = protect_rtp(&self.rtp, ssrc, index, header, payload, out)?;
        stream.index = index;
        Ok(length)
    }

    /// Seals a packet that was sealed before, for a peer that asked for it without a repair stream.
    /// **Header and payload must be the bytes of the first time**: with any difference one nonce
    /// protects two packets, which gives the GCM authentication key away.
    pub fn seal_rtp_again(&self, header: &[u8], payload: &[u8], out: &mut [u8]) -> Result<usize, SealError> {
        let (ssrc, sequence) = rtp_fields(header)?;
        let stream = self.streams.iter().find(|stream| stream.ssrc == ssrc);
        let stream = stream.ok_or(SealError::NeverSent)?;
        let behind = (stream.index as u16).wrapping_sub(sequence);
        if behind >= 1 << 15 {
            return Err(SealError::NeverSent);
        }
        let index = stream.index.checked_sub(u64::from(behind)).ok_or(SealError::NeverSent)?;
        protect_rtp(&self.rtp, ssrc, index, header, payload, out)
    }

    /// Writes a sealed compound RTCP packet and returns its length.
    pub fn seal_rtcp(&mut self, compound: &[u8], out: &mut [u8]) -> Result<usize, SealError> {
        if compound.len() < RTCP_HEADER || compound[0] >> 6 != 2 {
            return Err(SealError::Malformed);
        }
        // All senders share one index, so that every nonce differs and each sender's indices only
        // rise.
        let index = self.rtcp_index + 1;
        if index >= RTCP_INDEX_LIMIT {
            return Err(SealError::IndexExhausted);
        }
        let length = protect_rtcp(&self.rtcp, index, compound, out)?;
        self.rtcp_index = index;
        Ok(length)
    }

    fn start(
        &mut self,
        ssrc: u32,
        sequence: u16,
        header: &[u8],
        payload: &[u8],
        out: &mut [u8],
    ) -> Result<usize, SealError> {
        if self.streams.len() == STREAMS {
            return Err(SealError::TooManyStreams);
        }
        if sequence >= 1 << 15 {
            return Err(SealError::StartTooHigh);
        }
        let index = u64::from(sequence);
        let length = protect_rtp(&self.rtp, ssrc, index, header, payload, out)?;
        self.streams.push(Stream { ssrc, index });
        Ok(length)
    }
}

fn rtp_fields(header: &[u8]) -> Result<(u32, u16), SealError> {
    if header.len() < 12 || rtp_header_len(header) != Some(header.len()) {
        return Err(SealError::Malformed);
    }
    Ok((be_u32(header, 8), rtp_sequence_number(header)))
}

fn protect_rtp(
    cipher: &Cipher,
    ssrc: u32,
    index: u64,
    header: &[u8],
    payload: &[u8],
    out: &mut [u8],
) -> Result<usize, SealError> {
    let length = header.len() + payload.len() + cipher.tag();
    let out = out.get_mut(..length).ok_or(SealError::NoRoom)?;
    let (head, rest) = out.split_at_mut(header.len());
    let (body, tag) = rest.split_at_mut(payload.len());
    head.copy_from_slice(header);
    match cipher {
        Cipher::Gcm { key, salt } => key
            .seal_out_of_place_scatter(gcm_nonce(salt, ssrc, index), Aad::from(header), payload, body, &[], tag)
            .map_err(|_| SealError::Encryption)?,
        Cipher::Counter { key, salt, authentication } => {
            body.copy_from_slice(payload);
            counter_crypt(key, salt, ssrc, index, body).map_err(|_| SealError::Encryption)?;
            let rollover = ((index >> 16) as u32).to_be_bytes();
            tag.copy_from_slice(&sha1_tag(authentication, &[header, body, &rollover]));
        }
    }
    Ok(length)
}

fn protect_rtcp(cipher: &Cipher, index: u32, compound: &[u8], out: &mut [u8]) -> Result<usize, SealError> {
    let ssrc = be_u32(compound, 4);
    let trailer = (ENCRYPTED | index).to_be_bytes();
    let length = compound.len() + cipher.tag() + SRTCP_INDEX;
    let out = out.get_mut(..length).ok_or(SealError::NoRoom)?;
    let (head, rest) = out.split_at_mut(RTCP_HEADER);
    let (body, end) = rest.split_at_mut(compound.len() - RTCP_HEADER);
    head.copy_from_slice(&compound[..RTCP_HEADER]);
    match cipher {
        Cipher::Gcm { key, salt } => {
            // RFC 7714 9.2: the header and the index word are authenticated, and the tag goes
            // between them.
            let mut associated = [0; RTCP_HEADER + SRTCP_INDEX];
            associated[..RTCP_HEADER].copy_from_slice(head);
            associated[RTCP_HEADER..].copy_from_slice(&trailer);
            let (tag, word) = end.split_at_mut(GCM_TAG);
            key.seal_out_of_place_scatter(
                gcm_nonce(salt, ssrc, u64::from(index)),
                Aad::from(associated),
                &compound[RTCP_HEADER..],
                body,
                &[],
                tag,
            )
            .map_err(|_| SealError::Encryption)?;
            word.copy_from_slice(&trailer);
        }
        Cipher::Counter { key, salt, authentication } => {
            body.copy_from_slice(&compound[RTCP_HEADER..]);
            counter_crypt(key, salt, ssrc, u64::from(index), body).map_err(|_| SealError::Encryption)?;
            let (word, tag) = end.split_at_mut(SRTCP_INDEX);
            word.copy_from_slice(&trailer);
            debug_assert_eq!(tag.len(), SHA1_TAG);
            tag.copy_from_slice(&sha1_tag(authentication, &[head, body, word]));
        }
    }
    Ok(length)
}
