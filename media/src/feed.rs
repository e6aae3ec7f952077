//! A feed is anything that can be watched: tracks by their keys, and the tracks derived from them on demand.
//!
//! A source has a feed, a room's program has one, and a return feed is one. A viewer states the codecs it can take
//! ([`Accept`]). If an original track fits, the viewer gets it. Otherwise it gets a derived track, which is made for
//! the first viewer that asks and shared by all. A derived track lives as long as a [`Demand`] on it is held, and the
//! deriver's linger after that.

mod entry;
mod ladder;
mod level;
mod opening;
mod recipe;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use thiserror::Error;
use tokio::sync::watch;

pub use self::entry::Entry;
pub use self::ladder::{InvalidLadder, InvalidRung, Ladder, PEAK_PERCENT, RUNGS_MAX, Rung};
pub use self::level::Level;
pub use self::recipe::Recipe;
use crate::budget::Spent;
use crate::codec::Codec;
use crate::frame::Frame;
use crate::key::{Keyed, MediaKind, TrackKey};
use crate::life::AGAIN;
use crate::name::SourceName;
use crate::program_clock::ProgramClock;
use crate::track::{Track, TrackId};
use crate::viewers::Viewers;

/// States the media of one kind that a viewer can take.
#[derive(Clone, Copy, Debug)]
pub struct Accept<'a> {
    /// The codecs that it decodes.
    pub codecs: &'a [Codec],
    /// Whether frames may be shown in another order than they are sent. WebRTC cannot. It shows each frame when it comes, so it
    /// would also show the past that stands between an old keyframe and the present. It does not say which shape samples
    /// have either, so they must be square, and where the fields of a frame come one by one it shows the keyframes alone.
    pub reordering: bool,
    /// Whether it decodes by a library, which takes chroma, depths and channel layouts that browsers do not
    /// ([`Parameters::is_widely_decoded`](crate::Parameters::is_widely_decoded)).
    pub any_format: bool,
    /// Where it starts.
    pub entry: Entry,
}

/// States the media that a waiting viewer can take. It is an [`Accept`] that owns its codecs.
#[derive(Clone, Debug)]
pub struct Accepts {
    /// The codecs that it decodes.
    pub codecs: Arc<[Codec]>,
    /// Whether frames may be shown in another order than they are sent.
    pub reordering: bool,
    /// Whether it decodes by a library.
    pub any_format: bool,
    /// Where it starts.
    pub entry: Entry,
}

impl Accept<'_> {
    /// Returns whether the viewer can play the whole track. This is the one place that decides between a track as it came
    /// and a conversion of it.
    pub(crate) fn plays(&self, track: &Track) -> bool {
        let parameters = track.parameters();
        self.codecs.contains(&parameters.codec())
            && (self.any_format || parameters.is_widely_decoded())
            && (self.reordering || (parameters.has_square_samples() && !track.has_lone_fields() && !track.reorders()))
    }

    /// Returns whether the viewer can also start to play it now.
    pub(crate) fn enters(&self, track: &Track) -> bool {
        let starts_late = || match self.entry {
            Entry::Now => track.starts_in_the_past(),
            Entry::AnyTime { group_max, .. } => track.has_long_groups(group_max),
            Entry::Anywhere => false,
        };
        let is_video = track.kind() == MediaKind::Video;
        self.plays(track) && !(is_video && (track.enters_by_recovery() || starts_late()))
    }
}

impl Accepts {
    pub(crate) fn borrow(&self) -> Accept<'_> {
        Accept { codecs: &self.codecs, reordering: self.reordering, any_format: self.any_format, entry: self.entry }
    }
}

/// How long a refusal for the node's budget stands before a viewer who waits asks again.
pub const OVERLOADED_FOR: Duration = Duration::from_secs(5);

/// An original track that a viewer has had or was refused, so that it waits for another, or for a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    track: TrackId,
    stands: Option<Duration>,
}

impl Known {
    /// Notes that the viewer was given this track or, by `demand`, a conversion of it. A conversion that has ended may be asked for
    /// again when its deaths are forgotten.
    pub fn given(track: TrackId, demand: &Demand) -> Self {
        Self { track, stands: demand.is_derived().then_some(AGAIN) }
    }

