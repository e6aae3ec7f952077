//! Enforces the invariants that ARCHITECTURE.md states. Each check is a function from the project's files to the places
//! that break the invariant. Each finding states the invariant and what to do.
//!
//! The tests run every check twice: on the project, where it must find nothing, and on a few lines that break the
//! invariant, where it must find them. The checks understand only comments, literals and `#[cfg(test)]` of Rust. The
//! compiler and clippy check the rest.

pub mod arrows;
pub mod circles;
pub mod counted;
pub mod files;
pub mod forbidden;
pub mod owned;
pub mod project;
pub mod routes;
pub mod source;

#[cfg(test)]
mod tests {
    use crate::project::Project;
    use crate::{arrows, circles, counted, files, forbidden, owned, routes};

    /// Panics with all findings, so that one run shows everything that has to be fixed.
    fn nothing(found: Vec<String>) {
        assert!(found.is_empty(), "\n\n{}\n", found.join("\n\n"));
    }

    #[test]
    fn pure_code_reads_no_clock_and_starts_nothing() {
        nothing(forbidden::in_pure_code(&Project::read()));
    }

    #[test]
    fn ffmpeg_is_named_in_one_folder_and_unsafe_in_one_file() {
        nothing(forbidden::outside_the_binding(&Project::read()));
    }

    #[test]
    fn nothing_is_printed_beside_the_log() {
        nothing(forbidden::outside_the_log(&Project::read()));
    }

    #[test]
    fn queues_are_bounded() {
        nothing(forbidden::unbounded_queues(&Project::read()));
    }

    #[test]
    fn a_viewer_has_no_task_channel_or_lock() {
        nothing(forbidden::per_viewer(&Project::read()));
    }

    #[test]
    fn threads_and_tasks_have_an_owner() {
        nothing(owned::without_an_owner(&Project::read()));
    }

    #[test]
    fn no_base_path_hides_a_route() {
        nothing(routes::beside_the_list(&Project::read()));
    }

    #[test]
    fn crates_depend_one_way() {
        nothing(arrows::between_crates(&Project::read()));
    }

    #[test]
    fn files_of_a_crate_import_each_other_one_way() {
        nothing(circles::of_files(&Project::read()));
    }

    #[test]
    fn crates_do_not_depend_on_forbidden_libraries() {
        nothing(arrows::to_libraries(&Project::read()));
    }

    #[test]
    fn metrics_and_reasons_for_drops_are_declared_once() {
        nothing(counted::spelt_elsewhere(&Project::read()));
    }

    #[test]
    fn metrics_and_reasons_for_drops_are_used() {
        nothing(counted::declared_in_vain(&Project::read()));
    }

    #[test]
    fn files_are_short_enough() {
        nothing(files::too_long(&Project::read()));
    }

    #[test]
    fn each_crate_is_on_the_code_map() {
        nothing(files::missing_from_code_map(&Project::read()));
    }

    #[test]
    fn all_files_name_the_same_rust_version() {
        nothing(files::rust_versions(&Project::read()));
    }
}
