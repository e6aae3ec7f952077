//! Tests of two shards of one port, at the second of which everything arrives. Others run the tests of one shard through it, too
//! ([`World::through_either_shard`]).

use std::time::Duration;

use super::drops::counted;
use super::world::{World, video_feed};
use super::{Route, SECOND, ticks, times};
use crate::transport::Credentials;

#[test]
fn an_address_is_told_once_it_is_proved_and_forgotten_with_its_session() {
    let mut world = World::behind_a_gate();
    let (feed, ..) = video_feed(world.now, 1);
    let viewers: Vec<_> = (0..3).map(|_| world.watch_connected(&feed)).collect();
    assert_eq!(world.gate().told(), 3);
    assert!(world.close(world.visitors[viewers[0]].id));
    assert_eq!(world.gate().told(), 2);
    let now = world.now;
    world.visitors[viewers[1]].client.close(now);
    world.settle();
    assert_eq!(world.gate().told(), 1);
    world.visitors[viewers[2]].silent = true;
    world.run_for(40 * SECOND);
    assert!(world.core.is_empty() && world.gate().told() == 0, "its consent has ended");
}

#[test]
fn an_address_is_known_for_hours_by_its_checks_alone() {
    let mut world = World::behind_a_gate();
    let (feed, ..) = video_feed(world.now, 1);
    let viewer = world.watch_connected(&feed);
    world.run_for(Duration::from_secs(3600));
    assert_eq!(world.gate().told(), 1);
    let now = world.now;
    world.visitors[viewer].client.close(now); // It names no session.
    world.settle();
    assert!(world.core.is_empty());
}

#[test]
fn a_shard_that_begins_again_is_told_of_all_at_once() {
    let mut world = World::behind_a_gate();
    let (feed, track, frames) = video_feed(world.now, 60);
    let viewers = [world.watch_connected(&feed), world.watch_connected(&feed)];
    frames.iter().for_each(|frame| world.push(&track, frame));
    world.restart_gate();
    assert_eq!(world.gate().told(), 2);
    let now = world.now;
    viewers.iter().for_each(|viewer| world.visitors[*viewer].client.close(now));
    world.settle();
    assert!(world.core.is_empty());
}

#[test]
fn a_forged_check_cuts_nobody_off_at_another_shard() {
    for victim_first in [true, false] {
        let mut world = World::behind_a_gate();
        let (feed, ..) = video_feed(world.now, 1);
        world.gate().takes_sessions = !victim_first;
        let victim = world.watch_connected(&feed);
        world.gate().takes_sessions = victim_first;
        let mallory = world.watch_connected(&feed);
        for _ in 0..3 {
            let address = world.visitors[victim].address;
            world.check_from(mallory, address);
            world.run_for(SECOND);
        }
        let now = world.now;
        world.visitors[victim].client.close(now);
        world.settle();
        assert_eq!(world.load(), 1, "what the victim sends is still the victim's: {victim_first}");
    }
}

#[test]
fn a_new_session_of_another_shard_from_the_address_of_an_old_one_outlives_it() {
    for old_first in [true, false] {
        let mut world = World::behind_a_gate();
        let (feed, ..) = video_feed(world.now, 1);
        world.gate().takes_sessions = !old_first;
        let old = world.watch_connected(&feed);
        world.run_for(SECOND);
        world.visitors[old].silent = true; // The tab was reloaded, and the router gave the same port.
        world.gate().takes_sessions = old_first;
        let new = world.watch(&feed);
        world.visitors[new].address = world.visitors[old].address;
        let began = world.now;
        world.settle();
        assert_eq!(world.visitors[new].connected, Some(began), "{old_first}");
        world.run_for(40 * SECOND);
        assert_eq!(world.load(), 1, "the old one has ended: {old_first}");
        let now = world.now;
        world.visitors[new].client.close(now);
        world.settle();
        assert_eq!(world.load(), 0, "{old_first}");
    }
}

#[test]
fn a_flood_of_strangers_is_handed_over_at_a_bounded_rate_and_takes_nothing_from_peers() {
    let [over_rate, unknown] = counted(["rtc_hand_over_rate", "unknown_address"], || {
        let mut world = World::behind_a_gate();
        let (feed, track, frames) = video_feed(world.now, 60);
        let viewer = world.watch_connected(&feed);
        frames[..30].iter().for_each(|frame| world.push(&track, frame));
        let check = check_of(&Credentials::of_shard(0).ufrag);
        for number in 0..50_000_u16 {
            world.datagram(Route::Udp(([198, 51, (number >> 8) as u8, number as u8], 9).into()), &check);
        }
        frames[30..].iter().for_each(|frame| world.push(&track, frame));
        world.run_for(10 * SECOND);
        assert_eq!(times(&world.visitors[viewer].video()), ticks(60));
        let now = world.now;
        world.visitors[viewer].client.close(now);
        world.settle();
        assert!(world.core.is_empty(), "what a peer sends has no such limit");
    });
    assert_eq!((over_rate + unknown, unknown <= 5_000), (50_000, true), "{unknown}");
}

/// Returns a check that names a session, and proves nothing.
fn check_of(ufrag: &str) -> Vec<u8> {
    let name = format!("{ufrag}:abcd").into_bytes();
    let padded = name.len().next_multiple_of(4);
    let mut check = vec![0, 1, 0, (padded + 4) as u8, 0x21, 0x12, 0xa4, 0x42];
    check.extend([7; 12]);
    check.extend([0, 6, 0, name.len() as u8]);
    check.extend(&name);
    check.resize(20 + padded + 4, 0);
    check
}
