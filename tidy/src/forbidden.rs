//! Checks that certain words do not occur in certain code.

use crate::project::Project;
use crate::source::Source;

/// The pure code: it gets the time as an argument, and returns values and deadlines. A path that ends with a slash is a
/// folder.
const PURE: [&str; 30] = [
    "names/src/",
    "room/src/",
    "media/src/",
    "packager/src/",
    "rtc/src/sdp/",
    "rtc/src/transport/",
    "rtc/src/tcp/backlog.rs",
    "rtc/src/rtp/",
    "ingest/src/rtmp/session.rs",
    "ingest/src/rtmp/chunk/",
    "ingest/src/rtmp/amf.rs",
    "ingest/src/rtmp/amf/",
    "ingest/src/rtmp/handshake.rs",
    "ingest/src/rtmp/message.rs",
    "ingest/src/rtmp/publisher.rs",
    "mixer/src/codec/live.rs",
    "mixer/src/codec/rest.rs",
    "mixer/src/scene/",
    "mixer/src/derive/video.rs",
    "mixer/src/derive/encoding.rs",
    "mixer/src/derive/audio.rs",
    "mixer/src/derive/placement.rs",
    "mixer/src/compose/tick.rs",
    "mixer/src/compose/plan.rs",
    "mixer/src/compose/queue.rs",
    "mixer/src/compose/compositor.rs",
    "mixer/src/sound/mix.rs",
    "mixer/src/sound/input.rs",
    "mixer/src/sound/strip.rs",
    "mixer/src/sound/output.rs",
];

/// The words that read a clock, open a socket, start a task or thread, or wait.
const IMPURE: [&str; 16] = [
    "Instant::now",
    "SystemTime::now",
    ".elapsed()",
    "UNIX_EPOCH.elapsed",
    "tokio::net",
    "tokio::time",
    "std::net::TcpStream",
    "std::net::TcpListener",
    "UdpSocket",
    "spawn",
    "spawn_blocking",
    "block_on",
    "sleep",
    "sleep_until",
    "park",
    "park_timeout",
];

/// The exceptions in pure code: file, function and reason.
const EXCEPTIONS: [(&str, &str, &str); 4] = [
    ("media/src/feed/opening.rs", "opened", "opening a codec blocks, so it is done on a thread that may block"),
    ("media/src/feed.rs", "while_refused", "a refusal for a time ends by itself, for all readers of a feed"),
    ("media/src/ring.rs", "read_timeout", "it blocks the thread of a deriver, which has no runtime"),
    ("room/src/simulation/world.rs", "new", "the simulation starts at an arbitrary instant and advances it itself"),
];

/// Finds clocks, sockets, tasks and waiting in pure code.
pub fn in_pure_code(project: &Project) -> Vec<String> {
    let is_pure = |source: &&Source| PURE.iter().any(|pure| is_in(&source.path, pure));
    let mut found = Vec::new();
    for source in project.product().filter(is_pure) {
        let allowed = allowed_lines(source);
        for word in IMPURE {
            found.extend(source.find(word).filter(|(number, _)| !allowed.contains(number)).map(|place| {
                report(
                    source,
                    place,
                    "pure code reads no clock, opens no socket, starts nothing and never waits",
                    "take `now` as an argument, return a deadline, and let the driver act",
                )
            }));
        }
    }
    found
}

/// Finds FFmpeg outside `mixer/src/codec/`, and `unsafe` outside its binding.
pub fn outside_the_binding(project: &Project) -> Vec<String> {
    const FOLDER: &str = "mixer/src/codec/";
    const FILE: &str = "mixer/src/codec/ffi.rs";
    let mut found = Vec::new();
    for source in project.sources.iter().filter(|source| !source.path.starts_with("tidy/")) {
        if !source.path.starts_with(FOLDER) {
            for word in ["ffmpeg_next", "ffmpeg_sys_next"] {
                found.extend(source.find(word).map(|place| {
                    let advice = "call a function of mixer/src/codec/, or add one there";
                    report(source, place, "FFmpeg is named in mixer/src/codec/ alone", advice)
                }));
            }
        }
        if source.path != FILE {
            found.extend(source.find("unsafe").map(|place| {
                let advice = "use a safe interface, or put a binding with its safety comment into that file";
                report(source, place, "`unsafe` is in mixer/src/codec/ffi.rs alone", advice)
            }));
        }
    }
    found
}

/// Finds output that does not go through the log.
pub fn outside_the_log(project: &Project) -> Vec<String> {
    const FILES: [&str; 2] = ["logging/src/lib.rs", "room/src/simulation.rs"]; // The simulation is a tool, not the server.
    const WORDS: [&str; 6] = ["println", "eprintln", "print!", "eprint!", "stdout", "stderr"];
    let mut found = Vec::new();
    for source in project.product().filter(|source| !FILES.contains(&source.path.as_str())) {
        found.extend(WORDS.iter().flat_map(|word| source.find(word)).map(|place| {
            let invariant = "no thread but that of the log waits for the reader of standard output or standard error";
            report(source, place, invariant, "log it by `tracing`")
        }));
    }
    found
}

/// Finds queues without a bound.
pub fn unbounded_queues(project: &Project) -> Vec<String> {
    const WORDS: [&str; 5] =
        ["unbounded_channel", "UnboundedSender", "mpsc::unbounded", "std::sync::mpsc", "crossbeam_channel::unbounded"];
    let find = |source| -> Vec<String> {
        let places = WORDS.iter().flat_map(|word| Source::find(source, word));
        let advice = "bound the queue, and state what happens when it is full";
        places
            .filter(|(_, line)| !line.contains("sync_channel"))
            .map(|place| report(source, place, "every queue is bounded", advice))
            .collect()
    };
    project.product().flat_map(find).collect()
}

