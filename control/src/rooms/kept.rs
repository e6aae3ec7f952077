//! What a restart keeps of a room, as JSON with a version: the machine's snapshot, the numbers of its log, the grants of its
//! tickets, its guests with those who answer for them, and its look with the pictures. Nothing is carried out here.
//!
//! A record of another version is not read. Whoever changes the form of a record counts [`VERSION`] up, unless a new member has a
//! default that is right for old records.

pub mod bans;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};

use onmic_media::name::Principal;
use onmic_media::{Budget, Date};
use onmic_room::{
    HostSnapshot, Muted, ParticipantName, PersonId, PersonSnapshot, Phase, Pk, Presence, RequestSnapshot, RoomName,
    SeatNo, SeatSnapshot, Snapshot, SourceSnapshot,
};

use self::bans::KeptPrincipal;
use super::look::{Colour, Image, Layout, Look, OverlayBody, OverlayKind, Overlays, SourceLook};
use super::timeouts::{TimeoutsChange, TimeoutsMs};
use super::words::{AvSync, HostLeaves, Role};
use crate::ticket::Good;

/// The version of the form below.
const VERSION: u32 = 1;

/// What is kept of a room.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    pub snapshot: Snapshot,
    pub epoch: String,
    pub number: u64,
    pub opened: Date,
    pub grants: Vec<(ParticipantName, Good)>,
    /// The guests as [`super::guests::Guests::kept`] returns them.
    pub guests: Vec<(PersonId, Vec<Principal>)>,
    /// Who answers for the places of those people who are kept, if anybody does ([`super::fair`]).
    pub places: Vec<(PersonId, Principal)>,
    /// Who opened the room, if it counts for them ([`super::fair`]).
    pub opened_by: Option<Principal>,
    pub look: Look,
}

