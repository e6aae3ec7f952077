//! The events of a room, for its clients and for webhooks, and the messages that carry them.
//!
//! Each event holds the changed part of the room as a complete value: of the program, its overlays and the settings of its sources are
//! parts of their own. It is rendered once for everybody.

use onmic_room::{Event, PersonView, SeatView};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::wire::{
    Audience, BanState, Host, Invitation, Message, Person, Pk, ProgramChange, Request, RoomProgram, RoomSettings,
    RoomSource, RoomState, Seat, Wire, person, room_settings, source,
};
use super::words::{EndReason, LeftReason, PkEndReason, Role};
use crate::ticket::Ticket;

/// Something that happened in a room.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum RoomEvent {
    RoomOpened(Setup),
    RoomConfigured(Setup),
    RoomEnded {
        reason: EndReason,
    },
    PersonJoined(Presence),
    PersonLeft(Presence),
    HostChanged {
        host: Host,
    },
    HostAway {
        host: Host,
    },
    HostBack {
        host: Host,
    },
    MicRequested {
        request: Request,
    },
    MicWithdrawn {
        request: Request,
    },
    MicRefused {
        request: Request,
    },
    MicExpired {
        request: Request,
    },
    MicGranted {
        seat: Seat,
    },
    MicConnecting {
        seat: Seat,
    },
    MicOn {
        seat: Seat,
    },
    MicAway {
        seat: Seat,
    },
    /// The seat is free again. If the person is still there, their request is at the front of the queue.
    MicFailed {
        seat: Seat,
        person: String,
        name: String,
        #[schema(required)]
        request: Option<Request>,
        reason: String,
    },
    MicLeft {
        seat: Seat,
        person: String,
        name: String,
        reason: LeftReason,
    },
    Invited {
        invitation: Invitation,
        seat: Seat,
    },
    InvitationDeclined {
        invitation: Invitation,
        seat: Seat,
    },
    InvitationExpired {
        invitation: Invitation,
        seat: Seat,
    },
    SeatChanged {
        seat: Seat,
    },
    SourceUp {
        source: RoomSource,
    },
    SourceDown {
        source: RoomSource,
    },
    PkProposed {
        pk: Pk,
    },
    PkOn {
        pk: Pk,
    },
    PkRefused {
        pk: Pk,
    },
    PkEnded {
        pk: Pk,
        reason: PkEndReason,
    },
    /// A participant of the program starts or stops speaking.
    Speaking {
        participant: String,
        speaking: bool,
    },
    ProgramChanged {
        program: ProgramChange,
    },
    ViewersChanged {
        viewers: Audience,
        persons: usize,
    },
    Chat {
        message: Message,
    },
}

/// The setup of a room.
#[derive(Debug, Serialize, ToSchema)]
pub struct Setup {
    title: String,
    locked: bool,
    kept: bool,
    settings: RoomSettings,
    seats: Vec<Seat>,
}

/// A person who comes or goes, and the number of people in the room after that.
#[derive(Debug, Serialize, ToSchema)]
pub struct Presence {
    person: String,
    name: String,
    role: Role,
    persons: usize,
}

