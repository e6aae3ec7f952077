//! Measures the cost of a WebRTC viewer: one shard has many viewers on one stream, and both are measured from outside.
//!
//! `cargo bench -p onmic-rtc --bench whep_viewers -- [--viewers 200] [--seconds 10] [--rounds 3]`
//!
//! A round has four cases, one after another: all networks are clean, a fifth of the viewers lose 5 % of the packets, one viewer loses half of
//! them, and 1,000 viewers have a clean network and 1 Mbit/s. The last lines compare the first three.
//! `--lossy-every 5 --loss 5 --kbps 2500` runs one case alone.
//!
//! The server runs here. The viewers and the floor run in processes of their own, so CPU and memory are the server's
//! alone. CPU is the time for which the shard's thread was on a core, with the kernel's work. On loopback that includes
//! delivering the datagrams to their sockets. The same run measures the floor: see `floor.rs`. Latency is from the push
//! of a frame to the moment when the viewers' process reads its last packet.

#![allow(clippy::print_stdout)]

mod client;
mod floor;
mod losses;
mod machine;
mod source;
mod wire;

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use onmic_media::name::Principal;
use onmic_media::{AvSync, Calendar, Feed, NodeClock, Track};
use onmic_rtc::{Config, Rtc};

use crate::source::Source;

type Failure = Box<dyn std::error::Error>;

/// The name of the row with the CPU of a viewer.
const PER_VIEWER: &str = "CPU of the shard per viewer-second";
/// The argument that starts the viewers' process.
const VIEWERS: &str = "--be-the-viewers";
/// The time between two viewers' offers. A handshake costs two signatures, and 200 viewers never come at once.
const BETWEEN_OFFERS: Duration = Duration::from_millis(20);
/// The time after the last frame for viewers that are behind because the machine is busy.
const DRAIN: Duration = Duration::from_secs(2);

/// What the viewers watch, and over which networks.
struct Case {
    name: &'static str,
    /// How many there are, if not as many as the command line says.
    viewers: Option<usize>,
    /// The bitrate of the video.
    kbps: usize,
    /// Every so-manyth viewer has a bad network. 0: none.
    every: usize,
    percent: u64,
}

const CLEAN: Case = Case { name: "clean", viewers: None, kbps: 2500, every: 0, percent: 0 };
const CASES: [Case; 4] = [
    CLEAN,
    Case { name: "a fifth of the viewers lose 5 %", every: 5, percent: 5, ..CLEAN },
    Case { name: "one viewer loses 50 %", every: usize::MAX, percent: 50, ..CLEAN },
    Case { name: "1,000 viewers at 1 Mbit/s", viewers: Some(1000), kbps: 1000, ..CLEAN },
];

struct Options {
    viewers: usize,
    seconds: u64,
    rounds: usize,
    kbps: usize,
    every: usize,
    percent: u64,
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == VIEWERS) {
        let number = |at: usize| arguments.get(at).map_or(Ok(0), |value| value.parse::<u64>());
        return client::run(number(1)? as usize, number(2)?);
    }
    if let [floor, sinks, ..] = &arguments[..]
        && floor == floor::FLOOR
    {
        return floor::run(sinks);
    }
    let value = |name: &str, default: u64| {
        let position = arguments.iter().position(|argument| argument == name);
        position.and_then(|at| arguments.get(at + 1)).map_or(Ok(default), |value| value.parse::<u64>())
    };
    let is_one_case = arguments.iter().any(|argument| argument == "--loss");
    let options = Options {
        viewers: value("--viewers", 200)? as usize,
        seconds: value("--seconds", 10)?,
        rounds: value("--rounds", 1)? as usize,
        kbps: value("--kbps", CLEAN.kbps as u64)? as usize,
        every: value("--lossy-every", 1)? as usize,
        percent: value("--loss", 0)?,
    };
    let prometheus = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &[0.001, 0.01, 0.1, 1.0])?
        .install_recorder()?;
    if !is_one_case {
        return compare(&options);
    }
    let Options { viewers, seconds, kbps, .. } = options;
    println!("{viewers} viewers, {kbps} kbit/s H.264 and 64 kbit/s Opus, {seconds} s");
    round(&options, &prometheus)
}

