//! Frames of a feed out to one RTMP player: which tracks it can take, where it joins, what each frame becomes.
//!
//! Invariants: a kind's configuration goes out before its first frame and whenever it changes; both kinds are on one
//! timeline that starts near 0; of what is ready the oldest goes first, and nothing waits for the other kind.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use onmic_media::feed::Unavailable;
use onmic_media::flv;
use onmic_media::{Accept, ClockRate, Codec, Demand, Feed, Frame, Join, MediaKind, Parameters, Read, Reader, Ticks};

use super::capabilities::Capabilities;
use super::session::Session;

const KINDS: [MediaKind; 2] = [MediaKind::Video, MediaKind::Audio];

/// The tracks a player was granted.
#[derive(Debug)]
pub(super) struct Tracks([Option<Demand>; 2]);

impl Tracks {
    /// The tracks of `feed` for a player with `capabilities`. Blocks while a codec opens. Pictures that cannot be
    /// converted are a refusal, sound that cannot be is left out.
    pub(super) fn demand(feed: &Arc<Feed>, capabilities: &Capabilities) -> Result<Self, Unavailable> {
        let accept = Accept { codecs: &capabilities.codecs, reordering: true };
        let video = match feed.demand(MediaKind::Video, accept) {
            Ok(demand) => Some(demand),
            Err(Unavailable::NoTrack(_)) => None,
            Err(unavailable) => return Err(unavailable),
        };
        let audio = match feed.demand(MediaKind::Audio, accept) {
            Ok(demand) => Some(demand),
            Err(unavailable) if video.is_none() => return Err(unavailable),
            Err(unavailable) => {
                tracing::debug!(%unavailable, "playing without sound");
                None
            }
        };
        Ok(Self([video, audio]))
    }

    fn track(&self, kind: MediaKind) -> Option<&Demand> {
        self.0[kind as usize].as_ref()
    }
}

/// What a player has to do next.
#[derive(Debug)]
pub(super) enum Next {
    /// The next frame to send.
    Frame(MediaKind, Arc<Frame>),
    /// so many frames were evicted before the player took them.
    Skipped(u64),
    /// A track ended.
    Ended,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Player {
    tracks: Tracks,
    lines: [Line; 2],
    paused: bool,
    /// The moment of the timeline, in milliseconds, that the player sees as 0.
    origin: Option<i64>,
}

#[derive(Debug, Default)]
struct Line {
    reader: Option<Reader>,
    pending: Option<Arc<Frame>>,
    sent: Option<Arc<Parameters>>,
    unwanted: bool,
}

impl Player {
    /// Joins `tracks` at the newest group. `origin` continues the timeline of a player that had other tracks before.
    pub(super) fn new(tracks: Tracks, origin: Option<i64>) -> Self {
        let mut player = Self { tracks, lines: Default::default(), paused: false, origin };
        player.join();
        player
    }

    /// The moment this player's 0 stands for.
    pub(super) fn origin(&self) -> Option<i64> {
        self.origin
    }

    /// The metadata of the tracks as they are now.
    pub(super) fn metadata(&self) -> Bytes {
        let [video, audio] = KINDS.map(|kind| self.tracks.track(kind).map(|demand| demand.track().parameters()));
        flv::on_meta_data(video.as_deref(), audio.as_deref())
    }

    /// Stops, or goes on at the newest group.
    pub(super) fn pause(&mut self, paused: bool) {
        if self.paused && !paused {
            self.join();
        }
        self.paused = paused;
    }

    /// Whether media of this kind is wanted.
    pub(super) fn receive(&mut self, kind: MediaKind, wanted: bool) {
        let line = &mut self.lines[kind as usize];
        if line.unwanted && wanted {
            line.pending = None;
            line.reader = self.tracks.0[kind as usize].as_ref().map(|demand| demand.track().reader(Join::Group));
        }
        line.unwanted = !wanted;
    }

