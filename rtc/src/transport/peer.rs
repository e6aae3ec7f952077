//! The server side of one session: ICE-lite, then DTLS, then SRTP, as one state machine.
//!
//! In the DTLS handshake it is either side, as the peer's offer has it. The client's first flight goes out with the
//! answer to the first valid check, because before that no address is known to want it.
//!
//! A peer never sends to an address that has not passed a connectivity check, never sends media to an address that has
//! not proved itself, and never opens or seals media before the peer's certificate was found to be the announced one. Media that
//! authenticates is the peer's wherever it comes from, so it needs no check.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use onmic_media::DropReason;

use super::Dropped;
use super::credentials::Credentials;
use super::datagram::{DatagramKind, classify};
use super::dtls::{Dtls, Event, Failure, Fingerprint, Identity, Role};
use super::ice::{IceLite, is_answer};
use super::open::Opener;
use super::route::Route;
use super::seal::{SealError, Sealer};
use super::srtp::{Profile, RTP_OVERHEAD};

/// The most datagrams that wait to be sent: a few flights. The driver drains them after every call.
const TRANSMITS: usize = 32;

/// The time limits of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerConfig {
    /// The session ends after this long without a valid check (RFC 7675 5.1 says 30 s).
    pub consent: Duration,
    /// The longest time that a handshake may take after the first check.
    pub handshake: Duration,
}

impl Default for PeerConfig {
    fn default() -> Self {
        Self { consent: Duration::from_secs(30), handshake: Duration::from_secs(15) }
    }
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// No valid connectivity check came within [`PeerConfig::consent`].
    IceTimeout,
    /// The handshake took longer than [`PeerConfig::handshake`].
    DtlsTimeout,
    /// The handshake failed.
    DtlsFailed,
    /// The peer's certificate is not the one its description announced.
    FingerprintMismatch,
    /// The peer said goodbye.
    PeerClosed,
    /// [`Peer::close`] was called.
    Closed,
}

impl CloseReason {
    /// Returns the name of the reason in logs and metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::IceTimeout => "ice_timeout",
            Self::DtlsTimeout => "dtls_timeout",
            Self::DtlsFailed => "dtls_failed",
            Self::FingerprintMismatch => "fingerprint_mismatch",
            Self::PeerClosed => "peer_closed",
            Self::Closed => "closed",
        }
    }
}

/// The state of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The session waits for checks, or its handshake is going on.
    Connecting,
    /// Media flows.
    Connected,
    /// The session has ended.
    Closed(CloseReason),
}

/// The outcome of a datagram.
#[derive(Debug, PartialEq, Eq)]
pub enum Input<'d> {
    /// There is nothing for the caller to read. There may be datagrams to transmit.
    Nothing,
    /// The session is connected, so media may be sent.
    Connected,
    /// The datagram was one RTP packet, which is decrypted in place.
    Rtp(&'d mut [u8]),
    /// The datagram was one compound RTCP packet, which is decrypted in place.
    Rtcp(&'d mut [u8]),
    /// The session ended. [`Peer::state`] has the reason.
    Closed,
}

/// A datagram to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    /// The destination.
    pub to: Route,
    /// The payload.
    pub bytes: Vec<u8>,
}

/// The server side of one session.
pub struct Peer {
    config: PeerConfig,
    ice: IceLite,
    dtls: Dtls,
    media: Option<Box<Media>>,
    closed: Option<CloseReason>,
    handshake_deadline: Option<Instant>,
    /// The address that flights went to last.
    joining_at: Option<Route>,
    cookie: Cookie,
    transmits: VecDeque<Transmit>,
}

/// Where the cookie of a DTLS server has been sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cookie {
    Nowhere,
    At(Route),
    /// Whoever shows it may have got it at another address.
    Anywhere,
}

struct Media {
    profile: Profile,
    sealer: Sealer,
    opener: Opener,
}

