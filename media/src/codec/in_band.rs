//! What a stream's own payloads say: which of them is a frame, and the parameters that they bring (parameter sets, sequence
//! headers, keyframe headers, ADTS).
//!
//! Invariants: what comes out has a picture, if it is video. Units that came without one (SEI and AV1 metadata in tags or
//! packets of their own) wait, up to [`PENDING_BYTES_MAX`], and stand in front of the next picture. This is the one place that
//! learns parameters from a bitstream, for every protocol by which frames come in. A picture parameter set stays in force until
//! another of its number comes, or another sequence parameter set, so sets that take turns are not changes.
//!
//! A configuration that a protocol carries apart from the frames (RTMP's sequence header, `sprop-parameter-sets` in SDP) is a
//! hint: it is what [`InBand`] knows first, and it may be missing. Parameter sets are taken wherever they stand: in front of
//! a picture, in an access unit of their own, or one kind at a time. Unusable ones change nothing and stay in front of their
//! picture.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::bits::{BitReader, unescape_start};
use super::{Codec, Malformed, Parameters, UNITS_MAX, aac, av1, h264, h265, nal, opus, vp8, vp9};
use crate::drops::DropReason;

/// The most bytes of parameter sets that wait for those without which they are not complete, and of units that wait for a
/// picture. Real ones have under 1 KiB.
const PENDING_BYTES_MAX: usize = u16::MAX as usize;

/// The kinds of parameter sets: VPS, SPS and PPS.
const KINDS: usize = 3;
/// The kind of picture parameter sets.
const PPS: usize = 2;
/// The most of them at once, as a record of AVC has.
const PPS_MAX: usize = 255;

/// Learns the parameters of one stream from its frames.
#[derive(Debug)]
pub struct InBand {
    codec: Codec,
    parameters: Option<Arc<Parameters>>,
    /// VPS, SPS and PPS that came without the others.
    pending: [Vec<Bytes>; KINDS],
    /// Units that came without a picture, in canonical form, and in how many payloads they came.
    before_picture: BytesMut,
    payloads_before: u64,
}

/// States what a NAL unit is to the canonical form.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// A slice of a picture.
    Slice,
    /// Anything else that a decoder may use: SEI, the end of a sequence.
    Beside,
    /// A parameter set of this kind.
    Set(usize),
    /// A delimiter, filler, or a unit that is nothing but its header.
    Nothing,
    /// A unit that no decoder uses, and that a packet of RTP would be taken for something else with.
    Reserved,
}

impl InBand {
    /// Begins a stream of `codec` of which `known` is known beforehand. Opus describes itself: mono or stereo is assumed, which
    /// every decoder of it can tell apart.
    pub fn new(codec: Codec, known: Option<Arc<Parameters>>) -> Self {
        let opus = || (codec == Codec::Opus).then(|| Arc::new(Parameters::Opus(opus::Parameters::new(2))));
        let parameters = known.filter(|known| known.codec() == codec).or_else(opus);
        Self { codec, parameters, pending: Default::default(), before_picture: BytesMut::new(), payloads_before: 0 }
    }

    /// Returns the codec of the stream.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// Returns the parameters in force: the same `Arc` until they change. `None` while too little has come.
    pub fn parameters(&self) -> Option<&Arc<Parameters>> {
        self.parameters.as_ref()
    }

    /// Learns from the next payload, and returns the frame in it in canonical form: without parameter sets, delimiters, filler,
    /// reserved units or ADTS, and behind what came without a picture before. It is empty when the payload has no picture. Nothing is copied
    /// where what goes stands in front. A payload of more than [`UNITS_MAX`] units is refused.
    pub fn take(&mut self, payload: Bytes) -> Result<Bytes, Malformed> {
        let units = self.codec.units(&payload);
        if units > UNITS_MAX {
            return Err(Malformed::OutOfRange { what: "access unit", field: "number of units", value: units as u64 });
        }
        match self.codec {
            Codec::H264 | Codec::H265 => Ok(self.take_nal_units(payload)),
            Codec::Av1 => {
                let payload = av1::strip_temporal_delimiters(payload);
                self.adopt(av1::Parameters::from_access_unit(&payload).map(Parameters::Av1));
                let (is_picture, may_wait) = (av1::has_frame(&payload), av1::states_sizes(&payload));
                Ok(self.at_picture(payload, is_picture, may_wait))
            }
            Codec::Vp8 => {
                self.adopt(vp8::Parameters::from_keyframe(&payload).ok().map(Parameters::Vp8));
                Ok(payload)
            }
            Codec::Vp9 => {
                self.adopt(vp9::Parameters::from_keyframe(&payload).ok().map(Parameters::Vp9));
                Ok(payload)
            }
            Codec::Aac if aac::Adts::begins(&payload) => self.take_adts(&payload),
            Codec::Aac | Codec::Opus | Codec::Metadata => Ok(payload),
        }
    }

