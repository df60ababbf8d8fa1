//! Searching in short texts: eight bytes at a time, in a register. To set up a search routine that is made for long texts
//! costs more than a line of a few dozen bytes is worth.

use memchr::memchr;

use super::KEY_MAX;
use crate::sums::sum;

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// How far a byte is looked for here; whoever has not come to it by then reads a long text.
const SHORT: usize = 64;

/// The most digits that cannot exceed 64 bits.
const DIGITS: usize = 19;

/// Where the first byte below `limit`, at most 128, stands among eight.
fn below(bytes: [u8; 8], limit: u8) -> Option<usize> {
    let word = u64::from_le_bytes(bytes);
    // A byte borrows from the next one only if it is below the limit itself, so the lowest mark is a true one.
    let marks = word.wrapping_sub(ONES * u64::from(limit)) & !word & HIGH;
    (marks != 0).then(|| marks.trailing_zeros() as usize / 8)
}

/// Where the byte at `at` of the chunk of eight with this number stands.
fn place(number: usize, at: usize) -> usize {
    // It is there, so its place is a number.
    number.wrapping_mul(8).wrapping_add(at)
}

/// Where the first blank or control character of `text` stands.
#[inline]
pub fn word_end(text: &[u8]) -> Option<usize> {
    let (words, rest) = text.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        if let Some(at) = below(*word, b'!') {
            return Some(place(index, at));
        }
    }
    rest.iter().position(|byte| *byte <= b' ').map(|at| place(words.len(), at))
}

/// Where the key that `text` begins with ends, if it is one: not empty, and not too long. What is behind that is not looked
/// at: of a word of megabytes that comes byte by byte, each byte would cost as much as all before it.
#[inline]
pub fn key_end(text: &[u8]) -> Option<usize> {
    word_end(text.get(..=KEY_MAX).unwrap_or(text)).filter(|end| *end > 0)
}

/// Where the first line feed of `text` stands.
#[inline]
pub fn line_end(text: &[u8]) -> Option<usize> {
    find(b'\n', text)
}

/// Where the first blank of `text` stands.
#[inline]
pub fn blank(text: &[u8]) -> Option<usize> {
    find(b' ', text)
}

#[inline]
fn find(byte: u8, text: &[u8]) -> Option<usize> {
    let short = text.get(..SHORT).unwrap_or(text);
    let (words, rest) = short.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let differs = (u64::from_le_bytes(*word) ^ (ONES * u64::from(byte))).to_le_bytes();
        if let Some(at) = below(differs, 1) {
            return Some(place(index, at));
        }
    }
    if let Some(at) = rest.iter().position(|other| *other == byte) {
        return Some(place(words.len(), at));
    }
    let long = text.get(SHORT..)?;
    memchr(byte, long).map(|at| sum([SHORT, at]))
}

/// The first line of `text`, of which the first `from` bytes are known to hold no line feed: without its own, and how long it
/// is with it.
#[inline]
pub fn line(text: &[u8], from: usize) -> Option<(&[u8], usize)> {
    let end = sum([from, line_end(text.get(from..)?)?]);
    Some((text.get(..end)?, sum([end, 1])))
}

/// What follows the blanks that `text` begins with.
#[inline]
pub fn skip_blanks(text: &[u8]) -> &[u8] {
    let blanks = text.iter().take_while(|byte| **byte == b' ').count();
    text.get(blanks..).unwrap_or_default()
}

/// `text` up to its first blank, and the rest from there on.
#[inline]
pub fn split_word(text: &[u8]) -> (&[u8], &[u8]) {
    let end = blank(text).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, b""))
}

/// The number that `text` begins with, written in digits only, and what follows it. `None` if there is none, or if it
/// has so many digits that it may be larger than 64 bits.
#[inline(always)] // numbers are short: to be called, and to give this back, would take as long
pub fn digits(text: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0;
    for (index, byte) in text.iter().enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return if index == 0 { None } else { Some((number, text.get(index..)?)) };
        }
        if index == DIGITS {
            return None;
        }
        number = number.wrapping_mul(10).wrapping_add(u64::from(digit));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_end_at_what_is_no_digit() {
        assert_eq!(digits(b"120 x"), Some((120, &b" x"[..])));
        assert_eq!(digits(b"0\r"), Some((0, &b"\r"[..])));
        assert_eq!(digits(b"9999999999999999999 "), Some((9_999_999_999_999_999_999, &b" "[..])));
        for text in [&b""[..], b" 1 ", b"-1 ", b"x", b"12", b"10000000000000000000 "] {
            assert_eq!(digits(text), None, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn lines_and_words() {
        assert_eq!(line(b"a b\nc", 0), Some((&b"a b"[..], 4)));
        assert_eq!(line(b"a b\nc", 3), Some((&b"a b"[..], 4)));
        assert_eq!((line(b"a b\nc", 4), line(b"a", 2), line(b"", 0)), (None, None, None));
        assert_eq!((skip_blanks(b"  a "), skip_blanks(b"  "), skip_blanks(b"")), (&b"a "[..], &b""[..], &b""[..]));
        assert_eq!(split_word(b"a b c"), (&b"a"[..], &b" b c"[..]));
        assert_eq!((split_word(b"a"), split_word(b" a")), ((&b"a"[..], &b""[..]), (&b""[..], &b" a"[..])));
    }

    proptest! {
        #[test]
        fn finds_what_a_plain_search_finds(text in prop::collection::vec(
            prop_oneof![Just(b'\n'), Just(b' '), Just(b'\x0b'), Just(b'!'), 0x60u8.., any::<u8>()], 0..200))
        {
            // Rare enough that long stretches without occur.
            for text in [&text[..], &text.iter().filter(|byte| **byte > b'!').copied().collect::<Vec<_>>()] {
                prop_assert_eq!(line_end(text), text.iter().position(|byte| *byte == b'\n'));
                prop_assert_eq!(blank(text), text.iter().position(|byte| *byte == b' '));
                prop_assert_eq!(word_end(text), text.iter().position(|byte| *byte <= b' '));
                let is_key = |end: &usize| (1..=KEY_MAX).contains(end);
                prop_assert_eq!(key_end(text), text.iter().position(|byte| *byte <= b' ').filter(is_key));
            }
        }
    }
}
