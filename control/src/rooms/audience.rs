//! How many watch and are there, told when it has changed, and not more often than a person reads it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use onmic_media::{Feed, Hub, RoomName, Source, ViewerKind};

use super::Rooms;
use super::event::RoomEvent;
use super::wire::Audience;

const EVERY: Duration = Duration::from_secs(2);

/// Until the node stops.
pub async fn run(rooms: &Rooms) {
    let mut ticks = tokio::time::interval(EVERY);
    while rooms.stop.run_until_cancelled(ticks.tick()).await.is_some() {
        rooms.tell_audience();
    }
}

/// Who watches a room: its program and each of its `sources`.
pub fn count(hub: &Hub, room: &RoomName, sources: &[Arc<Source>]) -> Audience {
    let program = hub.program(room);
    let feeds = || sources.iter().map(|source| source.feed()).chain(&program);
    let count = |kind| feeds().map(|feed: &Arc<Feed>| feed.viewers().count(kind)).sum();
    Audience {
        whep: count(ViewerKind::Whep),
        hls: count(ViewerKind::Hls),
        flv: count(ViewerKind::Flv),
        rtmp: count(ViewerKind::Rtmp),
    }
}

impl Rooms {
    fn tell_audience(&self) {
        let mut by_room: HashMap<RoomName, Vec<Arc<Source>>> = HashMap::new();
        for source in self.hub.sources() {
            by_room.entry(source.name().room.clone()).or_default().push(source);
        }
        for (room, cell) in self.cells() {
            let mut live = cell.live.lock();
            let Some(live) = &mut *live else { continue };
            let viewers = count(&self.hub, &room, by_room.get(&room).map_or(&[], Vec::as_slice));
            let persons = live.persons.len();
            if viewers == live.viewers && persons == live.persons_told {
                continue;
            }
            (live.viewers, live.persons_told) = (viewers, persons);
            self.tell_all(live, &room, Instant::now(), &RoomEvent::ViewersChanged { viewers, persons }, false);
        }
    }
}
