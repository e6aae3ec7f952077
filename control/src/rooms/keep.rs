//! Keeps the rooms over a restart: notes which of them change, gives their newest state to the store, and takes them up again.
//!
//! A change is noted under the room's lock and costs nothing else there. Twice a second a task looks at the rooms that were noted.
//! The record of a room is rendered on the thread of the store, because its pictures may have megabytes.
//!
//! A room that is taken up again is as it was. Then the machine is told, by the inputs that it always gets for that, that every
//! source is down and everybody gone. So seats, the host's place and a PK wait for their people as after any interruption, and
//! everybody is told the same events.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::gauge;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::sleep;

use onmic_media::{SourceName, WallTime, metric};
use onmic_room::{Input, RoomName, Snapshot};
use onmic_store::Store;

use super::kept::Kept;
use super::live::{Known, Live};
use super::log::Log;
use super::rate::Rates;
use super::{Cell, Rooms};
use crate::ticket::Good;

/// How long changes gather. With the store's own pause and a write it is less than a second until they are on disk.
const GATHER: Duration = Duration::from_millis(500);

/// How far the numbers of a room's events skip over a restart. A client may have seen events after the last state that was
/// written. None of them may have the number of another event, and a client that asks for what it missed gets a snapshot.
const SKIPPED: u64 = 1_000_000;

/// The rooms that have changed since the store was told.
pub struct Keeper {
    store: Arc<Store>,
    changed: Mutex<BTreeSet<RoomName>>,
    noted: Notify,
}

/// What the rooms of a node are begun with.
pub struct Keeping {
    /// The store that gets their states.
    pub store: Arc<Store>,
    /// The records of the process before: the name of each room, and its bytes.
    pub records: Vec<(String, Vec<u8>)>,
    /// Makes the keys of guests, by which they prove who they are.
    pub guests: [u8; 32],
}

impl Keeper {
    pub fn new(store: Arc<Store>) -> Self {
        Self { store, changed: Mutex::default(), noted: Notify::new() }
    }

    /// Notes that a room has changed.
    pub fn note(&self, room: &RoomName) {
        let mut changed = self.changed.lock();
        if !changed.contains(room) {
            changed.insert(room.clone());
            self.noted.notify_one();
        }
    }
}

impl Rooms {
    /// Gives the states of rooms that change to the store, until the node stops.
    pub(super) async fn keep_states(&self) {
        let Some(keeper) = &self.keeper else { return };
        loop {
            let gather = async {
                keeper.noted.notified().await;
                sleep(GATHER).await;
            };
            if self.stop.run_until_cancelled(gather).await.is_none() {
                return;
            }
            let changed = std::mem::take(&mut *keeper.changed.lock());
            for room in changed {
                self.keep(keeper, &room);
                yield_now().await;
            }
        }
    }

    /// Gives the store what has changed last.
    pub(super) fn keep_last(&self) {
        let Some(keeper) = &self.keeper else { return };
        let changed = std::mem::take(&mut *keeper.changed.lock());
        changed.iter().for_each(|room| self.keep(keeper, room));
    }

    fn keep(&self, keeper: &Keeper, room: &RoomName) {
        match self.kept(room) {
            Some(kept) => keeper.store.put_room(room.as_str(), Box::new(move || kept.to_bytes())),
            None => keeper.store.remove_room(room.as_str()),
        }
    }

    fn kept(&self, room: &RoomName) -> Option<Kept> {
        let cell = self.cell(room).ok()?;
        let live = cell.live.lock();
        let live = live.as_ref()?;
        let snapshot = self.desk.lock().machine.snapshot(self.now(), room).ok()?;
        Some(Kept {
            snapshot,
            epoch: live.log.epoch().to_owned(),
            number: live.log.number(),
            opened: self.hub.calendar().date(live.opened),
            grants: self.standing.tickets.of_room(room),
            look: live.look.clone(), // The pictures are shared, not copied.
        })
    }

