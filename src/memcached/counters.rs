//! What is counted. Every worker has counters of its own; they are added up when somebody asks.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use super::classes::ClassId;
use super::prefix::Prefix;

/// What is counted for the server as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Keys asked for.
    CmdGet,
    /// Flushes.
    CmdFlush,
    /// Storage commands whose data block arrived, but did not end where it should.
    BadSet,
    /// Items that were to get another expiry, whether they were there or not.
    CmdTouch,
    /// `me` commands: memcached counts no others.
    CmdMeta,
    /// Meta commands of any kind. Not shown.
    AnyMeta,
    /// Keys asked for and not there.
    GetMisses,
    /// As their names say.
    DeleteMisses,
    /// As their names say.
    IncrMisses,
    /// As their names say.
    DecrMisses,
    /// As their names say.
    CasMisses,
    /// Items that were to get another expiry and were not there.
    TouchMisses,
    /// Bytes received; command lines and headers count twice (02 §13.1).
    BytesRead,
    /// Bytes of replies.
    BytesWritten,
    /// Times a client had to let others go first (`-R`).
    ConnYields,
    /// Items ever linked, replaced ones included.
    TotalItems,
}

const COUNTS: usize = Count::TotalItems as usize + 1;

/// What is counted per slab class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClassCount {
    /// Keys asked for and there.
    GetHits,
    /// Storage commands whose data block arrived.
    CmdSet,
    /// Items deleted.
    DeleteHits,
    /// Numbers raised.
    IncrHits,
    /// Numbers lowered.
    DecrHits,
    /// `cas` with the right id.
    CasHits,
    /// `cas` with another id.
    CasBadval,
    /// Items that got another expiry.
    TouchHits,
}

const CLASS_COUNTS: usize = ClassCount::TouchHits as usize + 1;

/// The place of `what` in a table of all.
#[expect(clippy::indexing_slicing, reason = "the table is as long as the last of its names says")]
fn count_of<T>(counts: &[T; COUNTS], what: Count) -> &T {
    &counts[what as usize]
}

/// As [`count_of`].
#[expect(clippy::indexing_slicing, reason = "the table is as long as the last of its names says")]
fn class_count_of<T>(counts: &[T; CLASS_COUNTS], what: ClassCount) -> &T {
    &counts[what as usize]
}

/// One worker's counters.
#[derive(Debug)]
pub struct Counters {
    counts: [AtomicU64; COUNTS],
    classes: Box<[[AtomicU64; CLASS_COUNTS]]>,
    /// Per prefix, while `stats detail` is on.
    prefixes: Mutex<HashMap<Box<[u8]>, Prefix>>,
}

impl Counters {
    /// All zero, for so many slab classes.
    pub fn new(classes: usize) -> Counters {
        Counters {
            counts: Default::default(),
            classes: (0..classes).map(|_| Default::default()).collect(),
            prefixes: Mutex::default(),
        }
    }

    /// Counts `by` more of `what`.
    pub fn add(&self, what: Count, by: u64) {
        count_of(&self.counts, what).fetch_add(by, Relaxed);
    }

    /// Counts one more of `what` in a class.
    pub fn add_class(&self, class: ClassId, what: ClassCount) {
        if let Some(counts) = self.classes.get(usize::from(class)) {
            class_count_of(counts, what).fetch_add(1, Relaxed);
        }
    }

    /// Does something with the table of prefixes.
    pub fn prefixes<R>(&self, use_it: impl FnOnce(&mut HashMap<Box<[u8]>, Prefix>) -> R) -> R {
        use_it(&mut self.prefixes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sets everything to 0.
    pub fn reset(&self) {
        for count in self.counts.iter().chain(self.classes.iter().flatten()) {
            count.store(0, Relaxed);
        }
        self.prefixes(HashMap::clear);
    }
}

/// The sum of several workers' counters.
#[derive(Debug)]
pub struct Totals {
    counts: [u64; COUNTS],
    classes: Vec<[u64; CLASS_COUNTS]>,
}

impl Totals {
    /// Adds up.
    pub fn of<'a>(counters: impl Iterator<Item = &'a Counters>, classes: usize) -> Totals {
        let mut totals = Totals { counts: [0; COUNTS], classes: vec![[0; CLASS_COUNTS]; classes] };
        for one in counters {
            let mine = totals.counts.iter_mut().chain(totals.classes.iter_mut().flatten());
            for (sum, count) in mine.zip(one.counts.iter().chain(one.classes.iter().flatten())) {
                *sum = sum.wrapping_add(count.load(Relaxed));
            }
        }
        totals
    }

    /// How many of `what`.
    pub fn get(&self, what: Count) -> u64 {
        *count_of(&self.counts, what)
    }

    /// How many of `what` in a class.
    pub fn of_class(&self, class: ClassId, what: ClassCount) -> u64 {
        self.classes.get(usize::from(class)).map_or(0, |counts| *class_count_of(counts, what))
    }

    /// How many of `what` in all classes.
    pub fn of_classes(&self, what: ClassCount) -> u64 {
        self.classes.iter().map(|counts| *class_count_of(counts, what)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_add_up() {
        let (a, b) = (Counters::new(3), Counters::new(3));
        a.add(Count::CmdGet, 2);
        b.add(Count::CmdGet, 3);
        a.add_class(1, ClassCount::GetHits);
        b.add_class(2, ClassCount::GetHits);
        b.add_class(9, ClassCount::GetHits);
        let totals = Totals::of([&a, &b].into_iter(), 3);
        assert_eq!(totals.get(Count::CmdGet), 5);
        assert_eq!(totals.of_class(2, ClassCount::GetHits), 1);
        assert_eq!(totals.of_classes(ClassCount::GetHits), 2);
        a.reset();
        assert_eq!(Totals::of([&a].into_iter(), 3).get(Count::CmdGet), 0);
    }
}
