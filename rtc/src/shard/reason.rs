//! Why a session ended. It is one word of the line in the log with which a session ends.

use onmic_media::Ending;
use onmic_media::ended::Ended;
use onmic_media::feed::Unavailable;

use crate::transport::CloseReason;

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The connection ended.
    Connection(CloseReason),
    /// The claim that opened the session is not good any more.
    Permit(Ending),
    /// The publisher may send no more.
    Publication(Ended),
    /// The client deleted the session.
    ClientRequest,
    /// Another session needed the place.
    GaveWay,
    /// A track that the viewer watches is over.
    TrackEnded,
    /// The publisher said goodbye and has left.
    Goodbye,
    /// The node stops.
    Stopping,
    /// A conversion that the viewer needs is beyond the node's budget.
    OverBudget,
    /// A conversion that the viewer needs could not be made.
    ReplacementFailed,
    /// The frames turned out to be reordered, and are not converted.
    FramesReordered,
}

impl Reason {
    /// Returns the word for the log.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Connection(reason) => reason.label(),
            Self::Permit(why) => why.name(),
            Self::Publication(ended) => ended.reason(),
            Self::ClientRequest => "client_request",
            Self::GaveWay => "gave_way",
            Self::TrackEnded => "track_ended",
            Self::Goodbye => "goodbye",
            Self::Stopping => "stopping",
            Self::OverBudget => "over_budget",
            Self::ReplacementFailed => "replacement_failed",
            Self::FramesReordered => "frames_reordered",
        }
    }
}

/// A track that WebRTC cannot carry was not converted.
impl From<&Unavailable> for Reason {
    fn from(refused: &Unavailable) -> Self {
        match refused {
            Unavailable::Overloaded(_) => Self::OverBudget,
            Unavailable::Failed { .. } => Self::ReplacementFailed,
            Unavailable::NoTrack(_) | Unavailable::NoRecipe(_) => Self::FramesReordered,
        }
    }
}

#[cfg(test)]
mod tests {
    use onmic_media::{Codec, Spent, TrackKey, Work};

    use super::*;

    #[test]
    fn a_session_that_ends_without_a_replacement_says_whether_the_budget_is_spent() {
        let failed = Unavailable::Failed { codec: Codec::H264, sentence: "no encoder".to_owned(), again: None };
        for (refused, reason) in [
            (Unavailable::Overloaded(Spent(Work::SpareConversion)), "over_budget"),
            (failed, "replacement_failed"),
            (Unavailable::NoRecipe(Codec::H264), "frames_reordered"),
            (Unavailable::NoTrack(TrackKey::VIDEO), "frames_reordered"),
        ] {
            assert_eq!(Reason::from(&refused).name(), reason, "{refused}");
        }
    }
}
