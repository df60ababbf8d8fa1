//! Memory for received bytes, handed from connection to connection.

use std::sync::Arc;

use super::Spare;
use crate::sums::sum;

/// How many spare buffers are kept at most; what comes back beyond that is freed.
const KEEP: usize = 256;
/// How many bytes of buffers for long messages are kept at most.
const KEEP_LONG: usize = 16 << 20;
/// How many buffers for long messages are kept at most, so that one is quickly found.
const KEEP_LONG_COUNT: usize = 64;

/// Buffers that are zeroed once and reused ever after: short ones of one size, and long ones that may be shared.
#[derive(Debug)]
pub struct Pool {
    size: usize,
    free: Spare<Vec<u8>>,
    long: Vec<Kept>,
    long_bytes: usize,
}

/// A long buffer that was given back. The outputs of other connections may still hold its contents.
#[derive(Debug)]
struct Kept {
    memory: Arc<Vec<u8>>,
    /// It has been here at the last trimming already.
    is_old: bool,
}

impl Pool {
    /// A pool of buffers of `size` bytes.
    pub fn new(size: usize) -> Pool {
        Pool { size, free: Spare::new(KEEP), long: Vec::new(), long_bytes: 0 }
    }

    /// The size of its short buffers in bytes.
    pub fn size(&self) -> usize {
        self.size
    }

    /// A buffer whose length is [`Pool::size`]; its contents are left-overs.
    pub fn take(&mut self) -> Vec<u8> {
        self.free.take().unwrap_or_else(|| vec![0; self.size])
    }

    /// Takes a buffer back; one of another size is freed.
    pub fn give(&mut self, buffer: Vec<u8>) {
        if buffer.len() == self.size {
            self.free.give(buffer);
        }
    }

    /// A buffer of at least `need` bytes that nobody else holds; its contents are left-overs.
    pub fn take_long(&mut self, need: usize) -> Arc<Vec<u8>> {
        let length = long_size(need);
        // The last one first: it is the likeliest to be in the processor's cache.
        let is_fit = |kept: &mut Kept| kept.memory.len() == length && Arc::get_mut(&mut kept.memory).is_some();
        match self.long.iter_mut().rposition(is_fit) {
            Some(index) => {
                self.long_bytes = self.long_bytes.saturating_sub(length);
                self.long.remove(index).memory
            }
            // Costs no memory before it is written to.
            None => Arc::new(vec![0; length]),
        }
    }

    /// Takes a long buffer back. It is used again when nobody else holds it any more.
    pub fn give_long(&mut self, memory: Arc<Vec<u8>>) {
        if self.long.len() < KEEP_LONG_COUNT && memory.len() <= KEEP_LONG.saturating_sub(self.long_bytes) {
            self.long_bytes = sum([self.long_bytes, memory.len()]);
            self.long.push(Kept { memory, is_old: false });
        }
    }

    /// Frees what was not needed since this was last called.
    pub fn trim(&mut self) {
        self.free.trim();
        self.long.retain(|kept| !kept.is_old);
        self.long.iter_mut().for_each(|kept| kept.is_old = true);
        self.long_bytes = self.long.iter().map(|kept| kept.memory.len()).sum();
    }

    /// Whether it holds nothing that [`Pool::trim`] may free.
    pub fn is_empty(&self) -> bool {
        self.free.is_empty() && self.long.is_empty()
    }
}

/// Rounds up to one of eight sizes between a power of two and the next, so that messages of nearly the same length use
/// the same buffers and at most an eighth is wasted.
fn long_size(need: usize) -> usize {
    let step = (need.checked_next_power_of_two().unwrap_or(need) / 16).max(1);
    need.checked_next_multiple_of(step).unwrap_or(need)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_buffers_are_used_again_when_nobody_holds_them() {
        let mut pool = Pool::new(8);
        let first = pool.take_long(1000);
        assert_eq!(first.len(), 1024);
        let (address, other) = (first.as_ptr(), Arc::clone(&first));
        pool.give_long(first);
        let second = pool.take_long(1000);
        assert_ne!(second.as_ptr(), address);
        drop(other);
        assert_ne!(pool.take_long(2000).as_ptr(), address);
        assert_eq!(pool.take_long(961).as_ptr(), address);
    }

    #[test]
    fn no_more_than_an_eighth_is_wasted() {
        for need in (1..5000).chain([1 << 20, (1 << 20) + 1, usize::MAX - 1, usize::MAX]) {
            let size = long_size(need);
            assert!(size >= need && size - need <= need / 8, "{need} {size}");
        }
    }

    #[test]
    fn a_burst_is_forgotten() {
        let mut pool = Pool::new(8);
        let (short, long) = (pool.take(), pool.take_long(1000));
        assert!(pool.is_empty());
        pool.give(short);
        pool.give_long(long);
        pool.trim();
        assert!(!pool.is_empty());
        pool.trim();
        assert!(pool.is_empty());
        assert_eq!(pool.long_bytes, 0);
    }

    #[test]
    fn too_much_is_not_kept() {
        let mut pool = Pool::new(8);
        let all: Vec<_> = (0..20).map(|_| pool.take_long(1 << 20)).collect();
        all.into_iter().for_each(|memory| pool.give_long(memory));
        assert_eq!(pool.long_bytes, KEEP_LONG);
        let small: Vec<_> = (0..2 * KEEP_LONG_COUNT).map(|_| pool.take_long(10)).collect();
        pool.trim();
        pool.trim();
        small.into_iter().for_each(|memory| pool.give_long(memory));
        assert_eq!(pool.long.len(), KEEP_LONG_COUNT);
    }
}
