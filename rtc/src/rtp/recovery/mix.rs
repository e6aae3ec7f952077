//! Decides how a viewer's losses are made up for: a pure function of what is known of the path.
//!
//! A packet that is lost comes back by a **round**: the receiver asks for it (NACK), and it is repeated. A round fails if the
//! request is lost, or all copies of the repeat are. While rounds take place, the receiver must hold frames back, or each
//! repair is a freeze. The table says what each number of the mix is for, and why it is what it is.
//!
//! | number | rule | reason |
//! | --- | --- | --- |
//! | loss that counts | ≥ 0.05 % | two packets of a minute at 2 Mbit/s: what a clean network loses now and then |
//! | copies of a repeat | 1, from 4 % loss 2, from 20 % loss 3 | two copies halve the rounds at 10 % loss, for 10 % more bytes. A request is lost as often as a repeat, so a fourth copy gains nothing |
//! | spacing of copies | 10 ms, or as long as two bursts last, 40 ms at most | a copy beside the first is lost with it |
//! | budget | 50 % of the stream; from 2 copies on, 1.5 times what these need on top, and what protection takes; 200 % at most | repeats are lost as well |
//! | protection | light from 2 % loss, medium from 8 %, strong from 20 % | where a round takes longer than a frame can wait (a round trip of 40 ms, or 8 % loss), because repeats cost less than parity that nobody needs |
//! | stronger protection | the level with the least hold, where 1 Mbit/s of repair packets counts as 100 ms | a small stream buys a round of hold for 100 kbit/s, and a large one would fill the path that loses packets already |
//! | redundancy of audio | the fewest earlier packets that leave a fifteenth of the loss, or 0.3 %, 7 at most | 0.7 % at 10 % of loss, 2 % at 30 %; each one costs the rate of the audio once more |
//! | distance of these | the shortest at which they suffice, 3 packets at most | packets beside each other are lost together in bursts, but a copy that is far behind comes late for a receiver with a short buffer |
//! | hold, so that video is fluent | until 59 of 60 frames are complete | 29.5 of 30 frames are shown in time |
//! | hold, so that it does not freeze | until all but one packet in a minute have come, less 120 ms | a frame that is 120 ms late leaves a gap of 153 ms, which nobody calls a freeze |
//!
//! The hold is the longer of the two, and at most what the operator allows. A path without loss has none, a copy of nothing and
//! no protection: its viewer gets the same bytes as if nothing here existed.
//!
//! The n-th round of a packet ends after `DETECT + round trip + 2 × variation + (n - 1) × round`, with the time of a round as
//! the receiver paces its requests ([`Path::round`]). Those few frames that need so many rounds that they might freeze seldom
//! lost the last packet of all, so `DETECT` is not added there.

use std::time::Duration;

use super::left;
use crate::rtp::fec::Protection;
use crate::rtp::red::{DEPTH_MAX, Redundancy, STRIDE_MAX};

