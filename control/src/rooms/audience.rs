//! Tells each room how many viewers watch it and how many people are in it, when that has changed.

use std::time::Duration;

use onmic_media::{Hub, RoomName, ViewerKind};
use tokio::task::yield_now;

use super::event::RoomEvent;
use super::wire::Audience;
use super::{Cell, Rooms};

/// How often the numbers are compared. A person does not read them more often.
const EVERY: Duration = Duration::from_secs(2);

/// Counts until the node stops.
pub async fn run(rooms: &Rooms) {
    let mut ticks = tokio::time::interval(EVERY);
    while rooms.stop.run_until_cancelled(ticks.tick()).await.is_some() {
        rooms.tell_audience().await;
    }
}

/// Counts the viewers of a room: of its program and of each of its sources.
pub fn count(hub: &Hub, room: &RoomName) -> Audience {
    let feeds = hub.feeds_of(room);
    let count = |kind| feeds.iter().map(|feed| feed.viewers().count(kind)).sum();
    Audience {
        whep: count(ViewerKind::Whep),
        hls: count(ViewerKind::Hls),
        flv: count(ViewerKind::Flv),
        rtmp: count(ViewerKind::Rtmp),
    }
}

impl Rooms {
    async fn tell_audience(&self) {
        let mut last = None;
        loop {
            let cells = self.cells_after(last.as_ref());
            let Some((room, _)) = cells.last() else { return };
            last = Some(room.clone());
            cells.iter().for_each(|(room, cell)| self.tell_audience_of(room, cell));
            yield_now().await; // There may be thousands of rooms.
        }
    }

    fn tell_audience_of(&self, room: &RoomName, cell: &Cell) {
        let viewers = count(&self.hub, room);
        // Nobody waits for an answer.
        let _ = self.within(room, &mut cell.live.lock(), |live| {
            let Some(live) = live else { return };
            let persons = live.persons.len();
            if viewers == live.viewers && persons == live.persons_told {
                return;
            }
            (live.viewers, live.persons_told) = (viewers, persons);
            self.tell_all(live, room, self.now(), &RoomEvent::ViewersChanged { viewers, persons }, false);
        });
    }
}
