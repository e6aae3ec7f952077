//! The H.264 sequence parameter set (7.3.2.1.1, E.1.1): its fields, and the positions of the fields of reordering.

use crate::codec::bits::{BitReader, BitWriter, escape, unescape};
use crate::codec::{Colour, Malformed, SampleAspect, frame_rate, picture_side};

const WHAT: &str = "H.264 SPS";

/// The profiles whose SPS has a chroma format, bit depths and scaling lists.
pub(super) const HIGH_PROFILES: [u8; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];

/// Holds the fields of a sequence parameter set that other code needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Sps {
    /// The value of `profile_idc`.
    pub profile_idc: u8,
    /// The byte after `profile_idc`: `constraint_set0_flag` is its highest bit.
    pub constraint_flags: u8,
    /// The value of `level_idc`, ten times the level.
    pub level_idc: u8,
    /// The value of `seq_parameter_set_id`, below 32.
    pub id: u8,
    /// The chroma format: 0 grey, 1 4:2:0, 2 4:2:2, 3 4:4:4.
    pub chroma_format_idc: u8,
    /// Bits per luma sample.
    pub bit_depth_luma: u8,
    /// Bits per chroma sample.
    pub bit_depth_chroma: u8,
    /// The value of `log2_max_frame_num_minus4 + 4`.
    pub frame_num_bits: u8,
    /// The value of `pic_order_cnt_type`.
    pub picture_order_count_type: u8,
    /// The value of `max_num_ref_frames`.
    pub max_num_ref_frames: u8,
    /// Whether fields or macroblock-adaptive frames are possible.
    pub interlaced: bool,
    /// The width in pixels, after cropping.
    pub width: u32,
    /// The height in pixels, after cropping.
    pub height: u32,
    /// The frame rate, if the VUI's timing states it: two ticks are a frame.
    pub frame_rate: Option<f64>,
    /// The colour, if the VUI's video signal type describes it.
    pub colour: Option<Colour>,
    /// The shape of a sample, a square unless the VUI states another.
    pub sample_aspect: SampleAspect,
    /// How many frames may precede a frame in decoding order and follow it in output order.
    pub max_reorder: Option<u8>,
    /// The value of `max_dec_frame_buffering`, if it is declared.
    pub max_dec_frame_buffering: Option<u8>,
    positions: Positions,
}

/// Holds bit positions in the RBSP, for the rewriter.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Positions {
    /// The bit at which `vui_parameters_present_flag` is.
    vui: usize,
    /// The bit at which `bitstream_restriction_flag` is, if there is a VUI.
    restriction: Option<usize>,
    /// The bit at which `max_num_reorder_frames` is, if there is a restriction.
    reorder: Option<usize>,
}

impl Sps {
    /// Reads a NAL unit of type 7, header byte and emulation prevention included.
    pub fn parse(nal: &[u8]) -> Result<Self, Malformed> {
        let (header, payload) = nal.split_first().ok_or(Malformed::Truncated { what: WHAT })?;
        if header & 0x1f != super::NAL_SPS {
            return Err(out_of_range("nal_unit_type", header & 0x1f));
        }
        if nal.len() > usize::from(u16::MAX) {
            return Err(Malformed::OutOfRange { what: WHAT, field: "length", value: nal.len() as u64 });
        }
        Self::parse_rbsp(&unescape(payload))
    }

