//! What a node keeps over a restart: the newest state and the bans of each room, events that are not delivered yet, and secrets
//! of its own.
//!
//! Callers put bytes, and never wait. One thread writes them ([`disk`]), several times a second, in one transaction for all that
//! has come meanwhile. What waits for it is bounded by what exists: of each room the newest record of each kind, and the events of
//! the outbox, which has a bound. So a disk that is slow or full makes nothing grow. It costs the changes since the last write, is
//! counted, and is said once a minute.
//!
//! The crate knows nothing of rooms and events but their keys.

mod disk;
mod kept;
mod key;
mod pending;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use metrics::counter;
use onmic_media::life::{Deaths, Lives, guarded};
use onmic_media::metric;
use parking_lot::{Condvar, Mutex};

pub use disk::Error;
pub use kept::Kept;
pub use key::{Key, Kind};

use disk::{Disk, File};
use pending::{Batch, Pending};

/// The least time between two writes, and so the most that a crash costs, together with the time of a write.
const WRITE_EVERY: Duration = Duration::from_millis(250);
/// How long to wait after a write that failed.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How often a disk that fails is told of.
const TELL_EVERY: Duration = Duration::from_secs(60);
/// How long the end of the node waits for the last write.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);
/// The name of the thread.
const THREAD: &str = "store";

/// Makes the bytes of a record, on the thread of the store.
pub type Render = Box<dyn Fn() -> Vec<u8> + Send>;

/// The store of a node. Share it behind an `Arc`, and end it with [`Store::close`].
pub struct Store {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Store")
    }
}

#[derive(Default)]
struct Shared {
    pending: Mutex<Pending>,
    bell: Condvar,
}

impl Store {
    /// Opens the file at `path`, or makes it, and starts the thread. Returns what was kept. A file that cannot be read is set
    /// aside beside it. `lives` is told if the thread dies and is not replaced.
    pub fn open(path: &Path, lives: Lives) -> Result<(Arc<Self>, Kept), Error> {
        let (file, kept) = File::open(path)?;
        Ok((Self::start(Box::new(file), &kept, lives)?, kept))
    }

    fn start(disk: Box<dyn Disk>, kept: &Kept, lives: Lives) -> Result<Arc<Self>, Error> {
        let shared = Arc::new(Shared::default());
        shared.pending.lock().begin(kept);
        let mut writer = Writer { shared: shared.clone(), disk, current: None, told: None };
        let thread = thread::Builder::new().name(THREAD.to_owned()).spawn(move || {
            let mut deaths = Deaths::default();
            while guarded(THREAD, || writer.run()).is_none() {
                if !deaths.may_begin_again(Instant::now()) {
                    return lives.fail(THREAD.to_owned());
                }
            }
        });
        let thread = Mutex::new(Some(thread.map_err(Error::Thread)?));
        Ok(Arc::new(Self { shared, thread }))
    }

    /// Keeps this record of a room, in place of every earlier one of its kind.
    pub fn put(&self, kind: Kind, room: &str, record: Render) {
        self.change(|pending| pending.put((kind, room.to_owned()), record));
    }

    /// Forgets the record of this kind of a room.
    pub fn remove(&self, kind: Kind, room: &str) {
        self.change(|pending| pending.remove((kind, room.to_owned())));
    }

    /// Keeps an event until it is removed. Events are read back in the order of their numbers.
    pub fn put_event(&self, number: u64, event: Vec<u8>) {
        self.change(|pending| pending.put_event(number, event));
    }

    /// Forgets an event.
    pub fn remove_event(&self, number: u64) {
        self.change(|pending| pending.remove_event(number));
    }

    /// Keeps a secret of the node.
    pub fn put_secret(&self, name: &'static str, secret: Vec<u8>) {
        self.change(|pending| pending.put_secret(name, secret));
    }

    fn change(&self, change: impl FnOnce(&mut Pending)) {
        change(&mut self.shared.pending.lock());
        self.shared.bell.notify_one();
    }

    /// Writes what waits, and ends the thread. Gives up on a disk that does not answer within two seconds.
    pub fn close(&self) {
        self.change(Pending::close);
        let Some(thread) = self.thread.lock().take() else { return };
        let begun = Instant::now();
        while !thread.is_finished() && begun.elapsed() < CLOSE_LIMIT {
            thread::sleep(Duration::from_millis(5));
        }
        if !thread.is_finished() {
            tracing::warn!("the disk of state.path does not answer; the last changes of rooms may be lost");
        }
    }
}

/// The work of the thread.
struct Writer {
    shared: Arc<Shared>,
    disk: Box<dyn Disk>,
    /// The changes that are being written. They are still here after a panic.
    current: Option<Batch>,
    /// When a failure was told last.
    told: Option<Instant>,
}

impl Writer {
    /// Writes until the store is closed.
    fn run(&mut self) {
        self.take_back();
        while let Some((batch, is_last)) = self.next() {
            let outcome = self.disk.write(self.current.insert(batch));
            let pause = match outcome {
                Ok(()) => {
                    counter!(metric::STATE_WRITES, "outcome" => "written").increment(1);
                    self.current.take().into_iter().for_each(|batch| self.shared.pending.lock().written(batch));
                    WRITE_EVERY
                }
                Err(error) => {
                    counter!(metric::STATE_WRITES, "outcome" => "failed").increment(1);
                    self.tell(&error);
                    self.take_back();
                    if is_last {
                        return;
                    }
                    RETRY_AFTER
                }
            };
            self.pause(pause);
        }
    }