/// Less loss than this does not count.
const LOSS_LEAST: f32 = 0.000_5;
/// From this loss on, repeats are sent twice.
const LOSS_TWICE: f32 = 0.04;
/// From this loss on, repeats are sent three times.
const LOSS_THRICE: f32 = 0.2;
/// The spacing of copies, at least and at most.
const SPACING: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(40));
/// A receiver notices a loss when the next packet comes, at the latest that of the next frame of 30 per second.
const DETECT: Duration = Duration::from_millis(35);
/// Chromium repeats a request after this long if it does not know the round trip.
const ROUND_UNKNOWN: Duration = Duration::from_millis(100);
/// Chromium looks for requests to repeat every 20 ms, so a round takes this much longer on average.
const TICK: Duration = Duration::from_millis(10);
/// The round trip that is assumed before one is measured.
pub const RTT_UNKNOWN: Duration = Duration::from_millis(50);
/// One in this many frames may be late: 29.5 of 30 are shown in time.
const LATE_FRAMES: f32 = 1.0 / 60.0;
/// The number of frames that may be later than [`LATE`], in a second.
const FROZEN_FRAMES: f32 = 1.0 / 60.0;
/// A frame that is this late makes no freeze.
const LATE: Duration = Duration::from_millis(150);
/// The frames of a second that packets are spread over.
const FRAMES: f32 = 30.0;
/// A failure that is more frequent than expected by less than this factor, and a run that is shorter, is chance.
const CHANCE: f32 = 1.5;
/// The hold that a megabit per second of repair packets has to save.
const PRICE: Duration = Duration::from_millis(100);
/// The bits of a packet of video, about.
const PACKET_BITS: f32 = 8000.0;
/// The most rounds that are waited for: a browser asks ten times.
const ROUNDS_MAX: u32 = 10;
/// The share of the lost audio that is left to concealment.
const AUDIO_LEFT: f32 = 1.0 / 15.0;
/// Loss of audio that is left to concealment, whatever the loss is. It is not heard.
const AUDIO_LEFT_LEAST: f32 = 0.003;
/// The duration of an audio packet of this server's encoder. Longer ones are further apart, so bursts cost fewer of them.
const AUDIO_PACKET: Duration = Duration::from_millis(10);
/// A round trip that grew by this much means a full queue: the loss is that of too many packets, and more make it worse.
const QUEUED: Duration = Duration::from_millis(150);
/// More packets than this in a second are a wrong report.
const PACKETS_MAX: f32 = 10_000.0;
/// The share of the stream's bytes that repeats may take on a path that loses little.
const BUDGET: f32 = 0.5;
/// The most that repeats may take: twice the stream.
pub(super) const BUDGET_MAX: f32 = 2.0;

/// What is known of the path to a viewer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Path {
    /// The share of packets that are lost on the way to the viewer, from 0 to 1.
    pub loss: f32,
    /// The mean number of packets that are lost in a row. 1 means that losses are independent.
    pub burst: f32,
    /// The share of repeated packets that were asked for again. 0 if that is not known.
    pub asked_again: f32,
    /// The smoothed round trip.
    pub round_trip: Option<Duration>,
    /// The mean deviation of the round trip (RFC 6298).
    pub variation: Duration,
    /// How much longer the round trip is than the shortest one was.
    pub queued: Duration,
    /// Whether the receiver knows the round trip, and repeats its requests by it.
    pub knows_round_trip: bool,
    /// The packets of video that it is sent in a second.
    pub packets_per_second: f32,
}

/// What may be done for a viewer: what was negotiated, and what the operator allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// Whether the receiver asks for lost packets.
    pub repairs: bool,
    /// Whether the receiver takes forward error correction.
    pub protection: bool,
    /// Whether the receiver takes redundant audio.
    pub redundancy: bool,
    /// The longest time for which frames are held back for repairs.
    pub hold: Duration,
}

/// How a viewer's losses are made up for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mix {
    /// How many times a packet is sent that the viewer asks for: 1 to 3.
    pub copies: u8,
    /// The time between two of these.
    pub spacing: Duration,
    /// The share of the stream's own bytes that repeats, protection and redundancy may take together.
    pub budget: f32,
    /// The forward error correction of video.
    pub protection: Protection,
    /// Which earlier packets each packet of audio repeats.
    pub redundancy: Redundancy,
    /// The time for which the receiver holds frames back for repairs.
    pub hold: Duration,
}

impl Default for Mix {
    fn default() -> Self {
        Self {
            copies: 1,
            spacing: SPACING.0,
            budget: BUDGET,
            protection: Protection::None,
            redundancy: Redundancy::NONE,
            hold: Duration::ZERO,
        }
    }
}

