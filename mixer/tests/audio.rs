//! Tests conversion from AAC to Opus and back, sample by sample.

#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use onmic_media::time::{ClockRate, Ticks};
use onmic_media::{Codec, Feed, Frame, Join, MediaKind, Pcm, Read, Track};
use onmic_mixer::codec::RawAudio;
use onmic_mixer::codec::decode::AudioDecoder;
use onmic_mixer::{Config, Transcoder};
use support::{Recording, demand, derive, ffmpeg, from_flv, next, run};

/// Records a sweep. Every moment of it has another frequency, so that its position can be found.
fn sweep(rate: u32, channels: u32) -> Recording {
    let arguments =
        format!("-f lavfi -i aevalsrc=0.4*sin(2*PI*(200*t+400*t*t)):s={rate}:d=4 -ac {channels} -c:a aac -b:a 128k");
    from_flv(&ffmpeg(&arguments, "flv")).1.unwrap()
}

/// The samples in a packet of derived Opus: 10 ms.
const PACKET: i64 = 480;

fn feed() -> Arc<Feed> {
    Feed::new(Some(Transcoder::new(Config::default())))
}

/// Decodes the first channel at 48 kHz. Index 0 is at 0 of the timeline. Timestamps that are off by less than
/// `rounding` samples are taken for exact: FLV rounds to milliseconds, which must not affect the comparison.
fn decoded(frames: &[Arc<Frame>], rounding: f64) -> Vec<f32> {
    let mut decoder = AudioDecoder::open(&frames[0].parameters).unwrap();
    let (mut line, mut expected) = (vec![0.0; 48_000 * 6], f64::MIN);
    for frame in frames {
        let stamped = frame.pts.rescale(frame.parameters.clock_rate(), ClockRate::OPUS).0 as f64;
        let mut at = if (stamped - expected).abs() < rounding { expected } else { stamped };
        decoder.send(&frame.payload).unwrap();
        while let Some(samples) = decoder.receive().unwrap() {
            let plane = first_channel(&samples);
            let step = f64::from(samples.rate()) / 48_000.0;
            let end = at + plane.len() as f64 / step;
            let (first, behind) = (at.ceil().max(0.0) as usize, end.ceil().max(0.0) as usize);
            for (index, sample) in line.iter_mut().enumerate().take(behind).skip(first) {
                // Linear interpolation is exact enough for a comparison below 4 kHz.
                let position = (index as f64 - at) * step;
                let (low, part) = (position as usize, position.fract() as f32);
                let next = plane.get(low + 1).unwrap_or(&plane[low]);
                *sample = plane[low] * (1.0 - part) + next * part;
            }
            at = end;
        }
        expected = at;
    }
    line
}

fn first_channel(samples: &RawAudio) -> Vec<f32> {
    if samples.is_planar() {
        return samples.plane::<f32>(0).to_vec();
    }
    let channels = usize::from(samples.channels());
    let bytes = samples.data(0)[..samples.samples() * channels * 4].chunks_exact(4 * channels);
    bytes.map(|bytes| f32::from_ne_bytes(bytes[..4].try_into().unwrap())).collect()
}

/// Returns by how many samples `later` is behind `earlier` around `at`, and their correlation (1 if they are the same).
fn offset(earlier: &[f32], later: &[f32], at: usize) -> (i64, f64) {
    const WINDOW: usize = 4_800;
    let alike = |shift: i64| {
        let (mut product, mut left, mut right) = (0.0, 0.0, 0.0);
        for index in (at..at + WINDOW).step_by(3) {
            let (one, other) = (f64::from(earlier[index]), f64::from(later[(index as i64 + shift) as usize]));
            (product, left, right) = (product + one * other, left + one * one, right + other * other);
        }
        product / (left * right).sqrt().max(1e-9)
    };
    let best = (-480..480).max_by(|one, other| alike(*one).total_cmp(&alike(*other))).unwrap();
    (best, alike(best))
}

#[test]
fn audio_keeps_its_position_through_opus_and_back() {
    for (rate, channels) in [(44_100, 2), (48_000, 1), (22_050, 2)] {
        let recording = sweep(rate, channels);
        let original: Vec<Arc<Frame>> = recording.frames.iter().cloned().map(Arc::new).collect();
        let opus = derive(&feed(), &recording, Codec::Opus);
        assert!(opus.iter().all(|frame| frame.parameters.channels() == Some(channels as u8)));
        assert!(opus.windows(2).all(|pair| pair[1].pts.0 - pair[0].pts.0 == PACKET), "packets lie on an exact grid");
        let again = Recording { frames: opus.iter().map(|frame| Frame::clone(frame)).collect() };
        let aac = derive(&feed(), &again, Codec::Aac);
        assert!(aac.windows(2).all(|pair| pair[1].pts.0 - pair[0].pts.0 == 1024), "packets lie on an exact grid");
        let (original, opus, aac) = (decoded(&original, 100.0), decoded(&opus, 100.0), decoded(&aac, 100.0));
        for at in [24_000, 96_000, 168_000] {
            for (name, line) in [("opus", &opus), ("aac", &aac)] {
                let (samples, alike) = offset(&original, line, at);
                assert!(samples.abs() <= 24, "{rate} Hz, {name}: {samples} samples off at {at}");
                assert!(alike > 0.97, "{rate} Hz, {name}: only {alike:.3} alike at {at}");
            }
        }
    }
}

#[test]
fn wall_clock_and_arrival_follow_the_input() {
    let recording = sweep(44_100, 2);
    let opus = derive(&feed(), &recording, Codec::Opus);
    let start = recording.frames[0].wall.micros_since(support::WALL);
    for frame in &opus[1..] {
        let micros = frame.pts.micros(ClockRate::OPUS);
        let wall = frame.wall.micros_since(support::WALL);
        assert!((wall - micros - start).abs() <= 1_100, "{wall} at {micros}");
    }
}

