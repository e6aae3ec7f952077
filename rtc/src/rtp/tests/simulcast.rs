//! Tests of a publisher's simulcast layers: which rendition each is, where their frames lie, and what is asked of whom.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use onmic_media::{Codec, MediaKind, Rendition, Ticks, TrackKey};

use super::link::{IDS, LAYERS};
use crate::rtp::packet::HeaderWriter;
use crate::rtp::*;

/// A layer: its name, the width of its pictures, and by how many ms later than a picture is taken its frames arrive.
const LOW: (&str, u16, u64) = ("l", 160, 0);
const MIDDLE: (&str, u16, u64) = ("m", 320, 8);
const HIGH: (&str, u16, u64) = ("h", 640, 21);

/// A publisher of simulcast, with the frames that come out.
struct Simulcast {
    began: Instant,
    incoming: Incoming,
    /// The layers that are sent.
    sent: Vec<(&'static str, u16, u64)>,
    sequences: BTreeMap<&'static str, u16>,
    /// The layers of which a keyframe is wanted.
    wanted: Vec<u32>,
    picture: u16,
    /// The pictures of each rendition: the number of each, its place and its width.
    out: BTreeMap<u8, Vec<(u16, Ticks, u32)>>,
    ended: Vec<TrackKey>,
}

fn ssrc_of(name: &str) -> u32 {
    1000 + u32::from(name.as_bytes()[0])
}

impl Simulcast {
    fn of(sent: &[(&'static str, u16, u64)]) -> Self {
        let began = Instant::now();
        let video = StreamConfig {
            key: TrackKey::VIDEO,
            mid: Mid::new("v").unwrap(),
            formats: vec![(96, Codec::Vp8)],
            repairs: Vec::new(),
            ssrc: None,
            repair_ssrc: None,
            nack: true,
            parameters: Vec::new(),
        };
        let (cname, streams) = ("us".into(), vec![video]);
        let config = IncomingConfig { ssrc: 1, cname, extensions: IDS, layers: LAYERS, reduced_size: true, streams };
        Self {
            began,
            incoming: Incoming::new(config, began),
            sent: sent.to_vec(),
            sequences: BTreeMap::new(),
            wanted: sent.iter().map(|(name, ..)| ssrc_of(name)).collect(),
            picture: 0,
            out: BTreeMap::new(),
            ended: Vec::new(),
        }
    }

    /// Sends pictures at 30 per second, each on all layers, and reports once a second whose wall clock is off by up to a millisecond.
    fn run(&mut self, pictures: u16) {
        for _ in 0..pictures {
            let taken = Duration::from_micros(u64::from(self.picture) * 100_000 / 3);
            for (name, width, delay) in self.sent.clone() {
                let (ssrc, now) = (ssrc_of(name), self.began + taken + Duration::from_millis(delay));
                let timestamp = u32::from(self.picture) * 3000 + ssrc * 77_777; // The clocks of streams are not related.
                let keyframe = self.wanted.contains(&ssrc);
                self.wanted.retain(|wanted| *wanted != ssrc);
                let packet = self.packet(name, width, timestamp, keyframe);
                self.incoming.handle_rtp(&packet, now);
                if self.picture % 30 == 15 {
                    let off = ssrc % 3 * 500;
                    let micros = taken.as_micros() as u64 + u64::from(off);
                    let ntp = (0xe000_0000 << 32) + (micros << 32) / 1_000_000;
                    self.incoming.handle_rtcp(&report_of(ssrc, ntp, timestamp), now);
                }
                self.incoming.handle_timeout(now);
                self.take(now);
            }
            self.picture += 1;
        }
    }

    fn packet(&mut self, name: &'static str, width: u16, timestamp: u32, keyframe: bool) -> Vec<u8> {
        let sequence = self.sequences.entry(name).or_default();
        *sequence += 1;
        let mut buffer = [0; HEADER_MAX];
        let mut writer = HeaderWriter::new(&mut buffer, (true, 96), *sequence, timestamp, ssrc_of(name));
        writer.extension(IDS.mid, b"v");
        writer.extension(LAYERS.rid, name.as_bytes());
        let ([w, h], number) = ([width, 90].map(u16::to_le_bytes), self.picture.to_be_bytes());
        let frame: &[u8] = if keyframe { &[0x10, 2, 0, 0x9d, 1, 0x2a, w[0], w[1], h[0], h[1]] } else { &[0x11, 2, 0] };
        [writer.finish(), &[0x10], frame, &number].concat()
    }

    fn take(&mut self, now: Instant) {
        while let Some(arrival) = self.incoming.poll_arrival() {
            let number = arrival.payload.last_chunk().copied().map(u16::from_be_bytes).unwrap();
            let width = arrival.parameters.resolution().unwrap().0;
            let frames = self.out.entry(arrival.rendition.0).or_default();
            // A layer may take the lead with a picture that another one has shown.
            let goes_on = |last: &(u16, Ticks, u32)| last.1 < arrival.dts || last.1 == arrival.dts && last.2 != width;
            assert!(frames.last().is_none_or(goes_on), "{number} of {}: {frames:?}", arrival.rendition.0);
            assert!(!frames.is_empty() || arrival.keyframe);
            frames.push((number, arrival.dts, width));
        }
        self.ended.extend(std::iter::from_fn(|| self.incoming.poll_ended()));
        let (mut rtcp, wanted) = (Vec::new(), &mut self.wanted);
        while self.incoming.poll_rtcp(now, &mut rtcp) {
            let read = feedback::read(&rtcp, |statement| {
                if let Feedback::KeyframeWanted { ssrc } = statement {
                    wanted.push(ssrc);
                }
            });
            read.unwrap();
            rtcp.clear();
        }
    }

    /// Returns the width of the newest picture of each rendition.
    fn widths(&self) -> Vec<(u8, u32)> {
        self.out.iter().map(|(rendition, frames)| (*rendition, frames.last().unwrap().2)).collect()
    }

    /// Asserts that the pictures from this one on are complete and at one place in each of these renditions.
    fn assert_together(&self, renditions: &[u8], from: u16) {
        let of = |rendition: &u8| -> Vec<(u16, Ticks)> {
            let frames = self.out[rendition].iter().filter(|frame| frame.0 >= from);
            frames.map(|frame| (frame.0, frame.1)).collect()
        };
        let first = of(&renditions[0]);
        assert!(first.windows(2).all(|pair| pair[1].0 == pair[0].0 + 1), "no picture is missing");
        for other in &renditions[1..] {
            assert_eq!(of(other), first, "rendition {other} beside {}", renditions[0]);
        }
    }
}

/// Returns a sender report (RFC 3550 6.4.1).
fn report_of(ssrc: u32, ntp: u64, timestamp: u32) -> Vec<u8> {
    let mut report = vec![0x80, 200, 0, 6];
    report.extend_from_slice(&ssrc.to_be_bytes());
    report.extend_from_slice(&ntp.to_be_bytes());
    report.extend_from_slice(&timestamp.to_be_bytes());
    report.extend_from_slice(&[0; 8]);
    report
}

#[test]
fn each_layer_is_a_rendition_and_their_pictures_of_one_moment_are_at_one_place() {
    for order in [[LOW, MIDDLE, HIGH], [HIGH, MIDDLE, LOW], [MIDDLE, HIGH, LOW]] {
        let mut simulcast = Simulcast::of(&order);
        simulcast.run(120);
        let widths = simulcast.widths();
        assert_eq!((widths.len(), widths[0]), (3, (0, 640)), "{widths:?}");
        simulcast.assert_together(&[0, 1, 2], 75);
        assert_eq!(simulcast.ended, []);
    }
}

#[test]
fn the_next_layer_stands_in_for_the_largest_while_that_pauses_and_goes_on_as_it_is() {
    let mut simulcast = Simulcast::of(&[LOW, MIDDLE, HIGH]);
    simulcast.run(120);
    let before = simulcast.widths();
    let middle = before.iter().find(|(_, width)| *width == 320).unwrap().0;
    simulcast.sent.pop();
    simulcast.run(120);
    let during: Vec<_> = before.iter().map(|(key, width)| (*key, if *key == 0 { 320 } else { *width })).collect();
    assert_eq!(simulcast.widths(), during);
    simulcast.assert_together(&[1, 2], 75);
    simulcast.assert_together(&[middle, 0], 200);
    simulcast.sent.push(HIGH);
    simulcast.wanted.push(ssrc_of("h"));
    simulcast.run(120);
    assert_eq!(simulcast.widths(), before);
    simulcast.assert_together(&[1, 2], 75);
    simulcast.assert_together(&[0, 1, 2], 330);
    assert_eq!(simulcast.ended, []);
}

#[test]
fn a_layer_that_is_not_sent_any_more_ends_and_may_begin_again() {
    let mut simulcast = Simulcast::of(&[HIGH, LOW]);
    simulcast.run(90);
    assert_eq!(simulcast.widths(), [(0, 640), (1, 160)]);
    simulcast.sent.pop();
    simulcast.run(140);
    assert_eq!(simulcast.ended, []);
    simulcast.run(20);
    assert_eq!(simulcast.ended, [TrackKey::new(MediaKind::Video, Rendition(1))]);
    simulcast.out.remove(&1);
    simulcast.sent.push(LOW);
    simulcast.run(90);
    assert_eq!(simulcast.widths(), [(0, 640), (1, 160)]);
    simulcast.assert_together(&[0, 1], 320);
}

#[test]
fn viewers_who_need_a_keyframe_get_one_of_all_layers() {
    let mut simulcast = Simulcast::of(&[LOW, MIDDLE, HIGH]);
    simulcast.run(120);
    simulcast.wanted.clear();
    simulcast.incoming.request_keyframe();
    simulcast.take(simulcast.began + Duration::from_secs(4));
    simulcast.wanted.sort_unstable();
    assert_eq!(simulcast.wanted, [HIGH, LOW, MIDDLE].map(|(name, ..)| ssrc_of(name)));
}
