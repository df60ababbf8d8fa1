//! A cluster whose vbuckets move from server to server, with all that is in them. A server refuses what is another's.
//!
//! Its servers share one store: what moves is the right to carry out what changes it.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use moxi::config::snapshot::{BucketConfig, Config, Learned, Revision, Server};
use moxi::protocol::Protocol;
use moxi::routing::Router;
use moxi::routing::vbucket::{NOBODY, VbucketMap};

use super::eras::index_of;
use super::op::Key;
use super::scenario::{self, FIRST_PORT, Scenario};
use super::store::Tick;
use super::world::World;
use moxi_fuzzing::memory::Random;

/// How many vbuckets there are.
const VBUCKETS: usize = 16;

/// Who has what.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// By vbucket: the server that has it.
    masters: Vec<usize>,
    /// How often that has changed.
    revision: u64,
    /// Whether who refuses says who has what.
    tells: bool,
    /// When which keys were refused.
    refusals: HashMap<Key, Vec<Tick>>,
    /// By vbucket: when it has moved last.
    moved: [Tick; VBUCKETS],
}

impl Cluster {
    /// Whether `server` has `key`.
    pub fn has(&self, server: usize, key: &[u8]) -> bool {
        self.masters[vbucket(key)] == server
    }

    /// All that `server` has.
    pub fn vbuckets_of(&self, server: usize) -> Vec<usize> {
        (0..VBUCKETS).filter(|vbucket| self.masters[*vbucket] == server).collect()
    }

    /// A server refuses `key`; gives what it says.
    pub fn refuse(&mut self, key: &Key, now: Tick) -> Rc<str> {
        self.refusals.entry(key.clone()).or_default().push(now);
        if self.tells { self.text().into() } else { "Not my vbucket".into() }
    }

    /// How often `key` was refused since `from`.
    pub fn refused_since(&self, key: &Key, from: Tick) -> usize {
        self.refusals.get(key).map_or(0, |all| all.len() - all.partition_point(|at| *at < from))
    }

    /// Whether somebody has been refused `key` at some time from `from` to `to`.
    pub fn was_refused(&self, key: &[u8], from: Tick, to: Tick) -> bool {
        self.refusals
            .get(key)
            .is_some_and(|all| all.get(all.partition_point(|at| *at < from)).is_some_and(|at| *at <= to))
    }

    /// Whether `key` has moved since `from`.
    pub fn has_moved_since(&self, key: &[u8], from: Tick) -> bool {
        self.moved[vbucket(key)] >= from
    }

    /// The document with the present map.
    fn text(&self) -> String {
        let count = self.masters.iter().max().map_or(0, |last| last + 1);
        let name = |index: usize| format!("\"db{index}.example:{}\"", usize::from(FIRST_PORT) + index);
        let names: Vec<String> = (0..count).map(name).collect();
        let rows: Vec<String> = self.masters.iter().map(|master| format!("[{master}]")).collect();
        format!(
            "{{\"rev\":{},\"vBucketServerMap\":{{\"hashAlgorithm\":\"CRC\",\"numReplicas\":0,\"serverList\":[{}],\
             \"vBucketMap\":[{}]}}}}",
            self.revision,
            names.join(","),
            rows.join(",")
        )
    }

    /// The rows of the present map over these servers.
    fn rows(&self, list: &[Arc<Server>]) -> Vec<i32> {
        let place = |master: &usize| list.iter().position(|server| index_of(server) == *master);
        self.masters.iter().map(|master| place(master).map_or(NOBODY, |place| place as i32)).collect()
    }
}

/// The vbucket of `key`.
pub fn vbucket(key: &[u8]) -> usize {
    (crc32fast::hash(key) >> 16) as usize % VBUCKETS
}

impl Scenario {
    /// All servers are those of a cluster, whose vbuckets move.
    pub fn make_cluster(&mut self, random: &mut Random) {
        let count = random.pick(&[2, 2, 3, 4]);
        let server = |index: usize, random: &mut Random| Server {
            protocol: Protocol::Binary,
            ..scenario::server(random, index)
        };
        self.servers = (0..count).map(|index| Arc::new(server(index, random))).collect();
        self.meta = (0..count).map(|_| scenario::meta(random, Protocol::Binary)).collect();
        self.knows_locks = (0..count).map(|_| random.once_in(2)).collect();
        let first = random.range(1, count as u64) as usize;
        let cluster = Cluster {
            masters: (0..VBUCKETS).map(|_| random.index(first)).collect(),
            revision: 1,
            tells: random.once_in(2),
            refusals: HashMap::new(),
            moved: [0; VBUCKETS],
        };
        let list = self.servers[..first].to_vec();
        let map = Guess { list, rows: cluster.rows(&self.servers[..first]), forward: None, revision: 1 };
        for (index, bucket) in self.config.buckets.iter_mut().enumerate() {
            *bucket = Arc::new(map.bucket(random, index, bucket));
        }
        self.sends = 1 + 2 * count as u64;
        self.changes.every = random.pick(&[30, 150, 600]);
        self.changes.limits = !self.stubborn && random.once_in(2);
        self.foreseen = false;
        self.cluster = Some(cluster);
    }
}

