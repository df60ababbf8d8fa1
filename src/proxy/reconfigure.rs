//! Another configuration takes the place of the present one, between two turns (05 §7).
//!
//! Clients stay in their buckets, which keep their index. What is in flight is finished where it is; servers that are
//! in both configurations keep their connections.

use std::collections::VecDeque;
use std::sync::Arc;

use super::caching::Front;
use super::host::{Dialect, HealthTable, Host, HostId};
use super::loss::Loss;
use super::masters::Masters;
use super::upstream::{Admission, Client, ClientId};
use super::{Bucket, Engine};
use crate::config::snapshot::{BucketConfig, Config, Server};
use crate::front_cache::Matcher;

impl Engine {
    /// Serves `config` from now on. Its buckets have the index they had before; new ones come behind them.
    pub fn reconfigure(&mut self, config: &Config, health: &HealthTable) {
        self.config = config.clone();
        for (index, new) in config.buckets.iter().enumerate() {
            let is_same = self.buckets.get(index).is_some_and(|bucket| Arc::ptr_eq(&bucket.config, new));
            if is_same {
                continue;
            }
            if new.servers.is_empty() {
                self.send_waiting(index);
            }
            let hosts = new.servers.iter().map(|server| self.host(server, index, new, health)).collect();
            let config = Arc::clone(new);
            // What is in it may be another configuration's.
            let front = Front::start(self.sources.caches.of(index), new);
            let optimize_set = Matcher::new(&new.behavior.optimize_set);
            let mut is_timed_anew = false;
            match self.buckets.get_mut(index) {
                Some(bucket) => {
                    let (old, new) = (&bucket.config.behavior, &config.behavior);
                    is_timed_anew = old.client_idle_timeout != new.client_idle_timeout;
                    bucket.masters.begin(&config.learned);
                    (bucket.config, bucket.hosts) = (config, hosts);
                    (bucket.front, bucket.optimize_set) = (front, optimize_set);
                    // It speaks of servers by their places in the old configuration.
                    bucket.told = None;
                }
                None => {
                    let counters = self.sources.board.register(index);
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
        self.retire_hosts();
        // A higher limit may let clients in that wait for a place.
        for index in 0..self.buckets.len() {
            self.grant_places(index);
        }
    }

    /// The bucket is about to be shut down: what has arrived for it is sent while it still has servers. They answer it
    /// before their connections are closed.
    fn send_waiting(&mut self, index: usize) {
        let waits = |client: &Client| client.bucket == index && client.input.is_worth_parsing();
        let ids: Vec<ClientId> = self.clients.iter().filter(|(_, client)| waits(client)).map(|(id, _)| id).collect();
        for id in ids {
            while let Some(client) = self.clients.get_mut(id).filter(|client| waits(client)) {
                let length = client.input.len();
                if let Admission::Waiting { .. } = client.admission {
                    client.admission = Admission::Granted;
                    self.buckets[index].active += 1;
                }
                client.stopped = false;
                self.pump(id);
                if self.clients.get(id).is_none_or(|client| client.input.len() == length) {
                    break;
                }
            }
        }
    }

    /// The worker's record of `server`, with the limits of `bucket`.
    fn host(&mut self, server: &Arc<Server>, index: usize, bucket: &BucketConfig, health: &HealthTable) -> HostId {
        if let Some(id) = self.host_of.get(server)
            && let Some(host) = self.hosts.get_mut(*id)
        {
            host.behavior = Arc::clone(&bucket.behavior);
            host.bucket = index;
            host.is_retired = false;
            return *id;
        }
        let id = self.hosts.insert(Host {
            server: Arc::clone(server),
            behavior: Arc::clone(&bucket.behavior),
            bucket: index,
            conns: Vec::new(),
            idle: Vec::new(),
            open: None,
            fresh: None,
            dump: None,
            health: health.of(server),
            dialect: Dialect::Unknown,
            curious: Vec::new(),
            is_crowded: false,
            short_until: 0,
            short_told: None,
            abandoned: 0,
            is_retired: false,
        });
        self.host_of.insert(Arc::clone(server), id);
        id
    }

    /// Parts with servers that are in no bucket any more.
    fn retire_hosts(&mut self) {
        let gone: Vec<HostId> = self
            .host_of
            .values()
            .copied()
            .filter(|host| !self.buckets.iter().any(|bucket| bucket.hosts.contains(host)))
            .collect();
        for id in gone {
            let Some(host) = self.hosts.get_mut(id) else { continue };
            host.is_retired = true;
            let idle: Vec<_> = host.conns.iter().copied().chain(host.dump).collect();
            for conn in idle {
                if self.conns.get(conn).is_some_and(|conn| conn.fifo.is_empty()) {
                    self.close_conn(conn, Loss::Closed);
                }
            }
            self.forget_retired(id);
        }
    }

    /// Forgets a server that is in no bucket any more, when its last connection has gone.
    pub(super) fn forget_retired(&mut self, id: HostId) {
        if self.hosts.get(id).is_some_and(|host| host.is_retired && !host.is_connected())
            && let Some(host) = self.hosts.remove(id)
        {
            self.host_of.remove(&host.server);
        }
    }
}
