//! `avcC`: what is accepted survives being written and read again.
#![no_main]

use onmic_media::codec::h264;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok((read, _)) = h264::Parameters::from_avcc(data) {
        assert_eq!(h264::Parameters::from_avcc(&read.avcc()), Ok((read, 4)));
    }
});
