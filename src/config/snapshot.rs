//! The immutable configuration that all workers share: compared, then swapped whole.
//!
//! Nothing here changes after it was built. A reconfiguration builds a new [`Config`] and hands every
//! worker an `Arc` of it.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::address::{is_path, write_server};
use crate::config::behavior::Behavior;
use crate::protocol::Protocol;
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
    /// Name or address, as written in the configuration; or the absolute path of a unix socket.
    pub host: String,
    /// TCP port; 0 with a unix socket.
    pub port: u16,
    /// SASL user; empty: no authentication (05 §9).
    pub user: String,
    /// SASL password.
    pub password: Secret,
    /// Bucket to select after authentication (opcode 0x2a); empty: none.
    pub bucket: String,
    /// The protocol spoken to it.
    pub protocol: Protocol,
}

impl Server {
    /// The unix socket that it listens on, if it does not listen on a port.
    pub fn socket(&self) -> Option<&Path> {
        is_path(&self.host).then(|| Path::new(&self.host))
    }
}

/// `HOST:PORT`, or the path of its socket: how log lines name it. Never its credentials.
impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_server(f, &self.host, self.port)
    }
}

/// One bucket: which servers it has, how keys map to them, and the limits that apply.
#[derive(Debug)]
pub struct BucketConfig {
    /// Bucket name; `default` for static sections.
    pub name: String,
    /// The agent whose documents it comes from: an index into the list of agents. `None`: it is a static section, or
    /// the null bucket.
    pub agent: Option<usize>,
    /// The port clients reach it on.
    pub port: u16,
    /// The behaviour keys in force. In a dynamic bucket `usr` and `pwd` are what a client must present to get into
    /// it: the bucket's name, and the document's password, empty if it has none (05 §8.3). What moxi presents to
    /// the servers is in [`Server`].
    pub behavior: Arc<Behavior>,
    /// The servers in configuration order; a server named several times is several entries. None: the bucket is
    /// shut down (its documents do not name it any more, but may again), or is the null bucket.
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
    /// The text that `stats proxy` shows as the bucket's configuration (05 §5.9), passwords masked.
    pub text: String,
}

/// How new a cluster's map is: members `revEpoch` and `rev` of newer servers' documents. A map without them is older
/// than any other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Revision {
    /// Counts how often the numbering has begun again.
    pub epoch: u64,
    /// Counts the maps of an epoch.
    pub number: u64,
}

/// What was learned of vbuckets that a server has refused as "not my vbucket": learned by one worker, used by all,
/// forgotten with the next configuration (03 §18).
#[derive(Debug, Default)]
pub struct Learned {
    /// By vbucket: index of the server, or [`NOT_LEARNED`].
    masters: Box<[AtomicU16]>,
    /// Counts the changes of these. Raised behind them: who sees the number sees them too.
    changes: AtomicU64,
    /// Of the newest map that is known. Locked while that is taken over.
    revision: Mutex<Revision>,
}

/// Nothing was learned of this vbucket.
const NOT_LEARNED: u16 = u16::MAX;

impl Learned {
    /// Nothing is known yet of the vbuckets of `router`, whose map has this revision.
    pub fn nothing(router: &Router, revision: Revision) -> Learned {
        let vbuckets = router.vbucket_map().map_or(0, |map| map.vbuckets());
        let masters = (0..vbuckets).map(|_| AtomicU16::new(NOT_LEARNED)).collect();
        Learned { masters, changes: AtomicU64::new(0), revision: Mutex::new(revision) }
    }

    /// The master of `vbucket`, if one was learned.
    pub fn master(&self, vbucket: u16) -> Option<usize> {
        let master = self.masters.get(usize::from(vbucket))?.load(Ordering::Relaxed);
        (master != NOT_LEARNED).then_some(usize::from(master))
    }

    /// How often a master was learned that was not known before.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Copies the masters that were learned, by vbucket. Gives the number of changes that are in the copy; what is
    /// learned meanwhile may be in it too.
    pub fn copy_to(&self, copy: &mut Vec<Option<u16>>) -> u64 {
        let changes = self.changes();
        copy.clear();
        let masters = self.masters.iter().map(|master| master.load(Ordering::Relaxed));
        copy.extend(masters.map(|master| (master != NOT_LEARNED).then_some(master)));
        changes
    }

    /// Notes the master of `vbucket`.
    pub fn learn(&self, vbucket: u16, master: usize) {
        if self.note(vbucket, master) {
            self.changes.fetch_add(1, Ordering::Release);
        }
    }

    /// Whether it was not known.
    fn note(&self, vbucket: u16, master: usize) -> bool {
        let (Some(place), Ok(master)) = (self.masters.get(usize::from(vbucket)), u16::try_from(master)) else {
            return false;
        };
        place.swap(master, Ordering::Relaxed) != master
    }

    /// Notes the masters of all vbuckets, if they are of a newer map than any that is known; otherwise nothing, and
    /// `false`. Nothing changes for a vbucket without one.
    pub fn learn_map(&self, revision: Revision, masters: &[Option<usize>]) -> bool {
        let mut known = self.revision.lock().unwrap_or_else(PoisonError::into_inner);
        if revision <= *known {
            return false;
        }
        *known = revision;
        let mut is_change = false;
        for (vbucket, master) in (0..).zip(masters) {
            is_change |= master.is_some_and(|master| self.note(vbucket, master));
        }
        if is_change {
            self.changes.fetch_add(1, Ordering::Release);
        }
        true
    }
}

