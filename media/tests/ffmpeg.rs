//! Compares the parsers with real ffmpeg: with what ffprobe reports about fresh streams, and with how its decoder and
//! its header tracer read rewritten parameter sets.
#![allow(clippy::unwrap_used)]

mod fixture;

use bytes::Bytes;
use onmic_media::codec::{Codec, Parameters, h264, h265, nal};
use onmic_media::flv::{self, AudioTag, TagType, VideoTag};
use std::io::Write;
use std::process::{Command, Stdio};

/// Runs a program with `input`. Returns its standard output and its standard error.
fn run(program: &str, arguments: &str, input: &[u8]) -> (Vec<u8>, String) {
    let mut child = Command::new(program)
        .args(arguments.split_whitespace())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("ffmpeg is installed");
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let feeding = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    // A broken pipe is no error: the program may have read enough.
    let _ = feeding.join().unwrap();
    let messages = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program} {arguments}: {messages}");
    (output.stdout, messages)
}

fn encode(source: &str, encoder: &str, format: &str) -> Vec<u8> {
    run(
        "ffmpeg",
        &format!("-v error -threads 1 -f lavfi -i testsrc2={source} -frames:v 8 {encoder} -threads 1 -f {format} -"),
        &[],
    )
    .0
}

/// Returns the width, the height, the frame rate, and whether frames are reordered.
fn probe(stream: &[u8], format: &str) -> (u32, u32, f64, bool) {
    let entries = "stream=width,height,has_b_frames,r_frame_rate";
    let (printed, _) = run("ffprobe", &format!("-v error -f {format} -show_entries {entries} -of csv=p=0 -"), stream);
    let printed = String::from_utf8(printed).unwrap();
    let fields: Vec<_> = printed.lines().next().unwrap().split(',').collect();
    let (over, under) = fields[3].split_once('/').unwrap();
    let rate = over.parse::<f64>().unwrap() / under.parse::<f64>().unwrap();
    (fields[0].parse().unwrap(), fields[1].parse().unwrap(), rate, fields[2] != "0")
}

/// Returns a hash of every decoded frame, in output order.
fn decoded(stream: &[u8], format: &str) -> Vec<String> {
    let (printed, _) = run("ffmpeg", &format!("-v error -threads 1 -f {format} -i - -f framemd5 -"), stream);
    let lines = String::from_utf8(printed).unwrap();
    lines
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.rsplit(',').next().unwrap().to_owned())
        .collect()
}

/// Returns the fields of the first SPS as ffmpeg names them: bit position, name, value.
fn traced_sps(stream: &[u8]) -> Vec<(usize, String, String)> {
    let (_, messages) = run("ffmpeg", "-f h264 -i - -c copy -bsf:v trace_headers -f null -", stream);
    let lines = messages.lines().filter_map(|line| line.split_once("] ").map(|(_, rest)| rest));
    let sps = lines.skip_while(|line| *line != "Sequence Parameter Set").skip(1);
    sps.map_while(|line| {
        let (front, value) = line.split_once(" = ")?;
        let mut words = front.split_whitespace();
        Some((words.next()?.parse().ok()?, words.next()?.to_owned(), value.to_owned()))
    })
    .collect()
}

/// Returns the SPS with the field at a bit position, and all fields after it, replaced by a single zero: a flag that
/// means "absent".
fn cut_at(sps: &Bytes, position: usize) -> Bytes {
    let mut zeros = 0;
    let rbsp: Vec<u8> = sps
        .iter()
        .copied()
        .filter(|&byte| {
            let prevents = zeros >= 2 && byte == 3;
            zeros = if byte == 0 { zeros + 1 } else { 0 };
            !prevents
        })
        .collect();
    let mut bits: Vec<bool> = (0..position).map(|bit| rbsp[bit / 8] >> (7 - bit % 8) & 1 == 1).collect();
    bits.extend([false, true]);
    let mut nal = Vec::new();
    for chunk in bits.chunks(8) {
        let byte = chunk.iter().enumerate().fold(0u8, |byte, (index, &bit)| byte | u8::from(bit) << (7 - index));
        if nal.ends_with(&[0, 0]) && byte <= 3 {
            nal.push(3);
        }
        nal.push(byte);
    }
    nal.into()
}

