//! Tests of the level that a viewer gets: by hand, one stream, and nothing left behind.

use std::sync::Arc;
use std::time::Duration;

use onmic_media::feed::Unavailable;
use onmic_media::{Codec, Feed, Frame, MediaKind, Rendition, Spent, Track, TrackKey, Work};
use tokio::sync::oneshot;

use super::super::Command;
use super::world::{Got, World};
use super::{MILLI, SECOND, is_contiguous};
use crate::level::{ChoiceRefused, Observed, Pick, Refusal, Wish};
use crate::rtp::tests::fixture;

const LOWER: TrackKey = TrackKey::new(MediaKind::Video, Rendition(1));
/// The bytes of a frame that is no keyframe, in each level.
const BYTES: [usize; 2] = [900, 300];

/// A feed with two levels, whose frames come at the same times.
struct Levels {
    feed: Arc<Feed>,
    tracks: [Arc<Track>; 2],
    frames: [Vec<Frame>; 2],
    next: usize,
}

impl Levels {
    fn new(world: &World, count: usize, group: usize) -> Self {
        let frames = BYTES.map(|bytes| fixture::synthetic(world.now, count, group, (6 * bytes, bytes)));
        let parameters = frames[0][0].parameters.clone();
        let tracks =
            [Arc::new(Track::new(parameters.clone())), Arc::new(Track::with_rendition(Rendition(1), parameters))];
        let feed = Feed::new(None);
        tracks.iter().for_each(|track| assert!(feed.set_original(track.clone())));
        feed.settle();
        Self { feed, tracks, frames, next: 0 }
    }

    fn push(&mut self, world: &mut World, count: usize) {
        for index in self.next..self.next + count {
            for (track, frames) in self.tracks.iter().zip(&self.frames) {
                world.push(track, &frames[index]);
            }
        }
        self.next += count;
    }
}

fn choose(world: &mut World, viewer: usize, wish: Wish) -> Result<(), ChoiceRefused> {
    let (reply, mut answer) = oneshot::channel();
    let id = world.visitors[viewer].id;
    world.tell(Command::Choose { id, mid: Some("0".into()), wish, reply });
    answer.try_recv().unwrap()
}

fn observe(world: &mut World, viewer: usize) -> Result<Observed, ChoiceRefused> {
    let (reply, mut answer) = oneshot::channel();
    let id = world.visitors[viewer].id;
    world.tell(Command::Observe { id, reply });
    answer.try_recv().unwrap()
}

fn pinned(pick: Pick) -> Wish {
    Wish { pinned: Some(pick), ..Wish::default() }
}

/// Asserts that the packets are one stream: no hole, and no time that goes back.
fn assert_one_stream(video: &[Got]) {
    assert!(is_contiguous(video));
    for pair in video.windows(2) {
        let step = pair[1].timestamp.wrapping_sub(pair[0].timestamp) as i32;
        assert!(step >= 0 && (step > 0) == pair[0].marker, "a step of {step}");
        assert!(pair[1].at - pair[0].at < MILLI * 200);
    }
}

/// Returns whether the last packet is of the lower level.
fn is_lower(video: &[Got]) -> bool {
    video.last().unwrap().payload.len() < 600
}

#[tokio::test(start_paused = true)]
async fn a_viewer_changes_its_level_by_hand_in_one_stream_and_leaves_nothing_behind() {
    let mut world = World::new();
    let mut levels = Levels::new(&world, 400, 30);
    levels.push(&mut world, 40);
    let viewer = world.watch_connected(&levels.feed);
    let shown = observe(&mut world, viewer).unwrap().shown;
    levels.push(&mut world, 20);
    for (pick, lower) in [(LOWER, true), (TrackKey::VIDEO, false), (LOWER, true)] {
        choose(&mut world, viewer, pinned(Pick::Level(pick))).unwrap();
        world.command().await;
        levels.push(&mut world, 45); // There is a keyframe each second.
        let video = world.visitors[viewer].video();
        assert_eq!(is_lower(&video), lower, "{pick}");
        assert_one_stream(&video);
        assert_eq!(shown.borrow().current, Pick::Level(pick));
        assert_eq!(shown.borrow().pinned, Some(Pick::Level(pick)));
    }
    // The level before is kept for a second, and no longer.
    choose(&mut world, viewer, pinned(Pick::Level(TrackKey::VIDEO))).unwrap();
    world.command().await;
    levels.push(&mut world, 35);
    assert_eq!(world.core.tracks_read(), 2);
    levels.push(&mut world, 32);
    assert_eq!(world.core.tracks_read(), 1);
    assert!(world.close(world.visitors[viewer].id));
    assert!(world.core.is_empty() && shown.has_changed().is_err());
}

