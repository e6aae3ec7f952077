//! VP9 (RFC 9628) without scalability, in non-flexible mode: one layer, each frame predicted from the one before.
//!
//! In this mode receivers need the layer indices with TL0PICIDX in every packet, and in the first packet of a keyframe
//! the scalability structure, which states that there is one layer. Without either, Chromium drops the frame.

use onmic_media::{Frame, Parameters};

use super::Writer;

const HAS_PICTURE_ID: u8 = 0x80;
const PREDICTED: u8 = 0x40;
const HAS_LAYERS: u8 = 0x20;
const BEGIN: u8 = 0x08;
const END: u8 = 0x04;
const HAS_STRUCTURE: u8 = 0x02;
const LONG_PICTURE_ID: u16 = 0x8000;
const DESCRIPTOR: usize = 5;
const STRUCTURE: usize = 8;

#[derive(Debug, Default)]
pub(super) struct Vp9Packetizer {
    picture_id: u16,
    tl0_picture: u8,
}

impl Vp9Packetizer {
    pub(super) fn packetize(&mut self, frame: &Frame, out: &mut Writer) {
        let structure = frame.keyframe.then(|| scalability_structure(&frame.parameters));
        let always = HAS_PICTURE_ID | HAS_LAYERS | if frame.keyframe { 0 } else { PREDICTED };
        let [high, low] = (self.picture_id | LONG_PICTURE_ID).to_be_bytes();
        let mut rest = &frame.payload[..];
        let mut first = true;
        while !rest.is_empty() {
            let structure = structure.as_ref().filter(|_| first).map_or(&[][..], |bytes| bytes);
            let (fragment, after) = rest.split_at(rest.len().min(out.max() - DESCRIPTOR - structure.len()));
            let mut flags = always;
            flags |= if first { BEGIN } else { 0 };
            flags |= if after.is_empty() { END } else { 0 };
            flags |= if structure.is_empty() { 0 } else { HAS_STRUCTURE };
            const ONE_LAYER: u8 = 0; // Temporal and spatial layer 0.
            out.put(&[flags, high, low, ONE_LAYER, self.tl0_picture]);
            out.put(structure);
            out.put(fragment);
            out.close();
            (rest, first) = (after, false);
        }
        self.picture_id = self.picture_id.wrapping_add(1) & !LONG_PICTURE_ID;
        self.tl0_picture = self.tl0_picture.wrapping_add(1);
    }
}

/// Describes one spatial layer with its size, and groups of one picture that refers to the one before.
fn scalability_structure(parameters: &Parameters) -> [u8; STRUCTURE] {
    const LAYERS_SIZE_GROUP: u8 = 0x10 | 0x08; // N_S 0, Y, G
    const PICTURES: u8 = 1;
    const ONE_REFERENCE: u8 = 1 << 2; // Temporal layer 0, no switch up, R 1
    const THE_ONE_BEFORE: u8 = 1;
    let (width, height) = parameters.resolution().unwrap_or((0, 0));
    let ([w1, w0], [h1, h0]) = ((width as u16).to_be_bytes(), (height as u16).to_be_bytes()); // At most 16384.
    [LAYERS_SIZE_GROUP, w1, w0, h1, h0, PICTURES, ONE_REFERENCE, THE_ONE_BEFORE]
}
