//! Who may be where: what the gate asks, and what rooms change.

use std::sync::Arc;

use onmic_media::Permits;

use crate::bans::Bans;
use crate::clock::Clock;
use crate::sent_out::SentOut;
use crate::ticket::Tickets;

/// The lists that a claim is held against, and what claims have opened. It is cheap to clone.
#[derive(Clone)]
pub struct Standing {
    /// The tickets that are good now.
    pub tickets: Arc<Tickets>,
    /// Those who are banned.
    pub bans: Arc<Bans>,
    /// What claims have opened.
    pub permits: Arc<Permits>,
    /// Those who were sent out of a room and have not come back.
    pub sent_out: Arc<SentOut>,
    pub(crate) clock: Clock,
}

impl From<Arc<Tickets>> for Standing {
    /// Begins without bans and permits.
    fn from(tickets: Arc<Tickets>) -> Self {
        let (bans, permits, sent_out) = (Arc::default(), Arc::default(), Arc::default());
        Self { tickets, bans, permits, sent_out, clock: Clock::default() }
    }
}
