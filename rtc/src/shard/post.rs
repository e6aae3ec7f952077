//! What the shards of one UDP port hand each other: datagrams that came to the wrong one.
//!
//! All shards have a socket on the same port, and the kernel chooses one of them by the addresses of a datagram (`SO_REUSEPORT`). It knows
//! no sessions, so of several shards a wrong one gets most datagrams, and always the same one for a pair of addresses. That one hands them over
//! in [parcels](parcel): one for each shard and turn, by a bounded queue. No lock is taken for it. Sending is unaffected, because each shard has
//! a socket, and all sockets have one port.
//!
//! A check says whose it is, by our user fragment in it, which names the shard. Everything else goes by the address ([`table`]): a shard that
//! has a session at an address tells so the one through which it hears it, once the session has proved that it is there, and again with each
//! check. Of two sessions that are at one address by turns, the last that has proved it counts, as within a shard. A check for one session from
//! the address of another is contested: its session is asked for a proof. Answers to such questions name nobody, so they go to all that may have
//! asked. Media of a publisher whose address has changed is found by its SSRC, of which all shards are told.
//!
//! What comes from unknown addresses is handed over at a bounded rate ([`strangers`]), because strangers can write any user fragment and any
//! SSRC. What comes from known ones is not: whoever sends it has a session. A datagram is handed over once: the shard that gets it has it, or
//! drops it.

mod parcel;
mod strangers;
mod table;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Instant;

use metrics::{Counter, counter};
use onmic_media::{DropReason, metric};

pub(super) use self::parcel::Parcel;
pub(crate) use self::parcel::{Boxes, Inbox};
use self::parcel::{Handed, Note};
use self::strangers::Strangers;
use self::table::{Of, Table};
use super::core::{Change, Core};
use super::outbox::Outbox;
use crate::transport::{DatagramKind, Route, classify, named_shard, stated_ssrc};

/// What one shard hands over to others, and what it knows of their sessions.
#[derive(Debug)]
pub(super) struct Post {
    own: usize,
    boxes: Boxes,
    /// A parcel for each shard, which leaves at the end of the turn.
    packed: Vec<Parcel>,
    table: Table,
    strangers: Strangers,
    /// The shards through which addresses that sessions here have proved are heard. The core tells when one of them is left.
    heard_through: HashMap<SocketAddr, usize>,
    handed_over: Counter,
}

impl Post {
    /// Begins for the shard `own`, which has no sessions and knows of none. The others are told so.
    pub(super) fn new(own: usize, boxes: Boxes, now: Instant) -> Self {
        let packed = (0..boxes.len()).map(|_| Parcel::empty(own)).collect();
        let (table, strangers) = (Table::new(now), Strangers::new(boxes.len(), now));
        let (heard_through, handed_over) = (HashMap::new(), counter!(metric::RTC_HANDED_OVER));
        let mut post = Self { own, boxes, packed, table, strangers, heard_through, handed_over };
        post.tell_all(Note::Begun);
        post.send_packed();
        post
    }

    /// Takes a datagram of the socket, for the core or for another shard.
    pub(super) fn receive(
        &mut self,
        core: &mut Core,
        from: SocketAddr,
        datagram: &mut [u8],
        now: Instant,
        out: &mut impl Outbox,
    ) {
        if self.packed.len() == 1 {
            return core.handle_datagram(now, Route::Udp(from), datagram, out);
        }
        let is_ours = match classify(datagram) {
            Some(DatagramKind::Stun) => match named_shard(datagram).filter(|shard| *shard < self.packed.len()) {
                Some(shard) if shard == self.own => return self.take_check(core, from, datagram, now, out),
                Some(shard) => self.hand_check(core, shard, from, datagram, now),
                None => return self.take_answer(core, from, datagram, now, out),
            },
            _ => self.is_ours(core, from, datagram, now),
        };
        if is_ours {
            core.handle_datagram(now, Route::Udp(from), datagram, out);
        }
    }

    /// Hands the core what another shard got for it.
    pub(super) fn open(&mut self, core: &mut Core, parcel: Parcel, now: Instant, out: &mut impl Outbox) {
        let Parcel { from: via, mut bytes, datagrams, notes } = parcel;
        notes.into_iter().for_each(|note| self.take_note(core, note, via, now));
        let mut rest = &mut bytes[..];
        for Handed { from, length, is_contested } in datagrams {
            let (datagram, after) = std::mem::take(&mut rest).split_at_mut(length);
            rest = after;
            let (route, is_check) = (Route::Udp(from), named_shard(datagram).is_some());
            match is_contested {
                true => core.handle_contested(now, route, datagram, out),
                false => core.handle_datagram(now, route, datagram, out),
            }
            if core.has_proved(route) && (self.heard_through.insert(from, via) != Some(via) || is_check) {
                self.packed[via].note(Note::Here(from));
            }
        }
    }

    /// Sends what was packed in this turn, and tells others what has changed in the core.
    pub(super) fn send(&mut self, core: &mut Core, now: Instant) {
        for change in core.take_changes() {
            match change {
                Change::Left(address) => {
                    if let Some(via) = self.heard_through.remove(&address) {
                        self.packed[via].note(Note::Gone(address));
                    }
                }
                Change::Speaks(ssrc) => self.tell_all(Note::Speaks(ssrc)),
                Change::Silent(ssrc) => self.tell_all(Note::Silent(ssrc)),
            }
        }
        self.send_packed();
        self.table.look(now);
    }

