//! Tests that the parsers read from real streams the parameters that the encoder was given, as ffprobe reports them.
#![allow(clippy::unwrap_used)]

mod fixture;

use bytes::Bytes;
use onmic_media::codec::{Codec, InBand, Parameters, aac, av1, h264, h265, nal, opus, vp8, vp9};

const NTSC: f64 = 30_000.0 / 1_001.0;

#[test]
fn h264_parameters_are_those_given_to_the_encoder() {
    let cases = [
        ("baseline", "Constrained Baseline", "avc1.42c00a", (64, 48), 25.0, false, (1, 8)),
        ("main_bframes", "Main", "avc1.4d400a", (64, 48), 30.0, true, (1, 8)),
        ("high_cropped", "High", "avc1.64001e", (642, 358), NTSC, false, (1, 8)),
        ("high_1080p", "High", "avc1.64002a", (1920, 1080), 60.0, false, (1, 8)),
        ("interlaced_hrd", "High", "avc1.640015", (64, 64), 25.0, false, (1, 8)),
        ("high10", "High 10", "avc1.6e000a", (64, 48), 30.0, false, (1, 10)),
        ("high422_scaling", "High 4:2:2", "avc1.7a000a", (64, 48), 50.0, false, (2, 8)),
        ("high444", "High 4:4:4 Predictive", "avc1.f4000a", (66, 50), 30.0, false, (3, 8)),
    ];
    for (name, profile, rfc6381, resolution, frame_rate, reorders, format) in cases {
        let (stream, h264) = fixture::h264(&format!("h264_{name}.h264"));
        let parameters = Parameters::H264(h264.clone());
        assert_eq!(parameters.profile_name().as_deref(), Some(profile), "{name}");
        assert_eq!(parameters.rfc6381(), rfc6381, "{name}");
        assert_eq!(parameters.resolution(), Some(resolution), "{name}");
        assert_eq!(parameters.frame_rate(), Some(frame_rate), "{name}");
        assert_eq!(parameters.reorders(), Some(reorders), "{name}");
        assert_eq!((h264.chroma_format_idc, h264.bit_depth_luma), format, "{name}");
        assert_eq!(h264.interlaced, name.starts_with("interlaced"));
        assert!(parameters.has_square_samples(), "{name}");
        assert_eq!(h264::Parameters::from_avcc(&h264.avcc()), Ok((h264, 4)), "{name}");
        assert_eq!(h264::access_unit_has_b_slice(&stream), reorders, "{name}");
        assert!(h264::access_unit_is_keyframe(&stream));
    }
    let (_, coloured) = fixture::h264("h264_high10.h264");
    let colour = coloured.colour.unwrap();
    assert_eq!((colour.primaries, colour.transfer, colour.matrix, colour.full_range), (1, 1, 1, true));
}

#[test]
fn the_version_of_a_decoder_configuration_record_does_not_matter() {
    let (_, h264) = fixture::h264("h264_high10.h264");
    let (_, h265) = fixture::h265("h265_main.hevc");
    for version in [0, 2, 255] {
        let with_version = |record: &[u8]| [&[version], &record[1..]].concat();
        assert_eq!(h264::Parameters::from_avcc(&with_version(&h264.avcc())), Ok((h264.clone(), 4)), "{version}");
        assert_eq!(h265::Parameters::from_hvcc(&with_version(&h265.hvcc())), Ok((h265.clone(), 4)), "{version}");
    }
}

#[test]
fn h264_slice_types_are_read() {
    let (stream, _) = fixture::h264("h264_main_bframes.h264");
    let types: Vec<_> = nal::nal_units(&stream).filter_map(h264::slice_type).collect();
    assert_eq!(types[0], h264::SliceType::I);
    assert!(types.contains(&h264::SliceType::P) && types.contains(&h264::SliceType::B), "{types:?}");
    assert_eq!(types.len(), 6);
    assert_eq!(h264::slice_type(&[]), None);
    assert_eq!(h264::slice_type(&[0x41]), None);
    assert_eq!(h264::slice_type(&[0x67, 0x88]), None);
}

