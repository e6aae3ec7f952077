//! The stage makes the program of each room. It decides when a source is passed through and when the mixer runs, and
//! makes the return feeds.
//!
//! It owns the mixers, and one thread that directs all of them, because starting and ending them blocks. The direction
//! of a room is a value. The newest one counts, and there is no queue. The control plane decides which sources are seen
//! and heard, and `onmic_media::program` splices.

mod allowance;
mod direction;
mod error;
mod report;
mod take;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use onmic_media::feed::Deriver;
use onmic_media::life::{AGAIN, Deaths, Lives, guarded};
use onmic_media::program::{Brings, Keyframes, TimelineId};
use onmic_media::{Budget, Feed, Hub, Inlet, MediaKind, Program, Returns, RoomName, SourceName, ViewerKind};
use onmic_mixer::compose;
use onmic_mixer::price::MixForm;
use onmic_mixer::scene::{Scene, Size};
use onmic_mixer::sound::OutputSettings;
use parking_lot::{Condvar, Mutex};

use allowance::Allowance;
pub use direction::{Directed, Direction};
pub use error::Error;
pub use report::{Report, Reporter, Reports, reports};
use take::{Over, Take};

/// The name of the thread.
const THREAD: &str = "stage";

/// How often the stage reads the meters, which is as often as the mixer writes them.
const TICK: Duration = Duration::from_millis(100);

/// How often the price of a mix is looked at, because its inputs have another size, or others have ended.
const PRICE_EVERY: Duration = Duration::from_secs(1);

/// How long a return feed lives without a viewer, so that a participant can be early or come back.
const RETURN_LINGER: Duration = Duration::from_secs(15);

/// The most return feeds of one room: one for each of its participants.
const RETURNS_MAX: usize = onmic_names::PARTICIPANTS_MAX;

/// The settings of mixed programs.
#[derive(Clone, Debug)]
pub struct StageConfig {
    /// The size of every mixed program.
    pub canvas: Size,
    /// The most video frames per second of a mix.
    pub frame_rate_max: f64,
    /// How video is composed and encoded.
    pub pictures: compose::Settings,
    /// How audio is encoded.
    pub sound: OutputSettings,
    /// The pixels per second that mixes and conversions compute together.
    pub budget: Arc<Budget>,
}

impl StageConfig {
    fn whole(&self) -> MixForm {
        MixForm::whole(self.canvas, self.frame_rate_max)
    }
}

/// The way in which a program is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgramState {
    /// It has no source.
    Off,
    /// One source passes through as it comes.
    PassThrough,
    /// The mixer makes it.
    Mixed,
}

/// Makes the programs of all rooms. Share it behind an `Arc`.
pub struct Stage {
    hub: Arc<Hub>,
    deriver: Option<Arc<dyn Deriver>>,
    config: StageConfig,
    wishes: Mutex<Wishes>,
    bell: Condvar,
    reporter: Reporter,
    lives: Lives,
}

#[derive(Default)]
struct Wishes {
    directions: HashMap<RoomName, Direction>,
    /// The rooms to look at now.
    dirty: HashSet<RoomName>,
    returns: HashMap<RoomName, HashMap<SourceName, Returning>>,
    stop: bool,
}

/// One room that the thread looks at.
struct Due {
    name: RoomName,
    direction: Option<Direction>,
    returns: HashMap<SourceName, Returning>,
    /// Whether its direction or its return feeds have changed, or a take of it has ended.
    dirty: bool,
}

/// A return feed, and when somebody last watched it.
#[derive(Clone)]
struct Returning {
    program: Arc<Program>,
    last_watched: Instant,
}

impl Stage {
    /// Starts the thread, which ends with [`Stage::stop`]. Returns the stage, its reports and the thread.
    pub fn start(
        hub: Arc<Hub>,
        deriver: Option<Arc<dyn Deriver>>,
        config: StageConfig,
    ) -> Result<(Arc<Self>, Reports, JoinHandle<()>), Error> {
        let (wishes, bell) = (Mutex::default(), Condvar::new());
        let (reporter, reports) = reports();
        let lives = Lives::default();
        let stage = Arc::new(Self { hub, deriver, config, wishes, bell, reporter, lives });
        let director = stage.clone();
        let thread = std::thread::Builder::new().name(THREAD.to_owned()).spawn(move || director.live());
        let thread = thread.map_err(Error::Thread)?;
        Ok((stage, reports, thread))
    }

