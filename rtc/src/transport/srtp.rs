//! The parts that sealing and opening SRTP share: profiles, key derivation, nonces (RFC 3711, RFC
//! 7714).
//!
//! There are two profiles: AEAD_AES_128_GCM, which every browser has and which costs a sixth to a
//! third of the other, and AES128_CM_HMAC_SHA1_80 for peers without it. The key derivation rate is
//! zero (RFC 5764).

use aws_lc_rs::aead::{AES_128_GCM, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hmac;
use aws_lc_rs::iv::FixedLength;

/// The most bytes that sealing adds to an RTP packet: the GCM tag.
pub const RTP_OVERHEAD: usize = GCM_TAG;
/// The most bytes that sealing adds to an RTCP packet: the GCM tag and the index.
pub const RTCP_OVERHEAD: usize = GCM_TAG + SRTCP_INDEX;

pub(super) const GCM_TAG: usize = 16;
pub(super) const SHA1_TAG: usize = 10;
pub(super) const SRTCP_INDEX: usize = 4;
pub(super) const RTCP_HEADER: usize = 8;
pub(super) const ENCRYPTED: u32 = 1 << 31; // The E flag, which shares a word with the index.

const KEY: usize = 16;
const SALT: usize = 14; // GCM uses the first 12.

/// The way in which packets are protected (RFC 5764 4.1.2, RFC 7714 14.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// SRTP_AEAD_AES_128_GCM.
    AeadAes128Gcm,
    /// SRTP_AES128_CM_HMAC_SHA1_80.
    Aes128CmSha1,
}

impl Profile {
    /// Returns the length of the master salt in the exported keying material.
    fn salt(self) -> usize {
        match self {
            Self::AeadAes128Gcm => 12,
            Self::Aes128CmSha1 => SALT,
        }
    }

    /// Returns the length of the keying material to export from DTLS for both directions.
    pub fn keying_material(self) -> usize {
        2 * (KEY + self.salt())
    }
}

/// The master key and salt of one direction.
#[derive(Clone)]
pub struct MasterKey {
    key: [u8; KEY],
    salt: [u8; SALT],
}

impl MasterKey {
    /// Splits DTLS keying material (RFC 5764 4.2) into the client's and the server's half.
    pub fn pair(profile: Profile, material: &[u8]) -> Option<(Self, Self)> {
        if material.len() != profile.keying_material() {
            return None;
        }
        let (client_key, rest) = material.split_at(KEY);
        let (server_key, rest) = rest.split_at(KEY);
        let (client_salt, server_salt) = rest.split_at(profile.salt());
        Some((Self::new(client_key, client_salt)?, Self::new(server_key, server_salt)?))
    }

    /// Makes a master key from 16 bytes of key, and 12 (GCM) or 14 (counter mode) bytes of salt.
    pub fn new(key: &[u8], salt: &[u8]) -> Option<Self> {
        let mut padded = [0; SALT];
        padded.get_mut(..salt.len())?.copy_from_slice(salt);
        Some(Self { key: key.try_into().ok()?, salt: padded })
    }

    // Derives a session key (RFC 3711 4.3.1): the key stream of AES in counter mode from a label, a
    // salt and no index.
    fn derive<const N: usize>(&self, label: u8) -> Result<[u8; N], Unspecified> {
        let mut counter = [0; 16];
        counter[..SALT].copy_from_slice(&self.salt);
        counter[7] ^= label;
        let mut out = [0; N];
        counter_mode(&self.key)?.less_safe_encrypt(&mut out, EncryptionContext::Iv128(FixedLength::from(&counter)))?;
        Ok(out)
    }
}

fn counter_mode(key: &[u8; KEY]) -> Result<EncryptingKey, Unspecified> {
    EncryptingKey::ctr(UnboundCipherKey::new(&AES_128, key)?)
}

/// The packet format that a session key is for.
#[derive(Clone, Copy)]
pub(super) enum Format {
    Rtp = 0,
    Rtcp = 3,
}

