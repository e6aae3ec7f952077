//! What people ask of a room, and who may.
//!
//! Commands about one person name it. A person acts for itself; the host and admins act for anybody.

use onmic_names::{PersonId, RoomName, SeatNo};

/// What somebody's token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authority {
    /// May become the host.
    Host,
    /// May publish from a seat.
    CoHost,
    /// May watch and ask.
    Viewer,
    /// Everything, in every room.
    Admin,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// Nobody, if it is a backend with a token of its own.
    pub person: Option<PersonId>,
    /// What its token says.
    pub authority: Authority,
}

impl Actor {
    /// The server itself, or a backend.
    pub fn admin() -> Self {
        Self { person: None, authority: Authority::Admin }
    }

    /// A person with what its token says.
    pub fn new(person: PersonId, authority: Authority) -> Self {
        Self { person: Some(person), authority }
    }
}

/// A participant, however a command names them. Whoever is on a seat is looked up when the command is carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// By their id.
    Person(PersonId),
    /// Whoever is on this seat.
    Seat(SeatNo),
    /// Whoever hosts the room.
    Host,
}

impl From<PersonId> for Who {
    fn from(person: PersonId) -> Self {
        Self::Person(person)
    }
}

/// See the module. Each twice has the effect of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Ask for the mic, on any seat or a certain one. Accepts an invitation that is there.
    RequestMic {
        /// Who wants it.
        person: PersonId,
        /// Where; anywhere if `None`.
        seat: Option<SeatNo>,
    },
    /// Ask no longer.
    Withdraw {
        /// Whose request.
        person: PersonId,
    },
    /// The host: let somebody who asks on mic.
    Grant {
        /// Whose request.
        person: PersonId,
        /// Where; the seat asked for, or the first free one, if `None`.
        seat: Option<SeatNo>,
    },
    /// The host: do not let somebody on mic.
    Refuse {
        /// Whose request.
        person: PersonId,
    },
    /// The host: offer a seat, which is reserved meanwhile. Grants a request that is there.
    Invite {
        /// To whom.
        person: PersonId,
        /// Which; the first free one if `None`.
        seat: Option<SeatNo>,
    },
    /// Take the seat offered.
    Accept {
        /// Who was invited.
        person: PersonId,
    },
    /// Do not take it.
    Decline {
        /// Who was invited.
        person: PersonId,
    },
    /// Leave the seat.
    LeaveMic {
        /// Who is on it.
        person: PersonId,
    },
    /// The host: take somebody off their seat; they may ask again after a cool-down.
    Remove {
        /// Who is on it.
        person: PersonId,
    },
    /// Leave this seat, for its participant; take them off it, for the host. Does nothing if the seat is empty.
    ClearSeat {
        /// Which.
        seat: SeatNo,
    },
    /// Mute or unmute. By the host for others, by anybody for themselves; the two are kept apart, and both must be
    /// lifted to be heard.
    Mute {
        /// The participant.
        who: Who,
        /// The sound: muted, not muted, or left as it is.
        audio: Option<bool>,
        /// The picture.
        video: Option<bool>,
    },
    /// The host: nobody new comes onto a locked seat; who is on it stays.
    LockSeat {
        /// Which.
        seat: SeatNo,
        /// Lock or unlock.
        locked: bool,
    },
    /// The host: move somebody to another seat, which must be free and not locked.
    Move {
        /// The participant.
        who: Who,
        /// Where to.
        seat: SeatNo,
    },
    /// The host: make somebody else the host.
    HandOver {
        /// Whom.
        person: PersonId,
    },
    /// The host: propose a PK to another room's host. Accepts a proposal of that room.
    ProposePk {
        /// The other room.
        room: RoomName,
    },
    /// The host: accept the proposal that is there.
    AcceptPk,
    /// The host: refuse it.
    RefusePk,
    /// The host: end the PK, or take the proposal back.
    EndPk,
    /// The driver, or the participant: publishing from a granted seat did not work. The seat is free again, and the
    /// person at the front of the queue.
    ConnectFailed {
        /// The participant who could not connect.
        who: Who,
        /// Why, for the person and the host; cut at 200 characters.
        reason: String,
    },
}
