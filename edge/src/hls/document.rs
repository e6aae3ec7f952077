//! A playlist as it goes out: rendered once, compressed at most once, shared by all.

use std::io::Write;
use std::sync::OnceLock;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

/// A text and its compressed form.
#[derive(Debug)]
pub(crate) struct Document {
    text: Bytes,
    gzip: OnceLock<Bytes>,
    /// Of this version, with the quotes.
    pub(crate) etag: String,
}

impl Document {
    pub(crate) fn new(text: String, etag: String) -> Self {
        Self { text: text.into(), gzip: OnceLock::new(), etag }
    }

    pub(crate) fn text(&self) -> Bytes {
        self.text.clone()
    }

    pub(crate) fn gzip(&self) -> Bytes {
        let compress = || {
            let mut encoder = GzEncoder::new(Vec::with_capacity(self.text.len() / 4), Compression::default());
            // A Vec takes everything.
            let _ = encoder.write_all(&self.text);
            encoder.finish().unwrap_or_default().into()
        };
        self.gzip.get_or_init(compress).clone()
    }
}
