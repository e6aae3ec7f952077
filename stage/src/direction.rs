//! The direction of a room's program, a value: its sources in order, and how they are shown and heard.

use onmic_media::SourceName;
use onmic_mixer::scene::{Background, ChromaKey, Colour, Fit, InputId, Layout, Overlay, Scene, Size, Tile};

/// The colour of the border around the video of somebody who speaks.
const SPEAKING: Colour = Colour::rgb(0x3d, 0xd6, 0x8c);

/// What the program of a room should be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Direction {
    /// The sources, the host first.
    pub sources: Vec<Directed>,
    /// The places of the sources.
    pub layout: Layout,
    /// The overlays, which lie over the sources.
    pub overlays: Vec<Overlay>,
    /// The background, which lies behind the sources.
    pub background: Background,
    /// Whether a mix shows a name on each source.
    pub labels: bool,
    /// Whether a mix of several sources shows a border around those that speak.
    pub borders: bool,
    /// Whether another source comes soon. Then the mixer starts before it is there, for two reasons: the source is seen
    /// as soon as it comes, and its publisher's return feed has a keyframe of this moment to begin with, which an
    /// RTMP source that is passed through may lack for seconds.
    pub expects: bool,
}

/// One source of a program.
#[derive(Clone, Debug, PartialEq)]
pub struct Directed {
    /// The name of the source.
    pub name: SourceName,
    /// The name that people see.
    pub label: String,
    /// Whether its video is shown; if not, its placeholder is.
    pub show: bool,
    /// Whether its audio, if it sends any, is heard.
    pub hear: bool,
    /// The gain of its audio, in dB.
    pub gain_db: f32,
    /// Whether noise is suppressed.
    pub denoise: bool,
    /// Whether an automatic gain levels its audio.
    pub auto_gain: bool,
    /// The colour of its video that becomes transparent.
    pub chroma_key: Option<ChromaKey>,
    /// How its video fills its tile; the layout decides if `None`.
    pub fit: Option<Fit>,
}

impl Directed {
    /// Returns a source that is shown and heard as it comes.
    pub fn new(name: SourceName, label: String) -> Self {
        Self {
            name,
            label,
            show: true,
            hear: true,
            gain_db: 0.0,
            denoise: false,
            auto_gain: false,
            chroma_key: None,
            fit: None,
        }
    }

    fn is_untouched(&self) -> bool {
        *self == Self { fit: self.fit, ..Self::new(self.name.clone(), self.label.clone()) }
    }
}

impl Direction {
    /// Returns the source that can be the program as it comes: the only one, if nothing is done to it or lies over it,
    /// and no other is expected.
    pub fn passed_through(&self) -> Option<&SourceName> {
        match &*self.sources {
            [only] if only.is_untouched() && self.overlays.is_empty() && !self.expects => Some(&only.name),
            _ => None,
        }
    }

    /// Returns the scene that the mixer draws, with a border around the sources that are `speaking`.
    pub fn scene(&self, canvas: Size, frame_rate_max: f64, speaking: &[SourceName]) -> Scene {
        let inputs: Vec<_> = self.sources.iter().map(|source| InputId::from(&source.name)).collect();
        let tiles = self.layout.tiles(&inputs).into_iter().zip(&self.sources);
        let several = self.sources.len() > 1;
        Scene {
            canvas,
            frame_rate_max,
            lead: inputs.first().cloned(),
            background: self.background.clone(),
            tiles: tiles
                .map(|(tile, source)| Tile {
                    fit: source.fit.unwrap_or(tile.fit),
                    label: self.labels.then(|| source.label.clone()),
                    border: (several && self.borders && speaking.contains(&source.name)).then_some(SPEAKING),
                    chroma_key: source.chroma_key,
                    ..tile
                })
                .collect(),
            overlays: self.overlays.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directed(name: &str) -> Directed {
        Directed::new(name.parse().unwrap(), name.to_owned())
    }

    #[test]
    fn one_untouched_source_passes_through_and_anything_else_is_mixed() {
        let alone = Direction { sources: vec![directed("demo")], labels: true, ..Direction::default() };
        assert_eq!(alone.passed_through(), Some(&"demo".parse().unwrap()));
        let muted = Directed { hear: false, ..directed("demo") };
        let louder = Directed { gain_db: 3.0, ..directed("demo") };
        for sources in [vec![], vec![directed("demo"), directed("demo/anna")], vec![muted], vec![louder]] {
            assert_eq!(Direction { sources, ..alone.clone() }.passed_through(), None);
        }
        assert_eq!(Direction { expects: true, ..alone }.passed_through(), None);
    }

    #[test]
    fn labels_and_borders_are_drawn_if_the_direction_wants_them() {
        let sources = vec![directed("demo"), directed("demo/anna")];
        let direction = Direction { sources, labels: true, borders: true, ..Direction::default() };
        let canvas = Size { width: 1280, height: 720 };
        let scene = direction.scene(canvas, 30.0, &["demo/anna".parse().unwrap()]);
        assert_eq!(scene.lead, Some(InputId::from(&"demo".parse().unwrap())));
        assert_eq!(scene.tiles[1].label.as_deref(), Some("demo/anna"));
        assert_eq!((scene.tiles[0].border, scene.tiles[1].border), (None, Some(SPEAKING)));
    }
}
