//! Tests the rules of rfc8216bis with frames of any timing, and whole playlists as snapshots.
//!
//! `INSTA_UPDATE=always cargo test -p onmic-packager` writes the snapshots anew. Read the difference before committing
//! it.

#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::made_up::{Publisher, Random, check, check_named, check_seeded, play, settings, text, video_parameters};
use common::{EPOCH, START_MICROS, secs};
use mp4_atom::{Decode, Moof, Prft};
use onmic_media::codec::{Colour, aac};
use onmic_media::{ClockRate, Date, Frame, MediaKind, Parameters, Rendition as RenditionNumber, TrackKey};
use onmic_packager::playlist::{Around, render};
use onmic_packager::{Ignored, Rendition, Segmenter};

#[test]
fn a_playlist_in_the_middle_of_its_second_segment() {
    let mut segmenter = Segmenter::new(settings(), true);
    play(&Publisher::new(), &mut segmenter, 0.0, 2.7, 30.0, 60);
    insta::assert_snapshot!(text(&segmenter, MediaKind::Video, false), @r#"
    #EXTM3U
    #EXT-X-VERSION:9
    #EXT-X-TARGETDURATION:2
    #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=12.0,PART-HOLD-BACK=1.002,HOLD-BACK=6.0
    #EXT-X-PART-INF:PART-TARGET=0.334
    #EXT-X-MEDIA-SEQUENCE:1
    #EXT-X-DISCONTINUITY-SEQUENCE:0
    #EXT-X-INDEPENDENT-SEGMENTS
    #EXT-X-MAP:URI="video-init-0.mp4"
    #EXT-X-PROGRAM-DATE-TIME:2026-11-21T08:00:00.000Z
    #EXT-X-PART:DURATION=0.333333350,URI="video-part-0.m4s",INDEPENDENT=YES
    #EXT-X-PART:DURATION=0.333333351,URI="video-part-1.m4s"
    #EXT-X-PART:DURATION=0.333333350,URI="video-part-2.m4s"
    #EXT-X-PART:DURATION=0.333333350,URI="video-part-3.m4s"
    #EXT-X-PART:DURATION=0.333333351,URI="video-part-4.m4s"
    #EXT-X-PART:DURATION=0.333333350,URI="video-part-5.m4s"
    #EXTINF:2.000000100,
    video-1.m4s
    #EXT-X-PROGRAM-DATE-TIME:2026-11-21T08:00:02.000Z
    #EXT-X-PART:DURATION=0.333333350,URI="video-part-6.m4s",INDEPENDENT=YES
    #EXT-X-PART:DURATION=0.333333351,URI="video-part-7.m4s"
    #EXT-X-PRELOAD-HINT:TYPE=PART,URI="video-part-8.m4s"
    #EXT-X-RENDITION-REPORT:URI="audio.m3u8",LAST-MSN=2,LAST-PART=1
    "#);
    insta::assert_snapshot!("audio_in_the_middle_of_its_second_segment", text(&segmenter, MediaKind::Audio, false));
}

#[test]
fn the_end_of_a_segment_is_listed_with_the_first_part_of_the_next() {
    let end = |seconds: f64| {
        let mut segmenter = Segmenter::new(settings(), true);
        play(&Publisher::new(), &mut segmenter, 0.0, seconds, 30.0, 60);
        let lines = text(&segmenter, MediaKind::Video, false);
        lines[lines.rfind("video-part-11").unwrap()..].lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let open = end(4.1);
    assert!(open[1].starts_with("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"video-part-12.m4s\""), "{open:#?}");
    assert!(open[2].ends_with("LAST-MSN=2,LAST-PART=5"), "{open:#?}");
    let begun = end(4.4);
    assert_eq!(begun[1..3], ["#EXTINF:2.000000100,", "video-2.m4s"]);
    assert!(begun[4].contains("video-part-12.m4s"), "{begun:#?}");
}

#[test]
fn no_part_has_more_frames_than_one_may_have_also_the_first_and_of_one_time() {
    let (publisher, mut segmenter) = (Publisher::new(), Segmenter::new(settings(), true));
    for number in 0..5000 {
        segmenter.push(TrackKey::VIDEO, &publisher.video(0, number == 0)).unwrap();
    }
    let open = segmenter.rendition(TrackKey::VIDEO).unwrap().open().unwrap();
    assert_eq!(open.parts.iter().map(|part| part.samples).collect::<Vec<_>>(), [960; 5]);
}

#[test]
fn a_delta_update_leaves_out_segments_older_than_six_target_durations() {
    let mut segmenter = Segmenter::new(settings(), true);
    play(&Publisher::new(), &mut segmenter, 0.0, 32.5, 30.0, 60);
    let whole = text(&segmenter, MediaKind::Video, false);
    let delta = text(&segmenter, MediaKind::Video, true);
    insta::assert_snapshot!("a_delta_update", delta);
    assert!(whole.ends_with(&delta[delta.find("#EXTINF").unwrap()..]));
    // Parts only near the end: three segments of the last six seconds, and the open one.
    assert_eq!(whole.matches("#EXT-X-PART:").count(), 3 * 6 + 1, "{whole}");
}

#[test]
fn the_window_slides_and_segments_that_leave_it_are_handed_on() {
    let mut segmenter = Segmenter::new(settings(), true);
    play(&Publisher::new(), &mut segmenter, 0.0, 60.2, 30.0, 60);
    let rendition = segmenter.rendition_mut(MediaKind::Video).unwrap();
    let evicted = rendition.take_evicted();
    assert_eq!(evicted.iter().map(|segment| segment.msn).collect::<Vec<_>>(), (1..13).collect::<Vec<_>>());
    let whole = text(&segmenter, MediaKind::Video, false);
    insta::assert_snapshot!("a_window_that_slid", whole);
}

#[test]
fn the_audio_playlist_begins_one_segment_after_the_video_playlist_once_they_slide() {
    let first = |segmenter: &Segmenter, kind| segmenter.rendition(kind).unwrap().segments().next().unwrap().msn;
    let mut segmenter = Segmenter::new(settings(), true);
    let publisher = Publisher::new();
    play(&publisher, &mut segmenter, 0.0, 34.0, 30.0, 60);
    assert_eq!((first(&segmenter, MediaKind::Video), first(&segmenter, MediaKind::Audio)), (1, 1));
    for second in 17..40 {
        play(&publisher, &mut segmenter, f64::from(second) * 2.0, f64::from(second + 1) * 2.0, 30.0, 60);
        let video = first(&segmenter, MediaKind::Video);
        let expected = if video > 1 { video + 1 } else { 1 };
        assert_eq!(first(&segmenter, MediaKind::Audio), expected, "at {second}");
        check(&segmenter, 0.334);
    }
    assert!(first(&segmenter, MediaKind::Video) > 10);
}

#[test]
fn the_end_is_stated_and_no_part_is_hinted() {
    let mut segmenter = Segmenter::new(settings(), true);
    play(&Publisher::new(), &mut segmenter, 0.0, 2.5, 30.0, 60);
    segmenter.finish().unwrap();
    let whole = text(&segmenter, MediaKind::Video, false);
    assert!(whole.ends_with("#EXTINF:0.500000025,\nvideo-2.m4s\n#EXT-X-ENDLIST\n"), "{whole}");
    assert!(!whole.contains("PRELOAD-HINT"));
}

#[test]
fn a_publisher_that_returns_is_a_discontinuity_in_both_renditions() {
    let publisher = Publisher::new();
    let mut segmenter = Segmenter::new(settings(), true);
    play(&publisher, &mut segmenter, 0.0, 3.0, 30.0, 60);
    play(&publisher, &mut segmenter, 8.0, 10.5, 30.0, 60);
    let video = text(&segmenter, MediaKind::Video, false);
    let tags =
        "#EXTINF:1.000000050,\nvideo-2.m4s\n#EXT-X-DISCONTINUITY\n#EXT-X-PROGRAM-DATE-TIME:2026-11-21T08:00:08.000Z\n";
    assert!(video.contains(tags), "{video}");
    let audio = text(&segmenter, MediaKind::Audio, false);
    assert!(
        audio.contains("audio-2.m4s\n#EXT-X-DISCONTINUITY\n#EXT-X-PROGRAM-DATE-TIME:2026-11-21T08:00:08.0"),
        "{audio}"
    );
    check(&segmenter, 0.334);
}

#[test]
fn parts_after_a_hole_are_gathered_up_to_the_hold_back() {
    let publisher = Publisher::new();
    let mut segmenter = Segmenter::new(settings(), true);
    let gather = |segmenter: &Segmenter| {
        let of = |kind| segmenter.rendition(kind).is_some_and(Rendition::is_gathering);
        (of(MediaKind::Video), of(MediaKind::Audio))
    };
    play(&publisher, &mut segmenter, 0.0, 3.0, 30.0, 60);
    assert_eq!(gather(&segmenter), (false, false), "the first parts are published at once");
    play(&publisher, &mut segmenter, 5.0, 5.9, 30.0, 60);
    assert_eq!(gather(&segmenter), (true, true));
    play(&publisher, &mut segmenter, 5.9, 6.4, 30.0, 60);
    assert_eq!(gather(&segmenter), (false, false));
    play(&publisher, &mut segmenter, 6.45, 7.0, 30.0, 60);
    assert_eq!(gather(&segmenter), (false, false), "a gap shorter than a part is not a hole");
}

#[test]
fn a_hole_is_as_old_as_it_was_when_the_audio_has_another_sample_rate() {
    let mut publisher = Publisher::new();
    let mut segmenter = Segmenter::new(settings(), true);
    play(&publisher, &mut segmenter, 0.0, 3.0, 30.0, 60);
    play(&publisher, &mut segmenter, 5.0, 9.0, 30.0, 60);
    publisher.audio = Arc::new(Parameters::Aac(aac::Parameters::low_complexity(16_000, 2).unwrap()));
    let mut frames: Vec<_> = (0..120).map(|n| publisher.video(9_000_000 + n * 100_000 / 3, n % 60 == 0)).collect();
    frames.extend((0..62).map(|n| publisher.audio(9_000_000 + n * 64_000)));
    frames.sort_by_key(|frame| frame.dts.micros(frame.parameters.clock_rate()));
    for frame in &frames {
        segmenter.push(frame.kind().into(), frame).unwrap();
    }
    let audio = segmenter.rendition(MediaKind::Audio).unwrap();
    assert_eq!(audio.rate().hz(), 16_000);
    assert!(!audio.is_gathering(), "the hole was seconds ago");
}

#[test]
fn new_parameters_make_a_new_map_and_a_discontinuity() {
    let mut publisher = Publisher::new();
    let mut segmenter = Segmenter::new(settings(), true);
    play(&publisher, &mut segmenter, 0.0, 2.0, 30.0, 60);
    // The same parameters in a new Arc are not a change.
    publisher.video = video_parameters();
    play(&publisher, &mut segmenter, 2.0, 4.0, 30.0, 60);
    assert!(!text(&segmenter, MediaKind::Video, false).contains("#EXT-X-DISCONTINUITY\n"));
    let Parameters::H264(mut sets) = (*video_parameters()).clone() else { panic!() };
    sets.pps.push(Bytes::from_static(&[0x68, 0x4b, 0xcf, 0x20]));
    publisher.video = Arc::new(Parameters::H264(sets));
    play(&publisher, &mut segmenter, 4.0, 6.0, 30.0, 60);
    let video = text(&segmenter, MediaKind::Video, false);
    assert!(video.contains("#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"video-init-1.mp4\"\n"), "{video}");
    let audio = text(&segmenter, MediaKind::Audio, false);
    assert!(audio.contains("#EXT-X-DISCONTINUITY\n") && !audio.contains("audio-init-1"), "{audio}");
}

#[test]
fn audio_of_another_take_leaves_no_hole_wherever_it_begins() {
    let other_sets = || {
        let Parameters::H264(mut sets) = (*video_parameters()).clone() else { panic!() };
        sets.pps.push(Bytes::from_static(&[0x68, 0x4b, 0xcf, 0x20]));
        Arc::new(Parameters::H264(sets))
    };
    let rates = [48_000, 44_100].map(|hz| Arc::new(Parameters::Aac(aac::Parameters::low_complexity(hz, 1).unwrap())));
    // The audio ends and begins this many milliseconds after the video, which has no gap.
    // The last keyframe before may be two frames before.
    for ((parameters, short), end, begin) in [Some(&rates[0]), Some(&rates[1]), None]
        .into_iter()
        .flat_map(|parameters| [false, true].map(|short| (parameters, short)))
        .flat_map(|case| [-100, -40, 0, 40].map(|end| (case, end)))
        .flat_map(|(case, end)| [-40, -20, 0, 20, 45, 90, 300, 1500].map(|begin| (case, end, begin)))
    {
        let place = format!("{parameters:?}, short {short}, ends at {end} ms, begins at {begin} ms");
        let mut publisher = Publisher::new();
        let mut segmenter = Segmenter::new(settings(), true);
        let packet = |rate: i64, n: i64| n * 1_024_000_000 / rate;
        let keyframe = |n| n % 60 == 0 || short && n == 118;
        let mut frames: Vec<_> = (0..120).map(|n| publisher.video(n * 100_000 / 3, keyframe(n))).collect();
        let cut = 4_000_000;
        let ends = cut + end * 1000;
        frames.extend(
            (0..).map(|n| packet(48_000, n)).take_while(|at| at + 21_333 <= ends).map(|at| publisher.audio(at)),
        );
        publisher.video = other_sets();
        let rate = parameters.map_or(48_000, |parameters| i64::from(parameters.clock_rate().hz()));
        publisher.audio = parameters.cloned().unwrap_or(publisher.audio);
        frames.extend((0..180).map(|n| publisher.video(cut + n * 100_000 / 3, n % 60 == 0)));
        let begins = cut + begin.max(end) * 1000;
        let at = (0..).map(|n| begins + packet(rate, n)).take_while(|at| *at < cut + 6_000_000);
        frames.extend(at.map(|at| publisher.audio(at)));
        frames.sort_by_key(|frame| frame.dts.micros(frame.parameters.clock_rate()));
        for frame in &frames {
            segmenter.push(frame.kind().into(), frame).unwrap();
        }
        let [video, audio] = [MediaKind::Video, MediaKind::Audio].map(|kind| segmenter.rendition(kind).unwrap());
        let seconds = |(start, end): (u64, u64), rate: i64| (start as f64 / rate as f64, end as f64 / rate as f64);
        let mut known: Option<(f64, f64)> = None;
        for segment in audio.segments().map(|segment| &**segment).chain(audio.open()) {
            let rate = i64::from(segment.init.parameters.clock_rate().hz());
            for part in &segment.parts {
                let span = seconds(chunk(part), rate);
                let gap = known.map_or(0.0, |known| span.0 - known.1);
                assert!(gap.abs() < 0.001, "{place}: a gap of {gap} s before {}", span.0);
                known = Some(span);
            }
        }
        let (mut of_video, mut of_audio) = (0.0, 0.0);
        for (video, audio) in video.segments().zip(audio.segments()) {
            of_video += video.duration.as_secs_f64();
            of_audio += audio.duration.as_secs_f64();
            assert!((of_video - of_audio).abs() < 0.1, "{place}: {of_video} s and {of_audio} s up to {}", video.msn);
            assert_eq!(video.discontinuity, audio.discontinuity, "{place}: {}", video.msn);
        }
        let breaks = [video, audio].map(|one| one.segments().filter(|segment| segment.discontinuity).count());
        assert_eq!(breaks, [1, 1], "{place}");
        if rate == 48_000 {
            check_named(&segmenter, 0.334, &place); // It reads all parts by one clock.
        }
    }
}

#[test]
fn a_group_above_the_target_duration_is_cut_in_even_pieces() {
    let mut segmenter = Segmenter::new(settings(), true);
    play(&Publisher::new(), &mut segmenter, 0.0, 31.0, 30.0, 300);
    let rendition = segmenter.rendition(MediaKind::Video).unwrap();
    let lengths: Vec<_> = rendition.segments().map(|segment| segment.duration.as_secs_f64()).collect();
    assert!(lengths.iter().all(|seconds| seconds.round() <= 4.0), "{lengths:?}");
    assert!(lengths[3..].iter().all(|seconds| (3.2..3.5).contains(seconds)), "{lengths:?}");
    assert!(!text(&segmenter, MediaKind::Video, false).contains("INDEPENDENT-SEGMENTS"));
    check(&segmenter, 0.334);
}

#[test]
fn dates_of_a_long_group_with_reordered_frames_advance_as_its_segments_do() {
    let publisher = Publisher::new();
    let mut segmenter = Segmenter::new(settings(), true);
    for n in 0..900_i64 {
        // I P B B P B B …: a frame is shown up to three intervals after it is decoded.
        let composition = if n % 250 == 0 { 1 } else { [0, 3, 0][(n % 250 % 3) as usize] };
        let micros = |intervals: i64| intervals * 100_000 / 3;
        let frame = publisher.frame(&publisher.video, micros(n), micros(composition), n % 250 == 0);
        segmenter.push(TrackKey::VIDEO, &frame).unwrap();
    }
    let video = segmenter.rendition(TrackKey::VIDEO).unwrap();
    let segments: Vec<_> = video.segments().collect();
    assert!(segments.len() > 6 && segments.iter().any(|segment| !segment.independent()), "groups are cut in pieces");
    for pair in segments.windows(2) {
        let dated = pair[1].program_date_time.micros_since(pair[0].program_date_time);
        let length = pair[0].duration.as_micros() as i64;
        assert!((dated - length).abs() < 2_000, "{} after {length} µs: {dated}", pair[1].msn);
    }
}

#[test]
fn a_four_second_group_is_one_segment() {
    let mut segmenter = Segmenter::new(settings(), true);
    play(&Publisher::new(), &mut segmenter, 0.0, 13.0, 30.0, 120);
    let video = text(&segmenter, MediaKind::Video, false);
    assert_eq!(video.matches("#EXTINF:4.000000200,").count(), 3, "{video}");
    assert!(video.contains("INDEPENDENT-SEGMENTS"));
}

#[test]
fn a_keyframe_is_asked_for_once_when_a_segment_is_due() {
    let publisher = Publisher::new();
    let mut segmenter = Segmenter::new(settings(), true);
    let mut asked = 0;
    for n in 0..100 {
        segmenter.push(TrackKey::VIDEO, &publisher.video(n * 33_333, n == 0)).unwrap();
        asked += usize::from(segmenter.take_keyframe_wanted());
    }
    assert_eq!(asked, 1);
}

#[test]
fn the_part_target_follows_the_frame_rate() {
    for (fps, target) in
        [(60.0, 0.334), (50.0, 0.341), (25.0, 0.361), (24.0, 0.334), (15.0, 0.334), (5.0, 0.201), (1.0, 1.001)]
    {
        let mut segmenter = Segmenter::new(settings(), true);
        play(&Publisher::new(), &mut segmenter, 0.0, 12.0, fps, (fps * 2.0) as usize);
        let chosen = segmenter.rendition(MediaKind::Video).unwrap().part_target().unwrap();
        assert_eq!(chosen, secs(target), "{fps} fps");
        check(&segmenter, target);
    }
}

#[test]
fn segments_are_divided_evenly_and_leave_no_short_last_part() {
    for (fps, gop) in [(25.0, 50), (30.0, 60), (50.0, 100), (60.0, 150), (24.0, 96), (30.0, 72)] {
        let publisher = Publisher::new();
        let mut segmenter = Segmenter::new(settings(), true);
        play(&publisher, &mut segmenter, 0.0, 30.0, fps, gop);
        for kind in [MediaKind::Video, MediaKind::Audio] {
            let rendition = segmenter.rendition(kind).unwrap();
            let target = rendition.part_target().unwrap();
            // The length of the first segment tells how to divide the second.
            for segment in rendition.segments().skip(1) {
                let last = segment.parts.last().unwrap().duration;
                assert!(last >= target * 7 / 10, "{kind:?} at {fps} fps: {last:?} of {target:?} in {}", segment.msn);
            }
        }
        check(&segmenter, 0.4);
    }
}

#[test]
fn a_short_part_at_the_end_of_a_segment_waits_for_the_next_one() {
    let publisher = Publisher::new();
    let mut segmenter = Segmenter::new(settings(), true);
    let mut short = 0;
    // Every other group is a frame longer than the one before it, so the division does not foresee its end.
    for n in 0..600 {
        segmenter.push(TrackKey::VIDEO, &publisher.video(n * 100_000 / 3, matches!(n % 121, 0 | 60))).unwrap();
        let video = segmenter.rendition(MediaKind::Video).unwrap();
        let open = video.open().unwrap();
        let last = open.parts.last().or_else(|| video.segments().next_back()?.parts.last());
        let length = last.map_or(1.0, |part| part.duration.as_secs_f64());
        let is_short = open.parts.is_empty() && length < 0.167;
        assert_eq!(video.ends_shortly(), is_short, "frame {n}: {length} s");
        short += usize::from(is_short);
    }
    assert!(short > 0, "a segment ended with a short part");
}

#[test]
fn audio_alone_is_cut_by_itself() {
    let publisher = Publisher::new();
    let mut segmenter = Segmenter::new(settings(), false);
    for n in 0..500 {
        segmenter.push(TrackKey::AUDIO, &publisher.audio(n * 21_333)).unwrap();
    }
    let audio = text(&segmenter, MediaKind::Audio, false);
    assert_eq!(audio.matches("#EXTINF:1.984000100,").count(), 5, "{audio}");
    assert!(!audio.contains("RENDITION-REPORT"));
    check(&segmenter, 0.321);
}

#[test]
fn captions_are_denied_unless_a_keyframe_has_some() {
    let publisher = Publisher::new();
    for with_captions in [false, true] {
        let mut segmenter = Segmenter::new(settings(), true);
        for n in 0..90 {
            let mut frame = (*publisher.video(n * 100_000 / 3, n % 60 == 0)).clone();
            if with_captions {
                // A SEI of registered user data (ATSC A/53) in front of the slice, each behind its length.
                let sei = [0x06, 4, 9, 0xb5, 0x00, 0x31, b'G', b'A', b'9', b'4', 3, 0xff, 0x80];
                frame.payload = [&[0, 0, 0, 13][..], &sei, &frame.payload].concat().into();
            }
            segmenter.push(TrackKey::VIDEO, &Arc::new(frame)).unwrap();
        }
        let text = onmic_packager::multivariant::render(&segmenter, "", &[], &[]).unwrap();
        assert_eq!(text.contains("CLOSED-CAPTIONS=NONE"), !with_captions, "{text}");
    }
}

#[test]
fn video_of_high_dynamic_range_is_named_so() {
    for (transfer, range) in [(1, None), (2, None), (16, Some("VIDEO-RANGE=PQ")), (18, Some("VIDEO-RANGE=HLG"))] {
        let mut publisher = Publisher::new();
        let Parameters::H264(mut video) = (*publisher.video).clone() else { panic!("the video is not H.264") };
        video.colour = Some(Colour { primaries: 9, transfer, matrix: 9, full_range: false });
        publisher.video = Arc::new(Parameters::H264(video));
        let mut segmenter = Segmenter::new(settings(), true);
        play(&publisher, &mut segmenter, 0.0, 2.7, 30.0, 60);
        let text = onmic_packager::multivariant::render(&segmenter, "", &[], &[]).unwrap();
        let stated = text.split([',', '\n']).find(|attribute| attribute.starts_with("VIDEO-RANGE"));
        assert_eq!(stated, range, "{text}");
    }
}

#[test]
fn video_alone_needs_no_audio() {
    let publisher = Publisher::new();
    let mut segmenter = Segmenter::new(settings(), true);
    for n in 0..300 {
        segmenter.push(TrackKey::VIDEO, &publisher.video(n * 33_333, n % 60 == 0)).unwrap();
    }
    assert!(segmenter.rendition(MediaKind::Audio).is_none());
    check(&segmenter, 0.334);
}

#[test]
fn frames_that_are_left_out_after_they_have_waited_are_counted() {
    let (publisher, further) = (Publisher::new(), TrackKey::new(MediaKind::Video, RenditionNumber(1)));
    let mut segmenter = Segmenter::new(settings(), true);
    for n in 0..5 {
        let pushed = segmenter.push(further, &publisher.video(n * 33_333, false));
        assert_eq!(pushed.unwrap(), None, "they wait for the main video");
    }
    assert!(segmenter.take_left_out().is_empty());
    for n in 0..6 {
        segmenter.push(TrackKey::VIDEO, &publisher.video(n * 33_333, n == 0)).unwrap();
    }
    assert_eq!(segmenter.take_left_out(), [(Ignored::NoKeyframe, 5)]);
    assert!(segmenter.take_left_out().is_empty());
}

#[test]
fn audio_waits_for_the_first_video_frame() {
    let publisher = Publisher::new();
    let mut segmenter = Segmenter::new(settings(), true);
    assert_eq!(segmenter.push(TrackKey::VIDEO, &publisher.video(0, false)).unwrap(), Some(Ignored::NoKeyframe));
    for n in 0..50 {
        segmenter.push(TrackKey::AUDIO, &publisher.audio(n * 21_333)).unwrap();
    }
    segmenter.push(TrackKey::VIDEO, &publisher.video(1_000_000, true)).unwrap();
    segmenter.push(TrackKey::AUDIO, &publisher.audio(50 * 21_333)).unwrap();
    let first = segmenter.rendition(MediaKind::Audio).unwrap().open().unwrap().program_date_time;
    assert!(first.micros_since(Date(EPOCH.micros() + 1_000_000)).abs() < 22_000);
}

#[test]
fn audio_goes_on_without_a_video_that_never_has_a_keyframe() {
    let publisher = Publisher::new();
    let mut segmenter = Segmenter::new(settings(), true);
    for n in 0..500 {
        segmenter.push(TrackKey::VIDEO, &publisher.video(n * 21_333, false)).unwrap();
        segmenter.push(TrackKey::AUDIO, &publisher.audio(n * 21_333)).unwrap();
        if n == 250 {
            assert!(segmenter.rendition(MediaKind::Audio).is_none(), "the audio waits for the video");
            segmenter.go_without_video().unwrap();
        }
    }
    let audio = segmenter.rendition(MediaKind::Audio).unwrap();
    assert_eq!(audio.segments().count(), 5, "the held audio is packaged too");
    check(&segmenter, 0.321);
}

#[test]
fn audio_that_stops_becomes_silence_and_keeps_its_numbers() {
    let publisher = Publisher::new();
    let mut segmenter = Segmenter::new(settings(), true);
    play(&publisher, &mut segmenter, 0.0, 4.0, 30.0, 60);
    for n in 120..600 {
        segmenter.push(TrackKey::VIDEO, &publisher.video(n * 33_333, n % 60 == 0)).unwrap();
    }
    let audio = segmenter.rendition(MediaKind::Audio).unwrap();
    let video = segmenter.rendition(MediaKind::Video).unwrap();
    assert_eq!(audio.next().msn, video.next().msn);
    assert!(audio.segments().all(|segment| !segment.gap));
    check(&segmenter, 0.334);
}

#[test]
fn video_that_stops_comes_back_after_gap_segments() {
    let publisher = Publisher::new();
    let mut segmenter = Segmenter::new(settings(), true);
    play(&publisher, &mut segmenter, 0.0, 4.0, 30.0, 60);
    for n in 188..800 {
        segmenter.push(TrackKey::AUDIO, &publisher.audio(n * 21_333)).unwrap();
    }
    assert_eq!(segmenter.rendition(MediaKind::Audio).unwrap().next().msn, 8);
    play(&publisher, &mut segmenter, 17.1, 19.5, 30.0, 60);
    let video = text(&segmenter, MediaKind::Video, false);
    insta::assert_snapshot!("gaps_behind_an_absence", video);
    let audio = segmenter.rendition(MediaKind::Audio).unwrap().next();
    assert_eq!(audio.msn, segmenter.rendition(MediaKind::Video).unwrap().next().msn);
}

#[test]
fn video_that_stands_still_is_repeated_until_its_next_keyframe() {
    let publisher = Publisher::new();
    let mut segmenter = Segmenter::new(settings(), true);
    segmenter.repeat_still_video(true);
    play(&publisher, &mut segmenter, 0.0, 4.5, 30.0, 60);
    let listed = |segmenter: &Segmenter, kind: MediaKind| {
        let rendition = segmenter.rendition(kind).unwrap();
        let open = rendition.open().unwrap().duration;
        rendition.segments().map(|segment| segment.duration).sum::<Duration>() + open
    };
    for packet in 211..500 {
        segmenter.push(TrackKey::AUDIO, &publisher.audio(packet * 21_333)).unwrap();
        let (video, audio) = (listed(&segmenter, MediaKind::Video), listed(&segmenter, MediaKind::Audio));
        assert!(video + secs(1.0) > audio, "players have {video:?} of video, and {audio:?} of audio");
    }
    assert!(segmenter.video_stands_still());
    segmenter.take_keyframe_wanted();
    let useless = segmenter.push(TrackKey::VIDEO, &publisher.video(10_700_000, false));
    assert_eq!(useless.unwrap(), Some(Ignored::NoKeyframe));
    assert!(segmenter.take_keyframe_wanted());
    play(&publisher, &mut segmenter, 10.8, 15.0, 30.0, 60);
    assert!(!segmenter.video_stands_still());
    check(&segmenter, 0.334);
    let playlist = text(&segmenter, MediaKind::Video, false);
    assert!(!playlist.contains("GAP") && !playlist.contains("DISCONTINUITY\n"), "{playlist}");
}

#[test]
fn video_does_not_stand_still_where_it_is_slow_or_the_audio_is_away_too_or_its_publisher_does_not_answer() {
    for (frames_per_second, audio_from, repeats) in [(2.0, 5.0, true), (30.0, 11.0, true), (30.0, 5.0, false)] {
        let publisher = Publisher::new();
        let mut segmenter = Segmenter::new(settings(), true);
        segmenter.repeat_still_video(repeats);
        play(&publisher, &mut segmenter, 0.0, 5.0, frames_per_second, 60);
        for packet in 0..60 {
            let micros = (audio_from * 1e6) as i64 + packet * 21_333;
            segmenter.push(TrackKey::AUDIO, &publisher.audio(micros)).unwrap();
        }
        assert!(!segmenter.video_stands_still(), "{frames_per_second} fps, audio from {audio_from} s on");
    }
}

/// The limits that a playlist states, and that what it lists keeps. They may never change.
fn limits(segmenter: &Segmenter, kind: MediaKind, place: &str) -> Option<Vec<String>> {
    let others: Vec<_> = segmenter.renditions().filter(|other| other.key() != kind.into()).collect();
    let around = Around { others: &others, ended: false };
    let text = render(segmenter.rendition(kind)?, segmenter.settings(), around, false)?;
    let stated = ["#EXT-X-TARGETDURATION:", "#EXT-X-SERVER-CONTROL:", "#EXT-X-PART-INF:PART-TARGET="];
    let stated = stated.map(|tag| text.lines().find_map(|line| line.strip_prefix(tag)).unwrap().to_owned());
    let (target, part_target): (f64, f64) = (stated[0].parse().unwrap(), stated[2].parse().unwrap());
    for line in text.lines() {
        let seconds = |rest: &str| rest.split(',').next().unwrap().parse::<f64>().unwrap();
        if let Some(rest) = line.strip_prefix("#EXT-X-PART:DURATION=") {
            assert!(seconds(rest) <= part_target, "{place}: {line} of {part_target}");
        } else if let Some(rest) = line.strip_prefix("#EXTINF:") {
            assert!(seconds(rest).round() <= target, "{place}: {line} of {target}");
        }
    }
    assert_eq!(text.matches("#EXT-X-PRELOAD-HINT:").count(), 1, "{place}");
    // Players that see parts take the last one for the end of the playlist.
    let (mut seen, mut has_parts) = (false, false);
    for line in text.lines() {
        has_parts |= line.starts_with("#EXT-X-PART:");
        if !line.starts_with('#') {
            assert!(has_parts || !seen, "{place}: {line} has no parts, and one before it has\n{text}");
            (seen, has_parts) = (seen || has_parts, false);
        }
    }
    Some(stated.to_vec())
}

/// Where the chunks of a rendition begin and end in the media.
fn chunks(rendition: &Rendition) -> Vec<(u64, u64)> {
    let segments = rendition.segments().map(|segment| &**segment).chain(rendition.open());
    segments.flat_map(|segment| &segment.parts).map(|part| chunk(part)).collect()
}

/// Where a part begins and ends in the media.
fn chunk(part: &onmic_packager::Part) -> (u64, u64) {
    let bytes = part.body.to_vec();
    let mut rest = &bytes[..];
    Prft::decode(&mut rest).unwrap();
    let traf = Moof::decode(&mut rest).unwrap().traf.remove(0);
    let start = traf.tfdt.unwrap().base_media_decode_time;
    let durations = traf.trun[0].samples.iter().map(|sample| u64::from(sample.duration.unwrap()));
    (start, start + durations.sum::<u64>())
}

#[test]
fn no_frame_rate_breaks_a_limit_or_leaves_a_hole_in_the_media() {
    // Frames of 33 ms, then slow ones, then fast ones again; a keyframe every 2 s, or with each slow frame, or never again.
    for (slow_ms, slow_keyframes) in [100, 350, 400, 500, 900, 1000, 1700, 2500, 5000, 13_000]
        .into_iter()
        .flat_map(|ms| [1, 3, 1000].map(|every| (ms, every)))
    {
        for with_audio in [true, false] {
            let place = format!("a frame every {slow_ms} ms, each {slow_keyframes} a keyframe, audio {with_audio}");
            let publisher = Publisher::new();
            let mut segmenter = Segmenter::new(settings(), true);
            let mut frames: Vec<_> = (0..300).map(|n| publisher.video(n * 100_000 / 3, n % 60 == 0)).collect();
            let slow = 20_000 / slow_ms + 2;
            let at = |n: i64| 10_000_000 + n * slow_ms * 1000;
            frames.extend((0..slow).map(|n| publisher.video(at(n), n % slow_keyframes == 0)));
            frames.extend((0..300).map(|n| publisher.video(at(slow) + n * 100_000 / 3, n % 60 == 0)));
            let end = at(slow) + 10_000_000;
            let audio = if with_audio { end * 3 / 64_000 } else { 0 };
            frames.extend((0..audio).map(|n| publisher.audio(n * 64_000 / 3)));
            frames.sort_by_key(|frame| frame.dts.micros(frame.parameters.clock_rate()));
            let mut stated: [Option<Vec<String>>; 2] = [None, None];
            for frame in &frames {
                segmenter.push(frame.kind().into(), frame).unwrap();
                for kind in [MediaKind::Video, MediaKind::Audio] {
                    let known = &mut stated[kind as usize];
                    let now = limits(&segmenter, kind, &place);
                    assert!(known.is_none() || *known == now, "{place}: {known:?} becomes {now:?}");
                    *known = now;
                }
            }
            check_named(&segmenter, 0.334, &place);
            let video = segmenter.rendition(MediaKind::Video).unwrap();
            // A player goes on decoding while a frame begins within twice the duration of the one before it.
            for pair in chunks(video).windows(2) {
                // A keyframe that late, and nothing else meanwhile, is of a publisher that was away: a discontinuity.
                let may_be_away = slow_keyframes < 1000 && slow_ms >= if with_audio { 10_000 } else { 500 };
                assert!(pair[1].0 == pair[0].1 || may_be_away, "{place}: {pair:?}");
            }
            let breaks = video.segments().filter(|segment| segment.discontinuity).count();
            assert!(breaks <= 2, "{place}: {breaks} discontinuities");
            assert!(!video.open().unwrap().whole, "{place}: fast frames are in parts again");
            let is_slow = |ms| ms > 334 + 500 || ms > 334 * 9 / 8;
            let whole = video.segments().filter(|segment| segment.whole).count();
            assert_eq!(whole > 0, is_slow(slow_ms), "{place}: {whole} whole segments");
        }
    }
}

#[test]
fn a_still_picture_from_the_start_is_in_whole_segments() {
    let publisher = Publisher::new();
    let mut segmenter = Segmenter::new(settings(), true);
    let mut frames: Vec<_> = (0..8).map(|n| publisher.video(n * 5_000_000, true)).collect();
    frames.extend((0..1800).map(|n| publisher.audio(n * 64_000 / 3)));
    frames.sort_by_key(|frame| frame.dts.micros(frame.parameters.clock_rate()));
    for frame in &frames {
        segmenter.push(frame.kind().into(), frame).unwrap();
        limits(&segmenter, MediaKind::Video, "a still picture");
        limits(&segmenter, MediaKind::Audio, "its audio");
    }
    let video = segmenter.rendition(MediaKind::Video).unwrap();
    assert_eq!(video.part_target(), Some(secs(0.334)), "the frame rate may rise");
    let segments: Vec<_> = video.segments().map(|own| (own.msn, own.whole, own.gap, own.duration)).collect();
    assert!(segments.len() >= 7 && video.segments().all(|own| own.whole || own.gap), "{segments:?}");
    check(&segmenter, 0.334);
}

#[test]
fn a_group_of_any_length_leaves_no_short_segment_before_its_keyframe() {
    for gop in [121, 125, 132, 133, 134, 145, 200, 250, 264, 265, 300, 600, 1000] {
        for first_group in [gop, 60] {
            let publisher = Publisher::new();
            let mut segmenter = Segmenter::new(settings(), true);
            let keyframe = |n: i64| n == 0 || n >= first_group && (n - first_group) % gop == 0;
            for n in 0..4000 {
                // Milliseconds, as RTMP has them.
                segmenter.push(TrackKey::VIDEO, &publisher.video(n * 100 / 3 * 1000, keyframe(n))).unwrap();
                limits(&segmenter, MediaKind::Video, &format!("a group of {gop}"));
            }
            for segment in segmenter.rendition(MediaKind::Video).unwrap().segments() {
                assert!(segment.duration >= secs(1.1), "a group of {gop}: {:?} in {}", segment.duration, segment.msn);
            }
            check(&segmenter, 0.334);
        }
    }
}

#[test]
fn the_target_duration_is_that_of_the_first_segment() {
    // The group of frames, and the target duration: half a second more is still rounded to it.
    for (gop, target) in [(15, 2), (60, 2), (67, 2), (69, 3), (90, 3), (120, 4), (300, 4)] {
        let mut segmenter = Segmenter::new(settings(), true);
        play(&Publisher::new(), &mut segmenter, 0.0, 12.0, 30.0, gop);
        let video = text(&segmenter, MediaKind::Video, false);
        assert!(video.contains(&format!("#EXT-X-TARGETDURATION:{target}\n")), "{gop}: {video}");
        assert!(video.contains(&format!(",HOLD-BACK={}.0\n", target * 3)), "{gop}: {video}");
        let audio = text(&segmenter, MediaKind::Audio, false);
        assert!(audio.contains(&format!("#EXT-X-TARGETDURATION:{target}\n")), "{gop}: {audio}");
        check(&segmenter, 0.334);
    }
}

#[test]
fn no_playlist_is_there_before_the_target_duration_is_known() {
    let mut segmenter = Segmenter::new(settings(), true);
    let publisher = Publisher::new();
    play(&publisher, &mut segmenter, 0.0, 1.5, 30.0, 60);
    let video = segmenter.rendition(MediaKind::Video).unwrap();
    assert!(
        video.newest().is_some()
            && render(video, segmenter.settings(), Around { others: &[], ended: false }, false).is_none()
    );
}

#[test]
fn a_stream_whose_encoder_answers_may_begin_with_a_short_segment() {
    let publisher = Publisher::new();
    let mut segmenter = Segmenter::new(settings(), true).beginning_short();
    let (mut asked, mut first_playlist) = (true, None);
    for number in 0..300 {
        let micros = number * 33_333;
        segmenter.push(TrackKey::VIDEO, &publisher.video(micros, asked)).unwrap();
        segmenter.push(TrackKey::AUDIO, &publisher.audio(micros)).unwrap();
        asked = segmenter.take_keyframe_wanted();
        let rendition = segmenter.rendition(TrackKey::VIDEO).unwrap();
        let around = Around { others: &[], ended: false };
        if first_playlist.is_none() && render(rendition, segmenter.settings(), around, false).is_some() {
            first_playlist = Some(micros);
        }
    }
    check(&segmenter, 0.334);
    let first = first_playlist.unwrap();
    assert!((900_000..=1_000_000).contains(&first), "{first}");
    let segments = segmenter.rendition(TrackKey::VIDEO).unwrap().segments();
    let lengths: Vec<_> = segments.map(|segment| (segment.duration.as_secs_f64() * 10.0).round() / 10.0).collect();
    assert_eq!(lengths, [0.9, 1.9, 1.9, 1.9, 1.9]);
    assert!(segmenter.rendition(TrackKey::VIDEO).unwrap().independent());
    assert_eq!(segmenter.settings().target_secs(), 2, "that of the others");
}

#[test]
fn a_stream_that_begins_in_the_past_has_a_playlist_at_once() {
    // A conversion brings 1.1 s that are over, beside audio that is ahead of it, and then goes on as time does.
    let publisher = Publisher::new();
    let mut segmenter = Segmenter::new(settings(), true).beginning_short();
    let mut audio = (0..).map(|n| n * 64_000 / 3).peekable();
    let (mut asked, mut first_playlists) = (true, None);
    for number in 0..300 {
        let micros = number * 33_333;
        let now = micros.max(1_100_000);
        while let Some(at) = audio.next_if(|at| *at <= now) {
            segmenter.push(TrackKey::AUDIO, &publisher.audio(at)).unwrap();
        }
        segmenter.push(TrackKey::VIDEO, &publisher.video(micros, asked)).unwrap();
        asked = segmenter.take_keyframe_wanted();
        let (around, settings) = (Around { others: &[], ended: false }, segmenter.settings());
        let playlists =
            segmenter.renditions().filter_map(|rendition| render(rendition, settings, around, false)).count();
        if first_playlists.is_none() && playlists == 2 {
            first_playlists = Some(micros);
        }
    }
    check(&segmenter, 0.334);
    let first = first_playlists.unwrap();
    assert!(first <= 1_166_000, "{first}");
    let [video, audio] = [TrackKey::VIDEO, TrackKey::AUDIO].map(|key| segmenter.rendition(key).unwrap());
    for (video, audio) in video.segments().zip(audio.segments()) {
        let apart = video.program_date_time.micros_since(audio.program_date_time).abs();
        assert!(apart < 334_000, "{}: {apart} µs", video.msn);
    }
    assert_eq!(segmenter.settings().target_secs(), 2);
}

#[test]
fn a_part_with_a_keyframe_in_its_middle_is_not_independent() {
    let mut segmenter = Segmenter::new(settings(), true);
    play(&Publisher::new(), &mut segmenter, 0.0, 10.0, 30.0, 15);
    for segment in segmenter.rendition(MediaKind::Video).unwrap().segments() {
        // Keyframes at frames 0, 15, 30 and 45, parts of ten frames.
        let independent: Vec<_> = segment.parts.iter().map(|part| part.independent).collect();
        assert_eq!(independent, [true, false, false, true, false, false]);
    }
}

#[test]
fn whatever_the_timing_the_rules_hold() {
    for seed in 0..200 {
        let mut random = Random(seed);
        let publisher = Publisher::new();
        let mut segmenter = Segmenter::new(settings(), true);
        let interval = [16_667, 20_000, 33_333, 40_000, 41_708, 66_667, 100_000][random.below(7) as usize];
        let group = random.below(200) + 1;
        let jitter = random.below(interval / 2);
        let reorder = random.below(3) as i64 * interval as i64;
        let mut frames = Vec::new();
        for n in 0..random.below(1500) + 100 {
            let lost = random.below(50) == 0;
            let micros = (n * interval + random.below(jitter + 1)) / 1000 * 1000;
            if !lost || n == 0 {
                let composition = reorder + if reorder > 0 { random.below(3) as i64 * interval as i64 } else { 0 };
                frames.push(publisher.frame(&publisher.video, micros as i64, composition, n % group == 0));
            }
        }
        let end = frames.last().unwrap().dts.micros(ClockRate::VIDEO) - START_MICROS;
        let late = random.below(200) as i64 * 1000;
        for n in 0..end / 21_333 {
            if random.below(200) != 0 {
                frames.push(publisher.audio(n * 64 / 3 * 1000 + random.below(2) as i64 * 1000));
            }
        }
        let sent = |frame: &Arc<Frame>| {
            let micros = frame.dts.micros(frame.parameters.clock_rate());
            micros + if frame.parameters.kind() == MediaKind::Audio { late } else { 0 }
        };
        frames.sort_by_key(sent);
        for frame in &frames {
            segmenter.push(frame.kind().into(), frame).unwrap();
        }
        let target = segmenter.rendition(MediaKind::Video).and_then(Rendition::part_target);
        check_seeded(&segmenter, target.map_or(1.0, |target| target.as_secs_f64()), seed);
    }
}

#[test]
fn whatever_the_timing_of_a_further_rendition_the_rules_hold() {
    let lower = TrackKey::new(MediaKind::Video, RenditionNumber(1));
    for seed in 0..200 {
        let mut random = Random(seed);
        let publisher = Publisher::new();
        let mut segmenter = Segmenter::new(settings(), true);
        let interval = [16_667, 33_333, 40_000, 66_667][random.below(4) as usize];
        let group = random.below(150) + 1;
        let (aligned, every, late) = (random.below(4) > 0, random.below(2) + 1, random.below(400) as i64 * 1000);
        let (begins, away) = (random.below(200), random.below(600));
        let mut frames = Vec::new();
        for n in 0..1200 {
            let micros = (n * interval) as i64;
            let keyframe = n % group == 0;
            frames.push((TrackKey::VIDEO, micros, publisher.video(micros, keyframe)));
            let keyframe = if aligned { keyframe } else { (n + 7) % 50 == 0 };
            let lost = random.below(50) == 0 || (away..away + 100).contains(&n);
            if n >= begins && !lost && (n % every == 0 || keyframe) {
                frames.push((lower, micros + late, publisher.video(micros, keyframe)));
            }
        }
        for n in 0..(1200 * interval as i64) / 21_333 {
            frames.push((TrackKey::AUDIO, n * 21_333, publisher.audio(n * 21_333)));
        }
        frames.sort_by_key(|(_, sent, _)| *sent);
        for (key, _, frame) in &frames {
            segmenter.push(*key, frame).unwrap();
        }
        segmenter.finish().unwrap();
        let target = segmenter.rendition(TrackKey::VIDEO).and_then(Rendition::part_target);
        check_seeded(&segmenter, target.map_or(1.0, |target| target.as_secs_f64()), seed);
        let cuts = |key| -> Vec<_> {
            let segments = segmenter.rendition(key).unwrap().segments();
            segments.map(|segment| (segment.msn, segment.program_date_time)).collect()
        };
        let (main, lower) = (cuts(TrackKey::VIDEO), cuts(lower));
        assert!(lower.len() > 2, "seed {seed}");
        for (msn, date) in &lower[1..] {
            let of_main = main.iter().find(|(known, _)| known == msn);
            let Some((_, of_main)) = of_main else {
                assert!(*msn < main[0].0, "seed {seed}: {msn} is only in the lower rendition");
                continue;
            };
            let apart = date.micros_since(*of_main);
            let gap = segmenter.rendition(TrackKey::new(MediaKind::Video, RenditionNumber(1))).unwrap();
            let gap = gap.segments().any(|segment| segment.msn == *msn && segment.gap);
            assert!(gap || (-2_000..7_000_000).contains(&apart), "seed {seed}: {msn} is {apart} µs off");
        }
    }
}
