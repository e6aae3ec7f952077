//! H.265: NAL unit types, parameter sets and `hvcC` (ISO/IEC 23008-2, 14496-15).
//!
//! The canonical payload is the NAL units of one access unit with four-byte lengths. Parameter sets are outside of it.

mod sps;

pub use super::nal::{NalRanges, from_annex_b, nal_ranges, nal_units, to_annex_b};
pub use sps::{ProfileTierLevel, Sps};

use super::bits::BitReader;
use super::{Colour, Malformed, SampleAspect, nal, sei};
use bytes::{BufMut, Bytes, BytesMut};

const NAL_IRAP: std::ops::RangeInclusive<u8> = 16..=21;
const NAL_IDR: std::ops::RangeInclusive<u8> = 19..=20;
const NAL_VPS: u8 = 32;
const NAL_SPS: u8 = 33;
const NAL_PPS: u8 = 34;
const NAL_DELIMITER: u8 = 35;
const NAL_PREFIX_SEI: u8 = 39;
const NAL_FIRST_OF_NO_SLICE: u8 = 32;

const MOST_VPS: usize = 32;
const MOST_SPS: usize = 32;
const MOST_PPS: usize = 255;

/// Returns the `nal_unit_type`. It is 0 (a trailing picture that is not a reference) for an empty NAL unit.
pub fn nal_type(nal: &[u8]) -> u8 {
    nal.first().map_or(0, |header| header >> 1 & 0x3f)
}

/// Returns whether the NAL unit is a slice of a picture.
pub fn is_slice(nal: &[u8]) -> bool {
    !nal.is_empty() && nal_type(nal) < NAL_FIRST_OF_NO_SLICE && !is_reserved(nal)
}

/// Returns whether the NAL unit is a slice of a picture that decoding can start at: IDR, BLA or CRA.
pub fn is_irap(nal: &[u8]) -> bool {
    NAL_IRAP.contains(&nal_type(nal))
}

/// Returns whether the NAL unit is a slice of an IDR picture: nothing after it refers to anything before it.
pub fn is_idr(nal: &[u8]) -> bool {
    NAL_IDR.contains(&nal_type(nal))
}

/// Returns whether the type of the NAL unit is reserved or left open (table 7-1). Decoders pass such a unit over, and packets of RTP
/// have some of these numbers for themselves (RFC 7798 4.4).
pub fn is_reserved(nal: &[u8]) -> bool {
    matches!(nal_type(nal), 10..=15 | 22..=31 | 41..)
}

/// Returns whether decoding can start at this access unit.
pub fn access_unit_is_keyframe(payload: &[u8]) -> bool {
    nal_units(payload).any(is_irap)
}

/// Returns the `recovery_poc_cnt` of a recovery point (D.3.8): the number of frames until the picture is right. It reads no
/// further than the first slice.
pub fn recovery_frames(payload: &[u8]) -> Option<u32> {
    let frames =
        sei_before_slices(payload).find_map(|sei| sei::payload_of_type(sei, sei::RECOVERY_POINT, |bits| bits.se()))?;
    Some(frames.max(0).cast_unsigned()) // If it is negative, frames that are shown earlier are right already.
}

/// Returns whether the first slice segment is not the first of its picture (`first_slice_segment_in_pic_flag`, 7.3.6.1).
pub fn continues_picture(payload: &[u8]) -> bool {
    let first = nal_units(payload).find(|nal| is_slice(nal));
    first.and_then(|nal| nal.get(2)).is_some_and(|byte| byte & 0x80 == 0)
}

/// Returns whether an access unit has closed captions. It reads no further than the first slice.
pub fn has_captions(payload: &[u8]) -> bool {
    sei_before_slices(payload).any(sei::has_captions)
}

fn sei_before_slices(payload: &[u8]) -> impl Iterator<Item = &[u8]> {
    let before_slices = nal_units(payload).take_while(|nal| !is_slice(nal));
    before_slices.filter(|nal| nal_type(nal) == NAL_PREFIX_SEI).filter_map(|nal| nal.get(2..))
}

/// Takes delimiters and parameter sets out of an access unit. Without any the payload comes back untouched, and those
/// in front of the picture are cut off without copying. Parameter sets come out only as a usable whole (VPS, SPS and
/// PPS); otherwise they stay.
pub fn strip_parameter_sets(payload: Bytes) -> (Bytes, Option<Parameters>) {
    let mut counts = [0usize; 4]; // VPS, SPS, PPS, delimiter
    for nal in nal_units(&payload) {
        if let Some(count) = counts.get_mut(usize::from(nal_type(nal)).wrapping_sub(usize::from(NAL_VPS))) {
            *count += 1;
        }
    }
    if counts == [0; 4] {
        return (payload, None);
    }
    let parameters = (counts[1] > 0).then(|| Parameters::from_access_unit(&payload)).flatten();
    let whole = parameters.is_some();
    let stripped = nal::without(payload, |nal| match nal_type(nal) {
        NAL_VPS..=NAL_PPS => whole,
        kind => kind == NAL_DELIMITER,
    });
    (stripped, parameters)
}

