//! What looks at every item: `stats cachedump`, `stats sizes` (02 §13.3, §13.4) and `lru_crawler metadump`.

use std::collections::BTreeMap;

use super::Memcached;
use super::classes::{self, ClassId};
use super::clock::{NEVER, Tick};
use super::item::{END, Entry, Mark};
use crate::protocol::numbers::{parse_u32, push_u64};
use crate::sums::Count as _;

/// Longest text of a `cachedump` in bytes.
const DUMP_MAX: usize = 2 << 20;

/// Items are counted by size in steps of this many bytes.
const SIZE_STEP: u64 = 32;

/// Shortest line of a `cachedump`: a key of one byte.
const LINE_MIN: usize = "ITEM k [0 b; 0 s]\r\n".len();

/// Appends lines for the most recently used `limit` (0: all) items of class number `class`, as many as fit 2 MiB.
pub(super) fn cachedump(memcached: &Memcached, class: u32, limit: u32, out: &mut Vec<u8>) {
    let Some(id) = class.checked_sub(1).and_then(|index| ClassId::try_from(index).ok()) else { return };
    if usize::from(id) >= memcached.classes.count() {
        return;
    }
    let most = match usize::try_from(limit).unwrap_or(usize::MAX) {
        0 => DUMP_MAX / LINE_MIN,
        limit => limit.min(DUMP_MAX / LINE_MIN),
    };
    // The best so far, most recently used first.
    let mut best: Vec<(u64, Vec<u8>)> = Vec::new();
    for index in 0..memcached.shards.len() {
        let worst = if best.len() < most { 0 } else { best.last().map_or(0, |(used, _)| *used) };
        let shard = memcached.shard(index);
        let mut slot = shard.line(id).newest;
        let mut room = DUMP_MAX;
        for _ in 0..most {
            if slot == END {
                break;
            }
            let entry = shard.get(slot);
            if entry.used() < worst {
                break;
            }
            let mut line = Vec::new();
            push_item(&mut line, memcached, entry.body.key(), entry.body.value().len(), entry.expires);
            let Some(left) = room.checked_sub(line.len()) else { break };
            room = left;
            best.push((entry.used(), line));
            slot = entry.older;
        }
        drop(shard);
        best.sort_unstable_by_key(|(used, _)| std::cmp::Reverse(*used));
        best.truncate(most);
        let mut length = 0usize;
        let fits = best.iter().take_while(|(_, line)| {
            length = length.saturating_add(line.len());
            length <= DUMP_MAX
        });
        let fits = fits.count();
        best.truncate(fits);
    }
    for (_, line) in best {
        out.extend_from_slice(&line);
    }
}

fn push_item(line: &mut Vec<u8>, memcached: &Memcached, key: &[u8], value_len: usize, expires: u32) {
    line.extend_from_slice(b"ITEM ");
    push_key(line, key);
    line.extend_from_slice(b" [");
    push_u64(line, value_len as u64);
    line.extend_from_slice(b" b; ");
    // What never expires shows the time the server was made.
    let ticks = if expires == NEVER { 0 } else { u64::from(expires) };
    push_u64(line, memcached.epoch.unix_start().saturating_add(ticks));
    line.extend_from_slice(b" s]\r\n");
}

/// Appends a key. Blanks, line ends and NULs, which keys of binary clients may have, appear as `%20` and so on, so
/// that the line stays one line of so many words.
pub(super) fn push_key(out: &mut Vec<u8>, key: &[u8]) {
    for &byte in key {
        if matches!(byte, b' ' | b'\r' | b'\n' | 0) {
            push_hex(out, byte);
        } else {
            out.push(byte);
        }
    }
}

/// How many slots of a shard are looked at before others may have it.
const SCAN: usize = 256;

/// A `metadump` under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor {
    /// The classes that are listed: bit *n* stands for index *n*.
    classes: [u64; 4],
    shard: usize,
    slot: usize,
}

impl Cursor {
    /// The beginning of a list of `word`: `all`, `hash`, or numbers of classes with commas between them. `None` if one
    /// of them is not among the `count` classes there are.
    pub fn new(word: &[u8], count: usize) -> Option<Cursor> {
        let mut classes = [0; 4];
        if matches!(word, b"all" | b"hash") {
            classes = [u64::MAX; 4];
        } else {
            for number in word.split(|&byte| byte == b',') {
                let index = usize::try_from(parse_u32(number)?).ok()?.checked_sub(1).filter(|index| *index < count)?;
                *classes.get_mut(index / 64)? |= 1 << (index % 64);
            }
        }
        Some(Cursor { classes, shard: 0, slot: 0 })
    }

    fn lists(&self, class: ClassId) -> bool {
        self.classes.get(usize::from(class) / 64).is_some_and(|bits| bits >> (class % 64) & 1 != 0)
    }

    /// Appends a line for each of the next items; `false` when there are no more.
    pub fn advance(&mut self, memcached: &Memcached, tick: Tick, out: &mut Vec<u8>) -> bool {
        if self.shard >= memcached.shards.len() {
            return false;
        }
        let shard = memcached.shard(self.shard);
        match shard.scan(self.slot, SCAN) {
            None => {
                self.shard.up();
                self.slot = 0;
            }
            Some(entries) => {
                for entry in entries.filter(|entry| self.lists(entry.class()) && !entry.is_expired(tick)) {
                    push_meta(out, memcached, entry, shard.total(entry));
                }
                self.slot = self.slot.saturating_add(SCAN);
            }
        }
        true
    }
}

/// Appends `key=… exp=… la=… cas=… fetch=… cls=… size=…`, as memcached writes it.
fn push_meta(out: &mut Vec<u8>, memcached: &Memcached, entry: &Entry, total: u64) {
    let unix = |tick: Tick| memcached.epoch.unix_start().saturating_add(tick.into());
    out.extend_from_slice(b"key=");
    push_uri(out, entry.body.key());
    out.extend_from_slice(b" exp=");
    match entry.expires {
        NEVER => out.extend_from_slice(b"-1"),
        expires => push_u64(out, unix(expires)),
    }
    for (name, number) in [(&b" la="[..], unix(entry.accessed)), (b" cas=", entry.cas)] {
        out.extend_from_slice(name);
        push_u64(out, number);
    }
    out.extend_from_slice(if entry.has(Mark::Fetched) { b" fetch=yes" } else { b" fetch=no" });
    for (name, number) in [(&b" cls="[..], classes::number(entry.class()).into()), (b" size=", total)] {
        out.extend_from_slice(name);
        push_u64(out, number);
    }
    out.push(b'\n');
}

/// Appends a key as it stands in a URI.
fn push_uri(out: &mut Vec<u8>, key: &[u8]) {
    for &byte in key {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte),
            _ => push_hex(out, byte),
        }
    }
}

fn push_hex(out: &mut Vec<u8>, byte: u8) {
    let digit = |number: u8| char::from_digit(number.into(), 16).map_or(b'0', |digit| digit.to_ascii_uppercase() as u8);
    out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
}

/// How many items count at most so many bytes, and more than the size before.
pub(super) fn sizes(memcached: &Memcached) -> BTreeMap<u64, u64> {
    let mut sizes = BTreeMap::new();
    for index in 0..memcached.shards.len() {
        let shard = memcached.shard(index);
        for (id, _) in memcached.classes.iter() {
            let mut slot = shard.line(id).newest;
            while slot != END {
                let entry = shard.get(slot);
                sizes.entry(shard.total(entry).next_multiple_of(SIZE_STEP)).or_insert(0u64).up();
                slot = entry.older;
            }
        }
    }
    sizes
}
