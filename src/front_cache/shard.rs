//! A part of the front cache: a table with the order in which its entries were used.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use slab::Slab;

use super::Micros;
use crate::sums::{Count as _, sum};

/// No entry.
const NONE: usize = usize::MAX;

/// A value as servers send it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// The client's flags.
    pub flags: u32,
    /// The bytes, without line end.
    pub data: Arc<Vec<u8>>,
}

impl Value {
    /// Its length with its line end, which is how statistics count it (06 §6.3).
    pub fn length(&self) -> u64 {
        sum([self.data.len(), 2]) as u64
    }
}

#[derive(Debug)]
struct Entry {
    hash: u64,
    key: Box<[u8]>,
    value: Value,
    /// It is served up to and at this time.
    until: Micros,
    /// The entry that was used next, and the one that was used before.
    newer: usize,
    older: usize,
}

/// What became of a look-up.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    Live(Value),
    Expired,
    Nothing,
}

/// What became of an entry to be added.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Added {
    /// It is there now; so many others had to go.
    New { evicted: u64 },
    /// There was one already, which stays.
    Kept,
    /// There is no room at all.
    Refused,
}

#[derive(Debug)]
pub(super) struct Shard {
    /// By the hash of the key. Two keys with one hash cannot be here at the same time.
    index: HashMap<u64, usize, RandomState>,
    entries: Slab<Entry>,
    newest: usize,
    oldest: usize,
    most: usize,
}

impl Default for Shard {
    fn default() -> Shard {
        Shard { index: HashMap::default(), entries: Slab::new(), newest: NONE, oldest: NONE, most: 0 }
    }
}

impl Shard {
    /// Has room for `most` entries from now on, and forgets those it has.
    pub(super) fn restart(&mut self, most: usize) {
        *self = Shard { most, ..Shard::default() };
    }

