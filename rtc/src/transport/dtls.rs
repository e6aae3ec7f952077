//! DTLS 1.2 of one session over `rtc-dtls`, in either role, up to the exported SRTP keys.
//!
//! The role is the offer's choice (RFC 8842 5.3): the server of a peer that may be the client, and the client of a
//! peer that says `a=setup:passive`, as ffmpeg's WHIP muxer does. As the client it sends nothing before
//! [`Dtls::start`].
//!
//! The endpoint of `rtc-dtls` computes. This file decides which messages it gets and which flights
//! are sent again:
//! - The endpoint gets each handshake message once, whole and in order (see `record.rs`). A
//!   repeated message shows that our last flight was lost, so that flight is sent again. It is also
//!   sent again when no answer comes. The endpoint's own timer is
//!   never used, because any handshake record stops it and seven repeats exhaust it.
//! - The address may be a victim's, because a check can be forged, and so can a hello. So flights are repeated after 1, 2,
//!   4 and 8 s (RFC 6347 4.2.4.1), and for a repeat of the peer's once a second, until the address has proved that the peer is
//!   there: by its answer to a check of ours, by the cookie that a server sent to it alone ([`Dtls::set_proved`]), or by an answer
//!   to a client's random (a whole flight of the server's). Only then the first wait is `FLIGHT_INTERVAL`. A server's cookie, which is
//!   smaller than the hello that it answers, is sent when the hello comes, and never by itself (RFC 6347 3.2.1).
//! - The endpoint follows the client's order of SRTP profiles. It is therefore configured with GCM alone.
//!   If that does not match, a fresh endpoint with SHA1_80 gets the same ClientHello.
//! - The endpoint verifies no certificate. This file compares the fingerprint.
//! - Once the keys are exported, the endpoint is folded into its serialised state (a kilobyte). It
//!   is unfolded to read an alert or to say goodbye.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::{constant_time, digest};
use bytes::BytesMut;
use rtc_dtls::config::{ClientAuthType, ConfigBuilder, HandshakeConfig};
use rtc_dtls::crypto::{Certificate, CryptoPrivateKey};
use rtc_dtls::endpoint::{Endpoint, EndpointEvent};
use rtc_dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc_dtls::state::State;
use rtc_shared::TransportProtocol;

use super::Dropped;
use super::ice::CRYPTO;
use super::open::Opener;
use super::record::{ALERT, CHANGE_CIPHER_SPEC, Cut, HANDSHAKE, Joiner, Message, Record, Taken, records, renumber};
use super::seal::Sealer;
use super::srtp::{MasterKey, Profile};
use crate::Error;

/// The first wait for an answer to a flight: less than two round trips across an ocean.
const FLIGHT_INTERVAL: Duration = Duration::from_millis(100);
/// The longest wait for an answer to a flight.
const FLIGHT_INTERVAL_MAX: Duration = Duration::from_secs(1);
/// The number of repeats at the first interval, before the interval doubles.
const QUICK_REPEATS: u32 = 8;
/// The first wait for an answer from an address that has not proved itself. It doubles up to three times.
const UNPROVED_INTERVAL: Duration = Duration::from_secs(1);
/// The least time between two repeats of our flight that the peer's repeats cause. A flight of
/// several repeated messages is one question, and two sides that answer each other must not spin. To an address that has not proved
/// itself it is [`UNPROVED_INTERVAL`].
const REPEAT_INTERVAL: Duration = Duration::from_millis(40);
/// The most records of a handshake that are not plaintext handshake messages. A flight has two.
const RECORDS_FED: u32 = 256;
/// The most alerts that are read after the handshake, because each costs an unfolding.
const ALERTS_TRIED: u32 = 16;

const EXPORTER: &str = "EXTRACTOR-dtls_srtp"; // RFC 5764 4.2.

// The endpoint keys its associations by address. A session has one association, whatever its
// address becomes.
const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

