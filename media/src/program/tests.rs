//! Tests splices as text: which take's frame is at which millisecond of the program.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::*;
use crate::codec::Parameters;
use crate::ring::{Join, Read};
use crate::testing::{audio, metadata, video};

const WALL: u64 = 1_000_000_000;

/// Makes one take's frames: video every 40 ms, audio every 20 ms, on a timeline that began `offset_ms` after the
/// wall's.
struct Feeder {
    inlet: Inlet,
    start: Instant,
    offset_ms: i64,
    video: Arc<Parameters>,
    audio: Arc<Parameters>,
}

impl Feeder {
    fn new(program: &Arc<Program>, timeline: TimelineId, offset_ms: i64) -> Self {
        let inlet = program.select(Brings { timeline, video: true, in_order: false, keyframes: Keyframes::OnRequest });
        Self { inlet, start: Instant::now(), offset_ms, video: video(), audio: audio() }
    }

    fn frame(&self, parameters: &Arc<Parameters>, at_ms: i64, keyframe: bool, mark: &'static [u8]) -> Frame {
        let pts = Ticks(at_ms - self.offset_ms).rescale(ClockRate::MILLIS, parameters.clock_rate());
        Frame {
            dts: pts,
            pts,
            wall: WallTime(WALL).offset_micros(at_ms * 1000),
            arrived: self.start + Duration::from_millis(u64::try_from(at_ms).unwrap()),
            keyframe,
            parameters: parameters.clone(),
            payload: Bytes::from_static(mark),
        }
    }

    fn picture(&self, at_ms: i64, keyframe: bool, mark: &'static [u8]) -> Offered {
        self.inlet.push(self.frame(&self.video, at_ms, keyframe, mark))
    }

    /// Offers a frame of the second video rendition.
    fn lower(&self, at_ms: i64, keyframe: bool, mark: &'static [u8]) -> Offered {
        self.inlet.push_on(Rendition(1), self.frame(&self.video, at_ms, keyframe, mark))
    }

    fn sound(&self, at_ms: i64, mark: &'static [u8]) -> Offered {
        self.inlet.push(self.frame(&self.audio, at_ms, true, mark))
    }
}

fn program_without_frames() -> Arc<Program> {
    Program::new(ProgramClock::through(0, WallTime(WALL)), None)
}

/// Returns the track as text: which take's frame is at which millisecond.
fn text(program: &Program, key: impl Into<TrackKey>) -> String {
    let track = program.feed().original(key).unwrap();
    let mut reader = track.reader(Join::At(WallTime(0)));
    let mut text = Vec::new();
    while let Some(Read::Frame(frame)) = reader.try_read() {
        let name = String::from_utf8(frame.payload.to_vec()).unwrap();
        text.push(format!("{name}{}", frame.pts.rescale(track.clock_rate(), ClockRate::MILLIS).0));
    }
    text.join(" ")
}

#[test]
fn a_take_begins_with_a_keyframe_on_the_same_track_and_audio_is_cut_there() {
    let program = program_without_frames();
    let a = Feeder::new(&program, TimelineId::unique(), 0);
    a.picture(0, true, b"a");
    a.sound(0, b"a");
    a.sound(20, b"a");
    let track = program.feed().original(MediaKind::Video).unwrap().id();

    let b = Feeder::new(&program, TimelineId::unique(), 1000);
    assert_eq!(b.picture(40, false, b"b"), Offered::Waiting);
    a.picture(40, false, b"a");
    assert_eq!(b.sound(80, b"b"), Offered::Waiting, "the audio is ahead of its video");
    assert_eq!(b.picture(80, true, b"b"), Offered::Taken);
    assert_eq!(a.picture(80, false, b"a"), Offered::Taken, "its audio is still wanted");
    b.sound(100, b"b");
    a.sound(40, b"a");
    assert_eq!(a.sound(60, b"a"), Offered::Over);
    b.sound(120, b"b");
    b.picture(120, false, b"b");
    assert_eq!(a.sound(80, b"a"), Offered::Over);

    assert_eq!(program.feed().original(MediaKind::Video).unwrap().id(), track);
    assert_eq!(text(&program, MediaKind::Video), "a0 a40 b80 b120");
    assert_eq!(text(&program, MediaKind::Audio), "a0 a20 a40 a60 b80 b100 b120");
}

