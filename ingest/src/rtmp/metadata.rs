//! What a publisher's `onMetaData` says of its tracks: a hint, and nothing that frames are read by.

use super::amf::Value;

/// Returns whether the values of a data message speak of video, and of audio.
pub fn announced(values: &[Value]) -> (bool, bool) {
    let says = |names: &[&str]| {
        let properties = values.iter().flat_map(Value::properties);
        properties.filter(|property| names.contains(&property.0.as_str())).any(|property| match &property.1 {
            Value::Number(number) => *number > 0.0, // Some encoders write NaN for what they do not have.
            Value::String(text) => !text.is_empty(),
            _ => false,
        })
    };
    let video = says(&["videocodecid", "width", "videodatarate"]);
    let audio = says(&["audiocodecid", "audiosamplerate", "audiodatarate"]);
    (video, audio)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_track_is_announced_by_a_number_above_0_or_a_name() {
        let video = |value| announced(&[Value::text("onMetaData"), Value::object([("videocodecid", value)])]).0;
        assert!(video(Value::Number(7.0)) && video(Value::text("avc1")));
        for value in [Value::Number(0.0), Value::Number(f64::NAN), Value::Number(-1.0), Value::text(""), Value::Null] {
            assert!(!video(value.clone()), "{value}");
        }
    }
}
