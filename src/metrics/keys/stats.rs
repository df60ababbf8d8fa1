//! The numbers of each key, for so many keys and so long (06 §7).

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use foldhash::fast::RandomState;

use super::Micros;
use super::label::Label;
use crate::metrics::counter::{Command, FIELDS, Field, TYPES};

/// The commands that name keys.
const KEYED: [Command; 14] = [
    Command::Get,
    Command::GetKey,
    Command::Set,
    Command::Add,
    Command::Replace,
    Command::Delete,
    Command::Append,
    Command::Prepend,
    Command::Incr,
    Command::Decr,
    Command::Cas,
    Command::Getl,
    Command::Unl,
    Command::Touch,
];

const NUMBERS: usize = TYPES.len() * KEYED.len() * FIELDS.len();

/// The place of a number: there are so many commands of each type, with so many numbers each.
#[expect(clippy::arithmetic_side_effects, reason = "the last of them is in NUMBERS, which the compiler has multiplied")]
fn place_of(quiet: bool, row: usize, field: Field) -> usize {
    (usize::from(quiet) * KEYED.len() + row) * FIELDS.len() + field as usize
}

/// So many keys get memory at a time.
const BLOCK: usize = 64;

/// The index of so many keys has its memory from the start.
const AT_ONCE: usize = 4096;

/// No entry.
const NONE: u32 = u32::MAX;

/// One key.
#[derive(Debug)]
struct Entry {
    label: Label,
    /// When it was made.
    since: AtomicU64,
    numbers: [AtomicU64; NUMBERS],
}

impl Default for Entry {
    fn default() -> Entry {
        let numbers = std::array::from_fn(|_| AtomicU64::new(0));
        Entry { label: Label::default(), since: AtomicU64::new(0), numbers }
    }
}

type Block = Arc<[Entry]>;

/// What one worker has counted of one bucket's keys, to be read by all.
#[derive(Debug)]
pub struct Page {
    /// Locked when there is memory for more keys, and to read.
    blocks: Mutex<Vec<Block>>,
    lifespan: Micros,
}

impl Page {
    fn blocks(&self) -> Vec<Block> {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Names an entry for as long as it is one key's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tracked {
    at: u32,
    /// Which time that an entry was given to a key.
    turn: u32,
}

impl Tracked {
    /// No key.
    pub const NONE: Tracked = Tracked { at: NONE, turn: 0 };
}

/// What only the owner needs of an entry.
#[derive(Clone, Copy, Debug)]
struct Link {
    hash: u64,
    since: Micros,
    turn: u32,
    /// The entry that was used next, and the one that was used before.
    newer: u32,
    older: u32,
}

/// The keys of a worker.
#[derive(Debug)]
pub struct KeyStats {
    page: Arc<Page>,
    /// The reset that is to have happened.
    wanted: Arc<AtomicU64>,
    epoch: u64,
    /// Counts how often an entry was given to a key.
    turn: u32,
    most: usize,
    hasher: RandomState,
    /// By the hash of the key: its entry. (Two keys with one hash would count as one: there are 2⁶⁴, drawn at random.)
    index: HashMap<u64, u32, RandomState>,
    /// The same as in `page`.
    blocks: Vec<Block>,
    links: Vec<Link>,
    newest: u32,
    oldest: u32,
}

impl KeyStats {
    /// Numbers for `most` keys, each for `lifespan` from when it was first seen. `wanted` counts resets.
    pub fn new(most: u32, lifespan: Micros, wanted: Arc<AtomicU64>) -> KeyStats {
        KeyStats {
            page: Arc::new(Page { blocks: Mutex::default(), lifespan }),
            wanted,
            epoch: 0,
            turn: 0,
            most: most as usize,
            hasher: RandomState::default(),
            // Twice as many: then the table cleans itself up without new memory.
            index: HashMap::with_capacity_and_hasher(
                (most as usize).min(AT_ONCE).saturating_mul(2),
                RandomState::default(),
            ),
            blocks: Vec::new(),
            links: Vec::new(),
            newest: NONE,
            oldest: NONE,
        }
    }

