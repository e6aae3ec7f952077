//! The program of a room: one feed, filled by one take after the other and spliced at keyframes.
//!
//! A **take** is who fills the program: a source passed through undecoded, or the mixer. Each has an [`Inlet`]. A take that
//! is selected waits until it brings a keyframe that is shown after everything the program already has; there its pictures
//! begin, on the same track, and the take before it is over. Both kinds are cut at the same presentation time: the old take
//! fills up to it, the new one goes on from it, and what comes early waits. So viewers read one track and see a splice,
//! never a new stream. The very first take begins with whatever it brings.
//!
//! A mix is later than the source that leads it, so its keyframes are of times that the program has from the source already.
//! When it has shown that it is there, the source's pictures wait, until the mix begins after the last that was taken.
//!
//! The program has its own timeline. A take's timestamps are shifted onto it, by the same time for both kinds: takes of one
//! source's timeline (its pass-through, and a mix led by it) share the shift, so a splice between them moves nothing;
//! any other is placed by the wall clock.
//!
//! Push is called by the publisher's or the mixer's thread; there is no thread and no queue here but frames that wait for
//! the cut, [`HELD_MAX`] of sound and [`FENCED_MAX`] pictures at most.

mod lane;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lane::Lane;
use parking_lot::Mutex;

use crate::codec::MediaKind;
use crate::feed::{Deriver, Feed};
use crate::frame::Frame;
use crate::pcm::Pcm;
use crate::time::{ClockRate, Ticks, WallTime};
use crate::track::Track;

/// Sound of a new take that may wait for the old one to reach the cut: 20 packets are 0.4 s. Then it waits no more.
const HELD_MAX: usize = 20;

/// Pictures that may wait for the other take: a third of a second at 30 per second. Then they go their way.
const PICTURES_HELD_MAX: usize = 10;

/// A selected take that is further behind has yet to catch up. With B-frames and a busy machine a mix may be late by this,
/// and a pause of it is better than a take that never begins.
const BEHIND_MICROS: i64 = 1_000_000;

/// Pictures that may wait until the selected take begins: so many that it has passed them by then, if it ever does.
const FENCED_MAX: usize = 40;

/// Pictures of a selected take after which its source is asked for a keyframe again.
const ASK_AGAIN: u32 = 30;

/// A timeline of timestamps. A mix led by a source speaks in the source's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimelineId(u64);

impl TimelineId {
    /// A timeline that nobody else has.
    pub fn unique() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// What a take brings.
#[derive(Clone, Copy, Debug)]
pub struct Brings {
    /// The timeline it speaks in.
    pub timeline: TimelineId,
    /// Whether it begins with a keyframe; else with its first sound.
    pub video: bool,
    /// Its pictures are shown in the order they are sent in, and their decoding times say nothing.
    pub in_order: bool,
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offered {
    /// The program has it, or had its time already.
    Taken,
    /// The take has not begun: it does with the next keyframe that is shown late enough.
    Waiting,
    /// Another take follows: nothing of this one will be taken any more.
    Over,
}

/// See the module.
#[derive(Debug)]
pub struct Program {
    feed: Arc<Feed>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    takes: u64,
    current: Option<Take>,
    next: Option<Next>,
    lanes: [Lane; 2],
    cut: Option<Cut>,
}

#[derive(Clone, Copy, Debug)]
struct Take {
    number: u64,
    brings: Brings,
    shift_micros: i64,
}

/// A take that was selected and has not begun.
#[derive(Debug)]
struct Next {
    take: Take,
    keyframe_wanted: bool,
    pictures_waited: u32,
    /// Its newest sound, which may be ahead of its pictures.
    sound: VecDeque<Frame>,
    /// Pictures of the take that is on, once this one is only waited for to be later than them.
    fenced: Option<VecDeque<Frame>>,
    /// They are not made to wait before so many pictures of this one.
    fence_after: u32,
}

/// Where the program goes over from `before` to the take that is on, until it did.
#[derive(Debug)]
struct Cut {
    at_micros: i64,
    before: Take,
    /// What waits, by kind; `None` where it has gone over.
    held: [Option<VecDeque<Frame>>; 2],
}

impl Program {
    /// A program without anything in it. `deriver` converts codecs for its viewers.
    pub fn new(deriver: Option<Arc<dyn Deriver>>) -> Arc<Self> {
        Arc::new(Self { feed: Feed::new(deriver), state: Mutex::default() })
    }

