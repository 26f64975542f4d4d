//! What a process costs, read from /proc: CPU time per plane, and memory.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::placement;

/// The processes of one proxy, and how its threads divide into planes.
#[derive(Debug, Clone)]
pub(crate) struct Processes {
    pub(crate) pids: Vec<u32>,
    /// Threads with these name prefixes move traffic, all others are control plane. Empty: all move
    /// traffic.
    pub(crate) data_threads: &'static [&'static str],
}

/// CPU time of every thread at one instant.
#[derive(Debug, Clone, Default)]
pub(crate) struct CpuReading(BTreeMap<u32, ThreadTime>);

#[derive(Debug, Clone, Copy)]
struct ThreadTime {
    data_plane: bool,
    ns: u64,
}

/// CPU time between two readings, in nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct CpuUse {
    pub(crate) data_ns: u64,
    pub(crate) control_ns: u64,
}

/// Memory of all processes of a proxy, in KiB.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Memory {
    pub(crate) rss_kib: u64,
    pub(crate) pss_kib: u64,
}

impl Processes {
    /// `root` and all its descendants.
    pub(crate) fn tree(root: u32, data_threads: &'static [&'static str]) -> Result<Self> {
        let parents = parents()?;
        let mut pids = vec![root];
        let mut at = 0;
        while at < pids.len() {
            let parent = pids[at];
            pids.extend(
                parents
                    .iter()
                    .filter(|(_, p)| *p == parent)
                    .map(|(pid, _)| pid),
            );
            at += 1;
        }
        Ok(Self { pids, data_threads })
    }

    /// Nanoseconds on a core so far, thread by thread. The kernel's own time for a thread's system
    /// calls is in it.
    pub(crate) fn cpu(&self) -> CpuReading {
        let mut threads = BTreeMap::new();
        for pid in &self.pids {
            let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
                continue;
            };
            for task in tasks.flatten() {
                // A thread that ends in between has no files any more.
                if let Some((tid, time)) = self.thread(&task.path()) {
                    threads.insert(tid, time);
                }
            }
        }
        CpuReading(threads)
    }

    fn thread(&self, task: &Path) -> Option<(u32, ThreadTime)> {
        let tid = task.file_name()?.to_str()?.parse().ok()?;
        let schedstat = fs::read_to_string(task.join("schedstat")).ok()?;
        let ns = schedstat.split(' ').next()?.parse().ok()?;
        let data_plane = self.data_threads.is_empty() || {
            let name = fs::read_to_string(task.join("comm")).ok()?;
            self.data_threads
                .iter()
                .any(|prefix| name.starts_with(prefix))
        };
        Some((tid, ThreadTime { data_plane, ns }))
    }

    pub(crate) fn has_control_plane(&self) -> bool {
        !self.data_threads.is_empty()
    }

    /// Takes threads that lowered their own priority out of the real-time class, which they inherited
    /// and in which niceness means nothing.
    pub(crate) fn let_nice_threads_be_nice(&self) -> Result<()> {
        for pid in &self.pids {
            for task in fs::read_dir(format!("/proc/{pid}/task"))?.flatten() {
                let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
                let tid = task.file_name().to_str().and_then(|tid| tid.parse().ok());
                if let (Some(tid), Some(1..)) = (tid, niceness_of(&stat)) {
                    placement::leave_realtime(tid)?;
                }
            }
        }
        Ok(())
    }

    pub(crate) fn memory(&self) -> Result<Memory> {
        let mut sum = Memory::default();
        for pid in &self.pids {
            let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
                .with_context(|| format!("memory of process {pid}"))?;
            sum.rss_kib += kib(&rollup, "Rss:").context("no Rss in smaps_rollup")?;
            sum.pss_kib += kib(&rollup, "Pss:").context("no Pss in smaps_rollup")?;
        }
        Ok(sum)
    }
}

impl CpuReading {
    /// Time spent since `earlier`; a thread born in between counts from its start.
    pub(crate) fn since(&self, earlier: &Self) -> CpuUse {
        let mut total = CpuUse::default();
        for (tid, now) in &self.0 {
            let before = earlier.0.get(tid).map_or(0, |t| t.ns);
            let spent = now.ns.saturating_sub(before);
            if now.data_plane {
                total.data_ns += spent;
            } else {
                total.control_ns += spent;
            }
        }
        total
    }
}

impl CpuUse {
    pub(crate) fn total_ns(self) -> u64 {
        self.data_ns + self.control_ns
    }
}

/// Every process and its parent.
fn parents() -> Result<Vec<(u32, u32)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else {
            continue;
        };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        if let Some(parent) = parent_of(&stat) {
            found.push((pid, parent));
        }
    }
    Ok(found)
}

/// From /proc/PID/stat, where the second field, the name in brackets, may hold anything.
fn parent_of(stat: &str) -> Option<u32> {
    stat_field(stat, 4)?.parse().ok()
}

fn niceness_of(stat: &str) -> Option<i32> {
    stat_field(stat, 19)?.parse().ok()
}

/// A field of /proc/PID/stat, counted from 1 as in proc(5), behind the name.
fn stat_field(stat: &str, number: usize) -> Option<&str> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(number - 3)
}

fn kib(rollup: &str, key: &str) -> Option<u64> {
    let line = rollup.lines().find(|line| line.starts_with(key))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(threads: &[(u32, bool, u64)]) -> CpuReading {
        let time = |data_plane, ns| ThreadTime { data_plane, ns };
        CpuReading(
            threads
                .iter()
                .map(|(tid, d, ns)| (*tid, time(*d, *ns)))
                .collect(),
        )
    }

    #[test]
    fn cpu_use_counts_new_threads_and_ignores_gone_ones() {
        let before = reading(&[(1, true, 100), (2, false, 50), (3, false, 900)]);
        let after = reading(&[(1, true, 175), (2, false, 60), (4, false, 7)]);
        let spent = CpuUse {
            data_ns: 75,
            control_ns: 17,
        };
        assert_eq!(after.since(&before), spent);
    }

    #[test]
    fn fields_are_found_behind_any_name() {
        let stat = "12 (a b) c) S 7 12 12 0 -1 0 1 2 3 4 5 6 7 8 20 19 1 0 55";
        assert_eq!(parent_of(stat), Some(7));
        assert_eq!(niceness_of(stat), Some(19));
        assert_eq!(parent_of("12 (x"), None);
    }

    #[test]
    fn memory_lines_are_found() {
        let rollup = "5500-7ffe ---p [rollup]\nRss:  1024 kB\nPss:   512 kB\nPss_Anon: 3 kB\n";
        assert_eq!(kib(rollup, "Rss:"), Some(1024));
        assert_eq!(kib(rollup, "Pss:"), Some(512));
        assert_eq!(kib(rollup, "Swap:"), None);
    }
}
