//! The PROXY protocol (versions 1 and 2): a TCP proxy writes the client's address in front of what the client sends.
//!
//! The header is read from trusted proxies only, and may be left out: no RTMP or TLS client begins with the first byte
//! of one. A proxy's check of its own names no client ([`ppp::v2::Command::Local`]).

use std::io;
use std::net::SocketAddr;

use ppp::{HeaderResult, v1, v2};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// The shortest header of either version: `PROXY UNKNOWN` with its line end.
const SHORTEST: usize = 15;
/// The longest line of version 1, with its line end.
const LINE_MAX: usize = 107;
/// Version 2 states its length in two bytes, after its signature and two bytes more.
const V2_FIXED: usize = 16;
/// The longest header of version 2 that is read. Addresses and what load balancers add take a few hundred bytes.
const V2_MAX: usize = 4096;

/// Reads the header, if the stream begins with one, and nothing behind it. Returns the client's address, unless the
/// header leaves it out.
///
/// # Errors
/// Fails if the stream breaks, or if what looks like a header is not a header.
pub(super) async fn read_client(stream: &mut TcpStream) -> io::Result<Option<SocketAddr>> {
    let mut first = [0];
    if stream.peek(&mut first).await? == 0 || !matches!(first[0], b'P' | b'\r') {
        return Ok(None);
    }
    let mut header = vec![0; SHORTEST];
    stream.read_exact(&mut header).await?;
    if header.starts_with(v2::PROTOCOL_PREFIX) {
        extend(stream, &mut header, V2_FIXED).await?;
        let length = V2_FIXED + usize::from(u16::from_be_bytes([header[14], header[15]]));
        if length > V2_MAX {
            return Err(malformed(format!("a header of {length} bytes, {V2_MAX} are allowed")));
        }
        extend(stream, &mut header, length).await?;
    } else {
        while !header.ends_with(b"\n") && header.len() < LINE_MAX {
            let length = header.len() + 1;
            extend(stream, &mut header, length).await?;
        }
    }
    match HeaderResult::parse(&header) {
        HeaderResult::V1(Ok(header)) => Ok(client_of_line(&header.addresses)),
        HeaderResult::V2(Ok(header)) => Ok(client_of_block(&header)),
        HeaderResult::V1(Err(error)) => Err(malformed(error)),
        HeaderResult::V2(Err(error)) => Err(malformed(error)),
    }
}

async fn extend(stream: &mut TcpStream, header: &mut Vec<u8>, length: usize) -> io::Result<()> {
    let known = header.len();
    header.resize(length.max(known), 0);
    stream.read_exact(&mut header[known..]).await?;
    Ok(())
}

fn malformed(what: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn client_of_line(addresses: &v1::Addresses) -> Option<SocketAddr> {
    match addresses {
        v1::Addresses::Tcp4(ipv4) => Some((ipv4.source_address, ipv4.source_port).into()),
        v1::Addresses::Tcp6(ipv6) => Some((ipv6.source_address, ipv6.source_port).into()),
        v1::Addresses::Unknown => None,
    }
}

fn client_of_block(header: &v2::Header<'_>) -> Option<SocketAddr> {
    match (header.command, header.addresses) {
        (v2::Command::Proxy, v2::Addresses::IPv4(ipv4)) => Some((ipv4.source_address, ipv4.source_port).into()),
        (v2::Command::Proxy, v2::Addresses::IPv6(ipv6)) => Some((ipv6.source_address, ipv6.source_port).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    /// Sends `bytes` in pieces. Returns what was read of them as a header, and what is left behind it.
    async fn read(bytes: &[u8]) -> (io::Result<Option<SocketAddr>>, Vec<u8>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        let sending = async {
            for piece in bytes.chunks(7) {
                client.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            client.shutdown().await.unwrap();
        };
        let (header, ()) = tokio::join!(read_client(&mut stream), sending);
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
        (header, rest)
    }

    fn v2(command_and_family: [u8; 2], block: &[u8]) -> Vec<u8> {
        let length = u16::try_from(block.len()).unwrap().to_be_bytes();
        [v2::PROTOCOL_PREFIX, &command_and_family, &length, block].concat()
    }

    #[tokio::test]
    async fn both_versions_name_the_client_and_leave_what_follows() {
        let ipv4 = [203, 0, 113, 7, 10, 0, 0, 1, 0xdb, 0xb5, 0x07, 0x8f];
        let ipv6 = [[0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7], [0; 16]].concat();
        let ipv6 = [&ipv6[..], &[0xdb, 0xb5, 0x07, 0x8f], &[0x04, 0, 1, 0x55]].concat(); // With a field more.
        for (header, client) in [
            (b"PROXY TCP4 203.0.113.7 10.0.0.1 56245 1935\r\n".to_vec(), Some("203.0.113.7:56245")),
            (b"PROXY TCP6 2001:db8::7 ::1 56245 1935\r\n".to_vec(), Some("[2001:db8::7]:56245")),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(), None),
            (v2([0x21, 0x11], &ipv4), Some("203.0.113.7:56245")),
            (v2([0x21, 0x21], &ipv6), Some("[2001:db8::7]:56245")),
            (v2([0x20, 0x00], &[]), None),
            (v2([0x20, 0x11], &ipv4), None),
            (Vec::new(), None),
        ] {
            let (read, rest) = read(&[&header[..], b"\x03the rest"].concat()).await;
            assert_eq!(read.unwrap(), client.map(|client| client.parse().unwrap()), "{header:?}");
            assert_eq!(rest, b"\x03the rest", "{header:?}");
        }
    }

    #[tokio::test]
    async fn what_begins_like_a_header_and_is_none_is_an_error() {
        for wrong in [
            &b"PROXY TCP4 203.0.113.7\r\n"[..],
            b"PROXY TCP4 not.an.address 10.0.0.1 56245 1935\r\n",
            b"PUT /live HTTP/1.1\r\nhost: x\r\n\r\n",
            &[b'P'; 300],
            &v2([0x21, 0x11], &[0; V2_MAX]),
            &v2([0x21, 0x11], &[0; 3]),
            b"PROXY",
        ] {
            assert!(read(wrong).await.0.is_err(), "{wrong:?}");
        }
    }
}
