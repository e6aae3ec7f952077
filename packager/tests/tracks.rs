//! Tests several tracks of one source, from its publication through a splice of the program to the playlists.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use mp4_atom::{Decode, Emsg, EmsgTimestamp};
use onmic_media::codec::{aac, h264, metadata};
use onmic_media::{
    Arrival, ClockRate, Feed, Hub, Join, Keyed, MediaKind, NodeClock, Parameters, Protocol, Publication, Read, Reader,
    Rendition, Ticks, TrackKey, WallTime,
};
use onmic_packager::playlist::{Around, render};
use onmic_packager::{ORIGIN_SECONDS, Segmenter, Settings, multivariant};

const LOWER: TrackKey = TrackKey::new(MediaKind::Video, Rendition(1));

/// Returns the parameters of 640 × 480 and of 312 × 192, both baseline.
fn video_parameters() -> [Arc<Parameters>; 2] {
    let large = [0x67, 0x42, 0xc0, 0x1f, 0x8c, 0x8d, 0x40, 0x50, 0x1e, 0xd0, 0x0f, 0x08, 0x84, 0x6a];
    let small = [0x67, 0x42, 0xc0, 0x0d, 0xda, 0x05, 0x0c, 0xed, 0xff, 0x01, 0x60, 0x22, 0x00, 0x00, 0x03, 0x00];
    let small = [&small[..], &[0x02, 0x00, 0x00, 0x03, 0x00, 0x79, 0x1e, 0x2c, 0x5d, 0xc0]].concat();
    let pps = Bytes::from_static(&[0x68, 0xce, 0x0f, 0xc8]);
    [large.to_vec(), small].map(|sps| {
        let sets = h264::Parameters::from_parameter_sets(vec![sps.into()], vec![pps.clone()]).unwrap();
        Arc::new(Parameters::H264(sets))
    })
}

/// A publisher of two video renditions, audio and a message every second, whose clock began with `offset_ms` at the
/// start of the test.
struct Publisher {
    publication: Publication,
    video: [Arc<Parameters>; 2],
    audio: Arc<Parameters>,
    data: Arc<Parameters>,
    start: Instant,
    offset_ms: i64,
}

impl Publisher {
    fn new(hub: &Hub, name: &str, start: Instant, offset_ms: i64) -> Self {
        let mut publication = hub.publish(&name.parse().unwrap(), Protocol::Whip, start).unwrap();
        publication.expect([TrackKey::VIDEO, LOWER, TrackKey::AUDIO, TrackKey::DATA]);
        let audio = Arc::new(Parameters::Aac(aac::Parameters::low_complexity(48_000, 2).unwrap()));
        let data = Arc::new(Parameters::Metadata(metadata::Parameters::new("urn:example:score", "1").unwrap()));
        Self { publication, video: video_parameters(), audio, data, start, offset_ms }
    }

    fn push(&mut self, rendition: u8, parameters: &Arc<Parameters>, at_ms: i64, keyframe: bool, payload: Bytes) {
        let dts = Ticks(at_ms + self.offset_ms).rescale(ClockRate::MILLIS, parameters.clock_rate());
        let parameters = parameters.clone();
        let arrival = Arrival { rendition: Rendition(rendition), dts, pts: dts, keyframe, parameters, payload };
        let now = self.start + Duration::from_millis(at_ms.unsigned_abs());
        self.publication.push(arrival, now).unwrap();
    }

    /// Plays the 40 ms from `at_ms` on. A keyframe comes every 2 s, of the lower rendition first.
    fn play(&mut self, at_ms: i64) {
        let keyframe = at_ms % 2000 == 0;
        if at_ms % 1000 == 0 {
            let message = format!("{} {at_ms}", self.publication.source().name());
            self.push(0, &self.data.clone(), at_ms, true, message.into());
        }
        let zeros = |bytes| Bytes::from(vec![0; bytes]);
        let [large, small] = self.video.clone();
        self.push(1, &small, at_ms, keyframe, zeros(1000));
        self.push(0, &large, at_ms, keyframe, zeros(5000));
        let audio = self.audio.clone();
        self.push(0, &audio, at_ms, true, zeros(100));
        self.push(0, &audio, at_ms + 20, true, zeros(100));
    }
}

