//! Opus: the identification header (RFC 7845, 5.1), `dOps`, and the duration of a packet (RFC 6716, 3.1).

use super::Malformed;
use bytes::{BufMut, Bytes, BytesMut};

/// The rate at which a decoder puts out samples, whatever rate the encoder took in.
pub const SAMPLE_RATE: u32 = 48_000;

/// The longest packet in samples: 120 ms (RFC 6716, 3.2.5, requirement R5).
const LONGEST_PACKET: u32 = 5_760;

const HEAD: &str = "OpusHead";
const BOX: &str = "dOps";

/// Holds the parameters that a decoder must know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// The number of output channels.
    pub channels: u8,
    /// The number of samples at 48 kHz to drop at the start.
    pub pre_skip: u16,
    /// The sample rate that the encoder took in, for information. It is 0 if it is unknown.
    pub input_sample_rate: u32,
    /// The gain that a decoder applies, in 1/256 dB.
    pub output_gain: i16,
    /// Family 0 (mono and stereo) has no mapping. Other families state how streams map to channels.
    pub mapping: Option<Mapping>,
}

/// Holds the channel mapping table (RFC 7845, 5.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The mapping family: 1 is Vorbis order, 255 undefined.
    pub family: u8,
    /// The number of Opus streams in a packet.
    pub streams: u8,
    /// How many of the streams are stereo.
    pub coupled: u8,
    /// The table, with one entry per output channel.
    pub table: Bytes,
}

impl Parameters {
    /// Makes parameters of mono or stereo as in WebRTC: without pre-skip and gain.
    pub fn new(channels: u8) -> Self {
        let channels = channels.clamp(1, 2);
        Self { channels, pre_skip: 0, input_sample_rate: SAMPLE_RATE, output_gain: 0, mapping: None }
    }

    /// Parses an `OpusHead` identification header.
    pub fn from_opus_head(header: &[u8]) -> Result<Self, Malformed> {
        let body = header.strip_prefix(b"OpusHead").ok_or(Malformed::Missing { what: HEAD, field: "signature" })?;
        let fields: &[u8; 10] = body.first_chunk().ok_or(Malformed::Truncated { what: HEAD })?;
        // Only the upper half of the version breaks compatibility.
        if fields[0] >> 4 != 0 {
            return Err(Malformed::Unsupported { what: HEAD, field: "version", value: fields[0].into() });
        }
        let numbers = (
            u16::from_le_bytes([fields[2], fields[3]]),
            u32::from_le_bytes([fields[4], fields[5], fields[6], fields[7]]),
            i16::from_le_bytes([fields[8], fields[9]]),
        );
        Self::from_fields(HEAD, fields[1], numbers, &body[10..])
    }

    /// Parses the body of a `dOps` box.
    pub fn from_dops(body: &[u8]) -> Result<Self, Malformed> {
        let fields: &[u8; 10] = body.first_chunk().ok_or(Malformed::Truncated { what: BOX })?;
        if fields[0] != 0 {
            return Err(Malformed::Unsupported { what: BOX, field: "version", value: fields[0].into() });
        }
        let numbers = (
            u16::from_be_bytes([fields[2], fields[3]]),
            u32::from_be_bytes([fields[4], fields[5], fields[6], fields[7]]),
            i16::from_be_bytes([fields[8], fields[9]]),
        );
        Self::from_fields(BOX, fields[1], numbers, &body[10..])
    }

    /// Returns whether a packet is one stream of mono or stereo, so that a decoder needs no mapping, which only files and
    /// Enhanced RTMP state. The several streams of surround in one packet are noise to others.
    pub fn is_widely_decoded(&self) -> bool {
        self.channels <= 2 && self.mapping.as_ref().is_none_or(|mapping| mapping.streams == 1)
    }

    fn from_fields(
        what: &'static str,
        channels: u8,
        (pre_skip, input_sample_rate, output_gain): (u16, u32, i16),
        rest: &[u8],
    ) -> Result<Self, Malformed> {
        let (&family, rest) = rest.split_first().ok_or(Malformed::Truncated { what })?;
        let most = if family == 0 { 2 } else { 255 };
        if channels == 0 || channels > most {
            return Err(Malformed::OutOfRange { what, field: "channels", value: channels.into() });
        }
        let mapping = if family == 0 { None } else { Some(Mapping::parse(what, family, channels, rest)?) };
        Ok(Self { channels, pre_skip, input_sample_rate, output_gain, mapping })
    }

    /// Returns the `OpusHead` identification header.
    pub fn opus_head(&self) -> Bytes {
        let mut header = BytesMut::with_capacity(32);
        header.put_slice(b"OpusHead");
        header.put_slice(&[1, self.channels]);
        header.put_u16_le(self.pre_skip);
        header.put_u32_le(self.input_sample_rate);
        header.put_i16_le(self.output_gain);
        self.put_mapping(&mut header);
        header.freeze()
    }

