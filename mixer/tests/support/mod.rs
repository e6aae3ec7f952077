//! Turns real bitstreams from the ffmpeg command into frames, and checks output frames with ffmpeg's tools.
#![allow(dead_code, unreachable_pub)] // Each test file uses a part of this module.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use onmic_media::codec::{aac, av1, h264, h265, nal, vp8, vp9};
use onmic_media::feed::Accept;
use onmic_media::time::{Ticks, WallTime};
use onmic_media::{Codec, Demand, Entry, Feed, Frame, Join, MediaKind, Parameters, Read, Reader, Track};

pub const WALL: WallTime = WallTime(1_795_000_000_000_000);

/// Is a file that is removed when it is dropped.
pub struct TempFile(pub PathBuf);

impl TempFile {
    pub fn new(extension: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("onmic-mixer-{}-{number}.{extension}", std::process::id())))
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
    }
}

/// Returns the file with this extension that ffmpeg writes with these arguments.
pub fn ffmpeg(arguments: &str, extension: &str) -> Vec<u8> {
    let file = TempFile::new(extension);
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-y"]).args(arguments.split_whitespace()).arg(&file.0);
    let output = command.output().expect("ffmpeg is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::read(&file.0).unwrap()
}

/// Holds the frames of one track as a publisher would send them.
#[derive(Clone)]
pub struct Recording {
    pub frames: Vec<Frame>,
}

impl Recording {
    fn new(parameters: Arc<Parameters>, packets: Vec<(i64, i64, bool, Bytes)>, ticks_per_second: i64) -> Self {
        let start = Instant::now();
        let rate = parameters.clock_rate();
        let frames = packets.into_iter().map(|(dts, pts, keyframe, payload)| {
            let ticks = |time: i64| Ticks((time * i64::from(rate.hz()) + ticks_per_second / 2) / ticks_per_second);
            let micros = |time: i64| time * 1_000_000 / ticks_per_second;
            Frame {
                dts: ticks(dts),
                pts: ticks(pts),
                wall: WALL.offset_micros(micros(pts)),
                arrived: start + Duration::from_micros(micros(dts).max(0) as u64),
                keyframe,
                parameters: parameters.clone(),
                payload,
            }
        });
        Self { frames: frames.collect() }
    }

    pub fn parameters(&self) -> Arc<Parameters> {
        self.frames[0].parameters.clone()
    }

    /// Makes all frames arrive at once, for tests that do not depend on arrival times.
    pub fn arriving_at_once(mut self) -> Self {
        let now = Instant::now();
        self.frames.iter_mut().for_each(|frame| frame.arrived = now);
        self
    }

    /// Moves all frames on the timeline.
    pub fn delayed(mut self, by: Duration) -> Self {
        for frame in &mut self.frames {
            let ticks = frame.parameters.clock_rate().ticks(by);
            (frame.dts, frame.pts) = (frame.dts + ticks, frame.pts + ticks);
            frame.wall = frame.wall.offset_micros(by.as_micros() as i64);
            frame.arrived += by;
        }
        self
    }

    pub fn pts(&self) -> Vec<i64> {
        let mut pts: Vec<i64> = self.frames.iter().map(|frame| frame.pts.0).collect();
        pts.sort_unstable();
        pts
    }
}

/// Reads the video and audio of an FLV file.
pub fn from_flv(flv: &[u8]) -> (Option<Recording>, Option<Recording>) {
    let (mut video, mut audio) = (Vec::new(), Vec::new());
    let (mut avc, mut asc) = (None, None);
    let mut at = 13;
    while at + 11 <= flv.len() {
        let tag = &flv[at..];
        let size = u32::from_be_bytes([0, tag[1], tag[2], tag[3]]) as usize;
        let dts = i64::from(u32::from_be_bytes([tag[7], tag[4], tag[5], tag[6]]));
        let body = &tag[11..11 + size];
        match (tag[0], body.get(1)) {
            (9, Some(0)) => avc = Some(h264::Parameters::from_avcc(&body[5..]).unwrap().0),
            (9, Some(1)) => {
                let offset = i32::from_be_bytes([body[2], body[3], body[4], 0]) >> 8;
                let (payload, _) = h264::strip_parameter_sets(Bytes::copy_from_slice(&body[5..]));
                video.push((dts, dts + i64::from(offset), body[0] >> 4 == 1, payload));
            }
            (8, Some(0)) => asc = Some(aac::Parameters::from_asc(&body[2..]).unwrap()),
            (8, Some(1)) => audio.push((dts, dts, true, Bytes::copy_from_slice(&body[2..]))),
            _ => {}
        }
        at += 11 + size + 4;
    }
    let video = avc.map(|avc| Recording::new(Arc::new(Parameters::H264(avc)), video, 1000));
    let audio = asc.map(|asc| Recording::new(Arc::new(Parameters::Aac(asc)), audio, 1000));
    (video, audio)
}

/// Reads the video of an IVF file at 30 frames per second.
pub fn from_ivf(ivf: &[u8]) -> Recording {
    let codec = &ivf[8..12];
    let (mut packets, mut parameters) = (Vec::new(), None);
    let mut at = 32;
    while at + 12 <= ivf.len() {
        let size = u32::from_le_bytes(ivf[at..at + 4].try_into().unwrap()) as usize;
        let payload = Bytes::copy_from_slice(&ivf[at + 12..at + 12 + size]);
        let number = packets.len() as i64;
        let (keyframe, payload) = match codec {
            b"VP80" => (vp8::is_keyframe(&payload), payload),
            b"VP90" => (vp9::is_keyframe(&payload), payload),
            _ => (av1::access_unit_is_keyframe(&payload), av1::strip_temporal_delimiters(payload)),
        };
        if keyframe && parameters.is_none() {
            parameters = Some(match codec {
                b"VP80" => Parameters::Vp8(vp8::Parameters::from_keyframe(&payload).unwrap()),
                b"VP90" => Parameters::Vp9(vp9::Parameters::from_keyframe(&payload).unwrap()),
                _ => Parameters::Av1(av1::Parameters::from_access_unit(&payload).unwrap()),
            });
        }
        packets.push((number, number, keyframe, payload));
        at += 12 + size;
    }
    Recording::new(Arc::new(parameters.unwrap()), packets, 30)
}

/// Reads H.265 in Annex B form with delimiters and without reordering, at 30 frames per second.
pub fn from_h265(stream: &[u8]) -> Recording {
    const DELIMITER: u8 = 35;
    let mut units: Vec<Vec<&[u8]>> = Vec::new();
    for unit in nal::annex_b_units(stream) {
        if h265::nal_type(unit) == DELIMITER {
            units.push(Vec::new());
        }
        units.last_mut().unwrap().push(unit);
    }
    let mut parameters = None;
    let packets = units.into_iter().enumerate().map(|(number, units)| {
        let (payload, found) = h265::strip_parameter_sets(nal::join(units));
        parameters = parameters.take().or(found);
        (number as i64, number as i64, h265::access_unit_is_keyframe(&payload), payload)
    });
    let packets = packets.collect();
    Recording::new(Arc::new(Parameters::H265(parameters.unwrap())), packets, 30)
}

/// Holds a derived track of `kind` in `codec`.
pub fn demand(feed: &Arc<Feed>, kind: MediaKind, codec: Codec) -> Demand {
    feed.demand(kind, Accept { codecs: &[codec], reordering: false, any_format: false, entry: Entry::Now }).unwrap()
}

/// Pushes frames no faster than they are taken out again, and returns what came out.
///
/// At most `slack` frames may be inside. Frames that do not come out are given up after 300 ms, or after 2 s where they are
/// video, whose conversions have a low priority on a busy machine.
pub fn run(input: &Track, frames: &[Frame], reader: &mut Reader, mut slack: usize) -> Vec<Arc<Frame>> {
    let patience = Duration::from_millis(if input.kind() == MediaKind::Video { 2000 } else { 300 });
    let mut out = Vec::new();
    for (number, frame) in frames.iter().enumerate() {
        input.push(frame.clone());
        let deadline = Instant::now() + patience;
        while out.len() + slack < number {
            match reader.read_timeout(Duration::from_millis(20)) {
                Some(Read::Frame(frame)) => out.push(frame),
                Some(other) => panic!("{other:?}"),
                None if Instant::now() > deadline => slack = number - out.len() + 8,
                None => {}
            }
        }
        while let Some(read) = reader.try_read() {
            match read {
                Read::Frame(frame) => out.push(frame),
                other => panic!("{other:?}"),
            }
        }
    }
    out
}

/// Reads until the track ends.
pub fn rest(reader: &mut Reader) -> Vec<Arc<Frame>> {
    let mut out = Vec::new();
    loop {
        match reader.read_timeout(Duration::from_secs(10)).expect("the track ends") {
            Read::Frame(frame) => out.push(frame),
            Read::Skipped(frames) => panic!("skipped {frames}"),
            Read::Ended => return out,
        }
    }
}

/// Returns the next frame. Panics if none comes within ten seconds.
pub fn next(reader: &mut Reader) -> Arc<Frame> {
    match reader.read_timeout(Duration::from_secs(10)) {
        Some(Read::Frame(frame)) => frame,
        other => panic!("{other:?}"),
    }
}

/// Derives a track from a whole recording.
pub fn derive(feed: &Arc<Feed>, recording: &Recording, codec: Codec) -> Vec<Arc<Frame>> {
    let recording = recording.clone().arriving_at_once();
    let kind = recording.parameters().kind();
    let input = Arc::new(Track::new(recording.parameters()));
    feed.set_original(input.clone());
    input.push(recording.frames[0].clone());
    let demand = demand(feed, kind, codec);
    let mut reader = demand.track().reader(Join::Group);
    let mut out = run(&input, &recording.frames[1..], &mut reader, 12);
    input.end();
    out.extend(rest(&mut reader));
    out
}

/// Returns the picture type of each frame in presentation order, one letter each, as ffprobe decodes them. Panics if
/// ffprobe prints a warning.
pub fn picture_types(frames: &[Arc<Frame>]) -> String {
    let file = TempFile::new("h264");
    let mut stream = Vec::new();
    for frame in frames {
        let Parameters::H264(h264) = &*frame.parameters else { panic!("not H.264") };
        if frame.keyframe {
            stream.extend_from_slice(&nal::to_annex_b(&h264.in_band()));
        }
        stream.extend_from_slice(&nal::to_annex_b(&frame.payload));
    }
    std::fs::write(&file.0, stream).unwrap();
    let arguments = ["-v", "warning", "-show_entries", "frame=pict_type", "-of", "csv=p=0"];
    let output = Command::new("ffprobe").args(arguments).arg(&file.0).output().unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(complaints.is_empty(), "{complaints}");
    String::from_utf8_lossy(&output.stdout).chars().filter(char::is_ascii_uppercase).collect()
}
