//! An HTTP/1.x response, read piece by piece (RFC 9112). No socket, no clock.

use std::fmt;

mod body;

use body::Body;

/// Longest head of a response, in bytes.
const LONGEST_HEAD: usize = 64 * 1024;
/// Most header fields.
const MOST_HEADERS: usize = 128;

/// What is wrong with a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// It is not HTTP/1.x, or the head is too long.
    Head,
    /// The body is not framed as the head says.
    Body,
    /// It ended too early.
    Partial,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Malformed::Head => "the answer is not HTTP",
            Malformed::Body => "the answer is not framed as HTTP has it",
            Malformed::Partial => "the answer was cut off",
        })
    }
}

/// A response that is being read.
#[derive(Debug, Default)]
pub struct Response {
    /// The head, or what has come of it.
    head: Vec<u8>,
    /// Set once the head is complete.
    begun: Option<Begun>,
    /// The server has said that the response is coming.
    is_announced: bool,
}

#[derive(Debug)]
struct Begun {
    status: u16,
    body: Body,
    /// Whether the server waits for another request on the same connection, as far as the head says.
    keeps_open: bool,
}

impl Response {
    /// Takes the next bytes of the connection; what they have of the body is appended to `out`. Bytes after the end
    /// of the response are ignored, but the connection is of no use any more.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
        if let Some(begun) = &mut self.begun {
            return begun.feed(bytes, out);
        }
        self.head.extend_from_slice(bytes);
        let Some((begun, length)) = head(&self.head)? else {
            return if self.head.len() > LONGEST_HEAD { Err(Malformed::Head) } else { Ok(()) };
        };
        let rest = self.head.split_off(length);
        self.head = Vec::new();
        if (100..200).contains(&begun.status) {
            // Not the response yet, only word that it is coming.
            self.is_announced = true;
            return self.feed(&rest, out);
        }
        self.begun.insert(begun).feed(&rest, out)
    }

    /// The connection has been closed by the server. An error if that was too early.
    pub fn end(&mut self) -> Result<(), Malformed> {
        self.begun.as_mut().ok_or(Malformed::Partial)?.body.end()
    }

    /// The status, once the head is complete.
    pub fn status(&self) -> Option<u16> {
        self.begun.as_ref().map(|begun| begun.status)
    }

    /// Whether nothing has come yet.
    pub fn is_empty(&self) -> bool {
        self.head.is_empty() && self.begun.is_none() && !self.is_announced
    }

    /// Whether the response is complete.
    pub fn is_done(&self) -> bool {
        self.begun.as_ref().is_some_and(|begun| begun.body.is_done())
    }

    /// Whether the response is complete, and the connection can be used for another one (RFC 9112 §9.3).
    pub fn leaves_connection(&self) -> bool {
        self.is_done() && self.begun.as_ref().is_some_and(|begun| begun.keeps_open)
    }

    /// Whether the head says how long the body is, so that it cannot be an endless stream.
    pub fn has_length(&self) -> bool {
        self.begun.as_ref().is_some_and(|begun| matches!(begun.body, Body::Length(_)))
    }
}

impl Begun {
    fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
        let rest = self.body.feed(bytes, out)?;
        // Nothing was asked for that it could be.
        self.keeps_open &= rest.is_empty();
        Ok(())
    }
}

/// Reads a head and its length, if it is complete.
fn head(bytes: &[u8]) -> Result<Option<(Begun, usize)>, Malformed> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let mut config = httparse::ParserConfig::default();
    config.allow_spaces_after_header_name_in_responses(true).ignore_invalid_headers_in_responses(true);
    let length = match config.parse_response(&mut response, bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(Malformed::Head),
    };
    let status = response.code.ok_or(Malformed::Head)?;
    let values = |name: &'static str| {
        let named = response.headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
        named.map(|header| header.value.trim_ascii())
    };
    let body = if matches!(status, 204 | 304) {
        Body::Length(0)
    } else if let Some(codings) = values("Transfer-Encoding").next_back() {
        let last = codings.rsplit(|&byte| byte == b',').next().unwrap_or(codings);
        if last.trim_ascii().eq_ignore_ascii_case(b"chunked") { Body::chunked() } else { Body::UntilClose }
    } else {
        let mut lengths = values("Content-Length").map(number);
        match lengths.next() {
            None => Body::UntilClose,
            Some(Some(length)) if lengths.all(|other| other == Some(length)) => Body::Length(length),
            Some(_) => return Err(Malformed::Head),
        }
    };
    let says = |word: &str| {
        let words =
            values("Connection").chain(values("Proxy-Connection")).flat_map(|list| list.split(|&byte| byte == b','));
        words.into_iter().any(|other| other.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
    };
    let is_old = response.version == Some(0);
    let keeps_open = !matches!(body, Body::UntilClose) && !says("close") && (!is_old || says("keep-alive"));
    Ok(Some((Begun { status, body, keeps_open }, length)))
}

/// A decimal number.
fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()
}

#[cfg(test)]
mod tests;
