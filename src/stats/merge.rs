//! Merging the statistics of several servers (06 §2.3).
//!
//! By the name, or by its part from the last colon on, one of three rules applies: the first server's value stays,
//! the largest value stays, or values are added. Names are compared whole, so that `bytes` is added although it
//! occurs in `limit_maxbytes`, and only complete numbers are added.

use crate::protocol::numbers::push_u64;
use std::collections::HashMap;
use std::io::Write;

/// Lines from ASCII servers of this many bytes or more are passed on as they are.
pub const LINE_MAX: usize = 300;

/// How many bytes of names, values and lines one merger holds. What comes after is dropped: a server that never
/// ends its statistics must not fill the memory.
pub const HELD_MAX: usize = 16 * 1024 * 1024;

/// The first server's value stays.
const FIRST: [&[u8]; 7] = [
    b"pid",
    b"version",
    b"libevent",
    b"ep_dbname",
    b"ep_storage_type",
    b"ep_flusher_state",
    b"ep_warmup_thread",
];

/// The largest value stays.
const LARGEST: [&[u8]; 8] = [
    b"uptime",
    b"time",
    b"pointer_size",
    b"limit_maxbytes",
    b"accepting_conns",
    b":chunk_size",
    b":chunks_per_page",
    b":age",
];

/// The statistics of one request, from however many servers.
#[derive(Debug, Default)]
pub struct Merger {
    /// In the order in which the names were first seen.
    entries: Vec<Entry>,
    /// Where a name is in `entries`.
    index: HashMap<Vec<u8>, usize>,
    /// Lines that are passed on as they came, without their ends.
    passed: Vec<Vec<u8>>,
    held: usize,
}

#[derive(Debug)]
struct Entry {
    prefix: Vec<u8>,
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Merger {
    /// An empty one.
    pub fn new() -> Merger {
        Merger::default()
    }

    /// Takes one statistic. `prefix` is the word its line begins with: `STAT`, `ITEM` or `PREFIX`.
    pub fn add(&mut self, prefix: &[u8], name: &[u8], value: &[u8]) {
        if let Some(entry) = self
            .index
            .get(name)
            .and_then(|&at| self.entries.get_mut(at))
        {
            return merge(&rule(name), &mut entry.value, value);
        }
        if self.hold(prefix.len() + 2 * name.len() + value.len()) {
            self.index.insert(name.to_vec(), self.entries.len());
            self.entries.push(Entry {
                prefix: prefix.to_vec(),
                name: name.to_vec(),
                value: value.to_vec(),
            });
        }
    }

    /// Takes a line of an ASCII server, without its end. One that is not of three words, or is long, is passed on
    /// unchanged, once for each server.
    pub fn line(&mut self, line: &[u8]) {
        let mut words = line
            .split(|&byte| byte == b' ')
            .filter(|word| !word.is_empty());
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some(prefix), Some(name), Some(value), None) if line.len() < LINE_MAX => {
                self.add(prefix, name, value)
            }
            _ => {
                if self.hold(line.len()) {
                    self.passed.push(line.to_vec());
                }
            }
        }
    }

    /// Appends all lines as an ASCII client gets them, those that are passed on first, without the final `END`.
    pub fn write_ascii(&self, out: &mut Vec<u8>) {
        for line in &self.passed {
            push_text(out, line);
            out.extend_from_slice(b"\r\n");
        }
        for Entry {
            prefix,
            name,
            value,
        } in &self.entries
        {
            push_text(out, prefix);
            out.push(b' ');
            push_text(out, name);
            out.push(b' ');
            push_text(out, value);
            out.extend_from_slice(b"\r\n");
        }
    }

    /// All names and values, in the order of [`Merger::write_ascii`]. Binary clients get values with blanks, too.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let passed = self.passed.iter().filter_map(|line| {
            let mut parts = line.splitn(3, |&byte| byte == b' ');
            let (_prefix, name) = (parts.next()?, parts.next()?);
            Some((name, parts.next().unwrap_or_default()))
        });
        passed.chain(
            self.entries
                .iter()
                .map(|entry| (&entry.name[..], &entry.value[..])),
        )
    }

    /// Whether there is room for `bytes` more; if so, they are counted.
    fn hold(&mut self, bytes: usize) -> bool {
        let fits = bytes <= HELD_MAX - self.held;
        if fits {
            self.held += bytes;
        }
        fits
    }
}

enum Rule {
    First,
    Largest,
    Sum,
}

/// The rule for a name: the part from its last colon on decides, or the whole if it has none.
fn rule(name: &[u8]) -> Rule {
    let key = &name[memchr::memrchr(b':', name).unwrap_or(0)..];
    if FIRST.contains(&key) {
        Rule::First
    } else if LARGEST.contains(&key) {
        Rule::Largest
    } else {
        Rule::Sum
    }
}

/// Merges `new` into `old`, which stays as it is unless both are numbers.
fn merge(rule: &Rule, old: &mut Vec<u8>, new: &[u8]) {
    let (Some(a), Some(b)) = (Number::parse(old), Number::parse(new)) else {
        return;
    };
    let merged = match (rule, a, b) {
        (Rule::First, ..) => return,
        (Rule::Largest, Number::Whole(a), Number::Whole(b)) => Number::Whole(a.max(b)),
        (Rule::Sum, Number::Whole(a), Number::Whole(b)) => Number::Whole(a.wrapping_add(b)),
        (Rule::Largest, a, b) => Number::Dotted(a.float().max(b.float())),
        (Rule::Sum, a, b) => Number::Dotted(a.float() + b.float()),
    };
    old.clear();
    match merged {
        Number::Whole(number) => push_u64(old, number),
        // Writing to a vector cannot fail.
        Number::Dotted(number) => _ = write!(old, "{number:.6}"),
    }
}

#[derive(Clone, Copy)]
enum Number {
    /// Digits only, at most 2^64 - 1.
    Whole(u64),
    /// A sign perhaps, digits, one dot, digits.
    Dotted(f64),
}

impl Number {
    /// The number that `text` is, completely; `None` for `yes`, `-5`, `127.0.0.1`, `1.4.5`.
    fn parse(text: &[u8]) -> Option<Number> {
        let text = std::str::from_utf8(text).ok()?;
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return text.parse().ok().map(Number::Whole);
        }
        let (before, after) = text.strip_prefix('-').unwrap_or(text).split_once('.')?;
        let digits = !after.is_empty()
            && before
                .bytes()
                .chain(after.bytes())
                .all(|byte| byte.is_ascii_digit());
        // 100 digits are more than any statistic has, and their sum is still finite.
        let sane = digits && text.len() <= 100;
        sane.then(|| text.parse().ok().map(Number::Dotted))
            .flatten()
    }

    fn float(self) -> f64 {
        match self {
            Number::Whole(number) => number as f64,
            Number::Dotted(number) => number,
        }
    }
}

/// Appends text without the bytes that would end its line early; they become blanks.
fn push_text(out: &mut Vec<u8>, text: &[u8]) {
    out.extend(text.iter().map(|&byte| {
        if matches!(byte, b'\r' | b'\n' | 0) {
            b' '
        } else {
            byte
        }
    }));
}
