//! Tests that all participants that a room allows on mic are in the program: every tile shows its own publisher, and
//! every publisher's tone is heard.

#![allow(clippy::unwrap_used)]

use std::f64::consts::PI;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant, SystemTime};

use onmic_media::codec::{Colour, opus};
use onmic_media::{Feed, Frame, NodeClock, Parameters, ProgramClock, Ticks, Track, WallTime};
use onmic_mixer::codec::decode::{AudioDecoder, VideoDecoder};
use onmic_mixer::codec::encode::{AudioEncoder, AudioSettings, VideoEncoder};
use onmic_mixer::codec::picture::{self, Picture};
use onmic_mixer::compose::{self, Origin, PictureMixer, PictureSink, PictureSource};
use onmic_mixer::scene::{InputId, Layout, Rect, Scene, Size};
use onmic_mixer::sound::{self, Lead, Processing, SoundConfig, SoundInput, SoundMixer, SoundSink};
use onmic_mixer::{Error, VideoSettings};
use onmic_names::{MIXED_MAX, PARTICIPANTS_MAX};

const CANVAS: Size = Size { width: 640, height: 360 };
const PATIENCE: Duration = Duration::from_secs(20);

/// Sends a mixer's frames to the test.
struct Sink(Sender<Frame>);

impl PictureSink for Sink {
    fn push(&mut self, frame: Frame) -> compose::Wanted {
        self.0.send(frame).map_or(compose::Wanted::Stop, |()| compose::Wanted::Go)
    }
}

impl SoundSink for Sink {
    fn push(&mut self, frame: Frame) -> sound::Wanted {
        self.0.send(frame).map_or(sound::Wanted::Stop, |()| sound::Wanted::Go)
    }
}

/// Publishes small frames in its own shade of grey.
struct Camera {
    id: InputId,
    luma: u8,
    encoder: VideoEncoder,
    feed: Arc<Feed>,
    track: Arc<Track>,
}

impl Camera {
    fn new(number: usize) -> Self {
        let colour = Colour { primaries: 1, transfer: 1, matrix: 1, full_range: false };
        let form = Picture { width: 128, height: 72, colour };
        let encoder = VideoEncoder::open(form, 30.0, 300_000, &VideoSettings::default()).unwrap();
        let (feed, track) = (Feed::new(None), Arc::new(Track::new(encoder.parameters().clone())));
        feed.set_original(track.clone());
        let id = InputId::from(&format!("room/{number}").parse().unwrap());
        Self { id, luma: 30 + 11 * number as u8, encoder, feed, track }
    }

    fn source(&self) -> PictureSource {
        PictureSource { id: self.id.clone(), feed: self.feed.clone(), delay: Duration::ZERO }
    }

    fn publish(&mut self, number: u32, clock: &NodeClock, now: Instant) {
        let mut picture = picture::blank(128, 72);
        picture.data_mut(0).fill(self.luma);
        (1..3).for_each(|plane| picture.data_mut(plane).fill(128));
        let unit = self.encoder.encode(&mut picture, number.is_multiple_of(30)).unwrap();
        let pts = Ticks(i64::from(number) * 3000);
        let (keyframe, parameters) = (unit.keyframe, self.encoder.parameters().clone());
        let (wall, payload) = (clock.wall(now), unit.payload);
        self.track.push(Frame { dts: pts, pts, wall, arrived: now, keyframe, parameters, payload });
    }
}

/// Returns the luma of a composed frame in the upper left quarter of each of `tiles`, where nothing lies over the tile.
fn lumas(decoder: &mut VideoDecoder, frame: &Frame, tiles: &[Rect]) -> Vec<u8> {
    decoder.send(&frame.payload, 0).unwrap();
    let picture = decoder.receive().unwrap().expect("every frame gives a raw frame");
    let luma = |tile: &Rect| {
        let (x, y) = ((tile.x + tile.width / 4) as usize, (tile.y + tile.height / 4) as usize);
        picture.data(0)[y * picture.stride(0) + x]
    };
    tiles.iter().map(luma).collect()
}

