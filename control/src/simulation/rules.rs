//! What holds after each step of the simulation, whatever came before.

use std::collections::HashMap;

use onmic_media::Shown;
use onmic_media::gate::{Action, Gate};
use onmic_media::name::Principal;

use super::{CLIENTS_EACH, GOING_OVER, PART, SEATS, TICKETS_KEPT, World};

impl World {
    /// Checks all of them.
    pub(super) fn check(&mut self) {
        let now = self.clock.now();
        self.check_tickets();
        for open in &self.open {
            assert!(open.shows.until.is_none_or(|until| now < until), "something outlives its token");
            let (person, nameless) = (open.person.as_ref(), open.shows.nameless.as_ref());
            let is_banned = !open.shows.is_admin() && self.is_banned(&open.room, person, nameless);
            assert!(!is_banned, "{person:?} or {nameless:?} is banned and has something open");
            let ticket = open.shows.ticket.as_ref();
            let known = ticket.and_then(|ticket| self.tickets.iter().find(|known| known.token == ticket.token));
            let lost = known.and_then(|ticket| ticket.lost);
            assert!(lost.is_none_or(|lost| now < lost + GOING_OVER), "something outlives its ticket");
        }
        let mut shares = HashMap::<Option<&Principal>, usize>::new();
        let sockets = self.open.iter().filter(|open| open.socket.is_some());
        sockets.for_each(|open| *shares.entry(open.shows.who.as_ref()).or_default() += 1);
        let counted = shares.iter().filter(|(who, _)| who.is_some());
        assert!(
            counted.clone().all(|(_, own)| *own <= CLIENTS_EACH),
            "somebody has more than one may have: {shares:?}"
        );
        let bystander = usize::from(self.bystander.is_some());
        let begun = self.begun.iter().filter(|begun| begun.holds(now)).count();
        let held = (self.open.len() + bystander + begun, shares.values().sum::<usize>() + bystander);
        assert_eq!(self.rooms.held(), held, "permits and shares are not those of what is open");
        self.rooms.check_parts(PART, usize::from(SEATS));
        // Those that were lost long ago are not tried for ever.
        if self.tickets.len() > TICKETS_KEPT {
            self.tickets.retain(|ticket| ticket.lost.is_none_or(|lost| now < lost + GOING_OVER));
        }
    }

    /// Asserts that a ticket is good exactly while its place is the person's.
    fn check_tickets(&mut self) {
        let now = self.clock.now();
        let tried = self.random.below(self.tickets.len() as u64) as usize;
        for index in 0..self.tickets.len() {
            let ticket = &self.tickets[index];
            if ticket.lost.is_some() && index != tried {
                continue; // One of them is tried after each step.
            }
            let (name, person) = (&ticket.name, &ticket.person);
            let is_good = self.gate.check(Action::Publish(name), Shown::token(Some(&ticket.token)));
            let is_banned = self.is_banned(&name.room, Some(person), None);
            let is_theirs = self.rooms.is_theirs(name, person);
            let told = format!("a ticket of {person} for {name}: {is_good:?}");
            assert!(is_theirs || is_good.is_err(), "the place is not theirs: {told}");
            if ticket.lost.is_none() && is_theirs {
                assert_eq!(is_good.is_err(), is_banned, "the place is theirs: {told}");
            } else if ticket.lost.is_none() {
                self.tickets[index].lost = Some(now);
            }
        }
    }
}
