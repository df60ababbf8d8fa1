//! Counts per key prefix: `stats detail` (02 §13.4).

use super::Memcached;
use super::counters::Counters;
use crate::protocol::numbers::push_u64;
use crate::sums::Count as _;

/// How many prefixes one worker counts at most; keys choose them, so there could be any number.
const PREFIXES_MAX: usize = 16 * 1024;

/// What was done to the keys with one prefix.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prefix {
    gets: u64,
    hits: u64,
    sets: u64,
    deletes: u64,
}

/// One thing done to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// It was asked for and is there.
    Hit,
    /// It was asked for and is not there.
    Miss,
    /// It was to be stored.
    Set,
    /// It was to be deleted.
    Delete,
}

impl Prefix {
    fn count(&mut self, deed: Deed) {
        match deed {
            Deed::Hit => {
                self.gets.up();
                self.hits.up();
            }
            Deed::Miss => self.gets.up(),
            Deed::Set => self.sets.up(),
            Deed::Delete => self.deletes.up(),
        }
    }

    fn add(&mut self, other: &Prefix) {
        self.gets = self.gets.saturating_add(other.gets);
        self.hits = self.hits.saturating_add(other.hits);
        self.sets = self.sets.saturating_add(other.sets);
        self.deletes = self.deletes.saturating_add(other.deletes);
    }
}

/// Counts `deed` for the prefix of `key`: what is before the first `delimiter`. Keys without one are not counted.
pub fn record(counters: &Counters, delimiter: u8, key: &[u8], deed: Deed) {
    let Some(prefix) = memchr::memchr(delimiter, key).and_then(|length| key.get(..length)) else { return };
    counters.prefixes(|prefixes| {
        if let Some(counts) = prefixes.get_mut(prefix) {
            counts.count(deed);
        } else if prefixes.len() < PREFIXES_MAX {
            prefixes.entry(prefix.into()).or_default().count(deed);
        }
    });
}

/// Appends a line per prefix, in alphabetical order, and `END`.
pub fn dump(memcached: &Memcached, out: &mut Vec<u8>) {
    let mut sums = std::collections::BTreeMap::<Box<[u8]>, Prefix>::new();
    memcached.each_worker(|counters| {
        counters.prefixes(|prefixes| {
            for (prefix, counts) in prefixes {
                sums.entry(prefix.clone()).or_default().add(counts);
            }
        });
    });
    for (prefix, counts) in sums {
        out.extend_from_slice(b"PREFIX ");
        super::dump::push_key(out, &prefix);
        let parts = [(" get ", counts.gets), (" hit ", counts.hits), (" set ", counts.sets), (" del ", counts.deletes)];
        for (name, count) in parts {
            out.extend_from_slice(name.as_bytes());
            push_u64(out, count);
        }
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"END\r\n");
}
