//! NAL unit framing, which H.264 and H.265 share: four-byte lengths inside this program (the canonical form), start
//! codes (Annex B) and other length sizes outside.
//!
//! Iteration allocates nothing and never fails: it ends at the first length that reaches past the payload. Code that
//! takes in payloads calls [`check`] or [`canonical`] once. After that they are trusted to be complete.

use super::Malformed;
use super::bits::BitReader;
use crate::part::part;
use bytes::{BufMut, Bytes, BytesMut};
use std::ops::Range;

const LENGTH_BYTES: usize = 4;

/// Returns the NAL units of a payload in canonical form, without their lengths.
pub fn nal_units(payload: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    nal_ranges(payload).map(|range| &payload[range])
}

/// Returns the same units as ranges into the payload, for `Bytes::slice`. The length is in the four bytes before a
/// range.
pub fn nal_ranges(payload: &[u8]) -> NalRanges<'_> {
    NalRanges { payload, position: 0 }
}

/// Is the iterator that [`nal_ranges`] returns. It skips empty NAL units.
#[derive(Clone, Debug)]
pub struct NalRanges<'a> {
    payload: &'a [u8],
    position: usize,
}

impl Iterator for NalRanges<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        loop {
            let rest = self.payload.get(self.position..)?;
            let length = u32::from_be_bytes(*rest.first_chunk::<LENGTH_BYTES>()?) as usize;
            if length > rest.len() - LENGTH_BYTES {
                self.position = self.payload.len();
                return None;
            }
            let start = self.position + LENGTH_BYTES;
            self.position = start + length;
            if length > 0 {
                return Some(start..self.position);
            }
        }
    }
}

/// Returns the lengths of all NAL units of a payload in canonical form, with those of empty ones, which [`nal_ranges`] skips.
pub(crate) fn all_lengths(payload: &[u8]) -> impl Iterator<Item = usize> {
    let mut rest = payload;
    std::iter::from_fn(move || {
        let (nal, after) = split_first(rest, LENGTH_BYTES).ok()?;
        rest = after;
        Some(nal.len())
    })
}

/// Checks that lengths of `length_size` bytes cover the payload exactly, and that there is at least one NAL unit.
pub fn check(payload: &[u8], length_size: usize) -> Result<(), Malformed> {
    let mut rest = payload;
    let mut units = 0usize;
    while !rest.is_empty() {
        let (nal, after) = split_first(rest, length_size)?;
        units += usize::from(!nal.is_empty());
        rest = after;
    }
    if units == 0 {
        return Err(Malformed::Missing { what: "access unit", field: "NAL unit" });
    }
    Ok(())
}

fn split_first(rest: &[u8], length_size: usize) -> Result<(&[u8], &[u8]), Malformed> {
    let truncated = Malformed::Truncated { what: "NAL unit" };
    let (length, rest) = rest.split_at_checked(length_size).ok_or(truncated.clone())?;
    let length = length.iter().fold(0usize, |value, &byte| value << 8 | usize::from(byte));
    rest.split_at_checked(length).ok_or(truncated)
}

/// Converts lengths of 1 to 3 bytes to the canonical four bytes, with a copy. With size 4 it returns the payload as it
/// is.
pub fn from_length_size(payload: Bytes, length_size: usize) -> Result<Bytes, Malformed> {
    check(&payload, length_size)?;
    if length_size == LENGTH_BYTES {
        return Ok(payload);
    }
    let mut canonical = BytesMut::with_capacity(payload.len() + payload.len() / 16);
    let mut rest = &payload[..];
    while !rest.is_empty() {
        let (nal, after) = split_first(rest, length_size)?;
        put(&mut canonical, nal);
        rest = after;
    }
    Ok(canonical.freeze())
}

/// Returns a payload in the canonical form, whatever form it came in: lengths of the `stated` size, of four bytes, or start codes.
/// The lengths are believed first: they have to cover the payload exactly, which start codes do not do by chance.
pub fn canonical(payload: Bytes, stated: usize) -> Result<Bytes, Malformed> {
    if stated != LENGTH_BYTES && check(&payload, stated).is_ok() {
        return from_length_size(payload, stated);
    }
    match check(&payload, LENGTH_BYTES) {
        Ok(()) => Ok(payload),
        Err(error) if !begins_with_start_code(&payload) => Err(error),
        Err(error) => Some(from_annex_b(&payload)).filter(|canonical| !canonical.is_empty()).ok_or(error),
    }
}

