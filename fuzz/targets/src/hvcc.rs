//! `hvcC`: an accepted record is the same after it is written and read again.

use onmic_media::codec::h265;

/// Takes one input.
pub fn run(data: &[u8]) {
    if let Ok((read, _)) = h265::Parameters::from_hvcc(data) {
        assert_eq!(h265::Parameters::from_hvcc(&read.hvcc()), Ok((read, 4)));
    }
}
