//! Tests that streams of real encoders, packaged and read again by real ffprobe and ffmpeg, lose no frame and shift no
//! time.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use common::{Scratch, ffmpeg, frames_of_flv, make_flv, probe, secs};
use mp4_atom::{Decode, Moof, Prft};
use onmic_media::{ClockRate, Frame, MediaKind, Ticks, TrackKey};
use onmic_packager::{ORIGIN_SECONDS, Rendition, Segmenter, Settings, multivariant};

const X264: [&str; 8] = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "60", "-pix_fmt", "yuv420p"];
const AAC: [&str; 4] = ["-c:a", "aac", "-b:a", "96k"];

fn package(frames: &[Arc<Frame>]) -> Segmenter {
    let settings = Settings::new(secs(0.333), secs(2.0), secs(600.0));
    let mut segmenter = Segmenter::new(settings, true);
    for frame in frames {
        segmenter.push(frame.kind().into(), frame).unwrap();
    }
    segmenter.finish().unwrap();
    segmenter
}

fn whole(rendition: &Rendition) -> Vec<u8> {
    let mut bytes = rendition.init().body.to_vec();
    rendition.segments().for_each(|segment| bytes.extend(segment.body().to_vec()));
    bytes
}

fn micros(seconds: &str) -> i64 {
    (seconds.parse::<f64>().unwrap() * 1e6).round() as i64
}

/// Checks that ffmpeg finds in the packaged track what went in: the frames, their presentation times and their images.
fn check(scratch: &Scratch, name: &str, source: &Path, frames: &[Arc<Frame>]) {
    let segmenter = package(frames);
    for kind in [MediaKind::Video, MediaKind::Audio] {
        let Some(rendition) = segmenter.rendition(kind) else { continue };
        let file = scratch.path(&format!("{name}-{}.mp4", kind.name()));
        std::fs::write(&file, whole(rendition)).unwrap();
        let stream = &kind.name()[..1];
        let mut sent: Vec<_> = frames.iter().filter(|frame| frame.parameters.kind() == kind).collect();
        let rate = sent[0].parameters.clock_rate();
        sent.sort_by_key(|frame| frame.pts);
        let entries = ["-select_streams", stream, "-show_entries", "frame=pts_time"];
        let origin = (ORIGIN_SECONDS * 1_000_000) as i64;
        let shown: Vec<_> = probe(&file, &entries).iter().map(|time| micros(time) - origin).collect();
        let before_video = sent.len() - shown.len();
        assert!(before_video <= if kind == MediaKind::Audio { 6 } else { 0 }, "{name}: {before_video} lost");
        for (frame, shown) in sent[before_video..].iter().zip(&shown) {
            let off = (frame.pts.micros(rate) - shown).abs();
            // Audio is laid end to end. Video keeps its times to the tick.
            assert!(off <= if kind == MediaKind::Audio { 5_500 } else { 12 }, "{name}: {off} µs off at {shown}");
        }
        check_decoding_times(name, rendition);
    }
    same_pictures(scratch, name, source);
}

/// Checks that each fragment starts where the samples of the one before it end.
fn check_decoding_times(name: &str, rendition: &Rendition) {
    let mut end = None;
    for part in rendition.segments().flat_map(|segment| &segment.parts) {
        let bytes = part.body.to_vec();
        let mut rest = &bytes[..];
        Prft::decode(&mut rest).unwrap();
        let moof = Moof::decode(&mut rest).unwrap();
        let traf = &moof.traf[0];
        let start = traf.tfdt.as_ref().unwrap().base_media_decode_time;
        assert_eq!(end.unwrap_or(start), start, "{name}");
        let durations = traf.trun[0].samples.iter().map(|sample| u64::from(sample.duration.unwrap()));
        end = Some(start + durations.sum::<u64>());
        let sizes = traf.trun[0].samples.iter().map(|sample| sample.size.unwrap() as usize);
        assert_eq!(rest.len(), sizes.sum::<usize>() + 8, "{name}");
    }
}

