//! Answers on their way to the peer, and what ends them before they are sent.
//!
//! The *carrier* of an answer is the task that sends it: by HTTP/1.1 that of its connection, by HTTP/2 one of its own. After each of
//! its turns a carrier looks at its answer ([`Watch`]). An answer *stands still* while it has a piece that the peer does not take:
//!
//! - After [`STALLED`] its request keeps no place any more, until the peer goes on.
//! - After the write timeout an answer by HTTP/2 ends, and its stream is reset. Flow control there is for each stream, and the peer may
//!   open no window although it reads everything. By HTTP/1.1 the socket itself has this deadline (see `socket`).
//!
//! An answer that has nothing to send does not stand still, however long that takes.
//!
//! By HTTP/2 hyper hands a piece over as soon as the peer takes one byte of it, and then asks for the next one. It forgets an answer
//! whose last piece it has handed over, and that piece, with the whole that it was cut from, would stay for as long as the peer liked. So
//! the last byte of an answer is a piece of its own. Nobody knows which piece of a stream is its last, so each one of more than
//! [`UNWATCHED_BYTES`] has its last byte apart.
//!
//! An answer may be held by a permit ([`held_by`]). When that ends, the answer is over: the peer sees its end if it takes what there is at
//! once ([`GOODBYE`]), and else the carrier is dropped.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::response::Response;
use hyper::body::{Frame, SizeHint};
use hyper_util::rt::TokioExecutor;
use onmic_media::{Asked, Closed, DropReason, Permit};
use parking_lot::Mutex;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{GOODBYE, Open};

/// How long an answer may stand still and keep its place.
pub(super) const STALLED: Duration = Duration::from_secs(1);

/// The largest piece of an answer by HTTP/2. It is a frame of the default size (RFC 9113 4.2). The peer has to take each piece within
/// the write timeout, so a slow one needs pieces that are small.
const PIECE_BYTES: usize = 16 << 10;

/// The most bytes at the end of a stream by HTTP/2 that the peer may leave for as long as it likes. They are as many as a stream costs
/// anyway.
const UNWATCHED_BYTES: usize = 1 << 10;

/// Lets `permit` hold an answer, which ends with it whatever its body does and whether the peer takes it or not.
pub fn held_by(permit: Permit, mut answer: Response) -> Response {
    answer.extensions_mut().insert(Arc::new(permit));
    answer
}

/// What holds an answer, and by which protocol it was asked for.
pub(super) struct Terms {
    permit: Option<Arc<Permit>>,
    asked: Asked,
}

impl Terms {
    /// Takes the terms that the route and the door have left in an answer.
    pub(super) fn take(answer: &mut Response) -> Self {
        let extensions = answer.extensions_mut();
        Self { permit: extensions.remove(), asked: extensions.remove().unwrap_or(Asked::Http) }
    }
}

tokio::task_local! {
    /// The carrier whose turn it is.
    static CARRIER: Arc<Carrier>;
}

/// What a carrier shares with the answer that it sends.
#[derive(Default)]
pub(super) struct Carrier(Mutex<Option<Course>>);

/// An answer on its way.
struct Course {
    open: Arc<Open>,
    terms: Terms,
    /// When the permit was seen to have ended.
    ended: Option<Instant>,
    /// Why its carrier was dropped.
    cut: Option<Cut>,
    /// The moment since which a piece waits to be taken. `None` while there is nothing to send.
    waits_since: Option<Instant>,
}

impl Course {
    /// Returns why the server ends the answer before it is sent, if it does.
    fn closed(&self) -> Option<Closed> {
        let ended = self.terms.permit.as_ref().and_then(|permit| permit.ended()).map(Closed::from);
        let is_cut = || self.cut.is_some() || self.open.conversation.is_cut();
        ended.or_else(|| is_cut().then_some(Closed::Slow))
    }
}

/// Why an answer ends before it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// The peer takes nothing.
    NotRead,
    /// Its permit has ended, and the peer does not take the end.
    PermitEnded,
}

impl Cut {
    /// Counts it as a drop. The end of a permit is counted where it is ended.
    pub(super) fn count(self) {
        match self {
            Self::NotRead => DropReason::HttpNotRead.count(1),
            Self::PermitEnded => {}
        }
    }
}

/// When a carrier has to look at its answer again.
enum Look {
    Cut(Cut),
    At(Instant),
    InItsNextTurn,
}

impl Carrier {
    /// Looks at the answer. `patience` is how long it may stand still. The task of `context` is woken when its permit ends.
    fn look(&self, now: Instant, patience: Option<Duration>, context: &mut Context<'_>) -> Look {
        let mut course = self.0.lock();
        let Some(course) = course.as_mut() else { return Look::InItsNextTurn };
        if course.terms.permit.as_ref().is_some_and(|permit| permit.poll_ended(context).is_ready()) {
            course.ended.get_or_insert(now);
        }
        let over = course.ended.map(|ended| ended + GOODBYE);
        let late = course.waits_since.zip(patience).map(|(since, patience)| since + patience);
        let stalled = course.waits_since.map(|since| since + STALLED);
        let is_past = |moment: Option<Instant>| moment.is_some_and(|moment| moment <= now);
        course.cut = match (is_past(over), is_past(late)) {
            (true, _) => Some(Cut::PermitEnded),
            (false, true) => Some(Cut::NotRead),
            (false, false) => None,
        };
        if let Some(cut) = course.cut {
            return Look::Cut(cut);
        }
        if is_past(stalled) {
            course.open.count(false);
        }
        let stalled = stalled.filter(|_| course.open.counts());
        [over, late, stalled].into_iter().flatten().min().map_or(Look::InItsNextTurn, Look::At)
    }

