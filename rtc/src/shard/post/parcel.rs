//! Parcels: what one shard hands another, and the queues that they wait in.
//!
//! A parcel has the datagrams of one turn, back to back, so a queue costs one step for many of them. Each shard has one queue for all others.
//! It is bounded in parcels and in bytes. Where it is full, the datagrams of a parcel are dropped and counted, because the next ones matter
//! more, and its notes wait for the next parcel.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use metrics::Counter;
use onmic_media::DropReason;
use tokio::sync::mpsc;

/// The most parcels that wait for one shard, and the most bytes of datagrams in them. A shard that is busy for 50 ms gets one from each turn of
/// all others.
const PARCELS: usize = 4096;
const WAITING_BYTES: usize = 8 << 20;
/// The most datagrams of one parcel, their bytes, and the most notes.
const DATAGRAMS: usize = 256;
const BYTES: usize = 256 << 10;
const NOTES: usize = 4096;

/// Datagrams for one shard, and what it has to know of addresses.
#[derive(Debug)]
pub(in super::super) struct Parcel {
    /// The shard that sends it.
    pub(super) from: usize,
    pub(super) bytes: Vec<u8>,
    pub(super) datagrams: Vec<Handed>,
    pub(super) notes: Vec<Note>,
}

/// A datagram of a parcel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Handed {
    pub(super) from: SocketAddr,
    pub(super) length: usize,
    /// Whether another session is known at its address, so that this one has to prove that it is there.
    pub(super) is_contested: bool,
}

/// What a shard tells another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Note {
    /// It has a session that has proved that it is at this address.
    Here(SocketAddr),
    /// It has none there any more.
    Gone(SocketAddr),
    /// It has a publisher that sends from this SSRC.
    Speaks(u32),
    /// It has none any more.
    Silent(u32),
    /// It has begun without sessions, and knows nothing of those of others.
    Begun,
}

/// The queues of all shards. They are cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Boxes(Arc<[Letterbox]>);

#[derive(Debug)]
struct Letterbox {
    parcels: mpsc::Sender<Parcel>,
    /// The bytes of datagrams that wait.
    waiting: Arc<AtomicUsize>,
}

/// The end of a shard's queue at which it reads.
#[derive(Debug)]
pub(crate) struct Inbox {
    parcels: mpsc::Receiver<Parcel>,
    waiting: Arc<AtomicUsize>,
}

impl Boxes {
    /// Makes a queue for each of `shards`. Returns the ends at which they are read, too.
    pub(crate) fn new(shards: usize) -> (Self, Vec<Inbox>) {
        let pair = |_| {
            let ((sender, receiver), waiting) = (mpsc::channel(PARCELS), Arc::<AtomicUsize>::default());
            let inbox = Inbox { parcels: receiver, waiting: waiting.clone() };
            (Letterbox { parcels: sender, waiting }, inbox)
        };
        let (boxes, inboxes): (Vec<_>, _) = (0..shards).map(pair).unzip();
        (Self(boxes.into()), inboxes)
    }

    /// Returns the number of shards.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Sends a parcel if it has anything, and leaves an empty one. If the queue is full, the notes stay.
    pub(super) fn send(&self, to: usize, parcel: &mut Parcel, handed_over: &Counter) {
        if parcel.is_empty() {
            return;
        }
        let (letterbox, bytes, datagrams) = (&self.0[to], parcel.bytes.len(), parcel.datagrams.len() as u64);
        let full = std::mem::replace(parcel, Parcel::empty(parcel.from));
        let before = letterbox.waiting.fetch_add(bytes, Ordering::Relaxed);
        let refused = match before + bytes <= WAITING_BYTES {
            true => letterbox.parcels.try_send(full).err().map(mpsc::error::TrySendError::into_inner),
            false => Some(full),
        };
        match refused {
            None => handed_over.increment(datagrams),
            Some(refused) => {
                letterbox.waiting.fetch_sub(bytes, Ordering::Relaxed);
                DropReason::RtcHandOverFull.count(datagrams);
                parcel.notes = refused.notes;
            }
        }
    }
}

