//! Reads replies and compares every byte with what it must be.

use super::keys::{KEY_LENGTH, Keys};
use super::request::{GET, GETQ, HEADER, Kind, NOOP, Protocol, Request, SET};

/// A line longer than this is no reply to anything that is asked here.
const LONGEST_LINE: usize = 8 * 1024;

/// How far the reply to the oldest request has been read.
#[derive(Debug, Default)]
pub struct Reader {
    /// The value that is being read: the number of its key, and how much has been compared.
    value: Option<(u32, usize)>,
}

/// What became of some input.
#[derive(Debug, PartialEq, Eq)]
pub struct Taken {
    /// How many bytes were used.
    pub used: usize,
    /// Whether they complete the reply.
    pub is_complete: bool,
}

const fn taken(used: usize, is_complete: bool) -> Taken {
    Taken { used, is_complete }
}

impl Reader {
    /// Reads on in the reply to `request`. Nothing used means that the rest must come first.
    ///
    /// # Errors
    /// When the reply is not what it must be; the text says what came instead.
    pub fn take(
        &mut self,
        protocol: Protocol,
        request: &mut Request,
        keys: &Keys,
        input: &[u8],
    ) -> Result<Taken, String> {
        match protocol {
            Protocol::Ascii => self.ascii(request, keys, input),
            Protocol::Meta => self.meta(request, keys, input),
            Protocol::Binary => self.binary(request, keys, input),
            Protocol::Echo => echo(request, keys, input),
        }
    }

    fn ascii(&mut self, request: &mut Request, keys: &Keys, input: &[u8]) -> Result<Taken, String> {
        if self.value.is_some() {
            return Ok(taken(self.value(keys, input, b"\r\n")?, false));
        }
        let Some(end) = memchr::memchr(b'\n', &input[..input.len().min(LONGEST_LINE)]) else {
            return if input.len() < LONGEST_LINE { Ok(taken(0, false)) } else { Err("an endless line".to_owned()) };
        };
        let line = &input[..=end];
        match (request.kind, line) {
            (Kind::Get, b"END\r\n") if request.is_complete() => return Ok(taken(line.len(), true)),
            (Kind::Set, b"STORED\r\n") => return Ok(taken(line.len(), true)),
            _ => {}
        }
        let value = line.strip_prefix(b"VALUE ").and_then(|rest| rest.split_at_checked(KEY_LENGTH));
        if let Some((name, rest)) = value
            && let Some(number) = keys.number(name)
            && rest
                .strip_prefix(b" 0 ")
                .and_then(|rest| rest.strip_suffix(b"\r\n"))
                .is_some_and(|size| is_number(size, keys.value_size()))
            && request.see(number, keys)
        {
            self.value = Some((number, 0));
            return Ok(taken(line.len(), false));
        }
        Err(format!("{:?} of {} key(s) is answered with {}", request.kind, request.count, line.escape_ascii()))
    }

    fn meta(&mut self, request: &mut Request, keys: &Keys, input: &[u8]) -> Result<Taken, String> {
        if self.value.is_some() {
            let used = self.value(keys, input, b"\r\n")?;
            return Ok(taken(used, self.value.is_none() && request.is_complete()));
        }
        let Some(end) = memchr::memchr(b'\n', &input[..input.len().min(LONGEST_LINE)]) else {
            return if input.len() < LONGEST_LINE { Ok(taken(0, false)) } else { Err("an endless line".to_owned()) };
        };
        let line = &input[..=end];
        if request.kind == Kind::Set {
            return self.ascii(request, keys, input);
        }
        let words: Vec<&[u8]> = line.trim_ascii_end().split(|byte| *byte == b' ').collect();
        if let [b"VA", size, opaque] = words[..]
            && is_number(size, keys.value_size())
            && let Some(number) =
                opaque.strip_prefix(b"O").and_then(|text| std::str::from_utf8(text).ok()?.parse().ok())
            && request.see(number, keys)
        {
            self.value = Some((number, 0));
            return Ok(taken(line.len(), false));
        }
        Err(format!("a meta get of {} key(s) is answered with {}", request.count, line.escape_ascii()))
    }

    fn binary(&mut self, request: &mut Request, keys: &Keys, input: &[u8]) -> Result<Taken, String> {
        if self.value.is_some() {
            let used = self.value(keys, input, b"")?;
            return Ok(taken(used, self.value.is_none() && request.count == 1));
        }
        let Some(header) = input.get(..HEADER) else { return Ok(taken(0, false)) };
        let number = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let (opcode, extras, status, body, opaque) =
            (header[1], header[4], [header[6], header[7]], number(8), number(12));
        if header[0] == 0x81 && status == [0, 0] {
            match (request.kind, opcode) {
                (Kind::Set, SET) if body == 0 && opaque == request.first => return Ok(taken(HEADER, true)),
                (Kind::Get, NOOP) if body == 0 && request.is_complete() => return Ok(taken(HEADER, true)),
                (Kind::Get, GET | GETQ)
                    if extras == 4 && body as usize == 4 + keys.value_size() && opaque < keys.count() =>
                {
                    if input.len() < HEADER + 4 {
                        return Ok(taken(0, false));
                    }
                    if request.see(opaque, keys) {
                        self.value = Some((opaque, 0));
                        return Ok(taken(HEADER + 4, false));
                    }
                }
                _ => {}
            }
        }
        Err(format!("{:?} of {} key(s) is answered with {}", request.kind, request.count, header.escape_ascii()))
    }

    /// Compares a value and the `tail` that ends it.
    fn value(&mut self, keys: &Keys, input: &[u8], tail: &[u8]) -> Result<usize, String> {
        let Some((number, done)) = self.value else { return Ok(0) };
        let value = keys.value(number);
        let mut used = 0;
        for part in [value.get(done..).unwrap_or_default(), &tail[done.saturating_sub(value.len())..]] {
            let length = part.len().min(input.len() - used);
            if part[..length] != input[used..used + length] {
                return Err(format!("the value of key {number} is wrong"));
            }
            used += length;
        }
        let done = done + used;
        self.value = (done < value.len() + tail.len()).then_some((number, done));
        Ok(used)
    }
}

fn is_number(text: &[u8], number: usize) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| text.parse() == Ok(number))
}

fn echo(request: &Request, keys: &Keys, input: &[u8]) -> Result<Taken, String> {
    let mut expected = Vec::with_capacity(64);
    request.write(Protocol::Echo, keys, &mut expected);
    if input.len() < expected.len() {
        return Ok(taken(0, false));
    }
    if !input.starts_with(&expected) {
        return Err("the echo is wrong".to_owned());
    }
    Ok(taken(expected.len(), true))
}
