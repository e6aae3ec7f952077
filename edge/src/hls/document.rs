//! A playlist as it goes out: rendered once, compressed at most once, and shared by all requests with its headers.

use std::io::Write;
use std::sync::OnceLock;

use axum::http::HeaderValue;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

/// A text, its compressed form, and its form for players whose token is in the address.
#[derive(Debug)]
pub(crate) struct Document {
    text: Bytes,
    gzip: OnceLock<Bytes>,
    with_token: OnceLock<Box<Document>>,
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
        Self {
            text: text.into(),
            gzip: OnceLock::new(),
            with_token: OnceLock::new(),
            etag: tag(""),
            etag_gzip: tag("-gz"),
        }
    }

    /// Returns the entity tag of one of the forms.
    pub(crate) fn etag(&self, gzip: bool) -> &HeaderValue {
        if gzip { &self.etag_gzip } else { &self.etag }
    }

    /// Returns the form whose addresses take over the token of the playlist's own address.
    pub(crate) fn with_token(&self) -> &Self {
        let transform = || {
            // A playlist is made of Strings.
            let text = onmic_packager::query::with_token(std::str::from_utf8(&self.text).unwrap_or_default());
            let version = self.etag.to_str().unwrap_or_default().trim_matches('"').to_owned();
            Box::new(Self::new(text, &format!("{version}-t")))
        };
        self.with_token.get_or_init(transform)
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
