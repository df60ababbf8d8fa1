//! The built-in memcached server (02): items, slab classes, least recently used order, commands and statistics.
//!
//! Like the proxy engine it does no I/O: it is given bytes and the time, and produces bytes. All workers share one
//! [`Memcached`]; each client has a [`Session`], and each worker has counters.
//!
//! | file | what |
//! |---|---|
//! | `session` | a client: its protocol, and its requests one by one |
//! | `ascii`, `binary`, `meta` | what each command does and answers |
//! | [`access`](mod@access), `storing`, `arith` | what can be done to items, whichever protocol asks |
//! | `memory` | where the memory for an item comes from, and who must go for it |
//! | `classes` | slab classes and pages |
//! | `shard`, `table`, `slots`, `item` | the items |
//! | [`clock`] | seconds, expiry |
//! | [`counters`], `prefix` | what is counted |
//! | `statistics`, `dump` | the text of `stats` |
//!
//! # Locks
//!
//! Items are distributed over [`SHARDS`] shards by the hash of their keys; each has a lock of its own, held for one
//! operation on one item. Values of some size are shared with the reply instead of being copied, and what was
//! replaced is freed after the lock is released. Nobody waits for one shard while holding another, except a flush,
//! which takes all of them in order. The table of a shard grows by one bucket at a time.
//!
//! Memory is accounted for all shards together, as memcached's slabs would need it, and "least recently used" is one
//! order for all of them: every use of an item takes the next number, and each shard publishes the number of its
//! oldest item of each class.

#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

pub mod access;
mod arith;
mod ascii;
mod binary;
mod classes;
pub mod clock;
pub mod counters;
mod dump;
mod item;
mod memory;
mod meta;
mod prefix;
mod session;
mod shard;
mod slots;
pub mod statistics;
mod storing;
mod table;

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use access::Access;
use classes::Classes;
use clock::{Clock, Epoch};
use counters::{Counters, Totals};
use shard::Shard;
use slots::Piece;

use crate::metrics::process::Process;

pub use session::{Session, Step};

/// Into how many parts the items are divided.
pub const SHARDS: usize = 64;

/// What the version commands answer.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// In [`Memcached::flush_at`]: no flush is pending.
const NO_FLUSH: u64 = u64::MAX;

/// How the server is set up, and what `stats settings` shows (02 §13.2).
#[derive(Clone, Debug)]
pub struct Settings {
    /// Memory for items in bytes, 0: no limit (`-m`).
    pub memory: u64,
    /// Bytes of `memory` that count as used from the beginning (`T_MEMD_INITIAL_MALLOC`, for tests).
    pub initial_malloced: u64,
    /// Whether old items make room for new ones (`-M` turns it off).
    pub evict: bool,
    /// Whether items have CAS ids (`-C` turns it off).
    pub cas: bool,
    /// Growth factor of slab classes (`-f`).
    pub growth_factor: f64,
    /// Smallest item space of a slab class in bytes (`-n`).
    pub chunk_size: u32,
    /// What ends a key's prefix (`-D`).
    pub prefix_delimiter: u8,
    /// Whether prefixes are counted from the beginning (`-D`).
    pub detail: bool,
    /// The rest is only shown. Descriptors asked for (`-c`).
    pub connections: u32,
    /// TCP port; -2: none was given.
    pub tcp_port: i32,
    /// UDP port; -2: none was given.
    pub udp_port: i32,
    /// The address listened on (`-l`).
    pub listen: Option<String>,
    /// The path of the unix socket (`-s`).
    pub socket: Option<String>,
    /// The permission bits of the unix socket (`-a`).
    pub socket_mode: u32,
    /// Workers and the main thread.
    pub threads: u32,
    /// Requests per turn (`-R`).
    pub requests_per_turn: u32,
    /// Length of the accept queue (`-b`).
    pub backlog: i32,
    /// `auto-negotiate`, `ascii` or `binary` (`-B`).
    pub binding: &'static str,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            memory: 64 << 20,
            initial_malloced: 0,
            evict: true,
            cas: true,
            growth_factor: 1.25,
            chunk_size: 48,
            prefix_delimiter: b':',
            detail: false,
            connections: 1024,
            tcp_port: -2,
            udp_port: -2,
            listen: None,
            socket: None,
            socket_mode: 0o700,
            threads: 5,
            requests_per_turn: 20,
            backlog: 1024,
            binding: "auto-negotiate",
        }
    }
}

/// A shard on cache lines of its own.
#[derive(Debug)]
#[repr(align(64))]
struct Cell(Mutex<Shard>);

