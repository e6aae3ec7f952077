//! What a rendition costs, and what multivariant playlists state of it: how fast its bits and frames come.

use std::sync::Arc;
use std::time::Duration;

use onmic_media::Frame;

use super::Rendition;
use crate::segment::Segment;

impl Rendition {
    /// Returns what its segments cost in bytes, with their initialisation sections, the part that is open and the messages that wait for
    /// it.
    pub(crate) fn cost(&self) -> usize {
        let listed: usize = self.window.iter().map(|segment| segment.cost()).sum();
        let samples = self.part.iter().flat_map(|part| &part.samples).map(|sample| sample.payload.len());
        let events = self.events.iter().map(|event| event.message.len());
        let waiting: usize = samples.chain(events).map(|payload| payload + Frame::OVERHEAD).sum();
        listed + self.open.as_ref().map_or(0, Segment::cost) + waiting + self.inits_cost()
    }

    /// Returns what the initialisation sections cost that are listed or come next. Segments in a row share theirs.
    fn inits_cost(&self) -> usize {
        let listed = self.window.iter().map(|segment| &segment.init).chain(self.open.iter().map(|open| &open.init));
        let (mut before, mut cost) = (None, 0);
        for init in listed.chain([self.init()]) {
            if !before.is_some_and(|before| Arc::ptr_eq(before, init)) {
                cost += init.body.len() + Frame::OVERHEAD;
            }
            before = Some(init);
        }
        cost
    }

    /// Peak and mean bits per second, of complete segments or, before the first, of parts.
    pub fn bitrates(&self) -> Option<(u64, u64)> {
        let rate = |bytes: usize, duration: Duration| bytes as f64 * 8.0 / duration.as_secs_f64();
        let (mut bytes, mut duration, mut peak) = (0, Duration::ZERO, 0.0_f64);
        // A segment much shorter than the others does not show the peak.
        let long = |segment: &&Arc<Segment>| segment.duration * 2 >= self.settings.segment;
        for segment in self.window.iter().filter(long) {
            bytes += segment.bytes();
            duration += segment.duration;
            peak = peak.max(rate(segment.bytes(), segment.duration));
        }
        if duration.is_zero() {
            let open = self.open.as_ref().filter(|open| !open.duration.is_zero())?;
            (bytes, duration) = (open.bytes(), open.duration);
            peak = rate(bytes, duration);
        }
        Some((peak as u64, rate(bytes, duration) as u64))
    }

    /// Returns the frames per second of the last segment, or of the parts so far.
    pub fn frame_rate(&self) -> Option<f64> {
        let whole = self.window.iter().rev().find(|segment| !segment.gap).map(|segment| &**segment);
        let segment = whole.or(self.open.as_ref())?;
        let frames: usize = segment.parts.iter().map(|part| part.samples).sum();
        (!segment.duration.is_zero()).then(|| frames as f64 / segment.duration.as_secs_f64())
    }
}