    fn parse_rbsp(rbsp: &[u8]) -> Result<Self, Malformed> {
        let mut reader = BitReader::new(WHAT, rbsp);
        let profile_idc = reader.byte(8)?;
        let constraint_flags = reader.byte(8)?;
        let level_idc = reader.byte(8)?;
        let id = reader.ue_up_to("seq_parameter_set_id", 31)? as u8;
        let format = Format::parse(&mut reader, profile_idc)?;
        let frame_num_bits = reader.ue_up_to("log2_max_frame_num_minus4", 12)? as u8 + 4;
        let picture_order_count_type = picture_order_count(&mut reader)?;
        let max_num_ref_frames = reader.ue_up_to("max_num_ref_frames", 16)? as u8;
        reader.flag()?; // gaps_in_frame_num_value_allowed_flag
        let (interlaced, width, height) = picture_size(&mut reader, &format)?;
        let mut positions = Positions { vui: reader.position(), restriction: None, reorder: None };
        let mut vui = Vui::default();
        if reader.flag()? {
            vui = Vui::parse(&mut reader, &mut positions)?;
        }
        let declared = vui.restriction.map(|(reorder, _)| reorder);
        let no_b_slices = no_b_slices(profile_idc, constraint_flags);
        let output_is_decoding_order = picture_order_count_type == 2 || no_b_slices;
        Ok(Self {
            profile_idc,
            constraint_flags,
            level_idc,
            id,
            chroma_format_idc: format.chroma_format_idc,
            bit_depth_luma: format.bit_depth_luma,
            bit_depth_chroma: format.bit_depth_chroma,
            frame_num_bits,
            picture_order_count_type,
            max_num_ref_frames,
            interlaced,
            width,
            height,
            frame_rate: vui.frame_rate,
            colour: vui.colour,
            sample_aspect: vui.sample_aspect.unwrap_or(SampleAspect::SQUARE),
            max_reorder: declared.or(output_is_decoding_order.then_some(0)),
            max_dec_frame_buffering: vui.restriction.map(|(_, buffering)| buffering),
            positions,
        })
    }
}

/// Returns the NAL unit with `max_num_reorder_frames` 0 declared. Everything else stays as it was, bit by bit.
///
/// A decoder then shows each frame as soon as it is decoded. Otherwise it holds back as many frames as the level
/// allows. This is right only for streams without B-frames.
pub(super) fn without_reordering(nal: &[u8]) -> Result<Vec<u8>, Malformed> {
    let sps = Sps::parse(nal)?;
    let rbsp = unescape(&nal[1..]);
    let mut writer = BitWriter::new();
    match sps.positions {
        Positions { reorder: Some(reorder), .. } => writer.copy(&rbsp, 0, reorder),
        Positions { restriction: Some(restriction), .. } => {
            writer.copy(&rbsp, 0, restriction);
            write_restriction(&mut writer);
        }
        Positions { vui, .. } => {
            writer.copy(&rbsp, 0, vui);
            writer.flag(true);
            // Aspect ratio, overscan, video signal type, chroma location, timing, NAL HRD, VCL HRD and pic_struct are
            // absent.
            writer.bits(0, 8);
            write_restriction(&mut writer);
        }
    }
    writer.ue(0); // max_num_reorder_frames
    writer.ue(u32::from(sps.max_num_ref_frames.max(1))); // max_dec_frame_buffering
    let mut rewritten = vec![nal[0]];
    rewritten.extend(escape(&writer.finish_rbsp()));
    Ok(rewritten)
}

/// Writes `bitstream_restriction_flag` and the fields before the reordering ones, with the values that their absence
/// means (E.2.1).
fn write_restriction(writer: &mut BitWriter) {
    writer.flag(true);
    writer.flag(true); // motion_vectors_over_pic_boundaries_flag
    for absent_means in [2, 1, 15, 15] {
        writer.ue(absent_means); // max_bytes_per_pic_denom, max_bits_per_mb_denom, log2_max_mv_length_*
    }
}

fn out_of_range(field: &'static str, value: u8) -> Malformed {
    Malformed::OutOfRange { what: WHAT, field, value: u64::from(value) }
}

/// Returns whether the profile rules out B slices: baseline, profiles constrained to no B slices, and intra-only
/// profiles (A.2). Their output order is the decoding order.
fn no_b_slices(profile_idc: u8, constraint_flags: u8) -> bool {
    let set3 = constraint_flags & 0x10 != 0;
    let set5 = constraint_flags & 0x04 != 0;
    match profile_idc {
        66 => true,
        77 | 88 => set5,
        100 => set5 || set3,
        44 => true,
        86 | 110 | 122 | 244 => set3,
        _ => false,
    }
}

struct Format {
    chroma_format_idc: u8,
    separate_planes: bool,
    bit_depth_luma: u8,
    bit_depth_chroma: u8,
}

