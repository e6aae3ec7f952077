//! One CMAF chunk: `prft` (the program clock), `moof`, and an `mdat` whose header is written and whose payloads are chained.

use bytes::Bytes;
use mp4_atom::{Encode, Moof, Prft, ReferenceTime, Tfdt, Tfhd, Traf, Trun, TrunEntry, TrunSamples};
use onmic_media::WallTime;

use crate::chain::Chain;
use crate::error::PackagerError;
use crate::init::TRACK_ID;

/// `sample_depends_on` 2: on no other.
const FLAGS_SYNC: u32 = 0x0200_0000;
/// `sample_depends_on` 1 and `sample_is_non_sync_sample`.
const FLAGS_OTHER: u32 = 0x0101_0000;

const MDAT_HEADER: usize = 8;

/// One frame with its place on the file's timeline.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) duration: u32,
    pub(crate) composition: i64,
    pub(crate) keyframe: bool,
    pub(crate) payload: Bytes,
}

/// The chunk of `samples`, the first of which is decoded at `start` and was `wall` on the program clock.
pub(crate) fn fragment(
    sequence: u32,
    start: u64,
    wall: WallTime,
    samples: Vec<Sample>,
) -> Result<Chain, PackagerError> {
    let first_composition = samples.first().map_or(0, |sample| sample.composition);
    let prft = Prft {
        reference_track_id: TRACK_ID,
        ntp_timestamp: wall.ntp(),
        media_time: start.saturating_add_signed(first_composition),
        utc_time_semantics: ReferenceTime::RealTime,
    };
    let payload: usize = samples.iter().map(|sample| sample.payload.len()).sum();
    let mdat_size = u32::try_from(payload + MDAT_HEADER).map_err(|_| PackagerError::TooLarge(payload))?;
    let mut head = Vec::with_capacity(192 + samples.len() * 16);
    prft.encode(&mut head)?;
    let moof_start = head.len();
    let mut moof = moof(sequence, start, &samples);
    moof.encode(&mut head)?;
    // The offset from the moof to the payload is known once the moof is; its size does not depend on it.
    let offset = head.len() - moof_start + MDAT_HEADER;
    moof.traf[0].trun[0].data_offset = Some(offset as i32);
    head.truncate(moof_start);
    moof.encode(&mut head)?;
    head.extend_from_slice(&mdat_size.to_be_bytes());
    head.extend_from_slice(b"mdat");
    let mut chain = Chain::from(Bytes::from(head));
    samples.into_iter().for_each(|sample| chain.push(sample.payload));
    Ok(chain)
}

fn moof(sequence: u32, start: u64, samples: &[Sample]) -> Moof {
    let only_first = samples.iter().skip(1).all(|sample| !sample.keyframe);
    let all = samples.iter().all(|sample| sample.keyframe);
    let composed = samples.iter().any(|sample| sample.composition != 0);
    let entry = |(index, sample): (usize, &Sample)| TrunEntry {
        duration: Some(sample.duration),
        size: Some(sample.payload.len() as u32),
        flags: match (all, only_first) {
            (true, _) => None,
            (_, true) => (index == 0 && sample.keyframe).then_some(FLAGS_SYNC),
            _ => Some(if sample.keyframe { FLAGS_SYNC } else { FLAGS_OTHER }),
        },
        cts: composed.then_some(sample.composition),
    };
    let trun =
        Trun { data_offset: Some(0), samples: TrunSamples::Explicit(samples.iter().enumerate().map(entry).collect()) };
    let tfhd = Tfhd {
        track_id: TRACK_ID,
        default_sample_flags: Some(if all { FLAGS_SYNC } else { FLAGS_OTHER }),
        default_base_is_moof: true,
        ..Default::default()
    };
    let traf =
        Traf { tfhd, tfdt: Some(Tfdt { base_media_decode_time: start }), trun: vec![trun], ..Default::default() };
    Moof { mfhd: mp4_atom::Mfhd { sequence_number: sequence }, traf: vec![traf] }
}
