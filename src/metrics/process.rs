//! What statistics say about the process as a whole: its connections, its time, its number.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// What nobody counts: what the system knows of the process, and the process of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The number of the process.
    pub pid: u32,
    /// CPU time used, each as seconds and microseconds: in user mode and in the system.
    pub cpu: [(i64, i64); 2],
    /// The time of day: seconds since 1970.
    pub unix: u64,
    /// The level of the log.
    pub verbosity: u8,
}

/// Connections are counted by whoever opens and accepts them.
#[derive(Debug)]
pub struct Process {
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
    /// Finds out the facts.
    ask: fn() -> Facts,
}

impl Default for Process {
    /// Of which no facts are known.
    fn default() -> Process {
        Process::new(Facts::default)
    }
}

impl Process {
    /// Without connections yet. `ask` is called each time somebody wants to see the facts.
    pub fn new(ask: fn() -> Facts) -> Process {
        Process {
            open: AtomicU64::new(0),
            most: AtomicU64::new(0),
            total: AtomicU64::new(0),
            accepting: AtomicBool::new(true),
            listen_disabled: AtomicU64::new(0),
            ask,
        }
    }

    /// The facts, as they are now.
    pub fn facts(&self) -> Facts {
        (self.ask)()
    }

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

/// A connection or listener that is open until this is dropped.
#[derive(Debug)]
pub struct Counted(Arc<Process>);

impl Counted {
    /// One more is open.
    pub fn new(process: &Arc<Process>) -> Counted {
        let open = process.open.fetch_add(1, Relaxed).saturating_add(1);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_count_while_they_live() {
        let process = Arc::new(Process::default());
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
