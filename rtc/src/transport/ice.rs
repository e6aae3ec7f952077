//! The ICE-lite side of a session (RFC 8445): it answers connectivity checks, and asks only whether
//! the peer is where media is to go.
//!
//! A check is valid only with our user fragment, a right MESSAGE-INTEGRITY and a FINGERPRINT. The
//! last check with USE-CANDIDATE nominates the address. Until one comes, the last valid address is the
//! way back. Where the nominated one is silent, another takes its place (see [`super::checks`]). A valid check renews the
//! consent to what goes to its address (RFC 7675), and silence ends the session.
//!
//! Once the session is connected, media goes there only if the address has proved itself (see [`super::path`]).

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use rtc_crypto::RTCCryptoProvider;
use rtc_stun::attributes::{
    ATTR_ICE_CONTROLLED, ATTR_ICE_CONTROLLING, ATTR_MESSAGE_INTEGRITY, ATTR_PRIORITY, ATTR_USE_CANDIDATE,
    ATTR_USERNAME, AttrType, RawAttribute,
};
use rtc_stun::error_code::{CODE_ROLE_CONFLICT, CODE_UNKNOWN_ATTRIBUTE};
use rtc_stun::fingerprint::FINGERPRINT;
use rtc_stun::integrity::MessageIntegrity;
use rtc_stun::message::{
    BINDING_ERROR, BINDING_REQUEST, BINDING_SUCCESS, MESSAGE_HEADER_SIZE, Message, Setter, TransactionId,
};
use rtc_stun::textattrs::TextAttribute;
use rtc_stun::uattrs::UnknownAttributes;
use rtc_stun::xoraddr::XorMappedAddress;

use super::Dropped;
use super::checks::Checks;
use super::credentials::Credentials;
use super::datagram::{MESSAGE_BYTES, is_stun};
use super::path::Path;
use super::route::Route;

/// The priority of a peer-reflexive candidate (RFC 8445 5.1.2), which our questions state.
const PRIORITY: u32 = 0x6e00_01ff;
// Computes the HMAC-SHA1 of MESSAGE-INTEGRITY. It is missing only if the crates were built without
// any cryptography.
pub(super) static CRYPTO: LazyLock<std::sync::Arc<dyn RTCCryptoProvider>> =
    LazyLock::new(|| rtc_crypto::default_provider().expect("a cryptography feature is enabled"));

/// The outcome of a connectivity check.
#[derive(Debug)]
pub struct Answered {
    /// The datagram to send back to the address that the check came from.
    pub answer: Vec<u8>,
    /// Whether the check was valid, so that the address may send. False if the answer is an error.
    pub valid: bool,
}

#[derive(Debug)]
struct Generation {
    local: Credentials,
    remote: Credentials,
}

impl Generation {
    fn is_named_by(&self, username: &[u8]) -> bool {
        let mut parts = username.splitn(2, |&byte| byte == b':');
        parts.next() == Some(self.local.ufrag.as_bytes()) && parts.next() == Some(self.remote.ufrag.as_bytes())
    }
}

/// The responder of one session.
#[derive(Debug)]
pub struct IceLite {
    current: Generation,
    restarting: Option<Generation>,
    checks: Checks,
    path: Path,
    /// Breaks a tie of roles. A lite agent never gives in, so it says nothing here.
    tie_breaker: [u8; 8],
    last_valid: Instant,
    consent: Duration,
}

impl IceLite {
    /// Makes a responder that gives up after `consent` without a valid check.
    pub fn new(local: Credentials, remote: Credentials, consent: Duration, now: Instant) -> Self {
        Self {
            current: Generation { local, remote },
            restarting: None,
            checks: Checks::default(),
            path: Path::default(),
            tie_breaker: rand::random(),
            last_valid: now,
            consent,
        }
    }

    /// Accepts a new generation beside the current one, which ends with the new one's first valid
    /// check. A restart that was not completed is forgotten.
    pub fn restart(&mut self, local: Credentials, remote: Credentials) {
        self.restarting = Some(Generation { local, remote });
    }

