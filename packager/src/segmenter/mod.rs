//! Turns the frames of any number of tracks into renditions whose segments correspond.
//!
//! The main video leads: it cuts at keyframes, and each cut is a media sequence number and a time that all other
//! renditions follow at their next frame. So they have the same numbers for the same time, and the same
//! discontinuities. A cut without a keyframe is made only when the group of pictures outgrows the target duration,
//! which may never change.
//!
//! The calendar's dates may step. The segment that is dated anew begins with a discontinuity, and the timestamps in it go
//! on as before.
//!
//! When one of the tracks stops, the others go on. Missing audio becomes silence if this crate can write silence for
//! its codec. Main video that stands still is repeated, if its publisher sends a keyframe when it is asked. Without the main video the
//! audio cuts by itself, and the video comes back after gap segments.
//!
//! No segment is longer than the target duration, in any rendition: it is settled by the first complete segment, and what came
//! before is cut to it.
//!
//! Timed metadata is not a rendition: it travels in the parts of the main one.
//!
//! ```text
//! lead.rs         the main video: decides where segments begin
//! further.rs      further video renditions: wait until the lead has passed their time, then cut where it did
//! audio.rs        audio renditions: laid end to end, filled with silence
//! cuts.rs         what the lead decided and others have yet to follow
//! composition.rs  by which times segments of reordered frames begin and are dated
//! still.rs        the main video while nothing comes of it
//! ```

mod audio;
mod composition;
mod cuts;
mod further;
mod lead;
mod left_out;
mod still;

use std::collections::VecDeque;
use std::sync::Arc;

use onmic_media::{DateOffset, DropReason, Frame, Keyed, MediaKind, Ticks, TrackKey};

use self::audio::Audio;
use self::cuts::Cuts;
use self::further::Further;
use self::lead::Lead;
use self::left_out::LeftOut;
use crate::dates::Dates;
use crate::error::PackagerError;
use crate::rendition::{FIRST_MSN, Rendition};
use crate::settings::Settings;

/// A frame that comes this much later than due starts a new timeline: the publisher was away.
const GAP_MICROS: i64 = 500_000;
/// A frame within this time of when it is due continues the timeline.
const DUE_MICROS: i64 = 200_000;
/// The most audio packets of one track that wait until the video tells whether the publisher was away: ten seconds.
const HELD_MAX: usize = 512;

/// States why a frame was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ignored {
    /// It is video before the first keyframe, or before the next one after it stood still.
    NoKeyframe,
    /// It is audio, data or a further rendition before the first main video, or before the first main video of a new
    /// publisher.
    BeforeVideo,
    /// It is audio for a time that already has audio.
    Overlap,
    /// It has new parameters, which apply from the next cut on.
    ParametersChanged,
    /// It belongs to a further rendition, and waited for a cut of the main video that did not come in time.
    Unaligned,
    /// The stream already has the most tracks that it may have.
    TooManyTracks,
    /// The part already has the most timed metadata that it may hold.
    TooManyEvents,
}

impl Ignored {
    /// Returns the reason that it is counted by.
    pub const fn reason(self) -> DropReason {
        match self {
            Self::NoKeyframe => DropReason::HlsNoKeyframe,
            Self::BeforeVideo => DropReason::HlsBeforeVideo,
            Self::Overlap => DropReason::HlsOverlap,
            Self::ParametersChanged => DropReason::HlsParametersChanged,
            Self::Unaligned => DropReason::HlsUnaligned,
            Self::TooManyTracks => DropReason::HlsTooManyTracks,
            Self::TooManyEvents => DropReason::HlsTooManyEvents,
        }
    }
}

