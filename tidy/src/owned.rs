//! Checks that threads and tasks have an owner who notices when they die.

use crate::project::Project;

/// What starts a thread or a task.
const STARTS: [&str; 4] = ["thread::Builder", "thread::spawn", "tokio::spawn", "JoinSet"];

/// What notices and counts a death (`media/src/life.rs`).
const NOTICES: [&str; 3] = ["guarded", "guarded_task", "count_death"];

/// Files whose threads and tasks are noticed in another way.
const EXCEPTIONS: [(&str, &str); 4] = [
    ("control/src/api/json.rs", "whoever asked waits for the task, and is answered with a fault if it dies"),
    ("control/src/rooms/decoder.rs", "whoever asked waits for the task, and is answered with a fault if it dies"),
    ("logging/src/lib.rs", "it flushes the log at the end of the process, which waits for a while and no longer"),
    ("src/node.rs", "its tasks are the parts of the node, and the process ends with one that panics"),
];

/// Finds files that start a thread or a task and do not count its death.
pub fn without_an_owner(project: &Project) -> Vec<String> {
    let is_excepted = |path: &str| EXCEPTIONS.iter().any(|(excepted, _)| *excepted == path);
    let mut found = Vec::new();
    for source in project.product().filter(|source| !is_excepted(&source.path)) {
        if NOTICES.iter().any(|word| source.find(word).next().is_some()) {
            continue;
        }
        found.extend(STARTS.iter().flat_map(|word| source.find(word)).map(|(number, line)| {
            format!(
                "{}:{number}: {line}\n  Invariant: each thread and task has an owner who notices and counts its death.\n  \
                 To do: run it in `guarded` or `guarded_task` (media/src/life.rs), or call `count_death`, and decide what follows.",
                source.path
            )
        }));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_without_an_owner_is_found() {
        let starts = "fn f() { thread::spawn(work); }\n";
        let project = Project::of(&[
            ("edge/src/a.rs", starts),
            ("edge/src/b.rs", "fn f() { thread::spawn(move || guarded(NAME, work)); }\n"),
            ("edge/src/c.rs", "#[cfg(test)]\nmod tests { fn f() { thread::spawn(work); } }\n"),
            ("edge/tests/d.rs", starts),
            ("logging/src/lib.rs", starts),
        ]);
        let found = without_an_owner(&project);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("edge/src/a.rs:1:"), "{found:?}");
    }
}
