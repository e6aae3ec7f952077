//! Encodes Opus and AAC. The timestamp of a packet is where its first decoded sample belongs.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ffmpeg_next::codec::{Context, Flags};
use ffmpeg_next::format::{Sample, sample};
use ffmpeg_next::{ChannelLayout, Error as Cause, Packet, Rational, encoder, error, frame};
use onmic_media::Parameters;
use onmic_media::codec::{aac, opus};

use super::set_options;
use crate::codec::ffi;
use crate::codec::samples::packed;
use crate::error::Error;

/// The sample rate of every audio encoder in service. Tests and benchmarks may encode AAC at others.
pub const SAMPLE_RATE: u32 = 48_000;

/// From this bitrate of one channel on, in bits per second, libopus uses its transform (CELT) for everything. Its
/// application `lowdelay` has that transform alone and looks 2.5 ms ahead instead of 6.5, so nothing else is lost by it.
/// Measured with tones, noise and speech-like signals: mono of 16 kbit/s still uses the mode for speech.
const TRANSFORM_ALONE_BPS: u32 = 20_000;

/// Selects the codec that audio is encoded to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AudioSettings {
    /// Opus. Packets below about 20 kbit/s and channel also carry forward error correction.
    Opus {
        /// The bitrate of all channels together, in bits per second.
        bitrate_bps: u32,
        /// The effort of the encoder, from 0 to 10. More effort costs more CPU and gives a better quality.
        complexity: u8,
        /// The duration of a packet: 10 or 20 ms. The encoder holds audio back for this long, and 2.5 ms.
        packet: Duration,
    },
    /// AAC-LC, encoded by FFmpeg's encoder with its fast search.
    Aac {
        /// The bitrate of all channels together, in bits per second.
        bitrate_bps: u32,
    },
}

/// Holds one packet of audio.
#[derive(Clone, Debug)]
pub struct AudioPacket {
    /// Where the first decoded sample of the packet belongs, in samples.
    pub pts: i64,
    /// The payload in canonical form.
    pub payload: Bytes,
}

/// Encodes audio.
pub struct AudioEncoder {
    encoder: encoder::audio::Encoder,
    sample_rate: u32,
    channels: u16,
    planar: bool,
    parameters: Arc<Parameters>,
}

impl AudioEncoder {
    /// Opens an encoder for one or two channels at 48 kHz.
    pub fn open(settings: AudioSettings, channels: u16) -> Result<Self, Error> {
        Self::open_at(SAMPLE_RATE, settings, channels)
    }

    /// Opens an encoder for one or two channels at `sample_rate`, which must be 48 kHz for Opus.
    pub fn open_at(sample_rate: u32, settings: AudioSettings, channels: u16) -> Result<Self, Error> {
        ffi::log_to_tracing();
        let channels = channels.clamp(1, 2);
        let (name, options) = match settings {
            AudioSettings::Opus { bitrate_bps, complexity, packet } => {
                let low_delay = bitrate_bps / u32::from(channels) >= TRANSFORM_ALONE_BPS;
                let options = vec![
                    ("b", bitrate_bps.to_string()),
                    ("application", if low_delay { "lowdelay" } else { "audio" }.to_owned()),
                    ("frame_duration", packet.as_millis().to_string()),
                    ("compression_level", complexity.to_string()),
                    ("fec", "1".to_owned()),
                    ("packet_loss", "5".to_owned()), // If no loss is expected, libopus spends no bits on correction.
                ];
                ("libopus", options)
            }
            AudioSettings::Aac { bitrate_bps } => {
                ("aac", vec![("b", bitrate_bps.to_string()), ("aac_coder", "fast".to_owned())])
            }
        };
        let codec = encoder::find_by_name(name).ok_or(Error::NoEncoder(name))?;
        let mut context = Context::new_with_codec(codec);
        context.set_flags(Flags::GLOBAL_HEADER);
        set_options(&mut context, &options)?;
        let planar = matches!(settings, AudioSettings::Aac { .. });
        let failed = |cause| Error::Open { name, cause };
        let mut audio = context.encoder().audio().map_err(failed)?;
        audio.set_rate(sample_rate as i32);
        audio.set_format(format(planar));
        audio.set_channel_layout(ChannelLayout::default(i32::from(channels)));
        audio.set_channels(i32::from(channels));
        audio.set_time_base(Rational::new(1, sample_rate as i32));
        let encoder = audio.open_as(codec).map_err(failed)?;
        let parameters = match settings {
            AudioSettings::Opus { .. } => Parameters::Opus(opus::Parameters::new(channels as u8)),
            AudioSettings::Aac { .. } => {
                let parsed = aac::Parameters::from_asc(&ffi::extradata(&encoder));
                Parameters::Aac(parsed.map_err(Error::Parameters)?)
            }
        };
        Ok(Self { encoder, sample_rate, channels, planar, parameters: Arc::new(parameters) })
    }