impl BucketConfig {
    /// Whether both say the same, whatever was learned since.
    pub fn is_same(&self, other: &BucketConfig) -> bool {
        let BucketConfig { name, agent, port, behavior, servers, router, learned: _, is_null, get_errors, text } = self;
        *name == other.name
            && *agent == other.agent
            && *port == other.port
            && *behavior == other.behavior
            && *servers == other.servers
            && *router == other.router
            && *is_null == other.is_null
            && *get_errors == other.get_errors
            && *text == other.text
    }

    /// The same bucket without servers. Nobody can authenticate for it, so it has no user and no password.
    pub fn shut_down(&self) -> BucketConfig {
        let BucketConfig { name, agent, port, behavior, .. } = self;
        BucketConfig::without_servers(name.clone(), *agent, *port, behavior, false)
    }

    /// A bucket that has no servers: the null bucket, or one that is shut down.
    pub fn without_servers(
        name: String,
        agent: Option<usize>,
        port: u16,
        behavior: &Behavior,
        is_null: bool,
    ) -> BucketConfig {
        let behavior = Behavior { usr: String::new(), pwd: Secret::default(), ..behavior.clone() };
        let router = Router::for_list("", &[]);
        BucketConfig {
            name,
            agent,
            port,
            behavior: Arc::new(behavior),
            servers: Vec::new(),
            learned: Learned::default(),
            router,
            is_null,
            get_errors: false,
            text: String::new(),
        }
    }

    /// Whether it has servers: not shut down, not the null bucket.
    pub fn is_live(&self) -> bool {
        !self.servers.is_empty()
    }
}

/// What the documents have done to the buckets so far: the `proxy_main:stats:` of 05 §7.2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Documents that reached [`super::dynamic`], good, bad or empty.
    pub configs: u64,
    /// Bucket documents, or whole documents, that could not be used. (The C program counted empty ones only.)
    pub config_fails: u64,
    /// Buckets created.
    pub starts: u64,
    /// Updates of a live bucket, whether they changed it or not.
    pub existings: u64,
    /// Buckets shut down.
    pub shutdowns: u64,
}

impl Tally {
    /// One more. What has been counted for longer than anybody lives stays as it is.
    pub(super) fn count(counter: &mut u64) {
        *counter = counter.saturating_add(1);
    }

    /// What has happened since it was `before`.
    pub fn since(self, before: Tally) -> Tally {
        Tally {
            configs: self.configs.saturating_sub(before.configs),
            config_fails: self.config_fails.saturating_sub(before.config_fails),
            starts: self.starts.saturating_sub(before.starts),
            existings: self.existings.saturating_sub(before.existings),
            shutdowns: self.shutdowns.saturating_sub(before.shutdowns),
        }
    }
}

/// Everything a worker needs to know about the outside world.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// All buckets. A listener names one by its index here. An index means the same bucket for ever: later
    /// configurations replace entries and add some at the end. An entry that did not change is the same `Arc`.
    pub buckets: Vec<Arc<BucketConfig>>,
    /// The version of each bucket (`config_ver`): 0 for static ones and the null bucket, else that of the last
    /// document that configured it or shut it down. As long as `buckets`, or shorter where the rest is 0.
    pub versions: Vec<u64>,
    /// Set when the buckets come from documents.
    pub dynamic: Option<Dynamic>,
    /// What has happened to the buckets.
    pub tally: Tally,
}

/// What only configurations from documents have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dynamic {
    /// The one port of all buckets (`port_listen`).
    pub port: u16,
    /// Where new clients start.
    pub default_bucket: DefaultBucket,
    /// What `-Z` says. The buckets' own have their names and passwords in it.
    pub behavior: Arc<Behavior>,
}

/// Where a new client starts (`default_bucket_name`, 05 §8.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DefaultBucket {
    /// In the first live bucket; no password is asked for.
    First,
    /// In the live bucket of this name if it has no password, else in the null bucket.
    Named(String),
}

impl Config {
    /// Whether any bucket has servers.
    pub fn is_live(&self) -> bool {
        self.buckets.iter().any(|bucket| bucket.is_live())
    }

    /// The bucket that a new client of the port of all dynamic buckets starts in; `None`: its connection is closed
    /// at once, as long as no bucket is live (05 §8.2).
    ///
    /// "First" is the lowest index, that is, the bucket that was configured first and still lives. (In the C program
    /// new clients stayed in the first bucket for ever, dead or alive: 05 §7.5.)
    pub fn start_bucket(&self) -> Option<usize> {
        if !self.is_live() {
            return None;
        }
        let place = |wanted: &dyn Fn(&BucketConfig) -> bool| self.buckets.iter().position(|bucket| wanted(bucket));
        match &self.dynamic.as_ref()?.default_bucket {
            DefaultBucket::First => place(&BucketConfig::is_live),
            DefaultBucket::Named(name) => {
                place(&|bucket| bucket.is_live() && bucket.behavior.usr == *name && bucket.behavior.pwd.is_empty())
                    .or_else(|| place(&|bucket| bucket.is_null))
            }
        }
    }

    /// How many connections to servers one worker has at most; `None`: there is no limit, or servers are not known
    /// beforehand.
    pub fn connections_most(&self) -> Option<u64> {
        let mut most: HashMap<&Server, u64> = HashMap::new();
        for bucket in &self.buckets {
            if matches!(bucket.router, Router::Named) {
                return None;
            }
            let limit = u64::from(bucket.behavior.downstream_conn_max);
            for server in &bucket.servers {
                if limit == 0 {
                    return None;
                }
                // Buckets that share a server share its connections.
                let entry = most.entry(server).or_default();
                *entry = limit.max(*entry);
            }
        }
        // One more of each, for lists of keys.
        Some(most.values().map(|limit| limit.saturating_add(1)).sum())
    }

    /// The version of bucket number `bucket`.
    pub fn version(&self, bucket: usize) -> u64 {
        self.versions.get(bucket).copied().unwrap_or(0)
    }
}
