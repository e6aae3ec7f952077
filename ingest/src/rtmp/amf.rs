//! Reads AMF0 values with caps, and writes them.
//!
//! Invariant: reading never recurses deeper than [`DEPTH_MAX`], never takes more than [`BYTES_MAX`] and never
//! believes a length: memory is a small multiple of the bytes that are there. Properties keep their order.
//! References, AMF3 values and the types that only Flash could make are refused.

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
    pub(super) const NULL: u8 = 5;
    pub(super) const UNDEFINED: u8 = 6;
    pub(super) const ECMA_ARRAY: u8 = 8;
    pub(super) const OBJECT_END: u8 = 9;
    pub(super) const STRICT_ARRAY: u8 = 10;
    pub(super) const DATE: u8 = 11;
    pub(super) const LONG_STRING: u8 = 12;
    pub(super) const UNSUPPORTED: u8 = 13;
    pub(super) const TYPED_OBJECT: u8 = 16;
}

/// States why bytes cannot be read as AMF0.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum AmfError {
    #[error("AMF0 of {0} bytes is above the limit of {BYTES_MAX}")]
    TooLong(usize),
    #[error("AMF0 nested deeper than {DEPTH_MAX}")]
    TooDeep,
    #[error("AMF0 ends inside of a value")]
    Truncated,
    #[error("AMF0 type {0} is not supported")]
    Type(u8),
    #[error("an AMF0 string is not UTF-8")]
    Text,
    #[error("an AMF0 object does not end")]
    NoEnd,
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

    /// Returns the property of this name.
    pub fn get(&self, name: &str) -> Option<&Self> {
        self.properties().iter().find(|property| property.0 == name).map(|property| &property.1)
    }
}

/// Reads all values in `bytes`.
pub fn read(bytes: &[u8]) -> Result<Vec<Value>, AmfError> {
    if bytes.len() > BYTES_MAX {
        return Err(AmfError::TooLong(bytes.len()));
    }
    let mut cursor = Cursor { bytes };
    let mut values = Vec::new();
    while !cursor.bytes.is_empty() {
        values.push(cursor.value(0)?);
    }
    Ok(values)
}

struct Cursor<'a> {
    bytes: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], AmfError> {
        let (head, rest) = self.bytes.split_first_chunk::<N>().ok_or(AmfError::Truncated)?;
        self.bytes = rest;
        Ok(*head)
    }

    fn text(&mut self, length: usize) -> Result<&'a str, AmfError> {
        let (head, rest) = self.bytes.split_at_checked(length).ok_or(AmfError::Truncated)?;
        self.bytes = rest;
        std::str::from_utf8(head).map_err(|_| AmfError::Text)
    }

    fn short_text(&mut self) -> Result<&'a str, AmfError> {
        let length = u16::from_be_bytes(self.take()?);
        self.text(length.into())
    }

    fn value(&mut self, depth: usize) -> Result<Value, AmfError> {
        let [kind] = self.take()?;
        let deeper = || if depth < DEPTH_MAX { Ok(depth + 1) } else { Err(AmfError::TooDeep) };
        Ok(match kind {
            marker::NUMBER => Value::Number(f64::from_be_bytes(self.take()?)),
            marker::BOOLEAN => Value::Boolean(self.take::<1>()? != [0]),
            marker::STRING => Value::text(self.short_text()?),
            marker::LONG_STRING => {
                let length = u32::from_be_bytes(self.take()?);
                Value::text(self.text(length as usize)?)
            }
            marker::OBJECT => Value::Object(self.named(deeper()?)?),
            marker::TYPED_OBJECT => {
                self.short_text()?; // The name of a Flash class.
                Value::Object(self.named(deeper()?)?)
            }
            marker::ECMA_ARRAY => {
                self.take::<4>()?;
                Value::EcmaArray(self.named(deeper()?)?)
            }
            marker::STRICT_ARRAY => {
                let (count, depth) = (u32::from_be_bytes(self.take()?), deeper()?);
                let mut items = Vec::new();
                for _ in 0..count {
                    items.push(self.value(depth)?);
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
            other => return Err(AmfError::Type(other)),
        })
    }

    fn named(&mut self, depth: usize) -> Result<Vec<(String, Value)>, AmfError> {
        let mut properties = Vec::new();
        loop {
            if self.bytes.is_empty() {
                return Err(AmfError::NoEnd);
            }
            let name = self.short_text()?;
            if name.is_empty() && self.bytes.first() == Some(&marker::OBJECT_END) {
                self.take::<1>()?;
                return Ok(properties);
            }
            properties.push((name.to_owned(), self.value(depth)?));
        }
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
        assert_eq!(read(&write(&values)).unwrap(), values);
    }

    #[test]
    fn every_cut_is_refused_or_a_shorter_list() {
        let bytes = write(&connect());
        for cut in 0..bytes.len() {
            match read(&bytes[..cut]) {
                Ok(values) => assert!(values.len() < connect().len()),
                Err(error) => assert!(matches!(error, AmfError::Truncated | AmfError::NoEnd), "{error}"),
            }
        }
    }

    #[test]
    fn nesting_is_capped_whatever_it_is_made_of() {
        let object = [&[marker::OBJECT, 0, 1, b'a'][..]; 3000].concat();
        let array = [&[marker::STRICT_ARRAY, 0, 0, 0, 1][..]; 3000].concat();
        let ecma = [&[marker::ECMA_ARRAY, 0, 0, 0, 1, 0, 1, b'a'][..]; 1000].concat();
        for bytes in [object, array, ecma] {
            assert_eq!(read(&bytes), Err(AmfError::TooDeep));
        }
        assert_eq!(read(&[&[marker::OBJECT, 0, 1, b'a'][..]; 25_600].concat()), Err(AmfError::TooLong(102_400)));
    }

    #[test]
    fn lengths_that_lie_are_refused_without_allocating() {
        assert_eq!(read(&[marker::STRING, 0xff, 0xff, b'a']), Err(AmfError::Truncated));
        assert_eq!(read(&[marker::LONG_STRING, 0xff, 0xff, 0xff, 0xff]), Err(AmfError::Truncated));
        assert_eq!(read(&[marker::STRICT_ARRAY, 0xff, 0xff, 0xff, 0xff, marker::NULL]), Err(AmfError::Truncated));
        assert_eq!(read(&[marker::OBJECT, 0xff, 0xff]), Err(AmfError::Truncated));
        assert_eq!(read(&[marker::OBJECT]), Err(AmfError::NoEnd));
        assert_eq!(read(&[marker::STRING, 0, 1, 0xff]), Err(AmfError::Text));
        assert_eq!(read(&[17]), Err(AmfError::Type(17)));
    }
}
