//! Tests of a shard, as its clients see it.

mod awaited;
mod drops;
mod levels;
mod post;
mod routes;
mod sync;
mod world;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use onmic_media::hub::HubLimits;
use onmic_media::{AvSync, Frame, Hub, Join, MediaKind, Protocol, Read, Ticks, ViewerKind};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use self::world::{FakeDeriver, Got, SERVER, World, audio_feed, feed_of, video_feed};
use crate::rtp::outgoing::Limits;
use crate::rtp::packet::ExtensionIds;
use crate::rtp::tests::fixture;
use crate::rtp::{GuardConfig, HEADER_MAX, Mid, Outgoing, Resend, Sender, SenderConfig, report};
use crate::sdp::client::{H264, H264_REPAIRS, VIDEO_SSRC};
use crate::session::{PatchRefused, Patched, SessionId};
use crate::transport::{CloseReason, Credentials, Route, State};

const MILLI: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const GOODBYE: u8 = 203;
const SENDER_REPORT: u8 = 200;

/// Returns the RTP times of the frames in the order they came, relative to the first.
fn times(packets: &[Got]) -> Vec<u32> {
    let mut times: Vec<_> = packets.iter().map(|got| got.timestamp.wrapping_sub(packets[0].timestamp)).collect();
    times.dedup();
    times
}

fn is_contiguous(packets: &[Got]) -> bool {
    packets.windows(2).all(|pair| pair[1].sequence == pair[0].sequence.wrapping_add(1))
}

fn ticks(count: usize) -> Vec<u32> {
    (0..count as u32).map(|number| number * 3000).collect()
}

#[test]
fn a_viewer_gets_the_cached_group_at_once_and_in_order_and_then_live_frames() {
    World::through_either_shard().for_each(a_viewer_comes);
}

fn a_viewer_comes(mut world: World) {
    let (feed, track, frames) = video_feed(world.now, 50);
    frames[..20].iter().for_each(|frame| world.push(&track, frame));
    let viewer = world.watch_connected(&feed);
    let connected = world.visitors[viewer].connected.unwrap();
    let keyframe = world.visitors[viewer].video();
    assert_eq!(world.visitors[viewer].dropped, [], "no media before the end of the handshake");
    assert!(keyframe.len() >= 6 && keyframe.iter().all(|got| got.at == connected && got.payload_type == H264));

    frames[20..26].iter().for_each(|frame| world.push(&track, frame));
    let video = world.visitors[viewer].video();
    let sent = times(&video);
    assert_eq!(sent.len(), 26, "0.63 s of backlog at five times its speed");
    let steps: Vec<_> = sent.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(steps[..20].iter().all(|step| *step == 600) && steps[24] == 3000, "{steps:?}");
    assert!(is_contiguous(&video) && video.last().unwrap().marker);
    // The viewer is live: a frame goes out in the moment it comes in.
    world.push(&track, &frames[26]);
    let newest = world.visitors[viewer].rtp.last().unwrap().clone();
    assert_eq!((newest.at, newest.timestamp), (frames[26].arrived, video.last().unwrap().timestamp.wrapping_add(3000)));
}

#[test]
fn two_viewers_get_the_same_payloads_under_their_own_streams_and_keys() {
    let mut world = World::new();
    let (feed, track, frames) = video_feed(world.now, 40);
    let viewers = [world.watch_connected(&feed), world.watch_connected(&feed)];
    frames.iter().for_each(|frame| world.push(&track, frame));
    let [first, second] = viewers.map(|viewer| world.visitors[viewer].video());
    assert_eq!(times(&first), ticks(40));
    assert_eq!(first.len(), second.len());
    for (one, other) in first.iter().zip(&second) {
        assert_eq!(one.payload, other.payload);
        assert!(one.ssrc != other.ssrc && one.sealed != other.sealed);
    }
    assert_ne!(first[0].timestamp, second[0].timestamp, "each begins at a random timestamp");
}

#[test]
fn audio_begins_with_the_first_packet_after_the_connection() {
    let mut world = World::new();
    let (feed, track, frames) = audio_feed(world.now, 60);
    frames[..50].iter().for_each(|frame| world.push(&track, frame));
    let viewer = world.watch_connected(&feed);
    assert!(world.visitors[viewer].rtp.is_empty());
    frames[50..].iter().for_each(|frame| world.push(&track, frame));
    let got = world.visitors[viewer].of(crate::sdp::MediaKind::Audio);
    assert_eq!(got.len(), 10);
    assert_eq!(got[0].payload, frames[50].payload);
}

