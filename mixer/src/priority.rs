//! The priority of threads that convert: below that of media, which they must not delay.
//!
//! On Linux a thread has a nice value of its own, and a thread that it starts inherits it: the encoder's too, if this thread opens
//! it. Elsewhere nothing changes.

/// How much nicer: where cores are short, the scheduler gives such a thread a tenth of what it gives one of media.
#[cfg(target_os = "linux")]
const NICER: i32 = 10;

/// Lowers the priority of the current thread. It cannot be raised again.
#[cfg(target_os = "linux")]
pub(crate) fn lower() {
    if let Err(error) = rustix::process::nice(NICER) {
        tracing::debug!(%error, "the priority of a conversion stays");
    }
}

/// Leaves the priority as it is: the systems here have none for a thread.
#[cfg(not(target_os = "linux"))]
pub(crate) fn lower() {}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::thread;

    /// Returns the nice value of the current thread, which is field 19 of its `stat` (proc_pid_stat(5)).
    fn nice() -> i32 {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        let after_name = stat.rsplit_once(") ").unwrap().1;
        after_name.split(' ').nth(16).unwrap().parse().unwrap()
    }

    #[test]
    fn a_thread_that_lowers_its_priority_and_those_that_it_starts_are_nicer_and_no_other() {
        let before = nice();
        let of_threads = thread::spawn(|| {
            super::lower();
            (nice(), thread::spawn(nice).join().unwrap())
        });
        let nicer = (before + super::NICER).min(19);
        assert_eq!(of_threads.join().unwrap(), (nicer, nicer));
        assert_eq!(nice(), before);
    }
}
