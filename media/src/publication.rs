//! A publication: the right to feed a source, held by one session.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::advice::{Advisor, LeftOut};
use crate::clock::{Alignment, Corrected, SourceClock};
use crate::codec::Parameters;
use crate::codec::metadata::MESSAGE_BYTES_MAX;
use crate::drops::DropReason;
use crate::ended::{Ended, TakenOver};
use crate::frame::Frame;
use crate::key::{Keyed, MediaKind, Rendition, TrackKey};
use crate::metric;
use crate::order::Stated;
use crate::source::{Publisher, Source};
use crate::time::Ticks;
use crate::track::Track;

/// How long after the first frame viewers wait for a main track that was not announced.
const SETTLE: Duration = Duration::from_secs(1);

/// Is a frame as a protocol brought it, with the publisher's own timestamps.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The number of its track among the publisher's tracks of this kind.
    pub rendition: Rendition,
    /// The decoding time on the clock of `parameters`. Zero is the same moment for all tracks, as far as the publisher
    /// knows.
    pub dts: Ticks,
    /// The presentation time on the same clock.
    pub pts: Ticks,
    /// Whether decoding can start here. It is always true for audio and data.
    pub keyframe: bool,
    /// The parameters. It is the same `Arc` as before unless they changed.
    pub parameters: Arc<Parameters>,
    /// The frame in canonical form.
    pub payload: Bytes,
}

/// Feeds one source. Dropping it starts the source's grace period.
#[derive(Debug)]
pub struct Publication {
    source: Arc<Source>,
    publisher: u64,
    clock: SourceClock,
    tracks: Keyed<Arc<Track>>,
    /// The tracks that were announced. If none was, the publication waits for the main video and audio.
    expected: Option<Vec<TrackKey>>,
    first_frame: Option<Instant>,
    settled: bool,
    /// Whether all its tracks are there, so that it waits for none any more.
    is_complete: bool,
    advisor: Box<Advisor>,
    /// Why it may push no more.
    ended: Option<Ended>,
}

impl Publication {
    pub(crate) fn new(source: Arc<Source>, publisher: Publisher, now: Instant) -> Self {
        let publisher = source.connect(publisher, now);
        let clock = source.resume_clock();
        Self {
            source,
            publisher,
            clock,
            tracks: Keyed::new(),
            expected: None,
            first_frame: None,
            settled: false,
            is_complete: false,
            advisor: Box::default(),
            ended: None,
        }
    }

    /// Returns the source that it feeds.
    pub fn source(&self) -> &Arc<Source> {
        &self.source
    }

    /// Notes that the publisher itself is connected, which its offer alone did not show.
    pub fn arrived(&mut self, now: Instant) {
        self.source.arrived(self.publisher, now);
    }

    /// Notes what tells how its tracks lie beside each other. By WHIP reports are awaited until this is called.
    pub fn align(&mut self, alignment: Alignment) {
        self.clock.align(alignment);
    }

    /// States the tracks that the publisher has announced, so that no viewer waits for one that never comes.
    pub fn expect(&mut self, keys: impl IntoIterator<Item = TrackKey>) {
        self.expected = Some(keys.into_iter().collect());
    }

    /// States further renditions of video that the publisher has announced, so that a viewer who comes at once finds them.
    pub fn expect_further(&mut self, renditions: &[Rendition]) {
        let expected = self.expected.get_or_insert_with(|| vec![TrackKey::VIDEO, TrackKey::AUDIO]);
        let further = renditions.iter().map(|rendition| TrackKey::new(MediaKind::Video, *rendition));
        expected.retain(|key| key.rendition == Rendition::MAIN);
        expected.extend(further);
    }

    /// Ends a further track, which the publisher does not send any more. It may begin again.
    pub fn end_track(&mut self, key: TrackKey) {
        if !key.leads() && self.is_current() && self.tracks.remove(key).is_some() {
            self.source.end_track(key);
        }
    }

