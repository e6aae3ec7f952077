//! AMF0: accepted values are written no longer than they were, and parse to the same values.

use onmic_ingest::rtmp::amf;
use onmic_ingest::rtmp::capabilities::Capabilities;

/// Takes one input.
pub fn run(data: &[u8]) {
    let Ok(values) = amf::read(data) else { return };
    for value in &values {
        let _ = value.to_string();
        Capabilities::parse(value).answer();
    }
    let written = amf::write(&values);
    assert!(written.len() <= data.len());
    let again = amf::read(&written).expect("we write what we read");
    assert_eq!(amf::write(&again), written); // Bytes, because a NaN is not equal to itself.
}
