//! The destination of composed frames.

use onmic_media::Frame;

/// States what a sink wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// It wants the next frame.
    Go,
    /// It wants the next frame, and a keyframe as soon as possible.
    Keyframe,
    /// It wants no more frames.
    Stop,
}

/// Takes composed frames. It is dropped when no more come, for any reason.
pub trait PictureSink: Send + 'static {
    /// Takes one frame, on the composer's thread.
    fn push(&mut self, frame: Frame) -> Wanted;
}
