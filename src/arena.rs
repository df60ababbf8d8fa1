//! A slab whose keys carry a generation, so that a late event for something that has gone finds nobody.
//!
//! An entry is looked up in one of two ways. [`Arena::get`] is for names that may have outlived what they name; who uses it
//! says why that can be. [`Arena::must`] is for those that cannot: a record that names an entry as long as that is there. If
//! it is not, the program has a fault: debug builds stop there, others go on as if it had gone, and count it, with its
//! place ([`Arena::take_missed`]).
//!
//! Entries are large, and made and dropped for each request: they are written and dropped where they are, which a slab that
//! gives them back cannot do.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;

/// The name of an entry: its slot and the generation that slot had when the entry was made. In one number, because names
/// are compared, handed on and remembered more often than anything else.
pub struct Id<T> {
    /// The generation above, the slot in the lower half.
    bits: u64,
    kind: PhantomData<fn() -> T>,
}

impl<T> Id<T> {
    /// A name that no entry has.
    pub const NONE: Id<T> = Id { bits: u64::MAX, kind: PhantomData };

    /// The slot, for tables kept beside the arena.
    #[inline]
    pub fn index(self) -> usize {
        self.bits as u32 as usize
    }

    /// Slot and generation in one number, for the event loop's tokens.
    pub fn to_bits(self) -> u64 {
        self.bits
    }

    /// The reverse of [`Id::to_bits`].
    pub fn from_bits(bits: u64) -> Id<T> {
        Id { bits, kind: PhantomData }
    }
}

impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Id<T> {}

impl<T> PartialEq for Id<T> {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.bits == other.bits
    }
}

impl<T> Eq for Id<T> {}

impl<T> PartialOrd for Id<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Id<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.bits.cmp(&other.bits)
    }
}

impl<T> fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Id::NONE {
            return f.write_str("none");
        }
        write!(f, "{}.{}", self.index(), self.bits >> 32)
    }
}

/// Entries of one kind, found by [`Id`].
pub struct Arena<T> {
    slots: Vec<Slot<T>>,
    /// The slots that have no entry.
    vacant: Vec<u32>,
    /// The generation the next entry gets. 30 bits are used: event tokens need the other two.
    next: u32,
    missed: Cell<Option<Missed>>,
}

/// A place for an entry.
struct Slot<T> {
    /// The name of the entry that is here, or was here last.
    name: Id<T>,
    entry: Option<T>,
}

/// Look-ups of entries that had to be there, and were not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missed {
    /// How many.
    pub count: u64,
    /// Where the first one was.
    pub at: &'static Location<'static>,
}

impl Missed {
    /// One more, here. That stops debug builds.
    #[cold]
    #[inline(never)]
    fn note(missed: &Cell<Option<Missed>>, at: &'static Location<'static>) {
        let known = missed.get().unwrap_or(Missed { count: 0, at });
        missed.set(Some(Missed { count: known.count + 1, ..known }));
        debug_assert!(false, "at {at}: what must be there is not");
    }
}

impl<T> Default for Arena<T> {
    fn default() -> Self {
        Arena { slots: Vec::new(), vacant: Vec::new(), next: 0, missed: Cell::new(None) }
    }
}

impl<T> Arena<T> {
    /// Adds an entry.
    pub fn insert(&mut self, value: T) -> Id<T> {
        self.place(value).0
    }

    /// Adds an entry, and gives access to it.
    #[inline(always)] // the entry is made where it is called, and is not to be moved twice
    #[expect(clippy::indexing_slicing, reason = "slots stay, and one that is not there yet was just made")]
    pub fn place(&mut self, value: T) -> (Id<T>, &mut T) {
        let generation = self.next;
        self.next = (self.next + 1) & 0x3fff_ffff;
        let index = match self.vacant.pop() {
            Some(index) => index as usize,
            None => self.grow(),
        };
        let slot = &mut self.slots[index];
        slot.name = Id::from_bits(u64::from(generation) << 32 | index as u64);
        (slot.name, slot.entry.insert(value))
    }

    /// Makes one more slot.
    #[cold]
    #[inline(never)]
    fn grow(&mut self) -> usize {
        self.slots.push(Slot { name: Id::NONE, entry: None });
        self.slots.len() - 1
    }

