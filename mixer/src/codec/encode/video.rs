//! Encodes H.264 or VP8 without encoder delay: each raw frame becomes one access unit at once.

use std::sync::Arc;

use bytes::Bytes;
use ffmpeg_next::codec::{Context, Flags};
use ffmpeg_next::format::Pixel;
use ffmpeg_next::{Packet, Rational, encoder, frame, picture};
use onmic_media::codec::{Malformed, h264, nal, vp8};
use onmic_media::{Codec, Parameters};

use super::backend::{Backend, VideoSettings};
use super::set_options;
use crate::codec::ffi::{self, Surfaces};
use crate::codec::picture::Picture;
use crate::error::Error;

/// Holds one encoded access unit.
#[derive(Clone, Debug)]
pub struct AccessUnit {
    /// The payload in canonical form, without parameter sets.
    pub payload: Bytes,
    /// Whether the access unit is a keyframe, of H.264 an IDR.
    pub keyframe: bool,
}

/// Encodes frames of one size.
pub struct VideoEncoder {
    encoder: encoder::video::Encoder,
    /// The GPU memory that frames are copied to, if the encoder reads them from there.
    upload: Option<Surfaces>,
    backend: Backend,
    picture: Picture,
    frame_rate: f64,
    bitrate_bps: u64,
    ordinal: i64,
    parameters: Arc<Parameters>,
}

impl VideoEncoder {
    /// Opens an x264 encoder. The rate control assumes `frame_rate`. It does not look at timestamps.
    pub fn open(picture: Picture, frame_rate: f64, bitrate_bps: u64, settings: &VideoSettings) -> Result<Self, Error> {
        Self::open_with(Backend::X264, picture, frame_rate, bitrate_bps, settings)
    }

    /// Does the same as [`VideoEncoder::open`] with the given backend.
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
        set_options(&mut context, &backend.rate_options(bitrate_bps))?;
        let failed = |cause| Error::Open { name, cause };
        let mut video = context.encoder().video().map_err(failed)?;
        video.set_width(picture.width);
        video.set_height(picture.height);
        let upload = match backend {
            Backend::Vaapi => Some(Surfaces::open(&mut video, picture.width, picture.height).map_err(failed)?),
            Backend::X264 | Backend::Nvenc | Backend::Vpx => None,
        };
        video.set_format(if upload.is_some() { Pixel::VAAPI } else { Pixel::YUV420P });
        video.set_aspect_ratio(Rational::new(1, 1));
        let thousandths = (frame_rate * 1000.0).round().clamp(1.0, 1e6) as i32;
        video.set_frame_rate(Some(Rational::new(thousandths, 1000)));
        video.set_time_base(Rational::new(1000, thousandths));
        let encoder = video.open_as(codec).map_err(failed)?;
        let parameters = Arc::new(match backend.codec() {
            // Each keyframe repeats this. FFmpeg leaves libvpx at version 0.
            Codec::Vp8 => Parameters::Vp8(vp8::Parameters { width: picture.width, height: picture.height, version: 0 }),
            _ => Parameters::H264(parameters(&ffi::extradata(&encoder)).map_err(Error::Parameters)?),
        });
        Ok(Self { encoder, upload, backend, picture, frame_rate, bitrate_bps, ordinal: 0, parameters })
    }

    /// Encodes a frame that [`Converter`](crate::codec::picture::Converter) brought into form.
    pub fn encode(&mut self, frame: &mut frame::Video, idr: bool) -> Result<AccessUnit, Error> {
        frame.set_pts(Some(self.ordinal));
        // The decoder left its own picture type in the frame, and the encoder would take it for a request.
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
        let coded = packet.data().unwrap_or_default();
        let payload = match self.backend.codec() {
            Codec::H264 => h264::strip_parameter_sets(nal::from_annex_b(coded)).0,
            _ => Bytes::copy_from_slice(coded),
        };
        Ok(AccessUnit { payload, keyframe: packet.is_key() })
    }

    /// Returns the parameters that decoders need. It is the same `Arc` for the encoder's life.
    pub fn parameters(&self) -> &Arc<Parameters> {
        &self.parameters
    }

    /// Returns the form of the frames that it was opened for.
    pub fn picture(&self) -> &Picture {
        &self.picture
    }

    /// Returns the frame rate that it was opened for.
    pub fn frame_rate(&self) -> f64 {
        self.frame_rate
    }

    /// Returns the bitrate that is in force.
    pub fn bitrate_bps(&self) -> u64 {
        self.bitrate_bps
    }

    /// Sets the bitrate from the next frame on.
    pub fn set_bitrate(&mut self, bitrate_bps: u64) -> Result<(), Error> {
        self.bitrate_bps = bitrate_bps;
        set_options(&mut self.encoder, &self.backend.rate_options(bitrate_bps))
    }
}

