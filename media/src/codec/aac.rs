//! AAC: AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1) and the ADTS header (1.A.2.2).
//!
//! The canonical payload is one raw data block per frame, without ADTS.

use std::ops::Range;

use super::Malformed;
use super::bits::{BitReader, BitWriter};
use bytes::Bytes;

const CONFIG: &str = "AudioSpecificConfig";
const ADTS: &str = "ADTS header";

/// The field of an AudioSpecificConfig that names the profile.
pub const OBJECT_TYPE: &str = "object type";

/// The longest configuration in bytes. Real ones have 2 to 64 (a program config element with its comment has under
/// 300).
const LONGEST_CONFIG: usize = 1024;

const SAMPLE_RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];

const LC: u8 = 2;
const SBR: u8 = 5;
const PS: u8 = 29;

/// Holds the parameters that a decoder must know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// The audio object type that comes first: 2 LC, 5 SBR (HE-AAC), 29 PS (HE-AAC v2).
    pub object_type: u8,
    /// The output's samples per second: twice the core's if SBR is signalled.
    pub sample_rate: u32,
    /// The number of output channels, which is 2 with PS.
    pub channels: u8,
    /// The `channelConfiguration`, which is the layout of the channels. It is 0 if a program config element describes it.
    pub channel_configuration: u8,
    /// The samples per packet at `sample_rate`: 1024 or 960, or twice that if SBR doubles the rate.
    pub frame_length: u32,
    /// The AudioSpecificConfig that these were read from. Rates of the table stand in it as their index.
    pub asc: Bytes,
}

impl Parameters {
    /// Makes parameters of AAC-LC with up to eight channels. Fails with `Unsupported` for rates and channel counts
    /// without a short code.
    pub fn low_complexity(sample_rate: u32, channels: u8) -> Result<Self, Malformed> {
        let what = CONFIG;
        let Some(index) = SAMPLE_RATES.iter().position(|&rate| rate == sample_rate) else {
            return Err(Malformed::Unsupported { what, field: "sampling frequency", value: sample_rate.into() });
        };
        let configuration = match channels {
            1..=6 => channels,
            8 => 7,
            _ => return Err(Malformed::Unsupported { what, field: "channel count", value: channels.into() }),
        };
        let mut writer = BitWriter::new();
        writer.bits(LC.into(), 5);
        writer.bits(index as u32, 4);
        writer.bits(configuration.into(), 4);
        writer.bits(0, 3); // 1024 samples, no core coder, no extension
        let asc = Bytes::from(writer.finish());
        let channel_configuration = configuration;
        Ok(Self { object_type: LC, sample_rate, channels, channel_configuration, frame_length: 1024, asc })
    }

    /// Parses an AudioSpecificConfig and keeps its bytes, but for rates that are written out although they have an index: FFmpeg decodes
    /// nothing of those.
    pub fn from_asc(asc: &[u8]) -> Result<Self, Malformed> {
        if asc.len() > LONGEST_CONFIG {
            return Err(Malformed::OutOfRange { what: CONFIG, field: "length", value: asc.len() as u64 });
        }
        let mut reader = BitReader::new(CONFIG, asc);
        let object_type = object_type(&mut reader)?;
        let core_rate = sampling_frequency(&mut reader)?;
        let channel_configuration = reader.byte(4)?;
        let mut extension_rate = None;
        let mut parametric = object_type == PS;
        let mut core = object_type;
        if matches!(object_type, SBR | PS) {
            extension_rate = Some(sampling_frequency(&mut reader)?);
            core = self::object_type(&mut reader)?;
        }
        let general = General::parse(&mut reader, core, channel_configuration)?;
        if extension_rate.is_none() {
            // The backward compatible signalling, behind what old decoders read. Its absence is not an error.
            let (rate, ps) = sync_extension(&mut reader).unwrap_or_default();
            (extension_rate, parametric) = (rate, ps);
        }
        let sample_rate = extension_rate.unwrap_or(core_rate);
        let channels = if parametric { 2 } else { general.channels };
        let doubled = sample_rate == core_rate * 2;
        let frame_length = general.frame_length * if doubled { 2 } else { 1 };
        let asc = Bytes::from(with_indices(asc)?);
        Ok(Self { object_type, sample_rate, channels, channel_configuration, frame_length, asc })
    }