#[test]
fn a_viewer_that_joins_late_in_a_group_asks_for_a_keyframe_and_goes_over_to_it() {
    for (pushed, asks) in [(50, false), (90, true)] {
        let mut world = World::new();
        let mut frames = fixture::synthetic(world.now, 100, 300, (6_000, 900));
        frames[95].keyframe = true;
        let (feed, track) = feed_of(&frames, None);
        frames[..pushed].iter().for_each(|frame| world.push(&track, frame));
        let viewer = world.watch_connected(&feed);
        assert_eq!(track.take_keyframe_wanted(), asks, "{pushed}");
        frames[pushed..].iter().for_each(|frame| world.push(&track, frame));
        let last = world.visitors[viewer].video().last().cloned().unwrap();
        assert_eq!(last.at, frames[99].arrived, "it is live after the keyframe");
    }
}

#[test]
fn a_viewer_waits_for_no_keyframe_of_a_source_that_cannot_be_asked() {
    for (takes_requests, waits) in [(true, true), (false, false)] {
        let mut world = World::new();
        let frames = fixture::synthetic(world.now, 70, 300, (6_000, 900)); // 2.3 s.
        let (feed, track) = feed_of(&frames, None);
        track.set_takes_requests(takes_requests);
        frames.iter().for_each(|frame| world.push(&track, frame));
        let viewer = world.watch_connected(&feed);
        assert_eq!(world.visitors[viewer].video().is_empty(), waits);
    }
}

#[test]
fn a_viewer_leaves_nothing_behind_however_it_leaves() {
    type Leave = fn(&mut World, usize);
    let ways: [(&str, Leave); 4] = [
        ("DELETE", |world, viewer| assert!(world.close(world.visitors[viewer].id))),
        ("close_notify", |world, viewer| {
            let now = world.now;
            world.visitors[viewer].client.close(now);
            world.settle();
        }),
        ("consent", |world, viewer| {
            world.visitors[viewer].silent = true;
            world.run_for(28 * SECOND);
            assert_eq!(world.load(), 1, "the consent has not expired yet");
            world.run_for(5 * SECOND);
        }),
        ("stop", |world, _| {
            let now = world.now;
            world.core.close_all(now, &mut Nowhere);
        }),
    ];
    for (way, leave) in ways {
        let mut world = World::new();
        let (feed, track, frames) = video_feed(world.now, 30);
        frames.iter().for_each(|frame| world.push(&track, frame));
        let viewer = world.watch_connected(&feed);
        world.run_for(SECOND);
        assert!(!world.core.is_empty() && feed.viewers().count(ViewerKind::Whep) == 1);
        leave(&mut world, viewer);
        assert!(world.core.is_empty(), "{way}");
        assert_eq!((world.load(), feed.viewers().count(ViewerKind::Whep)), (0, 0), "{way}");
    }
}

#[test]
fn a_viewer_that_never_connects_is_removed() {
    let mut world = World::new();
    let (feed, ..) = video_feed(world.now, 1);
    let viewer = world.watch(&feed);
    world.visitors[viewer].silent = true;
    world.run_for(31 * SECOND);
    assert!(world.core.is_empty() && world.load() == 0);
}

#[tokio::test]
async fn a_session_ends_with_its_permit_and_no_other_does() {
    let mut world = World::new();
    let (feed, track, frames) = video_feed(world.now, 60);
    world.permitted_until = world.now + 3 * SECOND;
    let short = world.watch_connected(&feed);
    world.permitted_until = world.now + 60 * SECOND;
    let long = world.watch_connected(&feed);
    frames[..30].iter().for_each(|frame| world.push(&track, frame));
    world.permits.expire(world.now);
    assert!(!world.has_command(), "nothing is over yet");
    world.permits.expire(world.now + 3 * SECOND);
    world.command().await;
    assert_eq!(world.visitors[short].state(), State::Closed(CloseReason::PeerClosed));
    frames[30..].iter().for_each(|frame| world.push(&track, frame));
    assert_eq!(times(&world.visitors[long].video()), ticks(60));
    assert_eq!((world.load(), world.permits.len()), (1, 1));
}

