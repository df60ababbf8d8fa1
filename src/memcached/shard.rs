//! One of the parts that the items are distributed over, by the hash of their keys.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::classes::{ClassId, Classes, NONE};
use super::clock::{NEVER, Tick};
use super::item::{END, Entry, Mark, Slot};
use super::slots::{Piece, Slots};
use super::table::Table;
use crate::sums::Count as _;

/// The items of one class in one shard, in the order they were used in.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// The most recently used one.
    pub newest: Slot,
    /// The least recently used one.
    pub oldest: Slot,
    /// How many there are.
    pub count: usize,
    /// The bytes they count together.
    pub requested: u64,
    /// None of them expires before this tick; `Tick::MAX` if none expires.
    pub earliest: Tick,
}

impl Default for Line {
    fn default() -> Line {
        Line { newest: END, oldest: END, count: 0, requested: 0, earliest: Tick::MAX }
    }
}

/// Items, found by key, and in order of use by class.
#[derive(Debug)]
pub struct Shard {
    index: usize,
    classes: Arc<Classes>,
    hasher: RandomState,
    slots: Slots,
    table: Table,
    lines: Vec<Line>,
    count: usize,
}

impl Shard {
    /// Shard number `index`, without items. `hasher` computes the hashes of keys.
    pub fn new(index: usize, classes: Arc<Classes>, hasher: RandomState) -> Shard {
        let lines = vec![Line::default(); classes.count()];
        Shard { index, classes, hasher, slots: Slots::default(), table: Table::default(), lines, count: 0 }
    }

    /// The item with this key.
    pub fn find(&self, hash: u32, key: &[u8]) -> Option<Slot> {
        self.table.find(&self.slots, hash, key)
    }

    /// The item in `slot`, which [`Shard::find`] or a [`Line`] has named.
    pub fn get(&self, slot: Slot) -> &Entry {
        self.slots.get(slot)
    }

    /// As [`Shard::get`]; its links, its class and the length of its value must stay as they are.
    pub fn get_mut(&mut self, slot: Slot) -> &mut Entry {
        self.slots.get_mut(slot)
    }

    /// The items in the next `most` slots from `from` on; `None` behind the last one.
    pub fn scan(&self, from: usize, most: usize) -> Option<impl Iterator<Item = &Entry>> {
        self.slots.scan(from, most)
    }

    /// The items of a class.
    #[expect(clippy::indexing_slicing, reason = "there is a line for each class")]
    pub fn line(&self, class: ClassId) -> &Line {
        &self.lines[usize::from(class)]
    }

    #[expect(clippy::indexing_slicing, reason = "there is a line for each class")]
    fn line_mut(&mut self, class: ClassId) -> &mut Line {
        &mut self.lines[usize::from(class)]
    }

    /// The bytes that an item counts.
    pub fn total(&self, entry: &Entry) -> u64 {
        self.classes.total(entry.body.key().len(), entry.flags, entry.body.value().len())
    }

    /// Adds an item, whose key has this hash, as the most recently used one; `None` if there are as many as can be
    /// numbered.
    pub fn link(&mut self, entry: Entry, hash: u32) -> Option<Slot> {
        let (class, expires, total) = (entry.class(), entry.expires, self.total(&entry));
        let slot = self.slots.insert(entry)?;
        self.count.up();
        self.table.add(&mut self.slots, slot, hash, self.count, |key| hash_of(&self.hasher, key));
        self.push(class, slot);
        let line = self.line_mut(class);
        line.count.up();
        line.requested = line.requested.saturating_add(total);
        self.note_expiry(class, expires);
        Some(slot)
    }

    /// Takes an item out. Its chunk is the caller's to give back.
    pub fn unlink(&mut self, slot: Slot) -> Entry {
        let entry = self.slots.get(slot);
        let (total, hash) = (self.total(entry), hash_of(&self.hasher, entry.body.key()));
        self.table.remove(&mut self.slots, slot, hash);
        self.detach(slot);
        let entry = self.slots.remove(slot);
        self.count.down();
        let line = self.line_mut(entry.class());
        line.count.down();
        line.requested = line.requested.saturating_sub(total);
        entry
    }