/// Runs each case of each round in a process of its own, because memory that one gave back would hide what the next takes, and compares
/// their CPU.
fn compare(options: &Options) -> Result<(), Failure> {
    let mut costs: [Vec<f64>; CASES.len()] = Default::default();
    for _ in 0..options.rounds {
        for (Case { name, viewers, kbps, every, percent }, costs) in CASES.iter().zip(&mut costs) {
            println!("\n{name}");
            let viewers = viewers.unwrap_or(options.viewers);
            let arguments = format!(
                "--viewers {viewers} --seconds {} --kbps {kbps} --lossy-every {every} --loss {percent}",
                options.seconds
            );
            let mut command = Command::new(std::env::current_exe()?);
            command.args(arguments.split(' ')).stderr(Stdio::inherit());
            let text = String::from_utf8(command.output()?.stdout)?;
            print!("{text}");
            let cost =
                text.lines().find_map(|line| line.strip_prefix(PER_VIEWER)?.trim().split(' ').next()?.parse().ok());
            costs.push(cost.ok_or("a case said nothing of its CPU")?);
        }
    }
    println!();
    let medians = costs.map(|mut costs: Vec<f64>| {
        costs.sort_by(f64::total_cmp);
        costs[costs.len() / 2]
    });
    let is_like_clean = |case: &Case| case.viewers.is_none() && case.every > 0;
    for (Case { name, .. }, median) in CASES.iter().zip(medians).filter(|(case, _)| is_like_clean(case)) {
        println!("CPU per viewer, {name}: {:.2} of clean", median / medians[0]);
    }
    Ok(())
}

fn round(options: &Options, prometheus: &PrometheusHandle) -> Result<(), Failure> {
    let clock = NodeClock::new(Instant::now(), SystemTime::now());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut viewers = Viewers::start(options)?;
    let sinks = viewers.ask(wire::SINKS, &options.viewers.to_string())?;
    let floor_before = floor::measure(&sinks)?;

    // One principal has at most half of the places.
    let rtc = Rtc::start(&Config::on_loopback(4 * options.viewers, Arc::new(Calendar::new(clock))))?;
    let publisher = Publisher::start(clock, options.kbps)?;
    std::thread::sleep(Duration::from_secs(3)); // A whole group is in the ring now.
    let resident_before = machine::resident();
    for _ in 0..options.viewers {
        let offer = viewers.ask(wire::JOIN, "")?;
        let answer = runtime.block_on(rtc.watch(
            &offer,
            publisher.feed.clone(),
            AvSync::LipSync,
            Principal::at([127, 0, 0, 1].into()),
        ))?;
        viewers.tell(wire::ANSWER, &answer.sdp)?;
        std::thread::sleep(BETWEEN_OFFERS);
    }
    std::thread::sleep(Duration::from_secs(2)); // All viewers have caught up now.
    let resident = machine::resident().saturating_sub(resident_before);
    prometheus.run_upkeep();

    viewers.tell(wire::BEGIN, "")?;
    let (cpu_before, machine_before) = (machine::thread_cpu("rtc-0").ok_or("no shard")?, machine::machine_cpu());
    std::thread::sleep(Duration::from_secs(options.seconds));
    let machine_after = machine::machine_cpu();
    let made = publisher.stop();
    std::thread::sleep(DRAIN);
    let cpu = machine::thread_cpu("rtc-0").ok_or("no shard")? - cpu_before;
    let report = viewers.ask(wire::END, &made)?;
    runtime.block_on(rtc.shutdown(Duration::from_secs(5)));
    let floor_after = floor::measure(&sinks)?;

    let field = |name: &str| -> &str {
        report
            .lines()
            .filter_map(|line| line.split_once('='))
            .find(|(key, _)| *key == name)
            .map_or("", |(_, value)| value)
    };
    let packets: f64 = field("packets").parse()?;
    let per_packet = cpu.as_secs_f64() * 1e6 / packets;
    let floor = (floor_before + floor_after) / 2.0;
    let viewer_seconds = options.viewers as f64 * options.seconds as f64;
    let client_cpu: f64 = field("client_cpu_s").parse()?;
    let busy = (machine_after.0 - machine_before.0) as f64 / (machine_after.1 - machine_before.1).max(1) as f64;
    let cores = std::thread::available_parallelism()?.get() as f64;
    let others = busy * cores - (cpu.as_secs_f64() + client_cpu) / options.seconds as f64;

    println!();
    let row = |name: &str, value: String, target: &str| println!("{name:44} {value:>24}  {target}");
    row("CPU of the shard per packet", format!("{per_packet:.2} µs"), "target ≤ 2.5");
    row(
        "  floor: sealing and GSO sends alone",
        format!("{:.2} / {:.2} µs", floor_before, floor_after),
        "before / after",
    );
    row("  ratio to the floor", format!("{:.2}", per_packet / floor), "");
    row(PER_VIEWER, format!("{:.0} µs", cpu.as_secs_f64() * 1e6 / viewer_seconds), "");
    row("packets per viewer-second", format!("{:.0}", packets / viewer_seconds), "");
    row(
        "resident memory per viewer",
        format!("{:.0} kB", resident as f64 / 1e3 / options.viewers as f64),
        "target ≤ 100",
    );
    row("answer to connected, p50 p95 max", format!("{} ms", field("connect_ms")), "target p95 ≤ 20");
    row("push to received, video, p50 p95 max", format!("{} ms", field("video_ms")), "target p95 < 15");
    row("push to received, audio, p50 p95 max", format!("{} ms", field("audio_ms")), "");
    row("viewers connected", field("connected").to_owned(), "");
    row("repairs sent", field("repairs").to_owned(), "");
    row(
        "frames per viewer, video and audio",
        format!("{} {}", field("video_frames_per_viewer"), field("audio_frames_per_viewer")),
        "",
    );
    row("frames lost, sequence gaps", format!("{} {}", field("lost_frames"), field("sequence_gaps")), "target 0");
    row(
        "cores busy with shard, viewers, others",
        {
            let cpu = cpu.as_secs_f64() / options.seconds as f64;
            format!("{cpu:.2} {:.2} {others:.2}", client_cpu / options.seconds as f64)
        },
        "",
    );
    for line in
        prometheus.render().lines().filter(|line| line.starts_with("onmic_drops_total") && !line.ends_with(" 0"))
    {
        println!("{line}");
    }
    viewers.stop();
    Ok(())
}

