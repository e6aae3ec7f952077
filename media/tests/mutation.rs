//! Runs every parser of outside bytes over streams with changed bytes and bits. Errors are fine, panics are not, and
//! accepted results can be written and read again.
#![allow(clippy::unwrap_used)]

mod fixture;

use bytes::Bytes;
use onmic_media::codec::{Parameters, aac, av1, h264, h265, nal, opus, vp8, vp9};
use onmic_media::flv::{self, AudioTag, Reader, VideoTag};

const ROUNDS: usize = 2_000;

/// Is a generator (xorshift64*) with a fixed seed, so that a failure repeats.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound.max(1)
    }

    /// Flips one to four bits, replaces bytes, removes or doubles runs, or cuts off the end.
    fn mutate(&mut self, original: &[u8]) -> Bytes {
        let mut bytes = original.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len());
            match self.below(6) {
                _ if bytes.is_empty() => bytes.push(self.below(256) as u8),
                0 | 1 => bytes[at] ^= 1 << self.below(8),
                2 => bytes[at] = [0, 0xff, 0x80, self.below(256) as u8][self.below(4)],
                3 => bytes.truncate(at),
                4 => drop(bytes.drain(at..(at + 1 + self.below(4)).min(bytes.len()))),
                _ => {
                    let run = bytes[at..(at + 1 + self.below(16)).min(bytes.len())].to_vec();
                    bytes.splice(at..at, run);
                }
            }
        }
        bytes.into()
    }
}

fn mutations(seeds: &[Bytes], check: impl Fn(Bytes)) {
    let mut random = Random(0x5eed_0fa1_1bad_cafe);
    for seed in seeds {
        for end in 0..=seed.len() {
            check(seed.slice(..end));
        }
        for _ in 0..ROUNDS {
            check(random.mutate(seed));
        }
    }
}

const H264: [&str; 5] =
    ["h264_main_bframes", "h264_high_cropped", "h264_interlaced_hrd", "h264_high422_scaling", "h264_high444"];
const H265: [&str; 4] = ["h265_main", "h265_main_bframes", "h265_main10_layers", "h265_rext_422"];

#[test]
fn h264_survives() {
    let parameters = H264.map(|name| fixture::h264(&format!("{name}.h264")).1);
    mutations(&parameters.clone().map(|parameters| parameters.sps[0].clone()), |sps| {
        let Ok(read) = h264::Sps::parse(&sps) else { return };
        let pps = vec![Bytes::from_static(&[0x68, 0xce])];
        let before = h264::Parameters::from_parameter_sets(vec![sps], pps).unwrap();
        let after = before.without_reordering();
        assert!(after.declares_no_reordering());
        assert_eq!(
            (after.width, after.height, after.max_num_ref_frames),
            (read.width, read.height, read.max_num_ref_frames)
        );
        assert_eq!(h264::Parameters::from_avcc(&before.avcc()).unwrap().0, before);
    });
    mutations(&parameters.map(|parameters| parameters.avcc()), |record| {
        if let Ok((read, length_size)) = h264::Parameters::from_avcc(&record) {
            assert!((1..=4).contains(&length_size));
            assert_eq!(h264::Parameters::from_avcc(&read.avcc()), Ok((read, 4)));
        }
    });
    mutations(&H264.map(|name| fixture::h264(&format!("{name}.h264")).0), |payload| {
        h264::access_unit_is_keyframe(&payload);
        h264::access_unit_has_b_slice(&payload);
        let (stripped, _) = h264::strip_parameter_sets(payload.clone());
        assert!(stripped.len() <= payload.len());
        for size in 1..=4 {
            if let Ok(canonical) = nal::from_length_size(payload.clone(), size) {
                assert!(nal::check(&canonical, 4).is_ok());
            }
        }
        nal::check(&nal::from_annex_b(&payload), 4).ok();
    });
}

#[test]
fn h265_survives() {
    let streams = H265.map(|name| fixture::h265(&format!("{name}.hevc")));
    mutations(&streams.clone().map(|(_, parameters)| parameters.sps[0].clone()), |sps| drop(h265::Sps::parse(&sps)));
    mutations(&streams.clone().map(|(_, parameters)| parameters.hvcc()), |record| {
        if let Ok((read, _)) = h265::Parameters::from_hvcc(&record) {
            assert_eq!(h265::Parameters::from_hvcc(&read.hvcc()), Ok((read.clone(), 4)));
            assert!(read.rfc6381().starts_with("hvc1."));
        }
    });
    mutations(&streams.map(|(stream, _)| stream), |payload| drop(h265::strip_parameter_sets(payload)));
}

