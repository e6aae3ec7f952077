//! What the driver has to do after a step, in this order.

use std::fmt;
use std::time::{Duration, Instant};

use crate::event::Event;
use crate::mix::Mix;
use onmic_names::{ParticipantName, PersonId, RoomName, SeatNo};

/// Something for the driver to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Tell everybody in the room what happened.
    Event {
        /// The room.
        room: RoomName,
        /// The number of the event. The events of a room are numbered without a gap.
        number: u64,
        /// The event.
        event: Event,
    },
    /// Tell a person that they may publish now, and how.
    Ticket(Ticket),
    /// Close this publisher if there is one, and void its tickets.
    Revoke {
        /// The room.
        room: RoomName,
        /// The participant who may no longer publish.
        participant: ParticipantName,
        /// The reason, which the publisher is told.
        reason: RevokeReason,
    },
    /// Close whatever this person has open in the room, by whichever protocol.
    Kicked {
        /// The room.
        room: RoomName,
        /// The person who was sent out of it.
        person: PersonId,
    },
    /// Make the room's program of these sources from now on. Given only when they have changed.
    Mix {
        /// The room.
        room: RoomName,
        /// The sources of its program.
        mix: Mix,
    },
    /// Forget the room: it has ended. This is the last effect that names it.
    Ended {
        /// The room.
        room: RoomName,
    },
}

impl Effect {
    /// Returns the room that the effect concerns.
    pub fn room(&self) -> &RoomName {
        match self {
            Self::Event { room, .. }
            | Self::Revoke { room, .. }
            | Self::Kicked { room, .. }
            | Self::Mix { room, .. }
            | Self::Ended { room } => room,
            Self::Ticket(ticket) => &ticket.room,
        }
    }
}

/// The right to publish as one participant, for a short time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The room.
    pub room: RoomName,
    /// The person who may publish.
    pub person: PersonId,
    /// The seat; `None` for a new host.
    pub seat: Option<SeatNo>,
    /// The name to publish under.
    pub participant: ParticipantName,
    /// How long the ticket is good from now.
    pub expires_in: Duration,
}

/// The reason why somebody may no longer publish. Its Display tells them what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevokeReason {
    /// The person has no seat, and the room gives seats by grant only.
    NotSeated,
    /// The person has no seat, and no seat is free.
    SeatsFull,
    /// The person has no seat, and the room is locked.
    RoomLocked,
    /// The host removed the person a moment ago.
    CoolingDown,
    /// Somebody else is the host.
    NotHost,
    /// The person is the host, who publishes as `host`.
    IsHost,
    /// The room has as many people as it may have.
    PersonsFull,
    /// The node has as many rooms as it may have.
    RoomsFull,
    /// The person left the mic.
    Left,
    /// The host removed the person.
    Removed,
    /// The host sent the person out of the room.
    Kicked,
    /// The publisher did not connect, or did not come back, in time.
    Timeout,
    /// The publisher could not connect, so the person is back in the queue.
    Failed,
    /// The room was handed over.
    HandedOver,
    /// The host stayed away.
    HostLeft,
    /// The room ended.
    RoomEnded,
}

impl RevokeReason {
    /// Returns the code that names the reason.
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
            Self::Kicked => "kicked",
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
            Self::Kicked => "The host sent you out of the room.",
            Self::Timeout => "Your stream did not arrive in time. Ask for the mic again.",
            Self::Failed => "Your stream could not connect. Wait for the host to let you on again.",
            Self::HandedOver => "The room was handed over to somebody else. Ask for the mic to go on.",
            Self::HostLeft => "The host has left. Ask for the mic again when the host is back.",
            Self::RoomEnded => "The room has ended.",
        })
    }
}

/// The effects of one step, and the rooms that it touched.
#[derive(Debug)]
pub(crate) struct Step {
    pub now: Instant,
    pub effects: Vec<Effect>,
    /// The rooms to settle at the end of the step: their mix, their deadlines, and what follows from who is there.
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
