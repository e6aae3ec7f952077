//! How fast one person may speak to a room: a token bucket, refilled by the passing of time.

use std::time::{Duration, Instant};

/// So many at once, and so many more each second.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    burst: f64,
    each_second: f64,
    left: f64,
    filled: Instant,
}

impl Bucket {
    /// A full one.
    pub fn new(each_second: f64, burst: f64, now: Instant) -> Self {
        Self { burst, each_second, left: burst, filled: now }
    }

    /// Takes one; or how long to wait for one.
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

/// What one person may do.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// Commands of any kind.
    pub commands: Bucket,
    /// Of them, chat.
    pub chat: Bucket,
}

impl Rates {
    /// Nothing done yet.
    pub fn new(now: Instant) -> Self {
        Self { commands: Bucket::new(10.0, 30.0, now), chat: Bucket::new(1.0, 5.0, now) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_let_through_and_then_as_many_as_are_refilled() {
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
