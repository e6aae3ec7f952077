//! Who may have a connection: limits in all and per address, who gives way where they are reached, and how fast one address may open
//! them.
//!
//! The table is bounded by [`Limits::all`], because only connections that exist are in it. Those that have given way and are not
//! closed yet come on top, up to [`LEAVING_MAX`] ([`Limiter::settled`]). An address counts as its [`Principal`]. Trusted proxies have no limit of their own, because
//! everybody may be behind one.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use onmic_media::name::Principal;
use onmic_media::{Pace, Rates};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The most connections that have given way and are not closed yet, before the listener waits for them. They take descriptors of
/// those that are left for other things.
pub const LEAVING_MAX: usize = 8;

/// The most connections of one listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most connections in all.
    pub all: usize,
    /// The most connections of one address.
    pub per_address: usize,
}

/// The limit that a connection is above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// All addresses together have the most connections, and none of them is idle.
    All,
    /// This address has the most connections, and none of them is idle.
    Address,
    /// This address opens connections faster than one may. Each costs the making of a task, and the handshake of TLS half a millisecond
    /// or more.
    TooFast,
}

/// Decides which peers are proxies that are believed.
#[derive(Clone)]
pub struct TrustedProxies(Arc<dyn Fn(IpAddr) -> bool + Send + Sync>);

impl TrustedProxies {
    /// Trusts the peers for which `is_trusted` is true.
    pub fn new(is_trusted: impl Fn(IpAddr) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(is_trusted))
    }

    /// Returns whether `peer` is such a proxy.
    pub fn contain(&self, peer: IpAddr) -> bool {
        (self.0)(peer)
    }
}

impl Default for TrustedProxies {
    fn default() -> Self {
        Self::new(|_| false)
    }
}

impl std::fmt::Debug for TrustedProxies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TrustedProxies(..)")
    }
}

/// Admits the connections of one listener.
#[derive(Debug)]
pub struct Limiter {
    limits: Limits,
    rates: Rates,
    proxies: TrustedProxies,
    table: Mutex<Table>,
    /// Tells that a connection that has given way is closed.
    left: Notify,
}

#[derive(Debug, Default)]
struct Table {
    /// The number of the next connection, or of the next one that becomes idle.
    next: u64,
    held: HashMap<u64, Held>,
    /// The connections that are idle, in the order in which they give way.
    idle: BTreeMap<Order, u64>,
    addresses: HashMap<Principal, OfAddress>,
    /// How many connections have given way and are not closed yet.
    leaving: usize,
}

#[derive(Debug)]
struct Held {
    /// The address that the connection counts for. A proxy's counts for none.
    address: Option<Principal>,
    has_asked: bool,
    /// Its key in the tables of idle connections, if it is idle.
    idle: Option<Order>,
    gave_way: CancellationToken,
}

#[derive(Debug, Default)]
struct OfAddress {
    held: usize,
    idle: BTreeMap<Order, u64>,
}

/// Whether a connection has ever asked for something, and when it became idle. Those that have not give way first, so that
/// silent connections close none that a client may use again.
type Order = (bool, u64);

impl Limiter {
    /// Admits up to `limits`, and those of one address no faster than at `pace`. Neither holds for `proxies`.
    pub fn new(limits: Limits, pace: Option<Pace>, proxies: TrustedProxies) -> Arc<Self> {
        Arc::new(Self { limits, rates: Rates::new(pace), proxies, table: Mutex::default(), left: Notify::new() })
    }

    /// Admits a connection of `peer`, which is idle at first. Where the limit is reached, an idle connection gives way, of that
    /// address or of all: the oldest that has never asked for anything, or else the one that has been idle for longest.
    pub fn admit(self: &Arc<Self>, peer: IpAddr, now: Instant) -> Result<Pass, Full> {
        let address = (!self.proxies.contain(peer)).then(|| Principal::at(peer));
        if let Some(address) = &address {
            self.must_be_slow(address, now)?;
        }
        let mut table = self.table.lock();
        if let Some(address) = &address {
            table.make_room_for(address, self.limits.per_address)?;
        }
        if table.held.len() >= self.limits.all {
            let (_, first) = table.idle.first_key_value().ok_or(Full::All)?;
            let first = *first;
            table.give_way(first);
        }
        let (id, gave_way) = (table.number(), CancellationToken::new());
        table.held.insert(id, Held { address: None, has_asked: false, idle: None, gave_way: gave_way.clone() });
        table.count_for(id, address);
        table.offer(id);
        Ok(Pass { limiter: self.clone(), id, gave_way })
    }

    /// Waits until few enough connections are on their way out. Call it between two accepts. Otherwise a crowd of connections,
    /// each of which takes the place of the one before, would be open all at once.
    pub async fn settled(&self) {
        loop {
            let mut left = pin!(self.left.notified());
            left.as_mut().enable();
            if self.table.lock().leaving < LEAVING_MAX {
                return;
            }
            left.await;
        }
    }

