//! The addresses that candidates announce: those that are configured, or else this machine's own.
//!
//! A configured address may be a host name, and may have the port by which a NAT or a container's mapping is reached.
//! Names have to resolve at the start. Later, names and this machine's own addresses are looked up again when an answer
//! is made, at most once in [`LOOK_UP_INTERVAL`]: dynamic DNS changes, and an interface may come up after this process.
//! A later look-up that fails changes nothing.
//!
//! A server for this machine alone ([`Config::only_this_machine`](crate::Config::only_this_machine)) announces loopback first and then the other addresses,
//! and admits datagrams from its own addresses. Linux drops a datagram that comes from outside with one of these.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use thiserror::Error;

use crate::error::Error;
use crate::sdp::Candidate;

/// The least time between two look-ups.
const LOOK_UP_INTERVAL: Duration = Duration::from_secs(30);
/// The longest time that an answer waits for a look-up. The look-up goes on, and later answers have its result.
const LOOK_UP_PATIENCE: Duration = Duration::from_secs(1);
/// A DNS name has at most 253 characters (RFC 1035 2.3.4).
const NAME_CHARS: usize = 253;

/// One configured address: a host, and the port by which the server is reached there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announced {
    host: Host,
    port: Option<u16>,
}

/// The port of the TCP listener, as candidates state it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpPort {
    /// The port that the listener is bound to.
    pub number: u16,
    /// Whether an announced port is that of TCP too, because both protocols have one number here.
    pub is_as_announced: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Address(IpAddr),
    Name(String),
}

/// The text is not an address to announce. Display is a sentence.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum InvalidAnnounced {
    /// It is not an address.
    #[error(
        "{0:?} is neither an IP address nor a host name, with or without a port: 203.0.113.7, [2001:db8::7]:18189, live.example.org:18189"
    )]
    NotAnAddress(String),
    /// It is an address that no peer can send to.
    #[error("{0} is not the address of a machine: give the one at which browsers reach this server")]
    NotOfAMachine(IpAddr),
}

impl FromStr for Announced {
    type Err = InvalidAnnounced;

    fn from_str(text: &str) -> Result<Self, InvalidAnnounced> {
        let invalid = || InvalidAnnounced::NotAnAddress(text.to_owned());
        let of_machine = |address| match is_of_a_machine(address) {
            true => Ok(Host::Address(address)),
            false => Err(InvalidAnnounced::NotOfAMachine(address)),
        };
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse() {
            return Ok(Self { host: of_machine(address)?, port: None });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => {
                let port = port.parse().ok().filter(|port: &u16| *port > 0);
                (host, Some(port.ok_or_else(invalid)?))
            }
            None => (text, None),
        };
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        let host = match bare.parse() {
            Ok(IpAddr::V6(_)) if bare == host => return Err(invalid()), // Its last group would be taken for a port.
            Ok(address) => of_machine(address)?,
            Err(_) if is_name(host) => Host::Name(host.to_owned()),
            Err(_) => return Err(invalid()),
        };
        Ok(Self { host, port })
    }
}

/// Returns whether one machine can have this address.
fn is_of_a_machine(address: IpAddr) -> bool {
    let address = address.to_canonical();
    let is_broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    !(address.is_unspecified() || address.is_multicast() || is_broadcast)
}

fn is_name(text: &str) -> bool {
    let is_label = |label: &str| {
        let inner = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        !label.is_empty() && inner
    };
    // Digits and dots alone are an IPv4 address with a mistake.
    let has_letter = text.bytes().any(|byte| byte.is_ascii_alphabetic());
    has_letter && text.len() <= NAME_CHARS && text.strip_suffix('.').unwrap_or(text).split('.').all(is_label)
}

/// Looks a host name up.
type Resolve = fn(&str) -> io::Result<Vec<IpAddr>>;

