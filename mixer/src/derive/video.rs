//! Converts one video track to H.264 without reordering, or to VP8. It is decoded once, and encoded by any number of
//! encoders of one codec.
//!
//! [`LiveDecoder`] decodes, and catches up when it is behind. [`Pace`] leaves frames out where encoding all of them would
//! take too long. Each [`Rung`] encodes the others, and has its own output track. This module starts no thread and reads no clock.
//!
//! **Passing on.** A program changes between a source that reorders frames and a mix that does not. While the input
//! already has the form of the output, and sends a keyframe when one is asked for, its frames are passed on as they are.

use std::sync::Arc;
use std::time::{Duration, Instant};

use onmic_media::{Codec, DropReason, Frame, Parameters, Reader, Track};

use super::pace::Pace;
use super::rung::{Rung, Seen, VideoPolicy};
use crate::codec::decode::VideoDecoder;
use crate::codec::encode::Backend;
use crate::codec::live::{self, DecodedFrame, Lag, LiveDecoder};
use crate::codec::picture::Picture;
use crate::error::Error;
use crate::price;

/// Frames are left out from this part of the largest backlog on: from 100 ms, which is three frames at 30 fps, in which a
/// machine that was busy for a moment catches up.
const LEAVES_OUT: u32 = 10;

/// Holds a decoder and the encoders that it feeds.
pub(crate) struct VideoLine {
    input: Arc<Track>,
    backend: Backend,
    parameters: Arc<Parameters>,
    /// The form of the newest raw frame.
    form: Picture,
    /// When the frame of `form` arrived.
    seen_at: Instant,
    /// Whether the input is what the output has to be, see [`passes`].
    passes: bool,
    /// Whether the next frame that is passed on has to be a keyframe.
    needs_keyframe: bool,
    decoder: LiveDecoder,
    decoded: Vec<DecodedFrame>,
    pace: Pace,
    rungs: Vec<Rung>,
}

