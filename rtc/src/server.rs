//! The WebRTC server: a handle that answers offers and hands the sessions to shards.
//!
//! It holds no session state. A session's id names its shard, so everything after the answer is a message to that one
//! thread. Each shard has a limit of sessions. The least loaded shard takes the next session.

mod listener;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::sync::oneshot;

use onmic_media::feed::{Accept, Unavailable};
use onmic_media::life::Lives;
use onmic_media::{
    Accepts, Codec, Demand, DropReason, Entry, Feed, Holder, LeftOut, MediaKind, Permit, Playout, Publication, TrackKey,
};

use crate::announce::Announce;
use crate::capability::form_to_offer;
use crate::config::Config;
use crate::error::Error;
use crate::level::{self, ChoiceRefused, Observed};
use crate::negotiate::{self, Mismatch, Receiving, Sending};
use crate::places::{NoPlace, Place, Places, Purpose, Taken};
use crate::sdp::Offer;
use crate::session::{Answer, Condition, PatchRefused, Patched, SessionId};
use crate::shard::{Boxes, Command, Opening, Shard, Watching, advise};
use crate::streams::Streams;
use crate::tcp::Arrived;
use crate::transport::{Credentials, Identity};
use crate::udp::Socket;

pub use listener::{TcpSettings, serve_tcp};

/// A session's id names its shard in eight bits, and so does its user fragment.
const SHARDS_MAX: usize = 256;

