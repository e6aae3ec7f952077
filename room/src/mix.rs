//! The sources that the program of a room is made of.

use onmic_names::{ParticipantName, PersonId, RoomName, SeatNo};

/// The sources of a program, in order: the host, the host of the room it has a PK with, then by seat. All are up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mix {
    /// The sources, in that order.
    pub sources: Vec<MixSource>,
    /// Whether somebody was granted a seat and is not up yet, so that another source comes within the time of a grant.
    pub expects: bool,
}

/// One source of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MixSource {
    /// The room it is published in; for the partner of a PK that is the other room.
    pub room: RoomName,
    /// The name it is published under.
    pub participant: ParticipantName,
    /// The person who publishes it; `None` for a host that is only an encoder.
    pub person: Option<PersonId>,
    /// The name on the label and the placeholder.
    pub name: String,
    /// The seat; `None` for a host.
    pub seat: Option<SeatNo>,
    /// Whether it has video that is not muted; otherwise its placeholder is shown.
    pub show: bool,
    /// Whether it has audio that is not muted.
    pub hear: bool,
    /// Whether it has audio that is muted. A source without audio is neither heard nor silenced.
    pub silenced: bool,
}