    /// Returns the body of a `dOps` box.
    pub fn dops(&self) -> Bytes {
        let mut body = BytesMut::with_capacity(32);
        body.put_slice(&[0, self.channels]);
        body.put_u16(self.pre_skip);
        body.put_u32(self.input_sample_rate);
        body.put_i16(self.output_gain);
        self.put_mapping(&mut body);
        body.freeze()
    }

    fn put_mapping(&self, out: &mut BytesMut) {
        match &self.mapping {
            None => out.put_u8(0),
            Some(mapping) => {
                out.put_slice(&[mapping.family, mapping.streams, mapping.coupled]);
                out.put_slice(&mapping.table);
            }
        }
    }
}

impl Mapping {
    fn parse(what: &'static str, family: u8, channels: u8, rest: &[u8]) -> Result<Self, Malformed> {
        let truncated = Malformed::Truncated { what };
        let (&[streams, coupled], rest) = rest.split_first_chunk().ok_or(truncated.clone())?;
        let table = rest.get(..usize::from(channels)).ok_or(truncated)?;
        if streams == 0 || coupled > streams || u16::from(streams) + u16::from(coupled) > 255 {
            return Err(Malformed::OutOfRange { what, field: "stream count", value: streams.into() });
        }
        let decoded = streams + coupled;
        if let Some(&entry) = table.iter().find(|&&entry| entry != 255 && entry >= decoded) {
            return Err(Malformed::OutOfRange { what, field: "channel mapping", value: entry.into() });
        }
        Ok(Self { family, streams, coupled, table: Bytes::copy_from_slice(table) })
    }
}

/// Returns the number of samples at 48 kHz that a packet decodes to, or `None` for an empty or impossible packet.
pub fn packet_duration(packet: &[u8]) -> Option<u32> {
    let (&toc, rest) = packet.split_first()?;
    let frame = match toc >> 3 {
        config @ 0..=11 => [480, 960, 1920, 2880][usize::from(config % 4)], // SILK
        config @ 12..=15 => [480, 960][usize::from(config % 2)],            // Hybrid
        config => [120, 240, 480, 960][usize::from(config % 4)],            // CELT
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(rest.first()? & 0x3f),
    };
    let duration = frame * frames;
    (1..=LONGEST_PACKET).contains(&duration).then_some(duration)
}

/// Returns whether the packet is coded in stereo.
pub fn packet_is_stereo(packet: &[u8]) -> bool {
    packet.first().is_some_and(|toc| toc & 4 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_round_trip() {
        let stereo = Parameters { pre_skip: 312, input_sample_rate: 44_100, output_gain: -5, ..Parameters::new(2) };
        let table = Bytes::from_static(&[0, 4, 1, 2, 3, 5]);
        let mapping = Mapping { family: 1, streams: 4, coupled: 2, table };
        let surround = Parameters { channels: 6, mapping: Some(mapping), ..stereo.clone() };
        for parameters in [stereo, surround, Parameters::new(1)] {
            assert_eq!(Parameters::from_opus_head(&parameters.opus_head()), Ok(parameters.clone()));
            assert_eq!(Parameters::from_dops(&parameters.dops()), Ok(parameters));
        }
    }

    #[test]
    fn several_streams_in_a_packet_are_not_widely_decoded() {
        let mapped = |channels: u8, family, streams, coupled| {
            let mapping = Mapping { family, streams, coupled, table: (0..channels).collect() };
            Parameters { channels, mapping: Some(mapping), ..Parameters::new(2) }.is_widely_decoded()
        };
        assert!(Parameters::new(1).is_widely_decoded() && Parameters::new(2).is_widely_decoded());
        assert!(mapped(1, 1, 1, 0) && mapped(2, 1, 1, 1) && mapped(2, 255, 1, 1), "one stream");
        assert!(!mapped(6, 1, 4, 2) && !mapped(8, 1, 5, 3) && !mapped(2, 255, 2, 0) && !mapped(3, 255, 1, 1));
    }

    #[test]
    fn impossible_headers_are_refused() {
        let head = Parameters::new(2).opus_head();
        (0..head.len()).for_each(|end| assert!(Parameters::from_opus_head(&head[..end]).is_err()));
        let mut three = head.to_vec();
        three[9] = 3;
        assert!(Parameters::from_opus_head(&three).is_err());
    }

    #[test]
    fn durations_follow_the_first_byte() {
        assert_eq!(packet_duration(&[0xfc, 0xff, 0xfe]), Some(960)); // CELT 20 ms, one frame
        assert_eq!(packet_duration(&[31 << 3 | 1, 0]), Some(1920));
        assert_eq!(packet_duration(&[28 << 3 | 3, 6]), Some(720)); // six of 2.5 ms
        assert_eq!(packet_duration(&[3 << 3]), Some(2880)); // SILK 60 ms
        assert_eq!(packet_duration(&[13 << 3]), Some(960)); // Hybrid 20 ms
        assert_eq!(packet_duration(&[3 << 3 | 3, 3]), None); // 180 ms
        assert_eq!(packet_duration(&[3]), None);
        assert_eq!(packet_duration(&[]), None);
    }
}
