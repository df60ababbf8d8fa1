//! A queue of bytes: what lies in a socket buffer, or is still to be sent.

/// Bytes, taken from the front.
#[derive(Clone, Debug, Default)]
pub struct Bytes {
    data: Vec<u8>,
    start: usize,
}

impl Bytes {
    /// What is there.
    pub fn as_slice(&self) -> &[u8] {
        &self.data[self.start..]
    }

    /// How much is there.
    pub fn len(&self) -> usize {
        self.data.len() - self.start
    }

    /// Whether nothing is there.
    pub fn is_empty(&self) -> bool {
        self.start == self.data.len()
    }

    /// Appends.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 4096 && self.start > self.data.len() / 2 {
            self.data.drain(..self.start);
            self.start = 0;
        }
        self.data.extend_from_slice(bytes);
    }

    /// Drops `count` bytes from the front.
    pub fn drop_front(&mut self, count: usize) {
        self.start = (self.start + count).min(self.data.len());
        if self.is_empty() {
            self.data.clear();
            self.start = 0;
        }
    }

    /// Drops all.
    pub fn clear(&mut self) {
        self.drop_front(usize::MAX / 2);
    }

    /// Moves `count` bytes to the end of `other`.
    pub fn move_to(&mut self, other: &mut Bytes, count: usize) {
        let count = count.min(self.len());
        other.push(&self.as_slice()[..count]);
        self.drop_front(count);
    }
}
