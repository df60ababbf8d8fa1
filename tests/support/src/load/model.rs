//! What one client has stored, the requests it makes, and the replies that must come.

use std::io::Write;
use std::sync::OnceLock;

use super::random::Random;

/// Keys whose values are small, for gets of many keys.
const SMALL: usize = 600;
/// Keys whose values have any size.
const ANY: usize = 100;
/// Keys whose values are numbers.
const COUNTERS: usize = 20;

/// The largest value.
const LARGEST: usize = 1 << 20;

/// What must come next.
#[derive(Debug)]
pub enum Expect {
    /// This line.
    Line(&'static str),
    /// A line that starts so.
    Prefix(&'static str),
    /// This number.
    Number(u64),
    /// These values in this order, then `END`.
    Values {
        /// Where they begin in `Model::expected`'s order, front first.
        items: Vec<Item>,
        /// How many of them have come.
        seen: usize,
        /// Whether there is a CAS id.
        cas: bool,
    },
}

/// A value that must come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// The key's number.
    pub key: usize,
    /// What is stored there.
    pub stored: Stored,
}

/// What is stored under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// A value made from key, version and length.
    Value {
        /// Counts the writes of this client.
        version: u32,
        /// Bytes.
        length: usize,
    },
    /// A number.
    Number(u64),
}

/// One client's view of the world.
#[derive(Debug)]
pub struct Model {
    client: usize,
    random: Random,
    keys: Vec<Option<Stored>>,
    version: u32,
}

impl Model {
    /// Client number `client` before its first request.
    pub fn new(client: usize, seed: u64) -> Model {
        let random = Random::new(seed ^ (client as u64 + 1).wrapping_mul(0xd134_2543_de82_ef95));
        Model { client, random, keys: vec![None; SMALL + ANY + COUNTERS], version: 0 }
    }

    /// Appends the next request to `out`; `None` if it has no reply.
    pub fn request(&mut self, out: &mut Vec<u8>) -> Option<Expect> {
        match self.random.below(1000) {
            0..450 => self.get(out, 1, SMALL + ANY + COUNTERS, false),
            450..470 => self.get(out, 1, SMALL + ANY + COUNTERS, true),
            470..570 => self.get(out, 10, SMALL + ANY + COUNTERS, false),
            570..575 => self.get(out, 500, SMALL, false),
            575..830 => self.store(out, "set"),
            830..855 => self.store(out, "add"),
            855..880 => self.store(out, "replace"),
            880..930 => self.delete(out),
            930..985 => self.count(out),
            985..995 => self.touch(out),
            _ => {
                out.extend_from_slice(b"version\r\n");
                Some(Expect::Prefix("VERSION "))
            }
        }
    }

    /// A get that ends the conversation.
    pub fn last(&mut self, out: &mut Vec<u8>) -> Expect {
        self.get(out, 1, SMALL, false).unwrap_or(Expect::Line("END"))
    }

    /// Appends the name of key number `key`.
    pub fn name(&self, out: &mut Vec<u8>, key: usize) {
        write!(out, "client{}:key{key}", self.client).expect("writing to memory");
    }

    /// The flags of a key's values: a function of the key.
    pub fn flags(&self, key: usize) -> u32 {
        (key as u32).wrapping_mul(7_158_279)
    }

    /// Appends what is stored.
    pub fn value(&self, out: &mut Vec<u8>, item: Item) {
        match item.stored {
            Stored::Number(number) => write!(out, "{number}").expect("writing to memory"),
            Stored::Value { version, length } => {
                let start = out.len();
                self.name(out, item.key);
                write!(out, "/{version}/{length}/").expect("writing to memory");
                let head = (out.len() - start).min(length);
                out.truncate(start + head);
                let pattern = pattern();
                let at = (item.key * 31 + version as usize * 17 + self.client * 7) % 4096;
                out.extend_from_slice(&pattern[at..at + length - head]);
            }
        }
    }

    /// How long it is.
    pub fn length(&self, item: Item) -> usize {
        match item.stored {
            Stored::Value { length, .. } => length,
            Stored::Number(number) => number.checked_ilog10().unwrap_or(0) as usize + 1,
        }
    }

