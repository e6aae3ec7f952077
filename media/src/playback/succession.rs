//! How a player goes over to another form of a track that it reads, without a hole: the other form is opened and read
//! aside, and takes over at a keyframe.
//!
//! A conversion is a little behind its original, so its keyframes are of a time that the player has had. The player
//! therefore waits once, until the conversion has come to where the player is and a keyframe that is asked for then is
//! there: two frames or so, and the time to encode them. Then it gets the original up to that keyframe, and the other form from it on.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::reading::Reading;
use crate::feed::{Demand, Unavailable};
use crate::life::AGAIN;
use crate::ring::{Join, Read};

/// An encoder makes keyframes that are asked for at least this far apart, and it begins with one.
const SPACING_MICROS: i64 = 600_000;

/// The longest wait for the keyframe. After it the player goes on, and another keyframe is asked for.
const WAIT_MICROS_MAX: i64 = 500_000;

/// The form that is being opened.
pub(super) type Opened = Pin<Box<dyn Future<Output = Result<Demand, Unavailable>> + Send>>;

/// The other form of a track, until it takes over.
pub(super) struct Successor(State);

enum State {
    Opening(Opened),
    Aside {
        reading: Box<Reading>,
        /// Decoding time of the first frame that was read, here or since the line went on without the keyframe.
        since: Option<i64>,
        /// The line waits.
        waits: bool,
        asked: bool,
    },
}

/// What the line that is to be replaced does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It goes on.
    GoOn,
    /// It gives out no frame until the keyframe is there.
    Wait,
    /// It gives out what is due before this time. Then it is replaced.
    Until(i64),
    /// The other form could not be opened, or has ended.
    Failed(Unavailable),
}

impl Successor {
    pub(super) fn new(opened: Opened) -> Self {
        Self(State::Opening(opened))
    }

    /// The reading that takes over.
    pub(super) fn into_reading(self) -> Option<Box<Reading>> {
        match self.0 {
            State::Opening(_) => None,
            State::Aside { reading, .. } => Some(reading),
        }
    }

    /// Reads on beside `line`.
    pub(super) fn poll(&mut self, line: &Reading, cx: &mut Context<'_>) -> Turn {
        if let State::Opening(opened) = &mut self.0 {
            match opened.as_mut().poll(cx) {
                Poll::Pending => return Turn::GoOn,
                Poll::Ready(Err(unavailable)) => return Turn::Failed(unavailable),
                Poll::Ready(Ok(demand)) => {
                    let mut reading = Box::new(Reading::new(demand, line.original, false));
                    reading.join(Join::Group, i64::MIN);
                    self.0 = State::Aside { reading, since: None, waits: false, asked: false };
                }
            }
        }
        let State::Aside { reading, since, waits, asked } = &mut self.0 else { return Turn::GoOn };
        loop {
            if let Some(read) = reading.poll(cx) {
                if matches!(read, Read::Ended) {
                    let codec = line.demand.track().parameters().codec();
                    let sentence = "the conversion ended before it was shown".to_owned();
                    return Turn::Failed(Unavailable::Failed { codec, sentence, again: Some(AGAIN) });
                }
                continue;
            }
            let Some(pending) = &reading.pending else { break };
            if pending.frame.keyframe && pending.dts_micros > line.last_micros() {
                return Turn::Until(pending.dts_micros);
            }
            let at = pending.dts_micros;
            reading.pending = None;
            *waits |= at - *since.get_or_insert(at) >= SPACING_MICROS;
            // A keyframe that is asked for now is of a later time than all that the player has.
            if *waits && !*asked && at >= line.last_micros() {
                *asked = true;
                reading.demand.track().want_keyframe();
            }
        }
        if *waits && line.behind_micros() > WAIT_MICROS_MAX {
            (*since, *waits, *asked) = (None, false, false);
        }
        if *waits { Turn::Wait } else { Turn::GoOn }
    }
}

impl std::fmt::Debug for Successor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            State::Opening(_) => f.write_str("Opening"),
            State::Aside { reading, .. } => reading.fmt(f),
        }
    }
}
