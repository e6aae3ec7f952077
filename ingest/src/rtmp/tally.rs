//! Counts what one connection does: metrics while it lives, and the numbers of its last log line.

use std::collections::BTreeMap;
use std::fmt;

use metrics::{Counter, Gauge, counter, gauge};
use onmic_media::{DropReason, MediaKind, metric};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    In,
    Out,
}

impl Direction {
    const fn name(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
        }
    }
}

/// Counts for one connection. While the tally lives, the connection is counted in `onmic_connections`.
pub(super) struct Tally {
    connections: Gauge,
    frames: [[Counter; MediaKind::ALL.len()]; 2],
    bytes: [Counter; 2],
    /// The number of frames, by direction and kind.
    pub(super) frame_counts: [[u64; MediaKind::ALL.len()]; 2],
    /// The number of bytes on the wire, by direction.
    pub(super) byte_counts: [u64; 2],
    drops: BTreeMap<DropReason, u64>,
}

impl Tally {
    pub(super) fn new() -> Self {
        let frames = |direction: Direction| {
            MediaKind::ALL.map(|kind| {
                counter!(metric::FRAMES, "direction" => direction.name(), "protocol" => "rtmp", "kind" => kind.name())
            })
        };
        let bytes =
            |direction: Direction| counter!(metric::BYTES, "direction" => direction.name(), "protocol" => "rtmp");
        let connections = gauge!(metric::CONNECTIONS, "protocol" => "rtmp");
        connections.increment(1.0);
        Self {
            connections,
            frames: [frames(Direction::In), frames(Direction::Out)],
            bytes: [bytes(Direction::In), bytes(Direction::Out)],
            frame_counts: [[0; MediaKind::ALL.len()]; 2],
            byte_counts: [0; 2],
            drops: BTreeMap::new(),
        }
    }

    pub(super) fn frame(&mut self, direction: Direction, kind: MediaKind) {
        self.frames[direction as usize][kind as usize].increment(1);
        self.frame_counts[direction as usize][kind as usize] += 1;
    }

    pub(super) fn bytes(&mut self, direction: Direction, bytes: usize) {
        self.bytes[direction as usize].increment(bytes as u64);
        self.byte_counts[direction as usize] += bytes as u64;
    }

    pub(super) fn drop(&mut self, reason: DropReason, count: u64) {
        reason.count(count);
        *self.drops.entry(reason).or_default() += count;
    }

    /// Returns all drops as `reason=count`, for the log.
    pub(super) fn drops(&self) -> impl fmt::Display + '_ {
        struct Drops<'a>(&'a BTreeMap<DropReason, u64>);
        impl fmt::Display for Drops<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                if self.0.is_empty() {
                    return f.write_str("none");
                }
                for (index, (reason, count)) in self.0.iter().enumerate() {
                    write!(f, "{}{}:{count}", if index == 0 { "" } else { "," }, reason.name())?;
                }
                Ok(())
            }
        }
        Drops(&self.drops)
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.connections.decrement(1.0);
    }
}
