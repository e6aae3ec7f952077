//! One track of sound turned into another codec: decode, bring to 48 kHz, cut into blocks, encode.
//!
//! Output time is input time: block boundaries lie on an exact grid, and [`Timeline`] keeps the grid on the input's
//! timestamps. Knows no thread and no clock.

use std::sync::Arc;
use std::time::Duration;

use onmic_media::time::{ClockRate, Ticks};
use onmic_media::{Frame, Parameters};

use crate::decode::AudioDecoder;
use crate::encode::{AudioEncoder, AudioPacket, AudioSettings, SAMPLE_RATE};
use crate::error::Error;
use crate::ffi::Resampler;
use crate::metric::dropped;
use crate::timeline::{CORRECTION_DISTANCE, Place, Timeline};

/// No encoder puts more in front: AAC's 1024.
const PRIMING_MAX: i64 = 1024;

/// See the module.
pub(crate) struct AudioLine {
    parameters: Arc<Parameters>,
    clock_rate: ClockRate,
    decoder: AudioDecoder,
    resampler: Option<Resampler>,
    encoder: AudioEncoder,
    timeline: Timeline,
    /// Interleaved samples that no block was made of yet; the first belongs at `head`. `None` before the first.
    pending: Vec<f32>,
    head: Option<i64>,
    /// Where it started or jumped to last, less what an encoder puts in front.
    begin: i64,
    packets: Vec<AudioPacket>,
}

impl AudioLine {
    /// For frames of a track with `parameters` and `clock_rate`.
    pub(crate) fn open(
        parameters: Arc<Parameters>,
        clock_rate: ClockRate,
        settings: AudioSettings,
        fill_up_to: Duration,
    ) -> Result<Self, Error> {
        let channels = u16::from(parameters.channels().unwrap_or(2));
        Ok(Self {
            decoder: AudioDecoder::open(&parameters)?,
            encoder: AudioEncoder::open(settings, channels)?,
            parameters,
            clock_rate,
            resampler: None,
            timeline: Timeline::new(fill_up_to),
            pending: Vec::new(),
            head: None,
            begin: i64::MIN,
            packets: Vec::new(),
        })
    }

    /// What comes out.
    pub(crate) fn output_parameters(&self) -> &Arc<Parameters> {
        self.encoder.parameters()
    }

    /// Takes in one frame and appends what it completes to `out`. What cannot be decoded is counted and left out: the hole
    /// is filled like any other. An error is the encoder's and final.
    pub(crate) fn take(&mut self, frame: &Frame, out: &mut Vec<Frame>) -> Result<(), Error> {
        if !Arc::ptr_eq(&self.parameters, &frame.parameters) {
            self.change(&frame.parameters);
        }
        let mut pts = frame.pts.rescale(self.clock_rate, ClockRate::OPUS).0;
        if let Err(error) = self.decoder.send(&frame.payload) {
            broken(&error);
            return Ok(());
        }
        loop {
            let samples = match self.decoder.receive() {
                Ok(Some(samples)) => samples,
                Ok(None) => break,
                Err(error) => {
                    broken(&error);
                    break;
                }
            };
            let length = samples.samples() as i64 * i64::from(SAMPLE_RATE) / i64::from(samples.rate().max(1));
            match self.place(&samples, pts) {
                // Samples of a kind that cannot be converted are the publisher's doing, and may be gone with the next frame.
                Err(error @ Error::Resample(_)) => {
                    self.resampler = None;
                    broken(&error);
                }
                placed => placed?,
            }
            pts += length;
        }
        self.encode_blocks(frame, out)
    }

    fn change(&mut self, parameters: &Arc<Parameters>) {
        if *self.parameters != **parameters {
            match AudioDecoder::open(parameters) {
                Ok(decoder) => self.decoder = decoder,
                Err(error) => broken(&error),
            }
        }
        self.parameters = parameters.clone();
    }

    /// Where the next sample that is taken in would come out.
    fn expected(&self) -> Option<i64> {
        let taken = self.pending.len() / usize::from(self.encoder.channels());
        let inside = self.resampler.as_ref().map_or(0, Resampler::delay);
        self.head.map(|head| head + taken as i64 + inside)
    }

