//! Spare buffers of one size.

/// How many spare buffers are kept at most; what comes back beyond that is freed.
const KEEP: usize = 256;

/// Buffers of one size, handed out zeroed once and reused ever after.
#[derive(Debug)]
pub struct Pool {
    size: usize,
    free: Vec<Vec<u8>>,
}

impl Pool {
    /// A pool of buffers of `size` bytes.
    pub fn new(size: usize) -> Pool {
        Pool { size, free: Vec::new() }
    }

    /// The size of its buffers in bytes.
    pub fn size(&self) -> usize {
        self.size
    }

    /// A buffer whose length is [`Pool::size`]; its contents are left-overs.
    pub fn take(&mut self) -> Vec<u8> {
        self.free.pop().unwrap_or_else(|| vec![0; self.size])
    }

    /// Takes a buffer back; one of another size is freed.
    pub fn give(&mut self, buffer: Vec<u8>) {
        if buffer.len() == self.size && self.free.len() < KEEP {
            self.free.push(buffer);
        }
    }
}
