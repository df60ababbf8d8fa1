//! What was read from a socket and is not yet understood.

use std::sync::Arc;

use super::Pool;
use super::Value;
use crate::sums::{between, sum};

/// Received bytes. Without memory while empty.
#[derive(Debug, Default)]
pub struct Input {
    /// Memory from the pool, or grown from it; its whole length is initialised.
    memory: Vec<u8>,
    /// Instead of `memory`: for one long message, to be shared when that is complete.
    long: Option<Long>,
    start: usize,
    end: usize,
    /// How many of the received bytes a parser has already searched in vain for a line end.
    pub scanned: usize,
    /// The parser cannot say anything before this many bytes are there.
    need: usize,
}

#[derive(Debug)]
struct Long {
    memory: Arc<Vec<u8>>,
    /// The length of the message; the rest is not used.
    length: usize,
}

impl Input {
    #[expect(clippy::indexing_slicing, reason = "a message is not longer than the memory that was taken for it")]
    fn all(&self) -> &[u8] {
        self.long.as_ref().map_or(&self.memory, |long| &long.memory[..long.length])
    }

    /// The received bytes.
    #[expect(clippy::indexing_slicing, reason = "the start is not behind the end, nor that behind the memory")]
    pub fn data(&self) -> &[u8] {
        &self.all()[self.start..self.end]
    }

    /// How many bytes were received.
    pub fn len(&self) -> usize {
        between(self.start, self.end)
    }

    /// Whether nothing is there.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Whether a parser has a chance: something is there, and as much as it asked for.
    pub fn is_worth_parsing(&self) -> bool {
        !self.is_empty() && self.len() >= self.need
    }

