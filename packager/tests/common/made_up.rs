//! Made-up frames of any timing, and the rules of rfc8216bis that hold for all that is made of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use onmic_media::codec::{aac, h264};
use onmic_media::{ClockRate, Frame, MediaKind, Parameters, Ticks, TrackKey};
use onmic_packager::playlist::{Around, render};
use onmic_packager::{Segmenter, Settings};

use super::{EPOCH, START_MICROS, secs};

/// Returns the SPS and PPS of a 320 × 180 baseline stream.
pub fn video_parameters() -> Arc<Parameters> {
    let sps = [0x67, 0x42, 0xc0, 0x0d, 0xda, 0x05, 0x0c, 0xed, 0xff, 0x01, 0x60, 0x22, 0x00, 0x00, 0x03, 0x00];
    let sps = [&sps[..], &[0x02, 0x00, 0x00, 0x03, 0x00, 0x79, 0x1e, 0x2c, 0x5d, 0xc0]].concat();
    let pps = vec![0x68, 0xce, 0x0f, 0xc8];
    let sets = h264::Parameters::from_parameter_sets(vec![sps.into()], vec![pps.into()]).unwrap();
    Arc::new(Parameters::H264(sets))
}

pub fn audio_parameters() -> Arc<Parameters> {
    Arc::new(Parameters::Aac(aac::Parameters::low_complexity(48_000, 2).unwrap()))
}

/// Publishes made-up frames.
pub struct Publisher {
    pub video: Arc<Parameters>,
    pub audio: Arc<Parameters>,
    pub arrived: Instant,
}

impl Publisher {
    pub fn new() -> Self {
        Self { video: video_parameters(), audio: audio_parameters(), arrived: Instant::now() }
    }

    pub fn frame(&self, parameters: &Arc<Parameters>, micros: i64, composition: i64, keyframe: bool) -> Arc<Frame> {
        let rate = parameters.clock_rate();
        let at = |micros: i64| Ticks(START_MICROS + micros).rescale(ClockRate::MICROS, rate);
        Arc::new(Frame {
            dts: at(micros),
            pts: at(micros + composition),
            wall: EPOCH.offset_micros(micros + composition),
            arrived: self.arrived,
            keyframe,
            parameters: parameters.clone(),
            payload: Bytes::from_static(&[0, 0, 0, 1, 0x65]),
        })
    }

    pub fn video(&self, micros: i64, keyframe: bool) -> Arc<Frame> {
        self.frame(&self.video, micros, 0, keyframe)
    }

    pub fn audio(&self, micros: i64) -> Arc<Frame> {
        self.frame(&self.audio, micros, 0, true)
    }
}

pub fn settings() -> Settings {
    Settings::new(secs(0.333), secs(2.0), secs(36.0))
}

/// Plays both tracks from one time to another, in the order of decoding.
pub fn play(publisher: &Publisher, segmenter: &mut Segmenter, from: f64, to: f64, fps: f64, gop: usize) {
    let micros = |seconds: f64| (seconds * 1e6).round() as i64;
    let mut frames = Vec::new();
    let count = ((to - from) * fps).round() as usize;
    frames.extend((0..count).map(|n| publisher.video(micros(from + n as f64 / fps), n % gop == 0)));
    let sounds = ((to - from) * 46.875).floor() as usize;
    frames.extend((0..sounds).map(|n| publisher.audio(micros(from + n as f64 / 46.875))));
    frames.sort_by_key(|frame| frame.dts.micros(frame.parameters.clock_rate()));
    for frame in &frames {
        segmenter.push(frame.kind().into(), frame).unwrap();
    }
}

pub fn text(segmenter: &Segmenter, kind: MediaKind, skip: bool) -> String {
    let other = if kind == MediaKind::Video { MediaKind::Audio } else { MediaKind::Video };
    let others: Vec<_> = segmenter.rendition(other).into_iter().collect();
    let around = Around { others: &others, ended: segmenter.is_ended() };
    render(segmenter.rendition(kind).unwrap(), segmenter.settings(), around, skip).unwrap()
}

pub fn check(segmenter: &Segmenter, video_target: f64) {
    check_seeded(segmenter, video_target, 0);
}

pub fn check_seeded(segmenter: &Segmenter, video_target: f64, seed: u64) {
    check_named(segmenter, video_target, &format!("seed {seed}"));
}

/// Invariants of everything that is listed.
pub fn check_named(segmenter: &Segmenter, video_target: f64, seed: &str) {
    for rendition in segmenter.renditions() {
        let key = rendition.key();
        let Some(target) = rendition.part_target() else { continue };
        if key == TrackKey::VIDEO {
            assert!(target <= secs(video_target), "{seed}");
        }
        let rate = rendition.rate();
        let mut expected_msn = rendition.segments().next().map(|segment| segment.msn);
        let mut end: Option<Duration> = None;
        let mut number = rendition.segments().next().map(|segment| segment.first_part);
        let mut after_whole = false;
        let segments = rendition.segments().map(|segment| (true, &**segment));
        for (complete, segment) in segments.chain(rendition.open().map(|open| (false, open))) {
            assert_eq!(Some(segment.msn), expected_msn.or(Some(segment.msn)), "{seed}: {key}");
            expected_msn = Some(segment.msn + 1);
            assert_eq!(segment.first_part, number.unwrap_or(segment.first_part), "{seed}: {key} {}", segment.msn);
            number = Some(segment.first_part + segment.listed().len() as u64);
            if segment.gap {
                end = None;
                continue;
            }
            if segment.discontinuity {
                end = None;
            }
            let sum: Duration = segment.parts.iter().map(|part| part.duration).sum();
            assert_eq!(segment.duration, sum, "{seed}: {key} {}", segment.msn);
            let rounded = segment.duration.as_secs_f64().round() as u64;
            assert!(rounded <= segmenter.settings().target_secs(), "{seed}: {key} {:?}", segment.duration);
            for (index, part) in segment.parts.iter().enumerate() {
                let place = format!("{seed}: {key} {}.{index} of {:?}", segment.msn, part.duration);
                let start = Ticks(part.start as i64).duration(rate);
                // Slow frames last longer in the media than a playlist may say.
                let was_slow = std::mem::replace(&mut after_whole, segment.whole) || segment.whole;
                if let Some(end) = end.filter(|end| !was_slow || start < *end) {
                    // A further rendition that was away leaves a hole. Nothing ever overlaps.
                    let is_hole = !key.leads() && start > end + Duration::from_millis(500);
                    let continues = start.abs_diff(end) < Duration::from_micros(2);
                    assert!(continues || is_hole, "{place}: starts at {start:?}, not {end:?}");
                }
                end = Some(start + part.duration);
                if segment.whole {
                    continue;
                }
                assert!(part.duration <= target, "{place}: longer than {target:?}");
                let before_hole = segment.parts.get(index + 1).is_some_and(|next| {
                    !key.leads() && Ticks(next.start as i64).duration(rate) > start + part.duration * 2
                });
                let last = before_hole || (complete && index + 1 == segment.parts.len());
                let enough = part.duration.as_secs_f64() + 1e-6 >= 0.85 * target.as_secs_f64();
                assert!(enough || last || part.independent, "{place}: shorter than 85 % of {target:?}");
                assert!(!part.body.is_empty() && part.samples > 0, "{place}");
            }
        }
        assert_eq!(number.unwrap_or(0), rendition.next_part(), "{seed}: the hint of {key}");
    }
}

/// Is a small generator that gives the same frames for the same seed.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}
