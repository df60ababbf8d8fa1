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
            match self.buckets.find_mut(index) {
                Some(bucket) => {
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
            self.arm_bucket(index);
        }
        self.is_watching = self.buckets.iter().any(|bucket| bucket.watch.is_some());
        self.retire_hosts();
        self.probe_suspended();
        // A higher limit may let clients in that wait for a place.
        for index in 0..self.buckets.len() {
            self.grant_places(index);
        }
    }

    /// Whatever has begun under other limits, or without, keeps to those that the bucket has now.
    fn arm_bucket(&mut self, index: usize) {
        let hosts = self.buckets.find(index).map(|bucket| bucket.hosts.clone()).unwrap_or_default();
        hosts.into_iter().for_each(|host| self.arm_host(host));
        self.arm_clients(index);
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

    /// One server, no limits of time, and this.
    fn with_limits(also: &str) -> Config {
        let limits = "downstream_timeout=0,connect_timeout=0,wait_queue_timeout=0,downstream_conn_queue_timeout=0";
        let settings = format!("downstream_protocol=ascii,{limits},downstream_retry=0,{also}");
        let loaded = config::load("11311=server:1", Some(&settings), &|_| None).expect("a good configuration");
        (*loaded.config).clone()
    }

    /// What is for a client when it has sent `request` and, a second later, the limits change and a tenth of one passes.
    fn said_under(also: &str, is_connected: bool, new: &str) -> [String; 2] {
        let settings = Settings { requests_per_turn: 20, binding: None };
        let mut engine = Engine::new(&with_limits(also), &HealthTable::default(), settings);
        let sends = |engine: &mut Engine, request: &[u8]| {
            let client = engine.add_client(0).expect("a client");
            engine.client_space(client).expect("room")[..request.len()].copy_from_slice(request);
            engine.client_filled(client, request.len());
            engine.turn(&mut Vec::new());
            client
        };
        let first = sends(&mut engine, b"set a 0 0 1\r\n1\r\n");
        if is_connected {
            let mut actions = Vec::new();
            engine.take_actions(&mut actions);
            let conn = actions.iter().find_map(|action| match action {
                crate::proxy::Action::Connect(conn, _) => Some(*conn),
                _ => None,
            });
            engine.connected(conn.expect("a connection"));
            engine.turn(&mut Vec::new());
        }
        let second = sends(&mut engine, b"set a 0 0 1\r\n2\r\n");
        engine.set_time(1_000_000);
        engine.turn(&mut Vec::new());
        let said = |engine: &Engine| {
            let text = |client| {
                let (output, end) = engine.client_output(client)?;
                Some(String::from_utf8_lossy(output.contiguous(end)?).into_owned())
            };
            [first, second].map(|client| text(client).expect("a client"))
        };
        assert_eq!(said(&engine), ["", ""], "no limit");
        engine.reconfigure(&with_limits(&format!("{also},{new}")), &HealthTable::default());
        engine.set_time(1_000_001);
        engine.turn(&mut Vec::new());
        said(&engine)
    }

    #[test]
    fn what_has_begun_without_a_limit_keeps_to_the_new_one() {
        let (connect, answer, queue, place) = (
            "SERVER_ERROR proxy write to downstream server\r\n",
            "SERVER_ERROR proxy downstream timeout server\r\n",
            "SERVER_ERROR proxy downstream timeout\r\n",
            "SERVER_ERROR proxy wait queue timeout\r\n",
        );
        for (also, is_connected, new, said) in [
            ("downstream_conn_max=1", false, "connect_timeout=100", [connect, connect]),
            ("downstream_conn_max=1", true, "downstream_timeout=100", [answer, ""]),
            ("downstream_conn_max=1", true, "downstream_conn_queue_timeout=100", ["", queue]),
            ("downstream_max=1", true, "wait_queue_timeout=100", ["", place]),
        ] {
            assert_eq!(said_under(also, is_connected, new), said, "{new}");
        }
    }
}
