//! The jitter buffer of one input: decoded samples go in, blocks at the program's pace come out.
//!
//! Samples are counted, and timestamps are only observed: the time of a count is the mean of what the frames state.
//! Thus rounding does not count as jitter, nor drift as a gap. Where samples are missing (a hole in the timestamps, or
//! a packet that is not there in time), and at a jump, the last 5 ms are played backwards and fade out while the next
//! samples fade in. That causes neither a click nor an audible repeat. A late packet is kept: it makes the delay rise,
//! and is then played next.
//!
//! The buffer holds at most 350 ms behind the read position and 500 ms ahead of it.

use std::collections::VecDeque;
use std::f32::consts::FRAC_PI_2;
use std::ops::Range;
use std::time::Instant;

use onmic_media::WallTime;

use super::drift::Cursor;
use super::interpolation::{self, REACH};
use super::lateness::Lateness;
use super::{BLOCK, Block, micros, samples};

/// The length of a fade: 5 ms.
const FADE: usize = 240;
/// The samples kept behind the read position: 350 ms. When the delay rises, older samples are played.
const BEHIND: i64 = 16_800;
/// The samples kept ahead of the read position: 500 ms.
const AHEAD: i64 = 24_000;
/// The least number of samples that are removed from the front at once. The rest is then not moved for every frame.
const SLACK: i64 = 4_800;
/// An offset of timestamps below this (10 ms) is rounding or drift. From it on samples are missing or overlap. The
/// shortest packet that is commonly lost has 10 ms.
const TOLERANCE: f64 = 480.0;
/// After a longer hole or overlap (500 ms) the buffer starts anew.
const LONGEST_HOLE: f64 = 24_000.0;
/// A larger step (20 ms) is not noise, so the mean starts anew.
const STEP: f64 = 960.0;
/// The number of frames over which the mean is taken.
const MEAN_FRAMES: f64 = 25.0;
/// The number of blocks after which a silent input is not counted as missing any more: 2 s.
const MISSED_FOR: u64 = 200;

/// States the times of the first sample of a frame.
#[derive(Clone, Copy, Debug)]
pub struct Stamp {
    /// The position on the input's own timeline, in samples at 48 kHz.
    pub pts: f64,
    /// When the sample was captured.
    pub wall: WallTime,
    /// When the frame arrived, by the wall clock.
    pub arrived_wall: WallTime,
    /// When the frame arrived.
    pub arrived: Instant,
}

/// States which samples are wanted.
#[derive(Clone, Copy, Debug)]
pub enum Aim {
    /// The samples from this position on the input's own timeline. It is for the lead.
    Pts(i64),
    /// The samples captured at this moment minus the input's delay.
    Wall(WallTime),
}

/// Counts what went wrong since the input began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Blocks of 10 ms that were not completely there in time.
    pub missing: u64,
    /// Frames whose samples all came after their time.
    pub late: u64,
    /// Audible jumps: the timestamps jumped, or the delay rose.
    pub jumps: u64,
    /// Frames that overlap the frames before them, or were not played when the timestamps jumped.
    pub left_out: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, other: Self) {
        self.missing += other.missing;
        self.late += other.late;
        self.jumps += other.jumps;
        self.left_out += other.left_out;
    }
}

/// Takes the mean of a quantity that has noise, drifts and may step.
#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    value: f64,
    count: f64,
}

impl Mean {
    fn observe(&mut self, value: f64) {
        if self.count == 0.0 || (value - self.value).abs() > STEP {
            *self = Self { value, count: 1.0 };
        } else {
            self.count = (self.count + 1.0).min(MEAN_FRAMES);
            self.value += (value - self.value) / self.count;
        }
    }
}

