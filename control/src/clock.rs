//! The two clocks that claims are held against: the monotonic one, and that of the system, by which tokens are signed.

use std::time::{Instant, SystemTime};

#[cfg(test)]
use std::sync::Arc;

/// Reads both clocks. Tests have one that they step.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    #[cfg(test)]
    stepped: Option<Arc<parking_lot::Mutex<(Instant, SystemTime)>>>,
}

impl Clock {
    /// Returns the time on the monotonic clock.
    pub fn now(&self) -> Instant {
        #[cfg(test)]
        if let Some(stepped) = &self.stepped {
            return stepped.lock().0;
        }
        Instant::now()
    }

    /// Returns the time on the system's clock.
    pub fn system(&self) -> SystemTime {
        #[cfg(test)]
        if let Some(stepped) = &self.stepped {
            return stepped.lock().1;
        }
        SystemTime::now()
    }

    /// Returns clocks that stand still until they are stepped.
    #[cfg(test)]
    pub fn standing(now: Instant, system: SystemTime) -> Self {
        Self { stepped: Some(Arc::new(parking_lot::Mutex::new((now, system)))) }
    }

    /// Lets time pass on both clocks, and sets that of the system by some seconds besides.
    #[cfg(test)]
    pub fn step(&self, time: std::time::Duration, set_by_seconds: i64) {
        let mut clocks = self.stepped.as_ref().expect("a clock that stands").lock();
        let set_by = std::time::Duration::from_secs(set_by_seconds.unsigned_abs());
        clocks.0 += time;
        clocks.1 += time;
        clocks.1 = if set_by_seconds < 0 { clocks.1 - set_by } else { clocks.1 + set_by };
    }
}