impl Inbox {
    /// Waits for a parcel.
    pub(in super::super) async fn next(&mut self) -> Option<Parcel> {
        let parcel = self.parcels.recv().await;
        self.taken(parcel)
    }

    /// Returns a parcel that has come.
    pub(in super::super) fn try_next(&mut self) -> Option<Parcel> {
        let parcel = self.parcels.try_recv().ok();
        self.taken(parcel)
    }

    fn taken(&self, parcel: Option<Parcel>) -> Option<Parcel> {
        let bytes = parcel.as_ref().map_or(0, |parcel| parcel.bytes.len());
        self.waiting.fetch_sub(bytes, Ordering::Relaxed);
        parcel
    }
}

impl Parcel {
    pub(super) fn empty(from: usize) -> Self {
        Self { from, bytes: Vec::new(), datagrams: Vec::new(), notes: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.datagrams.is_empty() && self.notes.is_empty()
    }

    /// Returns whether a datagram of `length` bytes fits.
    pub(super) fn takes(&self, length: usize) -> bool {
        self.datagrams.len() < DATAGRAMS && self.bytes.len() + length <= BYTES
    }

    pub(super) fn push(&mut self, from: SocketAddr, datagram: &[u8], is_contested: bool) {
        self.bytes.extend_from_slice(datagram);
        self.datagrams.push(Handed { from, length: datagram.len(), is_contested });
    }

    /// Adds a note. One more than the most is forgotten: checks tell an address again. A publisher whose SSRC is not known is found by its
    /// next check after it has moved, and an SSRC that nobody sends from any more costs a place in a table.
    pub(super) fn note(&mut self, note: Note) {
        if self.notes.len() < NOTES {
            self.notes.push(note);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        ([203, 0, 113, 7], port).into()
    }

    #[test]
    fn a_parcel_has_a_bound_in_datagrams_and_in_bytes() {
        let mut parcel = Parcel::empty(0);
        for port in 0..DATAGRAMS as u16 {
            assert!(parcel.takes(100));
            parcel.push(address(port), &[7; 100], false);
        }
        assert!(!parcel.takes(1));
        let mut parcel = Parcel::empty(0);
        parcel.push(address(1), &vec![0; BYTES - 10], false);
        assert!(parcel.takes(10) && !parcel.takes(11));
        (0..2 * NOTES as u32).for_each(|ssrc| parcel.note(Note::Speaks(ssrc)));
        assert_eq!(parcel.notes.len(), NOTES);
    }

    #[test]
    fn a_full_queue_drops_datagrams_and_keeps_notes_for_later() {
        let (boxes, mut inboxes) = Boxes::new(2);
        let counted = Counter::noop();
        let mut parcel = Parcel::empty(0);
        let mut sent = 0;
        while parcel.notes.is_empty() {
            parcel.push(address(1), &vec![0; BYTES], false);
            parcel.note(Note::Here(address(1)));
            boxes.send(1, &mut parcel, &counted);
            sent += 1;
        }
        assert_eq!(sent, WAITING_BYTES / BYTES + 1);
        assert_eq!((parcel.datagrams.len(), &parcel.notes[..]), (0, &[Note::Here(address(1))][..]));
        assert_eq!(inboxes[1].try_next().unwrap().datagrams.len(), 1);
        parcel.push(address(2), &vec![0; BYTES], true);
        boxes.send(1, &mut parcel, &counted);
        assert!(parcel.is_empty(), "there is room again");
        let mut last = None;
        while let Some(parcel) = inboxes[1].try_next() {
            last = Some(parcel);
        }
        let last = last.unwrap();
        assert_eq!((last.notes.len(), last.datagrams[0].from), (1, address(2)));
        assert_eq!(inboxes[1].waiting.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn many_small_parcels_have_a_bound_too() {
        let (boxes, mut inboxes) = Boxes::new(1);
        let mut parcel = Parcel::empty(0);
        for _ in 0..2 * PARCELS {
            parcel.push(address(1), &[1], false);
            boxes.send(0, &mut parcel, &Counter::noop());
        }
        let waiting = std::iter::from_fn(|| inboxes[0].try_next()).count();
        assert_eq!((waiting, inboxes[0].waiting.load(Ordering::Relaxed)), (PARCELS, 0));
    }
}
