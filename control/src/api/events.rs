//! A client of a room's events, over one WebSocket: a bounded queue of messages to it, and commands from it.
//!
//! Rights are checked before the upgrade, so a client with a bad token gets an HTTP answer. A client that reads too
//! slowly, stays silent, sends a message that is too large or has lost its right is closed, with a code that tells the reason.
//!
//! A client reads too slowly if its mailbox is full, if one message takes longer than [`SILENCE_MAX`], or if it takes nothing at all
//! for the write timeout of the server ([`onmic_http::serve`]). Whichever comes first, it counts once.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::rejection::QueryRejection;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Extension, FromRequestParts, Path, Query, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::error::ProtocolError;

use onmic_http::door::Foreign;
use onmic_http::{BasePath, Problem, SOCKET_PROTOCOL, Sender, offered};
use onmic_media::name::Principal;
use onmic_media::{Asked, Closed, DropReason, Ending, Permit};
use onmic_room::Authority;

use super::Api;
use super::addresses::under;
use super::commands::{WireCommand, id, malformed};
use super::json;
use super::strikes::Strikes;
use crate::rooms::event::ServerMessage;
use crate::rooms::mailbox::{Closing, Mailbox, Messages};
use crate::rooms::order::{Done, Order};
use crate::rooms::rate::{Doing, PersonRates};
use crate::rooms::words::Role;
use crate::rooms::{Connection, Entry};

/// How often a client is pinged, which is three times in [`SILENCE_MAX`].
const PING_EVERY: Duration = Duration::from_secs(20);
/// How long a client may send nothing, not even a pong, and how long it may take for one message, before it is closed.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// How long the last messages to a client and its answer to the close may take.
const FAREWELL: Duration = Duration::from_secs(1);
/// The longest message from a client, in bytes.
const MESSAGE_MAX: usize = 64 * 1024;
/// The longest message from a host, which may hold overlays with pictures, in bytes.
const HOST_MESSAGE_MAX: usize = 768 * 1024;
/// The buffer of a connection for each way, in bytes. Most clients send little, and there are many of them.
const BUFFER: usize = 4 * 1024;
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

/// Tells the events of a room and takes commands to it, over a WebSocket. docs/ROOMS.md describes the messages.
#[utoipa::path(get, path = "/api/v1/rooms/{room}/events", tag = "rooms", security((), ("token" = [])),
    params(("room" = String, Path), EventsQuery, ("token" = Option<String>, Query, description = "A JWT, where the server asks for tokens."),
        ("Sec-WebSocket-Protocol" = Option<String>, Header, description = "onmic.v1, and token.JWT and key.KEY, which then stand in no log of addresses.")),
    responses((status = 101, description = "Switches to WebSocket."), (status = 401), (status = 403),
        (status = 422, description = "The name, the person or the role is not valid."), (status = 426), (status = 429), (status = 503)))]
pub async fn events(
    State(api): State<Api>,
    Path(room): Path<String>,
    query: Result<Query<EventsQuery>, QueryRejection>,
    comer: Comer,
    base_path: BasePath,
    foreign: Option<Extension<Foreign>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let (entry, who, permit) = entry(&api, &room, query, comer)?;
    let upgrade = upgrade.map_err(|_| {
        // A page whose WebSocket was refused asks for the reason like this.
        let detail = "This address speaks WebSocket (RFC 6455). Connect to it with ws: or wss:.";
        let otherwise = || Problem::new(StatusCode::UPGRADE_REQUIRED, detail);
        foreign.map_or_else(otherwise, |_| Foreign::opens_no_socket())
    })?;
    let limit = match entry.authority {
        Authority::Host | Authority::Admin => HOST_MESSAGE_MAX,
        Authority::CoHost | Authority::Viewer => MESSAGE_MAX,
    };
    let (mailbox, messages) = Mailbox::new();
    let connection = api.rooms.enter(entry, &mailbox)?;
    let tracked = api.rooms.track();
    let heard = Instant::now();
    let (rate, strikes) = (Rate { api, who }, Strikes::new(heard));
    let client = Client { connection, rate, permit, mailbox, messages, base_path, heard, strikes };
    // A browser that offers subprotocols goes on only if one of them is taken.
    let upgrade = upgrade.protocols([SOCKET_PROTOCOL]).max_message_size(limit).max_frame_size(limit);
    let upgrade = upgrade.read_buffer_size(BUFFER).write_buffer_size(BUFFER);
    Ok(upgrade.on_upgrade(move |socket| async move {
        client.serve(socket).await;
        drop(tracked);
    }))
}

