//! Publishers of tones and the mix that they feed, in virtual time, for this module's tests.

use std::time::{Duration, Instant};

use onmic_media::{ProgramClock, WallTime};

use super::BLOCK;
use super::id::InputId;
use super::input::Stamp;
use super::limiter::CEILING;
use super::mix::{Lead, Mix, MixInput};
use super::strip::Processing;
use super::testing::tone;

/// The start of virtual time.
pub(crate) const EPOCH: WallTime = WallTime(1_795_000_000_000_000);

/// Publishes a tone.
#[derive(Clone)]
pub(crate) struct Publisher {
    pub(crate) id: InputId,
    pub(crate) hz: f64,
    pub(crate) amplitude: f64,
    /// The drift of the publisher's clock against ours.
    pub(crate) ppm: f64,
    /// When the publisher's timeline begins, in samples.
    pub(crate) from: f64,
    /// The timestamp of the first frame, in samples.
    pub(crate) pts: f64,
    /// The number of samples in a frame.
    pub(crate) frame: usize,
    pub(crate) sent: usize,
    /// Returns by how many milliseconds frame number n is late.
    pub(crate) late: fn(usize) -> i64,
    /// Whether frame number n is lost.
    pub(crate) lost: fn(usize) -> bool,
}

impl Publisher {
    pub(crate) fn new(id: u64, hz: f64, amplitude: f64) -> Self {
        Self {
            id: InputId(id),
            hz,
            amplitude,
            ppm: 0.0,
            from: 0.0,
            pts: 480_000.0 + id as f64 * 1_234.5,
            frame: 960,
            sent: 0,
            late: |_| 3,
            lost: |_| false,
        }
    }

    pub(crate) fn wall(&self, number: usize) -> f64 {
        self.from + (number * self.frame) as f64 * (1.0 + self.ppm / 1e6)
    }

    /// Returns a sample of the tone. Without a frequency it is the noise of a fan: white noise through a moving mean.
    /// (The network has not learnt plain white noise, and suppresses it by only 1 to 6 dB.)
    pub(crate) fn sample(&self, number: usize) -> f32 {
        if self.hz > 0.0 {
            return tone(self.hz, self.amplitude, number as f64);
        }
        let white = |number: usize| {
            let bits = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((bits ^ bits >> 31) >> 40) as f64 / f64::from(1 << 23) - 1.0
        };
        ((number..number + 24).map(white).sum::<f64>() / 24.0 * self.amplitude) as f32
    }

    /// Pushes the frames that have arrived by `now` (in samples since the epoch).
    pub(crate) fn push(&mut self, now: f64, start: Instant, mix: &mut Mix) {
        while self.wall(self.sent) + (self.late)(self.sent) as f64 * 48.0 <= now {
            let number = self.sent;
            self.sent += 1;
            if (self.lost)(number) {
                continue;
            }
            let first = number * self.frame;
            let samples: Vec<f32> = (0..self.frame).map(|n| self.sample(first + n)).collect();
            let wall = EPOCH.offset_micros((self.wall(number) / 0.048) as i64);
            let arrived_wall = wall.offset_micros((self.late)(number) * 1_000);
            let stamp = Stamp { pts: self.pts + first as f64, wall, arrived_wall, arrived: start };
            mix.push(self.id, stamp, &samples, &samples);
        }
    }
}

pub(crate) struct Studio {
    pub(crate) mix: Mix,
    pub(crate) publishers: Vec<Publisher>,
    pub(crate) start: Instant,
    pub(crate) now: f64,
    pub(crate) program: Vec<f32>,
    pub(crate) first: Option<i64>,
    pub(crate) returns: Vec<Vec<f32>>,
    pub(crate) waits: Vec<f64>,
}

impl Studio {
    pub(crate) fn new(publishers: &[Publisher], lead: Option<InputId>) -> Self {
        let mut mix = Mix::new(Duration::from_millis(80));
        let inputs: Vec<_> = publishers
            .iter()
            .map(|publisher| MixInput { id: publisher.id, processing: Processing::default() })
            .collect();
        mix.set(&inputs, lead.map(Lead::from)).unwrap();
        Self {
            mix,
            publishers: publishers.to_vec(),
            start: Instant::now(),
            now: 0.0,
            program: Vec::new(),
            first: None,
            returns: vec![Vec::new(); publishers.len()],
            waits: Vec::new(),
        }
    }

    pub(crate) fn set(&mut self, change: impl Fn(usize, &mut Processing), lead: Option<InputId>) {
        let inputs = self.publishers.iter().enumerate().map(|(number, publisher)| {
            let mut processing = Processing::default();
            change(number, &mut processing);
            MixInput { id: publisher.id, processing }
        });
        self.mix.set(&inputs.collect::<Vec<_>>(), lead.map(Lead::from)).unwrap();
    }

    /// Advances virtual time by `seconds`, in steps of a millisecond.
    pub(crate) fn run(&mut self, seconds: f64) {
        let end = self.now + seconds * 48_000.0;
        while self.now < end {
            self.now += 48.0;
            for publisher in &mut self.publishers {
                publisher.push(self.now, self.start, &mut self.mix);
            }
            let now = EPOCH.offset_micros((self.now / 0.048) as i64);
            if !self.mix.has_begun() {
                if !self.mix.wall_clock().is_known() {
                    self.mix.follow(ProgramClock::starting(EPOCH)); // There is no lead.
                }
                let position = self.mix.wall_clock().position(now).unwrap();
                self.mix.begin(position);
            }
            while let Some(mixed) = self.mix.poll(now) {
                assert!(mixed.program.0.iter().flatten().all(|sample| sample.abs() <= CEILING));
                let first = *self.first.get_or_insert(mixed.position);
                assert_eq!(mixed.position, first + self.program.len() as i64, "the timeline has no holes");
                self.program.extend_from_slice(&mixed.program.0[0]);
                for (line, made) in self.returns.iter_mut().zip(mixed.returns) {
                    line.extend_from_slice(&made.block.0[0]);
                }
                let wall = self.mix.wall_clock().wall(first + self.program.len() as i64 - BLOCK as i64).unwrap();
                self.waits.push(now.micros_since(wall) as f64 / 1_000.0);
            }
        }
    }

    pub(crate) fn last(&self, seconds: f64) -> &[f32] {
        &self.program[self.program.len() - (seconds * 48_000.0) as usize..]
    }

    pub(crate) fn returned(&self, number: usize, seconds: f64) -> &[f32] {
        let line = &self.returns[number];
        &line[line.len() - (seconds * 48_000.0) as usize..]
    }

    pub(crate) fn make_returns(&mut self) {
        let ids: Vec<_> = self.publishers.iter().map(|publisher| publisher.id).collect();
        self.mix.set_returns(&ids).unwrap();
    }
}
