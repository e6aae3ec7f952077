//! What browsers are told to keep the pages to: a Content-Security-Policy, who may frame them, and no referrer.
//!
//! The pages take scripts, styles, media and connections from this server alone. They build everything by scripts from files, so
//! nothing inline is needed. Their addresses may have held a token, so no request tells where it came from.

use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;

use onmic_http::Origins;

/// The policy but for who may frame the pages. hls.js plays from `blob:` addresses, and its worker has one. So have pictures that
/// are fetched with a token.
const SOURCES: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; \
                       media-src 'self' blob:; worker-src 'self' blob:; base-uri 'none'; form-action 'none'";

/// The headers of pages and their files.
#[derive(Clone, Debug)]
pub struct Policy {
    content: HeaderValue,
    /// Whether no page may frame them, which older browsers are told by a header of its own.
    unframed: bool,
}

impl Policy {
    /// Makes a policy by which pages of `frame_ancestors` alone may frame the pages of this server.
    pub fn new(frame_ancestors: &[Origins]) -> Self {
        let ancestors: String = frame_ancestors.iter().map(|origins| format!(" {origins}")).collect();
        let ancestors = if ancestors.is_empty() { " 'none'" } else { &ancestors };
        let content = HeaderValue::try_from(format!("{SOURCES}; frame-ancestors{ancestors}"));
        // An origin has only characters that a header may have.
        let content = content.unwrap_or(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
        Self { content, unframed: frame_ancestors.is_empty() }
    }

    fn state(&self, response: &mut Response) {
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, self.content.clone());
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        if self.unframed {
            headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        }
    }
}

/// Answers a request for a page or its files with the headers of `policy`.
pub async fn state(State(policy): State<Policy>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    policy.state(&mut response);
    response
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn headers(frame_ancestors: &[&str]) -> (String, bool) {
        let origins: Vec<Origins> = frame_ancestors.iter().map(|origin| origin.parse().unwrap()).collect();
        let mut response = Response::new(Body::empty());
        Policy::new(&origins).state(&mut response);
        let headers = response.headers();
        assert_eq!(headers[header::REFERRER_POLICY], "no-referrer");
        let content = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
        (content, headers.contains_key(header::X_FRAME_OPTIONS))
    }

    #[test]
    fn no_page_frames_the_pages_unless_it_is_configured() {
        let (content, denied) = headers(&[]);
        assert!(content.ends_with("; frame-ancestors 'none'") && denied, "{content}");
        let (content, denied) = headers(&["https://app.example", "https://*.cms.example"]);
        assert!(content.ends_with("; frame-ancestors https://app.example https://*.cms.example"), "{content}");
        assert!(!denied, "the older header would forbid it");
    }

    #[test]
    fn nothing_inline_and_nothing_of_other_servers_is_taken() {
        let (content, _) = headers(&[]);
        assert!(content.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"), "{content}");
        assert!(!content.contains("unsafe") && !content.contains("http") && !content.contains('*'), "{content}");
    }
}
