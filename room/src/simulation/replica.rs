//! A client that joined when the room opened and knows nothing but the events. It must always have the room's state.

use crate::{
    Event, HostView, InvitationView, PersonId, PersonView, PkView, RequestView, RoomView, SeatView, Settings,
    SourceView,
};

#[derive(Debug)]
pub(super) struct Replica {
    number: u64,
    settings: Settings,
    kept: bool,
    host: Option<HostView>,
    seats: Vec<SeatView>,
    requests: Vec<RequestView>,
    invitations: Vec<InvitationView>,
    sources: Vec<SourceView>,
    pk: Option<PkView>,
    persons: Vec<PersonView>,
}

impl Replica {
    /// Begins with the first event of a room, which had this number.
    pub fn new(number: u64, settings: &Settings, kept: bool, seats: &[SeatView]) -> Self {
        Self {
            number,
            settings: settings.clone(),
            kept,
            host: None,
            seats: seats.to_vec(),
            requests: Vec::new(),
            invitations: Vec::new(),
            sources: Vec::new(),
            pk: None,
            persons: Vec::new(),
        }
    }

    pub fn apply(&mut self, number: u64, event: &Event) {
        assert_eq!(number, self.number + 1, "an event is missing or told twice");
        self.number = number;
        match event.clone() {
            Event::RoomOpened { .. } => panic!("a room opened twice"),
            Event::RoomEnded { .. } => {}
            Event::RoomConfigured { settings, kept, seats } => {
                for request in &mut self.requests {
                    request.seat = request.seat.filter(|seat| seat.get() <= settings.seats);
                }
                (self.settings, self.kept, self.seats) = (settings, kept, seats);
            }
            Event::PersonJoined { person } => self.person_joined(person),
            Event::PersonLeft { person } => self.persons.retain(|there| there.person != person.person),
            Event::HostChanged { host } => {
                if let Some(person) = &host.person {
                    self.no_longer_asks(&person.clone());
                }
                self.host = Some(host);
            }
            Event::HostAway { host } | Event::HostBack { host } => self.host = Some(host),
            Event::MicRequested { request } => self.requests.push(request),
            Event::MicWithdrawn { request } | Event::MicRefused { request } | Event::MicExpired { request } => {
                let before = self.requests.len();
                self.requests.retain(|waiting| waiting.person != request.person);
                assert_eq!(self.requests.len() + 1, before, "a request ended that was not there");
            }
            Event::MicGranted { seat } | Event::MicOn { seat } => {
                if let Some(person) = &seat.person {
                    self.no_longer_asks(person);
                }
                self.set_seat(seat);
            }
            Event::MicConnecting { seat } | Event::MicAway { seat } | Event::SeatChanged { seat } => {
                self.set_seat(seat);
            }
            Event::MicLeft { seat, .. } => self.set_seat(seat),
            Event::MicFailed { seat, request, .. } => {
                self.set_seat(seat);
                if let Some(request) = request {
                    self.requests.insert(0, request);
                }
            }
            Event::Invited { invitation, seat } => {
                self.invitations.push(invitation);
                self.set_seat(seat);
            }
            Event::InvitationDeclined { invitation, seat } | Event::InvitationExpired { invitation, seat } => {
                self.invitations.retain(|open| open.person != invitation.person);
                self.set_seat(seat);
            }
            Event::SourceUp { source } => {
                self.sources.retain(|known| known.participant != source.participant);
                self.sources.push(source);
            }
            Event::SourceDown { source } => self.sources.retain(|known| known.participant != source.participant),
            Event::PkProposed { pk } | Event::PkOn { pk } => self.pk = Some(pk),
            Event::PkRefused { .. } | Event::PkEnded { .. } => self.pk = None,
        }
    }

    fn set_seat(&mut self, view: SeatView) {
        let seat = self.seats.iter_mut().find(|seat| seat.seat == view.seat).expect("events name seats that exist");
        // When somebody who is invited is moved, the invitation goes with them.
        let moved = self.invitations.iter_mut().find(|open| Some(&open.person) == view.person.as_ref());
        if let Some(invitation) = moved {
            invitation.seat = view.seat;
        }
        *seat = view;
    }

    fn no_longer_asks(&mut self, person: &PersonId) {
        self.requests.retain(|waiting| waiting.person != *person);
        self.invitations.retain(|open| open.person != *person);
    }

    /// Adds a new person, or gives a person a new name everywhere.
    fn person_joined(&mut self, view: PersonView) {
        let id = Some(&view.person);
        self.seats
            .iter_mut()
            .filter(|seat| seat.person.as_ref() == id)
            .for_each(|seat| seat.name.clone_from(&view.name));
        self.requests.iter_mut().filter(|r| Some(&r.person) == id).for_each(|r| r.name.clone_from(&view.name));
        self.invitations.iter_mut().filter(|i| Some(&i.person) == id).for_each(|i| i.name.clone_from(&view.name));
        self.persons.retain(|there| there.person != view.person);
        self.persons.push(view);
    }

    /// Checks that the client has the same state as the server.
    pub fn compare(&mut self, room: &RoomView) {
        self.sources.sort_by(|a, b| a.participant.cmp(&b.participant));
        self.persons.sort_by(|a, b| a.person.cmp(&b.person));
        self.invitations.sort_by_key(|invitation| invitation.seat);
        assert_eq!(self.number, room.number);
        assert_eq!((&self.settings, self.kept), (&room.settings, room.kept));
        assert_eq!(self.host.clone().unwrap_or_else(|| room.host.clone()), room.host);
        assert!(self.host.is_some() || !room.host.present, "nobody was told of the host");
        assert_eq!(self.seats, room.seats);
        assert_eq!(self.requests, room.requests);
        assert_eq!(self.invitations, room.invitations);
        assert_eq!(self.sources, room.sources);
        assert_eq!(self.persons, room.persons);
        // The deadline of a PK and the partner's name change without an event.
        let pk = |pk: &Option<PkView>| pk.as_ref().map(|pk| (pk.state, pk.room.clone()));
        assert_eq!(pk(&self.pk), pk(&room.pk));
    }
}
