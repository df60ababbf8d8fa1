//! Slab classes: which sizes there are, and how many chunks of each (02 §12.1–§12.3).
//!
//! Items are not kept in slabs; they are counted as if they were, so that the memory limit, evictions and statistics
//! are those of memcached.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use super::SHARDS;
use crate::protocol::numbers::digits;
use crate::sums::sum;

/// Size of a page, and of the largest item, in bytes.
pub const PAGE: u32 = 1 << 20;

/// How many classes there can be besides the one of the largest items, whose number is 200 then.
const GROWING_MAX: usize = 199;

/// What an item needs besides key, header text and value (64-bit).
const HEADER: u32 = 48;

/// Chunks are multiples of this.
const ALIGN: u32 = 8;

/// In [`Class::oldest`]: the shard has no item of the class.
pub const NONE: u64 = u64::MAX;

/// Index of a class; its [`number`] is one higher.
pub type ClassId = u8;

/// The number of a class in commands and statistics.
pub fn number(id: ClassId) -> u32 {
    u32::from(id).saturating_add(1)
}

/// Size and number of the chunks of one class.
#[derive(Debug)]
pub struct Class {
    /// Size of a chunk in bytes.
    pub size: u32,
    /// Chunks in a page.
    pub per_page: u32,
    /// Pages the class has.
    pub pages: AtomicU64,
    /// Chunks that were used and given back.
    pub free: AtomicU64,
    /// Chunks of the newest page that were never used.
    pub unused: AtomicU64,
    /// Items thrown out before their time.
    pub evicted: AtomicU64,
    /// For how many seconds the last one thrown out had not been asked for.
    pub evicted_time: AtomicU32,
    /// Allocations that failed.
    pub outofmemory: AtomicU64,
    /// The recency of the oldest item of each shard, or [`NONE`].
    pub oldest: [AtomicU64; SHARDS],
    /// No item of the class expires before this tick; `u32::MAX` if none expires. See `memory`.
    pub earliest: AtomicU32,
}

/// All classes, and the memory they have in common.
#[derive(Debug)]
pub struct Classes {
    classes: Vec<Class>,
    /// Bytes in pages.
    malloced: Mutex<u64>,
    /// How many there may be; 0: any number.
    limit: AtomicU64,
    /// There are more, because the limit was lowered.
    is_over: AtomicBool,
    /// Bytes of an item for its CAS id.
    cas: u32,
}

impl Classes {
    /// The classes for chunks of `chunk_size` bytes (`-n`) that grow by `factor` (`-f`). `malloced` bytes of `limit`
    /// count as used from the beginning.
    pub fn new(chunk_size: u32, factor: f64, limit: u64, malloced: u64, cas: bool) -> Classes {
        let mut classes = Vec::new();
        let mut size = HEADER.saturating_add(chunk_size);
        if factor == 2.0 && size < 128 {
            size = 128;
        }
        while size <= PAGE / 2 && classes.len() < GROWING_MAX {
            size = size.next_multiple_of(ALIGN);
            classes.push(Class::new(size));
            // At most half a page times the factor: a float cast saturates.
            size = (f64::from(size) * factor) as u32;
        }
        classes.push(Class::new(PAGE));
        Classes {
            classes,
            malloced: Mutex::new(malloced),
            limit: AtomicU64::new(limit),
            is_over: AtomicBool::new(false),
            cas: if cas { 8 } else { 0 },
        }
    }

    /// The bytes that an item counts (02 §12.1).
    pub fn total(&self, key_len: usize, flags: u32, value_len: usize) -> u64 {
        // Blank, flags, blank, length, line end.
        let text = sum([4, digits(flags.into()), digits(value_len as u64)]);
        sum([HEADER as usize, self.cas as usize, key_len, 1, text, value_len, 2]) as u64
    }

    /// The class of an item that counts `total` bytes; `None` if there is none that large.
    pub fn of(&self, total: u64) -> Option<ClassId> {
        let index = self.classes.partition_point(|class| u64::from(class.size) < total);
        ClassId::try_from(index).ok().filter(|_| index < self.classes.len())
    }

    /// The class with this index, which [`Classes::of`] or [`Classes::iter`] gave.
    #[expect(clippy::indexing_slicing, reason = "what has given the id has seen the class, and classes stay")]
    pub fn get(&self, id: ClassId) -> &Class {
        &self.classes[usize::from(id)]
    }

    /// All classes, smallest first.
    pub fn iter(&self) -> impl Iterator<Item = (ClassId, &Class)> {
        self.classes.iter().zip(0u8..).map(|(class, id)| (id, class))
    }

    /// How many classes there are.
    pub fn count(&self) -> usize {
        self.classes.len()
    }

