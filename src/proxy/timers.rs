//! Deadlines of one worker.
//!
//! Each client and each server connection has at most one entry here, and clients that may not be idle for ever have
//! another one (see `idle`). Whoever gets a later deadline leaves the
//! entry as it is: when it comes up, the owner is asked what it really waits for, and enters itself again.
//! So setting and cancelling cost nothing in the usual case, and deadlines are exact.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::proxy::downstream::ConnId;
use crate::proxy::downstream::host::HostId;
use crate::proxy::upstream::ClientId;

/// Microseconds since the program started.
pub type Micros = u64;

/// Whose deadline it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// A client: how long its oldest request may wait.
    Client(ClientId),
    /// The client with this index: how long it may be idle.
    Idle(usize),
    /// A server connection: how long connecting, authenticating or the oldest reply may take, or how long it may be
    /// idle.
    Conn(ConnId),
    /// A connection that was closed for sending: how long the server is waited for.
    Parting(ConnId),
    /// A refused request: when it is sent again.
    Refused,
    /// Spare memory: when it is looked at next.
    Memory,
    /// The bucket with this index: when it is told how many lines about it were left out.
    LeftOut(usize),
    /// A suspended server: when it is probed next.
    Host(HostId),
}

/// The deadlines, soonest first.
#[derive(Debug, Default)]
pub struct Timers {
    heap: BinaryHeap<Reverse<(Micros, Owner)>>,
}

impl Timers {
    /// Enters `owner` at `deadline`.
    pub fn add(&mut self, deadline: Micros, owner: Owner) {
        self.heap.push(Reverse((deadline, owner)));
    }

    /// How many there are.
    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.heap.len()
    }

    /// The soonest deadline.
    pub fn next(&self) -> Option<Micros> {
        self.heap.peek().map(|Reverse((deadline, _))| *deadline)
    }

    /// Takes out one owner whose deadline is not after `now`.
    pub fn pop_due(&mut self, now: Micros) -> Option<(Micros, Owner)> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(due)| due)
    }
}

/// `limit` milliseconds after `since`; 0 means no limit.
pub fn deadline(since: Micros, limit: u32) -> Option<Micros> {
    (limit > 0).then(|| since.saturating_add(u64::from(limit).saturating_mul(1000)))
}