#[test]
fn the_hole_before_a_take_does_not_count_as_the_length_of_its_first_frame() {
    let program = program_without_frames();
    let a = Feeder::new(&program, TimelineId::unique(), 0);
    (0..3).for_each(|n| assert_eq!(a.picture(n * 40, n == 0, b"a"), Offered::Taken));
    let b = Feeder::new(&program, TimelineId::unique(), 0);
    b.picture(1080, true, b"b");
    let c = Feeder::new(&program, TimelineId::unique(), 0);
    c.picture(1200, true, b"c");
    for at in [1120, 1160] {
        b.picture(at, false, b"b");
    }
    c.picture(1240, false, b"c");
    assert_eq!(text(&program, MediaKind::Video), "b1080 b1120 b1160 c1200 c1240", "the ring keeps two groups");
}

#[test]
fn a_late_mix_keyframe_does_not_begin_the_take() {
    let program = program_without_frames();
    let timeline = TimelineId::unique();
    let a = Feeder::new(&program, timeline, 0);
    (0..4).for_each(|n| assert_eq!(a.picture(n * 40, n == 0, b"a"), Offered::Taken));
    let mix = Feeder::new(&program, timeline, 0);
    assert_eq!(mix.picture(80, true, b"m"), Offered::Waiting);
    assert_eq!(mix.picture(160, true, b"m"), Offered::Taken);
    assert_eq!(text(&program, MediaKind::Video), "a0 a40 a80 a120 m160");
}

#[test]
fn video_waits_for_a_mix_that_is_later_than_its_lead() {
    let program = program_without_frames();
    let timeline = TimelineId::unique();
    let a = Feeder::new(&program, timeline, 0);
    (0..3).for_each(|n| assert_eq!(a.picture(n * 40, n == 0, b"a"), Offered::Taken));
    let mix = Feeder::new(&program, timeline, 0);
    assert_eq!(mix.picture(40, true, b"m"), Offered::Waiting);
    assert_eq!(a.picture(120, false, b"a"), Offered::Taken);
    assert_eq!(a.picture(160, false, b"a"), Offered::Taken);
    assert_eq!(mix.picture(80, true, b"m"), Offered::Waiting);
    assert_eq!(text(&program, MediaKind::Video), "a0 a40 a80");
    assert_eq!(mix.picture(120, true, b"m"), Offered::Taken);
    assert_eq!(a.picture(200, false, b"a"), Offered::Over);
    assert_eq!(text(&program, MediaKind::Video), "a0 a40 a80 m120");
}

#[test]
fn a_source_whose_keyframe_comes_late_does_not_hold_the_mix_back() {
    let program = program_without_frames();
    let timeline = TimelineId::unique();
    let mix = Feeder::new(&program, timeline, 0);
    (0..4).for_each(|n| assert_eq!(mix.picture(n * 40, n == 0, b"m"), Offered::Taken));
    let inlet = program.select(Brings { timeline, video: true, in_order: false, keyframes: Keyframes::Seldom });
    let source = Feeder { inlet, ..Feeder::new(&program_without_frames(), timeline, 0) };
    assert_eq!(source.picture(120, true, b"a"), Offered::Waiting, "the mix has gone on while the source stood still");
    mix.picture(160, false, b"m");
    assert_eq!(text(&program, MediaKind::Video), "m0 m40 m80 m120 m160");
    assert_eq!(source.picture(200, true, b"a"), Offered::Taken);
    assert_eq!(text(&program, MediaKind::Video), "m0 m40 m80 m120 m160 a200");
}

#[test]
fn video_does_not_wait_for_a_mix_that_never_comes() {
    let program = program_without_frames();
    let timeline = TimelineId::unique();
    let a = Feeder::new(&program, timeline, 0);
    (0..3).for_each(|n| assert_eq!(a.picture(n * 40, n == 0, b"a"), Offered::Taken));
    let mix = Feeder::new(&program, timeline, 0);
    mix.picture(80, true, b"m");
    (3..=43).for_each(|n| assert_eq!(a.picture(n * 40, false, b"a"), Offered::Taken));
    assert!(text(&program, MediaKind::Video).ends_with("a1600 a1640 a1680 a1720"));
    mix.picture(1720, true, b"m");
    a.picture(1760, false, b"a");
    assert!(text(&program, MediaKind::Video).ends_with("a1720 a1760"), "the fence is not raised again at once");
    let mix = Feeder::new(&program, timeline, 0);
    mix.picture(1760, true, b"m");
    a.picture(1800, false, b"a");
    assert!(text(&program, MediaKind::Video).ends_with("a1760"));
    program.unselect();
    assert!(text(&program, MediaKind::Video).ends_with("a1800"));
}

