//! The client side of a session, for tests and load generators: ICE controlling, either side of DTLS.
//!
//! It knows one address and the credentials of the server, nominates at once, and keeps consent
//! alive. It gathers no candidates and restarts nothing by itself, so it stands in for a browser
//! without being one.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rtc_stun::attributes::{ATTR_ICE_CONTROLLING, ATTR_PRIORITY, ATTR_USE_CANDIDATE, ATTR_USERNAME, RawAttribute};
use rtc_stun::fingerprint::FINGERPRINT;
use rtc_stun::integrity::MessageIntegrity;
use rtc_stun::message::{BINDING_REQUEST, BINDING_SUCCESS, Message, Setter, TransactionId};
use rtc_stun::textattrs::TextAttribute;

use super::Dropped;
use super::credentials::Credentials;
use super::datagram::{DatagramKind, classify};
use super::dtls::{Dtls, Event, Failure, Fingerprint, Identity, Role};
use super::ice::{CRYPTO, parse, sealed};
use super::open::Opener;
use super::peer::{CloseReason, Input, State, Transmit};
use super::seal::{SealError, Sealer};
use super::srtp::Profile;

const CHECK_INTERVAL: Duration = Duration::from_millis(50); // RFC 8445 14.2: Ta.
const CONSENT_INTERVAL: Duration = Duration::from_millis(2500);
const CONSENT: Duration = Duration::from_secs(30);

/// The values that a client needs for the session.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// The client's own ICE credentials, as its offer stated them.
    pub local: Credentials,
    /// The server's ICE credentials, from the answer.
    pub remote: Credentials,
    /// The fingerprint of the server's certificate, from the answer.
    pub fingerprint: Fingerprint,
    /// The server's candidate, from the answer.
    pub server: SocketAddr,
    /// The client's side in the DTLS handshake: the server's if its offer said `a=setup:passive`.
    pub role: Role,
    /// The SRTP profiles to offer as the DTLS client, in this order.
    pub profiles: Vec<Profile>,
}

/// The client side of one session.
pub struct Client {
    config: ClientConfig,
    identity: Arc<Identity>,
    dtls: Option<Dtls>,
    keys: Option<(Profile, Sealer, Opener)>,
    closed: Option<CloseReason>,
    transaction: Option<TransactionId>,
    /// Whether its checks nominate its address.
    pub(super) nominates: bool,
    check_at: Instant,
    last_answer: Instant,
    transmits: VecDeque<Transmit>,
}

impl Client {
    /// Makes a client that starts its checks at `now`.
    pub fn new(config: ClientConfig, identity: Arc<Identity>, now: Instant) -> Self {
        let waits = config.role == Role::Server;
        let dtls = waits.then(|| Dtls::new(identity.clone(), Role::Server, config.fingerprint).with_proved_address());
        Self {
            config,
            identity,
            dtls,
            keys: None,
            closed: None,
            transaction: None,
            nominates: true,
            check_at: now,
            last_answer: now,
            transmits: VecDeque::new(),
        }
    }

    /// Takes the new credentials of an ICE restart, and checks at once.
    pub fn restart_ice(&mut self, now: Instant, local: Credentials, remote: Credentials) {
        self.config.local = local;
        self.config.remote = remote;
        self.transaction = None;
        self.check_at = now;
    }

