//! Joins the slices of one picture that come in tags of their own.
//!
//! A tag is one access unit, but some encoders and relays write a tag for each slice. A slice says whether it begins a picture
//! ([`Codec::continues_picture`]), and no slice says that it is the last. So once a tag has continued the picture before it, at
//! the same time, each picture waits for the tag that begins the next one. Publishers that never do so wait for nothing.
//!
//! The picture that shows it has gone on without its other slices. A keyframe goes out once more, whole, because everything after it
//! refers to it. Holds one picture of at most as many bytes as a message may have, and [`UNITS_MAX`] units.
//!
//! [`Codec::continues_picture`]: onmic_media::Codec::continues_picture

use bytes::{Bytes, BytesMut};
use onmic_media::codec::UNITS_MAX;
use onmic_media::{Arrival, DropReason};

/// Joins the pictures of one video track.
#[derive(Debug)]
pub(super) struct Slices {
    /// The largest picture that is joined, in bytes.
    bytes_max: usize,
    /// Whether pictures come in several tags.
    in_pieces: bool,
    last: Option<Picture>,
}

#[derive(Debug)]
struct Picture {
    /// The tag that begins it.
    first: Arrival,
    /// The slices of the tags after it.
    rest: BytesMut,
    /// The number of units in it.
    units: usize,
    /// Whether it has gone on as far as it had come.
    has_gone: bool,
}

impl Picture {
    fn whole(self) -> Option<Arrival> {
        let Self { mut first, rest, has_gone, .. } = self;
        if !rest.is_empty() {
            first.payload = Bytes::from([&first.payload[..], &rest].concat());
        }
        (!has_gone).then_some(first)
    }
}

