//! One server as one worker sees it, and what all workers know of it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::arena::Id;
use crate::config::behavior::Behavior;
use crate::config::snapshot::Server;
use crate::metrics::latency::Latency;
use crate::metrics::server::Tally;
use crate::protocol::Protocol;

use crate::proxy::downstream::ConnId;
use crate::proxy::timers::Micros;
use crate::proxy::upstream::ClientId;

/// Names a server of this worker.
pub type HostId = Id<Host>;

/// A server: its connections and its state.
#[derive(Debug)]
pub struct Host {
    /// Which server.
    pub(super) server: Arc<Server>,
    /// The limits of its connections.
    pub(super) behavior: Arc<Behavior>,
    /// The bucket whose counters its connections count on.
    pub(super) bucket: usize,
    /// All its connections, except the one for lists.
    pub(super) conns: Vec<ConnId>,
    /// Those that speak its protocol.
    pub(super) main: Lane,
    /// Those that speak ASCII to a server with which moxi speaks binary: for meta commands.
    pub(super) side: Lane,
    /// The connection whose newest request is a get that others may join.
    pub(super) open: Option<ConnId>,
    /// The connection that lists of keys come on, which is not among `conns`.
    pub(super) dump: Option<ConnId>,
    /// What all workers know of it.
    pub(super) health: Arc<Health>,
    /// What this worker counts of it.
    pub(super) tally: Arc<Tally>,
    /// How many connections were lost by its fault that no new one has replaced yet.
    pub(super) lost: u32,
    /// Whether it understands the meta commands; asked when a client first needs to know.
    pub(super) dialect: Dialect,
    /// When it is asked again, because it has not said that it understands none: it has not answered.
    pub(super) ask_again: Option<Micros>,
    /// Clients that wait for the answer.
    pub(super) curious: Vec<ClientId>,
    /// Requests have waited too long behind others on its connections, and none of these has been idle since.
    pub(super) is_crowded: bool,
    /// Until when no further connection is begun while there is one, for want of something on this machine.
    pub(super) short_until: Micros,
    /// When the log was told of that.
    pub(super) short_told: Option<Micros>,
    /// How many given-up requests stand on its connections, of clients that have gone, too.
    pub(super) abandoned: u32,
    /// It is in no bucket any more: what is in flight is finished, then its connections are closed.
    pub(super) is_retired: bool,
    /// There is a deadline for probing it.
    pub(super) is_probed: bool,
}

/// The connections of a server that are picked for the same requests.
#[derive(Debug, Default)]
pub struct Lane {
    /// Those without any expected reply; the most recently used one is the last. May name ones that have gone or
    /// found work: look before use.
    pub(super) idle: Vec<ConnId>,
    /// The connection that got the last request in this turn: what comes next leaves in the same write.
    pub(super) fresh: Option<ConnId>,
}

/// What is known of a server's ASCII commands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// Nothing.
    #[default]
    Unknown,
    /// It has been asked.
    Asked,
    /// It knows the meta commands.
    Meta,
    /// It knows only the classic commands, or the meta commands in an older form.
    Classic,
    /// It could not be asked.
    Unreachable,
}

impl Dialect {
    /// Whether requests need not wait for the server to be asked.
    pub fn is_settled(self) -> bool {
        matches!(self, Dialect::Meta | Dialect::Classic | Dialect::Unreachable)
    }

    /// Whether it knows the meta commands; `None`: nobody knows.
    pub fn knows_meta(self) -> Option<bool> {
        match self {
            Dialect::Meta => Some(true),
            Dialect::Classic => Some(false),
            Dialect::Unknown | Dialect::Asked | Dialect::Unreachable => None,
        }
    }
}

impl Host {
    /// A server that nobody has connected to yet, for requests of bucket `bucket`.
    pub fn new(server: &Arc<Server>, behavior: &Arc<Behavior>, bucket: usize, health: Arc<Health>) -> Host {
        Host {
            server: Arc::clone(server),
            behavior: Arc::clone(behavior),
            bucket,
            conns: Vec::new(),
            main: Lane::default(),
            side: Lane::default(),
            open: None,
            dump: None,
            health,
            tally: Arc::default(),
            lost: 0,
            dialect: Dialect::Unknown,
            ask_again: None,
            curious: Vec::new(),
            is_crowded: false,
            short_until: 0,
            short_told: None,
            abandoned: 0,
            is_retired: false,
            is_probed: false,
        }
    }

    /// The connections that are, or are not, side ones.
    #[inline]
    pub fn lane(&mut self, is_side: bool) -> &mut Lane {
        if is_side { &mut self.side } else { &mut self.main }
    }

    /// Those that speak its protocol, and the side ones.
    pub fn lanes(&self) -> [&Lane; 2] {
        [&self.main, &self.side]
    }

    /// Takes all idle connections off their lists.
    pub fn take_idle(&mut self) -> Vec<ConnId> {
        let mut idle = std::mem::take(&mut self.main.idle);
        idle.append(&mut self.side.idle);
        idle
    }

    /// Whether a command can reach it in ASCII. Of a user or a bucket nothing can be said in it.
    pub fn takes_lines(&self) -> bool {
        self.server.protocol == Protocol::Ascii || self.server.user.is_empty() && self.server.bucket.is_empty()
    }

