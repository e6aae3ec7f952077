//! How many frames lack something after forward error correction: a table over the [`Protection`], the packets of a frame, the
//! loss and the length of bursts.
//!
//! A frame that repair packets make whole needs no round trip, and so no hold. Which losses they make good depends on the
//! masks, and no formula tells it for a frame of some ten packets. So a test loses packets and repair packets of frames of each
//! size, at random with a seed, and the table is what it finds. Between its points it is interpolated, behind them it is
//! bounded.

use crate::rtp::fec::Protection;
use crate::rtp::fec::masks::BLOCK;

/// The lengths of bursts of the table.
const BURSTS: [f32; 3] = [1.0, 2.0, 5.0];
/// The packets of a frame of the table. Longer frames are protected in blocks, each for itself.
const PACKETS: [f32; 6] = [1.0, 2.0, 4.0, 9.0, 20.0, BLOCK as f32];
/// The loss of the table.
const LOSSES: [f32; 7] = [0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5];

/// For each level, burst and number of packets: the frames in ten thousand that are not whole, by loss.
type Table = [[[[u16; LOSSES.len()]; PACKETS.len()]; BURSTS.len()]; Protection::ALL.len()];

/// Returns the share of frames that are not whole after forward error correction. `None` without any.
pub(super) fn frames(protection: Protection, packets: f32, loss: f32, burst: f32) -> Option<f32> {
    let table = &TABLE[protection.index()?];
    let blocks = (packets / BLOCK as f32).ceil().max(1.0);
    let at_burst = |burst: usize| {
        let at_packets = |packets: usize| {
            let row = &table[burst][packets];
            between(&LOSSES, loss, |at| f32::from(row[at]) / 10_000.0)
        };
        between(&PACKETS, packets / blocks, at_packets)
    };
    let of_block = between(&BURSTS, burst, at_burst);
    Some(1.0 - (1.0 - of_block).powf(blocks))
}

/// Interpolates between the values at two points.
fn between(points: &[f32], at: f32, value: impl Fn(usize) -> f32) -> f32 {
    let above = points.iter().position(|point| *point >= at).unwrap_or(points.len() - 1);
    if above == 0 || points[above] <= at {
        return value(above);
    }
    let part = (at - points[above - 1]) / (points[above] - points[above - 1]);
    value(above - 1) * (1.0 - part) + value(above) * part
}

