//! The commands of clients as JSON, and the orders for the machine or the driver that are made of them.
//!
//! Unknown members are refused, because a client that mistypes one would believe that it had an effect.

use std::time::Duration;

use serde::Deserialize;
use utoipa::ToSchema;

use onmic_http::Problem;
use onmic_room::{Actor, Command, ParticipantName, PersonId, SeatNo};

use super::problem::unprocessable;
use crate::rooms::look::{ChromaKey, Fit, Layout, LookChange, OverlayBody, SourceChange};
use crate::rooms::order::Order;

/// A command, as over the WebSocket. Where `person` is absent, the command is about the person who gives it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum WireCommand {
    RequestMic {
        person: Option<String>,
        seat: Option<u8>,
    },
    Withdraw {
        person: Option<String>,
    },
    Grant {
        person: String,
        seat: Option<u8>,
    },
    Refuse {
        person: String,
    },
    Invite {
        person: String,
        seat: Option<u8>,
    },
    Accept {
        person: Option<String>,
    },
    Decline {
        person: Option<String>,
    },
    LeaveMic {
        person: Option<String>,
    },
    Remove {
        person: String,
    },
    Mute {
        person: Option<String>,
        audio: Option<bool>,
        video: Option<bool>,
    },
    LockSeat {
        seat: u8,
        locked: bool,
    },
    Move {
        person: String,
        seat: u8,
    },
    HandOver {
        person: String,
    },
    ConnectFailed {
        person: Option<String>,
        reason: String,
    },
    RenewTicket {
        person: Option<String>,
    },
    ProposePk {
        room: String,
    },
    AcceptPk {},
    RefusePk {},
    EndPk {},
    SetLayout {
        layout: Layout,
    },
    SetOverlays {
        overlays: Vec<OverlayBody>,
    },
    SetLook(LookChange),
    SetSource {
        participant: String,
        gain_db: Option<f32>,
        #[serde(default, deserialize_with = "crate::rooms::look::present")]
        #[schema(value_type = Option<ChromaKey>)]
        chroma_key: Option<Option<ChromaKey>>,
        denoise: Option<bool>,
        auto_gain: Option<bool>,
        fit: Option<Fit>,
    },
    Chat {
        text: String,
    },
    /// Sends somebody out of the room. They may come back.
    Kick {
        person: String,
    },
    /// Sends somebody out of the room, and keeps them out.
    Ban {
        person: String,
        /// How long.
        seconds: u64,
        /// Why, for the list of bans.
        reason: Option<String>,
    },
    LiftBan {
        person: String,
    },
}

impl WireCommand {
    /// Returns the order that `by` gives with this command.
    pub fn order(self, by: &Actor) -> Result<Order, Problem> {
        let or_self = |person: Option<String>| match person {
            Some(person) => id(&person),
            None => by.person.clone().ok_or_else(|| unprocessable("Name the person whom this is about.")),
        };
        let command = match self {
            Self::SetLayout { layout } => return Ok(Order::Layout(layout)),
            Self::SetOverlays { overlays } => return Ok(Order::Overlays(overlays)),
            Self::SetLook(change) => return Ok(Order::Look(change)),
            Self::SetSource { participant, gain_db, chroma_key, denoise, auto_gain, fit } => {
                let change = SourceChange { gain_db, chroma_key, denoise, auto_gain, fit };
                return Ok(Order::Source(participant_id(&participant)?, change));
            }
            Self::Kick { person } => return Ok(Order::Kick(id(&person)?)),
            Self::Ban { person, seconds, reason } => {
                return Ok(Order::Ban(id(&person)?, (Duration::from_secs(seconds), reason.unwrap_or_default())));
            }
            Self::LiftBan { person } => return Ok(Order::LiftBan(id(&person)?)),
            Self::Chat { text } => return Ok(Order::Chat(text)),
            Self::RenewTicket { person } => return Ok(Order::Ticket(or_self(person)?.into())),
            Self::RequestMic { person, seat } => Command::RequestMic { person: or_self(person)?, seat: seat_or(seat)? },
            Self::Withdraw { person } => Command::Withdraw { person: or_self(person)? },
            Self::Grant { person, seat } => Command::Grant { person: id(&person)?, seat: seat_or(seat)? },
            Self::Refuse { person } => Command::Refuse { person: id(&person)? },
            Self::Invite { person, seat } => Command::Invite { person: id(&person)?, seat: seat_or(seat)? },
            Self::Accept { person } => Command::Accept { person: or_self(person)? },
            Self::Decline { person } => Command::Decline { person: or_self(person)? },
            Self::LeaveMic { person } => Command::LeaveMic { person: or_self(person)? },
            Self::Remove { person } => Command::Remove { person: id(&person)? },
            Self::Mute { person, audio, video } => Command::Mute { who: or_self(person)?.into(), audio, video },
            Self::LockSeat { seat, locked } => Command::LockSeat { seat: seat_no(seat)?, locked },
            Self::Move { person, seat } => Command::Move { who: id(&person)?.into(), seat: seat_no(seat)? },
            Self::HandOver { person } => Command::HandOver { person: id(&person)? },
            Self::ConnectFailed { person, reason } => Command::ConnectFailed { who: or_self(person)?.into(), reason },
            Self::ProposePk { room } => Command::ProposePk { room: room_name(&room)? },
            Self::AcceptPk {} => Command::AcceptPk,
            Self::RefusePk {} => Command::RefusePk,
            Self::EndPk {} => Command::EndPk,
        };
        Ok(Order::Machine(command))
    }
}

fn seat_or(seat: Option<u8>) -> Result<Option<SeatNo>, Problem> {
    seat.map(seat_no).transpose()
}

