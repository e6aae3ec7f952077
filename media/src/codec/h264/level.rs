//! The level of a stream (ITU-T H.264 Table A-1): what a decoder has to be able to do.

/// The limits of a level for the profiles Baseline and Main: its number, macroblocks per second, macroblocks of a frame, and
/// kilobits per second. The levels below 1.3 are for less than any stream here.
const LEVELS: [(u8, u64, u64, u64); 12] = [
    (13, 11_880, 396, 768),
    (20, 11_880, 396, 2_000),
    (21, 19_800, 792, 4_000),
    (22, 20_250, 1_620, 4_000),
    (30, 40_500, 1_620, 10_000),
    (31, 108_000, 3_600, 14_000),
    (32, 216_000, 5_120, 20_000),
    (40, 245_760, 8_192, 20_000),
    (42, 522_240, 8_704, 50_000),
    (50, 589_824, 22_080, 135_000),
    (51, 983_040, 36_864, 240_000),
    (52, 2_073_600, 36_864, 240_000),
];

/// Frame rates are measured and waver, so the level is that of the usual frame rate at or above this one.
const FRAME_RATES: [f64; 5] = [15.0, 30.0, 60.0, 120.0, 240.0];

/// How much a frame rate wavers: 30 frames per second may measure as 32.
const WAVERS: f64 = 1.08;

/// Returns the least level (`level_idc`) that carries frames of this size, rate and peak bitrate, each with one reference.
pub fn level_of(width: u32, height: u32, frame_rate: f64, peak_bps: u64) -> u8 {
    let usual = FRAME_RATES.into_iter().find(|usual| frame_rate <= usual * WAVERS).unwrap_or(frame_rate);
    let side = |pixels: u32| u64::from(pixels.div_ceil(16));
    let frame = side(width) * side(height);
    let per_second = (frame as f64 * usual).ceil() as u64;
    // A side has at most sqrt(8 × MaxFS) macroblocks (A.3.1).
    let fits = |most: u64| frame <= most && side(width.max(height)).pow(2) <= 8 * most;
    let carries =
        |(_, rate, most, kbps): &&(u8, u64, u64, u64)| per_second <= *rate && fits(*most) && peak_bps <= kbps * 1000;
    LEVELS.iter().find(carries).unwrap_or(&LEVELS[LEVELS.len() - 1]).0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_the_least_that_carries_size_rate_and_bitrate() {
        assert_eq!(level_of(320, 180, 30.0, 240_000), 13);
        assert_eq!(level_of(320, 180, 30.0, 1_000_000), 20);
        assert_eq!(level_of(640, 360, 30.0, 720_000), 30);
        assert_eq!(level_of(854, 480, 15.0, 720_000), 30);
        assert_eq!(level_of(854, 480, 31.9, 1_200_000), 31, "30 frames per second waver");
        assert_eq!(level_of(1280, 720, 30.0, 3_000_000), 31);
        assert_eq!(level_of(1280, 720, 59.94, 3_000_000), 32);
        assert_eq!(level_of(8192, 16, 30.0, 100_000), 51, "a side is limited");
        assert_eq!(level_of(8192, 4320, 240.0, 1 << 40), 52);
    }
}
