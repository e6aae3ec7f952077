//! VP8 (RFC 7741): a descriptor with a 15-bit picture id in front of each fragment.

use onmic_media::Frame;

use super::Writer;

const EXTENDED: u8 = 0x80;
const START_OF_PARTITION: u8 = 0x10;
const HAS_PICTURE_ID: u8 = 0x80;
const LONG_PICTURE_ID: u16 = 0x8000;
const DESCRIPTOR: usize = 4;

#[derive(Debug, Default)]
pub(super) struct Vp8Packetizer {
    picture_id: u16,
}

impl Vp8Packetizer {
    pub(super) fn packetize(&mut self, frame: &Frame, out: &mut Writer) {
        let [high, low] = (self.picture_id | LONG_PICTURE_ID).to_be_bytes();
        let mut start = START_OF_PARTITION;
        for fragment in frame.payload.chunks(out.max() - DESCRIPTOR) {
            out.put(&[EXTENDED | start, HAS_PICTURE_ID, high, low]);
            out.put(fragment);
            out.close();
            start = 0;
        }
        self.picture_id = self.picture_id.wrapping_add(1) & !LONG_PICTURE_ID;
    }
}
