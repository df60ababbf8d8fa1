//! Which keys of a request are named more than once.

use std::hash::BuildHasher;

use crate::sums::{Count as _, sum};
use foldhash::fast::RandomState;

/// Finds the repeated keys of one request. The hash is keyed at random: clients cannot know which keys collide.
#[derive(Debug, Default)]
pub struct Duplicates {
    hasher: RandomState,
    /// Open addressing; index + 1 of a key, 0 is free.
    slots: Vec<u32>,
    count: usize,
    /// The slots before they were too few.
    before: Vec<u32>,
    /// Up to here, comparing all is cheaper.
    few: Vec<u32>,
}

/// How many keys are simply compared with each other.
const FEW: usize = 8;
/// How many slots there are when they are not any more: a power of two, as always.
const FIRST: usize = 32;

impl Duplicates {
    /// Forgets all keys, and keeps the memory.
    pub(in crate::proxy) fn clear(&mut self) {
        self.few.clear();
        self.slots.clear();
        self.count = 0;
    }

    /// The index of the first occurrence of `key`: an earlier one, or `index`. `text` gives the key of an index.
    pub(in crate::proxy) fn first<'a>(&mut self, key: &[u8], index: u32, text: impl Fn(u32) -> &'a [u8]) -> u32 {
        if self.slots.is_empty() {
            if let Some(found) = self.few.iter().find(|other| text(**other) == key) {
                return *found;
            }
            if self.few.len() < FEW {
                self.few.push(index);
                return index;
            }
            self.grow(FIRST, &text);
        } else if self.count >= self.slots.len() / 2 {
            self.grow(self.slots.len().saturating_mul(4), &text);
        }
        self.insert(key, index, &text)
    }

    fn insert<'a>(&mut self, key: &[u8], index: u32, text: &impl Fn(u32) -> &'a [u8]) -> u32 {
        let mask = self.slots.len().saturating_sub(1);
        let mut at = self.hasher.hash_one(key) as usize & mask;
        // At most half of them are taken, so that one is free.
        while let Some(slot) = self.slots.get_mut(at) {
            match slot.checked_sub(1) {
                None => {
                    *slot = index.saturating_add(1);
                    self.count.up();
                    return index;
                }
                Some(other) if text(other) == key => return other,
                Some(_) => at = sum([at, 1]) & mask,
            }
        }
        index
    }

    fn grow<'a>(&mut self, size: usize, text: &impl Fn(u32) -> &'a [u8]) {
        let mut before = std::mem::take(&mut self.before);
        std::mem::swap(&mut before, &mut self.slots);
        self.slots.clear();
        self.slots.resize(size.next_power_of_two(), 0);
        self.count = 0;
        if before.is_empty() {
            before.extend(self.few.iter().map(|index| index.saturating_add(1)));
        }
        for index in before.drain(..).filter_map(|slot| slot.checked_sub(1)) {
            self.insert(text(index), index, text);
        }
        self.before = before;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicates_are_found_among_few_and_many() {
        let keys: Vec<Vec<u8>> = (0..1000).map(|number| format!("key{}", number % 700).into_bytes()).collect();
        let mut duplicates = Duplicates::default();
        for _ in 0..2 {
            duplicates.clear();
            for (index, key) in keys.iter().enumerate() {
                let first = duplicates.first(key, index as u32, |other| &keys[other as usize]);
                assert_eq!(first as usize, index % 700);
            }
        }
    }
}
