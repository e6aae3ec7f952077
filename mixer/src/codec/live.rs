//! One live video track decoded, with a way back to the present.
//!
//! A decoder falls behind for two reasons. Whoever asks for a track first finds its newest group mostly over: with a
//! keyframe every 4 s, up to 120 frames have to be decoded before the picture of now can be. And a machine may be too slow
//! for a while. In both cases the decoder **catches up**: it only decodes, leaves out the frames that no other refers to
//! (half to two thirds of a stream with B-frames), and gives out one picture, the newest, when it is at the present again.
//! Using the old pictures too would cost two to three times the CPU and reach the present two to three times later; with
//! 1080p on a busy machine it would never reach it. Nothing ever queues here.
//!
//! Knows no thread and no clock: how far a frame is behind is an argument ([`Lag`]), and so is the frame's arrival.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use onmic_media::time::{Ticks, WallTime};
use onmic_media::{Frame, Join, Parameters, Reader, Track};

use super::RawVideo;
use super::decode::VideoDecoder;
use crate::error::Error;

/// Frames that are remembered until their picture comes. H.264 and H.265 hold back 16 pictures at most; the rest is room
/// for frames that never become a picture of their own: second fields, and those left out to catch up.
const IN_DECODER: usize = 64;

/// Before the first picture, a backlog of less than this is decoded and given out like the rest.
const START_BEHIND_MAX: Duration = Duration::from_millis(300);

/// This close to the newest frame every picture is decoded again, because one of them is to be shown.
const NEAR_FRAMES: u64 = 4;

/// A group that began longer ago than this takes noticeable time to get through.
const OLD_GROUP: Duration = Duration::from_secs(1);

/// Keyframes are asked for this far apart: a publisher needs a round trip and an encoder's turn to bring one.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// How far a frame is from the newest one of its track.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lag {
    /// Frames that came after it.
    pub(crate) frames: u64,
    /// How long before the newest it arrived.
    pub(crate) time: Duration,
}

impl Lag {
    /// The lag of the frame that `reader` gave last.
    pub(crate) fn of(frame: &Frame, track: &Track, reader: &Reader) -> Self {
        Self { frames: reader.backlog(), time: track.newest().map_or(Duration::ZERO, |newest| before(frame, &newest)) }
    }
}

fn before(frame: &Frame, newest: &Frame) -> Duration {
    newest.arrived.saturating_duration_since(frame.arrived)
}

/// Begins to read a track at its newest keyframe, or at a later recovery point. Where the keyframe is old, another one is asked for: a publisher that takes no
/// requests loses nothing by it.
pub(crate) fn join(track: &Track) -> Reader {
    let is_old =
        |newest: Arc<Frame>| track.newest_keyframe().is_none_or(|keyframe| before(&keyframe, &newest) > OLD_GROUP);
    if track.newest().is_some_and(is_old) {
        track.want_keyframe();
    }
    track.reader(Join::Recovery)
}

/// Goes on at the newest keyframe if that came after `frame`, which is the shortest way to the present. Returns how many
/// frames are left out by it.
pub(crate) fn skip_to_newest_keyframe(frame: &Frame, track: &Track, reader: &mut Reader) -> Option<u64> {
    track.newest_keyframe().filter(|keyframe| keyframe.dts > frame.dts)?;
    let before = reader.backlog();
    *reader = track.reader(Join::Group);
    Some(before.saturating_sub(reader.backlog()))
}

/// What is known of the frame that a picture was decoded from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FrameInfo {
    pub(crate) pts: Ticks,
    pub(crate) wall: WallTime,
    pub(crate) arrived: Instant,
    pub(crate) keyframe: bool,
}

/// A decoded picture, and the frame it is from.
pub(crate) struct DecodedFrame {
    pub(crate) picture: RawVideo,
    pub(crate) info: FrameInfo,
}

/// Frames that became no picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Losses {
    /// They could not be decoded.
    pub(crate) corrupt: u64,
    /// They came while a keyframe was waited for.
    pub(crate) no_keyframe: u64,
    /// They were passed over to catch up, after there had been a picture. Before the first picture that is the way to the
    /// present and not a loss.
    pub(crate) overload: u64,
}

/// The newest picture decoded while catching up.
#[derive(Default)]
struct CatchUp {
    newest: Option<DecodedFrame>,
    frames: u64,
}