fn same_pictures(scratch: &Scratch, name: &str, source: &Path) {
    let hashes = |file: &Path| {
        let out = scratch.path("hashes");
        let file = file.to_str().unwrap();
        ffmpeg(&["-i", file, "-map", "0:v", "-fps_mode", "passthrough", "-f", "framemd5", out.to_str().unwrap()]);
        let text = std::fs::read_to_string(out).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(|line| line.rsplit(',').next().unwrap().trim().to_owned()).collect::<Vec<_>>()
    };
    let packaged = hashes(&scratch.path(&format!("{name}-video.mp4")));
    assert!(packaged.len() > 50 && packaged.iter().collect::<HashSet<_>>().len() > 50);
    assert_eq!(packaged, hashes(source), "{name}");
}

fn check_flv(name: &str, rate: &str, arguments: &[&str]) {
    let scratch = Scratch::new(name);
    let source = scratch.path("source.flv");
    let flv = make_flv(&source, 7, rate, arguments);
    check(&scratch, name, &source, &frames_of_flv(flv));
}

#[test]
fn h264_without_reordering() {
    check_flv("plain", "30", &[&X264[..], &["-bf", "0"], &AAC].concat());
}

#[test]
fn h264_with_reordering_at_a_film_rate() {
    check_flv("bframes", "24000/1001", &[&X264[..], &["-bf", "2"], &AAC].concat());
}

#[test]
fn a_long_group_of_frames_at_44100_hz() {
    check_flv("long", "25", &[&X264[..], &["-bf", "2", "-g", "250"], &AAC, &["-ar", "44100"]].concat());
}

/// Times the frames of codecs that this ffmpeg cannot put into FLV, as a camera would.
fn timed(frames: Vec<(bool, bytes::Bytes)>, parameters: onmic_media::Parameters, source: &Path) -> Vec<Arc<Frame>> {
    let order = probe(source, &["-select_streams", "v", "-show_entries", "packet=pts_time,dts_time"]);
    assert_eq!(order.len(), frames.len());
    let parameters = Arc::new(parameters);
    let first = micros(order[0].split_once(',').unwrap().1);
    let on_clock = |text: &str| Ticks(10_000_000 + micros(text) - first).rescale(ClockRate::MICROS, ClockRate::VIDEO);
    let frame = |((keyframe, payload), times): ((bool, bytes::Bytes), &String)| {
        let (pts, dts) = times.split_once(',').unwrap();
        Arc::new(Frame {
            dts: on_clock(dts),
            pts: on_clock(pts),
            wall: common::EPOCH,
            arrived: std::time::Instant::now(),
            keyframe,
            parameters: parameters.clone(),
            payload,
        })
    };
    frames.into_iter().zip(&order).map(frame).collect()
}

/// Returns the configuration record and the length-prefixed samples of an MP4 file of ffmpeg.
fn samples_of_mp4(path: &Path, record: &[u8; 4]) -> (Vec<u8>, Vec<bytes::Bytes>) {
    let file = bytes::Bytes::from(std::fs::read(path).unwrap());
    let at = file.windows(4).position(|window| window == record).unwrap();
    let size = u32::from_be_bytes(file[at - 4..at].try_into().unwrap()) as usize;
    let config = file[at + 4..at - 4 + size].to_vec();
    let packets = probe(path, &["-select_streams", "v", "-show_entries", "packet=size,pos"]);
    let samples = packets.iter().map(|packet| {
        let (size, position) = packet.split_once(',').unwrap();
        let (size, position): (usize, usize) = (size.parse().unwrap(), position.parse().unwrap());
        file.slice(position..position + size)
    });
    (config, samples.collect())
}

#[test]
fn h265_with_reordering() {
    use onmic_media::codec::h265;
    let scratch = Scratch::new("hevc");
    let source = scratch.path("source.mp4");
    let encode = ["-c:v", "libx265", "-preset", "ultrafast", "-tag:v", "hvc1"];
    let params = ["-x265-params", "bframes=2:keyint=60:min-keyint=60:log-level=none"];
    let input = ["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=30:duration=5"];
    ffmpeg(&[&input[..], &encode, &params, &[source.to_str().unwrap()]].concat());
    let (config, samples) = samples_of_mp4(&source, b"hvcC");
    let (parameters, _) = h265::Parameters::from_hvcc(&config).unwrap();
    let frames = samples.into_iter().map(|sample| (h265::access_unit_is_keyframe(&sample), sample)).collect();
    let frames = timed(frames, onmic_media::Parameters::H265(parameters), &source);
    check(&scratch, "hevc", &source, &frames);
}

