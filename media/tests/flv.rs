//! Tests FLV tag bodies: those of ffmpeg, our own, and the enhanced forms put together by hand.
#![allow(clippy::unwrap_used)]

mod fixture;

use bytes::Bytes;
use onmic_media::codec::{Codec, Malformed, MediaKind, Parameters, aac, av1, h264, nal, opus, vp9};
use onmic_media::flv::{self, AudioTag, FlvError, Ignored, Reader, TagType, VideoTag};

fn join(parts: &[&[u8]]) -> Bytes {
    parts.concat().into()
}

fn h264_config() -> Parameters {
    Parameters::H264(fixture::h264("h264_baseline.h264").1)
}

/// Returns an IDR picture in canonical form.
fn h264_frame() -> Bytes {
    h264::strip_parameter_sets(fixture::h264("h264_baseline.h264").0).0
}

fn frame_of(tag: VideoTag) -> (bool, i32, Bytes) {
    match tag {
        VideoTag::Frame { keyframe, composition_ms, payload, .. } => (keyframe, composition_ms, payload),
        other => panic!("{other:?} is not a frame"),
    }
}

#[test]
fn a_file_of_ffmpeg_is_read() {
    let mut reader = Reader::new();
    let (mut offsets, mut keyframes, mut packets) = (Vec::new(), Vec::new(), 0);
    let (mut video, mut audio) = (None, None);
    for (kind, _, body) in fixture::flv("h264_aac.flv") {
        match kind {
            9 => match reader.parse_video(body.clone()).unwrap() {
                VideoTag::Config(parameters) => video = Some(parameters),
                VideoTag::Frame { keyframe, composition_ms, payload, .. } => {
                    assert!(body.as_ptr_range().contains(&payload.as_ptr()), "copied");
                    keyframes.push(keyframe);
                    offsets.push(composition_ms);
                }
                VideoTag::EndOfSequence => assert_eq!(keyframes.len(), 6),
                other => panic!("{other:?}"),
            },
            8 => match reader.parse_audio(body).unwrap() {
                AudioTag::Config(parameters) => audio = Some(parameters),
                AudioTag::Frame { .. } => packets += 1,
                other => panic!("{other:?}"),
            },
            _ => assert!(body.starts_with(b"\x02\x00\x0aonMetaData")),
        }
    }
    let (video, audio) = (video.unwrap(), audio.unwrap());
    assert_eq!((video.resolution(), video.reorders()), (Some((64, 48)), Some(true)));
    assert_eq!((audio.sample_rate(), audio.channels(), audio.rfc6381().as_str()), (Some(44_100), Some(2), "mp4a.40.2"));
    assert_eq!(keyframes, [true, false, false, false, false, false]);
    assert!(offsets.iter().all(|&offset| offset >= 0) && offsets.iter().any(|&offset| offset > 60), "{offsets:?}");
    assert!(packets >= 9);
}

#[test]
fn what_is_written_is_read() {
    let av1 = av1::Parameters::from_access_unit(&fixture::read("av1_main.obu")).unwrap();
    let av1_frame = av1::strip_temporal_delimiters(fixture::read("av1_main.obu").into());
    let vp9_frame = fixture::ivf("vp9_profile0.ivf").remove(0);
    let vp9 = vp9::Parameters::from_vpcc(&vp9::Parameters::from_keyframe(&vp9_frame).unwrap().vpcc()).unwrap();
    let (h265_frame, h265) = fixture::h265("h265_main.hevc");
    let cases = [
        (h264_config(), h264_frame(), 66),
        (Parameters::H265(h265.clone()), h265_frame.clone(), -40),
        (Parameters::H265(h265), h265_frame, 0),
        (Parameters::Av1(av1), av1_frame, 0),
        (Parameters::Vp9(vp9), vp9_frame, 0),
    ];
    for (parameters, frame, composition_ms) in cases {
        let codec = parameters.codec();
        let mut reader = Reader::new();
        let config = reader.parse_video(flv::write_video_config(&parameters)).unwrap();
        assert_eq!(config, VideoTag::Config(parameters));
        let body = join(&[&flv::write_video_header(codec, true, composition_ms), &frame]);
        assert_eq!(frame_of(reader.parse_video(body).unwrap()), (true, composition_ms, frame), "{codec}");
        let end = Bytes::copy_from_slice(&flv::video_end_of_sequence(codec));
        assert_eq!(reader.parse_video(end), Ok(VideoTag::EndOfSequence), "{codec}");
    }
    let aac = Parameters::Aac(aac::Parameters::low_complexity(48_000, 2).unwrap());
    for parameters in [aac, Parameters::Opus(opus::Parameters::new(2))] {
        let codec = parameters.codec();
        let mut reader = Reader::new();
        let config = reader.parse_audio(flv::write_audio_config(&parameters)).unwrap();
        assert_eq!(config, AudioTag::Config(parameters));
        let body = join(&[&flv::write_audio_header(codec), b"\xfc\xff\xfe"]);
        let payload = Bytes::from_static(b"\xfc\xff\xfe");
        assert_eq!(reader.parse_audio(body), Ok(AudioTag::Frame { codec, payload }));
    }
    let end = Bytes::copy_from_slice(&flv::audio_end_of_sequence(Codec::Opus));
    assert_eq!(Reader::new().parse_audio(end), Ok(AudioTag::EndOfSequence));
}

