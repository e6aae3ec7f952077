//! Seeds of the codec and FLV targets, from the fixtures of the media crate.

use bytes::Bytes;
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
                save("flv_video", &name, &publication(&Parameters::H264(sets), &stream))?;
            }
            Some("hevc") => {
                let stream = nal::from_annex_b(&file);
                let sets = h265::Parameters::from_access_unit(&stream).ok_or("no parameter sets")?;
                save("h265_sps", &name, &sets.sps[0])?;
                save("h265_sps", &format!("{name}_stream"), &stream)?;
                save("hvcc", &name, &sets.hvcc())?;
                save("flv_video", &name, &publication(&Parameters::H265(sets), &stream))?;
            }
            Some("obu") => {
                let sets = av1::Parameters::from_access_unit(&file).ok_or("no sequence header")?;
                save("av1", &name, &file)?;
                save("av1", &format!("{name}_record"), &sets.av1c())?;
                save("flv_video", &name, &publication(&Parameters::Av1(sets), &file))?;
            }
            Some("ivf") => save("av1", &name, &file[44..])?, // The first frame without headers.
            Some("adts") => save("aac", &name, &file)?,
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
    save("aac", "opus_head", &opus.opus_head())?;
    save("aac", "opus_dops", &opus.dops())?;
    save("aac", "he_aac", &[0x2b, 0x92, 0x08, 0x00])?;
    save("aac", "he_aac_v2_compatible", &[0x13, 0x88, 0x56, 0xe5, 0xa5, 0x48, 0x80])?;
    Ok(())
}

/// Writes a configuration and one frame as the FLV targets take them.
fn publication(parameters: &Parameters, frame: &[u8]) -> Vec<u8> {
    let header = flv::write_video_header(parameters.codec(), true, 40);
    [piece(&flv::write_video_config(parameters)), piece(&[&header[..], frame].concat())].concat()
}