#[tokio::test(start_paused = true)]
async fn packets_of_the_level_before_are_repeated_after_the_change() {
    let mut world = World::new();
    let mut levels = Levels::new(&world, 200, 30);
    let viewer = world.watch_connected(&levels.feed);
    levels.push(&mut world, 40);
    choose(&mut world, viewer, pinned(Pick::Level(LOWER))).unwrap();
    world.command().await;
    // The last frame of the level before is lost, and is asked for once the next level has begun.
    levels.push(&mut world, 19);
    let last = world.visitors[viewer].video().last().unwrap().clone();
    levels.push(&mut world, 4);
    assert!(is_lower(&world.visitors[viewer].video()));
    world.run_for(MILLI * 30);
    let before = world.visitors[viewer].rtp.len();
    let mut nack = vec![0x81, 205, 0, 3, 0, 0, 0, 1];
    nack.extend(last.ssrc.to_be_bytes());
    nack.extend(last.sequence.to_be_bytes());
    nack.extend([0, 0]);
    world.rtcp(viewer, &nack);
    let again = world.visitors[viewer].rtp[before..].to_vec();
    assert_eq!(again.len(), 1);
    assert_eq!((&again[0].payload[..2], &again[0].payload[2..]), (&last.sequence.to_be_bytes()[..], &last.payload[..]));
}

