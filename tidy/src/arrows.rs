//! Checks which crates of the project may depend on each other, and on which libraries.

use toml::Table;

use crate::project::Project;

/// The crates that each crate may depend on, in the order of the layers. Other dependencies are not allowed.
const ALLOWED: [(&str, &[&str]); 17] = [
    ("names", &[]),
    ("room", &["names"]),
    ("media", &["names"]),
    ("logging", &["media"]),
    ("packager", &["media"]),
    ("listen", &["media"]),
    ("rtc", &["listen", "media"]),
    ("http", &["listen", "media"]),
    ("mixer", &["media", "names"]),
    ("stage", &["mixer", "media", "names"]),
    ("signalling", &["rtc", "http", "media"]),
    ("ingest", &["listen", "media"]),
    ("edge", &["packager", "http", "media"]),
    ("store", &["media"]),
    ("control", &["stage", "store", "mixer", "room", "http", "media", "names"]),
    ("config", &["control", "ingest", "mixer", "rtc", "room", "http"]),
    (
        "src",
        &[
            "config",
            "control",
            "stage",
            "store",
            "signalling",
            "ingest",
            "edge",
            "mixer",
            "packager",
            "rtc",
            "room",
            "http",
            "listen",
            "logging",
            "media",
            "names",
        ],
    ),
];

/// Crates that only test the others, and may therefore depend on all of them.
const TESTERS: [&str; 2] = ["fuzz/targets", "tidy"];

const HTTP: &[&str] = &["axum", "hyper", "hyper-util", "tower-http", "reqwest"];
const SOCKETS: &[&str] = &["socket2", "quinn-udp"];
const RUNTIME: &[&str] = &["tokio", "tokio-util", "futures"];
const WEBRTC: &[&str] =
    &["rtc-crypto", "rtc-dtls", "rtc-rtcp", "rtc-rtp", "rtc-sdp", "rtc-shared", "rtc-srtp", "rtc-stun"];
const RTMP: &[&str] = &["rml_rtmp"];
const FFMPEG: &[&str] = &["ffmpeg-next", "ffmpeg-sys-next"];

/// The libraries that a crate must not depend on. They are the column "knows nothing of" of the code map.
const UNKNOWN: [(&str, &[&[&str]]); 16] = [
    ("names", &[HTTP, SOCKETS, RUNTIME, WEBRTC, RTMP, FFMPEG]),
    ("room", &[HTTP, SOCKETS, RUNTIME, WEBRTC, RTMP, FFMPEG]),
    ("media", &[HTTP, WEBRTC, RTMP, FFMPEG]),
    ("logging", &[HTTP, SOCKETS, RUNTIME, WEBRTC, RTMP, FFMPEG]),
    ("packager", &[HTTP, SOCKETS, RUNTIME, WEBRTC, RTMP, FFMPEG]),
    ("rtc", &[HTTP, RTMP, FFMPEG]),
    ("listen", &[HTTP, WEBRTC, RTMP, FFMPEG]),
    ("http", &[WEBRTC, RTMP, FFMPEG]),
    ("mixer", &[HTTP, WEBRTC, RTMP]),
    ("stage", &[HTTP, SOCKETS, WEBRTC, RTMP, FFMPEG]),
    ("store", &[HTTP, SOCKETS, RUNTIME, WEBRTC, RTMP, FFMPEG]),
    ("signalling", &[RTMP, FFMPEG]),
    ("ingest", &[WEBRTC, FFMPEG]),
    ("edge", &[WEBRTC, RTMP, FFMPEG]),
    ("control", &[WEBRTC, RTMP, FFMPEG]),
    ("config", &[SOCKETS, RUNTIME, WEBRTC, RTMP, FFMPEG]),
];

/// Finds dependencies between crates that [`ALLOWED`] does not have. Dependencies of tests are not checked.
pub fn between_crates(project: &Project) -> Vec<String> {
    let mut found = Vec::new();
    for (folder, manifest) in &project.manifests {
        let name = name(folder);
        if TESTERS.contains(&name) {
            continue;
        }
        let Some((_, allowed)) = ALLOWED.iter().find(|(crate_name, _)| *crate_name == name) else {
            found.push(format!("{name}/ has no line in ALLOWED of tidy/src/arrows.rs.\n  To do: list what it may depend on, and draw it in ARCHITECTURE.md."));
            continue;
        };
        let others = dependencies(manifest).filter_map(|dependency| dependency.strip_prefix("onmic-"));
        found.extend(others.filter(|other| !allowed.contains(other)).map(|other| {
            format!(
                "{name}/Cargo.toml depends on onmic-{other}.\n  Invariant: dependencies between crates point one way; {name} \
                 may know {allowed:?}.\n  To do: move the code to where it is known, or add the arrow to tidy/src/arrows.rs and \
                 ARCHITECTURE.md with its reason."
            )
        }));
    }
    found
}

/// Finds libraries that a crate depends on although [`UNKNOWN`] forbids it.
pub fn to_libraries(project: &Project) -> Vec<String> {
    let mut found = Vec::new();
    for (folder, manifest) in &project.manifests {
        let Some((name, unknown)) = UNKNOWN.iter().find(|(crate_name, _)| *crate_name == name(folder)) else {
            continue;
        };
        found.extend(dependencies(manifest).filter(|one| unknown.iter().any(|libraries| libraries.contains(one))).map(
            |library| {
                format!(
                    "{name}/Cargo.toml depends on {library}.\n  Invariant: ARCHITECTURE.md, code map: {name}/ knows nothing of \
                     what that library does.\n  To do: move the code to the crate that does."
                )
            },
        ));
    }
    found
}

fn name(folder: &str) -> &str {
    if folder.is_empty() { "src" } else { folder }
}

fn dependencies(manifest: &Table) -> impl Iterator<Item = &str> {
    manifest.get("dependencies").and_then(toml::Value::as_table).into_iter().flat_map(Table::keys).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dependency_on_a_higher_layer_is_found() {
        let manifest = "[dependencies]\nonmic-names.workspace = true\nonmic-edge.workspace = true\n[dev-dependencies]\nonmic-rtc = {}\n";
        let found = between_crates(&Project::of_manifests(&[("media", manifest)]));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("media/Cargo.toml depends on onmic-edge"));
    }

    #[test]
    fn a_crate_without_a_line_in_allowed_is_found() {
        let found = between_crates(&Project::of_manifests(&[("cluster", "")]));
        assert!(found[0].starts_with("cluster/ has no line in ALLOWED"), "{found:?}");
    }

    #[test]
    fn allowed_dependencies_have_no_cycle() {
        for (at, (_, targets)) in ALLOWED.iter().enumerate() {
            let is_above = |target: &&str| ALLOWED[..at].iter().any(|(name, _)| name == target);
            assert!(targets.iter().all(is_above), "{:?}", ALLOWED[at]);
        }
    }

    #[test]
    fn a_library_that_a_crate_must_not_know_is_found() {
        let found = to_libraries(&Project::of_manifests(&[("packager", "[dependencies]\ntokio = {}\nbytes = {}\n")]));
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("packager/Cargo.toml depends on tokio"));
    }
}
