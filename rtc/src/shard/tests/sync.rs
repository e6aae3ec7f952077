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
