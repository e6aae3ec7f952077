//! The encoders of video and their options.

use onmic_media::Codec;
use onmic_media::feed::PEAK_PERCENT;

/// The most pixels that one thread encodes. With more pixels one thread may be too slow for real time on a slow core.
/// With fewer, a second thread costs more than it gains.
const ONE_THREAD_PIXELS: u32 = 1280 * 720;
/// The length of the rate control's buffer. The largest keyframe takes about the bits of this time.
const BUFFER_MILLIS: u64 = 750;

/// Holds the settings of an H.264 encoder. That of VP8 has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoSettings {
    /// The preset of x264, which trades CPU time for size.
    pub preset: String,
    /// The profile: `baseline`, `main` or `high`. Browsers offer baseline and main.
    pub profile: String,
    /// The level to declare, as `level_idc`. With it x264 uses CABAC whatever the preset, so the profile is what it is called, and
    /// the codec string is known before the encoder is open. `None` leaves both to the encoder.
    pub level: Option<u8>,
}

impl Default for VideoSettings {
    fn default() -> Self {
        Self { preset: "superfast".to_owned(), profile: "main".to_owned(), level: None }
    }
}

/// Selects what encodes video. All but the last encode H.264.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// x264, on the CPU.
    #[default]
    X264,
    /// NVENC, on an NVIDIA GPU.
    Nvenc,
    /// VAAPI, on an Intel or AMD GPU.
    Vaapi,
    /// libvpx, on the CPU. It encodes VP8.
    Vpx,
}

impl Backend {
    /// Returns the codec that it encodes.
    pub fn codec(self) -> Codec {
        match self {
            Self::X264 | Self::Nvenc | Self::Vaapi => Codec::H264,
            Self::Vpx => Codec::Vp8,
        }
    }

    /// Returns whether an open encoder ignores a new bitrate. FFmpeg sets that of libvpx once.
    pub fn has_fixed_bitrate(self) -> bool {
        self == Self::Vpx
    }

    /// Returns FFmpeg's name of the encoder.
    pub fn name(self) -> &'static str {
        match self {
            Self::X264 => "libx264",
            Self::Nvenc => "h264_nvenc",
            Self::Vaapi => "h264_vaapi",
            Self::Vpx => "libvpx",
        }
    }

    /// Returns the options of the rate control: a peak over the mean, or for libvpx the same rate in each second.
    pub(super) fn rate_options(self, bitrate_bps: u64) -> Vec<(&'static str, String)> {
        let peak = if self == Self::Vpx { bitrate_bps } else { bitrate_bps * PEAK_PERCENT / 100 };
        let mut options = vec![
            ("b", bitrate_bps.to_string()),
            ("maxrate", peak.to_string()),
            ("bufsize", (peak * BUFFER_MILLIS / 1000).to_string()),
        ];
        if self == Self::Vpx {
            options.push(("minrate", bitrate_bps.to_string()));
        }
        options
    }

    pub(super) fn options(self, settings: &VideoSettings, pixels: u32) -> Vec<(&'static str, String)> {
        // The encoder must make an IDR only when it is asked for one.
        const NEVER: i32 = 1 << 24;
        let threads = if pixels > ONE_THREAD_PIXELS { 2 } else { 1 };
        match self {
            Self::X264 => {
                let declared = settings.level.map(|level| [("level", level.to_string()), ("coder", "ac".to_owned())]);
                let options = vec![
                    ("preset", settings.preset.clone()),
                    ("tune", "zerolatency".to_owned()),
                    ("profile", settings.profile.clone()),
                    ("threads", threads.to_string()), // With zerolatency they encode slices, without latency.
                    ("bf", "0".to_owned()),
                    ("g", NEVER.to_string()),
                    ("forced-idr", "1".to_owned()), // A keyframe that is asked for is an IDR, not just an I frame.
                    ("sc_threshold", "0".to_owned()), // x264 adds no keyframes at scene cuts.
                ];
                options.into_iter().chain(declared.into_iter().flatten()).collect()
            }
            Self::Nvenc => {
                // NVENC's presets are p1 to p7. It does not know those of x264.
                let own = settings.preset.strip_prefix('p').is_some_and(|number| number.parse::<u8>().is_ok());
                let preset = if own { settings.preset.as_str() } else { "p2" };
                vec![
                    ("preset", preset.to_owned()),
                    ("tune", "ull".to_owned()),
                    ("profile", settings.profile.clone()),
                    ("rc", "cbr".to_owned()),
                    ("delay", "0".to_owned()),
                    ("zerolatency", "1".to_owned()),
                    ("bf", "0".to_owned()),
                    ("g", NEVER.to_string()),
                    ("forced-idr", "1".to_owned()),
                    ("no-scenecut", "1".to_owned()),
                ]
            }
            Self::Vaapi => {
                let profile = if settings.profile == "baseline" { "constrained_baseline" } else { &settings.profile };
                vec![
                    ("profile", profile.to_owned()),
                    ("rc_mode", "CBR".to_owned()),
                    ("async_depth", "1".to_owned()),
                    ("bf", "0".to_owned()),
                    ("g", (1 << 16).to_string()), // The most frames that its syntax element can count.
                ]
            }
            Self::Vpx => vec![
                ("deadline", "realtime".to_owned()),
                ("cpu-used", "8".to_owned()),
                ("lag-in-frames", "0".to_owned()),
                ("auto-alt-ref", "0".to_owned()), // Such frames are not shown, and each frame here has one time.
                ("threads", threads.to_string()),
                ("g", NEVER.to_string()),
                ("keyint_min", NEVER.to_string()), // The same number as `g`: libvpx adds no keyframes at scene cuts.
            ],
        }
    }
}
