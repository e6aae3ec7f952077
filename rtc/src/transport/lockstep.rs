//! Tests of a server peer against a client peer in virtual time, over a pipe that loses, delays and
//! corrupts datagrams by a seed.

mod addresses;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::client::ClientConfig;
use super::*;

static SERVER: LazyLock<Arc<Identity>> = LazyLock::new(|| Identity::generate().unwrap());
static CLIENT: LazyLock<Arc<Identity>> = LazyLock::new(|| Identity::generate().unwrap());

const GCM_ONLY: &[Profile] = &[Profile::AeadAes128Gcm];
const SHA1_FIRST: &[Profile] = &[Profile::Aes128CmSha1, Profile::AeadAes128Gcm];

fn address(port: u16) -> Route {
    Route::Udp(([192, 0, 2, 1], port).into())
}

#[derive(Clone, Copy)]
struct Pipe {
    loss: f64,
    delay: Duration,
    jitter: Duration,
    /// Selects the datagrams that get one bit flipped.
    corrupt: fn(&[u8]) -> bool,
    /// Selects the datagrams that never arrive.
    lose: fn(&[u8]) -> bool,
    /// The client cuts what it sends of DTLS into pieces of this many bytes.
    pieces: Option<usize>,
}

impl Default for Pipe {
    fn default() -> Self {
        Self {
            loss: 0.0,
            delay: Duration::from_millis(10),
            jitter: Duration::ZERO,
            corrupt: |_| false,
            lose: |_| false,
            pieces: None,
        }
    }
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct InFlight {
    at: Instant,
    order: u64,
    to_server: bool,
    from: Route,
    bytes: Vec<u8>,
}

struct World {
    start: Instant,
    now: Instant,
    random: StdRng,
    pipe: Pipe,
    order: u64,
    in_flight: BinaryHeap<Reverse<InFlight>>,
    server: Peer,
    client: Client,
    client_address: Route,
    server_got: Vec<Vec<u8>>,
    client_got: Vec<Vec<u8>>,
    dropped: Vec<Dropped>,
    sent: usize,
}

struct Setup {
    seed: u64,
    pipe: Pipe,
    profiles: &'static [Profile],
    announced_to_server: Fingerprint,
    announced_to_client: Fingerprint,
    /// The server's side in the DTLS handshake.
    role: Role,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            seed: 1,
            pipe: Pipe::default(),
            profiles: GCM_ONLY,
            announced_to_server: CLIENT.fingerprint(),
            announced_to_client: SERVER.fingerprint(),
            role: Role::Server,
        }
    }
}

impl World {
    fn new(setup: Setup) -> Self {
        let start = Instant::now();
        let (local, remote) = (Credentials::generate(), Credentials::generate());
        let server = Peer::new(
            PeerConfig::default(),
            (SERVER.clone(), setup.role),
            local.clone(),
            remote.clone(),
            setup.announced_to_server,
            start,
        );
        let config = ClientConfig {
            local: remote,
            remote: local,
            fingerprint: setup.announced_to_client,
            server: address(1).address(),
            role: if setup.role == Role::Server { Role::Client } else { Role::Server },
            profiles: setup.profiles.to_vec(),
        };
        Self {
            start,
            now: start,
            random: StdRng::seed_from_u64(setup.seed),
            pipe: setup.pipe,
            order: 0,
            in_flight: BinaryHeap::new(),
            server,
            client: Client::new(config, CLIENT.clone(), start),
            client_address: address(5000),
            server_got: Vec::new(),
            client_got: Vec::new(),
            dropped: Vec::new(),
            sent: 0,
        }
    }

    fn connected(setup: Setup) -> Self {
        let mut world = Self::new(setup);
        world.run_for(Duration::from_secs(1));
        assert!(world.both_connected());
        world
    }

    fn both_connected(&self) -> bool {
        self.server.state() == State::Connected && self.client.state() == State::Connected
    }

    fn send(&mut self, to_server: bool, mut bytes: Vec<u8>) {
        self.sent += 1;
        if self.random.random_bool(self.pipe.loss) || (self.pipe.lose)(&bytes) {
            return;
        }
        if (self.pipe.corrupt)(&bytes) {
            let at = self.random.random_range(0..bytes.len());
            bytes[at] ^= 1 << self.random.random_range(0..8);
        }
        let jitter = self.pipe.jitter.mul_f64(self.random.random());
        self.order += 1;
        self.in_flight.push(Reverse(InFlight {
            at: self.now + self.pipe.delay + jitter,
            order: self.order,
            to_server,
            from: self.client_address,
            bytes,
        }));
    }

