//! The mix: the shares of all inputs summed, 10 ms at a time, on the lead's timeline.
//!
//! A block is mixed as soon as the lead's samples for it are there, so that the host's audio waits for nobody; when they
//! are not there in time, or nobody leads, by the clock. Each return is the sum less one share, limited by itself: a
//! limiter that all shared would let a participant hear their own voice move the others'.
//!
//! Pure: `now` is an argument. What comes out is [`LOOK_AHEAD`] samples behind what goes in, and its position says so.

use std::time::{Duration, Instant};

use onmic_media::{ProgramClock, WallTime};
use onmic_names::MIXED_MAX;

use super::id::InputId;
use super::input::{Aim, Counts, Stamp};
use super::lateness::MOST_MICROS;
use super::level::{Level, Meters};
use super::limiter::{LOOK_AHEAD, Limiter};
use super::speaker::Primary;
use super::strip::{Processing, Strip};
use super::wall_clock::WallClock;
use super::{BLOCK, Block, micros, samples};
use crate::error::Error;

/// Further behind (a machine that slept), what was missed is left out.
const MOST_BEHIND_MICROS: i64 = 1_000_000;

/// The line of a new lead is off by less when it is on the program's timeline; by more, it is on another one.
const STRAY_MICROS: i64 = 1_000_000;

/// On top of the lead's worst lateness, before its samples are given up.
const LEAD_MARGIN_MICROS: i64 = 10_000;

/// The input whose timeline is the program's.
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
    /// Its name in the mix.
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
    /// The input that is left out.
    pub id: InputId,
    /// The samples, limited.
    pub block: Block,
    limiter: Limiter,
}

/// One block.
#[derive(Debug)]
pub struct Mixed<'a> {
    /// The position of its first sample.
    pub position: i64,
    /// The sum of all inputs, limited.
    pub program: &'a Block,
    /// In the order they were set.
    pub returns: &'a [ReturnMix],
    /// Arrival of the newest frame that contributed to this block.
    pub arrived: Option<Instant>,
}

/// Mixes the inputs of one program.
#[derive(Debug)]
pub struct Mix {
    deadline_micros: i64,
    wall_clock: WallClock,
    lead: Option<Lead>,
    /// It has not said yet where its timeline lies.
    lead_is_new: bool,
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
            wall_clock: WallClock::default(),
            lead: None,
            lead_is_new: false,
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

    /// Says who is in it from the next block on. A new input fades in, one that is gone fades out. More than
    /// [`MIXED_MAX`] are refused, and then nothing changes.
    pub fn set(&mut self, inputs: &[MixInput], lead: Option<Lead>) -> Result<(), Error> {
        Error::unless_within("inputs", inputs.len(), MIXED_MAX)?;
        self.lead_is_new |= self.lead.map(|lead| lead.id) != lead.map(|lead| lead.id);
        self.lead = lead;
        for entry in &mut self.entries {
            entry.leaving = !inputs.iter().any(|input| input.id == entry.id);
        }
        for input in inputs {
            match self.entries.iter_mut().find(|entry| entry.id == input.id) {
                Some(entry) => entry.strip.set(input.processing),
                None => {
                    let strip = Strip::new(input.processing);
                    self.entries.push(Entry { id: input.id, strip, leaving: false });
                }
            }
        }
        self.forget_leaving();
        // Their clocks are as different as their names: what is known of the new one counts at once.
        if let Some((pts, wall)) = self.lead_entry().and_then(|entry| entry.strip.input().newest()) {
            self.follow(ProgramClock::through(micros(pts.round() as i64), wall));
        }
        Ok(())
    }

    /// Those that leave are gone with the next block. When others come and go faster than that, the first to leave are
    /// cut off without a fade, so that what is kept stays bounded.
    fn forget_leaving(&mut self) {
        let mut surplus = self.entries.iter().filter(|entry| entry.leaving).count().saturating_sub(MIXED_MAX);
        let gone = &mut self.gone;
        self.entries.retain(|entry| {
            let forget = surplus > 0 && entry.leaving;
            if forget {
                surplus -= 1;
                gone.add(entry.strip.input().counts());
            }
            !forget
        });
    }

    /// Says whose returns are made from the next block on, and in which order. An id that is no input gets everything. More
    /// than [`MIXED_MAX`] are refused, and then nothing changes.
    pub fn set_returns(&mut self, ids: &[InputId]) -> Result<(), Error> {
        Error::unless_within("returns", ids.len(), MIXED_MAX)?;
        let mut before = std::mem::take(&mut self.returns);
        self.returns.extend(ids.iter().map(|id| {
            let made = before.iter().position(|made| made.id == *id).map(|index| before.swap_remove(index));
            made.unwrap_or_else(|| ReturnMix { id: *id, block: Block::SILENCE, limiter: Limiter::default() })
        }));
        Ok(())
    }

