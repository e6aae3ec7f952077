//! What a stream of events says: what has changed since it spoke last.
//!
//! Pure: what is true now comes in, and the text of events (HTML, 9.2.6) goes out.

use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Write as _;

use onmic_media::TrackKey;
use onmic_media::feed::Level;
use onmic_rtc::level::Shown;
use serde::Serialize;

/// The events that a client wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted(u8);

const ACTIVE: u8 = 1;
const INACTIVE: u8 = 2;
const LAYERS: u8 = 4;
const VIEWERS: u8 = 8;

impl Wanted {
    /// All events by their names.
    pub(super) const ALL: [(&'static str, u8); 4] =
        [("active", ACTIVE), ("inactive", INACTIVE), ("layers", LAYERS), ("viewercount", VIEWERS)];

    /// Returns the events with these names. `None` if there is none, or one that does not exist.
    pub(super) fn named<'n>(names: impl IntoIterator<Item = &'n str>) -> Option<Self> {
        let bit = |name: &str| Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, bit)| *bit);
        let bits = names.into_iter().try_fold(0, |bits, name| Some(bits | bit(name)?))?;
        (bits != 0).then_some(Self(bits))
    }

    fn has(self, bit: u8) -> bool {
        self.0 & bit != 0
    }
}

/// Writes the names of the events in their order, as they stand in the address of a stream.
impl fmt::Display for Wanted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = Self::ALL.iter().filter(|(_, bit)| self.has(*bit)).map(|(name, _)| *name).collect();
        formatter.write_str(&names.join("-"))
    }
}

/// What is true now.
pub(super) struct Now<'a> {
    pub(super) is_active: bool,
    pub(super) viewers: usize,
    pub(super) mid: &'a str,
    /// The levels, best first.
    pub(super) levels: Vec<Level>,
    pub(super) shown: Shown,
}

