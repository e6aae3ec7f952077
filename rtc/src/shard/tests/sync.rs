//! Tests of viewers who get audio and video in step, and of viewers who get video first.

use std::sync::Arc;

use onmic_media::{AvSync, Codec, Frame, Track};

use super::MILLI;
use super::world::{Visitor, World, audio_feed};
use crate::rtp::tests::fixture;
use crate::sdp;

/// How much later audio comes than video: about as much as audio that RTMP brought in AAC.
const LATE_MS: u32 = 50;

/// Returns the canonical names that the source descriptions of a visitor's streams stated, of video and of audio.
fn cnames(visitor: &Visitor) -> [Vec<String>; 2] {
    [sdp::MediaKind::Video, sdp::MediaKind::Audio].map(|kind| {
        let ssrc = visitor.answer.stream(kind).unwrap().ssrc.unwrap();
        let mut names: Vec<_> = visitor.rtcp.iter().flat_map(|compound| described(compound, ssrc)).collect();
        names.dedup();
        names
    })
}

/// Returns the canonical names of `ssrc` in a compound packet.
fn described(mut compound: &[u8], ssrc: u32) -> Vec<String> {
    const SOURCE_DESCRIPTION: u8 = 202;
    let mut names = Vec::new();
    while let [_, kind, high, low, rest @ ..] = compound {
        if *kind == SOURCE_DESCRIPTION && rest.starts_with(&ssrc.to_be_bytes()) {
            let name = &rest[6..6 + usize::from(rest[5])];
            names.push(String::from_utf8(name.to_vec()).unwrap());
        }
        let length = 4 * (usize::from(u16::from_be_bytes([*high, *low])) + 1);
        compound = compound.get(length..).unwrap_or_default();
    }
    names
}

#[test]
fn every_viewer_is_sent_video_when_it_comes_and_only_those_in_step_are_told_that_audio_belongs_to_it() {
    let mut world = World::new();
    let began = world.now;
    let (feed, audio, _) = audio_feed(began, 1);
    let frames = fixture::synthetic(began, 90, 30, (6_000, 900));
    let video = Arc::new(Track::new(frames[0].parameters.clone()));
    feed.set_original(video.clone());
    let sound = fixture::repeated(Codec::Opus, began, 150).into_iter();
    let sound = sound.map(|frame| Frame { arrived: frame.arrived + MILLI * LATE_MS, ..frame });
    let mut all: Vec<_> = frames.iter().map(|frame| (&video, frame.clone())).collect();
    all.extend(sound.map(|frame| (&audio, frame)));
    all.sort_by_key(|(_, frame)| frame.arrived);

    let in_step = world.watch_connected(&feed);
    world.sync = AvSync::PictureFirst;
    let first = world.watch_connected(&feed);
    all.iter().for_each(|(track, frame)| world.push(track, frame));

    let [in_step, first] = [in_step, first].map(|viewer| &world.visitors[viewer]);
    for kind in [sdp::MediaKind::Video, sdp::MediaKind::Audio] {
        let sent = |visitor: &Visitor| visitor.of(kind).iter().map(|got| got.at).collect::<Vec<_>>();
        assert_eq!(sent(in_step), sent(first), "the server holds back neither");
    }
    let last = first.video().last().unwrap().at;
    assert_eq!(last, frames[89].arrived);
    assert_eq!(cnames(in_step), [["cname"], ["cname"]]);
    assert_eq!(cnames(first), [["cname"], ["cname-audio"]]);
}

/// Returns frames that arrive three at a time, with the last of the three.
fn in_bursts(frames: &[Frame]) -> Vec<Frame> {
    let burst =
        |burst: &[Frame]| burst.iter().map(|frame| Frame { arrived: burst[2].arrived, ..frame.clone() }).collect();
    frames.chunks_exact(3).flat_map::<Vec<_>, _>(burst).collect()
}

#[test]
fn audio_that_comes_in_bursts_leaves_at_nearly_even_intervals() {
    let mut world = World::new();
    let (feed, track, frames) = audio_feed(world.now, 150);
    let viewers = [world.watch_connected(&feed), world.watch_connected(&feed)];
    in_bursts(&frames).iter().for_each(|frame| world.push(&track, frame));
    for viewer in viewers {
        let heard = world.visitors[viewer].of(sdp::MediaKind::Audio);
        assert_eq!(heard.len(), 148, "the last two are not due yet");
        assert_eq!(heard[2].at, frames[2].arrived, "the first at once, because they waited for the track to be read");
        let steps: Vec<_> = heard[3..].windows(2).map(|pair| (pair[1].at - pair[0].at).as_millis()).collect();
        assert_eq!(steps, [10, 20, 30].repeat(49)[..144], "as they came: 0, 0 and 60 ms");
        assert!(world.close(world.visitors[viewer].id));
    }
    assert!(world.core.is_empty(), "nor does the shard wait for what it held");
}

#[test]
fn audio_that_is_held_when_its_track_ends_is_sent_before_the_goodbye() {
    let mut world = World::new();
    let (feed, track, frames) = audio_feed(world.now, 30);
    let viewer = world.watch_connected(&feed);
    in_bursts(&frames).iter().for_each(|frame| world.push(&track, frame));
    assert_eq!(world.visitors[viewer].of(sdp::MediaKind::Audio).len(), 28);
    feed.end();
    world.settle();
    assert_eq!(world.visitors[viewer].of(sdp::MediaKind::Audio).len(), 30);
    assert!(world.core.is_empty());
}
