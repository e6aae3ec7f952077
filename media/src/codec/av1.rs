//! AV1: open bitstream units (specification 5.3–5.5), the sequence header, and `av1C`.
//!
//! The canonical payload is the OBUs of one temporal unit in the low-overhead form, each with its size, without
//! temporal delimiters.

use super::bits::BitReader;
use super::{Colour, Malformed, frame_rate, picture_side};
use crate::part::part;
use bytes::{BufMut, Bytes, BytesMut};
use std::ops::Range;

const OBU_SEQUENCE_HEADER: u8 = 1;
const OBU_TEMPORAL_DELIMITER: u8 = 2;
const OBU_FRAME_HEADER: u8 = 3;
const OBU_TILE_GROUP: u8 = 4;
const OBU_FRAME: u8 = 6;
const OBU_TILE_LIST: u8 = 8;

const WHAT: &str = "AV1 sequence header";

/// Is one open bitstream unit, as ranges into its temporal unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obu {
    /// `obu_type`: 1 sequence header, 2 temporal delimiter, 3 frame header, 4 tile group, 5 metadata, 6 frame.
    pub kind: u8,
    /// The range of header, size and payload.
    pub whole: Range<usize>,
    /// The range of the payload without its header.
    pub payload: Range<usize>,
}

/// Returns the OBUs of a temporal unit. The iterator allocates nothing, and ends at the first OBU that is broken. An
/// OBU without a size reaches to the end.
pub fn obus(temporal_unit: &[u8]) -> Obus<'_> {
    Obus { data: temporal_unit, position: 0 }
}

/// Is the iterator that [`obus`] returns.
#[derive(Clone, Debug)]
pub struct Obus<'a> {
    data: &'a [u8],
    position: usize,
}

impl Iterator for Obus<'_> {
    type Item = Obu;

    fn next(&mut self) -> Option<Obu> {
        let start = self.position;
        let obu = Obu::parse(self.data, start);
        self.position = obu.as_ref().map_or(self.data.len(), |obu| obu.whole.end);
        obu
    }
}

impl Obu {
    fn is_of_frame(&self) -> bool {
        matches!(self.kind, OBU_FRAME_HEADER | OBU_TILE_GROUP | OBU_FRAME | OBU_TILE_LIST)
    }

    fn parse(data: &[u8], start: usize) -> Option<Self> {
        let &header = data.get(start)?;
        let forbidden = header & 0x80 != 0;
        let mut position = start + 1 + usize::from(header & 4 != 0); // obu_extension_flag
        if forbidden || position > data.len() {
            return None;
        }
        let end = if header & 2 != 0 {
            let (size, size_bytes) = leb128(&data[position..])?;
            position += size_bytes;
            position.checked_add(size).filter(|&end| end <= data.len())?
        } else {
            data.len()
        };
        Some(Self { kind: header >> 3 & 0xf, whole: start..end, payload: position..end })
    }
}

/// Reads a little-endian base 128 number of at most eight bytes that fits 32 bits. Returns how many bytes it took, and
/// the number.
fn leb128(data: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0u64;
    for (index, &byte) in data.iter().take(8).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((u32::try_from(value).ok()? as usize, index + 1));
        }
    }
    None
}

/// Checks that the OBUs cover the temporal unit exactly.
pub fn check(temporal_unit: &[u8]) -> Result<(), Malformed> {
    let covered = obus(temporal_unit).last().map_or(0, |obu| obu.whole.end);
    if covered != temporal_unit.len() {
        return Err(Malformed::Truncated { what: "AV1 temporal unit" });
    }
    if covered == 0 {
        return Err(Malformed::Missing { what: "AV1 temporal unit", field: "OBU" });
    }
    Ok(())
}

/// Returns whether decoding can start at this temporal unit: its first frame is a key frame that is shown.
pub fn access_unit_is_keyframe(temporal_unit: &[u8]) -> bool {
    const KEY_FRAME: u8 = 0;
    for obu in obus(temporal_unit) {
        match (obu.kind, temporal_unit[obu.payload].first()) {
            // With reduced_still_picture_header every frame is a key frame without a flag for it.
            (OBU_SEQUENCE_HEADER, Some(&first)) if first & 0x08 != 0 => return true,
            (OBU_FRAME | OBU_FRAME_HEADER, Some(&first)) => {
                let show_existing_frame = first & 0x80 != 0;
                let frame_type = first >> 5 & 3;
                let show_frame = first & 0x10 != 0;
                return !show_existing_frame && frame_type == KEY_FRAME && show_frame;
            }
            _ => {}
        }
    }
    false
}