    /// What is there, with its memory if it is a complete long message, for [`Output::push`](super::Output::push) to share.
    pub fn value(&self) -> Value<'_> {
        let long = self.long.as_ref().filter(|long| self.start == 0 && self.end == long.length);
        Value { bytes: self.data(), owner: long.map(|long| &long.memory) }
    }

    /// Notes that the parser waits for `need` bytes in all, and makes room for a long message.
    ///
    /// A line of unknown length asks for one byte more each time; that is left to [`Input::space`], which doubles.
    pub fn expect(&mut self, need: usize, pool: &mut Pool) {
        self.need = need;
        if need > pool.size() && need > sum([self.len(), 1]) && between(self.start, self.all().len()) < need {
            let mut memory = pool.take_long(need);
            let length = self.len();
            self.copy_to(Arc::make_mut(&mut memory).as_mut_slice());
            self.give_back(pool);
            self.long = Some(Long { memory, length: need });
            (self.start, self.end) = (0, length);
        }
    }

    /// Where the next bytes are to be read to; never empty.
    #[inline]
    pub fn space(&mut self, pool: &mut Pool) -> &mut [u8] {
        if self.long.is_none() && self.end < self.memory.len() {
            return self.free();
        }
        self.more_space(pool)
    }

    /// The same where memory has to be taken first, or belongs to a long message.
    fn more_space(&mut self, pool: &mut Pool) -> &mut [u8] {
        if self.memory.is_empty() && self.long.is_none() {
            self.memory = pool.take();
            (self.start, self.end) = (0, 0);
            return &mut self.memory;
        }
        if self.long.as_ref().is_some_and(|long| self.end < long.length) {
            return self.long.as_mut().map_or(&mut [], |long| {
                // Nobody shares it before it is complete, so this never copies.
                Arc::make_mut(&mut long.memory).get_mut(self.end..long.length).unwrap_or_default()
            });
        }
        if self.end == self.all().len() {
            let length = self.len();
            if self.long.is_none() && self.start > 0 && length < self.memory.len() / 2 {
                self.memory.copy_within(self.start..self.end, 0);
            } else {
                let mut memory = vec![0; sum([length, length]).max(pool.size())];
                self.copy_to(&mut memory);
                self.give_back(pool);
                self.memory = memory;
            }
            (self.start, self.end) = (0, length);
        }
        self.free()
    }

    /// What of the memory is behind the received bytes.
    #[expect(clippy::indexing_slicing, reason = "the end is not behind the memory")]
    fn free(&mut self) -> &mut [u8] {
        &mut self.memory[self.end..]
    }

    /// Copies what is there to the beginning of the memory that is to take the place of this one.
    fn copy_to(&self, memory: &mut [u8]) {
        if let Some(beginning) = memory.get_mut(..self.len()) {
            beginning.copy_from_slice(self.data());
        }
    }

    /// Notes that `count` bytes were read into [`Input::space`].
    pub fn filled(&mut self, count: usize) {
        self.end = self.end.saturating_add(count).min(self.all().len());
    }

    /// Drops `count` understood bytes from the front.
    pub fn consume(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.end);
        self.scanned = 0;
        self.need = 0;
    }

    /// Gives the memory back if nothing is there.
    pub fn rest(&mut self, pool: &mut Pool) {
        if self.is_empty() && !self.all().is_empty() {
            self.give_back(pool);
            (self.start, self.end) = (0, 0);
        }
    }

    /// Whether it has memory, for what is there or for what comes next.
    pub fn has_memory(&self) -> bool {
        !self.all().is_empty()
    }

    /// All that is there is understood; the memory is for what comes next.
    #[inline]
    pub fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
        (self.scanned, self.need) = (0, 0);
    }

    /// Has the memory of another one, of which nothing is left, from now on; what of it is of no use here goes back.
    pub fn inherit(&mut self, mut other: Input, pool: &mut Pool) {
        if self.memory.is_empty() && other.memory.len() == pool.size() {
            other.clear();
            *self = other;
        } else {
            other.rest(pool);
        }
    }

    fn give_back(&mut self, pool: &mut Pool) {
        match self.long.take() {
            Some(long) => pool.give_long(long.memory),
            None => pool.give(std::mem::take(&mut self.memory)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(input: &mut Input, pool: &mut Pool, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let space = input.space(pool);
            let count = space.len().min(rest.len());
            space[..count].copy_from_slice(&rest[..count]);
            input.filled(count);
            rest = &rest[count..];
        }
    }

    #[test]
    fn grows_compacts_and_rests() {
        let mut pool = Pool::new(8);
        let mut input = Input::default();
        fill(&mut input, &mut pool, b"abcdefghij");
        assert_eq!(input.data(), b"abcdefghij");
        input.consume(8);
        fill(&mut input, &mut pool, b"klmnopqrs");
        assert_eq!(input.data(), b"ijklmnopqrs");
        assert!(input.value().owner.is_none());
        input.consume(11);
        input.rest(&mut pool);
        assert!(input.is_empty());
        assert_eq!(input.memory.capacity(), 0);
    }

    #[test]
    fn memory_is_inherited_where_it_is_of_use() {
        let mut pool = Pool::new(8);
        let (mut heir, mut short, mut long) = (Input::default(), Input::default(), Input::default());
        fill(&mut short, &mut pool, b"abc");
        fill(&mut long, &mut pool, b"abcdefghi");
        let address = short.memory.as_ptr();
        short.consume(3);
        long.consume(9);
        heir.inherit(long, &mut pool);
        assert!(!heir.has_memory());
        heir.inherit(short, &mut pool);
        assert_eq!(
            (heir.has_memory(), heir.space(&mut pool).as_ptr(), heir.space(&mut pool).len()),
            (true, address, 8)
        );
        let mut other = Input::default();
        fill(&mut other, &mut pool, b"d");
        let address = other.memory.as_ptr();
        other.consume(1);
        heir.inherit(other, &mut pool);
        let given_back = pool.take();
        assert_eq!(given_back.as_ptr(), address, "one is enough");
    }

    #[test]
    fn a_long_message_can_be_shared() {
        let mut pool = Pool::new(8);
        let mut input = Input::default();
        fill(&mut input, &mut pool, b"xxabc");
        input.consume(2);
        input.expect(20, &mut pool);
        assert!(!input.is_worth_parsing());
        assert_eq!(input.space(&mut pool).len(), 17);
        fill(&mut input, &mut pool, b"defghijklmnopqrst");
        assert!(input.is_worth_parsing());
        assert_eq!(input.value().owner.unwrap().as_slice(), b"abcdefghijklmnopqrst");
        input.consume(20);
        input.rest(&mut pool);
        assert_eq!(input.all().len(), 0);
    }

    #[test]
    fn a_long_line_grows_by_doubling() {
        let mut pool = Pool::new(8);
        let mut input = Input::default();
        for length in 1..100 {
            fill(&mut input, &mut pool, b"x");
            input.expect(length + 1, &mut pool);
            assert!(input.long.is_none());
        }
        assert!(input.memory.len() < 256);
        fill(&mut input, &mut pool, b"\n");
        assert_eq!(input.len(), 100);
    }
}