    /// The item was asked for: it becomes the most recently used one.
    pub fn bump(&mut self, slot: Slot, used: u64, tick: Tick) {
        self.slots.get_mut(slot).mark(Mark::Fetched, true);
        self.promote(slot, used, tick);
    }

    /// The item becomes the most recently used one, although nobody has asked for its value.
    pub fn promote(&mut self, slot: Slot, used: u64, tick: Tick) {
        let entry = self.slots.get_mut(slot);
        entry.set_used(used);
        entry.accessed = tick;
        let class = entry.class();
        if entry.newer == END {
            return self.publish(class);
        }
        self.detach(slot);
        self.push(class, slot);
    }

    /// An item of the class has got this expiry.
    pub fn note_expiry(&mut self, class: ClassId, expires: Tick) {
        if expires == NEVER {
            return;
        }
        let line = self.line_mut(class);
        if expires < line.earliest {
            line.earliest = expires;
            self.classes.get(class).earliest.fetch_min(expires, Relaxed);
        }
    }

    /// An expired item among the `most` least recently used ones of a class. If there is none, no item is looked at
    /// again before the next one can have expired, or before the next second.
    pub fn find_expired(&mut self, class: ClassId, tick: Tick, most: usize) -> Option<Slot> {
        let line = *self.line(class);
        if line.earliest >= tick {
            return None;
        }
        let (mut slot, mut earliest) = (line.oldest, Tick::MAX);
        for _ in 0..most {
            if slot == END {
                break;
            }
            let entry = self.slots.get(slot);
            // Strictly earlier, as in memcached.
            if entry.expires != NEVER && entry.expires < tick {
                return Some(slot);
            }
            if entry.expires != NEVER {
                earliest = earliest.min(entry.expires);
            }
            slot = entry.newer;
        }
        self.line_mut(class).earliest = if slot == END { earliest } else { tick };
        None
    }

    /// Takes all items out, and gives their chunks back. They are the caller's to throw away.
    pub fn clear(&mut self) -> Vec<Piece> {
        for ((_, class), line) in self.classes.iter().zip(&mut self.lines) {
            let line = std::mem::take(line);
            class.free.fetch_add(line.count as u64, Relaxed);
            class.set_oldest(self.index, NONE);
        }
        self.count = 0;
        self.table = Table::default();
        std::mem::take(&mut self.slots).into_pieces()
    }

    /// Puts an entry at the recent end of its line.
    fn push(&mut self, class: ClassId, slot: Slot) {
        let line = self.line_mut(class);
        let before = std::mem::replace(&mut line.newest, slot);
        if before == END {
            line.oldest = slot;
        } else {
            self.slots.get_mut(before).newer = slot;
        }
        let entry = self.slots.get_mut(slot);
        (entry.older, entry.newer) = (before, END);
        if before == END {
            self.publish(class);
        }
    }

    /// Takes an entry out of its line.
    fn detach(&mut self, slot: Slot) {
        let entry = self.slots.get(slot);
        let (class, newer, older) = (entry.class(), entry.newer, entry.older);
        if newer == END {
            self.line_mut(class).newest = older;
        } else {
            self.slots.get_mut(newer).older = older;
        }
        if older == END {
            self.line_mut(class).oldest = newer;
            self.publish(class);
        } else {
            self.slots.get_mut(older).newer = newer;
        }
    }

    /// Lets the other shards know how old the oldest item of a class is.
    fn publish(&self, class: ClassId) {
        let oldest = self.line(class).oldest;
        let used = if oldest == END { NONE } else { self.slots.get(oldest).used() };
        self.classes.get(class).set_oldest(self.index, used);
    }
}