#[test]
fn a_source_that_is_ahead_of_its_mix_waits_for_the_mixs_last_frames() {
    let program = program_without_frames();
    let timeline = TimelineId::unique();
    let mix = Feeder::new(&program, timeline, 0);
    (0..3).for_each(|n| assert_eq!(mix.picture(n * 40, n == 0, b"m"), Offered::Taken));
    let a = Feeder::new(&program, timeline, 0);
    assert_eq!(a.picture(200, true, b"a"), Offered::Taken);
    assert_eq!(mix.picture(120, false, b"m"), Offered::Taken);
    a.picture(240, false, b"a");
    assert_eq!(text(&program, MediaKind::Video), "m0 m40 m80 m120");
    assert_eq!(mix.picture(160, false, b"m"), Offered::Over, "no frame follows");
    a.picture(280, false, b"a");
    assert_eq!(text(&program, MediaKind::Video), "m0 m40 m80 m120 m160 a200 a240 a280");
}

#[test]
fn a_take_of_the_same_timeline_is_not_shifted_whatever_its_wall_times() {
    let program = program_without_frames();
    let timeline = TimelineId::unique();
    let a = Feeder::new(&program, timeline, 0);
    a.picture(0, true, b"a");
    let mix = Feeder::new(&program, timeline, 0);
    let late = mix.frame(&mix.video, 40, true, b"m");
    mix.inlet.push(Frame { wall: late.wall.offset_micros(7_000), ..late });
    assert_eq!(text(&program, MediaKind::Video), "a0 m40");
}

#[test]
fn audio_of_a_take_that_died_is_not_waited_for_long() {
    let program = program_without_frames();
    let a = Feeder::new(&program, TimelineId::unique(), 0);
    a.picture(0, true, b"a");
    a.sound(0, b"a");
    a.sound(20, b"a");
    let b = Feeder::new(&program, TimelineId::unique(), 0);
    b.picture(1000, true, b"b");
    for n in 0..=next::AUDIO_MAX {
        b.sound(1000 + i64::try_from(n).unwrap() * 20, b"b");
    }
    assert!(text(&program, MediaKind::Audio).starts_with("a0 a20 b1000 b1020"));
}

#[test]
fn decoding_times_never_run_backwards_over_a_splice_and_presentation_stays() {
    let program = program_without_frames();
    let timeline = TimelineId::unique();
    let reordering = Feeder::new(&program, timeline, 0);
    for (dts, pts) in [(0, 80), (40, 200), (80, 120), (120, 160)] {
        let frame = reordering.frame(&reordering.video, pts, dts == 0, b"a");
        reordering.inlet.push(Frame { dts: Ticks(dts * 90), ..frame });
    }
    let track = program.feed().original(MediaKind::Video).unwrap();
    let mut reader = track.reader(Join::Group);
    let inlet = program.select(Brings { timeline, video: true, in_order: true, keyframes: Keyframes::OnRequest });
    let mix = Feeder { inlet, ..Feeder::new(&program_without_frames(), timeline, 0) };
    assert_eq!(mix.picture(200, true, b"m"), Offered::Waiting);
    mix.picture(240, true, b"m");
    mix.picture(280, false, b"m");
    let mut times = Vec::new();
    while let Some(Read::Frame(frame)) = reader.try_read() {
        times.push((frame.dts.0 / 90, frame.pts.0 / 90));
    }
    let back = Feeder::new(&program, timeline, 0);
    let frame = back.frame(&back.video, 320, true, b"a");
    back.inlet.push(Frame { dts: Ticks(240 * 90), ..frame });
    while let Some(Read::Frame(frame)) = reader.try_read() {
        times.push((frame.dts.0 / 90, frame.pts.0 / 90));
    }
    // At the keyframe decoding ran 80 ms ahead of presentation.
    assert_eq!(times, [(0, 80), (40, 200), (80, 120), (120, 160), (160, 240), (200, 280), (240, 320)]);
}

