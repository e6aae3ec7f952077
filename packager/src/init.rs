//! The initialisation section: `ftyp` and `moov` with one track and no samples.

use bytes::Bytes;
use mp4_atom::{Atom, Encode, FourCC};
use onmic_media::{ClockRate, MediaKind, Parameters};

use crate::error::PackagerError;

/// Every file here has one track.
pub(crate) const TRACK_ID: u32 = 1;

/// Returns the section for samples with `parameters`, on a clock of `rate`.
pub(crate) fn init_section(parameters: &Parameters, rate: ClockRate) -> Result<Bytes, PackagerError> {
    let four_cc = |name: &[u8; 4]| FourCC::new(name);
    let ftyp = mp4_atom::Ftyp {
        major_brand: four_cc(b"iso6"),
        minor_version: 0,
        compatible_brands: [b"iso6", b"cmfc", b"mp41"].map(four_cc).to_vec(),
    };
    let trex = mp4_atom::Trex {
        track_id: TRACK_ID,
        default_sample_description_index: 1,
        default_sample_duration: 0,
        default_sample_size: 0,
        default_sample_flags: 0,
    };
    let moov = mp4_atom::Moov {
        mvhd: mp4_atom::Mvhd {
            timescale: 1000,
            rate: 1.into(),
            volume: 1.into(),
            next_track_id: TRACK_ID + 1,
            ..Default::default()
        },
        mvex: Some(mp4_atom::Mvex { mehd: None, trex: vec![trex] }),
        trak: vec![track(parameters, rate)?],
        ..Default::default()
    };
    let mut bytes = Vec::with_capacity(1024);
    ftyp.encode(&mut bytes)?;
    moov.encode(&mut bytes)?;
    Ok(bytes.into())
}

fn track(parameters: &Parameters, rate: ClockRate) -> Result<mp4_atom::Trak, PackagerError> {
    let kind = parameters.kind();
    let (width, height) = sides(parameters.shown_size());
    let (handler, name) = match kind {
        MediaKind::Video => (b"vide", "video"),
        MediaKind::Audio => (b"soun", "audio"),
        MediaKind::Data => (b"meta", "data"),
    };
    let url = mp4_atom::DrefEntry::Url(mp4_atom::Url::default());
    let minf = mp4_atom::Minf {
        vmhd: (kind == MediaKind::Video).then(mp4_atom::Vmhd::default),
        smhd: (kind == MediaKind::Audio).then(mp4_atom::Smhd::default),
        dinf: mp4_atom::Dinf { dref: mp4_atom::Dref { entries: vec![url] } },
        stbl: mp4_atom::Stbl {
            stsd: mp4_atom::Stsd { codecs: vec![sample_entry(parameters)?] },
            stco: Some(mp4_atom::Stco::default()),
            ..Default::default()
        },
        ..Default::default()
    };
    Ok(mp4_atom::Trak {
        tkhd: mp4_atom::Tkhd {
            track_id: TRACK_ID,
            enabled: true,
            in_movie: true,
            volume: if kind == MediaKind::Audio { 1.into() } else { 0.into() },
            width: width.into(),
            height: height.into(),
            ..Default::default()
        },
        mdia: mp4_atom::Mdia {
            mdhd: mp4_atom::Mdhd { timescale: rate.hz(), language: "und".into(), ..Default::default() },
            hdlr: mp4_atom::Hdlr { handler: FourCC::new(handler), name: name.into() },
            minf,
        },
        ..Default::default()
    })
}

fn sides(size: Option<(u32, u32)>) -> (u16, u16) {
    let (width, height) = size.unwrap_or((0, 0));
    let side = |pixels: u32| u16::try_from(pixels).unwrap_or(u16::MAX);
    (side(width), side(height))
}

