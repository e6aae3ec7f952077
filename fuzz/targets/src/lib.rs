//! The fuzz targets: a module for each, whose `run` takes one input and panics if a promise about it is broken.
//!
//! libFuzzer calls them from `fuzz/fuzz_targets/`, and the tests below call them with every seed. The rest of this file
//! is shared by targets that simulate conversations: the parsing of their input, and the track that frames end on.

pub mod aac;
pub mod amf;
pub mod av1;
pub mod avcc;
pub mod decode;
pub mod fec;
pub mod flv_audio;
pub mod flv_video;
pub mod frames;
pub mod h264_sps;
pub mod h265_sps;
pub mod hls_query;
pub mod hvcc;
pub mod names;
pub mod overlay;
pub mod pair;
pub mod peer_check;
pub mod peer_datagram;
pub mod peer_handshake;
pub mod red;
pub mod rtc_framing;
pub mod rtcp;
pub mod rtmp_chunk;
pub mod rtmp_session;
pub mod rtp_receive;
pub mod sdp_fragment;
pub mod sdp_offer;
pub mod srtp;

use std::time::{Duration, Instant, UNIX_EPOCH};

use onmic_media::codec::nal;
use onmic_media::{Arrival, Codec, Hub, NodeClock, Protocol, Publication};

// The macro that the binaries need names this crate, so they depend on it themselves.
#[cfg(feature = "libfuzzer")]
use libfuzzer_sys as _;

/// The input of a target, taken from its front. Every input has a meaning.
pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    /// Takes the next byte.
    pub fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    /// Takes the next two bytes as a number.
    pub fn number(&mut self) -> Option<u16> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u16::from_be_bytes(*bytes))
    }

    /// Takes 16 bits of length, then this many bytes, or all that are left.
    pub fn piece(&mut self) -> Option<&'a [u8]> {
        let length = usize::from(self.number()?).min(self.0.len());
        let (piece, rest) = self.0.split_at(length);
        self.0 = rest;
        Some(piece)
    }
}

/// A publication in a hub of its own.
pub struct Sink {
    publication: Publication,
    _hub: std::sync::Arc<Hub>,
}

impl Sink {
    /// Makes the publication of a publisher that began at `now`.
    pub fn new(now: Instant) -> Self {
        let hub = hub(now);
        let name = "room".parse().expect("a name");
        let publication = hub.publish(&name, Protocol::Rtmp, now).expect("the first publisher");
        Self { publication, _hub: hub }
    }

    /// Checks the promises about every frame, and pushes the frame on its track.
    pub fn push(&mut self, arrival: Arrival, now: Instant) {
        assert!(!arrival.payload.is_empty());
        if matches!(arrival.parameters.codec(), Codec::H264 | Codec::H265) {
            assert_eq!(nal::check(&arrival.payload, 4), Ok(()));
        }
        self.publication.push(arrival, now).expect("the only publisher");
    }
}

/// Makes an empty hub.
pub fn hub(now: Instant) -> std::sync::Arc<Hub> {
    Hub::new(NodeClock::new(now, UNIX_EPOCH + Duration::from_secs(1_795_000_000)), Default::default(), None)
}

/// A target: its name, and the function that takes one input.
pub type Target = (&'static str, fn(&[u8]));

/// All targets, by name.
pub const TARGETS: [Target; 27] = [
    ("aac", aac::run),
    ("amf", amf::run),
    ("av1", av1::run),
    ("avcc", avcc::run),
    ("decode", decode::run),
    ("fec", fec::run),
    ("flv_audio", flv_audio::run),
    ("flv_video", flv_video::run),
    ("frames", frames::run),
    ("h264_sps", h264_sps::run),
    ("h265_sps", h265_sps::run),
    ("hls_query", hls_query::run),
    ("hvcc", hvcc::run),
    ("names", names::run),
    ("overlay", overlay::run),
    ("peer_check", peer_check::run),
    ("peer_datagram", peer_datagram::run),
    ("peer_handshake", peer_handshake::run),
    ("red", red::run),
    ("rtc_framing", rtc_framing::run),
    ("rtcp", rtcp::run),
    ("rtmp_chunk", rtmp_chunk::run),
    ("rtmp_session", rtmp_session::run),
    ("rtp_receive", rtp_receive::run),
    ("sdp_fragment", sdp_fragment::run),
    ("sdp_offer", sdp_offer::run),
    ("srtp", srtp::run),
];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const FUZZ: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

    #[test]
    fn each_target_keeps_its_promises_for_each_of_its_seeds() {
        for (target, run) in TARGETS {
            let folder = Path::new(FUZZ).join("seeds").join(target);
            for seed in files_of(&folder) {
                eprintln!("{target}/{seed}"); // If a target panics, this is the last line before the panic.
                run(&std::fs::read(folder.join(seed)).unwrap());
            }
        }
    }

    #[test]
    fn each_target_has_seeds_and_a_binary_for_libfuzzer() {
        let targets = TARGETS.map(|(target, _)| target);
        assert_eq!(files_of(&Path::new(FUZZ).join("seeds")), targets);
        let binaries = targets.map(|target| format!("{target}.rs"));
        assert_eq!(files_of(&Path::new(FUZZ).join("fuzz_targets")), binaries);
        let manifest = std::fs::read_to_string(Path::new(FUZZ).join("Cargo.toml")).unwrap();
        for target in targets {
            assert!(manifest.contains(&format!("name = \"{target}\"\n")), "{target} is not in fuzz/Cargo.toml");
        }
    }

    fn files_of(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert!(!names.is_empty(), "{folder:?} is empty");
        names
    }
}