    /// Returns the user fragments that checks may name now: one, or two during a restart.
    pub fn local_ufrags(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.current).chain(self.restarting.as_ref()).map(|generation| generation.local.ufrag.as_str())
    }

    /// Returns the address to send to. Before the session is connected, that is the one that the peer wants it at: the
    /// nominated one, or before a nomination the last valid one. From then on it is the last of these that has proved
    /// itself, or none once the consent of that one has ended.
    pub fn remote_addr(&self) -> Option<Route> {
        match self.path.media() {
            None => self.checks.wanted(None),
            Some(media) => Some(media).filter(|_| !self.path.has_lapsed()),
        }
    }

    /// Notes that the handshake has finished with this address. Afterwards drain [`IceLite::poll_question`].
    pub fn connected(&mut self, now: Instant, with: Route) {
        self.path.begin(with);
        self.follow(now);
    }

    /// Asks an address to prove itself. Afterwards drain [`IceLite::poll_question`].
    pub fn ask(&mut self, now: Instant, to: Route) {
        self.path.ask(to, now);
    }

    /// Notes media of the peer from an address that has not passed a check, and asks that address to prove itself. Once it has, it is as if
    /// a check had nominated it. Afterwards drain [`IceLite::poll_question`].
    pub fn heard(&mut self, now: Instant, from: Route) {
        self.path.heard(from, now);
    }

    /// Notes that the peer has proved that it is at this address.
    pub fn prove(&mut self, address: Route) {
        self.path.prove(address);
    }

    /// Returns whether the peer has proved that it is at this address.
    pub fn is_proven(&self, address: Route) -> bool {
        self.path.is_proven(address)
    }

    /// Returns the next question to send, and its address.
    pub fn poll_question(&mut self, now: Instant) -> Option<(Route, Vec<u8>)> {
        let (to, transaction) = self.path.poll_question(now)?;
        let Generation { local, remote } = &self.current;
        let attribute = |typ, value: &[u8]| RawAttribute { typ, length: value.len() as u16, value: value.to_vec() };
        let body: Vec<Box<dyn Setter>> = vec![
            Box::new(BINDING_REQUEST),
            Box::new(TextAttribute::new(ATTR_USERNAME, format!("{}:{}", remote.ufrag, local.ufrag))),
            Box::new(attribute(ATTR_PRIORITY, &PRIORITY.to_be_bytes())),
            Box::new(attribute(ATTR_ICE_CONTROLLED, &self.tie_breaker)),
        ];
        Some((to, sealed(transaction, &remote.pwd, body).ok()?))
    }

    /// Returns the time at which to call [`IceLite::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.path.poll_timeout(), self.succeeds_at(), self.lapses_at()].into_iter().flatten().min()
    }

    /// Moves media away from an address that has fallen silent, or ends it, if that is due. Afterwards drain
    /// [`IceLite::poll_question`].
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.succeeds_at().is_some_and(|at| at <= now) {
            self.follow(now);
        }
        if self.lapses_at().is_some_and(|at| at <= now) {
            self.path.lapse();
        }
    }

    /// Returns the time at which another address takes the place of the nominated one.
    fn succeeds_at(&self) -> Option<Instant> {
        self.path.media()?;
        self.checks.successor().filter(|next| self.path.is_proven(*next))?;
        self.checks.silent_from()
    }

    /// Returns the time at which consent to media ends.
    fn lapses_at(&self) -> Option<Instant> {
        let media = self.path.media().filter(|_| !self.path.has_lapsed())?;
        Some(self.checks.last(media)? + self.consent)
    }

    /// Takes the answer to a question. Afterwards drain [`IceLite::poll_question`].
    pub fn handle_answer(&mut self, now: Instant, from: Route, datagram: &[u8]) -> Result<(), Dropped> {
        let mut answer = parse(datagram)?;
        if answer.typ != BINDING_SUCCESS || !self.path.is_answer(from, answer.transaction_id) {
            return Err(Dropped::StunNotRequest);
        }
        let pwd = self.current.remote.pwd.as_bytes();
        MessageIntegrity::check(&mut answer, pwd, CRYPTO.crypto()).map_err(|_| Dropped::StunIntegrity)?;
        if self.path.answered(from) {
            self.checks.note(from, self.path.media(), now);
            self.checks.nominate(from);
        }
        self.follow(now);
        Ok(())
    }

    /// Moves media to where it is wanted, or asks that address to prove itself. An address that may take its place is asked
    /// before, so that media moves there as soon as the nominated one is silent.
    fn follow(&mut self, now: Instant) {
        if let Some(next) = self.checks.successor() {
            let is_silent = self.checks.silent_from().is_none_or(|from| from <= now);
            if self.path.media().is_some() && !self.path.is_proven(next) {
                self.path.ask_aside(next, now);
                if is_silent {
                    return; // The question to the silent one would take the place of this one.
                }
            } else if self.path.media().is_some() && is_silent {
                self.checks.nominate(next);
            }
        }
        if let Some(wanted) = self.checks.wanted(self.path.media()) {
            self.path.follow(wanted, now);
        }
    }

    /// Notes that a route is no more, because its connection was closed. Media goes to another one that has passed a check and proved
    /// itself, or else nowhere until there is one. Afterwards drain [`IceLite::poll_question`].
    pub fn lost(&mut self, now: Instant, route: Route) {
        self.checks.forget(route);
        self.path.forget(route);
        self.follow(now);
    }

    /// Returns whether an address has passed a check.
    pub fn is_valid(&self, address: Route) -> bool {
        self.checks.contains(address)
    }

    /// Returns the time of the last valid check, or of the beginning before the first.
    pub fn last_valid(&self) -> Instant {
        self.last_valid
    }

    /// Returns the time when consent expires.
    pub fn deadline(&self) -> Instant {
        self.last_valid + self.consent
    }

    /// Takes one STUN datagram. A datagram that is not a check with our credentials is dropped
    /// without an answer, so that the socket reflects nothing to forged addresses.
    pub fn handle(&mut self, now: Instant, from: Route, datagram: &[u8]) -> Result<Answered, Dropped> {
        let mut request = parse(datagram)?;
        if request.typ != BINDING_REQUEST {
            return Err(Dropped::StunNotRequest);
        }
        let username = request.get(ATTR_USERNAME).map_err(|_| Dropped::StunUnknownUser)?;
        let restarted = self.restarting.as_ref().is_some_and(|generation| generation.is_named_by(&username));
        if !restarted && !self.current.is_named_by(&username) {
            return Err(Dropped::StunUnknownUser);
        }
        let generation = match &self.restarting {
            Some(generation) if restarted => generation,
            _ => &self.current,
        };
        let pwd = generation.local.pwd.clone();
        MessageIntegrity::check(&mut request, pwd.as_bytes(), CRYPTO.crypto()).map_err(|_| Dropped::StunIntegrity)?;

        if let Some(error) = refusal(&request) {
            let answer = respond(&request, &pwd, error)?;
            return Ok(Answered { answer, valid: false });
        }
        if restarted && let Some(generation) = self.restarting.take() {
            self.current = generation;
            self.checks.restart(now);
        }
        self.last_valid = now;
        self.checks.note(from, self.path.media(), now);
        if request.contains(ATTR_USE_CANDIDATE) {
            self.checks.nominate(from);
            self.path.stay(); // The peer itself says where it is.
        }
        self.path.renew(from);
        self.follow(now);
        // A dual-stack socket shows IPv4 peers as mapped IPv6. The answer must state their own
        // address.
        let address = from.address();
        let mapped = XorMappedAddress { ip: address.ip().to_canonical(), port: address.port() };
        let setters: Vec<Box<dyn Setter>> = vec![Box::new(BINDING_SUCCESS), Box::new(mapped)];
        Ok(Answered { answer: respond(&request, &pwd, setters)?, valid: true })
    }
}

