//! What a publisher sends, as FFmpeg decodes it: a configuration record, then frames.
//!
//! The first byte gives the codec. The first piece is its record (for VP8 and VP9 a keyframe), and each piece after it is
//! one frame. A frame that cannot be decoded costs itself, and what comes out is within the limits.

use onmic_media::codec::{aac, av1, h264, h265, opus, vp8, vp9};
use onmic_media::{Codec, Parameters};
use onmic_mixer::codec::decode::{AudioDecoder, VideoDecoder};
use onmic_mixer::codec::picture::Picture;

use crate::Input;

const CODECS: [Codec; 7] = [Codec::H264, Codec::H265, Codec::Vp8, Codec::Vp9, Codec::Av1, Codec::Aac, Codec::Opus];

/// Takes one input.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let Some(first) = input.byte() else { return };
    let codec = CODECS[usize::from(first) % CODECS.len()];
    let Some(parameters) = parameters(codec, &mut input) else { return };
    match codec {
        Codec::Aac | Codec::Opus => audio(&parameters, &mut input),
        _ => video(&parameters, &mut input),
    }
}

fn parameters(codec: Codec, input: &mut Input<'_>) -> Option<Parameters> {
    let record = input.piece()?;
    Some(match codec {
        Codec::H264 => Parameters::H264(h264::Parameters::from_avcc(record).ok()?.0),
        Codec::H265 => Parameters::H265(h265::Parameters::from_hvcc(record).ok()?.0),
        Codec::Vp8 => Parameters::Vp8(vp8::Parameters::from_keyframe(record).ok()?),
        Codec::Vp9 => Parameters::Vp9(vp9::Parameters::from_keyframe(record).ok()?),
        Codec::Av1 => Parameters::Av1(av1::Parameters::from_av1c(record).ok()?),
        Codec::Aac => Parameters::Aac(aac::Parameters::from_asc(record).ok()?),
        Codec::Opus => Parameters::Opus(opus::Parameters::from_opus_head(record).ok()?),
        Codec::Metadata => return None,
    })
}

fn video(parameters: &Parameters, input: &mut Input<'_>) {
    let Ok(mut decoder) = VideoDecoder::open(parameters) else { return };
    let mut ordinal = 0;
    while let Some(payload) = input.piece() {
        if decoder.send(payload, ordinal).is_err() {
            decoder.flush();
        }
        ordinal += 1;
        while let Ok(Some(picture)) = decoder.receive() {
            let _ = Picture::of(&picture).inspect(|form| assert!(form.pixels() <= 4096 * 2304));
        }
    }
    decoder.finish();
    while let Ok(Some(_)) = decoder.receive() {}
}

fn audio(parameters: &Parameters, input: &mut Input<'_>) {
    let Ok(mut decoder) = AudioDecoder::open(parameters) else { return };
    while let Some(payload) = input.piece() {
        if decoder.send(payload).is_err() {
            decoder.flush();
        }
        while let Ok(Some(samples)) = decoder.receive() {
            assert!(samples.samples() <= 1 << 16);
        }
    }
}
