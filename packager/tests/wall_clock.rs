//! Tests what playlists state when the system clock is set while a program runs.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::made_up::{Publisher, Random, check, check_seeded, settings, text};
use common::{EPOCH, START_MICROS};
use mp4_atom::{Decode, Prft};
use onmic_media::{Date, DateOffset, Frame, MediaKind, Rendition, Ticks, TrackKey, WallTime};
use onmic_packager::{ORIGIN_SECONDS, Segment, Segmenter};

const LOWER: TrackKey = TrackKey::new(MediaKind::Video, Rendition(1));
const HOUR: i64 = 3_600_000_000;
const VIDEO_MICROS: i64 = 40_000;
/// Nine frames of 40 ms, rounded up.
const PART_TARGET: f64 = 0.361;
const AUDIO_MICROS: i64 = 64_000 / 3;

/// Returns the frames of both kinds that `keeps` lets through, in the order of decoding. Keyframes are 2 s apart.
fn frames(until_micros: i64, keeps: impl Fn(MediaKind, i64) -> bool) -> Vec<Arc<Frame>> {
    let publisher = Publisher::new();
    let video = (0..until_micros / VIDEO_MICROS).map(|n| publisher.video(n * VIDEO_MICROS, n % 50 == 0));
    let audio = (0..until_micros / AUDIO_MICROS).map(|n| publisher.audio(n * AUDIO_MICROS));
    let mut frames: Vec<_> = video.chain(audio).filter(|frame| keeps(frame.kind(), micros(frame))).collect();
    frames.sort_by_key(|frame| micros(frame));
    frames
}

/// Returns the time of a frame since the beginning.
fn micros(frame: &Frame) -> i64 {
    frame.wall.micros_since(EPOCH)
}

/// Packages frames while the calendar is set: each pair says when, and what dates are ahead of the line by from then on.
fn package(segmenter: &mut Segmenter, frames: &[Arc<Frame>], set: &[(i64, i64)]) {
    for frame in frames {
        if let Some((_, ahead)) = set.iter().rev().find(|(at, _)| *at <= micros(frame)) {
            segmenter.date_by(DateOffset::from_micros(*ahead));
        }
        segmenter.push(frame.kind().into(), frame).unwrap();
    }
}

fn segments(segmenter: &Segmenter, key: TrackKey) -> Vec<Segment> {
    let rendition = segmenter.rendition(key).unwrap();
    rendition.segments().map(|segment| Segment::clone(segment)).chain(rendition.open().cloned()).collect()
}

/// Returns by how much the date of a segment with parts is ahead of the moment at which its media is shown. Its first part
/// states the same in its `prft`.
fn ahead(segmenter: &Segmenter, key: TrackKey, segment: &Segment) -> Option<i64> {
    let rate = segmenter.rendition(key).unwrap().rate();
    let prft = Prft::decode(&mut &segment.parts.first()?.body.to_vec()[..]).unwrap();
    let in_file = Ticks(i64::try_from(prft.media_time).unwrap()).micros(rate);
    let shown = in_file - (ORIGIN_SECONDS * 1_000_000) as i64 - START_MICROS;
    let line = Date(EPOCH.micros()).offset_micros(shown);
    let stated = Date(WallTime::from_ntp(prft.ntp_timestamp).micros());
    assert!(stated.micros_since(segment.program_date_time).abs() < 60_000, "{key} {}: {stated}", segment.msn);
    Some(segment.program_date_time.micros_since(line))
}

/// Returns the numbers of the segments that begin with a discontinuity.
fn discontinuities(segmenter: &Segmenter, key: TrackKey) -> Vec<u64> {
    segments(segmenter, key).iter().filter(|segment| segment.discontinuity).map(|segment| segment.msn).collect()
}