/// Holds the renditions of one stream and their common cuts.
#[derive(Debug)]
pub struct Segmenter {
    settings: Settings,
    waits_for_video: bool,
    dates: Dates,
    lead: Option<Lead>,
    further: Keyed<Further>,
    audio: Keyed<Audio>,
    cuts: Cuts,
    /// Audio that waits for the main video.
    held: Keyed<VecDeque<Arc<Frame>>>,
    /// What was left out of the frames that waited.
    left_out: LeftOut,
    keyframe_wanted: bool,
    /// The time of the newest audio.
    heard_micros: i64,
    /// Whether main video that stands still is repeated.
    repeats: bool,
    /// Whether the first segment is short.
    begins_short: bool,
    /// A playlist may have stated the target duration.
    target_is_stated: bool,
    ended: bool,
}

impl Segmenter {
    /// Makes a segmenter without segments. With `waits_for_video`, everything begins with the first keyframe of the
    /// main video.
    pub fn new(settings: Settings, waits_for_video: bool) -> Self {
        Self {
            settings,
            waits_for_video,
            dates: Dates::default(),
            lead: None,
            further: Keyed::new(),
            audio: Keyed::new(),
            cuts: Cuts::default(),
            held: Keyed::new(),
            left_out: LeftOut::default(),
            keyframe_wanted: false,
            heard_micros: i64::MIN,
            repeats: false,
            begins_short: false,
            target_is_stated: false,
            ended: false,
        }
    }

    /// Cuts the first segment after PART-HOLD-BACK, at a keyframe that is asked for. Playlists begin with a whole segment, so
    /// the first viewer waits for this one. The publisher must send a keyframe when it is asked for one, because the target
    /// duration is set by the usual length of a segment.
    #[must_use]
    pub fn beginning_short(self) -> Self {
        Self { begins_short: true, ..self }
    }

    /// Begins without the main video, of which no keyframe has come. The frames that waited for it are packaged. The
    /// video may still come later, as in a stream that had none.
    pub fn go_without_video(&mut self) -> Result<(), PackagerError> {
        if self.lead.is_some() || !std::mem::take(&mut self.waits_for_video) {
            return Ok(());
        }
        self.release_held()?;
        self.state_target()
    }

    /// Dates what comes by `offset` from now on. Dates that step need a discontinuity, which the main video makes at its next
    /// keyframe, and audio without video where it cuts.
    pub fn date_by(&mut self, offset: DateOffset) {
        if self.renditions().next().is_none() {
            self.dates.begin(offset);
        } else if self.dates.follow(offset) {
            self.keyframe_wanted |= self.lead.is_some();
        }
    }

    /// The durations it was made with, and the target duration that its first segment showed.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Returns the rendition of a track, once its first frame came. A kind alone names the main one.
    pub fn rendition(&self, key: impl Into<TrackKey>) -> Option<&Rendition> {
        let key = key.into();
        match key.kind {
            _ if key == TrackKey::VIDEO => self.lead.as_ref().map(|lead| &lead.rendition),
            MediaKind::Video => self.further.get(key).and_then(Further::rendition),
            MediaKind::Audio => self.audio.get(key).map(|audio| &audio.rendition),
            MediaKind::Data => None,
        }
    }

    /// Returns the rendition of a key, to take its evicted segments.
    pub fn rendition_mut(&mut self, key: impl Into<TrackKey>) -> Option<&mut Rendition> {
        let key = key.into();
        match key.kind {
            _ if key == TrackKey::VIDEO => self.lead.as_mut().map(|lead| &mut lead.rendition),
            MediaKind::Video => self.further.get_mut(key).and_then(Further::rendition_mut),
            MediaKind::Audio => self.audio.get_mut(key).map(|audio| &mut audio.rendition),
            MediaKind::Data => None,
        }
    }

    /// Returns all renditions in the order of their keys.
    pub fn renditions(&self) -> impl Iterator<Item = &Rendition> {
        let lead = self.lead.iter().map(|lead| &lead.rendition);
        let audio = self.audio.values().map(|audio| &audio.rendition);
        lead.chain(self.further.values().filter_map(Further::rendition)).chain(audio)
    }

    /// Returns what everything that is listed or open costs, and what waits for the main video, in bytes.
    pub fn bytes(&self) -> u64 {
        let held = self.held.values().flatten().map(|frame| frame.cost());
        let waiting = self.further.values().map(Further::waiting_cost);
        let cost: usize = self.renditions().map(Rendition::cost).chain(held).chain(waiting).sum();
        cost as u64
    }