    fn drain(&mut self) {
        while let Some(transmit) = self.server.poll_transmit() {
            if transmit.to == self.client_address {
                self.send(false, transmit.bytes);
            }
        }
        let mut flight = Vec::new();
        while let Some(transmit) = self.client.poll_transmit() {
            match classify(&transmit.bytes) {
                Some(DatagramKind::Dtls) if self.pipe.pieces.is_some() => flight.extend(transmit.bytes),
                _ => self.send(true, transmit.bytes),
            }
        }
        for piece in flight.chunks(self.pipe.pieces.unwrap_or(1)) {
            self.send(true, piece.to_vec());
        }
    }

    fn deliver(&mut self, mut packet: InFlight) {
        let input = if packet.to_server {
            self.server.handle_datagram(self.now, packet.from, &mut packet.bytes)
        } else {
            self.client.handle_datagram(self.now, &mut packet.bytes)
        };
        match input {
            Ok(Input::Rtp(packet_bytes) | Input::Rtcp(packet_bytes)) => {
                let got = if packet.to_server { &mut self.server_got } else { &mut self.client_got };
                got.push(packet_bytes.to_vec());
            }
            Ok(_) => {}
            Err(reason) => self.dropped.push(reason),
        }
    }

    fn run_for(&mut self, time: Duration) {
        self.run(time, |_| false);
    }

    fn run(&mut self, time: Duration, done: impl Fn(&Self) -> bool) {
        let end = self.now + time;
        self.drain();
        while !done(self) {
            let arrival = self.in_flight.peek().map(|Reverse(packet)| packet.at);
            let next = [arrival, self.server.poll_timeout(), self.client.poll_timeout()];
            let Some(next) = next.into_iter().flatten().min().filter(|next| *next <= end) else {
                break;
            };
            self.now = self.now.max(next);
            if arrival == Some(next) {
                let Some(Reverse(packet)) = self.in_flight.pop() else {
                    break;
                };
                self.deliver(packet);
            } else {
                self.server.handle_timeout(self.now);
                self.client.handle_timeout(self.now);
            }
            self.drain();
        }
        if !done(self) {
            self.now = end;
        }
    }

    /// Returns a sealed packet of the client, which is not sent.
    fn client_seals(&mut self, sequence: u16, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![0; 1500];
        let length = self.client.seal_rtp(&rtp_header(9, sequence), payload, &mut out).unwrap();
        out.truncate(length);
        out
    }

    /// Hands the server a datagram from any address. Returns what the server sends, and to where.
    fn server_takes(&mut self, from: Route, datagram: &[u8]) -> (Result<(), Dropped>, Vec<Transmit>) {
        let result = self.server.handle_datagram(self.now, from, &mut datagram.to_vec()).map(drop);
        (result, std::iter::from_fn(|| self.server.poll_transmit()).collect())
    }

    fn server_sends(&mut self, sequence: u16, payload: &[u8]) {
        let mut out = vec![0; 1500];
        let header = rtp_header(7, sequence);
        let length = self.server.seal_rtp(&header, payload, &mut out).unwrap();
        out.truncate(length);
        self.send(false, out);
    }
}