    /// Directs the room's program from now on. A direction without sources leaves the program as it is, because a
    /// source that is away may come back.
    pub fn direct(&self, room: &RoomName, direction: Direction) {
        let mut wishes = self.wishes.lock();
        wishes.directions.insert(room.clone(), direction);
        wishes.dirty.insert(room.clone());
        self.bell.notify_one();
    }

    /// Forgets a room that has ended.
    pub fn forget(&self, room: &RoomName) {
        let mut wishes = self.wishes.lock();
        wishes.directions.remove(room);
        wishes.dirty.insert(room.clone());
        self.bell.notify_one();
    }

    /// Ends all mixers and the thread.
    pub fn stop(&self) {
        self.wishes.lock().stop = true;
        self.bell.notify_one();
    }

    /// Completes when the thread has died twice within a minute. It is not replaced then.
    pub async fn failed(&self) -> String {
        self.lives.failed().await
    }

    /// Directs the rooms, after a panic from the beginning: all that is wanted is in the wishes.
    fn live(&self) {
        let mut deaths = Deaths::default();
        while guarded(THREAD, || self.run()).is_none() {
            if !deaths.may_begin_again(Instant::now()) {
                return self.lives.fail(THREAD.to_owned());
            }
            let mut wishes = self.wishes.lock();
            let all: Vec<_> = wishes.directions.keys().cloned().collect();
            wishes.dirty.extend(all);
        }
    }

    fn run(&self) {
        let mut rooms: HashMap<RoomName, Room> = HashMap::new();
        let mut died: HashMap<RoomName, Deaths> = HashMap::new();
        while let Some(due) = self.wait(&rooms) {
            for due in due {
                self.guard(&due, &mut rooms, &mut died, |room| self.direct_room(&due, room));
            }
        }
    }

    /// Directs a room by `direct`. A room in which that panics begins again, and after a second time within a minute waits for the
    /// next wish.
    fn guard(
        &self,
        due: &Due,
        rooms: &mut HashMap<RoomName, Room>,
        died: &mut HashMap<RoomName, Deaths>,
        direct: impl FnOnce(&mut Room),
    ) {
        let name = &due.name;
        let room = rooms.entry(name.clone()).or_default();
        if guarded(THREAD, || direct(room)).is_none() {
            tracing::error!(room = %name, "directing a room failed; its program begins again");
            rooms.remove(name);
            if died.entry(name.clone()).or_default().may_begin_again(Instant::now()) {
                self.wishes.lock().dirty.insert(name.clone());
            }
        } else if due.direction.is_none() && room.is_idle() {
            rooms.remove(name);
            died.remove(name);
        }
    }

    /// Waits for the rooms to look at: dirty ones at once, and those with a take at every tick. Returns `None` once the
    /// stage stops.
    fn wait(&self, rooms: &HashMap<RoomName, Room>) -> Option<Vec<Due>> {
        let mut wishes = self.wishes.lock();
        if !wishes.stop && wishes.dirty.is_empty() {
            self.bell.wait_for(&mut wishes, TICK);
        }
        if wishes.stop {
            return None;
        }
        expire_returns(&mut wishes);
        let dirty = std::mem::take(&mut wishes.dirty);
        let mixed = rooms.iter().filter(|(name, room)| !room.is_idle() && !dirty.contains(*name)).map(|(name, _)| name);
        let due = dirty.iter().chain(mixed).map(|name| Due {
            name: name.clone(),
            direction: wishes.directions.get(name).cloned(),
            returns: wishes.returns.get(name).cloned().unwrap_or_default(),
            dirty: dirty.contains(name),
        });
        Some(due.collect())
    }

    fn direct_room(&self, due: &Due, room: &mut Room) {
        let Due { name, direction, returns, dirty } = due;
        let program = self.hub.director(name);
        let (Some(program), Some(direction)) = (program, direction) else {
            self.off(name, room, returns);
            return;
        };
        if room.program.as_ref().is_none_or(|before| !Arc::ptr_eq(before, &program)) {
            *room = Room { program: Some(program.clone()), ..Room::default() };
        }
        if *dirty && !direction.sources.is_empty() {
            let outcome = self.carry_out(name, room, direction, &program, returns);
            if let Err(error) = outcome {
                tracing::error!(room = %name, error = &error as &dyn std::error::Error, "the program could not be mixed");
            }
        }
        self.look_after(name, room, direction);
    }

