//! Converts one video track: it is decoded once, and encoded by any number of encoders, of a plain conversion and of the rungs of a
//! ladder alike.
//!
//! [`LiveDecoder`] decodes, and catches up when it is behind. [`Pace`] leaves frames out where encoding all of them would
//! take too long. Each [`Encoding`] encodes the others, and has its own output track. Encodings are added and removed while the line
//! runs, and one that fails ends alone. They scale one after the other, the largest first, each from the smallest that is larger. This
//! module starts no thread and reads no clock.
//!
//! **Passing on.** A program changes between a source that reorders frames and a mix that does not. While the input
//! already has the form of an output, its frames are passed on to that as they are. Nothing is decoded while all are passed on.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::{Duration, Instant};

use onmic_media::{DropReason, Frame, Join, Parameters, Reader, Ticks, Track, TrackId};

use super::encoding::{Aim, Encoding, Seen, VideoPolicy};
use super::pace::Pace;
use crate::codec::RawVideo;
use crate::codec::decode::VideoDecoder;
use crate::codec::live::{self, DecodedFrame, Lag, LiveDecoder};
use crate::codec::picture::Picture;
use crate::error::Error;

/// Frames are left out from this part of the largest backlog on: from 100 ms, which is three frames at 30 fps, in which a
/// machine that was busy for a moment catches up.
const LEAVES_OUT: u32 = 10;

/// A group that is longer than this before the history that is wanted is not begun with: to encode it takes a second or more.
const GROUP_MAX: Duration = Duration::from_secs(4);

/// Frames that arrived together may seem this much older than they are.
const JITTER: Duration = Duration::from_millis(500);

/// Holds a decoder and the encoders that it feeds.
pub(crate) struct VideoLine {
    input: Arc<Track>,
    parameters: Arc<Parameters>,
    /// The form of the newest raw frame.
    form: Picture,
    /// When the frame of `form` arrived.
    seen_at: Instant,
    decoder: LiveDecoder,
    decoded: Vec<DecodedFrame>,
    pace: Pace,
    /// The largest first.
    encodings: Vec<Encoding>,
    /// The encodings that have failed.
    failed: Vec<(TrackId, Error)>,
    /// Whether the next frame that is encoded is a keyframe, because it is one of the input, or one was left out before it.
    owes_keyframe: bool,
    /// The group that it begins with, if it is not the newest.
    begins: Option<Join>,
    /// The decoding time of the newest frame that was taken in.
    taken: Option<Ticks>,
}

impl VideoLine {
    /// Opens the decoder for the frames of `input`. Takes the form from the newest keyframe, or from the declared parameters: first from
    /// the keyframe if it `probes` that.
    pub(crate) fn open(input: Arc<Track>, probes: bool, backlog_max: Duration, now: Instant) -> Result<Self, Error> {
        let keyframe = input.newest_keyframe();
        let parameters = keyframe.as_ref().map_or_else(|| input.parameters(), |frame| frame.parameters.clone());
        let mut decoder = VideoDecoder::open(&parameters)?;
        let declared = Picture::declared(&parameters);
        // A keyframe that cannot be decoded says nothing about the next one.
        let probed = keyframe.as_ref().filter(|_| probes || declared.is_err());
        let probed = probed.and_then(|frame| decoder.probe(&frame.payload).ok().flatten());
        let form = match &probed {
            Some(picture) => Picture::of(picture)?,
            None => declared?,
        };
        Ok(Self {
            seen_at: keyframe.map_or(now, |frame| frame.arrived),
            form,
            decoder: LiveDecoder::with(decoder, parameters.clone(), backlog_max).showing_the_way(),
            decoded: Vec::new(),
            pace: Pace::new(backlog_max / LEAVES_OUT),
            encodings: Vec::new(),
            failed: Vec::new(),
            owes_keyframe: false,
            begins: None,
            taken: None,
            parameters,
            input,
        })
    }

    /// Begins this far in the past. What is passed on as it is begins with its newest group.
    pub(crate) fn beginning_before(mut self, history: Duration) -> Self {
        if self.decodes() && !history.is_zero() {
            self.decoder = self.decoder.beginning_before(history);
            self.pace = self.pace.with_history(history);
        }
        self
    }

