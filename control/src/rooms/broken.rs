//! What a panic in the work for a room costs: that room. It ends, its clients are told so, and the others go on.
//!
//! The locks of rooms are not poisoned by a panic, so what a step has left half done has to go: the machine ends the room as it
//! does by a command, or drops it where that panics too. So whatever changes the live state of a room does it by
//! [`Rooms::within`], and each step of the machine is guarded.

use std::time::Instant;

use metrics::gauge;
use onmic_media::life::guarded;
use onmic_media::metric;
use onmic_room::{Actor, Input, Refused, RoomName};

use super::live::Live;
use super::mailbox::Closing;
use super::refusal::Denied;
use super::{Desk, ROOM_THREAD, Rooms, Touched};

impl Rooms {
    /// Works on the live state of a room, whose lock is held. A room in which that panics ends.
    pub(super) fn within<T>(
        &self,
        room: &RoomName,
        live: &mut Option<Live>,
        work: impl FnOnce(&mut Option<Live>) -> T,
    ) -> Result<T, Refused> {
        let outcome = guarded(ROOM_THREAD, || work(live));
        outcome.ok_or_else(|| {
            self.end_broken(room, live);
            Refused::RoomUnknown(room.clone())
        })
    }

    /// Ends a room whose live state may be half changed. Its lock is held.
    fn end_broken(&self, room: &RoomName, live: &mut Option<Live>) {
        tracing::error!(%room, "a room failed and ends");
        let end = Input::End { room: room.clone(), by: Actor::admin() };
        if let Ok(step) = self.decide(end, |_, _| ()) {
            return self.leave(step.touched);
        }
        // The machine has no such room any more, so this was its end that failed.
        if let Some(live) = live.take() {
            self.ringer.end(&live.channel, Closing::Ended);
            gauge!(metric::ROOMS).decrement(1.0);
        }
    }

    /// Takes a room out of the machine in which a step has panicked. Returns what its caller is told.
    pub(super) fn evict(&self, desk: &mut Desk, now: Instant, room: RoomName) -> Denied {
        tracing::error!(%room, "a room failed and ends");
        let (machine, end) = (&mut desk.machine, Input::End { room: room.clone(), by: Actor::admin() });
        let ended = guarded(ROOM_THREAD, || machine.apply(now, end).ok()).flatten();
        let effects = ended.unwrap_or_else(|| desk.machine.evict(&room));
        let touched = desk.file(now, effects);
        self.leave(touched);
        Refused::RoomUnknown(room).into()
    }

    /// Leaves rooms to the task of deadlines, because the lock of a room is held here.
    fn leave(&self, touched: Touched) {
        self.left.lock().extend(touched);
        self.due.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use onmic_media::hub::HubLimits;
    use onmic_media::{Hub, NodeClock};
    use onmic_room::{Authority, Limits, Mix, ParticipantName};
    use tokio_util::sync::CancellationToken;

    use super::super::look::{Layout, Look};
    use super::super::order::Order;
    use super::super::program::Stage;
    use super::super::tests::{config_of, enter, name};
    use super::*;
    use crate::ticket::Tickets;

    /// A stage that panics over the room "red".
    struct Faulty;

    impl Stage for Faulty {
        fn direct(&self, room: &RoomName, _: &Mix, _: &Look) {
            assert_ne!(room.as_str(), "red", "a fault of the stage");
        }

        fn ended(&self, _: &RoomName) {}
    }

    fn rooms() -> Arc<Rooms> {
        let config = config_of(Limits::default());
        let clock = NodeClock::new(Instant::now(), std::time::SystemTime::now());
        let hub = Hub::new(clock, HubLimits::default(), None);
        Rooms::new(config, hub, Tickets::new(""), Arc::new(Faulty), None, CancellationToken::new()).unwrap()
    }

    fn up(room: &str) -> Input {
        let participant = ParticipantName::host();
        Input::SourceUp { room: name(room), participant, person: None, video: true, audio: true }
    }

    /// Does what the task of deadlines does with rooms that are left to it.
    fn settle_left(rooms: &Rooms) {
        let left = std::mem::take(&mut *rooms.left.lock());
        rooms.settle_all(left);
    }

    fn names(rooms: &Rooms) -> Vec<String> {
        rooms.names().into_iter().map(|(room, _)| room.to_string()).collect()
    }

    #[tokio::test]
    async fn a_panic_under_the_lock_of_a_room_ends_that_room_and_its_clients_are_told() {
        let rooms = rooms();
        let (_red, mut told) = enter(&rooms, "red", "mia", Authority::Host);
        let (blue, _others) = enter(&rooms, "blue", "lin", Authority::Host);
        rooms.apply(up("red")).unwrap();
        settle_left(&rooms);
        rooms.apply(up("blue")).unwrap();
        assert_eq!(names(&rooms), ["blue"]);
        let mut last = String::new();
        while let Some(message) = told.try_recv() {
            last = String::from_utf8(message.to_vec()).unwrap();
        }
        assert!(last.contains("room-ended"), "{last}");
        blue.order(Order::Chat("hello".to_owned())).await.unwrap();
        let (_again, _messages) = enter(&rooms, "red", "mia", Authority::Host);
        assert_eq!(names(&rooms), ["blue", "red"], "the name is free again");
    }

    #[tokio::test]
    async fn a_panic_in_what_somebody_asks_of_a_room_ends_it_and_is_answered() {
        let rooms = rooms();
        let (red, mut told) = enter(&rooms, "red", "mia", Authority::Host);
        let (blue, _others) = enter(&rooms, "blue", "lin", Authority::Host);
        let layout = || Order::Layout(Layout::SideBySide {});
        let denied = red.order(layout()).await.err();
        assert_eq!(denied, Some(Refused::RoomUnknown(name("red")).into()));
        settle_left(&rooms);
        assert_eq!(names(&rooms), ["blue"]);
        let mut last = String::new();
        while let Some(message) = told.try_recv() {
            last = String::from_utf8(message.to_vec()).unwrap();
        }
        assert!(last.contains("room-ended"), "{last}");
        blue.order(layout()).await.unwrap();
    }

    #[test]
    fn a_panic_in_a_step_of_the_machine_ends_the_room_that_the_step_was_for() {
        let rooms = rooms();
        let (_green, _messages) = enter(&rooms, "green", "mia", Authority::Host);
        let (_blue, _others) = enter(&rooms, "blue", "lin", Authority::Host);
        let leave = Input::Leave { room: name("green"), person: "mia".parse().unwrap() };
        let denied = rooms.decide(leave, |_, _| -> () { panic!("a fault of the machine") }).err();
        assert_eq!(denied, Some(Refused::RoomUnknown(name("green")).into()));
        settle_left(&rooms);
        assert_eq!(names(&rooms), ["blue"]);
    }
}