    /// Puts a frame on its track, on the program's timeline. Impossible times are corrected and counted (see
    /// [`crate::clock`]), and later code relies on them. A frame of a track that the feed has no room for is dropped
    /// and counted, and so is a message of timed metadata that is too large.
    ///
    /// A publisher that sends more than `ingest.bitrate` is ended: whatever else it cost would be another's. Of one that changes its
    /// parameters too often, frames are left out up to a keyframe. The bytes of the frame were charged where they came in ([`Publication::received`]).
    pub fn push(&mut self, arrival: Arrival, now: Instant) -> Result<(), Ended> {
        self.push_held(arrival, now, now)
    }

    /// Does the same for a frame that was ready at `ready` and held until `now`, to be released in step with others that came late. It is
    /// placed by when it was ready.
    pub fn push_held(&mut self, arrival: Arrival, ready: Instant, now: Instant) -> Result<(), Ended> {
        if !self.source.hear(self.publisher, now) {
            self.ended.get_or_insert(TakenOver.into());
        }
        if let Some(ended) = self.ended {
            DropReason::FrameAfterEnd.count(1);
            return Err(ended);
        }
        let Arrival { rendition, keyframe, parameters, .. } = &arrival;
        let taken = self.source.intake().take(*rendition, parameters, *keyframe, now);
        if !taken.inspect_err(|ended| self.ended = Some(*ended))? {
            self.advisor.left_out(parameters.kind(), LeftOut::EarlyChange, now);
            if let Some(video) = self.tracks.get(TrackKey::new(MediaKind::Video, *rendition)) {
                video.want_keyframe();
            }
            return Ok(());
        }
        if arrival.parameters.kind() == MediaKind::Data && arrival.payload.len() > MESSAGE_BYTES_MAX {
            DropReason::MessageTooLarge.count(1);
            return Ok(());
        }
        match self.track(arrival.rendition, &arrival.parameters) {
            Some(track) => {
                self.advisor.passed_on(arrival.parameters.kind(), now);
                let frame = Frame { arrived: now, ..self.place(arrival, ready) };
                self.source.append(&track, frame);
            }
            None => DropReason::TooManyTracks.count(1),
        }
        self.settle_when_complete(now);
        Ok(())
    }

    /// Charges `bytes` of the publisher, as they were on the wire, in this number of messages or packets. A session calls this once
    /// for all that comes, where it comes in, and whatever becomes of it: a frame, a repair, padding, a codec that is not carried.
    pub fn received(&mut self, bytes: usize, messages: u64, now: Instant) -> Result<(), Ended> {
        if !self.is_current() {
            self.ended.get_or_insert(TakenOver.into()); // What its source may take in is its successor's.
        }
        match self.ended {
            Some(ended) => Err(ended),
            None => {
                let received = self.source.intake().receive(bytes, messages, now);
                received.inspect_err(|ended| self.ended = Some(*ended))
            }
        }
    }

    fn place(&mut self, arrival: Arrival, now: Instant) -> Frame {
        let Arrival { rendition, dts, pts, keyframe, parameters, payload } = arrival;
        let stated = Stated {
            key: TrackKey::new(parameters.kind(), rendition),
            dts,
            pts,
            rate: parameters.clock_rate(),
            may_reorder: parameters.reorders() != Some(false),
        };
        let placed = self.clock.place(stated, self.source.clock().wall(now));
        self.count(stated.key, placed.corrected);
        Frame { dts: placed.dts, pts: placed.pts, wall: placed.wall, arrived: now, keyframe, parameters, payload }
    }

    fn count(&self, track: TrackKey, corrected: Corrected) {
        if corrected.step {
            tracing::debug!(source = %self.source.name(), %track, "a publisher's clock stepped, so its track is placed anew");
        }
        for reason in corrected.reasons() {
            metrics::counter!(metric::TIMESTAMPS_CORRECTED, "reason" => reason).increment(1);
        }
    }

    /// Notes that metadata or a header speaks of this kind: if no frame of it comes, the publisher is advised.
    pub fn announced(&mut self, kind: MediaKind, now: Instant) {
        self.advisor.announced(kind, now);
    }

