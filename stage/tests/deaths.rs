//! Tests what a panic on a thread of a mix costs: it is counted, what the thread was for begins again, and the rest of the program
//! goes on. It runs in real time.

#![allow(clippy::unwrap_used)]

#[path = "../../mixer/tests/support/faults.rs"]
mod faults;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use faults::Faults;
use onmic_media::codec::Colour;
use onmic_media::hub::HubLimits;
use onmic_media::{
    Arrival, Budget, Frame, Hub, Join, MediaKind, NodeClock, Program, Protocol, Publication, Read, Reader, Rendition,
    Ticks, Track,
};
use onmic_mixer::VideoSettings;
use onmic_mixer::codec::RawVideo;
use onmic_mixer::codec::decode::VideoDecoder;
use onmic_mixer::codec::encode::VideoEncoder;
use onmic_mixer::codec::picture::{self, Picture};
use onmic_mixer::compose;
use onmic_mixer::scene::{Layout, Size};
use onmic_mixer::sound::OutputSettings;
use onmic_stage::{Directed, Direction, Stage, StageConfig};

const CANVAS: Size = Size { width: 320, height: 180 };
/// The size of a camera. A frame of the program in another size is of the mix.
const CAMERA: Size = Size { width: 160, height: 90 };
/// The time from one frame to the next.
const FRAME: Duration = Duration::from_micros(33_333);
/// The same on the clock of video.
const FRAME_TICKS: i64 = 3000;
/// How long a test waits for what has to come on any machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Publishes grey frames, each of another shade than the one before.
struct Camera {
    publication: Publication,
    encoder: VideoEncoder,
    count: u32,
}

impl Camera {
    fn new(hub: &Arc<Hub>, name: &str, now: Instant) -> Self {
        let publication = hub.publish(&name.parse().unwrap(), Protocol::Rtmp, now).unwrap();
        let colour = Colour { primaries: 1, transfer: 1, matrix: 1, full_range: false };
        let picture = Picture { width: CAMERA.width, height: CAMERA.height, colour };
        let encoder = VideoEncoder::open(picture, 30.0, 400_000, &VideoSettings::default()).unwrap();
        Self { publication, encoder, count: 0 }
    }

    fn publish(&mut self) {
        let mut picture = picture::blank(CAMERA.width, CAMERA.height);
        picture.data_mut(0).fill(40 + (self.count % 16 * 12) as u8);
        (1..3).for_each(|plane| picture.data_mut(plane).fill(128));
        let wanted = self.publication.take_keyframe_wanted();
        let unit = self.encoder.encode(&mut picture, wanted || self.count.is_multiple_of(300)).unwrap();
        self.push(unit.keyframe, unit.payload);
    }

    /// Publishes what no decoder takes.
    fn publish_noise(&mut self) {
        for length in [0_u32, 3, 400] {
            let payload = [&length.to_be_bytes()[..], &vec![0x65; length as usize]].concat();
            self.push(false, payload.into());
        }
    }

    fn push(&mut self, keyframe: bool, payload: Bytes) {
        let dts = Ticks(i64::from(self.count) * FRAME_TICKS);
        self.count += 1;
        let parameters = self.encoder.parameters().clone();
        let arrival = Arrival { rendition: Rendition::MAIN, dts, pts: dts, keyframe, parameters, payload };
        self.publication.push(arrival, Instant::now()).unwrap();
    }
}

/// A frame of the mix: the shades of the host's and the guest's tile.
#[derive(Clone, Copy, Debug)]
struct Seen {
    host: u8,
    guest: u8,
}

/// A room with a host and a guest, whose program is watched and heard.
struct Room {
    stage: Arc<Stage>,
    thread: Option<JoinHandle<()>>,
    cameras: [Camera; 2],
    program: Arc<Program>,
    video: Option<Reader>,
    audio: Option<Reader>,
    decoder: Option<VideoDecoder>,
    due: Instant,
    /// The frames of the mix, and the number of packets of audio, since they were last forgotten.
    seen: Vec<Seen>,
    heard: u64,
}

impl Room {
    fn new() -> Self {
        let start = Instant::now();
        let clock = NodeClock::new(start, SystemTime::now());
        let hub = Hub::new(clock, HubLimits { directed: true, ..HubLimits::default() }, None);
        let config = StageConfig {
            budget: Budget::unlimited(),
            canvas: CANVAS,
            frame_rate_max: 30.0,
            pictures: compose::Settings::default(),
            sound: OutputSettings::default(),
        };
        let (stage, _reports, thread) = Stage::start(hub.clone(), None, config).unwrap();
        let cameras = ["demo", "demo/anna"].map(|name| Camera::new(&hub, name, start));
        let program = hub.director(&"demo".parse().unwrap()).unwrap();
        let room = Self {
            stage,
            thread: Some(thread),
            cameras,
            program,
            video: None,
            audio: None,
            decoder: None,
            due: start,
            seen: Vec::new(),
            heard: 0,
        };
        room.direct();
        room
    }

