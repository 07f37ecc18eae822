//! What a process has used, as /proc says.

use anyhow::{Context as _, anyhow};
use std::fs;

/// CPU time in nanoseconds of all threads of a process that live.
///
/// # Errors
/// If it has ended.
pub fn cpu_ns(pid: u32) -> anyhow::Result<u64> {
    let mut total = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end meanwhile.
        let Ok(text) = fs::read_to_string(thread?.path().join("schedstat")) else {
            continue;
        };
        let first = text.split_whitespace().next().context("schedstat is empty")?;
        total += first.parse::<u64>()?;
    }
    Ok(total)
}

/// Resident memory in KiB.
///
/// # Errors
/// If it has ended.
pub fn resident_kib(pid: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let value = line.and_then(|line| line.split_whitespace().next());
    Ok(value.ok_or_else(|| anyhow!("no VmRSS of {pid}: it has ended"))?.parse()?)
}
