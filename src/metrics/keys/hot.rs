//! The keys that are asked for most, by a sketch of bounded size ("space saving", Metwally and others, 2005).
//!
//! A sketch has room for so many keys. One that comes when all room is taken gets that of the key with the fewest
//! requests, and inherits their number as its error: it may have come so often before, and not more often. So a key
//! that makes up more than one part in that many of all requests is always there.

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU64, AtomicUsize};

use foldhash::fast::RandomState;

use super::label::Label;
use crate::sums::{Count as _, sum};

/// How many times as many keys are watched as are shown: the more, the smaller the errors.
const WATCHED: usize = 8;

/// One place of a sketch.
#[derive(Debug, Default)]
struct Place {
    label: Label,
    /// How often it was asked for, with the error.
    count: AtomicU64,
    error: AtomicU64,
}

/// What one worker has seen of one bucket, to be read by all.
#[derive(Debug)]
pub struct Sketch {
    places: Box<[Place]>,
    /// How many of these are taken.
    taken: AtomicUsize,
    /// All keys that were asked for, and since which reset.
    total: AtomicU64,
    epoch: AtomicU64,
}

/// What was read of a sketch.
struct Reading {
    /// How many keys were asked for.
    total: u64,
    /// The keys that are watched, each with its count and its error.
    keys: Vec<(Vec<u8>, (u64, u64))>,
    /// How often a key that is not watched may have been asked for.
    fewest: u64,
}

impl Sketch {
    fn new(places: usize) -> Sketch {
        let places = (0..places).map(|_| Place::default()).collect();
        Sketch { places, taken: AtomicUsize::new(0), total: AtomicU64::new(0), epoch: AtomicU64::new(0) }
    }

    /// What was seen since reset `epoch`; `None`: nothing.
    fn read(&self, epoch: u64) -> Option<Reading> {
        if self.epoch.load(Acquire) != epoch {
            return None;
        }
        let total = self.total.load(Relaxed);
        let is_full = self.taken.load(Relaxed) == self.places.len();
        let numbers = |place: &Place| (place.count.load(Relaxed), place.error.load(Relaxed));
        let keys = self.places.iter().filter_map(|place| place.label.read(epoch, || numbers(place)));
        let keys: Vec<_> = keys.collect();
        let fewest = keys.iter().map(|(_, (count, _))| *count).min().filter(|_| is_full).unwrap_or(0);
        Some(Reading { total, keys, fewest })
    }
}

/// The sketch of a worker, with what only this worker needs.
#[derive(Debug)]
pub struct Hot {
    sketch: Arc<Sketch>,
    /// The reset that is to have happened.
    wanted: Arc<AtomicU64>,
    epoch: u64,
    hasher: RandomState,
    /// By the hash of the key: its place. (That two keys have one is left out of account: there are 2⁶⁴, drawn at random.)
    index: HashMap<u64, u32, RandomState>,
    /// By the place: the hash of its key, how often it was asked for, and where it stands in `order`.
    hashes: Vec<u64>,
    counts: Vec<u64>,
    positions: Vec<u32>,
    /// The places that are taken, by falling counts.
    order: Vec<u32>,
}

impl Hot {
    /// A sketch that is to show so many keys. `wanted` counts resets.
    pub fn new(shown: usize, wanted: Arc<AtomicU64>) -> Hot {
        let places = shown.max(1).saturating_mul(WATCHED);
        Hot {
            sketch: Arc::new(Sketch::new(places)),
            wanted,
            epoch: 0,
            hasher: RandomState::default(),
            // Twice as many: then the table cleans itself up without new memory.
            index: HashMap::with_capacity_and_hasher(sum([places, places, 2]), RandomState::default()),
            hashes: Vec::with_capacity(places),
            counts: Vec::with_capacity(places),
            positions: Vec::with_capacity(places),
            order: Vec::with_capacity(places),
        }
    }

    /// What others may read.
    pub fn sketch(&self) -> &Arc<Sketch> {
        &self.sketch
    }