/// Is the jitter buffer of one input.
#[derive(Clone, Debug, Default)]
pub struct Input {
    samples: [Vec<f32>; 2],
    /// The count of the first sample in the buffer.
    begin: i64,
    holes: VecDeque<Range<i64>>,
    /// The end of each frame in the buffer, and when the frame arrived.
    arrivals: VecDeque<(i64, Instant)>,
    /// The moment from which wall times are counted.
    base: Option<WallTime>,
    pts: Mean,
    wall: Mean,
    cursor: Option<Cursor>,
    step: f64,
    newest: Option<(f64, WallTime)>,
    lateness: Lateness,
    rose: bool,
    splice: Splice,
    begun: bool,
    missed: u64,
    counts: Counts,
}

impl Input {
    /// Returns the count of the sample that comes next.
    fn end(&self) -> i64 {
        self.begin + self.samples[0].len() as i64
    }

    /// Takes in the samples of one frame. Both channels have the same length.
    pub fn push(&mut self, stamp: Stamp, left: &[f32], right: &[f32]) {
        let late = stamp.arrived_wall.micros_since(stamp.wall);
        self.lateness.arrived(late, stamp.arrived_wall);
        self.newest = Some((stamp.pts, stamp.wall));
        let base = *self.base.get_or_insert(stamp.wall);
        let off = stamp.pts - (self.end() as f64 + self.pts.value);
        let mut cut = 0;
        if self.samples[0].is_empty() || off.abs() > LONGEST_HOLE {
            self.restart();
        } else if off >= TOLERANCE {
            let hole = self.end()..self.end() + off.round() as i64;
            self.samples.iter_mut().for_each(|channel| channel.resize(channel.len() + off.round() as usize, 0.0));
            self.holes.push_back(hole);
        } else if off <= -TOLERANCE {
            cut = (-off).round() as usize;
        }
        let count = left.len().min(right.len());
        if cut >= count {
            self.counts.left_out += 1;
            return;
        }
        let first = self.end() as f64 - cut as f64;
        self.pts.observe(stamp.pts - first);
        self.wall.observe(samples(stamp.wall.micros_since(base)) - first);
        self.samples[0].extend_from_slice(&left[cut..count]);
        self.samples[1].extend_from_slice(&right[cut..count]);
        self.arrivals.push_back((self.end(), stamp.arrived));
        self.missed = 0;
        if let Some(cursor) = &self.cursor
            && (self.end() as f64) < cursor.position()
        {
            self.counts.late += 1;
        }
        self.evict();
    }

    fn restart(&mut self) {
        let played = self.cursor.as_ref().map_or(i64::MIN, |cursor| cursor.position() as i64);
        self.counts.left_out += self.arrivals.iter().filter(|(end, _)| *end > played).count() as u64;
        self.samples.iter_mut().for_each(Vec::clear);
        self.holes.clear();
        self.arrivals.clear();
        self.begin = 0;
        (self.pts, self.wall) = (Mean::default(), Mean::default());
        self.counts.jumps += u64::from(self.cursor.take().is_some());
    }

    fn evict(&mut self) {
        let played = self.cursor.as_ref().map_or(i64::MIN, |cursor| cursor.position() as i64 - BEHIND);
        let most = self.end() - AHEAD - BEHIND; // This bounds the buffer even if nothing is played.
        let keep = played.max(most).min(self.end());
        let count = keep.saturating_sub(self.begin);
        if count < SLACK {
            return;
        }
        self.samples.iter_mut().for_each(|channel| drop(channel.drain(..count as usize)));
        self.begin = keep;
        while self.holes.front().is_some_and(|hole| hole.end <= keep) {
            self.holes.pop_front();
        }
        while self.arrivals.front().is_some_and(|(end, _)| *end <= keep) {
            self.arrivals.pop_front();
        }
    }

    /// Returns the count of the first wanted sample.
    fn target(&self, aim: Aim) -> Option<f64> {
        let base = self.base.filter(|_| self.pts.count > 0.0)?;
        Some(match aim {
            Aim::Pts(pts) => pts as f64 - self.pts.value,
            Aim::Wall(wall) => {
                let later = self.lateness.delay_micros() + self.lateness.slip_micros();
                samples(wall.micros_since(base) - later) - self.wall.value
            }
        })
    }