/// Returns whether the OBUs hold a frame, or a part of one.
pub fn has_frame(temporal_unit: &[u8]) -> bool {
    obus(temporal_unit).any(|obu| obu.is_of_frame())
}

/// Returns whether the first OBU of a frame is a tile group, whose frame header came before.
pub fn continues_frame(temporal_unit: &[u8]) -> bool {
    obus(temporal_unit).find(Obu::is_of_frame).is_some_and(|obu| obu.kind == OBU_TILE_GROUP)
}

/// Returns whether every OBU states its size, so that others may follow.
pub fn states_sizes(temporal_unit: &[u8]) -> bool {
    obus(temporal_unit).all(|obu| temporal_unit[obu.whole.start] & 2 != 0) // obu_has_size_field
}

/// Takes temporal delimiters out. One in front, where encoders put it, is cut off without copying.
pub fn strip_temporal_delimiters(temporal_unit: Bytes) -> Bytes {
    let mut start = 0;
    let mut later = false;
    for obu in obus(&temporal_unit).filter(|obu| obu.kind == OBU_TEMPORAL_DELIMITER) {
        if obu.whole.start == start {
            start = obu.whole.end;
        } else {
            later = true;
        }
    }
    if !later {
        return part(temporal_unit.len(), temporal_unit.slice(start..));
    }
    let mut kept = BytesMut::with_capacity(temporal_unit.len());
    for obu in obus(&temporal_unit).filter(|obu| obu.kind != OBU_TEMPORAL_DELIMITER) {
        kept.put_slice(&temporal_unit[obu.whole]);
    }
    kept.freeze()
}

/// Holds the fields of the sequence header.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameters {
    /// `seq_profile`: 0 Main, 1 High, 2 Professional.
    pub profile: u8,
    /// `seq_level_idx` of the first operating point: level 2.0 is 0, 4.0 is 8.
    pub level: u8,
    /// `seq_tier` of the first operating point.
    pub high_tier: bool,
    /// The bits per sample: 8, 10 or 12.
    pub bit_depth: u8,
    /// Whether the video is grey.
    pub monochrome: bool,
    /// The values of `subsampling_x` and `subsampling_y`.
    pub subsampling: (bool, bool),
    /// The position of chroma samples: 0 unknown, 1 vertical, 2 colocated.
    pub chroma_sample_position: u8,
    /// The colour, if the colour config describes it.
    pub colour: Option<Colour>,
    /// The width in pixels. 0 if only an `av1C` without sequence header was seen.
    pub width: u32,
    /// The height in pixels. 0 if only an `av1C` without sequence header was seen.
    pub height: u32,
    /// The frame rate, if the timing info declares frames to be equally far apart.
    pub frame_rate: Option<f64>,
    /// The OBUs that `av1C` carries: the sequence header with its size.
    pub config_obus: Bytes,
}

impl Parameters {
    /// Parses the payload of a sequence header OBU.
    pub fn from_sequence_header(payload: &[u8]) -> Result<Self, Malformed> {
        // The longest sequence header (32 operating points) has under 200 bytes.
        let size = payload.len();
        if size > 1024 {
            return Err(Malformed::OutOfRange { what: WHAT, field: "length", value: size as u64 });
        }
        let mut parameters = parse(&mut BitReader::new(WHAT, payload))?;
        let mut obu = BytesMut::with_capacity(size + 3);
        obu.put_u8(OBU_SEQUENCE_HEADER << 3 | 2);
        if size < 0x80 {
            obu.put_u8(size as u8);
        } else {
            obu.put_slice(&[size as u8 | 0x80, (size >> 7) as u8]);
        }
        obu.put_slice(payload);
        parameters.config_obus = obu.freeze();
        Ok(parameters)
    }