#[test]
fn av1_vp8_and_vp9_survive() {
    let streams = ["av1_main.obu", "av1_main10.obu", "av1_high444.obu"].map(|name| Bytes::from(fixture::read(name)));
    mutations(&streams, |unit| {
        av1::access_unit_is_keyframe(&unit);
        if let Some(read) = av1::Parameters::from_access_unit(&unit) {
            assert_eq!(av1::Parameters::from_av1c(&read.av1c()), Ok(read));
        }
        let whole = av1::check(&unit).is_ok();
        let stripped = av1::strip_temporal_delimiters(unit);
        assert!(!whole || av1::obus(&stripped).all(|obu| obu.kind != 2));
        av1::Parameters::from_av1c(&stripped).ok();
    });
    let frames = [fixture::ivf("vp8.ivf"), fixture::ivf("vp9_profile0.ivf"), fixture::ivf("vp9_profile3.ivf")].concat();
    mutations(&frames, |frame| {
        assert!(vp8::is_keyframe(&frame) || vp8::Parameters::from_keyframe(&frame).is_err());
        assert!(vp9::is_keyframe(&frame) || vp9::Parameters::from_keyframe(&frame).is_err());
        if let Ok(read) = vp9::Parameters::from_keyframe(&frame).or(vp9::Parameters::from_vpcc(&frame)) {
            vp9::Parameters::from_vpcc(&read.vpcc()).unwrap();
        }
    });
}

#[test]
fn aac_and_opus_survive() {
    let configs: [&'static [u8]; 4] = [
        &[0x12, 0x10],
        &[0x2b, 0x92, 0x08, 0x00],
        &[0x13, 0x90, 0x56, 0xe5, 0xa5, 0x48, 0x80],
        // Channel configuration 0, a program config element.
        &[0x11, 0x80, 0x04, 0xc8, 0x05, 0x00, 0x01, 0x19, 0x18, 0x00],
    ];
    mutations(&configs.map(Bytes::from_static), |asc| {
        let Ok(read) = aac::Parameters::from_asc(&asc) else { return };
        assert!(read.sample_rate > 0 && read.channels > 0 && read.frame_length > 0);
        assert_eq!(read.asc, asc);
        if let Ok(header) = read.adts_header(100) {
            assert_eq!(aac::Adts::parse(&header).unwrap().frame_length, 107);
        }
    });
    let frames = [Bytes::from(fixture::read("aac_48000_5.1.adts"))];
    mutations(&frames, |frame| drop(aac::Adts::parse(&frame)));
    mutations(&fixture::ogg("opus_20ms.ogg"), |packet| {
        opus::packet_duration(&packet);
        opus::Parameters::from_dops(&packet).ok();
        if let Ok(read) = opus::Parameters::from_opus_head(&packet) {
            assert_eq!(opus::Parameters::from_dops(&read.dops()), Ok(read));
        }
    });
}

#[test]
fn flv_survives() {
    let (frame, h265) = fixture::h265("h265_main.hevc");
    let config = flv::write_video_config(&Parameters::H265(h265));
    let header = flv::write_video_header(onmic_media::Codec::H265, true, 10);
    let enhanced = [
        config,
        [&header[..], &frame].concat().into(),
        Bytes::from_static(b"\x96\x13avc1\x01\x00\x00\x02no\x00\x00\x00\x01a"),
    ];
    let bodies: Vec<Bytes> =
        fixture::flv("h264_aac.flv").into_iter().map(|(_, _, body)| body).chain(enhanced).collect();
    let mut configured = Reader::new();
    bodies.iter().for_each(|body| drop(configured.parse_video(body.clone())));
    mutations(&bodies, |body| {
        let mut reader = configured.clone();
        if let Ok(VideoTag::Frame { payload, .. }) = reader.parse_video(body.clone()) {
            assert!(!payload.is_empty());
        }
        match reader.parse_audio(body) {
            Ok(AudioTag::Config(parameters)) => assert!(!flv::write_audio_config(&parameters).is_empty()),
            Ok(AudioTag::Frame { payload, .. }) => assert!(!payload.is_empty()),
            _ => {}
        }
    });
}