#[test]
fn a_clock_that_is_set_begins_a_segment_with_a_discontinuity_and_its_own_date() {
    for by in [HOUR, -HOUR, 400_000, -400_000] {
        let mut segmenter = Segmenter::new(settings(), true);
        let frames = frames(12_000_000, |_, _| true);
        package(&mut segmenter, &frames, &[(5_000_000, by)]);
        check(&segmenter, PART_TARGET);
        for key in [TrackKey::VIDEO, TrackKey::AUDIO] {
            assert_eq!(discontinuities(&segmenter, key), [4], "the first keyframe from 5 s on is at 6 s");
            let mut end = None;
            for segment in segments(&segmenter, key) {
                let expected = if segment.msn < 4 { 0 } else { by };
                let ahead = ahead(&segmenter, key, &segment).unwrap();
                assert!((ahead - expected).abs() < 1_000, "{key} {}: {ahead} and not {expected}", segment.msn);
                let start = segment.parts[0].start;
                assert_eq!(start, end.unwrap_or(start), "{key}: media goes on without a hole");
                end = segment.parts.last().map(|last| {
                    let rate = segmenter.rendition(key).unwrap().rate();
                    last.start + u64::try_from(rate.ticks(last.duration).0).unwrap()
                });
            }
        }
    }
}

