//! Checks the size of files, and statements in different files that must agree.

use crate::project::Project;

/// The most lines of a file. A longer file holds a second noun (CONTRIBUTING: 50 to 250 lines are typical).
const LINES_MAX: usize = 700;

/// The files that may be longer, each with its reason.
const LONG: [(&str, &str); 0] = [];

/// Finds files that are too long, and exceptions that are not needed any more.
pub fn too_long(project: &Project) -> Vec<String> {
    let lines = |path: &str| {
        project.sources.iter().find(|source| source.path == path).map(|source| source.text.lines().count())
    };
    let reason = |path: &str| LONG.iter().find(|(long, _)| *long == path);
    let long = project.product().map(|source| (&source.path, source.text.lines().count()));
    let long = long.filter(|(path, lines)| *lines > LINES_MAX && reason(path).is_none()).map(|(path, lines)| {
        format!(
            "{path} has {lines} lines.\n  Invariant: a file is one noun, of at most {LINES_MAX} lines.\n  To do: find the second \
             noun and give it a file, or add the file to LONG in tidy/src/files.rs with its reason."
        )
    });
    let stale = LONG.iter().filter(|(path, _)| lines(path).is_none_or(|lines| lines <= LINES_MAX));
    long.chain(
        stale.map(|(path, _)| format!("{path} is short enough.\n  To do: remove it from LONG in tidy/src/files.rs.")),
    )
    .collect()
}

/// Finds crates without a row in the code map of ARCHITECTURE.md.
pub fn missing_from_code_map(project: &Project) -> Vec<String> {
    let architecture = project.text("ARCHITECTURE.md");
    let folders = project.manifests.iter().map(|(folder, _)| folder.split('/').next().unwrap_or_default());
    let missing = folders.filter(|folder| !folder.is_empty() && !architecture.contains(&format!("\n| `{folder}/` |")));
    missing.map(|folder| format!("{folder}/ is not in ARCHITECTURE.md.\n  To do: add a row to its code map.")).collect()
}

/// Finds versions of Rust that disagree: the pinned one, the one in Cargo.toml, and the one that the image is built
/// with.
pub fn rust_versions(project: &Project) -> Vec<String> {
    let pinned = project.text("rust-toolchain.toml").lines().find_map(|line| line.strip_prefix("channel = \""));
    let pinned = pinned.map(|rest| rest.trim_end_matches('"')).unwrap_or_default();
    let root = project.manifests.first().map(|(_, manifest)| manifest);
    let package = root.and_then(|root| root.get("workspace")?.get("package")?.get("rust-version")?.as_str());
    let image = project.text("docker/Dockerfile").split("FROM rust:").nth(1).and_then(|rest| rest.split('-').next());
    let others = [("Cargo.toml (rust-version)", package), ("docker/Dockerfile (FROM rust:)", image)];
    let is_other = |version: Option<&str>| {
        !version.is_some_and(|version| pinned == version || pinned.starts_with(&format!("{version}.")))
    };
    let disagreeing = others.into_iter().filter(|(_, version)| is_other(*version));
    disagreeing
        .map(|(place, version)| {
            let version = version.unwrap_or("no version");
            format!("{place} names {version}, rust-toolchain.toml {pinned}.\n  To do: name one version in all of them.")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_too_long_is_found() {
        let long = "\n".repeat(LINES_MAX + 1);
        let project =
            Project::of(&[("edge/src/flv.rs", &long), ("edge/tests/flv.rs", &long), ("edge/src/lib.rs", "\n")]);
        let found = too_long(&project);
        assert_eq!(found.len(), 1 + LONG.len(), "exceptions that are not needed are also found: {found:?}");
        assert!(found[0].starts_with("edge/src/flv.rs has 701 lines"));
    }

    #[test]
    fn a_crate_that_is_not_on_the_code_map_is_found() {
        let mut project = Project::of_manifests(&[("edge", ""), ("fuzz/targets", ""), ("cluster", "")]);
        project.texts = vec![("ARCHITECTURE.md".to_owned(), "\n| `edge/` | … |\n| `fuzz/` | … |\n".to_owned())];
        assert_eq!(missing_from_code_map(&project).len(), 1);
    }

    #[test]
    fn rust_versions_that_disagree_are_found() {
        let mut project = Project::of_manifests(&[("", "[workspace.package]\nrust-version = \"1.95\"\n")]);
        let texts = |image: &str| {
            vec![
                ("rust-toolchain.toml".to_owned(), "[toolchain]\nchannel = \"1.95.0\"\n".to_owned()),
                ("docker/Dockerfile".to_owned(), format!("FROM rust:{image}-bookworm AS build\n")),
            ]
        };
        project.texts = texts("1.95");
        assert_eq!(rust_versions(&project), [""; 0]);
        project.texts = texts("1.9");
        assert_eq!(rust_versions(&project).len(), 1);
    }
}
