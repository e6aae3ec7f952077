//! VP9 (RFC 9628): the bytes behind the payload descriptor, in both modes and with layers.

use super::Unusable;

/// Returns whether a layer frame starts here, and the bytes behind the descriptor.
pub(super) fn body(payload: &[u8]) -> Result<(bool, &[u8]), Unusable> {
    let mut reader = Reader { rest: payload };
    let flags = reader.byte()?;
    let has = |flag: u8| flags & flag != 0;
    if has(0x80) && reader.byte()? & 0x80 != 0 {
        reader.byte()?; // The second half of a long picture id.
    }
    let flexible = has(0x10);
    if has(0x20) {
        reader.byte()?; // Layer indices.
        if !flexible {
            reader.byte()?; // TL0PICIDX
        }
    }
    if flexible && has(0x40) {
        const MOST_REFERENCES: usize = 3;
        let mut references = 0;
        while reader.byte()? & 1 != 0 {
            references += 1;
            if references == MOST_REFERENCES {
                return Err(Unusable::Malformed);
            }
        }
    }
    if has(0x02) {
        reader.scalability_structure()?;
    }
    if reader.rest.is_empty() {
        return Err(Unusable::Malformed);
    }
    Ok((has(0x08), reader.rest))
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn byte(&mut self) -> Result<u8, Unusable> {
        let (&byte, rest) = self.rest.split_first().ok_or(Unusable::Malformed)?;
        self.rest = rest;
        Ok(byte)
    }

    fn skip(&mut self, bytes: usize) -> Result<(), Unusable> {
        self.rest = self.rest.get(bytes..).ok_or(Unusable::Malformed)?;
        Ok(())
    }

    fn scalability_structure(&mut self) -> Result<(), Unusable> {
        let flags = self.byte()?;
        if flags & 0x10 != 0 {
            self.skip((usize::from(flags >> 5) + 1) * 4)?; // Width and height of each layer.
        }
        if flags & 0x08 != 0 {
            for _ in 0..self.byte()? {
                let picture = self.byte()?;
                self.skip(usize::from(picture >> 2 & 3))?; // P_DIFF
            }
        }
        Ok(())
    }
}