    /// Waits for what comes next.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        let next = self.next(|reader| match reader.poll_read(cx) {
            Poll::Ready(read) => Some(read),
            Poll::Pending => None,
        });
        next.map_or(Poll::Pending, Poll::Ready)
    }

    /// What comes next, if it is there.
    pub(super) fn try_next(&mut self) -> Option<Next> {
        self.next(Reader::try_read)
    }

    fn next(&mut self, mut read: impl FnMut(&mut Reader) -> Option<Read>) -> Option<Next> {
        if self.paused {
            return None;
        }
        for kind in KINDS {
            let line = &mut self.lines[kind as usize];
            if line.unwanted || line.pending.is_some() {
                continue;
            }
            match line.reader.as_mut().and_then(&mut read) {
                None => {}
                Some(Read::Frame(frame)) => line.pending = Some(frame),
                Some(Read::Skipped(frames)) => return Some(Next::Skipped(frames)),
                Some(Read::Ended) => return Some(Next::Ended),
            }
        }
        let ready = KINDS.into_iter().filter_map(|kind| {
            let frame = self.lines[kind as usize].pending.as_ref()?;
            Some((self.millis(kind, frame.dts), kind))
        });
        // At one moment pictures go first: `min_by_key` takes the first of equals.
        let (_, kind) = ready.min_by_key(|(millis, _)| *millis)?;
        let frame = self.lines[kind as usize].pending.take()?;
        Some(Next::Frame(kind, frame))
    }

    /// Writes `frame` as tags, its configuration before it where that is new.
    pub(super) fn send(&mut self, kind: MediaKind, frame: &Frame, session: &mut Session) {
        let dts = self.millis(kind, frame.dts);
        let pts = self.millis(kind, frame.pts);
        let origin = *self.origin.get_or_insert(dts);
        let timestamp = (dts - origin).max(0) as u32; // Wraps after 49 days, as RTMP does.
        let line = &mut self.lines[kind as usize];
        if !line.sent.as_ref().is_some_and(|sent| Arc::ptr_eq(sent, &frame.parameters)) {
            let config = match kind {
                MediaKind::Video => flv::write_video_config(&frame.parameters),
                MediaKind::Audio => flv::write_audio_config(&frame.parameters),
                MediaKind::Data => return skip_data(),
            };
            line.sent = Some(frame.parameters.clone());
            session.media(kind, timestamp, &[], config);
        }
        let codec: Codec = frame.parameters.codec();
        let composition_ms = i32::try_from(pts - dts).unwrap_or(0);
        let head = match kind {
            MediaKind::Video => flv::write_video_header(codec, frame.keyframe, composition_ms),
            MediaKind::Audio => flv::write_audio_header(codec),
            MediaKind::Data => return skip_data(),
        };
        session.media(kind, timestamp, &head, frame.payload.clone());
    }

    /// Pictures from the newest group, and sound from the moment of its keyframe on.
    fn join(&mut self) {
        let keyframe = self.tracks.track(MediaKind::Video).and_then(|demand| demand.track().newest_keyframe());
        for kind in KINDS {
            let join = match (kind, &keyframe) {
                (MediaKind::Audio, Some(keyframe)) => Join::At(keyframe.wall),
                _ => Join::Group,
            };
            let line = &mut self.lines[kind as usize];
            line.reader = self.tracks.0[kind as usize].as_ref().map(|demand| demand.track().reader(join));
            line.pending = None;
        }
    }

    fn millis(&self, kind: MediaKind, ticks: Ticks) -> i64 {
        let rate = self.tracks.track(kind).map_or(ClockRate::MILLIS, |demand| demand.track().clock_rate());
        ticks.rescale(rate, ClockRate::MILLIS).0
    }
}

/// RTMP carries no timed metadata yet.
fn skip_data() {
    metrics::counter!("onmic_drops_total", "reason" => "data_not_carried").increment(1);
}