#[rustfmt::skip]
const TABLE: Table = [[[[0, 2, 27, 107, 400, 910, 2565],
     [0, 5, 60, 285, 1060, 2102, 5062],
     [0, 40, 202, 797, 2622, 4672, 8195],
     [0, 162, 800, 2565, 6317, 8530, 9887],
     [0, 277, 1525, 4445, 8720, 9862, 10000],
     [0, 295, 1965, 6262, 9802, 10000, 10000]],
    [[0, 72, 217, 522, 1005, 1587, 2557],
     [0, 132, 360, 825, 1692, 2637, 5092],
     [0, 217, 637, 1445, 2997, 4642, 8095],
     [0, 402, 1257, 2682, 5317, 7637, 9897],
     [0, 467, 1685, 3925, 7580, 9397, 10000],
     [0, 405, 2037, 5455, 9225, 9972, 10000]],
    [[0, 142, 350, 792, 1730, 2432, 4002],
     [0, 175, 452, 945, 2005, 2905, 4967],
     [0, 207, 607, 1280, 2612, 3857, 6490],
     [0, 352, 930, 1962, 3847, 5590, 8645],
     [0, 575, 1395, 2910, 5465, 7572, 9730],
     [0, 717, 1912, 4042, 7275, 9200, 9990]]],
    [[[0, 2, 27, 107, 400, 910, 2565],
     [0, 5, 60, 285, 1060, 2102, 5062],
     [0, 40, 202, 797, 2622, 4672, 8195],
     [0, 32, 217, 892, 3515, 6470, 9557],
     [0, 22, 205, 1110, 4972, 8630, 9985],
     [0, 35, 297, 1762, 7392, 9805, 10000]],
    [[0, 72, 217, 522, 1005, 1587, 2557],
     [0, 132, 360, 825, 1692, 2637, 5092],
     [0, 217, 637, 1445, 2997, 4642, 8095],
     [0, 132, 500, 1297, 3352, 5752, 9552],
     [0, 85, 482, 1555, 4807, 7910, 9987],
     [0, 105, 640, 2602, 7130, 9512, 10000]],
    [[0, 142, 350, 792, 1730, 2432, 4002],
     [0, 175, 452, 945, 2005, 2905, 4967],
     [0, 207, 607, 1280, 2612, 3857, 6490],
     [0, 275, 657, 1432, 2922, 4537, 7815],
     [0, 285, 742, 1655, 3692, 5840, 9320],
     [0, 240, 777, 2177, 5380, 8142, 9962]]],
    [[[0, 2, 27, 107, 400, 910, 2565],
     [0, 5, 60, 285, 1060, 2102, 5062],
     [0, 15, 72, 317, 1490, 3227, 7225],
     [0, 7, 62, 345, 1900, 4392, 8992],
     [0, 10, 75, 452, 2887, 6532, 9870],
     [0, 15, 145, 940, 5260, 9065, 10000]],
    [[0, 72, 217, 522, 1005, 1587, 2557],
     [0, 132, 360, 825, 1692, 2637, 5092],
     [0, 100, 317, 792, 1840, 3295, 7040],
     [0, 42, 247, 747, 2312, 4427, 8917],
     [0, 32, 260, 1077, 3562, 6635, 9892],
     [0, 87, 542, 2045, 6230, 9087, 10000]],
    [[0, 142, 350, 792, 1730, 2432, 4002],
     [0, 175, 452, 945, 2005, 2905, 4967],
     [0, 165, 495, 1017, 2095, 3215, 5717],
     [0, 177, 405, 912, 2157, 3565, 7070],
     [0, 107, 345, 1017, 2747, 5035, 9075],
     [0, 52, 397, 1565, 4695, 7692, 9922]]]];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::fec::masks::masks;
    use crate::rtp::fec::tests::recoverable;
    use crate::rtp::tests::fixture::Random;
    use crate::rtp::tests::gilbert::Losses;

    const FRAMES: u32 = 4000;

    fn simulated(protection: Protection, packets: usize, percent: u64, burst: u64) -> u16 {
        let masks: Vec<_> = masks(packets, protection).collect();
        let (mut random, mut losses) = (Random(0x5eed), Losses::new(percent, burst));
        let is_lacking = |_: &u32| {
            let lost = (0..packets).fold(0, |lost, at| lost | u64::from(losses.next(&mut random)) << at);
            let repairs: Vec<_> = masks.iter().map(|_| !losses.next(&mut random)).collect();
            recoverable(&masks, &repairs, lost) != lost
        };
        ((0..FRAMES).filter(is_lacking).count() as u32 * 10_000 / FRAMES) as u16
    }

    /// After a change of the masks: copy what this says.
    #[test]
    fn the_table_is_what_the_masks_leave() {
        let by_loss = |protection, burst: f32, packets: f32| {
            LOSSES.map(|loss| simulated(protection, packets as usize, (loss * 100.0).round() as u64, burst as u64))
        };
        let by_packets = |protection, burst| PACKETS.map(|packets| by_loss(protection, burst, packets));
        let table = Protection::ALL.map(|protection| BURSTS.map(|burst| by_packets(protection, burst)));
        assert!(table == TABLE, "const TABLE: Table = {table:?};");
    }

    #[test]
    fn between_its_points_the_table_is_monotonous_and_behind_them_bounded() {
        for burst in [1.0, 1.7, 4.0, 50.0] {
            for packets in [0.0, 1.0, 5.5, 46.0, 300.0] {
                let shares = |protection| {
                    [0.0, 0.01, 0.07, 0.25, 0.5, 0.9, 1.0].map(|loss| frames(protection, packets, loss, burst).unwrap())
                };
                for protection in Protection::ALL {
                    let shares = shares(protection);
                    assert!(shares.is_sorted() && shares[0] == 0.0 && shares[6] <= 1.0, "{protection:?} {shares:?}");
                }
                let [light, medium, strong] = Protection::ALL.map(|protection| shares(protection)[2]);
                assert!(light >= medium && medium >= strong, "{packets} {burst}: {light} {medium} {strong}");
            }
        }
        assert_eq!(frames(Protection::None, 9.0, 0.1, 1.0), None);
    }
}
