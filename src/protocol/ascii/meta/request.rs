//! A client's bytes to a meta command.
//!
//! As in [`parse`](super::super::request::parse) of the classic commands nothing is copied, nothing is decided before it
//! has arrived, and how the bytes are cut does not matter. The answers to what is refused are memcached's, word for word.
//! The value behind a line of `ms` that says how long it is never becomes a command, whatever else the line says.

use super::super::line::BAD_FORMAT;
pub use super::super::request::{BAD_CHUNK, TOO_LARGE};
use super::super::request::{BYTES_MAX, LINE_MAX, cut};
use super::flags::{Flags, Letters, Options};
use super::key::{Key, KeyRoom};
use crate::buffer::Value;
use crate::protocol::ascii::answer::ERROR;
use crate::protocol::numbers::parse_u64;
use crate::protocol::scan::{self, skip_blanks};
use crate::protocol::{Answered, StoreVerb};

/// The answer to too many flags of `mg`.
const TOO_MANY_GET: &[u8] = b"CLIENT_ERROR options flags are too long\r\n";

/// The same for the others.
const TOO_MANY: &[u8] = b"CLIENT_ERROR options flags too long\r\n";

/// What `md` and `ma` say of any mistake in their flags.
const BAD_FLAG: &[u8] = b"CLIENT_ERROR invalid or duplicate flag\r\n";

/// The answer to an opaque token of more than 32 bytes with its letter.
const LONG_OPAQUE: &[u8] = b"CLIENT_ERROR opaque token too long\r\n";

/// The answer to a mode that `ms` does not have.
const BAD_STORE_MODE: &[u8] = b"CLIENT_ERROR invalid mode for ms M token\r\n";

/// The answer to a mode that `ma` does not have.
const BAD_ARITH_MODE: &[u8] = b"CLIENT_ERROR invalid mode for ma M token\r\n";

/// Longest opaque token in bytes, with its letter.
const OPAQUE_MAX: usize = 32;

/// What is to be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verb {
    /// `mn`: nothing. It has neither key nor flags.
    #[default]
    Noop,
    /// `mg`: get.
    Get,
    /// `ms`: store.
    Store(StoreVerb),
    /// `md`: delete, or mark as stale.
    Delete,
    /// `ma`: count.
    Arith {
        /// Down instead of up.
        decr: bool,
    },
    /// `me`: show what is known of an item.
    Debug,
}

impl Verb {
    /// The word.
    pub fn word(self) -> &'static [u8; 2] {
        match self {
            Verb::Noop => b"mn",
            Verb::Get => b"mg",
            Verb::Store(_) => b"ms",
            Verb::Delete => b"md",
            Verb::Arith { .. } => b"ma",
            Verb::Debug => b"me",
        }
    }
}

/// A meta command. Borrows the client's input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Meta<'a> {
    /// What is to be done.
    pub verb: Verb,
    /// The key.
    pub key: Key<'a>,
    /// The flags as they were written.
    pub flags: Flags<'a>,
    /// What they say.
    pub options: Options,
    /// What is to be stored.
    pub value: Value<'a>,
}

impl Meta<'_> {
    /// When it is answered.
    pub fn answered(&self) -> Answered {
        match self.options.is_quiet {
            true => Answered::quietly(self.verb == Verb::Get),
            false => Answered::Always,
        }
    }

    /// Whether it changes nothing at its server, not even how long an item lives or who may store it anew.
    pub fn is_read(&self) -> bool {
        let Options { vivify, expiry, recache, .. } = self.options;
        match self.verb {
            Verb::Noop | Verb::Debug => true,
            Verb::Get => vivify.is_none() && expiry.is_none() && recache.is_none(),
            Verb::Store(_) | Verb::Delete | Verb::Arith { .. } => false,
        }
    }

    /// Whether a get asks for something that only the item tells, if servers are older: its value, or what comes with it.
    pub fn needs_item(&self) -> bool {
        self.flags.letters().has_any(const { Letters::of(b"vfscC") })
    }

    /// Whether it asks for, or depends on, the CAS id.
    pub fn needs_cas(&self) -> bool {
        self.flags.letters().has_any(const { Letters::of(b"cC") })
    }
}

