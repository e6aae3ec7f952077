//! Ids and keys that cannot be guessed.

use aws_lc_rs::hmac;
use aws_lc_rs::rand;

/// The letters of ids, without 0, 1, l and o, because people read ids aloud. There are 32, so random bytes give each
/// equally often.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// Returns random bytes.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).expect("the system gives random bytes");
    bytes
}

/// Returns 64 random bits as hexadecimal digits.
pub fn id() -> String {
    hex(&bytes::<8>())
}

/// The beginning of the ids of guests, which no `sub` of a token has. Otherwise somebody who may choose their `sub` could be a guest
/// whose id they have seen.
pub const GUEST: &str = "guest-";

/// Returns [`GUEST`] and six random letters.
pub fn guest() -> String {
    let letters = bytes::<6>().map(|byte| char::from(LETTERS[usize::from(byte) % LETTERS.len()]));
    format!("{GUEST}{}", letters.into_iter().collect::<String>())
}

/// Returns bytes as lowercase hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Makes keys by which people prove that they come back to a room, without storing anything about them. A key is good in one
/// life of the room, for as long as the secret is the same.
pub struct GuestKeys(hmac::Key);

impl GuestKeys {
    /// Makes keys with a new random secret.
    pub fn new() -> Self {
        Self::of(&bytes::<32>())
    }

    /// Makes keys with a secret. The same secret makes the same keys.
    pub fn of(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// Returns the key of `person` who has come in this way. The slash separates, because neither names nor epochs hold one.
    pub fn key(&self, room: &str, person: &str, epoch: &str, way: &str) -> String {
        hex(hmac::sign(&self.0, format!("{room}/{person}/{epoch}/{way}").as_bytes()).as_ref())
    }

    /// Whether `key` is the key of `person` who has come in this way.
    pub fn fits(&self, key: &str, room: &str, person: &str, epoch: &str, way: &str) -> bool {
        let Some(tag) = unhex(key) else { return false };
        hmac::verify(&self.0, format!("{room}/{person}/{epoch}/{way}").as_bytes(), &tag).is_ok()
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |c: u8| char::from(c).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_fits_only_its_person_room_epoch_and_way() {
        let keys = GuestKeys::new();
        let key = keys.key("demo", "guest-abc", "e1", "viewer");
        assert!(keys.fits(&key, "demo", "guest-abc", "e1", "viewer"));
        assert!(!keys.fits(&key, "demo", "guest-abd", "e1", "viewer"));
        assert!(!keys.fits(&key, "other", "guest-abc", "e1", "viewer"));
        assert!(!keys.fits(&key, "demo", "guest-abc", "e2", "viewer"));
        assert!(!keys.fits(&key, "demo", "guest-abc", "e1", "host"));
        for bad in ["", "zz", "abc", "é", &"0".repeat(64)] {
            assert!(!keys.fits(bad, "demo", "guest-abc", "e1", "viewer"), "{bad}");
        }
        assert!(!GuestKeys::new().fits(&key, "demo", "guest-abc", "e1", "viewer"), "another process");
    }

    #[test]
    fn the_id_of_a_guest_is_a_valid_name() {
        assert!(guest().parse::<onmic_room::PersonId>().is_ok());
        assert_ne!(guest(), guest());
    }
}
