//! `POST /sessions/ID/sse` and the stream that it leads to: what changes for a viewer, as server-sent events (draft-murillo-whep-02).
//!
//! | event | data | when |
//! | --- | --- | --- |
//! | `active`, `inactive` | `{}` | frames of the feed come, or have not come for [`SILENT`] |
//! | `layers` | the levels of the section, which one the viewer gets, and what was chosen by hand | at each change but that of the estimate |
//! | `viewercount` | `{"viewercount":12}` | at most once a second |
//!
//! Each is sent when the stream begins, and then at each change. The `POST` keeps nothing: its `Location` names the events. A stream
//! ends with its session. It has no queue, because what it says is made when the reader takes it, from what is true then. A reader that
//! takes nothing is cut off as with every answer of HTTP.

mod news;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Path, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::stream;
use onmic_http::{Problem, Sender};
use onmic_media::{DropReason, NoShare, Share, Shares, ViewerKind};
use onmic_rtc::Rtc;
use onmic_rtc::level::Observed;
use tokio::time::{Interval, MissedTickBehavior, interval};

use self::news::{News, Now, Wanted};
use crate::body::Json;
use crate::{layer, resource};

/// The `rel` of the resource in the `Link` header of an answer.
pub const REL: &str = "urn:ietf:params:whep:ext:core:server-sent-events";

/// A feed of which no frame came for this long has lost its publisher, or will soon.
const SILENT: std::time::Duration = std::time::Duration::from_secs(3);
/// A stream that has nothing to say says that after this many seconds, so that proxies keep it open.
const QUIET: u32 = 15;
/// Proxies that collect answers pass this one on as it comes.
const UNBUFFERED: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));

/// What the routes of events need.
#[derive(Clone)]
pub(crate) struct Events {
    pub(crate) rtc: Rtc,
    /// How many streams one principal may have open.
    pub(crate) shares: Arc<Shares>,
}

/// Returns the value of `events` in the `Link` header.
pub(crate) fn names() -> String {
    Wanted::ALL.map(|(name, _)| name).join(",")
}

/// Answers a subscription with the address of its stream.
pub(crate) async fn subscribe(
    State(events): State<Events>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let id = resource::parse(&id)?;
    resource::must_be(&events.rtc, id).await?; // As for a choice.
    let Json(names) = Json::<Vec<String>>::from_request(request, &()).await?;
    let wanted = Wanted::named(names.iter().map(String::as_str)).ok_or_else(|| {
        Problem::bad_request(format!("the body is a list of some of these events: {}", self::names()))
    })?;
    let mut response = StatusCode::CREATED.into_response();
    resource::insert(response.headers_mut(), header::LOCATION, &format!("/sessions/{id}/sse/{wanted}"));
    Ok(response)
}

/// Answers with the stream of the events that the address names.
pub(crate) async fn listen(
    State(events): State<Events>,
    Path((id, wanted)): Path<(String, String)>,
    sender: Sender,
) -> Result<Response, Problem> {
    let id = resource::parse(&id)?;
    let wanted = Wanted::named(wanted.split('-')).filter(|named| named.to_string() == wanted);
    let wanted = wanted.ok_or_else(|| Problem::not_found("there is no such stream of events; ask for one by POST"))?;
    let observed = events.rtc.observe(id).await.map_err(|refused| layer::problem(&refused))?;
    let share = events.shares.take_to_watch(sender.counted()).map_err(no_share)?;
    let mut ticks = interval(std::time::Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let source = Source { observed, ticks, quiet: 0, news: News::new(wanted), _share: share };
    let body = stream::unfold(source, |mut source| async move {
        let text = source.next().await?;
        Some((Ok::<_, Infallible>(Bytes::from(text)), source))
    });
    let mut response = Body::from_stream(body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(UNBUFFERED.0, UNBUFFERED.1);
    Ok(response)
}

fn no_share(why: NoShare) -> Problem {
    let (status, reason) = match why {
        NoShare::Principal(..) => (StatusCode::TOO_MANY_REQUESTS, DropReason::WhepEventsShare),
        NoShare::Full(..) => (StatusCode::SERVICE_UNAVAILABLE, DropReason::WhepEventsFull),
    };
    reason.count(1);
    Problem::new(status, why.to_string())
        .with_denial(&why)
        .with_header(header::RETRY_AFTER, HeaderValue::from_static("5"))
}

/// What a stream is made of.
struct Source {
    observed: Observed,
    ticks: Interval,
    /// The seconds since something was said.
    quiet: u32,
    news: News,
    _share: Share,
}

impl Source {
    /// Returns what there is to say next. `None` once the session has ended.
    async fn next(&mut self) -> Option<String> {
        loop {
            let is_tick = tokio::select! {
                changed = self.observed.shown.changed() => {
                    changed.ok()?;
                    false
                }
                _ = self.ticks.tick() => true,
            };
            let said = self.news.say(&now(&self.observed), is_tick);
            if !said.is_empty() {
                self.quiet = 0;
                return Some(said);
            }
            self.quiet += u32::from(is_tick);
            if self.quiet >= QUIET {
                self.quiet = 0;
                return Some(":\n\n".to_owned());
            }
        }
    }
}

/// Returns what is true now of a session.
fn now(observed: &Observed) -> Now<'_> {
    let now = Instant::now();
    let Observed { feed, mid, .. } = observed;
    let newest = feed.originals().into_iter().filter_map(|track| track.newest()).map(|frame| frame.arrived).max();
    Now {
        is_active: newest.is_some_and(|newest| now.saturating_duration_since(newest) < SILENT),
        viewers: ViewerKind::ALL.iter().map(|kind| feed.viewers().count(*kind)).sum(),
        mid,
        levels: observed.levels(now),
        shown: *observed.shown.borrow(),
    }
}
