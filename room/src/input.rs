//! The inputs of the machine: from the API, from connections, from publishers.
//!
//! The driver delivers what happened in that order, for each person and each participant. The same input again changes
//! nothing, so a driver that is not sure states the truth again.

use crate::command::{Actor, Authority, Command};
use crate::settings::Settings;
use onmic_names::{ParticipantName, PersonId, RoomName};

/// Something that happened, or that somebody wants. Every input names its room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// An admin creates a room; the driver has checked the right to. A room that came to be by itself is configured,
    /// and from now on kept.
    Open {
        /// The name of the room.
        room: RoomName,
        /// The settings of the room.
        settings: Settings,
        /// Whether the room lives until it is ended; if not, it ends when nobody has been there for a while.
        kept: bool,
    },
    /// Somebody changes all settings of a room at once. Timeouts that run already are not changed.
    Configure {
        /// The room.
        room: RoomName,
        /// The person or backend that asks.
        by: Actor,
        /// The new settings.
        settings: Settings,
    },
    /// Somebody ends a room: all its publishers are revoked.
    End {
        /// The room.
        room: RoomName,
        /// The person or backend that asks.
        by: Actor,
    },
    /// Somebody has connected, for the first time or again. Opens the room if there is none.
    Join {
        /// The room.
        room: RoomName,
        /// The person.
        person: PersonId,
        /// The name that others see.
        name: String,
        /// The right that the token gives. With [`Authority::Host`] the person becomes the host if there is none, or if
        /// the host is not there.
        authority: Authority,
    },
    /// The last connection of a person is gone. The person leaves after [`crate::Timeouts::presence`].
    Leave {
        /// The room.
        room: RoomName,
        /// The person.
        person: PersonId,
    },
    /// Somebody gives a command.
    Command {
        /// The room.
        room: RoomName,
        /// The person or backend that gives it.
        by: Actor,
        /// The command.
        command: Command,
    },
    /// A publisher has begun to connect (a WHIP offer was answered), but no frame has arrived.
    SourceConnecting {
        /// The room.
        room: RoomName,
        /// The name it is published under.
        participant: ParticipantName,
    },
    /// A publisher's frames arrive. Opens the room if there is none.
    SourceUp {
        /// The room.
        room: RoomName,
        /// The name it is published under.
        participant: ParticipantName,
        /// The person who publishes, if the token names one. It keeps a former host's encoder from coming back as
        /// `host`.
        person: Option<PersonId>,
        /// Whether it has video.
        video: bool,
        /// Whether it has audio.
        audio: bool,
    },
    /// The tracks of a source that is up have changed.
    SourceChanged {
        /// The room.
        room: RoomName,
        /// The name it is published under.
        participant: ParticipantName,
        /// Whether it has video.
        video: bool,
        /// Whether it has audio.
        audio: bool,
    },
    /// The publisher is gone, or sends nothing.
    SourceDown {
        /// The room.
        room: RoomName,
        /// The name it is published under.
        participant: ParticipantName,
    },
}

impl Input {
    /// Returns the room that the input is for.
    pub fn room(&self) -> &RoomName {
        match self {
            Self::Open { room, .. }
            | Self::Configure { room, .. }
            | Self::End { room, .. }
            | Self::Join { room, .. }
            | Self::Leave { room, .. }
            | Self::Command { room, .. }
            | Self::SourceConnecting { room, .. }
            | Self::SourceUp { room, .. }
            | Self::SourceChanged { room, .. }
            | Self::SourceDown { room, .. } => room,
        }
    }
}
