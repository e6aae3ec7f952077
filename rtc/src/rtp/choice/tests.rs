//! The choice of a viewer on paths of all kinds, in virtual time.

use onmic_media::{MediaKind, Rendition};

use super::*;
use crate::rtp::tests::fixture::Random;

const STEP: Duration = Duration::from_millis(50);

fn key(rendition: u8) -> TrackKey {
    TrackKey::new(MediaKind::Video, Rendition(rendition))
}

fn level(rendition: u8) -> Pick {
    Pick::Level(key(rendition))
}

fn ladder() -> [Rung; 3] {
    let rung = |rendition, size, kbps: u64| Rung {
        key: key(rendition),
        size: Some(size),
        bitrate_bps: kbps * 1000,
        on_demand: false,
    };
    [rung(0, (1280, 720), 2300), rung(1, (640, 360), 800), rung(2, (320, 180), 250)]
}

/// A viewer on a path whose rate a test changes: a model of the estimate and of pacing, and the choice.
struct World {
    choice: Choice,
    wish: Wish,
    rungs: Vec<Rung>,
    now: Instant,
    began: Instant,
    random: Random,
    /// What the path carries.
    capacity: f64,
    has_estimate: bool,
    estimate: f64,
    queue: f64,
    debt: f64,
    probe: Option<u64>,
    next_probe: Instant,
    /// What is sent, and what will be from then on.
    sent: Pick,
    coming: Option<(Instant, Pick)>,
    changes: Vec<(Duration, Pick, Reason)>,
    told: Option<Decision>,
}

impl World {
    fn new(capacity_kbps: u64, seed: u64) -> Self {
        let now = Instant::now();
        Self {
            choice: Choice::new(level(0)),
            wish: Wish::default(),
            rungs: ladder().to_vec(),
            now,
            began: now,
            random: Random(seed * 2 + 1),
            capacity: capacity_kbps as f64 * 1000.0,
            has_estimate: true,
            estimate: 300_000.0,
            queue: 0.0,
            debt: 0.0,
            probe: None,
            next_probe: now,
            sent: level(0),
            coming: None,
            changes: Vec::new(),
            told: None,
        }
    }

    fn noise(&mut self, percent: u64) -> f64 {
        1.0 + (self.random.below(2 * percent + 1) as f64 - percent as f64) / 100.0
    }

    fn sending(&mut self) -> f64 {
        let video = self
            .rungs
            .iter()
            .find(|rung| self.sent == Pick::Level(rung.key))
            .map_or(0.0, |rung| rung.bitrate_bps as f64 * 1.03);
        (video + 40_000.0) * self.noise(15)
    }

    fn step(&mut self) {
        self.now += STEP;
        let step = STEP.as_secs_f64();
        if let Some((at, pick)) = self.coming
            && at <= self.now
        {
            (self.sent, self.coming) = (pick, None);
        }
        let sending = self.sending();
        // What pacing lets out is what the estimate says, and the path has a queue of 300 ms.
        let out = if self.debt > 0.0 || sending > self.estimate { sending.max(self.estimate) } else { sending };
        let leaves = out.min(self.estimate.max(sending.min(self.estimate * 1.5)));
        self.debt = (self.debt + (sending - leaves) / self.estimate * step).clamp(0.0, 1.0);
        self.queue = (self.queue + (leaves / self.capacity - 1.0) * step).clamp(0.0, 0.3);
        if self.queue > 0.05 {
            self.estimate = (self.capacity * 0.9 * self.noise(5)).max(50_000.0);
        } else if leaves > self.estimate * 0.7 {
            self.estimate = (self.estimate * 1.01).min(leaves * 1.5 + 10_000.0);
        }
        if let Some(probe) = self.probe.filter(|probe| (*probe as f64) > self.estimate)
            && self.now >= self.next_probe
        {
            self.next_probe = self.now + Duration::from_millis(1500 + self.random.below(1500));
            let found = (probe as f64 * 1.05).min(self.estimate * 3.0).min(self.capacity * 0.9 * self.noise(5));
            self.estimate = self.estimate.max(found);
        }
        let path = Path {
            carries_bps: self.has_estimate.then_some(self.estimate as u64),
            is_app_limited: self.queue < 0.03 && self.debt < 0.05,
            loss: if self.queue >= 0.3 { ((leaves - self.capacity) / leaves).max(0.0) as f32 } else { 0.0 },
            queue: Duration::from_secs_f64(self.queue),
            debt: Duration::from_secs_f64(self.debt),
            overhead: 0.0,
            audio_bps: 40_000,
        };
        let decision = self.choice.decide(&self.rungs, &self.wish, &path, self.now);
        self.probe = decision.probe_bps;
        self.told = Some(decision);
        if let Some(reason) = decision.reason {
            self.changes.push((self.now - self.began, decision.pick, reason));
            self.coming = Some((self.now + Duration::from_millis(100 + self.random.below(400)), decision.pick));
        }
    }

