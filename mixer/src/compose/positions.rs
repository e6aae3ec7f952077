//! Places composed frames on the timeline. They lie where the lead's own frames lie, so a splice from the lead's frames
//! to composed ones and back shifts nothing.
//!
//! A composed frame that shows a new frame of the lead has that frame's timestamp. Any other one lies on the lead's
//! line, which the newest frame of the lead states. Both kinds share one line, so a lead without video has it from its
//! audio. Until the lead has sent a frame, the line is the program's own.

use std::sync::Arc;

use onmic_media::{ClockRate, Feed, ProgramClock, Ticks, WallTime};

/// States the timeline of composed frames.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The program's clock. It is the line until the lead has sent a frame.
    pub clock: ProgramClock,
    /// The lead's feed.
    pub lead: Option<Arc<Feed>>,
}

impl Origin {
    /// Returns the present line of the lead.
    fn line(&self) -> ProgramClock {
        self.lead.as_ref().and_then(|feed| feed.clock()).unwrap_or(self.clock)
    }
}

/// Places one composed frame after the other.
#[derive(Clone, Debug)]
pub(crate) struct Positions {
    origin: Origin,
    last: Option<Ticks>,
}

impl Positions {
    pub(crate) fn new(origin: Origin) -> Self {
        Self { origin, last: None }
    }

    /// Returns the timestamp of a frame that shows the moment `wall`. It is later than all timestamps before. `picture`
    /// is the line through the lead's new frame, if the composed frame shows one.
    pub(crate) fn place(&mut self, wall: WallTime, picture: Option<ProgramClock>) -> Ticks {
        let line = picture.unwrap_or_else(|| self.origin.line());
        let pts = Ticks(line.position(wall)).rescale(ClockRate::MICROS, ClockRate::VIDEO);
        let pts = self.last.map_or(pts, |last| pts.max(last + Ticks(1)));
        self.last = Some(pts);
        pts
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use bytes::Bytes;
    use onmic_media::codec::opus;
    use onmic_media::{Frame, Parameters, Track};

    use super::*;

    fn wall(millis: u64) -> WallTime {
        WallTime(1_795_000_000_000_000 + millis * 1000)
    }

    /// Returns the line through a frame of the lead whose timestamp has a rate of 90 kHz.
    fn picture(pts: i64, millis: u64) -> Option<ProgramClock> {
        Some(ProgramClock::through(Ticks(pts).micros(ClockRate::VIDEO), wall(millis)))
    }

    fn origin(lead: Option<Arc<Feed>>) -> Origin {
        Origin { clock: ProgramClock::through(10_000_000, wall(0)), lead }
    }

    #[test]
    fn a_composed_frame_has_the_timestamp_of_the_leads_frame_that_it_shows() {
        let mut positions = Positions::new(origin(None));
        assert_eq!(positions.place(wall(0), picture(777, 0)), Ticks(777));
        assert_eq!(positions.place(wall(33), picture(3777, 33)), Ticks(3777));
        assert_eq!(positions.place(wall(101), picture(9777, 100)), Ticks(9777 + 90), "shifted with the moment");
        assert_eq!(positions.place(wall(102), picture(777, 102)), Ticks(9868), "later than all before");
    }

    #[test]
    fn until_the_lead_sends_a_frame_composed_frames_lie_on_the_programs_clock() {
        let mut positions = Positions::new(origin(Some(Feed::new(None))));
        assert_eq!(positions.place(wall(0), None), Ticks(900_000));
        assert_eq!(positions.place(wall(40), None), Ticks(903_600));
    }

    #[test]
    fn composed_frames_lie_on_the_line_of_the_audio_of_a_lead_without_video() {
        let (feed, parameters) = (Feed::new(None), Arc::new(Parameters::Opus(opus::Parameters::new(2))));
        let track = Arc::new(Track::new(parameters.clone()));
        feed.set_original(track.clone());
        let mut positions = Positions::new(origin(Some(feed)));
        assert_eq!(positions.place(wall(0), None), Ticks(900_000));
        // The lead's crystal is fast by 1 %, and the video has to stay in sync with its audio.
        for number in 1..500_u64 {
            let pts = Ticks((number * 960).try_into().unwrap()) + Ticks(480_000);
            let (wall, arrived) = (wall(number * 20 - number * 20 / 100), Instant::now());
            let (parameters, payload) = (parameters.clone(), Bytes::new());
            track.push(Frame { dts: pts, pts, wall, arrived, keyframe: true, parameters, payload });
            let placed = positions.place(wall, None);
            let off = placed.micros(ClockRate::VIDEO) - pts.micros(ClockRate::OPUS);
            assert!(off.abs() < 20, "{off} µs");
        }
    }
}