/// The session keys of one direction and one packet format.
#[allow(clippy::large_enum_variant)] // Nearly every session is GCM, and each packet reads this.
pub(super) enum Cipher {
    Gcm { key: LessSafeKey, salt: [u8; 12] },
    Counter { key: EncryptingKey, salt: [u8; SALT], authentication: hmac::Key },
}

impl Cipher {
    pub(super) fn new(profile: Profile, master: &MasterKey, format: Format) -> Result<Self, Unspecified> {
        let label = format as u8;
        let key: [u8; KEY] = master.derive(label)?;
        Ok(match profile {
            Profile::AeadAes128Gcm => Self::Gcm {
                key: LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key)?),
                salt: master.derive(label + 2)?,
            },
            Profile::Aes128CmSha1 => Self::Counter {
                key: counter_mode(&key)?,
                salt: master.derive(label + 2)?,
                authentication: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &master.derive::<20>(label + 1)?),
            },
        })
    }

    /// Returns the length of a tag in bytes.
    pub(super) fn tag(&self) -> usize {
        match self {
            Self::Gcm { .. } => GCM_TAG,
            Self::Counter { .. } => SHA1_TAG,
        }
    }
}

/// Makes a nonce (RFC 7714 8.1): 00 00 ‖ SSRC ‖ ROC ‖ SEQ, combined with the salt. For SRTCP (9.1)
/// the 31-bit index takes the place of the low four bytes of the same 48-bit field.
pub(super) fn gcm_nonce(salt: &[u8; 12], ssrc: u32, index: u64) -> Nonce {
    let mut nonce = [0; 12];
    nonce[2..6].copy_from_slice(&ssrc.to_be_bytes());
    nonce[6..].copy_from_slice(&index.to_be_bytes()[2..]);
    for (byte, salt) in nonce.iter_mut().zip(salt) {
        *byte ^= salt;
    }
    Nonce::assume_unique_for_key(nonce)
}

/// Encrypts or decrypts in place (RFC 3711 4.1.1). Both are the same operation.
pub(super) fn counter_crypt(
    key: &EncryptingKey,
    salt: &[u8; SALT],
    ssrc: u32,
    index: u64,
    data: &mut [u8],
) -> Result<(), Unspecified> {
    if data.is_empty() {
        return Ok(());
    }
    let mut counter = [0; 16];
    counter[4..8].copy_from_slice(&ssrc.to_be_bytes());
    counter[8..14].copy_from_slice(&index.to_be_bytes()[2..]);
    for (byte, salt) in counter.iter_mut().zip(salt) {
        *byte ^= salt;
    }
    key.less_safe_encrypt(data, EncryptionContext::Iv128(FixedLength::from(&counter)))?;
    Ok(())
}

/// Computes the truncated HMAC of RFC 3711 4.2.1 over `parts`.
pub(super) fn sha1_tag(key: &hmac::Key, parts: &[&[u8]]) -> [u8; SHA1_TAG] {
    let mut context = hmac::Context::with_key(key);
    for part in parts {
        context.update(part);
    }
    let mut tag = [0; SHA1_TAG];
    tag.copy_from_slice(&context.sign().as_ref()[..SHA1_TAG]);
    tag
}

/// Returns the length of an RTP header with its contributing sources and extension (RFC 3550 5.1).
pub(super) fn rtp_header_len(packet: &[u8]) -> Option<usize> {
    let first = *packet.first()?;
    let mut length = 12 + 4 * usize::from(first & 0x0f);
    if first & 0x10 != 0 {
        let words = packet.get(length + 2..length + 4)?;
        length += 4 + 4 * usize::from(u16::from_be_bytes([words[0], words[1]]));
    }
    (first >> 6 == 2 && packet.len() >= length).then_some(length)
}

pub(super) fn rtp_sequence_number(header: &[u8]) -> u16 {
    u16::from_be_bytes([header[2], header[3]])
}

pub(super) fn be_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
