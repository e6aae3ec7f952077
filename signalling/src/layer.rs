//! `POST /sessions/ID/layer`: a viewer chooses the level of its video (draft-murillo-whep-02, layer selection).
//!
//! `{"mediaId":"0","encodingId":"video1"}` keeps one level, whatever the path carries, and `"none"` is audio alone. Without
//! `encodingId` the level is chosen for the viewer, by what its path carries. `maxWidth` and `maxHeight` (pixels of the screen that the
//! player has) and `maxBitrate` (bits per second) bound that choice. Each request replaces the one before. Members that this server does
//! not know are left alone.

use axum::extract::{FromRequest, Path, Request, State};
use axum::http::{HeaderValue, StatusCode};
use onmic_http::Problem;
use onmic_media::{MediaKind, TrackKey};
use onmic_rtc::Rtc;
use onmic_rtc::level::{ChoiceRefused, Pick, Wish};
use serde::Deserialize;

use crate::body::Json;
use crate::resource;

/// The `rel` of the resource in the `Link` header of an answer.
pub const REL: &str = "urn:ietf:params:whep:ext:core:layer";

/// What a client asks for.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wanted {
    media_id: Option<String>,
    encoding_id: Option<String>,
    max_width: Option<u32>,
    max_height: Option<u32>,
    max_bitrate: Option<u64>,
}

impl Wanted {
    fn wish(&self) -> Result<Wish, Problem> {
        Ok(Wish {
            pinned: self.encoding_id.as_deref().map(pick).transpose()?,
            width_max: self.max_width,
            height_max: self.max_height,
            bitrate_max_bps: self.max_bitrate,
        })
    }
}

fn pick(name: &str) -> Result<Pick, Problem> {
    if name == Pick::AUDIO_ONLY {
        return Ok(Pick::AudioOnly);
    }
    let key = name.parse().ok().filter(|key: &TrackKey| key.kind == MediaKind::Video);
    let detail = "encodingId is the name of a level: video, video1 to video255, or none for audio alone";
    key.map(Pick::Level).ok_or_else(|| Problem::bad_request(detail))
}

pub(crate) async fn choose(
    State(rtc): State<Rtc>,
    Path(id): Path<String>,
    request: Request,
) -> Result<StatusCode, Problem> {
    let id = resource::parse(&id)?;
    resource::must_be(&rtc, id).await?; // The id is what admits the sender, so it is checked before the body.
    let Json(wanted) = Json::<Wanted>::from_request(request, &()).await?;
    let wish = wanted.wish()?;
    rtc.choose(id, wanted.media_id, wish).await.map_err(|refused| problem(&refused))?;
    Ok(StatusCode::NO_CONTENT)
}

/// Answers a choice that was refused.
pub(crate) fn problem(refused: &ChoiceRefused) -> Problem {
    let detail = refused.to_string();
    match refused {
        ChoiceRefused::NoSession => Problem::not_found(detail),
        ChoiceRefused::NoVideo => Problem::new(StatusCode::CONFLICT, detail),
        ChoiceRefused::NoSection(..) | ChoiceRefused::NoLevel(..) => Problem::bad_request(detail),
        ChoiceRefused::Observed => Problem::new(StatusCode::TOO_MANY_REQUESTS, detail)
            .with_header(axum::http::header::RETRY_AFTER, HeaderValue::from_static("5")),
    }
}

#[cfg(test)]
mod tests {
    use onmic_media::Rendition;

    use super::*;

    fn wish(text: &str) -> Result<Wish, StatusCode> {
        let wanted: Wanted = serde_json::from_str(text).map_err(|_| StatusCode::IM_A_TEAPOT)?;
        wanted.wish().map_err(|problem| problem.status())
    }

    #[test]
    fn a_wish_is_read_with_its_limits_and_what_is_not_known_is_left_alone() {
        let level = Pick::Level(TrackKey::new(MediaKind::Video, Rendition(1)));
        let pinned = |text: &str| wish(text).map(|wish| wish.pinned);
        assert_eq!(pinned(r#"{"mediaId":"0","encodingId":"video1"}"#), Ok(Some(level)));
        assert_eq!(pinned(r#"{"encodingId":"none","temporalLayerId":1}"#), Ok(Some(Pick::AudioOnly)));
        assert_eq!(pinned(r#"{"encodingId":null}"#), Ok(None));
        assert_eq!(wish("{}"), Ok(Wish::default()));
        let limits = wish(r#"{"maxWidth":640,"maxHeight":360,"maxBitrate":800000}"#).unwrap_or_default();
        assert_eq!(
            (limits.width_max, limits.height_max, limits.bitrate_max_bps),
            (Some(640), Some(360), Some(800_000))
        );
        for name in ["audio", "video0", "", "None", "video256"] {
            assert_eq!(pinned(&format!(r#"{{"encodingId":"{name}"}}"#)), Err(StatusCode::BAD_REQUEST), "{name}");
        }
        for text in [r#"{"maxWidth":-1}"#, r#"{"maxHeight":"360"}"#, r#"{"maxBitrate":1.5}"#, "[]", r#""video""#] {
            assert_eq!(wish(text), Err(StatusCode::IM_A_TEAPOT), "{text}");
        }
    }
}
