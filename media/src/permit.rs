//! Permits: what claims have opened, and how it ends.
//!
//! A *claim* is what somebody shows at a gate: a token, a ticket for a seat, or nothing where nothing is asked for. A gate that
//! lets it in makes a [`Grant`] of it, which says for which room, person (or else principal) and place on mic it holds, and until when. Whatever
//! stays open by the grant (a WebSocket, a session of WebRTC, HTTP-FLV, RTMP) holds a [`Permit`]. [`Permits`] has all permits of
//! the node, and nobody else ends them: when the time of the grant is over, when the person is sent away or banned, or when
//! the place on mic is lost. The holder is woken, reads why, tells its peer and drops the permit. A holder that ends by itself
//! only drops it.
//!
//! A gate takes the permit before it decides. So a claim that is voided at the same time is either refused or ended.
//!
//! A request that is answered at once needs no permit. LL-HLS has none, because each of its requests is checked
//! ([`crate::Action::PlayOn`]). So the gate keeps in mind who was sent out, until they begin anew ([`crate::Gate::begin`]).
//!
//! The time of a grant is a length on the monotonic clock from the moment of its check on, so a system clock that is set later
//! ends nothing. It reads no clock: [`Permits::expire`] is called now and then.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use metrics::counter;
use parking_lot::Mutex;

use crate::metric;
use crate::name::{ParticipantName, PersonId, Principal, RoomName};

metric::label_values! {
    /// States why a permit is ended.
    Ending:
    /// The token has expired, and the grace (`auth.grace`) is over.
    Expired => "token_expired",
    /// The place on mic is not the person's any more.
    PlaceLost => "place_lost",
    /// The person was sent out of the room.
    Removed => "removed",
    /// The person is banned from the room.
    Banned => "banned",
}

impl fmt::Display for Ending {
    /// Writes a sentence for the peer.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => "The token has expired. Come back with a new one.",
            Self::PlaceLost => "The place on mic is no longer yours. Ask for the mic again.",
            Self::Removed => "You were sent out of the room.",
            Self::Banned => "You are banned from this room.",
        })
    }
}

/// What a gate has granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The room that it is for.
    pub room: RoomName,
    /// The person of the claim, if it names one.
    pub person: Option<PersonId>,
    /// The participant whom the claim names beside its person. What ends the one's right ends the other's.
    pub alias: Option<PersonId>,
    /// Who answers for a claim that names nobody, if anybody has to.
    pub nameless: Option<Principal>,
    /// The place on mic that it acts for: as a publisher, or for a return feed.
    pub place: Option<ParticipantName>,
    /// The id of the ticket that was shown, if it was one. It holds for as long as the ticket is good, whatever was opened by it.
    pub ticket: Option<Box<str>>,
    /// When it is over by itself. A ticket is good for as long as the place is the person's.
    pub until: Option<Instant>,
}

/// Those whose permits end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Whose {
    /// Everything that this person has opened in the room.
    Person(PersonId),
    /// Everything that was opened for this place on mic of the room.
    Place(ParticipantName),
    /// Everything that was opened by the ticket with this id.
    Ticket(Box<str>),
    /// Everything that was opened in the room by claims that name nobody, and for which this principal answers.
    Nameless(Principal),
}

/// All permits of a node. Share it behind an `Arc`.
#[derive(Debug, Default)]
pub struct Permits {
    table: Mutex<Table>,
}

/// The right to keep something open. Drop it when that is closed.
#[derive(Debug)]
pub struct Permit {
    /// `None` for a permit that nobody ends.
    held: Option<(Arc<Permits>, u64, Arc<Slot>)>,
}

/// The one who opens something: who answers for it, and by which permit.
#[derive(Debug)]
pub struct Holder {
    /// The principal, whose share it counts for.
    pub who: Principal,
    /// The permit.
    pub permit: Permit,
}

impl From<Principal> for Holder {
    /// Makes a holder whose permit nobody ends.
    fn from(who: Principal) -> Self {
        Self { who, permit: Permit::endless() }
    }
}

/// Where a holder finds out about the end of its permit.
#[derive(Debug, Default)]
struct Slot {
    ended: OnceLock<Ending>,
    waker: Mutex<Option<Waker>>,
}

/// The permits by key, and how they are found. It is bounded by what is open.
#[derive(Debug, Default)]
struct Table {
    next: u64,
    held: HashMap<u64, Held>,
    /// The keys of permits by the time at which they end.
    terms: BTreeSet<(Instant, u64)>,
    whose: HashMap<(RoomName, Whose), BTreeSet<u64>>,
}

#[derive(Debug)]
struct Held {
    grant: Grant,
    /// Why it ends at [`Grant::until`].
    why: Ending,
    slot: Arc<Slot>,
}

