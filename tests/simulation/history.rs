//! What clients were told, key by key: whether a register that does one thing after the other could have said it.
//!
//! Only what clients know is in there, besides that a server was flushed; so it holds whatever servers and proxy believe. A
//! request that was answered with an error, or not at all, may have been carried out, at any time after it was sent, but not
//! behind a later change of the same client for the same key that was confirmed. What moxi may repeat (03 §8.1) may
//! have happened again before its answer came.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use super::linear::{Register, Step, Verdict};
use super::op::{Key, NUMBER, Op};
use super::store::Tick;

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
}

/// The register of a key: the key, and the server that has it.
type Name = (usize, Key);

/// All that clients were told.
#[derive(Debug, Default)]
pub struct History {
    told: BTreeMap<Name, Vec<Told>>,
    /// Whose items the CAS ids are that clients were told of.
    cas: HashMap<(usize, u64), Rc<[u8]>>,
    /// When servers were flushed.
    flushes: Vec<(usize, Tick)>,
}

/// How many registers were looked at, and how many of them had too many possible pasts to be decided.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub registers: u64,
    pub undecided: u64,
}

impl History {
    /// A client was told something about a key.
    pub fn note(&mut self, server: usize, key: &Key, told: Told) {
        let is_known = matches!(key.first(), Some(b's' | b'c' | &NUMBER));
        if is_known && !matches!(told.op, Op::Unl { .. }) {
            self.told.entry((server, key.clone())).or_default().push(told);
        }
    }

    /// A client was told the CAS id of a value.
    pub fn note_cas(&mut self, server: usize, cas: u64, data: &Rc<[u8]>) {
        self.cas.insert((server, cas), data.clone());
    }

    /// A server was flushed.
    pub fn note_flush(&mut self, server: usize, now: Tick) {
        self.flushes.push((server, now));
    }

    /// Looks for a past of each register that explains what was told. `repeats`: how often more what may be repeated may have been done.
    ///
    /// # Errors
    /// Names a register that has none.
    pub fn check(&self, repeats: u32, is_lying: impl Fn(usize) -> bool) -> Result<Counts, String> {
        let mut counts = Counts::default();
        for ((server, key), told) in self.told.iter().filter(|((server, _), _)| !is_lying(*server)) {
            let mut register = Register::default();
            let mut told: Vec<&Told> = told.iter().collect();
            told.sort_by_key(|told| told.call);
            for told in told {
                let known = match &told.op {
                    Op::Store { cas: Some(cas), .. } => self.cas.get(&(*server, *cas)).cloned(),
                    _ => None,
                };
                register.add(Step::of(told, known), repeats);
            }
            for (_, at) in self.flushes.iter().filter(|(flushed, _)| flushed == server) {
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
