//! Tests that a derived track and its thread live as long as the track is held.

#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use onmic_media::codec::opus;
use onmic_media::feed::{Accept, Unavailable};
use onmic_media::{Codec, Entry, Feed, Join, MediaKind, Parameters, Read, Rendition, Track};
use onmic_mixer::{Config, Transcoder};
use support::demand;

fn transcoder(linger: Duration) -> Arc<Transcoder> {
    Transcoder::new(Config { linger, ..Config::default() })
}

fn feed(transcoder: &Arc<Transcoder>) -> (Arc<Feed>, Arc<Track>) {
    let feed = Feed::new(Some(transcoder.clone()));
    let input = Arc::new(Track::new(Arc::new(Parameters::Opus(opus::Parameters::new(2)))));
    feed.set_original(input.clone());
    (feed, input)
}

/// Waits until the track ends, for ten seconds at most.
fn wait_for_the_end(track: &Track) {
    let mut reader = track.reader(Join::NextKeyframe);
    assert!(matches!(reader.read_timeout(Duration::from_secs(10)), Some(Read::Ended)));
}

/// Waits until all threads have ended, which is a moment after their tracks end.
fn wait_for_threads(transcoder: &Transcoder) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while transcoder.running() > 0 {
        assert!(Instant::now() < deadline, "{} threads left", transcoder.running());
        std::thread::yield_now();
    }
}

#[test]
fn a_track_ends_with_its_last_holder_and_the_next_holder_gets_a_new_one() {
    let transcoder = transcoder(Duration::from_millis(1));
    let (feed, _input) = feed(&transcoder);
    let first = demand(&feed, MediaKind::Audio, Codec::Aac);
    let same = demand(&feed, MediaKind::Audio, Codec::Aac);
    assert_eq!(first.track().id(), same.track().id(), "one thread serves both");
    assert_eq!((transcoder.running(), feed.derived(MediaKind::Audio).len()), (1, 1));
    let track = first.track().clone();
    drop((first, same));
    wait_for_the_end(&track);
    wait_for_threads(&transcoder);
    assert!(feed.derived(MediaKind::Audio).is_empty());
    let again = demand(&feed, MediaKind::Audio, Codec::Aac);
    assert_ne!(again.track().id(), track.id());
    assert_eq!(transcoder.running(), 1);
}

#[test]
fn a_track_derived_from_a_further_rendition_is_that_rendition_in_another_codec() {
    let transcoder = transcoder(Duration::from_secs(3600));
    let (feed, main) = feed(&transcoder);
    let further = Arc::new(Track::with_rendition(Rendition(1), main.parameters()));
    feed.set_original(further.clone());
    let accept = Accept { codecs: &[Codec::Aac], reordering: false, any_format: false, entry: Entry::Now };
    let derived = feed.demand(further.key(), accept).unwrap();
    assert_eq!(derived.track().key(), further.key());
    assert!(feed.derived(main.key()).is_empty());
    assert_eq!(feed.derived(further.key()).len(), 1);
}

#[test]
fn a_holder_that_returns_within_the_linger_gets_the_same_track() {
    let transcoder = transcoder(Duration::from_secs(3600));
    let (feed, _input) = feed(&transcoder);
    let track = demand(&feed, MediaKind::Audio, Codec::Aac).track().clone();
    assert_eq!(demand(&feed, MediaKind::Audio, Codec::Aac).track().id(), track.id());
    assert!(!track.is_ended());
}

#[test]
fn the_end_of_the_input_ends_the_derived_track() {
    let transcoder = transcoder(Duration::from_secs(3600));
    let (feed, _input) = feed(&transcoder);
    let held = demand(&feed, MediaKind::Audio, Codec::Aac);
    feed.end();
    wait_for_the_end(held.track());
    wait_for_threads(&transcoder);
}

#[test]
fn shutdown_waits_for_every_thread_and_refuses_new_tracks() {
    let transcoder = transcoder(Duration::from_secs(3600));
    let (feed, _input) = feed(&transcoder);
    let held = demand(&feed, MediaKind::Audio, Codec::Aac);
    transcoder.shutdown();
    assert!(held.track().is_ended());
    let accept = Accept { codecs: &[Codec::Aac], reordering: false, any_format: false, entry: Entry::Now };
    let refused = feed.demand(MediaKind::Audio, accept).err();
    assert!(matches!(refused, Some(Unavailable::Failed { codec: Codec::Opus, .. })), "{refused:?}");
}

#[test]
fn a_codec_that_cannot_be_opened_is_reported_in_a_sentence() {
    let transcoder = transcoder(Duration::ZERO);
    let feed = Feed::new(Some(transcoder));
    // There is only a configuration record, which does not state the size.
    let vp9 = onmic_media::codec::vp9::Parameters::from_vpcc(&[0, 10, 0x82, 2, 2, 2, 0, 0]).unwrap();
    feed.set_original(Arc::new(Track::new(Arc::new(Parameters::Vp9(vp9)))));
    let accept = Accept { codecs: &[Codec::H264], reordering: false, any_format: false, entry: Entry::Now };
    let Err(Unavailable::Failed { sentence, .. }) = feed.demand(MediaKind::Video, accept) else { panic!("opened") };
    assert!(sentence.contains("keyframe"), "{sentence}");
}
