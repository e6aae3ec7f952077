//! Which packets of a frame each of its repair packets covers.
//!
//! A packet is in one group or in two. Seen as a graph, groups are the vertices and packets the edges; a packet in one
//! group leads from it to a vertex that stands for what is known. The packets that are lost together can be made again
//! if their edges form no circle, and a lost repair packet joins its vertex with the one that is known. So the edges of
//! neighbouring packets form paths, and no two edges join the same vertices until all pairs are used. Compared with
//! groups that have no packet in common, a frame of 20 packets at [`Protection::Strong`] is whole in 70 % instead of
//! 35 % of all cases at 20 % loss, by the same number of repair packets (simulated).

use super::Protection;

/// The most packets of one block. Their mask has the second of the three forms, so that the header of FlexFEC has at most
/// 24 bytes. With 12 bytes of RTP header, 8 of extensions, 24 of the extensions that it covers, the longest payload and 16 of
/// tag a repair packet has 1228 bytes, which are 1276 with the IPv6 header: below the least MTU of IPv6 of 1280.
pub const BLOCK: usize = 46;
/// The most repair packets of one block.
pub const PARITIES: usize = (BLOCK * 6).div_ceil(10);

/// The packets of a frame that are protected together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// The index of the first packet in the frame.
    pub first: usize,
    /// The number of packets.
    pub packets: usize,
}

/// Cuts a frame into blocks of nearly equal length.
pub fn blocks(packets: usize) -> impl Iterator<Item = Block> {
    let count = packets.div_ceil(BLOCK);
    (0..count).map(move |block| {
        let first = packets * block / count;
        Block { first, packets: packets * (block + 1) / count - first }
    })
}

/// Returns the packets that each repair packet of a block covers, as bits: bit 0 is the first packet of the block. The
/// number of masks is that of [`Protection::parities`].
pub fn masks(packets: usize, protection: Protection) -> impl Iterator<Item = u64> {
    let packets = packets.min(BLOCK);
    let groups = protection.parities(packets);
    let mut masks = [0_u64; PARITIES];
    for (packet, (a, b)) in edges(groups + 1).take(packets).enumerate() {
        for group in [a, b] {
            if group < groups {
                masks[group] |= 1 << packet; // The last vertex stands for what is known.
            }
        }
    }
    masks.into_iter().take(groups)
}

/// Returns the pairs of different vertices: first neighbours, then those that are two apart, and so on. Begins again
/// after the last pair.
fn edges(vertices: usize) -> impl Iterator<Item = (usize, usize)> {
    let all = (1..=vertices / 2).flat_map(move |apart| {
        let pairs = if apart * 2 == vertices { apart } else { vertices }; // The other half would be the same pairs.
        (0..pairs).map(move |vertex| (vertex, (vertex + apart) % vertices))
    });
    all.cycle()
}
