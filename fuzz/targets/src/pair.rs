//! A server peer and its client in virtual time, without a network in between.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use onmic_rtc::transport::client::ClientConfig;
use onmic_rtc::transport::{
    Client, Credentials, Identity, Input, Peer, PeerConfig, Profile, Role, Route, State, classify,
};

static IDENTITIES: LazyLock<[Arc<Identity>; 2]> =
    LazyLock::new(|| [(), ()].map(|()| Identity::generate().expect("a key")));

/// Returns the server's credentials.
pub fn local() -> Credentials {
    Credentials { ufrag: "ours".to_owned(), pwd: "ours of more than 22 characters".to_owned() }
}

/// Returns the client's credentials.
pub fn remote() -> Credentials {
    Credentials { ufrag: "theirs".to_owned(), pwd: "theirs of more than 22 characters".to_owned() }
}

/// Returns the client's address.
pub fn client_address() -> Route {
    Route::Udp(([192, 0, 2, 1], 5000).into())
}

/// Both sides, and the datagrams between them.
pub struct Pair {
    /// The server, which is tested.
    pub server: Peer,
    /// Our own client.
    pub client: Client,
    /// The time, which passes only in [`Pair::wait`].
    pub now: Instant,
    /// Each datagram, and whether it goes to the server.
    pub flying: VecDeque<(bool, Vec<u8>)>,
}

impl Pair {
    /// Makes both sides. The client offers `profiles` for SRTP.
    pub fn new(profiles: &[Profile]) -> Self {
        let now = Instant::now();
        let [ours, theirs] = &*IDENTITIES;
        let fingerprint = theirs.fingerprint();
        let server =
            Peer::new(PeerConfig::default(), (ours.clone(), Role::Server), local(), remote(), fingerprint, now);
        let config = ClientConfig {
            local: remote(),
            remote: local(),
            fingerprint: ours.fingerprint(),
            server: SocketAddr::from(([192, 0, 2, 2], 8189)),
            role: Role::Client,
            profiles: profiles.to_vec(),
        };
        let client = Client::new(config, theirs.clone(), now);
        Self { server, client, now, flying: VecDeque::new() }
    }

    /// Makes both sides after a first check that was answered, so that the client's address may
    /// send.
    pub fn validated(profiles: &[Profile]) -> Self {
        let mut pair = Self::new(profiles);
        pair.wait();
        let (to_server, check) = pair.flying.pop_front().expect("a check");
        pair.deliver(to_server, check);
        pair
    }

    /// Returns whether both sides are connected.
    pub fn is_connected(&self) -> bool {
        self.server.state() == State::Connected && self.client.state() == State::Connected
    }

    /// Delivers a datagram, and checks the server's promises.
    pub fn deliver(&mut self, to_server: bool, mut datagram: Vec<u8>) {
        classify(&datagram);
        if to_server {
            let length = datagram.len();
            if let Ok(Input::Rtp(opened) | Input::Rtcp(opened)) =
                self.server.handle_datagram(self.now, client_address(), &mut datagram)
            {
                assert!(opened.len() < length);
            }
        } else {
            let _ = self.client.handle_datagram(self.now, &mut datagram);
        }
        self.collect();
    }

    /// Lets time pass until the next deadline.
    pub fn wait(&mut self) {
        let due = [self.server.poll_timeout(), self.client.poll_timeout()];
        let next = due.into_iter().flatten().min().unwrap_or(self.now + Duration::from_millis(10));
        self.now = self.now.max(next);
        self.server.handle_timeout(self.now);
        self.client.handle_timeout(self.now);
        assert!(self.server.poll_timeout().is_none_or(|next| next > self.now), "a deadline that stays would spin");
        self.collect();
    }

    fn collect(&mut self) {
        let mut sent = 0;
        while let Some(transmit) = self.server.poll_transmit() {
            assert_eq!(transmit.to, client_address(), "no other address has passed a check");
            sent += transmit.bytes.len();
            self.flying.push_back((false, transmit.bytes));
        }
        assert!(sent < 64 << 10, "{sent} bytes at once");
        while let Some(transmit) = self.client.poll_transmit() {
            self.flying.push_back((true, transmit.bytes));
        }
    }
}
