//! The memcached protocols, sans I/O: bytes in, values out; no socket, no clock, no global.
//!
//! [`Protocol`] names one of the two, [`Request`] says what both mean; [`keyed`] and [`keyless`] are what servers are told
//! of it, [`Answered`] when their client hears of it, and [`Reply`] is what they say. [`ascii`] and [`binary`] parse and write requests and replies, each in both
//! directions.
//! [`op`] has what is known of each command. [`status`] holds the tables between binary status and ASCII text (03 §9),
//! [`expiry`] the rules for the times in both, [`trace`] what the log shows of them. [`translate`] says in ASCII what a
//! binary client wants, [`older`] in either what a client's meta command wants.

#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

use crate::buffer::Value;
use crate::sums::sum;
use keyed::Keyed;
use keyless::Keyless;

pub use answered::Answered;
pub use reply::Reply;

pub mod answered;
pub mod ascii;
pub mod binary;
pub mod expiry;
pub mod keyed;
pub mod keyless;
pub mod numbers;
pub mod older;
pub mod op;
pub mod reply;
pub mod scan;
pub mod status;
pub mod trace;
pub mod translate;

/// Longest key in bytes (memcached's protocol document).
pub const KEY_MAX: usize = 250;

/// One of the two protocols. Where none has been chosen yet, by the first byte of a client's or by `-B`, it is an
/// `Option`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// memcached's ASCII protocol.
    Ascii,
    /// memcached's binary protocol.
    Binary,
}

/// What a client wants, whichever protocol it speaks. Borrows the client's input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Request<'a> {
    /// A command for one key.
    Keyed(Keyed<'a>),
    /// `get`, `gets`, `gat`, `gats` of several keys.
    GetMany {
        /// The keys, in the order they were written.
        keys: Keys<'a>,
        /// Whether the reply carries CAS ids.
        cas: bool,
        /// The new expiry of the items, as the client wrote it ([`expiry`]); `None`: they keep theirs.
        exptime: Option<i64>,
    },
    /// A command for no key.
    Keyless(Keyless<'a>),
    /// `stats proxy [sub]`.
    StatsProxy {
        /// What follows `proxy`, trimmed; empty if nothing does.
        sub: &'a [u8],
    },
    /// A list of keys.
    Dump(Dump<'a>),
    /// `verbosity`.
    Verbosity {
        /// The level as given, not yet capped at 4.
        level: u32,
    },
    /// `quit`.
    Quit,
}

/// The commands that list keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dump<'a> {
    /// `stats cachedump`.
    Cachedump {
        /// The number of a slab class.
        class: u32,
        /// How many keys at most; 0: as many as there are.
        limit: u32,
    },
    /// `lru_crawler metadump`.
    Metadump {
        /// `all`, `hash`, or numbers of slab classes with commas between them.
        classes: &'a [u8],
    },
    /// `lru_crawler mgdump`.
    Mgdump {
        /// As above.
        classes: &'a [u8],
    },
}

impl Dump<'_> {
    /// What each of its lines begins with.
    pub fn prefix(&self) -> &'static [u8] {
        match self {
            Dump::Cachedump { .. } => b"ITEM ",
            Dump::Metadump { .. } => b"key=",
            Dump::Mgdump { .. } => b"mg ",
        }
    }

    /// How its lines end: as memcached's do.
    pub fn line_end(&self) -> &'static [u8] {
        match self {
            Dump::Metadump { .. } => b"\n",
            Dump::Cachedump { .. } | Dump::Mgdump { .. } => b"\r\n",
        }
    }

    /// Whether the server's crawler makes it.
    pub fn is_crawl(&self) -> bool {
        !matches!(self, Dump::Cachedump { .. })
    }

    /// What follows the last of its lines.
    pub fn end(&self) -> &'static [u8] {
        match self {
            Dump::Cachedump { .. } | Dump::Metadump { .. } => b"END",
            Dump::Mgdump { .. } => b"EN",
        }
    }
}

/// A storage request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Store<'a> {
    /// Which command.
    pub verb: StoreVerb,
    /// The key.
    pub key: &'a [u8],
    /// Opaque to the server, returned with the value.
    pub flags: u32,
    /// Expiry, as the client wrote it ([`expiry`]).
    pub exptime: i64,
    /// `Some` for `cas`: store only if the item still has this id.
    pub cas: Option<u64>,
    /// The value, without the line end that follows it.
    pub value: Value<'a>,
}