#[test]
fn one_of_two_viewers_leaves_and_the_other_goes_on() {
    let mut world = World::new();
    let (feed, track, frames) = video_feed(world.now, 60);
    let (first, second) = (world.watch_connected(&feed), world.watch_connected(&feed));
    frames[..30].iter().for_each(|frame| world.push(&track, frame));
    assert!(world.close(world.visitors[first].id));
    assert_eq!(world.visitors[first].state(), State::Closed(CloseReason::PeerClosed));
    assert!(world.visitors[first].rtcp_types().contains(&GOODBYE));
    assert!(!world.close(world.visitors[first].id), "it has gone already");
    frames[30..].iter().for_each(|frame| world.push(&track, frame));
    assert_eq!(times(&world.visitors[second].video()), ticks(60));
}

#[test]
fn a_new_session_from_the_address_of_an_old_one_outlives_it() {
    World::through_either_shard().for_each(a_tab_is_reloaded);
}

fn a_tab_is_reloaded(mut world: World) {
    let (feed, track, frames) = video_feed(world.now, 30);
    let old = world.watch_connected(&feed);
    world.visitors[old].silent = true; // The tab was reloaded, and the router gave the same port.
    let new = world.watch(&feed);
    world.visitors[new].address = world.visitors[old].address;
    world.settle();
    assert!(world.visitors[new].connected.is_some());
    assert!(world.close(world.visitors[old].id));
    frames.iter().for_each(|frame| world.push(&track, frame));
    assert_eq!(times(&world.visitors[new].video()), ticks(30));
    let now = world.now;
    world.visitors[new].client.close(now);
    world.settle();
    assert!(world.core.is_empty(), "its close_notify, which names no session, reached the new one");
}

#[test]
fn a_check_with_a_forged_source_cuts_nobody_off_and_draws_no_media() {
    World::through_either_shard().for_each(a_check_is_forged);
}

fn a_check_is_forged(mut world: World) {
    let (feed, track, frames) = video_feed(world.now, 60);
    let victim = world.watch_connected(&feed);
    let mallory = world.watch_connected(&feed);
    frames[..20].iter().for_each(|frame| world.push(&track, frame));
    // The check of Mallory's session says that it comes from the victim.
    world.check_from(mallory, world.visitors[victim].address);
    frames[20..].iter().for_each(|frame| world.push(&track, frame));
    for (name, viewer) in [("victim", victim), ("mallory", mallory)] {
        assert_eq!(times(&world.visitors[viewer].video()), ticks(60), "{name}");
        assert!(is_contiguous(&world.visitors[viewer].video()), "{name}");
    }
    let now = world.now;
    world.visitors[victim].client.close(now);
    world.settle();
    assert_eq!(world.load(), 1, "what the victim sends is still the victim's");
}

#[test]
fn a_packet_that_is_reported_lost_is_sent_again_in_the_repair_stream() {
    World::through_either_shard().for_each(a_packet_is_lost);
}

fn a_packet_is_lost(mut world: World) {
    let (feed, track, frames) = video_feed(world.now, 30);
    let viewer = world.watch_connected(&feed);
    frames[..10].iter().for_each(|frame| world.push(&track, frame));
    let stream = world.visitors[viewer].answer.stream(crate::sdp::MediaKind::Video).unwrap();
    let lost = world.visitors[viewer].video().last().unwrap().sequence.wrapping_add(1);
    world.visitors[viewer].loses.push(lost);
    frames[10..12].iter().for_each(|frame| world.push(&track, frame));
    assert!(world.visitors[viewer].video().iter().all(|got| got.sequence != lost));

    let mut compound = Vec::new();
    report::receiver_report(&mut compound, 1, &[]);
    report::nack(&mut compound, 1, stream.ssrc.unwrap(), [lost]);
    world.rtcp(viewer, &compound);
    let repaired = world.visitors[viewer].rtp.last().unwrap();
    assert_eq!((repaired.ssrc, repaired.payload_type), (stream.repair_ssrc.unwrap(), H264_REPAIRS));
    assert_eq!(repaired.payload[..2], lost.to_be_bytes());
    let mut outgoing = Outgoing::new(onmic_media::Codec::H264, Limits::default()).unwrap();
    let packets = outgoing.push(&frames[10]).unwrap();
    assert_eq!(&repaired.payload[2..], packets.iter().next().unwrap().payload);
    let before = world.visitors[viewer].rtp.len();
    world.rtcp(viewer, &compound);
    assert_eq!(world.visitors[viewer].rtp.len(), before, "the repair is on its way already");
}

