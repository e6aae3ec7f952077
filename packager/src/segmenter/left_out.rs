//! The frames that were left out after they had waited for the main video. Nobody asks about one of them any more, so they are counted
//! together.

use super::Ignored;

/// How many were left out for each reason.
#[derive(Debug, Default)]
pub(super) struct LeftOut(Vec<(Ignored, u64)>);

impl LeftOut {
    /// Counts a frame, if it was left out.
    pub(super) fn note(&mut self, ignored: Option<Ignored>) {
        let Some(ignored) = ignored else { return };
        match self.0.iter_mut().find(|(reason, _)| *reason == ignored) {
            Some((_, frames)) => *frames += 1,
            None => self.0.push((ignored, 1)),
        }
    }

    /// Returns what was counted since the last call.
    pub(super) fn take(&mut self) -> Vec<(Ignored, u64)> {
        std::mem::take(&mut self.0)
    }
}
