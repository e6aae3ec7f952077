//! How people lose what they have in a room: a place on mic, the room itself, and the right to come back.
//!
//! Everything that somebody has opened ends at once and everywhere: their connections to events, what they publish, and what
//! they watch by any protocol: by its permit ([`onmic_media::permit`]), or by the next request of a player of LL-HLS
//! ([`crate::sent_out`]). A viewer who is not connected to the events of the room is not known to the machine, and loses what they
//! watch all the same. A guest is held by whoever answers for them ([`super::guests`]).

use std::time::{Duration, Instant};

use onmic_media::{Ending, SourceName, Whose};
use onmic_names::is_line;
use onmic_room::{Actor, Authority, Command, PersonId, Refused, RevokeReason, RoomName};

use super::event::Changed;
use super::live::Live;
use super::mailbox::Closing;
use super::order::Done;
use super::refusal::{Denied, REASON_MAX};
use super::wire::BanState;
use super::{Part, Rooms};
use crate::bans::{Ban, LONGEST};

/// How long somebody who left the mic may go on with what their ticket opened. Their player goes over from the return feed to the
/// program meanwhile, with a token of its own.
const GOING_OVER: Duration = Duration::from_secs(5);

impl Rooms {
    /// Voids the ticket of a place on mic that is lost, and ends what was opened for the place and by the ticket.
    pub(super) fn void(&self, name: &SourceName, reason: RevokeReason, now: Instant) {
        let when = match reason {
            RevokeReason::Removed | RevokeReason::Kicked => now,
            RevokeReason::Left
            | RevokeReason::Timeout
            | RevokeReason::Failed
            | RevokeReason::HandedOver
            | RevokeReason::HostLeft
            | RevokeReason::RoomEnded => now + GOING_OVER,
            // A publisher is refused, and the place was never theirs. Whoever has it keeps the ticket.
            RevokeReason::NotSeated
            | RevokeReason::SeatsFull
            | RevokeReason::RoomLocked
            | RevokeReason::CoolingDown
            | RevokeReason::NotHost
            | RevokeReason::IsHost
            | RevokeReason::PersonsFull
            | RevokeReason::RoomsFull => return,
        };
        self.end_tickets(&name.room, self.standing.tickets.void(name), when, now);
        let whose = Whose::Place(name.participant.clone());
        self.standing.permits.end(&name.room, whose, Ending::PlaceLost, when, now);
    }

    /// Ends what was opened by tickets of a room that are void from now on, after the time to go over to something else.
    pub(super) fn go_over(&self, room: &RoomName, tickets: impl IntoIterator<Item = String>, now: Instant) {
        self.end_tickets(room, tickets, now + GOING_OVER, now);
    }

    fn end_tickets(&self, room: &RoomName, tickets: impl IntoIterator<Item = String>, when: Instant, now: Instant) {
        for id in tickets {
            self.standing.permits.end(room, Whose::Ticket(id.into()), Ending::PlaceLost, when, now);
        }
    }

    /// Ends everything that a person has open in a room. For a guest, it ends what was opened without a name by whoever answers
    /// for them: one who only watches is known by nothing else.
    pub(super) fn expel(&self, room: &RoomName, live: Option<&Live>, person: &PersonId, why: Ending, now: Instant) {
        let closed = live.map_or(0, |live| live.close(person, Closing::Permit(why)));
        let guests = live.map_or(&[][..], |live| live.guests.principals(person));
        let whose = guests.iter().cloned().map(Whose::Nameless).chain([Whose::Person(person.clone())]);
        let end = |whose: Whose| {
            self.standing.sent_out.note(room, whose.clone(), now);
            self.standing.permits.end(room, whose, why, now, now)
        };
        let ended: usize = whose.map(end).sum();
        if closed + ended > 0 {
            tracing::info!(%room, %person, why = why.name(), closed, ended, "somebody is sent out of a room");
        }
    }

