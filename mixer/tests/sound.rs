//! Tests the audio of a program with real codecs, tracks and the mixer's thread.

#![allow(clippy::unwrap_used)]

use std::f64::consts::PI;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use onmic_media::codec::{aac, opus};
use onmic_media::time::{ClockRate, NodeClock, Ticks};
use onmic_media::{
    Brings, Feed, Frame, Join, Keyframes, MediaKind, Parameters, ProgramClock, Read, Reader, TimelineId, Track,
    WallTime,
};
use onmic_mixer::codec::decode::AudioDecoder;
use onmic_mixer::codec::encode::{AudioEncoder, AudioSettings};
use onmic_mixer::sound::{
    InputId, Lead, Processing, SoundConfig, SoundInput, SoundMixer, SoundReturn, SoundSink, Wanted,
};

const HOST: InputId = InputId(1);
const GUEST: InputId = InputId(2);
const SILENT: InputId = InputId(3);

const OPUS: AudioSettings =
    AudioSettings::Opus { bitrate_bps: 96_000, complexity: 5, packet: Duration::from_millis(20) };
const AAC: AudioSettings = AudioSettings::Aac { bitrate_bps: 96_000 };

/// Sends a tone in real time.
struct Publisher {
    track: Arc<Track>,
    frames: Vec<Frame>,
    sent: usize,
}

impl Publisher {
    /// Encodes the tone, before the test's time starts. `first` is the timestamp of the tone's beginning.
    fn new(settings: AudioSettings, rate: u32, channels: u16, hz: f64, first: i64) -> Self {
        let now = Instant::now();
        let mut encoder = AudioEncoder::open_at(rate, settings, channels).unwrap();
        let block = encoder.block();
        let mut packets = Vec::new();
        for number in 0..(rate as usize * 5 / block) {
            let sample = |index: usize| {
                let at = (number * block + index / usize::from(channels)) as f64;
                (0.25 * (2.0 * PI * hz * at / f64::from(rate)).sin()) as f32
            };
            let samples: Vec<f32> = (0..block * usize::from(channels)).map(sample).collect();
            encoder.encode(&samples, (number * block) as i64, &mut packets).unwrap();
        }
        let frames = packets.into_iter().filter(|packet| packet.pts >= 0).map(|packet| Frame {
            dts: Ticks(first + packet.pts),
            pts: Ticks(first + packet.pts),
            wall: WallTime(0),
            arrived: now,
            keyframe: true,
            parameters: encoder.parameters().clone(),
            payload: packet.payload,
        });
        Self { frames: frames.collect(), track: Arc::new(Track::new(encoder.parameters().clone())), sent: 0 }
    }

    /// Begins to send at `from`, the moment of the timestamp `first`.
    fn begin(&mut self, clock: &NodeClock, from: Instant, first: i64) {
        let first = Ticks(first);
        for frame in &mut self.frames {
            frame.arrived = from + (frame.pts - first).duration(self.track.clock_rate());
            frame.wall = clock.wall(frame.arrived);
        }
    }

    /// Sends the frames that are due. Returns when the next one is due.
    fn send(&mut self, now: Instant) -> Option<Instant> {
        while let Some(frame) = self.frames.get(self.sent) {
            if frame.arrived > now {
                return Some(frame.arrived);
            }
            self.track.push(frame.clone()); // It counts as arrived when it was due, even on a busy machine.
            self.sent += 1;
        }
        None
    }
}

struct Program(Arc<Track>);

