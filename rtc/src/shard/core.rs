//! The core of a shard: it knows the sessions, the tracks that they watch, and which session a datagram belongs to.
//!
//! It has no socket, and reads the clock for latency metrics alone. Datagrams, commands and `now` come in, and
//! datagrams go to an [`Outbox`]. A viewer is a cursor into a shared track. A frame is made into packets once, and then
//! sent to each viewer by plain calls.

mod choosing;
mod neighbours;
mod replacement;
mod routes;
mod strays;

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use onmic_media::ended::{Ended, TakenOver};
use onmic_media::{Calendar, Demand, Feed, MediaKind, NodeClock, TrackId, TrackKey};
use slab::Slab;
use tokio::sync::mpsc;

pub(super) use self::neighbours::Change;
use self::strays::Speakers;
use super::awaited::Awaited;
use super::levels::{Ladders, Levels};
use super::metric::Metrics;
use super::outbox::Outbox;
use super::publisher::Publisher;
use super::reason::Reason;
use super::session::{Role, Session};
use super::track::{Progress, SharedTrack};
use super::viewer::{Scratch, Turn, Viewer, ViewerTrack};
use super::{Candidates, Command, Opening, Watching};
use crate::bell::Belfry;
use crate::sdp::{Fragment, render_fragment};
use crate::session::{Condition, PatchRefused, Patched, SessionId};
use crate::transport::{
    CloseReason, ConnectionId, Credentials, DatagramKind, Dropped, Identity, Input, Peer, PeerConfig, Route, State,
    classify, stun_local_ufrag,
};
use crate::{tcp, udp};

/// The values that all sessions of a shard share.
#[derive(Clone)]
pub(super) struct Setup {
    pub(super) peer_config: PeerConfig,
    pub(super) identity: Arc<Identity>,
    pub(super) calendar: Arc<Calendar>,
    pub(super) candidates: Candidates,
    pub(super) repair_hold: Duration,
}

impl Setup {
    /// Returns what each turn of a viewer needs of it.
    fn lasting(&self) -> (NodeClock, Duration) {
        (self.calendar.clock(), self.repair_hold)
    }
}

/// What a datagram has done to its session.
enum Outcome {
    GoesOn,
    /// A viewer has told how its path is.
    Told,
    Connected,
    /// The peer has closed it.
    Closed,
    /// The publisher may send no more.
    Ended(Ended),
}

/// The state of a shard and its decisions.
pub(super) struct Core {
    setup: Setup,
    sessions: Slab<Session>,
    by_id: HashMap<SessionId, usize>,
    by_address: HashMap<Route, usize>,
    /// The sessions that claim an address which belongs to another one, until they have proved that they are there.
    claims: HashMap<Route, usize>,
    /// The connections that no session is known under any more.
    forgotten: Vec<ConnectionId>,
    /// The addresses that no session is known under any more.
    left: Vec<SocketAddr>,
    /// Whether another shard has a session at the address of this datagram.
    is_contested: bool,
    by_ufrag: HashMap<String, usize>,
    speakers: Speakers,
    tracks: HashMap<TrackId, SharedTrack>,
    ladders: Ladders,
    awaited: Awaited,
    deadlines: BTreeSet<(Instant, usize)>,
    /// The tracks that hold a packet, by the time at which it is due.
    held: BTreeSet<(Instant, TrackId)>,
    /// The sessions whose deadline has passed. Empty between calls, and kept for its capacity.
    due: Vec<usize>,
    belfry: Arc<Belfry<TrackId>>,
    commands: mpsc::WeakSender<Command>,
    scratch: Scratch,
    metrics: Metrics,
}