/// What the beginning of a client's bytes is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Parsed<'a> {
    /// A line of `ms` whose value is not all there: nothing can be said before the buffer holds `need` bytes.
    Incomplete {
        /// Bytes, counted from the beginning of the buffer.
        need: usize,
    },
    /// One complete command.
    Request {
        /// What is asked for.
        meta: Meta<'a>,
        /// Bytes to consume.
        len: usize,
    },
    /// Refused. Consume the line, then drop the value, if there is one, as it arrives.
    Refused {
        /// The line to answer with.
        reply: &'static [u8],
        /// Bytes to consume now.
        len: usize,
        /// Bytes behind these, to drop (they may not have arrived yet).
        swallow: u64,
    },
    /// A value above the limit. Nobody must find an older one under this key.
    TooLarge {
        /// The key.
        key: Key<'a>,
        /// Bytes to consume now.
        len: usize,
        /// Bytes behind these, to drop (they may not have arrived yet).
        swallow: u64,
    },
}

/// Looks at the beginning of `buf`. `None`: it is no meta command, or its line is not all there.
///
/// `scanned` is that of the classic commands' parser, which sees what is `None` here. `value_max` is the largest value in
/// bytes. `room` is for a key that is written in base64.
#[inline]
pub fn parse<'a>(
    buf: impl Into<Value<'a>>,
    room: &'a mut KeyRoom,
    scanned: &mut usize,
    value_max: u64,
) -> Option<Parsed<'a>> {
    let all = buf.into();
    let buf = all.bytes;
    let blanks = buf.iter().take_while(|byte| **byte == b' ').count();
    if buf.get(blanks) != Some(&b'm') {
        return None;
    }
    let from = (*scanned).min(buf.len());
    let (line, len) = scan::line(buf, from)?;
    let (verb, rest) = match cut(line).get(blanks..)? {
        [b'm', verb @ (b'n' | b'g' | b's' | b'd' | b'a' | b'e'), rest @ ..] => (*verb, rest),
        _ => return None,
    };
    if line.len() > LINE_MAX || !matches!(rest, [] | [b' ', ..]) {
        return None;
    }
    *scanned = line.len();
    Some(match verb {
        b's' => store(Line { all, rest, len }, room, value_max),
        _ => match keyed(verb, rest, room) {
            Ok(meta) => Parsed::Request { meta, len },
            Err(reply) => Parsed::Refused { reply, len, swallow: 0 },
        },
    })
}

/// How many bytes of a value, with its line end, follow this line of `ms`, if it says so.
pub(crate) fn announced(line: &[u8]) -> Option<u64> {
    let (_, rest) = split_word(line);
    let (key, rest) = split_word(rest);
    let bytes = parse_u64(split_word(rest).0).filter(|bytes| *bytes <= BYTES_MAX)?;
    (!key.is_empty()).then_some(bytes.saturating_add(2))
}

/// The first word of a text, and what follows it. It is empty if there is none.
#[inline]
fn split_word(text: &[u8]) -> (&[u8], &[u8]) {
    scan::split_word(skip_blanks(text))
}

/// A command without a value, by the second letter of its word.
#[inline]
fn keyed<'a>(word: u8, rest: &'a [u8], room: &'a mut KeyRoom) -> Result<Meta<'a>, &'static [u8]> {
    let (key, rest) = split_word(rest);
    let flags = Flags::new(rest);
    let meta = |verb, key, options| Meta { verb, key, flags, options, value: b"".into() };
    match word {
        b'n' => return Ok(meta(Verb::Noop, Key::plain(b"")?, Options::default())),
        b'e' if key.is_empty() => return Err(BAD_FORMAT),
        _ if key.is_empty() => return Err(ERROR),
        _ => {}
    }
    let key = Key::plain(key)?;
    if word == b'e' {
        // Whose only flag is `b`, in the first place.
        let is_encoded = flags.iter().next() == Some((b'b', b""));
        let key = if is_encoded { key.decoded(room).map_err(|_| BAD_FORMAT)? } else { key };
        return Ok(meta(Verb::Debug, key, Options::default()));
    }
    if !flags.are_few(2) {
        return Err(if word == b'g' { TOO_MANY_GET } else { TOO_MANY });
    }
    let read = Options::read(&flags, key, room);
    let (options, key) = if word == b'g' { read? } else { read.map_err(|_| BAD_FLAG)? };
    let verb = match (word, options.mode) {
        (b'g', _) => Verb::Get,
        (b'd', _) => Verb::Delete,
        (_, None | Some(b'I' | b'+')) => Verb::Arith { decr: false },
        (_, Some(b'D' | b'-')) => Verb::Arith { decr: true },
        _ => return Err(BAD_ARITH_MODE),
    };
    check_opaque(&flags)?;
    Ok(meta(verb, key, options))
}

