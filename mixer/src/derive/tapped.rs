//! An audio line that gets input from two threads: its own thread, which reads frames, and the mixer's thread, which
//! has the PCM of those frames. The thread that completes a packet puts it out. Each waits for the other at most as
//! long as encoding takes.

use std::sync::Arc;

use onmic_media::{Frame, Pcm, PcmTap, Rendition, Track};
use parking_lot::Mutex;

use super::audio::AudioLine;
use crate::error::Error;

/// Is an audio line with its output track, shared by two threads.
pub(crate) struct TappedLine {
    output: Arc<Track>,
    state: Mutex<State>,
}

struct State {
    line: AudioLine,
    made: Vec<Frame>,
    /// The encoder's error on the mixer's thread. It is kept for the line's own thread, which then ends with it.
    failed: Option<Error>,
}

impl TappedLine {
    /// Makes the output track of this rendition for a line.
    pub(crate) fn new(line: AudioLine, rendition: Rendition) -> Self {
        let output = Arc::new(Track::with_rendition(rendition, line.output_parameters().clone()));
        Self { output, state: Mutex::new(State { line, made: Vec::new(), failed: None }) }
    }

    /// Returns the track that it fills.
    pub(crate) fn output(&self) -> &Arc<Track> {
        &self.output
    }

    /// Takes in a frame. An error is final.
    pub(crate) fn take(&self, frame: &Frame) -> Result<(), Error> {
        let State { line, made, failed } = &mut *self.state.lock();
        match failed.take() {
            Some(error) => return Err(error),
            None => line.take(frame, made)?,
        }
        made.drain(..).for_each(|frame| self.output.push(frame));
        Ok(())
    }
}

impl PcmTap for TappedLine {
    fn take(&self, pcm: Pcm<'_>) {
        let State { line, made, failed } = &mut *self.state.lock();
        if failed.is_none() {
            *failed = line.take_pcm(pcm, made).err();
            made.drain(..).for_each(|frame| self.output.push(frame));
        }
    }
}
