//! Tests that what a shard drops is counted with its reason.

use std::time::Duration;

use bytes::Bytes;

use super::world::{World, video_feed};
use super::{MILLI, Route, SECOND};
use crate::rtp::report;
use crate::sdp;

/// Does `work` with counters of its own, and returns what they count for each reason.
pub(super) fn counted<const N: usize>(reasons: [&str; N], work: impl FnOnce()) -> [u64; N] {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&recorder, work);
    let rendered = recorder.handle().render();
    let count = |reason| {
        let name = format!("onmic_drops_total{{reason=\"{reason}\"}} ");
        rendered.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap_or(0)
    };
    reasons.map(count)
}

#[test]
fn without_consent_media_reports_and_the_goodbye_are_counted() {
    let sent_after = |frames: usize| {
        counted(["no_consent"], || {
            let mut world = World::new();
            let (feed, track, frames_of) = video_feed(world.now + 34 * SECOND, 60);
            let viewer = world.watch_connected(&feed);
            // Its checks come from an address that answers nothing.
            world.visitors[viewer].silent = true;
            for _ in 0..3 {
                world.run_for(9 * SECOND);
                world.check_from(viewer, Route::Udp(([198, 51, 100, 9], 9).into()));
            }
            world.run_for(7 * SECOND);
            frames_of[..frames].iter().for_each(|frame| world.push(&track, frame));
            assert!(world.close(world.visitors[viewer].id) && world.core.is_empty());
        })
    };
    let [goodbye] = sent_after(0);
    let [keyframe] = sent_after(1);
    let [frames] = sent_after(40);
    assert_eq!(goodbye, 2, "in RTCP and in DTLS");
    assert!(keyframe > 2 + 6, "the packets of a keyframe, and a report: {keyframe}");
    assert!(frames > keyframe + 39, "{frames}");
}

#[test]
fn a_session_that_never_connected_has_nothing_to_drop_when_it_ends() {
    let dropped = counted(["no_consent", "not_sealed"], || {
        let mut world = World::new();
        let (feed, ..) = video_feed(world.now, 1);
        let viewer = world.watch(&feed);
        assert!(world.close(world.visitors[viewer].id));
    });
    assert_eq!(dropped, [0, 0]);
}

#[test]
fn media_that_a_viewer_sends_is_counted() {
    let dropped = counted(["rtp_unknown_stream"], || {
        let mut world = World::new();
        let (feed, ..) = video_feed(world.now, 1);
        let viewer = world.watch_connected(&feed);
        world.rtp(viewer, &[0x80, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9], b"voice");
    });
    assert_eq!(dropped, [1]);
}

#[test]
fn frames_that_one_viewer_passes_over_are_counted() {
    let dropped = counted(["behind_whep", "behind_webrtc"], || {
        let mut world = World::new();
        let (feed, track, frames) = video_feed(world.now, 40);
        frames[..29].iter().for_each(|frame| world.push(&track, frame));
        let viewer = world.watch_connected(&feed);
        frames[29..].iter().for_each(|frame| world.push(&track, frame)); // The next group comes before it has caught up.
        assert_eq!(world.visitors[viewer].video().last().unwrap().at, frames[39].arrived);
    });
    assert!(dropped[0] > 0 && dropped[1] == 0, "{dropped:?}");
}

#[test]
fn packets_that_are_not_sent_again_are_counted() {
    let dropped = counted(["repair_unknown", "repair_over_budget"], || {
        let mut world = World::new();
        let (feed, track, mut frames) = video_feed(world.now, 2);
        frames[0].payload = Bytes::from([&400_000_u32.to_be_bytes()[..], &[0x65; 400_000]].concat());
        let viewer = world.watch_connected(&feed);
        frames.iter().for_each(|frame| world.push(&track, frame));
        let stream = world.visitors[viewer].answer.stream(sdp::MediaKind::Video).unwrap().ssrc.unwrap();
        let first = world.visitors[viewer].video()[0].sequence;
        let mut compound = Vec::new();
        for lost in [first.wrapping_sub(9), first] {
            compound.clear();
            report::receiver_report(&mut compound, 1, &[]);
            report::nack(&mut compound, 1, stream, [lost]);
            world.rtcp(viewer, &compound);
        }
        // The budget at once is 250 kB, 213 packets.
        for start in (1..=300).step_by(100) {
            compound.clear();
            report::receiver_report(&mut compound, 1, &[]);
            report::nack(&mut compound, 1, stream, (start..start + 100).map(|ahead| first.wrapping_add(ahead)));
            world.rtcp(viewer, &compound);
        }
        world.run_for(10 * MILLI);
    });
    assert_eq!(dropped[0], 1);
    assert!((60..=120).contains(&dropped[1]), "{dropped:?}");
}

#[test]
fn a_frame_that_makes_no_packets_is_counted() {
    let dropped = counted(["not_packetized"], || {
        let mut world = World::new();
        let (feed, track, mut frames) = video_feed(world.now, 3);
        frames[1].payload = Bytes::new();
        let viewer = world.watch_connected(&feed);
        frames.iter().for_each(|frame| world.push(&track, frame));
        world.run_for(Duration::from_secs(1));
        assert!(!world.visitors[viewer].video().is_empty());
    });
    assert_eq!(dropped, [1]);
}