    fn run(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        while self.now < end {
            self.step();
        }
    }
}

#[test]
fn the_level_is_left_at_once_when_the_rate_falls_and_taken_again_when_it_is_back() {
    for seed in 0..200 {
        let mut world = World::new(3500, seed);
        world.run(20);
        assert_eq!(world.choice.pick(), level(0), "seed {seed}: {:?}", world.changes);
        world.changes.clear();
        world.capacity = 800_000.0;
        let fell = world.now - world.began;
        world.run(20);
        let (at, _, _) = world.changes[0];
        assert!(at - fell <= Duration::from_millis(1500), "seed {seed}: {:?} after {fell:?}", world.changes);
        assert_eq!(world.choice.pick(), level(2), "seed {seed}: {:?}", world.changes);
        world.capacity = 3_500_000.0;
        let back = world.now - world.began;
        world.run(30);
        let up = world.changes.iter().find(|(at, pick, _)| *at > back && *pick == level(0));
        assert!(up.unwrap().0 - back <= Duration::from_secs(10), "seed {seed}: {:?} back {back:?}", world.changes);
        assert_eq!(world.choice.pick(), level(0), "seed {seed}");
    }
}

/// A level that fails is tried again after 64 s at most, so there are two changes in that time.
const CHANGES_MAX: usize = 20;

#[test]
fn a_viewer_on_a_steady_path_of_any_rate_comes_to_rest() {
    for seed in 0..10 {
        for kbps in (100..4000).step_by(110) {
            let mut world = World::new(kbps, seed);
            world.run(60);
            world.changes.clear();
            world.run(600);
            assert!(world.changes.len() <= CHANGES_MAX, "{kbps} kbit/s, seed {seed}: {:?}", world.changes);
            let carries =
                |rendition: usize| kbps as f64 * 1000.0 >= ladder()[rendition].bitrate_bps as f64 * 1.45 + 40_000.0;
            let least = (0..3).find(|rendition| carries(*rendition));
            if let Some(least) = least {
                let place = world.choice.place(&world.rungs).unwrap();
                assert!(place <= least, "{kbps} kbit/s, seed {seed}: {:?}", world.choice.pick());
            }
        }
    }
}

#[test]
fn a_level_that_fails_again_and_again_is_tried_ever_less_often() {
    for seed in 0..50 {
        let mut world = World::new(3500, seed);
        world.run(20);
        world.changes.clear();
        // The path carries the best level for 4 s, and then not for 4 s, for ten minutes.
        for _ in 0..75 {
            world.capacity = 1_200_000.0;
            world.run(4);
            world.capacity = 3_500_000.0;
            world.run(4);
        }
        let ups = world.changes.iter().filter(|(_, pick, _)| *pick == level(0)).count();
        assert!((2..=16).contains(&ups), "seed {seed}: {ups} of 75: {:?}", world.changes);
    }
}

#[test]
fn a_path_that_carries_no_level_gets_audio_alone_and_video_again_later() {
    for seed in 0..50 {
        let mut world = World::new(3500, seed);
        world.run(10);
        world.capacity = 120_000.0;
        world.run(15);
        assert_eq!(world.choice.pick(), Pick::AudioOnly, "seed {seed}: {:?}", world.changes);
        world.capacity = 3_500_000.0;
        world.run(15);
        assert_eq!(world.choice.pick(), level(0), "seed {seed}: {:?}", world.changes);
    }
}

#[test]
fn a_level_chosen_by_hand_stays_on_a_path_that_does_not_carry_it_and_that_is_told() {
    let mut world = World::new(700, 1);
    world.wish.pinned = Some(level(0));
    world.run(30);
    assert_eq!((world.choice.pick(), world.changes.len()), (level(0), 0));
    assert!(!world.told.unwrap().is_carried);
    world.wish.pinned = Some(level(1));
    world.run(1);
    assert_eq!(world.changes.last().map(|(_, pick, reason)| (*pick, *reason)), Some((level(1), Reason::Hand)));
    world.wish.pinned = Some(Pick::AudioOnly);
    world.run(1);
    assert_eq!(world.choice.pick(), Pick::AudioOnly);
    world.wish.pinned = None;
    world.capacity = 4_000_000.0;
    world.run(20);
    assert_eq!(world.choice.pick(), level(0), "{:?}", world.changes);
    assert!(world.told.unwrap().is_carried);
}

