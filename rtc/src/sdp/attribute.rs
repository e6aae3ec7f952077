//! The two forms of an attribute of SDP (RFC 8866 5.13).

use rtc_sdp::description::common::Attribute;

/// Returns an attribute without a value.
pub(super) fn flag(key: &str) -> Attribute {
    Attribute::new(key.to_owned(), None)
}

/// Returns an attribute with a value.
pub(super) fn value(key: &str, value: String) -> Attribute {
    Attribute::new(key.to_owned(), Some(value))
}