    /// What moxi speaks with it.
    pub(in crate::proxy) fn protocol(&self) -> Protocol {
        self.server.protocol
    }

    /// What is known of its ASCII commands.
    pub(in crate::proxy) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// How long requests to it take, as this worker counts it, if anybody wants to know.
    #[inline]
    pub(in crate::proxy) fn latency(&self) -> Option<&Latency> {
        self.tally.latency()
    }

    /// The right to have its crawler list its keys, if nobody has it.
    pub(in crate::proxy) fn begin_crawl(&self) -> Option<Crawl> {
        Crawl::begin(&self.health)
    }

    /// Whether there is any connection to it, or one is being made.
    pub fn is_connected(&self) -> bool {
        !self.conns.is_empty() || self.dump.is_some()
    }

    /// Another version of the server may have come to its place.
    pub fn forget_dialect(&mut self) {
        if matches!(self.dialect, Dialect::Meta | Dialect::Classic) {
            self.dialect = Dialect::Unknown;
        }
    }

    /// A connection was made: it can be asked.
    pub fn note_reachable(&mut self) {
        if self.dialect == Dialect::Unreachable {
            self.dialect = Dialect::Unknown;
        }
    }
}

/// The health of one server, shared by all workers.
///
/// After more than `connect_max_errors` failures in a row no new connection is made (03 §17), except by the worker
/// that counted the last of them: it probes the server in the background, so that no request has to be the one that
/// finds out. One success ends it for all.
#[derive(Debug, Default)]
pub struct Health {
    /// Errors since the last success.
    errors: AtomicU32,
    is_suspended: AtomicBool,
    /// Since when, if it is.
    suspended_since: AtomicU64,
    /// Its crawler is at work for a client.
    is_crawling: AtomicBool,
}

/// The right to have a server's crawler list its keys, until it is dropped. There is one for all workers: a memcached
/// whose crawler waits for a slow reader may stop serving others when it is asked for another list.
#[derive(Debug)]
pub struct Crawl(Arc<Health>);

impl Crawl {
    /// Takes the right, if nobody has it.
    pub fn begin(health: &Arc<Health>) -> Option<Crawl> {
        (!health.is_crawling.swap(true, Ordering::Relaxed)).then(|| Crawl(Arc::clone(health)))
    }
}

impl Drop for Crawl {
    fn drop(&mut self) {
        self.0.is_crawling.store(false, Ordering::Relaxed);
    }
}

impl Health {
    /// Counts an error. Returns whether it began a suspension: the caller is to probe the server.
    pub fn fail(&self, behavior: &Behavior) -> bool {
        let errors = self.errors.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let (most, pause) = (behavior.connect_max_errors, behavior.connect_retry_interval);
        most > 0 && pause > 0 && errors > most && !self.is_suspended.swap(true, Ordering::Relaxed)
    }

    /// A connection was made, or a reply came on one that had stalled. Returns whether this ended a suspension.
    pub fn succeed(&self) -> bool {
        if self.errors.load(Ordering::Relaxed) != 0 {
            self.errors.store(0, Ordering::Relaxed);
        }
        self.is_suspended.load(Ordering::Relaxed) && self.is_suspended.swap(false, Ordering::Relaxed)
    }

    /// A suspension has begun.
    pub(in crate::proxy) fn note_suspended(&self, now: Micros) {
        self.suspended_since.store(now, Ordering::Relaxed);
    }

    /// Since when it is suspended, if it is.
    pub fn suspended_since(&self) -> Option<Micros> {
        self.is_suspended().then(|| self.suspended_since.load(Ordering::Relaxed))
    }

    /// How many failures in a row there were.
    pub fn errors(&self) -> u32 {
        self.errors.load(Ordering::Relaxed)
    }

    /// Whether no connection is to be tried, except as a probe.
    pub fn is_suspended(&self) -> bool {
        self.is_suspended.load(Ordering::Relaxed)
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
        // What no worker refers to any more is forgotten, so that a changing cluster does not pile up servers.
        servers.retain(|known, health| known == server || Arc::strong_count(health) > 1);
        Arc::clone(servers.entry(Arc::clone(server)).or_default())
    }

    /// The same for who only looks: `None` if no worker has heard of the server yet.
    pub fn known(&self, server: &Server) -> Option<Arc<Health>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner).get(server).map(Arc::clone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_list_at_a_time() {
        let health = Arc::new(Health::default());
        let first = Crawl::begin(&health);
        assert!(first.is_some() && Crawl::begin(&health).is_none());
        drop(first);
        assert!(Crawl::begin(&health).is_some());
    }

    #[test]
    fn more_than_the_limit_suspends_and_one_success_ends_it() {
        let behavior = Behavior { connect_max_errors: 2, connect_retry_interval: 30, ..Behavior::default() };
        let health = Health::default();
        assert!(!health.fail(&behavior));
        assert!(!health.fail(&behavior));
        assert!(!health.is_suspended());
        assert!(health.fail(&behavior));
        assert!(health.is_suspended());
        assert!(!health.fail(&behavior), "another worker probes already");
        assert!(health.succeed());
        assert!(!health.is_suspended());
        assert!(!health.succeed());
        assert!(!health.fail(&behavior));
        let never = Behavior { connect_max_errors: 0, ..behavior };
        assert!((0..100).all(|_| !Health::default().fail(&never)));
    }
}
