//! A client of a room's events without its socket: how it comes, what it says, and what it is answered.
//!
//! It waits for nothing but the work that a command makes, and reads the clock of the rooms, so a simulation drives it as the socket
//! does (`events`).

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::rejection::QueryRejection;
use axum::extract::ws::Utf8Bytes;
use axum::extract::{FromRequestParts, Query};
use axum::http::StatusCode;
use axum::http::request::Parts;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use onmic_http::{BasePath, Problem, Sender, offered};
use onmic_media::name::Principal;
use onmic_media::{Asked, Permit};

use super::commands::{WireCommand, id, malformed};
use super::conduct::Conduct;
use super::{Api, doing, json};
use crate::rooms::event::ServerMessage;
use crate::rooms::mailbox::{Closing, Mailbox, Messages};
use crate::rooms::order::Done;
use crate::rooms::rate::Doing;
use crate::rooms::words::Role;
use crate::rooms::{Connection, Entry};

/// The longest message that is read although it comes too fast, so that its answer has its id, in bytes.
const READ_TOO_FAST: usize = 4 * 1024;

/// The query by which a client says who it is, and what it has seen.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct EventsQuery {
    /// The name that others see.
    name: Option<String>,
    /// The role, where the server asks for no tokens.
    role: Option<Role>,
    /// The person to come back as, together with `key`.
    person: Option<String>,
    /// The key from the last snapshot. It may be offered as the subprotocol `key.…` instead.
    key: Option<String>,
    /// The epoch of the last snapshot, to go on together with `after`.
    epoch: Option<String>,
    /// The number of the last event seen.
    after: Option<u64>,
}

/// The sender of a request for events, and the key that stands among the subprotocols.
pub struct Comer {
    sender: Sender,
    key: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Comer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let sender = Sender::from_request_parts(parts, state).await?;
        Ok(Self { sender, key: offered(&parts.headers, "key.").map(str::to_owned) })
    }
}

/// A client that may come in.
pub struct Coming {
    pub entry: Entry,
    /// Whose rate its commands keep, if they keep one.
    rate: Option<Principal>,
    permit: Permit,
}

impl Coming {
    /// Checks who asks for the events of a room.
    pub fn check(
        api: &Api,
        room: &str,
        query: Result<Query<EventsQuery>, QueryRejection>,
        Comer { sender, key }: Comer,
    ) -> Result<Self, Problem> {
        let room: onmic_media::RoomName = room.parse()?;
        let Query(query) = query.map_err(|rejection| {
            Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                format!("The query cannot be understood: {}.", rejection.body_text()),
            )
        })?;
        let (claims, permit) = api.gate.enter(&room, sender.shown())?;
        let (authority, person, token_name) = match &claims {
            None => (query.role.unwrap_or(Role::Viewer).into(), None, None),
            Some(claims) => (claims.authority(), claims.comer()?, claims.name.clone()),
        };
        let claimed = query.person.as_deref().map(id).transpose()?.map(|person| (person, key.or(query.key)));
        let name = token_name.or(query.name).filter(|name| !name.is_empty());
        let trusted = claims.is_none();
        let who = claims.as_ref().and_then(|claims| claims.principal(sender.counted()));
        let nameless = claims.as_ref().and_then(|claims| claims.nameless(sender.shown().network));
        let rate = claims.as_ref().and_then(|claims| claims.answers(&room, sender.counted()));
        for doing in [Doing::Request, Doing::Enter] {
            api.keep_rate(rate.as_ref(), doing)?;
        }
        let (epoch, after) = (query.epoch, query.after);
        let entry = Entry { room, who, nameless, authority, person, claimed, trusted, name, epoch, after };
        Ok(Self { entry, rate, permit })
    }
}

/// A client that is connected.
pub struct Client {
    pub speaker: Speaker,
    pub conduct: Conduct,
    pub permit: Permit,
    pub mailbox: Arc<Mailbox>,
    pub messages: Messages,
    pub base_path: BasePath,
}