    /// Begins this far in the past or somewhat further, with a whole group of the input. Segments that begin where those of the
    /// input do are whole then.
    pub(crate) fn beginning_with_a_group(mut self, history: Duration) -> Self {
        let early = |newest: Arc<Frame>| {
            let micros = i64::try_from(history.as_micros()).unwrap_or(0);
            let keyframe = self.input.keyframe_at(newest.wall.offset_micros(-micros))?;
            Some((keyframe.wall, newest.arrived.saturating_duration_since(keyframe.arrived)))
        };
        let group = self.input.newest().filter(|_| !history.is_zero()).and_then(early);
        let Some((wall, age)) = group.filter(|(_, age)| *age <= history + GROUP_MAX) else {
            return self.beginning_before(history);
        };
        self.begins = Some(Join::GroupAt(wall));
        self.beginning_before(age + JITTER)
    }

    /// Begins to read the input.
    pub(crate) fn join(&self) -> Reader {
        match self.begins {
            Some(group) => self.input.reader(group),
            None => live::join(&self.input, self.decoder.history()),
        }
    }

    /// Adds an encoder, and returns the track that it fills from the next frame on.
    pub(crate) fn add(&mut self, aim: Aim, policy: VideoPolicy) -> Result<Arc<Track>, Error> {
        let measured = self.input.measured(self.seen_at);
        let measured_rate = (measured.frame_rate > 1.0).then_some(measured.frame_rate);
        let frame_rate = self.parameters.frame_rate().or(measured_rate).unwrap_or(30.0).clamp(1.0, 240.0);
        let seen = Seen { codec: self.parameters.codec(), rendition: self.input.key().rendition, measured: &measured };
        let mut encoding = Encoding::open(self.form, frame_rate, seen, (aim, policy))?;
        encoding.follow(&self.input, &self.parameters);
        let output = encoding.output().clone();
        self.encodings.push(encoding);
        self.sort();
        Ok(output)
    }

    /// Takes over the encodings of a line that has come as far as this one.
    pub(crate) fn adopt(&mut self, other: Self) {
        self.encodings.extend(other.encodings);
        self.failed.extend(other.failed);
        self.sort();
    }

    /// Removes the encoding that fills this track.
    pub(crate) fn remove(&mut self, output: TrackId) {
        self.encodings.retain(|encoding| encoding.output().id() != output);
    }

    fn sort(&mut self) {
        self.encodings.sort_by_key(|encoding| Reverse(encoding.pixels()));
    }

    /// Returns whether it has to decode the input.
    pub(crate) fn decodes(&self) -> bool {
        self.encodings.iter().any(|encoding| !encoding.is_passing())
    }

    /// Returns whether it encodes what fills this track.
    pub(crate) fn encodes(&self, output: TrackId) -> bool {
        self.encodings.iter().any(|encoding| encoding.output().id() == output && !encoding.is_passing())
    }

    /// Returns whether it has no encodings.
    pub(crate) fn is_empty(&self) -> bool {
        self.encodings.is_empty()
    }

    /// Returns the decoding time of the newest frame that was taken in. Two lines that have taken in the same frames are as far.
    pub(crate) fn taken(&self) -> Option<Ticks> {
        self.taken
    }

    /// Returns the encodings that have failed since the last call, by the tracks that they filled, and why.
    pub(crate) fn take_failed(&mut self) -> Vec<(TrackId, Error)> {
        std::mem::take(&mut self.failed)
    }

    /// Notes that `frames` of the input were skipped. The next one is a keyframe.
    pub(crate) fn skipped(&mut self, frames: u64) {
        self.decoder.skipped(frames);
        self.encodings.iter_mut().for_each(Encoding::skipped);
        self.tell();
    }

    /// Takes in the frame that `reader` gave last. If the decoder is too far behind, the reader goes on at the newest
    /// keyframe.
    pub(crate) fn follow(&mut self, frame: &Frame, reader: &mut Reader) {
        self.take(frame, Lag::of(frame, &self.input, reader));
        if self.decoder.is_catching_up()
            && let Some(frames) = live::skip_to_newest_keyframe(frame, &self.input, reader, self.decoder.history())
        {
            self.skipped(frames);
        }
    }

    /// Takes in one frame and puts out the frames that are ready. A frame that cannot be decoded is only counted.
    pub(crate) fn take(&mut self, frame: &Frame, lag: Lag) {
        let mut wanted = false;
        self.encodings.iter_mut().for_each(|encoding| wanted |= encoding.hear_viewers() && encoding.is_passing());
        if !Arc::ptr_eq(&self.parameters, &frame.parameters) {
            self.change(&frame.parameters);
        }
        if wanted {
            self.input.want_keyframe();
        }
        self.encodings.iter_mut().filter(|encoding| encoding.is_passing()).for_each(|encoding| encoding.pass(frame));
        if self.decodes() {
            self.decoder.take(frame, lag, &mut self.decoded);
            self.encode(lag.time);
        } else {
            self.decoder.begin();
        }
        self.taken = Some(frame.dts);
        self.tell();
    }

