//! What a room's program is to be: its sources in order, and how they are shown. A value, and two questions about it.

use onmic_media::SourceName;
use onmic_mixer::scene::{Background, ChromaKey, Colour, Fit, InputId, Layout, Overlay, Scene, Size, Tile};

/// Around the picture of who speaks.
const SPEAKING: Colour = Colour::rgb(0x3d, 0xd6, 0x8c);

/// See the module.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Direction {
    /// The host first.
    pub sources: Vec<Directed>,
    /// Where they go.
    pub layout: Layout,
    /// Over them.
    pub overlays: Vec<Overlay>,
    /// Behind them.
    pub background: Background,
    /// Whether names are written on the pictures of a mix.
    pub labels: bool,
    /// Whether who speaks is framed in a mix of several.
    pub borders: bool,
}

/// One source of a program.
#[derive(Clone, Debug, PartialEq)]
pub struct Directed {
    /// Whose.
    pub name: SourceName,
    /// As people know it.
    pub label: String,
    /// Its picture is shown; else its placeholder.
    pub show: bool,
    /// Its sound, if it sends any, is heard.
    pub hear: bool,
    /// Louder or quieter, dB.
    pub gain_db: f32,
    /// Noise suppression.
    pub denoise: bool,
    /// Automatic gain.
    pub auto_gain: bool,
    /// A screen behind it that is seen through.
    pub chroma_key: Option<ChromaKey>,
    /// Into its tile.
    pub fit: Option<Fit>,
}

impl Directed {
    /// As it comes.
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
    /// The source that is the program as it comes: the only one, with nothing done to it and nothing over it.
    pub fn passed_through(&self) -> Option<&SourceName> {
        match &*self.sources {
            [only] if only.is_untouched() && self.overlays.is_empty() => Some(&only.name),
            _ => None,
        }
    }

    /// What the mixer draws. `speaking` are framed.
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
    fn one_source_alone_passes_through_and_anything_more_is_mixed() {
        let alone = Direction { sources: vec![directed("demo")], labels: true, ..Direction::default() };
        assert_eq!(alone.passed_through(), Some(&"demo".parse().unwrap()));
        let muted = Directed { hear: false, ..directed("demo") };
        let louder = Directed { gain_db: 3.0, ..directed("demo") };
        for sources in [vec![], vec![directed("demo"), directed("demo/anna")], vec![muted], vec![louder]] {
            assert_eq!(Direction { sources, ..alone.clone() }.passed_through(), None);
        }
    }

    #[test]
    fn names_and_frames_are_drawn_where_they_are_wanted() {
        let sources = vec![directed("demo"), directed("demo/anna")];
        let direction = Direction { sources, labels: true, borders: true, ..Direction::default() };
        let canvas = Size { width: 1280, height: 720 };
        let scene = direction.scene(canvas, 30.0, &["demo/anna".parse().unwrap()]);
        assert_eq!(scene.lead, Some(InputId::from(&"demo".parse().unwrap())));
        assert_eq!(scene.tiles[1].label.as_deref(), Some("demo/anna"));
        assert_eq!((scene.tiles[0].border, scene.tiles[1].border), (None, Some(SPEAKING)));
    }
}