/// Why an offer was refused. Display is a sentence for the client.
#[derive(Clone, Debug, Error)]
pub enum OfferRefused {
    /// The offer cannot be parsed, or lacks what WebRTC needs.
    #[error("{0}")]
    Malformed(String),
    /// The offer has no codec that this server can use.
    #[error("{sentence}")]
    NothingInCommon {
        /// The sentence for the client, which names the codecs to offer.
        sentence: String,
        /// The codecs that this server could use.
        have: Vec<String>,
    },
    /// There is no place for another session.
    #[error("{0}")]
    NoPlace(#[from] NoPlace),
    /// The feed has no track for this viewer.
    #[error("{0}")]
    Unavailable(#[from] Unavailable),
    /// The process is ending.
    #[error("this server is stopping")]
    Stopping,
}

/// A checked offer to publish, and the plan to receive it.
#[derive(Debug)]
pub struct PublishPlan {
    offer: Offer,
    receiving: Vec<Receiving>,
    /// The kinds that the answer refuses, with the forms in which they were offered.
    refused: Vec<(MediaKind, String)>,
    /// The kinds of which the answer refuses further sections.
    several: Vec<MediaKind>,
}

/// The place of a session that has not begun. Dropping it frees the place.
#[derive(Debug)]
pub struct Reserved {
    id: SessionId,
    place: Place,
    permit: Permit,
}

/// The handle of the server. It is cheap to clone.
#[derive(Clone, Debug)]
pub struct Rtc {
    shards: Arc<[Shard]>,
    places: Places,
    lives: Lives,
    identity: Arc<Identity>,
    announce: Arc<Announce>,
}

impl Rtc {
    /// Opens the sockets on one port, and starts the shards' threads, at most 256. Blocks while names are resolved.
    pub fn start(config: &Config) -> Result<Self, Error> {
        let count = match config.shards {
            0 => std::thread::available_parallelism().map_or(1, |cores| cores.get().saturating_sub(1).max(1)),
            count => count,
        };
        let count = count.min(SHARDS_MAX);
        let identity = Identity::generate()?;
        let place = (config.address, config.only_this_machine);
        let announce = Announce::new(&config.announce, place, config.tcp, Instant::now())?;
        let lives = Lives::default();
        let sockets = Socket::open_all(SocketAddr::new(config.address, config.port), count)?;
        let (boxes, inboxes) = Boxes::new(count);
        let shards = sockets.into_iter().zip(inboxes).enumerate().map(|(index, (socket, inbox))| {
            let post = (socket, boxes.clone(), inbox);
            Shard::start(index, post, &announce, config, (identity.clone(), &lives))
        });
        let places = Places::new(count, config.sessions);
        Ok(Self { shards: shards.collect::<Result<_, _>>()?, places, lives, identity, announce })
    }

    /// Completes when a shard's thread has died twice within a minute, with its name. It is not replaced then.
    pub async fn failed(&self) -> String {
        self.lives.failed().await
    }

    /// Returns the longest time since a shard's last turn, which they take at least each second. A longer one means a
    /// thread that is stuck.
    pub fn silence(&self, now: Instant) -> Duration {
        self.shards.iter().map(|shard| shard.silence(now)).max().unwrap_or_default()
    }

    /// Checks an offer to publish, before the name of its source is taken.
    pub fn plan_publish(&self, offer: &str) -> Result<PublishPlan, OfferRefused> {
        let offer = parse(offer)?;
        let receiving = negotiate::receive(&offer).map_err(refusal)?;
        let (refused, several) = (negotiate::refused(&offer), negotiate::several(&offer));
        Ok(PublishPlan { offer, receiving, refused, several })
    }

    /// Checks that an offer to watch can be read, before anything is made for it.
    pub fn check_offer(&self, offer: &str) -> Result<(), OfferRefused> {
        parse(offer).map(drop)
    }

    /// Begins a publisher's session that feeds `publication`, for `holder`.
    pub async fn publish(
        &self,
        plan: PublishPlan,
        publication: Publication,
        holder: impl Into<Holder>,
    ) -> Result<Answer, OfferRefused> {
        let reserved = self.reserve(Purpose::Publish, holder.into()).await?;
        self.publish_in(reserved, plan, publication).await
    }

    /// Takes the place of a publisher's session, for `holder`, before the name of its source is taken.
    pub async fn reserve_for_publisher(&self, holder: Holder) -> Result<Reserved, OfferRefused> {
        self.reserve(Purpose::Publish, holder).await
    }

    /// Begins a publisher's session that feeds `publication`, in its place.
    pub async fn publish_in(
        &self,
        reserved: Reserved,
        plan: PublishPlan,
        mut publication: Publication,
    ) -> Result<Answer, OfferRefused> {
        let PublishPlan { offer, receiving, refused, several } = plan;
        publication.expect(receiving.iter().map(|receiving| receiving.key));
        let now = Instant::now();
        for (kind, forms) in refused {
            publication.left_out(kind, LeftOut::OfferRefused(forms), now);
        }
        several.into_iter().for_each(|kind| publication.left_out(kind, LeftOut::OtherSection, now));
        advise(&mut publication, now);
        let accepts: Vec<_> = receiving.iter().map(Receiving::accept).collect();
        let mid = receiving.first().map(|receiving| receiving.mid.clone()).unwrap_or_default();
        let publish = |opening| Command::Publish { opening, publication, receiving };
        self.open(reserved, &offer, accepts, mid, publish).await
    }

    /// Begins a viewer's session on `feed`, for `holder`. `playout` says how it plays.
    pub async fn watch(
        &self,
        offer: &str,
        feed: Arc<Feed>,
        playout: impl Into<Playout>,
        holder: impl Into<Holder>,
    ) -> Result<Answer, OfferRefused> {
        let holder = holder.into();
        let offer = parse(offer)?;
        let found = find(&offer, &feed).await?;
        let streams = Streams::random(playout.into());
        let mut sending = Vec::new();
        for (Wish { section, key }, demand) in found.demands {
            let parameters = demand.track().parameters();
            let planned = negotiate::send(&offer, section, (key, parameters.codec()), Some(&*parameters), &streams);
            sending.extend(planned.map(|planned| (planned, demand)));
        }
        let later = |wish: Wish| negotiate::send_later(&offer, wish.section, wish.key, &streams);
        let awaited: Vec<_> = found.lacking.into_iter().filter_map(later).collect();
        let accepts: Vec<_> = sending.iter().map(|(planned, _)| planned).chain(&awaited).map(Sending::accept).collect();
        let mid = accepts.first().map(|accept| offer.media[accept.chosen.section].mid.clone()).unwrap_or_default();
        let leveled = leveled(&offer, sending.iter().map(|(planned, _)| planned).chain(&awaited));
        let watching = Watching { feed, streams, sending, awaited, leveled };
        let watch = |opening| Command::Watch { opening, watching };
        let reserved = self.reserve(Purpose::Watch, holder).await?;
        self.open(reserved, &offer, accepts, mid, watch).await
    }

    /// Applies a trickle fragment or an ICE restart to a session, if its entity tag meets the condition.
    pub async fn patch(&self, id: SessionId, condition: Condition, fragment: &str) -> Result<Patched, PatchRefused> {
        let shard = self.shards.get(id.shard()).ok_or(PatchRefused::NoSession)?;
        let (reply, answer) = oneshot::channel();
        let command = Command::Patch { id, condition, fragment: fragment.to_owned(), reply };
        shard.send(command).await.map_err(|_| PatchRefused::NoSession)?;
        answer.await.unwrap_or(Err(PatchRefused::NoSession))
    }

    /// Gives a viewer's session a level of its video, as `wish` says. `mid` is that of the section, if the client states it.
    pub async fn choose(&self, id: SessionId, mid: Option<String>, wish: level::Wish) -> Result<(), ChoiceRefused> {
        self.ask(id, |reply| Command::Choose { id, mid, wish, reply }).await
    }

    /// Observes which level a viewer's session gets.
    pub async fn observe(&self, id: SessionId) -> Result<Observed, ChoiceRefused> {
        self.ask(id, |reply| Command::Observe { id, reply }).await
    }

    async fn ask<T>(
        &self,
        id: SessionId,
        command: impl FnOnce(oneshot::Sender<Result<T, ChoiceRefused>>) -> Command,
    ) -> Result<T, ChoiceRefused> {
        let shard = self.shards.get(id.shard()).ok_or(ChoiceRefused::NoSession)?;
        let (reply, answer) = oneshot::channel();
        shard.send(command(reply)).await.map_err(|()| ChoiceRefused::NoSession)?;
        answer.await.unwrap_or(Err(ChoiceRefused::NoSession))
    }

    /// Ends a session. Returns false if there is no such session.
    pub async fn close(&self, id: SessionId) -> bool {
        let Some(shard) = self.shards.get(id.shard()) else { return false };
        let (reply, answer) = oneshot::channel();
        shard.send(Command::Close { id, reply }).await.is_ok() && answer.await.unwrap_or(false)
    }

    /// Returns whether peers at this address are taken.
    fn admits(&self, from: IpAddr) -> bool {
        self.announce.admits(from)
    }

    /// Hands a TCP connection to the shard that it names. It is closed if there is no such shard.
    async fn take_connection(&self, shard: usize, arrived: Arrived) {
        match self.shards.get(shard) {
            Some(shard) => drop(shard.send(Command::Connect(Box::new(arrived))).await), // A shard that has ended closes it.
            None => DropReason::RtcTcpNoSession.count(1),
        }
    }

    /// Says goodbye to every peer, ends the threads, and waits for them up to `limit`.
    pub async fn shutdown(&self, limit: Duration) {
        let stops = self.shards.iter().map(|shard| shard.stop(limit));
        for stop in stops {
            stop.await;
        }
    }

    /// Takes a place. Whoever has to give way for it is told.
    async fn reserve(&self, purpose: Purpose, Holder { who, permit }: Holder) -> Result<Reserved, OfferRefused> {
        let Taken { id, place, gives_way } = self.places.take(purpose, who).inspect_err(count_refusal)?;
        if let Some(id) = gives_way {
            DropReason::RtcGaveWay.count(1);
            let _ = self.shards[id.shard()].send(Command::GiveWay { id }).await; // A shard that has ended has no sessions.
        }
        Ok(Reserved { id, place, permit })
    }

    async fn open(
        &self,
        Reserved { id, place, permit }: Reserved,
        offer: &Offer,
        accepts: Vec<crate::sdp::Accept>,
        mid: String,
        command: impl FnOnce(Opening) -> Command,
    ) -> Result<Answer, OfferRefused> {
        let shard = &self.shards[id.shard()];
        let local = Credentials::of_shard(id.shard());
        let identity = (rand::random::<u64>() >> 1, &local, self.identity.fingerprint());
        self.announce.refresh(Instant::now()).await;
        let sdp = negotiate::answer(offer, identity, &shard.candidates(), accepts);
        let etag = local.ufrag.clone();
        let (ready, opened) = oneshot::channel();
        let (remote, fingerprint, role) = (offer.ice.clone(), offer.fingerprint, offer.role);
        let opening = Opening { id, place, permit, local, remote, fingerprint, role, mid, ready };
        shard.send(command(opening)).await.map_err(|_| OfferRefused::Stopping)?;
        // The answer leaves only once the shard knows the session, because the client's first check may come at once.
        if !opened.await.map_err(|_| OfferRefused::Stopping)? {
            return Err(Unavailable::NoTrack(TrackKey::VIDEO).into());
        }
        Ok(Answer { session: id, sdp, etag })
    }
}

/// Returns the `mid`, the key and the codec of a viewer's video, if it has one section for it. With several, it has a level in each.
fn leveled<'p>(offer: &Offer, planned: impl Iterator<Item = &'p Sending>) -> Option<(String, TrackKey, Codec)> {
    let mut video = planned.filter(|planned| planned.key.kind == MediaKind::Video);
    let only = video.next().filter(|_| video.next().is_none())?;
    let mid = offer.media[only.accept().chosen.section].mid.clone();
    Some((mid, only.key, only.codec))
}

fn count_refusal(why: &NoPlace) {
    match why {
        NoPlace::Full => DropReason::RtcFull.count(1),
        NoPlace::Share(_) => DropReason::RtcShare.count(1),
    }
}

fn parse(offer: &str) -> Result<Offer, OfferRefused> {
    Offer::parse(offer).map_err(|error| OfferRefused::Malformed(error.to_string()))
}

fn refusal(mismatch: Mismatch) -> OfferRefused {
    let sentence = mismatch.to_string();
    match mismatch {
        Mismatch::NoCodec(have) | Mismatch::NoVideo(have) => OfferRefused::NothingInCommon { sentence, have },
        Mismatch::NoSection(_) | Mismatch::OnlyData(_) | Mismatch::Protocol(_) | Mismatch::Offer(_) => {
            OfferRefused::Malformed(sentence)
        }
    }
}

/// A section of an offer, and the track that the section is for.
#[derive(Clone, Copy, Debug)]
struct Wish {
    section: usize,
    key: TrackKey,
}

/// The tracks of a feed for an offer.
struct Found {
    /// The tracks that the offer can take, at least one.
    demands: Vec<(Wish, Demand)>,
    /// The tracks that the feed does not have yet, or that could not be converted now.
    lacking: Vec<Wish>,
}

/// Returns what a viewer by WebRTC can take of `codecs`.
fn takes(codecs: &[Codec]) -> Accept<'_> {
    Accept { codecs, reordering: false, any_format: false, entry: Entry::Now }
}

