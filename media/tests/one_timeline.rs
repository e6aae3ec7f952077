//! Tests that everything in a room is on one timeline, whatever times its publishers state. The tests run through the
//! hub in virtual time.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use onmic_media::codec::{opus, vp8};
use onmic_media::hub::HubLimits;
use onmic_media::{
    Arrival, ClockRate, Feed, Frame, Hub, Join, MediaKind, NodeClock, Parameters, Program, Protocol, Publication, Read,
    Reader, Rendition, Ticks,
};

const KEYFRAME_EVERY: i64 = 30;

/// Is a function from a time to a timestamp, both in milliseconds.
type States = fn(i64) -> i64;

struct Room {
    hub: Arc<Hub>,
    start: Instant,
    millis: i64,
    readers: [Option<Reader>; 2],
    video: Vec<Arc<Frame>>,
    audio: Vec<Arc<Frame>>,
    parameters: [Arc<Parameters>; 2],
}

/// Describes what one participant sends, if anything: the timestamps of video and of audio for a time, in milliseconds.
struct Sends {
    publication: Publication,
    video: Option<(i64, States)>,
    audio: Option<(i64, States)>,
    /// The time from decoding to presentation of video frame number n, in milliseconds.
    composition: fn(i64) -> i64,
}

impl Room {
    fn new() -> Self {
        let start = Instant::now();
        let clock = NodeClock::new(start, SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_000_000));
        let video = Parameters::Vp8(vp8::Parameters { width: 640, height: 360, version: 0 });
        let audio = Parameters::Opus(opus::Parameters::new(2));
        let hub = Hub::new(clock, HubLimits::default(), None);
        let parameters = [Arc::new(video), Arc::new(audio)];
        Self { hub, start, millis: 0, readers: [None, None], video: Vec::new(), audio: Vec::new(), parameters }
    }

    fn now(&self) -> Instant {
        self.start + Duration::from_millis(self.millis.unsigned_abs())
    }

    fn publish(&self, name: &str, video: Option<(i64, States)>, audio: Option<(i64, States)>) -> Sends {
        let publication = self.hub.publish(&name.parse().unwrap(), Protocol::Rtmp, self.now()).unwrap();
        Sends { publication, video, audio, composition: |_| 0 }
    }

    fn program(&self) -> Arc<Program> {
        self.hub.director(&"demo".parse().unwrap()).unwrap()
    }

    fn arrival(&self, kind: MediaKind, stated: i64, composition: i64, keyframe: bool) -> Arrival {
        let parameters = self.parameters[kind as usize].clone();
        let ticks = |millis| Ticks(millis).rescale(ClockRate::MILLIS, parameters.clock_rate());
        let (dts, pts) = (ticks(stated), ticks(stated + composition));
        Arrival { rendition: Rendition::MAIN, dts, pts, keyframe, parameters, payload: Bytes::from_static(b"frame") }
    }

    /// Runs in steps of 20 ms, with audio in each and video in every other. Frames arrive at once.
    fn run(&mut self, seconds: i64, participants: &mut [Sends]) {
        for _ in 0..seconds * 50 {
            for sends in participants.iter_mut() {
                if let Some((_, states)) = sends.audio.filter(|(from, _)| *from <= self.millis) {
                    let arrival = self.arrival(MediaKind::Audio, states(self.millis), 0, true);
                    sends.publication.push(arrival, self.now()).unwrap();
                }
                if let Some((from, states)) =
                    sends.video.filter(|(from, _)| *from <= self.millis && self.millis % 40 == 0)
                {
                    let number = (self.millis - from) / 40;
                    let (stated, composition) = (states(self.millis), (sends.composition)(number));
                    let arrival = self.arrival(MediaKind::Video, stated, composition, number % KEYFRAME_EVERY == 0);
                    sends.publication.push(arrival, self.now()).unwrap();
                }
            }
            self.watch();
            self.millis += 20;
        }
    }

    fn watch(&mut self) {
        let feed: Arc<Feed> = self.program().feed().clone();
        for (kind, frames) in [(MediaKind::Video, &mut self.video), (MediaKind::Audio, &mut self.audio)] {
            let reader = &mut self.readers[kind as usize];
            if reader.is_none() {
                *reader = feed.original(kind).map(|track| track.reader(Join::Group));
            }
            while let Some(Read::Frame(frame)) = reader.as_mut().and_then(Reader::try_read) {
                frames.push(frame);
            }
        }
    }

    /// Returns by how much each frame of the program is off the program's clock at its arrival, in ms.
    fn off(&self, kind: MediaKind) -> impl Iterator<Item = i64> {
        let (frames, rate) = match kind {
            MediaKind::Video => (&self.video, ClockRate::VIDEO),
            MediaKind::Audio => (&self.audio, ClockRate::OPUS),
            MediaKind::Data => panic!("no participant sent data"),
        };
        let (clock, program) = (self.hub.clock(), self.program().clock());
        frames.iter().map(move |frame| (frame.dts.micros(rate) - program.position(clock.wall(frame.arrived))) / 1000)
    }

    fn is_on_one_timeline(&self, what: &str) {
        for (kind, frames) in [(MediaKind::Video, &self.video), (MediaKind::Audio, &self.audio)] {
            let off: Vec<_> = self.off(kind).collect();
            assert!(off.iter().all(|off| off.abs() <= 100), "{what}: {kind:?} is off by {off:?} ms");
            assert!(frames.windows(2).all(|pair| pair[0].dts < pair[1].dts), "{what}: {kind:?}");
            let wall = |frame: &Arc<Frame>| self.hub.clock().wall(frame.arrived).micros_since(frame.wall) / 1000;
            assert!(frames.iter().all(|frame| wall(frame).abs() <= 100), "{what}: dates of {kind:?}");
        }
    }
}

