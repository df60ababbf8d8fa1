//! Configurations that change while requests are under way.

use std::sync::Arc;

use moxi::config::behavior::Behavior;
use moxi::config::snapshot::{BucketConfig, Config, Learned, Revision, Secret, Server};
use moxi::protocol::Protocol;
use moxi::routing::Router;

use super::eras::index_of;
use super::scenario::{self, Kind, Meta, Scenario};
use super::world::World;
use moxi_fuzzing::memory::Random;

/// How many buckets there are at most.
const BUCKETS: usize = 3;

impl World {
    /// Another configuration comes, now and then.
    pub fn change(&mut self) {
        let every = self.truth.scenario.changes.every;
        if every == 0 || self.truth.healed || !self.changer.once_in(every) {
            return;
        }
        if self.driver.network.is_changing() {
            return; // one after the other
        }
        if self.truth.cluster.is_some() {
            return self.change_cluster();
        }
        let mut next = next(&mut self.changer, &self.truth.scenario, self.truth.eras.present());
        self.change_limits(&mut next);
        self.driver.network.announce(next);
    }

    /// All buckets have other limits, now and then.
    pub fn change_limits(&mut self, config: &mut Config) {
        let (random, scenario) = (&mut self.changer, &self.truth.scenario);
        if !scenario.changes.limits || !random.once_in(3) {
            return;
        }
        let mut behavior = scenario::behavior(random, scenario.exact);
        // What a client may send is known when it sends it.
        behavior.value_max = config.buckets[0].behavior.value_max;
        let behavior = Arc::new(behavior);
        for bucket in &mut config.buckets {
            *bucket = Arc::new(with_behavior(bucket, &behavior));
        }
    }

    /// Takes note of the configuration that the proxy has got.
    pub fn note_change(&mut self) {
        if let Some(config) = self.driver.network.changed.take() {
            let names = |bucket: &Arc<BucketConfig>| {
                let servers: Vec<String> = bucket.servers.iter().map(|server| server.host.clone()).collect();
                format!("{} by {:?}", servers.join(","), Kind::of(&bucket.router))
            };
            let told: Vec<String> = config.buckets.iter().map(names).collect();
            self.truth.note(|| format!("another configuration: {}", told.join("; ")));
            self.truth.begin(config);
        }
    }
}

/// The configuration after `present`.
fn next(random: &mut Random, scenario: &Scenario, present: &Config) -> Config {
    let mut config = present.clone();
    let sure = random.index(config.buckets.len());
    for (index, bucket) in config.buckets.iter_mut().enumerate() {
        if index == sure || random.once_in(2) {
            *bucket = Arc::new(other(random, scenario, index, bucket));
        }
    }
    if scenario.changes.buckets && config.buckets.len() < BUCKETS && random.once_in(6) {
        let (index, first) = (config.buckets.len(), Arc::clone(&config.buckets[0]));
        config.buckets.push(Arc::new(other(random, scenario, index, &first)));
    }
    config
}

/// The same bucket with other limits.
fn with_behavior(bucket: &BucketConfig, behavior: &Arc<Behavior>) -> BucketConfig {
    BucketConfig {
        agent: bucket.agent,
        learned: Learned::nothing(&bucket.router, Revision::default()),
        name: bucket.name.clone(),
        port: bucket.port,
        behavior: Arc::clone(behavior),
        servers: bucket.servers.clone(),
        get_errors: bucket.get_errors,
        router: bucket.router.clone(),
        text: String::new(),
        is_null: false,
    }
}

/// The same bucket with other servers.
fn other(random: &mut Random, scenario: &Scenario, index: usize, bucket: &BucketConfig) -> BucketConfig {
    if scenario.changes.buckets && bucket.is_live() && random.once_in(4) {
        return bucket.shut_down();
    }
    let mut list = list(random, &scenario.servers, &bucket.servers);
    if scenario.changes.protocols {
        for server in list.iter_mut().filter(|_| random.once_in(4)) {
            *server = translated(scenario, server);
        }
    }
    let kind = match bucket.router {
        Router::Single => Kind::any(random),
        _ if random.once_in(4) => Kind::any(random),
        _ => Kind::of(&bucket.router),
    };
    scenario::bucket_of(random, index, list, kind, &bucket.behavior)
}

/// The same server, with which another protocol is spoken; without a user, of which nothing can be said in lines.
fn translated(scenario: &Scenario, server: &Arc<Server>) -> Arc<Server> {
    let protocol = match server.protocol {
        // It may understand nothing else.
        Protocol::Binary if scenario.meta[index_of(server)] == Meta::Packets => return Arc::clone(server),
        Protocol::Binary => Protocol::Ascii,
        Protocol::Ascii => Protocol::Binary,
    };
    let (host, port) = (server.host.clone(), server.port);
    Arc::new(Server { host, port, user: String::new(), password: Secret::default(), bucket: String::new(), protocol })
}

/// Other servers of those that there are: one more, one less, others, or the same in another order.
fn list(random: &mut Random, all: &[Arc<Server>], present: &[Arc<Server>]) -> Vec<Arc<Server>> {
    let mut list: Vec<Arc<Server>> = Vec::new();
    for server in present {
        if !list.contains(server) {
            list.push(Arc::clone(server));
        }
    }
    let is_there = |server: &Arc<Server>| list.iter().any(|other| other.port == server.port);
    let absent: Vec<_> = all.iter().filter(|server| !is_there(server)).cloned().collect();
    match random.below(6) {
        0 | 1 if list.len() > 1 => {
            list.remove(random.index(list.len()));
        }
        2 | 3 if !absent.is_empty() => {
            let place = random.index(list.len() + 1);
            list.insert(place, Arc::clone(&absent[random.index(absent.len())]));
        }
        4 if !absent.is_empty() && !list.is_empty() => {
            let place = random.index(list.len());
            list[place] = Arc::clone(&absent[random.index(absent.len())]);
        }
        _ => {
            for at in (1..list.len()).rev() {
                list.swap(at, random.index(at + 1));
            }
        }
    }
    if list.is_empty() {
        list.push(Arc::clone(&all[random.index(all.len())]));
    }
    list
}
