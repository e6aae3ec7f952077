//! Turns FLV tag bodies with RTMP's timestamps into arrivals.
//!
//! Invariants: a frame always carries parameters, the same `Arc` until they change. A video track begins with a
//! keyframe. Audio lies on the sample grid, because the milliseconds of RTMP are a rounding of it.

use std::sync::Arc;

use bytes::Bytes;
use onmic_media::codec::{av1, h264, h265, opus, vp9};
use onmic_media::flv::{self, AudioTag, FlvError, VideoTag};
use onmic_media::{Arrival, ClockRate, Codec, DropReason, MediaKind, Parameters, Rendition, Ticks};

/// Audio whose timestamps are off the sample grid by more than this on average is moved: there is a gap, or the clock
/// drifts.
const RESYNC_MS: i64 = 40;

/// A single timestamp that is off by more than this is a gap or a step of the clock, and is followed at once. Encoders
/// that stamp packets at the time of sending have a jitter of up to 80 ms to either side of the grid.
const SHAKEN_MS: i64 = 160;

/// The average is taken over about this many packets: 0.7 s of AAC at 48 kHz.
const MEAN_PACKETS: i64 = 32;

/// States why a tag yields no frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// The tag cannot be used, for this reason.
    Tag(DropReason),
    /// The tag has a codec that this server cannot carry. The sentence is for the publisher.
    Codec(String),
}

/// Turns the tags of one publisher into arrivals.
#[derive(Debug, Default)]
pub struct Publisher {
    tags: flv::Reader,
    clock: WrappingClock,
    video: Option<VideoLine>,
    audio: Option<AudioLine>,
}

#[derive(Debug)]
struct VideoLine {
    parameters: Arc<Parameters>,
    /// The last sequence header. A repetition of it changes nothing, even if the bitstream has stated more since.
    configured: Option<Parameters>,
    waits_for_keyframe: bool,
}

#[derive(Debug)]
struct AudioLine {
    parameters: Arc<Parameters>,
    grid: SampleGrid,
}

/// Counts the samples of an audio track. RTMP's milliseconds are a rounding of them at best.
#[derive(Debug, Default)]
struct SampleGrid {
    /// The position of the next packet.
    next: Option<Ticks>,
    /// The mean distance of timestamps from the grid, in ticks times [`MEAN_PACKETS`].
    off: i64,
}

impl SampleGrid {
    /// Returns the place of a packet of `samples` with this timestamp, both on the clock of `rate`.
    fn place(&mut self, stated: Ticks, samples: Ticks, rate: ClockRate) -> Ticks {
        let ticks = |millis| Ticks(millis).rescale(ClockRate::MILLIS, rate).0;
        let near = |next: &Ticks| (stated - *next).0.abs() <= ticks(SHAKEN_MS);
        let place = match self.next.filter(near) {
            Some(next) => {
                self.off += (stated - next).0 - self.off / MEAN_PACKETS;
                let off = self.off / MEAN_PACKETS;
                let moved = if off.abs() > ticks(RESYNC_MS) { off } else { 0 };
                self.off -= moved * MEAN_PACKETS;
                next + Ticks(moved)
            }
            None => {
                self.off = 0;
                stated
            }
        };
        self.next = Some(place + samples);
        place
    }
}

impl Publisher {
    /// Takes the next tag body. A configuration yields `Ok(None)`.
    pub fn take(&mut self, kind: MediaKind, timestamp: u32, body: Bytes) -> Result<Option<Arrival>, Dropped> {
        let millis = self.clock.unwrap(timestamp);
        match kind {
            MediaKind::Video => self.video(millis, body),
            MediaKind::Audio => self.audio(millis, body),
            MediaKind::Data => Err(Dropped::Tag(DropReason::DataNotCarried)),
        }
    }

    fn video(&mut self, millis: i64, body: Bytes) -> Result<Option<Arrival>, Dropped> {
        let (keyframe, composition_ms, payload) = match self.tags.parse_video(body).map_err(dropped)? {
            VideoTag::Config(parameters) => {
                self.configure_video(parameters);
                return Ok(None);
            }
            VideoTag::Frame { keyframe, composition_ms, payload } => (keyframe, composition_ms, payload),
            VideoTag::EndOfSequence => return Ok(None),
            VideoTag::Ignored(ignored) => return Err(Dropped::Tag(ignored.reason())),
        };
        let line = self.video.as_mut().ok_or(Dropped::Tag(DropReason::TagBeforeSequenceHeader))?;
        let payload = if keyframe { line.lift_parameters(payload) } else { payload };
        if line.waits_for_keyframe && !keyframe {
            return Err(Dropped::Tag(DropReason::TagBeforeKeyframe));
        }
        line.waits_for_keyframe = false;
        let ticks = |millis: i64| Ticks(millis).rescale(ClockRate::MILLIS, ClockRate::VIDEO);
        let (dts, pts) = (ticks(millis), ticks(millis + i64::from(composition_ms)));
        Ok(Some(Arrival {
            rendition: Rendition::MAIN,
            dts,
            pts,
            keyframe,
            parameters: line.parameters.clone(),
            payload,
        }))
    }

