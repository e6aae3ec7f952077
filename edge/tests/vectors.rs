//! Conformance vectors of LL-HLS (rfc8216bis): a request, and what the document says of its answer. Each names the section
//! that it comes from. Answers that wait for parts are tested in `hls.rs`, and playlists as a whole in
//! `packager/tests/rules.rs`.

#![allow(clippy::unwrap_used)]

mod node;

use axum::http::header;
use node::{Node, cache, text};

/// What an answer is.
enum Answer {
    /// 200 with a playlist that has these lines (their beginnings), and none that begins with one of the second list.
    Playlist(&'static [&'static str], &'static [&'static str]),
    /// 400, as a problem whose sentence names this.
    Refused(&'static str),
}
use Answer::{Playlist, Refused};

/// What may be cached for how long (rfc8216bis 6.2.1, B.1): a blocking answer six target durations, another half of one.
const BLOCKING: &str = "max-age=12";
const PLAIN: &str = "max-age=1";

/// Segments 1 to 17 are complete, with six parts each, and four parts of 18 are out. The target duration is 2 s.
const VECTORS: &[(&str, &str, &str, Answer)] = &[
    // The playlist without directives: its server control, limits, hint and reports.
    (
        "4.4.3.8",
        "",
        PLAIN,
        Playlist(
            &["#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=12.0,PART-HOLD-BACK=1.002,HOLD-BACK=6.0"],
            &["#EXT-X-SKIP", "#EXT-X-ENDLIST", "#EXT-X-DEFINE"],
        ),
    ),
    ("4.4.3.7", "", PLAIN, Playlist(&["#EXT-X-PART-INF:PART-TARGET=0.334"], &[])),
    ("4.4.3.1", "", PLAIN, Playlist(&["#EXT-X-TARGETDURATION:2"], &[])),
    ("4.4.5.3", "", PLAIN, Playlist(&["#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"video-part-106.m4s\""], &[])),
    ("4.4.5.4", "", PLAIN, Playlist(&["#EXT-X-RENDITION-REPORT:URI=\"audio.m3u8\",LAST-MSN=18,LAST-PART="], &[])),
    ("4.4.4.6", "", PLAIN, Playlist(&["#EXT-X-PROGRAM-DATE-TIME:20"], &[])),
    // Parts are listed near the end alone.
    ("6.2.2", "", PLAIN, Playlist(&["URI=\"video-part-105.m4s\""], &["URI=\"video-part-6.m4s\""])),
    // What the playlist has is given at once, and kept by caches for long.
    ("6.2.5.2", "_HLS_msn=18&_HLS_part=3", BLOCKING, Playlist(&["URI=\"video-part-105.m4s\""], &[])),
    ("6.2.5.2", "_HLS_msn=17&_HLS_part=5", BLOCKING, Playlist(&["video-17.m4s"], &[])),
    ("6.2.5.2", "_HLS_msn=2", BLOCKING, Playlist(&["video-17.m4s"], &[])),
    // A part past the end of its segment is the first of the next.
    ("6.2.5.2", "_HLS_msn=17&_HLS_part=6", BLOCKING, Playlist(&["video-17.m4s"], &[])),
    ("6.2.5.2", "_HLS_msn=17&_HLS_part=600", BLOCKING, Playlist(&["video-17.m4s"], &[])),
    // The 400s.
    ("6.2.5.2", "_HLS_part=1", PLAIN, Refused("_HLS_msn")),
    ("6.2.5.2", "_HLS_msn=20", PLAIN, Refused("_HLS_msn")),
    ("6.2.5.2", "_HLS_msn=20&_HLS_part=0", PLAIN, Refused("_HLS_msn")),
    ("6.2.5.2", "_HLS_msn=18&_HLS_part=13", PLAIN, Refused("_HLS_part")),
    ("6.2.5.2", "_HLS_msn=19&_HLS_part=9", PLAIN, Refused("_HLS_part")),
    ("6.2.5", "_HLS_msn=seventeen", PLAIN, Refused("_HLS_msn")),
    ("6.2.5", "_HLS_msn=18&_HLS_part=1.5", PLAIN, Refused("_HLS_part")),
    // Delta updates: what is older than CAN-SKIP-UNTIL is left out, also where a client could take skipped dates.
    (
        "6.2.5.1",
        "_HLS_skip=YES",
        PLAIN,
        Playlist(&["#EXT-X-SKIP:SKIPPED-SEGMENTS=11", "#EXT-X-MAP", "video-12.m4s"], &["video-11.m4s"]),
    ),
    ("6.2.5.1", "_HLS_skip=v2", PLAIN, Playlist(&["#EXT-X-SKIP:SKIPPED-SEGMENTS=11"], &[])),
    ("6.2.5.1", "_HLS_msn=18&_HLS_part=3&_HLS_skip=YES", BLOCKING, Playlist(&["#EXT-X-SKIP:SKIPPED-SEGMENTS=11"], &[])),
    ("6.2.5.1", "_HLS_skip=NO", PLAIN, Playlist(&["video-1.m4s"], &["#EXT-X-SKIP"])),
    // Parameters that are not the server's are left alone, and directives of later versions too.
    ("6.2.5", "_HLS_new=1&session=a", PLAIN, Playlist(&["video-1.m4s"], &[])),
    // A parameter of the playlist's address is handed on, and its value is not in the playlist.
    (
        "4.4.2.3",
        "token=secret",
        PLAIN,
        Playlist(
            &["#EXT-X-VERSION:11", "#EXT-X-DEFINE:QUERYPARAM=\"token\"", "video-1.m4s?token={$token}"],
            &["video-1.m4s?token=secret"],
        ),
    ),
];

#[tokio::test]
async fn the_documents_vectors_of_ll_hls_hold() {
    let mut node = Node::open().await;
    let directory = node.directory().await;
    for segment in 1..=16 {
        let reached = format!("{directory}/video.m3u8?_HLS_msn={segment}&_HLS_part=2");
        text(node.get(&reached).await).await;
        node.publish(60).await;
    }
    text(node.get(&format!("{directory}/video.m3u8?_HLS_msn=18&_HLS_part=3")).await).await;
    for (section, query, lifetime, answer) in VECTORS {
        let what = format!("{section}: {query}");
        let response = node.get(&format!("{directory}/video.m3u8?{query}")).await;
        let (status, kept) = (response.status().as_u16(), cache(&response).to_owned());
        let media_type = response.headers()[header::CONTENT_TYPE].to_str().unwrap().to_owned();
        let body = text(response).await;
        let has = |text: &&&str| body.contains(**text);
        match answer {
            Playlist(lines, absent) => {
                assert_eq!((status, media_type.as_str()), (200, "application/vnd.apple.mpegurl"), "{what}: {body}");
                let missing: Vec<_> = lines.iter().filter(|line| !has(line)).collect();
                assert!(missing.is_empty(), "{what}: {missing:?} is not in\n{body}");
                let odd: Vec<_> = absent.iter().filter(has).collect();
                assert!(odd.is_empty(), "{what}: {odd:?} is in\n{body}");
            }
            Refused(name) => {
                assert_eq!((status, media_type.as_str()), (400, "application/problem+json"), "{what}: {body}");
                assert!(body.contains(name), "{what}: {body}");
            }
        }
        assert_eq!(kept, *lifetime, "{what}");
    }
}
