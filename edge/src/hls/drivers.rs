//! The tasks that package the streams of a node, and what follows when one of them ends, by itself or by a panic.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use onmic_media::life::{AGAIN, Begins, Deaths, count_death};
use onmic_media::{RoomName, Start};
use tokio::task::{self, JoinError, JoinSet};
use tokio::time::timeout;

use super::stream::Stream;

/// How a task has ended.
type Outcome = Result<(task::Id, ()), JoinError>;

/// The tasks that package: one for each stream.
#[derive(Default)]
pub struct Drivers {
    tasks: JoinSet<()>,
    streams: HashMap<task::Id, (RoomName, Arc<Stream>)>,
    /// When the packager of a room has died.
    died: HashMap<RoomName, Deaths>,
}

impl Drivers {
    /// Starts the task of a stream.
    pub fn spawn(&mut self, room: RoomName, stream: Arc<Stream>, driver: impl Future<Output = ()> + Send + 'static) {
        let id = self.tasks.spawn(driver).id();
        self.streams.insert(id, (room, stream));
    }

    /// Returns where a stream of a room begins at `now`: behind the frame over which the packager before has died, if one has.
    pub fn start(&self, room: &RoomName, now: Instant) -> Start {
        match self.died.get(room).map_or(Begins::AtOnce, |deaths| deaths.begins(now)) {
            Begins::AtOnce => Start::Group,
            Begins::BehindTheFault | Begins::Later(_) => Start::BehindTheFault,
        }
    }

    /// Waits for a task that ends. `None` without tasks.
    pub async fn next(&mut self) -> Option<Outcome> {
        self.tasks.join_next_with_id().await
    }

    /// Takes the outcome of a task. Returns the stream that is over, after which the program may begin another one. A packager
    /// that has panicked twice within a minute would do so again, so its stream lasts until that minute is over, or its program.
    pub fn ended(&mut self, outcome: Outcome) -> Option<(RoomName, Arc<Stream>)> {
        let id = outcome.as_ref().map_or_else(JoinError::id, |(id, ())| *id);
        let (room, stream) = self.streams.remove(&id)?;
        if outcome.is_ok() {
            self.died.remove(&room);
            return Some((room, stream));
        }
        count_death("packager");
        tracing::error!(%room, stream = stream.id, "the packager of a room failed");
        if self.died.entry(room.clone()).or_default().may_begin_again(Instant::now()) {
            return Some((room, stream));
        }
        stream.die();
        let over = stream.clone();
        self.spawn(room, stream, async move { _ = timeout(AGAIN, over.feed_end()).await });
        None
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use onmic_media::{Calendar, Feed, NodeClock};
    use onmic_packager::Settings;
    use std::time::Duration;
    use tokio_util::sync::CancellationToken;

    use super::super::windows::Whose;
    use super::*;

    fn stream(feed: &Arc<Feed>) -> Arc<Stream> {
        let calendar = Arc::new(Calendar::new(NodeClock::new(Instant::now(), SystemTime::now())));
        let settings = Settings::new(Duration::from_millis(333), Duration::from_secs(2), Duration::from_secs(36));
        let whose = Whose { room: "demo".parse().unwrap(), owner: None };
        Arc::new(Stream::new(whose, feed.clone(), settings, calendar, CancellationToken::new(), Instant::now()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_packager_that_has_panicked_twice_begins_again_when_the_minute_is_over() {
        let (feed, room) = (Feed::new(None), "demo".parse::<RoomName>().unwrap());
        let mut drivers = Drivers::default();
        for is_over in [true, false] {
            drivers.spawn(room.clone(), stream(&feed), async { panic!("a fault of the packager") });
            let outcome = drivers.next().await.unwrap();
            assert_eq!(drivers.ended(outcome).is_some(), is_over);
        }
        let rests_since = tokio::time::Instant::now();
        let outcome = drivers.next().await.unwrap();
        assert_eq!(rests_since.elapsed().as_secs(), AGAIN.as_secs());
        assert!(drivers.ended(outcome).is_some(), "the program goes on, and may begin another stream");
    }

    #[tokio::test]
    async fn a_packager_that_panics_is_replaced_once_and_then_waits_for_the_next_program() {
        let (feed, room) = (Feed::new(None), "demo".parse::<RoomName>().unwrap());
        let mut drivers = Drivers::default();
        let start = |drivers: &Drivers| drivers.start(&room, Instant::now());
        assert_eq!(start(&drivers), Start::Group);
        let fault = async || -> () { panic!("a fault of the packager") };
        drivers.spawn(room.clone(), stream(&feed), fault());
        let outcome = drivers.next().await.unwrap();
        assert!(drivers.ended(outcome).is_some(), "the program may begin another stream");
        assert_eq!(start(&drivers), Start::BehindTheFault);
        drivers.spawn(room.clone(), stream(&feed), fault());
        let outcome = drivers.next().await.unwrap();
        assert!(drivers.ended(outcome).is_none());
        feed.end();
        let outcome = drivers.next().await.unwrap();
        assert_eq!(drivers.ended(outcome).unwrap().0, room);
        assert_eq!(start(&drivers), Start::Group, "the next program has other frames");
        assert!(drivers.next().await.is_none());
    }
}
