//! Orders: what somebody wants of a room. The machine decides on it, or the driver does it if the machine allows.

use std::time::{Duration, Instant};

use onmic_media::SourceName;
use onmic_names::without_turns;
use onmic_room::{
    Actor, Command, Effect, Event, Input, ParticipantName, PersonId, Refused, RoomName, SeatNo, Settings, Who,
};

use super::event::{Changed, RoomEvent};
use super::live::Live;
use super::look::{Image, Impossible, Layout, Look, LookChange, OverlayBody, Overlays, SourceChange};
use super::refusal::{Denied, TEXT_MAX};
use super::wire::Message;
use super::{Cell, Rooms};
use crate::ticket::Grant;

/// Something that somebody wants of a room.
#[derive(Debug)]
pub enum Order {
    /// A command, on which the machine decides.
    Machine(Command),
    /// Asks for a fresh ticket for a participant's place.
    Ticket(Who),
    Layout(Layout),
    Overlays(Vec<OverlayBody>),
    Look(LookChange),
    Source(ParticipantName, SourceChange),
    Chat(String),
    /// Sends somebody out of the room.
    Kick(PersonId),
    /// Keeps somebody out of the room for a time, for a reason.
    Ban(PersonId, (Duration, String)),
    LiftBan(PersonId),
}

/// The outcome of an order that was carried out.
#[derive(Debug, Default)]
pub struct Done {
    pub changed: Changed,
    /// Whether the request, the invitation or the proposal of a PK that the answer shows is new.
    pub created: bool,
}

impl From<Changed> for Done {
    fn from(changed: Changed) -> Self {
        Self { changed, created: false }
    }
}

/// The part of a room that an answer shows.
enum Shown {
    Nothing,
    /// The request of this person, or their seat if the request was granted at once.
    Request(PersonId),
    Invitation(PersonId),
    SeatOf(PersonId),
    Seat(SeatNo),
    Host,
    Pk,
}

impl Shown {
    fn of(command: &Command) -> Self {
        match command {
            Command::RequestMic { person, .. } => Self::Request(person.clone()),
            Command::Invite { person, .. } => Self::Invitation(person.clone()),
            Command::Grant { person, .. } | Command::Accept { person } => Self::SeatOf(person.clone()),
            Command::Move { seat, .. } | Command::LockSeat { seat, .. } => Self::Seat(*seat),
            Command::Mute { who, .. } => match who {
                Who::Person(person) => Self::SeatOf(person.clone()),
                Who::Seat(seat) => Self::Seat(*seat),
                Who::Host => Self::Host,
            },
            Command::HandOver { .. } => Self::Host,
            Command::ProposePk { .. } | Command::AcceptPk => Self::Pk,
            _ => Self::Nothing,
        }
    }
}

impl Rooms {
    /// Carries out an order of `by`.
    pub async fn order(&self, room: &RoomName, by: &Actor, order: Order) -> Result<Done, Denied> {
        let cell = match (self.cell(room), &order) {
            (Ok(cell), _) => cell,
            // Admins keep the bans of rooms that are not there.
            (Err(_), Order::Ban(person, ban)) => return self.ban(room, by, person, ban.clone()),
            (Err(_), Order::LiftBan(person)) => return self.lift_ban(room, by, person),
            (Err(unknown), _) => return Err(unknown.into()),
        };
        let (is_chat, now) = (matches!(order, Order::Chat(_)), self.now());
        self.within(room, &mut cell.live.lock(), |live| keep_rate(live.as_mut(), by, is_chat, now))??;
        match order {
            Order::Machine(command) => self.command(room, &cell, by, command),
            Order::Ticket(who) => self.renew_ticket(room, &cell, by, &who),
            Order::Kick(person) => self.kick(room, by, person),
            Order::Ban(person, ban) => self.ban(room, by, &person, ban),
            Order::LiftBan(person) => self.lift_ban(room, by, &person),
            Order::Chat(text) => self.chat(room, &cell, by, &text),
            Order::Layout(layout) => self.change_look(room, &cell, by, |look| look.set_layout(layout)),
            Order::Look(change) => self.change_look(room, &cell, by, |look| {
                look.change(&change);
                Ok(())
            }),
            Order::Source(participant, change) => {
                self.change_look(room, &cell, by, |look| look.set_source(participant, change))
            }
            Order::Overlays(bodies) => {
                // Pictures are decoded only for somebody who may show them, and without the room's lock held.
                self.desk.lock().machine.authorize(room, by)?;
                let overlays = Overlays::check(room, bodies)?;
                let overlays = self.decoder.decode(room, overlays).await?;
                self.change_look(room, &cell, by, |look| look.set_overlays(overlays))
            }
        }
    }