#[test]
fn h264_parameter_sets_in_band_are_taken_out_without_copying_the_frame() {
    let (stream, parameters) = fixture::h264("h264_baseline.h264");
    let (stripped, found) = h264::strip_parameter_sets(stream.clone());
    assert_eq!(found, Some(parameters.clone()));
    assert!(nal::nal_units(&stripped).all(|nal| h264::slice_type(nal).is_some()));
    assert!(stream.as_ptr_range().contains(&stripped.as_ptr()), "copied");
    let (again, found) = h264::strip_parameter_sets(stripped.clone());
    assert_eq!((again.as_ptr(), found), (stripped.as_ptr(), None));

    // A lone PPS may differ from the one in force, so it stays with its picture. A delimiter is removed.
    let lone = nal::join([&[9, 0xf0][..], &parameters.pps[0], &stripped[4..12]]);
    let (kept, found) = h264::strip_parameter_sets(lone.clone());
    assert_eq!((&kept[..], found), (&lone[6..], None));
}

#[test]
fn h264_rewriting_declares_no_reordering_and_is_idempotent() {
    for name in ["baseline", "high_cropped", "interlaced_hrd", "high10", "high422_scaling", "high444", "main_bframes"] {
        let (_, parameters) = fixture::h264(&format!("h264_{name}.h264"));
        let rewritten = parameters.without_reordering();
        assert!(rewritten.declares_no_reordering(), "{name}");
        let sps = h264::Sps::parse(&rewritten.sps[0]).unwrap();
        assert_eq!(sps.max_dec_frame_buffering, Some(parameters.max_num_ref_frames.max(1)), "{name}");
        let expected = h264::Parameters { sps: rewritten.sps.clone(), max_reorder: Some(0), ..parameters };
        assert_eq!(rewritten, expected, "{name}: something else changed");
        assert_eq!(rewritten.without_reordering(), rewritten, "{name}");
    }
}

#[test]
fn h265_parameters_are_those_given_to_the_encoder() {
    let cases = [
        ("main", "Main", "hvc1.1.6.L30.90", (64, 64), 30.0, false, (1, 8), 1),
        ("main_bframes", "Main", "hvc1.1.6.L30.90", (98, 66), NTSC, true, (1, 8), 1),
        ("main10_layers", "Main 10", "hvc1.2.4.L30.90", (64, 64), 60.0, true, (1, 10), 2),
        ("rext_422", "Range Extensions", "hvc1.4.10.L60.9D.8", (66, 64), 25.0, false, (2, 8), 1),
    ];
    for (name, profile, rfc6381, resolution, frame_rate, reorders, format, layers) in cases {
        let (stream, h265) = fixture::h265(&format!("h265_{name}.hevc"));
        let parameters = Parameters::H265(h265.clone());
        assert_eq!(parameters.profile_name().as_deref(), Some(profile), "{name}");
        assert_eq!(parameters.rfc6381(), rfc6381, "{name}");
        assert_eq!(parameters.resolution(), Some(resolution), "{name}");
        assert_eq!(parameters.frame_rate(), Some(frame_rate), "{name}");
        assert_eq!(parameters.reorders(), Some(reorders), "{name}");
        assert_eq!((h265.chroma_format_idc, h265.bit_depth_luma), format, "{name}");
        assert_eq!(h265.temporal_layers, layers, "{name}");
        assert!(h265::access_unit_is_keyframe(&stream));
        let (stripped, found) = h265::strip_parameter_sets(stream.clone());
        assert_eq!(found.as_ref(), Some(&h265), "{name}");
        assert!(stream.as_ptr_range().contains(&stripped.as_ptr()), "{name}: copied");
        assert_eq!(h265::Parameters::from_hvcc(&h265.hvcc()), Ok((h265, 4)), "{name}");
    }
}

