//! What a publisher's stream lacks, from what becomes of its frames: a header that never comes, an odd codec, a track too many.
//!
//! Invariant: nothing that a session reports as left out stays without advice for more than [`PATIENCE`], and advice ends with
//! its cause: with the first frame that is passed on, or [`LAPSE`] after the last one that was left out. What was refused when
//! the session began is advised of at once, and as long as it lasts. What comes in an unknown form beside frames of the kind that are
//! passed on (comfort noise, dialled digits, error correction) is nothing that viewers miss. Metadata and headers are hints. They say what to expect, and nothing waits for it.

use std::time::{Duration, Instant};

use super::Advice;
use crate::codec::Codec;
use crate::key::MediaKind;

/// States why a frame of a publisher is left out, as far as the publisher can do something about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeftOut {
    /// The parameters of this codec have not come.
    NoParameters(Codec),
    /// No keyframe has come.
    NoKeyframe,
    /// This server does not carry the codec, named as its protocol names it.
    UnsupportedCodec(String),
    /// The offer has the kind only in these forms, and the answer refused them.
    OfferRefused(String),
    /// It is of another track than the first of its kind.
    OtherTrack,
    /// It has other parameters than the frame before, too soon after other changes.
    EarlyChange,
    /// The offer has several sections of the kind, and the answer refused all but the first.
    OtherSection,
}

/// How long something that should come may be late: twice what viewers wait for a second track (1 s).
pub const PATIENCE: Duration = Duration::from_secs(2);

/// How long tags that were left out are spoken of after the last one: a person has to see it.
pub const LAPSE: Duration = Duration::from_secs(30);

const WATCHED: [MediaKind; 2] = [MediaKind::Video, MediaKind::Audio];

/// Watches one publisher.
#[derive(Debug, Default)]
pub struct Advisor {
    kinds: [Watched; WATCHED.len()],
    /// The advice that stands.
    standing: Vec<Advice>,
    /// Something happened that may change it.
    changed: bool,
    /// The moment at which time alone may change it.
    due: Option<Instant>,
}

/// Is what is known of one kind of media.
#[derive(Debug, Default)]
struct Watched {
    /// Metadata or a header spoke of it first then.
    announced: Option<Instant>,
    /// The moment of its last frame that was passed on.
    came: Option<Instant>,
    /// What its frames lack, and since when.
    lacks: Option<(Lack, Instant)>,
    /// A codec that is left out, and when something was last.
    unsupported: Option<(String, Instant)>,
    /// The forms in which the offer has it, and which the answer refused.
    refused: Option<String>,
    /// When a tag of another track was left out last.
    others: Option<Instant>,
    /// When a change of parameters was left out last.
    changes: Option<Instant>,
    /// The answer refused further sections of the offer.
    refused_others: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lack {
    Parameters(Codec),
    Keyframe,
}

impl Advisor {
    /// Notes that metadata or a header speaks of this kind.
    pub fn announced(&mut self, kind: MediaKind, now: Instant) {
        if let Some(watched) = self.watched(kind)
            && watched.announced.is_none()
        {
            watched.announced = Some(now);
            self.changed = true;
        }
    }

    /// Notes that a frame of this kind was passed on.
    pub fn passed_on(&mut self, kind: MediaKind, now: Instant) {
        let Some(watched) = self.watched(kind) else { return };
        let missed = watched.missed().is_some();
        let is_first = watched.came.replace(now).is_none();
        if is_first || missed || watched.lacks.is_some() || watched.refused.is_some() {
            (watched.lacks, watched.refused) = (None, None);
            self.changed = true;
        }
    }

