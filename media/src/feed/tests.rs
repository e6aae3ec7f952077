//! Tests which track a viewer of a feed gets, and when one is derived.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::*;
use crate::budget::Work;
use crate::codec::{Parameters, SampleAspect, h264};
use crate::key::Rendition;
use crate::testing::{Frames, RECOVERY_POINT, aac_without_a_standard_layout, audio, h264, surround_opus, video};
use crate::time::Ticks;

const EVERY_2_S: Entry = any_time(2);
const WEBRTC: Accept<'_> =
    Accept { codecs: &[Codec::H264, Codec::Opus], reordering: false, any_format: false, entry: Entry::Now };
const HLS: Accept<'_> =
    Accept { codecs: &[Codec::H264, Codec::Aac], reordering: true, any_format: false, entry: EVERY_2_S };

const fn any_time(group_max_secs: u64) -> Entry {
    Entry::AnyTime { group_max: Duration::from_secs(group_max_secs), history: Duration::from_secs(1) }
}

/// Answers every recipe with an empty Opus track and keeps the leases.
#[derive(Default)]
struct Recorder(Mutex<Vec<Lease>>);

impl Deriver for Recorder {
    fn derive(&self, _: Recipe, _: &Arc<Track>, lease: Lease) -> Result<Arc<Track>, NotDerived> {
        self.0.lock().push(lease);
        Ok(Arc::new(Track::new(audio())))
    }
}

fn feed() -> (Arc<Feed>, Arc<Recorder>) {
    let recorder = Arc::new(Recorder::default());
    let feed = Feed::new(Some(recorder.clone()));
    feed.set_original(Arc::new(Track::new(audio())));
    (feed, recorder)
}

#[test]
fn a_viewer_that_takes_the_original_gets_it() {
    let (feed, recorder) = feed();
    let demand = feed.demand(MediaKind::Audio, WEBRTC).unwrap();
    assert!(!demand.is_derived());
    assert!(recorder.0.lock().is_empty());
    assert_eq!(feed.demand(MediaKind::Video, WEBRTC).unwrap_err(), Unavailable::NoTrack(TrackKey::VIDEO));
}

#[test]
fn a_format_that_browsers_do_not_decode_is_converted_for_those_who_need_it() {
    let (feed, _) = feed();
    feed.set_original(Arc::new(Track::new(aac_without_a_standard_layout())));
    assert!(feed.demand(MediaKind::Audio, HLS).unwrap().is_derived());
    let library = Accept { any_format: true, ..HLS };
    assert!(!feed.demand(MediaKind::Audio, library).unwrap().is_derived());
}

#[test]
fn opus_with_several_streams_in_a_packet_is_converted_for_webrtc() {
    let (feed, _) = feed();
    feed.set_original(Arc::new(Track::new(surround_opus())));
    assert!(feed.demand(MediaKind::Audio, WEBRTC).unwrap().is_derived());
    let library = Accept { any_format: true, ..WEBRTC };
    assert!(!feed.demand(MediaKind::Audio, library).unwrap().is_derived());
}

#[test]
fn video_with_samples_that_are_not_square_is_converted_for_webrtc() {
    let (feed, _) = feed();
    let Parameters::H264(square) = &*h264() else { unreachable!() };
    for (width, height, is_derived) in [(64, 45, true), (1280, 1281, false)] {
        let wide = h264::Parameters { sample_aspect: SampleAspect::new(width, height), ..square.clone() };
        feed.set_original(Arc::new(Track::new(Arc::new(Parameters::H264(wide)))));
        assert_eq!(feed.demand(MediaKind::Video, WEBRTC).unwrap().is_derived(), is_derived, "{width}:{height}");
        assert!(!feed.demand(MediaKind::Video, HLS).unwrap().is_derived(), "the file says the shape");
    }
}