#[test]
fn keyframe_requests_of_many_viewers_become_one() {
    let mut world = World::new();
    let (feed, track, frames) = video_feed(world.now, 40);
    let viewers: Vec<_> = (0..10).map(|_| world.watch_connected(&feed)).collect();
    assert!(track.take_keyframe_wanted(), "there was no group to start on");
    frames.iter().for_each(|frame| world.push(&track, frame));
    world.run_for(SECOND);
    for viewer in viewers {
        let stream = world.visitors[viewer].answer.stream(crate::sdp::MediaKind::Video).unwrap();
        let mut compound = Vec::new();
        report::receiver_report(&mut compound, 1, &[]);
        report::picture_loss(&mut compound, 1, stream.ssrc.unwrap());
        world.rtcp(viewer, &compound);
        let first = viewer == 0;
        assert_eq!(track.take_keyframe_wanted(), first, "viewer {viewer}");
        world.run_for(10 * MILLI);
    }
}

#[test]
fn sender_reports_begin_with_the_media_however_a_viewer_started() {
    // The viewer starts with a cached group, without one, or with audio alone.
    for (case, backlog) in [("group", 20), ("no group", 0)] {
        let mut world = World::new();
        let (feed, track, frames) = video_feed(world.now, 100);
        frames[..backlog].iter().for_each(|frame| world.push(&track, frame));
        let viewer = world.watch_connected(&feed);
        frames[backlog..].iter().for_each(|frame| world.push(&track, frame));
        let reports = world.visitors[viewer].rtcp_types().iter().filter(|kind| **kind == SENDER_REPORT).count();
        let seconds = (100 - backlog) / 30;
        assert!((seconds..=seconds + 1).contains(&reports), "{case}: {reports}");
    }
    let mut world = World::new();
    let (feed, track, frames) = audio_feed(world.now, 100);
    let viewer = world.watch_connected(&feed);
    frames.iter().for_each(|frame| world.push(&track, frame));
    assert_eq!(world.visitors[viewer].rtcp_types().iter().filter(|kind| **kind == SENDER_REPORT).count(), 2);
}

#[test]
fn a_session_keeps_the_dates_that_were_in_force_when_it_began() {
    for hours in [-1, 1] {
        let mut world = World::new();
        let (feed, track, frames) = video_feed(world.now, 200);
        let old = world.watch_connected(&feed);
        frames[..60].iter().for_each(|frame| world.push(&track, frame));
        let system = world.clock.wall(world.now).offset_micros(hours * 3_600_000_000).system_time();
        let read = || world.calendar.read(world.now, system);
        assert!(read().or_else(read).is_some());
        let new = world.watch_connected(&feed);
        frames[60..].iter().for_each(|frame| world.push(&track, frame));
        // The NTP time of a compound packet that begins with a sender report, in whole seconds.
        let seconds = |compound: &Vec<u8>| i64::from(u32::from_be_bytes(compound[8..12].try_into().unwrap()));
        let reports = |viewer: usize| {
            let compounds = world.visitors[viewer].rtcp.iter().filter(|compound| compound[1] == SENDER_REPORT);
            compounds.map(seconds).collect::<Vec<_>>()
        };
        let (old, new) = (reports(old), reports(new));
        assert!(old.len() >= 6 && old.windows(2).all(|pair| (1..=2).contains(&(pair[1] - pair[0]))), "{old:?}");
        let apart = new.last().unwrap() - old.last().unwrap();
        assert!((apart - hours * 3600).abs() <= 1, "{apart}");
    }
}

#[test]
fn viewers_of_a_track_that_ends_get_a_goodbye() {
    let mut world = World::new();
    let (feed, track, frames) = video_feed(world.now, 5);
    let viewers = [world.watch_connected(&feed), world.watch_connected(&feed)];
    frames.iter().for_each(|frame| world.push(&track, frame));
    feed.end();
    world.settle();
    for viewer in viewers {
        let visitor = &world.visitors[viewer];
        assert!(visitor.rtcp_types().contains(&GOODBYE));
        assert_eq!(visitor.state(), State::Closed(CloseReason::PeerClosed));
        assert_eq!(times(&visitor.video()), ticks(5), "all frames were sent before");
    }
    assert!(world.core.is_empty() && world.load() == 0);
}

#[test]
fn a_viewer_of_a_track_that_ended_before_the_session_began_is_refused() {
    let mut world = World::new();
    let (feed, track, frames) = video_feed(world.now, 5);
    frames.iter().for_each(|frame| world.push(&track, frame));
    feed.end();
    assert!(world.try_watch(&feed).is_none());
    assert!(world.core.is_empty() && world.load() == 0);
}

#[test]
fn an_ice_restart_does_not_interrupt_the_media() {
    World::through_either_shard().for_each(ice_restarts);
}

