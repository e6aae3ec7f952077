//! H.264: NAL unit types, parameter sets and `avcC` (ISO/IEC 14496-10, 14496-15).
//!
//! The canonical payload is the NAL units of one access unit with four-byte lengths. Parameter sets are outside of it.
//! Only the type of slices is read. Nothing is decoded.

mod level;
mod sps;

pub use super::nal::{NalRanges, from_annex_b, nal_ranges, nal_units, to_annex_b};
pub use level::level_of;
pub use sps::Sps;
pub(crate) use sps::{sample_aspect, video_signal_type};

use super::bits::{BitReader, ue_at_top, unescape_start};
use super::{Colour, Malformed, SampleAspect, nal, sei};
use bytes::{BufMut, Bytes, BytesMut};

const NAL_SLICE: u8 = 1;
const NAL_PARTITION_A: u8 = 2;
const NAL_IDR: u8 = 5;
const NAL_SEI: u8 = 6;
const NAL_SPS: u8 = 7;
const NAL_PPS: u8 = 8;
const NAL_DELIMITER: u8 = 9;
const NAL_SPS_EXTENSION: u8 = 13;

/// The most that the five bits of `numOfSequenceParameterSets` and the eight of `numOfPictureParameterSets` can
/// state.
const MOST_SPS: usize = 31;
const MOST_PPS: usize = 255;

/// Returns the `nal_unit_type`, or 0 for an empty NAL unit.
pub fn nal_type(nal: &[u8]) -> u8 {
    nal.first().map_or(0, |header| header & 0x1f)
}

/// Returns whether the NAL unit is a slice of a picture, or a partition of one.
pub fn is_slice(nal: &[u8]) -> bool {
    (NAL_SLICE..=NAL_IDR).contains(&nal_type(nal))
}

/// Returns whether the NAL unit is a slice of an instantaneous decoding refresh picture.
pub fn is_idr(nal: &[u8]) -> bool {
    nal_type(nal) == NAL_IDR
}

/// Returns whether the type of the NAL unit is reserved or left open (table 7-1). Decoders pass such a unit over, and packets of RTP
/// have some of these numbers for themselves (RFC 6184 5.2).
pub fn is_reserved(nal: &[u8]) -> bool {
    matches!(nal_type(nal), 0 | 17 | 18 | 22..)
}

/// States how a slice predicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum SliceType {
    P,
    B,
    I,
    Sp,
    Si,
}

/// Returns the type of a slice (7.3.3), or `None` for every other NAL unit. Allocates nothing.
pub fn slice_type(nal: &[u8]) -> Option<SliceType> {
    if !matches!(nal_type(nal), NAL_SLICE | NAL_PARTITION_A | NAL_IDR) {
        return None;
    }
    // first_mb_in_slice is below 2²¹ and slice_type below 10: 41 + 7 bits at most.
    let (start, filled) = unescape_start::<8>(&nal[1..]);
    let word = u64::from_be_bytes(start);
    let (_, first_bits) = ue_at_top(word)?; // first_mb_in_slice
    let (slice_type, type_bits) = ue_at_top(word << first_bits)?;
    if (first_bits + type_bits) as usize > filled * 8 {
        return None;
    }
    match slice_type {
        0 | 5 => Some(SliceType::P),
        1 | 6 => Some(SliceType::B),
        2 | 7 => Some(SliceType::I),
        3 | 8 => Some(SliceType::Sp),
        4 | 9 => Some(SliceType::Si),
        _ => None,
    }
}

/// Returns whether decoding can start at this access unit: it holds an IDR slice.
pub fn access_unit_is_keyframe(payload: &[u8]) -> bool {
    nal_units(payload).any(is_idr)
}

/// Returns the `recovery_frame_cnt` of a recovery point (D.2.8): the number of frames until the picture is right. It is 0 at
/// the head of an open group, and the length of the refresh with periodic intra refresh. It reads no further than the
/// first slice.
pub fn recovery_frames(payload: &[u8]) -> Option<u32> {
    sei_before_slices(payload).find_map(|sei| sei::payload_of_type(sei, sei::RECOVERY_POINT, |bits| bits.ue()))
}

/// Returns whether the first slice is not the first of its picture: its `first_mb_in_slice` (7.3.3) is not 0, or it is a partition
/// B or C, which follows an A.
pub fn continues_picture(payload: &[u8]) -> bool {
    let first = nal_units(payload).find(|nal| is_slice(nal));
    first.is_some_and(|nal| match nal_type(nal) {
        NAL_SLICE | NAL_PARTITION_A | NAL_IDR => nal.get(1).is_some_and(|byte| byte & 0x80 == 0), // ue(0) is the bit 1.
        _ => true,
    })
}