    /// The same for a feed that is there already: only what no other feed lends it is filled here.
    pub fn filling(feed: Arc<Feed>) -> Arc<Self> {
        Arc::new(Self { feed, state: Mutex::default() })
    }

    /// What viewers read.
    pub fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }

    /// Selects a new take. It replaces one that was selected and has not begun.
    pub fn select(self: &Arc<Self>, brings: Brings) -> Inlet {
        let mut state = self.state.lock();
        state.lift_fence(&self.feed);
        state.takes += 1;
        let take = Take { number: state.takes, brings, shift_micros: 0 };
        state.next = Some(Next {
            take,
            keyframe_wanted: true,
            pictures_waited: 0,
            sound: VecDeque::new(),
            fenced: None,
            fence_after: 0,
        });
        Inlet { program: self.clone(), take: take.number }
    }

    /// Goes on with the take that is on, and forgets the one that was selected.
    pub fn unselect(&self) {
        let mut state = self.state.lock();
        state.lift_fence(&self.feed);
        state.next = None;
    }

    /// The wall clock of the newest frame.
    pub fn newest_wall(&self) -> Option<WallTime> {
        let state = self.state.lock();
        state.lanes.iter().filter_map(|lane| lane.last).map(|last| last.wall).max()
    }
}

/// Where one take enters the program.
#[derive(Debug)]
pub struct Inlet {
    program: Arc<Program>,
    take: u64,
}

impl Inlet {
    /// Offers a frame of the take, with the take's own timestamps.
    pub fn push(&self, frame: Frame) -> Offered {
        let feed = &self.program.feed;
        let mut state = self.program.state.lock();
        if state.next.as_ref().is_some_and(|next| next.take.number == self.take) {
            return state.begin(frame, feed);
        }
        match state.current {
            Some(current) if current.number == self.take => state.go_on(current, frame, feed),
            _ => state.fill_up(self.take, frame, feed),
        }
    }

    /// Offers sound of the take before it is encoded, with the take's own timestamps. It is used while the take fills the
    /// program's sound; [`Inlet::push`] brings the same as frames.
    pub fn push_pcm(&self, mut pcm: Pcm<'_>) {
        let Some((track, shift_micros)) = self.program.state.lock().sound_of(self.take) else { return };
        pcm.pts += Ticks(shift_micros).rescale(ClockRate::MICROS, ClockRate::OPUS);
        track.push_pcm(pcm);
    }

    /// Whether the program plays it.
    pub fn is_on(&self) -> bool {
        self.program.state.lock().current.is_some_and(|take| take.number == self.take)
    }

    /// Whether it was selected and has not begun.
    pub fn is_awaited(&self) -> bool {
        let state = self.program.state.lock();
        state.next.as_ref().is_some_and(|next| next.take.number == self.take)
    }

    /// Whether the program plays it, will play it, or still takes its sound up to a cut.
    pub fn is_wanted(&self) -> bool {
        let state = self.program.state.lock();
        let next = state.next.as_ref().map(|next| next.take.number);
        let before = state.cut.as_ref().map(|cut| cut.before.number);
        [state.current.map(|take| take.number), next, before].contains(&Some(self.take))
    }

    /// Whether a keyframe of it is wanted, by a viewer or to begin with. Each wish is told once.
    pub fn take_keyframe_wanted(&self) -> bool {
        let mut state = self.program.state.lock();
        if let Some(next) = state.next.as_mut().filter(|next| next.take.number == self.take) {
            return std::mem::take(&mut next.keyframe_wanted);
        }
        let on = state.current.is_some_and(|take| take.number == self.take);
        let track = state.lanes[MediaKind::Video as usize].track.as_ref();
        on && track.is_some_and(|track| track.take_keyframe_wanted())
    }

