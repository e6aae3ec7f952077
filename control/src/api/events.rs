//! The WebSocket of a client of a room's events: a bounded queue of messages to it, and commands from it. What they mean is the
//! client's (`client`). This drives its socket.
//!
//! Rights are checked before the upgrade, so a client with a bad token gets an HTTP answer. A client that reads too
//! slowly, stays silent, sends a message that is too large or has lost its right is closed, with a code that tells the reason.
//!
//! A client reads too slowly if its mailbox is full, if one message takes longer than [`SILENCE_MAX`], or if it takes nothing at all
//! for the write timeout of the server ([`onmic_http::serve`]). Whichever comes first, it counts once.

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Extension, Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::error::ProtocolError;

use onmic_http::door::Foreign;
use onmic_http::{BasePath, Problem, SOCKET_PROTOCOL};
use onmic_media::{Asked, Closed, DropReason, Ending};
use onmic_room::Authority;

use super::Api;
use super::addresses::under;
use super::client::{Client, Comer, Coming, EventsQuery, Outcome, conclude};
use super::conduct::SILENCE_MAX;
use crate::rooms::mailbox::Closing;

/// How often a client is pinged, which is three times in [`SILENCE_MAX`].
const PING_EVERY: Duration = Duration::from_secs(20);
/// How long the last messages to a client and its answer to the close may take.
const FAREWELL: Duration = Duration::from_secs(1);
/// The longest message from a client, in bytes.
const MESSAGE_MAX: usize = 64 * 1024;
/// The longest message from a host, which may hold overlays with pictures, in bytes.
const HOST_MESSAGE_MAX: usize = 768 * 1024;
/// The buffer of a connection for each way, in bytes. Most clients send little, and there are many of them.
const BUFFER: usize = 4 * 1024;

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
    let coming = Coming::check(&api, &room, query, comer)?;
    let upgrade = upgrade.map_err(|_| {
        // A page whose WebSocket was refused asks for the reason like this.
        let detail = "This address speaks WebSocket (RFC 6455). Connect to it with ws: or wss:.";
        let otherwise = || Problem::new(StatusCode::UPGRADE_REQUIRED, detail);
        foreign.map_or_else(otherwise, |_| Foreign::opens_no_socket())
    })?;
    let limit = match coming.entry.authority {
        Authority::Host | Authority::Admin => HOST_MESSAGE_MAX,
        Authority::CoHost | Authority::Viewer => MESSAGE_MAX,
    };
    let tracked = api.rooms.track();
    let client = Client::enter(api, coming, base_path)?;
    // A browser that offers subprotocols goes on only if one of them is taken.
    let upgrade = upgrade.protocols([SOCKET_PROTOCOL]).max_message_size(limit).max_frame_size(limit);
    let upgrade = upgrade.read_buffer_size(BUFFER).write_buffer_size(BUFFER);
    Ok(upgrade.on_upgrade(move |socket| async move {
        serve(client, socket).await;
        drop(tracked);
    }))
}

async fn serve(mut client: Client, mut socket: WebSocket) {
    let Some(closing) = talk(&mut client, &mut socket).await else { return };
    Closed::from(closing).count(Asked::WebSocket);
    if closing == Closing::Slow {
        DropReason::BehindRoomClient.count(1);
    }
    let room = client.speaker.connection.room.clone();
    let farewell = async {
        if matches!(closing, Closing::Ended | Closing::Permit(_)) {
            // The client is still told the events that led to the end.
            while let Some(message) = client.messages.try_recv() {
                socket.send(text(under(&client.base_path, message))).await?;
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
async fn talk(client: &mut Client, socket: &mut WebSocket) -> Option<Closing> {
    let Client { speaker, conduct, permit, mailbox, messages, base_path } = client;
    let text = |message| text(under(base_path, message));
    let stop = speaker.connection.stopping();
    let now = || speaker.connection.now();
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
                if obeying.is_none() && let Some(closing) = conduct.silence(now()) {
                    return Some(closing);
                }
                Message::Ping(Default::default())
            }
            outcome = obeyed(&mut obeying) => {
                obeying = None;
                if let Some(closing) = conclude(outcome, conduct, mailbox, now()) {
                    return Some(closing);
                }
                continue;
            }
            read = socket.recv(), if obeying.is_none() => {
                conduct.handle_sign(now());
                match read {
                    None => return None,
                    Some(Err(error)) => return closing(&error),
                    Some(Ok(Message::Text(said))) => obeying = Some(Box::pin(speaker.handle_text(said))),
                    Some(Ok(Message::Binary(_))) => return Some(Closing::Binary),
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {
                        if let Some(closing) = conduct.handle_ping(now()) {
                            return Some(closing);
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

/// A command that is being carried out.
type Obeying<'a> = Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// Waits for the command that is being carried out, or for ever without one. Dropping the future loses nothing.
async fn obeyed(obeying: &mut Option<Obeying<'_>>) -> Outcome {
    match obeying {
        Some(obeying) => obeying.await,
        None => std::future::pending().await,
    }
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