    /// The key was asked for.
    pub fn count(&mut self, key: &[u8]) {
        let wanted = self.wanted.load(Relaxed);
        if wanted != self.epoch {
            self.restart(wanted);
        }
        self.sketch.total.store(self.sketch.total.load(Relaxed).wrapping_add(1), Relaxed);
        let hash = self.hasher.hash_one(key);
        match self.index.get(&hash) {
            Some(&at) => self.raise(at as usize),
            None => self.enter(hash, key),
        }
    }

    fn restart(&mut self, epoch: u64) {
        self.epoch = epoch;
        self.index.clear();
        self.hashes.clear();
        self.counts.clear();
        self.positions.clear();
        self.order.clear();
        self.sketch.total.store(0, Relaxed);
        self.sketch.taken.store(0, Relaxed);
        self.sketch.epoch.store(epoch, Release);
    }

    /// A key that is not watched takes a free place, or that of the key with the fewest requests.
    #[expect(clippy::indexing_slicing, reason = "each place that is taken has its row in all of these")]
    fn enter(&mut self, hash: u64, key: &[u8]) {
        let free = self.hashes.len();
        let at = if free < self.sketch.places.len() {
            self.hashes.push(hash);
            self.counts.push(0);
            self.positions.push(self.order.len() as u32);
            self.order.push(free as u32);
            self.sketch.taken.store(self.hashes.len(), Relaxed);
            free
        } else {
            let Some(&last) = self.order.last() else { return };
            let at = last as usize;
            self.index.remove(&self.hashes[at]);
            self.hashes[at] = hash;
            at
        };
        self.index.insert(hash, at as u32);
        let error = self.counts[at];
        let place = &self.sketch.places[at];
        place.label.replace(key, self.epoch, || {
            place.count.store(error, Relaxed);
            place.error.store(error, Relaxed);
        });
        self.raise(at);
    }

    /// One more request for the key at this place. It goes before all those that had as many.
    #[expect(
        clippy::indexing_slicing,
        reason = "as above, and the first with so many requests is this one or before it"
    )]
    fn raise(&mut self, at: usize) {
        let (mut count, from) = (self.counts[at], self.positions[at] as usize);
        let to = self.order.partition_point(|other| self.counts[*other as usize] > count);
        let other = self.order[to] as usize;
        self.order.swap(from, to);
        self.positions.swap(at, other);
        count.up();
        self.counts[at] = count;
        self.sketch.places[at].count.store(count, Relaxed);
    }
}

/// A key of several workers' sketches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HotKey {
    /// The key.
    pub key: Vec<u8>,
    /// How often it was asked for, at least.
    pub requests: u64,
    /// How many more it may have been.
    pub error: u64,
}

/// The sketches of all workers as one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HotKeys {
    /// How many keys were asked for since the last reset.
    pub total: u64,
    /// Those that were asked for most, the first one most often.
    pub keys: Vec<HotKey>,
}

/// What is known of a key so far: its requests, the errors of these, and what a key may have been asked for unseen by the
/// workers that watch it.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    requests: u64,
    error: u64,
    unseen: u64,
}

