//! One clock per source: what its timestamps mean on the node's wall clock.
//!
//! Two questions are answered for every frame. Where does it stand on the track's timeline, which must be continuous
//! over a publisher's reconnect? And what was the time on the node's wall clock when it happened? Arrival answers
//! both: the first frame pins the timeline, and the least delayed arrivals of the last seconds follow the drift
//! between the publisher's clock and ours.

use crate::time::WallTime;

/// Where a timeline starts. Above zero, so that audio slightly older than the first video frame has a place.
pub const TIMELINE_START_MICROS: i64 = 10_000_000;

/// A publisher whose timestamps leave the arrival times by this much has restarted its clock.
const JUMP_MICROS: i64 = 5_000_000;

/// The least delay is taken over one to two of these.
const WINDOW_MICROS: i64 = 10_000_000;

/// Timestamps beyond 35 years are held there, so that sums of them cannot overflow.
const SOURCE_MICROS_MAX: i64 = 1 << 50;

/// How fast the estimate may rise: 500 ppm, several times what crystals differ by, and too slow to see.
const RISE_PPM: i64 = 500;

/// What [`SourceClock::map`] found for one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// Add to the source's time (µs) for the position on the track's timeline.
    pub shift_micros: i64,
    /// The node's wall clock at that position.
    pub wall: WallTime,
}

/// The mapping for one source, shared by its tracks.
#[derive(Clone, Debug)]
pub struct SourceClock {
    epoch: WallTime,
    anchor: Option<Anchor>,
}

#[derive(Clone, Debug)]
struct Anchor {
    shift: i64,
    /// Least lateness seen in the window before this one and in this one, µs against the first frame's.
    previous_least: i64,
    least: i64,
    window_start: WallTime,
    /// The lateness in force: falls at once, rises slowly.
    lateness: i64,
    updated: WallTime,
}

impl SourceClock {
    /// A clock whose timeline starts at `epoch`, the wall time at which the source began.
    pub fn new(epoch: WallTime) -> Self {
        Self { epoch, anchor: None }
    }

    /// A new publisher took over: its timestamps have nothing to do with those before.
    pub fn restart(&mut self) {
        self.anchor = None;
    }

    /// Places a frame with decoding time `source_micros` on the source's own clock that arrived at `arrival`.
    pub fn map(&mut self, source_micros: i64, arrival: WallTime) -> Mapped {
        let source_micros = source_micros.clamp(-SOURCE_MICROS_MAX, SOURCE_MICROS_MAX);
        let since_epoch = arrival.micros_since(self.epoch);
        let lateness = |shift: i64| since_epoch - (source_micros + shift - TIMELINE_START_MICROS);
        if self.anchor.as_ref().is_some_and(|anchor| (lateness(anchor.shift) - anchor.lateness).abs() > JUMP_MICROS) {
            self.anchor = None;
        }
        let anchor = self.anchor.get_or_insert_with(|| Anchor {
            shift: since_epoch + TIMELINE_START_MICROS - source_micros,
            previous_least: i64::MAX,
            least: i64::MAX,
            window_start: arrival,
            lateness: 0,
            updated: arrival,
        });
        anchor.observe(lateness(anchor.shift), arrival);
        let position = source_micros + anchor.shift;
        let wall = self.epoch.offset_micros(position - TIMELINE_START_MICROS + anchor.lateness);
        Mapped { shift_micros: anchor.shift, wall }
    }
}

impl Anchor {
    fn observe(&mut self, lateness: i64, arrival: WallTime) {
        if arrival.micros_since(self.window_start) > WINDOW_MICROS {
            self.previous_least = std::mem::replace(&mut self.least, i64::MAX);
            self.window_start = arrival;
        }
        self.least = self.least.min(lateness);
        let target = self.least.min(self.previous_least);
        let rise = arrival.micros_since(self.updated).max(0) * RISE_PPM / 1_000_000;
        if target < self.lateness {
            self.lateness = target;
            self.updated = arrival;
        } else if rise > 0 {
            self.lateness = target.min(self.lateness + rise);
            self.updated = arrival;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EPOCH: WallTime = WallTime(1_000_000_000_000);

    fn at(millis: i64) -> WallTime {
        EPOCH.offset_micros(millis * 1000)
    }

    #[test]
    fn the_first_frame_is_where_the_timeline_starts() {
        let mut clock = SourceClock::new(EPOCH);
        let mapped = clock.map(77_000_000, EPOCH);
        assert_eq!(77_000_000 + mapped.shift_micros, TIMELINE_START_MICROS);
        assert_eq!(mapped.wall, EPOCH);
    }

    #[test]
    fn network_jitter_does_not_move_the_wall_clock_of_frames() {
        let mut clock = SourceClock::new(EPOCH);
        for (frame, jitter) in [0, 40, 3, 90, 0, 12].iter().enumerate() {
            let source = frame as i64 * 33;
            let mapped = clock.map(source * 1000, at(source + jitter));
            assert!(mapped.wall.micros_since(at(source)).abs() < 100, "{mapped:?}");
        }
    }

    #[test]
    fn a_late_first_frame_is_corrected_by_those_that_follow() {
        let mut clock = SourceClock::new(EPOCH);
        clock.map(0, at(300));
        assert_eq!(clock.map(33_000, at(100)).wall, at(100));
    }

    #[test]
    fn drift_of_a_slow_publisher_is_followed() {
        let mut clock = SourceClock::new(EPOCH);
        let mut last = None;
        for second in 0..3600_i64 {
            let source_micros = second * 1_000_000 - second * 100; // 100 ppm slow
            let mapped = clock.map(source_micros, at(second * 1000));
            last = Some(mapped.wall.micros_since(at(second * 1000)));
        }
        assert!(last.unwrap().abs() < 10_000, "{last:?}");
    }

    #[test]
    fn a_reconnect_goes_on_where_the_wall_clock_is() {
        let mut clock = SourceClock::new(EPOCH);
        clock.map(5_000_000, at(0));
        clock.restart();
        let mapped = clock.map(0, at(4000));
        assert_eq!(mapped.shift_micros, TIMELINE_START_MICROS + 4_000_000);
        assert_eq!(mapped.wall, at(4000));
    }

    #[test]
    fn a_jump_of_timestamps_is_a_restart() {
        let mut clock = SourceClock::new(EPOCH);
        clock.map(0, at(0));
        for source in [4_294_967_295_000, -4_294_967_295_000, 0] {
            let mapped = clock.map(source, at(40));
            assert_eq!(source + mapped.shift_micros, TIMELINE_START_MICROS + 40_000);
        }
        for absurd in [i64::MAX, i64::MIN] {
            clock.map(absurd, at(40));
        }
    }
}
