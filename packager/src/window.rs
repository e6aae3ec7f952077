//! The complete segments that the playlist of a rendition lists.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::segment::Segment;
use crate::settings::Settings;

/// Holds the listed segments, and those that left the list since they were last taken.
#[derive(Debug, Default)]
pub(crate) struct Window {
    listed: VecDeque<Arc<Segment>>,
    /// The number of discontinuities that have left the list, or were before it (EXT-X-DISCONTINUITY-SEQUENCE).
    discontinuity_sequence: u64,
    evicted: Vec<Arc<Segment>>,
    has_let_go: bool,
}

impl Window {
    /// Returns the segments, the oldest first.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<Segment>> + ExactSizeIterator {
        self.listed.iter()
    }

    /// Returns the newest segment.
    pub(crate) fn newest(&self) -> Option<&Arc<Segment>> {
        self.listed.back()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }

    pub(crate) fn discontinuity_sequence(&self) -> u64 {
        self.discontinuity_sequence
    }

    /// Begins after this many discontinuities.
    pub(crate) fn begin_after(&mut self, discontinuities: u64) {
        self.discontinuity_sequence = discontinuities;
    }

    /// Returns the segments that left the list since the last call.
    pub(crate) fn take_evicted(&mut self) -> Vec<Arc<Segment>> {
        std::mem::take(&mut self.evicted)
    }

    /// Returns the number of the oldest segment, once the list has lost older ones.
    pub(crate) fn slid_to(&self) -> Option<u64> {
        self.listed.front().filter(|_| self.has_let_go).map(|oldest| oldest.msn)
    }

    /// Lists a segment, and removes the oldest that the window has no room for.
    pub(crate) fn list(&mut self, segment: Segment, settings: &Settings) {
        self.listed.push_back(Arc::new(segment));
        let mut listed = self.duration();
        while let Some(oldest) = self.listed.front().filter(|oldest| listed - oldest.duration >= settings.window) {
            listed -= oldest.duration;
            self.let_go_oldest();
        }
    }

    /// Removes segments older than the segment `msn`, as far as delta updates allow.
    pub(crate) fn let_go_before(&mut self, msn: u64, settings: &Settings) {
        let mut listed = self.duration();
        while let Some(oldest) = self.listed.front().filter(|oldest| oldest.msn < msn) {
            listed = listed.saturating_sub(oldest.duration);
            if listed < settings.skip_until() {
                return;
            }
            self.let_go_oldest();
        }
    }

    fn duration(&self) -> Duration {
        self.listed.iter().map(|segment| segment.duration).sum()
    }

    fn let_go_oldest(&mut self) {
        if let Some(oldest) = self.listed.pop_front() {
            self.discontinuity_sequence += u64::from(oldest.discontinuity);
            self.has_let_go = true;
            self.evicted.push(oldest);
        }
    }
}
