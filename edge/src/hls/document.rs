//! A playlist as it goes out: rendered once, compressed at most once, and shared by all requests with its headers.

use std::io::Write;
use std::sync::Arc;

use axum::http::HeaderValue;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::made::Made;

/// The longest text of which something is made at once. With zlib it takes 45 µs to compress it at this level. A playlist of 36 s has
/// 5 KB (30 µs). One of an hour, the longest, has 0.15 MB in segments of 2 s, and 0.6 MB in the shortest, of 0.5 s: 1.3 ms (4.1 ms at
/// the usual level), and 0.7 ms for the form with tokens.
const LONG: usize = 16 << 10;

/// A playlist repeats itself, so more effort makes it little shorter.
const LEVEL: Compression = Compression::fast();

/// A text, its compressed form, and its form for players whose token is in the address.
#[derive(Debug)]
pub(crate) struct Document {
    text: Bytes,
    gzip: Made<Bytes>,
    with_token: Made<Arc<Document>>,
    etag: HeaderValue,
    etag_gzip: HeaderValue,
}

impl Document {
    /// Makes a document. `version` is made of letters, digits and `.-`, and differs whenever the text does.
    pub(crate) fn new(text: String, version: &str) -> Self {
        let tag = |suffix: &str| {
            HeaderValue::try_from(format!("\"{version}{suffix}\"")).unwrap_or(HeaderValue::from_static("\"\""))
        };
        let (gzip, with_token) = (Made::default(), Made::default());
        // The compressed form is another representation, and needs another tag.
        Self { text: text.into(), gzip, with_token, etag: tag(""), etag_gzip: tag("-gz") }
    }

    /// Returns the entity tag of one of the forms.
    pub(crate) fn etag(&self, gzip: bool) -> &HeaderValue {
        if gzip { &self.etag_gzip } else { &self.etag }
    }

    /// Returns the form whose addresses take over the token of the playlist's own address.
    pub(crate) async fn with_token(&self) -> Arc<Self> {
        let (text, version) = (self.text.clone(), self.etag.clone());
        let transform = move || {
            // A playlist is made of Strings.
            let text = onmic_packager::query::with_token(std::str::from_utf8(&text).unwrap_or_default());
            let version = version.to_str().unwrap_or_default().trim_matches('"');
            Arc::new(Self::new(text, &format!("{version}-t")))
        };
        self.with_token.get(self.is_long(), transform).await
    }

    /// Returns what it takes when it was asked for in all forms, in bytes: twice the text, and each compressed to less than half.
    pub(crate) fn cost(&self) -> usize {
        3 * self.text.len()
    }

    pub(crate) fn text(&self) -> Bytes {
        self.text.clone()
    }

    /// Returns the compressed form, which the first request has made for all.
    pub(crate) async fn gzip(&self) -> Bytes {
        let text = self.text.clone();
        self.gzip.get(self.is_long(), move || compressed(&text)).await
    }

    /// Returns whether a thread that may block makes its forms.
    fn is_long(&self) -> bool {
        self.text.len() > LONG
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

    #[tokio::test]
    async fn each_form_of_a_playlist_is_made_once() {
        for lines in [10, 10_000] {
            let document = document(lines);
            assert_eq!(document.is_long(), lines == 10_000);
            let (first, second) = (document.gzip().await, document.gzip().await);
            assert_eq!(first.as_ptr(), second.as_ptr());
            let mut text = String::new();
            GzDecoder::new(&first[..]).read_to_string(&mut text).unwrap();
            assert_eq!(text.as_bytes(), document.text());
            let (first, second) = (document.with_token().await, document.with_token().await);
            assert!(Arc::ptr_eq(&first, &second));
            assert!(first.text().ends_with(b"?token={$token}\n"));
            assert_eq!(first.etag(false), "\"1-0.0-t\"");
        }
    }
}
