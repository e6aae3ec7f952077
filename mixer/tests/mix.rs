//! Runs real encoded inputs through the video mixer, and reads the code in every tile of its output.

#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use onmic_media::codec::Colour;
use onmic_media::time::Ticks;
use onmic_media::{ClockRate, Feed, Frame, NodeClock, ProgramClock, Track, WallTime};
use onmic_mixer::VideoSettings;
use onmic_mixer::codec::RawVideo;
use onmic_mixer::codec::decode::VideoDecoder;
use onmic_mixer::codec::encode::VideoEncoder;
use onmic_mixer::codec::picture::{self, Picture};
use onmic_mixer::compose::{Origin, PictureMixer, PictureSink, PictureSource, Settings, Wanted};
use onmic_mixer::scene::{Fit, InputId, Layout, Place, Rect, Scene, Size, Slot};

const CANVAS: Size = Size { width: 640, height: 360 };
/// The number of blocks of a frame's code: two for the camera's number, six for the count.
const BLOCKS: u32 = 8;

fn id(number: u32) -> InputId {
    InputId::from(&format!("room/{number}").parse().unwrap())
}

/// Publishes frames that show the camera's number and their count, as black and white blocks across the middle.
struct Camera {
    number: u32,
    encoder: VideoEncoder,
    feed: Arc<Feed>,
    track: Arc<Track>,
    count: u32,
}

impl Camera {
    fn new(number: u32, width: u32, height: u32) -> Self {
        let encoder = encoder(width, height);
        let feed = Feed::new(None);
        let track = Arc::new(Track::new(encoder.parameters().clone()));
        feed.set_original(track.clone());
        Self { number, encoder, feed, track, count: 0 }
    }

    fn source(&self, delay: Duration) -> PictureSource {
        PictureSource { id: id(self.number), feed: self.feed.clone(), delay }
    }

    /// Publishes one frame now.
    fn publish(&mut self, clock: &NodeClock, start: Instant) {
        self.count += 1;
        let (width, height) = (self.encoder.picture().width, self.encoder.picture().height);
        let code = self.number << 6 | (self.count & 0x3f);
        let mut picture = picture::blank(width, height);
        let stride = picture.stride(0);
        for (y, row) in picture.data_mut(0).chunks_mut(stride).enumerate() {
            for (x, luma) in row.iter_mut().enumerate() {
                let block = (x as u32 * BLOCKS / width).min(BLOCKS - 1);
                let inside = (height / 4..height * 3 / 4).contains(&(y as u32));
                *luma = if inside && code >> (BLOCKS - 1 - block) & 1 == 1 { 220 } else { 40 };
            }
        }
        picture.data_mut(1).fill(128);
        picture.data_mut(2).fill(128);
        let unit =
            self.encoder.encode(&mut picture, self.count % 30 == 1 || self.track.take_keyframe_wanted()).unwrap();
        let now = Instant::now();
        let pts = Ticks(1_000_000 + now.duration_since(start).as_micros() as i64 * 9 / 100);
        self.track.push(Frame {
            dts: pts,
            pts,
            wall: clock.wall(now),
            arrived: now,
            keyframe: unit.keyframe,
            parameters: self.encoder.parameters().clone(),
            payload: unit.payload,
        });
    }
}

fn encoder(width: u32, height: u32) -> VideoEncoder {
    let colour = Colour { primaries: 1, transfer: 1, matrix: 1, full_range: false };
    let picture = Picture { width, height, colour };
    VideoEncoder::open(picture, 30.0, 1_500_000, &VideoSettings::default()).unwrap()
}

/// Sends frames to the test, and asks for a keyframe after some of them.
struct Sink {
    frames: Sender<Frame>,
    count: u32,
    keyframe_after: u32,
}

impl PictureSink for Sink {
    fn push(&mut self, frame: Frame) -> Wanted {
        self.count += 1;
        match self.frames.send(frame) {
            Err(_) => Wanted::Stop,
            Ok(()) if self.count == self.keyframe_after => Wanted::Keyframe,
            Ok(()) => Wanted::Go,
        }
    }
}

