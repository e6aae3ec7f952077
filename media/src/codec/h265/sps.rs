//! The H.265 sequence parameter set (7.3.2.2), up to the timing in its VUI (E.2.1).

use crate::codec::bits::{BitReader, unescape};
use crate::codec::h264::{sample_aspect, video_signal_type};
use crate::codec::{Colour, Malformed, SampleAspect, frame_rate, picture_side};

const WHAT: &str = "H.265 SPS";

/// Holds `profile_tier_level()` without the sub-layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProfileTierLevel {
    /// The value of `general_profile_space`.
    pub profile_space: u8,
    /// The value of `general_tier_flag`.
    pub high_tier: bool,
    /// The value of `general_profile_idc`.
    pub profile_idc: u8,
    /// The compatibility flags. `general_profile_compatibility_flag[0]` is the highest bit.
    pub compatibility_flags: u32,
    /// The 48 bits from `general_progressive_source_flag` on.
    pub constraint_flags: [u8; 6],
    /// The value of `general_level_idc`, thirty times the level.
    pub level_idc: u8,
}

impl ProfileTierLevel {
    pub(super) fn parse(reader: &mut BitReader<'_>) -> Result<Self, Malformed> {
        let profile_space = reader.byte(2)?;
        let high_tier = reader.flag()?;
        let profile_idc = reader.byte(5)?;
        let compatibility_flags = reader.bits(32)?;
        let mut constraint_flags = [0; 6];
        for byte in &mut constraint_flags {
            *byte = reader.byte(8)?;
        }
        let level_idc = reader.byte(8)?;
        Ok(Self { profile_space, high_tier, profile_idc, compatibility_flags, constraint_flags, level_idc })
    }
}

/// Holds the fields of a sequence parameter set that other code needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Sps {
    /// The profile, tier and level.
    pub profile: ProfileTierLevel,
    /// The value of `sps_max_sub_layers_minus1 + 1`.
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
    /// The value of `sps_max_num_reorder_pics` of the highest sub-layer.
    pub max_reorder: u8,
    /// The frame rate, if the VUI's timing states it.
    pub frame_rate: Option<f64>,
    /// The colour, if the VUI describes it.
    pub colour: Option<Colour>,
    /// The shape of a sample, a square unless the VUI states another.
    pub sample_aspect: SampleAspect,
    /// The value of `field_seq_flag`: each picture is a field, and two are a frame.
    pub field_sequence: bool,
}

impl Sps {
    /// Reads a NAL unit of type 33, both header bytes and emulation prevention included.
    pub fn parse(nal: &[u8]) -> Result<Self, Malformed> {
        let payload = nal.get(2..).ok_or(Malformed::Truncated { what: WHAT })?;
        if super::nal_type(nal) != super::NAL_SPS {
            let value = super::nal_type(nal).into();
            return Err(Malformed::OutOfRange { what: WHAT, field: "nal_unit_type", value });
        }
        if nal.len() > usize::from(u16::MAX) {
            return Err(Malformed::OutOfRange { what: WHAT, field: "length", value: nal.len() as u64 });
        }
        let rbsp = unescape(payload);
        let reader = &mut BitReader::new(WHAT, &rbsp);
        reader.skip(4)?; // sps_video_parameter_set_id
        let sub_layers = reader.byte(3)?;
        if sub_layers > 6 {
            let value = sub_layers.into();
            return Err(Malformed::OutOfRange { what: WHAT, field: "sps_max_sub_layers_minus1", value });
        }
        let temporal_id_nested = reader.flag()?;
        let profile = ProfileTierLevel::parse(reader)?;
        skip_sub_layers(reader, sub_layers)?;
        reader.ue_up_to("sps_seq_parameter_set_id", 15)?;
        let chroma_format_idc = reader.ue_up_to("chroma_format_idc", 3)? as u8;
        let separate_planes = chroma_format_idc == 3 && reader.flag()?;
        let (width, height) = picture_size(reader, if separate_planes { 0 } else { chroma_format_idc })?;
        let bit_depth_luma = reader.ue_up_to("bit_depth_luma_minus8", 8)? as u8 + 8;
        let bit_depth_chroma = reader.ue_up_to("bit_depth_chroma_minus8", 8)? as u8 + 8;
        let picture_order_count_bits = reader.ue_up_to("log2_max_pic_order_cnt_lsb_minus4", 12)? as usize + 4;
        let max_reorder = max_reorder(reader, sub_layers)?;
        skip_coding_tools(reader)?;
        skip_reference_picture_sets(reader, picture_order_count_bits)?;
        reader.skip(2)?; // sps_temporal_mvp_enabled_flag, strong_intra_smoothing_enabled_flag
        let vui = if reader.flag()? { Vui::parse(reader)? } else { Vui::default() };
        Ok(Self {
            profile,
            temporal_layers: sub_layers + 1,
            temporal_id_nested,
            chroma_format_idc,
            bit_depth_luma,
            bit_depth_chroma,
            width,
            height,
            max_reorder,
            frame_rate: vui.frame_rate,
            colour: vui.colour,
            sample_aspect: vui.sample_aspect.unwrap_or(SampleAspect::SQUARE),
            field_sequence: vui.field_sequence,
        })
    }
}