#[tokio::test(start_paused = true)]
async fn a_viewer_without_video_goes_on_with_a_keyframe() {
    let mut world = World::new();
    let mut levels = Levels::new(&world, 300, 30);
    let viewer = world.watch_connected(&levels.feed);
    levels.push(&mut world, 40);
    choose(&mut world, viewer, pinned(Pick::AudioOnly)).unwrap();
    let before = world.visitors[viewer].video().len();
    levels.push(&mut world, 60);
    assert_eq!(world.visitors[viewer].video().len(), before);
    choose(&mut world, viewer, Wish::default()).unwrap();
    levels.push(&mut world, 60);
    let video = world.visitors[viewer].video();
    assert!(video.len() > before + 30 && is_contiguous(&video) && !is_lower(&video));
    assert!(world.close(world.visitors[viewer].id));
    assert!(world.core.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_viewer_of_audio_alone_gives_its_video_back_and_takes_it_again() {
    let mut world = World::new();
    let mut levels = Levels::new(&world, 400, 30);
    let sound = fixture::repeated(Codec::Opus, world.now, 1);
    assert!(levels.feed.set_original(Arc::new(Track::new(sound[0].parameters.clone()))));
    let viewer = world.watch_connected(&levels.feed);
    levels.push(&mut world, 40);
    assert_eq!(world.core.tracks_read(), 2);
    for (wish, key) in [(Wish::default(), TrackKey::VIDEO), (pinned(Pick::Level(LOWER)), LOWER)] {
        choose(&mut world, viewer, pinned(Pick::AudioOnly)).unwrap();
        assert_eq!(world.core.tracks_read(), 1, "nobody watches the video");
        let before = world.visitors[viewer].video().len();
        levels.push(&mut world, 60);
        assert_eq!(world.visitors[viewer].video().len(), before);
        choose(&mut world, viewer, wish).unwrap();
        world.command().await;
        levels.push(&mut world, 45);
        let video = world.visitors[viewer].video();
        assert!(video.len() > before + 30 && is_contiguous(&video));
        assert_one_stream(&video[before..]);
        assert_eq!((is_lower(&video), world.core.tracks_read()), (key == LOWER, 2));
    }
    assert!(world.close(world.visitors[viewer].id));
    assert!(world.core.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_viewer_of_audio_alone_from_before_its_connection_can_have_video() {
    let mut world = World::new();
    let mut levels = Levels::new(&world, 400, 30);
    let sound = fixture::repeated(Codec::Opus, world.now, 1);
    assert!(levels.feed.set_original(Arc::new(Track::new(sound[0].parameters.clone()))));
    levels.push(&mut world, 10);
    let viewer = world.watch(&levels.feed);
    choose(&mut world, viewer, pinned(Pick::AudioOnly)).unwrap();
    world.run_for(SECOND);
    assert!(world.visitors[viewer].connected.is_some());
    levels.push(&mut world, 40);
    assert!(world.visitors[viewer].video().is_empty());
    choose(&mut world, viewer, Wish::default()).unwrap();
    world.command().await;
    levels.push(&mut world, 60);
    let video = world.visitors[viewer].video();
    assert!(!video.is_empty());
    assert_one_stream(&video);
}

#[tokio::test(start_paused = true)]
async fn a_viewer_whose_level_is_refused_stays_and_is_told_why() {
    let mut world = World::new();
    let mut levels = Levels::new(&world, 400, 30);
    let viewer = world.watch_connected(&levels.feed);
    let shown = observe(&mut world, viewer).unwrap().shown;
    levels.push(&mut world, 40);
    choose(&mut world, viewer, pinned(Pick::Level(LOWER))).unwrap();
    let id = world.visitors[viewer].id;
    let spent = Unavailable::Overloaded(Spent(Work::SpareConversion));
    world.tell(Command::Level { id, key: LOWER, demand: Err(spent) });
    let told = *shown.borrow();
    assert_eq!(told.refused, Some((LOWER, Refusal::OverBudget)));
    assert_eq!((told.current, told.pinned), (Pick::Level(TrackKey::VIDEO), Some(Pick::Level(LOWER))));
    world.command().await; // What the feed says was not waited for any more.
    levels.push(&mut world, 45);
    let video = world.visitors[viewer].video();
    assert!(!is_lower(&video));
    assert_one_stream(&video);
    // It is tried again when it is asked for again.
    choose(&mut world, viewer, pinned(Pick::Level(LOWER))).unwrap();
    assert_eq!(shown.borrow().refused, None);
    world.command().await;
    levels.push(&mut world, 45);
    assert!(is_lower(&world.visitors[viewer].video()));
    assert_eq!(shown.borrow().current, Pick::Level(LOWER));
}

#[tokio::test(start_paused = true)]
async fn a_level_that_ends_is_followed_by_the_main_one_and_one_that_is_waited_for_is_forgotten() {
    let mut world = World::new();
    let mut levels = Levels::new(&world, 300, 300); // One keyframe, and then none for long.
    let viewer = world.watch_connected(&levels.feed);
    levels.push(&mut world, 40);
    choose(&mut world, viewer, pinned(Pick::Level(LOWER))).unwrap();
    world.command().await;
    levels.push(&mut world, 10);
    assert!(!is_lower(&world.visitors[viewer].video()), "there is no keyframe yet");
    assert!(levels.tracks[1].take_keyframe_wanted(), "one was asked for");
    levels.feed.remove_original(LOWER);
    world.settle();
    let count = world.visitors[viewer].video().len();
    world.push(&levels.tracks[0], &levels.frames[0][50].clone());
    assert!(world.visitors[viewer].video().len() > count, "the level before goes on");

    let mut levels = Levels::new(&world, 300, 30);
    let viewer = world.watch_connected(&levels.feed);
    levels.push(&mut world, 40);
    choose(&mut world, viewer, pinned(Pick::Level(LOWER))).unwrap();
    world.command().await;
    levels.push(&mut world, 45);
    assert!(is_lower(&world.visitors[viewer].video()));
    levels.feed.remove_original(LOWER);
    world.settle();
    world.command().await;
    for index in levels.next..levels.next + 60 {
        world.push(&levels.tracks[0], &levels.frames[0][index].clone());
    }
    let video = world.visitors[viewer].video();
    assert!(!is_lower(&video) && is_contiguous(&video));
    for visitor in 0..world.visitors.len() {
        assert!(world.close(world.visitors[visitor].id));
    }
    assert!(world.core.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_rendition_that_ends_ends_the_session_that_has_the_main_one_in_another_section() {
    let mut world = World::new();
    let mut levels = Levels::new(&world, 200, 30);
    let both = world.watch_in_sections(&levels.feed, &[TrackKey::VIDEO, LOWER]);
    let main = world.watch_connected(&levels.feed);
    levels.push(&mut world, 40);
    assert_eq!(world.core.tracks_read(), 2);
    levels.feed.remove_original(LOWER);
    world.settle();
    world.command().await;
    assert!(!world.close(world.visitors[both].id), "it has ended");
    let count = world.visitors[main].video().len();
    world.push(&levels.tracks[0], &levels.frames[0][40].clone());
    assert!(world.visitors[main].video().len() > count, "the others play on");
    levels.feed.end();
    world.settle();
    assert!(world.core.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_viewer_whose_level_ends_is_shown_little_of_an_old_group_of_the_main_one() {
    let mut world = World::new();
    let mut levels = Levels::new(&world, 400, 300);
    levels.frames[1] = fixture::synthetic(world.now, 400, 30, (6 * BYTES[1], BYTES[1]));
    let viewer = world.watch_connected(&levels.feed);
    levels.push(&mut world, 10);
    choose(&mut world, viewer, pinned(Pick::Level(LOWER))).unwrap();
    world.command().await;
    levels.push(&mut world, 230);
    assert!(is_lower(&world.visitors[viewer].video()));
    let before = world.visitors[viewer].video().len();
    levels.feed.remove_original(LOWER);
    world.settle();
    world.command().await;
    let burst = world.visitors[viewer].video().len() - before;
    assert!(burst < 30, "{burst} packets of a group of 8 s at once");
    assert!(levels.tracks[0].take_keyframe_wanted(), "a newer keyframe is asked for");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_chosen_is_refused_and_too_many_do_not_observe() {
    let mut world = World::new();
    let mut levels = Levels::new(&world, 100, 30);
    let viewer = world.watch_connected(&levels.feed);
    levels.push(&mut world, 40);
    let unknown = Pick::Level(TrackKey::new(MediaKind::Video, Rendition(7)));
    let have = vec!["video".to_owned(), "video1".to_owned()];
    assert_eq!(choose(&mut world, viewer, pinned(unknown)), Err(ChoiceRefused::NoLevel(unknown, have)));
    let (reply, mut answer) = oneshot::channel();
    let id = world.visitors[viewer].id;
    world.tell(Command::Choose { id, mid: Some("7".into()), wish: Wish::default(), reply });
    assert_eq!(answer.try_recv().unwrap(), Err(ChoiceRefused::NoSection("7".into(), "0".into())));
    let (reply, mut answer) = oneshot::channel();
    world.tell(Command::Observe { id: crate::session::SessionId::random(0), reply });
    assert_eq!(answer.try_recv().unwrap().unwrap_err(), ChoiceRefused::NoSession);
    let mut observers: Vec<_> = (0..4).map(|_| observe(&mut world, viewer).unwrap()).collect();
    assert_eq!(observe(&mut world, viewer).unwrap_err(), ChoiceRefused::Observed);
    observers.pop();
    assert_eq!(observe(&mut world, viewer).unwrap().levels(world.now).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_viewer_that_loses_half_of_its_packets_gets_the_lower_level_by_itself() {
    let mut world = World::new();
    let mut levels = Levels::new(&world, 400, 30);
    let viewer = world.watch_connected(&levels.feed);
    let ssrc = world.visitors[viewer].answer.stream(crate::sdp::MediaKind::Video).unwrap().ssrc.unwrap();
    let (mut highest, mut lost) = (0_u32, 0_u32);
    for _ in 0..8 {
        levels.push(&mut world, 30);
        (highest, lost) = (highest + 60, lost + 36);
        let mut report = vec![0x81, 201, 0, 7, 0, 0, 0, 1];
        report.extend(ssrc.to_be_bytes());
        report.extend((lost | 150 << 24).to_be_bytes());
        report.extend(highest.to_be_bytes());
        report.extend([0; 12]);
        world.rtcp(viewer, &report);
        tokio::time::sleep(Duration::from_millis(1)).await; // The feed is asked on another task.
        while world.has_command() {
            world.command().await;
        }
    }
    let video = world.visitors[viewer].video();
    assert!(is_lower(&video) && is_contiguous(&video));
    world.run_for(SECOND);
}
