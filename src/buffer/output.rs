//! What is to be written to a socket.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::ops::Range;
use std::sync::Arc;

use super::Value;
use super::{SHARE_MIN, Spare};
use crate::sums::{before, behind, sum};

/// How many released bytes may lie before the retained ones until these are moved to the front.
const COMPACT_MIN: usize = 64 * 1024;

/// How much memory a resting output gives to its successor at most; more is freed.
const KEEP_CAPACITY: usize = 64 * 1024;

/// Bytes to be written, named by their position in the stream since the connection was made.
///
/// Three positions: everything before `released` is forgotten, everything before `sent` has been given to the
/// socket, `end` is where the next byte goes. A client's output is released as it is sent; a server's is
/// kept until the server has answered, because a retry starts from it.
#[derive(Debug, Default)]
pub struct Output {
    /// Older pieces, each with the position of its first byte.
    pieces: VecDeque<(u64, Piece)>,
    /// The newest bytes.
    tail: Vec<u8>,
    /// The position of `tail[0]`.
    tail_at: u64,
    sent: u64,
    released: u64,
}

#[derive(Clone, Debug)]
enum Piece {
    Own(Vec<u8>),
    Shared(Arc<Vec<u8>>, Range<usize>),
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        match self {
            Piece::Own(bytes) => bytes,
            // It was taken from there.
            Piece::Shared(bytes, range) => bytes.get(range.clone()).unwrap_or_default(),
        }
    }
}

impl Output {
    /// The position after the last byte.
    pub fn end(&self) -> u64 {
        behind(self.tail_at, self.tail.len())
    }

    /// The position of the first byte that the socket has not taken.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// How many bytes the socket has not taken.
    pub fn unsent(&self) -> u64 {
        before(self.end(), self.sent)
    }

    /// Whether all was taken by the socket.
    pub fn is_sent(&self) -> bool {
        self.sent == self.end()
    }

    /// Where small things are written to.
    pub fn tail(&mut self) -> &mut Vec<u8> {
        &mut self.tail
    }

    /// The bytes from position `at` on, if these are still among the newest ones, to be changed in place.
    pub fn tail_from(&mut self, at: u64) -> Option<&mut [u8]> {
        let offset = usize::try_from(at.checked_sub(self.tail_at)?).ok()?;
        self.tail.get_mut(offset..)
    }

    /// Appends the bytes; if they are a large part of their buffer, they are shared instead of copied.
    pub fn push(&mut self, Value { bytes, owner }: Value<'_>) {
        let Some(owner) = owner.filter(|_| bytes.len() >= SHARE_MIN) else {
            return self.tail.extend_from_slice(bytes);
        };
        let offset = (bytes.as_ptr() as usize).wrapping_sub(owner.as_ptr() as usize);
        match offset.checked_add(bytes.len()) {
            Some(end) if end <= owner.len() => self.push_piece(Piece::Shared(Arc::clone(owner), offset..end)),
            _ => self.tail.extend_from_slice(bytes),
        }
    }

    fn push_piece(&mut self, piece: Piece) {
        self.settle_tail();
        let end = behind(self.tail_at, piece.bytes().len());
        self.pieces.push_back((self.tail_at, piece));
        self.tail_at = end;
    }

    /// Makes the tail an older piece.
    fn settle_tail(&mut self) {
        if !self.tail.is_empty() {
            let tail = std::mem::take(&mut self.tail);
            let end = behind(self.tail_at, tail.len());
            self.pieces.push_back((self.tail_at, Piece::Own(tail)));
            self.tail_at = end;
        }
    }

    /// Appends everything that `other` holds and empties it.
    pub fn append(&mut self, other: &mut Output) {
        while let Some((_, piece)) = other.pieces.pop_front() {
            match piece {
                Piece::Own(bytes) => self.tail.extend_from_slice(&bytes),
                shared => self.push_piece(shared),
            }
        }
        if self.tail.is_empty() && self.pieces.is_empty() && self.tail.capacity() < other.tail.capacity() {
            std::mem::swap(&mut self.tail, &mut other.tail);
        } else {
            self.tail.extend_from_slice(&other.tail);
        }
        other.tail.clear();
        let end = other.tail_at;
        (other.sent, other.released) = (end, end);
    }