    /// Parses the first sequence header in a temporal unit. `None` without a usable one.
    pub fn from_access_unit(temporal_unit: &[u8]) -> Option<Self> {
        let header = obus(temporal_unit).find(|obu| obu.kind == OBU_SEQUENCE_HEADER)?;
        Self::from_sequence_header(&temporal_unit[header.payload]).ok()
    }

    /// Parses an `AV1CodecConfigurationRecord`.
    pub fn from_av1c(record: &[u8]) -> Result<Self, Malformed> {
        const RECORD: &str = "av1C";
        let (&[marker, profile_level, flags, _], config) =
            record.split_first_chunk().ok_or(Malformed::Truncated { what: RECORD })?;
        if marker != 0x81 {
            let value = marker.into();
            return Err(Malformed::Unsupported { what: RECORD, field: "marker and version", value });
        }
        if let Some(header) = obus(config).find(|obu| obu.kind == OBU_SEQUENCE_HEADER) {
            return Self::from_sequence_header(&config[header.payload]);
        }
        let bit_depth = match (flags & 0x40 != 0, flags & 0x20 != 0) {
            (false, _) => 8,
            (true, false) => 10,
            (true, true) => 12,
        };
        Ok(Self {
            profile: profile_level >> 5,
            level: profile_level & 0x1f,
            high_tier: flags & 0x80 != 0,
            bit_depth,
            monochrome: flags & 0x10 != 0,
            subsampling: (flags & 8 != 0, flags & 4 != 0),
            chroma_sample_position: flags & 3,
            colour: None,
            width: 0,
            height: 0,
            frame_rate: None,
            config_obus: Bytes::new(),
        })
    }

    /// Writes the `AV1CodecConfigurationRecord`.
    pub fn av1c(&self) -> Bytes {
        let mut record = BytesMut::with_capacity(4 + self.config_obus.len());
        record.put_u8(0x81);
        record.put_u8(self.profile << 5 | self.level);
        record.put_u8(
            u8::from(self.high_tier) << 7
                | u8::from(self.bit_depth > 8) << 6
                | u8::from(self.bit_depth > 10) << 5
                | u8::from(self.monochrome) << 4
                | u8::from(self.subsampling.0) << 3
                | u8::from(self.subsampling.1) << 2
                | self.chroma_sample_position,
        );
        record.put_u8(0); // no initial presentation delay
        record.put_slice(&self.config_obus);
        record.freeze()
    }

    /// Returns the codec string of RFC 6381, such as `av01.0.04M.08`.
    pub fn rfc6381(&self) -> String {
        let tier = if self.high_tier { 'H' } else { 'M' };
        format!("av01.{}.{:02}{tier}.{:02}", self.profile, self.level, self.bit_depth)
    }

    /// Returns the profile's name: `Main`, `High` or `Professional`.
    pub fn profile_name(&self) -> Option<&'static str> {
        ["Main", "High", "Professional"].get(usize::from(self.profile)).copied()
    }
}

fn parse(reader: &mut BitReader<'_>) -> Result<Parameters, Malformed> {
    let profile = reader.byte(3)?;
    if profile > 2 {
        return Err(Malformed::OutOfRange { what: WHAT, field: "seq_profile", value: profile.into() });
    }
    reader.flag()?; // still_picture
    let reduced = reader.flag()?; // reduced_still_picture_header
    let points = if reduced {
        OperatingPoints { level: reader.byte(5)?, high_tier: false, frame_rate: None }
    } else {
        OperatingPoints::parse(reader)?
    };
    let (width_bits, height_bits) = (reader.bits(4)? + 1, reader.bits(4)? + 1);
    let width = picture_side(WHAT, "width", u64::from(reader.bits(width_bits)?) + 1)?;
    let height = picture_side(WHAT, "height", u64::from(reader.bits(height_bits)?) + 1)?;
    if !reduced && reader.flag()? {
        reader.skip(4 + 3)?; // lengths of frame ids
    }
    reader.skip(3)?; // superblock size, filter intra, intra edge filter
    if !reduced {
        skip_inter_tools(reader)?;
    }
    reader.skip(3)?; // superres, cdef, restoration
    let format = Format::parse(reader, profile)?;
    Ok(Parameters {
        profile,
        level: points.level,
        high_tier: points.high_tier,
        bit_depth: format.bit_depth,
        monochrome: format.monochrome,
        subsampling: format.subsampling,
        chroma_sample_position: format.chroma_sample_position,
        colour: Some(format.colour),
        width,
        height,
        frame_rate: points.frame_rate,
        config_obus: Bytes::new(),
    })
}

