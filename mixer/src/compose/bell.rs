//! The signal that wakes the composer.

use std::time::Instant;

use parking_lot::{Condvar, Mutex};

/// Lets the composer sleep until another thread wakes it.
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

    /// Returns as soon as the bell has been rung since the last return, or at `deadline`.
    pub(crate) fn wait_until(&self, deadline: Instant) {
        let mut rung = self.rung.lock();
        if !*rung {
            self.condition.wait_until(&mut rung, deadline);
        }
        *rung = false;
    }
}
