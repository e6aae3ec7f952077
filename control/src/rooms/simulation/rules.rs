//! What holds after each step of the simulation, whatever came before.

use std::collections::HashMap;

use onmic_media::Shown;
use onmic_media::gate::{Action, Gate};
use onmic_media::name::Principal;

use super::{CLIENTS_EACH, ROUNDING, World};

impl World {
    /// Checks all of them.
    pub(super) fn check(&self) {
        let now = self.clock.now();
        for open in &self.open {
            assert!(open.until.is_none_or(|until| now < until + ROUNDING), "something outlives its token");
            let (person, nameless) = (open.person.as_ref(), open.nameless.as_ref());
            let is_banned = !open.is_admin && self.is_banned(&open.room, person, nameless);
            assert!(!is_banned, "{person:?} or {nameless:?} is banned and has something open");
        }
        self.check_tickets();
        let mut shares = HashMap::<Option<&Principal>, usize>::new();
        let clients = self.open.iter().filter_map(|open| open.client.as_ref());
        clients.for_each(|client| *shares.entry(client.who.as_ref()).or_default() += 1);
        assert!(shares.values().all(|own| *own <= CLIENTS_EACH), "somebody has more than one may have: {shares:?}");
        let bystander = usize::from(self.bystander.is_some());
        let held = (self.open.len() + bystander, shares.values().sum::<usize>() + bystander);
        assert_eq!(self.held(), held, "permits and shares are not those of what is open");
        self.check_parts();
        let desk = self.rooms.desk.lock();
        assert!(desk.cells.values().all(|cell| cell.live.lock().is_some()), "something stays of a room that is gone");
    }

    /// Asserts that a ticket is good only for the person whose place it is.
    fn check_tickets(&self) {
        for (name, person, token) in &self.tickets {
            if self.gate.check(Action::Publish(name), Shown::token(Some(token))).is_ok() {
                let desk = self.rooms.desk.lock();
                let (room, machine) = (&name.room, &desk.machine);
                let is_theirs = if name.is_host() {
                    machine.host(room).is_ok_and(|host| host.person.as_ref() == Some(person))
                } else {
                    let invited = machine.invitation_of(room, person).is_ok_and(|invitation| invitation.is_some());
                    !invited && machine.seat_of(room, person).is_ok_and(|seat| seat.is_some())
                };
                assert!(is_theirs, "a ticket of {person} for {name} is good, and the place is not theirs");
            }
        }
    }
}
