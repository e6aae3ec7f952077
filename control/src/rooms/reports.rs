//! Takes in the reports of the stage: how a program is made, and who speaks.

use std::collections::BTreeSet;
use std::time::Instant;

use onmic_media::SourceName;
use onmic_room::{ParticipantName, RoomName};
use onmic_stage::{Report, Reports};

use super::Rooms;
use super::event::RoomEvent;
use super::live::Live;
use super::words::ProgramState;

impl Rooms {
    pub(super) async fn hear_all(&self, mut reports: Reports) {
        while let Some(reports) = self.stop.run_until_cancelled(reports.next()).await {
            reports.into_iter().for_each(|report| self.hear(report));
        }
    }

    /// Takes in a report of the stage.
    pub fn hear(&self, report: Report) {
        let now = self.now();
        let (Report::Program(room, _) | Report::Speaking(room, _)) = &report;
        let Ok(cell) = self.cell(room) else { return };
        let mut live = cell.live.lock();
        // Nobody waits for an answer.
        let _ = self.within(room, &mut live, |live| {
            let Some(live) = live else { return };
            match &report {
                Report::Program(_, program) => self.set_program_state(live, room, now, (*program).into()),
                Report::Speaking(_, sources) => self.set_speaking(live, room, now, sources),
            }
        });
    }

    fn set_speaking(&self, live: &mut Live, room: &RoomName, now: Instant, sources: &[SourceName]) {
        let own = sources.iter().filter(|source| source.room == *room);
        let speaking: BTreeSet<ParticipantName> = own.map(|source| source.participant.clone()).collect();
        let before = std::mem::replace(&mut live.speaking, speaking.clone());
        for participant in before.symmetric_difference(&speaking) {
            let speaks = speaking.contains(participant);
            let event = RoomEvent::Speaking { participant: participant.to_string(), speaking: speaks };
            self.tell_all(live, room, now, &event, false);
        }
    }

    fn set_program_state(&self, live: &mut Live, room: &RoomName, now: Instant, program: ProgramState) {
        if live.program != program {
            live.program = program;
            let event = RoomEvent::ProgramChanged { program: live.told_change(room, &live.look) };
            self.tell_all(live, room, now, &event, true);
        }
    }
}
