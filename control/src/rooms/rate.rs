//! The rate at which one person may give commands to a room: a token bucket, which is refilled as time passes.

use std::time::{Duration, Instant};

/// A bucket that lets through `burst` commands at once, and `each_second` more in each second.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    burst: f64,
    each_second: f64,
    left: f64,
    filled: Instant,
}

impl Bucket {
    /// Returns a full bucket.
    pub fn new(each_second: f64, burst: f64, now: Instant) -> Self {
        Self { burst, each_second, left: burst, filled: now }
    }

    /// Takes a token out. The error is how long to wait for one.
    pub fn try_take(&mut self, now: Instant) -> Result<(), Duration> {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.left = (self.left + passed * self.each_second).min(self.burst);
        self.filled = now;
        if self.left >= 1.0 {
            self.left -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - self.left) / self.each_second))
    }
}

/// The rates of one person.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// The rate of commands of any kind.
    pub commands: Bucket,
    /// The rate of the commands among them that are chat.
    pub chat: Bucket,
}

impl Rates {
    /// Returns the rates of a person who has done nothing yet.
    pub fn new(now: Instant) -> Self {
        Self { commands: Bucket::new(10.0, 30.0, now), chat: Bucket::new(1.0, 5.0, now) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_let_through_and_after_it_only_what_is_refilled() {
        let start = Instant::now();
        let mut chat = Rates::new(start).chat;
        for _ in 0..5 {
            assert_eq!(chat.try_take(start), Ok(()));
        }
        assert_eq!(chat.try_take(start), Err(Duration::from_secs(1)));
        assert_eq!(chat.try_take(start + Duration::from_secs(1)), Ok(()));
        assert!(chat.try_take(start + Duration::from_secs(1)).is_err());
        let rested = start + Duration::from_secs(3600);
        assert_eq!((0..10).filter(|_| chat.try_take(rested).is_ok()).count(), 5);
    }
}
