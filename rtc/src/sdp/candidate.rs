//! The server's candidates (RFC 8839 5.1, RFC 6544 4.5): the addresses at which a peer reaches it.
//!
//! All are host candidates, because an ICE-lite server is where it says it is. Any of UDP is better than any of TCP, whose peers open the
//! connections.

use std::net::SocketAddr;

use rtc_sdp::description::common::Attribute;

use super::attribute::{flag, value};

/// The preferences of the two types (RFC 8445 5.1.2.2). UDP has the one that host candidates should have. Browsers give theirs of TCP 90.
const UDP_PREFERENCE: u32 = 126;
const TCP_PREFERENCE: u32 = 90;
/// The preference of a passive candidate of TCP (RFC 6544 4.2), above the 13 bits that tell addresses apart.
const PASSIVE: u32 = 4 << 13;

/// An address of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Candidate {
    /// An address of UDP.
    Udp(SocketAddr),
    /// An address of TCP, where the server waits for connections.
    Tcp(SocketAddr),
}

impl Candidate {
    /// Returns the address, of either protocol.
    pub fn address(self) -> SocketAddr {
        match self {
            Self::Udp(address) | Self::Tcp(address) => address,
        }
    }
}

impl From<SocketAddr> for Candidate {
    fn from(address: SocketAddr) -> Self {
        Self::Udp(address)
    }
}

/// Returns the attributes of these candidates, the preferred of each protocol first, and the line that ends them.
pub(super) fn candidate_attributes(candidates: &[Candidate]) -> Vec<Attribute> {
    let lines = candidates.iter().enumerate().map(|(at, candidate)| {
        let foundation = at + 1;
        let before = u32::try_from(at).unwrap_or(u32::MAX); // Each has another priority.
        let (protocol, preference, address, end) = match candidate {
            Candidate::Udp(address) => {
                ("udp", UDP_PREFERENCE << 24 | 0xffff_u32.saturating_sub(before) << 8, address, "")
            }
            Candidate::Tcp(address) => {
                let local = PASSIVE | 0x1fff_u32.saturating_sub(before);
                ("tcp", TCP_PREFERENCE << 24 | local << 8, address, " tcptype passive")
            }
        };
        let (priority, ip, port) = (preference | 255, address.ip(), address.port());
        value("candidate", format!("{foundation} 1 {protocol} {priority} {ip} {port} typ host{end}"))
    });
    lines.chain([flag("end-of-candidates")]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_candidate_of_udp_is_better_than_any_of_tcp_and_the_first_of_each_is_the_best() {
        let addresses = [9, 8, 7].map(|last| SocketAddr::from(([192, 0, 2, last], 8189)));
        let candidates: Vec<_> =
            addresses.map(Candidate::Udp).into_iter().chain(addresses.map(Candidate::Tcp)).collect();
        let lines: Vec<_> = candidate_attributes(&candidates).iter().map(ToString::to_string).collect();
        assert_eq!(lines[0], "candidate:1 1 udp 2130706431 192.0.2.9 8189 typ host");
        assert_eq!(lines[3], "candidate:4 1 tcp 1520434431 192.0.2.9 8189 typ host tcptype passive");
        let priority = |line: &String| line.split(' ').nth(3).and_then(|word| word.parse::<u32>().ok());
        let priorities: Vec<_> = lines.iter().filter_map(priority).collect();
        assert!(priorities.is_sorted_by(|one, next| one > next) && priorities.len() == 6, "{priorities:?}");
    }
}
