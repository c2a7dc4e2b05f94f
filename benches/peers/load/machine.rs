//! What this process takes of the machine, and where the machine's limits are.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// As many descriptors as root may have without asking the system's own limit.
const MANY: u64 = 1_048_576;

/// CPU time of this process, all threads.
pub(crate) fn cpu() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}

/// The one clock that client and origin share, being on one machine.
pub(crate) fn now() -> Duration {
    Duration::try_from(clock_gettime(ClockId::Monotonic)).unwrap_or_default()
}

/// Raises the limit of open files as far as it goes; what it is then.
pub(crate) fn raise_open_files() -> u64 {
    let old = getrlimit(Resource::Nofile);
    let asked = [
        Some(old.maximum.map_or(MANY, |most| most.max(MANY))),
        old.maximum,
    ];
    for most in asked {
        let new = Rlimit {
            current: most,
            maximum: most,
        };
        if setrlimit(Resource::Nofile, new).is_ok() {
            break;
        }
    }
    open_files()
}

pub(crate) fn open_files() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Ends the process when a run takes longer than it may, whatever it hangs on.
pub(crate) fn end_after(patience: Duration, what: &'static str) {
    std::thread::spawn(move || {
        std::thread::sleep(patience);
        eprintln!(
            "load: {what} did not end within {} s",
            patience.as_secs_f64()
        );
        std::process::exit(3);
    });
}
