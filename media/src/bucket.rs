//! A token bucket: an amount that may be used at once, and what is added to it as time passes.

use std::time::{Duration, Instant};

/// A bucket that holds up to `burst`, and gets `each_second` more in each second.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    burst: f64,
    each_second: f64,
    left: f64,
    filled: Instant,
}

impl Bucket {
    /// Returns a full bucket. Both amounts are above zero.
    pub fn new(each_second: f64, burst: f64, now: Instant) -> Self {
        Self { burst, each_second, left: burst, filled: now }
    }

    /// Takes an amount out. If it is not there, nothing is taken, and the error is how long to wait for it.
    pub fn try_take(&mut self, amount: f64, now: Instant) -> Result<(), Duration> {
        self.fill(now);
        if self.left >= amount {
            self.left -= amount;
            return Ok(());
        }
        Err(Duration::from_secs_f64((amount - self.left) / self.each_second))
    }

    /// Takes an amount out that was used already, whether it is there or not. What is missing is waited for by those who take next, as
    /// long as a whole burst takes at most.
    pub fn owe(&mut self, amount: f64, now: Instant) {
        self.fill(now);
        self.left = (self.left - amount).max(-self.burst);
    }

    /// Returns whether all that was taken has been refilled.
    pub fn is_full(&mut self, now: Instant) -> bool {
        self.fill(now);
        self.left >= self.burst
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.left = (self.left + passed * self.each_second).min(self.burst);
        self.filled = self.filled.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_let_through_and_after_it_only_what_is_refilled() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut bytes = Bucket::new(1000.0, 4000.0, start);
        assert_eq!(bytes.try_take(4000.0, start), Ok(()));
        assert_eq!(bytes.try_take(500.0, start), Err(Duration::from_millis(500)));
        for second in 1..100 {
            assert_eq!(bytes.try_take(1000.0, after(second)), Ok(()));
        }
        assert!(bytes.try_take(1.0, after(99)).is_err());
        assert_eq!(bytes.try_take(4000.0, after(500)), Ok(()), "it does not grow beyond the burst");
        assert!(bytes.try_take(1.0, after(500)).is_err());
        assert!(bytes.try_take(1.0, after(400)).is_err(), "a time that was before fills nothing");
    }

    #[test]
    fn what_is_owed_is_waited_for_as_long_as_a_burst_takes_at_most() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut bytes = Bucket::new(1000.0, 4000.0, start);
        assert!(bytes.is_full(start));
        bytes.owe(6000.0, start);
        assert_eq!(bytes.try_take(0.0, start), Err(Duration::from_secs(2)));
        bytes.owe(1e9, start);
        assert_eq!(bytes.try_take(1000.0, start), Err(Duration::from_secs(5)));
        assert_eq!(bytes.try_take(1000.0, after(5)), Ok(()));
        assert!(!bytes.is_full(after(8)) && bytes.is_full(after(9)));
    }
}
