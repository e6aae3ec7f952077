//! One take of the mixer: its video, its audio, and the inlets by which they enter the program.
//!
//! A take has one lead, whose timeline it uses. Another lead means another take. Its audio may run without video: a
//! participant hears a return feed while the program is passed through.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use onmic_media::codec::opus;
use onmic_media::program::{Brings, Keyframes};
use onmic_media::{Feed, Frame, Hub, Inlet, MediaKind, Offered, Parameters, Pcm, Program, SourceName};
use onmic_mixer::compose::{self, Origin, PictureMixer, PictureSink, PictureSource};
use onmic_mixer::scene::{InputId, Scene};
use onmic_mixer::sound::{self, Meters, Processing, SoundConfig, SoundInput, SoundMixer, SoundReturn, SoundSink};
use parking_lot::Mutex;

use super::StageConfig;
use super::direction::Direction;
use super::error::Error;

/// Half a frame interval at 30 fps: how long a guest's video frame waits for the host's next one, on average.
const HALF_PICTURE: Duration = Duration::from_millis(16);

/// The inlet that a take's audio goes to; `None` while the program is passed through.
type SoundOutlet = Arc<Mutex<Option<Arc<Inlet>>>>;

/// A take of the mixer. Dropping it ends its threads.
pub(super) struct Take {
    lead: SourceName,
    feed: Arc<Feed>,
    sound: SoundMixer,
    outlet: SoundOutlet,
    pictures: Option<Pictures>,
    /// The number by which the audio mixer knows each source.
    numbers: HashMap<SourceName, u64>,
}

struct Pictures {
    mixer: PictureMixer,
    inlet: Arc<Inlet>,
    /// What the mixer was last told to show.
    shown: Shown,
}

impl Pictures {
    fn is_on_air(&self) -> bool {
        self.inlet.is_wanted() && self.mixer.is_running()
    }
}

/// Why the video of a take is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// The program does not want it any more.
    NotWanted,
    /// Its mixer has ended by itself: it failed or panicked.
    Died,
}

#[derive(Clone, PartialEq)]
struct Shown {
    scene: Scene,
    /// How many of the inputs have video at most.
    inputs: usize,
    delays: Vec<Duration>,
}

impl Take {
    /// Starts the audio of the sources that `direction` names. Returns `None` while its lead is not there.
    pub(super) fn start(
        direction: &Direction,
        hub: &Hub,
        program: &Program,
        config: &StageConfig,
    ) -> Result<Option<Self>, Error> {
        let Some(lead) = direction.sources.first().map(|source| source.name.clone()) else { return Ok(None) };
        let Some(source) = hub.source(&lead) else { return Ok(None) };
        let outlet = SoundOutlet::default();
        let audio = program.feed().original(MediaKind::Audio).or_else(|| source.feed().original(MediaKind::Audio));
        let parameters = audio.map_or_else(stereo_opus, |track| track.parameters());
        let sink = SoundToProgram(outlet.clone());
        let program_clock = Some(source.program_clock());
        let settings = SoundConfig { output: config.sound, program_clock, ..SoundConfig::new(parameters) };
        let sound = SoundMixer::start(settings, hub.clock(), sink).map_err(Error::Audio)?;
        let feed = source.feed().clone();
        Ok(Some(Self { lead, feed, sound, outlet, pictures: None, numbers: HashMap::new() }))
    }

    /// Whether this take can show `direction`, which has the same lead if that is still the same source.
    pub(super) fn can_show(&self, direction: &Direction, hub: &Hub) -> bool {
        let lead = direction.sources.first().map(|source| &source.name);
        lead == Some(&self.lead)
            && self.sound.is_running()
            && hub.source(&self.lead).is_some_and(|source| Arc::ptr_eq(source.feed(), &self.feed))
    }

    /// Whether its audio is mixed. A thread that dies leaves the take silent.
    pub(super) fn is_heard(&self) -> bool {
        self.sound.is_running()
    }

    /// Whether its video is in the program, or will be.
    pub(super) fn is_on_air(&self) -> bool {
        self.pictures.as_ref().is_some_and(Pictures::is_on_air)
    }

    /// Sets the sources that are heard from now on, and the return feeds.
    pub(super) fn set_sound(
        &mut self,
        direction: &Direction,
        hub: &Hub,
        returns: &[(SourceName, Arc<Inlet>)],
    ) -> Result<(), Error> {
        let mut inputs = Vec::new();
        for directed in &direction.sources {
            let Some(source) = hub.source(&directed.name) else { continue };
            let processing = Processing {
                gain_db: directed.gain_db,
                muted: !directed.hear,
                denoise: directed.denoise,
                auto_gain: directed.auto_gain,
            };
            let id = self.number(&directed.name);
            inputs.push(SoundInput { id, feed: source.feed().clone(), processing });
        }
        let lead = self.number(&self.lead.clone());
        self.sound.set_inputs(inputs, Some(lead.into())).map_err(Error::Audio)?;
        let returns = returns.iter().map(|(name, inlet)| SoundReturn { id: self.number(name), inlet: inlet.clone() });
        let returns = returns.collect();
        self.sound.set_returns(returns).map_err(Error::Audio)?;
        Ok(())
    }

    /// Shows `scene` from the next video frame on, if the take has video.
    pub(super) fn redraw(
        &mut self,
        (scene, inputs): (Scene, usize),
        direction: &Direction,
        hub: &Hub,
    ) -> Result<(), Error> {
        let shown = Shown { scene, inputs, delays: self.delays(direction) };
        if let Some(pictures) = &mut self.pictures
            && pictures.shown != shown
        {
            let sources = sources(direction, &shown, hub);
            pictures.mixer.set_scene(&shown.scene, sources).map_err(Error::Video)?;
            pictures.shown = shown;
        }
        Ok(())
    }

