//! Measures what mixing 2×2 of 720p30 costs, beside ffmpeg at the same job: decode four streams, scale, stack, and
//! encode with the same preset.
//!
//! `cargo run --release -p onmic-mixer --example mix_bench [SECONDS [TILES]]` (ffmpeg must be installed). With TILES it
//! measures only a grid of that many participants.
//!
//! Both read the same streams as fast as they can, in turn and three times. The median counts. The benchmark publishes
//! the next frames when the mix has put out the frame made from the ones before. Then our mixer runs again in real
//! time, as in service, where threads wait, wake up and find their caches cold. CPU is the user and system time of the
//! whole process.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant, SystemTime};

use onmic_media::codec::nal;
use onmic_media::{Feed, Frame, NodeClock, Parameters, ProgramClock, Track};
use onmic_mixer::compose::{Origin, PictureMixer, PictureSink, PictureSource, Settings, Wanted};
use onmic_mixer::scene::{InputId, Layout, Scene, Size};
use support::{Recording, TempFile, ffmpeg, from_flv};

const INPUTS: usize = 4;
const BITRATE: u64 = 2_500_000;
const ROUNDS: usize = 3;

struct Sink(Sender<(Frame, Duration)>);

impl PictureSink for Sink {
    fn push(&mut self, frame: Frame) -> Wanted {
        let took = frame.arrived.elapsed();
        self.0.send((frame, took)).map_or(Wanted::Stop, |()| Wanted::Go)
    }
}

/// Returns the user and system time of this process, including threads that have ended.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

/// Prints the CPU time per frame of each thread that is alive.
fn threads(frames: usize) {
    for task in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        let read = |name: &str| std::fs::read_to_string(task.path().join(name)).unwrap_or_default();
        let nanos: f64 =
            read("schedstat").split_whitespace().next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0.0);
        println!("  {:16} {:6.2} ms per frame", read("comm").trim(), nanos / 1e6 / frames as f64);
    }
}

