//! What goes wrong beside the bystander, and that it notices nothing: queues that are full, one who asks for everything, and panics.

use std::cell::Cell as Flag;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use onmic_media::NoShare;
use onmic_media::name::Principal;
use onmic_room::Authority;

use super::super::order::Order;
use super::super::rate::Doing;
use super::super::*;
use super::{CLIENTS, CLIENTS_EACH, Client, LIMITS, Open, PART, SEATS, World};

impl World {
    /// Lets far more be said in a room than the mailbox of a client holds.
    pub(super) fn a_room_is_lively(&mut self) {
        let room = self.a_room();
        for _ in 0..3 {
            for _ in 0..100 {
                let chat = Order::Chat("hello".to_owned());
                if self.runtime.block_on(self.rooms.order(&room, &Actor::admin(), chat)).is_err() {
                    return;
                }
            }
            self.read();
        }
        self.count("lively");
    }

    /// Lets one principal ask for more of everything than one may have.
    pub(super) fn somebody_asks_for_everything(&mut self) {
        let (room, greedy) = (self.a_room(), "greedy".parse().unwrap());
        for _ in 0..=CLIENTS_EACH {
            let shows = self.a_token_for(&room, "viewer", Some(&greedy), 20);
            let entered = self.enter(&room, &shows, false);
            self.open.extend(entered);
        }
        let (who, now) = (Principal::Token("greedy".into()), self.clock.now());
        let taken = (0..1_000).filter(|_| self.rates.take(&who, Doing::Request, now).is_ok()).count();
        assert!(taken <= 500, "{taken} requests at once");
        for _ in 0..40 {
            let by = Actor::new(greedy.clone(), Authority::Viewer);
            let said = self.rooms.order(&room, &by, Order::Chat("me".to_owned()));
            if let Err(Denied::TooFast(_)) = self.runtime.block_on(said) {
                self.count("too fast");
            }
        }
    }

    /// Lets many principals open rooms and fill one, each for more than its part. They leave at once, and what they have taken stays
    /// for a while.
    pub(super) fn principals_want_all_there_is(&mut self) {
        let full = self.a_room();
        for number in 0..LIMITS.persons {
            let person: PersonId = format!("greedy-{number}").parse().unwrap();
            let opened = (0..=PART).map(|own| format!("open-{number}-{own}").parse().unwrap());
            let opened: Vec<RoomName> = opened.take(if number < LIMITS.rooms / PART { PART + 1 } else { 0 }).collect();
            for room in opened.iter().chain([&full]) {
                let shows = self.a_token_for(room, "viewer", Some(&person), 20);
                if let Some(open) = self.enter(room, &shows, true) {
                    self.close(open);
                }
            }
        }
    }

    /// Asserts that it is only viewers whom a limit keeps out.
    pub(super) fn hosts_find_a_place(&mut self, authority: Authority, denied: &Denied) {
        let what = match denied {
            Denied::Share(_) => "no part left",
            Denied::Refused(Refused::RoomsFull(_)) => "no room left",
            Denied::Refused(Refused::PersonsFull(_)) => "no place left",
            Denied::NoShare(NoShare::Full(_, limit)) if *limit < CLIENTS => "no connection left",
            _ => return,
        };
        assert_eq!(authority, Authority::Viewer, "a host finds no place: {denied}");
        self.count(what);
    }

    /// Asserts that no principal has more than its part of the people and the requests of a room, and of the rooms.
    pub(super) fn check_parts(&self) {
        let desk = self.rooms.desk.lock();
        let mut opened = HashMap::<Principal, usize>::new();
        for (room, cell) in &desk.cells {
            let live = cell.live.lock();
            let Some(live) = &*live else { continue };
            let mut people = HashMap::<&Principal, usize>::new();
            live.persons
                .keys()
                .filter_map(|person| live.who(person))
                .for_each(|who| *people.entry(who).or_default() += 1);
            assert!(people.values().all(|own| *own <= PART), "somebody has too many people in {room}: {people:?}");
            let asking: BTreeSet<_> = desk.machine.asking(room).into_iter().flatten().cloned().collect();
            assert_eq!(live.asking.all(), asking, "the requests of {room} are not those that are counted");
            let mut requests = HashMap::<&Principal, usize>::new();
            asking.iter().filter_map(|person| live.who(person)).for_each(|who| *requests.entry(who).or_default() += 1);
            for who in people.keys() {
                let own = requests.get(who).copied().unwrap_or_default();
                assert_eq!(live.asking.of(who), own, "the requests of {who:?} in {room}");
                // Those whose seats did not work out ask again beside it.
                assert!(own <= PART + usize::from(SEATS), "{who:?} has {own} requests in {room}");
            }
            let opener = live.opened_by.as_ref().and_then(|share| share.who());
            opener.into_iter().for_each(|who| *opened.entry(who.clone()).or_default() += 1);
        }
        assert!(opened.values().all(|own| *own <= PART), "somebody has opened too many rooms: {opened:?}");
    }

    pub(super) fn a_step_of_the_machine_panics(&mut self) {
        let (room, died) = (self.a_room(), Flag::new(false));
        let leave = Input::Leave { room: room.clone(), person: self.a_person() };
        let denied = self.rooms.decide(leave, |_, _| -> () {
            died.set(true);
            panic!("a fault of the machine, as the simulation wants it");
        });
        if died.get() {
            let Err(Denied::Refused(Refused::RoomUnknown(_))) = denied.map(|Step { answer: (), .. }| ()) else {
                panic!("the room is there after a panic");
            };
            self.stage.died.lock().push(room);
        }
    }

    /// The bystander says something every other second, and hears it.
    pub(super) fn the_bystander_goes_on(&mut self) {
        let now = self.clock.now();
        let Some((Open { permit, client: Some(client), .. }, next)) = &mut self.bystander else { return };
        let Client { connection, mailbox, messages, who, .. } = client;
        assert_eq!((permit.ended(), mailbox.closing()), (None, None), "the bystander is closed");
        assert_eq!(self.rates.take(who.as_ref().unwrap(), Doing::Request, now), Ok(()), "the bystander has to wait");
        if now < *next {
            return;
        }
        *next = now + Duration::from_secs(2);
        let said = self.runtime.block_on(connection.order(Order::Chat("all is well".to_owned())));
        assert_eq!(said.err(), None, "the bystander is denied");
        let mut heard = 0;
        while let Some(message) = messages.try_recv() {
            heard += usize::from(String::from_utf8_lossy(&message).contains("all is well"));
        }
        // The first thing that it gets is the snapshot, which has no message yet.
        assert_eq!(heard, 1, "the bystander hears itself");
    }
}
