//! Tests of tracks that come while their viewers are there.

use std::sync::Arc;

use onmic_media::{Codec, Feed, Frame, MediaKind, Track};

use super::world::{FakeDeriver, World, audio_feed, feed_of, video_feed};
use super::{GOODBYE, MILLI, SECOND, SENDER_REPORT, is_contiguous, ticks, times};
use crate::rtp::tests::fixture;
use crate::sdp;

/// Makes a track for frames like these and adds it to `feed`.
fn comes(feed: &Feed, frames: &[Frame]) -> Arc<Track> {
    let track = Arc::new(Track::new(frames[0].parameters.clone()));
    feed.set_original(track.clone());
    track
}

/// Lets the tasks of this thread do all the work that they can.
async fn let_tasks_run() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn audio_that_comes_later_is_sent_in_the_same_session() {
    let mut world = World::new();
    let (feed, video, frames) = video_feed(world.now, 90);
    let viewers = [MediaKind::Audio; 2].map(|kind| world.watch_and_await(&feed, kind));
    frames[..30].iter().for_each(|frame| world.push(&video, frame));
    let sound = fixture::repeated(Codec::Opus, world.now + 10 * MILLI, 50);
    let audio = comes(&feed, &sound);
    world.command().await;
    let mut both: Vec<_> = frames[30..60].iter().map(|frame| (&video, frame)).collect();
    both.extend(sound.iter().map(|frame| (&audio, frame)));
    both.sort_by_key(|(_, frame)| frame.arrived);
    both.into_iter().for_each(|(track, frame)| world.push(track, frame));

    for viewer in viewers {
        let visitor = &world.visitors[viewer];
        let heard = visitor.of(sdp::MediaKind::Audio);
        assert_eq!(heard.len(), 50, "all audio packets");
        assert!(is_contiguous(&heard) && is_contiguous(&visitor.video()));
        assert_eq!(times(&heard), (0..50).map(|number| number * 960).collect::<Vec<_>>());
        assert_eq!(heard[0].at, sound[0].arrived, "the first packet at once");
        assert_eq!(times(&visitor.video()), ticks(60), "the video goes on");
        let stream = visitor.answer.stream(sdp::MediaKind::Audio).unwrap().ssrc.unwrap();
        assert!(visitor.rtcp.iter().any(|compound| reports(compound, stream)));
    }
    viewers.iter().for_each(|viewer| assert!(world.close(world.visitors[*viewer].id)));
    assert!(world.core.is_empty());
}

/// Returns whether a compound packet holds a sender report of `ssrc`.
fn reports(mut compound: &[u8], ssrc: u32) -> bool {
    while let [_, kind, high, low, rest @ ..] = compound {
        if *kind == SENDER_REPORT && rest.starts_with(&ssrc.to_be_bytes()) {
            return true;
        }
        let length = 4 * (usize::from(u16::from_be_bytes([*high, *low])) + 1);
        compound = compound.get(length..).unwrap_or_default();
    }
    false
}

#[tokio::test]
async fn video_that_comes_later_begins_with_the_keyframe_that_is_there() {
    let mut world = World::new();
    let (feed, audio, sound) = audio_feed(world.now, 10);
    let viewer = world.watch_and_await(&feed, MediaKind::Video);
    sound.iter().for_each(|frame| world.push(&audio, frame));
    let frames = fixture::synthetic(world.now, 40, 30, (6_000, 900));
    let video = comes(&feed, &frames);
    frames[..10].iter().for_each(|frame| world.push(&video, frame));
    assert!(world.visitors[viewer].video().is_empty());
    world.command().await;
    frames[10..].iter().for_each(|frame| world.push(&video, frame));
    let seen = world.visitors[viewer].video();
    assert_eq!(times(&seen).len(), 40);
    assert!(is_contiguous(&seen));
    assert_eq!(world.visitors[viewer].of(sdp::MediaKind::Audio).len(), 10);
}

#[tokio::test]
async fn a_track_that_comes_before_the_viewer_connects_begins_when_it_connects() {
    let mut world = World::new();
    let (feed, video, frames) = video_feed(world.now, 30);
    let viewer = world.try_watch_and_await(&feed, &[MediaKind::Audio]).unwrap();
    let sound = fixture::repeated(Codec::Opus, world.now + SECOND, 5);
    let audio = comes(&feed, &sound);
    world.visitors[viewer].silent = true;
    world.command().await;
    world.visitors[viewer].silent = false;
    frames.iter().for_each(|frame| world.push(&video, frame));
    sound.iter().for_each(|frame| world.push(&audio, frame));
    assert_eq!(world.visitors[viewer].of(sdp::MediaKind::Audio).len(), 5);
}