impl Format {
    fn parse(reader: &mut BitReader<'_>, profile_idc: u8) -> Result<Self, Malformed> {
        let mut format = Self { chroma_format_idc: 1, separate_planes: false, bit_depth_luma: 8, bit_depth_chroma: 8 };
        if !HIGH_PROFILES.contains(&profile_idc) {
            return Ok(format);
        }
        format.chroma_format_idc = reader.ue_up_to("chroma_format_idc", 3)? as u8;
        if format.chroma_format_idc == 3 {
            format.separate_planes = reader.flag()?;
        }
        format.bit_depth_luma = reader.ue_up_to("bit_depth_luma_minus8", 6)? as u8 + 8;
        format.bit_depth_chroma = reader.ue_up_to("bit_depth_chroma_minus8", 6)? as u8 + 8;
        reader.flag()?; // qpprime_y_zero_transform_bypass_flag
        if reader.flag()? {
            let lists = if format.chroma_format_idc == 3 { 12 } else { 8 };
            for list in 0..lists {
                if reader.flag()? {
                    skip_scaling_list(reader, if list < 6 { 16 } else { 64 })?;
                }
            }
        }
        Ok(format)
    }
}

fn skip_scaling_list(reader: &mut BitReader<'_>, size: usize) -> Result<(), Malformed> {
    let (mut last, mut next) = (8i32, 8i32);
    for _ in 0..size {
        if next != 0 {
            let delta = reader.se()?;
            if !(-128..=127).contains(&delta) {
                return Err(Malformed::OutOfRange {
                    what: WHAT,
                    field: "delta_scale",
                    value: u64::from(delta.unsigned_abs()),
                });
            }
            next = (last + delta + 256) % 256;
        }
        if next != 0 {
            last = next;
        }
    }
    Ok(())
}

fn picture_order_count(reader: &mut BitReader<'_>) -> Result<u8, Malformed> {
    let kind = reader.ue_up_to("pic_order_cnt_type", 2)? as u8;
    match kind {
        0 => {
            reader.ue_up_to("log2_max_pic_order_cnt_lsb_minus4", 12)?;
        }
        1 => {
            reader.flag()?; // delta_pic_order_always_zero_flag
            reader.se()?; // offset_for_non_ref_pic
            reader.se()?; // offset_for_top_to_bottom_field
            for _ in 0..reader.ue_up_to("num_ref_frames_in_pic_order_cnt_cycle", 255)? {
                reader.se()?; // offset_for_ref_frame
            }
        }
        _ => {}
    }
    Ok(kind)
}

fn picture_size(reader: &mut BitReader<'_>, format: &Format) -> Result<(bool, u32, u32), Malformed> {
    let width_in_macroblocks = u64::from(reader.ue()?) + 1;
    let height_in_map_units = u64::from(reader.ue()?) + 1;
    let frame_only = reader.flag()?;
    if !frame_only {
        reader.flag()?; // mb_adaptive_frame_field_flag
    }
    reader.flag()?; // direct_8x8_inference_flag
    let fields = if frame_only { 1 } else { 2 };
    let (mut width, mut height) = (width_in_macroblocks * 16, height_in_map_units * 16 * fields);
    if reader.flag()? {
        let [left, right, top, bottom] = [reader.ue()?, reader.ue()?, reader.ue()?, reader.ue()?].map(u64::from);
        let (unit_x, unit_y) = match (format.separate_planes, format.chroma_format_idc) {
            (false, 1) => (2, 2 * fields),
            (false, 2) => (2, fields),
            _ => (1, fields),
        };
        width = width.saturating_sub(unit_x * (left + right));
        height = height.saturating_sub(unit_y * (top + bottom));
    }
    Ok((!frame_only, picture_side(WHAT, "width", width)?, picture_side(WHAT, "height", height)?))
}

#[derive(Default)]
struct Vui {
    frame_rate: Option<f64>,
    colour: Option<Colour>,
    sample_aspect: Option<SampleAspect>,
    /// The values of `max_num_reorder_frames` and `max_dec_frame_buffering`.
    restriction: Option<(u8, u8)>,
}

