//! Decodes one live video track, and catches up when it is behind.
//!
//! A decoder falls behind for two reasons. A reader that joins a track begins at the newest keyframe, which may be old:
//! with a keyframe every 4 s, up to 120 frames have to be decoded before the newest one can be. And a machine may be
//! too slow for a while. In both cases the decoder **catches up**: it only decodes, skips the frames that no other
//! frame refers to (half to two thirds of a stream with B-frames), and gives out one raw frame, the newest, when it has
//! reached the present. To use the old frames too would cost two to three times the CPU and reach the present two to
//! three times later; with 1080p on a busy machine it would never reach it. Nothing queues here.
//!
//! **History.** A player of LL-HLS keeps a distance from the present, so what is made for it begins in the past. The decoder then gives
//! out all frames from the first one that is that near to the present, and is behind by as much until they are used.
//!
//! A stream of which no frame can be decoded is left alone for a while ([`Rest`]).
//!
//! This module starts no thread and reads no clock. How far a frame is behind is an argument ([`Lag`]), and so is the
//! frame's arrival.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use onmic_media::time::{ClockRate, Ticks, WallTime};
use onmic_media::{Frame, Join, Parameters, Reader, Track};

use super::RawVideo;
use super::decode::VideoDecoder;
use super::rest::Rest;
use crate::error::Error;

/// The most frames that are remembered until their raw frame comes out. Decoders of H.264 and H.265 hold back 16 frames
/// at most. The rest is room for frames that never come out: second fields, and frames skipped to catch up.
const IN_DECODER: usize = 64;

/// The largest lag that is not caught up before the first raw frame. Frames up to this lag are given out like the rest.
const START_BEHIND_MAX: Duration = Duration::from_millis(300);

/// The lag, in frames, from which every frame is decoded again, because the newest of them is shown.
const NEAR_FRAMES: u64 = 4;

/// While a decoder catches up after its first raw frame, one raw frame is given out in this time, if that is asked for: the
/// video moves on.
const SHOWN_EVERY: Duration = Duration::from_millis(250);

/// The age of a group's keyframe from which decoding the group takes noticeably long.
const OLD_GROUP: Duration = Duration::from_secs(1);

/// The least time between keyframe requests. A publisher needs a round trip and the time to encode to send one.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// States how far a frame is behind the newest one of its track.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lag {
    /// The number of frames that came after it.
    pub(crate) frames: u64,
    /// How long before the newest frame it arrived.
    pub(crate) time: Duration,
}

impl Lag {
    /// Returns the lag of the frame that `reader` gave last.
    pub(crate) fn of(frame: &Frame, track: &Track, reader: &Reader) -> Self {
        Self { frames: reader.backlog(), time: track.newest().map_or(Duration::ZERO, |newest| before(frame, &newest)) }
    }
}

fn before(frame: &Frame, newest: &Frame) -> Duration {
    newest.arrived.saturating_duration_since(frame.arrived)
}

/// Begins to read a track at its newest keyframe, or at a later recovery point. If the keyframe is old, it asks for another
/// one. A publisher that does not take requests ignores it.
///
/// With a `history` it begins at a keyframe or recovery point that is that old, if there is one.
pub(crate) fn join(track: &Track, history: Duration) -> Reader {
    let is_old =
        |newest: Arc<Frame>| track.newest_keyframe().is_none_or(|keyframe| before(&keyframe, &newest) > OLD_GROUP);
    if track.newest().is_some_and(is_old) {
        track.want_keyframe();
    }
    let early = track.newest().filter(|_| !history.is_zero());
    let early = early.map(|newest| newest.wall.offset_micros(-i64::try_from(history.as_micros()).unwrap_or(0)));
    track.reader(early.map_or(Join::Recovery, Join::RecoveryAt))
}

/// Begins to read a track behind all that it has, over a frame of which a decoder has panicked.
pub(crate) fn join_behind(track: &Track) -> Reader {
    track.want_keyframe();
    let mut reader = track.reader(Join::Recovery);
    reader.go_behind();
    reader
}