    /// Makes the program as `direction` says.
    fn carry_out(
        &self,
        name: &RoomName,
        room: &mut Room,
        direction: &Direction,
        program: &Arc<Program>,
        returns: &HashMap<SourceName, Returning>,
    ) -> Result<(), Error> {
        if room.leaves(direction) {
            want_keyframe(program);
        }
        // A source passes through to the program of its own room only. The partner of a PK is mixed, even if it is
        // alone.
        let passed = direction.passed_through().filter(|source| source.room == *name);
        let passed = passed.and_then(|source| self.hub.source(source));
        if let Some(source) = &passed {
            if source.is_passed_through() {
                program.unselect();
            } else if !source.is_awaited() {
                source.pass_to(program);
            }
        }
        let on_air = room.take.as_ref().is_some_and(Take::is_on_air);
        if passed.is_some() && returns.is_empty() && !on_air {
            (room.take, room.allowance, room.returns) = (None, None, HashMap::new());
            self.nobody_speaks(name, room);
            return Ok(());
        }
        if !room.take.as_ref().is_some_and(|take| take.can_show(direction, &self.hub)) {
            let next = Take::start(direction, &self.hub, program, &self.config)?;
            room.silent = false;
            // The take before goes on until the program has spliced, and ends when the program does not want it any
            // more.
            room.before = std::mem::replace(&mut room.take, next).filter(Take::is_on_air);
            room.returns.clear();
        }
        let Some(take) = &mut room.take else { return Ok(()) };
        room.returns.retain(|name, _| returns.contains_key(name));
        for (name, returning) in returns {
            room.returns.entry(name.clone()).or_insert_with(|| {
                let brings = Brings {
                    timeline: TimelineId::unique(),
                    video: false,
                    in_order: true,
                    keyframes: Keyframes::OnRequest,
                };
                Arc::new(returning.program.select(brings))
            });
        }
        let inlets: Vec<_> = room.returns.iter().map(|(name, inlet)| (name.clone(), inlet.clone())).collect();
        take.set_sound(direction, &self.hub, &inlets)?;
        if passed.is_some() {
            room.allowance.take_if(|_| !on_air);
            let view = view(room.allowance.as_ref(), direction, &self.config, &room.speaking);
            return take.redraw(view, direction, &self.hub);
        }
        let now = Instant::now();
        let allowance = match &mut room.allowance {
            Some(allowance) => allowance,
            none => {
                let (name, budget, whole) = (name.clone(), &self.config.budget, self.config.whole());
                none.insert(Allowance::new(name, budget, whole, now).map_err(Error::Budget)?)
            }
        };
        if allowance.settle(direction, &self.hub, now).is_none() {
            return Ok(()); // The program goes on as it is, and the room is looked at again.
        }
        let view = view(room.allowance.as_ref(), direction, &self.config, &room.speaking);
        take.redraw(view.clone(), direction, &self.hub)?;
        let aired = take.go_on_air(view, direction, &self.hub, program, &self.config);
        if aired.is_err() {
            room.allowance = None;
        }
        aired
    }

    /// Follows what changes by itself: who speaks, how much each source is delayed, and takes that are over.
    fn look_after(&self, name: &RoomName, room: &mut Room, direction: &Direction) {
        if room.before.as_ref().is_some_and(|before| !before.is_on_air()) {
            room.before = None;
        }
        if let Some(take) = &mut room.take {
            let speaking = take.speaking();
            let spoke = speaking != room.speaking;
            if spoke {
                room.speaking = speaking;
                self.reporter.tell(Report::Speaking(name.clone(), room.speaking.clone()));
            }
            let now = Instant::now();
            let mut changed = false;
            if let Some(allowance) = room.allowance.as_mut()
                && now.saturating_duration_since(allowance.settled()) >= PRICE_EVERY
            {
                let before = allowance.form();
                let form = allowance.settle(direction, &self.hub, now);
                changed = before.is_some() && form != before;
                if before.is_none() && form.is_some() {
                    self.wishes.lock().dirty.insert(name.clone()); // The mix may begin now.
                }
            }
            if spoke || changed || take.is_out_of_step(direction) {
                let view = view(room.allowance.as_ref(), direction, &self.config, &room.speaking);
                if let Err(error) = take.redraw(view, direction, &self.hub) {
                    tracing::error!(room = %name, error = &error as &dyn std::error::Error, "the scene could not be changed");
                }
            }
            // If the video or the audio of the take is over, by plan or by failure, the room is looked at again.
            let over = take.clear();
            if over.is_some() {
                room.allowance = None;
            }
            let silent = !take.is_heard();
            let became_silent = silent && !std::mem::replace(&mut room.silent, silent);
            let begins_again = room.begins_again(became_silent || over == Some(Over::Died), Instant::now());
            if begins_again || over == Some(Over::NotWanted) {
                self.wishes.lock().dirty.insert(name.clone());
            }
        }
        let state = match &room.take {
            _ if direction.sources.is_empty() => ProgramState::Off,
            Some(take) if take.is_on_air() => ProgramState::Mixed,
            _ => ProgramState::PassThrough,
        };
        self.report(name, room, state);
    }