fn rtp_header(ssrc: u32, sequence: u16) -> [u8; 12] {
    let mut header = [0x80, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    header[2..4].copy_from_slice(&sequence.to_be_bytes());
    header[8..].copy_from_slice(&ssrc.to_be_bytes());
    header
}

#[test]
fn connects_in_four_round_trips_without_loss() {
    let mut world = World::new(Setup::default());
    world.run(Duration::from_secs(3), World::both_connected);
    assert!(world.both_connected());
    // Four round trips of 20 ms: the check, the cookie, flights 4 and 6.
    assert_eq!(world.now - world.start, Duration::from_millis(80));
    assert_eq!(world.dropped, []);
}

#[test]
fn connects_within_eight_seconds_at_35_percent_loss() {
    // A cookie that is lost is sent again when the client asks again, which it does more and more slowly.
    for seed in 0..250 {
        let pipe = Pipe { loss: 0.35, jitter: Duration::from_millis(15), ..Pipe::default() };
        let mut world = World::new(Setup { seed, pipe, ..Setup::default() });
        world.run(Duration::from_secs(8), World::both_connected);
        assert!(world.both_connected(), "seed {seed}");
    }
}

const AS_CLIENT: Role = Role::Client;

#[test]
fn a_passive_peer_gets_the_client_hello_with_the_answer_to_its_first_check() {
    let mut world = World::new(Setup { role: AS_CLIENT, ..Setup::default() });
    assert_eq!(world.server.poll_transmit(), None);
    assert_eq!(world.server.poll_timeout(), Some(world.start + PeerConfig::default().consent));
    world.run(Duration::from_secs(3), World::both_connected);
    assert!(world.both_connected());
    // Half a round trip of 20 ms for the check, and three for the hello, the cookie, and flights 4 to 6.
    assert_eq!(world.now - world.start, Duration::from_millis(70));
    assert_eq!(world.server.profile(), Some(Profile::AeadAes128Gcm));
    assert_eq!(world.dropped, []);
    world.server_sends(1, b"picture");
    let mut out = [0; 200];
    let length = world.client.seal_rtp(&rtp_header(9, 1), b"voice", &mut out).unwrap();
    world.send(true, out[..length].to_vec());
    world.run_for(Duration::from_millis(50));
    assert_eq!((&world.client_got[0][12..], &world.server_got[0][12..]), (&b"picture"[..], &b"voice"[..]));
}

#[test]
fn a_passive_peer_connects_within_ten_seconds_at_35_percent_loss() {
    // Until its address has answered a question of ours, the hello is repeated after 1 and 2 s.
    for seed in 0..100 {
        let pipe = Pipe { loss: 0.35, jitter: Duration::from_millis(15), ..Pipe::default() };
        let mut world = World::new(Setup { seed, pipe, role: AS_CLIENT, ..Setup::default() });
        world.run(Duration::from_secs(10), World::both_connected);
        assert!(world.both_connected(), "seed {seed}");
    }
}

#[test]
fn a_peer_that_cuts_its_flights_into_pieces_connects() {
    for (role, size) in [(Role::Server, 40), (Role::Server, 500), (AS_CLIENT, 40), (AS_CLIENT, 500)] {
        let pipe = Pipe { pieces: Some(size), ..Pipe::default() };
        let mut world = World::new(Setup { pipe, role, ..Setup::default() });
        world.run(Duration::from_secs(1), World::both_connected);
        assert!(world.both_connected(), "{role:?} {size}");
        assert_eq!(world.dropped, [], "{role:?} {size}");
    }
}

#[test]
fn a_passive_peer_with_another_certificate_or_without_dtls_is_closed() {
    let announced_to_server = Fingerprint::of(b"another certificate");
    let mut world = World::new(Setup { announced_to_server, role: AS_CLIENT, ..Setup::default() });
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.server.state(), State::Closed(CloseReason::FingerprintMismatch));

    let lose = |datagram: &[u8]| classify(datagram) == Some(DatagramKind::Dtls);
    let pipe = Pipe { lose, ..Pipe::default() };
    let mut world = World::new(Setup { pipe, role: AS_CLIENT, ..Setup::default() });
    world.run_for(Duration::from_secs(16));
    assert_eq!(world.server.state(), State::Closed(CloseReason::DtlsTimeout));
}

#[test]
fn a_goodbye_closes_a_session_whose_peer_was_passive() {
    let mut world = World::connected(Setup { role: AS_CLIENT, ..Setup::default() });
    world.server.close(world.now);
    world.run_for(Duration::from_millis(50));
    assert_eq!(world.client.state(), State::Closed(CloseReason::PeerClosed));

    let mut world = World::connected(Setup { role: AS_CLIENT, ..Setup::default() });
    world.client.close(world.now);
    world.run_for(Duration::from_millis(50));
    assert_eq!(world.server.state(), State::Closed(CloseReason::PeerClosed));
}

#[test]
fn gcm_is_chosen_when_the_client_lists_sha1_first() {
    let world = World::connected(Setup { profiles: SHA1_FIRST, ..Setup::default() });
    assert_eq!(world.server.profile(), Some(Profile::AeadAes128Gcm));
    assert_eq!(world.client.profile(), Some(Profile::AeadAes128Gcm));
}

#[test]
fn a_client_without_gcm_gets_sha1_and_media_flows() {
    let profiles = &[Profile::Aes128CmSha1];
    let mut world = World::connected(Setup { profiles, ..Setup::default() });
    assert_eq!(world.server.profile(), Some(Profile::Aes128CmSha1));
    world.server_sends(1, b"picture");
    world.run_for(Duration::from_millis(50));
    assert_eq!(&world.client_got[0][12..], b"picture");
}

#[test]
fn a_client_without_gcm_connects_under_loss() {
    for seed in 0..50 {
        let pipe = Pipe { loss: 0.35, ..Pipe::default() };
        let profiles = &[Profile::Aes128CmSha1];
        let mut world = World::new(Setup { seed, pipe, profiles, ..Setup::default() });
        world.run(Duration::from_secs(3), World::both_connected);
        assert!(world.both_connected(), "seed {seed}");
    }
}

#[test]
fn a_certificate_that_was_not_announced_closes_the_session() {
    let mut world =
        World::new(Setup { announced_to_server: Fingerprint::of(b"another certificate"), ..Setup::default() });
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.server.state(), State::Closed(CloseReason::FingerprintMismatch));
    assert!(world.server.seal_rtp(&rtp_header(7, 1), b"x", &mut [0; 99]).is_err());

    let mut world =
        World::new(Setup { announced_to_client: Fingerprint::of(b"another certificate"), ..Setup::default() });
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.client.state(), State::Closed(CloseReason::FingerprintMismatch));
}