    /// Returns whether a complete block at `aim`, and `ahead` more samples, could be read.
    pub fn covers(&self, aim: Aim, ahead: usize) -> bool {
        let Some(target) = self.target(aim) else { return false };
        let (from, reach) = match &self.cursor {
            Some(cursor) if self.reach(cursor.position(), self.step) == 0 => (cursor.position(), 0),
            Some(cursor) => (cursor.position(), REACH + 4), // A slewed block may need this many more.
            None => (target, 0),
        };
        from.round() as i64 + (BLOCK + ahead + reach) as i64 <= self.end()
    }

    /// Reads the block at `aim`. The caller will peek at `ahead` more samples, and the delay grows by them.
    pub fn read(&mut self, aim: Aim, ahead: usize, now: WallTime) -> Block {
        if let Aim::Wall(wall) = aim {
            self.lateness.asked(wall.micros_since(now) + micros(BLOCK as i64), now);
            self.rose |= self.lateness.update(micros(ahead as i64), now);
        }
        let Some(target) = self.target(aim) else {
            return self.splice.block(Some(&[false; BLOCK]), &Block::SILENCE);
        };
        if self.cursor.is_none() {
            self.splice.cut();
        }
        let silent = self.splice.is_silent();
        let jump = std::mem::take(&mut self.rose) || silent; // A jump in silence is inaudible.
        let motion = self.cursor.get_or_insert_with(|| Cursor::at(target)).advance(target, jump);
        self.step = motion.step;
        self.counts.jumps += u64::from(motion.jumped && !silent);
        let rendered = self.render(motion.from, motion.step);
        let there = self.there(motion.from, motion.step);
        let whole = there.iter().all(|there| *there);
        self.begun |= whole;
        if !whole && self.begun && self.missed < MISSED_FOR {
            self.missed += 1;
            self.counts.missing += 1;
        }
        if motion.jumped {
            self.splice.cut();
        }
        self.splice.block((!whole).then_some(&there), &rendered)
    }

    /// Returns the 10 ms after the last block that was read, as far as they are there.
    pub fn peek(&self) -> Block {
        self.cursor.as_ref().map_or(Block::SILENCE, |cursor| self.render(cursor.position(), self.step))
    }

    /// Returns the arrival of the newest frame that was read from.
    pub fn arrived(&self) -> Option<Instant> {
        let read = self.cursor.as_ref()?.position() as i64;
        let next = self.arrivals.partition_point(|(end, _)| *end <= read);
        self.arrivals.get(next).or(self.arrivals.back()).map(|(_, arrived)| *arrived)
    }

    /// Returns how much later than its capture the input is played, in microseconds. Its video has to be shown as late.
    pub fn delay_micros(&self) -> i64 {
        self.lateness.delay_micros()
    }

    /// Returns the largest lateness of a frame in the last seconds, in microseconds.
    pub fn late_micros(&self) -> Option<i64> {
        self.lateness.late_micros()
    }

    /// Returns the position and the wall time of the newest frame's first sample.
    pub fn newest(&self) -> Option<(f64, WallTime)> {
        self.newest
    }

    /// Returns what went wrong so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    fn render(&self, from: f64, step: f64) -> Block {
        let mut block = Block::SILENCE;
        let [left, right] = &mut block.0;
        let channels = [self.samples[0].as_slice(), self.samples[1].as_slice()];
        interpolation::read(channels, from - self.begin as f64, step, [left, right]);
        block
    }

    /// Returns how many samples on either side an output sample is interpolated from.
    fn reach(&self, from: f64, step: f64) -> i64 {
        if step == 1.0 && from.fract() == 0.0 { 0 } else { REACH as i64 }
    }

    /// Returns which samples of a block come from samples that arrived.
    fn there(&self, from: f64, step: f64) -> [bool; BLOCK] {
        let reach = self.reach(from, step);
        let (begin, end) = (self.begin + reach, self.end() - reach);
        let last = from + step * BLOCK as f64;
        let near = |hole: &&Range<i64>| ((hole.start - reach) as f64) < last && ((hole.end + reach) as f64) > from;
        let holes: Vec<_> = self.holes.iter().filter(near).collect();
        if from >= begin as f64 && last <= end as f64 && holes.is_empty() {
            return [true; BLOCK];
        }
        std::array::from_fn(|number| {
            let at = (from + step * number as f64).floor() as i64;
            at >= begin && at < end && holes.iter().all(|hole| at < hole.start - reach || at >= hole.end + reach)
        })
    }
}

