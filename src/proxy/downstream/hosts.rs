//! Which servers there are: taken from the configuration, and forgotten when nothing needs them any more.

use std::sync::Arc;

use crate::config::snapshot::{BucketConfig, Server};
use crate::proxy::Engine;

use super::Downstream;
use super::host::{HealthTable, Host, HostId};
use super::loss::Loss;

impl Downstream {
    /// The worker's record of `server`, with the limits of `bucket`.
    pub(in crate::proxy) fn host(
        &mut self,
        server: &Arc<Server>,
        index: usize,
        bucket: &BucketConfig,
        health: &HealthTable,
    ) -> HostId {
        if let Some(id) = self.host_of.get(server)
            && let Some(host) = self.hosts.must_mut(*id)
        {
            host.behavior = Arc::clone(&bucket.behavior);
            host.bucket = index;
            host.is_retired = false;
            return *id;
        }
        let health = health.of(server);
        let tally = self.servers.register(server, None, &health);
        let id = self.hosts.insert(Host { tally, ..Host::new(server, &bucket.behavior, index, health) });
        self.host_of.insert(Arc::clone(server), id);
        id
    }
}

impl Engine {
    /// Parts with servers that are in no bucket any more.
    pub(in crate::proxy) fn retire_hosts(&mut self) {
        let is_used = |host: &HostId| self.buckets.iter().any(|bucket| bucket.hosts.contains(host));
        let gone: Vec<HostId> = self.downstream.host_of.values().copied().filter(|host| !is_used(host)).collect();
        for id in gone {
            let Some(host) = self.downstream.hosts.must_mut(id) else { continue };
            host.is_retired = true;
            let idle: Vec<_> = host.conns.iter().copied().chain(host.dump).collect();
            for conn in idle {
                if self.downstream.conns.must(conn).is_some_and(|conn| conn.fifo.is_empty()) {
                    self.close_conn(conn, Loss::Closed);
                }
            }
            self.forget_retired(id);
        }
    }

    /// Forgets a server that is in no bucket any more, when its last connection has gone.
    pub(in crate::proxy) fn forget_retired(&mut self, id: HostId) {
        // It may be forgotten already, with another of its connections.
        if self.downstream.hosts.get(id).is_some_and(|host| host.is_retired && !host.is_connected())
            && let Some(host) = self.downstream.hosts.remove(id)
        {
            self.downstream.host_of.remove(&host.server);
            // Nobody is left who could answer them: they go on with the servers that there are now.
            for client in host.curious {
                self.make_ready(client);
            }
        }
    }
}
