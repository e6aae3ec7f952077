//! The fence: it holds back the video of the take that is on while the awaited take, which runs behind it, catches up.
//!
//! Without it a mix could never begin, because its keyframes carry times that the program already has from the source
//! that leads it.

use std::collections::VecDeque;

use crate::frame::Frame;
use crate::key::{Keyed, TrackKey};

/// The most video frames of one rendition that are held. 40 frames are 1.3 s at 30 fps: by then the awaited take has
/// passed them, if it ever does.
pub(super) const HELD_MAX: usize = 40;

/// The number of video frames of the awaited take for which the fence stays down after it was lifted in vain: 1 s at
/// 30 fps.
const REST: u32 = 30;

/// Is the fence of one awaited take. It is down at first.
#[derive(Debug, Default)]
pub(super) struct Fence {
    /// The frames that it holds back, while it is up.
    held: Option<Keyed<VecDeque<Frame>>>,
    /// The number of main video frames of the awaited take so far.
    waited: u32,
    /// The number of those frames before which the fence is not raised.
    not_before: u32,
}

impl Fence {
    /// Counts a main video frame of the awaited take, and returns the count.
    pub(super) fn note_awaited(&mut self) -> u32 {
        self.waited += 1;
        self.waited
    }

    /// Holds back all frames from now on, unless it was lifted only just now.
    pub(super) fn raise(&mut self) {
        if self.held.is_none() && self.waited >= self.not_before {
            self.held = Some(Keyed::new());
        }
    }

    /// Returns whether it holds frames back.
    pub(super) fn is_up(&self) -> bool {
        self.held.is_some()
    }

    /// Holds a frame back. Returns false once it holds more than it may, and must be lifted.
    pub(super) fn hold(&mut self, key: TrackKey, frame: Frame) -> bool {
        let Some(held) = &mut self.held else { return false };
        let frames = held.get_or_insert_with(key, VecDeque::new);
        frames.push_back(frame);
        frames.len() <= HELD_MAX
    }

    /// Takes it down and returns the frames that it held back.
    pub(super) fn lift(&mut self) -> Keyed<VecDeque<Frame>> {
        let held = self.held.take();
        if held.is_some() {
            self.not_before = self.waited + REST;
        }
        held.unwrap_or_default()
    }
}
