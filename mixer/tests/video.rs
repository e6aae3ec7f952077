//! Tests conversion of any video to H.264 without reordering, with real bitstreams.

#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use onmic_media::codec::vp8;
use onmic_media::{Codec, Feed, Frame, Join, MediaKind, Parameters, Track};
use onmic_mixer::{Config, Transcoder};
use support::{Recording, demand, derive, ffmpeg, from_flv, from_h265, from_ivf, next, picture_types, rest, run};

/// Encodes as OBS does: with B-frames, some of which are references.
fn with_b_frames(size: &str, seconds: u32, keyframe_every: u32) -> Recording {
    let arguments = format!(
        "-f lavfi -i testsrc2=s={size}:r=30:d={seconds} -pix_fmt yuv420p -c:v libx264 -preset ultrafast -bf 2 -b_strategy 0 \
         -x264-params b-pyramid=1:scenecut=0 -g {keyframe_every} -b:v 1500k"
    );
    from_flv(&ffmpeg(&arguments, "flv")).0.unwrap()
}

fn patient() -> Config {
    Config { backlog_max: Duration::from_secs(3600), ..Config::default() }
}

fn feed(config: Config) -> (Arc<Transcoder>, Arc<Feed>) {
    let transcoder = Transcoder::new(config);
    (transcoder.clone(), Feed::new(Some(transcoder)))
}

fn pts(frames: &[Arc<Frame>]) -> Vec<i64> {
    frames.iter().map(|frame| frame.pts.0).collect()
}

fn size(frame: &Frame) -> (u32, u32) {
    frame.parameters.resolution().unwrap()
}

#[test]
fn b_frames_are_removed_and_every_frame_is_kept() {
    let (_transcoder, feed) = feed(patient());
    let recording = with_b_frames("1280x720", 3, 30);
    assert!(recording.frames.windows(2).any(|pair| pair[1].pts < pair[0].pts), "the input has no B-frames");
    let out = derive(&feed, &recording, Codec::H264);
    assert_eq!(pts(&out), recording.pts(), "the same frames at the same times, in order");
    assert!(out.iter().all(|frame| frame.dts == frame.pts && size(frame) == (1280, 720)));
    let types = picture_types(&out);
    assert_eq!((types.len(), types.contains('B')), (90, false), "{types}");
    let keyframes: Vec<usize> = (0..out.len()).filter(|at| out[*at].keyframe).collect();
    assert_eq!(keyframes, [0, 30, 60], "keyframes where the input has them");
    for frame in &out {
        let source = recording.frames.iter().find(|source| source.pts == frame.pts).unwrap();
        assert_eq!(frame.wall, source.wall);
    }
    let Parameters::H264(h264) = &*out[0].parameters else { panic!("not H.264") };
    assert!(h264.declares_no_reordering());
}

#[test]
fn every_other_codec_becomes_h264_with_added_keyframes() {
    let source = "-f lavfi -i testsrc2=s=321x241:r=30:d=3 -pix_fmt yuv420p";
    let even = "-f lavfi -i testsrc2=s=320x240:r=30:d=3 -pix_fmt yuv420p";
    let recordings = [
        from_ivf(&ffmpeg(&format!("{source} -c:v libvpx -deadline realtime -cpu-used 8 -g 999"), "ivf")),
        from_ivf(&ffmpeg(
            &format!("{source} -c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 999 -lag-in-frames 0"),
            "ivf",
        )),
        from_ivf(&ffmpeg(&format!("{even} -c:v libsvtav1 -preset 12 -g 999"), "ivf")),
        from_h265(&ffmpeg(
            &format!("{even} -c:v libx265 -preset ultrafast -x265-params log-level=none:aud=1:bframes=0:keyint=999"),
            "hevc",
        )),
    ];
    let (_transcoder, feed) = feed(patient());
    for recording in recordings {
        let codec = recording.parameters().codec();
        let out = derive(&feed, &recording, Codec::H264);
        assert_eq!(pts(&out), recording.pts(), "{codec}");
        assert_eq!(size(&out[0]), (320, 240), "{codec}: odd sides are cut by one");
        assert_eq!(picture_types(&out).len(), 90, "{codec}");
        assert_eq!(out.iter().filter(|frame| frame.keyframe).count(), 2, "{codec}: at the start and after two seconds");
    }
}

