//! Refusals: each has a code for programs, a sentence that tells a person what to do, and a kind for HTTP.

use std::fmt;
use std::time::Duration;

use onmic_names::{DISPLAY_NAME_MAX, PLAYOUT_DELAY_MAX_MS, PersonId, RoomName, SEATS_MAX, SeatNo, TITLE_MAX};

/// The kind of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedKind {
    /// There is no such thing (404).
    NotFound,
    /// This person may not do it (403).
    NotAllowed,
    /// It cannot be done now (409).
    Conflict,
    /// A limit is reached (429).
    Full,
    /// It can never be done in this form (422).
    Malformed,
}

/// A refusal, after which nothing has changed. Its Display is the sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is no such room.
    RoomUnknown(RoomName),
    /// Nobody in the room has this id.
    PersonUnknown(PersonId),
    /// The room has no seat of this number.
    SeatUnknown {
        /// The seat that was asked for.
        seat: SeatNo,
        /// The number of seats that the room has.
        seats: u8,
    },
    /// Only the host may do it.
    NotHost,
    /// Only that person or the host may do it.
    NotYours,
    /// The host has muted the participant, who therefore cannot lift it.
    MutedByHost,
    /// The host needs no seat.
    HostNeedsNoSeat,
    /// The seat is locked.
    SeatLocked(SeatNo),
    /// Somebody has the seat.
    SeatTaken(SeatNo),
    /// No seat is free.
    SeatsFull,
    /// The room takes no requests.
    RoomLocked,
    /// The host removed the person a moment ago. Holds how long to wait.
    CoolingDown(Duration),
    /// The person does not ask for the mic.
    NotRequested(String),
    /// The person is not invited.
    NotInvited,
    /// The person is not on a seat.
    NotOnMic(String),
    /// Nobody is on this seat.
    SeatEmpty(SeatNo),
    /// The room has no host who could be muted.
    NobodyHosts,
    /// The person has another seat than the one that was named.
    OnAnotherSeat {
        /// The name that others see.
        name: String,
        /// The seat that the person has.
        seat: SeatNo,
    },
    /// The person is not there at the moment.
    PersonAbsent(String),
    /// Only the host may have this id.
    NameReserved,
    /// A room of this name exists with other settings.
    RoomExists(RoomName),
    /// A seat that would go has somebody on it.
    SeatInUse(SeatNo),
    /// The room has as many requests as it may have.
    RequestsFull(usize),
    /// The node has as many rooms as it may have.
    RoomsFull(usize),
    /// The room has as many people as it may have.
    PersonsFull(usize),
    /// The PK would be with the room itself.
    PkWithSelf,
    /// One of the two rooms has another PK or proposal.
    PkBusy(RoomName),
    /// The host of that room is not there.
    PkWithoutHost(RoomName),
    /// A proposal of this room to that one has come to nothing a moment ago. Holds how long to wait.
    PkCoolingDown(RoomName, Duration),
    /// The room, or whoever proposes for it, has proposed as many PKs as they may in a minute. Holds how long to wait.
    PkTooMany(Duration),
    /// The room has no proposal of a PK to accept.
    PkNotProposed,
    /// The text is not a display name.
    DisplayName,
    /// The text is not a title.
    Title,
    /// A room cannot have this many seats.
    Seats(u8),
    /// Viewers cannot play this far behind.
    PlayoutDelay,
    /// The timeout of this name is out of bounds.
    Timeout(&'static str),
}