/// Joins samples that do not follow each other. The end of the first part is mirrored and fades out while the second
/// part fades in.
#[derive(Clone, Debug)]
struct Splice {
    /// The last block that was put out.
    before: Block,
    /// The number of samples since the mirroring began, and where in the last two blocks (of 2 × [`BLOCK`]) its source
    /// ends.
    mirrored: usize,
    mirror_end: usize,
    /// The number of samples since the fade-in began. `None` while there are no samples.
    faded: Option<usize>,
    cut: bool,
}

impl Default for Splice {
    fn default() -> Self {
        Self { before: Block::SILENCE, mirrored: FADE, mirror_end: BLOCK, faded: None, cut: false }
    }
}

impl Splice {
    fn is_silent(&self) -> bool {
        self.faded.is_none() && self.mirrored >= FADE
    }

    /// Notes that the next block does not continue the one before.
    fn cut(&mut self) {
        self.cut = true;
    }

    /// Returns the next block, spliced where it does not continue. `there` states which samples of `next` arrived, and
    /// is `None` if all did.
    fn block(&mut self, there: Option<&[bool; BLOCK]>, next: &Block) -> Block {
        let steady = self.faded.is_some_and(|faded| faded >= FADE) && self.mirrored >= FADE && !self.cut;
        if there.is_none() && steady {
            self.before = next.clone();
            return next.clone();
        }
        let mut out = Block::SILENCE;
        for number in 0..BLOCK {
            let there = there.is_none_or(|there| there[number]);
            let ends = std::mem::take(&mut self.cut) || !there;
            if ends && self.faded.take().is_some() {
                (self.mirrored, self.mirror_end) = (0, BLOCK + number);
            }
            if there {
                self.faded = self.faded.or(Some(0));
            }
            let up = self.faded.map_or(0.0, fade);
            for channel in 0..2 {
                let mut sample = if there { next.0[channel][number] * up } else { 0.0 };
                if self.mirrored < FADE {
                    let source = (self.mirror_end - 1).checked_sub(self.mirrored);
                    let mirror = source.map_or(0.0, |source| match source.checked_sub(BLOCK) {
                        Some(this) => out.0[channel][this],
                        None => self.before.0[channel][source],
                    });
                    sample += mirror * (1.0 - fade(self.mirrored));
                }
                out.0[channel][number] = sample;
            }
            self.mirrored = (self.mirrored + 1).min(FADE);
            self.faded = self.faded.map(|faded| (faded + 1).min(FADE));
        }
        self.mirror_end = self.mirror_end.saturating_sub(BLOCK).max(1);
        self.before = out.clone();
        out
    }
}

/// Returns the gain of a fade-in, a smooth curve from 0 to 1.
fn fade(number: usize) -> f32 {
    if number >= FADE { 1.0 } else { (FRAC_PI_2 * (number as f32 + 0.5) / FADE as f32).sin().powi(2) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_that_were_not_played_before_a_jump_of_timestamps_are_counted() {
        let (mut input, now) = (Input::default(), Instant::now());
        let wall = |samples: i64| WallTime(1_795_000_000_000_000).offset_micros(samples * 125 / 6);
        let push = |input: &mut Input, pts: i64| {
            let stamp = Stamp { pts: pts as f64, wall: wall(pts), arrived_wall: wall(pts), arrived: now };
            input.push(stamp, &[0.1; 960], &[0.1; 960]);
        };
        (0..5).for_each(|frame| push(&mut input, frame * 960));
        (0..4).for_each(|block| _ = input.read(Aim::Pts(block * 480), 0, wall(4_800)));
        push(&mut input, 480_000);
        assert_eq!(input.counts().left_out, 3, "two of five were played");
    }
}
