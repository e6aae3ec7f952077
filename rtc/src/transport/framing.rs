//! The framing of datagrams on a TCP connection: 16 bits of length before each (RFC 4571, RFC 6544 10).

/// The bytes before each datagram.
pub const HEADER: usize = 2;

/// The most bytes of a datagram that is taken. The largest that a peer has a use for is a DTLS record of 2¹⁴ bytes with its overhead
/// (RFC 6347 4.1); media and checks stay within a packet of the network.
pub const FRAME_BYTES: usize = (1 << 14) + 1024;

/// The peer states a datagram of more than [`FRAME_BYTES`]. What follows cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {0} bytes is larger than any datagram of a session")]
pub struct TooLarge(pub usize);

/// Returns the length of the first frame, header included, and `None` if the bytes end before it does. A frame may be empty, and means
/// nothing then (RFC 4571 2).
pub fn first(bytes: &[u8]) -> Result<Option<usize>, TooLarge> {
    let Some(length) = bytes.first_chunk::<HEADER>() else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes(*length));
    if length > FRAME_BYTES {
        return Err(TooLarge(length));
    }
    Ok((HEADER + length <= bytes.len()).then_some(HEADER + length))
}

/// Appends a datagram with its header. One of more than 65,535 bytes has no frame, and nothing sends one.
pub fn append(datagram: &[u8], out: &mut Vec<u8>) {
    let Ok(length) = u16::try_from(datagram.len()) else { return };
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(datagram);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_come_out_as_they_went_in_wherever_the_bytes_are_cut() {
        let datagrams: [&[u8]; 4] = [b"check", b"", &[7; 1200], b"x"];
        let mut sent = Vec::new();
        datagrams.iter().for_each(|datagram| append(datagram, &mut sent));
        for cut in 1..sent.len() {
            let (mut got, mut held) = (Vec::new(), Vec::new());
            for piece in sent.chunks(cut) {
                held.extend_from_slice(piece);
                while let Some(length) = first(&held).unwrap() {
                    got.push(held.drain(..length).skip(HEADER).collect::<Vec<_>>());
                }
            }
            assert_eq!((got, held.len()), (datagrams.map(<[u8]>::to_vec).to_vec(), 0));
        }
    }

    #[test]
    fn a_frame_that_no_datagram_fills_is_refused_before_its_bytes_come() {
        assert_eq!(first(&[0xff, 0xff]), Err(TooLarge(65_535)));
        let largest = u16::try_from(FRAME_BYTES).unwrap().to_be_bytes();
        assert_eq!((first(&largest), first(&[0xff]), first(&[])), (Ok(None), Ok(None), Ok(None)));
    }
}
