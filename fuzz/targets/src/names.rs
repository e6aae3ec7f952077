//! Names from URLs: the application, server URL and stream key of RTMP (separated by line feeds), rooms and
//! participants, and the files of a stream.

use onmic_ingest::rtmp::stream_key::{Applications, StreamKey};
use onmic_media::{ParticipantName, RoomName, SourceName};
use onmic_packager::names::File;

/// Takes one input.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut parts = text.splitn(3, '\n');
    let (app, key, url) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default(), parts.next());
    for applications in [Applications::default(), Applications::Any] {
        if let Some(application) = applications.find(app, url)
            && let Ok(key) = StreamKey::parse(&application, key)
        {
            let name = key.name.to_string();
            assert_eq!(name.parse(), Ok(key.name));
            assert!(!name.contains("..") || !name.split('/').any(|part| part.starts_with('.')));
            assert!(key.token.is_none_or(|token| !token.is_empty()));
        }
    }
    if let Ok(room) = text.parse::<RoomName>() {
        assert_eq!(room.as_str(), text);
        assert_eq!(text.parse::<ParticipantName>().expect("all names have one alphabet").as_str(), text);
    }
    if let Ok(name) = text.parse::<SourceName>() {
        assert_eq!(name.to_string().parse(), Ok(name));
    }
    if let Some(file) = File::parse(text) {
        assert_eq!(file.to_string(), text, "a cache would keep each spelling");
    }
}
