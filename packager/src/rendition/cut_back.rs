//! Audio that came before the cut that it follows.

use std::sync::Arc;

use onmic_media::{Ticks, WallTime};

use super::Rendition;
use crate::error::PackagerError;
use crate::segment::Part;

impl Rendition {
    /// Does what [`Rendition::cut`] does, for audio: a part that is not published, and does not begin before the cut at
    /// `origin`, goes to the segment `msn`. The cut is known when its video frame comes, and the audio may have come
    /// first. In the first segment, of which no playlist tells, all such parts do, because a publisher may begin by sending
    /// seconds at once.
    pub(crate) fn cut_back(
        &mut self,
        msn: u64,
        origin: i64,
        dts: i64,
        wall: WallTime,
        expected: i64,
    ) -> Result<(), PackagerError> {
        let from = origin - expected / 2;
        if let Some(later) = self.take_unlisted_from(from) {
            let (end, start) = (self.end, later.first().map_or(self.end, |part| part.start as i64));
            self.end = start;
            self.begin(msn, wall.offset_micros(Ticks(start - dts).micros(self.rate)), false);
            self.end = end;
            self.next_part += later.len() as u64;
            if let Some(open) = &mut self.open {
                open.duration = later.iter().map(|part| part.duration).sum();
                open.parts = later;
            }
            return Ok(());
        }
        let whole = self.open.as_ref().is_some_and(|open| !open.parts.is_empty());
        match self.part.as_ref().filter(|part| whole && part.start >= from).map(|part| part.wall) {
            Some(wall) => self.begin(msn, wall, false),
            None => self.cut(msn, dts, wall, expected)?,
        }
        Ok(())
    }

    /// Takes the parts that begin at `from` or later out of the open segment, if that is the first one and keeps others.
    fn take_unlisted_from(&mut self, from: i64) -> Option<Vec<Arc<Part>>> {
        let open = self.open.as_mut().filter(|open| self.window.is_empty() && !open.whole)?;
        let kept = open.parts.iter().take_while(|part| (part.start as i64) < from).count();
        if kept == 0 || kept == open.parts.len() {
            return None;
        }
        let later = open.parts.split_off(kept);
        open.duration = open.parts.iter().map(|part| part.duration).sum();
        self.next_part -= later.len() as u64;
        Some(later)
    }
}
