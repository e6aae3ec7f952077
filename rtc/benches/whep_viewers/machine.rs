//! Measurements by Linux: the CPU time of a thread, resident memory, and the load of the machine.

use std::fs;
use std::time::Duration;

/// Returns the CPU time of the thread with this name, with the kernel's work for it.
pub fn thread_cpu(name: &str) -> Option<Duration> {
    let task = fs::read_dir("/proc/self/task").ok()?.flatten().map(|entry| entry.path());
    let mut named = task.filter(|task| fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim() == name));
    on_cpu(&fs::read_to_string(named.next()?.join("schedstat")).ok()?)
}

/// Returns the CPU time of all threads of this process that still run.
pub fn process_cpu() -> Duration {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    tasks.filter_map(|task| on_cpu(&fs::read_to_string(task.path().join("schedstat")).ok()?)).sum()
}

fn on_cpu(schedstat: &str) -> Option<Duration> {
    schedstat.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

/// Returns the resident bytes of this process.
pub fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// Returns the CPU time of the whole machine, (busy, all), in ticks.
pub fn machine_cpu() -> (u64, u64) {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let ticks: Vec<u64> =
        stat.lines().next().unwrap_or_default().split_whitespace().skip(1).filter_map(|n| n.parse().ok()).collect();
    let all = ticks.iter().take(8).sum();
    let idle: u64 = ticks.iter().skip(3).take(2).sum();
    (all - idle, all)
}