    /// What others may read.
    pub fn page(&self) -> &Arc<Page> {
        &self.page
    }

    /// The entry of a key, made if there is none, or none that has not outlived its time.
    pub fn track(&mut self, key: &[u8], now: Micros) -> Tracked {
        let wanted = self.wanted.load(Relaxed);
        if wanted != self.epoch {
            self.restart(wanted);
        }
        let hash = self.hasher.hash_one(key);
        let at = match self.index.get(&hash) {
            Some(&at) => {
                self.touch(at);
                if !self.is_over(at, now) {
                    return Tracked { at, turn: self.own(at).turn };
                }
                at
            }
            None => match self.place(now) {
                Some(at) => at,
                None => return Tracked::NONE,
            },
        };
        self.begin(at, hash, key, now)
    }

    /// The entry of a key, if it has one.
    pub fn find(&self, key: &[u8]) -> Tracked {
        let at = self.index.get(&self.hasher.hash_one(key)).copied().unwrap_or(NONE);
        self.links.get(at as usize).map_or(Tracked::NONE, |link| Tracked { at, turn: link.turn })
    }

    /// Counts for a key. One that has lost its entry in between counts nothing.
    pub fn add(&self, tracked: Tracked, quiet: bool, command: Command, field: Field, by: u64) {
        let is_its = self.links.get(tracked.at as usize).is_some_and(|link| link.turn == tracked.turn);
        let Some(row) = KEYED.iter().position(|keyed| *keyed == command).filter(|_| is_its) else { return };
        if let Some(number) = self.entry(tracked.at).numbers.get(place_of(quiet, row, field)) {
            // Nobody else writes.
            number.store(number.load(Relaxed).wrapping_add(by), Relaxed);
        }
    }

    /// Forgets all keys, and keeps their memory.
    fn restart(&mut self, epoch: u64) {
        self.epoch = epoch;
        self.index.clear();
        self.links.clear();
        (self.newest, self.oldest) = (NONE, NONE);
    }

    #[expect(clippy::indexing_slicing, reason = "only entries that have memory are named, and they keep it")]
    fn entry(&self, at: u32) -> &Entry {
        &self.blocks[at as usize / BLOCK][at as usize % BLOCK]
    }

    #[expect(clippy::indexing_slicing, reason = "whoever names an entry has found it in the index, or made it")]
    fn own(&self, at: u32) -> &Link {
        &self.links[at as usize]
    }

    #[expect(clippy::indexing_slicing, reason = "as above")]
    fn own_mut(&mut self, at: u32) -> &mut Link {
        &mut self.links[at as usize]
    }

    fn is_over(&self, at: u32, now: Micros) -> bool {
        self.own(at).since.saturating_add(self.page.lifespan) < now
    }

    /// An entry for another key: that of the one that was used the longest time ago, if its time is over or there is no
    /// other. `None`: there is to be none at all.
    fn place(&mut self, now: Micros) -> Option<u32> {
        let is_full = self.links.len() >= self.most;
        if self.oldest != NONE && (is_full || self.is_over(self.oldest, now)) {
            let at = self.oldest;
            self.unlink(at);
            let hash = self.own(at).hash;
            self.index.remove(&hash);
            self.link(at);
            return Some(at);
        }
        if is_full {
            return None;
        }
        let at = self.links.len();
        if at == self.blocks.len().saturating_mul(BLOCK) {
            let block: Block = (0..BLOCK).map(|_| Entry::default()).collect();
            self.blocks.push(Arc::clone(&block));
            self.page.blocks.lock().unwrap_or_else(PoisonError::into_inner).push(block);
        }
        self.links.push(Link { hash: 0, since: 0, turn: 0, newer: NONE, older: NONE });
        self.link(at as u32);
        Some(at as u32)
    }

