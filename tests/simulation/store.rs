//! A memcached's items and their past; and the log of what all servers executed.

use std::collections::HashMap;
use std::rc::Rc;

use moxi::protocol::StoreVerb;

use super::op::{Item, Key, Op, Outcome};

/// Counts what happens in the simulation, one by one.
pub type Tick = u64;

/// The items of one server; or what one client knows of its own keys.
#[derive(Debug, Default)]
pub struct Store {
    records: HashMap<Key, Record>,
}

/// A key's present and past.
#[derive(Debug, Default)]
struct Record {
    changes: u64,
    item: Option<Item>,
    /// Since when it has held what.
    past: Vec<(Tick, Option<Item>)>,
}

impl Record {
    fn set(&mut self, item: Option<Item>, now: Tick) {
        if self.past.is_empty() {
            self.past.push((0, None));
        }
        self.past.push((now, item.clone()));
        self.item = item;
        self.changes += 1;
    }
}

/// The CAS id that `key` has after so many changes: known to who counts along.
fn cas_id(key: &[u8], changes: u64) -> u64 {
    u64::from(crc32fast::hash(key) | 1) << 24 | (changes + 1)
}

impl Store {
    /// Executes a request for one key.
    pub fn execute(&mut self, op: &Op, now: Tick) -> Outcome {
        if let Op::Get { keys, .. } = op {
            let found = keys.iter().filter_map(|key| Some((Rc::clone(key), self.item(key)?.clone())));
            return Outcome::Values(found.collect());
        }
        let Some(key) = op.key() else { return Outcome::Unknown };
        if !self.records.contains_key(key) {
            self.records.insert(Rc::clone(key), Record::default());
        }
        let Some(record) = self.records.get_mut(key) else { return Outcome::Unknown };
        let new_cas = cas_id(key, record.changes);
        match op {
            Op::Store { verb, flags, cas, value, .. } => {
                let joined = |a: &[u8], b: &[u8]| Rc::from([a, b].concat());
                let item = match (&record.item, verb, cas) {
                    (None, _, Some(_)) => return Outcome::NotFound,
                    (Some(item), _, Some(cas)) if item.cas != *cas => return Outcome::Exists,
                    (Some(_), StoreVerb::Add, _) => return Outcome::NotStored,
                    (None, StoreVerb::Replace | StoreVerb::Append | StoreVerb::Prepend, _) => {
                        return Outcome::NotStored;
                    }
                    (Some(item), StoreVerb::Append, _) => {
                        Item { value: joined(&item.value, value), cas: new_cas, flags: item.flags }
                    }
                    (Some(item), StoreVerb::Prepend, _) => {
                        Item { value: joined(value, &item.value), cas: new_cas, flags: item.flags }
                    }
                    _ => Item { value: Rc::clone(value), cas: new_cas, flags: *flags },
                };
                record.set(Some(item), now);
                Outcome::Stored
            }
            Op::Arith { delta, decr, .. } => {
                let Some(item) = &record.item else { return Outcome::NotFound };
                let number = str::from_utf8(&item.value).ok().and_then(|text| text.parse::<u64>().ok());
                let Some(number) = number else { return Outcome::NonNumeric };
                let number = if *decr { number.saturating_sub(*delta) } else { number.wrapping_add(*delta) };
                let value = Rc::from(number.to_string().into_bytes());
                let item = Item { flags: item.flags, cas: new_cas, value };
                record.set(Some(item), now);
                Outcome::Number(number)
            }
            Op::Delete { .. } => {
                if record.item.is_none() {
                    return Outcome::NotFound;
                }
                record.set(None, now);
                Outcome::Deleted
            }
            Op::Touch { .. } if record.item.is_some() => Outcome::Touched,
            Op::Unl { .. } if record.item.is_some() => Outcome::Unlocked,
            Op::Getl { .. } => match &record.item {
                Some(item) => Outcome::Values(vec![(Rc::clone(key), item.clone())]),
                None => Outcome::NotFound,
            },
            _ => Outcome::NotFound,
        }
    }

    /// Drops these keys.
    pub fn flush(&mut self, now: Tick, is_it: impl Fn(&Key) -> bool) {
        for (_, record) in self.records.iter_mut().filter(|(key, record)| record.item.is_some() && is_it(key)) {
            record.set(None, now);
        }
    }

    /// What `key` holds now.
    pub fn item(&self, key: &[u8]) -> Option<&Item> {
        self.records.get(key)?.item.as_ref()
    }

    /// Whether `key` held what `is_it` accepts at some time from `from` on; if so, since when it did at the first of
    /// these times.
    pub fn held(&self, key: &[u8], from: Tick, is_it: impl Fn(Option<&Item>) -> bool) -> Option<Tick> {
        let Some(record) = self.records.get(key).filter(|record| !record.past.is_empty()) else {
            return is_it(None).then_some(0);
        };
        let mut first = None;
        for (since, item) in record.past.iter().rev() {
            if is_it(item.as_ref()) {
                first = Some(*since);
            }
            if *since < from {
                break;
            }
        }
        first
    }
}

/// What a server did, or refused to do.
#[derive(Clone, Debug)]
pub struct Execution {
    pub at: Tick,
    pub server: usize,
    pub outcome: Outcome,
}

impl Execution {
    /// Whether nothing was done.
    pub fn is_refused(&self) -> bool {
        matches!(self.outcome, Outcome::TooLarge | Outcome::Temporary | Outcome::NotMine(_))
    }
}

/// Everything that all servers did, by the ids of requests.
#[derive(Debug, Default)]
pub struct Log {
    executed: HashMap<u64, Vec<Execution>>,
}

impl Log {
    /// Notes an execution, or a refusal; returns how many executions there were, with this one.
    pub fn note(&mut self, id: u64, execution: Execution) -> usize {
        let all = self.executed.entry(id).or_default();
        all.push(execution);
        let is_done = |execution: &&Execution| !execution.is_refused();
        all.iter().filter(is_done).count()
    }

    /// When and how the request with this id was executed.
    pub fn of(&self, id: u64) -> &[Execution] {
        self.executed.get(&id).map_or(&[], Vec::as_slice)
    }
}
