//! `avcC`: an accepted record is the same after it is written and read again.

use onmic_media::codec::h264;

/// Takes one input.
pub fn run(data: &[u8]) {
    if let Ok((read, _)) = h264::Parameters::from_avcc(data) {
        assert_eq!(h264::Parameters::from_avcc(&read.avcc()), Ok((read, 4)));
    }
}