    /// Returns whether browsers and phones decode it: AAC-LC or HE-AAC, in one of the seven first channel configurations.
    /// They refuse a program config element.
    pub fn is_widely_decoded(&self) -> bool {
        matches!(self.object_type, LC | SBR | PS) && (1..=7).contains(&self.channel_configuration)
    }

    /// Returns the profile's name: `LC`, `HE-AAC`, `HE-AAC v2` or a rarer one.
    pub fn profile_name(&self) -> Option<&'static str> {
        Some(match self.object_type {
            1 => "Main",
            LC => "LC",
            3 => "SSR",
            4 => "LTP",
            SBR => "HE-AAC",
            23 => "LD",
            PS => "HE-AAC v2",
            _ => return None,
        })
    }

    /// Returns the seven bytes of ADTS for a raw data block of `payload_length` bytes. Fails with `Unsupported` if ADTS
    /// cannot state the parameters.
    pub fn adts_header(&self, payload_length: usize) -> Result<[u8; 7], Malformed> {
        let unsupported = |field, value| Malformed::Unsupported { what: ADTS, field, value };
        let mut reader = BitReader::new(CONFIG, &self.asc);
        let first = object_type(&mut reader)?;
        let core_rate = sampling_frequency(&mut reader)?;
        let configuration = reader.byte(4)?;
        // SBR and PS are inside of an LC stream.
        let core = if matches!(first, SBR | PS) { LC } else { first };
        if !(1..=4).contains(&core) {
            return Err(unsupported("object type", core.into()));
        }
        let index = SAMPLE_RATES.iter().position(|&rate| rate == core_rate);
        let index = index.ok_or(unsupported("sampling frequency", core_rate.into()))?;
        let length = payload_length + 7;
        if !(1..=7).contains(&configuration) || length >= 1 << 13 {
            return Err(unsupported("frame length", length as u64));
        }
        let mut header = [0xff, 0xf1, 0, 0, 0, 0, 0xfc];
        header[2] = (core - 1) << 6 | (index as u8) << 2 | configuration >> 2;
        header[3] = configuration << 6 | (length >> 11) as u8;
        header[4] = (length >> 3) as u8;
        header[5] = (length << 5) as u8 | 0x1f;
        Ok(header)
    }
}

/// Names a profile that [`Parameters::from_asc`] refuses, by its audio object type. `None` if it is a rare one.
pub fn refused_profile(object_type: u64) -> Option<&'static str> {
    Some(match object_type {
        17 => "AAC ER LC",
        39 => "AAC-ELD",
        42 => "xHE-AAC",
        _ => return None,
    })
}

/// Holds the fields of an ADTS header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adts {
    /// The object type of the core: 1 Main, 2 LC, 3 SSR, 4 LTP. SBR is never declared here.
    pub object_type: u8,
    /// The sample rate of the core.
    pub sample_rate: u32,
    /// The channel configuration, 1 to 7. 0 means that a program config element in the payload has it.
    pub channel_configuration: u8,
    /// The length of the header: 7, or 9 with a checksum.
    pub header_length: usize,
    /// The length of header and payload.
    pub frame_length: usize,
}

/// Returns the first frame of a payload that is ADTS, its header included, and what follows it. Encoders put one or several frames
/// into one message. A payload that is not ADTS, or broken, is one frame.
pub fn split_adts(mut payload: Bytes) -> (Bytes, Bytes) {
    let length = if Adts::begins(&payload) { Adts::parse(&payload).ok().map(|adts| adts.frame_length) } else { None };
    match length.filter(|&length| length < payload.len() && Adts::begins(&payload[length..])) {
        Some(length) => (payload.split_to(length), payload),
        None => (payload, Bytes::new()),
    }
}

impl Adts {
    /// Returns whether a payload begins with the syncword. A raw data block never does: it would begin with its own end.
    pub fn begins(payload: &[u8]) -> bool {
        matches!(payload, [0xff, second, ..] if second & 0xf6 == 0xf0)
    }

