//! Simulated publishers that go and come back, by seeds: whatever they leave and bring, and in whichever order it comes, the
//! renditions break at the same places. Players place what follows a discontinuity by the main video and by the sums of the lengths
//! before it: audio that is longer there is played over, and hls.js lost its way in it for good.
//!
//! A failure prints the seed; `ONMIC_SEED=7` runs that seed alone, and `ONMIC_SEEDS=10000` that many.

#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use bytes::Bytes;
use common::made_up::{Publisher, Random, check_named, settings, video_parameters};
use onmic_media::{Frame, MediaKind, Parameters, Ticks, TrackKey};
use onmic_packager::{Rendition, Segment, Segmenter};

const MILLI: i64 = 1000;

/// The length of an audio packet, in µs, rounded up.
const PACKET: i64 = 21_334;

/// Audio that comes before the next video and has a hole of up to 0.2 s goes on. So does video, and both end and begin apart.
const ALONE: f64 = 0.35;

/// Two publishers of one stream, one after the other. Times are in µs.
#[derive(Debug)]
struct Case {
    fps: i64,
    group: i64,
    /// Where the video of the first ends, and its audio.
    ends: [i64; 2],
    /// Where that of the second begins.
    begins: [i64; 2],
    /// Whether the second has other parameters.
    changes: bool,
    /// How long after its time each kind comes.
    comes: [i64; 2],
}

impl Case {
    fn draw(seed: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut between = |least: i64, most: i64| least + random.below((most - least) as u64) as i64;
        let end = between(3000, 7000) * MILLI;
        let begin = end + between(150, 1200) * MILLI;
        Self {
            fps: [15, 24, 25, 30, 60][between(0, 5) as usize],
            group: between(1000, 2500) * MILLI,
            ends: [end, end + between(-120, 60) * MILLI],
            begins: [begin, begin + between(-60, 100) * MILLI],
            changes: between(0, 3) > 0,
            comes: [between(0, 120) * MILLI, between(0, 120) * MILLI],
        }
    }

    /// Returns the frames in the order in which they come.
    fn frames(&self) -> Vec<Arc<Frame>> {
        let mut publisher = Publisher::new();
        let mut frames = Vec::new();
        for (from, to) in [([0, 0], self.ends), (self.begins, self.begins.map(|begin| begin + 6_000_000))] {
            let mut keyframe_at = i64::MIN;
            for at in (0..).map(|n| from[0] + n * 1_000_000 / self.fps).take_while(|at| *at < to[0]) {
                let keyframe = at >= keyframe_at;
                if keyframe {
                    keyframe_at = at + self.group;
                }
                frames.push((at + self.comes[0], publisher.video(at, keyframe)));
            }
            let packets = (0..).map(|n| from[1] + n * 64_000 / 3).take_while(|at| *at + PACKET <= to[1]);
            frames.extend(packets.map(|at| (at + self.comes[1], publisher.audio(at))));
            if self.changes {
                let Parameters::H264(mut sets) = (*video_parameters()).clone() else { unreachable!() };
                sets.pps.push(Bytes::from_static(&[0x68, 0x4b, 0xcf, 0x20]));
                publisher.video = Arc::new(Parameters::H264(sets));
            }
        }
        frames.sort_by_key(|(comes, _)| *comes);
        frames.into_iter().map(|(_, frame)| frame).collect()
    }

    /// Returns what is wrong in the playlists.
    fn run(&self, seed: u64) -> Option<String> {
        let mut segmenter = Segmenter::new(settings(), true);
        for frame in self.frames() {
            segmenter.push(frame.kind().into(), &frame).unwrap();
        }
        check_named(&segmenter, 0.4, &format!("seed {seed}"));
        let [video, audio] = [TrackKey::VIDEO, TrackKey::AUDIO].map(|key| segmenter.rendition(key).unwrap());
        let breaks = [video, audio].map(|rendition| listed(rendition).filter(|(_, one)| one.discontinuity).collect());
        let [of_video, of_audio]: [Vec<(f64, &Segment)>; 2] = breaks;
        if of_video.len() != of_audio.len() {
            return Some(format!("{} and {} discontinuities", of_video.len(), of_audio.len()));
        }
        for ((before, video_segment), (audio_before, audio_segment)) in of_video.into_iter().zip(of_audio) {
            if video_segment.msn != audio_segment.msn {
                return Some(format!("breaks at {} and at {}", video_segment.msn, audio_segment.msn));
            }
            if (before - audio_before).abs() > ALONE {
                return Some(format!("{before:.3} s of video and {audio_before:.3} s of audio before the break"));
            }
            let [from, audio_from] = [(video, video_segment), (audio, audio_segment)].map(|(rendition, segment)| {
                segment.parts.first().map(|part| Ticks(part.start as i64).duration(rendition.rate()).as_secs_f64())
            });
            let apart = from.zip(audio_from).map_or(0.0, |(video, audio)| video - audio);
            if apart.abs() > ALONE {
                return Some(format!("after the break audio begins {apart:.3} s before the video"));
            }
        }
        None
    }
}

/// Returns the segments, each with the listed seconds before it.
fn listed(rendition: &Rendition) -> impl Iterator<Item = (f64, &Segment)> {
    let mut before = 0.0;
    rendition.segments().map(|segment| &**segment).chain(rendition.open()).map(move |segment| {
        let at = before;
        before += segment.duration.as_secs_f64();
        (at, segment)
    })
}

#[test]
fn a_publisher_that_comes_back_breaks_all_renditions_at_the_same_place() {
    let read = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seeds = match (read("ONMIC_SEED"), read("ONMIC_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, count) => 0..count.unwrap_or(200),
    };
    let mut failed = Vec::new();
    for seed in seeds {
        let case = Case::draw(seed);
        if let Some(wrong) = case.run(seed) {
            eprintln!("seed {seed}: {case:?}\n  BROKEN: {wrong}");
            failed.push(seed);
        }
    }
    assert!(failed.is_empty(), "{} seeds broke: {failed:?}", failed.len());
}

/// The publisher of the case that made hls.js stand still: it was away for 0.43 s, and came back with another size.
#[test]
fn a_publisher_that_is_back_within_half_a_second_with_another_size_leaves_its_hole_in_both_kinds() {
    for comes in [[0, 0], [60 * MILLI, 0], [0, 60 * MILLI]] {
        let (ends, begins) = ([6_960_000, 6_970_000], [7_390_000, 7_390_000]);
        let case = Case { fps: 30, group: 2_000_000, ends, begins, changes: true, comes };
        assert_eq!(case.run(0), None, "{case:?}");
        let mut segmenter = Segmenter::new(settings(), true);
        for frame in case.frames() {
            segmenter.push(frame.kind().into(), &frame).unwrap();
        }
        for kind in [MediaKind::Video, MediaKind::Audio] {
            let rendition = segmenter.rendition(kind).unwrap();
            let (before, segment) = listed(rendition).find(|(_, segment)| segment.discontinuity).unwrap();
            let starts = Ticks(segment.parts[0].start as i64).duration(rendition.rate()).as_secs_f64() - 10.0;
            assert!((before - 6.97).abs() < 0.05 && (starts - 7.39).abs() < 0.05, "{kind:?}: {before} and {starts}");
        }
    }
}
