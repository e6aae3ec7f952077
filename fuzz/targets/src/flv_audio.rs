//! Audio messages one after another through one reader. Each is 16 bits of length, then a body.

use bytes::Bytes;
use onmic_media::flv::{AudioTag, Reader, write_audio_config};

/// Takes one input.
pub fn run(data: &[u8]) {
    let mut reader = Reader::new();
    let mut rest = Bytes::copy_from_slice(data);
    while let Some(&length) = rest.first_chunk() {
        let body = rest.split_off(2);
        let length = usize::from(u16::from_be_bytes(length)).min(body.len());
        rest = body.slice(length..);
        match reader.parse_audio(body.slice(..length)) {
            Ok(AudioTag::Config(parameters)) => assert!(!write_audio_config(&parameters).is_empty()),
            Ok(AudioTag::Frame { payload, .. }) => assert!(!payload.is_empty()),
            _ => {}
        }
    }
}