/// Returns the track that each section is for: the n-th section of a kind gets the n-th rendition of `feed`. The first
/// gets the main rendition, which may come later. Sections past the last rendition, and those that are other forms of the main
/// one, are rejected.
fn wishes(offer: &Offer, feed: &Feed) -> Vec<Wish> {
    let keys = feed.keys();
    let mut wishes = Vec::new();
    for kind in [MediaKind::Video, MediaKind::Audio] {
        let codecs = feed.codecs(TrackKey::main(kind), takes(negotiate::sendable(kind)));
        let original = feed.original(TrackKey::main(kind)).map(|original| original.parameters());
        let sections = negotiate::sections(offer, kind, &codecs, original.as_deref());
        let further = keys.iter().copied().filter(|key| key.kind == kind && !key.leads());
        let wanted = std::iter::once(TrackKey::main(kind)).chain(further);
        wishes.extend(sections.into_iter().zip(wanted).map(|(section, key)| Wish { section, key }));
    }
    wishes
}

/// Counts the tracks of timed metadata that a session goes without, because WebRTC does not carry it yet.
fn count_data_left_out(feed: &Feed) {
    let tracks = feed.keys().into_iter().filter(|key| key.kind == MediaKind::Data).count();
    DropReason::DataNotCarried.count(tracks as u64);
}

