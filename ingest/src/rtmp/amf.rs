//! Reads AMF0 values with caps, and writes them.
//!
//! Invariant: reading never recurses deeper than [`DEPTH_MAX`], never takes more than [`BYTES_MAX`] and never
//! believes a length: memory is a small multiple of the bytes that are there. Properties keep their order.
//!
//! One odd value costs itself. AMF3, references and the types that only Flash could make are passed over, and text that is
//! not UTF-8 keeps the characters that are. Only where nobody can tell how long a value is, or where the bytes end, does
//! reading stop: the values before it stand. [`Reading`] says which of this happened.

mod amf3;

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use thiserror::Error;

/// The most levels of objects inside of objects. A connect has two levels, the metadata of some encoders three.
pub const DEPTH_MAX: usize = 8;
/// The most bytes of one command or of metadata. A connect has under 1 KiB with all of enhanced RTMP and a token.
pub const BYTES_MAX: usize = 16 << 10;

mod marker {
    pub(super) const NUMBER: u8 = 0;
    pub(super) const BOOLEAN: u8 = 1;
    pub(super) const STRING: u8 = 2;
    pub(super) const OBJECT: u8 = 3;
    pub(super) const MOVIE_CLIP: u8 = 4;
    pub(super) const NULL: u8 = 5;
    pub(super) const UNDEFINED: u8 = 6;
    pub(super) const REFERENCE: u8 = 7;
    pub(super) const ECMA_ARRAY: u8 = 8;
    pub(super) const OBJECT_END: u8 = 9;
    pub(super) const STRICT_ARRAY: u8 = 10;
    pub(super) const DATE: u8 = 11;
    pub(super) const LONG_STRING: u8 = 12;
    pub(super) const UNSUPPORTED: u8 = 13;
    pub(super) const RECORD_SET: u8 = 14;
    pub(super) const XML: u8 = 15;
    pub(super) const TYPED_OBJECT: u8 = 16;
    pub(super) const AMF3: u8 = 17;
}

/// States why reading stopped before the end of the bytes.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum AmfError {
    #[error("AMF0 of {0} bytes is above the limit of {BYTES_MAX}")]
    TooLong(usize),
    #[error("AMF0 nested deeper than {DEPTH_MAX}")]
    TooDeep,
    #[error("AMF0 ends inside of a value")]
    Truncated,
    #[error("AMF type {0} has no known length")]
    Type(u8),
}

/// Holds a value of AMF0.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number, always a double.
    Number(f64),
    /// A truth value.
    Boolean(bool),
    /// Text, long or short.
    String(String),
    /// Named values, in the order written.
    Object(Vec<(String, Value)>),
    /// Named values with a count in front, which is ignored.
    EcmaArray(Vec<(String, Value)>),
    /// A list of values.
    StrictArray(Vec<Value>),
    /// Milliseconds since 1970.
    Date(f64),
    /// The null value.
    Null,
    /// The undefined value, which AMF0 distinguishes from null.
    Undefined,
}

impl Value {
    /// Makes a string value.
    pub fn text(text: &str) -> Self {
        Self::String(text.to_owned())
    }

    /// Makes an object of these properties.
    pub fn object<const N: usize>(properties: [(&str, Self); N]) -> Self {
        Self::Object(properties.map(|(name, value)| (name.to_owned(), value)).into())
    }

    /// Returns the text of a string value.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the number of a number value.
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// Returns the content of a truth value.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Boolean(value) => Some(*value),
            _ => None,
        }
    }

    /// Returns the properties of an object or of an array with names. Any other value has no properties.
    pub fn properties(&self) -> &[(String, Self)] {
        match self {
            Self::Object(properties) | Self::EcmaArray(properties) => properties,
            _ => &[],
        }
    }

    /// Returns the items of a list.
    pub fn items(&self) -> &[Self] {
        match self {
            Self::StrictArray(items) => items,
            _ => &[],
        }
    }

    /// Returns the property of this name. Peers differ in the case of letters (`tcUrl`, `tcurl`).
    pub fn get(&self, name: &str) -> Option<&Self> {
        self.properties().iter().find(|property| property.0.eq_ignore_ascii_case(name)).map(|property| &property.1)
    }
}