    /// Appends the bytes of `range`, given in `from`'s positions, to this output.
    pub fn copy_from(&mut self, from: &Output, range: Range<u64>) {
        let first = from.pieces.partition_point(|(at, piece)| behind(*at, piece.bytes().len()) <= range.start);
        for (at, piece) in from.pieces.range(first..).take_while(|(at, _)| *at < range.end) {
            let Some(bytes) = part_of(*at, piece.bytes(), &range) else { continue };
            match piece {
                Piece::Own(_) => self.tail.extend_from_slice(bytes),
                Piece::Shared(owner, _) => self.push(Value { bytes, owner: Some(owner) }),
            }
        }
        if let Some(bytes) = part_of(from.tail_at, &from.tail, &range) {
            self.tail.extend_from_slice(bytes);
        }
    }

    /// Appends the bytes of `range` to `out`; only used for small ranges such as keys.
    pub fn read(&self, range: Range<u64>, out: &mut Vec<u8>) {
        for (at, bytes) in
            self.pieces.iter().map(|(at, piece)| (*at, piece.bytes())).chain([(self.tail_at, &self.tail[..])])
        {
            if let Some(part) = part_of(at, bytes, &range) {
                out.extend_from_slice(part);
            }
        }
    }

    /// The bytes of `range` if they lie together, as every small thing written in one go does.
    pub fn slice(&self, range: Range<u64>) -> Option<&[u8]> {
        let within = |at: u64, bytes: &'_ [u8]| -> Option<Range<usize>> {
            let start = usize::try_from(range.start.checked_sub(at)?).ok()?;
            let end = usize::try_from(range.end.checked_sub(at)?).ok()?;
            (start <= end && end <= bytes.len()).then_some(start..end)
        };
        if let Some(part) = within(self.tail_at, &self.tail) {
            return self.tail.get(part);
        }
        self.pieces.iter().rev().find_map(|(at, piece)| piece.bytes().get(within(*at, piece.bytes())?))
    }

    /// Whether all unsent bytes before `limit` lie together; then [`Output::contiguous`] gives them.
    pub fn contiguous(&self, limit: u64) -> Option<&[u8]> {
        if !self.pieces.is_empty() && self.sent < self.tail_at {
            return None;
        }
        let start = before(self.sent, self.tail_at) as usize;
        let end = before(limit.min(self.end()), self.tail_at) as usize;
        self.tail.get(start..end.max(start))
    }

    /// The unsent bytes before `limit`, in pieces, at most `most` of them.
    pub fn slices(&self, limit: u64, most: usize) -> Vec<IoSlice<'_>> {
        let wanted = self.sent..limit.min(self.end());
        let mut slices = Vec::new();
        for (at, bytes) in
            self.pieces.iter().map(|(at, piece)| (*at, piece.bytes())).chain([(self.tail_at, &self.tail[..])])
        {
            if slices.len() == most {
                break;
            }
            if let Some(part) = part_of(at, bytes, &wanted) {
                slices.push(IoSlice::new(part));
            }
        }
        slices
    }

    /// Takes out the bytes of `range`, of which the socket has taken none; what is behind them moves up.
    pub fn remove(&mut self, range: Range<u64>) {
        debug_assert!(range.start >= self.sent && range.end <= self.end());
        let tail_at = self.tail_at;
        if let Some(part) = overlap(tail_at, self.tail.len(), &range) {
            self.tail.drain(part);
        }
        self.tail_at = before(tail_at, before(range.end.min(tail_at), range.start.min(tail_at)));
        if range.start >= tail_at {
            return self.forget_released();
        }
        let mut next = self.pieces.front().map_or(tail_at, |(at, _)| *at);
        for (at, piece) in std::mem::take(&mut self.pieces) {
            let length = piece.bytes().len();
            let part = overlap(at, length, &range).unwrap_or(length..length);
            let rest = match piece {
                Piece::Own(mut bytes) => {
                    bytes.drain(part);
                    [Piece::Own(bytes), Piece::Own(Vec::new())]
                }
                Piece::Shared(owner, whole) => {
                    let first = whole.start..sum([whole.start, part.start]);
                    let last = sum([whole.start, part.end])..whole.end;
                    [Piece::Shared(Arc::clone(&owner), first), Piece::Shared(owner, last)]
                }
            };
            for piece in rest {
                let length = piece.bytes().len();
                if length > 0 {
                    self.pieces.push_back((next, piece));
                    next = behind(next, length);
                }
            }
        }
        self.forget_released();
    }

    /// Notes that the socket took `count` bytes.
    pub fn advance(&mut self, count: usize) {
        self.sent = self.sent.saturating_add(count as u64).min(self.end());
    }

    /// So many bytes released of the tail are not worth being freed: not all of it, and not many.
    fn few(&self) -> usize {
        self.tail.len().min(COMPACT_MIN)
    }

    /// Forgets everything before `at`.
    pub fn release(&mut self, at: u64) {
        let at = at.min(self.sent);
        if at <= self.released {
            return;
        }
        self.released = at;
        self.forget_released();
    }

    #[inline]
    fn forget_released(&mut self) {
        if self.pieces.is_empty() && self.released < behind(self.tail_at, self.few()) {
            return;
        }
        while let Some((start, piece)) = self.pieces.front() {
            if behind(*start, piece.bytes().len()) > self.released {
                return;
            }
            self.pieces.pop_front();
        }
        let gone = self.released.saturating_sub(self.tail_at) as usize;
        if gone == self.tail.len() {
            self.tail.clear();
            self.tail_at = self.released;
        } else if gone >= COMPACT_MIN && gone >= self.tail.len() / 2 {
            self.tail.drain(..gone);
            self.tail_at = behind(self.tail_at, gone);
        }
    }

    /// Forgets what was sent, as a client's output may.
    #[inline]
    pub fn release_sent(&mut self) {
        if self.pieces.is_empty() && self.is_sent() {
            self.tail.clear();
            (self.tail_at, self.released) = (self.sent, self.sent);
            return;
        }
        self.release(self.sent);
    }

    /// Forgets everything, sent or not, and keeps the memory unless it is much.
    pub fn clear(&mut self) {
        self.advance(usize::MAX);
        self.release(self.end());
        if self.tail.capacity() > KEEP_CAPACITY {
            self.tail = Vec::new();
        }
    }
    /// Takes memory for the next bytes from `spare`, if it has none.
    #[inline]
    pub fn wake(&mut self, spare: &mut Spare<Vec<u8>>) {
        if self.tail.capacity() == 0
            && let Some(memory) = spare.take()
        {
            self.tail = memory;
        }
    }

    /// Gives the memory to `spare` if nothing is retained.
    #[inline]
    pub fn rest(&mut self, spare: &mut Spare<Vec<u8>>) {
        if self.tail.is_empty() && self.pieces.is_empty() && self.tail.capacity() > 0 {
            let memory = std::mem::take(&mut self.tail);
            if memory.capacity() <= KEEP_CAPACITY {
                spare.give(memory);
            }
            if self.pieces.capacity() > 0 {
                self.pieces = VecDeque::new();
            }
        }
    }
}

/// The part of a piece (at position `at`, `length` bytes) that lies in `range`.
fn overlap(at: u64, length: usize, range: &Range<u64>) -> Option<Range<usize>> {
    let start = range.start.max(at);
    let end = range.end.min(behind(at, length));
    (start < end).then(|| before(start, at) as usize..before(end, at) as usize)
}

/// The bytes of a piece (at position `at`) that lie in `range`.
fn part_of<'a>(at: u64, bytes: &'a [u8], range: &Range<u64>) -> Option<&'a [u8]> {
    bytes.get(overlap(at, bytes.len(), range)?)
}

#[cfg(test)]
mod tests;