    /// Returns the track.
    pub(crate) fn track(&self) -> TrackId {
        self.track
    }

    /// Notes that the viewer was refused this track, for as long as the reason stands. A conversion that has failed is asked for again.
    pub fn refused(track: TrackId, why: &Unavailable) -> Self {
        let failed = matches!(why, Unavailable::Failed { .. }).then_some(AGAIN);
        Self { track, stands: why.stands().or(failed) }
    }
}

/// States why there is no track for a viewer.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Unavailable {
    /// The feed has no such track (yet).
    #[error("there is no {0} here")]
    NoTrack(TrackKey),
    /// The viewer cannot take the track, and it cannot be converted.
    #[error("the {} here is {} and cannot be converted to what was asked for", .0.kind().name(), .0.name())]
    NoRecipe(Codec),
    /// The conversion could not be started.
    #[error("the {} here could not be converted: {sentence}", codec.name())]
    Failed {
        /// The codec of the track.
        codec: Codec,
        /// The deriver's explanation.
        sentence: String,
        /// When it may be tried again, if time helps.
        again: Option<Duration>,
    },
    /// The node converts as much as it can.
    #[error("{0}")]
    Overloaded(Spent),
}

impl Unavailable {
    /// Returns how long a refusal stands for a viewer who waits. `None` if it stands for as long as the original track does.
    pub fn stands(&self) -> Option<Duration> {
        match self {
            Self::Overloaded(_) => Some(OVERLOADED_FOR),
            Self::Failed { again, .. } => *again,
            Self::NoTrack(_) | Self::NoRecipe(_) => None,
        }
    }

    /// Returns whether a viewer who comes is refused for it if it is the video, although there may be audio. This is the one place that
    /// decides it, for all protocols. The viewer may have the video by another way, or in a moment, and audio alone would look like a
    /// broken stream. Where a conversion has failed, the viewer gets what there is, and the video joins it when it can be had.
    pub fn keeps_out(&self) -> bool {
        match self {
            Self::NoRecipe(_) | Self::Overloaded(_) => true,
            Self::NoTrack(_) | Self::Failed { .. } => false,
        }
    }
}

/// States why a deriver makes no track.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NotDerived {
    /// It could not be started, as this sentence says.
    #[error("{0}")]
    Failed(String),
    /// It panicked, and is not started again for the same viewer before this time has passed.
    #[error("the conversion failed; try again in {} s", .0.as_secs() + 1)]
    Later(Duration),
    /// The node converts as much as it can.
    #[error("{0}")]
    Overloaded(#[from] Spent),
}

/// Makes derived tracks. The mixer implements it.
pub trait Deriver: Send + Sync + 'static {
    /// Starts `recipe` on `input` and returns the track it fills. Reads `input` until it ends or [`Lease::try_release`]
    /// tells that it is not held any more, then ends the track. It may block as long as a codec takes to open.
    fn derive(&self, recipe: Recipe, input: &Arc<Track>, lease: Lease) -> Result<Arc<Track>, NotDerived>;

    /// Returns the rungs that it makes of main video, by [`Recipe::Rung`]. None, unless it says otherwise.
    fn ladder(&self) -> Ladder {
        Ladder::default()
    }
}

/// Tells the maker of a derived track whether the track is still held.
#[derive(Clone, Debug)]
pub struct Lease {
    feed: std::sync::Weak<Feed>,
    holders: Arc<AtomicUsize>,
    history: Duration,
}

impl Lease {
    /// Returns how much of the past the viewer for whom the track is made can use. The track begins with that much of it.
    pub fn history(&self) -> Duration {
        self.history
    }

    /// Returns whether the track is held now.
    pub fn is_wanted(&self) -> bool {
        self.holders.load(Ordering::Acquire) > 0
    }

    /// Gives the track up unless it is held. After `true` no viewer can get it any more, and its maker ends it.
    pub fn try_release(&self) -> bool {
        let Some(feed) = self.feed.upgrade() else { return true };
        let mut branches = feed.branches.lock();
        if self.is_wanted() {
            return false;
        }
        for branch in branches.values_mut() {
            branch.derived.retain(|derived| !Arc::ptr_eq(&derived.holders, &self.holders));
        }
        true
    }
}

