//! Tests that mixes of a room without video, without audio, or whose second kind comes later lie on the program's one
//! timeline: a placeholder beside the audio, silence beside the video. It runs in real time and connects the mixers as
//! the stage does.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use onmic_media::codec::{Colour, opus};
use onmic_media::hub::HubLimits;
use onmic_media::{
    Arrival, Brings, ClockRate, Frame, Hub, Inlet, Join, Keyframes, MediaKind, NodeClock, Offered, Parameters, Program,
    Protocol, Publication, Read, Reader, Rendition, Ticks,
};
use onmic_mixer::VideoSettings;
use onmic_mixer::codec::encode::{AudioEncoder, AudioPacket, AudioSettings, VideoEncoder};
use onmic_mixer::codec::picture::{self, Picture};
use onmic_mixer::compose::{self, Origin, PictureMixer, PictureSink, PictureSource, Settings};
use onmic_mixer::scene::{InputId, Layout, Scene, Size};
use onmic_mixer::sound::{self, Processing, SoundConfig, SoundInput, SoundMixer, SoundSink};

const CANVAS: Size = Size { width: 320, height: 180 };

/// When a room is mixed, in milliseconds after its first frame. The publisher's tracks are known by then.
const MIXED_FROM: i64 = 600;

/// The first timestamps of audio and of video, in milliseconds, whenever they begin.
const AUDIO_ZERO: i64 = 77_000;
const VIDEO_ZERO: i64 = 0;

struct ToProgram(Arc<Inlet>);

impl PictureSink for ToProgram {
    fn push(&mut self, frame: Frame) -> compose::Wanted {
        match self.0.push(frame) {
            Offered::Taken => compose::Wanted::Go,
            Offered::Waiting => compose::Wanted::Keyframe,
            Offered::Over => compose::Wanted::Stop,
        }
    }
}

impl SoundSink for ToProgram {
    fn push(&mut self, frame: Frame) -> sound::Wanted {
        self.0.push(frame);
        sound::Wanted::Go
    }
}

/// Is a participant who sends audio from `audio_from` on, and video from `video_from` on, in milliseconds.
struct Host {
    publication: Publication,
    packets: Vec<AudioPacket>,
    sound: Arc<Parameters>,
    camera: VideoEncoder,
    audio_from: Option<i64>,
    video_from: Option<i64>,
}

impl Host {
    fn new(publication: Publication, audio_from: Option<i64>, video_from: Option<i64>) -> Self {
        let mut encoder = AudioEncoder::open_at(
            48_000,
            AudioSettings::Opus { bitrate_bps: 64_000, complexity: 0, packet: Duration::from_millis(20) },
            2,
        )
        .unwrap();
        let mut packets = Vec::new();
        for number in 0..300 {
            encoder.encode(&vec![0.1; 2 * encoder.block()], number * encoder.block() as i64, &mut packets).unwrap();
        }
        let colour = Colour { primaries: 1, transfer: 1, matrix: 1, full_range: false };
        let picture = Picture { width: CANVAS.width, height: CANVAS.height, colour };
        let camera = VideoEncoder::open(picture, 25.0, 300_000, &VideoSettings::default()).unwrap();
        Self { publication, packets, sound: encoder.parameters().clone(), camera, audio_from, video_from }
    }

    /// Sends the frames that are due at `millis`, a multiple of 20.
    fn send(&mut self, millis: i64, now: Instant) {
        if let Some(since) = self.audio_from.map(|from| millis - from).filter(|since| *since >= 0) {
            let payload = self.packets[usize::try_from(since / 20).unwrap()].payload.clone();
            self.push(AUDIO_ZERO + since, true, self.sound.clone(), payload, now);
        }
        if let Some(since) = self.video_from.map(|from| millis - from).filter(|since| *since >= 0 && since % 40 == 0) {
            let mut picture = picture::blank(CANVAS.width, CANVAS.height);
            let wanted = self.publication.take_keyframe_wanted();
            let unit = self.camera.encode(&mut picture, wanted || since % 400 == 0).unwrap();
            self.push(VIDEO_ZERO + since, unit.keyframe, self.camera.parameters().clone(), unit.payload, now);
        }
    }

    fn push(&mut self, millis: i64, keyframe: bool, parameters: Arc<Parameters>, payload: Bytes, now: Instant) {
        let dts = Ticks(millis).rescale(ClockRate::MILLIS, parameters.clock_rate());
        self.publication
            .push(Arrival { rendition: Rendition::MAIN, dts, pts: dts, keyframe, parameters, payload }, now)
            .unwrap();
    }
}