    fn configure_video(&mut self, parameters: Parameters) {
        let before = self.video.take();
        if let Some(line) = before.as_ref()
            && line.configured.as_ref() == Some(&parameters)
        {
            self.video = before;
            return;
        }
        // Frames that continue the old stream cannot be decoded with new parameters.
        let same = before.filter(|line| *line.parameters == parameters);
        let waits_for_keyframe = same.as_ref().is_none_or(|line| line.waits_for_keyframe);
        let kept = same.map_or_else(|| Arc::new(parameters.clone()), |line| line.parameters);
        self.video = Some(VideoLine { parameters: kept, configured: Some(parameters), waits_for_keyframe });
    }

    fn audio(&mut self, millis: i64, body: Bytes) -> Result<Option<Arrival>, Dropped> {
        let payload = match self.tags.parse_audio(body).map_err(dropped)? {
            AudioTag::Config(parameters) => {
                if self.audio.as_ref().is_none_or(|line| *line.parameters != parameters) {
                    self.audio = Some(AudioLine { parameters: Arc::new(parameters), grid: SampleGrid::default() });
                }
                return Ok(None);
            }
            AudioTag::Frame { payload } => payload,
            AudioTag::EndOfSequence => return Ok(None),
            AudioTag::Ignored(ignored) => return Err(Dropped::Tag(ignored.reason())),
        };
        let line = self.audio.as_mut().ok_or(Dropped::Tag(DropReason::TagBeforeSequenceHeader))?;
        let samples = match &*line.parameters {
            Parameters::Aac(aac) => aac.frame_length,
            _ => opus::packet_duration(&payload).ok_or(Dropped::Tag(DropReason::TagMalformed))?,
        };
        let rate = line.parameters.clock_rate();
        let dts = line.grid.place(Ticks(millis).rescale(ClockRate::MILLIS, rate), Ticks(samples.into()), rate);
        Ok(Some(Arrival {
            rendition: Rendition::MAIN,
            dts,
            pts: dts,
            keyframe: true,
            parameters: line.parameters.clone(),
            payload,
        }))
    }
}

impl VideoLine {
    /// Prefers the parameters in a keyframe to the sequence header, which may be outdated.
    fn lift_parameters(&mut self, payload: Bytes) -> Bytes {
        let (payload, lifted) = match self.parameters.codec() {
            Codec::H264 => {
                let (payload, lifted) = h264::strip_parameter_sets(payload);
                (payload, lifted.map(Parameters::H264))
            }
            Codec::H265 => {
                let (payload, lifted) = h265::strip_parameter_sets(payload);
                (payload, lifted.map(Parameters::H265))
            }
            Codec::Av1 => {
                let lifted = av1::Parameters::from_access_unit(&payload).map(Parameters::Av1);
                (payload, lifted)
            }
            Codec::Vp9 => {
                let lifted = vp9::Parameters::from_keyframe(&payload).ok().map(Parameters::Vp9);
                (payload, lifted)
            }
            _ => (payload, None),
        };
        if let Some(lifted) = lifted
            && lifted != *self.parameters
        {
            self.parameters = Arc::new(lifted);
        }
        payload
    }
}

/// Follows 32-bit milliseconds over their wrap, for both kinds at once: zero stays the same moment for them.
#[derive(Debug, Default)]
struct WrappingClock {
    last: Option<i64>,
}

impl WrappingClock {
    fn unwrap(&mut self, timestamp: u32) -> i64 {
        let last = self.last.unwrap_or(timestamp.into());
        let step = timestamp.wrapping_sub(last as u32) as i32;
        *self.last.insert(last + i64::from(step))
    }
}

