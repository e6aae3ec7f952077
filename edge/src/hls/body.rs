//! A response body of shared pieces: nothing is copied, and the length is known.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::vec::IntoIter;

use axum::body::HttpBody;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use onmic_packager::Chain;

/// Sends a chain of shared pieces as a response body.
pub(crate) struct ChainBody {
    pieces: IntoIter<Bytes>,
    left: u64,
}

impl From<Chain> for ChainBody {
    fn from(chain: Chain) -> Self {
        Self { left: chain.len() as u64, pieces: chain.into_pieces().into_iter() }
    }
}

impl HttpBody for ChainBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.pieces.next();
        self.left -= piece.as_ref().map_or(0, Bytes::len) as u64;
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
