//! Cross-origin access: players and publishers run in pages of other origins.

use std::time::Duration;

use axum::http::{HeaderName, Method, header};
use tower_http::cors::{AllowHeaders, Any, CorsLayer};

/// Lets any origin read, publish and watch, with whatever headers it adds. Rights come from tokens that a page has to be given, never from cookies.
pub fn layer() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([
            Method::GET,
            Method::HEAD,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
            Method::OPTIONS,
        ])
        // Players and tracing add headers of their own (CMCD-Request, traceparent), and `*` would not name Authorization.
        .allow_headers(AllowHeaders::mirror_request())
        // Shared caches do not keep answers to OPTIONS, and no other answer depends on the headers of a preflight.
        .vary(Vec::new())
        .expose_headers([
            header::LOCATION,
            header::ETAG,
            header::LINK,
            header::RETRY_AFTER,
            header::CONTENT_RANGE,
            header::CONTENT_LENGTH,
            HeaderName::from_static("accept-patch"),
            HeaderName::from_static("accept-post"),
            HeaderName::from_static("onmic-playout-delay"),
        ])
        .max_age(Duration::from_secs(86_400))
}