    /// Takes the rooms of the process before up again. A record that cannot be read costs its own room, and stays in the store
    /// until a room of its name changes.
    pub(super) fn take_up(&self, records: Vec<(String, Vec<u8>)>) {
        let mut kept: Vec<Kept> = Vec::with_capacity(records.len());
        for (room, record) in records {
            match Kept::read(&record) {
                Ok(record) => kept.push(record),
                Err(reason) => {
                    tracing::warn!(room, %reason, "what was kept of a room cannot be read; the room begins anew")
                }
            }
        }
        let now = self.now();
        let snapshots = kept.iter().map(|kept| kept.snapshot.clone()).collect();
        let refused = self.desk.lock().machine.restore(now, snapshots);
        for (room, reason) in &refused {
            tracing::warn!(%room, reason, "a room cannot be taken up again; it begins anew");
        }
        kept.retain(|kept| !refused.iter().any(|(room, _)| *room == kept.snapshot.room));
        let snapshots: Vec<Snapshot> = kept.into_iter().map(|kept| self.begin_again(kept, now)).collect();
        for snapshot in &snapshots {
            everybody_is_gone(snapshot).into_iter().for_each(|input| {
                if let Err(denied) = self.apply(input) {
                    tracing::debug!(room = %snapshot.room, %denied, "a room that was taken up again has changed meanwhile");
                }
            });
        }
        if !snapshots.is_empty() {
            tracing::info!(rooms = snapshots.len(), "rooms were taken up again");
        }
    }

    /// Makes the live state of a room that the machine has again.
    fn begin_again(&self, kept: Kept, now: Instant) -> Snapshot {
        let Kept { snapshot, epoch, number, opened, grants, look } = kept;
        let room = &snapshot.room;
        // At the start dates are the node's own line.
        let mut live = Live::with_log(Log::resumed(epoch, number + SKIPPED), WallTime(opened.micros()));
        live.look = look;
        for person in &snapshot.persons {
            let known = Known { name: person.name.clone(), rates: Rates::new(now) };
            live.persons.insert(person.person.clone(), known);
        }
        live.persons_told = live.persons.len();
        live.mix = self.desk.lock().machine.outline(room).map(|view| view.mix).unwrap_or_default();
        for (participant, Good { id, person }) in grants {
            self.standing.tickets.restore(SourceName::new(room, &participant), Good { id, person });
        }
        let cell = Cell { live: Mutex::new(Some(live)), ..Cell::default() };
        self.desk.lock().cells.insert(room.clone(), Arc::new(cell));
        gauge!(metric::ROOMS).increment(1.0);
        self.note(room);
        snapshot
    }

    /// Notes that a room has changed.
    pub(super) fn note(&self, room: &RoomName) {
        if let Some(keeper) = &self.keeper {
            keeper.note(room);
        }
    }
}

/// Returns what the machine has to be told after a restart: nobody publishes, and nobody is connected.
fn everybody_is_gone(snapshot: &Snapshot) -> Vec<Input> {
    let room = || snapshot.room.clone();
    let down = snapshot.sources.iter();
    let down = down.map(|source| Input::SourceDown { room: room(), participant: source.participant.clone() });
    let gone = snapshot.persons.iter().filter(|person| person.connected);
    let gone = gone.map(|person| Input::Leave { room: room(), person: person.person.clone() });
    down.chain(gone).collect()
}

#[cfg(test)]
mod tests {
    use onmic_media::life::Lives;
    use onmic_media::{Hub, NodeClock};
    use onmic_room::{Authority, Command, Limits, ParticipantName, SeatNo, SeatState, Settings};
    use tokio_util::sync::CancellationToken;

    use super::super::RoomsConfig;
    use super::super::order::Order;
    use super::super::tests::{NoStage, enter, logo, name};
    use super::*;
    use crate::ticket::Tickets;

    /// Rooms of a process that keeps its state in `folder`, and their store.
    fn process(folder: &std::path::Path) -> (Arc<Rooms>, Arc<Store>) {
        let config =
            RoomsConfig { clients: 100, clients_each: 100, limits: Limits::default(), defaults: Settings::default() };
        let clock = NodeClock::new(Instant::now(), std::time::SystemTime::now());
        let hub = Hub::new(clock, onmic_media::hub::HubLimits::default(), None);
        let (store, kept) = Store::open(&folder.join("state"), Lives::default()).unwrap();
        let keeping = Keeping { store: store.clone(), records: kept.rooms, guests: [7; 32] };
        let (tickets, stage) = (Tickets::new("secret"), Arc::new(NoStage));
        let rooms = Rooms::keeping(config, hub, tickets, stage, None, CancellationToken::new(), Some(keeping)).unwrap();
        (rooms, store)
    }