    /// Notes that the session leaves out a frame that the publisher sent.
    pub fn left_out(&mut self, kind: MediaKind, cause: LeftOut, now: Instant) {
        self.advisor.left_out(kind, cause, now);
    }

    /// Brings the source's advice up to date. Returns what is new in it, as sentences for the publisher.
    pub fn poll_advice(&mut self, now: Instant) -> Vec<String> {
        let Some((standing, told)) = self.advisor.poll_news(now) else { return Vec::new() };
        self.source.advise(self.publisher, standing);
        told
    }

    /// Returns the moment to call [`Publication::poll_advice`] at, should nothing come before.
    pub fn advice_timeout(&self) -> Option<Instant> {
        self.advisor.poll_timeout()
    }

    /// Returns whether it may still push, because no other publisher took the name over.
    pub fn is_current(&self) -> bool {
        self.source.is_current(self.publisher)
    }

    /// Waits until another publisher takes the name over, for a publisher that sends nothing and would not notice. The
    /// future may be dropped and made again.
    pub async fn taken_over(&self) -> TakenOver {
        let mut publishers = self.source.publishers();
        // It cannot fail, because the source, which holds the sender, is held here.
        let _ = publishers.wait_for(|publisher| *publisher != self.publisher).await;
        TakenOver
    }

    /// Returns whether a viewer has asked for a keyframe of any video since the last call.
    pub fn take_keyframe_wanted(&self) -> bool {
        let video = self.tracks.of_kind(MediaKind::Video);
        // All requests are cleared, because a keyframe comes on all renditions at once.
        let wanted = video.filter(|(_, track)| track.take_keyframe_wanted()).count() > 0;
        self.source.take_keyframe_wanted() || wanted
    }

    /// Returns the track for frames of `parameters`: the one that this publisher feeds, the one that a predecessor
    /// left, or a new one. `None` if the feed has no room for another.
    fn track(&mut self, rendition: Rendition, parameters: &Arc<Parameters>) -> Option<Arc<Track>> {
        let key = TrackKey::new(parameters.kind(), rendition);
        let fits = |track: &Arc<Track>| {
            track.clock_rate() == parameters.clock_rate() && track.parameters().codec() == parameters.codec()
        };
        if let Some(track) = self.tracks.get(key).filter(|track| fits(track)) {
            return Some(track.clone());
        }
        let track = match self.source.feed().original(key).filter(fits) {
            Some(track) => {
                track.restart(parameters.clone());
                track
            }
            None => {
                let track = Arc::new(Track::with_rendition(rendition, parameters.clone()));
                self.source.feed().set_original(track.clone()).then_some(track)?
            }
        };
        self.source.fill_anew(&track);
        self.source.changed();
        self.tracks.insert(key, track.clone());
        Some(track)
    }

    fn settle_when_complete(&mut self, now: Instant) {
        if self.is_complete {
            return;
        }
        let since_first = now.saturating_duration_since(*self.first_frame.get_or_insert(now));
        let expected = self.expected.as_deref().unwrap_or(&[TrackKey::VIDEO, TrackKey::AUDIO]);
        let all_here = expected.iter().all(|key| self.tracks.contains(*key));
        if !self.settled && (all_here || since_first >= SETTLE) {
            self.source.settle();
            self.settled = true;
        }
        if since_first >= SETTLE {
            self.end_what_is_left();
            self.is_complete = true;
        }
    }

    /// Ends the further tracks of a predecessor that this publisher has not brought, because their viewers would wait
    /// for ever. The main ones stay, because they may be away for a while.
    fn end_what_is_left(&self) {
        let left = self.source.feed().keys().into_iter().filter(|key| !key.leads() && !self.tracks.contains(*key));
        left.for_each(|key| self.source.end_track(key));
    }
}