fn ice_restarts(mut world: World) {
    let (feed, track, frames) = video_feed(world.now, 90);
    let viewer = world.watch_connected(&feed);
    frames[..30].iter().for_each(|frame| world.push(&track, frame));

    let (id, etag) = (world.visitors[viewer].id, world.visitors[viewer].etag.clone());
    let local = Credentials::generate();
    let fragment =
        format!("a=ice-ufrag:{}\r\na=ice-pwd:{}\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n", local.ufrag, local.pwd);
    let patched = world.patch(id, &etag, &fragment).unwrap();
    let Patched::Restarted { fragment: answer, etag: new } = patched else { panic!("{patched:?}") };
    assert_ne!(new, etag);
    frames[30..60].iter().for_each(|frame| world.push(&track, frame)); // Until the new path is checked.

    let remote = crate::sdp::Fragment::parse(&answer).unwrap().ice.unwrap();
    let (now, old) = (world.now, world.visitors[viewer].address);
    world.visitors[viewer].address = Route::Udp(([198, 51, 100, 7], 999).into()); // From Wi-Fi to a mobile network.
    world.visitors[viewer].client.restart_ice(now, local, remote);
    world.settle();
    frames[60..].iter().for_each(|frame| world.push(&track, frame));
    let video = world.visitors[viewer].video();
    assert_eq!(times(&video), ticks(90));
    assert!(is_contiguous(&video));
    assert_ne!(world.visitors[viewer].address, old);

    assert_eq!(world.patch(id, &etag, &fragment), Err(PatchRefused::Outdated(new)), "the former If-Match");
    assert!(world.close(id) && world.core.is_empty());
}

#[test]
fn a_patch_that_fits_no_session_is_refused() {
    let mut world = World::new();
    let (feed, ..) = video_feed(world.now, 1);
    let viewer = world.watch_connected(&feed);
    let (id, etag) = (world.visitors[viewer].id, world.visitors[viewer].etag.clone());
    let candidate = "a=candidate:1 1 udp 1 192.0.2.9 9 typ host\r\n";
    assert_eq!(world.patch(SessionId::random(0), &etag, candidate), Err(PatchRefused::NoSession));
    assert_eq!(world.patch(id, "other", candidate), Err(PatchRefused::Outdated(etag.clone())));
    assert!(matches!(world.patch(id, &etag, "nonsense"), Err(PatchRefused::Malformed(_))));
    assert_eq!(world.patch(id, &etag, candidate), Ok(Patched::Noted));
    let own = world.visitors[viewer].local.clone();
    let same = format!("a=ice-ufrag:{}\r\na=ice-pwd:{}\r\n{candidate}", own.ufrag, own.pwd);
    assert_eq!(world.patch(id, &etag, &same), Ok(Patched::Noted), "the credentials in use do not ask for a restart");
}

#[test]
fn datagrams_from_strangers_and_noise_change_nothing() {
    World::through_either_shard().for_each(noise_comes);
}

fn noise_comes(mut world: World) {
    let (feed, track, frames) = video_feed(world.now, 30);
    let viewer = world.watch_connected(&feed);
    let (own, stranger) = (world.visitors[viewer].address, Route::Udp(([203, 0, 113, 1], 1).into()));
    let mut random = StdRng::seed_from_u64(11);
    frames[..10].iter().for_each(|frame| world.push(&track, frame));
    let media = world.visitors[viewer].rtp.last().unwrap().sealed.clone();
    world.datagram(stranger, &media);
    for round in 0..3_000 {
        let mut noise: Vec<u8> = (0..random.random_range(0..300)).map(|_| random.random()).collect();
        if let Some(first) = noise.first_mut() {
            *first = [0, 1, 20, 22, 128, 144, *first][round % 7]; // STUN, DTLS, RTP, or any other.
        }
        if noise.len() > 8 && round % 7 < 2 {
            noise[4..8].copy_from_slice(&[0x21, 0x12, 0xa4, 0x42]);
        }
        world.datagram(if round % 2 == 0 { own } else { stranger }, &noise);
        world.datagram(Route::Udp(SERVER), &noise);
    }
    assert!(world.is_quiet(), "none of it is answered");
    frames[10..].iter().for_each(|frame| world.push(&track, frame));
    assert_eq!(times(&world.visitors[viewer].video()), ticks(30));
    assert!(world.close(world.visitors[viewer].id) && world.core.is_empty());
}