impl SoundSink for Program {
    fn push(&mut self, frame: Frame) -> Wanted {
        if self.0.is_ended() {
            return Wanted::Stop;
        }
        self.0.push(frame);
        Wanted::Go
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Reads all frames that are there, without waiting.
fn read(reader: &mut Reader, out: &mut Vec<Arc<Frame>>) {
    while let Some(Read::Frame(frame)) = reader.try_read() {
        out.push(frame);
    }
}

/// Decodes the left channel from the first frame on. The frames must have no hole between them.
fn decoded(frames: &[Arc<Frame>]) -> Vec<f32> {
    let mut decoder = AudioDecoder::open(&frames[0].parameters).unwrap();
    let mut line = Vec::new();
    for frame in frames {
        assert_eq!(frame.pts.0, frames[0].pts.0 + line.len() as i64, "no hole");
        decoder.send(&frame.payload).unwrap();
        while let Some(samples) = decoder.receive().unwrap() {
            if samples.is_planar() {
                line.extend_from_slice(samples.plane::<f32>(0));
            } else {
                let bytes = samples.data(0)[..samples.samples() * 8].chunks_exact(8);
                line.extend(bytes.map(|pair| f32::from_ne_bytes(pair[..4].try_into().unwrap())));
            }
        }
    }
    line
}

/// Returns the amplitude of a tone, and by how many milliseconds it is behind one that began at sample `zero`.
fn tone(line: &[f32], rate: f64, hz: f64, zero: f64) -> (f64, f64) {
    let (mut sine, mut cosine, mut weight) = (0.0, 0.0, 0.0);
    for (number, sample) in line.iter().enumerate() {
        let window = 0.5 - 0.5 * (2.0 * PI * number as f64 / line.len() as f64).cos();
        let phase = 2.0 * PI * hz * (number as f64 - zero) / rate;
        sine += f64::from(*sample) * window * phase.sin();
        cosine += f64::from(*sample) * window * phase.cos();
        weight += window / 2.0;
    }
    ((sine * sine + cosine * cosine).sqrt() / weight, -cosine.atan2(sine) / (2.0 * PI * hz) * 1000.0)
}

/// Returns the median amplitude of a tone. The median ignores a jump that occurs if the machine was held up and a delay
/// rose.
fn usual(line: &[f32], rate: f64, hz: f64) -> f64 {
    let mut amplitudes: Vec<f64> = line.chunks_exact(2_000).map(|part| tone(part, rate, hz, 0.0).0).collect();
    amplitudes.sort_by(f64::total_cmp);
    amplitudes[amplitudes.len() / 2]
}

fn aac(rate: u32) -> Arc<Parameters> {
    Arc::new(Parameters::Aac(aac::Parameters::low_complexity(rate, 2).unwrap()))
}

#[test]
fn a_host_and_a_guest_are_mixed_into_the_hosts_track_and_their_returns_lack_their_own_voice() {
    let mut host = Publisher::new(AAC, 44_100, 1, 440.0, 441_000);
    let mut guest = Publisher::new(OPUS, 48_000, 2, 1_250.0, 7_000_000);
    let mut other = Publisher::new(AAC, 48_000, 2, 2_030.0, 7_120_000);
    other.frames[3].payload = Bytes::from_static(&[0xff; 60]);
    let start = Instant::now();
    let clock = NodeClock::new(start, SystemTime::now());
    host.begin(&clock, start, 441_000);
    guest.begin(&clock, start, 7_000_000);
    // Half way the guest publishes anew in another codec, and one frame of that is broken.
    let change = start + Duration::from_millis(2_500);
    other.begin(&clock, change, 7_120_000);

    let feeds: Vec<_> = (0..3).map(|_| Feed::new(None)).collect();
    feeds[0].set_original(host.track.clone());
    feeds[1].set_original(guest.track.clone());
    let parameters = aac(44_100);
    let program = Arc::new(Track::new(parameters.clone()));
    // The publishers' thread may be held up on a busy machine. Then the frames of both are equally late.
    let config = SoundConfig { deadline: Duration::from_millis(500), ..SoundConfig::new(parameters.clone()) };
    let mixer = SoundMixer::start(config, clock, Program(program.clone())).unwrap();
    let input = |id, feed: &Arc<Feed>| SoundInput { id, feed: feed.clone(), processing: Processing::default() };
    let inputs = vec![input(HOST, &feeds[0]), input(GUEST, &feeds[1]), input(SILENT, &feeds[2])];
    mixer.set_inputs(inputs, Some(Lead::from(HOST))).unwrap();
    let returns = [(); 2].map(|()| onmic_media::Program::new(ProgramClock::starting(clock.wall(start)), None));
    let brings =
        Brings { timeline: TimelineId::unique(), video: false, in_order: true, keyframes: Keyframes::OnRequest };
    let returned =
        |id, program: &Arc<onmic_media::Program>| SoundReturn { id, inlet: Arc::new(program.select(brings)) };
    mixer.set_returns(vec![returned(HOST, &returns[0]), returned(GUEST, &returns[1])]).unwrap();

    let mut reader = program.reader(Join::NextKeyframe);
    let mut out: [Vec<Arc<Frame>>; 3] = Default::default();
    let (mut changed, mut meters, mut delay) = (false, mixer.meters(), Duration::ZERO);
    let end = Ticks(441_000 + 44_100 * 39 / 10);
    while out[0].last().is_none_or(|frame| frame.pts < end) {
        let now = Instant::now();
        assert!(now < start + Duration::from_secs(20), "{} frames", out[0].len());
        if now >= change && !changed {
            feeds[1].set_original(other.track.clone());
            changed = true;
            delay = meters.borrow_and_update().inputs[1].delay;
        }
        // The guest sends first: the mix asks for the guest's audio as soon as it has the host's.
        let next = if changed { other.send(now) } else { guest.send(now) };
        let next = [next, host.send(now)].into_iter().flatten().min().unwrap_or(now + Duration::from_millis(10));
        if let Some(Read::Frame(frame)) = reader.read_timeout(next.saturating_duration_since(Instant::now())) {
            out[0].push(frame);
        }
    }
    let seen = meters.borrow_and_update().clone();
    drop(mixer);
    assert!(program.is_ended(), "the sink is dropped with the mixer");
    read(&mut reader, &mut out[0]);
    for (returned, out) in returns.iter().zip(&mut out[1..]) {
        let track = returned.feed().original(MediaKind::Audio).unwrap();
        read(&mut track.reader(Join::At(WallTime(0))), out);
    }

    // The program continues with the host's own parameters and on the host's grid.
    assert!(out[0].iter().all(|frame| Arc::ptr_eq(&frame.parameters, &parameters)));
    assert_eq!((out[0][0].pts.0 - 441_000) % 1_024, 0);
    for frame in &out[0] {
        let wall = frame.wall.micros_since(clock.wall(start));
        let micros = (frame.pts - Ticks(441_000)).micros(ClockRate::new(44_100).unwrap());
        assert!((wall - micros).abs() < 100, "{wall} at {micros}");
    }
    let line = decoded(&out[0]);
    let early = out[0][0].pts.0 - 441_000;
    let rate = 44_100.0;
    let at = |millis: i64| usize::try_from(44_100 * millis / 1_000 - early).unwrap();
    let part = &line[at(1_600)..at(2_400)];
    let (amplitude, late) = tone(part, rate, 440.0, -(44_100.0 * 1.6));
    assert!((amplitude - 0.25).abs() < 0.02 && late.abs() < 0.2, "the host: {amplitude}, {late} ms");
    assert!((usual(part, rate, 1_250.0) - 0.25).abs() < 0.02, "the guest");
    let part = &line[at(3_000)..at(3_700)];
    assert!((usual(part, rate, 2_030.0) - 0.25).abs() < 0.02, "the guest in another codec");
    assert!(usual(part, rate, 1_250.0) < 0.001);

    for (own, own_hz, other_hz) in [(&out[1], 440.0, 1_250.0), (&out[2], 1_250.0, 440.0)] {
        let line = decoded(own);
        let at = |millis: i64| usize::try_from(480_000 + 48 * millis - own[0].pts.0).unwrap();
        let part = &line[at(1_600)..at(2_400)];
        let (own, other) = (usual(part, 48_000.0, own_hz), usual(part, 48_000.0, other_hz));
        assert!(20.0 * (own / other).log10() < -40.0, "own {own} Hz, other {other}");
        assert!((other - 0.25).abs() < 0.02, "{other}");
    }

    assert!((Duration::from_millis(20)..Duration::from_millis(300)).contains(&delay), "{delay:?}");
    assert_eq!(seen.inputs.len(), 3);
    assert_eq!(seen.inputs[0].delay, Duration::ZERO);
    assert!(seen.inputs[0].speaking && seen.inputs[1].speaking && !seen.inputs[2].speaking, "{seen:?}");
    assert!(seen.primary.is_some());
}

#[test]
fn without_a_lead_the_clock_drives_the_mix_and_a_sink_can_stop_it() {
    let start = Instant::now();
    let clock = NodeClock::new(start, SystemTime::now());
    let parameters = Arc::new(Parameters::Opus(opus::Parameters::new(2)));
    let program = Arc::new(Track::new(parameters.clone()));
    let mut reader = program.reader(Join::NextKeyframe);
    let program_clock = Some(ProgramClock::through(25_000_000, clock.wall(start)));
    let config = SoundConfig { program_clock, ..SoundConfig::new(parameters) };
    let mixer = SoundMixer::start(config, clock, Program(program.clone())).unwrap();
    let silent = SoundInput { id: SILENT, feed: Feed::new(None), processing: Processing::default() };
    mixer.set_inputs(vec![silent], None).unwrap();
    let mut last = None;
    for _ in 0..10 {
        let Some(Read::Frame(frame)) = reader.read_timeout(Duration::from_secs(5)) else { panic!("no frame") };
        let since = frame.wall.micros_since(clock.wall(start));
        assert!((frame.pts.micros(ClockRate::OPUS) - 25_000_000 - since).abs() < 100);
        assert!(last.is_none_or(|last| frame.pts.0 == last + 960));
        last = Some(frame.pts.0);
    }
    program.end();
    let deadline = Instant::now() + Duration::from_secs(5);
    while mixer.is_running() {
        assert!(Instant::now() < deadline, "the mixer ends by itself");
        std::thread::yield_now();
    }
}

/// A sink with a fault.
struct Faulty;

impl SoundSink for Faulty {
    fn push(&mut self, _: Frame) -> Wanted {
        panic!("a fault of the sink")
    }
}

#[test]
fn a_mixer_whose_thread_panics_says_that_it_no_longer_runs() {
    let clock = NodeClock::new(Instant::now(), SystemTime::now());
    let config = SoundConfig::new(Arc::new(Parameters::Opus(opus::Parameters::new(2))));
    let mixer = SoundMixer::start(config, clock, Faulty).unwrap();
    let silent = SoundInput { id: SILENT, feed: Feed::new(None), processing: Processing::default() };
    mixer.set_inputs(vec![silent], None).unwrap();
    let begun = Instant::now();
    while mixer.is_running() {
        assert!(begun.elapsed() < Duration::from_secs(20), "the thread goes on without a sink");
        std::thread::sleep(Duration::from_millis(10));
    }
}
