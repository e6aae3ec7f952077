//! One CMAF chunk: `prft` (the date of its first sample), `emsg` (timed metadata), `moof`, and an `mdat` whose header is written
//! and whose payloads are chained.
//!
//! **The timeline of the files** is the program's, moved by [`ORIGIN_SECONDS`].

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use mp4_atom::{
    Emsg, EmsgTimestamp, Encode, Moof, Prft, ReferenceTime, Tfdt, Tfhd, Traf, Trun, TrunEntry, TrunSamples,
};
use onmic_media::{ClockRate, Date, Parameters};

use crate::chain::Chain;
use crate::error::PackagerError;
use crate::init::TRACK_ID;

/// The sample flags of a keyframe: `sample_depends_on` 2, it depends on no other sample.
const FLAGS_SYNC: u32 = 0x0200_0000;
/// The sample flags of other frames: `sample_depends_on` 1 and `sample_is_non_sync_sample`.
const FLAGS_OTHER: u32 = 0x0101_0000;

/// The event duration that means unknown (ISO/IEC 23009-1, 5.10.3.3.4).
const EVENT_DURATION_UNKNOWN: u32 = u32::MAX;

const MDAT_HEADER: usize = 8;

/// Where the zero of the program's timeline is in the files. shaka 5 shifts frames to a timeline of its own, which begins
/// near zero when it joins. It adds 1 ms to a negative shift, and shifts anew with a part if the shift in force differs by
/// 1 ms or more from the intended one. The frames after that are lost up to the next keyframe. So a shift that falls by
/// anything costs frames ([`crate::playlist`] sees to that), and for one that stays the rounding of a double decides. That
/// depends on the greatest power of two below the shift: none is lost from 2^24 to 2^25 s, which is 194 days. The hour is for
/// what the player's timeline has before the join. Without this, shaka showed a third of the frames if it joined in the 3rd
/// and 4th minute of a program, or between the 35th minute and the 9th hour.
pub const ORIGIN_SECONDS: u64 = (1 << 24) + 3600;

/// Places a time of the program's timeline on that of the files.
fn in_file(time: i64, rate: ClockRate) -> u64 {
    (ORIGIN_SECONDS * u64::from(rate.hz())).saturating_add_signed(time)
}

/// Is one frame with its place after the one before.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) duration: u32,
    pub(crate) composition: i64,
    pub(crate) keyframe: bool,
    pub(crate) payload: Bytes,
}

/// Is a message that belongs to a moment of the program's timeline.
#[derive(Debug)]
pub(crate) struct Event {
    /// The number of the message within its rendition. A receiver that gets a message twice recognises it by this
    /// number.
    pub(crate) id: u32,
    /// The presentation time on the program's timeline.
    pub(crate) pts: i64,
    pub(crate) parameters: Arc<Parameters>,
    pub(crate) message: Bytes,
}

impl Event {
    /// Writes the box of the message. Writes nothing for parameters of another kind.
    fn encode(self, rate: ClockRate, out: &mut Vec<u8>) -> Result<(), PackagerError> {
        let Parameters::Metadata(metadata) = &*self.parameters else { return Ok(()) };
        let emsg = Emsg {
            timescale: rate.hz(),
            presentation_time: EmsgTimestamp::Absolute(in_file(self.pts, rate)),
            event_duration: EVENT_DURATION_UNKNOWN,
            id: self.id,
            scheme_id_uri: metadata.scheme().to_owned(),
            value: metadata.value().to_owned(),
            message_data: self.message.to_vec(),
        };
        Ok(emsg.encode(out)?)
    }
}

/// Moves the decoding of the first of `samples` to its presentation. The others are decoded where they were, or right
/// after it. They fill `times`. Returns the new start of that range.
pub(crate) fn decode_when_shown(times: Range<i64>, samples: &mut [Sample]) -> i64 {
    let latest = times.end - samples.len() as i64;
    let start =
        samples.first().map_or(times.start, |first| times.start + first.composition.max(0).min(latest - times.start));
    let (mut was, mut least) = (times.start, start);
    let mut decoded: Vec<i64> = Vec::with_capacity(samples.len() + 1);
    for sample in samples.iter_mut() {
        let at = was.max(least);
        sample.composition += was - at;
        decoded.push(at);
        (was, least) = (was + i64::from(sample.duration), at + 1);
    }
    decoded.push(times.end);
    for (sample, at) in samples.iter_mut().zip(decoded.windows(2)) {
        sample.duration = (at[1] - at[0]).try_into().unwrap_or(u32::MAX);
    }
    start
}

/// Returns the chunk of `samples`. The first sample is decoded at `start`, which is shown on `date`.
/// `start` and the times of `events` are of the program's timeline, on a clock of `rate`.
pub(crate) fn fragment(
    sequence: u32,
    start: i64,
    date: Date,
    (events, rate): (Vec<Event>, ClockRate),
    samples: Vec<Sample>,
) -> Result<Chain, PackagerError> {
    let start = in_file(start, rate);
    let first_composition = samples.first().map_or(0, |sample| sample.composition);
    let prft = Prft {
        reference_track_id: TRACK_ID,
        ntp_timestamp: date.ntp(),
        media_time: start.saturating_add_signed(first_composition),
        utc_time_semantics: ReferenceTime::RealTime,
    };
    let payload: usize = samples.iter().map(|sample| sample.payload.len()).sum();
    let mdat_size = u32::try_from(payload + MDAT_HEADER).map_err(|_| PackagerError::TooLarge(payload))?;
    let mut head = Vec::with_capacity(192 + samples.len() * 16);
    prft.encode(&mut head)?;
    for event in events {
        event.encode(rate, &mut head)?;
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(composition: &[i64]) -> Vec<Sample> {
        let sample = |composition: &i64| Sample {
            duration: 3000,
            composition: *composition,
            keyframe: false,
            payload: Bytes::new(),
        };
        composition.iter().map(sample).collect()
    }

    /// Returns the decoding and presentation time of each sample.
    fn times(start: i64, samples: &[Sample]) -> Vec<(i64, i64)> {
        let mut at = start;
        let time = |sample: &Sample| {
            let decoded = at;
            at += i64::from(sample.duration);
            (decoded, decoded + sample.composition)
        };
        samples.iter().map(time).collect()
    }

    #[test]
    fn the_first_frame_is_decoded_when_it_is_shown_and_all_presentation_times_stay() {
        let mut reordered = samples(&[6000, 12_000, 3000, 3000, 6000]);
        let before = times(90_000, &reordered);
        let start = decode_when_shown(90_000..105_000, &mut reordered);
        let after = times(start, &reordered);
        assert_eq!(
            after,
            [(96_000, 96_000), (96_001, 105_000), (96_002, 99_000), (99_000, 102_000), (102_000, 108_000)]
        );
        assert!(before.iter().map(|time| time.1).eq(after.iter().map(|time| time.1)));
        let end: i64 = reordered.iter().map(|sample| i64::from(sample.duration)).sum();
        assert_eq!(start + end, 105_000);
    }

    #[test]
    fn frames_in_order_or_in_a_short_part_stay_within_its_time() {
        let mut in_order = samples(&[0, 0]);
        assert_eq!(decode_when_shown(0..6000, &mut in_order), 0);
        assert_eq!(times(0, &in_order), [(0, 0), (3000, 3000)]);
        let mut short = samples(&[9000, 9000]);
        assert_eq!(decode_when_shown(0..6000, &mut short), 5998);
        assert_eq!(times(5998, &short), [(5998, 9000), (5999, 12_000)]);
    }
}