    pub(super) fn command(&self, room: &RoomName, cell: &Cell, by: &Actor, command: Command) -> Result<Done, Denied> {
        let shown = Shown::of(&command);
        let asking = if let Command::RequestMic { person, .. } = &command { Some(person.clone()) } else { None };
        let input = Input::Command { room: room.clone(), by: by.clone(), command };
        let mut live = cell.live.lock();
        if let Some(person) = asking {
            self.carry_out_filed(room, cell, &mut live); // Ends of requests may be among it.
            self.must_leave_requests(room, live.as_ref(), by, &person)?;
        }
        let step = self.decide(input, |machine, effects| {
            let created = effects.iter().any(|effect| is_new(effect, &shown));
            (created, self.show(machine, room, &shown))
        })?;
        self.settle(room, cell, &mut live);
        let (created, changed) = step.answer;
        let mut changed = changed.unwrap_or_default();
        if let (Some(seat), Some(live)) = (&mut changed.seat, &*live) {
            seat.speaking = live.speaks(seat.participant.as_deref());
        }
        drop(live);
        self.settle_all(step.touched);
        Ok(Done { changed, created })
    }

    fn show(&self, machine: &onmic_room::Rooms, room: &RoomName, shown: &Shown) -> Result<Changed, Refused> {
        let wire = self.wire();
        let seat_of = |person: &PersonId| {
            let seat = machine.seat_of(room, person)?.map(|seat| wire.seat(&seat, false));
            Ok(Changed { seat, ..Changed::default() })
        };
        let host = || Ok(Changed { host: Some(wire.host(&machine.host(room)?)), ..Changed::default() });
        match shown {
            Shown::Nothing => Ok(Changed::default()),
            Shown::Request(person) => match machine.request_of(room, person)? {
                Some(request) => Ok(Changed { request: Some(wire.request(&request)), ..Changed::default() }),
                None => seat_of(person),
            },
            Shown::Invitation(person) => match machine.invitation_of(room, person)? {
                Some(invitation) => {
                    Ok(Changed { invitation: Some(wire.invitation(&invitation)), ..Changed::default() })
                }
                None => seat_of(person),
            },
            Shown::SeatOf(person) if machine.host(room)?.person.as_ref() == Some(person) => host(),
            Shown::SeatOf(person) => seat_of(person),
            Shown::Seat(seat) => {
                Ok(Changed { seat: Some(wire.seat(&machine.seat(room, *seat)?, false)), ..Changed::default() })
            }
            Shown::Host => host(),
            Shown::Pk => Ok(Changed { pk: Some(machine.pk(room)?.map(|pk| wire.pk(&pk))), ..Changed::default() }),
        }
    }

    fn chat(&self, room: &RoomName, cell: &Cell, by: &Actor, text: &str) -> Result<Done, Denied> {
        let text = without_turns(text);
        let text = text.trim();
        if text.is_empty() || text.chars().count() > TEXT_MAX || text.chars().any(|c| c.is_control() && c != '\n') {
            return Err(Denied::Text);
        }
        self.within(room, &mut cell.live.lock(), |live| self.say(room, live.as_mut(), by, text))?
    }

    fn say(&self, room: &RoomName, live: Option<&mut Live>, by: &Actor, text: &str) -> Result<Done, Denied> {
        let (live, now) = (live.ok_or_else(|| Refused::RoomUnknown(room.clone()))?, self.now());
        let name = match &by.person {
            None => String::new(),
            Some(person) => match live.persons.get(person) {
                Some(known) => known.name.clone(),
                None => return Err(Refused::PersonUnknown(person.clone()).into()),
            },
        };
        let person = by.person.as_ref().map(ToString::to_string);
        let at = self.hub.calendar().at(now).to_string();
        let message = Message { person, name, text: text.to_owned(), at };
        live.say(message.clone());
        self.tell_all(live, room, now, &RoomEvent::Chat { message: message.clone() }, false);
        Ok(Changed { message: Some(message), ..Changed::default() }.into())
    }

    fn change_look(
        &self,
        room: &RoomName,
        cell: &Cell,
        by: &Actor,
        change: impl FnOnce(&mut Look) -> Result<(), Impossible>,
    ) -> Result<Done, Denied> {
        self.within(room, &mut cell.live.lock(), |live| self.look_otherwise(room, live.as_mut(), by, change))?
    }

