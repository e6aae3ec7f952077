//! Encoding: pictures and samples in, canonical payloads out, with the parameters that belong to them.
//!
//! Video is H.264 by x264 without any delay: each picture in is one access unit out, in the same order, and an IDR is only
//! where one was asked for. Audio is Opus or AAC at 48 kHz; the timestamps that come out already account for what the
//! encoder puts in front (312 samples with Opus, 1024 with AAC): they are where the first decoded sample belongs.

use std::sync::Arc;

use bytes::Bytes;
use ffmpeg_next::codec::{Context, Flags};
use ffmpeg_next::format::{Pixel, Sample, sample};
use ffmpeg_next::{ChannelLayout, Error as Cause, Packet, Rational, encoder, error, frame, picture};
use onmic_media::Parameters;
use onmic_media::codec::{Colour, Malformed, aac, h264, nal, opus};
use serde::{Deserialize, Serialize};

use super::ffi::{self, Surfaces};
use super::picture::Picture;
use super::samples::packed;
use crate::error::Error;

/// What every encoder of sound here takes.
pub const SAMPLE_RATE: u32 = 48_000;

/// Above this many pixels one thread may not be in time on a slow core; below, threads cost more than they bring.
const ONE_THREAD_PIXELS: u32 = 1280 * 720;

/// The peak against the mean, over the length of the buffer.
const PEAK_PERCENT: u64 = 120;
/// The rate control's buffer: the largest keyframe is about so much of a second.
const BUFFER_MILLIS: u64 = 750;

/// How H.264 is encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoSettings {
    /// x264's trade of time for size.
    pub preset: String,
    /// `baseline`, `main` or `high`. Browsers offer baseline and main.
    pub profile: String,
}

impl Default for VideoSettings {
    fn default() -> Self {
        Self { preset: "superfast".to_owned(), profile: "main".to_owned() }
    }
}

/// What encodes H.264.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// On the processor.
    #[default]
    X264,
    /// On an NVIDIA GPU.
    Nvenc,
    /// On an Intel or AMD GPU.
    Vaapi,
}

/// Which encoder is wanted, by the name FFmpeg gives it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum EncoderChoice {
    /// A GPU's if one opens, else the processor's.
    #[serde(rename = "auto")]
    Auto,
    /// See [`Backend::X264`].
    #[default]
    #[serde(rename = "libx264")]
    X264,
    /// See [`Backend::Nvenc`].
    #[serde(rename = "h264_nvenc")]
    Nvenc,
    /// See [`Backend::Vaapi`].
    #[serde(rename = "h264_vaapi")]
    Vaapi,
}