    /// The entry is this key's from now on, and has counted nothing.
    fn begin(&mut self, at: u32, hash: u64, key: &[u8], now: Micros) -> Tracked {
        let turn = self.turn.wrapping_add(1);
        self.turn = turn;
        let link = self.own_mut(at);
        (link.hash, link.since, link.turn) = (hash, now, turn);
        self.index.insert(hash, at);
        let entry = self.entry(at);
        entry.label.replace(key, self.epoch, || {
            entry.since.store(now, Relaxed);
            entry.numbers.iter().for_each(|number| number.store(0, Relaxed));
        });
        Tracked { at, turn }
    }

    /// Notes that the entry was used.
    fn touch(&mut self, at: u32) {
        if self.newest != at {
            self.unlink(at);
            self.link(at);
        }
    }

    fn link(&mut self, at: u32) {
        let newest = std::mem::replace(&mut self.newest, at);
        let link = self.own_mut(at);
        (link.newer, link.older) = (NONE, newest);
        match self.links.get_mut(newest as usize) {
            Some(link) => link.newer = at,
            None => self.oldest = at,
        }
    }

    fn unlink(&mut self, at: u32) {
        let Link { newer, older, .. } = *self.own(at);
        match self.links.get_mut(newer as usize) {
            Some(link) => link.older = older,
            None => self.newest = older,
        }
        match self.links.get_mut(older as usize) {
            Some(link) => link.newer = newer,
            None => self.oldest = newer,
        }
    }
}

/// The numbers of one key, of several workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyNumbers {
    /// When the first worker has seen it.
    pub since: Micros,
    numbers: [u64; NUMBERS],
}

impl KeyNumbers {
    /// All numbers that are not 0: type, command, field, number.
    pub fn counted(&self) -> impl Iterator<Item = (&'static str, &'static str, &'static str, u64)> {
        let names = TYPES.iter().flat_map(|kind| KEYED.iter().map(move |command| (*kind, command.name())));
        let names = names.flat_map(|(kind, command)| FIELDS.iter().map(move |field| (kind, command, *field)));
        let all = names.zip(&self.numbers).map(|((kind, command, field), number)| (kind, command, field, *number));
        all.filter(|(.., number)| *number > 0)
    }
}

