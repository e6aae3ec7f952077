//! Simulated publishers, from the times that they state to playlists: whatever the clocks and the frame rate do, no
//! playlist breaks or changes a limit, and its dates are near the present.
//!
//! The publishers are those of `media/tests/publishers`. A failure prints the seed; `ONMIC_SEED=7` runs that seed alone,
//! and `ONMIC_SEEDS=10000` that many.

#![allow(clippy::unwrap_used)]

#[path = "../../media/tests/publishers/model/mod.rs"]
mod model;

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use onmic_media::hub::HubLimits;
use onmic_media::{Date, Hub, Join, NodeClock, Read, Reader, TrackKey, WallTime};
use onmic_packager::{Rendition, Segmenter, Settings};

use self::model::{Fault, Publisher};

const EPOCH: WallTime = WallTime(1_795_000_000_000_000);
const SECOND: i64 = 1_000_000;

/// How long after a fault dates may still be on their way to the present.
const RECOVERY: i64 = 10 * SECOND;

/// Dates are no further from the present than this.
const DATES: i64 = SECOND / 2;

#[test]
fn whatever_times_a_publisher_states_playlists_keep_their_limits_and_dates() {
    let read = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seeds = match (read("ONMIC_SEED"), read("ONMIC_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, count) => 0..count.unwrap_or(60),
    };
    let mut failed = Vec::new();
    for seed in seeds {
        let publisher = Publisher::draw(seed);
        let broken = run(&publisher);
        if !broken.is_empty() {
            eprint!("{publisher}");
            broken.iter().for_each(|(promise, case)| eprintln!("  BROKEN: {promise}: {case}"));
            failed.push(seed);
        }
    }
    assert!(failed.is_empty(), "{} seeds broke a promise: {failed:?}", failed.len());
}

/// What a playlist may never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stated {
    part_target: Duration,
    target_secs: u64,
}

/// Publishes, and packages what the program has. Returns the promises that were broken, each with its first case.
fn run(publisher: &Publisher) -> BTreeMap<&'static str, String> {
    let start = Instant::now();
    let clock = NodeClock::new(start, SystemTime::UNIX_EPOCH + Duration::from_micros(EPOCH.micros()));
    let hub = Hub::new(clock, HubLimits::default(), None);
    let mut publication = hub.publish(&"demo".parse().unwrap(), publisher.protocol, start).unwrap();
    let program = hub.director(&"demo".parse().unwrap()).unwrap();
    let mut segmenter = Segmenter::new(Settings::default(), true);
    let mut readers: [Option<Reader>; 2] = [None, None];
    let mut stated: BTreeMap<TrackKey, Stated> = BTreeMap::new();
    let mut broken = BTreeMap::new();
    for sent in publisher.frames() {
        let now = sent.arrives;
        publication.align(publisher.alignment(now));
        publication.push(sent.arrival, start + Duration::from_micros(now.unsigned_abs())).unwrap();
        let reader = &mut readers[sent.kind as usize];
        if reader.is_none() {
            *reader = program.feed().original(sent.kind).map(|track| track.reader(Join::Group));
        }
        while let Some(Read::Frame(frame)) = reader.as_mut().and_then(Reader::try_read) {
            segmenter.push(sent.kind.into(), &frame).unwrap();
        }
        for rendition in segmenter.renditions() {
            let key = rendition.key();
            let (Some(part_target), Some(_)) = (rendition.part_target(), rendition.segments().next()) else { continue };
            let now_stated = Stated { part_target, target_secs: segmenter.settings().target_secs() };
            let first = *stated.entry(key).or_insert(now_stated);
            let mut note = |promise, case: String| {
                broken.entry(promise).or_insert(case);
            };
            let at = format!("{key} at {:.3} s", now as f64 / 1e6);
            if first != now_stated {
                note("limits never change", format!("{at}: {now_stated:?} after {first:?}"));
            }
            check_limits(rendition, first, &at, &mut note);
            if is_settled(publisher, now) {
                check_date(rendition, publisher, now, &at, &mut note);
            }
        }
    }
    broken
}

/// Checks the segment that is open, or was completed last.
fn check_limits(rendition: &Rendition, stated: Stated, at: &str, note: &mut impl FnMut(&'static str, String)) {
    if let Some(last) = rendition.segments().next_back() {
        let rounded = last.duration.as_secs_f64().round() as u64;
        if rounded > stated.target_secs {
            note("no segment is longer than TARGETDURATION", format!("{at}: {:?}, {stated:?}", last.duration));
        }
    }
    let segments = rendition.segments().next_back().map(|last| &**last).into_iter().chain(rendition.open());
    for part in segments.filter(|segment| !segment.whole).flat_map(|segment| &segment.parts) {
        if part.duration > stated.part_target {
            note("no part is longer than PART-TARGET", format!("{at}: {:?}, {stated:?}", part.duration));
        }
    }
}

/// Checks the date at the end of what is listed.
fn check_date(
    rendition: &Rendition,
    publisher: &Publisher,
    now: i64,
    at: &str,
    note: &mut impl FnMut(&'static str, String),
) {
    let listed = |segment: &onmic_packager::Segment| -> Duration {
        if segment.whole { segment.duration } else { segment.parts.iter().map(|part| part.duration).sum() }
    };
    let open = rendition.open().filter(|open| !open.parts.is_empty() && !open.whole);
    let Some(last) = open.or(rendition.segments().next_back().map(|last| &**last)).filter(|last| !last.gap) else {
        return;
    };
    let end = last.program_date_time.micros_since(Date(EPOCH.0)) + i64::try_from(listed(last).as_micros()).unwrap();
    let late = now - end;
    // The open part, and for frames that come slowly the open segment, are not listed yet.
    let unlisted = match rendition.open().filter(|open| open.whole) {
        Some(_) => rendition.part_target().unwrap_or_default() + Duration::from_secs(9),
        None => rendition.part_target().unwrap_or_default() + Duration::from_millis(250),
    };
    let (least, most) = publisher.delay();
    let most = most + i64::try_from(unlisted.as_micros()).unwrap() + publisher.longest_frame();
    if !(least - DATES - publisher.longest_frame()..=most + DATES).contains(&late) {
        note("dates are within 0.5 s of the present", format!("{at}: {} ms late", late / 1000));
    }
}

/// Whether no fault is on, and the last one was long enough ago.
fn is_settled(publisher: &Publisher, at: i64) -> bool {
    let covers = |fault: &Fault| {
        let is_followed = fault.is_lasting() && (fault.from + RECOVERY..fault.until).contains(&at);
        (fault.from..fault.until + RECOVERY).contains(&at) && !is_followed
    };
    at > publisher.all_send_from() + RECOVERY && !publisher.faults.iter().any(covers)
}