    /// Notes that a frame of this kind was left out.
    pub fn left_out(&mut self, kind: MediaKind, cause: LeftOut, now: Instant) {
        let Some(watched) = self.watched(kind) else { return };
        self.changed |= match cause {
            LeftOut::NoParameters(codec) => watched.lack(Lack::Parameters(codec), now),
            LeftOut::NoKeyframe => watched.lack(Lack::Keyframe, now),
            LeftOut::OfferRefused(forms) => watched.refused.replace(forms).is_none(),
            LeftOut::OtherTrack => watched.others.replace(now).is_none(),
            LeftOut::EarlyChange => watched.changes.replace(now).is_none(),
            LeftOut::OtherSection => !std::mem::replace(&mut watched.refused_others, true),
            // The first codec is named, so that a stream of different ones is not told again and again.
            LeftOut::UnsupportedCodec(codec) => {
                let before = watched.missed().is_some();
                match &mut watched.unsupported {
                    Some((_, last)) => *last = now,
                    None => watched.unsupported = Some((codec, now)),
                }
                !before && watched.missed().is_some()
            }
        };
    }

    /// Returns the moment to ask for news at, should nothing happen before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// Returns all advice that stands now, the most important first, if it is not what stood at the last call; and what is new
    /// in it, as sentences for the publisher.
    pub fn poll_news(&mut self, now: Instant) -> Option<(Vec<Advice>, Vec<String>)> {
        if !self.changed && self.due.is_none_or(|due| now < due) {
            return None;
        }
        self.changed = false;
        self.due = self.kinds.iter().flat_map(Watched::deadlines).filter(|deadline| *deadline > now).min();
        let mut standing = Vec::new();
        for (watched, kind) in self.kinds.iter_mut().zip(WATCHED) {
            watched.forget(now);
            standing.extend(watched.advice(kind, now));
        }
        if standing == self.standing {
            return None;
        }
        let new = standing.iter().filter(|advice| !self.standing.contains(advice));
        let told = new.map(|advice| format!("{} {}.", advice.message(), advice.setting())).collect();
        self.standing.clone_from(&standing);
        Some((standing, told))
    }

    fn watched(&mut self, kind: MediaKind) -> Option<&mut Watched> {
        let index = WATCHED.iter().position(|watched| *watched == kind)?;
        self.kinds.get_mut(index)
    }
}

impl Watched {
    /// Notes what its frames lack, and returns whether that is new.
    fn lack(&mut self, lack: Lack, now: Instant) -> bool {
        let is_new = self.lacks.is_none_or(|(before, _)| before != lack);
        if is_new {
            self.lacks = Some((lack, now));
        }
        is_new
    }

    /// Returns the codec that is left out, if frames of the kind that are passed on did not come shortly before.
    fn missed(&self) -> Option<&str> {
        let (codec, last) = self.unsupported.as_ref()?;
        self.came.is_none_or(|came| *last >= came + PATIENCE).then_some(codec.as_str())
    }

    /// Returns the moments at which advice begins or ends without anything happening.
    fn deadlines(&self) -> impl Iterator<Item = Instant> {
        let announced = self.announced.filter(|_| self.came.is_none()).map(|since| since + PATIENCE);
        let lacks = self.lacks.map(|(_, since)| since + PATIENCE);
        let unsupported = self.unsupported.as_ref().map(|(_, last)| *last + LAPSE);
        let others = self.others.map(|last| last + LAPSE);
        let changes = self.changes.map(|last| last + LAPSE);
        [announced, lacks, unsupported, others, changes].into_iter().flatten()
    }

    fn forget(&mut self, now: Instant) {
        self.unsupported.take_if(|(_, last)| now >= *last + LAPSE);
        self.others.take_if(|last| now >= *last + LAPSE);
        self.changes.take_if(|last| now >= *last + LAPSE);
    }

