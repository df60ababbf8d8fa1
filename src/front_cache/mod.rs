//! The front cache of a bucket: values of gets, kept for a short time and served to all clients (03 §14, 06 §6.3).
//!
//! All workers share it, so it has several shards, each behind a short lock. It has no clock: it is told the time.
//!
//! Whatever changes a key drops its entry twice: when it is sent to the server, and when it was answered. Between the
//! two a get may bring the old value; and one that was asked before may bring it even later. So each drop leaves a
//! [`Stamp`] behind, and a value is only taken if none was left since it was asked for.

#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

mod caches;
mod matcher;
mod shard;

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;

use crate::config::behavior::Behavior;
use crate::sums::sum;

pub use caches::Caches;
pub use matcher::Matcher;
pub use shard::Value;
use shard::{Added, Found, Shard};

/// Microseconds, counted from the start of the program.
pub type Micros = u64;

/// Most shards, and how many entries make another one worth while: a small cache is one shard and so keeps to its
/// limit and its order exactly.
const SHARDS: usize = 16;
const ENTRIES_PER_SHARD: usize = 256;
/// How many stamps there are; keys share them.
const STAMPS: usize = 1024;

/// Which drops of a key there have been.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp(u32);

/// Which keys of a bucket are cached, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    spec: Matcher,
    unspec: Matcher,
    /// Microseconds.
    lifespan: Micros,
}

impl Policy {
    /// As the behaviour keys say; `None`: nothing is cached.
    pub fn new(behavior: &Behavior) -> Option<Policy> {
        let spec = Matcher::new(&behavior.front_cache_spec);
        let is_active = behavior.front_cache_max > 0 && behavior.front_cache_lifespan > 0 && !spec.is_empty();
        is_active.then(|| Policy {
            spec,
            unspec: Matcher::new(&behavior.front_cache_unspec),
            lifespan: u64::from(behavior.front_cache_lifespan).saturating_mul(1000),
        })
    }

    /// Whether `key` is one of those that are cached.
    pub fn covers(&self, key: &[u8]) -> bool {
        self.spec.matches(key) && !self.unspec.matches(key)
    }
}

/// What was counted. All workers count here, but only while the cache is in use.
#[derive(Debug, Default)]
struct Tally {
    hits: AtomicU64,
    expires: AtomicU64,
    misses: AtomicU64,
    bytes: AtomicU64,
    adds: AtomicU64,
    add_skips: AtomicU64,
    add_fails: AtomicU64,
    add_bytes: AtomicU64,
    deletes: AtomicU64,
    evictions: AtomicU64,
}

impl Tally {
    /// In the order in which they are shown.
    fn all(&self) -> [(&'static str, &AtomicU64); 10] {
        [
            ("tot_get_hits", &self.hits),
            ("tot_get_expires", &self.expires),
            ("tot_get_misses", &self.misses),
            ("tot_get_bytes", &self.bytes),
            ("tot_adds", &self.adds),
            ("tot_add_skips", &self.add_skips),
            ("tot_add_fails", &self.add_fails),
            ("tot_add_bytes", &self.add_bytes),
            ("tot_deletes", &self.deletes),
            ("tot_evictions", &self.evictions),
        ]
    }
}

/// The cache of one bucket.
#[derive(Debug)]
pub struct FrontCache {
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
    /// How many of them are in use.
    used: AtomicUsize,
    stamps: Box<[AtomicU32]>,
    /// How often everything was dropped.
    flushes: AtomicU32,
    tally: Tally,
    /// For whom it was begun the last time.
    owner: Mutex<usize>,
}

impl Default for FrontCache {
    fn default() -> FrontCache {
        FrontCache {
            hasher: RandomState::default(),
            shards: Default::default(),
            used: AtomicUsize::new(1),
            stamps: (0..STAMPS).map(|_| AtomicU32::new(0)).collect(),
            flushes: AtomicU32::new(0),
            tally: Tally::default(),
            owner: Mutex::default(),
        }
    }
}

/// A key that is cached, at the time when it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Its hash.
    pub hash: u64,
    /// What tells whether it has changed since.
    pub stamp: Stamp,
}