/// Decodes one video track. Pictures come out in presentation order.
pub(crate) struct LiveDecoder {
    /// The decoder, and what it was opened for.
    decoder: Option<(VideoDecoder, Arc<Parameters>)>,
    behind_max: Duration,
    needs_keyframe: bool,
    /// What is in the decoder, by the ordinals it was sent with.
    sent: VecDeque<(i64, FrameInfo)>,
    ordinal: i64,
    catching_up: Option<CatchUp>,
    has_begun: bool,
    wants_keyframe: bool,
    /// When a keyframe was asked for last, and when the newest frame arrived.
    asked: Option<Instant>,
    arrived: Option<Instant>,
    losses: Losses,
}

impl LiveDecoder {
    /// Catches up where frames are further behind than `behind_max`, or than [`START_BEHIND_MAX`] before the first picture.
    /// The decoder is opened with the first keyframe.
    pub(crate) fn new(behind_max: Duration) -> Self {
        Self {
            decoder: None,
            behind_max,
            needs_keyframe: true,
            sent: VecDeque::new(),
            ordinal: 0,
            catching_up: None,
            has_begun: false,
            wants_keyframe: false,
            asked: None,
            arrived: None,
            losses: Losses::default(),
        }
    }

    /// Takes over a decoder that is open for `parameters` already, and empty.
    pub(crate) fn with(decoder: VideoDecoder, parameters: Arc<Parameters>, behind_max: Duration) -> Self {
        Self { decoder: Some((decoder, parameters)), ..Self::new(behind_max) }
    }

    /// Pictures of this track were shown without this decoder: what is passed over from here on is a loss.
    pub(crate) fn begin(&mut self) {
        self.has_begun = true;
    }

    /// Whether it only decodes to get to the present.
    pub(crate) fn is_catching_up(&self) -> bool {
        self.catching_up.is_some()
    }

    /// Whether the track should bring a keyframe. Asked once per wish.
    pub(crate) fn take_keyframe_wanted(&mut self) -> bool {
        std::mem::take(&mut self.wants_keyframe)
    }

    /// What was lost since the last call.
    pub(crate) fn take_losses(&mut self) -> Losses {
        std::mem::take(&mut self.losses)
    }

    #[cfg(test)]
    pub(crate) fn frames_sent_for_test(&self) -> i64 {
        self.ordinal
    }

    /// Takes in one frame and appends the pictures that are ready to `out`. A frame that cannot be decoded is counted, and
    /// waited out until the next keyframe.
    pub(crate) fn take(&mut self, frame: &Frame, lag: Lag, out: &mut Vec<DecodedFrame>) {
        self.arrived = Some(frame.arrived);
        self.follow_parameters(frame, out);
        if self.needs_keyframe && !frame.keyframe && frame.recovery_frames().is_none() {
            self.losses.no_keyframe += 1;
            self.ask_again(frame.arrived);
            return;
        }
        if !self.open(frame) {
            return;
        }
        self.needs_keyframe = false;
        self.watch_lag(lag);
        let Some((decoder, _)) = &mut self.decoder else { return };
        decoder.skip_unreferenced(self.catching_up.is_some() && lag.frames > NEAR_FRAMES);
        let Frame { pts, wall, arrived, keyframe, .. } = *frame;
        self.sent.push_back((self.ordinal, FrameInfo { pts, wall, arrived, keyframe }));
        if self.sent.len() > IN_DECODER {
            self.sent.pop_front();
        }
        let sent = decoder.send(&frame.payload, self.ordinal);
        self.ordinal += 1;
        match sent {
            Ok(()) => self.receive(out),
            Err(error) => self.broken(&error),
        }
        if lag.frames == 0
            && let Some(CatchUp { newest: Some(decoded), .. }) = self.catching_up.take()
        {
            self.give(decoded, out);
        }
    }

    /// `frames` of the track were left out before the next frame, which is a keyframe.
    pub(crate) fn skipped(&mut self, frames: u64) {
        if self.has_begun {
            self.losses.overload += frames;
        }
        self.restart();
    }

    /// The frames of another track follow: what is inside is forgotten.
    pub(crate) fn change_track(&mut self) {
        self.catching_up = None;
        self.restart();
    }

    fn restart(&mut self) {
        if let Some((decoder, _)) = &mut self.decoder {
            decoder.flush();
        }
        self.sent.clear();
        self.needs_keyframe = true;
    }

    /// No frame of this kind follows: appends what the decoder holds back to `out`.
    pub(crate) fn finish(&mut self, out: &mut Vec<DecodedFrame>) {
        if let Some((decoder, _)) = &mut self.decoder {
            decoder.finish();
            self.receive(out);
        }
        self.restart();
    }

    /// The picture or its frame turned out to be unusable: what refers to it is worthless, so a keyframe is asked for.
    pub(crate) fn broken(&mut self, error: &Error) {
        tracing::debug!(error = error as &dyn std::error::Error, "a video frame could not be decoded");
        self.losses.corrupt += 1;
        self.restart();
        (self.wants_keyframe, self.asked) = (true, self.arrived);
    }