/// Decides the mix for a path.
pub fn decide(path: &Path, allowed: &Allowed) -> Mix {
    let loss = if path.loss.is_finite() { path.loss.clamp(0.0, 1.0) } else { 0.0 };
    if loss < LOSS_LEAST {
        return Mix::default();
    }
    let copies = match loss {
        _ if path.is_full() || !allowed.repairs => 1,
        _ if loss >= LOSS_THRICE => 3,
        _ if loss >= LOSS_TWICE => 2,
        _ => 1,
    };
    let spacing = spacing(path);
    let hold = |protection: Protection| match allowed.repairs {
        true => hold(path, (copies, spacing), loss, protection).min(allowed.hold),
        false => Duration::ZERO,
    };
    let protection = if allowed.protection { protection(path, loss, hold) } else { Protection::None };
    let needed = if copies > 1 { loss * f32::from(copies) * 1.5 } else { 0.0 };
    Mix {
        copies,
        spacing,
        budget: (BUDGET + needed + protection.share()).min(BUDGET_MAX),
        protection,
        redundancy: if allowed.redundancy { redundancy(path, loss) } else { Redundancy::NONE },
        hold: hold(protection),
    }
}

impl Path {
    /// Returns whether a queue stands on it, so that more packets would only make that longer.
    pub fn is_full(&self) -> bool {
        self.queued >= QUEUED
    }

    /// Returns the time from one request of the receiver for a packet to the next.
    pub fn round(&self) -> Duration {
        let by_receiver = if self.knows_round_trip { Duration::ZERO } else { ROUND_UNKNOWN };
        self.round_trip.unwrap_or(RTT_UNKNOWN).max(by_receiver) + TICK
    }

    /// Returns the packets of video in a second, within bounds.
    fn packets(&self) -> f32 {
        if self.packets_per_second.is_finite() { self.packets_per_second.clamp(0.0, PACKETS_MAX) } else { 0.0 }
    }

    /// Returns the time from the arrival of a packet, if it had not been lost, to the end of its n-th round.
    fn after(&self, rounds: u32, (copies, spacing): (u8, Duration)) -> Duration {
        let first = DETECT + self.round_trip.unwrap_or(RTT_UNKNOWN) + 2 * self.variation;
        first + self.round() * (rounds - 1) + spacing * u32::from(copies - 1)
    }
}

/// Returns how long frames have to be held back if they are protected like this.
fn hold(path: &Path, repeats: (u8, Duration), loss: f32, protection: Protection) -> Duration {
    // The way of the requests is taken to lose as much. Where far more repeats than that are asked for again, that counts.
    let failure = 1.0 - (1.0 - loss) * (1.0 - loss.powi(repeats.0.into()));
    let failure = if path.asked_again > failure * CHANCE { path.asked_again } else { failure }.min(0.95);
    let packets = path.packets() / FRAMES;
    let burst = if path.burst >= CHANCE { path.burst } else { 1.0 };
    let lacking = left::frames(protection, packets, loss, burst).unwrap_or(packets * loss / burst);
    let fluent = rounds(lacking, failure, LATE_FRAMES).map(|rounds| path.after(rounds, repeats));
    let frozen = rounds(lacking * FRAMES, failure, FROZEN_FRAMES).map(|rounds| path.after(rounds, repeats));
    let whole = frozen.map(|after| after.saturating_sub(DETECT + LATE));
    fluent.max(whole).unwrap_or(Duration::ZERO)
}

/// Returns the number of rounds after which this many losses have become fewer than `left`. `None` if they are already.
fn rounds(losses: f32, failure: f32, left: f32) -> Option<u32> {
    if losses.is_nan() || losses <= left {
        return None;
    }
    let rounds = ((left / losses).ln() / failure.ln()).ceil();
    Some((rounds as u32).clamp(1, ROUNDS_MAX))
}

fn spacing(path: &Path) -> Duration {
    let bursts = 2.0 * (path.burst - 1.0).max(0.0) / path.packets_per_second.max(1.0);
    Duration::from_secs_f32(bursts.min(1.0)).clamp(SPACING.0, SPACING.1)
}