    /// All tracks of it are known: viewers who wait for them may start.
    pub fn settle(&self) {
        if self.is_on() {
            self.program.feed.settle();
        }
    }
}

impl State {
    /// A frame of the selected take: it begins here, or waits.
    fn begin(&mut self, frame: Frame, feed: &Arc<Feed>) -> Offered {
        let Some(mut next) = self.next.take() else { return Offered::Over };
        let kind = frame.parameters.kind();
        next.take.shift_micros = self.shift(&next.take, &frame);
        let at_micros = shown(&frame) + next.take.shift_micros;
        let starts = match kind {
            MediaKind::Video => frame.keyframe,
            MediaKind::Audio => !next.take.brings.video,
        };
        let ahead_micros = self.lanes[kind as usize].last.map_or(-1, |last| last.pts_micros - at_micros);
        if self.current.is_some() && !(starts && ahead_micros < 0) {
            if starts && kind == MediaKind::Video && ahead_micros < BEHIND_MICROS {
                next.fence();
            }
            next.wait(frame);
            self.next = Some(next);
            return Offered::Waiting;
        }
        self.release_all(feed); // A splice so soon after another: what waits for that cut goes first.
        if let Some(current) = self.current {
            // What was made to wait and is not replaced after all.
            let fenced = next.fenced.take().into_iter().flatten();
            let before = fenced.take_while(|picture| shown(picture) + current.shift_micros < at_micros);
            before.for_each(|picture| self.lanes[MediaKind::Video as usize].append(picture, current, feed));
        }
        let sound = next.sound.into_iter().filter(|sound| shown(sound) + next.take.shift_micros >= at_micros).collect();
        let pictures = self.lanes[MediaKind::Video as usize].is_near(at_micros).then(VecDeque::new);
        let mut held = [None, None];
        (held[MediaKind::Video as usize], held[MediaKind::Audio as usize]) = (pictures, Some(sound));
        self.cut = self.current.replace(next.take).map(|before| Cut { at_micros, before, held });
        self.lanes[MediaKind::Audio as usize].joins = self.cut.is_some();
        self.go_on(next.take, frame, feed)
    }

    /// A frame of the take that is on.
    fn go_on(&mut self, take: Take, frame: Frame, feed: &Arc<Feed>) -> Offered {
        let kind = frame.parameters.kind();
        let at_micros = shown(&frame) + take.shift_micros;
        if let Some(cut) = &mut self.cut
            && let Some(held) = &mut cut.held[kind as usize]
        {
            if at_micros >= cut.at_micros {
                held.push_back(frame);
            } // Else the take before brings that time.
            self.release_if_filled(kind, feed);
            return Offered::Taken;
        }
        let lane = &mut self.lanes[kind as usize];
        let is_later = lane.last.is_none_or(|last| at_micros > last.pts_micros);
        if kind == MediaKind::Video
            && is_later
            && let Some(fenced) = self.next.as_mut().and_then(|next| next.fenced.as_mut())
        {
            fenced.push_back(frame);
            if fenced.len() > FENCED_MAX {
                self.lift_fence(feed);
            }
            return Offered::Taken;
        }
        lane.append(frame, take, feed);
        Offered::Taken
    }

    /// The pictures of the take that is on wait no more for the one that was selected.
    fn lift_fence(&mut self, feed: &Arc<Feed>) {
        let (Some(next), Some(current)) = (&mut self.next, self.current) else { return };
        let Some(fenced) = next.fenced.take() else { return };
        next.fence_after = next.pictures_waited + ASK_AGAIN;
        let lane = &mut self.lanes[MediaKind::Video as usize];
        fenced.into_iter().for_each(|picture| lane.append(picture, current, feed));
    }

    /// The track that the take's sound goes to, and the take's shift: of the take that is on, and of the one before until
    /// its sound has filled up to the cut.
    fn sound_of(&self, take: u64) -> Option<(Arc<Track>, i64)> {
        let fills = |cut: &&Cut| cut.held[MediaKind::Audio as usize].is_some();
        let before = self.cut.as_ref().filter(fills).map(|cut| cut.before);
        let take = [self.current, before].into_iter().flatten().find(|known| known.number == take)?;
        Some((self.lanes[MediaKind::Audio as usize].track.clone()?, take.shift_micros))
    }

