//! What the playlists of one stream hold of the node's budget of bytes.
//!
//! A stream that grows gets what streams hold that ended, and then gives up its oldest segments where the budget has no more, down to
//! those that delta updates need. After that it has outgrown the budget. What it holds already is taken by no other stream, so streams that are as they were go on.

use onmic_media::{Held, Spent, Work};
use onmic_packager::Segmenter;

use super::windows::{Whose, Windows};

/// What a stream holds at least: 3 s at 2.5 Mbit/s.
const LEAST: u64 = 1 << 20;

/// It holds whole steps, so that it need not ask the budget for each frame.
const STEP: u64 = 64 << 10;

/// The part of one stream. It is free again when the stream is forgotten.
#[derive(Debug, Default)]
pub(crate) struct Holding(Option<Held>);

impl Holding {
    /// Takes what the first seconds hold.
    pub(crate) fn begin<S>(&mut self, whose: &Whose, windows: &Windows<S>) -> Result<(), Spent> {
        self.0 = Some(windows.take(whose, |budget| budget.take(Work::Window, LEAST))?);
        Ok(())
    }

    /// Returns how many bytes it holds.
    pub(crate) fn amount(&self) -> u64 {
        self.0.as_ref().map_or(0, Held::amount)
    }

    /// Gives back what it holds, because no stream begins.
    pub(crate) fn end(&mut self) {
        self.0 = None;
    }

    /// Holds what the playlists list now, and `texts`, the bytes of the playlists themselves. An error means that the stream has
    /// outgrown the budget.
    pub(crate) fn follow<S>(
        &mut self,
        segmenter: &mut Segmenter,
        texts: u64,
        (whose, windows): (&Whose, &Windows<S>),
    ) -> Result<(), Spent> {
        let Some(held) = &mut self.0 else { return Ok(()) };
        loop {
            let bytes = (segmenter.bytes() + texts).max(LEAST).next_multiple_of(STEP);
            // What a scene with little motion gave back would soon be wanted again.
            if bytes <= held.amount() && bytes >= held.amount() / 4 * 3 {
                return Ok(());
            }
            let Err(spent) = windows.take(whose, |_| held.change(bytes)) else { return Ok(()) };
            if !segmenter.let_go_oldest() {
                return Err(spent);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;
    use std::sync::Arc;
    use std::time::{Duration, Instant, SystemTime};

    use bytes::Bytes;
    use onmic_media::codec::h264;
    use onmic_media::{Frame, NodeClock, Parameters, Ticks, TrackKey};
    use onmic_packager::Settings;

    use super::*;

    struct Stream {
        windows: Arc<Windows<()>>,
        segmenter: Segmenter,
        holding: Holding,
        parameters: Arc<Parameters>,
        began: Instant,
    }

    fn whose() -> Whose {
        Whose { room: "demo".parse().unwrap(), owner: None }
    }

    impl Stream {
        fn begin(windows: &Arc<Windows<()>>) -> Result<Self, Spent> {
            let mut holding = Holding::default();
            holding.begin(&whose(), windows)?;
            let sps = [0x67, 0x42, 0xc0, 0x1f, 0x8c, 0x8d, 0x40, 0x50, 0x1e, 0xd0, 0x0f, 0x08, 0x84, 0x6a];
            let (sps, pps) = (Bytes::copy_from_slice(&sps), Bytes::from_static(&[0x68, 0xce, 0x0f, 0xc8]));
            let parameters = h264::Parameters::from_parameter_sets(vec![sps], vec![pps]).unwrap();
            let settings = Settings::new(Duration::from_millis(333), Duration::from_secs(1), Duration::from_secs(36));
            Ok(Self {
                windows: windows.clone(),
                segmenter: Segmenter::new(settings, true),
                holding,
                parameters: Arc::new(Parameters::H264(parameters)),
                began: Instant::now(),
            })
        }

        /// Takes video of 1 MB in each of these seconds. Returns the second in which the stream outgrew the budget.
        fn push(&mut self, seconds: Range<i64>) -> Option<i64> {
            self.push_frames(seconds.start * 10..seconds.end * 10)
        }

        fn push_frames(&mut self, mut numbers: Range<i64>) -> Option<i64> {
            let clock = NodeClock::new(self.began, SystemTime::UNIX_EPOCH);
            numbers.find_map(|number| {
                let pts = Ticks(number * 9000);
                let frame = Frame {
                    dts: pts,
                    pts,
                    wall: clock.wall(self.began + Duration::from_millis(number.unsigned_abs() * 100)),
                    arrived: self.began,
                    keyframe: number % 10 == 0,
                    parameters: self.parameters.clone(),
                    payload: Bytes::from_static(&[0x65; 100_000]),
                };
                self.segmenter.push(TrackKey::VIDEO, &Arc::new(frame)).unwrap();
                self.follow(0).is_err().then_some(number / 10)
            })
        }

        fn follow(&mut self, texts: u64) -> Result<(), Spent> {
            self.holding.follow(&mut self.segmenter, texts, (&whose(), &self.windows))
        }

        fn held(&self) -> u64 {
            self.holding.amount()
        }
    }

    #[test]
    fn frames_count_when_they_come_and_not_when_their_part_is_complete() {
        let mut stream = Stream::begin(&Arc::new(Windows::new(60_000_000))).unwrap();
        for number in 0..30 {
            assert_eq!(stream.push_frames(number..number + 1), None);
            let bytes = stream.segmenter.bytes();
            assert!(bytes >= (number.unsigned_abs() + 1) * 100_000 && bytes <= stream.held(), "{bytes}");
        }
    }

    #[test]
    fn the_texts_of_playlists_count() {
        let (windows, text) = (Arc::new(Windows::new(10 << 20)), 6 << 20);
        let mut stream = Stream::begin(&windows).unwrap();
        assert_eq!(stream.push(0..1), None);
        assert_eq!(stream.follow(text), Ok(()));
        assert!(stream.held() >= text + stream.segmenter.bytes(), "{}", stream.held());
        assert!(stream.follow(2 * text).is_err());
    }

    #[test]
    fn a_stream_lists_less_where_the_bytes_of_all_are_held_and_then_has_outgrown_them() {
        let windows = Arc::new(Windows::new(60_000_000));
        let [mut whole, mut shorter, mut last] = [(); 3].map(|()| Stream::begin(&windows).unwrap());
        assert_eq!(whole.push(0..60), None);
        assert!((36_000_000..40_000_000).contains(&whole.segmenter.bytes()), "{}", whole.segmenter.bytes());
        assert_eq!(shorter.push(0..60), None);
        let bytes = shorter.segmenter.bytes();
        assert!((15_000_000..24_000_000).contains(&bytes) && bytes <= shorter.held(), "{bytes}");
        let outgrown = last.push(0..60).unwrap();
        assert!((1..14).contains(&outgrown), "{outgrown}");
        assert_eq!((whole.push(60..90), shorter.push(60..90)), (None, None), "those before go on");
        assert!((36_000_000..40_000_000).contains(&whole.segmenter.bytes()), "{}", whole.segmenter.bytes());
        drop(whole);
        let mut next = Stream::begin(&windows).unwrap();
        assert_eq!(next.push(0..30), None);
        let full = Arc::new(Windows::new(LEAST - 1));
        assert_eq!(Stream::begin(&full).err(), Some(Spent(Work::Window)));
    }
}
