//! Turns FLV tag bodies with RTMP's timestamps into arrivals.
//!
//! Invariants: a frame always carries parameters, the same `Arc` until they change. They come from sequence headers and from
//! the frames themselves, which [`InBand`] reads: a header may be missing, late, repeated or outdated. A tag that cannot be
//! used costs itself. A rendition of video begins with a keyframe, and its frames are whole pictures ([`video`]). Audio lies on the
//! sample grid, because the milliseconds of RTMP are a rounding of it.

mod video;

use std::sync::Arc;

use bytes::Bytes;
use onmic_media::codec::{InBand, aac, opus};
use onmic_media::flv::{self, AudioTag, FlvError, VIDEO_RENDITIONS_MAX, VideoTag};
use onmic_media::{Arrival, ClockRate, Codec, DropReason, LeftOut, MediaKind, Parameters, Rendition, Ticks};

use self::video::VideoLine;
use super::limits::RtmpLimits;

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
    /// No parameters have come for frames of this codec.
    NoParameters(Codec),
    /// It is of a codec that this server does not carry, by its number or FourCC.
    UnsupportedCodec(String),
    /// It is of a further rendition, and cannot be used for this reason.
    OfFurther(DropReason),
}

impl Dropped {
    /// Returns the reason that it is counted by.
    pub fn reason(&self) -> DropReason {
        match self {
            Self::Tag(reason) | Self::OfFurther(reason) => *reason,
            Self::NoParameters(_) => DropReason::TagBeforeSequenceHeader,
            Self::UnsupportedCodec(_) => DropReason::TagUnsupportedCodec,
        }
    }

    /// Returns what the publisher can do something about.
    pub fn cause(self) -> Option<LeftOut> {
        match self {
            Self::NoParameters(codec) => Some(LeftOut::NoParameters(codec)),
            Self::UnsupportedCodec(codec) => Some(LeftOut::UnsupportedCodec(codec)),
            Self::Tag(DropReason::TagBeforeKeyframe) => Some(LeftOut::NoKeyframe),
            Self::Tag(DropReason::TagOtherTrack) => Some(LeftOut::OtherTrack),
            Self::OfFurther(DropReason::TagUnsupportedCodec) => Some(LeftOut::OtherTrack),
            Self::Tag(_) | Self::OfFurther(_) => None,
        }
    }
}

/// States what a tag is to the tracks.
#[derive(Clone, Debug)]
pub enum Taken {
    /// A frame. There may be more: see [`Publisher::more`].
    Frame(Arrival),
    /// A configuration, or units that are not a picture or not a whole one: parameter sets, SEI, slices.
    Configuration,
    /// The end of a sequence.
    End,
    /// The end of a further rendition of video.
    Ended(Rendition),
    /// Nothing of the main tracks.
    Nothing,
}

/// Turns the tags of one publisher into arrivals.
#[derive(Debug)]
pub struct Publisher {
    tags: flv::Reader,
    clock: WrappingClock,
    /// The renditions of video.
    video: [Option<Box<VideoLine>>; VIDEO_RENDITIONS_MAX],
    /// The largest picture that comes in several tags, in bytes.
    picture_bytes: usize,
    /// The further renditions that have been told of.
    told: Vec<Rendition>,
    audio: Option<AudioLine>,
    /// ADTS frames that came in one tag with the last one.
    rest: Bytes,
    last_millis: i64,
    other_tracks: u64,
}

#[derive(Debug)]
struct AudioLine {
    in_band: InBand,
    grid: SampleGrid,
    /// The clock that the grid counts on.
    rate: Option<ClockRate>,
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

impl Default for Publisher {
    fn default() -> Self {
        Self::new(RtmpLimits::default().message_bytes)
    }
}

impl Publisher {
    /// Begins with no track. A picture that comes in several tags has at most `picture_bytes`.
    pub fn new(picture_bytes: usize) -> Self {
        Self {
            tags: flv::Reader::default(),
            clock: WrappingClock::default(),
            video: Default::default(),
            picture_bytes,
            told: Vec::new(),
            audio: None,
            rest: Bytes::new(),
            last_millis: 0,
            other_tracks: 0,
        }
    }