    /// Takes the oldest segment out of all playlists, as far as delta updates allow. Returns whether there was one to take.
    pub fn let_go_oldest(&mut self) -> bool {
        let firsts =
            self.renditions().filter_map(|rendition| Some((rendition.key(), rendition.segments().next()?.msn)));
        let firsts: Vec<_> = firsts.collect();
        let Some(oldest) = firsts.iter().map(|(_, msn)| *msn).min() else { return false };
        let mut went = false;
        for (key, first) in firsts.into_iter().filter(|(_, first)| *first == oldest) {
            let Some(rendition) = self.rendition_mut(key) else { continue };
            rendition.let_go_before(first + 1);
            went |= rendition.segments().next().is_some_and(|next| next.msn > first);
        }
        went
    }

    /// Removes a further rendition whose track has ended. The main ones stay, because their tracks may come back.
    pub fn remove(&mut self, key: TrackKey) {
        if !key.leads() {
            self.further.remove(key);
            self.audio.remove(key);
            self.held.remove(key);
        }
    }

    /// Returns whether [`Segmenter::finish`] was called.
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// Returns whether a segment has become due since the last call and waits for a keyframe. It is true once per
    /// segment.
    pub fn take_keyframe_wanted(&mut self) -> bool {
        std::mem::take(&mut self.keyframe_wanted)
    }

    /// Returns why frames were left out that had waited, since the last call, and how many.
    pub fn take_left_out(&mut self) -> Vec<(Ignored, u64)> {
        self.left_out.take()
    }

    /// Takes in the next frame of the track `key`. Frames of one track come in decoding order. One that waits is told of by
    /// [`Segmenter::take_left_out`] if it is left out in the end.
    pub fn push(&mut self, key: TrackKey, frame: &Arc<Frame>) -> Result<Option<Ignored>, PackagerError> {
        if self.ended {
            return Ok(None);
        }
        let wall = self.dates.moment(frame.pts_micros(), frame.wall);
        let frame = Arc::new(Frame { wall, ..Frame::clone(frame) });
        let ignored = match key.kind {
            _ if key == TrackKey::VIDEO => self.push_lead(&frame),
            MediaKind::Video => self.push_further(key, &frame),
            MediaKind::Audio => self.push_audio(key, &frame),
            MediaKind::Data => Ok(self.push_data(&frame)),
        };
        if key == TrackKey::AUDIO {
            self.hear(frame.pts_micros())?;
        }
        self.state_target()?;
        self.shorten_audio();
        self.forget_cuts();
        ignored
    }

    /// Settles the target duration when the first segment is complete, which is when playlists begin. Only a segment that
    /// ended where the publisher's keyframes are tells how long the others will be. No rendition has a longer one by then.
    fn state_target(&mut self) -> Result<(), PackagerError> {
        if self.target_is_stated || self.renditions().all(|rendition| rendition.segments().len() == 0) {
            return Ok(());
        }
        self.target_is_stated = true;
        let first = match &self.lead {
            Some(_) if self.begins_short => Some(self.settings.segment),
            Some(lead) if lead.is_headless() => None,
            Some(lead) => lead.rendition.segments().next().map(|first| first.duration),
            None => self.renditions().find_map(|rendition| rendition.segments().next()).map(|first| first.duration),
        };
        let first = first.filter(|first| *first * 10 >= self.settings.segment * 9);
        let Some(first) = first else { return Ok(()) };
        let narrowed = self.settings.narrowed_to(first);
        // The audio may have come first, and has to be cut where the video was.
        self.cut_audio_above(narrowed.longest())?;
        let listed = self.renditions().flat_map(Rendition::segments).map(|segment| segment.duration);
        let open = self.renditions().map(|rendition| rendition.open_length(0));
        let longest = listed.chain(open).max().filter(|longest| *longest > narrowed.longest());
        self.settings = longest.map_or(narrowed, |longest| self.settings.narrowed_to(longest));
        let lead = self.lead.iter_mut().map(|lead| &mut lead.rendition);
        let further = self.further.values_mut().filter_map(Further::rendition_mut);
        let all = lead.chain(further).chain(self.audio.values_mut().map(|audio| &mut audio.rendition));
        all.for_each(|rendition| rendition.narrow(self.settings));
        Ok(())
    }