/// The viewers' process.
struct Viewers {
    child: Child,
    to: ChildStdin,
    from: ChildStdout,
}

impl Viewers {
    fn start(options: &Options) -> Result<Self, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        let networks = [options.every.to_string(), options.percent.to_string()];
        let mut child = command.arg(VIEWERS).args(networks).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (to, from) = (child.stdin.take().ok_or("no pipe")?, child.stdout.take().ok_or("no pipe")?);
        Ok(Self { child, to, from })
    }

    fn tell(&mut self, tag: u8, text: &str) -> Result<(), Failure> {
        wire::write(self.to.by_ref(), tag, text).map_err(Into::into)
    }

    fn ask(&mut self, tag: u8, text: &str) -> Result<String, Failure> {
        self.tell(tag, text)?;
        Ok(wire::read(self.from.by_ref())?.1)
    }

    /// Closes the input of the process, which ends it.
    fn stop(self) {
        let Self { mut child, to, from } = self;
        drop((to, from));
        if child.wait().is_err() {
            println!("the viewers' process failed");
        }
    }
}

/// A thread that pushes frames in real time.
struct Publisher {
    feed: Arc<Feed>,
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<String>,
}

impl Publisher {
    fn start(clock: NodeClock, kbps: usize) -> Result<Self, Failure> {
        let began = Instant::now();
        let mut sources = [Source::audio(clock, began), Source::video(clock, began, kbps)];
        let tracks = [0, 1].map(|kind| Arc::new(Track::new(sources[kind].parameters())));
        let feed = Feed::new(None);
        for track in &tracks {
            feed.set_original(track.clone());
        }
        feed.settle();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::Builder::new().name("publisher".to_owned()).spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let kind = usize::from(sources[1].due() <= sources[0].due());
                std::thread::sleep(sources[kind].due().saturating_duration_since(Instant::now()));
                tracks[kind].push(sources[kind].frame(Instant::now()));
            }
            format!("{} {}", sources[0].made(), sources[1].made())
        })?;
        Ok(Self { feed, stop, thread })
    }

    /// Stops, and returns the numbers of audio and video frames that were made.
    fn stop(self) -> String {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_default()
    }
}