    /// Notes that the input ended, and puts out the frames that the decoder holds back.
    pub(crate) fn finish(&mut self) {
        self.decoder.finish(&mut self.decoded);
        self.encode(Duration::ZERO);
        self.tell();
    }

    fn change(&mut self, parameters: &Arc<Parameters>) {
        let input = &self.input;
        let goes_over = |encoding: &Encoding| encoding.is_passing() != encoding.would_pass(input, parameters);
        if *self.parameters != **parameters || self.encodings.iter().any(goes_over) {
            self.finish();
            self.encodings.iter_mut().for_each(|encoding| encoding.follow(&self.input, parameters));
            if !self.decodes() {
                self.decoder.change_track();
            }
        }
        self.parameters = parameters.clone();
    }

    /// Encodes what was decoded, while the input is ahead by `lag`.
    fn encode(&mut self, lag: Duration) {
        let mut decoded = std::mem::take(&mut self.decoded);
        for DecodedFrame { picture, info } in decoded.drain(..) {
            self.owes_keyframe |= info.keyframe;
            if !self.pace.takes(info.pts, lag) {
                continue;
            }
            let form = match Picture::of(&picture) {
                Ok(form) => form,
                Err(error) => {
                    self.decoder.broken(&error);
                    continue;
                }
            };
            (self.form, self.seen_at) = (form, info.arrived);
            let measured = self.input.measured(info.arrived);
            let seen =
                Seen { codec: self.parameters.codec(), rendition: self.input.key().rendition, measured: &measured };
            let mut made: Vec<RawVideo> = Vec::new();
            let (mut broken, mut keyframe) = (None, std::mem::take(&mut self.owes_keyframe));
            self.encodings.retain_mut(|encoding| {
                if encoding.is_passing() || broken.is_some() {
                    return true;
                }
                match encoding.encode((&picture, &made), &form, (&info, &mut keyframe), seen) {
                    Ok(own) => made.extend(own),
                    Err(error @ Error::Convert(_)) => broken = Some(error),
                    Err(error) => {
                        self.failed.push((encoding.output().id(), error));
                        return false;
                    }
                }
                true
            });
            if let Some(error) = broken {
                self.decoder.broken(&error);
            }
        }
        self.decoded = decoded; // It keeps its memory.
    }

    /// Counts the frames that the decoder lost, and asks the publisher for a keyframe if the decoder needs one.
    fn tell(&mut self) {
        let losses = self.decoder.take_losses();
        DropReason::TranscodeCorrupt.count(losses.corrupt);
        DropReason::TranscodeNoKeyframe.count(losses.no_keyframe);
        DropReason::BehindTranscode.count(losses.overload + self.pace.take_left_out());
        if self.decoder.take_keyframe_wanted() {
            self.input.want_keyframe();
        }
    }
}

#[cfg(test)]
mod tests {
    use onmic_media::feed::Rung;
    use onmic_media::{Read, Rendition};

    use super::*;
    use crate::codec::encode::{Backend, VideoSettings};
    use crate::codec::testing::{Camera, number_of};

    const PRESENT: Lag = Lag { frames: 0, time: Duration::ZERO };

    fn line(camera: &Camera) -> VideoLine {
        line_of(Track::new(camera.parameters().clone()))
    }

    fn line_of(input: Track) -> VideoLine {
        let input = Arc::new(input);
        VideoLine::open(input, true, Duration::from_secs(1), Instant::now()).unwrap()
    }

    /// Adds a plain conversion.
    fn add(line: &mut VideoLine, policy: VideoPolicy) -> Arc<Track> {
        line.add(Aim::Plain(Backend::X264), policy).unwrap()
    }

    /// Adds a rung.
    fn add_rung(line: &mut VideoLine, rung: &str) -> Arc<Track> {
        let rung: Rung = rung.parse().unwrap();
        line.add(Aim::Rung(Rendition::FIRST_RUNG, rung), VideoPolicy::default()).unwrap()
    }