    /// Whether audio is there up to shortly before `micros`: the publisher was not away.
    fn audio_has_come_to(&self, micros: i64) -> bool {
        self.audio.values().any(|audio| audio.newest_micros().is_some_and(|newest| micros - newest < GAP_MICROS))
    }

    /// Takes in timed metadata. It has no rendition of its own: it travels in the parts of the main video, or of the
    /// main audio if there is no video.
    fn push_data(&mut self, frame: &Frame) -> Option<Ignored> {
        let key = if self.lead.is_some() || self.waits_for_video { TrackKey::VIDEO } else { TrackKey::AUDIO };
        match self.rendition_mut(key) {
            Some(rendition) => (!rendition.add_event(frame)).then_some(Ignored::TooManyEvents),
            None => Some(Ignored::BeforeVideo),
        }
    }

    /// Ends the stream: all open parts and segments are completed.
    pub fn finish(&mut self) -> Result<(), PackagerError> {
        self.release_held()?;
        self.release_further(None)?;
        self.ended = true;
        if let Some(lead) = &mut self.lead {
            let expected = lead.expected().unwrap_or(1);
            lead.rendition.close_segment(expected)?;
        }
        for further in self.further.values_mut() {
            further.close()?;
        }
        for audio in self.audio.values_mut() {
            let expected = audio.cadence.length();
            audio.rendition.close_segment(expected)?;
        }
        self.state_target()
    }

    /// Keeps the audio playlist from reaching further back than the video playlist, whatever the lengths of segments
    /// add up to, and whichever of the two is ahead or was kept by a cache. Players begin their timeline at the first
    /// listed segment, and hls.js has no room before it: it moved audio by the missing time, and then looked for it
    /// in the wrong place.
    fn shorten_audio(&mut self) {
        let Some(first) = self.lead.as_ref().and_then(|lead| lead.rendition.slid_to()) else { return };
        for audio in self.audio.values_mut() {
            audio.rendition.let_go_before(first + 1);
        }
    }

    /// Returns the number of the next segment, which no rendition has begun.
    fn next_msn(&self) -> u64 {
        let open = self.renditions().filter_map(|rendition| rendition.open()).map(|open| open.msn).max();
        open.max(self.cuts.largest_msn()).map_or(FIRST_MSN, |last| last + 1)
    }

    /// Forgets the cuts that all renditions have made. A rendition that is yet to begin may begin at any of them.
    fn forget_cuts(&mut self) {
        if self.audio.is_empty() || self.further.values().any(|further| further.rendition().is_none()) {
            return;
        }
        let open = self.renditions().map(|rendition| rendition.open().map_or(0, |open| open.msn));
        let passed = open.min().unwrap_or(0);
        self.cuts.forget_before(passed);
    }
}

/// Returns whether a frame continues the timeline of a rendition, whatever its parameters. Takes of a program do, and a
/// new publisher does not.
fn frame_is_due(rendition: &Rendition, frame: &Frame, expected: i64) -> bool {
    let late = Ticks(frame.dts.0 - rendition.due(expected)).micros(rendition.rate());
    late.abs() <= DUE_MICROS && rendition.rate() == frame.parameters.clock_rate()
}

/// Converts a frame to the form that a rendition takes.
fn incoming(frame: &Frame) -> crate::rendition::Incoming {
    crate::rendition::Incoming {
        dts: frame.dts.0,
        pts: frame.pts.0,
        keyframe: frame.keyframe,
        wall: frame.wall,
        payload: frame.payload.clone(),
    }
}
