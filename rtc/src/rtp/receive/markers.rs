//! Whether the marker bits of a stream of video tell where its frames end.
//!
//! By RTP the marker stands on the last packet of a frame, and spares a receiver the wait for the next frame. Some senders set it on
//! every packet or NAL unit, and a receiver must not rely on it (RFC 6184 5.1).
//!
//! What a stream shows is evidence, and can be revised. What continues a picture whose marker came shows that markers are wrong: from
//! there on none ends a frame. The stream sees that by the payload, because two pictures may have one time. After [`RIGHT`] frames of
//! several packets in a row whose last packet alone has the marker they are right again, and each relapse doubles that number. Frames
//! of one packet show nothing: theirs is the last packet, whatever the sender does.

/// The number of frames that show that markers are right: a third of a second at 30 fps.
const RIGHT: u32 = 10;
/// The most that it grows to: 5.7 min at 30 fps.
const RIGHT_MAX: u32 = 10 << 10;

/// Judges the markers of one stream.
#[derive(Debug)]
pub(super) struct Markers {
    frame: Option<Frame>,
    have_come: bool,
    are_wrong: bool,
    /// The number of frames in a row whose markers were right.
    right: u32,
    /// The number after which markers are believed again.
    needed: u32,
}

/// What the packets of the newest frame showed.
#[derive(Clone, Copy, Debug)]
struct Frame {
    timestamp: u32,
    is_marked: bool,
    has_several: bool,
    /// Whether a packet came after one with the marker.
    goes_on: bool,
}

impl Default for Markers {
    fn default() -> Self {
        Self { frame: None, have_come: false, are_wrong: false, right: 0, needed: RIGHT }
    }
}

impl Markers {
    /// Returns whether a frame without a marker at its end is not whole.
    pub(super) fn tell(&self) -> bool {
        self.have_come && !self.are_wrong
    }

    /// Takes the next packet in order. Returns whether it is the last of its frame, as far as its marker tells.
    pub(super) fn is_end(&mut self, timestamp: u32, is_marked: bool) -> bool {
        self.have_come |= is_marked;
        match self.frame.as_mut().filter(|frame| frame.timestamp == timestamp) {
            Some(frame) => {
                frame.goes_on |= frame.is_marked;
                (frame.is_marked, frame.has_several) = (is_marked, true);
                if frame.goes_on && self.are_wrong {
                    self.right = 0;
                }
            }
            None => {
                self.judge();
                self.frame = Some(Frame { timestamp, is_marked, has_several: false, goes_on: false });
            }
        }
        is_marked && !self.are_wrong
    }

    /// Returns whether the newest packet ended a frame of this timestamp by its marker.
    pub(super) fn have_ended(&self, timestamp: u32) -> bool {
        self.frame.is_some_and(|frame| frame.timestamp == timestamp && frame.is_marked)
    }

    /// Takes in that something continues a picture whose marker came.
    pub(super) fn refute(&mut self) {
        if !self.are_wrong && self.right > 0 {
            self.needed = (self.needed * 2).min(RIGHT_MAX); // They were believed again, in vain.
        }
        (self.are_wrong, self.right) = (true, 0);
    }

    /// Takes in that the newest frame has ended.
    fn judge(&mut self) {
        let Some(frame) = self.frame.filter(|frame| self.are_wrong && frame.has_several && !frame.goes_on) else {
            return;
        };
        if frame.is_marked {
            self.right += 1;
            self.are_wrong = self.right < self.needed;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns how many of `frames` a marker ended. Each is the markers of its packets.
    fn ended(markers: &mut Markers, first: u32, frames: &[&[bool]]) -> usize {
        let mut end = |at: usize, marked: &[bool]| {
            let mut ends = Vec::new();
            for marked in marked {
                let continues = ends.last() == Some(&true);
                ends.push(markers.is_end(first + at as u32, *marked));
                if continues {
                    markers.refute();
                }
            }
            usize::from(ends.last() == Some(&true) && ends.iter().filter(|end| **end).count() == 1)
        };
        frames.iter().enumerate().map(|(at, marked)| end(at, marked)).sum()
    }

    const WHOLE: &[bool] = &[false, false, true];
    const EACH: &[bool] = &[true, true, true];
    const SINGLE: &[bool] = &[true];
    const UNMARKED: &[bool] = &[false, false];

    #[test]
    fn markers_on_every_packet_end_no_frame_and_one_odd_frame_is_forgiven() {
        let mut markers = Markers::default();
        assert_eq!(ended(&mut markers, 0, &[WHOLE, EACH, EACH, WHOLE]), 1);
        assert!(!markers.tell());
        // The last one above was right as well. The frame after the tenth shows it.
        assert_eq!(ended(&mut markers, 10, &[WHOLE; 30]), 30 - 9);
        assert!(markers.tell());
    }

    #[test]
    fn a_sender_that_is_wrong_again_and_again_is_believed_less_and_less() {
        let mut markers = Markers::default();
        let (mut at, mut ends) = (0, Vec::new());
        for _ in 0..12 {
            ended(&mut markers, at, &[EACH]);
            let frames = vec![WHOLE; 11_000];
            ends.push(11_000 - ended(&mut markers, at + 1, &frames));
            at += 20_000;
        }
        assert_eq!(ends, [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5120, 10_240, 10_240]);
    }

    #[test]
    fn frames_of_one_packet_and_frames_without_a_marker_show_nothing() {
        let mut markers = Markers::default();
        assert!(!markers.tell(), "there may be none");
        ended(&mut markers, 0, &[EACH]);
        assert_eq!(ended(&mut markers, 10, &[SINGLE; 100]), 0);
        assert_eq!(ended(&mut markers, 200, &[UNMARKED; 100]), 0);
        assert!(!markers.tell());
    }
}
