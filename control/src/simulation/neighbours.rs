//! What goes wrong beside the bystander, and that it notices nothing: queues that are full, one who asks for everything, and panics.

use std::time::Duration;

use onmic_media::name::Principal;
use onmic_room::{Actor, Input, PersonId, RoomName};
use serde_json::json;

use super::call::Answer;
use super::token::Shows;
use super::wish::{Asker, Wish};
use super::{CLIENTS, CLIENTS_EACH, LIMITS, PART, World};
use crate::rooms::order::Order;
use crate::rooms::rate::Doing;

impl World {
    /// Lets far more be said in a room than the mailbox of a client holds.
    pub(super) fn a_room_is_lively(&mut self) {
        let room = self.a_room();
        for _ in 0..3 {
            for _ in 0..100 {
                let chat = Order::Chat("hello".to_owned());
                if self.runtime.block_on(self.rooms.order(&room, &Actor::admin(), chat)).is_err() {
                    return;
                }
            }
            self.read();
        }
        self.count("lively");
    }

    /// Lets one principal ask for more of everything than one may have. Then it waits, over REST and WebSocket, and another person
    /// of the room does not.
    pub(super) fn somebody_asks_for_everything(&mut self) {
        let (room, greedy) = (self.a_room(), "greedy".parse().unwrap());
        for _ in 0..=CLIENTS_EACH {
            let shows = self.a_token_for(&room, "viewer", Some(&greedy), 20);
            let entered = self.enter(&room, &shows, false);
            self.open.extend(entered);
        }
        let who = Principal::Token("greedy".into());
        let taken = (0..1_000).filter(|_| self.api.keep_rate(Some(&who), Doing::Request).is_ok()).count();
        assert!(taken <= 500, "{taken} requests at once");
        let asker = |person: &PersonId| Asker { role: "viewer", person: Some(person.clone()) };
        let mut asks = |person: &PersonId| {
            let shows = self.a_token_for(&room, "viewer", Some(person), 20);
            let is_banned = self.is_banned(&room, Some(person), None);
            let answer = self.call(&room, &shows, &asker(person), &Wish::picture(&room));
            (answer.status, is_banned)
        };
        let (status, is_banned) = asks(&greedy);
        assert_eq!(status, if is_banned { 403 } else { 429 }, "it is too fast");
        let (status, is_banned) = asks(&"vera".parse().unwrap());
        assert_eq!(status, if is_banned { 403 } else { 404 }, "there is no picture");
        let shows = self.a_token_for(&room, "viewer", Some(&greedy), 20);
        assert!(self.enter(&room, &shows, false).is_none(), "it is too fast");
        self.count("too fast");
    }

    /// Lets many principals open rooms and fill one, each for more than its part. They leave at once, and what they have taken stays
    /// for a while.
    pub(super) fn principals_want_all_there_is(&mut self) {
        let full = self.a_room();
        for number in 0..LIMITS.persons {
            let person: PersonId = format!("greedy-{number}").parse().unwrap();
            let opened = (0..=PART).map(|own| format!("open-{number}-{own}").parse().unwrap());
            let opened: Vec<RoomName> = opened.take(if number < LIMITS.rooms / PART { PART + 1 } else { 0 }).collect();
            for room in opened.iter().chain([&full]) {
                let shows = self.a_token_for(room, "viewer", Some(&person), 20);
                if let Some(open) = self.enter(room, &shows, true) {
                    self.close(open);
                }
            }
        }
    }

    /// Asserts that it is only viewers whom a limit keeps out.
    pub(super) fn hosts_find_a_place(&mut self, shows: &Shows, answer: &Answer) {
        let detail = answer.body["detail"].as_str().unwrap_or_default();
        let what = match (answer.code(), answer.status) {
            ("too-many", 429) if detail.starts_with("Leave some to others") => "no part left",
            ("rooms-full", _) => "no room left",
            ("persons-full", _) => "no place left",
            ("too-many", 503) if !detail.contains(&format!("has {CLIENTS} ")) => "no connection left",
            _ => return,
        };
        assert_eq!(shows.role, "viewer", "a host finds no place: {answer:?}");
        self.count(what);
    }

    pub(super) fn a_step_of_the_machine_panics(&mut self) {
        let room = self.a_room();
        let leave = Input::Leave { room: room.clone(), person: self.a_person() };
        if self.rooms.panic_in_step(leave) {
            self.stage.died.lock().push(room);
        }
    }

    /// The bystander says something every other second, over its WebSocket and by REST, and hears both.
    pub(super) fn the_bystander_goes_on(&mut self) {
        let now = self.clock.now();
        let Some((mut open, next)) = self.bystander.take() else { return };
        let socket = open.socket.as_mut().unwrap();
        let permit = &socket.client.permit;
        assert_eq!((permit.ended(), socket.closing()), (None, None), "the bystander is closed");
        if now < next {
            self.bystander = Some((open, next));
            return;
        }
        let chat = json!({"type": "command", "id": "own", "command": {"kind": "chat", "text": "all is well"}});
        let (_, said) = self.runtime.block_on(socket.client.speaker.handle_text(chat.to_string().into()));
        assert!(said.is_ok(), "the bystander is denied: {:?}", said.err());
        let (room, asker) = (open.room.clone(), Asker { role: "host", person: open.person.clone() });
        for (wish, status) in [(Wish::chat(&room, "all is well"), 200), (Wish::people(&room), 200)] {
            let answer = self.call(&room, &open.shows, &asker, &wish);
            assert_eq!(answer.status, status, "the bystander is denied: {answer:?}");
        }
        let heard = socket.messages().filter(|message| String::from_utf8_lossy(message).contains("all is well"));
        // The first thing that it gets is the snapshot, which has no message yet.
        assert_eq!(heard.count(), 2, "the bystander hears itself");
        self.bystander = Some((open, now + Duration::from_secs(2)));
    }
}