/// The SHA-256 of a certificate, as `a=fingerprint` states it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Computes the fingerprint of a DER certificate.
    pub fn of(certificate: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, certificate).as_ref());
        Self(bytes)
    }

    /// Returns whether a DER certificate has this fingerprint.
    pub fn matches(&self, certificate: &[u8]) -> bool {
        constant_time::verify_slices_are_equal(&self.0, &Self::of(certificate).0).is_ok()
    }
}

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            write!(formatter, "{}{byte:02X}", if at == 0 { "" } else { ":" })?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for Fingerprint {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Fingerprint({self})")
    }
}

impl FromStr for Fingerprint {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut bytes = [0; 32];
        let mut pairs = text.split(':');
        for byte in &mut bytes {
            let pair = pairs.next().filter(|pair| pair.len() == 2).ok_or(())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| ())?;
        }
        if pairs.next().is_some() { Err(()) } else { Ok(Self(bytes)) }
    }
}

/// The certificate of this process and the handshakes configured with it. All sessions share it.
pub struct Identity {
    fingerprint: Fingerprint,
    #[cfg(any(test, feature = "client"))]
    certificate: Certificate,
    gcm: Arc<HandshakeConfig>,
    sha1: Arc<HandshakeConfig>,
    client: Arc<HandshakeConfig>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Identity({})", self.fingerprint)
    }
}

impl Identity {
    /// Makes a new ECDSA P-256 key with a self-signed certificate. Share it: a process needs one.
    pub fn generate() -> Result<Arc<Self>, Error> {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)
            .map_err(|error| Error::Certificate(error.to_string()))?;
        let mut parameters = rcgen::CertificateParams::default();
        let mut name = rcgen::DistinguishedName::new();
        name.push(rcgen::DnType::CommonName, "onmic");
        parameters.distinguished_name = name;
        let certificate = parameters.self_signed(&key).map_err(|error| Error::Certificate(error.to_string()))?;
        let fingerprint = Fingerprint::of(certificate.der());
        let certificate = Certificate {
            certificate: vec![certificate.der().to_owned()],
            private_key: CryptoPrivateKey::from_key_pair(&key, CRYPTO.crypto())
                .map_err(|error| Error::Certificate(error.to_string()))?,
        };
        let server = |profile| handshake(&certificate, &[profile], false);
        let gcm = server(SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm)?;
        let sha1 = server(SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80)?;
        // The server of the handshake chooses, and is told which profile costs less.
        let client = handshake(&certificate, &[Profile::AeadAes128Gcm, Profile::Aes128CmSha1].map(offered), true)?;
        Ok(Arc::new(Self {
            fingerprint,
            #[cfg(any(test, feature = "client"))]
            certificate,
            gcm,
            sha1,
            client,
        }))
    }

    /// Returns the fingerprint that the SDP states.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Configures a client's handshake that offers `profiles` in this order.
    #[cfg(any(test, feature = "client"))]
    pub(super) fn client_with(&self, profiles: &[Profile]) -> Result<Arc<HandshakeConfig>, Error> {
        let profiles: Vec<_> = profiles.iter().map(|&profile| offered(profile)).collect();
        handshake(&self.certificate, &profiles, true)
    }
}

fn offered(profile: Profile) -> SrtpProtectionProfile {
    match profile {
        Profile::AeadAes128Gcm => SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm,
        Profile::Aes128CmSha1 => SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
    }
}

fn handshake(
    certificate: &Certificate,
    profiles: &[SrtpProtectionProfile],
    is_client: bool,
) -> Result<Arc<HandshakeConfig>, Error> {
    ConfigBuilder::default()
        .with_crypto_provider(CRYPTO.clone())
        .with_certificates(vec![certificate.clone()])
        .with_srtp_protection_profiles(profiles.to_vec())
        .with_client_auth(ClientAuthType::RequireAnyClientCert)
        .with_insecure_skip_verify(true) // `complete` compares the fingerprint.
        .build(is_client, Some(PEER))
        .map(Arc::new)
        .map_err(|error| Error::Handshake(error.to_string()))
}

/// The outcome of a datagram.
pub(super) enum Event {
    Nothing,
    /// The handshake is complete and the peer's certificate is the announced one.
    Connected(Box<Keys>),
    /// The peer said goodbye.
    Closed,
}

