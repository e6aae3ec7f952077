//! The limits on how many people take part in one program. Every crate that keeps a place for each of them uses these
//! numbers.

/// The most seats of a room, beside the host's place.
pub const SEATS_MAX: u8 = 16;

/// The most participants of a room: the host, and one on each seat.
pub const PARTICIPANTS_MAX: usize = 1 + SEATS_MAX as usize;

/// The most sources of one program: the room's participants, and in a PK the host of the other room. A layout has this
/// many places, a composed frame shows this many tiles, and a mix has this many audio inputs.
pub const MIXED_MAX: usize = PARTICIPANTS_MAX + 1;

// A seat number is one byte, and 0 is not a seat.
const _: () = assert!(SEATS_MAX > 0 && SEATS_MAX < u8::MAX);
// Every participant on mic is in the program, so a participant for whom the mix has no place must not exist.
const _: () = assert!(MIXED_MAX > PARTICIPANTS_MAX && PARTICIPANTS_MAX > SEATS_MAX as usize);