#[test]
fn datagrams_with_a_flipped_bit_never_connect() {
    for seed in 0..40 {
        let pipe = Pipe { corrupt: |_| true, ..Pipe::default() };
        let mut world = World::new(Setup { seed, pipe, ..Setup::default() });
        world.run_for(Duration::from_secs(3));
        assert_eq!(world.server.state(), State::Connecting, "seed {seed}");
        assert_eq!(world.client.state(), State::Connecting, "seed {seed}");
    }
}

// Some bits of a handshake are not authenticated, so it may complete. Then both sides have the same
// keys.
#[test]
fn handshakes_with_flipped_bits_fail_or_agree_on_the_keys() {
    let (mut agreed, mut failed) = (0, 0);
    for seed in 0..300 {
        let corrupt = |datagram: &[u8]| classify(datagram) == Some(DatagramKind::Dtls) && datagram[10] % 3 == 1;
        let pipe = Pipe { corrupt, ..Pipe::default() };
        let mut world = World::new(Setup { seed, pipe, ..Setup::default() });
        world.run_for(Duration::from_secs(4));
        if world.both_connected() {
            world.server_sends(1, b"picture");
            world.run_for(Duration::from_millis(50));
            assert_eq!(&world.client_got[0][12..], b"picture");
            agreed += 1;
        } else {
            failed += 1;
        }
    }
    assert!(agreed > 0 && failed > 0, "{agreed} agreed, {failed} failed");
}

#[test]
fn media_flows_both_ways_and_across_the_rollover() {
    let mut world = World::connected(Setup::default());
    for sequence in (32_000..=65_535).chain(0..400).step_by(40) {
        world.server_sends(sequence, &sequence.to_be_bytes());
    }
    world.run_for(Duration::from_millis(50));
    assert_eq!(world.client_got.len(), (32_000..65_936).step_by(40).count());

    let mut out = [0; 200];
    let length = world.client.seal_rtp(&rtp_header(9, 1), b"voice", &mut out).unwrap();
    world.send(true, out[..length].to_vec());
    let report = [0x80, 201, 0, 1, 0, 0, 0, 9];
    let length = world.client.seal_rtcp(&report, &mut out).unwrap();
    world.send(true, out[..length].to_vec());
    world.run_for(Duration::from_millis(50));
    assert_eq!(&world.server_got[0][12..], b"voice");
    assert_eq!(world.server_got[1], report);
}

#[test]
fn a_silent_peer_is_closed_after_thirty_seconds() {
    let mut world = World::connected(Setup::default());
    world.run_for(Duration::from_secs(60));
    assert!(world.both_connected());
    world.pipe.loss = 1.0;
    world.run_for(Duration::from_secs(29));
    world.run_for(Duration::from_secs(2));
    assert_eq!(world.server.state(), State::Closed(CloseReason::IceTimeout));
    assert_eq!(world.server.poll_timeout(), None);
}

#[test]
fn a_session_that_never_gets_a_check_is_closed() {
    let mut world = World::new(Setup { pipe: Pipe { loss: 1.0, ..Pipe::default() }, ..Setup::default() });
    world.run_for(Duration::from_secs(31));
    assert_eq!(world.server.state(), State::Closed(CloseReason::IceTimeout));
}

#[test]
fn a_handshake_that_is_never_finished_times_out() {
    let lose = |datagram: &[u8]| classify(datagram) == Some(DatagramKind::Dtls);
    let pipe = Pipe { lose, ..Pipe::default() };
    let mut world = World::new(Setup { pipe, ..Setup::default() });
    world.run_for(Duration::from_secs(16));
    assert_eq!(world.server.state(), State::Closed(CloseReason::DtlsTimeout));
}

#[test]
fn a_goodbye_of_either_side_closes_the_other() {
    let mut world = World::connected(Setup::default());
    world.server.close(world.now);
    world.run_for(Duration::from_millis(50));
    assert_eq!(world.server.state(), State::Closed(CloseReason::Closed));
    assert_eq!(world.client.state(), State::Closed(CloseReason::PeerClosed));

    let mut world = World::connected(Setup::default());
    world.client.close(world.now);
    world.run_for(Duration::from_millis(50));
    assert_eq!(world.server.state(), State::Closed(CloseReason::PeerClosed));
}

#[test]
fn forged_alerts_do_not_close_an_established_session() {
    let mut world = World::connected(Setup::default());
    let plain = [21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 99, 0, 2, 2, 40];
    let mut encrypted = vec![21, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 99, 0, 40];
    encrypted.extend([9; 40]);
    for _ in 0..100 {
        world.send(true, plain.to_vec());
        world.send(true, encrypted.clone());
    }
    world.run_for(Duration::from_millis(50));
    assert!(world.both_connected());
    world.client.close(world.now);
}
