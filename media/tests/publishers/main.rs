//! Publishers of every kind, simulated: whatever times they state, the program keeps its promises.
//!
//! `model` has a publisher whose frames have a true moment of capture, and faults that its clocks and its network
//! show. Each seed is another publisher. A failure prints the seed and its faults; `ONMIC_SEED=7` runs that seed alone,
//! and `ONMIC_SEEDS=10000` that many (`--release` helps).

#![allow(clippy::unwrap_used)]

mod check;
mod model;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use onmic_media::hub::HubLimits;
use onmic_media::{Frame, Hub, Join, MediaKind, NodeClock, Read, Reader};

use self::check::{Shown, check};
use self::model::{Publisher, Sent};

/// The wall clock at the start of each run, in µs.
const EPOCH: u64 = 1_795_000_000_000_000;

#[test]
fn whatever_times_a_publisher_states_the_program_keeps_its_promises() {
    let read = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seeds = match (read("ONMIC_SEED"), read("ONMIC_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, count) => 0..count.unwrap_or(300),
    };
    let (mut failed, mut count) = (Vec::new(), 0);
    for seed in seeds {
        count += 1;
        let publisher = Publisher::draw(seed);
        let broken = check(&publisher, &run(publisher.frames(), &publisher));
        if !broken.is_empty() {
            eprintln!("{publisher}  {}", broken.join("\n  "));
            failed.push(seed);
        }
    }
    assert!(failed.is_empty(), "{} of {count} seeds broke a promise: {failed:?}", failed.len());
}

/// Publishes the frames to a hub, and returns them with their places in the program.
fn run(frames: Vec<Sent>, publisher: &Publisher) -> Vec<Shown> {
    let start = Instant::now();
    let at = |micros: i64| start + Duration::from_micros(micros.unsigned_abs());
    let clock = NodeClock::new(start, SystemTime::UNIX_EPOCH + Duration::from_micros(EPOCH));
    let hub = Hub::new(clock, HubLimits::default(), None);
    let mut publication = hub.publish(&"demo".parse().unwrap(), publisher.protocol, start).unwrap();
    let program = hub.director(&"demo".parse().unwrap()).unwrap();
    let mut readers: [Option<Reader>; 2] = [None, None];
    let mut shown = Vec::new();
    for sent in frames {
        publication.align(publisher.alignment(sent.arrives));
        publication.push(sent.arrival.clone(), at(sent.arrives)).unwrap();
        let reader = &mut readers[sent.kind as usize];
        if reader.is_none() {
            *reader = program.feed().original(sent.kind).map(|track| track.reader(Join::Group));
        }
        let frame = match reader.as_mut().map(Reader::try_read) {
            Some(Some(Read::Frame(frame))) => frame,
            other => panic!("{publisher}  the frame of {} µs is not in the program: {other:?}", sent.captured),
        };
        shown.push(place(sent, &frame));
    }
    shown
}

fn place(sent: Sent, frame: &Arc<Frame>) -> Shown {
    let rate = frame.parameters.clock_rate();
    let wall = i64::try_from(frame.wall.micros()).unwrap() - i64::try_from(EPOCH).unwrap();
    assert_eq!(frame.kind() == MediaKind::Video, sent.kind == MediaKind::Video);
    Shown { sent, dts: frame.dts.micros(rate), pts: frame.pts.micros(rate), wall }
}