/// The addresses of this server, as answers state them. All shards share it.
#[derive(Debug)]
pub(crate) struct Announce {
    configured: Vec<Announced>,
    /// The address that the sockets are bound to.
    bound: IpAddr,
    only_this_machine: bool,
    /// The port of the TCP listener, if there is one.
    tcp: Option<TcpPort>,
    resolve: Resolve,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    /// The addresses, best first, each with its port if that is not the sockets'.
    addresses: Vec<(IpAddr, Option<u16>)>,
    /// The addresses of this machine's interfaces, if datagrams are admitted from these alone.
    own: Vec<IpAddr>,
    looked_up: Instant,
}

impl Announce {
    /// Looks all addresses up. Blocks. `place` is the address that the sockets are bound to, and whether the server is for this
    /// machine alone.
    pub(crate) fn new(
        configured: &[Announced],
        place: (IpAddr, bool),
        tcp: Option<TcpPort>,
        now: Instant,
    ) -> Result<Arc<Self>, Error> {
        let announce = Self::with(configured, place, now, look_up)?;
        Ok(Arc::new(Self { tcp, ..announce }))
    }

    /// Announces the address that the sockets are bound to, and no other.
    #[cfg(test)]
    pub(crate) fn at(bound: IpAddr, only_this_machine: bool, now: Instant) -> Arc<Self> {
        Arc::new(Self::with(&[], (bound, only_this_machine), now, look_up).unwrap())
    }

    fn with(
        configured: &[Announced],
        (bound, only_this_machine): (IpAddr, bool),
        now: Instant,
        resolve: Resolve,
    ) -> Result<Self, Error> {
        let mut addresses = addresses(configured, bound, resolve)?;
        let own = if only_this_machine { interfaces() } else { Vec::new() };
        if only_this_machine {
            loopback_first(&mut addresses);
        } else if !bound.is_loopback() && addresses.iter().all(|(address, _)| address.is_loopback()) {
            tracing::warn!(
                %bound,
                "only a loopback address is announced, so WebRTC connects on this machine alone: set rtc.announce to the address at which browsers reach this server"
            );
        }
        let known = Mutex::new(Known { addresses, own, looked_up: now });
        Ok(Self { configured: configured.to_vec(), bound, only_this_machine, tcp: None, resolve, known })
    }

    /// Returns whether datagrams from this address are taken.
    pub(crate) fn admits(&self, from: IpAddr) -> bool {
        let from = from.to_canonical();
        !self.only_this_machine || from.is_loopback() || self.known.lock().own.contains(&from)
    }

    /// Returns the candidates of a server whose sockets have `port`: the addresses of UDP, and then those of TCP.
    pub(crate) fn candidates(&self, port: u16) -> Vec<Candidate> {
        let known = self.known.lock();
        let udp = known.addresses.iter().map(|(ip, announced)| SocketAddr::new(*ip, announced.unwrap_or(port)));
        let tcp = self.tcp.into_iter().flat_map(|tcp| {
            // A listener for this machine alone is bound to loopback, of one family.
            let is_its = |ip: &IpAddr| ip.is_loopback() && ip.is_ipv4() == self.bound.is_ipv4();
            let reached = known.addresses.iter().filter(move |(ip, _)| !self.only_this_machine || is_its(ip));
            reached.map(move |(ip, announced)| {
                SocketAddr::new(*ip, announced.filter(|_| tcp.is_as_announced).unwrap_or(tcp.number))
            })
        });
        udp.map(Candidate::Udp).chain(tcp.map(Candidate::Tcp)).collect()
    }

    /// Looks the addresses up again if that is due.
    pub(crate) async fn refresh(self: &Arc<Self>, now: Instant) {
        if !self.is_due(now) {
            return;
        }
        let this = self.clone();
        let look_up = tokio::task::spawn_blocking(move || this.look_up_again());
        if tokio::time::timeout(LOOK_UP_PATIENCE, look_up).await.is_err() {
            tracing::warn!("looking up the addresses of rtc.announce takes long; the answer has those known before");
        }
    }

    /// Returns whether a look-up is due, and notes that it begins.
    fn is_due(&self, now: Instant) -> bool {
        let may_change = match &self.configured[..] {
            _ if self.only_this_machine => true,
            [] => self.bound.is_unspecified(),
            configured => configured.iter().any(|announced| matches!(announced.host, Host::Name(_))),
        };
        let mut known = self.known.lock();
        let due = may_change && now.saturating_duration_since(known.looked_up) >= LOOK_UP_INTERVAL;
        if due {
            known.looked_up = now;
        }
        due
    }