/// The SRTP keys of both directions.
pub(super) struct Keys {
    pub(super) profile: Profile,
    pub(super) sealer: Sealer,
    pub(super) opener: Opener,
}

/// Why the handshake with this peer failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    Handshake,
    Fingerprint,
}

/// The side that one end of an association takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The side that waits for a ClientHello: `a=setup:passive`.
    Server,
    /// The side that sends it: `a=setup:active`.
    Client,
}

enum Phase {
    Handshaking { endpoint: Box<Endpoint>, joiner: Joiner, fed: u32, offered: Profile },
    Established { state: Box<[u8]>, alerts: u32 },
    Ended,
}

/// One DTLS association.
pub(super) struct Dtls {
    identity: Arc<Identity>,
    role: Role,
    /// The configuration of a client that has not sent its ClientHello yet.
    hello: Option<Arc<HandshakeConfig>>,
    expected: Fingerprint,
    phase: Phase,
    outgoing: VecDeque<Vec<u8>>,
    flight: Vec<Vec<u8>>,
    flight_sent: Option<Instant>,
    repeat_at: Option<Instant>,
    repeats: u32,
    /// The number of our flights that were answered.
    answered: u32,
    /// Whether the peer has proved that it is where flights go.
    is_proved: bool,
    cut: Cut,
    record_in: u64,
    record_out: u64,
}

impl Dtls {
    /// Makes an association that waits for a ClientHello, or sends one when it is started.
    pub(super) fn new(identity: Arc<Identity>, role: Role, expected: Fingerprint) -> Self {
        match role {
            Role::Server => {
                let config = identity.gcm.clone();
                Self::with(identity, role, expected, (Some(config), None))
            }
            Role::Client => {
                let config = identity.client.clone();
                Self::with(identity, role, expected, (None, Some(config)))
            }
        }
    }

    /// Makes an association that, when it is started, sends a ClientHello, which offers `profiles` in this order.
    #[cfg(any(test, feature = "client"))]
    pub(super) fn client_with(
        identity: Arc<Identity>,
        expected: Fingerprint,
        profiles: &[Profile],
    ) -> Result<Self, Error> {
        let config = identity.client_with(profiles)?;
        Ok(Self::with(identity, Role::Client, expected, (None, Some(config))).with_proved_address())
    }

    /// Takes the address as proved, because the peer is where this side has chosen to go.
    #[cfg(any(test, feature = "client"))]
    pub(super) fn with_proved_address(self) -> Self {
        Self { is_proved: true, ..self }
    }

    /// Notes whether the address that flights go to has proved that the peer is there.
    pub(super) fn set_proved(&mut self, is_proved: bool, now: Instant) {
        if is_proved && !self.is_proved {
            let soon = self.flight_sent.map(|sent| now.max(sent + FLIGHT_INTERVAL));
            self.repeat_at = self.repeat_at.and(soon);
            self.repeats = 0;
        }
        self.is_proved = is_proved;
    }

    /// Returns whether its flights are more than the answer to what came: it is the client of a handshake that has not finished, or
    /// the server of one whose client has shown the cookie.
    pub(super) fn is_exposed(&self) -> bool {
        matches!(self.phase, Phase::Handshaking { .. }) && !self.awaits_cookie()
    }

    /// Returns whether it is a server that no client has shown a cookie.
    pub(super) fn awaits_cookie(&self) -> bool {
        self.role == Role::Server && self.answered == 0 && matches!(self.phase, Phase::Handshaking { .. })
    }

    /// Returns whether the next datagram may begin with the rest of a record, and so with any byte.
    pub(super) fn awaits_rest(&self) -> bool {
        self.cut.is_open() && matches!(self.phase, Phase::Handshaking { .. })
    }

