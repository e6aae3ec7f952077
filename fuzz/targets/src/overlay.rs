//! A file that a host sends as an overlay: what is decoded fits the limits, and the canvas that it is fitted to.

use bytes::Bytes;
use onmic_mixer::scene::{Image, Size};

const CANVAS: Size = Size { width: 1280, height: 720 };

/// Takes one input.
pub fn run(data: &[u8]) {
    let file = Bytes::copy_from_slice(data);
    let Ok(image) = Image::decode(file.clone()) else { return };
    let (width, height) = Image::measure(&file).expect("the header was read before");
    assert_eq!(image.pixel_bytes(), width as usize * height as usize * 4);
    let canvas = CANVAS.width as usize * CANVAS.height as usize * 4;
    assert!(image.fitted(CANVAS).pixel_bytes() <= canvas);
}