    fn place(&mut self, samples: &ffmpeg_next::frame::Audio, pts: i64) -> Result<(), Error> {
        self.fit_resampler(samples)?;
        let place = self.timeline.place(pts, self.expected());
        if place == Place::Jump {
            self.jump(pts)?;
        }
        let expected = self.expected();
        let Some(resampler) = &mut self.resampler else { return Ok(()) };
        let at_input = |count: i64| count * i64::from(resampler.input_rate()) / i64::from(SAMPLE_RATE);
        let cut = match place {
            Place::Follow | Place::Jump => 0,
            Place::Fill(count) => {
                let silence = u32::try_from(at_input(count)).unwrap_or(0);
                resampler.silence(silence).map_err(Error::Resample)?;
                0
            }
            Place::Cut(count) => usize::try_from(at_input(count)).unwrap_or(usize::MAX),
        };
        if cut >= samples.samples() {
            dropped("transcode_overlap", 1);
            return Ok(());
        }
        if let Some(correction) = expected.and_then(|expected| self.timeline.correction(expected)) {
            tracing::debug!(samples = correction, "sound stretched to follow its timestamps");
            resampler.stretch(correction as i32, CORRECTION_DISTANCE as i32).map_err(Error::Resample)?;
        }
        resampler.convert(samples, cut, &mut self.pending).map_err(Error::Resample)
    }

    /// The samples' rate, layout or format may change with any frame.
    fn fit_resampler(&mut self, samples: &ffmpeg_next::frame::Audio) -> Result<(), Error> {
        if self.resampler.as_ref().is_some_and(|resampler| resampler.fits(samples)) {
            return Ok(());
        }
        if let Some(before) = &mut self.resampler {
            before.flush(&mut self.pending).map_err(Error::Resample)?;
        }
        let opened = Resampler::open(samples, SAMPLE_RATE, self.encoder.channels());
        self.resampler = Some(opened.map_err(Error::Resample)?);
        Ok(())
    }

    /// Starts anew at `pts`. What the encoder has from before the hole is left out, the block that was begun and the one it
    /// held: they would come when the hole is over, and a WebRTC receiver that gets a packet seconds late prepares for more
    /// of them by delaying all sound as long.
    fn jump(&mut self, pts: i64) -> Result<(), Error> {
        if let Some(resampler) = &mut self.resampler
            && self.head.is_some()
        {
            resampler.flush(&mut self.pending).map_err(Error::Resample)?;
        }
        self.pending.clear();
        self.head = Some(pts);
        self.begin = pts - PRIMING_MAX;
        Ok(())
    }

    fn encode_pending(&mut self) -> Result<(), Error> {
        let Some(head) = &mut self.head else { return Ok(()) };
        let block = self.encoder.block() * usize::from(self.encoder.channels());
        let whole = self.pending.len() / block * block;
        for samples in self.pending[..whole].chunks_exact(block) {
            self.encoder.encode(samples, *head, &mut self.packets)?;
            *head += self.encoder.block() as i64;
        }
        self.pending.drain(..whole);
        Ok(())
    }

    fn encode_blocks(&mut self, input: &Frame, out: &mut Vec<Frame>) -> Result<(), Error> {
        self.encode_pending()?;
        let input_pts = input.pts.rescale(self.clock_rate, ClockRate::OPUS);
        let begin = self.begin;
        out.extend(self.packets.drain(..).filter(|packet| packet.pts >= begin).map(|packet| Frame {
            dts: Ticks(packet.pts),
            pts: Ticks(packet.pts),
            wall: input.wall.offset_micros((Ticks(packet.pts) - input_pts).micros(ClockRate::OPUS)),
            arrived: input.arrived,
            keyframe: true,
            parameters: self.encoder.parameters().clone(),
            payload: packet.payload,
        }));
        Ok(())
    }
}

fn broken(error: &Error) {
    tracing::debug!(error = error as &dyn std::error::Error, "a frame of sound could not be decoded");
    dropped("transcode_corrupt", 1);
}
