//! Frames of a publisher with any timestamps, from its publication through the program to LL-HLS.
//!
//! Each frame is 16 bits of flags and steps, then a piece: its payload. Whatever a publisher states, playlists keep their
//! limits, and the program remembers no more than its limits allow.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use onmic_media::codec::{aac, h264};
use onmic_media::{Arrival, ClockRate, Join, MediaKind, Parameters, Protocol, Read, Reader, Rendition, Ticks};
use onmic_packager::{Segmenter, Settings};

use crate::{Input, hub};

/// The bits of a frame's first number. Five of the upper bits are the exponent of the step of its time.
pub mod says {
    /// Audio, not video.
    pub const AUDIO: u16 = 1;
    /// Decoding may start here.
    pub const KEYFRAME: u16 = 2;
    /// The time steps back.
    pub const BACK: u16 = 4;
    /// It arrives 700 ms after the frame before.
    pub const LATE: u16 = 8;
    /// The time does not change.
    pub const STILL: u16 = 16;
    /// It is presented later than it is decoded.
    pub const COMPOSED: u16 = 32;
}

/// The parameter sets of 320x180 in Baseline.
const SPS: &[u8] =
    &[0x67, 0x42, 0xc0, 0x0d, 0xda, 0x05, 0x07, 0xe8, 0x40, 0, 0, 0x03, 0, 0x40, 0, 0, 0x0f, 0x23, 0xc5, 0x0a, 0xa8];
const PPS: &[u8] = &[0x68, 0xce, 0x0f, 0x2c, 0x80];

/// Takes one input.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let start = Instant::now();
    let mut now = start;
    let hub = hub(now);
    let name = "room".parse().expect("a name");
    let mut publication = hub.publish(&name, Protocol::Rtmp, now).expect("the first publisher");
    let program = hub.director(&"room".parse().expect("a name")).expect("the room of the publisher");
    let sets = h264::Parameters::from_parameter_sets(vec![Bytes::from_static(SPS)], vec![Bytes::from_static(PPS)]);
    let video = Arc::new(Parameters::H264(sets.expect("valid parameter sets")));
    let audio = Arc::new(Parameters::Aac(aac::Parameters::low_complexity(48_000, 2).expect("a rate of AAC")));
    let mut segmenter = Segmenter::new(Settings::default(), true);
    let mut readers: [Option<Reader>; 2] = [None, None];
    let mut times = [0_i64; 2];
    while let (Some(flags), Some(payload)) = (input.number(), input.piece()) {
        let says = |flag| flags & flag != 0;
        let (kind, parameters) =
            if says(says::AUDIO) { (MediaKind::Audio, &audio) } else { (MediaKind::Video, &video) };
        let step = if says(says::STILL) { 0 } else { 1_i64 << ((flags >> 8) & 31) };
        let time = &mut times[kind as usize];
        *time = time.saturating_add(if says(says::BACK) { -step } else { step });
        now += Duration::from_millis(if says(says::LATE) { 700 } else { 20 });
        let dts = Ticks(*time).rescale(ClockRate::MILLIS, parameters.clock_rate());
        let composed = if says(says::COMPOSED) { Ticks(step) } else { Ticks(0) };
        let arrival = Arrival {
            rendition: Rendition::default(),
            dts,
            pts: dts + composed,
            keyframe: kind == MediaKind::Audio || says(says::KEYFRAME),
            parameters: parameters.clone(),
            payload: if payload.is_empty() { Bytes::from_static(&[0, 0, 0, 1, 0x65]) } else { body(kind, payload) },
        };
        publication.push(arrival, now).expect("the only publisher, below the bitrate");
        let reader = &mut readers[kind as usize];
        if reader.is_none() {
            *reader = program.feed().original(kind).map(|track| track.reader(Join::Group));
        }
        while let Some(Read::Frame(frame)) = reader.as_mut().and_then(Reader::try_read) {
            if segmenter.push(kind.into(), &frame).is_err() {
                return; // The program starts its playlist anew.
            }
        }
        check(&segmenter);
    }
}

/// Returns the payload of a frame: one NAL unit of video, or the bytes as they are.
fn body(kind: MediaKind, payload: &[u8]) -> Bytes {
    if kind == MediaKind::Audio {
        return Bytes::copy_from_slice(payload);
    }
    [&(payload.len() as u32 + 1).to_be_bytes()[..], &[0x41], payload].concat().into()
}

fn check(segmenter: &Segmenter) {
    let target = segmenter.settings().target_secs();
    for rendition in segmenter.renditions() {
        // Playlists begin with the first complete segment.
        let (Some(part_target), Some(_)) = (rendition.part_target(), rendition.segments().next()) else { continue };
        for segment in rendition.segments() {
            assert!(segment.duration.as_secs_f64().round() as u64 <= target, "{:?}", segment.duration);
        }
        let segments = rendition.segments().map(|segment| &**segment).chain(rendition.open());
        for part in segments.filter(|segment| !segment.whole).flat_map(|segment| &segment.parts) {
            assert!(part.duration <= part_target, "{}: {:?} of {part_target:?}", rendition.key(), part.duration);
        }
    }
}