    fn look_otherwise(
        &self,
        room: &RoomName,
        live: Option<&mut Live>,
        by: &Actor,
        change: impl FnOnce(&mut Look) -> Result<(), Impossible>,
    ) -> Result<Done, Denied> {
        self.desk.lock().machine.authorize(room, by)?;
        let live = live.ok_or_else(|| Refused::RoomUnknown(room.clone()))?;
        let mut look = live.look.clone(); // The pictures are shared, not copied.
        change(&mut look)?;
        let program = || live.told_program(room);
        if look == live.look {
            return Ok(Changed { program: Some(program()), ..Changed::default() }.into());
        }
        let before = std::mem::replace(&mut live.look, look);
        self.note(room);
        self.stage.direct(room, &live.mix, &live.look);
        let told = RoomEvent::ProgramChanged { program: live.told_change(room, &before) };
        self.tell_all(live, room, self.now(), &told, true);
        Ok(Changed { program: Some(live.told_program(room)), ..Changed::default() }.into())
    }

    /// Issues a fresh ticket for a place that the person has already.
    fn renew_ticket(&self, room: &RoomName, cell: &Cell, by: &Actor, who: &Who) -> Result<Done, Denied> {
        self.within(room, &mut cell.live.lock(), |live| self.ticket_again(room, live.as_ref(), by, who))?
    }

    fn ticket_again(&self, room: &RoomName, live: Option<&Live>, by: &Actor, who: &Who) -> Result<Done, Denied> {
        let desk = self.desk.lock();
        let machine = &desk.machine;
        let person = machine.resolve(room, who)?;
        if by.person.as_ref() != Some(&person) && machine.authorize(room, by).is_err() {
            return Err(Refused::NotYours.into());
        }
        let invited = machine.invitation_of(room, &person)?.is_some();
        let seat = machine.seat_of(room, &person)?.filter(|_| !invited);
        let (participant, seat) = match seat {
            Some(seat) => (person.participant(), Some(seat.seat.get())),
            None if machine.host(room)?.person.as_ref() == Some(&person) => (ParticipantName::host(), None),
            None => return Err(Refused::NotOnMic(person.to_string()).into()),
        };
        let expires_in = machine.settings(room)?.timeouts.grant;
        drop(desk);
        let name = SourceName::new(room, &participant);
        let grant = Grant { name: &name, person: &person, seat, expires_in };
        let ticket = self.send_ticket(live, self.now(), &grant);
        Ok(Changed { ticket: Some(ticket), ..Changed::default() }.into())
    }

    /// Replaces the settings of a room by what `change` returns for them.
    pub fn configure(
        &self,
        room: &RoomName,
        by: &Actor,
        change: impl FnOnce(Settings) -> Settings,
    ) -> Result<(), Denied> {
        let touched = {
            let mut desk = self.desk.lock();
            let settings = change(desk.machine.settings(room)?.clone());
            let input = Input::Configure { room: room.clone(), by: by.clone(), settings };
            self.step(&mut desk, input, |_, _| ())?.touched
        };
        self.settle_all(touched);
        Ok(())
    }

    /// Returns the picture of an overlay.
    pub fn image(&self, room: &RoomName, id: &str) -> Option<Image> {
        self.cell(room).ok()?.live.lock().as_ref()?.look.image(id).cloned()
    }

    /// Checks that `by` directs the room.
    pub fn must_direct(&self, room: &RoomName, by: &Actor) -> Result<(), Denied> {
        Ok(self.desk.lock().machine.authorize(room, by)?)
    }
}

/// Refuses people in the room who are too fast. Backends are trusted to keep their own rate.
fn keep_rate(live: Option<&mut Live>, by: &Actor, is_chat: bool, now: Instant) -> Result<(), Denied> {
    let (Some(person), Some(live)) = (&by.person, live) else { return Ok(()) };
    let Some(known) = live.persons.get_mut(person) else { return Ok(()) };
    known.rates.commands.try_take(1.0, now).map_err(Denied::TooFast)?;
    if is_chat { known.rates.chat.try_take(1.0, now).map_err(Denied::TooFast) } else { Ok(()) }
}

/// Whether this effect created what the answer shows.
fn is_new(effect: &Effect, shown: &Shown) -> bool {
    let Effect::Event { event, .. } = effect else { return false };
    match (event, shown) {
        (Event::MicRequested { request }, Shown::Request(person)) => request.person == *person,
        (Event::Invited { invitation, .. }, Shown::Invitation(person)) => invitation.person == *person,
        (Event::PkProposed { .. }, Shown::Pk) => true,
        _ => false,
    }
}
