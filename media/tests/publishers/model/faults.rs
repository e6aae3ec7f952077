//! What goes wrong with a publisher's clock or its network. All times are in µs of the true clock.

use onmic_media::MediaKind;

use super::random::Random;

pub(super) const SECOND: i64 = 1_000_000;

/// Names the kinds of media that a fault concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    Video,
    Audio,
    Both,
}

impl Of {
    pub(crate) fn includes(self, kind: MediaKind) -> bool {
        match self {
            Self::Video => kind == MediaKind::Video,
            Self::Audio => kind == MediaKind::Audio,
            Self::Both => true,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The clock steps by this.
    Step(i64),
    /// Nothing is sent, and the clock goes on: a camera or microphone that is off.
    Pause,
    /// Nothing is sent, and the clock does not go on.
    Stood,
    /// Frames are sent, and all state the same time. Afterwards the clock goes on from there.
    Frozen,
    /// The same, but afterwards the clock shows the true time again.
    Stuck,
    /// Frames state no time, which is zero.
    Missing,
    /// Two frames state the same time.
    Pairs,
    /// Stated times are off by up to this, at random.
    Shaken(i64),
    /// The clock goes back to zero whenever it has reached this.
    SawTooth(i64),
    /// In each period of this length, the clock stands for that part of it, in percent, and catches up in the rest.
    Halting(i64, i64),
    /// The clock runs at this many percent of its pace. Afterwards it goes on from there.
    Paced(i64),
    /// The network delivers nothing, and then all at once.
    Stall,
    /// The network delivers only at multiples of this.
    Bunches(i64),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    pub(crate) of: Of,
    pub(crate) from: i64,
    pub(crate) until: i64,
}

impl Fault {
    /// Draws a fault that begins at `from`.
    pub(super) fn draw(random: &mut Random, from: i64) -> Self {
        let of = random.choose(&[Of::Video, Of::Audio, Of::Both, Of::Both]);
        let millis = |random: &mut Random, least, most| random.between(least, most) * 1000;
        let lasts = millis(random, 200, 12_000);
        let fault = |kind, lasts| Self { kind, of, from, until: from + lasts };
        match random.between(0, 10) {
            0..=2 => fault(Kind::Step(step(random)), 0),
            3 => fault(Kind::Pause, lasts),
            4 => fault(Kind::Stood, lasts),
            5 => fault(random.choose(&[Kind::Frozen, Kind::Stuck]), lasts),
            6 => fault(random.choose(&[Kind::Missing, Kind::Pairs]), lasts),
            7 => fault(Kind::Shaken(millis(random, 5, 15)), lasts),
            8 => fault(Kind::SawTooth(millis(random, 160, 8_000)), lasts),
            9 => Self { of: Of::Both, ..fault(Kind::Stall, lasts) },
            _ => Self { of: Of::Both, ..fault(Kind::Bunches(millis(random, 100, 400)), lasts) },
        }
    }

    /// Draws a fault of a clock that goes wrong again and again.
    pub(super) fn lasting(random: &mut Random, from: i64) -> Self {
        let kind = if random.percent(60) {
            Kind::Halting(random.between(200, 6_000) * 1000, random.between(20, 75))
        } else {
            Kind::Paced(random.choose(&[30, 50, 75, 130, 150, 200, 400, 1_000, 2_000]))
        };
        let of = random.choose(&[Of::Video, Of::Audio, Of::Both]);
        // Clocks of all tracks that are too fast look like a network that catches up.
        let of = if of == Of::Both && matches!(kind, Kind::Paced(_)) { Of::Audio } else { of };
        // Frames of video that each state half a second more are steps, and not a pace.
        let is_of_steps = kind == Kind::Paced(2_000) && of == Of::Video;
        let kind = if is_of_steps { Kind::Paced(400) } else { kind };
        Self { kind, of, from, until: from + random.between(20, 60) * SECOND }
    }

    /// Returns a publisher's first seconds that come at once, as after a stall.
    pub(super) fn burst(lasts: i64) -> Self {
        Self { kind: Kind::Stall, of: Of::Both, from: 0, until: lasts }
    }

    pub(crate) fn is_on(&self, at: i64) -> bool {
        (self.from..self.until).contains(&at)
    }

    /// Whether it lasts for long, and the promises have to be kept meanwhile.
    pub(crate) fn is_lasting(&self) -> bool {
        matches!(self.kind, Kind::Halting(..) | Kind::Paced(_))
    }

    /// Whether frames are placed by their arrival meanwhile, and for some seconds afterwards.
    pub(crate) fn is_placed_by_arrival(&self) -> bool {
        self.is_lasting() || matches!(self.kind, Kind::Frozen | Kind::Stuck | Kind::Missing)
    }

    /// Whether only the network is concerned, and no stated time.
    pub(crate) fn is_of_network(&self) -> bool {
        matches!(self.kind, Kind::Stall | Kind::Bunches(_))
    }

    /// Returns the time by which a clock that it stops or hurries is ahead at `at`.
    pub(super) fn stops(&self, at: i64) -> i64 {
        match self.kind {
            Kind::Stood | Kind::Frozen if at >= self.from => self.from - at.min(self.until),
            Kind::Stuck if self.is_on(at) => self.from - at,
            Kind::Halting(period, percent) if self.is_on(at) => {
                let (passed, stands) = ((at - self.from) % period, period * percent / 100);
                -passed.min(stands * (period - passed) / (period - stands))
            }
            Kind::Paced(percent) if at >= self.from => (at.min(self.until) - self.from) * (percent - 100) / 100,
            _ => 0,
        }
    }

    /// Returns the time by which it has moved a clock at `at`.
    pub(super) fn steps(&self, at: i64) -> i64 {
        match self.kind {
            Kind::Step(step) if at >= self.from => step,
            _ => 0,
        }
    }
}

/// Draws a step: any size from 20 ms to the wraps of 24 and 32 bits of milliseconds and 33 bits of 90 kHz.
fn step(random: &mut Random) -> i64 {
    let millis = match random.between(0, 9) {
        0..=2 => random.between(20, 200),
        3..=5 => random.between(200, 1_000),
        6 | 7 => random.between(1_000, 20_000),
        8 => random.between(20_000, 1_814_400_000),
        _ => random.choose(&[1 << 24, 1 << 32, (1 << 33) / 90]),
    };
    millis * 1000 * random.choose(&[-1, 1])
}
