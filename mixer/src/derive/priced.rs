//! What a conversion holds of the budget of pixels while its video changes.
//!
//! It holds more at once, or ends. It gives back what it has not needed for [`GIVES_BACK_AFTER`]: what a scene with little motion or a
//! pause gave back would soon be wanted again, and somebody else might have it by then. So no later work ends a conversion whose
//! video is as it was half a minute ago.

use std::time::{Duration, Instant};

use onmic_media::{Held, Spent};

/// How long a conversion holds more than it needs. A screen that is shared stands still for less.
const GIVES_BACK_AFTER: Duration = Duration::from_secs(30);

/// Follows what a conversion costs.
#[derive(Debug)]
pub(super) struct Priced {
    held: Held,
    /// Since when the conversion has needed less than it holds, and the most that it has needed since.
    less: Option<(Instant, u64)>,
}

impl Priced {
    /// Begins with what is held.
    pub(super) fn new(held: Held) -> Self {
        Self { held, less: None }
    }

    /// Follows a price of `now`. An error means that the budget does not have it.
    pub(super) fn follow(&mut self, price: u64, now: Instant) -> Result<(), Spent> {
        let held = self.held.amount();
        // Frame rates are measured, and measure a little differently each time.
        let waver = held / 8;
        if price >= held.saturating_sub(waver) {
            self.less = None;
            return if price > held.saturating_add(waver) { self.held.change(price) } else { Ok(()) };
        }
        let (since, most) = self.less.get_or_insert((now, price));
        *most = price.max(*most);
        if now.saturating_duration_since(*since) < GIVES_BACK_AFTER {
            return Ok(());
        }
        let needed = *most;
        self.less = None;
        self.held.change(needed)
    }
}

#[cfg(test)]
mod tests {
    use onmic_media::{Budget, Work};

    use super::*;

    #[test]
    fn a_conversion_gives_back_what_it_has_not_needed_for_long_and_ends_when_there_is_no_more() {
        let (budget, start) = (Budget::new(1000), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut priced = Priced::new(budget.take(Work::Conversion, 600).unwrap());
        let others = || budget.take(Work::Conversion, 850 - 600 + 1).is_ok();
        let mut follow = |price, seconds| priced.follow(price, at(seconds));
        for (price, seconds) in [(100, 0), (0, 10), (100, 29), (600, 30), (100, 31), (100, 60), (540, 61)] {
            assert_eq!(follow(price, seconds), Ok(()));
            assert!(!others(), "at {seconds} s it gave back what it wants again soon");
        }
        for (price, seconds) in [(100, 70), (200, 80), (100, 99)] {
            assert_eq!(follow(price, seconds), Ok(()));
            assert!(!others(), "at {seconds} s");
        }
        assert_eq!(follow(100, 100), Ok(()));
        let _other = budget.take(Work::Conversion, 850 - 200).unwrap();
        assert_eq!(follow(210, 101), Ok(()), "a price wavers");
        assert_eq!(follow(300, 102), Err(Spent(Work::Conversion)));
    }
}