    fn off(&self, name: &RoomName, room: &mut Room, returns: &HashMap<SourceName, Returning>) {
        self.nobody_speaks(name, room);
        let state = room.state;
        *room = Room { state, ..Room::default() };
        returns.values().for_each(|returning| returning.program.feed().end());
        if !returns.is_empty() {
            self.wishes.lock().returns.remove(name);
        }
        self.report(name, room, ProgramState::Off);
    }

    /// Reports that nobody speaks, because without a mix nothing measures who does.
    fn nobody_speaks(&self, name: &RoomName, room: &mut Room) {
        if !std::mem::take(&mut room.speaking).is_empty() {
            self.reporter.tell(Report::Speaking(name.clone(), Vec::new()));
        }
    }

    fn report(&self, name: &RoomName, room: &mut Room, state: ProgramState) {
        if room.state.replace(state) != Some(state) {
            tracing::debug!(room = %name, ?state, "program");
            self.reporter.tell(Report::Program(name.clone(), state));
        }
    }
}

/// Returns the scene of a mix in the form that is paid for, and how many of its inputs have video at most.
fn view(
    allowance: Option<&Allowance>,
    direction: &Direction,
    config: &StageConfig,
    speaking: &[SourceName],
) -> (Scene, usize) {
    let form = allowance.and_then(Allowance::form).unwrap_or(config.whole());
    (direction.scene(form.canvas, form.frame_rate_max, speaking), form.inputs)
}

/// Asks for a keyframe of the program, for somebody who begins to watch it or a return feed. They come from the other of
/// the two and have seen the newest group already. A new keyframe spares them the repetition.
fn want_keyframe(program: &Program) {
    if let Some(pictures) = program.feed().original(MediaKind::Video) {
        pictures.want_keyframe();
    }
}

/// Ends return feeds that nobody has watched for [`RETURN_LINGER`].
fn expire_returns(wishes: &mut Wishes) {
    let now = Instant::now();
    let Wishes { returns, dirty, .. } = wishes;
    returns.retain(|room, returns| {
        returns.retain(|_, returning| {
            let feed = returning.program.feed();
            if feed.viewers().count(ViewerKind::Whep) > 0 {
                returning.last_watched = now;
            }
            let wanted = now.duration_since(returning.last_watched) < RETURN_LINGER;
            if !wanted {
                feed.end();
                dirty.insert(room.clone());
            }
            wanted
        });
        !returns.is_empty()
    });
}

impl Returns for Stage {
    fn return_feed(&self, participant: &SourceName) -> Option<Arc<Feed>> {
        let program = self.hub.director(&participant.room)?;
        let mut wishes = self.wishes.lock();
        let returns = wishes.returns.entry(participant.room.clone()).or_default();
        if !returns.contains_key(participant) && returns.len() >= RETURNS_MAX {
            return None;
        }
        let returning = returns.entry(participant.clone()).or_insert_with(|| Returning {
            // It is on the timeline of the video that it borrows.
            program: Program::filling(
                Feed::with_pictures_of(program.feed().clone(), self.deriver.clone()),
                program.line(),
            ),
            last_watched: Instant::now(),
        });
        returning.last_watched = Instant::now();
        let feed = returning.program.feed().clone();
        want_keyframe(&program);
        wishes.dirty.insert(participant.room.clone());
        self.bell.notify_one();
        Some(feed)
    }
}

