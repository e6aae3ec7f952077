//! Tests that the audio and video of every participant are in sync after an hour with clocks that differ. It simulates
//! the hour in virtual time.
//!
//! Arrivals go through the clock of their source as in the server. Video frames are placed as the composer places them.
//! Audio is really mixed, for the last seconds of the hour.

#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use onmic_media::clock::{Placed, SourceClock};
use onmic_media::{ClockRate, MediaKind, ProgramClock, Stated, Ticks, WallTime};
use onmic_mixer::sound::{BLOCK, InputId, Lead, Mix, MixInput, Processing, RATE, Stamp};

const EPOCH: WallTime = WallTime(1_795_000_000_000_000);
const HOUR: i64 = 3_600_000_000;
/// How long audio is mixed before and after the end of the hour, in µs.
const BEFORE: i64 = 8_000_000;
const AFTER: i64 = 4_000_000;
const SOUND: i64 = 20_000;
const PICTURE: i64 = 33_333;
const BURST_MICROS: i64 = 10_000;

/// Is a participant whose clock runs `ppm` too fast. They clap once a second by that clock, `clap_at` µs after the full
/// second.
struct Participant {
    id: InputId,
    ppm: i64,
    clap_at: i64,
    clock: SourceClock,
    next_sound: i64,
    next_picture: i64,
    random: u64,
    /// The wall time of each video frame, and whether it shows a clap.
    pictures: Vec<(i64, bool)>,
}

impl Participant {
    fn new(number: u64, ppm: i64, clap_at: i64) -> Self {
        let (clock, random) = (SourceClock::new(ProgramClock::starting(EPOCH)), number + 1);
        let id = InputId(number);
        Self { id, ppm, clap_at, clock, next_sound: 0, next_picture: 0, random, pictures: Vec::new() }
    }

    /// Returns the true time at which the clock shows `own`, plus a network delay of 2 to 17 ms.
    fn arrival(&mut self, own: i64) -> i64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let held_up = i64::try_from(self.random >> 33).unwrap() % 15_000;
        own - own * self.ppm / 1_000_000 + 2_000 + held_up
    }

    /// Returns where the source's clock places a frame that was captured at `own` and arrived at `arrival`.
    fn place(&mut self, kind: MediaKind, own: i64, arrival: i64) -> Placed {
        let stated =
            Stated { key: kind.into(), dts: Ticks(own), pts: Ticks(own), rate: ClockRate::MICROS, may_reorder: false };
        self.clock.place(stated, EPOCH.offset_micros(arrival))
    }

    /// Sends everything that is due by the true time `now`. Audio goes into `mix`, if there is one.
    fn send(&mut self, now: i64, start: Instant, mut mix: Option<&mut Mix>) {
        let shown = |own: i64, ppm: i64| own - own * ppm / 1_000_000;
        while shown(self.next_picture, self.ppm) + 20_000 < now {
            let own = self.next_picture;
            let arrival = self.arrival(own);
            let placed = self.place(MediaKind::Video, own, arrival);
            if mix.is_some() {
                let claps = (own - self.clap_at).rem_euclid(1_000_000) < PICTURE;
                self.pictures.push((placed.wall.micros_since(EPOCH), claps));
            }
            self.next_picture += PICTURE;
        }
        while shown(self.next_sound + SOUND, self.ppm) + 20_000 < now {
            let own = self.next_sound;
            let arrival = self.arrival(own + SOUND);
            let placed = self.place(MediaKind::Audio, own, arrival);
            if let Some(mix) = mix.as_deref_mut() {
                let samples: Vec<f32> = (0..SOUND * i64::from(RATE) / 1_000_000)
                    .map(|sample| {
                        let at = own + sample * 1_000_000 / i64::from(RATE);
                        let claps = (at - self.clap_at).rem_euclid(1_000_000) < BURST_MICROS;
                        if claps { if sample % 48 < 24 { 0.5 } else { -0.5 } } else { 0.0 }
                    })
                    .collect();
                let stamp = Stamp {
                    pts: placed.pts.0 as f64 * f64::from(RATE) / 1e6,
                    wall: placed.wall,
                    arrived_wall: EPOCH.offset_micros(arrival),
                    arrived: start + Duration::from_micros(u64::try_from(arrival).unwrap()),
                };
                mix.push(self.id, stamp, &samples, &samples);
            }
            self.next_sound += SOUND;
        }
    }
}

#[test]
fn audio_and_video_are_in_sync_after_an_hour_with_clocks_that_differ_by_100_ppm() {
    let start = Instant::now();
    // After an hour 50 ppm are 180 ms. The offsets keep the claps of all participants apart then.
    let claps = [(0, -50, 0), (1, 50, 610_000), (2, 0, 680_000)];
    let mut participants = claps.map(|(number, ppm, clap_at)| Participant::new(number, ppm, clap_at));
    let mut now = 0;
    while now < HOUR - BEFORE {
        now += 100_000;
        participants.iter_mut().for_each(|participant| participant.send(now, start, None));
    }

    let mut mix = Mix::new(Duration::from_millis(80));
    let inputs = participants.each_ref().map(|one| MixInput { id: one.id, processing: Processing::default() });
    mix.set(&inputs, Some(Lead::from(InputId(0)))).unwrap();
    let mut loud: Vec<i64> = Vec::new();
    while now < HOUR + AFTER {
        now += 5_000;
        participants.iter_mut().for_each(|participant| participant.send(now, start, Some(&mut mix)));
        if !mix.has_begun()
            && let Some(here) = mix.wall_clock().position(EPOCH.offset_micros(now))
        {
            mix.begin(here);
        }
        loop {
            let timeline = *mix.wall_clock();
            let Some(mixed) = mix.poll(EPOCH.offset_micros(now)) else { break };
            for sample in 0..BLOCK {
                if mixed.program.0[0][sample].abs() > 0.2 {
                    let position = mixed.position + i64::try_from(sample).unwrap();
                    loud.push(timeline.wall(position).unwrap().micros_since(EPOCH));
                }
            }
        }
    }
    let meters = mix.meters();

    // A clap begins after at least 100 ms of silence.
    let heard: Vec<i64> =
        loud.iter().zip(&loud[1..]).filter(|(before, at)| *at - *before > 100_000).map(|(_, at)| *at).collect();
    let ticks: Vec<i64> = participants[0].pictures.iter().map(|(wall, _)| *wall).collect();
    for participant in &participants {
        let delay = meters.inputs.iter().find(|level| level.id == participant.id).unwrap().delay;
        // The stage calculates in the same way: what is shown is up to a frame late because of the camera, and up to a
        // frame because of the host's frame rate.
        let delay = i64::try_from(delay.as_micros()).unwrap();
        let delay = (delay - PICTURE / 2).max(0);
        let mut claps = 0;
        for (wall, _) in
            participant.pictures.iter().filter(|(wall, claps)| *claps && *wall > HOUR && *wall < HOUR + 3_000_000)
        {
            // The frame is shown with the first frame of the host that is not earlier.
            let shown = ticks.iter().find(|tick| **tick >= wall + delay).unwrap();
            let heard = heard.iter().min_by_key(|heard| (**heard - shown).abs()).unwrap();
            let late = heard - shown;
            assert!(late.abs() < 60_000, "{:?}: audio {late} µs after its video, delay {delay}", participant.id);
            claps += 1;
        }
        assert!(claps >= 2, "{:?}: {claps} claps", participant.id);
    }
}
