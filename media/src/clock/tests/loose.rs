//! Tests of clocks that cannot be followed, and of frames that come in bursts.

use super::*;

type States = fn(MediaKind, i64) -> Option<i64>;

/// Returns how far audio and video are apart at most, and how far their dates are off, from `from` to `until` seconds.
fn worst(sent: &[Sent], from: i64, until: i64) -> (i64, i64) {
    let apart = (from * 2..until * 2).filter_map(|half| {
        let during = half * 500_000..(half + 1) * 500_000;
        let of =
            |kind| sent.iter().filter(move |sent| sent.kind == kind).filter(|sent| during.contains(&sent.captured));
        let off = |kind| of(kind).map(Sent::off);
        let (least, most) = (off(MediaKind::Video).min()?, off(MediaKind::Video).max()?);
        Some((least - off(MediaKind::Audio).max()?).abs().max((most - off(MediaKind::Audio).min()?).abs()))
    });
    let seconds = from * 1_000_000..until * 1_000_000;
    let dates = sent.iter().filter(|sent| seconds.contains(&sent.captured)).map(|sent| sent.wall_off().abs());
    (apart.max().unwrap(), dates.max().unwrap())
}

#[test]
fn a_clock_that_stands_and_catches_up_again_and_again_does_not_run_ahead() {
    fn halts(at: i64, period: i64) -> i64 {
        at / period * period + (at % period - period / 2).max(0) * 2
    }
    let clocks: [(&str, States); 7] = [
        ("video, 0.3 s", |kind, at| Some(if kind == MediaKind::Video { halts(at, 300_000) } else { at })),
        ("video, 1 s", |kind, at| Some(if kind == MediaKind::Video { halts(at, 1_000_000) } else { at })),
        ("video, 6 s", |kind, at| Some(if kind == MediaKind::Video { halts(at, 6_000_000) } else { at })),
        ("audio, 1 s", |kind, at| Some(if kind == MediaKind::Audio { halts(at, 1_000_000) } else { at })),
        ("audio, 6 s", |kind, at| Some(if kind == MediaKind::Audio { halts(at, 6_000_000) } else { at })),
        ("both, 1 s", |_, at| Some(halts(at, 1_000_000))),
        ("both, 4 s", |_, at| Some(halts(at, 4_000_000))),
    ];
    for (name, states) in clocks {
        for seed in 1..6 {
            let sent = Publisher::new(states).jitter(seed, 50_000).run(&mut SourceClock::new(program()), 40);
            let (apart, dates) = worst(&sent, 5, 40);
            assert!(apart <= 200_000 && dates <= 400_000, "{name}, seed {seed}: {apart} {dates}");
        }
    }
}

#[test]
fn a_clock_that_is_far_too_fast_or_slow_is_not_followed_and_its_track_is_placed_as_it_arrives() {
    let clocks: [(&str, States); 8] = [
        ("audio ten times too fast", |kind, at| Some(if kind == MediaKind::Audio { at * 10 } else { at })),
        ("audio twice", |kind, at| Some(if kind == MediaKind::Audio { at * 2 } else { at })),
        ("audio by a quarter", |kind, at| Some(if kind == MediaKind::Audio { at + at / 4 } else { at })),
        ("audio half as fast", |kind, at| Some(if kind == MediaKind::Audio { at / 2 } else { at })),
        ("video ten times too fast", |kind, at| Some(if kind == MediaKind::Video { at * 10 } else { at })),
        ("video twice", |kind, at| Some(if kind == MediaKind::Video { at * 2 } else { at })),
        ("video half as fast", |kind, at| Some(if kind == MediaKind::Video { at / 2 } else { at })),
        // From 15 s on, after it was right.
        ("audio three times, later", |kind, at| {
            Some(if kind == MediaKind::Audio { at + (at - 15_000_000).max(0) * 2 } else { at })
        }),
    ];
    for (name, states) in clocks {
        for seed in 1..6 {
            let sent = Publisher::new(states).jitter(seed, 50_000).run(&mut SourceClock::new(program()), 60);
            let [first, last] = [worst(&sent, 10, 15), worst(&sent, 25, 60)];
            let (apart, dates) = (first.0.max(last.0), first.1.max(last.1));
            assert!(apart <= 150_000 && dates <= 400_000, "{name}, seed {seed}: {apart} {dates}");
        }
    }
}

#[test]
fn what_one_track_sends_at_once_after_a_stall_lies_where_it_was_captured() {
    for stalls in [MediaKind::Video, MediaKind::Audio] {
        for stall in [800_000, 1_500_000, 4_000_000] {
            for (seed, from) in (1..6).flat_map(|seed| [(seed, 0), (seed, 15_000_000)]) {
                let mut publisher = Publisher::new(|_, at| Some(at)).jitter(seed, 50_000);
                publisher.is_ordered = false;
                publisher.stalls = Some((stalls, from, from + stall));
                let sent = publisher.run(&mut SourceClock::new(program()), 40);
                let (apart, dates) = worst(&sent, (from + stall) / 1_000_000 + 5, 40);
                assert!(apart <= 150_000 && dates <= 200_000, "{stalls:?} {stall} {from} {seed}: {apart} {dates}");
            }
        }
    }
}