fn skip_sub_layers(reader: &mut BitReader<'_>, sub_layers: u8) -> Result<(), Malformed> {
    if sub_layers == 0 {
        return Ok(());
    }
    let mut bits = 0;
    for layer in 0..8 {
        let (profile_present, level_present) = (reader.flag()?, reader.flag()?);
        if layer < sub_layers {
            bits += usize::from(profile_present) * 88 + usize::from(level_present) * 8;
        }
    }
    reader.skip(bits)
}

fn picture_size(reader: &mut BitReader<'_>, chroma_array_type: u8) -> Result<(u32, u32), Malformed> {
    let (mut width, mut height) = (u64::from(reader.ue()?), u64::from(reader.ue()?));
    if reader.flag()? {
        let [left, right, top, bottom] = [reader.ue()?, reader.ue()?, reader.ue()?, reader.ue()?].map(u64::from);
        let (unit_x, unit_y) = match chroma_array_type {
            1 => (2, 2),
            2 => (2, 1),
            _ => (1, 1),
        };
        width = width.saturating_sub(unit_x * (left + right));
        height = height.saturating_sub(unit_y * (top + bottom));
    }
    Ok((picture_side(WHAT, "width", width)?, picture_side(WHAT, "height", height)?))
}

fn max_reorder(reader: &mut BitReader<'_>, sub_layers: u8) -> Result<u8, Malformed> {
    let each_layer = reader.flag()?; // sps_sub_layer_ordering_info_present_flag
    let mut reorder = 0;
    for _ in 0..if each_layer { sub_layers + 1 } else { 1 } {
        reader.ue_up_to("sps_max_dec_pic_buffering_minus1", 15)?;
        reorder = reader.ue_up_to("sps_max_num_reorder_pics", 15)? as u8;
        reader.ue()?; // sps_max_latency_increase_plus1
    }
    Ok(reorder)
}

fn skip_coding_tools(reader: &mut BitReader<'_>) -> Result<(), Malformed> {
    for _ in 0..6 {
        reader.ue()?; // sizes of coding and transform blocks, depths of transform hierarchies
    }
    if reader.flag()? && reader.flag()? {
        skip_scaling_lists(reader)?;
    }
    reader.skip(2)?; // amp_enabled_flag, sample_adaptive_offset_enabled_flag
    if reader.flag()? {
        reader.skip(8)?; // pcm sample bit depths
        reader.ue()?; // log2_min_pcm_luma_coding_block_size_minus3
        reader.ue()?; // log2_diff_max_min_pcm_luma_coding_block_size
        reader.flag()?; // pcm_loop_filter_disabled_flag
    }
    Ok(())
}

/// Skips scaling_list_data() (7.3.4). The chroma lists of 32 × 32 blocks are never coded here, not even for 4:4:4.
fn skip_scaling_lists(reader: &mut BitReader<'_>) -> Result<(), Malformed> {
    for size in 0..4u32 {
        for _ in (0..6).step_by(if size == 3 { 3 } else { 1 }) {
            if !reader.flag()? {
                reader.ue_up_to("scaling_list_pred_matrix_id_delta", 5)?;
                continue;
            }
            if size > 1 {
                reader.se()?; // scaling_list_dc_coef_minus8
            }
            for _ in 0..64.min(1 << (4 + 2 * size)) {
                reader.se()?; // scaling_list_delta_coef
            }
        }
    }
    Ok(())
}