#[test]
fn h265_in_fields_is_told_from_frames() {
    for (name, in_fields) in [("fields", true), ("main", false)] {
        let (stream, h265) = fixture::h265(&format!("h265_{name}.hevc"));
        let parameters = Parameters::H265(h265);
        assert_eq!(parameters.is_interlaced(), in_fields, "{name}");
        let pictures: Vec<_> = nal::nal_units(&stream).filter(|unit| h265::nal_type(unit) < 32).collect();
        assert_eq!(pictures.len(), 2, "{name}");
        for picture in pictures {
            assert_eq!(parameters.is_lone_field(&nal::join([picture])), in_fields, "{name}");
        }
        assert!(!parameters.is_lone_field(&stream), "{name}: both fields are there");
        for cut in [&[][..], &[0, 0, 0, 1, 0x26], &[0, 0, 0, 2, 0x26, 1]] {
            assert!(!parameters.is_lone_field(cut), "{name}: {cut:?}");
        }
    }
}

#[test]
fn av1_parameters_are_those_given_to_the_encoder() {
    let cases = [
        ("main", "av01.0.00M.08", (98, 66), (true, true)),
        ("main10", "av01.0.00M.10", (64, 64), (true, true)),
        ("high444", "av01.1.00M.08", (98, 66), (false, false)),
    ];
    for (name, rfc6381, resolution, subsampling) in cases {
        let stream = Bytes::from(fixture::read(&format!("av1_{name}.obu")));
        av1::check(&stream).unwrap();
        let av1 = av1::Parameters::from_access_unit(&stream).unwrap();
        let parameters = Parameters::Av1(av1.clone());
        assert_eq!(parameters.rfc6381(), rfc6381, "{name}");
        assert_eq!(parameters.resolution(), Some(resolution), "{name}");
        assert_eq!(av1.subsampling, subsampling, "{name}");
        assert_eq!(av1::Parameters::from_av1c(&av1.av1c()), Ok(av1), "{name}");

        // The file is temporal units behind one another, each after its delimiter (type 2).
        let starts: Vec<_> = av1::obus(&stream).filter(|obu| obu.kind == 2).map(|obu| obu.whole.start).collect();
        let units = [stream.slice(..starts[1]), stream.slice(starts[1]..)];
        assert_eq!(units.each_ref().map(|unit| av1::access_unit_is_keyframe(unit)), [true, false], "{name}");
        let stripped = av1::strip_temporal_delimiters(units[0].clone());
        assert!(av1::obus(&stripped).all(|obu| obu.kind != 2) && stripped.len() + 2 == units[0].len());
        assert_eq!(stripped.as_ptr(), units[0][2..].as_ptr(), "{name}: copied");
        assert_eq!(av1::obus(&av1::strip_temporal_delimiters(stream)).filter(|obu| obu.kind == 2).count(), 0);
    }
    let coloured = av1::Parameters::from_access_unit(&fixture::read("av1_high444.obu")).unwrap().colour.unwrap();
    assert_eq!((coloured.primaries, coloured.transfer, coloured.matrix, coloured.full_range), (1, 1, 1, false));
}

#[test]
fn the_size_of_vp8_and_vp9_keyframes_is_read() {
    let frames = fixture::ivf("vp8.ivf");
    let vp8 = vp8::Parameters::from_keyframe(&frames[0]).unwrap();
    assert_eq!((vp8.width, vp8.height, vp8.version), (98, 66, 0));
    assert!(vp8::is_keyframe(&frames[0]) && !vp8::is_keyframe(&frames[1]));
    assert!(vp8::Parameters::from_keyframe(&frames[1]).is_err());

    for (name, rfc6381, resolution) in
        [("vp9_profile0.ivf", "vp09.00.10.08", (98, 66)), ("vp9_profile3.ivf", "vp09.03.10.10", (64, 64))]
    {
        let frames = fixture::ivf(name);
        let vp9 = vp9::Parameters::from_keyframe(&frames[0]).unwrap();
        assert!(vp9::is_keyframe(&frames[0]) && !vp9::is_keyframe(&frames[1]), "{name}");
        let parameters = Parameters::Vp9(vp9.clone());
        assert_eq!((parameters.rfc6381().as_str(), parameters.resolution()), (rfc6381, Some(resolution)), "{name}");
        let record = vp9.vpcc();
        let from_record = vp9::Parameters::from_vpcc(&record).unwrap();
        assert_eq!(vp9::Parameters { width: vp9.width, height: vp9.height, ..from_record.clone() }, vp9, "{name}");
        assert_eq!(Parameters::Vp9(from_record.clone()).resolution(), None);
        let boxed = [&[1, 0, 0, 0][..], &record].concat();
        assert_eq!(vp9::Parameters::from_vpcc(&boxed), Ok(from_record), "{name}");
    }
}