#[test]
fn small_holes_become_silence_and_large_ones_stay() {
    let mut recording = sweep(48_000, 2);
    let original: Vec<Arc<Frame>> = recording.frames.iter().cloned().map(Arc::new).collect();
    recording.frames.drain(100..160); // 1.28 s
    recording.frames.drain(50..56); // 128 ms
    let opus = derive(&feed(), &recording, Codec::Opus);
    let steps: Vec<i64> =
        opus.windows(2).map(|pair| pair[1].pts.0 - pair[0].pts.0).filter(|step| *step != PACKET).collect();
    assert_eq!(steps.len(), 1, "{steps:?}");
    // The samples that the encoder had from before the hole are left out.
    assert!((61_440 - 960..61_440 + 960 * 4).contains(&steps[0]), "{steps:?}");
    for frame in &opus[1..] {
        let later = frame.arrived - opus[1].arrived;
        let late = later.as_micros() as i64 - frame.wall.micros_since(opus[1].wall);
        assert!(late < 200_000, "{late} µs late: a receiver would delay all audio by that");
    }
    let (original, opus) = (decoded(&original, 100.0), decoded(&opus, 100.0));
    for at in [20_000, 70_000, 176_000] {
        let (samples, alike) = offset(&original, &opus, at);
        assert!(samples.abs() <= 96 && alike > 0.97, "{samples} samples off at {at}, {alike:.3} alike");
    }
    assert!(opus[52_500..56_500].iter().all(|sample| sample.abs() < 0.05), "the hole is silent");
}

#[test]
fn pcm_is_encoded_before_its_frames_come_without_an_audible_switch() {
    const PCM: std::ops::Range<usize> = 47_500..120_220;
    let recording = sweep(48_000, 2).arriving_at_once();
    let original: Vec<Arc<Frame>> = recording.frames.iter().cloned().map(Arc::new).collect();
    let line = decoded(&original, 100.0);
    let (feed, track) = (feed(), Arc::new(Track::new(recording.parameters())));
    feed.set_original(track.clone());
    let demand = demand(&feed, MediaKind::Audio, Codec::Opus);
    let mut reader = demand.track().reader(Join::Group);
    let (before, after) = recording.frames.split_at(48);
    let mut opus = run(&track, before, &mut reader, 4);
    // PCM that is further ahead of the frames than the line's limit would be left out.
    while opus.last().unwrap().pts.0 < PCM.start as i64 {
        opus.push(next(&mut reader));
    }
    let now = Instant::now();
    for at in PCM.step_by(480) {
        let block = &line[at..at + 480];
        let wall = support::WALL.offset_micros(at as i64 * 125 / 6);
        track.push_pcm(Pcm { pts: Ticks(at as i64), wall, arrived: now, channels: [block, block] });
    }
    let deadline = now + Duration::from_secs(5);
    while opus.last().unwrap().pts.0 < 118_500 {
        assert!(Instant::now() < deadline, "at {:?} without later frames", opus.last().unwrap().pts);
        opus.extend(match reader.read_timeout(Duration::from_millis(20)) {
            Some(Read::Frame(frame)) => Some(frame),
            _ => None,
        });
    }
    opus.extend(run(&track, after, &mut reader, 90));
    while opus.last().unwrap().pts.0 < 166_000 {
        opus.push(next(&mut reader));
    }
    assert!(opus.windows(2).all(|pair| pair[1].pts.0 - pair[0].pts.0 == PACKET), "packets lie on an exact grid");
    let opus = decoded(&opus, 100.0);
    for at in [24_000, 45_000, 80_000, 118_000, 160_000] {
        let (samples, alike) = offset(&line, &opus, at);
        assert!(samples.abs() <= 24 && alike > 0.97, "{samples} samples off at {at}, {alike:.3} alike");
    }
}

#[test]
fn a_publisher_whose_clock_drifts_is_followed_without_a_break() {
    let mut recording = sweep(48_000, 2);
    // 1000 ppm is ten times the drift of a bad crystal, so that four seconds are enough: the drift is 4 ms at the end.
    for (number, frame) in recording.frames.iter_mut().enumerate() {
        frame.pts.0 = number as i64 * 1024 * 1001 / 1000;
        frame.dts = frame.pts;
    }
    let opus = derive(&feed(), &recording, Codec::Opus);
    assert!(opus.windows(2).all(|pair| pair[1].pts.0 - pair[0].pts.0 == PACKET), "no break");
    let original: Vec<Arc<Frame>> = recording.frames.iter().cloned().map(Arc::new).collect();
    let (samples, alike) = offset(&decoded(&original, 0.0), &decoded(&opus, 100.0), 160_000);
    assert!(samples.abs() <= 144 && alike > 0.9, "{samples} samples off, {alike:.3} alike");
}

#[test]
fn a_frame_that_cannot_be_decoded_leaves_a_silent_hole() {
    let mut recording = sweep(48_000, 2);
    for frame in &mut recording.frames[40..44] {
        frame.payload = bytes::Bytes::from_static(&[0xff; 100]);
    }
    recording.frames[60].payload = bytes::Bytes::new();
    let opus = derive(&feed(), &recording, Codec::Opus);
    assert!(opus.windows(2).all(|pair| pair[1].pts.0 - pair[0].pts.0 == PACKET));
    let length = Duration::from_micros(recording.frames.last().unwrap().pts.micros(ClockRate::OPUS) as u64);
    assert!(opus.len() as u128 * 10 >= length.as_millis() - 60, "{} packets", opus.len());
}
