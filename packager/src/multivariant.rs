//! The multivariant playlist: one variant, its audio in a group of its own (rfc8216bis 4.4.6).

use m3u8_rs::{AlternativeMedia, AlternativeMediaType, MasterPlaylist, Resolution, VariantStream};
use onmic_media::MediaKind;

use crate::names::File;
use crate::rendition::Rendition;
use crate::segmenter::Segmenter;

const GROUP: &str = "audio";

/// What the first parts show is a guess at the peak of later segments; this much is added.
const BANDWIDTH_HEADROOM_PERCENT: u64 = 10;

/// The playlist; `None` until each rendition that will be there has a part. `directory` is put before every name, and
/// ends with a slash unless it is empty.
pub fn render(segmenter: &Segmenter, directory: &str, expected: [bool; 2]) -> Option<String> {
    let ready = |kind: MediaKind| segmenter.rendition(kind).filter(|rendition| rendition.newest().is_some());
    let (video, audio) = (ready(MediaKind::Video), ready(MediaKind::Audio));
    let lacking = |kind: MediaKind, have: bool| expected[kind as usize] && !have;
    if lacking(MediaKind::Video, video.is_some()) || lacking(MediaKind::Audio, audio.is_some()) {
        return None;
    }
    let main = video.or(audio)?;
    let separate = video.and(audio);
    let codecs: Vec<_> = [Some(main), separate].into_iter().flatten().map(codecs).collect();
    let rates = [Some(main), separate].into_iter().flatten().filter_map(Rendition::bitrates);
    let (peak, mean) = rates.fold((0, 0), |(peaks, means), (peak, mean)| (peaks + peak, means + mean));
    let parameters = &main.init().parameters;
    let variant = VariantStream {
        uri: format!("{directory}{}", File::Playlist(main.kind())),
        bandwidth: (peak + peak * BANDWIDTH_HEADROOM_PERCENT / 100).max(1),
        average_bandwidth: Some(mean.max(1)),
        codecs: Some(codecs.join(",")),
        resolution: parameters
            .resolution()
            .map(|(width, height)| Resolution { width: width.into(), height: height.into() }),
        frame_rate: video.and_then(Rendition::frame_rate).map(|rate| (rate * 1000.0).round() / 1000.0),
        audio: separate.map(|_| GROUP.to_owned()),
        ..Default::default()
    };
    let alternatives = separate.map(|audio| AlternativeMedia {
        media_type: AlternativeMediaType::Audio,
        uri: Some(format!("{directory}{}", File::Playlist(MediaKind::Audio))),
        group_id: GROUP.to_owned(),
        name: "Program".to_owned(),
        default: true,
        autoselect: true,
        channels: audio.init().parameters.channels().map(|channels| channels.to_string()),
        ..Default::default()
    });
    let playlist = MasterPlaylist {
        version: Some(9),
        variants: vec![variant],
        alternatives: alternatives.into_iter().collect(),
        ..Default::default()
    };
    let mut text = Vec::with_capacity(512);
    playlist.write_to(&mut text).ok()?;
    String::from_utf8(text).ok()
}

/// RFC 6381; Opus in MP4 is spelt with a capital there.
fn codecs(rendition: &Rendition) -> String {
    let codecs = rendition.init().parameters.rfc6381();
    if codecs == "opus" { "Opus".to_owned() } else { codecs }
}
