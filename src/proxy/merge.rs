//! Merging the statistics of several servers (06 §2.3).
//!
//! By the name, or by its part from the last colon on, one of three rules applies: the first server's value stays,
//! the largest value stays, or values are added. Names are compared whole, so that `bytes` is added although it
//! occurs in `limit_maxbytes`, and only complete numbers are added. Names that are in no table are counters, unless
//! the statistics are settings or describe connections: there the first server's value stays. The first server is that
//! of the configuration, whoever answers first: the same question has the same answer each time.

use crate::protocol::numbers::{push_i64, push_u64};
use crate::protocol::scan::{skip_blanks, split_word};
use crate::sums::sum;
use std::collections::HashMap;
use std::io::Write;

/// Lines from ASCII servers of this many bytes or more are passed on as they are.
pub const LINE_MAX: usize = 300;

/// How many bytes of names, values and lines one merger holds. What comes after is dropped: a server that never
/// ends its statistics must not fill the memory.
pub const HELD_MAX: usize = 16 * 1024 * 1024;

/// What an entry or a line costs beside its text, roughly, in bytes.
const OVERHEAD: usize = 160;

/// What becomes of the values that several servers give for one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// The first server's value stays.
    First,
    /// The largest value stays.
    Largest,
    /// Values are added.
    Sum,
}

/// The rule for each name, or for the part of it from its last colon on, that does not follow the rule of its kind.
const RULES: [(&[u8], Rule); 20] = [
    (b"pid", Rule::First),
    (b"version", Rule::First),
    (b"libevent", Rule::First),
    (b"ep_dbname", Rule::First),
    (b"ep_storage_type", Rule::First),
    (b"ep_flusher_state", Rule::First),
    (b"ep_warmup_thread", Rule::First),
    (b"uptime", Rule::Largest),
    (b"time", Rule::Largest),
    (b"pointer_size", Rule::Largest),
    (b"limit_maxbytes", Rule::Largest),
    // The same, as a setting.
    (b"maxbytes", Rule::Largest),
    (b"accepting_conns", Rule::Largest),
    (b"hash_power_level", Rule::Largest),
    (b":chunk_size", Rule::Largest),
    (b":chunks_per_page", Rule::Largest),
    (b":age", Rule::Largest),
    (b":age_hot", Rule::Largest),
    (b":age_warm", Rule::Largest),
    (b":evicted_time", Rule::Largest),
];

/// The sub-commands of `stats` that tell what is the case, and count nothing.
const FACTS: [&[u8]; 2] = [b"settings", b"conns"];

/// The statistics of one request, from however many servers.
#[derive(Debug)]
pub struct Merger {
    /// The rule for names that have none of their own.
    default: Rule,
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
    /// The first server that has given a value, by its place in the configuration.
    server: u16,
}

impl Merger {
    /// An empty one for `stats` with the sub-command `args`, which may be empty.
    pub fn new(args: &[u8]) -> Merger {
        let default = if FACTS.contains(&args) { Rule::First } else { Rule::Sum };
        Merger { default, entries: Vec::new(), index: HashMap::new(), passed: Vec::new(), held: 0 }
    }

    /// Takes one statistic of the server that is at this place of the configuration; without a name it is none.
    /// `prefix` is the word its line begins with: `STAT`, `ITEM` or `PREFIX`.
    pub fn add(&mut self, server: u16, prefix: &[u8], name: &[u8], value: &[u8]) {
        if name.is_empty() {
            return;
        }
        if let Some(entry) = self.index.get(name).and_then(|&at| self.entries.get_mut(at)) {
            let rule = rule(name).unwrap_or(self.default);
            let held = sum([self.held, value.len()]).saturating_sub(entry.value.len());
            if merge(rule, &mut entry.value, value) == Merged::No && server < entry.server && held <= HELD_MAX {
                self.held = held;
                entry.value = value.to_vec();
            }
            entry.server = entry.server.min(server);
            return;
        }
        if self.hold(sum([prefix.len(), name.len(), name.len(), value.len(), OVERHEAD])) {
            self.index.insert(name.to_vec(), self.entries.len());
            self.entries.push(Entry { prefix: prefix.to_vec(), name: name.to_vec(), value: value.to_vec(), server });
        }
    }