impl Vui {
    fn parse(reader: &mut BitReader<'_>, positions: &mut Positions) -> Result<Self, Malformed> {
        let mut vui = Self::default();
        if reader.flag()? {
            vui.sample_aspect = sample_aspect(reader)?;
        }
        if reader.flag()? {
            reader.flag()?; // overscan_appropriate_flag
        }
        if reader.flag()? {
            vui.colour = Some(video_signal_type(reader)?);
        }
        if reader.flag()? {
            reader.ue()?; // chroma_sample_loc_type_top_field
            reader.ue()?; // chroma_sample_loc_type_bottom_field
        }
        if reader.flag()? {
            let units_in_tick = reader.bits(32)?;
            let time_scale = reader.bits(32)?;
            reader.flag()?; // fixed_frame_rate_flag
            vui.frame_rate = frame_rate(time_scale, u64::from(units_in_tick) * 2);
        }
        let nal_hrd = reader.flag()?;
        if nal_hrd {
            skip_hrd(reader)?;
        }
        let vcl_hrd = reader.flag()?;
        if vcl_hrd {
            skip_hrd(reader)?;
        }
        if nal_hrd || vcl_hrd {
            reader.flag()?; // low_delay_hrd_flag
        }
        reader.flag()?; // pic_struct_present_flag
        positions.restriction = Some(reader.position());
        if reader.flag()? {
            reader.flag()?; // motion_vectors_over_pic_boundaries_flag
            for _ in 0..4 {
                reader.ue()?; // max_bytes_per_pic_denom, max_bits_per_mb_denom, log2_max_mv_length_*
            }
            positions.reorder = Some(reader.position());
            let reorder = reader.ue_up_to("max_num_reorder_frames", 16)? as u8;
            vui.restriction = Some((reorder, reader.ue_up_to("max_dec_frame_buffering", 16)? as u8));
        }
        Ok(vui)
    }
}

/// The sample aspect ratios that have a number, from 1 on (table E-1).
const SAMPLE_ASPECTS: [(u32, u32); 16] = [
    (1, 1),
    (12, 11),
    (10, 11),
    (16, 11),
    (40, 33),
    (24, 11),
    (20, 11),
    (32, 11),
    (80, 33),
    (18, 11),
    (15, 11),
    (64, 33),
    (160, 99),
    (4, 3),
    (3, 2),
    (2, 1),
];

/// Reads the shape of a sample. `None` if it is left open. H.265 has the same fields and numbers.
pub(crate) fn sample_aspect(reader: &mut BitReader<'_>) -> Result<Option<SampleAspect>, Malformed> {
    const EXTENDED: u8 = 255;
    let ratio = match reader.byte(8)? {
        EXTENDED => Some((reader.bits(16)?, reader.bits(16)?)),
        number => usize::from(number).checked_sub(1).and_then(|index| SAMPLE_ASPECTS.get(index).copied()),
    };
    Ok(ratio.map(|(width, height)| SampleAspect::new(width, height)))
}

/// Reads `video_full_range_flag` and the colour description. H.265 has the same fields.
pub(crate) fn video_signal_type(reader: &mut BitReader<'_>) -> Result<Colour, Malformed> {
    reader.bits(3)?; // video_format
    let mut colour = Colour::unspecified(reader.flag()?);
    if reader.flag()? {
        colour.primaries = reader.byte(8)?;
        colour.transfer = reader.byte(8)?;
        colour.matrix = reader.byte(8)?;
    }
    Ok(colour)
}

fn skip_hrd(reader: &mut BitReader<'_>) -> Result<(), Malformed> {
    let schedules = reader.ue_up_to("cpb_cnt_minus1", 31)? + 1;
    reader.skip(8)?; // bit_rate_scale, cpb_size_scale
    for _ in 0..schedules {
        reader.ue()?; // bit_rate_value_minus1
        reader.ue()?; // cpb_size_value_minus1
        reader.flag()?; // cbr_flag
    }
    reader.skip(20) // the lengths of the delays and of the time offset
}