    /// Returns the parameters that it tells: those of the core, as SBR is not declared here. `Unsupported` where the payload has them.
    pub fn parameters(&self) -> Result<Parameters, Malformed> {
        let configuration = self.channel_configuration;
        let Some(index) = SAMPLE_RATES.iter().position(|&rate| rate == self.sample_rate).filter(|_| configuration > 0)
        else {
            let field = "channel configuration";
            return Err(Malformed::Unsupported { what: ADTS, field, value: configuration.into() });
        };
        let mut writer = BitWriter::new();
        writer.bits(self.object_type.into(), 5);
        writer.bits(index as u32, 4);
        writer.bits(configuration.into(), 4);
        writer.bits(0, 3); // 1024 samples, no core coder, no extension
        Parameters::from_asc(&writer.finish())
    }

    /// Returns whether `known` can be what this header speaks of. It may say more.
    pub fn agrees_with(&self, known: &Parameters) -> bool {
        let expected = known.adts_header(0).and_then(|header| Self::parse(&header));
        expected.is_ok_and(|expected| {
            let of = |adts: &Self| (adts.object_type, adts.sample_rate, adts.channel_configuration);
            of(&expected) == of(self)
        })
    }

    /// Reads the header of one frame. The payload need not be there.
    pub fn parse(frame: &[u8]) -> Result<Self, Malformed> {
        let mut reader = BitReader::new(ADTS, frame);
        if reader.bits(12)? != 0xfff {
            return Err(Malformed::Missing { what: ADTS, field: "syncword" });
        }
        reader.skip(1)?; // ID: MPEG-4 or MPEG-2
        let layer = reader.bits(2)?;
        if layer != 0 {
            return Err(Malformed::OutOfRange { what: ADTS, field: "layer", value: layer.into() });
        }
        let header_length = if reader.flag()? { 7 } else { 9 };
        let object_type = reader.byte(2)? + 1;
        let index = reader.bits(4)?;
        let rate = SAMPLE_RATES.get(index as usize).copied();
        let field = "sampling frequency index";
        let sample_rate = rate.ok_or(Malformed::OutOfRange { what: ADTS, field, value: index.into() })?;
        reader.skip(1)?; // private_bit
        let channel_configuration = reader.byte(3)?;
        reader.skip(4)?; // original_copy, home, two copyright bits
        let frame_length = reader.bits(13)? as usize;
        reader.skip(11)?; // buffer fullness
        let further = reader.bits(2)?;
        if further > 0 {
            return Err(Malformed::Unsupported { what: ADTS, field: "data blocks", value: u64::from(further) + 1 });
        }
        if frame_length < header_length {
            return Err(Malformed::OutOfRange { what: ADTS, field: "frame length", value: frame_length as u64 });
        }
        Ok(Self { object_type, sample_rate, channel_configuration, header_length, frame_length })
    }
}

fn object_type(reader: &mut BitReader<'_>) -> Result<u8, Malformed> {
    match reader.byte(5)? {
        31 => Ok(32 + reader.byte(6)?),
        kind => Ok(kind),
    }
}

/// The lowest rate of the table. A rate is also the clock of the track: a slower one could not tell packets apart.
const RATE_MIN: u32 = 7_350;

fn sampling_frequency(reader: &mut BitReader<'_>) -> Result<u32, Malformed> {
    let index = reader.bits(4)?;
    let rate = match index {
        15 => reader.bits(24)?,
        _ => SAMPLE_RATES.get(index as usize).copied().unwrap_or(0),
    };
    if !(RATE_MIN..=192_000).contains(&rate) {
        let value = if index == 15 { rate } else { index };
        return Err(Malformed::OutOfRange { what: CONFIG, field: "sampling frequency", value: value.into() });
    }
    Ok(rate)
}

/// Returns an AudioSpecificConfig in which rates that are written out stand as their index, if they have one.
fn with_indices(asc: &[u8]) -> Result<Vec<u8>, Malformed> {
    let (mut reader, mut writer) = (BitReader::new(CONFIG, asc), BitWriter::new());
    let object_type = object_type(&mut reader)?;
    copy(asc, 0..reader.position(), &mut writer)?;
    copy_rate(asc, &mut reader, &mut writer)?;
    copy(asc, reader.position()..reader.position() + 4, &mut writer)?;
    reader.skip(4)?; // channelConfiguration
    if matches!(object_type, SBR | PS) {
        copy_rate(asc, &mut reader, &mut writer)?;
    }
    copy(asc, reader.position()..asc.len() * 8, &mut writer)?;
    Ok(writer.finish())
}