fn entry(
    api: &Api,
    room: &str,
    query: Result<Query<EventsQuery>, QueryRejection>,
    Comer { sender, key }: Comer,
) -> Result<(Entry, Option<Principal>, Permit), Problem> {
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
    for doing in [Doing::Request, Doing::Enter] {
        api.keep_rate(who.as_ref(), doing)?;
    }
    let (epoch, after) = (query.epoch, query.after);
    let entry = Entry { room, who: who.clone(), nameless, authority, person, claimed, trusted, name, epoch, after };
    Ok((entry, who, permit))
}

struct Client {
    connection: Connection,
    rate: Rate,
    permit: Permit,
    mailbox: Arc<Mailbox>,
    messages: Messages,
    base_path: BasePath,
    heard: Instant,
    strikes: Strikes,
}

/// The rate of whoever answers for a client.
struct Rate {
    api: Api,
    who: Option<Principal>,
}

impl Rate {
    fn keep(&self, doing: Doing) -> Result<(), Problem> {
        Ok(self.api.keep_rate(self.who.as_ref(), doing)?)
    }
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

impl Client {
    async fn serve(mut self, mut socket: WebSocket) {
        let Some(closing) = self.talk(&mut socket).await else { return };
        Closed::from(closing).count(Asked::WebSocket);
        if closing == Closing::Slow {
            DropReason::BehindRoomClient.count(1);
        }
        let room = self.connection.room.clone();
        let farewell = async {
            if matches!(closing, Closing::Ended | Closing::Permit(_)) {
                // The client is still told the events that led to the end.
                while let Some(message) = self.messages.try_recv() {
                    socket.send(text(under(&self.base_path, message))).await?;
                }
            }
            socket.send(Message::Close(Some(frame(closing)))).await?;
            // The client answers, unless its connection has broken off.
            while let Some(Ok(_)) = socket.recv().await {}
            Ok::<_, axum::Error>(())
        };
        tracing::debug!(%room, ?closing, "client closed");
        let told = timeout(FAREWELL, farewell).await;
        tracing::trace!(?told, "farewell");
    }

