//! What happened, told to everybody in the room. Each event holds the changed state as values, so a client that applies
//! all of them has the state of the room.
//!
//! `mic-granted` and `mic-on` take away the request and the invitation of the person on the seat. `host-changed` takes
//! away those of the new host.

use crate::settings::Settings;
use crate::view::{HostView, InvitationView, PersonView, PkView, RequestView, SeatView, SourceView};
use onmic_names::PersonId;

/// Something that happened in a room.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The views say what they hold.
pub enum Event {
    RoomOpened {
        settings: Settings,
        kept: bool,
        seats: Vec<SeatView>,
    },
    RoomConfigured {
        settings: Settings,
        kept: bool,
        seats: Vec<SeatView>,
    },
    RoomEnded {
        reason: EndReason,
    },
    PersonJoined {
        person: PersonView,
    },
    PersonLeft {
        person: PersonView,
    },
    HostChanged {
        host: HostView,
    },
    HostAway {
        host: HostView,
    },
    HostBack {
        host: HostView,
    },
    MicRequested {
        request: RequestView,
    },
    MicWithdrawn {
        request: RequestView,
    },
    MicRefused {
        request: RequestView,
    },
    MicExpired {
        request: RequestView,
    },
    MicGranted {
        seat: SeatView,
    },
    MicConnecting {
        seat: SeatView,
    },
    MicOn {
        seat: SeatView,
    },
    MicAway {
        seat: SeatView,
    },
    /// The seat is free again. If the person is still there, their request is at the front of the queue.
    MicFailed {
        seat: SeatView,
        person: PersonId,
        name: String,
        request: Option<RequestView>,
        reason: String,
    },
    /// Holds the seat as it is now: empty.
    MicLeft {
        seat: SeatView,
        person: PersonId,
        name: String,
        reason: LeftReason,
    },
    Invited {
        invitation: InvitationView,
        seat: SeatView,
    },
    InvitationDeclined {
        invitation: InvitationView,
        seat: SeatView,
    },
    InvitationExpired {
        invitation: InvitationView,
        seat: SeatView,
    },
    /// A move gives two of these events: first for the seat that was left, then for the seat that was taken.
    SeatChanged {
        seat: SeatView,
    },
    /// Is also given when the tracks of the source have changed.
    SourceUp {
        source: SourceView,
    },
    SourceDown {
        source: SourceView,
    },
    PkProposed {
        pk: PkView,
    },
    PkOn {
        pk: PkView,
    },
    PkRefused {
        pk: PkView,
    },
    PkEnded {
        pk: PkView,
        reason: PkEndReason,
    },
}

impl Event {
    /// The word that names the event, here and in the API.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::RoomOpened { .. } => "room-opened",
            Self::RoomConfigured { .. } => "room-configured",
            Self::RoomEnded { .. } => "room-ended",
            Self::PersonJoined { .. } => "person-joined",
            Self::PersonLeft { .. } => "person-left",
            Self::HostChanged { .. } => "host-changed",
            Self::HostAway { .. } => "host-away",
            Self::HostBack { .. } => "host-back",
            Self::MicRequested { .. } => "mic-requested",
            Self::MicWithdrawn { .. } => "mic-withdrawn",
            Self::MicRefused { .. } => "mic-refused",
            Self::MicExpired { .. } => "mic-expired",
            Self::MicGranted { .. } => "mic-granted",
            Self::MicConnecting { .. } => "mic-connecting",
            Self::MicOn { .. } => "mic-on",
            Self::MicAway { .. } => "mic-away",
            Self::MicFailed { .. } => "mic-failed",
            Self::MicLeft { .. } => "mic-left",
            Self::Invited { .. } => "invited",
            Self::InvitationDeclined { .. } => "invitation-declined",
            Self::InvitationExpired { .. } => "invitation-expired",
            Self::SeatChanged { .. } => "seat-changed",
            Self::SourceUp { .. } => "source-up",
            Self::SourceDown { .. } => "source-down",
            Self::PkProposed { .. } => "pk-proposed",
            Self::PkOn { .. } => "pk-on",
            Self::PkRefused { .. } => "pk-refused",
            Self::PkEnded { .. } => "pk-ended",
        }
    }
}

/// The reason why a room ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// Somebody ended it by a command.
    Ended,
    /// Nobody was in it.
    Empty,
    /// Its host stayed away, and the room is set to end then.
    HostLeft,
}

/// The reason why somebody is no longer on a seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftReason {
    /// They left by themselves.
    Left,
    /// The host removed them.
    Removed,
    /// Their source did not come back in time.
    Timeout,
    /// The room ended.
    RoomEnded,
    /// The host stayed away.
    HostLeft,
    /// They became the host.
    HandedOver,
}

/// The reason why a PK, or the proposal of one, is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PkEndReason {
    /// One of the hosts ended it.
    Ended,
    /// The proposal was not answered in time.
    Expired,
    /// A host's source did not come back in time.
    HostGone,
    /// One of the rooms ended.
    RoomEnded,
}
