//! The commands that people give to a room, and the right to give them.
//!
//! A command about one person names that person. People act for themselves; the host and admins act for anybody.

use onmic_names::{PersonId, RoomName, SeatNo};

/// The right that somebody's token gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authority {
    /// May become the host.
    Host,
    /// May publish from a seat.
    CoHost,
    /// May watch and ask.
    Viewer,
    /// May do everything, in every room.
    Admin,
}

/// Somebody who gives a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// The person; `None` for a backend with a token of its own.
    pub person: Option<PersonId>,
    /// The right that the token gives.
    pub authority: Authority,
}

impl Actor {
    /// Returns the server itself, or a backend.
    pub fn admin() -> Self {
        Self { person: None, authority: Authority::Admin }
    }

    /// Returns a person with the right that the token gives.
    pub fn new(person: PersonId, authority: Authority) -> Self {
        Self { person: Some(person), authority }
    }
}

/// A participant, as a command names them. The person on a seat is looked up when the command is carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// The person with this id.
    Person(PersonId),
    /// The person on this seat.
    Seat(SeatNo),
    /// The host of the room.
    Host,
}

impl From<PersonId> for Who {
    fn from(person: PersonId) -> Self {
        Self::Person(person)
    }
}

/// A command. To give one twice has the effect of giving it once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Asks for the mic, on any seat or a certain one. Accepts the invitation if there is one.
    RequestMic {
        /// The person who wants the mic.
        person: PersonId,
        /// The seat; any one if `None`.
        seat: Option<SeatNo>,
    },
    /// Takes the request back.
    Withdraw {
        /// The person who asked.
        person: PersonId,
    },
    /// The host lets somebody who asks on mic.
    Grant {
        /// The person who asked.
        person: PersonId,
        /// The seat; if `None`, the one that was asked for, or else the first free one.
        seat: Option<SeatNo>,
    },
    /// The host does not let somebody on mic.
    Refuse {
        /// The person who asked.
        person: PersonId,
    },
    /// The host offers a seat, which is reserved meanwhile. Grants the request if there is one.
    Invite {
        /// The person who is invited.
        person: PersonId,
        /// The seat; the first free one if `None`.
        seat: Option<SeatNo>,
    },
    /// Accepts the seat that was offered.
    Accept {
        /// The person who was invited.
        person: PersonId,
    },
    /// Declines the seat that was offered.
    Decline {
        /// The person who was invited.
        person: PersonId,
    },
    /// Leaves the seat.
    LeaveMic {
        /// The person on the seat.
        person: PersonId,
    },
    /// The host sends somebody out of the room, with everything that they have in it. They may come back.
    Kick {
        /// The person.
        person: PersonId,
    },
    /// The host takes somebody off their seat. They may ask again after a cool-down.
    Remove {
        /// The person on the seat.
        person: PersonId,
    },
    /// The participant leaves this seat, or the host takes them off it. Does nothing if the seat is empty.
    ClearSeat {
        /// The seat.
        seat: SeatNo,
    },
    /// Mutes or unmutes. The host does it for others, and anybody does it for themselves. The two are kept apart, and
    /// both must be lifted before the participant is heard.
    Mute {
        /// The participant to mute or unmute.
        who: Who,
        /// Whether the audio is muted from now on; `None` leaves it as it is.
        audio: Option<bool>,
        /// Whether the video is muted from now on; `None` leaves it as it is.
        video: Option<bool>,
    },
    /// The host locks or unlocks a seat. Nobody new gets onto a locked seat. The person on it stays.
    LockSeat {
        /// The seat.
        seat: SeatNo,
        /// Whether the seat is locked from now on.
        locked: bool,
    },
    /// The host moves somebody to another seat, which must be free and not locked.
    Move {
        /// The participant to move.
        who: Who,
        /// The seat to move to.
        seat: SeatNo,
    },
    /// The host makes somebody else the host.
    HandOver {
        /// The new host.
        person: PersonId,
    },
    /// The host proposes a PK to another room's host. Accepts that room's proposal if there is one, and refuses that of a third.
    ProposePk {
        /// The other room.
        room: RoomName,
    },
    /// The host accepts the proposal of another room.
    AcceptPk,
    /// The host refuses the proposal of another room.
    RefusePk,
    /// The host ends the PK, or takes the proposal back.
    EndPk,
    /// The driver or the participant says that publishing from a granted seat did not work. The seat is free again, and
    /// the person is at the front of the queue.
    ConnectFailed {
        /// The participant who could not connect.
        who: Who,
        /// The reason, as the person and the host read it; cut at 200 characters.
        reason: String,
    },
}