    fn take_nal_units(&mut self, payload: Bytes) -> Bytes {
        let codec = self.codec;
        let mut came: [Vec<&[u8]>; KINDS] = Default::default();
        let (mut plain, mut is_picture, mut reserved) = (true, false, 0);
        // A peer may send thousands of sets. Comparing each with all before it took seconds.
        let mut seen = HashSet::new();
        for unit in nal::nal_units(&payload) {
            match role(codec, unit) {
                Role::Slice => is_picture = true,
                Role::Beside => {}
                Role::Set(kind) => {
                    plain = false;
                    if seen.insert(unit) {
                        came[kind].push(unit);
                    }
                }
                Role::Nothing => plain = false,
                Role::Reserved => {
                    plain = false;
                    reserved += 1;
                }
            }
        }
        drop(seen);
        DropReason::UnitsReserved.count(reserved);
        if plain {
            return self.at_picture(payload, is_picture, true);
        }
        let learnt = self.learn(&came);
        let rest = nal::without(payload, |unit| match role(codec, unit) {
            Role::Slice | Role::Beside => false,
            Role::Set(_) => learnt,
            Role::Nothing | Role::Reserved => true,
        });
        self.at_picture(rest, is_picture, true)
    }

    /// Returns a picture behind the units that waited for it. Without a picture, the units of this payload wait, if they may
    /// and there is room, and nothing is returned.
    fn at_picture(&mut self, payload: Bytes, is_picture: bool, may_wait: bool) -> Bytes {
        if is_picture {
            if self.before_picture.is_empty() {
                return payload;
            }
            self.payloads_before = 0;
            let mut whole = std::mem::take(&mut self.before_picture);
            whole.extend_from_slice(&payload);
            return whole.freeze();
        }
        if may_wait && self.before_picture.len() + payload.len() <= PENDING_BYTES_MAX {
            self.before_picture.extend_from_slice(&payload);
            self.payloads_before += u64::from(!payload.is_empty());
        } else {
            DropReason::UnitsWithoutPicture.count(1);
        }
        Bytes::new()
    }

    /// Takes the parameter sets of one access unit, and returns whether they are usable. Kinds that did not come are those in
    /// force.
    fn learn(&mut self, came: &[Vec<&[u8]>; KINDS]) -> bool {
        if came.iter().all(Vec::is_empty) {
            return true;
        }
        let known: [&[Bytes]; KINDS] = match self.parameters.as_deref() {
            Some(Parameters::H264(known)) => [&[], &known.sps, &known.pps],
            Some(Parameters::H265(known)) => [&known.vps, &known.sps, &known.pps],
            _ => [&[]; KINDS],
        };
        let is_known = |kind: usize| came[kind].is_empty() || came[kind].iter().eq(known[kind].iter());
        let goes_on = self.parameters.is_some() && (0..PPS).all(is_known);
        if goes_on && came[PPS].iter().all(|set| known[PPS].iter().any(|known| known == set)) {
            return true; // As before, so they are not parsed again.
        }
        let mut others = if goes_on { self.others(&came[PPS], known[PPS]) } else { Vec::new() };
        let mut sets = std::mem::take(&mut self.pending);
        for ((sets, came), known) in sets.iter_mut().zip(came).zip(known) {
            if !came.is_empty() {
                // Copied: a slice would keep the whole keyframe alive for as long as the parameters are in force.
                *sets = came.iter().map(|set| Bytes::copy_from_slice(set)).collect();
            } else if sets.is_empty() {
                *sets = known.to_vec();
            }
        }
        others.append(&mut sets[PPS]);
        sets[PPS] = others;
        let [vps, sps, pps] = &sets;
        let complete = !sps.is_empty() && !pps.is_empty() && (self.codec == Codec::H264 || !vps.is_empty());
        if !complete {
            let fits = sets.iter().flatten().map(Bytes::len).sum::<usize>() <= PENDING_BYTES_MAX;
            if fits {
                self.pending = sets;
            }
            return fits;
        }
        let [vps, sps, pps] = sets;
        let parsed = match self.codec {
            Codec::H264 => h264::Parameters::from_parameter_sets(sps, pps).map(Parameters::H264),
            _ => h265::Parameters::from_parameter_sets(vps, sps, pps).map(Parameters::H265),
        };
        let usable = parsed.is_ok();
        self.adopt(parsed.ok());
        usable
    }