/// Is the right to read a track. It keeps a derived track alive.
#[derive(Debug)]
pub struct Demand {
    track: Arc<Track>,
    holders: Option<Arc<AtomicUsize>>,
}

impl Demand {
    fn original(track: Arc<Track>) -> Self {
        Self { track, holders: None }
    }

    fn derived(track: Arc<Track>, holders: Arc<AtomicUsize>) -> Self {
        holders.fetch_add(1, Ordering::AcqRel);
        Self { track, holders: Some(holders) }
    }

    /// Returns the track that may be read.
    pub fn track(&self) -> &Arc<Track> {
        &self.track
    }

    /// Returns whether the track is derived from another one.
    pub fn is_derived(&self) -> bool {
        self.holders.is_some()
    }
}

impl Clone for Demand {
    fn clone(&self) -> Self {
        match &self.holders {
            None => Self::original(self.track.clone()),
            Some(holders) => Self::derived(self.track.clone(), holders.clone()),
        }
    }
}

impl Drop for Demand {
    fn drop(&mut self) {
        if let Some(holders) = &self.holders {
            holders.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// States how far a feed is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FeedStage {
    /// Tracks may still appear.
    Starting,
    /// Its tracks are known.
    Settled,
    /// It is over and gets no more frames.
    Ended,
}

/// Holds the tracks that one name stands for. It is shared behind an `Arc`.
pub struct Feed {
    branches: Mutex<Keyed<Branch>>,
    /// Held while a derived track is being made; taken before `branches`.
    making: Mutex<()>,
    /// Tells the end of the conversion that is opened for async tasks, while there is one.
    opening: Mutex<Option<watch::Receiver<opening::Failure>>>,
    stage: watch::Sender<FeedStage>,
    deriver: Option<Arc<dyn Deriver>>,
    viewers: Arc<Viewers>,
    /// The feed whose video is shown, if not its own.
    pictures: Option<Arc<Feed>>,
}

/// Makes return feeds: the program without a participant's own audio, for that participant. The crate that runs the
/// mixers implements it.
pub trait Returns: Send + Sync + 'static {
    /// Returns the return feed of a participant, who need not publish yet. `None` while the room has no program. The
    /// feed ends when it has had no viewer for a while.
    fn return_feed(&self, participant: &SourceName) -> Option<Arc<Feed>>;
}

struct Branch {
    original: Arc<Track>,
    derived: Vec<Derived>,
}

impl Branch {
    /// What a recipe makes of the original, if that is being made.
    fn converted(&mut self, recipe: Recipe) -> Found {
        self.derived.retain(|derived| !derived.track.is_ended());
        match self.derived.iter().find(|derived| derived.recipe == recipe) {
            Some(derived) => Found::Demand(Demand::derived(derived.track.clone(), derived.holders.clone())),
            None => Found::Recipe(recipe, self.original.clone()),
        }
    }
}

struct Derived {
    recipe: Recipe,
    track: Arc<Track>,
    holders: Arc<AtomicUsize>,
}

/// Is the result of a look at the branches.
enum Found {
    Demand(Demand),
    /// There is no track yet. It is made by this recipe from this track.
    Recipe(Recipe, Arc<Track>),
}

impl Feed {
    /// Makes a feed without tracks. Without a `deriver` it offers only the tracks that it is given.
    pub fn new(deriver: Option<Arc<dyn Deriver>>) -> Arc<Self> {
        Arc::new(Self::empty(deriver, None))
    }

    /// Makes a feed with the video of `pictures`, converted once for both, and audio of its own.
    pub fn with_pictures_of(pictures: Arc<Self>, deriver: Option<Arc<dyn Deriver>>) -> Arc<Self> {
        Arc::new(Self::empty(deriver, Some(pictures)))
    }

    fn empty(deriver: Option<Arc<dyn Deriver>>, pictures: Option<Arc<Self>>) -> Self {
        Self {
            branches: Mutex::default(),
            making: Mutex::new(()),
            opening: Mutex::default(),
            stage: watch::Sender::new(FeedStage::Starting),
            deriver,
            viewers: Arc::default(),
            pictures,
        }
    }

