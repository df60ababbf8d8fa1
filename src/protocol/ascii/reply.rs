//! ASCII server bytes to replies, and the `VALUE` line that clients get (04 §5.2).

use super::command;
use crate::protocol::KEY_MAX;
use crate::protocol::numbers::{parse_u32, parse_u64, push_u64};
use memchr::memchr;

/// Longest line a server may send, in bytes up to its line feed. Real ones stay far below.
pub const LINE_MAX: usize = 64 * 1024;

/// Largest value a server may announce, in bytes.
pub const VALUE_MAX: u64 = 1 << 31;

/// One piece of a server's answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reply<'a> {
    /// A whole `VALUE` block.
    Value {
        /// The key.
        key: &'a [u8],
        /// The client's flags.
        flags: u32,
        /// The CAS id, if the line has one.
        cas: Option<u64>,
        /// The value.
        data: &'a [u8],
        /// The whole block: line, value and line end.
        raw: &'a [u8],
    },
    /// `END`.
    End,
    /// A `STAT`, `ITEM` or `PREFIX` line.
    Stat {
        /// The line without its end.
        line: &'a [u8],
    },
    /// Any other line; never empty.
    Line {
        /// The line without its end.
        line: &'a [u8],
    },
}

/// What the beginning of a server's bytes is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Parsed<'a> {
    /// Nothing can be said before the buffer holds `need` bytes, which is always more than it holds now.
    Incomplete {
        /// Bytes, counted from the beginning of the buffer.
        need: usize,
    },
    /// One complete piece.
    Reply {
        /// What it is.
        reply: Reply<'a>,
        /// Bytes to consume.
        len: usize,
    },
    /// Not this protocol: the connection has to be closed.
    Malformed,
}

/// Looks at the beginning of `buf`.
///
/// `scanned` says how many bytes of `buf` are known to hold no line feed; the caller resets it to 0 whenever it
/// consumes bytes.
pub fn parse<'a>(buf: &'a [u8], scanned: &mut usize) -> Parsed<'a> {
    let from = (*scanned).min(buf.len());
    let end = match memchr(b'\n', &buf[from..]) {
        Some(at) if from + at <= LINE_MAX => from + at,
        None if buf.len() <= LINE_MAX => {
            *scanned = buf.len();
            return Parsed::Incomplete {
                need: buf.len() + 1,
            };
        }
        _ => return Parsed::Malformed,
    };
    *scanned = end;
    let len = end + 1;
    let line = &buf[..end];
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if let Some(fields) = line.strip_prefix(b"VALUE ") {
        return value_block(buf, fields, len);
    }
    let reply = match line {
        b"END" => Reply::End,
        // An empty line answers nothing, so whatever follows it would be out of step.
        b"" => return Parsed::Malformed,
        line if [&b"STAT "[..], b"ITEM ", b"PREFIX "]
            .iter()
            .any(|start| line.starts_with(start)) =>
        {
            Reply::Stat { line }
        }
        line => Reply::Line { line },
    };
    Parsed::Reply { reply, len }
}

/// `fields` is what follows `VALUE ` in a line that ends before `line_len`.
fn value_block<'a>(buf: &'a [u8], fields: &'a [u8], line_len: usize) -> Parsed<'a> {
    let Some((key, flags, bytes, cas)) = value_fields(fields) else {
        return Parsed::Malformed;
    };
    let Some(data_end) = line_len.checked_add(bytes) else {
        return Parsed::Malformed;
    };
    let Some(len) = data_end.checked_add(2) else {
        return Parsed::Malformed;
    };
    match (
        buf.get(line_len..data_end),
        buf.get(data_end..len),
        buf.get(..len),
    ) {
        (Some(data), Some(b"\r\n"), Some(raw)) => Parsed::Reply {
            reply: Reply::Value {
                key,
                flags,
                cas,
                data,
                raw,
            },
            len,
        },
        (_, Some(_), _) => Parsed::Malformed,
        _ => Parsed::Incomplete { need: len },
    }
}

/// Key, flags, size and CAS id of a `VALUE` line; `None` if they are not what they should be.
fn value_fields(fields: &[u8]) -> Option<(&[u8], u32, usize, Option<u64>)> {
    let mut words = fields
        .split(|&byte| byte == b' ')
        .filter(|word| !word.is_empty());
    let key = words.next().filter(|key| key.len() <= KEY_MAX)?;
    let flags = parse_u32(words.next()?)?;
    let bytes = parse_u64(words.next()?).filter(|&bytes| bytes <= VALUE_MAX)?;
    let cas = words
        .next()
        .map(|word| parse_u64(word).ok_or(()))
        .transpose()
        .ok()?;
    words
        .next()
        .is_none()
        .then_some((key, flags, usize::try_from(bytes).ok()?, cas))
}

/// Appends the `VALUE` line of a value of `len` bytes, with its line end. The caller appends the value and a
/// line end.
pub fn value(out: &mut Vec<u8>, key: &[u8], flags: u32, cas: Option<u64>, len: usize) {
    out.extend_from_slice(b"VALUE");
    command::key(out, key);
    out.push(b' ');
    push_u64(out, u64::from(flags));
    out.push(b' ');
    push_u64(out, len as u64);
    if let Some(cas) = cas {
        out.push(b' ');
        push_u64(out, cas);
    }
    command::end(out);
}