/// A line of `ms`: all bytes from its beginning on, those of the line behind the word, and how many the line has.
#[derive(Clone, Copy)]
struct Line<'a> {
    all: Value<'a>,
    rest: &'a [u8],
    len: usize,
}

/// `ms KEY BYTES FLAG…`, and the value.
fn store<'a>(line: Line<'a>, room: &'a mut KeyRoom, value_max: u64) -> Parsed<'a> {
    let Line { all, rest, len } = line;
    let refused = |reply| Parsed::Refused { reply, len, swallow: 0 };
    let (key, rest) = split_word(rest);
    let (bytes, rest) = split_word(rest);
    if key.is_empty() {
        return refused(ERROR);
    }
    let Some(bytes) = parse_u64(bytes).filter(|bytes| *bytes <= BYTES_MAX) else { return refused(BAD_FORMAT) };
    let swallow = bytes.saturating_add(2);
    let flags = Flags::new(rest);
    let (verb, key, options) = match store_options(key, &flags, room) {
        Ok(all) => all,
        Err(reply) => return Parsed::Refused { reply, len, swallow },
    };
    let too_large = Parsed::TooLarge { key, len, swallow };
    // The numbers can only be too large for the machine where addresses have 32 bits.
    let Some(value_end) = usize::try_from(bytes).ok().and_then(|bytes| len.checked_add(bytes)) else {
        return too_large;
    };
    if bytes > value_max {
        return too_large;
    }
    let Some(end) = value_end.checked_add(2) else { return too_large };
    match (all.bytes.get(len..value_end), all.bytes.get(value_end..end)) {
        (Some(value), Some(b"\r\n")) => {
            let meta = Meta { verb: Verb::Store(verb), key, flags, options, value: all.with(value) };
            Parsed::Request { meta, len: end }
        }
        (Some(_), Some(_)) => Parsed::Refused { reply: BAD_CHUNK, len: end, swallow: 0 },
        _ => Parsed::Incomplete { need: end },
    }
}

/// What the words of `ms` around the length say.
fn store_options<'a>(
    key: &'a [u8],
    flags: &Flags<'_>,
    room: &'a mut KeyRoom,
) -> Result<(StoreVerb, Key<'a>, Options), &'static [u8]> {
    let key = Key::plain(key)?;
    if !flags.are_few(3) {
        return Err(TOO_MANY);
    }
    let (options, key) = Options::read(flags, key, room)?;
    let verb = match options.mode {
        None | Some(b'S') => StoreVerb::Set,
        Some(b'E') => StoreVerb::Add,
        Some(b'R') => StoreVerb::Replace,
        Some(b'A') => StoreVerb::Append,
        Some(b'P') => StoreVerb::Prepend,
        Some(_) => return Err(BAD_STORE_MODE),
    };
    check_opaque(flags)?;
    Ok((verb, key, options))
}

fn check_opaque(flags: &Flags<'_>) -> Result<(), &'static [u8]> {
    if flags.longest() <= OPAQUE_MAX {
        return Ok(());
    }
    let is_long = flags.iter().any(|(letter, token)| letter == b'O' && token.len() >= OPAQUE_MAX);
    if is_long { Err(LONG_OPAQUE) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