/// Returns whether an access unit has closed captions. It reads no further than the first slice.
pub fn has_captions(payload: &[u8]) -> bool {
    sei_before_slices(payload).any(sei::has_captions)
}

fn sei_before_slices(payload: &[u8]) -> impl Iterator<Item = &[u8]> {
    let before_slices = nal_units(payload).take_while(|nal| !is_slice(nal));
    before_slices.filter(|nal| nal_type(nal) == NAL_SEI).filter_map(|nal| nal.get(1..))
}

/// Returns whether an access unit has a slice that predicts from two sides.
pub fn access_unit_has_b_slice(payload: &[u8]) -> bool {
    nal_units(payload).any(|nal| slice_type(nal) == Some(SliceType::B))
}

/// Takes delimiters and parameter sets out of an access unit. Without any the payload comes back untouched, and those
/// in front of the picture are cut off without copying.
///
/// Parameter sets come out only as a usable whole, an SPS and a PPS; a lone one stays where it is, which every
/// container of the canonical form allows, so that nothing a decoder needs is lost.
pub fn strip_parameter_sets(payload: Bytes) -> (Bytes, Option<Parameters>) {
    let (mut sps, mut pps, mut others) = (0, 0, 0);
    for nal in nal_units(&payload) {
        match nal_type(nal) {
            NAL_SPS => sps += 1,
            NAL_PPS => pps += 1,
            NAL_DELIMITER => others += 1,
            _ => {}
        }
    }
    if sps + pps + others == 0 {
        return (payload, None);
    }
    let parameters = (sps > 0 && pps > 0).then(|| Parameters::from_access_unit(&payload)).flatten();
    let whole = parameters.is_some();
    let stripped = nal::without(payload, |nal| match nal_type(nal) {
        NAL_SPS | NAL_PPS | NAL_SPS_EXTENSION => whole,
        kind => kind == NAL_DELIMITER,
    });
    (stripped, parameters)
}

/// Holds the parameter sets of a stream, and the fields of the first SPS.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameters {
    /// The sequence parameter sets, as NAL units without start code. There are 1 to 31.
    pub sps: Vec<Bytes>,
    /// The picture parameter sets in the same form. There are 1 to 255.
    pub pps: Vec<Bytes>,
    /// The value of `profile_idc`.
    pub profile_idc: u8,
    /// The byte after it: `constraint_set0_flag` is its highest bit.
    pub constraint_flags: u8,
    /// The value of `level_idc`, ten times the level.
    pub level_idc: u8,
    /// The width in pixels, after cropping.
    pub width: u32,
    /// The height in pixels, after cropping.
    pub height: u32,
    /// The frame rate, if the VUI's timing states it.
    pub frame_rate: Option<f64>,
    /// The number of frames of reordering, if the VUI declares it, or 0 if the profile or picture order count rules it
    /// out.
    pub max_reorder: Option<u8>,
    /// The value of `max_num_ref_frames`.
    pub max_num_ref_frames: u8,
    /// Whether fields are possible.
    pub interlaced: bool,
    /// The number of bits of `frame_num` in slices.
    pub frame_num_bits: u8,
    /// The chroma format: 0 grey, 1 4:2:0, 2 4:2:2, 3 4:4:4.
    pub chroma_format_idc: u8,
    /// Bits per luma sample.
    pub bit_depth_luma: u8,
    /// Bits per chroma sample.
    pub bit_depth_chroma: u8,
    /// The colour, if the VUI describes it.
    pub colour: Option<Colour>,
    /// The shape of a sample, a square unless the VUI states another.
    pub sample_aspect: SampleAspect,
}

impl Parameters {
    /// Takes NAL units without start codes, and reads the first SPS.
    pub fn from_parameter_sets(sps: Vec<Bytes>, pps: Vec<Bytes>) -> Result<Self, Malformed> {
        const WHAT: &str = "H.264 parameter sets";
        check_sets(WHAT, "SPS", &sps, NAL_SPS, MOST_SPS)?;
        check_sets(WHAT, "PPS", &pps, NAL_PPS, MOST_PPS)?;
        let first = sps.first().ok_or(Malformed::Missing { what: WHAT, field: "SPS" })?;
        let parsed = Sps::parse(first)?;
        Ok(Self {
            profile_idc: parsed.profile_idc,
            constraint_flags: parsed.constraint_flags,
            level_idc: parsed.level_idc,
            width: parsed.width,
            height: parsed.height,
            frame_rate: parsed.frame_rate,
            max_reorder: parsed.max_reorder,
            max_num_ref_frames: parsed.max_num_ref_frames,
            interlaced: parsed.interlaced,
            frame_num_bits: parsed.frame_num_bits,
            chroma_format_idc: parsed.chroma_format_idc,
            bit_depth_luma: parsed.bit_depth_luma,
            bit_depth_chroma: parsed.bit_depth_chroma,
            colour: parsed.colour,
            sample_aspect: parsed.sample_aspect,
            sps,
            pps,
        })
    }