impl RoomEvent {
    /// Returns an event of the machine, under the machine's word for it. `is_speaking` is the driver's knowledge of
    /// participants,
    /// `persons` the number of people in the room.
    pub fn of(event: &Event, wire: Wire, is_speaking: impl Fn(&SeatView) -> bool, persons: usize) -> Self {
        let seat = |view: &SeatView| wire.seat(view, is_speaking(view));
        let setup = |settings: &onmic_room::Settings, kept: bool, seats: &[SeatView]| Setup {
            title: settings.title.clone(),
            locked: settings.locked,
            kept,
            settings: room_settings(settings),
            seats: seats.iter().map(seat).collect(),
        };
        let presence = |view: &PersonView| {
            let Person { person, name, role } = person(view);
            Presence { person, name, role, persons }
        };
        let told = match event {
            Event::RoomOpened { settings, kept, seats } => Self::RoomOpened(setup(settings, *kept, seats)),
            Event::RoomConfigured { settings, kept, seats } => Self::RoomConfigured(setup(settings, *kept, seats)),
            Event::RoomEnded { reason } => Self::RoomEnded { reason: (*reason).into() },
            Event::PersonJoined { person } => Self::PersonJoined(presence(person)),
            Event::PersonLeft { person } => Self::PersonLeft(presence(person)),
            Event::HostChanged { host } => Self::HostChanged { host: wire.host(host) },
            Event::HostAway { host } => Self::HostAway { host: wire.host(host) },
            Event::HostBack { host } => Self::HostBack { host: wire.host(host) },
            Event::MicRequested { request } => Self::MicRequested { request: wire.request(request) },
            Event::MicWithdrawn { request } => Self::MicWithdrawn { request: wire.request(request) },
            Event::MicRefused { request } => Self::MicRefused { request: wire.request(request) },
            Event::MicExpired { request } => Self::MicExpired { request: wire.request(request) },
            Event::MicGranted { seat: view } => Self::MicGranted { seat: seat(view) },
            Event::MicConnecting { seat: view } => Self::MicConnecting { seat: seat(view) },
            Event::MicOn { seat: view } => Self::MicOn { seat: seat(view) },
            Event::MicAway { seat: view } => Self::MicAway { seat: seat(view) },
            Event::MicFailed { seat: view, person, name, request, reason } => Self::MicFailed {
                seat: seat(view),
                person: person.to_string(),
                name: name.clone(),
                request: request.as_ref().map(|request| wire.request(request)),
                reason: reason.clone(),
            },
            Event::MicLeft { seat: view, person, name, reason } => Self::MicLeft {
                seat: seat(view),
                person: person.to_string(),
                name: name.clone(),
                reason: (*reason).into(),
            },
            Event::Invited { invitation, seat: view } => {
                Self::Invited { invitation: wire.invitation(invitation), seat: seat(view) }
            }
            Event::InvitationDeclined { invitation, seat: view } => {
                Self::InvitationDeclined { invitation: wire.invitation(invitation), seat: seat(view) }
            }
            Event::InvitationExpired { invitation, seat: view } => {
                Self::InvitationExpired { invitation: wire.invitation(invitation), seat: seat(view) }
            }
            Event::SeatChanged { seat: view } => Self::SeatChanged { seat: seat(view) },
            Event::SourceUp { source: view } => Self::SourceUp { source: source(view) },
            Event::SourceDown { source: view } => Self::SourceDown { source: source(view) },
            Event::PkProposed { pk } => Self::PkProposed { pk: wire.pk(pk) },
            Event::PkOn { pk } => Self::PkOn { pk: wire.pk(pk) },
            Event::PkRefused { pk } => Self::PkRefused { pk: wire.pk(pk) },
            Event::PkEnded { pk, reason } => Self::PkEnded { pk: wire.pk(pk), reason: (*reason).into() },
        };
        debug_assert_eq!(kind(&told.render()), event.kind());
        told
    }

    /// Returns the event as it is sent.
    pub fn render(&self) -> Box<RawValue> {
        render(self)
    }
}

/// Returns the word that names an event. It is read from the event's JSON, in which serde writes the tag first.
pub fn kind(event: &RawValue) -> &str {
    event.get().strip_prefix(r#"{"kind":""#).and_then(|rest| rest.split('"').next()).unwrap_or_default()
}

/// A message of the server to a client over the WebSocket.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum ServerMessage<'a> {
    /// The first message to a client that is new, or was away for too long.
    Snapshot {
        epoch: &'a str,
        number: u64,
        you: You,
        #[schema(value_type = RoomState)]
        room: &'a RawValue,
    },
    /// The first message to a client that comes back. The events that it missed follow.
    Resumed { epoch: &'a str, number: u64, you: You },
    Event {
        number: u64,
        at: String,
        #[schema(value_type = RoomEvent)]
        event: &'a RawValue,
    },
    /// The right to publish, which only this person is sent.
    Ticket { ticket: &'a Ticket },
    /// The answer to a command: the part of the room that it has changed, or the reason why it was refused.
    Answer {
        /// The id that was sent with the command; null if it had none.
        #[schema(value_type = Option<String>)]
        id: Value,
        ok: bool,
        #[serde(flatten)]
        #[schema(value_type = Changed)]
        changed: Option<Box<Changed>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Object, required = false)]
        problem: Option<Value>,
    },
}