    /// Returns all frames of a track.
    fn all(track: &Track) -> Vec<Arc<Frame>> {
        let mut reader = track.reader(Join::At(onmic_media::WallTime(0)));
        std::iter::from_fn(|| reader.try_read())
            .map(|read| match read {
                Read::Frame(frame) => frame,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    fn numbers(frames: &[Arc<Frame>]) -> Vec<u8> {
        let mut decoder = VideoDecoder::open(&frames[0].parameters).unwrap();
        let number = |frame: &Arc<Frame>| {
            decoder.send(&frame.payload, 0).unwrap();
            number_of(&decoder.receive().unwrap().unwrap())
        };
        frames.iter().map(number).collect()
    }

    fn keyframes(frames: &[Arc<Frame>]) -> Vec<usize> {
        (0..frames.len()).filter(|at| frames[*at].keyframe).collect()
    }

    #[test]
    fn one_decoder_feeds_two_encoders_that_differ_in_settings_and_keyframes() {
        let mut camera = Camera::undeclared(64);
        let mut line = line(&camera);
        let high = add(&mut line, VideoPolicy::default());
        let baseline = VideoSettings { profile: "baseline".to_owned(), ..VideoSettings::default() };
        let spacing = Duration::from_millis(100);
        let policy = VideoPolicy { encoder: baseline, keyframe_spacing: spacing, ..VideoPolicy::default() };
        let low = add(&mut line, policy);
        for (number, frame) in camera.frames(20).iter().enumerate() {
            if number == 10 {
                low.want_keyframe();
            }
            line.input.push(frame.clone());
            line.take(frame, PRESENT);
        }
        assert_eq!(line.decoder.frames_sent_for_test(), 20, "each frame is decoded once");
        let (high, low) = (all(&high), all(&low));
        assert_eq!((numbers(&high), numbers(&low)), ((0..20).collect(), (0..20).collect()));
        assert_eq!((keyframes(&high), keyframes(&low)), (vec![0], vec![0, 10]));
        let profile = |frames: &[Arc<Frame>]| match &*frames[0].parameters {
            Parameters::H264(h264) => h264.profile_idc,
            other => panic!("{other:?}"),
        };
        assert_eq!((profile(&high), profile(&low)), (77, 66));
    }

    #[test]
    fn an_encoder_that_is_added_later_begins_with_a_keyframe_at_the_next_frame() {
        let mut camera = Camera::undeclared(64);
        let mut line = line(&camera);
        let first = add(&mut line, VideoPolicy::default());
        camera.frames(5).iter().for_each(|frame| line.take(frame, PRESENT));
        let second = add(&mut line, VideoPolicy::default());
        (0..5).for_each(|_| line.take(&camera.frame(false), PRESENT));
        let (first, second) = (all(&first), all(&second));
        assert_eq!((first.len(), keyframes(&first)), (10, vec![0]));
        assert_eq!((numbers(&second), keyframes(&second)), ((5..10).collect(), vec![0]));
    }

    /// Runs a line on a machine on which decoding and encoding a frame take this many milliseconds, for 10 s of 30 fps with a
    /// keyframe every 2 s. Returns the time of each frame that comes out, and the time at which it does, in ms.
    fn converted(decoding: u64, encoding: u64) -> Vec<(u64, u64)> {
        let mut camera = Camera::undeclared(64);
        let mut line = line(&camera);
        let output = add(&mut line, VideoPolicy::default()).reader(Join::Group);
        let (input, start) = (line.input.clone(), Instant::now());
        let (mut output, mut reader) = (output, None);
        let (mut coming, mut now, mut out) = (0, 0, Vec::new());
        while coming < 300 || reader.as_ref().is_some_and(|reader: &Reader| reader.backlog() > 0) {
            while coming < 300 && coming * 100 / 3 <= now {
                camera = camera.from(0);
                let (at, frame) = (Ticks(coming as i64 * 3000), camera.frame(coming % 60 == 0));
                input.push(Frame {
                    dts: at,
                    pts: at,
                    arrived: start + Duration::from_millis(coming * 100 / 3),
                    ..frame
                });
                coming += 1;
            }
            let reader = reader.get_or_insert_with(|| line.join());
            match reader.try_read() {
                Some(Read::Frame(frame)) => {
                    line.follow(&frame, reader);
                    now += decoding;
                    while let Some(Read::Frame(frame)) = output.try_read() {
                        now += encoding;
                        out.push((frame.pts.0 as u64 / 90, now));
                    }
                }
                Some(other) => panic!("{other:?}"),
                None => now += 1,
            }
        }
        out
    }

    #[test]
    fn a_machine_that_is_too_slow_for_all_frames_lowers_the_frame_rate_evenly() {
        // Decoding and encoding in ms, the frames of 10 s at least, the longest time without one, the largest delay.
        for (decoding, encoding, frames, apart, late) in [
            (5, 20, 300, 40, 60),
            (5, 50, 165, 70, 250),
            (5, 100, 80, 150, 500),
            (10, 200, 30, 350, 1_500),
            (25, 100, 24, 350, 1_800),
            (40, 60, 20, 450, 3_000),
        ] {
            let out = converted(decoding, encoding);
            let largest = out.windows(2).map(|pair| pair[1].1 - pair[0].1).max().unwrap();
            let latest = out.iter().map(|(pts, at)| at - pts).max().unwrap();
            let found = (out.len(), largest, latest);
            let keeps = found.0 >= frames && found.1 <= apart && found.2 <= late;
            assert!(keeps, "decoding {decoding} ms, encoding {encoding} ms: {found:?}");
        }
    }

    #[test]
    fn a_track_for_a_player_that_keeps_a_distance_begins_in_the_past_whatever_the_age_of_the_group() {
        for (groups, first) in [(vec![90], 59), (vec![80, 10], 59), (vec![20], 0)] {
            let mut camera = Camera::undeclared(64);
            let mut line = line(&camera);
            let output = add(&mut line, VideoPolicy::default());
            let mut line = line.beginning_before(Duration::from_secs(1));
            groups.iter().flat_map(|count| camera.frames(*count)).for_each(|frame| line.input.push(frame));
            let mut reader = line.join();
            while let Some(Read::Frame(frame)) = reader.try_read() {
                line.follow(&frame, &mut reader);
            }
            let last = groups.iter().sum::<usize>() as u8;
            assert_eq!(numbers(&all(&output)), (first..last).collect::<Vec<_>>(), "{groups:?}");
        }
    }

    #[test]
    fn frames_in_order_pass_to_every_output_and_viewers_ask_the_publisher() {
        let mut camera = Camera::new(64);
        let mut line = line(&camera);
        let outputs = [add(&mut line, VideoPolicy::default()), add(&mut line, VideoPolicy::default())];
        let frames = camera.frames(4);
        outputs[1].want_keyframe();
        frames.iter().for_each(|frame| line.take(frame, PRESENT));
        assert!(line.input.take_keyframe_wanted());
        assert_eq!(line.decoder.frames_sent_for_test(), 0);
        line.skipped(3);
        line.take(&camera.frame(false), PRESENT);
        for output in outputs {
            let out = all(&output);
            assert_eq!(out.len(), 4, "after a hole the output waits for a keyframe");
            assert!(out.iter().zip(&frames).all(|(out, frame)| out.payload == frame.payload));
        }
    }

    #[test]
    fn frames_of_a_publisher_that_cannot_be_asked_for_keyframes_are_encoded_although_they_are_in_order() {
        let mut camera = Camera::new(64);
        let input = Track::new(camera.parameters().clone());
        input.set_takes_requests(false);
        let mut line = line_of(input);
        let output = add(&mut line, VideoPolicy::default());
        for (number, frame) in camera.frames(40).iter().enumerate() {
            if number == 30 {
                output.want_keyframe();
            }
            line.take(frame, PRESENT);
        }
        assert!(!line.input.take_keyframe_wanted(), "the publisher is not asked");
        let out = all(&output);
        assert_eq!((numbers(&out), keyframes(&out)), ((0..40).collect(), vec![0, 30]));
    }

    /// Returns the width and height that a track declares.
    fn size(frames: &[Arc<Frame>]) -> Option<(u32, u32)> {
        frames[0].parameters.resolution()
    }

    #[test]
    fn rungs_of_one_decoder_have_their_sizes_and_the_keyframes_of_the_input() {
        let mut camera = Camera::undeclared(256);
        let mut line = line(&camera);
        let [high, low] = ["180p:300k", "90p@15:100k"].map(|rung| add_rung(&mut line, rung));
        let plain = add(&mut line, VideoPolicy::default());
        let frames: Vec<_> = [20, 20].into_iter().flat_map(|count| camera.frames(count)).collect();
        frames.iter().for_each(|frame| line.take(frame, PRESENT));
        assert_eq!(line.decoder.frames_sent_for_test(), 40, "each frame is decoded once");
        let [plain, high, low] = [plain, high, low].map(|track| all(&track));
        assert_eq!([&plain, &high, &low].map(|frames| size(frames)), [(256, 256), (180, 180), (90, 90)].map(Some));
        assert_eq!((numbers(&high), keyframes(&high)), ((0..40).collect(), vec![0, 20]));
        assert_eq!(numbers(&low), (0..40).step_by(2).collect::<Vec<_>>(), "half of the frames");
        assert_eq!(keyframes(&low), [0, 10]);
        assert_eq!(keyframes(&plain), [0, 20]);
    }

    #[test]
    fn a_rung_that_is_reached_for_late_has_its_keyframe_at_once_and_then_where_the_larger_form_has_it() {
        let mut camera = Camera::undeclared(256).from(0);
        let mut line = line(&camera);
        let spacing = Duration::from_millis(100);
        let plain = add(&mut line, VideoPolicy { keyframe_spacing: spacing, ..VideoPolicy::default() });
        let take = |line: &mut VideoLine, camera: &mut Camera, count| {
            (0..count).for_each(|_| line.take(&camera.frame(false), PRESENT));
        };
        line.take(&camera.frame(true), PRESENT);
        take(&mut line, &mut camera, 9);
        let rung = add_rung(&mut line, "90p:100k");
        take(&mut line, &mut camera, 10);
        let first = all(&rung);
        assert_eq!((numbers(&first), keyframes(&first)), ((10..20).collect(), vec![0]));
        plain.want_keyframe(); // As a playlist does at the end of a segment.
        take(&mut line, &mut camera, 10);
        rung.want_keyframe(); // A viewer of the rung alone needs it.
        take(&mut line, &mut camera, 10);
        line.remove(rung.id());
        take(&mut line, &mut camera, 5);
        let [plain, rung] = [plain, rung].map(|track| all(&track)); // A track keeps two groups.
        assert_eq!((numbers(&plain).len(), keyframes(&plain)), (45, vec![0, 20]));
        assert_eq!((numbers(&rung), keyframes(&rung)), ((20..40).collect(), vec![0, 15]), "500 ms later");
    }

    #[test]
    fn a_rung_declares_what_was_foretold() {
        for (side, rung, preset) in [(256, "180p:300k", "superfast"), (128, "90p@15:60k", "ultrafast")] {
            let camera = Camera::undeclared(side);
            let mut line = line(&camera);
            let plan: Rung = rung.parse().unwrap();
            let encoder = VideoSettings { preset: preset.to_owned(), ..VideoSettings::default() };
            let policy = VideoPolicy { encoder, ..VideoPolicy::default() };
            let track = line.add(Aim::Rung(Rendition::FIRST_RUNG, plan), policy).unwrap();
            assert_eq!(track.parameters().rfc6381(), plan.rfc6381((side, side), 30.0));
            assert_eq!(track.parameters().resolution(), Some(plan.size_of((side, side))));
        }
    }

    #[test]
    fn a_line_that_has_come_as_far_as_another_hands_its_encodings_over_without_a_hole() {
        let mut camera = Camera::undeclared(128);
        let frames: Vec<_> = [30, 30].into_iter().flat_map(|count| camera.frames(count)).collect();
        let mut present = line(&camera);
        let first = add(&mut present, VideoPolicy::default());
        frames[..50].iter().for_each(|frame| {
            present.input.push(frame.clone());
            present.take(frame, PRESENT);
        });
        let mut behind = VideoLine::open(present.input.clone(), true, Duration::from_secs(1), Instant::now()).unwrap();
        let rung = add_rung(&mut behind, "90p:100k");
        let mut behind = behind.beginning_with_a_group(Duration::from_secs(1));
        let mut reader = behind.join();
        while behind.taken() != present.taken() {
            let Some(Read::Frame(frame)) = reader.try_read() else { panic!("it has not come as far") };
            behind.follow(&frame, &mut reader);
        }
        present.adopt(behind);
        frames[50..].iter().for_each(|frame| present.take(frame, PRESENT));
        let [first, rung] = [first, rung].map(|track| all(&track));
        assert_eq!(numbers(&first), (0..60).collect::<Vec<_>>());
        assert_eq!(
            (numbers(&rung), keyframes(&rung)),
            ((0..60).collect(), vec![0, 30]),
            "from the group that is wanted"
        );
    }
}
