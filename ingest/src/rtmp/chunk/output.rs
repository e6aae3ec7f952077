//! The bytes that wait to be written: a queue of slices that goes to the socket without being joined.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

/// Holds pieces of outgoing bytes, in order. It is a [`Buf`], so `write_buf` sends many of them in one vectored write.
#[derive(Debug, Default)]
pub struct Output {
    pieces: VecDeque<Bytes>,
    remaining: usize,
}

impl Output {
    /// Appends `piece`, unless it is empty.
    pub fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.remaining += piece.len();
            self.pieces.push_back(piece);
        }
    }
}

impl Buf for Output {
    fn remaining(&self) -> usize {
        self.remaining
    }

    fn chunk(&self) -> &[u8] {
        self.pieces.front().map_or(&[], |piece| piece.as_ref())
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut filled = 0;
        for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
            *slice = IoSlice::new(piece);
            filled += 1;
        }
        filled
    }

    fn advance(&mut self, mut count: usize) {
        assert!(count <= self.remaining, "advanced past the end");
        self.remaining -= count;
        while let Some(front) = self.pieces.front_mut() {
            if count < front.len() {
                front.advance(count);
                return;
            }
            count -= front.len();
            self.pieces.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_writes_leave_the_rest_in_order() {
        let mut output = Output::default();
        for piece in ["abc", "", "de", "f"] {
            output.push(Bytes::from_static(piece.as_bytes()));
        }
        assert_eq!(output.remaining(), 6);
        output.advance(4);
        let mut slices = [IoSlice::new(&[]); 4];
        assert_eq!(output.chunks_vectored(&mut slices), 2);
        assert_eq!((&*slices[0], &*slices[1]), (&b"e"[..], &b"f"[..]));
        output.advance(2);
        assert!(!output.has_remaining() && output.chunk().is_empty());
    }
}
