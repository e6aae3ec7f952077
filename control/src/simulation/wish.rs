//! What somebody may want of a room, as a request of REST and as a command over the WebSocket, and the right that it needs: a small
//! model of who may what, which knows nothing of how the rooms decide.

use std::time::Duration;

use onmic_room::{PersonId, RoomName};
use serde_json::{Value, json};

use super::World;

/// The right that something needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Right {
    /// A token that is good in the room.
    Token,
    /// A token that names a person, or is a backend's.
    Actor,
    /// That of this person, or to direct the room.
    Of(PersonId),
    /// To direct the room: the host's, a backend's or an admin's.
    Direct,
    /// To make this person the host. That of anybody who acts, where the person is the host when it is done: it changes nothing.
    HandOver(PersonId),
    /// An admin's.
    Admin,
}

/// What follows where it is done.
#[derive(Clone, Debug, Default)]
pub(super) enum Follows {
    #[default]
    Nothing,
    SentOut(PersonId),
    Banned(PersonId, Duration),
    Lifted(PersonId),
}

/// Somebody who wants something, as their token says.
#[derive(Clone, Debug)]
pub(super) struct Asker {
    pub role: &'static str,
    pub person: Option<PersonId>,
}

/// Something that somebody wants.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub method: &'static str,
    /// The address in the OpenAPI document.
    pub route: &'static str,
    pub path: String,
    pub body: Option<Value>,
    pub command: Option<Value>,
    pub right: Right,
    pub follows: Follows,
}

const ROOMS: &str = "/api/v1/rooms";

macro_rules! of_room {
    ($route:literal) => {
        concat!("/api/v1/rooms/{room}", $route)
    };
}

impl Wish {
    /// `route` is that below a room, with the names of its parts; `part` is what stands for its last name.
    fn new(room: &RoomName, method: &'static str, route: &'static str, part: &str, right: Right) -> Self {
        let path = route.replace("{room}", room.as_str());
        let named = ["{person}", "{seat}", "{participant}", "{id}"];
        let path = named.iter().fold(path, |path, name| path.replace(name, part));
        Self { method, route, path, body: None, command: None, right, follows: Follows::Nothing }
    }

    /// Asks for a picture, which nobody has sent.
    pub fn picture(room: &RoomName) -> Self {
        Self::new(room, "get", of_room!("/overlays/{id}/image"), "logo", Right::Actor)
    }

    /// Asks for the people of a room.
    pub fn people(room: &RoomName) -> Self {
        Self::new(room, "get", of_room!("/persons"), "", Right::Direct)
    }

    /// Says something in a room.
    pub fn chat(room: &RoomName, text: &str) -> Self {
        let wish = Self::new(room, "post", of_room!("/chat"), "", Right::Actor);
        wish.body(json!({"text": text})).command(json!({"kind": "chat", "text": text}))
    }

    fn body(self, body: Value) -> Self {
        Self { body: Some(body), ..self }
    }

    fn command(self, command: Value) -> Self {
        Self { command: Some(command), ..self }
    }

    fn follows(self, follows: Follows) -> Self {
        Self { follows, ..self }
    }
}

