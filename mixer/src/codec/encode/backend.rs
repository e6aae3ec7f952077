//! What encodes H.264, and by which options.

/// Above this many pixels one thread may not be in time on a slow core; below, threads cost more than they bring.
const ONE_THREAD_PIXELS: u32 = 1280 * 720;

/// How H.264 is encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoSettings {
    /// x264's trade of time for size.
    pub preset: String,
    /// `baseline`, `main` or `high`. Browsers offer baseline and main.
    pub profile: String,
}

impl Default for VideoSettings {
    fn default() -> Self {
        Self { preset: "superfast".to_owned(), profile: "main".to_owned() }
    }
}

/// What encodes H.264.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// On the processor.
    #[default]
    X264,
    /// On an NVIDIA GPU.
    Nvenc,
    /// On an Intel or AMD GPU.
    Vaapi,
}

impl Backend {
    /// FFmpeg's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::X264 => "libx264",
            Self::Nvenc => "h264_nvenc",
            Self::Vaapi => "h264_vaapi",
        }
    }

    pub(super) fn options(self, settings: &VideoSettings, pixels: u32) -> Vec<(&'static str, String)> {
        // An IDR comes when it is asked for, and only then.
        const NEVER: i32 = 1 << 24;
        match self {
            Self::X264 => {
                let threads = if pixels > ONE_THREAD_PIXELS { 2 } else { 1 };
                vec![
                    ("preset", settings.preset.clone()),
                    ("tune", "zerolatency".to_owned()),
                    ("profile", settings.profile.clone()),
                    ("threads", threads.to_string()), // Slices of one picture under zerolatency: they add no delay.
                    ("bf", "0".to_owned()),
                    ("g", NEVER.to_string()),
                    ("forced-idr", "1".to_owned()), // It is then an IDR and no mere I picture,
                    ("sc_threshold", "0".to_owned()), // and x264 adds none of its own.
                ]
            }
            Self::Nvenc => {
                // Its presets are p1 to p7; those of x264 say nothing to it.
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
                    ("g", (1 << 16).to_string()), // As many as its syntax element can count.
                ]
            }
        }
    }
}