fn skip_reference_picture_sets(reader: &mut BitReader<'_>, picture_order_count_bits: usize) -> Result<(), Malformed> {
    let mut previous = None;
    for _ in 0..reader.ue_up_to("num_short_term_ref_pic_sets", 64)? {
        previous = Some(short_term_set(reader, previous)?);
    }
    if reader.flag()? {
        let long_term = reader.ue_up_to("num_long_term_ref_pics_sps", 32)? as usize;
        reader.skip(long_term * (picture_order_count_bits + 1))?;
    }
    Ok(())
}

/// Parses st_ref_pic_set() (7.3.7): the distances to its pictures, those before first, the closest of each side
/// first. Their number decides the length of the next set, and some drop out (7-61, 7-62), so they must be worked
/// out.
fn short_term_set(reader: &mut BitReader<'_>, previous: Option<Vec<i32>>) -> Result<Vec<i32>, Malformed> {
    let mut distances = Vec::with_capacity(16);
    if let Some(previous) = previous
        && reader.flag()?
    {
        let back = reader.flag()?; // delta_rps_sign
        let shift = reader.ue_up_to("abs_delta_rps_minus1", 1 << 15)? as i32 + 1;
        let shift = if back { -shift } else { shift };
        for distance in previous.into_iter().chain([0]) {
            let used_by_current = reader.flag()?;
            if used_by_current || reader.flag()? {
                distances.push(distance + shift);
            }
        }
        distances.retain(|&distance| distance != 0);
        distances.sort_by_key(|&distance| (distance > 0, distance.abs()));
    } else {
        let before = reader.ue_up_to("num_negative_pics", 16)?;
        let after = reader.ue_up_to("num_positive_pics", 16)?;
        for (count, sign) in [(before, -1), (after, 1)] {
            let mut distance = 0;
            for _ in 0..count {
                distance += sign * (reader.ue_up_to("delta_poc_minus1", 1 << 15)? as i32 + 1);
                distances.push(distance);
                reader.flag()?; // used_by_curr_pic_flag
            }
        }
    }
    match distances.len() {
        0..=16 => Ok(distances),
        many => Err(Malformed::OutOfRange { what: WHAT, field: "NumDeltaPocs", value: many as u64 }),
    }
}

#[derive(Default)]
struct Vui {
    frame_rate: Option<f64>,
    colour: Option<Colour>,
    sample_aspect: Option<SampleAspect>,
    field_sequence: bool,
}

