//! What comes on a TCP connection of WebRTC: the frames are the same wherever the bytes are cut, and written they are these bytes.

use onmic_rtc::transport::framing::{self, HEADER};

/// Takes one input: the first byte says how long the reads are.
pub fn run(data: &[u8]) {
    let Some((&cut, sent)) = data.split_first() else { return };
    let (whole, rest) = frames(sent, sent.len().max(1));
    let mut written = Vec::new();
    whole.iter().for_each(|frame| framing::append(frame, &mut written));
    written.extend_from_slice(&rest);
    assert!(sent.starts_with(&written));
    let (cut, _) = frames(sent, usize::from(cut) + 1);
    assert_eq!(whole, cut);
}

/// Returns the frames that come by reads of `size` bytes, and the bytes after the last whole one, up to a frame that is too large.
fn frames(sent: &[u8], size: usize) -> (Vec<Vec<u8>>, Vec<u8>) {
    let (mut frames, mut held) = (Vec::new(), Vec::new());
    for read in sent.chunks(size) {
        held.extend_from_slice(read);
        loop {
            match framing::first(&held) {
                Ok(Some(length)) => frames.push(held.drain(..length).skip(HEADER).collect()),
                Ok(None) => break,
                Err(_) => return (frames, held),
            }
        }
    }
    (frames, held)
}
