//! Problem details for HTTP APIs (RFC 9457): every refusal is a status, a title and a sentence that says what to do.

use axum::Json;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use onmic_media::feed::{OVERLOADED_FOR, Unavailable};
use onmic_media::gate::Refusal;
use onmic_media::hub::PublishRefused;
use onmic_media::name::InvalidName;
use onmic_media::{Denial, TooFast};

use crate::cost::Cost;

/// An error answer. Its body is `application/problem+json`.
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    detail: String,
    code: Option<&'static str>,
    have: Vec<String>,
    headers: HeaderMap,
    denial: Option<Denial>,
    cost: Option<Cost>,
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: &'static str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    have: &'a [String],
}

impl Problem {
    /// Makes a problem. `detail` is a sentence for a person: what is wrong, and what would be right.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let denial = Denial::of_status(status.as_u16());
        Self {
            status,
            detail: detail.into(),
            code: None,
            have: Vec::new(),
            headers: HeaderMap::new(),
            denial,
            cost: None,
        }
    }

    /// Makes a 404: the resource does not exist now.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// Makes a 400: the request can never succeed as it is.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// Makes a 405, for a router's fallback. axum adds `Allow`.
    pub async fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "this address takes other methods; the header Allow lists them")
    }

    /// Lists for programs what the server could offer instead: the member `have`.
    pub fn with_have(mut self, have: Vec<String>) -> Self {
        self.have = have;
        self
    }

    /// Names the sentence for programs and translations: the member `code`.
    pub fn with_code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    /// Says what the answer denies, where the status alone says it less exactly.
    pub fn with_denial(mut self, denial: impl Into<Denial>) -> Self {
        self.denial = Some(denial.into());
        self
    }

    /// Says that the answer denies nothing, whatever its status says of others.
    pub fn without_denial(self) -> Self {
        Self { denial: None, ..self }
    }

    /// Returns what the answer denies, if it does. Whoever answers with the problem counts it; the door does for HTTP.
    pub fn denial(&self) -> Option<Denial> {
        self.denial
    }

    /// Adds a header to the answer, in place of one with that name.
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Returns the status of the answer.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the members of the answer's body, for protocols that carry problems in messages of their own.
    pub fn body(&self) -> impl Serialize + '_ {
        Body {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
            code: self.code,
            have: &self.have,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body())).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.extend(self.headers);
        self.denial.map(|denial| response.extensions_mut().insert(denial));
        self.cost.map(|cost| response.extensions_mut().insert(cost));
        response
    }
}

impl From<InvalidName> for Problem {
    fn from(invalid: InvalidName) -> Self {
        Self::bad_request(invalid.to_string())
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let (detail, denial) = (refusal.to_string(), Denial::from(&refusal));
        let cost = if let Refusal::Forged(keys) = refusal { Some(Cost(keys)) } else { None };
        let problem = match refusal {
            Refusal::NotAllowed(_) | Refusal::Banned(_) => Self::new(StatusCode::FORBIDDEN, detail),
            Refusal::TokenMissing | Refusal::TokenInvalid(_) | Refusal::Forged(_) => {
                Self::new(StatusCode::UNAUTHORIZED, detail)
                    .with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
            }
        };
        Self { cost, ..problem.with_denial(denial) }
    }
}

impl From<TooFast> for Problem {
    fn from(refused: TooFast) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, refused.to_string())
            .with_code("too-fast")
            .with_denial(Denial::TooFast)
            .with_header(header::RETRY_AFTER, HeaderValue::from(refused.seconds()))
    }
}

impl From<PublishRefused> for Problem {
    fn from(refused: PublishRefused) -> Self {
        let status = match refused {
            PublishRefused::Busy(_) => StatusCode::CONFLICT,
            PublishRefused::Full(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, refused.to_string()).with_denial(&refused)
    }
}

impl From<Unavailable> for Problem {
    fn from(unavailable: Unavailable) -> Self {
        let (detail, denial) = (unavailable.to_string(), Denial::of_unavailable(&unavailable));
        let problem = match unavailable {
            Unavailable::NoTrack(_) => Self::not_found(detail),
            Unavailable::NoRecipe(codec) => {
                Self::new(StatusCode::NOT_ACCEPTABLE, detail).with_have(vec![codec.name().to_owned()])
            }
            Unavailable::Overloaded(_) => Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
                .with_header(header::RETRY_AFTER, OVERLOADED_FOR.as_secs().into()),
            Unavailable::Failed { again: Some(wait), .. } => Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
                .with_header(header::RETRY_AFTER, (wait.as_secs() + 1).into()),
            Unavailable::Failed { again: None, .. } => Self::new(StatusCode::INTERNAL_SERVER_ERROR, detail),
        };
        Self { denial, ..problem }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversion_over_the_budget_is_unavailable_for_now() {
        let spent = onmic_media::Spent(onmic_media::Work::SpareConversion);
        let problem = Problem::from(Unavailable::Overloaded(spent));
        assert_eq!(problem.denial(), Some(Denial::Full));
        let response = problem.into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[header::RETRY_AFTER], "5");
    }

    #[test]
    fn a_conversion_that_failed_is_unavailable_for_as_long_as_it_is_known() {
        let failed = |again| {
            let (codec, sentence) = (onmic_media::Codec::H264, "it failed".to_owned());
            let problem = Problem::from(Unavailable::Failed { codec, sentence, again });
            assert_eq!(problem.denial(), None, "that protects nobody");
            problem.into_response()
        };
        let later = failed(Some(std::time::Duration::from_millis(41_500)));
        assert_eq!((later.status().as_u16(), later.headers()[header::RETRY_AFTER].as_bytes()), (503, &b"42"[..]));
        assert_eq!(failed(None).status(), StatusCode::INTERNAL_SERVER_ERROR);
    }

    #[test]
    fn a_missing_token_asks_for_a_bearer() {
        let response = Problem::from(Refusal::TokenMissing).into_response();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(response.headers()[header::WWW_AUTHENTICATE], "Bearer");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    }
}