    /// Returns the feed that a track of this kind is borrowed from.
    fn pictures(&self, kind: MediaKind) -> Option<&Arc<Self>> {
        self.pictures.as_ref().filter(|_| kind == MediaKind::Video)
    }

    /// Returns the original track of a key. A kind alone names its main track.
    pub fn original(&self, key: impl Into<TrackKey>) -> Option<Arc<Track>> {
        let key = key.into();
        if let Some(pictures) = self.pictures(key.kind) {
            return pictures.original(key);
        }
        self.branches.lock().get(key).map(|branch| branch.original.clone())
    }

    /// Returns all original tracks in the order of their keys, borrowed ones included.
    pub fn originals(&self) -> Vec<Arc<Track>> {
        let borrowed = self.pictures.iter().flat_map(|pictures| pictures.originals());
        let mut tracks: Vec<_> = borrowed.filter(|track| self.pictures(track.kind()).is_some()).collect();
        tracks.extend(self.branches.lock().values().map(|branch| branch.original.clone()));
        tracks.sort_by_key(|track| track.key());
        tracks
    }

    /// Returns the keys of all original tracks in order.
    pub fn keys(&self) -> Vec<TrackKey> {
        self.originals().iter().map(|track| track.key()).collect()
    }

    /// Returns whether the feed has any original track. One without a track cannot be watched yet: nobody has sent a frame.
    pub fn has_tracks(&self) -> bool {
        !self.branches.lock().is_empty()
    }

    /// Returns the clock of its timeline, as its newest frame of any track states it. `None` before the first frame.
    pub fn clock(&self) -> Option<ProgramClock> {
        let newest = self.newest().max_by_key(|frame| frame.arrived)?;
        Some(ProgramClock::through(newest.pts_micros(), newest.wall))
    }

    /// Returns the position of its latest frame in decoding order, in µs.
    pub(crate) fn end_micros(&self) -> Option<i64> {
        self.newest().map(|frame| frame.dts.micros(frame.parameters.clock_rate())).max()
    }

    /// Returns the newest frame of each of its own tracks.
    fn newest(&self) -> impl Iterator<Item = Arc<Frame>> {
        let tracks: Vec<_> = self.branches.lock().values().map(|branch| branch.original.clone()).collect();
        tracks.into_iter().filter_map(|track| track.newest())
    }

    /// Returns the tracks derived at this moment, each with its recipe.
    pub fn derived(&self, key: impl Into<TrackKey>) -> Vec<(Recipe, Arc<Track>)> {
        let key = key.into();
        if let Some(pictures) = self.pictures(key.kind) {
            return pictures.derived(key);
        }
        let branches = self.branches.lock();
        let derived = branches.get(key).into_iter().flat_map(|branch| &branch.derived);
        derived.map(|derived| (derived.recipe, derived.track.clone())).collect()
    }

    /// Gives the feed its track of a key, and ends the one it had. False if the feed holds as many tracks as it may, or
    /// makes the track of this key itself. Then it ends `track`.
    pub fn set_original(&self, track: Arc<Track>) -> bool {
        let branch = Branch { original: track.clone(), derived: Vec::new() };
        let mut branches = self.branches.lock();
        if track.key().is_rung() || !branches.has_room_for(track.key()) {
            drop(branches);
            track.end();
            return false;
        }
        let before = branches.insert(track.key(), branch);
        drop(branches);
        self.end_branch(before);
        true
    }

    /// Ends the original track of a key, if there is one, because nothing fills it any more.
    pub fn remove_original(&self, key: TrackKey) {
        let before = self.branches.lock().remove(key);
        self.end_branch(before);
    }

    fn end_branch(&self, branch: Option<Branch>) {
        if let Some(branch) = branch {
            branch.original.end();
        }
        self.stage.send_modify(|_| {}); // Readers that wait for a track look again.
    }

