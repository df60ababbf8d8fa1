//! The expected replies of a server connection, oldest first.

use std::collections::VecDeque;

use crate::proxy::downstream::{Entry, Expect};
use crate::sums::{Count as _, behind, sum};

/// A queue of expected replies. What one request on the wire asked for is a group of entries: several if gets were
/// joined or packets are quiet, else one.
#[derive(Debug, Default)]
pub struct Fifo {
    entries: VecDeque<Entry>,
    /// How many entries the oldest group has; 0 while its last one is not there. Kept, because it is needed for every
    /// value of a joined get.
    head: usize,
    /// How many entries have left since the connection was made.
    popped: u64,
}

impl Fifo {
    /// How many replies are expected.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many entries the oldest group has, as far as it is there.
    pub fn head_len(&self) -> usize {
        if self.head == 0 { self.entries.len() } else { self.head }
    }

    /// The number of the oldest entry, counted over the connection's life.
    pub fn first_number(&self) -> u64 {
        self.popped
    }

    /// The number of entry `index`.
    pub fn number(&self, index: usize) -> u64 {
        behind(self.popped, index)
    }

    /// The number that the next new entry will have.
    pub fn next_number(&self) -> u64 {
        self.number(self.entries.len())
    }

    /// Entry `index`, counted from the oldest.
    pub fn get(&self, index: usize) -> Option<&Entry> {
        self.entries.get(index)
    }

    /// Entry `index`, to be changed; whether it is the last of its group is not to be.
    pub fn get_mut(&mut self, index: usize) -> Option<&mut Entry> {
        self.entries.get_mut(index)
    }

    /// The oldest entry.
    pub fn front(&self) -> Option<&Entry> {
        self.entries.front()
    }

    /// The newest entry.
    pub fn back(&self) -> Option<&Entry> {
        self.entries.back()
    }

    /// All entries.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// All entries, to be changed as with [`Fifo::get_mut`].
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.entries.iter_mut()
    }

    /// How many entries end behind this position in the connection's output.
    pub fn count_behind(&self, position: u64) -> usize {
        match self.entries.back() {
            Some(last) if last.end > position => {
                self.entries.len().saturating_sub(self.entries.partition_point(|entry| entry.end <= position))
            }
            _ => 0,
        }
    }

    /// Adds the newest entry.
    #[inline(always)] // the entry is made where this is called, and is not to be moved twice
    pub fn push(&mut self, entry: Entry) {
        let is_last = entry.is_last();
        self.entries.push_back(entry);
        if self.head == 0 && is_last {
            self.head = self.entries.len();
        }
    }

    /// Another key is about to join the get at the end: its newest entry is not the last one any more.
    pub fn reopen(&mut self) {
        if let Some(Entry { expect: Expect::Get { last, .. }, .. }) = self.entries.back_mut() {
            *last = false;
            if self.head == self.entries.len() {
                self.head = 0;
            }
        }
    }

    /// The newest request on the wire ends at `end` in the connection's output.
    pub fn set_end(&mut self, end: u64) {
        if let Some(newest) = self.entries.back_mut() {
            newest.end = end;
        }
    }

    /// Takes out entry `index`, a group of its own behind the oldest one; what it stood for is taken out of the output,
    /// too, which ends `length` bytes sooner.
    pub fn remove(&mut self, index: usize, length: u64) {
        debug_assert!(self.head > 0 && index >= self.head);
        self.entries.remove(index);
        for entry in self.entries.iter_mut().skip(index) {
            entry.end = entry.end.saturating_sub(length);
            if let Some(key_at) = entry.expect.key_at() {
                *key_at = key_at.saturating_sub(length);
            }
        }
    }

    /// Takes the oldest entry away, and tells where its request ends in the output.
    pub fn pop(&mut self) -> Option<u64> {
        let end = self.entries.front()?.end;
        self.entries.pop_front();
        self.popped.up();
        if self.head > 1 {
            self.head.down();
        } else if self.head == 1 {
            self.find_head();
        }
        Some(end)
    }

    /// Takes the oldest group away, as far as it is there, and tells where its last request ends in the output.
    #[inline]
    pub fn pop_group(&mut self) -> Option<u64> {
        let count = self.head_len();
        if count <= 1 {
            return self.pop();
        }
        let end = self.entries.drain(..count).next_back()?.end;
        self.popped = behind(self.popped, count);
        self.find_head();
        Some(end)
    }

    /// Another entry has become the oldest: counts its group.
    fn find_head(&mut self) {
        self.head = match self.entries.front() {
            Some(next) if next.is_last() => 1,
            _ => self.entries.iter().position(Entry::is_last).map_or(0, |last| sum([last, 1])),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::request::RequestId;

    fn get(last: bool) -> Entry {
        entry(Expect::Get { key_at: 0, key_len: 1, last, answered: false })
    }

    fn entry(expect: Expect) -> Entry {
        Entry { request: RequestId::NONE, expect, opaque: 0, end: 0, retries: 0, may_repeat: true, is_queued: false }
    }

    #[test]
    fn the_oldest_group_is_counted() {
        let mut fifo = Fifo::default();
        assert_eq!(fifo.head_len(), 0);
        fifo.push(get(true));
        assert_eq!(fifo.head_len(), 1);
        fifo.reopen();
        fifo.push(get(true));
        fifo.push(entry(Expect::One { opcode: 0 }));
        assert_eq!(fifo.head_len(), 2);
        fifo.reopen(); // not a get: nothing joins it
        fifo.push(entry(Expect::Quiet { opcode: 0, answered: false, place: 0 }));
        fifo.push(entry(Expect::Quiet { opcode: 0, answered: false, place: 0 }));
        fifo.pop();
        assert_eq!(fifo.head_len(), 1);
        fifo.pop();
        assert_eq!(fifo.head_len(), 1);
        fifo.pop();
        assert_eq!(fifo.head_len(), 2, "as far as it is there");
        fifo.push(entry(Expect::Close));
        fifo.push(get(true));
        assert_eq!(fifo.head_len(), 3);
        fifo.pop();
        assert_eq!((fifo.head_len(), fifo.first_number(), fifo.next_number()), (2, 4, 7));
        fifo.remove(2, 0);
        assert_eq!((fifo.head_len(), fifo.len()), (2, 2));
        fifo.pop();
        fifo.pop();
        assert_eq!((fifo.head_len(), fifo.len()), (0, 0));
        assert!(fifo.pop().is_none());
    }

    #[test]
    fn a_group_goes_at_once() {
        let mut fifo = Fifo::default();
        assert_eq!(fifo.pop_group(), None);
        [false, false, true, false, true, true, false].into_iter().zip(1..).for_each(|(last, end)| {
            fifo.push(Entry { end, ..get(last) });
        });
        for (end, rest, head) in [(3, 4, 2), (5, 2, 1), (6, 1, 1), (7, 0, 0)] {
            assert_eq!(
                (fifo.pop_group(), fifo.len(), fifo.head_len(), fifo.first_number()),
                (Some(end), rest, head, end)
            );
        }
        assert_eq!(fifo.pop_group(), None);
    }
}
