//! What goes wrong beside the bystander, and that it notices nothing: queues that are full, one who asks for everything, and panics.

use std::cell::Cell as Flag;
use std::time::Duration;

use onmic_media::name::Principal;
use onmic_room::Authority;

use super::super::order::Order;
use super::super::rate::Doing;
use super::super::*;
use super::{CLIENTS_EACH, Client, Open, World};

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

    /// Lets one principal ask for more of everything than one may have.
    pub(super) fn somebody_asks_for_everything(&mut self) {
        let (room, greedy) = (self.a_room(), "greedy".parse().unwrap());
        for _ in 0..=CLIENTS_EACH {
            let shows = self.a_token_for(&room, "viewer", Some(&greedy), 20);
            let entered = self.enter(&room, &shows, false);
            self.open.extend(entered);
        }
        let (who, now) = (Principal::Token("greedy".into()), self.clock.now());
        let taken = (0..1_000).filter(|_| self.rates.take(&who, Doing::Request, now).is_ok()).count();
        assert!(taken <= 500, "{taken} requests at once");
        for _ in 0..40 {
            let by = Actor::new(greedy.clone(), Authority::Viewer);
            let said = self.rooms.order(&room, &by, Order::Chat("me".to_owned()));
            if let Err(Denied::TooFast(_)) = self.runtime.block_on(said) {
                self.count("too fast");
            }
        }
    }

    pub(super) fn a_step_of_the_machine_panics(&mut self) {
        let (room, died) = (self.a_room(), Flag::new(false));
        let leave = Input::Leave { room: room.clone(), person: self.a_person() };
        let denied = self.rooms.decide(leave, |_, _| -> () {
            died.set(true);
            panic!("a fault of the machine, as the simulation wants it");
        });
        if died.get() {
            let Err(Denied::Refused(Refused::RoomUnknown(_))) = denied.map(|Step { answer: (), .. }| ()) else {
                panic!("the room is there after a panic");
            };
            self.stage.died.lock().push(room);
        }
    }

    /// The bystander says something every other second, and hears it.
    pub(super) fn the_bystander_goes_on(&mut self) {
        let now = self.clock.now();
        let Some((Open { permit, client: Some(client), .. }, next)) = &mut self.bystander else { return };
        let Client { connection, mailbox, messages, who, .. } = client;
        assert_eq!((permit.ended(), mailbox.closing()), (None, None), "the bystander is closed");
        assert_eq!(self.rates.take(who.as_ref().unwrap(), Doing::Request, now), Ok(()), "the bystander has to wait");
        if now < *next {
            return;
        }
        *next = now + Duration::from_secs(2);
        let said = self.runtime.block_on(connection.order(Order::Chat("all is well".to_owned())));
        assert_eq!(said.err(), None, "the bystander is denied");
        let mut heard = 0;
        while let Ok(message) = messages.try_recv() {
            heard += usize::from(String::from_utf8_lossy(&message).contains("all is well"));
        }
        // The first thing that it gets is the snapshot, which has no message yet.
        assert_eq!(heard, 1, "the bystander hears itself");
    }
}