#[test]
fn legacy_h265_of_older_encoders_is_read() {
    let (frame, h265) = fixture::h265("h265_main.hevc");
    let mut reader = Reader::new();
    let config = reader.parse_video(join(&[&[0x1c, 0, 0, 0, 0], &h265.hvcc()])).unwrap();
    assert_eq!(config, VideoTag::Config(Parameters::H265(h265)));
    let tag = reader.parse_video(join(&[&[0x1c, 1, 0xff, 0xff, 0xfe], &frame])).unwrap();
    assert_eq!(frame_of(tag), (true, -2, frame));
}

#[test]
fn enhanced_h264_and_aac_are_read() {
    let (parameters, frame) = (h264_config(), h264_frame());
    let Parameters::H264(h264) = &parameters else { unreachable!() };
    let mut reader = Reader::new();
    let config = reader.parse_video(join(&[b"\x90avc1", &h264.avcc()])).unwrap();
    assert_eq!(config, VideoTag::Config(parameters.clone()));
    let tag = reader.parse_video(join(&[b"\x91avc1\x00\x00\x21", &frame])).unwrap();
    assert_eq!(frame_of(tag), (true, 33, frame.clone()));
    let tag = reader.parse_video(join(&[b"\x93avc1", &frame])).unwrap();
    assert_eq!(frame_of(tag), (true, 0, frame));

    let config = reader.parse_audio(join(&[b"\x90mp4a", &[0x12, 0x10]])).unwrap();
    assert_eq!(config, AudioTag::Config(Parameters::Aac(aac::Parameters::low_complexity(44_100, 2).unwrap())));
    let frame = AudioTag::Frame { codec: Codec::Aac, payload: Bytes::from_static(b"\x21\x10") };
    assert_eq!(reader.parse_audio(Bytes::from_static(b"\x91mp4a\x21\x10")), Ok(frame));
}

#[test]
fn modifiers_are_skipped() {
    let frame = h264_frame();
    let mut reader = Reader::new();
    reader.parse_video(flv::write_video_config(&h264_config())).unwrap();
    // ModEx of three bytes (nanoseconds), type 0, then CodedFramesX; and one of 300 bytes with the long size.
    let tag = reader.parse_video(join(&[b"\x97\x02\x01\x02\x03\x03avc1", &frame])).unwrap();
    assert_eq!(frame_of(tag), (true, 0, frame.clone()));
    let tag = reader.parse_video(join(&[b"\x97\xff\x01\x2b", &[0; 300], b"\x03avc1", &frame])).unwrap();
    assert_eq!(frame_of(tag), (true, 0, frame));
    // Endless modifiers are refused.
    let endless = join(&[b"\x97", &[0, 9, 7].repeat(100)]);
    assert!(matches!(reader.parse_video(endless), Err(FlvError::Malformed(_))));
}

