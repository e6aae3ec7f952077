//! Two rooms with virtual time: `red`, which mia hosts and anna and bo watch, and `blue`, which kim hosts.

#![allow(dead_code)] // Each test file uses some of it.
#![allow(clippy::unwrap_used)] // Only tests use it.

use std::time::{Duration, Instant};

use onmic_room::{
    Actor, Authority, Command, Effect, Event, Input, Limits, Mix, ParticipantName, PersonId, Refused, RevokeReason,
    RoomName, RoomView, Rooms, SeatNo, SeatState, Settings,
};

pub struct Stage {
    pub rooms: Rooms,
    pub now: Instant,
}

pub fn room(name: &str) -> RoomName {
    name.parse().unwrap()
}

pub fn person(id: &str) -> PersonId {
    id.parse().unwrap()
}

pub fn participant(id: &str) -> ParticipantName {
    id.parse().unwrap()
}

pub fn seat(number: u8) -> SeatNo {
    SeatNo::new(number).unwrap()
}

pub fn settings() -> Settings {
    Settings { seats: 3, open_seats: false, ..Settings::default() }
}

pub fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Returns a request of this person for any seat.
pub fn request(id: &str) -> Command {
    Command::RequestMic { person: person(id), seat: None }
}

pub fn grant(id: &str) -> Command {
    Command::Grant { person: person(id), seat: None }
}

pub fn invite(id: &str) -> Command {
    Command::Invite { person: person(id), seat: None }
}

pub fn mute(id: &str, audio: bool) -> Command {
    Command::Mute { who: person(id).into(), audio: Some(audio), video: None }
}

impl Stage {
    pub fn new(settings: Settings) -> Self {
        let mut stage = Self { rooms: Rooms::new(Limits::default(), settings).unwrap(), now: Instant::now() };
        stage.join("red", "mia", Authority::Host);
        stage.join("red", "anna", Authority::Viewer);
        stage.join("red", "bo", Authority::Viewer);
        stage.join("blue", "kim", Authority::Host);
        stage.up("red", "host");
        stage.up("blue", "host");
        stage
    }

    pub fn apply(&mut self, input: Input) -> Result<Vec<Effect>, Refused> {
        self.rooms.apply(self.now, input)
    }

    pub fn join(&mut self, name: &str, id: &str, authority: Authority) -> Vec<Effect> {
        let name_shown = format!("{}{}", id[..1].to_uppercase(), &id[1..]);
        self.apply(Input::Join { room: room(name), person: person(id), name: name_shown, authority }).unwrap()
    }

    pub fn leave(&mut self, name: &str, id: &str) {
        self.apply(Input::Leave { room: room(name), person: person(id) }).unwrap();
    }

    /// Gives a command in the red room as this person, whose token is a viewer's. The room knows who its host is.
    pub fn by(&mut self, id: &str, command: Command) -> Result<Vec<Effect>, Refused> {
        self.by_in("red", id, command)
    }

    pub fn by_in(&mut self, name: &str, id: &str, command: Command) -> Result<Vec<Effect>, Refused> {
        let by = Actor::new(person(id), Authority::Viewer);
        self.apply(Input::Command { room: room(name), by, command })
    }

    pub fn up(&mut self, name: &str, id: &str) -> Vec<Effect> {
        self.up_with(name, id, true, true)
    }

    pub fn up_with(&mut self, name: &str, id: &str, video: bool, audio: bool) -> Vec<Effect> {
        let (room, participant) = (room(name), participant(id));
        self.apply(Input::SourceUp { room, participant, person: None, video, audio }).unwrap()
    }

    pub fn down(&mut self, name: &str, id: &str) -> Vec<Effect> {
        self.apply(Input::SourceDown { room: room(name), participant: participant(id) }).unwrap()
    }

    /// Lets somebody ask, be granted a seat, and publish.
    pub fn on_mic(&mut self, id: &str) {
        self.by(id, request(id)).unwrap();
        self.by("mia", grant(id)).unwrap();
        self.up("red", id);
        assert_eq!(self.state_of(id), Some(SeatState::OnMic));
    }

    pub fn pass(&mut self, time: Duration) -> Vec<Effect> {
        let until = self.now + time;
        let mut effects = Vec::new();
        while let Some(next) = self.rooms.next_timeout().filter(|next| *next <= until) {
            self.now = next;
            effects.extend(self.rooms.handle_timeout(next));
        }
        self.now = until;
        effects
    }

    pub fn view(&self, name: &str) -> RoomView {
        self.rooms.room(&room(name)).unwrap()
    }

    pub fn state_of(&self, id: &str) -> Option<SeatState> {
        self.view("red").seats.iter().find(|seat| seat.person == Some(person(id))).map(|seat| seat.state)
    }

    /// Returns the program as `participant` or `room/participant`, in order, with `-` before what is muted or missing.
    pub fn program(&self, name: &str) -> String {
        let Mix { sources, .. } = self.view(name).mix;
        let one = |source: onmic_room::MixSource| {
            let away = if source.room == room(name) { String::new() } else { format!("{}/", source.room) };
            let (show, hear) = (if source.show { "" } else { " -video" }, if source.hear { "" } else { " -audio" });
            format!("{away}{}{show}{hear}", source.participant)
        };
        sources.into_iter().map(one).collect::<Vec<_>>().join(", ")
    }

    pub fn queue(&self) -> Vec<String> {
        self.view("red").requests.iter().map(|request| request.person.to_string()).collect()
    }
}

/// Returns the kinds of the events of a room among these effects.
pub fn kinds(name: &str, effects: &[Effect]) -> Vec<&'static str> {
    let of_room = effects.iter().filter_map(|effect| match effect {
        Effect::Event { room: at, event, .. } if *at == room(name) => Some(event.kind()),
        _ => None,
    });
    of_room.collect()
}

pub fn events(effects: &[Effect]) -> Vec<Event> {
    effects
        .iter()
        .filter_map(|effect| if let Effect::Event { event, .. } = effect { Some(event.clone()) } else { None })
        .collect()
}

pub fn revoked(effects: &[Effect]) -> Vec<(String, RevokeReason)> {
    let revoked = effects.iter().filter_map(|effect| match effect {
        Effect::Revoke { participant, reason, .. } => Some((participant.to_string(), *reason)),
        _ => None,
    });
    revoked.collect()
}
