//! Reads the project's files.

use std::path::{Path, PathBuf};

use toml::Table;

use crate::source::Source;

/// The folders that hold no Rust code of the project.
const SKIPPED: [&str; 6] = [".git", "target", "node_modules", "web", "docs", "tests/python_packages"];

/// Holds the files that the checks look at.
#[derive(Default)]
pub struct Project {
    /// All Rust files.
    pub sources: Vec<Source>,
    /// The folders and manifests of the workspace's members. The root is the first.
    pub manifests: Vec<(String, Table)>,
    /// The path and text of each of [`TEXTS`].
    pub texts: Vec<(String, String)>,
}

/// The other files that checks read.
pub const TEXTS: [&str; 3] = ["ARCHITECTURE.md", "docker/Dockerfile", "rust-toolchain.toml"];

impl Project {
    /// Reads this project.
    pub fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tidy/ is a folder of the project");
        let mut project = Self::default();
        project.read_folder(root, root);
        project.sources.sort_by(|one, other| one.path.cmp(&other.path));
        let root_manifest = manifest(root);
        let members = root_manifest["workspace"]["members"].as_array().expect("a list of members");
        let folders = members.iter().map(|member| member.as_str().expect("a folder").to_owned());
        project.manifests = folders.map(|folder| (folder.clone(), manifest(&root.join(folder)))).collect();
        project.manifests.insert(0, (String::new(), root_manifest));
        project.texts = TEXTS.map(|path| (path.to_owned(), read(&root.join(path)))).into();
        project
    }

    /// Makes a project of these files, for tests of the checks.
    pub fn of(sources: &[(&str, &str)]) -> Self {
        Self { sources: sources.iter().map(|(path, text)| Source::new(path, text)).collect(), ..Self::default() }
    }

    /// Makes a project of these manifests, for tests of the checks.
    pub fn of_manifests(manifests: &[(&str, &str)]) -> Self {
        let parsed = |text: &str| text.parse().expect("TOML");
        Self {
            manifests: manifests.iter().map(|(folder, text)| ((*folder).to_owned(), parsed(text))).collect(),
            ..Self::default()
        }
    }

    /// Returns the Rust files that are part of the product: no tests, benchmarks, examples, fuzz targets or these
    /// checks.
    pub fn product(&self) -> impl Iterator<Item = &Source> {
        let tests: Vec<_> = self.sources.iter().flat_map(modules_for_tests).collect();
        self.sources.iter().filter(move |source| {
            let path = &source.path;
            let is_in_src =
                path.starts_with("src/") || path.split_once('/').is_some_and(|(_, rest)| rest.starts_with("src/"));
            let is_of_test = |test: &String| path == &format!("{test}.rs") || path.starts_with(&format!("{test}/"));
            is_in_src && !path.starts_with("tidy/") && !path.starts_with("fuzz/") && !tests.iter().any(is_of_test)
        })
    }

    /// Returns the text of one of [`TEXTS`].
    pub fn text(&self, path: &str) -> &str {
        self.texts.iter().find(|(name, _)| name == path).map_or("", |(_, text)| text)
    }

    fn read_folder(&mut self, root: &Path, folder: &Path) {
        for entry in std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("an entry of the folder").path();
            let name = relative(root, &path);
            if path.is_dir() {
                let is_skipped =
                    SKIPPED.iter().any(|skipped| name == *skipped || name.ends_with(&format!("/{skipped}")));
                if !is_skipped {
                    self.read_folder(root, &path);
                }
            } else if name.ends_with(".rs") {
                self.sources.push(Source::new(&name, &read(&path)));
            }
        }
    }
}

/// Returns the paths, without `.rs`, of the modules that `source` declares for tests.
fn modules_for_tests(source: &Source) -> Vec<String> {
    let (folder, file) = source.path.rsplit_once('/').unwrap_or(("", &source.path));
    let parent = match file {
        "mod.rs" | "lib.rs" | "main.rs" => folder.to_owned(),
        _ => format!("{folder}/{}", file.trim_end_matches(".rs")),
    };
    source.test_modules.iter().map(|name| format!("{parent}/{name}")).collect()
}

fn relative(root: &Path, path: &Path) -> String {
    let below: PathBuf = path.strip_prefix(root).expect("a path below the root").into();
    below.to_string_lossy().replace('\\', "/")
}

fn manifest(folder: &Path) -> Table {
    read(&folder.join("Cargo.toml")).parse().expect("cargo has read it before")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