#[test]
fn track_zero_is_unwrapped_and_others_are_further_renditions() {
    let frame = h264_frame();
    let mut reader = Reader::new();
    reader.parse_video(flv::write_video_config(&h264_config())).unwrap();
    let size = &(frame.len() as u32).to_be_bytes()[1..];
    // The message has one track.
    let tag = reader.parse_video(join(&[b"\x96\x03avc1\x00", &frame])).unwrap();
    assert_eq!(frame_of(tag), (true, 0, frame.clone()));
    // The message has many tracks of one codec, and the wanted one is the second.
    let tag = reader.parse_video(join(&[b"\x96\x13avc1\x01\x00\x00\x02no\x00", size, &frame])).unwrap();
    assert_eq!(frame_of(tag), (true, 0, frame.clone()));
    // The message has many codecs. An unknown one on another track is not an error.
    let tag = reader.parse_video(join(&[b"\x96\x23xxxx\x07\x00\x00\x01-avc1\x00", size, &frame])).unwrap();
    assert_eq!(frame_of(tag), (true, 0, frame.clone()));
    assert_eq!(reader.other_tracks(), 1, "a codec that is not carried");
    let tag = reader.parse_video(join(&[b"\x96\x03avc1\x05", &frame])).unwrap();
    assert_eq!((tag, reader.other_tracks()), (VideoTag::Further, 1));
    assert_eq!(
        reader.next_further().map(|(rendition, tag)| (rendition.0, frame_of(tag.unwrap()).2)),
        Some((2, frame.clone()))
    );
    assert_eq!(reader.next_further(), None);
    // A size reaches past the end.
    let broken = reader.parse_video(join(&[b"\x96\x13avc1\x00\x00\xff\xff", &frame]));
    assert_eq!(broken, Err(FlvError::Malformed(Malformed::Truncated { what: "FLV video tag" })));
    let frame = AudioTag::Frame { codec: Codec::Aac, payload: Bytes::from_static(b"\x21\x10") };
    assert_eq!(reader.parse_audio(Bytes::from_static(b"\x95\x01mp4a\x00\x21\x10")), Ok(frame));
}

#[test]
fn a_lone_track_of_any_number_is_taken_and_a_lower_one_takes_its_place_with_its_header() {
    let (config, frame) = (h264_config(), h264_frame());
    let Parameters::H264(h264) = &config else { unreachable!() };
    let header = |track: u8| join(&[b"\x96\x00avc1", &[track], &h264.avcc()]);
    let coded = |track: u8| join(&[b"\x96\x03avc1", &[track], &frame]);
    let other = VideoTag::Further;
    let mut reader = Reader::new();
    assert_eq!(reader.parse_video(header(2)).unwrap(), VideoTag::Config(config.clone()));
    assert_eq!(frame_of(reader.parse_video(coded(2)).unwrap()), (true, 0, frame.clone()));
    for left_out in [header(3), coded(3), coded(1), join(&[b"\x93avc1", &frame])] {
        assert_eq!(reader.parse_video(left_out).unwrap(), other);
    }
    assert_eq!(reader.other_tracks(), 0);
    assert_eq!(reader.parse_video(header(1)).unwrap(), VideoTag::Config(config.clone()), "a lower one");
    assert_eq!(reader.parse_video(coded(2)).unwrap(), other);
    assert_eq!(frame_of(reader.parse_video(coded(1)).unwrap()), (true, 0, frame.clone()));
    let legacy = reader.parse_video(flv::write_video_config(&config)).unwrap();
    assert_eq!(legacy, VideoTag::Config(config), "without the multitrack layer it is track 0");
    assert_eq!(reader.parse_video(coded(1)).unwrap(), other);
    // Audio has a choice of its own: the lowest of the first message, whose codec is carried.
    let two = b"\x95\x21xxxx\x01\0\0\x01-Opus\x03\0\0\x03\xfc\xff\xfeOpus\x02\0\0\x03\xfc\xff\xfd";
    let packet = |last: u8| AudioTag::Frame { codec: Codec::Opus, payload: join(&[&[0xfc, 0xff, last]]) };
    let before = reader.other_tracks();
    assert_eq!(reader.parse_audio(Bytes::from_static(two)), Ok(packet(0xfd)));
    assert_eq!(reader.other_tracks() - before, 2);
    let unknown = reader.parse_audio(Bytes::from_static(b"\x95\x01xxxx\x05-"));
    assert_eq!(unknown, Ok(AudioTag::Ignored(Ignored::OtherTrack)), "the codec of another track does not matter");
}

