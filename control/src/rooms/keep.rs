//! Keeps the rooms and their bans over a restart: notes which of them change, gives their newest state to the store, and takes
//! them up again.
//!
//! A change is noted under the room's lock and costs nothing else there. Twice a second a task looks at the rooms that were noted.
//! The record of a room is rendered on the thread of the store, because its pictures may have megabytes.
//!
//! A room that is taken up again is as it was. Then the machine is told, by the inputs that it always gets for that, that every
//! source is down and everybody gone. So seats, the host's place and a PK wait for their people as after any interruption, and
//! everybody is told the same events.
//!
//! Bans are a record of their own, because they outlive their room. They are kept with the dates of their ends, so they count
//! down while the node is down.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::gauge;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::{MissedTickBehavior, interval, sleep};

use onmic_media::{SourceName, WallTime, metric};
use onmic_room::{Input, PersonId, RoomName, Snapshot};
use onmic_store::{Key, Kind, Render, Store};

use super::channel::Channel;
use super::kept::Kept;
use super::kept::bans::KeptBans;
use super::live::{Known, Live};
use super::rate::PersonRates;
use super::{Cell, Rooms, fair};
use crate::ticket::Good;

/// How long changes gather. With the store's own pause and a write it is less than a second until they are on disk.
const GATHER: Duration = Duration::from_millis(500);

/// How far the numbers of a room's events skip over a restart. A client may have seen events after the last state that was
/// written. None of them may have the number of another event, and a client that asks for what it missed gets a snapshot.
const SKIPPED: u64 = 1_000_000;

/// How often bans that are over are taken out. It costs a look at every ban, and nobody waits for it.
const EXPIRE_BANS_EVERY: Duration = Duration::from_secs(60);

/// The records that have changed since the store was told.
pub struct Keeper {
    store: Arc<Store>,
    changed: Mutex<BTreeSet<(Kind, RoomName)>>,
    noted: Notify,
}

/// What the rooms of a node are begun with.
pub struct Keeping {
    /// The store that gets their states.
    pub store: Arc<Store>,
    /// The records of the process before.
    pub records: Vec<(Key, Vec<u8>)>,
    /// Makes the keys of guests, by which they prove who they are.
    pub guests: [u8; 32],
}

impl Keeper {
    pub fn new(store: Arc<Store>) -> Self {
        Self { store, changed: Mutex::default(), noted: Notify::new() }
    }

    /// Notes that what a record tells of a room has changed.
    pub fn note(&self, kind: Kind, room: &RoomName) {
        if self.changed.lock().insert((kind, room.clone())) {
            self.noted.notify_one();
        }
    }
}

impl Rooms {
    /// Gives the states and bans of rooms that change to the store, until the node stops.
    pub(super) async fn keep_states(&self) {
        tokio::join!(self.keep_changes(), self.expire_bans());
    }