    /// Takes a line of an ASCII server, without its end. One that is not of three words, or is long, is passed on
    /// unchanged, once for each server; if values are not added, only the first server's.
    pub fn line(&mut self, server: u16, line: &[u8]) {
        let mut words = line.split(|&byte| byte == b' ').filter(|word| !word.is_empty());
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some(prefix), Some(name), Some(value), None) if line.len() < LINE_MAX => {
                self.add(server, prefix, name, value);
            }
            (Some(prefix), ..) if self.default == Rule::First => {
                if let Some((name, value)) = name_and_rest(line) {
                    self.add(server, prefix, name, value);
                }
            }
            _ => {
                if self.hold(sum([line.len(), OVERHEAD])) {
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
        for Entry { prefix, name, value, .. } in &self.entries {
            push_text(out, prefix);
            out.push(b' ');
            push_text(out, name);
            out.push(b' ');
            push_text(out, value);
            out.extend_from_slice(b"\r\n");
        }
    }

    /// All names and values, in the order of [`Merger::write_ascii`]. Binary clients get values with blanks, too.
    /// No name is empty, because to them an empty one is the end.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let passed = self.passed.iter().filter_map(|line| name_and_rest(line));
        passed.chain(self.entries.iter().map(|entry| (&entry.name[..], &entry.value[..])))
    }

    /// Whether there is room for `bytes` more; if so, they are counted.
    fn hold(&mut self, bytes: usize) -> bool {
        let fits = bytes <= HELD_MAX.saturating_sub(self.held);
        if fits {
            self.held = sum([self.held, bytes]);
        }
        fits
    }
}

/// Name and value of a line that is passed on; `None` if it has no name.
fn name_and_rest(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let (_prefix, rest) = split_word(line);
    let (name, value) = split_word(skip_blanks(rest));
    (!name.is_empty()).then_some((name, value.strip_prefix(b" ").unwrap_or(value)))
}

/// The rule of its own that a name has: the part from its last colon on decides, or the whole if it has none.
fn rule(name: &[u8]) -> Option<Rule> {
    let key = name.get(memchr::memrchr(b':', name).unwrap_or(0)..).unwrap_or(name);
    RULES.iter().find(|(name, _)| *name == key).map(|(_, rule)| *rule)
}

/// Whether two values have become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Merged {
    /// They have.
    Yes,
    /// They cannot, or must not: one of them stays.
    No,
}

/// Merges `new` into `old`, which stays as it is unless both are numbers.
fn merge(rule: Rule, old: &mut Vec<u8>, new: &[u8]) -> Merged {
    let (Some(a), Some(b)) = (Number::parse(old), Number::parse(new)) else {
        return Merged::No;
    };
    let merged = match (rule, a, b) {
        (Rule::First, ..) => return Merged::No,
        (Rule::Largest, Number::Whole(a), Number::Whole(b)) => Number::Whole(a.max(b)),
        (Rule::Sum, Number::Whole(a), Number::Whole(b)) => Number::Whole(add(a, b)),
        (Rule::Largest, a, b) => Number::Dotted(a.float().max(b.float())),
        (Rule::Sum, a, b) => Number::Dotted(a.float() + b.float()),
    };
    old.clear();
    match merged {
        Number::Whole(number) => match u64::try_from(number) {
            Ok(number) => push_u64(old, number),
            Err(_) => push_i64(old, i64::try_from(number).unwrap_or(i64::MIN)),
        },
        // Writing to a vector cannot fail.
        Number::Dotted(number) => _ = write!(old, "{number:.6}"),
    }
    Merged::Yes
}

/// The sum. Counters wrap at 2^64, as those of the servers do.
fn add(a: i128, b: i128) -> i128 {
    match (u64::try_from(a), u64::try_from(b)) {
        (Ok(a), Ok(b)) => i128::from(a.wrapping_add(b)),
        // Neither is larger than 64 bits allow.
        _ => a.saturating_add(b),
    }
}

#[derive(Clone, Copy)]
enum Number {
    /// Digits, of at most 2^64 - 1, or down to -2^63 with a minus.
    Whole(i128),
    /// A sign perhaps, digits, one dot, digits.
    Dotted(f64),
}

impl Number {
    /// The number that `text` is, completely; `None` for `yes`, `127.0.0.1`, `1.4.5`.
    fn parse(text: &[u8]) -> Option<Number> {
        let text = std::str::from_utf8(text).ok()?;
        let digits = text.strip_prefix('-');
        if digits.unwrap_or(text).bytes().all(|byte| byte.is_ascii_digit()) {
            return match digits {
                Some(_) => text.parse::<i64>().ok().map(|number| Number::Whole(number.into())),
                None => text.parse::<u64>().ok().map(|number| Number::Whole(number.into())),
            };
        }
        let (before, after) = text.strip_prefix('-').unwrap_or(text).split_once('.')?;
        let digits = !after.is_empty() && before.bytes().chain(after.bytes()).all(|byte| byte.is_ascii_digit());
        // 100 digits are more than any statistic has, and their sum is still finite.
        let sane = digits && text.len() <= 100;
        sane.then(|| text.parse().ok().map(Number::Dotted)).flatten()
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
    out.extend(text.iter().map(|&byte| if matches!(byte, b'\r' | b'\n' | 0) { b' ' } else { byte }));
}

#[cfg(test)]
mod tests;
