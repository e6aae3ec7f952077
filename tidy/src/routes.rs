//! Checks that no base path can hide a route (`http.base_path`).

use crate::project::Project;

/// The file with the list of the first parts of all routes.
const LIST: &str = "config/src/http.rs";

/// Finds routes whose first part is not in the list, and entries of the list that no route has.
pub fn beside_the_list(project: &Project) -> Vec<String> {
    let listed: Vec<String> = project.sources.iter().filter(|source| source.path == LIST).flat_map(listed).collect();
    let routed: Vec<(String, String)> = project.product().flat_map(routed).collect();
    let mut found: Vec<String> = routed
        .iter()
        .filter(|(part, _)| !listed.contains(part))
        .map(|(part, at)| {
            format!(
                "{at}: {part:?}\n  Invariant: no http.base_path hides a route of the server.\n  To do: add it to OWN_PATHS in {LIST}."
            )
        })
        .collect();
    let is_routed = |part: &String| routed.iter().any(|(routed, _)| routed == part);
    found.extend(
        listed.iter().filter(|part| !is_routed(part)).map(|part| format!("{LIST}: no route begins with {part:?}")),
    );
    found
}

/// Returns the entries of the list.
fn listed(source: &crate::source::Source) -> Vec<String> {
    let list = source.text.split_once("const OWN_PATHS").and_then(|(_, rest)| rest.split_once(';')?.1.split_once(';'));
    let Some((list, _)) = list else { return Vec::new() };
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Returns the first part of each route, and where it is. The routes of a file with `nest` are below the path of that.
fn routed(source: &crate::source::Source) -> Vec<(String, String)> {
    let call = if source.code.contains(".nest(") { ".nest(" } else { ".route(" };
    let calls = source.code.match_indices(call).map(|(at, _)| {
        let path = source.text[at + call.len()..].split('"').nth(1).unwrap_or_default();
        let part = path.split('/').nth(1).unwrap_or_default();
        (part.to_owned(), format!("{}:{}", source.path, source.line_at(at).0))
    });
    calls.filter(|(part, _)| !part.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_that_is_not_listed_and_an_entry_without_a_route_are_found() {
        let project = Project::of(&[
            (LIST, "const OWN_PATHS: [&str; 3] =\n    [\"api\", \"hls\", \"gone\"];\n"),
            (
                "edge/src/a.rs",
                "fn f() { Router::new().route(\"/hls/{room}\", get(a)).route(\"/\", get(b)).route(\"/new\", get(c)); }\n",
            ),
            (
                "control/src/b.rs",
                "fn f() { let r = Router::new().route(\"/seats\", get(a)); Router::new().nest(\"/api/v1\", r) }\n",
            ),
            ("edge/src/c.rs", "#[cfg(test)]\nmod tests { fn f() { Router::new().route(\"/test\", get(a)); } }\n"),
        ]);
        let found = beside_the_list(&project);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("edge/src/a.rs:1: \"new\"") && found[1].contains("\"gone\""), "{found:?}");
    }
}