impl Peer {
    /// Makes a session that waits for a peer. `role` is this side's in the DTLS handshake. `remote` and
    /// `fingerprint` come from the peer's description. Its checks may come from any address.
    pub fn new(
        config: PeerConfig,
        (identity, role): (Arc<Identity>, Role),
        local: Credentials,
        remote: Credentials,
        fingerprint: Fingerprint,
        now: Instant,
    ) -> Self {
        Self {
            config,
            ice: IceLite::new(local, remote, config.consent, now),
            dtls: Dtls::new(identity, role, fingerprint),
            media: None,
            closed: None,
            handshake_deadline: None,
            joining_at: None,
            cookie: Cookie::Nowhere,
            transmits: VecDeque::new(),
        }
    }

    /// Takes one datagram and decrypts media in place.
    ///
    /// Afterwards drain [`poll_transmit`](Self::poll_transmit), and ask [`poll_timeout`](Self::poll_timeout) again.
    pub fn handle_datagram<'d>(
        &mut self,
        now: Instant,
        from: Route,
        datagram: &'d mut [u8],
    ) -> Result<Input<'d>, Dropped> {
        if self.closed.is_some() {
            return Err(Dropped::Closed);
        }
        let kind = match classify(datagram) {
            Some(DatagramKind::Stun) => DatagramKind::Stun,
            _ if self.dtls.awaits_rest() && self.ice.is_valid(from) => DatagramKind::Dtls,
            kind => kind.ok_or(Dropped::Unclassified)?,
        };
        match kind {
            DatagramKind::Stun => self.handle_stun(now, from, datagram),
            DatagramKind::Dtls if !self.ice.is_valid(from) => Err(Dropped::AddressNotValidated),
            DatagramKind::Dtls => self.handle_dtls(now, from, datagram),
            kind @ (DatagramKind::Rtp | DatagramKind::Rtcp) => self.handle_media(now, from, kind, datagram),
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
        let times =
            [Some(self.ice.deadline()), self.ice.poll_timeout(), self.dtls.poll_timeout(), self.handshake_deadline];
        times.into_iter().flatten().min()
    }

    /// Sends a flight again or ends the session, if that is due. Afterwards drain
    /// [`poll_transmit`](Self::poll_transmit) and look at [`state`](Self::state).
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.closed.is_some() {
            return;
        }
        if now >= self.ice.deadline() {
            self.end(now, CloseReason::IceTimeout);
        } else if self.handshake_deadline.is_some_and(|deadline| now >= deadline) {
            self.end(now, CloseReason::DtlsTimeout);
        } else {
            self.ice.handle_timeout(now);
            self.dtls.handle_timeout(now);
            self.send_dtls(None);
            self.send_questions(now);
        }
    }

    /// Returns the state of the session.
    pub fn state(&self) -> State {
        match (self.closed, &self.media) {
            (Some(reason), _) => State::Closed(reason),
            (None, Some(_)) => State::Connected,
            (None, None) => State::Connecting,
        }
    }

    /// Returns the SRTP profile, once the session is connected.
    pub fn profile(&self) -> Option<Profile> {
        self.media.as_ref().map(|media| media.profile)
    }

    /// Returns the address that media goes to. See [`IceLite::remote_addr`].
    pub fn remote_addr(&self) -> Option<Route> {
        self.ice.remote_addr()
    }

    /// Returns whether the peer has proved that it is at this address.
    pub fn is_proven(&self, address: Route) -> bool {
        self.ice.is_proven(address)
    }

    /// Asks an address to prove itself. Afterwards drain [`poll_transmit`](Self::poll_transmit). The question goes out
    /// before everything else, so that the answer comes before what the peer sends next.
    pub fn ask(&mut self, now: Instant, to: Route) {
        self.ice.ask(now, to);
        if let Some((to, bytes)) = self.ice.poll_question(now) {
            self.transmits.push_front(Transmit { to, bytes });
        }
    }

    /// Notes that a route is no more, because its connection was closed. Afterwards drain [`poll_transmit`](Self::poll_transmit).
    pub fn lost(&mut self, now: Instant, route: Route) {
        if self.closed.is_none() {
            self.ice.lost(now, route);
            self.follow_joining(now);
            self.send_questions(now);
        }
    }

    /// Returns the time of the peer's last valid check, or of the beginning before the first.
    pub fn last_checked(&self) -> Instant {
        self.ice.last_valid()
    }

    /// Returns the user fragments by which a new address may name this session: one, or two between
    /// an ICE restart and the first check of the new generation, which ends the old one.
    pub fn local_ufrags(&self) -> impl Iterator<Item = &str> {
        self.ice.local_ufrags()
    }

    /// Starts an ICE restart. Media keeps its address while checks of the new generation come from there, and until another proves itself.
    pub fn restart_ice(&mut self, local: Credentials, remote: Credentials) {
        self.ice.restart(local, remote);
    }

    /// Returns the length of a sealed RTP packet of `plain` bytes, so that batches of equal
    /// segments can be planned.
    pub fn sealed_rtp_len(&self, plain: usize) -> usize {
        self.media.as_ref().map_or(plain + RTP_OVERHEAD, |media| media.sealer.rtp_len(plain))
    }

    /// Seals an RTP packet. See [`Sealer::seal_rtp`].
    pub fn seal_rtp(&mut self, header: &[u8], payload: &[u8], out: &mut [u8]) -> Result<usize, SealError> {
        self.sealer()?.seal_rtp(header, payload, out)
    }

    /// Seals an RTP packet that was sealed before. See [`Sealer::seal_rtp_again`].
    pub fn seal_rtp_again(&mut self, header: &[u8], payload: &[u8], out: &mut [u8]) -> Result<usize, SealError> {
        self.sealer()?.seal_rtp_again(header, payload, out)
    }

    /// Seals a compound RTCP packet. See [`Sealer::seal_rtcp`].
    pub fn seal_rtcp(&mut self, compound: &[u8], out: &mut [u8]) -> Result<usize, SealError> {
        self.sealer()?.seal_rtcp(compound, out)
    }

    /// Ends the session with a goodbye, which [`poll_transmit`](Self::poll_transmit) returns.
    pub fn close(&mut self, now: Instant) {
        if self.closed.is_none() {
            self.end(now, CloseReason::Closed);
        }
    }

    fn sealer(&mut self) -> Result<&mut Sealer, SealError> {
        self.media.as_mut().map(|media| &mut media.sealer).ok_or(SealError::NotConnected)
    }

    fn handle_stun<'d>(&mut self, now: Instant, from: Route, datagram: &[u8]) -> Result<Input<'d>, Dropped> {
        if is_answer(datagram) {
            self.ice.handle_answer(now, from, datagram)?;
            self.follow_joining(now);
            self.send_questions(now);
            return Ok(Input::Nothing);
        }
        let answered = self.ice.handle(now, from, datagram)?;
        self.transmit(from, answered.answer);
        self.follow_joining(now);
        self.send_questions(now);
        if answered.valid && self.media.is_none() && self.handshake_deadline.is_none() {
            self.handshake_deadline = Some(now + self.config.handshake);
            if self.dtls.start(now).is_err() {
                self.end(now, CloseReason::DtlsFailed);
                return Ok(Input::Closed);
            }
            self.send_dtls(Some(from));
        }
        Ok(Input::Nothing)
    }

    /// Opens media. If it is from an address that has not passed a check, and authenticates, the address is asked whether the peer is there.
    fn handle_media<'d>(
        &mut self,
        now: Instant,
        from: Route,
        kind: DatagramKind,
        datagram: &'d mut [u8],
    ) -> Result<Input<'d>, Dropped> {
        let is_valid = self.ice.is_valid(from);
        let because = |reason| if is_valid { reason } else { Dropped::AddressNotValidated };
        let media = self.media.as_mut().ok_or(because(Dropped::SrtpNotReady))?;
        let is_rtp = kind == DatagramKind::Rtp;
        let opened = if is_rtp { media.opener.open_rtp(datagram) } else { media.opener.open_rtcp(datagram) };
        let length = opened.map_err(|error| because(error.into()))?;
        if !is_valid {
            self.ice.heard(now, from);
            self.send_questions(now);
        }
        let packet = &mut datagram[..length];
        Ok(if is_rtp { Input::Rtp(packet) } else { Input::Rtcp(packet) })
    }

    /// Asks the address that flights go to whether the peer is there, because a check may be forged, and so may a hello.
    fn follow_joining(&mut self, now: Instant) {
        let Some(to) = self.ice.remote_addr().filter(|_| self.dtls.is_exposed()) else { return };
        let is_proved = self.ice.is_proven(to);
        if is_proved || self.joining_at != Some(to) {
            self.dtls.set_proved(is_proved, now);
        }
        if !is_proved {
            self.ice.ask(now, to);
        }
        self.joining_at = Some(to);
    }

    fn handle_dtls<'d>(&mut self, now: Instant, from: Route, datagram: &[u8]) -> Result<Input<'d>, Dropped> {
        let awaited_cookie = self.dtls.awaits_cookie();
        let outcome = self.dtls.handle(now, datagram, self.ice.is_proven(from));
        if awaited_cookie {
            self.follow_cookie(now, from);
        }
        self.send_dtls(Some(from));
        Ok(match outcome? {
            Ok(Event::Nothing) => Input::Nothing,
            Ok(Event::Connected(keys)) => {
                self.handshake_deadline = None;
                self.ice.connected(now, from);
                self.send_questions(now);
                self.media = Some(Box::new(Media { profile: keys.profile, sealer: keys.sealer, opener: keys.opener }));
                Input::Connected
            }
            Ok(Event::Closed) => {
                self.end(now, CloseReason::PeerClosed);
                Input::Closed
            }
            Err(failure) => {
                let reason = match failure {
                    Failure::Handshake => CloseReason::DtlsFailed,
                    Failure::Fingerprint => CloseReason::FingerprintMismatch,
                };
                self.end(now, reason);
                Input::Closed
            }
        })
    }

    /// Notes that a cookie goes to `from`, or that `from` has shown one: it has proved itself if no other address got it.
    fn follow_cookie(&mut self, now: Instant, from: Route) {
        if !self.dtls.awaits_cookie() {
            if self.cookie == Cookie::At(from) {
                self.ice.prove(from);
            }
            self.follow_joining(now);
            self.send_questions(now);
        } else if self.dtls.is_sending() {
            let is_first = matches!(self.cookie, Cookie::Nowhere) || self.cookie == Cookie::At(from);
            self.cookie = if is_first { Cookie::At(from) } else { Cookie::Anywhere };
        }
    }

    fn end(&mut self, now: Instant, reason: CloseReason) {
        self.dtls.close(now);
        self.send_dtls(None);
        self.media = None;
        self.handshake_deadline = None;
        self.closed = Some(reason);
    }

    // An answer goes to the address that its question came from. A repeated flight goes to the
    // address of media.
    fn send_dtls(&mut self, to: Option<Route>) {
        while let Some(bytes) = self.dtls.poll_transmit() {
            match to.or_else(|| self.ice.remote_addr()) {
                Some(to) => self.transmit(to, bytes),
                None => DropReason::NoConsent.count(1),
            }
        }
    }

    fn send_questions(&mut self, now: Instant) {
        while let Some((to, question)) = self.ice.poll_question(now) {
            self.transmit(to, question);
        }
    }

    fn transmit(&mut self, to: Route, bytes: Vec<u8>) {
        if self.transmits.len() == TRANSMITS {
            self.transmits.pop_front(); // The driver did not drain. The newest datagram matters most.
            DropReason::TransmitsFull.count(1);
        }
        self.transmits.push_back(Transmit { to, bytes });
    }
}