impl FrontCache {
    /// Begins anew, with room for `most` entries, unless that was done already for this `owner`, the address of a
    /// configuration: each worker does it when it comes to know of one.
    pub fn restart(&self, owner: usize, most: u32) {
        let mut current = lock(&self.owner);
        if std::mem::replace(&mut *current, owner) == owner {
            return;
        }
        let most = most as usize;
        let used = (most / ENTRIES_PER_SHARD).clamp(1, SHARDS);
        let (each, rest) = (most.checked_div(used).unwrap_or(0), most.checked_rem(used).unwrap_or(0));
        self.flushes.fetch_add(1, Relaxed);
        self.used.store(used, Relaxed);
        for (number, shard) in self.shards.iter().enumerate() {
            let share = if number < used { sum([each, usize::from(number < rest)]) } else { 0 };
            lock(shard).restart(share);
        }
    }

    /// What names `key` in the other calls.
    pub fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash_one(key)
    }

    /// To be taken when the key is asked for.
    pub fn stamp(&self, hash: u64) -> Stamp {
        let own = self.stamps.get(hash as usize % STAMPS).map_or(0, |stamp| stamp.load(Relaxed));
        Stamp(own.wrapping_add(self.flushes.load(Relaxed)))
    }

    /// The value of a key.
    pub fn get(&self, hash: u64, key: &[u8], now: Micros) -> Option<Value> {
        match self.shard(hash).get(hash, key, now) {
            Found::Live(value) => {
                self.count_hit(&value);
                Some(value)
            }
            Found::Expired => {
                self.tally.expires.fetch_add(1, Relaxed);
                None
            }
            Found::Nothing => {
                self.tally.misses.fetch_add(1, Relaxed);
                None
            }
        }
    }

    /// Whether there is a value of the key; nobody learns that it was looked for.
    pub fn has(&self, key: &[u8], now: Micros) -> bool {
        let hash = self.hash(key);
        self.shard(hash).has(hash, key, now)
    }

    /// A value that was found is used, perhaps not for the first time.
    pub fn count_hit(&self, value: &Value) {
        self.tally.hits.fetch_add(1, Relaxed);
        self.tally.bytes.fetch_add(value.length(), Relaxed);
    }

    /// Keeps the value of a key that was asked for at that time.
    pub fn add(&self, policy: &Policy, asked: Asked, key: &[u8], value: Value, now: Micros) {
        let Asked { hash, stamp } = asked;
        let length = value.length();
        let mut shard = self.shard(hash);
        // Under the lock: whoever drops the key now comes after.
        if self.stamp(hash) != stamp {
            return;
        }
        match shard.add(hash, key, value, now.saturating_add(policy.lifespan), now) {
            Added::New { evicted } => {
                self.tally.adds.fetch_add(1, Relaxed);
                self.tally.add_bytes.fetch_add(length, Relaxed);
                self.tally.evictions.fetch_add(evicted, Relaxed);
            }
            Added::Kept => {
                self.tally.add_skips.fetch_add(1, Relaxed);
            }
            Added::Refused => {
                self.tally.add_fails.fetch_add(1, Relaxed);
            }
        }
    }

    /// Forgets a key that changes.
    pub fn drop_key(&self, hash: u64) {
        let mut shard = self.shard(hash);
        if let Some(stamp) = self.stamps.get(hash as usize % STAMPS) {
            stamp.fetch_add(1, Relaxed);
        }
        if shard.remove(hash) {
            self.tally.deletes.fetch_add(1, Relaxed);
        }
    }

    /// Forgets all keys.
    pub fn drop_all(&self) {
        self.flushes.fetch_add(1, Relaxed);
        let count: usize = self.shards.iter().map(|shard| lock(shard).clear()).sum();
        self.tally.deletes.fetch_add(count as u64, Relaxed);
    }

    /// How many entries there are.
    pub fn size(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    /// What was counted since the last reset: names and numbers, in the order in which they are shown.
    pub fn counters(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.tally.all().into_iter().map(|(name, number)| (name, number.load(Relaxed)))
    }

    /// Counts from zero again; the entries stay.
    pub fn reset(&self) {
        self.tally.all().iter().for_each(|(_, number)| number.store(0, Relaxed));
    }

    #[expect(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        reason = "one at least is in use, and no more than there are"
    )]
    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard> {
        // Not the bits that choose the stamp.
        let number = (hash >> 32) as usize % self.used.load(Relaxed).clamp(1, SHARDS);
        lock(&self.shards[number])
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> Policy {
        let behavior = Behavior {
            front_cache_lifespan: 1,
            front_cache_spec: "a|b".into(),
            front_cache_unspec: "ab".into(),
            ..Behavior::default()
        };
        Policy::new(&behavior).unwrap()
    }

    fn value(text: &str) -> Value {
        Value { flags: 7, data: text.as_bytes().to_vec().into() }
    }

    fn started(most: u32) -> FrontCache {
        let cache = FrontCache::default();
        cache.restart(1, most);
        cache
    }

    fn add(cache: &FrontCache, key: &str, text: &str, now: Micros) {
        let hash = cache.hash(key.as_bytes());
        cache.add(&policy(), Asked { hash, stamp: cache.stamp(hash) }, key.as_bytes(), value(text), now);
    }

    fn get(cache: &FrontCache, key: &str, now: Micros) -> Option<Value> {
        cache.get(cache.hash(key.as_bytes()), key.as_bytes(), now)
    }

    #[test]
    fn which_keys() {
        assert!(policy().covers(b"a1") && policy().covers(b"b") && !policy().covers(b"ab1") && !policy().covers(b"c"));
        let is_active = |max, lifespan, spec: &str| {
            Policy::new(&Behavior {
                front_cache_max: max,
                front_cache_lifespan: lifespan,
                front_cache_spec: spec.into(),
                ..Behavior::default()
            })
            .is_some()
        };
        assert!(is_active(1, 1, "a"));
        assert!(!is_active(0, 1, "a") && !is_active(1, 0, "a") && !is_active(1, 1, "|"));
    }

    #[test]
    fn entries_live_for_their_time() {
        let cache = started(10);
        add(&cache, "a", "1", 500);
        add(&cache, "a", "2", 1500);
        assert_eq!(get(&cache, "a", 1500), Some(value("1")));
        assert_eq!(get(&cache, "a", 1501), None);
        assert_eq!(get(&cache, "a", 1501), None);
        let counted: Vec<u64> = cache.counters().map(|(_, number)| number).collect();
        assert_eq!(counted, [1, 1, 1, 3, 1, 1, 0, 3, 0, 0]);
        cache.reset();
        assert!(cache.counters().all(|(_, number)| number == 0));
    }

    #[test]
    fn a_value_that_was_asked_for_before_a_change_is_not_taken() {
        let (cache, next) = (started(10), AtomicUsize::new(2));
        let hash = cache.hash(b"a");
        for drop in [&|| cache.drop_key(hash), &|| cache.drop_all(), &|| cache.restart(next.fetch_add(1, Relaxed), 10)]
            as [&dyn Fn(); 3]
        {
            let asked = cache.stamp(hash);
            drop();
            cache.add(&policy(), Asked { hash, stamp: asked }, b"a", value("old"), 0);
            assert_eq!(get(&cache, "a", 0), None);
            add(&cache, "a", "new", 0);
            assert_eq!(get(&cache, "a", 0), Some(value("new")));
            drop();
            assert_eq!((get(&cache, "a", 0), cache.size()), (None, 0));
        }
    }

    #[test]
    fn a_second_worker_with_the_same_configuration_changes_nothing() {
        let cache = started(10);
        add(&cache, "a", "1", 0);
        cache.restart(1, 10);
        assert_eq!(get(&cache, "a", 0), Some(value("1")));
        cache.restart(2, 10);
        assert_eq!(get(&cache, "a", 0), None);
    }

    #[test]
    fn there_are_never_more_than_allowed() {
        for most in [1, 2, 200, 1000, 10_001] {
            let cache = started(most);
            for number in 0..20_000 {
                add(&cache, &format!("a{number}"), "1", 0);
                assert!(number % 999 > 0 || cache.size() <= most as usize);
            }
            // Shards fill unevenly.
            assert!(
                cache.size() <= most as usize && cache.size() >= most as usize * 9 / 10,
                "{most}: {}",
                cache.size()
            );
        }
    }
}