    fn take_back(&mut self) {
        self.current.take().into_iter().for_each(|batch| self.shared.pending.lock().failed(batch));
    }

    /// Waits for something to write, and returns whether the store was closed before: then it is tried once. `None` once the
    /// store is closed and everything is written.
    fn next(&self) -> Option<(Batch, bool)> {
        let mut pending = self.shared.pending.lock();
        loop {
            if let Some(batch) = pending.take() {
                return Some((batch, pending.is_closed()));
            }
            if pending.is_closed() {
                return None;
            }
            self.shared.bell.wait(&mut pending);
        }
    }

    /// Lets changes gather for this long. The end of the node does not wait for it.
    fn pause(&self, pause: Duration) {
        let until = Instant::now() + pause;
        let mut pending = self.shared.pending.lock();
        while !pending.is_closed() && !self.shared.bell.wait_until(&mut pending, until).timed_out() {}
    }

    fn tell(&mut self, error: &Error) {
        let now = Instant::now();
        if self.told.is_none_or(|told| now.saturating_duration_since(told) >= TELL_EVERY) {
            self.told = Some(now);
            let error = error as &dyn std::error::Error;
            tracing::error!(
                error,
                "the state of rooms cannot be written; a restart now would go back to what was written last"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use super::*;

    /// A disk whose writes the test answers one by one.
    struct Slow {
        asked: SyncSender<Vec<String>>,
        answers: Receiver<Answer>,
    }

    enum Answer {
        Written,
        Full,
        Panic,
    }

    impl Disk for Slow {
        fn write(&mut self, batch: &Batch) -> Result<(), Error> {
            self.asked.send(batch.describe()).unwrap();
            match self.answers.recv().unwrap() {
                Answer::Written => Ok(()),
                Answer::Full => Err(Error::Io(std::io::ErrorKind::StorageFull.into())),
                Answer::Panic => panic!("a fault of the disk"),
            }
        }
    }

    fn slow() -> (Arc<Store>, Lives, Receiver<Vec<String>>, SyncSender<Answer>) {
        let (asked, writes) = sync_channel(100);
        let (answer, answers) = sync_channel(100);
        let lives = Lives::default();
        let store = Store::start(Box::new(Slow { asked, answers }), &Kept::default(), lives.clone()).unwrap();
        (store, lives, writes, answer)
    }

    fn text(text: &str) -> Render {
        let text = text.to_owned();
        Box::new(move || text.clone().into_bytes())
    }

    #[test]
    fn of_a_room_the_newest_state_alone_waits_for_a_slow_disk() {
        let (store, _, writes, answer) = slow();
        store.put(Kind::State, "red", text("1"));
        assert_eq!(writes.recv().unwrap(), ["red=1"]);
        for number in 2..1000 {
            store.put(Kind::State, "red", text(&number.to_string()));
        }
        store.put_event(7, b"seven".to_vec());
        answer.send(Answer::Written).unwrap();
        assert_eq!(writes.recv().unwrap(), ["red=999", "7=seven"]);
        answer.send(Answer::Written).unwrap();
        store.close();
    }

    #[test]
    fn what_a_full_disk_did_not_take_is_written_later_unless_it_has_changed() {
        let (store, _, writes, answer) = slow();
        store.put(Kind::State, "red", text("1"));
        assert_eq!(writes.recv().unwrap(), ["red=1"]);
        store.put(Kind::State, "blue", text("1"));
        store.remove(Kind::State, "red");
        answer.send(Answer::Full).unwrap();
        assert_eq!(writes.recv().unwrap(), ["blue=1"], "the room that was never written is forgotten");
        store.remove(Kind::State, "blue");
        answer.send(Answer::Written).unwrap();
        assert_eq!(writes.recv().unwrap(), ["blue is gone"]);
        answer.send(Answer::Written).unwrap();
        store.close();
    }

    #[test]
    fn a_writer_that_panics_is_begun_again_once() {
        let (store, lives, writes, answer) = slow();
        store.put(Kind::State, "red", text("1"));
        assert_eq!(writes.recv().unwrap(), ["red=1"]);
        answer.send(Answer::Panic).unwrap();
        store.put(Kind::State, "red", text("2"));
        assert_eq!(writes.recv().unwrap(), ["red=2"]);
        assert_eq!(lives.who_failed(), None);
        answer.send(Answer::Panic).unwrap();
        store.close();
        assert_eq!(lives.who_failed().as_deref(), Some("store"));
    }

    #[test]
    fn the_end_of_the_node_writes_what_waits_and_leaves_a_disk_that_fails() {
        let (store, _, writes, answer) = slow();
        answer.send(Answer::Full).unwrap();
        store.put(Kind::State, "red", text("1"));
        assert_eq!(writes.recv().unwrap(), ["red=1"]);
        answer.send(Answer::Full).unwrap();
        store.close();
        assert!(writes.recv().is_ok(), "it is tried once more");
        assert!(writes.recv().is_err(), "the thread has ended");
    }
}