/// Holds cameras that publish at their own rates, a mixer, and the mixer's output.
struct Studio {
    clock: NodeClock,
    start: Instant,
    cameras: Vec<Camera>,
    /// For each camera, the number of ticks of 33 ms between two frames.
    every: Vec<u32>,
    frames: Receiver<Frame>,
    mixer: PictureMixer,
    step: u32,
    out: VecDeque<Frame>,
}

impl Studio {
    fn new(cameras: Vec<Camera>, every: Vec<u32>, scene: &Scene, settings: Settings) -> Self {
        let (start, (sender, frames)) = (Instant::now(), channel());
        let clock = NodeClock::new(start, SystemTime::now());
        let sources = cameras.iter().map(|camera| camera.source(Duration::ZERO)).collect();
        let sink = Sink { frames: sender, count: 0, keyframe_after: 20 };
        let origin = Origin { clock: ProgramClock::starting(clock.wall(start)), lead: None };
        let mixer = PictureMixer::start(settings, clock, origin, scene, sources, sink).unwrap();
        Self { clock, start, cameras, every, frames, mixer, step: 0, out: VecDeque::new() }
    }

    /// Publishes in real time.
    fn run(&mut self, steps: u32) {
        for _ in 0..steps {
            let due = self.start + Duration::from_micros(33_333) * self.step;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            for (camera, every) in self.cameras.iter_mut().zip(&self.every) {
                if *every > 0 && self.step.is_multiple_of(*every) {
                    camera.publish(&self.clock, self.start);
                }
            }
            self.step += 1;
            self.out.extend(self.frames.try_iter());
        }
    }

    fn sources(&self) -> Vec<PictureSource> {
        self.cameras.iter().map(|camera| camera.source(Duration::ZERO)).collect()
    }
}

/// Decodes frames.
fn decode(frames: impl IntoIterator<Item = Frame>) -> Vec<(Frame, RawVideo)> {
    let mut decoder: Option<(VideoDecoder, _)> = None;
    let mut pictures = Vec::new();
    for (number, frame) in frames.into_iter().enumerate() {
        if decoder.as_ref().is_none_or(|(_, parameters)| !Arc::ptr_eq(parameters, &frame.parameters)) {
            assert!(frame.keyframe, "new parameters must come with an IDR");
            decoder = Some((VideoDecoder::open(&frame.parameters).unwrap(), frame.parameters.clone()));
        }
        let (decoder, _) = decoder.as_mut().unwrap();
        decoder.send(&frame.payload, number as i64).unwrap();
        let picture = decoder.receive().unwrap().expect("every frame gives a raw frame");
        pictures.push((frame, picture));
    }
    pictures
}

/// Returns the camera's number and the count that are shown at `part`, if they are readable.
fn read(picture: &RawVideo, part: Rect) -> Option<(u32, u32)> {
    let mut code = 0;
    for block in 0..BLOCKS {
        let x = part.x + (2 * block + 1) * part.width / (2 * BLOCKS);
        let y = part.y + part.height / 2;
        let luma = picture.data(0)[y as usize * picture.stride(0) + x as usize];
        code = code << 1
            | match luma {
                ..=90 => 0,
                170.. => 1,
                _ => return None,
            };
    }
    Some((code >> 6, code & 0x3f))
}

fn parts(layout: &Layout, inputs: usize) -> Vec<Rect> {
    layout.slots(inputs).iter().map(|slot| slot.place.on(CANVAS)).collect()
}