    /// Bytes in pages.
    pub fn malloced(&self) -> u64 {
        *self.malloced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The memory limit in bytes; 0: none.
    pub fn limit(&self) -> u64 {
        self.limit.load(Relaxed)
    }

    /// Changes the memory limit.
    pub fn set_limit(&self, bytes: u64) {
        let malloced = self.malloced.lock().unwrap_or_else(PoisonError::into_inner);
        self.limit.store(bytes, Relaxed);
        self.is_over.store(*malloced > bytes, Relaxed);
    }

    /// Whether pages are to be given up, because the limit was lowered.
    pub fn is_over(&self) -> bool {
        self.is_over.load(Relaxed)
    }

    /// No page can be given up any more.
    pub fn keep_rest(&self) {
        self.is_over.store(false, Relaxed);
    }

    /// Gives up a page of the class if its chunks are free, the first one excepted.
    pub fn shrink(&self, id: ClassId) {
        let class = self.get(id);
        let mut malloced = self.malloced.lock().unwrap_or_else(PoisonError::into_inner);
        let per_page = u64::from(class.per_page);
        if class.pages.load(Relaxed) > 1
            && class.free.fetch_update(Relaxed, Relaxed, |free| free.checked_sub(per_page)).is_ok()
        {
            class.pages.fetch_sub(1, Relaxed);
            *malloced = malloced.saturating_sub(class.page());
            self.is_over.store(*malloced > self.limit(), Relaxed);
        }
    }

    /// Takes a chunk, from a new page if need be; `false` if there is none to be had.
    pub fn take(&self, id: ClassId) -> bool {
        let class = self.get(id);
        decrement(&class.free) || decrement(&class.unused) || self.grow(class)
    }

    /// Gives a chunk back.
    pub fn give(&self, id: ClassId) {
        self.get(id).free.fetch_add(1, Relaxed);
    }

    /// Adds a page, and takes a chunk from it. The first page of a class is never refused.
    fn grow(&self, class: &Class) -> bool {
        let mut malloced = self.malloced.lock().unwrap_or_else(PoisonError::into_inner);
        if decrement(&class.unused) {
            return true; // another thread was faster
        }
        let page = class.page();
        let limit = self.limit();
        if limit > 0 && malloced.saturating_add(page) > limit && class.pages.load(Relaxed) > 0 {
            return false;
        }
        *malloced = malloced.saturating_add(page);
        class.pages.fetch_add(1, Relaxed);
        class.unused.fetch_add(u64::from(class.per_page).saturating_sub(1), Relaxed);
        true
    }
}

impl Class {
    fn new(size: u32) -> Class {
        Class {
            size,
            per_page: PAGE.checked_div(size).unwrap_or(1),
            pages: AtomicU64::new(0),
            free: AtomicU64::new(0),
            unused: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
            evicted_time: AtomicU32::new(0),
            outofmemory: AtomicU64::new(0),
            oldest: [const { AtomicU64::new(NONE) }; SHARDS],
            earliest: AtomicU32::new(u32::MAX),
        }
    }

    /// Notes the recency of the oldest item of a shard, or [`NONE`].
    pub fn set_oldest(&self, shard: usize, used: u64) {
        if let Some(oldest) = self.oldest.get(shard) {
            oldest.store(used, Relaxed);
        }
    }

    /// The bytes of a page's chunks.
    fn page(&self) -> u64 {
        u64::from(self.size).saturating_mul(self.per_page.into())
    }

    /// Forgets what was counted (`stats reset`).
    pub fn reset(&self) {
        self.evicted.store(0, Relaxed);
        self.evicted_time.store(0, Relaxed);
        self.outofmemory.store(0, Relaxed);
    }
}

fn decrement(count: &AtomicU64) -> bool {
    count.fetch_update(Relaxed, Relaxed, |count| count.checked_sub(1)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaults() -> Classes {
        Classes::new(48, 1.25, 64 << 20, 0, true)
    }

    #[test]
    fn the_default_classes_are_those_of_the_specification() {
        let sizes: Vec<u32> = defaults().iter().map(|(_, class)| class.size).collect();
        assert_eq!(
            sizes,
            [
                96, 120, 152, 192, 240, 304, 384, 480, 600, 752, 944, 1184, 1480, 1856, 2320, 2904, 3632, 4544, 5680,
                7104, 8880, 11104, 13880, 17352, 21696, 27120, 33904, 42384, 52984, 66232, 82792, 103_496, 129_376,
                161_720, 202_152, 252_696, 315_872, 394_840, 493_552, 1_048_576
            ]
        );
        assert_eq!(defaults().get(0).per_page, 10922);
        assert_eq!(defaults().get(29).per_page, 15);
        assert_eq!(defaults().get(39).per_page, 1);
    }

    #[test]
    fn other_factors_and_sizes() {
        let doubled: Vec<u32> = Classes::new(48, 2.0, 0, 0, true).iter().map(|(_, class)| class.size).collect();
        assert_eq!(doubled[..3], [128, 256, 512]);
        assert_eq!(Classes::new(48, 1.000_001, 0, 0, true).count(), 200);
        assert_eq!(Classes::new(u32::MAX, 1.25, 0, 0, true).count(), 1);
        assert_eq!(Classes::new(48, f64::INFINITY, 0, 0, true).count(), 2);
    }

    #[test]
    fn items_count_as_many_bytes_as_in_memcached() {
        let classes = defaults();
        assert_eq!(classes.total(3, 0, 6), 74);
        assert_eq!(classes.total(4, 0, 10), 80);
        assert_eq!(classes.total(3, u32::MAX, 6), 83);
        assert_eq!(Classes::new(48, 1.25, 0, 0, false).total(3, 0, 6), 66);
        assert_eq!(classes.of(classes.total(3, 0, 1_048_502)), Some(39));
        assert_eq!(classes.of(classes.total(3, 0, 1_048_503)), None);
        assert_eq!(classes.of(96), Some(0));
        assert_eq!(classes.of(97), Some(1));
    }

    #[test]
    fn pages_are_limited_but_every_class_gets_one() {
        let classes = Classes::new(48, 1.25, 1 << 20, 0, true);
        assert!(classes.take(39));
        assert!(!classes.take(39));
        assert!(classes.take(38) && classes.take(38));
        assert!(!classes.take(38));
        classes.give(38);
        assert!(classes.take(38));
        assert_eq!(classes.malloced(), (1 << 20) + 2 * 493_552);
        assert_eq!(classes.get(38).pages.load(Relaxed), 1);
    }

    #[test]
    fn free_chunks_are_used_before_unused_ones() {
        let classes = defaults();
        assert!(classes.take(0));
        classes.give(0);
        assert!(classes.take(0));
        assert_eq!((classes.get(0).free.load(Relaxed), classes.get(0).unused.load(Relaxed)), (0, 10921));
    }
}