    /// Returns whether browsers and phones decode it: the profile is one of the usual ones, the chroma format is 4:2:0, and a
    /// sample has 8 bits. Chromium refuses the Extended profile in files.
    pub fn is_widely_decoded(&self) -> bool {
        let is_usual = matches!(self.profile_idc, 66 | 77 | 100); // Baseline, Main, High
        is_usual && self.chroma_format_idc == 1 && self.bit_depth_luma.max(self.bit_depth_chroma) == 8
    }

    /// Returns whether an access unit is one field (every other line of a frame) without the other one. It reads the headers
    /// of slices up to the flags of fields (7.3.3).
    pub fn is_lone_field(&self, payload: &[u8]) -> bool {
        if !self.interlaced {
            return false;
        }
        let is_bottom = |nal: &[u8]| -> Result<Option<bool>, Malformed> {
            // The fields before the flags have 41, 7, 17 and 16 bits at most.
            let (start, filled) = unescape_start::<16>(&nal[1..]);
            let mut reader = BitReader::new("H.264 slice", &start[..filled]);
            reader.ue()?; // first_mb_in_slice
            reader.ue()?; // slice_type
            reader.ue()?; // pic_parameter_set_id
            reader.skip(usize::from(self.frame_num_bits))?;
            let is_field = reader.flag()?; // field_pic_flag
            is_field.then(|| reader.flag()).transpose() // bottom_field_flag
        };
        let is_slice = |nal: &&[u8]| matches!(nal_type(nal), NAL_SLICE | NAL_PARTITION_A | NAL_IDR);
        let mut fields = nal_units(payload).filter(is_slice).map(|nal| is_bottom(nal).unwrap_or(None));
        fields.next().flatten().is_some_and(|first| fields.all(|field| field == Some(first)))
    }

    /// Reads the SPS and PPS in an access unit of canonical form. `None` without a usable pair.
    pub fn from_access_unit(payload: &Bytes) -> Option<Self> {
        let of_type = |wanted, most| -> Vec<Bytes> {
            let ranges = nal_ranges(payload).filter(|range| nal_type(&payload[range.clone()]) == wanted);
            // The sets are copied, because a slice would keep the whole keyframe alive as long as the parameters are in
            // force.
            ranges.take(most).map(|range| Bytes::copy_from_slice(&payload[range])).collect()
        };
        Self::from_parameter_sets(of_type(NAL_SPS, MOST_SPS), of_type(NAL_PPS, MOST_PPS)).ok()
    }

    /// Parses an `AVCDecoderConfigurationRecord`. The number is the size in bytes of the NAL unit lengths that belong
    /// to it.
    pub fn from_avcc(record: &[u8]) -> Result<(Self, usize), Malformed> {
        const WHAT: &str = "avcC";
        let mut reader = BitReader::new(WHAT, record);
        // Some encoders write another version than 1, which is the only one, with the same layout.
        reader.skip(8)?;
        reader.skip(24 + 6)?; // profile, compatibility, level: the SPS repeats them
        let length_size = reader.bits(2)? as usize + 1;
        reader.skip(3)?;
        let sps_count = reader.bits(5)?;
        let sps = nal::sets(&mut reader, record, sps_count)?;
        let pps_count = reader.bits(8)?;
        let pps = nal::sets(&mut reader, record, pps_count)?;
        Ok((Self::from_parameter_sets(sps, pps)?, length_size))
    }

    /// Returns the `AVCDecoderConfigurationRecord` of the canonical form, whose lengths have four bytes.
    pub fn avcc(&self) -> Bytes {
        let mut record = BytesMut::new();
        record.put_slice(&[1, self.profile_idc, self.constraint_flags, self.level_idc, 0xff]);
        record.put_u8(0xe0 | self.sps.len() as u8);
        self.sps.iter().for_each(|set| nal::put_set(&mut record, set));
        record.put_u8(self.pps.len() as u8);
        self.pps.iter().for_each(|set| nal::put_set(&mut record, set));
        if matches!(self.profile_idc, 100 | 110 | 122 | 144 | 244) {
            record.put_u8(0xfc | self.chroma_format_idc);
            record.put_u8(0xf8 | (self.bit_depth_luma - 8));
            record.put_u8(0xf8 | (self.bit_depth_chroma - 8));
            record.put_u8(0); // no SPS extensions
        }
        record.freeze()
    }

    /// Returns the parameter sets as an access unit prefix in canonical form, to be sent in band.
    pub fn in_band(&self) -> Bytes {
        nal::join(self.sps.iter().chain(&self.pps).map(|set| &set[..]))
    }

