//! Tests of clocks that run apart, and of publishers whose clocks do not.

use super::*;

/// Returns how far audio and video are apart at most, from `from` to `until` seconds.
fn apart(sent: &[Sent], from: i64, until: i64) -> i64 {
    let off = |kind, second| range(sent, kind, second, second + 1);
    let apart = (from..until).map(|second| {
        let [video, audio] = [MediaKind::Video, MediaKind::Audio].map(|kind| off(kind, second));
        (video.0 - audio.1).abs().max((video.1 - audio.0).abs())
    });
    apart.max().unwrap()
}

#[test]
fn tracks_whose_clocks_differ_stay_together_and_with_the_nodes_clock() {
    let clocks: [fn(MediaKind, i64) -> Option<i64>; 10] = [
        |kind, at| Some(if kind == MediaKind::Audio { at + at / 200 } else { at }),
        |kind, at| Some(if kind == MediaKind::Audio { at + at / 100 } else { at }),
        |kind, at| Some(if kind == MediaKind::Audio { at + at * 3 / 100 } else { at }),
        // It is 44.1 kHz, and stamped as 48 kHz.
        |kind, at| Some(if kind == MediaKind::Audio { at + at * 88 / 1000 } else { at }),
        |kind, at| Some(if kind == MediaKind::Audio { at - at * 3 / 100 } else { at }),
        |kind, at| Some(if kind == MediaKind::Audio { at - at * 81 / 1000 } else { at }),
        |kind, at| Some(if kind == MediaKind::Video { at + at / 100 } else { at }),
        |kind, at| Some(if kind == MediaKind::Video { at + at / 20 } else { at }),
        |kind, at| Some(if kind == MediaKind::Video { at - at / 50 } else { at }),
        // It is right again after 30 s.
        |kind, at| Some(if kind == MediaKind::Audio { at + at.min(30_000_000) * 3 / 100 } else { at }),
    ];
    let mut wrong = Vec::new();
    for (number, states) in clocks.into_iter().enumerate() {
        for (seed, jitter) in (1..7).zip([10_000, 30_000, 50_000, 100_000, 150_000, 200_000]) {
            let sent = Publisher::new(states).jitter(seed, jitter).run(&mut SourceClock::new(program()), 120);
            let off = |kind, second| range(&sent, kind, second, second + 1);
            for second in (10..120).filter(|second| number != 9 || !(30..40).contains(second)) {
                let [video, audio] = [MediaKind::Video, MediaKind::Audio].map(|kind| off(kind, second));
                let apart = (video.0 - audio.1).abs().max((video.1 - audio.0).abs());
                if apart > 150_000 {
                    wrong.push(format!("{number}, seed {seed}, second {second}: {video:?} {audio:?}"));
                }
            }
            for kind in [MediaKind::Video, MediaKind::Audio] {
                let (then, late) = (off(kind, 60), off(kind, 119));
                if late.1 > 1_000_000 || (late.1 - then.1).abs() > 150_000 {
                    wrong.push(format!("{number}, seed {seed}: {kind:?} goes on, from {then:?} to {late:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_drift_is_found_by_arrivals_once_reports_have_not_come() {
    let alignment = |at| if at < 12_000_000 { Alignment::Awaited } else { Alignment::Unreported };
    let clocks: [fn(MediaKind, i64) -> Option<i64>; 4] = [
        |kind, at| Some(if kind == MediaKind::Audio { at + at / 100 } else { at }),
        |kind, at| Some(if kind == MediaKind::Audio { at - at / 50 } else { at }),
        |kind, at| Some(if kind == MediaKind::Video { at + at / 25 } else { at }),
        |kind, at| Some(if kind == MediaKind::Video { at - at / 25 } else { at }),
    ];
    for (number, states) in clocks.into_iter().enumerate() {
        for seed in 1..6 {
            let publisher = Publisher { alignment: Some(alignment), ..Publisher::new(states).jitter(seed, 50_000) };
            let sent = publisher.run(&mut SourceClock::new(program()), 60);
            let (before, after) = (apart(&sent, 10, 11), apart(&sent, 14, 60));
            assert!(before >= 100_000 && after <= 150_000, "{number}, seed {seed}: {before} {after}");
        }
    }
}

#[test]
fn what_the_session_moves_by_a_report_that_was_not_true_is_not_learnt() {
    let states: fn(MediaKind, i64) -> Option<i64> = |kind, at| {
        let moved = (at - 1_000_000).clamp(0, 200_000) - (at - 6_000_000).clamp(0, 200_000);
        Some(if kind == MediaKind::Video { at + moved } else { at })
    };
    let alignment = |at| match at {
        1_000_000..6_200_000 => Alignment::Supposed,
        12_000_000.. => Alignment::Unreported,
        _ => Alignment::Awaited,
    };
    for seed in 1..6 {
        let publisher = Publisher { alignment: Some(alignment), ..Publisher::new(states).jitter(seed, 50_000) };
        let sent = publisher.run(&mut SourceClock::new(program()), 60);
        assert_eq!((steps(&sent), apart(&sent, 7, 60)), (0, 0), "seed {seed}");
    }
}

#[test]
fn reports_that_come_late_take_the_place_of_what_was_corrected_by_arrival() {
    // Reports come after 20 s, and the session moves the video to the audio.
    let states: fn(MediaKind, i64) -> Option<i64> = |kind, at| {
        let fast = at / 50;
        Some(match kind {
            MediaKind::Audio => at + fast,
            _ => at + ((at - 20_000_000).max(0) / 3).min(fast),
        })
    };
    let at_once = |at| if at < 20_000_000 { Alignment::Unreported } else { Alignment::Reported };
    let supposed_first = |at| match at {
        ..19_000_000 => Alignment::Unreported,
        19_000_000..20_000_000 => Alignment::Supposed,
        _ => Alignment::Reported,
    };
    let ways: [fn(i64) -> Alignment; 2] = [at_once, supposed_first];
    for (seed, alignment) in (1..6).zip(ways.into_iter().cycle()).chain((1..6).zip(ways.into_iter().rev().cycle())) {
        let publisher = Publisher { alignment: Some(alignment), ..Publisher::new(states).jitter(seed, 50_000) };
        let sent = publisher.run(&mut SourceClock::new(program()), 60);
        let apart = [apart(&sent, 10, 20), apart(&sent, 23, 60)];
        assert!(apart.iter().all(|apart| *apart <= 150_000), "seed {seed}: {apart:?}");
    }
}

#[test]
fn a_network_an_encoder_and_a_microphone_that_are_not_even_are_no_drift() {
    type States = fn(MediaKind, i64) -> Option<i64>;
    type More = fn(i64) -> i64;
    let publishers: [(&str, States, More); 8] = [
        ("jitter alone", |_, at| Some(at), |_| 0),
        ("a network that lets frames through in bunches", |_, at| Some(at), |at| 399_000 - at % 399_000),
        ("stalls", |_, at| Some(at), |at| (4_000_000 - at % 60_000_000).max(0)),
        ("large keyframes", |_, at| Some(at), |at| (150_000 - at % 2_000_000).max(0)),
        ("late audio", |kind, at| (kind == MediaKind::Video || at >= 7_000_000).then_some(at), |_| 0),
        (
            "a microphone that pauses",
            |kind, at| (kind == MediaKind::Video || at % 40_000_000 < 25_000_000).then_some(at),
            |_| 0,
        ),
        (
            "a frame rate that varies",
            |kind, at| {
                let every = [1, 1, 2, 6, 10, 3][usize::try_from(at / 3_000_000 % 6).unwrap()];
                (kind == MediaKind::Audio || at / 33_333 % every == 0).then_some(at)
            },
            |_| 0,
        ),
        (
            "an encoder that delays video",
            |kind, at| Some(if kind == MediaKind::Video { at - 400_000 } else { at }),
            |_| 0,
        ),
    ];
    for (name, states, more) in publishers {
        for (seed, is_ordered) in (1..5).flat_map(|seed| [(seed, true), (seed, false)]) {
            let mut publisher = Publisher { is_ordered, ..Publisher::new(states).jitter(seed, 200_000) };
            let mut jitter = publisher.delay;
            publisher.delay = Box::new(move |at| jitter(at).max(more(at)));
            let sent = publisher.run(&mut SourceClock::new(program()), 200);
            // With few frames, the least lateness of two windows may look like a step.
            assert!(
                name == "a frame rate that varies" || steps(&sent) == 0,
                "{name}, seed {seed}, ordered {is_ordered}"
            );
            for kind in [MediaKind::Video, MediaKind::Audio] {
                let track: Vec<_> = sent.iter().filter(|sent| sent.kind == kind).collect();
                let shift = |sent: &Sent| sent.position() - sent.stated;
                let paced = |pair: &&[&Sent]| !pair[1].placed.corrected.step && shift(pair[0]) != shift(pair[1]);
                let paced = track.windows(2).find(paced);
                assert!(paced.is_none(), "{name}, seed {seed}, ordered {is_ordered}: {paced:?}");
            }
        }
    }
}
