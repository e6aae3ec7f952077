//! VP9: the start of the uncompressed header (bitstream specification 6.2) and `vpcC` (VP codec ISO media binding).

use super::bits::BitReader;
use super::{Colour, Malformed, picture_side};
use bytes::{BufMut, Bytes, BytesMut};

const WHAT: &str = "VP9 frame";
const RECORD: &str = "vpcC";

/// Holds the parameters of a keyframe or a `vpcC`, for the frames that follow it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// The profile, 0 to 3.
    pub profile: u8,
    /// Ten times the level. From a keyframe it is the lowest level that fits its size at 30 frames per second.
    pub level: u8,
    /// The bits per sample: 8, 10 or 12.
    pub bit_depth: u8,
    /// The number of the chroma subsampling in `vpcC`: 0 4:2:0 vertical, 1 4:2:0 colocated, 2 4:2:2, 3 4:4:4. 4:4:0 has
    /// no number, and 1 stands for it.
    pub chroma_subsampling: u8,
    /// The range and matrix. VP9 frames do not state primaries and transfer.
    pub colour: Colour,
    /// The width in pixels, or 0 if only a `vpcC` was seen, which does not state it.
    pub width: u32,
    /// The height in pixels, or 0 if only a `vpcC` was seen.
    pub height: u32,
}

impl Parameters {
    /// Parses a keyframe (of a superframe, its first frame, but with the size of the largest layer). Fails with `Missing` for
    /// any other frame.
    pub fn from_keyframe(frame: &[u8]) -> Result<Self, Malformed> {
        let mut reader = BitReader::new(WHAT, frame);
        let header = FrameHeader::parse(&mut reader)?;
        if !header.keyframe {
            return Err(Malformed::Missing { what: WHAT, field: "key frame header" });
        }
        if reader.bits(24)? != 0x49_83_42 {
            return Err(Malformed::Missing { what: WHAT, field: "sync code" });
        }
        let (bit_depth, chroma_subsampling, colour) = colour_config(&mut reader, header.profile)?;
        let width = picture_side(WHAT, "width", u64::from(reader.bits(16)?) + 1)?;
        let height = picture_side(WHAT, "height", u64::from(reader.bits(16)?) + 1)?;
        let upper = layers(frame).filter_map(|layer| size_of_layer(layer).ok().flatten());
        let (width, height) = upper.fold((width, height), |most, own| if own.0 > most.0 { own } else { most });
        let level = lowest_level(width, height);
        Ok(Self { profile: header.profile, level, bit_depth, chroma_subsampling, colour, width, height })
    }

    /// Parses a `VPCodecConfigurationRecord`, with or without the box's version and flags in front. It does not state
    /// the size.
    pub fn from_vpcc(record: &[u8]) -> Result<Self, Malformed> {
        // A record cannot begin with these bytes, because its bit depth would be 0.
        let record = record.strip_prefix(&[1, 0, 0, 0]).unwrap_or(record);
        let mut reader = BitReader::new(RECORD, record);
        let profile = reader.byte(8)?;
        let level = reader.byte(8)?;
        let bit_depth = reader.byte(4)?;
        let chroma_subsampling = reader.byte(3)?;
        let full_range = reader.flag()?;
        let (primaries, transfer, matrix) = (reader.byte(8)?, reader.byte(8)?, reader.byte(8)?);
        if profile > 3 {
            return Err(Malformed::OutOfRange { what: RECORD, field: "profile", value: profile.into() });
        }
        if !matches!(bit_depth, 8 | 10 | 12) {
            return Err(Malformed::OutOfRange { what: RECORD, field: "bitDepth", value: bit_depth.into() });
        }
        let colour = Colour { primaries, transfer, matrix, full_range };
        Ok(Self { profile, level, bit_depth, chroma_subsampling, colour, width: 0, height: 0 })
    }

    /// Returns the `VPCodecConfigurationRecord`, without the box's version and flags.
    pub fn vpcc(&self) -> Bytes {
        let mut record = BytesMut::with_capacity(8);
        record.put_slice(&[self.profile, self.level]);
        record.put_u8(self.bit_depth << 4 | self.chroma_subsampling << 1 | u8::from(self.colour.full_range));
        record.put_slice(&[self.colour.primaries, self.colour.transfer, self.colour.matrix]);
        record.put_u16(0); // codecInitializationDataSize
        record.freeze()
    }

    /// Returns the codec string of RFC 6381, `vp09.PP.LL.DD`.
    pub fn rfc6381(&self) -> String {
        format!("vp09.{:02}.{:02}.{:02}", self.profile, self.level, self.bit_depth)
    }
}