    /// Returns whether the permit of the answer has ended.
    fn is_over(&self) -> bool {
        let course = self.0.lock();
        course.as_ref().and_then(|course| course.terms.permit.as_ref()).is_some_and(|permit| permit.ended().is_some())
    }

    /// Notes that the piece before has been taken, and whether another one waits.
    fn note(&self, waits: bool) {
        if let Some(course) = self.0.lock().as_mut() {
            course.waits_since = waits.then(Instant::now);
            course.open.count(true);
        }
    }
}

/// Lets a carrier send its answers, and finds out when one of them has to end.
pub(super) struct Watch {
    carrier: Arc<Carrier>,
    patience: Option<Duration>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Watch {
    /// Makes the watch of a carrier whose answers may stand still for `patience`.
    pub(super) fn new(patience: Option<Duration>) -> Self {
        Self { carrier: Arc::default(), patience, timer: None }
    }

    /// Gives `sending` its turn. An error means that it has to be dropped, which ends its answer.
    pub(super) fn poll<F: Future>(
        &mut self,
        sending: Pin<&mut F>,
        context: &mut Context<'_>,
    ) -> Poll<Result<F::Output, Cut>> {
        if let Poll::Ready(output) = CARRIER.sync_scope(self.carrier.clone(), || sending.poll(context)) {
            return Poll::Ready(Ok(output));
        }
        loop {
            let due = match self.carrier.look(Instant::now(), self.patience, context) {
                Look::Cut(cut) => return Poll::Ready(Err(cut)),
                Look::At(due) => due,
                Look::InItsNextTurn => return Poll::Pending,
            };
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
            if timer.deadline() != due {
                timer.as_mut().reset(due);
            }
            ready!(timer.as_mut().poll(context));
        }
    }
}

/// Starts the tasks of HTTP/2: each carries the answer to one request. Dropping one resets its stream.
#[derive(Clone, Debug)]
pub(super) struct Streams {
    /// How long an answer may stand still.
    pub(super) write_timeout: Duration,
}

impl<F: Future<Output: Send> + Send + 'static> hyper::rt::Executor<F> for Streams {
    fn execute(&self, sending: F) {
        let mut watch = Watch::new(Some(self.write_timeout));
        TokioExecutor::new().execute(async move {
            let mut sending = pin!(sending);
            if let Err(cut) = poll_fn(|context| watch.poll(sending.as_mut(), context)).await {
                cut.count();
                tracing::debug!(?cut, "a stream of HTTP/2 is reset");
            }
        });
    }
}

/// The body of an answer on its way.
pub(super) struct Answer {
    body: Body,
    /// What is left of a piece that was cut.
    rest: Bytes,
    piece_bytes: usize,
    /// Whether the last byte is a piece of its own.
    ends_apart: bool,
    carrier: Arc<Carrier>,
}

impl Answer {
    /// Begins to send `body` in the task of its carrier, as the answer to the request that is `open`.
    pub(super) fn new(body: Body, open: Arc<Open>, terms: Terms, is_http_2: bool) -> Self {
        let carrier = CARRIER.try_with(Arc::clone).unwrap_or_default();
        *carrier.0.lock() = Some(Course { open, terms, ended: None, cut: None, waits_since: None });
        let piece_bytes = if is_http_2 { PIECE_BYTES } else { usize::MAX };
        Self { body, rest: Bytes::new(), piece_bytes, ends_apart: is_http_2, carrier }
    }

    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() {
            let frame = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => frame,
                end => return Poll::Ready(end),
            };
            match frame.into_data() {
                Ok(data) => self.rest = data,
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
        let mut length = self.rest.len().min(self.piece_bytes);
        if self.ends_apart && length == self.rest.len() && length > self.last_bytes() {
            length -= 1;
            let last = Bytes::copy_from_slice(&self.rest[length..]);
            let piece = std::mem::replace(&mut self.rest, last).split_to(length);
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(length)))))
    }

    /// Returns how many bytes the last piece may have, if the one that was taken last is that.
    fn last_bytes(&self) -> usize {
        match self.body.size_hint().exact() {
            Some(0) => 1,
            Some(_) => usize::MAX, // It is not the last.
            None if self.body.is_end_stream() => 1,
            None => UNWATCHED_BYTES,
        }
    }

    /// Returns the last piece of an answer that is over: one byte of what was begun, for which the peer has to take all before it.
    fn poll_last(&mut self) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let rest = std::mem::take(&mut self.rest);
        let last = rest.get(..1).filter(|_| self.ends_apart).map(Bytes::copy_from_slice);
        Poll::Ready(last.map(|last| Ok(Frame::data(last))))
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        // hyper asks for a piece when it has sent the one before.
        let piece = if self.carrier.is_over() { self.poll_last() } else { self.poll_piece(context) };
        self.carrier.note(matches!(piece, Poll::Ready(Some(Ok(_)))));
        piece
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (hint, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut whole = SizeHint::new();
        whole.set_lower(hint.lower() + rest);
        if let Some(upper) = hint.upper() {
            whole.set_upper(upper + rest);
        }
        whole
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let course = self.carrier.0.lock().take();
        if let Some((course, closed)) = course.as_ref().and_then(|course| Some((course, course.closed()?))) {
            closed.count(course.terms.asked);
        }
    }
}
