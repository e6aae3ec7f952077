//! Decides the bitrate of a re-encoded video track: that of the input, and more if the input's codec is more efficient.

use onmic_media::Codec;
use onmic_media::meter::Measured;

/// The bits per pixel if the input was not measured yet: 2.5 Mbit/s for 720p30.
const UNKNOWN: f64 = 0.09;
/// The fewest bits per pixel: 0.5 Mbit/s for 720p30. With fewer, x264 with preset superfast shows heavy artefacts.
const FEWEST: f64 = 0.018;
/// The most bits per pixel: 8.3 Mbit/s for 720p30. More bits do not improve the quality.
const MOST: f64 = 0.3;

/// The fewest frames for a usable mean. Over fewer frames one keyframe dominates the mean.
const FRAMES_TO_TRUST: u64 = 15;

/// The smallest relative change that is passed on to the encoder.
const HYSTERESIS: f64 = 0.2;

/// Returns the bitrate that keeps the visible quality of the input, at most `most_bps`.
///
/// x264 gets no real timestamps, so it spends bits per frame and assumes `encoder_frame_rate`. The result is scaled so
/// that the bitrate is right at the measured frame rate.
pub(crate) fn wanted_bps(
    codec: Codec,
    measured: &Measured,
    pixels: u32,
    encoder_frame_rate: f64,
    most_bps: u64,
) -> u64 {
    let known = is_known(measured);
    let frame_rate = frame_rate(measured, encoder_frame_rate);
    let pixel_rate = f64::from(pixels) * frame_rate;
    let bps = if known { measured.bitrate_bps as f64 * handicap(codec) } else { pixel_rate * UNKNOWN };
    let bps = bps.clamp(pixel_rate * FEWEST, pixel_rate * MOST).min(most_bps as f64);
    at_frame_rate(bps, encoder_frame_rate, frame_rate)
}

/// Returns the bitrate to ask an encoder for that assumes a frame rate, so that it is `bps` at the one that there is.
pub(crate) fn at_frame_rate(bps: f64, encoder_frame_rate: f64, frame_rate: f64) -> u64 {
    (bps * (encoder_frame_rate / frame_rate).clamp(0.25, 4.0)).round() as u64
}

/// Returns the frame rate of the input. Until it is known it is taken to be that of the encoder.
pub(crate) fn frame_rate(measured: &Measured, encoder_frame_rate: f64) -> f64 {
    if is_known(measured) { measured.frame_rate } else { encoder_frame_rate }
}

fn is_known(measured: &Measured) -> bool {
    measured.frames >= FRAMES_TO_TRUST && measured.frame_rate > 0.0 && measured.bitrate_bps > 0
}

/// Returns whether the bitrate should change to the wanted one.
pub(crate) fn differs(now_bps: u64, wanted_bps: u64) -> bool {
    (wanted_bps as f64 - now_bps as f64).abs() > now_bps as f64 * HYSTERESIS
}

/// Returns how many times the input's bits our encoder needs for the same quality: x264 with preset superfast and
/// without B-frames, compared with a usual live encoder of each codec.
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
    fn the_bitrate_follows_the_input_within_limits() {
        let of = |bps| wanted_bps(Codec::H264, &measured(30.0, bps), HD, 30.0, 12_000_000);
        assert_eq!(of(2_000_000), 2_600_000);
        assert_eq!(of(10_000), 497_664);
        assert_eq!(of(90_000_000), 8_294_400);
        assert_eq!(wanted_bps(Codec::H264, &measured(30.0, 90_000_000), HD, 30.0, 5_000_000), 5_000_000);
    }

    #[test]
    fn before_the_input_is_measured_the_frame_size_decides() {
        assert_eq!(wanted_bps(Codec::Vp8, &Measured::default(), HD, 30.0, 12_000_000), 2_488_320);
    }

    #[test]
    fn the_bitrate_is_scaled_if_the_frame_rate_differs_from_the_encoders() {
        let half = wanted_bps(Codec::Vp8, &measured(15.0, 1_000_000), HD, 30.0, 12_000_000);
        assert_eq!(half, 2_200_000); // 1.1 Mbit/s if only every other frame comes.
    }
}
