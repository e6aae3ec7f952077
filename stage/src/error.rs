//! The errors of making a program.

use std::io;

use thiserror::Error;

/// An error of the stage.
#[derive(Debug, Error)]
pub enum Error {
    /// The stage's thread does not start.
    #[error("the thread of the stage cannot be started")]
    Thread(#[source] io::Error),
    /// The audio of a program or of a return feed is not mixed.
    #[error("the audio cannot be mixed")]
    Audio(#[source] onmic_mixer::Error),
    /// The video of a program is not mixed.
    #[error("the video cannot be mixed")]
    Video(#[source] onmic_mixer::Error),
    /// The mix has no part of the budget.
    #[error("the mix has no part of the budget of pixels")]
    Budget(#[source] onmic_media::Spent),
}