#[test]
fn every_tile_is_readable_and_layouts_change_on_one_frame() {
    // The cameras differ in size and rate. Their shapes are similar enough that the code stays readable.
    let sizes = [(640, 360), (426, 240), (1280, 720), (322, 182)];
    let cameras: Vec<_> =
        (0..4).zip(sizes).map(|(number, (width, height))| Camera::new(number, width, height)).collect();
    let ids: Vec<_> = (0..4).map(id).collect();
    let scene = |layout: &Layout| Scene::new(CANVAS, layout, &ids);
    let settings = Settings { bitrate_bps: Some(4_000_000), ..Settings::default() };
    let mut studio = Studio::new(cameras, vec![1, 1, 2, 6], &scene(&Layout::Grid), settings);
    studio.run(60);
    let custom = Layout::Custom { slots: parts_to_slots(&[(0.5, 0.5), (0.0, 0.0), (0.5, 0.0), (0.0, 0.5)]) };
    studio.mixer.set_scene(&scene(&custom), studio.sources()).unwrap();
    studio.run(40);
    let frames = std::mem::take(&mut studio.out);

    assert!(frames.len() >= 75, "{} frames of 100", frames.len()); // A busy machine leaves out some frames.
    assert!(frames[0].keyframe);
    // The keyframe comes at once or, on a busy machine, with the next frame that shows the host's frame in time.
    assert!(frames.iter().skip(20).take(12).any(|frame| frame.keyframe), "a keyframe comes when the sink asks");
    assert!(frames.iter().all(|frame| Arc::ptr_eq(&frame.parameters, &frames[0].parameters) && frame.dts == frame.pts));
    let (grid, other) = (parts(&Layout::Grid, 4), parts(&custom, 4));
    let count = frames.len();
    let (mut changed, mut last, mut led) = (None, None, 0);
    for (at, (frame, picture)) in decode(frames).into_iter().enumerate() {
        assert!(last.is_none_or(|last| frame.pts > last), "frame {at}");
        last = Some(frame.pts);
        let seen = |parts: &[Rect]| parts.iter().map(|part| read(&picture, *part)).collect::<Vec<_>>();
        if at < 20 {
            continue; // Not all inputs are there yet.
        }
        if changed.is_none() && matches!(seen(&other)[0], Some((0, _))) {
            changed = Some(at);
        }
        let seen = seen(if changed.is_some() { &other } else { &grid });
        for (number, seen) in seen.iter().enumerate() {
            assert_eq!(seen.map(|seen| seen.0), Some(number as u32), "frame {at}, tile {number}: {seen:?}");
        }
        // The frame has the host's own timestamp: its wall time and pts began at the same moment.
        let since_start = frame.wall.micros_since(studio.clock.wall(studio.start));
        led += usize::from((frame.pts.0 - 1_000_000 - since_start * 9 / 100).abs() <= 9);
    }
    // The layout changes at the sixtieth frame, minus those that a busy machine left out at the start.
    assert!(changed.is_some_and(|at| (45..=70).contains(&at)), "{changed:?}");
    // A busy machine shows some frames of the host late, at the composer's own time.
    assert!(led * 2 >= count, "{led} of {count} frames on the timestamps of the lead");
}

fn parts_to_slots(corners: &[(f32, f32)]) -> Vec<Slot> {
    let slot = |(x, y): &(f32, f32)| Slot { place: Place::new(*x, *y, 0.5, 0.5).unwrap(), z: 0, fit: Fit::Crop };
    corners.iter().map(slot).collect()
}

#[test]
fn an_input_that_breaks_or_changes_or_ends_does_not_disturb_the_others() {
    let cameras = vec![Camera::new(0, 640, 360), Camera::new(1, 640, 360), Camera::new(2, 320, 180)];
    let layout = Layout::Grid;
    let ids: Vec<_> = (0..3).map(id).collect();
    let settings =
        Settings { stale_after: Duration::from_millis(500), bitrate_bps: Some(4_000_000), ..Settings::default() };
    let mut studio = Studio::new(cameras, vec![1, 1, 1], &Scene::new(CANVAS, &layout, &ids), settings);
    studio.run(30);
    // The guest sends noise, and then frames of another size.
    let parameters = studio.cameras[1].encoder.parameters().clone();
    let newest = studio.cameras[1].track.newest().unwrap();
    for length in [0, 3, 400] {
        let payload = Bytes::from([&u32::to_be_bytes(length)[..], &vec![0x65; length as usize]].concat());
        let frame = Frame { payload, parameters: parameters.clone(), ..(*newest).clone() };
        studio.cameras[1].track.push(frame);
    }
    studio.run(20);
    studio.cameras[1].encoder = encoder(854, 480);
    studio.run(20);
    let before_silence = studio.out.len();
    studio.every[2] = 0; // This camera stops without ending its track.
    studio.run(40);
    let after_silence = studio.out.len();
    studio.every = vec![0, 1, 0]; // Then the host stops too.
    studio.run(40);
    let frames: Vec<_> = std::mem::take(&mut studio.out).into();
    let longest = frames.windows(2).map(|pair| pair[1].wall.micros_since(pair[0].wall)).max().unwrap();
    // Whoever waited for an input would wait until it is stale.
    assert!(longest < 500_000, "{longest} µs without a frame");
    let total = frames.len();
    let pictures = decode(frames);
    let parts = parts(&layout, 3);
    let seen = |at: usize, tile: usize| read(&pictures[at].1, parts[tile]).map(|seen| seen.0);
    for at in (15..before_silence).filter(|at| !(28..36).contains(at)) {
        assert_eq!((seen(at, 0), seen(at, 1), seen(at, 2)), (Some(0), Some(1), Some(2)), "frame {at}");
    }
    // First its tile shows the last frame, then its name.
    assert_eq!(seen(before_silence + 5, 2), Some(2));
    assert_ne!(seen(after_silence - 2, 2), Some(2));
    assert_eq!(seen(after_silence - 2, 1), Some(1));
    assert!(total - after_silence >= 25, "{} frames without a host", total - after_silence);
    assert_eq!(seen(total - 1, 1), Some(1));
}