    fn look_up_again(&self) {
        let own = if self.only_this_machine { interfaces() } else { Vec::new() };
        match addresses(&self.configured, self.bound, self.resolve) {
            Ok(mut addresses) => {
                if self.only_this_machine {
                    loopback_first(&mut addresses);
                }
                let mut known = self.known.lock();
                known.own = own;
                if known.addresses != addresses {
                    tracing::info!(?addresses, "the announced addresses have changed");
                    known.addresses = addresses;
                }
            }
            Err(error) => tracing::warn!(%error, "the announced addresses stay as they were"),
        }
    }
}

/// Moves loopback before the other addresses, which keep their order.
fn loopback_first(addresses: &mut [(IpAddr, Option<u16>)]) {
    addresses.sort_by_key(|(address, _)| !address.is_loopback());
}

/// Returns the addresses of all interfaces.
fn interfaces() -> Vec<IpAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    interfaces.into_iter().map(|interface| interface.ip().to_canonical()).collect()
}

fn addresses(configured: &[Announced], bound: IpAddr, resolve: Resolve) -> Result<Vec<(IpAddr, Option<u16>)>, Error> {
    if configured.is_empty() {
        return Ok(local_addresses(bound).into_iter().map(|address| (address, None)).collect());
    }
    let mut addresses = Vec::new();
    for Announced { host, port } in configured {
        let found = match host {
            Host::Address(address) => vec![*address],
            Host::Name(name) => resolve(name)
                .and_then(|found| reachable(found, bound))
                .map_err(|source| Error::Name { name: name.clone(), source })?,
        };
        for address in found {
            if !addresses.contains(&(address, *port)) {
                addresses.push((address, *port));
            }
        }
    }
    Ok(addresses)
}

/// Leaves out the addresses of a name that no machine has, and those of IPv6 if the sockets take IPv4 alone.
fn reachable(mut found: Vec<IpAddr>, bound: IpAddr) -> io::Result<Vec<IpAddr>> {
    found.retain(|address| is_of_a_machine(*address) && (bound.is_ipv6() || address.is_ipv4()));
    if found.is_empty() {
        return Err(io::Error::other("it has no address of a family that the sockets are bound to"));
    }
    Ok(found)
}

fn look_up(name: &str) -> io::Result<Vec<IpAddr>> {
    Ok((name, 0).to_socket_addrs()?.map(|address| address.ip().to_canonical()).collect())
}

/// Returns the addresses by which peers can reach a socket bound to `bound`.
fn local_addresses(bound: IpAddr) -> Vec<IpAddr> {
    if !bound.is_unspecified() {
        return vec![bound];
    }
    // Nothing is sent: 192.0.2.0/24 (RFC 5737) and 2001:db8::/32 (RFC 3849) belong to nobody. A socket on :: takes both
    // families, but each has to be announced in its own form, because peers cannot use ::ffff:a.b.c.d.
    let v4 = routed(Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(192, 0, 2, 1).into());
    let v6 = || routed(Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into());
    let v6 = bound.is_ipv6().then(v6).flatten();
    let mut addresses: Vec<IpAddr> = v4.into_iter().chain(v6).collect();
    if addresses.iter().all(IpAddr::is_loopback) {
        // There is no way out of this network: peers are on it.
        addresses = of_interfaces(interfaces().into_iter(), bound);
    }
    addresses.extend(bound.is_ipv6().then_some(IpAddr::V6(Ipv6Addr::LOCALHOST)));
    addresses.push(Ipv4Addr::LOCALHOST.into());
    addresses
}