impl Held {
    fn keys(&self) -> impl Iterator<Item = (RoomName, Whose)> + use<> {
        let Grant { room, person, alias, nameless, place, ticket, .. } = self.grant.clone();
        let named = [person.map(Whose::Person), nameless.map(Whose::Nameless)];
        let whose =
            named.into_iter().chain([alias.map(Whose::Person), place.map(Whose::Place), ticket.map(Whose::Ticket)]);
        whose.flatten().map(move |whose| (room.clone(), whose))
    }
}

impl Permits {
    /// Lets something be opened by `grant`.
    pub fn open(self: &Arc<Self>, grant: Grant) -> Permit {
        let slot = Arc::new(Slot::default());
        let key = self.table.lock().open(Held { grant, why: Ending::Expired, slot: slot.clone() });
        Permit { held: Some((self.clone(), key, slot)) }
    }

    /// Ends the permits in `room` that are `whose`, at `when` or at the time that they have, whichever comes first. Those that
    /// end by `now` end at once. Returns how many of them are shortened.
    pub fn end(&self, room: &RoomName, whose: Whose, why: Ending, when: Instant, now: Instant) -> usize {
        let (shortened, over) = {
            let mut table = self.table.lock();
            (table.shorten((room.clone(), whose), why, when), table.take_over(now))
        };
        tell(over);
        shortened
    }

    /// Ends the permits whose time is over.
    pub fn expire(&self, now: Instant) {
        let over = self.table.lock().take_over(now);
        tell(over);
    }

    /// Returns how many permits there are.
    pub fn len(&self) -> usize {
        self.table.lock().held.len()
    }

    /// Returns whether there is no permit.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Tells the holders of these permits that they are ended. No lock is held.
fn tell(over: Vec<(Arc<Slot>, Ending)>) {
    for (slot, why) in over {
        if slot.ended.set(why).is_ok() {
            counter!(metric::PERMITS_ENDED, "reason" => why.name()).increment(1);
        }
        let waker = slot.waker.lock().take();
        waker.into_iter().for_each(Waker::wake);
    }
}

impl Table {
    fn open(&mut self, held: Held) -> u64 {
        let key = self.next;
        self.next += 1;
        self.terms.extend(held.grant.until.map(|until| (until, key)));
        for whose in held.keys() {
            self.whose.entry(whose).or_default().insert(key);
        }
        self.held.insert(key, held);
        key
    }

    fn close(&mut self, key: u64) -> Option<Held> {
        let held = self.held.remove(&key)?;
        if let Some(until) = held.grant.until {
            self.terms.remove(&(until, key));
        }
        for whose in held.keys() {
            if let Some(keys) = self.whose.get_mut(&whose) {
                keys.remove(&key);
                if keys.is_empty() {
                    self.whose.remove(&whose);
                }
            }
        }
        Some(held)
    }

    fn shorten(&mut self, whose: (RoomName, Whose), why: Ending, when: Instant) -> usize {
        let keys: Vec<_> = self.whose.get(&whose).into_iter().flatten().copied().collect();
        let mut shortened = 0;
        for key in keys {
            let Some(held) = self.held.get_mut(&key) else { continue };
            let before = held.grant.until;
            if before.is_none_or(|until| when < until) {
                held.grant.until = Some(when);
                held.why = why;
                self.terms.extend([(when, key)]);
                before.map(|until| self.terms.remove(&(until, key)));
                shortened += 1;
            }
        }
        shortened
    }

    /// Takes out the permits whose time is over.
    fn take_over(&mut self, now: Instant) -> Vec<(Arc<Slot>, Ending)> {
        let mut over = Vec::new();
        while let Some((_, key)) = self.terms.first().copied().filter(|(until, _)| *until <= now) {
            over.extend(self.close(key).map(|held| (held.slot, held.why)));
        }
        over
    }
}

impl Permit {
    /// Makes a permit that nobody ends.
    pub fn endless() -> Self {
        Self { held: None }
    }

    /// Returns why it is ended, if it is.
    pub fn ended(&self) -> Option<Ending> {
        self.held.as_ref().and_then(|(_, _, slot)| slot.ended.get().copied())
    }

    /// Returns why it is ended. Before that it wakes the task of `cx`, which has to be the only one that waits for it.
    pub fn poll_ended(&self, cx: &mut Context<'_>) -> Poll<Ending> {
        let Some((_, _, slot)) = &self.held else { return Poll::Pending };
        {
            let mut waker = slot.waker.lock();
            if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                *waker = Some(cx.waker().clone());
            }
        }
        // The end may have come before the waker was there.
        slot.ended.get().map_or(Poll::Pending, |why| Poll::Ready(*why))
    }

