//! Many clients that wait for the next part: how long after its publication they have it, and what one costs.
//!
//! `cargo run --release -p onmic-edge --example hls_blocked_load -- [CLIENTS] [SECONDS]`. Runs the server in a process of
//! its own (itself, with `serve`), feeds it a made-up stream, and sends each client's next blocking reload as soon as the
//! last was answered. The time runs from the moment at which the server is handed the frame that completes the part.

use std::collections::HashMap;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::serve::ListenerExt;
use bytes::Bytes;
use onmic_edge::hls::{Hls, HlsConfig};
use onmic_media::codec::h264;
use onmic_media::gate::OpenGate;
use onmic_media::hub::HubLimits;
use onmic_media::{Arrival, Hub, NodeClock, Parameters, Protocol, Rendition, SourceName, Ticks, TrackKey};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Ports of one source address that are sure to be free.
const PORTS_PER_ADDRESS: usize = 20_000;

const FRAME: Duration = Duration::from_micros(33_333);
const FRAMES_PER_SEGMENT: u32 = 60;
const FRAMES_PER_PART: u32 = 10;

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1).peekable();
    if arguments.peek().is_some_and(|first| first == "serve") {
        return serve().await;
    }
    let clients: usize = arguments.next().map_or(2000, |text| text.parse().expect("a number of clients"));
    let seconds: u64 = arguments.next().map_or(10, |text| text.parse().expect("seconds"));
    load(clients, Duration::from_secs(seconds)).await;
}

/// The server: one room, thirty frames a second. Says its address, and then for each part when it was complete.
async fn serve() {
    let hub = Hub::new(NodeClock::new(Instant::now(), SystemTime::now()), HubLimits::default(), None);
    let hls = Hls::new(hub.clone(), Arc::new(OpenGate), HlsConfig::default(), CancellationToken::new());
    let router = hls.router().layer(onmic_http::cors::layer());
    let listener = TcpSocket::new_v4().expect("a socket");
    listener.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a port");
    let listener = listener.listen(16_384).expect("listening");
    let address = listener.local_addr().expect("an address");
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    tokio::spawn(async move { hls.run().await });
    tokio::spawn(publish(hub));
    say(&address.to_string());
    axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>()).await.expect("serving");
}

async fn publish(hub: Arc<Hub>) {
    let sps = [0x67, 0x42, 0xc0, 0x0d, 0xda, 0x05, 0x0c, 0xed, 0xff, 0x01, 0x60, 0x22, 0x00, 0x00, 0x03, 0x00];
    let sps = [&sps[..], &[0x02, 0x00, 0x00, 0x03, 0x00, 0x79, 0x1e, 0x2c, 0x5d, 0xc0]].concat();
    let sets = vec![Bytes::from_static(&[0x68, 0xce, 0x0f, 0xc8])];
    let sets = h264::Parameters::from_parameter_sets(vec![sps.into()], sets).expect("parameter sets");
    let parameters = Arc::new(Parameters::H264(sets));
    let name: SourceName = "load".parse().expect("a name");
    let mut publication = hub.publish(&name, Protocol::Rtmp, Instant::now()).expect("free");
    publication.expect([TrackKey::VIDEO]);
    let start = tokio::time::Instant::now();
    for frame in 0_u32.. {
        tokio::time::sleep_until(start + FRAME * frame).await;
        let at = Ticks(i64::from(frame) * 3000);
        let (keyframe, payload) = (frame % FRAMES_PER_SEGMENT == 0, Bytes::from_static(&[0; 10_000]));
        let arrival =
            Arrival { rendition: Rendition::MAIN, dts: at, pts: at, keyframe, parameters: parameters.clone(), payload };
        if frame % FRAMES_PER_PART == FRAMES_PER_PART - 1 {
            let part = frame % FRAMES_PER_SEGMENT / FRAMES_PER_PART;
            say(&format!("{} {part} {}", frame / FRAMES_PER_SEGMENT, epoch_micros()));
        }
        if publication.push(arrival, Instant::now()).is_err() {
            return;
        }
    }
}

fn say(line: &str) {
    let mut output = std::io::stdout().lock();
    let _ = writeln!(output, "{line}").and_then(|()| output.flush());
}

/// One clock for both processes.
fn epoch_micros() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

/// One answer: for which part it was asked, and when it had come.
struct Answer {
    part: (u64, u32),
    came: u64,
    status: u16,
}

