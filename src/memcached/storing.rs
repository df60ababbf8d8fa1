//! Storing items: `set`, `add`, `replace`, `append`, `prepend`, `cas`.

use super::access::Access;
use super::classes::ClassId;
use super::clock::Tick;
use super::counters::{ClassCount, Count};
use super::item::{Body, Entry, Slot};
use super::prefix::Deed;
use super::shard::Shard;
use crate::buffer::Value;
use crate::protocol::StoreVerb;

/// What is to be stored.
#[derive(Clone, Copy, Debug)]
pub struct NewItem<'a> {
    /// On what condition.
    pub verb: StoreVerb,
    /// The key.
    pub key: &'a [u8],
    /// The client's flags.
    pub flags: u32,
    /// When it expires.
    pub expires: Tick,
    /// `Some`: only if the item that is there has this CAS id.
    pub cas: Option<u64>,
    /// The value, or what is added to it.
    pub value: Value<'a>,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// Done; this is the new CAS id.
    Yes(u64),
    /// The verb's condition was not met.
    No,
    /// The item has another CAS id.
    Exists,
    /// There is no item to compare CAS ids with.
    NotFound,
    /// No slab class is large enough.
    TooLarge,
    /// There is no memory for it.
    OutOfMemory,
}

impl Access<'_> {
    /// Stores an item.
    pub fn store(&self, new: &NewItem<'_>) -> Stored {
        self.record(new.key, Deed::Set);
        let classes = &self.memcached.classes;
        let Some(class) = classes.of(classes.total(new.key.len(), new.flags, new.value.len())) else {
            self.stale(new);
            return Stored::TooLarge;
        };
        match new.verb {
            StoreVerb::Append | StoreVerb::Prepend => {
                self.counters.add_class(class, ClassCount::CmdSet);
                self.extend(new)
            }
            StoreVerb::Set | StoreVerb::Add | StoreVerb::Replace => self.store_whole(new, class),
        }
    }

    /// A value was refused for its size: an unconditional `set` must not leave an older value behind (`getset.t`).
    pub fn stale(&self, new: &NewItem<'_>) {
        if new.verb == StoreVerb::Set && new.cas.is_none() {
            self.discard(new.key);
        }
    }

    fn store_whole(&self, new: &NewItem<'_>, class: ClassId) -> Stored {
        // As in memcached, room is made before the condition is looked at.
        if self.memcached.allocate(class, self.tick).is_err() {
            self.stale(new);
            return Stored::OutOfMemory;
        }
        self.counters.add_class(class, ClassCount::CmdSet);
        let body = Body::shared(new.key, new.value);
        let (index, hash) = self.memcached.place(new.key);
        let mut shard = self.memcached.shard(index);
        let found = self.find_live(&mut shard, hash, new.key);
        if let Some(refusal) = self.refusal(new, &mut shard, found.live) {
            self.give(class);
            drop(shard);
            return refusal;
        }
        let old = found.live.map(|slot| self.remove(&mut shard, slot));
        let entry = Entry::new(body, class, hash, new.flags, new.expires);
        let stored = self.link(&mut shard, entry, hash);
        // What was replaced is freed when nobody waits for the lock.
        drop(shard);
        drop((old, found.expired));
        stored
    }

    /// Whether the condition of a whole item is not met.
    fn refusal(&self, new: &NewItem<'_>, shard: &mut Shard, slot: Option<Slot>) -> Option<Stored> {
        if let Some(cas) = new.cas {
            let Some(slot) = slot else {
                self.counters.add(Count::CasMisses, 1);
                return Some(Stored::NotFound);
            };
            let entry = shard.get(slot);
            // Without CAS ids (`-C`) all are the same.
            let is_same = entry.cas == cas || !self.memcached.settings.cas;
            let what = if is_same { ClassCount::CasHits } else { ClassCount::CasBadval };
            self.counters.add_class(entry.class(), what);
            return (!is_same).then_some(Stored::Exists);
        }
        match (new.verb, slot) {
            (StoreVerb::Add, Some(slot)) => {
                shard.bump(slot, self.memcached.next_use(), self.tick);
                Some(Stored::No)
            }
            (StoreVerb::Replace, None) => Some(Stored::No),
            _ => None,
        }
    }

    /// `append` and `prepend`: flags and expiry stay as they are.
    fn extend(&self, new: &NewItem<'_>) -> Stored {
        let (index, hash) = self.memcached.place(new.key);
        // The chunk that was taken for the result, and whose size may have changed meanwhile.
        let mut taken: Option<ClassId> = None;
        let stored = loop {
            let mut shard = self.memcached.shard(index);
            let found = self.find_live(&mut shard, hash, new.key);
            let Some(slot) = found.live else {
                drop(shard);
                break Stored::No;
            };
            let old = shard.get(slot);
            if new.cas.is_some_and(|cas| cas != old.cas && self.memcached.settings.cas) {
                break Stored::Exists;
            }
            let (flags, expires, value) = (old.flags, old.expires, old.body.value());
            let total = self.memcached.classes.total(new.key.len(), flags, value.len() + new.value.len());
            let Some(class) = self.memcached.classes.of(total) else { break Stored::No };
            if taken != Some(class) {
                drop(shard);
                if let Some(other) = taken.take() {
                    self.give(other);
                }
                if self.memcached.allocate(class, self.tick).is_err() {
                    break Stored::OutOfMemory;
                }
                taken = Some(class);
                continue;
            }
            let parts = if new.verb == StoreVerb::Append { [value, &new.value] } else { [&new.value, value] };
            let entry = Entry::new(Body::new(new.key, parts), class, hash, flags, expires);
            let old = self.remove(&mut shard, slot);
            taken = None;
            let stored = self.link(&mut shard, entry, hash);
            drop(shard);
            drop(old);
            break stored;
        };
        if let Some(class) = taken {
            self.give(class);
        }
        stored
    }

    /// Makes a new item, whose chunk has been taken, the most recently used one.
    pub(super) fn link(&self, shard: &mut Shard, mut entry: Entry, hash: u32) -> Stored {
        let (class, cas) = (entry.class(), self.memcached.next_cas());
        entry.set_used(self.memcached.next_use());
        (entry.cas, entry.accessed) = (cas, self.tick);
        if !shard.link(entry, hash) {
            self.give(class);
            return Stored::OutOfMemory;
        }
        self.counters.add(Count::TotalItems, 1);
        Stored::Yes(cas)
    }

    /// The item with this key, if it has not expired. If it has, it is taken out.
    pub(super) fn find_live(&self, shard: &mut Shard, hash: u32, key: &[u8]) -> Found {
        match shard.find(hash, key) {
            Some(slot) if shard.get(slot).is_expired(self.tick) => {
                Found { live: None, expired: Some(self.remove(shard, slot)) }
            }
            live => Found { live, expired: None },
        }
    }
}

/// What [`Access::find_live`] found.
#[derive(Debug)]
pub(super) struct Found {
    /// The place of the item.
    pub live: Option<Slot>,
    /// An expired item, to be freed after the lock is released.
    pub expired: Option<Entry>,
}
