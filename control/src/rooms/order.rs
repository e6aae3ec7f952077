//! What somebody wants of a room: asked of the machine, or done by the driver with the machine's leave.

use std::time::Instant;

use serde_json::{Value, json};

use onmic_http::Problem;
use onmic_media::SourceName;
use onmic_room::{
    Actor, Command, Input, ParticipantName, PersonId, Refused, RoomName, RoomView, SeatNo, SeatState, SeatView,
    Settings,
};

use super::live::Live;
use super::look::{Image, Impossible, Layout, Look, LookChange, OverlayBody, SourceChange};
use super::refusal::{impossible, refused, too_fast, unprocessable};
use super::wire::Message;
use super::{Rooms, State};
use crate::ticket::{Grant, Ticket};

/// Characters; a message is no letter.
const TEXT_MAX: usize = 500;

/// What is to be done.
#[derive(Debug)]
pub enum Order {
    /// The machine decides; what of the room is the answer.
    Machine(Command, Shown),
    /// The ticket again, for who has a seat.
    Ticket(PersonId),
    Layout(Layout),
    Overlays(Vec<OverlayBody>),
    Look(LookChange),
    Source(ParticipantName, SourceChange),
    Chat(String),
}

/// The part of a room that an answer shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    Nothing,
    /// The request of this person, or the seat.
    Request(PersonId),
    Invitation(PersonId),
    SeatOf(PersonId),
    Seat(SeatNo),
    Host,
    Pk,
}

impl Shown {
    /// The part that `command` changes.
    pub fn of(command: &Command) -> Self {
        match command {
            Command::RequestMic { person, .. } => Self::Request(person.clone()),
            Command::Invite { person, .. } => Self::Invitation(person.clone()),
            Command::Grant { person, .. }
            | Command::Accept { person }
            | Command::Mute { person, .. }
            | Command::Move { person, .. } => Self::SeatOf(person.clone()),
            Command::LockSeat { seat, .. } => Self::Seat(*seat),
            Command::HandOver { .. } => Self::Host,
            Command::ProposePk { .. } | Command::AcceptPk => Self::Pk,
            _ => Self::Nothing,
        }
    }
}

impl Rooms {
    /// Carries out what `by` wants. The answer is what it has changed, an object of the names of the room's state.
    pub fn order(&self, room: &RoomName, by: &Actor, order: Order) -> Result<Value, Problem> {
        let now = Instant::now();
        let state = &mut *self.state.lock();
        let is_chat = matches!(order, Order::Chat(_));
        self.keep_rate(state, room, by, is_chat, now)?;
        match order {
            Order::Machine(command, shown) => {
                let input = Input::Command { room: room.clone(), by: by.clone(), command };
                self.step(state, input).map_err(|error| refused(&error))?;
                Ok(self.show(state, room, &shown))
            }
            Order::Ticket(person) => {
                self.renew_ticket(state, room, by, &person, now).map(|ticket| json!({"ticket": ticket}))
            }
            Order::Chat(text) => self.chat(state, room, by, &text, now),
            Order::Layout(layout) => self.change_look(state, room, by, now, |look| look.set_layout(layout)),
            Order::Overlays(overlays) => {
                self.change_look(state, room, by, now, |look| look.set_overlays(room.as_str(), overlays))
            }
            Order::Look(change) => self.change_look(state, room, by, now, |look| {
                look.change(&change);
                Ok(())
            }),
            Order::Source(participant, change) => {
                self.change_look(state, room, by, now, |look| look.set_source(participant, change))
            }
        }
    }

    /// Persons in the room have a rate; backends are trusted to know theirs.
    fn keep_rate(
        &self,
        state: &mut State,
        room: &RoomName,
        by: &Actor,
        is_chat: bool,
        now: Instant,
    ) -> Result<(), Problem> {
        let Some(person) = &by.person else { return Ok(()) };
        let Some(known) = state.live.get_mut(room).and_then(|live| live.persons.get_mut(person)) else { return Ok(()) };
        known.rates.commands.try_take(now).map_err(too_fast)?;
        if is_chat { known.rates.chat.try_take(now).map_err(too_fast) } else { Ok(()) }
    }

    fn chat(&self, state: &mut State, room: &RoomName, by: &Actor, text: &str, now: Instant) -> Result<Value, Problem> {
        let live = live(state, room)?;
        let text = text.trim();
        if text.is_empty() || text.chars().count() > TEXT_MAX || text.chars().any(|c| c.is_control() && c != '\n') {
            return Err(unprocessable(format!("A message has 1 to {TEXT_MAX} characters.")));
        }
        let name = match &by.person {
            None => String::new(),
            Some(person) => match live.persons.get(person) {
                Some(known) => known.name.clone(),
                None => return Err(refused(&Refused::PersonUnknown(person.clone()))),
            },
        };
        let person = by.person.as_ref().map(ToString::to_string);
        let at = self.hub.clock().wall(now).to_string();
        let message = Message { person, name, text: text.to_owned(), at };
        live.say(message.clone());
        self.tell_all(live, room, now, &json!({"kind": "chat", "message": message}), false);
        Ok(json!({"message": message}))
    }

