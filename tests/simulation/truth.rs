//! What everybody in the simulation shares: time, randomness, what the servers hold and did.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use moxi::config::behavior::Behavior;
use moxi::config::snapshot::{BucketConfig, Config};
use moxi::proxy::timers::Micros;

use super::cluster::Cluster;
use super::eras::{Eras, Owner, Owners, index_of};
use super::history::History;
use super::op::{IDS, Key, NUMBER, Op, Outcome};
use super::scenario::Scenario;
use super::store::{Log, Store, Tick};
use moxi_fuzzing::memory::Random;

/// Whoever has less than so many milliseconds may be too late, with all well.
const HASTY: u32 = 50;

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
    /// Which configurations were in force when.
    pub eras: Eras,
    /// Within which every request is answered once it is its client's oldest, in microseconds; `None`: for ever.
    pub bound: Option<u64>,
    /// Who has which vbuckets, if the servers are a cluster.
    pub cluster: Option<Cluster>,
    /// Each server's items; those of a cluster are all in the first one.
    pub stores: Vec<Store>,
    /// When each server was flushed last.
    flushed: Vec<Tick>,
    pub log: Log,
    /// When each id was given to a request, and of which bucket, from the first one on.
    asked: Vec<(Tick, usize)>,
    /// Of the keys that one client has to itself: the newest of its requests that it knows to be done at a server.
    acknowledged: RefCell<HashMap<(usize, Key), u64>>,
    /// What clients were told.
    pub history: RefCell<History>,
    pub moods: Vec<Mood>,
    /// Which servers have sent garbage: their replies may have been taken for those of other requests.
    pub lying: Vec<bool>,
    /// The run is over: no more faults.
    pub healed: bool,
    /// And long enough for all servers to be found: since when.
    pub well_since: Option<Tick>,
    /// The last steps, if they are wanted.
    pub trace: Option<Vec<String>>,
}

impl Truth {
    /// The beginning of a run.
    pub fn new(scenario: Scenario, random: Random, traced: bool) -> Truth {
        let count = scenario.servers.len();
        let eras = Eras::new(scenario.config.clone());
        Truth {
            bound: eras.bound(scenario.sends),
            eras,
            cluster: scenario.cluster.clone(),
            flushed: vec![0; count],
            scenario,
            random,
            now: 1_000_000,
            tick: 1,
            stores: (0..count).map(|_| Store::default()).collect(),
            log: Log::default(),
            asked: Vec::new(),
            acknowledged: RefCell::default(),
            history: RefCell::default(),
            moods: vec![Mood::Well; count],
            lying: vec![false; count],
            healed: false,
            well_since: None,
            trace: traced.then(Vec::new),
        }
    }

    /// Whether everything was well when a request was made.
    pub fn was_well(&self, issued: Tick) -> bool {
        self.well_since.is_some_and(|since| since <= issued)
    }

    /// Whether a request that was made then may not fail.
    pub fn is_strict(&self, issued: Tick) -> bool {
        self.scenario.exact || self.was_well(issued) && !self.is_hasty()
    }

    /// Whether a limit is so short that something may take longer although all is well.
    fn is_hasty(&self) -> bool {
        let buckets = self.eras.present().buckets.iter();
        let limits = buckets.flat_map(|bucket| {
            let Behavior { connect_timeout, auth_timeout, wait_queue_timeout, .. } = *bucket.behavior;
            let Behavior { downstream_timeout, downstream_conn_queue_timeout, .. } = *bucket.behavior;
            [connect_timeout, auth_timeout, wait_queue_timeout, downstream_timeout, downstream_conn_queue_timeout]
        });
        // The largest value goes through a socket in pieces, each of which takes a step of time.
        let pieces = self.scenario.large / self.scenario.socket;
        let transfer = 2 * u32::try_from(pieces).unwrap_or(u32::MAX / 2);
        limits.filter(|limit| *limit > 0).any(|limit| limit < HASTY + transfer)
    }

    /// A number that no other request has, for one of a client of this bucket.
    pub fn id(&mut self, bucket: usize) -> u64 {
        self.asked.push((self.tick, bucket));
        IDS.start + self.asked.len() as u64
    }

    /// When the request with this id was asked for, and in which bucket.
    pub fn asked(&self, id: u64) -> Option<(Tick, usize)> {
        let place = id.checked_sub(IDS.start + 1)?;
        self.asked.get(usize::try_from(place).ok()?).copied()
    }

    /// Who has `key` now.
    pub fn owner(&self, bucket: usize, key: &[u8]) -> Option<Owner> {
        Owner::of(&self.eras.present().buckets[bucket], key)
    }

    /// Who may have had a request for `key` that has been under way since `from`.
    pub fn owners(&self, bucket: usize, key: &[u8], from: Tick) -> Owners {
        self.owners_until(bucket, key, from, self.tick)
    }

    /// The same for one that was under way until `to`.
    pub fn owners_until(&self, bucket: usize, key: &[u8], from: Tick, to: Tick) -> Owners {
        let owners = self.eras.owners(bucket, key, from, to);
        // Of a cluster, the proxy may try any.
        if self.cluster.is_some() { self.eras.everybody(bucket, from, to, owners) } else { owners }
    }

    /// Where the items are that `server` has.
    pub fn home(&self, server: usize) -> usize {
        if self.cluster.is_some() { 0 } else { server }
    }