/// The part of a key's hash that finds it in its shard.
fn hash_of(hasher: &RandomState, key: &[u8]) -> u32 {
    // The other half finds the shard.
    hasher.hash_one(key) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memcached::item::Body;

    fn shard() -> Shard {
        Shard::new(3, Arc::new(Classes::new(48, 1.25, 0, 0, true)), RandomState::new())
    }

    fn put(shard: &mut Shard, key: &[u8], used: u64, expires: Tick) {
        let body = Body::new(key, [b"v", b""]);
        let hash = hash_of(&shard.hasher, key);
        let mut entry = Entry::new(body, 0, hash, 0, expires);
        entry.set_used(used);
        assert!(shard.link(entry, hash).is_some());
    }

    fn find(shard: &Shard, key: &[u8]) -> Option<Slot> {
        shard.find(hash_of(&shard.hasher, key), key)
    }

    fn order(shard: &Shard) -> Vec<u8> {
        let mut keys = Vec::new();
        let mut slot = shard.line(0).oldest;
        while slot != END {
            keys.push(shard.get(slot).body.key()[0]);
            slot = shard.get(slot).newer;
        }
        let mut back = Vec::new();
        let mut slot = shard.line(0).newest;
        while slot != END {
            back.insert(0, shard.get(slot).body.key()[0]);
            slot = shard.get(slot).older;
        }
        assert_eq!(keys, back);
        keys
    }

    fn oldest(shard: &Shard) -> u64 {
        shard.classes.get(0).oldest[3].load(Relaxed)
    }

    #[test]
    fn items_are_in_the_order_they_were_used() {
        let mut shard = shard();
        assert_eq!(oldest(&shard), NONE);
        for (used, key) in (1..).zip([b"a", b"b", b"c", b"d"]) {
            put(&mut shard, key, used, NEVER);
        }
        assert_eq!((order(&shard), oldest(&shard)), (b"abcd".to_vec(), 1));
        let slot = find(&shard, b"a").unwrap();
        shard.bump(slot, 5, 9);
        assert_eq!((order(&shard), oldest(&shard)), (b"bcda".to_vec(), 2));
        let slot = find(&shard, b"c").unwrap();
        shard.bump(slot, 6, 9);
        assert_eq!((order(&shard), oldest(&shard)), (b"bdac".to_vec(), 2));
        for key in [b"b", b"c", b"d"] {
            let slot = find(&shard, key).unwrap();
            assert_eq!(shard.unlink(slot).body.key(), key);
        }
        assert_eq!((order(&shard), oldest(&shard)), (b"a".to_vec(), 5));
        let slot = find(&shard, b"a").unwrap();
        shard.bump(slot, 7, 9);
        assert_eq!(oldest(&shard), 7);
        assert_eq!((shard.line(0).count, shard.line(0).requested), (1, 48 + 8 + 2 + 6 + 3));
        assert_eq!(shard.clear().len(), 1);
        assert_eq!((oldest(&shard), shard.line(0).count), (NONE, 0));
        assert_eq!(shard.classes.get(0).free.load(Relaxed), 1);
        assert!(find(&shard, b"a").is_none());
    }

    #[test]
    fn expired_items_are_looked_for_only_when_there_can_be_some() {
        let mut shard = shard();
        put(&mut shard, b"a", 1, NEVER);
        put(&mut shard, b"b", 2, 10);
        put(&mut shard, b"c", 3, 5);
        assert_eq!(shard.classes.get(0).earliest.load(Relaxed), 5);
        assert_eq!(shard.find_expired(0, 5, 50), None);
        let slot = shard.find_expired(0, 6, 50).unwrap();
        assert_eq!(shard.unlink(slot).body.key(), b"c");
        assert_eq!(shard.find_expired(0, 6, 50), None);
        assert_eq!(shard.line(0).earliest, 10);
        assert_eq!(shard.find_expired(0, 11, 1), None);
        assert_eq!(shard.line(0).earliest, 11);
        assert!(shard.find_expired(0, 12, 2).is_some());
    }
}