    /// Waits for an original track of this key other than the `known` one. `None` once the feed that has it is over.
    pub async fn next_original(&self, key: impl Into<TrackKey>, known: Option<TrackId>) -> Option<Arc<Track>> {
        let key = key.into();
        if let Some(pictures) = self.pictures(key.kind) {
            return Box::pin(pictures.next_original(key, known)).await;
        }
        let mut stages = self.stages();
        while *stages.borrow_and_update() != FeedStage::Ended {
            let original = self.original(key).filter(|original| Some(original.id()) != known);
            if original.is_some() {
                return original;
            }
            stages.changed().await.ok()?;
        }
        None
    }

    /// Returns whether a viewer that starts now gets this track only by a conversion of it.
    pub fn converts(&self, key: TrackKey, accepts: &Accepts) -> bool {
        let plays = |original: &Arc<Track>| accepts.borrow().plays(original);
        self.original(key).is_some_and(|original| !plays(&original)) || self.lacks_entries(key, accepts)
    }

    /// Returns whether a viewer that plays this track needs a conversion of it to start.
    pub fn lacks_entries(&self, key: TrackKey, accepts: &Accepts) -> bool {
        let accept = accepts.borrow();
        let original = self.original(key).filter(|original| accept.plays(original));
        self.deriver.is_some() && original.is_some_and(|original| !accept.enters(&original))
    }

    /// Returns the codecs of `accept` in which a viewer can get the track of a key, the best first: its own if it needs no
    /// conversion, then those that it can be converted to. A track that has yet to come can be had in the latter.
    pub fn codecs(&self, key: TrackKey, accept: Accept<'_>) -> Vec<Codec> {
        let own = self.original(key).filter(|original| accept.plays(original));
        let own = own.map(|original| original.parameters().codec());
        let converted = Recipe::for_viewer(key, accept).map(Recipe::codec).filter(|codec| Some(*codec) != own);
        own.into_iter().chain(converted).collect()
    }

    /// Returns a track that `accept` fits. It derives one if that is needed. It blocks while a codec opens, so it is
    /// not for an async task.
    pub fn demand(self: &Arc<Self>, key: impl Into<TrackKey>, accept: Accept<'_>) -> Result<Demand, Unavailable> {
        let key = key.into();
        if let Some(pictures) = self.pictures(key.kind) {
            return pictures.demand(key, accept);
        }
        let demand = self.found_or_made(key, accept.entry.history(), |feed| feed.find(key, accept));
        self.or_original(key, accept, demand)
    }

    /// Returns what a viewer gets that was or was not given a conversion. One that plays the track rather starts in the past than not at
    /// all.
    fn or_original(
        &self,
        key: TrackKey,
        accept: Accept<'_>,
        demand: Result<Demand, Unavailable>,
    ) -> Result<Demand, Unavailable> {
        let original = || self.original(key).filter(|original| accept.plays(original));
        demand.or_else(|refused| original().map(Demand::original).ok_or(refused))
    }

    /// What `find` finds, or what is made of it, which begins with `history` of the past.
    fn found_or_made(
        self: &Arc<Self>,
        key: TrackKey,
        history: Duration,
        find: impl Fn(&Self) -> Result<Found, Unavailable>,
    ) -> Result<Demand, Unavailable> {
        if let Found::Demand(demand) = find(self)? {
            return Ok(demand);
        }
        // One conversion is opened at a time, outside of the lock of the branches: opening a codec takes long, and
        // other callers look at the branches meanwhile.
        let _making = self.making.lock();
        let (recipe, original) = match find(self)? {
            Found::Demand(demand) => return Ok(demand),
            Found::Recipe(recipe, original) => (recipe, original),
        };
        let codec = original.parameters().codec();
        let deriver = self.deriver.as_ref().ok_or(Unavailable::NoRecipe(codec))?;
        let holders = Arc::new(AtomicUsize::new(1)); // The count includes the caller.
        let lease = Lease { feed: Arc::downgrade(self), holders: holders.clone(), history };
        let refused = |error: NotDerived| match error {
            NotDerived::Failed(sentence) => Unavailable::Failed { codec, sentence, again: None },
            NotDerived::Later(wait) => Unavailable::Failed { codec, sentence: error.to_string(), again: Some(wait) },
            NotDerived::Overloaded(spent) => Unavailable::Overloaded(spent),
        };
        let track = deriver.derive(recipe, &original, lease).map_err(refused)?;
        let demand = Demand { track: track.clone(), holders: Some(holders.clone()) };
        let mut branches = self.branches.lock();
        if let Some(branch) = branches.get_mut(key.source()).filter(|branch| Arc::ptr_eq(&branch.original, &original)) {
            branch.derived.push(Derived { recipe, track, holders });
        } // Otherwise the original was replaced meanwhile, and the track derived from it ends with it.
        Ok(demand)
    }

