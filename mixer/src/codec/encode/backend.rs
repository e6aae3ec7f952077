//! The encoders of H.264 and their options.

/// The most pixels that one thread encodes. With more pixels one thread may be too slow for real time on a slow core.
/// With fewer, a second thread costs more than it gains.
const ONE_THREAD_PIXELS: u32 = 1280 * 720;

/// Holds the settings of an H.264 encoder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoSettings {
    /// The preset of x264, which trades CPU time for size.
    pub preset: String,
    /// The profile: `baseline`, `main` or `high`. Browsers offer baseline and main.
    pub profile: String,
}

impl Default for VideoSettings {
    fn default() -> Self {
        Self { preset: "superfast".to_owned(), profile: "main".to_owned() }
    }
}

/// Selects what encodes H.264.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// x264, on the CPU.
    #[default]
    X264,
    /// NVENC, on an NVIDIA GPU.
    Nvenc,
    /// VAAPI, on an Intel or AMD GPU.
    Vaapi,
}

impl Backend {
    /// Returns FFmpeg's name of the encoder.
    pub fn name(self) -> &'static str {
        match self {
            Self::X264 => "libx264",
            Self::Nvenc => "h264_nvenc",
            Self::Vaapi => "h264_vaapi",
        }
    }

    pub(super) fn options(self, settings: &VideoSettings, pixels: u32) -> Vec<(&'static str, String)> {
        // The encoder must make an IDR only when it is asked for one.
        const NEVER: i32 = 1 << 24;
        match self {
            Self::X264 => {
                let threads = if pixels > ONE_THREAD_PIXELS { 2 } else { 1 };
                vec![
                    ("preset", settings.preset.clone()),
                    ("tune", "zerolatency".to_owned()),
                    ("profile", settings.profile.clone()),
                    ("threads", threads.to_string()), // With zerolatency they encode slices, without latency.
                    ("bf", "0".to_owned()),
                    ("g", NEVER.to_string()),
                    ("forced-idr", "1".to_owned()), // A keyframe that is asked for is an IDR, not just an I frame.
                    ("sc_threshold", "0".to_owned()), // x264 adds no keyframes at scene cuts.
                ]
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
        }
    }
}
