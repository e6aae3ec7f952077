//! The mix: everybody's share summed, 10 ms at a time, on the lead's timeline.
//!
//! A block is mixed as soon as the lead's samples for it are there, so that the host's sound waits for nobody; when they
//! are not there in time, or nobody leads, by the clock. Each return is the sum less one share, limited by itself: a
//! limiter that all shared would let a participant hear their own voice move the others'.
//!
//! Pure: `now` is an argument. What comes out is [`LOOK_AHEAD`] samples behind what goes in, and its position says so.

use std::time::{Duration, Instant};

use onmic_media::WallTime;

use super::id::InputId;
use super::input::{Aim, Counts, Stamp};
use super::lateness::MOST_MICROS;
use super::level::{Level, Meters};
use super::limiter::{LOOK_AHEAD, Limiter};
use super::speaker::Primary;
use super::strip::{Processing, Strip};
use super::timeline::Timeline;
use super::{BLOCK, Block, micros, samples};

/// More in one program are refused.
pub const MOST_INPUTS: usize = 16;

/// Further behind (a machine that slept), what was missed is left out.
const MOST_BEHIND_MICROS: i64 = 1_000_000;

/// The lead's mapping of time is corrected by less when its network changes; by more, it is another timeline.
const STRAY_MICROS: i64 = 1_000_000;

/// On top of the lead's worst lateness, before its samples are given up.
const LEAD_MARGIN_MICROS: i64 = 10_000;

/// Whose timeline the program is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lead {
    /// One of the inputs.
    pub id: InputId,
    /// Added to the lead's timestamps for the program's: 0 but after the program changed hands.
    pub shift_micros: i64,
}

impl From<InputId> for Lead {
    fn from(id: InputId) -> Self {
        Self { id, shift_micros: 0 }
    }
}

/// One participant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MixInput {
    /// Whose.
    pub id: InputId,
    /// What is done to it.
    pub processing: Processing,
}

#[derive(Debug)]
struct Entry {
    id: InputId,
    strip: Strip,
    leaving: bool,
}

/// What was mixed for one return feed.
#[derive(Debug)]
pub struct ReturnMix {
    /// Whose sound is not in it.
    pub id: InputId,
    /// Limited.
    pub block: Block,
    limiter: Limiter,
}

/// One block.
#[derive(Debug)]
pub struct Mixed<'a> {
    /// Of its first sample.
    pub position: i64,
    /// For everybody.
    pub program: &'a Block,
    /// In the order they were set.
    pub returns: &'a [ReturnMix],
    /// When the newest frame came of which there is something in it.
    pub arrived: Option<Instant>,
}

/// See the module.
#[derive(Debug)]
pub struct Mix {
    deadline_micros: i64,
    timeline: Timeline,
    lead: Option<Lead>,
    /// Where the block to be mixed next begins.
    position: Option<i64>,
    entries: Vec<Entry>,
    sum: Block,
    program: Block,
    limiter: Limiter,
    returns: Vec<ReturnMix>,
    primary: Primary,
    overrun: u64,
    gone: Counts,
}

impl Mix {
    /// Waits for the lead's samples until `deadline` after they happened.
    pub fn new(deadline: Duration) -> Self {
        Self {
            deadline_micros: i64::try_from(deadline.as_micros()).unwrap_or(i64::MAX).min(MOST_BEHIND_MICROS / 2),
            timeline: Timeline::default(),
            lead: None,
            position: None,
            entries: Vec::new(),
            sum: Block::SILENCE,
            program: Block::SILENCE,
            limiter: Limiter::default(),
            returns: Vec::new(),
            primary: Primary::default(),
            overrun: 0,
            gone: Counts::default(),
        }
    }

