//! Tells the machine what is published: a source connects, is up, changes, is down.
//!
//! Looks at the sources of the rooms that the hub says have changed. A source is up once a frame of this publisher has
//! arrived and all its tracks are known. Tracks that a former publisher left do not count.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use onmic_media::{FeedStage, MediaKind, ParticipantName, RoomName, Source, SourceName, TimelineId};
use onmic_room::{Actor, Command, Input, PersonId};
use tokio::time::{MissedTickBehavior, interval};

use super::Rooms;

/// How often a room is looked at in which a source connects: the hub does not tell of each frame.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What the machine was last told of a source.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Said {
    /// The source is in its grace. Holds the arrival of its newest frame.
    Down(Option<Instant>),
    /// A publisher connects. Holds the arrival of the newest frame of the publisher before it.
    Connecting(Option<Instant>),
    Up {
        video: bool,
        audio: bool,
    },
}

struct Known {
    timeline: TimelineId,
    /// The person who publishes it.
    person: Option<PersonId>,
    said: Said,
}

/// What is known of the sources of each room that has some.
type AllKnown = HashMap<RoomName, BTreeMap<ParticipantName, Known>>;

/// Watches the sources of all rooms until the node stops.
pub async fn run(rooms: &Arc<Rooms>) {
    let mut changes = rooms.hub.changed_rooms();
    let mut known = AllKnown::new();
    // The rooms in which a source connects.
    let mut waiting = BTreeSet::new();
    let mut again = interval(LOOK_AGAIN);
    again.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let changed = tokio::select! {
            () = rooms.stop.cancelled() => return,
            changed = changes.next() => changed,
            _ = again.tick(), if !waiting.is_empty() => std::mem::take(&mut waiting),
        };
        for room in changed {
            waiting.remove(&room);
            if look(rooms, &room, &mut known) {
                waiting.insert(room);
            }
        }
    }
}

/// Tells what has changed in `room`. Returns whether one of its sources waits for a first frame.
fn look(rooms: &Rooms, room: &RoomName, all_known: &mut AllKnown) -> bool {
    let sources = rooms.hub.sources_of(room);
    let known = all_known.entry(room.clone()).or_default();
    let is_same = |participant: &ParticipantName, known: &Known| {
        let source = sources.iter().find(|source| source.name().participant == *participant);
        source.is_some_and(|source| source.timeline() == known.timeline)
    };
    for (participant, gone) in known.extract_if(.., |participant, known| !is_same(participant, known)) {
        say_down(rooms, &SourceName::new(room, &participant), gone.said);
    }
    let mut waiting = false;
    for source in &sources {
        let name = source.name();
        let before = known.get(&name.participant);
        let (told, person) = (before.map(|known| known.said), source.person());
        let taken_over = before.is_some_and(|known| known.person != person);
        let said = judge(source, told);
        waiting |= matches!(said, Said::Connecting(_));
        if told == Some(said) && !taken_over {
            continue;
        }
        match (told, said) {
            (Some(told), Said::Down(_)) => say_down(rooms, name, told),
            (_, Said::Down(_)) => {}
            // Another person may have continued the source. The machine judges that as it judges a new source.
            _ => say(rooms, source, told.filter(|_| !taken_over), said),
        }
        known.insert(name.participant.clone(), Known { timeline: source.timeline(), person, said });
    }
    if known.is_empty() {
        all_known.remove(room);
    }
    waiting
}

fn judge(source: &Source, before: Option<Said>) -> Said {
    let tracks = [MediaKind::Video, MediaKind::Audio].map(|kind| source.feed().original(kind));
    let newest = tracks.iter().flatten().filter_map(|track| track.newest()).map(|frame| frame.arrived).max();
    if !source.is_connected() {
        return if let Some(down @ Said::Down(_)) = before { down } else { Said::Down(newest) };
    }
    let then = match before {
        Some(Said::Up { .. }) => return Said::Up { video: tracks[0].is_some(), audio: tracks[1].is_some() },
        Some(Said::Down(then) | Said::Connecting(then)) => then,
        None => None,
    };
    if newest > then && source.feed().stage() == FeedStage::Settled {
        Said::Up { video: tracks[0].is_some(), audio: tracks[1].is_some() }
    } else {
        Said::Connecting(then)
    }
}

