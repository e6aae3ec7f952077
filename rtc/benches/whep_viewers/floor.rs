//! The floor: the least cost of a packet. A bare loop of sealing and GSO sends takes the same frames to as many
//! sockets.
//!
//! It has no sessions, repairs or reports. The shard's cost above the floor is the price of these.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use onmic_media::NodeClock;
use onmic_rtc::rtp::{Outgoing, outgoing::Limits};
use onmic_rtc::transport::srtp::MasterKey;
use onmic_rtc::transport::{Profile, Sealer};
use onmic_rtc::udp::{Batch, Socket};

use crate::machine;
use crate::source::Source;

const HEADER: usize = 12;
const KBPS: usize = 2500;
const NAME: &str = "floor";

/// The argument that starts the process.
pub const FLOOR: &str = "--be-the-floor";
const DURATION: Duration = Duration::from_secs(4);

/// Measures the CPU time per packet in microseconds, in a process of its own, so that its allocations do not count as
/// the server's.
pub fn measure(sinks: &str) -> Result<f64, Box<dyn std::error::Error>> {
    let output = Command::new(std::env::current_exe()?).arg(FLOOR).arg(sinks).stderr(Stdio::inherit()).output()?;
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

/// Runs the process. `sinks` are the addresses to send to. The result goes to standard output.
pub fn run(sinks: &str) -> Result<(), Box<dyn std::error::Error>> {
    let sinks: Vec<SocketAddr> = sinks.split(' ').map(str::parse).collect::<Result<_, _>>()?;
    let clock = NodeClock::new(Instant::now(), SystemTime::now());
    let thread = std::thread::Builder::new().name(NAME.to_owned()).spawn(move || send(&sinks, clock, DURATION));
    let (cpu, packets) = thread?.join().map_err(|_| "the thread panicked")??;
    println!("{}", cpu.as_secs_f64() * 1e6 / packets as f64);
    Ok(())
}

fn send(sinks: &[SocketAddr], clock: NodeClock, duration: Duration) -> Result<(Duration, u64), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    let _inside = runtime.enter();
    let mut socket = Socket::bind(SocketAddr::from(([127, 0, 0, 1], 0))).map_err(|error| error.to_string())?;
    let master = MasterKey::new(&[1; 16], &[2; 12]).ok_or("the key was refused")?;
    let sealers = sinks.iter().map(|_| Sealer::new(Profile::AeadAes128Gcm, &master));
    let mut sealers: Vec<Sealer> = sealers.collect::<Option<_>>().ok_or("the key was refused")?;
    let mut batch = Batch::new();
    let began = Instant::now();
    let mut sources = [Source::video(clock, began, KBPS), Source::audio(clock, began)];
    let outgoing = |source: &Source| Outgoing::new(source.parameters().codec(), Limits::default());
    let mut outgoings = [0, 1].map(|kind| outgoing(&sources[kind]).expect("WebRTC has these codecs"));
    let before = machine::thread_cpu(NAME).ok_or("no schedstat")?;
    let mut packets = 0;
    loop {
        let kind = usize::from(sources[1].due() < sources[0].due());
        let due = sources[kind].due();
        if due - began > duration {
            break;
        }
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let frame = sources[kind].frame(Instant::now());
        let Some(frame) = outgoings[kind].push(&frame) else { continue };
        for (to, sealer) in sinks.iter().zip(&mut sealers) {
            for packet in frame.iter() {
                let mut header = [0x80, 96 + kind as u8, 0, 0, 0, 0, 0, 0, 0, 0, 0, kind as u8];
                header[2..4].copy_from_slice(&(packet.sequence as u16).to_be_bytes());
                let length = sealer.rtp_len(HEADER + packet.payload.len());
                if !batch.takes(length) {
                    socket.send_batch(*to, &mut batch);
                }
                let sealed = batch.push(length, |room| sealer.seal_rtp(&header, packet.payload, room));
                sealed.map_err(|error| error.to_string())?;
                packets += 1;
            }
            socket.send_batch(*to, &mut batch);
        }
    }
    let cpu = machine::thread_cpu(NAME).ok_or("no schedstat")?;
    match socket.counters() {
        counters if counters.sent == packets => Ok((cpu - before, packets)),
        counters => Err(format!("the floor lost packets: {counters:?}")),
    }
}
