//! What processes use, from `/proc`, and whether we may open enough sockets.

use std::fs;
use std::time::Duration;

use super::LoadError;

/// CPU time since a process began, and its memory now; of several processes, the sum.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Usage {
    pub(super) cpu: Duration,
    pub(super) rss_kib: u64,
}

/// Clock ticks per second in `/proc/PID/stat`: fixed on Linux for user space. The kernel scales
/// these sums to the exact run time, threads that ended included.
const TICKS_PER_S: u64 = 100;

/// What `pids` use together.
///
/// # Errors
/// One of them does not exist, or this is no Linux.
pub(super) fn usage(pids: &[u32]) -> Result<Usage, LoadError> {
    let mut sum = Usage::default();
    for pid in pids {
        let read = |name: &str| {
            let path = format!("/proc/{pid}/{name}");
            fs::read_to_string(path).map_err(|source| LoadError::Process { pid: *pid, source })
        };
        let (ticks, rss_kib) = (ticks(&read("stat")?), rss_kib(&read("status")?));
        sum.cpu += Duration::from_millis(ticks.unwrap_or(0) * 1000 / TICKS_PER_S);
        sum.rss_kib += rss_kib.unwrap_or(0);
    }
    Ok(sum)
}

/// What this process uses.
pub(super) fn own_usage() -> Usage {
    usage(&[std::process::id()]).unwrap_or_default()
}

/// CPU time of all processes of the machine since it started.
pub(super) fn machine_cpu() -> Duration {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    Duration::from_millis(machine_ticks(&stat).unwrap_or(0) * 1000 / TICKS_PER_S)
}

/// User, nice and system time of all cores together.
fn machine_ticks(stat: &str) -> Option<u64> {
    let fields = stat.lines().next()?.strip_prefix("cpu ")?.split_ascii_whitespace().take(3);
    fields.map(|field| field.parse::<u64>().ok()).sum()
}

/// Refuses a run that needs more sockets than this process may open.
pub(super) fn check_open_files(sockets: u64) -> Result<(), LoadError> {
    const OTHERS: u64 = 64; // the runtime, pipes, files
    let Ok(limits) = fs::read_to_string("/proc/self/limits") else { return Ok(()) };
    match open_files_max(&limits) {
        Some(have) if have < sockets + OTHERS => Err(LoadError::OpenFiles { have, need: sockets + OTHERS }),
        _ => Ok(()),
    }
}

/// User and system time: fields 14 and 15. The name, field 2, may hold spaces and brackets.
fn ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn rss_kib(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

fn open_files_max(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_files_are_read_by_their_fields() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194304 134 0 1 0 150 25 3 4 20 0 1 0 145013 2998272 414";
        println!("user 150 and system 25 ticks are {:?}", ticks(stat));
        assert_eq!(ticks(stat), Some(175));
        assert_eq!(rss_kib("Name:\tx\nVmRSS:\t    2144 kB\n"), Some(2144));
        let limits =
            "Max processes   96365   96365  processes\nMax open files            1024   20000   files\n";
        assert_eq!(open_files_max(limits), Some(1024));
        assert_eq!(machine_ticks("cpu  10 20 30 400 5 0 6 0 0 0\ncpu0 1 2 3\n"), Some(60));
        assert!(own_usage().rss_kib > 0);
        println!("{}", usage(&[u32::MAX]).unwrap_err());
    }
}
