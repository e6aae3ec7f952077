//! What is to be done: by the driver, in this order.

use std::fmt;
use std::time::{Duration, Instant};

use crate::event::Event;
use crate::mix::Mix;
use onmic_names::{ParticipantName, PersonId, RoomName, SeatNo};

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Tell everybody in the room. Numbers rise by one.
    Event {
        /// Where.
        room: RoomName,
        /// Which.
        number: u64,
        /// What.
        event: Event,
    },
    /// Tell this person that, and how, it may publish now.
    Ticket(Ticket),
    /// Close this publisher if there is one, and void its tickets.
    Revoke {
        /// Where.
        room: RoomName,
        /// Whose.
        participant: ParticipantName,
        /// Why.
        reason: RevokeReason,
    },
    /// The program of this room is made of this from now on. Only when it has changed.
    Mix {
        /// Where.
        room: RoomName,
        /// What.
        mix: Mix,
    },
    /// The room is gone; the last effect that names it.
    Ended {
        /// Which.
        room: RoomName,
    },
}

impl Effect {
    /// The room that it concerns.
    pub fn room(&self) -> &RoomName {
        match self {
            Self::Event { room, .. } | Self::Revoke { room, .. } | Self::Mix { room, .. } | Self::Ended { room } => {
                room
            }
            Self::Ticket(ticket) => &ticket.room,
        }
    }
}

/// The right to publish as one participant, for a short time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Where.
    pub room: RoomName,
    /// Who.
    pub person: PersonId,
    /// On which seat; `None` for a new host.
    pub seat: Option<SeatNo>,
    /// As whom.
    pub participant: ParticipantName,
    /// From now.
    pub expires_in: Duration,
}

/// Why somebody may no longer publish. Display tells them what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevokeReason {
    /// Has no seat, and seats are only by grant.
    NotSeated,
    /// Has no seat, and none is free.
    SeatsFull,
    /// Has no seat, and the room is locked.
    RoomLocked,
    /// Was removed a moment ago.
    CoolingDown,
    /// Somebody else is the host.
    NotHost,
    /// Is the host, who publishes as `host`.
    IsHost,
    /// Too many people in the room.
    PersonsFull,
    /// Too many rooms.
    RoomsFull,
    /// Left the mic.
    Left,
    /// Removed by the host.
    Removed,
    /// Did not connect, or come back, in time.
    Timeout,
    /// The seat went back to the queue because connecting failed.
    Failed,
    /// The room was handed over.
    HandedOver,
    /// The host stayed away.
    HostLeft,
    /// The room ended.
    RoomEnded,
}

impl RevokeReason {
    /// The sentence's name.
    pub fn code(self) -> &'static str {
        match self {
            Self::NotSeated => "not-seated",
            Self::SeatsFull => "seats-full",
            Self::RoomLocked => "room-locked",
            Self::CoolingDown => "cooling-down",
            Self::NotHost => "not-host",
            Self::IsHost => "is-host",
            Self::PersonsFull => "persons-full",
            Self::RoomsFull => "rooms-full",
            Self::Left => "left",
            Self::Removed => "removed",
            Self::Timeout => "timeout",
            Self::Failed => "failed",
            Self::HandedOver => "handed-over",
            Self::HostLeft => "host-left",
            Self::RoomEnded => "room-ended",
        }
    }
}

impl fmt::Display for RevokeReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotSeated => "You have no seat in this room. Ask for the mic first.",
            Self::SeatsFull => "All seats are taken or locked. Ask for the mic and wait for a free one.",
            Self::RoomLocked => "The room is locked. Wait until the host unlocks it.",
            Self::CoolingDown => "You were removed from the mic a moment ago. Try again a little later.",
            Self::NotHost => "Somebody else is the host of this room now. Ask for the mic.",
            Self::IsHost => "You are the host. Publish to the room itself, not to a seat.",
            Self::PersonsFull => "Too many people are in this room. Try again later.",
            Self::RoomsFull => "This server has as many rooms as it can. Try again later.",
            Self::Left => "You left the mic.",
            Self::Removed => "The host removed you from the mic. Ask again a little later.",
            Self::Timeout => "Your stream did not arrive in time. Ask for the mic again.",
            Self::Failed => "Your stream could not connect. Wait for the host to let you on again.",
            Self::HandedOver => "The room was handed over to somebody else. Ask for the mic to go on.",
            Self::HostLeft => "The host has left. Ask for the mic again when the host is back.",
            Self::RoomEnded => "The room has ended.",
        })
    }
}

/// The effects of one step, and which rooms it touched.
#[derive(Debug)]
pub(crate) struct Step {
    pub now: Instant,
    pub effects: Vec<Effect>,
    /// To be settled at the end: their mix, deadlines and what follows from who is there.
    pub touched: std::collections::BTreeSet<RoomName>,
}

impl Step {
    pub fn new(now: Instant) -> Self {
        Self { now, effects: Vec::new(), touched: std::collections::BTreeSet::new() }
    }

    pub fn revoke(&mut self, room: &RoomName, participant: &ParticipantName, reason: RevokeReason) {
        self.effects.push(Effect::Revoke { room: room.clone(), participant: participant.clone(), reason });
    }
}