fn with_sps(stream: &Bytes, sps: &Bytes) -> Bytes {
    let units = nal::nal_units(stream).map(|unit| if h264::nal_type(unit) == 7 { &sps[..] } else { unit });
    nal::to_annex_b(&nal::join(units))
}

#[test]
fn h264_streams_are_read_as_ffprobe_reads_them() {
    let cases = [
        ("s=320x180:r=30", "-c:v libx264 -profile:v baseline -pix_fmt yuv420p"),
        ("s=640x360:r=30000/1001", "-c:v libx264 -profile:v main -pix_fmt yuv420p -bf 3 -refs 4"),
        ("s=642x362:r=25", "-c:v libx264 -preset ultrafast -pix_fmt yuv420p"),
        ("s=1920x1080:r=60", "-c:v libx264 -preset ultrafast -tune zerolatency -pix_fmt yuv420p"),
        (
            "s=1280x720:r=24000/1001",
            "-c:v libx264 -preset veryfast -pix_fmt yuv420p -bf 2 -x264-params b-pyramid=normal",
        ),
        ("s=322x240:r=50", "-c:v libx264 -profile:v high422 -pix_fmt yuv422p -bf 0"),
    ];
    for (source, encoder) in cases {
        let stream = encode(source, encoder, "h264");
        let parameters = h264::Parameters::from_access_unit(&nal::from_annex_b(&stream)).unwrap();
        let parameters = Parameters::H264(parameters);
        let (width, height) = parameters.resolution().unwrap();
        let read = (width, height, parameters.frame_rate().unwrap(), parameters.reorders().unwrap());
        assert_eq!(read, probe(&stream, "h264"), "{source} {encoder}");
    }
}

#[test]
fn h265_streams_are_read_as_ffprobe_reads_them() {
    let cases = [
        ("s=320x180:r=30", "bframes=0", "-pix_fmt yuv420p"),
        ("s=642x362:r=30000/1001", "bframes=3", "-pix_fmt yuv420p10le"),
        ("s=322x240:r=25", "bframes=0:hrd=1:vbv-maxrate=500:vbv-bufsize=500", "-pix_fmt yuv444p"),
    ];
    for (source, params, options) in cases {
        let encoder = format!("-c:v libx265 -preset ultrafast -x265-params log-level=none:{params} {options}");
        let stream = encode(source, &encoder, "hevc");
        let parameters = h265::Parameters::from_access_unit(&nal::from_annex_b(&stream)).unwrap();
        let parameters = Parameters::H265(parameters);
        let (width, height) = parameters.resolution().unwrap();
        let read = (width, height, parameters.frame_rate().unwrap(), parameters.reorders().unwrap());
        assert_eq!(read, probe(&stream, "hevc"), "{source} {params}");
    }
}

