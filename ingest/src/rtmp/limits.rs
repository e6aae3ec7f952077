//! The most that one peer may cost this server.

use std::time::Duration;

use onmic_listen::WRITE_TIMEOUT;
use onmic_media::Pace;

use super::chunk::ChunkLimits;

/// Holds the limits and times of the RTMP server. The binary fills them from its configuration.
#[derive(Clone, Debug)]
pub struct RtmpLimits {
    /// The most connections at once, publishing and playing. Where the limit is reached, a connection that does neither gives
    /// way to a new one, and without such a connection the new one is closed.
    pub connections: usize,
    /// The most connections at once of one address, with the same rule.
    pub connections_per_address: usize,
    /// How fast one address may open connections.
    pub pace: Option<Pace>,
    /// How long a connection may take from the accept to a publish or play, handshakes included.
    pub setup_timeout: Duration,
    /// How long a peer may send nothing. Players answer pings, so they are never silent for long.
    pub idle_timeout: Duration,
    /// How long a peer may send nothing before it is pinged.
    pub ping_interval: Duration,
    /// How long a write may make no progress.
    pub write_timeout: Duration,
    /// How long a player waits for a stream that is not there yet.
    pub feed_timeout: Duration,
    /// The most payload bytes of one message of a publisher. 8 MiB is a keyframe of 2.6 s at 25 Mbit/s.
    pub message_bytes: usize,
    /// The most bytes of all partial messages of a publisher together, by their announced lengths: a large frame and
    /// the messages interleaved with it.
    pub partial_bytes: usize,
    /// The most chunk streams per connection. Encoders use four or five.
    pub chunk_streams: usize,
    /// The acknowledgement window that the server states for both directions.
    pub window_bytes: u32,
    /// The size of the chunks that this server sends. It is large, because every frame is ready at once and nothing
    /// waits for it.
    pub chunk_size: usize,
}

impl Default for RtmpLimits {
    fn default() -> Self {
        Self {
            connections: 1000,
            connections_per_address: 250,
            pace: None,
            setup_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(30),
            ping_interval: Duration::from_secs(10),
            write_timeout: WRITE_TIMEOUT,
            feed_timeout: Duration::from_secs(10),
            message_bytes: 8 << 20,
            partial_bytes: 12 << 20,
            chunk_streams: 64,
            window_bytes: 2_500_000, // What servers commonly announce: 2.5 s at 8 Mbit/s.
            chunk_size: 60_000,
        }
    }
}

impl RtmpLimits {
    /// Returns the limits of a peer before its publish or play is granted: commands only, of at most 16 KiB of AMF0
    /// each.
    pub(crate) fn before_publish(&self) -> ChunkLimits {
        const COMMAND_BYTES: usize = 64 << 10;
        let message_bytes = self.message_bytes.min(COMMAND_BYTES);
        ChunkLimits { message_bytes, partial_bytes: 2 * message_bytes, chunk_streams: self.chunk_streams }
    }

    /// Returns the limits of a publisher.
    pub(crate) fn of_publisher(&self) -> ChunkLimits {
        ChunkLimits {
            message_bytes: self.message_bytes,
            partial_bytes: self.partial_bytes,
            chunk_streams: self.chunk_streams,
        }
    }
}
