//! Checks that the files of a crate do not import each other in a circle.
//!
//! A file and the modules below it are one noun, so arrows between them do not count. The check follows `use`, and paths that begin
//! with `crate`, `super` or `self`, through re-exports to the file that has the item.

use std::collections::{BTreeMap, BTreeSet};

use crate::project::Project;
use crate::source::Source;

/// The circles that may be there, each with its reason.
const ALLOWED: [(&[&str], &str); 1] = [(
    &[
        "room/src/host.rs",
        "room/src/person.rs",
        "room/src/pk.rs",
        "room/src/request.rs",
        "room/src/room.rs",
        "room/src/rooms.rs",
        "room/src/seat.rs",
        "room/src/source.rs",
    ],
    "they are one state machine, in a file for each of its nouns",
)];

/// The path of a module or an item within its crate.
type Place = Vec<String>;

/// Holds what one file imports.
struct Imports {
    path: String,
    /// Each name that a `use` brings in, with what it stands for.
    names: BTreeMap<String, Place>,
    /// All that the file names in other modules.
    named: Vec<Place>,
}

/// Finds circles of files that [`ALLOWED`] does not have, and entries of it that are not there any more.
pub fn of_files(project: &Project) -> Vec<String> {
    let mut crates: BTreeMap<&str, BTreeMap<Place, Imports>> = BTreeMap::new();
    let sources: Vec<&Source> = project.product().filter(|source| !source.path.ends_with("/main.rs")).collect();
    for source in &sources {
        let (folder, file) = split(&source.path);
        let place = place_of(file);
        let others: BTreeSet<Place> = sources
            .iter()
            .map(|other| split(&other.path))
            .filter(|(of, _)| *of == folder)
            .map(|(_, file)| place_of(file))
            .collect();
        crates.entry(folder).or_default().insert(place.clone(), imports(source, &place, &others));
    }
    let circles: Vec<Vec<String>> = crates.values().flat_map(circles_of).collect();
    let is_allowed = |circle: &Vec<String>| ALLOWED.iter().any(|(files, _)| circle.iter().eq(files.iter()));
    let found = circles.iter().filter(|circle| !is_allowed(circle)).map(|circle| {
        format!(
            "{}\n  Invariant: files of a crate do not import each other in a circle.\n  To do: move the item that closes the \
             circle to the lower file, or to one of its own below both.",
            circle.join(", ")
        )
    });
    let stale = ALLOWED.iter().filter(|(files, _)| !circles.iter().any(|circle| circle.iter().eq(files.iter())));
    let stale = stale.map(|(files, _)| {
        format!(
            "{}: this is not a circle any more.\n  To do: correct ALLOWED in tidy/src/circles.rs.",
            files.join(", ")
        )
    });
    found.chain(stale).collect()
}

/// Splits a path into the folder of its crate, and the file below `src/`.
fn split(path: &str) -> (&str, &str) {
    match path.strip_prefix("src/") {
        Some(file) => ("", file),
        None => path.split_once("/src/").unwrap_or(("", path)),
    }
}

/// Returns the module that a file below `src/` is.
fn place_of(file: &str) -> Place {
    let mut place: Place = file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if place.last().is_some_and(|last| last == "mod") || place == ["lib"] {
        place.pop();
    }
    place
}

fn imports(source: &Source, place: &Place, modules: &BTreeSet<Place>) -> Imports {
    let mut imports = Imports { path: source.path.clone(), names: BTreeMap::new(), named: Vec::new() };
    let absolute = |path: &[String]| -> Option<Place> {
        let first = path.first()?;
        let ups = path.iter().take_while(|part| *part == "super").count();
        match first.as_str() {
            "crate" => Some(path[1..].to_vec()),
            "self" => Some([&place[..], &path[1..]].concat()),
            "super" => Some([place.get(..place.len().checked_sub(ups)?)?, &path[ups..]].concat()),
            _ => modules.contains(&[&place[..], &path[..1]].concat()).then(|| [&place[..], path].concat()),
        }
    };
    let mut rest = source.code.as_str();
    let mut others = String::new();
    while let Some(at) = find_use(rest) {
        let (before, statement) = rest.split_at(at);
        let (tree, behind) = statement["use ".len()..].split_once(';').unwrap_or((statement, ""));
        for (path, name) in flattened(tree, &[]) {
            if let Some(path) = absolute(&path) {
                imports.names.insert(name, path.clone());
                imports.named.push(path);
            }
        }
        others.push_str(before);
        rest = behind;
    }
    others.push_str(rest);
    let is_part = |one: char| one.is_alphanumeric() || one == '_' || one == ':';
    let paths = others.split(|one| !is_part(one)).filter(|path| path.contains("::"));
    let paths =
        paths.map(|path| path.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect::<Place>());
    imports.named.extend(
        paths
            .filter(|path| path.first().is_some_and(|first| ["crate", "super", "self"].contains(&first.as_str())))
            .filter_map(|path| absolute(&path)),
    );
    imports
}