/// Returns the same image in NV12, the form that GPUs take.
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

/// Reads the parameters from the header that the encoder writes once. Makes the SPS tell decoders not to wait for
/// reordering, if it does not.
fn parameters(extradata: &[u8]) -> Result<h264::Parameters, Malformed> {
    let of_type = |wanted| -> Vec<Bytes> {
        let units = nal::annex_b_units(extradata).filter(|nal| h264::nal_type(nal) == wanted);
        units.map(Bytes::copy_from_slice).collect()
    };
    let parameters = h264::Parameters::from_parameter_sets(of_type(7), of_type(8))?;
    Ok(if parameters.declares_no_reordering() { parameters } else { parameters.without_reordering() })
}

#[cfg(test)]
mod tests {
    use onmic_media::codec::Colour;

    use super::*;

    fn picture(width: u32, height: u32) -> Picture {
        Picture { width, height, colour: Colour::unspecified(false) }
    }

    fn grey(picture: &Picture, luma: u8) -> frame::Video {
        let mut frame = frame::Video::new(Pixel::YUV420P, picture.width, picture.height);
        frame.data_mut(0).fill(luma);
        frame.data_mut(1).fill(128);
        frame.data_mut(2).fill(128);
        frame
    }

    #[test]
    fn every_frame_becomes_one_access_unit_and_idrs_come_only_when_asked_for() {
        for (width, height) in [(320, 240), (1920, 1080)] {
            let picture = picture(width, height);
            let mut encoder = VideoEncoder::open(picture, 30.0, 1_000_000, &VideoSettings::default()).unwrap();
            for number in 0..12_u8 {
                // Each frame is a scene cut, which must not make an IDR.
                let unit = encoder.encode(&mut grey(&picture, number * 20), number == 5).unwrap();
                assert_eq!(unit.keyframe, number == 0 || number == 5, "{number}");
                assert_eq!(unit.keyframe, h264::access_unit_is_keyframe(&unit.payload));
            }
        }
    }

    #[test]
    fn vp8_has_one_frame_for_each_raw_frame_and_keyframes_only_when_asked_for() {
        for (width, height) in [(320, 240), (1280, 722)] {
            let picture = picture(width, height);
            let settings = VideoSettings::default();
            let mut encoder = VideoEncoder::open_with(Backend::Vpx, picture, 30.0, 1_000_000, &settings).unwrap();
            for number in 0..12_u8 {
                let unit = encoder.encode(&mut grey(&picture, number * 20), number == 5).unwrap();
                assert_eq!(unit.keyframe, number == 0 || number == 5, "{number}");
                assert_eq!(unit.keyframe, vp8::is_keyframe(&unit.payload));
                if unit.keyframe {
                    let stated = vp8::Parameters::from_keyframe(&unit.payload).unwrap();
                    assert_eq!(**encoder.parameters(), Parameters::Vp8(stated));
                }
            }
        }
    }

    #[test]
    fn the_parameters_state_the_size_and_profile_and_that_nothing_is_reordered() {
        let encoder = VideoEncoder::open(picture(640, 360), 25.0, 500_000, &VideoSettings::default()).unwrap();
        let Parameters::H264(h264) = &**encoder.parameters() else { panic!("not H.264") };
        assert_eq!((h264.width, h264.height, h264.profile_idc, h264.max_reorder), (640, 360, 77, Some(0)));
        assert!(h264.declares_no_reordering());
    }

    #[test]
    fn the_error_for_an_unknown_preset_names_the_encoder() {
        let settings = VideoSettings { preset: "warp".to_owned(), ..VideoSettings::default() };
        let error = VideoEncoder::open(picture(320, 240), 30.0, 500_000, &settings).err().unwrap();
        assert!(error.sentence().contains("libx264"), "{}", error.sentence());
    }

    #[test]
    fn chroma_is_interleaved_for_gpus() {
        let mut from = frame::Video::new(Pixel::YUV420P, 34, 6);
        (0..3).for_each(|plane| from.data_mut(plane).fill(10 * plane as u8 + 1));
        let to = interleaved_chroma(&from);
        assert_eq!((to.format(), to.data(0)[33], &to.data(1)[..4]), (Pixel::NV12, 1, &[11, 21, 11, 21][..]));
        assert_eq!(&to.data(1)[2 * to.stride(1) + 30..][..4], [11, 21, 11, 21]);
    }
}