#[tokio::test]
async fn a_track_that_comes_later_and_cannot_be_sent_is_converted() {
    let mut world = World::new();
    let deriver = Arc::new(FakeDeriver::default());
    let sound = fixture::repeated(Codec::Opus, world.now, 1);
    let (feed, _audio) = feed_of(&sound, Some(deriver.clone()));
    let viewer = world.watch_and_await(&feed, MediaKind::Video);
    comes(&feed, &fixture::repeated(Codec::Vp8, world.now, 1));
    world.command().await;
    let derived = deriver.made.lock()[0].0.clone();
    let frames = fixture::synthetic(world.now, 3, 30, (6_000, 900));
    frames.iter().for_each(|frame| world.push(&derived, frame));
    assert_eq!(times(&world.visitors[viewer].video()).len(), 3);
    assert!(deriver.made.lock()[0].1.is_wanted());
    assert!(world.close(world.visitors[viewer].id));
    assert!(!deriver.made.lock()[0].1.is_wanted() && world.core.is_empty());
}

#[tokio::test]
async fn a_session_goes_on_waiting_after_a_track_that_cannot_be_sent() {
    let mut world = World::new();
    let (feed, audio, sound) = audio_feed(world.now, 20);
    let viewer = world.watch_and_await(&feed, MediaKind::Video);
    let_tasks_run().await;
    comes(&feed, &fixture::repeated(Codec::Vp8, world.now, 1));
    let_tasks_run().await;
    sound.iter().for_each(|frame| world.push(&audio, frame));
    assert_eq!(world.visitors[viewer].of(sdp::MediaKind::Audio).len(), 20);
    assert!(!world.has_command());

    let frames = fixture::synthetic(world.now, 3, 30, (6_000, 900));
    let video = comes(&feed, &frames);
    world.command().await;
    frames.iter().for_each(|frame| world.push(&video, frame));
    assert_eq!(times(&world.visitors[viewer].video()).len(), 3);
}

#[tokio::test]
async fn the_task_that_waits_ends_with_its_last_viewer_or_with_the_feed() {
    let mut world = World::new();
    let (feed, ..) = video_feed(world.now, 1);
    let viewers = [MediaKind::Audio; 2].map(|kind| world.watch_and_await(&feed, kind));
    let_tasks_run().await;
    viewers.iter().for_each(|viewer| assert!(world.close(world.visitors[*viewer].id)));
    let_tasks_run().await;
    assert!(world.core.is_empty());
    assert_eq!(Arc::strong_count(&feed), 1, "the task has ended with the last viewer");

    let viewer = world.watch_and_await(&feed, MediaKind::Audio);
    let_tasks_run().await;
    feed.end();
    world.settle();
    let_tasks_run().await;
    assert!(world.core.is_empty() && !world.visitors[viewer].rtcp.is_empty());
    assert_eq!(Arc::strong_count(&feed), 1);
}

#[tokio::test]
async fn a_track_that_comes_as_the_viewer_leaves_is_released() {
    let mut world = World::new();
    let (feed, ..) = video_feed(world.now, 1);
    let viewer = world.watch_and_await(&feed, MediaKind::Audio);
    comes(&feed, &fixture::repeated(Codec::Opus, world.now, 1));
    while !world.has_command() {
        tokio::task::yield_now().await;
    }
    assert!(world.close(world.visitors[viewer].id));
    world.command().await;
    assert!(world.core.is_empty());
}

#[tokio::test]
async fn viewers_go_on_where_a_track_gives_way_to_another() {
    let mut world = World::new();
    let (feed, video, frames) = video_feed(world.now, 40);
    let sound = fixture::repeated(Codec::Opus, world.now, 10);
    let audio = comes(&feed, &sound);
    let viewer = world.watch_connected(&feed);
    frames[..10].iter().for_each(|frame| world.push(&video, frame));
    sound.iter().for_each(|frame| world.push(&audio, frame));
    // Both kinds change their parameters so that no track can go on: the clock of the audio, say.
    for again in 1..4 {
        let (audio, video) = (comes(&feed, &sound), comes(&feed, &frames));
        world.settle();
        world.command().await;
        world.command().await;
        frames.iter().for_each(|frame| world.push(&video, frame));
        sound.iter().for_each(|frame| world.push(&audio, frame));
        let (seen, heard) = (world.visitors[viewer].video(), world.visitors[viewer].of(sdp::MediaKind::Audio));
        assert_eq!((times(&seen).len(), heard.len()), (10 + 40 * again, 10 + 10 * again));
        assert!(is_contiguous(&seen) && is_contiguous(&heard));
    }
    assert!(!world.visitors[viewer].rtcp_types().contains(&GOODBYE));
    feed.end();
    world.settle();
    assert!(world.visitors[viewer].rtcp_types().contains(&GOODBYE) && world.core.is_empty());
}

#[tokio::test]
async fn viewers_of_a_track_that_is_over_with_nothing_in_its_place_are_closed() {
    let mut world = World::new();
    let (feed, video, frames) = video_feed(world.now, 5);
    world.watch_connected(&feed);
    frames.iter().for_each(|frame| world.push(&video, frame));
    video.end();
    world.settle();
    for _ in 0..4 {
        assert!(!world.core.is_empty(), "the feed may have another track by now");
        world.command().await;
    }
    assert!(world.core.is_empty() && world.load() == 0);
}