    /// Returns whether there is a datagram to send.
    pub(super) fn is_sending(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Sends the ClientHello of a client that has not sent it. Does nothing otherwise.
    pub(super) fn start(&mut self, now: Instant) -> Result<(), Failure> {
        let (Some(config), Phase::Handshaking { endpoint, .. }) = (self.hello.take(), &mut self.phase) else {
            return Ok(());
        };
        endpoint.connect(now, PEER, config, None).map_err(|error| {
            tracing::debug!(%error, "the DTLS handshake cannot begin");
            Failure::Handshake
        })?;
        self.collect_flight(now);
        Ok(())
    }

    fn with(
        identity: Arc<Identity>,
        role: Role,
        expected: Fingerprint,
        (server, hello): (Option<Arc<HandshakeConfig>>, Option<Arc<HandshakeConfig>>),
    ) -> Self {
        Self {
            identity,
            role,
            hello,
            expected,
            phase: Phase::Handshaking {
                endpoint: Box::new(endpoint(server)),
                joiner: Joiner::default(),
                fed: 0,
                offered: Profile::AeadAes128Gcm,
            },
            outgoing: VecDeque::new(),
            flight: Vec::new(),
            flight_sent: None,
            repeat_at: None,
            repeats: 0,
            answered: 0,
            is_proved: false,
            cut: Cut::default(),
            record_in: 0,
            record_out: 0,
        }
    }

    /// Returns the next datagram to send.
    pub(super) fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.outgoing.pop_front()
    }

