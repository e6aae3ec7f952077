//! An audio line that two threads bring input to: its own, which reads the frames, and the mixer's with what the frames are
//! made of. Whoever completes a packet puts it out; both wait for each other for no longer than encoding takes.

use std::sync::Arc;

use onmic_media::{Frame, Pcm, PcmTap, Rendition, Track};
use parking_lot::Mutex;

use super::audio::AudioLine;
use crate::error::Error;

/// An audio line with its output track, for two threads.
pub(crate) struct TappedLine {
    output: Arc<Track>,
    state: Mutex<State>,
}

struct State {
    line: AudioLine,
    made: Vec<Frame>,
    /// The encoder's error on the mixer's thread, kept for the line's own thread, which ends by it.
    failed: Option<Error>,
}

impl TappedLine {
    /// A line and a new track of this rendition for what comes out of it.
    pub(crate) fn new(line: AudioLine, rendition: Rendition) -> Self {
        let output = Arc::new(Track::with_rendition(rendition, line.output_parameters().clone()));
        Self { output, state: Mutex::new(State { line, made: Vec::new(), failed: None }) }
    }

    /// The track it fills.
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