/// The keys of these workers that have been seen since reset `epoch`, and have not outlived their time.
pub fn sum<'a>(pages: impl Iterator<Item = &'a Page>, epoch: u64, now: Micros) -> BTreeMap<Vec<u8>, KeyNumbers> {
    let mut all: BTreeMap<Vec<u8>, KeyNumbers> = BTreeMap::new();
    for page in pages {
        for entry in page.blocks().iter().flat_map(|block| block.iter()) {
            let read = || {
                let numbers = entry.numbers.each_ref().map(|number| number.load(Relaxed));
                KeyNumbers { since: entry.since.load(Relaxed), numbers }
            };
            let Some((key, own)) = entry.label.read(epoch, read) else { continue };
            if own.since.saturating_add(page.lifespan) < now {
                continue;
            }
            let sum = all.entry(key).or_insert_with(|| KeyNumbers { since: own.since, numbers: [0; NUMBERS] });
            sum.since = sum.since.min(own.since);
            for (total, number) in sum.numbers.iter_mut().zip(own.numbers) {
                *total = total.wrapping_add(number);
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stats(most: u32, lifespan: Micros) -> (KeyStats, Arc<AtomicU64>) {
        let wanted = Arc::new(AtomicU64::new(1));
        (KeyStats::new(most, lifespan, Arc::clone(&wanted)), wanted)
    }

    fn see(stats: &mut KeyStats, key: &str, now: Micros) -> Tracked {
        let tracked = stats.track(key.as_bytes(), now);
        stats.add(tracked, false, Command::Get, Field::Seen, 1);
        tracked
    }

    /// Each key with when it was first seen, and how often it was.
    fn shown(workers: &[&KeyStats], epoch: u64, now: Micros) -> Vec<(String, Micros, u64)> {
        let all = sum(workers.iter().map(|stats| stats.page().as_ref()), epoch, now);
        let seen = |numbers: &KeyNumbers| numbers.counted().map(|(.., number)| number).sum();
        let name = |key: Vec<u8>| String::from_utf8(key).expect("text");
        all.into_iter().map(|(key, numbers)| (name(key), numbers.since, seen(&numbers))).collect()
    }

    fn of(key: &str, since: Micros, seen: u64) -> (String, Micros, u64) {
        (key.to_owned(), since, seen)
    }

    #[test]
    fn workers_add_up_until_the_time_of_a_key_is_over() {
        let (mut one, wanted) = stats(9, 100);
        let mut other = KeyStats::new(9, 100, Arc::clone(&wanted));
        see(&mut one, "a", 5);
        see(&mut one, "a", 6);
        see(&mut other, "a", 2);
        see(&mut other, "b", 30);
        assert_eq!(shown(&[&one, &other], 1, 50), [of("a", 2, 3), of("b", 30, 1)]);
        assert_eq!(shown(&[&one, &other], 1, 103), [of("a", 5, 2), of("b", 30, 1)]);
        // It begins anew.
        see(&mut one, "a", 106);
        assert_eq!(shown(&[&one, &other], 1, 106), [of("a", 106, 1), of("b", 30, 1)]);
        wanted.store(2, Relaxed);
        assert_eq!(shown(&[&one, &other], 2, 106), []);
        see(&mut one, "c", 107);
        assert_eq!(shown(&[&one, &other], 2, 107), [of("c", 107, 1)]);
    }

    #[test]
    fn the_least_recently_used_key_makes_room() {
        let (mut stats, _) = stats(2, 1000);
        let first = see(&mut stats, "a", 0);
        see(&mut stats, "b", 0);
        see(&mut stats, "a", 1);
        see(&mut stats, "c", 2);
        assert_eq!(shown(&[&stats], 1, 2), [of("a", 0, 2), of("c", 2, 1)]);
        see(&mut stats, "d", 3);
        // What comes late for a key that has no entry any more is not another's.
        stats.add(first, false, Command::Get, Field::Hits, 1);
        assert_eq!(shown(&[&stats], 1, 3), [of("c", 2, 1), of("d", 3, 1)]);
        let (mut none, _) = self::stats(0, 1000);
        assert_eq!(none.track(b"a", 0), Tracked::NONE);
        none.add(Tracked::NONE, false, Command::Get, Field::Seen, 1);
    }

    #[test]
    fn every_number_has_its_name() {
        let (mut stats, _) = stats(1, 1000);
        let tracked = stats.track(b"k", 0);
        stats.add(tracked, false, Command::GetKey, Field::WriteBytes, 7);
        stats.add(tracked, true, Command::Touch, Field::Cas, 9);
        // It names no key.
        stats.add(tracked, true, Command::FlushAll, Field::Seen, 1);
        let all = sum([stats.page().as_ref()].into_iter(), 1, 0);
        let counted: Vec<_> = all[&b"k"[..]].counted().collect();
        assert_eq!(counted, [("regular", "get_key", "write_bytes", 7), ("quiet", "touch", "cas", 9)]);
    }

    proptest! {
        /// As a plain list has it.
        #[test]
        fn like_a_list(steps in prop::collection::vec((0..100u64, 0..9u8), 0..200)) {
            let (mut stats, _) = stats(4, 150);
            let (mut list, mut now) = (Vec::<(String, Micros, u64)>::new(), 0);
            for (pause, key) in steps {
                now += pause;
                let key = key.to_string();
                see(&mut stats, &key, now);
                let is_over = |since: Micros| since + 150 < now;
                match list.iter().position(|(name, ..)| *name == key) {
                    Some(at) => {
                        let (name, since, seen) = list.remove(at);
                        list.push(if is_over(since) { (name, now, 1) } else { (name, since, seen + 1) });
                    }
                    None => {
                        if list.first().is_some_and(|(_, since, _)| list.len() == 4 || is_over(*since)) {
                            list.remove(0);
                        }
                        list.push((key, now, 1));
                    }
                }
                let mut want: Vec<_> = list.iter().filter(|(_, since, _)| !is_over(*since)).cloned().collect();
                want.sort();
                prop_assert_eq!(shown(&[&stats], 1, now), want);
            }
        }
    }
}