#[test]
fn video_becomes_vp8_for_viewers_without_h264_until_the_input_is_vp8() {
    let (_transcoder, feed) = feed(patient());
    let mut recording = with_b_frames("640x360", 3, 999);
    let source = "-f lavfi -i testsrc2=s=320x240:r=30:d=1 -pix_fmt yuv420p -c:v libvpx -deadline realtime -g 999";
    let later = from_ivf(&ffmpeg(source, "ivf")).delayed(Duration::from_millis(3100));
    recording.frames.extend(later.frames.clone());
    let out = derive(&feed, &recording, Codec::Vp8);
    assert_eq!(pts(&out), recording.pts(), "the same frames at the same times, in order");
    assert!(out.iter().all(|frame| frame.dts == frame.pts && frame.keyframe == vp8::is_keyframe(&frame.payload)));
    let (encoded, passed) = out.split_at(90);
    assert!(encoded.iter().all(|frame| size(frame) == (640, 360)));
    assert_eq!(encoded.iter().filter(|frame| frame.keyframe).count(), 2, "at the start and after two seconds");
    assert!(passed.iter().zip(&later.frames).all(|(out, frame)| out.payload == frame.payload));
}

#[test]
fn the_first_frame_is_of_the_present_even_if_the_group_is_old() {
    let (_transcoder, feed) = feed(Config::default());
    let recording = with_b_frames("1280x720", 4, 120);
    let input = Arc::new(Track::new(recording.parameters()));
    feed.set_original(input.clone());
    recording.frames.iter().take(110).for_each(|frame| input.push(frame.clone()));
    let demand = demand(&feed, MediaKind::Video, Codec::H264);
    let mut reader = demand.track().reader(Join::Group);
    let first = next(&mut reader);
    assert!(first.keyframe);
    let newest = recording.frames[109].pts.0;
    assert!(newest - first.pts.0 <= 4 * 3000, "{} ticks behind", newest - first.pts.0);
    // After that every frame comes. None is behind: they arrive in one moment.
    let arrived = recording.frames[109].arrived;
    let rest_of_it: Vec<_> = recording.frames[110..].iter().map(|frame| Frame { arrived, ..frame.clone() }).collect();
    let mut out = run(&input, &rest_of_it, &mut reader, 12);
    input.end();
    out.extend(rest(&mut reader));
    let later: Vec<i64> = recording.pts().into_iter().filter(|pts| *pts > first.pts.0).collect();
    assert_eq!(pts(&out), later);
}

#[test]
fn a_new_frame_size_in_mid_stream_comes_with_new_parameters_on_a_keyframe() {
    let (_transcoder, feed) = feed(patient());
    let mut recording = with_b_frames("640x360", 1, 30);
    let second = with_b_frames("480x480", 1, 30).delayed(Duration::from_secs(1));
    recording.frames.extend(second.frames);
    let out = derive(&feed, &recording, Codec::H264);
    assert_eq!(pts(&out), recording.pts());
    let at = out.iter().position(|frame| size(frame) == (480, 480)).unwrap();
    assert_eq!((at, out[at].keyframe), (30, true));
    assert_eq!(picture_types(&out[..at]).len(), 30);
    assert_eq!(picture_types(&out[at..]).len(), 30);
}