/// Returns whether bytes begin with a start code of Annex B, of three or four bytes.
pub fn begins_with_start_code(stream: &[u8]) -> bool {
    stream.starts_with(&[0, 0, 1]) || stream.starts_with(&[0, 0, 0, 1])
}

/// Converts Annex B to the canonical form. Start codes may have three or four bytes, with leading and trailing zeros.
pub fn from_annex_b(stream: &[u8]) -> Bytes {
    let mut canonical = BytesMut::with_capacity(stream.len() + 16);
    annex_b_units(stream).for_each(|nal| put(&mut canonical, nal));
    canonical.freeze()
}

/// Returns the NAL units of an Annex B stream. Bytes before the first start code are skipped.
pub fn annex_b_units(stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = after_start_code(stream);
    std::iter::from_fn(move || {
        let unit = rest?;
        let end = start_code(unit).unwrap_or(unit.len());
        rest = after_start_code(unit);
        Some(&unit[..end])
    })
    .map(without_trailing_zeros)
    .filter(|nal| !nal.is_empty())
}

fn start_code(stream: &[u8]) -> Option<usize> {
    stream.windows(3).position(|window| window == [0, 0, 1])
}

fn after_start_code(stream: &[u8]) -> Option<&[u8]> {
    start_code(stream).map(|position| &stream[position + 3..])
}

// Removes the fourth byte of the next start code, or trailing_zero_8bits. A NAL unit itself never ends in a zero.
fn without_trailing_zeros(nal: &[u8]) -> &[u8] {
    let end = nal.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    &nal[..end]
}

/// Converts the canonical form to Annex B with four-byte start codes. The caller puts parameter sets in front.
pub fn to_annex_b(payload: &[u8]) -> Bytes {
    let mut stream = BytesMut::with_capacity(payload.len());
    for nal in nal_units(payload) {
        stream.put_slice(&[0, 0, 0, 1]);
        stream.put_slice(nal);
    }
    stream.freeze()
}

/// Joins NAL units to one payload in canonical form.
pub fn join<'a>(units: impl IntoIterator<Item = &'a [u8]>) -> Bytes {
    let mut canonical = BytesMut::new();
    units.into_iter().for_each(|nal| put(&mut canonical, nal));
    canonical.freeze()
}

fn put(canonical: &mut BytesMut, nal: &[u8]) {
    if let Ok(length) = u32::try_from(nal.len())
        && length > 0
    {
        canonical.put_u32(length);
        canonical.put_slice(nal);
    }
}

/// Returns the payload without the NAL units that `goes` picks. It copies only if one of them is between two that stay.
/// Parameter sets in front of a picture are sliced off.
pub(crate) fn without(payload: Bytes, goes: impl Fn(&[u8]) -> bool) -> Bytes {
    let (mut kept, mut gap) = (None::<Range<usize>>, false);
    let mut removed = false;
    for range in nal_ranges(&payload) {
        if goes(&payload[range.clone()]) {
            removed = true;
            continue;
        }
        let start = range.start - LENGTH_BYTES;
        kept = match kept {
            None => Some(start..range.end),
            Some(before) => {
                gap |= before.end != start;
                Some(before.start..range.end)
            }
        };
    }
    match kept {
        _ if !removed => payload,
        None => Bytes::new(),
        Some(kept) if !gap => part(payload.len(), payload.slice(kept)),
        Some(_) => join(nal_units(&payload).filter(|nal| !goes(nal))),
    }
}

/// The most bytes of a parameter set: `avcC` and `hvcC` count them in 16 bits.
const LONGEST_SET: usize = u16::MAX as usize;

/// Copies `count` parameter sets with 16-bit lengths, as in `avcC` and `hvcC`, out of `record`. Empty ones are skipped.
/// The reader must be at a byte boundary.
pub(crate) fn sets(reader: &mut BitReader<'_>, record: &[u8], count: u32) -> Result<Vec<Bytes>, Malformed> {
    let mut sets = Vec::new();
    for _ in 0..count {
        let length = reader.bits(16)? as usize;
        let start = reader.position() / 8;
        reader.skip(length * 8)?;
        if length > 0 {
            sets.push(Bytes::copy_from_slice(&record[start..start + length]));
        }
    }
    Ok(sets)
}

