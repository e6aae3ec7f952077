//! `hvcC`: what is accepted survives being written and read again.
#![no_main]

use onmic_media::codec::h265;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok((read, _)) = h265::Parameters::from_hvcc(data) {
        assert_eq!(h265::Parameters::from_hvcc(&read.hvcc()), Ok((read, 4)));
    }
});