#[test]
fn a_server_for_this_machine_answers_no_check_of_another_one() {
    let mut world = World::only_this_machine();
    let (feed, _, _) = video_feed(world.now, 1);
    let viewer = world.watch(&feed);
    world.settle();
    assert!(world.visitors[viewer].connected.is_none() && world.is_quiet());
}

/// Returns the packets that a publisher makes of frames: each is a header and a payload.
fn packets(frames: &[Frame]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut outgoing = Outgoing::new(frames[0].parameters.codec(), Limits::default()).unwrap();
    let config = SenderConfig {
        ssrc: VIDEO_SSRC,
        payload_type: H264,
        extensions: ExtensionIds::default(),
        mid: Mid::default(),
        resend: Resend::Never,
        sequence: 9,
        timestamp: 99,
        sync: AvSync::LipSync,
        guard: GuardConfig::default(),
    };
    let mut sender = Sender::new(config, &outgoing);
    sender.start(&outgoing, frames[0].arrived);
    let mut packets = Vec::new();
    for frame in frames {
        outgoing.push(frame);
        while let Some(frame) = sender.poll_frame(&outgoing, frame.arrived) {
            for packet in frame.iter() {
                let header = sender.header(&packet, &mut 0, &mut [0; HEADER_MAX]).to_vec();
                packets.push((header, packet.payload.to_vec()));
            }
        }
    }
    packets
}

fn hub(world: &World) -> Arc<Hub> {
    Hub::new(world.clock, HubLimits::default(), None)
}

#[test]
fn packets_of_a_publisher_become_frames_that_viewers_get() {
    World::through_either_shard().for_each(a_publisher_is_watched);
}

fn a_publisher_is_watched(mut world: World) {
    let hub = hub(&world);
    let publication = hub.publish(&"room".parse().unwrap(), Protocol::Whip, world.now).unwrap();
    let feed = publication.source().feed().clone();
    let publisher = world.publish(publication);
    world.settle();
    let frames = fixture::synthetic(world.now, 40, 30, (6_000, 900));
    for (header, payload) in packets(&frames[..20]) {
        world.rtp(publisher, &header, &payload);
    }
    world.run_for(SECOND);
    let track = feed.original(MediaKind::Video).unwrap();
    let mut reader = track.reader(Join::Group);
    for frame in &frames[..20] {
        let Some(Read::Frame(read)) = reader.try_read() else { panic!("a frame is missing") };
        assert_eq!((&read.payload, read.keyframe), (&frame.payload, frame.keyframe));
    }
    assert!(reader.try_read().is_none());
    let viewer = world.watch_connected(&feed);
    world.run_for(SECOND);
    assert_eq!(times(&world.visitors[viewer].video()).len(), 20);
    // The viewer's request for a keyframe reaches the publisher.
    let stream = world.visitors[viewer].answer.stream(crate::sdp::MediaKind::Video).unwrap();
    let mut compound = Vec::new();
    report::receiver_report(&mut compound, 1, &[]);
    report::picture_loss(&mut compound, 1, stream.ssrc.unwrap());
    world.rtcp(viewer, &compound);
    let (header, payload) = packets(&frames)[packets(&frames[..20]).len()].clone();
    world.rtp(publisher, &header, &payload);
    world.run_for(SECOND);
    assert!(world.visitors[publisher].rtcp_types().contains(&206), "picture loss indication");
    assert!(world.close(world.visitors[publisher].id));
    assert!(!hub.source(&"room".parse().unwrap()).unwrap().is_connected());
    assert!(world.close(world.visitors[viewer].id) && world.core.is_empty());
}

#[test]
fn a_publisher_whose_nat_gives_it_another_port_is_heard_at_once() {
    World::through_either_shard().for_each(a_nat_gives_another_port);
}

fn a_nat_gives_another_port(mut world: World) {
    let publication = hub(&world).publish(&"room".parse().unwrap(), Protocol::Whip, world.now).unwrap();
    let feed = publication.source().feed().clone();
    let publisher = world.publish(publication);
    world.settle();
    let frames = fixture::synthetic(world.now, 40, 30, (6_000, 900));
    let (all, before) = (packets(&frames), packets(&frames[..20]).len());
    all[..before].iter().for_each(|(header, payload)| world.rtp(publisher, header, payload));
    world.settle();

    // Its next check comes after 2.5 s.
    world.visitors[publisher].address = Route::Udp(([192, 0, 2, 1], 50_000).into());
    all[before..].iter().for_each(|(header, payload)| world.rtp(publisher, header, payload));
    world.settle();
    let mut reader = feed.original(MediaKind::Video).unwrap().reader(Join::Group);
    let read = std::iter::from_fn(|| reader.try_read()).filter(|read| matches!(read, Read::Frame(_))).count();
    assert_eq!(read, 10, "all frames of the second group");
    world.visitors[publisher].rtcp.clear();
    world.run_for(1100 * MILLI);
    assert!(!world.visitors[publisher].rtcp.is_empty(), "reports go there, too");

    // Of a stranger, its SSRC is worth nothing.
    let stranger = Route::Udp(([203, 0, 113, 1], 1).into());
    world.datagram(stranger, &[&all[0].0[..], &all[0].1].concat());
    assert!(world.is_quiet());
    assert!(world.close(world.visitors[publisher].id) && world.core.is_empty());
}

