//! Video messages one after another through one reader. Each is 16 bits of length, then a body.

use bytes::Bytes;
use onmic_media::flv::{Reader, VIDEO_RENDITIONS_MAX, VideoTag, write_video_config};

/// Takes one input.
pub fn run(data: &[u8]) {
    let mut reader = Reader::new();
    let mut rest = Bytes::copy_from_slice(data);
    while let Some(&length) = rest.first_chunk() {
        let body = rest.split_off(2);
        let length = usize::from(u16::from_be_bytes(length)).min(body.len());
        rest = body.slice(length..);
        let main = reader.parse_video(body.slice(..length));
        let further = std::iter::from_fn(|| reader.next_further()).map(|(rendition, tag)| {
            assert!((1..VIDEO_RENDITIONS_MAX).contains(&usize::from(rendition.0)));
            tag
        });
        for tag in further.chain([main]) {
            match tag {
                Ok(VideoTag::Config(parameters)) => assert!(!write_video_config(&parameters).is_empty()),
                Ok(VideoTag::Frame { payload, .. }) => assert!(!payload.is_empty()),
                _ => {}
            }
        }
    }
}
