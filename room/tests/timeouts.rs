//! Time passes for many rooms at once.

use std::time::Instant;

use onmic_room::{Input, Limits, Rooms, Settings};

#[test]
fn rooms_that_are_due_at_once_end_their_waiting_one_after_the_other() {
    let now = Instant::now();
    let mut rooms = Rooms::new(Limits::default(), Settings::default()).unwrap();
    for room in ["red", "blue", "green"] {
        let (room, settings) = (room.parse().unwrap(), Settings::default());
        rooms.apply(now, Input::Open { room, settings, kept: false }).unwrap();
    }
    let (due, mut ended) = (rooms.next_timeout().unwrap(), Vec::new());
    while let Some(next) = rooms.next_due().cloned() {
        let effects = rooms.handle_timeout(due);
        assert!(!effects.is_empty() && effects.iter().all(|effect| *effect.room() == next), "{effects:?}");
        ended.push(next.to_string());
    }
    assert_eq!(ended, ["blue", "green", "red"]);
    assert!(rooms.handle_timeout(due).is_empty());
}
