//! Redundant audio (RFC 2198): a packet repeats the packets before it, so that a loss is made good by the next packet.
//!
//! ```text
//!  1  PT (7)  timestamp offset (14)  length (10)     for each repeated packet, the oldest first
//!  0  PT (7)                                         for the packet itself
//!  the repeated packets, then the packet itself
//! ```
//!
//! Pure: bytes in, bytes out. Which packets are repeated is made once per track and depth, with the payload type of the
//! viewer written in last.

/// The most earlier packets that a packet to a viewer repeats: at 112 kbit/s and 10 ms, more do not fit beside it.
pub const DEPTH_MAX: u8 = 7;
/// The longest distance between two of these, in packets. The oldest is then 210 ms of audio back at 10 ms, and a receiver that plays
/// 40 ms behind has no use for older ones.
pub const STRIDE_MAX: u8 = 3;
/// The most blocks that are read. Browsers send up to ten.
pub const BLOCKS_MAX: usize = 32;
const OFFSET_MAX: u32 = (1 << 14) - 1;
const LENGTH_MAX: usize = (1 << 10) - 1;
const BLOCK_HEADER: usize = 4;

/// Which earlier packets an audio packet repeats. It is one byte, because each run of packets of each viewer has one: 0 for none, and
/// then by depth and stride.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Redundancy(u8);

impl Redundancy {
    /// No earlier packet.
    pub const NONE: Self = Self(0);
    /// The number of all others.
    pub const ALL: usize = DEPTH_MAX as usize * STRIDE_MAX as usize;

    /// Repeats `depth` packets, [`DEPTH_MAX`] at most, each `stride` packets before the next, [`STRIDE_MAX`] at most.
    pub fn new(depth: u8, stride: u8) -> Self {
        match depth {
            0 => Self::NONE,
            _ => Self((depth.min(DEPTH_MAX) - 1) * STRIDE_MAX + stride.clamp(1, STRIDE_MAX)),
        }
    }

    /// Returns the number of packets that are repeated.
    pub fn depth(self) -> u8 {
        self.0.div_ceil(STRIDE_MAX)
    }

    /// Returns how many packets each of them is before the next. 0 if nothing is repeated.
    pub fn stride(self) -> u8 {
        self.0 - STRIDE_MAX * self.depth().saturating_sub(1)
    }

    /// Returns how far back the repeated packets are, in packets, the newest first.
    pub(super) fn distances(self) -> impl Iterator<Item = u64> {
        (1..=u64::from(self.depth())).map(move |place| place * u64::from(self.stride()))
    }

    /// Returns its place among [`Self::ALL`]. `None` if nothing is repeated.
    pub(super) fn index(self) -> Option<usize> {
        usize::from(self.0).checked_sub(1)
    }
}

impl std::fmt::Debug for Redundancy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} packets, each {} before the next", self.depth(), self.stride())
    }
}

/// A packet together with the packets that it repeats, without the payload type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redundant {
    repeated: usize,
    bytes: Box<[u8]>,
}

impl Redundant {
    /// Joins the packet `primary` with `earlier` ones, the newest first. Each has its timestamp. Fewer are repeated where
    /// the whole would be longer than `max` bytes, or where one is too old or too long for its header. `None` if none
    /// is: then the packet goes as it is.
    pub fn new<'p>(
        primary: (u32, &[u8]),
        earlier: impl IntoIterator<Item = (u32, &'p [u8])>,
        max: usize,
    ) -> Option<Self> {
        let mut length = 1 + primary.1.len();
        let fits = |&(timestamp, payload): &(u32, &[u8])| {
            length += BLOCK_HEADER + payload.len();
            let offset = primary.0.wrapping_sub(timestamp);
            (1..=OFFSET_MAX).contains(&offset) && payload.len() <= LENGTH_MAX && length <= max
        };
        let mut repeated: Vec<_> = earlier.into_iter().take_while(fits).take(BLOCKS_MAX - 1).collect();
        if repeated.is_empty() {
            return None;
        }
        repeated.reverse();
        let mut bytes = Vec::with_capacity(length);
        for (timestamp, payload) in &repeated {
            let offset = primary.0.wrapping_sub(*timestamp);
            bytes.extend_from_slice(&(1 << 31 | offset << 10 | payload.len() as u32).to_be_bytes());
        }
        bytes.push(0);
        repeated.iter().for_each(|(_, payload)| bytes.extend_from_slice(payload));
        bytes.extend_from_slice(primary.1);
        Some(Self { repeated: repeated.len(), bytes: bytes.into_boxed_slice() })
    }

    /// Writes the payload, with the payload type of the audio in all headers.
    pub fn write(&self, payload_type: u8, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(&self.bytes);
        for header in 0..self.repeated {
            out[header * BLOCK_HEADER] |= payload_type & 0x7f;
        }
        out[self.repeated * BLOCK_HEADER] = payload_type & 0x7f;
    }

    /// Returns the length of the payload, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }
}

/// One block of a redundant packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Block<'a> {
    /// The payload type.
    pub payload_type: u8,
    /// How much older than the packet it is, in units of its timestamp. 0 for the packet itself.
    pub offset: u32,
    /// The payload.
    pub payload: &'a [u8],
}

