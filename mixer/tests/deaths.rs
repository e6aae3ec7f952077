//! Tests what a panic on the thread of a conversion costs: its track, until a viewer asks again. `stage/tests/deaths.rs` does the same
//! for the threads of a mix.

#![allow(clippy::unwrap_used)]

#[path = "support/faults.rs"]
mod faults;
mod support;

use std::sync::Arc;
use std::time::Duration;

use faults::Faults;
use onmic_media::feed::{Accept, Unavailable};
use onmic_media::{Codec, Entry, Feed, Join, MediaKind, Read, Track};
use onmic_mixer::{Config, Transcoder};
use support::{demand, ffmpeg, from_flv, next};

/// The thread that makes H.264 of H.264.
const THREAD: &str = "h264-from-h264";

/// Waits for the end of a track. Returns whether it has come.
fn ends(track: &Track) -> bool {
    let mut reader = track.reader(Join::NextKeyframe);
    let mut read = || reader.read_timeout(Duration::from_secs(20));
    std::iter::from_fn(&mut read).any(|read| matches!(read, Read::Ended))
}

#[test]
fn a_conversion_that_panics_begins_again_behind_the_fault_and_a_second_time_not_at_once() {
    let _turn = Faults::begin();
    let arguments =
        "-f lavfi -i testsrc2=s=320x180:r=30:d=6 -pix_fmt yuv420p -c:v libx264 -preset ultrafast -bf 2 -g 60";
    let recording = from_flv(&ffmpeg(arguments, "flv")).0.unwrap().arriving_at_once();
    let feed = Feed::new(Some(Transcoder::new(Config { backlog_max: Duration::from_secs(3600), ..Config::default() })));
    let input = Arc::new(Track::new(recording.parameters()));
    feed.set_original(input.clone());
    let (first, rest) = recording.frames.split_at(30);
    first.iter().for_each(|frame| input.push(frame.clone()));

    Faults::plan(THREAD, "transcode_h264", 1);
    let died = demand(&feed, MediaKind::Video, Codec::H264);
    assert!(ends(died.track()), "viewers are told that the track has ended");
    assert_eq!(Faults::deaths(THREAD), 1);

    let again = demand(&feed, MediaKind::Video, Codec::H264);
    rest.iter().for_each(|frame| input.push(frame.clone()));
    let mut reader = again.track().reader(Join::Group);
    assert!(
        next(&mut reader).pts > first.iter().map(|frame| frame.pts).max().unwrap(),
        "none of the frames that were there"
    );

    Faults::plan(THREAD, "transcode_h264", 1);
    input.push(rest[0].clone());
    assert!(ends(again.track()));
    Faults::forget();
    let accept = Accept { codecs: &[Codec::H264], reordering: false, any_format: false, entry: Entry::Now };
    let refused = feed.demand(MediaKind::Video, accept).err();
    let Some(Unavailable::Failed { sentence, .. }) = refused else { panic!("{refused:?}") };
    assert!(sentence.contains("the conversion failed; try again in"), "{sentence}");
    assert_eq!(Faults::deaths(THREAD), 2);
}

#[test]
fn a_conversion_that_panics_while_it_opens_is_begun_again_for_the_same_viewer_and_a_second_time_not_at_once() {
    let _turn = Faults::begin();
    let arguments = "-f lavfi -i testsrc2=s=320x180:r=30:d=1 -pix_fmt yuv420p -c:v libx264 -preset ultrafast -bf 2";
    let recording = from_flv(&ffmpeg(arguments, "flv")).0.unwrap().arriving_at_once();
    let feed = || {
        let feed = Feed::new(Some(Transcoder::new(Config::default())));
        let input = Arc::new(Track::new(recording.parameters()));
        feed.set_original(input.clone());
        recording.frames.iter().for_each(|frame| input.push(frame.clone()));
        feed
    };
    let accept = Accept { codecs: &[Codec::H264], reordering: false, any_format: false, entry: Entry::Now };
    const OPENED: &str = "h264"; // The label of the gauge of derived tracks.
    Faults::plan(THREAD, OPENED, 1);
    let first = feed();
    assert!(first.demand(MediaKind::Video, accept).is_ok_and(|demand| demand.is_derived()));
    assert_eq!(Faults::deaths(THREAD), 1);

    Faults::plan(THREAD, OPENED, u32::MAX);
    let second = feed();
    let refused = second.demand(MediaKind::Video, accept).err();
    Faults::forget();
    let Some(Unavailable::Failed { again: Some(again), .. }) = refused else { panic!("{refused:?}") };
    assert!((50..=60).contains(&again.as_secs()), "{again:?}");
    assert_eq!(Faults::deaths(THREAD), 3);
}
