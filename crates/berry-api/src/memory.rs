//! How much memory the process takes, and whether that is too much for more work.
//!
//! A kernel that runs out of memory ends the process, and with it every request. Below that there is
//! a mark over which new requests are shed, so that those in flight can end. What the process takes
//! is measured a few times a second: a request that is let in takes memory only as it goes on.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::gateway::Gateway;

/// A flood of requests takes longer than this to fill what is left above the mark.
const MEASURE_EVERY: Duration = Duration::from_millis(100);
/// The mark, in hundredths of what may be taken.
const SHED_OVER: u64 = 90;
/// Under this it is over: a mark of one value would flutter.
const ADMIT_UNDER: u64 = 85;
/// Where the kernel says what a container may take: cgroup 2 and 1.
const CGROUPS: [&str; 2] = [
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
];

/// Whether the process takes too much memory for more work.
#[derive(Debug, Default)]
pub(crate) struct Memory(AtomicBool);

impl Memory {
    /// Returns whether new work is to be shed.
    pub(crate) fn is_short(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Takes note of what the process takes, of what it may take, in KiB.
    fn measured(&self, taken: u64, most: u64) {
        let short = self.is_short();
        let bound = most * if short { ADMIT_UNDER } else { SHED_OVER } / 100;
        if short == (taken > bound) {
            return;
        }
        self.0.store(!short, Ordering::Relaxed);
        let (taken_mib, most_mib) = (taken / 1024, most / 1024);
        if short {
            info!(taken_mib, most_mib, "memory is free again");
        } else {
            warn!(taken_mib, most_mib, "memory is short: shedding requests");
        }
    }
}

/// Measures until told to stop. Where the system does not say what the process takes, nothing is
/// ever shed for it.
pub(crate) async fn watch(gateway: Arc<Gateway>, stopping: CancellationToken) {
    let allowed = allowed();
    let mut ticks = interval(MEASURE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stopping.run_until_cancelled(ticks.tick()).await.is_some() {
        let configured = gateway.snapshot().config.settings.max_memory_mib;
        let configured = configured.map(|mib| u64::from(mib.get()) * 1024);
        if let (Some(taken), Some(most)) = (taken(), configured.or(allowed)) {
            gateway.memory.measured(taken, most);
        }
    }
}

/// Returns what the process takes, in KiB. The file is the kernel's: reading it waits for nothing.
fn taken() -> Option<u64> {
    kib(&fs::read_to_string("/proc/self/status").ok()?, "VmRSS:")
}

/// Returns what the process may take, in KiB: what its container has, or the machine.
fn allowed() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo").ok();
    let machine = machine.and_then(|text| kib(&text, "MemTotal:"));
    let container = CGROUPS.iter().filter_map(|path| {
        let bytes = fs::read_to_string(path).ok()?.trim().parse::<u64>().ok()?;
        Some(bytes / 1024)
    });
    container.chain(machine).min()
}

/// Finds a number of KiB in a file of the kernel's.
fn kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_shed_over_the_mark_until_well_under_it() {
        let memory = Memory::default();
        let short = |taken| {
            memory.measured(taken, 1000);
            memory.is_short()
        };

        assert_eq!(
            [899, 901, 899, 851, 849, 899].map(short),
            [false, true, true, true, false, false]
        );
    }

    #[test]
    fn numbers_are_found_by_their_names() {
        let text = "VmPeak:\t  20000 kB\nVmRSS:\t  1234 kB\n";

        assert_eq!(kib(text, "VmRSS:"), Some(1234));
        assert_eq!(kib(text, "VmSwap:"), None);
    }
}