    /// A frame of the take before: it is taken up to the cut.
    fn fill_up(&mut self, take: u64, frame: Frame, feed: &Arc<Feed>) -> Offered {
        let Some(cut) = self.cut.as_ref().filter(|cut| cut.before.number == take) else { return Offered::Over };
        let kind = frame.parameters.kind();
        let (before, at_micros) = (cut.before, cut.at_micros);
        if cut.held[kind as usize].is_some() {
            let reached = shown(&frame) + before.shift_micros >= at_micros;
            let lane = &mut self.lanes[kind as usize];
            match kind {
                _ if !reached => lane.append(frame, before, feed),
                MediaKind::Audio => {}
                // Of pictures there may be fewer than before, and then none is as near to the cut.
                MediaKind::Video => self.release(kind, feed),
            }
            self.release_if_filled(kind, feed);
        }
        let sound_filled = self.lanes[MediaKind::Audio as usize].reaches(at_micros);
        let [pictures, sound] = [MediaKind::Video, MediaKind::Audio]
            .map(|kind| self.cut.as_ref().is_some_and(|cut| cut.held[kind as usize].is_some()));
        if pictures || (sound && !sound_filled) { Offered::Taken } else { Offered::Over }
    }

    fn release_if_filled(&mut self, kind: MediaKind, feed: &Arc<Feed>) {
        let Some(cut) = &self.cut else { return };
        let Some(held) = &cut.held[kind as usize] else { return };
        let most = if kind == MediaKind::Video { PICTURES_HELD_MAX } else { HELD_MAX };
        let filled = self.lanes[kind as usize].reaches(cut.at_micros);
        if !held.is_empty() && (filled || held.len() > most) {
            self.release(kind, feed);
        }
    }

    /// This kind has gone over: what waited follows.
    fn release(&mut self, kind: MediaKind, feed: &Arc<Feed>) {
        let (Some(cut), Some(take)) = (&mut self.cut, self.current) else { return };
        let lane = &mut self.lanes[kind as usize];
        cut.held[kind as usize].take().into_iter().flatten().for_each(|frame| lane.append(frame, take, feed));
        if cut.held.iter().all(Option::is_none) {
            self.cut = None;
        }
    }

    fn release_all(&mut self, feed: &Arc<Feed>) {
        self.release(MediaKind::Video, feed);
        self.release(MediaKind::Audio, feed);
    }

    /// What brings `take` onto the program's timeline, as seen at its `frame`.
    fn shift(&self, take: &Take, frame: &Frame) -> i64 {
        if let Some(current) = self.current.filter(|current| current.brings.timeline == take.brings.timeline) {
            return current.shift_micros;
        }
        let last = self.lanes.iter().filter_map(|lane| lane.last).max_by_key(|last| last.pts_micros);
        last.map_or(0, |last| last.pts_micros + frame.wall.micros_since(last.wall) - shown(frame))
    }
}

impl Next {
    /// It has all but the right time: the pictures of the take that is on wait for it.
    fn fence(&mut self) {
        if self.fenced.is_none() && self.pictures_waited >= self.fence_after {
            self.fenced = Some(VecDeque::new());
        }
    }