impl VideoLine {
    /// Opens the decoder for the frames of `input`. Takes the form from the newest keyframe, or from the declared parameters: first from
    /// the keyframe if it `probes` that.
    pub(crate) fn open(
        input: Arc<Track>,
        probes: bool,
        backend: Backend,
        backlog_max: Duration,
        now: Instant,
    ) -> Result<Self, Error> {
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
            passes: passes(&input, backend.codec(), &parameters),
            needs_keyframe: true,
            decoder: LiveDecoder::with(decoder, parameters.clone(), backlog_max).showing_the_way(),
            decoded: Vec::new(),
            pace: Pace::new(backlog_max / LEAVES_OUT),
            rungs: Vec::new(),
            parameters,
            backend,
            input,
        })
    }

    /// Begins this far in the past. What is passed on as it is begins with its newest group.
    pub(crate) fn beginning_before(mut self, history: Duration) -> Self {
        if !self.passes {
            self.decoder = self.decoder.beginning_before(history);
            self.pace = self.pace.with_history(history);
        }
        self
    }

    /// Begins to read the input.
    pub(crate) fn join(&self) -> Reader {
        live::join(&self.input, self.decoder.history())
    }

    /// Adds an encoder, and returns the track that it fills from the next frame on.
    pub(crate) fn add(&mut self, policy: VideoPolicy) -> Result<Arc<Track>, Error> {
        let measured = self.input.measured(self.seen_at);
        let measured_rate = (measured.frame_rate > 1.0).then_some(measured.frame_rate);
        let frame_rate = self.parameters.frame_rate().or(measured_rate).unwrap_or(30.0).clamp(1.0, 240.0);
        let seen = Seen { codec: self.parameters.codec(), rendition: self.input.key().rendition, measured: &measured };
        let rung = Rung::open(self.form, frame_rate, seen, (self.backend, policy))?;
        let output = rung.output().clone();
        self.rungs.push(rung);
        Ok(output)
    }

    /// Returns the pixels per second that are decoded and encoded. `None` while frames are passed on as they are.
    pub(crate) fn pixel_rate(&self, now: Instant) -> Option<u64> {
        (!self.passes).then(|| price::of_track(&self.parameters, &self.input.measured(now)))
    }

    /// Notes that `frames` of the input were skipped. The next one is a keyframe.
    pub(crate) fn skipped(&mut self, frames: u64) {
        self.decoder.skipped(frames);
        self.needs_keyframe = true;
        self.tell();
    }

    /// Takes in the frame that `reader` gave last. If the decoder is too far behind, the reader goes on at the newest
    /// keyframe.
    pub(crate) fn follow(&mut self, frame: &Frame, reader: &mut Reader) -> Result<(), Error> {
        self.take(frame, Lag::of(frame, &self.input, reader))?;
        if self.decoder.is_catching_up()
            && let Some(frames) = live::skip_to_newest_keyframe(frame, &self.input, reader, self.decoder.history())
        {
            self.skipped(frames);
        }
        Ok(())
    }

    /// Takes in one frame and puts out the frames that are ready. An error comes from an encoder and is final. A frame
    /// that cannot be decoded is only counted.
    pub(crate) fn take(&mut self, frame: &Frame, lag: Lag) -> Result<(), Error> {
        let mut wanted = false;
        self.rungs.iter_mut().for_each(|rung| wanted |= rung.hear_viewers());
        if !Arc::ptr_eq(&self.parameters, &frame.parameters) {
            self.change(&frame.parameters)?;
        }
        if self.passes {
            if wanted {
                self.input.want_keyframe();
            }
            self.pass(frame);
        } else {
            self.decoder.take(frame, lag, &mut self.decoded);
            self.encode(lag.time)?;
        }
        self.tell();
        Ok(())
    }

    /// Notes that the input ended, and puts out the frames that the decoder holds back.
    pub(crate) fn finish(&mut self) -> Result<(), Error> {
        self.decoder.finish(&mut self.decoded);
        let encoded = self.encode(Duration::ZERO);
        self.tell();
        encoded
    }

    fn change(&mut self, parameters: &Arc<Parameters>) -> Result<(), Error> {
        let passes = passes(&self.input, self.backend.codec(), parameters);
        if self.passes != passes || *self.parameters != **parameters {
            self.finish()?;
            self.passes = passes;
            self.needs_keyframe = true;
            if self.passes {
                self.decoder.change_track();
            }
        }
        self.parameters = parameters.clone();
        Ok(())
    }

    fn pass(&mut self, frame: &Frame) {
        if self.needs_keyframe && !frame.keyframe {
            DropReason::TranscodeNoKeyframe.count(1);
            return;
        }
        self.needs_keyframe = false;
        self.decoder.begin();
        self.rungs.iter_mut().for_each(|rung| rung.pass(frame));
    }

    /// Encodes what was decoded, while the input is ahead by `lag`.
    fn encode(&mut self, lag: Duration) -> Result<(), Error> {
        for DecodedFrame { picture, info } in self.decoded.drain(..) {
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
            for rung in &mut self.rungs {
                match rung.encode(&picture, &form, &info, seen) {
                    Err(error @ Error::Convert(_)) => self.decoder.broken(&error),
                    encoded => encoded?,
                }
            }
        }
        Ok(())
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

/// Returns whether every viewer of `codec` takes the input as it is: it is widely decoded, its pictures are frames of square
/// samples, it does not reorder, and viewers get the keyframes that they ask for. H.264 has to declare that it does not reorder. VP8
/// never does.
fn passes(input: &Track, codec: Codec, parameters: &Parameters) -> bool {
    let in_order = codec == Codec::Vp8 || parameters.reorders() == Some(false);
    let is_plain = parameters.is_widely_decoded() && parameters.has_square_samples() && !parameters.is_interlaced();
    let has_entries = input.answers_requests() && !input.enters_by_recovery();
    parameters.codec() == codec && is_plain && in_order && has_entries
}

#[cfg(test)]
mod tests {
    use onmic_media::time::Ticks;
    use onmic_media::{Join, Read};

    use super::*;
    use crate::codec::encode::VideoSettings;
    use crate::codec::testing::{Camera, number_of};

    const PRESENT: Lag = Lag { frames: 0, time: Duration::ZERO };

    fn line(camera: &Camera) -> VideoLine {
        line_of(Track::new(camera.parameters().clone()))
    }

    fn line_of(input: Track) -> VideoLine {
        let input = Arc::new(input);
        VideoLine::open(input, true, Backend::X264, Duration::from_secs(1), Instant::now()).unwrap()
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
        let high = line.add(VideoPolicy::default()).unwrap();
        let baseline = VideoSettings { profile: "baseline".to_owned(), ..VideoSettings::default() };
        let spacing = Duration::from_millis(100);
        let policy = VideoPolicy { encoder: baseline, keyframe_spacing: spacing, ..VideoPolicy::default() };
        let low = line.add(policy).unwrap();
        for (number, frame) in camera.frames(20).iter().enumerate() {
            if number == 10 {
                low.want_keyframe();
            }
            line.input.push(frame.clone());
            line.take(frame, PRESENT).unwrap();
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
        let first = line.add(VideoPolicy::default()).unwrap();
        camera.frames(5).iter().for_each(|frame| line.take(frame, PRESENT).unwrap());
        let second = line.add(VideoPolicy::default()).unwrap();
        (0..5).for_each(|_| line.take(&camera.frame(false), PRESENT).unwrap());
        let (first, second) = (all(&first), all(&second));
        assert_eq!((first.len(), keyframes(&first)), (10, vec![0]));
        assert_eq!((numbers(&second), keyframes(&second)), ((5..10).collect(), vec![0]));
    }

    /// Runs a line on a machine on which decoding and encoding a frame take this many milliseconds, for 10 s of 30 fps with a
    /// keyframe every 2 s. Returns the time of each frame that comes out, and the time at which it does, in ms.
    fn converted(decoding: u64, encoding: u64) -> Vec<(u64, u64)> {
        let mut camera = Camera::undeclared(64);
        let mut line = line(&camera);
        let output = line.add(VideoPolicy::default()).unwrap().reader(Join::Group);
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
                    line.follow(&frame, reader).unwrap();
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
            let mut line = line(&camera).beginning_before(Duration::from_secs(1));
            let output = line.add(VideoPolicy::default()).unwrap();
            groups.iter().flat_map(|count| camera.frames(*count)).for_each(|frame| line.input.push(frame));
            let mut reader = line.join();
            while let Some(Read::Frame(frame)) = reader.try_read() {
                line.follow(&frame, &mut reader).unwrap();
            }
            let last = groups.iter().sum::<usize>() as u8;
            assert_eq!(numbers(&all(&output)), (first..last).collect::<Vec<_>>(), "{groups:?}");
        }
    }

    #[test]
    fn frames_in_order_pass_to_every_output_and_viewers_ask_the_publisher() {
        let mut camera = Camera::new(64);
        let mut line = line(&camera);
        let outputs = [line.add(VideoPolicy::default()).unwrap(), line.add(VideoPolicy::default()).unwrap()];
        let frames = camera.frames(4);
        outputs[1].want_keyframe();
        frames.iter().for_each(|frame| line.take(frame, PRESENT).unwrap());
        assert!(line.input.take_keyframe_wanted());
        assert_eq!(line.decoder.frames_sent_for_test(), 0);
        line.skipped(3);
        line.take(&camera.frame(false), PRESENT).unwrap();
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
        let output = line.add(VideoPolicy::default()).unwrap();
        for (number, frame) in camera.frames(40).iter().enumerate() {
            if number == 30 {
                output.want_keyframe();
            }
            line.take(frame, PRESENT).unwrap();
        }
        assert!(!line.input.take_keyframe_wanted(), "the publisher is not asked");
        let out = all(&output);
        assert_eq!((numbers(&out), keyframes(&out)), ((0..40).collect(), vec![0, 30]));
    }
}