impl World {
    /// Returns something that somebody may want. It is about the one who wants it, or about somebody else.
    pub(super) fn a_wish(&mut self, room: &RoomName, asker: &Asker) -> Wish {
        let own = asker.person.clone().filter(|_| self.random.percent(60));
        let other = self.somebody(room);
        let person = own.unwrap_or_else(|| other.clone());
        let id = person.as_str().to_owned();
        let of = || Right::Of(person.clone());
        let wish = |method, route, part: &str, right| Wish::new(room, method, route, part, right);
        let seconds = self.random.below(30);
        match self.random.below(48) {
            0..=9 => wish("post", of_room!("/requests"), "", of())
                .body(json!({"person": id}))
                .command(json!({"kind": "request-mic", "person": id})),
            10 => wish("delete", of_room!("/requests/{person}"), &id, of())
                .command(json!({"kind": "withdraw", "person": id})),
            11..=18 => wish("post", of_room!("/requests/{person}/grant"), other.as_str(), Right::Direct)
                .body(json!({}))
                .command(json!({"kind": "grant", "person": other.as_str()})),
            19 => wish("post", of_room!("/requests/{person}/refuse"), other.as_str(), Right::Direct)
                .command(json!({"kind": "refuse", "person": other.as_str()})),
            20 => wish("post", of_room!("/invitations"), "", Right::Direct)
                .body(json!({"person": other.as_str()}))
                .command(json!({"kind": "invite", "person": other.as_str()})),
            21 | 22 => wish("post", of_room!("/invitations/{person}/accept"), &id, of())
                .command(json!({"kind": "accept", "person": id})),
            23 => wish("post", of_room!("/invitations/{person}/decline"), &id, of())
                .command(json!({"kind": "decline", "person": id})),
            24..=26 => self.a_wish_for_a_seat(room),
            27 | 28 => wish("delete", of_room!("/persons/{person}"), other.as_str(), Right::Direct)
                .command(json!({"kind": "kick", "person": other.as_str()}))
                .follows(Follows::SentOut(other)),
            29 | 30 => wish("post", of_room!("/bans"), "", Right::Direct)
                .body(json!({"person": other.as_str(), "seconds": seconds, "reason": "spam"}))
                .command(json!({"kind": "ban", "person": other.as_str(), "seconds": seconds, "reason": "spam"}))
                .follows(Follows::Banned(other, Duration::from_secs(seconds))),
            31 => {
                let banned = self.somebody_banned(room).unwrap_or(other);
                wish("delete", of_room!("/bans/{person}"), banned.as_str(), Right::Direct)
                    .command(json!({"kind": "lift-ban", "person": banned.as_str()}))
                    .follows(Follows::Lifted(banned))
            }
            32 | 33 => self.a_wish_for_the_host(room, &other),
            34 => {
                let sides = if seconds < 15 { "solo" } else { "side-by-side" };
                wish("put", of_room!("/layout"), "", Right::Direct)
                    .body(json!({"kind": sides}))
                    .command(json!({"kind": "set-layout", "layout": {"kind": sides}}))
            }
            35 => wish("put", of_room!("/overlays"), "", Right::Direct)
                .body(json!({"overlays": []}))
                .command(json!({"kind": "set-overlays", "overlays": []})),
            36 => wish("patch", of_room!("/look"), "", Right::Direct)
                .body(json!({"labels": seconds < 15}))
                .command(json!({"kind": "set-look", "labels": seconds < 15})),
            37 => wish("patch", of_room!("/sources/{participant}"), &id, Right::Direct)
                .body(json!({"denoise": seconds < 15}))
                .command(json!({"kind": "set-source", "participant": id, "denoise": seconds < 15})),
            38 | 39 => Wish::chat(room, "hello"),
            40 => self.a_wish_for_a_pk(room),
            41 => wish("get", of_room!(""), "", Right::Token),
            42 => Wish::people(room),
            43 => wish("get", of_room!("/bans"), "", Right::Direct),
            44 => Wish::picture(room),
            45 => wish("patch", of_room!(""), "", Right::Direct).body(match seconds {
                0..10 => json!({"title": format!("title {seconds}")}),
                10..20 => json!({"seats": 1 + seconds % 2}),
                _ => json!({"locked": seconds == 20}),
            }),
            46 if seconds < 10 => wish("delete", of_room!(""), "", Right::Direct),
            46 => wish("post", ROOMS, "", Right::Admin)
                .body(json!({"room": room.as_str(), "seats": 1 + seconds % 2, "open_seats": false})),
            _ => wish("get", ROOMS, "", Right::Token),
        }
    }

