//! What the simulation of the control plane (`crate::simulation`) sees of the rooms, and does to them, beside what everybody may.

use std::collections::{BTreeSet, HashMap};

use onmic_media::SourceName;
use onmic_media::name::Principal;
use onmic_room::{Input, PersonId, Refused, RoomName, RoomView};

use super::refusal::Denied;
use super::{Rooms, Step};

impl Rooms {
    /// Does what the task of deadlines does.
    pub fn do_what_is_due(&self) {
        while self.lapse() {}
        while !self.is_settled() {
            let left = std::mem::take(&mut *self.left.lock());
            self.settle_all(left);
        }
    }

    /// Returns whether no room is left to the task of deadlines.
    pub fn is_settled(&self) -> bool {
        self.left.lock().is_empty()
    }

    /// Returns how many permits and connections there are.
    pub fn held(&self) -> (usize, usize) {
        (self.standing.permits.len(), self.clients.taken())
    }

    /// Returns how many rooms count for somebody who opened them.
    pub fn opened_by_somebody(&self) -> usize {
        self.openings.taken()
    }

    /// Returns the life of a room, and the number of its last event.
    pub fn life(&self, room: &RoomName) -> Option<(String, u64)> {
        let cell = self.cell(room).ok()?;
        let live = cell.live.lock();
        live.as_ref().map(|live| (live.channel.epoch().to_owned(), live.channel.number()))
    }

    /// Returns a room as the machine has it.
    pub fn outline(&self, room: &RoomName) -> Option<RoomView> {
        self.desk.lock().machine.outline(room)
    }

    /// Returns whether a place on mic is the person's.
    pub fn is_theirs(&self, name: &SourceName, person: &PersonId) -> bool {
        let (desk, room) = (self.desk.lock(), &name.room);
        let machine = &desk.machine;
        if name.is_host() {
            return machine.host(room).is_ok_and(|host| host.person.as_ref() == Some(person));
        }
        let invited = machine.invitation_of(room, person).is_ok_and(|invitation| invitation.is_some());
        !invited && machine.seat_of(room, person).is_ok_and(|seat| seat.is_some())
    }

    /// Tells the machine that a source is up, as the task that watches sources does.
    pub fn publishes(&self, name: &SourceName, up: Input, opener: Option<Principal>) {
        self.bring_up(name, up, opener);
    }

    /// Lets a step of the machine panic. Returns whether it came to that.
    pub fn panic_in_step(&self, input: Input) -> bool {
        let mut has_panicked = false;
        let denied = self.decide(input, |_, _| -> () {
            has_panicked = true;
            panic!("a fault of the machine, as the simulation wants it");
        });
        let denied = denied.map(|Step { answer: (), .. }| ());
        assert!(
            !has_panicked || matches!(denied, Err(Denied::Refused(Refused::RoomUnknown(_)))),
            "it is there: {denied:?}"
        );
        has_panicked
    }

    /// Asserts that no principal has more than `part` of the people and the requests of a room, and of the rooms, and that nothing
    /// stays of a room that is gone.
    pub fn check_parts(&self, part: usize, seats: usize) {
        let desk = self.desk.lock();
        let mut opened = HashMap::<Principal, usize>::new();
        for (room, cell) in &desk.cells {
            let live = cell.live.lock();
            let live = live.as_ref().expect("something stays of a room that is gone");
            let mut people = HashMap::<&Principal, usize>::new();
            live.persons
                .keys()
                .filter_map(|person| live.who(person))
                .for_each(|who| *people.entry(who).or_default() += 1);
            assert!(people.values().all(|own| *own <= part), "somebody has too many people in {room}: {people:?}");
            let asking: BTreeSet<_> = desk.machine.asking(room).into_iter().flatten().cloned().collect();
            assert_eq!(live.asking.all(), asking, "the requests of {room} are not those that are counted");
            let mut requests = HashMap::<&Principal, usize>::new();
            asking.iter().filter_map(|person| live.who(person)).for_each(|who| *requests.entry(who).or_default() += 1);
            for who in people.keys() {
                let own = requests.get(who).copied().unwrap_or_default();
                assert_eq!(live.asking.of(who), own, "the requests of {who:?} in {room}");
                // Those whose seats did not work out ask again beside it.
                assert!(own <= part + seats, "{who:?} has {own} requests in {room}");
            }
            let opener = live.opened_by.as_ref().and_then(|share| share.who());
            opener.into_iter().for_each(|who| *opened.entry(who.clone()).or_default() += 1);
        }
        assert!(opened.values().all(|own| *own <= part), "somebody has opened too many rooms: {opened:?}");
    }
}