/// Holds what bytes say, as far as they can be read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// The values. The last one may have lost its end.
    pub values: Vec<Value>,
    /// Values that were passed over ([`Value::Undefined`] stands for them), and texts that were not UTF-8.
    pub odd: usize,
    /// Why there is nothing behind the last value.
    pub stopped: Option<AmfError>,
}

impl Reading {
    /// Returns whether everything was read as it was meant.
    pub fn is_whole(&self) -> bool {
        self.odd == 0 && self.stopped.is_none()
    }
}

/// Reads the values in `bytes`.
pub fn read(bytes: &[u8]) -> Reading {
    let (bytes, too_long) = match bytes.split_at_checked(BYTES_MAX) {
        Some((head, rest)) if !rest.is_empty() => (head, Some(AmfError::TooLong(bytes.len()))),
        _ => (bytes, None),
    };
    let mut cursor = Cursor { bytes, odd: 0, stopped: None, amf3: amf3::Traits::default() };
    let mut values = Vec::new();
    while !cursor.bytes.is_empty() && cursor.stopped.is_none() {
        values.extend(cursor.value(0));
    }
    Reading { values, odd: cursor.odd, stopped: too_long.or(cursor.stopped) }
}

struct Cursor<'a> {
    bytes: &'a [u8],
    odd: usize,
    /// Once this is set, nothing more is read, and every value that is open ends.
    stopped: Option<AmfError>,
    amf3: amf3::Traits,
}

impl<'a> Cursor<'a> {
    fn stop<T>(&mut self, error: AmfError) -> Option<T> {
        self.stopped.get_or_insert(error);
        None
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let Some((head, rest)) = self.bytes.split_first_chunk::<N>() else { return self.stop(AmfError::Truncated) };
        self.bytes = rest;
        Some(*head)
    }

    fn text(&mut self, length: usize) -> Option<String> {
        let Some((head, rest)) = self.bytes.split_at_checked(length) else { return self.stop(AmfError::Truncated) };
        self.bytes = rest;
        let text = String::from_utf8_lossy(head);
        self.odd += usize::from(matches!(text, std::borrow::Cow::Owned(_)));
        Some(text.into_owned())
    }

    fn short_text(&mut self) -> Option<String> {
        let length = u16::from_be_bytes(self.take()?);
        self.text(length.into())
    }

    fn long_text(&mut self) -> Option<String> {
        let length = u32::from_be_bytes(self.take()?);
        self.text(length as usize)
    }

    /// Reads the next value, or as much of it as there is. `None` if nothing is.
    fn value(&mut self, depth: usize) -> Option<Value> {
        let [kind] = self.take()?;
        Some(match kind {
            marker::NUMBER => Value::Number(f64::from_be_bytes(self.take()?)),
            marker::BOOLEAN => Value::Boolean(self.take::<1>()? != [0]),
            marker::STRING => Value::String(self.short_text()?),
            marker::LONG_STRING => Value::String(self.long_text()?),
            marker::OBJECT => Value::Object(self.named(depth)?),
            marker::TYPED_OBJECT => {
                self.short_text()?; // The name of a Flash class.
                Value::Object(self.named(depth)?)
            }
            marker::ECMA_ARRAY => {
                self.take::<4>()?;
                Value::EcmaArray(self.named(depth)?)
            }
            marker::STRICT_ARRAY => {
                let count = u32::from_be_bytes(self.take()?);
                let depth = self.deeper(depth)?;
                let mut items = Vec::new();
                for _ in 0..count {
                    let Some(item) = self.value(depth) else { break };
                    items.push(item);
                }
                Value::StrictArray(items)
            }
            marker::DATE => {
                let date = Value::Date(f64::from_be_bytes(self.take()?));
                self.take::<2>()?; // A time zone that is always 0.
                date
            }
            marker::NULL => Value::Null,
            marker::UNDEFINED | marker::UNSUPPORTED => Value::Undefined,
            marker::MOVIE_CLIP | marker::RECORD_SET => self.passed_over(),
            marker::REFERENCE => {
                self.take::<2>()?;
                self.passed_over()
            }
            marker::XML => {
                self.long_text()?;
                self.passed_over()
            }
            marker::AMF3 => match self.amf3.skip(self.bytes, depth) {
                Ok(rest) => {
                    self.bytes = rest;
                    self.passed_over()
                }
                Err(error) => return self.stop(error),
            },
            other => return self.stop(AmfError::Type(other)),
        })
    }

