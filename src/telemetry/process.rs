//! What the kernel says of this process (proc(5)), under the names that every Prometheus client
//! library gives it.

use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};
use std::fs;
use std::os::unix::fs::MetadataExt;

/// Name, what it is, whether it only grows, value. What cannot be read is left out.
pub(super) fn figures() -> Vec<(&'static str, &'static str, bool, f64)> {
    let mut figures = Vec::new();
    if let Some(stat) = Stat::read() {
        let ticks = clock_ticks_per_second() as f64;
        figures.push((
            "process_cpu_seconds_total",
            "User and system time of all threads, in seconds",
            true,
            stat.cpu_ticks as f64 / ticks,
        ));
        figures.push(("process_threads", "Threads", false, stat.threads as f64));
        figures.push((
            "process_virtual_memory_bytes",
            "Virtual memory",
            false,
            stat.virtual_bytes as f64,
        ));
        figures.push((
            "process_resident_memory_bytes",
            "Resident memory",
            false,
            (stat.resident_pages * page_size() as u64) as f64,
        ));
        if let Some(boot) = boot_time() {
            figures.push((
                "process_start_time_seconds",
                "When the process began, in seconds since 1970",
                false,
                boot + stat.started_ticks as f64 / ticks,
            ));
        }
    }
    if let Some(open) = open_descriptors() {
        figures.push(("process_open_fds", "Open descriptors", false, open as f64));
    }
    if let Some(most) = getrlimit(Resource::Nofile).current {
        figures.push((
            "process_max_fds",
            "Descriptors that may be open (RLIMIT_NOFILE)",
            false,
            most as f64,
        ));
    }
    figures
}

/// Of /proc/PID/stat the fields 3, 4 ... (proc(5)): the command before them, in parentheses, may hold
/// anything.
pub fn stat_fields(stat: &str) -> Option<impl Iterator<Item = &str>> {
    Some(stat[stat.rfind(')')? + 1..].split_ascii_whitespace())
}

struct Stat {
    cpu_ticks: u64,
    threads: u64,
    started_ticks: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Stat {
    fn read() -> Option<Stat> {
        Stat::parse(&fs::read_to_string("/proc/self/stat").ok()?)
    }

    fn parse(stat: &str) -> Option<Stat> {
        let fields: Vec<u64> = stat_fields(stat)?
            .map(|field| field.parse().unwrap_or(0))
            .collect();
        let field = |number: usize| fields.get(number - 3).copied();
        Some(Stat {
            cpu_ticks: field(14)? + field(15)?,
            threads: field(20)?,
            started_ticks: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

fn boot_time() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    line.trim().parse().ok()
}

/// Since Linux 6.2 the directory's size is their number; counting 80,000 takes tens of ms.
fn open_descriptors() -> Option<u64> {
    match fs::metadata("/proc/self/fd").ok()?.size() {
        0 => Some(fs::read_dir("/proc/self/fd").ok()?.count() as u64),
        open => Some(open),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_with_spaces_and_parentheses_moves_no_field() {
        let numbers: Vec<String> = (4..=52).map(|n: u32| n.to_string()).collect();
        let stat = Stat::parse(&format!("1 (a) b (c)) S {}", numbers.join(" "))).unwrap();
        assert_eq!(stat.cpu_ticks, 14 + 15);
        let rest = (stat.threads, stat.started_ticks, stat.virtual_bytes);
        assert_eq!((rest, stat.resident_pages), ((20, 22, 23), 24));
    }

    #[test]
    fn this_process_has_figures() {
        let figures = figures();
        assert_eq!(figures.len(), 7, "{figures:?}");
        // Less than a tick may have been used so far.
        let rest = figures
            .iter()
            .filter(|(name, ..)| *name != "process_cpu_seconds_total");
        assert!(
            rest.map(|(.., value)| *value).all(|n| n > 0.0),
            "{figures:?}"
        );
    }
}
