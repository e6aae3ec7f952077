//! The published media: H.264 at a given bitrate and 30 frames per second, and Opus every 20 ms, spread as by an encoder.
//!
//! Every frame carries its number and the time of its push, so that viewers in another process can tell its latency.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use onmic_media::codec::{h264, nal, opus};
use onmic_media::{Frame, NodeClock, Parameters, Ticks};

/// The frames per second.
pub const VIDEO_RATE: u32 = 30;
const GROUP: u64 = 60;
/// The ticks between video frames.
pub const VIDEO_TICKS: u32 = 3000;
pub const AUDIO_TICKS: u32 = 960;
/// The bytes of each kind of frame for 1 Mbit/s in groups of 2 s: a keyframe of 24 kB and 59 frames of 3.84 kB on average.
const KEYFRAME_BYTES: usize = 24_000;
const DELTA_BYTES: usize = 3_840;
const OPUS_BYTES: usize = 160; // 64 kbit/s.

/// The bytes that the stamp in a frame begins with.
const MAGIC: [u8; 4] = *b"onmc";
/// The length of a stamp: magic, number, nanoseconds since the epoch.
const STAMP: usize = 4 + 4 + 8;

/// Makes the frames of one kind of media.
pub struct Source {
    parameters: Arc<Parameters>,
    clock: NodeClock,
    began: Instant,
    kbps: usize,
    next: u64,
}

impl Source {
    pub fn video(clock: NodeClock, began: Instant, kbps: usize) -> Self {
        let sps = [0x67, 0x42, 0xc0, 0x1f, 0x8c, 0x8d, 0x40, 0x50, 0x1e, 0xd0, 0x0f, 0x08, 0x84, 0x6a];
        let pps = [0x68, 0xce, 0x3c, 0x80];
        let sets = (vec![Bytes::copy_from_slice(&sps)], vec![Bytes::copy_from_slice(&pps)]);
        let h264 = h264::Parameters::from_parameter_sets(sets.0, sets.1).expect("the sets are whole");
        Self { parameters: Arc::new(Parameters::H264(h264)), clock, began, kbps, next: 0 }
    }

    pub fn audio(clock: NodeClock, began: Instant) -> Self {
        let opus =
            opus::Parameters { channels: 2, pre_skip: 312, input_sample_rate: 48_000, output_gain: 0, mapping: None };
        Self { parameters: Arc::new(Parameters::Opus(opus)), clock, began, kbps: 64, next: 0 }
    }

    pub fn parameters(&self) -> Arc<Parameters> {
        self.parameters.clone()
    }

    /// Returns the time when the next frame is due.
    pub fn due(&self) -> Instant {
        let micros = match *self.parameters {
            Parameters::Opus(_) => self.next * 20_000,
            _ => self.next * 1_000_000 / u64::from(VIDEO_RATE),
        };
        self.began + Duration::from_micros(micros)
    }

    /// Returns the number of frames made.
    pub fn made(&self) -> u64 {
        self.next
    }

    /// Makes the next frame.
    pub fn frame(&mut self, now: Instant) -> Frame {
        let number = self.next;
        self.next += 1;
        let (ticks, keyframe, payload) = match *self.parameters {
            Parameters::Opus(_) => {
                let mut packet = vec![0x5a; OPUS_BYTES];
                packet[0] = 0xfc; // 20 ms, stereo, one frame.
                stamp(&mut packet, number);
                (AUDIO_TICKS, true, Bytes::from(packet))
            }
            _ => {
                let keyframe = number.is_multiple_of(GROUP);
                let bytes = if keyframe { KEYFRAME_BYTES } else { delta_bytes(number) };
                let mut unit = vec![0x5a; bytes * self.kbps / 1000];
                unit[0] = if keyframe { 0x65 } else { 0x41 };
                stamp(&mut unit, number);
                (VIDEO_TICKS, keyframe, nal::join([&unit[..]]))
            }
        };
        let pts = Ticks((number * u64::from(ticks)) as i64);
        let (wall, parameters) = (self.clock.wall(self.due_of(number)), self.parameters.clone());
        Frame { dts: pts, pts, wall, arrived: now, keyframe, parameters, payload }
    }

    fn due_of(&self, number: u64) -> Instant {
        Self { next: number, parameters: self.parameters.clone(), ..*self }.due()
    }
}

/// Returns the length of a delta frame: six to fourteen tenths of the average, the same in every run.
fn delta_bytes(number: u64) -> usize {
    let scattered = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    DELTA_BYTES * 6 / 10 + (scattered as usize % (DELTA_BYTES * 8 / 10))
}

fn stamp(unit: &mut [u8], number: u64) {
    unit[1..5].copy_from_slice(&MAGIC);
    unit[5..9].copy_from_slice(&(number as u32).to_be_bytes());
    unit[9..17].copy_from_slice(&nanos().to_be_bytes());
}

/// Returns the nanoseconds on the clock that both processes share.
pub fn nanos() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}

/// Reads the number and the time in the payload of a packet that begins a frame.
pub fn read_stamp(payload: &[u8], video: bool) -> Option<(u32, u64)> {
    let start = if video && payload.first()? & 0x1f == 28 { 2 } else { 1 }; // FU-A has two bytes in front.
    let (magic, rest) = payload.get(start..start + STAMP)?.split_first_chunk::<4>()?;
    let (number, rest) = rest.split_first_chunk::<4>()?;
    (*magic == MAGIC).then(|| (u32::from_be_bytes(*number), u64::from_be_bytes(*rest.first_chunk().expect("16 bytes"))))
}
