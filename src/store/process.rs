//! What statistics say about the process as a whole: its connections, its time, its number.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use nix::sys::resource::{UsageWho, getrusage};

/// Counted by whoever opens and accepts connections.
#[derive(Debug)]
pub struct ProcessStats {
    /// Connections and listeners that are open.
    open: AtomicU64,
    /// Most of them that were open at one time.
    most: AtomicU64,
    /// Connections and listeners ever opened, since the last reset.
    total: AtomicU64,
    /// Whether clients are being accepted.
    pub accepting: AtomicBool,
    /// How often accepting stopped for lack of descriptors.
    pub listen_disabled: AtomicU64,
}

impl Default for ProcessStats {
    fn default() -> ProcessStats {
        ProcessStats {
            open: AtomicU64::new(0),
            most: AtomicU64::new(0),
            total: AtomicU64::new(0),
            accepting: AtomicBool::new(true),
            listen_disabled: AtomicU64::new(0),
        }
    }
}

/// A connection or listener that is open until this is dropped.
#[derive(Debug)]
pub struct Counted(Arc<ProcessStats>);

impl Counted {
    /// One more is open.
    pub fn new(process: &Arc<ProcessStats>) -> Counted {
        let open = process.open.fetch_add(1, Relaxed) + 1;
        process.most.fetch_max(open, Relaxed);
        process.total.fetch_add(1, Relaxed);
        Counted(Arc::clone(process))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}

impl ProcessStats {
    /// `curr_connections`: one less than are open, as memcached counts.
    pub fn curr_connections(&self) -> u64 {
        self.open.load(Relaxed).saturating_sub(1)
    }

    /// `total_connections`.
    pub fn total_connections(&self) -> u64 {
        self.total.load(Relaxed)
    }

    /// `connection_structures`.
    pub fn connection_structures(&self) -> u64 {
        self.most.load(Relaxed)
    }

    /// `stats reset`.
    pub fn reset(&self) {
        self.total.store(0, Relaxed);
        self.listen_disabled.store(0, Relaxed);
    }
}

/// CPU time used by the process, each as seconds and microseconds: in user mode and in the system. Asked from the
/// system, as the process number is: both mean nothing to the engine and are only shown.
pub fn cpu_time() -> [(i64, i64); 2] {
    match getrusage(UsageWho::RUSAGE_SELF) {
        Ok(usage) => [usage.user_time(), usage.system_time()].map(|time| (time.tv_sec(), time.tv_usec())),
        Err(_) => [(0, 0); 2],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_count_while_they_live() {
        let process = Arc::new(ProcessStats::default());
        assert_eq!(process.curr_connections(), 0);
        let first = Counted::new(&process);
        let second = Counted::new(&process);
        assert_eq!((process.curr_connections(), process.total_connections()), (1, 2));
        drop(first);
        drop(second);
        let _third = Counted::new(&process);
        assert_eq!((process.total_connections(), process.connection_structures()), (3, 2));
        process.reset();
        assert_eq!((process.total_connections(), process.curr_connections()), (0, 0));
    }
}