#[test]
fn a_rewritten_sps_decodes_to_the_same_frames() {
    const HRD: &str = "nal-hrd=cbr:vbv-maxrate=800:vbv-bufsize=400:bitrate=800";
    let cases = [
        "-profile:v baseline -pix_fmt yuv420p".to_owned(),
        "-profile:v main -pix_fmt yuv420p -bf 0 -refs 5".to_owned(),
        format!("-profile:v high -pix_fmt yuv420p -bf 0 -x264-params {HRD}"),
        "-profile:v high -pix_fmt yuv420p -bf 0 -x264-params tff=1:cqm=jvt".to_owned(),
        "-profile:v high10 -pix_fmt yuv420p10le -bf 0 -color_range pc -colorspace bt709".to_owned(),
        "-profile:v high444 -pix_fmt yuv444p -bf 0 -g 1".to_owned(),
    ];
    for options in &cases {
        let stream = nal::from_annex_b(&encode("s=322x184:r=30", &format!("-c:v libx264 {options}"), "h264"));
        let original = h264::Parameters::from_access_unit(&stream).unwrap();
        let pictures = decoded(&nal::to_annex_b(&stream), "h264");
        assert_eq!(pictures.len(), 8, "{options}");
        let traced = traced_sps(&nal::to_annex_b(&stream));
        let position = |name: &str| traced.iter().find(|field| field.1 == name).unwrap().0;
        // x264 writes a VUI with restriction; other encoders leave out one or both.
        let variants = [
            original.sps[0].clone(),
            cut_at(&original.sps[0], position("bitstream_restriction_flag")),
            cut_at(&original.sps[0], position("vui_parameters_present_flag")),
        ];
        for sps in variants {
            let before = h264::Parameters::from_parameter_sets(vec![sps.clone()], original.pps.clone()).unwrap();
            let rewritten = before.without_reordering();
            let stream = with_sps(&stream, &rewritten.sps[0]);
            assert_eq!(decoded(&stream, "h264"), pictures, "{options}");

            let (fields, expected) = (traced_sps(&stream), traced_sps(&with_sps(&nal::from_annex_b(&stream), &sps)));
            let value = |name: &str| fields.iter().find(|field| field.1 == name).unwrap().2.clone();
            assert_eq!(value("bitstream_restriction_flag"), "1", "{options}");
            assert_eq!(value("max_num_reorder_frames"), "0", "{options}");
            let references = before.max_num_ref_frames.max(1).to_string();
            assert_eq!(value("max_dec_frame_buffering"), references, "{options}");
            let changed = ["vui_parameters_present_flag", "bitstream_restriction_flag", "max_num_reorder_frames"];
            let end = expected.iter().position(|field| changed.contains(&&*field.1) && field.2 != "1");
            let end = end.unwrap_or(expected.len());
            assert_eq!(fields[..end], expected[..end], "{options}: a field before the new ones changed");
        }
    }
}

#[test]
fn a_flv_file_that_is_read_and_written_again_plays_the_same() {
    let mut reader = flv::Reader::new();
    let (mut video, mut audio, mut tags) = (None, None, Vec::new());
    for (kind, time, body) in fixture::flv("h264_aac.flv") {
        let written = match kind {
            9 => match reader.parse_video(body).unwrap() {
                VideoTag::Config(parameters) => flv::write_video_config(video.insert(parameters)),
                VideoTag::Frame { keyframe, composition_ms, payload, .. } => {
                    let header = flv::write_video_header(Codec::H264, keyframe, composition_ms);
                    [&header[..], &payload].concat().into()
                }
                VideoTag::EndOfSequence => Bytes::copy_from_slice(&flv::video_end_of_sequence(Codec::H264)),
                other => panic!("{other:?}"),
            },
            8 => match reader.parse_audio(body).unwrap() {
                AudioTag::Config(parameters) => flv::write_audio_config(audio.insert(parameters)),
                AudioTag::Frame { payload, .. } => [&flv::write_audio_header(Codec::Aac)[..], &payload].concat().into(),
                other => panic!("{other:?}"),
            },
            _ => continue,
        };
        tags.push((if kind == 9 { TagType::Video } else { TagType::Audio }, time, written));
    }
    tags.insert(0, (TagType::Script, 0, flv::on_meta_data(video.as_ref(), audio.as_ref())));
    let mut file = flv::file_header(true, true).to_vec();
    for (kind, time, body) in tags {
        file.extend(flv::tag_header(kind, time, body.len()));
        file.extend(&body);
        file.extend(flv::previous_tag_size(body.len()));
    }
    let original = decoded(&fixture::read("h264_aac.flv"), "flv");
    assert_eq!(decoded(&file, "flv"), original);
    assert!(original.len() > 6, "video and audio");
    let (printed, _) = run("ffprobe", "-v error -f flv -show_entries format_tags=encoder -of csv=p=0 -", &file);
    assert!(printed.starts_with(b"onmic "), "the metadata is read");
}
