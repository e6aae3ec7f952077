//! Checks that metrics and reasons for drops are declared once, in `media/src/metric.rs` and `media/src/drops.rs`, and
//! that they are used.

use crate::project::Project;
use crate::source::{Source, has_word};

const METRICS: &str = "media/src/metric.rs";
const REASONS: &str = "media/src/drops.rs";

/// Finds metrics whose name is spelt where they are counted, and drops that are counted without `DropReason`.
pub fn spelt_elsewhere(project: &Project) -> Vec<String> {
    const MACROS: [&str; 3] = ["counter!(", "gauge!(", "histogram!("]; // The macros that describe metrics end alike.
    let others = project.product().filter(|source| ![METRICS, REASONS].contains(&source.path.as_str()));
    let mut found = Vec::new();
    for source in others {
        let mut report = |at: usize, invariant: &str, advice: &str| {
            let (number, line) = source.line_at(at);
            found.push(format!("{}:{number}: {line}\n  Invariant: {invariant}.\n  To do: {advice}.", source.path));
        };
        for (at, name) in MACROS.iter().flat_map(|name| source.code.match_indices(name)) {
            let argument = source.text[at + name.len()..].trim_start_matches('(').trim_start();
            if argument.starts_with('"') {
                report(
                    at,
                    "each metric is named and described once, in media/src/metric.rs",
                    "declare it there, and count it by its constant",
                );
            }
        }
        for (at, _) in source.code.match_indices("metric::DROPS") {
            report(
                at,
                "each reason for a drop is declared once, in media/src/drops.rs",
                "declare a DropReason, and call its `count` or `counter`",
            );
        }
    }
    found
}

/// Finds metrics and reasons that nothing counts.
pub fn declared_in_vain(project: &Project) -> Vec<String> {
    let file = |path: &str| project.sources.iter().find(|source| source.path == path);
    let metrics = file(METRICS).map(|source| declared(source, " = ")).unwrap_or_default();
    let reasons = file(REASONS).map(|source| declared(source, " => ")).unwrap_or_default();
    let is_used = |name: &String, paths: [&str; 2]| {
        let is_home = |source: &&Source| paths.contains(&source.path.as_str());
        project.product().filter(|source| !is_home(source)).any(|source| has_word(&source.code, name))
    };
    let unused_metrics =
        metrics.iter().filter(|name| !is_used(name, [METRICS, REASONS]) && *name != "DROPS" && *name != "STAGES");
    let unused_reasons = reasons.iter().filter(|name| !is_used(name, [REASONS, REASONS]));
    let report = |path: &str, name: &String| {
        format!("{path}: {name} is declared, and nothing counts it.\n  To do: count it where it happens, or remove it.")
    };
    let metrics = unused_metrics.map(|name| report(METRICS, name));
    metrics.chain(unused_reasons.map(|name| report(REASONS, name))).collect()
}

/// Returns the names that stand before `sign` and a literal that begins with a small letter.
fn declared(source: &Source, sign: &str) -> Vec<String> {
    let name = |(_, code, text): (usize, &str, &str)| {
        let (name, behind) = text.trim().split_once(&format!("{sign}\""))?;
        let is_name = name.chars().all(|one| one.is_alphanumeric() || one == '_') && code.contains(name);
        (is_name && behind.starts_with(|first: char| first.is_ascii_lowercase())).then(|| name.to_owned())
    };
    source.lines().filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DECLARED: (&str, &str) =
        (METRICS, "metrics! {\n    /// Counts rooms.\n    ROOMS = \"onmic_rooms\", Gauge, [];\n}\n");

    #[test]
    fn a_metric_that_is_spelt_where_it_is_counted_is_found() {
        let project = Project::of(&[
            DECLARED,
            ("control/src/a.rs", "fn f() { gauge!(\"onmic_rooms\").set(1.0); }\n"),
            ("control/src/b.rs", "fn f() { gauge!(metric::ROOMS).set(1.0); } // gauge!(\"onmic_rooms\")\n"),
            ("control/src/c.rs", "fn f() { counter!(metric::DROPS, \"reason\" => \"mine\"); }\n"),
        ]);
        let found = spelt_elsewhere(&project);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("control/src/a.rs:1") && found[0].contains("each metric is named"));
        assert!(found[1].starts_with("control/src/c.rs:1") && found[1].contains("each reason"));
    }

    #[test]
    fn a_metric_or_reason_that_nothing_counts_is_found() {
        let reasons =
            (REASONS, "label_values! {\n    /// A sentence.\n    Late => \"late\",\n    Lost => \"lost\",\n}\n");
        let used = ("rtc/src/a.rs", "fn f() { DropReason::Late.count(1) }\n");
        let found = declared_in_vain(&Project::of(&[DECLARED, reasons, used]));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("ROOMS is declared") && found[1].contains("Lost is declared"));
    }
}