    /// Counts a new connection of an address, which may come too fast.
    fn must_be_slow(&self, address: &Principal, now: Instant) -> Result<(), Full> {
        self.rates.take(address, 1.0, now).map_err(|_| Full::TooFast)
    }

    /// Returns how many connections there are.
    pub fn count(&self) -> usize {
        self.table.lock().held.len()
    }
}

impl Table {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Lets a connection of `address` give way unless one more is within `limit`.
    fn make_room_for(&mut self, address: &Principal, limit: usize) -> Result<(), Full> {
        let Some(of_address) = self.addresses.get(address).filter(|of_address| of_address.held >= limit) else {
            return Ok(());
        };
        let (_, first) = of_address.idle.first_key_value().ok_or(Full::Address)?;
        self.give_way(*first);
        Ok(())
    }

    /// Counts a connection that counts for no address yet.
    fn count_for(&mut self, id: u64, address: Option<Principal>) {
        let (Some(address), Some(held)) = (address, self.held.get_mut(&id)) else { return };
        let of_address = self.addresses.entry(address.clone()).or_default();
        held.address = Some(address);
        of_address.held += 1;
        if let Some(idle) = held.idle {
            of_address.idle.insert(idle, id);
        }
    }

    fn give_way(&mut self, id: u64) {
        if let Some(held) = self.remove(id) {
            held.gave_way.cancel();
            self.leaving += 1;
        }
    }

    /// Counts a connection as idle from now on.
    fn offer(&mut self, id: u64) {
        let number = self.number();
        let Some(held) = self.held.get_mut(&id).filter(|held| held.idle.is_none()) else { return };
        let order = (held.has_asked, number);
        held.idle = Some(order);
        self.idle.insert(order, id);
        if let Some(of_address) = held.address.as_ref().and_then(|address| self.addresses.get_mut(address)) {
            of_address.idle.insert(order, id);
        }
    }

    /// Counts a connection as busy from now on.
    fn keep(&mut self, id: u64) {
        let Some(held) = self.held.get_mut(&id) else { return };
        held.has_asked = true;
        let Some(order) = held.idle.take() else { return };
        self.idle.remove(&order);
        if let Some(of_address) = held.address.as_ref().and_then(|address| self.addresses.get_mut(address)) {
            of_address.idle.remove(&order);
        }
    }

    fn remove(&mut self, id: u64) -> Option<Held> {
        self.keep(id);
        let held = self.held.remove(&id)?;
        if let Some(address) = &held.address
            && let Some(of_address) = self.addresses.get_mut(address)
        {
            of_address.held -= 1;
            if of_address.held == 0 {
                self.addresses.remove(address);
            }
        }
        Some(held)
    }
}

/// The place of one connection. Dropping it frees the place.
#[derive(Debug)]
pub struct Pass {
    limiter: Arc<Limiter>,
    id: u64,
    gave_way: CancellationToken,
}

impl Pass {
    /// Keeps the place from now on: the peer has asked for something and is getting it.
    pub fn keep(&self) {
        self.limiter.table.lock().keep(self.id);
    }

    /// Offers the place to others again: the peer has got all that it asked for.
    pub fn offer(&self) {
        self.limiter.table.lock().offer(self.id);
    }

    /// Counts the connection of a proxy for the address of its client.
    pub fn count_for(&self, client: IpAddr, now: Instant) -> Result<(), Full> {
        let limiter = &self.limiter;
        if limiter.proxies.contain(client) {
            return Ok(());
        }
        let address = Principal::at(client);
        limiter.must_be_slow(&address, now)?;
        let mut table = limiter.table.lock();
        table.make_room_for(&address, limiter.limits.per_address)?;
        table.count_for(self.id, Some(address));
        Ok(())
    }

