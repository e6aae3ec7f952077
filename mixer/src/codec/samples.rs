//! Brings samples into the forms that encoders and resamplers take.

use ffmpeg_next::ChannelLayout;
use ffmpeg_next::format::{Sample, sample};

use super::RawAudio;

/// Appends the samples of both channels in the form that an encoder with `channels` takes. One channel is the mean of
/// both.
pub(crate) fn interleave(left: &[f32], right: &[f32], channels: u16, out: &mut Vec<f32>) {
    let pairs = left.iter().zip(right);
    match channels {
        1 => out.extend(pairs.map(|(left, right)| (left + right) / 2.0)),
        _ => out.extend(pairs.flat_map(|(left, right)| [*left, *right])),
    }
}

/// Returns a block of interleaved samples in the form that FFmpeg takes.
pub(crate) fn packed(interleaved: &[f32], sample_rate: u32, channels: u16) -> RawAudio {
    let layout = ChannelLayout::default(i32::from(channels));
    let count = interleaved.len() / usize::from(channels.max(1));
    let mut block = RawAudio::new(Sample::F32(sample::Type::Packed), count, layout);
    block.set_rate(sample_rate);
    let bytes = block.data_mut(0).chunks_exact_mut(4);
    bytes.zip(interleaved).for_each(|(to, from)| to.copy_from_slice(&from.to_ne_bytes()));
    block
}
