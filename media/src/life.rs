//! The life of threads and tasks: each death by a panic is caught by its owner, counted under a name, and answered.
//!
//! One rule holds for all. After a death the owner begins the work again, behind the fault where work reads frames. A second death within
//! [`AGAIN`] has a cause that new work would meet too. Then what a single room or viewer has begins again when that time is over
//! ([`Begins::Later`]), and the owner of something that the node cannot do without tells [`Lives`]: the process ends with a reason, for
//! its supervisor to start it again. The panic itself is in the log already, by the hook of the process.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::metric::THREADS_DIED;

/// What dies again within this time is not begun again.
pub const AGAIN: Duration = Duration::from_secs(60);

/// Does `work`, and returns its outcome, or `None` after a panic, which is counted under `name`.
pub fn guarded<T>(name: &str, work: impl FnOnce() -> T) -> Option<T> {
    let outcome = catch_unwind(AssertUnwindSafe(work)).ok();
    if outcome.is_none() {
        count_death(name);
    }
    outcome
}

/// Does `work` as a task, and returns its outcome, or `None` after a panic, which is counted under `name`.
pub async fn guarded_task<T>(name: &str, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let outcome = poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(outcome)) => Poll::Ready(Some(outcome)),
        Err(_) => Poll::Ready(None), // It is not polled again.
    });
    let outcome = outcome.await;
    if outcome.is_none() {
        count_death(name);
    }
    outcome
}

/// Counts a death that the owner has found out by other means.
pub fn count_death(name: &str) {
    metrics::counter!(THREADS_DIED, "thread" => name.to_owned()).increment(1);
}

/// How a work begins that may have died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begins {
    /// With what there is. It has not died within [`AGAIN`].
    AtOnce,
    /// With what comes next: it panicked over something that may still be there.
    BehindTheFault,
    /// Not before this time is over: it panicked twice within [`AGAIN`].
    Later(Duration),
}

/// The deaths of one thread or task.
#[derive(Clone, Copy, Debug, Default)]
pub struct Deaths {
    last: Option<Instant>,
    /// Whether the last was the second within [`AGAIN`].
    is_second: bool,
}

impl Deaths {
    /// Notes a death at `now`.
    pub fn note(&mut self, now: Instant) {
        self.is_second = self.begins(now) != Begins::AtOnce;
        self.last = Some(now);
    }

    /// Returns how the work begins at `now`.
    pub fn begins(&self, now: Instant) -> Begins {
        let left = self.last.and_then(|last| AGAIN.checked_sub(now.saturating_duration_since(last)));
        match left.filter(|left| !left.is_zero()) {
            None => Begins::AtOnce,
            Some(left) if self.is_second => Begins::Later(left),
            Some(_) => Begins::BehindTheFault,
        }
    }

    /// Notes a death at `now`. Returns whether to begin again.
    pub fn may_begin_again(&mut self, now: Instant) -> bool {
        self.note(now);
        !matches!(self.begins(now), Begins::Later(_))
    }
}

/// What has died for good and the node cannot do without. All owners share it.
#[derive(Clone, Debug, Default)]
pub struct Lives(watch::Sender<Option<String>>);

impl Lives {
    /// States that the thread or task of this name has died for good.
    pub fn fail(&self, name: String) {
        self.0.send_replace(Some(name));
    }

    /// Completes when something has died for good, with its name.
    pub async fn failed(&self) -> String {
        let mut failed = self.0.subscribe();
        let named = failed.wait_for(Option::is_some).await;
        named.ok().and_then(|name| name.clone()).unwrap_or_default() // The sender is here, so the wait does not fail.
    }

    /// Returns the name of what has died for good, if something has.
    pub fn who_failed(&self) -> Option<String> {
        self.0.borrow().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_panics_has_no_outcome() {
        assert_eq!(guarded("test", || 7), Some(7));
        assert_eq!(guarded("test", || -> u8 { panic!("a fault") }), None);
    }

    #[tokio::test]
    async fn a_task_that_panics_has_no_outcome() {
        let later = async {
            tokio::task::yield_now().await;
            7
        };
        assert_eq!(guarded_task("test", later).await, Some(7));
        let fails = async || -> u8 {
            tokio::task::yield_now().await;
            panic!("a fault")
        };
        assert_eq!(guarded_task("test", fails()).await, None);
    }

    #[test]
    fn a_second_death_within_a_minute_is_the_last() {
        let (mut deaths, now) = (Deaths::default(), Instant::now());
        assert!(deaths.may_begin_again(now));
        assert!(deaths.may_begin_again(now + AGAIN));
        assert!(!deaths.may_begin_again(now + AGAIN + Duration::from_secs(59)));
    }
}