impl Slices {
    /// Joins pictures of at most `bytes_max`.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, in_pieces: false, last: None }
    }

    /// Takes the slices of the next tag. Returns the picture that is whole now, if any.
    pub(super) fn take(&mut self, tag: Arrival) -> Result<Option<Arrival>, DropReason> {
        let codec = tag.parameters.codec();
        if codec.continues_picture(&tag.payload)
            && let Some(last) = &mut self.last
            && (last.first.dts, last.first.parameters.codec()) == (tag.dts, codec)
        {
            if !self.in_pieces {
                self.in_pieces = true;
                last.has_gone = !last.first.keyframe;
            }
            if last.has_gone {
                return Err(DropReason::TagOfPassedPicture);
            }
            let bytes = last.first.payload.len() + last.rest.len() + tag.payload.len();
            let units = last.units + codec.units(&tag.payload);
            if bytes > self.bytes_max || units > UNITS_MAX {
                return Err(DropReason::FrameTooLarge);
            }
            last.units = units;
            last.rest.extend_from_slice(&tag.payload);
            return Ok(None);
        }
        let goes_on = (!self.in_pieces).then(|| tag.clone());
        let has_gone = goes_on.is_some();
        let units = codec.units(&tag.payload);
        let before = self.last.replace(Picture { first: tag, rest: BytesMut::new(), units, has_gone });
        Ok(goes_on.or_else(|| before.and_then(Picture::whole)))
    }

    /// Returns the picture that waits for the next one, because none comes.
    pub(super) fn finish(&mut self) -> Option<Arrival> {
        self.last.take().and_then(Picture::whole)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use onmic_media::codec::{h264, h265, nal};
    use onmic_media::{Parameters, Rendition, Ticks};

    use super::*;

    const BYTES_MAX: usize = 8 << 20;
    const H264: &[u8] = include_bytes!("../../../media/tests/fixtures/h264_baseline.h264");
    const H265: &[u8] = include_bytes!("../../../media/tests/fixtures/h265_main.hevc");

    /// The parameters of both codecs, each with slices that begin and continue a keyframe and another picture.
    fn codecs() -> [(Arc<Parameters>, [&'static [u8]; 4]); 2] {
        let h264 = h264::Parameters::from_access_unit(&nal::from_annex_b(H264)).unwrap();
        let h265 = h265::Parameters::from_access_unit(&nal::from_annex_b(H265)).unwrap();
        [
            (
                Arc::new(Parameters::H264(h264)),
                [&[0x65, 0x88, 1], &[0x65, 0x42, 2], &[0x41, 0x9a, 3], &[0x41, 0x20, 4]],
            ),
            (
                Arc::new(Parameters::H265(h265)),
                [&[0x26, 1, 0xaf, 1], &[0x26, 1, 0x2f, 2], &[0x02, 1, 0xd0, 3], &[0x02, 1, 0x40, 4]],
            ),
        ]
    }

    fn tag(parameters: &Arc<Parameters>, ticks: i64, slices: &[&[u8]]) -> Arrival {
        let payload = nal::join(slices.iter().copied());
        let (dts, keyframe) = (Ticks(ticks), parameters.codec().is_keyframe(&payload));
        Arrival { rendition: Rendition::MAIN, dts, pts: dts, keyframe, parameters: parameters.clone(), payload }
    }

    fn frames(slices: &mut Slices, tags: impl IntoIterator<Item = Arrival>) -> Vec<(i64, bool, Bytes)> {
        let frames = tags.into_iter().filter_map(|tag| slices.take(tag).unwrap());
        frames.map(|frame| (frame.dts.0, frame.keyframe, frame.payload)).collect()
    }

    #[test]
    fn pictures_in_one_tag_go_on_at_once_and_untouched() {
        for (parameters, [key, key_more, inter, inter_more]) in codecs() {
            let mut slices = Slices::new(BYTES_MAX);
            for picture in 0..10 {
                let units = if picture == 0 { [key, key_more] } else { [inter, inter_more] };
                let whole = tag(&parameters, picture * 3000, &units);
                let frame = slices.take(whole.clone()).unwrap().unwrap();
                assert_eq!((frame.dts, frame.payload.as_ptr()), (whole.dts, whole.payload.as_ptr()));
            }
            assert!(slices.finish().is_none(), "it has gone on");
        }
    }

    #[test]
    fn slices_in_tags_of_their_own_are_joined_and_the_first_keyframe_goes_out_again_whole() {
        for (parameters, [key, key_more, inter, inter_more]) in codecs() {
            let one = |ticks, slice: &[u8]| tag(&parameters, ticks, &[slice]);
            let whole = |units: &[&[u8]]| nal::join(units.iter().copied());
            let mut slices = Slices::new(BYTES_MAX);
            let tags = [one(0, key), one(0, key_more), one(0, key_more), one(3000, inter), one(3000, inter_more)];
            let later = [one(6000, inter), one(6000, inter_more), one(9000, key), one(9000, key_more)];
            assert_eq!(
                frames(&mut slices, tags.into_iter().chain(later)),
                [
                    (0, true, whole(&[key])),
                    (0, true, whole(&[key, key_more, key_more])),
                    (3000, false, whole(&[inter, inter_more])),
                    (6000, false, whole(&[inter, inter_more])),
                ]
            );
            let last = slices.finish().unwrap();
            assert_eq!((last.dts.0, last.payload), (9000, whole(&[key, key_more])));
            assert!(slices.finish().is_none());
        }
    }

    #[test]
    fn the_rest_of_a_picture_that_has_gone_on_is_left_out_and_the_next_one_is_whole() {
        for (parameters, [key, key_more, inter, inter_more]) in codecs() {
            let mut slices = Slices::new(BYTES_MAX);
            let tags = [tag(&parameters, 0, &[key, key_more]), tag(&parameters, 3000, &[inter])];
            assert_eq!(frames(&mut slices, tags).len(), 2);
            for _ in 0..2 {
                let late = slices.take(tag(&parameters, 3000, &[inter_more]));
                assert_eq!(late.unwrap_err(), DropReason::TagOfPassedPicture);
            }
            let tags = [tag(&parameters, 6000, &[inter]), tag(&parameters, 6000, &[inter_more])];
            assert_eq!(frames(&mut slices, tags), []);
            assert_eq!(slices.finish().unwrap().payload, nal::join([inter, inter_more]));
        }
    }

    #[test]
    fn a_picture_whose_first_slice_was_lost_is_not_joined_to_one_of_another_time() {
        for (parameters, [key, _, inter, inter_more]) in codecs() {
            let mut slices = Slices::new(BYTES_MAX);
            let tags =
                [(0, key), (3000, inter_more), (6000, inter)].map(|(ticks, slice)| tag(&parameters, ticks, &[slice]));
            assert_eq!(frames(&mut slices, tags).len(), 3);
        }
    }

    #[test]
    fn a_picture_that_grows_without_end_is_bounded() {
        let [(parameters, [key, key_more, ..]), _] = codecs();
        let more = [key_more, &vec![1; 1 << 20]].concat();
        let mut slices = Slices::new(BYTES_MAX);
        slices.take(tag(&parameters, 0, &[key])).unwrap();
        let refused = (0..20).filter(|_| slices.take(tag(&parameters, 0, &[&more])).is_err()).count();
        assert_eq!(refused, 13);
        assert!(slices.finish().unwrap().payload.len() <= BYTES_MAX);

        let many = [key_more; 2_000];
        let mut slices = Slices::new(BYTES_MAX);
        slices.take(tag(&parameters, 0, &[key])).unwrap();
        let refused = (0..10).filter(|_| slices.take(tag(&parameters, 0, &many)).is_err()).count();
        assert_eq!(refused, 6, "8001 units are joined");
    }
}