/// Parses a whole STUN message with a right FINGERPRINT as its last attribute.
pub(super) fn parse(datagram: &[u8]) -> Result<Message, Dropped> {
    if datagram.len() > MESSAGE_BYTES || !is_stun(datagram) {
        return Err(Dropped::StunMalformed);
    }
    let length = usize::from(u16::from_be_bytes([datagram[2], datagram[3]]));
    if datagram.len() != MESSAGE_HEADER_SIZE + length || !length.is_multiple_of(4) {
        return Err(Dropped::StunMalformed);
    }
    let mut message = Message::new();
    message.unmarshal_binary(datagram).map_err(|_| Dropped::StunMalformed)?;
    FINGERPRINT.check(&message).map_err(|_| Dropped::StunMalformed)?;
    Ok(message)
}

// Returns the error answer to a check, if one is due. A lite agent cannot become controlling, so a
// peer that claims to be controlled must switch.
fn refusal(request: &Message) -> Option<Vec<Box<dyn Setter>>> {
    if request.contains(ATTR_ICE_CONTROLLED) {
        return Some(vec![Box::new(BINDING_ERROR), Box::new(CODE_ROLE_CONFLICT)]);
    }
    let unknown: Vec<AttrType> = request
        .attributes
        .0
        .iter()
        .map(|attribute| attribute.typ)
        .filter(|kind| kind.required() && !is_understood(*kind))
        .take(8)
        .collect();
    if unknown.is_empty() {
        return None;
    }
    Some(vec![Box::new(BINDING_ERROR), Box::new(CODE_UNKNOWN_ATTRIBUTE), Box::new(UnknownAttributes(unknown))])
}

