//! Measures what mixing audio costs: the CPU time of the mixer's thread per second of program, for several numbers of
//! participants, with and without return feeds, noise suppression and automatic gain. It runs in real time, as a mixer
//! in service does.
//!
//! `cargo run --release -p onmic-mixer --example sound_bench [SECONDS [CASES]]`. It measures the first CASES cases.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::f32::consts::TAU;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use onmic_media::time::{NodeClock, Ticks};
use onmic_media::{Brings, Feed, Frame, Keyframes, Program, ProgramClock, TimelineId, Track};
use onmic_mixer::codec::encode::{AudioEncoder, AudioSettings};
use onmic_mixer::sound::{
    InputId, Lead, Processing, SoundConfig, SoundInput, SoundMixer, SoundReturn, SoundSink, Wanted,
};

/// Measures the latency of each frame, from its arrival to the sink.
struct Sink(Vec<Duration>, std::sync::mpsc::Sender<Vec<Duration>>);

impl SoundSink for Sink {
    fn push(&mut self, frame: Frame) -> Wanted {
        self.0.push(frame.arrived.elapsed());
        Wanted::Go
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.1.send(std::mem::take(&mut self.0)).ok();
    }
}

/// Publishes one encoded second of a voice-like signal over and over.
struct Publisher {
    feed: Arc<Feed>,
    track: Arc<Track>,
    packets: Vec<bytes::Bytes>,
    frame: i64,
    sent: i64,
}

impl Publisher {
    fn new(number: usize) -> Self {
        let aac = number.is_multiple_of(2);
        let (rate, settings) = if aac {
            (44_100, AudioSettings::Aac { bitrate_bps: 128_000 })
        } else {
            (48_000, AudioSettings::Opus { bitrate_bps: 64_000, complexity: 5, packet: Duration::from_millis(20) })
        };
        let mut encoder = AudioEncoder::open_at(rate, settings, 2).unwrap();
        let (mut packets, block) = (Vec::new(), encoder.block());
        let mut seed = number as u32;
        for packet in 0..rate as usize / block {
            let samples = (0..block * 2).map(|index| {
                // The noise is needed: FFmpeg's fast AAC search takes three times as long for pure tones.
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let breath = (seed >> 8) as f32 / (1 << 23) as f32 - 1.0;
                let at = (packet * block + index / 2) as f32 / rate as f32;
                let voice =
                    (at * TAU * (110.0 + 17.0 * number as f32)).sin() + (at * TAU * 740.0).sin() * 0.3 + breath * 0.2;
                voice * 0.2 * (at * TAU * 3.0).sin().abs()
            });
            let samples: Vec<f32> = samples.collect();
            encoder.encode(&samples, (packet * block) as i64, &mut packets).unwrap();
        }
        let track = Arc::new(Track::new(encoder.parameters().clone()));
        let feed = Feed::new(None);
        feed.set_original(track.clone());
        let packets = packets.into_iter().map(|packet| packet.payload).collect();
        Self { feed, track, packets, frame: block as i64, sent: 0 }
    }

    /// Sends the frames that are due. Returns when the next one is due.
    fn send(&mut self, start: Instant, clock: &NodeClock) -> Instant {
        loop {
            let pts = Ticks(self.sent * self.frame);
            let due = start + pts.duration(self.track.clock_rate());
            let now = Instant::now();
            if due > now {
                return due;
            }
            let payload = self.packets[self.sent as usize % self.packets.len()].clone();
            let parameters = self.track.parameters();
            self.track.push(Frame {
                dts: pts,
                pts,
                wall: clock.wall(due),
                arrived: now,
                keyframe: true,
                parameters,
                payload,
            });
            self.sent += 1;
        }
    }
}

/// Returns the CPU time that the thread of this name has used so far.
fn used(name: &str) -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let mut named =
        tasks.filter(|task| std::fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim() == name));
    let stat = named.next().and_then(|task| std::fs::read_to_string(task.path().join("schedstat")).ok());
    let nanos = stat.and_then(|stat| stat.split_whitespace().next()?.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

fn run(seconds: u64, participants: usize, returns: usize, processing: Processing) -> (f64, Vec<Duration>) {
    let mut publishers: Vec<_> = (0..participants).map(Publisher::new).collect();
    let (start, id) = (Instant::now(), |number: usize| InputId(number as u64));
    let clock = NodeClock::new(start, SystemTime::now());
    let (sender, receiver) = std::sync::mpsc::channel();
    let config = SoundConfig::new(publishers[0].track.parameters());
    let mixer = SoundMixer::start(config, clock, Sink(Vec::new(), sender)).unwrap();
    let inputs = publishers.iter().enumerate();
    let inputs =
        inputs.map(|(number, publisher)| SoundInput { id: id(number), feed: publisher.feed.clone(), processing });
    mixer.set_inputs(inputs.collect(), Some(Lead::from(id(0)))).unwrap();
    let brings =
        Brings { timeline: TimelineId::unique(), video: false, in_order: true, keyframes: Keyframes::OnRequest };
    let inlet = || Arc::new(Program::new(ProgramClock::starting(clock.wall(start)), None).select(brings));
    mixer.set_returns((0..returns).map(|number| SoundReturn { id: id(number), inlet: inlet() }).collect()).unwrap();
    let (warm, end) = (start + Duration::from_secs(1), start + Duration::from_secs(1 + seconds));
    let mut before = None;
    loop {
        let next = publishers.iter_mut().map(|publisher| publisher.send(start, &clock)).min().unwrap();
        let now = Instant::now();
        if now >= warm && before.is_none() {
            before = Some((now, used("mix-sound")));
        }
        if now >= end {
            break;
        }
        std::thread::sleep(next.saturating_duration_since(now));
    }
    let (from, before) = before.unwrap();
    let spent = (used("mix-sound") - before).as_secs_f64() * 1_000.0 / from.elapsed().as_secs_f64();
    drop(mixer);
    let mut latencies = receiver.recv().unwrap();
    latencies.sort_unstable();
    (spent, latencies)
}

fn main() {
    let seconds = std::env::args().nth(1).and_then(|seconds| seconds.parse().ok()).unwrap_or(6);
    let most = std::env::args().nth(2).and_then(|most| most.parse().ok()).unwrap_or(usize::MAX);
    let plain = Processing::default();
    let denoise = Processing { denoise: true, ..plain };
    let cases = [
        ("", 1, 0, plain),
        ("", 2, 0, plain),
        ("", 4, 0, plain),
        ("", 8, 0, plain),
        ("", 17, 0, plain),
        ("with returns", 4, 4, plain),
        ("with returns", 17, 17, plain),
        ("noise suppression", 4, 0, denoise),
        ("automatic gain", 4, 0, Processing { auto_gain: true, ..plain }),
    ];
    for (name, participants, returns, processing) in cases.into_iter().take(most) {
        let (spent, latencies) = run(seconds, participants, returns, processing);
        let percent = |part: usize| latencies[(latencies.len() * part / 100).min(latencies.len() - 1)];
        println!(
            "{participants:2} participants {name:18} {spent:6.2} ms CPU per second, {:5.2} each; newest arrival to packet p50 {:.1?} p95 {:.1?}",
            spent / participants as f64,
            percent(50),
            percent(95),
        );
    }
}