impl ServerMessage<'_> {
    /// Returns the message as it is sent.
    pub fn render(&self) -> String {
        serde_json::to_string(self).expect("text and numbers are JSON")
    }
}

/// The person that a client is in the room.
#[derive(Debug, Serialize, ToSchema)]
pub struct You {
    pub person: String,
    /// The key that proves the person to be the same when the client comes back.
    pub key: String,
    pub name: String,
    pub role: Role,
}

impl You {
    /// Returns `person` with the rights of `authority`.
    pub fn new(person: &str, key: String, name: &str, authority: onmic_room::Authority) -> Self {
        Self { person: person.to_owned(), key, name: name.to_owned(), role: authority.into() }
    }
}

/// The part of the room that a command has changed: one of these, under the name that it has in the room's state.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct Changed {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Request, required = false)]
    pub request: Option<Request>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Invitation, required = false)]
    pub invitation: Option<Invitation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Seat, required = false)]
    pub seat: Option<Seat>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Host, required = false)]
    pub host: Option<Host>,
    /// The PK; null when the command ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Pk>)]
    pub pk: Option<Option<Pk>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = RoomProgram, required = false)]
    pub program: Option<RoomProgram>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Message, required = false)]
    pub message: Option<Message>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Ticket, required = false)]
    pub ticket: Option<Ticket>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = BanState, required = false)]
    pub ban: Option<BanState>,
}

/// Returns `value` as JSON.
pub fn render(value: &impl Serialize) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).expect("text and numbers are JSON")
}

#[cfg(test)]
mod tests {
    use std::time::{Instant, SystemTime};

    use onmic_media::{Calendar, NodeClock};
    use onmic_room::{Actor, Authority, Command, Effect, Input, Limits, Rooms, Settings};

    use super::*;

    #[test]
    fn an_event_is_sent_under_the_word_of_the_machine() {
        let now = Instant::now();
        let wire = Wire::new(&Calendar::new(NodeClock::new(now, SystemTime::UNIX_EPOCH)));
        let mut machine = Rooms::new(Limits::default(), Settings::default()).unwrap();
        let room = || "demo".parse().unwrap();
        let join = |id: &str, authority| Input::Join {
            room: room(),
            person: id.parse().unwrap(),
            name: id.to_owned(),
            authority,
        };
        let command = |command| Input::Command { room: room(), by: Actor::admin(), command };
        let inputs = [
            join("mia", Authority::Host),
            join("anna", Authority::Viewer),
            command(Command::RequestMic { person: "anna".parse().unwrap(), seat: None }),
            command(Command::Grant { person: "anna".parse().unwrap(), seat: None }),
            command(Command::LeaveMic { person: "anna".parse().unwrap() }),
            Input::End { room: room(), by: Actor::admin() },
        ];
        let mut words = Vec::new();
        for effect in inputs.into_iter().flat_map(|input| machine.apply(now, input).unwrap()) {
            let Effect::Event { event, .. } = effect else { continue };
            let told = RoomEvent::of(&event, wire, |_| false, 2).render();
            assert_eq!(kind(&told), event.kind());
            words.push(kind(&told).to_owned());
        }
        let expected = [
            "room-opened",
            "person-joined",
            "host-changed",
            "person-joined",
            "mic-requested",
            "mic-granted",
            "mic-left",
            "room-ended",
        ];
        assert_eq!(words, expected);
        let own = RoomEvent::ViewersChanged { viewers: Audience::default(), persons: 2 };
        assert_eq!(kind(&own.render()), "viewers-changed");
    }
}