    /// Takes the next tag body. Afterwards [`Publisher::more`] may have further frames of it.
    pub fn take(&mut self, kind: MediaKind, timestamp: u32, body: Bytes) -> Result<Taken, Dropped> {
        let millis = self.clock.unwrap(kind, timestamp);
        self.rest = Bytes::new();
        self.last_millis = millis;
        let before = self.tags.other_tracks();
        let taken = match kind {
            MediaKind::Video => self.video(millis, body),
            MediaKind::Audio => self.audio(millis, body),
            MediaKind::Data => Err(Dropped::Tag(DropReason::DataNotCarried)),
        };
        let told = taken.as_ref().is_err_and(|dropped| dropped.reason() == DropReason::TagOtherTrack);
        self.other_tracks += (self.tags.other_tracks() - before).saturating_sub(u64::from(told));
        taken
    }

    /// Returns what else the tag that was taken last has brought: the next audio frame, or the next tag of a further rendition.
    pub fn more(&mut self) -> Option<Result<Taken, Dropped>> {
        let payload = std::mem::take(&mut self.rest);
        if !payload.is_empty() {
            return Some(self.audio_frame(self.last_millis, Codec::Aac, payload).map(Taken::Frame));
        }
        let (rendition, tag) = self.tags.next_further()?;
        let ends = matches!(tag, Ok(VideoTag::EndOfSequence));
        let millis = self.last_millis;
        let taken = self.line(rendition).take(tag, millis);
        if !ends {
            return Some(taken.map_err(|dropped| Dropped::OfFurther(dropped.reason())));
        }
        // The last picture of a rendition that ends is not worth another turn.
        self.video[usize::from(rendition.0)] = None;
        Some(Ok(Taken::Ended(rendition)))
    }

    /// Returns the next picture that waits for the tag that begins the one after it, because the publisher ends.
    pub fn finish(&mut self) -> Option<Arrival> {
        self.video.iter_mut().flatten().find_map(|line| line.finish())
    }

    /// Returns further renditions that are announced, if there are others than at the last call.
    pub fn take_announced(&mut self) -> Option<&[Rendition]> {
        if self.tags.further_renditions().all(|rendition| self.told.contains(&rendition)) {
            return None;
        }
        self.told = self.tags.further_renditions().collect();
        Some(&self.told)
    }

    /// Returns how many frames and configurations of further tracks stood in tags beside those that were taken, since the last call.
    pub fn take_other_tracks(&mut self) -> u64 {
        std::mem::take(&mut self.other_tracks)
    }

    fn video(&mut self, millis: i64, body: Bytes) -> Result<Taken, Dropped> {
        let before = self.tags.main_track(MediaKind::Video);
        let tag = self.tags.parse_video(body);
        if before.is_some_and(|before| self.tags.main_track(MediaKind::Video) != Some(before)) {
            self.line(Rendition::MAIN).begin_anew(); // Another track goes on, even if its header is the same.
        }
        self.line(Rendition::MAIN).take(tag, millis)
    }

    /// Returns the line of a rendition that [`flv::Reader`] has named.
    fn line(&mut self, rendition: Rendition) -> &mut VideoLine {
        let new = || Box::new(VideoLine::new(rendition, self.picture_bytes));
        self.video[usize::from(rendition.0)].get_or_insert_with(new)
    }

    fn audio(&mut self, millis: i64, body: Bytes) -> Result<Taken, Dropped> {
        let (codec, payload) = match self.tags.parse_audio(body).map_err(dropped)? {
            AudioTag::Config(parameters) => {
                let is_known = |line: &AudioLine| line.in_band.parameters().is_some_and(|known| **known == parameters);
                if !self.audio.as_ref().is_some_and(is_known) {
                    self.audio = Some(AudioLine::new(parameters.codec(), Some(Arc::new(parameters))));
                }
                return Ok(Taken::Configuration);
            }
            AudioTag::Frame { codec, payload } => (codec, payload),
            AudioTag::EndOfSequence => return Ok(Taken::End),
            AudioTag::Ignored(ignored) => return Err(Dropped::Tag(ignored.reason())),
        };
        self.audio_frame(millis, codec, payload).map(Taken::Frame)
    }