fn dropped(error: FlvError) -> Dropped {
    match error {
        FlvError::Malformed(_) => Dropped::Tag(DropReason::TagMalformed),
        FlvError::NoConfiguration(_) => Dropped::Tag(DropReason::TagBeforeSequenceHeader),
        FlvError::UnsupportedCodec(_) => Dropped::Codec(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use onmic_media::codec::aac;

    fn audio_config(rate: u32) -> Bytes {
        flv::write_audio_config(&Parameters::Aac(aac::Parameters::low_complexity(rate, 2).unwrap()))
    }

    fn audio_frame() -> Bytes {
        [&*flv::write_audio_header(Codec::Aac), b"sound"].concat().into()
    }

    #[test]
    fn audio_is_put_back_on_the_sample_grid_and_gaps_are_kept() {
        let mut publisher = Publisher::default();
        assert!(publisher.take(MediaKind::Audio, 0, audio_config(44_100)).unwrap().is_none());
        let mut take =
            |millis: u32| publisher.take(MediaKind::Audio, millis, audio_frame()).unwrap().expect("a frame").dts.0;
        for packet in 0..1000_i64 {
            let rounded = (packet * 1024 * 1000 + 22_050) / 44_100;
            assert_eq!(take(u32::try_from(rounded).unwrap()), packet * 1024);
        }
        let after_gap = 1000 * 1024 * 1000 / 44_100 + 500;
        let stated = Ticks(after_gap.into()).rescale(ClockRate::MILLIS, ClockRate::new(44_100).unwrap());
        assert_eq!(take(after_gap), stated.0);
    }

    #[test]
    fn timestamps_with_jitter_around_a_true_clock_are_put_back_on_the_grid() {
        let (rate, samples) = (ClockRate::new(48_000).unwrap(), 1024);
        let mut grid = SampleGrid::default();
        let mut places = Vec::new();
        for packet in 0..1000_i64 {
            let shaken = packet * samples + (packet * 37 % 160 - 80) * 48;
            places.push((packet, grid.place(Ticks(shaken), Ticks(samples), rate).0));
        }
        let odd = places.windows(2).filter(|pair| pair[1].1 - pair[0].1 != samples).count();
        assert!(odd <= 2, "moved {odd} times, to the middle of the jitter");
        assert!(places.iter().skip(100).all(|(packet, place)| (place - packet * samples).abs() <= 40 * 48));
    }

    #[test]
    fn a_short_gap_is_kept_and_a_drifting_clock_is_followed() {
        let (rate, samples) = (ClockRate::new(48_000).unwrap(), 1024);
        let gap = |packet: i64| packet * samples + if packet < 100 { 0 } else { 60 * 48 };
        let drift = |packet: i64| packet * samples + packet * samples / 1_000;
        for stated in [&gap as &dyn Fn(i64) -> i64, &drift] {
            let mut grid = SampleGrid::default();
            let off =
                (0..3_000).map(|packet| grid.place(Ticks(stated(packet)), Ticks(samples), rate).0 - stated(packet));
            let off: Vec<_> = off.collect();
            assert!(off.iter().all(|off| off.abs() <= 65 * 48), "{:?}", off.iter().max());
            assert!(off[200..].iter().all(|off| off.abs() <= 42 * 48));
        }
    }

    #[test]
    fn time_goes_on_over_the_wrap_and_for_both_kinds_alike() {
        let mut clock = WrappingClock::default();
        assert_eq!(clock.unwrap(u32::MAX - 10), i64::from(u32::MAX) - 10);
        assert_eq!(clock.unwrap(12), i64::from(u32::MAX) + 13);
        assert_eq!(clock.unwrap(u32::MAX - 3), i64::from(u32::MAX) - 3, "the other kind has not wrapped yet");
        assert_eq!(clock.unwrap(30), i64::from(u32::MAX) + 31);
    }

    #[test]
    fn a_repeated_configuration_changes_nothing_and_a_frame_without_one_is_dropped() {
        let mut publisher = Publisher::default();
        let early = publisher.take(MediaKind::Audio, 0, audio_frame());
        assert_eq!(early.unwrap_err(), Dropped::Tag(DropReason::TagBeforeSequenceHeader));
        publisher.take(MediaKind::Audio, 0, audio_config(48_000)).unwrap();
        let first = publisher.take(MediaKind::Audio, 0, audio_frame()).unwrap().unwrap();
        publisher.take(MediaKind::Audio, 21, audio_config(48_000)).unwrap();
        let second = publisher.take(MediaKind::Audio, 21, audio_frame()).unwrap().unwrap();
        assert!(Arc::ptr_eq(&first.parameters, &second.parameters));
        assert_eq!(second.dts.0, 1024);
        publisher.take(MediaKind::Audio, 42, audio_config(44_100)).unwrap();
        let third = publisher.take(MediaKind::Audio, 42, audio_frame()).unwrap().unwrap();
        assert_eq!(third.parameters.clock_rate().hz(), 44_100);
    }

    #[test]
    fn a_codec_that_cannot_be_carried_is_named() {
        let sound = Publisher::default().take(MediaKind::Audio, 0, Bytes::from_static(&[0x2f, 1, 2]));
        assert!(matches!(sound, Err(Dropped::Codec(sentence)) if sentence.contains("AAC")));
    }
}