    /// Whether a server has lied that has items in common with this one.
    pub fn is_lying(&self, server: usize) -> bool {
        if self.cluster.is_some() { self.lying.contains(&true) } else { self.lying[server] }
    }

    /// What `server` says if it is asked for what is another's.
    pub fn refused(&mut self, server: usize, op: &Op) -> Option<Rc<str>> {
        let (cluster, key) = (self.cluster.as_mut()?, op.keys().first()?);
        if cluster.has(server, key) {
            return None;
        }
        self.tick += 1;
        Some(cluster.refuse(key, self.tick))
    }

    /// Whether a request for `key` that has been under way since `from` may have been refused so often that it was given up.
    pub fn may_be_exhausted(&self, bucket: usize, key: &Key, from: Tick) -> bool {
        let least = self.eras.bucket(bucket, from, Tick::MAX).map(|bucket| bucket.servers.len()).min().unwrap_or(0);
        self.cluster.as_ref().is_some_and(|cluster| cluster.refused_since(key, from) > 2 * least)
    }

    /// A server is flushed.
    pub fn flush(&mut self, server: usize) {
        let (now, home) = (self.tick(), self.home(server));
        self.flushed[server] = now;
        let cluster = self.cluster.as_ref();
        self.stores[home].flush(now, |key| cluster.is_none_or(|cluster| cluster.has(server, key)));
        let vbuckets = cluster.map(|cluster| cluster.vbuckets_of(server));
        self.history.get_mut().note_flush(home, now, vbuckets);
    }

    /// When it was flushed last; 0: never.
    pub fn flushed(&self, server: usize) -> Tick {
        self.flushed[server]
    }

    /// Another configuration is in force.
    pub fn begin(&mut self, config: Config) {
        let now = self.tick();
        self.eras.begin(now, config);
        self.bound = self.eras.bound(self.scenario.sends);
    }

    /// Whether any bucket has or had a map, so that a server may say of a key that it is another one's.
    pub fn has_map(&self) -> bool {
        self.eras.all_buckets().any(|bucket| bucket.router.vbucket_map().is_some())
    }

    /// How often what may be repeated may be sent at most.
    pub fn most_tries(&self) -> usize {
        let retries = self.eras.all_buckets().map(|bucket| bucket.behavior.downstream_retry).max();
        retries.unwrap_or(0) as usize + 1
    }

    /// A client has been told that its request for this key is done, which this server has.
    pub fn acknowledge(&self, server: usize, key: &Key, id: u64) {
        if key.starts_with(b"c") || key.starts_with(b"nc") {
            let mut acknowledged = self.acknowledged.borrow_mut();
            let newest = acknowledged.entry((self.home(server), key.clone())).or_default();
            *newest = id.max(*newest);
        }
    }

    /// Panics if `server` is asked for something that it was responsible for at no time since its client has asked.
    pub fn check_place(&self, server: usize, op: &Op) {
        let Some((asked, bucket)) = op.any_id().and_then(|id| self.asked(id)) else { return };
        let is_it = |owner: &Owner| owner.server == server;
        let has = |bucket: &BucketConfig| bucket.servers.iter().any(|known| index_of(known) == server);
        // From a client that sends garbage: its numbers mean nothing.
        if op.keys().iter().any(|key| !matches!(key.first(), Some(b's' | b'c' | &NUMBER))) {
            return;
        }
        let fits = match op.keys() {
            [] => self.eras.bucket(bucket, asked, self.tick).any(has),
            keys => keys.iter().all(|key| self.owners(bucket, key, asked).all.iter().any(is_it)),
        };
        // Who lies about vbuckets is believed.
        assert!(fits || self.lying.contains(&true), "server {server} got {op:?}, for which it is not responsible");
    }

    /// Whether a request for `key` that was asked for then may be carried out behind what its client knows to be done: it was
    /// given up at a server that has had the key before, has stood still since, and has it again.
    pub fn may_be_late(&self, key: &Key, asked: Tick) -> bool {
        // With another protocol it is another server (03 §16.1).
        let is_another = self.scenario.changes.protocols;
        let has_moved = self.cluster.as_ref().is_some_and(|cluster| cluster.has_moved_since(key, asked));
        !self.scenario.exact && (is_another || has_moved)
    }

    /// Whether a request for `key` that was under way from `call` to `back` may have been refused: then it was carried out behind
    /// what its client had sent after it on the same connection, if the key had come to that server meanwhile.
    pub fn may_be_behind(&self, key: &Key, call: Tick, back: Tick) -> bool {
        self.cluster.as_ref().is_some_and(|cluster| cluster.was_refused(key, call, back))
    }

    /// Panics if `server` has just carried out what its client had sent before something that it knows to be done: it
    /// may have been told of a failure, but not be overtaken.
    pub fn check_overtaken(&self, server: usize, op: &Op, outcome: &Outcome) {
        let (Some(key), Some(id)) = (op.key(), op.id()) else { return };
        let is_change = matches!(outcome, Outcome::Stored | Outcome::Number(_) | Outcome::Touched);
        let newest = self.acknowledged.borrow().get(&(self.home(server), key.clone())).copied().unwrap_or(0);
        let asked = self.asked(id).map_or(0, |(asked, _)| asked);
        let is_overtaken = is_change && id < newest && !self.is_lying(server) && !self.may_be_late(key, asked);
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
