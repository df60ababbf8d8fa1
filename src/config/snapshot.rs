//! The immutable configuration that all workers share: compared, then swapped whole.
//!
//! Nothing here changes after it was built. A reconfiguration builds a new [`Config`] and hands every
//! worker an `Arc` of it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use crate::config::behavior::{Behavior, DownstreamProtocol};
use crate::routing::Router;

/// Text that must never reach a log line or a statistic: a password.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text itself, for the wire only.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether there is no password.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "\"\"" } else { "\"***\"" })
    }
}

/// One memcached server as a bucket sees it.
///
/// Two servers are the same (share connections, limits and suspension) when all fields are equal
/// (03 §16.1, with the bucket added).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Server {
    /// Name or address, as written in the configuration.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// SASL user; empty: no authentication (05 §9).
    pub user: String,
    /// SASL password.
    pub password: Secret,
    /// Bucket to select after authentication (opcode 0x2a); empty: none.
    pub bucket: String,
    /// The protocol spoken to it.
    pub protocol: DownstreamProtocol,
}

/// One bucket: which servers it has, how keys map to them, and the limits that apply.
#[derive(Debug)]
pub struct BucketConfig {
    /// Bucket name; `default` for static sections.
    pub name: String,
    /// The port clients reach it on.
    pub port: u16,
    /// The behaviour keys in force.
    pub behavior: Arc<Behavior>,
    /// The servers in configuration order; a server named several times is several entries. None: the bucket is
    /// shut down, or is the null bucket.
    pub servers: Vec<Arc<Server>>,
    /// Key to index into `servers`.
    pub router: Router,
    /// Masters that were learned from refusals since this configuration came.
    pub learned: Learned,
    /// Whether this is the bucket of clients that have none: it has no servers, and every request is refused as
    /// unauthorised (05 §8.5).
    pub is_null: bool,
    /// Whether a get whose server failed is answered with the error instead of a miss
    /// (dynamic vbucket buckets only, 03 §9.1).
    pub get_errors: bool,
    /// The text that `stats proxy` shows as the bucket's configuration (05 §5.9).
    pub text: String,
}

/// The masters of vbuckets that a server has refused as "not my vbucket": learned by one worker, used by all, forgotten
/// with the next configuration (03 §18).
#[derive(Debug, Default)]
pub struct Learned {
    /// By vbucket: index of the server, or [`NOT_LEARNED`].
    masters: Box<[AtomicU16]>,
}

/// Nothing was learned of this vbucket.
const NOT_LEARNED: u16 = u16::MAX;

impl Learned {
    /// Nothing is known yet of the vbuckets of `router`.
    pub fn nothing(router: &Router) -> Learned {
        let vbuckets = router.vbucket_map().map_or(0, |map| map.vbuckets());
        Learned { masters: (0..vbuckets).map(|_| AtomicU16::new(NOT_LEARNED)).collect() }
    }

    /// The master of `vbucket`, if one was learned.
    pub fn master(&self, vbucket: u16) -> Option<usize> {
        let master = self.masters.get(usize::from(vbucket))?.load(Ordering::Relaxed);
        (master != NOT_LEARNED).then_some(usize::from(master))
    }

    /// Notes the master of `vbucket`.
    pub fn learn(&self, vbucket: u16, master: usize) {
        if let (Some(place), Ok(master)) = (self.masters.get(usize::from(vbucket)), u16::try_from(master)) {
            place.store(master, Ordering::Relaxed);
        }
    }
}

/// Everything a worker needs to know about the outside world.
#[derive(Debug, Default)]
pub struct Config {
    /// All buckets. A listener names one by its index here.
    pub buckets: Vec<Arc<BucketConfig>>,
}
