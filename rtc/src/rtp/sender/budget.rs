//! The bytes that a viewer gets on one track beside the stream itself: repeats and their copies, repair packets (FEC), and what
//! audio packets repeat (RED). One budget pays for all of them, so together they stay below what the [`Mix`] allows.
//!
//! Repeats and repair packets leave only if the budget pays. What an audio packet repeats is decided before, for a run of packets,
//! because a packet that is sent again must have the same bytes. So it is charged, and the rest gets less. Its own bound is
//! [`DEPTH_MAX`](crate::rtp::red::DEPTH_MAX). A viewer without loss has no budget.

use std::time::{Duration, Instant};

use crate::rtp::recovery::Mix;

/// The budget whatever the stream takes: 1 Mbit/s. The share of the stream comes on top.
const BYTES_LEAST: f32 = 125_000.0;
/// What the stream is taken to be before it is measured: 2 Mbit/s.
const STREAM_UNKNOWN: f32 = 250_000.0;
/// The stream is measured over this long.
const MEASURED: Duration = Duration::from_secs(1);

/// The budget of one viewer's track.
#[derive(Debug)]
pub(super) struct Budget {
    share: f32,
    account: Option<Account>,
}

#[derive(Debug)]
struct Account {
    left: f32,
    refilled: Instant,
    /// When the stream was measured last, and the number of its bytes by then.
    measured: (Instant, u32),
    bytes_per_second: f32,
}

impl Default for Budget {
    fn default() -> Self {
        Self { share: Mix::default().budget, account: None }
    }
}

impl Budget {
    /// Takes in how much of the stream may be sent beside it.
    pub(super) fn set_mix(&mut self, mix: &Mix) {
        self.share = mix.budget;
    }

    /// Takes bytes out, and returns whether they may be sent. `sent` is the number of bytes of the stream so far.
    pub(super) fn spend(&mut self, bytes: usize, sent: u32, now: Instant) -> bool {
        let account = self.refilled(sent, now);
        let left = account.left - bytes as f32;
        if left >= 0.0 {
            account.left = left;
        }
        left >= 0.0
    }

    /// Takes out bytes that are sent in any case.
    pub(super) fn charge(&mut self, bytes: usize, sent: u32, now: Instant) {
        let account = self.refilled(sent, now);
        account.left = (account.left - bytes as f32).max(0.0);
    }

    /// Fills the account up, to a second of the budget at most.
    fn refilled(&mut self, sent: u32, now: Instant) -> &mut Account {
        let account = self.account.get_or_insert_with(|| {
            let left = BYTES_LEAST + STREAM_UNKNOWN / 2.0;
            Account { left, refilled: now, measured: (now, sent), bytes_per_second: STREAM_UNKNOWN }
        });
        let (since, before) = account.measured;
        let elapsed = now.saturating_duration_since(since);
        if elapsed >= MEASURED {
            account.bytes_per_second = sent.wrapping_sub(before) as f32 / elapsed.as_secs_f32();
            account.measured = (now, sent);
        }
        let rate = BYTES_LEAST + account.bytes_per_second * self.share;
        let elapsed = now.saturating_duration_since(account.refilled);
        let most = rate.max(BYTES_LEAST + STREAM_UNKNOWN / 2.0);
        account.left = (account.left + elapsed.as_secs_f32() * rate).min(most);
        account.refilled = now;
        account
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_charged_and_what_is_spent_come_from_one_budget() {
        let (mut budget, mut now) = (Budget::default(), Instant::now());
        let mut sent = 0;
        let (mut spent, mut charged) = (0, 0);
        // 1 Mbit/s of stream, 0.4 Mbit/s that are charged, and 20 Mbit/s that are wanted.
        for _ in 0..1000 {
            now += Duration::from_millis(10);
            sent += 1250;
            budget.charge(500, sent, now);
            charged += 500;
            for _ in 0..21 {
                spent += if budget.spend(1200, sent, now) { 1200 } else { 0 };
            }
        }
        let allowed = (BYTES_LEAST + 0.5 * 125_000.0) * 10.0;
        assert!(
            ((spent + charged) as f32) < allowed + 350_000.0,
            "{spent} + {charged} of {allowed}, and a second at once"
        );
        assert!((spent + charged) as f32 > allowed * 0.95, "{spent} + {charged} of {allowed}");
        budget.charge(10_000_000, sent, now);
        assert!(
            !budget.spend(1, sent, now) && budget.spend(1000, sent, now + Duration::from_millis(10)),
            "no debt is left"
        );
    }
}
