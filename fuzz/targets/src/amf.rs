//! AMF0: a message without anything odd is written no longer than it was, and parses to the same values.

use onmic_ingest::rtmp::amf;
use onmic_ingest::rtmp::capabilities::Capabilities;

/// Takes one input.
pub fn run(data: &[u8]) {
    let reading = amf::read(data);
    for value in &reading.values {
        let _ = value.to_string();
        Capabilities::parse(value).answer();
    }
    let written = amf::write(&reading.values);
    if !reading.is_whole() {
        return;
    }
    assert!(written.len() <= data.len());
    let again = amf::read(&written);
    assert!(again.is_whole(), "we write what we read");
    assert_eq!(amf::write(&again.values), written); // Bytes, because a NaN is not equal to itself.
}
