//! One server as one worker sees it, and what all workers know of it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::arena::Id;
use crate::config::behavior::Behavior;
use crate::config::snapshot::Server;

use super::downstream::ConnId;
use super::timers::Micros;
use super::upstream::ClientId;

/// Names a server of this worker.
pub type HostId = Id<Host>;

/// A server: its connections and its state.
#[derive(Debug)]
pub struct Host {
    /// Which server.
    pub server: Arc<Server>,
    /// The limits of its connections.
    pub behavior: Arc<Behavior>,
    /// All its connections.
    pub conns: Vec<ConnId>,
    /// Those without any expected reply; the most recently used one is the last. May name ones that have gone or
    /// found work: look before use.
    pub idle: Vec<ConnId>,
    /// The connection whose newest request is a get that others may join.
    pub open: Option<ConnId>,
    /// What all workers know of it.
    pub health: Arc<Health>,
    /// Whether it understands the meta commands; asked when a binary client first needs to know.
    pub dialect: Dialect,
    /// Clients that wait for the answer.
    pub curious: Vec<ClientId>,
}

/// What is known of an ASCII server's commands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// Nothing.
    #[default]
    Unknown,
    /// It has been asked.
    Asked,
    /// It knows the meta commands.
    Meta,
    /// It knows only the classic commands.
    Classic,
    /// It could not be asked.
    Unreachable,
}

impl Host {
    /// A connection was made: perhaps to another version of the server than before.
    pub fn forget_dialect(&mut self) {
        let is_new = self.conns.len() == 1 && self.dialect != Dialect::Asked;
        if is_new || self.dialect == Dialect::Unreachable {
            self.dialect = Dialect::Unknown;
        }
    }
}

/// The health of one server, shared by all workers.
#[derive(Debug, Default)]
pub struct Health {
    /// Errors since the last success.
    errors: AtomicU32,
    /// No connection is tried before this time.
    suspended_until: AtomicU64,
}

impl Health {
    /// Counts an error; after more than `connect_max_errors` of them the server is suspended for
    /// `connect_retry_interval` (03 §17). Returns whether this error began a suspension.
    pub fn fail(&self, now: Micros, behavior: &Behavior) -> bool {
        let errors = self.errors.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let (most, pause) = (behavior.connect_max_errors, behavior.connect_retry_interval);
        if most == 0 || pause == 0 || errors <= most {
            return false;
        }
        let before = self.suspended_until.swap(now + u64::from(pause) * 1000, Ordering::Relaxed);
        before <= now
    }

    /// A connection was made, or a reply came on one that had stalled. Returns whether this ended a suspension.
    pub fn succeed(&self) -> bool {
        if self.errors.load(Ordering::Relaxed) != 0 {
            self.errors.store(0, Ordering::Relaxed);
        }
        self.suspended_until.load(Ordering::Relaxed) != 0 && self.suspended_until.swap(0, Ordering::Relaxed) != 0
    }

    /// Whether no connection is to be tried now.
    pub fn is_suspended(&self, now: Micros) -> bool {
        self.suspended_until.load(Ordering::Relaxed) > now
    }
}

/// The health of every server that any worker has used.
#[derive(Debug, Default)]
pub struct HealthTable {
    servers: Mutex<HashMap<Arc<Server>, Arc<Health>>>,
}

impl HealthTable {
    /// The health of `server`. Taken when a worker first hears of a server, never on the data path.
    pub fn of(&self, server: &Arc<Server>) -> Arc<Health> {
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(servers.entry(Arc::clone(server)).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_the_limit_suspends_and_one_success_ends_it() {
        let behavior = Behavior { connect_max_errors: 2, connect_retry_interval: 30, ..Behavior::default() };
        let health = Health::default();
        assert!(!health.fail(0, &behavior));
        assert!(!health.fail(0, &behavior));
        assert!(!health.is_suspended(0));
        assert!(health.fail(0, &behavior));
        assert!(health.is_suspended(29_999));
        assert!(!health.is_suspended(30_000));
        assert!(health.fail(40_000, &behavior));
        assert!(health.is_suspended(69_999));
        assert!(health.succeed());
        assert!(!health.is_suspended(40_001));
        assert!(!health.fail(40_001, &behavior));
    }
}