    /// Completes when another connection has taken this place. The connection has to close then.
    pub fn gave_way(&self) -> impl Future<Output = ()> + Send + use<> {
        self.gave_way.clone().cancelled_owned()
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut table = self.limiter.table.lock();
        if table.remove(self.id).is_none() {
            table.leaving -= 1; // It has given way.
            drop(table);
            self.limiter.left.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const HOME: &str = "203.0.113.7";
    const OTHER: &str = "198.51.100.9";

    fn limiter(all: usize, per_address: usize) -> Arc<Limiter> {
        let proxies = TrustedProxies::new(|peer| peer.is_loopback());
        Limiter::new(Limits { all, per_address }, None, proxies)
    }

    fn admit(limiter: &Arc<Limiter>, peer: &str) -> Result<Pass, Full> {
        limiter.admit(peer.parse().unwrap(), Instant::now())
    }

    fn busy(limiter: &Arc<Limiter>, peer: &str) -> Pass {
        let pass = admit(limiter, peer).unwrap();
        pass.keep();
        pass
    }

    #[test]
    fn an_address_has_its_limit_and_a_place_that_is_left_is_free() {
        let limiter = limiter(10, 2);
        let (first, _second) = (busy(&limiter, HOME), busy(&limiter, HOME));
        assert_eq!(admit(&limiter, HOME).unwrap_err(), Full::Address);
        let _other = busy(&limiter, OTHER);
        drop(first);
        assert!(admit(&limiter, HOME).is_ok());
        assert_eq!(limiter.count(), 2, "the last one was dropped");
    }

    #[test]
    fn above_the_limit_of_an_address_its_own_idle_connection_gives_way() {
        let limiter = limiter(10, 2);
        let other = admit(&limiter, OTHER).unwrap();
        let (busy, silent) = (busy(&limiter, HOME), admit(&limiter, HOME).unwrap());
        let newer = admit(&limiter, HOME).unwrap();
        assert!(silent.gave_way.is_cancelled());
        assert!(![&other, &busy, &newer].iter().any(|pass| pass.gave_way.is_cancelled()));
        silent.keep(); // It asks too late.
        silent.offer();
        drop(silent); // Its place has gone to the newer one, and is not freed twice.
        assert_eq!(limiter.count(), 3);
        newer.keep();
        assert_eq!(admit(&limiter, HOME).unwrap_err(), Full::Address);
    }

    #[test]
    fn above_the_limit_of_all_silent_connections_give_way_first_and_then_idle_ones() {
        let limiter = limiter(3, 3);
        let (first, silent) = (busy(&limiter, HOME), admit(&limiter, HOME).unwrap());
        let third = busy(&limiter, OTHER);
        first.offer();
        let newer = admit(&limiter, OTHER).unwrap();
        let newcomer = busy(&limiter, OTHER);
        assert!(silent.gave_way.is_cancelled() && newer.gave_way.is_cancelled());
        assert!(!first.gave_way.is_cancelled(), "it was idle for longer, but had asked for something");
        first.keep();
        assert_eq!(admit(&limiter, OTHER).unwrap_err(), Full::All);
        third.offer();
        assert!(admit(&limiter, OTHER).is_ok());
        assert!(third.gave_way.is_cancelled());
        assert!(![&first, &newcomer].iter().any(|pass| pass.gave_way.is_cancelled()));
    }

    #[tokio::test]
    async fn a_listener_waits_for_a_crowd_that_gives_way() {
        let limiter = limiter(1, 1);
        let mut leaving: Vec<_> = (0..LEAVING_MAX).map(|_| admit(&limiter, HOME).unwrap()).collect();
        limiter.settled().await;
        leaving.push(admit(&limiter, HOME).unwrap());
        let waiting = tokio::spawn({
            let limiter = limiter.clone();
            async move { limiter.settled().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(leaving.remove(0));
        waiting.await.unwrap();
    }

    #[test]
    fn an_address_that_opens_connections_too_fast_waits_and_others_do_not() {
        let proxies = TrustedProxies::new(|peer| peer.is_loopback());
        let (limiter, start) =
            (Limiter::new(Limits { all: 100, per_address: 100 }, Pace::of(2, 5), proxies), Instant::now());
        let opened = |peer: &str, now| {
            let admit = |_| limiter.admit(peer.parse().unwrap(), now).map(drop);
            (0..20).map(admit).take_while(|admitted| *admitted != Err(Full::TooFast)).count()
        };
        assert_eq!(opened(HOME, start), 10);
        assert_eq!(opened(OTHER, start), 10);
        assert_eq!(opened("127.0.0.1", start), 20, "a proxy is as fast as its clients");
        assert_eq!(opened(HOME, start + Duration::from_secs(3)), 6);
        assert_eq!(limiter.count(), 0);
        let by_proxy = |client: &str, now| {
            let pass = limiter.admit("127.0.0.1".parse().unwrap(), now).unwrap();
            pass.count_for(client.parse().unwrap(), now)
        };
        let later = start + Duration::from_secs(4);
        let named = [by_proxy(HOME, later), by_proxy(HOME, later), by_proxy(HOME, later)];
        assert_eq!(named, [Ok(()), Ok(()), Err(Full::TooFast)]);
    }

    #[test]
    fn a_proxy_has_no_limit_of_its_own_and_its_clients_have() {
        let limiter = limiter(10, 2);
        let passes: Vec<_> = (0..5).map(|_| busy(&limiter, "127.0.0.1")).collect();
        let count = |pass: &Pass, client: &str| pass.count_for(client.parse().unwrap(), Instant::now());
        assert_eq!(count(&passes[0], HOME), Ok(()));
        assert_eq!(count(&passes[1], HOME), Ok(()));
        assert_eq!(count(&passes[2], HOME), Err(Full::Address));
        assert_eq!(count(&passes[2], "::1"), Ok(()));
        assert_eq!(admit(&limiter, HOME).unwrap_err(), Full::Address);
        passes[0].offer();
        assert!(admit(&limiter, HOME).is_ok(), "the idle connection of that client gives way");
        drop(passes);
        let table = limiter.table.lock();
        assert!(table.addresses.is_empty() && table.idle.is_empty() && table.held.is_empty());
    }
}