    /// Who is in it, from the next block on: who is new fades in, who is no more fades out. How many were refused for
    /// being too many.
    pub fn set(&mut self, inputs: &[MixInput], lead: Option<Lead>) -> usize {
        self.lead = lead;
        for entry in &mut self.entries {
            entry.leaving = !inputs.iter().any(|input| input.id == entry.id);
        }
        let mut refused = 0;
        let mut room = MOST_INPUTS.saturating_sub(self.entries.iter().filter(|entry| !entry.leaving).count());
        for input in inputs {
            match self.entries.iter_mut().find(|entry| entry.id == input.id) {
                Some(entry) => entry.strip.set(input.processing),
                None if room == 0 => refused += 1,
                None => {
                    room -= 1;
                    let strip = Strip::new(input.processing);
                    self.entries.push(Entry { id: input.id, strip, leaving: false });
                }
            }
        }
        // Their clocks are as different as their names: what is known of the new one counts at once.
        if let Some((pts, wall)) = self.lead_entry().and_then(|entry| entry.strip.input().newest()) {
            self.follow(micros(pts.round() as i64), wall);
        }
        // Those who leave are gone with the next block; nobody can come and go faster than that for long.
        self.entries.truncate(2 * MOST_INPUTS);
        refused
    }

    /// Whose returns are made, from the next block on, and in which order. An id that is no input gets everything. Those
    /// beyond [`MOST_INPUTS`] are not made.
    pub fn set_returns(&mut self, ids: &[InputId]) {
        let mut before = std::mem::take(&mut self.returns);
        self.returns.extend(ids.iter().take(MOST_INPUTS).map(|id| {
            let made = before.iter().position(|made| made.id == *id).map(|index| before.swap_remove(index));
            made.unwrap_or_else(|| ReturnMix { id: *id, block: Block::SILENCE, limiter: Limiter::default() })
        }));
    }

