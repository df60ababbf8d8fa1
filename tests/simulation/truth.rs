//! What everybody in the simulation shares: time, randomness, what the servers hold and did.

use std::cell::RefCell;
use std::collections::HashMap;

use moxi::proxy::timers::Micros;

use super::history::History;
use super::op::{IDS, Key, Op, Outcome};
use super::scenario::Scenario;
use super::store::{Log, Store, Tick};
use moxi_fuzzing::memory::Random;

/// How a server behaves at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    Well,
    /// Replies take up to so many microseconds.
    Slow(u64),
    /// Neither reads nor answers.
    Stalled,
    /// Refuses new connections.
    Refusing,
    /// New connections are never completed.
    Hole,
}

/// The simulation's view from above.
pub struct Truth {
    pub scenario: Scenario,
    pub random: Random,
    pub now: Micros,
    /// Counts every event.
    pub tick: Tick,
    /// Each server's items.
    pub stores: Vec<Store>,
    pub log: Log,
    /// Of the keys that one client has to itself: the newest of its requests that it knows to be done.
    acknowledged: RefCell<HashMap<Key, u64>>,
    /// What clients were told.
    pub history: RefCell<History>,
    pub moods: Vec<Mood>,
    /// Which servers have sent garbage: their replies may have been taken for those of other requests.
    pub lying: Vec<bool>,
    /// The run is over: no more faults.
    pub healed: bool,
    /// The last steps, if they are wanted.
    pub trace: Option<Vec<String>>,
    next_id: u64,
}

impl Truth {
    /// The beginning of a run.
    pub fn new(scenario: Scenario, random: Random, traced: bool) -> Truth {
        let count = scenario.servers.len();
        Truth {
            scenario,
            random,
            now: 1_000_000,
            tick: 1,
            stores: (0..count).map(|_| Store::default()).collect(),
            log: Log::default(),
            acknowledged: RefCell::default(),
            history: RefCell::default(),
            moods: vec![Mood::Well; count],
            lying: vec![false; count],
            healed: false,
            trace: traced.then(Vec::new),
            next_id: IDS.start,
        }
    }

    /// A number that no other request has.
    pub fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// A client has been told that its request for this key is done.
    pub fn acknowledge(&self, key: &Key, id: u64) {
        if key.starts_with(b"c") || key.starts_with(b"nc") {
            let mut acknowledged = self.acknowledged.borrow_mut();
            let newest = acknowledged.entry(key.clone()).or_default();
            *newest = id.max(*newest);
        }
    }

    /// Panics if `server` has just carried out what its client had sent before something that it knows to be done: it
    /// may have been told of a failure, but not be overtaken.
    pub fn check_overtaken(&self, server: usize, op: &Op, outcome: &Outcome) {
        let (Some(key), Some(id)) = (op.key(), op.id()) else { return };
        let is_change = matches!(outcome, Outcome::Stored | Outcome::Number(_) | Outcome::Touched);
        let newest = self.acknowledged.borrow().get(key).copied().unwrap_or(0);
        let is_overtaken = is_change && id < newest && !self.lying[server];
        assert!(!is_overtaken, "{op:?} was carried out although request {newest} was acknowledged before");
    }

    /// The next tick.
    pub fn tick(&mut self) -> Tick {
        self.tick += 1;
        self.tick
    }

    /// Notes a step.
    pub fn note(&mut self, text: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            let text = text();
            trace.push(format!("{:>9} {text}", self.now));
        }
    }

    /// Once in `times`, while there are faults of a kind.
    pub fn fault(&mut self, kind: bool, times: u64) -> bool {
        kind && !self.healed && self.random.once_in(times)
    }
}

/// Bytes for the trace, shortened.
pub fn shown(bytes: &[u8]) -> String {
    match bytes.len() {
        0..=60 => bytes.escape_ascii().to_string(),
        len => format!("{}... ({len} bytes)", bytes[..50].escape_ascii()),
    }
}