#[test]
fn video_whose_fields_come_one_by_one_is_converted_for_webrtc() {
    let (feed, _) = feed();
    let Parameters::H264(frames) = &*h264() else { unreachable!() };
    let interlaced =
        Arc::new(Parameters::H264(h264::Parameters { interlaced: true, frame_num_bits: 4, ..frames.clone() }));
    let (track, mut frames) = (Arc::new(Track::new(interlaced.clone())), Frames::new(interlaced));
    feed.set_original(track.clone());
    let is_derived = |accept| feed.demand(MediaKind::Video, accept).unwrap().is_derived();
    // A slice header: 1 and 0001000 and 1 are numbers, 0000 is the frame number, and then come the flags of fields.
    const FRAME: u8 = 0b1000_0011;
    const TOP: u8 = 0b1000_0101;
    const BOTTOM: u8 = 0b1000_0111;
    let mut push = |slices: &[u8]| {
        let slices = slices.iter().flat_map(|flags| [0, 0, 0, 4, 0x65, 0b1000_1000, *flags, 0x80]);
        track.push(Frame { payload: slices.collect(), ..frames.frame(true, 0) });
    };
    push(&[FRAME, FRAME]);
    push(&[TOP, TOP, BOTTOM]);
    assert!(!is_derived(WEBRTC), "whole frames");
    push(&[TOP, TOP]);
    assert!(is_derived(WEBRTC) && !is_derived(HLS));
}

#[test]
fn the_codecs_of_a_track_are_its_own_if_it_needs_no_conversion_and_those_of_conversions() {
    const ALL: Accept<'_> = Accept { codecs: &[Codec::Vp8, Codec::Vp9, Codec::H264], ..WEBRTC };
    let (feed, _) = feed();
    assert_eq!(feed.codecs(TrackKey::VIDEO, ALL), [Codec::H264, Codec::Vp8], "of a track that has yet to come");
    feed.set_original(Arc::new(Track::new(video())));
    assert_eq!(feed.codecs(TrackKey::VIDEO, ALL), [Codec::Vp8, Codec::H264]);
    let Parameters::H264(plain) = &*h264() else { unreachable!() };
    let reordered = h264::Parameters { max_reorder: Some(2), ..plain.clone() };
    feed.set_original(Arc::new(Track::new(Arc::new(Parameters::H264(reordered)))));
    assert_eq!(feed.codecs(TrackKey::VIDEO, Accept { codecs: &[Codec::H264], ..WEBRTC }), [Codec::H264]);
    assert_eq!(feed.codecs(TrackKey::AUDIO, WEBRTC), [Codec::Opus]);
    assert_eq!(feed.codecs(TrackKey::AUDIO, HLS), [Codec::Aac]);
}

#[test]
fn video_whose_newest_keyframe_is_old_is_converted_for_viewers_of_the_present() {
    let (feed, _) = feed();
    let (track, mut frames) = (Arc::new(Track::new(h264())), Frames::new(h264()));
    feed.set_original(track.clone());
    let began = Instant::now();
    let mut push = |keyframe, millis| {
        let arrived = began + Duration::from_millis(millis);
        track.push(Frame { arrived, ..frames.frame(keyframe, 100) });
    };
    let is_derived = |accept| feed.demand(MediaKind::Video, accept).unwrap().is_derived();
    push(true, 0);
    push(false, 3000);
    assert!(!is_derived(WEBRTC), "a keyframe can be asked for");
    track.set_takes_requests(false);
    assert!(is_derived(WEBRTC));
    assert!(!is_derived(Accept { entry: Entry::Anywhere, ..WEBRTC }));
    push(true, 4000);
    push(false, 6000);
    assert!(!is_derived(WEBRTC), "two seconds are a usual group");
}

#[test]
fn video_with_long_groups_is_converted_where_players_join_at_any_time() {
    let (feed, _) = feed();
    let (track, mut frames) = (Arc::new(Track::new(h264())), Frames::new(h264()));
    feed.set_original(track.clone());
    track.set_takes_requests(false);
    let is_derived = |accept| feed.demand(MediaKind::Video, accept).unwrap().is_derived();
    // Frames are 40 ms apart.
    let mut push = |keyframe: bool, frame_count| {
        (0..frame_count).for_each(|number| track.push(frames.frame(keyframe && number == 0, 100)));
    };
    push(true, 50);
    push(true, 63);
    assert!(!is_derived(HLS), "2.5 s are a usual group");
    push(true, 75);
    push(true, 1);
    assert!(is_derived(HLS) && !is_derived(WEBRTC), "the newest keyframe is young");
    assert!(!is_derived(Accept { entry: any_time(4), ..HLS }));
    track.set_takes_requests(true);
    assert!(!is_derived(HLS), "a keyframe can be asked for");
    track.want_keyframe();
    push(true, 1);
    track.want_keyframe();
    push(false, 100);
    assert!(is_derived(HLS), "it was asked for, and 4 s of frames came without it");
    push(true, 1);
    push(true, 50);
    assert!(!is_derived(HLS));
}

