//! The rates at which one person may give commands to a room.

use std::time::Instant;

use onmic_media::bucket::Bucket;

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
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_is_let_through_and_after_it_only_what_is_refilled() {
        let start = Instant::now();
        let mut chat = Rates::new(start).chat;
        for _ in 0..5 {
            assert_eq!(chat.try_take(1.0, start), Ok(()));
        }
        assert_eq!(chat.try_take(1.0, start), Err(Duration::from_secs(1)));
        assert_eq!(chat.try_take(1.0, start + Duration::from_secs(1)), Ok(()));
        assert!(chat.try_take(1.0, start + Duration::from_secs(1)).is_err());
        let rested = start + Duration::from_secs(3600);
        assert_eq!((0..10).filter(|_| chat.try_take(1.0, rested).is_ok()).count(), 5);
    }
}