/// A map, true or not.
struct Guess {
    list: Vec<Arc<Server>>,
    rows: Vec<i32>,
    forward: Option<Vec<i32>>,
    revision: u64,
}

impl Guess {
    fn bucket(&self, random: &mut Random, index: usize, before: &BucketConfig) -> BucketConfig {
        let Guess { list, rows, forward, revision } = self;
        let map = VbucketMap::new(0, list.len(), rows.clone(), forward.clone()).expect("a valid map");
        let router = Router::Vbucket(map);
        BucketConfig {
            agent: Some(0),
            learned: Learned::nothing(&router, Revision { epoch: 0, number: *revision }),
            name: format!("bucket{index}"),
            port: before.port,
            behavior: Arc::clone(&before.behavior),
            servers: list.clone(),
            get_errors: random.once_in(2),
            router,
            text: String::new(),
            is_null: false,
        }
    }
}

impl World {
    /// Something changes in the cluster, or in what the proxy is told of it.
    pub fn change_cluster(&mut self) {
        let is_asked = std::mem::take(&mut self.driver.network.is_asked_anew);
        match self.changer.below(6) {
            0..=2 if !is_asked => self.move_vbuckets(),
            3 | 4 => self.announce_guess(),
            _ => self.announce_truth(),
        }
    }

    /// Some vbuckets move.
    fn move_vbuckets(&mut self) {
        let random = &mut self.changer;
        // In a predictable run the proxy knows all servers that have any.
        let known = &self.truth.eras.present().buckets[0].servers;
        let is_known = self.truth.scenario.exact || !random.once_in(4);
        let target = match is_known {
            true => index_of(&known[random.index(known.len())]),
            false => random.index(self.truth.scenario.servers.len()),
        };
        let now = self.truth.tick();
        let Some(cluster) = &mut self.truth.cluster else { return };
        let mut moved = Vec::new();
        for _ in 0..random.pick(&[1, 1, 4, 16]) {
            let vbucket = random.index(VBUCKETS);
            cluster.masters[vbucket] = target;
            cluster.moved[vbucket] = now;
            moved.push(vbucket);
        }
        cluster.revision += 1;
        self.truth.note(|| format!("server {target} has vbuckets {moved:?}"));
    }

    /// The proxy gets the map as it is, with all servers that have any vbuckets and perhaps more.
    fn announce_truth(&mut self) {
        let list = self.server_list();
        let Some(cluster) = &self.truth.cluster else { return };
        let rows = cluster.rows(&list);
        self.announce_map(&Guess { revision: cluster.revision, rows, list, forward: None });
    }

    /// The proxy gets a map that is old, or ahead of its time.
    fn announce_guess(&mut self) {
        let list = self.server_list();
        let random = &mut self.changer;
        let Some(cluster) = &self.truth.cluster else { return };
        let mut some = |from: &[i32], wrong: u64| -> Vec<i32> {
            let row = |row: &i32| if random.once_in(wrong) { random.index(list.len()) as i32 } else { *row };
            from.iter().map(row).collect()
        };
        let truth = cluster.rows(&list);
        let mut rows = some(&truth, 2);
        let forward = some(&truth, 5);
        let forward = random.once_in(2).then_some(forward);
        if random.once_in(4) {
            rows[random.index(VBUCKETS)] = NOBODY;
        }
        let revision = random.below(cluster.revision);
        self.announce_map(&Guess { list, rows, forward, revision });
    }

    /// All servers that have any vbuckets, and perhaps more, in any order.
    fn server_list(&mut self) -> Vec<Arc<Server>> {
        let random = &mut self.changer;
        let is_master = |index: usize| self.truth.cluster.as_ref().is_some_and(|all| all.masters.contains(&index));
        let mut list: Vec<Arc<Server>> = self.truth.scenario.servers.clone();
        list.retain(|server| is_master(index_of(server)) || random.once_in(2));
        for at in (1..list.len()).rev() {
            list.swap(at, random.index(at + 1));
        }
        list
    }

    fn announce_map(&mut self, map: &Guess) {
        let mut config: Config = self.truth.eras.present().clone();
        self.change_limits(&mut config);
        for (index, bucket) in config.buckets.iter_mut().enumerate() {
            *bucket = Arc::new(map.bucket(&mut self.changer, index, bucket));
        }
        self.driver.network.announce(config);
    }
}