#[test]
fn a_conversion_knows_how_much_of_the_past_its_first_viewer_can_use() {
    for (accept, history) in [(HLS, 1), (WEBRTC, 0), (Accept { entry: Entry::Anywhere, ..HLS }, 0)] {
        let (feed, recorder) = feed();
        feed.set_original(Arc::new(Track::new(video()))); // VP8, which none of them takes.
        assert!(feed.demand(MediaKind::Video, accept).unwrap().is_derived());
        assert_eq!(recorder.0.lock()[0].history(), Duration::from_secs(history));
    }
}

#[test]
fn a_screen_that_stands_still_has_no_long_groups() {
    let (feed, _) = feed();
    let (track, mut frames) = (Arc::new(Track::new(h264())), Frames::new(h264()));
    feed.set_original(track.clone());
    track.set_takes_requests(false);
    for number in 0..4 {
        let frame = frames.frame(number == 0, 100);
        track.push(Frame { dts: frame.dts + Ticks(90_000 * 20 * number), ..frame });
    }
    assert!(!feed.demand(MediaKind::Video, HLS).unwrap().is_derived());
}

#[test]
fn a_viewer_starts_in_the_past_if_the_conversion_fails() {
    struct Broken;
    impl Deriver for Broken {
        fn derive(&self, _: Recipe, _: &Arc<Track>, _: Lease) -> Result<Arc<Track>, NotDerived> {
            Err(NotDerived::Failed("no encoder".to_owned()))
        }
    }
    let feed = Feed::new(Some(Arc::new(Broken)));
    let (track, mut frames) = (Arc::new(Track::new(h264())), Frames::new(h264()));
    feed.set_original(track.clone());
    track.set_takes_requests(false);
    let began = Instant::now();
    track.push(Frame { arrived: began, ..frames.frame(true, 100) });
    track.push(Frame { arrived: began + Duration::from_secs(9), ..frames.frame(false, 100) });
    assert!(!feed.demand(MediaKind::Video, WEBRTC).unwrap().is_derived());
}

#[test]
fn a_viewer_who_plays_the_track_does_without_a_conversion_that_is_over_the_budget() {
    struct Spending;
    impl Deriver for Spending {
        fn derive(&self, _: Recipe, _: &Arc<Track>, _: Lease) -> Result<Arc<Track>, NotDerived> {
            Err(Spent(Work::SpareConversion).into())
        }
    }
    let feed = Feed::new(Some(Arc::new(Spending)));
    let (track, mut frames) = (Arc::new(Track::new(h264())), Frames::new(h264()));
    feed.set_original(track.clone());
    track.set_takes_requests(false);
    let began = Instant::now();
    track.push(Frame { arrived: began, ..frames.frame(true, 100) });
    track.push(Frame { arrived: began + Duration::from_secs(9), ..frames.frame(false, 100) });
    assert!(!feed.demand(MediaKind::Video, WEBRTC).unwrap().is_derived());
    let vp8 = Accept { codecs: &[Codec::Vp8], ..WEBRTC };
    assert_eq!(feed.demand(MediaKind::Video, vp8).unwrap_err(), Unavailable::Overloaded(Spent(Work::SpareConversion)));
}

