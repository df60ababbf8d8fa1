//! What statistics show of the process without counting it.

use std::time::{SystemTime, UNIX_EPOCH};

use nix::sys::resource::{UsageWho, getrusage};

use crate::log;
use crate::metrics::process::Facts;

/// Asks the system, and the log.
pub fn facts() -> Facts {
    Facts {
        pid: std::process::id(),
        cpu: match getrusage(UsageWho::RUSAGE_SELF) {
            Ok(usage) => [usage.user_time(), usage.system_time()].map(|time| (time.tv_sec(), time.tv_usec())),
            Err(_) => [(0, 0); 2],
        },
        unix: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
        verbosity: log::verbosity(),
    }
}
