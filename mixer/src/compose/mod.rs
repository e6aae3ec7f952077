//! Composes the video of several inputs to one and encodes it: the video half of the program mixer.
//!
//! The core neither waits nor reads a clock. [`Plan`] is a scene in which everything that can be drawn ahead is drawn,
//! [`Compositor`] draws the inputs into it, and [`Tick`] decides when. Around the core there are one decoding thread
//! per input and one thread that composes and encodes ([`PictureMixer`]).

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