/// Runs our mixer. Returns its CPU time, the number of frames, and the latencies of the lead's frames.
fn ours(recordings: &[Recording], layout: &Layout, real_time: bool) -> (Duration, usize, Vec<Duration>) {
    let (start, (sender, frames)) = (Instant::now(), channel());
    let clock = NodeClock::new(start, SystemTime::now());
    let tracks: Vec<_> = recordings.iter().map(|recording| Arc::new(Track::new(recording.parameters()))).collect();
    let ids: Vec<_> =
        (0..tracks.len()).map(|number| InputId::from(&format!("room/{number}").parse().unwrap())).collect();
    let sources = tracks.iter().zip(&ids).map(|(track, id)| {
        let feed = Feed::new(None);
        feed.set_original(track.clone());
        PictureSource { id: id.clone(), feed, delay: Duration::ZERO }
    });
    let settings = Settings { bitrate_bps: Some(BITRATE), ..Settings::default() };
    let scene = Scene::new(Size::HD, layout, &ids);
    let origin = Origin { clock: ProgramClock::starting(clock.wall(start)), lead: None };
    let mixer = PictureMixer::start(settings, clock, origin, &scene, sources.collect(), Sink(sender)).unwrap();
    let (before, mut out) = (cpu(), Vec::new());
    for number in 0..recordings[0].frames.len() {
        // The others publish before the host does. In service, too, no two publishers are in phase.
        for (input, (recording, track)) in recordings.iter().zip(&tracks).enumerate().rev() {
            let Some(frame) = recording.frames.get(number) else { continue };
            let due = start + Duration::from_micros(33_334) * (number as u32 + 1)
                - Duration::from_micros(8_333) * input as u32;
            if real_time {
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
            track.push(Frame { arrived: Instant::now(), wall: clock.wall(due), ..frame.clone() });
        }
        let pts = recordings[0].frames[number].pts;
        while !real_time && out.last().is_none_or(|(frame, _): &(Frame, _)| frame.pts < pts) {
            let Ok(frame) = frames.recv_timeout(Duration::from_secs(1)) else { break };
            out.push(frame);
        }
    }
    std::thread::sleep(Duration::from_millis(30));
    let spent = cpu() - before;
    if std::env::var_os("MIX_BENCH_THREADS").is_some() {
        threads(recordings[0].frames.len());
    }
    drop(mixer);
    out.extend(frames.iter());
    // Frames that the clock added because the machine was slow do not count in our favour.
    let count = out.len().min(recordings[0].frames.len());
    (spent, count, out.into_iter().map(|(_, took)| took).skip(30).collect())
}

/// Runs ffmpeg. Returns the CPU time that it reports, and the number of its frames. `threads` limits the threads of the
/// decoders, the filters and the encoder.
fn theirs(files: &[TempFile], scaler: &str, threads: Option<&str>) -> (Duration, usize) {
    let output = TempFile::new("h264");
    let mut command = Command::new("ffmpeg");
    let limit = |option: &'static str| threads.into_iter().flat_map(move |threads| [option, threads]);
    command.args(["-benchmark", "-nostdin", "-y"]);
    command.args(limit("-filter_threads")).args(limit("-filter_complex_threads"));
    for file in files {
        command.args(limit("-threads")).args(["-r", "30", "-i"]).arg(&file.0);
    }
    let scale: String = (0..INPUTS).map(|input| format!("[{input}:v]scale=640:360{scaler}[t{input}];")).collect();
    let graph = format!("{scale}[t0][t1][t2][t3]xstack=inputs=4:layout=0_0|w0_0|0_h0|w0_h0[v]");
    let peak = BITRATE * 120 / 100;
    let x264 = format!(
        "-map [v] -c:v libx264 -preset superfast -tune zerolatency -profile:v main -bf 0 -g 60 -sc_threshold 0 \
         -b:v {BITRATE} -maxrate {peak} -bufsize {}",
        peak * 3 / 4
    );
    command.args(["-filter_complex", &graph]).args(x264.split_whitespace()).args(limit("-threads")).arg(&output.0);
    let run = command.output().unwrap();
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(run.status.success(), "{said}");
    let number = |key: &str| -> f64 {
        let (_, rest) = said.rsplit_once(key).unwrap();
        let end = rest.trim_start().find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap();
        rest.trim_start()[..end].parse().unwrap()
    };
    (Duration::from_secs_f64(number("utime=") + number("stime=")), number("frame=") as usize)
}

/// Returns milliseconds per frame.
fn per_frame((cpu, frames): (Duration, usize)) -> f64 {
    cpu.as_secs_f64() * 1000.0 / frames as f64
}

fn report(name: &str, per_frame: f64) {
    println!("{name:44} {per_frame:6.2} ms CPU per output frame = {:.2} core at 30 fps", per_frame * 0.03);
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let seconds = std::env::args().nth(1).and_then(|seconds| seconds.parse::<u32>().ok()).unwrap_or(15);
    println!("{}", onmic_mixer::versions());
    let sources = ["testsrc2", "mandelbrot", "testsrc", "smptehdbars"];
    let recordings: Vec<Recording> = sources
        .map(|source| {
            let size =
                if source == "testsrc2" || source == "testsrc" { "s=1280x720:r=30" } else { "s=1280x720:rate=30" };
            let picture = format!("-f lavfi -i {source}={size} -t {seconds} -vf noise=alls=6:allf=t,format=yuv420p");
            let x264 = "-c:v libx264 -preset veryfast -bf 0 -g 60 -b:v 2500k -maxrate 2500k -bufsize 5000k";
            from_flv(&ffmpeg(&format!("{picture} {x264}"), "flv")).0.unwrap()
        })
        .into();
    if let Some(tiles) = std::env::args().nth(2).and_then(|tiles| tiles.parse().ok()) {
        let many: Vec<Recording> = recordings.iter().cycle().take(tiles).cloned().collect();
        let (cpu, frames, _) = ours(&many, &Layout::Grid, false);
        return report(&format!("onmic, a grid of {tiles}"), per_frame((cpu, frames)));
    }
    let files: Vec<TempFile> = recordings
        .iter()
        .map(|recording| {
            let file = TempFile::new("h264");
            let mut stream = Vec::new();
            for frame in &recording.frames {
                let Parameters::H264(h264) = &*frame.parameters else { panic!("not H.264") };
                if frame.keyframe {
                    stream.extend_from_slice(&nal::to_annex_b(&h264.in_band()));
                }
                stream.extend_from_slice(&nal::to_annex_b(&frame.payload));
            }
            std::fs::write(&file.0, stream).unwrap();
            file
        })
        .collect();
    let runs = [
        ("ffmpeg, default options (bicubic)", "", None),
        ("ffmpeg, one thread each, bicubic", "", Some("1")),
        ("ffmpeg, one thread each, area (as onmic)", ":flags=area", Some("1")),
        ("ffmpeg, one thread each, bilinear", ":flags=bilinear", Some("1")),
    ];
    let (mut theirs_all, mut ours_all) = (runs.map(|_| Vec::new()), Vec::new());
    for _ in 0..ROUNDS {
        for ((_, scaler, threads), all) in runs.iter().zip(&mut theirs_all) {
            all.push(per_frame(theirs(&files, scaler, *threads)));
        }
        let (cpu, frames, _) = ours(&recordings, &Layout::Grid, false);
        ours_all.push(per_frame((cpu, frames)));
    }
    let own = median(ours_all);
    report("onmic, 2x2", own);
    for ((name, ..), all) in runs.iter().zip(theirs_all) {
        let theirs = median(all);
        report(name, theirs);
        println!("  ratio: {:.2}", own / theirs);
    }
    let (cpu, frames, mut delays) = ours(&recordings, &Layout::Grid, true);
    report("onmic, 2x2, in real time", per_frame((cpu, frames)));
    delays.sort_unstable();
    let at = |part: usize| delays[delays.len() * part / 100].as_secs_f64() * 1000.0;
    println!(
        "  host's frame from arrival to encoded: p50 {:.1} ms, p95 {:.1} ms, p99 {:.1} ms",
        at(50),
        at(95),
        at(99)
    );
    let picture_in_picture = Layout::PictureInPicture { corner: Default::default() };
    for (name, layout) in
        [("onmic, two side by side", Layout::SideBySide), ("onmic, picture in picture", picture_in_picture)]
    {
        let (cpu, frames, _) = ours(&recordings[..2], &layout, false);
        report(name, per_frame((cpu, frames)));
    }
}
