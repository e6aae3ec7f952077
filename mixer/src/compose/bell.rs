//! What the composer sleeps on.

use std::time::Instant;

use parking_lot::{Condvar, Mutex};

/// Wakes the composer.
#[derive(Default)]
pub(crate) struct Bell {
    rung: Mutex<bool>,
    condition: Condvar,
}

impl Bell {
    pub(crate) fn ring(&self) {
        *self.rung.lock() = true;
        self.condition.notify_one();
    }

    /// Returns when it was rung since the last return, or at `deadline`.
    pub(crate) fn wait_until(&self, deadline: Instant) {
        let mut rung = self.rung.lock();
        if !*rung {
            self.condition.wait_until(&mut rung, deadline);
        }
        *rung = false;
    }
}
