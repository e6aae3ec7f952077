//! Turns counters that wrap into counters that do not (RFC 3550 A.1; RFC 3711 3.3.1 does the same for SRTP).

/// Follows a 16-bit counter. A value stands for the position nearest to the highest one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwrap16 {
    highest: Option<i64>,
}

impl Unwrap16 {
    /// Returns the position that `value` stands for, and remembers the highest. The first position is its own value.
    pub fn unwrap(&mut self, value: u16) -> i64 {
        let position = self.peek(value);
        self.highest = self.highest.max(Some(position));
        position
    }

    /// Returns the position that `value` stands for, without remembering it.
    pub fn peek(&self, value: u16) -> i64 {
        match self.highest {
            None => i64::from(value),
            Some(highest) => highest + i64::from(value.wrapping_sub(highest as u16) as i16),
        }
    }
}

/// Follows a 32-bit counter. A value stands for the position nearest to the last one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwrap32 {
    last: Option<i64>,
}

impl Unwrap32 {
    /// Returns the position that `value` stands for, and remembers it. The first position is its own value.
    pub fn unwrap(&mut self, value: u32) -> i64 {
        let position = self.peek(value);
        // Half the range is 6.6 hours of video, so the newest is a good reference even if it is not the highest.
        self.last = Some(position);
        position
    }

    /// Returns the position that `value` stands for, without remembering it.
    pub fn peek(&self, value: u32) -> i64 {
        match self.last {
            None => i64::from(value),
            Some(last) => last.saturating_add((value.wrapping_sub(last as u32) as i32).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers_may_wrap_and_be_reordered() {
        let mut sequence = Unwrap16::default();
        let seen: Vec<i64> = [65_534, 65_535, 1, 0, 65_533, 2].map(|value| sequence.unwrap(value)).to_vec();
        assert_eq!(seen, [65_534, 65_535, 65_537, 65_536, 65_533, 65_538]);
    }

    #[test]
    fn timestamps_may_wrap_and_go_back() {
        let mut timestamp = Unwrap32::default();
        let seen: Vec<i64> = [u32::MAX - 1, 5, u32::MAX, 3000].map(|value| timestamp.unwrap(value)).to_vec();
        assert_eq!(seen, [4_294_967_294, 4_294_967_301, 4_294_967_295, 4_294_970_296]);
    }
}
