//! AMF3 values inside of AMF0, passed over: this server uses none of them, but has to know where they end.
//!
//! Of the three tables of references only that of traits matters, because a reference to traits says how many values follow.
//! Every turn of every loop takes at least one byte, so that counts need not be believed.

use super::{AmfError, DEPTH_MAX};

mod marker {
    pub(super) const TRUE: u8 = 3; // Undefined, null and false are below.
    pub(super) const INTEGER: u8 = 4;
    pub(super) const DOUBLE: u8 = 5;
    pub(super) const STRING: u8 = 6;
    pub(super) const XML_DOCUMENT: u8 = 7;
    pub(super) const DATE: u8 = 8;
    pub(super) const ARRAY: u8 = 9;
    pub(super) const OBJECT: u8 = 10;
    pub(super) const XML: u8 = 11;
    pub(super) const BYTE_ARRAY: u8 = 12;
    pub(super) const VECTOR_INT: u8 = 13;
    pub(super) const VECTOR_UINT: u8 = 14;
    pub(super) const VECTOR_DOUBLE: u8 = 15;
    pub(super) const VECTOR_OBJECT: u8 = 16;
    pub(super) const DICTIONARY: u8 = 17;
}

/// The members of a class: how many are sealed, and whether others may follow.
#[derive(Clone, Copy, Debug)]
struct Class {
    sealed: usize,
    dynamic: bool,
}

/// The traits of one message so far.
#[derive(Debug, Default)]
pub(super) struct Traits(Vec<Class>);

impl Traits {
    /// Returns what follows the value at the front of `bytes`, which stands `depth` deep.
    pub(super) fn skip<'a>(&mut self, bytes: &'a [u8], depth: usize) -> Result<&'a [u8], AmfError> {
        let mut cursor = Cursor { bytes, traits: self };
        cursor.value(depth)?;
        Ok(cursor.bytes)
    }
}

struct Cursor<'a, 't> {
    bytes: &'a [u8],
    traits: &'t mut Traits,
}

impl Cursor<'_, '_> {
    fn pass(&mut self, length: usize) -> Result<(), AmfError> {
        self.bytes = self.bytes.get(length..).ok_or(AmfError::Truncated)?;
        Ok(())
    }

    fn byte(&mut self) -> Result<u8, AmfError> {
        let (&byte, rest) = self.bytes.split_first().ok_or(AmfError::Truncated)?;
        self.bytes = rest;
        Ok(byte)
    }

