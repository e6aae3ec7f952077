//! How many take part in one program. Every crate that keeps a place for each of them uses these numbers.

/// Most seats of a room, beside the host's place.
pub const SEATS_MAX: u8 = 16;

/// Most participants of a room: the host, and one on each seat.
pub const PARTICIPANTS_MAX: usize = 1 + SEATS_MAX as usize;

/// Most sources of one program: the room's participants, and in a PK the host of the other room. A layout has this many
/// places, a picture shows this many tiles, and a mix hears this many inputs.
pub const MIXED_MAX: usize = PARTICIPANTS_MAX + 1;

// Seat numbers are one byte, and 0 is not a seat.
const _: () = assert!(SEATS_MAX > 0 && SEATS_MAX < u8::MAX);
// Whoever is on mic is in the program: a participant whom the mix cannot take in must not exist.
const _: () = assert!(MIXED_MAX > PARTICIPANTS_MAX && PARTICIPANTS_MAX > SEATS_MAX as usize);
