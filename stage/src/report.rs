//! Reports of the stage to the driver of the rooms. The driver reads the newest of each room when it can.
//!
//! Telling never waits. A report that is not read yet is replaced by a newer one, so the reports are bounded by the
//! number of rooms.

use std::collections::BTreeMap;
use std::sync::Arc;

use onmic_media::{RoomName, SourceName};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::ProgramState;

/// Something that the stage tells about a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// The program is in this state now.
    Program(RoomName, ProgramState),
    /// These sources of the room's program speak now.
    Speaking(RoomName, Vec<SourceName>),
}

#[derive(Debug, Default)]
struct Shared {
    newest: Mutex<BTreeMap<RoomName, Newest>>,
    added: Notify,
}

#[derive(Debug, Default)]
struct Newest {
    program: Option<ProgramState>,
    speaking: Option<Vec<SourceName>>,
}

/// The end that the stage writes to.
#[derive(Debug)]
pub struct Reporter(Arc<Shared>);

/// The end that the driver reads from.
#[derive(Debug)]
pub struct Reports(Arc<Shared>);

/// Returns both ends, without a report.
pub fn reports() -> (Reporter, Reports) {
    let shared = Arc::<Shared>::default();
    (Reporter(shared.clone()), Reports(shared))
}

impl Reporter {
    /// Replaces the report of the same kind and room.
    pub fn tell(&self, report: Report) {
        let mut newest = self.0.newest.lock();
        match report {
            Report::Program(room, program) => newest.entry(room).or_default().program = Some(program),
            Report::Speaking(room, sources) => newest.entry(room).or_default().speaking = Some(sources),
        }
        drop(newest);
        self.0.added.notify_one();
    }
}

impl Reports {
    /// Returns the reports since the last call, by room, and waits while there are none.
    pub async fn next(&mut self) -> Vec<Report> {
        loop {
            let newest = std::mem::take(&mut *self.0.newest.lock());
            if newest.is_empty() {
                self.0.added.notified().await;
                continue;
            }
            let reports = newest.into_iter().flat_map(|(room, Newest { program, speaking })| {
                let program = program.map(|program| Report::Program(room.clone(), program));
                let speaking = speaking.map(|speaking| Report::Speaking(room, speaking));
                program.into_iter().chain(speaking)
            });
            return reports.collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_newest_report_of_each_room_is_read_once() {
        let (reporter, mut reports) = reports();
        let (red, blue): (RoomName, RoomName) = ("red".parse().unwrap(), "blue".parse().unwrap());
        reporter.tell(Report::Program(red.clone(), ProgramState::PassThrough));
        reporter.tell(Report::Program(blue.clone(), ProgramState::Mixed));
        reporter.tell(Report::Program(red.clone(), ProgramState::Off));
        reporter.tell(Report::Speaking(red.clone(), vec![]));
        let expected = [
            Report::Program(blue, ProgramState::Mixed),
            Report::Program(red.clone(), ProgramState::Off),
            Report::Speaking(red.clone(), vec![]),
        ];
        assert_eq!(reports.next().await, expected);
        let later = tokio::spawn(async move { reports.next().await });
        reporter.tell(Report::Program(red.clone(), ProgramState::Mixed));
        assert_eq!(later.await.unwrap(), [Report::Program(red, ProgramState::Mixed)]);
    }
}