#[test]
fn an_input_is_shown_with_its_delay_and_dropping_the_mixer_ends_the_frames() {
    let cameras = vec![Camera::new(0, 320, 180), Camera::new(1, 320, 180)];
    let layout = Layout::SideBySide;
    let scene = Scene::new(CANVAS, &layout, &[id(0), id(1)]);
    let settings = Settings { bitrate_bps: Some(4_000_000), ..Settings::default() };
    let mut studio = Studio::new(cameras, vec![1, 1], &scene, settings);
    let delayed = vec![studio.cameras[0].source(Duration::ZERO), studio.cameras[1].source(Duration::from_millis(150))];
    studio.mixer.set_scene(&scene, delayed).unwrap();
    studio.run(45);
    let counts: Vec<_> = decode(std::mem::take(&mut studio.out))
        .iter()
        .skip(25)
        .map(|(_, picture)| {
            // Half of each frame is cropped: the four blocks in the middle of the code are left.
            let middle = |x: u32| {
                let part = Rect { x, y: 0, width: 320, height: 360 };
                (0..4).fold(0, |code, block| {
                    let x = part.x + (2 * block + 1) * part.width / 8;
                    let luma = picture.data(0)[180 * picture.stride(0) + x as usize];
                    code << 1 | u32::from(luma > 128)
                })
            };
            (middle(0), middle(320))
        })
        .collect();
    // These are bits 5 to 2 of the count, which change every four frames. 150 ms are four or five frames.
    let behind = counts.iter().filter(|(lead, other)| (lead + 16 - other) % 16 <= 2 && lead != other).count();
    assert!(behind * 10 >= counts.len() * 9, "{counts:?}");
    drop(studio.mixer);
    while studio.frames.recv().is_ok() {}
}

#[test]
fn without_a_lead_frames_are_timed_by_the_clock_on_the_programs_timeline() {
    let scene = Scene { lead: None, ..Scene::new(CANVAS, &Layout::Solo, &[]) };
    let (sender, frames) = channel();
    let start = Instant::now();
    let clock = NodeClock::new(start, SystemTime::now());
    let program = ProgramClock::starting(clock.wall(start));
    let origin = Origin { clock: program, lead: None };
    let sink = Sink { frames: sender, count: 0, keyframe_after: 3 };
    let mixer = PictureMixer::start(Settings::default(), clock, origin, &scene, Vec::new(), sink).unwrap();
    let frames: Vec<Frame> = frames.iter().take(10).collect();
    assert_eq!(frames.iter().map(|frame| frame.keyframe).filter(|keyframe| *keyframe).count(), 2);
    assert!(frames[3].keyframe && mixer.is_running());
    for frame in &frames {
        let off = frame.pts.micros(ClockRate::VIDEO) - program.position(frame.wall);
        assert!(off.abs() <= 6, "{off} µs");
    }
    assert_ne!(frames[0].wall, WallTime(0));
}