#[test]
fn a_host_and_all_seats_are_visible_in_every_layout() {
    let mut cameras: Vec<_> = (0..PARTICIPANTS_MAX).map(Camera::new).collect();
    let ids: Vec<_> = cameras.iter().map(|camera| camera.id.clone()).collect();
    let start = Instant::now();
    let clock = NodeClock::new(start, SystemTime::now());
    let (sender, frames): (_, Receiver<Frame>) = channel();
    let settings = compose::Settings { bitrate_bps: Some(4_000_000), ..compose::Settings::default() };
    let scene = |layout: &Layout| Scene::new(CANVAS, layout, &ids);
    let sources = |cameras: &[Camera]| cameras.iter().map(Camera::source).collect();
    let origin = Origin { clock: ProgramClock::starting(clock.wall(start)), lead: None };
    let mixer =
        PictureMixer::start(settings, clock, origin, &scene(&Layout::Grid), sources(&cameras), Sink(sender)).unwrap();
    let (mut decoder, mut number) = (None, 0);
    let pip = Layout::PictureInPicture { corner: Default::default() };
    for layout in [Layout::Grid, Layout::SideBySide, Layout::HostAndStrip, pip] {
        mixer.set_scene(&scene(&layout), sources(&cameras)).unwrap();
        let tiles: Vec<Rect> = layout.slots(PARTICIPANTS_MAX).iter().map(|slot| slot.place.on(CANVAS)).collect();
        let (mut seen, from) = (Vec::new(), Instant::now());
        let is_right = |seen: &[u8]| {
            seen.len() == PARTICIPANTS_MAX && seen.iter().zip(0..).all(|(luma, n)| luma.abs_diff(30 + 11 * n) <= 3)
        };
        while !is_right(&seen) {
            assert!(from.elapsed() < PATIENCE, "{layout:?} still shows {seen:?}");
            let due = start + Duration::from_micros(33_333) * number;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            // The host publishes last, because its frame triggers the composed frame.
            cameras.iter_mut().rev().for_each(|camera| camera.publish(number, &clock, due));
            number += 1;
            for frame in frames.try_iter() {
                let decoder = decoder.get_or_insert_with(|| VideoDecoder::open(&frame.parameters).unwrap());
                seen = lumas(decoder, &frame, &tiles);
            }
        }
    }
    let many: Vec<_> = (0..=MIXED_MAX).map(|n| InputId::from(&format!("room/{n}").parse().unwrap())).collect();
    let refused = mixer.set_scene(&Scene::new(CANVAS, &Layout::Grid, &many), Vec::new());
    assert!(matches!(refused, Err(Error::TooMany { what: "tiles", .. })), "{refused:?}");
}

/// Returns the frequency of a publisher's tone. None is a multiple of another.
fn hz(number: usize) -> f64 {
    307.0 + 139.0 * number as f64
}

/// Encodes a tone as Opus, in frames of 20 ms.
fn tone(number: usize, seconds: f64) -> (Arc<Parameters>, Vec<Frame>) {
    let mut encoder = AudioEncoder::open(
        AudioSettings::Opus { bitrate_bps: 48_000, complexity: 0, packet: Duration::from_millis(20) },
        1,
    )
    .unwrap();
    let (block, mut packets) = (encoder.block(), Vec::new());
    for first in (0..(seconds * 48_000.0) as usize).step_by(block) {
        let sample = |at: usize| (0.04 * (2.0 * PI * hz(number) * at as f64 / 48_000.0).sin()) as f32;
        let samples: Vec<f32> = (first..first + block).map(sample).collect();
        encoder.encode(&samples, first as i64, &mut packets).unwrap();
    }
    let (now, parameters) = (Instant::now(), encoder.parameters().clone());
    let frames = packets.into_iter().filter(|packet| packet.pts >= 0).map(|packet| Frame {
        dts: Ticks(packet.pts),
        pts: Ticks(packet.pts),
        wall: WallTime(0),
        arrived: now,
        keyframe: true,
        parameters: parameters.clone(),
        payload: packet.payload,
    });
    let frames = frames.collect();
    (parameters, frames)
}

