//! The three ways in which the end of a body is told (RFC 9112 §6.3).

use memchr::memchr;

use super::Malformed;

/// Longest line between chunks, in bytes, and most bytes of trailers.
const LONGEST_LINE: usize = 4096;

/// How a body goes on.
#[derive(Debug)]
pub(super) enum Body {
    /// So many bytes, then it is complete.
    Length(u64),
    /// Until the server closes the connection.
    UntilClose,
    /// It was of that kind, and is complete.
    Closed,
    /// In chunks, each with its length before it.
    Chunked { next: Next, line: Vec<u8>, trailers: usize },
}

/// What comes next of a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The line with a chunk's size.
    Size,
    /// So many bytes of a chunk.
    Data(u64),
    /// The end of the line that ends a chunk.
    DataEnd,
    /// A trailer, or the empty line after them.
    Trailer,
    /// Nothing: it is complete.
    Nothing,
}

impl Body {
    pub(super) fn chunked() -> Body {
        Body::Chunked { next: Next::Size, line: Vec::new(), trailers: 0 }
    }

    pub(super) fn is_done(&self) -> bool {
        matches!(self, Body::Length(0) | Body::Closed | Body::Chunked { next: Next::Nothing, .. })
    }

    /// The connection has been closed.
    pub(super) fn end(&mut self) -> Result<(), Malformed> {
        if let Body::UntilClose = self {
            *self = Body::Closed;
        }
        if self.is_done() { Ok(()) } else { Err(Malformed::Partial) }
    }

    /// Appends what `bytes` have of the body to `out`. The result is what follows the body.
    pub(super) fn feed<'a>(&mut self, mut bytes: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], Malformed> {
        match self {
            Body::Closed => {}
            Body::UntilClose => out.extend_from_slice(std::mem::take(&mut bytes)),
            Body::Length(left) => *left = left.saturating_sub(take(&mut bytes, *left, out)),
            Body::Chunked { next, line, trailers } => {
                while !bytes.is_empty() && *next != Next::Nothing {
                    *next = match *next {
                        Next::Data(left) => match left.saturating_sub(take(&mut bytes, left, out)) {
                            0 => Next::DataEnd,
                            left => Next::Data(left),
                        },
                        between => {
                            let Some(complete) = take_line(&mut bytes, line)? else { break };
                            let next = between.after_line(&complete, trailers)?;
                            *line = complete;
                            line.clear();
                            next
                        }
                    };
                }
            }
        }
        Ok(bytes)
    }
}

impl Next {
    /// What follows a complete line.
    fn after_line(self, line: &[u8], trailers: &mut usize) -> Result<Next, Malformed> {
        match self {
            Next::Size => Ok(match chunk_size(line)? {
                0 => Next::Trailer,
                size => Next::Data(size),
            }),
            Next::DataEnd if line.is_empty() => Ok(Next::Size),
            Next::Trailer if line.is_empty() => Ok(Next::Nothing),
            Next::Trailer => {
                *trailers = trailers.saturating_add(line.len());
                if *trailers > LONGEST_LINE { Err(Malformed::Body) } else { Ok(Next::Trailer) }
            }
            Next::DataEnd | Next::Data(_) | Next::Nothing => Err(Malformed::Body),
        }
    }
}

/// Moves up to `most` of `bytes` to `out`; the result is how many.
fn take(bytes: &mut &[u8], most: u64, out: &mut Vec<u8>) -> u64 {
    let count = usize::try_from(most).unwrap_or(usize::MAX).min(bytes.len());
    let (taken, rest) = bytes.split_at(count);
    out.extend_from_slice(taken);
    *bytes = rest;
    count as u64
}

/// Moves bytes to `line` up to the end of the line. Complete, it comes back without its end.
fn take_line(bytes: &mut &[u8], line: &mut Vec<u8>) -> Result<Option<Vec<u8>>, Malformed> {
    let end = memchr(b'\n', bytes);
    let (taken, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
    line.extend_from_slice(taken);
    if line.len() > LONGEST_LINE {
        return Err(Malformed::Body);
    }
    *bytes = rest.get(1..).unwrap_or(&[]);
    if end.is_none() {
        return Ok(None);
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(Some(std::mem::take(line)))
}

/// The number at the beginning of a chunk, hexadecimal; extensions after it are ignored.
fn chunk_size(line: &[u8]) -> Result<u64, Malformed> {
    let digits = line.split(|&byte| byte == b';').next().unwrap_or(line).trim_ascii();
    let text = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()));
    text.and_then(|text| u64::from_str_radix(text, 16).ok()).ok_or(Malformed::Body)
}