/// Returns whether decoding can start at this frame.
pub fn is_keyframe(frame: &[u8]) -> bool {
    FrameHeader::parse(&mut BitReader::new(WHAT, frame)).is_ok_and(|header| header.keyframe)
}

/// The most frames of a superframe (Annex B).
const SUPERFRAME_MAX: usize = 8;

/// The marker in front of the index of a superframe, and behind it.
const INDEX_MARKER: u8 = 0b1100_0000;

/// Makes a superframe of frames that lie one behind the other and begin at `starts`: appends the index by which decoders find
/// them (Annex B). One frame needs none.
pub fn append_index(frames: &mut BytesMut, starts: &[usize]) {
    if !(2..=SUPERFRAME_MAX).contains(&starts.len()) {
        return;
    }
    let ends = starts[1..].iter().copied().chain([frames.len()]);
    let sizes: Vec<u32> = starts.iter().zip(ends).map(|(start, end)| end.saturating_sub(*start) as u32).collect();
    let largest = sizes.iter().copied().max().unwrap_or_default();
    let size_bytes = (u32::BITS - largest.leading_zeros()).div_ceil(8).max(1) as usize;
    let marker = INDEX_MARKER | (size_bytes as u8 - 1) << 3 | (sizes.len() as u8 - 1);
    frames.put_u8(marker);
    sizes.iter().for_each(|size| frames.put_slice(&size.to_le_bytes()[..size_bytes]));
    frames.put_u8(marker);
}

/// Returns the frames of a superframe behind the first one. There are none in any other frame.
fn layers(superframe: &[u8]) -> impl Iterator<Item = &[u8]> {
    let index = superframe.last().filter(|&&marker| marker & 0b1110_0000 == INDEX_MARKER).and_then(|&marker| {
        let (count, size_bytes) = (usize::from(marker & 7) + 1, usize::from(marker >> 3 & 3) + 1);
        let (frames, index) = superframe.split_at_checked(superframe.len().checked_sub(count * size_bytes + 2)?)?;
        (index[0] == marker).then_some((frames, index[1..index.len() - 1].chunks_exact(size_bytes)))
    });
    let (mut rest, sizes) = index.unwrap_or_else(|| (&[], <&[u8]>::default().chunks_exact(1)));
    let frames = sizes.map_while(move |size| {
        let size = size.iter().rev().fold(0_usize, |size, byte| size << 8 | usize::from(*byte));
        let (frame, after) = rest.split_at_checked(size)?;
        rest = after;
        Some(frame)
    });
    frames.skip(1)
}

/// Returns the size that a frame states which is not a keyframe. `None` if it has that of another frame.
fn size_of_layer(frame: &[u8]) -> Result<Option<(u32, u32)>, Malformed> {
    const REFERENCES: usize = 3;
    let mut reader = BitReader::new(WHAT, frame);
    let header = FrameHeader::parse(&mut reader)?;
    // A frame that is not shown may be predicted from nothing, which has other fields.
    if header.keyframe || !header.shown {
        return Ok(None);
    }
    let reset_frame_context = if header.error_resilient { 0 } else { 2 };
    reader.skip(reset_frame_context + 8 + REFERENCES * 4)?; // refresh_frame_flags; ref_frame_idx and its sign bias
    for _ in 0..REFERENCES {
        if reader.flag()? {
            return Ok(None); // found_ref
        }
    }
    let width = picture_side(WHAT, "width", u64::from(reader.bits(16)?) + 1)?;
    let height = picture_side(WHAT, "height", u64::from(reader.bits(16)?) + 1)?;
    Ok(Some((width, height)))
}

struct FrameHeader {
    profile: u8,
    keyframe: bool,
    /// Whether it is a new frame that is shown, not one from before.
    shown: bool,
    error_resilient: bool,
}

impl FrameHeader {
    fn parse(reader: &mut BitReader<'_>) -> Result<Self, Malformed> {
        let marker = reader.bits(2)?;
        if marker != 2 {
            return Err(Malformed::OutOfRange { what: WHAT, field: "frame_marker", value: marker.into() });
        }
        let profile = reader.byte(1)? | reader.byte(1)? << 1;
        if profile == 3 && reader.flag()? {
            return Err(Malformed::Unsupported { what: WHAT, field: "profile", value: 4 });
        }
        if reader.flag()? {
            return Ok(Self { profile, keyframe: false, shown: false, error_resilient: false }); // show_existing_frame
        }
        let keyframe = !reader.flag()?;
        let (shown, error_resilient) = (reader.flag()?, reader.flag()?);
        Ok(Self { profile, keyframe, shown, error_resilient })
    }
}