    /// Waits for an original track of this key other than the `known` one, and returns what `accepts` gets from it.
    /// `None` once the feed is over. Where the `known` one was refused for a time, it is asked for again after that time.
    pub async fn next_demand(
        self: Arc<Self>,
        key: TrackKey,
        accepts: Accepts,
        known: Option<Known>,
    ) -> Option<(TrackId, Result<Demand, Unavailable>)> {
        let source = key.source();
        let other = self.next_original(source, known.map(|known| known.track));
        let original = match known.and_then(|known| known.stands) {
            None => other.await?,
            Some(stands) => match while_refused(stands, other).await {
                Some(other) => other?,
                None => self.next_original(source, None).await?,
            },
        };
        Some((original.id(), self.demanded(key, &accepts).await))
    }

    fn find(&self, key: TrackKey, accept: Accept<'_>) -> Result<Found, Unavailable> {
        if key.is_rung() {
            return self.find_rung(key, accept);
        }
        let mut branches = self.branches.lock();
        let branch = branches.get_mut(key).ok_or(Unavailable::NoTrack(key))?;
        let codec = branch.original.parameters().codec();
        let original = branch.original.clone();
        let recipe = match (accept.enters(&original), accept.plays(&original)) {
            (true, _) => None,
            (false, true) => Recipe::for_viewer(key, accept).next().filter(|_| self.deriver.is_some()),
            (false, false) => Some(Recipe::for_viewer(key, accept).next().ok_or(Unavailable::NoRecipe(codec))?),
        };
        // Without a conversion a viewer waits for a keyframe.
        Ok(match recipe {
            Some(recipe) => branch.converted(recipe),
            None => Found::Demand(Demand::original(original)),
        })
    }

    fn find_converted(&self, key: TrackKey, recipe: Recipe) -> Result<Found, Unavailable> {
        let mut branches = self.branches.lock();
        branches.get_mut(key).map(|branch| branch.converted(recipe)).ok_or(Unavailable::NoTrack(key))
    }

    /// Notes that all tracks are there, so that viewers that wait for the feed may start.
    pub fn settle(&self) {
        self.advance(FeedStage::Settled);
    }

    /// Ends the feed and its tracks for good.
    pub fn end(&self) {
        self.advance(FeedStage::Ended);
        let branches = self.branches.lock();
        branches.values().for_each(|branch| branch.original.end());
    }

    /// Waits until the feed's tracks are known. Returns `false` if it ended instead.
    pub async fn settled(&self) -> bool {
        let mut stages = self.stages();
        let settled = stages.wait_for(|stage| *stage >= FeedStage::Settled).await;
        settled.is_ok_and(|stage| *stage == FeedStage::Settled)
    }

    /// Returns whether the feed is over.
    pub fn is_ended(&self) -> bool {
        self.stage() == FeedStage::Ended
    }

    /// Returns the stage of the feed.
    pub fn stage(&self) -> FeedStage {
        *self.stage.borrow()
    }

    /// Returns a receiver that wakes at each stage, and at a new track.
    pub fn stages(&self) -> watch::Receiver<FeedStage> {
        self.stage.subscribe()
    }

    /// Returns the counters of its viewers.
    pub fn viewers(&self) -> &Arc<Viewers> {
        &self.viewers
    }

    fn advance(&self, stage: FeedStage) {
        self.stage.send_if_modified(|now| {
            let later = stage > *now;
            *now = stage.max(*now);
            later
        });
    }
}

type Other = Option<Arc<Track>>;

/// Waits for `other` for as long as a refusal stands. `None` if that is over.
async fn while_refused(stands: Duration, other: impl Future<Output = Other>) -> Option<Other> {
    tokio::time::timeout(stands, other).await.ok()
}

impl std::fmt::Debug for Feed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Feed").field("stage", &self.stage()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