#[test]
fn another_track_goes_on_with_its_first_header_where_the_taken_one_ends_or_falls_silent() {
    let (config, frame) = (h264_config(), h264_frame());
    let Parameters::H264(h264) = &config else { unreachable!() };
    let header = |track: u8| join(&[b"\x96\x00avc1", &[track], &h264.avcc()]);
    let coded = |track: u8| join(&[b"\x96\x03avc1", &[track], &frame]);
    let other = VideoTag::Further;
    let opus = |track: u8| join(&[b"\x95\x01Opus", &[track], b"\xfc\xff\xfe"]);

    let mut reader = Reader::new();
    reader.parse_video(header(0)).unwrap();
    assert_eq!(reader.parse_video(header(1)).unwrap(), other);
    // It is as slow as one frame of 100 of the other, and is not silent.
    for turn in 0..1000 {
        if turn % 100 == 0 {
            assert_eq!(frame_of(reader.parse_video(coded(0)).unwrap()), (true, 0, frame.clone()));
        }
        assert_eq!(reader.parse_video(coded(1)).unwrap(), other);
    }
    let left_out = (0..1000).take_while(|_| reader.parse_video(coded(1)).unwrap() == other).count();
    assert_eq!((left_out, reader.main_track(MediaKind::Video)), (49, Some(1)));
    assert_eq!(frame_of(reader.parse_video(coded(1)).unwrap()), (true, 0, frame.clone()));
    assert_eq!(reader.parse_video(coded(0)).unwrap(), other);
    assert_eq!(reader.parse_video(header(0)).unwrap(), VideoTag::Config(config.clone()), "the lower one is back");
    // Its end is told.
    reader.parse_video(header(1)).unwrap();
    assert_eq!(reader.parse_video(join(&[b"\x96\x02avc1\x00"])).unwrap(), VideoTag::EndOfSequence);
    assert_eq!(reader.parse_video(coded(1)).unwrap(), VideoTag::Config(config));
    assert_eq!(frame_of(reader.parse_video(coded(1)).unwrap()), (true, 0, frame));

    // What has no header begins with its frame.
    reader.parse_audio(opus(0)).unwrap();
    let is_left_out = |tag: AudioTag| tag == AudioTag::Ignored(Ignored::OtherTrack);
    let left_out = (0..1000).take_while(|_| is_left_out(reader.parse_audio(opus(1)).unwrap())).count();
    assert_eq!((left_out, reader.main_track(MediaKind::Audio)), (149, Some(1)));
}

#[test]
fn further_tracks_are_numbered_by_size_keep_their_numbers_and_end_in_silence() {
    let frame = h264_frame();
    let small = h264_config();
    let large = Parameters::H264(fixture::h264("h264_high_cropped.h264").1);
    assert!(large.resolution() > small.resolution());
    let avcc = |parameters: &Parameters| match parameters {
        Parameters::H264(h264) => h264.avcc(),
        other => panic!("{other:?}"),
    };
    let header = |track: u8, parameters| join(&[b"\x96\x00avc1", &[track], &avcc(parameters)]);
    let coded = |track: u8| join(&[b"\x96\x03avc1", &[track], &frame]);
    let mut reader = Reader::new();
    let mut read = |body| {
        let main = reader.parse_video(body).unwrap();
        let further = std::iter::from_fn(|| reader.next_further()).map(|(rendition, tag)| {
            let what = match tag.unwrap() {
                VideoTag::Config(_) => "config",
                VideoTag::Frame { .. } => "frame",
                VideoTag::EndOfSequence => "end",
                other => panic!("{other:?}"),
            };
            format!("{} {what}", rendition.0)
        });
        (main, further.collect::<Vec<_>>().join(", "))
    };
    read(header(0, &large));
    assert_eq!(read(header(1, &small)), (VideoTag::Further, String::new()));
    read(header(2, &large));
    read(coded(0));
    assert_eq!(read(coded(1)).1, "2 config, 2 frame", "the larger one is rendition 1");
    assert_eq!(read(coded(2)).1, "1 config, 1 frame");
    assert_eq!(read(header(2, &small)).1, "1 config", "it keeps its number");
    // One that comes later.
    assert_eq!(read(coded(7)).1, "3 frame");
    // Track 1 falls silent, and begins again.
    let mut ended = Vec::new();
    for _ in 0..149 {
        ended.push(read(coded(0)).1);
        read(coded(2));
        read(coded(7));
    }
    assert_eq!((ended.concat(), read(coded(0)).1), (String::new(), "2 end".to_owned()));
    assert_eq!(read(coded(1)).1, "2 config, 2 frame");
    // The main track falls silent. Track 2 stands in for it, and goes on as what it is.
    let (mains, _): (Vec<_>, Vec<_>) = (0..150).map(|_| (read(coded(2)).0, read(coded(1)))).unzip();
    assert!(mains[..149].iter().all(|main| *main == VideoTag::Further));
    assert!(matches!(mains[149], VideoTag::Config(_)));
    assert_eq!(read(coded(2)), (read(coded(2)).0, "1 frame".to_owned()));
    // Six renditions at most.
    for track in 8..12 {
        read(coded(track));
    }
    assert_eq!(read(coded(12)).0, VideoTag::Ignored(Ignored::OtherTrack));
}