    fn a_wish_for_a_seat(&mut self, room: &RoomName) -> Wish {
        let seat = self.random.below(4);
        let on = self.rooms.outline(room).and_then(|view| {
            let of = view.seats.into_iter().find(|view| u64::from(view.seat.get()) == seat);
            of.and_then(|view| view.person)
        });
        // Where nobody is on the seat there is nothing to do, and it is done for everybody.
        let theirs = on.map_or(Right::Actor, Right::Of);
        let part = seat.to_string();
        let wish = |method, route, right| Wish::new(room, method, route, &part, right);
        match self.random.below(6) {
            0 => wish("delete", of_room!("/seats/{seat}/participant"), theirs),
            1 => wish("post", of_room!("/seats/{seat}/failed"), theirs).body(json!({"reason": "no route"})),
            2 => wish("post", of_room!("/seats/{seat}/ticket"), theirs),
            3 => wish("patch", of_room!("/seats/{seat}"), theirs).body(json!({"audio": "muted"})),
            4 => wish("patch", of_room!("/seats/{seat}"), Right::Direct).body(json!({"move_to": 1 + seat % 2})),
            _ => {
                wish("patch", of_room!("/seats/{seat}"), Right::Direct).body(json!({"locked": self.random.percent(30)}))
            }
        }
    }

    fn a_wish_for_the_host(&mut self, room: &RoomName, other: &PersonId) -> Wish {
        let host = self.rooms.outline(room).and_then(|view| view.host.person);
        if self.random.percent(50) {
            return Wish::new(room, "put", of_room!("/host"), "", Right::HandOver(other.clone()))
                .body(json!({"person": other.as_str()}))
                .command(json!({"kind": "hand-over", "person": other.as_str()}));
        }
        let right = host.map_or(Right::Actor, Right::Of);
        Wish::new(room, "patch", of_room!("/host"), "", right).body(json!({"video": "unmuted"}))
    }

    fn a_wish_for_a_pk(&mut self, room: &RoomName) -> Wish {
        let wish = |method, route, kind: &str| {
            Wish::new(room, method, route, "", Right::Direct).command(json!({"kind": kind}))
        };
        let other = self.a_room();
        match self.random.below(5) {
            0 => wish("post", of_room!("/pk/accept"), "accept-pk"),
            1 => wish("post", of_room!("/pk/refuse"), "refuse-pk"),
            2 => wish("delete", of_room!("/pk"), "end-pk"),
            _ => wish("put", of_room!("/pk"), "propose-pk")
                .body(json!({"room": other.as_str()}))
                .command(json!({"kind": "propose-pk", "room": other.as_str()})),
        }
    }

    /// Returns somebody who wants something, and is not always allowed it.
    pub(super) fn an_asker(&mut self) -> Asker {
        let person = self.random.percent(85).then(|| self.a_person());
        let role = match (&person, self.random.below(10)) {
            (_, 0..=3) => "admin",
            (None, 4..=6) => "host",
            (Some(person), _) if person.as_str() == "mia" => "host",
            (Some(_), 9) => "co-host",
            _ => "viewer",
        };
        Asker { role, person }
    }

    /// Returns whether somebody with a good token may do something in a room, as it is now.
    pub(super) fn may(&self, room: &RoomName, asker: &Asker, right: &Right) -> bool {
        let host = self.rooms.outline(room).and_then(|view| view.host.person);
        let directs = match (asker.role, &asker.person) {
            ("admin", _) | ("host", None) => true,
            ("host", Some(_)) if host.is_none() => true,
            (_, Some(person)) => host.as_ref() == Some(person),
            (_, None) => false,
        };
        let acts = asker.person.is_some() || asker.role != "viewer";
        match right {
            Right::Token => true,
            Right::Actor => acts,
            Right::Of(person) => directs || asker.person.as_ref() == Some(person),
            Right::Direct => directs,
            Right::HandOver(person) => directs || acts && host.as_ref() == Some(person),
            Right::Admin => asker.role == "admin",
        }
    }
}