    /// Wishes for a mix of both.
    fn direct(&self) {
        let sources = ["demo", "demo/anna"].map(|name| Directed::new(name.parse().unwrap(), String::new()));
        let direction = Direction { sources: sources.into(), layout: Layout::SideBySide, ..Direction::default() };
        self.stage.direct(&"demo".parse().unwrap(), direction);
    }

    /// Publishes a frame of each camera in its time, and watches.
    fn step(&mut self) {
        thread::sleep(self.due.saturating_duration_since(Instant::now()));
        self.due += FRAME;
        self.cameras.iter_mut().for_each(Camera::publish);
        let reader = |kind| self.program.feed().original(kind).map(|track: Arc<Track>| track.reader(Join::Group));
        self.video = self.video.take().or_else(|| reader(MediaKind::Video));
        self.audio = self.audio.take().or_else(|| reader(MediaKind::Audio));
        while let Some(Read::Frame(frame)) = self.video.as_mut().and_then(Reader::try_read) {
            self.see(&frame);
        }
        while let Some(Read::Frame(_)) = self.audio.as_mut().and_then(Reader::try_read) {
            self.heard += 1;
        }
    }

    fn see(&mut self, frame: &Frame) {
        if frame.parameters.resolution() != Some((CANVAS.width, CANVAS.height)) {
            self.decoder = None;
            return;
        }
        if frame.keyframe {
            self.decoder = Some(VideoDecoder::open(&frame.parameters).unwrap());
        }
        let Some(decoder) = &mut self.decoder else { return };
        decoder.send(&frame.payload, 0).unwrap();
        let picture = decoder.receive().unwrap().expect("each frame of a mix gives a picture");
        self.seen.push(Seen { host: shade(&picture, 1), guest: shade(&picture, 3) });
    }

    /// Goes on until `what` has happened.
    fn until(&mut self, what: &str, has_happened: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !has_happened(self) {
            let last: Vec<_> = self.seen.iter().rev().take(8).collect();
            assert!(begun.elapsed() < PATIENCE, "{what}: no; heard {}, seen last {last:?}", self.heard);
            self.step();
        }
    }

    fn shades(&self, of: fn(&Seen) -> u8) -> usize {
        self.seen.iter().map(|seen| of(seen) / 8).collect::<BTreeSet<_>>().len()
    }

    /// Goes on until the mix has shown five shades of each of the two, and twenty packets of audio were heard, all anew.
    fn until_it_moves(&mut self, when: &str) {
        self.seen.clear();
        self.heard = 0;
        self.until(&format!("both are seen {when}"), |room| {
            room.shades(|seen| seen.host) >= 5 && room.shades(|seen| seen.guest) >= 5
        });
        self.until(&format!("they are heard {when}"), |room| room.heard > 20);
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        Faults::forget();
        self.stage.stop();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// Returns the luma of the mix in this quarter of its width, in the middle of a tile.
fn shade(picture: &RawVideo, quarter: usize) -> u8 {
    let (x, y) = (CANVAS.width as usize * quarter / 4, CANVAS.height as usize / 2);
    picture.data(0)[y * picture.stride(0) + x]
}

#[test]
fn a_composer_that_panics_is_followed_by_another() {
    let _turn = Faults::begin();
    let mut room = Room::new();
    room.until_it_moves("at first");
    Faults::plan("mix-compose", "mix_video", 1);
    room.until("the composer dies", |_| Faults::deaths("mix-compose") == 1);
    room.until_it_moves("after its death");
    assert_eq!(Faults::deaths("mix-compose"), 1);
}

#[test]
fn a_composer_that_panics_again_and_again_begins_again_once_and_with_the_next_wish() {
    let _turn = Faults::begin();
    let mut room = Room::new();
    room.until_it_moves("at first");
    Faults::plan("mix-compose", "mix_video", u32::MAX);
    room.until("the composer dies twice", |_| Faults::deaths("mix-compose") == 2);
    (0..60).for_each(|_| room.step()); // The stage looks at the room twenty times meanwhile.
    assert_eq!(Faults::deaths("mix-compose"), 2);
    Faults::forget();
    room.direct();
    room.until_it_moves("after the next wish");
}

#[test]
fn a_decoder_that_panics_over_a_frame_goes_on_behind_it_and_the_composer_meanwhile() {
    let _turn = Faults::begin();
    let mut room = Room::new();
    room.until_it_moves("at first");
    // It panics whenever it meets the frame, which stays in the ring.
    Faults::plan("mix-decode", "mix_corrupt", u32::MAX);
    room.cameras[1].publish_noise();
    room.until("a decoder dies", |_| Faults::deaths("mix-decode") > 0);
    room.until_it_moves("after its death");
    assert_eq!([Faults::deaths("mix-decode"), Faults::deaths("mix-compose")], [1, 0]);
}

#[test]
fn the_audio_of_a_mix_begins_again_after_a_panic() {
    let _turn = Faults::begin();
    let mut room = Room::new();
    room.until_it_moves("at first");
    Faults::plan("mix-sound", "mix_audio", 1);
    room.until("the audio mixer dies", |_| Faults::deaths("mix-sound") == 1);
    room.until_it_moves("after its death");
    assert_eq!(Faults::deaths("mix-sound"), 1);
}