    /// Waits until it is ended. The future may be dropped and made again.
    pub async fn end(&self) -> Ending {
        std::future::poll_fn(|cx| self.poll_ended(cx)).await
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some((permits, key, _)) = self.held.take() {
            permits.table.lock().close(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;
    use std::time::Duration;

    use super::*;

    #[derive(Default)]
    struct Bell(AtomicUsize);

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn room() -> RoomName {
        "demo".parse().unwrap()
    }

    fn grant(person: &str, until: Option<Instant>) -> Grant {
        let person = Some(person.parse().unwrap());
        Grant { room: room(), person, alias: None, nameless: None, place: None, ticket: None, until }
    }

    fn person(id: &str) -> Whose {
        Whose::Person(id.parse().unwrap())
    }

    #[test]
    fn a_lease_ends_when_its_time_is_over_and_no_sooner() {
        let (permits, start) = (Arc::new(Permits::default()), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        let (short, long) = (permits.open(grant("anna", Some(after(3)))), permits.open(grant("anna", Some(after(60)))));
        let endless = permits.open(grant("anna", None));
        permits.expire(after(2));
        assert_eq!(short.ended(), None);
        permits.expire(after(3));
        assert_eq!((short.ended(), long.ended(), endless.ended()), (Some(Ending::Expired), None, None));
        permits.expire(after(100_000));
        assert_eq!((long.ended(), endless.ended()), (Some(Ending::Expired), None));
        drop((short, long, endless));
        assert!(permits.is_empty());
    }

    #[test]
    fn a_person_who_is_sent_away_loses_everything_in_that_room_and_nobody_else_does() {
        let (permits, now) = (Arc::new(Permits::default()), Instant::now());
        let own = [permits.open(grant("anna", None)), permits.open(grant("anna", Some(now + Duration::from_secs(9))))];
        let other = permits.open(grant("ben", None));
        let elsewhere = permits.open(Grant { room: "other".parse().unwrap(), ..grant("anna", None) });
        let nobody = permits.open(Grant { person: None, ..grant("anna", None) });
        assert_eq!(permits.end(&room(), person("anna"), Ending::Banned, now, now), 2);
        assert!(own.iter().all(|permit| permit.ended() == Some(Ending::Banned)));
        assert!([&other, &elsewhere, &nobody].iter().all(|permit| permit.ended().is_none()));
        assert_eq!(permits.end(&room(), person("anna"), Ending::Removed, now, now), 0, "they are ended already");
    }

    #[test]
    fn whoever_answers_for_claims_without_a_name_loses_what_those_have_opened() {
        let (permits, now) = (Arc::new(Permits::default()), Instant::now());
        let who = |id: &str| Principal::Token(id.into());
        let of = |id| Grant { person: None, nameless: Some(who(id)), ..grant("anna", None) };
        let own = [permits.open(of("t1")), permits.open(of("t1"))];
        let elsewhere = permits.open(Grant { room: "other".parse().unwrap(), ..of("t1") });
        let others = [permits.open(of("t2")), permits.open(grant("t1", None)), elsewhere];
        assert_eq!(permits.end(&room(), Whose::Nameless(who("t1")), Ending::Banned, now, now), 2);
        assert!(own.iter().all(|permit| permit.ended() == Some(Ending::Banned)));
        assert!(others.iter().all(|permit| permit.ended().is_none()));
    }

    #[test]
    fn a_place_that_is_lost_ends_later_and_never_later_than_before() {
        let (permits, now) = (Arc::new(Permits::default()), Instant::now());
        let after = |seconds| now + Duration::from_secs(seconds);
        let place = || Some("anna".parse().unwrap());
        let ticket = permits.open(Grant { place: place(), ..grant("anna", None) });
        let token = permits.open(Grant { place: place(), ..grant("anna", Some(after(2))) });
        let watching = permits.open(grant("anna", None));
        let whose = Whose::Place("anna".parse().unwrap());
        assert_eq!(permits.end(&room(), whose, Ending::PlaceLost, after(10), now), 1);
        permits.expire(after(5));
        assert_eq!((ticket.ended(), token.ended()), (None, Some(Ending::Expired)));
        permits.expire(after(10));
        assert_eq!((ticket.ended(), watching.ended()), (Some(Ending::PlaceLost), None));
    }

    #[test]
    fn the_holder_is_woken_once_and_hears_of_an_end_that_came_before_it_waited() {
        let (permits, now) = (Arc::new(Permits::default()), Instant::now());
        let bell = Arc::new(Bell::default());
        let waker = Waker::from(bell.clone());
        let permit = permits.open(grant("anna", None));
        assert!(permit.poll_ended(&mut Context::from_waker(&waker)).is_pending());
        for _ in 0..2 {
            permits.end(&room(), person("anna"), Ending::Removed, now, now);
        }
        assert_eq!(bell.0.load(Ordering::Relaxed), 1);
        let ended = permit.poll_ended(&mut Context::from_waker(Waker::noop()));
        assert_eq!(ended, Poll::Ready(Ending::Removed));
        assert!(Permit::endless().poll_ended(&mut Context::from_waker(&waker)).is_pending());
    }

    /// A small generator of numbers (xorshift), so that a seed replays a run.
    struct Random(u64);

    impl Random {
        fn below(&mut self, limit: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 % limit
        }
    }

    /// What a permit should be, kept in the plainest way.
    struct Expected {
        permit: Permit,
        grant: Grant,
        why: Ending,
        ended: Option<Ending>,
    }

    /// Opens, ends, expires and drops permits at random. Every one must be ended exactly when and why a plain list says so.
    fn simulate(seed: u64) {
        let (mut random, permits, mut now) = (Random(seed * 2 + 1), Arc::new(Permits::default()), Instant::now());
        let mut all: Vec<Expected> = Vec::new();
        let name = |number| ["anna", "ben", "vera"][number as usize];
        let rooms: [RoomName; 2] = ["red".parse().unwrap(), "blue".parse().unwrap()];
        for step in 0..200 {
            let room = rooms[random.below(2) as usize].clone();
            match random.below(10) {
                0..=4 => {
                    let person = (random.below(4) > 0).then(|| name(random.below(3)).parse().unwrap());
                    let answers = person.is_none() && random.below(4) > 0;
                    let grant = Grant {
                        room,
                        person,
                        alias: (random.below(4) == 0).then(|| name(random.below(3)).parse().unwrap()),
                        nameless: answers.then(|| Principal::Token(name(random.below(3)).into())),
                        place: (random.below(3) == 0).then(|| name(random.below(3)).parse().unwrap()),
                        ticket: (random.below(3) == 0).then(|| name(random.below(3)).into()),
                        until: (random.below(3) > 0).then(|| now + Duration::from_millis(random.below(20_000))),
                    };
                    let permit = permits.open(grant.clone());
                    all.push(Expected { permit, grant, why: Ending::Expired, ended: None });
                }
                5 | 6 => {
                    let id = name(random.below(3));
                    let (whose, why) = match random.below(4) {
                        0 => (person(id), Ending::Banned),
                        2 => (Whose::Ticket(id.into()), Ending::PlaceLost),
                        1 => (Whose::Nameless(Principal::Token(id.into())), Ending::Removed),
                        _ => (Whose::Place(id.parse().unwrap()), Ending::PlaceLost),
                    };
                    let when = now + Duration::from_millis(random.below(3) * 2_500);
                    permits.end(&room, whose.clone(), why, when, now);
                    let is_meant = |grant: &Grant| {
                        let of = match &whose {
                            Whose::Person(person) => [&grant.person, &grant.alias].contains(&&Some(person.clone())),
                            Whose::Place(place) => grant.place.as_ref() == Some(place),
                            Whose::Ticket(id) => grant.ticket.as_ref() == Some(id),
                            Whose::Nameless(who) => grant.nameless.as_ref() == Some(who),
                        };
                        of && grant.room == room
                    };
                    for expected in all.iter_mut().filter(|one| one.ended.is_none() && is_meant(&one.grant)) {
                        if expected.grant.until.is_none_or(|until| when < until) {
                            (expected.grant.until, expected.why) = (Some(when), why);
                        }
                    }
                }
                7 if !all.is_empty() => drop(all.swap_remove(random.below(all.len() as u64) as usize)),
                _ => now += Duration::from_millis(random.below(4_000)),
            }
            permits.expire(now);
            for expected in &mut all {
                if expected.ended.is_none() && expected.grant.until.is_some_and(|until| until <= now) {
                    expected.ended = Some(expected.why);
                }
                assert_eq!(expected.permit.ended(), expected.ended, "seed {seed}, step {step}: {:?}", expected.grant);
            }
            let open = all.iter().filter(|expected| expected.ended.is_none()).count();
            assert_eq!(permits.len(), open, "seed {seed}, step {step}");
        }
        drop(all);
        let table = permits.table.lock();
        assert!(
            table.held.is_empty() && table.terms.is_empty() && table.whose.is_empty(),
            "seed {seed}: something is left"
        );
    }

    #[test]
    fn three_hundred_seeds_end_every_permit_when_a_plain_list_does() {
        (0..300).for_each(simulate);
    }
}
