//! Why a program is not made as it is to be.

use std::io;

use thiserror::Error;

/// What failed.
#[derive(Debug, Error)]
pub enum Error {
    /// Starting the stage's thread.
    #[error("the thread of the stage cannot be started")]
    Thread(#[source] io::Error),
    /// Mixing the audio of a program or of a return feed.
    #[error("the audio cannot be mixed")]
    Audio(#[source] onmic_mixer::Error),
    /// Mixing the video of a program.
    #[error("the video cannot be mixed")]
    Video(#[source] onmic_mixer::Error),
}