/// Returns where the next `use` is.
fn find_use(code: &str) -> Option<usize> {
    let is_word = |at: usize| !code[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_');
    code.match_indices("use ").map(|(at, _)| at).find(|at| is_word(*at))
}

/// Returns each path of a tree of `use`, with the name that it has here.
fn flattened(tree: &str, prefix: &[String]) -> Vec<(Place, String)> {
    let tree = tree.trim();
    if let Some((head, list)) = tree.strip_suffix('}').and_then(|tree| tree.split_once('{')) {
        let parts = head.split("::").map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned);
        let prefix: Place = prefix.iter().cloned().chain(parts).collect();
        return branches(list).into_iter().flat_map(|branch| flattened(branch, &prefix)).collect();
    }
    let (path, alias) =
        tree.split_once(" as ").map_or((tree, None), |(path, alias)| (path, Some(alias.trim().to_owned())));
    let parts = path.split("::").map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned);
    let mut path: Place = prefix.iter().cloned().chain(parts).collect();
    if !prefix.is_empty() && path.last().is_some_and(|last| last == "self") {
        path.pop();
    }
    let Some(last) = path.last().cloned() else { return Vec::new() };
    vec![(path, alias.unwrap_or(last))]
}

/// Splits a list at the commas that are not in braces.
fn branches(list: &str) -> Vec<&str> {
    let (mut depth, mut from, mut found) = (0, 0, Vec::new());
    for (at, one) in list.char_indices() {
        match one {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                found.push(&list[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    found.push(&list[from..]);
    found.retain(|branch| !branch.trim().is_empty());
    found
}

/// Returns the module that has an item. Re-exports are followed a few times, because two files may import each other's.
fn home(files: &BTreeMap<Place, Imports>, item: &Place) -> Option<Place> {
    let mut item = item.clone();
    for _ in 0..8 {
        let known = (0..=item.len()).rev().find(|length| files.contains_key(&item[..*length]))?;
        let (module, rest) = (item[..known].to_vec(), item[known..].to_vec());
        let Some(meant) = rest.first().and_then(|name| files[&module].names.get(name)) else { return Some(module) };
        item = [&meant[..], &rest[1..]].concat();
    }
    None
}

/// Returns the circles of one crate, each as the sorted paths of its files.
fn circles_of(files: &BTreeMap<Place, Imports>) -> Vec<Vec<String>> {
    let arrows: BTreeMap<&Place, BTreeSet<Place>> = files
        .iter()
        .map(|(place, imports)| {
            let homes = imports.named.iter().filter_map(|item| home(files, item));
            (place, homes.filter(|home| !home.starts_with(place) && !place.starts_with(home)).collect())
        })
        .collect();
    let reached = |from: &Place| {
        let (mut reached, mut left): (BTreeSet<&Place>, Vec<&Place>) = (BTreeSet::new(), arrows[from].iter().collect());
        while let Some(place) = left.pop() {
            if reached.insert(place) {
                left.extend(&arrows[place]);
            }
        }
        reached
    };
    let reached: BTreeMap<&Place, BTreeSet<&Place>> = arrows.keys().map(|place| (*place, reached(place))).collect();
    let circle = |place: &Place| {
        let others = reached[place].iter().filter(|other| reached[*other].contains(place));
        others.map(|other| files[*other].path.clone()).collect::<BTreeSet<String>>()
    };
    let circles: BTreeSet<BTreeSet<String>> = arrows.keys().map(|place| circle(place)).collect();
    circles.into_iter().filter(|circle| !circle.is_empty()).map(|circle| circle.into_iter().collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the circles that are found in these files, without those of [`ALLOWED`].
    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let found = of_files(&Project::of(files)).into_iter().filter(|one| !one.contains("not a circle any more"));
        found.map(|one| one.lines().next().unwrap_or_default().to_owned()).collect()
    }

    #[test]
    fn a_circle_of_files_is_found_through_groups_paths_and_re_exports() {
        let files = [
            ("edge/src/lib.rs", "mod a;\nmod b;\nmod c;\npub use c::{Cup, Mug as Can};\n"),
            ("edge/src/a.rs", "use std::fmt;\nuse crate::{b::{self, Bag}, Other};\n"),
            ("edge/src/b.rs", "fn f(can: &super::Can) {}\n"),
            ("edge/src/c.rs", "use super::a::Axe; // use crate::d;\n"),
            ("mixer/src/a.rs", "use crate::c;\n"),
        ];
        assert_eq!(found(&files), ["edge/src/a.rs, edge/src/b.rs, edge/src/c.rs"]);
    }

    #[test]
    fn arrows_of_one_direction_of_tests_and_within_a_noun_are_no_circle() {
        let files = [
            ("edge/src/hls/mod.rs", "mod part;\nuse part::Part;\nuse crate::cache::Cache;\n"),
            ("edge/src/hls/part.rs", "use super::Stream;\n"),
            ("edge/src/cache.rs", "#[cfg(test)]\nmod tests { use crate::hls::Stream; }\n"),
        ];
        assert_eq!(found(&files), [""; 0]);
    }

    #[test]
    fn an_exception_that_is_not_there_any_more_is_found() {
        assert_eq!(of_files(&Project::of(&[("room/src/host.rs", "")])).len(), ALLOWED.len());
    }
}
