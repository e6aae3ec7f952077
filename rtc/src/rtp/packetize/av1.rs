//! AV1 (RTP Payload Format for AV1, v1.0): OBUs without sizes behind an aggregation header.
//!
//! A packet holds up to three elements. The last has no length, so that a packet can be filled to the byte. Temporal
//! delimiters and tile lists are not sent.

use onmic_media::codec::av1::{Obu, obus};
use onmic_media::{Frame, Parameters};

use super::Writer;

const CONTINUES: u8 = 0x80; // Z: the first element continues the last of the packet before.
const TO_BE_CONTINUED: u8 = 0x40; // Y
const NEW_SEQUENCE: u8 = 0x08; // N
const COUNT_SHIFT: u8 = 4; // W
const MOST_ELEMENTS: usize = 3;
const HAS_SIZE: u8 = 0x02;
const HAS_EXTENSION: u8 = 0x04;
const SEQUENCE_HEADER: u8 = 1;
const TEMPORAL_DELIMITER: u8 = 2;
const TILE_LIST: u8 = 8;

/// An OBU as it is sent: its header without the size flag, and its payload.
struct Element<'a> {
    header: [u8; 2],
    header_bytes: usize,
    payload: &'a [u8],
}

impl<'a> Element<'a> {
    fn new(data: &'a [u8], obu: &Obu) -> Self {
        let first = data[obu.whole.start];
        let extended = first & HAS_EXTENSION != 0;
        let extension = if extended { data[obu.whole.start + 1] } else { 0 };
        let header_bytes = 1 + usize::from(extended);
        Self { header: [first & !HAS_SIZE, extension], header_bytes, payload: &data[obu.payload.clone()] }
    }

    fn len(&self) -> usize {
        self.header_bytes + self.payload.len()
    }

    fn put(&self, from: usize, to: usize, out: &mut Writer) {
        let header = &self.header[..self.header_bytes];
        out.put(&header[from.min(header.len())..to.min(header.len())]);
        let in_payload = |position: usize| position.saturating_sub(self.header_bytes);
        out.put(&self.payload[in_payload(from)..in_payload(to)]);
    }
}

pub(super) fn packetize(frame: &Frame, out: &mut Writer) {
    let sent = |obu: &Obu| !matches!(obu.kind, TEMPORAL_DELIMITER | TILE_LIST);
    let in_band = obus(&frame.payload).any(|obu| obu.kind == SEQUENCE_HEADER);
    let config = match &*frame.parameters {
        Parameters::Av1(av1) if frame.keyframe && !in_band => &av1.config_obus[..],
        _ => &[],
    };
    let elements = |data| obus(data).filter(sent).map(move |obu| Element::new(data, &obu));
    let elements: Vec<Element<'_>> = elements(config).chain(elements(&frame.payload)).collect();

    let mut position = Position { element: 0, offset: 0 };
    let mut new_sequence = if frame.keyframe { NEW_SEQUENCE } else { 0 };
    while position.element < elements.len() {
        let end = fill(&elements, position, out.max());
        put_packet(&elements, position, end, new_sequence, out);
        (position, new_sequence) = (end, 0);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Position {
    element: usize,
    offset: usize,
}

/// Returns the position at which a packet that begins at `start` is full.
fn fill(elements: &[Element<'_>], start: Position, max: usize) -> Position {
    let mut room = max - 1; // The aggregation header takes one byte.
    let mut at = start;
    for _ in 0..MOST_ELEMENTS {
        let Some(element) = elements.get(at.element) else { break };
        let left = element.len() - at.offset;
        if left > room {
            return Position { element: at.element, offset: at.offset + room };
        }
        at = Position { element: at.element + 1, offset: 0 };
        // If another element follows, this one needs its length, and the other must get at least two bytes to be worth
        // it.
        let Some(after) = room.checked_sub(left + leb128_bytes(left)).filter(|room| *room >= 2) else { break };
        room = after;
    }
    at
}

fn put_packet(elements: &[Element<'_>], start: Position, end: Position, new_sequence: u8, out: &mut Writer) {
    let last = if end.offset > 0 { end.element } else { end.element - 1 };
    let mut header = new_sequence | ((last - start.element + 1) as u8) << COUNT_SHIFT;
    header |= if start.offset > 0 { CONTINUES } else { 0 };
    header |= if end.offset > 0 { TO_BE_CONTINUED } else { 0 };
    out.put(&[header]);
    for (index, element) in elements.iter().enumerate().take(last + 1).skip(start.element) {
        let from = if index == start.element { start.offset } else { 0 };
        let to = if index == end.element { end.offset } else { element.len() };
        if index < last {
            put_leb128(to - from, out);
        }
        element.put(from, to, out);
    }
    out.close();
}

fn leb128_bytes(value: usize) -> usize {
    let bits = usize::BITS - value.leading_zeros();
    bits.div_ceil(7).max(1) as usize
}

fn put_leb128(mut value: usize, out: &mut Writer) {
    while value >= 0x80 {
        out.put(&[value as u8 | 0x80]);
        value >>= 7;
    }
    out.put(&[value as u8]);
}
