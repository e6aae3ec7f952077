//! A playlist as it goes out: rendered once, compressed at most once, and shared by all requests with its headers.

use std::io::Write;
use std::sync::OnceLock;

use axum::http::HeaderValue;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

/// A text and its compressed form.
#[derive(Debug)]
pub(crate) struct Document {
    text: Bytes,
    gzip: OnceLock<Bytes>,
    etag: HeaderValue,
    etag_gzip: HeaderValue,
}

impl Document {
    /// Makes a document. `version` is made of letters, digits and `.-`, and differs whenever the text does.
    pub(crate) fn new(text: String, version: &str) -> Self {
        let tag = |suffix: &str| {
            HeaderValue::try_from(format!("\"{version}{suffix}\"")).unwrap_or(HeaderValue::from_static("\"\""))
        };
        // The compressed form is another representation, and needs another tag.
        Self { text: text.into(), gzip: OnceLock::new(), etag: tag(""), etag_gzip: tag("-gz") }
    }

    /// Returns the entity tag of one of the forms.
    pub(crate) fn etag(&self, gzip: bool) -> &HeaderValue {
        if gzip { &self.etag_gzip } else { &self.etag }
    }

    pub(crate) fn text(&self) -> Bytes {
        self.text.clone()
    }

    pub(crate) fn gzip(&self) -> Bytes {
        let compress = || {
            let mut encoder = GzEncoder::new(Vec::with_capacity(self.text.len() / 4), Compression::default());
            // Writing to a Vec does not fail.
            let _ = encoder.write_all(&self.text);
            encoder.finish().unwrap_or_default().into()
        };
        self.gzip.get_or_init(compress).clone()
    }
}