    fn wait(&mut self, frame: Frame) {
        match frame.parameters.kind() {
            MediaKind::Audio => {
                self.sound.push_back(frame);
                if self.sound.len() > HELD_MAX {
                    self.sound.pop_front();
                }
            }
            MediaKind::Video => {
                self.pictures_waited += 1;
                if self.pictures_waited.is_multiple_of(ASK_AGAIN) {
                    self.keyframe_wanted = true;
                }
            }
        }
    }
}

/// Presentation time on the take's own timeline, µs.
fn shown(frame: &Frame) -> i64 {
    frame.pts.micros(frame.parameters.clock_rate())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use bytes::Bytes;

    use super::*;
    use crate::codec::Parameters;
    use crate::ring::{Join, Read};
    use crate::testing::{audio, video};

    const WALL: u64 = 1_000_000_000;

    /// One take's frames: video every 40 ms, sound every 20 ms, on a timeline that began `offset_ms` after the wall's.
    struct Feeder {
        inlet: Inlet,
        start: Instant,
        offset_ms: i64,
        video: Arc<Parameters>,
        audio: Arc<Parameters>,
    }

    impl Feeder {
        fn new(program: &Arc<Program>, timeline: TimelineId, offset_ms: i64) -> Self {
            let inlet = program.select(Brings { timeline, video: true, in_order: false });
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

        fn sound(&self, at_ms: i64, mark: &'static [u8]) -> Offered {
            self.inlet.push(self.frame(&self.audio, at_ms, true, mark))
        }
    }

    /// The track as text: whose frame at which millisecond.
    fn text(program: &Program, kind: MediaKind) -> String {
        let track = program.feed().original(kind).unwrap();
        let mut reader = track.reader(Join::At(WallTime(0)));
        let mut text = Vec::new();
        while let Some(Read::Frame(frame)) = reader.try_read() {
            let name = String::from_utf8(frame.payload.to_vec()).unwrap();
            text.push(format!("{name}{}", frame.pts.rescale(track.clock_rate(), ClockRate::MILLIS).0));
        }
        text.join(" ")
    }

    #[test]
    fn a_take_begins_with_a_keyframe_on_the_same_track_and_sound_is_cut_there() {
        let program = Program::new(None);
        let a = Feeder::new(&program, TimelineId::unique(), 0);
        a.picture(0, true, b"a");
        a.sound(0, b"a");
        a.sound(20, b"a");
        let track = program.feed().original(MediaKind::Video).unwrap().id();

        let b = Feeder::new(&program, TimelineId::unique(), 1000);
        assert_eq!(b.picture(40, false, b"b"), Offered::Waiting);
        a.picture(40, false, b"a");
        assert_eq!(b.sound(80, b"b"), Offered::Waiting, "ahead of its picture");
        assert_eq!(b.picture(80, true, b"b"), Offered::Taken);
        assert_eq!(a.picture(80, false, b"a"), Offered::Taken, "its sound is still wanted");
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
    fn a_keyframe_shown_before_what_the_program_has_begins_nothing() {
        let program = Program::new(None);
        let timeline = TimelineId::unique();
        let a = Feeder::new(&program, timeline, 0);
        (0..4).for_each(|n| assert_eq!(a.picture(n * 40, n == 0, b"a"), Offered::Taken));
        let mix = Feeder::new(&program, timeline, 0);
        assert_eq!(mix.picture(80, true, b"m"), Offered::Waiting);
        assert_eq!(mix.picture(160, true, b"m"), Offered::Taken);
        assert_eq!(text(&program, MediaKind::Video), "a0 a40 a80 a120 m160");
    }

    #[test]
    fn pictures_wait_for_a_mix_that_is_later_than_its_lead() {
        let program = Program::new(None);
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
    fn pictures_do_not_wait_for_a_mix_that_never_comes() {
        let program = Program::new(None);
        let timeline = TimelineId::unique();
        let a = Feeder::new(&program, timeline, 0);
        (0..3).for_each(|n| assert_eq!(a.picture(n * 40, n == 0, b"a"), Offered::Taken));
        let mix = Feeder::new(&program, timeline, 0);
        mix.picture(80, true, b"m");
        (3..=43).for_each(|n| assert_eq!(a.picture(n * 40, false, b"a"), Offered::Taken));
        assert!(text(&program, MediaKind::Video).ends_with("a1600 a1640 a1680 a1720"));
        mix.picture(1720, true, b"m");
        a.picture(1760, false, b"a");
        assert!(text(&program, MediaKind::Video).ends_with("a1720 a1760"), "not again at once");
        let mix = Feeder::new(&program, timeline, 0);
        mix.picture(1760, true, b"m");
        a.picture(1800, false, b"a");
        assert!(text(&program, MediaKind::Video).ends_with("a1760"));
        program.unselect();
        assert!(text(&program, MediaKind::Video).ends_with("a1800"));
    }

    #[test]
    fn a_source_that_is_ahead_of_its_mix_waits_for_the_last_of_it() {
        let program = Program::new(None);
        let timeline = TimelineId::unique();
        let mix = Feeder::new(&program, timeline, 0);
        (0..3).for_each(|n| assert_eq!(mix.picture(n * 40, n == 0, b"m"), Offered::Taken));
        let a = Feeder::new(&program, timeline, 0);
        assert_eq!(a.picture(200, true, b"a"), Offered::Taken);
        assert_eq!(mix.picture(120, false, b"m"), Offered::Taken);
        a.picture(240, false, b"a");
        assert_eq!(text(&program, MediaKind::Video), "m0 m40 m80 m120");
        assert_eq!(mix.picture(160, false, b"m"), Offered::Over, "that was all");
        a.picture(280, false, b"a");
        assert_eq!(text(&program, MediaKind::Video), "m0 m40 m80 m120 m160 a200 a240 a280");
    }

    #[test]
    fn a_take_of_the_same_timeline_is_not_moved_whatever_the_wall_says() {
        let program = Program::new(None);
        let timeline = TimelineId::unique();
        let a = Feeder::new(&program, timeline, 0);
        a.picture(0, true, b"a");
        let mix = Feeder::new(&program, timeline, 0);
        let late = mix.frame(&mix.video, 40, true, b"m");
        mix.inlet.push(Frame { wall: late.wall.offset_micros(7_000), ..late });
        assert_eq!(text(&program, MediaKind::Video), "a0 m40");
    }

    #[test]
    fn sound_of_a_take_that_died_is_not_waited_for_long() {
        let program = Program::new(None);
        let a = Feeder::new(&program, TimelineId::unique(), 0);
        a.picture(0, true, b"a");
        a.sound(0, b"a");
        a.sound(20, b"a");
        let b = Feeder::new(&program, TimelineId::unique(), 0);
        b.picture(1000, true, b"b");
        for n in 0..=HELD_MAX {
            b.sound(1000 + i64::try_from(n).unwrap() * 20, b"b");
        }
        assert!(text(&program, MediaKind::Audio).starts_with("a0 a20 b1000 b1020"));
    }

    #[test]
    fn decoding_times_never_run_backwards_over_a_splice_and_presentation_stays() {
        let program = Program::new(None);
        let timeline = TimelineId::unique();
        let reordering = Feeder::new(&program, timeline, 0);
        for (dts, pts) in [(0, 80), (40, 200), (80, 120), (120, 160)] {
            let frame = reordering.frame(&reordering.video, pts, dts == 0, b"a");
            reordering.inlet.push(Frame { dts: Ticks(dts * 90), ..frame });
        }
        let track = program.feed().original(MediaKind::Video).unwrap();
        let mut reader = track.reader(Join::Group);
        let inlet = program.select(Brings { timeline, video: true, in_order: true });
        let mix = Feeder { inlet, ..Feeder::new(&Program::new(None), timeline, 0) };
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
        // At the keyframe decoding ran 80 ms ahead.
        assert_eq!(times, [(0, 80), (40, 200), (80, 120), (120, 160), (160, 240), (200, 280), (240, 320)]);
    }

    #[test]
    fn a_selected_source_is_asked_for_a_keyframe_until_it_brings_one() {
        let program = Program::new(None);
        let a = Feeder::new(&program, TimelineId::unique(), 0);
        a.picture(0, true, b"a");
        let b = Feeder::new(&program, TimelineId::unique(), 0);
        assert!(b.inlet.take_keyframe_wanted() && !b.inlet.take_keyframe_wanted());
        (1..=i64::from(ASK_AGAIN)).for_each(|n| assert_eq!(b.picture(n * 40, false, b"b"), Offered::Waiting));
        assert!(b.inlet.take_keyframe_wanted());
        b.picture(2000, true, b"b");
        assert!(!b.inlet.take_keyframe_wanted() && b.inlet.is_on() && !a.inlet.is_on());
        program.feed().original(MediaKind::Video).unwrap().want_keyframe();
        assert!(!a.inlet.take_keyframe_wanted() && b.inlet.take_keyframe_wanted());
    }

    #[test]
    fn a_take_that_is_unselected_never_begins() {
        let program = Program::new(None);
        let a = Feeder::new(&program, TimelineId::unique(), 0);
        a.picture(0, true, b"a");
        let b = Feeder::new(&program, TimelineId::unique(), 0);
        program.unselect();
        assert_eq!(b.picture(40, true, b"b"), Offered::Over);
        assert_eq!(a.picture(40, false, b"a"), Offered::Taken);
    }
}