impl Core {
    pub(super) fn new(setup: Setup, belfry: Arc<Belfry<TrackId>>, commands: mpsc::WeakSender<Command>) -> Self {
        Self {
            setup,
            sessions: Slab::new(),
            by_id: HashMap::new(),
            by_address: HashMap::new(),
            claims: HashMap::new(),
            forgotten: Vec::new(),
            left: Vec::new(),
            is_contested: false,
            by_ufrag: HashMap::new(),
            speakers: Speakers::default(),
            tracks: HashMap::new(),
            ladders: Ladders::default(),
            awaited: Awaited::new(commands.clone()),
            deadlines: BTreeSet::new(),
            held: BTreeSet::new(),
            due: Vec::new(),
            belfry,
            commands,
            scratch: Scratch::default(),
            metrics: Metrics::new(),
        }
    }

    /// Returns the time at which to call [`Core::handle_timeout`].
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let session = self.deadlines.first().map(|(deadline, _)| *deadline);
        session.into_iter().chain(self.held.first().map(|(due, _)| *due)).min()
    }

    /// Passes the counters of the socket and the connections on to the metrics.
    pub(super) fn count(&mut self, counters: (udp::Counters, tcp::Counters)) {
        self.metrics.count(counters, Instant::now());
    }

    pub(super) fn handle_command(&mut self, now: Instant, command: Command, out: &mut impl Outbox) {
        match command {
            Command::Watch { opening, watching } => self.watch(now, opening, watching, out),
            Command::Publish { opening, publication, receiving } => {
                tracing::info!(kind = "whip", session = ?opening.id, source = %publication.source().name(), "session opened");
                let publisher = Publisher::new(publication, receiving, now);
                self.open(now, opening, Role::Publisher(Box::new(publisher)));
            }
            Command::Patch { id, condition, fragment, reply } => {
                // A client that went away does not receive the answer.
                let _ = reply.send(self.patch(id, condition, &fragment));
            }
            Command::Close { id, reply } => {
                let found = self.by_id.get(&id).copied();
                if let Some(key) = found {
                    self.close(now, key, Reason::ClientRequest, out);
                }
                let _ = reply.send(found.is_some());
            }
            Command::GiveWay { id } => {
                if let Some(key) = self.by_id.get(&id).copied() {
                    self.close(now, key, Reason::GaveWay, out);
                }
            }
            Command::PermitEnded { id } => {
                if let Some(key) = self.by_id.get(&id).copied() {
                    self.close_if_ended(now, key, out);
                }
            }
            Command::Replace { track, demand } => self.replace(now, track, demand, out),
            Command::Choose { id, mid, wish, reply } => {
                let _ = reply.send(self.choose(now, id, (mid, wish), out)); // As for a PATCH.
            }
            Command::Observe { id, reply } => drop(reply.send(self.observe(id))),
            Command::Level { id, key, demand } => self.take_level(now, id, (key, demand), out),
            Command::Attach { feed, demand } => self.attach(now, &feed, demand, out),
            Command::Stop => self.close_all(now, out),
            Command::Connect(_) => {} // The driver takes connections itself.
            #[cfg(test)]
            Command::Panic => panic!("a test asked for it"),
        }
    }

    pub(super) fn handle_datagram(&mut self, now: Instant, from: Route, datagram: &mut [u8], out: &mut impl Outbox) {
        if !self.by_address.contains_key(&from) && !self.setup.candidates.admits(from) {
            self.metrics.foreign.increment(1);
            return;
        }
        let is_stun = classify(datagram) == Some(DatagramKind::Stun);
        // A check names its session, whichever session used the address before. An answer is to the one that claims the
        // address: the one that has it was answered before.
        let named = is_stun.then(|| stun_local_ufrag(datagram)).flatten().and_then(|ufrag| self.by_ufrag.get(ufrag));
        let claiming = || self.claims.get(&from).filter(|_| is_stun);
        let Some(key) = named.or_else(claiming).or_else(|| self.by_address.get(&from)).copied() else {
            return self.handle_stray(now, from, datagram, out);
        };
        if let Err(reason) = self.handle_in_session(now, key, from, datagram, out) {
            self.metrics.dropped(reason);
            self.settle(now, key, out); // What else was in the datagram may have an answer.
        }
    }

    fn handle_in_session(
        &mut self,
        now: Instant,
        key: usize,
        from: Route,
        datagram: &mut [u8],
        out: &mut impl Outbox,
    ) -> Result<(), Dropped> {
        let is_stun = classify(datagram) == Some(DatagramKind::Stun);
        let Self { sessions, scratch, metrics, tracks, setup, speakers, .. } = self;
        let session = &mut sessions[key];
        let outcome = match session.peer.handle_datagram(now, from, datagram)? {
            Input::Nothing => match &session.role {
                // A publisher that never sent a frame has no timer that would notice this. Its checks keep coming.
                Role::Publisher(publisher) if !publisher.is_current() => Outcome::Ended(TakenOver.into()),
                _ => Outcome::GoesOn,
            },
            Input::Rtp(packet) => match &mut session.role {
                Role::Publisher(publisher) => {
                    speakers.note(packet, key, &mut session.ssrcs);
                    let ended = publisher.handle_rtp(packet, now).err();
                    publisher.send_feedback(&mut session.peer, now, scratch, out);
                    ended.map_or(Outcome::GoesOn, Outcome::Ended)
                }
                Role::Viewer(_) => {
                    metrics.from_viewers.increment(1);
                    Outcome::GoesOn
                }
            },
            Input::Rtcp(rtcp) => match &mut session.role {
                Role::Publisher(publisher) => {
                    publisher.handle_rtcp(rtcp, now).map_or_else(Outcome::Ended, |()| Outcome::GoesOn)
                }
                Role::Viewer(viewer) => {
                    let mut turn = Turn::new(now, setup.lasting(), scratch, metrics, out);
                    viewer.handle_rtcp(rtcp, &mut session.peer, tracks, &mut turn);
                    Outcome::Told
                }
            },
            Input::Connected => Outcome::Connected,
            Input::Closed => Outcome::Closed,
        };
        if is_stun {
            self.claim(now, from, key);
            if self.close_if_ended(now, key, out) {
                return Ok(());
            }
        }
        match outcome {
            Outcome::GoesOn => self.settle(now, key, out),
            Outcome::Told => {
                self.decide(now, key, false, out);
                self.settle(now, key, out);
            }
            Outcome::Connected => {
                self.connected(now, key, out);
                self.settle(now, key, out);
            }
            Outcome::Closed => self.ended(now, key, out),
            Outcome::Ended(ended) => self.end_publisher(now, key, ended, out),
        }
        Ok(())
    }

    /// Closes a session whose permit is ended. Returns whether it is.
    fn close_if_ended(&mut self, now: Instant, key: usize, out: &mut impl Outbox) -> bool {
        let ended = self.sessions[key].permit.ended();
        if let Some(why) = ended {
            self.close(now, key, Reason::Permit(why), out);
        }
        ended.is_some()
    }

    /// Reads the new frames of a track and sends them to its viewers.
    pub(super) fn handle_frames(&mut self, now: Instant, id: TrackId, out: &mut impl Outbox) {
        let sound =
            self.tracks.get(&id).and_then(|track| self.tracks.get(&track.sound?)).and_then(SharedTrack::leaves_after);
        loop {
            let Some(track) = self.tracks.get_mut(&id) else { return };
            match track.advance((now, self.setup.calendar.clock().wall(now))) {
                Progress::Frame { since } => {
                    if let Some(sound) = sound {
                        track.keep_in_step_with(sound);
                    }
                    if track.needs_replacement() {
                        self.begin_replacement(id);
                    }
                    // The cached group that a first viewer finds is old, and no viewer gets it here, so it is not
                    // measured.
                    if self.pump_track(now, id, out) > 0 {
                        self.metrics.sending.record(Instant::now().saturating_duration_since(since));
                    }
                    self.follow_levels(now, id, out);
                }
                Progress::Skipped(frames) => self.metrics.skipped.increment(frames),
                Progress::CaughtUp => return self.note_held(id),
                Progress::Ended => return self.succeed(now, id, out),
            }
        }
    }

    /// Notes when a track holds a packet that is due next.
    fn note_held(&mut self, id: TrackId) {
        let Some(track) = self.tracks.get_mut(&id) else { return };
        let due = track.poll_timeout();
        if let Some(before) = std::mem::replace(&mut track.deadline, due) {
            self.held.remove(&(before, id));
        }
        self.held.extend(due.map(|due| (due, id)));
    }

    /// Reads a track no more.
    fn drop_track(&mut self, id: TrackId) -> Option<SharedTrack> {
        let track = self.tracks.remove(&id)?;
        if let Some(due) = track.deadline {
            self.held.remove(&(due, id));
        }
        self.forget_level(id, &track.others);
        Some(track)
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, out: &mut impl Outbox) {
        while let Some((_, id)) = self.held.first().copied().filter(|(due, _)| *due <= now) {
            self.held.pop_first();
            self.tracks.get_mut(&id).expect("a track that holds a packet is read").deadline = None;
            self.handle_frames(now, id, out); // What the track holds after that is not due yet.
        }
        // Each session is due at most once, so that one that cannot do its work does not hold up the others.
        let mut due = std::mem::take(&mut self.due);
        while let Some((_, key)) = self.deadlines.first().copied().filter(|(deadline, _)| *deadline <= now) {
            self.deadlines.pop_first();
            self.sessions[key].deadline = None;
            due.push(key);
        }
        for key in due.drain(..) {
            let session = &mut self.sessions[key];
            session.peer.handle_timeout(now);
            if matches!(session.peer.state(), State::Closed(_)) {
                self.ended(now, key, out);
                continue;
            }
            let mut ended = None;
            if let Role::Publisher(publisher) = &mut session.role {
                ended = publisher.handle_timeout(now).err();
                publisher.send_feedback(&mut session.peer, now, &mut self.scratch, out);
            }
            if session.leaves_at().is_some_and(|at| at <= now) {
                self.close(now, key, Reason::Goodbye, out);
                continue;
            }
            if let Some(ended) = ended {
                self.end_publisher(now, key, ended, out);
                continue;
            }
            self.pump_viewer(now, key, out);
            self.settle(now, key, out);
        }
        self.due = due;
    }

    /// Returns whether no session has left anything behind.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        let maps = [&self.by_address, &self.claims].map(HashMap::len).into_iter();
        let maps = maps.chain([self.by_id.len(), self.by_ufrag.len(), self.tracks.len(), self.held.len()]);
        let maps = maps.chain([self.speakers.len()]);
        let is_idle = self.deadlines.is_empty() && self.awaited.is_empty();
        self.sessions.is_empty() && is_idle && maps.sum::<usize>() == 0
    }

    /// Returns how many tracks it reads.
    #[cfg(test)]
    pub(super) fn tracks_read(&self) -> usize {
        self.tracks.len()
    }

    /// Ends all sessions with a goodbye.
    pub(super) fn close_all(&mut self, now: Instant, out: &mut impl Outbox) {
        let keys: Vec<_> = self.sessions.iter().map(|(key, _)| key).collect();
        for key in keys {
            self.close(now, key, Reason::Stopping, out);
        }
    }

    fn watch(&mut self, now: Instant, opening: Opening, watching: Watching, out: &mut impl Outbox) {
        let Watching { feed, streams, sending, awaited, leveled } = watching;
        let dates = self.setup.calendar.offset();
        let mut own_tracks = Vec::new();
        for (planned, demand) in sending {
            let id = demand.track().id();
            if !self.share(id, demand, now, out) {
                continue;
            }
            own_tracks.push(ViewerTrack::new(&planned, dates, id, &self.tracks[&id].outgoing));
        }
        if own_tracks.is_empty() {
            let _ = opening.ready.send(false); // All its tracks have ended meanwhile.
            return;
        }
        let (tracks, awaits) = (own_tracks.len(), awaited.len());
        tracing::debug!(kind = "whep", session = ?opening.id, tracks, awaits, "session opened");
        let ids: Vec<_> = own_tracks.iter().map(|own| own.id).collect();
        let wanted: Vec<_> = awaited.iter().map(|planned| (planned.key, planned.codec)).collect();
        let mut viewer = Viewer::new(feed.clone(), (streams, dates), own_tracks, awaited);
        viewer.levels = leveled.map(|(mid, key, codec)| Box::new(Levels::new(mid, key, codec)));
        let key = self.open(now, opening, Role::Viewer(viewer));
        for id in ids {
            self.tracks.get_mut(&id).expect("the track is shared").viewers.push(key);
        }
        self.pair(key);
        wanted.into_iter().for_each(|wanted| self.awaited.join(&feed, wanted, key));
    }

    /// Pairs the video tracks of a viewer with the main audio that it hears, so that the video is delayed to match.
    fn pair(&mut self, key: usize) {
        let Role::Viewer(viewer) = &self.sessions[key].role else { return };
        let Some(audio) = viewer.track(TrackKey::AUDIO) else { return };
        for video in viewer.tracks.iter().filter(|own| own.key.kind == MediaKind::Video) {
            if let Some(track) = self.tracks.get_mut(&video.id) {
                track.sound = Some(audio);
            }
        }
    }

    /// Gives a track that has come to the viewers that wait for it, beside the tracks that they have.
    fn attach(&mut self, now: Instant, feed: &Arc<Feed>, demand: Demand, out: &mut impl Outbox) {
        let (id, codec) = (demand.track().id(), demand.track().parameters().codec());
        let wanted = (demand.track().key(), codec);
        if !self.awaited.contains(feed, wanted) || !self.share(id, demand, now, out) {
            return; // The viewers have left, or the track has ended already and they wait for the next.
        }
        let viewers = self.awaited.take(feed, wanted);
        tracing::debug!(codec = codec.name(), viewers = viewers.len(), "an awaited track has come");
        for key in viewers {
            let session = &mut self.sessions[key];
            let Role::Viewer(viewer) = &mut session.role else { continue };
            let track = self.tracks.get_mut(&id).expect("the track is shared");
            viewer.attach(wanted, id, &track.outgoing);
            track.viewers.push(key);
            if session.connected.is_some() {
                viewer.start(id, track, now);
            }
            self.pair(key);
            self.decide(now, key, true, out);
            self.pump_viewer(now, key, out);
            self.reschedule(key);
        }
    }

    /// Makes sure that the shard reads a track. Returns false for a track that has ended or that WebRTC cannot carry.
    fn share(&mut self, id: TrackId, demand: Demand, now: Instant, out: &mut impl Outbox) -> bool {
        if !self.tracks.contains_key(&id) {
            let Some(track) = SharedTrack::new(demand, self.belfry.bell(id)) else { return false };
            self.tracks.insert(id, track);
            self.handle_frames(now, id, out); // This first viewer starts on the cached group.
        }
        self.tracks.contains_key(&id)
    }

    fn open(&mut self, now: Instant, opening: Opening, role: Role) -> usize {
        let Opening { id, place, permit, local, remote, fingerprint, role: dtls, mid, ready } = opening;
        let etag = local.ufrag.clone();
        let identity = (self.setup.identity.clone(), dtls);
        let peer = Peer::new(self.setup.peer_config, identity, local, remote.clone(), fingerprint, now);
        let key = self.sessions.insert(Session {
            id,
            peer,
            role,
            remote,
            ufrags: vec![etag.clone()],
            etag: etag.clone(),
            mid,
            addresses: Vec::new(),
            ssrcs: Vec::new(),
            deadline: None,
            opened: now,
            connected: None,
            place,
            permit,
        });
        self.by_id.insert(id, key);
        self.by_ufrag.insert(etag, key);
        self.reschedule(key);
        self.sessions[key].watch_permit(self.commands.clone());
        // The client may have gone already. Its session then ends by its consent timeout.
        let _ = ready.send(true);
        key
    }

    fn patch(&mut self, id: SessionId, condition: Condition, fragment: &str) -> Result<Patched, PatchRefused> {
        let key = *self.by_id.get(&id).ok_or(PatchRefused::NoSession)?;
        let session = &mut self.sessions[key];
        if !condition(&session.etag) {
            return Err(PatchRefused::Outdated(session.etag.clone()));
        }
        let fragment = Fragment::parse(fragment).map_err(|error| PatchRefused::Malformed(error.to_string()))?;
        let Some(remote) = fragment.ice.clone().filter(|_| fragment.restarts(&session.remote)) else {
            return Ok(Patched::Noted);
        };
        let local = Credentials::of_shard(self.setup.candidates.shard);
        session.etag = local.ufrag.clone();
        session.remote = remote.clone();
        let answer = render_fragment(&local, &session.mid, &self.setup.candidates.list());
        session.peer.restart_ice(local, remote);
        tracing::debug!(session = ?id, "ICE restart");
        // Removes the user fragments that are no longer accepted.
        for ufrag in session.ufrags.drain(..) {
            self.by_ufrag.remove(&ufrag);
        }
        session.ufrags = session.peer.local_ufrags().map(str::to_owned).collect();
        for ufrag in &session.ufrags {
            self.by_ufrag.insert(ufrag.clone(), key);
        }
        let etag = session.etag.clone();
        self.reschedule(key);
        Ok(Patched::Restarted { fragment: answer, etag })
    }

    fn connected(&mut self, now: Instant, key: usize, out: &mut impl Outbox) {
        // The end of the handshake goes first: before it, the peer has no keys and throws media away.
        self.transmit(key, out);
        let session = &mut self.sessions[key];
        session.connected = Some(now);
        session.place.connected();
        let viewer = match &mut session.role {
            Role::Viewer(viewer) => viewer,
            Role::Publisher(publisher) => return publisher.connected(now),
        };
        let ids: Vec<_> = viewer.tracks.iter().map(|own| own.id).collect();
        for id in ids {
            let Some(track) = self.tracks.get_mut(&id) else { continue };
            viewer.start(id, track, now);
        }
        self.tell(key);
        self.pump_viewer(now, key, out);
    }

    /// Sends one viewer the frames that are due on all its tracks.
    fn pump_viewer(&mut self, now: Instant, key: usize, out: &mut impl Outbox) {
        let Self { sessions, tracks, scratch, metrics, setup, .. } = self;
        let session = &mut sessions[key];
        if session.connected.is_none() {
            return;
        }
        let Role::Viewer(viewer) = &mut session.role else { return };
        let mut turn = Turn::new(now, setup.lasting(), scratch, metrics, out);
        for index in 0..viewer.tracks.len() {
            let id = viewer.tracks[index].id;
            let Some(track) = tracks.get(&id) else { continue };
            viewer.pump(&mut session.peer, track, id, &mut turn);
            viewer.send_copies(&mut session.peer, tracks, id, &mut turn);
        }
    }

    /// Sends all viewers of a track the frames that are due. Returns the number of frames, summed over the viewers.
    fn pump_track(&mut self, now: Instant, id: TrackId, out: &mut impl Outbox) -> u64 {
        let Self { sessions, tracks, scratch, metrics, setup, .. } = self;
        let Some(track) = tracks.get(&id) else { return 0 };
        let (mut frames, mut behind) = (0, Vec::new());
        let mut turn = Turn::new(now, setup.lasting(), scratch, metrics, out);
        for key in &track.viewers {
            let session = &mut sessions[*key];
            if session.connected.is_some()
                && let Role::Viewer(viewer) = &mut session.role
            {
                frames += viewer.pump(&mut session.peer, track, id, &mut turn);
                if !viewer.is_live(id) {
                    behind.push(*key);
                }
            }
        }
        // This is rare: viewers that catch up, and all viewers when the publisher comes back.
        behind.into_iter().for_each(|key| self.reschedule(key));
        frames
    }

    /// Sends the peer's waiting datagrams, and notes its next deadline.
    fn settle(&mut self, now: Instant, key: usize, out: &mut impl Outbox) {
        self.transmit(key, out);
        if matches!(self.sessions[key].peer.state(), State::Closed(_)) {
            self.ended(now, key, out);
        } else {
            self.reschedule(key);
        }
    }

    fn transmit(&mut self, key: usize, out: &mut impl Outbox) {
        let session = &mut self.sessions[key];
        while let Some(transmit) = session.peer.poll_transmit() {
            out.send(transmit.to, &transmit.bytes);
        }
    }

    fn reschedule(&mut self, key: usize) {
        let session = &mut self.sessions[key];
        let tracks = &self.tracks;
        let role = match &session.role {
            Role::Publisher(publisher) => publisher.poll_timeout(),
            Role::Viewer(viewer) if session.connected.is_some() => {
                let sends = viewer.tracks.iter().filter(|own| !own.sender.needs_no_timer());
                let had = viewer.tracks.iter().filter(|own| !own.is_given_back);
                let copies = had.filter_map(|own| own.sender.copy_timeout());
                sends.filter_map(|own| own.sender.poll_timeout(&tracks.get(&own.id)?.outgoing)).chain(copies).min()
            }
            Role::Viewer(_) => None,
        };
        let deadline = session.peer.poll_timeout().into_iter().chain(role).chain(session.leaves_at()).min();
        if deadline == session.deadline {
            return;
        }
        if let Some(before) = session.deadline {
            self.deadlines.remove(&(before, key));
        }
        session.deadline = deadline;
        self.deadlines.extend(deadline.map(|deadline| (deadline, key)));
    }

    /// Ends a publisher that may send no more. WHIP has no message that could carry the reason, so the log tells it.
    fn end_publisher(&mut self, now: Instant, key: usize, ended: Ended, out: &mut impl Outbox) {
        tracing::info!(session = ?self.sessions[key].id, %ended, "a publisher is sent away");
        self.close(now, key, Reason::Publication(ended), out);
    }

    /// Ends a session from the server's side.
    fn close(&mut self, now: Instant, key: usize, reason: Reason, out: &mut impl Outbox) {
        let session = &mut self.sessions[key];
        if let (Some(_), Role::Viewer(viewer)) = (session.connected, &session.role) {
            viewer.goodbye(&mut session.peer, &mut self.scratch, out);
        }
        session.peer.close(now);
        self.remove(now, key, reason, out);
    }

    /// Removes a session that ended by itself.
    fn ended(&mut self, now: Instant, key: usize, out: &mut impl Outbox) {
        let reason = match self.sessions[key].peer.state() {
            State::Closed(reason) => reason,
            State::Connecting | State::Connected => CloseReason::Closed,
        };
        self.remove(now, key, Reason::Connection(reason), out);
    }

    fn remove(&mut self, now: Instant, key: usize, reason: Reason, out: &mut impl Outbox) {
        let mut session = self.sessions.remove(key);
        while let Some(transmit) = session.peer.poll_transmit() {
            out.send(transmit.to, &transmit.bytes);
        }
        if let Role::Publisher(publisher) = &mut session.role {
            publisher.end(now);
        }
        session.log_end(reason, now);
        self.by_id.remove(&session.id);
        for ufrag in &session.ufrags {
            self.by_ufrag.remove(ufrag);
        }
        self.speakers.forget(&session.ssrcs, key);
        for address in std::mem::take(&mut session.addresses) {
            self.forget_address(address, key);
        }
        if let Some(deadline) = session.deadline {
            self.deadlines.remove(&(deadline, key));
        }
        if let Role::Viewer(viewer) = &session.role {
            for planned in &viewer.awaited {
                self.awaited.leave(&viewer.feed, (planned.key, planned.codec), key);
            }
            viewer.track_ids().into_iter().for_each(|id| self.release(id, key));
        }
    }
}
