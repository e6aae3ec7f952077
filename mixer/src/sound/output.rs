//! Encodes mixed blocks to frames that fit an existing track: they have its codec, sample rate and channels.
//!
//! Timestamps follow positions: frame k lies k frame lengths after the first, whatever the wall clock does, until the
//! positions themselves jump. They account for the encoder delay.

use std::sync::Arc;
use std::time::{Duration, Instant};

use onmic_media::codec::opus;
use onmic_media::time::{ClockRate, Ticks};
use onmic_media::{Frame, Parameters};

use super::wall_clock::WallClock;
use super::{BLOCK, Block, RATE};
use crate::codec::Resampler;
use crate::codec::encode::{AudioEncoder, AudioPacket, AudioSettings};
use crate::codec::samples::{interleave, packed};
use crate::error::Error;

/// The duration of a packet of Opus, as publishers by WebRTC send it: a mix continues their tracks.
const OPUS_PACKET: Duration = Duration::from_millis(20);

/// Holds the settings of audio encoders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputSettings {
    /// The bitrate of one channel of Opus, in bits per second.
    pub opus_bitrate_bps: u32,
    /// The effort of the Opus encoder, from 0 to 10.
    pub opus_complexity: u8,
    /// The bitrate of one channel of AAC, in bits per second.
    pub aac_bitrate_bps: u32,
}

impl Default for OutputSettings {
    fn default() -> Self {
        Self { opus_bitrate_bps: 56_000, opus_complexity: 5, aac_bitrate_bps: 64_000 }
    }
}

/// Encodes the blocks of one mix for one track.
pub struct Output {
    encoder: AudioEncoder,
    /// Resamples to the encoder's rate. `None` at 48 kHz.
    resampler: Option<Resampler>,
    parameters: Arc<Parameters>,
    clock_rate: ClockRate,
    /// The position and the timestamp of the first packet, until the first block is taken in. Blocks before it are left
    /// out.
    start: Option<(i64, i64)>,
    /// The position that follows the last block.
    expected: Option<i64>,
    /// Interleaved samples at the encoder's rate that are not encoded yet.
    pending: Vec<f32>,
    /// Where the first pending sample belongs.
    head: i64,
    packets: Vec<AudioPacket>,
}

impl Output {
    /// Opens an output for a track with these parameters. Its frames carry the same `Arc` if a decoder for them can
    /// decode the frames.
    pub fn like(parameters: &Arc<Parameters>, settings: OutputSettings) -> Result<Self, Error> {
        let channels = u16::from(parameters.channels().unwrap_or(2).clamp(1, 2));
        let mut output = match &**parameters {
            Parameters::Aac(aac) => Self::open(aac.sample_rate, Self::aac(settings, channels), channels)?,
            _ => Self::open(RATE, Self::opus(settings, channels), channels)?,
        };
        if decodes(parameters, output.encoder.parameters()) {
            output.parameters = parameters.clone();
        }
        Ok(output)
    }

    /// Opens an output of stereo Opus, for a return feed.
    pub fn stereo_opus(settings: OutputSettings) -> Result<Self, Error> {
        Self::open(RATE, Self::opus(settings, 2), 2)
    }

    fn opus(settings: OutputSettings, channels: u16) -> AudioSettings {
        let bitrate_bps = settings.opus_bitrate_bps * u32::from(channels);
        AudioSettings::Opus { bitrate_bps, complexity: settings.opus_complexity, packet: OPUS_PACKET }
    }

    fn aac(settings: OutputSettings, channels: u16) -> AudioSettings {
        AudioSettings::Aac { bitrate_bps: settings.aac_bitrate_bps * u32::from(channels) }
    }

    fn open(rate: u32, settings: AudioSettings, channels: u16) -> Result<Self, Error> {
        let encoder = AudioEncoder::open_at(rate, settings, channels)?;
        let parameters = encoder.parameters().clone();
        Ok(Self {
            clock_rate: parameters.clock_rate(),
            parameters,
            encoder,
            resampler: None,
            start: None,
            expected: None,
            pending: Vec::new(),
            head: 0,
            packets: Vec::new(),
        })
    }

    /// Returns the parameters that the frames carry.
    pub fn parameters(&self) -> &Arc<Parameters> {
        &self.parameters
    }

    /// Returns the clock rate of the timestamps.
    pub fn clock_rate(&self) -> ClockRate {
        self.clock_rate
    }

    /// Sets the timestamp of the first packet to `first` (in ticks of the output's clock rate), so that frames continue
    /// the grid of the frames before. Returns the position at which the mix has to begin for that.
    pub fn begin(&mut self, first: Ticks) -> i64 {
        let ticks = first.0 + self.encoder.priming();
        let position = Ticks(ticks).rescale(self.clock_rate, ClockRate::OPUS).0;
        self.start = Some((position, ticks));
        position
    }