#[test]
fn a_kind_that_is_alone_or_comes_later_lies_beside_the_other() {
    let clocks: [(&str, States); 4] = [
        ("one clock", |millis| 77_000 + millis),
        ("a clock that began 3 s later", |millis| millis - 3_000),
        ("days ahead", |millis| millis + 1_814_400_000),
        ("days behind", |millis| millis - 1_814_400_000),
    ];
    let first: States = |millis| 77_000 + millis;
    for (what, second) in clocks {
        for later in [0, 1_000, 3_000, 6_000] {
            let mut room = Room::new();
            let mut host = [room.publish("demo", Some((later, second)), Some((0, first)))];
            room.run(8, &mut host);
            room.is_on_one_timeline(&format!("video {later} ms later, {what}"));
            assert!(room.video.len() >= 40 && room.audio.len() == 400);

            let mut room = Room::new();
            let mut host = [room.publish("demo", Some((0, first)), Some((later, second)))];
            room.run(8, &mut host);
            room.is_on_one_timeline(&format!("audio {later} ms later, {what}"));
            assert!(room.video.len() == 200 && room.audio.len() >= 90);
        }
    }
    let mut room = Room::new();
    let mut host = [room.publish("demo", None, Some((0, first)))];
    room.run(5, &mut host);
    room.is_on_one_timeline("audio alone");
    let mut room = Room::new();
    let mut host = [room.publish("demo", Some((0, first)), None)];
    room.run(5, &mut host);
    room.is_on_one_timeline("video alone");
}

#[test]
fn every_source_of_a_room_is_placed_by_the_programs_clock() {
    let mut room = Room::new();
    let mut both = vec![room.publish("demo/anna", Some((0, |millis| millis)), Some((0, |millis| millis)))];
    room.run(3, &mut both);
    both.push(room.publish(
        "demo",
        Some((3_000, |millis| 9_000_000 - millis + 2 * millis)),
        Some((3_000, |millis| 9_000_000 + millis)),
    ));
    room.run(3, &mut both);
    assert!(both[1].publication.source().is_passed_through(), "the host took over");
    let clocks = both.iter().map(|sends| sends.publication.source().feed().clock().unwrap());
    for line in clocks {
        let off = line.position(room.hub.clock().wall(room.now()))
            - room.program().clock().position(room.hub.clock().wall(room.now()));
        assert!(off.abs() <= 1_000, "{off} µs");
    }
    room.is_on_one_timeline("a host who came later");
}

#[test]
fn a_publisher_that_comes_back_goes_on_where_the_clock_is() {
    let mut room = Room::new();
    let mut host = [room.publish("demo", Some((0, |millis| millis)), Some((0, |millis| millis)))];
    room.run(3, &mut host);
    drop(host);
    room.run(5, &mut []);
    let mut host =
        [room.publish("demo", Some((8_000, |millis| millis - 8_000)), Some((8_000, |millis| millis - 8_000)))];
    room.run(3, &mut host);
    room.is_on_one_timeline("after the reconnect");
}

#[test]
fn steps_of_a_publishers_clock_do_not_reach_the_program() {
    let steps: [(&str, States); 5] = [
        ("0.3 s back", |millis| if millis < 8_000 { millis } else { millis - 300 }),
        ("2 s back", |millis| if millis < 8_000 { millis } else { millis - 2_000 }),
        ("4.9 s back", |millis| if millis < 8_000 { millis } else { millis - 4_900 }),
        ("2 s ahead", |millis| if millis < 8_000 { millis } else { millis + 2_000 }),
        ("back to 0", |millis| if millis < 8_000 { millis } else { millis - 8_000 }),
    ];
    for (what, states) in steps {
        let mut room = Room::new();
        let mut host = [room.publish("demo", Some((0, states)), Some((0, states)))];
        room.run(15, &mut host);
        room.is_on_one_timeline(what);
        let audio = room.audio.windows(2).map(|pair| pair[1].dts.0 - pair[0].dts.0);
        assert!(audio.clone().all(|step| (900..=1_020).contains(&step)), "{what}: {:?}", audio.max());
    }
}

#[test]
fn a_frame_with_a_presentation_time_in_two_hours_does_not_delay_the_program() {
    for composition in [(|number| if number == 20 { 7_200_000 } else { 80 }) as fn(i64) -> i64, |number| {
        if number == 20 { -7_200_000 } else { 80 }
    }] {
        let mut room = Room::new();
        let anna = room.publish("demo/anna", Some((0, |millis| millis)), Some((0, |millis| millis)));
        let mut both = vec![Sends { composition, ..anna }];
        room.run(3, &mut both);
        both.push(room.publish("demo", Some((3_000, |millis| millis)), Some((3_000, |millis| millis))));
        room.run(3, &mut both);
        assert!(both[1].publication.source().is_passed_through(), "the host took over");
        room.is_on_one_timeline("a picture for later");
        let composition = room.video.iter().map(|frame| (frame.pts - frame.dts).micros(ClockRate::VIDEO));
        assert!(composition.clone().all(|micros| (0..=100_000).contains(&micros)), "{:?}", composition.max());
    }
}
