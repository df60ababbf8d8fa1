//! Hash buckets that grow one at a time (linear hashing), so that no request ever waits for a large table to be
//! moved.

use super::item::{END, Slot};
use super::slots::Slots;

/// Buckets of an empty table; a power of two.
const FIRST: usize = 16;

/// All ones below that.
const MASK: u32 = 15;

/// First slot of each bucket's chain; the chains are in the entries.
#[derive(Debug)]
pub struct Table {
    buckets: Vec<Slot>,
    /// The number of buckets at the beginning of this round of splitting, less one: all ones.
    mask: u32,
}

impl Default for Table {
    fn default() -> Table {
        Table { buckets: vec![END; FIRST], mask: MASK }
    }
}

impl Table {
    /// The bucket for `hash`.
    fn bucket(&self, hash: u32) -> usize {
        let wide = (hash & (self.mask << 1 | 1)) as usize;
        if wide < self.buckets.len() { wide } else { (hash & self.mask) as usize }
    }

    #[expect(clippy::indexing_slicing, reason = "there is a bucket for each number that `bucket` gives")]
    fn first(&self, bucket: usize) -> &Slot {
        &self.buckets[bucket]
    }

    #[expect(clippy::indexing_slicing, reason = "as above")]
    fn first_mut(&mut self, bucket: usize) -> &mut Slot {
        &mut self.buckets[bucket]
    }

    /// The entry with this key.
    pub fn find(&self, slots: &Slots, hash: u32, key: &[u8]) -> Option<Slot> {
        let mut slot = *self.first(self.bucket(hash));
        while slot != END {
            let entry = slots.get(slot);
            if entry.may_have(hash) && entry.body.key() == key {
                return Some(slot);
            }
            slot = entry.chain;
        }
        None
    }

    /// Adds an entry; `count` is how many there are with it, `hash_of` computes the hash of any of them.
    pub fn add(&mut self, slots: &mut Slots, slot: Slot, hash: u32, count: usize, hash_of: impl Fn(&[u8]) -> u32) {
        if count > self.buckets.len() {
            self.split(slots, hash_of);
        }
        let bucket = self.bucket(hash);
        slots.get_mut(slot).chain = std::mem::replace(self.first_mut(bucket), slot);
    }

    /// Removes an entry.
    pub fn remove(&mut self, slots: &mut Slots, slot: Slot, hash: u32) {
        let next = slots.get(slot).chain;
        let bucket = self.bucket(hash);
        let first = self.first_mut(bucket);
        if *first == slot {
            *first = next;
            return;
        }
        let mut before = *first;
        while before != END {
            let entry = slots.get_mut(before);
            if entry.chain == slot {
                entry.chain = next;
                return;
            }
            before = entry.chain;
        }
        debug_assert!(false, "slot {slot} is not in its bucket");
    }

    /// Adds one bucket, and moves what belongs there from the one bucket where it was.
    fn split(&mut self, slots: &mut Slots, hash_of: impl Fn(&[u8]) -> u32) {
        let Ok(new) = u32::try_from(self.buckets.len()) else { return };
        let old = (new & self.mask) as usize;
        let wide = self.mask << 1 | 1;
        let mut rest = std::mem::replace(self.first_mut(old), END);
        self.buckets.push(END);
        while rest != END {
            let slot = rest;
            let entry = slots.get_mut(slot);
            rest = entry.chain;
            let bucket = (hash_of(entry.body.key()) & wide) as usize;
            entry.chain = std::mem::replace(self.first_mut(bucket), slot);
        }
        if new == wide {
            self.mask = wide;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memcached::item::{Body, Entry};

    #[test]
    fn everything_is_found_while_the_table_grows() {
        let (mut table, mut slots) = (Table::default(), Slots::default());
        let key = |number: u32| number.to_string().into_bytes();
        let hash = |key: &[u8]| key.iter().fold(7u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(16_777_619));
        for number in 0..5000 {
            let body = Body::new(&key(number), [b"", b""]);
            let code = hash(&key(number));
            let slot = slots.insert(Entry::new(body, 0, code, 0, 0)).unwrap();
            table.add(&mut slots, slot, code, number as usize + 1, hash);
            let seen = key(number / 2);
            assert!(table.find(&slots, hash(&seen), &seen).is_some(), "{seen:?} of {number}");
        }
        assert_eq!(table.buckets.len(), 5000);
        assert_eq!(table.mask, 4095);
        for number in (0..5000).step_by(2) {
            let key = key(number);
            let slot = table.find(&slots, hash(&key), &key).unwrap();
            table.remove(&mut slots, slot, hash(&key));
            slots.remove(slot);
        }
        for number in 0..5000 {
            let key = key(number);
            let found = table.find(&slots, hash(&key), &key);
            assert_eq!(found.is_some(), number % 2 == 1, "{number}");
        }
    }
}
