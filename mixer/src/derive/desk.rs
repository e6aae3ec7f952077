//! Where the thread that converts one track of video is given more to do.
//!
//! Invariant: an order that was placed is carried out, or its sender is dropped, which tells who waits. After the desk is closed no
//! order can be placed, so none is lost when the thread ends. A feed makes one track at a time, so few orders wait.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use onmic_media::Held;
use onmic_media::feed::{Lease, Recipe};
use onmic_media::life::Begins;
use parking_lot::Mutex;

use super::Opened;

/// An order to make a track.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) recipe: Recipe,
    pub(super) lease: Lease,
    pub(super) begins: Begins,
    /// What it holds of the budget for encoding.
    pub(super) price: Held,
    pub(super) opened: SyncSender<Opened>,
}

impl Order {
    /// Makes an order, and what tells its outcome.
    pub(super) fn new(recipe: Recipe, lease: Lease, begins: Begins, price: Held) -> (Self, Receiver<Opened>) {
        let (opened, open) = sync_channel(1);
        (Self { recipe, lease, begins, price, opened }, open)
    }
}

/// Holds the orders of one thread. `None` once it is closed.
#[derive(Debug)]
pub(super) struct Desk(Mutex<Option<Vec<Order>>>);

impl Desk {
    /// Makes a desk with a first order.
    pub(super) fn with(order: Order) -> Self {
        Self(Mutex::new(Some(vec![order])))
    }

    pub(super) fn is_open(&self) -> bool {
        self.0.lock().is_some()
    }

    /// Places an order, or returns it if the desk is closed.
    pub(super) fn place(&self, order: Order) -> Option<Order> {
        match &mut *self.0.lock() {
            Some(orders) => {
                orders.push(order);
                None
            }
            None => Some(order),
        }
    }

    /// Takes the oldest order.
    pub(super) fn take(&self) -> Option<Order> {
        let mut orders = self.0.lock();
        orders.as_mut().filter(|orders| !orders.is_empty()).map(|orders| orders.remove(0))
    }

    /// Closes the desk unless an order waits. Returns whether it is closed.
    pub(super) fn close_if_empty(&self) -> bool {
        let mut orders = self.0.lock();
        orders.take_if(|orders| orders.is_empty());
        orders.is_none()
    }

    /// Closes the desk. Those who wait for their orders are told.
    pub(super) fn close(&self) {
        let orders = self.0.lock().take();
        drop(orders); // Outside of the lock.
    }
}