/// Reads every track of a feed into a segmenter.
struct Packaging {
    feed: Arc<Feed>,
    readers: Keyed<Reader>,
    segmenter: Segmenter,
}

impl Packaging {
    fn new(feed: Arc<Feed>) -> Self {
        let settings = Settings::new(Duration::from_millis(333), Duration::from_secs(2), Duration::from_secs(36));
        Self { feed, readers: Keyed::new(), segmenter: Segmenter::new(settings, true) }
    }

    fn run(&mut self) {
        for track in self.feed.originals() {
            self.readers.get_or_insert_with(track.key(), || track.reader(Join::At(WallTime(0))));
        }
        for (key, reader) in self.readers.iter_mut() {
            while let Some(Read::Frame(frame)) = reader.try_read() {
                self.segmenter.push(key, &frame).unwrap();
            }
        }
    }

    /// Returns the messages in the parts of a rendition, each shown at the time of its part.
    fn messages(&self, key: TrackKey) -> Vec<String> {
        let rendition = self.segmenter.rendition(key).unwrap();
        let mut messages = Vec::new();
        let segments = rendition.segments().map(|segment| &**segment).chain(rendition.open());
        for part in segments.flat_map(|segment| &segment.parts) {
            let bytes = part.body.to_vec();
            let mut at = 0;
            let mut names = Vec::new();
            while let Some(size) = bytes.get(at..at + 4) {
                let end = at + u32::from_be_bytes(size.try_into().unwrap()) as usize;
                names.push(String::from_utf8(bytes[at + 4..at + 8].to_vec()).unwrap());
                if bytes[at + 4..].starts_with(b"emsg") {
                    let emsg = Emsg::decode(&mut &bytes[at..end]).unwrap();
                    assert_eq!((&*emsg.scheme_id_uri, &*emsg.value), ("urn:example:score", "1"));
                    assert_eq!(emsg.timescale, rendition.rate().hz());
                    let EmsgTimestamp::Absolute(shown) = emsg.presentation_time else { panic!("{emsg:?}") };
                    let start = Ticks(part.start as i64).duration(rendition.rate());
                    let in_file = Ticks(shown as i64).duration(rendition.rate());
                    let shown = in_file - Duration::from_secs(ORIGIN_SECONDS);
                    assert!(shown >= start && shown < start + part.duration, "{shown:?} in {start:?}");
                    assert_eq!(emsg.id as usize, messages.len());
                    messages.push(String::from_utf8(emsg.message_data).unwrap());
                }
                at = end;
            }
            names.dedup();
            assert!(names == ["prft", "moof", "mdat"] || names == ["prft", "emsg", "moof", "mdat"], "{names:?}");
        }
        messages
    }

    fn playlist(&self, key: TrackKey) -> String {
        let others: Vec<_> = self.segmenter.renditions().filter(|other| other.key() != key).collect();
        let around = Around { others: &others, ended: false };
        render(self.segmenter.rendition(key).unwrap(), self.segmenter.settings(), around, false).unwrap()
    }
}

