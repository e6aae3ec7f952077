//! The multivariant playlist: one variant per video rendition, and the audio in a group of its own (rfc8216bis 4.4.6).

use std::collections::HashMap;

use m3u8_rs::{
    AlternativeMedia, AlternativeMediaType, ClosedCaptionGroupId, MasterPlaylist, QuotedOrUnquoted, Resolution,
    VariantStream,
};
use onmic_media::{MediaKind, Parameters, TrackKey};

use crate::names::File;
use crate::rendition::Rendition;
use crate::segmenter::Segmenter;

const GROUP: &str = "audio";

/// The bandwidth of the first parts is a guess at the peak of later segments, so this much is added to it.
const BANDWIDTH_HEADROOM_PERCENT: u64 = 10;

/// The playlist; `None` until each rendition that will be there has a part. It does not name those of the tracks that are
/// `gone`. `directory` is put before every name, and ends with a slash unless it is empty.
pub fn render(segmenter: &Segmenter, directory: &str, expected: &[TrackKey], gone: &[TrackKey]) -> Option<String> {
    let is_named = |rendition: &&Rendition| rendition.newest().is_some() && !gone.contains(&rendition.key());
    let ready: Vec<_> = segmenter.renditions().filter(is_named).collect();
    if expected.iter().any(|key| ready.iter().all(|rendition| rendition.key() != *key)) {
        return None;
    }
    let (video, audio): (Vec<_>, Vec<_>) = ready.into_iter().partition(|own| own.key().kind == MediaKind::Video);
    let (main, group) = if video.is_empty() { (audio, Vec::new()) } else { (video, audio) };
    if main.is_empty() {
        return None;
    }
    // If one variant states that there are none, all have to (4.4.6.2). Otherwise shaka looks for captions in the segments of a
    // young stream before it plays, and up to 5.2.12 fails on the open one.
    let without_captions = main.iter().all(|rendition| rendition.is_without_captions());
    let playlist = MasterPlaylist {
        version: Some(9),
        variants: main.iter().map(|rendition| variant(rendition, &group, directory, without_captions)).collect(),
        alternatives: group.iter().enumerate().map(|(at, rendition)| alternative(rendition, at, directory)).collect(),
        ..Default::default()
    };
    let mut text = Vec::with_capacity(512);
    playlist.write_to(&mut text).ok()?;
    String::from_utf8(text).ok()
}

/// Returns the variant of one quality with an audio rendition of `group`. A player takes one of them, and BANDWIDTH is
/// for the one with the highest bitrate (4.4.6.2).
fn variant(rendition: &Rendition, group: &[&Rendition], directory: &str, without_captions: bool) -> VariantStream {
    let (peak, mean) = rendition.bitrates().unwrap_or((0, 0));
    let of_audio = group.iter().filter_map(|audio| audio.bitrates());
    let (audio_peak, audio_mean) = of_audio.fold((0, 0), |most, own| (most.0.max(own.0), most.1.max(own.1)));
    let (peak, mean) = (peak + audio_peak, mean + audio_mean);
    let mut codecs = vec![codecs_of(rendition)];
    for audio in group.iter().map(|audio| codecs_of(audio)) {
        if !codecs.contains(&audio) {
            codecs.push(audio);
        }
    }
    let resolution = rendition.init().parameters.shown_size();
    let is_video = rendition.key().kind == MediaKind::Video;
    VariantStream {
        uri: format!("{directory}{}", File::Playlist(rendition.key())),
        bandwidth: (peak + peak * BANDWIDTH_HEADROOM_PERCENT / 100).max(1),
        average_bandwidth: Some(mean.max(1)),
        codecs: Some(codecs.join(",")),
        resolution: resolution.map(|(width, height)| Resolution { width: width.into(), height: height.into() }),
        frame_rate: rendition.frame_rate().filter(|_| is_video).map(|rate| (rate * 1000.0).round() / 1000.0),
        audio: (!group.is_empty()).then(|| GROUP.to_owned()),
        closed_captions: without_captions.then_some(ClosedCaptionGroupId::None),
        other_attributes: video_range(&rendition.init().parameters)
            .map(|range| HashMap::from([("VIDEO-RANGE".to_owned(), QuotedOrUnquoted::Unquoted(range.to_owned()))])),
        ..Default::default()
    }
}

/// Returns the VIDEO-RANGE of high dynamic range (4.4.6.2), by the transfer characteristics. Without one the range is SDR.
fn video_range(parameters: &Parameters) -> Option<&'static str> {
    const PERCEPTUAL_QUANTIZER: u8 = 16; // ITU-T H.273 8.2.
    const HYBRID_LOG_GAMMA: u8 = 18;
    match parameters.colour()?.transfer {
        PERCEPTUAL_QUANTIZER => Some("PQ"),
        HYBRID_LOG_GAMMA => Some("HLG"),
        _ => None,
    }
}

/// Returns the audio rendition at one place of the group. The first is played unless the viewer chooses another.
fn alternative(rendition: &Rendition, at: usize, directory: &str) -> AlternativeMedia {
    AlternativeMedia {
        media_type: AlternativeMediaType::Audio,
        uri: Some(format!("{directory}{}", File::Playlist(rendition.key()))),
        group_id: GROUP.to_owned(),
        // Names are unique within a group (4.4.6.1).
        name: if at == 0 { "Program".to_owned() } else { format!("Program {}", at + 1) },
        default: at == 0,
        autoselect: at == 0,
        channels: rendition.init().parameters.channels().map(|channels| channels.to_string()),
        ..Default::default()
    }
}

/// Returns the codec string of RFC 6381, in which Opus in MP4 is spelt with a capital.
fn codecs_of(rendition: &Rendition) -> String {
    let codecs = rendition.init().parameters.rfc6381();
    if codecs == "opus" { "Opus".to_owned() } else { codecs }
}