/// Copies a rate, as its index if it has one.
fn copy_rate(asc: &[u8], reader: &mut BitReader<'_>, writer: &mut BitWriter) -> Result<(), Malformed> {
    let begin = reader.position();
    let rate = sampling_frequency(reader)?;
    match SAMPLE_RATES.iter().position(|&known| known == rate) {
        Some(index) => writer.bits(index as u32, 4),
        None => copy(asc, begin..reader.position(), writer)?,
    }
    Ok(())
}

/// Copies a range of bits.
fn copy(asc: &[u8], bits: Range<usize>, writer: &mut BitWriter) -> Result<(), Malformed> {
    let mut reader = BitReader::new(CONFIG, asc);
    reader.skip(bits.start)?;
    for _ in bits {
        writer.flag(reader.flag()?);
    }
    Ok(())
}

/// Holds the fields of GASpecificConfig (4.4.1).
struct General {
    channels: u8,
    frame_length: u32,
}

impl General {
    fn parse(reader: &mut BitReader<'_>, core: u8, configuration: u8) -> Result<Self, Malformed> {
        let low_delay = match core {
            1..=4 => false,
            23 => true,
            _ => {
                let field = OBJECT_TYPE;
                return Err(Malformed::Unsupported { what: CONFIG, field, value: core.into() });
            }
        };
        let short = reader.flag()?;
        let frame_length = match (low_delay, short) {
            (false, false) => 1024,
            (false, true) => 960,
            (true, false) => 512,
            (true, true) => 480,
        };
        if reader.flag()? {
            reader.skip(14)?; // coreCoderDelay
        }
        let extension = reader.flag()?;
        let channels = match configuration {
            0 => program_config_channels(reader)?,
            1..=6 => configuration,
            7 | 12 | 14 => 8,
            11 => 7,
            _ => {
                let field = "channelConfiguration";
                return Err(Malformed::OutOfRange { what: CONFIG, field, value: configuration.into() });
            }
        };
        if extension {
            if low_delay {
                reader.skip(3)?; // error resilience flags
            }
            reader.skip(1)?; // extensionFlag3
        }
        Ok(Self { channels, frame_length })
    }
}

/// Reads a program_config_element (4.4.1.1). Returns how many channels its elements carry.
fn program_config_channels(reader: &mut BitReader<'_>) -> Result<u8, Malformed> {
    reader.skip(4 + 2 + 4)?; // element_instance_tag, object_type, sampling_frequency_index
    let [front, side, back] = [reader.bits(4)?, reader.bits(4)?, reader.bits(4)?];
    let low_frequency = reader.bits(2)?;
    let [data, coupling] = [reader.bits(3)?, reader.bits(4)?];
    for mixdown_bits in [4, 4, 3] {
        // The mono, stereo and matrix mixdowns follow, each after its flag.
        if reader.flag()? {
            reader.skip(mixdown_bits)?;
        }
    }
    let mut channels = low_frequency;
    for _ in 0..front + side + back {
        channels += 1 + reader.bits(1)?; // is_cpe: a pair
        reader.skip(4)?;
    }
    reader.skip((low_frequency * 4 + data * 4 + coupling * 5) as usize)?;
    reader.align()?;
    let comment = reader.bits(8)? as usize;
    reader.skip(comment * 8)?;
    match u8::try_from(channels) {
        Ok(channels) if channels > 0 => Ok(channels),
        _ => Err(Malformed::OutOfRange { what: CONFIG, field: "channels", value: channels.into() }),
    }
}

/// Returns the output rate of SBR, and whether PS makes it stereo. An error means that the bytes ended: nothing was
/// signalled.
fn sync_extension(reader: &mut BitReader<'_>) -> Result<(Option<u32>, bool), Malformed> {
    if reader.bits(11)? != 0x2b7 || object_type(reader)? != SBR || !reader.flag()? {
        return Ok((None, false));
    }
    let rate = sampling_frequency(reader)?;
    let parametric = reader.remaining() >= 12 && reader.bits(11)? == 0x548 && reader.flag()?;
    Ok((Some(rate), parametric))
}
