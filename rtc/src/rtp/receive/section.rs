//! One media section of a publisher: the streams that arrive for it, and the renditions that they become.
//!
//! More than one stream may arrive for a section: the layers of simulcast (RFC 8853), and a stream that takes the place of
//! another, with or without a goodbye. The stream that leads is the section's track. A stream takes the lead with a keyframe: if none
//! leads, if the leader is gone, if its own pictures are larger, or if it is new and its pictures are as large. So the largest layer
//! that arrives leads, whatever the order of layers, and two streams never alternate.
//!
//! A layer that does not lead is a further rendition, with the lowest number that is free. It keeps its number until it has been silent
//! for [`GONE`], also while it leads in place of a larger one: so nobody who watches it is disturbed when the publisher pauses layers, as
//! browsers do on a poor uplink. It begins with a keyframe, once it is known how its clock lies beside the leader's. The frames of a
//! stream that is not a layer and does not lead are counted.
//!
//! A goodbye is a statement of the moment (RFC 3550 6.6): a stream that goes on after it is as it was before.
//!
//! A stream that could not take the lead and is no layer is asked for nothing, neither packets nor keyframes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use onmic_media::{Rendition, TrackKey};

use super::layer::Layer;
use super::stream::{Arrived, Stream};
use super::{IncomingCounters, StreamConfig};
use crate::rtp::packet::{Incoming as Packet, Mid};

/// The most simulcast layers of a section. Browsers send three.
pub const LAYERS_MAX: usize = 4;
/// The most streams of a section: its layers, and one that takes the place of another.
const STREAMS_MAX: usize = LAYERS_MAX + 1;
/// After this long without a packet of the leader, another stream may take the lead.
const SILENCE: Duration = Duration::from_secs(1);
/// The other stream has to bring this many frames meanwhile, because all layers of a still picture are silent for long.
const FRAMES_ALONE: u8 = 3;

/// A layer that has been silent for this long while the leader goes on is not sent any more.
const GONE: Duration = Duration::from_secs(5);
/// A layer begins without a report that relates its clock to the leader's after this long: reports come once a second.
const UNRELATED: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub(super) struct Section {
    pub(super) config: Arc<StreamConfig>,
    pub(super) streams: Vec<Stream>,
    /// The index of the stream that leads.
    lead: Option<usize>,
    /// The number of the first further rendition.
    first: u8,
    /// The further renditions whose streams have given their places to others.
    lost: Vec<Rendition>,
}

/// The outcome of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The frame is published. Its stream led before.
    Leads,
    /// The frame is the first with which its stream leads. Its timestamps are not related to those before.
    TakesLead,
    /// The frame is left out.
    LeftOut,
}

impl Section {
    /// Makes a section whose layers are numbered from `first` on.
    pub(super) fn new(config: StreamConfig, first: u8) -> Self {
        let config = Arc::new(config);
        let announced = config.ssrc.map(|ssrc| Stream::new(config.clone(), ssrc, config.repair_ssrc, Mid::default()));
        Self { streams: announced.into_iter().collect(), lead: None, first, lost: Vec::new(), config }
    }

    /// Returns the stream that is published.
    pub(super) fn leader(&self) -> Option<&Stream> {
        self.streams.get(self.lead?)
    }

    /// Returns whether a stream is published.
    pub(super) fn is_leader(&self, index: usize) -> bool {
        self.lead == Some(index)
    }

    /// Returns the stream that an SSRC or the SSRC of its repairs belongs to.
    pub(super) fn stream_of(&self, ssrc: u32) -> Option<usize> {
        self.streams.iter().position(|stream| stream.ssrc == ssrc || stream.repair_ssrc == Some(ssrc))
    }

    /// Returns the stream of a packet whose SSRC is new: another stream, or the repairs of one. `layer` is the layer that
    /// the packet names. `None` if there is no such stream to repair, or no room for another.
    pub(super) fn adopt(
        &mut self,
        packet: &Packet<'_>,
        layer: Option<&[u8]>,
        now: Instant,
        counters: &mut IncomingCounters,
    ) -> Option<usize> {
        if self.config.repaired(packet.payload_type).is_some() {
            let index = match layer.filter(|layer| !layer.is_empty()) {
                Some(layer) => self.streams.iter().position(|stream| stream.layer.as_bytes() == layer)?,
                None if self.streams.len() == 1 => 0,
                None => self.lead.filter(|lead| self.streams[*lead].repair_ssrc.is_none())?,
            };
            self.streams[index].repair_ssrc = Some(packet.ssrc);
            return Some(index);
        }
        let layer = layer.and_then(Mid::from_bytes).unwrap_or_default();
        let stream = Stream::new(self.config.clone(), packet.ssrc, None, layer);
        if self.streams.len() < STREAMS_MAX {
            self.streams.push(stream);
            return Some(self.streams.len() - 1);
        }
        let silent = self.streams.iter().enumerate().filter(|(_, stream)| !stream.is_heard(now, SILENCE));
        let (index, _) = silent.min_by_key(|(_, stream)| stream.heard())?;
        let (mut silent, mut left) = (std::mem::replace(&mut self.streams[index], stream), 0);
        silent.end(counters, |_| left += 1);
        counters.other_layer += left;
        self.lead = self.lead.filter(|lead| *lead != index);
        self.lost.extend(silent.further.map(|layer| layer.rendition));
        Some(index)
    }