    /// Returns the time at which the last flight is sent again.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.repeat_at
    }

    /// Sends the last flight again if that is due.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.repeat_at.is_some_and(|at| now >= at) {
            self.repeat_flight(now);
        }
    }

    /// Takes one datagram, which a peer sent that `is_proved` to be where it came from. `Dropped` means that the session is as before.
    pub(super) fn handle(
        &mut self,
        now: Instant,
        datagram: &[u8],
        is_proved: bool,
    ) -> Result<Result<Event, Failure>, Dropped> {
        let mut event = Event::Nothing;
        let mut taken = Taken::default();
        let datagram = match self.phase {
            Phase::Handshaking { .. } => self.cut.join(datagram),
            Phase::Established { .. } | Phase::Ended => Cow::Borrowed(datagram),
        };
        let mut understood = self.awaits_rest();
        for record in records(&datagram) {
            understood = true;
            let result = match self.phase {
                Phase::Handshaking { .. } => self.hear(now, &record, &mut taken),
                Phase::Established { .. } => self.hear_later(now, &record, &mut taken),
                Phase::Ended => return Err(Dropped::Closed),
            };
            match result {
                Ok(Event::Nothing) => {}
                Ok(news) => event = news,
                Err(failure) => {
                    self.end();
                    return Ok(Err(failure));
                }
            }
        }
        let least = if is_proved || self.awaits_cookie() { REPEAT_INTERVAL } else { UNPROVED_INTERVAL };
        if taken.repeated && self.flight_sent.is_none_or(|sent| now >= sent + least) {
            self.repeat_flight(now);
        }
        match event {
            Event::Nothing if !understood || taken.refused => Err(Dropped::DtlsMalformed),
            Event::Nothing if taken.unused => Err(Dropped::DtlsUnused),
            event => Ok(Ok(event)),
        }
    }

    /// Ends the association, with a goodbye if the handshake was complete.
    pub(super) fn close(&mut self, now: Instant) {
        if let Phase::Established { state, .. } = &self.phase
            && let Some(mut endpoint) = self.unfold(now, state)
        {
            endpoint.stop(now, PEER);
            self.send_all(&mut endpoint);
        }
        self.end();
    }

    // Ends the association. Alerts that the endpoint has queued still go out.
    fn end(&mut self) {
        if let Phase::Handshaking { endpoint, .. } = &mut self.phase {
            let mut endpoint = std::mem::replace(endpoint, Box::new(self::endpoint(None)));
            self.send_all(&mut endpoint);
        }
        self.phase = Phase::Ended;
        self.repeat_at = None;
        self.flight = Vec::new();
    }

    fn send_all(&mut self, endpoint: &mut Endpoint) {
        while let Some(transmit) = endpoint.poll_transmit() {
            let mut datagram = transmit.message.to_vec();
            renumber(&mut datagram, &mut self.record_out);
            self.outgoing.push_back(datagram);
        }
    }

    fn hear(&mut self, now: Instant, record: &Record<'_>, taken: &mut Taken) -> Result<Event, Failure> {
        let Phase::Handshaking { joiner, fed, .. } = &mut self.phase else {
            return Ok(Event::Nothing);
        };
        match (record.kind, record.epoch) {
            (HANDSHAKE, 0) => {
                taken.add(joiner.take(record.body()));
                self.feed_messages(now)
            }
            (CHANGE_CIPHER_SPEC | ALERT, 0) | (_, 1) => {
                *fed += 1;
                if *fed > RECORDS_FED {
                    return Err(Failure::Handshake);
                }
                let mut datagram = record.whole.to_vec();
                renumber(&mut datagram, &mut self.record_in);
                let result = self.feed(now, &datagram);
                self.conclude(now, result)
            }
            _ => {
                taken.unused = true;
                Ok(Event::Nothing)
            }
        }
    }

    fn feed_messages(&mut self, now: Instant) -> Result<Event, Failure> {
        let mut event = Event::Nothing;
        while let Phase::Handshaking { joiner, .. } = &mut self.phase {
            let Some(message) = joiner.next_message() else {
                break;
            };
            let mut result = self.feed_message(now, &message);
            if message.kind == Message::CLIENT_HELLO && self.falls_back(&result) {
                result = self.feed_message(now, &message);
            }
            match self.conclude(now, result)? {
                Event::Nothing => {}
                news => event = news,
            }
        }
        Ok(event)
    }

    // If the client does not know GCM, replaces the endpoint by one with SHA1_80. Nothing has been
    // sent, so the fresh endpoint can get the same message.
    fn falls_back(&mut self, result: &rtc_shared::error::Result<Vec<EndpointEvent>>) -> bool {
        let Err(rtc_shared::error::Error::ErrServerNoMatchingSrtpProfile) = result else {
            return false;
        };
        let sha1 = self.identity.sha1.clone();
        match &mut self.phase {
            Phase::Handshaking { endpoint: current, offered, .. } if *offered == Profile::AeadAes128Gcm => {
                *offered = Profile::Aes128CmSha1;
                **current = endpoint(Some(sha1));
                true
            }
            _ => false,
        }
    }

    fn feed_message(&mut self, now: Instant, message: &Message) -> rtc_shared::error::Result<Vec<EndpointEvent>> {
        let datagram = message.framed(self.record_in);
        self.record_in += 1;
        self.feed(now, &datagram)
    }

    fn feed(&mut self, now: Instant, datagram: &[u8]) -> rtc_shared::error::Result<Vec<EndpointEvent>> {
        match &mut self.phase {
            Phase::Handshaking { endpoint, .. } => endpoint.read(now, PEER, None, BytesMut::from(datagram)),
            _ => Ok(Vec::new()),
        }
    }

    fn conclude(
        &mut self,
        now: Instant,
        result: rtc_shared::error::Result<Vec<EndpointEvent>>,
    ) -> Result<Event, Failure> {
        let events = result.map_err(|error| {
            tracing::debug!(%error, "DTLS handshake failed");
            Failure::Handshake
        })?;
        self.collect_flight(now);
        for event in events {
            match event {
                EndpointEvent::HandshakeComplete => return self.complete(),
                EndpointEvent::PeerClosed => {
                    self.end();
                    return Ok(Event::Closed);
                }
                _ => {}
            }
        }
        Ok(Event::Nothing)
    }

    // Exports the keys, and frees everything else that the handshake held.
    fn complete(&mut self) -> Result<Event, Failure> {
        let Phase::Handshaking { endpoint, .. } = &self.phase else {
            return Ok(Event::Nothing);
        };
        let state = endpoint.get_connection_state(PEER).ok_or(Failure::Handshake)?;
        let certificate = state.peer_certificates.first().ok_or(Failure::Fingerprint)?;
        if !self.expected.matches(certificate) {
            return Err(Failure::Fingerprint);
        }
        let keys = self.export(state).ok_or(Failure::Handshake)?;
        let state = state.marshal_binary().map_err(|_| Failure::Handshake)?;
        self.phase = Phase::Established { state: state.into_boxed_slice(), alerts: 0 };
        self.repeat_at = None;
        Ok(Event::Connected(Box::new(keys)))
    }

    fn export(&self, state: &State) -> Option<Keys> {
        let profile = match state.srtp_protection_profile() {
            SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm => Profile::AeadAes128Gcm,
            SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80 => Profile::Aes128CmSha1,
            _ => return None,
        };
        let material = state.export_keying_material(EXPORTER, &[], profile.keying_material()).ok()?;
        let (client, server) = MasterKey::pair(profile, material.as_ref())?;
        let (ours, theirs) = match self.role {
            Role::Server => (server, client),
            Role::Client => (client, server),
        };
        Some(Keys { profile, sealer: Sealer::new(profile, &ours)?, opener: Opener::new(profile, &theirs)? })
    }

    // After the handshake only two records matter: one that shows that the peer missed our last
    // flight, and an alert that ends the session.
    fn hear_later(&mut self, now: Instant, record: &Record<'_>, taken: &mut Taken) -> Result<Event, Failure> {
        let Phase::Established { state, alerts } = &mut self.phase else {
            return Ok(Event::Nothing);
        };
        match (record.kind, record.epoch) {
            (HANDSHAKE, 0) => taken.repeated = true,
            (ALERT, 1) if *alerts < ALERTS_TRIED => {
                *alerts += 1;
                let state = state.clone();
                let Some(mut endpoint) = self.unfold(now, &state) else {
                    return Ok(Event::Nothing);
                };
                let result = endpoint.read(now, PEER, None, BytesMut::from(record.whole));
                if result.is_err()
                    || result.is_ok_and(|events| events.iter().any(|event| matches!(event, EndpointEvent::PeerClosed)))
                {
                    self.send_all(&mut endpoint);
                    self.end();
                    return Ok(Event::Closed);
                }
            }
            (HANDSHAKE, 1) | (CHANGE_CIPHER_SPEC, 0) => {} // The rest of the peer's last flight, again.
            _ => taken.unused = true,
        }
        Ok(Event::Nothing)
    }

    fn unfold(&self, now: Instant, state: &[u8]) -> Option<Endpoint> {
        let mut restored = State::new(CRYPTO.clone(), self.role != Role::Server);
        restored.unmarshal_binary(state).ok()?;
        let mut endpoint = endpoint(None);
        endpoint.connect(now, PEER, self.identity.gcm.clone(), Some(restored)).ok()?;
        Some(endpoint)
    }

    // Takes the endpoint's output as a new flight. The last flight was answered, or there would be
    // no output.
    fn collect_flight(&mut self, now: Instant) {
        let Phase::Handshaking { endpoint, .. } = &mut self.phase else {
            return;
        };
        let flight: Vec<Vec<u8>> =
            std::iter::from_fn(|| endpoint.poll_transmit()).map(|transmit| transmit.message.to_vec()).collect();
        if flight.is_empty() {
            return;
        }
        self.answered += u32::from(!self.flight.is_empty());
        // To a client, a server's cookie is in clear, and anybody's for all we know. Its next flight signs our random.
        self.is_proved |= self.role == Role::Client && self.answered >= 2;
        self.flight = flight;
        self.repeats = 0;
        self.send_flight(now);
    }

    fn repeat_flight(&mut self, now: Instant) {
        self.repeats = self.repeats.saturating_add(1);
        self.send_flight(now);
    }

    fn send_flight(&mut self, now: Instant) {
        for datagram in &mut self.flight {
            renumber(datagram, &mut self.record_out);
            self.outgoing.push_back(datagram.clone());
        }
        self.flight_sent = Some(now);
        let wait = if self.is_proved {
            let doublings = self.repeats.saturating_sub(QUICK_REPEATS).min(8);
            (FLIGHT_INTERVAL * (1 << doublings)).min(FLIGHT_INTERVAL_MAX)
        } else {
            UNPROVED_INTERVAL * (1 << self.repeats.min(3))
        };
        let repeats = self.is_exposed() && !self.flight.is_empty();
        self.repeat_at = repeats.then(|| now + wait);
    }
}

fn endpoint(server: Option<Arc<HandshakeConfig>>) -> Endpoint {
    Endpoint::new(PEER, TransportProtocol::UDP, server)
}
