//! Who answers for the guests of a room: those whose token names nobody, or has a `sub` that cannot be an id. They have an id of the
//! room's making.
//!
//! A guest who is sent out and comes back is another guest, so a ban of the id alone would hold nobody. So a ban holds whoever
//! answers for the guest as well: the odd `sub` or the `jti` of their token, or else the network that they came from ([`Principal`]). This is
//! known while the guest is in the room, and for the last of those who have left, because a host bans people for what they
//! said a moment ago. A restart keeps it with the room.

use std::collections::{HashMap, HashSet, VecDeque};

use onmic_media::name::Principal;
use onmic_room::PersonId;

use super::mailbox::CONNECTIONS_MAX;

/// The most guests who have left and are remembered. They are more than those whose chat is kept.
const GONE_MAX: usize = 100;

/// The guests of one room. Bounded by the people in it.
#[derive(Debug, Default)]
pub struct Guests {
    /// The last principals of each, the newest last.
    principals: HashMap<PersonId, Vec<Principal>>,
    /// Those who have left, the last one last.
    gone: VecDeque<PersonId>,
}

impl Guests {
    /// Notes that a guest has come, for whom `who` answers.
    pub fn came(&mut self, person: &PersonId, who: Principal) {
        self.gone.retain(|gone| gone != person);
        let own = self.principals.entry(person.clone()).or_default();
        own.retain(|known| *known != who);
        if own.len() == CONNECTIONS_MAX {
            own.remove(0);
        }
        own.push(who);
    }

    /// Notes that somebody has left the room.
    pub fn left(&mut self, person: &PersonId) {
        if !self.principals.contains_key(person) {
            return; // Their token named them.
        }
        self.gone.push_back(person.clone());
        if self.gone.len() > GONE_MAX
            && let Some(forgotten) = self.gone.pop_front()
        {
            self.principals.remove(&forgotten);
        }
    }

    /// Returns the guests whom a restart keeps, and those who answer for each: those of `people`, and as many others as are
    /// remembered when they have left. Of thousands who watch it looks at no more than that. Those who have left come first, in
    /// the order in which they left, because whoever takes them up again forgets the first.
    pub fn kept<'a>(&'a self, people: impl Iterator<Item = &'a PersonId>) -> Vec<(PersonId, Vec<Principal>)> {
        let people: HashSet<_> = people.filter(|person| self.principals.contains_key(*person)).collect();
        let gone: HashSet<_> = self.gone.iter().collect();
        let watch = self.principals.keys().filter(|person| !gone.contains(person) && !people.contains(person));
        let others: Vec<_> = self.gone.iter().chain(watch.take(GONE_MAX)).collect();
        let others = others.into_iter().rev().take(GONE_MAX).rev();
        others.chain(people).map(|person| (person.clone(), self.principals(person).to_vec())).collect()
    }

    /// Returns those who answer for a person. Nobody does for somebody whom a token names.
    pub fn principals(&self, person: &PersonId) -> &[Principal] {
        self.principals.get(person).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guest(number: usize) -> PersonId {
        format!("guest-{number}").parse().unwrap()
    }

    fn who(number: usize) -> Principal {
        Principal::Token(number.to_string().into())
    }

    #[test]
    fn a_guest_is_remembered_while_there_and_for_a_while_after() {
        let mut guests = Guests::default();
        guests.came(&guest(0), who(0));
        guests.came(&guest(1), who(1));
        guests.left(&guest(1));
        for number in 2..GONE_MAX + 1 {
            guests.came(&guest(number), who(number));
            guests.left(&guest(number));
        }
        assert_eq!(guests.principals(&guest(1)), [who(1)]);
        guests.came(&guest(1), who(1)); // Whoever comes back does not wait to be forgotten any more.
        for number in GONE_MAX + 1..3 * GONE_MAX {
            guests.came(&guest(number), who(number));
            guests.left(&guest(number));
        }
        assert_eq!((guests.principals(&guest(0)), guests.principals(&guest(1))), (&[who(0)][..], &[who(1)][..]));
        assert!(guests.principals(&guest(2)).is_empty());
        assert_eq!(guests.principals.len(), GONE_MAX + 2);
        guests.left(&"anna".parse().unwrap());
        assert_eq!(guests.gone.len(), GONE_MAX, "a person whom a token names is no guest");
    }

    #[test]
    fn guests_who_are_there_are_taken_up_before_those_who_have_left() {
        let mut guests = Guests::default();
        for number in 0..=2 * GONE_MAX {
            guests.came(&guest(number), who(number));
        }
        (0..GONE_MAX).for_each(|number| guests.left(&guest(number)));
        let mut again = Guests::default();
        let seated = [guest(2 * GONE_MAX)];
        let kept = guests.kept(seated.iter());
        assert_eq!(kept.len(), GONE_MAX + 1);
        for (person, owners) in kept {
            owners.into_iter().for_each(|who| again.came(&person, who));
            if !seated.contains(&person) {
                again.left(&person);
            }
        }
        let known = |number| again.principals(&guest(number)) == [who(number)];
        assert!(!(0..GONE_MAX).any(known) && (GONE_MAX..=2 * GONE_MAX).all(known));
    }

    #[test]
    fn a_guest_who_changes_networks_has_the_last_of_them() {
        let mut guests = Guests::default();
        for number in 0..20 {
            guests.came(&guest(0), who(number));
        }
        guests.came(&guest(0), who(15));
        let expected: Vec<_> = [12, 13, 14, 16, 17, 18, 19, 15].map(who).into();
        assert_eq!(guests.principals(&guest(0)), expected);
    }
}
