//! The requests for the mic of a room, counted for whoever answers for them.

use std::collections::HashMap;

use onmic_media::name::Principal;
use onmic_room::PersonId;

/// The requests for the mic of a room, by who answers for them.
#[derive(Debug, Default)]
pub struct Asking {
    own: HashMap<PersonId, Option<Principal>>,
    by: HashMap<Principal, usize>,
}

impl Asking {
    /// Notes that a person asks, for whom `who` answers.
    pub fn begins(&mut self, person: &PersonId, who: Option<Principal>) {
        self.ends(person);
        if let Some(who) = &who {
            *self.by.entry(who.clone()).or_default() += 1;
        }
        self.own.insert(person.clone(), who);
    }

    /// Notes that a person asks no more.
    pub fn ends(&mut self, person: &PersonId) {
        let Some(Some(who)) = self.own.remove(person) else { return };
        if let Some(count) = self.by.get_mut(&who) {
            *count -= 1;
            if *count == 0 {
                self.by.remove(&who);
            }
        }
    }

    /// Returns whether a person asks.
    pub fn has(&self, person: &PersonId) -> bool {
        self.own.contains_key(person)
    }

    /// Returns how many of the requests somebody answers for.
    pub fn of(&self, who: &Principal) -> usize {
        self.by.get(who).copied().unwrap_or_default()
    }

    /// Returns all who ask, by id.
    #[cfg(test)]
    pub fn all(&self) -> std::collections::BTreeSet<PersonId> {
        self.own.keys().cloned().collect()
    }
}
