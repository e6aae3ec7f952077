//! Several pictures made into one, and encoded: the picture half of the program mixer.
//!
//! The core neither waits nor reads a clock: [`Plan`] is a scene with all that can be drawn ahead drawn, [`Compositor`] puts
//! pictures into it, [`Tick`] says when. Around it are one decoding thread per input and one that composes and encodes
//! ([`PictureMixer`]).

mod bell;
mod composer;
mod compositor;
mod fitted;
mod hue;
mod input;
mod key;
mod mixer;
mod patch;
mod plan;
mod plane;
mod positions;
mod queue;
mod settings;
mod sink;
mod text;
mod tick;

pub use compositor::{Compositor, Shown};
pub use mixer::{PictureMixer, PictureSource};
pub use plan::Plan;
pub use positions::Origin;
pub use settings::Settings;
pub use sink::{PictureSink, Wanted};
pub use tick::{Moment, Tick};
