//! A playlist as it goes out: rendered once, compressed at most once, and shared by all requests with its headers.

use std::io::Write;
use std::sync::OnceLock;

use axum::http::HeaderValue;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;

/// The longest text that is compressed at once. With zlib it takes 45 µs at this level. A playlist of 36 s has 5 KB (30 µs), one of an
/// hour half a megabyte (1.3 ms; 4.1 ms at the usual level).
const LONG: usize = 16 << 10;

/// A playlist repeats itself, so more effort makes it little shorter.
const LEVEL: Compression = Compression::fast();

/// A text, its compressed form, and its form for players whose token is in the address.
#[derive(Debug)]
pub(crate) struct Document {
    text: Bytes,
    gzip: OnceCell<Bytes>,
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
            gzip: OnceCell::new(),
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

    /// Returns what it takes when it was asked for in all forms, in bytes: twice the text, and each compressed to less than half.
    pub(crate) fn cost(&self) -> usize {
        3 * self.text.len()
    }

    pub(crate) fn text(&self) -> Bytes {
        self.text.clone()
    }

    /// Returns the compressed form, which the first request has made for all. A thread that may block compresses what is long.
    pub(crate) async fn gzip(&self) -> Bytes {
        let compress = async || {
            if self.text.len() <= LONG {
                return compressed(&self.text);
            }
            let text = self.text.clone();
            let made = spawn_blocking(move || compressed(&text)).await;
            made.unwrap_or_else(|_| compressed(&self.text)) // The runtime is being shut down.
        };
        self.gzip.get_or_init(compress).await.clone()
    }
}

fn compressed(text: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 4), LEVEL);
    // Writing to a Vec does not fail.
    let _ = encoder.write_all(text);
    encoder.finish().unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::sync::Arc;

    use flate2::read::GzDecoder;

    use super::*;

    /// Returns a document of which `lines` say what a playlist says of a segment.
    fn document(lines: usize) -> Document {
        let line = |n| {
            format!(
                "#EXTINF:2.00000,\n#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:{:02}:{:02}.000Z\nv{n}.m4s\n",
                n / 60 % 60,
                n % 60
            )
        };
        Document::new((0..lines).map(line).collect(), "1-0.0")
    }

    #[test]
    fn a_long_playlist_is_compressed_once_on_a_thread_that_may_block() {
        let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
        runtime.block_on(async {
            for lines in [10, 10_000] {
                let document = Arc::new(document(lines));
                assert_eq!(document.text().len() > LONG, lines == 10_000);
                let (free, held) = std::sync::mpsc::channel::<()>();
                let holds = spawn_blocking(move || held.recv());
                let first = tokio::spawn({
                    let document = document.clone();
                    async move { document.gzip().await }
                });
                tokio::task::yield_now().await;
                assert_eq!(document.gzip.initialized(), lines == 10, "it waits for the thread");
                drop(free);
                assert!(holds.await.unwrap().is_err());
                let (first, second) = (first.await.unwrap(), document.gzip().await);
                assert_eq!(first.as_ptr(), second.as_ptr(), "it is made once");
                let mut text = String::new();
                GzDecoder::new(&first[..]).read_to_string(&mut text).unwrap();
                assert_eq!(text.as_bytes(), document.text());
            }
        });
    }
}
