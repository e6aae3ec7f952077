//! The connection that a request came by, for routes that keep it busy.

use std::sync::{Arc, Weak};

use onmic_media::{NoShare, Share, Shares};
use parking_lot::Mutex;

/// A connection. By HTTP/2 it has many requests at once. It is cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Connection(Arc<Mutex<Weak<Share>>>);

impl Connection {
    /// Takes a share for somebody who only watches, who keeps this connection busy for as long as the share is held. All requests of the
    /// connection have one share together. `shares` are those of the connections that stay open, which are the same in each call.
    pub fn watch(&self, shares: &Arc<Shares>) -> Result<Arc<Share>, NoShare> {
        let mut held = self.0.lock();
        if let Some(share) = held.upgrade() {
            return Ok(share);
        }
        let share = Arc::new(shares.take_to_watch(None)?);
        *held = Arc::downgrade(&share);
        Ok(share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_requests_of_a_connection_have_one_share() {
        let (shares, connections) =
            (Shares::new("connections", 2, usize::MAX), [(); 3].map(|()| Connection::default()));
        let first: Vec<_> = (0..100).map(|_| connections[0].watch(&shares).unwrap()).collect();
        assert_eq!(shares.taken(), 1);
        let second = connections[1].watch(&shares).unwrap();
        assert!(connections[2].watch(&shares).is_err());
        drop(first);
        assert!(connections[2].watch(&shares).is_ok());
        drop(second);
        assert_eq!(shares.taken(), 0);
    }
}