/// Moves the reader to the newest keyframe if that came after `frame`, which is the shortest way to the present. It stays if the
/// `history` before the present, which is wanted, begins before that keyframe. Returns how many frames that skips.
pub(crate) fn skip_to_newest_keyframe(
    frame: &Frame,
    track: &Track,
    reader: &mut Reader,
    history: Duration,
) -> Option<u64> {
    let is_early = |keyframe: &Frame| track.newest().is_none_or(|newest| before(keyframe, &newest) >= history);
    track.newest_keyframe().filter(|keyframe| keyframe.dts > frame.dts && is_early(keyframe))?;
    let before = reader.backlog();
    *reader = track.reader(Join::Group);
    Some(before.saturating_sub(reader.backlog()))
}

/// Describes the coded frame that a raw frame was decoded from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FrameInfo {
    pub(crate) pts: Ticks,
    pub(crate) wall: WallTime,
    pub(crate) arrived: Instant,
    pub(crate) keyframe: bool,
}

/// Holds a raw frame, and describes the coded frame that it is from.
pub(crate) struct DecodedFrame {
    pub(crate) picture: RawVideo,
    pub(crate) info: FrameInfo,
}

/// Counts frames that were not given out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Losses {
    /// They could not be decoded, or came while the decoder rested from such frames.
    pub(crate) corrupt: u64,
    /// They came while the decoder waited for a keyframe.
    pub(crate) no_keyframe: u64,
    /// They were skipped to catch up, after the first raw frame was given out. Before it a skip does not count as a
    /// loss, because it is the way to the present.
    pub(crate) overload: u64,
}

/// Holds the newest raw frame decoded while catching up.
#[derive(Default)]
struct CatchUp {
    newest: Option<DecodedFrame>,
    /// The number of frames that were given out, or will be, and count as lost.
    given: u64,
}

/// Decodes one video track. Raw frames come out in presentation order.
pub(crate) struct LiveDecoder {
    /// The decoder, and the parameters that it was opened for.
    decoder: Option<(VideoDecoder, Arc<Parameters>)>,
    behind_max: Duration,
    /// How far in the past it begins. Zero once it has reached the present.
    history: Duration,
    shows_the_way: bool,
    /// The presentation time of the last raw frame that was given out.
    given: Option<Ticks>,
    needs_keyframe: bool,
    rest: Rest,
    /// The frames in the decoder, with the ordinals that they were sent with.
    sent: VecDeque<(i64, FrameInfo)>,
    ordinal: i64,
    catching_up: Option<CatchUp>,
    has_begun: bool,
    wants_keyframe: bool,
    /// When the last keyframe was asked for.
    asked: Option<Instant>,
    arrived: Option<Instant>,
    losses: Losses,
}

