//! Scales frames of any format and size to the form of the canvas and of encoders, 8-bit 4:2:0.

use ffmpeg_next::format::Pixel;
use ffmpeg_next::software::scaling::context::Definition;
use ffmpeg_next::software::scaling::{Context, Flags};

use super::ffi::ScalingContext;
use super::{Cause, RawVideo};
use crate::error::Error;

/// Keeps the scaler that FFmpeg prepares for one pair of forms as long as both stay the same.
#[derive(Default)]
pub(crate) struct Scaler(Option<ScalingContext>);

impl Scaler {
    /// Scales all of `from` to `width` by `height` and writes it to `to`, which already has that size or is empty.
    pub(crate) fn scale(&mut self, from: &RawVideo, width: u32, height: u32, to: &mut RawVideo) -> Result<(), Error> {
        let input = Definition { format: from.format(), width: from.width(), height: from.height() };
        let output = Definition { format: Pixel::YUV420P, width, height };
        if !self.0.as_ref().is_some_and(|made| *made.0.input() == input && *made.0.output() == output) {
            let made = Context::get(
                input.format,
                input.width,
                input.height,
                output.format,
                output.width,
                output.height,
                Flags::BILINEAR,
            );
            self.0 = Some(ScalingContext(made.map_err(Error::Convert)?));
        }
        let context = self.0.as_mut().ok_or(Error::Convert(Cause::Bug))?;
        context.0.run(from, to).map_err(Error::Convert)
    }
}
