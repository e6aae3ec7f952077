//! Plays playlists as shaka 5 does, which shifts each part to where the durations before it say that it is
//! (`MediaSourceEngine.appendBuffer`), computing with doubles.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;

use common::made_up::{Publisher, settings, text};
use mp4_atom::{Decode, Moof, Prft};
use onmic_media::MediaKind;
use onmic_packager::{ORIGIN_SECONDS, Segmenter};

/// What shaka knows of one rendition.
#[derive(Default)]
struct Player {
    /// Where each segment begins, by its number.
    starts: BTreeMap<u64, f64>,
    /// The number of the next part to append.
    next: u64,
    shift: Option<f64>,
    /// How often the shift was set anew, which costs the frames up to the next keyframe.
    resets: usize,
}

impl Player {
    /// Reads the playlist, and appends each part that is new. `decoded` returns where a part begins in the media.
    fn read(&mut self, playlist: &str, decoded: impl Fn(u64) -> f64) {
        let mut msn = 0;
        let mut segment = 0.0;
        let mut part = 0.0;
        for line in playlist.lines() {
            if let Some(first) = line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:") {
                msn = first.parse().unwrap();
                segment = self.starts.get(&msn).copied().unwrap_or(0.0);
                part = segment;
            } else if let Some(rest) = line.strip_prefix("#EXT-X-PART:DURATION=") {
                let (duration, rest) = rest.split_once(',').unwrap();
                let number = rest.split_once("part-").unwrap().1.split_once('.').unwrap().0.parse().unwrap();
                if number >= self.next {
                    self.append(part - decoded(number));
                    self.next = number + 1;
                }
                part += duration.parse::<f64>().unwrap();
            } else if let Some(duration) = line.strip_prefix("#EXTINF:") {
                self.starts.insert(msn, segment);
                segment += duration.trim_end_matches(',').parse::<f64>().unwrap();
                (msn, part) = (msn + 1, segment);
                self.starts.insert(msn, segment);
            }
        }
    }

    fn append(&mut self, intended: f64) {
        if self.shift.is_some_and(|in_force| (in_force - intended).abs() < 0.001) {
            return;
        }
        self.resets += usize::from(self.shift.is_some());
        // It adds a millisecond to a negative shift.
        self.shift = Some(intended + 0.001);
    }
}

/// Where each part of a rendition begins in the media, in seconds.
fn decoded(segmenter: &Segmenter, kind: MediaKind) -> BTreeMap<u64, f64> {
    let rendition = segmenter.rendition(kind).unwrap();
    let segments = rendition.segments().map(|segment| &**segment).chain(rendition.open());
    let parts = segments.flat_map(|segment| (segment.first_part..).zip(&segment.parts));
    parts
        .map(|(number, part)| {
            let bytes = part.body.to_vec();
            let mut rest = &bytes[..];
            Prft::decode(&mut rest).unwrap();
            let start = Moof::decode(&mut rest).unwrap().traf.remove(0).tfdt.unwrap().base_media_decode_time;
            (number, start as f64 / f64::from(rendition.rate().hz()))
        })
        .collect()
}

/// What decides for a shift that stays.
#[test]
fn a_shift_is_in_force_at_any_age_of_the_program() {
    for minutes in [0, 1, 20, 34, 60, 546, 100_000, 279_000] {
        let decoded = (90_000 * (60 * minutes + ORIGIN_SECONDS) + 7) as f64 / 90_000.0;
        let mut player = Player::default();
        player.append(36.0 - decoded);
        player.append(36.0 - decoded);
        assert_eq!(player.resets, 0, "after {minutes} min");
    }
}

#[test]
fn shaka_keeps_the_shift_of_its_first_part() {
    // Frames per second, and what their times are rounded to, in microseconds: by RTMP, and by a clock of 90 kHz.
    for (fps, unit) in [
        (30.0, 1000.0),
        (30.0, 1.0),
        (30_000.0 / 1001.0, 1.0),
        (25.0, 1000.0),
        (24.0, 1.0),
        (60.0, 1000.0),
        (13.7, 1000.0),
    ] {
        let publisher = Publisher::new();
        let mut segmenter = Segmenter::new(settings(), true);
        let video = (0..(60.0 * fps) as i64).map(|n| {
            let micros = (n as f64 * 1e6 / fps / unit).round() * unit;
            publisher.video(micros as i64, n % (2.0 * fps).round() as i64 == 0)
        });
        let audio = (0..60 * 47).map(|n| publisher.audio(n * 64_000 / 3));
        let mut frames: Vec<_> = video.chain(audio).collect();
        frames.sort_by_key(|frame| frame.dts.micros(frame.parameters.clock_rate()));
        // Players that join one after another, of both kinds.
        let mut players: Vec<(MediaKind, Player)> = Vec::new();
        for (at, some) in frames.chunks(frames.len() / 600).enumerate() {
            for frame in some {
                segmenter.push(frame.kind().into(), frame).unwrap();
            }
            if at < 50 {
                continue; // There is no playlist yet.
            }
            if at % 37 == 0 && players.len() < 16 {
                players.extend([MediaKind::Video, MediaKind::Audio].map(|kind| (kind, Player::default())));
            }
            for kind in [MediaKind::Video, MediaKind::Audio] {
                let (playlist, decoded) = (text(&segmenter, kind, false), decoded(&segmenter, kind));
                for (_, player) in players.iter_mut().filter(|(of, _)| *of == kind) {
                    player.read(&playlist, |number| decoded[&number]);
                }
            }
        }
        assert!(players.iter().filter(|(_, player)| player.next > 150).count() > 10, "{fps}");
        for (at, (kind, player)) in players.iter().enumerate() {
            assert_eq!(player.resets, 0, "{kind:?} of {fps} frames per second, {unit} µs, player {at}");
        }
    }
}