impl Backend {
    /// FFmpeg's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::X264 => "libx264",
            Self::Nvenc => "h264_nvenc",
            Self::Vaapi => "h264_vaapi",
        }
    }

    /// The first that opens and encodes a picture at once, of what `choice` allows. To be asked once, at start: takes as
    /// long as a GPU needs to answer. What was found is logged, with why others were not taken.
    pub fn choose(choice: EncoderChoice, settings: &VideoSettings) -> Result<Self, Error> {
        let candidates: &[Self] = match choice {
            EncoderChoice::Auto => &[Self::Nvenc, Self::Vaapi, Self::X264],
            EncoderChoice::X264 => &[Self::X264],
            EncoderChoice::Nvenc => &[Self::Nvenc],
            EncoderChoice::Vaapi => &[Self::Vaapi],
        };
        let mut refused = Err(Error::NoEncoder(candidates[0].name()));
        for backend in candidates {
            match backend.try_out(settings) {
                Ok(()) => {
                    tracing::info!(encoder = backend.name(), preset = settings.preset, wanted = ?choice, "H.264 encoder chosen");
                    return Ok(*backend);
                }
                Err(error) => {
                    tracing::info!(
                        encoder = backend.name(),
                        reason = error.sentence(),
                        "H.264 encoder not usable here"
                    );
                    refused = Err(error);
                }
            }
        }
        refused
    }

    fn try_out(self, settings: &VideoSettings) -> Result<(), Error> {
        let colour = Colour { primaries: 1, transfer: 1, matrix: 1, full_range: false };
        let picture = Picture { width: 640, height: 360, aspect: (1, 1), colour };
        let mut encoder = VideoEncoder::open_with(self, picture, 30.0, 1_000_000, settings)?;
        let mut grey = frame::Video::new(Pixel::YUV420P, 640, 360);
        (0..3).for_each(|plane| grey.data_mut(plane).fill(128));
        let unit = encoder.encode(&mut grey, true)?;
        if unit.keyframe { Ok(()) } else { Err(Error::Encode(Cause::InvalidData)) }
    }

    fn options(self, settings: &VideoSettings, pixels: u32) -> Vec<(&'static str, String)> {
        // An IDR comes when it is asked for, and only then.
        const NEVER: i32 = 1 << 24;
        match self {
            Self::X264 => {
                let threads = if pixels > ONE_THREAD_PIXELS { 2 } else { 1 };
                vec![
                    ("preset", settings.preset.clone()),
                    ("tune", "zerolatency".to_owned()),
                    ("profile", settings.profile.clone()),
                    ("threads", threads.to_string()), // Slices of one picture under zerolatency: they add no delay.
                    ("bf", "0".to_owned()),
                    ("g", NEVER.to_string()),
                    ("forced-idr", "1".to_owned()), // It is then an IDR and no mere I picture,
                    ("sc_threshold", "0".to_owned()), // and x264 adds none of its own.
                ]
            }
            Self::Nvenc => {
                // Its presets are p1 to p7; those of x264 say nothing to it.
                let own = settings.preset.strip_prefix('p').is_some_and(|number| number.parse::<u8>().is_ok());
                let preset = if own { settings.preset.as_str() } else { "p2" };
                vec![
                    ("preset", preset.to_owned()),
                    ("tune", "ull".to_owned()),
                    ("profile", settings.profile.clone()),
                    ("rc", "cbr".to_owned()),
                    ("delay", "0".to_owned()),
                    ("zerolatency", "1".to_owned()),
                    ("bf", "0".to_owned()),
                    ("g", NEVER.to_string()),
                    ("forced-idr", "1".to_owned()),
                    ("no-scenecut", "1".to_owned()),
                ]
            }
            Self::Vaapi => {
                let profile = if settings.profile == "baseline" { "constrained_baseline" } else { &settings.profile };
                vec![
                    ("profile", profile.to_owned()),
                    ("rc_mode", "CBR".to_owned()),
                    ("async_depth", "1".to_owned()),
                    ("bf", "0".to_owned()),
                    ("g", (1 << 16).to_string()), // As many as its syntax element can count.
                ]
            }
        }
    }
}

/// One access unit.
#[derive(Clone, Debug)]
pub struct AccessUnit {
    /// Canonical, without parameter sets.
    pub payload: Bytes,
    /// An IDR.
    pub keyframe: bool,
}

/// An H.264 encoder for pictures of one size.
pub struct VideoEncoder {
    encoder: encoder::video::Encoder,
    /// Where pictures go that a GPU encodes from its own memory.
    upload: Option<Surfaces>,
    picture: Picture,
    frame_rate: f64,
    bitrate_bps: u64,
    ordinal: i64,
    parameters: Arc<Parameters>,
}

impl VideoEncoder {
    /// `frame_rate` is what the rate control reckons with; timestamps are not its business.
    pub fn open(picture: Picture, frame_rate: f64, bitrate_bps: u64, settings: &VideoSettings) -> Result<Self, Error> {
        Self::open_with(Backend::X264, picture, frame_rate, bitrate_bps, settings)
    }