    /// Takes in decoded samples of an input.
    pub fn push(&mut self, id: InputId, stamp: Stamp, left: &[f32], right: &[f32]) {
        if self.lead.is_some_and(|lead| lead.id == id) {
            self.follow(micros(stamp.pts.round() as i64), stamp.wall);
        }
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.id == id) {
            entry.strip.input_mut().push(stamp, left, right);
        }
    }

    /// `wall` was the time at `pts_micros` of the lead's own timeline: for a lead without sound, from its pictures; with no
    /// lead, of the program's.
    pub fn follow(&mut self, pts_micros: i64, wall: WallTime) {
        let shift = self.lead.map_or(0, |lead| lead.shift_micros);
        let before = self.timeline;
        self.timeline.follow(pts_micros + shift, wall);
        let off =
            self.position.and_then(|position| Some(self.timeline.wall(position)?.micros_since(before.wall(position)?)));
        // A lead that goes on somewhere else than the program did: what goes out must go on.
        if let (Some(off), Some(lead)) = (off.filter(|off| off.abs() > STRAY_MICROS), &mut self.lead) {
            tracing::warn!(micros = off, "the lead's timeline does not continue the program's, and is shifted");
            lead.shift_micros += off;
            self.timeline.follow(pts_micros + lead.shift_micros, wall);
        }
    }

    /// The program's timeline.
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// From here on it mixes.
    pub fn begin(&mut self, position: i64) {
        self.position = Some(position);
    }

    /// Whether it was begun.
    pub fn has_begun(&self) -> bool {
        self.position.is_some()
    }

    /// When the next block is mixed whatever is there.
    pub fn deadline(&self) -> Option<WallTime> {
        let end = self.timeline.wall(self.position? + BLOCK as i64)?;
        Some(end.offset_micros(self.wait_micros()))
    }

    /// The lead is waited for longer when it is always later; it would have gaps in its own program otherwise.
    fn wait_micros(&self) -> i64 {
        let late = self.lead_entry().and_then(|entry| entry.strip.input().late_micros());
        let wait = late.map_or(0, |late| (late + LEAD_MARGIN_MICROS).min(MOST_MICROS));
        wait.max(self.deadline_micros)
    }

    fn lead_entry(&self) -> Option<&Entry> {
        let lead = self.lead?;
        self.entries.iter().find(|entry| entry.id == lead.id)
    }

    fn lead_aim(lead: Lead, position: i64) -> Aim {
        Aim::Pts(position - samples(lead.shift_micros).round() as i64)
    }

    /// The next block, if it is time for it.
    pub fn poll(&mut self, now: WallTime) -> Option<Mixed<'_>> {
        let deadline = self.deadline()?;
        let behind = now.micros_since(deadline);
        let position = self.position?;
        let covered = self.lead.zip(self.lead_entry()).is_some_and(|(lead, entry)| {
            entry.strip.input().covers(Self::lead_aim(lead, position), entry.strip.ahead())
        });
        if behind < 0 && !(covered && behind > -MOST_BEHIND_MICROS) {
            return None; // A lead's frames from the future do not draw the program there.
        }
        let position = if behind > MOST_BEHIND_MICROS { self.overtake(position, behind) } else { position };
        self.mix(position, now);
        self.position = Some(position + BLOCK as i64);
        let arrived = self.entries.iter().filter_map(|entry| entry.strip.arrived()).max();
        let position = position - LOOK_AHEAD as i64;
        Some(Mixed { position, program: &self.program, returns: &self.returns, arrived })
    }

    /// Leaves out what cannot be made up for. Where it goes on.
    fn overtake(&mut self, position: i64, behind_micros: i64) -> i64 {
        let blocks = samples(behind_micros) as i64 / BLOCK as i64;
        self.overrun += u64::try_from(blocks).unwrap_or(0);
        position + blocks * BLOCK as i64
    }

    fn mix(&mut self, position: i64, now: WallTime) {
        let wall = self.timeline.wall(position).unwrap_or(now);
        let lead = self.lead;
        self.sum = Block::SILENCE;
        for entry in &mut self.entries {
            let aim = match lead.filter(|lead| lead.id == entry.id) {
                Some(lead) => Self::lead_aim(lead, position),
                None => Aim::Wall(wall),
            };
            self.sum.add(entry.strip.process(aim, entry.leaving, now));
        }
        for made in &mut self.returns {
            made.block.clone_from(&self.sum);
            if let Some(own) = self.entries.iter().find(|entry| entry.id == made.id) {
                made.block.subtract(own.strip.block());
            }
            made.limiter.process(&mut made.block);
        }
        self.program.clone_from(&self.sum);
        self.limiter.process(&mut self.program);
        let gone = &mut self.gone;
        self.entries.retain(|entry| {
            let gone_now = entry.leaving && entry.strip.is_silent();
            if gone_now {
                gone.add(entry.strip.input().counts());
            }
            !gone_now
        });
        let voices = self.entries.iter_mut().filter(|entry| !entry.leaving);
        self.primary.choose(voices.map(|entry| (entry.id, &mut entry.strip.voice)));
    }

    /// Levels since the last call, and who speaks.
    pub fn meters(&mut self) -> Meters {
        let lead = self.lead.map(|lead| lead.id);
        let entries = self.entries.iter_mut().filter(|entry| !entry.leaving);
        let inputs = entries.map(|entry| {
            let (rms_db, peak_db) = entry.strip.held.take();
            let delay = if lead == Some(entry.id) { 0 } else { entry.strip.input().delay_micros() };
            Level {
                id: entry.id,
                rms_db,
                peak_db,
                speaking: entry.strip.voice.is_speaking(),
                delay: Duration::from_micros(delay.unsigned_abs()),
            }
        });
        let inputs = inputs.collect();
        Meters { primary: self.primary.id(), shift_micros: self.lead.map_or(0, |lead| lead.shift_micros), inputs }
    }

    /// What went wrong with all inputs together since it was made. Never falls.
    pub fn counts(&self) -> Counts {
        let mut counts = self.gone;
        self.entries.iter().for_each(|entry| counts.add(entry.strip.input().counts()));
        counts
    }

    /// Blocks that were left out because the mix came too late.
    pub fn overrun(&self) -> u64 {
        self.overrun
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sound::limiter::CEILING;
    use crate::sound::testing::{amplitude, db, largest_step, tone};

    const EPOCH: WallTime = WallTime(1_795_000_000_000_000);
    const HOST: InputId = InputId(1);

    /// A publisher of a tone.
    #[derive(Clone)]
    struct Publisher {
        id: InputId,
        hz: f64,
        amplitude: f64,
        /// Of its clock against ours.
        ppm: f64,
        /// When its timeline begins, and with which timestamp, in samples.
        from: f64,
        pts: f64,
        /// Samples in a frame.
        frame: usize,
        sent: usize,
        /// Of frame number n, in milliseconds.
        late: fn(usize) -> i64,
        /// Frames that never come.
        lost: fn(usize) -> bool,
    }

    impl Publisher {
        fn new(id: u64, hz: f64, amplitude: f64) -> Self {
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

        fn wall(&self, number: usize) -> f64 {
            self.from + (number * self.frame) as f64 * (1.0 + self.ppm / 1e6)
        }

        /// Where there is no frequency, of a fan: white noise through a moving mean. (White noise itself is none that the
        /// network has learnt; it takes off 1 to 6 dB.)
        fn sample(&self, number: usize) -> f32 {
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

        /// Pushes what arrived by `now` (samples since the epoch).
        fn push(&mut self, now: f64, start: Instant, mix: &mut Mix) {
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

    struct Studio {
        mix: Mix,
        publishers: Vec<Publisher>,
        start: Instant,
        now: f64,
        program: Vec<f32>,
        first: Option<i64>,
        returns: Vec<Vec<f32>>,
        waits: Vec<f64>,
    }

    impl Studio {
        fn new(publishers: &[Publisher], lead: Option<InputId>) -> Self {
            let mut mix = Mix::new(Duration::from_millis(80));
            let inputs: Vec<_> = publishers
                .iter()
                .map(|publisher| MixInput { id: publisher.id, processing: Processing::default() })
                .collect();
            assert_eq!(mix.set(&inputs, lead.map(Lead::from)), 0);
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

        fn set(&mut self, change: impl Fn(usize, &mut Processing), lead: Option<InputId>) {
            let inputs = self.publishers.iter().enumerate().map(|(number, publisher)| {
                let mut processing = Processing::default();
                change(number, &mut processing);
                MixInput { id: publisher.id, processing }
            });
            self.mix.set(&inputs.collect::<Vec<_>>(), lead.map(Lead::from));
        }

        /// Goes on for so many seconds, in steps of a millisecond.
        fn run(&mut self, seconds: f64) {
            let end = self.now + seconds * 48_000.0;
            while self.now < end {
                self.now += 48.0;
                for publisher in &mut self.publishers {
                    publisher.push(self.now, self.start, &mut self.mix);
                }
                let now = EPOCH.offset_micros((self.now / 0.048) as i64);
                if !self.mix.has_begun() {
                    if !self.mix.timeline().is_known() {
                        self.mix.follow(10_000_000, EPOCH); // Nobody leads.
                    }
                    let position = self.mix.timeline().position(now).unwrap();
                    self.mix.begin(position);
                }
                while let Some(mixed) = self.mix.poll(now) {
                    assert!(mixed.program.0.iter().flatten().all(|sample| sample.abs() <= CEILING));
                    let first = *self.first.get_or_insert(mixed.position);
                    assert_eq!(mixed.position, first + self.program.len() as i64, "a timeline without holes");
                    self.program.extend_from_slice(&mixed.program.0[0]);
                    for (line, made) in self.returns.iter_mut().zip(mixed.returns) {
                        line.extend_from_slice(&made.block.0[0]);
                    }
                    let wall = self.mix.timeline().wall(first + self.program.len() as i64 - BLOCK as i64).unwrap();
                    self.waits.push(now.micros_since(wall) as f64 / 1_000.0);
                }
            }
        }

        fn last(&self, seconds: f64) -> &[f32] {
            &self.program[self.program.len() - (seconds * 48_000.0) as usize..]
        }

        fn returned(&self, number: usize, seconds: f64) -> &[f32] {
            let line = &self.returns[number];
            &line[line.len() - (seconds * 48_000.0) as usize..]
        }

        fn make_returns(&mut self) {
            let ids: Vec<_> = self.publishers.iter().map(|publisher| publisher.id).collect();
            self.mix.set_returns(&ids);
        }
    }

    #[test]
    fn a_return_has_everybody_but_its_own_even_when_the_limiter_works() {
        // Together 2.1: the limiter of the program and of every return has to work.
        let publishers =
            [Publisher::new(1, 437.0, 0.7), Publisher::new(2, 1_103.0, 0.7), Publisher::new(3, 2_711.0, 0.7)];
        let mut studio = Studio::new(&publishers, Some(HOST));
        studio.make_returns();
        studio.run(3.0);
        for (number, own) in publishers.iter().enumerate() {
            let line = studio.returned(number, 1.0);
            let own_amplitude = amplitude(line, own.hz);
            for other in publishers.iter().filter(|other| other.id != own.id) {
                let below = db(own_amplitude / amplitude(line, other.hz));
                assert!(below < -80.0, "{} Hz is only {below:.1} dB below {} Hz", own.hz, other.hz);
            }
            assert!(db(amplitude(studio.last(1.0), own.hz)) > -16.0, "everybody is in the program");
        }
    }

    #[test]
    fn the_lead_is_exactly_where_its_timestamps_say_and_waits_for_nobody() {
        let mut host = Publisher::new(1, 437.0, 0.5);
        host.frame = 1_024;
        host.pts = 480_000.0;
        let mut guest = Publisher::new(2, 5_000.0, 0.0);
        guest.late = |_| 120;
        let mut studio = Studio::new(&[host, guest], Some(HOST));
        studio.run(4.0);
        let first = studio.first.unwrap();
        for (number, sample) in studio.program.iter().enumerate().skip(48_000) {
            let wanted = tone(437.0, 0.5, (first + number as i64 - 480_000) as f64);
            assert!((sample - wanted).abs() < 1e-6, "{sample} {wanted} at {number}");
        }
        // A block is out when the lead's samples for it and 5 ms more are in.
        assert!(studio.waits[100..].iter().all(|wait| *wait < 20.0), "{:?}", &studio.waits[100..200]);
        assert_eq!(studio.mix.counts().missing, 0);
    }

    #[test]
    fn drift_between_clocks_makes_neither_gap_nor_jump_nor_a_change_of_pitch() {
        for ppm in [100.0, -100.0] {
            let mut guest = Publisher::new(2, 1_000.0, 0.5);
            guest.ppm = ppm;
            let mut studio = Studio::new(&[Publisher::new(1, 100.0, 0.0), guest], Some(HOST));
            studio.run(20.0);
            assert_eq!(studio.mix.counts().jumps + studio.mix.counts().missing, 0, "{:?}", studio.mix.counts());
            let heard = studio.last(15.0);
            assert!(largest_step(heard) < 0.5 * 0.131 * 1.01);
            for second in heard.chunks_exact(48_000) {
                assert!((amplitude(second, 1_000.0 / (1.0 + ppm / 1e6)) - 0.5).abs() < 0.005);
            }
        }
    }

    #[test]
    fn muting_makes_no_click_and_leaves_nothing() {
        let mut studio = Studio::new(&[Publisher::new(1, 100.0, 0.0), Publisher::new(2, 440.0, 0.6)], Some(HOST));
        studio.run(2.0);
        studio.set(|number, processing| processing.muted = number == 1, Some(HOST));
        studio.run(1.0);
        assert!(studio.last(0.9).iter().all(|sample| *sample == 0.0));
        studio.set(|_, _| {}, Some(HOST));
        studio.run(1.0);
        assert!((amplitude(studio.last(0.5), 440.0) - 0.6).abs() < 0.01);
        assert!(largest_step(studio.last(3.5)) < 0.6 * 0.0577 + 0.6 / 480.0);
    }

    #[test]
    fn late_packets_raise_the_delay_and_are_heard() {
        let mut guest = Publisher::new(2, 440.0, 0.5);
        guest.late = |number| if number % 40 == 20 { 110 } else { 5 };
        let mut studio = Studio::new(&[Publisher::new(1, 100.0, 0.0), guest], Some(HOST));
        studio.run(3.0);
        let (before, delay) = (studio.mix.counts(), studio.mix.meters().inputs[1].delay);
        assert!((120..180).contains(&delay.as_millis()), "{delay:?}");
        assert!(before.missing <= 12 && before.jumps <= 2, "{before:?}");
        studio.run(5.0);
        assert_eq!(studio.mix.counts(), before, "nothing is missed any more");
        assert!((amplitude(studio.last(4.0), 440.0) - 0.5).abs() < 0.005);
    }

    #[test]
    fn a_lost_packet_is_a_soft_hole_and_the_rest_stays_in_place() {
        let mut guest = Publisher::new(2, 440.0, 0.5);
        guest.lost = |number| number == 100;
        let mut studio = Studio::new(&[Publisher::new(1, 100.0, 0.0), guest], Some(HOST));
        studio.run(4.0);
        assert!(largest_step(studio.last(3.0)) < 0.5 * 0.0577 * 1.2 + 0.5 / 240.0 * 1.6);
        let counts = studio.mix.counts();
        assert!((2..=3).contains(&counts.missing) && counts.jumps == 0, "{counts:?}");
        let quiet = studio.program.chunks_exact(240).skip(240).filter(|part| part.iter().all(|s| s.abs() < 1e-3));
        assert!((1..=4).contains(&quiet.count()), "20 ms less two fades");
    }

    #[test]
    fn without_the_leads_sound_the_clock_goes_on() {
        let mut host = Publisher::new(1, 300.0, 0.4);
        host.lost = |number| (150..250).contains(&number);
        let mut studio = Studio::new(&[host, Publisher::new(2, 1_000.0, 0.4)], Some(HOST));
        studio.run(8.0);
        let part = |from: f64, to: f64| &studio.program[(from * 48_000.0) as usize..(to * 48_000.0) as usize];
        for (from, to) in [(1.0, 2.5), (3.3, 4.7), (6.0, 7.5)] {
            assert!((amplitude(part(from, to), 1_000.0) - 0.4).abs() < 0.01, "{from}");
        }
        assert!(amplitude(part(3.3, 4.7), 300.0) < 1e-3);
        assert!((amplitude(part(6.0, 7.5), 300.0) - 0.4).abs() < 0.01, "the host is back");
        assert!(studio.waits.iter().all(|wait| *wait < 100.0), "mixed at the deadline at the latest");
    }

    #[test]
    fn nobody_needs_to_lead() {
        let mut studio = Studio::new(&[Publisher::new(1, 300.0, 0.4), Publisher::new(2, 1_000.0, 0.4)], None);
        studio.run(3.0);
        for hz in [300.0, 1_000.0] {
            assert!((amplitude(studio.last(1.0), hz) - 0.4).abs() < 0.01);
        }
        assert!(studio.waits.iter().all(|wait| (80.0..100.0).contains(wait)), "{:?}", studio.waits);
        assert_eq!(studio.mix.meters().inputs[0].delay, Duration::from_millis(20), "the deadline leaves time enough");
    }

    #[test]
    fn who_speaks_is_told_with_levels() {
        let mut guest = Publisher::new(2, 440.0, 0.5);
        guest.from = 48_000.0;
        let mut studio = Studio::new(&[Publisher::new(1, 100.0, 0.001), guest], Some(HOST));
        studio.run(0.9);
        assert_eq!(studio.mix.meters().primary, None);
        studio.run(0.5);
        let meters = studio.mix.meters();
        assert_eq!(meters.primary, Some(InputId(2)));
        assert!(meters.inputs[1].speaking && !meters.inputs[0].speaking);
        assert!((meters.inputs[1].rms_db + 9.03).abs() < 0.2, "{meters:?}");
        assert!((meters.inputs[0].rms_db + 63.0).abs() < 0.5, "{meters:?}");
    }

    #[test]
    fn noise_is_suppressed_in_its_place_and_without_a_click() {
        let rms =
            |samples: &[f32]| (samples.iter().map(|s| f64::from(s * s)).sum::<f64>() / samples.len() as f64).sqrt();
        let mut guest = Publisher::new(2, 0.0, 0.1);
        let mut studio = Studio::new(&[Publisher::new(1, 100.0, 0.0), guest.clone()], Some(HOST));
        studio.run(1.0);
        let noise = rms(studio.last(0.5));
        studio.set(|number, processing| processing.denoise = number == 1, Some(HOST));
        studio.run(3.0);
        assert!(db(rms(studio.last(1.0)) / noise) < -15.0, "{}", db(rms(studio.last(1.0)) / noise));
        studio.set(|_, _| {}, Some(HOST));
        studio.run(1.0);
        assert!(db(rms(studio.last(0.5)) / noise).abs() < 0.5);

        // What the network takes for a voice passes: its place and the ways in and out can be heard.
        guest = Publisher::new(2, 220.0, 0.3);
        let mut studio = Studio::new(&[Publisher::new(1, 100.0, 0.0), guest], Some(HOST));
        studio.run(1.0);
        studio.set(|number, processing| processing.denoise = number == 1, Some(HOST));
        studio.run(0.3);
        studio.set(|_, _| {}, Some(HOST));
        studio.run(1.0);
        assert!(largest_step(studio.last(2.0)) < 0.3 * 0.0288 * 2.0);
        assert_eq!(studio.mix.counts().missing, 0);
    }

    #[test]
    fn a_machine_that_slept_goes_on_at_the_present() {
        let mut studio = Studio::new(&[Publisher::new(1, 300.0, 0.4)], Some(HOST));
        studio.run(1.0);
        let later = EPOCH.offset_micros(11_000_000);
        let position = studio.mix.poll(later).unwrap().position;
        let lag = later.micros_since(studio.mix.timeline().wall(position).unwrap());
        assert!((0..400_000).contains(&lag), "{lag}");
        assert!((800..1_000).contains(&studio.mix.overrun()), "{}", studio.mix.overrun());
    }

    #[test]
    fn a_lead_from_elsewhere_is_shifted_to_where_the_program_is() {
        let mut other = Publisher::new(2, 1_000.0, 0.4);
        other.pts = 99_000_000.0;
        let mut studio = Studio::new(&[Publisher::new(1, 300.0, 0.4), other], Some(HOST));
        studio.run(2.0);
        studio.set(|_, _| {}, Some(InputId(2)));
        studio.run(2.0);
        assert!((studio.mix.meters().shift_micros + 2_052_000_000).abs() < 1_000_000);
        assert!((amplitude(studio.last(1.0), 1_000.0) - 0.4).abs() < 0.01);
        assert!((amplitude(studio.last(1.0), 300.0) - 0.4).abs() < 0.01);
        let clicks = largest_step(studio.last(3.0));
        assert!(clicks < 0.4 * (0.131 + 0.0393) * 1.1, "{clicks}");
    }

    #[test]
    fn too_many_are_refused() {
        let mut mix = Mix::new(Duration::from_millis(80));
        let inputs: Vec<_> =
            (0..18).map(|id| MixInput { id: InputId(id), processing: Processing::default() }).collect();
        assert_eq!(mix.set(&inputs, None), 2);
        assert_eq!(mix.meters().inputs.len(), MOST_INPUTS);
        mix.set(&inputs[..1], None);
        assert_eq!(mix.meters().inputs.len(), 1);
    }
}
