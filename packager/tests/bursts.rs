//! Simulated publishers that begin by sending seconds of media at once, by seeds: the audio of it may come before its video. No
//! segment is longer than the target duration that the first playlist states, and it never changes.
//!
//! A failure prints the seed; `ONMIC_SEED=7` runs that seed alone, and `ONMIC_SEEDS=10000` that many.

#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use common::made_up::{Publisher, Random, check_named, settings};
use onmic_media::{Frame, MediaKind, TrackKey};
use onmic_packager::Segmenter;

const MILLI: i64 = 1000;

/// Is one publisher. Times are in µs.
#[derive(Debug)]
struct Case {
    fps: i64,
    group: i64,
    /// How much comes at once.
    burst: i64,
    /// The time by which audio comes before the video of its time, at first. It comes beside it at the end of the burst.
    ahead: i64,
}

impl Case {
    fn draw(seed: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut between = |least: i64, most: i64| least + random.below((most - least) as u64) as i64;
        Self {
            fps: [15, 24, 25, 30, 60][between(0, 5) as usize],
            group: between(500, 4500) * MILLI,
            burst: between(1000, 10_000) * MILLI,
            ahead: between(0, 4200) * MILLI,
        }
    }

    /// Returns the frames in the order in which they come.
    fn frames(&self) -> Vec<Arc<Frame>> {
        let publisher = Publisher::new();
        let (mut frames, mut keyframe_at) = (Vec::new(), i64::MIN);
        for at in (0..).map(|n| n * 1_000_000 / self.fps).take_while(|at| *at < 20_000_000) {
            let keyframe = at >= keyframe_at;
            if keyframe {
                keyframe_at = at + self.group;
            }
            frames.push((at, publisher.video(at, keyframe)));
        }
        let packets = (0..).map(|n| n * 64_000 / 3).take_while(|at| *at < 20_000_000);
        let comes = |at: i64| at - self.ahead * (self.burst - at).max(0) / self.burst;
        frames.extend(packets.map(|at| (comes(at).max(1), publisher.audio(at))));
        frames.sort_by_key(|(comes, _)| *comes);
        frames.into_iter().map(|(_, frame)| frame).collect()
    }

    fn run(&self, seed: u64) {
        let place = format!("seed {seed}: {self:?}");
        let mut segmenter = Segmenter::new(settings(), true);
        let mut stated = None;
        for frame in self.frames() {
            segmenter.push(frame.kind().into(), &frame).unwrap();
            if !segmenter.renditions().any(|rendition| rendition.segments().next().is_some()) {
                continue;
            }
            let target = segmenter.settings().target_secs();
            assert_eq!(*stated.get_or_insert(target), target, "{place}");
            for rendition in segmenter.renditions() {
                for segment in rendition.segments().map(|segment| &**segment).chain(rendition.open()) {
                    let rounded = segment.duration.as_secs_f64().round() as u64;
                    assert!(
                        rounded <= target,
                        "{place}: {} {} of {:?}",
                        rendition.key(),
                        segment.msn,
                        segment.duration
                    );
                }
            }
        }
        check_named(&segmenter, 0.4, &place);
    }
}

#[test]
fn no_segment_of_a_burst_is_longer_than_the_target_duration() {
    let read = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seeds = match (read("ONMIC_SEED"), read("ONMIC_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, count) => 0..count.unwrap_or(100),
    };
    seeds.for_each(|seed| Case::draw(seed).run(seed));
}

#[test]
fn audio_that_came_first_is_cut_where_the_video_is() {
    for ahead in [300, 700, 2010, 4010] {
        let case = Case { fps: 30, group: 2_000_000, burst: 8_000_000, ahead: ahead * MILLI };
        let mut segmenter = Segmenter::new(settings(), true);
        for frame in case.frames() {
            segmenter.push(frame.kind().into(), &frame).unwrap();
        }
        assert_eq!(segmenter.settings().target_secs(), 2, "{ahead} ms: that of the publisher's keyframes");
        let first = |kind: MediaKind| {
            let rendition = segmenter.rendition(TrackKey::from(kind)).unwrap();
            let first = rendition.segments().next().unwrap();
            (first.duration.as_secs_f64(), first.program_date_time)
        };
        let [video, audio] = [MediaKind::Video, MediaKind::Audio].map(first);
        assert!((video.0 - audio.0).abs() < 0.35, "{ahead} ms: {video:?} {audio:?}");
        assert!(video.1.micros_since(audio.1).abs() < 50_000, "{ahead} ms: {video:?} {audio:?}");
    }
}
