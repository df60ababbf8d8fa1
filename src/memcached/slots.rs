//! The entries of a shard, in pieces, so that adding one never moves the others.

use super::item::{END, Entry, Slot};
use crate::sums::Count as _;

/// Entries in a piece.
const PIECE: usize = 256;

/// Some entries that were thrown away together.
pub type Piece = Box<[Entry]>;

/// Entries by their slot.
#[derive(Debug)]
pub struct Slots {
    pieces: Vec<Piece>,
    /// First vacant slot of those that were used before.
    vacant: Slot,
    /// How many slots were ever used.
    used: usize,
}

impl Default for Slots {
    fn default() -> Slots {
        Slots { pieces: Vec::new(), vacant: END, used: 0 }
    }
}

impl Slots {
    /// Stores an entry. `None` if there are as many as can be numbered.
    pub fn insert(&mut self, entry: Entry) -> Option<Slot> {
        if self.vacant != END {
            let slot = self.vacant;
            let place = self.get_mut(slot);
            let next = place.chain;
            *place = entry;
            self.vacant = next;
            return Some(slot);
        }
        let slot = Slot::try_from(self.used).ok().filter(|slot| *slot != END)?;
        if self.pieces.get(self.used / PIECE).is_none() {
            self.pieces.push((0..PIECE).map(|_| Entry::vacant()).collect());
        }
        self.used.up();
        *self.get_mut(slot) = entry;
        Some(slot)
    }

    /// Takes an entry out.
    pub fn remove(&mut self, slot: Slot) -> Entry {
        let mut vacant = Entry::vacant();
        vacant.chain = self.vacant;
        self.vacant = slot;
        std::mem::replace(self.get_mut(slot), vacant)
    }

    /// The entry in `slot`, which must be in use.
    #[expect(clippy::indexing_slicing, reason = "only slots with a place are given out, and places stay")]
    pub fn get(&self, slot: Slot) -> &Entry {
        &self.pieces[slot as usize / PIECE][slot as usize % PIECE]
    }

    /// As [`Slots::get`].
    #[expect(clippy::indexing_slicing, reason = "only slots with a place are given out, and places stay")]
    pub fn get_mut(&mut self, slot: Slot) -> &mut Entry {
        &mut self.pieces[slot as usize / PIECE][slot as usize % PIECE]
    }

    /// The entries in the next `most` slots from `from` on that are in use; `None` behind the last one.
    pub fn scan(&self, from: usize, most: usize) -> Option<impl Iterator<Item = &Entry>> {
        let slots = (from < self.used).then(|| from..self.used.min(from.saturating_add(most)))?;
        let entries = slots.filter_map(|slot| self.pieces.get(slot / PIECE)?.get(slot % PIECE));
        // No item has an empty key.
        Some(entries.filter(|entry| !entry.body.key().is_empty()))
    }

    /// All pieces, to be thrown away.
    pub fn into_pieces(self) -> Vec<Piece> {
        self.pieces
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memcached::item::Body;

    #[test]
    fn slots_are_reused() {
        let mut slots = Slots::default();
        let numbered = |number| Entry::new(Body::default(), 0, 0, number, 0);
        let all: Vec<Slot> = (0..600).map(|number| slots.insert(numbered(number)).unwrap()).collect();
        assert_eq!(slots.get(all[300]).flags, 300);
        assert_eq!(slots.remove(all[300]).flags, 300);
        assert_eq!(slots.remove(all[5]).flags, 5);
        assert_eq!(slots.insert(numbered(1000)), Some(all[5]));
        assert_eq!(slots.insert(numbered(1001)), Some(all[300]));
        assert_eq!(slots.insert(numbered(1002)), Some(600));
        assert_eq!(slots.get(all[300]).flags, 1001);
        assert!(slots.scan(603, 1).is_none());
        assert_eq!(slots.into_pieces().len(), 3);
    }

    #[test]
    fn a_scan_finds_what_is_in_use() {
        let mut slots = Slots::default();
        let all: Vec<Slot> = (0..600u32)
            .map(|number| slots.insert(Entry::new(Body::new(b"k", [b"", b""]), 0, 0, number, 0)).unwrap())
            .collect();
        for slot in [0, 255, 256, 599] {
            slots.remove(all[slot]);
        }
        let mut found = Vec::new();
        let mut from = 0;
        while let Some(entries) = slots.scan(from, 100) {
            found.extend(entries.map(|entry| entry.flags));
            from += 100;
        }
        let expected: Vec<u32> = (0..600).filter(|number| ![0, 255, 256, 599].contains(number)).collect();
        assert_eq!((found, from), (expected, 600));
    }
}