#[test]
fn two_video_renditions_and_data_go_from_their_publications_over_a_splice_into_one_stream() {
    let start = Instant::now();
    let hub = Hub::new(NodeClock::new(start, SystemTime::UNIX_EPOCH), Default::default(), None);
    let mut guest = Publisher::new(&hub, "demo/guest", start, 0);
    let mut packaging = None;
    for at_ms in (0..6000).step_by(40) {
        guest.play(at_ms);
        let program = || hub.program(&"demo".parse().unwrap()).unwrap();
        packaging.get_or_insert_with(|| Packaging::new(program())).run();
    }
    let mut packaging = packaging.unwrap();
    let tracks: Vec<_> = packaging.feed.originals().iter().map(|track| track.id()).collect();
    let mut host = Publisher::new(&hub, "demo", start + Duration::from_secs(6), 77_000);
    host.start = start;
    for at_ms in (6000..14_000).step_by(40) {
        host.play(at_ms);
        guest.play(at_ms);
        packaging.run();
    }
    assert!(host.publication.source().is_passed_through());
    assert!(packaging.feed.originals().iter().map(|track| track.id()).eq(tracks), "the same tracks");

    let index =
        multivariant::render(&packaging.segmenter, "d/", &[TrackKey::VIDEO, LOWER, TrackKey::AUDIO], &[]).unwrap();
    let lines: Vec<_> = index.lines().filter(|line| !line.starts_with("#EXTM3U") && !line.is_empty()).collect();
    let variants: Vec<_> = lines.iter().filter(|line| line.starts_with("#EXT-X-STREAM-INF")).collect();
    assert_eq!(variants.len(), 2, "{index}");
    for (variant, resolution, codec) in
        [(variants[0], "640x480", "avc1.42c01f"), (variants[1], "312x192", "avc1.42c00d")]
    {
        for part in [
            format!("RESOLUTION={resolution}"),
            format!("CODECS=\"{codec},mp4a.40.2\""),
            "AUDIO=\"audio\"".to_owned(),
            "FRAME-RATE=25".to_owned(),
        ] {
            assert!(variant.contains(&part), "{part} is not in {variant}");
        }
    }
    let bandwidth = |variant: &str| {
        let value = variant.split_once(":BANDWIDTH=").unwrap().1;
        value.split(',').next().unwrap().parse::<u64>().unwrap()
    };
    // The renditions have 5000 and 1000 bytes every 40 ms, and the audio 100 bytes every 20 ms, with some overhead.
    assert!((1_000_000..1_300_000).contains(&bandwidth(variants[0])), "{index}");
    assert!((240_000..400_000).contains(&bandwidth(variants[1])), "{index}");
    assert!(lines.contains(&"d/video.m3u8") && lines.contains(&"d/video1.m3u8"), "{index}");
    assert_eq!(index.matches("#EXT-X-MEDIA:TYPE=AUDIO").count(), 1, "{index}");

    let of = |name: &'static str, seconds: std::ops::Range<u32>| {
        seconds.map(move |second| format!("{name} {}", second * 1000))
    };
    let expected: Vec<_> = of("demo/guest", 0..6).chain(of("demo/host", 6..14)).collect();
    let messages = packaging.messages(TrackKey::VIDEO);
    assert_eq!(messages[..13], expected[..13]);
    assert!(packaging.messages(LOWER).is_empty(), "messages travel with the main video alone");
}

#[test]
fn video_renditions_have_the_same_segments_and_report_each_other() {
    let start = Instant::now();
    let hub = Hub::new(NodeClock::new(start, SystemTime::UNIX_EPOCH), Default::default(), None);
    let mut host = Publisher::new(&hub, "demo", start, 0);
    let mut packaging = Packaging::new(hub.program(&"demo".parse().unwrap()).unwrap());
    for at_ms in (0..10_360).step_by(40) {
        host.play(at_ms);
        packaging.run();
    }
    let segments = |key| -> Vec<_> {
        let rendition = packaging.segmenter.rendition(key).unwrap();
        let tell = |segment: &Arc<onmic_packager::Segment>| {
            (segment.msn, segment.duration, segment.program_date_time, segment.independent(), segment.discontinuity)
        };
        rendition.segments().map(tell).collect()
    };
    assert_eq!(segments(TrackKey::VIDEO).len(), 5);
    assert_eq!(segments(TrackKey::VIDEO), segments(LOWER));
    let lower = packaging.playlist(LOWER);
    assert!(lower.contains("#EXT-X-MAP:URI=\"video1-init-0.mp4\"\n"), "{lower}");
    assert!(lower.contains("\nvideo1-5.m4s\n"), "{lower}");
    for other in ["video", "audio"] {
        let report = format!("#EXT-X-RENDITION-REPORT:URI=\"{other}.m3u8\",LAST-MSN=6,LAST-PART=0\n");
        assert!(lower.contains(&report), "{lower}");
    }
    assert!(packaging.playlist(TrackKey::AUDIO).contains("URI=\"video1.m3u8\",LAST-MSN=6"));
}