    /// Returns whether a place on mic is somebody's: they publish, or have the seat.
    pub fn has_place(&self, name: &SourceName) -> bool {
        if self.hub.source(name).is_some() {
            return true;
        }
        let desk = self.desk.lock();
        if name.is_host() {
            return desk.machine.host(&name.room).is_ok_and(|host| host.present);
        }
        desk.machine.seat_of(&name.room, &name.participant.person()).is_ok_and(|seat| seat.is_some())
    }

    /// Sends somebody out of the room, who may come back.
    pub(super) fn kick(&self, room: &RoomName, by: &Actor, person: PersonId) -> Result<Done, Denied> {
        self.send_out(room, by, &person, Ending::Removed)?;
        Ok(Done::default())
    }

    /// Keeps somebody out of the room for a time, and sends them out if they are in it.
    pub(super) fn ban(
        &self,
        room: &RoomName,
        by: &Actor,
        person: &PersonId,
        (time, reason): (Duration, String),
    ) -> Result<Done, Denied> {
        self.must_keep_order(room, by)?;
        if by.person.as_ref() == Some(person) {
            return Err(Denied::Yourself);
        }
        if time.is_zero() || time > LONGEST || reason.chars().count() > REASON_MAX || !is_line(&reason) {
            return Err(Denied::Ban);
        }
        let now = self.now();
        let cell = self.cell(room).ok();
        let live = cell.as_ref().map(|cell| cell.live.lock());
        let live_guests = live.as_ref().and_then(|live| (**live).as_ref()).map(|live| live.guests.principals(person));
        let ban = Ban { until: now + time, reason, nameless: live_guests.unwrap_or_default().to_vec() };
        let told = self.wire().ban(person, &ban);
        // It holds before they are sent out, so that they do not come back in between. The lock of the room is held, so that
        // nobody else comes to answer for them.
        let created = self.standing.bans.ban(room, person, ban, now).map_err(Denied::BansFull)?;
        drop(live);
        self.note_bans(room);
        match self.send_out(room, by, person, Ending::Banned) {
            Ok(()) => {}
            // They may watch, or wait to, where there is no room yet.
            Err(Denied::Refused(Refused::RoomUnknown(_))) => self.expel(room, None, person, Ending::Banned, now),
            Err(denied) => return Err(denied),
        }
        Ok(Done { changed: Changed { ban: Some(told), ..Changed::default() }, created })
    }

    /// Lets somebody who is banned come back.
    pub(super) fn lift_ban(&self, room: &RoomName, by: &Actor, person: &PersonId) -> Result<Done, Denied> {
        self.must_keep_order(room, by)?;
        self.standing.bans.lift(room, person, self.now());
        self.note_bans(room);
        Ok(Done::default())
    }

    /// Returns those who are banned from a room, by id, to somebody who keeps order in it.
    pub fn bans(&self, room: &RoomName, by: &Actor, part: Part<'_>) -> Result<Vec<BanState>, Denied> {
        self.must_keep_order(room, by)?;
        let bans = self.standing.bans.page(room, part.after, part.limit, self.now());
        Ok(bans.iter().map(|(person, ban)| self.wire().ban(person, ban)).collect())
    }

    /// Checks that `by` directs the room. Its bans are there without it, for admins.
    fn must_keep_order(&self, room: &RoomName, by: &Actor) -> Result<(), Denied> {
        match self.must_direct(room, by) {
            Err(Denied::Refused(Refused::RoomUnknown(_))) if by.authority == Authority::Admin => Ok(()),
            checked => checked,
        }
    }

    fn send_out(&self, room: &RoomName, by: &Actor, person: &PersonId, why: Ending) -> Result<(), Denied> {
        self.must_direct(room, by)?;
        let cell = self.cell(room)?;
        let now = self.now();
        // First with this reason: whatever the machine ends then is told this one.
        self.expel(room, cell.live.lock().as_ref(), person, why, now);
        self.command(room, &cell, by, Command::Kick { person: person.clone() }).map(drop)
    }
}