#[test]
fn frames_in_order_are_passed_on_and_later_reordered_ones_are_encoded_again() {
    let (_transcoder, feed) = feed(patient());
    let arguments = "-f lavfi -i testsrc2=s=640x360:r=30:d=1 -pix_fmt yuv420p -c:v libx264 -preset ultrafast -tune zerolatency -g 30";
    let in_order = from_flv(&ffmpeg(arguments, "flv")).0.unwrap().delayed(Duration::from_millis(1100));
    assert_eq!(in_order.parameters().reorders(), Some(false));
    let mut recording = with_b_frames("640x360", 1, 30);
    let after = with_b_frames("640x360", 1, 30).delayed(Duration::from_millis(2200));
    recording.frames.extend(in_order.frames.iter().cloned());
    recording.frames.extend(after.frames);
    let out = derive(&feed, &recording, Codec::H264);
    assert_eq!(pts(&out), recording.pts());
    for frame in &in_order.frames {
        let passed = out.iter().find(|out| out.pts == frame.pts).unwrap();
        assert_eq!(passed.payload, frame.payload, "the frame is passed on as it came");
    }
    assert_eq!(picture_types(&out).len(), 90);
    assert!(out[60].keyframe && !Arc::ptr_eq(&out[60].parameters, &out[59].parameters));
}

#[test]
fn after_a_corrupt_frame_the_output_resumes_at_the_next_keyframe() {
    let (transcoder, feed) = feed(patient());
    let mut recording = with_b_frames("640x360", 3, 30);
    recording.frames[10].payload = Bytes::from_static(&[0, 0, 0, 9, 0xff, 1, 2]);
    recording.frames[12].payload = Bytes::new();
    let noise: Vec<u8> = (0..5000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    recording.frames[40].payload = Bytes::from([&4996_u32.to_be_bytes(), &noise[4..]].concat());
    let out = derive(&feed, &recording, Codec::H264);
    assert_eq!(picture_types(&out).len(), out.len());
    let of_last_group: Vec<i64> = recording.pts().split_off(60);
    assert!(pts(&out).ends_with(&of_last_group), "the last group is complete");
    assert!(out.len() >= 30 + 8 + 8, "{} frames", out.len());
    drop(feed);
    transcoder.shutdown();
}

#[test]
fn viewers_that_ask_for_keyframes_share_one() {
    let (_transcoder, feed) = feed(patient());
    let recording = with_b_frames("320x240", 2, 999).arriving_at_once();
    let input = Arc::new(Track::new(recording.parameters()));
    feed.set_original(input.clone());
    input.push(recording.frames[0].clone());
    let demand = demand(&feed, MediaKind::Video, Codec::H264);
    let mut reader = demand.track().reader(Join::Group);
    let mut out = run(&input, &recording.frames[1..10], &mut reader, 4);
    demand.track().want_keyframe();
    out.extend(run(&input, &recording.frames[10..13], &mut reader, 0));
    demand.track().want_keyframe();
    out.extend(run(&input, &recording.frames[13..], &mut reader, 4));
    input.end();
    out.extend(rest(&mut reader));
    let keyframes: Vec<usize> = (0..out.len()).filter(|at| out[*at].keyframe).collect();
    assert_eq!(keyframes, [0, 15], "there is one keyframe, half a second after the first");
}

#[test]
fn a_machine_that_cannot_keep_up_skips_to_the_present() {
    let (_transcoder, feed) = feed(Config::default());
    let recording = with_b_frames("640x360", 4, 30);
    let input = Arc::new(Track::new(recording.parameters()));
    feed.set_original(input.clone());
    input.push(recording.frames[0].clone());
    let demand = demand(&feed, MediaKind::Video, Codec::H264);
    let mut reader = demand.track().reader(Join::Group);
    for frame in &recording.frames[1..5] {
        input.push(frame.clone());
    }
    next(&mut reader);
    // Almost four seconds come at once, as if the thread had not run for that time.
    recording.frames[5..].iter().for_each(|frame| input.push(frame.clone()));
    input.end();
    let out = rest(&mut reader);
    assert!(out.len() < 60, "{} frames", out.len());
    let last = recording.pts()[119];
    assert!(last - out.last().unwrap().pts.0 <= 4 * 3000, "the output ends at the present");
}