fn say(rooms: &Rooms, source: &Source, before: Option<Said>, said: Said) {
    let name = source.name();
    let SourceName { room, participant } = name.clone();
    let input = match (before, said) {
        (_, Said::Connecting(_) | Said::Down(_)) => Input::SourceConnecting { room, participant },
        (Some(Said::Up { .. }), Said::Up { video, audio }) => Input::SourceChanged { room, participant, video, audio },
        (_, Said::Up { video, audio }) => {
            let input = Input::SourceUp { room, participant, person: source.person(), video, audio };
            return rooms.bring_up(name, input, source.opener());
        }
    };
    tell(rooms, name, input);
}

fn say_down(rooms: &Rooms, name: &SourceName, said: Said) {
    let SourceName { room, participant } = name.clone();
    match said {
        Said::Up { .. } => tell(rooms, name, Input::SourceDown { room, participant }),
        Said::Down(_) => {}
        Said::Connecting(_) if participant.is_host() => {}
        Said::Connecting(_) => {
            let reason = "The connection broke before the first picture or sound.".to_owned();
            let command = Command::ConnectFailed { who: participant.person().into(), reason };
            tell(rooms, name, Input::Command { room, by: Actor::admin(), command });
        }
    }
}

fn tell(rooms: &Rooms, name: &SourceName, input: Input) {
    // The machine refuses if the room or the person has gone. Then there is nobody left to tell.
    if let Err(refused) = rooms.apply(input) {
        tracing::debug!(source = %name, %refused, "the machine refuses what was told of this source");
    }
}

#[cfg(test)]
mod tests {
    use onmic_media::codec::{Parameters, vp8};
    use onmic_media::{Admission, Arrival, Protocol, Publication, Rendition, Ticks, TrackKey};

    use super::super::mailbox::Messages;
    use super::super::tests::{enter, name, rooms_with};
    use super::*;

    fn publish(rooms: &Rooms, source: &SourceName, person: &str, now: Instant) -> Publication {
        let admission = Admission { person: Some(person.parse().unwrap()), ..Admission::default() };
        let mut publication = rooms.hub.publish(source, admission.by(Protocol::Rtmp), now).unwrap();
        publication.expect([TrackKey::VIDEO]);
        let parameters = Arc::new(Parameters::Vp8(vp8::Parameters { width: 640, height: 360, version: 0 }));
        let payload = bytes::Bytes::from_static(b"frame");
        let (dts, pts, rendition) = (Ticks(0), Ticks(0), Rendition::MAIN);
        publication.push(Arrival { dts, pts, keyframe: true, parameters, payload, rendition }, now).unwrap();
        publication
    }

    #[test]
    fn a_source_that_another_person_continues_is_judged_as_a_new_one() {
        let rooms = rooms_with(Duration::ZERO);
        let (_host, _messages) = enter(&rooms, "red", "mia", onmic_room::Authority::Host);
        let source = SourceName::host(name("red"));
        let (mut known, now) = (AllKnown::new(), Instant::now());
        let _first = publish(&rooms, &source, "mia", now);
        look(&rooms, &source.room, &mut known);
        assert!(rooms.hub.source(&source).is_some(), "the host publishes");
        let _second = publish(&rooms, &source, "ben", now + Duration::from_millis(1));
        look(&rooms, &source.room, &mut known);
        assert!(rooms.hub.source(&source).is_none(), "a person who is not the host is sent away");
        look(&rooms, &source.room, &mut known);
        assert!(known.is_empty(), "a room without sources is forgotten");
    }

    #[tokio::test]
    async fn sources_of_several_rooms_are_told_each_to_its_own_room() {
        let rooms = rooms_with(Duration::ZERO);
        let (_host, mut red) = enter(&rooms, "red", "mia", onmic_room::Authority::Host);
        let (_other, mut blue) = enter(&rooms, "blue", "lin", onmic_room::Authority::Host);
        let (names, now) = (["red", "blue"].map(|room| SourceName::host(name(room))), Instant::now());
        let before = publish(&rooms, &names[0], "mia", now);
        let watching = tokio::spawn({
            let rooms = rooms.clone();
            async move { run(&rooms).await }
        });
        let up = async |messages: &mut Messages| {
            loop {
                let message = messages.recv().await;
                let message: serde_json::Value = serde_json::from_slice(&message).unwrap();
                if message["event"]["kind"] == "source-up" {
                    return;
                }
            }
        };
        up(&mut red).await;
        let after = publish(&rooms, &names[1], "lin", now);
        up(&mut blue).await;
        assert!(red.try_recv().is_none(), "the red room is not told of the blue one");
        drop((before, after));
        rooms.stop.cancel();
        watching.await.unwrap();
    }
}
