//! A source: the tracks that one participant publishes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;

use crate::advice::Advice;
use crate::changes::Changes;
use crate::clock::{Alignment, SourceClock};
use crate::feed::{Feed, FeedStage};
use crate::frame::Frame;
use crate::intake::Intake;
use crate::key::TrackKey;
use crate::name::{PersonId, Principal, SourceName};
use crate::program::{Brings, FENCE_MAX, Inlet, Keyframes, Program, TimelineId};
use crate::program_clock::ProgramClock;
use crate::time::{NodeClock, WallTime};
use crate::track::Track;

/// How long an offer by WHIP keeps its name from other offers while its publisher does not connect. Connecting takes
/// 0.2 s at 50 ms RTT, and a client that failed posts again within 3 s.
const OFFER_PATIENCE: Duration = Duration::from_millis(2_500);

/// Names the protocol by which a source comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// RTMP or RTMPS.
    Rtmp,
    /// WebRTC, by WHIP.
    Whip,
}

impl Protocol {
    /// Returns the word for the API and the metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rtmp => "rtmp",
            Self::Whip => "whip",
        }
    }

    /// Whether the publisher may report how its tracks lie beside each other (RTCP sender reports), so that the session follows.
    const fn may_report(self) -> bool {
        matches!(self, Self::Whip)
    }

    /// Whether the publisher can be asked for a keyframe. RTMP has no such request.
    const fn takes_requests(self) -> bool {
        matches!(self, Self::Whip)
    }

    /// Whether a publisher that asks for a name is there: an RTMP connection is, and a WHIP offer is a letter.
    const fn arrives_with_its_request(self) -> bool {
        matches!(self, Self::Rtmp)
    }
}

/// States whether the publisher of a source is there. It is the one fact behind whatever says that a source or its room is
/// live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It has the name, and no frame of it has come: a WHIP offer that has not connected, or an encoder that sends nothing.
    Connecting,
    /// It is connected, and frames have come.
    Live,
    /// Frames have come, and it is gone, or an offer that has not connected has its place. The source is in its grace.
    Interrupted,
}

/// Describes a publisher of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publisher {
    /// The protocol by which the source comes in.
    pub protocol: Protocol,
    /// The person, if the gate knows it.
    pub person: Option<PersonId>,
    /// The owner of its token, if it has one.
    pub owner: Option<Principal>,
    /// Who is counted for the room that it opens, if anybody is.
    pub opener: Option<Principal>,
}

impl From<Protocol> for Publisher {
    /// Makes a publisher about whom nothing else is known.
    fn from(protocol: Protocol) -> Self {
        Self { protocol, person: None, owner: None, opener: None }
    }
}

/// Holds a participant's feed and the state of its publisher.
#[derive(Debug)]
pub struct Source {
    name: SourceName,
    clock: NodeClock,
    epoch: WallTime,
    /// The clock of its room's program, which places it.
    program_clock: ProgramClock,
    timeline: TimelineId,
    feed: Arc<Feed>,
    /// The program that it is passed through to. The lock is held for a push, so that no frame is missed or doubled
    /// when it changes.
    outlet: Mutex<Option<Inlet>>,
    /// What the publisher should change, as the session that takes its frames in finds it.
    advice: Mutex<Vec<Advice>>,
    /// What the program that it leads lacks.
    of_program: Mutex<Option<Advice>>,
    /// The number of the present publisher. A publication of an earlier number was taken over. It changes under the
    /// lock of `state`.
    publisher: watch::Sender<u64>,
    /// What its publishers may send now.
    intake: Mutex<Intake>,
    state: Mutex<State>,
    /// Where the source tells that its public state has changed.
    changes: Changes,
}

#[derive(Debug)]
struct State {
    last: Publisher,
    connected: bool,
    /// Whether the publisher itself was heard.
    arrived: bool,
    /// Whether a frame of it has come. Until then it has the name against other offers only.
    sends: bool,
    /// The arrival of the last frame, or the connect before the first frame.
    last_heard: Instant,
}

