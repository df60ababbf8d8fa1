//! Whether values, or their absence, are what a request may be told of.

use std::rc::Rc;

use super::eras::{Owner, Owners};
use super::history::{Place, Seen};
use super::judge::{Answer, Context, Known, Value};
use super::op::{Item, Key, Op};
use super::store::Tick;

impl Context<'_> {
    /// Judges an answer of values.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn values(&mut self, op: &Op, exact: &[Option<Option<Item>>], answer: &Answer<'_>) -> Result<(), String> {
        let keys = op.keys();
        let cas = !matches!(op, Op::Get { cas: false, .. });
        let owners: Vec<Owners> = keys.iter().map(|key| self.owners(key)).collect();
        let is_repeated = (1..keys.len()).any(|index| keys[..index].contains(&keys[index]));
        let in_order = is_repeated || !self.may_be_of_one(keys);
        // Matches each value with a place in the request.
        let mut at: Vec<Option<&Value<'_>>> = vec![None; keys.len()];
        let mut next = 0;
        for value in &answer.values {
            let is_it = |index: &usize| *keys[*index] == *value.key && at[*index].is_none();
            let from = if in_order { next } else { 0 };
            let name = value.key.escape_ascii();
            let index = (from..keys.len()).find(is_it).ok_or(format!("a value of {name} that is out of place"))?;
            at[index] = Some(value);
            next = index + 1;
        }
        self.ending(op, &owners, answer)?;
        for ((key, owners), (value, exact)) in keys.iter().zip(&owners).zip(at.iter().zip(exact)) {
            self.value(op, key, owners, *value, Known { exact: exact.as_ref(), cas })?;
        }
        Ok(())
    }

    /// Whether one server may have had all these keys: its values come as it sends them.
    fn may_be_of_one(&self, keys: &[Key]) -> bool {
        let mut buckets = self.truth.eras.bucket(self.bucket, self.issued, Tick::MAX);
        buckets.any(|bucket| {
            // What was refused comes last.
            if self.truth.cluster.is_some() {
                return true;
            }
            let mut servers = keys.iter().filter_map(|key| Owner::of(bucket, key)).map(|owner| owner.server);
            let first = servers.next();
            servers.all(|server| Some(server) == first)
        })
    }

    /// Judges what ends values.
    fn ending(&self, op: &Op, owners: &[Owners], answer: &Answer<'_>) -> Result<(), String> {
        let buckets = || self.truth.eras.bucket(self.bucket, self.issued, Tick::MAX);
        let get_errors = buckets().any(|bucket| bucket.get_errors);
        let has_map = buckets().any(|bucket| bucket.router.vbucket_map().is_some());
        let count = owners.len();
        let is_lock = matches!(op, Op::Getl { .. });
        let lying = owners.iter().any(|owners| self.is_lying(owners));
        let fits = match answer.line {
            "END" => true,
            "NOT_FOUND" | "LOCK_ERROR" => is_lock && answer.values.is_empty(),
            "SERVER_ERROR temporary failure" => {
                let is_possible = self.truth.scenario.faults.errors || lying;
                is_possible && has_map && count == 1 && answer.values.is_empty()
            }
            line if get_errors && count == 1 => {
                self.is_failure(line, &owners[0]) && !line.starts_with("SERVER_ERROR proxy downstream closed")
            }
            line => get_errors && owners.iter().any(|owners| self.is_failure(line, owners)),
        };
        // A line that was meant for another request may end a get, too.
        let is_error = |line: &str| line.starts_with("SERVER_ERROR ") || line.starts_with("CLIENT_ERROR ");
        let is_stray = |line: &str| line.contains("GARBAGE") || matches!(line, "NOT_FOUND" | "ERROR") || is_error(line);
        if fits || lying && is_stray(answer.line) {
            return Ok(());
        }
        Err(format!("{count} values cannot end like this"))
    }

    /// Judges what was said about one key: a value, or nothing.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn value(
        &mut self,
        op: &Op,
        key: &Key,
        owners: &Owners,
        value: Option<&Value<'_>>,
        known: Known<'_>,
    ) -> Result<(), String> {
        if let Some(server) = self.holder(op, key, owners, value, known)? {
            self.told_value(op, key, server, value);
        }
        Ok(())
    }

    /// Whose item it is, if that can be told.
    fn holder(
        &mut self,
        op: &Op,
        key: &Key,
        owners: &Owners,
        value: Option<&Value<'_>>,
        known: Known<'_>,
    ) -> Result<Option<usize>, String> {
        let Known { exact, cas } = known;
        let (truth, name, is_lying) = (self.truth, key.escape_ascii(), self.is_lying(owners));
        if value.is_some_and(|value| value.cas.is_some() != cas) && !is_lying {
            return Err(format!("the CAS id of {name} is there or not, against the request"));
        }
        let is_unlocked = |owner: &Owner| truth.scenario.knows_locks[owner.server];
        let may_fail = !truth.is_strict(self.issued)
            || is_lying
            || owners.may_be_nobody
            || self.is_exhausted(key)
            || matches!(op, Op::Getl { .. }) && !owners.all.iter().all(is_unlocked);
        if value.is_none() && may_fail {
            return Ok(None); // every failure is a miss
        }
        let is_it = |item: Option<&Item>| match (item, value) {
            (None, None) => true,
            (Some(item), Some(value)) => {
                item.flags == value.flags
                    && value.cas.is_none_or(|cas| cas == item.cas)
                    && item.value.as_ref() == value.data
            }
            _ => false,
        };
        if let Some(exact) = exact {
            let server = owners.all.first().map(|owner| truth.home(owner.server));
            return if is_it(exact.as_ref()) { Ok(server) } else { Err(format!("{name} should have held {exact:?}")) };
        }
        let mut found = Vec::new();
        let mut homes: Vec<usize> = owners.all.iter().map(|owner| truth.home(owner.server)).collect();
        homes.sort_unstable();
        homes.dedup();
        for home in &homes {
            let floor = self.floors.get(&(*home, key.clone())).copied().unwrap_or(0);
            let is_behind = truth.may_be_behind(key, self.issued, Tick::MAX);
            let from = match is_lying {
                true => 0,
                false if is_behind => self.issued,
                false => self.issued.max(floor),
            };
            found.extend(truth.stores[*home].held(key, from, is_it).map(|since| (*home, since)));
        }
        match found[..] {
            [(server, since)] => {
                let floor = self.floors.entry((server, key.clone())).or_default();
                *floor = if is_lying { *floor } else { since.max(*floor) };
                Ok(Some(server))
            }
            // A server that is out of step may say again what it has said before.
            [] if is_lying && value.is_some_and(|value| has(value.data, key)) => Ok(homes.first().copied()),
            [] if owners.all.is_empty() => Err(format!("a value of {name}, which has no server")),
            [] => Err(format!("{name} did not hold this after {}", self.issued)),
            _ => Ok(None),
        }
    }

    /// The history has a value, or that there is none, if that is true.
    fn told_value(&self, op: &Op, key: &Key, server: usize, value: Option<&Value<'_>>) {
        let seen = match value {
            Some(value) => {
                let data: Rc<[u8]> = Rc::from(value.data);
                let mut history = self.truth.history.borrow_mut();
                value.cas.into_iter().for_each(|cas| history.note_cas(server, cas, &data));
                Seen::Value { flags: value.flags, data }
            }
            None if self.truth.is_strict(self.issued) && !matches!(op, Op::Getl { .. }) => Seen::Absent,
            None => return,
        };
        let op = Op::Get { keys: vec![key.clone()], cas: false, touch: None };
        self.told(&op, seen, Place::At(server));
    }
}

/// Whether a value names this key, as all values here do that are not numbers.
fn has(value: &[u8], key: &[u8]) -> bool {
    value.iter().all(u8::is_ascii_digit) || value.windows(key.len()).any(|part| part == key)
}