impl Refused {
    /// Returns the code that names the sentence, for programs and translations.
    pub fn code(&self) -> &'static str {
        match self {
            Self::RoomUnknown(_) => "room-unknown",
            Self::PersonUnknown(_) => "person-unknown",
            Self::SeatUnknown { .. } => "seat-unknown",
            Self::NotHost => "not-host",
            Self::NotYours => "not-yours",
            Self::MutedByHost => "muted-by-host",
            Self::HostNeedsNoSeat => "host-needs-no-seat",
            Self::SeatLocked(_) => "seat-locked",
            Self::SeatTaken(_) => "seat-taken",
            Self::SeatsFull => "seats-full",
            Self::RoomLocked => "room-locked",
            Self::CoolingDown(_) => "cooling-down",
            Self::NotRequested(_) => "not-requested",
            Self::NotInvited => "not-invited",
            Self::NotOnMic(_) | Self::SeatEmpty(_) | Self::NobodyHosts => "not-on-mic",
            Self::OnAnotherSeat { .. } => "on-another-seat",
            Self::PersonAbsent(_) => "person-absent",
            Self::NameReserved => "name-reserved",
            Self::RoomExists(_) => "room-exists",
            Self::SeatInUse(_) => "seat-in-use",
            Self::RequestsFull(_) => "requests-full",
            Self::RoomsFull(_) => "rooms-full",
            Self::PersonsFull(_) => "persons-full",
            Self::PkWithSelf => "pk-with-self",
            Self::PkBusy(_) => "pk-busy",
            Self::PkWithoutHost(_) => "pk-without-host",
            Self::PkCoolingDown(..) => "pk-cooling-down",
            Self::PkTooMany(_) => "pk-too-many",
            Self::PkNotProposed => "pk-not-proposed",
            Self::DisplayName => "display-name",
            Self::Title => "title",
            Self::Seats(_) => "seats",
            Self::PlayoutDelay => "playout-delay",
            Self::Timeout(_) => "timeout",
        }
    }

    /// Returns the kind of the refusal.
    pub fn kind(&self) -> RefusedKind {
        match self {
            Self::RoomUnknown(_)
            | Self::PersonUnknown(_)
            | Self::SeatUnknown { .. }
            | Self::NotRequested(_)
            | Self::NotInvited
            | Self::PkNotProposed => RefusedKind::NotFound,
            Self::NotHost | Self::NotYours | Self::MutedByHost => RefusedKind::NotAllowed,
            Self::RequestsFull(_) | Self::RoomsFull(_) | Self::PersonsFull(_) | Self::PkTooMany(_) => RefusedKind::Full,
            Self::NameReserved
            | Self::PkWithSelf
            | Self::DisplayName
            | Self::Title
            | Self::Seats(_)
            | Self::PlayoutDelay
            | Self::Timeout(_) => RefusedKind::Malformed,
            Self::HostNeedsNoSeat
            | Self::SeatLocked(_)
            | Self::SeatTaken(_)
            | Self::SeatsFull
            | Self::RoomLocked
            | Self::CoolingDown(_)
            | Self::NotOnMic(_)
            | Self::SeatEmpty(_)
            | Self::NobodyHosts
            | Self::OnAnotherSeat { .. }
            | Self::PersonAbsent(_)
            | Self::RoomExists(_)
            | Self::SeatInUse(_)
            | Self::PkBusy(_)
            | Self::PkWithoutHost(_)
            | Self::PkCoolingDown(..) => RefusedKind::Conflict,
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RoomUnknown(room) => {
                write!(f, "There is no room {room}. Check the name, or create the room first.")
            }
            Self::PersonUnknown(person) => {
                write!(f, "{person} is not in this room. Connect to the room's events first.")
            }
            Self::SeatUnknown { seats: 0, .. } => write!(f, "This room has no seats. Give it some first."),
            Self::SeatUnknown { seat, seats } => {
                write!(f, "There is no seat {seat}. This room has seats 1 to {seats}.")
            }
            Self::NotHost => {
                write!(f, "Only the host of this room may do that. Ask the host, or to be handed the room.")
            }
            Self::NotYours => write!(f, "That is somebody else's. Only they or the host can do it."),
            Self::MutedByHost => write!(f, "The host has muted you. Ask the host to lift it."),
            Self::HostNeedsNoSeat => write!(f, "The host is live without a seat. Publish to the room itself."),
            Self::SeatLocked(seat) => write!(f, "Seat {seat} is locked. Ask for another one."),
            Self::SeatTaken(seat) => write!(f, "Seat {seat} is taken. Ask for another one."),
            Self::SeatsFull => write!(f, "All seats are taken or locked. Free one first."),
            Self::RoomLocked => {
                write!(f, "The room takes no requests for the mic now. Wait until the host unlocks it.")
            }
            Self::CoolingDown(wait) => {
                write!(f, "You were removed from the mic a moment ago. Ask again in {} s.", whole_seconds(*wait))
            }
            Self::NotRequested(name) => write!(f, "{name} is not asking for the mic. Send an invitation instead."),
            Self::NotInvited => write!(f, "There is no invitation; it may have expired. Ask for the mic instead."),
            Self::NotOnMic(name) => write!(f, "{name} is not on mic. Grant or invite first."),
            Self::SeatEmpty(seat) => write!(f, "Nobody is on seat {seat}."),
            Self::NobodyHosts => write!(f, "The room has no host who could be muted."),
            Self::OnAnotherSeat { name, seat } => write!(f, "{name} has seat {seat} already. Move them instead."),
            Self::PersonAbsent(name) => write!(f, "{name} is not here at the moment. Choose somebody who is."),
            Self::NameReserved => write!(f, "The id \"host\" is the host's own. Come under another id."),
            Self::RoomExists(room) => {
                write!(f, "Room {room} exists with other settings. Configure it, or choose another name.")
            }
            Self::SeatInUse(seat) => write!(f, "Seat {seat} is taken, so it cannot go. Free it first."),
            Self::RequestsFull(limit) => {
                write!(f, "{limit} people are asking for the mic already, the limit. Try again later.")
            }
            Self::RoomsFull(limit) => write!(f, "This server has {limit} rooms already, its limit. End one first."),
            Self::PersonsFull(limit) => {
                write!(f, "{limit} people are in this room already, the limit. Watch without joining, or try later.")
            }
            Self::PkWithSelf => write!(f, "A room cannot have a PK with itself. Name another room."),
            Self::PkBusy(room) => {
                write!(f, "Room {room} has another PK or proposal. Wait until that is over, or choose another room.")
            }
            Self::PkWithoutHost(room) => {
                write!(f, "Nobody hosts room {room} at the moment. Try again when its host is there.")
            }
            Self::PkCoolingDown(room, wait) => {
                let wait = whole_seconds(*wait);
                write!(f, "Room {room} has not taken your proposal. Propose again in {wait} s, or wait for theirs.")
            }
            Self::PkTooMany(wait) => {
                write!(f, "Too many PKs are proposed. Propose again in {} s.", whole_seconds(*wait))
            }
            Self::PkNotProposed => write!(f, "There is no PK proposal; it may have expired. Propose one instead."),
            Self::DisplayName => {
                write!(f, "A name to show has 1 to {DISPLAY_NAME_MAX} characters on one line, and not only spaces.")
            }
            Self::Title => write!(
                f,
                "A title has at most {TITLE_MAX} characters on one line, and none that turns the direction of text."
            ),
            Self::Seats(seats) => write!(f, "{seats} seats are too many. A room has 0 to {SEATS_MAX}."),
            Self::PlayoutDelay => {
                write!(f, "The delay of playout is too long. Set it between 0 and {} ms.", PLAYOUT_DELAY_MAX_MS)
            }
            Self::Timeout(name) => {
                write!(f, "The timeout {name} is out of bounds. Set it between 100 ms and 24 h.")
            }
        }
    }
}

/// Returns a wait in whole seconds, at least one.
fn whole_seconds(wait: Duration) -> u128 {
    wait.as_millis().div_ceil(1000).max(1)
}

impl std::error::Error for Refused {}