    /// Takes in a block that begins at `position`, and appends the frames that it completes to `out`. An error comes
    /// from the encoder and is final.
    pub fn take(
        &mut self,
        position: i64,
        block: &Block,
        wall_clock: &WallClock,
        arrived: Instant,
        out: &mut Vec<Frame>,
    ) -> Result<(), Error> {
        let mut cut = 0;
        if let Some((start, ticks)) = self.start {
            let early = usize::try_from(start - position).unwrap_or(0);
            if early >= BLOCK {
                return Ok(());
            }
            cut = early;
            self.start = None;
            self.expected = Some(position);
            // A mix that begins later than `start` gets the timestamp of its real position.
            let late = Ticks((position - start).max(0)).rescale(ClockRate::OPUS, self.clock_rate);
            self.head = ticks + late.0;
        }
        if self.expected != Some(position) {
            self.jump(position)?;
        }
        self.expected = Some(position + BLOCK as i64);
        self.append(block, cut)?;
        self.encode()?;
        let (parameters, rate) = (&self.parameters, self.clock_rate);
        out.extend(self.packets.drain(..).map(|packet| {
            let pts = Ticks(packet.pts);
            let wall = wall_clock.wall(pts.rescale(rate, ClockRate::OPUS).0).unwrap_or_default();
            let parameters = parameters.clone();
            Frame { dts: pts, pts, wall, arrived, keyframe: true, parameters, payload: packet.payload }
        }));
        Ok(())
    }

    /// Fills the incomplete packet with silence and continues at `position`.
    fn jump(&mut self, position: i64) -> Result<(), Error> {
        if let Some(resampler) = &mut self.resampler {
            resampler.flush(&mut self.pending).map_err(Error::Resample)?;
        }
        if !self.pending.is_empty() {
            let packet = self.encoder.block() * usize::from(self.encoder.channels());
            self.pending.resize(self.pending.len().next_multiple_of(packet), 0.0);
            self.encode()?;
        }
        let head = Ticks(position).rescale(ClockRate::OPUS, self.clock_rate).0;
        self.head = head.max(self.head); // The encoder does not accept decreasing timestamps.
        Ok(())
    }

    fn append(&mut self, block: &Block, cut: usize) -> Result<(), Error> {
        let [left, right] = &block.0;
        let mut interleaved = Vec::with_capacity(2 * BLOCK);
        interleave(&left[cut..], &right[cut..], self.encoder.channels(), &mut interleaved);
        if self.encoder.sample_rate() == RATE {
            self.pending.append(&mut interleaved);
            return Ok(());
        }
        let frame = packed(&interleaved, RATE, self.encoder.channels());
        let resampler = match &mut self.resampler {
            Some(resampler) => resampler,
            None => {
                let opened = Resampler::open(&frame, self.encoder.sample_rate(), self.encoder.channels());
                self.resampler.insert(opened.map_err(Error::Resample)?)
            }
        };
        resampler.convert(&frame, 0, &mut self.pending).map_err(Error::Resample)
    }

    fn encode(&mut self) -> Result<(), Error> {
        let packet = self.encoder.block() * usize::from(self.encoder.channels());
        let whole = self.pending.len() / packet * packet;
        for samples in self.pending[..whole].chunks_exact(packet) {
            self.encoder.encode(samples, self.head, &mut self.packets)?;
            self.head += self.encoder.block() as i64;
        }
        self.pending.drain(..whole);
        Ok(())
    }
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output").field("parameters", &self.parameters).field("head", &self.head).finish_non_exhaustive()
    }
}

