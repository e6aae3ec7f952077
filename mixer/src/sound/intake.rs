//! Turns the frames of one track into samples at 48 kHz: it decodes, resamples and stamps them.
//!
//! The codec, rate and channels may change with any frame. A frame that cannot be decoded is counted, and the jitter
//! buffer handles the hole. A track of which no frame can be decoded is left alone for a while ([`Rest`]). Mono is copied to both
//! channels.

use std::sync::Arc;

use onmic_media::time::{ClockRate, NodeClock};
use onmic_media::{DropReason, Frame, Parameters};

use super::input::Stamp;
use super::{RATE, micros};
use crate::codec::decode::AudioDecoder;
use crate::codec::rest::Rest;
use crate::codec::{RawAudio, Resampler};
use crate::error::Error;

/// Decodes the audio track of one input.
#[derive(Default)]
pub(crate) struct Intake {
    parameters: Option<Arc<Parameters>>,
    decoder: Option<AudioDecoder>,
    rest: Rest,
    resampler: Option<(Resampler, usize)>,
    interleaved: Vec<f32>,
    left: Vec<f32>,
    right: Vec<f32>,
}

impl Intake {
    /// Decodes a frame of a track with this clock rate, and hands the samples to `push`.
    pub(crate) fn take(
        &mut self,
        frame: &Frame,
        rate: ClockRate,
        clock: &NodeClock,
        push: impl FnMut(Stamp, &[f32], &[f32]),
    ) {
        if self.rest.is_on(frame) {
            DropReason::MixCorrupt.count(1);
            return;
        }
        match self.decode(frame, rate, clock, push) {
            Ok(()) => self.rest.decoded(),
            Err(error) => {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "an audio frame could not be decoded for a mix"
                );
                DropReason::MixCorrupt.count(1);
                self.rest.failed(frame.arrived);
            }
        }
    }

    fn decode(
        &mut self,
        frame: &Frame,
        rate: ClockRate,
        clock: &NodeClock,
        mut push: impl FnMut(Stamp, &[f32], &[f32]),
    ) -> Result<(), Error> {
        self.fit_decoder(&frame.parameters)?;
        let Some(decoder) = &mut self.decoder else {
            DropReason::MixNoDecoder.count(1); // The reason was logged when the decoder could not be opened.
            return Ok(());
        };
        decoder.send(&frame.payload)?;
        let mut pts = frame.pts.0 as f64 * f64::from(RATE) / f64::from(rate.hz());
        let (begin, arrived_wall) = (pts, clock.wall(frame.arrived));
        while let Some(samples) = decoder.receive()? {
            let length = samples.samples() as f64 * f64::from(RATE) / f64::from(samples.rate().max(1));
            let inside = match convert(&mut self.resampler, &samples, &mut self.interleaved) {
                Ok(inside) => inside as f64,
                Err(error) => {
                    self.resampler = None;
                    return Err(error);
                }
            };
            let channels = self.resampler.as_ref().map_or(2, |(_, channels)| *channels);
            let channel = |number: usize| self.interleaved.iter().skip(number.min(channels - 1)).step_by(channels);
            self.left.clear();
            self.left.extend(channel(0));
            self.right.clear();
            self.right.extend(channel(1));
            let wall = frame.wall.offset_micros(micros((pts - begin - inside).round() as i64));
            let stamp = Stamp { pts: pts - inside, wall, arrived_wall, arrived: frame.arrived };
            push(stamp, &self.left, &self.right);
            pts += length;
        }
        Ok(())
    }

    fn fit_decoder(&mut self, parameters: &Arc<Parameters>) -> Result<(), Error> {
        if self.parameters.as_ref().is_some_and(|own| Arc::ptr_eq(own, parameters)) {
            return Ok(());
        }
        let before = self.parameters.replace(parameters.clone());
        if before.is_none_or(|before| *before != **parameters) {
            self.decoder = None;
            self.decoder = Some(AudioDecoder::open(parameters)?);
        }
        Ok(())
    }
}

/// Writes the resampled samples to `interleaved`. Returns by how many samples they begin before the input: those belong
/// to the input before.
fn convert(
    resampler: &mut Option<(Resampler, usize)>,
    samples: &RawAudio,
    interleaved: &mut Vec<f32>,
) -> Result<i64, Error> {
    let channels: u16 = if samples.channels() == 1 { 1 } else { 2 };
    if !resampler.as_ref().is_some_and(|(resampler, _)| resampler.fits(samples)) {
        let opened = Resampler::open(samples, RATE, channels).map_err(Error::Resample)?;
        *resampler = Some((opened, usize::from(channels)));
    }
    interleaved.clear();
    let Some((resampler, _)) = resampler else { return Ok(0) };
    let inside = resampler.delay();
    resampler.convert(samples, 0, interleaved).map_err(Error::Resample)?;
    Ok(inside)
}
