//! Reads frames from FLV files, as a publisher would send them.

// Each test and example uses a part of this module.
#![allow(dead_code, clippy::unwrap_used)]

pub mod made_up;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use onmic_media::flv::{AudioTag, Reader, VideoTag};
use onmic_media::{ClockRate, Frame, MediaKind, Parameters, Ticks, WallTime};

/// The wall clock at the start of the tests: 2026-11-21T08:00:00Z.
pub const EPOCH: WallTime = WallTime(1_795_248_000_000_000);

/// Where tracks begin on their timeline, as in [`onmic_media::clock`].
pub const START_MICROS: i64 = 10_000_000;

/// Returns the frames of an FLV file in the order of the file.
pub fn frames_of_flv(file: Bytes) -> Vec<Arc<Frame>> {
    let arrived = Instant::now();
    let mut reader = Reader::new();
    let mut parameters: [Option<Arc<Parameters>>; 2] = [None, None];
    let mut frames = Vec::new();
    let mut at = 13;
    while file.len() >= at + 11 {
        let header = &file[at..at + 11];
        let length = u32::from_be_bytes([0, header[1], header[2], header[3]]) as usize;
        let millis = i64::from(u32::from_be_bytes([header[7], header[4], header[5], header[6]]));
        let kind = header[0];
        let body = file.slice(at + 11..at + 11 + length);
        at += 11 + length + 4;
        let mut push = |kind: MediaKind, composition: i64, keyframe: bool, payload: Bytes| {
            let parameters = parameters[kind as usize].clone().unwrap();
            let rate = parameters.clock_rate();
            let on_clock = |millis: i64| Ticks(millis).rescale(ClockRate::MILLIS, rate);
            let start = Ticks(START_MICROS).rescale(ClockRate::MICROS, rate);
            let wall = EPOCH.offset_micros((millis + composition) * 1000);
            let (dts, pts) = (start + on_clock(millis), start + on_clock(millis + composition));
            frames.push(Arc::new(Frame { dts, pts, wall, arrived, keyframe, parameters, payload }));
        };
        match kind {
            8 => match reader.parse_audio(body).unwrap() {
                AudioTag::Config(new) => parameters[MediaKind::Audio as usize] = Some(Arc::new(new)),
                AudioTag::Frame { payload, .. } => push(MediaKind::Audio, 0, true, payload),
                _ => {}
            },
            9 => match reader.parse_video(body).unwrap() {
                VideoTag::Config(new) => parameters[MediaKind::Video as usize] = Some(Arc::new(new)),
                VideoTag::Frame { keyframe, composition_ms, payload, .. } => {
                    push(MediaKind::Video, composition_ms.into(), keyframe, payload);
                }
                _ => {}
            },
            _ => {}
        }
    }
    frames
}

/// Is a directory that is removed at the end.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("onmic-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs ffmpeg.
pub fn ffmpeg(arguments: &[&str]) {
    let output = Command::new("ffmpeg").args(["-hide_banner", "-loglevel", "error", "-y"]).args(arguments).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Returns a column of `ffprobe -show_entries`, one value per frame or packet.
pub fn probe(file: &Path, arguments: &[&str]) -> Vec<String> {
    let output = Command::new("ffprobe").args(["-v", "error", "-of", "csv=p=0"]).args(arguments).arg(file).output();
    let output = output.unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{errors}");
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| line.trim_end_matches(',').to_owned()).filter(|line| !line.is_empty()).collect()
}

/// Encodes the moving test pattern with a tone into FLV, by `arguments`.
pub fn make_flv(path: &Path, seconds: u32, rate: &str, arguments: &[&str]) -> Bytes {
    let video = format!("testsrc2=size=320x180:rate={rate}:duration={seconds}");
    let audio = format!("sine=frequency=440:sample_rate=48000:duration={seconds}");
    let path = path.to_str().unwrap();
    let inputs = ["-f", "lavfi", "-i", &video, "-f", "lavfi", "-i", &audio];
    ffmpeg(&[&inputs[..], arguments, &["-f", "flv", path]].concat());
    Bytes::from(std::fs::read(path).unwrap())
}

pub fn secs(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}