impl Vui {
    /// Parses the VUI up to the timing, because no caller needs the fields after it.
    fn parse(reader: &mut BitReader<'_>) -> Result<Self, Malformed> {
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
        reader.flag()?; // neutral_chroma_indication_flag
        vui.field_sequence = reader.flag()?;
        reader.flag()?; // frame_field_info_present_flag
        if reader.flag()? {
            for _ in 0..4 {
                reader.ue()?; // default display window: a hint that players leave alone
            }
        }
        if reader.flag()? {
            let units_in_tick = u64::from(reader.bits(32)?);
            let time_scale = reader.bits(32)?;
            vui.frame_rate = frame_rate(time_scale, units_in_tick * if vui.field_sequence { 2 } else { 1 });
        }
        Ok(vui)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::bits::{BitWriter, escape};

    /// Returns an SPS with what no encoder at hand writes: sub-layers with profiles, scaling lists, PCM, predicted
    /// short-term sets, long-term pictures, a default display window. The frame rate at the end is right only if
    /// everything before it was skipped exactly.
    fn unusual_sps(field_sequence: bool) -> Vec<u8> {
        let mut writer = BitWriter::new();
        writer.bits(0, 4);
        writer.bits(2, 3); // three sub-layers
        writer.flag(true);
        profile(&mut writer);
        for (profile_present, level_present) in [(true, true), (false, true)] {
            writer.flag(profile_present);
            writer.flag(level_present);
        }
        writer.bits(0, 12); // reserved_zero_2bits
        profile(&mut writer);
        writer.bits(90, 8);
        for value in [1, 1, 416, 248] {
            writer.ue(value); // id, 4:2:0, width, height
        }
        writer.flag(true);
        for value in [1, 3, 0, 4] {
            writer.ue(value); // conformance window
        }
        for value in [2, 2, 4] {
            writer.ue(value); // ten bits, eight bits of picture order count
        }
        writer.flag(true);
        for reorder in [0, 1, 3] {
            for value in [4, reorder, 0] {
                writer.ue(value);
            }
        }
        for value in [0, 3, 0, 3, 1, 1] {
            writer.ue(value);
        }
        scaling_lists(&mut writer);
        writer.bits(0b11, 2);
        writer.flag(true); // PCM
        writer.bits(0x77, 8);
        writer.ue(0);
        writer.ue(1);
        writer.flag(true);
        short_term_sets(&mut writer);
        writer.flag(true); // long-term pictures
        writer.ue(2);
        writer.bits(0xaa << 10 | 1 << 9 | 0x55 << 1, 18);
        writer.bits(0b11, 2);
        writer.flag(true); // VUI
        writer.flag(true);
        writer.bits(255, 8); // extended aspect ratio
        writer.bits(0x0010_000f, 32);
        writer.bits(0b000, 3);
        writer.bits(u32::from(field_sequence) << 1, 3);
        writer.flag(true); // default display window
        (0..4).for_each(|_| writer.ue(2));
        writer.flag(true); // timing
        writer.bits(1, 32);
        writer.bits(50, 32);
        writer.bits(0, 4); // no picture order count timing, no HRD, no restriction, no extension
        let mut nal = vec![33 << 1, 1];
        nal.extend(escape(&writer.finish_rbsp()));
        nal
    }

    fn profile(writer: &mut BitWriter) {
        writer.bits(2, 8);
        writer.bits(0x2000_0000, 32);
        writer.bits(0x9000_0000, 32);
        writer.bits(0, 16);
        writer.bits(93, 8);
    }

    fn scaling_lists(writer: &mut BitWriter) {
        writer.bits(0b11, 2);
        for size in 0..4 {
            for matrix in (0..6).step_by(if size == 3 { 3 } else { 1 }) {
                let explicit = matrix % 2 == 1;
                writer.flag(explicit);
                if !explicit {
                    writer.ue(0);
                    continue;
                }
                for _ in 0..if size == 0 { 16 } else { 64 } + u32::from(size > 1) {
                    writer.ue(1); // plus one
                }
            }
        }
    }

    fn short_term_sets(writer: &mut BitWriter) {
        writer.ue(3);
        writer.ue(2); // explicit: two before, one after
        writer.ue(1);
        for _ in 0..3 {
            writer.ue(0);
            writer.flag(true);
        }
        // Shifted by one from −1, −2, 1: four flags. The first lands on 0 and drops out; −1 and 1 remain, so then
        // three.
        for flags in [&[1, 1, 0, 0, 0, 1][..], &[0, 0, 1, 1]] {
            writer.flag(true);
            writer.flag(false);
            writer.ue(0);
            flags.iter().for_each(|&flag| writer.flag(flag == 1));
        }
    }

    #[test]
    fn everything_before_the_timing_is_skipped_exactly() {
        let sps = Sps::parse(&unusual_sps(false)).unwrap();
        assert_eq!((sps.width, sps.height, sps.temporal_layers, sps.max_reorder), (408, 240, 3, 3));
        assert_eq!((sps.bit_depth_luma, sps.profile.level_idc, sps.frame_rate), (10, 93, Some(50.0)));
        assert_eq!(sps.sample_aspect, SampleAspect::new(16, 15));
        let fields = Sps::parse(&unusual_sps(true)).unwrap();
        assert_eq!((sps.field_sequence, fields.field_sequence, fields.frame_rate), (false, true, Some(25.0)));
    }

    #[test]
    fn an_sps_that_ends_early_anywhere_causes_no_panic() {
        let sps = unusual_sps(false);
        let short = (0..sps.len() - 2).filter(|&end| Sps::parse(&sps[..end]).is_ok()).count();
        assert_eq!(short, 0);
    }
}
