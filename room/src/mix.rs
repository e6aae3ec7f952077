//! What the program of a room is made of.

use onmic_names::{ParticipantName, PersonId, RoomName, SeatNo};

/// The sources of a program, in order: the host, the host of the room it has a PK with, then by seat. All are up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mix {
    /// See the type.
    pub sources: Vec<MixSource>,
}

/// One source of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MixSource {
    /// The room it is published in: another one's for the partner of a PK.
    pub room: RoomName,
    /// As whom.
    pub participant: ParticipantName,
    /// Who, unless it is an encoder's host.
    pub person: Option<PersonId>,
    /// For the label and the placeholder.
    pub name: String,
    /// Where; `None` for a host.
    pub seat: Option<SeatNo>,
    /// Its picture is there and not muted; otherwise its placeholder is shown.
    pub show: bool,
    /// Its sound is there and not muted.
    pub hear: bool,
    /// Its sound is there, but muted. A source that sends none is neither heard nor silenced.
    pub silenced: bool,
}