    fn advice(&self, kind: MediaKind, now: Instant) -> impl Iterator<Item = Advice> {
        let is_due = |since: Instant| now >= since + PATIENCE;
        let unsupported = self.missed().map(|codec| Advice::UnsupportedCodec { kind, codec: codec.to_owned() });
        let lacks = self.lacks.filter(|(_, since)| is_due(*since)).map(|(lack, _)| match lack {
            Lack::Parameters(codec) => Advice::NoParameters(codec),
            Lack::Keyframe => Advice::NoKeyframe,
        });
        let refused = self.refused.clone().map(|forms| Advice::OfferRefused { kind, forms });
        // Whatever else is known of the kind says more than that it does not come.
        let silent = self.came.is_none() && self.lacks.is_none() && unsupported.is_none() && refused.is_none();
        let silent = self.announced.filter(|since| silent && is_due(*since)).map(|_| Advice::NoFrames(kind));
        let others = (self.others.is_some() || self.refused_others).then_some(Advice::OtherTracks(kind));
        let changes = self.changes.map(|_| Advice::EarlyChanges(kind));
        [lacks, silent, unsupported, refused, others, changes].into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: &str = "FLV sound format 7 (G.711 A-law)";

    struct Watch {
        advisor: Advisor,
        now: Instant,
    }

    impl Watch {
        fn new() -> Self {
            Self { advisor: Advisor::default(), now: Instant::now() }
        }

        fn left_out(&mut self, kind: MediaKind, cause: LeftOut) -> &mut Self {
            self.advisor.left_out(kind, cause, self.now);
            self
        }

        fn passed_on(&mut self, kind: MediaKind) -> &mut Self {
            self.advisor.passed_on(kind, self.now);
            self
        }

        fn codes(&mut self) -> Option<Vec<&'static str>> {
            let (standing, _) = self.advisor.poll_news(self.now)?;
            Some(standing.iter().map(Advice::code).collect())
        }

        fn after(&mut self, seconds: u64) -> Option<Vec<&'static str>> {
            self.now += Duration::from_secs(seconds);
            self.codes()
        }
    }

    #[test]
    fn a_header_that_never_comes_is_named_after_a_while_and_one_that_comes_late_is_not() {
        let missing = LeftOut::NoParameters(Codec::Aac);
        let mut watch = Watch::new();
        watch.left_out(MediaKind::Audio, missing.clone());
        assert_eq!(watch.codes(), None);
        assert_eq!(watch.advisor.poll_timeout(), Some(watch.now + PATIENCE));
        assert_eq!(watch.after(1), None);
        watch.left_out(MediaKind::Audio, missing.clone());
        watch.now += Duration::from_secs(1);
        let (standing, told) = watch.advisor.poll_news(watch.now).expect("news");
        assert_eq!(standing, [Advice::NoParameters(Codec::Aac)]);
        assert!(told[0].contains("AudioSpecificConfig") && told[0].contains("ADTS"), "{told:?}");
        assert_eq!(watch.left_out(MediaKind::Audio, missing.clone()).after(5), None, "it is told once");
        watch.passed_on(MediaKind::Audio);
        assert_eq!(watch.codes(), Some(Vec::new()), "it came after all");

        let mut watch = Watch::new();
        watch.left_out(MediaKind::Audio, missing);
        assert_eq!(watch.after(1), None);
        watch.passed_on(MediaKind::Audio);
        assert_eq!(watch.after(9), None);
    }

    #[test]
    fn what_the_offer_was_refused_is_told_at_once_and_for_as_long_as_it_does_not_come() {
        let mut watch = Watch::new();
        watch.left_out(MediaKind::Video, LeftOut::OfferRefused("VP9 (profile-id=2)".to_owned()));
        watch.advisor.announced(MediaKind::Audio, watch.now);
        watch.passed_on(MediaKind::Audio);
        assert_eq!(watch.codes(), Some(vec!["unsupported_codec"]));
        assert_eq!(watch.after(3600), None, "it still stands");
        watch.passed_on(MediaKind::Video);
        assert_eq!(watch.codes(), Some(Vec::new()));
    }

    #[test]
    fn further_sections_of_an_offer_are_told_of_at_once_and_for_as_long_as_the_session_lasts() {
        let mut watch = Watch::new();
        watch.left_out(MediaKind::Video, LeftOut::OtherSection);
        assert_eq!(watch.codes(), Some(vec!["other_tracks"]));
        watch.passed_on(MediaKind::Video);
        assert_eq!(watch.after(3600), None, "it still stands");
        assert_eq!(watch.left_out(MediaKind::Video, LeftOut::OtherTrack).after(0), None, "it is the same advice");
    }