    fn change_look(
        &self,
        state: &mut State,
        room: &RoomName,
        by: &Actor,
        now: Instant,
        change: impl FnOnce(&mut Look) -> Result<(), Impossible>,
    ) -> Result<Value, Problem> {
        state.machine.authorize(room, by).map_err(|error| refused(&error))?;
        let live = live(state, room)?;
        let mut look = live.look.clone(); // Pictures are shared.
        change(&mut look).map_err(|error| impossible(&error))?;
        if look != live.look {
            live.look = look;
            self.stage.direct(room, &live.mix, &live.look);
            let event = live.program_changed(room.as_str());
            self.tell_all(live, room, now, &event, true);
        }
        Ok(json!({"program": live.told_program(room.as_str())}))
    }

    /// A fresh ticket for a place that is the person's already.
    fn renew_ticket(
        &self,
        state: &State,
        room: &RoomName,
        by: &Actor,
        person: &PersonId,
        now: Instant,
    ) -> Result<Ticket, Problem> {
        let directs = state.machine.authorize(room, by);
        let view = state.machine.room(room).ok_or_else(|| refused(&Refused::RoomUnknown(room.clone())))?;
        if by.person.as_ref() != Some(person) && directs.is_err() {
            return Err(refused(&Refused::NotYours));
        }
        let seat = seat_of(&view, person).filter(|_| !view.invitations.iter().any(|invited| invited.person == *person));
        let (participant, seat) = match seat {
            Some(seat) => (person.participant(), Some(seat.seat.get())),
            None if view.host.person.as_ref() == Some(person) => (ParticipantName::host(), None),
            None => return Err(refused(&Refused::NotOnMic(person.to_string()))),
        };
        let name = SourceName::new(room, &participant);
        let expires_in = view.settings.timeouts.grant;
        Ok(self.send_ticket(state, now, &Grant { name: &name, person, seat, expires_in }))
    }

    fn show(&self, state: &State, room: &RoomName, shown: &Shown) -> Value {
        let (Some(view), Some(live)) = (state.machine.room(room), state.live.get(room)) else { return json!({}) };
        let wire = self.wire();
        let seat = |seat: &SeatView| json!({"seat": wire.seat(seat, live.is_speaking(seat))});
        let seat_of = |person: &PersonId| seat_of(&view, person).map_or_else(|| json!({}), seat);
        match shown {
            Shown::Nothing => json!({}),
            Shown::Request(person) => match view.requests.iter().find(|request| request.person == *person) {
                Some(request) => json!({"request": wire.request(request)}),
                None => seat_of(person),
            },
            Shown::Invitation(person) => match view.invitations.iter().find(|invited| invited.person == *person) {
                Some(invitation) => json!({"invitation": wire.invitation(invitation)}),
                None => seat_of(person),
            },
            Shown::SeatOf(person) if view.host.person.as_ref() == Some(person) => {
                json!({"host": wire.host(&view.host)})
            }
            Shown::SeatOf(person) => seat_of(person),
            Shown::Seat(number) => view.seats.iter().find(|seat| seat.seat == *number).map_or_else(|| json!({}), seat),
            Shown::Host => json!({"host": wire.host(&view.host)}),
            Shown::Pk => json!({"pk": view.pk.as_ref().map(|pk| wire.pk(pk))}),
        }
    }

    /// Changes the settings of a room by what `change` makes of them.
    pub fn configure(
        &self,
        room: &RoomName,
        by: &Actor,
        change: impl FnOnce(Settings) -> Settings,
    ) -> Result<(), Problem> {
        let state = &mut *self.state.lock();
        let before = state.machine.room(room).ok_or_else(|| refused(&Refused::RoomUnknown(room.clone())))?.settings;
        let input = Input::Configure { room: room.clone(), by: by.clone(), settings: change(before) };
        self.step(state, input).map_err(|error| refused(&error))
    }

    /// The picture of an overlay.
    pub fn image(&self, room: &RoomName, id: &str) -> Option<Image> {
        self.state.lock().live.get(room)?.look.image(id).cloned()
    }

    /// That `by` directs the room.
    pub fn must_direct(&self, room: &RoomName, by: &Actor) -> Result<(), Problem> {
        self.state.lock().machine.authorize(room, by).map_err(|error| refused(&error))
    }
}

fn live<'a>(state: &'a mut State, room: &RoomName) -> Result<&'a mut Live, Problem> {
    state.live.get_mut(room).ok_or_else(|| refused(&Refused::RoomUnknown(room.clone())))
}

fn seat_of<'a>(view: &'a RoomView, person: &PersonId) -> Option<&'a SeatView> {
    view.seats.iter().find(|seat| seat.state != SeatState::Empty && seat.person.as_ref() == Some(person))
}
