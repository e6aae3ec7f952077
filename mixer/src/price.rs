//! What computing costs, in pixels per second: those that are encoded, and a part of those that are decoded.
//!
//! The unit is one pixel that is composed and encoded by x264 with preset superfast. The figures are of docs/PERFORMANCE.md, "The
//! mixer". Audio has no price: a conversion or a mix of it takes a hundredth of what video takes.

use onmic_media::Parameters;
use onmic_media::feed::Rung;
use onmic_media::meter::Measured;

use crate::scene::Size;

/// What one core composes and encodes per second: 720p takes 4.9 ms of each frame of a mix of four, beside the decoders.
const PIXELS_OF_CORE: u64 = 180_000_000;

/// The frame rate of video that declares none and was not measured yet.
const FRAME_RATE: f64 = 30.0;

/// The size of video that states none.
const SIZE: (u32, u32) = (Size::HD.width, Size::HD.height);

/// Frames below this rate do not look like motion, so a mix with less to spend becomes smaller.
const FRAME_RATE_LEAST: f64 = 10.0;

/// Returns what this many cores compute, in pixels per second.
pub fn of_cores(cores: usize) -> u64 {
    PIXELS_OF_CORE * cores as u64
}

/// Returns the pixels per second of a track, as it declares its size and as it was measured.
pub fn of_track(parameters: &Parameters, measured: &Measured) -> u64 {
    pixels(parameters.resolution().unwrap_or(SIZE), frame_rate(parameters, measured))
}

/// Returns the pixels per second of a rung of a track.
pub fn of_rung(rung: &Rung, parameters: &Parameters, measured: &Measured) -> u64 {
    let size = rung.size_of(parameters.shown_size().unwrap_or(SIZE));
    pixels(size, rung.frame_rate_of(frame_rate(parameters, measured)))
}

/// Returns the price of a conversion of a track of this many pixels per second.
pub fn of_conversion(pixels: u64) -> u64 {
    pixels + of_decoding(pixels)
}

/// Returns the price of decoding a track of this many pixels per second. A pixel costs two fifths of encoding one: 2.1 ms for each
/// frame of 720p.
pub const fn of_decoding(pixels: u64) -> u64 {
    pixels / 5 * 2
}

fn frame_rate(parameters: &Parameters, measured: &Measured) -> f64 {
    let measured = (measured.frame_rate > 1.0).then_some(measured.frame_rate);
    measured.or(parameters.frame_rate()).unwrap_or(FRAME_RATE)
}

fn pixels((width, height): (u32, u32), frame_rate: f64) -> u64 {
    (f64::from(width) * f64::from(height) * frame_rate.clamp(1.0, 240.0)) as u64
}

/// The form of a mix.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MixForm {
    /// The size of the program.
    pub canvas: Size,
    /// The most frames per second.
    pub frame_rate_max: f64,
    /// How many of its inputs have video at most, the lead first. The others show their placeholders.
    pub inputs: usize,
}

impl MixForm {
    /// Returns the form of a mix that lacks nothing.
    pub const fn whole(canvas: Size, frame_rate_max: f64) -> Self {
        Self { canvas, frame_rate_max, inputs: usize::MAX }
    }

    /// Returns whether it shows more than another form of the same mix.
    pub fn is_more_than(&self, other: &Self) -> bool {
        let shows = |form: &Self| (form.frame_rate_max, form.canvas.width, form.inputs);
        shows(self) > shows(other)
    }

    /// Returns what it costs, in pixels per second. `inputs` are those of the inputs, the lead first, 0 without video.
    pub fn price(&self, inputs: &[u64]) -> u64 {
        let decoded: u64 = inputs.iter().take(self.inputs).copied().map(of_decoding).sum();
        pixels((self.canvas.width, self.canvas.height), self.frame_rate_max) + decoded
    }

    fn slow(self) -> Self {
        let frame_rate_max = (self.frame_rate_max / 2.0).max(FRAME_RATE_LEAST).min(self.frame_rate_max);
        Self { frame_rate_max, ..self }
    }

    fn small(self) -> Self {
        let Size { width, height } = self.canvas;
        Self { canvas: Size::canvas(width / 2, height / 2, self.canvas), ..self.slow() }
    }

    /// Returns the least form of it: placeholders.
    pub fn least(self) -> Self {
        Self { inputs: 0, ..self.small() }
    }

    /// Returns the form that shows the most of what `room` pays for, and its price: this form, or else with half of the frames,
    /// then with half of the width and the height too, then with fewer inputs. `None` if that is not enough for placeholders.
    pub fn within(self, room: u64, inputs: &[u64]) -> Option<(Self, u64)> {
        let (slow, small) = (self.slow(), self.small());
        let fewer = (0..inputs.len()).rev().map(|inputs| Self { inputs, ..small });
        let mut forms = [self, slow, small].into_iter().chain(fewer).map(|form| (form, form.price(inputs)));
        forms.find(|(_, price)| *price <= room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HD30: u64 = 1280 * 720 * 30;
    const WISH: MixForm = MixForm::whole(Size::HD, 30.0);

    fn frames_and_size(room: u64, inputs: &[u64]) -> Option<(f64, u32, usize)> {
        let found = WISH.within(room, inputs);
        found.map(|(form, _)| (form.frame_rate_max, form.canvas.height, form.inputs.min(inputs.len())))
    }

    #[test]
    fn a_mix_gives_up_frames_then_size_then_inputs_and_last_itself() {
        let four = [HD30; 4];
        let decoding = HD30 * 4 / 5 * 2;
        assert_eq!(frames_and_size(HD30 + decoding, &four), Some((30.0, 720, 4)));
        assert_eq!(frames_and_size(HD30 + decoding - 1, &four), Some((15.0, 720, 4)));
        assert_eq!(frames_and_size(HD30 / 2 + decoding - 1, &four), Some((15.0, 360, 4)));
        assert_eq!(frames_and_size(HD30 / 8 + decoding - 1, &four), Some((15.0, 360, 3)));
        assert_eq!(frames_and_size(HD30 / 8 + decoding / 4, &four), Some((15.0, 360, 1)));
        assert_eq!(frames_and_size(HD30 / 8 + decoding / 4 - 1, &four), Some((15.0, 360, 0)));
        assert_eq!(frames_and_size(HD30 / 8 - 1, &four), None);
        assert_eq!(frames_and_size(HD30, &[]), Some((30.0, 720, 0)), "a mix may have no video of anybody");
    }

    #[test]
    fn no_form_costs_more_than_there_is_and_more_never_buys_less() {
        for count in 0..18 {
            let inputs: Vec<u64> = (0..count).map(|input| HD30 / (input + 1)).collect();
            let mut before: Option<MixForm> = None;
            for room in (0..60).map(|step| step * HD30 / 7) {
                let Some((form, price)) = WISH.within(room, &inputs) else {
                    assert!(before.is_none(), "{count} inputs, {room}");
                    continue;
                };
                assert!(price <= room && price == form.price(&inputs), "{count} inputs, {room}: {price}");
                assert!(before.is_none_or(|before| !before.is_more_than(&form)), "{count} inputs, {room}: {form:?}");
                before = Some(form);
            }
        }
    }

    #[test]
    fn a_core_takes_the_conversions_of_hd_that_were_measured() {
        assert_eq!(of_cores(1) / of_conversion(HD30), 4, "0.2 cores each");
        assert_eq!(of_conversion(u64::MAX / 4), u64::MAX / 4 + u64::MAX / 4 / 5 * 2);
    }
}
