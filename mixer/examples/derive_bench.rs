//! Measures what deriving costs: CPU per video frame and per second of audio, the time to the first frame of a stream that is already
//! running, and three rungs of a ladder beside what ffmpeg takes for the same ones in one run.
//!
//! `cargo run --release -p onmic-mixer --example derive_bench [WIDTHxHEIGHT]` (ffmpeg must be installed)

#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use onmic_media::feed::Accept;
use onmic_media::{Codec, Entry, Feed, Join, Ladder, MediaKind, Track, TrackKey};
use onmic_mixer::{Config, Transcoder};
use support::{Recording, TempFile, demand, derive, ffmpeg, from_flv, from_ivf, next};

const SECONDS: u32 = 12;

/// The rungs that are compared, as the settings write them.
const RUNGS: [&str; 3] = ["480p:1000k", "360p:600k", "180p@15:150k"];

/// Returns the CPU time of the threads of this process that are alive, or of its main thread if that is more.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let own = stat.split_whitespace().next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0);
    let threads = std::fs::read_dir("/proc/self/task").unwrap().flatten().filter_map(|task| {
        let stat = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        stat.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(threads.sum::<u64>().max(own))
}

fn video(name: &str, recording: &Recording) {
    let transcoder = Transcoder::new(Config { backlog_max: Duration::from_secs(3600), ..Config::default() });
    let feed = Feed::new(Some(transcoder));
    let (before, started) = (cpu(), Instant::now());
    let input = Arc::new(Track::new(recording.parameters()));
    feed.set_original(input.clone());
    let frames = recording.clone().arriving_at_once().frames;
    input.push(frames[0].clone());
    let held = demand(&feed, MediaKind::Video, Codec::H264);
    let mut reader = held.track().reader(Join::Group);
    let out = support::run(&input, &frames[1..], &mut reader, 12);
    // The deriving thread is still alive here, so its time is counted.
    let (spent, wall) = (cpu() - before, started.elapsed());
    let per_frame = spent.as_secs_f64() * 1000.0 / out.len() as f64;
    let bits: usize = out.iter().map(|frame| frame.payload.len() * 8).sum();
    let bits_in: usize = frames.iter().map(|frame| frame.payload.len() * 8).sum();
    println!(
        "{name:24} {per_frame:6.2} ms CPU per frame = {:.2} core at 30 fps; {} of {} frames, {} → {} kbit/s, {:.1} × real time",
        per_frame * 0.03,
        out.len(),
        frames.len(),
        bits_in as u32 / SECONDS / 1000,
        bits as u32 / SECONDS / 1000,
        f64::from(SECONDS) / wall.as_secs_f64(),
    );
}

/// Makes the rungs of one decoded input. Returns the CPU time per frame of the input that came out, in ms.
fn ladder(recording: &Recording) -> f64 {
    let ladder = Ladder::new(&RUNGS.map(|rung| rung.parse().unwrap())).unwrap();
    let config = Config { backlog_max: Duration::from_secs(3600), ladder, ..Config::default() };
    let transcoder = Transcoder::new(config);
    let feed = Feed::new(Some(transcoder));
    let before = cpu();
    let input = Arc::new(Track::new(recording.parameters()));
    feed.set_original(input.clone());
    let frames = recording.clone().arriving_at_once().frames;
    input.push(frames[0].clone());
    let accept = Accept { codecs: &[Codec::H264], reordering: false, any_format: false, entry: Entry::Now };
    let held = [0, 1, 2].map(|place| feed.demand(TrackKey::rung(place), accept).unwrap());
    let mut reader = held[0].track().reader(Join::Group);
    let made = support::run(&input, &frames[1..], &mut reader, 12).len();
    // The thread that makes them is still alive here, so its time is counted. It makes a frame of all rungs before the next one.
    let spent = cpu() - before;
    let all = held.each_ref().map(|held| held.track().measured(Instant::now()).frames);
    println!("ladder of {}, {made} of {} frames: {all:?}", RUNGS.join(" "), frames.len());
    spent.as_secs_f64() * 1000.0 / made as f64
}

/// Makes the same rungs of `frames` frames by one ffmpeg with the settings of the node's encoder. Returns the CPU time per frame, in ms.
fn ladder_of_ffmpeg(flv: &[u8], frames: usize) -> f64 {
    let of_children = || {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        Duration::from_millis((fields[13].parse::<u64>().unwrap() + fields[14].parse::<u64>().unwrap()) * 10)
    };
    let input = TempFile::new("flv");
    std::fs::write(&input.0, flv).unwrap();
    let settings = "-preset superfast -tune zerolatency -profile:v main -threads:v 1";
    let x264 = format!("-c:v libx264 {settings} -g 9999 -sc_threshold 0 -force_key_frames source");
    let output = |name: &str, bitrate: u32| {
        format!("-map [{name}] {x264} -b:v {bitrate}k -maxrate {bitrate}k -bufsize {bitrate}k -f h264")
    };
    let filters = "[0:v]split=3[a][b][c];[a]scale=-2:480[high];[b]scale=-2:360[middle];[c]fps=15,scale=-2:180[low]";
    let (high, middle, low) = (output("high", 1000), output("middle", 600), output("low", 150));
    let source = input.0.display();
    let read = format!("-threads 1 -i {source} -filter_complex_threads 1 -filter_complex {filters}");
    let before = of_children();
    ffmpeg(&format!("{read} {high} /dev/null {middle} /dev/null {low}"), "h264");
    (of_children() - before).as_secs_f64() * 1000.0 / frames as f64
}

fn audio(name: &str, recording: &Recording, codec: Codec) -> Recording {
    let feed = Feed::new(Some(Transcoder::new(Config::default())));
    let usage = || {
        // The deriving thread has ended by then: only the counters of the whole process include its time.
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        (fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()) * 10
    };
    let before = usage();
    let mut out = Vec::new();
    for _ in 0..5 {
        out = derive(&feed, recording, codec);
    }
    let spent = (usage() - before) as f64 / 5.0 / f64::from(SECONDS);
    println!("{name:24} {spent:6.2} ms CPU per second of audio ({} packets)", out.len());
    Recording { frames: out.iter().map(|frame| (**frame).clone()).collect() }
}

fn first_picture(recording: &Recording) {
    let feed = Feed::new(Some(Transcoder::new(Config::default())));
    let input = Arc::new(Track::new(recording.parameters()));
    feed.set_original(input.clone());
    let group: Vec<_> = recording.frames.iter().take(112).collect();
    group.iter().for_each(|frame| input.push((*frame).clone()));
    let (before, started) = (cpu(), Instant::now());
    let held = demand(&feed, MediaKind::Video, Codec::H264);
    let opened = started.elapsed();
    let first = next(&mut held.track().reader(Join::Group));
    let behind = (group.last().unwrap().pts.0 - first.pts.0) / 90;
    println!(
        "first frame after {:.0?}, {:.0?} of CPU (codecs opened in {opened:.0?}), {behind} ms old, 3.7 s into a group",
        started.elapsed(),
        cpu() - before,
    );
}

fn main() {
    let size = std::env::args().nth(1).unwrap_or_else(|| "1280x720".to_owned());
    println!("{}", onmic_mixer::versions());
    let source = format!("-f lavfi -i testsrc2=s={size}:r=30:d={SECONDS} -pix_fmt yuv420p");
    let noise = "-vf noise=alls=6:allf=t"; // A camera's video always has noise; a test pattern has none.
    let x264 = "-c:v libx264 -preset veryfast -bf 2 -g 120 -b:v 2500k -maxrate 2500k -bufsize 5000k";
    let flv = ffmpeg(&format!("{source} {noise} {x264}"), "flv");
    let obs = from_flv(&flv).0.unwrap();
    let (own, other) = (ladder(&obs), ladder_of_ffmpeg(&flv, obs.frames.len()));
    println!("three rungs              {own:6.2} ms CPU per frame, by one ffmpeg {other:.2} ms");
    video("H.264 with B-frames", &obs);
    first_picture(&obs);
    let vp8 = "-c:v libvpx -deadline realtime -cpu-used 8 -b:v 2500k -g 9999";
    video("VP8", &from_ivf(&ffmpeg(&format!("{source} {noise} {vp8}"), "ivf")));
    let tone = format!("-f lavfi -i aevalsrc=0.3*sin(2000*t)+0.1*sin(9000*t*t)|0.3*sin(2500*t):s=44100:d={SECONDS}");
    let aac = from_flv(&ffmpeg(&format!("{tone} -c:a aac -b:a 160k"), "flv")).1.unwrap();
    let opus = audio("AAC 44.1 kHz to Opus", &aac, Codec::Opus);
    audio("Opus to AAC", &opus, Codec::Aac);
}