    /// Reads a number of 29 bits in one to four bytes (1.3.1).
    fn number(&mut self) -> Result<usize, AmfError> {
        let mut value = 0;
        for _ in 0..3 {
            let byte = self.byte()?;
            value = value << 7 | usize::from(byte & 0x7f);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Ok(value << 8 | usize::from(self.byte()?))
    }

    /// Reads the number in front of what may be a reference. `None` if it is one, as a reference ends there.
    fn inline(&mut self) -> Result<Option<usize>, AmfError> {
        let number = self.number()?;
        Ok((number & 1 == 1).then_some(number >> 1))
    }

    /// Passes over a text, and returns false if it is empty. A reference never means the empty text.
    fn text(&mut self) -> Result<bool, AmfError> {
        match self.inline()? {
            Some(length) => self.pass(length).map(|()| length > 0),
            None => Ok(true),
        }
    }

    fn value(&mut self, depth: usize) -> Result<(), AmfError> {
        if depth >= DEPTH_MAX {
            return Err(AmfError::TooDeep);
        }
        let depth = depth + 1;
        match self.byte()? {
            ..=marker::TRUE => Ok(()),
            marker::INTEGER => self.number().map(drop),
            marker::DOUBLE => self.pass(8),
            marker::STRING | marker::XML_DOCUMENT | marker::XML | marker::BYTE_ARRAY => self.text().map(drop),
            marker::DATE => match self.inline()? {
                Some(_) => self.pass(8),
                None => Ok(()),
            },
            marker::ARRAY => {
                let Some(count) = self.inline()? else { return Ok(()) };
                self.named(depth)?;
                self.values(count, depth)
            }
            marker::OBJECT => self.object(depth),
            marker::VECTOR_INT | marker::VECTOR_UINT => self.vector(4),
            marker::VECTOR_DOUBLE => self.vector(8),
            marker::VECTOR_OBJECT => {
                let Some(count) = self.inline()? else { return Ok(()) };
                self.pass(1)?; // Whether its length is fixed.
                self.text()?;
                self.values(count, depth)
            }
            marker::DICTIONARY => {
                let Some(count) = self.inline()? else { return Ok(()) };
                self.pass(1)?; // Whether its keys are weak.
                self.values(count.saturating_mul(2), depth)
            }
            other => Err(AmfError::Type(other)),
        }
    }

    fn vector(&mut self, item_bytes: usize) -> Result<(), AmfError> {
        let Some(count) = self.inline()? else { return Ok(()) };
        self.pass(1)?; // Whether its length is fixed.
        self.pass(count.saturating_mul(item_bytes))
    }

    fn object(&mut self, depth: usize) -> Result<(), AmfError> {
        const EXTERNALIZABLE: usize = 2;
        let Some(number) = self.inline()? else { return Ok(()) };
        let class = if number & 1 == 0 {
            // An index that was never given cannot be counted on.
            *self.traits.0.get(number >> 1).ok_or(AmfError::Type(marker::OBJECT))?
        } else if number & EXTERNALIZABLE != 0 {
            return Err(AmfError::Type(marker::OBJECT)); // Only its class knows how long it is.
        } else {
            let class = Class { sealed: number >> 3, dynamic: number & 4 != 0 };
            self.text()?; // The name of the class.
            for _ in 0..class.sealed {
                self.text()?;
            }
            self.traits.0.push(class);
            class
        };
        self.values(class.sealed, depth)?;
        if class.dynamic { self.named(depth) } else { Ok(()) }
    }

    fn values(&mut self, count: usize, depth: usize) -> Result<(), AmfError> {
        for _ in 0..count {
            self.value(depth)?;
        }
        Ok(())
    }

    /// Passes over named values up to the empty name.
    fn named(&mut self, depth: usize) -> Result<(), AmfError> {
        while self.text()? {
            self.value(depth)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_passed_over_to_its_last_byte() {
        let values: [&[u8]; 16] = [
            &[0],
            &[3],
            &[4, 0xff, 0xff, 0xff, 0xff],
            &[5, 0, 0, 0, 0, 0, 0, 0, 0],
            &[6, 0x07, b'a', b'b', b'c'],
            &[6, 0x02],
            &[7, 0x03, b'a'],
            &[8, 0x01, 0, 0, 0, 0, 0, 0, 0, 0],
            &[9, 0x05, 0x03, b'k', 0x02, 0x01, 0x01, 0x04, 0x7f],
            &[10, 0x0b, 0x01, 0x03, b'k', 0x06, 0x03, b'v', 0x01],
            &[10, 0x13, 0x03, b'C', 0x03, b'm', 0x04, 0x05],
            &[11, 0x03, b'x'],
            &[12, 0x05, 1, 2],
            &[13, 0x03, 0, 0, 0, 0, 1],
            &[16, 0x03, 0, 0x01, 0x02],
            &[17, 0x03, 0, 0x04, 0x01, 0x03],
        ];
        for value in values {
            let bytes = [value, &[0xaa]].concat();
            assert_eq!(Traits::default().skip(&bytes, 0), Ok(&[0xaa][..]), "{value:x?}");
            for cut in 0..value.len() {
                assert_eq!(
                    Traits::default().skip(&value[..cut], 0),
                    Err(AmfError::Truncated),
                    "{value:x?} cut at {cut}"
                );
            }
        }
    }

    #[test]
    fn a_reference_to_traits_is_followed_and_a_class_that_reads_itself_is_not() {
        let two = [9, 0x05, 0x01, 10, 0x13, 0x01, 0x03, b'm', 0x02, 10, 0x01, 0x03];
        assert_eq!(Traits::default().skip(&two, 0), Ok(&[][..]));
        assert_eq!(Traits::default().skip(&[10, 0x01, 0x03], 0), Err(AmfError::Type(10)));
        assert_eq!(Traits::default().skip(&[10, 0x07, 0x01], 0), Err(AmfError::Type(10)));
    }
}