    /// As [`VideoEncoder::open`], by a backend of choice.
    pub fn open_with(
        backend: Backend,
        picture: Picture,
        frame_rate: f64,
        bitrate_bps: u64,
        settings: &VideoSettings,
    ) -> Result<Self, Error> {
        let name = backend.name();
        ffi::log_to_tracing();
        let codec = encoder::find_by_name(name).ok_or(Error::NoEncoder(name))?;
        let mut context = Context::new_with_codec(codec);
        context.set_flags(Flags::GLOBAL_HEADER);
        let colour = picture.colour;
        set_options(&mut context, &backend.options(settings, picture.pixels()))?;
        let options = [
            ("colorspace", colour.matrix.to_string()),
            ("color_primaries", colour.primaries.to_string()),
            ("color_trc", colour.transfer.to_string()),
            ("color_range", if colour.full_range { "pc" } else { "tv" }.to_owned()),
        ];
        set_options(&mut context, &options)?;
        set_options(&mut context, &rate_options(bitrate_bps))?;
        let failed = |cause| Error::Open { name, cause };
        let mut video = context.encoder().video().map_err(failed)?;
        video.set_width(picture.width);
        video.set_height(picture.height);
        let upload = match backend {
            Backend::Vaapi => Some(Surfaces::open(&mut video, picture.width, picture.height).map_err(failed)?),
            Backend::X264 | Backend::Nvenc => None,
        };
        video.set_format(if upload.is_some() { Pixel::VAAPI } else { Pixel::YUV420P });
        video.set_aspect_ratio(Rational::new(picture.aspect.0, picture.aspect.1.max(1)));
        let thousandths = (frame_rate * 1000.0).round().clamp(1.0, 1e6) as i32;
        video.set_frame_rate(Some(Rational::new(thousandths, 1000)));
        video.set_time_base(Rational::new(1000, thousandths));
        let encoder = video.open_as(codec).map_err(failed)?;
        let parameters = Arc::new(Parameters::H264(parameters(&ffi::extradata(&encoder)).map_err(Error::Parameters)?));
        Ok(Self { encoder, upload, picture, frame_rate, bitrate_bps, ordinal: 0, parameters })
    }

    /// Encodes a picture that [`super::picture::Converter`] brought into form.
    pub fn encode(&mut self, frame: &mut frame::Video, idr: bool) -> Result<AccessUnit, Error> {
        frame.set_pts(Some(self.ordinal));
        // A decoder left its own picture type there, which would be taken for a wish.
        frame.set_kind(if idr { picture::Type::I } else { picture::Type::None });
        self.ordinal += 1;
        match &self.upload {
            Some(surfaces) => {
                let surface = surfaces.upload(&interleaved_chroma(frame)).map_err(Error::Encode)?;
                self.encoder.send_frame(&surface).map_err(Error::Encode)?;
            }
            None => self.encoder.send_frame(frame).map_err(Error::Encode)?,
        }
        let mut packet = Packet::empty();
        self.encoder.receive_packet(&mut packet).map_err(Error::Encode)?;
        let canonical = nal::from_annex_b(packet.data().unwrap_or_default());
        let (payload, _) = h264::strip_parameter_sets(canonical);
        Ok(AccessUnit { payload, keyframe: packet.is_key() })
    }

    /// What decoders must know; the same `Arc` for the encoder's life.
    pub fn parameters(&self) -> &Arc<Parameters> {
        &self.parameters
    }

    /// What it was opened for.
    pub fn picture(&self) -> &Picture {
        &self.picture
    }

    /// What it was opened for.
    pub fn frame_rate(&self) -> f64 {
        self.frame_rate
    }

    /// In force now.
    pub fn bitrate_bps(&self) -> u64 {
        self.bitrate_bps
    }

    /// From the next picture on.
    pub fn set_bitrate(&mut self, bitrate_bps: u64) -> Result<(), Error> {
        self.bitrate_bps = bitrate_bps;
        set_options(&mut self.encoder, &rate_options(bitrate_bps))
    }
}