    /// Returns the same parameters, in which each SPS declares that no frame is reordered, and everything else is
    /// bit-exact. They are right only for streams without B-frames. An SPS that cannot be read stays as it is.
    pub fn without_reordering(&self) -> Self {
        let rewrite = |set: &Bytes| sps::without_reordering(set).map_or_else(|_| set.clone(), Bytes::from);
        let sps = self.sps.iter().map(rewrite).collect();
        Self::from_parameter_sets(sps, self.pps.clone()).unwrap_or_else(|_| self.clone())
    }

    /// Returns whether the SPS already declares that decoders need not wait, so that a rewrite has no effect.
    pub fn declares_no_reordering(&self) -> bool {
        self.sps.iter().all(|set| {
            Sps::parse(set).is_ok_and(|sps| sps.max_dec_frame_buffering.is_some() && sps.max_reorder == Some(0))
        })
    }

    /// Returns the codec string of RFC 6381, `avc1.PPCCLL` in lower case.
    pub fn rfc6381(&self) -> String {
        format!("avc1.{:02x}{:02x}{:02x}", self.profile_idc, self.constraint_flags, self.level_idc)
    }

    /// Returns the profile's name (A.2).
    pub fn profile_name(&self) -> Option<&'static str> {
        let set = |number: u8| self.constraint_flags & 0x80 >> number != 0;
        Some(match self.profile_idc {
            66 if set(1) => "Constrained Baseline",
            66 => "Baseline",
            77 => "Main",
            88 => "Extended",
            100 if set(4) && set(5) => "Constrained High",
            100 if set(4) => "Progressive High",
            100 => "High",
            110 if set(3) => "High 10 Intra",
            110 => "High 10",
            122 if set(3) => "High 4:2:2 Intra",
            122 => "High 4:2:2",
            244 if set(3) => "High 4:4:4 Intra",
            244 => "High 4:4:4 Predictive",
            44 => "CAVLC 4:4:4 Intra",
            _ => return None,
        })
    }
}

fn check_sets(what: &'static str, field: &'static str, sets: &[Bytes], kind: u8, most: usize) -> Result<(), Malformed> {
    if sets.is_empty() {
        return Err(Malformed::Missing { what, field });
    }
    nal::check_sets(what, field, sets, most)?;
    match sets.iter().map(|set| nal_type(set)).find(|&found| found != kind) {
        Some(found) => Err(Malformed::OutOfRange { what, field: "nal_unit_type", value: found.into() }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::bits::{BitWriter, escape};

    const INTERLACED: &[u8] = include_bytes!("../../../tests/fixtures/h264_interlaced_hrd.h264");
    const PROGRESSIVE: &[u8] = include_bytes!("../../../tests/fixtures/h264_high_cropped.h264");

    /// Returns an access unit of slices that have these flags of fields.
    fn unit(parameters: &Parameters, slices: &[&[bool]]) -> Bytes {
        let slice = |flags: &&[bool]| {
            let mut writer = BitWriter::new();
            [0, 7, 0].into_iter().for_each(|value| writer.ue(value));
            writer.bits(0, parameters.frame_num_bits.into());
            flags.iter().for_each(|flag| writer.flag(*flag));
            writer.bits(0, 8);
            [&[0x65][..], &escape(&writer.finish_rbsp())].concat()
        };
        let slices: Vec<_> = slices.iter().map(slice).collect();
        nal::join([&[NAL_SEI, 0x80][..]].into_iter().chain(slices.iter().map(|slice| &slice[..])))
    }

    #[test]
    fn a_lone_field_is_told_from_frames_and_from_pairs_of_fields() {
        const FRAME: &[bool] = &[false];
        const TOP: &[bool] = &[true, false];
        const BOTTOM: &[bool] = &[true, true];
        let whole = from_annex_b(INTERLACED);
        let parameters = Parameters::from_access_unit(&whole).unwrap();
        assert!(parameters.interlaced && !parameters.is_lone_field(&whole), "x264 codes frames");
        for lone in [&[TOP][..], &[BOTTOM], &[TOP, TOP]] {
            assert!(parameters.is_lone_field(&unit(&parameters, lone)), "{lone:?}");
        }
        for frame in [&[FRAME][..], &[FRAME, FRAME], &[TOP, BOTTOM], &[BOTTOM, BOTTOM, TOP]] {
            assert!(!parameters.is_lone_field(&unit(&parameters, frame)), "{frame:?}");
        }
        for cut in [&[][..], &[0, 0, 0, 1, 0x65], &[0, 0, 0, 3, 0x65, 0, 0]] {
            assert!(!parameters.is_lone_field(cut), "{cut:?}");
        }
        let progressive = Parameters::from_access_unit(&from_annex_b(PROGRESSIVE)).unwrap();
        assert!(!progressive.is_lone_field(&unit(&progressive, &[TOP])), "there are no such flags");
    }
}
