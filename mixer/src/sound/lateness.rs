//! Decides how much later than its capture an input is played, so that its packets come in time: the depth of a jitter
//! buffer that follows the network.
//!
//! Two things decide: how late packets come, and how early the mix asks for them (it runs with the lead's frames, which
//! may be early). Each counts with its largest value of the last seconds. The delay rises at once, because the next
//! late packet would be missed too. It falls slowly enough to be slewed.

use onmic_media::WallTime;

/// The limits of a participant's delay: 20 to 300 ms.
pub(crate) const LEAST_MICROS: i64 = 20_000;
pub(crate) const MOST_MICROS: i64 = 300_000;

/// The largest values are kept for 4 s, in parts of 0.5 s.
const PART_MICROS: i64 = 500_000;
const PARTS: usize = 8;

/// The reserve for the reach of the resamplers and the wake-up of a thread.
const MARGIN_MICROS: i64 = 5_000;
/// Is added when the delay has to rise, so that it does not rise again at once by another millisecond.
const RISE_MICROS: i64 = 10_000;
/// The delay falls only if it is higher than needed by more than this.
const SPARE_MICROS: i64 = 20_000;
/// How fast the delay falls: three fifths of the fastest slew, so that drift can be followed at the same time.
const FALL_PPM: i64 = 3_000;

/// Keeps the largest values of the last seconds.
#[derive(Clone, Debug, Default)]
struct Worst {
    parts: [Option<i64>; PARTS],
    newest: usize,
    since: Option<WallTime>,
}

impl Worst {
    fn observe(&mut self, value: i64, now: WallTime) {
        let since = *self.since.get_or_insert(now);
        if now.micros_since(since) > PART_MICROS {
            self.newest = (self.newest + 1) % PARTS;
            self.parts[self.newest] = None;
            self.since = Some(now);
        }
        let part = &mut self.parts[self.newest];
        *part = Some(part.map_or(value, |worst| worst.max(value)));
    }

    fn most(&self) -> Option<i64> {
        self.parts.iter().flatten().copied().max()
    }

    /// Returns the smallest of the largest values of the parts. Single packets do not raise it.
    fn least(&self) -> Option<i64> {
        self.parts.iter().flatten().copied().min()
    }
}

/// Computes the delay of one input.
#[derive(Clone, Debug)]
pub(crate) struct Lateness {
    late: Worst,
    early: Worst,
    delay: i64,
    /// How much later than the delay the input is played. It is above 0 only if packets always come later than
    /// [`MOST_MICROS`] allows. Such an input is heard later than it is seen.
    slip: i64,
    updated: Option<WallTime>,
}

impl Default for Lateness {
    fn default() -> Self {
        Self { late: Worst::default(), early: Worst::default(), delay: LEAST_MICROS, slip: 0, updated: None }
    }
}

impl Lateness {
    /// Notes that a packet whose first sample was captured `late_micros` ago arrived at `now`.
    pub(crate) fn arrived(&mut self, late_micros: i64, now: WallTime) {
        self.late.observe(late_micros, now);
    }

    /// Notes that at `now` the mix asked for samples that, without any delay, would be `early_micros` in the future.
    pub(crate) fn asked(&mut self, early_micros: i64, now: WallTime) {
        self.early.observe(early_micros, now);
    }

    /// Returns the largest lateness of a packet.
    pub(crate) fn late_micros(&self) -> Option<i64> {
        self.late.most()
    }

    /// Returns the delay in force.
    pub(crate) fn delay_micros(&self) -> i64 {
        self.delay
    }

    /// Returns how much later than the delay the input is played.
    pub(crate) fn slip_micros(&self) -> i64 {
        self.slip
    }

    /// Updates the delay. `extra_micros` is the reserve for processing that needs samples ahead. Returns whether the
    /// delay rose.
    pub(crate) fn update(&mut self, extra_micros: i64, now: WallTime) -> bool {
        let since = now.micros_since(self.updated.unwrap_or(now)).max(0);
        let (Some(late), Some(always)) = (self.late.most(), self.late.least()) else { return false };
        let ahead = self.early.most().unwrap_or(0) + extra_micros + MARGIN_MICROS;
        // A packet that is too late for any allowed delay does not raise the delay.
        let late = if late + ahead > MOST_MICROS { always.max(self.saved(MOST_MICROS - ahead)) } else { late };
        let need = late + ahead;
        let slip = (need - MOST_MICROS).max(0);
        let need = need.clamp(LEAST_MICROS, MOST_MICROS);
        if need > self.delay || slip > self.slip {
            self.delay = (need + RISE_MICROS).min(MOST_MICROS);
            self.slip = if slip > self.slip { slip + RISE_MICROS } else { self.slip };
            self.updated = Some(now);
            return true;
        }
        let fall = since * FALL_PPM / 1_000_000;
        if fall > 0 || self.updated.is_none() {
            self.updated = Some(now);
            if slip + SPARE_MICROS < self.slip {
                self.slip -= fall;
            } else if need + SPARE_MICROS < self.delay {
                self.delay = (self.delay - fall).max(LEAST_MICROS);
            }
        }
        false
    }

    /// Returns the largest lateness that is not above `most`.
    fn saved(&self, most: i64) -> i64 {
        self.late.parts.iter().flatten().copied().filter(|late| *late <= most).max().unwrap_or(i64::MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends packets every 20 ms for `seconds`. `late` gives their lateness in ms. Returns the delay after each second,
    /// in ms.
    fn run(lateness: &mut Lateness, from: u64, seconds: u64, late: impl Fn(u64) -> i64) -> Vec<i64> {
        let mut delays = Vec::new();
        for packet in 0..seconds * 50 {
            let now = WallTime(1_000_000_000 + from * 1_000_000 + packet * 20_000);
            lateness.arrived(late(packet) * 1_000, now);
            lateness.asked(15_000, now);
            lateness.update(0, now);
            if packet % 50 == 49 {
                delays.push(lateness.delay_micros() / 1_000);
            }
        }
        delays
    }

    #[test]
    fn the_delay_rises_at_once_and_falls_slowly() {
        let mut lateness = Lateness::default();
        assert_eq!(run(&mut lateness, 0, 3, |_| 10), [40, 40, 40], "10 ms late, 15 early, 5 margin, 10 to rise");
        assert_eq!(run(&mut lateness, 3, 1, |packet| if packet == 30 { 90 } else { 10 }), [120]);
        let fallen = run(&mut lateness, 4, 40, |_| 10);
        assert_eq!(fallen[2], 120, "the delay is held while the late packet is remembered");
        assert!(fallen.windows(2).all(|pair| (0..=4).contains(&(pair[0] - pair[1]))), "{fallen:?}");
        assert!((48..=52).contains(fallen.last().unwrap()), "{fallen:?}");
    }

    #[test]
    fn a_packet_that_is_too_late_for_any_delay_does_not_raise_the_delay() {
        let mut lateness = Lateness::default();
        let delays = run(&mut lateness, 0, 3, |packet| if packet == 75 { 2_000 } else { 10 });
        assert!(delays.iter().all(|delay| *delay <= 50), "{delays:?}");
    }

    #[test]
    fn an_input_that_is_always_later_than_the_maximum_delay_is_played_later() {
        let mut lateness = Lateness::default();
        run(&mut lateness, 0, 6, |packet| if packet < 50 { 10 } else { 700 });
        assert_eq!(lateness.delay_micros(), MOST_MICROS);
        assert!((420_000..450_000).contains(&lateness.slip_micros()), "{}", lateness.slip_micros());
    }
}