    fn get(&mut self, out: &mut Vec<u8>, count: usize, among: usize, cas: bool) -> Option<Expect> {
        out.extend_from_slice(if cas { b"gets" } else { b"get" });
        // A stride without common divisor: no key twice.
        let mut key = self.random.below(among);
        let stride = if among == SMALL { 7 } else { 11 };
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            out.push(b' ');
            self.name(out, key);
            if let Some(stored) = self.keys[key] {
                items.push(Item { key, stored });
            }
            key = (key + stride) % among;
        }
        out.extend_from_slice(b"\r\n");
        Some(Expect::Values { items, seen: 0, cas })
    }

    fn store(&mut self, out: &mut Vec<u8>, verb: &str) -> Option<Expect> {
        let key = self.random.below(self.keys.len());
        let stored = if key >= SMALL + ANY {
            Stored::Number(self.random.number() >> 20)
        } else {
            self.version += 1;
            Stored::Value { version: self.version, length: self.size(key >= SMALL) }
        };
        let item = Item { key, stored };
        let reply = self.random.below(5) > 0;
        write!(out, "{verb} ").expect("writing to memory");
        self.name(out, key);
        let noreply = if reply { "" } else { " noreply" };
        write!(out, " {} 0 {}{noreply}\r\n", self.flags(key), self.length(item)).expect("writing to memory");
        self.value(out, item);
        out.extend_from_slice(b"\r\n");
        let present = self.keys[key].is_some();
        let done = match verb {
            "add" => !present,
            "replace" => present,
            _ => true,
        };
        if done {
            self.keys[key] = Some(stored);
        }
        reply.then_some(Expect::Line(if done { "STORED" } else { "NOT_STORED" }))
    }

    fn delete(&mut self, out: &mut Vec<u8>) -> Option<Expect> {
        let key = self.random.below(self.keys.len());
        let reply = self.random.below(3) > 0;
        out.extend_from_slice(b"delete ");
        self.name(out, key);
        out.extend_from_slice(if reply { b"\r\n" } else { b" noreply\r\n" });
        let done = self.keys[key].take().is_some();
        reply.then_some(Expect::Line(if done { "DELETED" } else { "NOT_FOUND" }))
    }

    fn count(&mut self, out: &mut Vec<u8>) -> Option<Expect> {
        let key = SMALL + ANY + self.random.below(COUNTERS);
        let delta = self.random.number() >> 44;
        let reply = self.random.below(5) > 0;
        out.extend_from_slice(b"incr ");
        self.name(out, key);
        write!(out, " {delta}{}\r\n", if reply { "" } else { " noreply" }).expect("writing to memory");
        let expect = match &mut self.keys[key] {
            Some(Stored::Number(number)) => {
                *number += delta;
                Expect::Number(*number)
            }
            _ => Expect::Line("NOT_FOUND"),
        };
        reply.then_some(expect)
    }

    fn touch(&mut self, out: &mut Vec<u8>) -> Option<Expect> {
        let key = self.random.below(self.keys.len());
        out.extend_from_slice(b"touch ");
        self.name(out, key);
        out.extend_from_slice(b" 0\r\n");
        Some(Expect::Line(if self.keys[key].is_some() { "TOUCHED" } else { "NOT_FOUND" }))
    }

    /// Median 100 bytes; where any size goes, 1 % are over 10 KiB, and 1 in 1,000 goes up to [`LARGEST`].
    fn size(&mut self, any: bool) -> usize {
        match self.random.below(1000) {
            // Any size is for one key in seven: so it comes to the shares above over all keys.
            0..7 if any => self.random.below(LARGEST + 1),
            7..70 if any => 10_241 + self.random.below(40_000),
            900.. => 0,
            _ => 1 + self.random.below(220),
        }
    }
}

/// What values are made of after their head: every byte, line ends included.
fn pattern() -> &'static [u8] {
    static PATTERN: OnceLock<Vec<u8>> = OnceLock::new();
    PATTERN.get_or_init(|| {
        let mut random = Random::new(20_091_216);
        (0..LARGEST / 8 + 1024).flat_map(|_| random.number().to_le_bytes()).collect()
    })
}