impl LiveDecoder {
    /// Makes a decoder that catches up when frames are further behind than `behind_max`, or than [`START_BEHIND_MAX`]
    /// before the first raw frame. It opens the codec with the first keyframe.
    pub(crate) fn new(behind_max: Duration) -> Self {
        Self {
            decoder: None,
            behind_max,
            history: Duration::ZERO,
            shows_the_way: false,
            given: None,
            needs_keyframe: true,
            rest: Rest::default(),
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

    /// Takes over a decoder that is already open for `parameters`, and empty.
    pub(crate) fn with(decoder: VideoDecoder, parameters: Arc<Parameters>, behind_max: Duration) -> Self {
        Self { decoder: Some((decoder, parameters)), ..Self::new(behind_max) }
    }

    /// Gives out some raw frames also while it catches up, once it has begun. It may never reach the present on a machine that
    /// is too slow.
    pub(crate) fn showing_the_way(self) -> Self {
        Self { shows_the_way: true, ..self }
    }

    /// Gives out this much of the past before the present.
    pub(crate) fn beginning_before(self, history: Duration) -> Self {
        Self { history, ..self }
    }

    /// Returns how much of the past is yet to be given out before the present.
    pub(crate) fn history(&self) -> Duration {
        if self.has_begun { Duration::ZERO } else { self.history }
    }

    /// Notes that frames of this track were shown without this decoder. Frames that are skipped from now on count as
    /// losses.
    pub(crate) fn begin(&mut self) {
        self.has_begun = true;
    }

    /// Returns whether the decoder is catching up.
    pub(crate) fn is_catching_up(&self) -> bool {
        self.catching_up.is_some()
    }

    /// Returns whether the track should send a keyframe, and clears the request.
    pub(crate) fn take_keyframe_wanted(&mut self) -> bool {
        std::mem::take(&mut self.wants_keyframe)
    }

    /// Returns what was lost since the last call.
    pub(crate) fn take_losses(&mut self) -> Losses {
        std::mem::take(&mut self.losses)
    }

    #[cfg(test)]
    pub(crate) fn frames_sent_for_test(&self) -> i64 {
        self.ordinal
    }

    /// Takes in one frame and appends the raw frames that are ready to `out`. If a frame cannot be decoded it is
    /// counted, and so are the frames after it until the next keyframe.
    pub(crate) fn take(&mut self, frame: &Frame, lag: Lag, out: &mut Vec<DecodedFrame>) {
        self.arrived = Some(frame.arrived);
        if self.rest.is_on(frame) {
            self.losses.corrupt += 1;
            return;
        }
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
        let present = if self.shows_the_way && self.has_begun { NEAR_FRAMES } else { 0 };
        if (lag.frames <= present || lag.time < self.history())
            && let Some(CatchUp { newest: Some(decoded), .. }) = self.catching_up.take()
        {
            self.give(decoded, out);
        }
    }

    /// Notes that `frames` of the track were skipped before the next frame, which is a keyframe.
    pub(crate) fn skipped(&mut self, frames: u64) {
        if self.has_begun {
            self.losses.overload += frames;
        }
        self.restart();
    }

    /// Notes that the frames of another track follow. The frames inside are discarded.
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

    /// Ends the stream, and appends the frames that the decoder holds back to `out`.
    pub(crate) fn finish(&mut self, out: &mut Vec<DecodedFrame>) {
        if let Some((decoder, _)) = &mut self.decoder {
            decoder.finish();
            self.receive(out);
        }
        self.restart();
    }

    /// Notes that a frame could not be decoded or used. The frames that refer to it are useless, so it asks for a
    /// keyframe.
    pub(crate) fn broken(&mut self, error: &Error) {
        tracing::debug!(error = error as &dyn std::error::Error, "a video frame could not be decoded");
        self.losses.corrupt += 1;
        self.restart();
        (self.wants_keyframe, self.asked) = (true, self.arrived);
        self.arrived.into_iter().for_each(|arrived| self.rest.failed(arrived));
    }

    /// Ends the stream inside if it has other parameters than `frame`.
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

    /// Opens a decoder for `frame` if there is none. Returns whether there is one now.
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
        if self.has_begun && lag.time <= START_BEHIND_MAX {
            self.history = Duration::ZERO;
        }
        let most = if self.has_begun { self.behind_max + self.history } else { START_BEHIND_MAX.max(self.history) };
        if self.catching_up.is_none() && lag.time > most {
            tracing::debug!(behind = ?lag.time, frames = lag.frames, begun = self.has_begun, "a decoder catches up");
            self.catching_up = Some(CatchUp { newest: None, given: 1 });
        }
        if let Some(catching_up) = &mut self.catching_up {
            if catching_up.given > 0 {
                catching_up.given -= 1;
            } else if self.has_begun {
                self.losses.overload += 1;
            }
        }
    }

    fn receive(&mut self, out: &mut Vec<DecodedFrame>) {
        while let Some((decoder, _)) = &mut self.decoder {
            let picture = match decoder.receive() {
                Ok(Some(picture)) => {
                    self.rest.decoded();
                    picture
                }
                Ok(None) => return,
                Err(error) => return self.broken(&error),
            };
            let of = |(ordinal, _): &(i64, FrameInfo)| Some(*ordinal) == picture.pts();
            let Some((_, info)) = self.sent.iter().position(of).and_then(|at| self.sent.remove(at)) else { continue };
            let decoded = DecodedFrame { picture, info };
            let is_due = self.shows_the_way
                && self.has_begun
                && self.given.is_some_and(|given| (decoded.info.pts - given).duration(ClockRate::VIDEO) >= SHOWN_EVERY);
            match &mut self.catching_up {
                Some(catching_up) if !is_due => catching_up.newest = Some(decoded),
                Some(catching_up) => {
                    (catching_up.newest, catching_up.given) = (None, catching_up.given + 1);
                    self.give(decoded, out);
                }
                None => self.give(decoded, out),
            }
        }
    }

    fn give(&mut self, decoded: DecodedFrame, out: &mut Vec<DecodedFrame>) {
        (self.has_begun, self.given) = (true, Some(decoded.info.pts));
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

    /// Returns each of `frames` with its lag when all of them are there at once.
    fn backlog(frames: &[Frame]) -> impl Iterator<Item = (&Frame, Lag)> {
        let newest = frames.last().unwrap().arrived;
        frames.iter().enumerate().map(move |(at, frame)| {
            let time = newest - frame.arrived;
            (frame, Lag { frames: (frames.len() - 1 - at) as u64, time })
        })
    }

    /// Returns the numbers that the raw frames show. Each must agree with the timestamp of its coded frame.
    fn numbers(out: &mut Vec<DecodedFrame>) -> Vec<u8> {
        let number = |decoded: DecodedFrame| {
            let number = number_of(&decoded.picture);
            assert_eq!(decoded.info.pts, Ticks(i64::from(number) * 3000));
            number
        };
        out.drain(..).map(number).collect()
    }

    #[test]
    fn without_lag_every_frame_is_given_out() {
        let (mut decoder, mut out) = (LiveDecoder::new(BEHIND_MAX), Vec::new());
        Camera::new(64).frames(10).iter().for_each(|frame| decoder.take(frame, PRESENT, &mut out));
        assert_eq!(numbers(&mut out), (0..10).collect::<Vec<_>>());
        assert_eq!((decoder.take_losses(), decoder.take_keyframe_wanted()), (Losses::default(), false));
    }

    #[test]
    fn of_an_old_group_at_the_start_only_the_newest_frame_is_given_out_and_none_is_a_loss() {
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
    fn a_short_backlog_at_the_start_is_given_out_completely() {
        let (mut decoder, mut out) = (LiveDecoder::new(BEHIND_MAX), Vec::new());
        let frames = Camera::new(64).frames(9);
        backlog(&frames).for_each(|(frame, lag)| decoder.take(frame, lag, &mut out));
        assert_eq!(numbers(&mut out), (0..9).collect::<Vec<_>>());
    }

    #[test]
    fn a_history_is_given_out_completely_and_what_is_older_is_decoded_alone() {
        let history = Duration::from_millis(500);
        let (mut decoder, mut out) = (LiveDecoder::new(BEHIND_MAX).beginning_before(history), Vec::new());
        let mut camera = Camera::new(64);
        let frames = camera.frames(60);
        for (frame, lag) in backlog(&frames) {
            decoder.take(frame, lag, &mut out);
            assert_eq!(out.is_empty(), lag.time >= history);
        }
        assert_eq!(numbers(&mut out), (44..60).collect::<Vec<_>>());
        assert_eq!((decoder.history(), decoder.take_losses()), (Duration::ZERO, Losses::default()));
        // Later it catches up like any other.
        backlog(&camera.frames(50)).for_each(|(frame, lag)| decoder.take(frame, lag, &mut out));
        assert_eq!(numbers(&mut out), [109]);
    }

    #[test]
    fn a_history_longer_than_a_backlog_may_be_is_given_out_too() {
        let history = BEHIND_MAX + Duration::from_millis(100);
        let (mut decoder, mut out) = (LiveDecoder::new(BEHIND_MAX).beginning_before(history), Vec::new());
        backlog(&Camera::new(64).frames(60)).for_each(|(frame, lag)| decoder.take(frame, lag, &mut out));
        assert_eq!(numbers(&mut out), (26..60).collect::<Vec<_>>());
    }

    #[test]
    fn a_keyframe_that_is_younger_than_the_history_is_no_way_to_the_present() {
        let mut camera = Camera::new(64);
        let track = Track::new(camera.parameters().clone());
        let frames: Vec<_> = [40, 10].into_iter().flat_map(|count| camera.frames(count)).collect();
        frames.iter().for_each(|frame| track.push(frame.clone()));
        let skips = |history, number: usize| {
            let mut reader = join(&track, Duration::from_millis(history));
            skip_to_newest_keyframe(&frames[number], &track, &mut reader, Duration::from_millis(history))
        };
        assert_eq!((skips(0, 0), skips(299, 39)), (Some(0), Some(0)), "the reader joined there");
        assert_eq!((skips(301, 0), skips(0, 40)), (None, None));
    }

    #[test]
    fn a_decoder_that_falls_behind_later_skips_frames_and_counts_all_but_the_newest() {
        let (mut decoder, mut out) = (LiveDecoder::new(BEHIND_MAX), Vec::new());
        let frames = Camera::new(64).frames(60);
        frames[..20].iter().for_each(|frame| decoder.take(frame, PRESENT, &mut out));
        out.clear();
        backlog(&frames[20..]).for_each(|(frame, lag)| decoder.take(frame, lag, &mut out));
        assert_eq!(numbers(&mut out), [59]);
        assert_eq!(decoder.take_losses(), Losses { overload: 39, ..Losses::default() });
    }

    #[test]
    fn frames_that_the_reader_skipped_are_losses_only_after_the_first_frame() {
        let (mut decoder, mut out) = (LiveDecoder::new(BEHIND_MAX), Vec::new());
        decoder.skipped(100);
        let mut camera = Camera::new(64);
        camera.frames(3).iter().for_each(|frame| decoder.take(frame, PRESENT, &mut out));
        decoder.skipped(7);
        decoder.take(&camera.frame(false), PRESENT, &mut out);
        decoder.take(&camera.frame(true), PRESENT, &mut out);
        assert_eq!(numbers(&mut out), [0, 1, 2, 4], "after a hole the decoder waits for a keyframe");
        assert_eq!(decoder.take_losses(), Losses { overload: 7, no_keyframe: 1, corrupt: 0 });
    }

    #[test]
    fn after_a_broken_frame_a_keyframe_is_asked_for_until_it_comes() {
        let (mut decoder, mut out) = (LiveDecoder::new(BEHIND_MAX), Vec::new());
        let mut camera = Camera::new(64);
        let mut frames = camera.frames(30);
        frames[3].payload = Bytes::new();
        let mut asked = Vec::new();
        for (number, frame) in frames.iter().enumerate() {
            decoder.take(frame, PRESENT, &mut out);
            asked.extend(decoder.take_keyframe_wanted().then_some(number));
        }
        assert_eq!(asked, [3, 19], "at once, and again half a second later");
        decoder.take(&camera.frame(true), PRESENT, &mut out);
        assert_eq!(numbers(&mut out), [0, 1, 2, 30]);
        assert_eq!(decoder.take_losses(), Losses { corrupt: 1, no_keyframe: 26, overload: 0 });
    }

    #[test]
    fn a_stream_of_which_no_frame_can_be_decoded_is_tried_now_and_then_and_goes_on_when_it_is_whole() {
        let (mut decoder, mut out) = (LiveDecoder::new(BEHIND_MAX), Vec::new());
        let mut camera = Camera::new(64);
        let good = camera.frame(true);
        let at = |number: u64| good.arrived + Duration::from_micros(33_333) * number as u32;
        let mut asked = 0;
        for number in 0..600 {
            let broken = Frame { payload: Bytes::new(), arrived: at(number), ..good.clone() };
            decoder.take(&broken, PRESENT, &mut out);
            asked += u64::from(decoder.take_keyframe_wanted());
        }
        // Eight frames, and one after 0.5, 1, 2, 4 and 8 s.
        assert_eq!((decoder.frames_sent_for_test(), asked), (13, 13));
        assert_eq!(decoder.take_losses(), Losses { corrupt: 600, ..Losses::default() });
        decoder.take(&Frame { arrived: at(900), ..good.clone() }, PRESENT, &mut out);
        assert_eq!(numbers(&mut out), [0]);
        decoder.take(&camera.frame(false), PRESENT, &mut out);
        assert_eq!((numbers(&mut out), decoder.take_losses()), (vec![1], Losses::default()));
    }

    #[test]
    fn frames_decoded_to_catch_up_are_discarded_when_the_track_changes() {
        let (mut decoder, mut out) = (LiveDecoder::new(BEHIND_MAX), Vec::new());
        backlog(&Camera::new(64).frames(40)).take(20).for_each(|(frame, lag)| decoder.take(frame, lag, &mut out));
        assert!(decoder.is_catching_up());
        decoder.change_track();
        Camera::new(64).from(60).frames(2).iter().for_each(|frame| decoder.take(frame, PRESENT, &mut out));
        assert_eq!(numbers(&mut out), [60, 61]);
    }

    #[test]
    fn a_new_frame_size_is_decoded_from_its_keyframe_on() {
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
