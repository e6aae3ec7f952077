//! The names, words and limits that several crates must agree on, each declared once.
//!
//! It depends on nothing but std. A name is checked where it enters, and is a type from then on. A limit that follows
//! from another one is computed from it. Relations that cannot be computed are asserted at compile time.

pub mod limits;
mod name;
mod playout;
mod principal;
mod seat;
mod sync;
mod text;

pub use limits::{MIXED_MAX, PARTICIPANTS_MAX, SEATS_MAX};
pub use name::{
    DISPLAY_NAME_MAX, InvalidName, NAME_MAX, ParticipantName, PersonId, RoomName, SOURCE_NAME_MAX, SourceName,
    TITLE_MAX,
};
pub use playout::{InvalidPlayoutDelay, PLAYOUT_DELAY_MAX_MS, Playout};
pub use principal::Principal;
pub use seat::{InvalidSeat, SeatNo};
pub use sync::{AvSync, InvalidAvSync};
pub use text::{display_name, is_line, may_be_shown, without_turns};
