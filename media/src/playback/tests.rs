//! Tests what a player gets from a feed, as lines of text.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::*;
use crate::budget::{Spent, Work};
use crate::codec::{Codec, aac};
use crate::feed::{Deriver, Entry, Lease, NotDerived};
use crate::key::Rendition;
use crate::testing::{Frames, aac_without_a_standard_layout, audio, h264, video};

const PLAYER: &[Codec] = &[Codec::Vp8, Codec::Opus];

/// Holds a feed with a video and an audio track, and makes frames of 40 ms for both.
struct Fixture {
    feed: Arc<Feed>,
    video: (Arc<Track>, Frames),
    audio: (Arc<Track>, Frames),
}

impl Fixture {
    fn new() -> Self {
        Self::with(None)
    }

    fn with(deriver: Option<Arc<dyn Deriver>>) -> Self {
        let pair = |parameters: Arc<Parameters>| (Arc::new(Track::new(parameters.clone())), Frames::new(parameters));
        let (video, audio) = (pair(video()), pair(audio()));
        let feed = Feed::new(deriver);
        feed.set_original(video.0.clone());
        feed.set_original(audio.0.clone());
        Self { feed, video, audio }
    }

    /// Pushes `frames` of video, of which the first is a keyframe.
    fn push_video(&mut self, frames: usize) {
        (0..frames).for_each(|n| self.video.0.push(self.video.1.frame(n == 0, 1)));
    }

    fn push_audio(&mut self, frames: usize) {
        (0..frames).for_each(|_| self.audio.0.push(self.audio.1.frame(true, 1)));
    }

    async fn open(&self, start: Start) -> Playback {
        open(&self.feed, PLAYER, start).await.unwrap()
    }
}

async fn open(feed: &Arc<Feed>, codecs: &[Codec], start: Start) -> Result<Playback, Unavailable> {
    let accepts = Accepts { codecs: codecs.into(), reordering: true, any_format: false, entry: Entry::Now };
    Playback::open(feed.clone(), Wants { accepts, tracks: Tracks::All, start }).await
}

/// Returns `v`, `a`, or `v1` and a colon.
fn letter(key: TrackKey) -> String {
    let letter = &key.kind.name()[..1];
    if key.leads() { letter.to_owned() } else { format!("{letter}{}:", key.rendition.0) }
}

/// Returns the whole output as text: `v` or `a` with milliseconds for frames, and the news between them.
fn text(playback: &mut Playback) -> String {
    let mut text = Vec::new();
    while let Some(next) = playback.try_next() {
        text.push(match next {
            Next::Frame(key, placed) => format!("{}{}", letter(key), placed.dts_micros / 1000),
            Next::Begun(key, _) => format!("+{key}"),
            Next::Gone(key) => format!("-{key}"),
            Next::Skipped(key, frames) => format!("{key} lost {frames}"),
            Next::Refused(key, _) => format!("no {key}"),
            Next::Ended => {
                text.push("ended".to_owned());
                break;
            }
        });
    }
    text.join(" ")
}

#[tokio::test]
async fn the_oldest_frame_goes_first_and_video_at_one_moment() {
    let mut fixture = Fixture::new();
    fixture.push_video(3);
    fixture.push_audio(2);
    let mut playback = fixture.open(Start::Present).await;
    assert_eq!(text(&mut playback), "v0 a0 v40 a40 v80");
    fixture.push_audio(2);
    assert_eq!(text(&mut playback), "a80 a120", "no kind waits for the other");
    fixture.feed.end();
    assert_eq!(text(&mut playback), "ended");
}

#[tokio::test]
async fn a_track_that_comes_later_begins_in_the_playback_that_is_there() {
    let mut fixture = Fixture::new();
    fixture.push_video(1);
    let feed = Feed::new(None);
    feed.set_original(fixture.video.0.clone());
    let mut playback = open(&feed, PLAYER, Start::Present).await.unwrap();
    assert!(!playback.flows(TrackKey::AUDIO));
    assert_eq!(text(&mut playback), "v0");
    fixture.push_audio(1);
    feed.set_original(fixture.audio.0.clone());
    assert_eq!(text(&mut playback), "+audio a0");
}

