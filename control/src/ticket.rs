//! Tickets, each of which gives the right to publish from one seat, and the list of those that are good now.
//!
//! A ticket's token names its grant (`jti`), and is good for exactly as long as the grant is, whatever its `exp` says: a
//! publisher whose connection breaks comes back with the ticket that it has. The room ends the grant ([`Tickets::void`]) when
//! nobody publishes in time, and when the person loses the seat or is no longer the host. The gate asks here, and holds no
//! other lock meanwhile.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use utoipa::ToSchema;

use onmic_media::{Date, ParticipantName, RoomName, SourceName};
use onmic_room::PersonId;

use crate::keys::{Keyring, Keys};
use crate::random;

/// The tickets of the node.
pub struct Tickets {
    keys: Arc<Keyring>,
    /// The grant that is good now for each participant, by room, so that nothing looks at those of all rooms. Bounded by the
    /// seats of all rooms.
    grants: Mutex<Grants>,
}

#[derive(Default)]
struct Grants(HashMap<RoomName, BTreeMap<ParticipantName, Good>>);

impl Grants {
    fn get(&self, name: &SourceName) -> Option<&Good> {
        self.0.get(&name.room)?.get(&name.participant)
    }

    fn insert(&mut self, name: &SourceName, good: Good) {
        self.0.entry(name.room.clone()).or_default().insert(name.participant.clone(), good);
    }

    fn remove(&mut self, name: &SourceName) -> Option<String> {
        let own = self.0.get_mut(&name.room)?;
        let removed = own.remove(&name.participant);
        if own.is_empty() {
            self.0.remove(&name.room);
        }
        removed.map(|good| good.id)
    }
}

/// A grant that is good now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Good {
    /// The `jti` of its tickets.
    pub id: String,
    /// Who has it.
    pub person: PersonId,
}

/// A ticket, as it is sent to the person.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Ticket {
    pub room: String,
    pub person: String,
    /// The number of the seat; null for a new host.
    #[schema(required)]
    pub seat: Option<u8>,
    pub participant: String,
    /// The path to publish to by WHIP.
    pub whip: String,
    /// The path of the return feed, which is the program without the person's own audio.
    pub r#return: String,
    /// The token for both. It is absent when the server asks for no tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub token: Option<String>,
    /// When the place is lost if nothing is published until then.
    pub expires: String,
    /// The wall time of the newest frame of the program.
    #[schema(required)]
    pub program_time: Option<String>,
}

/// The grant that a ticket is issued for.
pub struct Grant<'a> {
    pub name: &'a SourceName,
    pub person: &'a PersonId,
    pub seat: Option<u8>,
    pub expires_in: Duration,
}

#[derive(Serialize)]
struct TicketClaims<'a> {
    exp: u64,
    room: &'a str,
    role: &'static str,
    participant: &'a str,
    sub: &'a str,
    seat: u8,
    jti: &'a str,
}

impl Tickets {
    /// Begins without tickets. They are signed with `secret`, unless it is empty.
    pub fn new(secret: &str) -> Arc<Self> {
        Self::with_keys(Keyring::new(Keys::of_secret(secret.as_bytes())))
    }

    /// Begins without tickets. One of `keys` signs them.
    pub fn with_keys(keys: Arc<Keyring>) -> Arc<Self> {
        Arc::new(Self { keys, grants: Mutex::default() })
    }

    /// Returns a ticket for `grant`. If the person has that grant already, the ticket has the same id as before.
    pub fn issue(&self, grant: &Grant<'_>, now: Date, program_time: Option<Date>) -> Ticket {
        let jti = {
            let mut grants = self.grants.lock();
            match grants.get(grant.name).filter(|good| good.person == *grant.person) {
                Some(good) => good.id.clone(),
                None => {
                    let id = random::id();
                    grants.insert(grant.name, Good { id: id.clone(), person: grant.person.clone() });
                    id
                }
            }
        };
        let micros = i64::try_from(grant.expires_in.as_micros()).unwrap_or(i64::MAX);
        let expires = now.offset_micros(micros);
        let SourceName { room, participant } = grant.name;
        let claims = TicketClaims {
            exp: expires.micros().div_ceil(1_000_000),
            room: room.as_str(),
            role: "co-host",
            participant: participant.as_str(),
            sub: grant.person.as_str(),
            seat: grant.seat.unwrap_or(0),
            jti: &jti,
        };
        let place = if grant.name.is_host() { room.to_string() } else { format!("{room}/{participant}") };
        Ticket {
            room: room.to_string(),
            person: grant.person.to_string(),
            seat: grant.seat,
            participant: participant.to_string(),
            whip: format!("/whip/{place}"),
            r#return: format!("/whep/{room}/{participant}/return"),
            token: self.keys.current().sign(&claims),
            expires: expires.to_string(),
            program_time: program_time.map(|time| time.to_string()),
        }
    }

    /// Returns the grants of a room, each with its participant.
    pub fn of_room(&self, room: &RoomName) -> Vec<(ParticipantName, Good)> {
        let grants = self.grants.lock();
        let own = grants.0.get(room).into_iter().flatten();
        own.map(|(participant, good)| (participant.clone(), good.clone())).collect()
    }

