//! Another configuration takes the place of the present one, between two turns (05 §7).
//!
//! Clients stay in their buckets, which keep their index. What is in flight is finished where it is; servers that are
//! in both configurations keep their connections.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::config::snapshot::Config;
use crate::front_cache::Matcher;
use crate::proxy::Engine;
use crate::proxy::bucket::Bucket;
use crate::proxy::downstream::host::HealthTable;
use crate::proxy::downstream::masters::Masters;
use crate::proxy::request::caching::Front;
use crate::proxy::watch::Watch;

impl Engine {
    /// Serves `config` from now on. Its buckets have the index they had before; new ones come behind them.
    pub fn reconfigure(&mut self, config: &Config, health: &HealthTable) {
        self.config = config.clone();
        for (index, new) in config.buckets.iter().enumerate() {
            let is_same = self.buckets.find(index).is_some_and(|bucket| Arc::ptr_eq(&bucket.config, new));
            if is_same {
                continue;
            }
            if new.servers.is_empty() {
                self.send_waiting(index);
            }
            let hosts = new.servers.iter().map(|server| self.downstream.host(server, index, new, health)).collect();
            let config = Arc::clone(new);
            // What is in it may be another configuration's.
            let front = Front::start(self.sources.caches.of(index), new);
            let optimize_set = Matcher::new(&new.behavior.optimize_set);
            let mut is_timed_anew = false;
            match self.buckets.find_mut(index) {
                Some(bucket) => {
                    let (old, new) = (&bucket.config.behavior, &config.behavior);
                    is_timed_anew = old.client_idle_timeout != new.client_idle_timeout;
                    bucket.masters.begin(&config.learned);
                    (bucket.config, bucket.hosts) = (config, hosts);
                    (bucket.front, bucket.optimize_set) = (front, optimize_set);
                    bucket.watch =
                        Watch::start(bucket.watch.take(), &self.sources.keys, index, &bucket.config.behavior);
                    // It speaks of servers by their places in the old configuration.
                    bucket.told = None;
                }
                None => {
                    let counters = self.sources.board.register(index);
                    let watch = Watch::start(None, &self.sources.keys, index, &config.behavior);
                    let waiting = VecDeque::new();
                    let mut masters = Masters::default();
                    masters.begin(&config.learned);
                    self.buckets.push(Bucket {
                        config,
                        counters,
                        hosts,
                        masters,
                        active: 0,
                        waiting,
                        front,
                        watch,
                        optimize_set,
                        is_crowded: false,
                        told: None,
                    });
                }
            }
            if is_timed_anew {
                self.arm_all_idle(index);
            }
        }
        self.is_watching = self.buckets.iter().any(|bucket| bucket.watch.is_some());
        self.retire_hosts();
        self.probe_suspended();
        // A higher limit may let clients in that wait for a place.
        for index in 0..self.buckets.len() {
            self.grant_places(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::proxy::Settings;

    #[test]
    fn who_has_waited_for_a_place_is_read_from_again_when_the_bucket_is_shut_down() {
        let settings = Some("downstream_protocol=ascii,downstream_max=1");
        let config = &config::load("11311=server:1", settings, &|_| None).expect("a good configuration").config;
        let health = HealthTable::default();
        let mut engine = Engine::new(config, &health, Settings { requests_per_turn: 20, binding: None });
        let client = engine.add_client(0).expect("a client");
        let requests = b"set a 0 0 1\r\n1\r\nset b 0 0 1\r\n2\r\n";
        engine.client_space(client).expect("room")[..requests.len()].copy_from_slice(requests);
        engine.client_filled(client, requests.len());
        engine.turn(&mut Vec::new());
        assert!(engine.client_space(client).is_none(), "the second one waits for a place");
        let mut config = (**config).clone();
        config.buckets[0] = Arc::new(config.buckets[0].shut_down());
        engine.reconfigure(&config, &health);
        let mut looked_at = Vec::new();
        engine.turn(&mut looked_at);
        assert_eq!(looked_at, [client]);
        assert!(engine.client_space(client).is_some());
    }
}
