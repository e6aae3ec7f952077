//! What a publisher's `onMetaData` says of its tracks: a hint, and nothing that frames are read by.

use super::amf::Value;

/// Returns whether the values of a data message speak of video, and of audio.
pub fn announced(values: &[Value]) -> (bool, bool) {
    let says = |names: &[&str]| {
        let properties = values.iter().flat_map(Value::properties);
        properties.filter(|property| names.contains(&property.0.as_str())).any(|property| match &property.1 {
            Value::Number(number) => *number != 0.0,
            Value::String(text) => !text.is_empty(),
            _ => false,
        })
    };
    let video = says(&["videocodecid", "width", "videodatarate"]);
    let audio = says(&["audiocodecid", "audiosamplerate", "audiodatarate"]);
    (video, audio)
}
