//! Converts one audio track to another codec: it decodes, resamples to 48 kHz, cuts into blocks and encodes.
//!
//! Output time is input time: block boundaries lie on an exact grid, and [`Placement`] keeps the grid on the input's
//! timestamps. This module starts no thread and reads no clock.
//!
//! While a mixer makes the input, the line also gets the PCM itself, before it is encoded to frames. The line switches
//! to PCM at the sample where its frames reach the PCM, and back to frames where the PCM ends. It keeps the same grid
//! and the same encoder, so listeners do not hear the switch.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use onmic_media::time::{ClockRate, Ticks};
use onmic_media::{DropReason, Frame, Parameters, Pcm, WallTime};

use super::placement::{CORRECTION_DISTANCE, Place, Placement};
use crate::codec::decode::AudioDecoder;
use crate::codec::encode::{AudioEncoder, AudioPacket, AudioSettings, SAMPLE_RATE};
use crate::codec::rest::Rest;
use crate::codec::samples::interleave;
use crate::codec::{RawAudio, Resampler};
use crate::error::Error;

/// The largest encoder delay in samples: AAC's 1024.
const PRIMING_MAX: i64 = 1024;

/// The most blocks of 10 ms that may wait until the frames reach them: 500 ms, ten times a codec's delay.
const EARLY_MAX: usize = 50;

/// Converts one audio track to another codec.
pub(crate) struct AudioLine {
    parameters: Arc<Parameters>,
    clock_rate: ClockRate,
    decoder: AudioDecoder,
    rest: Rest,
    resampler: Option<Resampler>,
    encoder: AudioEncoder,
    placement: Placement,
    /// Interleaved samples that are not encoded yet.
    pending: Vec<f32>,
    /// Where the first pending sample belongs. `None` before the first input.
    head: Option<i64>,
    /// Where the output started or last jumped to, minus [`PRIMING_MAX`]. Packets from before are left out.
    begin: i64,
    packets: Vec<AudioPacket>,
    early: VecDeque<Early>,
    /// Whether the newest input was PCM.
    is_early: bool,
}

/// Holds a position of the input, when it was captured and when it arrived.
#[derive(Clone, Copy, Debug)]
struct Stamp {
    position: i64,
    wall: WallTime,
    arrived: Instant,
}

/// Holds PCM that is ahead of the frames, interleaved as the encoder takes it.
#[derive(Debug)]
struct Early {
    stamp: Stamp,
    samples: Vec<f32>,
}

impl AudioLine {
    /// Opens a line for frames of a track with `parameters` and `clock_rate`.
    pub(crate) fn open(
        parameters: Arc<Parameters>,
        clock_rate: ClockRate,
        settings: AudioSettings,
        fill_up_to: Duration,
    ) -> Result<Self, Error> {
        let channels = u16::from(parameters.channels().unwrap_or(2));
        Ok(Self {
            decoder: AudioDecoder::open(&parameters)?,
            rest: Rest::default(),
            encoder: AudioEncoder::open(settings, channels)?,
            parameters,
            clock_rate,
            resampler: None,
            placement: Placement::new(fill_up_to),
            pending: Vec::new(),
            head: None,
            begin: i64::MIN,
            packets: Vec::new(),
            early: VecDeque::new(),
            is_early: false,
        })
    }

    /// Returns the parameters of the output.
    pub(crate) fn output_parameters(&self) -> &Arc<Parameters> {
        self.encoder.parameters()
    }

    /// Takes in one frame and appends the packets that it completes to `out`. A frame that cannot be decoded is counted
    /// and left out. The hole is filled like any other. An error comes from the encoder and is final.
    pub(crate) fn take(&mut self, frame: &Frame, out: &mut Vec<Frame>) -> Result<(), Error> {
        if self.rest.is_on(frame) {
            DropReason::TranscodeCorrupt.count(1);
            return Ok(());
        }
        if !Arc::ptr_eq(&self.parameters, &frame.parameters) {
            self.change(&frame.parameters);
        }
        let mut pts = frame.pts.rescale(self.clock_rate, ClockRate::OPUS).0;
        if let Err(error) = self.decoder.send(&frame.payload) {
            broken(&error);
            self.rest.failed(frame.arrived);
            return Ok(());
        }
        loop {
            let samples = match self.decoder.receive() {
                Ok(Some(samples)) => samples,
                Ok(None) => break,
                Err(error) => {
                    broken(&error);
                    self.rest.failed(frame.arrived);
                    break;
                }
            };
            self.rest.decoded();
            let length = samples.samples() as i64 * i64::from(SAMPLE_RATE) / i64::from(samples.rate().max(1));
            match self.place(&samples, pts, length) {
                // The publisher may send samples of a form that cannot be converted. The next frame may be good again.
                Err(error @ Error::Resample(_)) => {
                    self.resampler = None;
                    broken(&error);
                }
                placed => placed?,
            }
            pts += length;
        }
        let position = frame.pts.rescale(self.clock_rate, ClockRate::OPUS).0;
        self.encode_blocks(Stamp { position, wall: frame.wall, arrived: frame.arrived }, out)?;
        self.take_early(out)
    }

    /// Takes in a block of PCM from which later frames are encoded, and appends the packets that it completes to `out`.
    /// An error is final.
    pub(crate) fn take_pcm(&mut self, pcm: Pcm<'_>, out: &mut Vec<Frame>) -> Result<(), Error> {
        let [left, right] = pcm.channels;
        let mut samples = Vec::new();
        interleave(left, right, self.encoder.channels(), &mut samples);
        let stamp = Stamp { position: pcm.pts.0, wall: pcm.wall, arrived: pcm.arrived };
        self.early.push_back(Early { stamp, samples });
        if self.early.len() > EARLY_MAX {
            self.early.pop_front(); // The frames will bring the same audio.
            DropReason::TranscodeEarly.count(1);
        }
        self.take_early(out)
    }