    /// Forgets all entries.
    pub(super) fn clear(&mut self) -> usize {
        let count = self.entries.len();
        self.restart(self.most);
        count
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn has(&self, hash: u64, key: &[u8], now: Micros) -> bool {
        let entry = self.index.get(&hash).and_then(|at| self.entries.get(*at));
        entry.is_some_and(|entry| *entry.key == *key && entry.until >= now)
    }

    pub(super) fn get(&mut self, hash: u64, key: &[u8], now: Micros) -> Found {
        let Some(&at) = self.index.get(&hash) else { return Found::Nothing };
        let Some(entry) = self.entries.get(at).filter(|entry| *entry.key == *key) else { return Found::Nothing };
        if entry.until < now {
            self.remove(hash);
            return Found::Expired;
        }
        let value = entry.value.clone();
        self.touch(at);
        Found::Live(value)
    }

    pub(super) fn add(&mut self, hash: u64, key: &[u8], value: Value, until: Micros, now: Micros) -> Added {
        if let Some(&at) = self.index.get(&hash) {
            if self.entries.get(at).is_some_and(|entry| entry.until >= now) {
                self.touch(at);
                return Added::Kept;
            }
            self.remove(hash);
        }
        if self.most == 0 {
            return Added::Refused;
        }
        let mut evicted = 0u64;
        while self.entries.len() >= self.most
            && let Some(oldest) = self.entries.get(self.oldest).map(|entry| entry.hash)
        {
            self.remove(oldest);
            evicted.up();
        }
        let at = self.entries.insert(Entry { hash, key: key.into(), value, until, newer: NONE, older: NONE });
        self.index.insert(hash, at);
        self.link(at);
        Added::New { evicted }
    }

    /// Forgets the entry of this hash; tells whether there was one.
    pub(super) fn remove(&mut self, hash: u64) -> bool {
        let Some(at) = self.index.remove(&hash) else { return false };
        self.unlink(at);
        self.entries.try_remove(at).is_some()
    }

    /// Notes that the entry was used.
    fn touch(&mut self, at: usize) {
        if self.newest != at {
            self.unlink(at);
            self.link(at);
        }
    }

    fn link(&mut self, at: usize) {
        let newest = std::mem::replace(&mut self.newest, at);
        if let Some(entry) = self.entries.get_mut(at) {
            (entry.newer, entry.older) = (NONE, newest);
        }
        match self.entries.get_mut(newest) {
            Some(entry) => entry.newer = at,
            None => self.oldest = at,
        }
    }

    fn unlink(&mut self, at: usize) {
        let Some(entry) = self.entries.get(at) else { return };
        let (newer, older) = (entry.newer, entry.older);
        match self.entries.get_mut(newer) {
            Some(entry) => entry.older = older,
            None => self.newest = older,
        }
        match self.entries.get_mut(older) {
            Some(entry) => entry.newer = newer,
            None => self.oldest = newer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value(text: &str) -> Value {
        Value { flags: 0, data: Arc::new(text.as_bytes().to_vec()) }
    }

    fn shard(most: usize) -> Shard {
        Shard { most, ..Shard::default() }
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let mut shard = shard(2);
        assert_eq!(shard.add(1, b"a", value("a"), 9, 0), Added::New { evicted: 0 });
        assert_eq!(shard.add(2, b"b", value("b"), 9, 0), Added::New { evicted: 0 });
        assert_eq!(shard.get(1, b"a", 0), Found::Live(value("a")));
        assert_eq!(shard.add(3, b"c", value("c"), 9, 0), Added::New { evicted: 1 });
        assert_eq!(shard.get(2, b"b", 0), Found::Nothing);
        // Seen again: it stays as it is, but counts as used.
        assert_eq!(shard.add(1, b"a", value("new"), 99, 0), Added::Kept);
        assert_eq!(shard.add(4, b"d", value("d"), 9, 0), Added::New { evicted: 1 });
        assert_eq!(shard.get(1, b"a", 9), Found::Live(value("a")));
        assert_eq!(shard.get(1, b"a", 10), Found::Expired);
        assert_eq!(shard.get(1, b"a", 10), Found::Nothing);
        assert_eq!((shard.len(), shard.remove(4), shard.remove(4), shard.len()), (1, true, false, 0));
    }

    #[test]
    fn entries_that_nobody_asks_for_make_room() {
        let mut shard = shard(1);
        for hash in 0..100 {
            assert_eq!(shard.add(hash, b"k", value(""), 9, 0), Added::New { evicted: u64::from(hash > 0) });
        }
        assert_eq!(shard.add(99, b"k", value("later"), 20, 10), Added::New { evicted: 0 });
    }

    #[test]
    fn two_keys_of_one_hash() {
        let mut shard = shard(2);
        shard.add(1, b"a", value("a"), 9, 0);
        assert_eq!(shard.get(1, b"b", 0), Found::Nothing);
        assert_eq!(shard.add(1, b"b", value("b"), 9, 0), Added::Kept);
        assert_eq!(shard.get(1, b"a", 0), Found::Live(value("a")));
    }

    #[test]
    fn without_room() {
        assert_eq!(Shard::default().add(1, b"a", value("a"), 9, 0), Added::Refused);
    }

    proptest! {
        /// The order of use as a plain list has it.
        #[test]
        fn like_a_list(steps in prop::collection::vec((0..3u8, 0..6u64), 0..60)) {
            let (mut shard, mut list) = (shard(3), Vec::<u64>::new());
            for (step, hash) in steps {
                let known = list.iter().position(|other| *other == hash);
                let was_known = known.map(|at| list.remove(at)).is_some();
                match step {
                    0 => {
                        let found = shard.get(hash, b"k", 0);
                        prop_assert_eq!(found != Found::Nothing, was_known);
                        list.extend(was_known.then_some(hash));
                    }
                    1 => {
                        shard.add(hash, b"k", value(""), 9, 0);
                        if list.len() == 3 {
                            list.remove(0);
                        }
                        list.push(hash);
                    }
                    _ => prop_assert_eq!(shard.remove(hash), was_known),
                }
                let mut order = Vec::new();
                let mut at = shard.oldest;
                while let Some(entry) = shard.entries.get(at) {
                    order.push(entry.hash);
                    at = entry.newer;
                }
                prop_assert_eq!(&order, &list);
                prop_assert_eq!(shard.index.len(), list.len());
            }
        }
    }
}