    /// Returns the number of addresses that other shards have told of.
    #[cfg(test)]
    pub(super) fn told(&self) -> usize {
        self.table.len()
    }

    /// Takes a check for a session of this shard, which may be known at another.
    fn take_check(&mut self, core: &mut Core, from: SocketAddr, check: &mut [u8], now: Instant, out: &mut impl Outbox) {
        let route = Route::Udp(from);
        match self.table.of(from, now) {
            Some(Of::Known(_)) => core.handle_contested(now, route, check, out),
            _ => core.handle_datagram(now, route, check, out),
        }
        if core.has_proved(route) {
            self.table.forget(from);
        } else {
            self.table.forget_guess(from);
        }
    }

    /// Hands over a check for a session of another shard. Returns false, because it is not for this one.
    fn hand_check(&mut self, core: &Core, shard: usize, from: SocketAddr, check: &[u8], now: Instant) -> bool {
        let known = self.table.of(from, now);
        if known == Some(Of::Known(shard)) {
            self.pack(shard, from, check, false);
        } else if self.may_hand_over(from, now) {
            self.table.suppose(from, shard);
            let is_contested = matches!(known, Some(Of::Known(_))) || core.is_heard_at(Route::Udp(from), now);
            self.pack(shard, from, check, is_contested);
        }
        false
    }

    /// Takes an answer to a question, which does not say who has asked.
    fn take_answer(
        &mut self,
        core: &mut Core,
        from: SocketAddr,
        answer: &mut [u8],
        now: Instant,
        out: &mut impl Outbox,
    ) {
        let (route, told) = (Route::Udp(from), self.table.told(from));
        let guessed = self.table.guess(from).filter(|shard| Some(*shard) != told);
        if let Some(shard) = told {
            self.pack(shard, from, answer, false);
        }
        if let Some(shard) = guessed.filter(|_| self.may_hand_over(from, now)) {
            self.pack(shard, from, answer, false);
        }
        let had_proved = core.has_proved(route);
        if core.knows(route) || (told.is_none() && guessed.is_none()) {
            core.handle_datagram(now, route, answer, out);
        }
        if !had_proved && core.has_proved(route) {
            self.table.forget(from);
        }
    }

    /// Returns whether a datagram that names nobody is for the core. Else it is handed over, or dropped.
    fn is_ours(&mut self, core: &Core, from: SocketAddr, datagram: &[u8], now: Instant) -> bool {
        let route = Route::Udp(from);
        let shard = match self.table.of(from, now) {
            Some(Of::Known(shard)) => {
                self.pack(shard, from, datagram, false);
                return false;
            }
            Some(Of::Silent(shard)) => {
                let is_ours = core.knows(route);
                if !is_ours {
                    self.pack(shard, from, datagram, false);
                }
                return is_ours;
            }
            Some(Of::Guessed(_)) if core.is_heard_at(route, now) => return true,
            Some(Of::Guessed(shard)) => shard,
            None => {
                let named = stated_ssrc(datagram).and_then(|ssrc| Some((self.table.voice(ssrc)?, ssrc)));
                match named {
                    Some((shard, ssrc)) if !core.knows(route) && !core.has_voice(ssrc) => shard,
                    _ => return true,
                }
            }
        };
        if self.may_hand_over(from, now) {
            self.table.suppose(from, shard);
            self.pack(shard, from, datagram, false);
        }
        false
    }

    /// Returns whether a datagram from an address of nobody may be handed over. If not, it is counted.
    fn may_hand_over(&mut self, from: SocketAddr, now: Instant) -> bool {
        let may = self.strangers.may_pass(from.ip(), now);
        if !may {
            DropReason::RtcHandOverRate.count(1);
        }
        may
    }

    fn take_note(&mut self, core: &Core, note: Note, shard: usize, now: Instant) {
        match note {
            Note::Here(address) => self.table.here(address, shard, now),
            Note::Gone(address) => self.table.gone(address, shard),
            Note::Speaks(ssrc) => self.table.speaks(ssrc, shard),
            Note::Silent(ssrc) => self.table.silent(ssrc, shard),
            Note::Begun => {
                self.table.forget_shard(shard);
                let parcel = &mut self.packed[shard];
                let heard = self.heard_through.iter().filter(|(_, via)| **via == shard);
                heard.for_each(|(address, _)| parcel.note(Note::Here(*address)));
                core.voices().for_each(|ssrc| parcel.note(Note::Speaks(ssrc)));
            }
        }
    }

    fn tell_all(&mut self, note: Note) {
        let own = self.own;
        let others = self.packed.iter_mut().enumerate().filter(|(shard, _)| *shard != own);
        others.for_each(|(_, parcel)| parcel.note(note));
    }

    fn pack(&mut self, to: usize, from: SocketAddr, datagram: &[u8], is_contested: bool) {
        if !self.packed[to].takes(datagram.len()) {
            self.boxes.send(to, &mut self.packed[to], &self.handed_over);
        }
        self.packed[to].push(from, datagram, is_contested);
    }

    fn send_packed(&mut self) {
        for (to, parcel) in self.packed.iter_mut().enumerate() {
            self.boxes.send(to, parcel, &self.handed_over);
        }
    }
}