    /// Returns the picture parameter sets that stay in force beside those that came: the ones of other numbers, while there is room
    /// for all.
    fn others(&self, came: &[&[u8]], known: &[Bytes]) -> Vec<Bytes> {
        let number = |set: &[u8]| pps_number(self.codec, set);
        let numbers: HashSet<_> = came.iter().map(|set| number(set)).collect();
        let mut others: Vec<_> = known.iter().filter(|set| !numbers.contains(&number(set))).cloned().collect();
        let bytes = others.iter().map(Bytes::len).chain(came.iter().map(|set| set.len())).sum::<usize>();
        if others.len() + came.len() > PPS_MAX || bytes > PENDING_BYTES_MAX {
            others.clear();
        }
        others
    }

    /// Takes a frame of ADTS. A configuration that is known stays if the header does not contradict it: it says more (SBR, the
    /// order of channels).
    fn take_adts(&mut self, frame: &Bytes) -> Result<Bytes, Malformed> {
        let header = aac::Adts::parse(frame)?;
        if header.frame_length > frame.len() {
            return Err(Malformed::Truncated { what: "ADTS frame" });
        }
        let agrees = match self.parameters.as_deref() {
            Some(Parameters::Aac(known)) => header.agrees_with(known),
            _ => false,
        };
        if !agrees {
            self.adopt(header.parameters().ok().map(Parameters::Aac));
        }
        // A copy, because the message may have been of many frames (see `part::part`), and frames of ADTS have 8 KiB at most.
        Ok(Bytes::copy_from_slice(&frame[header.header_length..header.frame_length]))
    }

    fn adopt(&mut self, found: Option<Parameters>) {
        if let Some(found) = found
            && self.parameters.as_deref() != Some(&found)
        {
            self.parameters = Some(Arc::new(found));
        }
    }
}

impl Drop for InBand {
    /// Counts the units whose picture does not come: the stream ends, or another configuration takes its place.
    fn drop(&mut self) {
        DropReason::UnitsWithoutPicture.count(self.payloads_before);
    }
}

/// Returns the number of a picture parameter set: its first field (H.264, H.265 7.3.2). `None` if it is cut off.
fn pps_number(codec: Codec, set: &[u8]) -> Option<u32> {
    let header = if codec == Codec::H264 { 1 } else { 2 };
    let (start, filled) = unescape_start::<4>(set.get(header..)?);
    BitReader::new("PPS", &start[..filled]).ue().ok()
}

