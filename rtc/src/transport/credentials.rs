//! The credentials of ICE (RFC 8445 5.3). The user fragment of a server names its shard, so that whoever takes the first check of a peer
//! knows whose it is.

use rand::Rng;

// RFC 8445 5.3 asks for 24 bits. These 72 are also a unique map key in a shard, and 8 of them may name the shard.
const UFRAG_CHARS: usize = 12;
const PWD_CHARS: usize = 24; // RFC 8445 5.3 asks for 128 bits. These are 144.
/// The characters of credentials (`ice-char`, RFC 8839 5.4).
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The user fragment and password of one side of one ICE generation.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user fragment, which names the session in checks.
    pub ufrag: String,
    /// The password, which is the key of their integrity check.
    pub pwd: String,
}

impl Credentials {
    /// Makes new random credentials, with a generator that the operating system seeds.
    pub fn generate() -> Self {
        Self { ufrag: ice_chars(UFRAG_CHARS), pwd: ice_chars(PWD_CHARS) }
    }

    /// Makes new random credentials whose user fragment names a shard, which is below 256. See [`shard_of`].
    pub fn of_shard(shard: usize) -> Self {
        // Two characters have 12 bits: 4 random ones, and the 8 of the shard.
        let number = rand::rng().random_range(0..16) << 8 | shard & 0xff;
        let named = [number >> 6, number & 63].map(|at| char::from(ALPHABET[at]));
        let mut credentials = Self::generate();
        credentials.ufrag.replace_range(..named.len(), &named.iter().collect::<String>());
        credentials
    }
}

/// Returns the shard that a user fragment of ours names. A peer may name any.
pub(super) fn shard_of(ufrag: &str) -> Option<usize> {
    let value = |byte: &u8| ALPHABET.iter().position(|known| known == byte);
    let [high, low, ..] = ufrag.as_bytes() else { return None };
    (ufrag.len() == UFRAG_CHARS).then_some((value(high)? << 6 | value(low)?) & 0xff)
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Credentials({})", self.ufrag)
    }
}

fn ice_chars(count: usize) -> String {
    let mut random = rand::rng();
    (0..count).map(|_| char::from(ALPHABET[random.random_range(0..ALPHABET.len())])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_fragment_names_its_shard_and_those_of_others_name_any_or_none() {
        for shard in 0..256 {
            let (one, other) = (Credentials::of_shard(shard), Credentials::of_shard(shard));
            assert_eq!((shard_of(&one.ufrag), one.ufrag.len()), (Some(shard), UFRAG_CHARS));
            assert_ne!(one, other);
        }
        for foreign in ["", "A", "AB", "ABCDEFGHIJK", "ABCDEFGHIJKLM", "-BCDEFGHIJKL"] {
            assert_eq!(shard_of(foreign), None, "{foreign:?}");
        }
        assert!(shard_of(&Credentials::generate().ufrag).is_some_and(|shard| shard < 256));
    }
}
