//! The handle of a running video mixer. It takes scenes and sources, and sends composed frames to a sink.
//!
//! One thread composes and encodes ([`Composer`]). One thread per input decodes for it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use onmic_media::life::guarded;
use onmic_media::{Feed, NodeClock};
use parking_lot::Mutex;

use super::composer::{Channel, Composer, Next, Shared};
use super::input::Input;
use super::plan::Plan;
use super::positions::Origin;
use super::settings::Settings;
use super::sink::PictureSink;
use crate::error::Error;
use crate::scene::{InputId, Scene};

/// The name of the thread that composes.
const THREAD: &str = "mix-compose";

/// Describes where an input comes from.
#[derive(Clone, Debug)]
pub struct PictureSource {
    /// The name by which tiles refer to the input.
    pub id: InputId,
    /// The input's feed, which may have video now or later.
    pub feed: Arc<Feed>,
    /// How much later than the lead's frames the input's frames are shown, so that they stay in sync with its audio.
    /// The delay of the lead itself is ignored.
    pub delay: Duration,
}

/// Holds the state that only callers use.
#[derive(Default)]
struct Inputs {
    running: HashMap<InputId, Input>,
    ending: Vec<JoinHandle<()>>,
    plan: Option<Arc<Plan>>,
}

/// Is a running video mixer. It ends when it is dropped.
pub struct PictureMixer {
    shared: Arc<Shared>,
    inputs: Mutex<Inputs>,
    thread: Option<JoinHandle<()>>,
}

impl PictureMixer {
    /// Starts to show `scene` on the timeline of `origin`. The first frame is an IDR and comes with the lead's next
    /// frame.
    pub fn start(
        settings: Settings,
        clock: NodeClock,
        origin: Origin,
        scene: &Scene,
        sources: Vec<PictureSource>,
        sink: impl PictureSink,
    ) -> Result<Self, Error> {
        let shared = Arc::new(Shared::default());
        let mut mixer = Self { shared: shared.clone(), inputs: Mutex::default(), thread: None };
        let next = mixer.prepare(scene, sources)?;
        let composer = Composer::open(settings, shared, clock, origin, &next, Instant::now())?;
        *mixer.shared.next.lock() = Some(next);
        let thread = thread::Builder::new().name(THREAD.to_owned());
        // The stage sees that it has ended, and takes another.
        let work = move || _ = guarded(THREAD, || composer.run(sink));
        mixer.thread = Some(thread.spawn(work).map_err(Error::Thread)?);
        Ok(mixer)
    }

    /// Shows `scene` from the next frame on. Of several scenes set before that frame the newest is shown. A scene that
    /// is refused changes nothing. Text and images are drawn on the caller's thread, which takes milliseconds.
    pub fn set_scene(&self, scene: &Scene, sources: Vec<PictureSource>) -> Result<(), Error> {
        let next = self.prepare(scene, sources)?;
        *self.shared.next.lock() = Some(next);
        self.shared.bell.ring();
        Ok(())
    }

    /// Returns whether the mixer still composes frames.
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Draws everything that can be drawn ahead, and starts and stops inputs.
    fn prepare(&self, scene: &Scene, sources: Vec<PictureSource>) -> Result<Next, Error> {
        let mut inputs = self.inputs.lock();
        let inputs = &mut *inputs;
        let plan = Arc::new(Plan::new(scene, inputs.plan.as_deref())?);
        let mut running = HashMap::new();
        let mut slots = HashMap::new();
        for PictureSource { id, feed, delay } in sources {
            if !plan.inputs().any(|wanted| *wanted == id) || running.contains_key(&id) {
                continue;
            }
            let input = match inputs.running.remove(&id) {
                Some(input) if Arc::ptr_eq(&input.feed, &feed) && input.is_running() => input,
                other => {
                    inputs.ending.extend(other.map(Input::stop));
                    Input::start(&id, feed, self.shared.bell.clone())?
                }
            };
            slots.insert(id.clone(), Channel { slot: input.slot.clone(), delay });
            running.insert(id, input);
        }
        let unwanted = std::mem::replace(&mut inputs.running, running);
        inputs.ending.extend(unwanted.into_values().map(Input::stop));
        let (over, ending): (Vec<_>, Vec<_>) = inputs.ending.drain(..).partition(JoinHandle::is_finished);
        inputs.ending = ending;
        over.into_iter().for_each(join);
        inputs.plan = Some(plan.clone());
        Ok(Next { plan, slots })
    }
}

impl Drop for PictureMixer {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.shared.bell.ring();
        self.thread.take().into_iter().for_each(join);
        let inputs = self.inputs.get_mut();
        let running = std::mem::take(&mut inputs.running).into_values().map(Input::stop);
        // All threads are told to stop before the first one is joined.
        let all: Vec<_> = running.chain(inputs.ending.drain(..)).collect();
        all.into_iter().for_each(join);
    }
}

/// Joins a thread, unless it is the current one: a sink may be the last to hold the mixer, and its thread cannot join
/// itself.
fn join(thread: JoinHandle<()>) {
    if thread.thread().id() != thread::current().id() && thread.join().is_err() {
        tracing::error!("a thread of a mixer panicked");
    }
}
