//! What was rendered of a room and is used again: its state, and each of its requests.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::value::RawValue;

use onmic_media::DateOffset;
use onmic_room::{PersonId, RequestView};

use super::event;
use super::wire::{RenderedRequest, Request};

/// The state of a room as JSON ([`RoomState`](super::wire::RoomState)).
pub struct Rendered {
    /// The offset of the dates in it.
    pub dates: DateOffset,
    pub state: Arc<RawValue>,
    /// The people whose names it has, besides those who have a request.
    pub named: HashSet<PersonId>,
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
    /// Returns whether there is one of this person.
    pub fn has(&self, person: &PersonId) -> bool {
        self.own.contains_key(person)
    }

    /// Returns the requests, of which it renders those that have changed.
    pub fn of(
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