#[tokio::test]
async fn a_track_that_is_replaced_is_gone_and_the_next_one_begins() {
    let mut fixture = Fixture::new();
    fixture.push_video(1);
    fixture.push_audio(1);
    let mut playback = fixture.open(Start::Present).await;
    assert_eq!(text(&mut playback), "v0 a0");
    let other = Arc::new(Track::new(video()));
    fixture.feed.set_original(other.clone());
    other.push(fixture.video.1.frame(true, 1));
    assert_eq!(text(&mut playback), "-video +video v40");
}

/// Converts nothing: the track that is to hold the conversion stays empty.
struct Converter;

impl Deriver for Converter {
    fn derive(&self, _: Recipe, input: &Arc<Track>, _: Lease) -> Result<Arc<Track>, NotDerived> {
        Ok(Arc::new(Track::new(input.parameters())))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_player_goes_over_to_a_conversion_when_the_format_becomes_one_that_browsers_do_not_decode() {
    let usual = Arc::new(Parameters::Aac(aac::Parameters::low_complexity(48_000, 2).unwrap()));
    let (track, mut frames) = (Arc::new(Track::new(usual.clone())), Frames::new(usual));
    let feed = Feed::new(Some(Arc::new(Converter)));
    feed.set_original(track.clone());
    track.push(frames.frame(true, 100));
    let mut playback = open(&feed, &[Codec::Aac], Start::Present).await.unwrap();
    assert_eq!(text(&mut playback), "a0");
    frames.parameters = aac_without_a_standard_layout();
    track.push(frames.frame(true, 100));
    assert!(matches!(playback.next().await, Next::Gone(TrackKey::AUDIO)));
    assert!(matches!(playback.next().await, Next::Begun(TrackKey::AUDIO, _)));
    assert!(playback.track(TrackKey::AUDIO).is_some_and(|derived| derived.id() != track.id()));
}

#[tokio::test]
async fn a_track_that_cannot_be_converted_is_refused_and_the_next_one_may_begin() {
    let mut fixture = Fixture::new();
    fixture.push_audio(1);
    let mut playback = open(&fixture.feed, &[Codec::H264, Codec::Opus], Start::Present).await.unwrap();
    assert_eq!(text(&mut playback), "a0");
    fixture.feed.set_original(Arc::new(Track::new(video())));
    assert!(matches!(playback.next().await, Next::Refused(TrackKey::VIDEO, Unavailable::NoRecipe(Codec::Vp8))));
    let refused = open(&fixture.feed, &[Codec::H264], Start::Present).await.unwrap_err();
    assert_eq!(refused, Unavailable::NoRecipe(Codec::Vp8));
}

/// Converts while the budget has room, into tracks that stay empty.
#[derive(Default)]
struct Budgeted {
    has_room: AtomicBool,
    made: Mutex<Vec<Arc<Track>>>,
}

impl Deriver for Budgeted {
    fn derive(&self, _: Recipe, input: &Arc<Track>, _: Lease) -> Result<Arc<Track>, NotDerived> {
        if !self.has_room.load(Ordering::Relaxed) {
            return Err(Spent(Work::Conversion).into());
        }
        let made = Arc::new(Track::new(input.parameters()));
        self.made.lock().push(made.clone());
        Ok(made)
    }
}

#[tokio::test(start_paused = true)]
async fn a_conversion_that_is_refused_or_fails_begins_when_it_can_again() {
    let budgeted = Arc::new(Budgeted::default());
    let fixture = Fixture::with(Some(budgeted.clone()));
    let mut playback = open(&fixture.feed, &[Codec::H264, Codec::Opus], Start::Present).await.unwrap();
    assert!(matches!(playback.take_refused(TrackKey::VIDEO), Some(Unavailable::Overloaded(_))));
    let refused = |next| matches!(next, Next::Refused(TrackKey::VIDEO, Unavailable::Overloaded(_)));
    assert!(refused(playback.next().await) && refused(playback.next().await), "it is asked for again and again");
    budgeted.has_room.store(true, Ordering::Relaxed);
    assert!(matches!(playback.next().await, Next::Begun(TrackKey::VIDEO, _)));
    let failed = budgeted.made.lock().pop().unwrap();
    failed.end();
    assert!(matches!(playback.next().await, Next::Gone(TrackKey::VIDEO)));
    let since = tokio::time::Instant::now();
    assert!(matches!(playback.next().await, Next::Begun(TrackKey::VIDEO, _)));
    assert_eq!(since.elapsed().as_secs(), 60, "what fails at once does not begin again at once");
}

#[tokio::test(start_paused = true)]
async fn a_track_flows_while_the_codec_for_its_next_form_is_opened_and_not_while_that_is_refused() {
    for has_room in [true, false] {
        let budgeted = Arc::new(Budgeted::default());
        budgeted.has_room.store(has_room, Ordering::Relaxed);
        let mut fixture = Fixture::with(Some(budgeted));
        fixture.push_video(1);
        let mut playback = fixture.open(Start::Present).await;
        assert_eq!(text(&mut playback), "v0");
        fixture.feed.set_original(Arc::new(Track::new(aac_without_a_standard_layout())));
        assert!(matches!(playback.next().await, Next::Gone(TrackKey::AUDIO)));
        assert!(playback.flows(TrackKey::AUDIO) && playback.track(TrackKey::AUDIO).is_none());
        let next = playback.next().await;
        assert_eq!(matches!(next, Next::Begun(TrackKey::AUDIO, _)), has_room, "{next:?}");
        assert_eq!(playback.flows(TrackKey::AUDIO), has_room);
    }
}

#[tokio::test]
async fn a_packager_that_begins_behind_a_fault_reads_nothing_that_was_there() {
    let mut fixture = Fixture::new();
    fixture.push_video(2);
    fixture.audio.0.push(fixture.audio.1.frame(true, 1));
    let mut playback = fixture.open(Start::BehindTheFault).await;
    assert!(fixture.video.0.take_keyframe_wanted());
    assert_eq!(text(&mut playback), "");
    for keyframe in [false, true, false] {
        fixture.video.0.push(fixture.video.1.frame(keyframe, 1));
    }
    fixture.audio.0.push(fixture.audio.1.frame(true, 1));
    assert_eq!(text(&mut playback), "a40 v120 v160");
}

#[tokio::test]
async fn audio_of_long_ago_is_not_sent_as_the_present() {
    let mut fixture = Fixture::new();
    fixture.push_video(2);
    fixture.push_audio(500); // These are 20 s in which the video pauses.
    let mut playback = fixture.open(Start::Present).await;
    let text = text(&mut playback);
    assert!(text.starts_with("v17960 v17961 a17960 a18000") || text.starts_with("v17960 a17960 v17961"), "{text}");
    assert_eq!(text.split(' ').filter(|frame| frame.starts_with('a')).count(), 51);
}

#[tokio::test]
async fn video_of_a_long_group_is_run_through_up_to_the_present() {
    let mut fixture = Fixture::new();
    fixture.push_video(251); // 10 s.
    let mut playback = fixture.open(Start::Present).await;
    let text = text(&mut playback);
    let times: Vec<i64> = text.split(' ').map(|frame| frame[1..].parse().unwrap()).collect();
    assert_eq!((times[0], times[1], *times.last().unwrap()), (8_000, 8_001, 10_000));
    assert!(times.is_sorted() && times.len() == 251, "a decoder needs the whole group");
}

#[tokio::test]
async fn a_packager_gets_the_group_with_the_times_it_has() {
    let mut fixture = Fixture::new();
    fixture.push_video(251);
    fixture.push_audio(251);
    let mut playback = fixture.open(Start::Group).await;
    let text = text(&mut playback);
    assert!(text.starts_with("v0 a0 v40 a40") && text.ends_with("v10000 a10000"), "{text}");
}

#[tokio::test]
async fn muted_audio_does_not_flow_until_it_goes_on() {
    let mut fixture = Fixture::new();
    fixture.push_audio(1);
    fixture.push_video(60);
    let mut playback = fixture.open(Start::Present).await;
    assert!(playback.flows(TrackKey::VIDEO) && !playback.flows(TrackKey::AUDIO));
    assert!(!text(&mut playback).contains('a'));
    fixture.push_audio(60);
    assert!(playback.flows(TrackKey::AUDIO) && text(&mut playback).ends_with("a2400"));
}

#[tokio::test]
async fn a_player_that_pauses_goes_on_at_the_newest_group() {
    let mut fixture = Fixture::new();
    fixture.push_video(1);
    let mut playback = fixture.open(Start::Present).await;
    playback.set_paused(true);
    fixture.push_video(2);
    assert_eq!(text(&mut playback), "");
    playback.set_paused(false);
    assert_eq!(text(&mut playback), "v40 v80");
    playback.set_wanted(TrackKey::VIDEO, false);
    fixture.push_video(2);
    assert_eq!(text(&mut playback), "");
    playback.set_wanted(TrackKey::VIDEO, true);
    assert_eq!(text(&mut playback), "v120 v160");
}

#[tokio::test]
async fn a_player_that_wants_nothing_of_a_track_still_notices_its_end() {
    let mut fixture = Fixture::new();
    fixture.push_video(2);
    fixture.push_audio(2);
    let mut playback = fixture.open(Start::Present).await;
    playback.set_wanted(TrackKey::AUDIO, false);
    assert_eq!(text(&mut playback), "v0 v40");
    playback.set_paused(true);
    fixture.push_video(2);
    fixture.feed.end();
    assert_eq!(text(&mut playback), "ended");
}

#[tokio::test]
async fn a_player_without_a_keyframe_to_start_from_asks_for_one() {
    let mut fixture = Fixture::new();
    (0..2).for_each(|_| fixture.video.0.push(fixture.video.1.frame(false, 1)));
    let mut playback = fixture.open(Start::Present).await;
    assert_eq!(text(&mut playback), "");
    assert!(fixture.video.0.take_keyframe_wanted());
    fixture.push_video(1);
    assert_eq!(text(&mut playback), "v80");
    assert!(!fixture.video.0.take_keyframe_wanted());
}

#[tokio::test]
async fn a_player_that_is_too_slow_is_told_how_many_frames_it_lost() {
    let mut fixture = Fixture::new();
    fixture.push_video(2);
    let mut playback = fixture.open(Start::Present).await;
    (0..3).for_each(|_| fixture.push_video(1)); // The ring keeps two groups.
    assert_eq!(text(&mut playback), "video lost 4 v160");
}

#[tokio::test]
async fn a_player_that_wants_all_tracks_reads_a_rendition_that_comes_later() {
    let mut fixture = Fixture::new();
    fixture.push_video(1);
    let mut all = fixture.open(Start::Present).await;
    let accepts = Accepts { codecs: PLAYER.into(), reordering: true, any_format: false, entry: Entry::Now };
    let wants = Wants { accepts, tracks: Tracks::Main, start: Start::Present };
    let mut main = Playback::open(fixture.feed.clone(), wants).await.unwrap();
    let low = Arc::new(Track::with_rendition(Rendition(1), video()));
    assert!(fixture.feed.set_original(low.clone()));
    low.push(Frames::new(video()).frame(true, 1));
    assert_eq!(text(&mut all), "+video1 v0 v1:0");
    assert_eq!(text(&mut main), "v0");
}

/// Makes one track of whatever it is asked for.
struct Maker(Arc<Track>);

impl Deriver for Maker {
    fn derive(&self, _: Recipe, _: &Arc<Track>, _: Lease) -> Result<Arc<Track>, NotDerived> {
        Ok(self.0.clone())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packager_gets_a_conversion_and_the_audio_beside_it_from_as_early_as_its_players_can_use() {
    let entry = Entry::AnyTime { group_max: Duration::from_secs(4), history: Duration::from_millis(400) };
    let open = async |fixture: &Fixture| {
        let accepts = Accepts { codecs: [Codec::H264, Codec::Opus].into(), reordering: true, any_format: false, entry };
        let wants = Wants { accepts, tracks: Tracks::All, start: Start::Group };
        Playback::open(fixture.feed.clone(), wants).await.unwrap()
    };
    let conversion = Arc::new(Track::new(h264()));
    let mut fixture = Fixture::with(Some(Arc::new(Maker(conversion.clone()))));
    fixture.push_video(26); // 1 s.
    fixture.push_audio(26);
    let first = text(&mut open(&fixture).await);
    assert!(first.starts_with("a600 a640 "), "the conversion begins there at the earliest: {first}");
    let mut frames = Frames::new(h264());
    (0..26).for_each(|number| conversion.push(frames.frame(number == 5 || number == 20, 1)));
    let second = text(&mut open(&fixture).await);
    assert!(second.starts_with("v200 a200 v240 "), "the newest keyframe is too young: {second}");
    let mut playback = open(&fixture).await;
    while playback.try_next().is_some() {}
    playback.set_wanted(TrackKey::VIDEO, false);
    playback.set_wanted(TrackKey::VIDEO, true);
    let again = text(&mut playback);
    assert_eq!(
        again.split(' ').count(),
        6,
        "a player that has begun has the past, and needs the newest group: {again}"
    );
}

/// An encoder that is two frames behind its input, and has a keyframe where one is asked for.
struct Encoder {
    track: Arc<Track>,
    frames: Frames,
    last_keyframe: i64,
    made: i64,
}

impl Encoder {
    fn make(&mut self) {
        let is_first = self.made == 0;
        let asked = self.made - self.last_keyframe > 12 && self.track.take_keyframe_wanted();
        if is_first || asked {
            self.last_keyframe = self.made;
        }
        self.made += 1;
        self.track.push(self.frames.frame(is_first || asked, 1));
    }
}

#[tokio::test]
async fn a_converted_form_takes_over_at_a_keyframe_and_no_frame_is_missing_or_comes_twice() {
    let track = Arc::new(Track::new(video()));
    let mut encoder = Encoder { track: track.clone(), frames: Frames::new(video()), last_keyframe: 0, made: 0 };
    let mut fixture = Fixture::with(Some(Arc::new(Maker(track))));
    fixture.push_video(20);
    (0..18).for_each(|_| drop(encoder.frames.frame(false, 1)));
    let mut playback = fixture.open(Start::Group).await;
    playback.convert(TrackKey::VIDEO, Recipe::H264);
    playback.convert(TrackKey::VIDEO, Recipe::H264); // Asked for again, it is still made once.
    let (mut begun, mut frames) = (None, Vec::new());
    while begun.is_none_or(|begun| frames.len() < begun + 10) {
        while let Some(next) = playback.try_next() {
            match next {
                Next::Frame(_, placed) => frames.push(placed),
                Next::Begun(key, _) => begun = begun.or(Some(frames.len())).filter(|_| key == TrackKey::VIDEO),
                other => panic!("{other:?}"),
            }
        }
        assert!(frames.len() < 10_000, "the other form never takes over");
        fixture.video.0.push(fixture.video.1.frame(false, 1));
        encoder.make();
        tokio::task::spawn_blocking(|| ()).await.unwrap(); // The form is opened on such a thread.
    }
    let times: Vec<_> = frames.iter().map(|placed| placed.dts_micros / 40_000).collect();
    assert_eq!(times, (0..times.len() as i64).collect::<Vec<_>>());
    let begun = begun.unwrap();
    let is_made = |placed: &Placed| Arc::ptr_eq(&placed.frame.parameters, &encoder.frames.parameters);
    assert!(frames[begun].frame.keyframe);
    assert_eq!(frames.iter().position(is_made), Some(begun), "from its keyframe on");
    assert!(frames[begun..].iter().all(is_made));
    assert!(playback.track(TrackKey::VIDEO).unwrap().id() == encoder.track.id());
}

#[tokio::test]
async fn a_form_that_cannot_be_made_is_refused_and_the_original_is_read_on() {
    let mut fixture = Fixture::new();
    fixture.push_video(2);
    let mut playback = fixture.open(Start::Group).await;
    assert_eq!(text(&mut playback), "v0 v40");
    playback.convert(TrackKey::VIDEO, Recipe::H264);
    assert!(matches!(playback.next().await, Next::Refused(TrackKey::VIDEO, Unavailable::NoRecipe(_))));
    fixture.video.0.push(fixture.video.1.frame(false, 1));
    assert_eq!(text(&mut playback), "v80");
}

#[tokio::test]
async fn a_form_that_ends_before_it_takes_over_is_refused_for_a_time() {
    let over = Arc::new(Track::new(video()));
    over.end();
    let mut fixture = Fixture::with(Some(Arc::new(Maker(over))));
    fixture.push_video(2);
    let mut playback = fixture.open(Start::Group).await;
    assert_eq!(text(&mut playback), "v0 v40");
    playback.convert(TrackKey::VIDEO, Recipe::H264);
    let Next::Refused(TrackKey::VIDEO, why) = playback.next().await else { panic!("not refused") };
    assert!(why.stands().is_some(), "{why}");
    fixture.video.0.push(fixture.video.1.frame(false, 1));
    assert_eq!(text(&mut playback), "v80");
}