#[test]
fn the_size_of_the_player_takes_effect_at_once_downwards_and_a_vanished_level_is_replaced() {
    let mut world = World::new(5000, 3);
    world.run(10);
    assert_eq!(world.choice.pick(), level(0));
    world.wish.height_max = Some(360);
    world.run(1);
    assert_eq!(world.changes.last().map(|(_, pick, reason)| (*pick, *reason)), Some((level(1), Reason::Size)));
    world.wish.height_max = None;
    world.run(8);
    assert_eq!(world.choice.pick(), level(0));
    world.rungs.remove(0);
    world.run(1);
    assert_eq!(world.changes.last().map(|(_, pick, reason)| (*pick, *reason)), Some((level(1), Reason::Gone)));
    world.rungs.clear();
    world.run(1);
    assert_eq!(world.choice.pick(), level(1), "nothing else is there");
    world.wish.pinned = Some(level(7));
    world.rungs = ladder().to_vec();
    world.run(20);
    assert_eq!(world.choice.pick(), level(0), "a level that is not there cannot be kept");
}

#[test]
fn without_an_estimate_loss_at_random_changes_nothing_and_that_of_a_full_path_does() {
    let mut choice = Choice::new(level(0));
    let mut now = Instant::now();
    let mut run = |choice: &mut Choice, seconds: u64, loss: f32, queue_ms: u64| {
        for _ in 0..seconds * 20 {
            now += STEP;
            let path = Path { loss, queue: Duration::from_millis(queue_ms), ..Path::default() };
            choice.decide(&ladder(), &Wish::default(), &path, now);
        }
        choice.pick()
    };
    assert_eq!(run(&mut choice, 60, 0.3, 0), level(0));
    assert_eq!(run(&mut choice, 2, 0.1, 300), level(1));
    assert_eq!(run(&mut choice, 60, 0.1, 0), level(1), "neither better nor worse");
    assert_eq!(run(&mut choice, 12, 0.0, 0), level(0));
    assert_eq!(run(&mut choice, 2, 0.5, 0), level(1), "half of it");
    assert_eq!(run(&mut choice, 4, 0.5, 0), level(2));
    assert_eq!(run(&mut choice, 60, 0.9, 0), level(2), "what arrives is more than nothing");
    assert_eq!(run(&mut choice, 8, 0.5, 300), Pick::AudioOnly);
    assert_eq!(run(&mut choice, 60, 0.0, 0), level(0));
}

#[test]
fn a_level_that_cannot_be_had_is_taken_back_and_not_asked_for_at_once() {
    let (mut choice, now) = (Choice::new(level(1)), Instant::now());
    let rich = Path { carries_bps: Some(9_000_000), ..Path::default() };
    let decide = |choice: &mut Choice, after_ms: u64| {
        choice.decide(&ladder(), &Wish::default(), &rich, now + Duration::from_millis(after_ms)).pick
    };
    decide(&mut choice, 0);
    assert_eq!(decide(&mut choice, 600), level(0));
    choice.refuse(key(0), level(1), Duration::from_secs(10), now + Duration::from_millis(700));
    assert_eq!((decide(&mut choice, 5000), decide(&mut choice, 9000)), (level(1), level(1)));
    decide(&mut choice, 11_000);
    assert_eq!(decide(&mut choice, 11_600), level(0));
}

#[test]
fn repeats_and_audio_count_for_what_a_level_needs() {
    let now = Instant::now();
    let decide = |overhead: f32, carries: u64| {
        let path =
            Path { carries_bps: Some(carries), is_app_limited: false, overhead, audio_bps: 40_000, ..Path::default() };
        Choice::new(level(0)).decide(&ladder(), &Wish::default(), &path, now).pick
    };
    assert_eq!(decide(0.0, 2_500_000), level(0));
    assert_eq!(decide(0.5, 2_500_000), level(1));
    assert_eq!(decide(f32::NAN, 2_500_000), level(0));
    assert_eq!(decide(2.0, 900_000), level(2));
    assert_eq!(decide(0.0, 1), level(2), "the lowest is kept for a while");
}

#[test]
fn a_level_that_was_refused_is_not_what_a_viewer_falls_to() {
    let now = Instant::now();
    let narrow = Path { carries_bps: Some(1_000_000), is_app_limited: false, ..Path::default() };
    let mut choice = Choice::new(level(0));
    assert_eq!(choice.decide(&ladder(), &Wish::default(), &narrow, now).pick, level(1));
    choice.refuse(key(1), level(0), Duration::from_secs(10), now);
    let decision = choice.decide(&ladder(), &Wish::default(), &narrow, now);
    assert_eq!((decision.pick, decision.reason), (level(2), Some(Reason::Estimate)));
}