fn role(codec: Codec, unit: &[u8]) -> Role {
    match codec {
        Codec::H264 if unit.len() <= 1 => Role::Nothing,
        Codec::H264 => match h264::nal_type(unit) {
            7 => Role::Set(1),
            8 => Role::Set(2),
            9 | 12 | 13 => Role::Nothing, // Delimiter, filler, the extension of an SPS for auxiliary pictures.
            _ if h264::is_slice(unit) => Role::Slice,
            _ if h264::is_reserved(unit) => Role::Reserved,
            _ => Role::Beside,
        },
        _ if unit.len() <= 2 => Role::Nothing,
        _ => match h265::nal_type(unit) {
            kind @ 32..=34 => Role::Set(usize::from(kind) - 32),
            35 | 38 => Role::Nothing,
            _ if h265::is_reserved(unit) => Role::Reserved,
            _ if h265::is_slice(unit) => Role::Slice,
            _ => Role::Beside,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const H264: &[u8] = include_bytes!("../../tests/fixtures/h264_baseline.h264");
    const H265: &[u8] = include_bytes!("../../tests/fixtures/h265_main.hevc");

    /// Returns the access unit of a fixture, the units of which each is one, and what comes out in the usual order.
    fn fixture(codec: Codec) -> (Bytes, Vec<Bytes>, Bytes, Parameters) {
        let whole = nal::from_annex_b(if codec == Codec::H264 { H264 } else { H265 });
        let units = nal::nal_units(&whole).map(|unit| nal::join([unit])).collect();
        let mut usual = InBand::new(codec, None);
        let frame = usual.take(whole.clone()).unwrap();
        let parameters = Parameters::clone(usual.parameters().unwrap());
        (whole, units, frame, parameters)
    }

    #[test]
    fn parameter_sets_are_learnt_in_whatever_pieces_and_order_they_come() {
        for codec in [Codec::H264, Codec::H265] {
            let (whole, units, frame, parameters) = fixture(codec);
            assert!(!frame.is_empty() && frame.len() < whole.len());
            for backwards in [false, true] {
                let mut in_band = InBand::new(codec, None);
                let is_set = |unit: &&Bytes| matches!(role(codec, &unit[4..]), Role::Set(_));
                let mut sets: Vec<_> = units.iter().filter(is_set).collect();
                if backwards {
                    sets.reverse();
                }
                for set in sets {
                    assert!(in_band.parameters().is_none(), "{codec}");
                    assert!(in_band.take(set.clone()).unwrap().is_empty(), "{codec}");
                }
                assert_eq!(**in_band.parameters().unwrap(), parameters, "{codec} backwards: {backwards}");
            }
        }
    }

    #[test]
    fn repeated_sets_keep_the_parameters_and_unusable_ones_change_nothing() {
        for codec in [Codec::H264, Codec::H265] {
            let (whole, units, frame, parameters) = fixture(codec);
            let mut in_band = InBand::new(codec, Some(Arc::new(parameters)));
            let before = in_band.parameters().unwrap().clone();
            assert_eq!(in_band.take(whole).unwrap(), frame);
            let sps = units.iter().find(|unit| role(codec, &unit[4..]) == Role::Set(1)).unwrap();
            assert!(in_band.take(sps.clone()).unwrap().is_empty(), "a lone set that is known");
            let broken = nal::join([&sps[4..7], &frame[4..]]);
            assert_eq!(in_band.take(broken.clone()).unwrap(), broken, "a decoder may make more of it");
            assert!(Arc::ptr_eq(&before, in_band.parameters().unwrap()), "{codec}");
        }
    }

    #[test]
    fn a_lone_picture_parameter_set_joins_the_sequence_parameter_set_in_force() {
        let (_, _, _, parameters) = fixture(Codec::H264);
        let Parameters::H264(known) = parameters.clone() else { unreachable!() };
        let other = [&known.pps[0][..], &[0x80]].concat();
        let mut in_band = InBand::new(Codec::H264, Some(Arc::new(parameters)));
        assert!(in_band.take(nal::join([&other[..]])).unwrap().is_empty());
        let Parameters::H264(joined) = &**in_band.parameters().unwrap() else { unreachable!() };
        assert_eq!((&joined.sps, &joined.pps[0][..]), (&known.sps, &other[..]));
    }

    #[test]
    fn picture_parameter_sets_that_take_turns_are_in_force_together() {
        for codec in [Codec::H264, Codec::H265] {
            let (_, units, _, parameters) = fixture(codec);
            let first = units.iter().find(|unit| role(codec, &unit[4..]) == Role::Set(PPS)).unwrap().slice(4..);
            let header = if codec == Codec::H264 { 1 } else { 2 };
            let [second, changed] = [0b0101_0000, 0b0101_1000].map(|field| [&first[..header], &[field, 0x80]].concat());
            let mut in_band = InBand::new(codec, Some(Arc::new(parameters)));
            let before = in_band.parameters().unwrap().clone();
            let mut say = |set: &[u8]| {
                assert!(in_band.take(nal::join([set])).unwrap().is_empty());
                in_band.parameters().unwrap().clone()
            };
            let both = say(&second);
            assert!(!Arc::ptr_eq(&before, &both), "{codec}");
            for _ in 0..10 {
                assert!(Arc::ptr_eq(&say(&first), &both) && Arc::ptr_eq(&say(&second), &both), "{codec}");
            }
            let sets = |parameters: &Parameters| match parameters {
                Parameters::H264(known) => known.pps.clone(),
                Parameters::H265(known) => known.pps.clone(),
                _ => unreachable!(),
            };
            assert_eq!(sets(&say(&changed)), [&first[..], &changed[..]], "{codec}: another of its number");
        }
    }

    #[test]
    fn sets_that_never_become_complete_are_bounded() {
        let mut in_band = InBand::new(Codec::H264, None);
        let huge = nal::join([&[&[0x67][..], &vec![1; PENDING_BYTES_MAX]].concat()[..]]);
        assert!(in_band.take(huge).unwrap().is_empty());
        assert!(in_band.pending.iter().all(Vec::is_empty) && in_band.before_picture.is_empty());
    }

    #[test]
    fn a_payload_of_very_many_units_is_refused_whatever_they_are() {
        let picture: [&[u8]; 3] = [&[0, 0, 0, 2, 0x41, 0x9a], &[0, 0, 0, 3, 0x02, 1, 0x9a], &[0x32, 2, 0x30, 0]];
        let codecs = [Codec::H264, Codec::H265, Codec::Av1];
        let tiny: [&[&[u8]]; 3] = [
            &[&[0, 0, 0, 0], &[0, 0, 0, 2, 6, 5], &[0, 0, 0, 2, 0x68, 1], &[0, 0, 0, 2, 0x41, 0x9a]],
            &[&[0, 0, 0, 0], &[0, 0, 0, 3, 0x4e, 1, 5], &[0, 0, 0, 3, 0x44, 1, 1]],
            &[&[0x12, 0], &[0x2a, 0], &[0x7a, 1, 0]],
        ];
        for ((codec, picture), tiny) in codecs.into_iter().zip(picture).zip(tiny) {
            for unit in tiny {
                let of = |count| Bytes::from([&unit.repeat(count)[..], picture].concat());
                assert!(InBand::new(codec, None).take(of(UNITS_MAX - 1)).is_ok(), "{codec} {unit:?}");
                let refused = InBand::new(codec, None).take(of(UNITS_MAX));
                assert!(matches!(refused, Err(Malformed::OutOfRange { .. })), "{codec} {unit:?}");
            }
        }
        assert_eq!(Codec::Av1.units(&[0x12, 0].repeat(1_000_000)), UNITS_MAX + 1, "it does not count on");
    }

    #[test]
    fn thousands_of_different_parameter_sets_are_no_parameters() {
        for codec in [Codec::H264, Codec::H265] {
            let (_, _, frame, parameters) = fixture(codec);
            let header: &[u8] = if codec == Codec::H264 { &[0x68] } else { &[0x44, 1] };
            let sets: Vec<_> = (0..8_000_u16).map(|number| [header, &number.to_be_bytes(), &[0x80]].concat()).collect();
            let many = [&nal::join(sets.iter().map(Vec::as_slice))[..], &frame].concat();
            let mut in_band = InBand::new(codec, Some(Arc::new(parameters.clone())));
            assert_eq!(
                in_band.take(many.clone().into()).unwrap(),
                many,
                "{codec}: they stay in front of their picture"
            );
            assert_eq!(**in_band.parameters().unwrap(), parameters, "{codec}");
        }
    }

    /// Returns units of `codec` that are no picture, and a picture, in canonical form.
    fn beside_and_picture(codec: Codec) -> (Bytes, Bytes) {
        let (beside, picture): (&[u8], &[u8]) = match codec {
            Codec::H264 => (&[0, 0, 0, 3, 0x06, 5, 0x80], &[0, 0, 0, 2, 0x41, 0x9a]),
            Codec::H265 => (&[0, 0, 0, 4, 0x4e, 1, 5, 0x80], &[0, 0, 0, 3, 0x02, 1, 0x9a]),
            _ => (&[0x2a, 2, 4, 0x80], &[0x32, 2, 0x30, 0]),
        };
        (Bytes::from_static(beside), Bytes::from_static(picture))
    }

    #[test]
    fn units_without_a_picture_are_not_a_frame_and_stand_in_front_of_the_next_one() {
        for codec in [Codec::H264, Codec::H265, Codec::Av1] {
            let (beside, picture) = beside_and_picture(codec);
            let mut in_band = InBand::new(codec, None);
            assert_eq!(in_band.take(picture.clone()).unwrap(), picture, "{codec}");
            for _ in 0..2 {
                assert!(in_band.take(beside.clone()).unwrap().is_empty(), "{codec}");
                assert!(in_band.take(beside.clone()).unwrap().is_empty(), "{codec}");
                assert_eq!(
                    in_band.take(picture.clone()).unwrap(),
                    [&beside[..], &beside, &picture].concat(),
                    "{codec}"
                );
            }
            assert_eq!(in_band.take(picture.clone()).unwrap().as_ptr(), picture.as_ptr(), "{codec}: nothing is copied");
        }
    }

    #[test]
    fn reserved_units_are_left_out_and_cost_nothing_else() {
        let h264 = [0, 17, 18, 22, 23, 24, 28, 30, 31].map(|kind| vec![0x60 | kind, 1, 2, 3]);
        let h265 = [10, 15, 22, 31, 41, 47, 48, 49, 50, 62, 63].map(|kind: u8| vec![kind << 1, 1, 2, 3]);
        for (codec, reserved) in [(Codec::H264, &h264[..]), (Codec::H265, &h265)] {
            let (beside, picture) = beside_and_picture(codec);
            for unit in reserved {
                let unit = nal::join([&unit[..]]);
                let mut in_band = InBand::new(codec, None);
                assert!(in_band.take(unit.clone()).unwrap().is_empty(), "{codec} {unit:?}: it is not a picture");
                let around = [&unit[..], &beside, &unit, &picture, &unit].concat();
                assert_eq!(in_band.take(around.into()).unwrap(), [&beside[..], &picture].concat(), "{codec} {unit:?}");
                assert!(!codec.is_keyframe(&unit) && !codec.continues_picture(&picture), "{codec}");
            }
        }
    }

    #[test]
    fn an_obu_that_reaches_to_the_end_of_its_unit_does_not_swallow_the_next_frame() {
        let (_, picture) = beside_and_picture(Codec::Av1);
        let mut in_band = InBand::new(Codec::Av1, None);
        assert!(in_band.take(Bytes::from_static(&[0x28, 4, 0x80])).unwrap().is_empty());
        assert_eq!(in_band.take(picture.clone()).unwrap(), picture);
    }

    #[test]
    fn units_that_wait_for_a_picture_that_does_not_come_are_bounded() {
        for codec in [Codec::H264, Codec::H265, Codec::Av1] {
            let (beside, picture) = beside_and_picture(codec);
            let mut in_band = InBand::new(codec, None);
            for _ in 0..PENDING_BYTES_MAX {
                assert!(in_band.take(beside.clone()).unwrap().is_empty(), "{codec}");
            }
            let frame = in_band.take(picture.clone()).unwrap();
            assert!(frame.len() <= PENDING_BYTES_MAX + picture.len() && frame.ends_with(&picture), "{codec}");
            assert!(
                frame.starts_with(&beside) && (frame.len() - picture.len()).is_multiple_of(beside.len()),
                "{codec}"
            );
        }
    }

    #[test]
    fn aac_is_described_by_its_adts_headers_and_a_configuration_that_says_more_stays() {
        let raw = Bytes::from_static(&[0x21, 0x10, 5, 6]);
        let adts = |parameters: &aac::Parameters| {
            Bytes::from([&parameters.adts_header(raw.len()).unwrap()[..], &raw].concat())
        };
        let plain = aac::Parameters::low_complexity(48_000, 2).unwrap();
        let mut in_band = InBand::new(Codec::Aac, None);
        assert_eq!(in_band.take(raw.clone()).unwrap(), raw);
        assert!(in_band.parameters().is_none(), "raw frames do not describe themselves");
        assert_eq!(in_band.take(adts(&plain)).unwrap(), raw);
        assert_eq!(**in_band.parameters().unwrap(), Parameters::Aac(plain.clone()));

        // HE-AAC, 24 kHz in the core and 48 kHz out: its ADTS header speaks of the core alone.
        let efficient = aac::Parameters::from_asc(&[0x2b, 0x11, 0x88, 0x00]).unwrap();
        assert_eq!(efficient.sample_rate, 48_000);
        let mut in_band = InBand::new(Codec::Aac, Some(Arc::new(Parameters::Aac(efficient.clone()))));
        assert_eq!(in_band.take(adts(&efficient)).unwrap(), raw);
        assert_eq!(**in_band.parameters().unwrap(), Parameters::Aac(efficient));
        assert_eq!(in_band.take(adts(&plain)).unwrap(), raw);
        assert_eq!(**in_band.parameters().unwrap(), Parameters::Aac(plain), "the header contradicts what was known");
    }

    #[test]
    fn opus_needs_no_header_and_a_hint_of_another_codec_is_none() {
        let aac = Parameters::Aac(aac::Parameters::low_complexity(48_000, 2).unwrap());
        let in_band = InBand::new(Codec::Opus, Some(Arc::new(aac)));
        assert_eq!(in_band.parameters().unwrap().channels(), Some(2));
    }
}
