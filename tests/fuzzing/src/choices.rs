//! What an input decides besides its text.

/// Decisions, taken from the front. An input that is too short decides for 0.
#[derive(Clone, Copy, Debug)]
pub struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    /// The decisions of `data`.
    pub fn new(data: &'a [u8]) -> Choices<'a> {
        Choices(data)
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A byte.
    pub fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    /// A number of two bytes, the first of which counts for less.
    pub fn short(&mut self) -> u16 {
        u16::from(self.byte()) | u16::from(self.byte()) << 8
    }

    /// A number below `end`, which is at most 256; 0 if that is 0.
    pub fn index(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end.max(1)
    }

    /// One of `choices`.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.index(choices.len())]
    }

    /// The next `count` bytes, or as many as there are.
    pub fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// All the rest, as bytes.
    pub fn rest(self) -> &'a [u8] {
        self.0
    }

    /// All the rest, as text; what is none is replaced.
    pub fn text(self) -> String {
        String::from_utf8_lossy(self.0).into_owned()
    }
}

/// `text` in pieces, in each of the ways that are compared with the whole: cut once, and in small pieces, which are
/// single bytes unless it is long.
pub fn cuttings(text: &[u8], at: u16) -> [Vec<&[u8]>; 2] {
    let (first, second) = text.split_at(usize::from(at) % (text.len() + 1));
    let small = 1 + text.len() / 4096;
    [vec![first, second], text.chunks(small).collect()]
}