/// The same picture in the form that GPUs keep: NV12.
fn interleaved_chroma(from: &frame::Video) -> frame::Video {
    let mut to = frame::Video::new(Pixel::NV12, from.width(), from.height());
    to.set_pts(from.pts());
    to.set_kind(from.kind());
    let width = from.width() as usize;
    let (to_stride, from_stride) = (to.stride(0), from.stride(0));
    let luma = to.data_mut(0).chunks_mut(to_stride).zip(from.data(0).chunks(from_stride));
    luma.for_each(|(to, from)| to[..width].copy_from_slice(&from[..width]));
    let stride = to.stride(1);
    let chroma = from.data(1).chunks(from.stride(1)).zip(from.data(2).chunks(from.stride(2)));
    for (to, (blue, red)) in to.data_mut(1).chunks_mut(stride).zip(chroma) {
        for (pair, (blue, red)) in to.as_chunks_mut::<2>().0.iter_mut().zip(blue.iter().zip(red)).take(width / 2) {
            *pair = [*blue, *red];
        }
    }
    to
}

fn rate_options(bitrate_bps: u64) -> [(&'static str, String); 3] {
    let peak = bitrate_bps * PEAK_PERCENT / 100;
    [
        ("b", bitrate_bps.to_string()),
        ("maxrate", peak.to_string()),
        ("bufsize", (peak * BUFFER_MILLIS / 1000).to_string()),
    ]
}

fn set_options(context: &mut Context, options: &[(&str, String)]) -> Result<(), Error> {
    options.iter().try_for_each(|(name, value)| {
        let wrong = |cause| Error::Option { name: (*name).to_owned(), value: value.clone(), cause };
        ffi::set_option(context, name, value).map_err(wrong)
    })
}

/// From the header x264 writes once, with an SPS that tells decoders not to wait for reordering.
fn parameters(extradata: &[u8]) -> Result<h264::Parameters, Malformed> {
    let of_type = |wanted| -> Vec<Bytes> {
        let units = nal::annex_b_units(extradata).filter(|nal| h264::nal_type(nal) == wanted);
        units.map(Bytes::copy_from_slice).collect()
    };
    let parameters = h264::Parameters::from_parameter_sets(of_type(7), of_type(8))?;
    Ok(if parameters.declares_no_reordering() { parameters } else { parameters.without_reordering() })
}

/// What sound is encoded to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AudioSettings {
    /// 20 ms packets with in-band error correction.
    Opus {
        /// Of all channels together.
        bitrate_bps: u32,
        /// 0 to 10: CPU for quality.
        complexity: u8,
    },
    /// AAC-LC by FFmpeg's encoder and its fast search.
    Aac {
        /// Of all channels together.
        bitrate_bps: u32,
    },
}

/// One packet of sound.
#[derive(Clone, Debug)]
pub struct AudioPacket {
    /// In samples: where its first decoded sample belongs.
    pub pts: i64,
    /// Canonical.
    pub payload: Bytes,
}

/// An encoder of sound.
pub struct AudioEncoder {
    encoder: encoder::audio::Encoder,
    sample_rate: u32,
    channels: u16,
    planar: bool,
    parameters: Arc<Parameters>,
}

impl AudioEncoder {
    /// For one or two channels at 48 kHz.
    pub fn open(settings: AudioSettings, channels: u16) -> Result<Self, Error> {
        Self::open_at(SAMPLE_RATE, settings, channels)
    }