#[test]
fn the_first_take_lies_where_the_programs_timeline_starts_whatever_its_own_timestamps() {
    let program = program_without_frames();
    let a = Feeder::new(&program, TimelineId::unique(), 7_000);
    a.sound(40, b"a");
    a.picture(80, true, b"a");
    assert_eq!((&*text(&program, MediaKind::Audio), &*text(&program, MediaKind::Video)), ("a40", "a80"));
    assert_eq!(program.line(), program.clock());
}

#[test]
fn a_selected_source_is_asked_for_a_keyframe_until_it_brings_one() {
    let program = program_without_frames();
    let a = Feeder::new(&program, TimelineId::unique(), 0);
    a.picture(0, true, b"a");
    let b = Feeder::new(&program, TimelineId::unique(), 0);
    assert!(b.inlet.take_keyframe_wanted() && !b.inlet.take_keyframe_wanted());
    (1..=i64::from(next::ASK_AGAIN)).for_each(|n| assert_eq!(b.picture(n * 40, false, b"b"), Offered::Waiting));
    assert!(b.inlet.take_keyframe_wanted());
    b.picture(2000, true, b"b");
    assert!(!b.inlet.take_keyframe_wanted() && b.inlet.is_on() && !a.inlet.is_on());
    program.feed().original(MediaKind::Video).unwrap().want_keyframe();
    assert!(!a.inlet.take_keyframe_wanted() && b.inlet.take_keyframe_wanted());
}

#[test]
fn a_take_that_is_unselected_never_begins() {
    let program = program_without_frames();
    let a = Feeder::new(&program, TimelineId::unique(), 0);
    a.picture(0, true, b"a");
    let b = Feeder::new(&program, TimelineId::unique(), 0);
    program.unselect();
    assert_eq!(b.picture(40, true, b"b"), Offered::Over);
    assert_eq!(a.picture(40, false, b"a"), Offered::Taken);
}

const LOWER: TrackKey = TrackKey::new(MediaKind::Video, Rendition(1));

#[test]
fn a_further_rendition_goes_over_with_its_own_keyframe_at_or_after_the_cut() {
    let program = program_without_frames();
    let a = Feeder::new(&program, TimelineId::unique(), 0);
    for n in 0..3 {
        a.picture(n * 40, n == 0, b"a");
        a.sound(n * 20, b"a");
    }
    a.lower(0, true, b"a");
    a.lower(40, false, b"a");
    let lower = program.feed().original(LOWER).unwrap().id();
    let b = Feeder::new(&program, TimelineId::unique(), 0);
    b.lower(80, true, b"b");
    assert_eq!(b.picture(120, true, b"b"), Offered::Taken);
    assert_eq!(b.lower(120, false, b"b"), Offered::Taken, "the frame refers to a keyframe before the cut");
    assert_eq!(a.lower(80, false, b"a"), Offered::Taken, "the frame fills the lane up to the cut");
    a.lower(120, false, b"a");
    b.picture(160, false, b"b");
    b.lower(160, true, b"b");
    a.lower(160, false, b"a");
    b.sound(120, b"b");
    b.lower(200, false, b"b");
    assert_eq!(text(&program, MediaKind::Video), "a0 a40 a80 b120 b160");
    assert_eq!(text(&program, LOWER), "a0 a40 a80 b160 b200");
    assert_eq!(program.feed().original(LOWER).unwrap().id(), lower, "the same track");
}

#[test]
fn a_further_rendition_whose_keyframe_comes_before_the_main_one_goes_over_at_the_cut() {
    let program = program_without_frames();
    let a = Feeder::new(&program, TimelineId::unique(), 0);
    a.picture(0, true, b"a");
    a.lower(0, true, b"a");
    let b = Feeder::new(&program, TimelineId::unique(), 0);
    assert_eq!(b.lower(40, true, b"b"), Offered::Waiting);
    assert_eq!(b.picture(40, true, b"b"), Offered::Taken);
    b.lower(80, false, b"b");
    a.lower(40, false, b"a");
    assert_eq!(text(&program, LOWER), "a0 b40 b80");
}