    /// Returns the number of samples per channel in a block.
    pub fn block(&self) -> usize {
        self.encoder.frame_size() as usize
    }

    /// Returns the encoder delay: the number of samples by which the first packet begins before the first encoded
    /// sample.
    pub fn priming(&self) -> i64 {
        ffi::initial_padding(&self.encoder)
    }

    /// Returns the number of samples per second that it was opened for.
    pub fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    /// Returns the number of channels that it was opened for.
    pub fn channels(&self) -> u16 {
        self.channels
    }

    /// Returns the parameters that decoders need.
    pub fn parameters(&self) -> &Arc<Parameters> {
        &self.parameters
    }

    /// Encodes one block of interleaved samples whose first sample belongs at `pts`, which never decreases. Appends the
    /// packets that are ready to `out`: AAC's is that of the block before.
    pub fn encode(&mut self, interleaved: &[f32], pts: i64, out: &mut Vec<AudioPacket>) -> Result<(), Error> {
        let channels = usize::from(self.channels);
        let mut frame = if self.planar {
            let layout = ChannelLayout::default(i32::from(self.channels));
            let mut frame = frame::Audio::new(format(true), interleaved.len() / channels, layout);
            frame.set_rate(self.sample_rate);
            for channel in 0..channels {
                let samples = interleaved.iter().skip(channel).step_by(channels);
                frame.plane_mut::<f32>(channel).iter_mut().zip(samples).for_each(|(to, from)| *to = *from);
            }
            frame
        } else {
            packed(interleaved, self.sample_rate, self.channels)
        };
        frame.set_pts(Some(pts));
        self.encoder.send_frame(&frame).map_err(Error::Encode)?;
        loop {
            let mut packet = Packet::empty();
            match self.encoder.receive_packet(&mut packet) {
                Ok(()) => {}
                Err(Cause::Other { errno: error::EAGAIN } | Cause::Eof) => return Ok(()),
                Err(cause) => return Err(Error::Encode(cause)),
            }
            let payload = Bytes::copy_from_slice(packet.data().unwrap_or_default());
            out.push(AudioPacket { pts: packet.pts().unwrap_or(pts), payload });
        }
    }
}

fn format(planar: bool) -> Sample {
    Sample::F32(if planar { sample::Type::Planar } else { sample::Type::Packed })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    #[test]
    fn timestamps_account_for_the_encoder_delay() {
        let opus = |bitrate_bps, packet| AudioSettings::Opus { bitrate_bps, complexity: 5, packet: MILLI * packet };
        for (settings, first, second) in [
            (opus(64_000, 20), -120, 840),
            (opus(64_000, 10), -120, 360),
            (opus(24_000, 20), -312, 648),
            (AudioSettings::Aac { bitrate_bps: 64_000 }, -1024, 0),
        ] {
            let mut encoder = AudioEncoder::open(settings, 2).unwrap();
            let block = vec![0.0; encoder.block() * 2];
            let mut packets = Vec::new();
            for number in 0..4 {
                encoder.encode(&block, number * encoder.block() as i64, &mut packets).unwrap();
            }
            assert_eq!(encoder.priming(), -first);
            assert_eq!((packets[0].pts, packets[1].pts), (first, second));
        }
    }
}
