//! Twelve frames of each codec, made by ffmpeg 5.1 from `testsrc2` at 320 × 180, with a keyframe every six frames.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use onmic_media::codec::{av1, h264, h265, nal, opus, vp8, vp9};
use onmic_media::{Codec, Frame, Parameters, Ticks, WallTime};

pub(crate) const WALL: WallTime = WallTime(1_795_000_000_000_000);
pub(super) const ALL: [Codec; 6] = [Codec::H264, Codec::H265, Codec::Vp8, Codec::Vp9, Codec::Av1, Codec::Opus];

/// A generator of random numbers (xorshift64*): good enough for tests, and the same everywhere.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// Returns the frames of a codec from `began` on, 1/30 s apart (Opus 20 ms).
pub(super) fn frames(codec: Codec, began: Instant) -> Vec<Frame> {
    let mut parameters = None;
    let units = units(codec).into_iter().enumerate();
    let step = if codec == Codec::Opus { 960 } else { 3000 };
    units
        .map(|(index, (payload, keyframe, found))| {
            if parameters.as_deref() != Some(&found) {
                parameters = Some(Arc::new(found));
            }
            let parameters = parameters.clone().unwrap();
            let pts = Ticks(900_000 + index as i64 * step);
            let after = (pts - Ticks(900_000)).duration(parameters.clock_rate());
            frame(parameters, payload, keyframe, pts, began + after, WALL.offset_micros(after.as_micros() as i64))
        })
        .collect()
}

/// Repeats the frames of a codec until there are `count`, with times that go on.
pub(crate) fn repeated(codec: Codec, began: Instant, count: usize) -> Vec<Frame> {
    let cycle = frames(codec, began);
    let length = Ticks((cycle[1].pts - cycle[0].pts).0 * cycle.len() as i64);
    let duration = length.duration(cycle[0].parameters.clock_rate());
    (0..count)
        .map(|index| {
            let (round, mut frame) = ((index / cycle.len()) as i64, cycle[index % cycle.len()].clone());
            frame.pts += Ticks(length.0 * round);
            frame.dts = frame.pts;
            frame.arrived += duration * round as u32;
            frame.wall = frame.wall.offset_micros(duration.as_micros() as i64 * round);
            frame
        })
        .collect()
}

pub(super) fn frame(
    parameters: Arc<Parameters>,
    payload: Bytes,
    keyframe: bool,
    pts: Ticks,
    arrived: Instant,
    wall: WallTime,
) -> Frame {
    Frame { dts: pts, pts, wall, arrived, keyframe, parameters, payload }
}

/// Makes H.264 frames at 30 per second: a keyframe of `key_bytes` every `group` frames, and others of `delta_bytes`.
pub(crate) fn synthetic(
    began: Instant,
    count: usize,
    group: usize,
    (key_bytes, delta_bytes): (usize, usize),
) -> Vec<Frame> {
    let parameters = frames(Codec::H264, began)[0].parameters.clone();
    (0..count)
        .map(|index| {
            let keyframe = index % group == 0;
            let mut nal = vec![0x55; if keyframe { key_bytes } else { delta_bytes }];
            nal[0] = if keyframe { 0x65 } else { 0x41 };
            let after = Duration::from_micros(index as u64 * 100_000 / 3);
            let pts = Ticks(900_000 + index as i64 * 3000);
            let wall = WALL.offset_micros(after.as_micros() as i64);
            frame(parameters.clone(), nal::join([&nal[..]]), keyframe, pts, began + after, wall)
        })
        .collect()
}

fn units(codec: Codec) -> Vec<(Bytes, bool, Parameters)> {
    let mut parameters = None;
    raw_units(codec)
        .into_iter()
        .map(|raw| {
            let (payload, keyframe, found) = match codec {
                Codec::H264 => {
                    let (payload, found) = h264::strip_parameter_sets(raw);
                    let keyframe = h264::access_unit_is_keyframe(&payload);
                    (payload, keyframe, found.map(Parameters::H264))
                }
                Codec::H265 => {
                    let (payload, found) = h265::strip_parameter_sets(raw);
                    let keyframe = h265::access_unit_is_keyframe(&payload);
                    (payload, keyframe, found.map(Parameters::H265))
                }
                Codec::Vp8 => {
                    let found = vp8::Parameters::from_keyframe(&raw).ok().map(Parameters::Vp8);
                    let keyframe = vp8::is_keyframe(&raw);
                    (raw, keyframe, found)
                }
                Codec::Vp9 => {
                    let found = vp9::Parameters::from_keyframe(&raw).ok().map(Parameters::Vp9);
                    let keyframe = vp9::is_keyframe(&raw);
                    (raw, keyframe, found)
                }
                Codec::Av1 => {
                    let payload = av1::strip_temporal_delimiters(raw);
                    let found = av1::Parameters::from_access_unit(&payload).map(Parameters::Av1);
                    let keyframe = av1::access_unit_is_keyframe(&payload);
                    (payload, keyframe, found)
                }
                _ => (raw, true, Some(Parameters::Opus(opus::Parameters::new(2)))),
            };
            parameters = found.or(parameters.take());
            (payload, keyframe, parameters.clone().unwrap())
        })
        .collect()
}

fn raw_units(codec: Codec) -> Vec<Bytes> {
    match codec {
        Codec::H264 => access_units(include_bytes!("fixtures/h264.264"), |nal| nal[0] & 0x1f == 9),
        Codec::H265 => access_units(include_bytes!("fixtures/h265.265"), |nal| nal[0] >> 1 & 0x3f == 35),
        Codec::Vp8 => ivf(include_bytes!("fixtures/vp8.ivf")),
        Codec::Vp9 => ivf(include_bytes!("fixtures/vp9.ivf")),
        Codec::Av1 => ivf(include_bytes!("fixtures/av1.ivf")),
        Codec::Aac | Codec::Opus | Codec::Metadata => {
            (0..12).map(|index| Bytes::from(vec![0xfc; 60 + index * 7])).collect()
        }
    }
}

fn access_units(stream: &[u8], is_delimiter: impl Fn(&[u8]) -> bool) -> Vec<Bytes> {
    let mut units: Vec<Vec<&[u8]>> = Vec::new();
    for nal in nal::annex_b_units(stream) {
        if is_delimiter(nal) {
            units.push(Vec::new());
        }
        units.last_mut().unwrap().push(nal);
    }
    units.into_iter().map(nal::join).collect()
}

fn ivf(file: &[u8]) -> Vec<Bytes> {
    let mut rest = &file[32..];
    let mut frames = Vec::new();
    while let Some((header, after)) = rest.split_first_chunk::<12>() {
        let length = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
        frames.push(Bytes::copy_from_slice(&after[..length]));
        rest = &after[length..];
    }
    frames
}
