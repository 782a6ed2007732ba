//! What processes cost: CPU time and peak memory, read from `/proc`.
//!
//! Everything is `None` where `/proc` does not show the process: another operating system, another machine, another PID
//! namespace. A figure that cannot be measured is left out of the report, never guessed.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

/// CPU time (user and system) that process `root` and its descendants have used since they started, children that have
/// ended included. Resolution: a clock tick, usually 10 ms.
pub fn of_tree(root: u32) -> Option<Duration> {
    let stats: HashMap<u32, Stat> = fs::read_dir("/proc")
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, stat(pid)?)))
        .collect();
    let own = stats.get(&root)?;
    let tree = stats
        .iter()
        .filter(|(pid, _)| **pid != root && descends_from(&stats, **pid, root))
        .fold(own.own_ticks + own.ended_ticks, |sum, (_, stat)| sum + stat.own_ticks + stat.ended_ticks);
    Some(ticks(tree))
}

/// CPU time (user and system) of this process without its children.
pub fn of_this_process() -> Option<Duration> {
    Some(ticks(stat(std::process::id())?.own_ticks))
}

fn ticks(ticks: u64) -> Duration {
    Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second().max(1))
}

/// The most physical memory that the process has held so far, in bytes.
pub fn peak_memory(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// The process that started `pid`, provided that both run the program `name` (at most 15 bytes, as the kernel cuts it).
pub fn parent_of_same_name(pid: u32, name: &str) -> Option<u32> {
    let parent = stat(pid).filter(|stat| stat.name == name)?.parent;
    stat(parent).filter(|stat| stat.name == name)?;
    Some(parent)
}

struct Stat {
    name: String,
    parent: u32,
    own_ticks: u64,
    /// Of its children that have ended and been waited for.
    ended_ticks: u64,
}

fn stat(pid: u32) -> Option<Stat> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// See proc_pid_stat(5). The name stands in parentheses and may hold any byte, parentheses too.
fn parse(line: &str) -> Option<Stat> {
    let (before, after) = line.rsplit_once(')')?;
    let (_, name) = before.split_once('(')?;
    // From field 3, the state.
    let fields: Vec<&str> = after.split_ascii_whitespace().collect();
    let ticks = |field: usize| fields.get(field - 3)?.parse::<i64>().ok().and_then(|ticks| u64::try_from(ticks).ok());
    Some(Stat {
        name: name.to_owned(),
        parent: fields.get(4 - 3)?.parse().ok()?,
        own_ticks: ticks(14)? + ticks(15)?,
        ended_ticks: ticks(16)? + ticks(17)?,
    })
}

fn descends_from(stats: &HashMap<u32, Stat>, pid: u32, root: u32) -> bool {
    let mut at = pid;
    // Bounded: the table is not read in one instant, so that it might hold a cycle.
    for _ in 0..64 {
        match stats.get(&at) {
            Some(stat) if stat.parent == root => return true,
            Some(stat) => at = stat.parent,
            None => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_whatever_the_name_of_the_program() {
        let line = "42 (a) (b c) S 7 1 1 0 -1 4194304 10 20 0 0 11 22 33 44 20 0 1 0 5 6 7";
        let stat = parse(line).unwrap();
        assert_eq!((stat.name.as_str(), stat.parent), ("a) (b c", 7));
        assert_eq!((stat.own_ticks, stat.ended_ticks), (33, 77));
        assert!(parse("42 (a) S 7").is_none());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_child_counts_while_it_runs_and_after_it_has_ended() {
        let burn = "i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done";
        let before = of_tree(std::process::id()).unwrap();
        let status = std::process::Command::new("sh").args(["-c", burn]).status().unwrap();
        assert!(status.success());
        assert!(of_tree(std::process::id()).unwrap() > before);
        assert!(peak_memory(std::process::id()).unwrap() > 100_000);
    }
}