#[test]
fn adts_headers_are_read_and_written() {
    for (name, rate, channels) in [
        ("aac_8000_mono.adts", 8_000, 1),
        ("aac_44100_mono.adts", 44_100, 1),
        ("aac_48000_mono.adts", 48_000, 1),
        ("aac_48000_5.1.adts", 48_000, 6),
    ] {
        let stream = fixture::read(name);
        let adts = aac::Adts::parse(&stream).unwrap();
        assert_eq!((adts.object_type, adts.sample_rate, adts.channel_configuration), (2, rate, channels), "{name}");
        let next = aac::Adts::parse(&stream[adts.frame_length..]).unwrap();
        assert_eq!(next.sample_rate, rate);
        let parameters = aac::Parameters::low_complexity(rate, channels).unwrap();
        let header = parameters.adts_header(adts.frame_length - adts.header_length).unwrap();
        let written = aac::Adts::parse(&header).unwrap();
        assert_eq!(written, adts, "{name}");
    }
}

#[test]
fn audio_specific_configs_state_the_decoders_output() {
    // Bits by hand: object type 5, frequency index 4, channels 4, …
    type Case<'a> = (&'a [u8], u8, u32, u8, u32, &'a str);
    let cases: [Case<'_>; 10] = [
        (&[0x12, 0x10], 2, 44_100, 2, 1024, "LC 44.1 kHz stereo"),
        (&[0x11, 0x88], 2, 48_000, 1, 1024, "LC 48 kHz mono"),
        (&[0x11, 0x94], 2, 48_000, 2, 960, "LC, short frames"),
        (&[0x11, 0xb8], 2, 48_000, 8, 1024, "LC 7.1"),
        (&[0x17, 0x80, 0x5d, 0xc0, 0x10], 2, 48_000, 2, 1024, "LC, explicit frequency 48000"),
        // Channel configuration 0: a program config element of one, a pair in front, a pair behind, one low.
        (
            &[0x11, 0x80, 0x04, 0xc8, 0x05, 0x00, 0x01, 0x19, 0x18, 0x00],
            2,
            48_000,
            6,
            1024,
            "LC 5.1 by program config element",
        ),
        (&[0x2b, 0x92, 0x08, 0x00], 5, 44_100, 2, 2048, "HE-AAC, hierarchical"),
        (&[0xeb, 0x8a, 0x08, 0x00], 29, 44_100, 2, 2048, "HE-AAC v2, mono core"),
        (&[0x13, 0x90, 0x56, 0xe5, 0xa0], 2, 44_100, 2, 2048, "HE-AAC, backward compatible"),
        (&[0x13, 0x88, 0x56, 0xe5, 0xa5, 0x48, 0x80], 2, 44_100, 2, 2048, "HE-AAC v2, backward compatible"),
    ];
    for (asc, object_type, sample_rate, channels, frame_length, name) in cases {
        let asc = Bytes::copy_from_slice(asc);
        let read = aac::Parameters::from_asc(&asc).unwrap();
        let numbers = (read.object_type, read.sample_rate, read.channels, read.frame_length);
        assert_eq!(numbers, (object_type, sample_rate, channels, frame_length), "{name}");
        assert_eq!(read.is_widely_decoded(), !name.contains("program config element"), "{name}");
        if !name.contains("explicit frequency") {
            assert_eq!(read.asc, asc, "{name}");
        }
    }
    // FFmpeg decodes nothing of a rate that is written out although it has an index.
    let explicit: [(&[u8], &[u8]); 4] = [
        (&[0x17, 0x80, 0x5d, 0xc0, 0x10], &[0x11, 0x90]),
        (&[0x17, 0x80, 0x5d, 0xc0, 0x10, 0x56, 0xe5, 0x00], &[0x11, 0x90, 0x56, 0xe5, 0x00]),
        (&[0x2f, 0x80, 0x2b, 0x11, 0x17, 0x80, 0x56, 0x22, 0x08, 0x00], &[0x2b, 0x92, 0x08, 0x00]),
        (&[0x17, 0x80, 0x5d, 0xa0, 0x10], &[0x17, 0x80, 0x5d, 0xa0, 0x10]), // 47,936 Hz has no index.
    ];
    for (asc, canonical) in explicit {
        let read = aac::Parameters::from_asc(asc).unwrap();
        assert_eq!(read.asc, canonical, "{asc:x?}");
        assert_eq!(aac::Parameters::from_asc(&read.asc), Ok(read));
    }
    assert_eq!(aac::Parameters::low_complexity(44_100, 2).unwrap().asc[..], [0x12, 0x10]);
    for (rate, channels) in [(96_000, 8), (48_000, 2), (7_350, 1)] {
        let written = aac::Parameters::low_complexity(rate, channels).unwrap();
        assert_eq!(aac::Parameters::from_asc(&written.asc), Ok(written));
    }
    // ALS, reserved frequency index, reserved channel configuration, and nothing at all.
    for asc in [&[0xf8, 0x88, 0x10][..], &[0x16, 0x90], &[0x11, 0xf8], &[]] {
        assert!(aac::Parameters::from_asc(asc).is_err(), "{asc:x?}");
    }
    assert!(aac::Parameters::low_complexity(12_345, 2).is_err());
}