    fn passed_over(&mut self) -> Value {
        self.odd += 1;
        Value::Undefined
    }

    fn deeper(&mut self, depth: usize) -> Option<usize> {
        if depth < DEPTH_MAX { Some(depth + 1) } else { self.stop(AmfError::TooDeep) }
    }

    fn named(&mut self, depth: usize) -> Option<Vec<(String, Value)>> {
        let depth = self.deeper(depth)?;
        let mut properties = Vec::new();
        while let Some(name) = self.short_text() {
            if name.is_empty() && self.bytes.first() == Some(&marker::OBJECT_END) {
                self.take::<1>()?;
                break;
            }
            let Some(value) = self.value(depth) else { break };
            properties.push((name, value));
        }
        Some(properties)
    }
}

/// Writes `values` one after the other.
pub fn write(values: &[Value]) -> Bytes {
    let mut out = BytesMut::with_capacity(256);
    values.iter().for_each(|value| put(&mut out, value));
    out.freeze()
}

fn put(out: &mut BytesMut, value: &Value) {
    match value {
        Value::Number(number) => {
            out.put_u8(marker::NUMBER);
            out.put_f64(*number);
        }
        Value::Boolean(value) => out.put_slice(&[marker::BOOLEAN, u8::from(*value)]),
        Value::String(text) => match u16::try_from(text.len()) {
            Ok(_) => {
                out.put_u8(marker::STRING);
                put_text(out, text);
            }
            Err(_) => {
                out.put_u8(marker::LONG_STRING);
                out.put_u32(u32::try_from(text.len()).unwrap_or(u32::MAX));
                out.put_slice(text.as_bytes());
            }
        },
        Value::Object(properties) => {
            out.put_u8(marker::OBJECT);
            put_named(out, properties);
        }
        Value::EcmaArray(properties) => {
            out.put_u8(marker::ECMA_ARRAY);
            out.put_u32(properties.len() as u32);
            put_named(out, properties);
        }
        Value::StrictArray(items) => {
            out.put_u8(marker::STRICT_ARRAY);
            out.put_u32(items.len() as u32);
            items.iter().for_each(|item| put(out, item));
        }
        Value::Date(millis) => {
            out.put_u8(marker::DATE);
            out.put_f64(*millis);
            out.put_u16(0);
        }
        Value::Null => out.put_u8(marker::NULL),
        Value::Undefined => out.put_u8(marker::UNDEFINED),
    }
}

fn put_named(out: &mut BytesMut, properties: &[(String, Value)]) {
    for (name, value) in properties {
        put_text(out, name);
        put(out, value);
    }
    out.put_slice(&[0, 0, marker::OBJECT_END]);
}

/// Writes a name or short string. This server writes none longer than 16 bits can state, and would cut it there.
fn put_text(out: &mut BytesMut, text: &str) {
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    out.put_u16(length);
    out.put_slice(&text.as_bytes()[..length.into()]);
}

