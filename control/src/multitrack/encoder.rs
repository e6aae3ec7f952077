//! The encoder to use, and its settings: constant bitrate, a keyframe every 2 s, and no B-frames, which WebRTC has not.
//!
//! OBS does not begin with an encoder that it has not. So it is chosen of those that it states, or else of those that its version has on
//! every machine of this kind: x264, where that is not sure. The names of settings are those of OBS's plugins: `obs-nvenc`, `obs-qsv11`,
//! `obs-ffmpeg` (AMF), `mac-videotoolbox` and `obs-x264`.

use serde_json::{Value, json};

use super::request::Asked;

/// How often keyframes come. Segments of LL-HLS begin with them, and all qualities have them at the same times.
const KEYFRAMES_S: u32 = 2;

const NVIDIA: u64 = 0x10de;
const AMD: u64 = 0x1002;
const INTEL: u64 = 0x8086;

/// An encoder of OBS for H.264.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoder {
    X264,
    Nvenc,
    /// NVENC of OBS before 31.
    OldNvenc,
    Amf,
    QuickSync,
    VideoToolbox,
}

impl Encoder {
    /// Returns the encoder that suits the machine.
    pub fn choose(asked: &Asked) -> Self {
        let system = asked.system();
        let is_apple = system.name.as_deref() == Some("macOS");
        let has_modern_nvenc = asked.major_version().is_none_or(|version| version >= 31);
        let suits = match asked.gpu_vendor() {
            _ if is_apple && system.arm == Some(true) => Self::VideoToolbox,
            Some(NVIDIA) if has_modern_nvenc => Self::Nvenc,
            Some(NVIDIA) => Self::OldNvenc,
            Some(AMD) => Self::Amf,
            Some(INTEL) => Self::QuickSync,
            _ => Self::X264,
        };
        let is_there = match asked.encoders() {
            Some(stated) => stated.iter().any(|encoder| encoder == suits.id()),
            None => match suits {
                Self::Amf | Self::QuickSync => system.name.as_deref() == Some("Windows"),
                _ => true,
            },
        };
        if is_there { suits } else { Self::X264 }
    }

    /// Returns its name in OBS.
    pub fn id(self) -> &'static str {
        match self {
            Self::X264 => "obs_x264",
            Self::Nvenc => "obs_nvenc_h264_tex",
            Self::OldNvenc => "jim_nvenc",
            Self::Amf => "h264_texture_amf",
            Self::QuickSync => "obs_qsv11_v2",
            Self::VideoToolbox => "com.apple.videotoolbox.videoencoder.ave.avc",
        }
    }

    /// Returns whether the processor does the work.
    pub fn is_software(self) -> bool {
        self == Self::X264
    }

    /// Returns its settings for this bitrate.
    pub fn settings(self, kbps: u32) -> Value {
        let own = match self {
            Self::X264 => json!({"preset": "veryfast", "profile": "high", "bf": 0}),
            Self::Nvenc => json!({
                "preset": "p5", "tune": "hq", "multipass": "qres", "profile": "high", "bf": 0,
                "lookahead": false, "adaptive_quantization": true,
            }),
            Self::OldNvenc => json!({
                "preset2": "p5", "tune": "hq", "multipass": "qres", "profile": "high", "bf": 0,
                "lookahead": false, "psycho_aq": true,
            }),
            Self::Amf => json!({"preset": "quality", "profile": "high", "bf": 0}),
            Self::QuickSync => json!({"target_usage": "TU4", "profile": "high", "bf": 0}),
            Self::VideoToolbox => json!({"profile": "high", "bframes": false}),
        };
        let mut settings = json!({"rate_control": "CBR", "bitrate": kbps, "keyint_sec": KEYFRAMES_S});
        if let (Value::Object(all), Value::Object(own)) = (&mut settings, own) {
            all.extend(own);
        }
        settings
    }
}