/// Takes a redundant packet apart: its blocks in order, the oldest first, and the packet itself as the last. Empty blocks
/// are left out. `None` if the payload is cut off, or has more than [`BLOCKS_MAX`] blocks.
pub fn blocks(payload: &[u8]) -> Option<impl Iterator<Item = Block<'_>>> {
    let mut blocks = [Block::default(); BLOCKS_MAX];
    let mut lengths = [0; BLOCKS_MAX];
    let (mut rest, mut count) = (payload, 0);
    loop {
        let block = blocks.get_mut(count)?;
        let (&first, after) = rest.split_first()?;
        block.payload_type = first & 0x7f;
        if first & 0x80 == 0 {
            rest = after;
            break;
        }
        let (header, after) = rest.split_first_chunk::<BLOCK_HEADER>()?;
        let header = u32::from_be_bytes(*header);
        block.offset = header >> 10 & OFFSET_MAX;
        lengths[count] = (header & LENGTH_MAX as u32) as usize;
        (rest, count) = (after, count + 1);
    }
    for (block, length) in blocks.iter_mut().zip(lengths).take(count) {
        (block.payload, rest) = rest.split_at_checked(length)?;
    }
    blocks[count].payload = rest;
    Some(blocks.into_iter().take(count + 1).filter(|block| !block.payload.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(redundant: &Redundant) -> Vec<u8> {
        let mut out = vec![7; 3];
        redundant.write(111, &mut out);
        assert_eq!(out.len(), redundant.bytes());
        out
    }

    #[test]
    fn each_form_has_its_own_place_and_order() {
        let forms: Vec<_> =
            (1..=DEPTH_MAX).flat_map(|depth| (1..=STRIDE_MAX).map(move |stride| (depth, stride))).collect();
        let made: Vec<_> = forms.iter().map(|&(depth, stride)| Redundancy::new(depth, stride)).collect();
        assert!(made.iter().map(|form| (form.depth(), form.stride())).eq(forms.iter().copied()));
        assert!(made.iter().map(|form| form.index()).eq((0..Redundancy::ALL).map(Some)));
        assert_eq!(Redundancy::new(2, 3).distances().collect::<Vec<_>>(), [3, 6]);
        assert_eq!(Redundancy::new(200, 200), *made.last().unwrap());
        assert!(made.is_sorted() && Redundancy::NONE < made[0] && Redundancy::new(0, 2) == Redundancy::NONE);
        let none = Redundancy::NONE;
        assert_eq!((none.depth(), none.stride(), none.index(), none.distances().count()), (0, 0, None, 0));
    }

    #[test]
    fn a_packet_repeats_the_ones_before_it_the_oldest_first() {
        let earlier: [(u32, &[u8]); 2] = [(1040, b"two"), (80, b"one!")];
        let out = written(&Redundant::new((2000, b"now"), earlier, 1200).unwrap());
        let headers = [0x80 | 111, 0x1e, 0x00, 4, 0x80 | 111, 0x0f, 0x00, 3, 111];
        assert_eq!(out, [&headers[..], b"one!twonow"].concat());
        let block = |offset, payload| Block { payload_type: 111, offset, payload };
        let read: Vec<_> = blocks(&out).unwrap().collect();
        assert_eq!(read, [block(1920, &b"one!"[..]), block(960, b"two"), block(0, b"now")]);
    }

    #[test]
    fn fewer_are_repeated_where_they_do_not_fit() {
        let long = vec![1; 600];
        let counted = |earlier: &[(u32, &[u8])], max| {
            let redundant = Redundant::new((50_000, &long), earlier.iter().copied(), max)?;
            Some(blocks(&written(&redundant))?.count() - 1)
        };
        assert_eq!(counted(&[(49_040, &long[..500]), (48_080, &long[..100])], 1144), Some(1));
        assert_eq!(counted(&[(49_040, &long), (48_080, &long[..100])], 1144), None, "no gaps");
        assert_eq!(counted(&[(50_000 - OFFSET_MAX, b"a"), (49_999 - OFFSET_MAX, b"b")], 1144), Some(1));
        assert_eq!(counted(&[(50_000, b"a")], 1144), None, "the same time");
        assert_eq!(counted(&[(50_001, b"a")], 1144), None, "it comes later");
        assert_eq!(counted(&[(49_040, &[1; 1024])], 4000), None);
        assert_eq!(counted(&[], 1144), None);
    }

    #[test]
    fn timestamps_wrap() {
        let redundant = Redundant::new((100, b"now"), [(u32::MAX - 859, &b"old"[..])], 1200).unwrap();
        let out = written(&redundant);
        assert_eq!(blocks(&out).unwrap().next().unwrap().offset, 960);
    }

    #[test]
    fn pieces_and_too_many_blocks_are_refused() {
        let out = written(&Redundant::new((2000, b"now"), [(1040, &b"two"[..])], 1200).unwrap());
        for end in 0..8 {
            assert!(blocks(&out[..end]).is_none(), "{end}");
        }
        assert_eq!(blocks(&out[..8]).unwrap().count(), 1, "the packet itself is empty");
        let headers = |count| [[0x80, 0, 0, 0].repeat(count), vec![0, 1]].concat();
        assert_eq!(blocks(&headers(BLOCKS_MAX - 1)).unwrap().count(), 1);
        assert!(blocks(&headers(BLOCKS_MAX)).is_none());
    }
}
