//! A take that was selected and has not begun, with its pre-roll: its newest frames, which the take may begin with.

use std::collections::VecDeque;

use super::fence::Fence;
use super::{Brings, Take};
use crate::frame::Frame;
use crate::key::{Keyed, MediaKind, TrackKey};

/// The most audio packets or messages of the pre-roll, for each track. Audio may be ahead of its video: 20 packets are
/// 0.4 s.
pub(super) const AUDIO_MAX: usize = 20;

/// The most frames of a further video rendition in the pre-roll. They are those since its keyframe, which may come
/// before the main one's. 30 frames are 1 s at 30 fps. A rendition that is further ahead begins with its next keyframe.
const VIDEO_MAX: usize = 30;

/// The number of video frames of the awaited take after which its source is asked for a keyframe again: 1 s at 30 fps.
pub(super) const ASK_AGAIN: u32 = 30;

/// Is an awaited take.
#[derive(Debug)]
pub(super) struct Next {
    pub(super) take: Take,
    pub(super) keyframe_wanted: bool,
    /// The fence that holds back the video of the take that is on.
    pub(super) fence: Fence,
    pub(super) pre_roll: Keyed<VecDeque<Frame>>,
}

impl Next {
    pub(super) fn new(number: u64, brings: Brings) -> Self {
        let take = Take { number, brings, shift_micros: 0 };
        Self { take, keyframe_wanted: true, fence: Fence::default(), pre_roll: Keyed::new() }
    }

    /// Returns whether the take may begin with this frame, apart from its time.
    pub(super) fn may_begin_with(&self, key: TrackKey, frame: &Frame) -> bool {
        match key {
            TrackKey::VIDEO => frame.keyframe,
            TrackKey::AUDIO => !self.take.brings.video,
            _ => false,
        }
    }

    /// Takes in a frame that the take does not begin with.
    pub(super) fn wait(&mut self, key: TrackKey, frame: Frame) {
        if key == TrackKey::VIDEO {
            // The take may begin with a later keyframe.
            if self.fence.note_awaited().is_multiple_of(ASK_AGAIN) {
                self.keyframe_wanted = true;
            }
            return;
        }
        if !self.pre_roll.has_room_for(key) {
            return;
        }
        let kept = self.pre_roll.get_or_insert_with(key, VecDeque::new);
        match key.kind {
            MediaKind::Video => {
                if frame.keyframe || kept.len() == VIDEO_MAX {
                    kept.clear();
                }
                if frame.keyframe || !kept.is_empty() {
                    kept.push_back(frame);
                }
            }
            MediaKind::Audio | MediaKind::Data => {
                if kept.len() == AUDIO_MAX {
                    kept.pop_front();
                }
                kept.push_back(frame);
            }
        }
    }
}