#[tokio::test(start_paused = true)]
async fn a_conversion_that_is_refused_or_fails_is_asked_for_again_after_a_time() {
    struct Refusing(NotDerived);
    impl Deriver for Refusing {
        fn derive(&self, _: Recipe, _: &Arc<Track>, _: Lease) -> Result<Arc<Track>, NotDerived> {
            Err(self.0.clone())
        }
    }
    for (refusal, seconds) in [
        (NotDerived::Overloaded(Spent(Work::Conversion)), Some(5)),
        (NotDerived::Later(Duration::from_secs(42)), Some(42)),
        (NotDerived::Failed("no encoder".to_owned()), Some(AGAIN.as_secs())),
    ] {
        let feed = Feed::new(Some(Arc::new(Refusing(refusal))));
        feed.set_original(Arc::new(Track::new(video())));
        let accepts = Accepts { codecs: [Codec::H264].into(), reordering: false, any_format: false, entry: Entry::Now };
        let next = |known| feed.clone().next_demand(TrackKey::VIDEO, accepts.clone(), known);
        let (original, refused) = next(None).await.unwrap();
        let known = Known::refused(original, &refused.unwrap_err());
        let asked = tokio::time::Instant::now();
        let again = tokio::time::timeout(Duration::from_secs(3600), next(Some(known))).await;
        assert_eq!(again.is_ok().then(|| asked.elapsed().as_secs()), seconds, "{known:?}");
        let mut waits = pin!(next(Some(known)));
        assert!(waits.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let other = Arc::new(Track::new(h264()));
        feed.set_original(other.clone());
        assert_eq!(waits.await.unwrap().0, other.id(), "another track has its turn at once");
    }
}

#[test]
fn video_with_recovery_points_in_place_of_keyframes_is_converted_for_new_viewers() {
    let (converting, _) = feed();
    let (track, mut frames) = (Arc::new(Track::new(h264())), Frames::new(h264()));
    let is_derived = |feed: &Arc<Feed>| {
        feed.set_original(track.clone());
        feed.demand(MediaKind::Video, HLS).unwrap().is_derived()
    };
    track.push(frames.frame(true, 100));
    (0..98).for_each(|_| track.push(frames.frame(false, 100)));
    track.push(Frame { payload: RECOVERY_POINT.into(), ..frames.frame(false, 0) });
    assert!(!is_derived(&converting), "keyframes may come every 4 s");
    track.push(frames.frame(false, 100));
    assert!(is_derived(&converting));
    assert!(!is_derived(&Feed::new(None)), "where nothing converts, the original may still bring a keyframe");
}

#[test]
fn a_derived_track_is_made_once_and_given_up_when_it_is_not_held() {
    let (feed, recorder) = feed();
    let first = feed.demand(MediaKind::Audio, HLS).unwrap();
    let second = feed.demand(MediaKind::Audio, HLS).unwrap();
    assert_eq!(first.track().id(), second.track().id());
    assert_eq!(recorder.0.lock().len(), 1);

    let lease = recorder.0.lock().remove(0);
    drop(first);
    assert!(!lease.try_release(), "one holder is left");
    drop(second);
    assert!(!lease.is_wanted());
    assert!(lease.try_release());
    assert!(feed.derived(MediaKind::Audio).is_empty());
    feed.demand(MediaKind::Audio, HLS).unwrap();
    assert_eq!(recorder.0.lock().len(), 1, "made anew");
}

#[test]
fn video_of_another_feed_is_shown_and_converted_there() {
    let program = Feed::new(None);
    program.set_original(Arc::new(Track::new(video())));
    let returned = Feed::with_pictures_of(program.clone(), None);
    returned.set_original(Arc::new(Track::new(audio())));
    let shown = returned.original(MediaKind::Video).unwrap();
    assert_eq!(shown.id(), program.original(MediaKind::Video).unwrap().id());
    assert!(program.original(MediaKind::Audio).is_none());
    returned.end();
    assert!(!shown.is_ended() && returned.original(MediaKind::Audio).unwrap().is_ended());
}

#[test]
fn tracks_are_found_and_replaced_by_their_keys() {
    let program = Feed::new(None);
    let [main, lower] = [0, 1].map(|number| Arc::new(Track::with_rendition(Rendition(number), video())));
    program.set_original(lower.clone());
    program.set_original(main.clone());
    let returned = Feed::with_pictures_of(program.clone(), None);
    returned.set_original(Arc::new(Track::new(audio())));
    assert_eq!(returned.keys(), [TrackKey::VIDEO, lower.key(), TrackKey::AUDIO]);
    assert_eq!(program.original(lower.key()).unwrap().id(), lower.id());
    let accept = Accept { codecs: &[Codec::Vp8], reordering: true, any_format: false, entry: EVERY_2_S };
    assert_eq!(returned.demand(lower.key(), accept).unwrap().track().id(), lower.id());

    program.set_original(Arc::new(Track::with_rendition(Rendition(1), video())));
    assert!(lower.is_ended() && !main.is_ended());
    program.remove_original(lower.key());
    assert_eq!(program.keys(), [TrackKey::VIDEO]);
    assert_eq!(program.demand(lower.key(), accept).unwrap_err().to_string(), "there is no video1 here");
}

#[test]
fn a_track_that_cannot_be_converted_is_refused_with_its_codec() {
    let feed = Feed::new(None);
    feed.set_original(Arc::new(Track::new(video())));
    let refused = feed.demand(MediaKind::Video, HLS).unwrap_err();
    assert_eq!(refused, Unavailable::NoRecipe(Codec::Vp8));
    assert!(refused.to_string().contains("vp8"));
}

#[test]
fn a_viewer_gets_h264_if_it_takes_that_and_else_vp8() {
    let recipe = |codecs| Recipe::for_viewer(TrackKey::VIDEO, Accept { codecs, ..WEBRTC }).next();
    assert_eq!(recipe(&[Codec::Vp8, Codec::Vp9, Codec::H264]), Some(Recipe::H264));
    assert_eq!(recipe(&[Codec::Av1, Codec::Vp9, Codec::Vp8]), Some(Recipe::Vp8));
    assert_eq!(recipe(&[Codec::Av1, Codec::Vp9]), None);
}

#[test]
fn a_viewer_can_wait_for_a_track_of_a_kind_that_is_not_there() {
    let (program, _) = feed();
    let returned = Feed::with_pictures_of(program.clone(), None);
    let mut context = Context::from_waker(Waker::noop());
    let mut pictures = pin!(returned.next_original(MediaKind::Video, None));
    assert!(pictures.as_mut().poll(&mut context).is_pending());
    program.set_original(Arc::new(Track::new(audio())));
    assert!(pictures.as_mut().poll(&mut context).is_pending(), "another kind");
    let track = Arc::new(Track::new(video()));
    program.set_original(track.clone());
    let Poll::Ready(Some(found)) = pictures.as_mut().poll(&mut context) else { panic!("it is here") };
    assert_eq!(found.id(), track.id());

    let mut other = pin!(returned.next_original(MediaKind::Video, Some(track.id())));
    assert!(other.as_mut().poll(&mut context).is_pending());
    program.end();
    assert!(matches!(other.as_mut().poll(&mut context), Poll::Ready(None)));
}

#[test]
fn a_feed_never_goes_back_to_an_earlier_stage() {
    let (feed, _) = feed();
    feed.end();
    feed.settle();
    assert_eq!(feed.stage(), FeedStage::Ended);
    assert!(feed.original(MediaKind::Audio).unwrap().is_ended());
}

#[test]
fn the_levels_of_a_feed_are_its_renditions_with_frames_the_best_first() {
    let (feed, _) = feed();
    let large = Arc::new(Track::with_rendition(Rendition(2), video()));
    let small = Arc::new(Track::with_rendition(Rendition(0), h264()));
    for track in [&small, &large] {
        feed.set_original(track.clone());
    }
    feed.set_original(Arc::new(Track::with_rendition(Rendition(1), video())));
    let (mut of_large, mut of_small) = (Frames::new(video()), Frames::new(h264()));
    for number in 0..10 {
        large.push(of_large.frame(number == 0, 100));
        small.push(of_small.frame(number == 0, 100));
    }
    let now = of_large.at(9);
    let levels = feed.levels(now);
    let sizes: Vec<_> = levels.iter().map(|level| (level.key, level.size)).collect();
    assert_eq!(sizes, [(large.key(), Some((640, 360))), (small.key(), h264().shown_size())]);
    assert!(levels.iter().all(|level| level.bitrate_bps > 0 && level.frame_rate > 20.0), "{levels:?}");
    small.end();
    assert_eq!(feed.levels(now).iter().map(|level| level.key).collect::<Vec<_>>(), [large.key()]);
}
