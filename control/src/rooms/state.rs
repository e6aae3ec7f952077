//! The state of a room as JSON. It is rendered once for all who come and ask, until something in it changes.
//!
//! In a crowd nobody is told who comes and goes, and the state has the number of people that everybody was told last. So a join
//! changes nothing in it, and costs the same however many are there. Where something else changes, the requests, which may be a
//! thousand, are taken as they were rendered before.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::value::RawValue;

use onmic_media::{DateOffset, WallTime};
use onmic_room::{Effect, Event, PersonId, RoomName, RoomView};

use super::live::Live;
use super::rendered::Rendered;
use super::wire::{Added, RoomState};
use super::{PERSONS_ANNOUNCED, Rooms, event};

impl Live {
    /// Returns whether there are more than [`PERSONS_ANNOUNCED`] people. Then nobody is told who comes and goes.
    pub fn is_crowd(&self) -> bool {
        self.persons.len() > PERSONS_ANNOUNCED
    }

    /// Returns whether the state is the same after this effect: in a crowd somebody comes or goes whom it does not name.
    pub fn is_same_after(&self, effect: &Effect) -> bool {
        matches!(effect, Effect::Event { event, .. } if self.is_same_after_event(event))
    }

    /// The same for an event.
    pub fn is_same_after_event(&self, event: &Event) -> bool {
        let (Event::PersonJoined { person } | Event::PersonLeft { person }) = event else { return false };
        let id = &person.person;
        let names = |rendered: &Rendered| rendered.named.contains(id) || self.requests.has(id);
        self.is_crowd() && self.rendered.as_ref().is_some_and(|rendered| !names(rendered))
    }
}

impl Rooms {
    /// Returns the state of a room as it was rendered, if nothing has changed since.
    pub(super) fn rendered_before(&self, live: &Live) -> Option<Arc<RawValue>> {
        let dates = self.hub.calendar().offset();
        live.rendered.as_ref().filter(|rendered| rendered.dates == dates).map(|rendered| rendered.state.clone())
    }

    /// Returns the state of a room, of which `view` is the machine's part.
    pub(super) fn rendered(&self, live: &mut Live, view: &RoomView) -> Arc<RawValue> {
        self.rendered_before(live).unwrap_or_else(|| {
            let dates = self.hub.calendar().offset();
            let state: Arc<RawValue> = event::render(&self.state(dates, live, view)).into();
            live.rendered = Some(Rendered { dates, state: state.clone(), named: named(view) });
            state
        })
    }

    fn state(&self, dates: DateOffset, live: &mut Live, view: &RoomView) -> RoomState {
        let wire = self.wire();
        let added = Added {
            requests: live.requests.of(dates, &view.requests, |request| wire.request(request)),
            program: live.told_program(&view.room),
            viewers: live.viewers,
            persons: if live.is_crowd() { live.persons_told } else { live.persons.len() },
            chat: live.chat(),
        };
        wire.room(view, |seat| live.is_speaking(seat), added)
    }

    /// Returns a room as it is now, as JSON ([`RoomState`]), and when it began.
    pub fn room(&self, room: &RoomName) -> Option<(Arc<RawValue>, WallTime)> {
        let cell = self.cell(room).ok()?;
        self.within(room, &mut cell.live.lock(), |live| {
            let live = live.as_mut()?;
            let state = match self.rendered_before(live) {
                Some(state) => state,
                None => {
                    let view = self.desk.lock().machine.outline(room)?;
                    self.rendered(live, &view)
                }
            };
            Some((state, live.opened))
        })
        .ok()?
    }
}

/// Returns the people whose names are in the state of a room, besides those who have a request.
fn named(view: &RoomView) -> HashSet<PersonId> {
    let seated = view.seats.iter().filter_map(|seat| seat.person.as_ref());
    let invited = view.invitations.iter().map(|invitation| &invitation.person);
    seated.chain(invited).chain(&view.host.person).cloned().collect()
}
