//! What the playlists of all streams of a node hold: of those that go on, and of those that ended, which clients may still ask for.
//!
//! A stream that ended gives way where there are too many, or where one that goes on needs its bytes. The first is of the publisher
//! whose streams have the most, by number or by bytes, who counts for all rooms together; of the room with the most of theirs; and the oldest
//! there. So neither one room nor one publisher with many rooms takes the end of a stream from the viewers of others. Where
//! nobody is known for a publisher, the room stands for them. A stream gets nothing of what its own room has left, or one
//! that outgrew the bytes would begin again at once.

use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use onmic_media::name::Principal;
use onmic_media::{Budget, DropReason, RoomName, Spent};
use parking_lot::Mutex;

/// The most streams that are kept after their end.
const PAST_MAX: usize = 256;

/// The room of a stream, and who answers for its publisher, if somebody is known.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Whose {
    pub(crate) room: RoomName,
    pub(crate) owner: Option<Principal>,
}

impl Whose {
    fn counted(&self) -> Counted<'_> {
        self.owner.as_ref().map_or(Counted::Room(&self.room), Counted::Owner)
    }
}

/// The one who is counted for a stream.
#[derive(PartialEq, Eq, Hash)]
enum Counted<'a> {
    Owner(&'a Principal),
    Room(&'a RoomName),
}

/// A stream that ended.
#[derive(Debug)]
struct Ended<S> {
    stream: Arc<S>,
    whose: Whose,
    /// What it holds of the budget.
    bytes: u64,
    at: Instant,
}

/// The bytes of all playlists, and the streams `S` that ended.
#[derive(Debug)]
pub(crate) struct Windows<S> {
    budget: Arc<Budget>,
    /// The oldest is first. Each holds a whole window of segments, so it is kept no longer than clients may ask for it.
    past: Mutex<VecDeque<Ended<S>>>,
}

impl<S> Windows<S> {
    /// Lets all streams hold this many bytes.
    pub(crate) fn new(bytes: u64) -> Self {
        Self { budget: Budget::new(bytes), past: Mutex::new(VecDeque::new()) }
    }

    /// Takes something of the bytes for a stream that goes on. Streams that ended give way to it.
    pub(crate) fn take<T>(
        &self,
        whose: &Whose,
        mut take: impl FnMut(&Arc<Budget>) -> Result<T, Spent>,
    ) -> Result<T, Spent> {
        loop {
            let spent = match take(&self.budget) {
                Ok(taken) => return Ok(taken),
                Err(spent) => spent,
            };
            let gives_way = {
                let mut past = self.past.lock();
                let first = first(&past, |ended| ended.bytes);
                let first = first.filter(|first| past[*first].whose.room != whose.room);
                first.and_then(|first| past.remove(first))
            };
            // Its bytes are freed without the lock.
            let Some(ended) = gives_way else { return Err(spent) };
            DropReason::HlsEnded.count(1);
            drop(ended);
        }
    }

    /// Keeps a stream that ended at `now` and holds this many bytes.
    pub(crate) fn keep(&self, stream: Arc<S>, whose: Whose, bytes: u64, now: Instant) {
        let gives_way = {
            let mut past = self.past.lock();
            past.push_back(Ended { stream, whose, bytes, at: now });
            let first = if past.len() > PAST_MAX { first(&past, |_| 1) } else { None };
            first.and_then(|first| past.remove(first))
        };
        if gives_way.is_some() {
            DropReason::HlsEnded.count(1);
        }
    }

    /// Releases the streams that ended at least `keep` before `now`. Returns the end of the oldest that is left.
    pub(crate) fn forget(&self, now: Instant, keep: Duration) -> Option<Instant> {
        let is_over = |ended: &Ended<S>| now.saturating_duration_since(ended.at) >= keep;
        let mut past = self.past.lock();
        while past.front().is_some_and(is_over) {
            past.pop_front();
        }
        past.front().map(|ended| ended.at)
    }

    /// Returns the stream of a room that ended and for which this is true.
    pub(crate) fn find(&self, room: &RoomName, is_it: impl Fn(&S) -> bool) -> Option<Arc<S>> {
        let past = self.past.lock();
        let ended = past.iter().find(|ended| ended.whose.room == *room && is_it(&ended.stream));
        ended.map(|ended| ended.stream.clone())
    }
}

/// Returns the place of the stream that gives way first, where each has this `much`.
fn first<S>(past: &VecDeque<Ended<S>>, much: impl Fn(&Ended<S>) -> u64) -> Option<usize> {
    let (mut of_owner, mut of_room) = (HashMap::new(), HashMap::new());
    for ended in past {
        *of_owner.entry(ended.whose.counted()).or_insert(0) += much(ended);
        *of_room.entry(&ended.whose).or_insert(0) += much(ended);
    }
    let most = |place: &usize| {
        let whose = &past[*place].whose;
        (of_owner[&whose.counted()], of_room[whose], Reverse(*place))
    };
    (0..past.len()).max_by_key(most)
}

#[cfg(test)]
mod tests {
    use onmic_media::{Held, Work};

    use super::*;

    const MIB: u64 = 1 << 20;

    fn whose(room: &str, owner: Option<&str>) -> Whose {
        Whose { room: room.parse().unwrap(), owner: owner.map(|owner| Principal::Token(owner.into())) }
    }

    /// A node whose streams end.
    struct Ending {
        windows: Windows<Held>,
        start: Instant,
    }

    impl Ending {
        fn new(bytes: u64) -> Self {
            Self { windows: Windows::new(bytes), start: Instant::now() }
        }

        /// Lets a stream end that holds this many bytes.
        fn end(&self, room: &str, owner: Option<&str>, bytes: u64, second: u64) {
            let held = self.windows.budget.take(Work::Window, bytes).unwrap();
            self.windows.keep(Arc::new(held), whose(room, owner), bytes, self.start + Duration::from_secs(second));
        }

        /// Returns the rooms of the streams that are kept.
        fn rooms(&self) -> Vec<String> {
            self.windows.past.lock().iter().map(|ended| ended.whose.room.to_string()).collect()
        }

        fn count(&self, room: &str) -> usize {
            self.rooms().iter().filter(|own| *own == room).count()
        }
    }

    #[test]
    fn a_stream_that_ended_is_released_when_clients_may_no_longer_ask_for_it() {
        let ending = Ending::new(MIB);
        let at = |second| ending.start + Duration::from_secs(second);
        let keep = Duration::from_secs(40);
        [0, 10].iter().for_each(|second| ending.end("demo", None, 0, *second));
        assert_eq!(ending.windows.forget(at(39), keep), Some(at(0)));
        assert_eq!(ending.windows.forget(at(40), keep), Some(at(10)));
        assert_eq!(ending.windows.forget(at(80), keep), None);
        assert!(ending.rooms().is_empty());
    }

    #[test]
    fn a_room_that_ends_again_and_again_pushes_out_its_own_streams() {
        let ending = Ending::new(MIB);
        ending.end("quiet", None, 0, 0);
        for _ in 0..3 * PAST_MAX {
            ending.end("busy", None, 0, 0);
            assert_eq!(ending.count("quiet"), 1);
        }
        ending.end("quiet", None, 0, 0);
        assert_eq!(ending.count("quiet"), 2, "it takes a place of the busy one");
        assert_eq!(ending.rooms().len(), PAST_MAX);
    }

    #[test]
    fn a_publisher_with_many_rooms_pushes_out_their_own_streams() {
        let ending = Ending::new(MIB);
        for (room, owner) in [("quiet", Some("anna")), ("nobodys", None), ("other", Some("anna"))] {
            ending.end(room, owner, 0, 0);
        }
        for number in 0..2 * PAST_MAX {
            ending.end(&format!("busy-{}", number / 2), Some("ben"), 0, 1);
        }
        let rooms = ending.rooms();
        assert_eq!(rooms[..3], ["quiet", "nobodys", "other"]);
        assert_eq!(rooms.len(), PAST_MAX);
        let twice = rooms.iter().filter(|room| ending.count(room) > 1).count();
        assert!(twice <= 2, "of his rooms that with two gives one up first, and the oldest before others: {rooms:?}");
    }

    #[test]
    fn streams_that_ended_give_way_to_one_that_goes_on_those_of_whoever_holds_the_most_first() {
        let ending = Ending::new(100 * MIB);
        for (second, (room, owner, bytes)) in
            (0..).zip([("b", Some("ben"), 35), ("a1", Some("anna"), 30), ("a2", Some("anna"), 20)])
        {
            ending.end(room, owner, bytes * MIB, second);
        }
        let take = |room: &str, bytes: u64| {
            ending.windows.take(&whose(room, Some("vera")), |budget| budget.take(Work::Window, bytes * MIB))
        };
        let small = take("live", 15).unwrap();
        assert_eq!(ending.rooms(), ["b", "a1", "a2"], "there was room");
        let large = take("live", 20).unwrap();
        assert_eq!(ending.rooms(), ["b", "a2"]);
        assert!(take("b", 20).is_err(), "it has the most, and gets nothing of what it left itself");
        assert_eq!(ending.rooms(), ["b", "a2"], "nor does another go for it");
        let larger = take("live", 65).unwrap();
        assert!(ending.rooms().is_empty());
        assert!(take("live", 1).is_err(), "nothing is left that could give way");
        drop((small, large, larger));
    }
}