/// The built-in server: all items, shared by all workers.
#[derive(Debug)]
pub struct Memcached {
    settings: Settings,
    epoch: Epoch,
    process: Arc<Process>,
    classes: Arc<Classes>,
    shards: Box<[Cell]>,
    hasher: RandomState,
    /// The position in the order of use that was given last.
    used: AtomicU64,
    /// The CAS id that was given last.
    cas: AtomicU64,
    /// When all items are to be removed, in microseconds.
    flush_at: AtomicU64,
    /// What `stats settings` shows as `oldest`.
    oldest_live: AtomicU32,
    /// Whether prefixes are counted.
    detail: AtomicBool,
    /// Items that a flush has removed, and whose memory is freed bit by bit.
    removed: Mutex<Vec<Piece>>,
    has_removed: AtomicBool,
    workers: Mutex<Vec<Arc<Counters>>>,
}

impl Memcached {
    /// An empty one, made at the time of `clock`.
    pub fn new(settings: Settings, clock: Clock, process: Arc<Process>) -> Memcached {
        let classes = Arc::new(Classes::new(
            settings.chunk_size,
            settings.growth_factor,
            settings.memory,
            settings.initial_malloced,
            settings.cas,
        ));
        let hasher = RandomState::new();
        let shard = |index| Cell(Mutex::new(Shard::new(index, Arc::clone(&classes), hasher.clone())));
        let shards = (0..SHARDS).map(shard).collect();
        Memcached {
            epoch: Epoch::new(clock),
            process,
            classes,
            shards,
            hasher,
            used: AtomicU64::new(0),
            cas: AtomicU64::new(0),
            flush_at: AtomicU64::new(NO_FLUSH),
            oldest_live: AtomicU32::new(0),
            detail: AtomicBool::new(settings.detail),
            removed: Mutex::default(),
            has_removed: AtomicBool::new(false),
            workers: Mutex::default(),
            settings,
        }
    }

    /// Counters for one more worker.
    pub fn register(&self) -> Arc<Counters> {
        let counters = Arc::new(Counters::new(self.classes.count()));
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&counters));
        counters
    }

    /// The server as a worker uses it at the time of `clock`. Does what is due by then.
    pub fn access<'a>(&'a self, counters: &'a Counters, clock: Clock) -> Access<'a> {
        let access = Access::new(self, counters, clock, self.epoch.tick(clock.now));
        let due = self.flush_at.load(Relaxed);
        if clock.now >= due && self.flush_at.compare_exchange(due, NO_FLUSH, Relaxed, Relaxed).is_ok() {
            self.remove_all();
        }
        if self.has_removed.load(Relaxed) {
            self.free_some();
        }
        access
    }

    /// Removes all items, at one moment for all threads.
    fn remove_all(&self) {
        let mut shards: Vec<_> = (0..self.shards.len()).map(|index| self.shard(index)).collect();
        let pieces: Vec<Piece> = shards.iter_mut().flat_map(|shard| shard.clear()).collect();
        drop(shards);
        self.removed.lock().unwrap_or_else(PoisonError::into_inner).extend(pieces);
        self.has_removed.store(true, Relaxed);
    }

    /// Frees a piece of what was removed.
    fn free_some(&self) {
        let Ok(mut removed) = self.removed.try_lock() else { return };
        let piece = removed.pop();
        if removed.is_empty() {
            *removed = Vec::new();
            self.has_removed.store(false, Relaxed);
        }
        drop(removed);
        drop(piece);
    }

    #[expect(clippy::indexing_slicing, reason = "there are so many")]
    fn shard(&self, index: usize) -> MutexGuard<'_, Shard> {
        // A panic cannot leave a shard half changed for long: the process aborts.
        self.shards[index % SHARDS].0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The shard of a key, and the part of its hash that finds it there.
    fn place(&self, key: &[u8]) -> (usize, u32) {
        let hash = self.hasher.hash_one(key);
        ((hash >> 32) as usize % SHARDS, hash as u32)
    }

    /// The next position in the order of use.
    fn next_use(&self) -> u64 {
        self.used.fetch_add(1, Relaxed).wrapping_add(1)
    }

    /// The next CAS id.
    fn next_cas(&self) -> u64 {
        if self.settings.cas { self.cas.fetch_add(1, Relaxed).wrapping_add(1) } else { 0 }
    }

    fn each_worker(&self, mut visit: impl FnMut(&Counters)) {
        for counters in self.workers.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            visit(counters);
        }
    }

    /// What all workers have counted.
    fn totals(&self) -> Totals {
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        Totals::of(workers.iter().map(Arc::as_ref), self.classes.count())
    }
}

#[cfg(test)]
mod tests;
