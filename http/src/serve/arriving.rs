//! Bodies of requests on their way from the peer.
//!
//! A peer may announce a body and send none. So a request keeps the place of its connection from the end of its body on, or from its
//! head if it has no body.
//!
//! A route that refuses a request leaves its body, while the peer goes on sending it. If the connection were closed then, the system
//! would reset it, and the peer would not see the answer. So the task of a connection of HTTP/1.1 reads the rest and throws it away, up to
//! [`REST_BYTES`] and [`REST_TIME`]. By HTTP/2 the stream is reset, which takes the answer from nobody, and a peer that waits for
//! `100 Continue` has sent nothing yet.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Version, header};
use hyper::body::{Frame, Incoming, SizeHint};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::{Conversation, Open};

/// The most bytes of the rest of a body that are read: somewhat more than any body may have.
const REST_BYTES: usize = 4 << 20;

/// The longest time for which they are read.
const REST_TIME: Duration = Duration::from_secs(2);

/// A body that has not arrived whole.
pub(super) struct Arriving {
    /// `None` once it was left.
    body: Option<Incoming>,
    /// A route may keep the body for longer than the request is open.
    open: Weak<Open>,
    /// Where its rest is read if a route leaves it. A route may keep the body for longer than the connection lives, whose place must be
    /// free then.
    leaves_to: Option<Weak<Conversation>>,
}

impl Arriving {
    /// Lets the body of a request arrive that is `open`.
    pub(super) fn begin(request: hyper::Request<Incoming>, open: &Arc<Open>) -> hyper::Request<Body> {
        let is_sent = request.version() < Version::HTTP_2 && !request.headers().contains_key(header::EXPECT);
        request.map(|body| {
            if body.is_end_stream() {
                open.count(true);
                return Body::empty();
            }
            let leaves_to = is_sent.then(|| Arc::downgrade(&open.conversation));
            Body::new(Self { body: Some(body), open: Arc::downgrade(open), leaves_to })
        })
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        let rest = self.body.take().filter(|body| !body.is_end_stream());
        let conversation = self.leaves_to.take().and_then(|conversation| conversation.upgrade());
        if let Some((rest, conversation)) = rest.zip(conversation) {
            conversation.rest.leave(rest);
        }
    }
}

impl HttpBody for Arriving {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(&mut *body).poll_frame(context));
        if (frame.is_none() || body.is_end_stream())
            && let Some(open) = self.open.upgrade()
        {
            open.count(true);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(HttpBody::size_hint).unwrap_or_default()
    }
}

/// The rest of the body that a route of a connection has left. HTTP/1.1 has one body at a time.
#[derive(Default)]
pub(super) struct Rest {
    left: Mutex<Option<Incoming>>,
    is_left: Notify,
}

impl Rest {
    fn leave(&self, rest: Incoming) {
        *self.left.lock() = Some(rest);
        self.is_left.notify_one();
    }

    /// Reads what is left, for as long as the connection lives.
    pub(super) async fn read(&self) -> Infallible {
        loop {
            self.is_left.notified().await;
            let Some(mut rest) = self.left.lock().take() else { continue };
            let reading = async {
                let mut bytes = 0;
                while bytes < REST_BYTES
                    && let Some(Ok(frame)) = poll_fn(|context| Pin::new(&mut rest).poll_frame(context)).await
                {
                    bytes += frame.data_ref().map_or(0, Bytes::len);
                }
            };
            let _ = timeout(REST_TIME, reading).await;
        }
    }
}
