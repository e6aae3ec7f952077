//! The state machine of rooms: the host, the requests for the mic, the people on seats, and the PK between two rooms.
//!
//! The driver tells [`Rooms`] what happens by [`Rooms::apply`], and that time has passed by [`Rooms::handle_timeout`].
//! It gets [`Effect`]s to carry out. The machine reads no clock, knows no protocol, no media and no token, and depends
//! on nothing but std and the names. Layouts, overlays and chat are kept by the driver, which asks [`Rooms::authorize`]
//! who may change them. Two tables in the README say how long each state waits and what happens in each case.

mod command;
mod effect;
mod event;
mod host;
mod input;
mod invariants;
mod invitation;
mod mix;
mod person;
mod pk;
mod refused;
mod request;
mod room;
mod rooms;
mod seat;
mod settings;
pub mod simulation;
mod snapshot;
mod source;
mod view;

pub use command::{Actor, Authority, Command, Who};
pub use effect::{Effect, RevokeReason, Ticket};
pub use event::{EndReason, Event, LeftReason, PkEndReason};
pub use host::Presence;
pub use input::Input;
pub use mix::{Mix, MixSource};
pub use onmic_names::{AvSync, InvalidSeat, ParticipantName, PersonId, Playout, RoomName, SEATS_MAX, SeatNo};
pub use pk::{PK_PROPOSALS_MAX, PK_WINDOW, Pk};
pub use refused::{Refused, RefusedKind};
pub use rooms::Rooms;
pub use seat::{Muted, Phase};
pub use settings::{HostLeaves, Limits, Settings, Timeouts};
pub use snapshot::{HostSnapshot, PersonSnapshot, RequestSnapshot, SeatSnapshot, Snapshot, SourceSnapshot};
pub use view::{
    HostView, InvitationView, MutedBy, MutedByView, PersonView, PkState, PkView, RequestView, RoomView, SeatState,
    SeatView, SourceView,
};