fn sample_entry(parameters: &Parameters) -> Result<mp4_atom::Codec, PackagerError> {
    let (width, height) = sides(parameters.resolution());
    let visual = mp4_atom::Visual { data_reference_index: 1, width, height, ..Default::default() };
    let (h_spacing, v_spacing) = parameters.sample_aspect().terms();
    let pasp = (!parameters.has_square_samples()).then_some(mp4_atom::Pasp { h_spacing, v_spacing });
    // 0 where the rate does not fit the 16 bits; readers take it from the codec's own configuration.
    let rate = u16::try_from(parameters.sample_rate().unwrap_or(0)).unwrap_or(0);
    let audio = mp4_atom::Audio {
        data_reference_index: 1,
        channel_count: parameters.channels().unwrap_or(2).into(),
        sample_size: 16,
        sample_rate: rate.into(),
    };
    Ok(match parameters {
        Parameters::H264(h264) => {
            let avcc = mp4_atom::Avcc::decode_body(&mut &h264.avcc()[..])?;
            mp4_atom::Avc1 { visual, avcc, pasp, ..Default::default() }.into()
        }
        Parameters::H265(h265) => {
            let hvcc = mp4_atom::Hvcc::decode_body(&mut &h265.hvcc()[..])?;
            mp4_atom::Hvc1 { visual, hvcc, pasp, ..Default::default() }.into()
        }
        Parameters::Av1(av1) => {
            let av1c = mp4_atom::Av1c::decode_body(&mut &av1.av1c()[..])?;
            mp4_atom::Av01 { visual, av1c, ..Default::default() }.into()
        }
        Parameters::Aac(aac) => mp4_atom::Mp4a { audio, esds: esds(&aac.asc), btrt: None, taic: None }.into(),
        Parameters::Opus(opus) => {
            let dops = mp4_atom::Dops::decode_body(&mut &opus.dops()[..])?;
            mp4_atom::Opus { audio, dops, btrt: None }.into()
        }
        Parameters::Vp8(_) | Parameters::Vp9(_) | Parameters::Metadata(_) => {
            return Err(PackagerError::Codec(parameters.codec()));
        }
    })
}

fn esds(config: &[u8]) -> mp4_atom::Esds {
    const AUDIO_ISO_14496_3: u8 = 0x40;
    const AUDIO_STREAM: u8 = 5;
    let specific = mp4_atom::esds::DecoderSpecific { raw: config.to_vec(), ..Default::default() };
    let dec_config = mp4_atom::esds::DecoderConfig {
        object_type_indication: AUDIO_ISO_14496_3,
        stream_type: AUDIO_STREAM,
        dec_specific: Some(specific),
        ..Default::default()
    };
    let es_desc = mp4_atom::esds::EsDescriptor { es_id: 1, dec_config, ..Default::default() };
    mp4_atom::Esds { es_desc }
}

#[cfg(test)]
mod tests {
    use onmic_media::codec::{SampleAspect, h264};

    use super::*;

    #[test]
    fn the_shape_of_samples_is_stated_where_they_are_not_square() {
        let sps =
            Bytes::from_static(&[0x67, 0x42, 0xc0, 0x1f, 0x8c, 0x8d, 0x40, 0x50, 0x1e, 0xd0, 0x0f, 0x08, 0x84, 0x6a]);
        let pps = Bytes::from_static(&[0x68, 0xce, 0x0f, 0xc8]);
        let square = h264::Parameters::from_parameter_sets(vec![sps], vec![pps]).unwrap();
        let wide = h264::Parameters { sample_aspect: SampleAspect::new(4, 3), ..square.clone() };
        let section = |parameters| init_section(&Parameters::H264(parameters), ClockRate::VIDEO).unwrap();
        let states = |section: &Bytes, wanted: &[u8]| section.windows(wanted.len()).any(|bytes| bytes == wanted);
        assert!(states(&section(wide), b"pasp\0\0\0\x04\0\0\0\x03"));
        assert!(!states(&section(square), b"pasp"));
    }
}