impl Drop for Publication {
    fn drop(&mut self) {
        self.source.disconnect(self.publisher);
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::advice::Advice;
    use crate::codec;
    use crate::gate::Admission;
    use crate::hub::{Hub, HubLimits};
    use crate::source::Protocol;
    use crate::testing::{audio, h264, video};
    use crate::time::NodeClock;

    const BITRATE: u64 = 2_000_000;

    fn publication(now: Instant) -> Publication {
        let limits = HubLimits { bitrate: BITRATE, ..HubLimits::default() };
        let hub = Hub::new(NodeClock::new(now, SystemTime::UNIX_EPOCH), limits, None);
        hub.publish(&"demo".parse().unwrap(), Admission::default().by(Protocol::Rtmp), now).unwrap()
    }

    fn arrival(parameters: &Arc<Parameters>, dts: Ticks, bytes: usize) -> Arrival {
        let (parameters, payload) = (parameters.clone(), Bytes::from(vec![0; bytes]));
        Arrival { rendition: Rendition::MAIN, dts, pts: dts, keyframe: true, parameters, payload }
    }

    #[test]
    fn a_stream_may_have_its_whole_bitrate_and_the_frames_of_a_stream() {
        let start = Instant::now();
        let mut publication = publication(start);
        let (video, audio) = (video(), audio());
        for frame in 0..60 * 60 {
            let now = start + Duration::from_secs(frame) / 60;
            let bytes = BITRATE as usize / 8 / 60 - 160;
            let dts = Ticks(i64::try_from(frame).unwrap() * 1500);
            publication.received(bytes + bytes.div_ceil(1170) * 30, 4, now).unwrap();
            publication.push(arrival(&video, dts, bytes), now).unwrap();
            publication.received(160 + 30, 1, now).unwrap();
            publication.push(arrival(&audio, Ticks(dts.0 / 90 * 48), 160), now).unwrap();
            publication.received(0, 1, now).unwrap();
        }
    }

    #[test]
    fn a_publisher_of_tiny_frames_is_ended_long_before_it_is_at_its_bitrate() {
        let now = Instant::now();
        let mut publication = publication(now);
        let audio = audio();
        let mut push = |frame: i64| publication.push(arrival(&audio, Ticks(frame * 960), 1), now);
        let pushed = (0..1_000_000).find(|frame| push(*frame).is_err());
        let pushed = usize::try_from(pushed.unwrap()).unwrap();
        assert!(pushed * Frame::OVERHEAD < 6 * BITRATE as usize / 8, "{pushed}");
    }

    #[test]
    fn a_publisher_that_begins_again_and_again_has_no_more_than_one_that_goes_on() {
        let now = Instant::now();
        let limits = HubLimits { bitrate: BITRATE, ..HubLimits::default() };
        let hub = Hub::new(NodeClock::new(now, SystemTime::UNIX_EPOCH), limits, None);
        let parameters = video();
        let pushed = |now| {
            let by = Admission::default().by(Protocol::Rtmp);
            let mut publication = hub.publish(&"demo".parse().unwrap(), by, now).unwrap();
            let mut send = |frame| {
                publication.received(50_000, 1, now)?;
                publication.push(arrival(&parameters, Ticks(frame), 50_000), now)
            };
            (0..1_000).find(|frame| send(*frame).is_err()).unwrap()
        };
        assert!((15..40).contains(&pushed(now)));
        assert_eq!((pushed(now), pushed(now)), (0, 0));
        assert!((1..10).contains(&pushed(now + Duration::from_secs(1))));
    }

    #[test]
    fn of_a_publisher_that_changes_its_parameters_again_and_again_some_forms_are_left_out() {
        let start = Instant::now();
        let (here, there, other) = (h264(), video(), audio());
        let after = |frame: u64, rate: u64| start + Duration::from_millis(frame * 1000 / rate);
        // Returns how many of `count` forms in a row went on, and the advice at the end.
        let flips = |rate, count| {
            let (mut publication, mut taken) = (publication(start), 0);
            for frame in 0..count {
                let parameters = if frame % 2 == 0 { &here } else { &there };
                let dts = Ticks(i64::try_from(frame * 90_000 / rate).unwrap());
                publication.push(arrival(&other, Ticks(dts.0 / 90 * 48), 10), after(frame, rate)).unwrap();
                publication.push(arrival(parameters, dts, 10), after(frame, rate)).unwrap();
                taken += u64::from(is_newest(&publication, parameters));
            }
            publication.poll_advice(after(count, rate));
            let advice: Vec<_> = publication.source().advice().iter().map(Advice::code).collect();
            (taken, advice)
        };
        assert_eq!(flips(2, 2_000), (2_000, vec![]), "two in a second");
        assert_eq!(flips(3, 20), (20, vec![]), "a phone that is turned in the hand");
        let (taken, advice) = flips(30, 2_000);
        assert!((1_000..1_400).contains(&taken), "{taken}: those of the first form, and two others a second");
        assert_eq!(advice, ["too_many_changes"]);
        let mut publication = publication(start);
        for frame in 0..1_000 {
            // Other values that say the same, as of an encoder that repeats its header.
            let same = Arc::new(Parameters::clone(&here));
            let dts = Ticks(i64::try_from(frame * 3_000).unwrap());
            publication.push(arrival(&same, dts, 10), after(frame, 30)).unwrap();
        }
    }

    #[test]
    fn behind_a_form_that_was_left_out_the_track_goes_on_with_a_keyframe() {
        let start = Instant::now();
        let mut publication = publication(start);
        let (here, there) = (h264(), video());
        let mut change = 0;
        let mut push = |parameters: &Arc<Parameters>, keyframe, now| {
            change += 1;
            publication.push(Arrival { keyframe, ..arrival(parameters, Ticks(change), 10) }, now).unwrap();
            (is_newest(&publication, parameters), publication.take_keyframe_wanted())
        };
        assert!((0..30).all(|at| push([&here, &there][at % 2], true, start).0));
        assert_eq!(push(&here, true, start), (false, true), "there is no room for it");
        let later = start + Duration::from_secs(5);
        assert_eq!(push(&here, false, later), (false, true), "it refers to a frame that was left out");
        for (parameters, keyframe) in [(&here, true), (&there, true), (&there, false)] {
            assert_eq!(push(parameters, keyframe, later), (true, false));
        }
    }

    /// Returns whether the newest frame of the video is of these parameters.
    fn is_newest(publication: &Publication, parameters: &Arc<Parameters>) -> bool {
        let track = publication.source().feed().original(MediaKind::Video);
        track.and_then(|track| track.newest()).is_some_and(|frame| Arc::ptr_eq(&frame.parameters, parameters))
    }

    #[test]
    fn parameters_that_viewers_get_with_each_keyframe_are_charged() {
        let now = Instant::now();
        let large = |keyframe| {
            let Parameters::H264(known) = Parameters::clone(&h264()) else { unreachable!() };
            let pps = vec![Bytes::from([&known.pps[0][..], &[1; 50_000]].concat())];
            let parameters = codec::h264::Parameters::from_parameter_sets(known.sps, pps).unwrap();
            let parameters = Arc::new(Parameters::H264(parameters));
            let mut publication = publication(now);
            let push = |frame: &i64| {
                let arrival = Arrival { keyframe, ..arrival(&parameters, Ticks(frame * 3_000), 10) };
                publication.push(arrival, now).is_err()
            };
            (0..10_000).find(push)
        };
        assert!((15..40).contains(&large(true).unwrap()));
        assert!(large(false).unwrap() > 1_000);
    }

    #[test]
    fn what_brings_no_frame_is_charged_by_its_bytes_and_by_its_number() {
        let now = Instant::now();
        for (bytes, messages) in [(0, 1), (1200, 1), (1 << 20, 1), (0, 1000)] {
            let mut publication = publication(now);
            assert_eq!(publication.received(0, 0, now), Ok(()));
            let taken = (0..10_000).take_while(|_| publication.received(bytes, messages, now).is_ok()).count();
            // Four seconds of 2 Mbit/s, of 400 overheads, and of headers.
            let cost = taken * bytes.max(usize::try_from(messages).unwrap() * Frame::OVERHEAD);
            assert!((400_000..=1_450_000).contains(&cost), "{bytes} bytes in {messages}: {cost}");
            let later = now + Duration::from_secs(1);
            assert_eq!(publication.received(1, 1, later), Err(Ended::TooMuch(BITRATE)), "it is over");
        }
    }
}