#[test]
fn a_publisher_that_was_taken_over_is_closed() {
    let mut world = World::new();
    let hub = hub(&world);
    let name = "room".parse().unwrap();
    let publication = hub.publish(&name, Protocol::Whip, world.now).unwrap();
    let publisher = world.publish(publication);
    world.settle();
    world.run_for(11 * SECOND); // The publisher is silent for longer than the grace.
    let _other = hub.publish(&name, Protocol::Rtmp, world.now).unwrap();
    for (header, payload) in packets(&fixture::synthetic(world.now, 1, 30, (600, 900))) {
        world.rtp(publisher, &header, &payload);
    }
    world.settle();
    assert_eq!(world.visitors[publisher].state(), State::Closed(CloseReason::PeerClosed));
    assert!(world.core.is_empty() && world.load() == 0);
}

#[test]
fn a_publisher_that_never_sent_anything_is_closed_when_taken_over() {
    let mut world = World::new();
    let hub = hub(&world);
    let name = "room".parse().unwrap();
    let publication = hub.publish(&name, Protocol::Whip, world.now).unwrap();
    let publisher = world.publish(publication);
    world.settle();
    world.run_for(11 * SECOND);
    let _other = hub.publish(&name, Protocol::Rtmp, world.now).unwrap();
    world.run_for(5 * SECOND); // Its checks go on, and it sends nothing else.
    assert_eq!(world.visitors[publisher].state(), State::Closed(CloseReason::PeerClosed));
    assert!(world.core.is_empty() && world.load() == 0);
}

/// Publishes `frames`, says goodbye to the video, and returns the world and the publisher.
fn said_goodbye(frames: &[Frame], world: &mut World) -> usize {
    let publication = hub(world).publish(&"room".parse().unwrap(), Protocol::Whip, world.now).unwrap();
    let publisher = world.publish(publication);
    world.settle();
    for (header, payload) in packets(frames) {
        world.rtp(publisher, &header, &payload);
    }
    let mut compound = Vec::new();
    report::receiver_report(&mut compound, VIDEO_SSRC, &[]);
    report::goodbye(&mut compound, &[VIDEO_SSRC]);
    world.rtcp(publisher, &compound);
    publisher
}

#[test]
fn a_publisher_that_says_goodbye_and_is_silent_is_closed() {
    let mut world = World::new();
    let publisher = said_goodbye(&fixture::synthetic(world.now, 1, 30, (600, 900)), &mut world);
    world.visitors[publisher].silent = true;
    world.run_for(8 * SECOND);
    assert_eq!(world.load(), 1, "its checks may be late");
    world.run_for(5 * SECOND);
    assert!(world.core.is_empty() && world.load() == 0);
}

#[test]
fn a_publisher_that_goes_on_after_a_goodbye_stays() {
    let mut world = World::new();
    let frames = fixture::synthetic(world.now, 40, 30, (600, 900));
    let publisher = said_goodbye(&frames[..20], &mut world);
    world.run_for(60 * SECOND); // It is muted for a minute. Its checks go on.
    assert_eq!(world.visitors[publisher].state(), State::Connected);
    let before = packets(&frames[..20]).len();
    for (header, payload) in packets(&frames).into_iter().skip(before) {
        world.rtp(publisher, &header, &payload);
    }
    world.visitors[publisher].silent = true;
    world.run_for(20 * SECOND);
    assert_eq!(world.load(), 1, "the goodbye does not count any more");
}

/// Delays the presentation of every third frame by 6,000 ticks (two frame intervals), from the
/// seventh frame on.
fn reordered(mut frames: Vec<Frame>) -> Vec<Frame> {
    for frame in frames.iter_mut().skip(6).step_by(3) {
        frame.pts += Ticks(2 * 3000);
    }
    frames
}

