//! The state machine of rooms: who hosts, who asks for the mic, who is on which seat, which two rooms have a PK.
//!
//! [`Rooms`] is told what happens by [`Rooms::apply`] and when time has passed by [`Rooms::handle_timeout`], and answers with
//! [`Effect`]s to carry out. It reads no clock, knows no protocol, no media and no token, and depends on nothing but
//! std and the names. Layouts, overlays and chat are the driver's; it asks [`Rooms::authorize`] who may. What waits for how long, and
//! what happens when, are the two tables of the README.

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
mod source;
mod view;

pub use command::{Actor, Authority, Command, Who};
pub use effect::{Effect, RevokeReason, Ticket};
pub use event::{EndReason, Event, LeftReason, PkEndReason};
pub use input::Input;
pub use mix::{Mix, MixSource};
pub use onmic_names::{InvalidSeat, ParticipantName, PersonId, RoomName, SEATS_MAX, SeatNo};
pub use refused::{Refused, RefusedKind};
pub use rooms::Rooms;
pub use settings::{HostLeaves, Limits, Settings, Timeouts};
pub use view::{
    HostView, InvitationView, MutedBy, MutedByView, PersonView, PkState, PkView, RequestView, RoomView, SeatState,
    SeatView, SourceView,
};
