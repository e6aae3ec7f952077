//! The model that all parts of onmic share: frames on tracks, tracks in feeds, feeds under names.
//!
//! This crate knows nothing of sockets, protocols or FFmpeg, and never reads a clock: `now` is an argument.
//!
//! ```text
//! Publication ─▶ Source ─ Feed ─┬─ Track (video)  ── Ring ── Reader …
//!                  │            ├─ Track (video1) ── Ring ── Reader …
//!                  │            └─ Track (audio)  ── Ring ── Reader …
//!                  ▼                      └ derived on demand by a Deriver
//!   mixer ─▶ Inlet of a Program ─ Feed ─ Tracks …
//! Hub: rooms → sources by name, and the program
//! ```

pub mod advice;
pub mod bucket;
pub mod budget;
pub mod calendar;
mod causes;
mod changes;
pub mod clock;
pub mod closed;
pub mod codec;
pub mod denial;
pub mod drops;
pub mod ended;
pub mod feed;
pub mod flv;
pub mod frame;
pub mod gate;
pub mod hub;
mod intake;
pub mod key;
pub mod life;
pub mod meter;
pub mod metric;
mod order;
pub mod parking;
mod part;
pub mod pcm;
pub mod permit;
pub mod playback;
pub mod program;
pub mod program_clock;
pub mod publication;
pub mod rates;
pub mod ring;
pub mod share;
pub mod source;
#[cfg(test)]
mod testing;
pub mod time;
pub mod track;
pub mod viewers;

pub use advice::{Advice, LeftOut};
pub use budget::{Budget, Held, Spent, Work};
pub use calendar::{Calendar, Date, DateOffset};
pub use causes::with_causes;
pub use changes::ChangedRooms;
pub use clock::Alignment;
pub use closed::Closed;
pub use codec::{Codec, Parameters};
pub use denial::{Asked, Denial};
pub use drops::DropReason;
pub use feed::{Accept, Accepts, Demand, Entry, Feed, FeedStage, Ladder, Level, NotDerived, Returns};
pub use frame::Frame;
pub use gate::{Action, Admission, Gate, Shown};
pub use hub::{FeedName, Hub};
pub use key::{Keyed, MediaKind, Rendition, TRACKS_MAX, TrackKey};
pub use onmic_names as name;
pub use onmic_names::{AvSync, ParticipantName, Playout, RoomName, SourceName};
pub use order::Stated;
pub use pcm::{Pcm, PcmTap};
pub use permit::{Ending, Grant, Holder, Permit, Permits, Whose};
pub use playback::{Next, Placed, Playback, Start, Tracks, Wants};
pub use program::{Brings, Inlet, Keyframes, Offered, Program, TimelineId};
pub use program_clock::ProgramClock;
pub use publication::{Arrival, Publication};
pub use rates::{Pace, Rates, TooFast};
pub use ring::{Join, Read, Reader};
pub use share::{NoShare, Share, Shares};
pub use source::{Presence, Protocol, Publisher, Source};
pub use time::{ClockRate, NodeClock, Ticks, WallTime};
pub use track::{Track, TrackId};
pub use viewers::{ViewerKind, Viewing};