    /// Takes in decoded samples of an input.
    pub fn push(&mut self, id: InputId, stamp: Stamp, left: &[f32], right: &[f32]) {
        if self.lead.is_some_and(|lead| lead.id == id) {
            self.follow(ProgramClock::through(micros(stamp.pts.round() as i64), stamp.wall));
        }
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.id == id) {
            entry.strip.input_mut().push(stamp, left, right);
        }
    }

    /// The newest word on where the lead's timeline lies, from its audio or its video; with no lead, on the program's. What a
    /// lead says of itself is followed exactly, so that its samples keep their timestamps.
    pub fn follow(&mut self, line: ProgramClock) {
        let shift = self.lead.map_or(0, |lead| lead.shift_micros);
        let before = self.wall_clock;
        self.wall_clock.follow(line.shifted(shift));
        if !std::mem::take(&mut self.lead_is_new) {
            return;
        }
        let off = self
            .position
            .and_then(|position| Some(self.wall_clock.wall(position)?.micros_since(before.wall(position)?)));
        // A new lead that goes on somewhere else than the program did: what goes out must go on.
        if let (Some(off), Some(lead)) = (off.filter(|off| off.abs() > STRAY_MICROS), &mut self.lead) {
            tracing::warn!(micros = off, "the lead's timeline does not continue the program's, and is shifted");
            lead.shift_micros += off;
            self.wall_clock.follow(line.shifted(lead.shift_micros));
        }
    }

    /// Where its positions lie on the wall clock.
    pub fn wall_clock(&self) -> &WallClock {
        &self.wall_clock
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
        let end = self.wall_clock.wall(self.position? + BLOCK as i64)?;
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
        let wall = self.wall_clock.wall(position).unwrap_or(now);
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
    use crate::sound::studio::{EPOCH, Publisher, Studio};
    use crate::sound::testing::{amplitude, db, largest_step, tone};

    const HOST: InputId = InputId(1);

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
        let lag = later.micros_since(studio.mix.wall_clock().wall(position).unwrap());
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
    fn a_lead_whose_first_frames_came_late_keeps_its_timestamps() {
        let mut mix = Mix::new(Duration::from_millis(80));
        mix.set(&[MixInput { id: HOST, processing: Processing::default() }], Some(HOST.into())).unwrap();
        mix.follow(ProgramClock::through(10_000_000, EPOCH));
        mix.begin(480_000);
        // What was sent two seconds ago arrives now, and what is sent now as well.
        mix.follow(ProgramClock::through(12_000_000, EPOCH));
        assert_eq!(mix.wall_clock().position(EPOCH), Some(576_000));
        assert_eq!(mix.meters().shift_micros, 0);
    }

    fn inputs(ids: std::ops::Range<u64>) -> Vec<MixInput> {
        ids.map(|id| MixInput { id: InputId(id), processing: Processing::default() }).collect()
    }

    fn heard(mix: &mut Mix) -> Vec<u64> {
        mix.meters().inputs.iter().map(|level| level.id.0).collect()
    }

    #[test]
    fn as_many_as_a_program_has_are_taken_and_more_are_refused_in_a_sentence() {
        let mut mix = Mix::new(Duration::from_millis(80));
        let most = MIXED_MAX as u64;
        mix.set(&inputs(0..most), None).unwrap();
        assert_eq!(heard(&mut mix), (0..most).collect::<Vec<_>>());
        let refused = mix.set(&inputs(100..101 + most), None).unwrap_err();
        assert_eq!(refused.to_string(), format!("a program has at most {most} inputs, not {}", most + 1));
        assert_eq!(heard(&mut mix).len(), MIXED_MAX, "what was before goes on");
        let ids: Vec<_> = (0..=most).map(InputId).collect();
        assert!(mix.set_returns(&ids[1..]).is_ok() && mix.set_returns(&ids).is_err());
        mix.set(&inputs(0..1), None).unwrap();
        assert_eq!(heard(&mut mix), [0]);
    }

    #[test]
    fn whoever_comes_last_is_heard_however_often_everybody_was_exchanged_before_the_next_block() {
        let mut mix = Mix::new(Duration::from_millis(80));
        let most = MIXED_MAX as u64;
        for round in 0..4 {
            mix.set(&inputs(round * most..(round + 1) * most), None).unwrap();
            assert_eq!(heard(&mut mix), (round * most..(round + 1) * most).collect::<Vec<_>>());
            assert!(mix.entries.len() <= 2 * MIXED_MAX);
        }
    }
}
