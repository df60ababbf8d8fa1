//! Where the numbers of `stats proxy` come from.

use std::sync::{Arc, Mutex, PoisonError};

use crate::config::snapshot::{Config, Tally};
use crate::front_cache::Caches;
use crate::memcached::{Memcached, Settings};
use crate::metrics::board::Board;
use crate::metrics::keys::board::KeyBoard;
use crate::metrics::process::Process;
use crate::proxy::downstream::servers::Servers;

/// What all workers share that is shown, or counted in.
#[derive(Debug, Default)]
pub struct Sources {
    /// Where the workers count.
    pub board: Arc<Board>,
    /// What the workers watch of the buckets' keys.
    pub keys: KeyBoard,
    /// Where they count of servers.
    pub servers: Arc<Servers>,
    /// The front caches of the buckets.
    pub caches: Caches,
    /// The settings as `memcached:settings` shows them.
    pub settings: Settings,
    /// The process as a whole.
    pub process: Arc<Process>,
    /// The built-in server, if there is one.
    pub memcached: Option<Arc<Memcached>>,
    /// The name of the machine.
    pub hostname: String,
    /// What had happened to the buckets until the last reset.
    pub before: Mutex<Tally>,
}

impl Sources {
    /// What has happened to the buckets since the last reset. A worker may be told of a configuration after another
    /// one has answered.
    pub fn tally(&self, config: &Config) -> Tally {
        config.tally.since(*self.before.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Counts from zero again what happens to the buckets.
    pub fn reset_tally(&self, config: &Config) {
        *self.before.lock().unwrap_or_else(PoisonError::into_inner) = config.tally;
    }
}