    /// Ends what was decoded by other parameters than those of `frame`.
    fn follow_parameters(&mut self, frame: &Frame, out: &mut Vec<DecodedFrame>) {
        let Some((_, parameters)) = &mut self.decoder else { return };
        if Arc::ptr_eq(parameters, &frame.parameters) {
            return;
        }
        if **parameters == *frame.parameters {
            *parameters = frame.parameters.clone();
        } else {
            self.finish(out);
            self.decoder = None;
        }
    }

    /// Whether there is a decoder for `frame`, a keyframe where there was none before.
    fn open(&mut self, frame: &Frame) -> bool {
        if self.decoder.is_none() {
            match VideoDecoder::open(&frame.parameters) {
                Ok(decoder) => self.decoder = Some((decoder, frame.parameters.clone())),
                Err(error) => self.broken(&error),
            }
        }
        self.decoder.is_some()
    }

    fn ask_again(&mut self, now: Instant) {
        if self.asked.is_none_or(|asked| now.saturating_duration_since(asked) >= ASK_EVERY) {
            (self.wants_keyframe, self.asked) = (true, Some(now));
        }
    }

    fn watch_lag(&mut self, lag: Lag) {
        let most = if self.has_begun { self.behind_max } else { START_BEHIND_MAX };
        if self.catching_up.is_none() && lag.time > most {
            tracing::debug!(behind = ?lag.time, frames = lag.frames, begun = self.has_begun, "decoding only, to catch up");
            self.catching_up = Some(CatchUp::default());
        }
        if let Some(catching_up) = &mut self.catching_up {
            // The last of these frames gives the picture that is shown.
            if self.has_begun && catching_up.frames > 0 {
                self.losses.overload += 1;
            }
            catching_up.frames += 1;
        }
    }

    fn receive(&mut self, out: &mut Vec<DecodedFrame>) {
        while let Some((decoder, _)) = &mut self.decoder {
            let picture = match decoder.receive() {
                Ok(Some(picture)) => picture,
                Ok(None) => return,
                Err(error) => return self.broken(&error),
            };
            let of = |(ordinal, _): &(i64, FrameInfo)| Some(*ordinal) == picture.pts();
            let Some((_, info)) = self.sent.iter().position(of).and_then(|at| self.sent.remove(at)) else { continue };
            let decoded = DecodedFrame { picture, info };
            match &mut self.catching_up {
                Some(catching_up) => catching_up.newest = Some(decoded),
                None => self.give(decoded, out),
            }
        }
    }

