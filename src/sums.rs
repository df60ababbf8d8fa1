//! Sums of lengths and counts, and why they fit: what is added up elsewhere says with `checked_`, `saturating_` or
//! `wrapping_` what becomes of one that does not.
//!
//! A length that somebody has announced is none of those meant here. It is a number from outside: compare it with what is
//! there, or with a limit, or add to it with `checked_add`. While debugging all of them are checked.

/// The sum of the lengths of what is in memory at the same time, or of a place there and how far something is from it.
/// Nothing in memory is longer than [`isize::MAX`], and all of it together is not longer than [`usize::MAX`].
#[inline]
pub fn sum<const N: usize>(lengths: [usize; N]) -> usize {
    let add = |sum: usize, length: &usize| {
        debug_assert!(sum.checked_add(*length).is_some(), "{sum} + {length}");
        sum.wrapping_add(*length)
    };
    lengths.iter().fold(0, add)
}

/// The place `length` bytes behind `at`, in a stream of bytes that are counted from its beginning: 64 bits last for 46
/// years at 100 Gbit/s.
#[inline]
pub fn behind(at: u64, length: usize) -> u64 {
    debug_assert!(at.checked_add(length as u64).is_some(), "{at} + {length}");
    at.wrapping_add(length as u64)
}

/// The place `length` bytes before `at`, in such a stream: they are there.
#[inline]
pub fn before(at: u64, length: u64) -> u64 {
    debug_assert!(at >= length, "{at} - {length}");
    at.wrapping_sub(length)
}

/// How far it is from one place in memory to another one, which is not before it.
#[inline]
pub fn between(from: usize, to: usize) -> usize {
    debug_assert!(from <= to, "{from} to {to}");
    to.wrapping_sub(from)
}

/// How far `text` goes up to `rest`, with which it ends.
#[inline]
pub fn up_to(text: &[u8], rest: &[u8]) -> usize {
    debug_assert_eq!(text.as_ptr_range().end, rest.as_ptr_range().end);
    text.len().saturating_sub(rest.len())
}

/// A number of things that come and go one by one. There are never more than memory has room for; what only comes, a
/// billion times a second, needs 584 years for 64 bits.
pub trait Count {
    /// One more.
    fn up(&mut self);

    /// One less; there was one.
    fn down(&mut self);
}

macro_rules! count {
    ($($number:ty),*) => {
        $(impl Count for $number {
            #[inline]
            fn up(&mut self) {
                debug_assert!(*self < <$number>::MAX);
                *self = self.wrapping_add(1);
            }

            #[inline]
            fn down(&mut self) {
                debug_assert!(*self > 0);
                *self = self.saturating_sub(1);
            }
        })*
    };
}

count!(u32, u64, usize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_differences() {
        let text = b"get k\r\nget";
        let (_, rest) = text.split_at(7);
        assert_eq!((up_to(text, rest), up_to(text, text)), (7, 0));
        assert_eq!((sum([]), sum([1, 2, 4]), behind(1 << 40, 2)), (0, 7, (1 << 40) + 2));
        assert_eq!((before(5, 5), between(3, 3), between(3, 7)), (0, 0, 4));
    }

    #[test]
    fn counts() {
        let (mut few, mut many) = (0u32, u64::from(u32::MAX));
        few.up();
        many.up();
        assert_eq!((few, many), (1, 1 << 32));
        few.down();
        many.down();
        assert_eq!((few, many), (0, u64::from(u32::MAX)));
    }
}