#[test]
fn a_publisher_that_returns_is_a_discontinuity_in_all_renditions() {
    let start = Instant::now();
    let hub = Hub::new(NodeClock::new(start, SystemTime::UNIX_EPOCH), Default::default(), None);
    let mut host = Publisher::new(&hub, "demo", start, 0);
    let mut packaging = Packaging::new(hub.program(&"demo".parse().unwrap()).unwrap());
    for at_ms in (0..3000).chain(8000..12_400).filter(|at_ms| at_ms % 40 == 0) {
        host.play(at_ms);
        packaging.run();
    }
    for key in [TrackKey::VIDEO, LOWER, TrackKey::AUDIO] {
        let playlist = packaging.playlist(key);
        assert!(playlist.contains(&format!("{key}-2.m4s\n#EXT-X-DISCONTINUITY\n")), "{playlist}");
        assert_eq!(playlist.matches("#EXT-X-DISCONTINUITY\n").count(), 1, "{playlist}");
    }
}

#[test]
fn a_further_rendition_that_ends_is_not_listed_any_more() {
    let start = Instant::now();
    let hub = Hub::new(NodeClock::new(start, SystemTime::UNIX_EPOCH), Default::default(), None);
    let mut host = Publisher::new(&hub, "demo", start, 0);
    let mut packaging = Packaging::new(hub.program(&"demo".parse().unwrap()).unwrap());
    for at_ms in (0..3000).step_by(40) {
        host.play(at_ms);
        packaging.run();
    }
    packaging.segmenter.remove(LOWER);
    packaging.segmenter.remove(TrackKey::AUDIO);
    let index = multivariant::render(&packaging.segmenter, "", &[], &[]).unwrap();
    assert!(!index.contains("video1") && index.contains("audio.m3u8"), "{index}");
    assert!(!packaging.playlist(TrackKey::VIDEO).contains("video1"));
}

#[test]
fn video_that_is_gone_is_named_again_when_it_is_back() {
    let start = Instant::now();
    let hub = Hub::new(NodeClock::new(start, SystemTime::UNIX_EPOCH), Default::default(), None);
    let mut host = Publisher::new(&hub, "demo", start, 0);
    let mut packaging = Packaging::new(hub.program(&"demo".parse().unwrap()).unwrap());
    for at_ms in (0..3000).step_by(40) {
        host.play(at_ms);
        packaging.run();
    }
    let index = |gone: &[TrackKey]| multivariant::render(&packaging.segmenter, "", &[], gone).unwrap();
    let alone = index(&[TrackKey::VIDEO, LOWER]);
    assert!(alone.contains("\naudio.m3u8") && !alone.contains("video") && !alone.contains("avc1"), "{alone}");
    let both = index(&[]);
    assert!(both.contains("avc1") && both.contains("\nvideo1.m3u8"), "{both}");
}

#[test]
fn data_of_a_program_without_video_travels_with_the_audio_and_is_bounded() {
    let start = Instant::now();
    let hub = Hub::new(NodeClock::new(start, SystemTime::UNIX_EPOCH), Default::default(), None);
    let mut host = Publisher::new(&hub, "demo", start, 0);
    let mut packaging = Packaging::new(hub.program(&"demo".parse().unwrap()).unwrap());
    packaging.segmenter = Segmenter::new(*packaging.segmenter.settings(), false);
    let (audio, data) = (host.audio.clone(), host.data.clone());
    for at_ms in (0..2000).step_by(20) {
        host.push(0, &audio, at_ms, true, Bytes::from_static(&[0; 100]));
        if at_ms == 1000 {
            for _ in 0..99 {
                host.push(0, &data, at_ms, true, Bytes::from_static(b"goal"));
            }
            host.push(0, &data, at_ms, true, Bytes::from(vec![0; metadata::MESSAGE_BYTES_MAX + 1]));
        }
        packaging.run();
    }
    let messages = packaging.messages(TrackKey::AUDIO);
    assert!(messages.len() == 16 && messages.iter().all(|message| message == "goal"), "{messages:?}");
    let data = packaging.feed.original(TrackKey::DATA).unwrap();
    assert_eq!(data.measured(start + Duration::from_secs(2)).frames, 99, "the large message was refused");
}
