//! What is published, as the machine is told: a source connects, is up, changes, is down.
//!
//! Looks at all sources whenever the hub's generation has changed. A source is up once a frame of this publisher has arrived
//! and all its tracks are known; tracks that a former publisher left say nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use onmic_media::{MediaKind, Source, SourceName, Stage, TimelineId};
use onmic_room::{Actor, Command, Input, PersonId};

use super::Rooms;

/// The hub does not tell of each frame, so one that connects is looked at this often.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What was last said of a source.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Said {
    /// It is in its grace. With the arrival of its newest frame.
    Down(Option<Instant>),
    /// With the arrival of the newest frame of the publisher before.
    Connecting(Option<Instant>),
    Up {
        video: bool,
        audio: bool,
    },
}

struct Known {
    timeline: TimelineId,
    /// The person of the publisher.
    person: Option<PersonId>,
    said: Said,
}

/// Until the node stops.
pub async fn run(rooms: &Arc<Rooms>) {
    let mut generations = rooms.hub.generations();
    let mut known = BTreeMap::new();
    loop {
        generations.mark_unchanged();
        let waiting = look(rooms, &mut known);
        let again = async {
            if waiting {
                tokio::time::sleep(LOOK_AGAIN).await;
            } else {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = rooms.stop.cancelled() => return,
            changed = generations.changed() => if changed.is_err() { return },
            () = again => {}
        }
    }
}

/// Says what has changed; whether a first frame is waited for.
fn look(rooms: &Rooms, known: &mut BTreeMap<SourceName, Known>) -> bool {
    let sources: BTreeMap<SourceName, Arc<Source>> =
        rooms.hub.sources().into_iter().map(|source| (source.name().clone(), source)).collect();
    let is_same =
        |name: &SourceName, known: &Known| sources.get(name).is_some_and(|source| source.timeline() == known.timeline);
    for (name, known) in known.extract_if(.., |name, known| !is_same(name, known)) {
        say_down(rooms, &name, known.said);
    }
    let mut waiting = false;
    for (name, source) in sources {
        let before = known.get(&name).map(|known| known.said);
        let said = judge(&source, before);
        waiting |= matches!(said, Said::Connecting(_));
        let person = source.person();
        let taken_over = known.get(&name).is_some_and(|known| known.person != person);
        if before == Some(said) && !taken_over {
            continue;
        }
        match (before, said) {
            (Some(before), Said::Down(_)) => say_down(rooms, &name, before),
            (_, Said::Down(_)) => {}
            // Another person may have continued the source; whether it may is asked as of a new one.
            _ => say(rooms, &source, before.filter(|_| !taken_over), said),
        }
        known.insert(name, Known { timeline: source.timeline(), person, said });
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
    if newest > then && source.feed().stage() == Stage::Settled {
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
        (_, Said::Up { video, audio }) => Input::SourceUp { room, participant, person: source.person(), video, audio },
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
    // A refusal is no news here: the room or the person is gone, and with it what was to be said.
    if let Err(refused) = rooms.apply(input) {
        tracing::debug!(source = %name, %refused, "the room has no use for this source");
    }
}

#[cfg(test)]
mod tests {
    use onmic_media::codec::{Parameters, vp8};
    use onmic_media::{Admission, Arrival, Protocol, Publication, Rendition, Ticks, TrackKey};

    use super::super::tests::{enter, name, rooms_with};
    use super::*;

    fn publish(rooms: &Rooms, source: &SourceName, person: &str, now: Instant) -> Publication {
        let admission = Admission { person: Some(person.parse().unwrap()) };
        let mut publication = rooms.hub.publish(source, admission.by(Protocol::Rtmp), now).unwrap();
        publication.expect([TrackKey::VIDEO]);
        let parameters = Arc::new(Parameters::Vp8(vp8::Parameters { width: 640, height: 360, version: 0 }));
        let payload = bytes::Bytes::from_static(b"frame");
        let (dts, pts, rendition) = (Ticks(0), Ticks(0), Rendition::MAIN);
        publication.push(Arrival { dts, pts, keyframe: true, parameters, payload, rendition }, now).unwrap();
        publication
    }

    #[test]
    fn a_source_that_somebody_else_continues_is_judged_anew() {
        let rooms = rooms_with(Duration::ZERO);
        let (_host, _messages) = enter(&rooms, "red", "mia", onmic_room::Authority::Host);
        let source = SourceName::host(name("red"));
        let (mut known, now) = (BTreeMap::new(), Instant::now());
        let _first = publish(&rooms, &source, "mia", now);
        look(&rooms, &mut known);
        assert!(rooms.hub.source(&source).is_some(), "the host publishes");
        let _second = publish(&rooms, &source, "ben", now + Duration::from_millis(1));
        look(&rooms, &mut known);
        assert!(rooms.hub.source(&source).is_none(), "a person who is not the host is sent away");
    }
}