/// The state that the thread keeps of one room.
#[derive(Default)]
struct Room {
    program: Option<Arc<Program>>,
    take: Option<Take>,
    /// The take before, until the program has spliced to the present one.
    before: Option<Take>,
    /// What its mix may cost, from when it is wanted until its video ends.
    allowance: Option<Allowance>,
    returns: HashMap<SourceName, Arc<Inlet>>,
    speaking: Vec<SourceName>,
    /// The sources of the direction that was carried out last.
    sources: Vec<SourceName>,
    state: Option<ProgramState>,
    /// Whether the audio of the take has ended by itself.
    silent: bool,
    /// When its audio or its video ended by itself.
    deaths: Deaths,
    /// When a take that died begins again.
    again_at: Option<Instant>,
}

impl Room {
    /// Notes the sources of `direction`. Returns whether one of those before is not among them.
    fn leaves(&mut self, direction: &Direction) -> bool {
        let sources = direction.sources.iter().map(|source| source.name.clone()).collect();
        let before = std::mem::replace(&mut self.sources, sources);
        before.iter().any(|name| !self.sources.contains(name))
    }

    /// Returns whether a take that has `died` now, or did before, begins again at `now`: at once, and after a second death within
    /// [`AGAIN`] when that has passed. The next wish begins it earlier.
    fn begins_again(&mut self, died: bool, now: Instant) -> bool {
        if died {
            self.again_at = Some(if self.deaths.may_begin_again(now) { now } else { now + AGAIN });
        }
        self.again_at.take_if(|at| now >= *at).is_some()
    }

    fn is_idle(&self) -> bool {
        self.take.is_none() && self.before.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_whose_direction_panics_begins_again_once_and_others_go_on() {
        let clock = onmic_media::NodeClock::new(Instant::now(), std::time::SystemTime::now());
        let hub = Hub::new(clock, onmic_media::hub::HubLimits::default(), None);
        let config = StageConfig {
            canvas: Size::FULL_HD,
            frame_rate_max: 30.0,
            pictures: compose::Settings::default(),
            sound: OutputSettings::default(),
            budget: Budget::unlimited(),
        };
        let (stage, _reports, thread) = Stage::start(hub, None, config).unwrap();
        stage.stop();
        thread.join().unwrap(); // The test does the thread's work.
        let (mut rooms, mut died) = (HashMap::new(), HashMap::new());
        let [red, blue] = ["red", "blue"].map(|room| Due {
            name: room.parse().unwrap(),
            direction: Some(Direction::default()),
            returns: HashMap::new(),
            dirty: true,
        });
        let begins_again = || std::mem::take(&mut stage.wishes.lock().dirty).contains(&red.name);
        stage.guard(&blue, &mut rooms, &mut died, |_| {});
        for again in [true, false] {
            stage.guard(&red, &mut rooms, &mut died, |_| panic!("a fault of the direction"));
            assert_eq!(begins_again(), again);
        }
        assert_eq!(rooms.keys().collect::<Vec<_>>(), [&blue.name]);
    }

    #[test]
    fn a_take_that_dies_begins_again_at_once_and_then_once_a_minute() {
        let (mut room, start) = (Room::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(!room.begins_again(false, start));
        assert!(room.begins_again(true, start));
        assert!(!room.begins_again(true, at(1)));
        assert!(!room.begins_again(false, at(60)));
        assert!(room.begins_again(false, at(61)));
        assert!(!room.begins_again(false, at(62)), "it has begun");
        assert!(room.begins_again(true, at(90)));
        assert!(!room.begins_again(false, at(200)));
    }

    #[test]
    fn a_source_that_leaves_is_noticed_once() {
        let direction = |names: &[&str]| {
            let directed = |name: &&str| Directed::new(name.parse().unwrap(), String::new());
            Direction { sources: names.iter().map(directed).collect(), ..Direction::default() }
        };
        let mut room = Room::default();
        assert!(!room.leaves(&direction(&["demo"])));
        assert!(!room.leaves(&direction(&["demo", "demo/anna"])));
        assert!(!room.leaves(&direction(&["demo/anna", "demo"])), "the order does not matter");
        assert!(room.leaves(&direction(&["demo"])));
        assert!(!room.leaves(&direction(&["demo"])));
    }
}
