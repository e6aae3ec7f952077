//! The form of a playlist for native players, which cannot add a header to their requests: each address takes over the
//! `token` of the playlist's own address (EXT-X-DEFINE:QUERYPARAM, rfc8216bis 4.4.2.3).
//!
//! The token itself is not in it, so the bytes are the same for all. A playlist in this form cannot be parsed without the
//! parameter, so it is for requests that have one.

/// EXT-X-DEFINE with QUERYPARAM came with version 11 (rfc8216bis 8).
const VERSION: &str = "#EXT-X-VERSION:11";
const DEFINITION: &str = "#EXT-X-DEFINE:QUERYPARAM=\"token\"";
const PARAMETER: &str = "?token={$token}";

/// The same playlist, in which each address has the parameter. It expects the text as this crate writes it: addresses have
/// no query.
pub fn with_token(playlist: &str) -> String {
    let mut text = String::with_capacity(playlist.len() * 3 / 2);
    for line in playlist.lines() {
        match line.split_once("URI=\"") {
            _ if line.starts_with("#EXT-X-VERSION:") => text.extend([VERSION, "\n", DEFINITION]),
            _ if !line.starts_with('#') && !line.is_empty() => text.extend([line, PARAMETER]),
            Some((before, rest)) => {
                let (uri, after) = rest.split_once('"').unwrap_or((rest, ""));
                text.extend([before, "URI=\"", uri, PARAMETER, "\"", after]);
            }
            None => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_takes_over_the_token_and_nothing_else_changes() {
        let playlist = "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-MAP:URI=\"video-init-0.mp4\"\n#EXT-X-PART:DURATION=0.3,URI=\"a.m4s\",\
                        INDEPENDENT=YES\n#EXTINF:2.00000,\nvideo-1.m4s\n#EXT-X-RENDITION-REPORT:URI=\"audio.m3u8\",LAST-MSN=2\n";
        let expected = "#EXTM3U\n#EXT-X-VERSION:11\n#EXT-X-DEFINE:QUERYPARAM=\"token\"\n#EXT-X-MAP:URI=\"video-init-0.mp4\
                        ?token={$token}\"\n#EXT-X-PART:DURATION=0.3,URI=\"a.m4s?token={$token}\",INDEPENDENT=YES\n#EXTINF:2.00000,\n\
                        video-1.m4s?token={$token}\n#EXT-X-RENDITION-REPORT:URI=\"audio.m3u8?token={$token}\",LAST-MSN=2\n";
        assert_eq!(with_token(playlist), expected);
    }
}
