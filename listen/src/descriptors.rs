//! The file descriptors of this process: how many it may have, and how listeners share them.
//!
//! Where the system allows fewer descriptors than the limits of the listeners come to, the limits are lowered, so that accepted
//! connections alone never use up the descriptors. What publishers need is kept for them.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The descriptors that are counted as open where the system does not list them.
const OPEN_UNKNOWN: usize = 32;

/// What is opened besides connections while the process runs: sockets of webhooks and look-ups of names, files of
/// certificates, a GPU. An eighth of all descriptors, within these bounds.
const OTHERS: (usize, usize) = (8, 1024);

/// Raises the number of descriptors that this process may open as far as it may, and returns it.
pub fn raise() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
    allowed()
}

/// Returns how many descriptors this process may open.
pub fn allowed() -> usize {
    getrlimit(Resource::Nofile).current.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

/// Returns how many descriptors this process has open.
pub fn open() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(OPEN_UNKNOWN, Iterator::count)
}

/// Returns how many of `allowed` descriptors are left for connections, if `used` are open or soon will be.
pub fn left_for_connections(allowed: usize, used: usize) -> usize {
    let others = (allowed / 8).clamp(OTHERS.0, OTHERS.1);
    allowed.saturating_sub(used).saturating_sub(others)
}

/// The most connections of each protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connections {
    /// Those of HTTP.
    pub http: usize,
    /// Those of RTMP and RTMPS together.
    pub rtmp: usize,
}

impl Connections {
    /// Lowers the limits to `left` descriptors. A quarter of these is kept for RTMP, whose publishers are fewer and must not
    /// be kept out by viewers. What one protocol does not want the other one has.
    pub fn within(self, left: usize) -> Self {
        let rtmp = self.rtmp.min((left / 4).max(left.saturating_sub(self.http)));
        Self { http: self.http.min(left - rtmp), rtmp }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn within(http: usize, rtmp: usize, left: usize) -> (usize, usize) {
        let lowered = Connections { http, rtmp }.within(left);
        (lowered.http, lowered.rtmp)
    }

    #[test]
    fn limits_that_fit_stay_as_they_are() {
        assert_eq!(within(20_000, 1000, 500_000), (20_000, 1000));
        assert_eq!(within(20_000, 1000, 21_000), (20_000, 1000));
    }

    #[test]
    fn a_quarter_is_kept_for_rtmp_and_what_one_does_not_want_the_other_has() {
        assert_eq!(within(20_000, 1000, 80), (60, 20));
        assert_eq!(within(20_000, 1000, 8000), (7000, 1000));
        assert_eq!(within(20_000, 10, 80), (70, 10));
        assert_eq!(within(30, 1000, 80), (30, 50));
        assert_eq!(within(20_000, 1000, 0), (0, 0));
    }

    #[test]
    fn connections_leave_descriptors_for_everything_else() {
        assert_eq!(left_for_connections(128, 20), 92);
        assert_eq!(left_for_connections(1_000_000, 100), 998_876);
        assert_eq!(left_for_connections(16, 20), 0);
    }

    #[test]
    fn the_limit_of_this_process_is_raised_to_what_it_may_be() {
        let raised = raise();
        assert_eq!(raised, allowed());
        let maximum = getrlimit(Resource::Nofile).maximum;
        assert!(maximum.is_none_or(|maximum| raised as u64 == maximum));
        assert!((3..raised).contains(&open()));
    }
}
