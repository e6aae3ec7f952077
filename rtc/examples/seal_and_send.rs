//! Measures the least cost of one packet: sealing, and sending by GSO runs or one by one.
//!
//! `cargo run --release -p onmic-rtc --example seal_and_send [packets]`. A thread of its own
//! receives on loopback, so an idle second core makes the figures steady.

#![allow(clippy::print_stdout)]

use std::net::UdpSocket;
use std::time::Instant;

use onmic_rtc::transport::srtp::MasterKey;
use onmic_rtc::transport::{Profile, Sealer};
use onmic_rtc::udp::{Batch, Socket};

const PAYLOAD: usize = 1188;
const RUN: usize = 10;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let packets: usize = std::env::args().nth(1).map_or(Ok(400_000), |count| count.parse())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _inside = runtime.enter();
    let sink = UdpSocket::bind("127.0.0.1:0")?;
    let to = sink.local_addr()?;
    std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        while sink.recv(&mut buffer).is_ok() {}
    });
    let mut socket = Socket::bind("127.0.0.1:0".parse()?)?;
    let payload = [7; PAYLOAD];

    for profile in [Profile::AeadAes128Gcm, Profile::Aes128CmSha1] {
        let mut packets_of = Packets::new(profile).ok_or("the key was refused")?;
        let mut out = [0; 1500];
        let seal = per_packet(packets, || {
            packets_of.next(&payload, &mut out);
        });
        let single = per_packet(packets, || {
            let length = packets_of.next(&payload, &mut out);
            socket.send(to, &out[..length]);
        });
        let mut batch = Batch::new();
        let run = per_packet(packets, || {
            let length = packets_of.sealer.rtp_len(12 + PAYLOAD);
            let pushed: Result<(), ()> = batch.push(length, |out| Ok(packets_of.next(&payload, out)));
            if pushed.is_ok() && batch.count() == RUN {
                socket.send_batch(to, &mut batch);
            }
        });
        println!("{profile:?}: seal {seal} ns, seal + sendto {single} ns, seal + GSO {run} ns");
    }
    println!("{:?}", socket.counters());
    Ok(())
}

fn per_packet(packets: usize, mut each: impl FnMut()) -> u128 {
    let start = Instant::now();
    for _ in 0..packets {
        each();
    }
    start.elapsed().as_nanos() / packets as u128
}

struct Packets {
    sealer: Sealer,
    sequence: u16,
}

impl Packets {
    fn new(profile: Profile) -> Option<Self> {
        let master = MasterKey::new(&[1; 16], &[2; 12])?;
        Some(Self { sealer: Sealer::new(profile, &master)?, sequence: 0 })
    }

    fn next(&mut self, payload: &[u8], out: &mut [u8]) -> usize {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = [0x80, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        header[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        self.sealer.seal_rtp(&header, payload, out).unwrap_or(0)
    }
}