/// Returns the addresses of interfaces that peers on the same networks can use.
fn of_interfaces(interfaces: impl Iterator<Item = IpAddr>, bound: IpAddr) -> Vec<IpAddr> {
    let is_usable = |address: &IpAddr| match address {
        IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local() && !v4.is_unspecified(),
        IpAddr::V6(v6) => bound.is_ipv6() && !v6.is_loopback() && !v6.is_unicast_link_local() && !v6.is_unspecified(),
    };
    let mut usable: Vec<_> = interfaces.filter(is_usable).collect();
    usable.sort_by_key(IpAddr::is_ipv6); // Equals keep the system's order.
    usable.dedup();
    usable
}

/// Returns the address of this machine that the system would send to `far` from.
fn routed(any: IpAddr, far: IpAddr) -> Option<IpAddr> {
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((far, 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    const ANY_V6: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

    fn announced(texts: &[&str]) -> Vec<Announced> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn book(name: &str) -> io::Result<Vec<IpAddr>> {
        match name {
            "live.example.org" => Ok(vec!["2001:db8::7".parse().unwrap(), "203.0.113.7".parse().unwrap()]),
            _ => Err(io::Error::other("no such name")),
        }
    }

    fn candidates(texts: &[&str], bound: IpAddr) -> Vec<String> {
        let announce = Announce::with(&announced(texts), (bound, false), Instant::now(), book).unwrap();
        announce.candidates(8190).iter().map(|candidate| candidate.address().to_string()).collect()
    }

    #[test]
    fn addresses_and_names_are_announced_with_their_port_or_else_the_sockets() {
        assert_eq!(candidates(&["203.0.113.7"], ANY), ["203.0.113.7:8190"]);
        assert_eq!(candidates(&["203.0.113.7:18189", "10.0.0.4"], ANY), ["203.0.113.7:18189", "10.0.0.4:8190"]);
        assert_eq!(
            candidates(&["2001:db8::9", "[2001:db8::9]:5000"], ANY_V6),
            ["[2001:db8::9]:8190", "[2001:db8::9]:5000"]
        );
        assert_eq!(candidates(&["[2001:db8::9]"], ANY_V6), ["[2001:db8::9]:8190"]);
        assert_eq!(candidates(&["live.example.org:18189"], ANY), ["203.0.113.7:18189"]);
        assert_eq!(candidates(&["live.example.org"], ANY_V6), ["[2001:db8::7]:8190", "203.0.113.7:8190"]);
        assert_eq!(candidates(&["203.0.113.7", "live.example.org"], ANY), ["203.0.113.7:8190"]);
    }

    #[test]
    fn tcp_is_announced_by_its_port_or_by_that_of_udp() {
        let with = |texts: &[&str], place, tcp| {
            let announce =
                Announce { tcp: Some(tcp), ..Announce::with(&announced(texts), place, Instant::now(), book).unwrap() };
            let candidates = announce.candidates(8190).into_iter();
            let tcp = candidates.filter(|candidate| matches!(candidate, Candidate::Tcp(_)));
            tcp.map(|candidate| candidate.address().to_string()).collect::<Vec<_>>()
        };
        let (same, own) =
            (TcpPort { number: 8189, is_as_announced: true }, TcpPort { number: 443, is_as_announced: false });
        let texts = ["203.0.113.7:18189", "10.0.0.4"];
        assert_eq!(with(&texts, (ANY, false), same), ["203.0.113.7:18189", "10.0.0.4:8189"]);
        assert_eq!(with(&texts, (ANY, false), own), ["203.0.113.7:443", "10.0.0.4:443"]);
        assert_eq!(with(&[], (ANY, true), same), ["127.0.0.1:8189"], "its listener is bound to loopback");
    }

    #[test]
    fn a_name_that_does_not_resolve_is_an_error_at_the_start_that_says_so() {
        let refused =
            Announce::with(&announced(&["203.0.113.7", "nowhere.invalid"]), (ANY, false), Instant::now(), book);
        let sentence = refused.unwrap_err().to_string();
        assert!(sentence.contains("host name nowhere.invalid"), "{sentence}");
    }

    #[test]
    fn texts_that_are_no_address_are_refused() {
        for text in [
            "",
            "203.0.113",
            "203.0.113.7:",
            "203.0.113.7:0",
            "203.0.113.7:99999",
            "a b",
            "http://a.org",
            "[::1",
            "::1]:5",
        ] {
            assert!(text.parse::<Announced>().is_err(), "{text:?}");
        }
        assert!("localhost".parse::<Announced>().is_ok() && "a_b.example.org.".parse::<Announced>().is_ok());
    }

    #[test]
    fn an_address_that_no_machine_has_is_refused_with_a_sentence() {
        for text in [
            "0.0.0.0",
            "0.0.0.0:18189",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "[::]:18189",
            "ff02::1",
            "::ffff:0.0.0.0",
        ] {
            let refused = text.parse::<Announced>().unwrap_err();
            assert!(refused.to_string().contains("not the address of a machine"), "{text}: {refused}");
        }
        let nowhere: Resolve = |_| Ok(vec![ANY]);
        let refused = Announce::with(&announced(&["live.example.org"]), (ANY, false), Instant::now(), nowhere);
        assert!(matches!(refused, Err(Error::Name { .. })), "a name of such an address");
    }

    #[test]
    fn names_are_looked_up_again_and_a_failure_changes_nothing() {
        let start = Instant::now();
        let mut announce = Announce::with(&announced(&["live.example.org"]), (ANY, false), start, book).unwrap();
        assert!(!announce.is_due(start + LOOK_UP_INTERVAL - Duration::from_millis(1)));
        assert!(announce.is_due(start + LOOK_UP_INTERVAL) && !announce.is_due(start + LOOK_UP_INTERVAL));
        announce.resolve = |_| Ok(vec!["203.0.113.99".parse().unwrap()]);
        announce.look_up_again();
        assert_eq!(announce.candidates(9), [Candidate::Udp(([203, 0, 113, 99], 9).into())]);
        announce.resolve = |_| Err(io::Error::other("no DNS"));
        announce.look_up_again();
        assert_eq!(announce.candidates(9), [Candidate::Udp(([203, 0, 113, 99], 9).into())]);
        // What cannot change is not looked up.
        let fixed = Announce::with(&announced(&["203.0.113.7"]), (ANY, false), start, book).unwrap();
        assert!(!fixed.is_due(start + 2 * LOOK_UP_INTERVAL));
    }

    #[test]
    fn a_server_for_this_machine_announces_loopback_first_and_admits_its_own_addresses_alone() {
        let start = Instant::now();
        let announce = Announce::with(&[], (ANY, true), start, book).unwrap();
        let candidates = announce.candidates(8189);
        assert_eq!(candidates[0], Candidate::Udp(([127, 0, 0, 1], 8189).into()));
        assert!(candidates.iter().all(|candidate| announce.admits(candidate.address().ip())), "{candidates:?}");
        for own in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert!(announce.admits(own.parse().unwrap()), "{own}");
        }
        let far: IpAddr = "203.0.113.99".parse().unwrap();
        assert!(!announce.admits(far) && announce.is_due(start + LOOK_UP_INTERVAL));
        // An announced address that is not this machine's does not open the server.
        let behind = Announce::with(&announced(&["203.0.113.99"]), (ANY, true), start, book).unwrap();
        assert!(!behind.admits(far));
        assert!(Announce::with(&[], (ANY, false), start, book).unwrap().admits(far));
    }

    #[test]
    fn without_a_default_route_the_addresses_of_interfaces_are_announced() {
        let interfaces = ["127.0.0.1", "::1", "fe80::1", "2001:db8::5", "169.254.1.1", "10.99.0.2"];
        let of = |bound| of_interfaces(interfaces.iter().map(|text| text.parse().unwrap()), bound);
        assert_eq!(of(ANY), ["10.99.0.2".parse::<IpAddr>().unwrap()]);
        assert_eq!(of(ANY_V6), ["10.99.0.2", "2001:db8::5"].map(|text| text.parse::<IpAddr>().unwrap()));
    }

    #[test]
    fn a_socket_of_both_families_announces_no_mapped_address() {
        let addresses = local_addresses(ANY_V6);
        assert!(addresses.iter().all(|address| address.to_canonical() == *address), "{addresses:?}");
        assert!(addresses.ends_with(&[Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()]), "{addresses:?}");
    }
}