/// Counts the kinds that a session goes without, because the offer has none of their codecs. An answer has no words that could tell the
/// client, so the log does.
fn count_unsendable(offer: &Offer) {
    for (kind, forms) in negotiate::unsendable(offer) {
        DropReason::TrackNotTaken.count(1);
        let codecs: Vec<_> = negotiate::sendable(kind).iter().map(|codec| codec.name()).collect();
        let (kind, takes) = (kind.name(), codecs.join(", "));
        tracing::info!(kind, forms, takes, "a WHEP viewer's offer has no codec in which this kind can be sent");
    }
}

/// Finds the tracks of `feed` for the offer, converted where needed. A codec is opened once for all viewers that wait for it, who hold
/// no thread meanwhile, and share its failure.
async fn find(offer: &Offer, feed: &Arc<Feed>) -> Result<Found, OfferRefused> {
    let mut tracks = Vec::new();
    for wish in wishes(offer, feed) {
        let original = feed.original(wish.key).map(|original| original.parameters());
        let codecs = negotiate::receivable(offer, wish.section, original.as_deref()).into();
        let accepts = Accepts { codecs, reordering: false, any_format: false, entry: Entry::Now };
        tracks.push((wish, feed.demanded(wish.key, &accepts).await));
    }
    if tracks.iter().any(|(_, track)| track.is_ok()) {
        if let Some(refused) = without_video(offer, feed, &tracks) {
            return Err(refused);
        }
        let mut found = Found { demands: Vec::new(), lacking: Vec::new() };
        count_data_left_out(feed);
        count_unsendable(offer);
        for (wish, track) in tracks {
            match track {
                Ok(demand) => found.demands.push((wish, demand)),
                Err(refused) if refused.keeps_out() => {
                    // A spent budget is counted where it is refused.
                    DropReason::TrackNotTaken.count(matches!(refused, Unavailable::NoRecipe(_)).into());
                    tracing::debug!(%refused, "a viewer goes without this track");
                }
                Err(_) => found.lacking.push(wish),
            }
        }
        return Ok(found);
    }
    if !offer.media.iter().any(|section| !section.rejected && section.direction.receives()) {
        return Err(refusal(negotiate::nothing(offer, "receives")));
    }
    if let Some(why) = tracks.into_iter().find_map(|(_, track)| track.err().filter(is_this_servers)) {
        return Err(OfferRefused::Unavailable(why));
    }
    Err(refusal(Mismatch::NoCodec(codecs_of(feed, &[MediaKind::Video, MediaKind::Audio]))))
}