/// The data of `layers`, for one section.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Layers {
    active: Vec<Layer>,
    inactive: [(); 0],
    current: String,
    pinned: Option<String>,
    automatic: bool,
    /// Whether the path carries what was chosen by hand, as far as that is known.
    carried: bool,
    /// What the viewer should get and cannot have now. It keeps what it has.
    refused: Option<Refused>,
    estimate: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Refused {
    encoding_id: String,
    reason: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Layer {
    encoding_id: String,
    width: Option<u32>,
    height: Option<u32>,
    bitrate: u64,
    frame_rate: f64,
    on_demand: bool,
}

/// What `layers` is said anew for: the levels with their sizes, and what the viewer gets.
type Said = (Vec<(TrackKey, Option<(u32, u32)>)>, Shown);

/// Remembers what was said.
pub(super) struct News {
    wanted: Wanted,
    active: Option<bool>,
    viewers: Option<usize>,
    layers: Option<Said>,
}

impl News {
    pub(super) fn new(wanted: Wanted) -> Self {
        Self { wanted, active: None, viewers: None, layers: None }
    }

    /// Returns the events that there are now. Viewers are counted once a second, when `is_tick` says so.
    pub(super) fn say(&mut self, now: &Now<'_>, is_tick: bool) -> String {
        let mut text = String::new();
        if self.active.replace(now.is_active) != Some(now.is_active) {
            let (name, bit) = if now.is_active { ("active", ACTIVE) } else { ("inactive", INACTIVE) };
            if self.wanted.has(bit) {
                event(&mut text, name, &BTreeMap::<(), ()>::new());
            }
        }
        if self.wanted.has(LAYERS) {
            let levels = now.levels.iter().map(|level| (level.key, level.size)).collect();
            let known = Some((levels, Shown { estimate_bps: None, ..now.shown }));
            if self.layers != known {
                event(&mut text, "layers", &BTreeMap::from([(now.mid, layers(now))]));
                self.layers = known;
            }
        }
        if self.wanted.has(VIEWERS) && is_tick && self.viewers.replace(now.viewers) != Some(now.viewers) {
            event(&mut text, "viewercount", &BTreeMap::from([("viewercount", now.viewers)]));
        }
        text
    }
}

fn layers(now: &Now<'_>) -> Layers {
    let layer = |level: &Level| Layer {
        encoding_id: level.key.to_string(),
        width: level.size.map(|(width, _)| width),
        height: level.size.map(|(_, height)| height),
        bitrate: level.bitrate_bps,
        frame_rate: (level.frame_rate * 10.0).round() / 10.0,
        on_demand: level.on_demand,
    };
    Layers {
        active: now.levels.iter().map(layer).collect(),
        inactive: [],
        current: now.shown.current.to_string(),
        pinned: now.shown.pinned.map(|pinned| pinned.to_string()),
        automatic: now.shown.pinned.is_none(),
        carried: now.shown.is_carried,
        refused: now.shown.refused.map(|(key, why)| Refused { encoding_id: key.to_string(), reason: why.name() }),
        estimate: now.shown.estimate_bps,
    }
}

fn event(text: &mut String, name: &str, data: &impl Serialize) {
    let data = serde_json::to_string(data).unwrap_or_else(|_| "{}".to_owned()); // All keys are strings.
    let _ = write!(text, "event: {name}\ndata: {data}\n\n"); // Writing to a string does not fail.
}

#[cfg(test)]
mod tests {
    use onmic_media::{MediaKind, Rendition};
    use onmic_rtc::level::{Pick, Refusal};

    use super::*;

    const EVERYTHING: Wanted = Wanted(15);

    fn now(viewers: usize, current: Pick) -> Now<'static> {
        let level = |rendition, size, bitrate_bps| Level {
            key: TrackKey::new(MediaKind::Video, Rendition(rendition)),
            size,
            frame_rate: 29.97,
            bitrate_bps,
            on_demand: rendition >= Rendition::FIRST_RUNG.0,
        };
        let shown = Shown { current, pinned: None, estimate_bps: Some(2_000_000), is_carried: true, refused: None };
        let levels = vec![level(0, Some((1280, 720)), 2_300_000), level(1, None, 800_000)];
        Now { is_active: true, viewers, mid: "0", levels, shown }
    }

    #[test]
    fn events_are_wanted_by_their_names_and_in_one_order() {
        let named = |names: &[&str]| Wanted::named(names.iter().copied()).map(|wanted| wanted.to_string());
        assert_eq!(named(&["viewercount", "layers", "layers"]).as_deref(), Some("layers-viewercount"));
        assert_eq!(named(&["active", "inactive", "layers", "viewercount"]).as_deref(), Some(&*EVERYTHING.to_string()));
        for wrong in [&[][..], &["layer"], &["layers", ""], &["LAYERS"]] {
            assert_eq!(named(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn everything_is_said_once_and_again_when_it_changes() {
        let main = Pick::Level(TrackKey::VIDEO);
        let mut news = News::new(EVERYTHING);
        assert_eq!(
            news.say(&now(3, main), true),
            "event: active\ndata: {}\n\n\
             event: layers\ndata: {\"0\":{\"active\":[\
             {\"encodingId\":\"video\",\"width\":1280,\"height\":720,\"bitrate\":2300000,\"frameRate\":30.0,\"onDemand\":false},\
             {\"encodingId\":\"video1\",\"width\":null,\"height\":null,\"bitrate\":800000,\"frameRate\":30.0,\"onDemand\":false}],\
             \"inactive\":[],\"current\":\"video\",\"pinned\":null,\"automatic\":true,\"carried\":true,\"refused\":null,\"estimate\":2000000}}\n\n\
             event: viewercount\ndata: {\"viewercount\":3}\n\n"
        );
        let mut same = now(3, main);
        (same.shown.estimate_bps, same.levels[0].bitrate_bps) = (Some(9), 9);
        assert_eq!(news.say(&same, true), "");
        assert_eq!(news.say(&now(4, main), false), "", "viewers are counted once a second");
        assert_eq!(news.say(&now(4, main), true), "event: viewercount\ndata: {\"viewercount\":4}\n\n");
        let mut pinned = now(4, Pick::AudioOnly);
        pinned.shown.pinned = Some(Pick::AudioOnly);
        let text = news.say(&pinned, false);
        assert!(text.contains("\"current\":\"none\",\"pinned\":\"none\",\"automatic\":false"), "{text}");
        pinned.shown.refused = Some((TrackKey::VIDEO, Refusal::OverBudget));
        let text = news.say(&pinned, false);
        assert!(text.contains("\"refused\":{\"encodingId\":\"video\",\"reason\":\"over_budget\"}"), "{text}");
        let silent = Now { is_active: false, levels: Vec::new(), ..now(4, main) };
        let text = news.say(&silent, true);
        assert!(
            text.starts_with("event: inactive\ndata: {}\n\nevent: layers") && text.contains("\"active\":[]"),
            "{text}"
        );
    }

    #[test]
    fn events_that_nobody_asked_for_are_not_said() {
        let mut news = News::new(Wanted(INACTIVE | VIEWERS));
        let main = Pick::Level(TrackKey::VIDEO);
        assert_eq!(news.say(&now(1, main), true), "event: viewercount\ndata: {\"viewercount\":1}\n\n");
        let silent = Now { is_active: false, ..now(1, main) };
        assert_eq!(news.say(&silent, true), "event: inactive\ndata: {}\n\n");
        assert_eq!(news.say(&now(1, main), true), "");
        assert!(News::new(Wanted(ACTIVE)).say(&silent, true).is_empty());
    }
}