    /// For one or two channels at `sample_rate`, which with Opus is 48 kHz.
    pub fn open_at(sample_rate: u32, settings: AudioSettings, channels: u16) -> Result<Self, Error> {
        ffi::log_to_tracing();
        let channels = channels.clamp(1, 2);
        let (name, options) = match settings {
            AudioSettings::Opus { bitrate_bps, complexity } => {
                let options = vec![
                    ("b", bitrate_bps.to_string()),
                    ("application", "audio".to_owned()),
                    ("frame_duration", "20".to_owned()),
                    ("compression_level", complexity.to_string()),
                    ("fec", "1".to_owned()),
                    ("packet_loss", "5".to_owned()), // Without an expected loss libopus spends nothing on correction.
                ];
                ("libopus", options)
            }
            AudioSettings::Aac { bitrate_bps } => {
                ("aac", vec![("b", bitrate_bps.to_string()), ("aac_coder", "fast".to_owned())])
            }
        };
        let codec = encoder::find_by_name(name).ok_or(Error::NoEncoder(name))?;
        let mut context = Context::new_with_codec(codec);
        context.set_flags(Flags::GLOBAL_HEADER);
        set_options(&mut context, &options)?;
        let planar = matches!(settings, AudioSettings::Aac { .. });
        let failed = |cause| Error::Open { name, cause };
        let mut audio = context.encoder().audio().map_err(failed)?;
        audio.set_rate(sample_rate as i32);
        audio.set_format(format(planar));
        audio.set_channel_layout(ChannelLayout::default(i32::from(channels)));
        audio.set_channels(i32::from(channels));
        audio.set_time_base(Rational::new(1, sample_rate as i32));
        let encoder = audio.open_as(codec).map_err(failed)?;
        let parameters = match settings {
            AudioSettings::Opus { .. } => Parameters::Opus(opus::Parameters::new(channels as u8)),
            AudioSettings::Aac { .. } => {
                let parsed = aac::Parameters::from_asc(&ffi::extradata(&encoder));
                Parameters::Aac(parsed.map_err(Error::Parameters)?)
            }
        };
        Ok(Self { encoder, sample_rate, channels, planar, parameters: Arc::new(parameters) })
    }

    /// Samples per channel in a block.
    pub fn block(&self) -> usize {
        self.encoder.frame_size() as usize
    }

    /// Samples by which the first packet begins before the first sample that is encoded.
    pub fn priming(&self) -> i64 {
        ffi::initial_padding(&self.encoder)
    }

    /// Samples per second it was opened for.
    pub fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    /// Channels it was opened for.
    pub fn channels(&self) -> u16 {
        self.channels
    }

    /// What decoders must know.
    pub fn parameters(&self) -> &Arc<Parameters> {
        &self.parameters
    }

    /// Encodes one block of interleaved samples whose first belongs at `pts`, which never decreases. What is ready goes to
    /// `out`: with AAC the block before.
    pub fn encode(&mut self, interleaved: &[f32], pts: i64, out: &mut Vec<AudioPacket>) -> Result<(), Error> {
        let channels = usize::from(self.channels);
        let mut frame = if self.planar {
            let layout = ChannelLayout::default(i32::from(self.channels));
            let mut frame = frame::Audio::new(format(true), interleaved.len() / channels, layout);
            frame.set_rate(self.sample_rate);
            for channel in 0..channels {
                let samples = interleaved.iter().skip(channel).step_by(channels);
                frame.plane_mut::<f32>(channel).iter_mut().zip(samples).for_each(|(to, from)| *to = *from);
            }
            frame
        } else {
            packed(interleaved, self.sample_rate, self.channels)
        };
        frame.set_pts(Some(pts));
        self.encoder.send_frame(&frame).map_err(Error::Encode)?;
        loop {
            let mut packet = Packet::empty();
            match self.encoder.receive_packet(&mut packet) {
                Ok(()) => {}
                Err(Cause::Other { errno: error::EAGAIN } | Cause::Eof) => return Ok(()),
                Err(cause) => return Err(Error::Encode(cause)),
            }
            let payload = Bytes::copy_from_slice(packet.data().unwrap_or_default());
            out.push(AudioPacket { pts: packet.pts().unwrap_or(pts), payload });
        }
    }
}