    async fn keep_changes(&self) {
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
            for (kind, room) in changed {
                self.keep(keeper, kind, &room);
                yield_now().await;
            }
        }
    }

    /// Takes bans out that are over. When dates have been set, the records of all others are stated anew.
    async fn expire_bans(&self) {
        let mut ticks = interval(EXPIRE_BANS_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stated = self.hub.calendar().offset();
        while self.stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let dates = self.hub.calendar().offset();
            let were_set = dates.is_step_from(stated);
            if were_set {
                stated = dates;
            }
            self.sweep_bans(were_set).await;
        }
    }

    /// Takes bans out that are over, and notes the rooms that they were for, or all rooms with bans.
    async fn sweep_bans(&self, note_all: bool) {
        for room in self.standing.bans.rooms() {
            if self.standing.bans.expire(&room, self.now()) || note_all {
                self.note_bans(&room);
            }
            yield_now().await;
        }
    }

    /// Gives the store what has changed last.
    pub(super) fn keep_last(&self) {
        let Some(keeper) = &self.keeper else { return };
        let changed = std::mem::take(&mut *keeper.changed.lock());
        changed.iter().for_each(|(kind, room)| self.keep(keeper, *kind, room));
    }

    fn keep(&self, keeper: &Keeper, kind: Kind, room: &RoomName) {
        let record: Option<Render> = match kind {
            Kind::State => self.kept(room).map(|kept| Box::new(move || kept.to_bytes()) as _),
            Kind::Bans => self.kept_bans(room).map(|kept| Box::new(move || kept.to_bytes()) as _),
        };
        match record {
            Some(record) => keeper.store.put(kind, room.as_str(), record),
            None => keeper.store.remove(kind, room.as_str()),
        }
    }

    fn kept_bans(&self, room: &RoomName) -> Option<KeptBans> {
        let (now, calendar) = (self.now(), self.hub.calendar());
        let bans = self.standing.bans.of(room, now);
        (!bans.is_empty()).then(|| KeptBans::of(room, &bans, calendar.at(now), |moment| calendar.at(moment)))
    }

    fn kept(&self, room: &RoomName) -> Option<Kept> {
        let cell = self.cell(room).ok()?;
        let live = cell.live.lock();
        let live = live.as_ref()?;
        let snapshot = self.desk.lock().machine.snapshot(self.now(), room).ok()?;
        let people = || snapshot.persons.iter().map(|person| &person.person);
        let place = |person: &PersonId| Some((person.clone(), live.who(person)?.clone()));
        Some(Kept {
            epoch: live.channel.epoch().to_owned(),
            number: live.channel.number(),
            opened: self.hub.calendar().date(live.opened),
            grants: self.standing.tickets.of_room(room),
            guests: live.guests.kept(people()),
            places: people().filter_map(place).collect(),
            opened_by: live.opened_by.as_ref().and_then(|share| share.who().cloned()),
            look: live.look.clone(), // The pictures are shared, not copied.
            snapshot,
        })
    }

    /// Takes the rooms and the bans of the process before up again. A record that cannot be read costs its own room, and stays
    /// in the store until a newer one takes its place.
    pub(super) fn take_up(&self, records: Vec<(Key, Vec<u8>)>) {
        let mut kept: Vec<Kept> = Vec::with_capacity(records.len());
        for ((kind, room), record) in records {
            match kind {
                Kind::State => match Kept::read(&record, &self.decoder.budget) {
                    Ok(record) => kept.push(record),
                    Err(reason) => {
                        tracing::warn!(room, %reason, "what was kept of a room cannot be read; the room begins anew")
                    }
                },
                Kind::Bans => self.take_up_bans(&room, &record),
            }
        }
        self.take_up_rooms(kept);
    }

    /// Takes the bans of a room up again, for the time that is left of each.
    fn take_up_bans(&self, room: &str, record: &[u8]) {
        let (now, calendar) = (self.now(), self.hub.calendar());
        let kept = match KeptBans::read(room, record) {
            Ok(kept) => kept,
            Err(reason) => {
                tracing::warn!(room, %reason, "the bans that were kept of a room cannot be read; nobody is banned from it");
                return;
            }
        };
        let mut taken = 0;
        for (person, ban) in kept.bans(now, calendar.at(now)) {
            if self.standing.bans.ban(&kept.room, &person, ban, now).is_err() {
                tracing::warn!(room, %person, "a ban is lost, because there are as many as a room or the node may have");
            } else {
                taken += 1;
            }
        }
        // What is over leaves the store. Other records stay as they are, because the clock may still be behind.
        if taken < kept.len() {
            self.note_bans(&kept.room);
        }
    }

    fn take_up_rooms(&self, mut kept: Vec<Kept>) {
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
        let Kept { snapshot, epoch, number, opened, grants, guests, places, opened_by, look } = kept;
        let room = &snapshot.room;
        // At the start dates are the node's own line.
        let opened = WallTime(opened.micros());
        let shares = fair::places(self.config.limits.persons);
        let mut live = Live::on(Channel::resumed(epoch, number + SKIPPED, self.log_space.clone()), opened, shares);
        live.look = look;
        live.opened_by = opened_by.and_then(|who| self.openings.take(Some(who)).ok());
        for person in &snapshot.persons {
            let known = Known { name: person.name.clone(), rates: PersonRates::new(now), place: None };
            live.persons.insert(person.person.clone(), known);
        }
        live.persons_told = live.persons.len();
        for (person, nameless) in guests {
            nameless.into_iter().for_each(|who| live.guests.came(&person, who));
            if !live.persons.contains_key(&person) {
                live.guests.left(&person);
            }
        }
        places.into_iter().for_each(|(person, who)| live.keep_place(&person, Some(who), None));
        snapshot.requests.iter().for_each(|request| live.asks(&request.person));
        live.mix = self.desk.lock().machine.outline(room).map(|view| view.mix).unwrap_or_default();
        for (participant, Good { id, person }) in grants {
            self.standing.tickets.restore(&SourceName::new(room, &participant), Good { id, person });
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
            keeper.note(Kind::State, room);
        }
    }

    /// Notes that the bans of a room have changed.
    pub(super) fn note_bans(&self, room: &RoomName) {
        if let Some(keeper) = &self.keeper {
            keeper.note(Kind::Bans, room);
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
    use onmic_room::{Actor, Authority, Command, Limits, ParticipantName, SeatNo, SeatState, Settings};
    use tokio_util::sync::CancellationToken;

    use onmic_media::name::Principal;

    use super::super::Entry;
    use super::super::mailbox::Mailbox;
    use super::super::order::Order;
    use super::super::refusal::Denied;
    use super::super::tests::{NoStage, config_of, enter, entry, logo, name, try_to_enter};
    use super::*;
    use crate::clock::Clock;
    use crate::standing::Standing;
    use crate::ticket::Tickets;

    /// Rooms of a process that keeps its state in `folder`, and their store.
    fn process(folder: &std::path::Path) -> (Arc<Rooms>, Arc<Store>) {
        process_after(Duration::ZERO, folder)
    }

    /// The same, with a system clock that is ahead by the time for which the node was down.
    fn process_after(down: Duration, folder: &std::path::Path) -> (Arc<Rooms>, Arc<Store>) {
        process_with(Clock::default(), down, folder)
    }

    fn process_with(claims: Clock, down: Duration, folder: &std::path::Path) -> (Arc<Rooms>, Arc<Store>) {
        let config = config_of(Limits::default());
        let clock = NodeClock::new(Instant::now(), std::time::SystemTime::now() + down);
        let hub = Hub::new(clock, onmic_media::hub::HubLimits::default(), None);
        let (store, kept) = Store::open(&folder.join("state"), Lives::default()).unwrap();
        let keeping = Keeping { store: store.clone(), records: kept.records, guests: [7; 32] };
        let standing = Standing { clock: claims, ..Standing::from(Tickets::new("secret")) };
        let stage = Arc::new(NoStage);
        let rooms =
            Rooms::keeping(config, hub, standing, stage, None, CancellationToken::new(), Some(keeping)).unwrap();
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
        let mute = Command::Mute { who: "anna".parse::<PersonId>().unwrap().into(), audio: Some(true), video: None };
        for order in [Order::Machine(lock), Order::Machine(mute), Order::Overlays(vec![logo()])] {
            host.order(order).await.unwrap();
        }
        rooms.open(&name("over"), Settings::default()).unwrap();
        rooms.apply(Input::End { room: name("over"), by: Actor::admin() }).unwrap();
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
    fn bans_go_on_after_a_restart_for_the_time_that_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let person = |id: &str| id.parse::<PersonId>().unwrap();
        let (rooms, store) = process(folder.path());
        let (admin, hour) = (Actor::admin(), Duration::from_secs(3600));
        let ban = |room, id, time| {
            rooms.ban(&name(room), &admin, &person(id), (time, "spam".to_owned())).unwrap();
        };
        ban("red", "anna", 2 * hour);
        ban("red", "ben", 2 * hour);
        ban("red", "carl", hour);
        ban("blue", "anna", hour);
        ban("green", "anna", 2 * hour);
        rooms.keep_last(); // They are on their way to the disk when two are lifted.
        rooms.lift_ban(&name("red"), &admin, &person("ben")).unwrap();
        rooms.lift_ban(&name("green"), &admin, &person("anna")).unwrap();
        rooms.keep_last();
        store.close();
        drop((rooms, store));

        let (rooms, store) = process_after(hour, folder.path());
        let bans = rooms.standing.bans.of(&name("red"), rooms.now());
        let [(banned, ban)] = &bans[..] else { panic!("{bans:?}") };
        assert_eq!((banned, ban.reason.as_str()), (&person("anna"), "spam"));
        let left = ban.until - rooms.now();
        assert!(left <= hour && left > hour / 2, "{left:?}");
        assert_eq!(rooms.standing.bans.rooms(), [name("red")], "nobody else is banned from anywhere");
        let comes = |id| try_to_enter(&rooms, "red", id, Authority::Viewer).map(drop);
        assert!(matches!(comes("anna"), Err(Denied::Banned(_))));
        assert!(comes("ben").is_ok() && comes("carl").is_ok());
        rooms.keep_last();
        store.close();
        drop((rooms, store));

        let (store, kept) = Store::open(&folder.path().join("state"), Lives::default()).unwrap();
        let bans = kept.records.iter().filter(|((kind, _), _)| *kind == Kind::Bans);
        let bans: Vec<_> = bans.map(|((_, room), record)| KeptBans::read(room, record).unwrap()).collect();
        assert_eq!(bans.len(), 1, "what is over or lifted has left the store: {bans:?}");
        assert_eq!(bans[0].room, name("red"));
        store.close();
    }

    #[tokio::test]
    async fn a_ban_that_is_over_leaves_the_store_of_a_node_that_runs() {
        let folder = tempfile::tempdir().unwrap();
        let kept = || {
            let (store, kept) = Store::open(&folder.path().join("state"), Lives::default()).unwrap();
            store.close();
            kept.records.len()
        };
        let (rooms, store) = process(folder.path());
        let hour = Duration::from_secs(3600);
        rooms.ban(&name("red"), &Actor::admin(), &"ben".parse().unwrap(), (hour, String::new())).unwrap();
        rooms.keep_last();
        store.close();
        drop((rooms, store));
        assert_eq!(kept(), 1);
        let clock = Clock::standing(Instant::now(), std::time::SystemTime::now());
        let (rooms, store) = process_with(clock.clone(), Duration::ZERO, folder.path());
        clock.step(hour, 0);
        rooms.sweep_bans(false).await;
        assert!(rooms.standing.bans.rooms().is_empty());
        rooms.keep_last();
        store.close();
        drop((rooms, store));
        assert_eq!(kept(), 0);
    }

    #[test]
    fn a_guest_proves_after_a_restart_who_they_are_and_gets_the_state_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (rooms, store) = process(folder.path());
        let (host, _messages) = enter(&rooms, "demo", "mia", Authority::Host);
        let live = rooms.kept(&name("demo")).unwrap();
        let key = rooms.guests.key("demo", "mia", &live.epoch, "viewer");
        rooms.keep_last();
        store.close();
        drop((host, rooms, store));
        let (rooms, store) = process(folder.path());
        let epoch = rooms.kept(&name("demo")).unwrap().epoch;
        assert!(rooms.guests.fits(&key, "demo", "mia", &epoch, "viewer"));
        let cell = rooms.cell(&name("demo")).unwrap();
        assert!(
            !cell.live.lock().as_ref().unwrap().channel.can_resume(&epoch, live.number),
            "what was missed is not known"
        );
        store.close();
    }

    #[test]
    fn a_ban_after_a_restart_holds_whoever_answers_for_a_guest_of_before() {
        let folder = tempfile::tempdir().unwrap();
        let (rooms, store) = process(folder.path());
        let (host, _messages) = enter(&rooms, "demo", "mia", Authority::Host);
        let come = |who: &Principal| {
            let entry = Entry { nameless: Some(who.clone()), person: None, ..entry("demo", "mia", Authority::Viewer) };
            let (mailbox, messages) = Mailbox::new();
            let guest = rooms.enter(entry, &mailbox).unwrap();
            (guest.by.person.clone().unwrap(), guest, messages)
        };
        let [stays, leaves] = ["192.0.2.7", "192.0.2.8"].map(|address| Principal::at(address.parse().unwrap()));
        let (here, guest, _heard) = come(&stays);
        let (gone, left, _heard_too) = come(&leaves);
        let kick = Command::Kick { person: gone.clone() };
        rooms.apply(Input::Command { room: name("demo"), by: Actor::admin(), command: kick }).unwrap();
        rooms.keep_last();
        store.close();
        drop((host, guest, left, rooms, store));

        let (rooms, store) = process(folder.path());
        for (person, who) in [(here, stays), (gone, leaves)] {
            let ban = (Duration::from_secs(60), String::new());
            rooms.ban(&name("demo"), &Actor::admin(), &person, ban).unwrap();
            let bans = rooms.standing.bans.of(&name("demo"), rooms.now());
            let ban = bans.iter().find(|(banned, _)| *banned == person).map(|(_, ban)| ban.nameless.clone());
            assert_eq!(ban, Some(vec![who]), "{person}");
        }
        store.close();
    }

    #[test]
    fn a_restart_keeps_what_counts_for_a_principal() {
        let folder = tempfile::tempdir().unwrap();
        let (rooms, store) = process(folder.path());
        // The sub of this guest's token is no valid id. It holds their ban, and the jti counts for them.
        let [who, sub] = ["t1", "ben@b.example"].map(|id| Principal::Token(id.into()));
        let guest = Entry {
            who: Some(who.clone()),
            nameless: Some(sub.clone()),
            person: None,
            ..entry("demo", "nobody", Authority::Viewer)
        };
        let (mailbox, _messages) = Mailbox::new();
        let guest = rooms.enter(guest, &mailbox).unwrap();
        let person = guest.by.person.clone().unwrap();
        let ask = Command::RequestMic { person: person.clone(), seat: None };
        rooms.apply(Input::Command { room: name("demo"), by: Actor::admin(), command: ask }).unwrap();
        rooms.keep_last();
        store.close();
        drop((guest, rooms, store));

        let (rooms, store) = process(folder.path());
        {
            let cell = rooms.cell(&name("demo")).unwrap();
            let live = cell.live.lock();
            let live = live.as_ref().unwrap();
            let place = live.persons.get(&person).unwrap().place.as_ref();
            assert_eq!(
                [place, live.opened_by.as_ref()].map(|share| share.unwrap().who().cloned()),
                [Some(who.clone()), Some(who.clone())]
            );
            assert_eq!((live.asking.of(&who), live.guests.principals(&person)), (1, &[sub][..]));
        }
        assert_eq!(rooms.openings.taken(), 1);
        rooms.apply(Input::End { room: name("demo"), by: Actor::admin() }).unwrap();
        assert_eq!(rooms.openings.taken(), 0);
        store.close();
    }

    #[test]
    fn a_record_that_cannot_be_read_costs_its_own_room() {
        let folder = tempfile::tempdir().unwrap();
        let (rooms, store) = process(folder.path());
        let (host, _messages) = enter(&rooms, "demo", "mia", Authority::Host);
        rooms.keep_last();
        for kind in [Kind::State, Kind::Bans] {
            store.put(kind, "odd", Box::new(|| b"{\"version\":0}".to_vec()));
        }
        store.close();
        drop((host, rooms, store));
        let (rooms, store) = process(folder.path());
        assert_eq!((rooms.names().len(), rooms.standing.bans.rooms().len()), (1, 0));
        store.close();
    }
}
