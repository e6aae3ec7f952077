//! The seam between a room and its program: who carries out what the machine and the host decide.

use onmic_room::{Mix, RoomName};

use super::look::Look;

/// Makes programs. Called in the order of decisions, under the lock of all rooms: it notes what is wanted and returns at
/// once, neither blocks nor calls [`super::Rooms`]. What it has to say it says later, from a thread of its own, by
/// [`super::Rooms::speaking`] and [`super::Rooms::program_state`].
pub trait Stage: Send + Sync {
    /// The program of `room` is made of `mix` and looks like `look` from now on.
    fn direct(&self, room: &RoomName, mix: &Mix, look: &Look);

    /// The room is gone.
    fn ended(&self, room: &RoomName);
}

/// Leaves programs to the hub, which passes the host's source through.
pub struct PassThrough;

impl Stage for PassThrough {
    fn direct(&self, _: &RoomName, _: &Mix, _: &Look) {}

    fn ended(&self, _: &RoomName) {}
}