/// Returns whether a decoder opened with `theirs` can decode a stream with `ours`.
fn decodes(theirs: &Parameters, ours: &Parameters) -> bool {
    match (theirs, ours) {
        (Parameters::Aac(theirs), Parameters::Aac(ours)) => {
            // These state everything about plain AAC-LC. How the configuration is written does not matter.
            let plain = theirs.object_type == 2 && theirs.frame_length == 1024;
            plain && (theirs.sample_rate, theirs.channels) == (ours.sample_rate, ours.channels)
        }
        (Parameters::Opus(theirs), Parameters::Opus(ours)) => {
            // The other fields are informative, or concern the start of a stream, and this is not the start.
            let like = |own: &opus::Parameters| (own.channels, own.output_gain, own.mapping.clone());
            like(theirs) == like(ours)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use onmic_media::codec::aac;
    use onmic_media::{ProgramClock, WallTime};

    use super::*;
    use crate::codec::decode::AudioDecoder;
    use crate::sound::testing::{amplitude, block};

    const EPOCH: WallTime = WallTime(1_795_000_000_000_000);

    fn aac(rate: u32, channels: u8) -> Arc<Parameters> {
        Arc::new(Parameters::Aac(aac::Parameters::low_complexity(rate, channels).unwrap()))
    }

    fn opus(channels: u8) -> Arc<Parameters> {
        Arc::new(Parameters::Opus(opus::Parameters { pre_skip: 312, ..opus::Parameters::new(channels) }))
    }

    /// Encodes a tone at these positions.
    fn run(output: &mut Output, positions: impl Iterator<Item = i64>) -> Vec<Frame> {
        let mut wall_clock = WallClock::default();
        wall_clock.follow(ProgramClock::through(0, EPOCH));
        let mut frames = Vec::new();
        for position in positions {
            let tone = block(1_000.0, 0.4, position);
            output.take(position, &tone, &wall_clock, Instant::now(), &mut frames).unwrap();
        }
        frames
    }

    #[test]
    fn frames_fit_the_track_and_continue_its_grid() {
        for (parameters, first, length) in [
            (aac(44_100, 2), 441_123, 1_024),
            (aac(48_000, 1), 480_077, 1_024),
            (opus(2), 480_333, 960),
            (opus(1), 480_333, 960),
        ] {
            let mut output = Output::like(&parameters, OutputSettings::default()).unwrap();
            let rate = f64::from(output.clock_rate().hz());
            let start = output.begin(Ticks(first));
            let frames = run(&mut output, (0..200).map(|number| start - 240 + number * 480));
            assert!(frames.iter().all(|frame| Arc::ptr_eq(&frame.parameters, &parameters)));
            let mut decoder = AudioDecoder::open(&parameters).unwrap();
            let mut line = Vec::new();
            for (number, frame) in frames.iter().enumerate() {
                assert_eq!(frame.pts.0, first + number as i64 * length);
                let wall = frame.wall.micros_since(EPOCH);
                assert!((wall - frame.pts.micros(output.clock_rate())).abs() <= 21, "{wall}");
                decoder.send(&frame.payload).unwrap();
                while let Some(samples) = decoder.receive().unwrap() {
                    let step = if samples.is_planar() { 1 } else { usize::from(samples.channels()) };
                    let bytes = samples.data(0)[..samples.samples() * step * 4].chunks_exact(4 * step);
                    line.extend(bytes.map(|bytes| f32::from_ne_bytes(bytes[..4].try_into().unwrap())));
                }
            }
            // The tone's phase tells its position: an offset of 0.5 ms would invert it.
            let (mut product, mut square) = (0.0, 0.0);
            for (number, sample) in line.iter().enumerate().skip(24_000).take(9_600) {
                let seconds = (first + number as i64) as f64 / rate;
                let wanted = 0.4 * (2.0 * std::f64::consts::PI * 1_000.0 * seconds).sin();
                (product, square) = (product + wanted * f64::from(*sample), square + wanted * wanted);
            }
            assert!((product / square - 1.0).abs() < 0.05, "{parameters:?}: {}", product / square);
        }
    }

    #[test]
    fn frames_that_the_tracks_decoder_cannot_decode_carry_their_own_parameters() {
        let mut he = aac::Parameters::low_complexity(48_000, 2).unwrap();
        (he.object_type, he.frame_length) = (5, 2_048);
        let he = Arc::new(Parameters::Aac(he));
        let output = Output::like(&he, OutputSettings::default()).unwrap();
        assert!(!Arc::ptr_eq(output.parameters(), &he));
        assert_eq!(output.clock_rate(), he.clock_rate(), "the track's clock rate stays");
    }

    #[test]
    fn a_jump_of_positions_leaves_a_hole_and_timestamps_never_decrease() {
        for parameters in [aac(44_100, 2), opus(2)] {
            let mut output = Output::like(&parameters, OutputSettings::default()).unwrap();
            let positions = (0..50).chain(150..200).chain(100..120).map(|number| 480_000 + number * 480);
            let frames = run(&mut output, positions);
            let pts: Vec<i64> = frames.iter().map(|frame| frame.pts.0).collect();
            assert!(pts.windows(2).all(|pair| pair[1] > pair[0]), "{pts:?}");
            let length = if output.clock_rate() == ClockRate::OPUS { 960 } else { 1_024 };
            assert_eq!(pts.windows(2).filter(|pair| pair[1] - pair[0] != length).count(), 1, "{pts:?}");
        }
    }

    #[test]
    fn mono_is_the_mean_of_both_channels() {
        let mut output = Output::like(&opus(1), OutputSettings::default()).unwrap();
        let mut tone = block(1_000.0, 0.4, 0);
        tone.0[1].fill(0.0);
        output.append(&tone, 0).unwrap();
        assert!((amplitude(&output.pending, 1_000.0) - 0.2).abs() < 0.001);
    }
}
