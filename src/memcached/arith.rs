//! `incr` and `decr` (02 §8).

use super::access::Access;
use super::classes::ClassId;
use super::clock::Tick;
use super::counters::{ClassCount, Count};
use super::item::{Body, Entry, Slot};
use super::shard::Shard;
use crate::protocol::numbers::digits;
use crate::protocol::numbers::{parse_u64, push_u64};

/// A number that is not there is made.
#[derive(Clone, Copy, Debug)]
pub struct Initial {
    /// The number.
    pub value: u64,
    /// When it expires.
    pub expires: Tick,
}

/// What is to be done to a number.
#[derive(Clone, Copy, Debug, Default)]
pub struct Arith<'a> {
    /// The key.
    pub key: &'a [u8],
    /// How much.
    pub delta: u64,
    /// Whether it is subtracted.
    pub decr: bool,
    /// 0, or the CAS id that the item must have.
    pub cas: u64,
    /// What to do if the item is not there.
    pub initial: Option<Initial>,
    /// Whether an empty value is no number; else it counts as 0.
    pub is_strict: bool,
    /// The CAS id that it is to get.
    pub new_cas: Option<u64>,
}

/// A number that has just been computed, while its item is locked.
#[derive(Debug)]
pub(super) struct Counted<'a> {
    /// Where the item is.
    pub shard: &'a mut Shard,
    /// Its place there.
    pub slot: Slot,
    /// The number.
    pub number: u64,
    /// Whether it was not there before.
    pub is_new: bool,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Computed {
    /// The new number and CAS id.
    Yes(u64, u64),
    /// There is no such item.
    NotFound,
    /// It has another CAS id.
    Exists,
    /// It is not a number.
    NonNumeric,
    /// There is no memory for the result.
    OutOfMemory,
}

impl Access<'_> {
    /// Adds to a number or subtracts from it. Sums wrap at 2^64, differences stop at 0.
    pub fn arith(&self, request: &Arith<'_>) -> Computed {
        self.arith_then(request, |_| ())
    }

    /// The same; what has become of the item is looked at before anybody else can change it.
    pub(super) fn arith_then(&self, request: &Arith<'_>, look: impl FnOnce(Counted<'_>)) -> Computed {
        let (index, hash) = self.memcached.place(request.key);
        // The chunk that was taken for the result.
        let mut taken: Option<ClassId> = None;
        let computed = loop {
            let mut shard = self.memcached.shard(index);
            let found = self.find_live(&mut shard, hash, request.key);
            let goal = match self.goal(request, &mut shard, found.live) {
                Ok(goal) => goal,
                Err(end) => {
                    if let (Computed::Yes(number, _), Some(slot)) = (end, found.live) {
                        look(Counted { shard: &mut shard, slot, number, is_new: false });
                    }
                    break end;
                }
            };
            let mut digits = Vec::with_capacity(20);
            push_u64(&mut digits, goal.number);
            let Some(class) =
                self.memcached.classes.of(self.memcached.classes.total(request.key.len(), goal.flags, digits.len()))
            else {
                break Computed::OutOfMemory;
            };
            if taken != Some(class) {
                drop(shard);
                if let Some(other) = taken.take() {
                    self.give(other);
                }
                if self.memcached.allocate(class, self.tick).is_err() {
                    break Computed::OutOfMemory;
                }
                taken = Some(class);
                continue;
            }
            let gone = found.live.map(|slot| self.remove(&mut shard, slot));
            let body = Body::new(request.key, [&digits, b""]);
            let entry = Entry::new(body, class, hash, goal.flags, goal.expires);
            taken = None;
            let linked = self.link_at(&mut shard, entry, hash, request.new_cas);
            let computed = match linked {
                Some(slot) => {
                    if let Some(class) = goal.class {
                        self.count_hit(request.decr, class);
                    }
                    let cas = shard.get(slot).cas;
                    look(Counted { shard: &mut shard, slot, number: goal.number, is_new: goal.class.is_none() });
                    Computed::Yes(goal.number, cas)
                }
                None => Computed::OutOfMemory,
            };
            drop(shard);
            drop(gone);
            break computed;
        };
        if let Some(class) = taken {
            self.give(class);
        }
        computed
    }

    /// What a new item has to be, unless the request has been dealt with.
    fn goal(&self, request: &Arith<'_>, shard: &mut Shard, slot: Option<Slot>) -> Result<Goal, Computed> {
        let Some(slot) = slot else {
            return match request.initial {
                Some(Initial { value, expires }) => Ok(Goal { number: value, flags: 0, expires, class: None }),
                None => {
                    self.counters.add(if request.decr { Count::DecrMisses } else { Count::IncrMisses }, 1);
                    Err(Computed::NotFound)
                }
            };
        };
        let entry = shard.get_mut(slot);
        if request.is_strict && entry.body.value().is_empty() {
            return Err(Computed::NonNumeric);
        }
        if request.cas != 0 && request.cas != entry.cas {
            return Err(Computed::Exists);
        }
        // An empty value counts as 0.
        let text = entry.body.value();
        let old = if text.is_empty() { Some(0) } else { parse_u64(text) };
        let Some(old) = old else { return Err(Computed::NonNumeric) };
        let number = if request.decr { old.saturating_sub(request.delta) } else { old.wrapping_add(request.delta) };
        let in_place = entry.body.value_mut().and_then(|place| write_padded(place, number));
        if in_place.is_none() {
            return Ok(Goal { number, flags: entry.flags, expires: entry.expires, class: Some(entry.class()) });
        }
        entry.cas = self.cas_id(request.new_cas);
        self.count_hit(request.decr, entry.class());
        Err(Computed::Yes(number, entry.cas))
    }

    fn count_hit(&self, decr: bool, class: ClassId) {
        self.counters.add_class(class, if decr { ClassCount::DecrHits } else { ClassCount::IncrHits });
    }
}

/// A new item to be linked.
#[derive(Clone, Copy, Debug)]
struct Goal {
    number: u64,
    flags: u32,
    expires: Tick,
    /// The class of the item it replaces.
    class: Option<ClassId>,
}

/// Writes `number` over `place` and fills the rest with blanks, as memcached does. `None` if it does not fit.
fn write_padded(place: &mut [u8], number: u64) -> Option<()> {
    let mut rest = number;
    let (digits, padding) = place.split_at_mut_checked(digits(number))?;
    for digit in digits.iter_mut().rev() {
        // A single digit.
        *digit = b'0' | (rest % 10) as u8;
        rest /= 10;
    }
    padding.fill(b' ');
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_padded_to_the_old_length() {
        let mut place = *b"100";
        assert_eq!(write_padded(&mut place, 99), Some(()));
        assert_eq!(&place, b"99 ");
        assert_eq!(write_padded(&mut place, 0), Some(()));
        assert_eq!(&place, b"0  ");
        assert_eq!(write_padded(&mut place, 1000), None);
        assert_eq!(&place, b"0  ");
        assert_eq!(write_padded(&mut [], 0), None);
    }
}
