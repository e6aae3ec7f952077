//! A second shard of a world's port. All datagrams of visitors arrive there, so those of sessions of the first one are handed over.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::super::super::core::Core;
use super::super::super::post::{Boxes, Inbox, Post};
use super::super::super::{Candidates, Command};
use super::{Announce, Route, SERVER, World, setup};

/// The second shard, and the posts of both.
pub(in super::super) struct Gate {
    pub(super) core: Core,
    post: Post,
    inbox: Inbox,
    first: (Post, Inbox),
    boxes: Boxes,
    /// Whether sessions that begin next are this shard's.
    pub(in super::super) takes_sessions: bool,
    _commands: mpsc::Sender<Command>,
}

impl World {
    /// Makes a world with one shard, and one whose visitors come through another.
    pub(in super::super) fn through_either_shard() -> impl Iterator<Item = Self> {
        [Self::new(), Self::behind_a_gate()].into_iter()
    }

    /// Makes a world in which all datagrams of visitors arrive at another shard.
    pub(in super::super) fn behind_a_gate() -> Self {
        let mut world = Self::new();
        let (boxes, inboxes) = Boxes::new(2);
        let mut inboxes = inboxes.into_iter();
        let announce = Announce::at(SERVER.ip(), false, world.now);
        let candidates = Candidates { announce, shard: 1, port: SERVER.port() };
        let (commands, _) = mpsc::channel(16);
        world.gate = Some(Gate {
            core: Core::new(setup(world.calendar.clone(), candidates), Arc::default(), commands.downgrade()),
            first: (Post::new(0, boxes.clone(), world.now), inboxes.next().unwrap()),
            post: Post::new(1, boxes.clone(), world.now),
            inbox: inboxes.next().unwrap(),
            boxes,
            takes_sessions: false,
            _commands: commands,
        });
        world.exchange();
        world
    }

    pub(in super::super) fn gate(&mut self) -> &mut Gate {
        self.gate.as_mut().unwrap()
    }

    /// Lets the second shard die and begin again.
    pub(in super::super) fn restart_gate(&mut self) {
        let now = self.now;
        let gate = self.gate();
        gate.post = Post::new(1, gate.boxes.clone(), now);
        self.exchange();
    }

    /// Hands a datagram to the shard at which it arrives.
    pub(super) fn arrives(&mut self, from: Route, datagram: &mut [u8]) {
        match (&mut self.gate, from) {
            (Some(gate), Route::Udp(from)) => {
                gate.post.receive(&mut gate.core, from, datagram, self.now, &mut self.wire);
                self.exchange();
            }
            _ => self.core.handle_datagram(self.now, from, datagram, &mut self.wire),
        }
    }

    /// Lets the shards end their turns, and open what they have for each other.
    pub(super) fn exchange(&mut self) {
        let Self { gate: Some(gate), core, wire, now, .. } = self else { return };
        let (post, inbox) = &mut gate.first;
        loop {
            post.send(core, *now);
            gate.post.send(&mut gate.core, *now);
            let (ours, theirs) = (inbox.try_next(), gate.inbox.try_next());
            if ours.is_none() && theirs.is_none() {
                return;
            }
            ours.into_iter().for_each(|parcel| post.open(core, parcel, *now, wire));
            theirs.into_iter().for_each(|parcel| gate.post.open(&mut gate.core, parcel, *now, wire));
        }
    }
}

impl Gate {
    /// Returns the number of addresses of the first shard that the second one has been told of.
    pub(in super::super) fn told(&self) -> usize {
        self.post.told()
    }
}
