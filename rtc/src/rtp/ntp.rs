//! The 64-bit NTP timestamps that a peer states, in sender reports and abs-capture-time (RFC 3550 4).
//!
//! Nothing here takes one for a date. Some devices count from their boot, and the seconds begin anew in 2036. Only the difference of
//! two of one peer means something.

/// A moment on a peer's clock, in units of 2^-32 s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ntp(pub u64);

impl Ntp {
    /// What a sender without a clock states (RFC 3550 6.4.1).
    pub const NONE: Self = Self(0);

    /// Returns the microseconds from `earlier` to this moment, where the two are less than 68 years apart.
    pub fn micros_since(self, earlier: Self) -> i64 {
        let units = self.0.wrapping_sub(earlier.0) as i64;
        ((i128::from(units) * 1_000_000) >> 32) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_go_on_over_the_end_of_the_era() {
        let before = Ntp((u64::from(u32::MAX) << 32) | 1 << 31);
        let after = Ntp(1 << 32);
        assert_eq!((after.micros_since(before), before.micros_since(after)), (1_500_000, -1_500_000));
    }
}