#[test]
fn av1() {
    use onmic_media::codec::av1;
    let scratch = Scratch::new("av1");
    let source = scratch.path("source.mp4");
    let encode = ["-c:v", "libsvtav1", "-preset", "12", "-g", "60", "-svtav1-params", "pred-struct=1"];
    let input = ["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=30:duration=5"];
    ffmpeg(&[&input[..], &encode, &[source.to_str().unwrap()]].concat());
    let (config, samples) = samples_of_mp4(&source, b"av1C");
    let parameters = av1::Parameters::from_av1c(&config).unwrap();
    let frames = samples.into_iter().map(|sample| (av1::access_unit_is_keyframe(&sample), sample)).collect();
    let frames = timed(frames, onmic_media::Parameters::Av1(parameters), &source);
    check(&scratch, "av1", &source, &frames);
}

#[test]
fn audio_that_was_lost_becomes_silence_that_decodes() {
    let scratch = Scratch::new("silence");
    for layout in ["mono", "stereo", "3.0", "4.0", "5.0", "5.1"] {
        let filter = format!("aformat=channel_layouts={layout}");
        let settings = [&X264[..], &["-bf", "0"], &AAC, &["-af", &filter]].concat();
        let frames = frames_of_flv(make_flv(&scratch.path(&format!("{layout}.flv")), 6, "30", &settings));
        let lost = |frame: &Arc<Frame>| {
            let second = frame.pts.micros(frame.parameters.clock_rate()) as f64 / 1e6 - 10.0;
            frame.parameters.kind() == MediaKind::Audio && (2.0..3.0).contains(&second)
        };
        let kept: Vec<_> = frames.iter().filter(|frame| !lost(frame)).cloned().collect();
        let segmenter = package(&kept);
        let file = scratch.path(&format!("{layout}.mp4"));
        std::fs::write(&file, whole(segmenter.rendition(MediaKind::Audio).unwrap())).unwrap();
        let sent = frames.iter().filter(|frame| frame.parameters.kind() == MediaKind::Audio).count();
        let found = probe(&file, &["-show_entries", "frame=pts_time"]).len();
        assert!(found.abs_diff(sent) <= 6, "{layout}: {found} of {sent}");
        ffmpeg(&["-xerror", "-i", file.to_str().unwrap(), "-f", "null", "-"]);
    }
}

#[test]
fn the_multivariant_playlist_states_the_renditions() {
    let scratch = Scratch::new("multivariant");
    let flv = make_flv(&scratch.path("s.flv"), 6, "30", &[&X264[..], &["-bf", "0"], &AAC].concat());
    let segmenter = package(&frames_of_flv(flv));
    let text = multivariant::render(&segmenter, "dir/", &[TrackKey::VIDEO, TrackKey::AUDIO], &[]).unwrap();
    let (_, playlist) = m3u8_rs::parse_master_playlist(text.as_bytes()).unwrap();
    let variant = &playlist.variants[0];
    assert_eq!(variant.uri, "dir/video.m3u8");
    assert_eq!(variant.resolution, Some(m3u8_rs::Resolution { width: 320, height: 180 }));
    assert_eq!(variant.frame_rate, Some(30.0));
    assert_eq!(variant.audio.as_deref(), Some("audio"));
    let codecs = variant.codecs.as_deref().unwrap();
    assert!(codecs.starts_with("avc1.") && codecs.ends_with(",mp4a.40.2"), "{codecs}");
    assert!(variant.average_bandwidth.unwrap() <= variant.bandwidth);
    assert_eq!(playlist.alternatives[0].uri.as_deref(), Some("dir/audio.m3u8"));
    assert_eq!(playlist.alternatives[0].channels.as_deref(), Some("1"));
}