/// A record that cannot be read, as a clause.
#[derive(Debug, PartialEq, Eq)]
pub struct Unreadable(String);

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: std::error::Error> From<E> for Unreadable {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

impl Kept {
    /// Returns the record. This takes long if the room has pictures.
    pub fn to_bytes(&self) -> Vec<u8> {
        let Self { snapshot, epoch, number, opened, grants, guests, places, opened_by, look } = self;
        let place = |(person, who): &(PersonId, Principal)| (person.to_string(), who.clone().into());
        let record = Record {
            version: VERSION,
            epoch: epoch.clone(),
            number: *number,
            opened: opened.micros(),
            grants: grants.iter().map(|(participant, good)| (participant.to_string(), Ticket::of(good))).collect(),
            guests: guests.iter().map(Guest::of).collect(),
            places: places.iter().map(place).collect(),
            opened_by: opened_by.clone().map(KeptPrincipal::from),
            room: Room::of(snapshot),
            look: KeptLook::of(look),
        };
        serde_json::to_vec(&record).expect("texts and numbers are JSON")
    }

    /// Reads a record. This takes long if the room has pictures, which take their memory out of `pictures`.
    pub fn read(bytes: &[u8], pictures: &Arc<Budget>) -> Result<Self, Unreadable> {
        must_have_version(bytes, VERSION)?;
        let record: Record = serde_json::from_slice(bytes)?;
        let snapshot = record.room.into_snapshot()?;
        let look = record.look.into_look(&snapshot.room, pictures)?;
        let grants = record.grants.into_iter();
        let grants = grants.map(|(participant, ticket)| Ok((participant.parse()?, ticket.into_good()?)));
        Ok(Self {
            look,
            snapshot,
            epoch: record.epoch,
            number: record.number,
            opened: Date(record.opened),
            grants: grants.collect::<Result<_, Unreadable>>()?,
            guests: all(record.guests, Guest::into_guest)?,
            places: all(record.places, |(person, who)| Ok((person.parse()?, who.into())))?,
            opened_by: record.opened_by.map(Principal::from),
        })
    }
}

/// Refuses a record of a form with another version than the one that is read.
fn must_have_version(bytes: &[u8], read: u32) -> Result<(), Unreadable> {
    #[derive(Deserialize)]
    struct Head {
        version: u32,
    }
    let Head { version } = serde_json::from_slice(bytes)?;
    if version != read {
        return Err(Unreadable(format!("its form has the version {version}, and this server reads {read}")));
    }
    Ok(())
}

#[derive(Serialize, Deserialize)]
struct Record {
    version: u32,
    epoch: String,
    number: u64,
    /// In microseconds since 1970.
    opened: u64,
    grants: BTreeMap<String, Ticket>,
    /// Records of servers that kept no guests have none.
    #[serde(default)]
    guests: Vec<Guest>,
    /// By person. Records of servers that kept no places have none.
    #[serde(default)]
    places: BTreeMap<String, KeptPrincipal>,
    #[serde(default)]
    opened_by: Option<KeptPrincipal>,
    room: Room,
    look: KeptLook,
}

#[derive(Serialize, Deserialize)]
struct Ticket {
    id: String,
    person: String,
}

impl Ticket {
    fn of(good: &Good) -> Self {
        Self { id: good.id.clone(), person: good.person.to_string() }
    }

    fn into_good(self) -> Result<Good, Unreadable> {
        Ok(Good { id: self.id, person: self.person.parse()? })
    }
}

#[derive(Serialize, Deserialize)]
struct Guest {
    person: String,
    nameless: Vec<KeptPrincipal>,
}

impl Guest {
    fn of((person, nameless): &(PersonId, Vec<Principal>)) -> Self {
        Self { person: person.to_string(), nameless: nameless.iter().cloned().map(KeptPrincipal::from).collect() }
    }

    fn into_guest(self) -> Result<(PersonId, Vec<Principal>), Unreadable> {
        Ok((self.person.parse()?, self.nameless.into_iter().map(Principal::from).collect()))
    }
}

#[derive(Serialize, Deserialize)]
struct Room {
    name: String,
    title: String,
    locked: bool,
    open_seats: bool,
    host_leaves: HostLeaves,
    sync: AvSync,
    #[serde(default)]
    playout_delay_ms: u16,
    timeouts: serde_json::Value,
    kept: bool,
    number: u64,
    host: Host,
    persons: Vec<Person>,
    requests: Vec<Request>,
    seats: Vec<Seat>,
    sources: Vec<Source>,
    cool_downs: BTreeMap<String, Ms>,
    #[serde(default)]
    muted: BTreeMap<String, Mutes>,
    pk: Option<KeptPk>,
    #[serde(default)]
    pk_proposed: Vec<Ms>,
    #[serde(default)]
    pk_refused: BTreeMap<String, Ms>,
    empty: Option<Ms>,
}

/// A time in milliseconds.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Ms(u64);

impl From<Duration> for Ms {
    fn from(duration: Duration) -> Self {
        Self(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }
}

impl From<Ms> for Duration {
    /// A day is longer than any timeout.
    fn from(Ms(ms): Ms) -> Self {
        Self::from_millis(ms).min(Self::from_secs(24 * 3600))
    }
}

/// What is muted: by the host and by the participant, video and audio.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Mutes {
    video_by_host: bool,
    audio_by_host: bool,
    video_by_self: bool,
    audio_by_self: bool,
}

impl From<Muted> for Mutes {
    fn from(muted: Muted) -> Self {
        let Muted { video_by_host, audio_by_host, video_by_self, audio_by_self } = muted;
        Self { video_by_host, audio_by_host, video_by_self, audio_by_self }
    }
}

impl From<Mutes> for Muted {
    fn from(muted: Mutes) -> Self {
        let Mutes { video_by_host, audio_by_host, video_by_self, audio_by_self } = muted;
        Self { video_by_host, audio_by_host, video_by_self, audio_by_self }
    }
}

#[derive(Serialize, Deserialize)]
struct Host {
    person: Option<String>,
    name: String,
    presence: KeptPresence,
    muted: Mutes,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum KeptPresence {
    None,
    There,
    Lost(Ms),
    Away(Ms),
}

#[derive(Serialize, Deserialize)]
struct Person {
    person: String,
    name: String,
    role: Role,
    connected: bool,
    leaves: Option<Ms>,
    muted: Mutes,
}

#[derive(Serialize, Deserialize)]
struct Request {
    person: String,
    seat: Option<u8>,
    age: Ms,
    left: Ms,
    failed: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Seat {
    locked: bool,
    occupant: Option<(String, KeptPhase)>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum KeptPhase {
    Invited(Ms),
    Granted(Ms),
    Connecting(Ms),
    OnMic,
    Away(Ms),
}

#[derive(Serialize, Deserialize)]
struct Source {
    participant: String,
    video: bool,
    audio: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum KeptPk {
    Proposed(String, Ms),
    Offered(String, Ms),
    On(String, Option<Ms>),
}

impl From<Presence<Duration>> for KeptPresence {
    fn from(presence: Presence<Duration>) -> Self {
        match presence {
            Presence::None => Self::None,
            Presence::There => Self::There,
            Presence::Lost { until } => Self::Lost(until.into()),
            Presence::Away { until } => Self::Away(until.into()),
        }
    }
}

impl From<KeptPresence> for Presence<Duration> {
    fn from(presence: KeptPresence) -> Self {
        match presence {
            KeptPresence::None => Self::None,
            KeptPresence::There => Self::There,
            KeptPresence::Lost(until) => Self::Lost { until: until.into() },
            KeptPresence::Away(until) => Self::Away { until: until.into() },
        }
    }
}

impl From<Phase<Duration>> for KeptPhase {
    fn from(phase: Phase<Duration>) -> Self {
        match phase {
            Phase::Invited { until } => Self::Invited(until.into()),
            Phase::Granted { until } => Self::Granted(until.into()),
            Phase::Connecting { until } => Self::Connecting(until.into()),
            Phase::OnMic => Self::OnMic,
            Phase::Away { until } => Self::Away(until.into()),
        }
    }
}

impl From<KeptPhase> for Phase<Duration> {
    fn from(phase: KeptPhase) -> Self {
        match phase {
            KeptPhase::Invited(until) => Self::Invited { until: until.into() },
            KeptPhase::Granted(until) => Self::Granted { until: until.into() },
            KeptPhase::Connecting(until) => Self::Connecting { until: until.into() },
            KeptPhase::OnMic => Self::OnMic,
            KeptPhase::Away(until) => Self::Away { until: until.into() },
        }
    }
}

impl Room {
    fn of(snapshot: &Snapshot) -> Self {
        let Snapshot { room, settings, kept, number, host, .. } = snapshot;
        let text = ToString::to_string;
        let person = |person: &PersonSnapshot| Person {
            person: text(&person.person),
            name: person.name.clone(),
            role: person.authority.into(),
            connected: person.connected,
            leaves: person.leaves.map(Into::into),
            muted: person.muted.into(),
        };
        let request = |request: &RequestSnapshot| Request {
            person: request.person.to_string(),
            seat: request.seat.map(SeatNo::get),
            age: request.age.into(),
            left: request.left.into(),
            failed: request.failed.clone(),
        };
        let seat = |seat: &SeatSnapshot| Seat {
            locked: seat.locked,
            occupant: seat.occupant.as_ref().map(|(person, phase)| (person.to_string(), (*phase).into())),
        };
        let source = |source: &SourceSnapshot| Source {
            participant: source.participant.to_string(),
            video: source.video,
            audio: source.audio,
        };
        let pk = match &snapshot.pk {
            Pk::None => None,
            Pk::Proposed { to, until } => Some(KeptPk::Proposed(to.to_string(), (*until).into())),
            Pk::Offered { from, until } => Some(KeptPk::Offered(from.to_string(), (*until).into())),
            Pk::On { with, until } => Some(KeptPk::On(with.to_string(), until.map(Into::into))),
        };
        Self {
            name: room.to_string(),
            title: settings.title.clone(),
            locked: settings.locked,
            open_seats: settings.open_seats,
            host_leaves: settings.host_leaves.into(),
            sync: settings.sync.into(),
            playout_delay_ms: settings.playout_delay_ms,
            timeouts: serde_json::to_value(TimeoutsMs(settings.timeouts)).expect("numbers are JSON"),
            kept: *kept,
            number: *number,
            host: Host {
                person: host.person.as_ref().map(ToString::to_string),
                name: host.name.clone(),
                presence: host.presence.into(),
                muted: host.muted.into(),
            },
            persons: snapshot.persons.iter().map(person).collect(),
            requests: snapshot.requests.iter().map(request).collect(),
            seats: snapshot.seats.iter().map(seat).collect(),
            sources: snapshot.sources.iter().map(source).collect(),
            cool_downs: snapshot.cool_downs.iter().map(|(id, left)| (id.to_string(), (*left).into())).collect(),
            muted: snapshot.muted.iter().map(|(id, muted)| (id.to_string(), (*muted).into())).collect(),
            pk,
            pk_proposed: snapshot.pk_proposed.iter().map(|age| (*age).into()).collect(),
            pk_refused: snapshot.pk_refused.iter().map(|(other, left)| (other.to_string(), (*left).into())).collect(),
            empty: snapshot.empty.map(Into::into),
        }
    }

    fn into_snapshot(self) -> Result<Snapshot, Unreadable> {
        let mut timeouts = onmic_room::Timeouts::default();
        serde_json::from_value::<TimeoutsChange>(self.timeouts)?.apply(&mut timeouts);
        let seats = u8::try_from(self.seats.len())?;
        let settings = onmic_room::Settings {
            title: self.title,
            seats,
            locked: self.locked,
            open_seats: self.open_seats,
            host_leaves: self.host_leaves.into(),
            sync: self.sync.into(),
            playout_delay_ms: self.playout_delay_ms,
            timeouts,
        };
        let person = |person: Person| {
            Ok(PersonSnapshot {
                person: person.person.parse()?,
                name: person.name,
                authority: person.role.into(),
                connected: person.connected,
                leaves: person.leaves.map(Into::into),
                muted: person.muted.into(),
            })
        };
        let request = |request: Request| {
            Ok(RequestSnapshot {
                person: request.person.parse()?,
                seat: request.seat.map(SeatNo::new).transpose()?,
                age: request.age.into(),
                left: request.left.into(),
                failed: request.failed,
            })
        };
        let seat = |seat: Seat| {
            let occupant = seat.occupant.map(|(person, phase)| Ok::<_, Unreadable>((person.parse()?, phase.into())));
            Ok(SeatSnapshot { locked: seat.locked, occupant: occupant.transpose()? })
        };
        let source = |source: Source| {
            let participant = source.participant.parse()?;
            Ok(SourceSnapshot { participant, video: source.video, audio: source.audio })
        };
        let pk = match self.pk {
            None => Pk::None,
            Some(KeptPk::Proposed(to, until)) => Pk::Proposed { to: to.parse()?, until: until.into() },
            Some(KeptPk::Offered(from, until)) => Pk::Offered { from: from.parse()?, until: until.into() },
            Some(KeptPk::On(with, until)) => Pk::On { with: with.parse()?, until: until.map(Into::into) },
        };
        let cool_down = |(person, left): (String, Ms)| Ok((person.parse()?, left.into()));
        let muted = |(person, muted): (String, Mutes)| Ok((person.parse()?, muted.into()));
        let refused = |(other, left): (String, Ms)| Ok((other.parse()?, left.into()));
        let host = HostSnapshot {
            person: self.host.person.map(|person| person.parse()).transpose()?,
            name: self.host.name,
            presence: self.host.presence.into(),
            muted: self.host.muted.into(),
        };
        Ok(Snapshot {
            room: self.name.parse()?,
            settings,
            kept: self.kept,
            number: self.number,
            host,
            persons: all(self.persons, person)?,
            requests: all(self.requests, request)?,
            seats: all(self.seats, seat)?,
            sources: all(self.sources, source)?,
            cool_downs: all(self.cool_downs, cool_down)?,
            muted: all(self.muted, muted)?,
            pk,
            pk_proposed: self.pk_proposed.into_iter().map(Into::into).collect(),
            pk_refused: all(self.pk_refused, refused)?,
            empty: self.empty.map(Into::into),
        })
    }
}

fn all<T, U>(
    list: impl IntoIterator<Item = T>,
    read: impl FnMut(T) -> Result<U, Unreadable>,
) -> Result<Vec<U>, Unreadable> {
    list.into_iter().map(read).collect()
}

#[derive(Serialize, Deserialize)]
struct KeptLook {
    layout: Layout,
    overlays: Vec<OverlayBody>,
    background: Colour,
    labels: bool,
    borders: bool,
    sources: BTreeMap<String, SourceLook>,
}

impl KeptLook {
    fn of(look: &Look) -> Self {
        let overlays = look.overlays.iter().map(|overlay| {
            let (id, place, z, opacity) = (overlay.id.clone(), overlay.place, overlay.z, overlay.opacity);
            match &overlay.what {
                OverlayKind::Text { title, lines, colour, background } => OverlayBody::Text {
                    id,
                    place,
                    z,
                    opacity,
                    title: title.clone(),
                    lines: lines.clone(),
                    colour: *colour,
                    background: *background,
                },
                OverlayKind::Image(image) => OverlayBody::Image { id, place, z, opacity, image: data_url(image) },
            }
        });
        Self {
            layout: look.layout.clone(),
            overlays: overlays.collect(),
            background: look.background,
            labels: look.labels,
            borders: look.borders,
            sources: look.sources.iter().map(|(participant, look)| (participant.to_string(), look.clone())).collect(),
        }
    }

    fn into_look(self, room: &RoomName, pictures: &Arc<Budget>) -> Result<Look, Unreadable> {
        let Self { layout, overlays, background, labels, borders, sources } = self;
        let mut look = Look { background, labels, borders, ..Look::default() };
        look.set_layout(layout)?;
        look.set_overlays(Overlays::check(room, overlays)?.decode(pictures)?)?;
        let sources = sources.into_iter().map(|(participant, look)| Ok((participant.parse()?, look)));
        look.sources = sources.collect::<Result<_, Unreadable>>()?;
        Ok(look)
    }
}

fn data_url(image: &Image) -> String {
    format!("data:{};base64,{}", image.media_type, BASE64_STANDARD.encode(&image.bytes))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use onmic_room::{Actor, Authority, Command, Input, Limits, Settings};

    use super::*;

    /// A room in which every member of a record has something.
    fn full() -> Kept {
        let now = Instant::now();
        let mut rooms = onmic_room::Rooms::new(Limits::default(), Settings::default()).unwrap();
        let (room, other): (RoomName, RoomName) = ("demo".parse().unwrap(), "other".parse().unwrap());
        let settings = Settings { title: "Tea".into(), locked: true, seats: 5, ..Settings::default() };
        rooms.apply(now, Input::Open { room: room.clone(), settings, kept: true }).unwrap();
        for (at, person, authority) in [
            (&room, "mia", Authority::Host),
            (&room, "anna", Authority::Viewer),
            (&room, "ben", Authority::Viewer),
            (&other, "lin", Authority::Host),
        ] {
            let (person, name) = (person.parse().unwrap(), person.to_owned());
            rooms.apply(now, Input::Join { room: at.clone(), person, name, authority }).unwrap();
        }
        let up = |room: &RoomName| Input::SourceUp {
            room: room.clone(),
            participant: ParticipantName::host(),
            person: None,
            video: true,
            audio: true,
        };
        rooms.apply(now, up(&room)).unwrap();
        rooms.apply(now, up(&other)).unwrap();
        let seat = SeatNo::new(2).unwrap();
        for command in [
            Command::Invite { person: "anna".parse().unwrap(), seat: Some(seat) },
            Command::LockSeat { seat: SeatNo::new(3).unwrap(), locked: true },
            Command::Mute { who: onmic_room::Who::Host, audio: Some(true), video: None },
            Command::ProposePk { room: other },
        ] {
            rooms.apply(now, Input::Command { room: room.clone(), by: Actor::admin(), command }).unwrap();
        }
        let mut snapshot = rooms.snapshot(now, &room).unwrap();
        let left = Duration::from_millis(1500);
        snapshot.requests.push(RequestSnapshot {
            person: "ben".parse().unwrap(),
            seat: Some(seat),
            age: left,
            left,
            failed: Some("ICE failed.".into()),
        });
        snapshot.cool_downs.push(("zoe".parse().unwrap(), left));
        snapshot.muted.push(("zoe".parse().unwrap(), Muted { audio_by_host: true, ..Default::default() }));
        snapshot.pk_refused.push(("blue".parse().unwrap(), left));
        snapshot.empty = Some(left);
        let mut look = Look { labels: true, ..Look::default() };
        look.set_layout(serde_json::from_value(serde_json::json!({"kind": "solo"})).unwrap()).unwrap();
        let card = serde_json::json!({"id": "card", "kind": "text", "place": {"x": 0.1, "y": 0.1, "width": 0.2, "height": 0.2}, "lines": ["12 €"]});
        let bodies = vec![super::super::tests::logo(), serde_json::from_value(card).unwrap()];
        look.set_overlays(Overlays::check(&room, bodies).unwrap().decode(&Budget::unlimited()).unwrap()).unwrap();
        look.sources.insert("anna".parse().unwrap(), SourceLook { gain_db: -6.0, ..SourceLook::default() });
        let good = Good { id: "0123".to_owned(), person: "anna".parse().unwrap() };
        let grants = vec![("anna".parse().unwrap(), good)];
        let who = [Principal::Token("t1".into()), Principal::at("192.0.2.7".parse().unwrap())];
        let guests = vec![("ben".parse().unwrap(), who.to_vec())];
        let (epoch, opened) = ("e".to_owned(), Date(1_700_000_000_000_000));
        let opened_by = Some(Principal::Token("t2".into()));
        let places = vec![("anna".parse().unwrap(), Principal::Token("t1".into()))];
        Kept { snapshot, epoch, number: 7, opened, grants, guests, places, opened_by, look }
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let kept = full();
        assert_eq!(Kept::read(&kept.to_bytes(), &Budget::unlimited()), Ok(kept));
    }

    #[test]
    fn a_record_of_a_server_that_kept_no_guests_is_read() {
        let mut record: serde_json::Value = serde_json::from_slice(&full().to_bytes()).unwrap();
        for member in ["guests", "places", "opened_by"] {
            record.as_object_mut().unwrap().remove(member).unwrap();
        }
        let expected = Kept { guests: Vec::new(), ..full() };
        let read = Kept::read(&serde_json::to_vec(&record).unwrap(), &Budget::unlimited());
        assert_eq!(read.map(|kept| kept.guests), Ok(expected.guests));
    }

    #[test]
    fn records_of_another_version_and_broken_ones_are_refused() {
        let bytes = full().to_bytes();
        let text = String::from_utf8(bytes.clone()).unwrap();
        let newer = text.replacen("\"version\":1", "\"version\":2", 1);
        assert!(Kept::read(newer.as_bytes(), &Budget::unlimited()).unwrap_err().to_string().contains("version 2"));
        for broken in [&bytes[..bytes.len() / 2], b"", b"{}", text.replace("\"anna\"", "\"an na\"").as_bytes()] {
            assert!(Kept::read(broken, &Budget::unlimited()).is_err());
        }
    }
}