    /// Brings its video and its audio into the program, unless they are there.
    pub(super) fn go_on_air(
        &mut self,
        (scene, inputs): (Scene, usize),
        direction: &Direction,
        hub: &Hub,
        program: &Arc<Program>,
        config: &StageConfig,
    ) -> Result<(), Error> {
        if let Some(pictures) = self.pictures.as_ref().filter(|pictures| pictures.mixer.is_running()) {
            if pictures.inlet.is_on() {
                program.unselect(); // The source that was waiting to take over is cancelled.
                return Ok(());
            }
            if pictures.inlet.is_awaited() {
                return Ok(());
            }
        }
        let Some(lead) = hub.source(&self.lead) else { return Ok(()) };
        self.pictures = None; // Its threads end before the next ones begin.
        let brings = Brings { timeline: lead.timeline(), video: true, in_order: true, keyframes: Keyframes::OnRequest };
        let inlet = Arc::new(program.select(brings));
        *self.outlet.lock() = Some(inlet.clone());
        let shown = Shown { scene, inputs, delays: self.delays(direction) };
        let mixer = PictureMixer::start(
            config.pictures.clone(),
            hub.clock(),
            Origin { clock: lead.program_clock(), lead: Some(lead.feed().clone()) },
            &shown.scene,
            sources(direction, &shown, hub),
            PicturesToProgram(inlet.clone()),
        )
        .map_err(Error::Video)?;
        self.pictures = Some(Pictures { mixer, inlet, shown });
        Ok(())
    }

    /// Ends video that the program does not want any more, or whose mixer has ended by itself. Returns which of them it was.
    pub(super) fn clear(&mut self) -> Option<Over> {
        let pictures = self.pictures.take_if(|pictures| !pictures.is_on_air())?;
        *self.outlet.lock() = None;
        Some(if pictures.inlet.is_wanted() { Over::Died } else { Over::NotWanted })
    }

    /// Returns the sources that speak, by name.
    pub(super) fn speaking(&self) -> Vec<SourceName> {
        let meters = self.meters();
        let speaks = |number: u64| meters.inputs.iter().any(|level| level.id.0 == number && level.speaking);
        let mut names: Vec<_> =
            self.numbers.iter().filter(|(_, number)| speaks(**number)).map(|(name, _)| name.clone()).collect();
        names.sort();
        names
    }

    /// Whether the video of a source has to be delayed by more or less than it is, to stay in sync with its audio.
    pub(super) fn is_out_of_step(&self, direction: &Direction) -> bool {
        /// A smaller difference is not seen.
        const NOTICED: Duration = Duration::from_millis(15);
        let Some(pictures) = &self.pictures else { return false };
        let wanted = self.delays(direction);
        wanted.len() == pictures.shown.delays.len()
            && wanted.iter().zip(&pictures.shown.delays).any(|(wanted, shown)| wanted.abs_diff(*shown) > NOTICED)
    }

    fn meters(&self) -> Meters {
        self.sound.meters().borrow().clone()
    }

    fn delays(&self, direction: &Direction) -> Vec<Duration> {
        let meters = self.meters();
        let delay = |name: &SourceName| {
            let number = self.numbers.get(name)?;
            meters.inputs.iter().find(|level| level.id.0 == *number).map(|level| level.delay)
        };
        let pictures = |sound: Duration| sound.saturating_sub(HALF_PICTURE);
        direction.sources.iter().map(|source| delay(&source.name).map(pictures).unwrap_or_default()).collect()
    }

    fn number(&mut self, name: &SourceName) -> sound::InputId {
        let next = self.numbers.len() as u64;
        sound::InputId(*self.numbers.entry(name.clone()).or_insert(next))
    }
}

fn sources(direction: &Direction, shown: &Shown, hub: &Hub) -> Vec<PictureSource> {
    let inputs = direction.sources.iter().zip(&shown.delays).filter(|(source, _)| source.show).take(shown.inputs);
    inputs
        .filter_map(|(directed, delay)| {
            let feed = hub.source(&directed.name)?.feed().clone();
            Some(PictureSource { id: InputId::from(&directed.name), feed, delay: *delay })
        })
        .collect()
}

/// Returns the audio parameters of a program whose first source has no audio.
fn stereo_opus() -> Arc<Parameters> {
    let (pre_skip, input_sample_rate) = (312, sound::RATE);
    Arc::new(Parameters::Opus(opus::Parameters {
        channels: 2,
        pre_skip,
        input_sample_rate,
        output_gain: 0,
        mapping: None,
    }))
}

struct PicturesToProgram(Arc<Inlet>);

impl PictureSink for PicturesToProgram {
    fn push(&mut self, frame: Frame) -> compose::Wanted {
        let wanted = match self.0.push(frame) {
            Offered::Taken => compose::Wanted::Go,
            Offered::Waiting => compose::Wanted::Keyframe,
            Offered::Over => return compose::Wanted::Stop,
        };
        if self.0.is_on() && self.0.take_keyframe_wanted() { compose::Wanted::Keyframe } else { wanted }
    }
}

struct SoundToProgram(SoundOutlet);

impl SoundSink for SoundToProgram {
    fn push(&mut self, frame: Frame) -> sound::Wanted {
        if let Some(inlet) = &*self.0.lock() {
            inlet.push(frame);
            inlet.settle();
        }
        sound::Wanted::Go
    }

    fn push_pcm(&mut self, pcm: Pcm<'_>) {
        if let Some(inlet) = &*self.0.lock() {
            inlet.push_pcm(pcm);
        }
    }
}