fn protection(path: &Path, loss: f32, hold: impl Fn(Protection) -> Duration) -> Protection {
    const LONG: Duration = Duration::from_millis(40);
    let is_far = path.round_trip.unwrap_or(RTT_UNKNOWN) >= LONG;
    let least = match loss {
        _ if path.is_full() => return Protection::None,
        _ if loss >= LOSS_THRICE => Protection::Strong,
        _ if loss >= 0.08 => Protection::Medium,
        _ if loss >= 0.02 && is_far => Protection::Light,
        _ => return Protection::None,
    };
    let rate = path.packets() * PACKET_BITS;
    let price = |protection: Protection| hold(protection) + PRICE.mul_f32(rate * protection.share() / 1e6);
    let stronger = Protection::ALL.into_iter().filter(|protection| *protection >= least);
    stronger.min_by_key(|protection| price(*protection)).unwrap_or(least)
}

fn redundancy(path: &Path, loss: f32) -> Redundancy {
    let packets = 1.0 + path.packets() * AUDIO_PACKET.as_secs_f32();
    let burst = if path.burst.is_finite() { path.burst.max(1.0) } else { 1.0 };
    // The loss of a packet that is sent `stride` packets after a lost one: by the same burst, or by chance.
    let again = |stride: u8| loss + (1.0 - loss) * (1.0 - 1.0 / burst).powf(packets * f32::from(stride));
    let left = (loss * AUDIO_LEFT).max(AUDIO_LEFT_LEAST);
    let suffices = |&(depth, stride): &(u8, u8)| loss * again(stride).powi(depth.into()) <= left;
    let mut forms = (0..=DEPTH_MAX).flat_map(|depth| (1..=STRIDE_MAX).map(move |stride| (depth, stride)));
    let (depth, stride) = forms.find(suffices).unwrap_or((DEPTH_MAX, if burst > 1.5 { STRIDE_MAX } else { 1 }));
    Redundancy::new(depth, stride)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);
    const REPAIRS: Allowed =
        Allowed { repairs: true, protection: false, redundancy: false, hold: Duration::from_millis(600) };
    const ALL: Allowed = Allowed { protection: true, redundancy: true, ..REPAIRS };

    /// 2.2 Mbit/s of video, whose receiver knows the round trip.
    fn path(loss_percent: f32, rtt: u32) -> Path {
        Path {
            loss: loss_percent / 100.0,
            burst: 1.0,
            asked_again: 0.0,
            round_trip: Some(rtt * MILLI),
            variation: Duration::ZERO,
            queued: Duration::ZERO,
            knows_round_trip: true,
            packets_per_second: 270.0,
        }
    }

    #[test]
    fn a_path_without_loss_has_none_of_it() {
        for rtt in [20, 50, 100, 300] {
            for loss in [0.0, 0.04] {
                assert_eq!(decide(&path(loss, rtt), &ALL), Mix::default());
            }
        }
    }

    #[test]
    fn the_hold_covers_the_rounds_that_repairs_take() {
        let holds = |allowed: &Allowed| {
            [1.0, 5.0, 10.0, 30.0, 50.0, 70.0]
                .map(|loss| [20, 50, 100, 300].map(|rtt| decide(&path(loss, rtt), allowed).hold.as_millis()))
        };
        let unbounded = Allowed { hold: Duration::MAX, ..REPAIRS };
        let expected = HOLDS;
        assert_eq!(holds(&unbounded), expected, "the round trip is 20, 50, 100 and 300 ms");
        let bounded = holds(&REPAIRS);
        assert!(
            bounded
                .as_flattened()
                .iter()
                .zip(expected.as_flattened())
                .all(|(hold, wanted)| *hold == (*wanted).min(600))
        );
        let protected = holds(&Allowed { hold: Duration::MAX, ..ALL });
        assert!(protected.as_flattened().iter().zip(expected.as_flattened()).all(|(hold, without)| hold <= without));
        assert!(protected[3][2] + 100 < expected[3][2], "parity shortens the hold: {protected:?}");
    }

    #[test]
    fn repeats_protection_and_redundancy_grow_with_the_loss() {
        let mixes = [1.0, 5.0, 10.0, 30.0, 50.0, 70.0].map(|loss| decide(&path(loss, 50), &ALL));
        assert_eq!(mixes.map(|mix| mix.copies), [1, 2, 2, 3, 3, 3]);
        use Protection::{Light, Medium, None, Strong};
        assert_eq!(mixes.map(|mix| mix.protection), [None, Light, Medium, Strong, Strong, Strong]);
        assert_eq!(mixes.map(|mix| mix.redundancy.depth()), [1, 1, 2, 3, 4, 7]);
        assert!(mixes.iter().all(|mix| mix.redundancy.stride() == 1), "losses are independent");
        assert!(mixes.is_sorted_by(|before, after| before.budget <= after.budget));
        assert!(mixes.iter().all(|mix| (BUDGET..=BUDGET_MAX).contains(&mix.budget)));
    }

    #[test]
    fn a_small_stream_gets_stronger_protection_for_a_shorter_hold() {
        let mixes = [120.0, 270.0]
            .map(|packets_per_second| decide(&Path { packets_per_second, ..path(10.0, 100) }, &ALL))
            .map(|mix| (mix.protection, mix.hold.as_millis()));
        assert_eq!(mixes, [(Protection::Strong, 145), (Protection::Medium, 180)]);
    }

    #[test]
    fn a_viewer_that_asks_for_nothing_is_not_made_to_wait() {
        let mix = decide(&path(30.0, 100), &Allowed { repairs: false, ..REPAIRS });
        assert_eq!((mix.copies, mix.hold), (1, Duration::ZERO));
    }

    #[test]
    fn a_receiver_that_does_not_know_the_round_trip_needs_a_longer_hold() {
        let knows = path(10.0, 20);
        let (short, long) = (decide(&knows, &REPAIRS), decide(&Path { knows_round_trip: false, ..knows }, &REPAIRS));
        assert!(long.hold >= short.hold + 80 * MILLI, "{:?} {:?}", short.hold, long.hold);
    }

    #[test]
    fn copies_outlast_bursts_and_a_full_queue_gets_none() {
        let bursts = Path { burst: 5.0, ..path(10.0, 100) };
        let mix = decide(&bursts, &ALL);
        assert_eq!((mix.copies, mix.spacing.as_millis()), (2, 29));
        let full = decide(&Path { queued: 200 * MILLI, ..bursts }, &ALL);
        assert_eq!((full.copies, full.protection), (1, Protection::None));
        assert!(full.hold > Duration::ZERO);
    }

    #[test]
    fn audio_repeats_packets_further_back_where_losses_come_in_bursts() {
        let repeated = [1.0, 2.0, 5.0, 10.0].map(|burst| decide(&Path { burst, ..path(10.0, 100) }, &ALL).redundancy);
        assert_eq!(
            repeated.map(|redundancy| (redundancy.depth(), redundancy.stride())),
            [(2, 1), (2, 1), (2, 3), (3, 3)]
        );
    }

    #[test]
    fn odd_measurements_give_bounded_mixes() {
        for loss in [f32::NAN, -1.0, 0.5, 7.0, f32::INFINITY] {
            for burst in [0.0, f32::NAN, 1e9] {
                for packets_per_second in [0.0, f32::NAN, 1e9] {
                    let round_trip = Some(Duration::from_secs(30));
                    let odd = Path { loss, burst, packets_per_second, asked_again: 2.0, round_trip, ..path(0.0, 0) };
                    let mix = decide(&odd, &ALL);
                    assert!(
                        (1..=3).contains(&mix.copies) && mix.hold <= ALL.hold && mix.spacing <= SPACING.1,
                        "{mix:?}"
                    );
                    assert!(mix.budget <= BUDGET_MAX && mix.redundancy.depth() <= DEPTH_MAX, "{mix:?}");
                }
            }
        }
    }

    /// By loss (1, 5, 10, 30, 50, 70 %) and round trip, without a limit.
    const HOLDS: [[u128; 4]; 6] = [
        [55, 85, 135, 460],
        [95, 155, 255, 780],
        [95, 155, 290, 1090],
        [195, 345, 740, 2340],
        [345, 645, 1145, 3145],
        [345, 645, 1145, 3145],
    ];
}
