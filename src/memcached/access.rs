//! What can be done to items, whichever protocol asks.

use std::sync::atomic::Ordering::Relaxed;

use super::Memcached;
use super::classes::ClassId;
use super::clock::{Clock, Tick};
use super::counters::{ClassCount, Count, Counters};
use super::item::{Entry, Slot};
use super::prefix::{self, Deed};
use super::shard::Shard;
use crate::buffer::Value;

/// The server as one worker uses it at one time.
#[derive(Clone, Copy, Debug)]
pub struct Access<'a> {
    pub(super) memcached: &'a Memcached,
    pub(super) counters: &'a Counters,
    clock: Clock,
    pub(super) tick: Tick,
}

/// An item that was asked for, while it is locked.
#[derive(Clone, Copy, Debug)]
pub struct Hit<'a> {
    /// The client's flags.
    pub flags: u32,
    /// The CAS id.
    pub cas: u64,
    /// The value.
    pub value: Value<'a>,
}

/// What became of a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// Done.
    Yes,
    /// There is no such item.
    NotFound,
    /// It has another CAS id.
    Exists,
}

impl<'a> Access<'a> {
    pub(super) fn new(memcached: &'a Memcached, counters: &'a Counters, clock: Clock, tick: Tick) -> Access<'a> {
        Access { memcached, counters, clock, tick }
    }

    /// When an item expires whose client said `exptime`.
    pub fn expiry(&self, exptime: i64) -> Tick {
        self.memcached.epoch.expiry(self.clock, exptime)
    }

    /// The time of day in seconds.
    pub fn unix_time(&self) -> u64 {
        self.clock.unix / 1_000_000
    }

    /// Looks an item up, makes it the most recently used one, gives it the expiry in `touch` if there is one, and has
    /// its reply written by `write`. `None`, and nothing written, if it is not there.
    pub fn read<R>(&self, key: &[u8], touch: Option<Tick>, write: impl FnOnce(Hit<'_>) -> R) -> Option<R> {
        self.counters.add(Count::CmdGet, 1);
        let found = self.with_live(key, |shard, slot| {
            shard.bump(slot, self.memcached.next_use(), self.tick);
            if let Some(expires) = touch {
                Self::set_expiry(shard, slot, expires);
            }
            let entry = shard.get(slot);
            let body = &entry.body;
            let hit =
                Hit { flags: entry.flags, cas: entry.cas, value: Value { bytes: body.value(), owner: body.owner() } };
            (entry.class(), write(hit))
        });
        match found {
            Some((class, result)) => {
                self.counters.add_class(class, ClassCount::GetHits);
                self.record(key, Deed::Hit);
                Some(result)
            }
            None => {
                self.counters.add(Count::GetMisses, 1);
                self.record(key, Deed::Miss);
                None
            }
        }
    }

    /// Gives an item a new expiry. The result is its flags and CAS id, if it is there.
    pub fn touch(&self, key: &[u8], expires: Tick) -> Option<(u32, u64)> {
        self.counters.add(Count::CmdTouch, 1);
        let touched = self.with_live(key, |shard, slot| {
            shard.bump(slot, self.memcached.next_use(), self.tick);
            Self::set_expiry(shard, slot, expires);
            let entry = shard.get(slot);
            self.counters.add_class(entry.class(), ClassCount::TouchHits);
            (entry.flags, entry.cas)
        });
        if touched.is_none() {
            self.counters.add(Count::TouchMisses, 1);
        }
        touched
    }

    pub(super) fn set_expiry(shard: &mut Shard, slot: Slot, expires: Tick) {
        let entry = shard.get_mut(slot);
        entry.expires = expires;
        let class = entry.class();
        shard.note_expiry(class, expires);
    }

    /// Deletes an item, if its CAS id is `cas` or `cas` is 0.
    pub fn delete(&self, key: &[u8], cas: u64) -> Deleted {
        self.record(key, Deed::Delete);
        let gone;
        let deleted = self.with_live(key, |shard, slot| {
            if cas != 0 && shard.get(slot).cas != cas {
                return Err(Deleted::Exists);
            }
            Ok(self.remove(shard, slot))
        });
        match deleted {
            None => {
                self.counters.add(Count::DeleteMisses, 1);
                Deleted::NotFound
            }
            Some(Err(why)) => why,
            Some(Ok(entry)) => {
                gone = entry;
                self.counters.add_class(gone.class(), ClassCount::DeleteHits);
                Deleted::Yes
            }
        }
    }

    /// Removes an item that a failed `set` leaves stale.
    pub(super) fn discard(&self, key: &[u8]) {
        drop(self.with_live(key, |shard, slot| self.remove(shard, slot)));
    }

    /// Removes everything that is there now; with a positive `delay` (seconds or a date, as an expiry), what will be
    /// there then.
    pub fn flush(&self, delay: i64) {
        self.counters.add(Count::CmdFlush, 1);
        let memcached = self.memcached;
        let at = if delay > 0 { memcached.epoch.instant(self.clock, delay) } else { None };
        // As in the C program: the second before.
        let mark = at.map_or(self.tick, |at| memcached.epoch.tick(at)).saturating_sub(1);
        memcached.oldest_live.store(mark, Relaxed);
        match at.filter(|at| *at > self.clock.now) {
            Some(at) => memcached.flush_at.store(at, Relaxed),
            None => {
                memcached.flush_at.store(super::NO_FLUSH, Relaxed);
                memcached.remove_all();
            }
        }
    }

    /// Does something with an item that is there and has not expired. An expired one is removed.
    pub(super) fn with_live<R>(&self, key: &[u8], use_it: impl FnOnce(&mut Shard, Slot) -> R) -> Option<R> {
        let (index, hash) = self.memcached.place(key);
        // Freed after the lock is released.
        let _gone;
        let mut shard = self.memcached.shard(index);
        let slot = shard.find(hash, key)?;
        if shard.get(slot).is_expired(self.tick) {
            _gone = self.remove(&mut shard, slot);
            return None;
        }
        Some(use_it(&mut shard, slot))
    }

    /// Takes an item out of its shard and gives its chunk back.
    pub(super) fn remove(&self, shard: &mut Shard, slot: Slot) -> Entry {
        let entry = shard.unlink(slot);
        self.give(entry.class());
        entry
    }

    pub(super) fn give(&self, class: ClassId) {
        self.memcached.classes.give(class);
    }

    /// Counts for `stats detail`, if that is on.
    pub(super) fn record(&self, key: &[u8], deed: Deed) {
        if self.memcached.detail.load(Relaxed) {
            prefix::record(self.counters, self.memcached.settings.prefix_delimiter, key, deed);
        }
    }
}
