//! Timed metadata: messages that belong to a moment of the program, and that only an application understands.
//!
//! Nothing here reads a message. Its scheme states how to, as in the `emsg` box of ISO/IEC 23009-1 (5.10.3.3).

use super::Malformed;

/// The most bytes of one message. An `emsg` box travels in front of the media of a part. A part of a third of a second
/// has 64 KiB at 1.6 Mbit/s.
pub const MESSAGE_BYTES_MAX: usize = 64 << 10;

/// The most bytes of a scheme and of a value: several times the length of those in use.
pub const NAME_BYTES_MAX: usize = 256;

/// The scheme of ID3 version 2 tags in `emsg` boxes (AOM, "Carriage of ID3 Timed Metadata in CMAF").
pub const ID3: &str = "https://aomedia.org/emsg/ID3";

/// Holds the scheme and value that a receiver must know to read the messages of a track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    scheme: String,
    value: String,
}

impl Parameters {
    /// Makes parameters of messages of a scheme, a URI, and of one kind within it, which may be empty.
    pub fn new(scheme: &str, value: &str) -> Result<Self, Malformed> {
        const WHAT: &str = "timed metadata";
        if scheme.is_empty() {
            return Err(Malformed::Missing { what: WHAT, field: "scheme" });
        }
        for (field, text) in [("scheme length", scheme), ("value length", value)] {
            if text.len() > NAME_BYTES_MAX {
                return Err(Malformed::OutOfRange { what: WHAT, field, value: text.len() as u64 });
            }
        }
        // Both are strings that end with a NUL in the box.
        if scheme.contains('\0') || value.contains('\0') {
            return Err(Malformed::OutOfRange { what: WHAT, field: "character", value: 0 });
        }
        Ok(Self { scheme: scheme.to_owned(), value: value.to_owned() })
    }

    /// Returns the URI of the scheme, which states how to read a message.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// Returns the kind of message within the scheme. It is empty if the scheme does not distinguish kinds.
    pub fn value(&self) -> &str {
        &self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_and_fit_a_string_that_ends_with_a_nul() {
        assert_eq!(Parameters::new(ID3, "").unwrap().scheme(), ID3);
        for (scheme, value) in
            [("", ""), ("a\0b", ""), ("urn:x", "\0"), (&*"x".repeat(257), ""), ("urn:x", &"x".repeat(257))]
        {
            assert!(Parameters::new(scheme, value).is_err(), "{scheme:?} {value:?}");
        }
    }
}
