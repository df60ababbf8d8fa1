//! A slab whose keys carry a generation, so that a late event for something that has gone finds nobody.
//!
//! An entry is looked up in one of two ways. [`Arena::get`] is for names that may have outlived what they name; who uses it
//! says why that can be. [`Arena::must`] is for those that cannot: a record that names an entry as long as that is there. If
//! it is not, the program has a fault: debug builds stop there, others go on as if it had gone, and count it, with its
//! place ([`Arena::take_missed`]).

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;

use slab::Slab;

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
    /// Each entry with its name.
    slots: Slab<(Id<T>, T)>,
    /// The generation the next entry gets. 30 bits are used: event tokens need the other two.
    next: u32,
    missed: Cell<Option<Missed>>,
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
        Arena { slots: Slab::new(), next: 0, missed: Cell::new(None) }
    }
}

impl<T> Arena<T> {
    /// Adds an entry.
    pub fn insert(&mut self, value: T) -> Id<T> {
        self.place(value).0
    }

    /// Adds an entry, and gives access to it.
    #[inline]
    pub fn place(&mut self, value: T) -> (Id<T>, &mut T) {
        let generation = self.next;
        self.next = (self.next + 1) & 0x3fff_ffff;
        let place = self.slots.vacant_entry();
        let id = Id::from_bits(u64::from(generation) << 32 | u64::from(place.key() as u32));
        (id, &mut place.insert((id, value)).1)
    }

    /// The entry, if it is still there.
    #[inline]
    pub fn get(&self, id: Id<T>) -> Option<&T> {
        match self.slots.get(id.index()) {
            Some((name, value)) if *name == id => Some(value),
            _ => None,
        }
    }

    /// The entry, if it is still there.
    #[inline]
    pub fn get_mut(&mut self, id: Id<T>) -> Option<&mut T> {
        match self.slots.get_mut(id.index()) {
            Some((name, value)) if *name == id => Some(value),
            _ => None,
        }
    }

    /// The entry, which must be there.
    ///
    /// # Panics
    /// In debug builds, if it is not.
    #[inline]
    #[track_caller]
    pub fn must(&self, id: Id<T>) -> Option<&T> {
        match self.slots.get(id.index()) {
            Some((name, value)) if *name == id => Some(value),
            _ => {
                Missed::note(&self.missed, Location::caller());
                None
            }
        }
    }

    /// The entry, which must be there.
    ///
    /// # Panics
    /// In debug builds, if it is not.
    #[inline]
    #[track_caller]
    pub fn must_mut(&mut self, id: Id<T>) -> Option<&mut T> {
        match self.slots.get_mut(id.index()) {
            Some((name, value)) if *name == id => Some(value),
            _ => {
                Missed::note(&self.missed, Location::caller());
                None
            }
        }
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
        self.get(id)?;
        Some(self.slots.remove(id.index()).1)
    }

    /// Drops the entry where it is.
    pub fn discard(&mut self, id: Id<T>) {
        if self.contains(id) {
            self.slots.remove(id.index());
        }
    }

    /// The name of the entry in this slot now.
    pub fn at(&self, index: usize) -> Option<Id<T>> {
        self.slots.get(index).map(|(name, _)| *name)
    }

    /// Whether the entry is still there.
    pub fn contains(&self, id: Id<T>) -> bool {
        self.get(id).is_some()
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// All entries.
    pub fn iter(&self) -> impl Iterator<Item = (Id<T>, &T)> {
        self.slots.iter().map(|(_, (name, value))| (*name, value))
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