fn is_understood(kind: AttrType) -> bool {
    [ATTR_USERNAME, ATTR_MESSAGE_INTEGRITY, ATTR_PRIORITY, ATTR_USE_CANDIDATE, ATTR_ICE_CONTROLLING].contains(&kind)
}

/// Returns whether a STUN datagram is the answer to a request.
pub(super) fn is_answer(datagram: &[u8]) -> bool {
    datagram.starts_with(&BINDING_SUCCESS.value().to_be_bytes())
}

fn respond(request: &Message, pwd: &str, body: Vec<Box<dyn Setter>>) -> Result<Vec<u8>, Dropped> {
    sealed(request.transaction_id, pwd, body)
}

/// Returns a message of this transaction with its MESSAGE-INTEGRITY and FINGERPRINT. `body` begins with the type.
pub(super) fn sealed(
    transaction: TransactionId,
    pwd: &str,
    mut body: Vec<Box<dyn Setter>>,
) -> Result<Vec<u8>, Dropped> {
    body.insert(1, Box::new(transaction));
    let crypto = CRYPTO.crypto();
    let integrity = MessageIntegrity::new_short_term_integrity_with_provider(pwd.to_owned(), crypto);
    let mut setters: Vec<Box<dyn Setter + '_>> = body;
    setters.push(Box::new(integrity));
    setters.push(Box::new(FINGERPRINT));
    let mut message = Message::new();
    // This fails only if an attribute is longer than allowed, which these never are.
    message.build(&setters).map_err(|_| Dropped::StunMalformed)?;
    Ok(message.raw)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use rand::rngs::StdRng;
    use rand::{Rng, RngCore, SeedableRng};
    use rtc_stun::attributes::{ATTR_ERROR_CODE, ATTR_XORMAPPED_ADDRESS, RawAttribute};
    use rtc_stun::error_code::ErrorCodeAttribute;
    use rtc_stun::message::{Getter, TransactionId};
    use rtc_stun::textattrs::TextAttribute;

    use super::super::datagram::{DatagramKind, classify, stun_local_ufrag};
    use super::*;

    fn credentials(name: &str) -> Credentials {
        Credentials { ufrag: name.into(), pwd: format!("{name}{}", "x".repeat(20)) }
    }

    fn server(now: Instant) -> IceLite {
        IceLite::new(credentials("ours"), credentials("theirs"), Duration::from_secs(30), now)
    }

    fn address(port: u16) -> Route {
        Route::Udp(([203, 0, 113, 7], port).into())
    }

    fn check(username: &str, pwd: &str, extra: &[(AttrType, &[u8])]) -> Vec<u8> {
        let mut setters: Vec<Box<dyn Setter>> = vec![
            Box::new(BINDING_REQUEST),
            Box::new(TransactionId::new()),
            Box::new(TextAttribute::new(ATTR_USERNAME, username.into())),
            Box::new(RawAttribute { typ: ATTR_PRIORITY, length: 4, value: vec![1, 2, 3, 4] }),
        ];
        for (typ, value) in extra {
            let length = value.len() as u16;
            setters.push(Box::new(RawAttribute { typ: *typ, length, value: value.to_vec() }));
        }
        setters.push(Box::new(MessageIntegrity::new_short_term_integrity_with_provider(pwd.into(), CRYPTO.crypto())));
        setters.push(Box::new(FINGERPRINT));
        let mut message = Message::new();
        message.build(&setters).unwrap();
        message.raw
    }

    fn valid_check(extra: &[(AttrType, &[u8])]) -> Vec<u8> {
        check("ours:theirs", &credentials("ours").pwd, extra)
    }

    #[test]
    fn a_valid_check_is_answered_with_the_mapped_address() {
        let now = Instant::now();
        let mut ice = server(now);
        let mapped = Route::Udp(SocketAddr::new("::ffff:203.0.113.7".parse().unwrap(), 9));
        let answered = ice.handle(now, mapped, &valid_check(&[])).unwrap();
        let mut answer = parse(&answered.answer).unwrap();
        assert_eq!(answer.typ, BINDING_SUCCESS);
        let mut address = XorMappedAddress::default();
        address.get_from(&answer).unwrap();
        assert_eq!((address.ip.to_string().as_str(), address.port), ("203.0.113.7", 9));
        let pwd = credentials("ours").pwd;
        MessageIntegrity::check(&mut answer, pwd.as_bytes(), CRYPTO.crypto()).unwrap();
        assert!(ice.is_valid(mapped) && answered.valid);
        assert!(answer.contains(ATTR_XORMAPPED_ADDRESS));
    }

    #[test]
    fn the_last_check_with_use_candidate_selects_the_address() {
        let now = Instant::now();
        let mut ice = server(now);
        assert_eq!(ice.remote_addr(), None);
        ice.handle(now, address(1), &valid_check(&[])).unwrap();
        ice.handle(now, address(2), &valid_check(&[])).unwrap();
        assert_eq!(ice.remote_addr(), Some(address(2)));
        ice.handle(now, address(1), &valid_check(&[(ATTR_USE_CANDIDATE, &[])])).unwrap();
        ice.handle(now, address(2), &valid_check(&[])).unwrap();
        assert_eq!(ice.remote_addr(), Some(address(1)));
        ice.handle(now, address(3), &valid_check(&[(ATTR_USE_CANDIDATE, &[])])).unwrap();
        assert_eq!(ice.remote_addr(), Some(address(3)));
    }

    /// A server that sends media to port 1, which is nominated.
    fn connected(now: Instant) -> IceLite {
        let mut ice = server(now);
        ice.handle(now, address(1), &valid_check(&[(ATTR_USE_CANDIDATE, &[])])).unwrap();
        ice.connected(now, address(1));
        ice
    }

    /// Answers the question that is due now, if it is to this port.
    fn answer(ice: &mut IceLite, now: Instant, port: u16) -> bool {
        let Some((to, question)) = ice.poll_question(now).filter(|(to, _)| *to == address(port)) else { return false };
        let transaction = parse(&question).unwrap().transaction_id;
        let answer = sealed(transaction, &credentials("theirs").pwd, vec![Box::new(BINDING_SUCCESS)]).unwrap();
        ice.handle_answer(now, to, &answer).is_ok()
    }

    #[test]
    fn media_follows_a_peer_whose_address_changes_without_its_knowledge() {
        let now = Instant::now();
        let at = |secs| now + Duration::from_secs(secs);
        let mut ice = connected(now);
        ice.handle(at(5), address(2), &valid_check(&[])).unwrap();
        assert!(answer(&mut ice, at(5), 2));
        assert_eq!(ice.remote_addr(), Some(address(1)), "the nominated one may still be there");
        assert_eq!(ice.poll_timeout(), Some(at(7)));
        ice.handle_timeout(at(7));
        assert_eq!(ice.remote_addr(), Some(address(2)));
        assert_eq!(ice.poll_timeout(), Some(at(35)), "its consent");
        ice.handle(at(10), address(3), &valid_check(&[])).unwrap();
        ice.handle(at(16), address(3), &valid_check(&[])).unwrap();
        assert_eq!(ice.remote_addr(), Some(address(2)), "no answer has come");
        assert!(answer(&mut ice, at(16), 3));
        assert_eq!(ice.remote_addr(), Some(address(3)), "the one before is silent");
    }

    #[test]
    fn a_peer_that_is_heard_at_the_nominated_address_gets_media_there() {
        let now = Instant::now();
        let mut ice = connected(now);
        for round in 1..20 {
            let at = now + Duration::from_secs(3 * round);
            for port in [1, 2] {
                ice.handle(at, address(port), &valid_check(&[])).unwrap();
            }
            answer(&mut ice, at, 2);
            ice.handle_timeout(at);
            assert_eq!(ice.remote_addr(), Some(address(1)));
        }
    }

    #[test]
    fn media_to_an_address_ends_with_its_consent_and_goes_on_with_its_next_check() {
        let now = Instant::now();
        let at = |secs| now + Duration::from_secs(secs);
        let mut ice = connected(now);
        for secs in (5..30).step_by(5) {
            ice.handle(at(secs), address(2), &valid_check(&[])).unwrap();
            while ice.poll_question(at(secs)).is_some() {} // Nothing answers.
            ice.handle_timeout(at(secs));
            assert_eq!(ice.remote_addr(), Some(address(1)), "{secs}");
        }
        ice.handle_timeout(at(30));
        assert_eq!((ice.remote_addr(), ice.deadline()), (None, at(55)));
        ice.handle(at(31), address(1), &valid_check(&[])).unwrap();
        assert_eq!(ice.remote_addr(), Some(address(1)));
    }

    #[test]
    fn checks_from_many_addresses_are_asked_about_one_at_a_time() {
        let now = Instant::now();
        let mut ice = connected(now);
        let mut asked = Vec::new();
        for tick in 0..140_u16 {
            let at = now + Duration::from_secs(20) + Duration::from_millis(u64::from(tick) * 10);
            ice.handle(at, address(100 + tick), &valid_check(&[])).unwrap();
            ice.handle_timeout(at);
            asked.extend(std::iter::from_fn(|| ice.poll_question(at)).map(|(to, _)| to));
        }
        assert_eq!(asked, [address(100); 3]);
    }

    #[test]
    fn invalid_checks_are_dropped_and_do_not_renew_consent() {
        let now = Instant::now();
        let mut ice = server(now);
        let later = now + Duration::from_secs(5);
        let pwd = credentials("ours").pwd;
        let mut of = |datagram: &[u8]| ice.handle(later, address(1), datagram).unwrap_err();
        assert_eq!(of(&check("ours:others", &pwd, &[])), Dropped::StunUnknownUser);
        assert_eq!(of(&check("ours", &pwd, &[])), Dropped::StunUnknownUser);
        assert_eq!(of(&check("our:stheirs", &pwd, &[])), Dropped::StunUnknownUser);
        assert_eq!(of(&check("ours:theirs", "wrong", &[])), Dropped::StunIntegrity);
        assert_eq!(of(&valid_check(&[])[..40]), Dropped::StunMalformed);
        let mut flipped = valid_check(&[]);
        flipped[30] ^= 1;
        assert_eq!(of(&flipped), Dropped::StunMalformed); // The fingerprint is checked first.
        assert_eq!(ice.deadline(), now + Duration::from_secs(30));
        assert!(!ice.is_valid(address(1)));
    }

    #[test]
    fn an_answer_is_not_a_request() {
        let now = Instant::now();
        let mut ice = server(now);
        let answer = ice.handle(now, address(1), &valid_check(&[])).unwrap().answer;
        assert_eq!(ice.handle(now, address(1), &answer).unwrap_err(), Dropped::StunNotRequest);
    }

    #[test]
    fn a_peer_that_claims_to_be_controlled_is_told_of_the_conflict() {
        let now = Instant::now();
        let mut ice = server(now);
        let request = valid_check(&[(ATTR_ICE_CONTROLLED, &[0; 8])]);
        let answered = ice.handle(now, address(1), &request).unwrap();
        let answer = parse(&answered.answer).unwrap();
        let mut error = ErrorCodeAttribute::default();
        error.get_from(&answer).unwrap();
        assert_eq!((answer.typ, error.code.0), (BINDING_ERROR, CODE_ROLE_CONFLICT.0));
        assert!(!answered.valid && !ice.is_valid(address(1)));
    }

    #[test]
    fn unknown_attributes_that_must_be_understood_are_refused() {
        let now = Instant::now();
        let mut ice = server(now);
        let request = valid_check(&[(AttrType(0x7abc), &[0; 4])]);
        let answered = ice.handle(now, address(1), &request).unwrap();
        let answer = parse(&answered.answer).unwrap();
        assert!(answer.contains(ATTR_ERROR_CODE) && !answered.valid);
        let optional = valid_check(&[(AttrType(0xc057), &[0; 4])]);
        assert!(ice.handle(now, address(1), &optional).unwrap().valid);
    }

    #[test]
    fn after_a_restart_media_goes_where_checks_come_from_though_nothing_is_nominated_yet() {
        let now = Instant::now();
        for is_old_way_alive in [false, true] {
            let mut ice = server(now);
            ice.handle(now, address(1), &valid_check(&[(ATTR_USE_CANDIDATE, &[])])).unwrap();
            ice.connected(now, address(1));
            ice.restart(credentials("new"), credentials("fresh"));
            let later = now + Duration::from_secs(1);
            let request = check("new:fresh", &credentials("new").pwd, &[]);
            if is_old_way_alive {
                ice.handle(later, address(1), &request).unwrap();
            }
            ice.handle(later, address(2), &request).unwrap();
            assert_eq!(ice.poll_question(later).is_some(), !is_old_way_alive, "the new way has to prove itself");
            ice.prove(address(2));
            ice.handle(later, address(2), &request).unwrap();
            assert_eq!(ice.remote_addr(), Some(address(if is_old_way_alive { 1 } else { 2 })));
        }
    }

    #[test]
    fn a_restart_accepts_both_generations_until_the_new_one_is_used() {
        let now = Instant::now();
        let mut ice = server(now);
        ice.restart(credentials("new"), credentials("fresh"));
        assert_eq!(ice.local_ufrags().collect::<Vec<_>>(), ["ours", "new"]);
        assert!(ice.handle(now, address(1), &valid_check(&[])).unwrap().valid);
        let request = check("new:fresh", &credentials("new").pwd, &[]);
        assert!(ice.handle(now, address(1), &request).unwrap().valid);
        assert_eq!(ice.local_ufrags().collect::<Vec<_>>(), ["new"]);
        let old = ice.handle(now, address(1), &valid_check(&[]));
        assert_eq!(old.unwrap_err(), Dropped::StunUnknownUser);
    }

    #[test]
    fn the_session_of_a_check_is_found_without_its_password() {
        let request = valid_check(&[]);
        assert_eq!(classify(&request), Some(DatagramKind::Stun));
        assert_eq!(stun_local_ufrag(&request), Some("ours"));
        assert_eq!(stun_local_ufrag(&request[..25]), None);
        assert_eq!(stun_local_ufrag(b""), None);
    }

    #[test]
    fn mutated_and_random_checks_never_panic() {
        let now = Instant::now();
        let mut ice = server(now);
        let mut random = StdRng::seed_from_u64(3);
        let original = valid_check(&[(ATTR_USE_CANDIDATE, &[])]);
        for round in 0..20_000 {
            let mut datagram = original.clone();
            for _ in 0..1 + round % 3 {
                let at = random.random_range(0..datagram.len());
                datagram[at] = random.next_u32() as u8;
            }
            datagram.truncate(random.random_range(0..=datagram.len() * 2));
            // A right length and fingerprint let the datagram reach the parser of the attributes.
            if datagram.len() >= 28 {
                let length = (datagram.len() - 20) as u16;
                datagram[2..4].copy_from_slice(&length.to_be_bytes());
                let at = datagram.len() - 8;
                datagram[at..at + 4].copy_from_slice(&[0x80, 0x28, 0, 4]);
                let crc = rtc_stun::fingerprint::fingerprint_value(&datagram[..at]);
                datagram[at + 4..].copy_from_slice(&crc.to_be_bytes());
            }
            let _ = classify(&datagram);
            let _ = stun_local_ufrag(&datagram);
            let _ = ice.handle(now, address(1), &datagram);
        }
    }
}