    fn give(&mut self, decoded: DecodedFrame, out: &mut Vec<DecodedFrame>) {
        self.has_begun = true;
        out.push(decoded);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::codec::testing::{Camera, number_of};

    const PRESENT: Lag = Lag { frames: 0, time: Duration::ZERO };
    const BEHIND_MAX: Duration = Duration::from_secs(1);

    /// The lag of each of `frames` when all of them are there at once.
    fn backlog(frames: &[Frame]) -> impl Iterator<Item = (&Frame, Lag)> {
        let newest = frames.last().unwrap().arrived;
        frames.iter().enumerate().map(move |(at, frame)| {
            let time = newest - frame.arrived;
            (frame, Lag { frames: (frames.len() - 1 - at) as u64, time })
        })
    }

    /// The numbers of pictures, by what is seen, which must agree with the frame that each is said to be from.
    fn numbers(out: &mut Vec<DecodedFrame>) -> Vec<u8> {
        let number = |decoded: DecodedFrame| {
            let number = number_of(&decoded.picture);
            assert_eq!(decoded.info.pts, Ticks(i64::from(number) * 3000));
            number
        };
        out.drain(..).map(number).collect()
    }

    #[test]
    fn at_the_present_every_frame_becomes_a_picture() {
        let (mut decoder, mut out) = (LiveDecoder::new(BEHIND_MAX), Vec::new());
        Camera::new(64).frames(10).iter().for_each(|frame| decoder.take(frame, PRESENT, &mut out));
        assert_eq!(numbers(&mut out), (0..10).collect::<Vec<_>>());
        assert_eq!((decoder.take_losses(), decoder.take_keyframe_wanted()), (Losses::default(), false));
    }

    #[test]
    fn an_old_group_at_the_start_becomes_its_newest_picture_and_is_not_a_loss() {
        let (mut decoder, mut out) = (LiveDecoder::new(BEHIND_MAX), Vec::new());
        let mut camera = Camera::new(64);
        let frames = camera.frames(40);
        for (frame, lag) in backlog(&frames) {
            assert!(out.is_empty());
            decoder.take(frame, lag, &mut out);
            assert_eq!(decoder.is_catching_up(), lag.frames > 0);
        }
        decoder.take(&camera.frame(false), PRESENT, &mut out);
        assert_eq!(numbers(&mut out), [39, 40]);
        assert_eq!(decoder.take_losses(), Losses::default());
    }

    #[test]
    fn a_short_backlog_at_the_start_is_given_out_whole() {
        let (mut decoder, mut out) = (LiveDecoder::new(BEHIND_MAX), Vec::new());
        let frames = Camera::new(64).frames(9);
        backlog(&frames).for_each(|(frame, lag)| decoder.take(frame, lag, &mut out));
        assert_eq!(numbers(&mut out), (0..9).collect::<Vec<_>>());
    }

    #[test]
    fn falling_behind_later_passes_over_frames_and_counts_all_but_the_one_that_is_shown() {
        let (mut decoder, mut out) = (LiveDecoder::new(BEHIND_MAX), Vec::new());
        let frames = Camera::new(64).frames(60);
        frames[..20].iter().for_each(|frame| decoder.take(frame, PRESENT, &mut out));
        out.clear();
        backlog(&frames[20..]).for_each(|(frame, lag)| decoder.take(frame, lag, &mut out));
        assert_eq!(numbers(&mut out), [59]);
        assert_eq!(decoder.take_losses(), Losses { overload: 39, ..Losses::default() });
    }

    #[test]
    fn frames_that_the_reader_skipped_count_once_there_was_a_picture() {
        let (mut decoder, mut out) = (LiveDecoder::new(BEHIND_MAX), Vec::new());
        decoder.skipped(100);
        let mut camera = Camera::new(64);
        camera.frames(3).iter().for_each(|frame| decoder.take(frame, PRESENT, &mut out));
        decoder.skipped(7);
        decoder.take(&camera.frame(false), PRESENT, &mut out);
        decoder.take(&camera.frame(true), PRESENT, &mut out);
        assert_eq!(numbers(&mut out), [0, 1, 2, 4], "what follows a hole waits for a keyframe");
        assert_eq!(decoder.take_losses(), Losses { overload: 7, no_keyframe: 1, corrupt: 0 });
    }

    #[test]
    fn a_broken_frame_is_counted_and_a_keyframe_asked_for_until_it_comes() {
        let (mut decoder, mut out) = (LiveDecoder::new(BEHIND_MAX), Vec::new());
        let mut camera = Camera::new(64);
        let mut frames = camera.frames(30);
        frames[3].payload = Bytes::new();
        let mut asked = Vec::new();
        for (number, frame) in frames.iter().enumerate() {
            decoder.take(frame, PRESENT, &mut out);
            asked.extend(decoder.take_keyframe_wanted().then_some(number));
        }
        assert_eq!(asked, [3, 19], "at once, and half a second later again");
        decoder.take(&camera.frame(true), PRESENT, &mut out);
        assert_eq!(numbers(&mut out), [0, 1, 2, 30]);
        assert_eq!(decoder.take_losses(), Losses { corrupt: 1, no_keyframe: 26, overload: 0 });
    }

    #[test]
    fn what_was_decoded_of_a_track_to_catch_up_is_not_shown_when_another_one_follows() {
        let (mut decoder, mut out) = (LiveDecoder::new(BEHIND_MAX), Vec::new());
        backlog(&Camera::new(64).frames(40)).take(20).for_each(|(frame, lag)| decoder.take(frame, lag, &mut out));
        assert!(decoder.is_catching_up());
        decoder.change_track();
        Camera::new(64).from(60).frames(2).iter().for_each(|frame| decoder.take(frame, PRESENT, &mut out));
        assert_eq!(numbers(&mut out), [60, 61]);
    }

    #[test]
    fn another_size_is_decoded_from_its_keyframe_on() {
        let (mut decoder, mut out) = (LiveDecoder::new(BEHIND_MAX), Vec::new());
        let (mut first, mut second) = (Camera::new(64), Camera::new(96).from(5));
        let frames = first.frames(5).into_iter().chain(second.frames(5));
        frames.for_each(|frame| decoder.take(&frame, PRESENT, &mut out));
        let widths: Vec<u32> = out.iter().map(|decoded| decoded.picture.width()).collect();
        assert_eq!(widths, [[64; 5], [96; 5]].concat());
        assert_eq!(numbers(&mut out), (0..10).collect::<Vec<_>>());
        assert_eq!(decoder.take_losses(), Losses::default());
    }
}