    /// Lets a grant of an earlier process be good again.
    pub fn restore(&self, name: &SourceName, good: Good) {
        self.grants.lock().insert(name, good);
    }

    /// Whether the grant `id` is good for `name`.
    pub fn is_current(&self, name: &SourceName, id: &str) -> bool {
        self.grants.lock().get(name).is_some_and(|current| current.id == id)
    }

    /// Ends the grant for `name` if another person than this one has it. Returns its id.
    pub fn keep_for(&self, name: &SourceName, person: Option<&PersonId>) -> Option<String> {
        let mut grants = self.grants.lock();
        let is_of_another = grants.get(name).is_some_and(|good| Some(&good.person) != person);
        if is_of_another { grants.remove(name) } else { None }
    }

    /// Ends the grant for `name`. Returns its id.
    pub fn void(&self, name: &SourceName) -> Option<String> {
        self.grants.lock().remove(name)
    }

    /// Ends all grants of a room. Returns their ids.
    pub fn void_room(&self, room: &RoomName) -> Vec<String> {
        let own = self.grants.lock().0.remove(room).unwrap_or_default();
        own.into_values().map(|good| good.id).collect()
    }
}

#[cfg(test)]
mod tests {
    use onmic_media::gate::{Action, Gate, Refusal, Shown};

    use super::*;
    use crate::auth::TokenGate;

    #[test]
    fn a_ticket_admits_its_participant_until_it_is_void() {
        let tickets = Tickets::new("secret");
        let gate = TokenGate::new("secret", tickets.clone());
        let anna: SourceName = "demo/anna".parse().unwrap();
        let ben: SourceName = "demo/ben".parse().unwrap();
        let person: PersonId = "anna".parse().unwrap();
        let grant = Grant { name: &anna, person: &person, seat: Some(2), expires_in: Duration::from_secs(10) };
        let now = Date(4_000_000_000_000_000); // `exp` is checked against the system's clock.
        let token = tickets.issue(&grant, now, None).token.unwrap();
        let admitted = gate.check(Action::Publish(&anna), Shown::token(Some(&token)));
        assert_eq!(admitted.as_ref().unwrap().person, Some(person.clone()));
        assert_eq!(gate.check(Action::PlayReturn(&anna), Shown::token(Some(&token))), admitted);
        assert!(gate.check(Action::Publish(&ben), Shown::token(Some(&token))).is_err());

        let repeated = tickets.issue(&grant, now, None).token.unwrap();
        assert_eq!(
            gate.check(Action::Publish(&anna), Shown::token(Some(&repeated))).unwrap().person,
            Some(person.clone())
        );
        tickets.void(&anna);
        for token in [&token, &repeated] {
            let refused = gate.check(Action::Publish(&anna), Shown::token(Some(token))).unwrap_err();
            assert!(matches!(&refused, Refusal::NotAllowed(why) if why.contains("no longer yours")), "{refused}");
        }
        let again = tickets.issue(&grant, now, None).token.unwrap();
        assert!(gate.check(Action::Publish(&anna), Shown::token(Some(&again))).is_ok());
        assert!(gate.check(Action::Publish(&anna), Shown::token(Some(&token))).is_err());
    }

    #[test]
    fn a_ticket_lives_and_dies_with_its_place_whatever_the_clock_says() {
        let tickets = Tickets::new("secret");
        let gate = TokenGate::new("secret", tickets.clone());
        let host: SourceName = "demo".parse().unwrap();
        let (mia, ben): (PersonId, PersonId) = ("mia".parse().unwrap(), "ben".parse().unwrap());
        let grant = Grant { name: &host, person: &mia, seat: None, expires_in: Duration::from_secs(10) };
        let token = tickets.issue(&grant, Date(1_000_000), None).token.unwrap();
        let good = |token: &str| gate.check(Action::Publish(&host), Shown::token(Some(token))).is_ok();
        assert!(good(&token), "its date was long ago, and the place is still hers");
        tickets.keep_for(&host, Some(&mia));
        assert!(good(&token));
        let next = tickets.issue(&Grant { person: &ben, ..grant }, Date(1_000_000), None).token.unwrap();
        assert!(good(&next) && !good(&token), "another person has the place");
        tickets.keep_for(&host, None);
        assert!(
            !good(&next) && gate.claims(Shown::token(Some(&next))).is_err(),
            "nobody has it, for whatever it is shown"
        );
        assert!(gate.check(Action::Play(&host.room), Shown::token(Some(&next))).is_err());
    }

    #[test]
    fn without_a_secret_a_ticket_has_no_token() {
        let anna: SourceName = "demo/anna".parse().unwrap();
        let person = "anna".parse().unwrap();
        let grant = Grant { name: &anna, person: &person, seat: Some(2), expires_in: Duration::from_secs(10) };
        let ticket = Tickets::new("").issue(&grant, Date(0), Some(Date(1_000_000)));
        assert_eq!((ticket.token, ticket.whip.as_str()), (None, "/whip/demo/anna"));
        assert_eq!(ticket.r#return, "/whep/demo/anna/return");
        assert_eq!(ticket.expires, "1970-01-01T00:00:10.000Z");
        assert_eq!(ticket.program_time.as_deref(), Some("1970-01-01T00:00:01.000Z"));
    }
}
