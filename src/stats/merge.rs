//! Merging the statistics of several servers (06 §2.3).
//!
//! By the name, or by its part from the last colon on, one of three rules applies: the first server's value stays,
//! the largest value stays, or values are added. Names are compared whole, so that `bytes` is added although it
//! occurs in `limit_maxbytes`, and only complete numbers are added. Names that are in no table are counters, unless
//! the statistics are settings or describe connections: there the first server's value stays.

use crate::protocol::numbers::{push_i64, push_u64};
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
}

impl Merger {
    /// An empty one for `stats` with the sub-command `args`, which may be empty.
    pub fn new(args: &[u8]) -> Merger {
        let default = if FACTS.contains(&args) { Rule::First } else { Rule::Sum };
        Merger { default, entries: Vec::new(), index: HashMap::new(), passed: Vec::new(), held: 0 }
    }

    /// Takes one statistic; without a name it is none. `prefix` is the word its line begins with: `STAT`, `ITEM` or
    /// `PREFIX`.
    pub fn add(&mut self, prefix: &[u8], name: &[u8], value: &[u8]) {
        if name.is_empty() {
            return;
        }
        if let Some(entry) = self.index.get(name).and_then(|&at| self.entries.get_mut(at)) {
            return merge(rule(name).unwrap_or(self.default), &mut entry.value, value);
        }
        if self.hold(prefix.len() + 2 * name.len() + value.len() + OVERHEAD) {
            self.index.insert(name.to_vec(), self.entries.len());
            self.entries.push(Entry { prefix: prefix.to_vec(), name: name.to_vec(), value: value.to_vec() });
        }
    }

