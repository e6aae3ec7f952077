//! The words of the API: one enum for each set of words, translated from the enums of other crates.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Declares an enum of words that has the same variants as an enum of another crate.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident of $of:ty: $($(#[$word:meta])* $variant:ident),+ $(,)?) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
        #[serde(rename_all = "kebab-case")]
        #[allow(missing_docs)] // The variants are words.
        pub enum $name { $($(#[$word])* $variant),+ }

        impl From<$of> for $name {
            fn from(word: $of) -> Self {
                match word { $(<$of>::$variant => Self::$variant),+ }
            }
        }

        impl From<$name> for $of {
            fn from(word: $name) -> Self {
                match word { $($name::$variant => Self::$variant),+ }
            }
        }
    };
}

words! {
    /// The role of a token, which says what it allows.
    Role of onmic_room::Authority: Host, CoHost, Viewer, Admin
}
words! {
    /// What happens to a room without its host: the seats are emptied, the room ends, or participants stay on mic.
    HostLeaves of onmic_room::HostLeaves: EmptySeats, End, Keep
}
words! {
    /// How audio and video reach WebRTC viewers: in step, or video at once and audio when it is ready.
    AvSync of onmic_room::AvSync: LipSync, PictureFirst
}
words! {
    /// The state of a seat.
    SeatState of onmic_room::SeatState: Empty, Reserved, Connecting, OnMic, Away
}
words! {
    /// The one who muted something.
    MutedBy of onmic_room::MutedBy:
    Host,
    #[serde(rename = "self")]
    Myself
}
words! {
    /// The state of a PK: proposed by this room, offered by the other one, or on.
    PkState of onmic_room::PkState: Proposed, Offered, On
}
words! {
    /// The way in which a program is made.
    ProgramState of onmic_stage::ProgramState: Off, PassThrough, Mixed
}
words! {
    /// The protocol by which a source comes in.
    Protocol of onmic_media::Protocol: Rtmp, Whip
}
words! {
    /// The reason why a room ended.
    EndReason of onmic_room::EndReason: Ended, Empty, HostLeft
}
words! {
    /// The reason why somebody is no longer on a seat.
    LeftReason of onmic_room::LeftReason: Left, Removed, Timeout, RoomEnded, HostLeft, HandedOver
}
words! {
    /// The reason why a PK, or the proposal of one, is over.
    PkEndReason of onmic_room::PkEndReason: Ended, Expired, HostGone, RoomEnded
}