/// Reads the number of a seat.
pub fn seat_no(seat: u8) -> Result<SeatNo, Problem> {
    SeatNo::new(seat)
        .map_err(|error| unprocessable(format!("{seat} is not a seat: {error}.")).with_code("seat-unknown"))
}

/// Reads the id of a person.
pub fn id(text: &str) -> Result<PersonId, Problem> {
    text.parse().map_err(|error| unprocessable(format!("{text:?} is not the id of a person: {error}.")))
}

/// Reads the name of a participant.
pub fn participant_id(text: &str) -> Result<ParticipantName, Problem> {
    text.parse().map_err(|error| unprocessable(format!("{text:?} is not a participant: {error}.")))
}

/// Reads the name of a room.
pub fn room_name(text: &str) -> Result<onmic_room::RoomName, Problem> {
    text.parse().map_err(|error| unprocessable(format!("{text:?} is not the name of a room: {error}.")))
}

/// Returns the problem of a body that is not JSON (400), or does not have the expected shape (422).
pub fn malformed(error: &serde_json::Error) -> Problem {
    use serde_json::error::Category;
    /// The most characters of what the library says, which repeats unknown names.
    const CHARS: usize = 300;
    let (category, error) = (error.classify(), error.to_string().chars().take(CHARS).collect::<String>());
    match category {
        Category::Data => unprocessable(format!("This cannot be understood: {error}.")),
        Category::Io | Category::Syntax | Category::Eof => Problem::bad_request(format!("This is not JSON: {error}.")),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use onmic_room::Authority;
    use serde_json::json;

    use super::*;

    fn by() -> Actor {
        Actor::new("anna".parse().unwrap(), Authority::Viewer)
    }

    fn order(value: serde_json::Value) -> Result<Order, StatusCode> {
        let command: WireCommand = serde_json::from_value(value).map_err(|error| malformed(&error).status())?;
        command.order(&by()).map_err(|problem| problem.status())
    }

    #[test]
    fn a_command_without_a_person_is_about_the_one_who_gives_it() {
        let Ok(Order::Machine(Command::RequestMic { person, seat })) = order(json!({"kind": "request-mic", "seat": 2}))
        else {
            panic!()
        };
        assert_eq!((person.as_str(), seat), ("anna", Some(SeatNo::new(2).unwrap())));
        let command: WireCommand = serde_json::from_value(json!({"kind": "withdraw"})).unwrap();
        let nobody = command.order(&Actor::admin()).unwrap_err();
        assert_eq!(nobody.status(), StatusCode::UNPROCESSABLE_ENTITY);
    }

    #[test]
    fn every_command_of_the_contract_is_read() {
        for command in [
            json!({"kind": "request-mic", "seat": null}),
            json!({"kind": "withdraw"}),
            json!({"kind": "grant", "person": "ben", "seat": null}),
            json!({"kind": "refuse", "person": "ben"}),
            json!({"kind": "invite", "person": "ben", "seat": 3}),
            json!({"kind": "accept"}),
            json!({"kind": "decline"}),
            json!({"kind": "leave-mic"}),
            json!({"kind": "remove", "person": "ben"}),
            json!({"kind": "mute", "person": "ben", "audio": true, "video": false}),
            json!({"kind": "lock-seat", "seat": 2, "locked": true}),
            json!({"kind": "move", "person": "ben", "seat": 3}),
            json!({"kind": "hand-over", "person": "ben"}),
            json!({"kind": "connect-failed", "reason": "no route"}),
            json!({"kind": "renew-ticket"}),
            json!({"kind": "propose-pk", "room": "other"}),
            json!({"kind": "accept-pk"}),
            json!({"kind": "refuse-pk"}),
            json!({"kind": "end-pk"}),
            json!({"kind": "set-layout", "layout": {"kind": "grid"}}),
            json!({"kind": "set-overlays", "overlays": []}),
            json!({"kind": "set-look", "background": "#101014", "labels": true, "borders": true}),
            json!({"kind": "set-source", "participant": "ben", "gain_db": 0, "chroma_key": null, "denoise": false,
                "auto_gain": false, "fit": "crop"}),
            json!({"kind": "chat", "text": "hello"}),
            json!({"kind": "kick", "person": "ben"}),
            json!({"kind": "ban", "person": "ben", "seconds": 3600, "reason": "spam"}),
            json!({"kind": "lift-ban", "person": "ben"}),
        ] {
            assert!(order(command.clone()).is_ok(), "{command}");
        }
    }

    #[test]
    fn json_that_is_not_a_command_is_refused() {
        for command in [
            json!({}),
            json!({"kind": "dance"}),
            json!({"kind": "withdraw", "seet": 2}),
            json!({"kind": "grant"}),
            json!({"kind": "grant", "person": "two words"}),
            json!({"kind": "grant", "person": "ben", "seat": 0}),
            json!({"kind": "grant", "person": "ben", "seat": 99}),
            json!({"kind": "grant", "person": "ben", "seat": -1}),
            json!({"kind": "propose-pk", "room": "../etc"}),
            json!({"kind": "set-look", "background": "red"}),
            json!({"kind": "set-layout", "layout": {"kind": "circle"}}),
            json!([]),
            json!(7),
        ] {
            assert_eq!(order(command.clone()).unwrap_err(), StatusCode::UNPROCESSABLE_ENTITY, "{command}");
        }
        let error = serde_json::from_str::<WireCommand>("{\"kind\":").unwrap_err();
        assert_eq!(malformed(&error).status(), StatusCode::BAD_REQUEST);
    }
}