    /// Returns the further rendition that a frame of a stream is of. A layer that does not lead gets one.
    pub(super) fn layer(&mut self, index: usize, now: Instant) -> Option<Layer> {
        let stream = &self.streams[index];
        if stream.further.is_none() && !stream.layer.as_bytes().is_empty() && !self.is_leader(index) {
            let is_free = |number: &u8| {
                let mut taken = self
                    .streams
                    .iter()
                    .filter_map(|other| Some(other.further?.rendition))
                    .chain(self.lost.iter().copied());
                taken.all(|rendition| rendition.0 != *number)
            };
            let number = (self.first..=u8::MAX).take(LAYERS_MAX - 1).find(is_free)?;
            let layer = Layer { rendition: Rendition(number), has_begun: false, since: now };
            self.streams[index].further = Some(layer);
        }
        self.streams[index].further
    }

    /// Begins the further rendition of a stream with its frame, if that is a keyframe and its clock `is_related` to the leader's. Asks
    /// for keyframes of all layers otherwise, so that they begin together.
    pub(super) fn begin_layer(&mut self, index: usize, keyframe: bool, is_related: bool, now: Instant) -> bool {
        let Some(layer) = &mut self.streams[index].further else { return false };
        let may_begin = is_related || now.saturating_duration_since(layer.since) >= UNRELATED;
        layer.has_begun |= may_begin && keyframe;
        let has_begun = layer.has_begun;
        if may_begin && !has_begun {
            self.streams[index].want_keyframe();
        }
        has_begun
    }

    /// Ends the further renditions of the layers that are not sent any more, and returns their keys.
    pub(super) fn end_layers(&mut self, now: Instant) -> impl Iterator<Item = TrackKey> {
        let kind = self.config.key.kind;
        let goes_on = self.leader().is_some_and(|leader| leader.is_heard(now, SILENCE));
        let gone = self.streams.iter_mut().filter(move |stream| goes_on && !stream.was_heard(now, GONE));
        let gone = gone.filter_map(|stream| Some(stream.further.take()?.rendition));
        gone.chain(self.lost.drain(..)).map(move |rendition| TrackKey::new(kind, rendition))
    }

    /// Decides whether a frame of a stream is published.
    pub(super) fn judge(&mut self, index: usize, arrived: &Arrived, now: Instant) -> Verdict {
        let keyframe = arrived.assembled.keyframe;
        let (width, height) = arrived.assembled.parameters.resolution().unwrap_or_default();
        let stream = &mut self.streams[index];
        stream.pixels = u64::from(width) * u64::from(height);
        let is_new = keyframe && !std::mem::replace(&mut stream.has_tried, true);
        if self.lead == Some(index) {
            self.streams.iter_mut().for_each(|stream| stream.alone = 0);
            return Verdict::Leads;
        }
        stream.alone = stream.alone.saturating_add(1);
        let stream = &self.streams[index];
        let takes = self.leader().is_none_or(|leader| {
            let is_gone = leader.ended.is_some() || (!leader.is_heard(now, SILENCE) && stream.alone >= FRAMES_ALONE);
            is_gone || stream.pixels > leader.pixels || (is_new && stream.pixels == leader.pixels)
        });
        if takes && keyframe {
            self.lead = Some(index);
            return Verdict::TakesLead;
        }
        if takes {
            self.streams[index].want_keyframe();
        }
        Verdict::LeftOut
    }

    /// Makes a stream ask for nothing if it could not take the lead now.
    pub(super) fn rest(&mut self, index: usize, now: Instant) {
        let Some(leader) = self.leader() else { return };
        let stream = &self.streams[index];
        let is_of_use = self.is_leader(index)
            || stream.further.is_some()
            || !leader.is_heard(now, SILENCE)
            || !stream.has_tried // It has not brought a picture yet, which may be the largest.
            || stream.pixels > leader.pixels;
        if !is_of_use {
            self.streams[index].rest();
        }
    }

    /// Notes that a viewer needs a keyframe: of the leader and of the layers, so that players change between them where they like, or of all streams as long as none leads.
    pub(super) fn want_keyframe(&mut self) {
        let lead = self.lead;
        let asked = self.streams.iter_mut().enumerate();
        asked
            .filter(|(index, stream)| lead.is_none_or(|lead| lead == *index || stream.further.is_some()))
            .for_each(|(_, stream)| stream.want_keyframe());
    }
}
