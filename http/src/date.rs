//! The `Date` of answers (RFC 9110 6.6.1). Caches and players take it for the server's clock.
//!
//! hyper would write it, but keeps the text until the system clock is past it. A system clock that is set back leaves that
//! text in the future for as long as it was set back.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;

use onmic_media::Calendar;

/// Answers with the date that `calendar` gives the end of the request.
pub async fn state(State(calendar): State<Arc<Calendar>>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let date = httpdate::fmt_http_date(calendar.at(Instant::now()).system_time());
    if let Ok(date) = HeaderValue::try_from(date) {
        response.headers_mut().insert(header::DATE, date);
    }
    response
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use axum::Router;
    use axum::body::Body;
    use axum::middleware::from_fn_with_state;
    use onmic_media::NodeClock;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn a_clock_that_is_set_back_sets_the_date_of_answers_back() {
        let (now, started) = (Instant::now(), SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_000_000));
        let calendar = Arc::new(Calendar::new(NodeClock::new(now, started)));
        let router: Router = Router::new().layer(from_fn_with_state(calendar.clone(), state));
        let date = async || {
            let answer = router.clone().oneshot(Request::get("/").body(Body::empty()).unwrap()).await.unwrap();
            httpdate::parse_http_date(answer.headers()[header::DATE].to_str().unwrap()).unwrap()
        };
        let before = date().await;
        assert!(before >= started && before < started + Duration::from_secs(600), "{before:?}");
        let read = || calendar.read(now, started - Duration::from_secs(3600));
        assert!(read().or_else(read).is_some());
        let after = date().await;
        assert!(after < before - Duration::from_secs(3000), "{after:?}");
    }
}