impl fmt::Display for Value {
    /// Writes something close to JSON, for logs and tests.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) | Self::Date(number) => write!(f, "{number}"),
            Self::Boolean(value) => write!(f, "{value}"),
            Self::String(text) => write!(f, "{text:?}"),
            Self::Null => f.write_str("null"),
            Self::Undefined => f.write_str("undefined"),
            Self::Object(properties) | Self::EcmaArray(properties) => {
                f.write_str("{")?;
                for (index, (name, value)) in properties.iter().enumerate() {
                    write!(f, "{}{name}: {value}", if index == 0 { "" } else { ", " })?;
                }
                f.write_str("}")
            }
            Self::StrictArray(items) => {
                f.write_str("[")?;
                for (index, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if index == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connect() -> Vec<Value> {
        let list = Value::StrictArray(vec![Value::text("hvc1"), Value::text("av01")]);
        let object =
            Value::object([("app", Value::text("live")), ("fourCcList", list), ("fpad", Value::Boolean(false))]);
        vec![Value::text("connect"), Value::Number(1.0), object, Value::Null, Value::Date(5.0), Value::Undefined]
    }

    #[test]
    fn what_is_written_is_read() {
        let mut values = connect();
        values.push(Value::EcmaArray(vec![("duration".into(), Value::Number(0.0))]));
        assert_eq!(read(&write(&values)), Reading { values, ..Reading::default() });
    }

    #[test]
    fn of_a_message_that_is_cut_off_the_values_before_the_cut_stand() {
        let bytes = write(&connect());
        for cut in 0..bytes.len() {
            let Reading { values, odd, stopped } = read(&bytes[..cut]);
            assert!(values.len() <= connect().len() && odd == 0, "{cut}");
            assert!(stopped.is_none_or(|stopped| stopped == AmfError::Truncated), "{cut}");
            assert!(values.iter().zip(connect()).all(|(read, sent)| *read == sent || stopped.is_some()), "{cut}");
        }
        let inside_the_list = bytes.windows(4).position(|window| window == b"av01").unwrap();
        let cut = read(&bytes[..inside_the_list]);
        assert_eq!(cut.stopped, Some(AmfError::Truncated));
        assert_eq!(cut.values[2].get("app"), Some(&Value::text("live")));
        assert_eq!(cut.values[2].get("fourCcList").unwrap().items(), [Value::text("hvc1")]);
    }

    #[test]
    fn one_odd_value_costs_itself() {
        let utf16 = [marker::STRING, 0, 4, 0xff, 0xfe, b'a', 0];
        let odd: [&[u8]; 9] = [
            &[marker::AMF3, 0x0a, 0x0b, 1, 1],
            &[marker::AMF3, 1],
            &[marker::REFERENCE, 0, 0],
            &[marker::XML, 0, 0, 0, 3, b'<', b'a', b'>'],
            &[marker::MOVIE_CLIP],
            &[marker::RECORD_SET],
            &[marker::STRING, 0, 4, 0xc4, 0xe3, 0xba, 0xc3], // GBK
            &[marker::STRING, 0, 4, b'c', b'a', b'f', 0xe9], // Latin-1
            &utf16,
        ];
        for value in odd {
            let object = [&[marker::OBJECT, 0, 1, b'x'], value, &[0, 1, b'y', marker::BOOLEAN, 1, 0, 0, 9]].concat();
            let reading = read(&[&object[..], &[marker::NULL]].concat());
            assert_eq!((reading.odd, reading.stopped, reading.values.len()), (1, None, 2), "{value:x?}");
            assert!(!reading.is_whole());
            assert_eq!(reading.values[0].get("y"), Some(&Value::Boolean(true)), "{value:x?}");
        }
        let latin = read(&[marker::STRING, 0, 4, b'c', b'a', b'f', 0xe9]);
        assert_eq!(latin.values, [Value::text("caf\u{fffd}")]);
        let unknown = read(&[marker::NULL, 18, 1, 2, 3]);
        assert_eq!((unknown.values, unknown.stopped), (vec![Value::Null], Some(AmfError::Type(18))));
    }

    #[test]
    fn nesting_is_capped_whatever_it_is_made_of() {
        let object = [&[marker::OBJECT, 0, 1, b'a'][..]; 3000].concat();
        let array = [&[marker::STRICT_ARRAY, 0, 0, 0, 1][..]; 3000].concat();
        let ecma = [&[marker::ECMA_ARRAY, 0, 0, 0, 1, 0, 1, b'a'][..]; 1000].concat();
        let amf3 = [&[marker::AMF3][..], &[9, 3, 1].repeat(4000)].concat();
        for bytes in [object, array, ecma, amf3] {
            assert_eq!(read(&bytes).stopped, Some(AmfError::TooDeep));
        }
        let long = read(&[&[marker::NULL][..], &[marker::BOOLEAN, 1].repeat(25_600)].concat());
        assert_eq!(long.stopped, Some(AmfError::TooLong(51_201)));
        assert_eq!(long.values.len(), BYTES_MAX / 2, "what fits is read");
    }

    #[test]
    fn lengths_that_lie_end_the_reading_without_allocating() {
        let lies: [&[u8]; 6] = [
            &[marker::STRING, 0xff, 0xff, b'a'],
            &[marker::LONG_STRING, 0xff, 0xff, 0xff, 0xff],
            &[marker::STRICT_ARRAY, 0xff, 0xff, 0xff, 0xff, marker::NULL],
            &[marker::OBJECT, 0xff, 0xff],
            &[marker::OBJECT],
            &[marker::AMF3, 0x0c, 0xff, 0xff, 0xff, 0xff],
        ];
        for bytes in lies {
            assert_eq!(read(bytes).stopped, Some(AmfError::Truncated), "{bytes:x?}");
        }
    }
}