    /// Talks until one side ends the connection. Returns the reason if it was this side.
    async fn talk(&mut self, socket: &mut WebSocket) -> Option<Closing> {
        let Self { connection, rate, permit, mailbox, messages, base_path, heard, strikes } = self;
        let text = |message| text(under(base_path, message));
        let stop = connection.stopping();
        let mut pinging = PersonRates::new(Instant::now()).commands;
        let mut pings = interval(PING_EVERY);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        pings.reset();
        // A command with pictures takes its time. Meanwhile the client is told of events, but nothing more of it is
        // read.
        let mut obeying: Option<Obeying<'_>> = None;
        loop {
            let message = tokio::select! {
                biased; // Waiting messages go first, so a client that sends faster than it reads is not read.
                () = mailbox.closed() => return mailbox.closing(),
                () = stop.cancelled() => return Some(Closing::Stopping),
                why = permit.end() => return Some(Closing::Permit(why)),
                message = messages.recv() => text(message),
                _ = pings.tick() => {
                    if obeying.is_none() && heard.elapsed() > SILENCE_MAX {
                        return Some(Closing::Silent);
                    }
                    Message::Ping(Default::default())
                }
                (id, done) = obeyed(&mut obeying) => {
                    obeying = None;
                    *heard = Instant::now();
                    let is_refused = done.is_err();
                    mailbox.put(answer(id, done));
                    if !is_refused {
                        strikes.forgive(*heard);
                    } else if strikes.is_out(*heard) {
                        return Some(Closing::Nonsense);
                    }
                    continue;
                }
                read = socket.recv(), if obeying.is_none() => {
                    *heard = Instant::now();
                    match read {
                        None => return None,
                        Some(Err(error)) => return closing(&error),
                        Some(Ok(Message::Text(said))) => obeying = Some(Box::pin(obey(connection, rate, said))),
                        Some(Ok(Message::Binary(_))) => return Some(Closing::Binary),
                        // No client needs more pings than it may give commands. Each of them costs a little work.
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => {
                            if pinging.try_take(1.0, *heard).is_err() && strikes.is_out(*heard) {
                                return Some(Closing::Nonsense);
                            }
                        }
                        Some(Ok(Message::Close(_))) => {}
                    }
                    continue;
                }
            };
            let sent = tokio::select! {
                biased;
                () = mailbox.closed() => return mailbox.closing(),
                () = stop.cancelled() => return Some(Closing::Stopping),
                why = permit.end() => return Some(Closing::Permit(why)),
                sent = timeout(SILENCE_MAX, socket.send(message)) => sent,
            };
            match sent {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return is_late(&error).then_some(Closing::Slow),
                // In a room where nothing happens the mailbox would never be full.
                Err(_) => return Some(Closing::Slow),
            }
        }
    }
}

/// A command that is being carried out. Gives its id and its outcome.
type Obeying<'a> = Pin<Box<dyn Future<Output = (Value, Result<Done, Problem>)> + Send + 'a>>;

/// Waits for the command that is being carried out, or for ever without one. Dropping the future loses nothing.
async fn obeyed(obeying: &mut Option<Obeying<'_>>) -> (Value, Result<Done, Problem>) {
    match obeying {
        Some(obeying) => obeying.await,
        None => std::future::pending().await,
    }
}

/// Carries out the command of a message.
async fn obey(connection: &Connection, rate: &Rate, text: Utf8Bytes) -> (Value, Result<Done, Problem>) {
    // To read a large message costs more than to obey it, so the rate comes first.
    let length = text.len();
    let kept = match rate.keep(Doing::Message(length)) {
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
    let order = command.and_then(|command| command.order(&connection.by));
    let order = order.and_then(|order| match order {
        Order::Chat(_) => rate.keep(Doing::Chat).map(|()| order),
        _ => Ok(order),
    });
    match order {
        Ok(order) => (id, connection.order(order).await.map_err(Problem::from)),
        Err(problem) => (id, Err(problem)),
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

fn text(message: Bytes) -> Message {
    Message::Text(Utf8Bytes::try_from(message).expect("messages are rendered as text"))
}

/// Returns the last message on a connection that this side closes.
fn frame(closing: Closing) -> CloseFrame {
    const TOKEN_EXPIRED: u16 = 4401;
    const SENT_AWAY: u16 = 4403;
    let (code, reason) = match closing {
        Closing::Permit(Ending::Expired) => (TOKEN_EXPIRED, "The token has expired. Connect again with a new one."),
        Closing::Permit(Ending::PlaceLost) => (SENT_AWAY, "The place on mic is no longer yours."),
        Closing::Permit(Ending::Removed) => (SENT_AWAY, "You were sent out of the room."),
        Closing::Permit(Ending::Banned) => (SENT_AWAY, "You are banned from this room."),
        Closing::Slow => (close_code::AGAIN, "Too many messages wait. Connect again with the last number."),
        Closing::Ended => (close_code::NORMAL, "The room has ended."),
        Closing::Stopping => (close_code::AWAY, "The server is stopping. Connect again."),
        Closing::Silent => (close_code::AWAY, "Your client sent nothing for a minute."),
        Closing::TooLarge => (close_code::SIZE, "The message is too large."),
        Closing::Binary => (close_code::UNSUPPORTED, "Messages must be text."),
        Closing::Malformed => (close_code::PROTOCOL, "The message is not of WebSocket (RFC 6455)."),
        Closing::Nonsense => (close_code::POLICY, "Too many messages were refused."),
    };
    CloseFrame { code, reason: reason.into() }
}

/// Returns whether a connection broke because the client took nothing of what was written within the write timeout.
fn is_late(error: &axum::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::TimedOut) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Returns why a connection ends on which nothing can be read any more; `None` if the client has left, or it has broken off.
fn closing(error: &axum::Error) -> Option<Closing> {
    // An answer to a ping is written when the next message is read.
    if is_late(error) {
        return Some(Closing::Slow);
    }
    // axum's error has that of the WebSocket library in the version that axum uses. A test tells if ours is another.
    match error.source()?.downcast_ref()? {
        tungstenite::Error::Capacity(_) => Some(Closing::TooLarge),
        tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => None,
        tungstenite::Error::Protocol(_) | tungstenite::Error::Utf8(_) => Some(Closing::Malformed),
        _ => None,
    }
}