#[test]
fn a_playlist_after_the_clock_was_put_right() {
    let mut segmenter = Segmenter::new(settings(), true);
    package(&mut segmenter, &frames(6_400_000, |_, _| true), &[(3_000_000, HOUR)]);
    insta::assert_snapshot!(text(&segmenter, MediaKind::Video, false), @r#"
    #EXTM3U
    #EXT-X-VERSION:9
    #EXT-X-TARGETDURATION:2
    #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=12.0,PART-HOLD-BACK=1.083,HOLD-BACK=6.0
    #EXT-X-PART-INF:PART-TARGET=0.361
    #EXT-X-MEDIA-SEQUENCE:1
    #EXT-X-DISCONTINUITY-SEQUENCE:0
    #EXT-X-INDEPENDENT-SEGMENTS
    #EXT-X-MAP:URI="video-init-0.mp4"
    #EXT-X-PROGRAM-DATE-TIME:2026-11-21T08:00:00.000Z
    #EXT-X-PART:DURATION=0.320000016,URI="video-part-0.m4s",INDEPENDENT=YES
    #EXT-X-PART:DURATION=0.360000018,URI="video-part-1.m4s"
    #EXT-X-PART:DURATION=0.320000016,URI="video-part-2.m4s"
    #EXT-X-PART:DURATION=0.320000016,URI="video-part-3.m4s"
    #EXT-X-PART:DURATION=0.360000018,URI="video-part-4.m4s"
    #EXT-X-PART:DURATION=0.320000016,URI="video-part-5.m4s"
    #EXTINF:2.000000100,
    video-1.m4s
    #EXT-X-PROGRAM-DATE-TIME:2026-11-21T08:00:02.000Z
    #EXT-X-PART:DURATION=0.320000016,URI="video-part-6.m4s",INDEPENDENT=YES
    #EXT-X-PART:DURATION=0.360000018,URI="video-part-7.m4s"
    #EXT-X-PART:DURATION=0.320000016,URI="video-part-8.m4s"
    #EXT-X-PART:DURATION=0.320000016,URI="video-part-9.m4s"
    #EXT-X-PART:DURATION=0.360000018,URI="video-part-10.m4s"
    #EXT-X-PART:DURATION=0.320000016,URI="video-part-11.m4s"
    #EXTINF:2.000000100,
    video-2.m4s
    #EXT-X-DISCONTINUITY
    #EXT-X-PROGRAM-DATE-TIME:2026-11-21T09:00:04.000Z
    #EXT-X-PART:DURATION=0.320000016,URI="video-part-12.m4s",INDEPENDENT=YES
    #EXT-X-PART:DURATION=0.360000018,URI="video-part-13.m4s"
    #EXT-X-PART:DURATION=0.320000016,URI="video-part-14.m4s"
    #EXT-X-PART:DURATION=0.320000016,URI="video-part-15.m4s"
    #EXT-X-PART:DURATION=0.360000018,URI="video-part-16.m4s"
    #EXT-X-PART:DURATION=0.320000016,URI="video-part-17.m4s"
    #EXTINF:2.000000100,
    video-3.m4s
    #EXT-X-PROGRAM-DATE-TIME:2026-11-21T09:00:06.000Z
    #EXT-X-PART:DURATION=0.320000016,URI="video-part-18.m4s",INDEPENDENT=YES
    #EXT-X-PRELOAD-HINT:TYPE=PART,URI="video-part-19.m4s"
    #EXT-X-RENDITION-REPORT:URI="audio.m3u8",LAST-MSN=4,LAST-PART=0
    "#);
}

#[test]
fn a_keyframe_is_asked_for_when_the_clock_was_set() {
    let mut segmenter = Segmenter::new(settings(), true);
    package(&mut segmenter, &frames(3_000_000, |_, _| true), &[]);
    segmenter.take_keyframe_wanted();
    segmenter.date_by(DateOffset::from_micros(100_000));
    assert!(!segmenter.take_keyframe_wanted(), "a small change is followed without a discontinuity");
    segmenter.date_by(DateOffset::from_micros(HOUR));
    assert!(segmenter.take_keyframe_wanted());
    segmenter.date_by(DateOffset::from_micros(HOUR));
    assert!(!segmenter.take_keyframe_wanted());
}

#[test]
fn a_program_that_begins_after_the_clock_was_set_has_its_dates_from_the_first_segment_on() {
    for kinds in [&[MediaKind::Video, MediaKind::Audio][..], &[MediaKind::Audio]] {
        let mut segmenter = Segmenter::new(settings(), kinds.len() == 2);
        let frames = frames(5_000_000, |kind, _| kinds.contains(&kind));
        package(&mut segmenter, &frames, &[(0, -HOUR)]);
        for kind in kinds {
            assert!(discontinuities(&segmenter, (*kind).into()).is_empty());
            for segment in segments(&segmenter, (*kind).into()) {
                assert!((ahead(&segmenter, (*kind).into(), &segment).unwrap() + HOUR).abs() < 1_000);
            }
        }
    }
}

#[test]
fn audio_alone_goes_over_to_the_new_dates_where_it_cuts() {
    let mut segmenter = Segmenter::new(settings(), false);
    package(&mut segmenter, &frames(9_000_000, |kind, _| kind == MediaKind::Audio), &[(3_000_000, HOUR)]);
    check(&segmenter, PART_TARGET);
    assert_eq!(discontinuities(&segmenter, TrackKey::AUDIO), [3]);
    let dates = segments(&segmenter, TrackKey::AUDIO);
    let ahead: Vec<_> = dates.iter().map(|segment| ahead(&segmenter, TrackKey::AUDIO, segment).unwrap()).collect();
    assert!(ahead[..2].iter().all(|ahead| ahead.abs() < 1_000), "{ahead:?}");
    assert!(ahead[2..].iter().all(|ahead| (ahead - HOUR).abs() < 1_000), "{ahead:?}");
}

#[test]
fn the_dates_of_audio_follow_while_the_video_is_away_and_the_video_has_as_many_discontinuities_when_it_is_back() {
    let mut segmenter = Segmenter::new(settings(), true);
    let away = 5_000_000..30_000_000;
    let frames = frames(36_000_000, |kind, at| kind == MediaKind::Audio || !away.contains(&at));
    let back = frames.iter().position(|frame| frame.kind() == MediaKind::Video && micros(frame) >= away.end).unwrap();
    package(&mut segmenter, &frames[..back], &[(10_000_000, HOUR)]);
    let newest = segments(&segmenter, TrackKey::AUDIO).pop().unwrap();
    assert!((ahead(&segmenter, TrackKey::AUDIO, &newest).unwrap() - HOUR).abs() < 1_000);
    package(&mut segmenter, &frames[back..], &[(10_000_000, HOUR)]);
    check(&segmenter, PART_TARGET);
    assert_same_discontinuities(&segmenter, "back");
    let newest = segments(&segmenter, TrackKey::VIDEO).pop().unwrap();
    assert!((ahead(&segmenter, TrackKey::VIDEO, &newest).unwrap() - HOUR).abs() < 1_000);
}

#[test]
fn a_further_rendition_has_the_dates_of_the_main_one() {
    let mut segmenter = Segmenter::new(settings(), true);
    for frame in frames(12_000_000, |kind, _| kind == MediaKind::Video) {
        segmenter.date_by(DateOffset::from_micros(if micros(&frame) < 5_000_000 { 0 } else { -HOUR }));
        segmenter.push(LOWER, &frame).unwrap();
        segmenter.push(TrackKey::VIDEO, &frame).unwrap();
    }
    let stated = |key| {
        let segments = segments(&segmenter, key);
        segments.iter().map(|own| (own.msn, own.program_date_time, own.discontinuity)).collect::<Vec<_>>()
    };
    assert_eq!(stated(LOWER), stated(TrackKey::VIDEO));
    assert_eq!(discontinuities(&segmenter, LOWER), [4]);
}

#[test]
fn however_the_clock_is_set_dates_change_at_discontinuities_alone() {
    for seed in 0..300 {
        let mut random = Random(seed);
        let mut set = vec![(0, 0)];
        for _ in 0..random.below(6) {
            let by = [HOUR, -HOUR, 400_000, -400_000, 0][random.below(5) as usize];
            set.push((random.below(40_000_000) as i64, by));
        }
        set.sort_by_key(|(at, _)| *at);
        let begins = random.below(40_000_000) as i64;
        let away = begins..begins + (random.below(2) * random.below(12_000_000)) as i64;
        let kind = if random.below(2) == 0 { MediaKind::Video } else { MediaKind::Audio };
        let frames = frames(40_000_000, |other, at| other != kind || !away.contains(&at));
        let mut segmenter = Segmenter::new(settings(), true);
        package(&mut segmenter, &frames, &set);
        if away.is_empty() {
            check_seeded(&segmenter, PART_TARGET, seed); // A track that was away leaves a hole.
        }
        assert_same_discontinuities(&segmenter, &format!("seed {seed}"));
        for key in [TrackKey::VIDEO, TrackKey::AUDIO] {
            if segmenter.rendition(key).is_none() {
                continue; // It was away from the beginning to the end.
            }
            let (mut before, mut broken) = (None::<i64>, false);
            for segment in segments(&segmenter, key) {
                broken |= segment.discontinuity; // Even if nothing is in it.
                let Some(ahead) = ahead(&segmenter, key, &segment) else { continue };
                let known = set.iter().any(|(_, by)| (ahead - by).abs() < 60_000);
                assert!(known, "seed {seed}: {key} {} is {ahead} µs ahead", segment.msn);
                let steps = before.is_some_and(|before| (before - ahead).abs() > 100_000);
                assert!(!steps || broken, "seed {seed}: {key} {}", segment.msn);
                (before, broken) = (Some(ahead), false);
            }
        }
    }
}

/// Asserts that segments of one number begin with a discontinuity in all renditions or in none.
fn assert_same_discontinuities(segmenter: &Segmenter, case: &str) {
    let mut stated: BTreeMap<u64, bool> = BTreeMap::new();
    for rendition in segmenter.renditions() {
        for segment in segments(segmenter, rendition.key()).iter().skip(1) {
            let of_others = *stated.entry(segment.msn).or_insert(segment.discontinuity);
            assert_eq!(of_others, segment.discontinuity, "{case}: {} {}", rendition.key(), segment.msn);
        }
    }
}