    /// Takes a line of an ASCII server, without its end. One that is not of three words, or is long, is passed on
    /// unchanged, once for each server; if values are not added, only the first server's.
    pub fn line(&mut self, line: &[u8]) {
        let mut words = line.split(|&byte| byte == b' ').filter(|word| !word.is_empty());
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some(prefix), Some(name), Some(value), None) if line.len() < LINE_MAX => self.add(prefix, name, value),
            (Some(prefix), ..) if self.default == Rule::First && line.len() < LINE_MAX => {
                if let Some((name, value)) = name_and_rest(line) {
                    self.add(prefix, name, value);
                }
            }
            _ => {
                if self.hold(line.len() + OVERHEAD) {
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
        for Entry { prefix, name, value } in &self.entries {
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
        let fits = bytes <= HELD_MAX - self.held;
        if fits {
            self.held += bytes;
        }
        fits
    }
}

/// Name and value of a line that is passed on; `None` if it has no name.
fn name_and_rest(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let (_prefix, rest) = line.split_at(memchr::memchr(b' ', line)?);
    let rest = &rest[rest.iter().position(|&byte| byte != b' ')?..];
    let (name, value) = rest.split_at(memchr::memchr(b' ', rest).unwrap_or(rest.len()));
    Some((name, value.strip_prefix(b" ").unwrap_or(value)))
}

/// The rule of its own that a name has: the part from its last colon on decides, or the whole if it has none.
fn rule(name: &[u8]) -> Option<Rule> {
    let key = &name[memchr::memrchr(b':', name).unwrap_or(0)..];
    RULES.iter().find(|(name, _)| *name == key).map(|(_, rule)| *rule)
}

/// Merges `new` into `old`, which stays as it is unless both are numbers.
fn merge(rule: Rule, old: &mut Vec<u8>, new: &[u8]) {
    let (Some(a), Some(b)) = (Number::parse(old), Number::parse(new)) else {
        return;
    };
    let merged = match (rule, a, b) {
        (Rule::First, ..) => return,
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
}

/// The sum. Counters wrap at 2^64, as those of the servers do.
fn add(a: i128, b: i128) -> i128 {
    match (u64::try_from(a), u64::try_from(b)) {
        (Ok(a), Ok(b)) => i128::from(a.wrapping_add(b)),
        // Neither is larger than 64 bits allow.
        _ => a + b,
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
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What two servers' values become.
    fn both(name: &str, first: &str, second: &str) -> String {
        merged(b"", name, first, second)
    }

    fn merged(args: &[u8], name: &str, first: &str, second: &str) -> String {
        let mut merger = Merger::new(args);
        merger.add(b"STAT", name.as_bytes(), first.as_bytes());
        merger.add(b"STAT", name.as_bytes(), second.as_bytes());
        let (_, value) = merger.iter().next().unwrap();
        String::from_utf8(value.to_vec()).unwrap()
    }

    fn ascii(merger: &Merger) -> String {
        let mut out = Vec::new();
        merger.write_ascii(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_worked_example() {
        for (name, first, second, merged) in [
            ("pid", "11", "22", "11"),
            ("uptime", "5", "9", "9"),
            ("time", "1000", "900", "1000"),
            ("version", "1.4.5", "1.4.6", "1.4.5"),
            ("curr_items", "10", "20", "30"),
            // Added, although it occurs in the name of a statistic whose largest value stays.
            ("bytes", "10", "30", "40"),
            ("rusage_user", "0.500000", "0.250000", "0.750000"),
            ("threads", "4", "4", "8"),
            ("1:chunk_size", "96", "120", "120"),
            ("1:chunks_per_page", "10", "20", "20"),
            ("items:1:age", "7", "3", "7"),
            ("foo", "yes", "no", "yes"),
            ("neg", "-5", "-6", "-11"),
            ("neg", "-5", "6", "1"),
            ("neg", "5", "-6", "-1"),
            ("neg", "18446744073709551615", "-1", "18446744073709551614"),
            ("neg", "-9223372036854775808", "-1", "-9223372036854775808"),
            ("time", "-5", "-6", "-5"),
            ("hash_power_level", "16", "17", "17"),
            ("items:1:age_hot", "7", "3", "7"),
            ("items:1:age_warm", "7", "9", "9"),
            ("items:1:evicted_time", "7", "3", "7"),
            ("items:1:number_hot", "7", "3", "10"),
            ("wraps", "18446744073709551615", "1", "0"),
            ("fl", "1.5", "2", "3.500000"),
            ("state", "1", "2", "3"),
            ("limit_maxbytes", "67108864", "1048576", "67108864"),
            ("x:time", "1", "2", "3"),
        ] {
            assert_eq!(both(name, first, second), merged, "{name}");
        }
    }

    #[test]
    fn only_complete_numbers_are_added() {
        for (first, second) in [
            ("127.0.0.1", "127.0.0.2"),
            ("1", "x"),
            ("1", ""),
            ("", "1"),
            ("1 2", "3"),
            ("3", "1 2"),
            ("1", "18446744073709551616"),
            ("-", "1"),
            ("1", "-"),
            ("1", "--1"),
            ("1", "-9223372036854775809"),
            ("1.5", "."),
            ("1.5", "1e5"),
            ("1", "+1"),
            ("1", "0x10"),
            ("1.5", "inf"),
            ("1.5", "NaN"),
        ] {
            assert_eq!(both("n", first, second), first, "{first} {second}");
        }
    }

    /// Of names that mean a counter in `stats`, too.
    #[test]
    fn settings_are_no_sums() {
        for (name, first, second, expected) in [
            ("maxconns", "1024", "1024", "1024"),
            ("tcpport", "11212", "11211", "11212"),
            ("udpport", "-2", "-2", "-2"),
            ("inter", "10.0.0.1", "10.0.0.2", "10.0.0.1"),
            ("growth_factor", "1.25", "1.25", "1.25"),
            ("verbosity", "0", "1", "0"),
            ("ext_item_age", "4294967295", "4294967295", "4294967295"),
            ("num_threads", "4", "4", "4"),
            ("maxbytes", "67108864", "67108864", "67108864"),
            // As limit_maxbytes in `stats`.
            ("maxbytes", "67108864", "134217728", "134217728"),
            ("evictions", "on", "off", "on"),
            ("of_tomorrow", "7", "7", "7"),
        ] {
            assert_eq!(merged(b"settings", name, first, second), expected, "{name}");
        }
        assert_eq!(merged(b"conns", "26:secs_since_last_cmd", "3", "9"), "3");
        for args in ["", "items", "slabs", "sizes", "reset"] {
            assert_eq!(merged(args.as_bytes(), "num_threads", "4", "4"), "8", "{args}");
        }
    }

    #[test]
    fn settings_of_several_words_appear_once() {
        let mut merger = Merger::new(b"settings");
        for line in ["STAT a 1", "STAT logger standard error", "STAT empty ", "STAT b 2"].repeat(2) {
            merger.line(line.as_bytes());
        }
        assert_eq!(ascii(&merger), "STAT a 1\r\nSTAT logger standard error\r\nSTAT empty \r\nSTAT b 2\r\n");
    }

    #[test]
    fn sums_of_seconds_keep_their_precision() {
        assert_eq!(both("rusage_system", "123456789.123456", "0.000001"), "123456789.123457");
        assert_eq!(both("n", "-0.5", "0.25"), "-0.250000");
        assert_eq!(both("uptime", "1.5", "2"), "2.000000");
    }

    #[test]
    fn names_appear_in_the_order_they_were_first_seen() {
        let mut merger = Merger::new(b"");
        for line in ["STAT b 1", "STAT a 2", "ITEM c 3", "STAT a 5", "STAT d 1"] {
            merger.line(line.as_bytes());
        }
        assert_eq!(ascii(&merger), "STAT b 1\r\nSTAT a 7\r\nITEM c 3\r\nSTAT d 1\r\n");
    }

    #[test]
    fn lines_that_are_not_three_words_are_passed_on_before_the_others() {
        let mut merger = Merger::new(b"");
        let long = format!("STAT long {}", "1".repeat(LINE_MAX - 10));
        let fits = format!("STAT fits {}", "1".repeat(LINE_MAX - 11));
        for line in ["STAT n 1", "STAT e ", "STAT t a b", "STAT e ", "STAT n 2", &long, &long, &fits] {
            merger.line(line.as_bytes());
        }
        let expected = format!("STAT e \r\nSTAT t a b\r\nSTAT e \r\n{long}\r\n{long}\r\nSTAT n 3\r\n{fits}\r\n");
        assert_eq!(ascii(&merger), expected);
        let all: Vec<_> = merger.iter().take(3).collect();
        assert_eq!(all, [(&b"e"[..], &b""[..]), (b"t", b"a b"), (b"e", b"")]);
    }

    #[test]
    fn values_of_binary_servers_may_be_empty_hold_blanks_and_be_long() {
        let mut merger = Merger::new(b"");
        let long = vec![b'v'; 1000];
        for value in [&b""[..], b"a b", &long] {
            merger.add(b"STAT", b"n", value);
            merger.add(b"STAT", &long, value);
        }
        assert_eq!(ascii(&merger), format!("STAT n \r\nSTAT {} \r\n", "v".repeat(1000)));
    }

    #[test]
    fn no_name_is_empty() {
        let mut merger = Merger::new(b"");
        merger.add(b"STAT", b"", b"1");
        for line in ["", "STAT", "STAT ", "  x", "STAT  n  two words"] {
            merger.line(line.as_bytes());
        }
        let all: Vec<_> = merger.iter().collect();
        assert_eq!(all, [(&b"x"[..], &b""[..]), (b"n", b" two words")]);
    }

    #[test]
    fn nothing_a_server_says_ends_a_line_early() {
        let mut merger = Merger::new(b"");
        merger.add(b"STAT", b"a\nb", b"1\r\nEND");
        assert_eq!(ascii(&merger), "STAT a b 1  END\r\n");
    }

    #[test]
    fn what_is_held_is_bounded() {
        let mut merger = Merger::new(b"");
        let value = vec![b'v'; HELD_MAX / 4];
        for number in 0..10u8 {
            merger.add(b"STAT", &[number], &value);
            merger.line(&value);
        }
        assert_eq!((merger.entries.len(), merger.passed.len()), (2, 1));
        assert!(merger.held <= HELD_MAX);
    }

    proptest! {
        #[test]
        fn any_statistics_do_no_harm(lines: Vec<Vec<u8>>, name: Vec<u8>, values: Vec<Vec<u8>>, digits in "[0-9]{0,200}\\.[0-9]{0,200}") {
            let mut merger = Merger::new(b"");
            for line in &lines {
                merger.line(line);
            }
            for value in &values {
                merger.add(b"STAT", &name, value);
            }
            merger.add(b"STAT", b"n", digits.as_bytes());
            merger.add(b"STAT", b"n", digits.as_bytes());
            let mut out = Vec::new();
            merger.write_ascii(&mut out);
            prop_assert!(out.is_empty() || out.ends_with(b"\r\n"));
        }
    }
}
