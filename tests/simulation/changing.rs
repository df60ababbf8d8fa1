//! Configurations that change while requests are under way.

use std::sync::Arc;

use moxi::config::snapshot::{BucketConfig, Config, Server};
use moxi::routing::Router;

use super::scenario::{self, Kind, Scenario};
use super::world::World;
use moxi_fuzzing::memory::Random;

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
        let next = next(&mut self.changer, &self.truth.scenario, self.truth.eras.present());
        self.driver.network.announce(next);
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
            let now = self.truth.tick();
            self.truth.eras.begin(now, config);
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
    config
}

/// The same bucket with other servers.
fn other(random: &mut Random, scenario: &Scenario, index: usize, bucket: &BucketConfig) -> BucketConfig {
    let list = list(random, &scenario.servers, &bucket.servers);
    let kind = match bucket.router {
        Router::Single => Kind::any(random),
        _ if random.once_in(4) => Kind::any(random),
        _ => Kind::of(&bucket.router),
    };
    scenario::bucket_of(random, index, list, kind, &bucket.behavior)
}

/// Other servers of those that there are: one more, one less, others, or the same in another order.
fn list(random: &mut Random, all: &[Arc<Server>], present: &[Arc<Server>]) -> Vec<Arc<Server>> {
    let mut list: Vec<Arc<Server>> = Vec::new();
    for server in present {
        if !list.contains(server) {
            list.push(Arc::clone(server));
        }
    }
    let absent: Vec<_> = all.iter().filter(|server| !list.contains(server)).cloned().collect();
    match random.below(6) {
        0 | 1 if list.len() > 1 => {
            list.remove(random.index(list.len()));
        }
        2 | 3 if !absent.is_empty() => {
            let place = random.index(list.len() + 1);
            list.insert(place, Arc::clone(&absent[random.index(absent.len())]));
        }
        4 if !absent.is_empty() => {
            let place = random.index(list.len());
            list[place] = Arc::clone(&absent[random.index(absent.len())]);
        }
        _ => {
            for at in (1..list.len()).rev() {
                list.swap(at, random.index(at + 1));
            }
        }
    }
    list
}