#[test]
fn all_renditions_wait_behind_the_fence_for_a_mix_that_is_later_than_its_lead() {
    let program = program_without_frames();
    let timeline = TimelineId::unique();
    let a = Feeder::new(&program, timeline, 0);
    for n in 0..3 {
        a.picture(n * 40, n == 0, b"a");
        a.lower(n * 40, n == 0, b"a");
    }
    let mix = Feeder::new(&program, timeline, 0);
    assert_eq!(mix.picture(40, true, b"m"), Offered::Waiting);
    for n in 3..6 {
        a.picture(n * 40, false, b"a");
        a.lower(n * 40, false, b"a");
    }
    assert_eq!(text(&program, LOWER), "a0 a40 a80");
    assert_eq!(mix.lower(160, true, b"m"), Offered::Waiting);
    assert_eq!(mix.picture(160, true, b"m"), Offered::Taken);
    mix.lower(200, false, b"m");
    assert_eq!(text(&program, MediaKind::Video), "a0 a40 a80 a120 m160");
    assert_eq!(text(&program, LOWER), "a0 a40 a80 a120 m160 m200");
}

#[test]
fn a_further_rendition_that_the_new_take_does_not_bring_ends() {
    let program = program_without_frames();
    let a = Feeder::new(&program, TimelineId::unique(), 0);
    a.picture(0, true, b"a");
    a.lower(0, true, b"a");
    let lower = program.feed().original(LOWER).unwrap();
    let b = Feeder::new(&program, TimelineId::unique(), 0);
    (1..=51).for_each(|n| assert_eq!(b.picture(n * 40, n == 1, b"b"), Offered::Taken));
    assert!(!lower.is_ended(), "the rendition may still come");
    b.picture(52 * 40, false, b"b");
    assert!(lower.is_ended());
    assert_eq!(program.feed().keys(), [TrackKey::VIDEO]);
}

#[test]
fn a_further_rendition_whose_keyframes_are_far_apart_does_not_end() {
    let program = program_without_frames();
    let a = Feeder::new(&program, TimelineId::unique(), 0);
    a.picture(0, true, b"a");
    a.lower(0, true, b"a");
    let b = Feeder::new(&program, TimelineId::unique(), 0);
    for n in 1..=75 {
        b.picture(n * 40, n == 1, b"b");
        b.lower(n * 40, n == 75, b"b");
    }
    assert_eq!(text(&program, LOWER), "a0 b3000");
}

#[test]
fn a_program_holds_a_bounded_number_of_tracks() {
    let program = program_without_frames();
    let a = Feeder::new(&program, TimelineId::unique(), 0);
    for rendition in 1..=u8::MAX {
        a.inlet.push_on(Rendition(rendition), a.frame(&a.video, 0, true, b"a"));
    }
    a.picture(0, true, b"a");
    a.sound(0, b"a");
    assert_eq!(program.feed().keys().len(), crate::key::TRACKS_MAX);
    assert!(program.feed().original(TrackKey::AUDIO).is_some());
}

#[test]
fn messages_are_cut_where_the_video_is_and_none_is_lost() {
    let program = program_without_frames();
    let a = Feeder::new(&program, TimelineId::unique(), 0);
    let b = |feeder: &Feeder, at_ms, mark| feeder.inlet.push(feeder.frame(&metadata(), at_ms, true, mark));
    a.picture(0, true, b"a");
    a.sound(0, b"a");
    a.sound(20, b"a");
    b(&a, 10, b"a");
    let next = Feeder::new(&program, TimelineId::unique(), 0);
    assert_eq!(b(&next, 90, b"b"), Offered::Waiting, "the message is ahead of its video");
    next.picture(80, true, b"b");
    b(&next, 100, b"b");
    b(&a, 70, b"a");
    b(&a, 110, b"a");
    a.sound(40, b"a");
    next.sound(80, b"b");
    a.sound(60, b"a");
    b(&next, 120, b"b");
    assert_eq!(text(&program, MediaKind::Data), "a10 a70 b90 b100 b120");
}

#[test]
fn a_take_whose_audio_the_next_one_does_not_bring_is_not_wanted_for_ever() {
    let program = program_without_frames();
    let a = Feeder::new(&program, TimelineId::unique(), 0);
    a.picture(0, true, b"a");
    a.sound(0, b"a");
    let b = Feeder::new(&program, TimelineId::unique(), 0);
    (1..=51).for_each(|n| assert_eq!(b.picture(n * 40, n == 1, b"b"), Offered::Taken));
    assert!(a.inlet.is_wanted(), "its audio may still come");
    b.picture(52 * 40, false, b"b");
    assert!(!a.inlet.is_wanted());
    assert_eq!(a.sound(20, b"a"), Offered::Over);
}
