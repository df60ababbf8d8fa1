//! Where the memory of a new item comes from (02 §12.3).
//!
//! First from an expired item of the same class, then from a free chunk, then from a new page, then from the least
//! recently used item of the class, in whichever shard it is. While there are more pages than the limit allows,
//! because `cache_memlimit` has lowered it, every allocation throws out some more.

use std::sync::atomic::Ordering::Relaxed;

use super::Memcached;
use super::classes::{Class, ClassId, NONE};
use super::clock::{NEVER, Tick};
use super::item::END;

/// How many of the least recently used items of a shard are looked at for an expired one.
const SEARCH: usize = 50;

/// How often another thread may be faster in throwing out the oldest item before this counts as no memory.
const TRIES: usize = 64;

/// How many items go at once for a limit that was lowered.
const AT_ONCE: usize = 64;

/// There is no memory for an item, and none could be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory;

impl Memcached {
    /// Takes a chunk of a class for an item that is going to be linked.
    pub(super) fn allocate(&self, class: ClassId, tick: Tick) -> Result<(), OutOfMemory> {
        if self.settings.evict && self.classes.is_over() {
            self.shrink(tick);
        }
        if self.reuse_expired(class, tick) || self.classes.take(class) {
            return Ok(());
        }
        if self.settings.evict {
            for _ in 0..TRIES {
                if self.throw_out(class, tick) || self.classes.take(class) {
                    return Ok(());
                }
            }
        }
        self.classes.get(class).outofmemory.fetch_add(1, Relaxed);
        Err(OutOfMemory)
    }

    /// Throws out some items, so that the pages become as few as a lowered limit allows: of the class that has the least
    /// recently used item among those with more than one page. Chunks of a class never become another's, so the first
    /// page of each stays.
    fn shrink(&self, tick: Tick) {
        let several = self.classes.iter().filter(|(_, class)| class.pages.load(Relaxed) > 1);
        let age = |class: &Class| class.oldest.iter().map(|used| used.load(Relaxed)).min().unwrap_or(NONE);
        let Some((id, _)) = several.min_by_key(|(_, class)| age(class)) else { return self.classes.keep_rest() };
        for _ in 0..AT_ONCE {
            if self.throw_out(id, tick) {
                self.classes.give(id);
            }
            self.classes.shrink(id);
            if !self.classes.is_over() {
                break;
            }
        }
    }

    /// Removes an expired item of the class; its chunk is the caller's.
    fn reuse_expired(&self, class: ClassId, tick: Tick) -> bool {
        let hint = &self.classes.get(class).earliest;
        if hint.load(Relaxed) >= tick {
            return false;
        }
        // Whatever is linked while the shards are looked at lowers the new hint.
        let before = hint.swap(Tick::MAX, Relaxed);
        let mut earliest = Tick::MAX;
        for index in 0..self.shards.len() {
            let mut shard = self.shard(index);
            if let Some(slot) = shard.find_expired(class, tick, SEARCH) {
                let gone = shard.unlink(slot);
                drop(shard);
                drop(gone);
                hint.fetch_min(before, Relaxed);
                return true;
            }
            earliest = earliest.min(shard.line(class).earliest);
        }
        hint.fetch_min(earliest, Relaxed);
        false
    }

    /// Removes the least recently used item of the class; its chunk is the caller's. `false` if there is none, or
    /// another thread was faster.
    fn throw_out(&self, class: ClassId, tick: Tick) -> bool {
        let state = self.classes.get(class);
        let oldest = state.oldest.iter().enumerate().map(|(index, used)| (used.load(Relaxed), index)).min();
        let Some((used, index)) = oldest.filter(|(used, _)| *used != NONE) else { return false };
        let mut shard = self.shard(index);
        let slot = shard.line(class).oldest;
        if slot == END || shard.get(slot).used() != used {
            return false;
        }
        let gone = shard.unlink(slot);
        drop(shard);
        if gone.expires == NEVER || gone.expires > tick {
            state.evicted.fetch_add(1, Relaxed);
            state.evicted_time.store(tick.saturating_sub(gone.accessed), Relaxed);
        }
        true
    }
}