struct OperatingPoints {
    level: u8,
    high_tier: bool,
    frame_rate: Option<f64>,
}

impl OperatingPoints {
    fn parse(reader: &mut BitReader<'_>) -> Result<Self, Malformed> {
        let mut points = Self { level: 0, high_tier: false, frame_rate: None };
        let mut delay_bits = None;
        if reader.flag()? {
            let units_in_tick = u64::from(reader.bits(32)?);
            let time_scale = reader.bits(32)?;
            if reader.flag()? {
                let ticks = u64::from(reader.ue()?) + 1; // uvlc(): the same code
                points.frame_rate = frame_rate(time_scale, units_in_tick * ticks);
            }
            if reader.flag()? {
                delay_bits = Some(reader.bits(5)? as usize + 1);
                reader.skip(32 + 5 + 5)?;
            }
        }
        let display_delay_present = reader.flag()?;
        for point in 0..=reader.bits(5)? {
            reader.skip(12)?; // operating_point_idc
            let level = reader.byte(5)?;
            let high_tier = level > 7 && reader.flag()?;
            if point == 0 {
                (points.level, points.high_tier) = (level, high_tier);
            }
            if let Some(bits) = delay_bits
                && reader.flag()?
            {
                reader.skip(2 * bits + 1)?;
            }
            if display_delay_present && reader.flag()? {
                reader.skip(4)?;
            }
        }
        Ok(points)
    }
}

fn skip_inter_tools(reader: &mut BitReader<'_>) -> Result<(), Malformed> {
    reader.skip(4)?; // interintra, masked compound, warped motion, dual filter
    let order_hint = reader.flag()?;
    if order_hint {
        reader.skip(2)?; // jnt_comp, ref_frame_mvs
    }
    let screen_content_tools = reader.flag()? || reader.flag()?; // chosen per frame, or forced on
    if screen_content_tools && !reader.flag()? {
        reader.flag()?; // seq_force_integer_mv
    }
    if order_hint {
        reader.skip(3)?; // order_hint_bits_minus_1
    }
    Ok(())
}

struct Format {
    bit_depth: u8,
    monochrome: bool,
    subsampling: (bool, bool),
    chroma_sample_position: u8,
    colour: Colour,
}

impl Format {
    /// Parses color_config() (5.5.2).
    fn parse(reader: &mut BitReader<'_>, profile: u8) -> Result<Self, Malformed> {
        let high = reader.flag()?;
        let bit_depth = match high {
            true if profile == 2 && reader.flag()? => 12,
            true => 10,
            false => 8,
        };
        let monochrome = profile != 1 && reader.flag()?;
        let mut colour = Colour::unspecified(false);
        if reader.flag()? {
            colour.primaries = reader.byte(8)?;
            colour.transfer = reader.byte(8)?;
            colour.matrix = reader.byte(8)?;
        }
        let mut format = Self { bit_depth, monochrome, subsampling: (true, true), chroma_sample_position: 0, colour };
        let srgb = (colour.primaries, colour.transfer, colour.matrix) == (1, 13, 0);
        if srgb && !monochrome {
            format.colour.full_range = true;
            format.subsampling = (false, false);
            return Ok(format);
        }
        format.colour.full_range = reader.flag()?;
        if monochrome {
            return Ok(format);
        }
        format.subsampling = match (profile, bit_depth) {
            (0, _) => (true, true),
            (1, _) => (false, false),
            (_, 12) => {
                let horizontal = reader.flag()?;
                (horizontal, horizontal && reader.flag()?)
            }
            _ => (true, false),
        };
        if format.subsampling == (true, true) {
            format.chroma_sample_position = reader.byte(2)?;
        }
        Ok(format)
    }
}
