//! Tests that conversions of video stay within the node's budget of pixels, and below media in priority.

#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use onmic_media::codec::{opus, vp8};
use onmic_media::feed::{Accept, Unavailable};
use onmic_media::time::Ticks;
use onmic_media::{Budget, Codec, Entry, Feed, Frame, Join, MediaKind, Parameters, Read, Spent, Track, Work};
use onmic_mixer::{Config, Transcoder, price};
use support::{WALL, demand};

fn vp8(width: u32, height: u32) -> Arc<Parameters> {
    Arc::new(Parameters::Vp8(vp8::Parameters { width, height, version: 0 }))
}

/// Returns a feed with video of this size, whose conversions spend `budget`.
fn feed(budget: &Arc<Budget>, (width, height): (u32, u32)) -> (Arc<Feed>, Arc<Track>) {
    let transcoder = Transcoder::within(Config { linger: Duration::ZERO, ..Config::default() }, budget.clone());
    let feed = Feed::new(Some(transcoder));
    let video = Arc::new(Track::new(vp8(width, height)));
    feed.set_original(video.clone());
    feed.set_original(Arc::new(Track::new(Arc::new(Parameters::Opus(opus::Parameters::new(2))))));
    (feed, video)
}

const H264: Accept<'_> =
    Accept { codecs: &[Codec::H264, Codec::Aac], reordering: false, any_format: false, entry: Entry::Now };

/// The price of a conversion of 720p of which nothing but the size is known.
const HD30: u64 = 1280 * 720 * 30 / 5 * 7;

#[test]
fn a_conversion_over_the_budget_is_refused_and_those_that_run_go_on() {
    assert_eq!(price::of_conversion(1280 * 720 * 30), HD30);
    let budget = Budget::new(HD30 * 2);
    let (first, _video) = feed(&budget, (1280, 720));
    let running = demand(&first, MediaKind::Video, Codec::H264);
    let again = demand(&first, MediaKind::Video, Codec::H264);
    assert_eq!(running.track().id(), again.track().id(), "a second viewer costs nothing");
    let (second, _video) = feed(&budget, (1280, 720));
    let refused = second.demand(MediaKind::Video, H264).unwrap_err();
    assert_eq!(refused, Unavailable::Overloaded(Spent(Work::Conversion)), "85 % of it is less than two");
    assert!(second.demand(MediaKind::Audio, H264).is_ok(), "audio has no price");
    assert!(!running.track().is_ended());
    let (small, _video) = feed(&budget, (320, 180));
    assert!(small.demand(MediaKind::Video, H264).is_ok());
    let track = running.track().clone();
    drop((running, again));
    let mut reader = track.reader(Join::NextKeyframe);
    assert!(matches!(reader.read_timeout(Duration::from_secs(10)), Some(Read::Ended)));
    // The thread gives its part back a moment after its track has ended.
    let deadline = Instant::now() + Duration::from_secs(10);
    while let Err(refused) = second.demand(MediaKind::Video, H264) {
        assert!(Instant::now() < deadline, "{refused}");
        std::thread::yield_now();
    }
}

#[test]
fn a_conversion_whose_video_grows_beyond_the_budget_ends() {
    let budget = Budget::new(HD30 * 2);
    let (feed, video) = feed(&budget, (640, 360));
    let running = demand(&feed, MediaKind::Video, Codec::H264);
    let mut reader = running.track().reader(Join::NextKeyframe);
    let now = Instant::now();
    let (dts, payload) = (Ticks(0), Bytes::from_static(&[1; 100])); // It is not decoded; its parameters count.
    let parameters = vp8(3840, 2160);
    video.push(Frame { dts, pts: dts, wall: WALL, arrived: now, keyframe: true, parameters, payload });
    assert!(matches!(reader.read_timeout(Duration::from_secs(10)), Some(Read::Ended)));
    assert_eq!(feed.demand(MediaKind::Video, H264).unwrap_err(), Unavailable::Overloaded(Spent(Work::Conversion)));
}

/// The threads of a process and their nice values are in its folder of `/proc`.
#[cfg(target_os = "linux")]
#[test]
fn a_conversion_and_its_encoder_are_nicer_than_media() {
    let (feed, _video) = feed(&Budget::unlimited(), (1920, 1080));
    let own = nice("/proc/thread-self".into()).unwrap();
    let _running = demand(&feed, MediaKind::Video, Codec::H264);
    let found = of_threads("h264-from-vp8");
    assert!(found.len() >= 2, "1080p has two threads that encode, and inherit the name: {found:?}");
    assert!(found.iter().all(|nice| *nice == (own + 10).min(19)), "{found:?}, media has {own}");
}

#[cfg(target_os = "linux")]
fn of_threads(name: &str) -> Vec<i32> {
    let threads = std::fs::read_dir("/proc/self/task").unwrap().map(|thread| thread.unwrap().path());
    let is_named = |thread: &std::path::PathBuf| {
        std::fs::read_to_string(thread.join("comm")).is_ok_and(|found| found.trim() == name)
    };
    threads.filter(is_named).filter_map(nice).collect()
}

/// Returns the nice value of a thread, which is field 19 of its `stat` (proc_pid_stat(5)).
#[cfg(target_os = "linux")]
fn nice(thread: std::path::PathBuf) -> Option<i32> {
    let stat = std::fs::read_to_string(thread.join("stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(16)?.parse().ok()
}