fn format(planar: bool) -> Sample {
    Sample::F32(if planar { sample::Type::Planar } else { sample::Type::Packed })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(width: u32, height: u32) -> Picture {
        Picture { width, height, aspect: (1, 1), colour: Colour::unspecified(false) }
    }

    fn grey(picture: &Picture, luma: u8) -> frame::Video {
        let mut frame = frame::Video::new(Pixel::YUV420P, picture.width, picture.height);
        frame.data_mut(0).fill(luma);
        frame.data_mut(1).fill(128);
        frame.data_mut(2).fill(128);
        frame
    }

    #[test]
    fn every_picture_is_an_access_unit_and_idrs_come_only_when_asked() {
        for (width, height) in [(320, 240), (1920, 1080)] {
            let picture = picture(width, height);
            let mut encoder = VideoEncoder::open(picture, 30.0, 1_000_000, &VideoSettings::default()).unwrap();
            for number in 0..12_u8 {
                // Each picture is a scene cut, which must not bring an IDR.
                let unit = encoder.encode(&mut grey(&picture, number * 20), number == 5).unwrap();
                assert_eq!(unit.keyframe, number == 0 || number == 5, "{number}");
                assert_eq!(unit.keyframe, h264::access_unit_is_keyframe(&unit.payload));
            }
        }
    }

    #[test]
    fn the_parameters_say_what_was_opened_and_that_nothing_is_reordered() {
        let encoder = VideoEncoder::open(picture(640, 360), 25.0, 500_000, &VideoSettings::default()).unwrap();
        let Parameters::H264(h264) = &**encoder.parameters() else { panic!("not H.264") };
        assert_eq!((h264.width, h264.height, h264.profile_idc, h264.max_reorder), (640, 360, 77, Some(0)));
        assert!(h264.declares_no_reordering());
    }

    #[test]
    fn an_unknown_preset_is_refused_with_a_name() {
        let settings = VideoSettings { preset: "warp".to_owned(), ..VideoSettings::default() };
        let error = VideoEncoder::open(picture(320, 240), 30.0, 500_000, &settings).err().unwrap();
        assert!(error.sentence().contains("libx264"), "{}", error.sentence());
    }

    #[test]
    fn every_option_of_every_backend_is_one_that_this_ffmpeg_knows() {
        let settings = VideoSettings::default();
        for backend in [Backend::X264, Backend::Nvenc, Backend::Vaapi] {
            let Some(codec) = encoder::find_by_name(backend.name()) else { continue };
            let mut context = Context::new_with_codec(codec);
            set_options(&mut context, &backend.options(&settings, 100)).unwrap();
        }
    }

    #[test]
    fn the_encoder_chosen_is_one_that_encodes() {
        let settings = VideoSettings::default();
        assert_eq!(Backend::choose(EncoderChoice::X264, &settings).unwrap(), Backend::X264);
        // Whatever this machine has, something is found.
        let found = Backend::choose(EncoderChoice::Auto, &settings).unwrap();
        assert!(found.try_out(&settings).is_ok(), "{found:?}");
        let misspelt = VideoSettings { preset: "warp".to_owned(), ..settings };
        assert!(Backend::choose(EncoderChoice::X264, &misspelt).is_err());
        assert_eq!(serde_json::to_string(&EncoderChoice::Nvenc).unwrap(), r#""h264_nvenc""#);
    }

    #[test]
    fn chroma_is_interleaved_for_gpus() {
        let mut from = frame::Video::new(Pixel::YUV420P, 34, 6);
        (0..3).for_each(|plane| from.data_mut(plane).fill(10 * plane as u8 + 1));
        let to = interleaved_chroma(&from);
        assert_eq!((to.format(), to.data(0)[33], &to.data(1)[..4]), (Pixel::NV12, 1, &[11, 21, 11, 21][..]));
        assert_eq!(&to.data(1)[2 * to.stride(1) + 30..][..4], [11, 21, 11, 21]);
    }

    #[test]
    fn timestamps_account_for_what_encoders_put_in_front() {
        let opus = AudioSettings::Opus { bitrate_bps: 64_000, complexity: 5 };
        for (settings, first, second) in [(opus, -312, 648), (AudioSettings::Aac { bitrate_bps: 64_000 }, -1024, 0)] {
            let mut encoder = AudioEncoder::open(settings, 2).unwrap();
            let block = vec![0.0; encoder.block() * 2];
            let mut packets = Vec::new();
            for number in 0..4 {
                encoder.encode(&block, number * encoder.block() as i64, &mut packets).unwrap();
            }
            assert_eq!(encoder.priming(), -first);
            assert_eq!((packets[0].pts, packets[1].pts), (first, second));
        }
    }
}