#[tokio::test]
async fn viewers_of_a_track_that_turns_out_to_reorder_go_on_with_a_derived_one() {
    let mut world = World::new();
    let deriver = Arc::new(FakeDeriver::default());
    let frames = reordered(fixture::synthetic(world.now, 60, 30, (6_000, 900)));
    let (feed, track) = feed_of(&frames, Some(deriver.clone()));
    let viewers = [world.watch_connected(&feed), world.watch_connected(&feed)];
    frames[..8].iter().for_each(|frame| world.push(&track, frame));
    world.command().await;
    let (derived, lease) = deriver.made.lock().pop().unwrap();
    assert!(lease.is_wanted());
    let before = viewers.map(|viewer| world.visitors[viewer].video().len());
    // The encoder takes its time. Meanwhile no timer fires again and again, and no old frames are
    // sent.
    world.run_for(3 * SECOND);
    assert!(derived.take_keyframe_wanted());
    world.push(&track, &frames[9]);
    assert_eq!(viewers.map(|viewer| world.visitors[viewer].video().len()), before);

    let mut better = fixture::synthetic(world.now, 10, 30, (6_000, 900));
    better.iter_mut().for_each(|frame| frame.pts += Ticks(4 * 90_000)); // It goes on where the first is.
    better.iter().for_each(|frame| world.push(&derived, frame));
    for (viewer, before) in viewers.into_iter().zip(before) {
        let video = world.visitors[viewer].video();
        assert!(is_contiguous(&video));
        assert_eq!(times(&video[before..]), ticks(10));
    }
    viewers.into_iter().for_each(|viewer| assert!(world.close(world.visitors[viewer].id)));
    assert!(world.core.is_empty());
    assert!(lease.try_release(), "nothing holds the derived track any more");
}

#[tokio::test]
async fn a_replacement_that_comes_after_the_last_viewer_left_is_released() {
    let mut world = World::new();
    let deriver = Arc::new(FakeDeriver::default());
    let frames = reordered(fixture::synthetic(world.now, 60, 30, (6_000, 900)));
    let (feed, track) = feed_of(&frames, Some(deriver.clone()));
    let viewer = world.watch_connected(&feed);
    frames[..8].iter().for_each(|frame| world.push(&track, frame));
    assert!(world.close(world.visitors[viewer].id));
    world.command().await;
    assert!(world.core.is_empty());
    assert!(deriver.made.lock().pop().unwrap().1.try_release());
}

#[tokio::test]
async fn viewers_of_reordered_frames_are_closed_if_there_is_no_replacement() {
    let mut world = World::new();
    let frames = reordered(fixture::synthetic(world.now, 60, 30, (6_000, 900)));
    let (feed, track) = feed_of(&frames, None);
    let viewer = world.watch_connected(&feed);
    frames[..8].iter().for_each(|frame| world.push(&track, frame));
    world.command().await;
    assert_eq!(world.visitors[viewer].state(), State::Closed(CloseReason::PeerClosed));
    assert!(world.core.is_empty());
}

#[test]
fn a_shard_that_fell_behind_counts_the_frames_that_it_skips() {
    let [skipped] = drops::counted(["behind_webrtc"], a_shard_that_fell_behind_goes_on_at_the_newest_group);
    assert!(skipped > 0);
}

#[test]
fn a_shard_that_fell_behind_goes_on_at_the_newest_group() {
    let mut world = World::new();
    let (feed, track, frames) = video_feed(world.now, 150);
    let viewer = world.watch_connected(&feed);
    frames[..10].iter().for_each(|frame| world.push(&track, frame));
    frames[10..140].iter().for_each(|frame| track.push(frame.clone())); // The shard's thread does not run meanwhile.
    world.run_until(frames[139].arrived);
    frames[140..].iter().for_each(|frame| world.push(&track, frame));
    let video = world.visitors[viewer].video();
    let numbers: HashSet<_> = times(&video).into_iter().map(|time| time / 3000).collect();
    assert!(is_contiguous(&video), "no gaps that the viewer would send a NACK for");
    assert!((120..150).all(|number| numbers.contains(&number)), "{numbers:?}");
}

/// Discards the datagrams that are sent at the very end.
struct Nowhere;

impl super::outbox::Outbox for Nowhere {
    fn send(&mut self, _: Route, _: &[u8]) {}

    fn send_batch(&mut self, _: Route, batch: &mut crate::udp::Batch) {
        batch.clear();
    }
}