fn colour_config(reader: &mut BitReader<'_>, profile: u8) -> Result<(u8, u8, Colour), Malformed> {
    const RGB: u32 = 7;
    let bit_depth = match profile >= 2 {
        true if reader.flag()? => 12,
        true => 10,
        false => 8,
    };
    let space = reader.bits(3)?;
    let mut colour = Colour::unspecified(true);
    let subsampled = profile & 1 == 1;
    if space == RGB {
        colour.matrix = 0;
        if subsampled {
            reader.flag()?; // reserved
        }
        return Ok((bit_depth, 3, colour));
    }
    // CS_BT_601, CS_BT_709, CS_SMPTE_170, CS_SMPTE_240, CS_BT_2020 as code points of H.273.
    colour.matrix = [2, 5, 1, 6, 7, 9, 2][space as usize];
    colour.full_range = reader.flag()?;
    let chroma = if subsampled {
        let chroma = match (reader.flag()?, reader.flag()?) {
            (true, false) => 2,
            (false, false) => 3,
            _ => 1,
        };
        reader.flag()?; // reserved
        chroma
    } else {
        1
    };
    Ok((bit_depth, chroma, colour))
}

/// Returns ten times the lowest level (Annex A) whose luma sample rate and picture size allow this size at 30 frames
/// per second.
fn lowest_level(width: u32, height: u32) -> u8 {
    const LEVELS: [(u8, u64, u64); 14] = [
        (10, 829_440, 36_864),
        (11, 2_764_800, 73_728),
        (20, 4_608_000, 122_880),
        (21, 9_216_000, 245_760),
        (30, 20_736_000, 552_960),
        (31, 36_864_000, 983_040),
        (40, 83_558_400, 2_228_224),
        (41, 160_432_128, 2_228_224),
        (50, 311_951_360, 8_912_896),
        (51, 588_251_136, 8_912_896),
        (52, 1_176_502_272, 8_912_896),
        (60, 1_176_502_272, 35_651_584),
        (61, 2_353_004_544, 35_651_584),
        (62, 4_706_009_088, 35_651_584),
    ];
    let size = u64::from(width) * u64::from(height);
    LEVELS.iter().find(|&&(_, rate, largest)| size <= largest && size * 30 <= rate).map_or(62, |level| level.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::bits::BitWriter;

    /// Writes the header of a keyframe of profile 0, or of a frame that another one of the same picture predicts.
    fn layer(keyframe: bool, (width, height): (u32, u32)) -> Vec<u8> {
        let mut writer = BitWriter::new();
        writer.bits(0b10, 2);
        writer.bits(0, 3); // The profile, and show_existing_frame.
        writer.bits(u32::from(!keyframe), 1);
        writer.bits(0b10, 2); // It is shown, and not resilient to errors.
        if keyframe {
            writer.bits(0x49_83_42, 24);
            writer.bits(0b0010, 4); // BT.601, not the full range.
        } else {
            writer.bits(0, 2 + 8 + 3 * 4);
            writer.bits(0, 3); // It has the size of no reference.
        }
        writer.bits(width - 1, 16);
        writer.bits(height - 1, 16);
        writer.bits(0, 32);
        writer.finish()
    }

    #[test]
    fn the_size_of_a_picture_in_layers_is_that_of_the_largest() {
        let parts = [layer(true, (160, 90)), layer(false, (320, 180)), layer(false, (640, 360))];
        let mut starts = vec![0];
        let mut frames = BytesMut::new();
        for part in &parts {
            frames.put_slice(part);
            starts.push(frames.len());
        }
        starts.pop();
        let size = |frame: &[u8]| Parameters::from_keyframe(frame).map(|read| (read.width, read.height));
        assert_eq!(size(&frames), Ok((160, 90)), "without an index the others are not found");
        append_index(&mut frames, &starts);
        assert_eq!(size(&frames), Ok((640, 360)));
        assert!(is_keyframe(&frames));
        let found: Vec<_> = layers(&frames).collect();
        assert_eq!(found, [&parts[1][..], &parts[2]]);
        for end in 0..frames.len() {
            layers(&frames[..end]).for_each(drop);
        }
    }

    #[test]
    fn sizes_of_more_than_a_byte_are_found_again_and_one_frame_gets_no_index() {
        let mut frames = BytesMut::from(&[1; 70_000][..]);
        append_index(&mut frames, &[0]);
        assert_eq!(frames.len(), 70_000);
        append_index(&mut frames, &[0, 300, 600]);
        assert_eq!(frames[70_000..], [0xd2, 44, 1, 0, 44, 1, 0, 0x18, 0x0f, 1, 0xd2]);
        let found: Vec<_> = layers(&frames).map(<[u8]>::len).collect();
        assert_eq!(found, [300, 69_400]);
    }
}