async fn load(clients: usize, duration: Duration) {
    let program = std::env::current_exe().expect("this program");
    let mut server = tokio::process::Command::new(program)
        .arg("serve")
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("a server");
    let mut lines = BufReader::new(server.stdout.take().expect("its output")).lines();
    let address: SocketAddr = lines.next_line().await.expect("a line").expect("a line").parse().expect("an address");
    tokio::time::sleep(Duration::from_secs(3)).await;
    let index = get(address, "/hls/load/index.m3u8").await;
    let directory = index.lines().last().and_then(|line| line.split('/').next()).expect("a directory").to_owned();
    let process = server.id().expect("it runs");
    let idle = resident(process);
    let (answers, mut collected) = mpsc::unbounded_channel();
    for client in 0..clients {
        let source = Ipv4Addr::new(127, 0, 0, 2 + (client / PORTS_PER_ADDRESS) as u8);
        let (directory, answers) = (directory.clone(), answers.clone());
        tokio::spawn(async move { reload(address, source, &directory, answers).await });
        if client % 200 == 199 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    drop(answers);
    // All are connected and waiting by then.
    let settled = Duration::from_secs(3 + clients as u64 / 2000);
    let warm = epoch_micros() + settled.as_micros() as u64;
    let mut parts: HashMap<(u64, u32), Vec<u64>> = HashMap::new();
    let mut published: HashMap<(u64, u32), u64> = HashMap::new();
    let (mut refused, mut total, mut measured) = (0_u64, 0_u64, 0_u64);
    let mut cpu = None;
    let deadline = tokio::time::Instant::now() + settled + duration;
    loop {
        tokio::select! {
            () = tokio::time::sleep_until(deadline) => break,
            line = lines.next_line() => {
                let line = line.ok().flatten().expect("the server lives");
                let mut numbers = line.split(' ').map(|number| number.parse::<u64>().unwrap_or(0));
                let mut number = || numbers.next().unwrap_or(0);
                published.insert((number(), number() as u32), number());
            }
            Some(answer) = collected.recv() => {
                total += 1;
                refused += u64::from(answer.status != 200);
                if answer.came >= warm {
                    cpu.get_or_insert_with(|| cpu_micros(process));
                    measured += 1;
                    parts.entry(answer.part).or_default().push(answer.came);
                }
            }
        }
    }
    let busy = resident(process);
    let (before, after) = (cpu.unwrap_or_default(), cpu_micros(process));
    let [user, system] = [0, 1].map(|mode| (after[mode] - before[mode]) as f64 / measured.max(1) as f64);
    let mut delays = Vec::new();
    let mut worst = Vec::new();
    for (part, came) in parts.iter().filter(|(_, came)| came.len() * 10 >= clients * 9) {
        let Some(published) = published.get(part) else { continue };
        let delay = |came: &u64| Duration::from_micros(came.saturating_sub(*published));
        let mut of_part: Vec<_> = came.iter().map(delay).collect();
        of_part.sort();
        worst.push(of_part[of_part.len() * 99 / 100]);
        delays.extend(of_part);
    }
    delays.sort();
    worst.sort();
    let millis = |duration: Duration| duration.as_secs_f64() * 1000.0;
    let at = |share: usize| delays.get(delays.len() * share / 100).copied().map_or(f64::NAN, millis);
    let line = format!(
        "clients={clients} parts={} answers={total} refused={refused} published_to_answered_ms p50={:.1} p99={:.1} max={:.1} \
         worst_part_p99={:.1} server_us_per_answer user={user:.1} system={system:.1} server_rss_mb={:.1} rss_per_client_kb={:.1}",
        worst.len(),
        at(50),
        at(99),
        delays.last().copied().map_or(f64::NAN, millis),
        worst.last().copied().map_or(f64::NAN, millis),
        busy as f64 / 1024.0,
        (busy.saturating_sub(idle)) as f64 / clients as f64,
    );
    say(&line);
}

/// Asks for one part after the other, waiting for each.
async fn reload(address: SocketAddr, source: Ipv4Addr, directory: &str, answers: mpsc::UnboundedSender<Answer>) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::from((source, 0))).expect("a port");
    let Ok(stream) = socket.connect(address).await else { return };
    let _ = stream.set_nodelay(true);
    let mut stream = BufReader::with_capacity(4096, stream);
    let mut next = "video.m3u8".to_owned();
    let mut part = (0, 0);
    loop {
        let request = format!("GET /hls/load/{directory}/{next} HTTP/1.1\r\nHost: load\r\nUser-Agent: load\r\n\r\n");
        if stream.get_mut().write_all(request.as_bytes()).await.is_err() {
            return;
        }
        let Some((status, body)) = response(&mut stream).await else { return };
        if answers.send(Answer { part, came: epoch_micros(), status }).is_err() {
            return;
        }
        let Some((msn, index)) = next_place(&body) else { return };
        part = (msn, index);
        next = format!("video.m3u8?_HLS_msn={msn}&_HLS_part={index}");
    }
}

/// Returns the media sequence number and the index of the part that comes after the last one of a playlist.
fn next_place(playlist: &str) -> Option<(u64, u32)> {
    let first: u64 = playlist.lines().find_map(|line| line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:"))?.parse().ok()?;
    let is_segment = |line: &&str| !line.starts_with('#');
    let segments = playlist.lines().filter(is_segment).count() as u64;
    let open = playlist.lines().rev().take_while(|line| !is_segment(line));
    let parts = open.filter(|line| line.starts_with("#EXT-X-PART:")).count() as u32;
    Some((first + segments, parts))
}

async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = BufReader::new(TcpStream::connect(address).await.expect("the server"));
    let request = format!("GET {path} HTTP/1.1\r\nHost: load\r\n\r\n");
    stream.get_mut().write_all(request.as_bytes()).await.expect("sent");
    response(&mut stream).await.expect("an answer").1
}

async fn response(stream: &mut BufReader<TcpStream>) -> Option<(u16, String)> {
    let (mut status, mut length) = (None, 0);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line if status.is_none() => status = Some(line.split(' ').nth(1)?.parse().ok()?),
            line => {
                if let Some(value) = line.strip_prefix("content-length: ") {
                    length = value.parse().ok()?;
                }
            }
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some((status?, String::from_utf8(body).ok()?))
}

/// CPU time a process has used in user and in system mode, in µs.
fn cpu_micros(process: u32) -> [u64; 2] {
    const TICK_MICROS: u64 = 10_000; // USER_HZ is 100 everywhere.
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |field: usize| fields.get(field).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    [11, 12].map(|field| ticks(field) * TICK_MICROS)
}

/// Resident memory of a process, kB.
fn resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0");
    line.trim().trim_end_matches(" kB").trim().parse().unwrap_or(0)
}
