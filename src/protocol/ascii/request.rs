//! Client bytes to [`Request`]: lines, data blocks and their limits.
//!
//! [`parse`] finds the line, cuts it, has the words judged (file `line`) and, for a storage command, checks the
//! data block that follows. The rules are those of 04 §2 and §3 with their replacements.

use super::line::{self, Command};
use crate::buffer::Value;
use crate::protocol::keyed::Keyed;
use crate::protocol::numbers;
use crate::protocol::scan::{self, digits, key_end, split_word};
use crate::protocol::{Answered, Request, Store, StoreVerb};
use crate::sums::{sum, up_to};
use memchr::memchr;

/// Longest line in bytes, up to its line feed (02 §3).
pub const LINE_MAX: usize = 8192;

/// Longest line of `get`, `gets`, `bget`, `gat` and `gats`, which may hold thousands of keys (02 §3). (`bget` is a
/// command of the built-in server only; there a refused line, which is still in the buffer, gets a second look.)
pub const RETRIEVAL_LINE_MAX: usize = 8 * 1024 * 1024;

/// Largest value in bytes that a storage line can announce, whatever the configured limit (04 §3): with its line
/// end it must fit a signed 32-bit number.
pub const BYTES_MAX: u64 = i32::MAX as u64 - 2;

/// The answer to a line that is too long; the connection is closed after it.
pub const LINE_TOO_LONG: &[u8] = b"CLIENT_ERROR line too long\r\n";

/// The answer to what is not a command.
pub const ERROR: &[u8] = line::ERROR;

/// The answer to a value above the limit.
pub const TOO_LARGE: &[u8] = b"SERVER_ERROR object too large for cache\r\n";

/// How the most frequent request begins.
const GET: &[u8] = b"get ";

/// How long the line of the second most frequent one is without its key and its numbers.
const SET_FRAME: usize = "set    \r\n".len();

/// The answer to a data block that does not end where its line said.
pub const BAD_CHUNK: &[u8] = b"CLIENT_ERROR bad data chunk\r\n";

/// What the beginning of a client's bytes is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Parsed<'a> {
    /// Nothing can be said before the buffer holds `need` bytes, which is always more than it holds now. For a
    /// storage command whose line is complete `need` covers line, value and line end.
    Incomplete {
        /// Bytes, counted from the beginning of the buffer.
        need: usize,
    },
    /// One complete request.
    Request {
        /// What is asked for.
        request: Request<'a>,
        /// When it is answered.
        answered: Answered,
        /// Bytes to consume.
        len: usize,
    },
    /// Refused here.
    Rejected {
        /// The line to answer with.
        reply: &'static [u8],
        /// When it is answered.
        answered: Answered,
        /// Bytes to consume.
        len: usize,
    },
    /// A value is refused, for its size or because nobody knows its command: consume the line, then drop the value as it
    /// arrives, so that it cannot pass for a command.
    ValueRefused {
        /// The line to answer with.
        reply: &'static [u8],
        /// When it is answered.
        answered: Answered,
        /// Bytes of the line, to consume now.
        len: usize,
        /// Bytes of value and line end behind the line, to drop (they may not have arrived yet).
        swallow: u64,
    },
    /// The line is not memcached's but HTTP's: close without an answer, and obey nothing of what follows. It may be the
    /// body of a request that somebody else made a browser send.
    Http,
    /// The line exceeds its limit: answer [`LINE_TOO_LONG`] and close.
    LineTooLong,
}

/// Looks at the beginning of `buf`.
///
/// `scanned` says how many bytes of `buf` are known to hold no line feed, so that a line that arrives slowly is not
/// searched twice; the caller resets it to 0 whenever it consumes bytes. `value_max` is the largest value in bytes.
pub fn parse<'a>(buf: impl Into<Value<'a>>, scanned: &mut usize, value_max: u64) -> Parsed<'a> {
    let all = buf.into();
    let buf = all.bytes;
    let from = (*scanned).min(buf.len());
    if let Some((key, len)) = plain_get(buf) {
        *scanned = len.saturating_sub(1);
        return Parsed::Request {
            request: Request::Keyed(Keyed::Get { key, cas: false }),
            answered: Answered::Always,
            len,
        };
    }
    if let Some(parsed) = plain_store(all, scanned, value_max) {
        return parsed;
    }
    let Some((line, len)) = scan::line(buf, from) else {
        *scanned = buf.len();
        return match buf.len() > LINE_MAX && buf.len() > line_max(buf) {
            true => Parsed::LineTooLong,
            false => Parsed::Incomplete { need: sum([buf.len(), 1]) },
        };
    };
    *scanned = line.len();
    if line.len() > LINE_MAX && line.len() > line_max(line) {
        return Parsed::LineTooLong;
    }
    match line::command(cut(line)) {
        Command::Request { request, answered } => Parsed::Request { request, answered, len },
        Command::Refused { reply, answered } => Parsed::Rejected { reply, answered, len },
        Command::StoreRefused { reply, swallow } => {
            Parsed::ValueRefused { reply, answered: Answered::Always, len, swallow }
        }
        Command::Http => Parsed::Http,
        Command::Store { store, bytes, answered } => {
            storage(all, &Announced { store, bytes, answered, len }, value_max)
        }
    }
}

/// The line of a storage command.
struct Announced<'a> {
    /// Without its value.
    store: Store<'a>,
    /// How long that is.
    bytes: u64,
    answered: Answered,
    /// Where the line ends.
    len: usize,
}