impl Client {
    /// Lets a client in.
    pub fn enter(api: Api, Coming { entry, rate, permit }: Coming, base_path: BasePath) -> Result<Self, Problem> {
        let (mailbox, messages) = Mailbox::new();
        let connection = api.rooms.enter(entry, &mailbox)?;
        let conduct = Conduct::new(api.rooms.now());
        Ok(Self { speaker: Speaker { connection, api, who: rate }, conduct, permit, mailbox, messages, base_path })
    }
}

/// The one at a connection who gives commands.
pub struct Speaker {
    pub connection: Connection,
    api: Api,
    /// Who answers for the commands, if anybody has to.
    who: Option<Principal>,
}

/// A message from a client.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
enum Said {
    Command {
        /// It is read on its own before. It stands here so that it is not an unknown member.
        #[serde(rename = "id")]
        _id: serde::de::IgnoredAny,
        command: WireCommand,
    },
}

/// The id of a command, and its outcome.
pub type Outcome = (Value, Result<Done, Problem>);

impl Speaker {
    fn keep_rate(&self, doing: Doing) -> Result<(), Problem> {
        Ok(self.api.keep_rate(self.who.as_ref(), doing)?)
    }

    /// Carries out the command of a message.
    pub async fn handle_text(&self, text: Utf8Bytes) -> Outcome {
        // To read a large message costs more than to obey it, so the rate comes first.
        let length = text.len();
        let kept = match self.keep_rate(Doing::Message(length)) {
            Err(problem) if length > READ_TOO_FAST => return (Value::Null, Err(problem)),
            kept => kept,
        };
        let (id, command) = match json::read(length, move || read(&text)).await {
            Ok(read) => read,
            Err(problem) => return (Value::Null, Err(problem)),
        };
        if let Err(problem) = kept {
            return (id, Err(problem));
        }
        let order = match command.and_then(|command| command.order(&self.connection.by)) {
            Ok(order) => order,
            Err(problem) => return (id, Err(problem)),
        };
        let does = doing(&order);
        let done = self.api.carry_out(self.who.as_ref(), does, self.connection.order(order)).await;
        (id, done.map_err(Problem::from))
    }
}

/// Reads a message: the id of its command, and the command.
fn read(text: &str) -> (Value, Result<WireCommand, Problem>) {
    // The id is read on its own, so that the answer has it even if the command cannot be read.
    let value = match serde_json::from_str::<Value>(text) {
        Ok(value) => value,
        Err(error) => return (Value::Null, Err(malformed(&error))),
    };
    // The answer repeats the id only if it is short, so that a client cannot make the server send much.
    let id = value.get("id").filter(|id| id.is_number() || id.as_str().is_some_and(|id| id.len() <= 64));
    let id = id.cloned().unwrap_or(Value::Null);
    let said = serde_json::from_value::<Said>(value).map_err(|error| malformed(&error));
    (id, said.map(|Said::Command { command, .. }| command))
}

/// Answers a command. Returns why the client is closed, if this was one refusal too many.
pub fn conclude((id, done): Outcome, conduct: &mut Conduct, mailbox: &Mailbox, now: Instant) -> Option<Closing> {
    let is_refused = done.is_err();
    mailbox.put(answer(id, done));
    conduct.handle_outcome(is_refused, now)
}

/// Returns the rendered answer to a command, and counts it if it denies something.
fn answer(id: Value, done: Result<Done, Problem>) -> Bytes {
    let denial = done.as_ref().err().and_then(Problem::denial);
    denial.inspect(|denial| denial.count(Asked::WebSocket));
    let (changed, problem) = match done {
        Ok(done) => (Some(Box::new(done.changed)), None),
        Err(problem) => (None, serde_json::to_value(problem.body()).ok()),
    };
    ServerMessage::Answer { id, ok: problem.is_none(), changed, problem }.render().into()
}