    fn audio_frame(&mut self, millis: i64, codec: Codec, payload: Bytes) -> Result<Arrival, Dropped> {
        let line = match &mut self.audio {
            Some(line) if line.in_band.codec() == codec => line,
            Some(line) if line.grid.next.is_some() => return Err(Dropped::NoParameters(codec)),
            line => line.insert(AudioLine::new(codec, None)),
        };
        let payload = match codec {
            Codec::Aac => {
                let (first, rest) = aac::split_adts(payload);
                self.rest = rest;
                first
            }
            _ => payload,
        };
        let malformed = Dropped::Tag(DropReason::TagMalformed);
        let payload = line.in_band.take(payload).map_err(|_| malformed.clone())?;
        if payload.is_empty() {
            return Err(Dropped::Tag(DropReason::TagEmpty)); // A header of ADTS alone.
        }
        let parameters = line.in_band.parameters().ok_or(Dropped::NoParameters(codec))?.clone();
        let samples = match &*parameters {
            Parameters::Aac(aac) => aac.frame_length,
            _ => opus::packet_duration(&payload).ok_or(malformed)?,
        };
        let rate = parameters.clock_rate();
        if line.rate.replace(rate).is_some_and(|before| before != rate) {
            line.grid = SampleGrid::default();
        }
        let dts = line.grid.place(Ticks(millis).rescale(ClockRate::MILLIS, rate), Ticks(samples.into()), rate);
        Ok(Arrival { rendition: Rendition::MAIN, dts, pts: dts, keyframe: true, parameters, payload })
    }
}

impl AudioLine {
    fn new(codec: Codec, known: Option<Arc<Parameters>>) -> Self {
        Self { in_band: InBand::new(codec, known), grid: SampleGrid::default(), rate: None }
    }
}

/// Follows 32-bit milliseconds over their wrap. Zero is the same moment for both kinds: a new one is followed from the
/// other's last. After that each is followed by itself, because between two that are half of the range apart every step
/// could be forwards or backwards.
#[derive(Debug, Default)]
struct WrappingClock {
    lasts: [Option<i64>; MediaKind::ALL.len()],
}

impl WrappingClock {
    fn unwrap(&mut self, kind: MediaKind, timestamp: u32) -> i64 {
        let own = self.lasts[kind as usize];
        let last = own.or_else(|| self.lasts.iter().flatten().next().copied()).unwrap_or(timestamp.into());
        let step = timestamp.wrapping_sub(last as u32) as i32;
        *self.lasts[kind as usize].insert(last.saturating_add(step.into()))
    }
}

fn dropped(error: FlvError) -> Dropped {
    match error {
        FlvError::Malformed(_) => Dropped::Tag(DropReason::TagMalformed),
        FlvError::UnsupportedCodec(codec) => Dropped::UnsupportedCodec(codec),
    }
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;
    use onmic_media::codec::{h264, h265, nal};

    use super::*;

    const H264: &[u8] = include_bytes!("../../../media/tests/fixtures/h264_baseline.h264");
    const H265: &[u8] = include_bytes!("../../../media/tests/fixtures/h265_main.hevc");

    fn frame(taken: Result<Taken, Dropped>) -> Arrival {
        match taken {
            Ok(Taken::Frame(arrival)) => arrival,
            other => panic!("{other:?} is not a frame"),
        }
    }

    fn audio_config(rate: u32) -> Bytes {
        flv::write_audio_config(&Parameters::Aac(aac::Parameters::low_complexity(rate, 2).unwrap()))
    }

    fn audio_frame() -> Bytes {
        [&*flv::write_audio_header(Codec::Aac), b"sound"].concat().into()
    }

    #[test]
    fn audio_is_put_back_on_the_sample_grid_and_gaps_are_kept() {
        let mut publisher = Publisher::default();
        assert!(matches!(publisher.take(MediaKind::Audio, 0, audio_config(44_100)), Ok(Taken::Configuration)));
        let mut take = |millis: u32| frame(publisher.take(MediaKind::Audio, millis, audio_frame())).dts.0;
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
        let (video, audio) = (MediaKind::Video, MediaKind::Audio);
        assert_eq!(clock.unwrap(video, u32::MAX - 10), i64::from(u32::MAX) - 10);
        assert_eq!(clock.unwrap(video, 12), i64::from(u32::MAX) + 13);
        assert_eq!(clock.unwrap(audio, u32::MAX - 3), i64::from(u32::MAX) - 3, "the other kind has not wrapped yet");
        assert_eq!(clock.unwrap(video, 30), i64::from(u32::MAX) + 31);
        assert_eq!(clock.unwrap(audio, 17), i64::from(u32::MAX) + 18);
    }

    #[test]
    fn kinds_that_are_half_of_the_range_apart_stay_where_they_began() {
        const HALF: u32 = 1 << 31;
        let mut clock = WrappingClock::default();
        let places = [0, 1000, 2000].map(|millis| {
            let (audio, video) =
                (clock.unwrap(MediaKind::Audio, millis), clock.unwrap(MediaKind::Video, HALF + millis));
            (audio, video)
        });
        let began = places[0].1;
        assert_eq!(began.unsigned_abs(), HALF.into());
        assert_eq!(places, [0, 1000, 2000].map(|millis| (millis, began + millis)));
    }

    #[test]
    fn a_repeated_configuration_changes_nothing_and_a_frame_without_one_is_dropped() {
        let mut publisher = Publisher::default();
        let early = publisher.take(MediaKind::Audio, 0, audio_frame());
        assert_eq!(early.unwrap_err(), Dropped::NoParameters(Codec::Aac));
        publisher.take(MediaKind::Audio, 0, audio_config(48_000)).unwrap();
        let first = frame(publisher.take(MediaKind::Audio, 0, audio_frame()));
        publisher.take(MediaKind::Audio, 21, audio_config(48_000)).unwrap();
        let second = frame(publisher.take(MediaKind::Audio, 21, audio_frame()));
        assert!(Arc::ptr_eq(&first.parameters, &second.parameters));
        assert_eq!(second.dts.0, 1024);
        publisher.take(MediaKind::Audio, 42, audio_config(44_100)).unwrap();
        let third = frame(publisher.take(MediaKind::Audio, 42, audio_frame()));
        assert_eq!(third.parameters.clock_rate().hz(), 44_100);
    }

    #[test]
    fn a_codec_that_cannot_be_carried_is_named_and_costs_itself() {
        let mut publisher = Publisher::default();
        publisher.take(MediaKind::Audio, 0, audio_config(48_000)).unwrap();
        frame(publisher.take(MediaKind::Audio, 0, audio_frame()));
        for (kind, odd) in [
            (MediaKind::Audio, &b"\xf0\0"[..]),
            (MediaKind::Audio, b"\x70\0"),
            (MediaKind::Audio, b"\x2f\0"),
            (MediaKind::Audio, b"\xbf\0"),
            (MediaKind::Audio, b"\x81\0\0\0"),
            (MediaKind::Audio, b"\x91fLaC\0"),
            (MediaKind::Video, b"\x22\0"),
            (MediaKind::Video, b"\x91vvc1\0"),
        ] {
            let dropped = publisher.take(kind, 10, Bytes::from_static(odd)).unwrap_err();
            assert!(matches!(&dropped, Dropped::UnsupportedCodec(name) if !name.is_empty()), "{odd:x?}");
            assert_eq!(dropped.reason(), DropReason::TagUnsupportedCodec);
        }
        assert_eq!(frame(publisher.take(MediaKind::Audio, 21, audio_frame())).dts.0, 1024);
    }

    #[test]
    fn a_header_that_is_taken_back_before_any_frame_interrupts_nothing() {
        let whole = nal::from_annex_b(H264);
        let inter = Bytes::from([&b"\x27\x01\0\0\0"[..], &nal::join([&[0x41, 0x9a, 1][..]])].concat());
        let mut publisher = Publisher::default();
        let first = frame(publisher.take(MediaKind::Video, 0, [&b"\x17\x01\0\0\0"[..], &whole].concat().into()));
        let own = flv::write_video_config(&first.parameters);
        let other = h265::Parameters::from_access_unit(&nal::from_annex_b(H265)).map(Parameters::H265).unwrap();
        let other = flv::write_video_config(&other);
        for headers in [[&own, &other, &own].as_slice(), &[&other, &own], &[&other, &other, &own, &own]] {
            for header in headers {
                let taken = publisher.take(MediaKind::Video, 40, (*header).clone());
                assert!(matches!(taken, Ok(Taken::Configuration)));
            }
            let next = frame(publisher.take(MediaKind::Video, 40, inter.clone()));
            assert!(Arc::ptr_eq(&first.parameters, &next.parameters));
        }
        // A frame that was left out in between is missed by those behind it.
        publisher.take(MediaKind::Video, 80, other).unwrap();
        let dropped = Dropped::NoParameters(Codec::H264);
        assert_eq!(publisher.take(MediaKind::Video, 80, inter.clone()).unwrap_err(), dropped);
        publisher.take(MediaKind::Video, 120, own).unwrap();
        let dropped = Dropped::Tag(DropReason::TagBeforeKeyframe);
        assert_eq!(publisher.take(MediaKind::Video, 120, inter).unwrap_err(), dropped);
    }

    #[test]
    fn video_without_a_usable_sequence_header_is_described_by_its_keyframes() {
        for (codec, stream, head) in
            [(Codec::H264, H264, &b"\x17\x01\0\0\0"[..]), (Codec::H265, H265, b"\x91hvc1\0\0\0")]
        {
            let whole = nal::from_annex_b(stream);
            let empty: &[u8] = if codec == Codec::H264 { b"\x17\0\0\0\0" } else { b"\x90hvc1" };
            let broken = [empty, &[1, 2, 3]].concat();
            let bodies = [whole.clone(), nal::to_annex_b(&whole)].map(|payload| Bytes::from([head, &payload].concat()));
            for header in [None, Some(empty.to_vec()), Some(broken)] {
                for body in &bodies {
                    let mut publisher = Publisher::default();
                    if let Some(header) = header.clone() {
                        assert!(publisher.take(MediaKind::Video, 0, header.into()).is_err());
                    }
                    let first = frame(publisher.take(MediaKind::Video, 0, body.clone()));
                    assert_eq!((first.parameters.codec(), first.keyframe), (codec, true));
                    assert!(first.payload.len() < whole.len(), "parameter sets stand outside of frames");
                    let second = frame(publisher.take(MediaKind::Video, 40, body.clone()));
                    assert!(Arc::ptr_eq(&first.parameters, &second.parameters));
                    let late = publisher.take(MediaKind::Video, 80, flv::write_video_config(&first.parameters));
                    assert!(matches!(late, Ok(Taken::Configuration)));
                    let third = frame(publisher.take(MediaKind::Video, 80, body.clone()));
                    assert!(Arc::ptr_eq(&first.parameters, &third.parameters), "the header says nothing new");
                }
            }
        }
    }

    #[test]
    fn parameter_sets_in_tags_of_their_own_are_a_configuration() {
        let whole = nal::from_annex_b(H264);
        let mut publisher = Publisher::default();
        let mut frames = 0;
        for unit in nal::nal_units(&whole) {
            let body = [&b"\x27\x01\0\0\0"[..], &nal::join([unit])].concat();
            match publisher.take(MediaKind::Video, 0, body.into()) {
                Ok(Taken::Frame(arrival)) => {
                    assert!(arrival.keyframe || frames > 0);
                    assert_eq!(arrival.parameters.resolution(), Some((64, 48)));
                    frames += 1;
                }
                Ok(Taken::Configuration) => {}
                // Information that stands before the picture.
                other => assert_eq!(other.unwrap_err(), Dropped::Tag(DropReason::TagBeforeKeyframe)),
            }
        }
        assert!(frames > 0);
    }

    #[test]
    fn units_that_wait_for_a_picture_are_counted_when_another_configuration_or_the_end_comes() {
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            let mut publisher = Publisher::default();
            frame(publisher.take(
                MediaKind::Video,
                0,
                [&b"\x17\x01\0\0\0"[..], &nal::from_annex_b(H264)].concat().into(),
            ));
            let sei = Bytes::from([&b"\x27\x01\0\0\0"[..], &nal::join([&[6, 5, 0x80][..]])].concat());
            for _ in 0..2 {
                assert!(matches!(publisher.take(MediaKind::Video, 40, sei.clone()), Ok(Taken::Configuration)));
            }
            let other = h265::Parameters::from_access_unit(&nal::from_annex_b(H265)).map(Parameters::H265).unwrap();
            let header = flv::write_video_config(&other);
            assert!(matches!(publisher.take(MediaKind::Video, 80, header), Ok(Taken::Configuration)));
            let counted = recorder.handle().render();
            assert!(counted.contains("onmic_drops_total{reason=\"units_without_picture\"} 2"), "{counted}");
            let sei = Bytes::from([&b"\x91hvc1\0\0\0"[..], &nal::join([&[0x4e, 1, 5, 0x80][..]])].concat());
            assert!(matches!(publisher.take(MediaKind::Video, 80, sei), Ok(Taken::Configuration)));
        });
        let counted = recorder.handle().render();
        assert!(counted.contains("onmic_drops_total{reason=\"units_without_picture\"} 3"), "{counted}");
    }

    #[test]
    fn the_last_picture_of_a_sequence_whose_slices_came_one_by_one_is_not_kept_back() {
        let whole = nal::from_annex_b(H264);
        let tag = |payload: &[u8]| Bytes::from([&b"\x17\x01\0\0\0"[..], payload].concat());
        let [begins, goes_on] = [[0x65, 0x88, 1], [0x65, 0x42, 2]].map(|slice| nal::join([&slice[..]]));
        let mut publisher = Publisher::default();
        frame(publisher.take(MediaKind::Video, 0, tag(&whole)));
        frame(publisher.take(MediaKind::Video, 40, tag(&begins)));
        assert!(matches!(publisher.take(MediaKind::Video, 40, tag(&goes_on)), Ok(Taken::Configuration)));
        let last = frame(publisher.take(MediaKind::Video, 40, Bytes::from_static(b"\x17\x02\0\0\0")));
        assert_eq!((last.dts.0, last.payload), (3600, Bytes::from([&begins[..], &goes_on].concat())));
        assert!(matches!(publisher.take(MediaKind::Video, 40, Bytes::from_static(b"\x17\x02\0\0\0")), Ok(Taken::End)));
    }

    #[test]
    fn a_picture_in_several_tags_is_no_larger_than_a_message_may_be() {
        let whole = nal::from_annex_b(H264);
        let tag = |payload: &[u8]| Bytes::from([&b"\x17\x01\0\0\0"[..], payload].concat());
        let [begins, goes_on] = [[0x65, 0x88, 1], [0x65, 0x42, 2]].map(|slice| nal::join([&slice[..]]));
        let mut publisher = Publisher::new(whole.len());
        frame(publisher.take(MediaKind::Video, 0, tag(&whole)));
        frame(publisher.take(MediaKind::Video, 40, tag(&begins)));
        let mut more = || publisher.take(MediaKind::Video, 40, tag(&goes_on));
        let taken = (0..whole.len()).take_while(|_| more().is_ok()).count();
        assert_eq!(taken, whole.len() / 7 - 1);
        assert_eq!(more().unwrap_err(), Dropped::Tag(DropReason::FrameTooLarge));
    }

    #[test]
    fn a_track_that_takes_the_place_of_another_begins_with_a_keyframe_although_its_header_is_the_same() {
        let whole = nal::from_annex_b(H264);
        let units: Vec<_> = nal::nal_units(&whole).collect();
        let [key, inter] = [5, 1].map(|kind| nal::join(units.iter().copied().filter(|unit| unit[0] & 0x1f == kind)));
        let mut publisher = Publisher::default();
        let stated = frame(publisher.take(MediaKind::Video, 0, [&b"\x17\x01\0\0\0"[..], &whole].concat().into()));
        let parameters = stated.parameters;
        let record = flv::write_video_config(&parameters).slice(5..);
        let header = |track: u8| Bytes::from([&b"\x96\0avc1"[..], &[track], &record].concat());
        let coded = |track: u8, unit: &[u8]| Bytes::from([&b"\x96\x01avc1"[..], &[track, 0, 0, 0], unit].concat());

        let mut publisher = Publisher::default();
        assert!(matches!(publisher.take(MediaKind::Video, 0, header(1)), Ok(Taken::Configuration)));
        let first = frame(publisher.take(MediaKind::Video, 0, coded(1, &key)));
        frame(publisher.take(MediaKind::Video, 40, coded(1, &inter)));
        assert!(matches!(publisher.take(MediaKind::Video, 80, header(0)), Ok(Taken::Configuration)));
        let early = publisher.take(MediaKind::Video, 80, coded(0, &inter));
        assert_eq!(early.unwrap_err(), Dropped::Tag(DropReason::TagBeforeKeyframe));
        let next = frame(publisher.take(MediaKind::Video, 120, coded(0, &key)));
        assert!(next.keyframe && Arc::ptr_eq(&first.parameters, &next.parameters));
        frame(publisher.take(MediaKind::Video, 160, coded(0, &inter)));
    }

    #[test]
    fn one_frame_in_another_codec_does_not_end_a_track() {
        let whole = nal::from_annex_b(H264);
        let good = Bytes::from([&b"\x17\x01\0\0\0"[..], &whole].concat());
        let odd = Bytes::from([&b"\x91hvc1\0\0\0"[..], &nal::from_annex_b(H265)].concat());
        let mut publisher = Publisher::default();
        let first = frame(publisher.take(MediaKind::Video, 0, good.clone()));
        assert_eq!(publisher.take(MediaKind::Video, 20, odd).unwrap_err(), Dropped::NoParameters(Codec::H265));
        let next = frame(publisher.take(MediaKind::Video, 40, good));
        assert!(Arc::ptr_eq(&first.parameters, &next.parameters));

        publisher.take(MediaKind::Audio, 0, audio_config(48_000)).unwrap();
        frame(publisher.take(MediaKind::Audio, 0, audio_frame()));
        let opus = publisher.take(MediaKind::Audio, 10, Bytes::from_static(b"\x91Opus\xfc\xff\xfe"));
        assert_eq!(opus.unwrap_err(), Dropped::NoParameters(Codec::Opus));
        assert_eq!(frame(publisher.take(MediaKind::Audio, 21, audio_frame())).dts.0, 1024);
    }

    #[test]
    fn aac_in_adts_needs_no_header_and_several_frames_of_one_tag_are_taken() {
        let aac = aac::Parameters::low_complexity(48_000, 2).unwrap();
        let adts = [&aac.adts_header(5).unwrap()[..], b"sound"].concat();
        let body = |frames: usize| Bytes::from([&*flv::write_audio_header(Codec::Aac), &adts.repeat(frames)].concat());
        let mut publisher = Publisher::default();
        let first = frame(publisher.take(MediaKind::Audio, 0, body(1)));
        assert_eq!((&first.payload[..], &*first.parameters), (&b"sound"[..], &Parameters::Aac(aac.clone())));
        assert!(publisher.more().is_none());
        let mut places = vec![frame(publisher.take(MediaKind::Audio, 21, body(3))).dts.0];
        while let Some(more) = publisher.more() {
            places.push(frame(more).dts.0);
        }
        assert_eq!(places, [1024, 2048, 3072]);

        // With a header that is right it is the same, and one that is wrong is not believed.
        for (rate, expected) in [(48_000, 48_000), (44_100, 48_000)] {
            let mut publisher = Publisher::default();
            publisher.take(MediaKind::Audio, 0, audio_config(rate)).unwrap();
            let first = frame(publisher.take(MediaKind::Audio, 0, body(1)));
            assert_eq!((&first.payload[..], first.parameters.sample_rate()), (&b"sound"[..], Some(expected)));
        }
    }

    #[test]
    fn opus_av1_and_vp9_without_a_header_describe_themselves() {
        let opus = frame(Publisher::default().take(MediaKind::Audio, 0, Bytes::from_static(b"\x91Opus\xfc\xff\xfe")));
        assert_eq!(opus.parameters.channels(), Some(2));
        let av1: &[u8] = include_bytes!("../../../media/tests/fixtures/av1_main.obu");
        let vp9: &[u8] = include_bytes!("../../../media/tests/fixtures/vp9_profile0.ivf");
        let vp9_length = u32::from_le_bytes(vp9[32..36].try_into().unwrap()) as usize;
        for (head, payload) in [(b"\x91av01", av1), (b"\x91vp09", &vp9[44..44 + vp9_length])] {
            let taken = frame(Publisher::default().take(MediaKind::Video, 0, [&head[..], payload].concat().into()));
            assert!(taken.keyframe && taken.parameters.resolution() == Some((98, 66)), "{head:x?}");
        }
    }

    #[test]
    fn further_tracks_of_video_are_renditions_that_begin_with_a_keyframe_and_end() {
        let whole = nal::from_annex_b(H264);
        let parameters = Parameters::H264(h264::Parameters::from_access_unit(&whole).unwrap());
        let units: Vec<_> = nal::nal_units(&whole).collect();
        let [key, inter] = [5, 1].map(|kind| nal::join(units.iter().copied().filter(|unit| unit[0] & 0x1f == kind)));
        let record = flv::write_video_config(&parameters).slice(5..);
        let header = |track: u8| Bytes::from([&b"\x96\0avc1"[..], &[track], &record].concat());
        let coded = |track: u8, unit: &[u8]| Bytes::from([&b"\x96\x01avc1"[..], &[track, 0, 0, 0], unit].concat());
        let mut publisher = Publisher::default();
        let mut take = |millis, body| {
            let first = publisher.take(MediaKind::Video, millis, body);
            let rest: Vec<_> = std::iter::from_fn(|| publisher.more()).collect();
            let taken = [first].into_iter().chain(rest);
            let name = |taken: Result<Taken, Dropped>| match taken {
                Ok(Taken::Frame(arrival)) => Some(format!("{} at {}", arrival.rendition.0, arrival.dts.0 / 90)),
                Ok(Taken::Ended(rendition)) => Some(format!("{} ends", rendition.0)),
                Ok(Taken::Configuration | Taken::Nothing | Taken::End) => None,
                Err(dropped) => Some(format!("{dropped:?}")),
            };
            let names: Vec<_> = taken.filter_map(name).collect();
            (names.join(", "), publisher.take_announced().map(<[_]>::to_vec))
        };
        for track in 0..3 {
            assert_eq!(take(0, header(track)), (String::new(), None));
        }
        assert_eq!(take(0, coded(0, &key)), ("0 at 0".to_owned(), Some(vec![Rendition(1), Rendition(2)])));
        let early = format!("{:?}", Dropped::OfFurther(DropReason::TagBeforeKeyframe));
        assert_eq!(take(0, coded(1, &inter)), (early, None));
        assert_eq!(take(40, coded(2, &key)), ("2 at 40".to_owned(), None));
        assert_eq!(take(40, coded(1, &key)), ("1 at 40".to_owned(), None));
        assert_eq!(take(80, coded(2, &inter)), ("2 at 80".to_owned(), None));
        assert_eq!(take(80, Bytes::from_static(b"\x96\x02avc1\x01")), ("1 ends".to_owned(), None));
        assert_eq!(take(120, coded(2, &inter)), ("2 at 120".to_owned(), None));
        // Rendition 2 stands in for the main track, which has ended, and goes on.
        assert_eq!(take(160, Bytes::from_static(b"\x96\x02avc1\x00")), (String::new(), None));
        assert_eq!(take(160, coded(2, &inter)), ("2 at 160".to_owned(), None));
        assert_eq!(take(200, coded(2, &key)), ("0 at 200, 2 at 200".to_owned(), None));
    }

    #[test]
    fn tracks_beside_the_first_are_counted() {
        let mut publisher = Publisher::default();
        let two = Bytes::from_static(b"\x95\x11Opus\0\0\0\x03\xfc\xff\xfe\x01\0\0\x03\xfc\xff\xfe");
        frame(publisher.take(MediaKind::Audio, 0, two));
        assert_eq!((publisher.take_other_tracks(), publisher.take_other_tracks()), (1, 0));
        let other = publisher.take(MediaKind::Audio, 20, Bytes::from_static(b"\x95\x01Opus\x01\xfc\xff\xfe"));
        assert_eq!(other.unwrap_err(), Dropped::Tag(DropReason::TagOtherTrack));
        assert_eq!(publisher.take_other_tracks(), 0, "the tag itself is counted");
    }
}
