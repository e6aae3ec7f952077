//! Reads what a peer can carry beyond classic RTMP, and states what this server can (Enhanced RTMP v2, "Enhancing
//! NetConnection connect Command").

use onmic_media::Codec;

use super::amf::Value;

/// The FourCCs of the codecs that this server carries, in both directions.
const FOUR_CCS: [(&str, Codec); 6] = [
    ("avc1", Codec::H264),
    ("hvc1", Codec::H265),
    ("vp09", Codec::Vp9),
    ("av01", Codec::Av1),
    ("mp4a", Codec::Aac),
    ("Opus", Codec::Opus),
];

/// The bits of FourCcInfoMask: decodes, encodes, forwards.
const CAN_DECODE: u8 = 1;
const CAN_FORWARD: u8 = 4;

/// The bit of CapsExMask that says that several tracks of a kind may come.
const MULTITRACK: u8 = 2;

/// Holds the codecs that a peer can receive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Whether the peer stated any capability of enhanced RTMP.
    pub enhanced: bool,
    /// The codecs that it can take. H.264 and AAC are always among them.
    pub codecs: Vec<Codec>,
}

impl Default for Capabilities {
    fn default() -> Self {
        Self { enhanced: false, codecs: vec![Codec::H264, Codec::Aac] }
    }
}

impl Capabilities {
    /// Reads the command object of a connect.
    pub fn parse(connect: &Value) -> Self {
        let mut capabilities = Self::default();
        if let Some(list) = connect.get("fourCcList") {
            capabilities.enhanced = true;
            list.items().iter().filter_map(Value::as_str).for_each(|code| capabilities.add(code));
        }
        for map in ["videoFourCcInfoMap", "audioFourCcInfoMap"] {
            let Some(map) = connect.get(map) else { continue };
            capabilities.enhanced = true;
            for (code, mask) in map.properties() {
                let mask = mask.as_number().unwrap_or(0.0) as u8;
                if mask & (CAN_DECODE | CAN_FORWARD) != 0 {
                    capabilities.add(code);
                }
            }
        }
        capabilities.enhanced |= connect.get("capsEx").is_some();
        capabilities
    }

    /// Returns whether the peer can take this codec.
    pub fn takes(&self, codec: Codec) -> bool {
        self.codecs.contains(&codec)
    }

    /// Returns the members to add to the result of the connect. A classic peer gets none.
    pub fn answer(&self) -> Vec<(String, Value)> {
        if !self.enhanced {
            return Vec::new();
        }
        let codes = |wanted: fn(Codec) -> bool| {
            FOUR_CCS.into_iter().filter(move |entry| wanted(entry.1)).map(|entry| entry.0.to_owned())
        };
        let map = |wanted| Value::Object(codes(wanted).map(|code| (code, Value::Number(CAN_FORWARD.into()))).collect());
        let list = Value::StrictArray(codes(|_| true).map(Value::String).collect());
        vec![
            ("fourCcList".to_owned(), list),
            ("videoFourCcInfoMap".to_owned(), map(|codec| codec.kind() == onmic_media::MediaKind::Video)),
            ("audioFourCcInfoMap".to_owned(), map(|codec| codec.kind() == onmic_media::MediaKind::Audio)),
            ("capsEx".to_owned(), Value::Number(MULTITRACK.into())), // No reconnect request, modifiers or timestamp offsets.
        ]
    }

    fn add(&mut self, code: &str) {
        for (known, codec) in FOUR_CCS {
            if (code == known || code == "*") && !self.codecs.contains(&codec) {
                self.codecs.push(codec);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_classic_peer_takes_h264_and_aac_and_gets_no_capabilities() {
        let capabilities = Capabilities::parse(&Value::object([("app", Value::text("live"))]));
        assert_eq!(capabilities, Capabilities::default());
        assert!(capabilities.answer().is_empty());
    }

    #[test]
    fn lists_and_maps_add_codecs() {
        let list = Value::StrictArray(vec![Value::text("hvc1"), Value::text("zzzz")]);
        let map = Value::object([("Opus", Value::Number(5.0)), ("flac", Value::Number(7.0))]);
        let encodes_only = Value::object([("av01", Value::Number(2.0))]);
        let connect =
            Value::object([("fourCcList", list), ("audioFourCcInfoMap", map), ("videoFourCcInfoMap", encodes_only)]);
        let capabilities = Capabilities::parse(&connect);
        assert_eq!(capabilities.codecs, [Codec::H264, Codec::Aac, Codec::H265, Codec::Opus]);
        let any = Capabilities::parse(&Value::object([("fourCcList", Value::StrictArray(vec![Value::text("*")]))]));
        assert!(any.takes(Codec::Av1) && any.takes(Codec::Vp9));
    }
}