/// Returns the median amplitude of a frequency in samples at 48 kHz. The median ignores a jump that occurs if the
/// machine was held up and a delay rose.
fn usual(samples: &[f32], hz: f64) -> f64 {
    let mut amplitudes: Vec<f64> = samples.chunks_exact(4_800).map(|part| amplitude(part, hz)).collect();
    amplitudes.sort_by(f64::total_cmp);
    amplitudes[amplitudes.len() / 2]
}

fn amplitude(samples: &[f32], hz: f64) -> f64 {
    let (mut sine, mut cosine, mut weight) = (0.0, 0.0, 0.0);
    for (number, sample) in samples.iter().enumerate() {
        let window = 0.5 - 0.5 * (2.0 * PI * number as f64 / samples.len() as f64).cos();
        let phase = 2.0 * PI * hz * number as f64 / 48_000.0;
        sine += f64::from(*sample) * window * phase.sin();
        cosine += f64::from(*sample) * window * phase.cos();
        weight += window / 2.0;
    }
    (sine * sine + cosine * cosine).sqrt() / weight
}

#[test]
fn a_host_and_all_seats_are_heard() {
    let tones: Vec<_> = (0..PARTICIPANTS_MAX).map(|number| tone(number, 2.5)).collect();
    let tracks: Vec<_> = tones.iter().map(|(parameters, _)| Arc::new(Track::new(parameters.clone()))).collect();
    let inputs = tracks.iter().zip(0..).map(|(track, number)| {
        let feed = Feed::new(None);
        feed.set_original(track.clone());
        SoundInput { id: sound::InputId(number), feed, processing: Processing::default() }
    });
    let start = Instant::now();
    let clock = NodeClock::new(start, SystemTime::now());
    let (sender, frames) = channel();
    let parameters = Arc::new(Parameters::Opus(opus::Parameters::new(2)));
    // The publishers' thread may be held up on a busy machine. Then the frames of all of them are equally late.
    let config = SoundConfig { deadline: Duration::from_millis(500), ..SoundConfig::new(parameters) };
    let mixer = SoundMixer::start(config, clock, Sink(sender)).unwrap();
    let inputs: Vec<_> = inputs.collect();
    mixer.set_inputs(inputs.clone(), Some(Lead::from(sound::InputId(0)))).unwrap();
    let shortest = tones.iter().map(|(_, frames)| frames.len()).min().unwrap();
    for number in 0..shortest {
        let due = start + Duration::from_millis(20) * number as u32;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        for ((_, frames), track) in tones.iter().zip(&tracks).rev() {
            track.push(Frame { wall: clock.wall(due), arrived: due, ..frames[number].clone() });
        }
    }
    let meters = mixer.meters().borrow().clone();
    let refused = mixer.set_inputs((0..=MIXED_MAX).map(|at| inputs[at % inputs.len()].clone()).collect(), None);
    assert!(matches!(refused, Err(Error::TooMany { what: "inputs", .. })), "{refused:?}");
    drop(mixer);

    let (mut decoder, mut program) = (None, Vec::new());
    for frame in frames {
        let decoder = decoder.get_or_insert_with(|| AudioDecoder::open(&frame.parameters).unwrap());
        decoder.send(&frame.payload).unwrap();
        while let Some(samples) = decoder.receive().unwrap() {
            let left = samples.data(0)[..samples.samples() * 8].chunks_exact(8);
            program.extend(left.map(|pair| f32::from_ne_bytes(pair[..4].try_into().unwrap())));
        }
    }
    let part = &program[program.len() - 48_000..];
    let heard: Vec<f64> = (0..PARTICIPANTS_MAX).map(|number| usual(part, hz(number))).collect();
    assert!(heard.iter().all(|heard| (0.03..0.05).contains(heard)), "{heard:?}");
    let beside = usual(part, hz(PARTICIPANTS_MAX));
    assert!(beside < 0.003, "a tone that no publisher sends is heard: {beside}");
    assert_eq!(meters.inputs.len(), PARTICIPANTS_MAX);
}