impl HotKeys {
    /// The `shown` keys that these workers were asked for most since reset `epoch`.
    pub fn of<'a>(sketches: impl Iterator<Item = &'a Sketch>, epoch: u64, shown: usize) -> HotKeys {
        let mut all: BTreeMap<Vec<u8>, Known> = BTreeMap::new();
        let (mut total, mut unseen) = (0u64, 0u64);
        for reading in sketches.filter_map(|sketch| sketch.read(epoch)) {
            total = total.wrapping_add(reading.total);
            unseen = unseen.saturating_add(reading.fewest);
            for (key, (count, error)) in reading.keys {
                let known = all.entry(key).or_default();
                known.requests = known.requests.saturating_add(count.saturating_sub(error));
                known.error = known.error.saturating_add(error);
                known.unseen = known.unseen.saturating_add(reading.fewest);
            }
        }
        let of = |(key, known): (Vec<u8>, Known)| HotKey {
            key,
            requests: known.requests,
            error: known.error.saturating_add(unseen.saturating_sub(known.unseen)),
        };
        let mut keys: Vec<HotKey> = all.into_iter().map(of).collect();
        keys.sort_by(|one, other| other.requests.cmp(&one.requests).then(other.error.cmp(&one.error)));
        keys.truncate(shown);
        HotKeys { total, keys }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hot(shown: usize) -> (Hot, Arc<AtomicU64>) {
        let wanted = Arc::new(AtomicU64::new(1));
        (Hot::new(shown, Arc::clone(&wanted)), wanted)
    }

    fn shown(workers: &[&Hot], epoch: u64, shown: usize) -> Vec<(String, u64, u64)> {
        let keys = HotKeys::of(workers.iter().map(|hot| hot.sketch().as_ref()), epoch, shown).keys;
        keys.into_iter().map(|key| (String::from_utf8_lossy(&key.key).into(), key.requests, key.error)).collect()
    }

    fn count(hot: &mut Hot, key: &str, times: u32) {
        (0..times).for_each(|_| hot.count(key.as_bytes()));
    }

    #[test]
    fn few_keys_are_counted_exactly_and_workers_add_up() {
        let (mut one, wanted) = hot(3);
        let mut other = Hot::new(3, Arc::clone(&wanted));
        for (key, times) in [("a", 5), ("b", 2), ("c", 7), ("d", 1)] {
            count(&mut one, key, times);
        }
        count(&mut other, "b", 9);
        let of = |key: &str, requests| (key.to_owned(), requests, 0);
        assert_eq!(shown(&[&one, &other], 1, 3), [of("b", 11), of("c", 7), of("a", 5)]);
        assert_eq!(HotKeys::of([one.sketch().as_ref()].into_iter(), 1, 3).total, 15);
        // What was counted before a reset is gone at once, and the owner begins anew.
        wanted.store(2, Relaxed);
        assert_eq!(shown(&[&one, &other], 2, 3), []);
        count(&mut one, "d", 2);
        assert_eq!(shown(&[&one, &other], 2, 3), [of("d", 2)]);
    }

    #[test]
    fn a_frequent_key_is_found_among_very_many() {
        let (mut hot, _) = hot(2);
        for number in 0..20_000 {
            count(&mut hot, &format!("rare{number}"), 1);
            if number % 5 == 0 {
                count(&mut hot, "often", 1);
            }
            if number > 10_000 && number % 4 == 0 {
                count(&mut hot, "late", 1);
            }
        }
        let keys = shown(&[&hot], 1, 2);
        let found = |name: &str| keys.iter().find(|(key, ..)| key == name).expect(name);
        let ((_, often, error), (_, late, late_error)) = (found("often"), found("late"));
        assert!(*often <= 4000 && often + error >= 4000, "{keys:?}");
        assert!(*late <= 2500 && late + late_error >= 2500, "{keys:?}");
    }

    proptest! {
        /// The true number of each key that is shown is within what is said, and whatever is more frequent than one in as
        /// many as there are places is there.
        #[test]
        fn what_is_said_is_true(keys in prop::collection::vec((0..2usize, 0..40u32), 0..600)) {
            let wanted = Arc::new(AtomicU64::new(1));
            let mut workers = [Hot::new(1, Arc::clone(&wanted)), Hot::new(2, wanted)];
            let mut truth: HashMap<String, u64> = HashMap::new();
            for (worker, key) in &keys {
                let key = (key * key % 37).to_string();
                workers[*worker].count(key.as_bytes());
                *truth.entry(key).or_default() += 1;
            }
            let [one, other] = &workers;
            let found = shown(&[one, other], 1, 100);
            for (key, requests, error) in &found {
                let count = truth[key];
                prop_assert!(*requests <= count && count <= requests + error, "{key}: {count} {found:?}");
            }
            for (key, count) in &truth {
                prop_assert!(*count as usize <= keys.len() / 4 || found.iter().any(|(name, ..)| name == key));
            }
            for worker in &workers {
                prop_assert!(worker.order.is_sorted_by_key(|at| std::cmp::Reverse(worker.counts[*at as usize])));
                prop_assert!((0..).zip(&worker.order).all(|(position, at)| worker.positions[*at as usize] == position));
                prop_assert_eq!(worker.index.len(), worker.order.len());
            }
        }
    }
}
