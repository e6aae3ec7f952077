//! Bodies of requests on their way from the peer.
//!
//! A peer may announce a body and send none. So a request keeps the place of its connection from the end of its body on, or from its
//! head if it has no body.

use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, Incoming, SizeHint};

use super::Open;

/// A body that has not arrived whole.
pub(super) struct Arriving {
    body: Incoming,
    /// A route may keep the body for longer than the request is open.
    open: Weak<Open>,
}

impl Arriving {
    /// Lets `body` arrive, as that of the request that is `open`.
    pub(super) fn begin(body: Incoming, open: &Arc<Open>) -> Body {
        if body.is_end_stream() {
            open.count(true);
            return Body::empty();
        }
        Body::new(Self { body, open: Arc::downgrade(open) })
    }
}

impl HttpBody for Arriving {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if (frame.is_none() || self.body.is_end_stream())
            && let Some(open) = self.open.upgrade()
        {
            open.count(true);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
