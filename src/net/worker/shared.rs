//! What all workers share.

use std::io;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::control::rest::refresh::Refresh;
use crate::memcached::clock::Clock;
use crate::memcached::{Memcached, Settings};
use crate::metrics::process::Process;
use crate::net::facts::facts;
use crate::net::resolver::Resolver;
use crate::proxy::downstream::host::HealthTable;
use crate::proxy::report::Sources;
use crate::proxy::timers::Micros;

/// What all workers share.
#[derive(Clone)]
pub struct Shared {
    /// When the program's clock started.
    pub start: Instant,
    /// What is known of the servers.
    pub health: Arc<HealthTable>,
    /// Looks host names up.
    pub resolver: Resolver,
    /// How many connections there are.
    pub process: Arc<Process>,
    /// The built-in server, if there is one.
    pub memcached: Option<Arc<Memcached>>,
    /// Where the workers count, and find what they show.
    pub sources: Arc<Sources>,
    /// How each agent is asked to look again.
    pub refreshes: Vec<Arc<Refresh>>,
}

impl Shared {
    /// For a new set of workers.
    ///
    /// # Errors
    /// When the resolver cannot be started.
    pub fn new() -> io::Result<Shared> {
        Ok(Shared {
            start: Instant::now(),
            health: Arc::default(),
            resolver: Resolver::start()?,
            process: Arc::new(Process::new(facts)),
            memcached: None,
            sources: Arc::default(),
            refreshes: Vec::new(),
        })
    }

    /// Adds a built-in server.
    pub fn add_memcached(&mut self, settings: Settings) {
        let clock = self.clock(self.now());
        self.memcached = Some(Arc::new(Memcached::new(settings, clock, Arc::clone(&self.process))));
    }

    /// Has the workers count, and answer `stats proxy` with these settings. Called after [`Shared::add_memcached`].
    pub fn add_sources(&mut self, settings: Settings, hostname: String) {
        let (process, memcached) = (Arc::clone(&self.process), self.memcached.clone());
        self.sources = Arc::new(Sources { settings, process, memcached, hostname, ..Sources::default() });
    }

    pub(super) fn now(&self) -> Micros {
        self.start.elapsed().as_micros() as Micros
    }

    /// The time as the built-in server is told it.
    pub(super) fn clock(&self, now: Micros) -> Clock {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock { now, unix: unix.as_micros() as Micros }
    }
}
