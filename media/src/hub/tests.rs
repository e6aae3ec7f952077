//! Tests of who may publish, what a source keeps, and who hears of it.

use std::future::Future;
use std::task::{Context, Waker};
use std::time::SystemTime;

use super::*;
use crate::ended::TakenOver;
use crate::feed::FeedStage;
use crate::gate::Admission;
use crate::key::{MediaKind, Rendition, TrackKey};
use crate::publication::Arrival;
use crate::ring::{Join, Read};
use crate::testing::{audio, video};
use crate::time::Ticks;
use crate::track::Track;

fn hub(start: Instant) -> Arc<Hub> {
    Hub::new(NodeClock::new(start, SystemTime::UNIX_EPOCH), HubLimits { sources: 2, ..HubLimits::default() }, None)
}

fn key() -> SourceName {
    "demo".parse().unwrap()
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn arrival(dts: i64, keyframe: bool) -> Arrival {
    let payload = bytes::Bytes::from_static(b"frame");
    Arrival { rendition: Rendition::MAIN, dts: Ticks(dts), pts: Ticks(dts), keyframe, parameters: video(), payload }
}

fn video_of(hub: &Hub) -> Arc<Track> {
    hub.program(&key().room).unwrap().original(MediaKind::Video).unwrap()
}

#[test]
fn the_person_of_a_source_is_that_of_its_last_admitted_publisher() {
    let start = Instant::now();
    let hub = hub(start);
    let person = |id: &str| Admission { person: Some(id.parse().unwrap()), ..Admission::default() };
    let who = || hub.source(&key()).unwrap().person().map(|person| person.to_string());
    let first = hub.publish(&key(), person("mia").by(Protocol::Rtmp), start).unwrap();
    hub.publish(&key(), person("ben").by(Protocol::Whip), start).unwrap_err();
    assert_eq!(who().as_deref(), Some("mia"));
    drop(first);
    let second = hub.publish(&key(), person("ben").by(Protocol::Whip), start).unwrap();
    assert_eq!(who().as_deref(), Some("ben"), "the person who continues the source is its publisher");
    drop(second);
    let _third = hub.publish(&key(), Protocol::Rtmp, start).unwrap();
    assert_eq!(who(), None);
}

#[test]
fn a_second_publisher_is_refused_until_the_first_is_silent_for_the_grace_period() {
    let start = Instant::now();
    let hub = hub(start);
    let mut first = hub.publish(&key(), Protocol::Rtmp, start).unwrap();
    first.push(arrival(0, true), start + secs(5)).unwrap();
    let refused = hub.publish(&key(), Protocol::Whip, start + secs(15)).unwrap_err();
    assert_eq!(refused, PublishRefused::Busy(key()));
    assert_eq!(hub.may_publish(&key(), Protocol::Whip, start + secs(15)), Err(refused));
    assert!(hub.may_publish(&key(), Protocol::Whip, start + secs(16)).is_ok() && first.is_current());
    hub.publish(&key(), Protocol::Whip, start + secs(16)).unwrap();
    assert_eq!(first.push(arrival(90_000, true), start + secs(17)), Err(TakenOver.into()));
}

#[test]
fn an_offer_whose_publisher_has_not_connected_gives_way_to_one_that_is_there_and_soon_to_another_offer() {
    let start = Instant::now();
    let hub = hub(start);
    let milli = |millis| start + Duration::from_millis(millis);
    let first = hub.publish(&key(), Protocol::Whip, start).unwrap();
    hub.publish(&key(), Protocol::Whip, milli(2_500)).unwrap_err();
    let second = hub.publish(&key(), Protocol::Whip, milli(2_501)).unwrap();
    assert!(!first.is_current());
    let third = hub.publish(&key(), Protocol::Rtmp, milli(2_502)).unwrap();
    assert!(!second.is_current());
    drop(third);
    let mut fourth = hub.publish(&key(), Protocol::Whip, milli(9_000)).unwrap();
    fourth.arrived(milli(9_100));
    fourth.push(arrival(0, true), milli(9_200)).unwrap();
    for other in [Protocol::Rtmp, Protocol::Whip] {
        hub.publish(&key(), other, milli(19_000)).unwrap_err(); // One that has sent something has the grace period.
    }
    fourth.push(arrival(90_000, true), milli(19_001)).unwrap();
    hub.publish(&key(), Protocol::Rtmp, milli(29_000)).unwrap_err();
}

#[test]
fn a_publisher_that_has_sent_nothing_holds_its_name_until_another_comes_by_whatever_protocol() {
    let start = Instant::now();
    let hub = hub(start);
    let milli = |millis| start + Duration::from_millis(millis);
    let silent = hub.publish(&key(), Protocol::Rtmp, start).unwrap();
    hub.publish(&key(), Protocol::Whip, milli(2_500)).unwrap_err(); // An offer is a letter. It comes again.
    let next = hub.publish(&key(), Protocol::Rtmp, milli(100)).unwrap();
    assert!(!silent.is_current() && next.is_current());
    let mut by_whip = hub.publish(&key(), Protocol::Whip, milli(2_601)).unwrap();
    by_whip.arrived(milli(2_700));
    let mut last = hub.publish(&key(), Protocol::Rtmp, milli(2_800)).unwrap();
    assert!(!by_whip.is_current(), "it was connected, and sent nothing");
    last.push(arrival(0, true), milli(2_900)).unwrap();
    hub.publish(&key(), Protocol::Rtmp, milli(3_000)).unwrap_err();
}

#[test]
fn a_publisher_that_is_sent_away_is_told_and_its_name_is_free() {
    let start = Instant::now();
    let hub = hub(start);
    let mut first = hub.publish(&key(), Protocol::Rtmp, start).unwrap();
    first.push(arrival(0, true), start).unwrap();
    let program = hub.program(&key().room).unwrap();
    assert!(hub.revoke(&key()) && !hub.revoke(&key()));
    assert_eq!(first.push(arrival(90_000, true), start), Err(TakenOver.into()));
    assert_eq!(program.stage(), FeedStage::Ended);
    let second = hub.publish(&key(), Protocol::Rtmp, start).unwrap();
    drop(first);
    assert!(second.is_current() && second.source().is_connected());
}

#[tokio::test]
async fn a_silent_publisher_is_told_that_it_was_taken_over() {
    let start = Instant::now();
    let hub = hub(start);
    let first = hub.publish(&key(), Protocol::Rtmp, start).unwrap();
    let mut told = std::pin::pin!(first.taken_over());
    assert!(told.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert!(first.is_current());
    let second = hub.publish(&key(), Protocol::Whip, start + secs(11)).unwrap();
    assert!(!first.is_current() && second.is_current());
    assert_eq!(told.await, TakenOver);
    drop(second);
    assert!(!first.is_current(), "once lost, never regained");
}

#[test]
fn a_reconnect_within_the_grace_period_continues_the_same_track_and_timeline() {
    let start = Instant::now();
    let hub = hub(start);
    let mut first = hub.publish(&key(), Protocol::Rtmp, start).unwrap();
    first.push(arrival(900_000, true), start).unwrap();
    let track = video_of(&hub);
    let mut reader = track.reader(Join::Group);
    drop(first);
    hub.expire(start + secs(9));
    let mut second = hub.publish(&key(), Protocol::Rtmp, start + secs(9)).unwrap();
    second.push(arrival(0, true), start + secs(9)).unwrap();
    assert_eq!(video_of(&hub).id(), track.id());
    let (Some(Read::Frame(before)), Some(Read::Frame(after))) = (reader.try_read(), reader.try_read()) else {
        panic!("two frames")
    };
    assert_eq!(after.dts - before.dts, Ticks(9 * 90_000));
    assert_eq!(after.wall.micros_since(before.wall), 9_000_000);
}

#[test]
fn after_the_grace_period_the_source_ends() {
    let start = Instant::now();
    let hub = hub(start);
    let mut publication = hub.publish(&key(), Protocol::Rtmp, start).unwrap();
    publication.push(arrival(0, true), start).unwrap();
    let feed = hub.program(&key().room).unwrap();
    drop(publication);
    hub.expire(start + secs(11));
    assert_eq!(feed.stage(), FeedStage::Ended);
    assert!(hub.program(&key().room).is_none());
}

#[test]
fn a_source_without_a_frame_ends_with_its_publisher() {
    let start = Instant::now();
    let hub = hub(start);
    drop(hub.publish(&key(), Protocol::Rtmp, start).unwrap());
    hub.expire(start);
    assert!(hub.sources().is_empty());
}

#[test]
fn a_full_hub_refuses_only_new_names() {
    let start = Instant::now();
    let hub = hub(start);
    let held: Vec<_> =
        ["a", "b"].map(|room| hub.publish(&room.parse().unwrap(), Protocol::Rtmp, start).unwrap()).into();
    assert_eq!(hub.publish(&key(), Protocol::Rtmp, start).unwrap_err(), PublishRefused::Full(2));
    drop(held);
    hub.publish(&"a".parse().unwrap(), Protocol::Rtmp, start).unwrap();
}

#[test]
fn an_expired_and_a_revoked_source_make_room_for_others() {
    let start = Instant::now();
    let hub = hub(start);
    let publish = |name: &str| hub.publish(&name.parse().unwrap(), Protocol::Rtmp, start);
    drop((publish("a").unwrap(), publish("b/anna").unwrap()));
    assert!(hub.revoke(&"b/anna".parse().unwrap()));
    let held = (publish("b").unwrap(), publish("c").unwrap_err());
    assert_eq!(held.1, PublishRefused::Full(2));
    hub.expire(start);
    publish("c").unwrap();
    assert_eq!(hub.rooms().len(), 2);
}

#[test]
fn a_room_lists_its_own_sources_and_feeds_only() {
    let start = Instant::now();
    let hub = Hub::new(NodeClock::new(start, SystemTime::UNIX_EPOCH), HubLimits::default(), None);
    let names = ["demo/ben", "other/anna", "demo/anna", "demo"];
    let held = names.map(|name| hub.publish(&name.parse().unwrap(), Protocol::Whip, start).unwrap());
    let listed = |sources: &[Arc<Source>]| sources.iter().map(|source| source.name().to_string()).collect::<Vec<_>>();
    let demo = key().room;
    assert_eq!(listed(&hub.sources_of(&demo)), ["demo/anna", "demo/ben", "demo/host"]);
    assert_eq!(listed(&hub.sources()), ["demo/anna", "demo/ben", "demo/host", "other/anna"]);
    assert_eq!((hub.feeds_of(&demo).len(), hub.feeds().len()), (3 + 1, 4 + 2));
    drop(held);
    hub.expire(start);
    assert!(hub.sources_of(&demo).is_empty() && hub.feeds_of(&demo).is_empty());
}

/// The rooms that `changed` returns without waiting.
fn read(changed: &mut ChangedRooms) -> Vec<String> {
    let mut next = std::pin::pin!(changed.next());
    match next.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        std::task::Poll::Ready(rooms) => rooms.iter().map(ToString::to_string).collect(),
        std::task::Poll::Pending => Vec::new(),
    }
}

#[test]
fn a_reader_is_told_of_the_rooms_in_which_sources_have_changed() {
    let start = Instant::now();
    let hub = Hub::new(NodeClock::new(start, SystemTime::UNIX_EPOCH), HubLimits::default(), None);
    let publish = |name: &str| hub.publish(&name.parse().unwrap(), Protocol::Whip, start).unwrap();
    let (mut first, _second) = (publish("a"), publish("b"));
    let mut changed = hub.changed_rooms();
    assert_eq!(read(&mut changed), ["a", "b"], "those that were there before the reader");
    assert!(read(&mut changed).is_empty());
    first.expect([TrackKey::VIDEO]);
    first.push(arrival(0, true), start).unwrap();
    assert_eq!(read(&mut changed), ["a"], "all its tracks are known");
    first.push(arrival(90_000, true), start).unwrap();
    assert!(read(&mut changed).is_empty(), "a further frame changes nothing");
    drop((first, publish("c/anna")));
    assert_eq!(read(&mut changed), ["a", "c"], "two have lost their publisher");
    hub.expire(start + secs(11));
    assert_eq!(read(&mut changed), ["a", "c"], "two have ended");
    hub.revoke(&"b".parse().unwrap());
    assert_eq!(read(&mut changed), ["b"]);
    let _again = publish("a");
    hub.end_all();
    assert_eq!(read(&mut changed), ["a"]);
}

#[tokio::test]
async fn a_reader_that_waits_for_changes_is_woken() {
    let start = Instant::now();
    let hub = hub(start);
    let mut changed = hub.changed_rooms();
    let waiting = tokio::spawn(async move { changed.next().await });
    tokio::task::yield_now().await;
    let _publication = hub.publish(&key(), Protocol::Rtmp, start).unwrap();
    assert_eq!(waiting.await.unwrap(), [key().room].into());
}

#[test]
fn a_publisher_brings_several_renditions_up_to_a_cap() {
    let start = Instant::now();
    let hub = hub(start);
    let mut publication = hub.publish(&key(), Protocol::Whip, start).unwrap();
    for rendition in (0..Rendition::FIRST_RUNG.0).rev() {
        publication.push(Arrival { rendition: Rendition(rendition), ..arrival(0, true) }, start).unwrap();
    }
    let feed = publication.source().feed().clone();
    assert_eq!(feed.keys().len(), crate::key::TRACKS_MAX - 1, "the main audio still has room");
    assert_eq!(feed.keys()[..2], [TrackKey::VIDEO, TrackKey::new(MediaKind::Video, Rendition(86))]);
    assert_eq!(hub.program(&key().room).unwrap().keys(), feed.keys());
    feed.originals()[1].want_keyframe();
    assert!(publication.take_keyframe_wanted() && !publication.take_keyframe_wanted());
}

#[test]
fn a_rendition_that_the_next_publisher_does_not_bring_ends() {
    let start = Instant::now();
    let hub = hub(start);
    let mut first = hub.publish(&key(), Protocol::Whip, start).unwrap();
    for rendition in [0, 1, 2] {
        first.push(Arrival { rendition: Rendition(rendition), ..arrival(0, true) }, start).unwrap();
    }
    let program = hub.program(&key().room).unwrap();
    let tracks = program.originals();
    drop(first);
    let mut second = hub.publish(&key(), Protocol::Whip, start + secs(2)).unwrap();
    for (number, rendition) in [(0, 0), (0, 2), (1, 0)] {
        let frame = Arrival { rendition: Rendition(rendition), ..arrival(number * 90_000, true) };
        second.push(frame, start + secs(2 + number.unsigned_abs())).unwrap();
    }
    let expected = [TrackKey::VIDEO, TrackKey::new(MediaKind::Video, Rendition(2))];
    assert_eq!((program.keys(), second.source().feed().keys()), (expected.to_vec(), expected.to_vec()));
    assert_eq!(tracks.iter().map(|track| track.is_ended()).collect::<Vec<_>>(), [false, true, false]);
}

#[test]
fn a_feed_settles_when_video_and_audio_are_there() {
    let start = Instant::now();
    let hub = hub(start);
    let mut publication = hub.publish(&key(), Protocol::Whip, start).unwrap();
    publication.push(arrival(0, true), start).unwrap();
    let feed = hub.program(&key().room).unwrap();
    assert_eq!(feed.stage(), FeedStage::Starting);
    let audio = Arrival { parameters: audio(), ..arrival(0, true) };
    publication.push(audio, start).unwrap();
    assert_eq!(feed.stage(), FeedStage::Settled);
}

#[test]
fn a_feed_settles_after_a_second_without_audio() {
    let start = Instant::now();
    let hub = hub(start);
    let mut publication = hub.publish(&key(), Protocol::Whip, start).unwrap();
    for (frame, stage) in [(0, FeedStage::Starting), (1, FeedStage::Settled)] {
        publication.push(arrival(frame * 90_000, true), start + secs(frame.unsigned_abs())).unwrap();
        assert_eq!(hub.program(&key().room).unwrap().stage(), stage);
    }
}

#[tokio::test]
async fn a_feed_is_awaited_until_its_tracks_are_known() {
    let start = Instant::now();
    let hub = hub(start);
    let name = FeedName::Program(key().room);
    let mut awaited = std::pin::pin!(hub.await_feed(&name));
    let mut context = Context::from_waker(Waker::noop());
    assert!(awaited.as_mut().poll(&mut context).is_pending(), "nobody publishes");
    let mut publication = hub.publish(&key(), Protocol::Whip, start).unwrap();
    publication.push(arrival(0, true), start).unwrap();
    assert!(awaited.as_mut().poll(&mut context).is_pending(), "audio may follow");
    assert!(hub.feed(&name).is_some());
    publication.push(Arrival { parameters: audio(), ..arrival(0, true) }, start).unwrap();
    let feed = awaited.await;
    assert_eq!(feed.stage(), FeedStage::Settled);
    assert_eq!(hub.feed(&FeedName::Source(key())).map(|feed| feed.stage()), Some(FeedStage::Settled));
}

#[test]
fn a_room_without_a_host_shows_its_first_source_until_the_host_comes() {
    let start = Instant::now();
    let hub = Hub::new(NodeClock::new(start, SystemTime::UNIX_EPOCH), HubLimits::default(), None);
    let publish = |name: &str| hub.publish(&name.parse().unwrap(), Protocol::Whip, start).unwrap();
    let (mut anna, mut ben) = (publish("demo/anna"), publish("demo/ben"));
    anna.push(arrival(0, true), start).unwrap();
    ben.push(arrival(0, true), start).unwrap();
    assert!(anna.source().is_passed_through() && !ben.source().is_passed_through());
    let track = video_of(&hub);

    let mut host = publish("demo");
    assert!(!host.source().is_passed_through(), "it begins with a keyframe");
    host.push(arrival(0, true), start + secs(1)).unwrap();
    assert!(host.source().is_passed_through());
    assert_eq!(video_of(&hub).id(), track.id());
    assert_eq!(track.newest().unwrap().dts - track.newest_keyframe().unwrap().dts, Ticks(0));
}

#[test]
fn when_the_source_of_the_program_ends_the_next_one_takes_over_and_the_last_ends_it() {
    let start = Instant::now();
    let hub = Hub::new(NodeClock::new(start, SystemTime::UNIX_EPOCH), HubLimits::default(), None);
    let publish = |name: &str| hub.publish(&name.parse().unwrap(), Protocol::Whip, start).unwrap();
    let (mut host, mut ben) = (publish("demo"), publish("demo/ben"));
    host.push(arrival(0, true), start).unwrap();
    drop(host);
    ben.push(arrival(0, true), start + secs(11)).unwrap();
    hub.expire(start + secs(11));
    ben.push(arrival(90_000, true), start + secs(12)).unwrap();
    assert!(ben.source().is_passed_through());
    let program = hub.program(&key().room).unwrap();
    assert_eq!(program.stage(), FeedStage::Settled);
    drop(ben);
    hub.expire(start + secs(30));
    assert_eq!(program.stage(), FeedStage::Ended);
    assert!(hub.program(&key().room).is_none() && hub.rooms().is_empty());
}
