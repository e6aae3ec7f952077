//! How many bits a re-encoded picture stream may have: what the input has, and more where its codec does more with a bit.

use onmic_media::Codec;
use onmic_media::meter::Measured;

/// Bits per pixel when nothing was measured yet: 2.5 Mbit/s for 720p30.
const UNKNOWN: f64 = 0.09;
/// Below this superfast x264 falls apart: 0.5 Mbit/s for 720p30.
const FEWEST: f64 = 0.018;
/// Above this nothing is gained: 8.3 Mbit/s for 720p30.
const MOST: f64 = 0.3;

/// Means over less than this say more about one keyframe than about the stream.
const FRAMES_TO_TRUST: u64 = 15;

/// A change by less is not worth telling the encoder.
const HYSTERESIS: f64 = 0.2;

/// The bitrate that keeps what can be seen in the input, at most `most_bps`.
///
/// x264 without a clock of its own spends per picture, reckoning with `encoder_frame_rate`: what is given here is scaled so
/// that it comes out right at the frame rate measured.
pub(crate) fn wanted_bps(
    codec: Codec,
    measured: &Measured,
    pixels: u32,
    encoder_frame_rate: f64,
    most_bps: u64,
) -> u64 {
    let known = measured.frames >= FRAMES_TO_TRUST && measured.frame_rate > 0.0 && measured.bitrate_bps > 0;
    let frame_rate = if known { measured.frame_rate } else { encoder_frame_rate };
    let pixel_rate = f64::from(pixels) * frame_rate;
    let bps = if known { measured.bitrate_bps as f64 * handicap(codec) } else { pixel_rate * UNKNOWN };
    let bps = bps.clamp(pixel_rate * FEWEST, pixel_rate * MOST).min(most_bps as f64);
    (bps * (encoder_frame_rate / frame_rate).clamp(0.25, 4.0)).round() as u64
}

/// Whether going from one to the other is worth it.
pub(crate) fn differs(now_bps: u64, wanted_bps: u64) -> bool {
    (wanted_bps as f64 - now_bps as f64).abs() > now_bps as f64 * HYSTERESIS
}

/// How many times the bits our encoder needs for the same picture: superfast without B-frames against a usual live
/// encoder of each codec.
fn handicap(codec: Codec) -> f64 {
    match codec {
        Codec::H265 | Codec::Vp9 => 1.8,
        Codec::Av1 => 2.0,
        Codec::H264 => 1.3,
        _ => 1.1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HD: u32 = 1280 * 720;

    fn measured(frame_rate: f64, bitrate_bps: u64) -> Measured {
        Measured { frame_rate, bitrate_bps, frames: 100, ..Measured::default() }
    }

    #[test]
    fn bits_follow_the_input_within_reason() {
        let of = |bps| wanted_bps(Codec::H264, &measured(30.0, bps), HD, 30.0, 12_000_000);
        assert_eq!(of(2_000_000), 2_600_000);
        assert_eq!(of(10_000), 497_664);
        assert_eq!(of(90_000_000), 8_294_400);
        assert_eq!(wanted_bps(Codec::H264, &measured(30.0, 90_000_000), HD, 30.0, 5_000_000), 5_000_000);
    }

    #[test]
    fn before_anything_is_measured_the_size_decides() {
        assert_eq!(wanted_bps(Codec::Vp8, &Measured::default(), HD, 30.0, 12_000_000), 2_488_320);
    }

    #[test]
    fn a_frame_rate_the_encoder_was_not_told_of_is_made_up_for() {
        let half = wanted_bps(Codec::Vp8, &measured(15.0, 1_000_000), HD, 30.0, 12_000_000);
        assert_eq!(half, 2_200_000); // 1.1 Mbit/s when only every other picture comes.
    }
}