/// Is a mixed take of the program with the host as its lead, as the stage starts it.
struct Take {
    _pictures: PictureMixer,
    _sound: SoundMixer,
}

impl Take {
    fn start(host: &Host, program: &Arc<Program>, clock: NodeClock) -> Self {
        let source = host.publication.source();
        let brings =
            Brings { timeline: source.timeline(), video: true, in_order: true, keyframes: Keyframes::OnRequest };
        let inlet = Arc::new(program.select(brings));
        let parameters = Arc::new(Parameters::Opus(opus::Parameters { pre_skip: 312, ..opus::Parameters::new(2) }));
        let config = SoundConfig { program_clock: Some(source.program_clock()), ..SoundConfig::new(parameters) };
        let sound = SoundMixer::start(config, clock, ToProgram(inlet.clone())).unwrap();
        let input =
            SoundInput { id: sound::InputId(1), feed: source.feed().clone(), processing: Processing::default() };
        sound.set_inputs(vec![input], Some(sound::InputId(1).into())).unwrap();
        let id = InputId::from(source.name());
        let shown = source.feed().original(MediaKind::Video).map(|_| PictureSource {
            id: id.clone(),
            feed: source.feed().clone(),
            delay: Duration::ZERO,
        });
        let origin = Origin { clock: source.program_clock(), lead: Some(source.feed().clone()) };
        let (scene, settings) = (Scene::new(CANVAS, &Layout::Solo, &[id]), Settings::default());
        let sink = ToProgram(inlet);
        let pictures = PictureMixer::start(settings, clock, origin, &scene, shown.into_iter().collect(), sink).unwrap();
        Self { _pictures: pictures, _sound: sound }
    }
}

/// Runs a room for four seconds and checks all frames of its program. From `passes_from` on, in milliseconds, the host
/// is passed through again.
fn run(audio_from: Option<i64>, video_from: Option<i64>, passes_from: Option<i64>) {
    let start = Instant::now();
    let clock = NodeClock::new(start, SystemTime::now());
    let hub = Hub::new(clock, HubLimits { directed: true, ..HubLimits::default() }, None);
    let publication = hub.publish(&"demo".parse().unwrap(), Protocol::Rtmp, start).unwrap();
    let mut host = Host::new(publication, audio_from, video_from);
    let program = hub.director(&"demo".parse().unwrap()).unwrap();
    let (mut take, mut readers, mut frames) = (None, [None, None], [Vec::new(), Vec::new()]);
    let begun = Instant::now();
    for millis in (0..4_000).step_by(20) {
        let due = begun + Duration::from_millis(millis);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let millis = i64::try_from(millis).unwrap();
        host.send(millis, due);
        if millis == MIXED_FROM {
            take = Some(Take::start(&host, &program, clock));
        }
        if passes_from == Some(millis) {
            host.publication.source().pass_to(&program);
        }
        for kind in [MediaKind::Video, MediaKind::Audio] {
            let reader: &mut Option<Reader> = &mut readers[kind as usize];
            if reader.is_none() {
                *reader = program.feed().original(kind).map(|track| track.reader(Join::Group));
            }
            while let Some(Read::Frame(frame)) = reader.as_mut().and_then(Reader::try_read) {
                frames[kind as usize].push(frame);
            }
        }
    }
    drop(take);
    if passes_from.is_some() {
        assert!(host.publication.source().is_passed_through());
    }
    for (kind, frames) in [MediaKind::Video, MediaKind::Audio].into_iter().zip(&frames) {
        assert!(frames.len() >= 60, "{kind:?}: {} frames", frames.len());
        assert!(frames.windows(2).all(|pair| pair[0].dts < pair[1].dts), "{kind:?}");
        for frame in frames {
            let position = frame.pts.micros(frame.parameters.clock_rate());
            let off = position - program.clock().position(frame.wall);
            assert!(off.abs() <= 100_000, "{kind:?}: {off} µs off the program's clock");
            let late = clock.wall(frame.arrived).micros_since(frame.wall);
            assert!((-50_000..500_000).contains(&late), "{kind:?}: arrived {late} µs after its wall time");
        }
    }
}

#[test]
fn the_placeholder_of_a_room_without_video_lies_beside_its_audio() {
    run(Some(0), None, None);
}

#[test]
fn the_silence_of_a_room_without_audio_lies_beside_its_video() {
    run(None, Some(0), None);
}

#[test]
fn video_that_comes_later_lies_beside_the_audio_mixed_or_passed_through() {
    run(Some(0), Some(1_400), Some(2_000));
}

#[test]
fn audio_that_comes_later_lies_beside_the_video() {
    run(Some(1_400), Some(0), None);
}