#[test]
fn opus_headers_and_packets_are_read() {
    for (name, channels, duration) in [("opus_20ms.ogg", 2, 960), ("opus_60ms.ogg", 1, 2880)] {
        let packets = fixture::ogg(name);
        let opus = opus::Parameters::from_opus_head(&packets[0]).unwrap();
        assert_eq!((opus.channels, opus.pre_skip, opus.input_sample_rate), (channels, 312, 48_000), "{name}");
        assert_eq!(opus.opus_head(), packets[0], "{name}");
        for packet in &packets[2..] {
            assert_eq!(opus::packet_duration(packet), Some(duration), "{name}");
        }
    }
}

#[test]
fn parameters_in_band_are_read_for_every_video_codec() {
    let cases = [
        (Codec::H264, fixture::h264("h264_high_1080p.h264").0, (1920, 1080)),
        (Codec::H265, fixture::h265("h265_main.hevc").0, (64, 64)),
        (Codec::Av1, fixture::read("av1_main.obu").into(), (98, 66)),
        (Codec::Vp8, fixture::ivf("vp8.ivf").remove(0), (98, 66)),
        (Codec::Vp9, fixture::ivf("vp9_profile0.ivf").remove(0), (98, 66)),
    ];
    for (codec, payload, resolution) in cases {
        assert!(codec.is_keyframe(&payload), "{codec}");
        let mut in_band = InBand::new(codec, None);
        let rest = in_band.take(payload).unwrap();
        let found = in_band.parameters().unwrap();
        assert_eq!((found.codec(), found.resolution()), (codec, Some(resolution)));
        assert!(codec.is_keyframe(&rest), "{codec}");
    }
    let packet = Bytes::from_static(&[0xfc]);
    assert_eq!(InBand::new(Codec::Opus, None).take(packet.clone()), Ok(packet));
}

#[test]
fn adts_frames_are_split_and_tell_their_parameters() {
    for (name, channels) in [("aac_44100_mono.adts", 1), ("aac_48000_5.1.adts", 6)] {
        let (mut frames, mut rest) = (0, fixture::read(name).into());
        let mut in_band = InBand::new(Codec::Aac, None);
        while !Bytes::is_empty(&rest) {
            let (frame, after) = aac::split_adts(rest);
            assert!(!aac::Adts::begins(&in_band.take(frame).unwrap()));
            (frames, rest) = (frames + 1, after);
        }
        assert!(frames > 1, "{name}");
        assert_eq!(in_band.parameters().unwrap().channels(), Some(channels), "{name}");
    }
    let raw = Bytes::from_static(&[0x21, 0x10, 0xff, 0xf1]);
    assert_eq!(aac::split_adts(raw.clone()), (raw, Bytes::new()));
    let cut = Bytes::copy_from_slice(&fixture::read("aac_44100_mono.adts")[..20]);
    assert!(InBand::new(Codec::Aac, None).take(cut).is_err());
}
