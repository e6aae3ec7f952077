//! Reads and writes bits, Exp-Golomb codes and emulation prevention, as H.264 (7.2, 7.4.1, 9.1), H.265 and AV1 headers
//! use them.
//!
//! A reader never reads past its slice: it fails with `Malformed::Truncated` and the name that it was given. Positions
//! are in bits from the start, so that a rewriter can copy everything that it does not change bit by bit.

use super::Malformed;

/// Reads bits, the most significant first.
#[derive(Clone, Debug)]
pub(crate) struct BitReader<'a> {
    what: &'static str,
    data: &'a [u8],
    position: usize,
}

impl<'a> BitReader<'a> {
    pub(crate) fn new(what: &'static str, data: &'a [u8]) -> Self {
        Self { what, data, position: 0 }
    }

    pub(crate) fn position(&self) -> usize {
        self.position
    }

    pub(crate) fn remaining(&self) -> usize {
        self.data.len() * 8 - self.position
    }

    fn truncated(&self) -> Malformed {
        Malformed::Truncated { what: self.what }
    }

    /// Reads up to 32 bits as a number.
    pub(crate) fn bits(&mut self, count: u32) -> Result<u32, Malformed> {
        debug_assert!(count <= 32);
        if self.remaining() < count as usize {
            return Err(self.truncated());
        }
        let first = self.position / 8;
        let mut window = 0u64;
        for index in 0..5 {
            window = window << 8 | u64::from(self.data.get(first + index).copied().unwrap_or(0));
        }
        let behind = 40 - (self.position % 8) as u32 - count;
        self.position += count as usize;
        Ok((window >> behind & ((1u64 << count) - 1)) as u32)
    }

    /// Reads up to 8 bits as a byte.
    pub(crate) fn byte(&mut self, count: u32) -> Result<u8, Malformed> {
        debug_assert!(count <= 8);
        self.bits(count).map(|value| value as u8)
    }

    pub(crate) fn flag(&mut self) -> Result<bool, Malformed> {
        self.bits(1).map(|value| value == 1)
    }

    pub(crate) fn skip(&mut self, count: usize) -> Result<(), Malformed> {
        if self.remaining() < count {
            return Err(self.truncated());
        }
        self.position += count;
        Ok(())
    }

    pub(crate) fn align(&mut self) -> Result<(), Malformed> {
        self.skip(self.position.wrapping_neg() % 8)
    }

    /// Reads an unsigned Exp-Golomb code, `ue(v)`. It has at most 32 leading zeros, so the largest value is 2³² − 2.
    pub(crate) fn ue(&mut self) -> Result<u32, Malformed> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros == 32 {
                return Err(Malformed::OutOfRange { what: self.what, field: "Exp-Golomb code", value: u64::MAX });
            }
        }
        Ok(((1u64 << zeros) - 1 + u64::from(self.bits(zeros)?)) as u32)
    }

    /// Reads a `ue(v)` that must not exceed `largest`.
    pub(crate) fn ue_up_to(&mut self, field: &'static str, largest: u32) -> Result<u32, Malformed> {
        let value = self.ue()?;
        if value > largest {
            return Err(Malformed::OutOfRange { what: self.what, field, value: u64::from(value) });
        }
        Ok(value)
    }

    /// Reads a signed Exp-Golomb code, `se(v)`.
    pub(crate) fn se(&mut self) -> Result<i32, Malformed> {
        let code = i64::from(self.ue()?);
        let magnitude = (code + 1) / 2;
        Ok((if code % 2 == 1 { magnitude } else { -magnitude }) as i32)
    }
}

/// Reads a `ue(v)` at the top of a word. Returns its value, and its length in bits.
pub(crate) fn ue_at_top(word: u64) -> Option<(u32, u32)> {
    let zeros = word.leading_zeros();
    if zeros > 31 {
        return None;
    }
    let length = 2 * zeros + 1;
    Some((((word >> (64 - length)) - 1) as u32, length))
}

/// Writes bits, the most significant first.
#[derive(Debug, Default)]
pub(crate) struct BitWriter {
    data: Vec<u8>,
    used: usize,
}

impl BitWriter {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn flag(&mut self, value: bool) {
        if self.used.is_multiple_of(8) {
            self.data.push(0);
        }
        if value && let Some(last) = self.data.last_mut() {
            *last |= 0x80 >> (self.used % 8);
        }
        self.used += 1;
    }

    pub(crate) fn bits(&mut self, value: u32, count: u32) {
        for shift in (0..count).rev() {
            self.flag(value >> shift & 1 == 1);
        }
    }

    pub(crate) fn ue(&mut self, value: u32) {
        let code = u64::from(value) + 1;
        let length = u64::BITS - code.leading_zeros();
        self.bits(0, length - 1);
        for shift in (0..length).rev() {
            self.flag(code >> shift & 1 == 1);
        }
    }

