//! The state of a room as JSON. It is rendered once for all who come and ask, until something in it changes.
//!
//! In a crowd nobody is told who comes and goes, and the state has the number of people that everybody was told last. So a join
//! changes nothing in it, and costs the same however many are there. Where something else changes, the requests, which may be a
//! thousand, are taken as they were rendered before.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use onmic_media::{DateOffset, WallTime};
use onmic_room::{Effect, Event, PersonId, RequestView, RoomName, RoomView};

use super::live::Live;
use super::wire::{Added, Request, RoomState};
use super::{PERSONS_ANNOUNCED, Rooms, event};

/// The state of a room as JSON ([`RoomState`]).
pub struct Rendered {
    /// The offset of the dates in it.
    dates: DateOffset,
    state: Arc<RawValue>,
    /// The people whose names it has, besides those who have a request.
    named: HashSet<PersonId>,
}

/// A request as JSON ([`Request`]).
#[derive(Clone, Debug)]
pub struct RenderedRequest(Arc<RawValue>);

impl Serialize for RenderedRequest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// The requests of a room as they were rendered last, each with what it was made of.
#[derive(Default)]
pub struct RenderedRequests {
    dates: Option<DateOffset>,
    own: HashMap<PersonId, Own>,
    /// Counts how often the requests were rendered.
    turn: u64,
}

/// The request of one person.
struct Own {
    view: RequestView,
    json: RenderedRequest,
    /// The last turn in which it was there.
    turn: u64,
}

impl RenderedRequests {
    /// Returns the requests, of which it renders those that have changed.
    fn of(
        &mut self,
        dates: DateOffset,
        views: &[RequestView],
        render: impl Fn(&RequestView) -> Request,
    ) -> Vec<RenderedRequest> {
        if self.dates != Some(dates) {
            self.own.clear();
        }
        self.dates = Some(dates);
        self.turn += 1;
        let turn = self.turn;
        let mut requests = Vec::with_capacity(views.len());
        for view in views {
            let json = match self.own.get_mut(&view.person).filter(|own| own.view == *view) {
                Some(own) => {
                    own.turn = turn;
                    own.json.clone()
                }
                None => {
                    let json = RenderedRequest(event::render(&render(view)).into());
                    let own = Own { view: view.clone(), json: json.clone(), turn };
                    self.own.insert(view.person.clone(), own);
                    json
                }
            };
            requests.push(json);
        }
        if self.own.len() > requests.len() {
            self.own.retain(|_, own| own.turn == turn);
        }
        requests
    }
}

impl Live {
    /// Returns whether there are so many people that nobody is told who comes and goes.
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
        let names = |rendered: &Rendered| rendered.named.contains(id) || self.requests.own.contains_key(id);
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::{Duration, Instant};

    use super::super::wire::RequestState;
    use super::*;

    #[test]
    fn a_request_is_rendered_again_only_if_it_has_changed() {
        let (now, turns) = (Instant::now(), Cell::new(0));
        let view = |person: &str, name: &str| RequestView {
            person: person.parse().unwrap(),
            name: name.to_owned(),
            seat: None,
            since: now,
            expires: now + Duration::from_secs(60),
            failed: None,
        };
        let (first, second) = (DateOffset::default(), DateOffset::from_micros(1));
        let mut requests = RenderedRequests::default();
        let mut render = |dates, views: &[RequestView]| {
            turns.set(0);
            let rendered = requests.of(dates, views, |view| {
                turns.set(turns.get() + 1);
                Request {
                    person: view.person.to_string(),
                    name: view.name.clone(),
                    seat: None,
                    since: String::new(),
                    expires: String::new(),
                    state: RequestState::Requested,
                    failed: None,
                }
            });
            let names = rendered.iter().map(|request| {
                let request: serde_json::Value = serde_json::from_str(request.0.get()).unwrap();
                request["name"].as_str().unwrap().to_owned()
            });
            (names.collect::<Vec<_>>().join(" "), turns.get(), requests.own.len())
        };
        let [anna, ben, carl] = ["anna", "ben", "carl"].map(|person| view(person, person));
        assert_eq!(render(first, &[anna.clone(), ben.clone()]), ("anna ben".into(), 2, 2));
        assert_eq!(render(first, &[ben.clone(), anna, carl.clone()]), ("ben anna carl".into(), 1, 3));
        assert_eq!(render(first, &[view("ben", "Ben"), carl.clone()]), ("Ben carl".into(), 1, 2));
        assert_eq!(render(second, &[carl]), ("carl".into(), 1, 1), "the dates in it are others");
    }
}