pub(crate) fn put_set(record: &mut BytesMut, set: &[u8]) {
    record.put_u16(set.len() as u16); // check_sets has checked that it fits
    record.put_slice(set);
}

/// Refuses more than `most` parameter sets and ones too long for a configuration record.
pub(crate) fn check_sets(
    what: &'static str,
    field: &'static str,
    sets: &[Bytes],
    most: usize,
) -> Result<(), Malformed> {
    let longest = sets.iter().map(Bytes::len).max().unwrap_or(0);
    if sets.len() > most || longest > LONGEST_SET {
        let value = if sets.len() > most { sets.len() } else { longest };
        return Err(Malformed::OutOfRange { what, field, value: value as u64 });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annex_b_round_trips() {
        let stream = [0, 0, 0, 1, 0x67, 1, 2, 0, 0, 1, 0x68, 3, 0, 0, 0, 0, 1, 0x65, 9, 0, 0];
        let canonical = from_annex_b(&stream);
        let units: Vec<_> = nal_units(&canonical).collect();
        assert_eq!(units, [&[0x67, 1, 2][..], &[0x68, 3], &[0x65, 9]]);
        assert_eq!(from_annex_b(&to_annex_b(&canonical)), canonical);
        assert!(from_annex_b(&[1, 2, 3]).is_empty());
        assert!(from_annex_b(&[0, 0, 1]).is_empty());
    }

    #[test]
    fn other_length_sizes_become_four_bytes() {
        for size in 1..=4 {
            let mut payload = BytesMut::new();
            for nal in [&[0x41, 1, 2][..], &[0x41, 3]] {
                payload.put_uint(nal.len() as u64, size);
                payload.put_slice(nal);
            }
            let canonical = from_length_size(payload.freeze(), size).unwrap();
            assert_eq!(canonical[..], [0, 0, 0, 3, 0x41, 1, 2, 0, 0, 0, 2, 0x41, 3]);
        }
    }

    #[test]
    fn a_payload_is_read_in_the_form_that_it_has_whatever_was_stated() {
        let units = [&[0x67, 1, 2][..], &[0x65, 9, 0, 0, 3, 9]];
        let lengths = join(units);
        let long = to_annex_b(&lengths);
        let short = Bytes::from([&[0, 0, 1][..], units[0], &[0, 0, 1], units[1]].concat());
        let two = Bytes::from(units.map(|unit| [&[0, unit.len() as u8][..], unit].concat()).concat());
        for stated in 1..=4 {
            for payload in [&lengths, &long, &short] {
                assert_eq!(canonical(payload.clone(), stated).as_ref(), Ok(&lengths), "{stated} {payload:x?}");
            }
        }
        assert_eq!(canonical(two.clone(), 2).as_ref(), Ok(&lengths));
        assert!(canonical(two, 4).is_err());
        assert!(canonical(Bytes::from_static(&[0, 0, 0, 1]), 4).is_err());
        assert!(canonical(Bytes::new(), 4).is_err());
    }

    #[test]
    fn a_length_past_the_end_is_refused_and_ends_iteration() {
        let payload = [0, 0, 0, 1, 0x41, 0, 0, 0, 9, 0x41];
        assert!(check(&payload, 4).is_err());
        assert_eq!(nal_units(&payload).count(), 1);
        assert!(check(&[], 4).is_err());
        assert_eq!(nal_units(&[0xff; 64]).count(), 0);
    }

    #[test]
    fn leading_units_are_removed_without_copying() {
        let payload = join([&[7, 7][..], &[8], &[5; 9]]);
        let stripped = without(payload.clone(), |nal| nal[0] > 6);
        assert_eq!(stripped.as_ptr(), payload[11..].as_ptr());
        assert_eq!(stripped[..], [&[0, 0, 0, 9][..], &[5; 9]].concat());
        let filler = join([&[12; 1000][..], &[5, 5, 5]]);
        let small = without(filler.clone(), |nal| nal[0] > 6);
        assert_eq!(small[..], [0, 0, 0, 3, 5, 5, 5]);
        assert!(filler.is_unique(), "what is small keeps nothing of what it was cut from");
        let middle = join([&[5][..], &[8], &[5, 5]]);
        assert_eq!(without(middle, |nal| nal[0] > 6), join([&[5][..], &[5, 5]]));
        assert!(without(payload, |_| true).is_empty());
    }
}