/// Holds the parameter sets of a stream, and the fields of the first SPS.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameters {
    /// The video parameter sets, as NAL units without start code. There are 1 to 32.
    pub vps: Vec<Bytes>,
    /// The sequence parameter sets in the same form.
    pub sps: Vec<Bytes>,
    /// The picture parameter sets. There are 1 to 255.
    pub pps: Vec<Bytes>,
    /// The profile, tier and level.
    pub profile: ProfileTierLevel,
    /// The number of temporal sub-layers.
    pub temporal_layers: u8,
    /// The value of `sps_temporal_id_nesting_flag`.
    pub temporal_id_nested: bool,
    /// The chroma format: 0 grey, 1 4:2:0, 2 4:2:2, 3 4:4:4.
    pub chroma_format_idc: u8,
    /// Bits per luma sample.
    pub bit_depth_luma: u8,
    /// Bits per chroma sample.
    pub bit_depth_chroma: u8,
    /// The width in pixels, inside the conformance window.
    pub width: u32,
    /// The height in pixels, inside the conformance window.
    pub height: u32,
    /// The frame rate, if the VUI's timing states it.
    pub frame_rate: Option<f64>,
    /// The value of `sps_max_num_reorder_pics`: the number of frames of reordering.
    pub max_reorder: u8,
    /// The colour, if the VUI describes it.
    pub colour: Option<Colour>,
    /// The shape of a sample, a square unless the VUI states another.
    pub sample_aspect: SampleAspect,
    /// Whether each picture is a field, every other line of a frame.
    pub field_sequence: bool,
}

impl Parameters {
    /// Takes NAL units without start codes, and reads the first SPS.
    pub fn from_parameter_sets(vps: Vec<Bytes>, sps: Vec<Bytes>, pps: Vec<Bytes>) -> Result<Self, Malformed> {
        const WHAT: &str = "H.265 parameter sets";
        let kinds =
            [("VPS", &vps, NAL_VPS, MOST_VPS), ("SPS", &sps, NAL_SPS, MOST_SPS), ("PPS", &pps, NAL_PPS, MOST_PPS)];
        for (field, sets, kind, most) in kinds {
            nal::check_sets(WHAT, field, sets, most)?;
            if sets.is_empty() || sets.iter().any(|set| nal_type(set) != kind) {
                return Err(Malformed::Missing { what: WHAT, field });
            }
        }
        let parsed = Sps::parse(&sps[0])?;
        Ok(Self {
            vps,
            sps,
            pps,
            profile: parsed.profile,
            temporal_layers: parsed.temporal_layers,
            temporal_id_nested: parsed.temporal_id_nested,
            chroma_format_idc: parsed.chroma_format_idc,
            bit_depth_luma: parsed.bit_depth_luma,
            bit_depth_chroma: parsed.bit_depth_chroma,
            width: parsed.width,
            height: parsed.height,
            frame_rate: parsed.frame_rate,
            max_reorder: parsed.max_reorder,
            colour: parsed.colour,
            sample_aspect: parsed.sample_aspect,
            field_sequence: parsed.field_sequence,
        })
    }

    /// Returns whether a payload is one field without the other one of its frame. Encoders send each in an access unit of its own.
    pub fn is_lone_field(&self, payload: &[u8]) -> bool {
        // first_slice_segment_in_pic_flag is the first bit behind the header.
        let begins_picture =
            |nal: &&[u8]| nal_type(nal) < NAL_FIRST_OF_NO_SLICE && nal.get(2).is_some_and(|header| header & 0x80 != 0);
        self.field_sequence && nal_units(payload).filter(begins_picture).take(2).count() == 1
    }

    /// Reads the VPS, SPS and PPS in an access unit of canonical form. `None` unless all three are there and usable.
    pub fn from_access_unit(payload: &Bytes) -> Option<Self> {
        let of_type = |wanted, most| -> Vec<Bytes> {
            let ranges = nal_ranges(payload).filter(|range| nal_type(&payload[range.clone()]) == wanted);
            // The sets are copied, because a slice would keep the whole keyframe alive as long as the parameters are in
            // force.
            ranges.take(most).map(|range| Bytes::copy_from_slice(&payload[range])).collect()
        };
        let (vps, sps) = (of_type(NAL_VPS, MOST_VPS), of_type(NAL_SPS, MOST_SPS));
        Self::from_parameter_sets(vps, sps, of_type(NAL_PPS, MOST_PPS)).ok()
    }