/// The storage commands; `cas` is a `Set` with [`Store::cas`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreVerb {
    /// Store unconditionally.
    Set,
    /// Store only if missing.
    Add,
    /// Store only if present.
    Replace,
    /// Add after the present value.
    Append,
    /// Add before the present value.
    Prepend,
}

/// A computation on a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arith<'a> {
    /// The key.
    pub key: &'a [u8],
    /// How much.
    pub delta: u64,
    /// Whether to subtract.
    pub decr: bool,
    /// Only if the item has this CAS id; 0: whichever it has.
    pub cas: u64,
    /// What becomes of a number that is missing; `None`: nothing.
    pub create: Option<Create>,
}

/// A number that is to be created if it is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Create {
    /// Its value.
    pub initial: u64,
    /// Its expiry, as a packet has it.
    pub exptime: u32,
}

/// The keys of a retrieval line: one or more words separated by blanks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Keys<'a> {
    /// The command line from its first word on, without leading blanks and line end.
    line: &'a [u8],
    /// Where the first key begins in `line`.
    first: usize,
}

impl<'a> Keys<'a> {
    /// The keys of `line` from `first` on. At least one word must be there.
    pub fn new(line: &'a [u8], first: usize) -> Keys<'a> {
        Keys { line, first }
    }

    /// The command line they stand in, without leading blanks and line end.
    pub fn line(&self) -> &'a [u8] {
        self.line
    }

    /// The only key, or `None` if there are several.
    pub fn single(&self) -> Option<&'a [u8]> {
        let mut keys = self.iter();
        let (_, first) = keys.next()?;
        let rest = keys.line.get(keys.at..).unwrap_or_default();
        rest.iter().all(|byte| *byte == b' ').then_some(first)
    }

    /// All keys with their byte offsets in the command line (the opaque of 04 §6.1).
    pub fn iter(&self) -> KeyIter<'a> {
        KeyIter { line: self.line, at: self.first }
    }
}

/// Iterator over [`Keys`].
#[derive(Clone, Debug)]
pub struct KeyIter<'a> {
    line: &'a [u8],
    at: usize,
}

impl<'a> Iterator for KeyIter<'a> {
    type Item = (usize, &'a [u8]);

    fn next(&mut self) -> Option<(usize, &'a [u8])> {
        let rest = self.line.get(self.at..)?;
        let skip = rest.iter().position(|&byte| byte != b' ')?;
        let word = rest.get(skip..)?;
        let word = word.get(..scan::blank(word).unwrap_or(word.len()))?;
        let start = sum([self.at, skip]);
        self.at = sum([start, word.len()]);
        Some((start, word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_know_their_offsets() {
        let keys = Keys::new(b"gets  a   bb a ", 4);
        let all: Vec<_> = keys.iter().collect();
        assert_eq!(all, [(6, &b"a"[..]), (10, b"bb"), (13, b"a")]);
        assert_eq!(keys.single(), None);
        assert_eq!(Keys::new(b"get a", 4).single(), Some(&b"a"[..]));
        assert_eq!(Keys::new(b"get a", 3).single(), Some(&b"a"[..]));
    }

    #[test]
    fn lists_have_lines_of_their_own() {
        let all = [
            Dump::Cachedump { class: 1, limit: 0 },
            Dump::Metadump { classes: b"all" },
            Dump::Mgdump { classes: b"all" },
        ];
        let want: [(&[u8], &[u8], &[u8]); 3] =
            [(b"ITEM ", b"\r\n", b"END"), (b"key=", b"\n", b"END"), (b"mg ", b"\r\n", b"EN")];
        assert_eq!(all.map(|dump| (dump.prefix(), dump.line_end(), dump.end())), want);
        assert_eq!(all.map(|dump| dump.is_crawl()), [false, true, true]);
    }

    #[test]
    fn no_keys_are_no_trouble() {
        for (line, first) in [(&b""[..], 0), (b"get", 3), (b"get  ", 3), (b"get", 99)] {
            assert_eq!(Keys::new(line, first).iter().next(), None);
            assert_eq!(Keys::new(line, first).single(), None);
        }
    }
}
