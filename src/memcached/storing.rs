//! Storing items: `set`, `add`, `replace`, `append`, `prepend`, `cas`.

use super::access::Access;
use super::classes::ClassId;
use super::clock::Tick;
use super::counters::{ClassCount, Count};
use super::item::{Body, Entry, Mark, Slot};
use super::prefix::Deed;
use super::shard::Shard;
use crate::buffer::Value;
use crate::protocol::StoreVerb;
use crate::sums::sum;

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
    /// What only meta commands ask for.
    pub terms: Terms,
}

/// Terms on which only meta commands store something.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terms {
    /// An id below that of the item will do, but then what is stored is stale, and keeps the item's expiry (`I`).
    pub accepts_stale: bool,
    /// The CAS id that it is to get (`E`).
    pub new_cas: Option<u64>,
    /// Where there is nothing to add a value to, it is stored with this expiry (`N`).
    pub vivify: Option<Tick>,
    /// The key was written in base64 (`b`).
    pub is_encoded: bool,
}

/// What is there now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its CAS id.
    pub cas: u64,
    /// The length of its value.
    pub length: usize,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// Done.
    Yes(Kept),
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
        let is_late = match self.condition(new, &mut shard, found.live) {
            Ok(condition) => condition == Condition::Late,
            Err(refusal) => {
                self.give(class);
                drop(shard);
                return refusal;
            }
        };
        let old = found.live.map(|slot| self.remove(&mut shard, slot));
        let mut entry = Entry::new(body, class, hash, new.flags, new.expires);
        entry.mark(Mark::Encoded, new.terms.is_encoded);
        if let Some(old) = old.as_ref().filter(|_| is_late) {
            entry.expires = old.expires;
            entry.mark(Mark::Stale, true);
            entry.mark(Mark::Won, old.has(Mark::Won));
        }
        let stored = self.link(&mut shard, entry, hash, new.terms.new_cas);
        // What was replaced is freed when nobody waits for the lock.
        drop(shard);
        drop((old, found.expired));
        stored
    }

    /// Whether the condition of a whole item is met.
    fn condition(&self, new: &NewItem<'_>, shard: &mut Shard, slot: Option<Slot>) -> Result<Condition, Stored> {
        if let Some(cas) = new.cas {
            let Some(slot) = slot else {
                self.counters.add(Count::CasMisses, 1);
                return Err(Stored::NotFound);
            };
            let entry = shard.get(slot);
            // Without CAS ids (`-C`) all are the same.
            let is_same = entry.cas == cas || !self.memcached.settings.cas;
            let is_late = !is_same && new.terms.accepts_stale && cas != 0 && cas < entry.cas;
            let is_met = is_same || is_late;
            self.counters.add_class(entry.class(), if is_met { ClassCount::CasHits } else { ClassCount::CasBadval });
            return match (is_met, is_late) {
                (false, _) => Err(Stored::Exists),
                (_, true) => Ok(Condition::Late),
                _ => Ok(Condition::Met),
            };
        }
        match (new.verb, slot) {
            (StoreVerb::Add, Some(slot)) => {
                shard.promote(slot, self.memcached.next_use(), self.tick);
                Err(Stored::No)
            }
            (StoreVerb::Replace, None) => Err(Stored::No),
            _ => Ok(Condition::Met),
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
            let (flags, expires, value) = match (found.live.map(|slot| shard.get(slot)), new.terms.vivify) {
                (Some(old), _) if new.cas.is_some_and(|cas| cas != old.cas && self.memcached.settings.cas) => {
                    break Stored::Exists;
                }
                (Some(old), _) => (old.flags, old.expires, old.body.value()),
                (None, Some(expires)) => (new.flags, expires, &b""[..]),
                (None, None) => break Stored::No,
            };
            let total = self.memcached.classes.total(new.key.len(), flags, sum([value.len(), new.value.len()]));
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
            let mut entry = Entry::new(Body::new(new.key, parts), class, hash, flags, expires);
            // As in memcached: of a longer one it is not known any more how its key was written.
            entry.mark(Mark::Encoded, new.terms.is_encoded && found.live.is_none());
            let old = found.live.map(|slot| self.remove(&mut shard, slot));
            taken = None;
            let stored = self.link(&mut shard, entry, hash, new.terms.new_cas);
            drop(shard);
            drop((old, found.expired));
            break stored;
        };
        if let Some(class) = taken {
            self.give(class);
        }
        stored
    }

    /// Makes a new item, whose chunk has been taken, the most recently used one.
    pub(super) fn link(&self, shard: &mut Shard, entry: Entry, hash: u32, cas: Option<u64>) -> Stored {
        match self.link_at(shard, entry, hash, cas) {
            Some(slot) => {
                let entry = shard.get(slot);
                Stored::Yes(Kept { cas: entry.cas, length: entry.body.value().len() })
            }
            None => Stored::OutOfMemory,
        }
    }

    /// The same. The result is its place; `None`, and its chunk given back, if there are as many items as can be numbered.
    pub(super) fn link_at(&self, shard: &mut Shard, mut entry: Entry, hash: u32, cas: Option<u64>) -> Option<Slot> {
        let class = entry.class();
        entry.set_used(self.memcached.next_use());
        (entry.cas, entry.accessed) = (self.cas_id(cas), self.tick);
        let slot = shard.link(entry, hash);
        match slot {
            Some(_) => self.counters.add(Count::TotalItems, 1),
            None => self.give(class),
        }
        slot
    }

    /// The CAS id for what is changed now: the one that a client wants it to have, or the next one.
    pub(super) fn cas_id(&self, wanted: Option<u64>) -> u64 {
        match wanted {
            Some(cas) if self.memcached.settings.cas => cas,
            _ => self.memcached.next_cas(),
        }
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

/// How the condition of a whole item is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    /// As it was asked for.
    Met,
    /// Only because a stale value will do.
    Late,
}

/// What [`Access::find_live`] found.
#[derive(Debug)]
pub(super) struct Found {
    /// The place of the item.
    pub live: Option<Slot>,
    /// An expired item, to be freed after the lock is released.
    pub expired: Option<Entry>,
}