    /// Parses an `HEVCDecoderConfigurationRecord`. The number is the size in bytes of the NAL unit lengths that
    /// belong to it.
    pub fn from_hvcc(record: &[u8]) -> Result<(Self, usize), Malformed> {
        const WHAT: &str = "hvcC";
        let mut reader = BitReader::new(WHAT, record);
        // Some encoders wrote 0 before the record was final, and others write anything. The layout is the same.
        reader.skip(8)?;
        reader.skip(12 * 8)?; // profile, tier, level: the SPS repeats them
        reader.skip(16 + 8 + 8 + 8 + 8 + 16)?; // segmentation, parallelism, chroma, bit depths, average frame rate
        reader.skip(2 + 3 + 1)?; // constantFrameRate, numTemporalLayers, temporalIdNested
        let length_size = reader.bits(2)? as usize + 1;
        let (mut vps, mut sps, mut pps) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..reader.bits(8)? {
            let kind = reader.byte(8)? & 0x3f;
            let count = reader.bits(16)?;
            let sets = nal::sets(&mut reader, record, count)?;
            match kind {
                NAL_VPS => vps.extend(sets),
                NAL_SPS => sps.extend(sets),
                NAL_PPS => pps.extend(sets),
                _ => {} // SEI messages: hints that no decoder needs
            }
        }
        Ok((Self::from_parameter_sets(vps, sps, pps)?, length_size))
    }

    /// Returns the `HEVCDecoderConfigurationRecord` of the canonical form. Lengths have four bytes, and the sets are
    /// complete (`hvc1`).
    pub fn hvcc(&self) -> Bytes {
        let mut record = BytesMut::new();
        let profile = &self.profile;
        record.put_u8(1);
        record.put_u8(profile.profile_space << 6 | u8::from(profile.high_tier) << 5 | profile.profile_idc);
        record.put_u32(profile.compatibility_flags);
        record.put_slice(&profile.constraint_flags);
        record.put_u8(profile.level_idc);
        record.put_u16(0xf000); // min_spatial_segmentation_idc: not known
        record.put_u8(0xfc); // parallelismType: not known
        record.put_u8(0xfc | self.chroma_format_idc);
        record.put_u8(0xf8 | (self.bit_depth_luma - 8) & 7);
        record.put_u8(0xf8 | (self.bit_depth_chroma - 8) & 7);
        record.put_u16(0); // avgFrameRate: not known
        record.put_u8(self.temporal_layers << 3 | u8::from(self.temporal_id_nested) << 2 | 3);
        record.put_u8(3);
        for (kind, sets) in [(NAL_VPS, &self.vps), (NAL_SPS, &self.sps), (NAL_PPS, &self.pps)] {
            record.put_u8(0x80 | kind);
            record.put_u16(sets.len() as u16);
            sets.iter().for_each(|set| nal::put_set(&mut record, set));
        }
        record.freeze()
    }

    /// Returns the parameter sets as an access unit prefix in canonical form, to be sent in band.
    pub fn in_band(&self) -> Bytes {
        nal::join(self.vps.iter().chain(&self.sps).chain(&self.pps).map(|set| &set[..]))
    }

    /// Returns the codec string, such as `hvc1.1.6.L93.B0` (ISO/IEC 14496-15, E.3).
    pub fn rfc6381(&self) -> String {
        let profile = &self.profile;
        let space = ["", "A", "B", "C"][usize::from(profile.profile_space & 3)];
        let tier = if profile.high_tier { 'H' } else { 'L' };
        let compatibility = profile.compatibility_flags.reverse_bits();
        let mut codec = format!("hvc1.{space}{}.{compatibility:X}.{tier}{}", profile.profile_idc, profile.level_idc);
        let said = profile.constraint_flags.iter().rposition(|&flags| flags != 0).map_or(0, |last| last + 1);
        for flags in &profile.constraint_flags[..said] {
            codec.push_str(&format!(".{flags:X}"));
        }
        codec
    }

    /// Returns the profile's name (A.3).
    pub fn profile_name(&self) -> Option<&'static str> {
        Some(match self.profile.profile_idc {
            1 => "Main",
            2 => "Main 10",
            3 => "Main Still Picture",
            4 => "Range Extensions",
            5 => "High Throughput",
            9 => "Screen Content Coding",
            _ => return None,
        })
    }
}
