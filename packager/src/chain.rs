//! Holds bytes in pieces, so that received bytes are sent on without a copy.

use std::ops::Range;

use bytes::Bytes;
use onmic_media::Frame;

/// Holds pieces that are read as one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    pieces: Vec<Bytes>,
    length: usize,
}

impl Chain {
    /// Appends a piece.
    pub fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.length += piece.len();
            self.pieces.push(piece);
        }
    }

    /// Appends all pieces of another chain. The bytes are shared.
    pub fn append(&mut self, other: &Self) {
        self.length += other.length;
        self.pieces.extend_from_slice(&other.pieces);
    }

    /// Returns the sum of the pieces' lengths.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Returns what keeping it costs, in bytes. A piece is a frame's payload, or stands beside some.
    pub fn cost(&self) -> usize {
        self.length + self.pieces.len() * Frame::OVERHEAD
    }

    /// Returns whether the chain has no bytes.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Returns the pieces in order.
    pub fn pieces(&self) -> &[Bytes] {
        &self.pieces
    }

    /// Returns the pieces in order, owned.
    pub fn into_pieces(self) -> Vec<Bytes> {
        self.pieces
    }

    /// Returns the bytes of `range`, as far as they exist.
    pub fn slice(&self, range: Range<usize>) -> Self {
        let mut slice = Self::default();
        let mut start = 0;
        for piece in &self.pieces {
            let from = range.start.clamp(start, start + piece.len()) - start;
            let to = range.end.clamp(start, start + piece.len()) - start;
            if from < to {
                slice.push(piece.slice(from..to));
            }
            start += piece.len();
        }
        slice
    }

    /// Returns a copy of all bytes, for tests and files.
    pub fn to_vec(&self) -> Vec<u8> {
        self.pieces.concat()
    }
}

impl From<Bytes> for Chain {
    fn from(piece: Bytes) -> Self {
        let mut chain = Self::default();
        chain.push(piece);
        chain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_of_the_chain_equals_the_slice_of_its_bytes() {
        let mut chain = Chain::default();
        for piece in ["ab", "", "cde", "f"] {
            chain.push(Bytes::from_static(piece.as_bytes()));
        }
        let whole = chain.to_vec();
        assert_eq!(whole, b"abcdef");
        assert_eq!(chain.cost(), 6 + 3 * Frame::OVERHEAD);
        for start in 0..=6 {
            for end in start..=8 {
                let slice = chain.slice(start..end);
                assert_eq!(slice.to_vec(), whole[start..end.min(6)]);
                assert_eq!(slice.len(), end.min(6) - start);
            }
        }
    }
}