impl Source {
    pub(crate) fn new(
        name: SourceName,
        publisher: Publisher,
        (clock, program_clock): (NodeClock, ProgramClock),
        feed: Arc<Feed>,
        changes: Changes,
        (bitrate, now): (u64, Instant),
    ) -> Arc<Self> {
        let state = State { last: publisher, connected: false, arrived: false, sends: false, last_heard: now };
        let publisher = watch::Sender::new(0);
        Arc::new(Self {
            name,
            clock,
            epoch: clock.wall(now),
            program_clock,
            timeline: TimelineId::unique(),
            feed,
            outlet: Mutex::default(),
            advice: Mutex::default(),
            of_program: Mutex::default(),
            publisher,
            intake: Mutex::new(Intake::new(bitrate, now)),
            state: Mutex::new(state),
            changes,
        })
    }

    /// Returns the name of the source.
    pub fn name(&self) -> &SourceName {
        &self.name
    }

    /// Returns the feed with its tracks.
    pub fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }

    /// Returns the moment at which it began.
    pub fn epoch(&self) -> WallTime {
        self.epoch
    }

    /// Returns the node's clock.
    pub fn clock(&self) -> NodeClock {
        self.clock
    }

    /// Returns the clock of its room's program. Its own frames lie near that clock, by its publisher's crystal (see
    /// [`Feed::clock`]).
    pub fn program_clock(&self) -> ProgramClock {
        self.program_clock
    }

    /// Makes the clock for a publisher that begins or continues it.
    pub(crate) fn resume_clock(&self) -> SourceClock {
        /// The least distance to the next frame: the resolution of RTMP, so that it is not at the same time.
        const APART_MICROS: i64 = 1_000;
        let mut clock = match self.feed.end_micros() {
            Some(end) => SourceClock::after(self.program_clock, end + APART_MICROS),
            None => SourceClock::new(self.program_clock),
        };
        if self.protocol().may_report() {
            clock.align(Alignment::Awaited);
        }
        clock
    }

    /// Returns the timeline of its frames.
    pub fn timeline(&self) -> TimelineId {
        self.timeline
    }

    /// Selects it for `program`, undecoded.
    pub fn pass_to(&self, program: &Arc<Program>) {
        let mut outlet = self.outlet.lock();
        let video = self.feed.original(TrackKey::VIDEO).is_some();
        let brings = Brings { timeline: self.timeline, video, in_order: false, keyframes: self.keyframes() };
        *outlet = Some(program.select(brings));
    }

    /// Lets the present publisher begin to fill `track`, or go on with it where the one before ended. What was known of that
    /// one does not hold any more, here and in the program.
    pub(crate) fn fill_anew(&self, track: &Track) {
        track.set_takes_requests(self.protocol().takes_requests());
        if let Some(inlet) = &*self.outlet.lock() {
            inlet.begin_anew(track.key(), self.keyframes());
        }
    }

    /// When the keyframes of the present publisher come, as far as is known.
    fn keyframes(&self) -> Keyframes {
        let track = self.feed.original(TrackKey::VIDEO);
        let measured = track.and_then(|track| Some(track.measured(track.newest()?.arrived)));
        let interval = measured.and_then(|measured| measured.keyframe_interval);
        match self.protocol().takes_requests() {
            true => Keyframes::OnRequest,
            false if interval.is_none_or(|interval| interval <= FENCE_MAX) => Keyframes::Often,
            false => Keyframes::Seldom,
        }
    }

    /// Returns whether a program plays it as it is.
    pub fn is_passed_through(&self) -> bool {
        self.outlet.lock().as_ref().is_some_and(Inlet::is_on)
    }

    /// Returns whether a program waits for a keyframe of it to play it as it is.
    pub fn is_awaited(&self) -> bool {
        self.outlet.lock().as_ref().is_some_and(Inlet::is_awaited)
    }

    /// Returns what its publishers may send now. Only the present one asks, so nobody waits for the lock.
    pub(crate) fn intake(&self) -> MutexGuard<'_, Intake> {
        self.intake.lock()
    }

    /// Puts a frame on `track`, one of this source's, and into the program it is passed through to.
    pub(crate) fn append(&self, track: &Track, frame: Frame) {
        let outlet = self.outlet.lock();
        if let Some(inlet) = &*outlet {
            inlet.push_on(track.key().rendition, frame.clone());
            if frame.keyframe && self.feed.stage() == FeedStage::Settled {
                inlet.settle(); // It may have settled before it was selected.
            }
        }
        track.push(frame);
    }

    /// Ends a further track, here and in the program, because the publisher does not send it any more.
    pub(crate) fn end_track(&self, key: TrackKey) {
        if let Some(inlet) = &*self.outlet.lock() {
            inlet.end_track(key);
        }
        self.feed.remove_original(key);
        self.intake().forget(key);
    }

    /// Notes that all its tracks are known.
    pub(crate) fn settle(&self) {
        self.feed.settle();
        if let Some(inlet) = &*self.outlet.lock() {
            inlet.settle();
        }
        self.changed();
    }

    /// Returns whether the program wants a keyframe of it.
    pub(crate) fn take_keyframe_wanted(&self) -> bool {
        self.outlet.lock().as_ref().is_some_and(Inlet::take_keyframe_wanted)
    }

    /// Returns the protocol of the last publisher.
    pub fn protocol(&self) -> Protocol {
        self.state.lock().last.protocol
    }

    /// Returns the person of the last publisher, if the gate knew one.
    pub fn person(&self) -> Option<PersonId> {
        self.state.lock().last.person.clone()
    }

    /// Returns the owner of the token of the last publisher, if it had one.
    pub fn owner(&self) -> Option<Principal> {
        self.state.lock().last.owner.clone()
    }

    /// Returns who is counted for the room that the last publisher opens, if anybody is.
    pub fn opener(&self) -> Option<Principal> {
        self.state.lock().last.opener.clone()
    }

    /// Returns whether a publisher has its name now. Within the grace period none may have it.
    pub fn is_connected(&self) -> bool {
        self.state.lock().connected
    }

    /// Returns whether its publisher is there.
    pub fn presence(&self) -> Presence {
        let State { connected, arrived, .. } = *self.state.lock();
        match self.feed.has_tracks() {
            false => Presence::Connecting,
            true if connected && arrived => Presence::Live,
            true => Presence::Interrupted,
        }
    }

    /// Returns what its publisher should change so that viewers get all that it sends, the most important first.
    pub fn advice(&self) -> Vec<Advice> {
        self.of_program.lock().iter().chain(self.advice.lock().iter()).cloned().collect()
    }

    /// States what the program that it leads lacks, for as long as that is so.
    pub fn advise_of_program(&self, advice: Option<Advice>) {
        *self.of_program.lock() = advice;
    }

    /// Replaces the advice to `publisher`, unless that was taken over.
    pub(crate) fn advise(&self, publisher: u64, advice: Vec<Advice>) {
        let mut standing = self.advice.lock();
        if self.is_current(publisher) {
            *standing = advice;
        }
    }

    /// Whether a publisher that comes in by `by` may have the name now. One that has sent nothing yet keeps it from nobody whose
    /// connection is there, so nobody holds a name by connections that send nothing.
    pub(crate) fn may_be_taken(&self, by: Protocol, now: Instant, grace: Duration) -> bool {
        let state = self.state.lock();
        let silent = now.saturating_duration_since(state.last_heard);
        let sends_nothing = !state.sends && (by.arrives_with_its_request() || silent > OFFER_PATIENCE);
        !state.connected || sends_nothing || silent > grace
    }

    pub(crate) fn is_abandoned(&self, now: Instant, grace: Duration) -> bool {
        let state = self.state.lock();
        let silent = now.saturating_duration_since(state.last_heard) > grace;
        // Without a track no viewer can have watched, so nothing is waited for.
        !state.connected && (silent || !self.feed.has_tracks())
    }

    /// Takes in a new publisher, and returns its number.
    pub(crate) fn connect(&self, publisher: Publisher, now: Instant) -> u64 {
        let mut state = self.state.lock();
        state.arrived = publisher.protocol.arrives_with_its_request();
        state.sends = false;
        state.last = publisher;
        state.connected = true;
        state.last_heard = now;
        self.publisher.send_modify(|publisher| *publisher += 1);
        self.advice.lock().clear(); // What comes after this of the one before is refused.
        *self.publisher.borrow()
    }

    /// Returns a receiver of the number of the publisher that may feed it, which reports each change.
    pub(crate) fn publishers(&self) -> watch::Receiver<u64> {
        self.publisher.subscribe()
    }

    /// Returns whether `publisher` was not taken over.
    pub(crate) fn is_current(&self, publisher: u64) -> bool {
        *self.publisher.borrow() == publisher
    }

    /// Notes a frame of `publisher`. Returns false if it was taken over.
    pub(crate) fn hear(&self, publisher: u64, now: Instant) -> bool {
        self.heard(publisher, true, now)
    }

    /// Notes that `publisher` is connected.
    pub(crate) fn arrived(&self, publisher: u64, now: Instant) {
        self.heard(publisher, false, now);
    }

    fn heard(&self, publisher: u64, sends: bool, now: Instant) -> bool {
        let mut state = self.state.lock();
        let current = self.is_current(publisher);
        if current {
            state.last_heard = now;
            state.arrived = true;
            state.sends |= sends;
        }
        current
    }

    pub(crate) fn disconnect(&self, publisher: u64) {
        let mut state = self.state.lock();
        if self.is_current(publisher) {
            state.connected = false;
            self.advice.lock().clear();
        }
        drop(state);
        self.changed();
    }

    /// Sends its publisher away, as if another one had taken the name over.
    pub(crate) fn revoke(&self) {
        let mut state = self.state.lock();
        state.connected = false;
        self.publisher.send_modify(|publisher| *publisher += 1);
    }

    /// Wakes the tasks that watch the hub.
    pub(crate) fn changed(&self) {
        self.changes.tell(&self.name.room);
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use bytes::Bytes;

    use super::*;
    use crate::codec::Parameters;
    use crate::hub::{Hub, HubLimits};
    use crate::key::Rendition;
    use crate::publication::Arrival;
    use crate::testing::h264;
    use crate::time::Ticks;

    /// Publishes by `protocol`, with or without reordered frames, and asserts that viewers of the source and of its program know.
    fn publish(hub: &Hub, protocol: Protocol, reorders: bool, start: Instant, seconds: u64) {
        let name: SourceName = "demo".parse().unwrap();
        let now = start + Duration::from_secs(seconds);
        let mut publication = hub.publish(&name, protocol, now).unwrap();
        let Parameters::H264(sets) = (*h264()).clone() else { panic!() };
        let parameters = Arc::new(Parameters::H264(crate::codec::h264::Parameters { max_reorder: None, ..sets }));
        let at = |millis: i64| Ticks((seconds as i64 * 1000 + millis) * 90);
        let shown = if reorders { [80, 160, 120] } else { [80, 120, 160] };
        for (n, pts) in (0..).zip(shown) {
            let (rendition, payload, parameters) = (Rendition::MAIN, Bytes::from_static(&[0; 9]), parameters.clone());
            let (dts, pts) = (at(n * 40 + 40), at(pts));
            let arrival = Arrival { rendition, dts, pts, keyframe: n == 0, parameters, payload };
            publication.push(arrival, now + Duration::from_millis(n as u64 * 40)).unwrap();
        }
        for feed in [publication.source().feed().clone(), hub.program(&name.room).unwrap()] {
            let track = feed.original(TrackKey::VIDEO).unwrap();
            let case = format!("{protocol:?} after {seconds} s");
            assert_eq!(track.answers_requests(), protocol == Protocol::Whip, "{case}");
            assert_eq!(track.reorders(), reorders, "{case}");
        }
    }

    #[test]
    fn viewers_of_a_program_know_of_its_publisher_and_nothing_of_the_one_before() {
        let start = Instant::now();
        let publishers = || [Protocol::Whip, Protocol::Rtmp].into_iter().flat_map(|one| [(one, false), (one, true)]);
        for (first, second) in publishers().flat_map(|first| publishers().map(move |second| (first, second))) {
            let hub = Hub::new(NodeClock::new(start, SystemTime::UNIX_EPOCH), HubLimits::default(), None);
            for ((protocol, reorders), seconds) in [first, second, first].into_iter().zip([0, 2, 4]) {
                publish(&hub, protocol, reorders, start, seconds);
            }
        }
    }

    #[test]
    fn a_publisher_by_rtmp_that_takes_the_place_of_an_offer_by_whip_is_asked_for_no_keyframes() {
        let start = Instant::now();
        let hub = Hub::new(NodeClock::new(start, SystemTime::UNIX_EPOCH), HubLimits::default(), None);
        let name: SourceName = "demo".parse().unwrap();
        let _silent = hub.publish(&name, Protocol::Whip, start).unwrap();
        publish(&hub, Protocol::Rtmp, false, start, 1);
    }
}
