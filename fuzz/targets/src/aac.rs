//! Parses AudioSpecificConfig and ADTS, and Opus headers and packets.

use onmic_media::codec::{aac, opus};

/// Takes one input.
pub fn run(data: &[u8]) {
    if let Ok(read) = aac::Parameters::from_asc(data) {
        assert!(read.sample_rate > 0 && read.channels > 0 && read.frame_length > 0);
        let _ = read.adts_header(data.len());
    }
    let _ = aac::Adts::parse(data);
    opus::packet_duration(data);
    for read in [opus::Parameters::from_opus_head(data), opus::Parameters::from_dops(data)].into_iter().flatten() {
        assert_eq!(opus::Parameters::from_opus_head(&read.opus_head()), Ok(read.clone()));
        assert_eq!(opus::Parameters::from_dops(&read.dops()), Ok(read));
    }
}
