//! Tests of sessions over connections of TCP, which may close.

use super::world::{World, video_feed};
use super::{Route, SECOND, ticks, times};
use crate::transport::ConnectionId;

fn connection(id: u32) -> Route {
    Route::Tcp(([192, 0, 2, 1], 50_000).into(), ConnectionId(id))
}

#[test]
fn media_goes_over_a_connection_and_over_the_next_one_once_the_first_is_closed() {
    let mut world = World::new();
    let (feed, track, frames) = video_feed(world.now, 90);
    let viewer = world.watch(&feed);
    world.visitors[viewer].address = connection(1);
    world.settle();
    assert!(world.core.knows(connection(1)));
    frames[..30].iter().for_each(|frame| world.push(&track, frame));
    assert_eq!(times(&world.visitors[viewer].video()), ticks(30));

    world.lost(connection(1));
    assert!(!world.core.knows(connection(1)));
    frames[30..60].iter().for_each(|frame| world.push(&track, frame));
    assert_eq!(times(&world.visitors[viewer].video()), ticks(30), "nothing is sent into a connection that is closed");

    world.visitors[viewer].address = connection(2); // The same port of the peer, as far as it can be seen.
    world.check_from(viewer, connection(2));
    frames[60..].iter().for_each(|frame| world.push(&track, frame));
    assert_eq!(times(&world.visitors[viewer].video())[30..], ticks(90)[60..]);
    assert!(world.core.take_forgotten().is_empty(), "whoever closed the first one knows it");
    assert!(world.close(world.visitors[viewer].id) && world.core.is_empty());
    assert_eq!(world.core.take_forgotten(), [ConnectionId(2)], "no session has a use for it");
}

#[test]
fn a_viewer_whose_connection_closes_goes_on_by_udp_where_that_has_proved_itself() {
    let mut world = World::new();
    let (feed, track, frames) = video_feed(world.now, 60);
    let viewer = world.watch(&feed);
    let udp = world.visitors[viewer].address;
    world.settle();
    world.visitors[viewer].address = connection(7);
    world.check_from(viewer, connection(7));
    frames[..30].iter().for_each(|frame| world.push(&track, frame));
    assert_eq!(times(&world.visitors[viewer].video()), ticks(30));
    assert!(world.core.uses(connection(7)) && !world.core.uses(udp));
    world.visitors[viewer].address = udp;
    world.lost(connection(7));
    assert!(world.core.uses(udp));
    frames[30..].iter().for_each(|frame| world.push(&track, frame));
    assert_eq!(times(&world.visitors[viewer].video()), ticks(60));
}

#[test]
fn a_connection_that_brings_no_check_of_a_session_is_not_known() {
    let mut world = World::new();
    let (feed, ..) = video_feed(world.now, 1);
    let viewer = world.watch_connected(&feed);
    let client = &mut world.visitors[viewer].client;
    client.handle_timeout(client.poll_timeout().unwrap());
    let mut check = client.poll_transmit().unwrap().bytes;
    let last = check.len() - 1;
    check[last] ^= 1;
    world.datagram(connection(1), &check);
    world.datagram(connection(2), &[0; 40]);
    assert!(!world.core.knows(connection(1)) && !world.core.knows(connection(2)) && world.is_quiet());
}

#[test]
fn a_peer_that_opens_connection_after_connection_has_eight() {
    let mut world = World::new();
    let (feed, ..) = video_feed(world.now, 1);
    let viewer = world.watch_connected(&feed);
    for id in 0..20 {
        world.run_for(SECOND);
        world.check_from(viewer, connection(id));
    }
    assert_eq!((0..20).filter(|id| world.core.knows(connection(*id))).count(), 7, "and the address of its media");
    assert_eq!(world.core.take_forgotten().len(), 13);
}

#[test]
fn whoever_lost_a_connection_to_another_session_learns_that_it_is_closed() {
    let mut world = World::new();
    let (feed, track, frames) = video_feed(world.now, 60);
    let [first, other] = [world.watch_connected(&feed), world.watch_connected(&feed)];
    let udp = world.visitors[first].address;
    for viewer in [first, other] {
        world.visitors[viewer].address = connection(7);
        world.check_from(viewer, connection(7));
    }
    frames[..30].iter().for_each(|frame| world.push(&track, frame));
    world.visitors[first].address = udp;
    world.lost(connection(7));
    frames[30..].iter().for_each(|frame| world.push(&track, frame));
    assert_eq!(times(&world.visitors[first].video()), ticks(60), "it has gone on where it was before");
    assert!(!world.core.knows(connection(7)));
}