/// A storage command: takes the data block if it is there.
fn storage<'a>(all: Value<'a>, announced: &Announced<'a>, value_max: u64) -> Parsed<'a> {
    let Announced { store, bytes, answered, len: line_len } = *announced;
    if bytes > BYTES_MAX {
        return Parsed::Rejected { reply: line::BAD_FORMAT, answered, len: line_len };
    }
    let too_large =
        Parsed::ValueRefused { reply: TOO_LARGE, answered, len: line_len, swallow: bytes.saturating_add(2) };
    if bytes > value_max {
        return too_large;
    }
    // The sum can only overflow where addresses have 32 bits, and there such a value cannot be held.
    let Some((value_end, len)) = usize::try_from(bytes)
        .ok()
        .and_then(|bytes| line_len.checked_add(bytes))
        .and_then(|end| Some((end, end.checked_add(2)?)))
    else {
        return too_large;
    };
    match (all.bytes.get(line_len..value_end), all.bytes.get(value_end..len)) {
        (Some(value), Some(b"\r\n")) => {
            let store = Store { value: all.with(value), ..store };
            Parsed::Request { request: Request::Keyed(Keyed::Store(store)), answered, len }
        }
        (Some(_), Some(_)) => Parsed::Rejected { reply: BAD_CHUNK, answered, len },
        _ => Parsed::Incomplete { need: len },
    }
}

/// The most frequent request by far: `get` and one key, in so many bytes, the line's end included. `None`: it is
/// something else, or not all of it is there, and [`parse`] has to see it.
#[inline]
pub fn plain_get(buf: &[u8]) -> Option<(&[u8], usize)> {
    let rest = buf.strip_prefix(GET)?;
    let (key, end) = rest.split_at_checked(key_end(rest)?)?;
    let ([b'\r', b'\n', behind @ ..] | [b'\n', behind @ ..]) = end else { return None };
    Some((key, up_to(buf, behind)))
}

/// The second most frequent one: `set` as it is written by everybody.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlainSet<'a> {
    /// What is stored.
    pub store: Store<'a>,
    /// How long it is, all line ends included.
    pub length: usize,
    /// How long the line is without its line feed.
    line: usize,
    /// All of it, if that is what a server is told, and not long enough to be shared.
    pub as_it_is: Option<&'a [u8]>,
}

/// A `set` all of which is there, with a value of `value_max` bytes at most. Everything else is `None`.
#[inline]
pub fn plain_set(all: Value<'_>, value_max: u64) -> Option<PlainSet<'_>> {
    let buf = all.bytes;
    let rest = buf.strip_prefix(b"set ")?;
    let end = key_end(rest)?;
    let (key, rest) = rest.split_at_checked(end)?;
    let (flags, rest) = digits(rest.strip_prefix(b" ")?)?;
    let (exptime, rest) = digits(rest.strip_prefix(b" ")?)?;
    let (bytes, rest) = digits(rest.strip_prefix(b" ")?)?;
    let block = rest.strip_prefix(b"\r\n")?;
    let announced = bytes;
    let bytes = usize::try_from(bytes).ok().filter(|bytes| *bytes as u64 <= value_max.min(BYTES_MAX))?;
    let (value, end) = block.split_at_checked(bytes)?;
    let length = up_to(buf, end.strip_prefix(b"\r\n")?);
    // Written anew, a number has no zeros in front.
    let numbers = [flags, exptime, announced].map(numbers::digits);
    let line = up_to(buf, block);
    let is_same = line == sum([SET_FRAME, key.len(), sum(numbers)]) && all.owner.is_none();
    let (flags, exptime) = (u32::try_from(flags).ok()?, i64::try_from(exptime).ok()?);
    let store = Store { verb: StoreVerb::Set, key, flags, exptime, cas: None, value: all.with(value) };
    let as_it_is = if is_same { buf.get(..length) } else { None };
    Some(PlainSet { store, length, line: line.saturating_sub(1), as_it_is })
}

fn plain_store<'a>(all: Value<'a>, scanned: &mut usize, value_max: u64) -> Option<Parsed<'a>> {
    let PlainSet { store, length, line, .. } = plain_set(all, value_max)?;
    *scanned = line;
    Some(Parsed::Request { request: Request::Keyed(Keyed::Store(store)), answered: Answered::Always, len: length })
}

/// The line without its carriage return (unless there is nothing else, 04 §2.1), and only up to the first NUL.
pub(crate) fn cut(line: &[u8]) -> &[u8] {
    let line = match line {
        [rest @ .., b'\r'] if !rest.is_empty() => rest,
        line => line,
    };
    match memchr(0, line) {
        Some(end) => line.get(..end).unwrap_or(line),
        None => line,
    }
}

/// How long the line that begins like this may become. The command word may still be incomplete.
fn line_max(start: &[u8]) -> usize {
    // Behind more blanks than that there is no word that counts.
    let blanks = start.iter().take(LINE_MAX).take_while(|&&byte| byte == b' ').count();
    let rest = start.get(blanks..).unwrap_or_default();
    // Looking at five bytes is enough: the longest word that counts has four.
    let (word, _) = split_word(rest.get(..5).unwrap_or(rest));
    let ended = word.len() < rest.len();
    let retrieval = [&b"get"[..], b"gets", b"bget", b"gat", b"gats"]
        .iter()
        .any(|candidate| if ended { *candidate == word } else { candidate.starts_with(word) });
    if retrieval { RETRIEVAL_LINE_MAX } else { LINE_MAX }
}

#[cfg(test)]
mod tests;