    /// The entry, if it is still there.
    #[inline]
    pub fn get(&self, id: Id<T>) -> Option<&T> {
        self.slots.get(id.index()).filter(|slot| slot.name == id)?.entry.as_ref()
    }

    /// The entry, if it is still there.
    #[inline]
    pub fn get_mut(&mut self, id: Id<T>) -> Option<&mut T> {
        self.slots.get_mut(id.index()).filter(|slot| slot.name == id)?.entry.as_mut()
    }

    /// The entry, which must be there.
    ///
    /// # Panics
    /// In debug builds, if it is not.
    #[inline]
    #[track_caller]
    pub fn must(&self, id: Id<T>) -> Option<&T> {
        let found = match self.slots.get(id.index()) {
            Some(slot) if slot.name == id => slot.entry.as_ref(),
            _ => None,
        };
        if found.is_none() {
            Missed::note(&self.missed, Location::caller());
        }
        found
    }

    /// The entry, which must be there.
    ///
    /// # Panics
    /// In debug builds, if it is not.
    #[inline]
    #[track_caller]
    pub fn must_mut(&mut self, id: Id<T>) -> Option<&mut T> {
        let found = match self.slots.get_mut(id.index()) {
            Some(slot) if slot.name == id => slot.entry.as_mut(),
            _ => None,
        };
        if found.is_none() {
            Missed::note(&self.missed, Location::caller());
        }
        found
    }

    /// Whether a look-up with [`Arena::must`] has found nothing.
    #[inline]
    pub fn has_missed(&self) -> bool {
        self.missed.get().is_some()
    }

    /// Look-ups with [`Arena::must`] that have found nothing, since this was called last.
    pub fn take_missed(&self) -> Option<Missed> {
        self.missed.take()
    }

    /// Takes the entry out.
    pub fn remove(&mut self, id: Id<T>) -> Option<T> {
        let taken = self.slots.get_mut(id.index()).filter(|slot| slot.name == id)?.entry.take();
        if taken.is_some() {
            self.vacant.push(id.index() as u32);
        }
        taken
    }

    /// Drops the entry where it is.
    #[inline]
    pub fn discard(&mut self, id: Id<T>) {
        if let Some(slot) = self.slots.get_mut(id.index()).filter(|slot| slot.name == id && slot.entry.is_some()) {
            slot.entry = None;
            self.vacant.push(id.index() as u32);
        }
    }

    /// The name of the entry in this slot now.
    pub fn at(&self, index: usize) -> Option<Id<T>> {
        self.slots.get(index).filter(|slot| slot.entry.is_some()).map(|slot| slot.name)
    }

    /// Whether the entry is still there.
    pub fn contains(&self, id: Id<T>) -> bool {
        self.get(id).is_some()
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.slots.len() - self.vacant.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All entries.
    pub fn iter(&self) -> impl Iterator<Item = (Id<T>, &T)> {
        self.slots.iter().filter_map(|slot| Some((slot.name, slot.entry.as_ref()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reused_slot_does_not_answer_to_the_old_name() {
        let mut arena = Arena::default();
        let old = arena.insert("a");
        assert_eq!(arena.remove(old), Some("a"));
        let new = arena.insert("b");
        assert_eq!(old.index(), new.index());
        assert_eq!(arena.get(old), None);
        assert_eq!(arena.remove(old), None);
        assert_eq!(arena.get(Id::from_bits(new.to_bits())), Some(&"b"));
        assert!(!arena.contains(Id::NONE));
    }

    #[test]
    fn what_must_be_there_and_is_not_is_a_fault() {
        let mut arena = Arena::default();
        let old = arena.insert("a");
        assert_eq!(arena.must(old), Some(&"a"));
        assert!(arena.must_mut(old).is_some() && !arena.has_missed());
        arena.discard(old);
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| arena.must(old).is_some()));
        // Only debug builds stop.
        assert_eq!(found.ok(), if cfg!(debug_assertions) { None } else { Some(false) });
        let missed = arena.take_missed().expect("it was counted");
        assert_eq!((missed.count, missed.at.file()), (1, file!()));
        assert!(!arena.has_missed());
    }
}