    /// Takes in the waiting blocks that the line has reached.
    fn take_early(&mut self, out: &mut Vec<Frame>) -> Result<(), Error> {
        let channels = usize::from(self.encoder.channels());
        while let Some(early) = self.early.pop_front() {
            let Stamp { position, .. } = early.stamp;
            match self.expected() {
                None => self.jump(position)?,
                Some(expected) if expected < position => {
                    self.early.push_front(early);
                    break;
                }
                Some(_) => {}
            }
            let known = usize::try_from(self.expected().unwrap_or(position) - position).unwrap_or(0);
            if known * channels >= early.samples.len() {
                continue;
            }
            if let Some(mut resampler) = self.resampler.take() {
                resampler.flush(&mut self.pending).map_err(Error::Resample)?;
            }
            self.pending.extend(early.samples.iter().skip(known * channels));
            self.is_early = true;
            self.encode_blocks(early.stamp, out)?;
        }
        Ok(())
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

    /// Returns where the next sample that is taken in would come out.
    fn expected(&self) -> Option<i64> {
        let taken = self.pending.len() / usize::from(self.encoder.channels());
        let inside = self.resampler.as_ref().map_or(0, Resampler::delay);
        self.head.map(|head| head + taken as i64 + inside)
    }

    fn place(&mut self, samples: &RawAudio, pts: i64, length: i64) -> Result<(), Error> {
        let known = self.expected().filter(|_| std::mem::take(&mut self.is_early)).map_or(0, |expected| expected - pts);
        if known >= length {
            self.is_early = true;
            return Ok(());
        }
        self.fit_resampler(samples)?;
        let place = if known > 0 { Place::Cut(known) } else { self.placement.place(pts, self.expected()) };
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
            DropReason::TranscodeOverlap.count(1);
            return Ok(());
        }
        if let Some(correction) = expected.and_then(|expected| self.placement.correction(expected)) {
            tracing::debug!(samples = correction, "audio stretched to follow its timestamps");
            resampler.stretch(correction as i32, CORRECTION_DISTANCE as i32).map_err(Error::Resample)?;
        }
        resampler.convert(samples, cut, &mut self.pending).map_err(Error::Resample)
    }

    /// Opens a new resampler if the rate, layout or format of the samples has changed, which may happen with any frame.
    fn fit_resampler(&mut self, samples: &RawAudio) -> Result<(), Error> {
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

    /// Continues at `pts` after a hole. The samples that the encoder has from before the hole are left out: the block
    /// that was begun and the one that the encoder holds. Their packets would come after the hole, and a WebRTC
    /// receiver that gets a packet seconds late delays all audio by that time, in case more such packets come.
    fn jump(&mut self, pts: i64) -> Result<(), Error> {
        if let Some(resampler) = &mut self.resampler
            && self.head.is_some()
        {
            resampler.flush(&mut self.pending).map_err(Error::Resample)?;
        }
        DropReason::TranscodeHole.count(u64::from(!self.pending.is_empty()));
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

    fn encode_blocks(&mut self, input: Stamp, out: &mut Vec<Frame>) -> Result<(), Error> {
        self.encode_pending()?;
        let made = self.packets.len();
        self.packets.retain(|packet| packet.pts >= self.begin);
        DropReason::TranscodeHole.count((made - self.packets.len()) as u64);
        out.extend(self.packets.drain(..).map(|packet| Frame {
            dts: Ticks(packet.pts),
            pts: Ticks(packet.pts),
            wall: input.wall.offset_micros(Ticks(packet.pts - input.position).micros(ClockRate::OPUS)),
            arrived: input.arrived,
            keyframe: true,
            parameters: self.encoder.parameters().clone(),
            payload: packet.payload,
        }));
        Ok(())
    }
}

fn broken(error: &Error) {
    tracing::debug!(error = error as &dyn std::error::Error, "an audio frame could not be decoded");
    DropReason::TranscodeCorrupt.count(1);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::testing;

    const OPUS: AudioSettings =
        AudioSettings::Opus { bitrate_bps: 112_000, complexity: 5, packet: Duration::from_millis(10) };

    /// AAC frames are decoded as they come, so the line holds back a packet of Opus that is not complete, the 2.5 ms that
    /// the encoder looks ahead, and less than 1 ms in the resampler.
    #[test]
    fn a_line_from_aac_to_opus_holds_back_less_than_a_packet_and_the_look_ahead() {
        for rate in [48_000, 44_100] {
            let frames = testing::aac(rate, 100);
            let clock_rate = frames[0].parameters.clock_rate();
            let parameters = frames[0].parameters.clone();
            let mut line = AudioLine::open(parameters, clock_rate, OPUS, Duration::from_millis(200)).unwrap();
            let (mut made, mut longest) = (Vec::new(), 0);
            for (number, frame) in frames.iter().enumerate() {
                line.take(frame, &mut made).unwrap();
                let taken = Ticks(frame.pts.0 + 1024).rescale(clock_rate, ClockRate::OPUS).0;
                let given = made.last().map_or(i64::MIN, |packet| packet.pts.0 + 480);
                if number > 2 {
                    longest = longest.max(taken - given);
                }
            }
            assert!((480..480 + 120 + 48).contains(&longest), "{longest} samples at {rate} Hz");
        }
    }
}
