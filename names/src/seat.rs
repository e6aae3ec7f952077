//! The number of a seat.

use std::fmt;
use std::num::NonZeroU8;

use crate::limits::SEATS_MAX;

/// The number is not the number of a seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidSeat;

impl fmt::Display for InvalidSeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seats are numbered from 1 to {SEATS_MAX}")
    }
}

impl std::error::Error for InvalidSeat {}

/// The number of a seat, from 1.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeatNo(NonZeroU8);

impl SeatNo {
    /// Checks `number`, which must be 1 to [`SEATS_MAX`].
    pub fn new(number: u8) -> Result<Self, InvalidSeat> {
        NonZeroU8::new(number).filter(|n| n.get() <= SEATS_MAX).map(Self).ok_or(InvalidSeat)
    }

    /// Returns the number.
    pub fn get(self) -> u8 {
        self.0.get()
    }

    /// Returns the index of this seat in a list of all seats.
    pub fn index(self) -> usize {
        usize::from(self.0.get()) - 1
    }

    /// Returns the numbers of the first `count` seats.
    pub fn first(count: u8) -> impl Iterator<Item = Self> {
        (1..=count).filter_map(|number| Self::new(number).ok())
    }
}

impl fmt::Display for SeatNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for SeatNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_are_numbered_from_one() {
        assert_eq!(SeatNo::new(0), Err(InvalidSeat));
        assert_eq!(SeatNo::new(SEATS_MAX + 1), Err(InvalidSeat));
        assert_eq!(SeatNo::new(1).map(SeatNo::get), Ok(1));
        let numbers: Vec<u8> = SeatNo::first(3).map(SeatNo::get).collect();
        assert_eq!(numbers, [1, 2, 3]);
    }
}