    /// Copies the bits `from..to` of `source`, both inside of it.
    pub(crate) fn copy(&mut self, source: &[u8], from: usize, to: usize) {
        for position in from..to {
            self.flag(source[position / 8] >> (7 - position % 8) & 1 == 1);
        }
    }

    /// Writes `rbsp_trailing_bits()`, a one and then zeros to the byte's end, and returns the bytes.
    pub(crate) fn finish_rbsp(mut self) -> Vec<u8> {
        self.flag(true);
        self.data
    }

    /// Returns the bytes, padded with zeros.
    pub(crate) fn finish(self) -> Vec<u8> {
        self.data
    }
}

/// Takes `emulation_prevention_three_byte`s out: NAL unit payload to RBSP.
pub(crate) fn unescape(nal: &[u8]) -> Vec<u8> {
    let mut rbsp = Vec::with_capacity(nal.len());
    let mut zeros = 0;
    for &byte in nal {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        rbsp.push(byte);
    }
    rbsp
}

/// Does the same as [`unescape`] for the first `N` bytes, on the stack. Returns the buffer and how much of it is
/// filled.
pub(crate) fn unescape_start<const N: usize>(nal: &[u8]) -> ([u8; N], usize) {
    if let Some(start) = nal.first_chunk::<N>()
        && !start.contains(&0)
    {
        return (*start, N); // This is the usual case, because emulation needs two zeros.
    }
    let mut start = [0; N];
    let (mut filled, mut zeros) = (0, 0);
    for &byte in nal {
        if filled == N {
            break;
        }
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        start[filled] = byte;
        filled += 1;
    }
    (start, filled)
}

/// Puts `emulation_prevention_three_byte`s in: RBSP to NAL unit payload.
pub(crate) fn escape(rbsp: &[u8]) -> Vec<u8> {
    let mut nal = Vec::with_capacity(rbsp.len() + rbsp.len() / 64 + 1);
    let mut zeros = 0;
    for &byte in rbsp {
        if zeros >= 2 && byte <= 3 {
            nal.push(3);
            zeros = 0;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        nal.push(byte);
    }
    // An RBSP ends in its stop bit, so a NAL unit never ends in zeros; cabac_zero_words are not written here.
    nal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let values = [0, 1, 2, 3, 7, 8, 254, 255, 65_535, u32::MAX - 1];
        let mut writer = BitWriter::new();
        for value in values {
            writer.ue(value);
            writer.bits(value, 32);
            writer.bits(5, 3);
        }
        let data = writer.finish_rbsp();
        let mut reader = BitReader::new("test", &data);
        for value in values {
            assert_eq!(reader.ue(), Ok(value));
            let mut single = BitWriter::new();
            single.ue(value);
            let mut top = single.finish();
            top.resize(8, 0xff);
            let word = u64::from_be_bytes(top.try_into().unwrap());
            assert_eq!(ue_at_top(word), Some((value, 2 * (value as u64 + 1).ilog2() + 1)));
            assert_eq!(reader.bits(32), Ok(value));
            assert_eq!(reader.bits(3), Ok(5));
        }
    }

    #[test]
    fn signed_codes_alternate() {
        let mut writer = BitWriter::new();
        (0..5).for_each(|code| writer.ue(code));
        let data = writer.finish();
        let mut reader = BitReader::new("test", &data);
        let values: Vec<_> = (0..5).map(|_| reader.se().unwrap()).collect();
        assert_eq!(values, [0, 1, -1, 2, -2]);
    }

    #[test]
    fn a_read_past_the_end_fails_with_the_name_of_the_structure() {
        let mut reader = BitReader::new("test", &[0xff]);
        assert_eq!(reader.bits(9), Err(Malformed::Truncated { what: "test" }));
        assert_eq!(reader.bits(8), Ok(255));
        assert_eq!(reader.flag(), Err(Malformed::Truncated { what: "test" }));
        assert!(BitReader::new("test", &[0; 9]).ue().is_err());
    }

    #[test]
    fn emulation_prevention_round_trips() {
        for rbsp in [&[0, 0, 0, 0, 0, 1][..], &[0, 0, 3, 0, 0, 3, 1], &[1, 2, 0, 0, 4], &[0, 0, 2, 0, 0, 1]] {
            let nal = escape(rbsp);
            assert!(nal.windows(3).all(|window| window[..2] != [0, 0] || window[2] >= 3));
            assert_eq!(unescape(&nal), rbsp);
            let (start, filled) = unescape_start::<4>(&nal);
            assert_eq!(start[..filled], rbsp[..4]);
        }
    }
}