#[test]
fn a_tag_that_is_not_a_frame_is_ignored_with_its_reason() {
    let mut reader = Reader::new();
    let cases: [(&'static [u8], Ignored); 8] = [
        (b"\x97\x02\x01\x02\x03\x03av01\x12\x00", Ignored::Empty), // a temporal delimiter alone
        (b"", Ignored::Empty),
        (b"\x17\x01\x00\x00\x00", Ignored::Empty),
        (b"\x57\x00", Ignored::Command),
        (b"\xd0\x00", Ignored::Command),
        (b"\x94hvc1whatever", Ignored::Metadata),
        (b"\x95av01", Ignored::UnknownPacketType(5)),
        (b"\x17\x09\x00\x00\x00", Ignored::UnknownPacketType(9)),
    ];
    for (body, reason) in cases {
        assert_eq!(reader.parse_video(Bytes::from_static(body)), Ok(VideoTag::Ignored(reason)), "{body:x?}");
    }
    let empty = Ok(AudioTag::Ignored(Ignored::Empty));
    assert_eq!(reader.parse_audio(Bytes::from_static(b"\xaf\x01")), empty);
    assert_eq!(reader.parse_audio(Bytes::from_static(b"\x94Opus")), Ok(AudioTag::Ignored(Ignored::ChannelOrder)));
}

#[test]
fn a_codec_without_support_is_refused_by_name() {
    let mut reader = Reader::new();
    for (body, name) in [
        (&b"\x22\x00"[..], "FLV video codec 2 (Sorenson H.263)"),
        (b"\x2f\x00", "FLV video codec 15"),
        (b"\x90vvc1", "vvc1"),
        (b"\x90Opus", "opus as video"),
        (b"\x90\xffa\"\n", "\\xffa\\\"\\n"),
    ] {
        let refused = reader.parse_video(Bytes::copy_from_slice(body));
        assert_eq!(refused, Err(FlvError::UnsupportedCodec(name.to_owned())));
    }
    let refused = reader.parse_audio(Bytes::from_static(b"\x2f\x00"));
    assert_eq!(refused, Err(FlvError::UnsupportedCodec("FLV sound format 2 (MP3)".to_owned())));
}

#[test]
fn a_profile_without_support_is_named_with_its_configuration_and_with_each_frame_after_it() {
    let mut reader = Reader::new();
    let mut audio = |body: &[u8]| reader.parse_audio(Bytes::copy_from_slice(body));
    let frame = b"\xaf\x01\x21\x10";
    for (config, name) in [
        (&b"\xaf\x00\xf8\xe6\x40\x00"[..], "AAC-ELD (audio object type 39)"),
        (b"\xaf\x00\xf9\x46\x40\x00\x00", "xHE-AAC (audio object type 42)"),
        (b"\xaf\x00\x89\x90\x00", "AAC ER LC (audio object type 17)"),
        (b"\xaf\x00\x49\x90\x00", "aac with object type 9"),
        (b"\x90OpusOpusHead\xf0\x02\x00\x00\x80\xbb\x00\x00\x00\x00\x00", "opus with version 240"),
    ] {
        let refused = Err(FlvError::UnsupportedCodec(name.to_owned()));
        assert_eq!(audio(config), refused);
        let is_aac = config[0] == 0xaf;
        assert_eq!(audio(if is_aac { frame } else { b"\x91Opus\xfc" }), refused, "nothing is missing from it");
    }
    assert!(
        matches!(audio(b"\xaf\x01\xff\xf1\x50\x80\x01\x3f\xfc\x21\x10"), Ok(AudioTag::Frame { .. })),
        "a header of its own"
    );
    assert!(matches!(audio(b"\xaf\x00\x11\x90"), Ok(AudioTag::Config(_))));
    assert!(matches!(audio(frame), Ok(AudioTag::Frame { .. })));
}

#[test]
fn frames_without_a_record_and_frames_in_start_codes_are_read() {
    let (h264, h265) = (fixture::h264("h264_baseline.h264").0, fixture::h265("h265_main.hevc").0);
    let cases: [(&[u8], &[u8], &Bytes); 4] = [
        (b"\x17\x00\0\0\0", b"\x17\x01\0\0\0", &h264),
        (b"\x1c\x00\0\0\0", b"\x1c\x01\0\0\0", &h265),
        (b"\x90avc3", b"\x93avc3", &h264),
        (b"\x90hev1", b"\x93hev1", &h265),
    ];
    for (empty_record, head, frame) in cases {
        for payload in [frame.clone(), nal::to_annex_b(frame)] {
            let tag = Reader::new().parse_video(join(&[head, &payload])).unwrap();
            assert_eq!(frame_of(tag), (true, 0, frame.clone()));
        }
        let mut reader = Reader::new();
        assert_eq!(reader.parse_video(join(&[empty_record])), Ok(VideoTag::Ignored(Ignored::Empty)));
        assert!(matches!(reader.parse_video(join(&[empty_record, &[1, 2]])), Err(FlvError::Malformed(_))));
        let in_start_codes = reader.parse_video(join(&[empty_record, &nal::to_annex_b(frame)]));
        assert!(matches!(in_start_codes, Ok(VideoTag::Config(_))), "{in_start_codes:?}");
        assert_eq!(frame_of(reader.parse_video(join(&[head, frame])).unwrap()), (true, 0, frame.clone()));
    }
    // The header of ADTS stands for the configuration.
    let aac = aac::Parameters::low_complexity(44_100, 2).unwrap();
    let config = Reader::new().parse_audio(join(&[&[0xaf, 0], &aac.adts_header(0).unwrap()]));
    assert_eq!(config, Ok(AudioTag::Config(Parameters::Aac(aac))));
}

#[test]
fn two_byte_lengths_become_four() {
    let Parameters::H264(h264) = h264_config() else { unreachable!() };
    let mut avcc = h264.avcc().to_vec();
    avcc[4] = 0xfd;
    let mut reader = Reader::new();
    reader.parse_video(join(&[&[0x17, 0, 0, 0, 0], &avcc])).unwrap();
    let frame = h264_frame();
    let short: Vec<u8> =
        nal::nal_units(&frame).flat_map(|unit| [&(unit.len() as u16).to_be_bytes()[..], unit].concat()).collect();
    let tag = reader.parse_video(join(&[&[0x17, 1, 0, 0, 0], &short])).unwrap();
    assert_eq!(frame_of(tag), (true, 0, frame));
    let broken = reader.parse_video(join(&[&[0x17, 1, 0, 0, 0], &short[..short.len() - 1]]));
    assert_eq!(broken, Err(FlvError::Malformed(Malformed::Truncated { what: "NAL unit" })));
}

#[test]
fn a_written_file_has_the_layout_of_the_specification() {
    assert_eq!(flv::file_header(true, true), *b"FLV\x01\x05\x00\x00\x00\x09\x00\x00\x00\x00");
    assert_eq!(flv::file_header(false, true)[4], 1);
    let header = flv::tag_header(TagType::Video, 0x0102_0304, 0x00a0_b0c0);
    assert_eq!(header, [9, 0xa0, 0xb0, 0xc0, 2, 3, 4, 1, 0, 0, 0]);
    assert_eq!(flv::previous_tag_size(5), [0, 0, 0, 16]);
    assert_eq!(TagType::from(MediaKind::Audio) as u8, 8);
    let aac = Parameters::Aac(aac::Parameters::low_complexity(48_000, 1).unwrap());
    let body = flv::on_meta_data(Some(&h264_config()), Some(&aac));
    let property = |name: &str, value: &[u8]| {
        let wanted = [&(name.len() as u16).to_be_bytes()[..], name.as_bytes(), value].concat();
        assert!(body.windows(wanted.len()).any(|window| window == wanted), "{name}");
    };
    property("width", &[&[0][..], &64f64.to_be_bytes()].concat());
    property("framerate", &[&[0][..], &25f64.to_be_bytes()].concat());
    property("videocodecid", &[&[0][..], &7f64.to_be_bytes()].concat());
    property("stereo", &[1, 0]);
    assert_eq!(body[13..18], [8, 0, 0, 0, 9]);
    assert!(body.starts_with(b"\x02\x00\x0aonMetaData") && body.ends_with(&[0, 0, 9]));
}
