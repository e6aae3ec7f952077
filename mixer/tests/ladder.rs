//! Tests the rungs of a ladder: one thread and one decoder for all that is made of a track, each rung for as long as it is held.

#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use onmic_media::feed::{Accept, Unavailable};
use onmic_media::{
    Budget, Codec, Demand, Entry, Feed, Frame, Join, Ladder, Read, Rendition, Spent, Track, TrackKey, Work,
};
use onmic_mixer::{Config, Transcoder, price};
use support::{Recording, ffmpeg, from_flv};

const PRESENT: Accept<'_> = Accept { codecs: &[Codec::H264], reordering: false, any_format: false, entry: Entry::Now };

fn ladder() -> Ladder {
    Ladder::new(&["180p:300k", "90p@15:100k"].map(|rung| rung.parse().unwrap())).unwrap()
}

/// Four seconds of 360p with reordered frames and a keyframe each second.
fn recording() -> Recording {
    let arguments = "-f lavfi -i testsrc2=s=640x360:r=30:d=4 -pix_fmt yuv420p -c:v libx264 -preset ultrafast -bf 2 -g 30 -keyint_min 30";
    from_flv(&ffmpeg(arguments, "flv")).0.unwrap()
}

fn feed(config: Config, budget: Arc<Budget>, recording: &Recording) -> (Arc<Transcoder>, Arc<Feed>, Arc<Track>) {
    let config = Config { ladder: ladder(), backlog_max: Duration::from_secs(3600), ..config };
    let transcoder = Transcoder::within(config, budget);
    let feed = Feed::new(Some(transcoder.clone()));
    let input = Arc::new(Track::new(recording.parameters()));
    feed.set_original(input.clone());
    (transcoder, feed, input)
}

/// Reads a track until it ends, or nothing has come for a while.
fn read(demand: &Demand, count: usize) -> Vec<Arc<Frame>> {
    let mut reader = demand.track().reader(Join::At(support::WALL));
    let mut frames = Vec::new();
    while frames.len() < count {
        match reader.read_timeout(Duration::from_secs(20)) {
            Some(Read::Frame(frame)) => frames.push(frame),
            other => panic!("after {} frames: {other:?}", frames.len()),
        }
    }
    frames
}

/// Returns the times of the keyframes, in seconds.
fn keyframes(frames: &[Arc<Frame>]) -> Vec<i64> {
    let seconds = |frame: &Arc<Frame>| (frame.pts.0 as f64 / 90_000.0).round() as i64;
    frames.iter().filter(|frame| frame.keyframe).map(seconds).collect()
}

#[test]
fn one_thread_makes_all_rungs_and_the_plain_conversion_and_each_has_the_keyframes_of_the_input() {
    let recording = recording();
    let (transcoder, feed, input) = feed(Config::default(), Budget::unlimited(), &recording);
    let (first, rest) = recording.frames.split_at(45);
    first.iter().for_each(|frame| input.push(frame.clone()));
    let entry = Entry::AnyTime { group_max: Duration::from_secs(4), history: Duration::from_millis(600) };
    let past = Accept { entry, ..PRESENT };
    let plain = feed.demand(TrackKey::VIDEO, PRESENT).unwrap();
    let high = feed.demand(TrackKey::rung(0), past).unwrap();
    let low = feed.demand(TrackKey::rung(1), past).unwrap();
    assert_eq!(transcoder.running(), 1);
    assert!(plain.is_derived() && high.is_derived());
    let keys = [&plain, &high, &low].map(|demand| demand.track().key().to_string());
    assert_eq!(keys, ["video", "video100", "video101"]);
    // They have begun in the past: with the whole group in which the moment is that was asked for.
    let (begun, begun_low) = (read(&high, 31), read(&low, 16));
    assert_eq!((keyframes(&begun), keyframes(&begun_low)), (vec![0, 1], vec![0, 1]));
    assert_eq!(begun[0].parameters.resolution(), Some((320, 180)));
    assert_eq!(begun_low[0].parameters.resolution(), Some((160, 90)));
    let next = [&high, &low].map(|demand| demand.track().reader(Join::NextKeyframe));
    rest[..30].iter().for_each(|frame| input.push(frame.clone()));
    for mut reader in next {
        let Some(Read::Frame(frame)) = reader.read_timeout(Duration::from_secs(20)) else { panic!("no keyframe came") };
        assert_eq!(keyframes(&[frame]), [2]);
    }
    assert_eq!(read(&plain, 10)[0].parameters.resolution(), Some((640, 360)));
    assert_eq!(transcoder.running(), 1);
}

#[test]
fn each_rung_ends_when_nobody_has_held_it_for_the_linger_and_the_others_go_on() {
    let recording = recording().arriving_at_once();
    let config = Config { linger: Duration::from_millis(1), ..Config::default() };
    let (transcoder, feed, input) = feed(config, Budget::unlimited(), &recording);
    recording.frames[..30].iter().for_each(|frame| input.push(frame.clone()));
    let [high, low] = [0, 1].map(|place| feed.demand(TrackKey::rung(place), PRESENT).unwrap());
    let ended = high.track().clone();
    drop(high);
    let mut reader = ended.reader(Join::At(support::WALL));
    let mut read = || reader.read_timeout(Duration::from_secs(20));
    assert!(std::iter::from_fn(&mut read).any(|read| matches!(read, Read::Ended)));
    assert!(!low.track().is_ended());
    let again = feed.demand(TrackKey::rung(0), PRESENT).unwrap();
    assert_ne!(again.track().id(), ended.id());
    assert_eq!(transcoder.running(), 1);
    drop((again, low));
    let deadline = Instant::now() + Duration::from_secs(20);
    while transcoder.running() > 0 {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
}

#[test]
fn a_rung_holds_its_own_price_and_the_first_that_of_decoding() {
    let recording = recording().arriving_at_once();
    let pixels = 640 * 360 * 30;
    let decoding = price::of_decoding(pixels);
    let high = 320 * 180 * 30;
    // 70 % of it is enough for decoding and the first rung, but not for the second.
    let budget = Budget::new((decoding + high + high / 16) * 10 / 7);
    let (_, feed, input) = feed(Config::default(), budget, &recording);
    input.push(recording.frames[0].clone()); // With more of them, the frame rate is measured.
    let held = feed.demand(TrackKey::rung(0), PRESENT).unwrap();
    let refused = feed.demand(TrackKey::rung(1), PRESENT).unwrap_err();
    assert_eq!(refused, Unavailable::Overloaded(Spent(Work::Rung)));
    assert!(refused.to_string().contains("watch another quality"));
    assert!(!held.track().is_ended());
}

#[test]
fn a_rung_that_the_ladder_does_not_have_is_refused() {
    let recording = recording().arriving_at_once();
    let (_, feed, input) = feed(Config::default(), Budget::unlimited(), &recording);
    input.push(recording.frames[0].clone());
    let key = TrackKey::new(onmic_media::MediaKind::Video, Rendition(102));
    assert_eq!(feed.demand(key, PRESENT).unwrap_err(), Unavailable::NoTrack(key));
}
