//! The messages between the two processes, over the child's standard input and output.

use std::io::{self, Read, Write};

/// One message: a tag and a text.
pub type Message = (u8, String);

/// Asks the child for an offer.
pub const JOIN: u8 = b'j';
/// Gives the child the answer to its last offer.
pub const ANSWER: u8 = b'a';
/// Asks the child to open this many sockets that only receive. The child replies with their
/// addresses.
pub const SINKS: u8 = b's';
/// Tells the child to begin counting.
pub const BEGIN: u8 = b'b';
/// Tells the child to end counting. The child replies with its report.
pub const END: u8 = b'e';
/// Gives an offer of the child.
pub const OFFER: u8 = b'o';

pub fn write(out: &mut impl Write, tag: u8, text: &str) -> io::Result<()> {
    let length = u32::try_from(text.len()).map_err(io::Error::other)?;
    out.write_all(&[tag])?;
    out.write_all(&length.to_be_bytes())?;
    out.write_all(text.as_bytes())?;
    out.flush()
}

pub fn read(from: &mut impl Read) -> io::Result<Message> {
    let mut head = [0; 5];
    from.read_exact(&mut head)?;
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
    let mut text = vec![0; length as usize];
    from.read_exact(&mut text)?;
    Ok((head[0], String::from_utf8(text).map_err(io::Error::other)?))
}
