//! What comes in: from the API, from connections, from publishers.
//!
//! The driver delivers what it knows in the order it happened, per person and per participant. Saying something again
//! changes nothing, so a driver that is not sure states the truth again.

use crate::command::{Actor, Authority, Command};
use crate::settings::Settings;
use onmic_names::{ParticipantName, PersonId, RoomName};

/// See the module. Every input names its room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Create a room. The driver has checked that it is an admin who asks. A room that came to be by itself is kept
    /// and configured.
    Open {
        /// Its name.
        room: RoomName,
        /// How it is to be.
        settings: Settings,
        /// Lives until it is ended; otherwise until nobody has been there for a while.
        kept: bool,
    },
    /// Change its settings, all at once. Timeouts that run already run on.
    Configure {
        /// Which.
        room: RoomName,
        /// Who asks.
        by: Actor,
        /// How it is to be.
        settings: Settings,
    },
    /// End it: all publishers are revoked.
    End {
        /// Which.
        room: RoomName,
        /// Who asks.
        by: Actor,
    },
    /// Somebody is connected (the first connection of that person, or again). Opens the room if there is none.
    Join {
        /// Where.
        room: RoomName,
        /// Who.
        person: PersonId,
        /// What others see.
        name: String,
        /// What the token says. With [`Authority::Host`], becomes the host if there is none or it is not there.
        authority: Authority,
    },
    /// The last connection of that person is gone. Counts after [`crate::Timeouts::presence`].
    Leave {
        /// Where.
        room: RoomName,
        /// Who.
        person: PersonId,
    },
    /// Somebody wants something.
    Command {
        /// Where.
        room: RoomName,
        /// Who asks.
        by: Actor,
        /// What.
        command: Command,
    },
    /// A publisher has begun to connect (a WHIP offer was answered); no frame yet.
    SourceConnecting {
        /// Where.
        room: RoomName,
        /// As whom.
        participant: ParticipantName,
    },
    /// A publisher's frames arrive. Opens the room if there is none.
    SourceUp {
        /// Where.
        room: RoomName,
        /// As whom.
        participant: ParticipantName,
        /// Who publishes, if the token says: keeps a former host's encoder from coming back as `host`.
        person: Option<PersonId>,
        /// Has a picture.
        video: bool,
        /// Has sound.
        audio: bool,
    },
    /// The tracks of a source that is up have changed.
    SourceChanged {
        /// Where.
        room: RoomName,
        /// As whom.
        participant: ParticipantName,
        /// Has a picture.
        video: bool,
        /// Has sound.
        audio: bool,
    },
    /// The publisher is gone, or silent.
    SourceDown {
        /// Where.
        room: RoomName,
        /// As whom.
        participant: ParticipantName,
    },
}