    fn up(participant: &str) -> Input {
        let participant: ParticipantName = participant.parse().unwrap();
        Input::SourceUp { room: name("demo"), participant, person: None, video: true, audio: true }
    }

    #[tokio::test]
    async fn rooms_go_on_after_a_restart_with_their_epoch_locks_mutes_seats_and_overlays() {
        let folder = tempfile::tempdir().unwrap();
        let (rooms, store) = process(folder.path());
        rooms.open(&name("demo"), Settings { title: "Tea".into(), ..Settings::default() }).unwrap();
        let (host, _messages) = enter(&rooms, "demo", "mia", Authority::Host);
        rooms.apply(up("host")).unwrap();
        rooms.apply(up("anna")).unwrap();
        let lock = Command::LockSeat { seat: SeatNo::new(3).unwrap(), locked: true };
        let mute = Command::Mute {
            who: "anna".parse::<onmic_room::PersonId>().unwrap().into(),
            audio: Some(true),
            video: None,
        };
        for order in [Order::Machine(lock), Order::Machine(mute), Order::Overlays(vec![logo()])] {
            host.order(order).await.unwrap();
        }
        rooms.open(&name("over"), Settings::default()).unwrap();
        rooms.apply(Input::End { room: name("over"), by: onmic_room::Actor::admin() }).unwrap();
        let before = rooms.kept(&name("demo")).unwrap();
        rooms.keep_last();
        store.close();
        drop((host, rooms, store));

        let (rooms, store) = process(folder.path());
        assert_eq!(rooms.names().into_iter().map(|(room, _)| room.to_string()).collect::<Vec<_>>(), ["demo"]);
        let after = rooms.kept(&name("demo")).unwrap();
        assert_eq!((after.epoch, after.opened, after.look), (before.epoch, before.opened, before.look));
        assert!(after.number > before.number + SKIPPED, "the sources and the host are told to be gone");
        let view = rooms.desk.lock().machine.room(&name("demo")).unwrap();
        assert_eq!((view.settings.title.as_str(), view.kept, view.seats[2].locked), ("Tea", true, true));
        assert_eq!(view.seats[0].state, SeatState::Away);
        assert_eq!(view.seats[0].muted_by.audio, Some(onmic_room::MutedBy::Host));
        assert!(view.sources.is_empty() && view.host.person.is_some());
        rooms.apply(up("anna")).unwrap();
        let view = rooms.desk.lock().machine.room(&name("demo")).unwrap();
        assert_eq!(view.seats[0].state, SeatState::OnMic);
        store.close();
    }

    #[test]
    fn a_guest_proves_after_a_restart_who_they_are_and_gets_the_state_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (rooms, store) = process(folder.path());
        let (host, _messages) = enter(&rooms, "demo", "mia", Authority::Host);
        let live = rooms.kept(&name("demo")).unwrap();
        let key = rooms.guests.key("demo", "mia", &live.epoch);
        rooms.keep_last();
        store.close();
        drop((host, rooms, store));
        let (rooms, store) = process(folder.path());
        let epoch = rooms.kept(&name("demo")).unwrap().epoch;
        assert!(rooms.guests.fits(&key, "demo", "mia", &epoch));
        let cell = rooms.cell(&name("demo")).unwrap();
        assert!(
            cell.live.lock().as_ref().unwrap().log.after(&epoch, live.number).is_none(),
            "what was missed is not known"
        );
        store.close();
    }

    #[test]
    fn a_record_that_cannot_be_read_costs_its_own_room() {
        let folder = tempfile::tempdir().unwrap();
        let (rooms, store) = process(folder.path());
        let (host, _messages) = enter(&rooms, "demo", "mia", Authority::Host);
        rooms.keep_last();
        store.put_room("odd", Box::new(|| b"{\"version\":0}".to_vec()));
        store.close();
        drop((host, rooms, store));
        let (rooms, store) = process(folder.path());
        assert_eq!(rooms.names().len(), 1);
        store.close();
    }
}
