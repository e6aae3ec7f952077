//! WebRTC over TCP (RFC 6544), for peers whose networks let no UDP through.
//!
//! A peer opens a connection to the passive candidate of an answer. Its first frame has to be a connectivity check, and the user fragment
//! in that names the shard. From then on the connection belongs to the thread of that shard, which reads and writes it beside its UDP
//! socket, without a task, a channel or a lock of its own. It lives as long as a session is known under it.
//!
//! TCP holds everything back behind a lost packet. So what waits for a peer is bounded in bytes and in age, and dropped beyond that:
//! frames that come too late help nobody. [`backlog`] decides it.

mod backlog;
mod connections;

pub(crate) use connections::{Arrived, Connections, Counters, Read};
