//! Seeds of the codec and FLV targets, from the fixtures of the media crate.

use bytes::Bytes;
use onmic_fuzz_targets::frames::says;
use onmic_media::codec::{Parameters, aac, av1, h264, h265, nal, opus};
use onmic_media::flv;

use crate::{FUZZ, Failure, piece, save};

pub fn write() -> Result<(), Failure> {
    for entry in std::fs::read_dir(FUZZ.to_owned() + "/../media/tests/fixtures")? {
        let path = entry?.path();
        let file = Bytes::from(std::fs::read(&path)?);
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("h264") => {
                let stream = nal::from_annex_b(&file);
                let sets = h264::Parameters::from_access_unit(&stream).ok_or("no parameter sets")?;
                save("h264_sps", &name, &sets.sps[0])?;
                save("h264_sps", &format!("{name}_stream"), &stream)?;
                save("avcc", &name, &sets.avcc())?;
                save("decode", &name, &coded(0, &sets.avcc(), &stream))?;
                save("flv_video", &name, &publication(&Parameters::H264(sets), &stream))?;
            }
            Some("hevc") => {
                let stream = nal::from_annex_b(&file);
                let sets = h265::Parameters::from_access_unit(&stream).ok_or("no parameter sets")?;
                save("h265_sps", &name, &sets.sps[0])?;
                save("h265_sps", &format!("{name}_stream"), &stream)?;
                save("hvcc", &name, &sets.hvcc())?;
                save("decode", &name, &coded(1, &sets.hvcc(), &stream))?;
                save("flv_video", &name, &publication(&Parameters::H265(sets), &stream))?;
            }
            Some("obu") => {
                let sets = av1::Parameters::from_access_unit(&file).ok_or("no sequence header")?;
                save("av1", &name, &file)?;
                save("av1", &format!("{name}_record"), &sets.av1c())?;
                save("decode", &name, &coded(4, &sets.av1c(), &file))?;
                save("flv_video", &name, &publication(&Parameters::Av1(sets), &file))?;
            }
            Some("ivf") => {
                let frame = &file[44..]; // The first frame without headers.
                save("av1", &name, frame)?;
                save("decode", &name, &coded(if name.starts_with("vp8") { 2 } else { 3 }, frame, frame))?;
            }
            Some("adts") => {
                save("aac", &name, &file)?;
                let adts = aac::Adts::parse(&file)?;
                save(
                    "decode",
                    &name,
                    &coded(5, &adts.parameters()?.asc, &file[adts.header_length..adts.frame_length]),
                )?;
            }
            _ => {}
        }
    }
    let tracks = [&b"\x96\x13avc1\x01\x00\x00\x02no\x00\x00\x00\x05"[..], &[0, 0, 0, 1, 0x65]].concat();
    save("flv_video", "multitrack", &piece(&tracks))?;
    save("flv_video", "modifier", &piece(b"\x97\x02\x01\x02\x03\x03av01\x12\x00"))?;

    let aac = Parameters::Aac(aac::Parameters::low_complexity(44_100, 2)?);
    save("flv_audio", "aac", &[piece(&flv::write_audio_config(&aac)), piece(b"\xaf\x01\x21\x10")].concat())?;
    let opus = opus::Parameters::new(2);
    let config = flv::write_audio_config(&Parameters::Opus(opus.clone()));
    save("flv_audio", "opus", &[piece(&config), piece(b"\x91Opus\xfc\xff\xfe")].concat())?;
    save("flv_audio", "multitrack", &piece(b"\x95\x11mp4a\x00\x00\x00\x02\x21\x10\x01\x00\x00\x01-"))?;
    save("decode", "opus", &coded(6, &opus.opus_head(), b"\xfc\xff\xfe"))?;
    save("aac", "opus_head", &opus.opus_head())?;
    save("aac", "opus_dops", &opus.dops())?;
    save("aac", "he_aac", &[0x2b, 0x92, 0x08, 0x00])?;
    save("aac", "he_aac_v2_compatible", &[0x13, 0x88, 0x56, 0xe5, 0xa5, 0x48, 0x80])?;
    frames()?;
    overlays()
}

/// Publishers with even times, steps, times that stand still, and large composition times.
fn frames() -> Result<(), Failure> {
    let when = |holds: bool, flag: u16| if holds { flag } else { 0 };
    let step = |exponent: u16| exponent << 8;
    let even = |index: u16| [step(5) + when(index.is_multiple_of(30), says::KEYFRAME), step(4) + says::AUDIO];
    let stepping = |index: u16| {
        let back = when(index % 2 == 1, says::BACK);
        [step(index % 20) + says::KEYFRAME, step(index % 20) + says::AUDIO + back]
    };
    let still = |index: u16| {
        let late = when(index % 2 == 1, says::LATE);
        [says::STILL + when(index.is_multiple_of(9), says::KEYFRAME), says::STILL + says::AUDIO + late]
    };
    let composed = |index: u16| {
        let keyframe = when(index % 2 == 1, says::KEYFRAME);
        [step(5) + says::COMPOSED + keyframe, step(20) + says::COMPOSED]
    };
    for (name, of) in [
        ("even", &even as &dyn Fn(u16) -> [u16; 2]),
        ("stepping", &stepping),
        ("still", &still),
        ("composed", &composed),
    ] {
        let frame = |flags: u16| [&flags.to_be_bytes()[..], &piece(&[0x9a, 0x21, 0x10])].concat();
        let all: Vec<u8> = (0..200).flat_map(of).flat_map(frame).collect();
        save("frames", name, &all)?;
    }
    Ok(())
}

/// Small pictures, and headers that state large ones.
fn overlays() -> Result<(), Failure> {
    let picture = image::RgbaImage::from_fn(9, 7, |x, y| image::Rgba([x as u8 * 20, y as u8 * 30, 90, 200]));
    for (name, format) in [("png", image::ImageFormat::Png), ("jpeg", image::ImageFormat::Jpeg)] {
        let mut file = std::io::Cursor::new(Vec::new());
        match format {
            image::ImageFormat::Png => picture.write_to(&mut file, format)?,
            _ => image::DynamicImage::from(picture.clone()).into_rgb8().write_to(&mut file, format)?,
        }
        save("overlay", name, file.get_ref())?;
        if format == image::ImageFormat::Png {
            let mut wide = file.into_inner();
            wide[16..20].copy_from_slice(&4096_u32.to_be_bytes()); // The width that the header states.
            save("overlay", "png_states_more", &wide)?;
        }
    }
    Ok(())
}

/// Writes a record and one frame as `decode` takes them.
fn coded(codec: u8, record: &[u8], frame: &[u8]) -> Vec<u8> {
    [&[codec][..], &piece(record), &piece(&frame[..frame.len().min(60_000)])].concat()
}

/// Writes a configuration and one frame as the FLV targets take them.
fn publication(parameters: &Parameters, frame: &[u8]) -> Vec<u8> {
    let header = flv::write_video_header(parameters.codec(), true, 40);
    [piece(&flv::write_video_config(parameters)), piece(&[&header[..], frame].concat())].concat()
}