/// Refuses a viewer that asks for video and would get none, though the feed has it, if that keeps it out ([`Unavailable::keeps_out`]).
fn without_video(offer: &Offer, feed: &Feed, tracks: &[(Wish, Result<Demand, Unavailable>)]) -> Option<OfferRefused> {
    let asks = negotiate::asks_for(offer, MediaKind::Video);
    if !asks || feed.original(MediaKind::Video).is_none() {
        return None;
    }
    let mut video = tracks.iter().filter(|(wish, _)| wish.key.kind == MediaKind::Video).map(|(_, track)| track);
    if video.clone().any(|track| track.as_ref().err().is_none_or(|why| !why.keeps_out())) {
        return None;
    }
    let failed = video.find_map(|track| track.as_ref().err().filter(|why| is_this_servers(why)));
    let no_codec = || refusal(Mismatch::NoVideo(codecs_of(feed, &[MediaKind::Video])));
    Some(failed.cloned().map_or_else(no_codec, OfferRefused::Unavailable))
}

/// Returns whether a viewer lacks a track because of this server, and not because of what it offers.
fn is_this_servers(why: &Unavailable) -> bool {
    matches!(why, Unavailable::Failed { .. } | Unavailable::Overloaded(_))
}

/// Returns the codecs in which viewers can get the tracks of these kinds.
fn codecs_of(feed: &Feed, kinds: &[MediaKind]) -> Vec<String> {
    let have = kinds.iter().filter_map(|kind| feed.original(*kind));
    let names = have.flat_map(|original| {
        let kind = original.kind();
        let codecs = feed.codecs(TrackKey::main(kind), takes(negotiate::sendable(kind)));
        codecs.into_iter().map(move |codec| form_to_offer(codec, &original.parameters()))
    });
    names.collect()
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use onmic_media::{Calendar, NodeClock};

    use super::*;

    #[tokio::test]
    async fn a_thread_that_dies_is_replaced_and_a_second_death_at_once_is_told() {
        let calendar = Arc::new(Calendar::new(NodeClock::new(Instant::now(), SystemTime::now())));
        let rtc = Rtc::start(&Config::on_loopback(1, calendar)).unwrap();
        let shard = &rtc.shards[0];
        shard.send(Command::Panic).await.unwrap();
        let (reply, answer) = oneshot::channel();
        shard.send(Command::Close { id: SessionId::random(0), reply }).await.unwrap();
        assert_eq!(answer.await, Ok(false), "what was queued is answered by the new thread");
        shard.send(Command::Panic).await.unwrap();
        assert_eq!(rtc.failed().await, "rtc-0");
        rtc.shutdown(Duration::from_secs(20)).await;
    }
}