/// Finds tasks, channels and locks in the code of a single WebRTC viewer.
pub fn per_viewer(project: &Project) -> Vec<String> {
    const FILES: [&str; 3] = ["rtc/src/shard/viewer.rs", "rtc/src/rtp/sender.rs", "rtc/src/transport/peer.rs"];
    const WORDS: [&str; 8] = ["Mutex", "RwLock", "mpsc", "oneshot", "watch", "broadcast", "spawn", "async"];
    let mut found = Vec::new();
    for file in FILES {
        let Some(source) = project.sources.iter().find(|source| source.path == file) else {
            found.push(format!("{file} is not there.\n  To do: name its new place in tidy/src/forbidden.rs."));
            continue;
        };
        found.extend(WORDS.iter().flat_map(|word| source.find(word)).map(|place| {
            let invariant = "there is no task, channel or lock per WebRTC viewer on the media path";
            report(source, place, invariant, "let the shard call it and pass what it needs as arguments")
        }));
    }
    found
}

fn is_in(path: &str, place: &str) -> bool {
    path == place || (place.ends_with('/') && path.starts_with(place))
}

fn report(source: &Source, (number, line): (usize, &str), invariant: &str, advice: &str) -> String {
    format!("{}:{number}: {line}\n  Invariant: {invariant}.\n  To do: {advice}.", source.path)
}

/// Returns the lines of the function that [`EXCEPTIONS`] names in this file.
fn allowed_lines(source: &Source) -> Vec<usize> {
    let excepted = EXCEPTIONS.iter().filter(|(path, ..)| *path == source.path);
    let heads: Vec<_> = excepted.map(|(_, function, _)| format!("fn {function}(")).collect();
    let mut depth = None;
    let mut lines = Vec::new();
    for (number, code, _) in source.lines() {
        if heads.iter().any(|head| code.contains(head)) {
            depth = Some(0);
        }
        if let Some(open) = &mut depth {
            lines.push(number);
            *open += code.matches('{').count() as i32 - code.matches('}').count() as i32;
            if *open <= 0 {
                depth = None;
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_in_pure_code_is_found_but_not_in_its_tests_or_its_driver() {
        let breaks = "fn f() { let now = Instant::now(); }\n";
        let tests = "#[cfg(test)]\nmod tests { fn f() { Instant::now(); } }\n#[cfg(test)]\nmod apart;\n";
        let project = Project::of(&[
            ("packager/src/segmenter.rs", breaks),
            ("packager/src/lib.rs", tests),
            ("packager/src/apart.rs", breaks),
            ("packager/src/apart/more.rs", breaks),
            ("packager/tests/rules.rs", breaks),
            ("edge/src/hls/driver.rs", breaks),
            ("rtc/src/rtp/mod.rs", "fn f() { tokio::spawn(later()); }"),
            (
                "media/src/ring.rs",
                "fn read_timeout() {\n    thread::park_timeout(left);\n}\nfn g() { thread::park(); }",
            ),
        ]);
        let found = in_pure_code(&project);
        let places: Vec<_> = found.iter().map(|one| one.split(": ").next().unwrap()).collect();
        assert_eq!(places, ["packager/src/segmenter.rs:1", "rtc/src/rtp/mod.rs:1", "media/src/ring.rs:4"]);
        assert!(found[0].contains("Invariant: pure code reads no clock") && found[0].contains("To do: take `now`"));
    }

    #[test]
    fn ffmpeg_and_unsafe_outside_their_files_are_found() {
        let project = Project::of(&[
            ("mixer/src/codec/ffi.rs", "use ffmpeg_next::ffi; fn f() { unsafe {} }"),
            ("mixer/src/codec/decode.rs", "use ffmpeg_next::codec; fn f() { unsafe {} }"),
            ("mixer/src/derive/video.rs", "use ffmpeg_next::codec;"),
            ("edge/src/flv.rs", "#![deny(unsafe_code)]"),
        ]);
        let found = outside_the_binding(&project);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("mixer/src/codec/decode.rs:1") && found[0].contains("`unsafe` is in"));
        assert!(found[1].starts_with("mixer/src/derive/video.rs:1") && found[1].contains("FFmpeg is named in"));
    }

    #[test]
    fn output_beside_the_log_is_found() {
        let project = Project::of(&[
            ("logging/src/lib.rs", "fn f() { io::stderr() }"),
            ("src/main.rs", "fn f() { eprintln!(\"ended\") }"),
            ("edge/src/a.rs", "fn f() { std::io::stdout() } // println"),
            ("edge/tests/a.rs", "fn f() { println!() }"),
        ]);
        let found = outside_the_log(&project);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("src/main.rs:1") || found[1].starts_with("src/main.rs:1"), "{found:?}");
    }

    #[test]
    fn an_unbounded_channel_is_found() {
        let project = Project::of(&[
            ("edge/src/a.rs", "let (a, b) = mpsc::unbounded_channel();"),
            ("edge/src/b.rs", "use std::sync::mpsc::{SyncSender, sync_channel};"),
        ]);
        assert_eq!(unbounded_queues(&project).len(), 1);
    }

    #[test]
    fn a_lock_in_a_viewer_is_found_and_so_is_a_file_that_moved() {
        let project = Project::of(&[
            ("rtc/src/shard/viewer.rs", "struct Viewer { state: Arc<Mutex<State>> }"),
            ("rtc/src/rtp/sender.rs", ""),
        ]);
        let found = per_viewer(&project);
        assert!(found[0].starts_with("rtc/src/shard/viewer.rs:1"), "{found:?}");
        assert!(found[1].starts_with("rtc/src/transport/peer.rs is not there"), "{found:?}");
    }
}
