//! A publisher whose frames all state one time, however they arrive: no part, segment or playlist of them is longer than one of
//! others, and each frame takes its time in them. So what they hold is bounded by their lengths.

#![allow(clippy::unwrap_used)]

mod common;

use std::time::{Duration, Instant, SystemTime};

use common::made_up::{audio_parameters, video_parameters};
use onmic_media::hub::HubLimits;
use onmic_media::{Arrival, Hub, Join, MediaKind, NodeClock, Protocol, Read, Reader, Rendition, Ticks};
use onmic_packager::{Segment, Segmenter, Settings};

/// The least time that a frame of video takes: an eighth of one at 30 frames per second, which is the most that rounding makes of it.
const LEAST: Duration = Duration::from_micros(4_100);
const FRAMES: u32 = 20_000;
/// The bytes of a frame, and the most of them in a part, where each frame has a description.
const PAYLOAD: usize = 1000;
const WRITTEN: u128 = 1100;

#[test]
fn frames_that_all_state_one_time_take_their_time_in_parts_segments_and_playlists() {
    for apart in [33_333, 1_000, 0].map(Duration::from_micros) {
        let start = Instant::now();
        let hub = Hub::new(NodeClock::new(start, SystemTime::now()), HubLimits::default(), None);
        let mut publication = hub.publish(&"demo".parse().unwrap(), Protocol::Rtmp, start).unwrap();
        let program = hub.director(&"demo".parse().unwrap()).unwrap();
        let mut segmenter = Segmenter::new(Settings::default(), true);
        let mut readers: [Option<Reader>; 2] = [None, None];
        for number in 0..FRAMES {
            for (kind, parameters) in [(MediaKind::Video, video_parameters()), (MediaKind::Audio, audio_parameters())] {
                let keyframe = number % 60 == 0 || kind == MediaKind::Audio;
                let mut payload = vec![7; PAYLOAD];
                payload[..5].copy_from_slice(&[0, 0, 3, 228, if keyframe { 0x65 } else { 0x41 }]);
                let (rendition, payload) = (Rendition::MAIN, payload.into());
                let arrival = Arrival { rendition, dts: Ticks(0), pts: Ticks(0), keyframe, parameters, payload };
                publication.push(arrival, start + apart * number).unwrap();
                let original = || program.feed().original(kind).map(|track| track.reader(Join::Group));
                let reader = &mut readers[kind as usize];
                *reader = reader.take().or_else(original);
                while let Some(Read::Frame(frame)) = reader.as_mut().and_then(Reader::try_read) {
                    segmenter.push(kind.into(), &frame).unwrap();
                }
            }
            check(&segmenter, &format!("frame {number}, {apart:?} apart"));
        }
        let listed = segmenter.rendition(MediaKind::Video).unwrap().segments().len();
        assert!(listed > 5, "{listed} segments, {apart:?} apart");
    }
}

fn check(segmenter: &Segmenter, at: &str) {
    let settings = segmenter.settings();
    // Rounded to seconds, no segment is longer than the target duration.
    let longest = settings.target + Duration::from_millis(500);
    let mut most = 0;
    for rendition in segmenter.renditions() {
        let Some(target) = rendition.part_target() else {
            most += frames_in(longest) * WRITTEN; // A part is open.
            continue;
        };
        let newest = rendition.segments().next_back().map(|segment| &**segment);
        for segment in newest.into_iter().chain(rendition.open()) {
            let length: Duration = segment.parts.iter().map(|part| part.duration).sum();
            assert!(length <= longest + LEAST, "{at}: {length:?}");
            for part in &segment.parts {
                assert!(part.duration <= target, "{at}: {:?}", part.duration);
                assert!(
                    part.samples as u128 <= frames_in(part.duration),
                    "{at}: {} in {:?}",
                    part.samples,
                    part.duration
                );
            }
        }
        let listed: Duration = rendition.segments().map(|segment| segment.duration).sum();
        assert!(listed <= settings.window + longest, "{at}: {listed:?}");
        let open = rendition.open().map_or(0, Segment::bytes) as u128;
        assert!(open <= frames_in(longest) * WRITTEN, "{at}: {open} bytes are open");
        most += frames_in(settings.window + longest * 2) * WRITTEN;
    }
    assert!(u128::from(segmenter.bytes()) <= most, "{at}: {} bytes", segmenter.bytes());
}

/// Returns how many frames may take this time together.
fn frames_in(time: Duration) -> u128 {
    time.as_micros() / LEAST.as_micros() + 2
}
