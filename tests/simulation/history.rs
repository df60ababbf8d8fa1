//! What clients were told, key by key: whether a register that does one thing after the other could have said it.
//!
//! Only what clients know is in there, besides that a server was flushed; so it holds whatever servers and proxy believe. A
//! request that was answered with an error, or not at all, may have been carried out, at any time after it was sent, but not
//! behind a later change of the same client for the same key that was confirmed. What moxi may repeat (03 §8.1) may
//! have happened again before its answer came.
//!
//! A key is another register at another server. When it has moved while a request was under way, what the answer cannot tell,
//! the servers do: who has done it.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use super::cluster::vbucket;
use super::linear::{Register, Step, Verdict};
use super::op::{Key, NUMBER, Op};
use super::store::Tick;
use super::truth::Truth;

/// What a client was told about one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It was done.
    Done,
    /// It was not done, because there is no item.
    Absent,
    /// It was not done, because there is one, or another one.
    Present,
    /// The number that is there now.
    Number(u64),
    /// What is there.
    Value { flags: u32, data: Rc<[u8]> },
    /// Nothing that tells whether it was done.
    Nothing,
}

impl Seen {
    /// What the line for a request of one key says.
    pub fn of_line(op: &Op, line: &str) -> Seen {
        match line {
            "STORED" | "DELETED" | "TOUCHED" => Seen::Done,
            "NOT_FOUND" => Seen::Absent,
            "EXISTS" => Seen::Present,
            "NOT_STORED" => Seen::not_stored(op),
            number => number.parse().map_or(Seen::Nothing, Seen::Number),
        }
    }

    /// What a packet for such a request says.
    pub fn of_packet(op: &Op, status: u16, value: &[u8]) -> Seen {
        match (status, op) {
            (0, Op::Arith { .. }) => {
                value.try_into().map_or(Seen::Nothing, |number| Seen::Number(u64::from_be_bytes(number)))
            }
            (0, _) => Seen::Done,
            (0x01, _) => Seen::Absent,
            (0x02, _) => Seen::Present,
            (0x05, _) => Seen::not_stored(op),
            _ => Seen::Nothing,
        }
    }

    fn not_stored(op: &Op) -> Seen {
        match op {
            Op::Store { verb: moxi::protocol::StoreVerb::Add, .. } => Seen::Present,
            _ => Seen::Absent,
        }
    }
}

/// A request, as its client sees it.
#[derive(Clone, Debug)]
pub struct Told {
    pub client: u64,
    pub op: Op,
    pub seen: Seen,
    /// When it was asked for.
    pub call: Tick,
    /// When the answer came; `None`: there was none that says whether it was done.
    pub back: Option<Tick>,
    pub place: Place,
}

/// Which server's item is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    At(usize),
    /// That of one which has had the key in this bucket while the request was under way.
    In(usize),
}

/// The register of a key: the key, and the server that has it.
type Name = (usize, Key);

/// All that clients were told.
#[derive(Debug, Default)]
pub struct History {
    told: BTreeMap<Key, Vec<Told>>,
    /// Whose items the CAS ids are that clients were told of.
    cas: HashMap<(usize, u64), Rc<[u8]>>,
    /// When servers were flushed: of a cluster these vbuckets.
    flushes: Vec<(usize, Tick, Option<Vec<usize>>)>,
}

/// How many registers were looked at, and how many of them had too many possible pasts to be decided.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub registers: u64,
    pub undecided: u64,
}

impl History {
    /// A client was told something about a key.
    pub fn note(&mut self, told: Told) {
        let Some(key) = told.op.keys().first().cloned() else { return };
        let is_known = matches!(key.first(), Some(b's' | b'c' | &NUMBER));
        if is_known && !matches!(told.op, Op::Unl { .. }) {
            self.told.entry(key).or_default().push(told);
        }
    }

    /// A client was told the CAS id of a value.
    pub fn note_cas(&mut self, server: usize, cas: u64, data: &Rc<[u8]>) {
        self.cas.insert((server, cas), data.clone());
    }

    /// A server was flushed; of a cluster these vbuckets.
    pub fn note_flush(&mut self, server: usize, now: Tick, vbuckets: Option<Vec<usize>>) {
        self.flushes.push((server, now, vbuckets));
    }

    /// Looks for a past of each register that explains what was told. `repeats`: how often more what may be repeated may have been done.
    ///
    /// # Errors
    /// Names a register that has none.
    pub fn check(&self, repeats: u32, truth: &Truth) -> Result<Counts, String> {
        let mut counts = Counts::default();
        let mut registers: BTreeMap<Name, Vec<Told>> = BTreeMap::new();
        for (key, told) in self.told.iter().flat_map(|(key, all)| all.iter().map(move |told| (key, told))) {
            for (server, told) in sort(told, key, truth) {
                registers.entry((server, key.clone())).or_default().push(told);
            }
        }
        for ((server, key), mut told) in registers.into_iter().filter(|((server, _), _)| !truth.is_lying(*server)) {
            let (server, key) = (&server, &key);
            let mut register = Register::default();
            told.sort_by_key(|told| told.call);
            for told in &told {
                let known = match &told.op {
                    Op::Store { cas: Some(cas), .. } => self.cas.get(&(*server, *cas)).cloned(),
                    _ => None,
                };
                let mut step = Step::of(told, known);
                step.may_be_late = truth.may_be_late(key, told.call);
                step.may_be_behind = truth.may_be_behind(key, told.call, told.back.unwrap_or(Tick::MAX));
                register.add(step, repeats);
            }
            for (_, at, _) in self.flushes.iter().filter(|(flushed, _, vbuckets)| {
                flushed == server && vbuckets.as_ref().is_none_or(|all| all.contains(&vbucket(key)))
            }) {
                register.flush(*at);
            }
            counts.registers += 1;
            match register.explain() {
                Verdict::Explained => {}
                Verdict::Undecided => counts.undecided += 1,
                Verdict::Refuted(text) => {
                    return Err(format!(
                        "no order explains what was told of {} on server {server}: {text}",
                        key.escape_ascii()
                    ));
                }
            }
        }
        Ok(counts)
    }
}

/// Which registers something that was told belongs to: that of its server. If that is not known, it may have been done at
/// any of these.
fn sort(told: &Told, key: &Key, truth: &Truth) -> Vec<(usize, Told)> {
    let bucket = match told.place {
        Place::At(server) => return vec![(server, told.clone())],
        Place::In(bucket) => bucket,
    };
    let owners = truth.owners_until(bucket, key, told.call, told.back.unwrap_or(Tick::MAX));
    let mut servers: Vec<usize> = owners.all.iter().map(|owner| truth.home(owner.server)).collect();
    servers.sort_unstable();
    servers.dedup();
    if servers.len() > 1 {
        if let Some(id) = told.op.id() {
            let done = truth.log.of(id);
            servers.retain(|server| done.iter().any(|execution| execution.server == *server));
        }
        let told = Told { seen: Seen::Nothing, ..told.clone() };
        return servers.into_iter().map(|server| (server, told.clone())).collect();
    }
    servers.into_iter().map(|server| (server, told.clone())).collect()
}
