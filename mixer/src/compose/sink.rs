//! Where composed frames go.

use onmic_media::Frame;

/// What the taker of frames wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The next frame.
    Go,
    /// The next frame, and it must be an IDR.
    Keyframe,
    /// Nothing more.
    Stop,
}

/// Takes composed frames. Dropped when no more come, for whatever reason.
pub trait PictureSink: Send + 'static {
    /// Takes one; on the composer's thread.
    fn push(&mut self, frame: Frame) -> Wanted;
}