    #[test]
    fn a_kind_that_is_announced_and_does_not_come_is_named_until_it_does() {
        let mut watch = Watch::new();
        watch.advisor.announced(MediaKind::Video, watch.now);
        watch.advisor.announced(MediaKind::Audio, watch.now);
        watch.passed_on(MediaKind::Audio);
        assert_eq!(watch.after(1), None);
        assert_eq!(watch.after(1), Some(vec!["no_video"]));
        watch.left_out(MediaKind::Video, LeftOut::NoKeyframe);
        assert_eq!(watch.codes(), Some(Vec::new()), "it comes, so it is not silent");
        assert_eq!(watch.after(2), Some(vec!["no_keyframe"]));
        watch.passed_on(MediaKind::Video);
        assert_eq!(watch.codes(), Some(Vec::new()));
    }

    #[test]
    fn an_odd_codec_and_other_tracks_are_named_at_once_and_for_a_while() {
        let mut watch = Watch::new();
        watch.advisor.announced(MediaKind::Audio, watch.now);
        watch.passed_on(MediaKind::Video);
        let odd = LeftOut::UnsupportedCodec(SOUND.to_owned());
        assert_eq!(watch.left_out(MediaKind::Audio, odd).codes(), Some(vec!["unsupported_codec"]));
        watch.left_out(MediaKind::Video, LeftOut::OtherTrack);
        watch.left_out(MediaKind::Video, LeftOut::EarlyChange);
        assert_eq!(watch.codes(), Some(vec!["other_tracks", "too_many_changes", "unsupported_codec"]));
        assert_eq!(watch.after(20), None);
        watch.left_out(MediaKind::Audio, LeftOut::UnsupportedCodec("another".to_owned()));
        assert_eq!(watch.after(10), Some(vec!["unsupported_codec"]), "the other track came no more");
        assert_eq!(watch.after(20), Some(vec!["no_audio"]), "nothing of the kind comes any more");
    }

    #[test]
    fn what_comes_in_an_unknown_form_beside_frames_is_told_only_when_they_stop() {
        let noise = || LeftOut::UnsupportedCodec("RTP payload type 13".to_owned());
        let mut watch = Watch::new();
        assert_eq!(watch.passed_on(MediaKind::Audio).left_out(MediaKind::Audio, noise()).codes(), None);
        for _ in 0..60 {
            assert_eq!(watch.left_out(MediaKind::Audio, noise()).after(1), None);
            assert_eq!(watch.passed_on(MediaKind::Audio).codes(), None);
        }
        assert_eq!(watch.after(1), None);
        assert_eq!(watch.left_out(MediaKind::Audio, noise()).after(1), None);
        assert_eq!(watch.left_out(MediaKind::Audio, noise()).codes(), Some(vec!["unsupported_codec"]));
        assert_eq!(watch.passed_on(MediaKind::Audio).codes(), Some(Vec::new()), "they go on");
        // What came first in an unknown form was no mistake until frames came.
        let mut watch = Watch::new();
        assert_eq!(watch.left_out(MediaKind::Audio, noise()).codes(), Some(vec!["unsupported_codec"]));
        assert_eq!(watch.passed_on(MediaKind::Audio).codes(), Some(Vec::new()));
    }

    #[test]
    fn data_is_not_watched_and_a_stream_without_fault_is_not_spoken_of() {
        let mut watch = Watch::new();
        watch.advisor.announced(MediaKind::Data, watch.now);
        watch.left_out(MediaKind::Data, LeftOut::OtherTrack);
        watch.advisor.announced(MediaKind::Video, watch.now);
        watch.passed_on(MediaKind::Video);
        assert_eq!((watch.after(60), watch.advisor.poll_timeout()), (None, None));
    }
}
