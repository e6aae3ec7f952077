//! Tests renditions that begin after a discontinuity of their stream: players match segments by the number of
//! discontinuities before them, which must be the same in all renditions (rfc8216bis 6.2.4).

#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use common::made_up::{Publisher, play, settings};
use onmic_media::codec::aac;
use onmic_media::{MediaKind, Parameters, TrackKey};
use onmic_packager::{Rendition, Segmenter};

const AUDIO_MICROS: i64 = 64_000 / 3;
const SECOND: i64 = 1_000_000;

/// Returns the media sequence number of each listed segment, and the number of discontinuities before it.
fn discontinuities(rendition: &Rendition) -> Vec<(u64, u64)> {
    let mut before = rendition.discontinuity_sequence();
    let segments = rendition.segments().map(|segment| {
        before += u64::from(segment.discontinuity);
        (segment.msn, before)
    });
    segments.collect()
}

/// Asserts that the rendition `late` has `count` discontinuities before its first segment, and as many before each of its
/// segments as the rendition `other`.
fn check(segmenter: &Segmenter, late: MediaKind, other: MediaKind, count: u64) {
    let [late, other] = [late, other].map(|kind| discontinuities(segmenter.rendition(kind).unwrap()));
    assert!(late.len() >= 2 && late[0].1 == count, "{late:?}, beside {other:?}");
    for (msn, before) in &late {
        let same = other.iter().find(|(other, _)| other == msn);
        assert!(same.is_none_or(|(_, same)| same == before), "{late:?}, beside {other:?}");
    }
    assert!(other.iter().any(|(msn, _)| *msn == late[0].0), "{late:?}, beside {other:?}");
}

#[test]
fn audio_that_begins_when_the_publisher_has_returned_twice_has_two_discontinuities_before_it() {
    let publisher = Publisher::new();
    let mut segmenter = Segmenter::new(settings(), true);
    for (from, to) in [(0, 6), (12, 18)] {
        for number in 0..(to - from) * 30 {
            let micros = from * SECOND + number * SECOND / 30;
            segmenter.push(TrackKey::VIDEO, &publisher.video(micros, number % 60 == 0)).unwrap();
        }
    }
    play(&publisher, &mut segmenter, 24.0, 32.0, 30.0, 60);
    check(&segmenter, MediaKind::Audio, MediaKind::Video, 2);
}

#[test]
fn video_that_begins_when_audio_alone_has_changed_its_parameters_has_a_discontinuity_before_it() {
    let publisher = Publisher::new();
    let mono = Arc::new(Parameters::Aac(aac::Parameters::low_complexity(48_000, 1).unwrap()));
    let mut segmenter = Segmenter::new(settings(), false);
    for number in 0..1000 {
        let micros = number * AUDIO_MICROS;
        let parameters = if number < 280 { &publisher.audio } else { &mono };
        segmenter.push(TrackKey::AUDIO, &publisher.frame(parameters, micros, 0, true)).unwrap();
        if number >= 380 && number % 2 == 0 {
            segmenter.push(TrackKey::VIDEO, &publisher.video(micros, number % 100 == 0)).unwrap();
        }
    }
    check(&segmenter, MediaKind::Video, MediaKind::Audio, 1);
}