    /// Takes one datagram and decrypts media in place.
    pub fn handle_datagram<'d>(&mut self, now: Instant, datagram: &'d mut [u8]) -> Result<Input<'d>, Dropped> {
        if self.closed.is_some() {
            return Err(Dropped::Closed);
        }
        match classify(datagram).ok_or(Dropped::Unclassified)? {
            DatagramKind::Stun => self.handle_stun(now, datagram),
            DatagramKind::Dtls => self.handle_dtls(now, datagram),
            DatagramKind::Rtp => {
                let (_, _, opener) = self.keys.as_mut().ok_or(Dropped::SrtpNotReady)?;
                let length = opener.open_rtp(datagram)?;
                Ok(Input::Rtp(&mut datagram[..length]))
            }
            DatagramKind::Rtcp => {
                let (_, _, opener) = self.keys.as_mut().ok_or(Dropped::SrtpNotReady)?;
                let length = opener.open_rtcp(datagram)?;
                Ok(Input::Rtcp(&mut datagram[..length]))
            }
        }
    }

    /// Returns the next datagram to send that is not media.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// Returns the time at which to call [`handle_timeout`](Self::handle_timeout).
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.closed.is_some() {
            return None;
        }
        let repeat = self.dtls.as_ref().and_then(Dtls::poll_timeout);
        [Some(self.check_at), Some(self.last_answer + CONSENT), repeat].into_iter().flatten().min()
    }

    /// Sends a check, sends a flight again, or gives up, as is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.closed.is_some() {
            return;
        }
        if now >= self.last_answer + CONSENT {
            self.end(now, CloseReason::IceTimeout);
            return;
        }
        if now >= self.check_at {
            self.check(now);
        }
        if let Some(dtls) = &mut self.dtls {
            dtls.handle_timeout(now);
            self.send_dtls();
        }
    }

    /// Returns the state of the session.
    pub fn state(&self) -> State {
        match (self.closed, &self.keys) {
            (Some(reason), _) => State::Closed(reason),
            (None, Some(_)) => State::Connected,
            (None, None) => State::Connecting,
        }
    }

    /// Returns the SRTP profile, once the session is connected.
    pub fn profile(&self) -> Option<Profile> {
        self.keys.as_ref().map(|(profile, ..)| *profile)
    }

    /// Seals an RTP packet. See [`Sealer::seal_rtp`].
    pub fn seal_rtp(&mut self, header: &[u8], payload: &[u8], out: &mut [u8]) -> Result<usize, SealError> {
        let (_, sealer, _) = self.keys.as_mut().ok_or(SealError::NotConnected)?;
        sealer.seal_rtp(header, payload, out)
    }

    /// Seals a compound RTCP packet. See [`Sealer::seal_rtcp`].
    pub fn seal_rtcp(&mut self, compound: &[u8], out: &mut [u8]) -> Result<usize, SealError> {
        let (_, sealer, _) = self.keys.as_mut().ok_or(SealError::NotConnected)?;
        sealer.seal_rtcp(compound, out)
    }

    /// Ends the session with a goodbye, which [`poll_transmit`](Self::poll_transmit) returns.
    pub fn close(&mut self, now: Instant) {
        if self.closed.is_none() {
            self.end(now, CloseReason::Closed);
        }
    }

    fn end(&mut self, now: Instant, reason: CloseReason) {
        if let Some(dtls) = &mut self.dtls {
            dtls.close(now);
        }
        self.send_dtls();
        self.keys = None;
        self.closed = Some(reason);
    }

    fn check(&mut self, now: Instant) {
        let transaction = TransactionId::new();
        let ClientConfig { local, remote, .. } = &self.config;
        let username = format!("{}:{}", remote.ufrag, local.ufrag);
        let pwd = remote.pwd.clone();
        let mut setters: Vec<Box<dyn Setter>> = vec![
            Box::new(BINDING_REQUEST),
            Box::new(transaction),
            Box::new(TextAttribute::new(ATTR_USERNAME, username)),
            Box::new(attribute(ATTR_PRIORITY, &0x6e00_01ff_u32.to_be_bytes())),
            Box::new(attribute(ATTR_ICE_CONTROLLING, &[7; 8])),
        ];
        if self.nominates {
            setters.push(Box::new(attribute(ATTR_USE_CANDIDATE, &[])));
        }
        setters.push(Box::new(MessageIntegrity::new_short_term_integrity_with_provider(pwd, CRYPTO.crypto())));
        setters.push(Box::new(FINGERPRINT));
        let mut message = Message::new();
        if message.build(&setters).is_ok() {
            self.transmits.push_back(Transmit { to: self.config.server.into(), bytes: message.raw });
        }
        self.transaction = Some(transaction);
        let connected = self.keys.is_some() && now < self.last_answer + CONSENT_INTERVAL * 2;
        self.check_at = now + if connected { CONSENT_INTERVAL } else { CHECK_INTERVAL };
    }

    fn handle_stun<'d>(&mut self, now: Instant, datagram: &[u8]) -> Result<Input<'d>, Dropped> {
        let mut answer = parse(datagram)?;
        if answer.typ == BINDING_REQUEST {
            return self.answer(answer);
        }
        if answer.typ != BINDING_SUCCESS || self.transaction != Some(answer.transaction_id) {
            return Err(Dropped::StunNotRequest);
        }
        let pwd = self.config.remote.pwd.as_bytes();
        MessageIntegrity::check(&mut answer, pwd, CRYPTO.crypto()).map_err(|_| Dropped::StunIntegrity)?;
        self.last_answer = now;
        if self.dtls.is_none() {
            let dtls = Dtls::client_with(self.identity.clone(), self.config.fingerprint, &self.config.profiles);
            self.dtls = dtls.ok();
            if self.dtls.as_mut().is_none_or(|dtls| dtls.start(now).is_err()) {
                self.end(now, CloseReason::DtlsFailed);
                return Ok(Input::Closed);
            }
            self.send_dtls();
        }
        Ok(Input::Nothing)
    }

    /// Answers a question of the server's.
    fn answer<'d>(&mut self, mut question: Message) -> Result<Input<'d>, Dropped> {
        let ClientConfig { local, remote, server, .. } = &self.config;
        let username = question.get(ATTR_USERNAME).map_err(|_| Dropped::StunUnknownUser)?;
        if username != format!("{}:{}", local.ufrag, remote.ufrag).as_bytes() {
            return Err(Dropped::StunUnknownUser);
        }
        MessageIntegrity::check(&mut question, local.pwd.as_bytes(), CRYPTO.crypto())
            .map_err(|_| Dropped::StunIntegrity)?;
        let bytes = sealed(question.transaction_id, &local.pwd, vec![Box::new(BINDING_SUCCESS)])?;
        self.transmits.push_back(Transmit { to: (*server).into(), bytes });
        Ok(Input::Nothing)
    }

    fn handle_dtls<'d>(&mut self, now: Instant, datagram: &[u8]) -> Result<Input<'d>, Dropped> {
        let dtls = self.dtls.as_mut().ok_or(Dropped::AddressNotValidated)?;
        let outcome = dtls.handle(now, datagram, true);
        self.send_dtls();
        let reason = match outcome? {
            Ok(Event::Nothing) => return Ok(Input::Nothing),
            Ok(Event::Connected(keys)) => {
                self.keys = Some((keys.profile, keys.sealer, keys.opener));
                self.check_at = now + CONSENT_INTERVAL;
                return Ok(Input::Connected);
            }
            Ok(Event::Closed) => CloseReason::PeerClosed,
            Err(Failure::Handshake) => CloseReason::DtlsFailed,
            Err(Failure::Fingerprint) => CloseReason::FingerprintMismatch,
        };
        self.end(now, reason);
        Ok(Input::Closed)
    }

    fn send_dtls(&mut self) {
        let to = self.config.server.into();
        if let Some(dtls) = &mut self.dtls {
            self.transmits.extend(std::iter::from_fn(|| dtls.poll_transmit()).map(|bytes| Transmit { to, bytes }));
        }
    }
}

fn attribute(typ: rtc_stun::attributes::AttrType, value: &[u8]) -> RawAttribute {
    RawAttribute { typ, length: value.len() as u16, value: value.to_vec() }
}
